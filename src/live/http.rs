//! An HTTP/1.1 server that slow, huge and vanishing clients cannot hurt: our own accept loop on hyper.
//!
//! Ready-made accept loops set no time limits: half a header, a silent connection and a stalled body
//! stay open for ever. Here each phase of a connection has a limit, and each limit a name. hyper has
//! one timer for waiting and reading a request's head; the two differ by an order of magnitude, so a
//! [`Gauge`] beside each connection tells them apart.
//!
//! A client that goes away drops the service's future or the answer's body at once, whatever they
//! are waiting for: that is how work for it is cancelled. HTTP/2 is not spoken: its header
//! compression and its resets are a risk without a gain here.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// A request's head must be whole so long after its first byte, and the first one so long after the
/// connect.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is kept so long without a request. Longer than clients keep theirs, as a rule, so
/// that it is they who close.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A request's body must be whole after so long.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A request's body has at most so many bytes.
pub const BODY_MAX: usize = 32 << 20;
/// A request's head has at most so many bytes.
pub const HEAD_MAX: usize = 32 << 10;
/// A request has at most so many headers.
pub const HEADERS_MAX: usize = 64;
/// So many connections are served at a time; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Running requests are given so long when the server is asked to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that reads nothing for so long is given up.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause after a failed accept: descriptors have run out, and only time brings them back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is left of a body that is too large is read for so long, so that the refusal is heard and
/// not lost in a reset.
const LINGER: Duration = Duration::from_millis(300);

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`HEAD_TIMEOUT`].
    pub head: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle: Duration,
    /// See [`BODY_TIMEOUT`].
    pub body: Duration,
    /// See [`WRITE_TIMEOUT`].
    pub write: Duration,
    /// See [`BODY_MAX`].
    pub body_max: usize,
    /// See [`HEAD_MAX`]. At least 8,192, which hyper wants.
    pub head_max: usize,
    /// See [`HEADERS_MAX`].
    pub headers_max: usize,
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`DRAIN_TIMEOUT`].
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: HEAD_TIMEOUT,
            idle: IDLE_TIMEOUT,
            body: BODY_TIMEOUT,
            write: WRITE_TIMEOUT,
            body_max: BODY_MAX,
            head_max: HEAD_MAX,
            headers_max: HEADERS_MAX,
            connections_max: CONNECTIONS_MAX,
            drain: DRAIN_TIMEOUT,
        }
    }
}

/// How a server is to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// No new connections; running requests may finish within the drain limit.
    Gently,
    /// At once: every connection is reset, as if the process had died.
    Now,
}

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
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, content_type);
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
    /// It was not whole in time.
    TooSlow,
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
            BodyError::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::TooLarge => "the body is too large",
            BodyError::TooSlow => "the body took too long",
            BodyError::Broken => "the body broke off",
        })
    }
}

impl std::error::Error for BodyError {}

/// Reads a request's body within its limits of size and time.
///
/// # Errors
/// If it is too large, too slow or broken. The connection should be closed after the answer.
pub async fn read_body(mut body: Incoming, limits: &Limits) -> Result<Bytes, BodyError> {
    let read = timeout(limits.body, collect(&mut body, limits.body_max)).await;
    let read = read.unwrap_or(Err(BodyError::TooSlow));
    if read == Err(BodyError::TooLarge) {
        let _ = timeout(LINGER, discard(&mut body)).await;
    }
    read
}

