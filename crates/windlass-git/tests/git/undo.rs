//! Taking work back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use windlass_git::{Applied, Conflict, ConflictKind, Error, LeftWhy, Result, Segment};

use crate::harness::{Fixture, run_git, run_id};

fn undo(f: &Fixture, segments: &[Segment], force: bool) -> Result<Applied> {
    let plan = f.keeper.plan_undo(segments)?;
    f.keeper.apply_undo(&plan, run_id(), f.number(), force)
}

#[test]
fn one_changed_file_stops_everything_unless_forced() {
    let f = Fixture::new();
    f.write("a", "1");
    f.write("b", "1");
    let segment = f.segment(|f| {
        f.write("a", "2");
        f.write("b", "2");
        f.write("c", "2");
    });
    f.write("b", "mine");
    let plan = f.keeper.plan_undo(std::slice::from_ref(&segment)).unwrap();
    assert_eq!(plan.conflicts, [Conflict { path: b"b".to_vec(), kind: ConflictKind::Changed }]);
    let state = f.state();
    let error = undo(&f, std::slice::from_ref(&segment), false).unwrap_err();
    assert_eq!(error.to_string(), "1 file was changed since, nothing was undone: b");
    assert_eq!(f.state(), state);

    let applied = undo(&f, &[segment], true).unwrap();
    assert_eq!(fs::read(f.at("b")).unwrap(), b"1");
    assert!(!f.at("c").exists());
    assert_eq!(applied.files, [b"a", b"b", b"c"]);
    // What was overwritten by force is kept, and comes back.
    let back = Segment::of(&applied.before, &applied.after).unwrap();
    undo(&f, &[back], false).unwrap();
    assert_eq!(f.state(), state);
}

#[test]
fn a_file_changed_between_plan_and_undo_is_seen() {
    let f = Fixture::new();
    f.write("a", "1");
    let segment = f.segment(|f| f.write("a", "2"));
    let plan = f.keeper.plan_undo(&[segment]).unwrap();
    assert!(plan.conflicts.is_empty());
    f.write("a", "3");
    let error = f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap_err();
    assert!(matches!(error, Error::Conflicts { .. }), "{error:?}");
    assert_eq!(fs::read(f.at("a")).unwrap(), b"3");
}

#[test]
fn what_the_user_did_elsewhere_stays() {
    let f = Fixture::new();
    f.write("a", "1");
    f.write("mine", "1");
    let first = f.segment(|f| f.write("a", "2"));
    f.write("mine", "2");
    f.write("a", "user");
    let second = f.segment(|f| f.write("a", "3"));
    f.write("mine", "3");
    let applied = undo(&f, &[first, second], false).unwrap();
    assert_eq!(fs::read(f.at("a")).unwrap(), b"1");
    assert_eq!(fs::read(f.at("mine")).unwrap(), b"3");
    f.write("mine", "4");
    undo(&f, &[Segment::of(&applied.before, &applied.after).unwrap()], false).unwrap();
    assert_eq!(fs::read(f.at("a")).unwrap(), b"3");
    assert_eq!(fs::read(f.at("mine")).unwrap(), b"4");
}

#[test]
fn folders_go_when_they_were_made_and_stay_when_they_were_there() {
    let f = Fixture::new();
    f.write("old/only", "1");
    f.write("file", "1");
    let segment = f.segment(|f| {
        f.remove("old/only");
        f.write("old/new/x", "1");
        f.write("made/deep/y", "1");
        f.write("file/now/folder", "1");
    });
    // An ignored file keeps its folder.
    f.write(".git/info/exclude", "*.o\n");
    f.write("made/z.o", "o");
    undo(&f, &[segment], false).unwrap();
    assert!(f.at("old/only").exists() && !f.at("old/new").exists());
    assert!(!f.at("made/deep").exists());
    assert_eq!(fs::read(f.at("made/z.o")).unwrap(), b"o");
    assert_eq!(fs::read(f.at("file")).unwrap(), b"1");
}

#[test]
fn a_folder_with_other_files_is_not_removed_for_a_file() {
    let f = Fixture::new();
    f.write(".gitignore", "*.o\n");
    f.write("a", "file");
    let segment = f.segment(|f| {
        f.write("a/b", "1");
        f.write("a/c.o", "ignored");
    });
    let state = f.state();
    let error = undo(&f, std::slice::from_ref(&segment), true).unwrap_err();
    assert!(
        error.to_string().contains("a cannot be put back, nothing was undone: a folder is in its place"),
        "{error}"
    );
    assert_eq!(f.state(), state);
    f.remove("a/c.o");
    fs::create_dir_all(f.at("a/empty/empty")).unwrap();
    undo(&f, &[segment], false).unwrap();
    assert_eq!(fs::read(f.at("a")).unwrap(), b"file");
}

