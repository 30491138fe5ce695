//! Bodies: of answers, at once or piece by piece, and of requests, read within their limits.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::live::coding::{Coding, CodingError, Unpacker};

use super::{BODY_TIMES, HttpLimits, LINGER};

/// The body of an answer. An error in it breaks the connection off, so that the client sees that
/// the answer is not whole.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there at once.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An answer with a body and its type.
#[must_use]
pub fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A body that is made piece by piece: `step` returns the next piece and the state after it, `None`
/// at the end, or an error to break the connection off. It is not called before the client has room
/// for another piece, and it is dropped, with the state, when the client goes away.
pub fn stream<S, F, Next>(state: S, step: F) -> Body
where
    S: Send + 'static,
    F: Fn(S) -> Next + Send + 'static,
    Next: Future<Output = io::Result<Option<(Bytes, S)>>> + Send + 'static,
{
    let running = Some(Box::pin(step(state)));
    Steps { step, running }.boxed_unsync()
}

/// The body behind [`stream`].
struct Steps<F, Next> {
    step: F,
    running: Option<Pin<Box<Next>>>,
}

impl<F, Next> Unpin for Steps<F, Next> {}

impl<S, F, Next> HttpBody for Steps<F, Next>
where
    F: Fn(S) -> Next,
    Next: Future<Output = io::Result<Option<(Bytes, S)>>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        let Poll::Ready(made) = running.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.running = None;
        Poll::Ready(match made {
            Ok(Some((piece, state))) => {
                self.running = Some(Box::pin((self.step)(state)));
                Some(Ok(Frame::data(piece)))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.running.is_none()
    }
}

/// Why a request's body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than allowed.
    TooLarge,
    /// Nothing of it came for too long.
    TooSlow,
    /// It is packed in a way that is not known here.
    Packed,
    /// All bodies under way together have as many bytes as they may.
    NoRoom,
    /// It broke off, or its framing is wrong.
    Broken,
}

impl BodyError {
    /// Returns the status it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Packed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::TooLarge => "the body is too large",
            BodyError::TooSlow => "the body took too long",
            BodyError::NoRoom => "too many large requests are under way",
            BodyError::Packed => "it may be packed by gzip or deflate, once, or not at all",
            BodyError::Broken => "the body broke off",
        })
    }
}

impl std::error::Error for BodyError {}

/// Room for the bodies of all requests that are under way, or of all answers. A step of it is taken before bytes
/// are kept, and given back when they are let go.
#[derive(Clone, Debug)]
pub struct BodyRoom(Arc<Semaphore>);

/// The room that one body takes.
#[derive(Debug, Default)]
pub struct TakenRoom {
    steps: Option<OwnedSemaphorePermit>,
}

/// Room is taken in steps of so many bytes.
pub const STEP: usize = 64 << 10;

impl BodyRoom {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> BodyRoom {
        BodyRoom(Arc::new(Semaphore::new((bytes / STEP).clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Takes what a body of so many bytes needs beyond what it has.
    ///
    /// # Errors
    /// [`BodyError::NoRoom`] if there is not so much.
    pub fn take(&self, taken: &mut TakenRoom, bytes: usize) -> Result<(), BodyError> {
        let has = taken.steps.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(bytes.div_ceil(STEP).saturating_sub(has)).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let room = Arc::clone(&self.0).try_acquire_many_owned(more);
        let room = room.map_err(|_| BodyError::NoRoom)?;
        match &mut taken.steps {
            Some(steps) => steps.merge(room),
            None => taken.steps = Some(room),
        }
        Ok(())
    }
}

impl TakenRoom {
    /// Returns bytes that keep their room until nobody has them any more.
    #[must_use]
    pub fn with(self, bytes: Vec<u8>) -> Bytes {
        if self.steps.is_none() {
            bytes.into()
        } else {
            Bytes::from_owner(RoomedBytes(bytes, self))
        }
    }
}

/// Bytes and the room that they take.
struct RoomedBytes(Vec<u8>, #[expect(dead_code, reason = "it is given back with them")] TakenRoom);

impl AsRef<[u8]> for RoomedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads a request's body within its limits of size and time, unpacked if it is packed. The time counts
/// from the last bytes that came: a large body on a slow line takes long.
///
/// # Errors
/// If it is too large, too slow, broken or packed in an unknown way, or if there is no room for it. The
/// connection should be closed after the answer.
pub async fn read_body(
    mut body: Incoming,
    headers: &HeaderMap,
    limits: &HttpLimits,
    (room, taken): (&BodyRoom, &mut TakenRoom),
) -> Result<Bytes, BodyError> {
    let coding = Coding::of(headers).ok_or(BodyError::Packed)?;
    let read = collect(&mut body, coding, limits, (room, taken)).await;
    if matches!(read, Err(BodyError::TooLarge | BodyError::NoRoom)) {
        let _ = timeout(LINGER, discard(&mut body)).await;
    }
    read
}

async fn collect(
    body: &mut Incoming,
    coding: Coding,
    limits: &HttpLimits,
    (room, taken): (&BodyRoom, &mut TakenRoom),
) -> Result<Bytes, BodyError> {
    let max = limits.body_max;
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge);
    }
    let end = Instant::now() + limits.body * BODY_TIMES;
    let mut unpacker = Unpacker::new(coding);
    let mut bytes = Vec::new();
    loop {
        let until = end.min(Instant::now() + limits.body);
        let frame = timeout_at(until, body.frame()).await.map_err(|_| BodyError::TooSlow)?;
        let Some(frame) = frame else { break };
        let Ok(mut data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if let Some(unpacker) = &mut unpacker {
            let unpacked = unpacker.push(&data, max as u64).map_err(|error| match error {
                CodingError::TooLarge => BodyError::TooLarge,
                CodingError::Malformed => BodyError::Broken,
            })?;
            data = unpacked.into();
        }
        if bytes.len() + data.len() > max {
            return Err(BodyError::TooLarge);
        }
        room.take(taken, bytes.len() + data.len())?;
        bytes.extend_from_slice(&data);
    }
    if unpacker.is_some_and(|unpacker| !unpacker.is_whole()) {
        return Err(BodyError::Broken);
    }
    Ok(bytes.into())
}

async fn discard(body: &mut Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}
