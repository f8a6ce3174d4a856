//! The player: the body of a rehearsed worker's process.

use super::MODEL;
use super::script::{Script, Step};
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub(super) const ENV_ROLE: &str = "WINDLASS_ROLE";
pub(super) const ENV_AGENT: &str = "WINDLASS_AGENT";

/// Exit code when the script cannot be played or output cannot be written.
const CANNOT_PLAY: i32 = 70;
/// Longest line that is read from standard input, in bytes.
const INPUT_LIMIT: u64 = 64 * 1024 * 1024;

/// What decides which scene is played.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scene {
    /// Id of the workflow step.
    pub step: String,
    /// Role.
    pub role: String,
    /// Agent.
    pub agent: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// The prompt.
    pub prompt: String,
}

/// A text that a person sent while the rehearsal plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Id.
    pub id: String,
    /// Text.
    pub text: String,
}

/// Time and hearing, so that tests play without waiting.
pub trait Sleeper {
    /// Waits; returns what is heard meanwhile, at once when something is.
    fn sleep(&mut self, time: Duration) -> Option<Heard>;
    /// Waits for ever, or returns in a test.
    fn hang(&mut self);
}

/// Plays the scene of a script in a directory and returns the exit code. Every event is one line of JSON on `out`.
///
/// Files are written only below `cwd`: a path that is absolute, holds `..`, or passes through a link out of it is a failed
/// tool call.
pub fn play(
    script: &Script,
    scene: &Scene,
    cwd: &Path,
    out: &mut dyn Write,
    sleeper: &mut dyn Sleeper,
) -> i32 {
    let mut player = Player { cwd, out, sleeper, calls: 0 };
    player.play(script, scene).unwrap_or(CANNOT_PLAY)
}

/// Plays a script file with this process's own standard streams, as the hidden subcommand of the binary does. `var` reads the
/// environment; standard input is one JSON line with the prompt, then a person's texts.
pub fn play_process(script: &Path, var: impl Fn(&str) -> Option<String>) -> i32 {
    let mut stderr = std::io::stderr();
    let script = match std::fs::read_to_string(script)
        .map_err(|e| e.to_string())
        .and_then(|text| Script::parse(&text).map_err(|e| e.to_string()))
    {
        Ok(script) => script,
        Err(error) => {
            let _ = writeln!(stderr, "rehearsal: {}: {error}", script.display());
            return CANNOT_PLAY;
        }
    };
    let mut stdin = std::io::stdin().lock();
    let prompt = match read_input(&mut stdin) {
        Some(Input::Prompt { text }) => text,
        _ => {
            let _ = writeln!(stderr, "rehearsal: standard input does not begin with a prompt");
            return CANNOT_PLAY;
        }
    };
    drop(stdin);
    let (send, heard) = channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        while let Some(input) = read_input(&mut stdin) {
            if let Input::Steer { id, text } = input
                && send.send(Heard { id, text }).is_err()
            {
                return;
            }
        }
    });
    let scene = Scene {
        step: var("WINDLASS_STEP").unwrap_or_default(),
        role: var(ENV_ROLE).unwrap_or_default(),
        agent: var(ENV_AGENT).unwrap_or_default(),
        attempt: var("WINDLASS_ATTEMPT").and_then(|n| n.parse().ok()).unwrap_or(1),
        prompt,
    };
    let Ok(cwd) = std::env::current_dir() else {
        let _ = writeln!(stderr, "rehearsal: the working directory is gone");
        return CANNOT_PLAY;
    };
    play(&script, &scene, &cwd, &mut std::io::stdout(), &mut RealTime { heard: Some(heard) })
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Input {
    Prompt { text: String },
    Steer { id: String, text: String },
}

fn read_input(stdin: &mut impl BufRead) -> Option<Input> {
    let mut line = Vec::new();
    stdin.by_ref().take(INPUT_LIMIT).read_until(b'\n', &mut line).ok().filter(|&n| n > 0)?;
    serde_json::from_slice(&line).ok()
}

