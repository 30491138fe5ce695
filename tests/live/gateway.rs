//! The gateway over real sockets, between clients and endpoints that behave as badly as any do: what
//! leaves is whole or says that it is not, no failure goes unnamed, and nobody's work is kept for a
//! client that is gone. After each test the journal must replay and conserve requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::gate::{
    CLIENT_KEY, DONE, Do, FINISH, Gate, KEY, PATIENCE, ROLE, Reply, SETTINGS, SSE, Upstream, chat,
    exchange, flood_unread, get, http, post, say, stream_of, text, whole, word,
};
use plimsoll::balance::{End, Failure, Fate, Reject, TimeoutStage};
use plimsoll::live::http::{HttpLimits, Shutdown};
use plimsoll::live::mock::{Mock, MockParts, NodeName};
use plimsoll::live::upstream::BODY_MAX;
use plimsoll::live::wire::sse::EVENT_MAX;
use plimsoll::scenario::Scenario;
use plimsoll::unit::RegionId;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// A client that is gone is noticed far sooner; the bound is for busy machines.
const NOTICED: Duration = Duration::from_secs(1);

// ----- what passes through -----

#[tokio::test]
async fn a_stream_passes_whole_and_only_the_model_changes() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    // Names out of order and a number with more digits than a float has: both must survive.
    let body = "{\"model\":\"c\",\"stream\":true,\"stream_options\":null,\"messages\":[{\"role\":\"user\",\
                \"content\":\"hé\"}],\"big\":123456789012345678901234567890,\"schema\":{\"z\":1,\"a\":{\"y\":0.10}}}";
    let reply = exchange(gate.address, &post(body)).await;
    assert_eq!(reply.text(), "hello");
    assert!(!reply.body.contains("usage"), "nobody asked for usage: {reply:?}");
    assert!(reply.body.contains("system_fingerprint"), "unknown fields come back");
    assert!(reply.head.contains("x-plimsoll-request-id: 0"), "{reply:?}");
    assert!(reply.head.contains("content-type: text/event-stream"), "{reply:?}");
    let raw = up.seen().remove(0);
    assert!(raw.contains("{\"z\":1,\"a\":{\"y\":0.10}}"), "in the order it was written: {raw}");
    assert!(raw.contains("123456789012345678901234567890"), "{raw}");
    assert!(raw.contains(KEY) && !raw.contains(CLIENT_KEY), "our key, not the client's: {raw}");
    let sent = up.body();
    assert_eq!(sent["model"], "real-model");
    assert_eq!(sent["stream_options"]["include_usage"], true);
    let (ends, fates) = gate.close().await;
    assert_eq!((ends, fates), (vec![End::Done], vec![Fate::Completed]));
}

#[tokio::test]
async fn region_attributes_and_session_come_from_headers() {
    let up = Upstream::start(stream_of("hello")).await;
    let known = "[[class]]\nname = \"d\"\nattributes = { language = \"en\", risk = \"high\" }";
    let settings = format!("{SETTINGS}\n{known}");
    let gate = Gate::with(&[up.url()], "region = \"eu\"", &settings, HttpLimits::default()).await;
    let said = "x-plimsoll-region: eu\r\nx-plimsoll-attributes: risk=high, colour=red\r\n\
                x-plimsoll-session: a\r\nconnection: close";
    for headers in [said, "x-plimsoll-region: mars\r\nconnection: close"] {
        let request = post(&chat(true).to_string()).replacen("connection: close", headers, 1);
        assert_eq!(exchange(gate.address, &request).await.text(), "hello");
    }
    let mut body = chat(true);
    body["user"] = json!("a");
    assert_eq!(gate.ask(&body).await.text(), "hello");
    let raw = up.seen().remove(0);
    assert!(!raw.contains("x-plimsoll-region"), "the endpoint is not told: {raw}");
    let asked = gate.asked.lock().expect("no panic").clone();
    let [all, none, user] = asked.as_slice() else { panic!("three requests: {asked:?}") };
    assert_eq!((all.region, all.attributes), (Some(RegionId(0)), 0b10));
    assert_eq!((none.region, none.attributes, none.session), (None, 0, None));
    assert!(user.session.is_some() && user.session == all.session, "{user:?}");
    gate.close().await;
}

