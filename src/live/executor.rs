//! The executor of everything live: carries out the balancer's actions against real endpoints, a task an
//! attempt, whose one message about the end goes to the inbox. Whose requests they are, and where
//! answers go, is what [`LiveRequests`] differ in: the clients of a gateway, the workload of a replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::driver::{Executor, Inbox, Message, Observer};
use super::upstream::{Meter, Nobody, Outlet, Sending, SharedClient};
use super::wire::OUTPUT_TOKENS;
use crate::balance::{
    Action, Attempt, Balancer, Event, Fate, Input, Outcome, ProbeResult, Progress,
};
use crate::unit::{NodeId, RequestId, Time, Tokens};

/// The requests under way, as only the executor knows them.
pub(super) trait LiveRequests {
    /// What tasks let it know.
    type Note: Send + 'static;
    /// Where the answer of an attempt goes; what it leaves is a note.
    type Outlet: Outlet<Left = Self::Note> + 'static;

    /// Takes a note.
    fn note(&mut self, note: Self::Note);

    /// Returns what this node calls the model that it is asked for.
    fn model(&self, node: NodeId) -> &str;

    /// Returns what an attempt sends, and where its answer goes.
    fn dispatch(&mut self, order: DispatchOrder) -> Dispatch<Self::Outlet>;

    /// The balancer has acknowledged the first token of an attempt.
    fn acknowledge(&mut self, _attempt: Attempt) {}

    /// An attempt is over or about to be: of what it has not said yet, nothing is to be heard.
    fn close(&mut self, _attempt: Attempt) {}

    /// A request is settled.
    fn answer(&mut self, now: Time, answer: Settlement, balancer: &Balancer);

    /// Is called now and then.
    fn tick(&mut self, _balancer: &Balancer) {}
}

/// An attempt that is to be made: [`Action::Dispatch`].
#[derive(Clone, Copy, Debug)]
pub(super) struct DispatchOrder {
    pub(super) attempt: Attempt,
    pub(super) node: NodeId,
    /// What it may answer at most is clamped to so many tokens.
    pub(super) clamp: Option<Tokens>,
    /// So many tokens of the answer have reached the client already.
    pub(super) resumed: Tokens,
}

/// What an attempt is made of.
pub(super) struct Dispatch<O> {
    /// Tokens of its prompt.
    pub(super) prompt: Tokens,
    pub(super) sending: Sending,
    pub(super) outlet: O,
}

/// How a request was settled: [`Action::Answer`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Settlement {
    pub(super) request: RequestId,
    pub(super) fate: Fate,
    pub(super) by: Option<Attempt>,
    pub(super) begun: bool,
}

/// The attempts of these requests.
pub(super) struct AttemptTasks<R: LiveRequests> {
    client: SharedClient,
    inbox: Inbox<R::Note>,
    open: BTreeMap<Attempt, (AbortHandle, Arc<Meter>)>,
    /// The last question for one token of each node.
    asking: BTreeMap<NodeId, AbortHandle>,
    requests: R,
}

impl<R: LiveRequests> Observer for AttemptTasks<R> {
    fn hear(&mut self, _now: Time, event: &Event) {
        match event {
            Event::FirstToken { attempt, .. } => self.requests.acknowledge(*attempt),
            Event::Ended { attempt, .. } => {
                self.open.remove(attempt);
                self.requests.close(*attempt);
            }
            _ => {}
        }
    }

    fn tick(&mut self, _now: Time, balancer: &Balancer) {
        self.requests.tick(balancer);
    }
}

impl<R: LiveRequests> Executor for AttemptTasks<R> {
    type Note = R::Note;

    fn note(&mut self, note: R::Note) {
        self.requests.note(note);
    }

