//! Answers on their way out: the first message of an answer decides its head, the others are its body.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::answer::{ServedBy, ToClient};
use super::edge::CancelOnDrop;
use super::names::ModelNames;
use super::plain;
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
    /// A stream in which nothing came for so long gets a comment.
    pub(super) every: Option<Duration>,
}

/// A comment that says no more than that somebody is there.
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Makes an answer that begins before anybody answers.
pub(super) fn begin_unanswered(
    from: mpsc::Receiver<ToClient>,
    cancel: CancelOnDrop,
    head: &AnswerHead<'_>,
) -> Response<Body> {
    let number = cancel.id;
    let begun = OpenStream { from, cancel, operation: head.operation, every: head.every };
    let mut response = events(Streaming::Waiting(begun));
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(REQUEST_ID), HeaderValue::from(number.0));
    name_request(headers, head.operation, &head.id);
    response
}

/// Makes the answer of an agent or a tool out of its first two messages: who answers, and how.
pub(super) fn pass_through(
    (first, second): (Option<ToClient>, Option<ToClient>),
    from: mpsc::Receiver<ToClient>,
    cancel: CancelOnDrop,
    head: &AnswerHead<'_>,
) -> Response<Body> {
    let (served, status, headers) = match (first, second) {
        (Some(ToClient::Begin(served)), Some(ToClient::Head(status, headers))) => {
            (served, status, headers)
        }
        // It ended between the two.
        (Some(ToClient::Begin(_)), _) => return respond(None, from, cancel, head),
        (first, _) => return respond(first, from, cancel, head),
    };
    let number = cancel.id;
    let open = OpenStream { from, cancel, operation: head.operation, every: None };
    let mut response = Response::new(http::stream(Streaming::Open(open), step));
    *response.status_mut() = status;
    for (name, value) in plain::passed(&headers) {
        // Whose pages may see it is for the gateway to say.
        if !name.as_str().starts_with("access-control-") {
            response.headers_mut().append(name, value);
        }
    }
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(REQUEST_ID), HeaderValue::from(number.0));
    name_request(headers, head.operation, &head.id);
    say_served(headers, served, head);
    response
}

/// An answer of events.
fn events(state: Streaming) -> Response<Body> {
    let mut response = Response::new(http::stream(state, step));
    let headers = response.headers_mut();
    let events = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, events);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front that collect answers would collect it.
    let unbuffered = HeaderValue::from_static("no");
    headers.insert(HeaderName::from_static("x-accel-buffering"), unbuffered);
    response
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
            let open = OpenStream { from, cancel, operation: head.operation, every: head.every };
            (events(Streaming::Open(open)), served)
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
        None
        | Some(ToClient::Head(..) | ToClient::Piece(..) | ToClient::End(_) | ToClient::Broken(_)) =>
        {
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
    /// It has begun, and nobody has answered yet: a comment comes first.
    Waiting(OpenStream),
    /// More may follow.
    Open(OpenStream),
    /// All has been said.
    Whole,
    /// The error event has been said.
    Broken,
}

/// A stream of which more may follow.
#[derive(Debug)]
struct OpenStream {
    from: mpsc::Receiver<ToClient>,
    cancel: CancelOnDrop,
    operation: Operation,
    /// After so long without a piece there is a comment.
    every: Option<Duration>,
}

/// The next piece of a stream.
async fn step(state: Streaming) -> io::Result<Option<(Bytes, Streaming)>> {
    let broken = || Err(io::Error::other("the answer is not whole"));
    let mut open = match state {
        Streaming::Waiting(open) => return Ok(Some((KEEP_ALIVE, Streaming::Open(open)))),
        Streaming::Open(open) => open,
        Streaming::Whole => return Ok(None),
        Streaming::Broken => {
            // An error at once would take the event with it, here before it is written and in some
            // libraries before it is read.
            tokio::time::sleep(BREAK_PAUSE).await;
            return broken();
        }
    };
    loop {
        let next = match open.every {
            Some(every) => timeout(every, open.from.recv()).await,
            None => Ok(open.from.recv().await),
        };
        match next {
            Err(_) => return Ok(Some((KEEP_ALIVE, Streaming::Open(open)))),
            Ok(Some(ToClient::Piece(piece, room))) => {
                // The connection asks for one piece at a time, when it has written those before.
                drop(room);
                return Ok(Some((piece, Streaming::Open(open))));
            }
            Ok(Some(ToClient::End(last))) => {
                open.cancel.settled();
                return Ok((!last.is_empty()).then_some((last, Streaming::Whole)));
            }
            Ok(Some(ToClient::Broken(event))) => {
                open.cancel.settled();
                return Ok(Some((event, Streaming::Broken)));
            }
            // It had begun before anybody answered.
            Ok(Some(ToClient::Begin(_))) => {}
            Ok(Some(ToClient::Refused(_, refusal))) => {
                open.cancel.settled();
                let event = words::event(open.operation, &refusal.body);
                return Ok(Some((event, Streaming::Broken)));
            }
            // The owner has ended; nothing else comes of a stream.
            Ok(None | Some(ToClient::Head(..) | ToClient::Whole(..))) => {
                open.cancel.settled();
                return broken();
            }
        }
    }
}
