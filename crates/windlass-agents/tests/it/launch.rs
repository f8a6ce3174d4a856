//! Launch plans.

use crate::support::request;
use windlass_agents::{Launch, LaunchError, LaunchRequest, SessionPlan, StartPlan, Stdin, adapter};
use windlass_events::{Access, RuntimeKind};

fn start(kind: RuntimeKind, request: &LaunchRequest) -> StartPlan {
    match adapter(kind).unwrap().launch(request).unwrap() {
        Launch::Start(plan) => *plan,
        Launch::Nothing { .. } => panic!("nothing is started"),
    }
}

fn value<'a>(plan: &'a StartPlan, flag: &str) -> Option<&'a str> {
    let at = plan.argv.iter().position(|a| a == flag)?;
    plan.argv.get(at + 1).map(String::as_str)
}

#[test]
fn pi_is_started_alone_and_quiet() {
    let plan = start(RuntimeKind::Pi, &request());
    insta::assert_snapshot!(readable(&plan));
}

#[test]
fn pi_reads_its_one_prompt_from_standard_input() {
    let plan =
        start(RuntimeKind::Pi, &LaunchRequest { interactive: false, prompt: "@a /b\n".into(), ..request() });
    assert_eq!(
        (plan.stdin, value(&start(RuntimeKind::Pi, &request()), "--mode")),
        (Stdin::Bytes(b"@a /b\n".to_vec()), Some("rpc"))
    );
    let plan =
        start(RuntimeKind::Pi, &LaunchRequest { interactive: false, prompt: " /quit".into(), ..request() });
    assert_eq!(plan.stdin, Stdin::Bytes(b"The task:\n /quit".to_vec()));
    assert!(plan.close_stdin_on.is_empty() && plan.stop.abort.is_none());
}

#[test]
fn text_from_people_cannot_run_a_command_of_pi() {
    let pi = adapter(RuntimeKind::Pi).unwrap();
    let line = pi.steer("r-1", "/login now\n\"x\"\u{2028}").unwrap();
    assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
    let sent: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(sent["message"], "\n/login now\n\"x\"\u{2028}");
    assert_eq!((sent["type"].as_str(), sent["id"].as_str()), (Some("steer"), Some("r-1")));
}

#[test]
fn pi_continues_only_a_session_that_is_recorded() {
    let plan = start(
        RuntimeKind::Pi,
        &LaunchRequest { session: SessionPlan::Continue { id: "k7m2qd-02_fix-1".into() }, ..request() },
    );
    assert_eq!((value(&plan, "--session"), value(&plan, "--session-id")), (Some("k7m2qd-02_fix-1"), None));
    let pi = adapter(RuntimeKind::Pi).unwrap();
    let names = ["2026-01-01T00-00-00-000Z_k7m2qd-02_fix-1.jsonl".to_owned(), "notes.md".to_owned()];
    assert!(pi.session_recorded(&names, "k7m2qd-02_fix-1"));
    assert!(!pi.session_recorded(&names, "k7m2qd-02_fix-11"));
    assert!(!pi.session_recorded(&[], "k7m2qd-02_fix-1"));
}

#[test]
fn pi_gets_tools_that_fit_the_role() {
    let tools = |access, tools: Option<&[&str]>| {
        let tools = tools.map(|t| t.iter().map(|&t| t.to_owned()).collect());
        let plan = start(RuntimeKind::Pi, &LaunchRequest { access, tools, ..request() });
        let none = plan.argv.contains(&"--no-tools".to_owned());
        (
            if none { Some("-".to_owned()) } else { value(&plan, "--tools").map(str::to_owned) },
            plan.notices.len(),
        )
    };
    let read = |t: &str| Some(t.to_owned());
    assert_eq!(tools(Access::Write, None), (None, 0));
    assert_eq!(tools(Access::Read, None), (read("read,grep,find,ls"), 0));
    assert_eq!(
        tools(Access::Read, Some(&["Read", "Grep", "Bash", "Edit", "Write"])),
        (read("read,grep,bash"), 0)
    );
    assert_eq!(
        tools(Access::Write, Some(&["Bash(git:*)", "Glob", "WebFetch", "MultiEdit"])),
        (read("bash,find,edit"), 1)
    );
    assert_eq!(tools(Access::Read, Some(&["WebSearch"])), (read("-"), 1));
    assert_eq!(tools(Access::Write, Some(&[])), (read("-"), 0));
}

