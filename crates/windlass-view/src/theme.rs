//! The one declaration of how states look: word, glyph, colour, and the plain letter for terminals without UTF-8.
//!
//! `✓` and the word `done` stand for proven work alone. Whatever else completed is `○`, and says so.

use windlass_api::status::Light;
use windlass_events::{Proof, RunStatus, TaskStatus};

/// What a text means; the terminal's own palette decides how that looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Text.
    #[default]
    Plain,
    /// Less important than text.
    Dim,
    /// A title or name.
    Strong,
    /// Proven, green.
    Good,
    /// Failed, red.
    Bad,
    /// Needs a person, or is near a cap.
    Warn,
    /// Live.
    Accent,
}

impl Tone {
    /// Every tone.
    pub const ALL: &'static [Self] =
        &[Self::Plain, Self::Dim, Self::Strong, Self::Good, Self::Bad, Self::Warn, Self::Accent];

    /// The parameters of the SGR sequence that begins it; empty for text. Sixteen-colour palette only, so that the
    /// user's own theme decides.
    pub const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
            Self::Accent => "36",
        }
    }
}

/// How one state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// One cell.
    pub glyph: char,
    /// Colour of glyph and word.
    pub tone: Tone,
    /// The state in a word or two.
    pub word: &'static str,
}

const fn mark(glyph: char, tone: Tone, word: &'static str) -> Mark {
    Mark { glyph, tone, word }
}

/// How a run's state looks.
pub const fn run_mark(status: RunStatus, proof: Proof) -> Mark {
    match status {
        RunStatus::Queued => mark('·', Tone::Dim, "queued"),
        RunStatus::Planning => mark('◐', Tone::Accent, "planning"),
        RunStatus::Running => mark('●', Tone::Accent, "running"),
        RunStatus::Waiting => mark('◐', Tone::Warn, "waiting"),
        RunStatus::Blocked => mark('!', Tone::Warn, "blocked"),
        RunStatus::Completed => completed(proof),
        RunStatus::Failed => mark('✗', Tone::Bad, "failed"),
        RunStatus::Cancelled => mark('–', Tone::Warn, "cancelled"),
    }
}

/// How a task's state looks.
pub const fn task_mark(status: TaskStatus, proof: Proof) -> Mark {
    match status {
        TaskStatus::Queued => mark('·', Tone::Dim, "queued"),
        TaskStatus::Ready => mark('▸', Tone::Plain, "ready"),
        TaskStatus::Running => mark('●', Tone::Accent, "running"),
        TaskStatus::Waiting => mark('◐', Tone::Warn, "waiting"),
        TaskStatus::Verifying => mark('◐', Tone::Accent, "checking"),
        TaskStatus::Completed => completed(proof),
        TaskStatus::Failed => mark('✗', Tone::Bad, "failed"),
        TaskStatus::Cancelled => mark('–', Tone::Warn, "cancelled"),
        TaskStatus::Skipped => mark('–', Tone::Dim, "skipped"),
        TaskStatus::NeedsAttention => mark('!', Tone::Warn, "needs you"),
    }
}

const fn completed(proof: Proof) -> Mark {
    match proof {
        Proof::Proven => mark('✓', Tone::Good, "done"),
        Proof::Unproven | Proof::None => mark('○', Tone::Plain, "completed, unproven"),
        Proof::Refuted => mark('✗', Tone::Bad, "completed, refuted"),
    }
}

/// How a gate's outcome looks; `None` did not run.
pub const fn light_mark(light: Option<Light>) -> Mark {
    match light {
        Some(Light::Green) => mark('✓', Tone::Good, "green"),
        Some(Light::Red) => mark('✗', Tone::Bad, "red"),
        Some(Light::Unclear) => mark('○', Tone::Warn, "unclear"),
        None => mark('·', Tone::Dim, "not run"),
    }
}

/// Our own glyphs and the ASCII letter that takes the place of each, one cell for one cell.
pub const GLYPHS: &[(char, char)] = &[
    ('✓', '+'),
    ('○', 'o'),
    ('✗', 'x'),
    ('●', '*'),
    ('◐', '='),
    ('▸', '>'),
    ('·', '.'),
    ('–', '-'),
    ('→', '>'),
    ('…', '~'),
    ('━', '#'),
    ('─', '-'),
    ('│', '|'),
    ('├', '|'),
    ('└', '`'),
    ('−', '-'),
    ('×', 'x'),
];

/// The ASCII letter for one of our glyphs; `?` for any other character.
pub fn ascii(c: char) -> char {
    if c.is_ascii() {
        c
    } else {
        GLYPHS.iter().find(|(glyph, _)| *glyph == c).map_or('?', |(_, ascii)| *ascii)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::char_width;

    fn all_marks() -> Vec<(String, Mark)> {
        let mut marks = Vec::new();
        for &proof in Proof::ALL {
            for &status in RunStatus::ALL {
                marks.push((format!("run {status} {proof}"), run_mark(status, proof)));
            }
            for &status in TaskStatus::ALL {
                marks.push((format!("task {status} {proof}"), task_mark(status, proof)));
            }
        }
        for light in [None, Some(Light::Green), Some(Light::Red), Some(Light::Unclear)] {
            marks.push((format!("{light:?}"), light_mark(light)));
        }
        marks
    }

    #[test]
    fn every_state_has_a_single_cell_glyph_and_an_ascii_letter() {
        for (name, mark) in all_marks() {
            assert_eq!(char_width(mark.glyph), 1, "{name}");
            assert!(ascii(mark.glyph) != '?' && ascii(mark.glyph).is_ascii_graphic(), "{name}");
            assert!(!mark.word.is_empty() && mark.word.is_ascii(), "{name}");
        }
        for (glyph, letter) in GLYPHS {
            assert_eq!(char_width(*glyph), 1, "{glyph}");
            assert!(letter.is_ascii_graphic());
        }
    }

    #[test]
    fn only_proven_work_is_done() {
        for &proof in Proof::ALL {
            for &status in RunStatus::ALL {
                let m = run_mark(status, proof);
                let proven = status == RunStatus::Completed && proof == Proof::Proven;
                assert_eq!(m.glyph == '✓', proven, "{status} {proof}");
                assert_eq!(m.word == "done", proven, "{status} {proof}");
            }
            for &status in TaskStatus::ALL {
                let m = task_mark(status, proof);
                let proven = status == TaskStatus::Completed && proof == Proof::Proven;
                assert_eq!(m.glyph == '✓', proven, "{status} {proof}");
                assert_eq!(m.word == "done", proven, "{status} {proof}");
            }
        }
    }

    #[test]
    fn states_that_ask_for_different_things_look_different_without_colour() {
        let glyph = |s| task_mark(s, Proof::Proven).glyph;
        let a = [
            glyph(TaskStatus::Queued),
            glyph(TaskStatus::Ready),
            glyph(TaskStatus::Running),
            glyph(TaskStatus::Waiting),
            glyph(TaskStatus::Completed),
            glyph(TaskStatus::Failed),
            glyph(TaskStatus::Cancelled),
            glyph(TaskStatus::NeedsAttention),
        ];
        let mut unique = a.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), a.len());
    }
}
