//! Workflow files: a graph of steps.

use crate::agent::{check_model, one_line};
use crate::diag::{Diagnostic, Pos, count, quote};
use crate::fields::{Fields, ListOrFalse};
use crate::front::{Field, Text, Value, line_value, plain_key, split};
use crate::grow::{Growth, MAX_ROUNDS};
use crate::source::{Source, name_problem};
use crate::team::SkillChoice;
use serde::Serialize;

/// A workflow as its file describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workflow {
    /// Name; the file's name without its ending unless the file says otherwise.
    pub name: String,
    /// One line.
    pub description: String,
    /// How many workers may live at once.
    pub max_concurrency: Option<u32>,
    /// Steps in the order of the file.
    pub steps: Vec<Step>,
    /// Whether its steps are made from the project's gates (`generate: gates`), one `command` task each.
    pub from_gates: bool,
    /// Whether it is about the changes there are (`about: changes`): every step is given the uncommitted ones, else those of
    /// the branch against its base.
    pub about_changes: bool,
    /// Where it was read from.
    pub source: Source,
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Step {
    /// Id: the heading.
    pub id: String,
    /// The team's role that performs it; the id unless the step says otherwise.
    pub role: String,
    /// What is to be done; `{goal}` stands for the run's goal.
    pub task: String,
    /// Ids of steps that must be completed first.
    #[serde(serialize_with = "plain_texts")]
    pub depends_on: Vec<Text>,
    /// A label for people.
    pub parallel_group: Option<String>,
    /// Name under which the result is shared with later steps.
    pub output: Option<String>,
    /// Names of earlier outputs that go into the prompt.
    #[serde(serialize_with = "plain_texts")]
    pub reads: Vec<Text>,
    /// Model that wins over role and agent.
    pub model: Option<String>,
    /// Skills besides, or instead of, the role's own.
    pub skills: SkillChoice,
    /// Whether it is to have a working tree of its own.
    pub worktree: bool,
    /// Whether it checks the work: project gates count here, and a step that only reads is told nothing by the author.
    pub verify: bool,
    /// Checks that Windlass runs, each one command for `sh -c`.
    pub gates: Vec<String>,
    /// Wall-clock limit of each of its gates in milliseconds; 0 is none.
    pub gate_timeout_ms: Option<u64>,
    /// Whether a lost attempt may not be repeated by itself.
    pub repeat_never: bool,
    /// Whether other writers may be in the tree at the same time.
    pub shared_writes: bool,
    /// `false` makes a step of a writing agent a reading one; it can never widen.
    pub writes: Option<bool>,
    /// Longest time of one attempt in milliseconds; 0 is no limit.
    pub timeout_ms: Option<u64>,
    /// Longest time without output in milliseconds; 0 is no limit.
    pub silence_ms: Option<u64>,
    /// Starts of whatever cause that the task may use.
    pub attempts: Option<u32>,
    /// Whether a person must approve before it starts.
    pub approve: bool,
    /// What it is besides one task.
    #[serde(skip_serializing_if = "Growth::is_one")]
    pub grows: Growth,
    /// How often it is done at most until its gates are green; `None` leaves that to the run's repair rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Whether it comes from a workflow that is about the changes there are.
    #[serde(skip)]
    pub about_changes: bool,
    /// Where its heading stands.
    #[serde(skip)]
    pub pos: Pos,
}

fn plain_texts<S: serde::Serializer>(texts: &[Text], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(Text::as_str))
}

/// The most steps of one workflow.
pub const MAX_STEPS: usize = 100_000;

/// The most gates of one step.
pub const MAX_STEP_GATES: usize = 64;

/// Keys of a step. A heading followed by one of them is a step whatever its title.
const STEP_KEYS: [&str; 32] = [
    "role",
    "dependsOn",
    "parallelGroup",
    "output",
    "reads",
    "model",
    "skills",
    "progress",
    "worktree",
    "verify",
    "task",
    "gate",
    "gateTimeout",
    "repeat",
    "sharedWrites",
    "writes",
    "timeout",
    "silence",
    "attempts",
    "approve",
    "skill",
    "gates",
    "adaptive",
    "maxTasks",
    "replans",
    "forEach",
    "max",
    "join",
    "loop",
    "bestOf",
    "judge",
    "workflow",
];

