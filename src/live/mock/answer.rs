//! What a mock node answers over HTTP: chats, models and health.
//!
//! A handler makes an attempt of a request, gives it to the owner and turns what it hears of it into
//! statuses, events and resets. Whatever it waits for, dropping it aborts the attempt.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::owner::{AttemptProgress, Message};
use super::{NodeName, Parts, admin};
use crate::balance::{Attempt, Failure, Outcome, ProbeResult};
use crate::dist::Dist;
use crate::live::http::{self, Body, Limits};
use crate::live::wire::openai::{self, ChatRequest, DONE, ErrorBody, FinishReason, Head, Usage};
use crate::live::wire::{INPUT_TOKENS, KEY, NODE, ORDINAL, OUTPUT_TOKENS};
use crate::node::{ErrorAnswer, RemainingLimit, RemainingQuota, Work};
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, RequestId, Span, Tokens};
use crate::workload::Truth;

/// An answer has at most so many tokens: it is held in memory as a whole where it does not stream.
const OUTPUT_MAX: u64 = 1 << 20;
/// A prompt is said to have at most so many tokens.
const INPUT_MAX: u64 = crate::workload::length::LENGTH_MAX;
/// An event has at most so many tokens, so that clients with a limit on events read it.
const EVENT_TOKENS: u64 = 1_024;
/// What was said before a stream breaks has so long to leave.
const BREAK_AFTER: Duration = Duration::from_millis(20);

/// What the mock says: words of four bytes with their blank, so that each is one token by
/// [`crate::live::wire::estimate_tokens`] too.
const WORDS: &str = "the sea was low and the old man sat mid the bay for one day and ";
const WORD_BYTES: usize = 4;

/// What handlers share.
#[derive(Debug)]
pub(super) struct MockState {
    pub(super) names: Vec<NodeName>,
    pub(super) groups: Vec<(String, Vec<NodeId>)>,
    pub(super) limits: Limits,
    inbox: mpsc::UnboundedSender<Message>,
    /// Attempts made so far: each is a request of its own here.
    made: AtomicU64,
    /// Seeds the draws of requests that bring no key.
    seed: u64,
    output: Dist,
    started: u64,
}

