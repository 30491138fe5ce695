//! The way of an answer: from the task of an attempt, which holds it back until the balancer has acknowledged
//! its first token, to the connection of the client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::seam::{PartialAnswer, Seam, comment};
use super::session::GatewayNote;
use super::translate::AnswerTranslator;
use super::words::Refusal;
use crate::balance::{Attempt, Failure, Input, Outcome, Progress, SessionKey};
use crate::live::driver::Inbox;
use crate::live::executor::{first_token, goes_on, send};
use crate::live::hints::name_hash;
use crate::live::upstream::{Outlet, Passed};
use crate::live::wire::openai::DONE;
use crate::live::wire::operation::{Operation, Protocol};
use crate::live::wire::sse::SseParser;
use crate::unit::{NodeId, Tokens};

/// Bytes of preliminary events held back before the first content: some endpoints repeat the request in
/// them.
const HELD_MAX: usize = 2 << 20;

/// Bytes that wait for a slow client; beyond them the upstream is not read. A larger event goes alone.
const ROOM: usize = 256 << 10;

/// Who serves a request, and how long it took to get there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ServedBy {
    /// `None` if nobody does.
    pub(super) node: Option<NodeId>,
    /// So many attempts were made by then.
    pub(super) attempts: usize,
    /// From the arrival to the first attempt.
    pub(super) queued: Duration,
    /// From the first attempt to the answer.
    pub(super) tried: Duration,
}

/// A message to the connection of a client.
#[derive(Debug)]
pub(super) enum ToClient {
    /// The answer begins: from now on it comes from this node.
    Begin(ServedBy),
    /// The head of an answer that is passed on whatever it is; it comes after the beginning.
    Head(StatusCode, HeaderMap),
    /// Bytes of a stream, and the room that they take.
    Piece(Bytes, Option<OwnedSemaphorePermit>),
    /// A whole answer from this node, of this media type.
    Whole(ServedBy, Option<HeaderValue>, Bytes),
    /// No answer.
    Refused(ServedBy, Refusal),
    /// The stream is whole; this is its last event.
    End(Bytes),
    /// The stream is not whole.
    Broken(Bytes),
}

/// What an attempt leaves for the answer when it ends.
#[derive(Debug)]
pub(super) enum Leftover {
    /// An answer that is no stream, and its media type.
    Whole(Option<HeaderValue>, Bytes),
    /// The end of a whole stream.
    Stream {
        /// What came without content: nothing of it has left.
        events: Vec<Bytes>,
        /// Its last event.
        last: Bytes,
    },
    /// What the endpoint said of a request that is not for it.
    Refused(Failure, StatusCode, Bytes),
    /// The answer was cut; so much of it has reached the client.
    Cut(PartialAnswer),
}

/// Whether an answer is joined to another part of it.
#[derive(Debug)]
pub(super) enum Joining {
    /// It is passed on as it comes.
    Never,
    /// It may be cut: what of it reaches the client is remembered.
    Perhaps(PartialAnswer, SseParser),
    /// It goes on from one that was cut after so many tokens.
    Now(Box<Seam>, Tokens),
}

impl Joining {
    /// Returns what has reached the client.
    const fn partial(&self) -> Option<&PartialAnswer> {
        match self {
            Joining::Never => None,
            Joining::Perhaps(partial, _) => Some(partial),
            Joining::Now(seam, _) => Some(&seam.partial),
        }
    }

    /// Returns what of these events goes to the client.
    fn join(&mut self, bytes: Bytes) -> Result<Bytes, Failure> {
        match self {
            Joining::Never => {}
            Joining::Perhaps(partial, _) if partial.is_sealed() => {}
            Joining::Perhaps(partial, parser) => {
                // They were parsed once already.
                let _ = parser.push(&bytes, &mut |event| partial.hear(event.text()));
            }
            Joining::Now(seam, _) => return seam.join(&bytes),
        }
        Ok(bytes)
    }
}

/// What closes a stream that is whole, where its endpoint says nothing of its own.
pub(super) fn closing_event(operation: Operation) -> Bytes {
    match operation.protocol() {
        Protocol::Choices => Bytes::from_static(DONE.as_bytes()),
        Protocol::Responses | Protocol::Messages | Protocol::Json | Protocol::Plain => Bytes::new(),
    }
}

/// How a client reads its answer.
#[derive(Debug)]
pub(super) struct ClientReads {
    /// What it asked for.
    pub(super) operation: Operation,
    /// Whether it asked for the usage of a stream.
    pub(super) wants_usage: bool,
    /// For answers in another language.
    pub(super) translator: Option<AnswerTranslator>,
    pub(super) joins: Joining,
}