/// Keys that a step has no use for when another workflow stands in its place.
const OWN_KEYS: [&str; 17] = [
    "role",
    "model",
    "skills",
    "skill",
    "worktree",
    "verify",
    "gate",
    "gates",
    "gateTimeout",
    "repeat",
    "sharedWrites",
    "writes",
    "timeout",
    "silence",
    "attempts",
    "loop",
    "progress",
];

/// Keys whose value may be an indented `- item` list below them.
const LIST_KEYS: [&str; 5] = ["dependson", "reads", "skills", "gate", "gates"];

impl Workflow {
    /// Reads a workflow file. `stem` is the file's name without `.workflow.md`. See [`crate::agent::Agent::parse`] for the rest.
    pub fn parse(text: &str, stem: &str, source: Source, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = diagnostics.len();
        let front = split(text, diagnostics)?;
        let mut fields = Fields::new(front.fields, diagnostics);
        let name = fields.text(&["name"]);
        let name = fields.named(name, stem).text;
        let description = fields.text(&["description"]).map(|t| one_line(&t.text)).unwrap_or_default();
        let max_concurrency = fields.number(&["maxConcurrency"], 1..=1024);
        let from_gates = fields.choice(&["generate"], &[("gates", true)]).unwrap_or(false);
        let about_changes = fields.choice(&["about"], &[("changes", true)]).unwrap_or(false);
        fields.finish();
        let steps = read_steps(&front.body, front.body_line, diagnostics);
        if from_gates && !steps.is_empty() {
            diagnostics.push(
                Diagnostic::error(
                    "conflicting-keys",
                    "a workflow with `generate: gates` has no steps of its own",
                )
                .at(steps[0].pos),
            );
        }
        if steps.is_empty() && !from_gates {
            diagnostics.push(
                Diagnostic::warning("no-steps", "the workflow has no steps")
                    .at(Pos::new(front.body_line, 1))
                    .help("a step is a `## name` heading, its keys, a blank line and its task"),
            );
        }
        if steps.len() > MAX_STEPS {
            diagnostics.push(Diagnostic::error("too-many-steps", format!("more than {MAX_STEPS} steps")));
        }
        if crate::diag::has_errors(&diagnostics[before..]) {
            return None;
        }
        Some(Self { name, description, max_concurrency, steps, from_gates, about_changes, source })
    }
}

/// A `##` heading and the lines below it up to the next one.
struct Section<'t> {
    title: &'t str,
    heading: &'t str,
    line: u32,
    lines: Vec<&'t str>,
}

/// Finds the steps of a body.
///
/// A heading is explicit when the first line below it that is not blank is a step key. With at least one explicit heading, steps are these and
/// the headings that are a lower-case slug; other headings belong to the task text around them. With none, every `##` heading is a step.
fn read_steps(body: &str, body_line: u32, diagnostics: &mut Vec<Diagnostic>) -> Vec<Step> {
    // A fence that is never closed must not swallow the steps after it, so fences then count for nothing.
    let sections = sections(body, body_line, true)
        .unwrap_or_else(|| sections(body, body_line, false).unwrap_or_default());
    let explicit: Vec<bool> = sections
        .iter()
        .map(|s| {
            s.lines
                .iter()
                .find(|l| !l.trim().is_empty())
                .and_then(|l| key_line(l))
                .is_some_and(|(k, _)| is_step_key(k))
        })
        .collect();
    let any = explicit.iter().any(|e| *e);
    let mut merged: Vec<Section<'_>> = Vec::new();
    for (mut section, explicit) in sections.into_iter().zip(explicit) {
        if !any || explicit || is_slug(section.title) {
            merged.push(section);
        } else if let Some(last) = merged.last_mut() {
            // Other headings belong to the task text around them.
            last.lines.push(section.heading);
            last.lines.append(&mut section.lines);
        }
    }
    merged.into_iter().map(|s| read_step(&s, diagnostics)).collect()
}

