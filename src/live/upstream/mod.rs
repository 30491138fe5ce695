//! One attempt against a real endpoint: connect, send, read the answer, say how it ended.
//!
//! The client follows no redirect (it would hand keys and prompts to another host) and obeys no
//! system proxy. Everything read has a limit. A stream counts as whole only if its terminal marker
//! was seen; a gap between tokens longer than allowed ends it. Keys are never shown.

mod connect;
mod endpoint;
mod mock_admin;
mod outlet;
mod reading;
mod scrub;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::time::{Instant, timeout, timeout_at};

use self::connect::UpstreamConnections;
use self::endpoint::ResolvedEndpoint;
pub use self::endpoint::{ApiKey, Dialect, Endpoint, PrefillKind};
pub use self::mock_admin::{MockAdmin, MockCall};
pub(super) use self::outlet::Nobody;
pub use self::outlet::{Meter, Outlet, Passed, PlainCall, Sending};
use self::reading::{
    Expected, StreamReading, StreamStep, WholeReading, collect, read_whole, unpacked, unread,
};
use super::coding::{Coding, Unpacker};
use super::http::{ANSWERS_MAX, BodyRoom, STEP, TakenRoom};
use super::wire::answer::{WholeAnswer, whole};
use super::wire::operation::Protocol;
use super::wire::sse::SseParser;
use crate::balance::{Failure, Outcome, ProbeResult};

/// No whole answer is larger: pictures come in one.
pub const BODY_MAX: usize = 64 << 20;
/// No error answer is kept beyond this.
pub const ERROR_MAX: usize = 64 << 10;
/// An error answer has so long to arrive.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// After the terminal marker a connection has so long to end and be used again.
const TAIL_PATIENCE: Duration = Duration::from_secs(1);
/// A probe has so long, whatever the balancer thinks of it by then.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// How far a stream has come is told so often: who tells is not silent.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// Why an endpoint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEndpoint {
    /// Its place in the list.
    pub node: usize,
    /// Why.
    pub reason: String,
}

/// Reaches the endpoints of a fleet.
#[derive(Debug)]
pub struct UpstreamClient {
    /// One for each set of those who are trusted.
    connections: Vec<UpstreamConnections>,
    targets: Vec<ResolvedEndpoint>,
    pace: StreamPace,
    /// For answers that are held as a whole.
    room: BodyRoom,
}

