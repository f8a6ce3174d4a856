//! What a person is asked while they watch, and what their answers mean.

use super::{End, Happened, Watch, write_err};
use crate::commands::look::proposal;
use crate::context::{Context, terminal_size};
use crate::print;
use windlass_api::{ApiError, ErrorKind, Request};
use windlass_events::Seq;
use windlass_events::spec::{GateSource, RedGate};
use windlass_view::theme::Tone;
use windlass_view::{Line, Look, Size};

/// What a person is asked while they watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Whether to leave, stay or cancel.
    Stop,
    /// What red gates mean.
    RedGates,
    /// What is to be approved, by the place of the question.
    Approval(Seq),
    /// What is to be otherwise about it.
    Otherwise(Seq),
}

impl Asking {
    /// Whether it is about a plan.
    pub(super) const fn is_of_approval(self) -> bool {
        matches!(self, Self::Approval(_) | Self::Otherwise(_))
    }
}

impl Watch<'_> {
    /// Asks on the terminal; the answer comes as a line.
    pub(super) fn ask(&mut self, what: Asking) {
        self.asking = Some(what);
        let look = self.context.look(self.context.width(true));
        let lines = match (what, &self.run) {
            (Asking::RedGates, Some(run)) => {
                let red: Vec<&str> = (0u32..)
                    .zip(&run.spec.gates)
                    .filter(|(i, g)| {
                        matches!(g.source, GateSource::Config | GateSource::Detected)
                            && run.baseline_of(*i).and_then(|t| t.end.as_ref()).is_some_and(|e| !e.is_green())
                    })
                    .map(|(_, g)| g.command.as_str())
                    .collect();
                windlass_view::home::red_gates_question(&red, &look)
            }
            (Asking::Approval(_), _) => self.plan_and_question(&look),
            (Asking::Otherwise(_), _) => {
                vec![Line::of(Tone::Plain, "What is to be otherwise? Enter alone asks again.")]
            }
            _ => windlass_view::home::stop_question(self.id.as_str(), &look),
        };
        if let (Some(screen), Some((width, height))) = (&mut self.screen, terminal_size()) {
            write_err(&screen.print_above(&lines, &[], Size { width, height }));
        } else {
            print::err_lines(self.context, &lines);
        }
        write_err("> ");
        // One that waits since an earlier question hears the answer to this one.
        if std::mem::replace(&mut self.reading, true) {
            return;
        }
        let to = self.to.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            let answer = match std::io::stdin().read_line(&mut line) {
                Ok(n) if n > 0 => Some(line.trim().to_owned()),
                _ => None,
            };
            let _ = to.send(Happened::Answer(answer));
        });
    }

    /// What is to be approved, as much of it as a screen holds, and what can be answered.
    fn plan_and_question(&self, look: &Look) -> Vec<Line> {
        let room = terminal_size().map_or(20, |(_, height)| height.saturating_sub(12) / 2).max(3);
        let mut lines = match proposal::of_run(self.context, self.id) {
            Ok(doc) => windlass_view::approval::proposal(&doc, Some(room), look),
            // The question is there all the same.
            Err(e) => {
                vec![Line::of(Tone::Warn, e.message).fit(look.width)]
            }
        };
        lines.extend(windlass_view::approval::question(look));
        lines
    }

    /// Takes a line of the person; `None` when their terminal has no more.
    pub(super) fn answered(&mut self, answer: Option<&str>) -> Result<Option<End>, ApiError> {
        self.reading = false;
        let Some(asking) = self.asking.take() else { return Ok(None) };
        if asking.is_of_approval() {
            return self.approval_answered(asking, answer);
        }
        let answer = answer.map(str::to_lowercase);
        match (asking, answer.as_deref()) {
            (Asking::Stop, Some("w" | "k")) => {
                self.interrupts = 0;
                // What was asked before is asked again.
                self.stopped()
            }
            (Asking::Stop, Some("c")) => {
                self.cancel("user")?;
                Ok(None)
            }
            (Asking::RedGates, Some("m" | "mend" | "")) => self.settle(RedGate::Mend),
            (Asking::RedGates, Some("l" | "leave")) => self.settle(RedGate::LeaveOut),
            (Asking::RedGates, Some("s" | "stop")) => self.settle(RedGate::Stop),
            (Asking::RedGates, Some(_)) => {
                self.ask(Asking::RedGates);
                Ok(None)
            }
            _ => Ok(Some(self.detach())),
        }
    }

    /// A letter, or `r` with the text after it. Enter alone leaves the run as it is: waiting, which is how the command ends.
    fn approval_answered(&mut self, asking: Asking, answer: Option<&str>) -> Result<Option<End>, ApiError> {
        let (Asking::Approval(place) | Asking::Otherwise(place)) = asking else { return Ok(None) };
        let (run, question, env) = (self.id, Some(place), Context::shell_env);
        let Some(said) = answer else { return Ok(Some(self.detach())) };
        let (word, rest) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
        let text = match asking {
            Asking::Otherwise(_) => said,
            _ => rest.trim(),
        };
        let request = match (asking, word.to_lowercase().as_str()) {
            (Asking::Otherwise(_), "") => return self.ask_again(place),
            (Asking::Otherwise(_), _) => Request::Reject { run, question, text: text.to_owned(), env: env() },
            (_, "a" | "approve") if text.is_empty() => Request::Approve { run, question, env: env() },
            (_, "r" | "reject") if text.is_empty() => {
                self.ask(Asking::Otherwise(place));
                return Ok(None);
            }
            (_, "r" | "reject") => Request::Reject { run, question, text: text.to_owned(), env: env() },
            (_, "c" | "cancel") if text.is_empty() => {
                self.cancel("user")?;
                return Ok(None);
            }
            (_, "") => {
                self.finish()?;
                return Ok(Some(End::Stopped(3)));
            }
            _ => return self.ask_again(place),
        };
        match self.request(request) {
            // Somebody was faster, or it is another plan by now: what is asked then is asked.
            Err(e) if e.kind == ErrorKind::State => {
                print::note(self.context, &e.message);
                self.stopped()
            }
            other => other.map(|()| None),
        }
    }

    fn ask_again(&mut self, place: Seq) -> Result<Option<End>, ApiError> {
        self.ask(Asking::Approval(place));
        Ok(None)
    }

    fn settle(&mut self, answer: RedGate) -> Result<Option<End>, ApiError> {
        self.request(Request::SettleGates { run: self.id, answer })?;
        Ok(None)
    }
}
