//! What a connection is doing, seen from beside it: a head that takes too long is told from a silent
//! connection, and a client that reads nothing is given up.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::Body;
use super::framing::HeadWatch;

/// Who has sent no whole head for so long may have to go for others.
const SILENT: Duration = Duration::from_secs(1);
/// Whether a head has come is looked at so often, once all is to end.
const LOOK: Duration = Duration::from_millis(5);

/// What a connection is doing.
#[derive(Clone, Copy, Debug)]
enum ConnectionPhase {
    /// Nothing since then: no request is under way.
    Idle(Instant),
    /// A request's head is being read, or the first one is awaited, since then.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// Knows what a connection is doing, for the limit on heads.
#[derive(Debug)]
pub(super) struct Gauge {
    phase: Mutex<ConnectionPhase>,
    /// The client speaks HTTP/1.0.
    old: AtomicBool,
    /// A head could be read in two ways.
    ambiguous: AtomicBool,
    /// Part of a head has come.
    half: AtomicBool,
}

impl Gauge {
    pub(super) fn new() -> Gauge {
        Gauge {
            phase: Mutex::new(ConnectionPhase::Head(Instant::now())),
            old: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            half: AtomicBool::new(false),
        }
    }

    pub(super) fn speaks(&self, version: Version) {
        self.old.store(version < Version::HTTP_11, Ordering::Relaxed);
    }

    pub(super) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }

    pub(super) fn knows_no_chunks(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    fn set(&self, phase: ConnectionPhase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> ConnectionPhase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    fn bytes(&self, watch: &mut HeadWatch, bytes: &[u8]) {
        if matches!(self.phase(), ConnectionPhase::Idle(_)) {
            self.set(ConnectionPhase::Head(Instant::now()));
            watch.idle();
        }
        if watch.take(bytes) {
            self.ambiguous.store(true, Ordering::Relaxed);
        }
        self.half.store(watch.is_half(), Ordering::Relaxed);
    }

    /// Returns since when a connection may be closed for the sake of another one: it is idle, or has been
    /// silent since it was made. Idle ones come first.
    pub(super) fn spare_since(&self) -> Option<(bool, Instant)> {
        match self.phase() {
            ConnectionPhase::Idle(since) => Some((false, since)),
            ConnectionPhase::Head(since) if since.elapsed() >= SILENT => Some((true, since)),
            ConnectionPhase::Head(_) | ConnectionPhase::Busy => None,
        }
    }

    /// Ends when no head is awaited, or for too long.
    pub(super) async fn has_begun(&self) {
        while let ConnectionPhase::Head(since) = self.phase()
            && since.elapsed() < SILENT
        {
            sleep(LOOK).await;
        }
    }

    /// Ends when a head has been read for longer than `limit`.
    pub(super) async fn overdue(&self, limit: Duration) {
        loop {
            match self.phase() {
                ConnectionPhase::Head(since) if since.elapsed() >= limit => return,
                ConnectionPhase::Head(since) => tokio::time::sleep_until(since + limit).await,
                // A head that begins in the meantime is found before it is twice overdue.
                ConnectionPhase::Idle(_) | ConnectionPhase::Busy => sleep(limit).await,
            }
        }
    }
}

/// A request is being answered as long as this lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Gauge>);

impl Busy {
    pub(super) fn new(gauge: Arc<Gauge>) -> Busy {
        gauge.set(ConnectionPhase::Busy);
        Busy(gauge)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // The next head may have begun together with the last one: no byte of it need ever come.
        let half = self.0.half.load(Ordering::Relaxed);
        let now = Instant::now();
        self.0.set(if half { ConnectionPhase::Head(now) } else { ConnectionPhase::Idle(now) });
    }
}

/// A body that keeps its connection busy until it is gone.
pub(super) struct Watched {
    pub(super) body: Body,
    pub(super) _busy: Busy,
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
pub(super) struct Metered<I> {
    pub(super) stream: I,
    gauge: Arc<Gauge>,
    patience: Duration,
    /// Runs while the client has no room.
    stalled: Option<Pin<Box<Sleep>>>,
    watch: HeadWatch,
}

impl<I> Metered<I> {
    pub(super) fn new(stream: I, gauge: Arc<Gauge>, patience: Duration) -> Metered<I> {
        Metered { stream, gauge, patience, stalled: None, watch: HeadWatch::default() }
    }

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

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let this = &mut *self;
            this.gauge.bytes(&mut this.watch, &buffer.filled()[before..]);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
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
