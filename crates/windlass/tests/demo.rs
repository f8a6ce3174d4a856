//! `windlass demo`: the main job, for real but for the model, and every command it prints works as it is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::Command;
use windlass_testkit::process::{self, Output};
use windlass_testkit::terminal::Terminal;
use windlass_testkit::{TempRepo, Windlass};

/// A user who has just installed windlass: it is on PATH, with git and the system's tools, and nothing else is set up.
struct Newcomer {
    windlass: Windlass,
    /// Where they stand: a folder that is no repository.
    folder: TempRepo,
}

impl Newcomer {
    fn new() -> Self {
        let folder = TempRepo::without_git();
        let mut windlass = Windlass::new(env!("CARGO_BIN_EXE_windlass"), folder.path());
        let bin = folder.beside().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_windlass"), bin.join("windlass")).unwrap();
        // No pi, no node: the system's own folders only.
        let mut path = vec![bin];
        for program in ["git", "sh"] {
            let all = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&all).find(|d| d.join(program).is_file()).expect("the program");
            if !found.join("pi").exists() && !path.contains(&found) {
                path.push(found);
            }
        }
        path.extend(["/usr/bin", "/bin"].map(PathBuf::from));
        windlass.set("PATH", std::env::join_paths(path).unwrap());
        // A home of one's own, where a person's would be.
        windlass.unset("WINDLASS_HOME");
        Self { windlass, folder }
    }

    /// A line as a person pastes it into their shell.
    fn shell(&self, line: &str) -> Command {
        let template = self.windlass.command(["version"]);
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.folder.path()).env_clear();
        for (name, value) in template.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    }

    #[track_caller]
    fn paste(&self, line: &str) -> Output {
        let output = process::run(self.shell(line), b"");
        assert!(!output.err().contains("panicked"), "{line}: {}", output.err());
        output
    }
}

/// The commands that are printed, whole lines or quoted in a sentence, as they are printed.
fn commands(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut in_next = false;
    for line in text.lines() {
        let trimmed = line.trim();
        in_next = trimmed.starts_with("next ") || (in_next && line.starts_with("             "));
        let rest = if in_next { trimmed.trim_start_matches("next").trim() } else { trimmed };
        if !rest.starts_with("windlass ") && !rest.starts_with("git ") {
            continue;
        }
        // On a card a command is followed by what it is for.
        let command = if in_next { rest.split("  ").next().unwrap_or(rest) } else { rest };
        found.extend(command.split(" · ").map(|c| c.trim().to_owned()));
    }
    found.dedup();
    found
}

/// Where the demo says that its repository is.
fn repository(text: &str) -> PathBuf {
    let line = text.lines().find_map(|l| l.trim().strip_prefix("The demo's repository: "));
    PathBuf::from(line.unwrap_or_else(|| panic!("no repository is named in:\n{text}")))
}

struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_demo_shows_the_difference_and_the_proof_and_its_commands_work() {
    let newcomer = Newcomer::new();
    let output = newcomer.paste("windlass demo").expect_code(0);
    let (out, err) = (output.out(), output.err());
    let folder = repository(&err);
    let _remove = Remove(folder.clone());

    // It says what it is.
    let said: String = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("a script plays the agents") && said.contains("no model, no key, no network"),
        "{err}"
    );
    // The proof, and the difference.
    assert!(err.contains("✓ done, proven") && err.contains("red → green"), "{err}");
    assert!(out.contains("-echo $(( net + net * rate / 100 ))"), "{out}");
    assert!(out.contains("+echo $(( net + (net * rate + 50) / 100 ))"), "{out}");
    let test = Command::new("./test.sh").current_dir(&folder).output().unwrap();
    assert!(test.status.success(), "it is really mended: {}", String::from_utf8_lossy(&test.stdout));
    // The end card and what comes after it, on their own screens.
    assert!(err.lines().all(|l| l.chars().count() <= 120), "{err}");

    let printed = commands(&err);
    for word in ["diff", "undo", "show", "events", "doctor", "run --agent explorer", "add -p"] {
        assert!(printed.iter().any(|c| c.contains(word)), "`{word}` is not among {printed:?}");
    }
    // The first real run that it offers only reads.
    let real = printed.iter().find(|c| c.contains("--agent explorer")).unwrap();
    let plan = newcomer.paste(&format!("{real} --runtime scaffold --dry-run")).expect_code(0).out();
    assert!(plan.contains("reads") && !plan.contains("writes"), "{plan}");

    // What changes the tree last, so that each finds what the demo left.
    let mut order: Vec<&String> = printed.iter().filter(|c| !c.contains("undo")).collect();
    order.extend(printed.iter().filter(|c| c.contains("undo") && !c.contains("--yes")));
    order.extend(printed.iter().filter(|c| c.contains("undo") && c.contains("--yes")));
    let changed = std::fs::read_to_string(folder.join("prices.sh")).unwrap();
    for command in order {
        if command.contains("add -p") {
            // It asks piece by piece: keep it all.
            let mut terminal = Terminal::start(&newcomer.shell(command), 40, 100);
            terminal.wait_screen("git's question", |s| s.contains("Stage this hunk"));
            terminal.send("y\n");
            let (code, screen) = terminal.wait();
            assert_eq!(code, 0, "{command}: {screen}");
            let staged = process::run(
                newcomer.shell(&format!("git -C {} diff --cached --stat", folder.display())),
                b"",
            );
            assert!(staged.out().contains("prices.sh"), "{command}: {}", staged.out());
        } else if command.contains("undo") && !command.contains("--yes") {
            let mut terminal = Terminal::start(&newcomer.shell(command), 40, 100);
            terminal.wait_screen("the question", |s| s.contains("[y/N]"));
            terminal.send("n\n");
            assert_eq!(terminal.wait().0, 0, "{command}");
            assert_eq!(std::fs::read_to_string(folder.join("prices.sh")).unwrap(), changed);
        } else if command.contains("--agent explorer") {
            // Without pi: what is missing, and the command that mends it.
            let output = newcomer.paste(command).expect_code(5);
            assert!(output.err().contains("npm install"), "{command}: {}", output.err());
        } else if command.contains("doctor") {
            let output = newcomer.paste(command);
            assert!([Some(0), Some(5)].contains(&output.code), "{command}: {}", output.err());
            assert!(output.out().contains("pi"), "{}", output.out());
        } else if command.contains('…') {
            assert!(command.starts_with("windlass run "), "{command}");
        } else {
            let output = newcomer.paste(command).expect_code(0);
            assert!(!output.out().is_empty() || command.contains("undo"), "{command} shows nothing");
        }
    }
    // The last one took the change back: the test fails again.
    assert_ne!(std::fs::read_to_string(folder.join("prices.sh")).unwrap(), changed);
    let test = Command::new("./test.sh").current_dir(&folder).output().unwrap();
    assert!(!test.status.success());
}

#[test]
fn the_demo_is_seen_live_on_a_terminal() {
    let newcomer = Newcomer::new();
    for columns in [80, 40] {
        let terminal = Terminal::start(&newcomer.shell("windlass demo"), 50, columns);
        terminal.wait_screen("the bar", |s| s.contains("of 3"));
        terminal.wait_screen("the second agent", |s| s.contains("● execute"));
        let (code, screen, raw) = terminal.wait_all();
        assert_eq!(code, 0, "{screen}");
        let text = String::from_utf8_lossy(&raw).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        for words in ["done, proven", "red", "green", "The demo's repository"] {
            assert!(text.contains(words), "{words} was not shown:\n{screen}");
        }
        // Nobody is asked anything: there is nothing to trust that the user did not type.
        assert!(!text.contains("[a/g/n]") && !text.contains("red already"), "{screen}");
        let folder = newcomer.windlass.json(["list", "--all", "--json"])["runs"][0]["cwd"]
            .as_str()
            .unwrap()
            .to_owned();
        let _remove = Remove(folder.into());
    }
}

#[test]
fn the_demo_for_programs_and_in_a_folder_of_ones_own() {
    let newcomer = Newcomer::new();
    let output = newcomer.paste("windlass demo --json --folder here/it/is").expect_code(0);
    let lines: Vec<serde_json::Value> =
        output.out().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["type"], "run.created");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["status"], &last["proof"], &last["exit"]),
        (&"completed".into(), &"proven".into(), &0.into())
    );
    let folder = newcomer.folder.path().join("here/it/is");
    assert!(folder.join("prices.sh").is_file());
    // What is there already is nobody's to overwrite.
    let before = newcomer.folder.snapshot();
    let refused = newcomer.paste("windlass demo --folder here/it/is").expect_code(2);
    assert!(refused.err().contains("not empty"), "{}", refused.err());
    assert_eq!(newcomer.folder.snapshot(), before);
    // Quiet is quiet, and still a demo.
    let quiet = newcomer.paste("windlass demo -q --folder again").expect_code(0);
    assert!(quiet.out().contains("VERIFICATION: PASS"), "{}", quiet.out());
}

#[test]
fn the_demo_without_git_says_what_it_needs() {
    let mut newcomer = Newcomer::new();
    let bin = newcomer.folder.beside().join("bin");
    let sh = PathBuf::from("/bin/sh");
    std::os::unix::fs::symlink(sh, bin.join("sh")).unwrap();
    newcomer.windlass.set("PATH", bin);
    let output = newcomer.paste("windlass demo").expect_code(5);
    assert!(output.err().contains("git"), "{}", output.err());
}
