//! The edge of the gateway: HTTP in. A connection lets its request arrive, waits for messages of its answer
//! and writes them; it decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::answer::ToClient;
use super::cors::Cors;
use super::names::{FoundClass, ModelNames};
use super::plain;
use super::request::{ClientRequest, UnderstoodRequest};
use super::respond::{AnswerHead, begin_unanswered, closing, json, name_request, respond};
use super::session::{GatewayNote, Readiness};
use super::words;
use super::{CLASS, GatewayParts, KeepAlive, X_REQUEST_ID};
use crate::balance::{Config, Input, ModelRule, Request, SessionKey, SessionKeyKind};
use crate::live::driver::{Inbox, WallClock};
use crate::live::executor::{send, send_noted};
use crate::live::hints::{RequestHints, name_hash};
use crate::live::http::{self, Body, BodyRoom, HttpLimits, TakenRoom};
use crate::live::upstream::{Dialect, MCP_SESSION};
use crate::live::wire::openai::{ErrorBody, model, models};
use crate::live::wire::operation::Operation;
use crate::rng::mix;
use crate::unit::{ClassId, RequestId, Time, Tokens};

/// Pieces of an answer that wait for a slow client; beyond them the upstream is not read.
pub(super) const PIECES_MAX: usize = 64;
/// The name of a request is no longer, if its client names it.
const ID_MAX: usize = 128;

/// Headers that a client and an endpoint agree on; nobody in between needs them.
const PASSED: [&str; 6] = [
    "openai-beta",
    "anthropic-beta",
    "anthropic-version",
    "idempotency-key",
    "traceparent",
    "tracestate",
];

/// What connections share. Nothing of a request is in it.
#[derive(Debug)]
pub(super) struct GatewayState {
    /// The number of the next request.
    next: AtomicU64,
    /// Tells the names of requests from those of other runs.
    run: u64,
    /// When the run began, in seconds of Unix time.
    created: u64,
    /// The [`Readiness`], as the owner of the balancer says.
    ready: Arc<AtomicU8>,
    pub(super) stopping: AtomicBool,
    inbox: Inbox<GatewayNote>,
    pub(super) clock: WallClock,
    pub(super) names: ModelNames,
    cors: Cors,
    /// What requests may name that some route goes by, and whatever nodes have named.
    keys: Vec<SessionKeyKind>,
    hints: RequestHints,
    pub(super) limits: HttpLimits,
    keep_alive: KeepAlive,
    pub(super) room: BodyRoom,
    /// Whether no node can say how many tokens a conversation has.
    counts_itself: bool,
    /// Whether some route goes by how hard a request is.
    asks_complexity: bool,
}

impl GatewayState {
    pub(super) fn new(
        parts: &GatewayParts,
        inbox: Inbox<GatewayNote>,
        ready: Arc<AtomicU8>,
    ) -> GatewayState {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        GatewayState {
            next: AtomicU64::new(0),
            run: mix(nanos, u64::from(std::process::id())),
            created: now.as_secs(),
            ready,
            stopping: AtomicBool::new(false),
            inbox,
            clock: WallClock::start(),
            names: ModelNames::new(parts),
            cors: Cors::new(&parts.cors_origins),
            keys: key_kinds(&parts.config),
            hints: parts.hints.clone(),
            limits: parts.limits,
            keep_alive: parts.keep_alive,
            room: BodyRoom::new(parts.limits.bodies_max),
            counts_itself: (0..parts.models.len())
                .all(|node| parts.client.dialect(node) != Dialect::Anthropic),
            asks_complexity: {
                let mut choose = parts.config.routes.iter().flat_map(|route| &route.choose);
                choose.any(ModelRule::asks_complexity)
            },
        }
    }

