//! What a task grows into, made from a text: a plan or a list that a worker wrote, and therefore nothing to trust. Only the
//! words of the tasks come from it; what they may do comes from the workflow.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use windlass_events::spec::{GateSpec, TaskSpec};
use windlass_events::{EachSpec, PlanSpec, TaskId};

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 1 << 20;
/// The longest instructions of one task, in bytes.
const LONGEST_TASK: usize = 64 << 10;
/// The longest item that may stand in the middle of instructions, in bytes.
const PLAIN_ITEM: usize = 200;
/// The most complaints about one plan.
const MOST_REASONS: usize = 20;
/// What stands before a plan in a longer text.
pub const PLAN_START: &str = "ADAPTIVE_PLAN_JSON_START";
/// What stands after it.
pub const PLAN_END: &str = "ADAPTIVE_PLAN_JSON_END";

/// The schema of a plan, for the worker that is to write one and for people.
pub const SCHEMA: &str = include_str!("plan.schema.json");

/// Other names that models give to roles, where the team has no role of that name.
const ALIASES: &[(&str, &[&str])] = &[
    ("reviewer", &["code-reviewer", "review", "code-review", "critic"]),
    ("security-reviewer", &["security", "security-review", "sec-review"]),
    ("test-engineer", &["tester", "qa", "test"]),
    ("executor", &["developer", "implementer", "coder", "engineer"]),
    ("explorer", &["researcher", "scout"]),
    ("analyst", &["analysis", "analyzer"]),
];

#[derive(Deserialize)]
struct PlanText {
    phases: Option<Vec<PhaseText>>,
    tasks: Option<Vec<ItemText>>,
}

#[derive(Deserialize)]
struct PhaseText {
    name: Option<String>,
    #[serde(default)]
    tasks: Vec<ItemText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemText {
    id: Option<String>,
    #[serde(default)]
    role: String,
    title: Option<String>,
    #[serde(default)]
    task: String,
    depends_on: Option<Vec<String>>,
    output: Option<String>,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    gates: Vec<String>,
}

/// The part of a text that is the plan: between the markers, else the last fenced block, else from the first brace.
fn plan_text(text: &str) -> &str {
    if let Some((_, rest)) = text.rsplit_once(PLAN_START) {
        return rest.split_once(PLAN_END).map_or(rest, |(inner, _)| inner).trim().trim_matches('`').trim();
    }
    last_block(text).unwrap_or(text).trim()
}

/// The inside of the last fenced block.
fn last_block(text: &str) -> Option<&str> {
    let mut found = None;
    let mut open: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            match open.take() {
                None => open = Some(at + line.len()),
                Some(start) => found = text.get(start..at),
            }
        }
        at += line.len();
    }
    found
}

/// The tasks that a plan asks for, each after those that it depends on.
///
/// The tasks of a phase depend on all tasks of the phase before, unless an item says itself what it depends on.
///
/// # Errors
/// Everything that is wrong with it, for the worker that wrote it and for people; at most 20 complaints.
pub fn tasks_of_plan(
    text: &str,
    parent: &TaskId,
    spec: &PlanSpec,
    gates: &[GateSpec],
) -> Result<Vec<TaskSpec>, Vec<String>> {
    if text.len() > LONGEST {
        return Err(vec![format!("the text is {} bytes long, more than {LONGEST}", text.len())]);
    }
    let plan: PlanText =
        serde_json::from_str(plan_text(text)).map_err(|e| vec![format!("it is no JSON of a plan: {e}")])?;
    let phases = match (plan.phases, plan.tasks) {
        (Some(phases), _) => phases,
        (None, Some(tasks)) => vec![PhaseText { name: None, tasks }],
        (None, None) => return Err(vec!["it has neither `phases` nor `tasks`".to_owned()]),
    };
    Reading { parent, spec, gates, wrong: Vec::new() }.read(&phases)
}

struct Reading<'a> {
    parent: &'a TaskId,
    spec: &'a PlanSpec,
    gates: &'a [GateSpec],
    wrong: Vec<String>,
}

