//! The whole `default` team: explore, plan, execute, verify.

use crate::support::{GOAL, World, assert_usage, edit, task};
use serde_json::json;
use windlass_testkit::model::{Request, Tokens};
use windlass_testkit::{Reply, Rule, Script};

const FOUND: &str = "FOUND-7f3a: greeting.txt is read by test.sh and says goodbye.";
const PLAN: &str = "PLAN-51c2: 1. In greeting.txt put hello in the place of goodbye. 2. Run ./test.sh.";
const ACCOUNT: &str = "ACCOUNT-9e0d: I changed one word and everything is wonderful now.";
const VERDICT: &str =
    "The one change is what the goal asks for.\n\nVERIFICATION: PASS, the recorded check is green\n";

pub(crate) const EXPLORER: &str = "You map the part of a repository that a goal touches";
pub(crate) const PLANNER: &str = "You write the plan that someone else will carry out";
pub(crate) const EXECUTOR: &str = "You make a change in a repository";
pub(crate) const VERIFIER: &str = "You decide whether a goal has been met";

fn team(verdict: &str) -> Script {
    let read = || Reply::tool("read", json!({ "path": "greeting.txt" }));
    Script::new()
        .usage(Tokens::new(210, 31, 400, 50))
        .rule(Rule::new("explore").system(EXPLORER).replies([read(), Reply::text(FOUND)]))
        .rule(Rule::new("plan").system(PLANNER).replies([read(), Reply::text(PLAN)]))
        .rule(Rule::new("execute").system(EXECUTOR).replies([edit("goodbye", "hello"), Reply::text(ACCOUNT)]))
        .rule(Rule::new("verify").system(VERIFIER).replies([read(), Reply::text(verdict)]))
}

/// The names of the rules that answered, in order, each once for all its requests in a row.
fn order(requests: &[Request]) -> Vec<&str> {
    let mut names: Vec<&str> = requests.iter().map(|request| request.rule.as_deref().unwrap()).collect();
    names.dedup();
    names
}

fn first_of<'a>(requests: &'a [Request], rule: &str) -> &'a Request {
    requests.iter().find(|request| request.rule.as_deref() == Some(rule)).unwrap()
}

fn prompt(request: &Request) -> &str {
    request.conversation().users().next().unwrap()
}

#[test]
fn the_default_team_explores_plans_executes_and_verifies_cold() {
    let world = World::new(team(VERDICT));
    world.repo.write("notes.txt", "the user's own, not yet committed\n");
    let before = (
        world.repo.head(),
        world.repo.git(["for-each-ref", "refs/heads"]),
        world.repo.git(["stash", "list"]),
    );
    let output = world.user.run(["run", "--team", "default", "--gate", "./test.sh", GOAL]).expect_code(0);
    eprintln!("{}", output.err());
    world.server.assert_all_expected();
    assert_eq!(output.out(), VERDICT);

    let requests = world.server.requests();
    assert_eq!(order(&requests), ["explore", "plan", "execute", "verify"]);
    assert_eq!(requests.len(), 8);
    // What one step found reaches the next.
    assert!(prompt(first_of(&requests, "plan")).contains(FOUND));
    assert!(prompt(first_of(&requests, "execute")).contains(PLAN));
    // The verifier is told the goal, the difference and the record of the gate, and nobody's account.
    let cold = first_of(&requests, "verify");
    for part in
        [GOAL, "-goodbye", "+hello", "`./test.sh`: `red` \u{2192} `green`", "ok - the greeting is hello"]
    {
        assert!(prompt(cold).contains(part), "{part} is not in\n{}", prompt(cold));
    }
    let whole = cold.body.to_string();
    for account in ["FOUND-7f3a", "PLAN-51c2", "ACCOUNT-9e0d", "not yet committed"] {
        assert!(!whole.contains(account), "{account} reached the verifier");
    }
    // Who may only read has no tool that edits; who writes has.
    for (rule, tools) in [
        ("explore", vec!["read", "grep", "find", "ls"]),
        ("plan", vec!["read", "grep", "find", "ls"]),
        ("execute", vec!["read", "grep", "find", "ls", "bash", "edit", "write"]),
        ("verify", vec!["read", "grep", "find", "ls", "bash"]),
    ] {
        let mut offered = first_of(&requests, rule).conversation().tools.clone();
        let mut expected = tools;
        offered.sort();
        expected.sort();
        assert_eq!(offered, expected, "tools of {rule}");
    }

    // The tree holds the agent's one change, the user's own file as it was, and nothing of ours.
    assert_eq!(world.repo.status(), " M greeting.txt\n?? notes.txt\n");
    assert_eq!(world.repo.read("greeting.txt"), "hello\n");
    assert_eq!(world.repo.read("notes.txt"), "the user's own, not yet committed\n");
    let after = (
        world.repo.head(),
        world.repo.git(["for-each-ref", "refs/heads"]),
        world.repo.git(["stash", "list"]),
    );
    assert_eq!(after, before);

    let status = world.last();
    assert_eq!((&status["run"]["status"], &status["run"]["proof"]), (&json!("completed"), &json!("proven")));
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), 8);
    for step in ["explore", "plan", "execute", "verify"] {
        let task = task(&status, step);
        assert_eq!(task["status"], "completed", "{task:#}");
        assert_usage(&task["attempts"][0]["usage"], Tokens::new(420, 62, 800, 100), 2);
    }
    let evidence = &task(&status, "execute")["evidence"][0];
    assert_eq!((&evidence["before"], &evidence["after"]), (&json!("red"), &json!("green")));

    // `diff` shows that change and not the user's.
    let diff = world.user.run(["diff", "last"]).expect_code(0).out();
    assert!(diff.contains("-goodbye") && diff.contains("+hello") && !diff.contains("notes.txt"), "{diff}");
}

#[test]
fn a_verdict_of_fail_fails_the_run_however_green_its_gate_is() {
    let world = World::new(team("It greets the wrong one.\n\nVERIFICATION: FAIL, the goal is not met\n"));
    world.user.run(["run", "--team", "default", "--gate", "./test.sh", GOAL]).expect_code(1);
    let status = world.last();
    assert_eq!(status["run"]["status"], "failed");
    assert_eq!(status["run"]["error"]["kind"], "verdict", "{status:#}");
    assert_eq!(task(&status, "verify")["status"], "failed");
    assert_eq!(task(&status, "execute")["status"], "completed");
}
