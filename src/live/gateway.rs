//! The gateway: an OpenAI-compatible front to a fleet, through the balancer.
//!
//! The point of no return of a stream is its first content: until then a failed attempt is tried
//! again elsewhere and the client sees nothing of it; from then on its bytes come from one attempt
//! only. Content leaves only after the balancer has acknowledged the first token, so a timeout that
//! races with it is settled by the balancer alone. A stream ends with `[DONE]` only if the upstream's
//! own end was seen; otherwise the client gets an error event and an abnormal end, since a clean one
//! would look like a shorter answer. Of two attempts of a hedged request only the one acknowledged first
//! says anything. A client that goes away cancels its request in every phase.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use super::driver::{Clock, Executor, Inbox, Message, Observer, drive, inbox};
use super::executor::{Attempts, first_token, send};
use super::hints::RequestHints;
use super::http::{self, Body, Limits, Stop};
use super::upstream::{Outlet, Passed, Sending, SharedClient};
use super::wire::openai::{ChatRequest, DONE, ErrorBody, models};
use crate::balance::{
    Action, Attempt, Balancer, Config, End, Event, Failure, Fate, Input, NodeState, Priority,
    Reject, Request, Stage,
};
use crate::id_map::IdMap;
use crate::unit::{ClassId, NodeId, RequestId, Time, Tokens};

/// Pieces of an answer that wait for a slow client; beyond them the upstream is not read.
const PIECES_MAX: usize = 64;
/// Bytes of preliminary events held back before the first content.
const HELD_MAX: usize = 256 << 10;
/// Between the error event of a cut stream and the break.
const BREAK_PAUSE: Duration = Duration::from_millis(50);
/// At the stop, what has been aborted has so long to say so.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The header that names a class.
pub const CLASS: &str = "x-plimsoll-class";
/// The header with the number of a request.
pub const REQUEST_ID: &str = "x-plimsoll-request-id";
/// The model name that leaves everything to the routes.
pub const AUTO: &str = "auto";

/// A class as clients may name it.
#[derive(Clone, Debug)]
pub struct ClassOption {
    /// Its name, which is also a model name.
    pub name: String,
    /// How much its requests matter.
    pub priority: Priority,
    /// How long an answer is of use.
    pub deadline: Option<crate::unit::Span>,
}

/// Everything a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The balancer's configuration.
    pub config: Config,
    /// Reaches the nodes.
    pub client: SharedClient,
    /// By node: the model's name there; empty to pass on what the client said.
    pub models: Vec<String>,
    /// Classes, by id. Not empty.
    pub classes: Vec<ClassOption>,
    /// What clients may say of their requests.
    pub hints: RequestHints,
    /// The limits of connections.
    pub limits: Limits,
}

/// A message to the connection of a client.
#[derive(Debug)]
enum ToClient {
    /// The answer begins: from now on it comes from this node.
    Begin(NodeId),
    /// Bytes of a stream.
    Piece(Bytes),
    /// A whole answer from this node.
    Whole(NodeId, Bytes),
    /// No answer: status, body, seconds to stay away.
    Refused(StatusCode, Bytes, Option<u64>),
    /// The stream is whole.
    End,
    /// The stream is not whole.
    Broken(Bytes),
}

/// The fields of a request as the client wrote them: the order of the names in a schema matters to
/// the answer, and numbers may have more digits than we could hold.
type Fields = BTreeMap<String, Box<RawValue>>;

/// A request under way, as the edge knows it. The body never enters the balancer.
#[derive(Debug)]
struct ClientRequest {
    body: Fields,
    prompt: Tokens,
    streams: bool,
    wants_usage: bool,
    to: mpsc::Sender<ToClient>,
}

/// What an attempt left for the answer.
#[derive(Debug)]
enum Leftover {
    Whole(Bytes),
    Events(Vec<Bytes>),
    Refused(StatusCode, Bytes),
}

