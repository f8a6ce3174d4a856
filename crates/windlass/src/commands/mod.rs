//! One module per group of commands. Each function takes what was typed and gives the exit code.

pub(crate) mod act;
pub(crate) mod answer;
pub(crate) mod daemon;
pub(crate) mod demo;
pub(crate) mod look;
pub(crate) mod meta;
pub(crate) mod run;
pub(crate) mod setup;

/// Plays a script in an agent's place: the body of a rehearsal worker.
pub(crate) fn rehearse(script: &std::path::Path) -> u8 {
    let code = windlass_agents::rehearsal::play_process(script, |name| std::env::var(name).ok());
    u8::try_from(code).unwrap_or(1)
}
