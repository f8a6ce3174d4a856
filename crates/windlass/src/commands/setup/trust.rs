//! `trust`: what of a repository may be used, asked once and kept.

use super::view::{self, View};
use crate::ask;
use crate::cli::TrustArgs;
use crate::context::{Context, terminal_size};
use crate::print;
use serde::Serialize;
use std::path::Path;
use windlass_api::{ApiError, ErrorKind};
use windlass_engine::prepare::Setup;
use windlass_resources::trust::{Answer, Decision, Item, Subject, TrustStore};
use windlass_view::Line;
use windlass_view::theme::Tone;

/// What `trust --json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    project: &'a Path,
    /// `nothing`, `never_asked`, `changed`, `damaged`, or the answer.
    state: &'static str,
    /// What may be used now: `all`, `gates`, `none`.
    answer: &'static str,
    /// The answer that no longer holds.
    before: Option<&'static str>,
    /// What changed since.
    changes: &'a [String],
    /// When the kept answer was given, in milliseconds since 1970.
    answered_at: Option<u64>,
    items: &'a [Item],
}

const fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::All => "all",
        Answer::GatesOnly => "gates",
        Answer::None => "none",
    }
}

/// In a sentence.
const fn meaning(answer: Answer) -> &'static str {
    match answer {
        Answer::All => "everything in this repository is used",
        Answer::GatesOnly => "only the gates of this repository are used",
        Answer::None => "nothing of this repository is used",
    }
}

/// `windlass trust`.
pub(crate) fn trust(context: &Context, args: &TrustArgs) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let root = view.project()?;
    let store = view::store(&view.places)
        .ok_or_else(|| ApiError::new(ErrorKind::Missing, "there is no place to keep an answer: set HOME"))?;
    if args.show {
        return show(context, &view, root);
    }
    if args.revoke {
        let was = store.revoke(root).map_err(view::trust_error)?;
        let text = if was { "forgotten: you will be asked again" } else { "there was no answer to forget" };
        return done(context, root, text, "revoked");
    }
    let chosen = [(args.all, Answer::All), (args.gates, Answer::GatesOnly), (args.none, Answer::None)]
        .into_iter()
        .find_map(|(given, answer)| given.then_some(answer));
    if view.subject.is_empty() {
        return done(context, root, "nothing in this repository needs your trust", "nothing");
    }
    let answer = match chosen {
        Some(answer) => answer,
        None if context.can_ask() => match ask_about(context, &view.subject, changes(&view.decision)) {
            Some(answer) => answer,
            None => {
                print::note(context, "no answer: nothing was kept");
                return Ok(130);
            }
        },
        None => {
            return Err(ApiError::new(ErrorKind::Usage, "nobody can be asked here")
                .hint("say it: `windlass trust --all`, `--gates` or `--none`; `windlass trust --show` lists what it is about"));
        }
    };
    keep(&store, &view.places, root, &view.subject, answer)?;
    done(context, root, meaning(answer), word(answer))
}

/// Asks on a terminal, before a run, what of the repository may be used, and keeps the answer.
///
/// Nobody answering (Ctrl-C, Ctrl-D) trusts nothing this time and is not kept. Ask only where [`Context::can_ask`] holds and the
/// setup's decision says [`Decision::must_ask`]; else what was decided already is returned.
///
/// # Errors
/// When the answer cannot be kept.
pub(crate) fn ask_trust(context: &Context, setup: &Setup) -> Result<Answer, ApiError> {
    let (Some(root), Some(store)) = (&setup.root, view::store(&setup.places)) else {
        return Ok(setup.decision.answer());
    };
    if !setup.decision.must_ask() || !context.can_ask() {
        return Ok(setup.decision.answer());
    }
    match ask_about(context, &setup.subject, changes(&setup.decision)) {
        None => {
            print::note(context, "no answer: nothing of this repository is used this time");
            Ok(Answer::None)
        }
        Some(answer) => {
            keep(&store, &setup.places, root, &setup.subject, answer)?;
            Ok(answer)
        }
    }
}

fn keep(
    store: &TrustStore,
    places: &windlass_resources::places::Places,
    root: &Path,
    subject: &Subject,
    answer: Answer,
) -> Result<(), ApiError> {
    view::keep_private(places)?;
    store.put(root, subject, answer, view::now_ms()).map_err(view::trust_error)
}

