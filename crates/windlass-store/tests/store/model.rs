//! The two stores stay equal under any sequence of operations.

use crate::support::*;
use proptest::prelude::*;
use windlass_store::*;

/// Run, how far the expected number is off, how far the epoch is off, events, synced, with a row, consumed request.
type Part = (u64, i8, i8, usize, bool, bool, Option<u8>);

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<Part>),
    Acquire(u64, u8, bool, u32),
    Release(u64, i8),
    Alive(u8, bool),
    Snapshot(u64, u64, u32),
    Index(u64, bool),
    Request(u64, u8),
    Take(u64),
    Artifact(u64, u8, bool),
    Remove(u64, i8),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let r = || 0u64..3;
    let off = || prop_oneof![6 => Just(0i8), 1 => -1i8..2];
    let part = (
        r(),
        off(),
        off(),
        0usize..4,
        any::<bool>(),
        any::<bool>(),
        prop_oneof![4 => Just(None), 1 => (0u8..4).prop_map(Some)],
    );
    prop_oneof![
        6 => proptest::collection::vec(part, 0..4).prop_map(Op::Append),
        4 => (r(), 0u8..2, any::<bool>(), 1u32..3).prop_map(|(a, b, c, d)| Op::Acquire(a, b, c, d)),
        1 => (r(), off()).prop_map(|(a, b)| Op::Release(a, b)),
        1 => (0u8..2, any::<bool>()).prop_map(|(a, b)| Op::Alive(a, b)),
        2 => (r(), 0u64..6, 1u32..3).prop_map(|(a, b, c)| Op::Snapshot(a, b, c)),
        1 => (r(), any::<bool>()).prop_map(|(a, b)| Op::Index(a, b)),
        2 => (r(), 0u8..4).prop_map(|(a, b)| Op::Request(a, b)),
        1 => r().prop_map(Op::Take),
        1 => (r(), 0u8..3, any::<bool>()).prop_map(|(a, b, c)| Op::Artifact(a, b, c)),
        1 => (r(), off()).prop_map(|(a, b)| Op::Remove(a, b)),
        1 => Just(Op::Reopen),
    ]
}

fn shifted(value: u64, by: i8) -> u64 {
    value.saturating_add_signed(i64::from(by))
}

fn content(n: u8, large: bool) -> Vec<u8> {
    vec![n; if large { 70_000 } else { 10 }]
}

/// Does one operation, and says everything that came of it.
fn perform(f: &mut Fixture, op: &Op) -> String {
    let epoch = |store: &dyn Store, r: u64| store.lease(&on(run(r))).unwrap().map_or(0, |l| l.epoch);
    let s = &mut *f.store;
    match op {
        Op::Append(parts) => {
            let mut batch = Vec::new();
            for (r, seq_off, epoch_off, n, sync, with_row, consumed) in parts {
                let expected = shifted(s.head(run(*r)).unwrap(), *seq_off);
                let mut part = Append::new(run(*r), expected, shifted(epoch(s, *r), *epoch_off), records(*n));
                part.sync = *sync;
                part.index = with_row.then(|| row(run(*r), "running", *sync));
                part.consumes = consumed.iter().map(|c| format!("q{c}")).collect();
                batch.push(part);
            }
            format!("{:?}", s.append(batch))
        }
        Op::Acquire(r, who, takeover, vocabulary) => {
            let owner = Owner { vocabulary: *vocabulary, ..owner(["a", "b"][usize::from(*who)]) };
            format!("{:?}", s.acquire(&on(run(*r)), &owner, 1, *takeover))
        }
        Op::Release(r, off) => {
            let lease = Lease { name: on(run(*r)), epoch: shifted(epoch(s, *r), *off) };
            format!("{:?}", s.release(&lease))
        }
        Op::Alive(who, alive) => {
            f.alive.set(&owner(["a", "b"][usize::from(*who)]).id, *alive);
            String::new()
        }
        Op::Snapshot(r, seq, fold_version) => {
            let snapshot = Snapshot { seq: *seq, fold_version: *fold_version, bytes: vec![*seq as u8; 9] };
            format!("{:?}", s.put_snapshot(run(*r), &snapshot))
        }
        Op::Index(r, terminal) => format!("{:?}", s.index_put(&[row(run(*r), "x", *terminal)])),
        Op::Request(r, id) => {
            let request = StoredRequest { id: format!("q{id}"), run: run(*r), at: 1, body: "{}".to_owned() };
            format!("{:?}", s.put_request(&request))
        }
        Op::Take(r) => format!("{:?}", s.take_requests(run(*r))),
        Op::Artifact(r, n, large) => format!("{:?}", s.put_artifact(run(*r), &content(*n, *large))),
        Op::Remove(r, off) => {
            let epoch = shifted(epoch(s, *r), *off);
            format!("{:?}", s.remove_run(run(*r), epoch))
        }
        Op::Reopen => {
            if f.kind == "sqlite" {
                f.store = Box::new(MemoryStore::new(std::sync::Arc::new(AliveSet::default())));
                let alive = std::sync::Arc::new(f.alive.clone());
                f.store = Box::new(SqliteStore::open_with(f.dir.path(), alive).unwrap());
            }
            String::new()
        }
    }
}

/// Everything a store says.
fn everything(s: &dyn Store) -> String {
    let mut out = format!(
        "{:?}\n",
        (s.list(ListFilter::default()), s.list(ListFilter { unfinished: true, newest: Some(2) }))
    );
    for r in (0..3).map(run) {
        out += &format!(
            "{r} {:?} {:?} {:?} {:?} {:?}\n",
            s.head(r),
            s.load(r, 1),
            s.load(r, 2),
            s.lease(&on(r)),
            s.pending_requests(r)
        );
    }
    for (n, large) in (0..3).flat_map(|n| [(n, false), (n, true)]) {
        out += &format!("{:?}\n", s.get_artifact(&Hash::of(&content(n, large))).map(|c| c.len()));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn equal_after_every_operation(ops in proptest::collection::vec(op(), 1..40)) {
        let [mut memory, mut sqlite] = both();
        for op in &ops {
            let (a, b) = (perform(&mut memory, op), perform(&mut sqlite, op));
            prop_assert_eq!(a, b, "{:?}", op);
            prop_assert_eq!(everything(&*memory.store), everything(&*sqlite.store), "after {:?}", op);
        }
    }
}
