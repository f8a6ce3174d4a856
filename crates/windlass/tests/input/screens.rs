//! Watching, on terminals from very narrow to very wide.

use super::world;
use serde_json::json;
use std::num::NonZeroU16;
use windlass_testkit::terminal::Terminal;
use windlass_testkit::{TempRepo, Windlass, process};

const ROWS: u16 = 40;

/// What a terminal of this size shows after these bytes: its lines, none of which may have run over its edge.
#[track_caller]
fn lines(raw: &[u8], columns: u16) -> Vec<String> {
    let size = |n| NonZeroU16::new(n).unwrap();
    let mut parser = vt100::Parser::new(size(ROWS), size(columns), 0);
    parser.process(raw);
    let screen = parser.screen();
    let lines: Vec<String> = screen.rows(0, size(columns).get()).map(|l| l.trim_end().to_owned()).collect();
    for (row, line) in lines.iter().enumerate() {
        assert!(
            !screen.row_wrapped(u16::try_from(row).unwrap()),
            "`{line}` runs over the edge:\n{}",
            lines.join("\n")
        );
    }
    lines
}

/// A team in every state: two done, one at work with words, one after it, one failed with what depends on it.
fn team(repo: &TempRepo, windlass: &Windlass) {
    let at = |name: &str| repo.beside().join(name).display().to_string();
    windlass.fake_agent("explorer", &["say", "found it"], "");
    windlass.fake_agent("planner", &["say", "a plan"], "");
    windlass.shell_agent(
        "executor",
        &format!(
            "echo 'a line of what it does that is far longer than any narrow terminal could ever show in one go, with 日本語 in it'; \
             touch {}; while [ ! -e {} ]; do sleep 0.01; done; echo done",
            at("up"),
            at("go")
        ),
        "",
    );
    windlass.fake_agent("critic", &["complain", "no", "then", "exit", "3"], "");
    windlass.team(
        "crew",
        &["explorer", "planner", "executor", "critic"],
        "maxConcurrency: 4",
        "## explore\nrole: explorer\n\ngo\n\
         ## plan\nrole: planner\ndependsOn: explore\n\ngo\n\
         ## execute\nrole: executor\ndependsOn: plan\n\ngo\n\
         ## attack\nrole: critic\ndependsOn: plan\n\ngo\n\
         ## report\nrole: explorer\ndependsOn: execute\n\ngo\n\
         ## after-attack\nrole: explorer\ndependsOn: attack\n\ngo\n",
    );
}

const GOAL: &str = "Mend the off-by-one in the tokenizer, so that the test of the parser passes, and say what you did 日本語";

