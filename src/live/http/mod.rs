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

mod body;
mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gauge;
mod places;

use std::convert::Infallible;
use std::io;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use self::body::{Body, BodyError, BodyRoom, STEP, TakenRoom, answer, full, read_body, stream};
use self::gauge::{Busy, Gauge, Metered, Watched};
use self::places::{ConnectionPlaces, TakenPlace};

/// A request's head must be whole so long after its first byte, and the first one so long after the
/// connect.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is kept so long without a request. Longer than clients keep theirs, as a rule, so
/// that it is they who close.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Of a request's body something must come within so long.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// It must be whole after so many times that: who sends a byte now and then ends too.
const BODY_TIMES: u32 = 20;
/// A request's body has at most so many bytes.
pub const BODY_MAX: usize = 32 << 20;
/// The bodies of all requests under way together have at most so many bytes.
pub const BODIES_MAX: usize = 512 << 20;
/// The answers that are read as a whole, and the events that are not whole yet, have at most so many bytes.
pub const ANSWERS_MAX: usize = 512 << 20;
/// A request's head has at most so many bytes.
pub const HEAD_MAX: usize = 32 << 10;
/// A request has at most so many headers.
pub const HEADERS_MAX: usize = 64;
/// So many connections are served at a time. For one more the longest idle one is closed; where none is, it
/// waits in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4_096;
/// So many connections may come from one address: half of all, so that nobody takes every place. This machine
/// itself, where a proxy may stand in front, has no such limit.
pub const ADDRESS_MAX: usize = CONNECTIONS_MAX / 2;
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
pub struct HttpLimits {
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
    /// See [`BODIES_MAX`].
    pub bodies_max: usize,
    /// See [`ANSWERS_MAX`].
    pub answers_max: usize,
    /// See [`HEAD_MAX`]. At least 8,192, which hyper wants.
    pub head_max: usize,
    /// See [`HEADERS_MAX`].
    pub headers_max: usize,
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`ADDRESS_MAX`].
    pub address_max: usize,
    /// See [`DRAIN_TIMEOUT`].
    pub drain: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            head: HEAD_TIMEOUT,
            idle: IDLE_TIMEOUT,
            body: BODY_TIMEOUT,
            write: WRITE_TIMEOUT,
            body_max: BODY_MAX,
            bodies_max: BODIES_MAX,
            answers_max: ANSWERS_MAX,
            head_max: HEAD_MAX,
            headers_max: HEADERS_MAX,
            connections_max: CONNECTIONS_MAX,
            address_max: ADDRESS_MAX,
            drain: DRAIN_TIMEOUT,
        }
    }
}

/// How a server is to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    /// Not at all.
    #[default]
    No,
    /// Soon: everything is served still, but connections are not kept, so that clients go elsewhere.
    Soon,
    /// No new connections; running requests may finish within the drain limit.
    Gently,
    /// At once: every connection is reset, as if the process had died.
    Now,
}

/// Serves requests until told to stop. The listener is closed as soon as the stop is told, after what had
/// connected by then is accepted; the handle ends when the last connection has.
pub fn serve<S, Fut>(
    listener: TcpListener,
    limits: HttpLimits,
    service: S,
    stop: watch::Receiver<Shutdown>,
) -> JoinHandle<()>
where
    S: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    tokio::spawn(accept(listener, limits, Arc::new(service), stop))
}

async fn accept<S, Fut>(
    listener: TcpListener,
    limits: HttpLimits,
    service: Arc<S>,
    mut stop: watch::Receiver<Shutdown>,
) where
    S: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(ConnectionPlaces::new(limits.connections_max, limits.address_max));
    let start = |stream, place, stop: &watch::Receiver<Shutdown>| {
        tokio::spawn(connection(stream, place, limits, Arc::clone(&service), stop.clone()));
    };
    let how = loop {
        let (stream, place) = tokio::select! {
            biased;
            how = shutdown(&mut stop) => break how,
            next = next(&listener, &places) => next,
        };
        start(stream, place, &stop);
    };
    // Who had connected before the listener closes is not to be reset with it. The system knows of more than
    // the runtime has heard of.
    let listener = listener.into_std();
    while how == Shutdown::Gently
        && let Ok(listener) = &listener
        && let Some(place) = places.try_take(None)
        && let Ok((stream, _)) = listener.accept()
    {
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream))
        {
            start(stream, place, &stop);
        }
    }
    drop(listener);
    // Every connection hears of the stop as well and ends within the drain limit.
    places.all_free().await;
}

