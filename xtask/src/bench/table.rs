//! Rows, ratios, aims, and the page that keeps them.

use super::proc;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Everything below this line of the page is written anew; what stands above is people's.
const MARK: &str = "<!-- written by `cargo xtask bench --save` from here on -->";

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Ms,
    Bytes,
    MbPerS,
    Percent,
    Count,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "-".to_owned(),
            Self::Ms => format!("{} ms", short(value)),
            Self::Bytes if value >= 1e6 => format!("{} MB", short(value / 1e6)),
            Self::Bytes if value >= 1e3 => format!("{} kB", short(value / 1e3)),
            Self::Bytes => format!("{value:.0} B"),
            Self::MbPerS => format!("{value:.0} MB/s"),
            Self::Percent => format!("{} %", short(value)),
            Self::Count => short(value),
        }
    }
}

/// Three digits, where there are so many.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v > 0.0 && v < 0.1 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aim {
    /// The value itself, at most.
    AtMost(f64),
    /// The value itself, at least.
    AtLeast(f64),
    /// The ratio to the baseline, at most.
    Ratio(f64),
    /// The ratio to the baseline, so far from 1 at most.
    Same(f64),
    /// Nothing was promised.
    None,
}

/// Something measured.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: Unit,
    /// Not a number where it could not be measured; `what` says why.
    pub(super) value: f64,
    pub(super) baseline: Option<(String, f64)>,
    pub(super) aim: Aim,
}

impl Row {
    /// A row without baseline or aim.
    pub(super) fn new(what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { what: what.into(), unit, value, baseline: None, aim: Aim::None }
    }

    pub(super) fn against(mut self, baseline: impl Into<String>, value: f64) -> Self {
        self.baseline = Some((baseline.into(), value));
        self
    }

    pub(super) const fn aim(mut self, aim: Aim) -> Self {
        self.aim = aim;
        self
    }

    fn ratio(&self) -> Option<f64> {
        let ratio = self.value / self.baseline.as_ref()?.1;
        ratio.is_finite().then_some(ratio)
    }

    fn aim_and_met(&self) -> (String, &'static str) {
        let (text, met) = match self.aim {
            Aim::None => return (String::new(), ""),
            Aim::AtMost(most) => (format!("≤ {}", self.unit.write(most)), self.value <= most),
            Aim::AtLeast(least) => (format!("≥ {}", self.unit.write(least)), self.value >= least),
            Aim::Ratio(most) => (format!("≤ {most} ×"), self.ratio().is_some_and(|ratio| ratio <= most)),
            Aim::Same(by) => {
                let near = |ratio: f64| (1.0 - by..=1.0 + by).contains(&ratio);
                (format!("± {:.0} %", by * 100.0), self.ratio().is_some_and(near))
            }
        };
        let met = match (self.value.is_finite(), met) {
            (false, _) => "not measured",
            (true, true) => "yes",
            (true, false) => "**no**",
        };
        (text, met)
    }

    fn write(&self, out: &mut String) {
        let (aim, met) = self.aim_and_met();
        let baseline = self
            .baseline
            .as_ref()
            .map_or_else(String::new, |(name, value)| format!("{name}: {}", self.unit.write(*value)));
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{} ×", short(ratio)));
        let value = self.unit.write(self.value);
        let _ = writeln!(out, "| {} | {value} | {baseline} | {ratio} | {aim} | {met} |", self.what);
    }
}

/// The rows of one run of the bench.
pub(super) struct Table {
    quick: bool,
    parts: Vec<(String, Vec<Row>)>,
    load: String,
}

impl Table {
    pub(super) fn new(quick: bool) -> Self {
        Self { quick, parts: Vec::new(), load: proc::load() }
    }

    /// Begins a part; rows that follow belong to it.
    pub(super) fn part(&mut self, about: impl Into<String>) {
        self.parts.push((about.into(), Vec::new()));
    }

    pub(super) fn push(&mut self, row: Row) {
        if self.parts.is_empty() {
            self.part("");
        }
        if let Some((_, rows)) = self.parts.last_mut() {
            let mut line = String::new();
            row.write(&mut line);
            eprint!("  {line}");
            rows.push(row);
        }
    }

    pub(super) fn to_markdown(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut text = format!(
            "{} × {}, Linux {}; load {} before, {} after. Medians of rounds in turn.{}\n",
            cores,
            proc::processor(),
            proc::kernel(),
            self.load,
            proc::load(),
            if self.quick { " Quick: few rounds, parts left out." } else { "" }
        );
        for (about, rows) in &self.parts {
            let _ = write!(text, "\n{about}\n\n");
            text += "| what | measured | baseline | ratio | aim | met |\n";
            text += "| --- | ---: | --- | ---: | ---: | --- |\n";
            rows.iter().for_each(|row| row.write(&mut text));
        }
        text
    }

    /// Writes the table below the page's mark and leaves what stands above it.
    pub(super) fn keep_in(&self, page: &Path) -> Result<()> {
        let old = fs::read_to_string(page).unwrap_or_else(|_| format!("# Measurements\n\n{MARK}\n"));
        fs::write(page, self.beneath(&old)).with_context(|| format!("cannot write {}", page.display()))
    }

    fn beneath(&self, page: &str) -> String {
        let above = page.split_once(MARK).map_or(page, |(above, _)| above);
        format!("{}\n\n{MARK}\n\n{}", above.trim_end(), self.to_markdown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(row: &Row) -> String {
        let mut text = String::new();
        row.write(&mut text);
        text
    }

    #[test]
    fn a_row_says_whether_its_aim_is_met() {
        let wall = Row::new("wall", Unit::Ms, 1.5).against("ninja", 1.0);
        assert_eq!(
            line(&wall.clone().aim(Aim::Ratio(3.0))),
            "| wall | 1.50 ms | ninja: 1.00 ms | 1.50 × | ≤ 3 × | yes |\n"
        );
        assert!(line(&wall.clone().aim(Aim::AtMost(1.0))).ends_with("≤ 1.00 ms | **no** |\n"));
        assert!(line(&wall.aim(Aim::Same(0.2))).ends_with("| ± 20 % | **no** |\n"));
        let speed = Row::new("speed", Unit::MbPerS, 164.0).aim(Aim::AtLeast(150.0));
        assert_eq!(line(&speed), "| speed | 164 MB/s |  |  | ≥ 150 MB/s | yes |\n");
        let unknown = Row::new("calls", Unit::Count, f64::NAN).aim(Aim::AtMost(300.0));
        assert_eq!(line(&unknown), "| calls | - |  |  | ≤ 300 | not measured |\n");
    }

    #[test]
    fn what_people_wrote_stays() {
        let mut table = Table::new(false);
        table.push(Row::new("written", Unit::Bytes, 8_192.0));
        let first = table.beneath("# Measurements\n\nWhy.\n");
        assert!(first.starts_with("# Measurements\n\nWhy.\n\n<!-- "), "{first}");
        assert!(first.contains("| written | 8.19 kB |"), "{first}");
        assert_eq!(table.beneath(&first).matches("written by").count(), 1);
    }
}