/// Where the answer of an attempt goes: held back until committed, then to the client.
#[derive(Debug)]
pub(super) struct ToConnection {
    attempt: Attempt,
    inbox: Inbox<GatewayNote>,
    to: mpsc::Sender<ToClient>,
    room: Arc<Semaphore>,
    /// Resolves when the balancer has acknowledged the first token and the answer has begun. `None`
    /// once it has.
    committed: Option<oneshot::Receiver<()>>,
    held: Vec<Bytes>,
    held_bytes: usize,
    last: Bytes,
    wants_usage: bool,
    translator: Option<AnswerTranslator>,
    joins: Joining,
    /// The head of an answer that is passed on whatever it is, until it has left.
    head: Option<(StatusCode, HeaderMap)>,
    /// The balancer knows that nobody can go on from what has come.
    sealed: bool,
    /// It knows that the whole answer comes again.
    anew: bool,
    leftover: Option<Leftover>,
    /// What the endpoint said when it refused.
    refused: Option<(StatusCode, Bytes)>,
}

impl ToConnection {
    pub(super) fn new(
        attempt: Attempt,
        inbox: Inbox<GatewayNote>,
        to: mpsc::Sender<ToClient>,
        committed: oneshot::Receiver<()>,
        reads: ClientReads,
    ) -> ToConnection {
        // The mark comes first of what comes now.
        let held = match &reads.joins {
            Joining::Now(_, tokens) => vec![comment(tokens.0)],
            Joining::Never | Joining::Perhaps(..) => Vec::new(),
        };
        let mut made = ToConnection {
            attempt,
            inbox,
            to,
            room: Arc::new(Semaphore::new(ROOM)),
            committed: Some(committed),
            held,
            held_bytes: 0,
            last: if reads.translator.is_some() {
                Bytes::new()
            } else {
                closing_event(reads.operation)
            },
            wants_usage: reads.wants_usage,
            translator: reads.translator,
            joins: reads.joins,
            head: None,
            sealed: false,
            anew: false,
            leftover: None,
            refused: None,
        };
        made.tell();
        made
    }

    /// Lets the balancer know, once each, that the whole answer comes again, and that what has come of it is
    /// more than text. The latter only after the first token, which any other word of it would be.
    fn tell(&mut self) {
        if let Joining::Now(seam, _) = &self.joins
            && seam.is_anew()
            && !std::mem::replace(&mut self.anew, true)
        {
            send(&self.inbox, Input::Progress(self.attempt, Progress::Anew));
        }
        let sealed = self.joins.partial().is_some_and(PartialAnswer::is_sealed);
        if self.committed.is_none() && sealed && !std::mem::replace(&mut self.sealed, true) {
            send(&self.inbox, Input::Progress(self.attempt, Progress::Sealed));
        }
    }

    /// Sends a piece, or holds it back as long as nothing may leave. Returns whether it could be taken.
    async fn hold_or_send(&mut self, piece: Bytes) -> Result<(), Failure> {
        let piece = self.joins.join(piece)?;
        self.tell();
        if piece.is_empty() {
            return Ok(());
        }
        if self.committed.is_none() {
            self.send(piece).await;
            return Ok(());
        }
        self.held_bytes += piece.len();
        self.held.push(piece);
        if self.held_bytes <= HELD_MAX { Ok(()) } else { Err(Failure::TooLarge) }
    }

    /// Sends a piece to the client. A client that is gone has its request cancelled by its connection,
    /// and only that ends the attempt: a word from here could come first and blame the node.
    async fn send(&self, piece: Bytes) {
        let takes = piece.len().min(ROOM) as u32;
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(takes) => room.ok(),
            // Its connection says the rest.
            () = self.to.closed() => return std::future::pending().await,
        };
        if self.to.send(ToClient::Piece(piece, room)).await.is_err() {
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
        self.tell();
        if let Some((status, headers)) = self.head.take() {
            let _ = self.to.send(ToClient::Head(status, headers)).await;
        }
        for piece in std::mem::take(&mut self.held) {
            self.send(piece).await;
        }
    }

    fn begins_anew(&mut self) {
        if let Joining::Now(seam, _) = &mut self.joins {
            seam.begin_anew();
        }
        self.tell();
    }

    fn goes_on(&mut self, so_far: Tokens) {
        goes_on(&self.inbox, self.attempt, so_far);
    }

    async fn pass_on(&mut self, piece: Passed<'_>) -> Result<(), Failure> {
        match piece {
            Passed::Whole { kind, body } => {
                self.leftover = Some(match &self.translator {
                    Some(translator) => Leftover::Whole(None, translator.whole(body)),
                    None => Leftover::Whole(kind.cloned(), body.clone()),
                });
                Ok(())
            }
            // It says more than ours where there is no marker for all.
            Passed::Last { raw, data } => {
                let mut last = (data.trim() != "[DONE]").then(|| raw.clone());
                if let Some(translator) = &mut self.translator {
                    last = Some(translator.event(data));
                }
                if let Some(last) = last {
                    self.last = self.joins.join(last)?;
                }
                Ok(())
            }
            Passed::Head(status, headers) => {
                self.head = Some((status, headers.clone()));
                Ok(())
            }
            Passed::Bytes(bytes) => {
                self.send(bytes).await;
                Ok(())
            }
            Passed::Kept(by, name) => {
                let key = SessionKey { by, hash: name_hash(name) };
                // Before its reader knows the name: who goes on from it comes later.
                send(&self.inbox, Input::Keeps(self.attempt, key));
                Ok(())
            }
            Passed::Event { data, raw, bare } => {
                let piece = match &mut self.translator {
                    Some(translator) => translator.event(data),
                    // Only we asked for it.
                    None if bare && !self.wants_usage => return Ok(()),
                    None => raw.clone(),
                };
                self.hold_or_send(piece).await
            }
            Passed::Comment(raw) => self.hold_or_send(raw.clone()).await,
        }
    }

