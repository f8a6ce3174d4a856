//! `diff`, `undo` and `undo --redo` over a tree that was dirty before.

use super::{ended, git_state, id, kept_refs, repo, same, task, user};
use serde_json::json;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use windlass_testkit::repo::{Snapshot, clean_git};
use windlass_testkit::{TempRepo, Windlass, process};

/// A repository with something of everything, left dirty.
fn dirty() -> TempRepo {
    let repo = repo();
    repo.write(".gitignore", "ignored/\n*.log\n");
    repo.write("clean/edited.txt", "one\ntwo\nthree\n");
    repo.write("clean/deleted.txt", "to be deleted\n");
    repo.write("clean/renamed.txt", "a text that is long enough to be found again under another name\n");
    repo.write("clean/mode.sh", "echo\n");
    repo.write("clean/binary.dat", [0, 1, 2, 0xff, 0xfe]);
    repo.write("clean/turned/into/file", "a folder that becomes a file\n");
    repo.write("clean/into-folder", "a file that becomes a folder\n");
    std::os::unix::fs::symlink("edited.txt", repo.path().join("clean/link")).unwrap();
    repo.make_dirty();
    repo.write("untracked/mine.txt", "mine\n");
    repo.write("untracked/also mine.txt", "also mine\n");
    repo.write("ignored/build", "built\n");
    repo.write(OsStr::from_bytes(b"mine \n newline"), "a name of two lines\n");
    repo
}

/// Does something of everything to that tree: to what is clean, to what the user had changed, and to what git knows nothing of.
const WORK: &str = r#"
set -e
printf 'two and a half\n' >> clean/edited.txt
rm clean/deleted.txt
mv clean/renamed.txt clean/other-name.txt
chmod +x clean/mode.sh
printf '\377\000\001new' > clean/binary.dat
ln -sfn deleted.txt clean/link
rm -r clean/turned && printf 'a file now' > clean/turned
rm clean/into-folder && mkdir clean/into-folder && printf 'inside' > clean/into-folder/file
printf 'and the agent\n' >> staged.txt
printf 'agent\n' >> edited.txt
printf 'risen again\n' > deleted.txt
printf 'agent\n' >> 'new name.txt'
chmod -x mode.sh
printf '\000\001\002' > binary.dat
printf 'agent\n' >> untracked/mine.txt
rm 'untracked/also mine.txt'
rm -- -dash
printf 'agent\n' >> "$(printf 'not-utf8-\377.bin')"
rm link && mkdir link && printf 'x' > link/x
printf 'agent\n' >> "$(printf 'mine \n newline')"
printf 'made\n' > "$(printf 'made\nof \033[31m two\tlines \377\\ "quoted"')"
mkdir -p 'deep/er/and/deeper'; : > 'deep/er/and/deeper/empty'
ln -s /nowhere 'deep/dangling'
printf 'rebuilt\n' > ignored/build
"#;

fn writer(windlass: &Windlass) {
    windlass.shell_agent("writer", WORK, "writes: true");
}

/// A copy of the working tree and its git folder, as it is now.
fn copied(repo: &TempRepo, name: &str) -> PathBuf {
    let to = repo.beside().join(name);
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(repo.path()).arg(&to);
    process::run(copy, b"").expect_code(0);
    to
}

/// The content of a folder as [`TempRepo::snapshot`] gives it of a repository.
fn snapshot_of(folder: &Path) -> Snapshot {
    fn collect(root: &Path, under: &Path, into: &mut Snapshot) {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(root.join(under)).unwrap() {
            let path = under.join(entry.unwrap().file_name());
            if path == Path::new(".git") {
                continue;
            }
            let full = root.join(&path);
            let meta = std::fs::symlink_metadata(&full).unwrap();
            if meta.is_symlink() {
                let target = std::fs::read_link(&full).unwrap();
                into.insert(path, ("link".into(), target.as_os_str().as_bytes().to_vec()));
            } else if meta.is_dir() {
                if std::fs::read_dir(&full).unwrap().next().is_none() {
                    into.insert(path.clone(), ("folder".into(), Vec::new()));
                }
                collect(root, &path, into);
            } else {
                let mode = format!("{:o}", meta.permissions().mode() & 0o777);
                into.insert(path, (mode, std::fs::read(&full).unwrap()));
            }
        }
    }
    let mut all = Snapshot::new();
    collect(folder, Path::new(""), &mut all);
    all
}