    /// Returns the answer to who asks whether requests have somewhere to go.
    fn readiness(&self) -> Response<Body> {
        const PANIC: u8 = Readiness::Panic as u8;
        const READY: u8 = Readiness::Ready as u8;
        let stopping = self.stopping.load(Ordering::Relaxed);
        match self.ready.load(Ordering::Relaxed) {
            READY if !stopping => json(StatusCode::OK, "{\"status\":\"ready\"}"),
            // What is asked may still be answered: to send it elsewhere is the asker's to decide.
            PANIC if !stopping => json(StatusCode::OK, "{\"status\":\"panic\"}"),
            _ => json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"not ready\"}"),
        }
    }

    /// Returns how hard a request is: as its client says, or else as its messages look, where a route goes
    /// by that.
    fn complexity(&self, asked: &UnderstoodRequest, headers: &HeaderMap) -> Option<u32> {
        // To look at a prompt costs more than everything else that is done with a request.
        let chat = asked.chat.as_ref().filter(|_| self.asks_complexity);
        let looks = || chat.map(|chat| chat.features().thousandths());
        RequestHints::complexity(headers).or_else(looks)
    }

    /// Returns the number of a request.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the name of a request: its client's, or one that no other run gives.
    pub(super) fn name(&self, number: u64, headers: &HeaderMap) -> HeaderValue {
        let said = headers.get(X_REQUEST_ID).filter(|said| {
            let text = said.as_bytes();
            (1..=ID_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
        });
        let own = || HeaderValue::from_str(&format!("{:016x}-{number}", self.run));
        said.cloned().or_else(|| own().ok()).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// What is to be had at a path.
enum ApiPlace<'a> {
    /// A call, of this model if the path names one, as clients of Azure have it.
    Call(Operation, Option<&'a str>),
    /// A pool of agents or tools, and what follows its name.
    Plain(&'a str, &'a str),
    Models,
    Model(&'a str),
    Health,
    Ready,
    Nothing,
}

impl ApiPlace<'_> {
    fn of(path: &str) -> ApiPlace<'_> {
        match path {
            "/healthz" => return ApiPlace::Health,
            "/readyz" => return ApiPlace::Ready,
            "/v1/models" => return ApiPlace::Models,
            _ => {}
        }
        if let Some(pool) = path.strip_prefix("/pools/").filter(|pool| !pool.is_empty()) {
            let (name, rest) = pool.split_at(pool.find('/').unwrap_or(pool.len()));
            return ApiPlace::Plain(name, rest);
        }
        if let Some(deployed) = path.strip_prefix("/openai/deployments/") {
            let Some((name, _)) = deployed.split_once('/') else { return ApiPlace::Nothing };
            let found = Operation::of_path(&deployed[name.len()..]);
            return found.map_or(ApiPlace::Nothing, |call| ApiPlace::Call(call, Some(name)));
        }
        let path = path.strip_prefix("/openai").unwrap_or(path);
        let Some(path) = path.strip_prefix("/v1") else { return ApiPlace::Nothing };
        if let Some(name) = path.strip_prefix("/models/").filter(|name| !name.is_empty()) {
            return ApiPlace::Model(name);
        }
        let found = Operation::of_path(path);
        found.map_or(ApiPlace::Nothing, |call| ApiPlace::Call(call, None))
    }

    /// The methods it takes; `None` if it is not there.
    const fn methods(&self) -> Option<&'static str> {
        match self {
            ApiPlace::Call(..) => Some("POST, OPTIONS"),
            ApiPlace::Plain(..) => Some(plain::METHODS),
            ApiPlace::Models | ApiPlace::Model(_) | ApiPlace::Health | ApiPlace::Ready => {
                Some("GET, HEAD, OPTIONS")
            }
            ApiPlace::Nothing => None,
        }
    }
}