/// What connections and the owner of the balancer share. Every lock is held for a few instructions.
#[derive(Debug)]
struct GatewayState {
    requests: Mutex<IdMap<ClientRequest>>,
    leftovers: Mutex<BTreeMap<Attempt, Leftover>>,
    next: AtomicU64,
    /// Whether some node is up.
    ready: AtomicBool,
    stopping: AtomicBool,
    inbox: Inbox,
    clock: Clock,
    classes: Vec<ClassOption>,
    hints: RequestHints,
    /// Names a client may ask for.
    models: Vec<String>,
    /// The one model that every node serves, if there is one.
    only_model: Option<String>,
    limits: Limits,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking task left behind is whole: every change is one insert or one remove.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a gateway came to.
#[derive(Debug)]
pub struct Closed {
    /// When it ended.
    pub end: Time,
}

/// Serves until `stop` says otherwise, then lets running requests finish within the drain limit.
pub async fn serve(
    parts: Parts,
    listener: TcpListener,
    observer: &mut impl Observer,
    stop: watch::Receiver<Stop>,
) -> Closed {
    let (inbox, messages) = inbox();
    let state = Arc::new(GatewayState::new(&parts, inbox.clone()));
    let clock = state.clock;
    let shared = Arc::clone(&state);
    let service = move |request| answer(Arc::clone(&shared), request);
    let server = http::serve(listener, parts.limits, service, stop.clone());
    let mut stop = stop;
    let (closing, last) = (Arc::clone(&state), inbox.clone());
    tokio::spawn(async move {
        // A controller that is gone means the end as well.
        let _ = stop.wait_for(|stop| *stop != Stop::No).await;
        closing.stopping.store(true, Ordering::Relaxed);
        let _ = server.await;
        // Every connection is closed, so every request is settled or cancelled: what is left is that
        // aborted attempts say what they used.
        let _ = last.send(Message::Last);
        tokio::time::sleep(LAST_PATIENCE).await;
        let _ = last.send(Message::Stop);
    });
    let mut executor = Gateway {
        attempts: Attempts::new(parts.client, inbox.clone()),
        state,
        inbox,
        models: parts.models,
        commits: BTreeMap::new(),
        committed: IdMap::default(),
        winners: IdMap::default(),
        observer,
    };
    let (_, end) = drive(Balancer::new(parts.config), clock, messages, &mut executor).await;
    Closed { end }
}

impl GatewayState {
    fn new(parts: &Parts, inbox: Inbox) -> GatewayState {
        let first = parts.models.first().filter(|model| !model.is_empty());
        let only_model = first.filter(|first| parts.models.iter().all(|model| model == *first));
        let mut models = vec![AUTO.to_owned()];
        models.extend(parts.classes.iter().map(|class| class.name.clone()));
        models.extend(only_model.cloned());
        GatewayState {
            requests: Mutex::default(),
            leftovers: Mutex::default(),
            next: AtomicU64::new(0),
            ready: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            inbox,
            clock: Clock::start(),
            classes: parts.classes.clone(),
            hints: parts.hints.clone(),
            only_model: only_model.cloned(),
            models,
            limits: parts.limits,
        }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed)
    }

    /// Finds the class a request asks for, by header or by the model's name.
    fn class(&self, model: &str, headers: &HeaderMap) -> Option<usize> {
        let by_name = |name: &str| self.classes.iter().position(|class| class.name == name);
        if let Some(named) = headers.get(CLASS) {
            return named.to_str().ok().and_then(by_name);
        }
        let anything = model == AUTO || self.only_model.as_deref() == Some(model);
        by_name(model).or_else(|| anything.then_some(0))
    }
}

// ----- connections -----

async fn answer(state: Arc<GatewayState>, request: HttpRequest<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/v1/chat/completions") => chat(state, request).await,
        (&Method::GET, "/v1/models") => {
            json(StatusCode::OK, models(state.models.iter().map(String::as_str), 0))
        }
        (&Method::GET, "/healthz") => json(StatusCode::OK, "{\"status\":\"ok\"}"),
        (&Method::GET, "/readyz") if state.is_ready() => {
            json(StatusCode::OK, "{\"status\":\"ready\"}")
        }
        (&Method::GET, "/readyz") => {
            json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"not ready\"}")
        }
        (_, "/v1/chat/completions" | "/v1/models" | "/healthz" | "/readyz") => error(
            StatusCode::METHOD_NOT_ALLOWED,
            &ErrorBody::new("invalid_request_error", "method_not_allowed", "no such method here"),
        ),
        _ => error(
            StatusCode::NOT_FOUND,
            &ErrorBody::new("invalid_request_error", "not_found", "there is nothing here"),
        ),
    }
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    http::answer(status, "application/json", body)
}

