//! A user with command agents whose workers write down what they do, and the laws that every journal keeps.

#![allow(dead_code, reason = "each test program uses a part of it")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use windlass_testkit::process::{self, wait_until};
use windlass_testkit::{TempRepo, Windlass};

/// What every worker script begins with: a log that one line at a time is added to, and files as barriers.
///
/// `start` also looks at the processes of earlier starts of the same step: one that still lives is an overlap.
const PRELUDE: &str = r#"
started() { sed -n "s/^start $WINDLASS_STEP [0-9]* \([0-9]*\)\$/\1/p" "$M/log" 2>/dev/null; }
lives() { [ -r "/proc/$1/status" ] && grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }
start() {
    for p in $(started); do lives "$p" && echo "overlap $WINDLASS_STEP $p $$" >>"$M/log"; done
    echo "start $WINDLASS_STEP $WINDLASS_ATTEMPT $$" >>"$M/log"
}
end() { echo "end $WINDLASS_STEP $WINDLASS_ATTEMPT $$" >>"$M/log"; }
wait_for() { while [ ! -e "$M/$1" ]; do sleep 0.02; done; }
"#;

/// A step of a workflow: its name, the agent that does it, what it depends on, and further keys, each a line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) after: Vec<String>,
    pub(crate) keys: Vec<String>,
}

/// A step that depends on others.
pub(crate) fn step(name: impl Into<String>, agent: &str, after: &[&str]) -> Step {
    Step {
        name: name.into(),
        agent: agent.into(),
        after: after.iter().map(|a| (*a).to_owned()).collect(),
        ..Step::default()
    }
}

impl Step {
    /// The step with a further line, such as `attempts: 3`.
    pub(crate) fn key(mut self, line: impl Into<String>) -> Self {
        self.keys.push(line.into());
        self
    }
}

/// A user, a project and a folder in which workers and the test meet.
pub(crate) struct World {
    pub(crate) user: Windlass,
    pub(crate) project: TempRepo,
    marks: PathBuf,
}

impl World {
    /// A world whose project is a plain folder.
    pub(crate) fn new() -> Self {
        Self::of(TempRepo::without_git())
    }