impl MockState {
    pub(super) fn new(parts: &Parts) -> (Arc<MockState>, mpsc::UnboundedReceiver<Message>) {
        // Not bounded by itself: each connection has at most one attempt, and so few messages, under
        // way, and the number of connections is limited. A drop cannot wait for room.
        let (inbox, messages) = mpsc::unbounded_channel();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
        let state = MockState {
            names: parts.names.clone(),
            groups: parts.groups.clone(),
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
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
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
    http::read_body(request.into_body(), &state.limits).await.map_err(|why| {
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
    match state.ask(|reply| Message::Probe(node, reply)).await {
        Some(ProbeResult::Healthy) => json(StatusCode::OK, "{\"status\":\"ok\"}"),
        Some(ProbeResult::Failed(_)) | None => {
            json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"failed\"}")
        }
    }
}

/// An attempt at the owner's. Dropping it before its end aborts it.
struct Ticket {
    node: NodeId,
    attempt: Attempt,
    inbox: mpsc::UnboundedSender<Message>,
    progress: watch::Receiver<AttemptProgress>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Silent if it is over.
        if self.progress.borrow().end.is_none() {
            let _ = self.inbox.send(Message::Abort(self.node, self.attempt));
        }
    }
}

impl Ticket {
    fn new(state: &MockState, node: NodeId, job: &Job) -> Ticket {
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
        let _ = state.inbox.send(Message::Start(node, work, send));
        Ticket { node, attempt, inbox: state.inbox.clone(), progress }
    }

    /// Waits until this is so. `None` if the owner has forgotten the attempt.
    async fn wait(&mut self, so: impl FnMut(&AttemptProgress) -> bool) -> Option<AttemptProgress> {
        self.progress.wait_for(so).await.ok().map(|progress| *progress)
    }
}

/// What a request asks of a node.
struct Job {
    input: u64,
    /// `None` is to be drawn.
    output: Option<u64>,
    output_max: Option<u64>,
    key: Option<u64>,
    ordinal: u8,
}

impl Job {
    fn read(headers: &HeaderMap, chat: &ChatRequest) -> Result<Job, String> {
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
        Ok(Job { input, output, output_max, key, ordinal })
    }

    fn truth(&self, state: &MockState, request: RequestId) -> Truth {
        let key = self.key.unwrap_or_else(|| mix(state.seed, request.0));
        let output = self.output.unwrap_or_else(|| {
            let drawn = state.output.sample(&mut Rng::from_key(mix(key, state.seed)));
            (drawn.round() as u64).clamp(1, OUTPUT_MAX)
        });
        Truth { output: Tokens(output), key }
    }

    fn finish_reason(&self, output: Tokens) -> FinishReason {
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
    let job = match Job::read(&head.headers, &chat) {
        Ok(job) => job,
        Err(message) => return invalid(StatusCode::BAD_REQUEST, message),
    };
    drop(body);
    let mut ticket = Ticket::new(state, node, &job);
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
            let state = Telling { ticket, job, head, usage, sent: 0, stage: Stage::Begin };
            events(http::stream(state, Telling::next))
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

/// The answer to an attempt that failed before its first token; `answer` is what a fault says.
async fn failed(outcome: Outcome, answer: Option<ErrorAnswer>) -> Response<Body> {
    if let Some(answer) = answer {
        return refused(answer);
    }
    match outcome {
        Outcome::RateLimited { retry_after } => limited(retry_after),
        Outcome::Failed(Failure::ServerError, _) => refused(ErrorAnswer::ServerError),
        Outcome::Failed(Failure::TooLong, _) => {
            let message = "the node has no room for a request of this length";
            let body = ErrorBody::new("invalid_request_error", "context_length_exceeded", message);
            error(StatusCode::BAD_REQUEST, &body)
        }
        Outcome::Failed(Failure::Overloaded, _) => refused(ErrorAnswer::Overloaded),
        // Crashed: the connection is being reset, and nothing is to be said on it before.
        _ => std::future::pending().await,
    }
}

/// The answer of a fault.
fn refused(answer: ErrorAnswer) -> Response<Body> {
    let (kind, code, message) = match answer {
        ErrorAnswer::RateLimited(retry_after) => return limited(retry_after),
        ErrorAnswer::SpendCap => {
            ("requests", "insufficient_quota", "the money of the key is spent")
        }
        ErrorAnswer::Overloaded | ErrorAnswer::Status(503 | 529) => {
            ("server_error", "overloaded", "the mock node is overloaded")
        }
        ErrorAnswer::Status(401..=403) => {
            ("invalid_request_error", "invalid_api_key", "the mock node refuses the key")
        }
        ErrorAnswer::Status(400..=499) => {
            ("invalid_request_error", "invalid_request", "the mock node refuses the request")
        }
        ErrorAnswer::ServerError | ErrorAnswer::Status(_) => {
            ("server_error", "internal_error", "the mock node failed")
        }
    };
    let status = StatusCode::from_u16(answer.status());
    error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &ErrorBody::new(kind, code, message))
}

fn limited(retry_after: Option<Span>) -> Response<Body> {
    let message = "the limit of the mock node is reached";
    let body = ErrorBody::new("requests", "rate_limit_exceeded", message);
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, &body);
    if let Some(span) = retry_after {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, span.0.div_ceil(1_000_000_000).into());
        headers.insert("retry-after-ms", span.0.div_ceil(1_000_000).into());
    }
    response
}

/// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, for the limits there are.
fn quota_headers(headers: &mut HeaderMap, quota: &RemainingQuota) {
    let mut put = |name: [&'static str; 3], allowance: Option<RemainingLimit>| {
        let Some(allowance) = allowance else { return };
        headers.insert(name[0], allowance.limit.into());
        headers.insert(name[1], allowance.left.into());
        if let Ok(reset) = HeaderValue::from_str(&duration(allowance.full_in)) {
            headers.insert(name[2], reset);
        }
    };
    let requests = [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ];
    let tokens =
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
    put(requests, quota.requests);
    put(tokens, quota.tokens);
}

/// As providers write it: `850ms`, `7.66s`, `6m0s`.
fn duration(span: Span) -> String {
    let millis = span.0.div_ceil(1_000_000);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}s", millis as f64 / 1e3),
        _ => format!("{}m{}s", millis / 60_000, (millis % 60_000) as f64 / 1e3),
    }
}