fn error(status: StatusCode, error: &ErrorBody) -> Response<Body> {
    json(status, error.json())
}

fn invalid(code: &'static str, message: String) -> Response<Body> {
    error(StatusCode::BAD_REQUEST, &ErrorBody::new("invalid_request_error", code, message))
}

async fn chat(state: Arc<GatewayState>, request: HttpRequest<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match http::read_body(body, &state.limits).await {
        Ok(body) => body,
        Err(failure) => {
            let reason = format!("the body cannot be read: {failure:?}");
            let body = ErrorBody::new("invalid_request_error", "bad_body", reason);
            return closing(error(failure.status(), &body));
        }
    };
    let asked: ChatRequest = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(why) => return invalid("bad_request", format!("this is no chat request: {why}")),
    };
    let Ok(fields) = serde_json::from_slice::<Fields>(&body) else {
        return invalid("bad_request", "this is no JSON object".to_owned());
    };
    let Some(class) = state.class(&asked.model, &head.headers) else {
        let message =
            format!("there is no model `{}`; there are {}", asked.model, state.models.join(", "));
        let body = ErrorBody::new("invalid_request_error", "model_not_found", message);
        return error(StatusCode::NOT_FOUND, &body);
    };
    let (to, mut from) = mpsc::channel(PIECES_MAX);
    let cancel = arrive(&state, class, &asked, &head.headers, fields, to);
    let first = from.recv().await;
    respond(first, from, cancel)
}

/// Lets a request arrive. The guard cancels it when the client goes away.
fn arrive(
    state: &Arc<GatewayState>,
    class: usize,
    asked: &ChatRequest,
    headers: &HeaderMap,
    body: Fields,
    to: mpsc::Sender<ToClient>,
) -> CancelOnDrop {
    let id = RequestId(state.next.fetch_add(1, Ordering::Relaxed));
    let now = state.clock.now();
    let option = &state.classes[class];
    let prompt = Tokens(asked.prompt_tokens());
    let client = ClientRequest {
        body,
        prompt,
        streams: asked.streams(),
        wants_usage: asked.wants_usage(),
        to,
    };
    locked(&state.requests).insert(id, client);
    let request = Request {
        deadline: option.deadline.map_or(Time::MAX, |deadline| now + deadline),
        class: ClassId(class as u16),
        priority: option.priority,
        prompt,
        output_max: asked.output_max().map(Tokens),
        session: RequestHints::session(headers, asked.user.as_deref()),
        region: state.hints.region(headers),
        attributes: state.hints.attributes(headers),
        complexity: RequestHints::complexity(headers),
        whole: !asked.streams(),
        again: RequestHints::again(headers),
        ..Request::new(id, now)
    };
    send(&state.inbox, Input::Arrive(request));
    CancelOnDrop { id, inbox: Some(state.inbox.clone()) }
}

/// Cancels its request when dropped before the end.
#[derive(Debug)]
struct CancelOnDrop {
    id: RequestId,
    inbox: Option<Inbox>,
}

impl CancelOnDrop {
    fn settled(&mut self) {
        self.inbox = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            send(inbox, Input::Cancel(self.id));
        }
    }
}

fn respond(
    first: Option<ToClient>,
    from: mpsc::Receiver<ToClient>,
    mut cancel: CancelOnDrop,
) -> Response<Body> {
    let id = cancel.id;
    let mut response = match first {
        Some(ToClient::Begin(node)) => {
            let body = http::stream(Streaming::Open(from, cancel), step);
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            let events = HeaderValue::from_static("text/event-stream; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, events);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            by_node(headers, node);
            response
        }
        Some(ToClient::Whole(node, body)) => {
            cancel.settled();
            let mut response = json(StatusCode::OK, body);
            by_node(response.headers_mut(), node);
            response
        }
        Some(ToClient::Refused(status, body, pause)) => {
            cancel.settled();
            refused(status, body, pause)
        }
        _ => {
            cancel.settled();
            let body = ErrorBody::new("server_error", "stopping", "the gateway is stopping");
            refused(StatusCode::SERVICE_UNAVAILABLE, body.json(), Some(1))
        }
    };
    response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), HeaderValue::from(id.0));
    response
}