/// Applies a patch in a folder that is a repository.
#[track_caller]
fn apply(folder: &Path, patch: &[u8]) {
    let mut git = clean_git(folder);
    git.args(["apply", "--whitespace=nowarn", "-"]);
    process::run(git, patch).expect_code(0);
}

/// The tree without what git ignores: that is nobody's to show or take back.
fn without_ignored(mut tree: Snapshot) -> Snapshot {
    tree.retain(|path, _| !path.starts_with("ignored"));
    tree
}

/// Takes part in every undo: hooks that would tell if they were run, and a signing program that would fail.
fn tripwires(repo: &TempRepo) -> PathBuf {
    let wire = repo.beside().join("tripped");
    for hook in [
        "reference-transaction",
        "post-index-change",
        "pre-commit",
        "post-commit",
        "post-checkout",
        "fsmonitor-watchman",
    ] {
        let path = repo
            .write(format!(".git/hooks/{hook}"), format!("#!/bin/sh\necho {hook} >> '{}'\n", wire.display()));
        repo.set_mode(path, 0o755);
    }
    repo.git(["config", "commit.gpgsign", "true"]);
    repo.git(["config", "gpg.program", "/nonexistent/gpg"]);
    repo.git([
        "config",
        "core.fsmonitor",
        &repo.path().join(".git/hooks/fsmonitor-watchman").display().to_string(),
    ]);
    wire
}

/// Whether `status` names the command that keeps changes piece by piece: to programs and to people alike.
#[track_caller]
fn offers_to_keep(windlass: &Windlass, run: &str) -> bool {
    let status = windlass.status(run);
    let next = status["run"]["next"].as_array().unwrap();
    let to_programs = next.iter().any(|c| c.as_str().unwrap().ends_with("add -p"));
    let to_people = windlass.run(["status", run]).out().contains("add -p");
    assert_eq!(to_programs, to_people, "{status:#}");
    to_programs
}