/// Appends the words from number `from` to before number `to`.
fn say(out: &mut String, from: u64, to: u64) {
    let words = (WORDS.len() / WORD_BYTES) as u64;
    let mut at = from;
    while at < to {
        let first = (at % words) as usize;
        let count = (words - first as u64).min(to - at) as usize;
        out.push_str(&WORDS[first * WORD_BYTES..(first + count) * WORD_BYTES]);
        at += count as u64;
    }
}

/// A streamed answer on its way.
struct Telling {
    ticket: Ticket,
    job: Job,
    head: Head,
    /// Whether the client asked for the usage.
    usage: bool,
    /// Words sent.
    sent: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Words,
    Over,
}

impl Telling {
    /// Makes the next events: the words that have come, and at the end the rest and the terminal
    /// events. A stream that was cut short is broken off, never ended.
    async fn next(mut self) -> io::Result<Option<(Bytes, Telling)>> {
        if self.stage == Stage::Over {
            return Ok(None);
        }
        let sent = self.sent;
        let progress =
            self.ticket.wait(|progress| progress.end.is_some() || progress.came.0 > sent).await;
        let progress = progress.ok_or_else(|| io::Error::other("the mock was started anew"))?;
        let mut out = Vec::new();
        if self.stage == Stage::Begin {
            self.head.write_role(&mut out);
            self.stage = Stage::Words;
        }
        match progress.end {
            None => self.words(&mut out, progress.came.0),
            Some(Outcome::Done(used)) => {
                self.words(&mut out, used.output.0);
                self.head.write_finish(&mut out, self.job.finish_reason(used.output));
                if self.usage {
                    self.head.write_usage(&mut out, Usage::from(used));
                }
                out.extend_from_slice(DONE.as_bytes());
                self.stage = Stage::Over;
            }
            // The words before it first.
            Some(Outcome::Failed(_, used)) if used.output.0 > self.sent => {
                self.words(&mut out, used.output.0);
            }
            // Ends as if it were over, without its last events.
            Some(Outcome::Failed(Failure::Malformed, _)) => return Ok(None),
            Some(_) => {
                // If it crashed, the connection is being reset.
                sleep(BREAK_AFTER).await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        Ok(Some((out.into(), self)))
    }

    fn words(&mut self, out: &mut Vec<u8>, until: u64) {
        let mut content = String::new();
        while self.sent < until {
            let to = until.min(self.sent + EVENT_TOKENS);
            content.clear();
            say(&mut content, self.sent, to);
            self.head.write_content(out, &content);
            self.sent = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::wire::estimate_tokens;

    #[test]
    fn every_word_is_a_token_wherever_one_begins() {
        for (from, to) in [(0, 1), (3, 40), (15, 17), (16, 16), (31, 1_000)] {
            let mut text = String::new();
            say(&mut text, from, to);
            assert_eq!(estimate_tokens(&text), to - from);
            assert_eq!(text.split_whitespace().count() as u64, to - from);
        }
    }

    #[test]
    fn durations_are_written_as_providers_do() {
        assert_eq!(duration(Span::from_millis(850)), "850ms");
        assert_eq!(duration(Span::from_millis(7_660)), "7.66s");
        assert_eq!(duration(Span::from_secs(360)), "6m0s");
    }
}
