//! The handle to an engine that runs in this process.

use super::Loop;
use super::calls::{self, CallIn};
use super::context::{Ctx, EngineOptions, Msg};
use super::projects::{OpenError, Projects};
use super::watch::Watcher;
use crate::paths::Paths;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use windlass_api::{ApiError, ErrorKind, Reply, Request};
use windlass_worker::Nursery;

/// A handle to an engine that runs in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    tx: mpsc::UnboundedSender<Msg>,
}

impl Engine {
    /// Starts an engine on the current tokio runtime. The nursery must have been started before the runtime was.
    ///
    /// # Errors
    /// When its folders or its owner lock cannot be made.
    pub fn start(
        options: EngineOptions,
        paths: Paths,
        nursery: Nursery,
    ) -> Result<(Self, tokio::task::JoinHandle<Left>), OpenError> {
        let (tx, rx) = mpsc::unbounded_channel();
        let projects = Projects::new(paths, options.address.clone())?;
        crate::paths::make_private(&projects.paths().runtime.join("w"))?;
        let ctx = Arc::new(Ctx::new(options, projects, nursery, tx.clone()));
        let engine = Loop::new(ctx);
        Ok((Self { tx }, tokio::spawn(engine.run(rx))))
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// As the engine refuses; of kind `internal` when it is leaving.
    pub async fn call(&self, request: Request) -> Result<Reply, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.tx.send(Msg::Call(CallIn { request, reply })).map_err(|_| calls::leaving())?;
        answer.await.map_err(|_| {
            ApiError::new(ErrorKind::Missing, "the engine left before it had an answer")
                .hint("look whether it was done: `windlass list`, `windlass status`")
        })?
    }

    /// Begins to watch a run.
    pub fn watch(&self, watcher: Watcher) {
        // A watcher of an engine that is leaving sees its channel close.
        let _ = self.tx.send(Msg::Watch(watcher));
    }

    /// Asks the engine to leave: workers go on, unless they are tied to it.
    pub fn leave(&self) {
        let _ = self.tx.send(Msg::Leave);
    }
}

/// Why an engine left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It was idle, or told to.
    AsAsked,
    /// Its nursery is gone, so it can start nothing more: another engine must take its place. Workers go on.
    NurseryGone,
}
