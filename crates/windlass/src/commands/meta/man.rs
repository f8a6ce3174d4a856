//! `man`: one manual page with every command in it.

use crate::print;
use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;
use windlass_api::{ApiError, ErrorKind};

/// Exit codes and what they say.
const CODES: &[(&str, &str)] = &[
    ("0", "The request was done; for a watched run: it completed."),
    ("1", "The run failed; with --require-proof also: it completed without proof."),
    ("2", "The command line or a named thing is wrong. Nothing happened."),
    ("3", "The run stopped for a person and can go on."),
    ("4", "Refused before anything started: permission, ownership, trust, budget."),
    ("5", "Something that is needed is missing or broken."),
    ("124", "The time of wait ran out; the run goes on."),
    ("130", "The run was cancelled, or watching ended before it did."),
];

/// Variables that are read.
const VARIABLES: &[(&str, &str)] = &[
    ("WINDLASS_HOME", "One folder for user config, resources and state."),
    ("WINDLASS_<RUNTIME>_BIN", "The program of a runtime, such as WINDLASS_PI_BIN."),
    ("WINDLASS_LOG", "What is logged to standard error, such as debug."),
    ("NO_COLOR", "No colour."),
    ("VISUAL, EDITOR", "The editor for goals and files."),
];

/// `windlass man`.
pub(crate) fn man(command: &Command) -> Result<u8, ApiError> {
    let mut root = command.clone().term_width(100).color(clap::ColorChoice::Never);
    root.build();
    let failed = |e: std::io::Error| {
        ApiError::new(ErrorKind::Internal, format!("the manual page cannot be made: {e}"))
    };
    let page = clap_mangen::Man::new(root.clone());
    let mut out = Vec::new();
    page.render_title(&mut out).map_err(failed)?;
    page.render_name_section(&mut out).map_err(failed)?;
    let mut text = String::from(".SH SYNOPSIS\n.B windlass\n[\\fIOPTIONS\\fR] [\\fICOMMAND\\fR]\n");
    section(&mut text, "OPTIONS OF EVERY COMMAND");
    for arg in root.get_arguments().filter(|a| a.is_global_set()) {
        argument(&mut text, arg);
    }
    section(&mut text, "COMMANDS");
    for sub in root.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        subcommand(&mut text, sub, "windlass");
    }
    section(&mut text, "EXIT STATUS");
    list(&mut text, CODES);
    section(&mut text, "ENVIRONMENT");
    list(&mut text, VARIABLES);
    out.extend_from_slice(text.as_bytes());
    print::out(&out)?;
    Ok(0)
}

fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, ".SH \"{title}\"");
}

fn list(out: &mut String, items: &[(&str, &str)]) {
    for (name, what) in items {
        let _ = write!(out, ".TP\n\\fB{}\\fR\n{}\n", escaped(name), escaped(what));
    }
}

fn subcommand(out: &mut String, command: &Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, ".SS \"{}\"\n{}.\n", escaped(&usage), escaped(about.trim_end_matches('.')));
    let own =
        |a: &&Arg| !a.is_hide_set() && !a.is_global_set() && a.get_id() != "help" && a.get_id() != "version";
    for arg in command.get_arguments().filter(own) {
        argument(out, arg);
    }
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        subcommand(out, sub, &name);
    }
}

fn argument(out: &mut String, arg: &Arg) {
    let value = arg.get_value_names().and_then(|n| n.first()).map(|n| n.to_string());
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|c| format!("\\fB{}\\fR", escaped(&format!("-{c}")))));
    names.extend(arg.get_long().map(|l| format!("\\fB{}\\fR", escaped(&format!("--{l}")))));
    let mut head = names.join(", ");
    if arg.is_positional() {
        let name = value.unwrap_or_else(|| arg.get_id().to_string());
        let more = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
        head = format!("\\fI{}{more}\\fR", escaped(&name));
    } else if let Some(value) = value.filter(|_| arg.get_action().takes_values()) {
        let _ = write!(head, " \\fI{}\\fR", escaped(&value));
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, ".TP\n{head}\n{}\n", escaped(&help));
}

/// Text that roff prints as it is.
fn escaped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq").replace('…', "...");
    // A dot or quote at the beginning of a line would be a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_is_read_as_a_request() {
        assert_eq!(escaped(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(escaped("a\\b --c \"d\""), "a\\eb \\-\\-c \\(dqd\\(dq");
    }
}
