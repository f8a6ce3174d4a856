//! The plain files that a run leaves for people and agents: what they hold, that they are made again, that nothing in them acts.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_testkit::{TempRepo, Windlass, process};

/// What would act in a terminal or a page, and what would end a fence.
const EVIL: &str = "gone \u{1b}[2J\u{1b}]0;title\u{7}\n```\n# Not a heading\n![pixel](http://evil/x.png)\n<script>x</script>\n````text\n\u{202e}turned";

/// A run in a folder of its own, and what it left there.
struct World {
    repo: TempRepo,
    windlass: Windlass,
}

impl World {
    fn new() -> Self {
        let repo = TempRepo::new();
        repo.write_executable("test.sh", "#!/bin/sh\ntest \"$(cat sum.txt)\" = 2\n");
        repo.write("sum.txt", "1\n");
        repo.commit("begin");
        let windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
        Self { repo, windlass }
    }

    /// The shipped team `fast-fix`, played by a script: the second of three agents mends the sum, and every one says what is evil.
    fn fixed(&self) -> String {
        let scene = |step: &str, more: Value| {
            let mut steps = vec![json!({"say": format!("{step} {EVIL}")})];
            steps.extend(more.as_array().unwrap().iter().cloned());
            json!({"when": {"step": step}, "do": steps})
        };
        let verdict = format!("{EVIL}\n\nVERIFICATION: PASS\n");
        let script = self.windlass.script(json!([
            scene(
                "explore",
                json!([{"tool": {"name": "read", "summary": "sum.txt"}}, {"answer": "It is one."}])
            ),
            scene(
                "execute",
                json!([
                    {"edit": {"path": "nothing.txt", "find": "1", "replace": "2"}},
                    {"edit": {"path": "sum.txt", "find": "1", "replace": "2"}},
                    {"usage": {"input": 1000, "output": 24}},
                    {"answer": format!("mended {EVIL}")},
                ])
            ),
            scene("verify", json!([{"answer": verdict}])),
        ]));
        let script = script.to_str().unwrap();
        let goal = format!("Make it two. {EVIL}");
        let run = self.windlass.detach([
            "--team",
            "fast-fix",
            "--runtime",
            "rehearsal",
            "--script",
            script,
            "--gate",
            "./test.sh",
            &goal,
        ]);
        let end = self.windlass.wait_end(&run);
        assert_eq!(
            (&end["run"]["status"], &end["run"]["proof"]),
            (&json!("completed"), &json!("proven")),
            "{end:#}"
        );
        run
    }

    fn folder(&self, run: &str) -> PathBuf {
        let doc = self.windlass.json(["show", run, "--json"]);
        PathBuf::from(doc["run"]["folder"]["path"].as_str().unwrap())
    }

    /// Waits for the last copy of a run that is over: where it is, the others are.
    fn copied(&self, run: &str) -> PathBuf {
        let folder = self.folder(run);
        process::wait_until("the summary", || folder.join("summary.md").exists());
        folder
    }

    fn doctor(&self, args: &[&str]) -> Vec<Value> {
        let output = self.windlass.run(["doctor", "--json"].iter().chain(args)).expect_code(0);
        let doc: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = doc["checks"].as_array().unwrap().clone();
        all.into_iter().filter(|c| c["name"].as_str().unwrap().ends_with(" copies")).collect()
    }
}

/// Every file below a folder, by its name there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                all.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// The lines of a Markdown text that stand in no fence.
fn unfenced(text: &str) -> Vec<&str> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if line.starts_with("```") => {
                fence = Some(line.trim_end_matches(|c: char| c.is_ascii_alphabetic()))
            }
            None => lines.push(line),
        }
    }
    assert_eq!(fence, None, "every fence is closed");
    lines
}

#[track_caller]
fn neutral(name: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect(name);
    let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(acts), "{name}: {text:?}");
    for line in unfenced(text) {
        let theirs = ["Not a heading", "evil/x.png", "<script>", "title", "turned"];
        assert!(!theirs.iter().any(|t| line.contains(t)), "{name}: {line}");
    }
}

