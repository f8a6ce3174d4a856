//! What workers are told, put together from typed parts. Pure: the same parts give the same bytes.
//!
//! This crate must never read a file, and never expand text that came from outside: nothing here is a template, and a text
//! that contains `{goal}` or a closing fence stays the text that it is. Material from files, tools, issues and other agents is data:
//! it is fenced with a fence longer than any inside it, labelled, and its control characters are written out.
//!
//! Sizes are in bytes. Material is held to [`Budget`]: each piece to its own limit, all together to a total that is shared
//! fairly; what is cut keeps its beginning and end, says so outside its fence, and names the file that has all of it.
//!
//! Map: [`worker`] the prompt of a task · [`follow_up`] what a worker is told later: a red gate, a lost process · [`fill`] the goal in a step's
//! words · [`budget`] who gets how much room · [`fence`] making text safe to quote.

pub mod budget;
pub mod fence;
pub mod fill;
pub mod follow_up;
pub mod worker;

pub use budget::Budget;
pub use fill::fill_goal;
pub use follow_up::{
    LostAttempt, RedGate, appended, continuation, otherwise, plan_refused, plan_rules, repair, replan,
};
pub use worker::{Cold, DepOutput, GateRecord, Note, Rendered, Skill, WorkerPrompt, system_prompt};

/// A text from outside: a result, a file, a diff.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// The text, or as much of it as the caller has read.
    pub text: String,
    /// Size of the whole text in bytes; more than `text` when the caller did not read all of it.
    pub whole_bytes: u64,
    /// Where all of it is; empty when it is nowhere.
    pub path: String,
}

impl Material {
    /// A whole text.
    pub fn whole(text: impl Into<String>, path: impl Into<String>) -> Self {
        let text = text.into();
        Self { whole_bytes: text.len() as u64, text, path: path.into() }
    }
}
