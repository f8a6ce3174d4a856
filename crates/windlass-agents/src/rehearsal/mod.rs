//! Plays a script in a model's place: for the demo, for tests, for teaching. No model, no key, no network, no money.
//!
//! A worker of this runtime is a real process under a real shim: the windlass program itself, started with a hidden subcommand
//! and a script file. The script's scenes are chosen by step, role, agent, attempt and words of the prompt, so one file serves a
//! whole team. Whatever it says, it calls its model `rehearsal`.
//!
//! Map: [`script`] the format · [`play`] the player (the body of that process; the only code here that does I/O) · `parse`
//! understanding its output.

mod parse;
mod play;
pub mod script;

pub use play::{Heard, Scene, Sleeper, play, play_process};
pub use script::{Script, ScriptError};

use crate::adapter::{
    Adapter, Capabilities, Launch, LaunchError, LaunchRequest, StartPlan, Stdin, StopPlan, common_env,
    prompt_file,
};
use crate::event::Parser;
use crate::probe::{ModelInfo, ProbeAnswer, ProbeError, ProbeRequest, Probed};
use windlass_events::RuntimeKind;

/// What a rehearsal calls its model.
pub const MODEL: &str = "rehearsal";

/// The adapter. The program of its requests is windlass itself; its arguments are the hidden subcommand and the script file.
#[derive(Debug, Clone, Copy)]
pub struct Rehearsal;

impl Adapter for Rehearsal {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Rehearsal
    }

    fn probed(&self, _: &ProbeRequest, _: &[ProbeAnswer]) -> Result<Probed, ProbeError> {
        // It costs nothing, and that is known.
        let model = ModelInfo { name: MODEL.to_owned(), priced: true, context: 0 };
        Ok(Probed {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model: Some(model.clone()),
            models: vec![model],
            notices: vec!["this is a rehearsal: a script plays the agents, no model is asked".to_owned()],
        })
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        Capabilities { steer: true, stream_text: true, reports_usage: true, ..Capabilities::default() }
    }

    fn launch(&self, request: &LaunchRequest) -> Result<Launch, LaunchError> {
        if request.program.path.is_empty() {
            return Err(LaunchError::NoProgram(RuntimeKind::Rehearsal));
        }
        let mut argv = vec![request.program.path.clone()];
        argv.extend(request.program.args.iter().cloned());
        let mut env = common_env(request);
        for (name, value) in [
            (play::ENV_ROLE, request.role.replace('\0', "")),
            (play::ENV_AGENT, request.agent.replace('\0', "")),
        ] {
            env.push((name.to_owned(), value));
        }
        let mut first =
            serde_json::json!({ "type": "prompt", "text": request.prompt }).to_string().into_bytes();
        first.push(b'\n');
        Ok(Launch::Start(Box::new(StartPlan {
            argv,
            env,
            files: vec![prompt_file(request)],
            stdin: if request.interactive { Stdin::OpenWith(first) } else { Stdin::Bytes(first) },
            close_stdin_on: if request.interactive {
                vec![b"{\"type\":\"end\"".to_vec()]
            } else {
                Vec::new()
            },
            drop_prefixes: vec![b"{\"type\":\"delta\"".to_vec()],
            stop: StopPlan::by_signal(),
            notices: Vec::new(),
        })))
    }

    fn parser(&self, session: Option<&str>, state: Option<&[u8]>) -> Option<Box<dyn Parser>> {
        parse::RehearsalParser::new(session, state).map(|p| Box::new(p) as Box<dyn Parser>)
    }

    fn steer(&self, id: &str, text: &str) -> Option<Vec<u8>> {
        let line = serde_json::json!({ "type": "steer", "id": id, "text": text });
        Some(format!("{line}\n").into_bytes())
    }
}
