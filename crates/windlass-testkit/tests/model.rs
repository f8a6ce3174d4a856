//! The scripted model server: both wire formats, choosing, faults, barriers.

use crate::client::{
    Assembled, anthropic, assemble_anthropic, assemble_openai, data, openai, post, read, send, user,
};
use serde_json::{Value, json};
use std::io::Read;
use windlass_testkit::model::{Block, Ending, Fault, ModelServer, Order, Reply, Rule, Script, Tokens, When};

const USAGE: Tokens = Tokens::new(1_000, 50, 700, 30);

fn rich() -> Reply {
    Reply::default()
        .block(Block::Thinking("hm, \u{2028}".into()))
        .and_text("Gr\u{fc}\u{df}e \u{1f980} \"quoted\"\n\tand a tab")
        .and_tool("bash", json!({ "command": "printf 'a\\nb' | wc -l" }))
        .and_tool("read", json!({ "path": "\u{e4}.txt" }))
        .usage(USAGE)
        .pieces_of(3)
}

fn assembled(stop: &str) -> Assembled {
    Assembled {
        text: "Gr\u{fc}\u{df}e \u{1f980} \"quoted\"\n\tand a tab".into(),
        thinking: "hm, \u{2028}".into(),
        calls: vec![
            ("bash".into(), json!({ "command": "printf 'a\\nb' | wc -l" })),
            ("read".into(), json!({ "path": "\u{e4}.txt" })),
        ],
        stop: stop.into(),
        usage: [1_000, 50, 700, 30],
    }
}

#[test]
fn an_anthropic_stream_assembles_to_the_script() {
    let server = ModelServer::start(Script::always([rich()]));
    let answer = post(server.port(), "/v1/messages", &anthropic("sys", user("hi"), true));
    assert_eq!(answer.status, 200);
    assert!(answer.whole && answer.head.contains("text/event-stream"));
    assert_eq!(assemble_anthropic(&answer.body), assembled("tool_use"));
    assert_eq!(server.usage_sent(), USAGE);
    assert_eq!(server.requests()[0].ending, Ending::Done);
}

#[test]
fn an_openai_stream_assembles_to_the_script() {
    let server = ModelServer::start(Script::always([rich()]));
    let answer = post(server.port(), "/v1/chat/completions", &openai("sys", user("hi"), true));
    assert!(answer.whole && answer.body.ends_with("data: [DONE]\n\n"));
    assert_eq!(assemble_openai(&answer.body), assembled("tool_calls"));
    assert_eq!(server.usage_sent(), USAGE);
}

#[test]
fn whole_answers_carry_the_same_message() {
    let server = ModelServer::start(Script::always([rich()]));
    let answer = post(server.port(), "/v1/messages", &anthropic("sys", user("hi"), false));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["content"][2]["input"]["command"], "printf 'a\\nb' | wc -l");
    assert_eq!(body["stop_reason"], "tool_use");
    assert_eq!(body["usage"]["output_tokens"], 50);
    let answer = post(server.port(), "/v1/chat/completions", &openai("sys", user("hi"), false));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["choices"][0]["message"]["tool_calls"][1]["function"]["name"], "read");
    assert_eq!(body["usage"]["prompt_tokens"], 1_730);
    assert_eq!(server.usage_sent(), USAGE.plus(USAGE));
}

#[test]
fn rules_are_chosen_by_what_the_request_says() {
    let script = Script::new()
        .rule(Rule::new("steered").any_user("please stop").reply(Reply::text("stopped")).repeat_last())
        .rule(
            Rule::new("red").when(When::ToolResult("exit 1".into())).reply(Reply::text("red")).repeat_last(),
        )
        .rule(Rule::new("explorer").system("explorer").replies([Reply::text("one"), Reply::text("two")]))
        .rule(
            Rule::new("others")
                .when(When::Not(Box::new(When::System("explorer".into()))))
                .reply(Reply::text("other")),
        );
    let server = ModelServer::start(script);
    let say = |system: &str, messages: Value| {
        assemble_anthropic(&post(server.port(), "/v1/messages", &anthropic(system, messages, true)).body).text
    };
    assert_eq!(say("you are the explorer", user("go")), "one");
    assert_eq!(say("you are the explorer", user("go")), "one", "the same request gets the same reply");
    let second = json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "bash", "input": {} }] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "fine" }] },
        ] },
    ]);
    assert_eq!(say("you are the explorer", second.clone()), "two");
    let mut failed = second.clone();
    failed[2]["content"][0]["content"][0]["text"] = json!("exit 1");
    assert_eq!(say("you are the explorer", failed), "red");
    let mut steered = second;
    steered[2]["content"].as_array_mut().unwrap().push(json!({ "type": "text", "text": "please stop" }));
    assert_eq!(say("you are the explorer", steered), "stopped");
    assert_eq!(say("someone", user("go")), "other");
    let rules: Vec<_> = server.requests().iter().map(|request| request.rule.clone().unwrap()).collect();
    assert_eq!(rules, ["explorer", "explorer", "explorer", "red", "steered", "others"]);
    server.assert_all_expected();
}

