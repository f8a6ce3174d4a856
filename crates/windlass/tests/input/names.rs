//! Names and files that are wrong.

use super::{calm, refused, runs, world};
use windlass_testkit::{TempRepo, Windlass};

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let (_repo, windlass) = world();
    windlass.fake_agent("hello", &["say", "hello"], "");
    windlass.team("greeting", &["hello"], "", "## hello\n\ngo\n");
    for (args, words) in [
        (&["run", "--team", "greting", "go"][..], &["no team `greting`", "did you mean `greeting`?"][..]),
        (&["run", "--team", "defualt", "go"], &["no team `defualt`", "did you mean `default`?"]),
        (&["run", "--agent", "explorr", "go"], &["no agent `explorr`", "did you mean `explorer`?"]),
        (&["run", "--workflow", "fast-fxi", "go"], &["no workflow `fast-fxi`", "did you mean `fast-fix`?"]),
        (&["run", "--runtime", "phi", "go"], &["no runtime `phi`", "rehearsal"]),
        (&["run", "--team", "nothing-like-it-at-all", "go"], &["no team `nothing-like-it-at-all`"]),
        (&["run", "--agent", "hello", "--team", "greeting", "go"], &["--agent", "--team"]),
        (&["run", "--agent", "hello", "--reads", "no/such/file", "go"], &["no/such/file"]),
        (&["agents", "show", "explorr"], &["explorr", "explorer"]),
        (&["config", "get", "run.budget_us"], &["run.budget_us", "run.budget_usd"]),
    ] {
        refused(&windlass, args, 2, words);
    }
    assert_eq!(runs(&windlass), 0);

    windlass.run(["run", "--team", "greeting", "go"]).expect_code(0);
    let run = windlass.json(["status", "last", "--json"])["run"]["id"].as_str().unwrap().to_owned();
    // One letter off, of a kind that no id has.
    let near = format!("{}-", &run[..5]);
    for command in ["status", "attach", "wait", "cancel", "resume", "retry", "events"] {
        refused(&windlass, &[command, &near], 2, &["there is no run", &near]);
    }
    let tasks = format!("{run}/helo");
    refused(&windlass, &["show", &tasks], 2, &["no task `helo`"]);
    refused(&windlass, &["cancel", &run, "helo"], 2, &["no task `helo`"]);
    refused(&windlass, &["retry", &run, "helo"], 2, &["no task `helo`"]);
    // A name is no pattern, no path, no option and no escape.
    for name in ["*", "../../etc/passwd", "", " ", "\u{1b}[31mred", "a\nb", "ü", &"x".repeat(10_000)] {
        for command in ["status", "show", "logs", "cancel"] {
            let output = windlass.run([command, name]);
            assert!(matches!(output.code, Some(2)), "{command} {name:?}: {:?} {}", output.code, output.err());
            calm(&output, &[command, name]);
            assert!(!output.err().contains('\u{1b}'), "{:?}", output.err());
            assert!(output.err().len() < 30_000, "{} bytes", output.err().len());
        }
    }
}

#[test]
fn a_command_that_acts_wants_its_run_named() {
    let (_repo, windlass) = world();
    windlass.fake_agent("hello", &["say", "hello"], "");
    refused(&windlass, &["cancel"], 2, &["name the run"]);
    refused(&windlass, &["resume"], 2, &["name the run"]);
    refused(&windlass, &["retry"], 2, &["name the run"]);
    refused(&windlass, &["undo"], 2, &["name the run"]);
    refused(&windlass, &["status", "last"], 2, &["nothing was run"]);
    windlass.run(["run", "--agent", "hello", "go"]).expect_code(0);
    // What is over cannot be acted on, and stays as it is.
    refused(&windlass, &["cancel", "last"], 2, &["completed already"]);
    refused(&windlass, &["resume", "last"], 2, &["completed"]);
    refused(&windlass, &["retry", "last"], 2, &["nothing failed"]);
    refused(&windlass, &["undo", "last", "--yes"], 2, &["changed nothing"]);
    refused(&windlass, &["steer", "last/hello", "faster"], 2, &["completed already"]);
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["status"], "completed");
}

