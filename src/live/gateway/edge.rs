//! The edge of the gateway: HTTP in, HTTP out. A connection lets its request arrive, waits for messages of
//! its answer and writes them; it decides nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use tokio::sync::mpsc;

use super::answer::ToClient;
use super::request::ClientRequest;
use super::session::{GatewayNote, Readiness};
use super::words::{self, Refusal};
use super::{AUTO, CLASS, ClassOption, GatewayParts, REQUEST_ID};
use crate::balance::{Input, ModelRule, Request};
use crate::live::driver::{Inbox, WallClock};
use crate::live::executor::{send, send_noted};
use crate::live::hints::RequestHints;
use crate::live::http::{self, Body, HttpLimits};
use crate::live::wire::openai::{ChatRequest, DONE, ErrorBody, models};
use crate::unit::{ClassId, ModelId, NodeId, RequestId, Time, Tokens};

/// Pieces of an answer that wait for a slow client; beyond them the upstream is not read.
const PIECES_MAX: usize = 64;
/// Between the error event of a cut stream and the break.
const BREAK_PAUSE: Duration = Duration::from_millis(50);

/// The header with the number of the node that answers.
const NODE_ID: HeaderName = HeaderName::from_static("x-plimsoll-node-id");

/// What connections share. Nothing of a request is in it.
#[derive(Debug)]
pub(super) struct GatewayState {
    /// The number of the next request.
    next: AtomicU64,
    /// The [`Readiness`], as the owner of the balancer says.
    ready: Arc<AtomicU8>,
    pub(super) stopping: AtomicBool,
    inbox: Inbox<GatewayNote>,
    pub(super) clock: WallClock,
    classes: Vec<ClassOption>,
    hints: RequestHints,
    /// Names a client may ask for.
    models: Vec<String>,
    /// The one model that every node serves, if there is one.
    only_model: Option<String>,
    /// Models that requests may name, where there are several, each with the classes that are led to it.
    named: Vec<(String, ModelId, Vec<usize>)>,
    limits: HttpLimits,
    /// Whether some route goes by how hard a request is.
    asks_complexity: bool,
}

