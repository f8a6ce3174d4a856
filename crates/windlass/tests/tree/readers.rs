//! Who may only read and yet changed the tree is found out; who worked beside a writer is not blamed for it.

use super::{ended, id, repo, same, task, user};
use serde_json::json;
use windlass_testkit::{TempRepo, Windlass, process};

/// What is the same however a reader changed the tree.
#[track_caller]
fn found_out(repo: &TempRepo, windlass: &Windlass, run: &str, step: &str) {
    let status = windlass.status(run);
    assert_eq!(status["run"]["status"], "blocked", "{status:#}");
    let task = task(&status, step);
    assert_eq!(task["status"], "needs_attention", "{status:#}");
    assert_eq!(task["error"]["kind"], "read_only_changed", "{status:#}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it is not tried again");
    assert_eq!(status["run"]["error"]["task"], task["id"], "{status:#}");
    let diff = format!("windlass diff {run} {}", task["id"].as_str().unwrap());
    assert!(status["run"]["next"].as_array().unwrap().contains(&json!(diff)), "{status:#}");
    assert_eq!(windlass.run(["wait", run]).code, Some(3));
    assert_eq!(windlass.run(["attach", run]).code, Some(3));

    let shown = windlass.run(["diff", run, step]).expect_code(0).out();
    assert!(shown.contains("+changed by a reader"), "{shown}");
    assert!(!shown.contains("+mine"), "the user's own: {shown}");
    // What it did stays until the user says otherwise, and can be taken back.
    assert!(repo.read("README.md").ends_with("changed by a reader\n"));
}

#[test]
fn a_command_that_may_only_read_and_writes_needs_attention() {
    let repo = repo();
    let windlass = user(&repo);
    repo.write("README.md", "a project\nmine\n");
    let before = repo.snapshot();
    let line = "echo changed by a reader >> README.md; echo made by a reader > new.txt; echo said";
    windlass.shell_agent("reader", line, "writes: false");
    windlass.fake_agent("next", &["say", "next"], "");
    windlass.team("t", &["reader", "next"], "", "## reader\n\ngo\n\n## next\ndependsOn: reader\n\ngo\n");
    let output = windlass.run(["run", "--team", "t", "go"]).expect_code(3);
    assert!(output.err().contains("may only read"), "{}", output.err());
    assert!(!output.err().contains('✓'), "{}", output.err());
    let run = id(&windlass.json(["status", "last", "--json"]));
    found_out(&repo, &windlass, &run, "reader");
    let next = windlass.status(&run);
    assert!(["skipped", "queued"].contains(&task(&next, "next")["status"].as_str().unwrap()), "{next:#}");
    assert!(task(&next, "next")["attempts"].as_array().unwrap().is_empty());
    windlass.run(["undo", &run, "--yes"]).expect_code(0);
    same(&repo.snapshot(), &before, "undone");

    // A reader by default as well: nobody said that it may write.
    windlass.shell_agent("silent", line, "");
    windlass.run(["run", "--agent", "silent", "go"]).expect_code(3);
    found_out(&repo, &windlass, &id(&windlass.json(["status", "last", "--json"])), "silent");
}

#[test]
fn an_agent_that_may_only_read_and_writes_needs_attention() {
    let repo = repo();
    let windlass = user(&repo);
    repo.write("README.md", "a project\nmine\n");
    windlass.model_agent("looker", "read, bash");
    let script = windlass.script(json!([{ "do": [
        { "run": { "command": ["sh", "-c", "echo changed by a reader >> README.md"] } },
        { "answer": "I have only looked." },
    ] }]));
    let args =
        ["run", "--agent", "looker", "--runtime", "rehearsal", "--script", script.to_str().unwrap(), "go"];
    let output = windlass.run(args).expect_code(3);
    assert_eq!(output.out(), "", "no result of a run that needs attention");
    let run = id(&windlass.json(["status", "last", "--json"]));
    found_out(&repo, &windlass, &run, "looker");
    // A person looked, found it good, and goes on: the next attempt finds the tree as it is now.
    let script = std::fs::read_to_string(&script).unwrap().replace("changed by a reader", "");
    assert!(script.contains("README.md"));
    windlass.run(["retry", &run, "looker", "--detach"]).expect_code(0);
    let status = windlass.wait_end(&run);
    assert_eq!(task(&status, "looker")["attempts"].as_array().unwrap().len(), 2, "{status:#}");
}