    /// A world around a project.
    pub(crate) fn of(project: TempRepo) -> Self {
        let user = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &project);
        let marks = project.beside().join("marks");
        std::fs::create_dir(&marks).unwrap();
        Self { user, project, marks }
    }

    /// A file in the folder where workers (`$M`) and the test meet.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.marks.join(name)
    }

    /// Makes a file there, which lets go who waits for it.
    pub(crate) fn set(&self, name: &str) {
        std::fs::write(self.mark(name), "").unwrap();
    }

    /// Waits until a file is there and has content, and gives that.
    #[track_caller]
    pub(crate) fn wait_mark(&self, name: &str) -> String {
        wait_until(&format!("the file {name}; the log: {:?}", self.log_text()), || {
            std::fs::metadata(self.mark(name)).is_ok_and(|m| m.len() > 0)
        });
        std::fs::read_to_string(self.mark(name)).unwrap()
    }

    /// A command agent that only reads, as a script for `sh`.
    pub(crate) fn agent(&self, name: &str, script: &str) {
        self.agent_with(name, script, "writes: false");
    }

    /// A command agent with a further line in its front matter.
    pub(crate) fn agent_with(&self, name: &str, script: &str, line: &str) {
        let path = self.user.home().join(format!("scripts/{name}.sh"));
        let text = format!("M={}\n{PRELUDE}\n{script}\n", self.marks.display());
        self.user.write_home(format!("scripts/{name}.sh"), text);
        let front = format!(
            "---\nname: {name}\ndescription: A worker of a test\nruntime: command\ncommand: [\"sh\", \"{}\"]\n{line}\n---\n",
            path.display()
        );
        self.user.write_home(format!("agents/{name}.md"), front);
    }

    /// A team (a role per agent) and a workflow of the same name. `roles` are further words of roles, such as
    /// `("slow", "maxConcurrency=2")`.
    pub(crate) fn team(&self, name: &str, concurrency: u32, roles: &[(&str, &str)], steps: &[Step]) {
        let mut agents: Vec<&str> = steps.iter().map(|s| s.agent.as_str()).collect();
        agents.sort_unstable();
        agents.dedup();
        let mut team = format!(
            "---\nname: {name}\ndescription: A team of a test\ndefaultWorkflow: {name}\nmaxConcurrency: {concurrency}\n---\n"
        );
        for agent in agents {
            let words: Vec<&str> = roles.iter().filter(|(a, _)| *a == agent).map(|(_, w)| *w).collect();
            writeln!(team, "- {agent}: {}", words.join(" ")).unwrap();
        }
        let mut workflow = format!("---\nname: {name}\ndescription: A workflow of a test\n---\n");
        for step in steps {
            writeln!(workflow, "## {}\nrole: {}", step.name, step.agent).unwrap();
            if !step.after.is_empty() {
                writeln!(workflow, "dependsOn: {}", step.after.join(", ")).unwrap();
            }
            for key in &step.keys {
                writeln!(workflow, "{key}").unwrap();
            }
            workflow.push_str("\nDo it.\n\n");
        }
        self.user.write_home(format!("teams/{name}.team.md"), team);
        self.user.write_home(format!("workflows/{name}.workflow.md"), workflow);
    }

    /// Starts a run of a team in the background.
    #[track_caller]
    pub(crate) fn start(&self, team: &str) -> String {
        self.user.detach(["--team", team, "do it"])
    }

    /// The text of the workers' log.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.mark("log")).unwrap_or_default()
    }

    /// What the workers wrote down.
    #[track_caller]
    pub(crate) fn log(&self) -> Log {
        Log::read(&self.log_text())
    }

    /// Waits until `steps` have started, each at least once, and gives the process of the latest start of each.
    #[track_caller]
    pub(crate) fn wait_started(&self, steps: &[&str]) -> Vec<u32> {
        wait_until(&format!("the start of {steps:?}; the log: {:?}", self.log_text()), || {
            let log = Log::read(&whole_lines(&self.log_text()));
            steps.iter().all(|s| log.starts.iter().any(|l| l.step == *s))
        });
        let log = self.log();
        steps.iter().map(|s| log.starts.iter().rev().find(|l| l.step == *s).unwrap().pid).collect()
    }

    /// The folder in which a run keeps its files.
    #[track_caller]
    pub(crate) fn run_dir(&self, run: &str) -> PathBuf {
        let projects = self.user.home().join("state/projects");
        let found = std::fs::read_dir(&projects).unwrap().map(|e| e.unwrap().path().join("runs").join(run));
        found.into_iter().find(|p| p.is_dir()).unwrap()
    }

    /// The result of a step, byte by byte.
    #[track_caller]
    pub(crate) fn result(&self, run: &str, status: &Value, name: &str) -> Vec<u8> {
        let path = task(status, name)["result"]["path"].as_str().map(PathBuf::from);
        let path = path.unwrap_or_else(|| panic!("step {name} has no result: {status:#}"));
        let path = if path.is_absolute() { path } else { self.run_dir(run).join(path) };
        std::fs::read(path).unwrap()
    }

    /// The daemons that live or are about to: in the tests of crashes there may be one that does not answer yet.
    pub(crate) fn daemons(&self) -> Vec<u32> {
        let all = self.user.processes().into_iter().filter(|p| p.command.ends_with("daemon run"));
        all.map(|p| p.pid).filter(|pid| name(*pid).as_deref() == Some("windlass")).collect()
    }

    /// The process of the shim of an attempt, as the daemon's nursery has named it.
    #[track_caller]
    pub(crate) fn shim_of(&self, worker: u32) -> u32 {
        let shim = parent(worker);
        assert_eq!(name(shim).as_deref(), Some("windlass-shim"), "the parent of worker {worker}");
        shim
    }
}

fn whole_lines(text: &str) -> String {
    text.rfind('\n').map_or("", |at| &text[..=at]).to_owned()
}

/// The parent of a living process.
#[track_caller]
pub(crate) fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The name of a process.
pub(crate) fn name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// Kills a process and waits until it is gone.
#[track_caller]
pub(crate) fn kill(pid: u32) {
    process::signal_pid(pid, 9);
    wait_until("a killed process to be gone", || !process::is_alive(pid));
}

/// A line of the workers' log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) step: String,
    pub(crate) attempt: u32,
    pub(crate) pid: u32,
}

/// What the workers wrote down, in the order in which it happened.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) starts: Vec<Line>,
    pub(crate) ends: Vec<Line>,
    /// For each line: whether it is a start, and its position there.
    order: Vec<(bool, usize)>,
}

