//! One try of a gate: `sh -c` under a shim of its own, in the task's tree, without any provider's key.

use crate::driver::attempt::{Order, sweep_dead};
use crate::driver::context::{Ctx, Home, Key, Msg};
use crate::driver::follow::{ended_by_loss, worker_end};
use crate::driver::link::Link;
use crate::driver::{launch, trees};
use crate::machine::In;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use windlass_agents::Stopped;
use windlass_core::Input;
use windlass_events::Outcome;
use windlass_events::event::{GateEnd, GateKey};
use windlass_worker::control::{FromShim, StopReason, ToShim};
use windlass_worker::spool::FrameKind;
use windlass_worker::{EndRecord, Limits, Probe, ShimSpec, SpoolReader, StdinPlan, StopPlan, probe};

/// The end of a gate's output that is kept in the journal, in bytes.
const TAIL: usize = 8_000;
/// The most output that is kept of one try, in bytes.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// Carries a try of a gate to its recorded end.
pub(crate) async fn run(
    ctx: Arc<Ctx>,
    home: Arc<Home>,
    key: GateKey,
    recovering: bool,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let ended = carry(&ctx, &home, &key, recovering, &mut orders).await;
    ctx.tell(Msg::Gone(Key::gate(home.run, &key)));
    let input = match ended {
        Some(end) => Input::GateEnded { key, end: Box::new(end) },
        None => Input::GateLost { key },
    };
    ctx.tell(Msg::In(In::Run(home.run, input)));
}

