//! What every store does.

use crate::support::*;
use windlass_store::*;

#[test]
fn events_come_back_as_written() {
    for mut f in both() {
        let r = run(1);
        assert_eq!(f.store.head(r), Ok(0));
        assert_eq!(f.store.read(r, 0, 10), Ok(vec![]));
        let epoch = filled(&mut *f.store, r, 3);
        let odd =
            Record { at: i64::MIN, body: "{\"type\":\"\u{1f600}\",\"data\":\"a\0b\\u0000\"}".to_owned() };
        assert_eq!(append(&mut *f.store, Append::new(r, 3, epoch, vec![odd.clone()]).synced()), Ok(4));
        let all = f.store.read(r, 0, 10).unwrap();
        assert_eq!(all.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4], "{}", f.kind);
        assert_eq!((all[3].at, &all[3].body), (odd.at, &odd.body));
        assert_eq!(f.store.read(r, 1, 2).unwrap(), all[1..3]);
        assert_eq!(f.store.read(r, 4, 9), Ok(vec![]));
        assert_eq!(f.store.read(r, u64::MAX, 9), Ok(vec![]));
        assert_eq!(f.store.read(r, 0, 0), Ok(vec![]));
        assert_eq!(f.store.verify(r), Ok(4));
        assert_eq!(f.store.read(run(2), 0, 9), Ok(vec![]), "runs do not run into each other");
    }
}

#[test]
fn runs_do_not_share_keys() {
    for mut f in both() {
        let epochs: Vec<u64> = (0..5).map(|n| filled(&mut *f.store, run(n), 2)).collect();
        for n in [3, 0, 4, 1, 2] {
            let part = Append::new(run(n), 2, epochs[n as usize], records(n as usize));
            assert_eq!(append(&mut *f.store, part), Ok(2 + n));
        }
        for n in 0..5 {
            assert_eq!(f.store.verify(run(n)), Ok(2 + n));
        }
    }
}

#[test]
fn each_part_of_a_batch_stands_alone() {
    for mut f in both() {
        let (a, b, c, d) = (run(1), run(2), run(3), run(4));
        let (ea, eb, ec) =
            (filled(&mut *f.store, a, 1), filled(&mut *f.store, b, 1), filled(&mut *f.store, c, 1));
        let results = f.store.append(vec![
            Append::new(a, 1, ea, records(2)),
            Append::new(b, 0, eb, records(2)),
            Append::new(c, 1, ec + 100, records(2)),
            Append::new(d, 0, 1, records(1)).synced(),
            Append::new(a, 3, ea, records(1)),
            Append::new(a, 3, ea, records(1)),
            Append::new(c, 1, ec, vec![]),
        ]);
        assert_eq!(
            results,
            [
                Ok(3),
                Err(AppendError::Conflict { run: b, expected: 0, head: 1 }),
                Err(AppendError::Fenced { run: c, given: ec + 100, current: Some(ec) }),
                Err(AppendError::Fenced { run: d, given: 1, current: None }),
                Ok(4),
                Err(AppendError::Conflict { run: a, expected: 3, head: 4 }),
                Ok(1),
            ],
            "{}",
            f.kind
        );
        assert_eq!([a, b, c, d].map(|r| f.store.head(r).unwrap()), [4, 1, 1, 0]);
        assert!(!results[1].as_ref().unwrap_err().is_retryable());
    }
}

