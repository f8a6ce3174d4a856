//! Whose environment? The requesting shell's, whichever engine leads the run; and its secrets are written nowhere.

use crate::world::{World, check_journal, holds, kill, run_state, step, task};
use serde_json::Value;
use std::path::{Path, PathBuf};
use windlass_testkit::process::wait_until;

/// Writes what it sees to a file of its own outside Windlass's folders, and says it aloud on every way out there is.
const TELL: &str = r#"start
printf '%s|%s|%s|%s\n' "$OPENAI_API_KEY" "$FOO_TOKEN" "$NOTED" "$(which-shell)" >"$M/seen-$WINDLASS_RUN-$WINDLASS_STEP"
printf 'key %s token %s\n' "$OPENAI_API_KEY" "$FOO_TOKEN"
printf '%s' "$OPENAI_API_KEY" | base64
printf '{"key":"%s"}\n' "$FOO_TOKEN"
echo "complaint about $FOO_TOKEN" >&2
wait_for "go-$WINDLASS_STEP"
end"#;

struct Shell {
    key: String,
    token: String,
    name: &'static str,
}

fn shells() -> [Shell; 2] {
    ["one", "two"].map(|name| Shell {
        key: format!("sk-{name}-4f9a1c77d2e84b60a3"),
        token: format!("token-{name}-\"quoted\"-9b1d5e"),
        name,
    })
}

/// From now on commands come from this shell, or from one that knows nothing.
fn enter(world: &mut World, shell: Option<&Shell>) {
    let path = std::env::var("PATH").unwrap();
    match shell {
        Some(shell) => {
            let folder = world.project.beside().join(format!("bin-{}", shell.name));
            std::fs::create_dir_all(&folder).unwrap();
            let program = folder.join("which-shell");
            std::fs::write(&program, format!("#!/bin/sh\necho {}\n", shell.name)).unwrap();
            world.project.set_mode(&program, 0o755);
            world.user.set("PATH", format!("{}:{path}", folder.display()));
            world.user.set("OPENAI_API_KEY", &shell.key).set("FOO_TOKEN", &shell.token);
        }
        None => {
            world.user.set("PATH", path).unset("OPENAI_API_KEY").unset("FOO_TOKEN");
        }
    }
}

fn team(world: &World) {
    world.agent("tell", TELL);
    world.team("tell", 4, &[], &[step("first", "tell", &[]), step("second", "tell", &["first"])]);
}

/// What a worker saw: key, token, and which program its PATH led to. `NOTED` is of no known kind, so it does not travel.
#[track_caller]
fn check_seen(world: &World, run: &str, name: &str, shell: &Shell) {
    let seen = world.wait_mark(&format!("seen-{run}-{name}"));
    assert_eq!(seen, format!("{}|{}||{}\n", shell.key, shell.token, shell.name));
}

/// Every file below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), into);
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
}

/// No file of Windlass holds a value, in none of the forms in which it could leave.
#[track_caller]
fn assert_nowhere(world: &World, shell: &Shell) {
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    let forms = [
        shell.key.clone(),
        shell.token.clone(),
        json(&shell.token),
        // The whole groups of three bytes are the same wherever the text ends.
        base64(&shell.key)[..20].to_owned(),
    ];
    let mut all = Vec::new();
    files(&world.user.home(), &mut all);
    assert!(all.iter().any(|p| p.ends_with("windlass.db")), "{all:?}");
    for path in all {
        for form in &forms {
            assert!(!holds(&path, form.as_bytes()), "{} holds {form}", path.display());
        }
    }
}

fn base64(text: &str) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in text.as_bytes().chunks_exact(3) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        for shift in [18, 12, 6, 0] {
            out.push(char::from(letters[(bits >> shift) as usize & 63]));
        }
    }
    out
}

fn wait_secret_file(world: &World, run: &str) -> PathBuf {
    let path = world.user.home().join("run").join(format!("{run}.env"));
    assert!(path.is_file(), "{}", path.display());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    path
}

