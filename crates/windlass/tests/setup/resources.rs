//! Agents, teams, workflows, skills; `validate`; `recommend`.

use crate::world::{said, user};

const MINE: &str = "---\nname: explorer\ndescription: Mine\n---\nLook.\n";

#[test]
fn lists_say_whose_and_name_what_is_hidden_once() {
    let (repo, windlass) = user();
    windlass.write_home("agents/explorer.md", MINE);
    repo.write(".windlass/agents/explorer.md", MINE);
    repo.write(".windlass/agents/lint.md", "---\ndescription: Lints\ncommand: [\"true\"]\n---\n");
    windlass.write_home("agents/odd.md", "---\nruntime: pie\n---\nDo.\n");
    insta::assert_snapshot!(said(&windlass, &["agents", "-q"]), @r"
    $ windlass agents -q
    name               from     made of               for
    analyst            builtin  only reads            Separates what is known from what is assumed and…
    critic             builtin  only reads            Attacks a plan before it costs anything, looking…
    executor           builtin  writes                Makes the change with minimal edits, checks it an…
    explorer           user     writes                Mine
    lint               project  command · only reads  not used: the repository is not trusted
    odd                user                           broken: windlass validate
    planner            builtin  only reads            Turns goal and findings into an ordered, checkabl…
    reviewer           builtin  only reads            Reviews a change for correctness and maintainabil…
    security-reviewer  builtin  only reads            Looks for vulnerabilities and broken trust bounda…
    test-engineer      builtin  writes                Chooses and adds the tests that would catch a fau…
    verifier           builtin  only reads            Judges from goal, diff and check results alone wh…
    writer             builtin  writes                Writes concise, correct documentation and summari…
    --- exit 0
    ");
    let output = windlass.run(["agents", "list"]).expect_code(0);
    assert_eq!(output.err().matches("is used and hides").count(), 1, "{}", output.err());
    let doc = windlass.json(["agents", "--json"]);
    let of = |name: &str| {
        doc["agents"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!(
        (of("explorer"), of("lint"), of("odd")),
        ("active".into(), "untrusted".into(), "broken".into())
    );
    assert_eq!(doc["shadowed"][0]["losers"].as_array().unwrap().len(), 2);
    windlass.run(["trust", "--all"]).expect_code(0);
    let doc = windlass.json(["agents", "--json"]);
    assert!(doc["agents"].as_array().unwrap().iter().any(|a| a["name"] == "lint" && a["state"] == "active"));
}

#[test]
fn a_file_is_shown_as_it_is_without_its_tricks() {
    let (_repo, windlass) = user();
    let output = windlass.run(["teams", "show", "fast-fix"]).expect_code(0);
    assert!(output.err().starts_with("from builtin:teams/fast-fix.team.md"), "{}", output.err());
    assert!(output.out().starts_with("---\nname: fast-fix\n"), "{}", output.out());
    let doc = windlass.json(["teams", "show", "fast-fix", "--json"]);
    assert_eq!(doc["definition"]["name"], "fast-fix");
    windlass.write_home("agents/evil.md", "---\ndescription: x\n---\n\u{1b}[2Jgone \u{202e}txt\n");
    let output = windlass.run(["agents", "show", "EVIL"]).expect_code(0);
    assert!(
        !output.out().contains(['\u{1b}', '\u{202e}']) && output.out().contains("gone"),
        "{}",
        output.out()
    );
    insta::assert_snapshot!(said(&windlass, &["workflows", "show", "defautl"]), @r"
    $ windlass workflows show defautl
    --- standard error
    error: there is no workflow `defautl`
      did you mean `default`?
    --- exit 2
    ");
}

#[test]
fn new_edit_rm() {
    let (_repo, windlass) = user();
    insta::assert_snapshot!(said(&windlass, &["skills", "new", "tidy", "--dry-run"]), @r"
    $ windlass skills new tidy --dry-run
      new    skills/tidy/SKILL.md  6 lines
             ---
             name: tidy
             description: One line that says what it teaches
             ---
             - A rule, and when it applies.
             - How to see that it was kept.
    --- exit 0
    ");
    assert!(!windlass.home().join("skills").exists());
    windlass.run(["skills", "new", "tidy"]).expect_code(0);
    windlass.run(["skills", "new", "tidy"]).expect_code(2);
    windlass.run(["skills", "new", "../../x"]).expect_code(2);
    // A shipped name: a copy to start from, and what is shipped counts again once it is gone.
    windlass.run(["agents", "new", "executor"]).expect_code(0);
    let copy = std::fs::read_to_string(windlass.home().join("agents/executor.md")).unwrap();
    assert!(copy.starts_with("---\nname: executor\n"), "{copy}");
    insta::assert_snapshot!(said(&windlass, &["agents", "edit", "planner"]), @r"
    $ windlass agents edit planner
    --- standard error
    error: agent `planner` is shipped with Windlass
      `windlass agents new planner` copies it to you, and yours is used
      `windlass config set agents.overrides.planner.model MODEL` only changes its model
    --- exit 2
    ");
    insta::assert_snapshot!(said(&windlass, &["agents", "edit", "executor"]), @r"
    $ windlass agents edit executor
    --- standard error
    error: no editor is named: set VISUAL or EDITOR
      or edit it yourself: HOME/agents/executor.md
    --- exit 5
    ");
    insta::assert_snapshot!(said(&windlass, &["agents", "rm", "executor"]), @r"
    $ windlass agents rm executor
    --- standard error
    error: nothing was removed: nobody can be asked here
      windlass agents rm executor --yes
    --- exit 2
    ");
    let doc = windlass.json(["agents", "rm", "executor", "--yes", "--json"]);
    assert_eq!(doc["then"]["path"], "builtin:agents/executor.md");
    let backup = std::path::PathBuf::from(doc["backup"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(backup).unwrap(), copy);
    assert!(!windlass.home().join("agents/executor.md").exists());
    // The backup is read as nothing.
    assert_eq!(windlass.run(["agents", "list"]).expect_code(0).err(), "");
    insta::assert_snapshot!(said(&windlass, &["agents", "rm", "executor", "--yes"]), @r"
    $ windlass agents rm executor --yes
    --- standard error
    error: agent `executor` is shipped with Windlass
      `windlass config set agents.overrides.executor.disabled true` hides it
    --- exit 2
    ");
}

#[test]
fn what_others_use_is_not_removed() {
    let (_repo, windlass) = user();
    windlass.write_home("agents/api.md", "---\ndescription: x\n---\nDo.\n");
    windlass.write_home("workflows/docs.workflow.md", "## a\nrole: api\n\nDo {goal}\n");
    windlass.write_home("teams/docs.team.md", "---\ndescription: x\n---\n- api: does\n");
    insta::assert_snapshot!(said(&windlass, &["agents", "rm", "api", "--yes"]), @r"
    $ windlass agents rm api --yes
    --- standard error
    error: agent `api` is used by team `docs`
      change or remove those first
    --- exit 2
    ");
    insta::assert_snapshot!(said(&windlass, &["workflows", "rm", "docs", "--yes"]), @r"
    $ windlass workflows rm docs --yes
    --- standard error
    error: workflow `docs` is used by team `docs`
      change or remove those first
    --- exit 2
    ");
    windlass.run(["config", "set", "run.team", "docs"]).expect_code(0);
    insta::assert_snapshot!(said(&windlass, &["teams", "rm", "docs", "--yes"]), @r"
    $ windlass teams rm docs --yes
    --- standard error
    error: team `docs` is used by the setting `run.team`
      change or remove those first
    --- exit 2
    ");
    assert!(windlass.home().join("agents/api.md").exists());
    windlass.run(["config", "unset", "run.team"]).expect_code(0);
    windlass.run(["teams", "rm", "docs", "--yes", "--dry-run"]).expect_code(0);
    assert!(windlass.home().join("teams/docs.team.md").exists());
    windlass.run(["teams", "rm", "docs", "--yes"]).expect_code(0);
    windlass.run(["agents", "rm", "api", "--yes"]).expect_code(0);
}

#[test]
fn files_of_other_programs_are_not_removed() {
    let (_repo, windlass) = user();
    let folder = windlass.user_home().join(".claude/agents");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("c.md"), "---\nname: c\ndescription: x\ntools: Read\n---\nDo.\n").unwrap();
    let output = windlass.run(["agents", "rm", "c", "--yes"]).expect_code(4);
    assert!(output.err().contains("is a file of Claude Code"), "{}", output.err());
    assert!(folder.join("c.md").exists());
}

#[test]
fn validate_names_file_line_and_column() {
    let (repo, windlass) = user();
    insta::assert_snapshot!(said(&windlass, &["validate"]), @r"
    $ windlass validate
    nothing is wrong in 10 agents, 9 teams, 9 workflows, 12 skills
    --- exit 0
    ");
    repo.write(".windlass/agents/a.md", "---\nname: a\ntoolz: read\nruntime: pie\n---\nDo.\n");
    repo.write(".windlass/teams/t.team.md", "---\ndescription: x\n---\n- exploder: looks\n");
    repo.write(
        ".windlass/workflows/w.workflow.md",
        "## one\nrole: explorer\ndependsOn: two\n\nDo.\n\n## two\nrole: explorer\ndependsOn: one\n\nDo.\n",
    );
    repo.write(".windlass/config.toml", "[run]\nbudgt_usd = 3\n");
    insta::assert_snapshot!(said(&windlass, &["validate"]), @r"
    $ windlass validate
    .windlass/agents/a.md:3:1: warning: unknown key `toolz`
      3 | toolz: read
        | ^
      help: did you mean `tools`?
    .windlass/agents/a.md:4:10: error: `pie` is no value of `runtime`; it is one of pi, claude, codex, opencode, gemini, acp, command, rehearsal, scaffold
      4 | runtime: pie
        |          ^
      help: did you mean `pi`?
    .windlass/config.toml:2:1: error: unknown key `run.budgt_usd`
      2 | budgt_usd = 3
        | ^
      help: did you mean `run.budget_usd`?
    .windlass/teams/t.team.md: error: team `t`: there is no workflow `t`
      help: did you mean `w`?
    .windlass/teams/t.team.md:4:1: error: role `exploder`: there is no agent `exploder`
      4 | - exploder: looks
        | ^
      help: did you mean `explorer`?
    .windlass/workflows/w.workflow.md:1:4: error: steps depend on each other in a circle: `one` → `two` → `one`
      1 | ## one
        |    ^

    5 errors, 1 warning in 11 agents, 10 teams, 10 workflows, 12 skills
    --- exit 2
    ");
    let output = windlass.run(["validate", "--json"]).expect_code(2);
    let doc: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = doc["diagnostics"].as_array().unwrap();
    assert!(found.iter().any(|d| d["code"] == "unknown-key" && d["pos"]["line"] == 2), "{doc:#}");
}

#[test]
fn validate_of_paths() {
    let (repo, windlass) = user();
    repo.write("some/x.md", "---\ndescription: x\n---\nDo.\n");
    insta::assert_snapshot!(said(&windlass, &["validate", "some/x.md", "some/none.md"]), @r"
    $ windlass validate some/x.md some/none.md
    some/none.md: error: cannot be read: No such file or directory (os error 2)

    1 error in 2 paths
    --- exit 2
    ");
    repo.write("some/x.md", b"---\ndescription: \xff\n---\n");
    insta::assert_snapshot!(said(&windlass, &["validate", "some"]), @r"
    $ windlass validate some
    some/x.md:2:14: error: is not valid UTF-8

    1 error in 1 path
    --- exit 2
    ");
}

#[test]
fn advice_ends_with_a_command() {
    let (_repo, windlass) = user();
    insta::assert_snapshot!(said(&windlass, &["recommend", "fix the parser's failing test"]), @r"
    $ windlass recommend fix the parser's failing test
    team     solo
    why      one piece of work
    or       implementation: words of a change: `test`, `fix`
    command  windlass run --team solo 'fix the parser'\''s failing test'
    --- exit 0
    ");
    let output =
        windlass.run_with_input(["recommend", "-", "--json"], b"what does the cache do?\n").expect_code(0);
    let doc: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(doc["goal"], "what does the cache do?");
    assert!(doc["command"].as_str().unwrap().starts_with("windlass run --team "), "{doc}");
    // A team of the user's own that asks for such goals comes first.
    windlass.write_home(
        "teams/docs.team.md",
        "---\ndescription: x\ntriggers: reference page\ndefaultWorkflow: solo\n---\n- executor: writes\n",
    );
    insta::assert_snapshot!(said(&windlass, &["recommend", "write the reference page of the parser"]), @r"
    $ windlass recommend write the reference page of the parser
    team     docs, workflow solo
    why      team `docs` asks for such goals: `reference page`
    or       solo: one piece of work
    command  windlass run --team docs 'write the reference page of the parser'
    --- exit 0
    ");
    windlass.run(["recommend"]).expect_code(2);
}
