//! What a role means by its name alone: the default skills and whether it may write.

use crate::agent::Agent;
use crate::workflow::Step;
use windlass_events::spec::Access;

/// The roles that only read, whoever plays them.
const READING: [&str; 7] =
    ["explorer", "analyst", "planner", "critic", "reviewer", "security-reviewer", "verifier"];

/// Default skills of a role.
pub fn default_skills(role: &str) -> &'static [&'static str] {
    match role {
        "explorer" => &["read-only-explorer", "context-artifact-hygiene"],
        "analyst" => &["read-only-explorer", "requirements-to-task-packet"],
        "planner" => &["delegation-patterns", "requirements-to-task-packet"],
        "critic" | "reviewer" => &["read-only-explorer", "multi-perspective-review"],
        "executor" => &["state-mutation-locking", "safe-bash", "verification-before-done"],
        "security-reviewer" => &["secure-agent-orchestration-review", "ownership-session-security"],
        "test-engineer" => &["verification-before-done", "safe-bash"],
        "verifier" => &["verification-before-done", "runtime-state-reader"],
        "writer" => &["context-artifact-hygiene", "verify-evidence"],
        _ => &[],
    }
}

/// What a task may do to the tree.
///
/// An agent's own `writes:` decides first. Otherwise an agent that can write does so, except in a role that only reads by its name. A step can
/// narrow this, never widen it.
pub fn access(role: &str, agent: &Agent, step: &Step) -> Access {
    let writes = agent.writes.unwrap_or_else(|| agent.access() == Access::Write && !READING.contains(&role));
    if writes && step.writes != Some(false) { Access::Write } else { Access::Read }
}
