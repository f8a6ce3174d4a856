//! What runs wait for, in words: the `waiting` of a status, and the inbox over all projects. What it is and who ends it is the
//! core's to say ([`Run::waits`]).

use crate::driver::projects::OpenError;
use crate::paths::Paths;
use crate::query;
use std::path::PathBuf;
use windlass_api::inbox::{InboxDoc, InboxItem, YOU};
use windlass_api::status::WaitingDoc;
use windlass_core::Run;
use windlass_core::waits::{Ender, Wait, WaitKind};
use windlass_events::RunStatus;
use windlass_events::spec::RedGate;
use windlass_store::StoreError;

/// What a waiting run waits for. A pause that only its worker is to blame for is none: its task says that it pauses.
pub(crate) fn waiting(run: &Run) -> Option<WaitingDoc> {
    if run.status() != RunStatus::Waiting {
        return None;
    }
    let wait = run.waits().next()?;
    let of = wait.kind.of_journal()?;
    let is_asked = matches!(wait.kind, WaitKind::Approval | WaitKind::Answer);
    let answers = [RedGate::Mend, RedGate::LeaveOut, RedGate::Stop];
    Some(WaitingDoc {
        wait: of,
        question: is_asked.then(|| said(run, &wait)),
        options: match wait.kind {
            WaitKind::Answer => answers.map(|a| a.to_string()).to_vec(),
            _ => Vec::new(),
        },
        answer_with: wait.commands().first().map(|c| c.line(run.id)),
        on: match wait.kind {
            WaitKind::Quota => Some("the provider to recover".to_owned()),
            _ => (!wait.on.is_empty()).then(|| wait.on.clone()),
        },
        task: wait.task,
        since: wait.since,
        until: wait.until,
    })
}

/// What a wait is about, in one sentence.
fn said(run: &Run, wait: &Wait) -> String {
    match wait.kind {
        WaitKind::Approval => match (&wait.task, run.approved_plan) {
            (Some(task), _) => format!("May task {task} start?"),
            (None, None) => "May the plan be carried out? Nothing that may write has started.".to_owned(),
            (None, Some(_)) => {
                "The plan is another now. May it be carried out? Nothing of it that may write has started."
                    .to_owned()
            }
        },
        WaitKind::Answer => {
            "A project gate is red before anything was done. Mend it too, leave it out, or stop?".to_owned()
        }
        WaitKind::Restart => "The machine was restarted; nothing is spent without your word.".to_owned(),
        WaitKind::Environment => {
            format!("Secret values of its first shell are gone: {}. Resume it where they are set.", wait.on)
        }
        WaitKind::Cap | WaitKind::Attention | WaitKind::Blocked => wait.on.clone(),
        WaitKind::Tree => format!("Run {} has its turn in the tree.", wait.on),
        WaitKind::Quota => "The provider is to recover.".to_owned(),
        WaitKind::Pause => "It tries again after a pause.".to_owned(),
    }
}

/// What of a run waits: everything that a person ends, and the first thing that ends by itself.
pub fn items(run: &Run) -> Vec<InboxItem> {
    let own: Vec<Wait> = run.waits().filter(|w| w.kind.is_for_person()).collect();
    // While something of it works, that another part pauses or is in line is nothing to wait for.
    let by_itself = run.waits().find(|w| !w.kind.is_for_person()).filter(|_| !run.is_live());
    own.into_iter()
        .chain(by_itself)
        .map(|wait| InboxItem {
            run: run.id,
            goal: run.spec.goal.clone(),
            cwd: run.spec.cwd.clone(),
            status: run.status(),
            wait: wait.kind.as_str().to_owned(),
            since: wait.since,
            until: wait.until,
            ends_by: match &wait.ender {
                Ender::Person { .. } => YOU.to_owned(),
                Ender::Time => "time".to_owned(),
                Ender::OtherRun { who } => who.clone(),
            },
            why: said(run, &wait),
            commands: wait.commands().iter().map(|c| c.line(run.id)).collect(),
            task: wait.task,
        })
        .collect()
}

/// What waits in these projects: first what a person ends, the oldest first; then what ends by itself. Runs whose journal cannot
/// be read are named by their ids, for `doctor`.
///
/// # Errors
/// When a store cannot be read.
pub fn inbox(
    paths: &Paths,
    projects: &[PathBuf],
) -> Result<(InboxDoc, Vec<windlass_events::RunId>), OpenError> {
    let (mut doc, mut unreadable) = (InboxDoc::default(), Vec::new());
    for dir in projects {
        let runs = match query::unfinished(paths, dir) {
            Ok(runs) => runs,
            Err(StoreError::NotFound { .. }) => continue,
            Err(e) => return Err(e.into()),
        };
        for id in runs {
            match query::load(paths, id) {
                Ok((run, _)) => doc.waits.extend(items(&run)),
                // It was removed since the list was made.
                Err(OpenError::NoRun(_)) => {}
                Err(_) => unreadable.push(id),
            }
        }
    }
    doc.waits.sort_by_key(|w| (!w.is_for_person(), w.since, w.run));
    Ok((doc, unreadable))
}