#[test]
fn a_lease_is_kept_while_its_owner_lives() {
    for mut f in both() {
        let (name, a, b) = (on(run(1)), owner("a"), owner("b"));
        f.alive.set(&a.id, true);
        f.alive.set(&b.id, true);
        assert_eq!(f.store.lease(&name), Ok(None));
        let first = f.store.acquire(&name, &a, 7, false).unwrap();
        let refused = f.store.acquire(&name, &b, 8, false);
        assert_eq!(
            refused,
            Err(LeaseError::Held(Held { owner: a.clone(), epoch: first.epoch, since: 7 })),
            "{}",
            f.kind
        );
        let again = f.store.acquire(&name, &a, 9, false).unwrap();
        assert!(again.epoch > first.epoch, "a second engine of one owner fences the first");
        f.alive.set(&a.id, false);
        assert!(!f.store.is_alive(&a.id));
        let taken = f.store.acquire(&name, &b, 10, false).unwrap();
        assert!(taken.epoch > again.epoch);
        assert_eq!(f.store.release(&again), Ok(false), "only the holder gives back");
        assert_eq!(
            append(&mut *f.store, Append::new(run(1), 0, again.epoch, records(1))),
            Err(AppendError::Fenced { run: run(1), given: again.epoch, current: Some(taken.epoch) })
        );
        assert_eq!(append(&mut *f.store, Append::new(run(1), 0, taken.epoch, records(1))), Ok(1));
        assert_eq!(f.store.release(&taken), Ok(true));
        assert_eq!(f.store.release(&taken), Ok(false));
        let state = f.store.lease(&name).unwrap().unwrap();
        assert_eq!((state.owner, state.epoch), (None, taken.epoch));
        assert_eq!(
            append(&mut *f.store, Append::new(run(1), 1, taken.epoch, records(1))),
            Err(AppendError::Fenced { run: run(1), given: taken.epoch, current: None })
        );
    }
}

#[test]
fn a_person_may_take_over_and_fences_the_living() {
    for mut f in both() {
        let (name, a, b) =
            (LeaseName::Tree(TreeId::parse("main:/src/project").unwrap()), owner("a"), owner("b"));
        f.alive.set(&a.id, true);
        let first = f.store.acquire(&name, &a, 1, false).unwrap();
        assert!(f.store.acquire(&name, &b, 2, false).is_err());
        let taken = f.store.acquire(&name, &b, 2, true).unwrap();
        assert!(taken.epoch > first.epoch);
        let state = f.store.lease(&name).unwrap().unwrap();
        assert_eq!((state.owner, state.since), (Some(b), 2));
    }
}

/// What rests on a second lease is stored only while that is held too: given back, taken over, or never had, it is refused, alone.
#[test]
fn events_that_rest_on_a_second_lease_are_fenced_by_it_too() {
    for mut f in both() {
        let r = run(1);
        let epoch = filled(&mut *f.store, r, 1);
        let tree = LeaseName::Tree(TreeId::parse("tree").unwrap());
        let resting = |seq, lease: &Lease| Append {
            holding: vec![lease.clone()],
            ..Append::new(r, seq, epoch, records(1))
        };
        let unheld = |lease: &Lease| Err(AppendError::Unheld { run: r, lease: lease.clone() });
        let never = Lease { name: tree.clone(), epoch: 99 };
        assert_eq!(append(&mut *f.store, resting(1, &never)), unheld(&never), "{}", f.kind);
        let (a, b) = (owner("a"), owner("b"));
        f.alive.set(&a.id, true);
        let first = f.store.acquire(&tree, &a, 1, false).unwrap();
        assert_eq!(append(&mut *f.store, resting(1, &first)), Ok(2));
        let second = f.store.acquire(&tree, &b, 2, true).unwrap();
        let other = run(2);
        let its_epoch = f.store.acquire(&on(other), &a, 3, false).unwrap().epoch;
        let both = vec![resting(2, &first), Append::new(other, 0, its_epoch, records(1))];
        assert_eq!(f.store.append(both), [unheld(&first), Ok(1)]);
        assert_eq!(append(&mut *f.store, resting(2, &second)), Ok(3), "the run itself is not fenced");
        f.store.release(&second).unwrap();
        assert_eq!(append(&mut *f.store, resting(3, &second)), unheld(&second));
    }
}