#[test]
fn a_run_in_a_dirty_tree_is_shown_undone_and_redone_byte_by_byte() {
    let repo = dirty();
    let stashed = repo.git(["stash", "create"]);
    repo.git(["stash", "store", "-m", "kept", stashed.trim()]);
    let windlass = user(&repo);
    writer(&windlass);
    let wire = tripwires(&repo);
    let copy = copied(&repo, "copy");
    let before = repo.snapshot();
    let git = git_state(&repo);

    let status = ended(&windlass, &["--agent", "writer", "go"]);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let run = id(&status);
    same(&git_state(&repo), &git, "index, HEAD, refs, stash and reflog after the run");
    assert!(offers_to_keep(&windlass, &run));
    let after = repo.snapshot();
    assert_eq!(after.get(Path::new("untracked/mine.txt")).unwrap().1, b"mine\nagent\n");

    // The difference is exactly what the agent did: put onto the tree as the user left it, it gives the tree as it is now.
    let diff = windlass.run(["diff", &run, "--binary"]).expect_code(0).stdout;
    let task_diff = windlass.run(["diff", &run, "writer", "--binary"]).expect_code(0).stdout;
    assert_eq!(diff, task_diff);
    let text = String::from_utf8_lossy(&diff).into_owned();
    for mine in
        ["+staged, then edited again", "+edited, without", "+untracked", "+odd name", "+mine", "+also mine"]
    {
        assert!(!text.lines().any(|l| l == mine), "the user's own `{mine}` is in the difference:\n{text}");
    }
    assert!(!text.contains("ignored/build"), "{text}");
    apply(&copy, &diff);
    same(&without_ignored(snapshot_of(&copy)), &without_ignored(after.clone()), "the difference, applied");

    // Every command that looks leaves no trace.
    for args in [
        &["diff", &run, "--stat"][..],
        &["status", &run],
        &["show", &run],
        &["show", &format!("{run}/writer")],
        &["logs", &run],
        &["events", &run],
        &["list"],
        &["graph", &run],
        &["artifacts", &run],
        &["wait", &run],
        &["attach", &run],
        &["doctor"],
        &["validate"],
        &["agents"],
        &["teams"],
        &["trust", "--show"],
        &["config", "list"],
        &["recommend", "mend it"],
        &["undo", &run, "--dry-run"],
        &["cancel", &run],
        &["daemon", "status"],
        &["run", "--agent", "writer", "--dry-run", "go"],
    ] {
        let output = windlass.run(args);
        assert!(!output.err().contains("panicked"), "{args:?}: {}", output.err());
        same(&repo.snapshot(), &after, &format!("the tree after {args:?}"));
        same(&git_state(&repo), &git, &format!("the git folder after {args:?}"));
    }

    windlass.run(["undo", &run, "--yes"]).expect_code(0);
    // What was ignored before the run is not its to take back.
    let mut wanted = before.clone();
    wanted.insert("ignored/build".into(), after.get(Path::new("ignored/build")).unwrap().clone());
    same(&repo.snapshot(), &wanted, "undone");
    same(&git_state(&repo), &git, "index, HEAD, refs, stash and reflog after undo");
    assert_eq!(windlass.status(&run)["run"]["undone"], true);
    assert!(!offers_to_keep(&windlass, &run), "nothing of it is left to keep");
    let again = windlass.run(["undo", &run, "--yes"]).expect_code(2);
    assert!(again.err().contains("--redo"), "{}", again.err());

    windlass.run(["undo", &run, "--redo", "--yes"]).expect_code(0);
    same(&repo.snapshot(), &after, "redone");
    same(&git_state(&repo), &git, "index, HEAD, refs, stash and reflog after redo");
    assert!(offers_to_keep(&windlass, &run));
    windlass.run(["undo", &run, "--yes"]).expect_code(0);
    same(&repo.snapshot(), &wanted, "undone again");

    assert!(!wire.exists(), "a hook was run: {}", std::fs::read_to_string(&wire).unwrap_or_default());
    repo.git(["fsck", "--strict"]);
}

#[test]
fn a_rehearsed_team_in_a_dirty_tree_is_taken_apart_by_task() {
    let repo = dirty();
    let windlass = user(&repo);
    windlass.model_agent("first", "read, edit, write, bash");
    windlass.model_agent("second", "read, edit, write, bash");
    windlass.team(
        "pair",
        &["first", "second"],
        "",
        "## first\n\n{goal}\n\n## second\ndependsOn: first\n\n{goal}\n",
    );
    let script = windlass.script(json!([
        { "when": { "step": "first" }, "do": [
            { "edit": { "path": "clean/edited.txt", "find": "two\n", "replace": "zwei\n" } },
            { "write": { "path": "made/by first.txt", "content": "first\n" } },
            { "run": { "command": ["sh", "-c", "printf 'first\\n' >> untracked/mine.txt; rm clean/deleted.txt"] } },
            { "answer": "done" } ] },
        { "when": { "step": "second" }, "do": [
            { "edit": { "path": "clean/edited.txt", "find": "zwei\n", "replace": "deux\n" } },
            { "write": { "path": "made/by first.txt", "content": "second\n" } },
            { "write": { "path": "made/by second.txt", "content": "second\n" } },
            { "answer": "done" } ] },
    ]));
    let copy = copied(&repo, "copy");
    let before = repo.snapshot();
    let status = ended(
        &windlass,
        &["--team", "pair", "--runtime", "rehearsal", "--script", script.to_str().unwrap(), "go"],
    );
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(task(&status, "first")["attempts"][0]["status"], "completed");
    let run = id(&status);
    let after = repo.snapshot();

    let of = |step: &str| windlass.run(["diff", &run, step, "--binary"]).expect_code(0).stdout;
    let (first, second) = (of("first"), of("second"));
    assert!(
        String::from_utf8_lossy(&first).contains("+zwei")
            && !String::from_utf8_lossy(&first).contains("deux")
    );
    assert!(
        String::from_utf8_lossy(&second).contains("-zwei")
            && !String::from_utf8_lossy(&second).contains("mine.txt")
    );
    let whole = windlass.run(["diff", &run, "--binary"]).expect_code(0).stdout;
    assert!(!String::from_utf8_lossy(&whole).contains("zwei"), "the whole is the net of both");

    let other = copied(&repo, "other");
    process::run(
        {
            let mut c = Command::new("rm");
            c.arg("-rf").arg(&other);
            c
        },
        b"",
    )
    .expect_code(0);
    process::run(
        {
            let mut c = Command::new("cp");
            c.arg("-a").arg(&copy).arg(&other);
            c
        },
        b"",
    )
    .expect_code(0);
    apply(&copy, &first);
    apply(&copy, &second);
    same(&snapshot_of(&copy), &after, "one task's difference after the other's");
    apply(&other, &whole);
    same(&snapshot_of(&other), &after, "the difference of the run");

    windlass.run(["undo", &run, "--yes"]).expect_code(0);
    same(&repo.snapshot(), &before, "undone");
}

