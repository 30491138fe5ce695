//! What a mock node answers over HTTP: chats, models and health.
//!
//! A handler makes an attempt of a request, gives it to the owner and turns what it hears of it into
//! statuses, events and resets. Whatever it waits for, dropping it aborts the attempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::owner::{AttemptProgress, OwnerMessage};
use super::refusal::{failed, quota_headers};
use super::streamed::{StreamedAnswer, say};
use super::{MockParts, NodeName, admin};
use crate::balance::{Attempt, Outcome, ProbeResult};
use crate::dist::Dist;
use crate::live::http::{self, Body, HttpLimits};
use crate::live::wire::openai::{self, ChatRequest, ErrorBody, FinishReason, Head};
use crate::live::wire::{INPUT_TOKENS, KEY, NODE, ORDINAL, OUTPUT_TOKENS};
use crate::node::Work;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, RequestId, Tokens};
use crate::workload::Truth;

/// An answer has at most so many tokens: it is held in memory as a whole where it does not stream.
const OUTPUT_MAX: u64 = 1 << 20;
/// A prompt is said to have at most so many tokens.
const INPUT_MAX: u64 = crate::workload::length::LENGTH_MAX;

/// What handlers share.
#[derive(Debug)]
pub(super) struct MockState {
    pub(super) names: Vec<NodeName>,
    pub(super) groups: Vec<(String, Vec<NodeId>)>,
    /// Where the admin server listens.
    pub(super) admin: SocketAddr,
    pub(super) limits: HttpLimits,
    room: http::BodyRoom,
    inbox: mpsc::UnboundedSender<OwnerMessage>,
    /// Attempts made so far: each is a request of its own here.
    made: AtomicU64,
    /// Seeds the draws of requests that bring no key.
    seed: u64,
    output: Dist,
    started: u64,
}

impl MockState {
    pub(super) fn new(
        parts: &MockParts,
        admin: SocketAddr,
    ) -> (Arc<MockState>, mpsc::UnboundedReceiver<OwnerMessage>) {
        // Not bounded by itself: each connection has at most one attempt, and so few messages, under
        // way, and the number of connections is limited. A drop cannot wait for room.
        let (inbox, messages) = mpsc::unbounded_channel();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
        let state = MockState {
            names: parts.names.clone(),
            groups: parts.groups.clone(),
            admin,
            room: http::BodyRoom::new(parts.limits.bodies_max),
            limits: parts.limits,
            inbox,
            made: AtomicU64::new(0),
            seed: Rng::stream(parts.seed, "mock").bits(),
            output: parts.output,
            started,
        };
        (Arc::new(state), messages)
    }

    /// Asks the owner something. `None` if it has gone, or never answers this.
    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> OwnerMessage,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(message(reply)).ok()?;
        answer.await.ok()
    }
}

/// Answers a request to a node.
pub(super) async fn answer(
    state: Arc<MockState>,
    node: NodeId,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path();
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let mut response = match (request.method(), path) {
        (&Method::POST, "/chat/completions") => chat(&state, node, request).await,
        (&Method::GET, "/models") => models(&state, node),
        (&Method::GET, "/health") => health(&state, node).await,
        (_, "/chat/completions" | "/models" | "/health") => wrong_method(),
        _ => return admin::answer(state, request).await,
    };
    if let Some(name) = state.names.get(node.index())
        && let Ok(name) = HeaderValue::from_str(&name.node)
    {
        response.headers_mut().insert(NODE, name);
    }
    response
}

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    http::answer(status, "application/json", body)
}

pub(super) fn error(status: StatusCode, error: &ErrorBody) -> Response<Body> {
    json(status, error.json())
}

/// The client is at fault.
pub(super) fn invalid(status: StatusCode, message: String) -> Response<Body> {
    error(status, &ErrorBody::new("invalid_request_error", "invalid_request", message))
}

pub(super) fn wrong_method() -> Response<Body> {
    invalid(StatusCode::METHOD_NOT_ALLOWED, "this address has another method".to_owned())
}

