//! Folding gates: their tries, and what a person says of red ones.

use super::{Illegal, push_few, state};
use crate::run::{Baseline, Holder, Run};
use crate::task::{GateTry, Phase};
use windlass_events::event::GateKey;
use windlass_events::spec::RedGate;

impl Run {
    pub(super) fn gate_started(&mut self, key: &GateKey) -> Result<(), Illegal> {
        if key.gate as usize >= self.spec.gates.len() {
            return Err(state("gate.started", "the run has no such gate"));
        }
        let now = self.updated_at;
        let entry =
            |attempt| GateTry { gate: key.gate, n: key.n, attempt, started_at: now, end: None, lost: false };
        let Some(id) = &key.task else {
            let tried = self.baseline_tries.iter().filter(|t| t.gate == key.gate).count();
            if self.baseline != Baseline::Open || self.baseline_live || self.turn != Some(Holder::Baseline) {
                return Err(state("gate.started", "the baseline does not wait for it"));
            }
            if key.n as usize != tried + 1 {
                return Err(state("gate.started", "not the next try"));
            }
            self.baseline_tries.push(entry(0));
            self.baseline_live = true;
            self.has_tree();
            return Ok(());
        };
        let at = self.known(id)?;
        if self.turn != Some(Holder::Task(at)) {
            return Err(state("gate.started", "gates hold the tree's turn, and the task does not"));
        }
        let task = self.task_mut(at)?;
        let Phase::Closing(attempt) = task.phase else {
            return Err(state("gate.started", format!("task {id} does not wait for it")));
        };
        let tried = task.gates.iter().filter(|t| t.gate == key.gate).count();
        if key.n as usize != tried + 1 || !task.spec.gates.contains(&key.gate) {
            return Err(state("gate.started", "not the next try of a gate of the task"));
        }
        push_few(&mut task.gates, entry(attempt));
        self.has_tree();
        self.enter(at, Phase::Gate { attempt, gate: key.gate, n: key.n });
        Ok(())
    }

    pub(super) fn gate_over(
        &mut self,
        key: &GateKey,
        end: Option<&windlass_events::event::GateEnd>,
    ) -> Result<(), Illegal> {
        let set = |tries: &mut Vec<GateTry>| -> Result<(), Illegal> {
            let live =
                tries.last_mut().filter(|t| t.gate == key.gate && t.n == key.n && t.end.is_none() && !t.lost);
            let live = live.ok_or_else(|| state("gate.ended", "the gate is not live"))?;
            live.end = end.cloned();
            live.lost = end.is_none();
            Ok(())
        };
        let Some(id) = &key.task else {
            if !self.baseline_live {
                return Err(state("gate.ended", "the gate is not live"));
            }
            set(&mut self.baseline_tries)?;
            self.baseline_live = false;
            return Ok(());
        };
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        let Phase::Gate { attempt, gate, n } = task.phase else {
            return Err(state("gate.ended", "the gate is not live"));
        };
        if (gate, n) != (key.gate, key.n) {
            return Err(state("gate.ended", "the gate is not live"));
        }
        set(&mut task.gates)?;
        self.settle(at, attempt);
        Ok(())
    }

    pub(super) fn settle_gates(&mut self, gates: &[u32], answer: RedGate) -> Result<(), Illegal> {
        if self.baseline == Baseline::Done || self.baseline_live {
            return Err(state("gates.settled", "the baseline does not wait for it"));
        }
        self.red_answer = Some(answer);
        match answer {
            RedGate::LeaveOut => self.left_out.extend(gates),
            RedGate::Stop => self.cancel = true,
            RedGate::Mend | RedGate::Ask => {}
        }
        self.baseline = Baseline::Done;
        if self.turn == Some(Holder::Baseline) {
            self.turn = None;
        }
        if self.waiting.as_ref().is_some_and(|w| w.0 == windlass_events::event::WaitFor::Answer) {
            self.waiting = None;
        }
        Ok(())
    }
}
