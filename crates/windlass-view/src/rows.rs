//! Task rows in columns that fit any width: columns go by priority, a row never breaks.

use crate::human;
use crate::line::Line;
use crate::model::{RunView, TaskRow};
use crate::text;
use crate::theme::Tone;
use windlass_events::TaskStatus;

const TOKENS: usize = 5;
const COST: usize = 7;
const AGE: usize = 6;
const GAP: usize = 2;
/// What stands before the name of a task that another one grew into.
const PART: &str = "· ";

/// The cells of the widest of these texts, at most `most`.
fn widest<'a>(view: &RunView<'a>, most: usize, text_of: fn(&TaskRow<'a>) -> &'a str) -> usize {
    // Cleaning a hundred thousand names for every frame would be a waste: the first ones decide.
    view.rows.iter().take(400).map(|r| text::width(&text::clean(text_of(r)))).max().unwrap_or(0).min(most)
}

/// Which columns there are, and how wide. 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) indent: usize,
    name: usize,
    role: usize,
    state: usize,
    tokens: usize,
    cost: usize,
    age: usize,
    last: usize,
    width: usize,
}

/// Cells that no column has yet.
struct Left(usize);

impl Left {
    /// The cells of one more column, or 0 where it and its gap do not leave `reserve` cells.
    fn column(&mut self, cells: usize, reserve: usize) -> usize {
        if self.0 < cells + GAP + reserve {
            return 0;
        }
        self.0 -= cells + GAP;
        cells
    }
}

impl Columns {
    /// Columns for these rows. In order of importance: name, age, state, tokens, cost, role, last line.
    pub(crate) fn new(view: &RunView<'_>, width: usize) -> Self {
        let indent = if width < 40 { 0 } else { 2 };
        let mut c = Self { indent, name: 0, role: 0, state: 0, tokens: 0, cost: 0, age: 0, last: 0, width };
        let mut left = Left(width.saturating_sub(indent + 2));
        c.age = left.column(AGE, 4);
        let parts = view.rows.iter().any(|r| r.task.parent.is_some());
        let natural = widest(view, width, TaskRow::name) + if parts { text::width(PART) } else { 0 };
        c.name = natural.min(if width < 40 { (width / 2).max(4) } else { width.min(110) / 5 }).min(left.0);
        left.0 -= c.name;
        c.state = left.column(12, 0);
        if c.state == 0 {
            c.name += left.0.min(natural - c.name);
            return c;
        }
        c.tokens = left.column(TOKENS, 0);
        c.cost = left.column(COST, 8);
        let role = widest(view, 14, |r| if r.task.role == r.task.step { "" } else { &r.task.role });
        if role > 0 {
            c.role = left.column(role, 20);
        }
        if width >= 120 {
            c.last = left.column(24, 24);
        }
        if c.last > 0 {
            let state = left.0.min(32);
            c.state += state;
            c.last += left.0 - state;
        } else {
            c.state += left.0;
        }
        c
    }

    /// Cells of a row at most.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// Whether the last line of a worker is in its row, so that it needs no row of its own.
    pub(crate) const fn has_last(&self) -> bool {
        self.last > 0
    }

    /// The row of a task.
    pub(crate) fn row(&self, view: &RunView<'_>, row: &TaskRow<'_>) -> Line {
        let mut line = Line::new();
        let mut at = self.indent + 2;
        line.space(self.indent).glyph(row.mark).space(1);
        let quiet = row.task.status.is_terminal() && !row.is_trouble();
        let name = match () {
            () if row.is_live() => Tone::Strong,
            () if quiet || !row.is_trouble() => Tone::Plain,
            () => row.mark.tone,
        };
        match row.task.parent {
            Some(_) => line.push_fit(name, format!("{PART}{}", row.name()), self.name),
            None => line.push_fit(name, row.name(), self.name),
        };
        at += self.name;
        let cell = |line: &mut Line, at: &mut usize, cells: usize| {
            if cells == 0 {
                return false;
            }
            *at += GAP;
            line.pad_to(*at);
            *at += cells;
            true
        };
        if cell(&mut line, &mut at, self.role) && row.task.role != row.task.step {
            line.push_fit(Tone::Dim, &row.task.role, self.role);
        }
        if cell(&mut line, &mut at, self.state) {
            let tone = if row.is_live() || row.is_trouble() { row.mark.tone } else { Tone::Dim };
            let mut activity = view.activity(row);
            if row.task.status == TaskStatus::Completed && text::width(&activity) > self.state {
                // The glyph says the rest.
                activity = activity
                    .split(',')
                    .next_back()
                    .filter(|_| row.is_trouble())
                    .unwrap_or("completed")
                    .into();
            }
            line.push_fit(tone, activity.trim_start(), self.state);
        }
        let right = |line: &mut Line, at: &mut usize, cells: usize, value: Option<String>| {
            if cell(line, at, cells) {
                let value = text::fit(&value.unwrap_or_default(), cells);
                line.space(cells - text::width(&value)).push(Tone::Dim, value);
            }
        };
        let tokens = row.usage.tokens();
        right(&mut line, &mut at, self.tokens, (tokens > 0).then(|| human::count(tokens)));
        right(&mut line, &mut at, self.cost, row.cost());
        right(&mut line, &mut at, self.age, row.age_ms.map(human::duration));
        if cell(&mut line, &mut at, self.last)
            && let Some(last) = row.last_line()
        {
            line.push_fit(Tone::Dim, last, self.last);
        }
        line.fit(self.width)
    }

    /// The second row of a live task: what the first has no room for. `None` if that is nothing.
    pub(crate) fn detail(&self, view: &RunView<'_>, row: &TaskRow<'_>) -> Option<Line> {
        if self.has_last() || !row.is_live() {
            return None;
        }
        let value = match (self.state, row.last_line()) {
            (0, _) => view.activity(row),
            (_, Some(last)) => last.to_owned(),
            (_, None) => return None,
        };
        let mut line = Line::new();
        let at = self.indent + 2;
        line.space(at).push_fit(Tone::Dim, value, self.width.saturating_sub(at));
        Some(line.fit(self.width))
    }
}
