//! Samples, rounds, medians.

use super::proc::{self, Used};
use anyhow::Result;
use std::time::{Duration, Instant};

/// What a piece of work cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) wall: Duration,
    pub(super) used: Used,
}

/// Measures work that this process' children do and that is over when they were waited for.
pub(super) fn of_children(work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let before = proc::own_children()?;
    let start = Instant::now();
    work()?;
    let wall = start.elapsed();
    Ok(Sample { wall, used: proc::own_children()?.since(before) })
}

/// A way to do the work: its name, and one round of it.
pub(super) type Way<'a, T> = Box<dyn FnMut() -> Result<T> + 'a>;

/// Measures several ways in turn, A B A B, so that what the machine does meanwhile falls on all alike. The first round of
/// each is thrown away: it pays for caches.
pub(super) fn in_turn<T>(rounds: usize, ways: &mut [Way<'_, T>]) -> Result<Vec<Vec<T>>> {
    let mut all: Vec<Vec<T>> = ways.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..=rounds {
        for (way, samples) in ways.iter_mut().zip(&mut all) {
            let sample = way()?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(all)
}

/// The value in the middle; the mean of the two in the middle where there are two.
pub(super) fn median<T>(samples: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Milliseconds.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn the_middle_is_taken() {
        assert_eq!(median(&[3.0, 1.0, 2.0], |v| *v), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0], |v| *v), 2.5);
        assert!(median(&[], |v: &f64| *v).is_nan());
    }

    #[test]
    fn ways_take_turns_and_the_first_round_does_not_count() {
        let order = RefCell::new(String::new());
        let step = |name: char| {
            order.borrow_mut().push(name);
            Ok(order.borrow().len())
        };
        let samples = in_turn(2, &mut [Box::new(|| step('a')), Box::new(|| step('b'))]).unwrap();
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!(samples, [[3, 5], [4, 6]]);
    }
}
