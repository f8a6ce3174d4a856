//! From the steps that a file has to those that a run has: sub-workflows are put in place, the best of several becomes two steps,
//! and a fan-out comes after the step whose list it is about.

use super::MAX_INSTRUCTIONS;
use super::graph::Findings;
use crate::catalog::Catalog;
use crate::diag::{Diagnostic, Pos, quote};
use crate::front::Text;
use crate::grow::Growth;
use crate::source::name_problem;
use crate::workflow::{MAX_STEPS, Step, Workflow};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// How deep workflows may stand in each other, the outermost not counted.
pub const MAX_DEPTH: usize = 3;

/// The workflow with every step that a run of it has. Positions are those of the outermost file.
///
/// Without a catalog a sub-workflow is left as one step: what one file alone can tell.
///
/// # Errors
/// Unknown, circular and too deep sub-workflows; lists that no step makes; names that clash.
pub fn expand<'w>(
    workflow: &'w Workflow,
    catalog: Option<&Catalog>,
) -> Result<Cow<'w, Workflow>, Vec<Diagnostic>> {
    if workflow.steps.iter().all(|s| s.grows.is_one()) {
        return Ok(Cow::Borrowed(workflow));
    }
    let mut expansion = Expansion {
        catalog,
        findings: Findings::new(&workflow.source.path),
        steps: 0,
        bytes: 0,
        full: false,
    };
    let steps = expansion.level(workflow, &mut vec![workflow.name.clone()], None);
    let steps = expansion.findings.result(steps)?;
    Ok(Cow::Owned(Workflow { steps, ..workflow.clone() }))
}

struct Expansion<'c, 'p> {
    catalog: Option<&'c Catalog>,
    findings: Findings<'p>,
    /// What has been made so far: files that name each other could ask for any number.
    steps: usize,
    bytes: usize,
    full: bool,
}