/// Waits for a connection and for a place that it may have.
async fn next(listener: &TcpListener, places: &Arc<ConnectionPlaces>) -> (TcpStream, TakenPlace) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // An address that has as many as it may gets no more; dropping the stream says so.
                if let Some(place) = places.take(from.ip()).await {
                    return (stream, place);
                }
            }
            // Gone before it was taken: the next one may be fine.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Waits for a stop; a controller that is gone means at once.
pub(super) async fn shutdown(stop: &mut watch::Receiver<Shutdown>) -> Shutdown {
    let ends = |stop: &Shutdown| matches!(stop, Shutdown::Gently | Shutdown::Now);
    stop.wait_for(ends).await.map_or(Shutdown::Now, |stop| *stop)
}

async fn connection<S, Fut>(
    stream: TcpStream,
    place: TakenPlace,
    limits: HttpLimits,
    service: Arc<S>,
    mut stop: watch::Receiver<Shutdown>,
) where
    S: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    // Small events must not wait for an acknowledgement; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let gauge = Arc::clone(place.gauge());
    let metered = Metered::new(stream, Arc::clone(&gauge), limits.write);
    let io = TokioIo::new(metered);
    let mut connection = converse(io, &gauge, limits, service, stop.clone());
    let reset = tokio::select! {
        // An answer that breaks off lacks its last chunk; where there are no chunks only a reset
        // tells it from a whole one.
        ended = &mut connection => ended.is_err() && gauge.knows_no_chunks(),
        () = gauge.overdue(limits.head) => false,
        () = place.wanted() => {
            // Somebody else needs the place. A request that has just begun is answered all the same.
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended.is_err() && gauge.knows_no_chunks(),
                how = shutdown(&mut stop) => how == Shutdown::Now,
                () = gauge.overdue(limits.head) => false,
            }
        }
        how = shutdown(&mut stop) => {
            if how == Shutdown::Gently {
                // Whose request is on its way is answered: the library would close as if nobody had asked.
                tokio::select! {
                    _ = &mut connection => return,
                    () = gauge.has_begun() => {}
                }
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    _ = &mut connection => return,
                    () = sleep(limits.drain) => {}
                    _ = stop.wait_for(|stop| *stop == Shutdown::Now) => {}
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

/// Reads requests from a connection and writes their answers.
fn converse<I, S, Fut>(
    io: TokioIo<Metered<I>>,
    gauge: &Arc<Gauge>,
    limits: HttpLimits,
    service: Arc<S>,
    stopping: watch::Receiver<Shutdown>,
) -> http1::Connection<
    TokioIo<Metered<I>>,
    impl HttpService<Incoming, ResBody = Watched, Error = Infallible, Future: Send>,
>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Incoming>) -> Fut + Send + Sync,
    Fut: Future<Output = Response<Body>> + Send,
{
    let measure = Arc::clone(gauge);
    let handle = move |request: Request<Incoming>| {
        let (service, gauge) = (Arc::clone(&service), Arc::clone(&measure));
        let stopping = stopping.clone();
        async move {
            gauge.speaks(request.version());
            let ambiguous = gauge.is_ambiguous();
            let busy = Busy::new(gauge);
            let mut response = match refusal(&request, ambiguous) {
                Some(refusal) => refusal,
                None => service(request).await,
            };
            if *stopping.borrow() != Shutdown::No {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Watched { body, _busy: busy }))
        }
    };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle.max(limits.head))
        .max_headers(limits.headers_max)
        .max_header_size(limits.head_max)
        .max_buf_size(limits.head_max)
        .serve_connection(io, service_fn(handle))
}

/// Refuses what no honest client sends and what two servers in a row could read in two ways. An offer of
/// another protocol is none: who makes it takes an answer in this one.
fn refusal(request: &Request<Incoming>, ambiguous: bool) -> Option<Response<Body>> {
    let headers = request.headers();
    let hosts = headers.get_all(HOST).iter().count();
    let why = if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        "exactly one Host header is needed\n"
    } else if ambiguous {
        "the length of the body could be read in two ways\n"
    } else if request.method() == Method::CONNECT {
        // What follows it is a body to some and a tunnel to others.
        "nobody is connected through here\n"
    } else {
        return None;
    };
    let mut response = answer(StatusCode::BAD_REQUEST, "text/plain", why);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}
