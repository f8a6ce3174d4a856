//! Caps on tokens and money: a warning at 80 %, an end at the cap, and a person who raises it.

use crate::support::{GOAL, World, assert_tokens, assert_usage, attempts, events_of, mend, pis};
use serde_json::{Value, json};
use windlass_testkit::model::{Order, Tokens};
use windlass_testkit::pi::UNPRICED;
use windlass_testkit::{Reply, Rule, Script};

/// 450 tokens and, with a price, about 0.00148 dollars per reply; the fourth reply is never given.
fn script() -> Script {
    let look = |n: u32| Reply::tool("bash", json!({ "command": format!("echo look {n}") }));
    Script::new()
        .usage(Tokens::new(200, 50, 180, 20))
        .rule(
            Rule::new("went on")
                .any_user("Your process ended")
                .order(Order::Prompt)
                .replies([mend(), Reply::text("Mended within the new cap.\n")]),
        )
        .rule(Rule::new("first").any_user(GOAL).replies([
            look(1),
            look(2),
            look(3).hold("warned"),
            Reply::text("never given").hold("over the cap"),
        ]))
}

/// Runs into the cap and checks everything but the numbers.
fn blocked(world: &World, args: &[&str]) -> Value {
    let mut all = vec!["run", "--gate", "./test.sh"];
    all.extend(args);
    all.push(GOAL);
    let running = world.user.spawn(all);
    // Slow or fast, the engine has seen four fifths before it can see the cap.
    world.server.wait_held("warned", 1);
    world
        .user
        .wait_for("last", "the warning", |events| events.iter().any(|event| event["type"] == "cap.warned"));
    world.server.release("warned");
    let output = running.wait().expect_code(3);
    assert_eq!(output.out(), "", "there is no result yet");
    for part in ["used (8", "windlass resume"] {
        assert!(output.err().contains(part), "{part} is not in {}", output.err());
    }
    assert!(pis(world).is_empty(), "the live worker was stopped");
    world.server.release("over the cap");
    let status = world.last();
    assert_eq!(status["run"]["status"], "blocked", "{status:#}");
    assert_eq!(attempts(&status, "execute").len(), 1, "nothing more was started");
    assert_eq!(events_of(world, "last", "cap.warned").len(), 1);
    assert_eq!(events_of(world, "last", "cap.reached").len(), 1);
    let (warned, reached) =
        (&events_of(world, "last", "cap.warned")[0], &events_of(world, "last", "cap.reached")[0]);
    assert!(warned["seq"].as_u64() < reached["seq"].as_u64());
    status
}

/// Raises the cap and checks that the work goes on in its session.
fn resumed(world: &World, args: &[&str]) -> Value {
    let mut all = vec!["resume", "last"];
    all.extend(args);
    let output = world.user.run(all).expect_code(0);
    assert_eq!(output.out(), "Mended within the new cap.\n");
    let status = world.last();
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("completed"), &json!("proven")),
        "{status:#}"
    );
    let attempts = attempts(&status, "execute");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["session"], attempts[1]["session"]);
    status
}

#[test]
fn money_warns_at_four_fifths_stops_at_the_cap_and_goes_on_when_it_is_raised() {
    let world = World::new(script());
    // One reply costs 200·3 + 50·15 + 180·0.3 + 20·3.75 millionths: 1,479. Two are 82 % of this cap.
    let status = blocked(&world, &["--budget-usd", "0.0036"]);
    let warned = &events_of(&world, "last", "cap.warned")[0]["data"];
    assert_eq!(
        (&warned["cap"], &warned["used"], &warned["limit"]),
        (&json!("usd"), &json!(2_958), &json!(3_600))
    );
    assert_usage(&status["run"]["usage"], Tokens::new(600, 150, 540, 60), 3);
    assert!(status["run"]["error"]["message"].as_str().unwrap().contains("cap on money"), "{status:#}");
    let budget = &status["run"]["budget"]["usd"];
    assert!(budget["spent"].as_f64().unwrap() >= budget["cap"].as_f64().unwrap(), "{budget}");

    let status = resumed(&world, &["--budget-usd", "10"]);
    assert_usage(&status["run"]["usage"], Tokens::new(1_000, 250, 900, 100), 5);
    assert_eq!(status["run"]["budget"]["usd"]["cap"], json!(10.0));
}

#[test]
fn a_model_without_a_price_is_held_by_tokens_and_its_cost_is_unknown() {
    let world = World::with_model(script(), UNPRICED);
    let status = blocked(&world, &["--budget-tokens", "1100"]);
    let warned = &events_of(&world, "last", "cap.warned")[0]["data"];
    // Cache reads count: 900 of 1,100.
    assert_eq!(
        (&warned["cap"], &warned["used"], &warned["limit"]),
        (&json!("tokens"), &json!(900), &json!(1_100))
    );
    assert_tokens(&status["run"]["usage"], Tokens::new(600, 150, 540, 60), 3);
    assert_eq!(status["run"]["usage"]["cost_usd"], Value::Null, "unknown is not 0");
    assert_eq!(attempts(&status, "execute")[0]["usage"]["cost_usd"], Value::Null);

    let status = resumed(&world, &["--budget-tokens", "100_000"]);
    assert_tokens(&status["run"]["usage"], Tokens::new(1_000, 250, 900, 100), 5);
    assert_eq!(status["run"]["usage"]["cost_usd"], Value::Null);
}

#[test]
fn a_resume_that_raises_nothing_is_refused_and_starts_nothing() {
    let world = World::new(script());
    blocked(&world, &["--budget-tokens", "1100"]);
    let before = world.server.requests().len();
    for args in [&["resume", "last"][..], &["resume", "last", "--budget-tokens", "1200"]] {
        let output = world.user.run(args).expect_code(4);
        assert!(output.err().contains("the cap on tokens is used up"), "{}", output.err());
        assert!(output.err().contains("`--budget-tokens N` raises it"), "{}", output.err());
    }
    assert_eq!(world.server.requests().len(), before);
    assert_eq!(world.last()["run"]["status"], "blocked");
    assert_eq!(attempts(&world.last(), "execute").len(), 1);
}