impl Expansion<'_, '_> {
    /// The steps of one workflow. `at` is where it is named in the outermost file, where it is not that itself.
    fn level(&mut self, workflow: &Workflow, trail: &mut Vec<String>, at: Option<Pos>) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::with_capacity(workflow.steps.len());
        let mut stands_for: HashMap<String, Vec<String>> = HashMap::new();
        for step in &workflow.steps {
            if self.full {
                break;
            }
            let mut step = step.clone();
            if let Some(at) = at {
                place(&mut step, at);
            }
            step.about_changes |= at.is_some() && workflow.about_changes;
            match step.grows.clone() {
                Growth::Workflow(name) if self.catalog.is_some() => {
                    let inner = self.inner(&step, &name, trail);
                    let ends = ends(&inner).into_iter().map(|n| inner[n].id.clone()).collect();
                    stands_for.insert(step.id.clone(), ends);
                    steps.extend(inner);
                }
                Growth::BestOf { n, judge } => {
                    let [tries, judge] = best_of(step, n, judge);
                    self.count(&tries);
                    self.count(&judge);
                    steps.push(tries);
                    steps.push(judge);
                }
                _ => {
                    self.count(&step);
                    steps.push(step);
                }
            }
        }
        self.rename(&mut steps, &stands_for);
        self.lists(&mut steps);
        steps
    }

    fn count(&mut self, step: &Step) {
        self.steps += 1;
        self.bytes = self.bytes.saturating_add(step.task.len());
        if (self.steps > MAX_STEPS || self.bytes > MAX_INSTRUCTIONS) && !self.full {
            self.full = true;
            self.findings.add(|| {
                Diagnostic::error("too-many-steps", "with the workflows that it names, it is too large")
                    .at(step.pos)
                    .help(format!("a run has at most {MAX_STEPS} steps and 64 MB of instructions"))
            });
        }
    }

    /// The steps of the workflow that stands in the place of `step`, with the step's name before theirs.
    fn inner(&mut self, step: &Step, name: &Text, trail: &mut Vec<String>) -> Vec<Step> {
        let wrong = |code, message: String| Diagnostic::error(code, message).at(name.pos);
        if trail.iter().any(|t| t == name.as_str()) {
            let path: Vec<String> = trail.iter().chain([&name.text]).map(|t| quote(t)).collect();
            self.findings.add(|| {
                wrong(
                    "workflow-cycle",
                    format!("workflows stand in each other in a circle: {}", path.join(" → ")),
                )
            });
            return Vec::new();
        }
        if trail.len() > MAX_DEPTH {
            self.findings.add(|| {
                wrong(
                    "too-deep",
                    format!("{} stands more than {MAX_DEPTH} workflows deep", quote(name.as_str())),
                )
            });
            return Vec::new();
        }
        let Some(catalog) = self.catalog else { return Vec::new() };
        let sub = match catalog.workflows.get(name.as_str()) {
            Ok(sub) => sub,
            Err(d) => {
                self.findings.add(|| {
                    let mut d = *d;
                    d.message = format!("step {}: {}", quote(&step.id), d.message);
                    d.path.clear();
                    d.at(name.pos)
                });
                return Vec::new();
            }
        };
        if sub.from_gates || sub.steps.is_empty() {
            self.findings.add(|| {
                wrong(
                    "no-steps",
                    format!("workflow {} has no steps of its own to put here", quote(name.as_str())),
                )
            });
            return Vec::new();
        }
        trail.push(name.text.clone());
        let mut inner = self.level(sub, trail, Some(step.pos));
        trail.pop();
        // What a sub-workflow's file gets wrong must not be put right by chance, by a step of the outer one.
        let known: HashSet<&str> = inner.iter().map(|s| s.id.as_str()).collect();
        let lost = inner.iter().flat_map(|s| &s.depends_on).find(|d| !known.contains(d.as_str()));
        if let Some(lost) = lost {
            let message = format!(
                "workflow {}: it depends on {}, which is no step of it",
                quote(name.as_str()),
                quote(lost.as_str())
            );
            self.findings.add(|| wrong("dangling-dependency", message));
        }
        self.fit(step, &mut inner);
        inner
    }

    /// Gives the steps of a sub-workflow their place: names, what comes before them, and what they are about.
    fn fit(&mut self, step: &Step, inner: &mut [Step]) {
        let renamed: HashMap<String, String> =
            inner.iter().map(|s| (s.id.clone(), format!("{}-{}", step.id, s.id))).collect();
        let outputs: HashMap<String, String> = inner
            .iter()
            .filter_map(|s| s.output.clone())
            .map(|o| (o.clone(), format!("{}-{o}", step.id)))
            .collect();
        let ends = ends(inner);
        for s in inner.iter_mut() {
            if self.full {
                return;
            }
            // What the outer step says is the inner ones' goal.
            let places = s.task.matches("{goal}").count();
            self.bytes = self.bytes.saturating_add(places.saturating_mul(step.task.len()));
            if self.bytes > MAX_INSTRUCTIONS {
                self.count(step);
                return;
            }
            s.task = s.task.replace("{goal}", &step.task);
            if s.depends_on.is_empty() {
                s.depends_on.clone_from(&step.depends_on);
                s.approve |= step.approve;
                s.reads.iter_mut().for_each(|r| rename(r, &[&outputs, &renamed]));
                s.reads.extend(step.reads.iter().cloned());
            } else {
                s.depends_on.iter_mut().for_each(|d| rename(d, &[&renamed]));
                s.reads.iter_mut().for_each(|r| rename(r, &[&outputs, &renamed]));
            }
            if let Growth::Each { over, .. } = &mut s.grows {
                rename(over, &[&renamed]);
            }
            if let Some(new) = s.output.as_ref().and_then(|o| outputs.get(o)) {
                s.output = Some(new.clone());
            }
            if let Some(new) = renamed.get(&s.id) {
                s.id.clone_from(new);
            }
            if let Some(problem) = name_problem(&s.id) {
                let message = format!("the step id {} {problem}", quote(&s.id));
                self.findings.add(|| Diagnostic::error("bad-name", message).at(step.pos));
            }
        }
        let Some(output) = &step.output else { return };
        match ends.as_slice() {
            [one] => inner[*one].output = Some(output.clone()),
            _ => self.findings.add(|| {
                Diagnostic::error(
                    "conflicting-keys",
                    format!(
                        "step {}: `output` needs a workflow with one last step; this has {}",
                        quote(&step.id),
                        ends.len()
                    ),
                )
                .at(step.pos)
            }),
        }
    }

    /// Names of steps that became others now name the last of those.
    fn rename(&mut self, steps: &mut [Step], stands_for: &HashMap<String, Vec<String>>) {
        if stands_for.is_empty() {
            return;
        }
        for step in steps {
            for list in [&mut step.depends_on, &mut step.reads] {
                let named = std::mem::take(list);
                for text in named {
                    match stands_for.get(text.as_str()) {
                        Some(ends) => {
                            list.extend(ends.iter().map(|e| Text { text: e.clone(), pos: text.pos }));
                        }
                        None => list.push(text),
                    }
                }
            }
            if let Growth::Each { over, .. } = &mut step.grows
                && let Some(ends) = stands_for.get(over.as_str())
            {
                match ends.as_slice() {
                    [one] => over.text.clone_from(one),
                    _ => self.findings.add(|| {
                        Diagnostic::error(
                            "no-list",
                            format!(
                                "{} ends in {} steps; `forEach` needs the one that makes the list",
                                quote(over.as_str()),
                                ends.len()
                            ),
                        )
                        .at(over.pos)
                    }),
                }
            }
        }
    }

    /// Finds the step that makes each list, and puts the fan-out after it.
    fn lists(&mut self, steps: &mut [Step]) {
        if !steps.iter().any(|s| matches!(s.grows, Growth::Each { .. })) {
            return;
        }
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (n, step) in steps.iter().enumerate() {
            names.extend(step.output.as_deref().map(|o| (o, n)));
        }
        // A step's id wins over an output of that name.
        names.extend(steps.iter().enumerate().map(|(n, s)| (s.id.as_str(), n)));
        let mut found: Vec<(usize, String)> = Vec::new();
        for (n, step) in steps.iter().enumerate() {
            let Growth::Each { over, .. } = &step.grows else { continue };
            let wrong = |message: String| Diagnostic::error("no-list", message).at(over.pos);
            let Some(target) = names.get(over.as_str()).map(|at| (*at, &steps[*at])) else {
                self.findings.add(|| {
                    let known = steps.iter().take(2_000).filter(|s| s.id != step.id);
                    let known = known.flat_map(|s| std::iter::once(s.id.as_str()).chain(s.output.as_deref()));
                    wrong(format!(
                        "step {}: no step makes {}, the list of its `forEach`",
                        quote(&step.id),
                        quote(over.as_str())
                    ))
                    .did_you_mean(over.as_str(), known)
                });
                continue;
            };
            if target.0 == n {
                self.findings.add(|| wrong(format!("step {} cannot make its own list", quote(&step.id))));
            } else if !target.1.grows.is_one() {
                self.findings.add(|| {
                    wrong(format!(
                        "step {} becomes several tasks itself; their results are no list",
                        quote(&target.1.id)
                    ))
                });
            } else {
                found.push((n, target.1.id.clone()));
            }
        }
        for (n, id) in found {
            let step = &mut steps[n];
            if let Growth::Each { over, .. } = &mut step.grows {
                over.text.clone_from(&id);
                let over = over.clone();
                if !step.depends_on.iter().any(|d| d.text == id) {
                    step.depends_on.push(over);
                }
            }
        }
    }
}

