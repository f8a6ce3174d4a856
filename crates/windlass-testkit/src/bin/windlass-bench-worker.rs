//! The workers that `cargo xtask bench` measures with. Nothing but the standard library, so that starting one costs
//! little.
#![expect(clippy::print_stderr, reason = "a program: errors are said on standard error")]

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const HELP: &str = "\
usage: windlass-bench-worker WHAT
  stamp FILE             write the time of its first instruction, nanoseconds since 1970, into FILE
  sleep                  do nothing until it is killed
  print BYTES            so many bytes on standard output in lines of 300, then sleep
  stream KIND            the events of `pi KIND` on standard output, without its manners
  pi KIND [ARGUMENT …]   in pi's place (`runtimes.pi.command`), with a stream that KIND names; what pi is given
                         follows. Events are lines of 300 bytes:
    mixed:N              N events as a session has them, seven in ten droppable
    droppable:N          N events that the shim may drop
    paced:N:MS           N mixed events, one every MS milliseconds
    usage:N:MS           N replies with usage, one every MS milliseconds
";

/// Bytes of an event, its line break counted.
const EVENT: usize = 300;

fn main() -> ExitCode {
    let now = SystemTime::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match *words {
        ["stamp", file] => {
            let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
            std::fs::write(file, nanos.to_string())
        }
        ["sleep"] => sleep(),
        ["print", bytes] => print(bytes).and_then(|()| sleep()),
        ["stream", kind] => Stream::parse(kind).and_then(|stream| stream.write(&mut io::stdout().lock())),
        ["pi", kind, ref args @ ..] => pi(kind, args),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-bench-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn sleep() -> io::Result<()> {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn print(bytes: &str) -> io::Result<()> {
    let lines = number::<usize>(bytes)? / EVENT;
    write_repeated(&[padded("text ", "")], lines, &mut io::stdout().lock())
}

fn number<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| io::Error::other(format!("{word:?} is no number that fits here")))
}

/// Pi as far as Windlass sees it: its version, its models, one session.
fn pi(kind: &str, args: &[&str]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.contains(&"--version") {
        return writeln!(out, "0.87.1");
    }
    if args.contains(&"--no-session") {
        const MODEL: &str =
            r#"{"id":"bench-1","provider":"bench","cost":{"input":1,"output":1},"contextWindow":200000}"#;
        for (command, data) in [
            ("get_state", format!(r#"{{"model":{MODEL}}}"#)),
            ("get_available_models", format!(r#"{{"models":[{MODEL}]}}"#)),
        ] {
            writeln!(out, r#"{{"type":"response","command":"{command}","success":true,"data":{data}}}"#)?;
        }
        return Ok(());
    }
    let stream = Stream::parse(kind)?;
    // The prompt.
    let mut input = io::stdin().lock();
    input.read_until(b'\n', &mut Vec::new())?;
    let id = args.iter().skip_while(|arg| **arg != "--session-id").nth(1).unwrap_or(&"bench");
    writeln!(out, r#"{{"type":"session","version":3,"id":"{id}"}}"#)?;
    writeln!(out, r#"{{"type":"agent_start"}}"#)?;
    stream.write(&mut out)?;
    write!(out, "{}", reply("stop"))?;
    writeln!(out, r#"{{"type":"agent_settled"}}"#)?;
    out.flush()?;
    // In RPC mode it stays until its input is closed.
    input.read_to_end(&mut Vec::new()).map(drop)
}

/// What a session's output is made of.
struct Stream {
    events: Vec<String>,
    count: usize,
    /// One event in so much time; all at once when there is none.
    every: Option<Duration>,
}

impl Stream {
    fn parse(kind: &str) -> io::Result<Self> {
        let words: Vec<&str> = kind.split(':').collect();
        let (events, count, every) = match *words {
            ["mixed", count] => (mixed(), count, None),
            ["droppable", count] => (vec![update()], count, None),
            ["paced", count, ms] => (session(), count, Some(ms)),
            ["usage", count, ms] => (vec![reply("toolUse")], count, Some(ms)),
            _ => return Err(io::Error::other(format!("no such stream: {kind}"))),
        };
        let every = every.map(number).transpose()?.map(Duration::from_millis);
        Ok(Self { events, count: number(count)?, every })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Some(every) = self.every else { return write_repeated(&self.events, self.count, out) };
        let start = Instant::now();
        for (i, event) in (0..self.count).zip(self.events.iter().cycle()) {
            let due = start + every * u32::try_from(i).unwrap_or(u32::MAX);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            out.write_all(event.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }
}

/// Writes `count` events in pieces of the size of a pipe.
fn write_repeated(events: &[String], count: usize, out: &mut impl Write) -> io::Result<()> {
    let cycle = events.concat();
    let piece = cycle.repeat((65_536 / cycle.len()).max(1));
    let mut left = count * EVENT;
    while left > 0 {
        let bytes = left.min(piece.len());
        out.write_all(&piece.as_bytes()[..bytes])?;
        left -= bytes;
    }
    out.flush()
}

/// Ten events of a tool call that follow each other as fast as they can be read. Seven of them may be dropped.
fn mixed() -> Vec<String> {
    let mut events = vec![update(); 5];
    events.push(reply("toolUse"));
    events.extend(tool(2));
    events
}

/// Fifty events of a quick model with two tool calls: a reply that grows word by word, what the tools print, the turn's end.
fn session() -> Vec<String> {
    let mut events = vec![update(); 40];
    events.push(reply("toolUse"));
    events.extend(tool(2));
    events.extend(tool(2));
    events.push(padded(
        r#"{"type":"turn_end","message":{"role":"assistant","content":[{"type":"text","text":""#,
        r#""}]}}"#,
    ));
    events
}

/// A tool call whose output comes in so many pieces.
fn tool(pieces: usize) -> Vec<String> {
    let mut events = vec![padded(
        r#"{"type":"tool_execution_start","toolCallId":"call-1","toolName":"bash","args":{"command":""#,
        r#""}}"#,
    )];
    let piece = padded(
        r#"{"type":"tool_execution_update","toolCallId":"call-1","toolName":"bash","partialResult":{"content":[{"type":"text","text":""#,
        r#""}]}}"#,
    );
    events.extend(vec![piece; pieces]);
    events.push(padded(
        r#"{"type":"tool_execution_end","toolCallId":"call-1","toolName":"bash","result":{"content":[{"type":"text","text":""#,
        r#""}]},"isError":false}"#,
    ));
    events
}

fn update() -> String {
    padded(
        r#"{"type":"message_update","usage":{"input":1451,"output":6,"cacheRead":0,"cacheWrite":0,"totalTokens":1457,"cost":{"input":0.004,"output":0.001,"total":0.005}},"assistantMessageEvent":{"type":"text_delta","contentIndex":0,"delta":""#,
        r#""}}"#,
    )
}

fn reply(stop: &str) -> String {
    padded(
        r#"{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":""#,
        &format!(
            r#""}}],"provider":"bench","model":"bench-1","usage":{{"input":10,"output":5,"cacheRead":0,"cacheWrite":0,"totalTokens":15}},"stopReason":"{stop}"}}}}"#
        ),
    )
}

/// An event of the size that all have.
fn padded(start: &str, end: &str) -> String {
    let room = EVENT.saturating_sub(start.len() + end.len() + 1);
    format!("{start}{}{end}\n", "x".repeat(room))
}
