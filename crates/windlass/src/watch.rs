//! Watching a run to where it stops: the live frame on a terminal, plain lines elsewhere, JSON lines when asked.
//!
//! The watcher folds the run's events itself; the engine only sends them. When the engine is lost, the next one is found or
//! started, and the events go on after the last one seen. Detaching never stops a run.

mod questions;

use self::questions::Asking;
use crate::context::{Context, terminal_size};
use crate::{host, names, print};
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use windlass_api::{ApiError, Client, ErrorKind, Frame, Request};
use windlass_core::run::Baseline;
use windlass_core::waits::WaitKind;
use windlass_core::{Run, Task};
use windlass_engine::{RunDir, query};
use windlass_events::{Event, Millis, Proof, RunId, RunStatus};
use windlass_view::{
    LiveScreen, LiveTask, Overlay, PlainLog, RunView, Size, end_card, notes_above, start_card,
};

/// How often the frame is drawn at most.
const FRAME: Duration = Duration::from_millis(100);
/// Up to how many tasks each change is told when it comes; of more, several times a second.
const TOLD_AT_ONCE: usize = 200;
/// A picture of a very large run takes long to make: watching takes at most this part of the time, a tenth, from those who work.
const SHARE: u32 = 10;
/// How wide plain lines may be where nobody's terminal limits them.
const PLAIN_WIDTH: usize = 300;

/// How a run is watched.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Whether ending the watching ends the run (`--no-daemon`, or no terminal for SIGINT).
    pub(crate) tied: bool,
    /// Whether the card at the beginning is shown.
    pub(crate) start_card: bool,
}

/// How the watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The run stopped, with the exit code that says how.
    Stopped(u8),
    /// The person or terminal left; the run goes on.
    Detached,
}

/// The exit code of a run in this state, or `None` while it goes on by itself.
pub(crate) fn exit_code(run: &Run) -> Option<u8> {
    match run.status() {
        RunStatus::Completed if run.spec.require_proof && run.proof() != Proof::Proven => Some(1),
        RunStatus::Completed => Some(0),
        RunStatus::Failed => Some(1),
        RunStatus::Cancelled => Some(130),
        RunStatus::Blocked => Some(3),
        RunStatus::Waiting if run.waits().any(|w| stops_for(run, w.kind)) => Some(3),
        _ => None,
    }
}

/// Whether nothing goes on before a person has spoken. For the values of its environment a run waits for whoever watches it, too.
fn stops_for(run: &Run, kind: WaitKind) -> bool {
    match kind {
        // Who only reads may still have something to do.
        WaitKind::Approval => !run.wants_start() && run.pending.is_empty(),
        WaitKind::Environment => false,
        kind => kind.is_for_person(),
    }
}

/// What can happen to a watcher.
enum Happened {
    Frame(Box<Frame>),
    Lost,
    Interrupt,
    Terminate,
    HangUp,
    Answer(Option<String>),
    Tick,
}

/// Who watches, before there is anything to watch: from here on signals are received, so that one that comes while a run
/// is created is about that run.
pub(crate) struct Session {
    runtime: tokio::runtime::Runtime,
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
    /// What came before the watching began.
    early: Option<Happened>,
}

