//! Each way in which pi can end is told from every other.

use crate::support::whole;
use windlass_agents::text::TOOL_LIMIT;
use windlass_agents::{Ending, Stopped, Stream, WorkerEnd, WorkerEvent, adapter};
use windlass_events::{ErrorClass, Outcome, RuntimeKind};

const PI: RuntimeKind = RuntimeKind::Pi;
const SETTLED: &str = "{\"type\":\"agent_settled\"}\n";

fn answer(text: &str, stop: &str, error: Option<&str>) -> String {
    let message = serde_json::json!({
        "role": "assistant",
        "content": if text.is_empty() { serde_json::json!([]) } else { serde_json::json!([{ "type": "text", "text": text }]) },
        "provider": "mock", "model": "m",
        "usage": { "input": 10, "output": 5, "cacheRead": 2, "cacheWrite": 1, "cost": { "total": 0.001 } },
        "stopReason": stop, "errorMessage": error,
    });
    // Keys of a message in the order in which pi writes them: the role first.
    let rest = message.to_string();
    let rest = rest.replace(",\"role\":\"assistant\"", "");
    format!("{{\"type\":\"message_end\",\"message\":{{\"role\":\"assistant\",{}}}\n", &rest[1..])
}

fn ended(stdout: &str, end: &WorkerEnd) -> Ending {
    whole(PI, stdout.as_bytes(), end).1
}

fn stopped(why: Stopped) -> WorkerEnd {
    WorkerEnd { exit: Some(143), stopped: Some(why), ..WorkerEnd::default() }
}

