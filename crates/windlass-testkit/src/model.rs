//! A scripted model server on loopback.
//!
//! A [`Script`] is a list of rules; a [`Rule`] says which requests it answers and with which [`Reply`]s. A request that
//! no rule answers gets HTTP 400 with a text that names it, and is kept for [`ModelServer::unexpected`], so that a test
//! never hangs on a gap in its own script and never passes over one.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `script` | rules, replies, faults: what a test writes, and its JSON form |
//! | `request` | what arrived, as recorded, with the conversation read out of either wire format |
//! | `state` | choosing the reply, the record, the barriers |
//! | `encode` | one reply as a sequence of steps, independent of the wire format |
//! | `anthropic`, `openai` | those steps in the two wire formats |
//! | `http` | routes, pacing, faults |

mod anthropic;
mod encode;
mod http;
mod openai;
mod request;
mod script;
mod state;

pub use request::{Conversation, Ending, Message, Request, ToolCall, Wire};
pub use script::{Block, Fault, Order, Reply, Rule, Script, Tokens, When};

use crate::{PATIENCE, must};
use state::Shared;
use std::sync::Arc;
use std::time::Duration;

/// A running server. It listens on a port of 127.0.0.1 that the system chose and ends when this value is dropped.
pub struct ModelServer {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ModelServer {
    /// Starts a server with this script on a thread and runtime of its own.
    pub fn start(script: Script) -> Self {
        Self::start_on(script, 0)
    }

    /// As [`ModelServer::start`], on a port of the caller's choice; 0 lets the system choose.
    pub fn start_on(script: Script, port: u16) -> Self {
        let listener = must(std::net::TcpListener::bind(("127.0.0.1", port)), "cannot listen on loopback");
        must(listener.set_nonblocking(true), "cannot prepare the listener");
        let port = must(listener.local_addr(), "the listener has no address").port();
        let shared = Arc::new(Shared::new(script));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("model-server".into()).spawn(move || {
            let runtime = must(
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
                "cannot start the model server's runtime",
            );
            runtime.block_on(http::serve(listener, state, stopped));
            // Held and hung replies must not keep the test alive.
            runtime.shutdown_background();
        });
        Self { port, shared, stop: Some(stop), thread: Some(must(thread, "cannot start a thread")) }
    }

    /// The port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The base address without a path, such as `http://127.0.0.1:40123`. Anthropic clients take it as it is; OpenAI
    /// clients want `/v1` behind it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The requests that the script had no reply for.
    pub fn unexpected(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.ending == Ending::Unexpected).collect()
    }

    /// Panics if a request came that the script had no reply for, and shows it.
    #[track_caller]
    pub fn assert_all_expected(&self) {
        let unexpected = self.unexpected();
        if let Some(first) = unexpected.first() {
            panic!(
                "{} request(s) without a reply in the script; the first: {}",
                unexpected.len(),
                first.summary()
            );
        }
    }

    /// The sum of the usage numbers that really went out, over all replies.
    pub fn usage_sent(&self) -> Tokens {
        self.requests().iter().fold(Tokens::default(), |sum, request| sum.plus(request.sent))
    }

    /// Lets every reply held at `name` go, and all that come there later.
    pub fn release(&self, name: &str) {
        self.shared.release(name, true);
    }

    /// Lets exactly one reply held at `name` go: one that waits now, or the next to come.
    pub fn release_one(&self, name: &str) {
        self.shared.release(name, false);
    }

    /// Closes the barrier `name` again after [`ModelServer::release`].
    pub fn hold(&self, name: &str) {
        self.shared.close(name);
    }

    /// Waits until at least `count` replies are held at `name`; panics after [`PATIENCE`].
    #[track_caller]
    pub fn wait_held(&self, name: &str, count: usize) {
        let what = format!("{count} replies held at {name:?}");
        self.shared.wait(PATIENCE, &what, |inner| inner.held_at(name) >= count);
    }

    /// Waits until the record satisfies `enough` and gives it; panics after [`PATIENCE`] with what did arrive.
    #[track_caller]
    pub fn wait_for(&self, what: &str, enough: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        self.wait_for_within(PATIENCE, what, enough)
    }

    /// As [`ModelServer::wait_for`], with a deadline of the caller's choice.
    #[track_caller]
    pub fn wait_for_within(
        &self,
        patience: Duration,
        what: &str,
        enough: impl Fn(&[Request]) -> bool,
    ) -> Vec<Request> {
        self.shared.wait(patience, what, |inner| enough(&inner.requests));
        self.requests()
    }

    /// Waits until at least `count` requests have arrived, answered or not.
    #[track_caller]
    pub fn wait_requests(&self, count: usize) -> Vec<Request> {
        self.wait_for(&format!("{count} requests"), |requests| requests.len() >= count)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
