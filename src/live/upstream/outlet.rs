//! What goes into an attempt and what comes out of it: the request to be sent, where its answer goes, and what
//! it has used so far.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::balance::{Failure, Outcome, SessionKeyKind, Usage};
use crate::live::wire::operation::Operation;
use crate::unit::Tokens;

/// Where an answer goes while it comes in. When nobody takes it any more its calls do not return:
/// whoever lost the reader stops the attempt, and only that says how it ended.
pub trait Outlet: Send {
    /// What it may have left when the attempt is over.
    type Left: Send;

    /// The first token has come. Nothing may leave before this returns.
    fn first_token(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// So many tokens have come so far. Called now and then.
    fn goes_on(&mut self, _so_far: Tokens) {}

    /// An event of the stream, or a whole answer. Returns why it could not be taken, if so: more came
    /// before the first token than is held back, or it does not fit what came before it.
    fn pass_on(&mut self, _piece: Passed<'_>) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// The endpoint will not go on from the beginning of an answer, and is asked for all of it.
    fn begins_anew(&mut self) {}

    /// The endpoint refused, with this status and body.
    fn refused(&mut self, _status: StatusCode, _body: Bytes) {}

    /// The attempt is over so. Returns what is left of the answer, if anything is of use.
    fn ended(&mut self, _outcome: &Outcome) -> Option<Self::Left> {
        None
    }
}

/// An outlet for answers that nobody reads.
pub(in crate::live) struct Nobody;

impl Outlet for Nobody {
    type Left = ();
}

/// Part of an answer on its way.
#[derive(Clone, Debug)]
pub enum Passed<'a> {
    /// An event.
    Event {
        /// Its data.
        data: &'a str,
        /// The bytes it came in.
        raw: &'a Bytes,
        /// Whether it only carries usage.
        bare: bool,
    },
    /// What closes a stream: the last event of it.
    Last {
        /// Its data.
        data: &'a str,
        /// The bytes it came in.
        raw: &'a Bytes,
    },
    /// What no reader needs: the endpoint is still there.
    Comment(&'a Bytes),
    /// A whole answer.
    Whole {
        /// Its media type.
        kind: Option<&'a HeaderValue>,
        /// All of it.
        body: &'a Bytes,
    },
    /// The endpoint keeps something under this name: the answer, or a session.
    Kept(SessionKeyKind, &'a [u8]),
    /// The head of an answer that is passed on whatever it is.
    Head(StatusCode, &'a HeaderMap),
    /// Bytes of such an answer.
    Bytes(Bytes),
}

/// What is said to an agent or a tool, beside the body.
#[derive(Clone, Debug)]
pub struct PlainCall {
    /// The method.
    pub method: Method,
    /// What follows the address of the node: path and query.
    pub path: String,
    /// Whether it does something that is not to be done twice.
    pub once: bool,
}

/// A request to be sent.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// What is asked for.
    pub operation: Operation,
    /// The body.
    pub body: Bytes,
    /// How it is asked for, if it is for an agent or a tool.
    pub plain: Option<PlainCall>,
    /// Its media type; JSON if nothing is said.
    pub kind: Option<HeaderValue>,
    /// Whether it asks for a stream; an answer of the other kind is none.
    pub streams: bool,
    /// So many tokens an answer may have at most, if the request says so.
    pub output_max: Option<u64>,
    /// What is sent instead where this is refused for what it is.
    pub or_else: Option<Box<Sending>>,
    /// Headers that go along as the client sent them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers that only go to endpoints on this machine: exact figures for mock servers.
    pub figures: Vec<(&'static str, String)>,
}

/// What an attempt has used so far, for whoever has to stop it.
#[derive(Debug, Default)]
pub struct Meter {
    pub(super) started: AtomicBool,
    pub(super) prompt: AtomicU64,
    pub(super) output: AtomicU64,
    /// Bytes of events with content.
    pub(super) bytes: AtomicU64,
    ended: AtomicBool,
}

impl Meter {
    /// A meter of an attempt with so many prompt tokens.
    #[must_use]
    pub fn new(prompt: Tokens) -> Meter {
        Meter { prompt: AtomicU64::new(prompt.0), ..Meter::default() }
    }

    /// Returns what was used: nothing before the first token.
    #[must_use]
    pub fn usage(&self) -> Usage {
        if !self.started.load(Ordering::Relaxed) {
            return Usage::default();
        }
        Usage {
            input: Tokens(self.prompt.load(Ordering::Relaxed)),
            cached: Tokens::ZERO,
            output: Tokens(self.output.load(Ordering::Relaxed)),
            estimated: true,
        }
    }

    /// Claims the one word about the end. Returns whether nobody had claimed it.
    #[must_use]
    pub fn claim(&self) -> bool {
        !self.ended.swap(true, Ordering::Relaxed)
    }
}
