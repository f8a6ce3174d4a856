//! The screens in `docs/screens/` are what the renderer draws. `WINDLASS_BLESS=1` rewrites them.

use crate::end::end_card;
use crate::line::{Line, Paint};
use crate::model::{Look, Overlay, RunView};
use crate::sample;
use crate::start::start_card;
use crate::summary::{ChangedFile, summary};
use crate::theme::Tone;
use crate::watch;
use std::fmt::Write as _;
use std::path::PathBuf;
use windlass_api::inbox::{InboxDoc, InboxItem, PlanMark, ProposalDoc, ProposedTask, TextChange};
use windlass_api::status::{FolderDoc, StatusDoc};

const WIDTHS: [usize; 3] = [20, 80, 300];

fn look(width: usize) -> Look {
    Look { home: Some("/home/ada".into()), ..Look::new(width) }
}

fn check(name: &str, doc: &StatusDoc, draw: impl Fn(&RunView<'_>, &Look) -> Vec<Line>) {
    let overlay = Overlay::default();
    let view = RunView::new(doc, &overlay, sample::NOW);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/screens");
    let mut wrong = String::new();
    for width in WIDTHS {
        let lines = draw(&view, &look(width));
        assert!(lines.iter().all(|l| l.width() <= width));
        let text = Paint::default().lines(&lines);
        let path = folder.join(format!("{name}.{width}.txt"));
        if std::env::var_os("WINDLASS_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != text {
            let _ = write!(wrong, "\n{name} at {width} differs from docs/screens:\n{kept}---\n{text}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nWINDLASS_BLESS=1 rewrites the screens");
}

fn watch(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    watch::frame(view, look, 24)
}

#[test]
fn watch_screens() {
    check("watch", &sample::running(), watch);
    check("watch-short", &sample::running(), |v, l| watch::frame(v, l, 8));
    check("watch-waiting", &sample::waiting(), watch);
}

#[test]
fn start_cards() {
    check("start", &sample::created(), start_card);
    check("plan", &sample::created(), |_, l| crate::plan::plan(&sample::plan(), l));
}

#[test]
fn end_cards() {
    check("end-proven", &sample::proven(), end_card);
    check("end-unproven", &sample::unproven(), end_card);
    check("end-failed", &sample::failed(), end_card);
    check("end-blocked", &sample::blocked(), end_card);
    check("end-waiting", &sample::waiting(), end_card);
}

#[test]
fn summaries() {
    let files = [
        ChangedFile { path: "src/cursor.rs".into(), from: None, lines: Some((14, 7)) },
        ChangedFile {
            path: "tests/span.rs".into(),
            from: Some("tests/spans.rs".into()),
            lines: Some((4, 0)),
        },
        ChangedFile { path: "logo.png".into(), from: None, lines: None },
    ];
    let draw = |v: &RunView<'_>, l: &Look, files: &[ChangedFile]| {
        let sections = summary(v, files, l).into_iter();
        sections
            .flat_map(|s| [vec![Line::of(Tone::Strong, s.title)], s.lines, vec![Line::new()]].concat())
            .map(|line| line.fit(l.width))
            .collect()
    };
    check("summary", &sample::proven(), |v, l| draw(v, l, &files));
    check("summary-failed", &sample::failed(), |v, l| draw(v, l, &[]));
    check("summary-blocked", &sample::blocked(), |v, l| draw(v, l, &files[..1]));
}

#[test]
fn texts_of_looking_commands() {
    check("status", &sample::running(), crate::show::status);
    check("evidence", &sample::failed(), crate::show::evidence);
    let folder = FolderDoc {
        path: "/home/ada/.local/state/windlass/projects/parser-0/runs/k7m2qd".into(),
        contents: ["summary.md", "goal.md", "results/", "diffs/", "transcripts/", "prompts/", "attempts/"]
            .map(str::to_owned)
            .into(),
    };
    let mut proven = sample::proven();
    for result in proven.tasks.iter_mut().filter_map(|t| t.result.as_mut()) {
        result.path = format!("{}/{}", folder.path, result.path);
    }
    proven.run.folder = Some(folder);
    check("show", &proven, crate::show::show);
    check("graph", &sample::running(), |v, l| crate::graph::tree(&crate::graph::run_nodes(v), l));
    let mut failed = sample::failed();
    failed.run.id = windlass_events::RunId::from_number(77);
    check("list", &sample::running(), |v, l| {
        let runs =
            [sample::running(), failed.clone(), sample::proven(), sample::unproven(), sample::blocked()];
        let runs = runs.iter().map(|d| windlass_api::status::ListedRun::from(&d.run)).collect();
        crate::list::runs(&windlass_api::status::ListDoc { runs }, v.now, l, false)
    });
    check("home", &sample::running(), |v, l| {
        let listed = |d: StatusDoc| windlass_api::status::ListedRun::from(&d.run);
        let home = crate::home::Home {
            ended: vec![listed(sample::proven())],
            needs: vec![crate::home::Need {
                run: listed(sample::blocked()),
                why: "the cap of $5.00 is reached".into(),
                command: "windlass resume k7m2qd --budget-usd 10".into(),
            }],
            running: vec![listed(sample::running())],
            next: vec![
                "windlass attach k7m2qd".into(),
                "windlass diff k7m2qd".into(),
                "windlass list".into(),
            ],
        };
        crate::home::home(&home, v.now, l)
    });
}

fn planned(mark: PlanMark, id: &str, phase: &str, role: &str, title: &str, gates: &[&str]) -> ProposedTask {
    ProposedTask {
        mark,
        id: windlass_events::TaskId::parse(id).unwrap(),
        item: title.to_owned(),
        phase: phase.to_owned(),
        role: role.to_owned(),
        title: title.to_owned(),
        instructions: String::new(),
        depends_on: Vec::new(),
        gates: gates.iter().map(|g| (*g).to_owned()).collect(),
        writes: role == "executor",
        status: windlass_events::TaskStatus::Queued,
    }
}

fn proposal() -> ProposalDoc {
    ProposalDoc {
        run: windlass_events::RunId::parse("k7m2qd").unwrap(),
        goal: "make the parser keep spans".into(),
        plan: 2,
        asked: true,
        task: None,
        planner: Some(windlass_events::TaskId::parse("02_plan").unwrap()),
        attempt: Some(2),
        revision: 2,
        text: None,
        changes: None,
        tasks: vec![
            planned(
                PlanMark::Same,
                "02_plan.cursor",
                "build",
                "executor",
                "the cursor keeps spans",
                &["cargo test"],
            ),
            planned(PlanMark::Changed, "02_plan.lexer.r2", "build", "executor", "the lexer gives spans", &[]),
            planned(PlanMark::Added, "02_plan.review", "check", "reviewer", "look at both", &[]),
            planned(PlanMark::Dropped, "02_plan.docs", "check", "executor", "rewrite the docs", &[]),
        ],
    }
}

#[test]
fn plans_to_approve() {
    let all = |doc: &ProposalDoc, look: &Look| {
        [crate::approval::proposal(doc, None, look), crate::approval::question(look)].concat()
    };
    check("approve", &sample::waiting(), |_, l| all(&proposal(), l));
    let line = |mark, line: &str| TextChange { mark, line: line.into() };
    let mut text = proposal();
    text.tasks.truncate(1);
    text.tasks[0].phase.clear();
    text.text = Some("1. The cursor keeps spans.\n2. Tests.\n".into());
    text.changes = Some(vec![
        line(PlanMark::Same, "1. The cursor keeps spans."),
        line(PlanMark::Dropped, "2. The docs are rewritten."),
        line(PlanMark::Added, "2. Tests."),
    ]);
    check("approve-text", &sample::waiting(), |_, l| all(&text, l));
}

#[test]
fn what_waits() {
    let item = |run: &str, wait: &str, ends_by: &str, why: &str, commands: &[&str]| InboxItem {
        run: windlass_events::RunId::parse(run).unwrap(),
        goal: "make the parser keep spans".into(),
        cwd: "/home/ada/parser".into(),
        status: windlass_events::RunStatus::Waiting,
        wait: wait.into(),
        task: None,
        since: sample::NOW - 3_700_000,
        until: (wait == "quota").then_some(sample::NOW + 90_000),
        ends_by: ends_by.into(),
        why: why.into(),
        commands: commands.iter().map(|c| (*c).to_owned()).collect(),
    };
    let doc = InboxDoc {
        waits: vec![
            item(
                "k7m2qd",
                "approval",
                windlass_api::inbox::YOU,
                "May the plan be carried out? Nothing that may write has started.",
                &["windlass approve k7m2qd", "windlass reject k7m2qd TEXT", "windlass show k7m2qd --plan"],
            ),
            item(
                "p3x9wc",
                "cap",
                windlass_api::inbox::YOU,
                "the cap on money is reached; nothing more starts",
                &["windlass resume p3x9wc --budget-usd 10"],
            ),
            item("t5n8hg", "quota", "time", "The provider is to recover.", &[]),
        ],
    };
    check("inbox", &sample::waiting(), |v, l| crate::inbox::inbox(&doc, v.now, l));
    check("inbox-empty", &sample::waiting(), |v, l| crate::inbox::inbox(&InboxDoc::default(), v.now, l));
}