/// Answers a request of a client.
pub(super) async fn answer(
    state: Arc<GatewayState>,
    request: HttpRequest<Incoming>,
) -> Response<Body> {
    let (path, origin) = (request.uri().path().to_owned(), state.cors.origin(request.headers()));
    let place = ApiPlace::of(&path);
    let mut response = match (request.method(), &place) {
        (_, ApiPlace::Nothing) => {
            invalid(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
        }
        (&Method::OPTIONS, place) => {
            let allowed = place.methods().unwrap_or_default();
            state.cors.preflight(allowed, origin.as_ref(), request.headers())
        }
        (_, ApiPlace::Plain(pool, rest)) => plain::call(&state, (pool, rest), request).await,
        (&Method::POST, ApiPlace::Call(operation, model)) => {
            call(&state, (*operation, *model), request).await
        }
        (&Method::GET | &Method::HEAD, ApiPlace::Models) => {
            let names = state.names.listed().iter().map(String::as_str);
            json(StatusCode::OK, models(names, state.created))
        }
        (&Method::GET | &Method::HEAD, ApiPlace::Model(name)) => one_model(&state, name),
        (&Method::GET | &Method::HEAD, ApiPlace::Health) => {
            json(StatusCode::OK, "{\"status\":\"ok\"}")
        }
        (&Method::GET | &Method::HEAD, ApiPlace::Ready) => state.readiness(),
        (_, place) => {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut refused = invalid(status, "method_not_allowed", "no such method here");
            let allowed = HeaderValue::from_static(place.methods().unwrap_or_default());
            refused.headers_mut().insert(header::ALLOW, allowed);
            refused
        }
    };
    state.cors.expose(origin, response.headers_mut());
    response
}

/// One of the names, as the list has it.
fn one_model(state: &GatewayState, name: &str) -> Response<Body> {
    // Names with a slash may come escaped.
    let name = name.replace("%2F", "/").replace("%2f", "/");
    match state.names.listed().iter().find(|listed| **listed == name) {
        Some(name) => json(StatusCode::OK, model(name, state.created)),
        None => {
            let message = format!("there is no model `{name}`");
            invalid(StatusCode::NOT_FOUND, "model_not_found", message)
        }
    }
}

/// The client is at fault.
pub(super) fn invalid(
    status: StatusCode,
    code: &'static str,
    message: impl Into<std::borrow::Cow<'static, str>>,
) -> Response<Body> {
    refusal(Operation::Chat, status, code, message)
}

fn refusal(
    operation: Operation,
    status: StatusCode,
    code: &'static str,
    message: impl Into<std::borrow::Cow<'static, str>>,
) -> Response<Body> {
    let error = ErrorBody::new("invalid_request_error", code, message);
    json(status, words::error(operation, &error))
}

async fn call(
    state: &GatewayState,
    (operation, model): (Operation, Option<&str>),
    request: HttpRequest<Incoming>,
) -> Response<Body> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let number = state.number();
    let id = state.name(number, &head.headers);
    let named = |mut response: Response<Body>| {
        name_request(response.headers_mut(), operation, &id);
        response
    };
    let mut taken = TakenRoom::default();
    let room = (&state.room, &mut taken);
    let body = match http::read_body(body, &head.headers, &state.limits, room).await {
        Ok(body) => body,
        Err(failure) => {
            let reason = format!("the body cannot be read: {failure}");
            let refused = refusal(operation, failure.status(), "bad_body", reason);
            return named(closing(refused));
        }
    };
    let kind = head.headers.get(header::CONTENT_TYPE);
    let (mut client, asked) = match ClientRequest::read((operation, model), kind, &body) {
        Ok(read) => read,
        Err(why) => {
            return named(refusal(operation, StatusCode::BAD_REQUEST, "bad_request", why));
        }
    };
    let Some(found) = state.names.find(&asked.model, &head.headers) else {
        return named(nobody(state, operation, &asked.model, &head.headers));
    };
    if operation == Operation::CountTokens && state.counts_itself {
        // Nobody who could be asked counts better.
        let counted = format!("{{\"input_tokens\":{}}}", client.prompt.0);
        return named(json(StatusCode::OK, counted));
    }
    client.headers = passed(&head.headers, &id);
    let waits = state.keep_alive.begin_after.filter(|_| client.streams);
    let (to, mut from) = mpsc::channel(PIECES_MAX);
    let parts = CallParts { number, found, once: false };
    let cancel = arrive(state, parts, &asked, &head.headers, client, to).keeping(taken);
    let first = match waits {
        Some(waits) => timeout(waits, from.recv()).await.ok(),
        None => Some(from.recv().await),
    };
    let every = state.keep_alive.every;
    let head = AnswerHead { operation, names: &state.names, id, began, every };
    match first {
        Some(first) => respond(first, from, cancel, &head),
        None => begin_unanswered(from, cancel, &head),
    }
}