/// Two pools, of which the second one gets the harder half.
const BY_COMPLEXITY: &str = r#"
    duration = "1h"
    [[pool]]
    name = "weak"
    strategy = "round_robin"
    [[pool.node]]
    name = "w"
    model = "weak-model"
    backend = { api = { ttft = { constant = "1ms" }, tokens_per_second = { constant = 400 } } }
    [[pool]]
    name = "strong"
    strategy = "round_robin"
    [[pool.node]]
    name = "s"
    model = "strong-model"
    backend = { api = { ttft = { constant = "1ms" }, tokens_per_second = { constant = 400 } } }
    [[class]]
    name = "c"
    [[route]]
    name = "all"
    match = {}
    to = ["weak", "strong"]
    choose = { complexity = { strong_share = 0.5 } }
    [workload]
    arrivals = { poisson = { rate = 1 } }
"#;

#[tokio::test]
async fn the_task_decides_the_model_and_a_header_wins_over_it() {
    let (weak, strong) =
        (Upstream::start(stream_of("w")).await, Upstream::start(stream_of("s")).await);
    let urls = [weak.url(), strong.url()];
    let gate = Gate::of(BY_COMPLEXITY, &urls, HttpLimits::default()).await;
    let message = |content: Value| {
        let mut body = chat(true);
        body["messages"] = json!([{"role": "user", "content": content}]);
        body
    };
    let easy = message(json!("Hi, what is the capital of France?"));
    let hard = message(json!([
        {"type": "text", "text": "Prove that the root of 2 is irrational, and explain why it matters."},
        {"type": "text", "text": "1. Compare two proofs.\n2. Which is shorter?"}
    ]));
    let mut answers = Vec::new();
    for round in 0..12 {
        for (body, wanted) in [(&easy, "w"), (&hard, "s")] {
            let text = gate.ask(body).await.text();
            // The first requests have nothing to be compared with.
            if round >= 2 {
                assert_eq!(text, wanted, "round {round}");
            }
            answers.push(text);
        }
    }
    let request = post(&easy.to_string()).replacen(
        "connection: close",
        "x-plimsoll-complexity: 0.99\r\nconnection: close",
        1,
    );
    assert_eq!(exchange(gate.address, &request).await.text(), "s", "the client knows better");
    let asked = gate.asked.lock().expect("no panic").clone();
    let looks: Vec<Option<u32>> = asked.iter().map(|request| request.complexity).collect();
    assert!(looks[0] < looks[1] && looks[1] < Some(1_000), "{looks:?}");
    assert_eq!(looks.last(), Some(&Some(990)));
    gate.close().await;
}

#[tokio::test]
async fn whoever_names_a_model_reaches_a_node_of_it_wherever_some_pool_has_one() {
    let (weak, strong) =
        (Upstream::start(stream_of("w")).await, Upstream::start(stream_of("s")).await);
    // Each class has a pool of its own, so the class follows from the model.
    let text = BY_COMPLEXITY
        .replace("[[class]]\n    name = \"c\"", "[[class]]\nname = \"c\"\n[[class]]\nname = \"d\"")
        .replace(
            "match = {}\n    to = [\"weak\", \"strong\"]",
            "match = { class = \"d\" }\nto = \"strong\"",
        )
        .replace(
            "choose = { complexity = { strong_share = 0.5 } }",
            "[[route]]\nmatch = {}\nto = \"weak\"",
        );
    let gate = Gate::of(&text, &[weak.url(), strong.url()], HttpLimits::default()).await;
    let models = get(gate.address, "/v1/models").await.json();
    let names: Vec<&str> = models["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(names, ["auto", "c", "d", "weak-model", "strong-model"]);
    for (model, wanted) in [
        ("weak-model", "w"),
        ("strong-model", "s"),
        ("auto", "w"),
        ("d", "s"),
        ("strong-model", "s"),
    ] {
        let mut body = chat(true);
        body["model"] = json!(model);
        assert_eq!(gate.ask(&body).await.text(), wanted, "{model}");
    }
    assert_eq!(strong.body()["model"], "strong-model");
    let mut body = chat(true);
    body["model"] = json!("strong-model");
    // A class that is not led there is told so, and nobody else answers in its place.
    for (class, status, code) in [
        ("d", 200, Value::Null),
        ("c", 404, json!("model_not_found")),
        // Nor is one that nobody knows told of models.
        ("x", 404, json!("class_not_found")),
    ] {
        let header = format!("x-plimsoll-class: {class}\r\nconnection: close");
        let request = post(&body.to_string()).replacen("connection: close", &header, 1);
        let reply = exchange(gate.address, &request).await;
        assert_eq!(reply.status, status, "{class}");
        if status != 200 {
            assert_eq!(reply.json()["error"]["code"], code, "{class}");
        }
    }
    body["model"] = json!("gone");
    assert_eq!(gate.ask(&body).await.status, 404);
    let asked = gate.asked.lock().expect("no panic").clone();
    let classes: Vec<u16> = asked.iter().map(|request| request.class.0).collect();
    assert_eq!(classes, [0, 1, 0, 1, 1, 1]);
    gate.close().await;
}

#[tokio::test]
async fn where_no_route_goes_by_it_nobody_looks_how_hard_a_request_is() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    assert_eq!(gate.asked.lock().expect("no panic")[0].complexity, None);
    gate.close().await;
}

