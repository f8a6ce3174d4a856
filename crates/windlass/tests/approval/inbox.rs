//! What waits for a person, in one list over all projects.

use super::{World, repo};
use serde_json::{Value, json};
use windlass_testkit::process;

/// The item of a run in the inbox.
#[track_caller]
fn item<'a>(doc: &'a Value, run: &str) -> &'a Value {
    let all = doc["waits"].as_array().unwrap();
    let mut found = all.iter().filter(|w| w["run"] == run);
    let one = found.next().unwrap_or_else(|| panic!("{run} is not in {doc:#}"));
    assert!(found.next().is_none(), "{run} is twice in {doc:#}");
    one
}

#[test]
fn it_lists_what_waits_over_all_projects_with_the_command_that_ends_it() {
    let world = World::new();
    let nothing = world.user.run(["inbox"]).expect_code(0).out();
    assert!(nothing.contains("nothing waits for you"), "{nothing}");
    assert_eq!(world.user.json(["inbox", "--json"]), json!({ "waits": [] }));
    let asks = world.parked();

    // In another project a run has reached its cap.
    let other = repo();
    world.user.model_agent("eater", "read, edit, write, bash");
    let script = world.user.write_home(
        "eats.json",
        json!({ "version": 1, "scenes": [ { "do": [
            { "usage": { "input": 5000, "output": 5000 } }, { "sleep_ms": 600_000 } ] } ] })
        .to_string(),
    );
    let mut command = world.user.command([
        "run",
        "--agent",
        "eater",
        "--runtime",
        "rehearsal",
        "--script",
        script.to_str().unwrap(),
        "--budget-tokens",
        "1000",
        "eat",
    ]);
    command.current_dir(other.path());
    let stopped = process::run(command, b"");
    assert_eq!(stopped.code, Some(3), "{}", stopped.err());

    let doc = world.user.json(["inbox", "--json"]);
    let waits = doc["waits"].as_array().unwrap();
    assert_eq!(waits.len(), 2, "{doc:#}");
    let approval = item(&doc, &asks);
    for (key, value) in [
        ("for", json!("approval")),
        ("status", json!("waiting")),
        ("goal", json!("Do it")),
        ("cwd", json!(world.repo.path().to_str().unwrap())),
        ("task", json!(null)),
        ("until", json!(null)),
        ("ends_by", json!("you")),
    ] {
        assert_eq!(approval[key], value, "{key} in {approval:#}");
    }
    assert!(approval["since"].is_i64() && approval["why"].is_string(), "{approval:#}");
    assert_eq!(approval["commands"][0], format!("windlass approve {asks}"));
    let cap = waits.iter().find(|w| w["run"] != asks.as_str()).unwrap();
    assert_eq!(
        (&cap["for"], &cap["status"], &cap["ends_by"]),
        (&json!("cap"), &json!("blocked"), &json!("you"))
    );
    let resume = cap["commands"][0].as_str().unwrap();
    assert!(resume.starts_with("windlass resume ") && resume.contains("--budget-tokens"), "{cap:#}");

    let text = world.user.run(["inbox"]).expect_code(0).out();
    assert!(text.contains(&format!("windlass approve {asks}")) && text.contains(resume), "{text}");
    // `windlass` alone says the same of both.
    let home = world.user.json(["--json"]);
    let commands: Vec<&str> =
        home["needs"].as_array().unwrap().iter().map(|n| n["command"].as_str().unwrap()).collect();
    assert_eq!(commands.len(), 2, "{home:#}");
    assert!(commands.contains(&resume) && commands.contains(&format!("windlass approve {asks}").as_str()));

    // What was answered waits no longer.
    world.user.run(["reject", &asks, "--yes"]).expect_code(0);
    let doc = world.user.json(["inbox", "--json"]);
    assert_eq!(doc["waits"].as_array().unwrap().len(), 1, "{doc:#}");
}
