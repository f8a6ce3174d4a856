//! `logs`: what the workers and gates wrote, readable or byte for byte, as it is or as it grows.

use super::entry::{Entry, Printer, What};
use super::journal::{Journal, LOOK_EVERY};
use super::out::{Interrupt, Out};
use super::reading::Reading;
use super::sections::{Section, Wanted, Whose, sections};
use super::target::Target;
use super::{missing, target};
use crate::cli::LogsArgs;
use crate::context::Context;
use crate::print;
use std::collections::BTreeSet;
use windlass_api::{ApiError, ErrorKind};
use windlass_core::Run;
use windlass_core::task::Phase;
use windlass_engine::RunDir;
use windlass_events::{AttemptNo, AttemptStatus, TaskId};
use windlass_worker::SpoolReader;
use windlass_worker::spool::{FrameKind, SpoolError};

/// Frames of one file that are read before the others get a turn.
const PORTION: usize = 256;

/// Prints what the workers wrote.
pub(crate) fn logs(context: &Context, args: &LogsArgs) -> Result<u8, ApiError> {
    let mut target = target::run_or_task(context, args.address.as_deref(), None)?;
    if args.raw && context.global.json {
        return Err(ApiError::new(
            ErrorKind::Usage,
            "`--raw` gives bytes and `--json` lines: leave one of them out",
        ));
    }
    if target.task.is_none() && (args.raw || args.attempt.is_some()) {
        target.task = Some(only_task(&target.run)?);
    }
    if let (Some(n), Some(task)) = (args.attempt, target.task())
        && task.attempt(n).is_none()
        && !args.follow
    {
        let what = format!("{} of run {} has no attempt {n}", task.spec.id, target.run.id);
        return Err(ApiError::new(ErrorKind::Usage, what).hint(match task.attempts.len() {
            0 => "it was not started yet".to_owned(),
            1 => "it has one".to_owned(),
            many => format!("it has {many}"),
        }));
    }
    let wanted = Wanted { task: target.task.clone(), attempt: args.attempt };
    match (args.raw, args.follow) {
        (true, follow) => raw(context, &target, args.attempt, follow),
        (false, true) => follow(context, &target, &wanted),
        (false, false) => all(context, &target, &wanted),
    }
}

/// The task of a run that has only one.
fn only_task(run: &Run) -> Result<TaskId, ApiError> {
    match run.tasks.as_slice() {
        [one] => Ok(one.spec.id.clone()),
        many => {
            let names: Vec<&str> = many.iter().take(8).map(|t| t.spec.id.as_str()).collect();
            let what = format!("run {} has {} tasks; name one", run.id, many.len());
            Err(ApiError::new(ErrorKind::Usage, what)
                .hint(format!("RUN/TASK, with one of: {}", names.join(", "))))
        }
    }
}

/// What there is now.
fn all(context: &Context, target: &Target, wanted: &Wanted) -> Result<u8, ApiError> {
    let sections = sections(&target.run, wanted);
    let tasks: BTreeSet<Option<&TaskId>> = sections.iter().map(Section::task).collect();
    let mut printer = Printer::new(context, target.run.id, &tasks);
    let titled = sections.len() > 1;
    let mut damage = None;
    let mut any = false;
    for section in &sections {
        if titled || matches!(section.whose, Whose::Gate(_)) {
            printer.header(section)?;
        }
        let mut open = Open { section: section.clone(), reading: None, done: false };
        loop {
            let more = open.read(&mut printer, &target.dir, &mut damage)?;
            if !more || !printer.out.is_open() {
                break;
            }
        }
        any |= open.reading.is_some();
        open.give_up(&mut printer)?;
    }
    printer.out.flush()?;
    if !any && damage.is_none() {
        print::note(context, "nothing was written yet");
    }
    damage.map_or(Ok(0), Err)
}

/// What there is, and what comes, until the run or the named task is over.
fn follow(context: &Context, target: &Target, wanted: &Wanted) -> Result<u8, ApiError> {
    let interrupt = Interrupt::listen();
    let mut journal = Journal::open(context, target.run.id, None)?;
    let tasks: BTreeSet<Option<&TaskId>> = match &wanted.task {
        Some(task) => BTreeSet::from([Some(task)]),
        None => target.run.tasks.iter().map(|t| Some(&t.spec.id)).collect(),
    };
    let mut printer = Printer::new(context, target.run.id, &tasks);
    let mut known: BTreeSet<Whose> = BTreeSet::new();
    let mut open: Vec<Open> = Vec::new();
    let mut damage = None;
    loop {
        if journal.advance(|_| Ok(()))? {
            for section in sections(&journal.run, wanted) {
                if known.insert(section.whose.clone()) {
                    printer.header(&section)?;
                    open.push(Open { section, reading: None, done: false });
                } else if let Some(open) = open.iter_mut().find(|o| o.section.whose == section.whose) {
                    open.section.over = section.over;
                }
            }
        }
        let mut progress = false;
        for one in &mut open {
            let more = one.read(&mut printer, &journal.dir, &mut damage)?;
            progress |= more;
            if !more && !one.done && one.section.over {
                one.give_up(&mut printer)?;
            }
        }
        open.retain(|o| !o.done);
        printer.out.flush()?;
        if !printer.out.is_open() {
            return Ok(0);
        }
        if interrupt.came() {
            return Ok(Interrupt::CODE);
        }
        if open.is_empty() && is_over(&journal, wanted) {
            return damage.map_or(Ok(0), Err);
        }
        if !progress {
            std::thread::sleep(LOOK_EVERY);
            printer.out.look_at_reader();
            journal.keep_led(context);
        }
    }
}