#[test]
fn two_shells_in_one_daemon_that_is_killed() {
    let mut world = World::new();
    team(&world);
    world.user.set("NOTED", "stays behind");
    let [one, two] = shells();
    enter(&mut world, Some(&one));
    let first = world.start("tell");
    enter(&mut world, Some(&two));
    let second = world.start("tell");
    check_seen(&world, &first, "first", &one);
    check_seen(&world, &second, "first", &two);
    wait_secret_file(&world, &first);

    // The next engine is started by a shell that has neither.
    enter(&mut world, None);
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
    world.set("go-first");
    check_seen(&world, &first, "second", &one);
    check_seen(&world, &second, "second", &two);
    world.set("go-second");
    for (run, shell) in [(&first, &one), (&second, &two)] {
        world.user.run(["wait", run]).expect_code(0);
        let status = world.user.status(run);
        check_journal(&world.user.events(run));
        for name in ["first", "second"] {
            let result = String::from_utf8(world.result(run, &status, name)).unwrap();
            assert!(result.starts_with("key ") && result.contains(" token "), "{result}");
            assert!(!result.contains(&shell.key) && !result.contains(&shell.token), "{result}");
        }
        let shown: Vec<String> = [
            vec!["show", run],
            vec!["logs", run],
            vec!["events", run, "--json"],
            vec!["status", run, "--json"],
            vec!["artifacts", run],
        ]
        .into_iter()
        .map(|args| {
            let out = world.user.run(args).expect_code(0);
            out.out() + &out.err()
        })
        .collect();
        for text in shown {
            assert!(!text.contains(&shell.key) && !text.contains(&shell.token), "{text}");
        }
    }
    // The index and the daemon's own file are written; nothing is left of the values.
    wait_until("the files of secrets to be gone", || {
        let mut all = Vec::new();
        files(&world.user.home().join("run"), &mut all);
        !all.iter().any(|p| p.extension().is_some_and(|e| e == "env"))
    });
    assert_nowhere(&world, &one);
    assert_nowhere(&world, &two);
}

fn waits_for_environment(status: &Value) -> bool {
    status["run"]["status"] == "waiting" && status["run"]["waiting"]["for"] == "environment"
}

/// The values are gone with the daemon's memory and the runtime folder: the run waits, and says for what.
fn bereft(world: &mut World, shell: &Shell) -> String {
    team(world);
    enter(world, Some(shell));
    let run = world.start("tell");
    check_seen(world, &run, "first", shell);
    let file = wait_secret_file(world, &run);
    enter(world, None);
    kill(world.user.daemon_pid().unwrap());
    std::fs::remove_file(file).unwrap();
    world.set("go-first");
    world.user.run(["daemon", "start"]).expect_code(0);
    wait_until("the run to wait for its environment", || waits_for_environment(&world.user.status(&run)));
    let status = world.user.status(&run);
    assert_eq!(task(&status, "first")["status"], "completed", "{status:#}");
    let text = world.user.run(["status", &run]).expect_code(0).out();
    assert!(text.contains("FOO_TOKEN") && text.contains("OPENAI_API_KEY"), "{text}");
    run
}

fn check_bereft(world: &World, run: &str, shell: &Shell) {
    check_seen(world, run, "second", shell);
    world.set("go-second");
    let status = world.user.wait_end(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    check_journal(&world.user.events(run));
    assert_nowhere(world, shell);
}

#[test]
fn a_run_without_its_secrets_waits_until_somebody_who_has_them_attaches() {
    let mut world = World::new();
    let [shell, other] = shells();
    let run = bereft(&mut world, &shell);
    // Somebody who has only one of them is not enough.
    world.user.set("FOO_TOKEN", &other.token);
    let poor = world.user.spawn(["attach", &run]);
    poor.wait_stderr("the reason", |e| e.contains("OPENAI_API_KEY"));
    assert!(waits_for_environment(&world.user.status(&run)));
    enter(&mut world, Some(&shell));
    // Wherever they stand: the run is what is meant, not the folder.
    let rich = world.user.spawn(["-C", "/", "attach", &run]);
    check_bereft(&world, &run, &shell);
    poor.wait().expect_code(0);
    rich.wait().expect_code(0);
}

#[test]
fn a_run_without_its_secrets_waits_until_somebody_who_has_them_waits_for_it() {
    let mut world = World::new();
    let [shell, _] = shells();
    let run = bereft(&mut world, &shell);
    enter(&mut world, Some(&shell));
    let waiting = world.user.spawn(["-C", "/", "wait", &run]);
    check_bereft(&world, &run, &shell);
    waiting.wait().expect_code(0);
}

#[test]
fn a_run_without_its_secrets_waits_until_somebody_who_has_them_resumes() {
    let mut world = World::new();
    let [shell, _] = shells();
    let run = bereft(&mut world, &shell);
    enter(&mut world, Some(&shell));
    world.user.run(["resume", "--detach", &run]).expect_code(0);
    check_bereft(&world, &run, &shell);
}