#[test]
fn queues_count_for_all_or_for_each_conversation() {
    let replies = || [Reply::text("a"), Reply::text("b")];
    let script = Script::new()
        .rule(Rule::new("all").system("queue").order(Order::Queue).replies(replies()))
        .rule(Rule::new("each").system("each").order(Order::Conversation).replies(replies()))
        .rule(Rule::new("prompt").system("prompt").order(Order::Prompt).replies(replies()));
    let server = ModelServer::start(script);
    let say = |system: &str, messages: Value| {
        assemble_openai(&post(server.port(), "/v1/chat/completions", &openai(system, messages, true)).body)
            .text
    };
    assert_eq!([say("queue", user("x")), say("queue", user("y"))], ["a", "b"]);
    assert_eq!([say("each", user("x")), say("each", user("y")), say("each", user("x"))], ["a", "a", "b"]);
    let again = json!([
        { "role": "user", "content": "x" }, { "role": "assistant", "content": "a" },
        { "role": "user", "content": "more" },
    ]);
    assert_eq!([say("prompt", user("x")), say("prompt", again)], ["a", "a"]);
}

#[test]
fn an_unmatched_request_is_an_error_that_names_itself() {
    let server = ModelServer::start(Script::new().rule(Rule::new("none").system("elsewhere")));
    let answer = post(server.port(), "/v1/messages", &anthropic("sys", user("who am I"), true));
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("no reply") && answer.body.contains("who am I"), "{}", answer.body);
    let answer = post(server.port(), "/v1/elsewhere", &json!({}));
    assert_eq!(answer.status, 400);
    assert_eq!(server.unexpected().len(), 2);
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.assert_all_expected()));
    assert!(failure.is_err());
}

#[test]
fn keys_are_recognised_and_never_recorded() {
    let server = ModelServer::start(Script::always([Reply::text("x")]));
    post(server.port(), "/v1/messages", &anthropic("sys", user("hi"), true));
    let request = &server.requests()[0];
    assert!(request.signed_with("k-1") && !request.signed_with("k-2"));
    assert!(!serde_json::to_string(request).unwrap().contains("k-1"));
    assert_eq!(request.headers["authorization"], "<secret>");
}

#[test]
fn errors_and_broken_streams() {
    let script =
        Script::new()
            .rule(Rule::new("limited").system("limited").reply(Reply::default().fault(Fault::Http {
                status: 429,
                message: "slow down".into(),
                retry_after: Some(7),
            })))
            .rule(Rule::new("then").system("then").reply(
                Reply::text("fine").first_failing([Fault::http(500, "oops"), Fault::http(529, "full")]),
            ))
            .rule(
                Rule::new("cut")
                    .system("cut")
                    .reply(Reply::text("abcdefgh").pieces_of(2).fault(Fault::Cut { after: 2 }).usage(USAGE)),
            )
            .rule(Rule::new("event").system("event").reply(Reply::text("abcd").pieces_of(2).fault(
                Fault::Event { after: 1, kind: "overloaded_error".into(), message: "overloaded".into() },
            )));
    let server = ModelServer::start(script);
    let ask = |system: &str| post(server.port(), "/v1/messages", &anthropic(system, user("hi"), true));

    let limited = ask("limited");
    assert_eq!(limited.status, 429);
    assert!(limited.head.contains("retry-after: 7") && limited.body.contains("rate_limit_error"));

    let statuses = [ask("then").status, ask("then").status, ask("then").status, ask("then").status];
    assert_eq!(statuses, [500, 529, 200, 200]);

    let cut = ask("cut");
    assert_eq!(cut.status, 200);
    assert!(!cut.whole, "a cut stream has no proper end");
    let text: String = data(&cut.body).iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, "abcd");
    let record = server.requests().last().unwrap().clone();
    assert_eq!(record.ending, Ending::Broken);
    assert_eq!(record.sent, Tokens { output: 0, ..USAGE }, "output was never reported");

    let broken = ask("event");
    assert_eq!(data(&broken.body).last().unwrap()["error"]["type"], "overloaded_error");
}