#[test]
fn watching_fits_every_width() {
    for columns in [20, 80, 300] {
        let (repo, windlass) = world();
        team(&repo, &windlass);
        let terminal = windlass.terminal(["run", "--team", "crew", "--gate", "true", GOAL], ROWS, columns);
        process::wait_until("the worker at work", || repo.beside().join("up").exists());
        // Settled: one is at work, one failed, and what depends on it is skipped.
        let run = windlass.json(["list", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
        windlass.wait_for(&run, "the failure", |e| e.iter().any(|e| e["type"] == "task.skipped"));
        let screen = terminal.wait_screen("the frame with the failure and the bar", |s| {
            // The frame is the part below the last mention of the run.
            let frame = s.rsplit(&run).next().unwrap_or_default();
            frame.contains("execute")
                && frame.contains("✗ attack")
                && frame.contains("– after-att")
                && frame.contains("of 6")
                && (columns == 20 || frame.contains("a line of what it does"))
        });
        let raw = terminal.raw();
        let live = lines(&raw, columns);
        assert_eq!(live.join("\n").trim_end(), screen.trim_end(), "the screen is what was drawn");
        let start = live.iter().rposition(|l| l.contains(&run)).expect("the frame's head");
        let frame = &live[start..];
        let text = frame.join("\n");
        assert!(frame[0].starts_with('●'), "{text}");
        let row = |name: &str| {
            frame.iter().find(|l| l.contains(name)).unwrap_or_else(|| panic!("no {name}:\n{text}"))
        };
        assert!(row("execute").trim_start().starts_with('●'), "{text}");
        assert!(row("attack").trim_start().starts_with('✗'), "{text}");
        assert!(row("report").trim_start().starts_with('·'), "{text}");
        // What stands last in a row is how long it took (a wide one says what it does besides): nothing is cut off.
        let rows: &[&str] = if columns == 300 {
            &["explore", "plan", "attack"]
        } else {
            &["explore", "plan", "execute", "attack"]
        };
        for name in rows {
            let end = row(name).rsplit(' ').next().unwrap_or_default();
            assert!(
                end.ends_with('s') && end.starts_with(|c: char| c.is_ascii_digit()),
                "{name}: `{end}`\n{text}"
            );
        }
        let bar = frame
            .iter()
            .find(|l| l.contains("━") && l.contains("of 6"))
            .unwrap_or_else(|| panic!("no bar:\n{text}"));
        if columns > 20 {
            assert!(bar.contains("of 6 tasks") && bar.contains("1 running"), "{text}");
            assert!(text.contains("$0.00 of $5.00") && text.contains("of 2h"), "{text}");
            assert!(text.contains("a line of what it does"), "its last line is shown:\n{text}");
        }
        if columns == 300 {
            assert!(frame[0].contains("say what you did"), "a wide terminal shows the goal whole:\n{text}");
        }
        // No state is told by colour alone, and none in words that the program alone knows.
        for word in ["Running", "Failed", "needs_attention", "null"] {
            assert!(!text.contains(word), "{text}");
        }

        std::fs::write(repo.beside().join("go"), "").unwrap();
        let (code, last, raw) = terminal.wait_all();
        assert_eq!(code, 1, "{last}");
        let card = lines(&raw, columns);
        let text = card.join("\n");
        let verdict = card
            .iter()
            .position(|l| l.starts_with("✗ failed"))
            .unwrap_or_else(|| panic!("no verdict:\n{text}"));
        let after = &card[verdict..];
        let words: String = after.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        for word in
            ["what", "code 3", "gates", "changed", "nothing", "next", "windlass logs", "windlass retry"]
        {
            assert!(words.contains(word), "{word} is missing at {columns}:\n{text}");
        }
        if columns == 80 {
            assert!(
                after.iter().rposition(|l| !l.is_empty()).unwrap() < 12,
                "a card has at most 12 lines:\n{text}"
            );
        }
        assert!(!text.contains("●"), "the live frame is gone:\n{text}");
        // The live frame left the terminal as it was.
        let text = String::from_utf8_lossy(&raw);
        assert_eq!(
            text.matches("\u{1b}[?25l").count(),
            text.matches("\u{1b}[?25h").count(),
            "the cursor is back"
        );
        assert_eq!(text.matches("\u{1b}[?2026h").count(), text.matches("\u{1b}[?2026l").count());
        assert!(!text.contains("\u{1b}[?1049h"), "it stays in the scrollback");
    }
}

#[test]
fn what_looks_fits_every_width() {
    let (repo, windlass) = world();
    team(&repo, &windlass);
    std::fs::write(repo.beside().join("go"), "").unwrap();
    windlass.shell_agent("writer", "echo more >> README.md; echo 日本語 > ünïcödé-名前.txt", "writes: true");
    let writer = windlass.detach(["--agent", "writer", "--gate", "grep -q more README.md", GOAL]);
    windlass.wait_end(&writer);
    let crew = windlass.detach(["--team", "crew", GOAL]);
    windlass.wait_end(&crew);
    for columns in [20, 80, 300] {
        for run in [&writer, &crew] {
            for args in [
                &["status", run][..],
                &["show", run],
                &["list"],
                &["graph", run],
                &["attach", run],
                &["events", run],
                &["artifacts", run],
                &["agents"],
                &["teams"],
                &["workflows"],
                &["skills"],
                &["config", "list"],
                &["config", "path"],
                &["validate"],
                &["daemon", "status"],
                &["run", "--dry-run", "--team", "crew", GOAL],
                &["status", "nope"],
                &["version"],
                &[],
                // Where there is room its commands stand on one line each, to be copied.
                if columns == 20 { &["doctor"][..] } else { &["daemon"] },
                &["trust", "--show"],
            ] {
                let (code, _, raw) = windlass.terminal(args, 200, columns).wait_all();
                assert!([0, 1, 2, 5].contains(&code), "{args:?}: {code}");
                let size = |n| NonZeroU16::new(n).unwrap();
                let mut parser = vt100::Parser::new(size(400), size(columns), 0);
                parser.process(&raw);
                for (row, line) in parser.screen().rows(0, columns).enumerate() {
                    let wrapped = parser.screen().row_wrapped(u16::try_from(row).unwrap());
                    assert!(!wrapped, "{args:?} at {columns}: `{line}` runs over the edge");
                }
            }
        }
    }
}

#[test]
fn a_terminal_that_changes_its_size_is_followed() {
    let (repo, windlass) = world();
    team(&repo, &windlass);
    let mut terminal = windlass.terminal(["run", "--team", "crew", GOAL], ROWS, 100);
    process::wait_until("the worker at work", || repo.beside().join("up").exists());
    terminal.wait_screen("the frame", |s| s.contains("of 6 tasks"));
    for columns in [40, 20, 120] {
        let before = terminal.raw().len();
        terminal.resize(ROWS, columns);
        // Drawn anew, for the new width.
        process::wait_until("a frame for the new width", || {
            let raw = terminal.raw();
            raw[before..].windows(8).any(|w| w == b"\x1b[?2026l")
        });
        let text = terminal.wait_screen("the bar", |s| s.contains("of 6"));
        assert!(text.lines().all(|l| l.chars().count() <= usize::from(columns)), "{text}");
    }
    std::fs::write(repo.beside().join("go"), "").unwrap();
    let (code, screen) = terminal.wait();
    assert!(code == 1 && screen.contains("failed"), "{screen}");
}

#[test]
fn a_low_terminal_shows_what_matters() {
    let (repo, windlass) = world();
    team(&repo, &windlass);
    for rows in [4, 8] {
        let _ = std::fs::remove_file(repo.beside().join("go"));
        let _ = std::fs::remove_file(repo.beside().join("up"));
        let terminal: Terminal = windlass.terminal(["run", "--team", "crew", GOAL], rows, 80);
        process::wait_until("the worker at work", || repo.beside().join("up").exists());
        terminal.wait_screen("the bar", |s| s.contains("of 6"));
        std::fs::write(repo.beside().join("go"), "").unwrap();
        let (code, screen) = terminal.wait();
        assert_eq!(code, 1, "{screen}");
    }
}

#[test]
fn without_colour_and_without_utf8() {
    let (repo, mut windlass) = world();
    team(&repo, &windlass);
    std::fs::write(repo.beside().join("go"), "").unwrap();
    windlass.set("NO_COLOR", "1");
    let (_, _, raw) = windlass.terminal(["run", "--team", "crew", GOAL], ROWS, 80).wait_all();
    let text = String::from_utf8_lossy(&raw).into_owned();
    assert!(!text.contains("\u{1b}[3") && !text.contains("\u{1b}[1m"), "{text:?}");
    windlass.unset("NO_COLOR").set("LANG", "C").set("LC_ALL", "C");
    let output = windlass.run(["status", "last"]).expect_code(0);
    assert!(output.out().is_ascii(), "{}", output.out());
    let status = windlass.json(["status", "last", "--json"]);
    assert_eq!(status["run"]["goal"], json!(GOAL), "JSON is UTF-8 whatever the locale");
}