struct RealTime {
    heard: Option<Receiver<Heard>>,
}

impl Sleeper for RealTime {
    fn sleep(&mut self, time: Duration) -> Option<Heard> {
        if let Some(heard) = &self.heard {
            match heard.recv_timeout(time) {
                Ok(heard) => return Some(heard),
                Err(RecvTimeoutError::Timeout) => return None,
                // Nobody can speak any more.
                Err(RecvTimeoutError::Disconnected) => self.heard = None,
            }
        }
        std::thread::sleep(time);
        None
    }

    fn hang(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

struct Player<'a> {
    cwd: &'a Path,
    out: &'a mut dyn Write,
    sleeper: &'a mut dyn Sleeper,
    calls: u32,
}

impl Player<'_> {
    fn play(&mut self, script: &Script, scene: &Scene) -> std::io::Result<i32> {
        self.tell(json!({ "type": "rehearsal", "version": 1, "model": MODEL }))?;
        let Some(found) = script.scenes.iter().find(|s| holds(&s.when, scene)) else {
            let message = format!(
                "the rehearsal script has no scene for step `{}`, role `{}`, attempt {}",
                scene.step, scene.role, scene.attempt
            );
            return self.fail("bad_request", &message);
        };
        for step in &found.steps {
            if let Some(code) = self.step(step)? {
                return Ok(code);
            }
        }
        self.end()
    }

    /// Plays a step; a code ends the play.
    fn step(&mut self, step: &Step) -> std::io::Result<Option<i32>> {
        match step {
            Step::Say(text) => self.say(text)?,
            Step::Write { path, content } => {
                let cwd = self.cwd;
                self.tool("write", path, || write(cwd, path, content))?;
            }
            Step::Edit { path, find, replace } => {
                let cwd = self.cwd;
                self.tool("edit", path, || edit(cwd, path, find, replace))?;
            }
            Step::Run { command } => {
                let cwd = self.cwd;
                self.tool("bash", &command.join(" "), || run(cwd, command))?;
            }
            Step::Tool { name, summary, ms } => {
                let id = self.tool_start(name, summary)?;
                self.wait(*ms)?;
                self.tool_end(&id, name, Ok(()))?;
            }
            Step::SleepMs(ms) => self.wait(*ms)?,
            Step::AwaitSteer { ms } => match self.sleeper.sleep(Duration::from_millis(*ms)) {
                Some(heard) => {
                    self.hear(&heard)?;
                    self.say(&format!("Heard: {}", heard.text))?;
                }
                None => self.say("Nobody said anything.")?,
            },
            Step::Usage { input, output, cache_read, cache_write } => self.tell(json!({
                "type": "usage", "input": input, "output": output, "cache_read": cache_read, "cache_write": cache_write,
            }))?,
            Step::Stderr(line) => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Step::Answer(text) => {
                self.tell(json!({ "type": "answer", "text": text }))?;
                return self.end().map(Some);
            }
            Step::Fail { class, message } => return self.fail(class.as_str(), message).map(Some),
            Step::Exit(code) => return Ok(Some(*code)),
            Step::Hang => {
                self.sleeper.hang();
                return Ok(Some(CANNOT_PLAY));
            }
        }
        Ok(None)
    }

    fn tell(&mut self, event: serde_json::Value) -> std::io::Result<()> {
        // One write per line: a reader never sees half of one because we were killed between two writes.
        self.out.write_all(format!("{event}\n").as_bytes())?;
        self.out.flush()
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        for word in text.split_inclusive(' ') {
            self.tell(json!({ "type": "delta", "text": word }))?;
        }
        self.tell(json!({ "type": "text", "text": text }))
    }

    fn wait(&mut self, ms: u64) -> std::io::Result<()> {
        if let Some(heard) = self.sleeper.sleep(Duration::from_millis(ms)) {
            self.hear(&heard)?;
        }
        Ok(())
    }