fn changes(decision: &Decision) -> &[String] {
    match decision {
        Decision::Changed { changes, .. } => changes,
        _ => &[],
    }
}

/// Lines of the question besides the list.
const FRAME: usize = 9;

/// The one screen: what was found, three answers.
fn ask_about(context: &Context, subject: &Subject, changes: &[String]) -> Option<Answer> {
    let (width, height) = terminal_size().unwrap_or((80, 24));
    let shown = |line: Line| line.fit(width.max(20));
    let mut lines = Vec::new();
    if changes.is_empty() {
        lines.push(Line::of(Tone::Strong, "This repository brings things that Windlass would use:"));
    } else {
        let more = if changes.len() > 1 { format!(" and {} more", changes.len() - 1) } else { String::new() };
        let first = changes.first().map_or("", String::as_str);
        lines.push(Line::of(Tone::Strong, "What you trusted in this repository has changed:"));
        lines.push(Line::of(Tone::Warn, format!("{first}{more}")));
    }
    lines.push(Line::new());
    let room = height.saturating_sub(FRAME + lines.len()).max(3);
    for line in subject.listing(room, width.saturating_sub(3)).lines() {
        lines.push(Line::of(Tone::Plain, format!("  {line}")));
    }
    lines.push(Line::new());
    for (key, what) in [
        ("a", "use all of it"),
        ("g", "use only the gates: commands that check the work"),
        ("n", "use none of it; runs go on without"),
    ] {
        let mut line = Line::new();
        line.space(2).push(Tone::Strong, key).space(2).push(Tone::Plain, what);
        lines.push(line);
    }
    lines.push(Line::of(Tone::Dim, "Asked again only when this changes by other hands than yours."));
    let lines: Vec<Line> = lines.into_iter().map(shown).collect();
    ask::key(context, &lines, &['a', 'g', 'n'], None).map(|key| match key {
        'a' => Answer::All,
        'g' => Answer::GatesOnly,
        _ => Answer::None,
    })
}

fn done(context: &Context, root: &Path, text: &str, state: &str) -> Result<u8, ApiError> {
    if context.global.json {
        print::json(&serde_json::json!({ "project": root, "state": state }))?;
    } else {
        print::wrapped(context, vec![Line::of(Tone::Plain, text)], 0)?;
    }
    Ok(0)
}

fn show(context: &Context, view: &View, root: &Path) -> Result<u8, ApiError> {
    let (state, before) = match (&view.stored, &view.decision) {
        (Err(_), _) => ("damaged", None),
        (Ok(_), Decision::Nothing) => ("nothing", None),
        (Ok(_), Decision::NeverAsked) => ("never_asked", None),
        (Ok(_), Decision::Changed { before, .. }) => ("changed", Some(*before)),
        (Ok(_), Decision::Answered(answer)) => (word(*answer), None),
    };
    if context.global.json {
        print::json(&Document {
            project: root,
            state,
            answer: word(view.decision.answer()),
            before: before.map(word),
            changes: changes(&view.decision),
            answered_at: view.stored.as_ref().ok().and_then(Option::as_ref).map(|s| s.at_ms),
            items: &view.subject.items,
        })?;
        return Ok(0);
    }
    let mut lines = Vec::new();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let listing = view.subject.listing(usize::MAX, if terminal { context.width(true) } else { usize::MAX });
    lines.extend(listing.lines().map(|l| Line::of(Tone::Plain, l)));
    if !lines.is_empty() {
        lines.push(Line::new());
    }
    let text = match (&view.stored, &view.decision) {
        (Err(why), _) => why.clone(),
        (Ok(_), Decision::Nothing) => "nothing in this repository needs your trust".to_owned(),
        (Ok(_), Decision::NeverAsked) => "you were not asked yet: nothing of it is used".to_owned(),
        (Ok(_), Decision::Changed { .. }) => {
            "it has changed since you answered: nothing of it is used".to_owned()
        }
        (Ok(_), Decision::Answered(answer)) => meaning(*answer).to_owned(),
    };
    lines.push(Line::of(if view.decision.must_ask() { Tone::Warn } else { Tone::Strong }, text));
    lines.extend(changes(&view.decision).iter().map(|c| Line::of(Tone::Warn, format!("  {c}"))));
    print::wrapped(context, lines, 2)?;
    Ok(0)
}