impl Session {
    /// Begins to receive signals.
    pub(crate) fn new() -> Result<Self, ApiError> {
        use tokio::signal::unix::{SignalKind, signal};
        let fail =
            |e: std::io::Error| ApiError::new(ErrorKind::Internal, format!("the watcher cannot begin: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let entered = runtime.enter();
        let int = signal(SignalKind::interrupt()).map_err(fail)?;
        let term = signal(SignalKind::terminate()).map_err(fail)?;
        let hup = signal(SignalKind::hangup()).map_err(fail)?;
        drop(entered);
        Ok(Self { runtime, int, term, hup, early: None })
    }

    /// Waits for an answer. A signal meanwhile is kept for the run that it may be about; a second one ends the program.
    pub(crate) fn wait_for<T: Send>(&mut self, ask: impl FnOnce() -> T + Send) -> Result<T, ApiError> {
        let Self { runtime, int, term, hup, early } = self;
        let (to, mut from) = mpsc::unbounded_channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody can have stopped listening.
                let _ = to.send(ask());
            });
            runtime.block_on(async {
                loop {
                    let happened = tokio::select! {
                        answer = from.recv() => {
                            return answer.ok_or_else(|| ApiError::new(ErrorKind::Internal, "the request was lost"));
                        }
                        _ = int.recv() => Happened::Interrupt,
                        _ = term.recv() => Happened::Terminate,
                        _ = hup.recv() => Happened::HangUp,
                    };
                    if early.is_some() {
                        std::process::exit(130);
                    }
                    *early = Some(happened);
                }
            })
        })
    }

    /// Watches a run until it stops or the person leaves. Prints the card at its end, and the result on standard output.
    pub(crate) fn watch(
        self,
        context: &Context,
        client: Client,
        run: RunId,
        options: Options,
    ) -> Result<End, ApiError> {
        let Self { runtime, int, term, hup, early } = self;
        let end = runtime.block_on(Watch::new(context, run, options).follow(client, [int, term, hup], early));
        // A thread may still wait for a line of the person who left.
        runtime.shutdown_background();
        end
    }
}

/// As [`Session::watch`], of a run that there is already.
pub(crate) fn watch(
    context: &Context,
    client: Client,
    run: RunId,
    options: Options,
) -> Result<End, ApiError> {
    Session::new()?.watch(context, client, run, options)
}

struct Watch<'a> {
    context: &'a Context,
    id: RunId,
    options: Options,
    dir: RunDir,
    run: Option<Run>,
    overlay: Overlay,
    screen: Option<LiveScreen>,
    plain: PlainLog,
    carded: bool,
    asking: Option<Asking>,
    /// Whether a thread waits for a line of the person.
    reading: bool,
    interrupts: u32,
    dirty: bool,
    /// Until when no picture is made.
    rest_until: Instant,
    to: mpsc::UnboundedSender<Happened>,
    from: Option<mpsc::UnboundedReceiver<Happened>>,
}

impl<'a> Watch<'a> {
    fn new(context: &'a Context, id: RunId, options: Options) -> Self {
        let (to, from) = mpsc::unbounded_channel();
        let dir = RunDir::of(&context.paths.project_of(id).unwrap_or_default(), id);
        let live = context.err_is_terminal() && !context.global.json && !context.global.quiet;
        Self {
            context,
            id,
            options,
            dir,
            run: None,
            overlay: Overlay::default(),
            screen: live.then(|| LiveScreen::new(context.paint(true), true)),
            plain: PlainLog::new(),
            carded: !options.start_card || context.global.json || context.global.quiet,
            asking: None,
            reading: false,
            interrupts: 0,
            dirty: true,
            rest_until: Instant::now(),
            to,
            from: Some(from),
        }
    }

    fn listen(&self, mut client: Client) -> Result<(), ApiError> {
        let since = self.run.as_ref().map_or(0, |r| r.seq);
        let live = self.screen.is_some();
        client
            .send(Request::Watch { run: self.id, since, live })
            .map_err(windlass_api::ClientError::into_api)?;
        let to = self.to.clone();
        std::thread::spawn(move || {
            while let Ok(frame) = client.next_frame() {
                if to.send(Happened::Frame(Box::new(frame))).is_err() {
                    return;
                }
            }
            let _ = to.send(Happened::Lost);
        });
        Ok(())
    }

