//! Keeping a tree: exactly what is on disk, and nothing of the user's touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use windlass_git::{Error, Keeper, Limits, Mode, Note, Repo, delete_refs};

use crate::harness::{Fixture, git, run_git, run_id, text};

/// Content of a kept file.
fn kept(f: &Fixture, tree: &str, path: &str) -> Vec<u8> {
    run_git(&f.root, &["cat-file", "blob", &format!("{tree}:{path}")])
}

fn names(f: &Fixture, tree: &str) -> Vec<String> {
    text(&run_git(&f.root, &["ls-tree", "-r", "-z", "--name-only", tree]))
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_users_side_of_git_is_untouched() {
    let f = Fixture::new();
    f.write("tracked", "1");
    f.commit("one");
    f.write("stashed", "s");
    f.git(&["stash", "push", "-q", "-u"]);
    f.write("tracked", "2");
    f.git(&["add", "tracked"]);
    f.write("tracked", "3");
    f.write("untracked", "u");
    f.git(&["config", "commit.gpgSign", "true"]);
    f.git(&["config", "gpg.program", "/bin/false"]);
    f.git(&["config", "core.logAllRefUpdates", "always"]);
    let side = f.user_side();
    let state = f.state();
    let snapshot = f.keep();
    assert_eq!(f.user_side(), side);
    assert_eq!(f.state(), state);
    assert_eq!(kept(&f, &snapshot.tree, "tracked"), b"3");
    assert_eq!(kept(&f, &snapshot.tree, "untracked"), b"u");
    assert_eq!(snapshot.head.as_deref(), Some(f.git(&["rev-parse", "HEAD"]).as_str()));
    assert_eq!(f.git(&["rev-parse", "refs/windlass/k7m2qd/1"]), snapshot.commit);
    assert!(!f.at(".git/logs/refs/windlass").exists());
    let who = f.git(&["log", "-1", "--format=%an <%ae> %cn <%ce> %s%n%P", &snapshot.commit]);
    let head = snapshot.head.unwrap();
    assert_eq!(who, format!("windlass <windlass@localhost> windlass <windlass@localhost> test\n{head}"));
}

#[test]
fn an_unborn_branch_and_an_empty_tree() {
    let f = Fixture::new();
    let snapshot = f.keep();
    assert_eq!(snapshot.head, None);
    assert_eq!(names(&f, &snapshot.tree), Vec::<String>::new());
    f.write("a", "1");
    assert_eq!(names(&f, &f.keep().tree), ["a"]);
    f.remove("a");
    assert_eq!(f.keep().tree, snapshot.tree);
}

#[test]
fn a_repeated_snapshot_is_the_same_and_another_keeps_the_first_reachable() {
    let f = Fixture::new();
    f.write("a", "1");
    f.commit("one");
    let one = f.keeper.snapshot(run_id(), 5, "m").unwrap().snapshot;
    assert_eq!(f.keeper.snapshot(run_id(), 5, "m").unwrap().snapshot, one);
    f.write("a", "2");
    let two = f.keeper.snapshot(run_id(), 5, "m").unwrap().snapshot;
    assert_ne!(one.commit, two.commit);
    assert_eq!(f.git(&["rev-parse", "refs/windlass/k7m2qd/5"]), two.commit);
    assert_eq!(f.git(&["rev-parse", &format!("{}^2", two.commit)]), one.commit);
    // A message that begins like an option, and one that is empty.
    f.keeper.snapshot(run_id(), 6, "--help\0").unwrap();
    f.keeper.snapshot(run_id(), 7, "").unwrap();
}

#[test]
fn raw_bytes_are_kept_whatever_attributes_and_settings_say() {
    let f = Fixture::new();
    f.git(&["config", "core.autocrlf", "true"]);
    f.write(
        ".gitattributes",
        "*.txt text\n*.id ident\n*.u16 working-tree-encoding=UTF-16\n*.f filter=x\n*.sh eol=lf\n",
    );
    f.git(&["config", "filter.x.clean", "tr a-z A-Z"]);
    f.git(&["config", "filter.x.required", "true"]);
    let files: &[(&str, &[u8])] = &[
        ("a.txt", b"one\r\ntwo\n"),
        ("b.id", b"$Id: 1234 $\n"),
        ("c.u16", b"\xff\xfea\0\n\0"),
        ("d.f", b"filtered\n"),
        ("e.sh", b"x\r\n"),
        ("f.bin", b"\0\r\n\x80"),
    ];
    for (path, content) in files {
        f.write(path, content);
    }
    f.git(&["-c", "core.safecrlf=false", "add", "-A"]);
    f.git(&["commit", "-q", "-m", "one"]);
    let snapshot = f.keep();
    for (path, content) in files {
        assert_eq!(kept(&f, &snapshot.tree, path), *content, "{path}");
    }
    let segment = f.segment(|f| files.iter().for_each(|(path, _)| f.write(path, "gone")));
    let plan = f.keeper.plan_undo(&[segment]).unwrap();
    f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap();
    for (path, content) in files {
        assert_eq!(fs::read(f.at(path)).unwrap(), *content, "{path}");
    }
}

#[test]
fn index_entries_of_every_kind() {
    let f = Fixture::new();
    for path in ["skipped", "assumed", "removed", "in/sparse", "plain"] {
        f.write(path, "1");
    }
    f.commit("one");
    f.git(&["update-index", "--skip-worktree", "skipped", "in/sparse"]);
    f.remove("in");
    f.write("skipped", "2");
    f.git(&["update-index", "--assume-unchanged", "assumed"]);
    f.write("assumed", "2");
    f.git(&["rm", "-q", "--cached", "removed"]);
    f.write("intended", "i");
    f.git(&["add", "-N", "intended"]);
    let side = f.user_side();
    let tree = f.keep().tree;
    assert_eq!(names(&f, &tree), ["assumed", "intended", "plain", "removed", "skipped"]);
    for path in ["assumed", "skipped"] {
        assert_eq!(kept(&f, &tree, path), b"2");
    }
    assert_eq!(f.user_side(), side);
}

#[test]
fn a_merge_in_conflict_is_kept_as_it_is_on_disk() {
    let f = Fixture::new();
    f.write("a", "1\n");
    f.commit("one");
    f.git(&["checkout", "-q", "-b", "other"]);
    f.write("a", "2\n");
    f.commit("two");
    f.git(&["checkout", "-q", "main"]);
    f.write("a", "3\n");
    f.commit("three");
    assert!(!crate::harness::try_git(&f.root, &["merge", "-q", "other"]).status.success());
    let side = f.user_side();
    let tree = f.keep().tree;
    assert_eq!(kept(&f, &tree, "a"), fs::read(f.at("a")).unwrap());
    assert_eq!(f.user_side(), side);
}

#[test]
fn a_split_and_a_sparse_index_can_be_read() {
    let f = Fixture::new();
    for path in ["a", "d/b", "e/c"] {
        f.write(path, "1");
    }
    f.commit("one");
    f.git(&["update-index", "--split-index"]);
    assert_eq!(names(&f, &f.keep().tree), ["a", "d/b", "e/c"]);
    assert!(!f.keeper.uncommitted().unwrap());
    f.git(&["update-index", "--no-split-index"]);
    f.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "d"]);
    assert_eq!(names(&f, &f.keep().tree), ["a", "d/b"]);
    assert!(!f.keeper.uncommitted().unwrap());
}

