//! Why a task or a run is where it is, in words.

use crate::events::{cap_text, event_line};
use crate::fields::Fields;
use crate::human;
use crate::line::Line;
use crate::model::{Look, first_line};
use crate::theme::{Mark, Tone};
use windlass_core::why::{
    Command, Follows, GateFact, LastEnd, Move, Reason, Rule, Stopping, TaskState, TurnHolder, Why,
};
use windlass_events::event::{CapKind, Cause, WaitFor};
use windlass_events::outcome::{Failure, Outcome};
use windlass_events::spec::RedGate;
use windlass_events::{Envelope, Millis, Proof, RunId, TaskId};

/// Events of the chain that are shown at most; the newest.
const FACTS: usize = 30;
/// Tasks that a run names as not ended at most.
const TASKS: usize = 20;
/// Tasks that one reason names at most.
const NAMES: usize = 6;

/// What is said, and of whom.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Run.
    pub run: RunId,
    /// Task; `None` is the run as a whole.
    pub task: Option<&'a TaskId>,
    /// How its state looks.
    pub mark: Mark,
    /// Why it is in it.
    pub why: &'a Why,
    /// Of a run: its tasks that have not ended, with how they look and why.
    pub tasks: &'a [(TaskId, Mark, Why)],
    /// The events that led there, oldest first.
    pub facts: &'a [Envelope],
}

/// The whole answer to `--why`.
pub fn lines(subject: &Subject<'_>, now: Millis, look: &Look) -> Vec<Line> {
    let mut f = Fields::new(look.width);
    let name = subject.task.map_or_else(|| format!("run {}", subject.run), |t| t.as_str().to_owned());
    let mut title = Line::new();
    title.glyph(subject.mark).space(1).push(Tone::Strong, &name);
    title.space(2).push(subject.mark.tone, subject.mark.word);
    f.line(title);
    f.line(Line::new());
    if let Some(decided) = &subject.why.rule {
        f.text("because", Tone::Plain, &rule(decided), 6);
        if let Rule::ContractHeld { gates, .. } = decided {
            for gate in gates {
                f.text("because", Tone::Dim, &gate_fact(gate), 2);
            }
        }
    }
    for (at, one) in subject.why.reasons.iter().enumerate() {
        let tone = if at == 0 { Tone::Plain } else { Tone::Dim };
        f.text("because", tone, &reason(one, now, look), 6);
    }
    moves(&mut f, subject, now, look);
    tasks(&mut f, subject, now, look);
    facts(&mut f, subject, look);
    f.into_lines()
}

fn moves(f: &mut Fields, subject: &Subject<'_>, now: Millis, look: &Look) {
    let (commands, events): (Vec<&Move>, Vec<&Move>) =
        subject.why.moves.iter().partition(|m| matches!(m, Move::Command { .. }));
    for one in events.iter().take(NAMES) {
        f.text("goes on", Tone::Plain, &movement(one, subject.run, now, look), 2);
    }
    let column = commands.iter().map(|m| crate::text::width(&movement(m, subject.run, now, look))).max();
    for one in commands.iter().take(NAMES) {
        if let Move::Command { command } = one {
            f.command("type", &command_line(command, subject.run), purpose(command), column.unwrap_or(0));
        }
    }
}

fn tasks(f: &mut Fields, subject: &Subject<'_>, now: Millis, look: &Look) {
    if subject.tasks.is_empty() {
        return;
    }
    f.line(Line::new());
    let column = subject.tasks.iter().take(TASKS).map(|(t, ..)| t.as_str().len()).max().unwrap_or(0);
    for (task, mark, why) in subject.tasks.iter().take(TASKS) {
        let mut line = Line::new();
        line.space(2).glyph(*mark).space(1).push(Tone::Strong, task.as_str());
        line.pad_to(column + 6).push(mark.tone, mark.word).push(Tone::Dim, ": ");
        if let Some(first) = why.reasons.first() {
            line.push(Tone::Plain, reason(first, now, look));
        }
        f.line(line);
    }
    if subject.tasks.len() > TASKS {
        let more = human::count((subject.tasks.len() - TASKS) as u64);
        f.line(Line::of(Tone::Dim, format!("  … and {more} more; `--json` has them all")));
    }
}

