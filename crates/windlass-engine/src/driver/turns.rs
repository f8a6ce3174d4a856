//! Turns in working trees as the store has them: the lease of a tree, and which runs have the turn by their journals.

use super::Loop;
use super::context::{Ctx, Msg, now};
use super::projects::{OpenError, Project, load_run};
use crate::machine::{In, Part};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use windlass_events::{Event, RunId};
use windlass_store::{
    Lease, LeaseError, LeaseName, ListFilter, ReadStore, SqliteReader, Store, StoreError, TreeId,
};
use windlass_worker::{Probe, probe};

/// How often somebody is asked to lead a run that has the turn and that nobody leads.
const MEET_EVERY: Duration = Duration::from_secs(5);

/// What became of the wish for a tree's lease.
enum Wish {
    /// It is this engine's already.
    Ours,
    /// It is this engine's now.
    Got(Lease),
    /// Somebody else has the tree.
    Other(String),
    /// A run has the turn that is led elsewhere, or by nobody.
    Turn { run: RunId, is_led: bool },
}

/// The runs that this engine leads, each with the epoch of its lease.
type Led = BTreeMap<RunId, u64>;

impl Loop {
    /// Obtains the lease of a tree. A dead engine's lease is free, and yet a run of it may have the turn, with workers that live: until
    /// somebody leads that run, the turn is nobody else's.
    pub(super) fn want_tree(&mut self, root: String) {
        let run = self.machine.runs().find(|r| r.spec.tree.root == root).map(|r| r.id);
        let Some((run, home)) = run.and_then(|run| Some((run, self.homes.get(&run)?.clone()))) else {
            // Asked for a run that is being read again: without an answer the machine would never ask again.
            let holder = Some("a run that is being read".to_owned());
            self.ctx.tell(Msg::In(In::Tree { root, holder }));
            return;
        };
        let ours = self.tree_leases.get(&root).map(|(_, lease)| lease.clone());
        let epoch = |id: RunId| self.machine.epoch(id).map(|epoch| (id, epoch));
        let led: Led = self.machine.runs().filter_map(|r| epoch(r.id)).collect();
        let ctx = self.ctx.clone();
        tokio::task::spawn_blocking(move || {
            let holder = match wish(&ctx, &home.project, &root, ours, &led) {
                Wish::Ours => None,
                Wish::Got(lease) => {
                    ctx.tell(Msg::TreeLeased { root: root.clone(), run, lease });
                    None
                }
                Wish::Other(who) => Some(who),
                Wish::Turn { run, is_led } => {
                    if !is_led {
                        ctx.tell(Msg::Meet(run));
                    }
                    Some(format!("run {run}"))
                }
            };
            ctx.tell(Msg::In(In::Tree { root, holder }));
        });
    }

    /// Gives the lease of a tree back.
    pub(super) fn free_tree(&mut self, root: &str) {
        if let Some((run, lease)) = self.tree_leases.remove(root) {
            let home = self.homes.get(&run).map(|h| h.project.clone());
            if let Some(project) = home.or_else(|| self.ctx.projects.project_of(run).ok()) {
                give_back(&project, lease);
            }
        }
    }

    /// The lease that a part of a commit rests on besides its run's: a turn is taken only with the tree's. `Err` is the tree whose lease
    /// is not here.
    pub(super) fn rests_on(&self, part: &Part) -> Result<Option<(String, Lease)>, String> {
        let takes = part.events.iter().any(|(_, event)| matches!(event, Event::TurnTaken { .. }));
        let Some(home) = self.homes.get(&part.run).filter(|_| takes) else { return Ok(None) };
        let root = &home.spec.tree.root;
        let lease = self.tree_leases.get(root).map(|(_, lease)| lease.clone());
        lease.map(|lease| Some((root.clone(), lease))).ok_or_else(|| root.clone())
    }

    /// The lease of a tree is not this engine's any more: the machine asks for it anew.
    pub(super) fn tree_lost(&mut self, root: String, inputs: &mut Vec<In>) {
        self.tree_leases.remove(&root);
        inputs.push(In::Tree { root, holder: Some("another engine".to_owned()) });
    }