#[test]
fn repositories_inside_are_not_entered() {
    let inner = Fixture::new();
    inner.write("x", "1");
    inner.commit("one");
    let f = Fixture::new();
    f.git(&["submodule", "--quiet", "add", inner.root.to_str().unwrap(), "sub"]);
    f.commit("one");
    for nested in ["nested", "empty"] {
        fs::create_dir(f.at(nested)).unwrap();
        run_git(&f.at(nested), &["init", "-q"]);
    }
    f.write("nested/file", "n");
    run_git(&f.at("nested"), &["add", "-A"]);
    run_git(&f.at("nested"), &["commit", "-q", "-m", "x"]);
    let before = f.keeper.snapshot(run_id(), 1, "m").unwrap();
    let nested: Vec<_> = before
        .notes
        .iter()
        .filter(|note| matches!(note, Note::NestedRepository(p) if p == b"nested"))
        .collect();
    assert_eq!(nested.len(), 1, "{:?}", before.notes);
    assert!(nested[0].to_string().contains("cannot be undone"));
    assert_eq!(names(&f, &before.snapshot.tree), [".gitmodules", "sub"]);
    // What happens in it changes nothing, and an undo says that a moved submodule is left.
    let segment = f.segment(|f| {
        f.write("sub/x", "2");
        run_git(&f.at("sub"), &["commit", "-q", "-a", "-m", "two"]);
        f.git(&["add", "sub"]);
    });
    let changes = f.keeper.changes(&segment.before, &segment.after).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].before.as_ref().unwrap().mode, Mode::Submodule);
    let plan = f.keeper.plan_undo(&[segment]).unwrap();
    assert_eq!((plan.files.len(), plan.left.len()), (0, 1));
    // Gone altogether, and a file in its place.
    let tree = f.keep().tree;
    f.remove("sub");
    assert_eq!(names(&f, &f.keep().tree), [".gitmodules"]);
    f.write("sub", "file");
    assert_eq!(kept(&f, &f.keep().tree, "sub"), b"file");
    assert_ne!(f.keep().tree, tree);
}

