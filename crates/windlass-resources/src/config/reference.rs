//! The reference page and the JSON schema, made from the table of keys.

use super::keys::{KEYS, Key, Kind, Sensitivity};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;

/// The reference page (Markdown).
pub fn config_reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Windlass reads TOML in layers; the later wins:\n\n\
         1. the defaults below\n\
         2. your own file: `$WINDLASS_HOME/config.toml`, else `$XDG_CONFIG_HOME/windlass/config.toml`, else `~/.config/windlass/config.toml`\n\
         3. the project's file: `.windlass/config.toml` in the repository, as far as you trust it\n\
         4. the environment: `WINDLASS_<RUNTIME>_BIN` names the program of a runtime\n\
         5. flags of the command line\n\n\
         `windlass config list` shows every value in force and where it comes from; `config get`, `set` and `unset` look and change, and leave\n\
         comments in the file alone. An unknown key or a wrong value is an error with file, line and column.\n\n\
         Lengths of time are written as `90s`, `10m`, `2h` or `1h30m`. `none` lifts a limit.\n",
    );
    let mut section = "";
    for key in KEYS {
        let this = key.name.split('.').next().unwrap_or_default();
        if this != section {
            section = this;
            let _ = write!(out, "\n## `{section}`\n");
        }
        let default = match key.default {
            Some(default) => format!("`{default}`"),
            None => "unset".to_owned(),
        };
        let _ = write!(
            out,
            "\n### `{}`\n\n{}\n\n- Type: {}\n- Default: {default}\n- In a project's file: {}\n",
            key.name,
            key.doc,
            key.type_text(),
            project_text(key.sensitivity)
        );
    }
    out
}

fn project_text(sensitivity: Sensitivity) -> &'static str {
    match sensitivity {
        Sensitivity::Free => "counts",
        Sensitivity::MayOnlyTighten => "counts where it is tighter than yours",
        Sensitivity::NamesGates => "counts when you trust the repository's gates",
        Sensitivity::NamesAProgram => "counts only when you trust the repository with everything",
        Sensitivity::UserOnly => "never counts",
    }
}

/// The JSON schema (draft 2020-12) of a config file.
pub fn config_schema() -> Json {
    let mut root = object();
    for key in KEYS {
        let mut at = &mut root;
        let parts: Vec<&str> = key.name.split('.').collect();
        for (n, part) in parts.iter().enumerate() {
            let last = n + 1 == parts.len();
            at = enter(at, part, last.then(|| schema(key)));
        }
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Windlass configuration");
    root
}

fn object() -> Json {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

/// Steps into a property, made when it is not there; a placeholder stands for its possible names.
fn enter<'j>(at: &'j mut Json, part: &str, leaf: Option<Json>) -> &'j mut Json {
    if part.starts_with('<') {
        if part == "<runtime>" && at.get("propertyNames").is_none() {
            at["propertyNames"] = json!({ "enum": super::keys::PROGRAM_RUNTIMES });
        }
        if !at["additionalProperties"].is_object() {
            at["additionalProperties"] = leaf.unwrap_or_else(object);
        }
        return &mut at["additionalProperties"];
    }
    if !at["properties"].is_object() {
        at["properties"] = Json::Object(Map::new());
    }
    let properties = &mut at["properties"];
    if properties.get(part).is_none() {
        properties[part] = leaf.unwrap_or_else(object);
    }
    &mut properties[part]
}

fn schema(key: &Key) -> Json {
    let or_none = |schema: Json, none: bool| {
        if none { json!({ "anyOf": [schema, { "const": "none" }] }) } else { schema }
    };
    let text = || json!({ "type": "string", "minLength": 1 });
    let texts = || json!({ "type": "array", "items": text() });
    let mut schema = match key.kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number { min, max, none } => {
            or_none(json!({ "type": "integer", "minimum": min, "maximum": max }), none)
        }
        Kind::Money => or_none(json!({ "type": "number", "minimum": 0, "maximum": 1_000_000 }), true),
        Kind::Duration { none, .. } => {
            or_none(json!({ "type": "string", "pattern": "^([0-9]+(ms|s|sec|m|min|h|d) *)+$" }), none)
        }
        Kind::Text => text(),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::List => texts(),
        Kind::Program => json!({ "anyOf": [text(), texts()] }),
    };
    schema["description"] = json!(key.doc);
    if let Some(default) = key.default_value() {
        schema["default"] = match default {
            super::Value::Flag(b) => json!(b),
            super::Value::Number(Some(n)) => json!(n),
            super::Value::Money(Some(m)) if m % 1_000_000 == 0 => json!(m / 1_000_000),
            super::Value::List(list) => json!(list),
            other => json!(other.show()),
        };
    }
    schema
}
