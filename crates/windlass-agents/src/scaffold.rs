//! Renders prompts and starts nothing: to see what a run would ask of its agents without paying for it.

use crate::adapter::{Adapter, Launch, LaunchError, LaunchRequest, prompt_file};
use crate::ending::{Ending, Said, WorkerEnd, conclude};
use crate::event::{Parser, Stream, WorkerEvent};
use windlass_events::{RuntimeKind, Usage};

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub struct Scaffold;

impl Adapter for Scaffold {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Scaffold
    }

    fn launch(&self, request: &LaunchRequest) -> Result<Launch, LaunchError> {
        let result = format!(
            "Nothing was started: the runtime of this task is `scaffold`, which only renders prompts.\n\
             The prompt for `{}` ({} bytes) is in {}\n",
            crate::text::name(&request.agent),
            request.prompt.len(),
            request.prompt_file
        );
        Ok(Launch::Nothing { files: vec![prompt_file(request)], result })
    }

    fn parser(&self, _: Option<&str>, _: Option<&[u8]>) -> Option<Box<dyn Parser>> {
        Some(Box::new(Nothing))
    }
}

/// There is no output; if there is an end all the same, it is told as it is.
struct Nothing;

impl Parser for Nothing {
    fn feed(&mut self, _: Stream, _: &[u8], _: &mut Vec<WorkerEvent>) {}

    fn finish(&mut self, end: &WorkerEnd, _: &mut Vec<WorkerEvent>) -> Ending {
        let said = Said { program: "the scaffold", finished: true, ..Said::default() };
        let (outcome, failure) = conclude(end, &said);
        Ending {
            outcome,
            failure,
            result: None,
            truncated: false,
            usage: Usage::default(),
            session: None,
            model: None,
        }
    }

    fn state(&self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
}
