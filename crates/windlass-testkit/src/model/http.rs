//! Routes, pacing and faults.

use super::encode::{Message, Step};
use super::request::{Ending, Request, Wire};
use super::script::{Fault, Reply};
use super::state::Shared;
use super::{anthropic, openai};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::unfold;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Serves until `stopped` resolves. Open connections are dropped with the runtime.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let router = Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/chat/completions", post(completions))
        .route("/_script/requests", get(recorded))
        .route("/_script/release/{name}", post(release))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::disable())
        .with_state(shared);
    tokio::select! {
        result = axum::serve(listener, router) => drop(result),
        _ = stopped => {}
    }
}

async fn messages(state: State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    answer(state, Wire::Anthropic, &uri, &headers, &body).await
}

async fn completions(state: State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    answer(state, Wire::OpenAi, &uri, &headers, &body).await
}

async fn elsewhere(state: State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    answer(state, Wire::Other, &uri, &headers, &body).await
}

/// For a server that runs as a process of its own: what was asked so far.
async fn recorded(State(shared): State<Arc<Shared>>) -> Response {
    let requests = shared.lock().requests.clone();
    axum::Json(requests).into_response()
}

/// For a server that runs as a process of its own: opens a barrier.
async fn release(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> StatusCode {
    shared.release(&name, true);
    StatusCode::NO_CONTENT
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    wire: Wire,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let headers = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let parsed = serde_json::from_slice::<Value>(body);
    let readable = parsed.is_ok() && wire != Wire::Other;
    let request = Request::new(wire, uri.path().to_owned(), headers, parsed.unwrap_or(Value::Null));
    let streams = request.streams();
    let include_usage = request.body["stream_options"]["include_usage"] == true;
    let model = request.conversation().model.clone();

    let (n, reply) = if readable {
        shared.arrive(request)
    } else {
        let summary = format!("the scripted server cannot read {}", request.summary());
        (shared.record_unexpected(request), Err(summary))
    };
    let mut record = Record { shared: Arc::clone(&shared), n, settled: false };
    let reply = match reply {
        Ok(reply) => reply,
        Err(message) => {
            record.settled = true;
            return error(wire, 400, &message, None);
        }
    };
    if let Some(name) = &reply.hold {
        shared.pass(name).await;
    }
    if reply.before_ms > 0 {
        tokio::time::sleep(Duration::from_millis(reply.before_ms)).await;
    }
    if let Some(Fault::Http { status, message, retry_after }) = &reply.fault {
        record.settle(Ending::Error(*status));
        return error(wire, *status, message, *retry_after);
    }
    let message = Message::new(n, model, &reply);
    if streams {
        stream(wire, include_usage, message, reply, record)
    } else {
        whole(wire, message, reply, record).await
    }
}

async fn whole(wire: Wire, message: Message, reply: Reply, mut record: Record) -> Response {
    match &reply.fault {
        Some(Fault::Hang { .. }) => std::future::pending().await,
        Some(Fault::Cut { .. }) => {
            record.settle(Ending::Broken);
            let cut = unfold((), |()| async { Some((Err::<Bytes, _>(cut()), ())) });
            return json_response(200, Body::from_stream(cut), None);
        }
        Some(Fault::Event { kind, message, .. }) => {
            record.settle(Ending::Broken);
            return json_response(500, error_body(wire, kind, message).to_string(), None);
        }
        _ => {}
    }
    if message.endless() {
        return std::future::pending().await;
    }
    let body = if wire == Wire::OpenAi { openai::whole(&message) } else { anthropic::whole(&message) };
    record.shared.update(record.n, |request| request.sent = message.usage);
    record.settle(Ending::Done);
    json_response(200, body.to_string(), None)
}

/// What a stream still has to send.
struct Sending {
    wire: Wire,
    include_usage: bool,
    message: Message,
    steps: Box<dyn Iterator<Item = Step> + Send>,
    reply: Reply,
    pieces: u64,
    held: bool,
    over: bool,
    record: Record,
}

fn stream(wire: Wire, include_usage: bool, message: Message, reply: Reply, record: Record) -> Response {
    let steps = message.steps();
    let sending =
        Sending { wire, include_usage, message, steps, reply, pieces: 0, held: false, over: false, record };
    let body = unfold(sending, |mut sending| async move {
        let next = sending.next().await?;
        Some((next, sending))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    response
}

impl Sending {
    async fn next(&mut self) -> Option<Result<String, io::Error>> {
        loop {
            if self.over {
                return None;
            }
            if let Some((after, name)) = &self.reply.hold_after
                && !self.held
                && self.pieces >= *after
            {
                self.held = true;
                self.record.shared.pass(name).await;
            }
            match &self.reply.fault {
                Some(Fault::Hang { after }) if self.pieces >= *after => std::future::pending().await,
                Some(Fault::Cut { after }) if self.pieces >= *after => {
                    self.over = true;
                    // Lets the connection write out what it was given before it is told to break off.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    self.record.settle(Ending::Broken);
                    return Some(Err(cut()));
                }
                Some(Fault::Event { after, kind, message }) if self.pieces >= *after => {
                    self.over = true;
                    self.record.settle(Ending::Broken);
                    return Some(Ok(match self.wire {
                        Wire::OpenAi => openai::error_event(kind, message),
                        _ => anthropic::error_event(kind, message),
                    }));
                }
                _ => {}
            }
            let step = self.steps.next()?;
            if let Step::Piece(..) = step {
                if self.reply.between_ms > 0 && self.pieces > 0 {
                    tokio::time::sleep(Duration::from_millis(self.reply.between_ms)).await;
                }
                self.pieces += 1;
            }
            let (text, tokens) = match self.wire {
                Wire::OpenAi => openai::encode(&self.message, &step, self.include_usage),
                _ => anthropic::encode(&self.message, &step),
            };
            if tokens != super::Tokens::default() {
                self.record.shared.update(self.record.n, |request| request.sent = request.sent.plus(tokens));
            }
            if let Step::End = step {
                self.over = true;
                self.record.settle(Ending::Done);
            }
            if !text.is_empty() {
                return Some(Ok(text));
            }
        }
    }
}

/// The record of one request. A reply dropped before it was settled means that the client left.
struct Record {
    shared: Arc<Shared>,
    n: u64,
    settled: bool,
}

impl Record {
    fn settle(&mut self, ending: Ending) {
        self.settled = true;
        self.shared.update(self.n, |request| request.ending = ending);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Ending::ClientLeft);
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the script")
}

fn error_body(wire: Wire, kind: &str, message: &str) -> Value {
    if wire == Wire::OpenAi { openai::error(kind, message) } else { anthropic::error(kind, message) }
}

fn error(wire: Wire, status: u16, message: &str, retry_after: Option<u64>) -> Response {
    let kind = if wire == Wire::OpenAi { openai::error_kind(status) } else { anthropic::error_kind(status) };
    json_response(status, error_body(wire, kind, message).to_string(), retry_after)
}

fn json_response(status: u16, body: impl Into<Body>, retry_after: Option<u64>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    }
    response
}