#[test]
fn what_is_no_command_is_answered_with_what_to_type() {
    let (_repo, windlass) = world();
    let output = windlass.run(["fix the parser's test"]).expect_code(2);
    calm(&output, &["…"]);
    assert!(output.err().contains(r"windlass run 'fix the parser'\''s test'"), "{}", output.err());
    for args in
        [&["rnu", "x"][..], &["run", "--bogus", "x"], &["--bogus"], &["status", "a", "b"], &["run", "a", "b"]]
    {
        let output = windlass.run(args).expect_code(2);
        calm(&output, args);
        assert!(output.err().starts_with("error: "), "{args:?}: {}", output.err());
        let json = windlass.run(args.iter().copied().chain(["--json"])).expect_code(2);
        let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(document["error"]["kind"], "usage", "{args:?}: {document}");
    }
    for (typed, meant) in [("rnu", "run"), ("stauts", "status"), ("forgte", "forget")] {
        refused(
            &windlass,
            &[typed],
            2,
            &[&format!("no command `{typed}`"), &format!("did you mean `windlass {meant}`?")],
        );
    }
    // Arguments need not be text.
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"not-\xff-text \xfe");
    for args in [
        &[odd][..],
        &["run".as_ref(), odd],
        &["status".as_ref(), odd],
        &["-C".as_ref(), odd, "list".as_ref()],
        &["--json".as_ref(), odd],
    ] {
        let output = windlass.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.err());
        calm(&output, &["…"]);
    }
    for args in [
        &["run", "--budget-usd", "lots", "x"][..],
        &["run", "--budget-usd", "-1", "x"],
        &["run", "--budget-usd", "nan", "x"],
        &["run", "--budget-tokens", "1e400", "x"],
        &["run", "--timeout", "soon", "x"],
        &["wait", "--timeout", "99999999999999999999h"],
        &["list", "-n", "-1"],
        &["events", "--since", "99999999999999999999"],
        &["completions", "fsh"],
        &["--color", "sometimes", "list"],
    ] {
        let output = windlass.run(args).expect_code(2);
        calm(&output, args);
    }
    windlass.run(["--help"]).expect_code(0);
    windlass.run(["run", "--help"]).expect_code(0);
    windlass.run(["--version"]).expect_code(0);
}

#[test]
fn a_wrong_graph_is_refused_with_the_place() {
    let (_repo, windlass) = world();
    windlass.fake_agent("w", &["say", "x"], "");
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "cycle",
            "## a\nrole: w\ndependsOn: c\n\nx\n\n## b\nrole: w\ndependsOn: a\n\nx\n\n## c\nrole: w\ndependsOn: b\n\nx\n",
            &["in a circle", "`a` → `b` → `c` → `a`"],
        ),
        ("self", "## a\nrole: w\ndependsOn: a\n\nx\n", &["in a circle", "`a` → `a`"]),
        (
            "dangling",
            "## first\nrole: w\n\nx\n\n## b\nrole: w\ndependsOn: frist\n\nx\n",
            &["`frist`", "no step", "`first`"],
        ),
        ("twice", "## a\nrole: w\n\nx\n\n## a\nrole: w\n\ny\n", &["`a`", "twice"]),
        ("role", "## a\nrole: v\n\nx\n", &["`v`", "does not have", "`w`"]),
        ("key", "## a\nrole: w\nsharedWrites: perhaps\n\nx\n", &["sharedWrites", "`true` or `false`"]),
        ("name", "## ../up\nrole: w\n\nx\n", &["../up"]),
        ("up", "## a\nrole: w\noutput: ../../up\n\nx\n", &["../../up"]),
        ("none", "no steps here\n", &["no steps"]),
    ];
    for (name, body, words) in cases {
        windlass.team(name, &["w"], "", body);
        let file = format!("{name}.workflow.md");
        let mut all = vec![file.as_str()];
        all.extend(words);
        refused(&windlass, &["run", "--team", name, "go"], 2, &all);
        // The same is known before any run.
        let checked = windlass.run(["validate"]);
        let said: String = checked.out().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(said.contains(word), "validate, {name}: `{word}` is not in\n{}", checked.out());
        }
    }
    assert_eq!(runs(&windlass), 0);
    // The broken ones stand in nobody else's way.
    windlass.team("fine", &["w"], "", "## a\nrole: w\n\nx\n");
    windlass.run(["run", "--team", "fine", "go"]).expect_code(0);
}

