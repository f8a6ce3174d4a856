//! Whatever a worker starts is gone with it.

use crate::Test;
use crate::support::{Context, bytes_of, eventually, kill, kinds, marked};
use rustix::process::Signal;
use windlass_worker::control::{StopReason, ToShim};
use windlass_worker::record::{AgentExit, StoppedBy};
use windlass_worker::spool::FrameKind;
use windlass_worker::{Probe, probe, sweep_marked};

pub const TESTS: &[Test] = &[
    ("a_stubborn_tree_is_gone", a_stubborn_tree_is_gone),
    ("a_grandchild_that_holds_stdout", a_grandchild_that_holds_stdout),
    ("late_words_of_a_grandchild_are_kept", late_words_of_a_grandchild_are_kept),
    ("a_forking_tree_is_gone", a_forking_tree_is_gone),
    ("kept_programs_stay_and_are_named", kept_programs_stay_and_are_named),
    ("an_agent_that_closes_its_output_goes_on", an_agent_that_closes_its_output_goes_on),
    ("a_killed_shim", a_killed_shim),
    ("a_killed_shim_with_hidden_children", a_killed_shim_with_hidden_children),
    ("shims_killed_at_any_moment", shims_killed_at_any_moment),
];

/// Ignores SIGTERM, and so does everything it starts: a child, a grandchild, one in a session of its own, one forked twice.
const STUBBORN: &str = "trap '' TERM INT HUP
    (trap '' TERM; (trap '' TERM; sleep 1000; :) & sleep 1000; :) &
    setsid sh -c \"trap '' TERM HUP; echo session; sleep 1000; :\" &
    (setsid sh -c \"trap '' TERM; (sleep 1000; :) & exec sleep 1000\" &)
    sleep 0.1; echo ready
    while :; do sleep 1; done";

fn a_stubborn_tree_is_gone(c: &Context<'_>) {
    let spec = c.script(STUBBORN);
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("ready");
    assert!(marked(&spec.marker).len() >= 6);
    attempt.send(&ToShim::Stop { reason: StopReason::Cancel });
    let end = attempt.end();
    assert!(marked(&spec.marker).is_empty());
    assert_eq!(end.stopped_by, Some(StoppedBy::Cancel));
    assert_eq!(end.exit, Some(AgentExit::Signal(9)));
    assert!(end.killed && end.sweep.killed >= 5 && end.sweep.left.is_empty(), "{end:?}");
    let kinds = kinds(&attempt.frames());
    let at = |kind| kinds.iter().position(|k| *k == kind).unwrap();
    assert!(at(FrameKind::AgentExit) < at(FrameKind::Swept) && at(FrameKind::Swept) < at(FrameKind::End));
}

fn a_grandchild_that_holds_stdout(c: &Context<'_>) {
    let spec = c.script("setsid sleep 1000 & echo done; exit 0");
    let (end, frames) = c.run(&spec);
    assert_eq!(end.exit, Some(AgentExit::Code(0)));
    assert!(end.is_clean_exit() && end.pipes_forced, "{end:?}");
    assert_eq!((end.sweep.killed, end.sweep.killed_names.as_slice()), (1, &["sleep".to_owned()][..]));
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"done\n");
    assert!(marked(&spec.marker).is_empty());
}

fn late_words_of_a_grandchild_are_kept(c: &Context<'_>) {
    let (end, frames) = c.run(&c.script("(sleep 0.1; echo late) & echo early"));
    assert!(end.is_clean_exit() && !end.pipes_forced, "{end:?}");
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"early\nlate\n");
}

fn a_forking_tree_is_gone(c: &Context<'_>) {
    // Each process replaces itself again and again, so that a single look at the tree is always out of date.
    let spec = c.script(
        "hop() { trap '' TERM; setsid sh -c \"$SELF\" & exit 0; }
         for i in 1 2 3 4; do sh -c \"$SELF\" & done; echo ready; sleep 1000",
    );
    let mut spec = spec;
    spec.env.push(("SELF".into(), "sleep 0.01; (sh -c \"$SELF\" &) ; exit 0".into()));
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("ready");
    attempt.send(&ToShim::Stop { reason: StopReason::Cancel });
    let end = attempt.end();
    assert!(end.sweep.left.is_empty(), "{end:?}");
    assert!(marked(&spec.marker).is_empty());
}