/// Cuts a body at its `##` headings; `None` when `fences` count and one is left open.
fn sections(body: &str, body_line: u32, fences: bool) -> Option<Vec<Section<'_>>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut fence: Option<&str> = None;
    for (n, line) in body.lines().enumerate() {
        let trimmed = line.trim_start();
        // A heading inside a fenced block is an example, not a step.
        let mark = if trimmed.starts_with("```") {
            Some("```")
        } else if trimmed.starts_with("~~~") {
            Some("~~~")
        } else {
            None
        };
        match (fence, mark) {
            (None, Some(m)) => fence = Some(m),
            (Some(open), Some(m)) if open == m => fence = None,
            _ => {}
        }
        if (!fences || fence.is_none())
            && let Some(title) = line.strip_prefix("## ")
        {
            sections.push(Section {
                title: title.trim(),
                heading: line,
                line: body_line + count(n),
                lines: Vec::new(),
            });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        }
    }
    (!fences || fence.is_none()).then_some(sections)
}

fn is_slug(title: &str) -> bool {
    title.starts_with(|c: char| c.is_ascii_lowercase())
        && title.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_step_key(key: &str) -> bool {
    let key = plain_key(key);
    STEP_KEYS.iter().any(|k| plain_key(k) == key)
}

/// `key: value` at the beginning of a line, the key of word characters and dashes.
fn key_line(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (!key.is_empty() && key.chars().all(word) && !value.starts_with("//")).then_some((key, value))
}

fn read_step(section: &Section<'_>, diagnostics: &mut Vec<Diagnostic>) -> Step {
    let mut lines = section.lines.iter().enumerate().skip_while(|(_, l)| l.trim().is_empty()).peekable();
    let mut raw: Vec<Field> = Vec::new();
    let mut starts: Vec<usize> = Vec::new();
    while let Some((n, line)) = lines.peek().copied() {
        let Some((key, value)) = key_line(line) else { break };
        lines.next();
        let number = section.line + count(n) + 1;
        let blank = value.chars().take_while(|c| c.is_whitespace()).count();
        let pos = Pos::new(number, count(key.len() + 2 + blank));
        let plain = plain_key(key);
        // A gate is one command whatever it looks like: `[ -f x ]` is a test, not a list.
        let mut value = match value.trim() {
            "" => Value::Nothing,
            text if matches!(plain.as_str(), "gate" | "gates" | "task") => Value::One(text.to_owned()),
            text => line_value(text, pos),
        };
        if value == Value::Nothing && LIST_KEYS.contains(&plain.as_str()) {
            let mut items = Vec::new();
            while let Some((m, item)) = lines.peek().copied() {
                let Some(text) =
                    item.trim_start().strip_prefix("- ").filter(|_| item.starts_with([' ', '\t']))
                else {
                    break;
                };
                lines.next();
                let at = Pos::new(
                    section.line + count(m) + 1,
                    count(item.chars().count() - text.chars().count() + 1),
                );
                items.push(Text { text: text.trim().to_owned(), pos: at });
            }
            if !items.is_empty() {
                value = Value::Many(items);
            }
        }
        raw.push(Field { key: Text { text: key.to_owned(), pos: Pos::new(number, 1) }, value, pos });
        starts.push(n);
    }
    // A last line such as `Note: be careful` is the beginning of the task, not a key that nobody knows.
    let mut text_from = lines.peek().map_or(section.lines.len(), |(n, _)| *n);
    while let Some(last) = raw.last() {
        let key = &last.key.text;
        if is_step_key(key) || crate::diag::nearest(key, STEP_KEYS).is_some() {
            break;
        }
        raw.pop();
        text_from = starts.pop().unwrap_or(text_from);
    }
    let text = section.lines[text_from..].join("\n").trim().to_owned();

    let heading = Pos::new(section.line, 4);
    let mut fields = Fields::new(raw, diagnostics);
    let id = section.title.to_owned();
    if let Some(problem) = name_problem(&id) {
        fields.report(
            Diagnostic::error("bad-name", format!("the step id {} {problem}", quote(&id))).at(heading),
        );
    }
    let own = OWN_KEYS.iter().filter_map(|key| Some((*key, fields.place(key)?))).collect::<Vec<_>>();
    let grows = crate::grow::read(&mut fields, heading);
    if matches!(grows, Growth::Workflow(_)) {
        for (key, at) in own {
            fields.report(
                Diagnostic::error(
                    "conflicting-keys",
                    format!("{} says nothing of a step that is another workflow", quote(key)),
                )
                .at(at)
                .help("say it in that workflow's own steps"),
            );
        }
    }
    let gates = read_gates(&mut fields);
    let mut step = Step {
        role: fields.text(&["role"]).map_or_else(|| id.clone(), |t| t.text),
        depends_on: fields.list_or_false(&["dependsOn"]).map_or_else(Vec::new, list_only),
        parallel_group: fields.text(&["parallelGroup"]).map(|t| t.text),
        output: shared_name(&mut fields),
        reads: fields.list_or_false(&["reads"]).map_or_else(Vec::new, list_only),
        model: fields.text_or_false(&["model"]).map(|t| {
            check_model(&t.text, t.pos, &mut fields);
            t.text
        }),
        skills: match fields.list_or_false(&["skills", "skill"]) {
            None => SkillChoice::Own,
            Some(ListOrFalse::False) => SkillChoice::Off,
            Some(ListOrFalse::List(list)) => SkillChoice::Add(list.into_iter().map(|t| t.text).collect()),
        },
        worktree: fields.flag(&["worktree"]).unwrap_or(false),
        verify: fields.flag(&["verify"]).unwrap_or(false),
        gates,
        gate_timeout_ms: fields.duration(&["gateTimeout"]),
        repeat_never: fields.choice(&["repeat"], &[("never", true), ("allowed", false)]).unwrap_or(false),
        shared_writes: fields.flag(&["sharedWrites"]).unwrap_or(false),
        writes: fields.flag(&["writes"]),
        timeout_ms: fields.duration(&["timeout"]),
        silence_ms: fields.duration(&["silence"]),
        attempts: fields.number(&["attempts"], 1..=100),
        approve: fields.flag(&["approve"]).unwrap_or(false),
        rounds: fields.number(&["loop"], 1..=MAX_ROUNDS),
        grows,
        about_changes: false,
        task: String::new(),
        pos: heading,
        id,
    };
    let task = fields.text(&["task"]).map(|t| t.text);
    step.task = if !text.is_empty() { text } else { task.unwrap_or_else(|| "{goal}".to_owned()) };
    for read in &step.reads {
        check_shared(&read.text, read.pos, &mut fields);
    }
    fields.without_effect(&["progress"]);
    fields.finish();
    step
}

fn list_only(list: ListOrFalse) -> Vec<Text> {
    match list {
        ListOrFalse::False => Vec::new(),
        ListOrFalse::List(list) => list,
    }
}

fn read_gates(fields: &mut Fields<'_>) -> Vec<String> {
    let mut gates = Vec::new();
    for field in fields.take_all("gate").into_iter().chain(fields.take_all("gates")) {
        let items = match field.value {
            Value::One(text) => vec![Text { text, pos: field.pos }],
            Value::Many(items) => items,
            Value::Nothing | Value::Nested => {
                fields.report(Diagnostic::error("wrong-type", "`gate` needs a command").at(field.pos));
                continue;
            }
        };
        for item in items {
            if crate::front::unquote(&item.text) != item.text {
                fields.report(
                    Diagnostic::warning(
                        "quoted-gate",
                        "the whole command is in quotes, so the shell looks for a program of that name",
                    )
                    .at(item.pos)
                    .help("write the command as you would type it in a shell"),
                );
            }
            if gates.len() == MAX_STEP_GATES {
                fields.report(
                    Diagnostic::error(
                        "too-many-gates",
                        format!("more than {MAX_STEP_GATES} gates in one step"),
                    )
                    .at(item.pos),
                );
                return gates;
            }
            if !gates.contains(&item.text) {
                gates.push(item.text);
            }
        }
    }
    gates
}

fn shared_name(fields: &mut Fields<'_>) -> Option<String> {
    let output = fields.text_or_false(&["output"])?;
    check_shared(&output.text, output.pos, fields);
    Some(output.text)
}

/// Shared names become files in the run's folder.
fn check_shared(name: &str, pos: Pos, fields: &mut Fields<'_>) {
    let bad = name.len() > 200
        || name.starts_with('/')
        || name.contains('\\')
        || name.chars().any(char::is_control)
        || name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if bad {
        fields.report(
            Diagnostic::error("bad-name", format!("{} is no name for a shared file", quote(name)))
                .at(pos)
                .help("use a relative path without `..`"),
        );
    }
}
