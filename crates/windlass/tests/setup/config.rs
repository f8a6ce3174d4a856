//! `config`.

use crate::world::{said, user};

#[test]
fn values_have_an_origin_and_comments_stay() {
    let (repo, windlass) = user();
    windlass.write_home("config.toml", "# mine\n[run]\nbudget_usd = 3 # enough\n\n[ui] # looks\n");
    insta::assert_snapshot!(said(&windlass, &["config", "set", "run.budget_usd", "2.50"]), @r"
    $ windlass config set run.budget_usd 2.50
    run.budget_usd = 2.5  in HOME/config.toml
    --- exit 0
    ");
    windlass
        .run(["config", "set", "agents.overrides.executor.model", "anthropic/claude-opus-4-1"])
        .expect_code(0);
    insta::assert_snapshot!(std::fs::read_to_string(windlass.home().join("config.toml")).unwrap(), @r#"
    # mine
    [run]
    budget_usd = 2.5 # enough

    [ui] # looks

    [agents.overrides.executor]
    model = "anthropic/claude-opus-4-1"
    "#);
    repo.write(".windlass/config.toml", "[run]\ntimeout = \"30m\"\n");
    insta::assert_snapshot!(said(&windlass, &["config", "list"]), @r#"
    $ windlass config list
    key                              value                      from     where
    run.team                         auto                       default
    run.runtime                      pi                         default
    run.model                        unset
    run.budget_usd                   2.5                        user     HOME/config.toml
    run.budget_tokens                10000000                   default
    run.timeout                      30m                        project  .windlass/config.toml
    run.repair_rounds                2                          default
    run.gates                        []                         default
    run.detect_gates                 true                       default
    run.gate_timeout                 10m                        default
    run.concurrency                  unset
    run.require_proof                false                      default
    run.approve_plan                 false                      default
    machine.concurrency              unset
    restart.resume                   false                      default
    daemon.idle                      10m                        default
    agents.disable_builtins          false                      default
    agents.overrides.executor.model  anthropic/claude-opus-4-1  user     HOME/config.toml
    worker.keep                      ["sccache"]                default
    ui.color                         auto                       default
    --- exit 0
    "#);
    let doc = windlass.json(["config", "get", "run.timeout", "--json"]);
    assert_eq!((&doc["value"], &doc["origin"]["layer"]), (&"30m".into(), &"project".into()));
    assert_eq!(windlass.run(["config", "get", "run.budget_usd"]).expect_code(0).out(), "2.5\n");
    let output = windlass.run(["config", "get", "run.model"]).expect_code(0);
    assert!(output.out().is_empty() && output.err().contains("is not set"), "{}", output.err());
    windlass.run(["config", "unset", "run.budget_usd"]).expect_code(0);
    assert_eq!(windlass.run(["config", "get", "run.budget_usd"]).expect_code(0).out(), "5\n");
}

#[test]
fn a_wrong_key_or_value_changes_nothing() {
    let (_repo, windlass) = user();
    let before = "[run]\nbudget_usd = 3\n";
    windlass.write_home("config.toml", before);
    insta::assert_snapshot!(said(&windlass, &["config", "set", "run.budgt_usd", "2"]), @r"
    $ windlass config set run.budgt_usd 2
    --- standard error
    error: there is no key `run.budgt_usd`
      did you mean `run.budget_usd`?
    --- exit 2
    ");
    insta::assert_snapshot!(said(&windlass, &["config", "set", "run.timeout", "soon"]), @r"
    $ windlass config set run.timeout soon
    --- standard error
    error: `run.timeout`: `soon` is not a length of time: write it as `90s`, `10m`, `2h` or `none`
    --- exit 2
    ");
    assert_eq!(std::fs::read_to_string(windlass.home().join("config.toml")).unwrap(), before);
    windlass.write_home("config.toml", "[run\n");
    let output = windlass.run(["config", "set", "run.timeout", "1h"]).expect_code(2);
    assert!(output.err().contains("config.toml:1:"), "{}", output.err());
    windlass.run(["config", "list"]).expect_code(2);
}

#[test]
fn a_project_is_set_only_where_it_was_begun_and_as_far_as_it_may() {
    let (repo, windlass) = user();
    insta::assert_snapshot!(said(&windlass, &["config", "set", "--project", "run.timeout", "1h"]), @r"
    $ windlass config set --project run.timeout 1h
    --- standard error
    error: this project has no .windlass/config.toml yet
      windlass init
    --- exit 2
    ");
    assert_eq!(repo.status(), "");
    windlass.run(["init", "--yes"]).expect_code(0);
    windlass.run(["config", "set", "--project", "run.timeout", "1h"]).expect_code(0);
    assert!(repo.read(".windlass/config.toml").contains("timeout = \"1h\""));
    insta::assert_snapshot!(said(&windlass, &["config", "set", "--project", "daemon.idle", "1h"]), @r"
    $ windlass config set --project daemon.idle 1h
    --- standard error
    error: `daemon.idle` is about the user's machine: a project's file cannot set it
      `windlass config set daemon.idle` without `--project` sets it for you
    --- exit 4
    ");
    let output = windlass.run(["config", "set", "--project", "run.budget_usd", "50"]).expect_code(0);
    assert!(output.err().contains("can only make a limit tighter"), "{}", output.err());
    let output = windlass.run(["config", "set", "--project", "run.model", "a/b"]).expect_code(0);
    assert!(output.err().contains("once you trust the repository"), "{}", output.err());
}

#[test]
fn paths_and_schema() {
    let (_repo, windlass) = user();
    let doc = windlass.json(["config", "path", "--json"]);
    assert_eq!(doc["user"], windlass.home().join("config.toml").display().to_string());
    let schema = windlass.json(["config", "schema"]);
    assert_eq!(schema["properties"]["run"]["type"], "object");
}