fn facts(f: &mut Fields, subject: &Subject<'_>, look: &Look) {
    if subject.facts.is_empty() {
        return;
    }
    f.line(Line::new());
    let earlier = subject.facts.len().saturating_sub(FACTS);
    if earlier > 0 {
        let n = human::plural(earlier as u64, "earlier event", "earlier events");
        f.line(Line::of(Tone::Dim, format!("  … {n}; `windlass events {}` has all", subject.run)));
    }
    let narrower = Look { width: look.width.saturating_sub(2).max(1), ..look.clone() };
    for fact in subject.facts.iter().skip(earlier) {
        let mut line = Line::new();
        line.space(2).append(event_line(fact, &narrower));
        f.line(line);
    }
}

/// One reason as a sentence without its end.
pub fn reason(reason: &Reason, now: Millis, look: &Look) -> String {
    match reason {
        Reason::Planning { known, of } => {
            format!("{known} of {of} tasks are planned; nothing starts before all are")
        }
        Reason::Dependencies { on } => format!("waits for {}", states(on)),
        Reason::Backoff { until, used, of, class } => {
            let after = class.map(|c| format!(" after {c}")).unwrap_or_default();
            format!("pauses{after} until {}; {used} of {of} attempts used", when(*until, now, look))
        }
        Reason::RunSlots { used, limit, by } => {
            format!("waits for a slot of the run: {used} of {limit} in use{}", by_whom(by))
        }
        Reason::RoleSlots { role, used, limit, by } => {
            format!("waits for a slot of the role {role}: {used} of {limit} in use{}", by_whom(by))
        }
        Reason::Turn { holder: TurnHolder::Task { task } } => {
            format!("waits for the tree's turn: {task} has it")
        }
        Reason::Turn { holder: TurnHolder::Other { who } } => {
            format!("waits for the tree's turn: {} has it", first_line(who))
        }
        Reason::FirstGates { command: Some(command) } => {
            format!("the gates are run first: `{}` is running", first_line(command))
        }
        Reason::FirstGates { command: None } => "the gates are run first".to_owned(),
        Reason::Waiting { wait, on, since } => waiting(*wait, on, *since, now, look),
        Reason::Cap { cap, used, limit } => {
            format!(
                "the cap on {} is reached, and nothing more starts: {}",
                cap_word(*cap),
                cap_text(*cap, *used, *limit)
            )
        }
        Reason::Blocked { failure, tasks } => {
            let who = if tasks.is_empty() { String::new() } else { format!(" ({})", names(tasks)) };
            format!("blocked until a person changes something{who}: {}", said(failure))
        }
        Reason::Cancelling { live } if live.is_empty() => "is being cancelled".to_owned(),
        Reason::Cancelling { live } => format!("is being cancelled; still to end: {}", states(live)),
        Reason::Keeping { attempt, before: true } => {
            format!("the tree is being kept before attempt {attempt}")
        }
        Reason::Keeping { attempt, before: false } => {
            format!("the tree is being kept after attempt {attempt}")
        }
        Reason::Working { attempt, cause, since, silence_ms, until, stopping } => {
            let mut text =
                format!("attempt {attempt}{} is at work for {}", why_started(*cause), long(*since, now));
            match stopping {
                Some(Stopping::Cancel) => text.push_str("; it is being stopped on request"),
                Some(Stopping::Cap) => text.push_str("; it is being stopped, since a cap is reached"),
                None => {
                    if *silence_ms > 0 {
                        text.push_str(&format!(
                            "; stopped after {} of silence",
                            human::cap_duration(*silence_ms)
                        ));
                    }
                    if let Some(until) = until {
                        text.push_str(&format!("; stopped at the latest at {}", when(*until, now, look)));
                    }
                }
            }
            text
        }
        Reason::Expanding { attempt: 0 } => "the list that it is done for is being read".to_owned(),
        Reason::Expanding { attempt } => format!("the plan of attempt {attempt} is being read"),
        Reason::Parts { open, done, needed } => {
            let open =
                if open.is_empty() { String::new() } else { format!("; still to end: {}", states(open)) };
            format!("waits for what grew from it: {done} completed, {needed} must{open}")
        }
        Reason::Sweeping { attempt } => {
            format!("the shim of attempt {attempt} vanished; what it left is being ended")
        }
        Reason::Checking { command, n, since, until, stopping } => {
            let n = if *n > 1 { format!(", try {n}") } else { String::new() };
            let end = if *stopping {
                "; it is being stopped on request".to_owned()
            } else {
                format!("; stopped at the latest at {}", when(*until, now, look))
            };
            format!("the gate `{}`{n} is running for {}{end}", first_line(command), long(*since, now))
        }
        Reason::Tasks { live } => format!("at work: {}", states(live)),
        Reason::Next { next } => follows(next),
    }
}

