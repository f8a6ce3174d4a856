//! What a task becomes while its run goes on, and how far that is.

use serde::{Deserialize, Serialize};

/// Why a task becomes others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthKind {
    /// Its worker's result is a plan.
    Plan,
    /// It is done for each item of a list.
    List,
    /// Several do the same.
    Alike,
}

/// What a task becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowthDoc {
    /// Why.
    pub kind: GrowthKind,
    /// The most tasks at once.
    pub max: u32,
    /// How many of them must complete; `null` is every one.
    #[serde(default)]
    pub needed: Option<u32>,
    /// Task or step that makes the list.
    #[serde(default)]
    pub over: Option<String>,
}

impl GrowthDoc {
    /// The same, in a few words: `plans up to 12 tasks`.
    pub fn words(&self) -> String {
        let max = self.max;
        let text = match (self.kind, &self.over) {
            (GrowthKind::Plan, _) => format!("plans up to {max} task{}", if max == 1 { "" } else { "s" }),
            (GrowthKind::List, Some(over)) => format!("for each of {over}, up to {max}"),
            (GrowthKind::List, None) => format!("for each of a list, up to {max}"),
            (GrowthKind::Alike, _) => format!("{max} alike"),
        };
        match self.needed {
            None => text,
            Some(1) => format!("{text}, one must complete"),
            Some(n) => format!("{text}, {n} must complete"),
        }
    }
}

/// How far that is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsDoc {
    /// Number of the plan, from 1; a list has one only.
    pub revision: u32,
    /// Tasks of it.
    pub total: u32,
    /// Of those, completed.
    pub completed: u32,
    /// Of those, not ended.
    pub open: u32,
    /// How many must complete.
    pub needed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_in_words() {
        let doc = |kind, max, needed, over: Option<&str>| {
            GrowthDoc { kind, max, needed, over: over.map(str::to_owned) }.words()
        };
        assert_eq!(doc(GrowthKind::Plan, 12, None, None), "plans up to 12 tasks");
        assert_eq!(
            doc(GrowthKind::List, 20, Some(1), Some("scan")),
            "for each of scan, up to 20, one must complete"
        );
        assert_eq!(doc(GrowthKind::Alike, 3, Some(2), None), "3 alike, 2 must complete");
    }
}