#[test]
fn a_lost_or_damaged_cache_and_pruned_objects_cost_time_only() {
    let f = Fixture::new();
    for n in 0..20 {
        f.write(format!("d{}/f{n}", n % 3), format!("{n}"));
    }
    let tree = f.keep().tree;
    let table = f.cache.join("tree.table");
    let good = fs::read(&table).unwrap();
    for bad in [&b""[..], b"garbage", &good[..good.len() / 2]] {
        fs::write(&table, bad).unwrap();
        assert_eq!(f.keep().tree, tree);
    }
    // All that the table knows is gone from the object store.
    assert!(delete_refs(f.keeper.repo(), run_id()).unwrap() > 0);
    f.git(&["gc", "-q", "--prune=now"]);
    assert!(!crate::harness::try_git(&f.root, &["cat-file", "-e", &tree]).status.success());
    assert_eq!(f.keep().tree, tree);
    assert_eq!(f.git(&["fsck", "--no-dangling", "--no-progress"]), "");
    assert!(delete_refs(f.keeper.repo(), run_id()).unwrap() > 0);
    f.git(&["gc", "-q", "--prune=now"]);
    f.write("d0/f0", "changed");
    let changed = f.keep().tree;
    assert_eq!(names(&f, &changed).len(), 20);
    assert_eq!(f.git(&["fsck", "--no-dangling", "--no-progress"]), "");
}

#[test]
fn many_and_large_files() {
    let f = Fixture::new();
    let large: Vec<u8> = (0..9_000_000u32).map(|n| (n % 251) as u8).collect();
    f.write("large", &large);
    for n in 0..300 {
        f.write(format!("d{}/f{n}", n % 40), format!("content {n}"));
    }
    let tree = f.keep().tree;
    assert_eq!(kept(&f, &tree, "large"), large);
    assert_eq!(names(&f, &tree).len(), 301);
    // Kept as one pack, not as hundreds of files.
    assert!(f.git(&["count-objects", "-v"]).contains("packs: 1"));
    let segment = f.segment(|f| f.write("large", &large[1..]));
    let plan = f.keeper.plan_undo(&[segment]).unwrap();
    f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap();
    assert_eq!(fs::read(f.at("large")).unwrap(), large);
}

#[test]
fn a_change_of_the_same_size_and_time_is_seen() {
    let f = Fixture::new();
    f.write("a", "1");
    let time = fs::metadata(f.at("a")).unwrap().modified().unwrap();
    let one = f.keeper.tree_identity().unwrap();
    fs::write(f.at("a"), "2").unwrap();
    fs::File::options().write(true).open(f.at("a")).unwrap().set_modified(time).unwrap();
    assert_ne!(f.keeper.tree_identity().unwrap(), one);
}

