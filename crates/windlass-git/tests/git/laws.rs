//! Laws over random trees and random edits.

use proptest::prelude::*;
use windlass_git::{ConflictKind, DiffOptions, Error, Segment};

use crate::harness::{Fixture, State, run_git, run_id};

/// Names chosen to hurt: files and folders of the same name, control bytes, quotes, no UTF-8, pathspec magic, ignored ones.
fn paths() -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = [
        "a",
        "a/b",
        "a/b/c",
        "a/b/x.ign",
        "d/-x",
        "-lead",
        "new\nline",
        "q\"uo\\te",
        "ü/ñ/a.txt",
        " sp ace ",
        "git~1",
        "tab\tname",
        "*",
        ":(top)x",
        "s.ign",
        "ign/x",
        "A",
        "deep/1/2/3/f",
        "deep/1/g",
        "a.txt",
        "\u{1b}[31m",
    ]
    .iter()
    .map(|path| path.as_bytes().to_vec())
    .collect();
    paths.push(vec![b'f', 0xff, 0xfe]);
    paths.push(vec![0xc3, b'/', 0x80]);
    paths
}

fn ignored(path: &[u8]) -> bool {
    path.ends_with(b".ign") || path.starts_with(b"ign/")
}

#[derive(Debug, Clone)]
enum Op {
    Write(Vec<u8>, Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    Exec(Vec<u8>, bool),
    Remove(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Append(Vec<u8>, u8),
}

#[derive(Debug, Clone)]
enum UserOp {
    Edit(Op),
    StageAll,
    Commit,
    Unstage,
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z\n]{0,40}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..60),
        1 => Just(b"one\r\ntwo\r\n".to_vec()),
        1 => Just(Vec::new()),
        1 => (0u8..4).prop_map(|n| (0..60).map(|i| format!("line {i} of {n}\n")).collect::<String>().into_bytes()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let path = || prop::sample::select(paths());
    let target =
        prop_oneof![path(), Just(b"/etc/passwd".to_vec()), Just(b"..".to_vec()), Just(b"nowhere\n".to_vec())];
    prop_oneof![
        5 => (path(), content()).prop_map(|(p, c)| Op::Write(p, c)),
        2 => (path(), target).prop_map(|(p, t)| Op::Link(p, t)),
        2 => (path(), any::<bool>()).prop_map(|(p, x)| Op::Exec(p, x)),
        2 => path().prop_map(Op::Remove),
        2 => (path(), path()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => (path(), any::<u8>()).prop_map(|(p, b)| Op::Append(p, b)),
    ]
}

fn user_op() -> impl Strategy<Value = UserOp> {
    prop_oneof![
        6 => op().prop_map(UserOp::Edit),
        1 => Just(UserOp::StageAll),
        1 => Just(UserOp::Commit),
        1 => Just(UserOp::Unstage),
    ]
}

fn apply(f: &Fixture, op: &Op) {
    match op {
        Op::Write(path, content) => f.write(path, content),
        Op::Link(path, target) => f.link(path, target),
        Op::Exec(path, exec) => f.exec(path, *exec),
        Op::Remove(path) => f.remove(path),
        Op::Rename(from, to) => {
            // Only files: a folder may hold ignored files, which no one promises to bring back.
            let content =
                std::fs::read(f.at(from)).ok().filter(|_| f.at(from).symlink_metadata().unwrap().is_file());
            if let Some(content) = content.filter(|_| from != to) {
                f.remove(from);
                f.write(to, content);
            }
        }
        Op::Append(path, byte) => {
            if f.at(path).symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                let mut content = std::fs::read(f.at(path)).unwrap();
                content.push(*byte);
                std::fs::write(f.at(path), content).unwrap();
            }
        }
    }
}

fn user(f: &Fixture, op: &UserOp) {
    match op {
        UserOp::Edit(op) => apply(f, op),
        UserOp::StageAll => drop(f.git(&["add", "-A"])),
        UserOp::Commit => f.commit("c"),
        UserOp::Unstage => drop(crate::harness::try_git(&f.root, &["reset", "-q"])),
    }
}

/// Files that git keeps, and those that it does not.
fn parts(state: State) -> (State, State) {
    state.into_iter().partition(|(path, _)| !ignored(path))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("WINDLASS_GIT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(48), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn undo_and_redo_are_byte_exact(
        start in prop::collection::vec(user_op(), 0..14),
        agent in prop::collection::vec(op(), 0..8),
    ) {
        let f = Fixture::new();
        f.write(".gitignore", "*.ign\nign/\n");
        for op in &start {
            user(&f, op);
        }
        let (before, _) = parts(f.state());
        let side = f.user_side();
        let first = f.keep();
        // Keeping again is the same, also without the cache.
        prop_assert_eq!(f.keeper.tree_identity().unwrap().to_string(), first.tree.clone());
        std::fs::remove_file(f.cache.join("tree.table")).unwrap();
        prop_assert_eq!(f.keeper.tree_identity().unwrap().to_string(), first.tree.clone());
        prop_assert_eq!(&f.user_side(), &side);

        for op in &agent {
            apply(&f, op);
        }
        let (after, after_ignored) = parts(f.state());
        let last = f.keep();
        prop_assert_eq!(first.tree == last.tree, before == after);
        let segment = Segment::of(&first, &last).unwrap();
        let segments = [segment];

        let changed = f.keeper.net_changes(&segments).unwrap();
        let mut want: Vec<&Vec<u8>> = before.keys().chain(after.keys()).filter(|p| before.get(*p) != after.get(*p)).collect();
        want.sort();
        want.dedup();
        prop_assert_eq!(changed.iter().map(|c| &c.path).collect::<Vec<_>>(), want);

        // The difference, applied to what was, is what is.
        let options = DiffOptions { binary: true, ..DiffOptions::default() };
        let diff = f.keeper.diff_text(&segments, &options).unwrap().bytes;
        let patch = f.cache.join("patch");
        std::fs::write(&patch, &diff).unwrap();
        let index = format!("GIT_INDEX_FILE={}", f.cache.join("apply-index").display());
        if !diff.is_empty() {
            let script = format!(
                "{index}; export GIT_INDEX_FILE; git -c core.protectNTFS=false read-tree {} && git -c core.protectNTFS=false apply --cached --whitespace=nowarn {} && git write-tree",
                first.tree, patch.display()
            );
            let out = std::process::Command::new("sh").args(["-c", &script]).current_dir(&f.root)
                .env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
            prop_assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            prop_assert_eq!(crate::harness::text(&out.stdout), last.tree.clone());
        }

        let plan = f.keeper.plan_undo(&segments).unwrap();
        if let Some(conflict) = plan.conflicts.first() {
            // Nobody touched the tree since, so only an ignored file can be in the way; then nothing happens at all.
            prop_assert!(matches!(conflict.kind, ConflictKind::InTheWay(_)), "{:?}", conflict);
            let error = f.keeper.apply_undo(&plan, run_id(), f.number(), true).unwrap_err();
            prop_assert!(matches!(error, Error::InTheWay { .. }), "{}", error);
            prop_assert_eq!(parts(f.state()), (after, after_ignored));
            return Ok(());
        }
        let undone = f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap();
        let (now, now_ignored) = parts(f.state());
        prop_assert_eq!(&now, &before);
        prop_assert_eq!(&now_ignored, &after_ignored);
        prop_assert_eq!(&undone.before.tree, &last.tree);
        prop_assert_eq!(&undone.after.tree, &first.tree);
        prop_assert_eq!(f.keeper.tree_identity().unwrap().to_string(), first.tree.clone());
        prop_assert_eq!(&f.user_side(), &side);

        // A second time there is nothing to do.
        prop_assert!(f.keeper.plan_undo(&segments).unwrap().is_done());

        // The undo undone.
        let back = [Segment::of(&undone.before, &undone.after).unwrap()];
        let plan = f.keeper.plan_undo(&back).unwrap();
        if plan.conflicts.is_empty() {
            f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap();
            prop_assert_eq!(parts(f.state()), (after, after_ignored));
        } else {
            prop_assert_eq!(&f.keeper.apply_undo(&plan, run_id(), f.number(), false).is_err(), &true);
        }
        prop_assert_eq!(run_git(&f.root, &["fsck", "--no-dangling", "--no-progress"]).len(), 0);
    }
}
