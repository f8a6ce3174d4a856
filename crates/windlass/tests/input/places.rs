//! Agents, teams and workflows where users of other programs already have them.

use super::world;
use serde_json::json;
use windlass_testkit::{TempRepo, Windlass};

fn agent(name: &str, says: &str) -> String {
    format!("---\nname: {name}\ndescription: {says}\ntools: read, grep\n---\nYou are {name}, from {says}.\n")
}

/// An agent of the user's in another program's folder.
fn at_home(windlass: &Windlass, path: &str, text: &str) {
    let path = windlass.user_home().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Runs an agent in a rehearsal and gives what the worker was told it is.
#[track_caller]
fn told(windlass: &Windlass, name: &str) -> String {
    let script = windlass.script(json!([{ "when": { "agent": name }, "do": [{ "answer": "here" }] }]));
    let script = script.to_str().unwrap();
    let output = windlass
        .run(["run", "--agent", name, "--runtime", "rehearsal", "--script", script, "look"])
        .expect_code(0);
    assert_eq!(output.out(), "here");
    let run = windlass.json(["status", "last", "--json"])["run"]["id"].as_str().unwrap().to_owned();
    let created = &windlass.events(&run)[0];
    created["data"]["agents"][name]["system_prompt"].as_str().unwrap().to_owned()
}

fn brought() -> (TempRepo, Windlass) {
    let (repo, windlass) = world();
    windlass.write_home("agents/own.md", agent("own", "windlass home"));
    at_home(&windlass, ".pi/agent/agents/pis.md", &agent("pis", "pi's home"));
    at_home(&windlass, ".claude/agents/claudes.md", &agent("claudes", "claude's home"));
    repo.write(".windlass/agents/project-own.md", agent("project-own", "the project"));
    repo.write(".pi/agents/project-pis.md", agent("project-pis", "the project's pi"));
    repo.write(".claude/agents/project-claudes.md", agent("project-claudes", "the project's claude"));
    repo.write(".crew/agents/crews.md", agent("crews", "pi-crew"));
    repo.write(
        ".crew/teams/crew-team.team.md",
        "---\nname: crew-team\ndefaultWorkflow: crew-flow\n---\n- looker: agent=crews looks\n",
    );
    repo.write(
        ".crew/workflows/crew-flow.workflow.md",
        "---\nname: crew-flow\n---\n## look\nrole: looker\n\n{goal}\n",
    );
    repo.commit("agents of all kinds");
    (repo, windlass)
}

#[test]
fn agents_load_from_every_place() {
    let (_repo, windlass) = brought();
    // The user's own, wherever they are, need no trust.
    for (name, says) in [("own", "windlass home"), ("pis", "pi's home"), ("claudes", "claude's home")] {
        assert!(told(&windlass, name).contains(says), "{name}");
    }
    let theirs = ["project-own", "project-pis", "project-claudes", "crews"];
    for name in theirs {
        let refused = windlass.run(["run", "--agent", name, "look"]).expect_code(4);
        assert!(refused.err().contains("not trusted"), "{name}: {}", refused.err());
    }
    windlass.run(["trust", "--all"]).expect_code(0);
    for (name, says) in
        theirs.into_iter().zip(["the project", "the project's pi", "the project's claude", "pi-crew"])
    {
        assert!(told(&windlass, name).contains(says), "{name}");
    }
    let script = windlass.script(json!([{ "do": [{ "answer": "here" }] }]));
    let script = script.to_str().unwrap();
    windlass
        .run(["run", "--team", "crew-team", "--runtime", "rehearsal", "--script", script, "look"])
        .expect_code(0);
    let listed = windlass.run(["agents"]).expect_code(0).out();
    for name in
        ["own", "pis", "claudes", "project-own", "project-pis", "project-claudes", "crews", "explorer"]
    {
        assert!(listed.contains(name), "{name}:\n{listed}");
    }
}

#[test]
fn every_shadowed_name_is_said_once_and_the_stronger_one_is_used() {
    let (repo, windlass) = world();
    // One name in four places, one in two, and a shipped one hidden by the user's.
    windlass.write_home("agents/many.md", agent("many", "windlass home"));
    at_home(&windlass, ".pi/agent/agents/many.md", &agent("many", "pi's home"));
    at_home(&windlass, ".claude/agents/many.md", &agent("many", "claude's home"));
    repo.write(".windlass/agents/many.md", agent("many", "the project"));
    at_home(&windlass, ".pi/agent/agents/pair.md", &agent("pair", "pi's home"));
    at_home(&windlass, ".claude/agents/pair.md", &agent("pair", "claude's home"));
    windlass.write_home("agents/critic.md", agent("critic", "my own critic"));
    repo.write(".windlass/agents/explorer.md", agent("explorer", "their explorer"));
    repo.commit("names");

    assert!(told(&windlass, "many").contains("windlass home"));
    assert!(told(&windlass, "pair").contains("pi's home"));
    assert!(told(&windlass, "critic").contains("my own critic"));
    // user > builtin > project, unless the project is trusted.
    assert!(!told(&windlass, "explorer").contains("their explorer"));
    windlass.run(["trust", "--all"]).expect_code(0);
    assert!(told(&windlass, "explorer").contains("their explorer"));
    assert!(told(&windlass, "many").contains("windlass home"), "the user's own stays the stronger");

    windlass.fake_agent("quiet", &["say", "x"], "");
    let output = windlass.run(["run", "--agent", "quiet", "go"]).expect_code(0);
    for name in ["many", "pair", "critic", "explorer"] {
        let lines: Vec<String> = output
            .err()
            .lines()
            .filter(|l| l.contains(&format!("agent `{name}`")))
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), 1, "{name} is said once:\n{}", output.err());
    }
    let listed = windlass.run(["agents"]).expect_code(0);
    let all = format!("{}{}", listed.out(), listed.err());
    assert_eq!(all.matches("my own critic").count(), 1, "{all}");
}
