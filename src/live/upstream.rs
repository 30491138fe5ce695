//! One attempt against a real endpoint: connect, send, read the answer, say how it ended.
//!
//! The client follows no redirect (it would hand keys and prompts to another host) and obeys no
//! system proxy. Everything read has a limit. A stream counts as whole only if its terminal marker
//! was seen; a gap between tokens longer than allowed ends it. Keys are never shown.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::answer::{Piece, piece, whole};
use super::wire::refusal::is_of_credential;
use super::wire::sse::{SseEvent, SseParser};
use crate::balance::{Failure, Outcome, ProbeResult, RETRY_AFTER_MAX, Usage};
use crate::unit::{Span, Tokens};

/// No whole answer is larger.
pub const BODY_MAX: usize = 16 << 20;
/// No error answer is kept beyond this.
pub const ERROR_MAX: usize = 64 << 10;
/// An error answer has so long to arrive.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// After the terminal marker a connection has so long to end and be used again.
const TAIL_PATIENCE: Duration = Duration::from_secs(1);
/// A probe has so long, whatever the balancer thinks of it by then.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// Idle connections kept to one endpoint.
const IDLE_MAX: usize = 256;
/// Idle connections are kept so long: less than the five seconds after which small servers close
/// theirs, because a request sent into a closing connection is lost.
const IDLE: Duration = Duration::from_secs(4);

/// A key for an endpoint, which is never shown.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key.
    #[must_use]
    pub fn new(key: String) -> Key {
        Key(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// How a node is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The base of its API, such as `https://api.example.com/v1`.
    pub url: String,
    /// Its key.
    pub key: Option<Key>,
}

/// Why an endpoint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEndpoint {
    /// Its place in the list.
    pub node: usize,
    /// Why.
    pub reason: String,
}

#[derive(Debug)]
struct Target {
    chat: Uri,
    models: Uri,
    health: Option<Uri>,
    /// Where a mock server is told to start.
    start: Option<Uri>,
    authorization: Option<HeaderValue>,
    loopback: bool,
}

/// Reaches the endpoints of a fleet.
#[derive(Debug)]
pub struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    targets: Vec<Target>,
    inter_token: Option<Duration>,
}

/// What an attempt has used so far, for whoever has to stop it.
#[derive(Debug, Default)]
pub struct Meter {
    started: AtomicBool,
    prompt: AtomicU64,
    output: AtomicU64,
    ended: AtomicBool,
}

impl Meter {
    /// A meter of an attempt with so many prompt tokens.
    #[must_use]
    pub fn new(prompt: Tokens) -> Meter {
        Meter { prompt: AtomicU64::new(prompt.0), ..Meter::default() }
    }

    /// Returns what was used: nothing before the first token.
    #[must_use]
    pub fn usage(&self) -> Usage {
        if !self.started.load(Ordering::Relaxed) {
            return Usage::default();
        }
        Usage {
            input: Tokens(self.prompt.load(Ordering::Relaxed)),
            cached: Tokens::ZERO,
            output: Tokens(self.output.load(Ordering::Relaxed)),
        }
    }

    /// Claims the one word about the end. Returns whether nobody had claimed it.
    #[must_use]
    pub fn claim(&self) -> bool {
        !self.ended.swap(true, Ordering::Relaxed)
    }
}

