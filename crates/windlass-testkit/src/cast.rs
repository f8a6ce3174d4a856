//! Who works for a user: agents, teams, workflows and rehearsal scripts, written as the files people write.

use crate::{Windlass, must, programs};
use serde_json::Value;
use std::path::PathBuf;

impl Windlass {
    /// An agent of the user that runs this argument vector; `keys` are further lines of its front matter, such as
    /// `writes: true`. Gives the file.
    pub fn command_agent<S: AsRef<str>>(
        &self,
        name: &str,
        argv: impl IntoIterator<Item = S>,
        keys: &str,
    ) -> PathBuf {
        let argv: Vec<String> = argv.into_iter().map(|word| word.as_ref().to_owned()).collect();
        // A JSON list is a YAML list.
        let command = Value::from(argv);
        let keys = if keys.is_empty() { String::new() } else { format!("{}\n", keys.trim_end()) };
        self.write_home(
            format!("agents/{name}.md"),
            format!("---\nname: {name}\nruntime: command\ncommand: {command}\n{keys}---\n"),
        )
    }

    /// An agent of the user that runs the fake worker with these steps.
    pub fn fake_agent(&self, name: &str, steps: &[&str], keys: &str) -> PathBuf {
        let worker = programs::fake_worker().display().to_string();
        self.command_agent(name, std::iter::once(worker.as_str()).chain(steps.iter().copied()), keys)
    }

    /// An agent of the user that runs a line of shell.
    pub fn shell_agent(&self, name: &str, line: &str, keys: &str) -> PathBuf {
        self.command_agent(name, ["sh", "-c", line], keys)
    }

    /// An agent of the user that a model plays, with these tools.
    pub fn model_agent(&self, name: &str, tools: &str) -> PathBuf {
        self.write_home(
            format!("agents/{name}.md"),
            format!("---\nname: {name}\ndescription: plays {name}\ntools: {tools}\n---\nYou are {name}.\n"),
        )
    }

    /// A team of the user whose roles are played by the agents of the same names, with a workflow of the team's name whose
    /// file has this body; `keys` are lines of the team's front matter, such as `maxConcurrency: 4`.
    pub fn team(&self, name: &str, roles: &[&str], keys: &str, workflow: &str) {
        let roles: String = roles.iter().map(|role| format!("- {role}: agent={role}\n")).collect();
        let keys = if keys.is_empty() { String::new() } else { format!("{}\n", keys.trim_end()) };
        self.write_home(
            format!("teams/{name}.team.md"),
            format!(
                "---\nname: {name}\ndescription: team {name}\ndefaultWorkflow: {name}\n{keys}---\n{roles}"
            ),
        );
        self.write_home(
            format!("workflows/{name}.workflow.md"),
            format!("---\nname: {name}\ndescription: workflow {name}\n---\n{workflow}"),
        );
    }

    /// A rehearsal script with these scenes. Gives the file, for `--script`.
    pub fn script(&self, scenes: Value) -> PathBuf {
        let text = must(
            serde_json::to_string_pretty(&serde_json::json!({ "version": 1, "scenes": scenes })),
            "a script that is no JSON",
        );
        self.write_home("script.json", text)
    }
}
