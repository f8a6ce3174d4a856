//! `doctor`: whether everything that Windlass needs is there and whole, one line each, with the command that mends it.
//!
//! Looking changes nothing. With `--fix`, damaged ends of journals are set aside (their bytes are kept), wrong caches are made
//! again, plain copies that are missing or damaged too, and sockets that nobody can listen on any more are removed. No data is ever deleted.
//!
//! Map: [`machine`] git, folders, daemon, sandbox · [`programs`] agent programs · [`stores`] journals and workers of every project,
//! with [`copies`] the plain files of its runs.

mod copies;
mod machine;
mod programs;
mod stores;

use crate::cli::DoctorArgs;
use crate::commands::setup::view::View;
use crate::context::Context;
use crate::print;
use serde::Serialize;
use windlass_api::ApiError;
use windlass_view::theme::Tone;
use windlass_view::{Line, text};

/// Below this width what was found stands under its name.
const NARROW: usize = 44;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// It was not, and now is.
    Mended,
    /// Worth knowing; everything else goes on.
    Warn,
    /// Something does not work.
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    status: Status,
    detail: String,
    /// The command, or the words, that mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// All lines so far.
#[derive(Debug, Default)]
struct Report {
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, status: Status, name: impl Into<String>, detail: impl Into<String>) {
        self.checks.push(Check { name: name.into(), status, detail: detail.into(), fix: None });
    }

    fn ok(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.add(Status::Ok, name, detail);
    }

    fn mended(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.add(Status::Mended, name, detail);
    }

    fn warn(&mut self, name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) {
        self.add(Status::Warn, name, detail);
        self.fix(fix);
    }

    fn fail(&mut self, name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) {
        self.add(Status::Fail, name, detail);
        self.fix(fix);
    }

    /// What mends the last line.
    fn fix(&mut self, fix: impl Into<String>) {
        let fix = fix.into();
        if let Some(last) = self.checks.last_mut().filter(|_| !fix.is_empty()) {
            last.fix = Some(fix);
        }
    }

    fn has(&self, status: Status) -> bool {
        self.checks.iter().any(|c| c.status == status)
    }
}

/// `windlass doctor`.
pub(crate) fn doctor(context: &Context, args: &DoctorArgs) -> Result<u8, ApiError> {
    let mut report = Report::default();
    machine::git(&mut report);
    machine::state(context, &mut report);
    machine::runtime(context, &mut report);
    machine::daemon(context, &mut report);
    machine::sockets(context, args.fix, &mut report);
    let view = match View::load(context) {
        Ok(view) => {
            setup(&view, &mut report);
            Some(view)
        }
        Err(e) => {
            report.fail("project", e.message, e.hint);
            None
        }
    };
    programs::agents(context, view.as_ref(), &mut report);
    machine::sandbox(&mut report);
    stores::all(context, args.fix, &mut report);
    let code = if report.has(Status::Fail) { 5 } else { 0 };
    if context.global.json {
        print::json(&serde_json::json!({ "ok": code == 0, "checks": report.checks }))?;
    } else {
        print::lines(context, &lines(&report, context))?;
    }
    Ok(code)
}

/// Config, resources, trust.
fn setup(view: &View, report: &mut Report) {
    let errors = view.findings.iter().filter(|d| d.is_error()).count();
    match view.findings.iter().find(|d| d.is_error()) {
        Some(first) => report.fail(
            "config",
            if errors == 1 { first.render() } else { format!("{} and {} more", first.render(), errors - 1) },
            "correct the file; `windlass validate` shows the place",
        ),
        None => report.ok("config", "every value is understood"),
    }
    let found = windlass_resources::validate::validate(&view.catalog);
    let errors: Vec<_> = found.iter().filter(|d| d.is_error()).collect();
    let counts = format!(
        "{} agents, {} teams, {} workflows, {} skills",
        view.catalog.agents.usable().count(),
        view.catalog.teams.usable().count(),
        view.catalog.workflows.usable().count(),
        view.catalog.skills.usable().count(),
    );
    match errors.as_slice() {
        [] => report.ok("resources", counts),
        [one] => report.fail("resources", one.render(), "windlass validate"),
        [first, rest @ ..] => {
            report.fail(
                "resources",
                format!("{} and {} more", first.render(), rest.len()),
                "windlass validate",
            );
        }
    }
    if view.root.is_some() {
        match (&view.stored, view.decision.notice()) {
            (Err(why), _) => report.fail("trust", why.clone(), "windlass trust"),
            (Ok(_), Some(notice)) => report.warn("trust", notice, "windlass trust"),
            (Ok(_), None) => report.ok(
                "trust",
                match view.decision.answer() {
                    windlass_resources::trust::Answer::All => "this repository is trusted",
                    windlass_resources::trust::Answer::GatesOnly => {
                        "only the gates of this repository are used"
                    }
                    windlass_resources::trust::Answer::None => "nothing of this repository is used",
                },
            ),
        }
    }
}

fn lines(report: &Report, context: &Context) -> Vec<Line> {
    let width = context.width(std::io::IsTerminal::is_terminal(&std::io::stdout()));
    let narrow = width < NARROW;
    let longest = report.checks.iter().map(|c| text::width(&text::clean(&c.name))).max().unwrap_or(0);
    let column = if narrow { 2 } else { longest.min(20) + 10 };
    let mut out = Vec::new();
    for check in &report.checks {
        let (word, tone) = match check.status {
            Status::Ok => ("ok", Tone::Good),
            Status::Mended => ("mended", Tone::Good),
            Status::Warn => ("warn", Tone::Warn),
            Status::Fail => ("fail", Tone::Bad),
        };
        let mut first = Line::of(tone, word);
        first.pad_to(8);
        let clean = text::clean(&check.detail);
        let room = width.saturating_sub(column);
        let mut parts = text::wrap(&clean, room).into_iter();
        if narrow {
            first.push_fit(Tone::Strong, &check.name, width.saturating_sub(8));
        } else {
            first.push(Tone::Strong, &check.name);
            let long = first.width() > column;
            first.pad_to(column);
            if !long {
                first.push(Tone::Plain, parts.next().unwrap_or_default());
            }
        }
        out.push(first);
        let mut below = |tone: Tone, text: &str| {
            let mut line = Line::new();
            line.pad_to(column).push(tone, text);
            out.push(line);
        };
        parts.for_each(|part| below(Tone::Plain, &part));
        for fix in check.fix.iter().flat_map(|f| f.lines()) {
            let fix = format!("→ {}", text::clean(fix));
            if narrow {
                text::wrap(&fix, room).iter().for_each(|part| below(Tone::Strong, part));
            } else {
                // On one line, so that it can be copied.
                below(Tone::Strong, &fix);
            }
        }
    }
    let number = |s: Status| report.checks.iter().filter(|c| c.status == s).count() as u64;
    let (failed, warned, mended) = (number(Status::Fail), number(Status::Warn), number(Status::Mended));
    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if warned > 0 {
        parts.push(windlass_view::human::plural(warned, "warning", "warnings"));
    }
    if mended > 0 {
        parts.push(format!("{mended} mended"));
    }
    out.push(Line::new());
    let (tone, verdict) = match (failed, parts.is_empty()) {
        (0, true) => (Tone::Good, "all is well".to_owned()),
        (0, false) => (Tone::Plain, format!("nothing fails; {}", parts.join(", "))),
        _ => (Tone::Bad, parts.join(", ")),
    };
    out.extend(text::wrap(&verdict, width).into_iter().map(|line| Line::of(tone, line)));
    out
}
