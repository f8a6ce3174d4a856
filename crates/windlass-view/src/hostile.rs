//! Laws of every renderer, whatever agents, files and people wrote: no line is wider than asked, no control byte but
//! our own SGR gets out, nothing panics.

use crate::events::event_line;
use crate::home::{Home, Need, home, red_gates_question, stop_question};
use crate::line::{Line, Paint};
use crate::list::{self, Artifact, Resource};
use crate::model::{LiveTask, Look, Overlay, RunView};
use crate::plain::PlainLog;
use crate::sample;
use crate::summary::{ChangedFile, summary};
use crate::text;
use crate::{end_card, graph, notes_above, problem, show, start_card, watch};
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;
use windlass_api::inbox::{InboxDoc, InboxItem, PlanMark, ProposalDoc, ProposedTask, TextChange};
use windlass_api::status::*;
use windlass_events::event::{AttemptEnd, CapKind, Cause, GateEnd, GateKey, Snapshot, WaitFor};
use windlass_events::outcome::Failure;
use windlass_events::spec::*;
use windlass_events::*;

/// Texts that break renderers.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        Just("\u{1b}[2J\u{1b}]0;x\u{7}\u{1b}[31m".to_owned()),
        Just("\u{9b}31m\u{90}q\u{9c}\u{1b}".to_owned()),
        Just("\u{202e}\u{2066}\u{200f}\u{200b}\u{feff}".to_owned()),
        Just("日本語テキスト🦀👩\u{200d}👩\u{200d}👧🇩🇪".to_owned()),
        Just("e\u{301}\u{302}\u{303}\u{304}\u{305}".to_owned()),
        Just("\r\n\t\0\u{7f}\u{85}\u{2028}".to_owned()),
        Just("W".repeat(400)),
        Just("…".repeat(90)),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|p| p.concat())
}

fn holds(what: &str, lines: &[Line], width: usize) {
    for line in lines {
        assert!(
            line.width() <= width,
            "{what}: {} cells at {width}: {:?}",
            line.width(),
            line.to_text(false)
        );
        let plain = line.to_text(false);
        assert!(UnicodeWidthStr::width(plain.as_str()) <= width, "{what}: {plain:?}");
        assert!(!plain.chars().any(char::is_control), "{what}: {plain:?}");
        assert_eq!(text::clean(&plain), plain, "{what}");
        let ascii = line.to_text(true);
        assert!(ascii.bytes().all(|b| (0x20..0x7f).contains(&b)), "{what}: {ascii:?}");
        let mut ansi = Paint { color: true, ascii: false }.line(line);
        for tone in crate::theme::Tone::ALL {
            ansi = ansi.replace(&format!("\u{1b}[{}m", tone.sgr()), "");
        }
        assert_eq!(ansi.replace("\u{1b}[0m", ""), plain, "{what}");
    }
}

