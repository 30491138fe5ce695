//! What an operator asks of a running gateway, on a listener of its own: figures for Prometheus, and pictures for
//! a screen elsewhere.
//!
//! Whoever owns the figures makes what is wanted between two inputs; whoever asks waits for it. So nothing
//! is made while nobody asks, and many who ask at once get the same.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::http::{self, Body, HttpLimits, Shutdown, answer};
use crate::command::Frame;

/// What was asked for is there within a tick of the owner, or something is very wrong.
const PATIENCE: Duration = Duration::from_secs(5);
/// Few ask at a time.
const CONNECTIONS_MAX: usize = 64;

/// What can be had, by its path.
const PLACES: &str = "here are /metrics (for Prometheus) and /frames (for plimsoll top)\n";

/// Where figures and pictures are asked for, and where they are made.
#[derive(Debug)]
pub struct AdminDesk {
    wanted: AtomicBool,
    page: watch::Sender<Bytes>,
    viewers: AtomicUsize,
    frame: watch::Sender<Option<Arc<Frame>>>,
}

impl Default for AdminDesk {
    fn default() -> AdminDesk {
        AdminDesk {
            wanted: AtomicBool::new(false),
            page: watch::channel(Bytes::new()).0,
            viewers: AtomicUsize::new(0),
            frame: watch::channel(None).0,
        }
    }
}

impl AdminDesk {
    /// Makes the page of figures, if somebody waits for it.
    pub fn make_page(&self, page: impl FnOnce() -> String) {
        if self.wanted.swap(false, Ordering::AcqRel) {
            self.page.send_replace(page().into());
        }
    }

    /// Makes a picture, if somebody watches.
    pub fn make_frame(&self, frame: impl FnOnce() -> Arc<Frame>) {
        if self.viewers.load(Ordering::Acquire) > 0 {
            self.frame.send_replace(Some(frame()));
        }
    }

    /// Asks for the page and waits for it; `None` if nobody makes it in time.
    async fn page(&self) -> Option<Bytes> {
        let mut page = self.page.subscribe();
        self.wanted.store(true, Ordering::Release);
        timeout(PATIENCE, page.changed()).await.ok()?.ok()?;
        let bytes = page.borrow().clone();
        Some(bytes)
    }
}

/// Somebody who watches.
struct Viewer<W> {
    desk: Arc<AdminDesk>,
    frames: watch::Receiver<Option<Arc<Frame>>>,
    lines: W,
}

impl<W> Viewer<W> {
    fn new(desk: Arc<AdminDesk>, lines: W) -> Viewer<W> {
        desk.viewers.fetch_add(1, Ordering::AcqRel);
        let frames = desk.frame.subscribe();
        Viewer { desk, frames, lines }
    }
}

impl<W> Drop for Viewer<W> {
    fn drop(&mut self) {
        self.desk.viewers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How what is asked for is written.
#[derive(Debug)]
pub struct AdminWords<W> {
    /// The type of the page of figures.
    pub page_type: &'static str,
    /// Makes what writes pictures as lines, one for each who watches.
    pub writer: fn() -> W,
    /// Writes the next line.
    pub line: fn(&mut W, &Frame) -> String,
}

impl<W> Clone for AdminWords<W> {
    fn clone(&self) -> AdminWords<W> {
        *self
    }
}

impl<W> Copy for AdminWords<W> {}

/// Answers on this listener until told to stop.
pub fn serve<W: Send + 'static>(
    listener: TcpListener,
    desk: Arc<AdminDesk>,
    words: AdminWords<W>,
    stop: watch::Receiver<Shutdown>,
) -> JoinHandle<()> {
    let limits = HttpLimits { connections_max: CONNECTIONS_MAX, ..HttpLimits::default() };
    let service = move |request| respond(Arc::clone(&desk), words, request);
    http::serve(listener, limits, service, stop)
}

async fn respond<W: Send + 'static>(
    desk: Arc<AdminDesk>,
    words: AdminWords<W>,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/frames") {
        return answer(StatusCode::NOT_FOUND, "text/plain", PLACES);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if path == "/frames" {
        return frames(desk, words);
    }
    match desk.page().await {
        Some(page) => answer(StatusCode::OK, words.page_type, page),
        None => answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "no figures in time\n"),
    }
}

/// Pictures, one a line, for as long as somebody reads.
fn frames<W: Send + 'static>(desk: Arc<AdminDesk>, words: AdminWords<W>) -> Response<Body> {
    let viewer = Viewer::new(desk, (words.writer)());
    let body = http::stream(viewer, move |mut viewer| async move {
        viewer.frames.changed().await.map_err(io::Error::other)?;
        let frame = viewer.frames.borrow_and_update().clone();
        let line = frame.map_or_else(String::new, |frame| (words.line)(&mut viewer.lines, &frame));
        Ok(Some((Bytes::from(line), viewer)))
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