#[test]
fn undo_refuses_what_was_changed_since() {
    let repo = dirty();
    let windlass = user(&repo);
    writer(&windlass);
    let before = repo.snapshot();
    let status = ended(&windlass, &["--agent", "writer", "go"]);
    let run = id(&status);
    // Afterwards the user goes on: in a file of the run, in one that is not, and in a folder that the run made.
    repo.write("clean/edited.txt", "the user's later words\n");
    repo.write("README.md", "another file of the user\n");
    repo.write("deep/er/users.txt", "in a folder of the run\n");
    let later = repo.snapshot();

    // Without a terminal nothing is done that was not agreed to.
    let unasked = windlass.run(["undo", &run]).expect_code(2);
    assert!(unasked.err().contains("--yes"), "{}", unasked.err());
    same(&repo.snapshot(), &later, "not asked");
    let refused = windlass.run(["undo", &run, "--yes"]).expect_code(2);
    assert!(
        refused.err().contains("clean/edited.txt") && refused.err().contains("--force"),
        "{}",
        refused.err()
    );
    assert!(!refused.err().contains("README.md"), "{}", refused.err());
    same(&repo.snapshot(), &later, "refused");
    let list = windlass.run(["undo", &run, "--dry-run"]).expect_code(0).out();
    assert!(list.contains("changed since") && list.contains("clean/edited.txt"), "{list}");
    assert!(!list.contains('\u{1b}'), "a name is no command to a terminal: {list:?}");
    same(&repo.snapshot(), &later, "only listed");

    windlass.run(["undo", &run, "--yes", "--force"]).expect_code(0);
    let mut wanted = before.clone();
    for kept in ["README.md", "deep/er/users.txt", "ignored/build"] {
        wanted.insert(kept.into(), later.get(Path::new(kept)).unwrap().clone());
    }
    same(&repo.snapshot(), &wanted, "forced");
    // Also the user's later words come back.
    windlass.run(["undo", &run, "--redo", "--yes"]).expect_code(0);
    same(&repo.snapshot(), &later, "redone");
}

#[test]
fn a_person_is_asked_before_an_undo() {
    let repo = repo();
    let windlass = user(&repo);
    windlass.shell_agent("writer", "echo more >> README.md; echo new > new.txt", "writes: true");
    let run = id(&ended(&windlass, &["--agent", "writer", "go"]));
    let after = repo.snapshot();
    for (answer, undone) in [("n\n", false), ("\n", false), ("y\n", true)] {
        let mut terminal = windlass.terminal(["undo", &run], 24, 80);
        let screen = terminal.wait_screen("the question", |s| s.contains("[y/N]"));
        assert!(screen.contains("README.md") && screen.contains("new.txt"), "{screen}");
        terminal.send(answer);
        assert_eq!(terminal.wait().0, 0);
        assert_eq!(repo.snapshot() != after, undone, "{answer:?}");
    }
    assert_eq!(repo.status(), "");
}

