//! `demo`: the main job on a throw-away repository, with a script in the agents' place.

use crate::cli::{DemoArgs, RunArgs};
use crate::commands::run;
use crate::context::Context;
use crate::{print, watch};
use std::path::{Path, PathBuf};
use std::process::Command;
use windlass_api::request::RunRequest;
use windlass_api::{ApiError, ErrorKind};
use windlass_events::RunStatus;

/// What the agents of the demo play.
const SCRIPT: &str = include_str!("demo/script.json");
/// The files of its repository.
const FILES: &[(&str, &str, bool)] = &[
    ("README.md", include_str!("demo/README.md"), false),
    ("prices.sh", include_str!("demo/prices.sh"), true),
    ("test.sh", include_str!("demo/test.sh"), true),
];
/// What is asked for.
const GOAL: &str = "The test ./test.sh fails. Find out why and mend it.";

/// Shows the main job at work.
pub(crate) fn demo(context: &Context, args: &DemoArgs) -> Result<u8, ApiError> {
    let folder = make(context, args.folder.as_deref())?;
    print::note(
        context,
        &format!(
            "a small repository with a failing test is in {}; a script plays the agents (no model, no key, no network), \
             everything else is real: engine, workers, git, gate",
            folder.display()
        ),
    );
    let mut global = context.global.clone();
    global.directory = Some(folder.clone());
    let here = Context::new(global)?;
    let request = RunRequest {
        goal: GOAL.to_owned(),
        cwd: folder.to_string_lossy().into_owned(),
        team: Some("fast-fix".to_owned()),
        runtime: Some("rehearsal".to_owned()),
        gates: vec!["./test.sh".to_owned()],
        script: Some(SCRIPT.to_owned()),
        env: Context::shell_env(),
        ..RunRequest::default()
    };
    let quiet = here.global.json;
    let code = run::begin(&here, request, &RunArgs::default())?;
    if quiet || code != 0 {
        return Ok(code);
    }
    tell(&here, &folder)?;
    Ok(code)
}

/// The difference, and what to type next.
fn tell(context: &Context, folder: &Path) -> Result<(), ApiError> {
    let id = crate::names::run(context, "last")?;
    let state = watch::stored(context, id)?;
    if state.status() != RunStatus::Completed {
        return Ok(());
    }
    let diff = crate::cli::DiffArgs { address: Some(id.to_string()), task: None, stat: false, binary: false };
    crate::commands::look::diff(context, &diff)?;
    let dir = folder.display();
    let text = format!(
        "\nWhat you saw: three agents in turn, the change made by the second, and `./test.sh` red before and green after,\n\
         run by Windlass itself. Look closer, or take it back:\n\n\
         \x20 windlass show {id}\n\
         \x20 windlass events {id}\n\
         \x20 windlass undo {id} --yes\n\n\
         Now for real, in a repository of yours. Reading only, so cheap and safe to begin with (needs `pi`, signed in):\n\n\
         \x20 windlass doctor\n\
         \x20 windlass run --agent explorer \"How is this repository built and tested?\"\n\n\
         Then let it work: windlass run \"…\"\n\n\
         The demo's repository: {dir}\n"
    );
    print::err_text(&text);
    Ok(())
}

fn make(context: &Context, folder: Option<&Path>) -> Result<PathBuf, ApiError> {
    let fail = |what: &str, e: &dyn std::fmt::Display| {
        ApiError::new(ErrorKind::Missing, format!("the demo's repository cannot be made: {what}: {e}"))
    };
    if context.git().is_none() {
        return Err(ApiError::new(ErrorKind::Missing, "the demo needs git 2.41 or later")
            .hint("install git, then again"));
    }
    let folder = match folder {
        Some(folder) => {
            let folder = context.cwd.join(folder);
            if folder.exists() && std::fs::read_dir(&folder).is_ok_and(|mut d| d.next().is_some()) {
                return Err(ApiError::new(ErrorKind::Usage, format!("{} is not empty", folder.display())));
            }
            std::fs::create_dir_all(&folder).map_err(|e| fail("its folder", &e))?;
            folder
        }
        // Kept: the commands that the demo prints are for it.
        None => tempfile::Builder::new()
            .prefix("windlass-demo-")
            .tempdir()
            .map_err(|e| fail("its folder", &e))?
            .keep(),
    };
    let folder = folder.canonicalize().map_err(|e| fail("its folder", &e))?;
    for (name, content, executable) in FILES {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|e| fail(name, &e))?;
        if *executable {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
                .map_err(|e| fail(name, &e))?;
        }
    }
    let git = |args: &[&str]| -> Result<(), ApiError> {
        let out = Command::new("git")
            .args([
                "-c",
                "user.name=windlass demo",
                "-c",
                "user.email=demo@localhost",
                "-c",
                "commit.gpgSign=false",
            ])
            .args([
                "-c",
                "init.defaultBranch=main",
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "advice.detachedHead=false",
            ])
            .args(args)
            .current_dir(&folder)
            .output()
            .map_err(|e| fail("git", &e))?;
        if out.status.success() {
            Ok(())
        } else {
            Err(fail("git", &String::from_utf8_lossy(&out.stderr).trim()))
        }
    };
    git(&["init", "-q"])?;
    git(&["add", "-A"])?;
    git(&["commit", "-q", "-m", "A shop's prices, with a test that fails"])?;
    Ok(folder)
}
