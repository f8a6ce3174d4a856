//! Shared by the tests: recordings as bytes, running a parser over pieces, requests, and events as short lines.

use std::fmt::Write as _;
use std::path::PathBuf;
use windlass_agents::{Ending, LaunchRequest, Parser, SessionPlan, Stream, WorkerEnd, WorkerEvent, adapter};
use windlass_events::{Access, RunId, RuntimeKind, TaskId};

pub(crate) fn fixtures(folder: &str) -> Vec<(String, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, stdout_of(&std::fs::read(&path).unwrap()))
        })
        .collect();
    all.sort();
    assert!(all.len() > 10, "recordings are missing");
    all
}

/// The bytes that pi wrote. A dialogue is kept as `{"dir","msg"}` lines with spaces, which pi itself does not write.
fn stdout_of(recording: &[u8]) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        dir: String,
        #[serde(borrow)]
        msg: &'a serde_json::value::RawValue,
    }
    if !recording.starts_with(b"{\"dir\"") {
        return recording.to_vec();
    }
    let mut out = Vec::new();
    for line in recording.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
        let said: Said<'_> = serde_json::from_slice(line).unwrap();
        if said.dir == "<" {
            out.extend(compact(said.msg.get()));
            out.push(b'\n');
        }
    }
    out
}

/// Without the spaces between JSON tokens; the order of keys stays.
fn compact(json: &str) -> Vec<u8> {
    let (mut out, mut quoted, mut escaped) = (Vec::new(), false, false);
    for b in json.bytes() {
        if quoted || !b.is_ascii_whitespace() {
            out.push(b);
        }
        if escaped {
            escaped = false;
        } else if b == b'\\' {
            escaped = true;
        } else if b == b'"' {
            quoted = !quoted;
        }
    }
    out
}

pub(crate) fn parser(kind: RuntimeKind) -> Box<dyn Parser> {
    adapter(kind).unwrap().parser(Some("s-1"), None).unwrap()
}

pub(crate) fn whole(kind: RuntimeKind, stdout: &[u8], end: &WorkerEnd) -> (Vec<WorkerEvent>, Ending) {
    let mut parser = parser(kind);
    let mut out = Vec::new();
    parser.feed(Stream::Stdout, stdout, &mut out);
    let ending = parser.finish(end, &mut out);
    (out, ending)
}

/// Parses in pieces, and sets the parser down and takes up a new one wherever its state can be had and `renew` says so.
pub(crate) fn pieces(
    kind: RuntimeKind,
    stdout: &[u8],
    sizes: &[usize],
    renew: bool,
    end: &WorkerEnd,
) -> (Vec<WorkerEvent>, Ending) {
    let mut parser = parser(kind);
    let mut out = Vec::new();
    let mut rest = stdout;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*size).clamp(1, rest.len()));
        parser.feed(Stream::Stdout, piece, &mut out);
        rest = more;
        if renew && let Some(state) = parser.state() {
            parser = adapter(kind).unwrap().parser(None, Some(&state)).unwrap();
        }
    }
    let ending = parser.finish(end, &mut out);
    (out, ending)
}

/// Events as short lines: live text is counted, long text is cut.
pub(crate) fn short(events: &[WorkerEvent], ending: &Ending) -> String {
    let mut out = String::new();
    let (mut deltas, mut bytes) = (0, 0);
    for event in events {
        if let WorkerEvent::TextDelta { text } = event {
            deltas += 1;
            bytes += text.len();
            continue;
        }
        if deltas > 0 {
            writeln!(out, "TextDelta ×{deltas}, {bytes} bytes").unwrap();
            (deltas, bytes) = (0, 0);
        }
        writeln!(out, "{}", cut(&format!("{event:?}"))).unwrap();
    }
    if deltas > 0 {
        writeln!(out, "TextDelta ×{deltas}, {bytes} bytes").unwrap();
    }
    writeln!(out, "--").unwrap();
    let result =
        ending.result.as_deref().map(|r| format!("{} bytes: {:?}", r.len(), String::from_utf8_lossy(r)));
    writeln!(out, "outcome {:?}, truncated {}", ending.outcome, ending.truncated).unwrap();
    writeln!(out, "failure {}", cut(&format!("{:?}", ending.failure))).unwrap();
    writeln!(out, "result  {}", cut(&result.unwrap_or_else(|| "none".into()))).unwrap();
    writeln!(out, "usage   {:?}", ending.usage).unwrap();
    writeln!(out, "session {:?}, model {:?}", ending.session, ending.model).unwrap();
    out
}

fn cut(text: &str) -> String {
    if text.chars().count() <= 260 {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(260).collect::<String>())
    }
}

pub(crate) fn request() -> LaunchRequest {
    LaunchRequest {
        run: RunId::parse("k7m2qd").unwrap(),
        task: TaskId::parse("02_fix").unwrap(),
        step: "fix".into(),
        role: "executor".into(),
        agent: "executor".into(),
        attempt: 1,
        program: windlass_events::spec::ProgramSpec {
            path: "/usr/bin/pi".into(),
            version: "0.87.1".into(),
            model: None,
            args: vec!["-e".into(), "/h/prov/index.ts".into()],
        },
        command: Vec::new(),
        prompt: "# Task\nMend it.".into(),
        system_prompt: "You mend things.".into(),
        append_prompt: true,
        model: Some("mock/mock-1".into()),
        thinking: None,
        tools: None,
        access: Access::Write,
        session: SessionPlan::New { id: "k7m2qd-02_fix-1".into() },
        session_dir: "/s/runs/k7m2qd/sessions".into(),
        cwd: "/repo".into(),
        artifacts: "/s/runs/k7m2qd/artifacts/02_fix".into(),
        prompt_file: "/s/runs/k7m2qd/prompts/02_fix.1.md".into(),
        inherit_project_context: false,
        inherit_skills: false,
        interactive: true,
    }
}