#[test]
fn what_cannot_be_passed_on_safely_is_refused() {
    let pi = adapter(RuntimeKind::Pi).unwrap();
    assert!(matches!(
        pi.launch(&LaunchRequest { model: Some("a/b\n".into()), ..request() }),
        Ok(Launch::Start(_))
    ));
    assert!(matches!(
        pi.launch(&LaunchRequest { model: Some("a\u{1b}b".into()), ..request() }),
        Err(LaunchError::ControlByte { .. })
    ));
    let plan = start(
        RuntimeKind::Pi,
        &LaunchRequest { thinking: Some("hard".into()), system_prompt: " ".into(), ..request() },
    );
    assert_eq!((value(&plan, "--thinking"), plan.notices.len(), plan.files.len()), (None, 1, 1));
    let command = adapter(RuntimeKind::Command).unwrap();
    assert!(matches!(command.launch(&request()), Err(LaunchError::NoCommand { .. })));
    assert!(matches!(
        command.launch(&LaunchRequest { command: vec!["a\0".into()], ..request() }),
        Err(LaunchError::ControlByte { .. })
    ));
}

#[test]
fn a_command_is_started_as_it_is_written() {
    let plan = start(
        RuntimeKind::Command,
        &LaunchRequest { command: vec!["sh".into(), "-c".into(), "cat".into()], ..request() },
    );
    assert_eq!((plan.argv.len(), plan.stdin), (3, Stdin::Bytes(b"# Task\nMend it.".to_vec())));
    let names: Vec<_> = plan.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "WINDLASS_RUN",
            "WINDLASS_TASK",
            "WINDLASS_STEP",
            "WINDLASS_ATTEMPT",
            "WINDLASS_ARTIFACTS",
            "WINDLASS_PROMPT_FILE"
        ]
    );
}

#[test]
fn a_scaffold_starts_nothing_and_says_so() {
    match adapter(RuntimeKind::Scaffold).unwrap().launch(&request()).unwrap() {
        Launch::Nothing { files, result } => {
            assert!(result.starts_with("Nothing was started") && result.contains(&files[0].path));
        }
        Launch::Start(_) => panic!("something is started"),
    }
}

/// A plan as a person would write it down.
fn readable(plan: &StartPlan) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let list = |items: &[Vec<u8>]| items.iter().map(|b| format!("    {}\n", text(b))).collect::<String>();
    let mut out = format!("argv\n{}", plan.argv.iter().map(|a| format!("    {a}\n")).collect::<String>());
    out += &format!("env\n{}", plan.env.iter().map(|(n, v)| format!("    {n}={v}\n")).collect::<String>());
    out += &format!(
        "files\n{}",
        plan.files.iter().map(|f| format!("    {}: {:?}\n", f.path, text(&f.bytes))).collect::<String>()
    );
    out += &match &plan.stdin {
        Stdin::Null => "stdin: nothing\n".to_owned(),
        Stdin::Bytes(bytes) => format!("stdin, then its end\n    {}\n", text(bytes).trim_end()),
        Stdin::OpenWith(bytes) => format!("stdin, kept open\n    {}\n", text(bytes).trim_end()),
    };
    out += &format!("close stdin on\n{}drop\n{}", list(&plan.close_stdin_on), list(&plan.drop_prefixes));
    let stop = &plan.stop;
    out += &format!(
        "stop\n    {:?} {} ms, signal {} {} ms, linger {} ms\n",
        stop.abort.as_deref().map(text),
        stop.abort_grace_ms,
        stop.signal,
        stop.signal_grace_ms,
        stop.linger_ms
    );
    out
}