impl UpstreamClient {
    /// A client for these endpoints, by node.
    ///
    /// # Errors
    /// Every endpoint that cannot be used.
    pub fn new(
        endpoints: &[Endpoint],
        connect: Option<Duration>,
        pace: StreamPace,
    ) -> Result<UpstreamClient, Vec<BadEndpoint>> {
        let mut trusted: Vec<Option<&Path>> = Vec::new();
        let (mut connections, mut targets, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (node, endpoint) in endpoints.iter().enumerate() {
            let ca_file = endpoint.ca_file.as_deref();
            let made = match trusted.iter().position(|other| *other == ca_file) {
                Some(known) => Ok(known),
                None => UpstreamConnections::new(connect, ca_file).map(|made| {
                    trusted.push(ca_file);
                    connections.push(made);
                    connections.len() - 1
                }),
            };
            match made.and_then(|made| ResolvedEndpoint::new(endpoint, made)) {
                Ok(target) => targets.push(target),
                Err(reason) => bad.push(BadEndpoint { node, reason }),
            }
        }
        if bad.is_empty() {
            let room = BodyRoom::new(ANSWERS_MAX);
            Ok(UpstreamClient { connections, targets, pace, room })
        } else {
            Err(bad)
        }
    }

    /// The same, which holds so many bytes of answers at most.
    #[must_use]
    pub fn holding(self, answers_max: usize) -> UpstreamClient {
        UpstreamClient { room: BodyRoom::new(answers_max), ..self }
    }

    /// Returns how a node wants to be asked.
    #[must_use]
    pub fn dialect(&self, node: usize) -> Dialect {
        self.targets[node].dialect
    }

    /// Returns how a node is asked to go on from the beginning of an answer.
    #[must_use]
    pub fn prefill(&self, node: usize) -> PrefillKind {
        self.targets[node].prefill
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
        let (streams, expected) = (sending.streams, Expected::of(&sending));
        let plain = sending.plain.is_some();
        let response = match self.ask(target, sending, outlet).await {
            Ok(response) => response,
            Err(failure) => return failed(failure, meter),
        };
        if plain && !is_turned_away(response.status()) {
            return target.pass_through(response, meter, outlet).await;
        }
        if !response.status().is_success() {
            return target.refusal(response, meter, outlet).await;
        }
        let (head, body) = response.into_parts();
        // A stream may come without a media type. A whole answer in place of one would be an empty stream
        // to the client's library, but an error may be told so.
        if streams && !is_json(&head.headers) {
            let Some(coding) = Coding::of(&head.headers) else {
                return failed(Failure::Malformed, meter);
            };
            let reading = StreamReading::new(expected);
            let unpacker = Unpacker::new(coding);
            return self.read_stream(target, body, (reading, unpacker), meter, outlet).await;
        }
        let read = if streams {
            let body = collect(body, &head.headers, (ERROR_MAX, None)).await;
            body.ok().filter(|body| is_error(body)).map(WholeReading::Refused)
        } else {
            Some(read_whole(body, &head.headers, (expected, &self.room), meter, outlet).await)
        };
        match read {
            None => failed(Failure::Malformed, meter),
            Some(WholeReading::Ended(outcome)) => outcome,
            Some(WholeReading::Refused(said)) => target.refused_inside(said, meter, outlet),
        }
    }

    /// Sends a request, or what is to be sent in its place where the endpoint refuses it for what it is, or
    /// has refused its like.
    async fn ask(
        &self,
        target: &ResolvedEndpoint,
        mut sending: Sending,
        outlet: &mut impl Outlet,
    ) -> Result<Response<Incoming>, Failure> {
        if sending.plain.as_ref().is_some_and(|call| call.once) {
            return self.connections(target).send_once(target.request(sending)).await;
        }
        let Some(whole) = sending.or_else.take() else {
            return self.connections(target).send(|| target.request(sending.clone())).await;
        };
        let refuses = !target.begins_anew.load(Ordering::Relaxed);
        if refuses {
            let response =
                self.connections(target).send(|| target.request(sending.clone())).await?;
            if !matches!(response.status().as_u16(), 400 | 404 | 422) {
                return Ok(response);
            }
        }
        outlet.begins_anew();
        let response = self.connections(target).send(|| target.request((*whole).clone())).await?;
        // Who refuses both refuses the request, not its form.
        if refuses && response.status().is_success() {
            target.begins_anew.store(true, Ordering::Relaxed);
        }
        Ok(response)
    }

    async fn read_stream(
        &self,
        target: &ResolvedEndpoint,
        mut body: Incoming,
        (mut reading, mut unpacker): (StreamReading, Option<Unpacker>),
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let (mut parser, mut taken) = (SseParser::default(), TakenRoom::default());
        let mut last = Instant::now();
        let mut told = last;
        let mut floor = FloorWatch::new(self.pace.floor);
        loop {
            // Before the first token the balancer watches the time, afterwards we do. The time counts
            // from the last event: comments and single bytes are no sign of an answer.
            let gap = self.pace.inter_token.filter(|_| reading.started);
            let asked = Instant::now();
            let frame = within(gap.map(|gap| last + gap), body.frame()).await;
            if reading.started && floor.is_broken(asked.elapsed(), meter.usage().output.0) {
                return failed(Failure::Stalled, meter);
            }
            let frame = match frame {
                None => return failed(Failure::Stalled, meter),
                Some(Some(Ok(frame))) => frame,
                Some(Some(Err(_))) => return failed(Failure::Reset, meter),
                Some(None) => return reading.closed(meter),
            };
            let Ok(data) = frame.into_data() else { continue };
            let data = match unpacked(&mut unpacker, data) {
                Ok(data) => data,
                Err(failure) => return failed(failure, meter),
            };
            let mut events = Vec::new();
            if let Err(error) = parser.push(&data, &mut |event| events.push(event)) {
                return failed(unread(error), meter);
            }
            // An event that is not whole yet is held here.
            if parser.held() > STEP {
                if self.room.take(&mut taken, parser.held()).is_err() {
                    return failed(Failure::TooLarge, meter);
                }
            } else {
                taken = TakenRoom::default();
            }
            let any = events.iter().any(|event| event.data.is_some());
            for event in events {
                match reading.take(&event, meter, outlet).await {
                    StreamStep::On => {}
                    StreamStep::Done => {
                        // Reading on to the end lets the connection be used again; the answer is
                        // whole and does not wait for that.
                        tokio::spawn(async move { timeout(TAIL_PATIENCE, body.frame()).await });
                        return reading.done(meter);
                    }
                    StreamStep::Failed(failure) => return failed(failure, meter),
                    StreamStep::Refused => {
                        let said = event.data.unwrap_or_default();
                        return target.refused_inside(said, meter, outlet);
                    }
                }
            }
            if any {
                // After they were passed on: the time a slow client takes is not the endpoint's.
                last = Instant::now();
                if reading.started && last.duration_since(told) >= TOLD_EVERY {
                    told = last;
                    outlet.goes_on(meter.usage().output);
                }
            }
        }
    }

    /// Asks a node whether it is well: `/health` beside the API, or the list of models. Every answer says
    /// that it is, but for one that tells of an error of the server's.
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
            // Whoever says that there is nothing here, or not for us, is there all the same.
            Ok(Ok(status)) if !status.is_server_error() => ProbeResult::Healthy,
            Ok(Ok(status)) => ProbeResult::Failed(Failure::of_status(status.as_u16())),
            Ok(Err(failure)) => ProbeResult::Failed(failure),
            Err(_) => ProbeResult::Failed(Failure::Stalled),
        }
    }

    async fn status(&self, target: &ResolvedEndpoint, uri: Uri) -> Result<StatusCode, Failure> {
        let request = || {
            let mut request = Request::new(Full::new(Bytes::new()));
            *request.uri_mut() = uri.clone();
            target.identify(request.headers_mut());
            request
        };
        self.connections(target).send(request).await.map(|response| response.status())
    }

    fn connections(&self, target: &ResolvedEndpoint) -> &UpstreamConnections {
        &self.connections[target.connections]
    }
}

