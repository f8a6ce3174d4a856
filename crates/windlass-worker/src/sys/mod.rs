//! Everything that is unsafe, and everything that only Linux has.

#[cfg(not(target_os = "linux"))]
compile_error!("windlass-worker has only a Linux implementation; other systems need their own `sys`");

#[allow(unsafe_code, reason = "forking and starting programs is not possible without")]
mod linux;
pub(crate) mod procfs;

pub(crate) use linux::{
    ChildPlan, Forked, StartError, Wait, close_on_exec_from, exit_now, fork, keep_only, nursery_signals,
    signal_fd, start_child, wait_any,
};

/// Milliseconds of a clock that never goes back and stands still while the machine sleeps.
pub(crate) fn monotonic_ms() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    t.tv_sec * 1_000 + t.tv_nsec / 1_000_000
}