#[test]
fn who_knows_less_may_not_take_a_lease() {
    for mut f in both() {
        let name = on(run(1));
        let new = Owner { vocabulary: 2, ..owner("new") };
        let lease = f.store.acquire(&name, &new, 1, false).unwrap();
        f.store.release(&lease).unwrap();
        for takeover in [false, true] {
            let refused = f.store.acquire(&name, &owner("old"), 2, takeover);
            assert_eq!(refused, Err(LeaseError::TooNew { needs: 2, knows: 1 }), "{}", f.kind);
        }
        assert!(f.store.acquire(&name, &Owner { vocabulary: 3, ..owner("newer") }, 3, false).is_ok());
        // A tree has no journal, so nothing in it can be too new.
        let tree = LeaseName::Tree(TreeId::parse("t").unwrap());
        f.store.acquire(&tree, &new, 4, false).unwrap();
        assert!(f.store.acquire(&tree, &owner("old"), 5, false).is_ok());
    }
}

#[test]
fn snapshots_are_caches_of_one_fold() {
    for mut f in both() {
        let r = run(1);
        let snapshot = |seq, fold_version, text: &str| Snapshot { seq, fold_version, bytes: text.into() };
        assert_eq!(f.store.put_snapshot(r, &snapshot(0, 1, "s")), Err(StoreError::UnknownRun { run: r }));
        filled(&mut *f.store, r, 5);
        assert_eq!(
            f.store.put_snapshot(r, &snapshot(6, 1, "s")),
            Err(StoreError::SnapshotAhead { run: r, seq: 6, head: 5 })
        );
        let load = |f: &Fixture, v| {
            let loaded = f.store.load(r, v).unwrap();
            (loaded.snapshot, loaded.tail.iter().map(|e| e.seq).collect::<Vec<_>>())
        };
        assert_eq!(load(&f, 1), (None, vec![1, 2, 3, 4, 5]));
        f.store.put_snapshot(r, &snapshot(3, 1, "three")).unwrap();
        f.store.put_snapshot(r, &snapshot(2, 1, "two")).unwrap();
        assert_eq!(load(&f, 1), (Some(snapshot(3, 1, "three")), vec![4, 5]), "{}", f.kind);
        assert_eq!(load(&f, 2), (None, vec![1, 2, 3, 4, 5]));
        f.store.put_snapshot(r, &snapshot(1, 2, "new fold")).unwrap();
        assert_eq!(f.store.latest_snapshot(r, 1), Ok(None));
        assert_eq!(f.store.latest_snapshot(r, 2), Ok(Some(snapshot(1, 2, "new fold"))));
    }
}

#[test]
fn the_index_lists_newest_first() {
    for mut f in both() {
        assert_eq!(f.store.list(ListFilter::default()), Ok(vec![]));
        for n in 1..=4 {
            filled(&mut *f.store, run(n), 1);
        }
        let unknown = row(run(99), "running", false);
        let rows = [row(run(1), "running", false), row(run(2), "completed", true), unknown];
        assert_eq!(f.store.index_put(&rows), Ok(2));
        let mut with_row = Append::new(run(3), 1, 3, records(1));
        with_row.index = Some(RunRow { goal: "é".repeat(300), ..row(run(3), "blocked", false) });
        assert_eq!(append(&mut *f.store, with_row), Ok(2));
        let ids = |filter| f.store.list(filter).unwrap().iter().map(|l| l.run).collect::<Vec<_>>();
        assert_eq!(ids(ListFilter::default()), [4, 3, 2, 1].map(run));
        assert_eq!(ids(ListFilter { unfinished: true, newest: None }), [4, 3, 1].map(run), "{}", f.kind);
        assert_eq!(ids(ListFilter { unfinished: true, newest: Some(2) }), [4, 3].map(run));
        assert_eq!(ids(ListFilter { unfinished: false, newest: Some(0) }), [0; 0].map(run));
        let all = f.store.list(ListFilter::default()).unwrap();
        assert_eq!(all[0].row, None, "a run without a row is listed all the same");
        assert_eq!(all[1].row.as_ref().unwrap().goal, "é".repeat(200));
        assert_eq!(all[2].row, Some(row(run(2), "completed", true)));
    }
}

