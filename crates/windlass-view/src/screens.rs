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