#[test]
fn a_run_leaves_its_summary_its_differences_and_what_each_attempt_said() {
    let world = World::new();
    let run = world.fixed();
    let folder = world.copied(&run);
    let files = files(&folder);
    let text = |name: &str| {
        let bytes = files.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", files.keys()));
        String::from_utf8(bytes.clone()).unwrap()
    };
    let names: Vec<&str> = files.keys().map(String::as_str).filter(|n| n.starts_with("diffs/")).collect();
    assert_eq!(names, ["diffs/02_execute.diff", &format!("diffs/{run}.diff")]);

    let summary = text("summary.md");
    for said in [
        "Make it two.",
        "done, proven",
        "rehearsal: a script plays the agents",
        "./test.sh  red → green",
        "1 file  +1 −1",
        "02_execute",
        "1 of ",
        "sum.txt",
        &format!("windlass undo {run}"),
        &format!("git -C {} add -p", world.repo.path().canonicalize().unwrap().display()),
        "- `transcripts/`: what each attempt said and did",
    ] {
        assert!(summary.contains(said), "{said}: {summary}");
    }
    // What the card of the run says, in the same words.
    let shown = world.windlass.run(["show", &run]).expect_code(0).out();
    for label in ["gates ", "changed ", "cost ", "unproven "] {
        let of = |text: &str| text.lines().find(|l| l.trim_start().starts_with(label)).map(str::to_owned);
        assert!(of(&shown).is_some());
        assert_eq!(of(&summary), of(&shown), "{label}");
    }
    assert!(shown.contains(folder.file_name().unwrap().to_str().unwrap()), "{shown}");
    assert!(shown.contains("summary.md") && shown.contains("transcripts/"), "{shown}");

    // The differences are those that `diff` shows, and can be applied.
    let whole = world.windlass.run(["diff", &run]).expect_code(0).out();
    assert!(whole.contains("+2"), "{whole}");
    for (name, address) in [(run.clone(), run.clone()), ("02_execute".into(), format!("{run}/02_execute"))] {
        let shown = world.windlass.run(["diff", &address]).expect_code(0).out();
        let copy = text(&format!("diffs/{name}.diff"));
        let rest = copy.strip_prefix(&shown).expect("what is shown, and a last line");
        assert!(rest.starts_with("-- \n") && rest.lines().count() == 2, "{rest}");
    }
    let patch = folder.join(format!("diffs/{run}.diff"));
    world.repo.git(["apply", "-R", patch.to_str().unwrap()]);
    assert_eq!(world.repo.read("sum.txt"), "1\n");

    let told = text("transcripts/02_execute.1.md");
    let order = [
        "# `02_execute`, attempt 1",
        "execute gone",
        "`edit`",
        "nothing.txt",
        "`edit` failed",
        "`edit` ended",
        "mended",
        "How it ended",
        "results/02_execute.1.md",
    ];
    let mut at = 0;
    for part in order {
        at += told[at..].find(part).unwrap_or_else(|| panic!("{part} in its place: {told}"));
    }
    assert!(
        files.contains_key("transcripts/01_explore.1.md") && files.contains_key("transcripts/03_verify.1.md")
    );
    for (name, bytes) in &files {
        if name == "summary.md" || name.starts_with("transcripts/") {
            neutral(name, bytes);
        }
    }
    assert!(!files.keys().any(|n| n.ends_with(".tmp")), "{:?}", files.keys());
    assert_eq!(
        world.windlass.run(["show", &format!("{run}/execute"), "-q"]).expect_code(0).out(),
        format!("mended {EVIL}")
    );
}

#[test]
fn copies_that_are_missing_or_damaged_are_made_again_as_they_were() {
    let world = World::new();
    let run = world.fixed();
    let folder = world.copied(&run);
    world.windlass.run(["daemon", "stop"]).expect_code(0);
    let before = files(&folder);
    assert_eq!(world.doctor(&[]), Vec::<Value>::new(), "all of them are as written");

    std::fs::remove_dir_all(folder.join("diffs")).unwrap();
    std::fs::remove_file(folder.join("goal.md")).unwrap();
    std::fs::remove_file(folder.join("transcripts/01_explore.1.md")).unwrap();
    std::fs::write(folder.join("transcripts/03_verify.1.md"), "forged\n").unwrap();
    // As a power cut leaves them: nothing, half, and as long as it was.
    std::fs::write(folder.join("results/02_execute.1.md"), "").unwrap();
    let half = &before["summary.md"];
    std::fs::write(folder.join("summary.md"), &half[..half.len() / 2]).unwrap();
    let zeros = vec![0; before["transcripts/02_execute.1.md"].len()];
    std::fs::write(folder.join("transcripts/02_execute.1.md"), zeros).unwrap();
    // What a writer that was killed leaves.
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let unfinished = folder.join(format!("results/.02_execute.1.md.{}.0.tmp", gone.id()));
    std::fs::write(&unfinished, "half").unwrap();

    let found = world.doctor(&[]);
    let [one] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((&one["status"], &one["fix"]), (&json!("warn"), &json!("windlass doctor --fix")));
    assert!(one["detail"].as_str().unwrap().starts_with("8 plain copies of 1 run missing"), "{one}");
    assert!(!folder.join("diffs").exists(), "looking changes nothing");
    let mended = world.doctor(&["--fix"]);
    assert_eq!((mended.len(), &mended[0]["status"]), (1, &json!("mended")), "{mended:#?}");
    assert_eq!(files(&folder), before);
    assert_eq!(world.doctor(&["--fix"]), Vec::<Value>::new());
}

#[test]
fn what_a_run_lives_on_is_made_again_when_it_is_opened() {
    let world = World::new();
    let run = world.fixed();
    let folder = world.copied(&run);
    world.windlass.run(["daemon", "stop"]).expect_code(0);
    std::fs::write(folder.join("results/02_execute.1.md"), "forged").unwrap();
    std::fs::write(folder.join("goal.md"), "").unwrap();
    // Opened to be asked; what it says of itself is then of now.
    world.windlass.run(["undo", &run, "--yes"]).expect_code(0);
    let result = std::fs::read_to_string(folder.join("results/02_execute.1.md")).unwrap();
    assert_eq!(result, format!("mended {EVIL}"));
    assert!(std::fs::read_to_string(folder.join("goal.md")).unwrap().starts_with("Make it two."));
    process::wait_until("the summary to say it", || {
        std::fs::read_to_string(folder.join("summary.md")).is_ok_and(|text| text.contains("taken back"))
    });
}