#[test]
fn endings_are_told_apart() {
    let good = format!("{}{SETTLED}", answer("done", "stop", None));
    let exit = WorkerEnd::exited;
    let class = |e: &Ending| e.failure.as_ref().map(|f| f.class);
    use ErrorClass as C;
    for (what, stdout, end, outcome, failure) in [
        ("clean", good.clone(), exit(0), Outcome::Clean, None),
        ("code", good.clone(), exit(1), Outcome::Exit(1), Some(C::Exit)),
        (
            "signal",
            good.clone(),
            WorkerEnd { signal: Some(9), ..WorkerEnd::default() },
            Outcome::Signal(9),
            Some(C::Signal),
        ),
        ("foreign SIGTERM", good.clone(), exit(143), Outcome::Signal(15), Some(C::Signal)),
        ("silence", good.clone(), stopped(Stopped::Silence), Outcome::Silence, Some(C::Silence)),
        ("wall", good.clone(), stopped(Stopped::Wall), Outcome::WallClock, Some(C::WallClock)),
        ("output", good.clone(), stopped(Stopped::OutputLimit), Outcome::OutputLimit, Some(C::OutputLimit)),
        ("cancel", good.clone(), stopped(Stopped::Cancel), Outcome::Cancelled, None),
        ("tied", good.clone(), stopped(Stopped::Tied), Outcome::Cancelled, None),
        (
            "cannot start",
            String::new(),
            WorkerEnd { stopped: Some(Stopped::CannotStart("no such file".into())), ..WorkerEnd::default() },
            Outcome::CannotStart,
            Some(C::CannotStart),
        ),
        ("lingers after the end", good.clone(), stopped(Stopped::AfterEnd), Outcome::Clean, None),
        (
            "lingers without an end",
            answer("x", "stop", None),
            stopped(Stopped::AfterEnd),
            Outcome::Exit(143),
            Some(C::Exit),
        ),
        (
            "no terminal event",
            answer("done", "stop", None),
            exit(0),
            Outcome::NoTerminalEvent,
            Some(C::NoTerminalEvent),
        ),
        ("nothing at all", String::new(), exit(0), Outcome::NoTerminalEvent, Some(C::NoTerminalEvent)),
        (
            "nothing is known",
            good.clone(),
            WorkerEnd::default(),
            Outcome::NoTerminalEvent,
            Some(C::NoTerminalEvent),
        ),
        (
            "no text",
            format!("{}{SETTLED}", answer("", "stop", None)),
            exit(0),
            Outcome::EmptyOutput,
            Some(C::EmptyOutput),
        ),
        (
            "blank text",
            format!("{}{SETTLED}", answer(" \n", "stop", None)),
            exit(0),
            Outcome::EmptyOutput,
            Some(C::EmptyOutput),
        ),
        ("settled and silent", SETTLED.to_owned(), exit(0), Outcome::EmptyOutput, Some(C::EmptyOutput)),
        (
            "provider",
            format!("{}{SETTLED}", answer("", "error", Some("429 \u{1b}[31m{\"type\":\"error\"}\r\nmore\0"))),
            exit(0),
            Outcome::ProviderError,
            Some(C::RateLimit),
        ),
        (
            "provider, after text",
            format!(
                "{}{}{SETTLED}",
                answer("half", "toolUse", None),
                answer("", "error", Some("terminated"))
            ),
            exit(0),
            Outcome::ProviderError,
            Some(C::Network),
        ),
        (
            "aborted by itself",
            format!("{}{SETTLED}", answer("", "aborted", None)),
            exit(0),
            Outcome::ProviderError,
            Some(C::Provider),
        ),
        (
            "cut answer",
            format!("{}{SETTLED}", answer("hal", "length", None)),
            exit(0),
            Outcome::ProviderError,
            Some(C::Context),
        ),
        (
            "error, then well",
            format!("{}{}{SETTLED}", answer("", "error", Some("500 x")), answer("ok", "stop", None)),
            exit(0),
            Outcome::Clean,
            None,
        ),
        (
            "cut line",
            good[..good.len() - 40].to_owned(),
            exit(0),
            Outcome::NoTerminalEvent,
            Some(C::NoTerminalEvent),
        ),
        (
            "unreadable message",
            format!(
                "{}{{\"type\":\"message_end\",\"message\":{{\"role\":\"assistant\",oops}}}}\n{SETTLED}",
                answer("old", "stop", None)
            ),
            exit(0),
            Outcome::NoTerminalEvent,
            Some(C::NoTerminalEvent),
        ),
    ] {
        let ending = ended(&stdout, &end);
        assert_eq!((&ending.outcome, class(&ending)), (&outcome, failure), "{what}: {ending:?}");
        if let Some(failure) = ending.failure {
            assert!(
                !failure.message.is_empty() && !failure.message.chars().any(|c| c.is_control() && c != '\n'),
                "{what}"
            );
        }
    }
}

#[test]
fn a_prompt_that_is_not_taken_ends_the_work() {
    let line = "{\"id\":\"windlass-prompt\",\"type\":\"response\",\"command\":\"prompt\",\"success\":false,\"error\":\"No API key found for anthropic.\\n\\nUse /login\"}\n";
    let (events, ending) = whole(PI, line.as_bytes(), &WorkerEnd::exited(0));
    assert!(events.contains(&WorkerEvent::Settled));
    let failure = ending.failure.unwrap();
    assert_eq!((ending.outcome, failure.class), (Outcome::ProviderError, ErrorClass::Auth));
    assert!(failure.hint.contains("sign in"));
}

#[test]
fn a_steer_is_answered_with_its_id_and_the_truth() {
    let reply = |ok: bool| {
        format!(
            "{{\"id\":\"r-7\",\"type\":\"response\",\"command\":\"steer\",\"success\":{ok},\"error\":\"no\"}}\n"
        )
    };
    let answered = |stdout: &str| {
        whole(PI, stdout.as_bytes(), &WorkerEnd::exited(0)).0.into_iter().find_map(|e| match e {
            WorkerEvent::SteerAnswered { id, error } => Some((id, error.is_some())),
            _ => None,
        })
    };
    assert_eq!(answered(&reply(true)), Some(("r-7".into(), false)));
    assert_eq!(answered(&reply(false)), Some(("r-7".into(), true)));
    assert_eq!(answered(&format!("{SETTLED}{}", reply(true))), Some(("r-7".into(), true)));
}

