//! What is said of a run before it begins.

use windlass_api::response::{PlanDoc, PlannedTask};
use windlass_events::spec::{GateSource, RunSpec};
use windlass_events::{Access, TaskSpec};

pub(super) fn plan_doc(spec: &RunSpec, tasks: &[TaskSpec], worst_case_starts: u64) -> PlanDoc {
    let source = |s: GateSource| match s {
        GateSource::User => "--gate",
        GateSource::Step => "the workflow",
        GateSource::Config => "config",
        GateSource::Detected => "detected",
    };
    let mut caps = Vec::new();
    if let Some(usd) = spec.caps.microusd {
        caps.push(dollars(usd));
    }
    if let Some(tokens) = spec.caps.tokens {
        caps.push(format!("{} tokens", count(tokens)));
    } else if let Some(tokens) = spec.caps.unpriced_tokens {
        caps.push(format!("{} tokens where no price is known", count(tokens)));
    }
    if let Some(ms) = spec.caps.wall_ms {
        caps.push(windlass_resources::duration::show(Some(ms)));
    }
    let mut shape = format!(
        "{}: {} · {}",
        spec.shape.team.as_deref().unwrap_or(&spec.shape.workflow),
        spec.shape.reason,
        starts(tasks)
    );
    if !spec.shape.other.is_empty() {
        shape.push_str(&format!(" · {} for another", spec.shape.other));
    }
    PlanDoc {
        shape,
        tasks: tasks
            .iter()
            .map(|t| {
                let agent = spec.agents.get(&t.agent);
                let program = spec.programs.get(&t.runtime);
                let mut models: Vec<String> = Vec::new();
                models.extend(
                    t.model
                        .clone()
                        .or_else(|| agent.and_then(|a| a.model.clone()))
                        .or_else(|| program.and_then(|p| p.model.clone())),
                );
                models.extend(agent.into_iter().flat_map(|a| a.fallback_models.iter().cloned()));
                PlannedTask {
                    id: t.id.clone(),
                    role: t.role.clone(),
                    agent: t.agent.clone(),
                    runtime: t.runtime.to_string(),
                    models,
                    depends_on: t.depends_on.clone(),
                    attempts: t.attempts,
                    writes: t.access == Access::Write,
                    growth: crate::growth::growth(t),
                }
            })
            .collect(),
        gates: spec.gates.iter().map(|g| format!("{} ({})", g.command, source(g.source))).collect(),
        worst_case_starts,
        caps,
        notices: spec.notices.clone(),
    }
}

/// How many agents are started when all goes well: at most, where some of the tasks are not known yet.
fn starts(tasks: &[TaskSpec]) -> String {
    let own = |t: &&TaskSpec| t.has_worker() && t.runtime.is_model();
    let known = tasks.iter().filter(own).count() as u64;
    let grown = tasks.iter().filter_map(|t| t.flow.grow.as_ref());
    let most: u64 = grown
        .filter(|g| g.templates().iter().any(|t| t.runtime.is_model()))
        .map(|g| u64::from(g.max()))
        .fold(0, u64::saturating_add);
    match (known, most) {
        (0, 0) => "commands only".to_owned(),
        (1, 0) => "1 agent start".to_owned(),
        (n, 0) => format!("{n} agent starts"),
        (n, most) => format!("{n} agent starts and up to {most} more"),
    }
}

/// A cap on tokens: millions and thousands where they are whole, else every digit.
fn count(tokens: u64) -> String {
    match tokens {
        0 => "0".to_owned(),
        n if n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    }
}

/// A cap on money with the digits that were set, two of them at least.
fn dollars(microusd: u64) -> String {
    let mut text = format!("${}.{:06}", microusd / 1_000_000, microusd % 1_000_000);
    let needless = text.bytes().rev().take(4).take_while(|b| *b == b'0').count();
    text.truncate(text.len() - needless);
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_cap_below_a_cent_is_no_cap_of_nothing() {
        let shown = [5_000_000, 5_000, 2_125_000, 1, 0].map(super::dollars);
        assert_eq!(shown, ["$5.00", "$0.005", "$2.125", "$0.000001", "$0.00"]);
        let shown = [10_000_000, 1_500_000, 250_000, 1_001, 0].map(super::count);
        assert_eq!(shown, ["10M", "1500k", "250k", "1001", "0"]);
    }
}