impl GatewayState {
    pub(super) fn new(
        parts: &GatewayParts,
        inbox: Inbox<GatewayNote>,
        ready: Arc<AtomicU8>,
    ) -> GatewayState {
        let first = parts.models.first().filter(|model| !model.is_empty());
        let only_model = first.filter(|first| parts.models.iter().all(|model| model == *first));
        let mut models = vec![AUTO.to_owned()];
        models.extend(parts.classes.iter().map(|class| class.name.clone()));
        models.extend(only_model.cloned());
        let named = named(parts);
        models.extend(named.iter().map(|(name, ..)| name.clone()));
        GatewayState {
            next: AtomicU64::new(0),
            ready,
            stopping: AtomicBool::new(false),
            inbox,
            clock: WallClock::start(),
            classes: parts.classes.clone(),
            hints: parts.hints.clone(),
            only_model: only_model.cloned(),
            models,
            named,
            limits: parts.limits,
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
    fn complexity(&self, asked: &ChatRequest, headers: &HeaderMap) -> Option<u32> {
        let looks = || self.asks_complexity.then(|| asked.features().thousandths());
        RequestHints::complexity(headers).or_else(looks)
    }

    /// Finds the class a request asks for, by header or by the model's name, and the model that it names.
    /// Who names a model and no class is of the first class that is led to it.
    fn class(&self, model: &str, headers: &HeaderMap) -> Option<(usize, Option<ModelId>)> {
        let by_name = |name: &str| self.classes.iter().position(|class| class.name == name);
        let usual = |class: usize| (class, self.classes[class].model);
        let named = self.named.iter().find(|(name, ..)| name == model);
        match (headers.get(CLASS), named) {
            (Some(class), named) => {
                let class = class.to_str().ok().and_then(by_name)?;
                let Some((_, model, led)) = named else { return Some(usual(class)) };
                led.contains(&class).then_some((class, Some(*model)))
            }
            (None, Some((_, model, led))) => Some((*led.first()?, Some(*model))),
            (None, None) => {
                let anything = model == AUTO || self.only_model.as_deref() == Some(model);
                by_name(model).or_else(|| anything.then_some(0)).map(usual)
            }
        }
    }
}

/// Returns the models that have routes of their own, each once, with the classes that are led to it. What
/// has the name of a class means that class.
fn named(parts: &GatewayParts) -> Vec<(String, ModelId, Vec<usize>)> {
    let mut found: Vec<(String, ModelId, Vec<usize>)> = Vec::new();
    for (node, name) in parts.config.nodes.iter().zip(&parts.models) {
        let is_class = parts.classes.iter().any(|class| class.name == *name);
        if is_class || found.iter().any(|(_, model, _)| *model == node.model) {
            continue;
        }
        let led = |class: &usize| {
            let class = ClassId(*class as u16);
            parts.config.routes.iter().any(|route| route.leads_to(class, node.model))
        };
        let classes: Vec<usize> = (0..parts.classes.len()).filter(led).collect();
        if !classes.is_empty() {
            found.push((name.clone(), node.model, classes));
        }
    }
    found
}

// ----- in -----

/// Answers a request of a client.
pub(super) async fn answer(
    state: Arc<GatewayState>,
    request: HttpRequest<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/v1/chat/completions") => chat(&state, request).await,
        (&Method::GET, "/v1/models") => {
            json(StatusCode::OK, models(state.models.iter().map(String::as_str), 0))
        }
        (&Method::GET, "/healthz") => json(StatusCode::OK, "{\"status\":\"ok\"}"),
        (&Method::GET, "/readyz") => state.readiness(),
        (_, "/v1/chat/completions" | "/v1/models" | "/healthz" | "/readyz") => {
            invalid(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "no such method here")
        }
        _ => invalid(StatusCode::NOT_FOUND, "not_found", "there is nothing here"),
    }
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    http::answer(status, "application/json", body)
}

/// The client is at fault.
fn invalid(
    status: StatusCode,
    code: &'static str,
    message: impl Into<std::borrow::Cow<'static, str>>,
) -> Response<Body> {
    json(status, ErrorBody::new("invalid_request_error", code, message).json())
}

async fn chat(state: &GatewayState, request: HttpRequest<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match http::read_body(body, &state.limits).await {
        Ok(body) => body,
        Err(failure) => {
            let reason = format!("the body cannot be read: {failure:?}");
            return closing(invalid(failure.status(), "bad_body", reason));
        }
    };
    let (client, asked) = match ClientRequest::read(&body) {
        Ok(read) => read,
        Err(why) => return invalid(StatusCode::BAD_REQUEST, "bad_request", why),
    };
    let Some(found) = state.class(&asked.model, &head.headers) else {
        let (model, models) = (&asked.model, state.models.join(", "));
        let message = match head.headers.get(CLASS).map(|class| class.as_bytes().escape_ascii()) {
            Some(class) => format!(
                "no route leads requests of class `{class}` to a model `{model}`; there are {models}"
            ),
            None => format!("there is no model `{model}`; there are {models}"),
        };
        return invalid(StatusCode::NOT_FOUND, "model_not_found", message);
    };
    let (to, mut from) = mpsc::channel(PIECES_MAX);
    let cancel = arrive(state, found, &asked, &head.headers, client, to);
    let first = from.recv().await;
    respond(first, from, cancel)
}

/// Lets a request arrive. The guard cancels it when the client goes away.
fn arrive(
    state: &GatewayState,
    (class, model): (usize, Option<ModelId>),
    asked: &ChatRequest,
    headers: &HeaderMap,
    client: ClientRequest,
    to: mpsc::Sender<ToClient>,
) -> CancelOnDrop {
    let id = RequestId(state.next.fetch_add(1, Ordering::Relaxed));
    let now = state.clock.now();
    let option = &state.classes[class];
    let request = Request {
        deadline: option.deadline.map_or(Time::MAX, |deadline| now + deadline),
        class: ClassId(class as u16),
        priority: option.priority,
        prompt: client.prompt,
        output_max: asked.output_max().map(Tokens),
        session: RequestHints::session(headers, asked.user.as_deref()),
        region: state.hints.region(headers),
        attributes: state.hints.attributes(headers),
        model,
        complexity: state.complexity(asked, headers),
        whole: !client.streams,
        again: RequestHints::again(headers),
        ..Request::new(id, now)
    };
    // When the owner has ended, `to` is dropped and the connection hears of it.
    send_noted(&state.inbox, GatewayNote::Arrived(id, client, to), Input::Arrive(request));
    CancelOnDrop { id, inbox: Some(state.inbox.clone()) }
}

/// Cancels its request when dropped before the end.
#[derive(Debug)]
struct CancelOnDrop {
    id: RequestId,
    inbox: Option<Inbox<GatewayNote>>,
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

// ----- out -----

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
        Some(ToClient::Refused(refusal)) => {
            cancel.settled();
            refused(refusal)
        }
        // The owner has ended; nothing else comes first.
        None | Some(ToClient::Piece(_) | ToClient::End | ToClient::Broken(_)) => {
            cancel.settled();
            refused(words::stopping())
        }
    };
    response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), HeaderValue::from(id.0));
    response
}

fn by_node(headers: &mut HeaderMap, node: NodeId) {
    headers.insert(NODE_ID, HeaderValue::from(node.0));
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
        // The owner has ended; nothing else comes after the beginning.
        None | Some(ToClient::Begin(_) | ToClient::Whole(..) | ToClient::Refused(_)) => {
            cancel.settled();
            broken()
        }
    }
}