#[test]
fn too_much_is_refused_before_it_is_copied() {
    let f = Fixture::new();
    f.write("tracked", vec![b'x'; 5000]);
    f.commit("one");
    f.write("node_modules/big", vec![b'x'; 2000]);
    let repo = Repo::discover(&git(), &f.root).unwrap().unwrap();
    let small = Keeper::open(repo, &f.cache, Limits { untracked_bytes: 1000 }).unwrap();
    let error = small.snapshot(run_id(), 1, "m").unwrap_err();
    assert!(matches!(error, Error::TooLarge { files: 1, bytes: 2000, .. }), "{error:?}");
    assert!(error.to_string().contains("node_modules/big"), "{error}");
    assert_eq!(f.git(&["for-each-ref", "refs/windlass"]), "");
}

#[test]
fn what_cannot_be_read_is_named() {
    let f = Fixture::new();
    f.write("locked/a", "1");
    f.write("secret", "1");
    fs::set_permissions(f.at("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(f.at("secret")).is_ok() {
        return; // Permissions do not bind this user.
    }
    let error = f.keeper.tree_identity().unwrap_err();
    assert!(matches!(&error, Error::Unreadable { path } if path == b"secret"), "{error:?}");
    f.remove("secret");
    fs::set_permissions(f.at("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let error = f.keeper.tree_identity().unwrap_err();
    fs::set_permissions(f.at("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(&error, Error::Unreadable { path } if path.starts_with(b"locked")), "{error:?}");
}

#[test]
fn names_and_things_that_git_cannot_hold() {
    let f = Fixture::new();
    f.write("tracked", "1");
    f.commit("one");
    f.write(".GIT/x", "1");
    f.remove("tracked");
    assert!(std::process::Command::new("mkfifo").arg(f.at("tracked")).status().unwrap().success());
    let kept = f.keeper.snapshot(run_id(), 1, "m").unwrap();
    assert_eq!(names(&f, &kept.snapshot.tree), Vec::<String>::new());
    let notes: Vec<String> = kept.notes.iter().map(Note::to_string).collect();
    assert!(notes.iter().any(|n| n.contains(".GIT/x has a name that git cannot hold")), "{notes:?}");
    assert!(notes.iter().any(|n| n.contains("tracked is no regular file any more")), "{notes:?}");
}

#[test]
fn worktrees_of_one_repository_keep_their_own_trees() {
    let f = Fixture::new();
    f.write("x", "1");
    f.commit("one");
    f.git(&["worktree", "add", "-q", "../linked"]);
    let linked = f.root.join("../linked").canonicalize().unwrap();
    let keeper = Fixture::keeper(&linked, &f.cache.join("linked"));
    fs::write(linked.join("y"), "2").unwrap();
    let snapshot = keeper.snapshot(run_id(), 9, "m").unwrap().snapshot;
    assert_eq!(names(&f, &snapshot.tree), ["x", "y"]);
    assert_eq!(names(&f, &f.keep().tree), ["x"]);
    // References are shared, so the run is removed from anywhere.
    assert_eq!(f.keeper.delete_refs(run_id()).unwrap(), 2);
    assert_eq!(keeper.delete_refs(run_id()).unwrap(), 0);
}

#[test]
fn several_looks_at_once_see_the_same_tree() {
    let f = Fixture::new();
    for n in 0..50 {
        f.write(format!("d{}/f{n}", n % 7), format!("{n}"));
    }
    let keeper = &f.keeper;
    let trees: Vec<_> = std::thread::scope(|scope| {
        let looks: Vec<_> = (0..6).map(|_| scope.spawn(|| keeper.tree_identity().unwrap())).collect();
        looks.into_iter().map(|look| look.join().unwrap()).collect()
    });
    assert!(trees.iter().all(|tree| *tree == trees[0]));
    assert_eq!(f.keep().tree, trees[0].as_str());
}
