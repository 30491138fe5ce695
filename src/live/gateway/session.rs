//! What the gateway knows of a request under way: one record from its arrival to its answer, owned by the
//! task that owns the balancer, so no lock is needed and nothing can be told twice.
//!
//! Who answers and whether the answer has begun is the balancer's to say. What it cannot know is here:
//! the request as the client wrote it, the way to the client, and what attempts have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::answer::{
    ClientReads, Joining, Leftover, ServedBy, ToClient, ToConnection, closing_event,
};
use super::request::ClientRequest;
use super::seam::{PartialAnswer, Seam};
use super::translate::AnswerTranslator;
use super::words;
use crate::balance::{Attempt, Balancer, End, Fate};
use crate::id_map::IdMap;
use crate::live::driver::Inbox;
use crate::live::executor::{Dispatch, DispatchOrder, LiveRequests, Settlement};
use crate::live::upstream::{Dialect, PrefillKind, Sending};
use crate::live::wire::operation::Operation;
use crate::live::wire::sse::SseParser;
use crate::unit::{NodeId, RequestId, Time, Tokens};

/// What connections and attempts let the owner know, past the balancer.
#[derive(Debug)]
pub(super) enum GatewayNote {
    /// A request comes in, and its answer goes there.
    Arrived(RequestId, ClientRequest, mpsc::Sender<ToClient>),
    /// An attempt has left something for the answer.
    Left(Attempt, Leftover),
}

/// A node as the gateway asks it.
#[derive(Clone, Debug)]
pub(super) struct NodeSpeech {
    /// What it calls the model; empty to leave what the client said.
    pub(super) model: String,
    pub(super) dialect: Dialect,
    /// How it is asked to go on from the beginning of an answer.
    pub(super) prefill: PrefillKind,
}

/// A request under way.
#[derive(Debug)]
struct ClientSession {
    client: ClientRequest,
    to: mpsc::Sender<ToClient>,
    arrived: Instant,
    /// When its first attempt began.
    first: Option<Instant>,
    /// By ordinal.
    attempts: Vec<SentAttempt>,
    /// Whether the answer has begun.
    begun: bool,
    /// What of an answer that was cut has reached the client.
    partial: Option<PartialAnswer>,
}

/// An attempt of a request.
#[derive(Debug)]
struct SentAttempt {
    node: NodeId,
    /// Lets its answer leave. `None` once it does, or once it never will.
    commit: Option<oneshot::Sender<()>>,
    leftover: Option<Leftover>,
}

impl ClientSession {
    fn sent(&mut self, attempt: Attempt) -> Option<&mut SentAttempt> {
        self.attempts.get_mut(usize::from(attempt.ordinal))
    }

    /// Returns who serves it now.
    fn served(&self, node: Option<NodeId>) -> ServedBy {
        let now = Instant::now();
        let first = self.first.unwrap_or(now);
        ServedBy {
            node,
            attempts: self.attempts.len(),
            queued: first - self.arrived,
            tried: now - first,
        }
    }

    /// Lets an attempt begin its answer.
    fn begin(&mut self, attempt: Attempt) {
        let Some(sent) = self.sent(attempt) else { return };
        let (node, commit) = (sent.node, sent.commit.take());
        if let Some(commit) = commit {
            if std::mem::replace(&mut self.begun, true) {
                // It goes on after a cut.
                let _ = commit.send(());
                return;
            }
            // The channel is empty, since nothing leaves before this. A client that is gone says so
            // itself, and an attempt that is being stopped waits for nothing.
            let _ = self.to.try_send(ToClient::Begin(self.served(Some(node))));
            let _ = commit.send(());
        }
    }

