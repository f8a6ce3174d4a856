//! What of the user's pi comes into a worker: sign-in, model and provider packages. No other extension, and no session.

use crate::support::{GOAL, World, attempts, files, mend};
use serde_json::json;
use std::fs;
use windlass_testkit::{Reply, Rule, Script};

fn script() -> Script {
    Script::new().rule(Rule::new("executor").any_user(GOAL).replies([mend(), Reply::text("Mended.\n")]))
}

#[test]
fn provider_packages_load_and_no_other_extension_does() {
    let world = World::new(script());
    let log = world.user.user_home().join("loaded.log");
    let say = |name: &str| {
        format!(
            "import {{ appendFileSync }} from 'node:fs';\nappendFileSync({:?}, '{name}\\n');\n",
            log.display().to_string()
        )
    };
    let write = |path: &str, text: String| {
        let path = world.pi.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // One brings a tool, one the model that the user works with; a third lies where pi finds extensions by itself.
    write(
        "tools/package.json",
        json!({ "name": "tools", "pi": { "extensions": ["./index.ts"] } }).to_string(),
    );
    write("tools/index.ts", format!("{}export default (pi) => {{}};\n", say("tools")));
    write("extensions/found.ts", format!("{}export default (pi) => {{}};\n", say("found")));
    write(
        "maker/package.json",
        json!({ "name": "maker", "pi": { "extensions": ["./index.ts"] } }).to_string(),
    );
    let model = json!({
        "id": "made-1", "name": "Made", "reasoning": false, "input": ["text"], "contextWindow": 200_000, "maxTokens": 8_192,
        "cost": { "input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75 },
    });
    let provider = json!({
        "baseUrl": world.server.url(), "apiKey": "key-of-the-package", "api": "anthropic-messages", "models": [model],
    });
    write(
        "maker/index.ts",
        format!("{}export default (pi) => {{ pi.registerProvider('maker', {provider}); }};\n", say("maker")),
    );
    world.pi.write(
        "settings.json",
        &json!({
            "defaultProvider": "maker", "defaultModel": "made-1", "enableInstallTelemetry": false,
            "packages": ["./tools", "./maker"],
        }),
    );

    world.user.run(["run", "--gate", "./test.sh", GOAL]).expect_code(0);
    world.server.assert_all_expected();
    let status = world.last();
    assert_eq!(attempts(&status, "execute")[0]["model"], "maker/made-1");
    assert!(world.server.requests().iter().all(|request| request.signed_with("key-of-the-package")));
    let loaded = fs::read_to_string(&log).unwrap();
    assert!(loaded.lines().all(|line| line == "maker") && !loaded.is_empty(), "{loaded}");
}

#[test]
fn sessions_stay_in_the_runs_folder_and_the_users_own_are_not_touched() {
    let mut world = World::new(script());
    // As most users have it: no variable, everything under their home.
    let own = world.user.user_home().join(".pi/agent");
    fs::create_dir_all(own.join("sessions/--elsewhere--")).unwrap();
    for name in ["settings.json", "models.json"] {
        fs::copy(world.pi.path().join(name), own.join(name)).unwrap();
    }
    fs::write(own.join("sessions/--elsewhere--/mine.jsonl"), "{\"type\":\"session\"}\n").unwrap();
    fs::write(own.join("AGENTS.md"), "USERS-OWN-CONTEXT-44aa\n").unwrap();
    world.user.unset("PI_CODING_AGENT_DIR");
    let before = files(&own.join("sessions"));

    world.user.run(["run", "--gate", "./test.sh", GOAL]).expect_code(0);
    world.server.assert_all_expected();
    assert_eq!(files(&own.join("sessions")), before);
    assert_eq!(fs::read_to_string(&before[0]).unwrap(), "{\"type\":\"session\"}\n");
    let status = world.last();
    let session = attempts(&status, "execute")[0]["session"].as_str().unwrap();
    let kept: Vec<_> = files(&world.user.home().join("state"))
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(&format!("_{session}.jsonl")))
        .collect();
    assert_eq!(kept.len(), 1, "the session is in the run's folder");
    assert!(kept[0].to_string_lossy().contains(&format!("/runs/{}/", status["run"]["id"].as_str().unwrap())));
    assert_eq!(world.repo.status(), " M greeting.txt\n");
}