    fn hear(&mut self, heard: &Heard) -> std::io::Result<()> {
        self.tell(json!({ "type": "steered", "id": heard.id, "text": heard.text }))
    }

    fn tool(
        &mut self,
        name: &str,
        summary: &str,
        act: impl FnOnce() -> Result<(), String>,
    ) -> std::io::Result<()> {
        let id = self.tool_start(name, summary)?;
        let done = act();
        self.tool_end(&id, name, done)
    }

    fn tool_start(&mut self, name: &str, summary: &str) -> std::io::Result<String> {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        self.tell(json!({ "type": "tool_start", "id": id, "name": name, "summary": summary }))?;
        Ok(id)
    }

    fn tool_end(&mut self, id: &str, name: &str, done: Result<(), String>) -> std::io::Result<()> {
        let (ok, error) = match done {
            Ok(()) => (true, String::new()),
            Err(error) => (false, error),
        };
        self.tell(json!({ "type": "tool_end", "id": id, "name": name, "ok": ok, "error": error }))
    }

    fn fail(&mut self, class: &str, message: &str) -> std::io::Result<i32> {
        self.tell(json!({ "type": "error", "class": class, "message": message }))?;
        self.end()
    }

    fn end(&mut self) -> std::io::Result<i32> {
        self.tell(json!({ "type": "end" }))?;
        Ok(0)
    }
}

fn holds(when: &super::script::When, scene: &Scene) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
    same(&when.step, &scene.step)
        && same(&when.role, &scene.role)
        && same(&when.agent, &scene.agent)
        && when.attempt.is_none_or(|n| n == scene.attempt)
        && when.prompt_has.as_deref().is_none_or(|words| scene.prompt.contains(words))
}

fn write(cwd: &Path, path: &str, content: &str) -> Result<(), String> {
    let path = inside(cwd, path, true)?;
    std::fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))
}

fn edit(cwd: &Path, path: &str, find: &str, replace: &str) -> Result<(), String> {
    let path = inside(cwd, path, false)?;
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    match text.match_indices(find).take(2).count() {
        _ if find.is_empty() => Err("the text to find is empty".to_owned()),
        1 => std::fs::write(&path, text.replacen(find, replace, 1))
            .map_err(|e| format!("{}: {e}", path.display())),
        0 => Err(format!("{}: the text to replace is not there", path.display())),
        _ => Err(format!("{}: the text to replace is there more than once", path.display())),
    }
}

fn run(cwd: &Path, command: &[String]) -> Result<(), String> {
    let (program, args) = command.split_first().ok_or("there is no command")?;
    let status = Command::new(program)
        .args(args)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| format!("{program}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

/// The path below `cwd`, with its folders made if wanted.
fn inside(cwd: &Path, path: &str, make: bool) -> Result<PathBuf, String> {
    let relative = Path::new(path);
    let plain = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let (Some(name), true) = (relative.file_name(), plain) else {
        return Err(format!("`{path}` is not a path below the working directory"));
    };
    let cwd = cwd.canonicalize().map_err(|e| e.to_string())?;
    let parent = cwd.join(relative.parent().unwrap_or(Path::new("")));
    // The nearest folder that exists decides where new ones would come to be.
    let existing = parent.ancestors().find(|p| p.exists()).unwrap_or(&cwd);
    let real = existing.canonicalize().map_err(|e| e.to_string())?;
    if !real.starts_with(&cwd) {
        return Err(format!("`{path}` leads out of the working directory"));
    }
    if make {
        std::fs::create_dir_all(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    let target = parent.canonicalize().map_err(|e| format!("{}: {e}", parent.display()))?.join(name);
    if target.is_symlink() && !target.canonicalize().is_ok_and(|t| t.starts_with(&cwd)) {
        return Err(format!("`{path}` leads out of the working directory"));
    }
    Ok(target)
}
