//! Checks of a task graph before a run exists.

use std::collections::{BTreeMap, VecDeque};

/// What is wrong with a graph of named steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two steps have one name.
    #[error("step `{0}` is there twice")]
    Duplicate(String),
    /// A step depends on one that does not exist.
    #[error("step `{step}` depends on `{missing}`, which does not exist")]
    Dangling {
        /// The step.
        step: String,
        /// What it names.
        missing: String,
    },
    /// Steps depend on each other in a circle.
    #[error("steps depend on each other in a circle: {}", .0.join(" → "))]
    Cycle(Vec<String>),
}

/// An order in which every step comes after what it depends on, stable with respect to the order given. Linear in steps
/// and edges.
///
/// # Errors
/// The first thing that is wrong.
pub fn order(steps: &[(String, Vec<String>)]) -> Result<Vec<usize>, GraphError> {
    let mut by_name = BTreeMap::new();
    for (i, (name, _)) in steps.iter().enumerate() {
        if by_name.insert(name.as_str(), i).is_some() {
            return Err(GraphError::Duplicate(name.clone()));
        }
    }
    let mut missing = vec![0usize; steps.len()];
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (i, (name, deps)) in steps.iter().enumerate() {
        for dep in deps {
            let Some(&d) = by_name.get(dep.as_str()) else {
                return Err(GraphError::Dangling { step: name.clone(), missing: dep.clone() });
            };
            if let (Some(list), Some(count)) = (dependants.get_mut(d), missing.get_mut(i)) {
                list.push(i);
                *count += 1;
            }
        }
    }
    let mut ready: std::collections::BTreeSet<usize> =
        missing.iter().enumerate().filter(|(_, m)| **m == 0).map(|(i, _)| i).collect();
    let mut order = Vec::with_capacity(steps.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &d in dependants.get(i).map_or(&[][..], Vec::as_slice) {
            if let Some(count) = missing.get_mut(d) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(d);
                }
            }
        }
    }
    if order.len() == steps.len() {
        Ok(order)
    } else {
        Err(GraphError::Cycle(cycle(steps, &by_name, &missing)))
    }
}

/// One circle among the steps that never became ready.
fn cycle(steps: &[(String, Vec<String>)], by_name: &BTreeMap<&str, usize>, missing: &[usize]) -> Vec<String> {
    let Some(start) = missing.iter().position(|m| *m > 0) else { return Vec::new() };
    let mut path: VecDeque<usize> = VecDeque::new();
    let mut at = start;
    let mut seen_at = BTreeMap::new();
    loop {
        if let Some(&from) = seen_at.get(&at) {
            let mut names: Vec<String> =
                path.iter().skip(from).filter_map(|i| steps.get(*i)).map(|s| s.0.clone()).collect();
            names.reverse();
            if let Some(first) = names.first().cloned() {
                names.push(first);
            }
            return names;
        }
        seen_at.insert(at, path.len());
        path.push_back(at);
        // Every step left over waits for another one left over.
        let next = steps
            .get(at)
            .into_iter()
            .flat_map(|s| &s.1)
            .filter_map(|d| by_name.get(d.as_str()).copied())
            .find(|d| missing.get(*d).is_some_and(|m| *m > 0));
        match next {
            Some(d) => at = d,
            None => return Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(list: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        list.iter().map(|(n, d)| ((*n).to_owned(), d.iter().map(|x| (*x).to_owned()).collect())).collect()
    }

    #[test]
    fn orders_and_refuses() {
        assert_eq!(order(&steps(&[("b", &["a"]), ("a", &[]), ("c", &["b"])])).unwrap(), [1, 0, 2]);
        assert_eq!(order(&steps(&[("a", &[]), ("a", &[])])), Err(GraphError::Duplicate("a".into())));
        assert!(matches!(order(&steps(&[("a", &["x"])])), Err(GraphError::Dangling { .. })));
        let GraphError::Cycle(path) =
            order(&steps(&[("s", &[]), ("a", &["c"]), ("b", &["a"]), ("c", &["b"])])).unwrap_err()
        else {
            panic!("a cycle")
        };
        assert_eq!(path.first(), path.last());
        assert_eq!(path.len(), 4);
    }
}