fn by_node(headers: &mut HeaderMap, node: NodeId) {
    headers.insert(HeaderName::from_static("x-plimsoll-node-id"), HeaderValue::from(node.0));
}

/// Our own tries are used up, so the client's library should not multiply them.
fn refused(status: StatusCode, body: Bytes, pause: Option<u64>) -> Response<Body> {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    let never = HeaderValue::from_static("false");
    headers.insert(HeaderName::from_static("x-should-retry"), never);
    if let Some(seconds) = pause {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        let millis = HeaderValue::from(seconds.saturating_mul(1_000));
        headers.insert(HeaderName::from_static("retry-after-ms"), millis);
    }
    response
}

/// An answer after which the connection closes.
fn closing(mut response: Response<Body>) -> Response<Body> {
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
        Some(ToClient::Piece(piece)) => Ok(Some((piece, Streaming::Open(from, cancel)))),
        Some(ToClient::End) => {
            cancel.settled();
            Ok(Some((Bytes::from_static(DONE.as_bytes()), Streaming::Whole)))
        }
        Some(ToClient::Broken(event)) => {
            cancel.settled();
            Ok(Some((event, Streaming::Broken)))
        }
        _ => {
            cancel.settled();
            broken()
        }
    }
}

// ----- the owner's side -----

struct Gateway<'a, W> {
    attempts: Attempts,
    state: Arc<GatewayState>,
    inbox: Inbox,
    models: Vec<String>,
    /// Attempts that wait for their first token to be acknowledged.
    commits: BTreeMap<Attempt, oneshot::Sender<()>>,
    /// Requests whose answer has begun to leave.
    committed: IdMap<NodeId>,
    /// The attempt that answered, and its node.
    winners: IdMap<(Attempt, NodeId)>,
    observer: &'a mut W,
}

impl<W: Observer> Executor for Gateway<'_, W> {
    fn record(&mut self, now: Time, input: &Input) {
        self.observer.record(now, input);
    }

    fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::FirstToken { attempt, node, .. } => {
                if let Some(commit) = self.commits.remove(attempt) {
                    self.committed.insert(attempt.request, *node);
                    // The attempt may be on its way out; then nobody waits.
                    let _ = commit.send(());
                }
            }
            Event::Ended { attempt, node, end, .. } => {
                self.attempts.forget(*attempt);
                self.commits.remove(attempt);
                if *end == End::Done {
                    self.winners.insert(attempt.request, (*attempt, *node));
                }
            }
            _ => {}
        }
        self.observer.hear(now, event);
    }

    fn carry_out(&mut self, now: Time, action: Action, balancer: &Balancer) {
        match action {
            Action::Dispatch { attempt, node, clamp, .. } => self.dispatch(attempt, node, clamp),
            Action::Abort { attempt, .. } => {
                self.commits.remove(&attempt);
                self.attempts.abort(attempt);
            }
            Action::Probe(node, number) => self.attempts.probe(node, number),
            Action::Generate(node, number) => {
                self.attempts.generate(node, number, &self.models[node.index()]);
            }
            Action::Answer { request, fate, .. } => self.answer(now, request, fate, balancer),
            // Real nodes are started and stopped by whoever runs them.
            Action::Start(_) | Action::Stop(_) => {}
        }
    }

    fn tick(&mut self, now: Time, balancer: &Balancer) {
        let up = balancer.fleet().nodes().iter().any(|node| node.state() == NodeState::Up);
        self.state.ready.store(up, Ordering::Relaxed);
        self.observer.tick(now, balancer);
    }
}