#[test]
fn files_that_an_ignore_rule_hid_before_are_not_removed() {
    let f = Fixture::new();
    f.write(".gitignore", ".env\n/cache/\n");
    f.write(".env", "SECRET=1");
    f.write("sub/.gitignore", "*.key\n");
    f.write("sub/a.key", "k");
    f.write("cache/x", "x");
    f.write("sub/:(top)b.key", "k");
    let segment = f.segment(|f| {
        f.write(".gitignore", "");
        f.remove("sub/.gitignore");
        f.write("new", "n");
    });
    let plan = f.keeper.plan_undo(std::slice::from_ref(&segment)).unwrap();
    let left: Vec<_> = plan.left.iter().map(|left| (left.path.as_slice(), left.why)).collect();
    let why = LeftWhy::WasIgnored;
    assert_eq!(
        left,
        [(&b".env"[..], why), (b"cache/x", why), (b"sub/:(top)b.key", why), (b"sub/a.key", why)]
    );
    undo(&f, &[segment], false).unwrap();
    for kept in [".env", "cache/x", "sub/a.key", "sub/.gitignore"] {
        assert!(f.at(kept).exists(), "{kept}");
    }
    assert!(!f.at("new").exists());
}

#[test]
fn a_file_that_is_ignored_by_now_is_put_back_and_kept() {
    let f = Fixture::new();
    f.write("a", "1");
    let segment = f.segment(|f| f.write("a", "2"));
    f.write(".git/info/exclude", "a\n");
    let applied = undo(&f, &[segment], false).unwrap();
    assert_eq!(fs::read(f.at("a")).unwrap(), b"1");
    undo(&f, &[Segment::of(&applied.before, &applied.after).unwrap()], false).unwrap();
    assert_eq!(fs::read(f.at("a")).unwrap(), b"2");
}

#[test]
fn permissions_beyond_the_exec_bit_stay() {
    let f = Fixture::new();
    let mode = |path: &str| fs::metadata(f.at(path)).unwrap().permissions().mode() & 0o777;
    for (path, bits) in [("private", 0o600), ("tool", 0o750), ("plain", 0o644)] {
        f.write(path, "1");
        fs::set_permissions(f.at(path), fs::Permissions::from_mode(bits)).unwrap();
    }
    let segment = f.segment(|f| {
        fs::write(f.at("private"), "2").unwrap();
        fs::write(f.at("tool"), "2").unwrap();
        f.exec("plain", true);
    });
    undo(&f, &[segment], false).unwrap();
    assert_eq!((mode("private"), mode("tool"), mode("plain")), (0o600, 0o750, 0o644));
}

#[test]
fn an_interrupted_undo_is_completed_and_can_be_undone_whole() {
    let f = Fixture::new();
    for path in ["a", "b", "gone"] {
        f.write(path, "1");
    }
    f.write("mine", "1");
    let segment = f.segment(|f| {
        f.write("a", "2");
        f.write("b", "2");
        f.remove("gone");
        f.write("new/x", "2");
    });
    let segments = [segment];
    let left = f.state();
    let plan = f.keeper.plan_undo(&segments).unwrap();
    let n = f.number();
    let whole = f.keeper.apply_undo(&plan, run_id(), n, false).unwrap();
    let undone = f.state();
    // As a kill in the middle would have left it: the first state is kept, some files are back, others are not.
    run_git(&f.root, &["update-ref", "-d", &format!("refs/windlass/{}/{}", run_id(), n + 1)]);
    f.write("b", "2");
    f.write("new/x", "2");
    // Meanwhile the user works on.
    f.write("mine", "2");
    let again = f.keeper.apply_undo(&plan, run_id(), n, false).unwrap();
    assert_eq!(again.files, whole.files);
    let mut want = undone.clone();
    want.insert(b"mine".to_vec(), f.state()[b"mine".as_slice()].clone());
    assert_eq!(f.state(), want);
    undo(&f, &[Segment::of(&again.before, &again.after).unwrap()], false).unwrap();
    let mut want = left.clone();
    want.insert(b"mine".to_vec(), f.state()[b"mine".as_slice()].clone());
    assert_eq!(f.state(), want);
    assert_eq!(fs::read(f.at("mine")).unwrap(), b"2");
}

#[test]
fn head_and_what_is_staged_are_not_touched() {
    let f = Fixture::new();
    f.write("a", "1");
    f.commit("one");
    f.write("a", "staged");
    f.git(&["add", "a"]);
    f.write("a", "dirty");
    let segment = f.segment(|f| f.write("a", "agent"));
    // An agent that committed all the same: the files go back, the commit is the user's to judge.
    f.write("a", "agent");
    let side = f.user_side();
    undo(&f, &[segment], false).unwrap();
    let index = |side: &[(String, Vec<u8>, Option<std::time::SystemTime>)]| side[0].clone();
    assert_eq!(index(&f.user_side()), index(&side));
    assert_eq!(fs::read(f.at("a")).unwrap(), b"dirty");
    assert_eq!(f.git(&["show", ":a"]), "staged");
    assert!(
        !fs::read_dir(f.at(".git")).unwrap().any(|e| e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("windlass"))
    );
}
