//! Before a run exists, its agent program is asked about itself, without a token.

use crate::support::{GOAL, World};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use windlass_testkit::process::Output;
use windlass_testkit::{Reply, Script};

fn world() -> World {
    World::new(Script::always([Reply::text("never asked")]))
}

/// Nothing was created, and nothing asked of a model.
#[track_caller]
fn assert_nothing_happened(world: &World) {
    assert_eq!(world.user.json(["list", "--all", "--json"]), json!({ "runs": [] }));
    assert!(world.server.requests().is_empty(), "a probe costs no token");
    assert_eq!(world.repo.status(), "");
}

#[track_caller]
fn refused(world: &World, parts: &[&str]) -> Output {
    let output = world.user.run(["run", GOAL]).expect_code(5);
    assert_eq!(output.out(), "");
    for part in parts {
        assert!(output.err().contains(part), "{part:?} is not in {}", output.err());
    }
    let error = world.user.run(["run", "--json", GOAL]).expect_code(5).out();
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["error"]["kind"], "missing");
    assert!(!error["error"]["hint"].as_str().unwrap().is_empty());
    assert_nothing_happened(world);
    output
}

/// A folder on PATH in which `pi` is this script.
fn fake_pi(world: &mut World, script: &str) -> PathBuf {
    let folder = world.user.user_home().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let pi = folder.join("pi");
    std::fs::write(&pi, script).unwrap();
    std::fs::set_permissions(&pi, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.user.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()));
    folder
}

#[test]
fn a_missing_pi_is_named_with_the_command_that_installs_it() {
    let mut world = world();
    // Node and pi lie in one folder that is left out here.
    world.user.set("PATH", "/usr/bin:/bin");
    refused(&world, &["`pi`", "was not found", "npm install -g @earendil-works/pi-coding-agent@0.87.1"]);
}

#[test]
fn an_old_pi_is_refused_whatever_else_it_can() {
    let mut world = world();
    fake_pi(&mut world, "#!/bin/sh\necho 0.74.2\n");
    refused(&world, &["pi 0.74.2 is too old", "npm install -g @earendil-works/pi-coding-agent@0.87.1"]);
}

#[test]
fn a_pi_that_does_not_start_is_told_from_one_that_is_missing() {
    let mut world = world();
    fake_pi(&mut world, "#!/bin/sh\necho 'SyntaxError: Unexpected token' >&2\nexit 1\n");
    refused(&world, &["could not say its version", "SyntaxError: Unexpected token"]);
}

#[test]
fn without_any_sign_in_nothing_starts() {
    let world = world();
    world.pi.write("models.json", &json!({ "providers": {} }));
    refused(&world, &["pi is not signed in to any model", "/login"]);
}

#[test]
fn a_model_of_a_provider_without_sign_in_is_refused() {
    let world = world();
    let output = world.user.run(["run", "-m", "anthropic/claude-x", GOAL]).expect_code(5);
    assert!(output.err().contains("cannot sign in to `anthropic`"), "{}", output.err());
    assert_nothing_happened(&world);
}

/// How often the wrapped pi was started, by its arguments.
fn starts(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().lines().count()
}

#[test]
fn the_answer_is_kept_until_the_program_or_its_sign_in_changes() {
    let mut world = world();
    let log = world.user.user_home().join("starts.log");
    let real = world.pi.agents().join("pi");
    let folder = fake_pi(
        &mut world,
        &format!("#!/bin/sh\necho \"$*\" >> {}\nexec {} \"$@\"\n", log.display(), real.display()),
    );
    world.user.set("PATH", format!("{}:{}:/usr/bin:/bin", folder.display(), world.pi.agents().display()));
    let dry = |world: &World| world.user.run(["run", "--dry-run", GOAL]).expect_code(0).out();
    let plan = dry(&world);
    assert!(plan.contains("nothing was started"), "{plan}");
    let asked = starts(&log);
    assert_eq!(asked, 2, "version and models: {}", std::fs::read_to_string(&log).unwrap());
    dry(&world);
    assert_eq!(starts(&log), asked, "the second time nobody is asked");

    let text = std::fs::read_to_string(world.pi.path().join("settings.json")).unwrap();
    let mut settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    settings["theme"] = json!("dark");
    world.pi.write("settings.json", &settings);
    dry(&world);
    assert_eq!(starts(&log), 2 * asked, "changed settings are asked about");
    dry(&world);
    assert_eq!(starts(&log), 2 * asked);

    // A sign-in that is gone is noticed although an answer was kept.
    world.pi.write("models.json", &json!({ "providers": {} }));
    world.user.run(["run", "--dry-run", GOAL]).expect_code(5);
    assert_nothing_happened(&world);
}
