//! Wall time, CPU time and bytes written of a piece of work, with all children that were waited for.

use anyhow::{Context, Result};
use std::fs;
use std::time::{Duration, Instant};

/// What a piece of work cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) wall: Duration,
    /// User and system time of this process and its children. Linux counts it in ticks of 10 ms.
    pub(super) cpu: Duration,
    /// Bytes sent to storage, when the kernel tells.
    pub(super) written: Option<u64>,
}

/// Measures `work` so often and gives the sample in the middle of the wall times.
pub(super) fn median(rounds: usize, mut work: impl FnMut() -> Result<()>) -> Result<Sample> {
    let mut samples = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        samples.push(once(&mut work)?);
    }
    samples.sort_by_key(|sample| sample.wall);
    samples.get(rounds / 2).copied().context("at least one round is needed")
}

fn once(work: &mut impl FnMut() -> Result<()>) -> Result<Sample> {
    let (cpu, written) = (cpu_time()?, bytes_written());
    let start = Instant::now();
    work()?;
    let wall = start.elapsed();
    let written = bytes_written().zip(written).map(|(after, before)| after.saturating_sub(before));
    Ok(Sample { wall, cpu: cpu_time()?.saturating_sub(cpu), written })
}

/// The ticks of this process and of the children it has waited for.
fn cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("the bench needs Linux's /proc")?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 10)).context("/proc/self/stat is not as expected")
}

fn ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything; utime, stime, cutime and cstime are fields 14 to 17.
    let rest = stat.rsplit_once(')')?.1;
    let fields: Vec<u64> =
        rest.split_whitespace().skip(11).take(4).map(str::parse).collect::<Result<_, _>>().ok()?;
    (fields.len() == 4).then(|| fields.iter().sum())
}

fn bytes_written() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_an_odd_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 200 0 0 1 2 30 400 20 0 1 0 5";
        assert_eq!(ticks(stat), Some(433));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn the_median_is_a_measured_round() {
        let mut rounds = 0;
        let sample = median(3, || {
            rounds += 1;
            Ok(())
        });
        assert!(sample.is_ok());
        assert_eq!(rounds, 3);
    }
}
