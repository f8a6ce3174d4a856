//! Questions on a terminal, answered with one key.

use crate::context::Context;
use crate::print;
use std::io::Write;
use windlass_view::Line;
use windlass_view::theme::Tone;

/// The terminal as it was, put back when this goes.
struct Keys {
    before: rustix::termios::Termios,
}

impl Keys {
    /// Makes single keys readable, Ctrl-C among them.
    fn start() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question was seen is no answer to it.
        tcsetattr(&stdin, OptionalActions::Flush, &keys).ok()?;
        Some(Self { before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // The rest of what was typed, such as the Enter after a letter, is no answer to the next question.
        let _ = rustix::termios::tcsetattr(
            std::io::stdin(),
            rustix::termios::OptionalActions::Flush,
            &self.before,
        );
    }
}

/// Asks for one of some keys. `enter` is what Enter alone means; keys that mean nothing are passed over.
///
/// `None` when nobody answers: Ctrl-C, Ctrl-D, Escape, or a terminal that is gone.
pub(crate) fn key(context: &Context, question: &[Line], keys: &[char], enter: Option<char>) -> Option<char> {
    // Before the question is seen, so that no key of the answer is taken for something else.
    let raw = Keys::start();
    print::err_lines(context, question);
    let shown: Vec<String> = keys
        .iter()
        .map(|k| if enter == Some(*k) { k.to_uppercase().to_string() } else { k.to_string() })
        .collect();
    say(&format!("[{}] ", shown.join("/")));
    let answer = raw.as_ref().and_then(|_| read_key(keys, enter));
    drop(raw);
    say(&answer.map_or_else(|| "-\n".to_owned(), |c| format!("{c}\n")));
    answer
}

fn read_key(keys: &[char], enter: Option<char>) -> Option<char> {
    let mut byte = [0u8; 1];
    loop {
        match rustix::io::read(std::io::stdin(), &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) | Ok(0) => return None,
            Ok(_) => match byte[0] {
                3 | 4 | 27 => return None,
                b'\r' | b'\n' => {
                    if enter.is_some() {
                        return enter;
                    }
                }
                other => {
                    let typed = char::from(other).to_ascii_lowercase();
                    if keys.contains(&typed) {
                        return Some(typed);
                    }
                }
            },
        }
    }
}

fn say(text: &str) {
    // What cannot be written to a terminal cannot be said anywhere.
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Asks whether to go on. Nobody answering is no.
pub(crate) fn confirm(context: &Context, question: &str, enter: bool) -> bool {
    let line = Line::of(Tone::Strong, question);
    key(context, &[line], &['y', 'n'], Some(if enter { 'y' } else { 'n' })) == Some('y')
}