fn kept_programs_stay_and_are_named(c: &Context<'_>) {
    std::fs::copy("/bin/sleep", c.path("build-server")).unwrap();
    let mut spec = c.script("(setsid $DIR/build-server 1000 >/dev/null 2>&1 &); sleep 1000 & exit 0");
    spec.keep = vec!["build-server".into()];
    let (end, _) = c.run(&spec);
    assert_eq!(end.sweep.kept.len(), 1, "{end:?}");
    assert_eq!(end.sweep.kept[0].name, "build-server");
    assert_eq!(end.sweep.killed, 1);
    let left = marked(&spec.marker);
    assert_eq!(left, [end.sweep.kept[0].process.pid]);
    assert!(end.sweep.kept[0].process.signal(9).unwrap());
}

fn an_agent_that_closes_its_output_goes_on(c: &Context<'_>) {
    let (end, _) = c.run(&c.script("exec >&- 2>&-; sleep 0.2; touch $DIR/done; exit 4"));
    assert_eq!(end.exit, Some(AgentExit::Code(4)));
    assert!(c.path("done").exists());
}

fn a_killed_shim(c: &Context<'_>) {
    let spec = c.script(STUBBORN);
    let mut attempt = c.start(&spec);
    let claim = attempt.claim();
    attempt.wait_for_output("ready");
    let agent = attempt.started();
    assert!(agent.agent.is_alive());
    kill(claim.shim.pid, Signal::KILL);
    while attempt.message().is_some() {}
    eventually("the agent dies with its shim", || !agent.agent.is_alive());
    eventually("its lock is free", || probe(&spec.spool).unwrap() == Probe::Dead { claim: claim.clone() });
    assert!(!marked(&spec.marker).is_empty(), "its descendants do not");
    let report = sweep_marked(&claim.marker, Some(agent.agent), &[]).unwrap();
    assert!(report.killed.len() >= 4 && report.left.is_empty(), "{report:?}");
    assert!(marked(&spec.marker).is_empty());
    assert_eq!(sweep_marked(&claim.marker, Some(agent.agent), &[]).unwrap().killed, []);
    // The nursery reaps what it inherited, and the shim.
    eventually("nothing is left to be reaped", || {
        !std::path::Path::new(&format!("/proc/{}", claim.shim.pid)).exists()
    });
    let mut again = c.start(&spec);
    assert!(matches!(again.message(), Some(windlass_worker::control::FromShim::Refused { .. })));
}

/// Children without the marker are found below one that has it, or in the agent's session.
fn a_killed_shim_with_hidden_children(c: &Context<'_>) {
    let spec = c.script(
        "env -i /bin/sleep 1001 & setsid sh -c 'env -i /bin/sh -c \"setsid sleep 1002; :\"; :' & sleep 0.1; echo ready; wait",
    );
    let mut attempt = c.start(&spec);
    let claim = attempt.claim();
    attempt.wait_for_output("ready");
    let agent = attempt.started();
    kill(claim.shim.pid, Signal::KILL);
    while attempt.message().is_some() {}
    let report = sweep_marked(&claim.marker, Some(agent.agent), &[]).unwrap();
    let mut names: Vec<_> = report.killed.iter().map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names.iter().filter(|n| **n == "sleep").count(), 2, "{names:?}");
    assert!(report.left.is_empty());
}

/// Whenever a shim is killed: its file tells the truth, its agent was started at most once, and nothing of it stays.
fn shims_killed_at_any_moment(c: &Context<'_>) {
    let (mut dead, mut ended) = (0, 0);
    for i in 0..60u64 {
        let mut spec =
            c.script(&format!("echo x >> $DIR/starts-{i}; (setsid sleep 1000 &); sleep 0.005; echo done"));
        spec.spool = c.path(&format!("{i}"));
        spec.marker = format!("{}-{i}", spec.marker);
        let mut attempt = c.start(&spec);
        let shim = attempt.claim().shim;
        // From at once to long after its end.
        std::thread::sleep(std::time::Duration::from_micros(i * i * 12));
        shim.signal(9).unwrap();
        while attempt.message().is_some() {}
        eventually("its lock is free", || !matches!(probe(&spec.spool).unwrap(), Probe::Alive { .. }));
        match probe(&spec.spool).unwrap() {
            Probe::Ended { end, .. } => {
                ended += 1;
                assert!(end.sweep.left.is_empty());
            }
            Probe::Dead { claim } => {
                dead += 1;
                assert!(sweep_marked(&claim.marker, None, &[]).unwrap().left.is_empty());
            }
            other => panic!("{other:?}"),
        }
        assert!(marked(&spec.marker).is_empty());
        let starts = std::fs::read_to_string(c.path(&format!("starts-{i}"))).unwrap_or_default();
        assert!(starts.lines().count() <= 1);
    }
    assert!(dead > 0, "{dead} dead, {ended} ended");
}