#[test]
fn money_is_summed_and_an_unknown_price_is_no_price() {
    let free = answer("b", "stop", None).replace("0.001", "0");
    let ending = ended(&format!("{}{free}{SETTLED}", answer("a", "toolUse", None)), &WorkerEnd::exited(0));
    let u = ending.usage;
    assert_eq!((u.input, u.output, u.cache_read, u.cache_write, u.turns), (20, 10, 4, 2, 2));
    assert_eq!((u.cost_microusd, u.unpriced_tokens, u.cost_usd()), (1_000, 18, None));
    let compaction = "{\"type\":\"compaction_end\",\"reason\":\"threshold\",\"result\":{\"summary\":\"s\",\"usage\":{\"input\":7,\"output\":1,\"cost\":{\"total\":0.5}}},\"aborted\":false}\n";
    assert_eq!(ended(compaction, &WorkerEnd::exited(0)).usage.cost_microusd, 500_000);
}

#[test]
fn numbers_and_text_that_are_no_numbers_and_no_text_are_survived() {
    let odd = answer("x", "stop", None)
        .replace("\"input\":10", "\"input\":-1e300")
        .replace("\"output\":5", "\"output\":1e300");
    let usage = ended(&odd, &WorkerEnd::exited(0)).usage;
    assert_eq!((usage.input, usage.output), (0, u64::MAX));
    // Half a character pair, as JavaScript writes it, and bytes that are no UTF-8.
    let half = answer("TEXT", "stop", None).replace("TEXT", "a\\ud83db");
    let half = ended(&format!("{half}{SETTLED}"), &WorkerEnd::exited(0));
    assert_eq!(half.outcome, Outcome::Clean);
    let mut bytes = answer("TEXT", "stop", None).into_bytes();
    let at = bytes.windows(4).position(|w| w == b"TEXT").unwrap();
    bytes[at] = 0xff;
    bytes.extend_from_slice(SETTLED.as_bytes());
    let (_, ending) = whole(PI, &bytes, &WorkerEnd::exited(0));
    assert_eq!(ending.result.as_deref(), Some("\u{fffd}EXT".as_bytes()));
}

#[test]
fn text_is_kept_byte_for_byte() {
    let text = "line\u{2028}separator \"quoted\" \\ tab\t null\0 é 🦀 trailing  \n\n";
    let ending = ended(&format!("{}{SETTLED}", answer(text, "stop", None)), &WorkerEnd::exited(0));
    assert_eq!(ending.result.as_deref(), Some(text.as_bytes()));
}