fn follows(next: &Follows) -> String {
    let engine = "an engine that leads the run";
    let other_runs = "the tree's turn from other runs";
    match next {
        Follows::Start { attempt, cause, turn } => {
            let tree = if *turn { format!(" and {other_runs}") } else { String::new() };
            let why = why_started(*cause);
            format!(
                "attempt {attempt}{why} may start; it needs a free slot of the machine{tree}, and {engine}"
            )
        }
        Follows::Gate { command, n, turn } => {
            let tree = if *turn { format!("{other_runs}, and ") } else { String::new() };
            let n = if *n > 1 { format!(", try {n}") } else { String::new() };
            format!("the gate `{}`{n} may run; it needs {tree}{engine}", first_line(command))
        }
        Follows::FirstGates => {
            format!(
                "the gates are run first; they need a free slot of the machine, {other_runs}, and {engine}"
            )
        }
        Follows::Complete { proof } => format!("it completes ({proof}); that needs {engine}"),
        Follows::Fail { failure } => format!("it fails: {}; that needs {engine}", said(failure)),
        Follows::Attention { failure } => {
            format!("a person must look: {}; to say so needs {engine}", said(failure))
        }
        Follows::Ask => format!("a person is asked to approve; that needs {engine}"),
        Follows::Expand => format!("what it grows into is read; that needs {engine}"),
        Follows::StopRest => format!("what is not needed any more is stopped; that needs {engine}"),
        Follows::Skip { because } => {
            format!("it is skipped, since {because} did not complete; that needs {engine}")
        }
        Follows::Cancel => format!("it is cancelled; that needs {engine}"),
        Follows::Conclude => format!("every task has ended; what that comes to is said by {engine}"),
    }
}

fn waiting(wait: WaitFor, on: &str, since: Millis, now: Millis, look: &Look) -> String {
    let what = match wait {
        WaitFor::Approval => "a person's approval of the plan",
        WaitFor::Answer => "a person's answer",
        WaitFor::Quota => "a provider's limit to pass",
        WaitFor::Environment => "secret values of its environment, which the shell that resumes it brings",
        WaitFor::Restart => "a person's word after a restart of the machine",
        WaitFor::Tree => "another run's turn in the tree to end",
    };
    let on = if on.is_empty() { String::new() } else { format!(": {}", first_line(on)) };
    format!("waits for {what}{on} (since {})", human::ago(since, now, &look.zone))
}

