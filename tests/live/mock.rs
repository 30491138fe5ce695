//! Mock servers over real sockets: answers, limits, faults, clients that go away or misbehave, and
//! the scenario with its addresses filled in. Nothing here asserts how long something took.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll::live::http::HttpLimits;
use plimsoll::live::mock::{Mock, MockParts, NodeName};
use plimsoll::live::wire::estimate_tokens;
use plimsoll::scenario::{self, BUILTIN, Scenario};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Long enough for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough to see that nothing happens.
const NOTHING: Duration = Duration::from_millis(200);

const QUICK: &str = "{ ttft = { constant = \"20ms\" }, tokens_per_second = { constant = 400 } }";
const LATE: &str = "{ ttft = { constant = \"1h\" }, tokens_per_second = { constant = 1 } }";
const LONG: &str = "{ ttft = { constant = \"1ms\" }, tokens_per_second = { constant = 20 } }";

/// A scenario of one node `a`.
fn text(node: &str, rest: &str) -> String {
    format!(
        "duration = \"1h\"\n[[pool]]\nname = \"p\"\nstrategy = \"random\"\n[[pool.node]]\n\
         name = \"a\"\n{node}\n[[class]]\nname = \"c\"\noutput_tokens = {{ constant = 9 }}\n\
         [workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n{rest}"
    )
}

fn api(spec: &str) -> String {
    text(&format!("model = \"m\"\nbackend = {{ api = {spec} }}"), "")
}

fn parts(text: &str) -> MockParts {
    let scenario = Scenario::parse("test", "test.toml", text, &[]).expect("a scenario");
    let model = |index: usize| scenario.models[index].clone();
    let nodes = scenario.balancer.nodes.iter();
    MockParts {
        seed: scenario.seed,
        names: nodes
            .map(|node| NodeName { node: node.name.clone(), model: model(node.model.index()) })
            .collect(),
        backends: scenario.backends,
        groups: scenario.groups,
        faults: scenario.faults,
        fault_rules: Vec::new(),
        output: scenario.classes[0].output,
        limits: MockParts::LIMITS,
    }
}

fn start(text: &str) -> Mock {
    Mock::start(parts(text), None).expect("free ports")
}

fn node(mock: &Mock) -> SocketAddr {
    mock.nodes()[0].1
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn read(raw: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(raw);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let head = head.to_lowercase();
        let body = if head.contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            body.to_owned()
        };
        Reply { status, head, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The events of a stream; the last must be `[DONE]`.
    fn events(&self) -> Vec<Value> {
        let mut events: Vec<&str> = self
            .body
            .split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").expect("an event"))
            .collect();
        assert_eq!(events.pop(), Some("[DONE]"));
        events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
    }
}

/// Takes the chunks apart; panics if the last one is missing.
fn unchunk(mut text: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").expect("a chunk");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
}

async fn open(to: SocketAddr) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(to)).await.expect("in time").expect("a connection")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// Sends bytes and reads until the server closes; `connection: close` is up to the caller.
async fn exchange(to: SocketAddr, request: &str) -> Reply {
    let mut stream = open(to).await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("an end in time");
    Reply::read(&raw)
}

async fn call(to: SocketAddr, path: &str, body: &Value) -> Reply {
    exchange(to, &post(path, "connection: close\r\n", &body.to_string())).await
}

async fn fetch(to: SocketAddr, path: &str) -> Reply {
    exchange(to, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

fn chat(stream: bool) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "12345678"}], "stream": stream})
}

const CHAT: &str = "/v1/chat/completions";

/// The counts of node `index`.
async fn counts(mock: &Mock, index: usize) -> Value {
    let stats = fetch(mock.admin(), "/admin/stats").await.json();
    let node = &stats["nodes"][index];
    let count = |key: &str| node[key].as_u64().expect("a count");
    let ended = count("finished") + count("refused") + count("reset") + count("aborted");
    assert_eq!(count("started"), ended + count("in_flight"), "conservation: {node}");
    node.clone()
}

