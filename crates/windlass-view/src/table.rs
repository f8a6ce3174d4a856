//! Aligned tables that fit any width: cells shrink, then columns go, by priority.

use crate::line::Line;
use crate::theme::Tone;

const GAP: usize = 2;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// Whether its cells are aligned to the right.
    pub right: bool,
    /// It is never narrower than this, or is left out.
    pub min: usize,
    /// It is never wider than this.
    pub max: usize,
    /// Columns with higher numbers are left out first; those with 0 never are.
    pub rank: u8,
}

impl Column {
    /// A column that keeps the width of its cells, up to `max`.
    pub const fn fixed(title: &'static str, max: usize, rank: u8) -> Self {
        Self { title, right: false, min: max, max, rank }
    }

    /// A column that shrinks down to `min` where there is no room.
    pub const fn flexible(title: &'static str, min: usize, max: usize, rank: u8) -> Self {
        Self { title, right: false, min, max, rank }
    }

    /// The same column, aligned to the right.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }
}

/// Rows in columns, with a heading where there is more than one row's worth to explain. No line is wider than `width`.
pub fn table(columns: &[Column], rows: Vec<Vec<Line>>, width: usize) -> Vec<Line> {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let widest = rows.iter().filter_map(|r| r.get(i)).map(Line::width).max().unwrap_or(0);
            // A column without any value has nothing to say.
            if widest == 0 { 0 } else { widest.max(c.title.len()).min(c.max) }
        })
        .collect();
    let widths = fit_widths(columns, natural, width);
    let mut lines = Vec::with_capacity(rows.len() + 1);
    if width >= 40 {
        let heading = columns.iter().map(|c| Line::of(Tone::Dim, c.title)).collect();
        lines.push(row(columns, &widths, heading, width));
    }
    lines.extend(rows.into_iter().map(|cells| row(columns, &widths, cells, width)));
    lines
}

fn fit_widths(columns: &[Column], mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let total = |w: &[usize]| {
        let shown = w.iter().filter(|w| **w > 0).count();
        w.iter().sum::<usize>() + GAP * shown.saturating_sub(1)
    };
    let least = |w: &[usize]| {
        let mins: Vec<usize> = columns.iter().zip(w).map(|(c, w)| c.min.min(*w)).collect();
        total(&mins)
    };
    while least(&widths) > width {
        let last = columns
            .iter()
            .enumerate()
            .filter(|(i, c)| c.rank > 0 && widths.get(*i).is_some_and(|w| *w > 0))
            .max_by_key(|(i, c)| (c.rank, *i));
        match last {
            Some((i, _)) => widths[i] = 0,
            None => break,
        }
    }
    // The widest flexible column gives first.
    loop {
        let over = total(&widths).saturating_sub(width);
        let widest = columns
            .iter()
            .enumerate()
            .filter(|(i, c)| widths.get(*i).is_some_and(|w| *w > c.min))
            .max_by_key(|(i, _)| widths.get(*i).copied());
        match widest {
            Some((i, c)) if over > 0 => widths[i] = widths[i].saturating_sub(over).max(c.min),
            _ => return widths,
        }
    }
}

fn row(columns: &[Column], widths: &[usize], cells: Vec<Line>, width: usize) -> Line {
    let mut line = Line::new();
    let mut at = 0;
    for ((column, &cells_wide), cell) in columns.iter().zip(widths).zip(cells) {
        if cells_wide == 0 {
            continue;
        }
        if at > 0 {
            at += GAP;
        }
        line.pad_to(at);
        let cell = cell.fit(cells_wide);
        if column.right {
            line.space(cells_wide - cell.width());
        }
        line.append(cell);
        at += cells_wide;
    }
    line.fit(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 3] =
        [Column::fixed("id", 6, 0), Column::flexible("goal", 8, 40, 0), Column::fixed("age", 8, 1).right()];

    fn rows() -> Vec<Vec<Line>> {
        [("k7m2qd", "a rather long goal that goes on", "2h ago"), ("abcdef", "short", "now")]
            .map(|(a, b, c)| vec![Line::of(Tone::Plain, a), Line::of(Tone::Plain, b), Line::of(Tone::Dim, c)])
            .to_vec()
    }

    #[test]
    fn columns_shrink_then_go() {
        let text = |w| table(&COLUMNS, rows(), w).iter().map(|l| l.to_text(false)).collect::<Vec<_>>();
        assert_eq!(
            text(60),
            [
                "id      goal                             age",
                "k7m2qd  a rather long goal that goes on  2h ago",
                "abcdef  short                               now"
            ]
            .map(|l| if l.ends_with("age") { l.replace("  age", "     age") } else { l.into() })
        );
        assert_eq!(text(30), ["k7m2qd  a rather long…  2h ago", "abcdef  short              now"]);
        assert_eq!(text(18), ["k7m2qd  a rather…", "abcdef  short"]);
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide(cells in prop::collection::vec(any::<[String; 3]>(), 0..5), width in 1usize..100) {
            let rows = cells.iter().map(|r| r.iter().map(|c| Line::of(Tone::Plain, c)).collect()).collect();
            for line in table(&COLUMNS, rows, width) {
                prop_assert!(line.width() <= width);
            }
        }
    }
}
