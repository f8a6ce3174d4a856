//! Dependencies between our crates point downwards only, and the core's reach nothing that could surprise it.

use serde_json::Value;

/// Our crates by layer, the lowest first. A crate may depend on crates of lower layers only.
const LAYERS: [&[&str]; 6] = [
    &["windlass-events", "windlass-redact"],
    &[
        "windlass-agents",
        "windlass-api",
        "windlass-core",
        "windlass-git",
        "windlass-prompts",
        "windlass-resources",
        "windlass-store",
        "windlass-worker",
    ],
    &["windlass-view"],
    &["windlass-engine"],
    &["windlass-server"],
    &["windlass"],
];

/// Only for tests: nothing that ships may depend on them. The simulator may use any of ours but the binary.
const FOR_TESTS: [&str; 2] = ["windlass-sim", "windlass-testkit"];

/// Chores stand beside the house.
const CHORES: [&str; 1] = ["xtask"];

/// The only libraries that the pure core may name.
const PURE: [&str; 4] = ["windlass-events", "serde", "serde_json", "thiserror"];

pub(super) fn check(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for package in members(metadata) {
        let name = package["name"].as_str().unwrap_or_default();
        if layer(name).is_none() && !FOR_TESTS.contains(&name) && !CHORES.contains(&name) {
            findings.push(format!("{name} is in no layer: give it a place in xtask/src/tidy/layers.rs"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev";
            if let Some(finding) = judge(name, on, for_tests) {
                findings.push(finding);
            }
        }
    }
    findings
}

fn judge(name: &str, on: &str, for_tests: bool) -> Option<String> {
    if matches!(name, "windlass-core" | "windlass-events") && !for_tests && !PURE.contains(&on) {
        return Some(format!("{name} depends on {on}: the pure core names nothing but {}", PURE.join(", ")));
    }
    if FOR_TESTS.contains(&on) && !for_tests && !FOR_TESTS.contains(&name) {
        return Some(format!("{name} depends on {on}, which is for tests"));
    }
    let on_layer = layer(on)?;
    if CHORES.contains(&name) {
        return Some(format!("{name} depends on {on}: chores start the binary, they do not link it"));
    }
    match layer(name) {
        Some(own) if own <= on_layer && !for_tests => {
            Some(format!("{name} depends on {on}, which is not below it"))
        }
        _ => None,
    }
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// The packages of the workspace.
pub(super) fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let members = metadata["workspace_members"].as_array();
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(move |package| members.is_some_and(|members| members.contains(&package["id"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_is_allowed_and_up_and_across_are_not() {
        assert_eq!(judge("windlass-engine", "windlass-core", false), None);
        assert_eq!(judge("windlass", "clap", false), None);
        for (name, on) in [
            ("windlass-core", "windlass-engine"),
            ("windlass-git", "windlass-store"),
            ("windlass-api", "windlass-engine"),
            ("windlass-core", "regex"),
            ("windlass-engine", "windlass-testkit"),
            ("xtask", "windlass-core"),
        ] {
            assert!(judge(name, on, false).is_some(), "{name} -> {on}");
        }
        assert_eq!(judge("windlass", "windlass-testkit", true), None);
        assert_eq!(judge("windlass-core", "proptest", true), None);
        assert_eq!(judge("windlass-sim", "windlass-engine", false), None);
    }
}
