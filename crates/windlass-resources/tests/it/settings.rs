//! Config in layers, its editing, its reference.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use windlass_events::spec::RuntimeKind;
use windlass_resources::catalog::Catalog;
use windlass_resources::config::{Config, ConfigFile, Flag, Sources, edit, reference};
use windlass_resources::diag::{has_errors, render_all};
use windlass_resources::trust::Answer;

fn file(path: &str, text: &str) -> ConfigFile {
    ConfigFile { path: path.into(), text: text.into() }
}

fn show(config: &Config) -> String {
    config.iter().fold(String::new(), |mut out, (name, s)| {
        let _ = writeln!(out, "{name} = {} [{} {}]", s.value.show(), s.origin.layer(), s.origin.place());
        out
    })
}

const USER: &str = "# mine\n[run]\nbudget_usd = 7.50\ntimeout = \"1h\" # an hour\nteam = \"default\"\n[runtimes]\npi.command = [\"node\", \"/opt/pi.js\"]\n[agents.overrides.Executor]\nmodel = \"a/b\"\nthinking = \"high\"\n";
const PROJECT: &str = "[run]\nbudget_usd = 100\ntimeout = \"30m\"\nrepair_rounds = 1\nrequire_proof = true\nmodel = \"evil/model\"\ngates = [\"make lint\"]\n[runtimes.claude]\ncommand = \"./evil\"\n[daemon]\nidle = \"1d\"\n";

