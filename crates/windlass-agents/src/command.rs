//! A plain command: the argument vector of an agent file. Its standard input is the prompt, its standard output the result.
//!
//! Exit code 0 is success, also without output: a command has no model whose silence would mean something. The result is kept
//! byte for byte, whatever the bytes, up to [`RESULT_LIMIT`]; more than that and the ending says that it is not all.

use crate::adapter::{
    Adapter, Launch, LaunchError, LaunchRequest, StartPlan, Stdin, StopPlan, common_env, prompt_file,
};
use crate::ending::{Ending, Said, WorkerEnd, conclude};
use crate::event::{Parser, STATE_LIMIT, Stream, WorkerEvent};
use crate::lines::{Keep, Line, Lines};
use crate::text::{LINE_LIMIT, one_line, tail};
use serde::{Deserialize, Serialize};
use windlass_events::{RuntimeKind, Usage};

/// Longest result that is kept, in bytes.
pub const RESULT_LIMIT: usize = 4 * 1024 * 1024;

const VERSION: u32 = 1;
const STDERR_TAIL: usize = 2_000;

/// The adapter. It is not probed: running a command to see whether it runs would already be the work.
#[derive(Debug, Clone, Copy)]
pub struct Command;

impl Adapter for Command {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Command
    }

    fn launch(&self, request: &LaunchRequest) -> Result<Launch, LaunchError> {
        if request.command.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(LaunchError::NoCommand { agent: request.agent.clone() });
        }
        if request.command.iter().any(|arg| arg.contains('\0')) {
            return Err(LaunchError::ControlByte { agent: request.agent.clone(), what: "an argument" });
        }
        Ok(Launch::Start(Box::new(StartPlan {
            argv: request.command.clone(),
            env: common_env(request),
            files: vec![prompt_file(request)],
            stdin: Stdin::Bytes(request.prompt.clone().into_bytes()),
            close_stdin_on: Vec::new(),
            drop_prefixes: Vec::new(),
            stop: StopPlan::by_signal(),
            notices: Vec::new(),
        })))
    }

    fn parser(&self, _: Option<&str>, state: Option<&[u8]>) -> Option<Box<dyn Parser>> {
        let state = match state {
            Some(bytes) => {
                let state: State = serde_json::from_slice(bytes).ok()?;
                (state.version == VERSION).then_some(state)?
            }
            None => State { version: VERSION, ..State::default() },
        };
        Some(Box::new(CommandParser { state }))
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    version: u32,
    result: Vec<u8>,
    cut: bool,
    /// Lines of standard output for live views.
    stdout: Lines,
    stderr: Lines,
    stderr_tail: String,
}

struct CommandParser {
    state: State,
}

impl CommandParser {
    fn lines(&mut self, stream: Stream, bytes: Option<&[u8]>, out: &mut Vec<WorkerEvent>) {
        let keep = |_: &[u8]| Keep::UpTo(8 * 1024);
        let text = |line: Line<'_>| one_line(&String::from_utf8_lossy(line.head), LINE_LIMIT);
        match stream {
            Stream::Stdout => {
                let each = |line: Line<'_>| {
                    let text = text(line);
                    if !text.is_empty() {
                        out.push(WorkerEvent::TextDelta { text: format!("{text}\n") });
                    }
                };
                match bytes {
                    Some(bytes) => self.state.stdout.feed(bytes, keep, each),
                    None => self.state.stdout.finish(keep, each),
                }
            }
            Stream::Stderr => {
                let end = &mut self.state.stderr_tail;
                let each = |line: Line<'_>| {
                    let text = text(line);
                    if text.is_empty() {
                        return;
                    }
                    if !end.is_empty() {
                        end.push('\n');
                    }
                    end.push_str(&text);
                    if end.len() > 2 * STDERR_TAIL {
                        *end = tail(end, STDERR_TAIL).to_owned();
                    }
                    out.push(WorkerEvent::Log { line: text });
                };
                match bytes {
                    Some(bytes) => self.state.stderr.feed(bytes, keep, each),
                    None => self.state.stderr.finish(keep, each),
                }
            }
        }
    }
}

impl Parser for CommandParser {
    fn feed(&mut self, stream: Stream, bytes: &[u8], out: &mut Vec<WorkerEvent>) {
        if stream == Stream::Stdout {
            let room = RESULT_LIMIT - self.state.result.len().min(RESULT_LIMIT);
            self.state.result.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.state.cut |= bytes.len() > room;
        }
        self.lines(stream, Some(bytes), out);
    }

    fn finish(&mut self, end: &WorkerEnd, out: &mut Vec<WorkerEvent>) -> Ending {
        self.lines(Stream::Stdout, None, out);
        self.lines(Stream::Stderr, None, out);
        let said = Said {
            program: "the command",
            finished: true,
            stderr: tail(&self.state.stderr_tail, STDERR_TAIL),
            ..Said::default()
        };
        let (outcome, failure) = conclude(end, &said);
        let result = std::mem::take(&mut self.state.result);
        Ending {
            outcome,
            failure,
            // A clean ending without a word has an empty result, not none.
            result: Some(result),
            truncated: self.state.cut || end.truncated,
            usage: Usage::default(),
            session: None,
            model: None,
        }
    }

    fn state(&self) -> Option<Vec<u8>> {
        // A byte of the result is up to four characters of state.
        if 4 * self.state.result.len() + 2 * (self.state.stdout.held() + self.state.stderr.held())
            > STATE_LIMIT
        {
            return None;
        }
        serde_json::to_vec(&self.state).ok().filter(|bytes| bytes.len() <= STATE_LIMIT)
    }
}