/// Where an answer goes while it comes in. When nobody takes it any more its calls do not return:
/// whoever lost the reader stops the attempt, and only that says how it ended.
pub trait Outlet: Send {
    /// The first token has come. Nothing may leave before this returns.
    fn first_token(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// An event of the stream, or a whole answer. Returns whether it could be taken; `false` if
    /// more came before the first token than is held back.
    fn pass_on(&mut self, _piece: Passed<'_>) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    /// The endpoint refused, with this status and body.
    fn refused(&mut self, _status: StatusCode, _body: Bytes) {}

    /// The attempt is over. Called before the balancer hears of it.
    fn ended(&mut self, _outcome: &Outcome) {}
}

/// An outlet for answers that nobody reads.
pub(super) struct Nobody;

impl Outlet for Nobody {}

/// Part of an answer on its way.
#[derive(Clone, Copy, Debug)]
pub enum Passed<'a> {
    /// The data of an event; `bare` if it only carries usage.
    Event {
        /// The data.
        data: &'a str,
        /// Whether it has no choices.
        bare: bool,
    },
    /// A whole answer.
    Whole(&'a Bytes),
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The JSON body.
    pub body: Bytes,
    /// Whether it asks for a stream; an answer of the other kind is none.
    pub streams: bool,
    /// Headers that only go to endpoints on this machine: exact figures for mock servers.
    pub figures: Vec<(&'static str, String)>,
}

impl Client {
    /// A client for these endpoints, by node.
    ///
    /// # Errors
    /// Every endpoint that cannot be used.
    pub fn new(
        endpoints: &[Endpoint],
        connect: Option<Duration>,
        inter_token: Option<Duration>,
    ) -> Result<Client, Vec<BadEndpoint>> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(connect);
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = HyperClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        let (mut targets, mut bad) = (Vec::new(), Vec::new());
        for (node, endpoint) in endpoints.iter().enumerate() {
            match Target::new(endpoint) {
                Ok(target) => targets.push(target),
                Err(reason) => bad.push(BadEndpoint { node, reason }),
            }
        }
        if bad.is_empty() { Ok(Client { http, targets, inter_token }) } else { Err(bad) }
    }

    /// Makes one attempt and returns how it ended. Dropping the future closes the connection.
    pub async fn attempt(
        &self,
        node: usize,
        sending: Sending,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let target = &self.targets[node];
        let streams = sending.streams;
        let response = match self.http.request(target.chat_request(sending)).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return failed(Failure::Refused, meter),
            Err(_) => return failed(Failure::Reset, meter),
        };
        if response.status() != StatusCode::OK {
            return target.refusal(response, meter, outlet).await;
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        // A whole answer in place of a stream would be an empty stream to the client's library.
        if streams && kind.eq_ignore_ascii_case("text/event-stream") {
            self.read_stream(response.into_body(), meter, outlet).await
        } else if !streams && kind.eq_ignore_ascii_case("application/json") {
            read_whole(response.into_body(), meter, outlet).await
        } else {
            failed(Failure::Malformed, meter)
        }
    }

    async fn read_stream(
        &self,
        mut body: Incoming,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let mut reading = Reading::default();
        let mut parser = SseParser::default();
        let mut last = Instant::now();
        loop {
            // Before the first token the balancer watches the time, afterwards we do. The time counts
            // from the last event: comments and single bytes are no sign of an answer.
            let gap = self.inter_token.filter(|_| reading.started);
            let frame = match within(gap.map(|gap| last + gap), body.frame()).await {
                None => return failed(Failure::Stalled, meter),
                Some(Some(Ok(frame))) => frame,
                Some(Some(Err(_))) => return failed(Failure::Reset, meter),
                // A clean end without a terminal marker is a cut stream.
                Some(None) if reading.finished => return reading.done(meter),
                Some(None) => return failed(Failure::Malformed, meter),
            };
            let Ok(data) = frame.into_data() else { continue };
            let mut events = Vec::new();
            if parser.push(&data, &mut |event| events.push(event)).is_err() {
                return failed(Failure::Malformed, meter);
            }
            let any = !events.is_empty();
            for event in events {
                match reading.take(&event, meter, outlet).await {
                    Flow::On => {}
                    Flow::Done => {
                        // Reading on to the end lets the connection be used again; the answer is
                        // whole and does not wait for that.
                        tokio::spawn(async move { timeout(TAIL_PATIENCE, body.frame()).await });
                        return reading.done(meter);
                    }
                    Flow::Failed(failure) => return failed(failure, meter),
                }
            }
            if any {
                // After they were passed on: the time a slow client takes is not the endpoint's.
                last = Instant::now();
            }
        }
    }

    /// Asks a node whether it is well: `/health` beside the API, or the list of models.
    pub async fn probe(&self, node: usize) -> ProbeResult {
        let target = &self.targets[node];
        let asked = timeout(PROBE_PATIENCE, async {
            if let Some(health) = &target.health {
                match self.status(target, health.clone()).await? {
                    StatusCode::NOT_FOUND => {}
                    status => return Ok(status),
                }
            }
            self.status(target, target.models.clone()).await
        });
        match asked.await {
            Ok(Ok(status)) if status.is_success() => ProbeResult::Healthy,
            Ok(Ok(status)) => ProbeResult::Failed(Failure::of_status(status.as_u16())),
            Ok(Err(failure)) => ProbeResult::Failed(failure),
            Err(_) => ProbeResult::Failed(Failure::Stalled),
        }
    }

    /// Tells a mock server that the run begins, so that its fault schedule counts from now. Other
    /// servers on this machine do not know the call and are left as they are.
    pub async fn start_mock(&self) {
        let Some(target) = self.targets.iter().find(|target| target.loopback) else { return };
        let Some(start) = &target.start else { return };
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = start.clone();
        let _ = timeout(ERROR_PATIENCE, self.http.request(request)).await;
    }

    async fn status(&self, target: &Target, uri: Uri) -> Result<StatusCode, Failure> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = uri;
        if let Some(key) = &target.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, key.clone());
        }
        let answered = self.http.request(request).await;
        answered
            .map(|response| response.status())
            .map_err(|error| if error.is_connect() { Failure::Refused } else { Failure::Reset })
    }
}

