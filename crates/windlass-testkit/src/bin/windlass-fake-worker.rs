//! A worker for the `command` runtime that behaves as badly as its arguments say.
//!
//! Steps are done one after the other, separated by the word `then`:
//! `windlass-fake-worker write started yes then wait go then exit 3`.
#![expect(clippy::print_stderr, reason = "a program: errors are said on standard error")]

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

const HELP: &str = "\
steps, separated by `then`; without any, ends with code 0:
  exit CODE              end with this code
  signal NUMBER          end by this signal
  say TEXT               one line on standard output
  complain TEXT          one line on standard error
  print BYTES [LINE]     so many bytes on standard output, in lines of LINE bytes (80)
  line BYTES             one line of so many bytes
  invalid-utf8           bytes that are no text, one line
  hang                   sleep for ever
  stubborn               ignore SIGTERM, SIGINT and SIGHUP from here on
  tree FOLDER            three levels, each ignoring signals: a child in a session of its own, a grandchild that lost
                         its parent, both holding standard output; FOLDER/level1..3 get their process ids
  write PATH TEXT        write a file, whole or not at all
  append PATH TEXT       one line at the end of a file: counts starts
  wait PATH              until the file is there
  env NAME               NAME=value on standard output, or `NAME is not set`
  cat                    standard input to standard output
  in-terminal PROGRAM …  become PROGRAM in a session whose controlling terminal is standard input
";

type Done = Result<(), String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    for step in args.split(|word| word == "then").filter(|step| !step.is_empty()) {
        let words: Vec<&str> = step.iter().map(String::as_str).collect();
        // The program's own arguments may hold the word `then`.
        if words[0] == "in-terminal" {
            return fail(&in_terminal(&args[1..]));
        }
        if let Err(error) = perform(&words) {
            return fail(&error);
        }
    }
    ExitCode::SUCCESS
}

fn fail(error: &str) -> ExitCode {
    eprintln!("windlass-fake-worker: {error}");
    ExitCode::from(2)
}

fn perform(words: &[&str]) -> Done {
    match *words {
        ["exit", code] => std::process::exit(number(code)?),
        ["signal", signal] => kill_self(number(signal)?),
        ["say", text] => out(format!("{text}\n").as_bytes()),
        ["complain", text] => {
            eprintln!("{text}");
            Ok(())
        }
        ["print", bytes] => print(number(bytes)?, 80),
        ["print", bytes, line] => print(number(bytes)?, number(line)?),
        ["line", bytes] => {
            let bytes = number(bytes)?;
            print(bytes, bytes.saturating_add(1))?;
            out(b"\n")
        }
        ["invalid-utf8"] => out(b"valid \xff\xfe\xc3( \xf0\x9f broken\n"),
        ["hang"] => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        // Ignored signals stay ignored when a program is replaced, so the shell's trap outlives the shell.
        ["stubborn"] => Err(become_stubborn(std::env::args().skip(1), "stubborn")),
        ["already-stubborn"] => Ok(()),
        ["tree", folder] => {
            write(&Path::new(folder).join("level1"), &std::process::id().to_string())?;
            spawn(stubborn(["tree-2", folder]))?;
            Err(stubborn(["hang"]).exec().to_string())
        }
        ["tree-2", folder] => {
            rustix::process::setsid().map_err(|error| error.to_string())?;
            write(&Path::new(folder).join("level2"), &std::process::id().to_string())?;
            // The one between ends at once: level 3 has no parent of ours.
            let mut between = spawn(myself(["tree-between", folder]))?;
            between.wait().map_err(|error| error.to_string())?;
            perform(&["hang"])
        }
        ["tree-between", folder] => spawn(myself(["tree-3", folder])).map(drop),
        ["tree-3", folder] => {
            rustix::process::setsid().map_err(|error| error.to_string())?;
            write(&Path::new(folder).join("level3"), &std::process::id().to_string())?;
            perform(&["hang"])
        }
        ["write", path, text] => write(Path::new(path), text),
        ["append", path, text] => {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()))
                .map_err(|error| format!("cannot append to {path}: {error}"))
        }
        ["wait", path] => {
            while !Path::new(path).exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
        ["env", name] => match std::env::var_os(name) {
            Some(value) => out(format!("{name}={}\n", value.display()).as_bytes()),
            None => out(format!("{name} is not set\n").as_bytes()),
        },
        ["cat"] => {
            let mut input = Vec::new();
            io::stdin().lock().read_to_end(&mut input).map_err(|error| error.to_string())?;
            out(&input)
        }
        ["help"] => out(HELP.as_bytes()),
        _ => Err(format!("no such step: {}\n{HELP}", words.join(" "))),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is not a number that fits here"))
}

fn out(bytes: &[u8]) -> Done {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| format!("cannot print: {error}"))
}

/// `bytes` bytes in lines of `line` bytes, line breaks counted.
fn print(bytes: u64, line: u64) -> Done {
    if line == 0 {
        return Err("a line has at least one byte, its end".into());
    }
    static PIECE: [u8; 1 << 16] = [b'x'; 1 << 16];
    let mut out = io::BufWriter::with_capacity(1 << 18, io::stdout().lock());
    let (mut left, mut in_line) = (bytes, line);
    while left > 0 {
        let count = in_line.min(left).min(PIECE.len() as u64);
        left -= count;
        in_line -= count;
        let ends = in_line == 0;
        let plain = usize::try_from(count).unwrap_or(0) - usize::from(ends);
        out.write_all(&PIECE[..plain]).map_err(|error| format!("cannot print: {error}"))?;
        if ends {
            out.write_all(b"\n").map_err(|error| format!("cannot print: {error}"))?;
            in_line = line;
        }
    }
    out.flush().map_err(|error| format!("cannot print: {error}"))
}

fn write(path: &Path, text: &str) -> Done {
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&fresh, text)
        .and_then(|()| std::fs::rename(&fresh, path))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn kill_self(signal: i32) -> Done {
    let signal =
        rustix::process::Signal::from_named_raw(signal).ok_or_else(|| format!("{signal} is no signal"))?;
    // Rust's own handler for stack overflows swallows the first SIGSEGV and SIGBUS that no fault caused.
    for _ in 0..2 {
        rustix::process::kill_process(rustix::process::getpid(), signal)
            .map_err(|error| error.to_string())?;
    }
    perform(&["hang"])
}

fn spawn(mut command: Command) -> Result<std::process::Child, String> {
    command.spawn().map_err(|error| format!("cannot start a child: {error}"))
}

fn myself<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "windlass-fake-worker".into()));
    command.args(args);
    command
}

fn stubborn<const N: usize>(args: [&str; N]) -> Command {
    let me = myself(args);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TERM INT HUP; exec \"$@\"", "sh"]).arg(me.get_program()).args(me.get_args());
    command
}

/// Does the rest of the steps with the signals ignored.
fn become_stubborn(args: impl Iterator<Item = String>, step: &str) -> String {
    let mut rest: Vec<String> = args.skip_while(|word| word != step).collect();
    rest[0] = "already-stubborn".into();
    let mut command = stubborn([]);
    command.args(rest);
    format!("cannot become stubborn: {}", command.exec())
}

fn in_terminal(args: &[String]) -> String {
    let Some((program, args)) = args.split_first() else { return "in-terminal needs a program".into() };
    if let Err(error) = rustix::process::setsid() {
        return format!("no session: {error}");
    }
    if let Err(error) = rustix::process::ioctl_tiocsctty(io::stdin()) {
        return format!("standard input is no terminal to control: {error}");
    }
    format!("cannot start {program}: {}", Command::new(OsStr::new(program)).args(args).exec())
}