/// The steps that no other one comes after.
fn ends(steps: &[Step]) -> Vec<usize> {
    let before: HashSet<&str> = steps.iter().flat_map(|s| &s.depends_on).map(Text::as_str).collect();
    (0..steps.len()).filter(|n| !before.contains(steps[*n].id.as_str())).collect()
}

/// Moves everything of a step to one place.
fn place(step: &mut Step, at: Pos) {
    step.pos = at;
    step.depends_on.iter_mut().chain(&mut step.reads).for_each(|t| t.pos = at);
    match &mut step.grows {
        Growth::Each { over: text, .. } | Growth::BestOf { judge: text, .. } | Growth::Workflow(text) => {
            text.pos = at
        }
        Growth::One | Growth::Plan { .. } | Growth::Alike { .. } => {}
    }
}

/// The first table that has a new name for it decides.
fn rename(text: &mut Text, tables: &[&HashMap<String, String>]) {
    if let Some(new) = tables.iter().find_map(|t| t.get(text.as_str())) {
        text.text.clone_from(new);
    }
}

/// Those who try, and the one who chooses, who has the step's name and output.
fn best_of(step: Step, n: u32, judge: Text) -> [Step; 2] {
    let task = format!(
        "{n} agents did the task below, each without knowing of the others. The results of those that passed their checks are given \
         to you. Judge them against the task and against what you can see for yourself, not against each other's claims. Choose the \
         best one and give it, whole, as your answer; where another one is better in a point, take that over. Say in a last line \
         which one you chose, and why.\n\nThe task:\n\n{}",
        step.task
    );
    let tries =
        Step { id: format!("{}-try", step.id), output: None, grows: Growth::Alike { n }, ..step.clone() };
    let judge = Step {
        role: judge.text.clone(),
        task,
        depends_on: vec![Text { text: tries.id.clone(), pos: step.pos }],
        parallel_group: step.parallel_group,
        output: step.output,
        timeout_ms: step.timeout_ms,
        silence_ms: step.silence_ms,
        about_changes: step.about_changes,
        writes: Some(false),
        pos: judge.pos,
        id: step.id,
        ..Step::default()
    };
    [tries, judge]
}
