//! Requests that are left with a run, because who leads it does not answer. Whoever leads it next does them, each once: a request is
//! consumed in the same commit as the events that it causes.

use crate::driver::projects::OpenError;
use crate::paths::Paths;
use std::sync::Arc;
use windlass_api::Request;
use windlass_api::request::ShellEnv;
use windlass_events::{Millis, RunId};
use windlass_store::{LeaseName, Owner, OwnerFiles, ReadStore, SqliteStore, Store, StoredRequest};

/// The form of a request in which it is left with its run; `None` when it is not of a kind that waits. Of the asker's environment
/// nothing is left: secrets are written to no store, and the rest is the run's own.
pub fn as_stored(request: &Request) -> Option<(RunId, Request)> {
    let run = request.run()?;
    let mut kept = request.clone();
    match &mut kept {
        Request::Cancel { .. } | Request::SettleGates { .. } | Request::Steer { .. } => {}
        // An answer that names no question could fall on another one than the asker has seen.
        Request::Approve { question: None, .. } | Request::Reject { question: None, .. } => return None,
        Request::Resume { env, .. }
        | Request::Retry { env, .. }
        | Request::Approve { env, .. }
        | Request::Reject { env, .. } => *env = ShellEnv::default(),
        _ => return None,
    }
    Some((run, kept))
}

/// Who leads a run, when that owner is alive.
///
/// # Errors
/// When there is no such run or its store cannot be read.
pub fn leader(paths: &Paths, run: RunId) -> Result<Option<Owner>, OpenError> {
    let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
    let reader = crate::query::reader(paths, &dir)?;
    let lease = reader.lease(&LeaseName::Run(run))?;
    Ok(lease.and_then(|l| l.owner).filter(|owner| reader.is_alive(&owner.id)))
}

/// Leaves a request with its run, for a process that has no engine. Returns its id.
///
/// # Errors
/// When there is no such run or its store cannot be written.
pub fn leave(paths: &Paths, run: RunId, request: &Request, now: Millis) -> Result<String, OpenError> {
    let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
    let mut store = SqliteStore::open_with(&dir, Arc::new(OwnerFiles(paths.owners())))?;
    put(&mut store, run, request, now)
}

/// Leaves a request in the store of its run.
pub(crate) fn put(
    store: &mut SqliteStore,
    run: RunId,
    request: &Request,
    now: Millis,
) -> Result<String, OpenError> {
    // What is asked has a JSON form, since it came as one.
    let body = serde_json::to_string(request).unwrap_or_default();
    loop {
        let id = format!("{:016x}", crate::driver::calls::random());
        let left = StoredRequest { id: id.clone(), run, at: now, body: body.clone() };
        if store.put_request(&left)? {
            return Ok(id);
        }
    }
}

/// The request that was left, where this engine understands it. One that it does not is left for one that does.
pub(crate) fn parse(stored: &StoredRequest) -> Option<Request> {
    serde_json::from_str(&stored.body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use windlass_api::request::SecretText;

    #[test]
    fn what_is_left_holds_no_secret_and_reads_as_it_was() {
        let run = RunId::from_number(7);
        let env = ShellEnv {
            plain: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
            secret: BTreeMap::from([("API_KEY".to_owned(), SecretText("s3cr3t".to_owned()))]),
        };
        let asked = Request::Retry { run, tasks: Vec::new(), env };
        let (of, kept) = as_stored(&asked).unwrap();
        assert_eq!(of, run);
        let body = serde_json::to_string(&kept).unwrap();
        assert!(!body.contains("s3cr3t") && !body.contains("API_KEY"), "{body}");
        let stored = StoredRequest { id: "1".into(), run, at: 0, body };
        assert!(matches!(parse(&stored), Some(Request::Retry { run: r, .. }) if r == run));
        assert!(parse(&StoredRequest { body: r#"{"op":"of_a_later_version"}"#.into(), ..stored }).is_none());
    }

    #[test]
    fn an_approval_is_left_only_for_the_plan_that_was_seen() {
        let run = RunId::from_number(7);
        let secret = BTreeMap::from([("API_KEY".to_owned(), SecretText("s3cr3t".to_owned()))]);
        let env = || ShellEnv { plain: BTreeMap::new(), secret: secret.clone() };
        assert!(as_stored(&Request::Approve { run, question: None, env: env() }).is_none());
        for asked in [
            Request::Approve { run, question: Some(2), env: env() },
            Request::Reject { run, question: Some(2), text: "smaller".into(), env: env() },
        ] {
            let (_, kept) = as_stored(&asked).unwrap();
            let body = serde_json::to_string(&kept).unwrap();
            assert!(!body.contains("s3cr3t"), "{body}");
        }
    }

    #[test]
    fn what_must_be_answered_now_is_not_left() {
        let run = RunId::from_number(7);
        assert!(as_stored(&Request::Remove { run }).is_none());
        assert!(as_stored(&Request::Undo { run, force: false, redo: false, dry_run: false }).is_none());
    }
}