impl<W> Gateway<'_, W> {
    fn dispatch(&mut self, attempt: Attempt, node: NodeId, clamp: Option<Tokens>) {
        let (sending, prompt, outlet) = {
            let requests = locked(&self.state.requests);
            let client = requests.get(attempt.request).expect("a request under way has a client");
            let (commit, committed) = oneshot::channel();
            self.commits.insert(attempt, commit);
            let outlet = ToConnection {
                attempt,
                node,
                inbox: self.inbox.clone(),
                state: Arc::clone(&self.state),
                to: client.to.clone(),
                committed: Some(committed),
                held: Vec::new(),
                held_bytes: 0,
                wants_usage: client.wants_usage,
            };
            let body = body(client, &self.models[node.index()], clamp);
            let sending = Sending { body, streams: client.streams, figures: Vec::new() };
            (sending, client.prompt, outlet)
        };
        self.attempts.start(attempt, node, prompt, sending, outlet);
    }

    /// Tells the client how it ended, and when to come back if it may. Sent by a task of its own: a slow
    /// client must not hold up the balancer, and nobody else sends any more.
    fn answer(&mut self, now: Time, request: RequestId, fate: Fate, balancer: &Balancer) {
        let client = locked(&self.state.requests).remove(request).expect("one answer a request");
        let begun = self.committed.remove(request).is_some();
        let winner = self.winners.remove(request);
        let mut leftovers = self.take_leftovers(request);
        let messages = match (fate, winner) {
            (Fate::Completed, Some((attempt, node))) => {
                whole(node, leftovers.remove(&attempt), begun)
            }
            _ if begun => vec![ToClient::Broken(broken(fate))],
            _ => vec![refusal(fate, leftovers, next_node(now, balancer))],
        };
        tokio::spawn(async move {
            for message in messages {
                if client.to.send(message).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Takes what the attempts of a request have left.
    fn take_leftovers(&self, request: RequestId) -> BTreeMap<Attempt, Leftover> {
        let mut leftovers = locked(&self.state.leftovers);
        let first = Attempt { request, ordinal: 0 };
        let mut taken = leftovers.split_off(&first);
        let mut rest = taken.split_off(&Attempt { request: RequestId(request.0 + 1), ordinal: 0 });
        leftovers.append(&mut rest);
        taken
    }
}

/// Returns how many seconds until a node serves again: one where all are only busy, or where nobody
/// knows.
fn next_node(now: Time, balancer: &Balancer) -> u64 {
    balancer.first_back().map_or(1, |until| whole_seconds(until.since(now)))
}

/// The messages of a whole answer.
fn whole(node: NodeId, leftovers: Option<Leftover>, begun: bool) -> Vec<ToClient> {
    match leftovers {
        Some(Leftover::Whole(body)) => vec![ToClient::Whole(node, body)],
        // A stream without content: nothing has left yet.
        Some(Leftover::Events(events)) if !begun => {
            let mut messages = vec![ToClient::Begin(node)];
            messages.extend(events.into_iter().map(ToClient::Piece));
            messages.push(ToClient::End);
            messages
        }
        _ => vec![ToClient::End],
    }
}

/// A field of a request as it goes upstream.
#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Said(&'a RawValue),
    Model(&'a str),
    Options(Map<String, Value>),
    Most(u64),
}

/// The two names of the limit of an answer, the older one first.
const MAX_TOKENS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// The request's body as this node wants it. A clamp lowers what limits the answer, whatever it is
/// called there, and where nothing does it is the older name that every engine knows.
fn body(client: &ClientRequest, model: &str, clamp: Option<Tokens>) -> Bytes {
    let said = client.body.iter().map(|(name, value)| (name.as_str(), Field::Said(value)));
    let mut fields: BTreeMap<&str, Field<'_>> = said.collect();
    if !model.is_empty() {
        fields.insert("model", Field::Model(model));
    }
    if client.streams {
        // Usage is asked for in any case: without it the cost would be a guess.
        let said = client.body.get("stream_options").map(|options| options.get());
        let said = said.and_then(|options| serde_json::from_str(options).ok());
        let mut options: Map<String, Value> = said.unwrap_or_default();
        options.insert("include_usage".to_owned(), true.into());
        fields.insert("stream_options", Field::Options(options));
    }
    if let Some(Tokens(most)) = clamp {
        let said = |name: &str| {
            let said = client.body.get(name)?;
            serde_json::from_str::<Option<u64>>(said.get()).ok().flatten()
        };
        let mut limited = false;
        for name in MAX_TOKENS {
            if let Some(said) = said(name) {
                fields.insert(name, Field::Most(said.min(most)));
                limited = true;
            }
        }
        if !limited {
            fields.insert(MAX_TOKENS[0], Field::Most(most));
        }
    }
    // Strings and what has been read as JSON can always be written.
    serde_json::to_vec(&fields).unwrap_or_default().into()
}

/// What an upstream said of a request it refused goes to the client only where the request itself
/// is at fault; everything else is ours to word.
fn refusal(fate: Fate, leftovers: BTreeMap<Attempt, Leftover>, next_node: u64) -> ToClient {
    // Of a hedged request the last attempt to fail need not be the last to be sent.
    let at_fault = leftovers.into_values().rev().find_map(|leftovers| match leftovers {
        Leftover::Refused(status, body) => {
            let at_fault = Failure::of_status(status.as_u16()) == Failure::ClientError;
            at_fault.then_some((status, body))
        }
        _ => None,
    });
    if let (Fate::Failed(End::Failed(Failure::ClientError)), Some((status, body))) =
        (fate, at_fault)
    {
        return ToClient::Refused(status, refused_because(body), None);
    }
    let (status, error, pause) = worded(fate, next_node);
    ToClient::Refused(status, error.json(), pause)
}

/// An error in the protocol's words as it is, and our own words in place of anything else.
fn refused_because(said: Bytes) -> Bytes {
    let object = serde_json::from_slice::<Map<String, Value>>(&said);
    if object.is_ok_and(|object| object.contains_key("error")) {
        return said;
    }
    let message = "the endpoint refused this request";
    ErrorBody::new("invalid_request_error", "upstream_refused", message).json()
}

/// Seconds for `Retry-After`: at least one, rounded up.
fn whole_seconds(wait: crate::unit::Span) -> u64 {
    wait.0.div_ceil(1_000_000_000).max(1)
}

/// What a client is told of a fate: status, error, seconds to stay away. A node will serve after
/// `next_node` seconds.
fn worded(fate: Fate, next_node: u64) -> (StatusCode, ErrorBody, Option<u64>) {
    let server = |code, message| ErrorBody::new("server_error", code, message);
    match fate {
        Fate::Rejected(Reject::NoNode) => {
            let error = server("no_endpoint", "no endpoint may serve this request");
            (StatusCode::SERVICE_UNAVAILABLE, error, None)
        }
        Fate::Rejected(
            Reject::QueueFull
            | Reject::WaitedTooLong
            | Reject::TooLate
            | Reject::Displaced
            | Reject::Shed,
        ) => {
            let error = server("overloaded", "every endpoint is busy");
            (StatusCode::SERVICE_UNAVAILABLE, error, Some(next_node))
        }
        Fate::Rejected(Reject::RetryBudget) => {
            let error = server("retry_budget_exhausted", "too many requests are tried again");
            (StatusCode::SERVICE_UNAVAILABLE, error, Some(next_node))
        }
        Fate::Rejected(Reject::TenantRate(wait)) => {
            let message = "you have reached your rate limit";
            let error = ErrorBody::new("rate_limit_error", "rate_limit_exceeded", message);
            (StatusCode::TOO_MANY_REQUESTS, error, Some(whole_seconds(wait)))
        }
        // As providers word it: no time soon will help, so the pause is that of the next day.
        Fate::Rejected(Reject::Budget(wait)) => {
            let message = "you have spent your budget for the day";
            let error = ErrorBody::new("insufficient_quota", "budget_exceeded", message);
            (StatusCode::TOO_MANY_REQUESTS, error, Some(whole_seconds(wait)))
        }
        Fate::Failed(End::TimedOut(Stage::FirstToken | Stage::Total)) => {
            let error = server("upstream_timeout", "no endpoint answered in time");
            (StatusCode::GATEWAY_TIMEOUT, error, None)
        }
        Fate::Failed(End::RateLimited) => {
            let message = "every endpoint has reached its rate limit";
            let error = ErrorBody::new("rate_limit_error", "rate_limit_exceeded", message);
            (StatusCode::TOO_MANY_REQUESTS, error, Some(next_node))
        }
        Fate::Failed(End::Failed(Failure::Overloaded)) => {
            let error = server("overloaded", "every endpoint is overloaded");
            (StatusCode::SERVICE_UNAVAILABLE, error, Some(next_node))
        }
        // The client's own credential is not what is wrong.
        Fate::Failed(End::Failed(Failure::Unauthorized)) => {
            let message = "the endpoints refuse the gateway's credentials, or their money is spent";
            (StatusCode::BAD_GATEWAY, server("upstream_credentials", message), None)
        }
        Fate::Failed(_) | Fate::Completed | Fate::Cancelled => {
            let error = server("bad_gateway", "no endpoint gave an answer");
            (StatusCode::BAD_GATEWAY, error, None)
        }
    }
}

/// The error event of a stream that breaks off.
fn broken(fate: Fate) -> Bytes {
    let (_, error, _) = worded(fate, 1);
    let mut event = b"data: ".to_vec();
    event.extend_from_slice(&error.json());
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// Where the answer of an attempt goes: held back until committed, then to the client.
struct ToConnection {
    attempt: Attempt,
    node: NodeId,
    inbox: Inbox,
    state: Arc<GatewayState>,
    to: mpsc::Sender<ToClient>,
    /// Resolves when the balancer has acknowledged the first token. `None` once it has.
    committed: Option<oneshot::Receiver<()>>,
    held: Vec<Bytes>,
    held_bytes: usize,
    wants_usage: bool,
}

impl ToConnection {
    /// Sends to the client. A client that is gone has its request cancelled by its connection, and
    /// only that ends the attempt: a word from here could come first and blame the node.
    async fn send(&self, message: ToClient) {
        if self.to.send(message).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Leaves something for the answer, if there will be one: an attempt that is being aborted may
    /// still run for a moment, and what it left then would stay for ever.
    fn keep(&self, leftovers: Leftover) {
        let requests = locked(&self.state.requests);
        if requests.get(self.attempt.request).is_some() {
            locked(&self.state.leftovers).insert(self.attempt, leftovers);
        }
    }
}

impl Outlet for ToConnection {
    async fn first_token(&mut self) {
        let Some(committed) = self.committed.take() else { return };
        first_token(&self.inbox, self.attempt);
        if committed.await.is_err() {
            // The balancer has decided otherwise and is about to stop this attempt.
            return std::future::pending().await;
        }
        self.send(ToClient::Begin(self.node)).await;
        for piece in std::mem::take(&mut self.held) {
            self.send(ToClient::Piece(piece)).await;
        }
    }

    async fn pass_on(&mut self, piece: Passed<'_>) -> bool {
        match piece {
            Passed::Whole(body) => {
                self.keep(Leftover::Whole(body.clone()));
                true
            }
            // Only we asked for it.
            Passed::Event { bare: true, .. } if !self.wants_usage => true,
            Passed::Event { data, .. } => {
                let event = event(data);
                if self.committed.is_none() {
                    self.send(ToClient::Piece(event)).await;
                    return true;
                }
                self.held_bytes += event.len();
                self.held.push(event);
                self.held_bytes <= HELD_MAX
            }
        }
    }

    fn refused(&mut self, status: StatusCode, body: Bytes) {
        self.keep(Leftover::Refused(status, body));
    }

    fn done(&mut self) {
        if self.committed.is_some() && !self.held.is_empty() {
            let events = std::mem::take(&mut self.held);
            self.keep(Leftover::Events(events));
        }
    }
}

/// The data of an event as it goes over the wire: one `data` line for each of its lines.
fn event(data: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(data.len() + 8);
    for line in data.split('\n') {
        bytes.extend_from_slice(b"data: ");
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes.push(b'\n');
    bytes.into()
}
