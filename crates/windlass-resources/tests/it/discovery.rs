//! Files of Windlass, pi-crew, Pi and Claude Code, read from where they lie.

use std::path::{Path, PathBuf};
use windlass_events::spec::Access;
use windlass_resources::catalog::{Catalog, Entry, ProjectUse};
use windlass_resources::places::Places;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn places() -> Places {
    Places {
        home: Some(fixtures().join("home")),
        windlass_home: Some(fixtures().join("windlass-home")),
        project: Some(fixtures().join("repo")),
        ..Places::default()
    }
}

fn short(text: &str) -> String {
    text.replace(&fixtures().display().to_string(), "")
}

#[test]
fn findings_name_file_line_column_and_the_nearest_name() {
    let catalog = Catalog::load(&places(), ProjectUse::Trusted);
    let text = windlass_resources::diag::render_all(&catalog.diagnostics);
    insta::assert_snapshot!(short(&text));
}

#[test]
fn each_shadowed_name_is_said_once_and_precedence_holds() {
    for (project, name) in
        [(ProjectUse::Untrusted, "shadowed-untrusted"), (ProjectUse::Trusted, "shadowed-trusted")]
    {
        let catalog = Catalog::load(&places(), project);
        let lines: Vec<String> = catalog.shadowed.iter().map(|s| short(&s.text())).collect();
        insta::assert_snapshot!(name, lines.join("\n"));
        assert_eq!(catalog.agents.get("executor").unwrap().description, "My own executor");
    }
    let untrusted = Catalog::load(&places(), ProjectUse::Untrusted);
    assert_eq!(untrusted.agents.get("critic").unwrap().source.path, "builtin:agents/critic.md");
    let refused = untrusted.teams.get("movers").unwrap_err();
    assert_eq!(refused.code, "untrusted");
    let trusted = Catalog::load(&places(), ProjectUse::Trusted);
    assert_eq!(trusted.agents.get("critic").unwrap().description, "The repository's critic");
    assert!(trusted.teams.get("movers").is_ok());
}

#[test]
fn a_broken_file_does_not_let_a_weaker_one_stand_in() {
    let catalog = Catalog::load(&places(), ProjectUse::Untrusted);
    assert!(matches!(catalog.agents.entry("planner"), Some(Entry::Broken(_))));
    assert_eq!(catalog.agents.get("planner").unwrap_err().code, "broken");
    assert_eq!(catalog.agents.get("EXPLORER").unwrap().name, "explorer");
    assert_eq!(catalog.agents.get("explorre").unwrap_err().help.as_deref(), Some("did you mean `explorer`?"));
}

#[test]
fn foreign_agents_are_understood() {
    let catalog = Catalog::load(&places(), ProjectUse::Trusted);
    let improver = catalog.agents.get("code-improver").unwrap();
    assert_eq!(
        improver.tools.as_deref(),
        Some(["read", "grep", "find", "bash", "edit"].map(String::from).as_slice())
    );
    assert_eq!((improver.model.as_deref(), improver.access()), (None, Access::Write));
    assert!(improver.inherit_project_context);
    let scout = catalog.agents.get("scout").unwrap();
    assert_eq!((scout.model.as_deref(), scout.access()), (Some("claude-haiku-4-5"), Access::Read));
    let windy = catalog.agents.get("windy").unwrap();
    assert_eq!(
        (windy.name.as_str(), windy.description.as_str(), windy.system_prompt.as_str()),
        ("Windy", "With BOM and CRLF", "Hi")
    );
    let lint = catalog.agents.get("lint").unwrap();
    assert_eq!((lint.command.len(), lint.access()), (3, Access::Read));
    insta::assert_json_snapshot!("porter", catalog.agents.get("porter").unwrap(), { ".source.path" => "[path]" });
    insta::assert_json_snapshot!("pair", catalog.teams.get("pair").unwrap(), { ".source.path" => "[path]" });
    insta::assert_json_snapshot!("move", catalog.workflows.get("move").unwrap(), { ".source.path" => "[path]" });
    assert!(catalog.skills.get("house-style").is_ok() && catalog.skills.get("repo-skill").is_ok());
}

#[test]
fn hostile_folders_are_bounded_and_links_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let agents = root.join("repo/.windlass/agents");
    std::fs::create_dir_all(&agents).unwrap();
    std::fs::write(root.join("secret"), "---\nname: secret\n---\nkey").unwrap();
    std::os::unix::fs::symlink(root.join("secret"), agents.join("secret.md")).unwrap();
    std::fs::write(agents.join("huge.md"), vec![b'a'; 2 << 20]).unwrap();
    std::fs::write(agents.join("bytes.md"), b"---\nname: \xff\n---\n").unwrap();
    std::fs::write(agents.join("bad-name.md"), "---\nname: ../../etc\n---\nx").unwrap();
    std::fs::create_dir(agents.join("folder.md")).unwrap();
    let skill = root.join("repo/skills/linked");
    std::fs::create_dir_all(&skill).unwrap();
    std::os::unix::fs::symlink(root.join("secret"), skill.join("SKILL.md")).unwrap();
    let places = Places { project: Some(root.join("repo")), ..Places::default() };
    let catalog = Catalog::load(&places, ProjectUse::Trusted);
    let mut codes: Vec<(String, &str)> = catalog
        .diagnostics
        .iter()
        .map(|d| (Path::new(&d.path).file_name().unwrap().to_string_lossy().into_owned(), d.code))
        .collect();
    codes.sort();
    assert_eq!(
        codes,
        [
            ("SKILL.md".into(), "link-refused"),
            ("bad-name.md".into(), "bad-name"),
            ("bytes.md".into(), "not-utf8"),
            ("folder.md".into(), "not-a-file"),
            ("huge.md".into(), "too-large"),
            ("secret.md".into(), "link-refused"),
        ]
    );
    // A repository that is not trusted cannot stop a run with its broken files.
    let catalog = Catalog::load(&places, ProjectUse::Untrusted);
    assert!(!windlass_resources::diag::has_errors(&catalog.diagnostics));
}

#[test]
fn single_files_and_folders_are_validated() {
    let at = |path: &str| windlass_resources::validate::path(&fixtures().join(path));
    assert_eq!(at("windlass-home/agents/lint.md"), []);
    assert_eq!(at("home/.pi/agent/skills/house-style/SKILL.md"), []);
    assert_eq!(at("home/.claude/agents/nameless.md")[0].code, "missing-key");
    assert_eq!(at("no/such.md")[0].code, "unreadable");
    let folder = at("repo/.crew/workflows");
    assert_eq!(folder.iter().map(|d| d.code).collect::<Vec<_>>(), ["no-effect", "unknown-key"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.workflow.md");
    std::fs::write(&path, "## a\ndependsOn: b\n\nx\n## b\ndependsOn: a\n\nx\n").unwrap();
    let found = windlass_resources::validate::path(&path);
    assert_eq!(
        (found.len(), found[0].code, found[0].path.clone()),
        (1, "dependency-cycle", path.display().to_string())
    );
    std::fs::write(dir.path().join("config.toml"), "[run]\ngatez = []\n").unwrap();
    assert_eq!(windlass_resources::validate::path(dir.path()).len(), 2);
}
