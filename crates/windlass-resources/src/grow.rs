//! What a step may be besides one task: a plan, a fan-out, the best of several, another workflow.

use crate::diag::{Diagnostic, Pos, quote};
use crate::fields::Fields;
use crate::front::{Text, Value};
use serde::Serialize;
use windlass_events::Join;

/// Tasks of a plan where the step says nothing.
pub const PLAN_TASKS: u32 = 12;
/// The most tasks of one plan that a file can ask for.
pub const MAX_PLAN_TASKS: u32 = 200;
/// New plans after a failure where the step says nothing.
pub const REPLANS: u32 = 1;
/// Items of a list where the step says nothing.
pub const ITEMS: u32 = 20;
/// The most items of one list that a file can ask for.
pub const MAX_ITEMS: u32 = 10_000;
/// The most candidates of one step.
pub const MAX_CANDIDATES: u32 = 20;
/// The most rounds of a loop.
pub const MAX_ROUNDS: u32 = 100;

/// What becomes of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// One task.
    #[default]
    One,
    /// Its result is a plan whose tasks are then done (`adaptive: true`).
    Plan {
        /// The most tasks of one plan.
        max: u32,
        /// How often a new plan is asked for when tasks failed.
        replans: u32,
    },
    /// One task for each item of a list that an earlier step makes (`forEach`).
    Each {
        /// The step that makes the list, by id or by the name of its output; the id once it is resolved.
        #[serde(serialize_with = "plain")]
        over: Text,
        /// The most items.
        max: u32,
        /// How many must complete.
        join: Join,
    },
    /// Several try it, and a judge chooses (`bestOf`).
    BestOf {
        /// How many try.
        n: u32,
        /// The role that chooses.
        #[serde(serialize_with = "plain")]
        judge: Text,
    },
    /// So many alike, of which one must complete: what `bestOf` becomes.
    Alike {
        /// How many.
        n: u32,
    },
    /// The steps of another workflow stand in its place (`workflow`).
    Workflow(#[serde(serialize_with = "plain")] Text),
}

impl Growth {
    /// Whether it is one task.
    pub fn is_one(&self) -> bool {
        *self == Self::One
    }
}

fn plain<S: serde::Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.as_str())
}

/// Reads the keys that say what a step grows into. `heading` is where the step begins.
pub(crate) fn read(fields: &mut Fields<'_>, heading: Pos) -> Growth {
    let places = ["adaptive", "forEach", "bestOf", "workflow"].map(|key| (key, fields.place(key)));
    let helpers = [
        ("maxTasks", "adaptive"),
        ("replans", "adaptive"),
        ("max", "forEach"),
        ("join", "forEach"),
        ("judge", "bestOf"),
    ]
    .map(|(key, of)| (key, of, fields.place(key)));

    let adaptive = fields.flag(&["adaptive"]).unwrap_or(false);
    let plan_max = fields.number(&["maxTasks"], 1..=MAX_PLAN_TASKS).unwrap_or(PLAN_TASKS);
    let replans = fields.number(&["replans"], 0..=10).unwrap_or(REPLANS);
    let over = fields.text(&["forEach"]);
    let max = fields.number(&["max"], 1..=MAX_ITEMS).unwrap_or(ITEMS);
    let join = join(fields, max);
    let n = fields.number(&["bestOf"], 2..=MAX_CANDIDATES);
    let judge = fields.text(&["judge"]);
    let workflow = fields.text(&["workflow"]);

    let mut named = places.into_iter().filter_map(|(key, at)| Some((key, at?)));
    let named = named.by_ref().filter(|(key, _)| *key != "adaptive" || adaptive).collect::<Vec<_>>();
    if let [(first, _), (second, at), ..] = named.as_slice() {
        fields.report(
            Diagnostic::error(
                "conflicting-keys",
                format!("a step cannot have both {} and {}", quote(first), quote(second)),
            )
            .at(*at)
            .help("make them two steps, one after the other"),
        );
    }
    for (key, of, at) in helpers {
        if let Some(at) = at
            && !named.iter().any(|(key, _)| *key == of)
        {
            let what = if of == "adaptive" { "`adaptive: true`".to_owned() } else { quote(of) };
            fields.report(
                Diagnostic::error(
                    "conflicting-keys",
                    format!("{} says something only beside {what}", quote(key)),
                )
                .at(at),
            );
        }
    }
    match (over, n, workflow) {
        _ if adaptive => Growth::Plan { max: plan_max, replans },
        (Some(over), _, _) => Growth::Each { over, max, join },
        (None, Some(n), _) => match judge {
            Some(judge) => Growth::BestOf { n, judge },
            None => {
                let at = named.first().map_or(heading, |(_, at)| *at);
                fields.report(
                    Diagnostic::error("missing-key", "`bestOf` needs a `judge`: the role that chooses")
                        .at(at),
                );
                Growth::One
            }
        },
        (None, None, Some(name)) => Growth::Workflow(name),
        _ => Growth::One,
    }
}

/// `all`, `any`, or a number that is not beyond `max`.
fn join(fields: &mut Fields<'_>, max: u32) -> Join {
    let Some(field) = fields.take(&["join"]) else { return Join::All };
    let text = match &field.value {
        Value::One(text) => text.to_ascii_lowercase(),
        Value::Nothing => return Join::All,
        Value::Many(_) | Value::Nested => String::new(),
    };
    match (text.as_str(), text.parse::<u32>()) {
        ("all", _) => Join::All,
        ("any", _) => Join::AtLeast(1),
        (_, Ok(n)) if n > max => {
            fields.report(
                Diagnostic::error(
                    "bad-join",
                    format!("`join: {n}` is more than the {max} items there can be"),
                )
                .at(field.pos)
                .help("`max: N` allows more items"),
            );
            Join::All
        }
        (_, Ok(n)) if n > 0 => Join::AtLeast(n),
        _ => {
            fields.report(
                Diagnostic::error("wrong-type", "`join` must be `all`, `any` or a whole number from 1")
                    .at(field.pos),
            );
            Join::All
        }
    }
}