#[test]
fn an_engine_that_was_killed_before_it_copied_leaves_that_to_the_next() {
    let world = World::new();
    let run = world.fixed();
    let folder = world.copied(&run);
    let before = files(&folder);
    world.windlass.kill_daemon();
    // As if it had come no further.
    std::fs::remove_file(folder.join("summary.md")).unwrap();
    std::fs::remove_file(folder.join("transcripts/02_execute.1.md")).unwrap();
    world.windlass.run(["daemon", "start"]).expect_code(0);
    process::wait_until("the summary", || folder.join("summary.md").exists());
    assert_eq!(files(&folder), before);
}

#[test]
fn a_command_that_ended_well_costs_no_file_but_the_runs_summary() {
    let world = World::new();
    world.windlass.shell_agent("quiet", "true", "");
    world.windlass.shell_agent("loud", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done", "");
    world.windlass.shell_agent("bad", "echo why >&2; exit 3", "");
    let workflow = "## a\nrole: quiet\n\nDo.\n\n## b\nrole: loud\n\nDo.\n\n## c\nrole: bad\n\nDo.\n";
    world.windlass.team("three", &["quiet", "loud", "bad"], "", workflow);
    let run = world.windlass.detach(["--team", "three", "go"]);
    assert_eq!(world.windlass.wait_end(&run)["run"]["status"], "failed");
    let folder = world.copied(&run);
    let files = files(&folder);
    let named = |prefix: &str| files.keys().filter(|n| n.starts_with(prefix)).cloned().collect::<Vec<_>>();
    assert_eq!(named("transcripts/"), ["transcripts/02_b.1.md", "transcripts/03_c.1.md"]);
    assert_eq!(named("diffs/"), Vec::<String>::new());
    assert!(!folder.join("diffs").exists());
    let loud = String::from_utf8(files["transcripts/02_b.1.md"].clone()).unwrap();
    assert!(loud.contains("line 0\nline 1\n") && loud.contains("line 1999\n"), "{loud}");
    let bad = String::from_utf8(files["transcripts/03_c.1.md"].clone()).unwrap();
    assert!(bad.contains("standard error\n\n```text\nwhy\n```") && bad.contains("exit code 3"), "{bad}");
}

#[test]
fn a_run_that_stands_still_says_why_and_a_removed_one_leaves_nothing() {
    let world = World::new();
    world.windlass.shell_agent("sly", "echo 2 > sum.txt", "");
    // A reader that writes is found out, and waits for a person.
    let run = world.windlass.detach(["--agent", "sly", "go"]);
    assert_eq!(world.windlass.wait_end(&run)["run"]["status"], "blocked");
    let folder = world.copied(&run);
    let summary = std::fs::read_to_string(folder.join("summary.md")).unwrap();
    assert!(summary.contains("! blocked") && summary.contains(&format!("windlass retry {run}")), "{summary}");
    assert!(folder.join("diffs/01_sly.diff").exists());
    world.windlass.run(["cancel", &run]).expect_code(0);
    process::wait_until("the summary of its end", || {
        std::fs::read_to_string(folder.join("summary.md")).is_ok_and(|text| text.contains("cancelled"))
    });
    world.windlass.run(["rm", &run, "--yes"]).expect_code(0);
    world.windlass.run(["daemon", "stop"]).expect_code(0);
    assert!(!folder.exists());
}

#[test]
fn a_run_without_a_daemon_has_left_everything_when_its_command_ends() {
    let world = World::new();
    world.windlass.shell_agent("writer", "echo 2 > sum.txt", "writes: true");
    world.windlass.run(["run", "--no-daemon", "--agent", "writer", "go"]).expect_code(0);
    let folder = world.folder("last");
    let files = files(&folder);
    assert!(
        files.contains_key("summary.md") && files.contains_key("diffs/01_writer.diff"),
        "{:?}",
        files.keys()
    );
}

#[test]
fn what_an_attempt_said_can_be_read_while_the_run_goes_on() {
    let world = World::new();
    let script = world.windlass.script(json!([
        {"when": {"step": "explore"}, "do": [{"say": "looking around"}, {"answer": "It is one."}]},
        {"do": ["hang"]},
    ]));
    let script = script.to_str().unwrap();
    let run =
        world.windlass.detach(["--team", "fast-fix", "--runtime", "rehearsal", "--script", script, "go"]);
    let folder = world.folder(&run);
    process::wait_until("the first transcript", || folder.join("transcripts/01_explore.1.md").exists());
    let text = std::fs::read_to_string(folder.join("transcripts/01_explore.1.md")).unwrap();
    assert!(text.contains("looking around"), "{text}");
    assert!(!folder.join("summary.md").exists(), "that is for its end");
    world.windlass.run(["cancel", &run]).expect_code(0);
    world.copied(&run);
}