async fn carry(
    ctx: &Arc<Ctx>,
    home: &Arc<Home>,
    key: &GateKey,
    recovering: bool,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<GateEnd> {
    let spool = home.dir.gate_spool(key);
    let tree_file = {
        let mut name = spool.clone().into_os_string();
        name.push("@tree");
        std::path::PathBuf::from(name)
    };
    let mut link = None;
    if recovering {
        match probe(&spool) {
            Ok(Probe::Ended { .. }) => {}
            Ok(Probe::Alive { claim }) => link = Link::connect(&claim.socket).ok(),
            Ok(Probe::Dead { claim }) => {
                let keep = ctx.options.keep.clone();
                let file = spool.clone();
                // A gate that was lost is run again; what it left is ended first.
                let _ = tokio::task::spawn_blocking(move || sweep_dead(&file, &claim.marker, &keep)).await;
                return None;
            }
            // A shim that a dying engine asked for may still come: once voided, it refuses.
            Ok(Probe::NoClaim) => match windlass_worker::spool::void(&spool, &attempt_key(home, key)) {
                Ok(false) => {}
                Ok(true) | Err(_) => return None,
            },
            Err(_) => return None,
        }
    } else {
        let before = identity(ctx, home).await;
        if let Some(Ok(tree)) = &before {
            let _ = crate::files::write(&tree_file, tree.as_bytes());
        }
        let spec = spec(ctx, home, key, &spool)?;
        let stream = ctx.spawn(&spec, &home.secret_values(false)).ok();
        link = stream.and_then(|s| Link::new(s).ok());
        if link.is_none() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let mut asked_to_stop = false;
    if let Some(link) = &mut link {
        loop {
            tokio::select! {
                message = link.next() => match message {
                    Some(FromShim::Ended { .. } | FromShim::Refused { .. }) | None => break,
                    Some(_) => {}
                },
                order = orders.recv() => match order {
                    Some(Order::Stop) => {
                        asked_to_stop = true;
                        link.send(&ToShim::Stop { reason: StopReason::Cancel }).await;
                    }
                    Some(Order::Steer { .. }) => {}
                    None => std::future::pending().await,
                },
            }
        }
    }
    // The lock tells when it is over, whatever became of the connection.
    loop {
        match probe(&spool) {
            Ok(Probe::Ended { end, .. }) if end.stopped_by == Some(windlass_worker::StoppedBy::Voided) => {
                return None;
            }
            Ok(Probe::Ended { end, .. }) if ended_by_loss(&end, asked_to_stop) => return None,
            Ok(Probe::Ended { end, .. }) => {
                let before = std::fs::read_to_string(&tree_file).ok();
                let after = identity(ctx, home).await.and_then(Result::ok);
                return Some(conclude(home, &spool, &end, before, after));
            }
            Ok(Probe::Alive { claim }) => {
                if matches!(orders.try_recv(), Ok(Order::Stop)) {
                    asked_to_stop = true;
                    // Its own signal makes a shim end its worker as a message would.
                    let _ = claim.shim.signal(windlass_agents::adapter::SIGTERM);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(Probe::Dead { claim }) => {
                let keep = ctx.options.keep.clone();
                let file = spool.clone();
                // A gate that was lost is run again; what it left is ended first.
                let _ = tokio::task::spawn_blocking(move || sweep_dead(&file, &claim.marker, &keep)).await;
                return None;
            }
            Ok(Probe::NoClaim) | Err(_) => return None,
        }
    }
}

async fn identity(ctx: &Arc<Ctx>, home: &Arc<Home>) -> Option<Result<String, String>> {
    let (ctx, home) = (ctx.clone(), home.clone());
    tokio::task::spawn_blocking(move || trees::identity(&ctx, &home)).await.ok().flatten()
}

fn attempt_key(home: &Home, key: &GateKey) -> windlass_worker::AttemptKey {
    windlass_worker::AttemptKey {
        run: home.run.to_string(),
        task: format!("{}@gate{}", key.task.as_ref().map_or("baseline", |t| t.as_str()), key.gate + 1),
        n: key.n,
    }
}

fn spec(ctx: &Ctx, home: &Home, key: &GateKey, spool: &Path) -> Option<ShimSpec> {
    let gate = home.spec.gates.get(key.gate as usize)?;
    let env = home
        .env()
        .iter()
        .filter(|(name, _)| !name.to_str().is_some_and(windlass_redact::env::is_provider_key))
        .cloned()
        .chain([("WINDLASS_RUN".into(), home.run.to_string().into())])
        .collect();
    Some(ShimSpec {
        key: attempt_key(home, key),
        spool: spool.to_owned(),
        socket: ctx.projects.paths().shim_socket(home.run, &crate::paths::gate_name(key)),
        marker: launch::marker(),
        program: "sh".into(),
        args: vec!["-c".into(), gate.command.clone().into()],
        cwd: home.spec.tree.root.clone().into(),
        env,
        umask: None,
        stdin: StdinPlan::Null,
        limits: Limits {
            silence_ms: None,
            wall_ms: (gate.limit_ms > 0).then_some(gate.limit_ms),
            output_bytes: Some(OUTPUT_LIMIT),
        },
        stop: StopPlan::default(),
        drops: Vec::new(),
        settled_on: Vec::new(),
        keep: ctx.options.keep.clone(),
        tied: ctx.options.tied,
        revive: ctx.revive(),
    })
}

fn conclude(
    home: &Home,
    spool: &Path,
    end: &EndRecord,
    before: Option<String>,
    after: Option<String>,
) -> GateEnd {
    let facts = worker_end(end);
    let outcome = match (&facts.stopped, facts.exit, facts.signal) {
        (Some(Stopped::Cancel | Stopped::AfterEnd | Stopped::Tied), ..) => Outcome::Cancelled,
        (Some(Stopped::Silence), ..) => Outcome::Silence,
        (Some(Stopped::Wall), ..) => Outcome::WallClock,
        (Some(Stopped::OutputLimit), ..) => Outcome::OutputLimit,
        (Some(Stopped::CannotStart(_)), ..) => Outcome::CannotStart,
        (None, Some(0), _) => Outcome::Clean,
        (None, Some(code), _) => Outcome::Exit(code),
        (None, None, Some(signal)) => Outcome::Signal(signal),
        (None, None, None) => Outcome::CannotStart,
    };
    let path = spool.strip_prefix(&home.dir.0).unwrap_or(spool).to_string_lossy().into_owned();
    GateEnd { outcome, ms: end.ran_ms, tree_before: before, tree_after: after, tail: tail(spool), path }
}

/// The end of what a worker wrote, both streams in the order of their arrival.
pub(crate) fn tail(spool: &Path) -> String {
    let mut all: Vec<u8> = Vec::new();
    if let Ok(mut reader) = SpoolReader::open(spool) {
        while let Ok(Some(frame)) = reader.next_frame() {
            if matches!(frame.kind, FrameKind::Stdout | FrameKind::Stderr) {
                all.extend_from_slice(frame.data);
                if all.len() > 4 * TAIL {
                    all.drain(..all.len() - TAIL);
                }
            }
        }
    }
    let cut = all.len().saturating_sub(TAIL);
    let text = String::from_utf8_lossy(&all[cut..]).into_owned();
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    match text.split_once('\n') {
        Some((_, rest)) if cut > 0 => rest.to_owned(),
        _ => text,
    }
}