    /// Has a run led that has the turn in a tree that is wanted here, and that nobody leads: by this engine, or, where this one ends with
    /// its caller, by the daemon.
    pub(super) fn meet(&mut self, run: RunId) {
        let now = Instant::now();
        if self.met.get(&run).is_some_and(|at| now < *at + MEET_EVERY) {
            return;
        }
        self.met.insert(run, now);
        if !self.ctx.options.tied {
            return self.open(run, None);
        }
        let argv = super::successor(&self.ctx.options.exe);
        tokio::task::spawn_blocking(move || {
            use std::os::unix::process::CommandExt;
            use std::process::{Command, Stdio};
            let Some((program, args)) = argv.split_first() else { return };
            let mut command = Command::new(program);
            command.args(args).current_dir("/").process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // Where that fails it is tried again for as long as the tree is wanted.
            let _ = command.status();
        });
    }
}

fn wish(ctx: &Ctx, project: &Project, root: &str, ours: Option<Lease>, led: &Led) -> Wish {
    try_wish(ctx, project, root, ours, led).unwrap_or_else(|e| Wish::Other(format!("the store ({e})")))
}

fn try_wish(
    ctx: &Ctx,
    project: &Project,
    root: &str,
    ours: Option<Lease>,
    led: &Led,
) -> Result<Wish, StoreError> {
    let Some(name) = tree_name(root) else { return Ok(Wish::Other("nobody".to_owned())) };
    let reader = crate::query::reader(ctx.projects.paths(), &project.dir)?;
    let there = reader.lease(&name)?;
    if ours.is_some_and(|ours| there.is_some_and(|t| t.owner.is_some() && t.epoch == ours.epoch)) {
        return Ok(Wish::Ours);
    }
    if let Some(turn) = turn_elsewhere(&reader, project, root, led)? {
        return Ok(turn);
    }
    let lease = match ctx.projects.lease(project, name, now()) {
        Ok(lease) => lease,
        Err(LeaseError::Held(held)) => {
            return Ok(Wish::Other(format!("another engine ({})", held.owner.address)));
        }
        Err(LeaseError::Store(e)) => return Err(e),
        Err(e) => return Ok(Wish::Other(e.to_string())),
    };
    // Once more: until now its holder could take the turn. From now on nobody can, since that rests on this lease.
    match turn_elsewhere(&reader, project, root, led) {
        Ok(None) => Ok(Wish::Got(lease)),
        elsewhere => {
            give_back(project, lease);
            elsewhere.map(|turn| turn.unwrap_or(Wish::Other(String::new())))
        }
    }
}

/// A run that has the turn in a tree and that this engine does not lead.
fn turn_elsewhere(
    reader: &SqliteReader,
    project: &Project,
    root: &str,
    led: &Led,
) -> Result<Option<Wish>, StoreError> {
    for listed in reader.list(ListFilter { unfinished: true, newest: None })? {
        let run = listed.run;
        let lease = reader.lease(&LeaseName::Run(run))?;
        if led.get(&run).is_some_and(|epoch| lease.as_ref().is_some_and(|l| l.epoch == *epoch)) {
            continue;
        }
        let has_turn = match load_run(reader, run) {
            Ok(state) => state.holds_turn() && state.spec.tree.root == root,
            Err(OpenError::NoRun(_)) => false,
            // What it holds cannot be read, and whether something of it is at work can.
            Err(_) => has_live_worker(project, run),
        };
        if has_turn {
            let is_led = lease.and_then(|l| l.owner).is_some_and(|owner| reader.is_alive(&owner.id));
            return Ok(Some(Wish::Turn { run, is_led }));
        }
    }
    Ok(None)
}

/// Whether a shim of a run is alive, as far as its files tell. A file that cannot be read is not one of a dead shim.
fn has_live_worker(project: &Project, run: RunId) -> bool {
    let folder = project.run_dir(run).0.join("attempts");
    let Ok(files) = std::fs::read_dir(&folder) else { return false };
    let spools = files.flatten().filter(|f| !f.file_name().to_string_lossy().ends_with("@tree"));
    spools.into_iter().any(|spool| {
        !matches!(probe(&spool.path()), Ok(Probe::Ended { .. } | Probe::Dead { .. } | Probe::NoClaim))
    })
}

fn give_back(project: &Project, lease: Lease) {
    project.post(move |store| {
        // Ours to give back or gone already.
        let _ = store.release(&lease);
    });
}

/// The name of a tree's lease: a hash of its root, since a path may hold anything.
fn tree_name(root: &str) -> Option<LeaseName> {
    TreeId::parse(&blake3::hash(root.as_bytes()).to_hex().as_str()[..32]).map(LeaseName::Tree)
}
