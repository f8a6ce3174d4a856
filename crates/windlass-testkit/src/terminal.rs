//! A program on a pseudo terminal, its screen as text.
//!
//! The program gets a session and controlling terminal of its own, so that Ctrl-C and hang-up reach it as they would
//! in a real terminal. That takes one step in the child before it becomes the program, which the fake worker's
//! `in-terminal` mode does.

use crate::{PATIENCE, must, programs};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ctrl-C, as typed.
pub const CTRL_C: &str = "\x03";

/// A program that runs on a terminal of its own.
pub struct Terminal {
    child: Child,
    /// `None` once hung up.
    keyboard: Option<File>,
    screen: Arc<Screen>,
}

struct Screen {
    state: Mutex<Seen>,
    changed: Condvar,
}

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    ended: bool,
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terminal {
    /// Starts `command` on a terminal of this many rows and columns. Its streams are replaced, and its environment is
    /// exactly what was set on the command, and `TERM`.
    ///
    /// # Panics
    /// When no terminal can be had, or the program cannot be started.
    #[track_caller]
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let ours = must(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY), "no pseudo terminal");
        must(grantpt(&ours).and_then(|()| unlockpt(&ours)), "cannot unlock the pseudo terminal");
        set_size(&ours, rows, columns);
        let name = must(ptsname(&ours, Vec::new()), "the pseudo terminal has no name");
        let name = name.to_string_lossy().into_owned();
        let theirs = must(
            OpenOptions::new().read(true).write(true).open(&name),
            format_args!("cannot open the terminal {name}"),
        );

        let mut child = Command::new(programs::fake_worker());
        child.arg("in-terminal").arg(command.get_program()).args(command.get_args());
        child.env_clear().env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => child.env(name, value),
                None => child.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            child.current_dir(folder);
        }
        let stream = || must(theirs.try_clone(), "cannot share the terminal");
        child.stdin(stream()).stdout(stream()).stderr(stream());
        let child = must(child.spawn(), format_args!("cannot start {command:?} on a terminal"));
        drop(theirs);

        let keyboard = File::from(ours);
        let reader = must(keyboard.try_clone(), "cannot share the terminal");
        let screen = Arc::new(Screen {
            state: Mutex::new(Seen { parser: parser(rows, columns), raw: Vec::new(), ended: false }),
            changed: Condvar::new(),
        });
        let into = Arc::clone(&screen);
        std::thread::spawn(move || watch(reader, &into));
        Self { child, keyboard: Some(keyboard), screen }
    }

    /// What the screen shows now, without trailing blanks and empty last lines.
    pub fn screen(&self) -> String {
        text_of(&self.screen.lock().parser)
    }

    /// Every byte the program has written.
    pub fn raw(&self) -> Vec<u8> {
        self.screen.lock().raw.clone()
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types this.
    pub fn send(&mut self, keys: &str) {
        if let Some(keyboard) = &mut self.keyboard {
            let _ = keyboard.write_all(keys.as_bytes()).and_then(|()| keyboard.flush());
        }
    }

    /// Changes the size; the program is told by SIGWINCH.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        if let Some(keyboard) = &self.keyboard {
            set_size(keyboard, rows, columns);
        }
        self.screen.lock().parser.screen_mut().set_size(size(rows), size(columns));
    }

    /// Waits until the screen satisfies `enough` and gives it; panics after [`PATIENCE`], or when the program ends
    /// before, with the last screen.
    #[track_caller]
    pub fn wait_screen(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.screen.lock();
        loop {
            let text = text_of(&seen.parser);
            if enough(&text) {
                return text;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !seen.ended, "waited for {what} on the screen:\n{text}");
            seen = self.screen.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the program's end; gives its exit code (128 and the number for a signal) and the last screen.
    #[track_caller]
    pub fn wait(self) -> (i32, String) {
        let (code, screen, _) = self.wait_all();
        (code, screen)
    }

    /// As [`Terminal::wait`], with every byte that the program wrote to its end as well.
    #[track_caller]
    pub fn wait_all(mut self) -> (i32, String, Vec<u8>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = must(self.child.try_wait(), "cannot wait for a child") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "still running after {PATIENCE:?}; the screen:\n{}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut seen = self.screen.lock();
        while !seen.ended && Instant::now() < deadline {
            let wait = self.screen.changed.wait_timeout(seen, Duration::from_millis(100));
            seen = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        (code, text_of(&seen.parser), seen.raw.clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.keyboard = None;
    }
}

/// The bytes of a recording as a screen of this size would show them.
pub fn render(bytes: &[u8], rows: u16, columns: u16) -> String {
    let mut parser = parser(rows, columns);
    parser.process(bytes);
    text_of(&parser)
}

/// Reads until the terminal has no other end (an error on Linux, end of file elsewhere).
fn watch(mut reader: File, screen: &Screen) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = reader.read(&mut buffer)
        && count > 0
    {
        let mut seen = screen.lock();
        seen.parser.process(&buffer[..count]);
        seen.raw.extend_from_slice(&buffer[..count]);
        drop(seen);
        screen.changed.notify_all();
    }
    screen.lock().ended = true;
    screen.changed.notify_all();
}

fn text_of(parser: &vt100::Parser) -> String {
    let screen = parser.screen();
    let columns = screen.size().1.get();
    let lines: Vec<String> = screen.rows(0, columns).map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n").trim_end().to_owned()
}

fn parser(rows: u16, columns: u16) -> vt100::Parser {
    vt100::Parser::new(size(rows), size(columns), 0)
}

/// A terminal of no rows or columns has one.
fn size(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN)
}

fn set_size(terminal: impl AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    must(tcsetwinsize(terminal, size), "cannot set the size of the pseudo terminal");
}