#[test]
fn a_broken_file_is_named_and_no_weaker_one_takes_its_place() {
    let (_repo, windlass) = world();
    let bytes: [(&str, &[u8], &[&str]); 6] = [
        ("open", b"---\nname: open\ncommand: [\"true\"]\nno end of the front matter\n", &["open.md"]),
        (
            "number",
            b"---\nname: number\nruntime: command\ncommand: 17\nmaxTurns: many\n---\n",
            &["number.md", "`command`"],
        ),
        (
            "runtime",
            b"---\nname: runtime\nruntime: comand\n---\nx\n",
            &["runtime.md", "`comand`", "`command`"],
        ),
        ("bytes", b"---\nname: bytes\n---\n\xff\xfe\x00", &["bytes.md", "UTF-8"]),
        ("none", b"---\nname: none\nruntime: command\n---\n", &["none.md", "command"]),
        // Hides the shipped one: a broken wish is not read as no wish.
        ("explorer", b"---\nname: explorer\nruntime: nonsense\n---\nx\n", &["explorer.md", "nonsense"]),
    ];
    for (name, content, words) in bytes {
        windlass.write_home(format!("agents/{name}.md"), content);
        refused(&windlass, &["run", "--agent", name, "go"], 2, words);
        let checked = windlass.run(["validate"]);
        assert!(checked.out().contains(words[0]), "{}", checked.out());
    }
    windlass.write_home("config.toml", "[run]\nbudget_usd = \"lots\"\nbudget_us = 3\n");
    refused(&windlass, &["run", "--agent", "reviewer", "go"], 2, &["config.toml", "budget_usd"]);
    windlass.write_home("config.toml", "this is = = no toml");
    refused(&windlass, &["run", "--agent", "reviewer", "go"], 2, &["config.toml"]);
    assert_eq!(runs(&windlass), 0);
}

#[test]
fn a_missing_program_is_code_5_and_nothing_was_created() {
    let (repo, mut windlass) = world();
    windlass.command_agent("absent", ["no-such-program-anywhere", "--flag"], "");
    windlass.command_agent("elsewhere", ["./scripts/not-there"], "");
    refused(&windlass, &["run", "--agent", "absent", "go"], 5, &["no-such-program-anywhere", "`absent`"]);
    refused(&windlass, &["run", "--agent", "elsewhere", "go"], 5, &["./scripts/not-there"]);
    // Without pi: the command that mends it.
    let only_git = repo.beside().join("bin");
    std::fs::create_dir(&only_git).unwrap();
    for program in ["git", "sh"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|d| d.join(program))
            .find(|p| p.is_file())
            .expect("the program");
        std::os::unix::fs::symlink(found, only_git.join(program)).unwrap();
    }
    windlass.set("PATH", &only_git);
    refused(&windlass, &["run", "mend the test"], 5, &["`pi`", "npm install"]);
    refused(&windlass, &["run", "--runtime", "claude", "mend the test"], 5, &["claude"]);
    assert_eq!(runs(&windlass), 0);
    assert_eq!(repo.status(), "");
}

#[test]
fn directories_are_taken_as_given() {
    let (repo, windlass) = world();
    windlass.shell_agent("where", "pwd", "");
    refused(&windlass, &["-C", "/no/such/directory", "list"], 2, &["/no/such/directory"]);
    refused(&windlass, &["-C", "README.md", "list"], 2, &["README.md"]);
    repo.write("deep/er/file", "x");
    let output = windlass.run(["-C", "deep/er", "run", "--agent", "where", "go"]).expect_code(0);
    assert_eq!(output.out().trim_end(), repo.path().join("deep/er").to_str().unwrap());
    // A folder that is gone while one is in it.
    let gone = repo.beside().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let mut command = std::process::Command::new("sh");
    let line = format!("rmdir {}; exec {} list", gone.display(), env!("CARGO_BIN_EXE_windlass"));
    command
        .args(["-c", &line])
        .current_dir(&gone)
        .env("WINDLASS_HOME", windlass.home())
        .env("RUST_BACKTRACE", "0");
    let output = windlass_testkit::process::run(command, b"");
    assert_ne!(output.code, Some(0));
    calm(&output, &["list, in a folder that is gone"]);
    // A run of another folder is known everywhere.
    let other = TempRepo::without_git();
    let run = windlass.json(["status", "last", "--json"])["run"]["id"].as_str().unwrap().to_owned();
    let status = windlass.json(["-C", other.path().to_str().unwrap(), "status", &run, "--json"]);
    assert_eq!(status["run"]["id"], run);
}

#[test]
fn outside_git_what_needs_git_is_refused() {
    let folder = TempRepo::without_git();
    let windlass = Windlass::new(env!("CARGO_BIN_EXE_windlass"), folder.path());
    windlass.fake_agent("hello", &["say", "hello"], "");
    let output = windlass.run(["run", "--agent", "hello", "go"]).expect_code(0);
    assert!(output.err().contains("git"), "{}", output.err());
    for args in [&["diff", "last"][..], &["undo", "last", "--yes"]] {
        refused(&windlass, args, 2, &["outside git"]);
    }
    // Where git itself is broken it is not read as "no git".
    folder.write(".git", "gitdir: /no/such/place\n");
    let output = windlass.run(["run", "--agent", "hello", "go"]);
    calm(&output, &["run"]);
    assert!(output.code == Some(5) || output.err().contains("git"), "{:?} {}", output.code, output.err());
}