/// Whether nothing more of what is wanted comes by itself.
fn is_over(journal: &Journal, wanted: &Wanted) -> bool {
    if journal.is_over() {
        return true;
    }
    let Some(task) = wanted.task.as_ref().and_then(|id| journal.run.task_by_id(id)) else { return false };
    let attempt_over = wanted.attempt.and_then(|n| task.attempt(n)).is_some_and(|a| {
        // Its gates are run after it: they belong to it until the task moves on.
        a.status != AttemptStatus::Running && (task.attempts.len() > a.n as usize)
    });
    matches!(task.phase, Phase::Ended(_)) || attempt_over
}

/// A section whose file is read.
struct Open {
    section: Section,
    reading: Option<Reading>,
    done: bool,
}

impl Open {
    /// Prints a portion of what is there; `false` when nothing further is complete. Damage ends the section and is kept.
    fn read(
        &mut self,
        printer: &mut Printer,
        dir: &RunDir,
        damage: &mut Option<ApiError>,
    ) -> Result<bool, ApiError> {
        if self.done {
            return Ok(false);
        }
        let path = self.section.spool(dir);
        let damaged = |e: SpoolError| {
            missing(format!("what was written from there on cannot be read: {}: {e}", path.display()))
                .hint("`windlass doctor` looks into it")
        };
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => match Reading::open(&path, &self.section) {
                Ok(Some(reading)) => none.insert(reading),
                Ok(None) => return Ok(false),
                Err(e) => {
                    self.done = true;
                    damage.get_or_insert_with(|| damaged(e));
                    return Ok(false);
                }
            },
        };
        let mut entries = Vec::new();
        let mut more = true;
        for _ in 0..PORTION {
            match reading.next(&mut entries) {
                Ok(true) => {}
                Ok(false) => {
                    more = false;
                    break;
                }
                Err(e) => {
                    reading.give_up(&mut entries);
                    damage.get_or_insert_with(|| damaged(e));
                    break;
                }
            }
        }
        self.done = reading.has_ended();
        for entry in &entries {
            printer.entry(&self.section, entry)?;
        }
        Ok(more && !self.done)
    }

    /// Ends a section that has no end record, with what is unfinished.
    fn give_up(&mut self, printer: &mut Printer) -> Result<(), ApiError> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        let mut entries = Vec::new();
        match &mut self.reading {
            Some(reading) => {
                reading.give_up(&mut entries);
                if self.section.over {
                    let at = entries.last().map_or(self.section.started_at, |e| e.at);
                    entries.push(Entry::new(at, What::End, "its shim vanished; this is where it stops"));
                }
            }
            None if self.section.over => {
                let text = "nothing it wrote was kept: it never ran";
                entries.push(Entry::new(self.section.started_at, What::End, text));
            }
            None => {}
        }
        for entry in &entries {
            printer.entry(&self.section, entry)?;
        }
        Ok(())
    }
}

/// Standard output of one attempt, byte for byte as it was kept.
fn raw(context: &Context, target: &Target, n: Option<AttemptNo>, follow: bool) -> Result<u8, ApiError> {
    let interrupt = follow.then(Interrupt::listen);
    let mut journal = Journal::open(context, target.run.id, None)?;
    let Some(id) = target.task.clone() else { return Err(missing("no task was named")) };
    let mut out = Out::new();
    let mut open: Option<(SpoolReader, AttemptNo)> = None;
    let (mut has_output, mut has_complaints) = (false, false);
    loop {
        journal.advance(|_| Ok(()))?;
        let Some(task) = journal.run.task_by_id(&id) else {
            return Err(missing(format!("task {id} is gone")));
        };
        let attempt = match open.as_ref().map(|(_, n)| *n).or(n) {
            Some(n) => task.attempt(n),
            None => task.last_attempt(),
        };
        let over = attempt.is_some_and(|a| a.status != AttemptStatus::Running) || is_done(&journal, task);
        if open.is_none()
            && let Some(attempt) = attempt
        {
            match SpoolReader::open(&journal.dir.spool(&id, attempt.n)) {
                Ok(reader) => open = Some((reader, attempt.n)),
                Err(SpoolError::NoClaim) => {}
                Err(SpoolError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(missing(e).hint("`windlass doctor` looks into it")),
            }
        }
        let mut ended = false;
        if let Some((reader, _)) = &mut open {
            loop {
                match reader.next_frame() {
                    Ok(None) => break,
                    Ok(Some(frame)) => match frame.kind {
                        FrameKind::Stdout => {
                            has_output = true;
                            out.write(frame.data)?;
                        }
                        FrameKind::Stderr => has_complaints = true,
                        FrameKind::End => ended = true,
                        _ => {}
                    },
                    Err(e) => {
                        out.flush()?;
                        return Err(missing(e).hint("`windlass doctor` looks into it"));
                    }
                }
                if !out.is_open() {
                    break;
                }
            }
        }
        out.flush()?;
        if ended || over || !follow || !out.is_open() {
            if open.is_none() {
                print::note(context, "nothing was written yet");
            } else if has_complaints && !has_output {
                let text = format!(
                    "all that it wrote is on standard error: `windlass logs {}/{id}`",
                    journal.run.id
                );
                print::note(context, &text);
            }
            return Ok(0);
        }
        if interrupt.as_ref().is_some_and(Interrupt::came) {
            return Ok(Interrupt::CODE);
        }
        std::thread::sleep(LOOK_EVERY);
        out.look_at_reader();
        journal.keep_led(context);
    }
}

/// Whether no attempt of a task will come by itself.
fn is_done(journal: &Journal, task: &windlass_core::task::Task) -> bool {
    journal.is_over() || matches!(task.phase, Phase::Ended(_))
}
