//! What the model's provider does wrong. pi exits with 0 all the same; Windlass never reads that as done.

use crate::support::{GOAL, World, assert_usage, attempts, events_of, mend, task, tokens};
use serde_json::{Value, json};
use windlass_testkit::model::{Fault, When};
use windlass_testkit::pi::{OPENAI, PRICED, UNPRICED};
use windlass_testkit::{Reply, Rule, Script};

/// A run whose every request is answered so.
fn always(reply: Reply) -> World {
    World::new(Script::new().rule(Rule::new("always").reply(reply).repeat_last()))
}

/// The error classes of the one task's attempts in order; `null` for a clean one.
fn classes(status: &Value) -> Vec<Value> {
    status["tasks"][0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["error_class"].clone())
        .collect()
}

#[test]
fn what_stays_wrong_fails_at_once_with_its_class() {
    for (code, said, class) in [
        (400, "messages: roles must alternate", "bad_request"),
        (401, "invalid x-api-key", "auth"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context"),
    ] {
        let world = always(Reply::error(code, said));
        let output = world.user.run(["run", "--gate", "true", GOAL]).expect_code(1);
        assert_eq!(output.out(), "", "there is no result");
        assert!(output.err().contains(said), "{}", output.err());
        assert_eq!(world.server.requests().len(), 1, "{class}: asked once");
        let status = world.last();
        assert_eq!(
            (&status["run"]["status"], &status["run"]["error"]["kind"]),
            (&json!("failed"), &json!(class))
        );
        assert_eq!(classes(&status), [json!(class)]);
        let ended = events_of(&world, "last", "attempt.ended");
        assert_eq!(ended[0]["data"]["end"]["outcome"], "provider_error", "{}", ended[0]);
        assert_eq!(
            task(&status, "execute")["evidence"],
            json!([]),
            "nothing is checked of what was not done"
        );
    }
}

#[test]
fn an_overloaded_provider_gets_a_new_attempt_after_a_pause() {
    // pi asks four times by itself, then gives up; the second attempt finds the provider well again.
    let overloaded = || Fault::http(500, "the scripted provider is overloaded");
    let world = World::new(
        Script::new().rule(
            Rule::new("executor")
                .any_user(GOAL)
                .replies([
                    mend().first_failing([overloaded(), overloaded(), overloaded(), overloaded()]),
                    Reply::text("Mended in the end.\n"),
                ])
                .order(windlass_testkit::model::Order::Prompt),
        ),
    );
    let output = world.user.run(["run", "--gate", "./test.sh", GOAL]).expect_code(0);
    eprintln!("{}", output.err());
    assert_eq!(output.out(), "Mended in the end.\n");
    let status = world.last();
    assert_eq!(classes(&status), [json!("overloaded"), Value::Null]);
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), 2);
    let (ended, started) =
        (events_of(&world, "last", "attempt.ended"), events_of(&world, "last", "attempt.started"));
    assert_eq!((ended.len(), started.len()), (2, 2));
    let pause = started[1]["at"].as_i64().unwrap() - ended[0]["at"].as_i64().unwrap();
    assert!(pause >= 1_500, "no back-off: {pause} ms");
    assert_eq!(started[1]["data"]["cause"], "retry");
}

#[test]
fn fallback_models_are_tried_in_their_order() {
    let world = World::new(
        Script::new()
            .rule(
                Rule::new("first")
                    .when(When::Model("unpriced".into()))
                    .reply(Reply::error(400, "no such model here")),
            )
            .rule(
                Rule::new("second")
                    .when(When::Model("priced".into()))
                    .reply(Reply::error(401, "invalid x-api-key")),
            )
            .rule(
                Rule::new("third")
                    .when(When::Model("chat".into()))
                    .reply(mend())
                    .reply(Reply::text("By the third.\n")),
            ),
    );
    world.user.write_home(
        "agents/fixer.md",
        format!("---\nname: fixer\ndescription: Mends\nmodel: {PRICED}\nfallbackModels: {UNPRICED}, {OPENAI}\ntools: read, edit, bash\n---\nYou mend things.\n"),
    );
    let output = world.user.run(["run", "--agent", "fixer", "--gate", "./test.sh", GOAL]).expect_code(0);
    assert_eq!(output.out(), "By the third.\n");
    let status = world.last();
    assert_eq!(classes(&status), [json!("auth"), json!("bad_request"), Value::Null]);
    let models: Vec<_> = attempts(&status, "fixer").iter().map(|a| a["model"].clone()).collect();
    assert_eq!(models, [PRICED, UNPRICED, OPENAI]);
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), 2);
}

#[test]
fn an_empty_answer_and_a_cut_stream_are_told_apart() {
    let cut = || Fault::Cut { after: 1 };
    for (failing, class, outcome) in [
        (vec![Reply::default()], "empty_output", "empty_output"),
        (
            vec![Reply::text("This will be cut before it is whole.").pieces_of(5).first_failing([
                cut(),
                cut(),
                cut(),
                cut(),
            ])],
            "network",
            "provider_error",
        ),
    ] {
        let world = World::new(
            Script::new()
                .rule(
                    Rule::new("again")
                        .any_user("Your process ended")
                        .order(windlass_testkit::model::Order::Conversation)
                        .replies([mend(), Reply::text("Whole now.\n")]),
                )
                .rule(Rule::new("failing").any_user(GOAL).replies(failing)),
        );
        let output = world.user.run(["run", "--gate", "./test.sh", GOAL]).expect_code(0);
        assert_eq!(output.out(), "Whole now.\n");
        let status = world.last();
        assert_eq!(classes(&status), [json!(class), Value::Null], "{status:#}");
        assert_eq!(events_of(&world, "last", "attempt.ended")[0]["data"]["end"]["outcome"], outcome);
        // The usage of a reply that was cut may be lost with its connection; never is more counted than was sent.
        let (said, sent) = (tokens(&status["run"]["usage"]), world.server.usage_sent());
        assert!(said == sent || (class == "network" && said.input < sent.input), "{said:?} of {sent:?}");
    }
}