impl Log {
    #[track_caller]
    fn read(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            assert_ne!(words[0], "overlap", "two live attempts of one task:\n{text}");
            let ["start" | "end", step, attempt, pid] = words[..] else { continue };
            let entry =
                Line { step: step.into(), attempt: attempt.parse().unwrap(), pid: pid.parse().unwrap() };
            let is_start = words[0] == "start";
            let list = if is_start { &mut log.starts } else { &mut log.ends };
            log.order.push((is_start, list.len()));
            list.push(entry);
        }
        log
    }

    /// How often a step was started.
    pub(crate) fn started(&self, step: &str) -> usize {
        self.starts.iter().filter(|l| l.step == step).count()
    }

    /// How often a step came to its end.
    pub(crate) fn ended(&self, step: &str) -> usize {
        self.ends.iter().filter(|l| l.step == step).count()
    }

    /// The most workers of these steps that ran at once.
    pub(crate) fn most_at_once(&self, of: impl Fn(&str) -> bool) -> usize {
        let (mut now, mut most) = (0usize, 0);
        for &(is_start, at) in &self.order {
            let line = if is_start { &self.starts[at] } else { &self.ends[at] };
            if !of(&line.step) {
                continue;
            }
            now = if is_start { now + 1 } else { now - 1 };
            most = most.max(now);
        }
        most
    }

    /// Whether the first end of one step came before the first start of another.
    pub(crate) fn is_before(&self, first: &str, then: &str) -> bool {
        let place = |is_start: bool, step: &str| {
            self.order.iter().position(|&(start, at)| {
                let line = if start { &self.starts[at] } else { &self.ends[at] };
                start == is_start && line.step == step
            })
        };
        match (place(false, first), place(true, then)) {
            (Some(end), Some(start)) => end < start,
            _ => false,
        }
    }

    /// Every step was started once and came to its end once.
    #[track_caller]
    pub(crate) fn assert_each_once(&self, steps: &[Step]) {
        for step in steps {
            assert_eq!(
                (self.started(&step.name), self.ended(&step.name)),
                (1, 1),
                "starts and ends of {}: {self:#?}",
                step.name
            );
        }
        assert_eq!(self.starts.len(), steps.len(), "{self:#?}");
    }
}

/// A task of a status document, by its step.
#[track_caller]
pub(crate) fn task<'a>(status: &'a Value, name: &str) -> &'a Value {
    let found = status["tasks"].as_array().unwrap().iter().find(|t| t["step"] == name);
    found.unwrap_or_else(|| panic!("no step {name} in {status:#}"))
}

/// The status word of a task.
#[track_caller]
pub(crate) fn state<'a>(status: &'a Value, name: &str) -> &'a str {
    task(status, name)["status"].as_str().unwrap()
}

/// The status word of a run.
#[track_caller]
pub(crate) fn run_state(status: &Value) -> &str {
    status["run"]["status"].as_str().unwrap()
}

/// How the attempts of a task ended, in order: `ended`, `lost` or `voided`.
pub(crate) type Attempts = BTreeMap<String, Vec<String>>;

/// Checks what holds of every journal, and gives the attempts by task.
///
/// Sequence numbers without a gap; per attempt one start and one end of whatever kind; at most one live attempt of a
/// task; a lost attempt swept before the next begins; one end of the run, and nothing after it.
#[track_caller]
pub(crate) fn check_journal(events: &[Value]) -> Attempts {
    let mut attempts: Attempts = BTreeMap::new();
    let mut live: BTreeMap<String, u64> = BTreeMap::new();
    let mut to_sweep: BTreeMap<String, u64> = BTreeMap::new();
    for (event, seq) in events.iter().zip(1u64..) {
        assert_eq!(event["seq"].as_u64(), Some(seq), "a gap or a double at {event}");
        let data = &event["data"];
        let (task, n) = (data["task"].as_str().unwrap_or_default().to_owned(), data["n"].as_u64());
        match event["type"].as_str().unwrap() {
            "attempt.started" => {
                assert_eq!(live.insert(task.clone(), n.unwrap()), None, "two live attempts: {event}");
                assert_eq!(to_sweep.get(&task), None, "started before the lost one was swept: {event}");
                assert_eq!(attempts.entry(task).or_default().len() as u64 + 1, n.unwrap(), "{event}");
            }
            kind @ ("attempt.ended" | "attempt.lost" | "attempt.voided") => {
                assert_eq!(live.remove(&task), n, "the end of an attempt that was not live: {event}");
                let kind = kind.trim_start_matches("attempt.");
                if kind == "lost" {
                    to_sweep.insert(task.clone(), n.unwrap());
                }
                attempts.entry(task).or_default().push(kind.to_owned());
            }
            "attempt.swept" => {
                assert_eq!(to_sweep.remove(&task), n, "swept, but not lost: {event}");
            }
            _ => {}
        }
    }
    attempts
}

/// How many events of a kind there are.
pub(crate) fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|e| e["type"] == kind).count()
}

/// The status words of attempts of a task, without those that were never started.
pub(crate) fn real(attempts: &Attempts, task: &Value) -> Vec<String> {
    let id = task["id"].as_str().unwrap_or_default();
    attempts.get(id).into_iter().flatten().filter(|a| *a != "voided").cloned().collect()
}

/// A source of moments: the same in every run of a test, spread over what it is asked for.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Whether a file holds these bytes.
pub(crate) fn holds(path: &Path, bytes: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|b| b.windows(bytes.len()).any(|w| w == bytes))
}