/// The rule that decided as a sentence without its end.
pub fn rule(rule: &Rule) -> String {
    match rule {
        Rule::ContractHeld { attempt, proof, check, gates } => {
            let gates = match gates.iter().filter(|g| !g.left_out).count() {
                0 if *check => ", and it is itself a check".to_owned(),
                0 => ", and no gate counts for it".to_owned(),
                1 => ", and its gate is green".to_owned(),
                n => format!(", and its {n} gates are green"),
            };
            let proof = match proof {
                Proof::Proven => "that is proof",
                Proof::Unproven | Proof::None => "that proves nothing",
                Proof::Refuted => "that refutes it",
            };
            format!("attempt {attempt} ended well{gates}; {proof}")
        }
        Rule::AttemptsUsed { used, of, last } => {
            format!("{used} of {of} attempts used; last failure: {}", last_end(last))
        }
        Rule::NoUseRepeating { last } => {
            format!(
                "attempt {} failed in a way that a new attempt does not help: {}",
                last.attempt,
                last_end(last)
            )
        }
        Rule::GateRed { gate, repairs, rounds, used, of, repairable } => {
            let change = match gate.before {
                Some(true) => "green → red",
                Some(false) => "red → red",
                None => "red",
            };
            let why = if !repairable {
                "its worker is none that a gate's output is given back to".to_owned()
            } else if used >= of && repairs < rounds {
                format!("{used} of {of} attempts used")
            } else {
                format!(
                    "{repairs} of {} used",
                    human::plural(u64::from(*rounds), "repair round", "repair rounds")
                )
            };
            format!("the gate `{}` is {change}; {why}", first_line(&gate.command))
        }
        Rule::PlanRefused { reasons } => {
            let first = reasons.first().map(|r| first_line(r)).unwrap_or_default();
            let more = match reasons.len() {
                0 | 1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            format!("no tasks can be made of what it said: {first}{more}")
        }
        Rule::PartsMissing { done, needed, ended } => {
            format!("{done} of what grew from it completed, {needed} must: {}", states(ended))
        }
        Rule::GateVanished { command, tries } => {
            format!("the gate `{}` never came to a result in {tries} tries", first_line(command))
        }
        Rule::Verdict { attempt } => format!("the verifier's verdict in attempt {attempt} is FAIL"),
        Rule::TreeNotKept => "the tree could not be kept around it".to_owned(),
        Rule::NotSwept { attempt, left } => {
            let left: Vec<&str> = left.iter().take(NAMES).map(String::as_str).collect();
            format!("processes of the lost attempt {attempt} could not be proved gone: {}", left.join(", "))
        }
        Rule::NeverRepeated { last } => {
            format!(
                "the step says that it is never repeated by itself, and attempt {} failed: {}",
                last.attempt,
                last_end(last)
            )
        }
        Rule::ReadOnlyChanged { attempt } => {
            format!("its role may only read, and the tree changed during attempt {attempt}")
        }
        Rule::Skipped { because, began } if because == began => {
            format!("it depends on what did not complete: {}", states(because))
        }
        Rule::Skipped { because, began } => {
            format!(
                "it depends on what did not complete: {}; that began with {}",
                states(because),
                states(began)
            )
        }
        Rule::Cancelled => "a person stopped it".to_owned(),
        Rule::Internal => "Windlass could not do its part".to_owned(),
        Rule::AllCompleted { proof } => format!("every task is completed; together they are {proof}"),
        Rule::TaskDecided { task: Some(task) } => {
            format!("{} is {}, and nothing more can be done", task.task, task.status)
        }
        Rule::TaskDecided { task: None } => {
            "not every task completed, and nothing more can be done".to_owned()
        }
    }
}

fn last_end(last: &LastEnd) -> String {
    let limit = last.limit_ms.map(human::cap_duration);
    match (&last.outcome, limit) {
        (None, _) => "lost (its shim vanished)".to_owned(),
        (Some(Outcome::Silence), Some(limit)) => format!("silence (no output for {limit})"),
        (Some(Outcome::WallClock), Some(limit)) => format!("timeout (longer than {limit})"),
        (Some(outcome @ Outcome::ProviderError), _) => format!("{} ({})", last.class, outcome.describe()),
        (Some(outcome), _) => outcome.describe(),
    }
}

fn gate_fact(gate: &GateFact) -> String {
    let word = |green: Option<bool>| match green {
        Some(true) => "green",
        Some(false) => "red",
        None => "not run",
    };
    let mut text =
        format!("gate `{}`: {} → {}", first_line(&gate.command), word(gate.before), word(gate.green));
    if gate.tries > 1 {
        text.push_str(&format!(", {} tries", gate.tries));
    }
    if gate.left_out {
        text.push_str(", left out: it does not count");
    } else if gate.green.is_some() && !gate.steady {
        text.push_str(", while the tree was changed: it proves nothing");
    }
    text
}

/// What would move it, as a sentence without its end; a command as it is typed.
pub fn movement(one: &Move, run: RunId, now: Millis, look: &Look) -> String {
    match one {
        Move::Event { event, task, until } => {
            let of = task.as_ref().map(|t| format!(" of {t}")).unwrap_or_default();
            let until =
                until.map(|u| format!(", at the latest at {}", when(u, now, look))).unwrap_or_default();
            format!("with {event}{of}{until}")
        }
        Move::EndOfAny { tasks } => {
            let end = if tasks.len() == 1 { "when it ends" } else { "when one of them ends" };
            format!("{end}: {}", names(tasks))
        }
        Move::Time { at } => format!("by itself at {}", when(*at, now, look)),
        Move::OtherRun { who } => format!("when {} gives the tree back", first_line(who)),
        Move::Command { command } => command_line(command, run),
    }
}

/// A command as it is typed.
pub fn command_line(command: &Command, run: RunId) -> String {
    command.line(run)
}

const fn purpose(command: &Command) -> &'static str {
    match command {
        Command::Attach => "watch it; an engine is started where none runs",
        Command::Resume { raise: Some(_) } => "go on with a higher cap",
        Command::Resume { raise: None } => "go on",
        Command::Retry { .. } => "make new attempts",
        Command::Approve => "let it begin",
        Command::Reject => "have it planned anew",
        Command::Plan => "what is to be approved",
        Command::Answer { with: RedGate::Mend | RedGate::Ask } => "green in the end, or the run fails",
        Command::Answer { with: RedGate::LeaveOut } => "it does not count in this run",
        Command::Answer { with: RedGate::Stop } => "end the run",
        Command::Cancel { .. } => "stop it",
        Command::Diff { .. } => "what it changed",
        Command::Logs { .. } => "what it wrote",
        Command::Why { .. } => "why that is where it is",
    }
}

