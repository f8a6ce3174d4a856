//! The generated reference pages: the command line and the configuration, from what the program itself knows.

use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;
use std::path::Path;
use windlass_api::{ApiError, ErrorKind};
use windlass_resources::config::reference::{config_reference, config_schema};
use windlass_resources::text::write_atomic;

/// `windlass __docs FOLDER`: writes every page into the folder.
pub(crate) fn docs(folder: &Path, command: &mut Command) -> Result<u8, ApiError> {
    let internal = |m: String| ApiError::new(ErrorKind::Internal, m);
    let mut schema = serde_json::to_string_pretty(&config_schema()).map_err(|e| internal(e.to_string()))?;
    schema.push('\n');
    let pages = [("cli.md", cli(command)), ("config.md", config_reference()), ("config.schema.json", schema)];
    for (name, text) in pages {
        let path = folder.join(name);
        write_atomic(&path, text.as_bytes())
            .map_err(|e| internal(format!("{} cannot be written: {e}", path.display())))?;
    }
    Ok(0)
}

/// The page of the command line.
fn cli(command: &mut Command) -> String {
    // Wrapping by the terminal at hand would make another page on every machine.
    let mut root = command.clone().term_width(100).color(clap::ColorChoice::Never);
    root.build();
    let mut out = String::from("# Command line\n\n");
    let _ = write!(
        out,
        "Made from the program by `cargo xtask generate`. `windlass COMMAND --help` says the same.\n\n{}.\n",
        about(&root)
    );
    out.push_str("\n## Options of every command\n\n");
    for arg in root.get_arguments().filter(|a| a.is_global_set() && !a.is_hide_set()) {
        option(&mut out, arg);
    }
    for sub in root.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        page(&mut out, sub, "windlass", 2);
    }
    out
}

fn page(out: &mut String, command: &Command, above: &str, level: usize) {
    let name = format!("{above} {}", command.get_name());
    let _ = write!(out, "\n{} `{name}`\n\n{}.\n", "#".repeat(level.min(6)), about(command));
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        let _ = write!(out, "\nAlso: `{}`\n", aliases.join("`, `"));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    let _ = write!(out, "\n```text\n{usage}\n```\n");
    let own =
        |a: &&Arg| !a.is_hide_set() && !a.is_global_set() && a.get_id() != "help" && a.get_id() != "version";
    let (places, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(own).partition(|a| a.is_positional());
    if places.len() + options.len() > 0 {
        out.push('\n');
    }
    for arg in places {
        let name = arg
            .get_value_names()
            .and_then(|n| n.first())
            .map_or_else(|| arg.get_id().to_string(), ToString::to_string);
        let more = if matches!(arg.get_action(), ArgAction::Append) { "…" } else { "" };
        let _ = writeln!(out, "- `{name}{more}`: {}{}", help(arg), choices(arg));
    }
    for arg in options {
        option(out, arg);
    }
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        page(out, sub, &name, level + 1);
    }
}

fn option(out: &mut String, arg: &Arg) {
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|c| format!("-{c}")));
    names.extend(arg.get_long().map(|l| format!("--{l}")));
    let value = if arg.get_action().takes_values() {
        let name = arg.get_value_names().and_then(|n| n.first()).map_or("VALUE", |n| n.as_str());
        format!(" <{name}>")
    } else {
        String::new()
    };
    let _ = writeln!(out, "- `{}{value}`: {}{}", names.join(", "), help(arg), choices(arg));
}

fn choices(arg: &Arg) -> String {
    let mut out = String::new();
    if arg.get_action().takes_values() {
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|v| !v.is_hide_set())
            .map(|v| format!("`{}`", v.get_name()))
            .collect();
        if !values.is_empty() {
            let _ = write!(out, "; one of {}", values.join(", "));
        }
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|v| format!("`{}`", v.to_string_lossy())).collect();
        if !defaults.is_empty() {
            let _ = write!(out, "; default {}", defaults.join(", "));
        }
    }
    out
}

fn help(arg: &Arg) -> String {
    one_line(arg.get_help().map(ToString::to_string).unwrap_or_default())
}

fn about(command: &Command) -> String {
    let text = one_line(command.get_about().map(ToString::to_string).unwrap_or_default());
    text.trim_end_matches('.').to_owned()
}

fn one_line(text: String) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
