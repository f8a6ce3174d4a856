//! `init` and the question of trust.

use crate::world::{plain, said, user};
use windlass_testkit::terminal::CTRL_C;
use windlass_testkit::{TempRepo, Windlass};

#[test]
fn init_lists_asks_and_writes_nothing_else() {
    let (repo, windlass) = user();
    // Nobody can be asked: nothing is written.
    insta::assert_snapshot!(said(&windlass, &["init"]), @r"
    $ windlass init
    --- standard error
      new    .windlass/config.toml  15 lines
    error: nothing was written: nobody can be asked here
      `windlass init --yes` writes these files, `windlass init --dry-run` shows what is in them
    --- exit 2
    ");
    insta::assert_snapshot!(said(&windlass, &["init", "--dry-run"]), @r#"
    $ windlass init --dry-run
      new    .windlass/config.toml  15 lines
             # Windlass, for this repository. Commit this file.
             # Your own settings are in your user config (`windlass config path`); `windlass config list` shows what holds.
             # Agents, teams, workflows and skills of this repository go beside this file: `windlass agents new NAME`.

             [run]
             # The checks that prove work done here, each one command for `sh -c`.
             # make test: found by Makefile
             gates = ["make test"]
             # gate_timeout = "10m"

             # Limits: a repository can make them tighter than a user's own.
             # budget_usd = 5
             # timeout = "2h"
             # repair_rounds = 2
             # require_proof = true
    --- exit 0
    "#);
    assert_eq!(repo.status(), "");
    insta::assert_snapshot!(said(&windlass, &["init", "--yes"]), @r#"
    $ windlass init --yes
    wrote .windlass/config.toml
    --- standard error
      new    .windlass/config.toml  15 lines
    next  windlass trust                      say what of this repository may be used
    next  windlass run --dry-run "your goal"  what would be done, nothing started
    next  git add .windlass                   share it
    --- exit 0
    "#);
    assert_eq!(repo.status(), "?? .windlass/config.toml\n");
    insta::assert_snapshot!(said(&windlass, &["init"]), @r"
    $ windlass init
      stays  .windlass/config.toml
    this project is set up already
    --- exit 0
    ");
    assert!(windlass.home().read_dir().unwrap().flatten().all(|e| e.file_name() != "config.toml"));
}

#[test]
fn init_on_a_terminal_asks_first() {
    let (repo, windlass) = user();
    let mut terminal = windlass.terminal(["init"], 24, 80);
    let screen = terminal.wait_screen("the question", |s| s.contains("[Y/n]"));
    assert!(screen.contains("new    .windlass/config.toml"), "{screen}");
    assert_eq!(repo.status(), "");
    terminal.send("n");
    let (code, screen) = terminal.wait();
    assert!(code == 0 && screen.contains("nothing was written"), "{screen}");
    assert_eq!(repo.status(), "");

    let mut terminal = windlass.terminal(["init"], 24, 80);
    terminal.wait_screen("the question", |s| s.contains("[Y/n]"));
    terminal.send("\r");
    let (code, screen) = terminal.wait();
    assert!(code == 0 && screen.contains("wrote .windlass/config.toml"), "{screen}");
    assert_eq!(repo.status(), "?? .windlass/config.toml\n");
}

#[test]
fn a_home_is_no_project_and_a_plain_folder_becomes_one() {
    let folder = TempRepo::without_git();
    let mut windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &folder);
    windlass.run(["init", "--yes"]).expect_code(0);
    assert!(folder.path().join(".windlass/config.toml").is_file());
    std::fs::remove_dir_all(folder.path().join(".windlass")).unwrap();
    windlass.set("HOME", folder.path());
    let output = windlass.run(["init", "--yes"]).expect_code(2);
    assert!(output.err().contains("is no place for a project"), "{}", output.err());
    assert!(!folder.path().join(".windlass").exists());
}

#[test]
fn a_link_of_the_repository_is_not_written_through() {
    let (repo, windlass) = user();
    let elsewhere = repo.beside().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, repo.path().join(".windlass")).unwrap();
    windlass.run(["init", "--yes"]).expect_code(5);
    windlass.run(["agents", "new", "spy", "--project"]).expect_code(5);
    assert!(!elsewhere.join("config.toml").exists() && !elsewhere.join("agents/spy.md").exists());
    std::fs::write(elsewhere.join("config.toml"), "").unwrap();
    windlass.run(["config", "set", "--project", "run.budget_usd", "1"]).expect_code(4);
    assert_eq!(std::fs::read_to_string(elsewhere.join("config.toml")).unwrap(), "");
}

/// A repository with something of every kind.
fn rich() -> (TempRepo, Windlass) {
    let (repo, windlass) = user();
    repo.write(
        ".windlass/agents/lint.md",
        "---\nname: lint\ndescription: Lints\ncommand: [\"sh\", \"-c\", \"true\"]\n---\n",
    );
    repo.write(".windlass/config.toml", "[run]\ngates = [\"make test\"]\nmodel = \"a/b\"\n");
    repo.commit("more");
    (repo, windlass)
}

fn state(windlass: &Windlass) -> (String, String) {
    let doc = windlass.json(["trust", "--show", "--json"]);
    let word = |key: &str| doc[key].as_str().unwrap().to_owned();
    (word("state"), word("answer"))
}

fn is(windlass: &Windlass, state_word: &str, answer: &str) {
    assert_eq!(state(windlass), (state_word.to_owned(), answer.to_owned()));
}

#[test]
fn one_screen_three_answers() {
    let (_repo, windlass) = rich();
    is(&windlass, "never_asked", "none");
    for (key, answer) in [("a", "all"), ("g", "gates"), ("n", "none")] {
        let mut terminal = windlass.terminal(["trust"], 24, 80);
        let screen = terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
        if key == "a" {
            insta::assert_snapshot!(plain(&windlass, &screen), @r"
            This repository brings things that Windlass would use:

              gate      make test (.windlass/config.toml)
              key       run.model: a/b (.windlass/config.toml)
              agent     lint: runs sh -c true (.windlass/agents/lint.md)

              a  use all of it
              g  use only the gates: commands that check the work
              n  use none of it; runs go on without
            Asked again only when this changes by other hands than yours.
            [a/g/n]
            ");
        }
        terminal.send(key);
        let (code, screen) = terminal.wait();
        assert_eq!(code, 0, "{screen}");
        is(&windlass, answer, answer);
    }
    // Nobody answering keeps what was answered before.
    for keys in [CTRL_C, "\x04", "\x1b"] {
        let mut terminal = windlass.terminal(["trust"], 24, 80);
        terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
        terminal.send(keys);
        let (code, screen) = terminal.wait();
        assert!(code == 130 && screen.contains("no answer"), "{code}: {screen}");
        is(&windlass, "none", "none");
    }
}

#[test]
fn a_long_list_fits_a_small_screen() {
    let (repo, windlass) = rich();
    for n in 0..200 {
        repo.write(format!(".windlass/agents/a{n}.md"), "---\ndescription: x\n---\nDo.\n");
    }
    let mut terminal = windlass.terminal(["trust"], 16, 60);
    let screen = terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
    assert!(
        screen.starts_with("This repository brings") && screen.contains("more: `windlass trust --show`"),
        "{screen}"
    );
    terminal.send("n");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn answers_without_a_terminal() {
    let (repo, windlass) = rich();
    insta::assert_snapshot!(said(&windlass, &["trust"]), @r"
    $ windlass trust
    --- standard error
    error: nobody can be asked here
      say it: `windlass trust --all`, `--gates` or `--none`; `windlass trust --show` lists what it is
      about
    --- exit 2
    ");
    windlass.run(["trust", "--all"]).expect_code(0);
    insta::assert_snapshot!(said(&windlass, &["trust", "--show"]), @r"
    $ windlass trust --show
    gate      make test (.windlass/config.toml)
    key       run.model: a/b (.windlass/config.toml)
    agent     lint: runs sh -c true (.windlass/agents/lint.md)

    everything in this repository is used
    --- exit 0
    ");
    // Other hands change it: it no longer holds.
    repo.write(
        ".windlass/agents/lint.md",
        "---\nname: lint\ndescription: Lints\ncommand: [\"rm\", \"-rf\", \"/\"]\n---\n",
    );
    is(&windlass, "changed", "none");
    windlass.run(["trust", "--gates"]).expect_code(0);
    is(&windlass, "gates", "gates");
    windlass.run(["trust", "--revoke"]).expect_code(0);
    is(&windlass, "never_asked", "none");
    windlass.run(["trust", "--all", "--gates"]).expect_code(2);
}

#[test]
fn what_windlass_writes_itself_keeps_the_answer() {
    let (repo, windlass) = rich();
    windlass.run(["trust", "--all"]).expect_code(0);
    windlass.run(["config", "set", "--project", "run.gates", "make check"]).expect_code(0);
    is(&windlass, "all", "all");
    windlass.run(["agents", "new", "mine", "--project"]).expect_code(0);
    is(&windlass, "all", "all");
    windlass.run(["agents", "rm", "mine", "--yes"]).expect_code(0);
    is(&windlass, "all", "all");
    // A change by other hands is not waved through by one of ours.
    repo.write(".windlass/agents/other.md", "---\ndescription: x\n---\nDo.\n");
    windlass.run(["config", "set", "--project", "run.gates", "make test"]).expect_code(0);
    is(&windlass, "changed", "none");
}

#[test]
fn what_an_editor_saves_keeps_the_answer_and_what_else_changes_meanwhile_does_not() {
    let (repo, mut windlass) = rich();
    windlass.run(["trust", "--all"]).expect_code(0);
    let editor = repo.beside().join("editor");
    let script = |more: &str| {
        std::fs::write(
            &editor,
            format!("#!/bin/sh\nprintf -- '---\\ncommand: [\"true\"]\\n---\\n' > \"$1\"\n{more}\n"),
        )
        .unwrap();
        std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    script("");
    windlass.set("VISUAL", &editor);
    windlass.run(["agents", "edit", "lint"]).expect_code(0);
    is(&windlass, "all", "all");
    script("printf -- '---\\n---\\nx\\n' > other.md");
    windlass.run(["agents", "edit", "lint"]).expect_code(0);
    is(&windlass, "changed", "none");
}

#[test]
fn a_damaged_answer_is_not_read_as_never_asked() {
    let (_repo, windlass) = rich();
    windlass.run(["trust", "--all"]).expect_code(0);
    let folder = windlass.home().join("state/trust");
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&kept, "{").unwrap();
    is(&windlass, "damaged", "none");
    windlass.run(["trust", "--gates"]).expect_code(0);
    is(&windlass, "gates", "gates");
}

#[test]
fn nothing_to_trust_is_said() {
    let repo = TempRepo::new();
    let windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
    insta::assert_snapshot!(said(&windlass, &["trust"]), @r"
    $ windlass trust
    nothing in this repository needs your trust
    --- exit 0
    ");
    let outside = TempRepo::without_git();
    let windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &outside);
    insta::assert_snapshot!(said(&windlass, &["trust", "--all"]), @r"
    $ windlass trust --all
    --- standard error
    error: this folder is not in a project
      go to a repository, or make this folder a project: `windlass init`
    --- exit 2
    ");
}

#[test]
fn the_first_run_asks_once() {
    let (_repo, windlass) = rich();
    // Nobody answers: nothing is used, nothing is kept, and the next run asks again.
    let mut terminal = windlass.terminal(["run", "--team", "checks"], 24, 80);
    terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
    terminal.send(CTRL_C);
    let (code, screen) = terminal.wait();
    assert!(code != 0 && screen.contains("no answer"), "{screen}");
    is(&windlass, "never_asked", "none");

    let mut terminal = windlass.terminal(["run", "--team", "checks"], 24, 80);
    let screen = terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
    assert!(screen.contains("make test"), "{screen}");
    terminal.send("g");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 0, "{screen}");
    is(&windlass, "gates", "gates");

    let terminal = windlass.terminal(["run", "--team", "checks"], 24, 80);
    let (code, screen) = terminal.wait();
    assert!(code == 0 && !screen.contains("[a/g/n]"), "{screen}");
}
