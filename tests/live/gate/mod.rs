//! A gateway between a client and endpoints that follow a script, over real sockets. When it closes,
//! its journal must replay, and every request and attempt must have ended once.

#![expect(unreachable_pub, reason = "what a module offers to the others stands out")]

use std::io::BufReader;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::balance::{Balancer, End, Event, Fate, Input, Priority, Request, Usage};
use plimsoll::journal::{Header, Writer};
use plimsoll::live::driver::Observer;
use plimsoll::live::gateway::{self, ClassOption, GatewayParts, KeepAlive};
use plimsoll::live::hints::RequestHints;
use plimsoll::live::http::{HttpLimits, Shutdown};
use plimsoll::live::upstream::{
    ApiKey, Dialect, Endpoint, PrefillKind, StreamPace, UpstreamClient,
};
use plimsoll::scenario::Scenario;
use plimsoll::unit::Time;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Long enough for anything that is going to happen.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// The key of every endpoint, and the client's own.
pub const KEY: &str = "sk-upstream-secret";
pub const CLIENT_KEY: &str = "sk-client-secret";

pub const SETTINGS: &str = r#"
retry = { attempts = 3, backoff = { base = "1ms", cap = "5ms" }, budget = 1.0 }
timeouts = { connect = "1s", first_token = "600ms", inter_token = "400ms", total = "6s" }
"#;

// ----- an endpoint that follows a script -----

/// What a scripted endpoint does, step by step, once it has read a request.
#[derive(Clone, Debug)]
pub enum Do {
    Say(Vec<u8>),
    Wait(u64),
    /// The same bytes again and again, until the other side has had enough.
    Flood(Vec<u8>),
    /// Nothing until the other side goes away.
    Hang,
    Reset,
}

pub fn say(text: impl Into<Vec<u8>>) -> Do {
    Do::Say(text.into())
}

#[derive(Debug, Default)]
pub struct Log {
    pub seen: Mutex<Vec<String>>,
    /// When a hanging connection was left.
    pub left: Mutex<Vec<Instant>>,
    pub written: AtomicU64,
}

pub struct Upstream {
    pub address: SocketAddr,
    pub log: Arc<Log>,
    pub task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub async fn start(script: Vec<Do>) -> Upstream {
        Upstream::turns(vec![script]).await
    }

    /// An endpoint that follows the first script for the first request, and so on; the last one for all
    /// that come after.
    pub async fn turns(scripts: Vec<Vec<Do>>) -> Upstream {
        let last = scripts.len() - 1;
        Upstream::by(move |turn, _| scripts[turn.min(last)].clone()).await
    }

    /// An endpoint that makes up its mind by the turn of a request and what it says.
    pub async fn by(answers: impl Fn(usize, &str) -> Vec<Do> + Send + Sync + 'static) -> Upstream {
        let answers = Arc::new(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let turns = Arc::new(AtomicU64::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, turns) = (Arc::clone(&answers), Arc::clone(&turns));
                let script = move |said: &str| {
                    let turn = turns.fetch_add(1, Ordering::Relaxed) as usize;
                    answers(turn, said)
                };
                tokio::spawn(follow(stream, script, Arc::clone(&shared)));
            }
        });
        Upstream { address, log, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn seen(&self) -> Vec<String> {
        self.log.seen.lock().expect("no panic").clone()
    }

    pub fn body(&self) -> Value {
        self.body_of(0)
    }

    /// The body of a request, by its turn.
    pub fn body_of(&self, turn: usize) -> Value {
        let seen = self.seen();
        let (_, body) = seen[turn].split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).expect("JSON")
    }
}

pub async fn follow(mut stream: TcpStream, script: impl FnOnce(&str) -> Vec<Do>, log: Arc<Log>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let script = script(&request);
    log.seen.lock().expect("no panic").push(request);
    for step in script {
        match step {
            Do::Say(bytes) if stream.write_all(&bytes).await.is_err() => return,
            Do::Say(_) => {}
            Do::Wait(millis) => sleep(Duration::from_millis(millis)).await,
            Do::Flood(bytes) => {
                // A full buffer takes part of an event: the rest of it comes next.
                let mut at = 0;
                while let Ok(count) = stream.write(&bytes[at..]).await {
                    log.written.fetch_add(count as u64, Ordering::Relaxed);
                    at = (at + count) % bytes.len();
                }
            }
            Do::Hang => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                log.left.lock().expect("no panic").push(Instant::now());
            }
            Do::Reset => {
                // What was said should arrive before the reset does.
                sleep(Duration::from_millis(20)).await;
                stream.set_zero_linger().expect("a socket");
                return;
            }
        }
    }
}

pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut raw = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        raw.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&raw);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length:")
                .map(|length| length.trim().parse().expect("a length"))
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}

pub const SSE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
pub const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
pub const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"system_fingerprint\":\"fp\"}\n\n";
pub const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
pub const DONE: &str = "data: [DONE]\n\n";

pub fn word(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

/// A whole stream.
pub fn stream_of(text: &str) -> Vec<Do> {
    vec![say([SSE, ROLE, &word(text), FINISH, USAGE, DONE].concat())]
}

pub fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    )
}