impl Reading<'_> {
    fn wrong(&mut self, text: String) {
        if self.wrong.len() < MOST_REASONS {
            self.wrong.push(text);
        }
    }

    fn read(mut self, phases: &[PhaseText]) -> Result<Vec<TaskSpec>, Vec<String>> {
        let total: usize = phases.iter().map(|p| p.tasks.len()).sum();
        if total == 0 {
            return Err(vec!["it has no task".to_owned()]);
        }
        if total > self.spec.max as usize {
            return Err(vec![format!("it has {total} tasks; at most {} are allowed", self.spec.max)]);
        }
        let mut made: Vec<(String, TaskSpec, Option<Vec<String>>)> = Vec::with_capacity(total);
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut outputs: BTreeSet<String> = BTreeSet::new();
        let mut before: Vec<String> = Vec::new();
        for (p, phase) in phases.iter().enumerate() {
            if phase.tasks.is_empty() {
                self.wrong(format!("phase {} has no task", p + 1));
            }
            let label = phase.name.as_deref().map(str::trim).filter(|n| !n.is_empty());
            let label = label.map_or_else(|| format!("phase-{}", p + 1), |n| short(n, 60));
            let mut here = Vec::new();
            for (i, item) in phase.tasks.iter().enumerate() {
                let what = item.id.as_deref().or(item.title.as_deref()).unwrap_or_default();
                let name = match slug(what) {
                    empty if empty.is_empty() => format!("{}-{}", p + 1, i + 1),
                    name => name,
                };
                if !names.insert(name.clone()) {
                    self.wrong(format!("two items are named `{name}`; give each an `id` of its own"));
                    continue;
                }
                here.push(name.clone());
                let Some(mut task) = self.item(&name, item, &mut outputs) else { continue };
                task.flow.phase.clone_from(&label);
                let own = item.depends_on.as_ref().map(|deps| deps.iter().map(|d| slug(d)).collect());
                made.push((name, task, Some(own.unwrap_or_else(|| before.clone()))));
            }
            before = here;
        }
        for (name, _, deps) in &made {
            let unknown: Vec<String> =
                deps.iter().flatten().filter(|d| !names.contains(*d)).cloned().collect();
            for dep in unknown {
                if self.wrong.len() < MOST_REASONS {
                    self.wrong.push(format!("`{name}` depends on `{dep}`, which the plan does not have"));
                }
            }
        }
        if !self.wrong.is_empty() {
            return Err(self.wrong);
        }
        let graph: Vec<(String, Vec<String>)> =
            made.iter().map(|(n, _, d)| (n.clone(), d.clone().unwrap_or_default())).collect();
        let order = crate::graph::order(&graph).map_err(|e| vec![e.to_string()])?;
        let ids: BTreeMap<&str, TaskId> = made.iter().map(|(n, t, _)| (n.as_str(), t.id.clone())).collect();
        let mut tasks = Vec::with_capacity(made.len());
        for at in order {
            let Some((_, task, deps)) = made.get(at) else { continue };
            let mut task = task.clone();
            task.depends_on = deps.iter().flatten().filter_map(|d| ids.get(d.as_str()).cloned()).collect();
            tasks.push(task);
        }
        Ok(tasks)
    }

    fn item(&mut self, name: &str, item: &ItemText, outputs: &mut BTreeSet<String>) -> Option<TaskSpec> {
        let text = item.task.trim();
        if text.is_empty() {
            self.wrong(format!("`{name}` has no `task` text"));
        } else if text.len() > LONGEST_TASK {
            self.wrong(format!("the text of `{name}` is longer than {LONGEST_TASK} bytes"));
        }
        let Some(role) = self.role(&item.role) else {
            let known = self.spec.roles.keys().cloned().collect::<Vec<_>>().join(", ");
            self.wrong(format!(
                "`{name}` has the unknown role `{}`; there are: {known}",
                short(&item.role, 60)
            ));
            return None;
        };
        let mut task = self.spec.roles.get(&role)?.clone();
        for gate in &item.gates {
            // A command of a model's is run by nobody: it can only choose among those that people set.
            let known = self.gates.iter().position(|g| g.command.trim() == gate.trim());
            match known.and_then(|at| u32::try_from(at).ok()) {
                Some(at) if !task.gates.contains(&at) => task.gates.push(at),
                Some(_) => {}
                None => self.wrong(format!(
                    "`{name}` names the gate `{}`, which the run does not have",
                    short(gate, 80)
                )),
            }
        }
        if let Some(output) = item.output.as_deref().map(str::trim).filter(|o| !o.is_empty()) {
            let fits = TaskId::parse(output).is_ok();
            if !fits {
                self.wrong(format!("the output `{}` of `{name}` cannot be a file name", short(output, 60)));
            } else if !outputs.insert(output.to_owned()) {
                self.wrong(format!("two items have the output `{output}`"));
            }
            task.output = Some(output.to_owned());
        }
        task.id = part_id(self.parent, name);
        task.step = short(item.title.as_deref().unwrap_or(name), 120);
        text.clone_into(&mut task.instructions);
        task.reads.extend(item.reads.iter().map(|r| short(r, 120)).filter(|r| TaskId::parse(r).is_ok()));
        task.flow.parent = Some(self.parent.clone());
        name.clone_into(&mut task.flow.item);
        Some(task)
    }

    fn role(&self, said: &str) -> Option<String> {
        if self.spec.roles.contains_key(said.trim()) {
            return Some(said.trim().to_owned());
        }
        let said = slug(said);
        if let Some(role) = self.spec.roles.keys().find(|role| slug(role) == said) {
            return Some(role.clone());
        }
        let (role, _) = ALIASES.iter().find(|(_, others)| others.contains(&said.as_str()))?;
        self.spec.roles.contains_key(*role).then(|| (*role).to_owned())
    }
}

