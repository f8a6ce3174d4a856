//! The `pi` coding agent.
//!
//! Facts this adapter rests on, seen with 0.87.1:
//!
//! - RPC mode starts as fast as JSON mode, hears a person while it works and has a real abort, so it is the way whenever
//!   [`LaunchRequest::interactive`] is set. Standard input stays open until `agent_settled`; then it is closed and pi leaves with 0.
//!   Closing it earlier drops the work, also with 0.
//! - JSON mode reads the prompt from standard input (an argument may not exceed 128 kB, is visible to every user, and one
//!   that starts with `@` names a file). It exits 0 even when the model failed.
//! - A system prompt that happens to name a file is read as that file, so it is always passed as a file of ours.
//! - Text that starts with `/` may run a command of an extension or template, so such text is given a line feed first.
//! - The session file is written with the first answer of the model: an attempt that died earlier cannot be continued.
//!   After `kill -9` in a tool pi closes the open call itself ("No result provided") when the session goes on.
//! - `get_state` would print the headers of the user's model, which may hold keys: it is asked in the probe only, whose output is
//!   not kept, never of a worker.
//! - `PI_OFFLINE=1` stops catalogue refresh, version check and downloads of `rg` and `fd`; sign-in and model requests work
//!   as usual.

mod launch;
mod packages;
mod parse;
mod probe;
mod wire;

pub use packages::{Files, Found, MAX_FILE, ProviderExtensions, provider_extensions};

use crate::adapter::{Adapter, Capabilities, Launch, LaunchError, LaunchRequest};
use crate::event::Parser;
use crate::probe::{ProbeAnswer, ProbeError, ProbePlan, ProbeRequest, Probed};
use crate::version::Version;
use windlass_events::RuntimeKind;

/// The version that everything here was tried with.
pub const KNOWN_GOOD: Version = Version(0, 87, 1);
/// The oldest version that is started: the first whose `agent_settled` says that nothing more will happen.
pub const OLDEST: Version = Version(0, 80, 4);
/// The command that mends an old or missing pi.
pub const INSTALL: &str = "npm install -g @earendil-works/pi-coding-agent@0.87.1 (with Node 22.19 or newer: npm picks an old pi under an old Node)";

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub struct Pi;

impl Adapter for Pi {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Pi
    }

    fn program(&self) -> Option<&'static str> {
        Some("pi")
    }

    fn install_hint(&self) -> &'static str {
        INSTALL
    }

    fn probe(&self, request: &ProbeRequest) -> ProbePlan {
        probe::plan(request)
    }

    fn probed(&self, request: &ProbeRequest, answers: &[ProbeAnswer]) -> Result<Probed, ProbeError> {
        probe::read(request, answers)
    }

    fn capabilities(&self, version: &str) -> Capabilities {
        let usable = Version::find(version).is_some_and(|v| v >= OLDEST);
        Capabilities {
            steer: usable,
            continue_session: usable,
            abort: usable,
            stream_text: true,
            reports_usage: true,
            reports_cost: true,
            tool_list: true,
            sandbox: false,
        }
    }

    fn launch(&self, request: &LaunchRequest) -> Result<Launch, LaunchError> {
        launch::launch(request)
    }

    fn parser(&self, session: Option<&str>, state: Option<&[u8]>) -> Option<Box<dyn Parser>> {
        parse::PiParser::new(session, state).map(|p| Box::new(p) as Box<dyn Parser>)
    }

    fn steer(&self, id: &str, text: &str) -> Option<Vec<u8>> {
        Some(launch::command("steer", id, text))
    }

    fn session_recorded(&self, names: &[String], session: &str) -> bool {
        let ending = format!("_{session}.jsonl");
        names.iter().any(|name| name.ends_with(&ending))
    }
}