const fn cap_word(cap: CapKind) -> &'static str {
    match cap {
        CapKind::Usd => "money",
        CapKind::Tokens => "tokens",
        CapKind::Wall => "time",
    }
}

const fn why_started(cause: Cause) -> &'static str {
    match cause {
        Cause::First => "",
        Cause::Retry => ", a new try,",
        Cause::Repair => ", to mend a red gate,",
        Cause::Continue => ", going on where it stopped,",
        Cause::Person => ", on request,",
        Cause::Replan => ", to plan again,",
    }
}

fn said(failure: &Failure) -> String {
    let message = first_line(&failure.message);
    if message.is_empty() { failure.class.to_string() } else { message }
}

fn when(at: Millis, now: Millis, look: &Look) -> String {
    let clock = human::clock(at, &look.zone);
    if at > now { format!("{clock}, in {}", human::duration(at.saturating_sub(now))) } else { clock }
}

fn long(since: Millis, now: Millis) -> String {
    human::duration(now.saturating_sub(since))
}

fn by_whom(by: &[TaskState]) -> String {
    if by.is_empty() { String::new() } else { format!(", by {}", states(by)) }
}

fn states(tasks: &[TaskState]) -> String {
    let shown = tasks.iter().take(NAMES).map(|t| format!("{} ({})", t.task, t.status));
    listed(shown, tasks.len())
}

fn names(tasks: &[TaskId]) -> String {
    listed(tasks.iter().take(NAMES).map(ToString::to_string), tasks.len())
}