/// The tasks for the items of a list: a JSON array, or lines that begin with `-`, `*` or a number.
///
/// # Errors
/// What is wrong with the list; an empty one is none.
pub fn tasks_of_list(
    text: Option<&str>,
    parent: &TaskId,
    spec: &EachSpec,
) -> Result<Vec<TaskSpec>, Vec<String>> {
    let items = match text {
        None => (1..=spec.max).map(|i| i.to_string()).collect(),
        Some(text) if text.len() > LONGEST => {
            return Err(vec![format!("the list is {} bytes long, more than {LONGEST}", text.len())]);
        }
        Some(text) => items(text)?,
    };
    if items.len() > spec.max as usize {
        return Err(vec![format!("the list has {} items; at most {} are allowed", items.len(), spec.max)]);
    }
    let tasks = items.iter().enumerate().map(|(i, item)| {
        let mut task = spec.task.clone();
        let name = (i + 1).to_string();
        task.id = part_id(parent, &name);
        // What a worker wrote stands between the workflow's words only where it is short and plain.
        let plain = item.len() <= PLAIN_ITEM && !item.contains(|c: char| c.is_control() || c == '`');
        let shown = if plain { item.as_str() } else { "the item that is given below" };
        task.instructions = task.instructions.replace("{item}", shown);
        if text.is_some() {
            task.flow.given.clone_from(item);
        }
        if let Some(output) = &task.output {
            task.output = Some(format!("{}.{name}", short(output, 100)));
        }
        task.flow.parent = Some(parent.clone());
        task.flow.item = name;
        task.flow.phase = short(item, 60);
        task
    });
    Ok(tasks.collect())
}

fn items(text: &str) -> Result<Vec<String>, Vec<String>> {
    let body = last_block(text).unwrap_or(text).trim();
    let one = |value: &serde_json::Value| match value {
        serde_json::Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    if let Ok(serde_json::Value::Array(all)) = serde_json::from_str(body) {
        return all.iter().map(|v| checked(one(v))).collect();
    }
    let bullet = |line: &str| {
        let line = line.trim();
        let number = line.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0);
        let numbered = number
            .and_then(|n| line.get(n..))
            .and_then(|r| r.strip_prefix(". ").or_else(|| r.strip_prefix(") ")));
        line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or(numbered).map(|s| s.trim().to_owned())
    };
    let lines: Vec<String> = body.lines().filter_map(bullet).filter(|s| !s.is_empty()).collect();
    if lines.is_empty() {
        return Err(vec!["it is no list: neither a JSON array nor lines that begin with `- `".to_owned()]);
    }
    lines.into_iter().map(checked).collect()
}

