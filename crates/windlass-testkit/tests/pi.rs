//! The real pi works a tool loop against the scripted server, in both modes and both wire formats.

use serde_json::{Value, json};
use windlass_testkit::model::{Fault, Tokens};
use windlass_testkit::pi::{DUMMY_KEY, OPENAI, PI_VERSION, UNPRICED};
use windlass_testkit::process::{Output, Running, run};
use windlass_testkit::{ModelServer, PiHome, Reply, Rule, Script, TempRepo};

/// Reads, edits and tests, then says so.
fn mending() -> Rule {
    Rule::new("mend").last_user("mend the greeting").replies([
        Reply::tool("read", json!({ "path": "greeting.txt" })).usage(Tokens::new(1_000, 20, 0, 900)),
        Reply::tool(
            "edit",
            json!({ "path": "greeting.txt", "edits": [{ "oldText": "goodbye", "newText": "hello" }] }),
        )
        .usage(Tokens::new(150, 30, 900, 0)),
        Reply::text("Now the test. ")
            .and_tool("bash", json!({ "command": "./test.sh" }))
            .usage(Tokens::new(70, 10, 1_000, 5)),
        Reply::text("Mended: the greeting is hello.\n").usage(Tokens::new(33, 7, 1_100, 0)),
    ])
}

fn lines(text: &str) -> Vec<Value> {
    text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Usage summed over the assistant's messages.
fn usage(events: &[Value]) -> (Tokens, f64) {
    let mut sum = Tokens::default();
    let mut cost = 0.0;
    for event in events {
        let message = &event["message"];
        if event["type"] == "message_end" && message["role"] == "assistant" {
            let number = |name: &str| message["usage"][name].as_u64().unwrap();
            sum = sum.plus(Tokens::new(
                number("input"),
                number("output"),
                number("cacheRead"),
                number("cacheWrite"),
            ));
            cost += message["usage"]["cost"]["total"].as_f64().unwrap();
        }
    }
    (sum, cost)
}

fn final_text(events: &[Value]) -> String {
    let last = events
        .iter()
        .rev()
        .find(|event| event["type"] == "message_end" && event["message"]["role"] == "assistant")
        .unwrap();
    let blocks = last["message"]["content"].as_array().unwrap();
    blocks.iter().filter_map(|block| block["text"].as_str()).collect()
}

fn json_mode(home: &PiHome, repo: &TempRepo, args: &[&str]) -> Output {
    let mut pi = home.pi(repo.path());
    pi.args(["--mode", "json", "--no-extensions"]).args(args);
    run(pi, b"")
}

#[test]
fn the_pinned_version_is_installed() {
    let server = ModelServer::start(Script::new());
    let home = PiHome::new(&server);
    let repo = TempRepo::new();
    let mut pi = home.pi(repo.path());
    pi.arg("--version");
    let output = run(pi, b"").expect_code(0);
    assert_eq!(format!("{}{}", output.out(), output.err()).trim(), PI_VERSION);
}

#[test]
fn json_mode_works_a_tool_loop_over_anthropic() {
    let server = ModelServer::start(Script::new().rule(mending()));
    let home = PiHome::new(&server);
    let repo = TempRepo::failing_shell();
    let output = json_mode(&home, &repo, &["mend the greeting"]).expect_code(0);
    server.assert_all_expected();
    let events = lines(&output.out());
    assert_eq!(events.last().unwrap()["type"], "agent_settled");
    assert_eq!(final_text(&events), "Mended: the greeting is hello.\n");
    let (tokens, cost) = usage(&events);
    assert_eq!(tokens, server.usage_sent());
    assert_eq!(tokens, Tokens::new(1_253, 67, 3_000, 905));
    let expected = (1_253.0 * 3.0 + 67.0 * 15.0 + 3_000.0 * 0.3 + 905.0 * 3.75) / 1e6;
    assert!((cost - expected).abs() < 1e-9, "{cost} is not {expected}");
    assert!(repo.test_is_green());
    assert_eq!(repo.status(), " M greeting.txt\n");
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.signed_with(DUMMY_KEY)));
    assert!(requests[3].conversation().last_tool_result().unwrap().contains("ok - the greeting is hello"));
}

#[test]
fn json_mode_works_a_tool_loop_over_openai() {
    let server = ModelServer::start(Script::new().rule(mending()));
    let home = PiHome::with_default(&server, OPENAI);
    let repo = TempRepo::failing_shell();
    let output = json_mode(&home, &repo, &["mend the greeting"]).expect_code(0);
    server.assert_all_expected();
    let events = lines(&output.out());
    assert_eq!(final_text(&events), "Mended: the greeting is hello.\n");
    assert_eq!(usage(&events).0, server.usage_sent());
    assert!(repo.test_is_green());
    assert!(server.requests().iter().all(|request| request.path == "/v1/chat/completions"));
}

