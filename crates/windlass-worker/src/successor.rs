//! The next engine: started by what outlives the last one, a shim whose worker has ended or the nursery of an engine that died while
//! it had something to do.

use crate::sys::{self, ChildPlan, StartError};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;

/// How many engines in a row died young, for the one that is started. Not set for one that a person starts.
const DEATHS_VARIABLE: &str = "WINDLASS_DEATHS_IN_A_ROW";
/// An engine that has lived for this long, in milliseconds, has not died of what it found at its start.
const YOUNG_MS: u64 = 30_000;
/// So many in a row have a successor each; after one more nothing is started before a person asks for something.
const MOST_DEATHS: u32 = 5;
/// How long is waited after the second death of a row; twice that after the third, and so on. After the first, not at all.
const PAUSE_MS: u64 = 500;

/// How many engines in a row died young before this one.
pub(crate) fn deaths_before() -> u32 {
    std::env::var(DEATHS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// When the successor of an engine is to be started, in milliseconds from its death, and the deaths in a row that it is told of.
/// `None` when starting engines does not help. `before` is what the dead one was told, `lived_ms` how long it lived.
pub(crate) fn plan(before: u32, lived_ms: u64) -> Option<(u64, u32)> {
    if lived_ms >= YOUNG_MS {
        return Some((0, 0));
    }
    let deaths = before.saturating_add(1);
    let pause = before.checked_sub(1).map_or(0, |n| PAUSE_MS << n.min(16));
    (deaths <= MOST_DEATHS).then_some((pause, deaths))
}

/// Starts a program that outlives the caller and has nothing to do with any attempt. Does nothing when there is none to start.
pub(crate) fn start(argv: &[OsString], umask: u32, deaths: u32) -> Result<(), StartError> {
    let Some(program) = argv.first() else { return Ok(()) };
    // Of our own making or from the environment, in which there are no zero bytes.
    let c_string = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let told = std::env::vars_os().filter(|(name, _)| name != DEATHS_VARIABLE);
    let deaths = (deaths > 0).then(|| (DEATHS_VARIABLE.into(), deaths.to_string().into()));
    let env = told.chain(deaths);
    let plan = ChildPlan {
        candidates: vec![c_string(program.as_bytes())],
        argv: argv.iter().map(|a| c_string(a.as_bytes())).collect(),
        env: env.map(|(n, v)| c_string(&[n.as_bytes(), b"=", v.as_bytes()].concat())).collect(),
        cwd: c_string(b"/"),
        stdio: [0, 1, 2],
        umask,
        tied_to_parent: false,
    };
    sys::start_child(&plan).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_now_and_then_costs_no_pause() {
        assert_eq!(plan(0, 10), Some((0, 1)));
        assert_eq!(plan(3, YOUNG_MS), Some((0, 0)));
        assert_eq!(plan(MOST_DEATHS, YOUNG_MS), Some((0, 0)));
    }

    #[test]
    fn engines_that_die_young_are_started_ever_later_and_then_no_more() {
        let mut before = 0;
        let mut pauses = Vec::new();
        while let Some((pause, deaths)) = plan(before, 0) {
            pauses.push(pause);
            before = deaths;
        }
        assert_eq!(pauses, [0, 500, 1_000, 2_000, 4_000]);
    }
}