impl Target {
    fn new(endpoint: &Endpoint) -> Result<Target, String> {
        let base = endpoint.url.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| "this is not a URL".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("a URL begins with http:// or https://".to_owned());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("the URL has no host")?;
        if uri.query().is_some() || uri.authority().is_some_and(|all| all.as_str().contains('@')) {
            return Err("a URL has no query and no user here; keys come from `key_env`".to_owned());
        }
        let join = |base: &str, path: &str| {
            format!("{base}{path}").parse::<Uri>().map_err(|_| "this is not a URL".to_owned())
        };
        let authorization = endpoint
            .key
            .as_ref()
            .map(|key| {
                let value = HeaderValue::from_str(&format!("Bearer {}", key.0));
                let mut value = value.map_err(|_| "the key has characters no header may have")?;
                value.set_sensitive(true);
                Ok::<_, String>(value)
            })
            .transpose()?;
        let loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        let root = base.strip_suffix("/v1");
        Ok(Target {
            chat: join(base, "/chat/completions")?,
            models: join(base, "/models")?,
            health: root.map(|root| join(root, "/health")).transpose()?,
            start: root.map(|root| join(root, "/admin/start")).transpose()?,
            authorization,
            loopback,
        })
    }

    fn chat_request(&self, sending: Sending) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(sending.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.chat.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream, application/json"),
        );
        if let Some(key) = &self.authorization {
            headers.insert(header::AUTHORIZATION, key.clone());
        }
        if self.loopback {
            for (name, value) in sending.figures {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
        }
        request
    }
}

impl Target {
    /// Reads an answer that is not 200.
    async fn refusal(
        &self,
        response: Response<Incoming>,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let limited = http_body_util::Limited::new(response.into_body(), ERROR_MAX);
        let body = match timeout(ERROR_PATIENCE, limited.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            // What it said cannot be used; that it refused still counts.
            _ => Bytes::new(),
        };
        if is_of_credential(status, &body) {
            // It is ours, so what is said of it is none of the client's business.
            return failed(Failure::Unauthorized, meter);
        }
        let body = if self.shows_key(&body) { Bytes::new() } else { body };
        outlet.refused(status, body);
        Outcome::of_status(status.as_u16(), retry_after, meter.usage())
    }

    /// Returns whether an answer repeats the key it was asked with.
    fn shows_key(&self, body: &[u8]) -> bool {
        let key =
            self.authorization.as_ref().and_then(|key| key.as_bytes().strip_prefix(b"Bearer "));
        key.is_some_and(|key| !key.is_empty() && body.windows(key.len()).any(|part| part == key))
    }
}

/// What has been read of a stream.
#[derive(Debug, Default)]
struct Reading {
    started: bool,
    finished: bool,
    usage: Option<Usage>,
}

enum Flow {
    On,
    Done,
    Failed(Failure),
}

impl Reading {
    async fn take(&mut self, event: &SseEvent, meter: &Meter, outlet: &mut impl Outlet) -> Flow {
        let data = event.data.as_str();
        if event.name == "error" {
            return Flow::Failed(Failure::ServerError);
        }
        let (content, bare) = match piece(data) {
            None => return Flow::Failed(Failure::Malformed),
            Some(Piece::Error) => return Flow::Failed(Failure::ServerError),
            // An end of nothing is no answer.
            Some(Piece::Done) if !self.started && !self.finished => {
                return Flow::Failed(Failure::Malformed);
            }
            Some(Piece::Done) => return Flow::Done,
            Some(Piece::Chunk { content, finished, usage, bare }) => {
                self.finished |= finished;
                self.usage = usage.or(self.usage);
                (content, bare)
            }
        };
        if content {
            meter.output.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(&mut self.started, true) {
                meter.started.store(true, Ordering::Relaxed);
                outlet.first_token().await;
            }
        }
        // Roles and other preliminaries wait for the first content: until then nothing is committed.
        if outlet.pass_on(Passed::Event { data, bare }).await {
            Flow::On
        } else {
            Flow::Failed(Failure::Malformed)
        }
    }

    /// The end of a whole stream. Where it did not say what it used, chunks are counted.
    fn done(&self, meter: &Meter) -> Outcome {
        let counted = Usage {
            input: Tokens(meter.prompt.load(Ordering::Relaxed)),
            cached: Tokens::ZERO,
            output: Tokens(meter.output.load(Ordering::Relaxed)),
        };
        Outcome::Done(self.usage.unwrap_or(counted))
    }
}