#[test]
fn rpc_mode_works_a_tool_loop_and_takes_a_steer() {
    let steered =
        Rule::new("steered").any_user("write it down as well").reply(Reply::text("unused")).replies([
            Reply::tool("bash", json!({ "command": "echo hello > note.txt" })),
            Reply::text("Written down."),
        ]);
    // One turn has passed when the steer arrives, so the first reply of `steered` is never asked for.
    let first = Rule::new("first")
        .last_user("look around")
        .reply(Reply::tool("bash", json!({ "command": "ls" })).hold("look"));
    let server = ModelServer::start(Script::new().rule(steered).rule(first));
    let home = PiHome::with_default(&server, UNPRICED);
    let repo = TempRepo::failing_shell();
    let mut pi = home.pi(repo.path());
    pi.args(["--mode", "rpc", "--no-extensions"]);
    let mut running = Running::start(pi);
    running.feed(b"{\"id\":\"1\",\"type\":\"prompt\",\"message\":\"look around\"}\n");
    server.wait_held("look", 1);
    running.feed(b"{\"id\":\"2\",\"type\":\"steer\",\"message\":\"write it down as well\"}\n");
    running.wait_stdout("the steer to be queued", |text| {
        lines_so_far(text).iter().any(|event| event["type"] == "response" && event["command"] == "steer")
    });
    server.release("look");
    let text = running.wait_stdout("the end of work", |text| text.contains("\"agent_settled\""));
    running.close_input();
    running.wait().expect_code(0);
    server.assert_all_expected();
    let events = lines_so_far(&text);
    assert_eq!(final_text(&events), "Written down.");
    let (tokens, cost) = usage(&events);
    assert_eq!(tokens, server.usage_sent());
    assert!(cost.abs() < f64::EPSILON, "a model without a price costs pi nothing");
    assert_eq!(repo.read("note.txt"), "hello\n");
    let second = &server.requests()[1];
    assert!(second.conversation().users().any(|user| user.contains("write it down as well")));
}

#[test]
fn pi_retries_what_fails_first_and_the_usage_still_agrees() {
    let reply =
        Reply::text("at last").first_failing([Fault::http(529, "overloaded"), Fault::Cut { after: 1 }]);
    let server = ModelServer::start(Script::always([reply.pieces_of(2)]));
    let home = PiHome::new(&server);
    let repo = TempRepo::new();
    let output = json_mode(&home, &repo, &["speak"]).expect_code(0);
    let events = lines(&output.out());
    assert_eq!(final_text(&events), "at last");
    assert_eq!(server.requests().len(), 3);
    assert_eq!(usage(&events).0, server.usage_sent());
}

#[test]
fn two_keys_are_told_apart() {
    let server = ModelServer::start(Script::always([Reply::text("x")]));
    let home = PiHome::with_key(&server, UNPRICED, "$TEST_MODEL_KEY");
    let repo = TempRepo::new();
    for key in ["key-of-one", "key-of-two"] {
        let mut pi = home.pi(repo.path());
        pi.args(["--mode", "json", "--no-extensions", "hello"]).env("TEST_MODEL_KEY", key);
        run(pi, b"").expect_code(0);
        assert!(server.requests().last().unwrap().signed_with(key));
    }
}

/// The whole lines of a stream that may end in the middle of one.
fn lines_so_far(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    lines(whole)
}

#[test]
fn a_killed_pi_goes_on_in_its_own_session_where_the_script_was() {
    let rule = Rule::new("executor").system("You are the executor of this test.").replies([
        Reply::tool("bash", json!({ "command": "echo one >> log.txt" })),
        Reply::tool("bash", json!({ "command": "echo two >> log.txt" })).hold("second"),
        Reply::text("Both lines are written."),
    ]);
    let server = ModelServer::start(Script::new().rule(rule));
    let home = PiHome::new(&server);
    let repo = TempRepo::new();
    let sessions = home.path().join("sessions-of-the-run");
    let pi = |prompt: &str| {
        let mut pi = home.pi(repo.path());
        pi.args(["--mode", "json", "--no-extensions", "--session-id", "attempt-1", "--session-dir"]);
        pi.arg(&sessions).args(["--append-system-prompt", "You are the executor of this test.", prompt]);
        pi
    };
    let mut first = Running::start(pi("write two lines"));
    // With its standard input open, pi would wait for more of its prompt.
    first.close_input();
    server.wait_held("second", 1);
    first.signal(9);
    assert_eq!(first.wait().signal, Some(9));
    server.release("second");
    let output = run(pi("your process ended; go on"), b"").expect_code(0);
    server.assert_all_expected();
    assert_eq!(final_text(&lines(&output.out())), "Both lines are written.");
    assert_eq!(repo.read("log.txt"), "one\ntwo\n");
    let third = &server.requests()[2];
    let users: Vec<&str> = third.conversation().users().collect();
    assert_eq!(users, ["write two lines", "your process ended; go on"]);
    assert_eq!(third.conversation().turn(), 1, "what the killed process had done is still known");
}