/// Waits until a count is so.
async fn until(mock: &Mock, key: &str, wanted: u64) {
    let reached = async {
        while counts(mock, 0).await[key] != wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{key} never was {wanted}"));
}

#[tokio::test]
async fn a_stream_is_well_formed_and_counts_right() {
    let mock = start(&api(QUICK));
    let mut body = chat(true);
    body["stream_options"] = json!({"include_usage": true});
    body["max_tokens"] = json!(41);
    let reply = call(node(&mock), CHAT, &body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(reply.header("x-plimsoll-node"), Some("a"));
    let events = reply.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let words = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
    let content: String = words.collect();
    assert_eq!(estimate_tokens(&content), 41, "{content}");
    assert!(events.len() > 5, "it streams: {}", events.len());
    let [.., finish, usage] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(finish["choices"][0]["finish_reason"], "length");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 41);
    let id = &events[0]["id"];
    assert!(events.iter().all(|event| event["id"] == *id && event["model"] == "m"));
    assert_eq!(counts(&mock, 0).await["finished"], 1);
    mock.stop().await;
}

#[tokio::test]
async fn a_whole_answer_says_what_the_stream_would() {
    let mock = start(&api(QUICK));
    let answer = call(node(&mock), CHAT, &chat(false)).await.json();
    // Nothing was said of the length: the law of the first class, always nine.
    assert_eq!(answer["usage"]["completion_tokens"], 9);
    assert_eq!(
        answer["usage"]["total_tokens"].as_u64(),
        answer["usage"]["prompt_tokens"].as_u64().map(|prompt| prompt + 9)
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let content = answer["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!(estimate_tokens(content), 9);
    // No usage unless asked for.
    let stream = call(node(&mock), CHAT, &chat(true)).await;
    assert!(!stream.body.contains("usage"), "{}", stream.body);
    let models = fetch(node(&mock), "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], "m");
    assert_eq!(fetch(node(&mock), "/health").await.status, 200);
}

#[tokio::test]
async fn headers_say_exactly_what_a_request_is() {
    let mock = start(&api(QUICK));
    let headers = "connection: close\r\nx-plimsoll-input-tokens: 1234\r\n\
                   x-plimsoll-output-tokens: 17\r\nx-plimsoll-key: 18446744073709551615\r\n\
                   x-plimsoll-ordinal: 2\r\n";
    let answer = exchange(node(&mock), &post(CHAT, headers, &chat(false).to_string())).await;
    let usage = &answer.json()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(1234), &json!(17)));
    for wrong in ["x-plimsoll-key: -1", "x-plimsoll-ordinal: 256", "x-plimsoll-output-tokens: x"] {
        let headers = format!("connection: close\r\n{wrong}\r\n");
        let reply = exchange(node(&mock), &post(CHAT, &headers, &chat(false).to_string())).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn limits_answer_429_and_say_when_to_come_back() {
    let limits = "limits = { requests_per_minute = 2, tokens_per_minute = 1_000_000 }";
    let mock = start(&text(&format!("{limits}\nbackend = {{ api = {QUICK} }}"), ""));
    let first = call(node(&mock), CHAT, &chat(false)).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert!(first.header("x-ratelimit-reset-requests").is_some());
    assert_eq!(first.header("x-ratelimit-limit-tokens"), Some("1000000"));
    assert_eq!(call(node(&mock), CHAT, &chat(true)).await.status, 200);
    let third = call(node(&mock), CHAT, &chat(true)).await;
    assert_eq!(third.status, 429);
    let seconds: u64 = third.header("retry-after").expect("it says").parse().expect("whole");
    let millis: u64 = third.header("retry-after-ms").expect("it says").parse().expect("whole");
    assert_eq!(seconds, millis.div_ceil(1_000));
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(third.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(counts(&mock, 0).await["refused"], 1);
}

#[tokio::test]
async fn slots_queue_and_answer_whole_and_a_full_queue_is_503() {
    let slots =
        "backend = { slots = { servers = 1, queue = 1, service = { constant = \"20ms\" } } }";
    let mock = start(&text(slots, ""));
    let to = node(&mock);
    // Nothing moves on until the queue was seen to be full.
    call(mock.admin(), "/admin/fault", &json!({"node": "a", "hang": {}})).await;
    let (one, two) = (tokio::spawn(async move { call(to, CHAT, &chat(true)).await }), async {
        until(&mock, "in_flight", 1).await;
        let waiting = tokio::spawn(async move { call(to, CHAT, &chat(false)).await });
        until(&mock, "in_flight", 2).await;
        let third = call(to, CHAT, &chat(false)).await;
        assert_eq!((third.status, &third.json()["error"]["code"]), (503, &json!("overloaded")));
        call(mock.admin(), "/admin/heal", &json!({})).await;
        waiting.await.expect("no panic")
    });
    let two = two.await;
    let one = one.await.expect("no panic");
    assert_eq!((one.status, two.status), (200, 200));
    // Role, all words at once, the reason.
    assert_eq!(one.events().len(), 3);
    until(&mock, "finished", 2).await;
}

#[tokio::test]
async fn a_crash_resets_what_there_is_and_refuses_what_comes() {
    let mock = start(&api(LONG));
    let mut body = chat(true);
    body["max_tokens"] = json!(1_000);
    let mut stream = open(node(&mock)).await;
    stream.write_all(post(CHAT, "", &body.to_string()).as_bytes()).await.expect("sent");
    let mut some = [0; 64];
    timeout(PATIENCE, stream.read_exact(&mut some)).await.expect("in time").expect("it streams");
    let mut idle = open(node(&mock)).await;
    let crashed = call(mock.admin(), "/admin/fault", &json!({"node": "a", "crash": {}})).await;
    assert_eq!(crashed.status, 200);
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("in time");
    assert_eq!(end.expect_err("no clean end").kind(), std::io::ErrorKind::ConnectionReset);
    assert!(timeout(PATIENCE, idle.read(&mut some)).await.expect("in time").is_err());
    assert_eq!(counts(&mock, 0).await["reset"], 1);
    let refused = async {
        // The listener is closed a moment after the fault.
        while let Ok(stream) = TcpStream::connect(node(&mock)).await {
            drop(stream);
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("connects are refused");
    assert_eq!(call(mock.admin(), "/admin/heal", &json!({})).await.status, 200);
    let back = async {
        while TcpStream::connect(node(&mock)).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("it comes back on the same port");
    assert_eq!(fetch(node(&mock), "/health").await.status, 200);
}

#[tokio::test]
async fn a_hanging_node_holds_everything_until_it_is_healed() {
    let mock = start(&api(QUICK));
    let hang = json!({"node": "a", "hang": {"for": "1h"}});
    assert_eq!(call(mock.admin(), "/admin/fault", &hang).await.status, 200);
    let to = node(&mock);
    let request = tokio::spawn(async move { call(to, CHAT, &chat(true)).await });
    let mut probe = open(to).await;
    probe.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    until(&mock, "in_flight", 1).await;
    assert!(timeout(NOTHING, probe.read(&mut [0; 16])).await.is_err(), "no answer to a probe");
    assert!(!request.is_finished());
    assert_eq!(call(mock.admin(), "/admin/heal", &json!({"node": "a"})).await.status, 200);
    let reply = timeout(PATIENCE, request).await.expect("in time").expect("no panic");
    assert_eq!((reply.status, reply.events().len() > 2), (200, true));
}

#[tokio::test]
async fn a_stream_stalls_in_the_middle_when_its_node_hangs() {
    let mock = start(&api(LONG));
    let mut body = chat(true);
    body["max_tokens"] = json!(1_000);
    let mut stream = open(node(&mock)).await;
    stream.write_all(post(CHAT, "", &body.to_string()).as_bytes()).await.expect("sent");
    let mut buffer = [0; 4_096];
    let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time");
    assert!(read.expect("it streams") > 0);
    call(mock.admin(), "/admin/fault", &json!({"node": "a", "hang": {}})).await;
    // What was on its way comes, then nothing.
    let silent = async {
        while timeout(NOTHING, stream.read(&mut buffer)).await.is_ok_and(|read| read.is_ok()) {}
    };
    timeout(PATIENCE, silent).await.expect("the stream stands still");
    call(mock.admin(), "/admin/heal", &json!({})).await;
    let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("it goes on");
    assert!(read.expect("words") > 0);
}

#[tokio::test]
async fn errors_come_as_the_fault_says() {
    let mock = start(&api(QUICK));
    for (errors, status) in [
        (json!({}), 500),
        (json!({"status": 503}), 503),
        (json!({"status": 429, "retry_after": "1500ms"}), 429),
    ] {
        let fault = json!({"node": "a", "errors": errors});
        assert_eq!(call(mock.admin(), "/admin/fault", &fault).await.status, 200);
        let reply = call(node(&mock), CHAT, &chat(true)).await;
        assert_eq!(reply.status, status);
        assert!(reply.json()["error"]["message"].is_string());
        let wait = (reply.header("retry-after"), reply.header("retry-after-ms"));
        assert_eq!(wait, if status == 429 { (Some("2"), Some("1500")) } else { (None, None) });
        // Probes do not see such faults.
        assert_eq!(fetch(node(&mock), "/health").await.status, 200);
        call(mock.admin(), "/admin/heal", &json!({})).await;
    }
    for wrong in [
        json!({"node": "b", "crash": {}}),
        json!({"node": "a"}),
        json!({"node": "a", "crash": {}, "hang": {}}),
        json!({"node": "a", "crash": {"for": "-1s"}}),
        json!({"node": "a", "slow": {"factor": 0}}),
        json!({"node": "a", "errors": {"share": 2}}),
        json!({"node": "a", "errors": {"status": 418}}),
    ] {
        assert_eq!(call(mock.admin(), "/admin/fault", &wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn of_faults_that_overlap_the_one_in_front_answers() {
    let mock = start(&api(QUICK));
    for fault in [json!({"errors": {"status": 401}}), json!({"cold_start": {}})] {
        let mut fault = fault;
        fault["node"] = json!("a");
        assert_eq!(call(mock.admin(), "/admin/fault", &fault).await.status, 200);
    }
    // A process that loads knows no keys yet; so it is in the simulator.
    assert_eq!(call(node(&mock), CHAT, &chat(true)).await.status, 503);
}

#[tokio::test]
async fn the_admin_address_lists_what_there_is_to_call() {
    let mock = start(&api(QUICK));
    for path in ["/", "/admin", "/admin/"] {
        let index = fetch(mock.admin(), path).await;
        assert_eq!(index.status, 200, "{path}");
        let index = index.json();
        assert_eq!(index["nodes"], json!(["a"]));
        let calls = index["calls"].as_array().expect("a list");
        assert_eq!(calls.len(), 4);
        for one in calls {
            let text = |key: &str| one[key].as_str().expect("a text");
            let status = match text("method") {
                "GET" => fetch(mock.admin(), text("path")).await.status,
                _ => call(mock.admin(), text("path"), &json!({})).await.status,
            };
            assert_ne!(status, 404, "{one}");
        }
    }
    assert_eq!(fetch(mock.admin(), "/admin/nothing").await.status, 404);
    assert_eq!(fetch(mock.admin(), "/admin/start").await.status, 405);
}

#[tokio::test]
async fn the_schedule_begins_again_when_it_is_started_anew() {
    let fault = "[[fault]]\nat = \"0s\"\nerrors = { node = \"a\", for = \"1h\" }\n";
    let mock = start(&text(&format!("backend = {{ api = {QUICK} }}"), fault));
    assert_eq!(call(node(&mock), CHAT, &chat(false)).await.status, 500);
    call(mock.admin(), "/admin/heal", &json!({})).await;
    assert_eq!(call(node(&mock), CHAT, &chat(false)).await.status, 200);
    assert_eq!(counts(&mock, 0).await["started"], 2);
    // A node's own port takes admin calls too: whoever has the scenario knows no other.
    assert_eq!(call(node(&mock), "/admin/start", &json!({})).await.status, 200);
    assert_eq!(counts(&mock, 0).await["started"], 0);
    assert_eq!(call(node(&mock), CHAT, &chat(false)).await.status, 500);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_node_in_every_phase() {
    let slots = "backend = { slots = { servers = 1, service = { constant = \"1h\" } } }";
    for (scenario, stream, read_first, clients) in [
        (api(LATE), true, false, 1),
        (api(LATE), false, false, 1),
        (api(LONG), true, true, 1),
        (api(LONG), false, false, 1),
        // One is served, one waits.
        (text(slots, ""), true, false, 2),
    ] {
        let mock = start(&scenario);
        let mut body = chat(stream);
        body["max_tokens"] = json!(10_000);
        let mut open_streams = Vec::new();
        for _ in 0..clients {
            let mut client = open(node(&mock)).await;
            client.write_all(post(CHAT, "", &body.to_string()).as_bytes()).await.expect("sent");
            if read_first {
                let mut some = [0; 64];
                let read = timeout(PATIENCE, client.read_exact(&mut some)).await.expect("in time");
                read.expect("it streams");
            }
            open_streams.push(client);
        }
        until(&mock, "in_flight", clients).await;
        drop(open_streams);
        until(&mock, "in_flight", 0).await;
        assert_eq!(counts(&mock, 0).await["aborted"], clients);
    }
}

#[tokio::test]
async fn bad_requests_get_their_status_and_cost_nothing() {
    let mock = start(&api(QUICK));
    let to = node(&mock);
    let many = "a: b\r\n".repeat(70);
    let long = format!("a: {}\r\n", "b".repeat(60_000));
    let get =
        |headers: &str| format!("GET /v1/models HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    for (request, status) in [
        (post(CHAT, "connection: close\r\n", "{"), 400),
        (post(CHAT, "connection: close\r\n", "{\"model\":1}"), 400),
        (post(CHAT, "connection: close\r\n", &format!("{{\"model\":{}", "[".repeat(9_999))), 400),
        (
            post(
                CHAT,
                "connection: close\r\n",
                &json!({"model": "m", "messages": [], "max_tokens": 1_u64 << 40}).to_string(),
            ),
            400,
        ),
        (get(""), 400),
        (get("host: x\r\nhost: y\r\n"), 400),
        (get("host: x\r\nnot a header\r\n"), 400),
        (get(&format!("host: x\r\n{many}")), 431),
        (get(&format!("host: x\r\n{long}")), 431),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(), 404),
        (
            "GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
            405,
        ),
        (format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n"), 413),
    ] {
        let reply = exchange(to, &request).await;
        assert_eq!(reply.status, status, "{}", &request[..request.len().min(80)]);
    }
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let huge = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(80)
    );
    assert_eq!(exchange(to, &huge).await.status, 413);
    assert_eq!(counts(&mock, 0).await["started"], 0);
    assert_eq!(call(to, CHAT, &chat(false)).await.status, 200, "it still works");
}

#[tokio::test]
async fn slow_and_silent_clients_are_shown_the_door() {
    let short = Duration::from_millis(300);
    let limits = HttpLimits { head: short, idle: short * 2, body: short, ..MockParts::LIMITS };
    let mock = Mock::start(MockParts { limits, ..parts(&api(QUICK)) }, None).expect("free ports");
    let to = node(&mock);
    // Nothing at all, half a head, and half a head after a whole request.
    let whole = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    for sent in ["", "GET /v1/mod", &format!("{whole}GET /")] {
        let mut stream = open(to).await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let mut raw = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut raw)).await;
        let _ = end.unwrap_or_else(|_| panic!("`{sent}` stays open"));
    }
    // A kept connection without a request.
    let mut stream = open(to).await;
    stream.write_all(whole.as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("it is closed");
    assert_eq!(Reply::read(&raw).status, 200);
    // Half a body.
    let half = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{{");
    assert_eq!(exchange(to, &half).await.status, 408);
}

#[tokio::test]
async fn half_a_head_that_came_with_a_whole_one_has_no_more_time_than_others() {
    let (head, idle) = (Duration::from_millis(300), Duration::from_secs(60));
    let limits = HttpLimits { head, idle, ..MockParts::LIMITS };
    let mock = Mock::start(MockParts { limits, ..parts(&api(QUICK)) }, None).expect("free ports");
    let whole = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    for (sent, answers) in [(format!("{whole}GET /"), 1), (format!("{whole}{whole}GET /"), 2)] {
        let mut stream = open(node(&mock)).await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let mut raw = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut raw)).await;
        let _ = end.unwrap_or_else(|_| panic!("`{sent}` stays open"));
        let text = String::from_utf8_lossy(&raw).into_owned();
        assert_eq!(text.matches("HTTP/1.1 200").count(), answers, "{text}");
    }
    // Who has said nothing since stays.
    let mut stream = open(node(&mock)).await;
    stream.write_all(whole.as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    assert!(timeout(head * 4, stream.read_to_end(&mut raw)).await.is_err(), "it is kept");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let limits = HttpLimits { connections_max: 2, ..MockParts::LIMITS };
    let mock = Mock::start(MockParts { limits, ..parts(&api(QUICK)) }, None).expect("free ports");
    let (one, _two) = (open(node(&mock)).await, open(node(&mock)).await);
    // The kernel accepts the third; the server does not until one of the others goes.
    let to = node(&mock);
    let third = tokio::spawn(async move { fetch(to, "/v1/models").await });
    sleep(NOTHING).await;
    assert!(!third.is_finished());
    drop(one);
    assert_eq!(timeout(PATIENCE, third).await.expect("in time").expect("no panic").status, 200);
}

#[test]
fn every_scenario_is_the_same_with_its_addresses_filled_in() {
    for (name, text) in BUILTIN {
        let plain = Scenario::parse(name, "plain.toml", text, &[]).expect("built in");
        let count = plain.balancer.nodes.len();
        let urls: Vec<String> = (0..count).map(|id| format!("http://127.0.0.1:{id}/v1")).collect();
        let filled = scenario::with_urls(text, &urls).expect("it can be filled in");
        let live = Scenario::parse(name, "live.toml", &filled, &[]);
        if plain.balancer.routes.iter().any(|route| route.cache.is_some()) {
            assert!(live.is_err(), "{name}: answers are kept in simulations only");
            continue;
        }
        let live = live.unwrap_or_else(|problems| panic!("{name}: {}", problems.draw(false)));
        let found: Vec<_> = live.live.iter().filter_map(|node| node.url.clone()).collect();
        assert_eq!(found, urls, "{name}");
        assert_eq!(format!("{:?}", live.balancer), format!("{:?}", plain.balancer), "{name}");
        assert_eq!((live.backends, live.classes), (plain.backends, plain.classes), "{name}");
        assert_eq!((live.faults, live.groups), (plain.faults, plain.groups), "{name}");
        assert_eq!(live.expectations.len(), plain.expectations.len(), "{name}");
        let comments = |text: &str| text.lines().filter(|line| line.contains('#')).count();
        assert_eq!(comments(&filled), comments(text), "{name}");
    }
}

#[tokio::test]
async fn the_program_says_where_its_nodes_are_and_ends_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("live.toml");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["mock", "failover", "--out"])
        .arg(&out)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let lines = tokio::task::spawn_blocking({
        let stdout = child.stdout.take().expect("a pipe");
        move || {
            let lines = std::io::BufRead::lines(std::io::BufReader::new(stdout)).take(5);
            lines.map(|line| line.expect("text")).collect::<Vec<_>>()
        }
    });
    let lines = timeout(PATIENCE, lines).await.expect("in time").expect("no panic");
    let (name, url) = lines[1].split_once("  ").expect("a name and an address");
    assert_eq!(name.trim(), "gpt-eu-2");
    let text = std::fs::read_to_string(&out).expect("it is there by now");
    assert!(text.contains(url.trim()), "{text}");
    let address = url.trim().trim_start_matches("http://").trim_end_matches("/v1");
    assert_eq!(fetch(address.parse().expect("an address"), "/health").await.status, 200);
    let id = child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
    let status = tokio::task::spawn_blocking(move || child.wait());
    let status = timeout(PATIENCE, status).await.expect("in time").expect("no panic");
    assert_eq!(status.expect("a status").code(), Some(143));
}
