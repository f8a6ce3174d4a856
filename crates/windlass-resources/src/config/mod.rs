//! Configuration: TOML in layers, the origin of every value kept.
//!
//! Defaults, then the user's file, then the project's, then the environment, then flags; the later wins. What a project's file may
//! set is said by each key's [`keys::Sensitivity`] and by what the user trusts. Limits it can only tighten, trusted or not.
//!
//! - [`keys`]: the one table; [`value`]: values; [`load`]: layers; [`edit`]: changing a file; [`mod@reference`]: the page and the schema made from the table

pub mod edit;
pub mod keys;
pub mod load;
pub mod reference;
pub mod value;

pub use load::{ConfigFile, Flag, Origin, Setting, Sources};
pub use value::Value;

use crate::agent::Agent;
use crate::catalog::Catalog;
use crate::diag::Diagnostic;
use std::collections::BTreeMap;
use windlass_events::spec::{Caps, GateSource, GateSpec, RuntimeKind};

/// Every setting in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    settings: BTreeMap<String, Setting>,
}

impl Config {
    /// The setting of a key by its dotted name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        let parts = keys::parts(name);
        self.settings.get(&keys::join(&parts.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// Every setting that has a value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.settings.get(name).map(|s| &s.value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Flag(true)))
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Number(n) | Value::Money(n) | Value::Duration(n)) => *n,
            _ => None,
        }
    }

    fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// `run.team`, unless it is `auto`.
    pub fn team(&self) -> Option<&str> {
        self.text("run.team").filter(|t| *t != "auto")
    }

    /// `run.model`.
    pub fn model(&self) -> Option<&str> {
        self.text("run.model")
    }

    /// `run.runtime`.
    pub fn runtime(&self) -> RuntimeKind {
        self.text("run.runtime").and_then(RuntimeKind::parse).unwrap_or(RuntimeKind::Pi)
    }

    /// `run.budget_usd`, `run.budget_tokens`, `run.timeout`. `None` in it is "none", said by somebody.
    ///
    /// The default of `run.budget_tokens` only stands in where money cannot be counted; one that somebody set holds for all tokens.
    pub fn caps(&self) -> Caps {
        let tokens = self.number("run.budget_tokens");
        let set = self.settings.get("run.budget_tokens").is_some_and(|s| s.origin != Origin::Default);
        Caps {
            microusd: self.number("run.budget_usd"),
            tokens: tokens.filter(|_| set),
            unpriced_tokens: tokens,
            wall_ms: self.number("run.timeout"),
        }
    }

    /// `run.repair_rounds`.
    pub fn repair_rounds(&self) -> u32 {
        self.number("run.repair_rounds").and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    /// `run.concurrency` as the user set it: exactly that many workers, whatever files ask for.
    pub fn concurrency(&self) -> Option<u32> {
        self.workers().filter(|(_, by_project)| !by_project).map(|(n, _)| n)
    }

    /// `run.concurrency` as the project set it: at most that many workers.
    pub fn max_concurrency(&self) -> Option<u32> {
        self.workers().filter(|(_, by_project)| *by_project).map(|(n, _)| n)
    }

    fn workers(&self) -> Option<(u32, bool)> {
        let setting = self.settings.get("run.concurrency")?;
        let n = self.number("run.concurrency").and_then(|n| u32::try_from(n).ok())?;
        Some((n, matches!(setting.origin, Origin::Project(_))))
    }

    /// `run.require_proof`.
    pub fn require_proof(&self) -> bool {
        self.flag("run.require_proof")
    }

    /// `run.approve_plan`.
    pub fn approve_plan(&self) -> bool {
        self.flag("run.approve_plan")
    }

    /// `run.gate_timeout` in milliseconds; 0 is none.
    pub fn gate_limit_ms(&self) -> u64 {
        self.number("run.gate_timeout").unwrap_or(0)
    }

    /// `run.gates`.
    pub fn gates(&self) -> &[String] {
        self.list("run.gates")
    }

    /// Whether gates are looked for where none are set.
    pub fn detect_gates(&self) -> bool {
        self.flag("run.detect_gates")
    }

    /// The project's gates: those of `run.gates`, else those that were `found` (pass none where they are not trusted).
    pub fn project_gates(&self, found: &[crate::gates::Detected]) -> Vec<GateSpec> {
        let limit_ms = self.gate_limit_ms();
        let set = self.gates();
        if !set.is_empty() {
            return set
                .iter()
                .map(|c| GateSpec { command: c.clone(), source: GateSource::Config, limit_ms })
                .collect();
        }
        if !self.detect_gates() {
            return Vec::new();
        }
        found.iter().map(|d| GateSpec { limit_ms, ..d.gate() }).collect()
    }

    /// `machine.concurrency`, or the number of cores, at least 4 and at most 8.
    pub fn machine_concurrency(&self, cores: usize) -> u32 {
        let by_cores = u32::try_from(cores).unwrap_or(u32::MAX).clamp(4, 8);
        self.number("machine.concurrency").and_then(|n| u32::try_from(n).ok()).unwrap_or(by_cores)
    }

    /// `restart.resume`.
    pub fn resume_after_restart(&self) -> bool {
        self.flag("restart.resume")
    }

    /// `daemon.idle` in milliseconds; `None` is for ever.
    pub fn idle_ms(&self) -> Option<u64> {
        self.number("daemon.idle")
    }

    /// The program of a runtime and its first arguments, when config or environment name one.
    pub fn command(&self, runtime: RuntimeKind) -> Option<&[String]> {
        Some(self.list(&format!("runtimes.{runtime}.command"))).filter(|c| !c.is_empty())
    }

    /// `worker.keep`.
    pub fn keep(&self) -> &[String] {
        self.list("worker.keep")
    }

    /// `ui.color`: `auto`, `always` or `never`.
    pub fn color(&self) -> &str {
        self.text("ui.color").unwrap_or("auto")
    }

    /// Applies `agents.disable_builtins` and `agents.overrides` to a catalog.
    ///
    /// Gives a finding for each override of an agent that does not exist.
    pub fn apply_to(&self, catalog: &mut Catalog) -> Vec<Diagnostic> {
        if self.flag("agents.disable_builtins") {
            catalog.disable_builtin_agents();
        }
        let mut findings = Vec::new();
        for (name, setting) in &self.settings {
            let parts = keys::parts(name);
            let [section, overrides, agent, what] = parts.as_slice() else { continue };
            if section != "agents" || overrides != "overrides" {
                continue;
            }
            let change = |a: &mut Agent| {
                let cleared = |t: &String| (t != "none").then(|| t.clone());
                match (what.as_str(), &setting.value) {
                    ("model", Value::Text(t)) => a.model = cleared(t),
                    ("thinking", Value::Text(t)) => a.thinking = cleared(t),
                    ("disabled", Value::Flag(f)) => a.disabled = *f,
                    _ => {}
                }
            };
            if !catalog.override_agent(agent, change) {
                let known: Vec<&str> = catalog.agents.usable().map(|a| a.name.as_str()).collect();
                findings.push(
                    Diagnostic::warning(
                        "unknown-name",
                        format!("`agents.overrides` names {}, which is no agent", crate::diag::quote(agent)),
                    )
                    .in_file(setting.origin.place())
                    .did_you_mean(agent, known),
                );
            }
        }
        findings
    }
}
