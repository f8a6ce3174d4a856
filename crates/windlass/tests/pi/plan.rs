//! The `implementation` team: one agent plans, what it planned is done by others, and a cold verifier judges it.

use crate::support::{GOAL, World, assert_usage, attempts, edit, of_type, task};
use crate::team::{EXECUTOR, EXPLORER, PLANNER, VERIFIER};
use serde_json::json;
use windlass_testkit::model::Request;
use windlass_testkit::{Reply, Rule, Script};

const REVIEWER: &str = "You review a change";
const WRITER: &str = "You write";
const ACCOUNT: &str = "ACCOUNT-4d1f: one word was wrong.";
const VERDICT: &str = "It greets.\n\nVERIFICATION: PASS, the recorded check is green\n";

fn plan() -> String {
    let plan = json!({ "phases": [
        { "name": "build", "tasks": [
            { "id": "mend", "role": "developer", "title": "Mend the greeting", "task": "In greeting.txt put hello in the place of goodbye." } ] },
        { "name": "check", "tasks": [
            { "id": "look", "role": "code-review", "task": "See whether greeting.txt is right." } ] } ] });
    format!("Small work.\n\nADAPTIVE_PLAN_JSON_START\n{plan}\nADAPTIVE_PLAN_JSON_END\n")
}

fn script() -> Script {
    let read = || Reply::tool("read", json!({ "path": "greeting.txt" }));
    Script::new()
        .rule(Rule::new("again").system(PLANNER).last_user("no plan that can be used").replies([
            Reply::text("unused"),
            Reply::text("unused"),
            Reply::text(plan()),
        ]))
        .rule(Rule::new("plan").system(PLANNER).replies([read(), Reply::text("I see it all before me {")]))
        .rule(Rule::new("explore").system(EXPLORER).reply(Reply::text("FOUND-2c9e: it is greeting.txt.")))
        .rule(Rule::new("execute").system(EXECUTOR).replies([edit("goodbye", "hello"), Reply::text(ACCOUNT)]))
        .rule(Rule::new("review").system(REVIEWER).reply(Reply::text("LOOKED-77aa: nothing to say.")))
        .rule(Rule::new("verify").system(VERIFIER).replies([read(), Reply::text(VERDICT)]))
        .rule(Rule::new("write").system(WRITER).reply(Reply::text("One word was changed.\n")))
}

#[test]
fn what_one_agent_plans_others_do_and_a_cold_one_judges() {
    let world = World::new(script());
    let output =
        world.user.run(["run", "--team", "implementation", "--gate", "./test.sh", GOAL]).expect_code(0);
    eprintln!("{}", output.err());
    world.server.assert_all_expected();
    assert_eq!(output.out(), "One word was changed.\n");
    assert_eq!(world.repo.read("greeting.txt"), "hello\n");

    let requests = world.server.requests();
    let of = |rule: &str| -> &Request {
        requests.iter().find(|r| r.rule.as_deref() == Some(rule)).unwrap_or_else(|| panic!("no {rule}"))
    };
    let told = |rule: &str| of(rule).conversation().users().last().unwrap().to_owned();
    // The planner knows the form, the roles, the cap and the gates, and is told in its own session what was wrong.
    for part in [
        "ADAPTIVE_PLAN_JSON_START",
        "`executor`",
        "`test-engineer`",
        "At most 12 tasks",
        "`./test.sh`",
        "FOUND-2c9e",
    ] {
        assert!(told("plan").contains(part), "{part} is not in\n{}", told("plan"));
    }
    assert_eq!(of("again").conversation().users().count(), 2, "one conversation, told twice");
    assert!(told("again").contains("it is no JSON of a plan"), "{}", told("again"));
    // A part is told its own task and given the plan and what came before.
    assert!(told("execute").contains("In greeting.txt put hello in the place of goodbye."));
    assert!(
        told("review").contains("See whether greeting.txt is right.")
            && told("review").contains("ACCOUNT-4d1f")
    );
    // The verifier is told nothing of it.
    let cold = of("verify").body.to_string();
    assert!(cold.contains("+hello") && cold.contains("test.sh"));
    for account in ["FOUND-2c9e", "ACCOUNT-4d1f", "LOOKED-77aa", "Mend the greeting"] {
        assert!(!cold.contains(account), "{account} reached the verifier");
    }

    let status = world.last();
    assert_eq!((&status["run"]["status"], &status["run"]["proof"]), (&json!("completed"), &json!("proven")));
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), requests.len() as u64);
    let mend = task(&status, "Mend the greeting");
    assert_eq!(
        json!([mend["parent"], mend["item"], mend["phase"], mend["role"], mend["evidence"][0]["after"]]),
        json!(["02_assess", "mend", "build", "executor", "green"]),
        "who writes carries the gate"
    );
    assert_eq!(task(&status, "look")["role"], "reviewer");
    let assess = attempts(&status, "assess");
    assert_eq!(assess.len(), 2);
    assert_eq!(assess[0]["session"], assess[1]["session"]);
    let events = world.user.events("last");
    assert_eq!((of_type(&events, "plan.refused").len(), of_type(&events, "plan.made").len()), (1, 1));
}

#[test]
fn a_part_that_fails_is_planned_otherwise_in_the_planners_own_session() {
    let tasks = |text: &str| {
        let plan = json!({ "tasks": [
            { "id": "note", "role": "reviewer", "task": "Say what greeting.txt is for." },
            { "id": "mend", "role": "executor", "task": text } ] });
        format!("ADAPTIVE_PLAN_JSON_START\n{plan}\nADAPTIVE_PLAN_JSON_END\n")
    };
    let world = World::new(
        Script::new()
            .rule(
                Rule::new("otherwise")
                    .system(PLANNER)
                    .last_user("these tasks of it did not complete")
                    .replies([Reply::text("unused"), Reply::text(tasks("SECOND: put hello there"))]),
            )
            .rule(Rule::new("plan").system(PLANNER).reply(Reply::text(tasks("FIRST: put it right"))))
            .rule(Rule::new("explore").system(EXPLORER).reply(Reply::text("It is greeting.txt.")))
            .rule(
                Rule::new("second")
                    .system(EXECUTOR)
                    .any_user("SECOND")
                    .replies([edit("goodbye", "hello"), Reply::text("Done.")]),
            )
            .rule(Rule::new("first").system(EXECUTOR).reply(Reply::text("I changed nothing.")).repeat_last())
            .rule(Rule::new("review").system(REVIEWER).reply(Reply::text("It greets.")))
            .rule(Rule::new("verify").system(VERIFIER).reply(Reply::text(VERDICT)))
            .rule(Rule::new("write").system(WRITER).reply(Reply::text("All is well.\n"))),
    );
    let output =
        world.user.run(["run", "--team", "implementation", "--gate", "./test.sh", GOAL]).expect_code(0);
    eprintln!("{}", output.err());
    world.server.assert_all_expected();
    let requests = world.server.requests();
    let count = |rule: &str| requests.iter().filter(|r| r.rule.as_deref() == Some(rule)).count();
    assert_eq!(
        (count("review"), count("first"), count("otherwise")),
        (1, 3, 1),
        "the note is not written again"
    );
    let again = requests.iter().find(|r| r.rule.as_deref() == Some("otherwise")).unwrap();
    let users: Vec<&str> = again.conversation().users().collect();
    assert!(users.len() == 2 && users[1].contains("`mend`"), "{users:#?}");
    let made = of_type(&world.user.events("last"), "plan.made");
    assert_eq!(made[1]["data"]["kept"], json!(["02_assess.note"]));
    assert_eq!(world.last()["run"]["proof"], "proven");
}