    fn refused(&mut self, status: StatusCode, body: Bytes) {
        self.refused = Some((status, body));
    }

    fn ended(&mut self, outcome: &Outcome) -> Option<GatewayNote> {
        if matches!(outcome, Outcome::Done(_)) && self.leftover.is_none() {
            let mut last = std::mem::take(&mut self.last);
            if let Some(translator) = &mut self.translator {
                // What closes an answer is the same wherever it was cut.
                let end = translator.finish();
                let end = self.joins.join(end.clone()).unwrap_or(end);
                last = [&*last, &*end].concat().into();
            }
            let events = std::mem::take(&mut self.held);
            self.leftover = Some(Leftover::Stream { events, last });
        }
        // Of the rest the client is told in our words: it is about our keys, or the endpoint's trouble.
        if let Outcome::Failed(failure, _) = *outcome
            && let Some((status, said)) = self.refused.take().filter(|_| failure.is_told())
        {
            self.leftover = Some(Leftover::Refused(failure, status, said));
        }
        if self.leftover.is_none()
            && self.committed.is_none()
            && !matches!(outcome, Outcome::Done(_))
        {
            let open = self.joins.partial().filter(|partial| !partial.is_sealed());
            self.leftover = open.cloned().map(Leftover::Cut);
        }
        self.leftover.take().map(|leftover| GatewayNote::Left(self.attempt, leftover))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Usage;
    use crate::live::driver::{Message, inbox};
    use crate::unit::RequestId;

    fn chat(wants_usage: bool) -> ClientReads {
        ClientReads {
            operation: Operation::Chat,
            wants_usage,
            translator: None,
            joins: Joining::Never,
        }
    }

    fn event(raw: &'static str) -> Bytes {
        Bytes::from_static(raw.as_bytes())
    }

    fn passed(raw: &Bytes, bare: bool) -> Passed<'_> {
        Passed::Event { data: "", raw, bare }
    }

    const ATTEMPT: Attempt = Attempt { request: RequestId(0), ordinal: 0 };

    #[tokio::test]
    async fn nothing_leaves_before_the_first_token_is_acknowledged_and_then_in_order() {
        let (inbox, mut messages) = inbox();
        let (to, mut from) = mpsc::channel(8);
        let (commit, committed) = oneshot::channel();
        let mut outlet = ToConnection::new(ATTEMPT, inbox, to, committed, chat(false));
        assert!(outlet.pass_on(passed(&event("data: a\r\ndata: b\r\n\r\n"), false)).await.is_ok());
        assert!(outlet.pass_on(passed(&event("data: usage\n\n"), true)).await.is_ok());
        assert!(from.try_recv().is_err(), "held back");
        let waiting = tokio::spawn(async move {
            outlet.first_token().await;
            let _ = outlet.pass_on(passed(&event("data: c\n\n"), false)).await;
            outlet.ended(&Outcome::Done(Usage::NONE))
        });
        assert!(matches!(messages.recv().await, Some(Message::Input(_))), "the balancer is asked");
        assert!(from.try_recv().is_err(), "not acknowledged yet");
        commit.send(()).expect("it waits");
        let left = waiting.await.expect("no panic");
        let Some(GatewayNote::Left(_, Leftover::Stream { events, last })) = left else {
            panic!("its end is left: {left:?}")
        };
        assert!(events.is_empty() && last == DONE);
        let mut came = Vec::new();
        while let Ok(ToClient::Piece(piece, _)) = from.try_recv() {
            came.push(piece);
        }
        assert_eq!(came, ["data: a\r\ndata: b\r\n\r\n", "data: c\n\n"]);
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
            let mut outlet = ToConnection::new(ATTEMPT, inbox, to, committed, chat(true));
            let _ = outlet.pass_on(passed(&event("data: {}\n\n"), false)).await;
            let left = outlet.ended(&outcome);
            let events = matches!(left, Some(GatewayNote::Left(_, Leftover::Stream { .. })));
            assert_eq!(events, leaves, "{left:?}");
        }
    }

    #[tokio::test]
    async fn no_more_is_held_back_than_allowed() {
        let (inbox, _messages) = inbox();
        let (to, _from) = mpsc::channel(8);
        let (_commit, committed) = oneshot::channel();
        let mut outlet = ToConnection::new(ATTEMPT, inbox, to, committed, chat(true));
        let half = Bytes::from(vec![b'x'; HELD_MAX / 2]);
        assert!(outlet.pass_on(passed(&half, false)).await.is_ok());
        assert!(outlet.pass_on(passed(&half, false)).await.is_ok());
        let over = outlet.pass_on(passed(&event("x"), false)).await;
        assert_eq!(over, Err(Failure::TooLarge));
    }
}
