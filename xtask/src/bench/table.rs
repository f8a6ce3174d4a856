//! Rows, ratios, aims, and the page that keeps them.

use super::graph::Layered;
use super::measure::Sample;
use std::fmt::Write;

/// A measured way to do the work.
pub(super) struct Row {
    what: String,
    place: &'static str,
    wall_ms: f64,
    cpu_ms: f64,
    written: Option<f64>,
}

impl Row {
    /// What one task cost, on average.
    pub(super) fn per_task(what: &str, place: &'static str, sample: Sample, tasks: u64) -> Self {
        let tasks = tasks as f64;
        Self {
            what: what.to_owned(),
            place,
            wall_ms: sample.wall.as_secs_f64() * 1e3 / tasks,
            cpu_ms: sample.cpu.as_secs_f64() * 1e3 / tasks,
            written: sample.written.map(|bytes| bytes as f64 / tasks),
        }
    }
}

/// The rows of one run.
pub(super) struct Table {
    title: String,
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(graph: &Layered, jobs: u64) -> Self {
        let Layered { layers, width, fan_in } = graph;
        let title = format!(
            "{} tasks that do nothing: {layers} layers of {width}, each task needing {fan_in} of the layer before, \
             {jobs} at a time. Per task; the median of several rounds.",
            graph.tasks()
        );
        Self { title, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The ratios are to ninja in the same place.
    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!("# Measurements\n\n{}\n\n", self.title);
        text += "| what | place | wall ms | × ninja | CPU ms | × ninja | bytes written |\n";
        text += "| --- | --- | ---: | ---: | ---: | ---: | ---: |\n";
        for row in &self.rows {
            let ninja = self.rows.iter().find(|other| other.what == "ninja" && other.place == row.place);
            let ratio = |own: f64, of: fn(&Row) -> f64| match ninja {
                Some(ninja) if of(ninja) > 0.0 => format!("{:.2}", own / of(ninja)),
                _ => "-".to_owned(),
            };
            let written = row.written.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"));
            let _ = writeln!(
                text,
                "| {} | {} | {:.3} | {} | {:.3} | {} | {written} |",
                row.what,
                row.place,
                row.wall_ms,
                ratio(row.wall_ms, |row| row.wall_ms),
                row.cpu_ms,
                ratio(row.cpu_ms, |row| row.cpu_ms),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ratios_are_to_ninja_in_the_same_place() {
        let mut table = Table::new(&Layered { layers: 1, width: 10, fan_in: 3 }, 4);
        let sample = |ms| Sample {
            wall: Duration::from_millis(ms),
            cpu: Duration::from_millis(ms),
            written: Some(100),
        };
        table.push(Row::per_task("other", "disk", sample(30), 10));
        table.push(Row::per_task("ninja", "disk", sample(10), 10));
        table.push(Row::per_task("other", "tmpfs", sample(30), 10));
        let text = table.to_markdown();
        assert!(text.contains("| other | disk | 3.000 | 3.00 | 3.000 | 3.00 | 10 |"), "{text}");
        assert!(text.contains("| other | tmpfs | 3.000 | - |"), "{text}");
    }
}