    fn carry_out(&mut self, now: Time, action: Action, balancer: &Balancer) {
        match action {
            Action::Dispatch { attempt, node, clamp, resumed, .. } => {
                let order = DispatchOrder { attempt, node, clamp, resumed };
                let dispatch = self.requests.dispatch(order);
                self.start(attempt, node, dispatch);
            }
            Action::Abort { attempt, .. } => {
                self.requests.close(attempt);
                self.abort(attempt);
            }
            Action::Probe(node, number) => self.probe(node, number),
            Action::Generate(node, number) => self.generate(node, number),
            // Real nodes are started and stopped by whoever runs them.
            Action::Start(_) | Action::Stop(_) => {}
            Action::Answer { request, fate, by, begun } => {
                self.requests.answer(now, Settlement { request, fate, by, begun }, balancer);
            }
        }
    }
}

impl<R: LiveRequests> AttemptTasks<R> {
    pub(super) const fn new(
        client: SharedClient,
        inbox: Inbox<R::Note>,
        requests: R,
    ) -> AttemptTasks<R> {
        AttemptTasks { client, inbox, open: BTreeMap::new(), asking: BTreeMap::new(), requests }
    }

    fn start(&mut self, attempt: Attempt, node: NodeId, dispatch: Dispatch<R::Outlet>) {
        let Dispatch { prompt, sending, mut outlet } = dispatch;
        let meter = Arc::new(Meter::new(prompt));
        let (client, inbox) = (Arc::clone(&self.client), self.inbox.clone());
        let metered = Arc::clone(&meter);
        let task = tokio::spawn(async move {
            let outcome = client.attempt(node.index(), sending, &metered, &mut outlet).await;
            let left = outlet.ended(&outcome);
            end(&inbox, attempt, &metered, outcome, left);
        });
        self.open.insert(attempt, (task.abort_handle(), meter));
    }

    /// Stops an attempt and confirms it, unless it has just ended by itself.
    fn abort(&mut self, attempt: Attempt) {
        if let Some((task, meter)) = self.open.get(&attempt) {
            // The connection closes as soon as the task is dropped.
            task.abort();
            end(&self.inbox, attempt, meter, Outcome::Aborted(meter.usage()), None);
        }
    }

    /// Asks a node whether it is well.
    fn probe(&self, node: NodeId, number: u32) {
        let (client, inbox) = (Arc::clone(&self.client), self.inbox.clone());
        tokio::spawn(async move {
            let result = client.probe(node.index()).await;
            send(&inbox, Input::Probed(node, number, result));
        });
    }

    /// Asks a node for one token. What it was asked before is given up: the balancer has stopped waiting
    /// for it, and a node that hangs would keep every connection.
    fn generate(&mut self, node: NodeId, number: u32) {
        let (client, inbox) = (Arc::clone(&self.client), self.inbox.clone());
        let body = serde_json::json!({
            "model": self.requests.model(node),
            "messages": [{ "role": "user", "content": "1" }],
            "max_tokens": 1,
        });
        let figures = vec![(OUTPUT_TOKENS, "1".to_owned())];
        let body = body.to_string().into();
        let operation = client.dialect(node.index()).conversation();
        let sending = Sending { operation, body, figures, ..Sending::default() };
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

/// Says how an attempt ended and what it left, if nobody has.
fn end<N>(inbox: &Inbox<N>, attempt: Attempt, meter: &Meter, outcome: Outcome, left: Option<N>) {
    if meter.claim() {
        let finish = Input::Finish(attempt, outcome);
        match left {
            Some(left) => send_noted(inbox, left, finish),
            None => send(inbox, finish),
        }
    }
}

/// Says that the first token came.
pub(super) fn first_token<N>(inbox: &Inbox<N>, attempt: Attempt) {
    send(inbox, Input::Progress(attempt, Progress::FirstToken));
}

/// Says how many tokens have come so far.
pub(super) fn goes_on<N>(inbox: &Inbox<N>, attempt: Attempt, so_far: Tokens) {
    send(inbox, Input::Progress(attempt, Progress::Tokens(so_far)));
}

/// Puts an input into the inbox. When the owner has ended nobody needs it.
pub(super) fn send<N>(inbox: &Inbox<N>, input: Input) {
    let _ = inbox.send(Message::Input(input));
}

/// Puts an input into the inbox, and what the executor must know before.
pub(super) fn send_noted<N>(inbox: &Inbox<N>, note: N, input: Input) {
    let _ = inbox.send(Message::Noted(note, input));
}
