//! Answers on their way out: the first message of an answer decides its head, the others are its body.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::{ServedBy, ToClient};
use super::edge::CancelOnDrop;
use super::names::ModelNames;
use super::words::{self, Refusal};
use super::{ATTEMPTS, NODE_ID, OVERHEAD_MS, POOL, QUEUE_MS, REQUEST_ID, STRATEGY, X_REQUEST_ID};
use crate::live::http::{self, Body};
use crate::live::wire::NODE;
use crate::live::wire::operation::Operation;

/// Between the error event of a cut stream and the break.
const BREAK_PAUSE: Duration = Duration::from_millis(50);

/// What an answer has to say of its request.
#[derive(Debug)]
pub(super) struct AnswerHead<'a> {
    pub(super) operation: Operation,
    pub(super) names: &'a ModelNames,
    /// The name of the request.
    pub(super) id: HeaderValue,
    /// When its head was there.
    pub(super) began: Instant,
}

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    http::answer(status, "application/json", body)
}

/// Makes the answer that begins with this message.
pub(super) fn respond(
    first: Option<ToClient>,
    from: mpsc::Receiver<ToClient>,
    mut cancel: CancelOnDrop,
    head: &AnswerHead<'_>,
) -> Response<Body> {
    let number = cancel.id;
    let (mut response, served) = match first {
        Some(ToClient::Begin(served)) => {
            let body = http::stream(Streaming::Open(from, cancel), step);
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            let events = HeaderValue::from_static("text/event-stream; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, events);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // Proxies in front that collect answers would collect it.
            let unbuffered = HeaderValue::from_static("no");
            headers.insert(HeaderName::from_static("x-accel-buffering"), unbuffered);
            (response, served)
        }
        Some(ToClient::Whole(served, kind, body)) => {
            cancel.settled();
            let mut response = json(StatusCode::OK, body);
            if let Some(kind) = kind {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            (response, served)
        }
        Some(ToClient::Refused(served, refusal)) => {
            cancel.settled();
            (refused(refusal), served)
        }
        // The owner has ended; nothing else comes first.
        None | Some(ToClient::Piece(..) | ToClient::End(_) | ToClient::Broken(_)) => {
            cancel.settled();
            (refused(words::stopping()), ServedBy::default())
        }
    };
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(REQUEST_ID), HeaderValue::from(number.0));
    name_request(headers, head.operation, &head.id);
    say_served(headers, served, head);
    response
}

/// Says which request an answer is of, where the libraries of its clients look for it.
pub(super) fn name_request(headers: &mut HeaderMap, operation: Operation, id: &HeaderValue) {
    headers.insert(HeaderName::from_static(X_REQUEST_ID), id.clone());
    if operation.is_anthropic() {
        headers.insert(HeaderName::from_static("request-id"), id.clone());
    }
}

fn say_served(headers: &mut HeaderMap, served: ServedBy, head: &AnswerHead<'_>) {
    let mut say = |name, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    if let Some(node) = served.node {
        say(NODE_ID, HeaderValue::from(node.0));
        let place = head.names.place(node).into_iter().flatten();
        for (name, value) in [NODE, POOL, STRATEGY].into_iter().zip(place) {
            // A name with other letters than a header may have is left out.
            if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty())
            {
                say(name, value);
            }
        }
    }
    say(ATTEMPTS, HeaderValue::from(served.attempts));
    let whole =
        |time: Duration| HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    say(QUEUE_MS, whole(served.queued));
    let ours = head.began.elapsed().saturating_sub(served.queued).saturating_sub(served.tried);
    if let Ok(ours) = HeaderValue::from_str(&format!("{:.3}", ours.as_secs_f64() * 1e3)) {
        say(OVERHEAD_MS, ours);
    }
}

/// Our own tries are used up, so the client's library should not multiply them.
fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = json(refusal.status, refusal.body);
    let headers = response.headers_mut();
    let never = HeaderValue::from_static("false");
    headers.insert(HeaderName::from_static("x-should-retry"), never);
    if let Some(seconds) = refusal.pause {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        let millis = HeaderValue::from(seconds.saturating_mul(1_000));
        headers.insert(HeaderName::from_static("retry-after-ms"), millis);
    }
    response
}

/// An answer after which the connection closes.
pub(super) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// How far a stream to a client has come.
#[derive(Debug)]
enum Streaming {
    /// More may follow.
    Open(mpsc::Receiver<ToClient>, CancelOnDrop),
    /// All has been said.
    Whole,
    /// The error event has been said.
    Broken,
}

/// The next piece of a stream.
async fn step(state: Streaming) -> io::Result<Option<(Bytes, Streaming)>> {
    let broken = || Err(io::Error::other("the answer is not whole"));
    let (mut from, mut cancel) = match state {
        Streaming::Open(from, cancel) => (from, cancel),
        Streaming::Whole => return Ok(None),
        Streaming::Broken => {
            // An error at once would take the event with it, here before it is written and in some
            // libraries before it is read.
            tokio::time::sleep(BREAK_PAUSE).await;
            return broken();
        }
    };
    match from.recv().await {
        Some(ToClient::Piece(piece, room)) => {
            // The connection asks for one piece at a time, when it has written those before.
            drop(room);
            Ok(Some((piece, Streaming::Open(from, cancel))))
        }
        Some(ToClient::End(last)) => {
            cancel.settled();
            Ok((!last.is_empty()).then_some((last, Streaming::Whole)))
        }
        Some(ToClient::Broken(event)) => {
            cancel.settled();
            Ok(Some((event, Streaming::Broken)))
        }
        // The owner has ended; nothing else comes after the beginning.
        None | Some(ToClient::Begin(_) | ToClient::Whole(..) | ToClient::Refused(..)) => {
            cancel.settled();
            broken()
        }
    }
}
