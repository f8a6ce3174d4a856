//! Transcripts of spools as shims write them.

use super::*;
use serde_json::{Value, json};
use windlass_events::event::{AttemptEnd, Cause};
use windlass_events::{TaskId, TaskSpec, Usage};
use windlass_worker::spool::{encode_frame, encode_header};

/// 2026-01-31 14:00:00 UTC.
const START: Millis = 1_769_868_000_000;

fn task(runtime: &str) -> Task {
    let spec: TaskSpec = serde_json::from_value(json!({
        "id": TaskId::for_step(2, "execute"), "step": "execute", "role": "executor", "agent": "`evil`",
        "runtime": runtime, "access": "write", "attempts": 3, "silence_ms": 0, "wall_ms": 0,
    }))
    .unwrap();
    let end: AttemptEnd = serde_json::from_value(json!({
        "outcome": { "exit": 3 }, "model": "mock/m",
        "failure": { "class": "exit", "message": "exit code 3: no such file" },
        "result": { "path": "results/02_execute.1.md", "hash": "", "bytes": 7 },
    }))
    .unwrap();
    let attempt = Attempt {
        n: 1,
        cause: Cause::First,
        started_at: START,
        ended_at: Some(START + 9_000),
        status: AttemptStatus::Failed,
        usage: Usage::default(),
        session: None,
        model: None,
        end: Some(end),
        left: Vec::new(),
        last: String::new(),
        turns_at_start: 0,
        stopped_by_cap: false,
    };
    let mut task = Task::new(spec);
    task.attempts.push(attempt);
    task
}