/// No such class, no such model, or none for this class.
fn nobody(
    state: &GatewayState,
    operation: Operation,
    model: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let models = state.names.listed().join(", ");
    let (code, message) = match headers.get(CLASS) {
        Some(class) if state.names.classes().all(|known| class != known) => {
            let classes: Vec<&str> = state.names.classes().collect();
            let (class, classes) = (class.as_bytes().escape_ascii(), classes.join(", "));
            ("class_not_found", format!("there is no class `{class}`; there are {classes}"))
        }
        Some(class) => {
            let class = class.as_bytes().escape_ascii();
            let message = format!(
                "no route leads requests of class `{class}` to a model `{model}`; there are {models}"
            );
            ("model_not_found", message)
        }
        None => ("model_not_found", format!("there is no model `{model}`; there are {models}")),
    };
    refusal(operation, StatusCode::NOT_FOUND, code, message)
}

/// The headers that go along to an endpoint.
fn passed(headers: &HeaderMap, id: &HeaderValue) -> Vec<(HeaderName, HeaderValue)> {
    let mut all = vec![(HeaderName::from_static(X_REQUEST_ID), id.clone())];
    for name in PASSED {
        let values = headers.get_all(name).iter();
        all.extend(values.map(|value| (HeaderName::from_static(name), value.clone())));
    }
    all
}

/// What a request is beside what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallParts {
    pub(super) number: u64,
    pub(super) found: FoundClass,
    /// Whether it is not to be done twice.
    pub(super) once: bool,
}

/// Lets a request arrive. The guard cancels it when the client goes away.
pub(super) fn arrive(
    state: &GatewayState,
    CallParts { number, found: (class, model), once }: CallParts,
    asked: &UnderstoodRequest,
    headers: &HeaderMap,
    client: ClientRequest,
    to: mpsc::Sender<ToClient>,
) -> CancelOnDrop {
    let id = RequestId(number);
    let now = state.clock.now();
    let option = state.names.class(class);
    let request = Request {
        deadline: option.deadline.map_or(Time::MAX, |deadline| now + deadline),
        class: ClassId(class as u16),
        priority: option.priority,
        prompt: client.prompt,
        output_max: asked.output_max.map(Tokens),
        session: RequestHints::session(headers, asked.session.as_deref()),
        region: state.hints.region(headers),
        attributes: state.hints.attributes(headers),
        model,
        complexity: state.complexity(asked, headers),
        whole: !client.streams,
        effort: client.effort(),
        once,
        again: RequestHints::again(headers),
        keys: keys(state, &client, headers),
        ..Request::new(id, now)
    };
    // When the owner has ended, `to` is dropped and the connection hears of it.
    send_noted(&state.inbox, GatewayNote::Arrived(id, client, to), Input::Arrive(request));
    CancelOnDrop { id, inbox: Some(state.inbox.clone()), _room: TakenRoom::default() }
}

/// The kinds of names that some route goes by, or that nodes give; sessions are known anyway.
fn key_kinds(config: &Config) -> Vec<SessionKeyKind> {
    let routes = || config.routes.iter().filter_map(|route| route.sticky.as_ref());
    let wanted =
        |kind: SessionKeyKind| kind.is_given() || routes().any(|spec| spec.by.contains(&kind));
    let others = SessionKeyKind::ALL.into_iter().filter(|kind| *kind != SessionKeyKind::Session);
    others.filter(|kind| wanted(*kind)).collect()
}

/// What a request names of what somebody goes by.
fn keys(state: &GatewayState, client: &ClientRequest, headers: &HeaderMap) -> Box<[SessionKey]> {
    let name = |by: SessionKeyKind| match by {
        SessionKeyKind::McpSession => {
            let said = headers.get(MCP_SESSION).map(HeaderValue::as_bytes);
            said.filter(|said| !said.is_empty()).map(name_hash)
        }
        by => client.name(by).map(|name| name_hash(name.as_bytes())),
    };
    let found = state.keys.iter().filter_map(|&by| Some(SessionKey { by, hash: name(by)? }));
    found.collect()
}

/// Cancels its request when dropped before the end.
#[derive(Debug)]
pub(super) struct CancelOnDrop {
    pub(super) id: RequestId,
    inbox: Option<Inbox<GatewayNote>>,
    /// What its body takes, as long as it is under way.
    _room: TakenRoom,
}

impl CancelOnDrop {
    /// The body keeps its room as long as the request is under way.
    pub(super) fn keeping(mut self, room: TakenRoom) -> CancelOnDrop {
        self._room = room;
        self
    }

    pub(super) fn settled(&mut self) {
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