#[test]
fn kept_states_have_refs_until_the_run_is_removed() {
    let repo = dirty();
    let windlass = user(&repo);
    windlass.shell_agent("writer", "echo more >> README.md", "writes: true");
    windlass.shell_agent("reader", "cat README.md", "");
    let run = id(&ended(&windlass, &["--agent", "writer", "go"]));
    let other = id(&ended(&windlass, &["--agent", "writer", "go"]));
    let reads = id(&ended(&windlass, &["--agent", "reader", "go"]));
    let refs = kept_refs(&repo);
    for run in [&run, &other] {
        let of_run: Vec<&String> = refs.iter().filter(|r| r.starts_with(&format!("{run}/"))).collect();
        assert!(of_run.len() >= 2, "before and after: {refs:?}");
        assert!(of_run.iter().all(|r| r[run.len() + 1..].parse::<u32>().is_ok()), "{refs:?}");
    }
    assert!(!refs.iter().any(|r| r.starts_with(&reads)), "a reader keeps nothing: {refs:?}");
    // They are commits that name the run, and hide from the ordinary views.
    let log = repo.git(["log", "-1", "--format=%B", &format!("refs/windlass/{}", refs[0])]);
    assert!(log.contains("windlass"), "{log}");
    assert!(!repo.git(["branch", "--all"]).contains("windlass") && !repo.git(["tag"]).contains("windlass"));
    // Garbage collection does not take them.
    repo.git(["gc", "--quiet", "--prune=now"]);

    let (tree, git) = (repo.snapshot(), git_state(&repo));
    windlass.run(["rm", &run]).expect_code(2);
    assert_eq!(kept_refs(&repo), refs);
    windlass.run(["rm", &run, "--dry-run"]).expect_code(0);
    assert_eq!(kept_refs(&repo), refs);
    windlass.run(["rm", &run, "--yes"]).expect_code(0);
    assert!(!kept_refs(&repo).iter().any(|r| r.starts_with(&run)), "{:?}", kept_refs(&repo));
    assert!(kept_refs(&repo).iter().any(|r| r.starts_with(&other)), "{:?}", kept_refs(&repo));
    windlass.run(["status", &run]).expect_code(2);
    // The other can still be undone; removing a run takes nothing out of the tree.
    same(&repo.snapshot(), &tree, "the tree after rm");
    let mut left = git_state(&repo);
    let mut was = git;
    // Packed refs are rewritten when one of them goes.
    left.remove(Path::new("packed-refs"));
    was.remove(Path::new("packed-refs"));
    same(&left, &was, "the git folder after rm");
    windlass.run(["undo", &other, "--yes"]).expect_code(0);
    assert_eq!(repo.read("README.md"), "a project\nmore\n");
}

#[test]
fn what_the_agents_did_and_nothing_of_ours_is_in_git_status() {
    let repo = repo();
    let windlass = user(&repo);
    windlass.shell_agent("writer", "echo more >> README.md; echo new > new.txt; echo said", "writes: true");
    let all = |repo: &TempRepo| repo.git(["status", "--porcelain", "--untracked-files=all", "--ignored"]);
    assert_eq!(all(&repo), "");
    windlass.run(["run", "--agent", "writer", "--gate", "true", "go"]).expect_code(0);
    assert_eq!(all(&repo), " M README.md\n?? new.txt\n");
    windlass.run(["run", "--agent", "writer", "--no-daemon", "go"]).expect_code(0);
    assert_eq!(all(&repo), " M README.md\n?? new.txt\n");
    for args in [
        &["status"][..],
        &["diff"],
        &["logs"],
        &["trust", "--gates"],
        &["doctor"],
        &["validate"],
        &["config", "set", "run.budget_usd", "3"],
        &["agents", "new", "mine"],
        &["daemon", "stop"],
        &["list"],
    ] {
        windlass.run(args);
        assert_eq!(all(&repo), " M README.md\n?? new.txt\n", "{args:?}");
    }
}