/// Reads a body, or says why it cannot be read and closes the connection.
pub(super) async fn body(
    state: &MockState,
    request: Request<Incoming>,
) -> Result<Bytes, Response<Body>> {
    let (head, body) = request.into_parts();
    let room = (&state.room, &mut http::TakenRoom::default());
    http::read_body(body, &head.headers, &state.limits, room).await.map_err(|why| {
        let mut response = invalid(why.status(), why.to_string());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

fn models(state: &MockState, node: NodeId) -> Response<Body> {
    let name = state.names.get(node.index()).map(|name| match name.model.as_str() {
        "" => name.node.as_str(),
        model => model,
    });
    json(StatusCode::OK, openai::models(name, state.started))
}

async fn health(state: &MockState, node: NodeId) -> Response<Body> {
    match state.ask(|reply| OwnerMessage::Probe(node, reply)).await {
        Some(ProbeResult::Healthy) => json(StatusCode::OK, "{\"status\":\"ok\"}"),
        Some(ProbeResult::Failed(_)) | None => {
            json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"failed\"}")
        }
    }
}

/// An attempt at the owner's. Dropping it before its end aborts it.
pub(super) struct MockAttempt {
    node: NodeId,
    attempt: Attempt,
    inbox: mpsc::UnboundedSender<OwnerMessage>,
    progress: watch::Receiver<AttemptProgress>,
}

impl Drop for MockAttempt {
    fn drop(&mut self) {
        // Silent if it is over.
        if self.progress.borrow().end.is_none() {
            let _ = self.inbox.send(OwnerMessage::Abort(self.node, self.attempt));
        }
    }
}

impl MockAttempt {
    fn new(state: &MockState, node: NodeId, job: &MockJob) -> MockAttempt {
        let (send, progress) = watch::channel(AttemptProgress::default());
        let request = RequestId(state.made.fetch_add(1, Ordering::Relaxed));
        let attempt = Attempt { request, ordinal: job.ordinal };
        let work = Work {
            attempt,
            prompt: Tokens(job.input),
            truth: job.truth(state, request),
            batch: None,
        };
        // If the owner has gone, the watch is closed and says so.
        let _ = state.inbox.send(OwnerMessage::Start(node, work, send));
        MockAttempt { node, attempt, inbox: state.inbox.clone(), progress }
    }

    /// Waits until this is so. `None` if the owner has forgotten the attempt.
    pub(super) async fn wait(
        &mut self,
        so: impl FnMut(&AttemptProgress) -> bool,
    ) -> Option<AttemptProgress> {
        self.progress.wait_for(so).await.ok().map(|progress| *progress)
    }
}

/// What a request asks of a node.
pub(super) struct MockJob {
    input: u64,
    /// `None` is to be drawn.
    output: Option<u64>,
    output_max: Option<u64>,
    key: Option<u64>,
    ordinal: u8,
}

impl MockJob {
    fn read(headers: &HeaderMap, chat: &ChatRequest) -> Result<MockJob, String> {
        let input = number(headers, INPUT_TOKENS, INPUT_MAX)?;
        let output = number(headers, OUTPUT_TOKENS, OUTPUT_MAX)?;
        let ordinal = number(headers, ORDINAL, u64::from(u8::MAX))?.unwrap_or(0) as u8;
        let key = number(headers, KEY, u64::MAX)?;
        let output_max = chat.output_max();
        if output_max.is_some_and(|max| max == 0 || max > OUTPUT_MAX) {
            return Err(format!("max_tokens must be from 1 to {OUTPUT_MAX}"));
        }
        let output = output.or(output_max).map(|output| output.max(1));
        let input = input.unwrap_or_else(|| chat.prompt_tokens());
        Ok(MockJob { input, output, output_max, key, ordinal })
    }

    fn truth(&self, state: &MockState, request: RequestId) -> Truth {
        let key = self.key.unwrap_or_else(|| mix(state.seed, request.0));
        let output = self.output.unwrap_or_else(|| {
            let drawn = state.output.sample(&mut Rng::from_key(mix(key, state.seed)));
            (drawn.round() as u64).clamp(1, OUTPUT_MAX)
        });
        Truth { output: Tokens(output), key, text: None }
    }

    pub(super) fn finish_reason(&self, output: Tokens) -> FinishReason {
        if self.output_max.is_some_and(|max| output.0 >= max) {
            FinishReason::Length
        } else {
            FinishReason::Stop
        }
    }
}

/// Reads a number from one of our own headers.
fn number(headers: &HeaderMap, name: &'static str, max: u64) -> Result<Option<u64>, String> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match number {
        Some(number) if number <= max => Ok(Some(number)),
        _ => Err(format!("{name} must be a whole number up to {max}")),
    }
}

async fn chat(state: &MockState, node: NodeId, request: Request<Incoming>) -> Response<Body> {
    let (head, incoming) = request.into_parts();
    let body = match body(state, Request::new(incoming)).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let chat: ChatRequest = match serde_json::from_slice(&body) {
        Ok(chat) => chat,
        Err(error) => return invalid(StatusCode::BAD_REQUEST, format!("the body: {error}")),
    };
    let job = match MockJob::read(&head.headers, &chat) {
        Ok(job) => job,
        Err(message) => return invalid(StatusCode::BAD_REQUEST, message),
    };
    drop(body);
    let mut ticket = MockAttempt::new(state, node, &job);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
    let id = format!("chatcmpl-{}-{}", node.0, ticket.attempt.request.0);
    let (usage, streams) = (chat.wants_usage(), chat.streams());
    let head = Head { id, created, model: chat.model };
    // The status waits for the first token: errors come before it.
    let progress = if streams {
        ticket.wait(|progress| progress.end.is_some() || progress.came > Tokens::ZERO).await
    } else {
        ticket.wait(|progress| progress.end.is_some()).await
    };
    let Some(progress) = progress else {
        return forgotten();
    };
    let mut response = match progress.end {
        Some(Outcome::Done(used)) if !streams => {
            let mut content = String::new();
            say(&mut content, 0, used.output.0);
            let reason = job.finish_reason(used.output);
            json(StatusCode::OK, head.completion(&content, reason, used.into()))
        }
        None | Some(Outcome::Done(_)) => {
            let state = StreamedAnswer::new(ticket, job, head, usage);
            events(http::stream(state, StreamedAnswer::next))
        }
        Some(outcome) => failed(outcome, progress.answer).await,
    };
    quota_headers(response.headers_mut(), &progress.quota);
    response
}

fn forgotten() -> Response<Body> {
    let why = "the mock was started anew or is stopping";
    error(StatusCode::SERVICE_UNAVAILABLE, &ErrorBody::new("server_error", "restarted", why))
}

fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(hyper::header::CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