    /// Returns the last messages of its answer. A node will serve after `next_node` seconds, which is
    /// asked for only where it is told.
    fn messages(mut self, answer: Settlement, next_node: impl FnOnce() -> u64) -> Vec<ToClient> {
        let operation = self.client.operation;
        match (answer.fate, answer.by) {
            (Fate::Completed, Some(by)) => {
                let sent = self.sent(by);
                let (node, leftover) =
                    sent.map_or((None, None), |sent| (Some(sent.node), sent.leftover.take()));
                whole(operation, self.served(node), leftover, answer.begun)
            }
            (fate, _) if answer.begun => {
                vec![ToClient::Broken(words::broken(operation, fate))]
            }
            (fate, _) => {
                let refusal = match self.at_fault(fate) {
                    Some((status, body)) => words::at_fault(operation, status, body),
                    None => words::refusal(operation, fate, next_node()),
                };
                vec![ToClient::Refused(self.served(None), refusal)]
            }
        }
    }

    /// Takes what an endpoint said of a request that is itself at fault, or is for none of them: only that
    /// goes to the client, everything else is ours to word. Of a hedged request the last attempt to fail
    /// need not be the last to be sent.
    fn at_fault(&mut self, fate: Fate) -> Option<(StatusCode, Bytes)> {
        let Fate::Failed(End::Failed(failure)) = fate else { return None };
        self.attempts.iter_mut().rev().find_map(|sent| match sent.leftover.take() {
            Some(Leftover::Refused(said, status, body)) if said == failure => Some((status, body)),
            _ => None,
        })
    }
}

/// The last messages of a whole answer.
fn whole(
    operation: Operation,
    served: ServedBy,
    leftover: Option<Leftover>,
    begun: bool,
) -> Vec<ToClient> {
    match leftover {
        Some(Leftover::Whole(kind, body)) => vec![ToClient::Whole(served, kind, body)],
        Some(Leftover::Stream { events, last }) => {
            let mut messages = Vec::with_capacity(events.len() + 2);
            if !begun {
                messages.push(ToClient::Begin(served));
            }
            messages.extend(events.into_iter().map(|event| ToClient::Piece(event, None)));
            messages.push(ToClient::End(last));
            messages
        }
        Some(Leftover::Refused(..) | Leftover::Cut(_)) | None => {
            vec![ToClient::End(closing_event(operation))]
        }
    }
}

/// The requests under way.
#[derive(Debug)]
pub(super) struct Sessions {
    under_way: IdMap<ClientSession>,
    inbox: Inbox<GatewayNote>,
    /// By node.
    nodes: Vec<NodeSpeech>,
    /// Whether some route lets answers that were cut go on.
    resumes: bool,
    /// The [`Readiness`], for those who ask the gateway.
    ready: Arc<AtomicU8>,
}

/// Whether requests have somewhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Readiness {
    /// No node may be given work.
    NotReady,
    /// Of some route nothing is well: ejected nodes serve it too.
    Panic,
    /// Some node is up.
    Ready,
}

impl Sessions {
    pub(super) fn new(
        inbox: Inbox<GatewayNote>,
        nodes: Vec<NodeSpeech>,
        resumes: bool,
        ready: Arc<AtomicU8>,
    ) -> Sessions {
        Sessions { under_way: IdMap::default(), inbox, nodes, resumes, ready }
    }

    /// Ends the record of a request. Returns the way to its client, and the last messages for it.
    fn settle(
        &mut self,
        answer: Settlement,
        next_node: impl FnOnce() -> u64,
    ) -> (mpsc::Sender<ToClient>, Vec<ToClient>) {
        let session = self.under_way.remove(answer.request).expect("one answer a request");
        (session.to.clone(), session.messages(answer, next_node))
    }
}

impl LiveRequests for Sessions {
    type Note = GatewayNote;
    type Outlet = ToConnection;

    fn note(&mut self, note: GatewayNote) {
        match note {
            GatewayNote::Arrived(request, client, to) => {
                let (arrived, attempts) = (Instant::now(), Vec::with_capacity(1));
                let session = ClientSession {
                    client,
                    to,
                    arrived,
                    first: None,
                    attempts,
                    begun: false,
                    partial: None,
                };
                self.under_way.insert(request, session);
            }
            // Of an attempt that was stopped for the answer of another one it comes after that.
            GatewayNote::Left(attempt, Leftover::Cut(partial)) => {
                if let Some(session) = self.under_way.get_mut(attempt.request) {
                    session.partial = Some(partial);
                }
            }
            GatewayNote::Left(attempt, leftover) => {
                let session = self.under_way.get_mut(attempt.request);
                if let Some(sent) = session.and_then(|session| session.sent(attempt)) {
                    sent.leftover = Some(leftover);
                }
            }
        }
    }