    async fn follow(
        mut self,
        client: Client,
        [mut int, mut term, mut hup]: [tokio::signal::unix::Signal; 3],
        early: Option<Happened>,
    ) -> Result<End, ApiError> {
        let mut from = self.from.take().ok_or_else(|| ApiError::new(ErrorKind::Internal, "watched twice"))?;
        self.listen(client)?;
        if let Some(end) = early.map_or(Ok(None), |happened| self.take(happened))? {
            return Ok(end);
        }
        let mut ticks = tokio::time::interval(FRAME);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let happened = tokio::select! {
                one = from.recv() => one.unwrap_or(Happened::Lost),
                _ = int.recv() => Happened::Interrupt,
                _ = term.recv() => Happened::Terminate,
                _ = hup.recv() => Happened::HangUp,
                _ = ticks.tick(), if !self.context.global.json && self.asking.is_none() => Happened::Tick,
            };
            if let Some(end) = self.take(happened)? {
                return Ok(end);
            }
        }
    }

    fn take(&mut self, happened: Happened) -> Result<Option<End>, ApiError> {
        match happened {
            Happened::Frame(frame) => match *frame {
                Frame::Events { events, .. } => {
                    for (seq, at, body) in events {
                        self.event(seq, at, &body)?;
                    }
                    self.dirty = true;
                    // Of very many tasks what changed is told together, or telling would cost more than doing.
                    if self.run.as_ref().is_none_or(|r| r.tasks.len() <= TOLD_AT_ONCE) {
                        self.said()?;
                    }
                    return self.stopped();
                }
                Frame::Live { tasks, .. } => {
                    self.overlay.tasks =
                        tasks.into_iter().map(|(id, live)| (id, LiveTask { live, usage: None })).collect();
                    self.dirty = true;
                }
                Frame::Error { error, .. } => return Err(error),
                Frame::Reply { .. } => {}
            },
            Happened::Lost => self.find_engine()?,
            Happened::Tick => {
                let begun = Instant::now();
                if begun >= self.rest_until {
                    if self.dirty {
                        self.said()?;
                    }
                    self.draw();
                    self.rest_until = begun + begun.elapsed() * SHARE;
                }
            }
            Happened::HangUp => return Ok(Some(End::Detached)),
            Happened::Interrupt => return self.interrupted(),
            Happened::Terminate => return self.terminated(),
            Happened::Answer(answer) => return self.answered(answer.as_deref()),
        }
        Ok(None)
    }

    fn event(&mut self, seq: u64, at: Millis, body: &str) -> Result<(), ApiError> {
        let newer = |e: String| {
            ApiError::new(
                ErrorKind::Missing,
                format!("event {seq} of run {} is not understood: {e}", self.id),
            )
            .hint("a newer windlass wrote it; watch with that one")
        };
        let event = Event::from_json(body).map_err(|e| newer(e.to_string()))?;
        match &mut self.run {
            None => self.run = Some(Run::begin(self.id, at, &event).map_err(|e| newer(e.to_string()))?),
            Some(run) => run.apply(seq, at, &event).map_err(|e| newer(e.to_string()))?,
        }
        if self.context.global.json {
            self.json_line(seq, at, body)?;
        }
        Ok(())
    }

    /// One line per event; the last one also says how it all ended.
    fn json_line(&self, seq: u64, at: Millis, body: &str) -> Result<(), ApiError> {
        let mut line =
            format!("{{\"run\":\"{}\",\"seq\":{seq},\"at\":{at},{}", self.id, body.get(1..).unwrap_or("}"));
        if let Some((run, exit)) = self.run.as_ref().and_then(|r| Some((r, exit_code(r)?))) {
            line.pop();
            line.push_str(&format!(
                ",\"status\":\"{}\",\"proof\":\"{}\",\"exit\":{exit}}}",
                run.status(),
                run.proof()
            ));
        }
        line.push('\n');
        print::out(line.as_bytes())
    }

    /// Tells what changed, where lines are printed for good.
    fn said(&mut self) -> Result<(), ApiError> {
        let Some(run) = &self.run else { return Ok(()) };
        if self.context.global.json || self.context.global.quiet {
            return Ok(());
        }
        if !self.carded
            && run.is_planned()
            && (run.baseline == Baseline::Done || run.is_ended() || run.baseline == Baseline::Asked)
        {
            self.carded = true;
            let mut doc = query::status_doc(run, None, &self.dir);
            if self.screen.is_none() {
                // The lines below and above the card tell them, whole.
                doc.run.notices.clear();
            }
            let look = self.context.look(self.context.width(self.context.err_is_terminal()).min(120));
            let view = RunView::new(&doc, &self.overlay, now());
            let card: Vec<_> =
                notes_above(&view, &look).into_iter().chain(start_card(&view, &look)).collect();
            match (&mut self.screen, terminal_size()) {
                (Some(screen), Some((width, height))) => {
                    let size = Size { width, height };
                    let mut lines = card;
                    lines.push(windlass_view::Line::new());
                    write_err(&screen.print_above(&lines, &[], size));
                }
                _ => print::err_lines(self.context, &card),
            }
        }
        if self.screen.is_none() {
            self.dirty = false;
            let doc = query::status_doc(run, None, &self.dir);
            let lines = self.plain.update(&doc, now(), &self.context.look(PLAIN_WIDTH));
            print::err_lines(self.context, &lines);
        }
        Ok(())
    }

    fn draw(&mut self) {
        let (Some(screen), Some(run), Some((width, height))) = (&mut self.screen, &self.run, terminal_size())
        else {
            return;
        };
        let size = Size { width, height };
        let doc = query::status_doc(run, None, &self.dir);
        let view = RunView::new(&doc, &self.overlay, now());
        let frame = windlass_view::watch::frame(&view, &self.context.look(width), size.frame_height());
        write_err(&screen.draw(&frame, size));
        self.dirty = false;
    }

    /// Whether the run stopped; asks what a person must say where one is there.
    fn stopped(&mut self) -> Result<Option<End>, ApiError> {
        let Some(run) = &self.run else { return Ok(None) };
        if run.baseline == Baseline::Asked && !run.is_ended() && self.context.can_ask() {
            if self.asking.is_none() {
                self.ask(Asking::RedGates);
            }
            return Ok(None);
        }
        let asked = run.asked.filter(|_| run.waits().any(|w| w.kind == WaitKind::Approval));
        if self.asking.is_some_and(Asking::is_of_approval) && asked.is_none() {
            // Somebody else has answered.
            self.asking = None;
        }
        let Some(code) = exit_code(run) else { return Ok(None) };
        if let Some(asked) = asked.filter(|_| code == 3 && run.blocked.is_none() && self.context.can_ask()) {
            match self.asking {
                Some(Asking::Approval(place) | Asking::Otherwise(place)) if place == asked.question => {}
                Some(Asking::Stop) => {}
                _ => self.ask(Asking::Approval(asked.question)),
            }
            return Ok(None);
        }
        self.finish()?;
        Ok(Some(End::Stopped(code)))
    }

    fn finish(&mut self) -> Result<(), ApiError> {
        if self.dirty {
            self.said()?;
        }
        let Some(run) = self.run.take() else { return Ok(()) };
        if !self.context.global.json && !self.context.global.quiet {
            let git = || self.context.git();
            let project = self.context.paths.project_of(self.id).unwrap_or_default();
            let mut doc = query::status_doc(&run, Some((&git, project.as_path())), &self.dir);
            crate::context::as_typed_here(&mut doc.run);
            let look = self.context.look(self.context.width(self.context.err_is_terminal()).min(120));
            let view = RunView::new(&doc, &self.overlay, now());
            let mut card = end_card(&view, &look);
            match (self.screen.take(), terminal_size()) {
                (Some(screen), Some((width, height))) => {
                    card.insert(0, windlass_view::Line::new());
                    write_err(&screen.finish(&card, Size { width, height }));
                }
                _ => print::err_lines(self.context, &card),
            }
        }
        if !self.context.global.json && run.is_ended() {
            for bytes in final_texts(&run, &self.dir)? {
                print::result(&bytes)?;
            }
        }
        Ok(())
    }

    /// Finds or starts the next engine after one was lost.
    fn find_engine(&mut self) -> Result<(), ApiError> {
        if self.options.tied {
            return Err(ApiError::new(ErrorKind::Internal, "the engine in this process ended")
                .hint(format!("`windlass resume {}` goes on", self.id)));
        }
        // It leads the run when it has visited the project; that needs no answer that matters here.
        let cwd = self
            .run
            .as_ref()
            .map_or_else(|| self.context.cwd.to_string_lossy().into_owned(), |r| r.spec.cwd.clone());
        self.listen(host::visit_run(self.context, self.id, &cwd)?)
    }

    fn detach(&mut self) -> End {
        if let (Some(screen), Some((width, height))) = (self.screen.take(), terminal_size()) {
            write_err(&screen.finish(&[], Size { width, height }));
        }
        print::note(
            self.context,
            &format!("run {} goes on; `windlass attach {}` watches it again", self.id, self.id),
        );
        End::Detached
    }

    fn interrupted(&mut self) -> Result<Option<End>, ApiError> {
        self.interrupts += 1;
        let asks = self.context.can_ask() && !self.options.tied;
        if asks && self.interrupts == 1 && self.asking.is_none_or(Asking::is_of_approval) {
            self.ask(Asking::Stop);
            return Ok(None);
        }
        if self.interrupts > 1 && self.asking == Some(Asking::Stop) {
            self.asking = None;
            write_err("\n");
        }
        self.cancel("signal")?;
        Ok(None)
    }

    fn terminated(&mut self) -> Result<Option<End>, ApiError> {
        if self.context.can_ask() && !self.options.tied {
            // The terminal's program is being ended, not the run.
            return Ok(Some(self.detach()));
        }
        self.cancel("signal")?;
        Ok(None)
    }

    fn cancel(&mut self, by: &str) -> Result<(), ApiError> {
        match self.request(Request::Cancel { run: self.id, task: None, by: by.to_owned() }) {
            // It ended meanwhile: its end is on the way.
            Err(e) if e.kind == ErrorKind::State => Ok(()),
            other => other,
        }
    }

    /// Asks on a connection of its own: the watching one is busy.
    fn request(&self, request: Request) -> Result<(), ApiError> {
        if !self.options.tied {
            return host::ask(self.context, &request).map(|_| ());
        }
        let socket = self.context.paths.runtime.join(format!("inline-{}.sock", std::process::id()));
        let mut client =
            Client::connect(&socket, host::version()).map_err(windlass_api::ClientError::into_api)?;
        client.call(request).map(|_| ()).map_err(windlass_api::ClientError::into_api)
    }
}