pub fn whole(usage: &str) -> String {
    format!(
        "{{\"id\":\"x\",\"choices\":[{{\"message\":{{\"content\":\"hi\"}},\"finish_reason\":\"stop\"}}]{usage}}}"
    )
}

// ----- the gateway -----

/// Keeps the journal, the ends and the fates.
pub struct Recorder {
    pub journal: Writer<Vec<u8>>,
    pub ends: Vec<End>,
    pub fates: Vec<Fate>,
    pub arrived: usize,
    pub dispatched: usize,
    pub under_way: Arc<AtomicU64>,
    pub asked: Asked,
    pub used: Used,
}

/// What attempts have used.
pub type Used = Arc<Mutex<Vec<Usage>>>;

/// Requests as the balancer heard of them.
pub type Asked = Arc<Mutex<Vec<Request>>>;

impl Observer for Recorder {
    fn record(&mut self, now: Time, input: &Input) {
        if let Input::Arrive(request) = input {
            self.asked.lock().expect("no panic").push(request.clone());
        }
        self.journal.input(now, input).expect("memory");
    }

    fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::Arrived { .. } => self.arrived += 1,
            Event::Settled(settled) => self.fates.push(settled.fate),
            Event::Dispatched { .. } => self.dispatched += 1,
            Event::Ended { end, usage, .. } => {
                self.ends.push(*end);
                self.used.lock().expect("no panic").push(*usage);
            }
            _ => {}
        }
        self.under_way.store((self.arrived - self.fates.len()) as u64, Ordering::Relaxed);
        self.journal.event(now, event);
    }

    fn tick(&mut self, _now: Time, balancer: &Balancer) {
        plimsoll::balance::check(balancer).expect("every invariant holds");
    }
}

pub struct Gate {
    pub address: SocketAddr,
    pub stop: watch::Sender<Shutdown>,
    pub under_way: Arc<AtomicU64>,
    pub asked: Asked,
    pub used: Used,
    pub task: JoinHandle<Recorder>,
}

pub fn text(nodes: usize, node: &str, settings: &str) -> String {
    let nodes: String = (0..nodes)
        .map(|index| {
            format!("[[pool.node]]\nname = \"n{index}\"\nmodel = \"real-model\"\n{node}\nbackend = {{ api = {{ ttft = {{ constant = \"1ms\" }}, tokens_per_second = {{ constant = 400 }} }} }}\n")
        })
        .collect();
    // What stands after `[[pool]]` is of the pool.
    let (settings, pool) = settings.split_once("[[pool]]").unwrap_or((settings, ""));
    format!(
        "duration = \"1h\"\n[balancer]\n{settings}\n[[pool]]\nname = \"p\"\nstrategy = \
         \"round_robin\"\n{pool}\n{nodes}[[class]]\nname = \"c\"\noutput_tokens = {{ constant = 9 }}\n\
         [workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n"
    )
}

impl Gate {
    pub async fn over(urls: &[String]) -> Gate {
        Gate::with(urls, "", SETTINGS, HttpLimits::default()).await
    }

    pub async fn with(urls: &[String], node: &str, settings: &str, limits: HttpLimits) -> Gate {
        Gate::of(&text(urls.len(), node, settings), urls, limits).await
    }