/// A spool of frames that came a second apart.
fn spool<'a>(frames: impl IntoIterator<Item = (FrameKind, &'a [u8])>) -> tempfile::NamedTempFile {
    let mut bytes = Vec::new();
    encode_header(&mut bytes);
    encode_frame(&mut bytes, FrameKind::Claim, START, b"{}");
    for (at, (kind, data)) in frames.into_iter().enumerate() {
        encode_frame(&mut bytes, kind, START + 1_000 * (at as i64 + 1), data);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn told(runtime: &str, spool: &tempfile::NamedTempFile) -> String {
    let task = task(runtime);
    let run = RunId::parse("k7m2qd").unwrap();
    String::from_utf8(transcript(run, &task, &task.attempts[0], spool.path()).unwrap()).unwrap()
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// As pi writes it: the type first, the role before the rest of a message.
fn message(text: &str) -> Vec<u8> {
    let text = Value::from(text);
    format!(
        "{{\"type\":\"message_end\",\"message\":{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\
         \"provider\":\"mock\",\"model\":\"m\",\"stopReason\":\"stop\"}}}}\n"
    )
    .into_bytes()
}

const EVIL: &str =
    "\u{1b}[2Jgone\u{7}\n```\n# not a heading\n![x](http://evil/x)\n<script>\n````text\n\u{202e}turned";

#[test]
fn an_agents_words_and_tools_are_told_in_order_and_nothing_of_them_acts() {
    let tool = br#"{"type":"tool_execution_start","toolCallId":"c1","toolName":"bash`x","args":{"command":"make \u001b[1m```"}}"#;
    let output = json!({"content": [{"type": "text", "text": EVIL}]});
    let back = format!(
        "{{\"type\":\"tool_execution_end\",\"toolCallId\":\"c1\",\"toolName\":\"bash`x\",\"result\":{output},\"isError\":true}}\n"
    );
    let [first, last] = [message("Looking."), message(EVIL)];
    let spool = spool([
        (FrameKind::Stdout, first.as_slice()),
        (FrameKind::Stdout, [tool.as_slice(), b"\n"].concat().leak()),
        (FrameKind::Stderr, b"warning: \x1b[31mred\n"),
        (FrameKind::Stdout, back.as_bytes()),
        (FrameKind::Stdout, last.as_slice()),
        (FrameKind::Stdout, b"{\"type\":\"agent_settled\"}\n"),
    ]);
    let text = told("pi", &spool);
    insta::assert_snapshot!(text);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    // Every heading is ours: none of theirs is outside a fence.
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if line.starts_with("```") => fence = Some(line.trim_end_matches("text")),
            None => assert!(!line.contains("evil/x") && !line.contains("not a heading"), "{line}"),
        }
    }
    assert_eq!(fence, None);
}

#[test]
fn a_commands_lines_are_told_as_they_are_by_stream() {
    let spool = spool([
        (FrameKind::Stdout, b"one\ntw".as_slice()),
        (FrameKind::Stdout, b"o\n"),
        (FrameKind::Stderr, b"bad \xff\r\n"),
        (FrameKind::Stdout, b"three"),
    ]);
    insta::assert_snapshot!(told("command", &spool));
}

#[test]
fn what_looks_like_a_key_is_replaced() {
    const KEY: &str = "sk-ant-api03-AbCdEfGhIjKlMnOpQrSt";
    let start = line(&json!({"type": "tool_execution_start", "toolName": "bash", "args": {"command": KEY}}));
    let end = line(&json!({
        "type": "tool_execution_end", "toolName": "bash", "isError": false,
        "result": {"content": [{"type": "text", "text": format!("found {KEY}")}]},
    }));
    let [said, log] = [message(&format!("use {KEY}")), format!("export {KEY}\n").into_bytes()];
    let frames = [
        (FrameKind::Stdout, said.as_slice()),
        (FrameKind::Stdout, &start),
        (FrameKind::Stdout, &end),
        (FrameKind::Stderr, &log),
    ];
    let text = told("pi", &spool(frames));
    assert_eq!((text.contains("sk-ant"), text.matches("[redacted]").count()), (false, 4), "{text}");
    let text = told("command", &spool([(FrameKind::Stdout, log.as_slice())]));
    assert!(text.contains("export [redacted]"), "{text}");
}

#[test]
fn a_spool_that_is_damaged_is_told_up_to_there() {
    let spool = spool([(FrameKind::Stdout, b"one\n".as_slice()), (FrameKind::Stdout, b"two\n")]);
    let mut bytes = std::fs::read(spool.path()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(spool.path(), bytes).unwrap();
    let text = told("command", &spool);
    assert!(text.contains("one") && !text.contains("two") && text.contains("is damaged at byte"), "{text}");
}

#[test]
fn a_transcript_is_bounded_and_keeps_beginning_and_end() {
    let middle = message(&"w".repeat(20_000));
    let [first, last] = [message("the first word"), message("the last word")];
    let frames = std::iter::once(&first).chain(std::iter::repeat_n(&middle, 300)).chain([&last]);
    let text = told("pi", &spool(frames.map(|f| (FrameKind::Stdout, f.as_slice()))));
    assert!(text.len() < 2 * HALF + 64 * 1024, "{}", text.len());
    assert!(text.contains("the first word") && text.contains("the last word"));
    assert!(
        text.contains("entries are left out here")
            && text.contains("windlass logs k7m2qd/02_execute --attempt 1")
    );
    // The same for lines, of which one never ends.
    let endless = vec![b'x'; 1 << 20];
    let frames = std::iter::repeat_n((FrameKind::Stdout, endless.as_slice()), 8);
    let text = told("command", &spool(frames));
    assert!(text.len() < 2 * HALF + 64 * 1024 && text.contains("left out here"), "{}", text.len());
}

#[test]
fn lines_are_cut_between_lines_and_none_is_lost() {
    let mut all = String::new();
    for n in 0..4_000 {
        all.push_str(&format!("line {n}\n"));
    }
    let frames: Vec<_> = all.as_bytes().chunks(777).map(|c| (FrameKind::Stdout, c)).collect();
    let text = told("command", &spool(frames));
    let lines: String = text.lines().filter(|l| l.starts_with("line ")).map(|l| format!("{l}\n")).collect();
    assert_eq!(lines, all);
}

#[test]
fn line_by_line_events_share_an_entry() {
    let lines: Vec<Vec<u8>> = (0..3).map(|n| line(&json!({"type": "", "n": n}))).collect();
    let text = told("pi", &spool(lines.iter().map(|l| (FrameKind::Stderr, l.as_slice()))));
    assert_eq!(text.matches("standard error").count(), 1, "{text}");
}