/// Whether nothing comes after a task. A part is followed by what its parent is; what became others ends with them.
fn is_last(run: &Run, task: &Task) -> bool {
    let parent = task.spec.flow.parent.as_ref().and_then(|id| run.task_by_id(id));
    let followed = !task.dependants.is_empty() || parent.is_some_and(|t| !t.dependants.is_empty());
    !followed && !task.excused && task.grown.parts.is_empty()
}

/// The texts that a run ends with: the results of the tasks that nothing comes after, byte for byte.
pub(crate) fn final_texts(run: &Run, dir: &RunDir) -> Result<Vec<Vec<u8>>, ApiError> {
    let mut all = Vec::new();
    let last = run.tasks.iter().filter(|t| is_last(run, t));
    for task in last {
        let Some(result) = task.attempts.iter().rev().find_map(|a| a.end.as_ref()?.result.as_ref()) else {
            continue;
        };
        let path = dir.0.join(&result.path);
        let bytes = std::fs::read(&path).map_err(|e| {
            ApiError::new(
                ErrorKind::Missing,
                format!("the result of {} cannot be read: {}: {e}", task.spec.id, path.display()),
            )
            .hint(format!("`windlass logs {}/{} --raw` has what the worker wrote", run.id, task.spec.id))
        })?;
        all.push(bytes);
    }
    if all.len() > 1 {
        for text in &mut all {
            if text.last().is_some_and(|b| *b != b'\n') {
                text.push(b'\n');
            }
        }
    }
    Ok(all)
}

/// A run as it stands in the journal, for commands that need no engine.
pub(crate) fn stored(context: &Context, run: RunId) -> Result<Run, ApiError> {
    names::load(context, run).map(|(run, _)| run)
}

pub(crate) fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

fn write_err(text: &str) {
    let mut err = std::io::stderr().lock();
    // A terminal that is gone shows by SIGHUP.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