async fn collect(body: &mut Incoming, max: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > max {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

async fn discard(body: &mut Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Serves requests until told to stop. The listener is closed as soon as the stop is told; the
/// handle ends when the last connection has.
pub fn serve<S, Fut>(
    listener: TcpListener,
    limits: Limits,
    service: S,
    stop: watch::Receiver<Stop>,
) -> JoinHandle<()>
where
    S: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    tokio::spawn(accept(listener, limits, Arc::new(service), stop))
}

async fn accept<S, Fut>(
    listener: TcpListener,
    limits: Limits,
    service: Arc<S>,
    mut stop: watch::Receiver<Stop>,
) where
    S: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let (stream, place) = tokio::select! {
            _ = told(&mut stop) => break,
            next = next(&listener, &places) => next,
        };
        let connection = connection(stream, limits, Arc::clone(&service), stop.clone());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    // Every connection hears of the stop as well and ends within the drain limit.
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

/// Waits for a place and for a connection to fill it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // Gone before it was taken: the next one may be fine.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Waits for a stop; a controller that is gone means at once.
async fn told(stop: &mut watch::Receiver<Stop>) -> Stop {
    stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Now, |stop| *stop)
}

async fn connection<S, Fut>(
    stream: TcpStream,
    limits: Limits,
    service: Arc<S>,
    mut stop: watch::Receiver<Stop>,
) where
    S: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    // Small events must not wait for an acknowledgement; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let gauge = Arc::new(Gauge::new());
    let metered =
        Metered { stream, gauge: Arc::clone(&gauge), patience: limits.write, stalled: None };
    let io = TokioIo::new(metered);
    let measure = Arc::clone(&gauge);
    let handle = move |request: Request<Incoming>| {
        let (service, gauge) = (Arc::clone(&service), Arc::clone(&measure));
        async move {
            gauge.speaks(request.version());
            let busy = Busy::new(gauge);
            let response = match refusal(&request) {
                Some(refusal) => refusal,
                None => service(request).await,
            };
            Ok::<_, Infallible>(response.map(|body| Watched { body, _busy: busy }))
        }
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle.max(limits.head))
        .max_headers(limits.headers_max)
        .max_header_size(limits.head_max)
        .max_buf_size(limits.head_max)
        .serve_connection(io, service_fn(handle));
    let reset = tokio::select! {
        // An answer that breaks off lacks its last chunk; where there are no chunks only a reset
        // tells it from a whole one.
        ended = &mut connection => ended.is_err() && gauge.knows_no_chunks(),
        () = gauge.overdue(limits.head) => false,
        how = told(&mut stop) => {
            if how == Stop::Gently {
                Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    _ = &mut connection => return,
                    () = sleep(limits.drain) => {}
                    _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
                }
            }
            true
        }
    };
    if reset {
        // Without lingering, closing sends a reset: nobody takes the answer for a whole one.
        let _ = connection.into_parts().io.into_inner().stream.set_zero_linger();
    }
}

/// Refuses what no honest client sends and what two servers in a row could read in two ways.
fn refusal(request: &Request<Incoming>) -> Option<Response<Body>> {
    let headers = request.headers();
    let hosts = headers.get_all(HOST).iter().count();
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let both = lengths > 0 && headers.contains_key(TRANSFER_ENCODING);
    let why = if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        "exactly one Host header is needed\n"
    } else if lengths > 1 || both {
        "the length of the body is given twice\n"
    } else if headers.contains_key(UPGRADE) {
        "there is nothing to upgrade to\n"
    } else {
        return None;
    };
    let mut response = answer(StatusCode::BAD_REQUEST, "text/plain", why);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing: no request is under way.
    Idle,
    /// A request's head is being read, or the first one is awaited, since then.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// Knows what a connection is doing, for the limit on heads.
#[derive(Debug)]
struct Gauge {
    phase: Mutex<Phase>,
    /// The client speaks HTTP/1.0.
    old: AtomicBool,
}

impl Gauge {
    fn new() -> Gauge {
        Gauge { phase: Mutex::new(Phase::Head(Instant::now())), old: AtomicBool::new(false) }
    }

    fn speaks(&self, version: Version) {
        self.old.store(version < Version::HTTP_11, Ordering::Relaxed);
    }

    fn knows_no_chunks(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    fn set(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    fn bytes(&self) {
        if matches!(self.phase(), Phase::Idle) {
            self.set(Phase::Head(Instant::now()));
        }
    }

    /// Ends when a head has been read for longer than `limit`.
    async fn overdue(&self, limit: Duration) {
        loop {
            match self.phase() {
                Phase::Head(since) if since.elapsed() >= limit => return,
                Phase::Head(since) => tokio::time::sleep_until(since + limit).await,
                // A head that begins in the meantime is found before it is twice overdue.
                Phase::Idle | Phase::Busy => sleep(limit).await,
            }
        }
    }
}

/// A request is being answered as long as this lives.
#[derive(Debug)]
struct Busy(Arc<Gauge>);

impl Busy {
    fn new(gauge: Arc<Gauge>) -> Busy {
        gauge.set(Phase::Busy);
        Busy(gauge)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(Phase::Idle);
    }
}

/// A body that keeps its connection busy until it is gone.
struct Watched {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its gauge of bytes, and that fails when nothing could be written for too long.
struct Metered {
    stream: TcpStream,
    gauge: Arc<Gauge>,
    patience: Duration,
    /// Runs while the client has no room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.gauge.bytes();
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