/// The header that names the session of a tool server.
pub(super) const MCP_SESSION: &str = "mcp-session-id";

/// Returns whether a plain call got no answer of its own, but word that there is none.
fn is_turned_away(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn is_error(body: &[u8]) -> bool {
    matches!(whole(Protocol::Json, body), WholeAnswer::Error)
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

/// How fast a stream has to come, once it has begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamPace {
    /// The next token comes within this time.
    pub inter_token: Option<Duration>,
    /// In so long come so many tokens at least.
    pub floor: Option<(Duration, u64)>,
}

/// Watches whether a stream brings enough. Only the time that the endpoint takes counts: a client that reads
/// slowly holds its endpoint back.
#[derive(Debug)]
struct FloorWatch {
    floor: Option<(Duration, u64)>,
    waited: Duration,
    before: u64,
}

impl FloorWatch {
    const fn new(floor: Option<(Duration, u64)>) -> FloorWatch {
        FloorWatch { floor, waited: Duration::ZERO, before: 0 }
    }

    /// The endpoint took so long for its next bytes; so many tokens had come before. Returns whether they
    /// were too few.
    fn is_broken(&mut self, took: Duration, tokens: u64) -> bool {
        let Some((over, least)) = self.floor else { return false };
        self.waited += took;
        if self.waited < over {
            return false;
        }
        let came = tokens.saturating_sub(self.before);
        (self.waited, self.before) = (Duration::ZERO, tokens);
        came < least
    }
}

/// A client shared by the tasks of many attempts.
pub type SharedClient = Arc<UpstreamClient>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Tokens;

    #[test]
    fn a_stream_below_its_floor_is_found_however_its_time_is_cut_up() {
        let second = Duration::from_secs(1);
        for parts in [1, 4, 100] {
            let mut floor = FloorWatch::new(Some((second, 10)));
            let looks: Vec<bool> = (1..=3 * parts)
                .map(|look| {
                    // Twelve in the first second, nine in the second, ten in the third.
                    let tokens = [0, 12, 21, 31][look / parts];
                    floor.is_broken(second / parts as u32, tokens)
                })
                .collect();
            let broken: Vec<usize> = (1..=3 * parts).filter(|look| looks[look - 1]).collect();
            assert_eq!(broken, [2 * parts], "{parts}");
        }
        assert!(!FloorWatch::new(None).is_broken(second * 1_000, 0));
    }

    #[test]
    fn endpoints_that_cannot_be_used_are_refused_and_keys_stay_hidden() {
        let client = |url: &str, key: Option<&str>| {
            let key = key.map(|key| ApiKey::new(key.to_owned()));
            let dialect = Dialect::Openai;
            UpstreamClient::new(
                &[Endpoint {
                    url: url.to_owned(),
                    key,
                    dialect,
                    prefill: PrefillKind::default(),
                    ca_file: None,
                }],
                None,
                StreamPace::default(),
            )
        };
        let good = client("https://api.example.com/v1", Some("sk-secret")).expect("it is good");
        assert!(!format!("{good:?}").contains("sk-secret"));
        for bad in
            ["", "ftp://x/v1", "nonsense", "http:///v1", "http://u:p@h/v1", "http://h/v1?k=1"]
        {
            assert!(client(bad, None).is_err(), "{bad}");
        }
        for bad in ["169.254.169.254", "0.0.0.0", "[::]", "[fe80::1]", "[::ffff:169.254.169.254]"] {
            assert!(client(&format!("http://{bad}/v1"), None).is_err(), "{bad}");
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
        let client = UpstreamClient::new(
            &[Endpoint {
                url,
                key: None,
                dialect: Dialect::Openai,
                prefill: PrefillKind::default(),
                ca_file: None,
            }],
            None,
            StreamPace::default(),
        )
        .expect("it is good");
        for round in 0..40 {
            let meter = Meter::new(Tokens(1));
            let (body, figures) = (Bytes::from_static(b"{}"), Vec::new());
            let sending = Sending { body, streams: true, figures, ..Sending::default() };
            let outcome = client.attempt(0, sending, &meter, &mut Nobody).await;
            assert!(matches!(outcome, Outcome::Done(_)), "round {round}: {outcome:?}");
        }
    }
}