    fn model(&self, node: NodeId) -> &str {
        &self.nodes[node.index()].model
    }

    fn dispatch(&mut self, order: DispatchOrder) -> Dispatch<ToConnection> {
        let DispatchOrder { attempt, node, clamp, resumed } = order;
        let session = self.under_way.get_mut(attempt.request).expect("it has arrived");
        let (commit, committed) = oneshot::channel();
        session.attempts.push(SentAttempt { node, commit: Some(commit), leftover: None });
        session.first.get_or_insert_with(Instant::now);
        let client = &session.client;
        let speech = &self.nodes[node.index()];
        let sending = client.sending(&speech.model, clamp, speech.dialect);
        let (sending, joins) = match session.partial.as_ref().filter(|_| resumed > Tokens::ZERO) {
            Some(partial) => going_on(sending, partial, (speech.prefill, resumed)),
            None if self.resumes => {
                let partial = PartialAnswer::new(client.operation, client.has_one_answer());
                (sending, Joining::Perhaps(partial, SseParser::default()))
            }
            None => (sending, Joining::Never),
        };
        let (inbox, to) = (self.inbox.clone(), session.to.clone());
        let (asked, wants_usage) = (client.operation, client.wants_usage);
        let reads = ClientReads {
            operation: asked,
            wants_usage,
            translator: AnswerTranslator::of(asked, sending.operation, wants_usage),
            joins,
        };
        Dispatch {
            prompt: client.prompt,
            sending,
            outlet: ToConnection::new(attempt, inbox, to, committed, reads),
        }
    }

    fn acknowledge(&mut self, attempt: Attempt) {
        if let Some(session) = self.under_way.get_mut(attempt.request) {
            session.begin(attempt);
        }
    }

    fn close(&mut self, attempt: Attempt) {
        let session = self.under_way.get_mut(attempt.request);
        if let Some(sent) = session.and_then(|session| session.sent(attempt)) {
            sent.commit = None;
        }
    }

    fn answer(&mut self, now: Time, answer: Settlement, balancer: &Balancer) {
        let next_node = || {
            // One second where all are only busy, or where nobody knows.
            balancer.first_back().map_or(1, |until| words::whole_seconds(until.since(now)))
        };
        let (to, messages) = self.settle(answer, next_node);
        deliver(to, messages);
    }

    fn tick(&mut self, balancer: &Balancer) {
        let fleet = balancer.fleet();
        let readiness = if !fleet.any_serves() {
            Readiness::NotReady
        } else if fleet.panicking().next().is_some() {
            Readiness::Panic
        } else {
            Readiness::Ready
        };
        self.ready.store(readiness as u8, Ordering::Relaxed);
    }
}

/// What is sent to a node so that an answer goes on of which so many tokens have come, and where it is
/// joined.
fn going_on(
    whole: Sending,
    partial: &PartialAnswer,
    (prefill, tokens): (PrefillKind, Tokens),
) -> (Sending, Joining) {
    let prefilled = ClientRequest::prefilled(&whole, partial.text(), (prefill, tokens));
    let (sending, shown) = match prefilled {
        Some((sending, shown)) => (sending, Some(shown)),
        None => (whole, None),
    };
    let seam = Seam::new(partial.clone(), tokens.0, shown);
    (sending, Joining::Now(Box::new(seam), tokens))
}

/// Sends the last messages to a client. What a slow one has no room for is sent by a task of its own: it
/// must not hold up the balancer, and nobody else sends any more.
fn deliver(to: mpsc::Sender<ToClient>, messages: Vec<ToClient>) {
    let mut rest = messages.into_iter();
    while let Some(message) = rest.next() {
        match to.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return,
            Err(TrySendError::Full(message)) => {
                tokio::spawn(async move {
                    for message in std::iter::once(message).chain(rest) {
                        if to.send(message).await.is_err() {
                            return;
                        }
                    }
                });
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