fn every_event(t: &str) -> Vec<Event> {
    let task = TaskId::for_step(3, t);
    let (n, s) = (2, Some(t.to_owned()));
    let usage = Usage { input: 9, unpriced_tokens: 9, ..Usage::default() };
    let failure = || Failure::new(ErrorClass::Gate, t).hint(t);
    let snapshot = || Snapshot { n: 1, commit: t.into(), tree: t.into(), head: s.clone() };
    let key = || GateKey { task: Some(task.clone()), gate: 0, n: 2 };
    // From JSON, as the journal has them: later fields have defaults.
    let attempt_end: AttemptEnd = serde_json::from_value(serde_json::json!({
        "outcome": {"exit": 1}, "usage": usage, "session": t, "model": t, "failure": failure(), "verdict": false,
    }))
    .unwrap();
    let gate_end: GateEnd = serde_json::from_value(serde_json::json!({
        "outcome": {"signal": 9}, "ms": u64::MAX, "tail": t, "path": t,
    }))
    .unwrap();
    vec![
        Event::TasksPlanned { tasks: Vec::new() },
        Event::ListWanted { task: task.clone() },
        Event::PlanRefused { task: task.clone(), n, reasons: vec![t.into(); 3] },
        Event::PlanMade {
            task: task.clone(),
            n,
            revision: u32::MAX,
            tasks: Vec::new(),
            kept: vec![task.clone(); 9],
            dropped: vec![task.clone(); 9],
        },
        Event::RunTaken { boot: t.into(), version: t.into() },
        Event::TurnTaken { task: None },
        Event::AttemptStarted {
            task: task.clone(),
            n,
            cause: Cause::Repair,
            session: s.clone(),
            model: s.clone(),
        },
        Event::AttemptObserved { task: task.clone(), n, usage, session: s.clone() },
        Event::AttemptEnded { task: task.clone(), n, end: attempt_end },
        Event::AttemptLost { task: task.clone(), n, usage, session: s.clone(), last: t.into() },
        Event::AttemptSwept { task: task.clone(), n, left: vec![t.into(); 2] },
        Event::AttemptVoided { task: task.clone(), n, reason: t.into() },
        Event::GateStarted { key: key() },
        Event::GateEnded { key: key(), end: gate_end },
        Event::GateLost { key: GateKey { task: None, gate: u32::MAX, n: 1 } },
        Event::GatesAsked { gates: vec![0, 1] },
        Event::GatesSettled { gates: vec![0], answer: RedGate::Mend },
        Event::TreeKept { task: task.clone(), n, before: true, snapshot: snapshot() },
        Event::TreeTouched { task: task.clone(), n, before: snapshot(), after: snapshot() },
        Event::HeadMoved { task: task.clone(), from: s.clone(), to: s.clone() },
        Event::TaskCompleted { task: task.clone(), proof: Proof::Proven },
        Event::TaskFailed { task: task.clone(), failure: failure() },
        Event::TaskSkipped { task: task.clone(), because: task.clone() },
        Event::TaskCancelled { task: task.clone() },
        Event::TaskNeedsAttention { task: task.clone(), failure: failure() },
        Event::CapWarned { cap: CapKind::Usd, used: u64::MAX, limit: 1 },
        Event::CapReached { cap: CapKind::Wall, used: u64::MAX, limit: u64::MAX },
        Event::RunWaiting { wait: WaitFor::Tree, on: t.into() },
        Event::RunContinued { wait: WaitFor::Tree },
        Event::CancelRequested { task: None, by: t.into() },
        Event::RunResumed { caps: None, tasks: vec![task.clone(); 3] },
        Event::TasksRetried { tasks: vec![task.clone()] },
        Event::SteerSent { task: task.clone(), n, text: t.into(), id: t.into() },
        Event::SteerDelivered { id: t.into(), error: t.into() },
        Event::Notice { text: t.into() },
        Event::RunUndone { before: snapshot(), after: snapshot(), files: 1, redo: true },
        Event::RunBlocked { failure: failure() },
        Event::RunCompleted { proof: Proof::Unproven },
        Event::RunFailed { failure: failure(), task: Some(task), proof: Proof::None },
        Event::RunCancelled {},
    ]
}