fn listed(shown: impl Iterator<Item = String>, all: usize) -> String {
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if all > NAMES {
        text.push_str(&format!(" and {} more", all - NAMES));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::task_mark;
    use windlass_events::{ErrorClass, Event, TaskStatus};

    const NASTY: &str = "\u{1b}[2J\u{202e}日本語 🦀\r\n\t\u{9b}31m and then a rather long tail of words that has to be wrapped";

    fn run() -> RunId {
        RunId::from_number(7)
    }

    fn task(n: usize) -> TaskId {
        TaskId::for_step(n, "t")
    }

    fn drawn(why: &Why, tasks: &[(TaskId, Mark, Why)], facts: &[Envelope], width: usize) -> Vec<Line> {
        let mark = task_mark(TaskStatus::Waiting, Proof::None);
        let task = task(1);
        let subject = Subject { run: run(), task: Some(&task), mark, why, tasks, facts };
        lines(&subject, 60_000, &Look::new(width))
    }

    #[test]
    fn everything_fits_and_no_foreign_byte_gets_out() {
        let failure = Failure::new(ErrorClass::Internal, NASTY).hint(NASTY);
        let why = Why {
            reasons: vec![
                Reason::Turn { holder: TurnHolder::Other { who: NASTY.into() } },
                Reason::FirstGates { command: Some(NASTY.into()) },
                Reason::Waiting { wait: WaitFor::Environment, on: NASTY.into(), since: i64::MIN },
                Reason::Blocked { failure: failure.clone(), tasks: (1..20).map(task).collect() },
                Reason::Checking {
                    command: NASTY.into(),
                    n: 2,
                    since: i64::MAX,
                    until: i64::MAX,
                    stopping: false,
                },
                Reason::Next { next: Follows::Fail { failure } },
                Reason::Next { next: Follows::Gate { command: NASTY.into(), n: 3, turn: true } },
            ],
            rule: Some(Rule::NotSwept { attempt: 1, left: vec![NASTY.into(); 9] }),
            moves: vec![
                Move::OtherRun { who: NASTY.into() },
                Move::Command { command: Command::Why { task: task(2) } },
            ],
        };
        let notice = Event::RunWaiting { wait: WaitFor::Tree, on: NASTY.into() };
        let facts = vec![Envelope { run: run(), seq: 1, at: 0, event: notice }; 40];
        let tasks = vec![(task(2), task_mark(TaskStatus::Queued, Proof::None), why.clone()); 30];
        for width in 1..140 {
            for line in drawn(&why, &tasks, &facts, width) {
                let text = line.to_text(false);
                assert!(line.width() <= width, "{width}: {text:?}");
                assert!(!text.chars().any(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
            }
        }
        let all: String = drawn(&why, &tasks, &facts, 100).iter().map(|l| l.to_text(false) + "\n").collect();
        let all = all.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["… 10 earlier events", "… and 10 more", "and 13 more", "windlass show 922222/02_t --why"]
        {
            assert!(all.contains(part), "{part} in {all}");
        }
    }

    #[test]
    fn what_is_said_is_said_in_whole_sentences() {
        let look = Look::new(80);
        let last = |outcome, class, limit_ms| LastEnd { attempt: 2, outcome: Some(outcome), class, limit_ms };
        let used = Rule::AttemptsUsed {
            used: 2,
            of: 2,
            last: last(Outcome::Silence, ErrorClass::Silence, Some(300_000)),
        };
        assert_eq!(rule(&used), "2 of 2 attempts used; last failure: silence (no output for 5m)");
        let provider = Rule::NoUseRepeating { last: last(Outcome::ProviderError, ErrorClass::Auth, None) };
        assert_eq!(
            rule(&provider),
            "attempt 2 failed in a way that a new attempt does not help: auth (the model provider reported an error)"
        );
        let pause = Reason::Backoff { until: 64_000, used: 1, of: 3, class: Some(ErrorClass::RateLimit) };
        assert_eq!(
            reason(&pause, 60_000, &look),
            "pauses after rate_limit until 00:01:04, in 4s; 1 of 3 attempts used"
        );
        let cap = Reason::Cap { cap: CapKind::Usd, used: 2_000_000, limit: 1_500_000 };
        assert_eq!(
            reason(&cap, 0, &look),
            "the cap on money is reached, and nothing more starts: $2.00 of $1.50"
        );
        let raise = Command::Resume { raise: Some((CapKind::Usd, 3_000_000)) };
        assert_eq!(command_line(&raise, run()), "windlass resume 922222 --budget-usd 3");
        let gate = GateFact {
            command: "make test".into(),
            before: Some(false),
            green: Some(true),
            steady: false,
            tries: 3,
            left_out: false,
        };
        assert_eq!(
            gate_fact(&gate),
            "gate `make test`: red → green, 3 tries, while the tree was changed: it proves nothing"
        );
    }
}
