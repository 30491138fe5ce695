//! Carries out the balancer's actions against real endpoints: a task an attempt, whose one message about
//! the end goes to the inbox. What differs between a replay and a gateway is where answers go.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::task::AbortHandle;

use super::driver::{Inbox, Message};
use super::upstream::{Meter, Outlet, Passed, Sending, SharedClient};
use super::wire::OUTPUT_TOKENS;
use crate::balance::{Attempt, Input, Outcome, ProbeResult, Progress};
use crate::unit::{NodeId, Tokens};

/// Attempts under way.
#[derive(Debug)]
pub(super) struct Attempts {
    client: SharedClient,
    inbox: Inbox,
    open: BTreeMap<Attempt, (AbortHandle, Arc<Meter>)>,
    /// The last question for one token of each node.
    asking: BTreeMap<NodeId, AbortHandle>,
}

impl Attempts {
    pub(super) const fn new(client: SharedClient, inbox: Inbox) -> Attempts {
        Attempts { client, inbox, open: BTreeMap::new(), asking: BTreeMap::new() }
    }

    /// Starts an attempt.
    pub(super) fn start(
        &mut self,
        attempt: Attempt,
        node: NodeId,
        prompt: Tokens,
        sending: Sending,
        mut outlet: impl Outlet + 'static,
    ) {
        let meter = Arc::new(Meter::new(prompt));
        let (client, inbox) = (Arc::clone(&self.client), self.inbox.clone());
        let metered = Arc::clone(&meter);
        let task = tokio::spawn(async move {
            let outcome = client.attempt(node.index(), sending, &metered, &mut outlet).await;
            if matches!(outcome, Outcome::Done(_)) {
                outlet.done();
            }
            end(&inbox, attempt, &metered, outcome);
        });
        self.open.insert(attempt, (task.abort_handle(), meter));
    }

    /// Stops an attempt and confirms it, unless it has just ended by itself.
    pub(super) fn abort(&mut self, attempt: Attempt) {
        if let Some((task, meter)) = self.open.get(&attempt) {
            // The connection closes as soon as the task is dropped.
            task.abort();
            end(&self.inbox, attempt, meter, Outcome::Aborted(meter.usage()));
        }
    }

    /// Forgets an attempt that has ended.
    pub(super) fn forget(&mut self, attempt: Attempt) {
        self.open.remove(&attempt);
    }

    /// Asks a node whether it is well.
    pub(super) fn probe(&self, node: NodeId, number: u32) {
        let (client, inbox) = (Arc::clone(&self.client), self.inbox.clone());
        tokio::spawn(async move {
            let result = client.probe(node.index()).await;
            send(&inbox, Input::Probed(node, number, result));
        });
    }

    /// Asks a node for one token of this model. What it was asked before is given up: the balancer has
    /// stopped waiting for it, and a node that hangs would keep every connection.
    pub(super) fn generate(&mut self, node: NodeId, number: u32, model: &str) {
        let (client, inbox) = (Arc::clone(&self.client), self.inbox.clone());
        let body = serde_json::json!({
            "model": model,
            "messages": [{ "role": "user", "content": "1" }],
            "max_tokens": 1,
        });
        let figures = vec![(OUTPUT_TOKENS, "1".to_owned())];
        let sending = Sending { body: body.to_string().into(), streams: false, figures };
        let task = tokio::spawn(async move {
            let meter = Meter::new(Tokens(1));
            let outcome = client.attempt(node.index(), sending, &meter, &mut Nobody).await;
            let result = match outcome {
                Outcome::Failed(failure, _) => ProbeResult::Failed(failure),
                // A node that asks for a pause is alive.
                Outcome::Done(_)
                | Outcome::Scored(..)
                | Outcome::RateLimited { .. }
                | Outcome::Busy { .. }
                | Outcome::Aborted(_) => ProbeResult::Healthy,
            };
            send(&inbox, Input::Probed(node, number, result));
        });
        if let Some(before) = self.asking.insert(node, task.abort_handle()) {
            before.abort();
        }
    }
}

/// Who reads the answer to a probe.
struct Nobody;

impl Outlet for Nobody {
    async fn first_token(&mut self) {}

    async fn pass_on(&mut self, _: Passed<'_>) -> bool {
        true
    }

    fn refused(&mut self, _: StatusCode, _: Bytes) {}
}

/// Says how an attempt ended, if nobody has.
fn end(inbox: &Inbox, attempt: Attempt, meter: &Meter, outcome: Outcome) {
    if meter.claim() {
        send(inbox, Input::Finish(attempt, outcome));
    }
}

/// Says that the first token came.
pub(super) fn first_token(inbox: &Inbox, attempt: Attempt) {
    send(inbox, Input::Progress(attempt, Progress::FirstToken));
}

/// Puts an input into the inbox. When the owner has ended nobody needs it.
pub(super) fn send(inbox: &Inbox, input: Input) {
    let _ = inbox.send(Message::Input(input));
}