#[test]
fn a_reader_beside_a_writer_is_not_blamed_for_it() {
    let repo = repo();
    let windlass = user(&repo);
    let at = |name: &str| repo.beside().join(name).display().to_string();
    let wait = |name: &str| format!("while [ ! -e {} ]; do sleep 0.01; done", at(name));
    // Each is alive while the other is: readers run beside the writer.
    windlass.shell_agent(
        "writer",
        &format!("touch {}; {}; echo more >> README.md; touch {}", at("writes"), wait("reads"), at("wrote")),
        "writes: true",
    );
    windlass.shell_agent("reader", &format!("touch {}; {}; cat README.md", at("reads"), wait("wrote")), "");
    windlass.team("both", &["writer", "reader"], "maxConcurrency: 4", "## reader\n\ngo\n\n## writer\n\ngo\n");
    let status = ended(&windlass, &["--team", "both", "go"]);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(task(&status, "reader")["status"], "completed");
    let run = id(&status);
    let reader = windlass.run(["diff", &run, "reader"]).expect_code(0);
    assert_eq!(reader.out(), "");
    assert!(windlass.run(["diff", &run, "writer"]).expect_code(0).out().contains("+more"));
}

#[test]
fn readers_run_beside_each_other() {
    let repo = repo();
    let windlass = user(&repo);
    let at = |name: &str| repo.beside().join(name).display().to_string();
    let line = format!(
        "touch {0}.$WINDLASS_STEP; while [ ! -e {0}.a ] || [ ! -e {0}.b ]; do sleep 0.01; done",
        at("here")
    );
    windlass.shell_agent("reader", &line, "");
    windlass.team(
        "two",
        &["reader"],
        "maxConcurrency: 2",
        "## a\nrole: reader\n\ngo\n\n## b\nrole: reader\n\ngo\n",
    );
    // One after the other, neither would end.
    assert_eq!(ended(&windlass, &["--team", "two", "go"])["run"]["status"], "completed");
}

#[test]
fn a_moved_head_is_reported() {
    let repo = repo();
    let windlass = user(&repo);
    let was = repo.head();
    windlass.shell_agent(
        "committer",
        "echo more >> README.md; git commit -qam 'by an agent'",
        "writes: true",
    );
    let output = windlass.run(["run", "--agent", "committer", "go"]).expect_code(0);
    let now = repo.head();
    assert_ne!(was, now);
    assert!(output.err().contains("HEAD"), "{}", output.err());
    let run = id(&windlass.json(["status", "last", "--json"]));
    let events = windlass.events(&run);
    let moved = events.iter().find(|e| e["type"] == "head.moved").expect("an event of it");
    assert_eq!((&moved["data"]["from"], &moved["data"]["to"]), (&json!(was), &json!(now)), "{moved}");
    assert!(windlass.run(["show", &run]).expect_code(0).out().contains("HEAD"));
    // The change itself is still shown, and taken back in the tree; the commit is the user's to judge.
    assert!(windlass.run(["diff", &run]).expect_code(0).out().contains("+more"));
    windlass.run(["undo", &run, "--yes"]).expect_code(0);
    assert_eq!(repo.read("README.md"), "a project\n");
    assert_eq!(repo.head(), now);
}

#[test]
fn outside_git_it_is_said_before_the_start() {
    let folder = TempRepo::without_git();
    folder.write("a.txt", "a\n");
    let windlass = user(&folder);
    let at = folder.beside().join("go");
    windlass.fake_agent(
        "waits",
        &["wait", at.to_str().unwrap(), "then", "write", "made.txt", "made", "then", "say", "done"],
        "writes: true",
    );
    let running = windlass.spawn(["run", "--agent", "waits", "go"]);
    let said = running.wait_stderr("the word about git", |e| e.contains("not in a git repository"));
    assert!(said.contains("undone") || said.contains("undo"), "{said}");
    std::fs::write(&at, "").unwrap();
    let output = running.wait().expect_code(0);
    assert_eq!(output.out(), "done\n");
    assert_eq!(folder.read("made.txt"), "made");
    let run = id(&windlass.json(["status", "last", "--json"]));
    for args in [&["diff", &run][..], &["undo", &run, "--yes"], &["undo", &run, "--dry-run"]] {
        let refused = windlass.run(args).expect_code(2);
        assert!(refused.err().contains("outside git"), "{args:?}: {}", refused.err());
    }
    assert_eq!(folder.read("made.txt"), "made");
    // It can still be removed.
    windlass.run(["rm", &run, "--yes"]).expect_code(0);
    process::wait_until("no trace in the folder", || !folder.path().join(".windlass").exists());
}
