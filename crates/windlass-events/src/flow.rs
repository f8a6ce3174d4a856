//! How a task grows into others while the run goes on, and what it waits for besides its dependencies.

use crate::ids::TaskId;
use crate::spec::TaskSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The part of a task that only some workflows use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// Task whose plan or list this one came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// Name of its item there: it stays the same over the plan's revisions.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub item: String,
    /// The item that it is about, as the worker that made the list wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub given: String,
    /// Name of its phase in the plan.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// What it grows into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grow: Option<Grow>,
    /// Whether a person must approve before its first start.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approve: bool,
    /// How often a red gate goes back to its worker, where that is not the run's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
}

impl Flow {
    /// Whether nothing in it is used.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a task grows into. It completes when enough of what grew from it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grow {
    /// Its worker's result is a plan.
    Plan(Box<PlanSpec>),
    /// It has no worker: it is one task for each item of a list, or so many alike.
    Each(Box<EachSpec>),
}

impl Grow {
    /// How many of what grew from it must complete.
    pub const fn join(&self) -> Join {
        match self {
            Self::Plan(_) => Join::All,
            Self::Each(each) => each.join,
        }
    }

    /// The most tasks that it can be at once.
    pub const fn max(&self) -> u32 {
        match self {
            Self::Plan(plan) => plan.max,
            Self::Each(each) => each.max,
        }
    }

    /// The most starts that one plan or list of it can use.
    pub fn starts(&self) -> u64 {
        let each = match self {
            Self::Plan(plan) => plan.roles.values().map(|t| t.attempts).max().unwrap_or(0),
            Self::Each(each) => each.task.attempts,
        };
        u64::from(self.max()).saturating_mul(u64::from(each))
    }

    /// How many plans or lists it makes at most.
    pub const fn revisions(&self) -> u32 {
        match self {
            Self::Plan(plan) => plan.replans.saturating_add(1),
            Self::Each(_) => 1,
        }
    }

    /// What its tasks are, apart from what a plan or an item says of them.
    pub fn templates(&self) -> Vec<&TaskSpec> {
        match self {
            Self::Plan(plan) => plan.roles.values().collect(),
            Self::Each(each) => vec![&each.task],
        }
    }

    /// The same, to be changed.
    pub fn templates_mut(&mut self) -> Vec<&mut TaskSpec> {
        match self {
            Self::Plan(plan) => plan.roles.values_mut().collect(),
            Self::Each(each) => vec![&mut each.task],
        }
    }
}

/// A step whose result is a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanSpec {
    /// The most tasks of one plan.
    pub max: u32,
    /// How often a new plan is asked for when tasks of the last one failed.
    pub replans: u32,
    /// What a task of each role is, apart from what the plan says of it.
    pub roles: BTreeMap<String, TaskSpec>,
}

/// A step that is done for each item of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EachSpec {
    /// Task whose result is the list; `None` is `max` tasks alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<TaskId>,
    /// The most items; a longer list is refused.
    pub max: u32,
    /// How many must complete.
    pub join: Join,
    /// Whether the rest goes on to its end when enough have: all results are wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_the_end: bool,
    /// What each is; `{item}` in its instructions is the item.
    pub task: TaskSpec,
}

/// How many of several tasks must complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// Every one.
    #[default]
    All,
    /// So many; the rest is stopped when they have.
    AtLeast(u32),
}

impl Join {
    /// How many of `total` that is. It can be more than there are, and then never holds.
    pub const fn of(self, total: u32) -> u32 {
        match self {
            Self::All => total,
            Self::AtLeast(n) => n,
        }
    }
}