#[test]
fn a_held_reply_waits_for_the_test() {
    let script = Script::always([Reply::text("abcd").pieces_of(2).hold("start").hold_after(1, "middle")]);
    let server = ModelServer::start(script);
    let stream = send(server.port(), "/v1/messages", &anthropic("sys", user("hi"), true));
    server.wait_held("start", 1);
    assert_eq!(server.requests()[0].ending, Ending::Open);
    server.release("start");
    server.wait_held("middle", 1);
    server.release_one("middle");
    let answer = read(stream);
    assert_eq!(assemble_anthropic(&answer.body).text, "abcd");

    // `start` is open now, `middle` let exactly one through.
    let stream = send(server.port(), "/v1/messages", &anthropic("sys", user("hi"), true));
    server.wait_held("middle", 1);
    server.hold("start");
    let other = send(server.port(), "/v1/messages", &anthropic("sys", user("hi"), true));
    server.wait_held("start", 1);
    drop(other);
    server
        .wait_for("the held client to be seen leaving", |requests| requests[2].ending == Ending::ClientLeft);
    server.wait_held("start", 0);
    server.release("middle");
    assert!(read(stream).whole);
}

#[test]
fn endless_hung_and_very_large_answers() {
    let script = Script::new()
        .rule(
            Rule::new("endless")
                .system("endless")
                .reply(Reply::default().block(Block::Endless("round ".into()))),
        )
        .rule(
            Rule::new("hung")
                .system("hung")
                .reply(Reply::text("abcd").pieces_of(2).fault(Fault::Hang { after: 1 })),
        )
        .rule(
            Rule::new("large").system("large").reply(
                Reply::default()
                    .block(Block::Repeat { text: "0123456789abcdef".repeat(64), times: 8_192 })
                    .pieces_of(65_536),
            ),
        );
    let server = ModelServer::start(script);
    for system in ["endless", "hung"] {
        let mut stream = send(server.port(), "/v1/messages", &anthropic(system, user("hi"), true));
        let mut some = [0; 600];
        stream.read_exact(&mut some).unwrap();
        let n = server.requests().len() - 1;
        assert_eq!(server.requests()[n].ending, Ending::Open);
        drop(stream);
        server.wait_for("the client to be seen leaving", |requests| requests[n].ending == Ending::ClientLeft);
    }
    let large = post(server.port(), "/v1/messages", &anthropic("large", user("hi"), true));
    assert_eq!(assemble_anthropic(&large.body).text.len(), 8 << 20);
}

#[test]
fn many_clients_at_once_are_each_answered_from_their_own_conversation() {
    let rule = Rule::new("echo")
        .answer(|request| Reply::text(request.conversation().users().next().unwrap_or_default().to_owned()));
    let server = ModelServer::start(Script::new().rule(rule));
    let port = server.port();
    std::thread::scope(|scope| {
        for n in 0..32 {
            scope.spawn(move || {
                let text = format!("client {n}");
                let answer = post(port, "/v1/messages", &anthropic("sys", user(&text), true));
                assert_eq!(assemble_anthropic(&answer.body).text, text);
            });
        }
    });
    assert_eq!(server.requests().len(), 32);
    assert_eq!(server.usage_sent().input, 3_200);
}

#[test]
fn dropping_the_server_ends_what_it_holds() {
    let server = ModelServer::start(Script::always([Reply::text("x").hold("for ever")]));
    let stream = send(server.port(), "/v1/messages", &anthropic("sys", user("hi"), true));
    server.wait_held("for ever", 1);
    drop(server);
    assert!(!read(stream).whole);
}

#[test]
fn a_script_survives_json_and_the_server_runs_as_a_process() {
    let script = Script::new()
        .rule(
            Rule::new("r")
                .system("sys")
                .order(Order::Queue)
                .reply(rich().hold_after(1, "gate"))
                .repeat_last(),
        )
        .usage(USAGE);
    let text = serde_json::to_string(&script).unwrap();
    let back: Script = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert!(serde_json::from_str::<Script>(r#"{"rulez": []}"#).is_err(), "misspelt fields are refused");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.json");
    std::fs::write(&path, text).unwrap();
    let mut command = std::process::Command::new(windlass_testkit::programs::model_server());
    command.arg(&path);
    let mut running = windlass_testkit::process::Running::start(command);
    let port = running.wait_stdout("the port", |text| text.ends_with('\n')).trim().parse().unwrap();
    post(port, "/_script/release/gate", &Value::Null);
    let answer = post(port, "/v1/messages", &anthropic("sys", user("hi"), true));
    assert_eq!(assemble_anthropic(&answer.body), assembled("tool_use"));
    running.close_input();
    running.wait().expect_code(0);
}
