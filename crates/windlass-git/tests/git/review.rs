//! What a review without a goal looks at.

use std::fs;

use windlass_git::{Review, ReviewKind};

use crate::harness::{Fixture, run_git};

fn review(f: &Fixture) -> (Review, String) {
    let review = f.keeper.diff_for_review(None).unwrap();
    let text = String::from_utf8_lossy(&review.diff.bytes).into_owned();
    (review, text)
}

#[test]
fn uncommitted_changes_come_first_then_the_branch() {
    let f = Fixture::new();
    assert_eq!(review(&f).0.kind, ReviewKind::Nothing);
    assert!(!f.keeper.uncommitted().unwrap());
    f.write("a", "1\n");
    assert!(f.keeper.uncommitted().unwrap());
    let (found, text) = review(&f);
    assert_eq!(found.kind, ReviewKind::Uncommitted);
    assert!(text.contains("+1"), "{text}");
    f.commit("one");
    assert!(!f.keeper.uncommitted().unwrap());
    let (found, _) = review(&f);
    assert_eq!(found.kind, ReviewKind::Nothing);
    assert!(found.description.contains("no branch to compare with"), "{}", found.description);

    f.git(&["checkout", "-q", "-b", "topic"]);
    f.write("a", "2\n");
    f.write("b", "b\n");
    f.commit("two");
    let (found, text) = review(&f);
    assert!(matches!(&found.kind, ReviewKind::Branch(base) if base.name == "main"), "{found:?}");
    assert!(
        found.description.starts_with("the commits of topic since it parted from main at "),
        "{}",
        found.description
    );
    assert!(text.contains("-1\n+2\n") && text.contains("+b\n"), "{text}");

    // Staged, unstaged and untracked.
    f.write("a", "3\n");
    f.git(&["add", "a"]);
    assert!(f.keeper.uncommitted().unwrap());
    f.write("b", "bb\n");
    f.write("odd\nname", "new\n");
    fs::write(f.at(".git/info/exclude"), "*.o\n").unwrap();
    f.write("x.o", "ignored");
    let side = f.user_side();
    let (found, text) = review(&f);
    assert_eq!(found.kind, ReviewKind::Uncommitted);
    for want in ["-2\n+3\n", "-b\n+bb\n", "+new\n", "odd\\nname"] {
        assert!(text.contains(want), "{want:?} in {text}");
    }
    assert!(!text.contains("x.o"), "{text}");
    assert_eq!(f.user_side(), side);
    let cut = f.keeper.diff_for_review(Some(20)).unwrap();
    assert!(cut.diff.truncated && cut.diff.bytes.len() == 20);
}

#[test]
fn line_ends_filters_and_touched_files_are_no_changes() {
    let f = Fixture::new();
    f.git(&["config", "core.autocrlf", "true"]);
    f.git(&["config", "filter.x.clean", "tr a-z A-Z"]);
    f.write(".gitattributes", "*.f filter=x\n*.u16 working-tree-encoding=UTF-16LE eol=lf\n");
    f.write("a.txt", "one\r\ntwo\r\n");
    f.write("b.f", "filtered\n");
    f.write("c.u16", b"a\0\n\0");
    // Older than the index: in the same instant git would not trust the time and compare without the filter.
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options().write(true).open(f.at("b.f")).unwrap().set_modified(past).unwrap();
    f.git(&["-c", "core.safecrlf=false", "add", "-A"]);
    f.git(&["commit", "-q", "-m", "one"]);
    assert!(!f.keeper.uncommitted().unwrap());
    for path in ["a.txt", "c.u16"] {
        let content = fs::read(f.at(path)).unwrap();
        f.write(path, content);
    }
    assert!(!f.keeper.uncommitted().unwrap());
    assert_eq!(review(&f).1, "");
    f.write("a.txt", "one\r\nthree\r\n");
    let text = review(&f).1;
    assert!(text.contains("-two\n+three\n") && !text.contains("one\r\n"), "{text}");
}

#[test]
fn submodules_are_not_entered() {
    let inner = Fixture::new();
    inner.write("x", "1");
    inner.commit("one");
    let f = Fixture::new();
    f.git(&["submodule", "--quiet", "add", inner.root.to_str().unwrap(), "sub"]);
    f.commit("one");
    fs::write(f.at("sub/x"), "changed").unwrap();
    run_git(&f.at("sub"), &["config", "core.fsmonitor", "/bin/false"]);
    assert!(!f.keeper.uncommitted().unwrap());
    assert_eq!(review(&f).0.kind, ReviewKind::Nothing);
}