#[tokio::test]
async fn usage_reaches_who_asked_for_it_and_whole_answers_pass() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let mut asked = chat(true);
    asked["stream_options"] = json!({"include_usage": true, "x": 1});
    let reply = gate.ask(&asked).await;
    assert_eq!(reply.text(), "hello");
    assert!(reply.body.contains("\"completion_tokens\":2"), "{reply:?}");
    assert_eq!(up.body()["stream_options"], json!({"include_usage": true, "x": 1}));
    gate.close().await;

    let answer = whole(",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2},\"new\":[1]");
    let up = Upstream::start(vec![say(http("200 OK", "", &answer))]).await;
    let gate = Gate::over(&[up.url()]).await;
    let reply = gate.ask(&chat(false)).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, answer.as_str()));
    assert!(up.body().get("stream_options").is_none());
    let models = get(gate.address, "/v1/models").await.json();
    assert_eq!(models["data"][1]["id"], "c");
    let mut unknown = chat(false);
    unknown["model"] = json!("gone");
    let reply = gate.ask(&unknown).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].clone()),
        (404, json!("model_not_found"))
    );
    assert_eq!(get(gate.address, "/readyz").await.status, 200);
    gate.close().await;
}

// ----- cut streams -----

/// Each way a stream can be cut, as what follows the part before it.
fn cuts() -> Vec<(&'static str, Vec<Do>)> {
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"never";
    vec![
        ("ends without a marker", vec![]),
        ("reset inside an event", vec![say(half), Do::Reset]),
        ("clean end inside an event", vec![say(half)]),
        ("error event", vec![say("data: {\"error\":{\"message\":\"x\"}}\n\n"), Do::Hang]),
        (
            "named error event",
            vec![say("event: error\ndata: {\"type\":\"overloaded\"}\n\n"), Do::Hang],
        ),
        (
            "finish reason error",
            vec![
                say("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n"),
                say(DONE),
            ],
        ),
        ("malformed JSON", vec![say("data: {\"id\":\"c\",\"choi\n\n"), Do::Hang]),
        ("no text", vec![say(b"data: \xff\xfe\n\n".to_vec()), Do::Hang]),
        ("stalls", vec![Do::Hang]),
        ("only comments", (0..40).flat_map(|_| [say(": keep-alive\n\n"), Do::Wait(100)]).collect()),
        ("byte by byte", (0..40).flat_map(|_| [say("d"), Do::Wait(100)]).collect()),
    ]
}