#[test]
fn a_request_is_consumed_once() {
    for mut f in both() {
        let r = run(1);
        let request =
            |id: &str| StoredRequest { id: id.to_owned(), run: r, at: 3, body: format!("{{\"{id}\":1}}") };
        let epoch = filled(&mut *f.store, r, 1);
        for id in ["x", "y", "z"] {
            assert_eq!(f.store.put_request(&request(id)), Ok(true));
        }
        assert_eq!(f.store.put_request(&request("y")), Ok(false));
        assert_eq!(f.store.pending_requests(run(2)), Ok(vec![]));
        assert_eq!(f.store.pending_requests(r), Ok(["x", "y", "z"].map(request).to_vec()));

        let consuming = |seq, ids: &[&str]| Append {
            consumes: ids.iter().map(|s| (*s).to_owned()).collect(),
            ..Append::new(r, seq, epoch, records(1))
        };
        assert_eq!(append(&mut *f.store, consuming(1, &["y"])), Ok(2));
        let gone = |id: &str| Err(AppendError::RequestGone { run: r, id: id.to_owned() });
        assert_eq!(append(&mut *f.store, consuming(2, &["x", "y"])), gone("y"), "{}", f.kind);
        assert_eq!(append(&mut *f.store, consuming(2, &["x", "x"])), gone("x"));
        assert_eq!(
            f.store.pending_requests(r),
            Ok(["x", "z"].map(request).to_vec()),
            "a refused part consumes nothing"
        );
        assert_eq!(f.store.head(r), Ok(2));
        assert_eq!(f.store.take_requests(r), Ok(["x", "z"].map(request).to_vec()));
        assert_eq!(f.store.take_requests(r), Ok(vec![]));
        assert_eq!(f.store.put_request(&request("x")), Ok(false), "its id is spent");
    }
}

#[test]
fn artifacts_small_and_large() {
    for mut f in both() {
        let small = b"small".to_vec();
        let large: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let limit = vec![7; windlass_store::artifact::INLINE_MAX];
        for content in [&small, &large, &limit, &Vec::new()] {
            let hash = f.store.put_artifact(run(1), content).unwrap();
            assert_eq!(hash, Hash::of(content));
            assert_eq!(f.store.put_artifact(run(2), content).unwrap(), hash);
            assert_eq!(&f.store.get_artifact(&hash).unwrap(), content, "{}", f.kind);
        }
        let unknown = Hash::of(b"never stored");
        assert_eq!(f.store.get_artifact(&unknown), Err(ArtifactError::Missing { hash: unknown }));
    }
}

#[test]
fn removing_a_run_leaves_nothing_of_it_and_all_of_the_others() {
    for mut f in both() {
        let (a, b) = (run(1), run(2));
        let large = vec![9; 100_000];
        let (ea, eb) = (filled(&mut *f.store, a, 3), filled(&mut *f.store, b, 2));
        let shared = f.store.put_artifact(a, b"shared").unwrap();
        f.store.put_artifact(b, b"shared").unwrap();
        let own = [f.store.put_artifact(a, b"own").unwrap(), f.store.put_artifact(a, &large).unwrap()];
        f.store.put_snapshot(a, &Snapshot { seq: 1, fold_version: 1, bytes: vec![1] }).unwrap();
        f.store.put_request(&StoredRequest { id: "q".into(), run: a, at: 0, body: "{}".into() }).unwrap();

        assert_eq!(f.store.remove_run(a, eb), Err(StoreError::Fenced { run: a, given: eb }));
        assert_eq!(f.store.head(a), Ok(3));
        f.store.remove_run(a, ea).unwrap();
        assert_eq!(f.store.head(a), Ok(0));
        assert_eq!(f.store.load(a, 1), Ok(Loaded { snapshot: None, tail: vec![] }));
        assert_eq!(f.store.pending_requests(a), Ok(vec![]));
        assert_eq!(f.store.lease(&on(a)), Ok(None));
        for hash in own {
            assert_eq!(f.store.get_artifact(&hash), Err(ArtifactError::Missing { hash }), "{}", f.kind);
        }
        assert_eq!(f.store.get_artifact(&shared).unwrap(), b"shared");
        assert_eq!(f.store.verify(b), Ok(2));

        // The id may be used again; what fenced an old writer still does.
        let again = lease(&mut *f.store, a);
        assert!(again > ea);
        assert!(append(&mut *f.store, Append::new(a, 0, ea, records(1))).is_err());
        assert_eq!(append(&mut *f.store, Append::new(a, 0, again, records(1))), Ok(1));
        assert_eq!(f.store.load(a, 1).unwrap().snapshot, None);
    }
}

