//! The real `pi`, pinned, and a home in which it is signed in to the scripted model server.

use crate::{ModelServer, must, programs};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The version of pi that the tests drive.
pub const PI_VERSION: &str = "0.87.1";

/// The key that pi signs its requests with.
pub const DUMMY_KEY: &str = "dummy-key-of-the-tests";

/// A model with a price, over Anthropic's wire format: `provider/id` as pi takes it.
pub const PRICED: &str = "scripted/priced-1";

/// A model without a price, over Anthropic's wire format.
pub const UNPRICED: &str = "scripted/unpriced-1";

/// A model with a price, over OpenAI's wire format.
pub const OPENAI: &str = "scripted-openai/chat-1";

/// US dollars per million tokens of the priced models: input, output, cache read, cache write.
pub const PRICES: [f64; 4] = [3.0, 15.0, 0.3, 3.75];

/// The folder with the agent programs, `pi` and a Node that it runs on.
///
/// It is `$WINDLASS_TEST_AGENTS`, or `agents/node_modules/.bin` in the build folder, where `cargo xtask test`
/// installs them.
///
/// # Panics
/// When there is no `pi` in it.
pub fn agents_folder() -> PathBuf {
    let folder = match std::env::var_os("WINDLASS_TEST_AGENTS") {
        Some(folder) => PathBuf::from(folder),
        None => programs::build_folder().join("agents/node_modules/.bin"),
    };
    let pi = folder.join("pi");
    assert!(pi.is_file(), "{} is missing: run `cargo xtask agents`, which installs it", pi.display());
    folder
}

/// A user's pi home: agent directory, default model, sign-in.
#[derive(Debug)]
pub struct PiHome {
    folder: TempDir,
    agents: PathBuf,
}

impl PiHome {
    /// A home whose default model is [`PRICED`].
    pub fn new(server: &ModelServer) -> Self {
        Self::with_default(server, PRICED)
    }

    /// A home with another default model, as `provider/id`.
    pub fn with_default(server: &ModelServer, model: &str) -> Self {
        Self::with_key(server, model, DUMMY_KEY)
    }

    /// A home whose key is `key` in pi's own notation: a text, or `$NAME` for a variable of pi's environment.
    ///
    /// # Panics
    /// When the pinned pi is not installed.
    pub fn with_key(server: &ModelServer, model: &str, key: &str) -> Self {
        let folder = must(tempfile::Builder::new().prefix("windlass-pi-").tempdir(), "no temporary folder");
        let home = Self { folder, agents: agents_folder() };
        let (provider, id) = model.split_once('/').unwrap_or(("scripted", model));
        home.write("models.json", &models(&server.url(), key));
        home.write(
            "settings.json",
            &json!({
                "defaultProvider": provider,
                "defaultModel": id,
                "enableInstallTelemetry": false,
                // Pi's own retries stay on, and short.
                "retry": { "enabled": true, "maxRetries": 3, "baseDelayMs": 20 },
            }),
        );
        home
    }

    /// The agent directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder with `pi` and `node`, to be first on PATH.
    pub fn agents(&self) -> &Path {
        &self.agents
    }

    /// What a user's shell would have exported: the agent directory, PATH with Node 24 and pi first, no network.
    pub fn env(&self) -> Vec<(String, OsString)> {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.agents.clone()).chain(std::env::split_paths(&rest));
        let path = must(std::env::join_paths(folders), "a folder on PATH has a colon in its name");
        vec![
            ("PATH".into(), path),
            ("PI_CODING_AGENT_DIR".into(), self.path().into()),
            ("PI_OFFLINE".into(), "1".into()),
            ("PI_TELEMETRY".into(), "0".into()),
            ("PI_SKIP_VERSION_CHECK".into(), "1".into()),
        ]
    }

    /// `pi` itself, in this home and the given folder.
    pub fn pi(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.agents.join("pi"));
        command.envs(self.env()).env("HOME", self.path()).current_dir(folder);
        command
    }

    /// Replaces a file of the agent directory.
    pub fn write(&self, name: &str, content: &Value) {
        let path = self.path().join(name);
        must(
            std::fs::write(&path, format!("{content:#}\n")),
            format_args!("cannot write {}", path.display()),
        );
    }
}

fn models(url: &str, key: &str) -> Value {
    let [input, output, cache_read, cache_write] = PRICES;
    let price =
        json!({ "input": input, "output": output, "cacheRead": cache_read, "cacheWrite": cache_write });
    let limits = |mut model: Value| {
        model["contextWindow"] = json!(200_000);
        model["maxTokens"] = json!(8_192);
        model["input"] = json!(["text"]);
        model["reasoning"] = json!(false);
        model
    };
    json!({
        "providers": {
            "scripted": {
                "baseUrl": url,
                "api": "anthropic-messages",
                "apiKey": key,
                "models": [
                    limits(json!({ "id": "priced-1", "name": "Scripted, with a price", "cost": price })),
                    limits(json!({ "id": "unpriced-1", "name": "Scripted, without a price" })),
                ],
            },
            "scripted-openai": {
                "baseUrl": format!("{url}/v1"),
                "api": "openai-completions",
                "apiKey": key,
                "models": [limits(json!({ "id": "chat-1", "name": "Scripted chat", "cost": price }))],
            },
        },
    })
}
