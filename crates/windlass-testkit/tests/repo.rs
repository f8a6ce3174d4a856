//! Temporary repositories.

use windlass_testkit::TempRepo;

#[test]
fn the_shell_fixture_is_red_until_it_is_mended() {
    let repo = TempRepo::failing_shell();
    assert_eq!(repo.status(), "");
    assert!(!repo.test_is_green());
    repo.write("greeting.txt", "hello\n");
    assert!(repo.test_is_green());
    assert_eq!(repo.status(), " M greeting.txt\n");
}

#[test]
fn the_same_repository_has_the_same_commit() {
    assert_eq!(TempRepo::failing_cargo().head(), TempRepo::failing_cargo().head());
}

#[test]
fn a_dirty_tree_has_every_kind_of_dirt() {
    let repo = TempRepo::failing_shell();
    repo.make_dirty();
    let status = repo.status();
    for kind in
        ["MM staged.txt", " M edited.txt", " D deleted.txt", "R  renamed.txt", " M mode.sh", "?? link"]
    {
        assert!(status.contains(kind), "{kind} is not in\n{status}");
    }
    let before = repo.snapshot();
    assert!(before.contains_key(std::path::Path::new("new name.txt")));
    repo.set_mode("mode.sh", 0o644);
    assert_ne!(repo.snapshot(), before, "a mode is part of a snapshot");
    repo.set_mode("mode.sh", 0o755);
    assert_eq!(repo.snapshot(), before);
}