fn overlay(doc: &StatusDoc, t: &str) -> Overlay {
    let live = LiveDoc {
        tool: Some(t.into()),
        tool_since: Some(i64::MIN),
        last_line: Some(t.into()),
        state: LiveState::Tool,
    };
    let task = LiveTask { live, usage: Some(UsageDoc { input: u64::MAX, ..UsageDoc::default() }) };
    Overlay { tasks: doc.tasks.iter().map(|d| (d.id.clone(), task.clone())).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_run_of_hostile_texts_is_drawn_within_its_width(
        t in nasty(), width in 20usize..=300, height in 1usize..60, now in any::<i64>(),
    ) {
        let look = Look { home: Some(t.clone()), ..Look::new(width) };
        let mut log = PlainLog::new();
        for doc in sample::hostile(&t) {
            for over in [Overlay::default(), overlay(&doc, &t)] {
                for now in [sample::NOW, now] {
                    let view = RunView::new(&doc, &over, now);
                    let frame = watch::frame(&view, &look, height);
                    prop_assert!(!frame.is_empty() && frame.len() <= height, "{} of {height}", frame.len());
                    holds("watch", &frame, width);
                    for (name, card) in [("start", start_card(&view, &look)), ("end", end_card(&view, &look))] {
                        holds(name, &card, width);
                        prop_assert!(width < 80 || card.len() <= 12, "{name}: {} lines", card.len());
                    }
                    holds("notes", &notes_above(&view, &look), width);
                    holds("status", &show::status(&view, &look), width);
                    holds("show", &show::show(&view, &look), width);
                    holds("evidence", &show::evidence(&view, &look), width);
                    let file = ChangedFile { path: t.clone(), from: Some(t.clone()), lines: Some((1, 2)) };
                    for section in summary(&view, &[file], &look) {
                        // Commands are never cut, and a file has no edge.
                        let room = if section.title == "Next" { usize::MAX } else { width };
                        holds(section.title, &section.lines, room);
                    }
                    holds("graph", &graph::tree(&graph::run_nodes(&view), &look), width);
                    let mermaid = graph::mermaid(&graph::run_nodes(&view));
                    prop_assert!(!mermaid.chars().any(|c| c.is_control() && c != '\n'));
                }
            }
            holds("plain", &log.update(&doc, sample::NOW, &look), width);
            prop_assert!(log.update(&doc, sample::NOW, &look).is_empty());
        }
    }

    #[test]
    fn tables_questions_errors_and_events_hold_their_width(t in nasty(), width in 20usize..=300, at in any::<i64>()) {
        let look = Look { home: Some(t.clone()), ..Look::new(width) };
        let run = ListedRun::from(&sample::hostile(&t)[4].run);
        let runs = vec![run.clone(); 7];
        holds("list", &list::runs(&ListDoc { runs: runs.clone() }, at, &look, true), width);
        holds("empty list", &list::runs(&ListDoc::default(), at, &look, false), width);
        let artifact =
            Artifact { name: t.clone(), task: t.clone(), bytes: u64::MAX, hash: t.clone(), path: t.clone() };
        holds("artifacts", &list::artifacts(&[artifact], &look), width);
        let resource = Resource {
            name: t.clone(),
            scope: t.clone(),
            made_of: t.clone(),
            description: t.clone(),
            path: t.clone(),
            problem: if t.len() % 2 == 0 { String::new() } else { t.clone() },
        };
        holds("resources", &list::resources(&[resource], "agents", &look), width);
        let daemon = DaemonDoc {
            running: t.len() % 2 == 0,
            pid: Some(1),
            version: Some(t.clone()),
            socket: Some(t.clone()),
            runs: 1,
        };
        holds("daemon", &list::daemon(&daemon, &look), width);
        let error = ErrorDoc::new(&*t, &*t).hint(&*t);
        holds("error", &problem::error(&error, &look), width);
        holds("note", &problem::note(&t, &look), width);
        let mut plan = sample::plan();
        plan.shape.clone_from(&t);
        (plan.gates, plan.caps, plan.notices) = (vec![t.clone()], vec![t.clone(); 2], vec![t.clone()]);
        plan.tasks[0].role.clone_from(&t);
        plan.tasks[1].models = vec![t.clone(); 2];
        holds("plan", &crate::plan::plan(&plan, &look), width);
        let need = Need { run, why: t.clone(), command: t.clone() };
        let summary = Home { ended: runs.clone(), needs: vec![need], running: runs, next: vec![t.clone(); 4] };
        holds("home", &home(&summary, at, &look), width);
        holds("stop", &stop_question(&t, &look), width);
        holds("red gates", &red_gates_question(&[&t, &t], &look), width);
        for event in every_event(&t) {
            let envelope = Envelope { run: RunId::from_number(1), seq: u64::MAX, at, event };
            holds("event", &[event_line(&envelope, &look)], width);
        }
    }

    #[test]
    fn plans_to_approve_and_what_waits_hold_their_width(t in nasty(), width in 20usize..=300, at in any::<i64>()) {
        let look = Look { home: Some(t.clone()), ..Look::new(width) };
        let id = || TaskId::for_step(1, "t");
        let marks = [PlanMark::Same, PlanMark::Added, PlanMark::Changed, PlanMark::Dropped];
        let task = |mark| ProposedTask {
            mark,
            id: id(),
            item: t.clone(),
            phase: t.clone(),
            role: t.clone(),
            title: t.clone(),
            instructions: t.clone(),
            depends_on: vec![id(); 5],
            gates: vec![t.clone(); 2],
            writes: true,
            status: TaskStatus::Queued,
        };
        let mut doc = ProposalDoc {
            run: RunId::from_number(7),
            goal: t.clone(),
            plan: u32::MAX,
            asked: true,
            task: None,
            planner: Some(id()),
            attempt: Some(1),
            revision: u32::MAX,
            text: Some(t.clone()),
            changes: Some(marks.map(|mark| TextChange { mark, line: t.clone() }).to_vec()),
            tasks: marks.map(task).to_vec(),
        };
        holds("changes", &crate::approval::proposal(&doc, None, &look), width);
        doc.changes = None;
        let few = crate::approval::proposal(&doc, Some(3), &look);
        holds("text", &few, width);
        holds("question", &crate::approval::question(&look), width);
        let item = |ends_by: &str, until| InboxItem {
            run: RunId::from_number(7),
            goal: t.clone(),
            cwd: t.clone(),
            status: RunStatus::Waiting,
            wait: t.clone(),
            task: Some(id()),
            since: at,
            until,
            ends_by: ends_by.to_owned(),
            why: t.clone(),
            commands: vec![t.clone(); 6],
        };
        let waits = vec![item(windlass_api::inbox::YOU, None), item(&t, None), item("time", Some(at))];
        holds("inbox", &crate::inbox::inbox(&InboxDoc { waits }, at.wrapping_add(1), &look), width);
    }

    #[test]
    fn any_width_and_height_at_all(width in 0usize..25, height in 0usize..12) {
        for doc in sample::hostile("日本語 text") {
            let over = Overlay::default();
            let view = RunView::new(&doc, &over, sample::NOW);
            let look = Look::new(width);
            holds("watch", &watch::frame(&view, &look, height), width.max(1));
            holds("end", &end_card(&view, &look), width.max(1));
            holds("start", &start_card(&view, &look), width.max(1));
            holds("notes", &notes_above(&view, &look), width.max(1));
            holds("show", &show::show(&view, &look), width.max(1));
            holds("plan", &crate::plan::plan(&sample::plan(), &look), width.max(1));
        }
    }
}

/// A run with this many tasks in every state.
fn big(n: usize) -> StatusDoc {
    let mut doc = sample::running();
    let model = doc.tasks.clone();
    let all = TaskStatus::ALL;
    doc.tasks = (0..n)
        .map(|i| {
            let mut task = model[i % model.len()].clone();
            task.id = TaskId::for_step(i + 1, &task.step);
            task.status = all[i % all.len()];
            task.depends_on.clear();
            task
        })
        .collect();
    doc
}

#[test]
fn a_frame_of_a_hundred_thousand_tasks_is_as_high_as_asked() {
    let doc = big(100_000);
    let over = Overlay::default();
    let view = RunView::new(&doc, &over, sample::NOW);
    for height in [1, 2, 3, 5, 8, 24, 60] {
        let frame = watch::frame(&view, &Look::new(80), height);
        assert!(frame.len() <= height);
        holds("big", &frame, 80);
    }
    let frame = watch::frame(&view, &Look::new(80), 24);
    let text = Paint::default().lines(&frame);
    assert!(text.contains("more live") && text.contains("queued"), "{text}");
    assert_eq!(frame.len(), 24);
}

#[test]
fn what_needs_a_person_is_shown_before_what_is_live() {
    let doc = big(200);
    let over = Overlay::default();
    let view = RunView::new(&doc, &over, sample::NOW);
    let text = Paint::default().lines(&watch::frame(&view, &Look::new(80), 12));
    assert!(text.contains("needs you") && !text.contains("  ● "), "{text}");
}

#[test]
fn a_frame_depends_on_nothing_but_its_arguments() {
    let doc = sample::running();
    let over = Overlay::default();
    let one = watch::frame(&RunView::new(&doc, &over, sample::NOW), &Look::new(80), 24);
    let two = watch::frame(&RunView::new(&doc, &over, sample::NOW), &Look::new(80), 24);
    assert_eq!(one, two);
}

#[test]
fn colour_is_only_sgr_and_only_when_asked() {
    let doc = sample::failed();
    let over = Overlay::default();
    let card = end_card(&RunView::new(&doc, &over, sample::NOW), &Look::new(80));
    assert!(!Paint::default().lines(&card).contains('\u{1b}'));
    assert!(Paint { color: true, ascii: false }.lines(&card).contains("\u{1b}[31m"));
}