#[test]
fn quarantine_of_a_whole_journal_does_nothing() {
    for mut f in both() {
        let epoch = filled(&mut *f.store, run(1), 3);
        assert_eq!(f.store.quarantine(run(1), epoch), Ok(Quarantined { head: 3, rows: 0 }));
        assert_eq!(f.store.quarantine(run(1), 99), Err(StoreError::Fenced { run: run(1), given: 99 }));
        assert_eq!(f.store.verify(run(1)), Ok(3));
    }
}

#[test]
fn the_project_is_remembered() {
    for mut f in both() {
        assert_eq!(f.store.project_identity(), Ok(None));
        let identity = ProjectIdentity { path: "/src/a b/.git".into(), device: u64::MAX, inode: 1 << 63 };
        f.store.set_project_identity(&identity).unwrap();
        assert_eq!(f.store.project_identity(), Ok(Some(identity)));
        let moved = ProjectIdentity { path: "/else".into(), device: 1, inode: 2 };
        f.store.set_project_identity(&moved).unwrap();
        assert_eq!(f.store.project_identity(), Ok(Some(moved)));
    }
}

#[test]
fn the_token_changes_with_every_commit_and_only_then() {
    for mut f in both() {
        let before = f.store.data_version().unwrap();
        assert_eq!(f.store.data_version(), Ok(before));
        let epoch = filled(&mut *f.store, run(1), 1);
        let after = f.store.data_version().unwrap();
        assert_ne!(after, before);
        let refused = append(&mut *f.store, Append::new(run(1), 0, epoch, records(1)));
        assert!(refused.is_err());
        assert_eq!(f.store.data_version(), Ok(after), "{}", f.kind);
    }
}

#[test]
fn the_twin_can_fail_and_lose_what_was_not_synced() {
    let f = memory();
    let mut store = MemoryStore::new(std::sync::Arc::new(f.alive.clone()));
    let r = run(1);
    let epoch = lease(&mut store, r);
    assert_eq!(append(&mut store, Append::new(r, 0, epoch, records(2)).synced()), Ok(2));
    assert_eq!(append(&mut store, Append::new(r, 2, epoch, records(2))), Ok(4));
    let full = StoreError::DiskFull { path: "x".into() };
    store.set_failure(Some(full.clone()));
    let failed =
        store.append(vec![Append::new(r, 4, epoch, records(1)), Append::new(r, 0, epoch, records(1))]);
    assert_eq!(failed[0], Err(AppendError::Commit(full)));
    assert!(failed[0].as_ref().unwrap_err().is_retryable());
    assert!(matches!(failed[1], Err(AppendError::Conflict { .. })));
    assert_eq!(store.head(r), Ok(4));
    store.set_failure(None);
    let copy = store.fork();
    store.power_cut();
    assert_eq!((store.head(r), copy.head(r)), (Ok(2), Ok(4)));
    assert_eq!(store.lease(&on(r)).unwrap().unwrap().epoch, epoch);
    store.damage(r, 2);
    assert!(matches!(store.read(r, 0, 9), Err(ReadError::Damaged(d)) if d.seq == 2));
    assert_eq!(store.read(r, 0, 1).unwrap().len(), 1);
    assert_eq!(store.quarantine(r, epoch), Ok(Quarantined { head: 1, rows: 1 }));
    assert_eq!(store.quarantined(r), records(2)[1..]);
    assert_eq!(append(&mut store, Append::new(r, 1, epoch, records(1))), Ok(2));
}