#[test]
fn questions_carry_their_refusal_and_notices_do_not_ask() {
    let ask = "{\"type\":\"extension_ui_request\",\"id\":\"q\",\"method\":\"confirm\",\"title\":\"Sure\\u001b[31m?\",\"message\":\"really\"}\n{\"type\":\"extension_ui_request\",\"id\":\"n\",\"method\":\"notify\",\"message\":\"hi\"}\n";
    let (events, _) = whole(PI, ask.as_bytes(), &WorkerEnd::exited(0));
    let [WorkerEvent::Question { id, text, decline }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((id.as_str(), text.as_str()), ("q", "Sure? really"));
    assert_eq!(decline, b"{\"cancelled\":true,\"id\":\"q\",\"type\":\"extension_ui_response\"}\n");
}

#[test]
fn standard_error_explains_and_expected_warnings_do_not() {
    let mut parser = adapter(PI).unwrap().parser(None, None).unwrap();
    let mut out = Vec::new();
    parser.feed(
        Stream::Stderr,
        b"Warning: No project session found with id 's'; creating a new session with that id.\n\x1b[31mError: Model \"x/y\" not found.\x1b[0m",
        &mut out,
    );
    let ending = parser.finish(&WorkerEnd::exited(1), &mut out);
    assert_eq!(out, [WorkerEvent::Log { line: "Error: Model \"x/y\" not found.".into() }]);
    assert_eq!(ending.failure.unwrap().message, "pi ended with exit code 1: Error: Model \"x/y\" not found.");
}

#[test]
fn long_tool_lines_are_still_understood() {
    let big = "z".repeat(200_000);
    let lines = format!(
        "{{\"type\":\"tool_execution_start\",\"toolCallId\":\"c1\",\"toolName\":\"write\",\"args\":{{\"path\":\"a\",\"content\":\"{big}\"}}}}\n\
         {{\"type\":\"tool_execution_end\",\"toolCallId\":\"c1\",\"toolName\":\"write\",\"result\":\"{big}\",\"isError\":false}}\n\
         {{\"type\":\"tool_execution_end\",\"toolCallId\":\"c2\",\"toolName\":\"read\",\"result\":\"{big}\",\"isError\":true}}\n"
    );
    let (events, _) = whole(PI, lines.as_bytes(), &WorkerEnd::exited(0));
    let [WorkerEvent::ToolStart { id, name, summary, arguments }, ok, bad] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((id.as_str(), name.as_str()), ("c1", "write"));
    assert!(summary.starts_with("{\"path\":\"a\"") && summary.len() < 300);
    assert!(arguments.starts_with("{\"path\":\"a\"") && arguments.len() < 2 * TOOL_LIMIT);
    let end = |id: &str, name: &str, ok| WorkerEvent::ToolEnd {
        id: id.into(),
        name: name.into(),
        ok,
        output: String::new(),
    };
    assert_eq!((ok, bad), (&end("c1", "write", true), &end("c2", "read", false)));
}

#[test]
fn a_tool_says_what_it_was_given_and_what_it_gave_back_within_a_bound() {
    let big = "z".repeat(TOOL_LIMIT);
    let lines = format!(
        "{{\"type\":\"tool_execution_start\",\"toolCallId\":\"c1\",\"toolName\":\"bash\",\"args\":{{\"command\":\"make\",\"timeout\":5}}}}\n\
         {{\"type\":\"tool_execution_end\",\"toolCallId\":\"c1\",\"toolName\":\"bash\",\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"one\\ntwo\"}}]}},\"isError\":true}}\n\
         {{\"type\":\"tool_execution_end\",\"toolCallId\":\"c2\",\"toolName\":\"read\",\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"begin {big} end\"}}]}},\"isError\":false}}\n"
    );
    let (events, _) = whole(PI, lines.as_bytes(), &WorkerEnd::exited(0));
    let [WorkerEvent::ToolStart { summary, arguments, .. }, short, long] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((summary.as_str(), arguments.as_str()), ("make", "{\"command\":\"make\",\"timeout\":5}"));
    let outputs = [short, long].map(|e| match e {
        WorkerEvent::ToolEnd { output, .. } => output.as_str(),
        other => panic!("{other:?}"),
    });
    assert_eq!(outputs[0], "one\ntwo");
    assert!(outputs[1].starts_with("begin z") && outputs[1].ends_with("z end"), "{}", outputs[1]);
    assert!(outputs[1].contains("bytes left out") && outputs[1].len() < TOOL_LIMIT + 100);
}

#[test]
fn a_state_of_another_version_is_refused() {
    let pi = adapter(PI).unwrap();
    let state = String::from_utf8(pi.parser(Some("s"), None).unwrap().state().unwrap()).unwrap();
    assert!(pi.parser(None, Some(state.as_bytes())).is_some());
    assert!(pi.parser(None, Some(state.replacen("\"version\":1", "\"version\":2", 1).as_bytes())).is_none());
    assert!(pi.parser(None, Some(b"")).is_none());
}
