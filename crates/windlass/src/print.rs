//! Results on standard output, everything else on standard error. A closed pipe ends the program quietly.

use crate::context::Context;
use std::io::Write;
use std::process::ExitCode;
use windlass_api::status::{ErrorDoc, FailedDoc};
use windlass_api::{ApiError, ErrorKind};
use windlass_view::{Line, Look, Paint};

/// Writes to standard output.
///
/// # Errors
/// Of kind `internal` when it cannot be written; a reader that left is no error.
pub(crate) fn out(bytes: &[u8]) -> Result<(), ApiError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(ApiError::new(ErrorKind::Internal, format!("standard output cannot be written: {e}")))
        }
        _ => Ok(()),
    }
}

/// Writes what a worker said to standard output: byte for byte, except on a terminal, where control characters are shown as such.
///
/// # Errors
/// As [`out`].
pub(crate) fn result(bytes: &[u8]) -> Result<(), ApiError> {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        return out(crate::commands::look::escape_lines(bytes).as_bytes());
    }
    out(bytes)
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
/// As [`out`].
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<(), ApiError> {
    let mut bytes = serde_json::to_vec(value).map_err(|e| {
        ApiError::new(ErrorKind::Internal, format!("the result cannot be written as JSON: {e}"))
    })?;
    bytes.push(b'\n');
    out(&bytes)
}

/// Writes lines to standard output, painted where it is a terminal.
///
/// # Errors
/// As [`out`].
pub(crate) fn lines(context: &Context, lines: &[Line]) -> Result<(), ApiError> {
    use std::io::IsTerminal;
    let paint = context.paint(std::io::stdout().is_terminal());
    out(paint.lines(lines).as_bytes())
}

/// The same for lines of any length: on a terminal they are wrapped to its width, with `indent` blanks before what goes on.
///
/// # Errors
/// As [`out`].
pub(crate) fn wrapped(context: &Context, all: Vec<Line>, indent: usize) -> Result<(), ApiError> {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return lines(context, &all);
    }
    let width = context.width(true);
    lines(context, &all.into_iter().flat_map(|line| line.wrap(width, indent)).collect::<Vec<_>>())
}

/// Writes lines to standard error. What cannot be written there cannot be said anywhere.
pub(crate) fn err_lines(context: &Context, lines: &[Line]) {
    let paint = context.paint(context.err_is_terminal());
    let _ = std::io::stderr().lock().write_all(paint.lines(lines).as_bytes());
}

/// Writes a note to standard error, unless less is to be said.
pub(crate) fn note(context: &Context, text: &str) {
    if !context.global.quiet {
        let look = context.look(context.width(context.err_is_terminal()));
        err_lines(context, &windlass_view::problem::note(text, &look));
    }
}

/// Prints an error as people or programs read it, and gives its exit code.
pub(crate) fn api_error(error: &ApiError, json: bool, context: Option<&Context>) -> ExitCode {
    let doc = ErrorDoc::new(error.kind.as_str(), error.message.as_str()).hint(error.hint.as_str());
    if json {
        let failed = FailedDoc { error: doc };
        if let Ok(mut bytes) = serde_json::to_vec(&failed) {
            bytes.push(b'\n');
            let _ = std::io::stdout().lock().write_all(&bytes);
        }
    } else {
        match context {
            Some(context) => {
                let look = context.look(context.width(context.err_is_terminal()));
                err_lines(context, &windlass_view::problem::error(&doc, &look));
            }
            None => {
                let paint = Paint { color: false, ascii: false };
                let text = paint.lines(&windlass_view::problem::error(&doc, &Look::new(100)));
                let _ = std::io::stderr().lock().write_all(text.as_bytes());
            }
        }
    }
    ExitCode::from(error.kind.exit_code())
}

/// Prints what is wrong with a command line, or the help that was asked for.
pub(crate) fn usage_error(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind as Kind;
    if matches!(error.kind(), Kind::DisplayHelp | Kind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // What is not UTF-8 may well be what is wrong.
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let json = typed.iter().any(|a| a == "--json");
    if error.kind() == Kind::InvalidSubcommand {
        return api_error(&no_command(error, &typed), json, None);
    }
    if json {
        let message = error.to_string();
        let message = message.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
        return api_error(
            &ApiError::new(ErrorKind::Usage, message).hint("see `windlass --help`"),
            true,
            None,
        );
    }
    let _ = error.print();
    ExitCode::from(2)
}

/// A word that is no command: a goal, or one that was mistyped.
fn no_command(error: &clap::Error, typed: &[String]) -> ApiError {
    use clap::CommandFactory;
    if let Some(goal) = typed.iter().find(|a| a.contains(char::is_whitespace)) {
        let quoted = goal.replace('\'', "'\\''");
        return ApiError::new(ErrorKind::Usage, "that is no command of windlass")
            .hint(format!("to have it done, type: windlass run '{quoted}'"));
    }
    let word = match error.get(clap::error::ContextKind::InvalidSubcommand) {
        Some(clap::error::ContextValue::String(word)) => word.as_str(),
        _ => "",
    };
    let shown = windlass_resources::diag::escape(word);
    let command = crate::cli::Cli::command();
    let names: Vec<&str> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .flat_map(|c| std::iter::once(c.get_name()).chain(c.get_visible_aliases()))
        .collect();
    let error = ApiError::new(ErrorKind::Usage, format!("there is no command `{shown}`"));
    match windlass_resources::diag::nearest(word, names) {
        Some(near) => error.hint(format!("did you mean `windlass {near}`?")),
        None => error.hint("`windlass --help` lists the commands; a goal goes with `windlass run`"),
    }
}

/// Writes a text of our own to standard error.
pub(crate) fn err_text(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
