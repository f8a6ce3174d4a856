//! `daemon start|stop|restart|status|run`.

use crate::cli::DaemonAction;
use crate::context::Context;
use crate::{handover, host, print};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use windlass_api::status::DaemonDoc;
use windlass_api::{ApiError, Client, ClientError, ErrorKind, Reply, Request};

/// How long a daemon may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// Acts on the daemon; `status` when nothing is said.
pub(crate) fn daemon(context: &Context, action: Option<DaemonAction>) -> Result<u8, ApiError> {
    match action.unwrap_or(DaemonAction::Status) {
        DaemonAction::Run => {
            host::be_daemon(context).map_err(|e| ApiError::new(ErrorKind::Missing, format!("{e:#}")))?;
            Ok(0)
        }
        DaemonAction::Start { replace: false } => show_started(context, host::daemon(context)?),
        DaemonAction::Start { replace: true } | DaemonAction::Restart => {
            show_started(context, handover::restart(context)?)
        }
        DaemonAction::Status => {
            let doc = match host::running_daemon(context)? {
                Some(mut client) => match client.call(Request::Status) {
                    Ok(Reply::Status(doc)) => doc,
                    _ => absent(context),
                },
                None => absent(context),
            };
            show(context, &doc)
        }
        DaemonAction::Stop => stop(context),
    }
}

fn show_started(context: &Context, mut client: Client) -> Result<u8, ApiError> {
    match client.call(Request::Status).map_err(ClientError::into_api)? {
        Reply::Status(doc) => show(context, &doc),
        _ => Ok(0),
    }
}

fn absent(context: &Context) -> DaemonDoc {
    DaemonDoc {
        running: false,
        pid: None,
        version: None,
        socket: Some(context.paths.socket().to_string_lossy().into_owned()),
        runs: 0,
    }
}

fn show(context: &Context, doc: &DaemonDoc) -> Result<u8, ApiError> {
    if context.global.json {
        print::json(doc)?;
    } else if !context.global.quiet {
        let look = context.look(context.width(std::io::stdout().is_terminal()));
        print::lines(context, &windlass_view::list::daemon(doc, &look))?;
    }
    Ok(0)
}

fn stop(context: &Context) -> Result<u8, ApiError> {
    let Some(mut client) = host::running_daemon(context)? else {
        if context.global.json {
            print::json(&absent(context))?;
        } else {
            print::note(context, "no daemon runs");
        }
        return Ok(0);
    };
    match client.call(Request::Stop) {
        // It may be gone before its answer is on its way.
        Ok(_) | Err(ClientError::Left | ClientError::Broken(_) | ClientError::NotSent(_)) => {}
        Err(e) => return Err(e.into_api()),
    }
    let until = Instant::now() + LEAVE_LIMIT;
    // Another one may be there already: whoever asked for something meanwhile has started it.
    while host::running_daemon(context)?.is_some_and(|there| there.pid == client.pid) {
        if Instant::now() > until {
            return Err(ApiError::new(ErrorKind::Missing, "the daemon does not leave")
                .hint(format!("it is process {}; its workers go on without it", client.pid)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if context.global.json {
        print::json(&absent(context))?;
    } else {
        print::note(
            context,
            "the daemon has left; live workers go on and are found again by the next command",
        );
    }
    Ok(0)
}
