//! Differences over the pairs of states of a run.

use windlass_git::{ChangeKind, DiffOptions, Oid, Segment};

use crate::harness::Fixture;

fn diff(f: &Fixture, segments: &[Segment]) -> String {
    diff_with(f, segments, &DiffOptions::default())
}

fn diff_with(f: &Fixture, segments: &[Segment], options: &DiffOptions) -> String {
    String::from_utf8(f.keeper.diff_text(segments, options).unwrap().bytes).unwrap()
}

#[test]
fn only_what_the_tasks_changed_is_shown() {
    let f = Fixture::new();
    f.write("shared", "one\n");
    f.write("own", "u1\n");
    f.commit("one");
    f.write("dirty", "was so before\n");
    let first = f.segment(|f| f.write("shared", "two\n"));
    // The user edits between two tasks: a file of the run, and one of their own.
    f.write("own", "u2\n");
    f.write("shared", "two\nuser\n");
    let second = f.segment(|f| {
        f.write("shared", "two\nuser\nthree\n");
        f.write("new", "n\n");
    });
    let segments = [first, second];
    let net = f.keeper.net_changes(&segments).unwrap();
    let kinds: Vec<_> =
        net.iter().map(|c| (String::from_utf8_lossy(&c.path).into_owned(), c.kind())).collect();
    assert_eq!(kinds, [("new".into(), ChangeKind::Added), ("shared".into(), ChangeKind::Modified)]);
    let text = diff(&f, &segments);
    assert!(text.contains("-one\n+two\n+user\n+three\n"), "{text}");
    assert!(!text.contains("own") && !text.contains("dirty"), "{text}");
    let stat = f.keeper.diff_stat(&segments).unwrap();
    assert_eq!((stat.files.len(), stat.insertions(), stat.deletions()), (2, 4, 1));
    // What a difference is made of stays out of the user's object store.
    assert_eq!(f.git(&["fsck", "--unreachable", "--no-progress"]), "");
}

#[test]
fn a_change_that_was_taken_back_is_none() {
    let f = Fixture::new();
    f.write("a", "1\n");
    let first = f.segment(|f| f.write("a", "2\n"));
    f.write("user", "u\n");
    let second = f.segment(|f| f.write("a", "1\n"));
    let segments = [first, second];
    assert_eq!(f.keeper.net_changes(&segments).unwrap(), []);
    assert_eq!(diff(&f, &segments), "");
    assert_eq!(f.keeper.diff_stat(&segments).unwrap().files, []);
    assert_eq!(diff(&f, &[]), "");
}

#[test]
fn a_path_that_was_file_and_folder_is_shown_task_by_task() {
    let f = Fixture::new();
    f.write("a", "file\n");
    let first = f.segment(|f| f.write("a", "changed\n"));
    f.write("a/b", "folder\n");
    let second = f.segment(|f| f.write("a/b", "changed too\n"));
    let text = diff(&f, &[first, second]);
    assert!(text.contains("-file\n+changed\n") && text.contains("-folder\n+changed too\n"), "{text}");
}

#[test]
fn renames_binaries_colours_paths_and_limits() {
    let f = Fixture::new();
    let body: String = (0..50).map(|n| format!("line {n}\n")).collect();
    f.write("old name", &body);
    f.write("bin", b"\0\x01\x02");
    f.write("-dash", "1\n");
    f.write("*", "star\n");
    let segment = f.segment(|f| {
        f.remove("old name");
        f.write("new name", body.replace("line 7\n", "line seven\n"));
        f.write("bin", b"\0\x01\x03");
        f.write("-dash", "2\n");
        f.write("*", "stars\n");
    });
    let segments = [segment];
    let text = diff(&f, &segments);
    assert!(text.contains("rename from old name\nrename to new name\n"), "{text}");
    assert!(text.contains("Binary files a/bin and b/bin differ\n"), "{text}");
    let binary = diff_with(&f, &segments, &DiffOptions { binary: true, ..DiffOptions::default() });
    assert!(binary.contains("GIT binary patch"), "{binary}");
    let color = diff_with(&f, &segments, &DiffOptions { color: true, ..DiffOptions::default() });
    assert!(color.contains("\u{1b}[32m+"), "{color}");
    let stat = diff_with(&f, &segments, &DiffOptions { stat_width: Some(60), ..DiffOptions::default() });
    assert!(stat.contains("4 files changed, 3 insertions(+), 3 deletions(-)"), "{stat}");
    // A path is a path: no pattern, no option.
    for (path, want) in [("*", "+stars"), ("-dash", "+2")] {
        let options = DiffOptions { paths: vec![path.into()], ..DiffOptions::default() };
        let only = diff_with(&f, &segments, &options);
        assert!(only.contains(want) && only.matches("diff --git").count() == 1, "{only}");
    }
    let cut = f
        .keeper
        .diff_text(&segments, &DiffOptions { max_bytes: Some(100), ..DiffOptions::default() })
        .unwrap();
    assert!(cut.truncated && cut.bytes.len() == 100);
    assert!(text.as_bytes().starts_with(&cut.bytes));
    let renamed = f.keeper.diff_stat(&segments).unwrap();
    assert!(renamed.files.iter().any(|file| file.renamed_from.as_deref() == Some(b"old name".as_slice())));
    assert!(renamed.files.iter().any(|file| file.path == b"bin" && file.lines.is_none()));
}

#[test]
fn a_state_that_is_gone_is_an_error_not_an_empty_difference() {
    let f = Fixture::new();
    let real = f.keeper.tree_identity().unwrap();
    let gone = Segment { before: real, after: Oid::parse(&"1".repeat(40)).unwrap() };
    assert!(f.keeper.net_changes(std::slice::from_ref(&gone)).is_err());
    assert!(f.keeper.diff_text(std::slice::from_ref(&gone), &DiffOptions::default()).is_err());
    assert!(f.keeper.plan_undo(&[gone]).is_err());
}