    /// A gateway of a whole scenario, whose nodes are at these addresses in file order.
    pub async fn of(text: &str, urls: &[String], limits: HttpLimits) -> Gate {
        let scenario = Scenario::parse("test", "test.toml", text, &[]).expect("a scenario");
        let scenario = scenario.with_models_by_name().expect("few routes");
        let endpoints: Vec<Endpoint> = urls
            .iter()
            .zip(&scenario.live)
            .map(|(url, live)| {
                let dialect = Dialect::named(live.dialect.as_deref().unwrap_or_default());
                let url = dialect.address(url, "real-model");
                let prefill = PrefillKind::named(live.dialect.as_deref(), &url);
                let key = Some(ApiKey::new(KEY.to_owned()));
                Endpoint { url, key, dialect, prefill, ca_file: live.ca_file.clone() }
            })
            .collect();
        let wall = |span: plimsoll::unit::Span| Duration::from_nanos(span.0);
        let floor = scenario.floor.map(|floor| (wall(floor.over), floor.tokens.0));
        let pace = StreamPace { inter_token: scenario.inter_token.map(wall), floor };
        let client =
            UpstreamClient::new(&endpoints, Some(Duration::from_secs(1)), pace).expect("good");
        let class = |name: &str| ClassOption {
            name: name.to_owned(),
            priority: Priority::default(),
            deadline: None,
            model: None,
        };
        let model =
            |node: &plimsoll::balance::NodeSpec| scenario.models[node.model.index()].clone();
        let models = scenario.balancer.nodes.iter().map(model).collect();
        let plain = scenario.plain_pools();
        let header = Header::new("test", scenario.balancer.clone());
        let parts = GatewayParts {
            config: scenario.balancer,
            client: Arc::new(client.holding(limits.answers_max)),
            models,
            classes: scenario.classes.iter().map(|one| class(&one.name)).collect(),
            plain,
            keep_alive: KeepAlive {
                every: scenario.gateway.keep_alive.map(wall),
                begin_after: scenario.gateway.begin_after.map(wall),
            },
            cors_origins: scenario.gateway.cors_origins,
            hints: RequestHints { regions: scenario.regions, attributes: scenario.attributes },
            limits,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = watch::channel(Shutdown::No);
        let under_way = Arc::new(AtomicU64::new(0));
        let mut recorder = Recorder {
            journal: Writer::new(Vec::new(), &header).expect("memory"),
            ends: Vec::new(),
            fates: Vec::new(),
            arrived: 0,
            dispatched: 0,
            under_way: Arc::clone(&under_way),
            asked: Asked::default(),
            used: Used::default(),
        };
        let used = Arc::clone(&recorder.used);
        let asked = Arc::clone(&recorder.asked);
        let task = tokio::spawn(async move {
            gateway::serve(parts, listener, &mut recorder, stopped).await;
            recorder
        });
        Gate { address, stop, under_way, asked, used, task }
    }

    /// Stops the gateway; what must hold of every run is asserted here.
    pub async fn close(self) -> (Vec<End>, Vec<Fate>) {
        self.stop.send_replace(Shutdown::Gently);
        let recorder = timeout(PATIENCE, self.task).await.expect("it stops").expect("no panic");
        assert_eq!(recorder.arrived, recorder.fates.len(), "one fate a request");
        assert_eq!(recorder.dispatched, recorder.ends.len(), "one end an attempt");
        let journal = recorder.journal.finish().expect("memory");
        let shown = String::from_utf8_lossy(&journal);
        assert!(!shown.contains(KEY) && !shown.contains(CLIENT_KEY), "no key in the journal");
        let verified =
            plimsoll::journal::replay(BufReader::new(journal.as_slice()), &mut |_, _| {});
        verified.unwrap_or_else(|error| panic!("the journal replays: {error}"));
        (recorder.ends, recorder.fates)
    }

    pub async fn ask(&self, body: &Value) -> Reply {
        exchange(self.address, &post(&body.to_string())).await
    }

    /// Waits until no request is under way.
    pub async fn empty(&self) {
        let empty = async {
            while self.under_way.load(Ordering::Relaxed) > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, empty).await.expect("every request is settled");
    }
}

// ----- a client -----

pub fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
         connection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

pub fn chat(stream: bool) -> Value {
    json!({"model": "c", "messages": [{"role": "user", "content": "12345678"}], "stream": stream})
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// Whether the body ended as HTTP says.
    pub whole: bool,
}

impl Reply {
    pub fn read(raw: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(raw);
        assert!(!text.contains(KEY), "no key leaves: {text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("a head: {text}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let head = head.to_lowercase();
        let (body, whole) = if head.contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            (body.to_owned(), true)
        };
        Reply { status, head, body, whole }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of a stream that must be whole.
    pub fn text(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.whole && self.body.ends_with(DONE), "{self:?}");
        words(&self.body)
    }

    /// The text of a stream that must say it is cut, in every way there is.
    pub fn cut(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(!self.whole && !self.body.contains("[DONE]"), "no clean end: {self:?}");
        let last = self.body.trim_end().rsplit("\n\n").next().expect("an event");
        let error: Value = serde_json::from_str(last.strip_prefix("data: ").expect("an event"))
            .unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(error["error"]["message"].is_string(), "{self:?}");
        words(&self.body)
    }
}

pub fn words(body: &str) -> String {
    body.split_terminator("\n\n")
        .filter_map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ")?).ok())
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

/// Takes the chunks apart; `false` if the last one is missing.
pub fn unchunk(mut text: &str) -> (String, bool) {
    let mut whole = String::new();
    loop {
        let Some((size, rest)) = text.split_once("\r\n") else { return (whole, false) };
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return (whole, true);
        }
        if rest.len() < size + 2 {
            return (whole, false);
        }
        whole.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
}

pub async fn exchange(to: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.write_all(request.as_ref()).await.expect("sent");
    let mut raw = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("an end in time");
    Reply::read(&raw)
}

pub async fn get(to: SocketAddr, path: &str) -> Reply {
    exchange(to, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

/// An endpoint that says the same event without end to a client that reads none of it, a second later.
pub async fn flood_unread(event: Vec<u8>) -> (Upstream, Gate, TcpStream) {
    let up = Upstream::start(vec![say([SSE, ROLE].concat()), Do::Flood(event)]).await;
    let limits = HttpLimits { write: Duration::from_secs(2), ..HttpLimits::default() };
    let gate = Gate::with(&[up.url()], "", "timeouts = { total = \"1h\" }", limits).await;
    let mut client = TcpStream::connect(gate.address).await.expect("a connection");
    client.write_all(post(&chat(true).to_string()).as_bytes()).await.expect("sent");
    sleep(Duration::from_millis(1_000)).await;
    (up, gate, client)
}
