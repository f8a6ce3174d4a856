//! Choosing the reply, the record, and the barriers. One lock; nothing waits while it holds it.

use super::request::{Ending, Request};
use super::script::{Fault, Order, Reply, Rule, Script, Tokens};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Usage of replies where neither reply nor script names any.
const DEFAULT_USAGE: Tokens = Tokens::new(100, 10, 0, 0);

pub(super) struct Shared {
    script: Script,
    inner: Mutex<Inner>,
    changed: Condvar,
    released: tokio::sync::Notify,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) requests: Vec<Request>,
    /// How often a reply was asked for: rule, conversation, slot.
    asked: HashMap<(usize, u64, usize), usize>,
    /// How many replies of a rule were given, per conversation (0: to all).
    given: HashMap<(usize, u64), usize>,
    barriers: HashMap<String, Barrier>,
}

#[derive(Default)]
struct Barrier {
    open: bool,
    permits: usize,
    waiting: usize,
}

impl Inner {
    pub(super) fn held_at(&self, name: &str) -> usize {
        self.barriers.get(name).map_or(0, |barrier| barrier.waiting)
    }
}

impl Shared {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            inner: Mutex::new(Inner::default()),
            changed: Condvar::new(),
            released: tokio::sync::Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and chooses its reply. The number is the request's; the error is for the client.
    pub(super) fn arrive(&self, mut request: Request) -> (u64, Result<Reply, String>) {
        let mut inner = self.lock();
        request.n = inner.requests.len() as u64 + 1;
        let n = request.n;
        let chosen = self.choose(&mut inner, &mut request);
        if chosen.is_none() {
            request.ending = Ending::Unexpected;
        }
        let answer =
            chosen.ok_or_else(|| format!("the test's script has no reply for {}", request.summary()));
        inner.requests.push(request);
        self.changed.notify_all();
        (n, answer)
    }

    /// Records a request that no script could answer.
    pub(super) fn record_unexpected(&self, mut request: Request) -> u64 {
        let mut inner = self.lock();
        request.n = inner.requests.len() as u64 + 1;
        request.ending = Ending::Unexpected;
        let n = request.n;
        inner.requests.push(request);
        self.changed.notify_all();
        n
    }

    fn choose(&self, inner: &mut Inner, request: &mut Request) -> Option<Reply> {
        let conversation = conversation_key(request);
        for (index, rule) in self.script.rules.iter().enumerate() {
            if !rule.when.iter().all(|when| when.holds(request)) {
                continue;
            }
            if let Some(answer) = &rule.answer {
                request.rule = Some(rule.name.clone());
                return Some(self.with_usage(answer(request)));
            }
            let queue = if rule.order == Order::Queue { 0 } else { conversation };
            let Some(slot) = slot(rule, request, inner.given.get(&(index, queue)).copied().unwrap_or(0))
            else {
                continue;
            };
            let mut reply = rule.replies[slot].clone();
            let asked = inner.asked.entry((index, conversation, slot)).or_insert(0);
            let failing = reply.first.get(*asked).cloned();
            *asked += 1;
            match failing {
                // A reply that fails first is not used up by failing.
                Some(fault) => reply = failed(reply, fault),
                None => *inner.given.entry((index, queue)).or_insert(0) += 1,
            }
            request.rule = Some(rule.name.clone());
            request.slot = slot;
            return Some(self.with_usage(reply));
        }
        None
    }

    fn with_usage(&self, mut reply: Reply) -> Reply {
        reply.usage = reply.usage.or(self.script.usage).or(Some(DEFAULT_USAGE));
        reply
    }

    /// Changes one record and tells who waits for it.
    pub(super) fn update(&self, n: u64, change: impl FnOnce(&mut Request)) {
        let mut inner = self.lock();
        let index = usize::try_from(n).unwrap_or(usize::MAX).wrapping_sub(1);
        if let Some(request) = inner.requests.get_mut(index) {
            change(request);
        }
        self.changed.notify_all();
    }

    /// Waits until the barrier lets this one go. Leaving early (the client went away) gives the place up.
    pub(super) async fn pass(&self, name: &str) {
        let _place = Place::take(self, name);
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Registered before looking, so that a release in between is not missed.
            released.as_mut().enable();
            if self.try_pass(name) {
                return;
            }
            released.await;
        }
    }

    fn try_pass(&self, name: &str) -> bool {
        let mut inner = self.lock();
        let barrier = inner.barriers.entry(name.to_owned()).or_default();
        if barrier.open {
            return true;
        }
        let permitted = barrier.permits > 0;
        barrier.permits = barrier.permits.saturating_sub(1);
        permitted
    }

    pub(super) fn release(&self, name: &str, for_good: bool) {
        {
            let mut inner = self.lock();
            let barrier = inner.barriers.entry(name.to_owned()).or_default();
            if for_good {
                barrier.open = true;
            } else {
                barrier.permits += 1;
            }
        }
        self.released.notify_waiters();
    }

    pub(super) fn close(&self, name: &str) {
        let mut inner = self.lock();
        let barrier = inner.barriers.entry(name.to_owned()).or_default();
        barrier.open = false;
        barrier.permits = 0;
    }

    /// Blocks until `enough` holds; panics at the deadline with what arrived.
    #[track_caller]
    pub(super) fn wait(&self, patience: Duration, what: &str, enough: impl Fn(&Inner) -> bool) {
        let deadline = Instant::now() + patience;
        let mut inner = self.lock();
        while !enough(&inner) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seen: Vec<String> = inner.requests.iter().map(Request::summary).collect();
                drop(inner);
                panic!("the model server waited {patience:?} for {what}; it saw:\n{}", seen.join("\n"));
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A place at a barrier, given up when dropped.
struct Place<'a> {
    shared: &'a Shared,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn take(shared: &'a Shared, name: &'a str) -> Self {
        shared.lock().barriers.entry(name.to_owned()).or_default().waiting += 1;
        shared.changed.notify_all();
        Self { shared, name }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(barrier) = self.shared.lock().barriers.get_mut(self.name) {
            barrier.waiting = barrier.waiting.saturating_sub(1);
        }
        self.shared.changed.notify_all();
    }
}

fn slot(rule: &Rule, request: &Request, given: usize) -> Option<usize> {
    let wanted = match rule.order {
        Order::Turn => request.conversation().turn(),
        Order::Prompt => request.conversation().turn_of_prompt(),
        Order::Conversation | Order::Queue => given,
    };
    if wanted < rule.replies.len() {
        Some(wanted)
    } else if rule.repeat_last {
        rule.replies.len().checked_sub(1)
    } else {
        None
    }
}

fn failed(mut reply: Reply, fault: Fault) -> Reply {
    reply.fault = Some(fault);
    reply
}

fn conversation_key(request: &Request) -> u64 {
    let conversation = request.conversation();
    let mut hasher = DefaultHasher::new();
    conversation.model.hash(&mut hasher);
    conversation.system.hash(&mut hasher);
    conversation.users().next().hash(&mut hasher);
    // 0 is the key of a queue for all.
    hasher.finish() | 1
}