#[test]
fn layers_and_trust() {
    let (user, project) = (file("user.toml", USER), file("project.toml", PROJECT));
    let mut out = String::new();
    for trust in [Answer::None, Answer::GatesOnly, Answer::All] {
        let sources = Sources {
            user: Some(&user),
            project: Some(&project),
            trust,
            env: BTreeMap::from([
                ("WINDLASS_CODEX_BIN".into(), "/x/codex".into()),
                ("WINDLASS_PIE_BIN".into(), "/no".into()),
            ]),
            flags: vec![Flag { flag: "--budget-tokens", key: "run.budget_tokens", text: "none".into() }],
        };
        let (config, findings) = Config::load(&sources);
        assert!(!has_errors(&findings));
        let _ = writeln!(out, "== {trust:?}\n{}{}\n", show(&config), render_all(&findings));
        assert_eq!(config.command(RuntimeKind::Claude).is_some(), trust == Answer::All);
        assert_eq!(config.caps().wall_ms, Some(30 * 60_000));
        assert_eq!((config.caps().tokens, config.caps().unpriced_tokens), (None, None));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn defaults_are_those_of_the_reference() {
    let config = Config::defaults();
    let caps = config.caps();
    assert_eq!(
        (caps.microusd, caps.tokens, caps.unpriced_tokens, caps.wall_ms),
        (Some(5_000_000), None, Some(10_000_000), Some(7_200_000))
    );
    assert_eq!(
        (config.machine_concurrency(1), config.machine_concurrency(6), config.machine_concurrency(64)),
        (4, 6, 8)
    );
    assert_eq!(
        (config.team(), config.model(), config.runtime(), config.repair_rounds()),
        (None, None, RuntimeKind::Pi, 2)
    );
    assert_eq!(
        (config.keep(), config.idle_ms(), config.color()),
        (["sccache".to_owned()].as_slice(), Some(600_000), "auto")
    );
    insta::assert_snapshot!("reference", reference::config_reference());
    insta::assert_json_snapshot!("schema", reference::config_schema());
}

#[test]
fn wrong_files_are_shown_with_their_place() {
    let text = "[run]\nbudget_us = 5\ntimeout = 5\ngates = \"one\"\nrepair_rounds = 99\nteam = \"x\"\n[runtimes.pie]\ncommand = \"x\"\n[agents]\noverrides = 3\n[ui]\ncolor = \"allways\"\n";
    let user = file("/home/u/config.toml", text);
    let (config, findings) = Config::load(&Sources { user: Some(&user), ..Sources::default() });
    let broken = file("/home/u/config.toml", "[run\nteam = 1");
    let (_, more) = Config::load(&Sources { user: Some(&broken), ..Sources::default() });
    let flag = Flag { flag: "--budget-usd", key: "run.budget_usd", text: "lots".into() };
    let (_, flags) = Config::load(&Sources { flags: vec![flag], ..Sources::default() });
    insta::assert_snapshot!([render_all(&findings), render_all(&more), render_all(&flags)].join("\n\n"));
    assert!(has_errors(&findings) && has_errors(&more) && has_errors(&flags));
    // What can be read of it counts all the same.
    assert_eq!(config.team(), Some("x"));
    let (_, findings) = Config::load(&Sources { project: Some(&broken), ..Sources::default() });
    assert!(!has_errors(&findings) && !findings.is_empty());
}

#[test]
fn editing_keeps_comments_and_refuses_nonsense() {
    let mut text = String::new();
    for (key, value) in [
        ("run.budget_usd", "10.5"),
        ("run.gates", "make test"),
        ("run.gates", "[\"make test\", \"make lint\"]"),
        ("runtimes.pi.command", "/opt/pi"),
        ("agents.overrides.\"my.agent\".model", "a/b"),
        ("run.timeout", "none"),
    ] {
        text = edit::set(&text, key, value).unwrap().0;
    }
    let commented = text
        .replace("budget_usd = 10.5", "# why\nbudget_usd = 10.5 # because")
        .replace("[runtimes.pi]", "# programs\n[runtimes.pi]");
    let changed = edit::set(&commented, "run.budget_usd", "3").unwrap().0;
    let (changed, was) = edit::unset(&changed, "run.timeout").unwrap();
    assert!(was && !edit::unset(&changed, "run.timeout").unwrap().1);
    insta::assert_snapshot!(changed);
    let (config, findings) =
        Config::load(&Sources { user: Some(&file("u", &changed)), ..Sources::default() });
    assert_eq!(findings, []);
    assert_eq!((config.caps().microusd, config.gates().len()), (Some(3_000_000), 2));
    assert_eq!(config.get("agents.overrides.\"my.agent\".model").unwrap().value.show(), "a/b");

    assert_eq!(
        edit::set("", "run.budget", "5").unwrap_err().help.as_deref(),
        Some("did you mean `run.budget_usd`?")
    );
    assert_eq!(edit::set("", "run.repair_rounds", "many").unwrap_err().code, "bad-value");
    assert_eq!(edit::set("run = 5", "run.team", "x").unwrap_err().code, "bad-value");
    assert_eq!(
        edit::set("run = {team = \"x\"} # c\n", "run.team", "y").unwrap().0,
        "run = {team = \"y\"} # c\n"
    );
    assert_eq!(edit::set("[run", "run.team", "x").unwrap_err().code, "not-toml");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/config.toml");
    edit::set_in_file(&path, "run.team", "solo").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[run]\nteam = \"solo\"\n");
    assert!(edit::unset_in_file(&path, "run.team").unwrap());
    std::fs::write(&path, "[run").unwrap();
    assert_eq!(edit::set_in_file(&path, "run.team", "solo").unwrap_err().path, path.display().to_string());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[run");
}

#[test]
fn overrides_reach_agents() {
    let user = file(
        "u.toml",
        "[agents]\ndisable_builtins = false\n[agents.overrides.EXECUTOR]\nmodel = \"a/b\"\nthinking = \"low\"\n[agents.overrides.critic]\ndisabled = true\n[agents.overrides.exploder]\nmodel = false\n",
    );
    let (config, findings) = Config::load(&Sources { user: Some(&user), ..Sources::default() });
    assert_eq!(findings, []);
    let mut catalog = Catalog::builtin();
    let findings = config.apply_to(&mut catalog);
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `explorer`?"));
    let executor = catalog.agents.get("executor").unwrap();
    assert_eq!((executor.model.as_deref(), executor.thinking.as_deref()), (Some("a/b"), Some("low")));
    assert_eq!(catalog.agents.get("critic").unwrap_err().code, "disabled");
    let user = file("u.toml", "agents.disable_builtins = true");
    let (config, _) = Config::load(&Sources { user: Some(&user), ..Sources::default() });
    config.apply_to(&mut catalog);
    assert_eq!(catalog.agents.usable().count(), 0);
}

proptest! {
    #[test]
    fn any_text_loads_and_edits(text in any::<String>(), toml in "(\\[[a-z.\"]{0,9}\\]\n|[a-z.]{1,9} = [0-9a-z\"\\[\\]{}]{0,6}\n|run.gates = \\[\"a\"\\]\n|#x\n){0,8}") {
        for text in [text, toml] {
            let f = file("f", &text);
            let _ = Config::load(&Sources { user: Some(&f), project: Some(&f), trust: Answer::All, ..Sources::default() });
            let _ = edit::unset(&text, "run.gates");
            if let Ok((new, value)) = edit::set(&text, "run.gates", "x") {
                let f = file("f", &new);
                let (config, _) = Config::load(&Sources { user: Some(&f), ..Sources::default() });
                prop_assert_eq!(&config.get("run.gates").unwrap().value, &value);
            }
        }
    }
}