fn checked(item: String) -> Result<String, Vec<String>> {
    if item.len() > LONGEST_TASK {
        return Err(vec![format!("an item is longer than {LONGEST_TASK} bytes")]);
    }
    Ok(item)
}

/// Id of the task for an item.
fn part_id(parent: &TaskId, name: &str) -> TaskId {
    let stem: String = parent.as_str().chars().take(60).collect();
    let stem = stem.trim_end_matches('.');
    TaskId::parse(&format!("{stem}.{name}")).unwrap_or_else(|_| parent.clone())
}

fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= 40 {
            break;
        }
    }
    out.trim_matches('-').to_owned()
}

/// At most so many characters, without control bytes.
fn short(text: &str, most: usize) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(most).collect()
}

/// What becomes of the plan before when there is a new one: ids for what is new, what is kept, what is dropped.
pub(crate) struct Merged {
    pub(crate) tasks: Vec<TaskSpec>,
    pub(crate) kept: Vec<TaskId>,
    pub(crate) dropped: Vec<TaskId>,
}

/// An item that says the same as before, and so do all that it depends on, is the same task; it is not done again unless it
/// failed. Everything else is a new one.
pub(crate) fn merge(run: &crate::Run, parent: &crate::task::Task, new: Vec<TaskSpec>) -> Merged {
    use crate::task::Phase;
    use windlass_events::TaskStatus;
    let revision = parent.grown.revision + 1;
    let old: BTreeMap<&str, &crate::task::Task> = parent
        .grown
        .parts
        .iter()
        .filter_map(|at| run.task(*at))
        .map(|t| (t.spec.flow.item.as_str(), t))
        .collect();
    let mut ids: BTreeMap<TaskId, TaskId> = BTreeMap::new();
    let mut kept = Vec::new();
    let mut tasks = Vec::new();
    for mut task in new {
        let deps: Vec<TaskId> =
            task.depends_on.iter().map(|d| ids.get(d).cloned().unwrap_or_else(|| d.clone())).collect();
        let same = old.get(task.flow.item.as_str()).filter(|t| {
            let usable = matches!(t.phase, Phase::Ended(TaskStatus::Completed))
                || !(matches!(t.phase, Phase::Ended(_)) || t.cancel);
            usable
                && t.spec.depends_on == deps
                && deps.iter().all(|d| kept.contains(d))
                && t.spec.instructions == task.instructions
                && t.spec.role == task.role
                && t.spec.gates == task.gates
                && t.spec.output == task.output
                && t.spec.reads == task.reads
        });
        if let Some(same) = same {
            ids.insert(task.id.clone(), same.spec.id.clone());
            kept.push(same.spec.id.clone());
            continue;
        }
        let was = task.id.clone();
        let mut k = revision;
        while run.by_id.contains_key(&task.id) || tasks.iter().any(|t: &TaskSpec| t.id == task.id) {
            task.id = part_id(&was, &format!("r{k}"));
            k += 1;
        }
        ids.insert(was, task.id.clone());
        task.depends_on = deps;
        tasks.push(task);
    }
    let open = |t: &&crate::task::Task| !matches!(t.phase, Phase::Ended(_));
    let dropped = old
        .values()
        .copied()
        .filter(open)
        .map(|t| t.spec.id.clone())
        .filter(|id| !kept.contains(id))
        .collect();
    Merged { tasks, kept, dropped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> TaskSpec {
        serde_json::from_value(serde_json::json!({
            "id": "x", "step": "x", "role": "executor", "agent": "a", "runtime": "pi", "access": "write",
            "attempts": 2, "silence_ms": 0, "wall_ms": 0
        }))
        .unwrap()
    }

    fn spec() -> PlanSpec {
        let mut reviewer = role();
        reviewer.role = "reviewer".into();
        PlanSpec {
            max: 4,
            replans: 1,
            roles: BTreeMap::from([("executor".into(), role()), ("reviewer".into(), reviewer)]),
        }
    }

    fn read(text: &str) -> Result<Vec<TaskSpec>, Vec<String>> {
        let gate = GateSpec {
            command: "make test".into(),
            source: windlass_events::spec::GateSource::User,
            limit_ms: 1,
        };
        tasks_of_plan(text, &TaskId::parse("01_assess").unwrap(), &spec(), &[gate])
    }

    #[test]
    fn phases_follow_each_other_and_roles_have_other_names() {
        let text = r#"Here it is.
ADAPTIVE_PLAN_JSON_START
{"phases":[{"name":"build","tasks":[{"role":"developer","title":"A","task":"do a"},{"role":"executor","id":"b","task":"do b","gates":["make test"]}]},
{"tasks":[{"role":"code-review","task":"look"}]}]}
ADAPTIVE_PLAN_JSON_END
Thanks."#;
        let tasks = read(text).unwrap();
        let ids: Vec<&str> = tasks.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids, ["01_assess.a", "01_assess.b", "01_assess.2-1"]);
        assert_eq!(tasks[1].gates, [0]);
        assert_eq!(tasks[2].depends_on.len(), 2);
        assert_eq!((tasks[2].role.as_str(), tasks[2].flow.phase.as_str()), ("reviewer", "phase-2"));
    }

    #[test]
    fn what_is_wrong_is_said_and_all_of_it() {
        let wrong = |text: &str| read(text).unwrap_err().join("\n");
        assert!(wrong("no plan at all").contains("no JSON"));
        assert!(wrong("{}").contains("neither"));
        assert!(wrong(r#"{"tasks":[]}"#).contains("no task"));
        let many = r#"{"role":"executor","task":"x"},"#.repeat(5);
        assert!(
            wrong(&format!("{{\"tasks\":[{}]}}", many.trim_end_matches(','))).contains("5 tasks; at most 4")
        );
        let both = wrong(
            r#"{"tasks":[{"role":"wizard","task":"x","id":"a"},{"role":"executor","task":" ","id":"b","gates":["rm -rf /"]},
            {"role":"executor","task":"y","id":"c","dependsOn":["nowhere"]}]}"#,
        );
        for part in ["unknown role `wizard`", "`b` has no `task` text", "`rm -rf /`", "`nowhere`"] {
            assert!(both.contains(part), "{part} is not in {both}");
        }
        let circle = r#"{"tasks":[{"id":"a","role":"executor","task":"x","dependsOn":["b"]},{"id":"b","role":"executor","task":"x","dependsOn":["a"]}]}"#;
        assert!(wrong(circle).contains("circle"));
        let twice = r#"{"tasks":[{"id":"a","role":"executor","task":"x","output":"o"},{"id":"b","role":"executor","task":"x","output":"o"}]}"#;
        assert!(wrong(twice).contains("two items have the output `o`"));
    }

    #[test]
    fn lists_are_json_or_lines() {
        let each = EachSpec {
            over: None,
            max: 3,
            join: windlass_events::Join::All,
            to_the_end: false,
            task: role(),
        };
        let parent = TaskId::parse("02_each").unwrap();
        let ids = |text: &str| {
            tasks_of_list(Some(text), &parent, &each)
                .map(|all| all.iter().map(|t| t.flow.phase.clone()).collect::<Vec<_>>())
        };
        assert_eq!(ids("found:\n```json\n[\"a\", {\"f\": 1}]\n```\n").unwrap(), ["a", "{\"f\":1}"]);
        assert_eq!(ids("files:\n- a b\n* c\n3. d\nand no more").unwrap(), ["a b", "c", "d"]);
        assert_eq!(ids("[]").unwrap(), Vec::<String>::new());
        assert!(ids("nothing").unwrap_err()[0].contains("no list"));
        assert!(ids("[1,2,3,4]").unwrap_err()[0].contains("4 items; at most 3"));
        assert_eq!(tasks_of_list(None, &parent, &each).unwrap().len(), 3);
    }

    #[test]
    fn the_schema_is_json() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_plan_or_a_reason(text in ".{0,400}") {
            let _ = read(&text);
            let each = EachSpec { over: None, max: 3, join: windlass_events::Join::All, to_the_end: false, task: role() };
            let _ = tasks_of_list(Some(&text), &TaskId::parse("a").unwrap(), &each);
        }
    }
}
