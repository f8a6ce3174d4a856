//! The goal in a step's own words.

use crate::fence::fit;

/// Longest goal that is put into a step's sentence; the prompt has all of it in its own place.
const INLINE_LIMIT: usize = 2_000;

/// Replaces `{goal}` in a step's words by the goal, once: what the goal itself contains is not looked at.
pub fn fill_goal(template: &str, goal: &str) -> String {
    let goal = goal.trim();
    let (shown, cut) = fit(goal, INLINE_LIMIT);
    let goal = if cut { format!("{shown} (the goal in full is under \"Goal\")") } else { shown };
    template.split("{goal}").collect::<Vec<_>>().join(&goal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_filled_in_once() {
        assert_eq!(fill_goal("Plan: {goal}.", " mend {goal} and {{x}} "), "Plan: mend {goal} and {{x}}.");
        assert_eq!(fill_goal("no place", "x"), "no place");
        let long = fill_goal("{goal}", &"g".repeat(10_000));
        assert!(long.len() < 2_100 && long.ends_with("\"Goal\")"));
    }
}