fn after(part: &str, cut: &[Do]) -> Vec<Do> {
    // A pause, so that the first part is not read together with the cut.
    let mut script = vec![say([SSE, part].concat()), Do::Wait(50)];
    script.extend_from_slice(cut);
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_cut_before_its_first_content_fails_over_unseen() {
    let tasks = cuts().into_iter().map(|(what, cut)| {
        tokio::spawn(async move {
            let bad = Upstream::start(after(ROLE, &cut)).await;
            let good = Upstream::start(stream_of("hello")).await;
            let gate = Gate::over(&[bad.url(), good.url()]).await;
            for _ in 0..2 {
                assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "{what}");
            }
            assert!(!bad.seen().is_empty(), "{what}");
            let (ends, fates) = gate.close().await;
            assert!(ends.len() > 2 && ends.iter().any(|end| *end != End::Done), "{what}: {ends:?}");
            assert_eq!(fates, [Fate::Completed; 2], "{what}");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it holds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_cut_after_its_first_content_never_ends_cleanly() {
    let tasks = cuts().into_iter().map(|(what, cut)| {
        tokio::spawn(async move {
            let begun = [ROLE, &word("hel"), &word("lo")].concat();
            let bad = Upstream::start(after(&begun, &cut)).await;
            let gate = Gate::over(&[bad.url()]).await;
            let reply = gate.ask(&chat(true)).await;
            assert_eq!(reply.cut(), "hello", "{what}");
            assert_eq!(bad.seen().len(), 1, "{what}: never tried again");
            let (_, fates) = gate.close().await;
            assert!(matches!(fates[..], [Fate::Failed(_)]), "{what}: {fates:?}");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it holds");
    }
}

#[tokio::test]
async fn a_cut_stream_resets_clients_that_know_no_chunks() {
    let bad = Upstream::start(after(&word("hello"), &[])).await;
    let gate = Gate::over(&[bad.url()]).await;
    let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
    let request = post(&chat(true).to_string()).replace("HTTP/1.1", "HTTP/1.0");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("in time");
    assert!(read.is_err(), "a clean end would look like a shorter answer: {raw:?}");
    gate.close().await;
}

// ----- endpoints that do not answer as they should -----

/// Asks a gateway over one endpoint that follows `script`. Returns the answer and how it ended.
async fn tried(script: Vec<Do>, stream: bool) -> (Reply, Vec<End>, usize) {
    let up = Upstream::start(script).await;
    let gate = Gate::over(&[up.url()]).await;
    let reply = gate.ask(&chat(stream)).await;
    let (ends, _) = gate.close().await;
    (reply, ends, up.seen().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_answer_has_its_end_and_its_status() {
    let failed = End::Failed;
    let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let empty = [SSE, DONE].concat();
    let other = Upstream::start(stream_of("stolen")).await;
    let redirect = http("307 Temporary Redirect", &format!("location: {}\r\n", other.url()), "");
    let many = "HTTP/1.1 200 OK\r\n".to_owned() + &"a: b\r\n".repeat(100_000);
    let cases: Vec<(&str, bool, Vec<Do>, End, u16)> = vec![
        ("hangs", true, vec![Do::Hang], End::TimedOut(TimeoutStage::FirstToken), 504),
        ("redirect", true, vec![say(redirect)], failed(Failure::Malformed), 502),
        ("html", true, vec![say(html)], failed(Failure::Malformed), 502),
        (
            "whole for a stream",
            true,
            vec![say(http("200 OK", "", &whole("")))],
            failed(Failure::Malformed),
            502,
        ),
        ("stream for a whole", false, stream_of("x"), failed(Failure::Malformed), 502),
        ("an end of nothing", true, vec![say(empty)], failed(Failure::Malformed), 502),
        (
            "no JSON",
            false,
            vec![say(http("200 OK", "", "{\"choi"))],
            failed(Failure::Malformed),
            502,
        ),
        (
            "short",
            false,
            vec![say(&http("200 OK", "", &whole(""))[..150])],
            failed(Failure::Reset),
            502,
        ),
        ("endless head", true, vec![say(many), Do::Hang], failed(Failure::Reset), 502),
        ("no HTTP", true, vec![say("hello\r\n\r\n")], failed(Failure::Reset), 502),
        ("500", true, vec![say(http("500 No", "", "{}"))], failed(Failure::ServerError), 502),
        ("503", true, vec![say(http("503 No", "", "{}"))], failed(Failure::Overloaded), 503),
        ("401", true, vec![say(http("401 No", "", KEY))], failed(Failure::Unauthorized), 502),
    ];
    let tasks = cases.into_iter().map(|(what, stream, script, end, status)| {
        tokio::spawn(async move {
            let (reply, ends, _) = tried(script, stream).await;
            assert_eq!(reply.status, status, "{what}: {reply:?}");
            assert!(reply.json()["error"]["code"].is_string(), "{what}");
            assert!(reply.head.contains("x-should-retry: false"), "{what}");
            assert!(ends.iter().all(|other| *other == end), "{what}: {ends:?}");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it holds");
    }
    assert!(other.seen().is_empty(), "a redirect is not followed");
}

#[tokio::test]
async fn a_refused_connection_fails_over() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", closed.local_addr().expect("an address"));
    drop(closed);
    let good = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[url, good.url()]).await;
    for _ in 0..2 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    let (ends, _) = gate.close().await;
    assert!(ends.contains(&End::Failed(Failure::Refused)), "{ends:?}");
}

#[tokio::test]
async fn what_a_client_did_wrong_is_passed_on_once_and_blames_nobody() {
    let said = "{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\"}}";
    let (reply, ends, tries) = tried(vec![say(http("400 Bad", "", said))], true).await;
    assert_eq!((reply.status, reply.body.as_str(), tries), (400, said, 1));
    assert_eq!(ends, [End::Failed(Failure::ClientError)]);
    // No JSON, too long, or with our key in it: the status stays, the words are ours.
    let long = "x".repeat(100_000);
    let echo = format!("{{\"error\":{{\"message\":\"bad key {KEY}\"}}}}");
    for said in ["<html>", &long, &echo] {
        let (reply, _, tries) = tried(vec![say(http("422 Bad", "", said))], false).await;
        assert_eq!((reply.status, tries), (422, 1), "{reply:?}");
        assert_eq!(reply.json()["error"]["code"], "upstream_refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pause_a_429_can_ask_for_is_survived() {
    let pauses = [
        "",
        "retry-after: 1\r\n",
        "retry-after: 0.5\r\n",
        "retry-after-ms: 50\r\n",
        "x-ms-retry-after-ms: 50\r\n",
        "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
        "retry-after: Fri, 21 Oct 9999 07:28:00 GMT\r\n",
        "retry-after: -5\r\n",
        "retry-after: NaN\r\n",
        "retry-after: inf\r\n",
        "retry-after: 1e300\r\n",
        "retry-after: soon\r\n",
        "retry-after: \r\n",
        "retry-after-ms: -1e999\r\n",
    ];
    for pause in pauses {
        let bad = Upstream::start(vec![say(http("429 Slow down", pause, "{}"))]).await;
        let good = Upstream::start(stream_of("hello")).await;
        let gate = Gate::over(&[bad.url(), good.url()]).await;
        for _ in 0..2 {
            assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "{pause}");
        }
        let (ends, _) = gate.close().await;
        assert!(ends.contains(&End::RateLimited), "{pause}: {ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_answers_are_cut_at_their_limits() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":\"";
    let line = [SSE, "data: "].concat();
    let held = [SSE, ROLE].concat();
    let many = vec![b'x'; 64 << 10];
    let endless = [
        (head.to_owned(), many.clone(), false, BODY_MAX),
        (line, many, true, EVENT_MAX),
        (held, ROLE.repeat(100).into_bytes(), true, 2 << 20),
    ];
    for (head, flood, stream, limit) in endless {
        let up = Upstream::start(vec![say(head), Do::Flood(flood)]).await;
        let settings = SETTINGS.replace("attempts = 3", "attempts = 1").replace("600ms", "5s");
        let gate = Gate::with(&[up.url()], "", &settings, HttpLimits::default()).await;
        let reply = gate.ask(&chat(stream)).await;
        assert_eq!(reply.status, 502, "{reply:?}");
        // The kernel's buffers hold some more than was read.
        let written = up.log.written.load(Ordering::Relaxed) as usize;
        assert!(written < limit + (16 << 20), "{written}");
        let (ends, _) = gate.close().await;
        assert_eq!(ends, [End::Failed(Failure::TooLarge)], "nobody's fault");
    }
}

#[tokio::test]
async fn usage_that_lies_costs_nothing_absurd() {
    for usage in [
        "",
        ",\"usage\":null",
        ",\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":-1}",
        ",\"usage\":{\"prompt_tokens\":1e300,\"completion_tokens\":1e300}",
        ",\"usage\":{\"prompt_tokens\":\"x\"}",
    ] {
        let (reply, ends, _) = tried(vec![say(http("200 OK", "", &whole(usage)))], false).await;
        assert_eq!((reply.status, ends), (200, vec![End::Done]), "{usage}");
    }
}

// ----- clients that go away -----

/// Lets a client go away once the endpoint has begun, and returns how long the endpoint took to notice.
async fn abandoned(what: &str, script: Vec<Do>, stream: bool) -> Duration {
    let up = Upstream::start(script).await;
    let gate =
        Gate::with(&[up.url()], "", "timeouts = { first_token = \"30s\" }", HttpLimits::default())
            .await;
    let mut client = TcpStream::connect(gate.address).await.expect("a connection");
    client.write_all(post(&chat(stream).to_string()).as_bytes()).await.expect("sent");
    while up.seen().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(50)).await;
    let gone = Instant::now();
    drop(client);
    let left = async {
        while up.log.left.lock().expect("no panic").is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, left).await.unwrap_or_else(|_| panic!("{what}: the endpoint works on"));
    let took = up.log.left.lock().expect("no panic")[0] - gone;
    gate.empty().await;
    let (ends, fates) = gate.close().await;
    assert_eq!((ends, fates), (vec![End::Cancelled], vec![Fate::Cancelled]), "{what}");
    println!("client gone, {what}: endpoint free after {:.1} ms", took.as_secs_f64() * 1e3);
    assert!(took < NOTICED, "{what}: {took:?}");
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_frees_its_endpoint_in_every_phase() {
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{";
    let begun = [SSE, ROLE, &word("hello")].concat();
    abandoned("before headers", vec![Do::Hang], true).await;
    abandoned("before headers, not streaming", vec![Do::Hang], false).await;
    abandoned("before the first content", vec![say([SSE, ROLE].concat()), Do::Hang], true).await;
    abandoned("inside the stream", vec![say(begun), Do::Hang], true).await;
    abandoned("inside a whole answer", vec![say(json), Do::Hang], false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_talking_endpoint_is_a_cancel_and_no_fault() {
    for _ in 0..20 {
        let talk = (0..2_000).flat_map(|_| [say(word("a")), Do::Wait(1)]);
        let script = std::iter::once(say(SSE)).chain(talk).collect();
        let up = Upstream::start(script).await;
        let gate = Gate::over(&[up.url()]).await;
        let mut client = TcpStream::connect(gate.address).await.expect("a connection");
        client.write_all(post(&chat(true).to_string()).as_bytes()).await.expect("sent");
        let mut some = [0; 600];
        client.read_exact(&mut some).await.expect("an answer that begins");
        client.set_zero_linger().expect("a socket");
        drop(client);
        gate.empty().await;
        let (ends, fates) = gate.close().await;
        assert_eq!((ends, fates), (vec![End::Cancelled], vec![Fate::Cancelled]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_the_queue_never_reaches_an_endpoint() {
    let up = Upstream::start(vec![Do::Hang]).await;
    let settings = "timeouts = { first_token = \"30s\" }\nqueue = { max = 10, max_wait = \"20s\" }";
    let gate =
        Gate::with(&[up.url()], "limits = { concurrency = 1 }", settings, HttpLimits::default())
            .await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(gate.address).await.expect("a connection");
        client.write_all(post(&chat(true).to_string()).as_bytes()).await.expect("sent");
        clients.push(client);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(gate.under_way.load(Ordering::Relaxed), 2);
    let gone = Instant::now();
    drop(clients.pop());
    while gate.under_way.load(Ordering::Relaxed) == 2 {
        assert!(gone.elapsed() < NOTICED, "the place in the queue is kept");
        sleep(Duration::from_millis(1)).await;
    }
    println!("client gone, in the queue: free after {:.1} ms", gone.elapsed().as_secs_f64() * 1e3);
    drop(clients);
    gate.empty().await;
    assert_eq!(up.seen().len(), 1);
    let (ends, fates) = gate.close().await;
    assert_eq!((ends, fates), (vec![End::Cancelled], vec![Fate::Cancelled; 2]));
}

/// One request keeps a quarter of the only endpoint busy, which is enough for these thresholds.
async fn pressed(settings: &str) -> (Upstream, Arc<Gate>, JoinHandle<Reply>) {
    let mut script = vec![Do::Wait(2_000)];
    script.extend(stream_of("hello"));
    let up = Upstream::start(script).await;
    let settings = format!("timeouts = {{ first_token = \"6s\" }}\n{settings}");
    let node = "limits = { concurrency = 4 }";
    let gate = Arc::new(Gate::with(&[up.url()], node, &settings, HttpLimits::default()).await);
    let first = Arc::clone(&gate);
    let first = tokio::spawn(async move { first.ask(&chat(true)).await });
    sleep(Duration::from_millis(1_000)).await;
    (up, gate, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_answers_are_clamped_in_the_body_that_leaves() {
    let settings = "degrade = { hedges = \"none\", queue = \"none\", shed = \"none\", clamp = 0.02, \
                    cheaper = \"none\", reject = \"none\", hysteresis = 0.01, stay = \"1ms\", \
                    max_tokens = 50 }";
    let (up, gate, first) = pressed(settings).await;
    let asked = |said: Value| {
        let mut body = chat(true);
        body.as_object_mut().expect("an object").extend(said.as_object().expect("one").clone());
        body
    };
    let bodies = [
        asked(json!({"user": "none"})),
        asked(json!({"user": "old", "max_tokens": 400})),
        asked(json!({"user": "new", "max_completion_tokens": 400, "max_tokens": null})),
        asked(json!({"user": "few", "max_completion_tokens": 20})),
    ];
    // The fourth waits for a place, and is clamped when it gets one.
    let [a, b, c, d] = &bodies;
    let replies = tokio::join!(gate.ask(a), gate.ask(b), gate.ask(c), gate.ask(d));
    for reply in [first.await.expect("no panic"), replies.0, replies.1, replies.2, replies.3] {
        assert_eq!(reply.text(), "hello");
    }
    let body = |raw: &String| -> Value {
        let (_, body) = raw.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).expect("JSON")
    };
    let seen: Vec<Value> = up.seen().iter().map(body).collect();
    let limits = |user: &str| {
        let this = seen.iter().find(|body| body["user"] == user).expect("it was sent");
        (this["max_tokens"].clone(), this["max_completion_tokens"].clone())
    };
    assert_eq!(limits("none"), (json!(50), Value::Null));
    assert_eq!(limits("old"), (json!(50), Value::Null));
    assert_eq!(limits("new"), (Value::Null, json!(50)));
    assert_eq!(limits("few"), (Value::Null, json!(20)));
    assert!(seen[0].get("max_tokens").is_none(), "before there was any load");
    let gate = Arc::into_inner(gate).expect("nobody else has it");
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shed_is_told_when_to_come_again() {
    let settings = "shed = { normal = 0.02, sheddable = 0.02, hysteresis = 0.01 }";
    let (up, gate, first) = pressed(settings).await;
    let reply = gate.ask(&chat(true)).await;
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("retry-after: 1"), "{reply:?}");
    assert!(reply.body.contains("overloaded"), "{reply:?}");
    assert_eq!(first.await.expect("no panic").text(), "hello");
    assert_eq!(up.seen().len(), 1);
    let gate = Arc::into_inner(gate).expect("nobody else has it");
    let (_, fates) = gate.close().await;
    assert!(fates.contains(&Fate::Rejected(Reject::Shed)), "{fates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_the_endpoint_back_and_is_given_up() {
    let event = word(&"a".repeat(4 << 10)).into_bytes();
    let (up, gate, _client) = flood_unread(event).await;
    let before = up.log.written.load(Ordering::Relaxed);
    sleep(Duration::from_millis(500)).await;
    let after = up.log.written.load(Ordering::Relaxed);
    println!("a client that does not read: {:.1} MiB written upstream", after as f64 / 1_048_576.0);
    assert_eq!(before, after, "the endpoint is not read further");
    assert!(after < 32 << 20, "mostly the kernel's buffers: {after}");
    gate.empty().await;
    let (ends, fates) = gate.close().await;
    assert_eq!((ends, fates), (vec![End::Cancelled], vec![Fate::Cancelled]));
}

// ----- the end -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_streams_finish_and_takes_nobody_new() {
    let script = vec![
        say([SSE, ROLE, &word("hel")].concat()),
        Do::Wait(500),
        say([&word("lo"), FINISH, DONE].concat()),
    ];
    let up = Upstream::start(script).await;
    let gate = Gate::with(
        &[up.url()],
        "",
        SETTINGS.replace("400ms", "2s").as_str(),
        HttpLimits::default(),
    )
    .await;
    let (address, body) = (gate.address, post(&chat(true).to_string()));
    let running = tokio::spawn(async move { exchange(address, &body).await });
    sleep(Duration::from_millis(150)).await;
    gate.stop.send_replace(Shutdown::Gently);
    sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody new");
    assert_eq!(running.await.expect("no panic").text(), "hello");
    let begun = Instant::now();
    gate.close().await;
    assert!(begun.elapsed() < Duration::from_millis(900), "it ends when the last stream has");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_once_resets_streams_and_ends_every_attempt() {
    let up = Upstream::start(vec![say([SSE, &word("hel")].concat()), Do::Hang]).await;
    let gate = Gate::with(&[up.url()], "", "", HttpLimits::default()).await;
    let (address, body) = (gate.address, post(&chat(true).to_string()));
    let running = tokio::spawn(async move { exchange(address, &body).await });
    sleep(Duration::from_millis(200)).await;
    gate.stop.send_replace(Shutdown::Now);
    assert!(!running.await.expect("no panic").whole);
    let (ends, fates) = gate.close().await;
    assert_eq!((ends, fates), (vec![End::Cancelled], vec![Fate::Cancelled]));
}

// ----- what the gateway costs -----

fn mock() -> Mock {
    let scenario = Scenario::parse("test", "test.toml", &text(1, "", ""), &[]).expect("a scenario");
    let name = NodeName { node: "n0".to_owned(), model: "real-model".to_owned() };
    let parts = MockParts {
        seed: 1,
        names: vec![name],
        backends: scenario.backends,
        groups: scenario.groups,
        faults: Vec::new(),
        fault_rules: Vec::new(),
        output: scenario.classes[0].output,
        limits: MockParts::LIMITS,
    };
    Mock::start(parts, None).expect("free ports")
}

/// The time to the first and to the last byte, in milliseconds.
async fn timed(to: SocketAddr, request: &str) -> [f64; 2] {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut raw = vec![0; 1];
    stream.read_exact(&mut raw).await.expect("an answer");
    let first = begun.elapsed();
    stream.read_to_end(&mut raw).await.expect("an end");
    [first, begun.elapsed()].map(|took| took.as_secs_f64() * 1e3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "compares durations: run by name on a quiet machine"]
async fn what_the_gateway_costs() {
    let mock = mock();
    let gate = Gate::with(&mock.urls(), "", "", HttpLimits::default()).await;
    for stream in [true, false] {
        let request = post(&chat(stream).to_string());
        let mut over = [Vec::new(), Vec::new()];
        for _ in 0..200 {
            let without = timed(mock.nodes()[0].1, &request).await;
            let with = timed(gate.address, &request).await;
            (0..2).for_each(|end| over[end].push(with[end] - without[end]));
            sleep(Duration::from_millis(5)).await;
        }
        for (end, mut over) in ["first", "last"].into_iter().zip(over) {
            over.sort_by(f64::total_cmp);
            println!(
                "stream {stream}, {end} byte: p50 {:.2} ms, p99 {:.2} ms",
                over[99], over[197]
            );
        }
    }
    gate.close().await;
    mock.stop().await;
}

// ----- hedges -----

fn hedged() -> String {
    format!("{SETTINGS}hedge = {{ after = \"80ms\", budget = 1.0 }}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_first_token_is_overtaken_and_the_client_hears_one_voice() {
    let late = |text: &str| [vec![Do::Wait(300)], stream_of(text)].concat();
    let role_only = vec![say([SSE, ROLE].concat()), Do::Hang];
    let answer = || vec![say(http("200 OK", "", &whole("")))];
    let cases = [
        // One never speaks, or only clears its throat; both speak at the same moment.
        ("silence", true, vec![Do::Hang], stream_of("b")),
        ("a role", true, role_only, stream_of("b")),
        ("a race", true, late("a"), [vec![Do::Wait(220)], stream_of("b")].concat()),
        ("a whole answer", false, vec![Do::Hang], answer()),
    ];
    let tasks = cases.into_iter().map(|(what, stream, one, other)| {
        tokio::spawn(async move {
            let (one, other) = (Upstream::start(one).await, Upstream::start(other).await);
            let urls = [one.url(), other.url()];
            let gate = Gate::with(&urls, "", &hedged(), HttpLimits::default()).await;
            for _ in 0..4 {
                let reply = gate.ask(&chat(stream)).await;
                assert_eq!(reply.status, 200, "{what}: {reply:?}");
                if stream {
                    let text = reply.text();
                    assert!(["a", "b"].contains(&text.as_str()), "{what}: {text}");
                }
            }
            let (ends, fates) = gate.close().await;
            assert_eq!(fates, [Fate::Completed; 4], "{what}");
            let count = |end| ends.iter().filter(|other| **other == end).count();
            assert_eq!(count(End::Done), 4, "{what}: {ends:?}");
            assert!(count(End::Outrun) > 0, "{what}: {ends:?}");
            assert_eq!(count(End::Outrun) + 4, ends.len(), "{what}: {ends:?}");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it holds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_request_is_passed_on_whichever_attempt_heard_it_last() {
    let error = "{\"error\":{\"message\":\"no\",\"type\":\"x\",\"code\":\"mine\"}}";
    let refuses = |wait| vec![Do::Wait(wait), say(http("400 Bad Request", "", error))];
    let (slow, broken) = (refuses(300), vec![Do::Wait(20), say(http("500 No", "", "{}"))]);
    let (slow, broken) = (Upstream::start(slow).await, Upstream::start(broken).await);
    let urls = [slow.url(), broken.url()];
    let gate = Gate::with(&urls, "", &hedged(), HttpLimits::default()).await;
    for _ in 0..2 {
        let reply = gate.ask(&chat(true)).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (400, Some("mine")));
    }
    gate.close().await;
}