async fn within<F: Future>(until: Option<Instant>, future: F) -> Option<F::Output> {
    match until {
        Some(until) => timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

fn failed(failure: Failure, meter: &Meter) -> Outcome {
    Outcome::Failed(failure, meter.usage())
}

async fn read_whole(body: Incoming, meter: &Meter, outlet: &mut impl Outlet) -> Outcome {
    let body = match http_body_util::Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return failed(Failure::Malformed, meter);
        }
        Err(_) => return failed(Failure::Reset, meter),
    };
    let Some(usage) = whole(&body) else { return failed(Failure::Malformed, meter) };
    let estimate = Usage {
        input: Tokens(meter.prompt.load(Ordering::Relaxed)),
        cached: Tokens::ZERO,
        // About four bytes a token, as everywhere where nothing better is known.
        output: Tokens(body.len() as u64 / 4),
    };
    outlet.pass_on(Passed::Whole(&body)).await;
    Outcome::Done(usage.unwrap_or(estimate))
}

/// Reads the pause an answer asks for, in milliseconds, seconds or as a date: at most
/// [`RETRY_AFTER_MAX`], whatever it says.
fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| !number.is_nan());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].into_iter().filter_map(text);
    let seconds = millis.filter_map(number).next().map(|millis| millis / 1_000.0);
    let seconds = seconds.or_else(|| {
        let after = text("retry-after")?;
        number(after).or_else(|| {
            let date = httpdate::parse_http_date(after).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64())
        })
    });
    seconds.map(|seconds| Span::from_seconds(seconds).min(RETRY_AFTER_MAX))
}

/// A client shared by the tasks of many attempts.
pub type SharedClient = Arc<Client>;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = list.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        });
        pairs.collect()
    }

    #[test]
    fn pauses_are_read_in_every_form() {
        let read = |list: &[(&'static str, &str)]| retry_after(&headers(list));
        assert_eq!(read(&[("retry-after", "2")]), Some(Span::from_secs(2)));
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Span::from_millis(500)));
        let both = [("retry-after", "9"), ("retry-after-ms", "250")];
        assert_eq!(read(&both), Some(Span::from_millis(250)));
        assert_eq!(read(&[("x-ms-retry-after-ms", "70")]), Some(Span::from_millis(70)));
        assert_eq!(read(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(Span::ZERO));
        assert_eq!(read(&[("retry-after", "soon")]), None);
        assert_eq!(read(&[("retry-after", "-5")]), Some(Span::ZERO));
        for absurd in ["1e300", "inf", "Thu, 21 Oct 9999 07:28:00 GMT"] {
            assert_eq!(read(&[("retry-after", absurd)]), Some(RETRY_AFTER_MAX), "{absurd}");
        }
        let nonsense = [("retry-after-ms", "NaN"), ("retry-after", "2")];
        assert_eq!(read(&nonsense), Some(Span::from_secs(2)));
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn endpoints_that_cannot_be_used_are_refused_and_keys_stay_hidden() {
        let client = |url: &str, key: Option<&str>| {
            let key = key.map(|key| Key::new(key.to_owned()));
            Client::new(&[Endpoint { url: url.to_owned(), key }], None, None)
        };
        let good = client("https://api.example.com/v1", Some("sk-secret")).expect("it is good");
        assert!(!format!("{good:?}").contains("sk-secret"));
        for bad in
            ["", "ftp://x/v1", "nonsense", "http:///v1", "http://u:p@h/v1", "http://h/v1?k=1"]
        {
            assert!(client(bad, None).is_err(), "{bad}");
        }
        let newline = client("http://h/v1", Some("a\nb")).expect_err("no such header");
        assert!(!format!("{newline:?}").contains("a\\nb"));
    }

    /// Answers every request of a connection with a stream whose end comes late.
    async fn late_end(mut stream: tokio::net::TcpStream, late: Duration) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let event =
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
        let text = format!("{event}data: [DONE]\n\n");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}{:x}\r\n{text}\r\n", text.len());
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(late).await;
            if stream.write_all(b"0\r\n\r\n").await.is_err() {
                return;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_late_end_of_a_stream_spoils_no_later_request() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(late_end(stream, Duration::from_millis(120)));
            }
        });
        let client = Client::new(&[Endpoint { url, key: None }], None, None).expect("it is good");
        for round in 0..40 {
            let meter = Meter::new(Tokens(1));
            let (body, figures) = (Bytes::from_static(b"{}"), Vec::new());
            let sending = Sending { body, streams: true, figures };
            let outcome = client.attempt(0, sending, &meter, &mut Nobody).await;
            assert!(matches!(outcome, Outcome::Done(_)), "round {round}: {outcome:?}");
        }
    }
}
