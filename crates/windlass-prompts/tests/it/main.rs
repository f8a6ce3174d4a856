//! Prompts as workers read them, and what hostile parts can and cannot do to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod bounds;
mod screens;

use windlass_events::{Access, RunId, TaskId};
use windlass_prompts::{Budget, DepOutput, Material, WorkerPrompt};

fn task(id: &str) -> TaskId {
    TaskId::parse(id).unwrap()
}

fn prompt() -> WorkerPrompt {
    WorkerPrompt {
        run: RunId::parse("k7m2qd").unwrap(),
        task: task("03_execute"),
        step: "execute".into(),
        role: "executor".into(),
        system_prompt: "You make changes that are small and right.".into(),
        goal: Material::whole("Make the sum add. Keep {goal} as it is.", "/s/runs/k7m2qd/goal.md"),
        instructions: "Carry out the plan.".into(),
        cwd: "/repo".into(),
        access: Access::Write,
        artifacts: Some("/s/runs/k7m2qd/artifacts/03_execute".into()),
        gates: vec!["cargo test".into()],
        dependencies: vec![dep("02_plan", "1. Change `-` to `+` in src/sum.rs.\n")],
        reads: Vec::new(),
        skills: Vec::new(),
        cold: None,
        notes: Vec::new(),
        budget: Budget::default(),
    }
}

fn dep(id: &str, text: &str) -> DepOutput {
    DepOutput {
        task: task(id),
        role: "planner".into(),
        status: "completed".into(),
        result: Material::whole(text, format!("/s/runs/k7m2qd/results/{id}.md")),
    }
}
