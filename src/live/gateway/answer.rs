//! The way of an answer: from the task of an attempt, which holds it back until the balancer has acknowledged
//! its first token, to the connection of the client.

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::session::GatewayNote;
use super::words::Refusal;
use crate::balance::{Attempt, Failure, Outcome};
use crate::live::driver::Inbox;
use crate::live::executor::first_token;
use crate::live::upstream::{Outlet, Passed};
use crate::unit::NodeId;

/// Bytes of preliminary events held back before the first content.
const HELD_MAX: usize = 256 << 10;

/// A message to the connection of a client.
#[derive(Debug)]
pub(super) enum ToClient {
    /// The answer begins: from now on it comes from this node.
    Begin(NodeId),
    /// Bytes of a stream.
    Piece(Bytes),
    /// A whole answer from this node.
    Whole(NodeId, Bytes),
    /// No answer.
    Refused(Refusal),
    /// The stream is whole.
    End,
    /// The stream is not whole.
    Broken(Bytes),
}

/// What an attempt leaves for the answer when it ends.
#[derive(Debug)]
pub(super) enum Leftover {
    /// An answer that is no stream.
    Whole(Bytes),
    /// A stream without content: nothing of it has left.
    Events(Vec<Bytes>),
    /// What the endpoint said of a request that is not for it.
    Refused(Failure, StatusCode, Bytes),
}

/// Where the answer of an attempt goes: held back until committed, then to the client.
#[derive(Debug)]
pub(super) struct ToConnection {
    attempt: Attempt,
    inbox: Inbox<GatewayNote>,
    to: mpsc::Sender<ToClient>,
    /// Resolves when the balancer has acknowledged the first token and the answer has begun. `None`
    /// once it has.
    committed: Option<oneshot::Receiver<()>>,
    held: Vec<Bytes>,
    held_bytes: usize,
    wants_usage: bool,
    leftover: Option<Leftover>,
    /// What the endpoint said when it refused.
    refused: Option<(StatusCode, Bytes)>,
}

impl ToConnection {
    pub(super) const fn new(
        attempt: Attempt,
        inbox: Inbox<GatewayNote>,
        to: mpsc::Sender<ToClient>,
        committed: oneshot::Receiver<()>,
        wants_usage: bool,
    ) -> ToConnection {
        ToConnection {
            attempt,
            inbox,
            to,
            committed: Some(committed),
            held: Vec::new(),
            held_bytes: 0,
            wants_usage,
            leftover: None,
            refused: None,
        }
    }

    /// Sends a piece to the client. A client that is gone has its request cancelled by its connection,
    /// and only that ends the attempt: a word from here could come first and blame the node.
    async fn send(&self, piece: Bytes) {
        if self.to.send(ToClient::Piece(piece)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Outlet for ToConnection {
    type Left = GatewayNote;

    async fn first_token(&mut self) {
        let Some(committed) = self.committed.take() else { return };
        first_token(&self.inbox, self.attempt);
        if committed.await.is_err() {
            // The balancer has decided otherwise and is about to stop this attempt.
            return std::future::pending().await;
        }
        for piece in std::mem::take(&mut self.held) {
            self.send(piece).await;
        }
    }

    async fn pass_on(&mut self, piece: Passed<'_>) -> bool {
        match piece {
            Passed::Whole(body) => {
                self.leftover = Some(Leftover::Whole(body.clone()));
                true
            }
            // Only we asked for it.
            Passed::Event { bare: true, .. } if !self.wants_usage => true,
            Passed::Event { data, .. } => {
                let event = event(data);
                if self.committed.is_none() {
                    self.send(event).await;
                    return true;
                }
                self.held_bytes += event.len();
                self.held.push(event);
                self.held_bytes <= HELD_MAX
            }
        }
    }

    fn refused(&mut self, status: StatusCode, body: Bytes) {
        self.refused = Some((status, body));
    }

    fn ended(&mut self, outcome: &Outcome) -> Option<GatewayNote> {
        if matches!(outcome, Outcome::Done(_)) && !self.held.is_empty() {
            self.leftover = Some(Leftover::Events(std::mem::take(&mut self.held)));
        }
        // Of the rest the client is told in our words: it is about our keys, or the endpoint's trouble.
        if let Outcome::Failed(failure, _) = *outcome
            && let Some((status, said)) = self.refused.take().filter(|_| failure.is_told())
        {
            self.leftover = Some(Leftover::Refused(failure, status, said));
        }
        self.leftover.take().map(|leftover| GatewayNote::Left(self.attempt, leftover))
    }
}

/// The data of an event as it goes over the wire: one `data` line for each of its lines.
fn event(data: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(data.len() + 8);
    for line in data.split('\n') {
        bytes.extend_from_slice(b"data: ");
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes.push(b'\n');
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Usage;
    use crate::live::driver::{Message, inbox};
    use crate::unit::RequestId;

    const ATTEMPT: Attempt = Attempt { request: RequestId(0), ordinal: 0 };

    #[tokio::test]
    async fn nothing_leaves_before_the_first_token_is_acknowledged_and_then_in_order() {
        let (inbox, mut messages) = inbox();
        let (to, mut from) = mpsc::channel(8);
        let (commit, committed) = oneshot::channel();
        let mut outlet = ToConnection::new(ATTEMPT, inbox, to, committed, false);
        assert!(outlet.pass_on(Passed::Event { data: "a\nb", bare: false }).await);
        assert!(outlet.pass_on(Passed::Event { data: "usage", bare: true }).await);
        assert!(from.try_recv().is_err(), "held back");
        let waiting = tokio::spawn(async move {
            outlet.first_token().await;
            outlet.pass_on(Passed::Event { data: "c", bare: false }).await;
            outlet.ended(&Outcome::Done(Usage::NONE))
        });
        assert!(matches!(messages.recv().await, Some(Message::Input(_))), "the balancer is asked");
        assert!(from.try_recv().is_err(), "not acknowledged yet");
        commit.send(()).expect("it waits");
        assert!(waiting.await.expect("no panic").is_none(), "nothing is left");
        let mut came = Vec::new();
        while let Ok(ToClient::Piece(piece)) = from.try_recv() {
            came.push(piece);
        }
        assert_eq!(came, ["data: a\ndata: b\n\n", "data: c\n\n"]);
    }

    #[tokio::test]
    async fn what_never_began_is_left_for_the_answer_only_if_it_is_whole() {
        for (outcome, leaves) in [
            (Outcome::Done(Usage::NONE), true),
            (Outcome::Failed(Failure::Reset, Usage::NONE), false),
        ] {
            let (inbox, _messages) = inbox();
            let (to, _from) = mpsc::channel(8);
            let (_commit, committed) = oneshot::channel();
            let mut outlet = ToConnection::new(ATTEMPT, inbox, to, committed, true);
            outlet.pass_on(Passed::Event { data: "{}", bare: false }).await;
            let left = outlet.ended(&outcome);
            let events = matches!(left, Some(GatewayNote::Left(_, Leftover::Events(_))));
            assert_eq!(events, leaves, "{left:?}");
        }
    }

    #[tokio::test]
    async fn no_more_is_held_back_than_allowed() {
        let (inbox, _messages) = inbox();
        let (to, _from) = mpsc::channel(8);
        let (_commit, committed) = oneshot::channel();
        let mut outlet = ToConnection::new(ATTEMPT, inbox, to, committed, true);
        let data = "x".repeat(HELD_MAX / 2);
        assert!(outlet.pass_on(Passed::Event { data: &data, bare: false }).await);
        assert!(!outlet.pass_on(Passed::Event { data: &data, bare: false }).await);
    }
}
