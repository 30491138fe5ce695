//! Streams and answers as real endpoints send them, and requests as real clients do, over real sockets.

use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::{Value, json};

use std::io::Write;
use std::time::Duration;

use crate::gate::{
    DONE, Do, FINISH, Gate, KEY, ROLE, Reply, SETTINGS, SSE, Upstream, chat, exchange,
    flood_unread, get, http, post, say, stream_of, text, whole, word,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A stream whose body is these bytes, whatever they are.
fn body(raw: &str) -> Vec<Do> {
    vec![say([SSE, raw].concat())]
}

/// Asks a gateway over one endpoint, and returns the answer and how the attempts ended.
async fn tried(script: Vec<Do>, stream: bool) -> (Reply, Vec<End>) {
    let up = Upstream::start(script).await;
    let gate = Gate::over(&[up.url()]).await;
    let reply = gate.ask(&chat(stream)).await;
    let (ends, _) = gate.close().await;
    (reply, ends)
}

/// A chunk with this delta.
fn delta(delta: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n")
}

// ----- streams -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_leave_in_the_bytes_they_came_in() {
    let spaced = "id: 1\ndata:{ \"choices\" : [{\"delta\":{\"content\":\"a\"}}], \"big\":1234567890123456789012 }\n\n";
    let lines = "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"b\"}}]}\n\n";
    let halves = [delta("{\"content\":\"\\ud83d\"}"), delta("{\"content\":\"\\udea2\"}")].concat();
    let picture = delta(&format!("{{\"images\":[{{\"url\":\"{}\"}}]}}", "A".repeat(3_000_000)));
    for (what, raw) in [
        ("odd spaces", spaced.to_owned()),
        ("several lines", lines.to_owned()),
        ("half an emoji each", halves),
        ("a picture", picture),
        ("carriage returns and line feeds", word("a").replace('\n', "\r\n")),
        ("carriage returns", word("a").replace('\n', "\r")),
    ] {
        let (reply, ends) = tried(body(&[&raw, FINISH, DONE].concat()), true).await;
        assert!(reply.status == 200 && reply.whole && ends == [End::Done], "{what}: {ends:?}");
        assert!(reply.body == [&raw, FINISH, DONE].concat(), "{what}: {:.300}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_keep_a_client_company_once_the_answer_has_begun() {
    let raw = [": one\n\n", ROLE, &word("a"), ": two\n\n", &word("b"), FINISH, DONE].concat();
    let (reply, _) = tried(body(&raw), true).await;
    assert_eq!(reply.body, raw.replacen(": one\n\n", "", 1), "none before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_delta_calls_it_content_begins_the_answer() {
    let tasks = [
        "{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]}]}",
        "{\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}",
        "{\"tool_calls\":[{\"index\":0}]}",
        "{\"audio\":{\"id\":\"a\",\"transcript\":\"x\"}}",
        "{\"reasoning_content\":\"hm\"}",
        "{\"reasoning_details\":[{\"text\":\"hm\"}]}",
        "{\"annotations\":[{\"url\":\"u\"}]}",
        "{\"not_yet_invented\":{\"x\":[\"y\"]}}",
    ]
    .map(|said| {
        tokio::spawn(async move {
            // Longer than a first token may take.
            let mut script = vec![say([SSE, ROLE, &delta(said)].concat())];
            for _ in 0..3 {
                script.extend([Do::Wait(300), say(delta(said))]);
            }
            script.push(say([FINISH, DONE].concat()));
            let (reply, ends) = tried(script, true).await;
            assert!(reply.whole && reply.body.ends_with(DONE), "{said}: {reply:?}");
            assert_eq!((reply.body.matches(said).count(), ends), (4, vec![End::Done]), "{said}");
        })
    });
    for task in tasks {
        task.await.expect("it holds");
    }
}

/// A chunk of a choice with this end.
fn choice(index: u32, end: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"a\"}},\"finish_reason\":{end}}}]}}\n\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_whole_only_when_every_choice_has_ended() {
    let stop = "\"stop\"";
    for (what, chunks, marker, is_whole) in [
        ("a reason and no marker", vec![(0, stop)], "", true),
        ("a marker and no reason", vec![(0, "null")], DONE, true),
        ("neither", vec![(0, "null")], "", false),
        ("reasons that say nothing", vec![(0, "\"\""), (0, "\"\"")], "", false),
        ("one of two", vec![(0, stop), (1, "null")], "", false),
        ("one of two, and a marker", vec![(0, stop), (1, "null")], DONE, false),
        ("both", vec![(1, "null"), (0, stop), (1, "\"length\"")], "", true),
        ("an error", vec![(0, "null"), (0, "\"error\"")], DONE, false),
    ] {
        let raw: String = chunks.iter().map(|(index, end)| choice(*index, end)).collect();
        let (reply, _) = tried(body(&[&raw, marker].concat()), true).await;
        assert_eq!((reply.status, reply.whole), (200, is_whole), "{what}: {reply:?}");
        assert_eq!(reply.body.contains("[DONE]"), is_whole, "{what}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_media_type_need_not_be_said() {
    let stream = [&word("aye"), FINISH, DONE].concat();
    for kind in ["", "content-type: text/plain; charset=utf-8\r\n", "content-type: x/y\r\n"] {
        let head = format!("HTTP/1.1 200 OK\r\n{kind}connection: close\r\n\r\n");
        let (reply, _) = tried(vec![say([&head, stream.as_str()].concat())], true).await;
        assert_eq!(reply.text(), "aye", "{kind}");
        let (reply, _) = tried(vec![say([head, whole("")].concat())], false).await;
        assert_eq!((reply.status, reply.json()["id"].clone()), (200, json!("x")), "{kind}");
    }
    // What is neither is still no answer.
    for stream in [true, false] {
        let html = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
        let (_, ends) = tried(vec![say(html)], stream).await;
        assert!(ends.iter().all(|end| *end == End::Failed(Failure::Malformed)), "{ends:?}");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).expect("memory");
    packed.finish().expect("memory")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_answers_are_unpacked_and_unknown_packings_are_no_answers() {
    let head = |coding: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\nconnection: close\r\n\r\n")
            .into_bytes()
    };
    let stream = [&word("aye"), FINISH, DONE].concat();
    let script = vec![say([head("gzip"), gzip(&stream)].concat())];
    let up = Upstream::start(script).await;
    let gate = Gate::over(&[up.url()]).await;
    assert_eq!(gate.ask(&chat(true)).await.text(), "aye");
    assert!(up.seen()[0].contains("accept-encoding: identity"), "it was asked not to");
    gate.close().await;
    let (reply, _) = tried(vec![say([head("gzip"), gzip(&whole(""))].concat())], false).await;
    assert_eq!((reply.status, reply.body), (200, whole("")));
    for coding in ["br", "gzip, gzip"] {
        let (reply, ends) = tried(vec![say([head(coding), gzip(&stream)].concat())], true).await;
        assert_eq!(reply.status, 502, "{coding}");
        assert!(ends.iter().all(|end| *end == End::Failed(Failure::Malformed)), "{ends:?}");
    }
    // An answer that breaks off is none, packed or not.
    let half = gzip(&stream);
    let (_, ends) =
        tried(vec![say([head("gzip"), half[..half.len() / 2].to_vec()].concat())], true).await;
    assert!(!ends.contains(&End::Done), "{ends:?}");
}

#[tokio::test]
async fn an_error_inside_a_200_is_what_it_says_however_it_comes() {
    let error = "{\"error\":{\"message\":\"no such field\",\"type\":\"invalid_request_error\"}}";
    for (stream, script) in [
        (true, vec![say(http("200 OK", "", error))]),
        (false, vec![say(http("200 OK", "", error))]),
        (true, body(&format!("data: {error}\n\n"))),
    ] {
        let (reply, ends) = tried(script, stream).await;
        assert_eq!(ends, [End::Failed(Failure::ClientError)], "{stream}");
        assert_eq!(
            (reply.status, reply.json()["error"]["message"].clone()),
            (400, json!("no such field"))
        );
    }
}

// ----- refusals -----

#[tokio::test]
async fn the_words_of_an_endpoint_reach_the_client_whatever_their_shape() {
    for (status, said, words) in [
        (
            "400 Bad",
            "{\"object\":\"error\",\"message\":\"4096 possible\",\"code\":400}",
            "4096 possible",
        ),
        (
            "422 Bad",
            "{\"detail\":[{\"loc\":[\"body\",\"temperature\"],\"msg\":\"must be at most 2\"}]}",
            "body.temperature: must be at most 2",
        ),
        ("422 Bad", "{\"detail\":\"logprobs must be true\"}", "logprobs must be true"),
        ("400 Bad", "the prompt is empty", "the prompt is empty"),
    ] {
        let (reply, _) = tried(vec![say(http(status, "", said))], false).await;
        assert_eq!(reply.json()["error"]["message"], words, "{said}");
        assert_eq!(reply.status.to_string(), status[..3]);
    }
}

#[tokio::test]
async fn a_key_leaves_in_no_form() {
    let escaped: String = KEY.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let forms =
        [KEY.to_uppercase(), escaped, KEY[4..].to_owned(), "c2stdXBzdHJlYW0tc2VjcmV0".to_owned()];
    for form in forms {
        let said = format!("{{\"error\":{{\"message\":\"bad key {form}\"}}}}");
        let (reply, _) = tried(vec![say(http("400 Bad", "", &said))], false).await;
        assert_eq!(reply.json()["error"]["code"], "upstream_refused", "{form}");
        assert!(!reply.body.contains(&form), "{reply:?}");
    }
}

// ----- requests -----

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn every_address_says_which_methods_it_takes() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    for (path, allowed) in [
        ("/v1/chat/completions", "allow: post, options"),
        ("/v1/models", "allow: get, head, options"),
        ("/v1/models/c", "allow: get, head, options"),
        ("/healthz", "allow: get, head, options"),
    ] {
        for (method, status) in [("OPTIONS", 204), ("DELETE", 405)] {
            let reply = exchange(gate.address, &request(method, path, "", "")).await;
            assert_eq!(reply.status, status, "{method} {path}");
            assert!(reply.head.contains(allowed), "{reply:?}");
            assert!(!reply.head.contains("access-control-allow-origin"), "{reply:?}");
        }
    }
    let reply = exchange(gate.address, &request("HEAD", "/healthz", "", "")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    let one = get(gate.address, "/v1/models/real-model").await.json();
    assert_eq!((&one["id"], &one["object"]), (&json!("real-model"), &json!("model")));
    assert!(one["created"].as_u64() > Some(1_700_000_000), "{one}");
    assert_eq!(get(gate.address, "/v1/models/gone").await.status, 404);
    gate.close().await;
}

#[tokio::test]
async fn pages_of_known_origins_may_call() {
    let up = Upstream::start(stream_of("hello")).await;
    let gateway = "[gateway]\ncors_origins = [\"https://deck.test\"]\n[workload]";
    let text = text(1, "", SETTINGS).replace("[workload]", gateway);
    let gate = Gate::of(&text, &[up.url()], HttpLimits::default()).await;
    let from = |origin: &str| {
        format!(
            "origin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: authorization,x-stainless-os\r\n"
        )
    };
    let path = "/v1/chat/completions";
    let known = from("https://deck.test");
    let reply = exchange(gate.address, &request("OPTIONS", path, &known, "")).await;
    assert_eq!(reply.status, 204);
    for said in [
        "access-control-allow-origin: https://deck.test",
        "access-control-allow-methods: post, options",
        "access-control-allow-headers: authorization,x-stainless-os",
        "vary: origin",
    ] {
        assert!(reply.head.contains(said), "{said}: {reply:?}");
    }
    let reply =
        exchange(gate.address, &request("POST", path, &known, &chat(true).to_string())).await;
    assert_eq!(reply.text(), "hello");
    assert!(reply.head.contains("access-control-allow-origin: https://deck.test"), "{reply:?}");
    let other = from("https://reef.test");
    let reply = exchange(gate.address, &request("OPTIONS", path, &other, "")).await;
    assert!(!reply.head.contains("access-control-allow"), "{reply:?}");
    gate.close().await;
}

#[tokio::test]
async fn offers_of_another_protocol_are_no_reason_to_refuse() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let offer = "connection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\n\
                 http2-settings: AAMAAABkAAQCAAAAAAIAAAAA";
    let ask = post(&chat(true).to_string()).replacen("connection: close", offer, 1);
    assert_eq!(exchange(gate.address, &ask).await.text(), "hello");
    assert!(!up.seen()[0].to_lowercase().contains("upgrade"), "it ends here");
    gate.close().await;
}

#[tokio::test]
async fn lengths_that_two_servers_could_read_differently_are_refused() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    for framing in [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: identity",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\nx: y",
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
    ] {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        let raw = format!("{head}{framing}\r\n\r\n0\r\n\r\n");
        assert_eq!(exchange(gate.address, &raw).await.status, 400, "{framing}");
    }
    assert!(up.seen().is_empty());
    gate.close().await;
}

#[tokio::test]
async fn a_client_may_wait_to_be_told_to_go_on() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let body = chat(true).to_string();
    let head = request("POST", "/v1/chat/completions", "expect: 100-continue\r\n", &body);
    let head = head.strip_suffix(&body).expect("a body");
    let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut told = [0; 25];
    timeout(crate::gate::PATIENCE, stream.read_exact(&mut told))
        .await
        .expect("in time")
        .expect("told");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.expect("an answer");
    assert_eq!(Reply::read(&raw).text(), "hello");
    gate.close().await;
}

#[tokio::test]
async fn packed_requests_are_unpacked_within_limits() {
    let up = Upstream::start(stream_of("hello")).await;
    let limits = HttpLimits { body_max: 4 << 20, ..HttpLimits::default() };
    let gate = Gate::with(&[up.url()], "", SETTINGS, limits).await;
    let send = |coding: &str, body: Vec<u8>| {
        let head =
            request("POST", "/v1/chat/completions", &format!("content-encoding: {coding}\r\n"), "");
        let head = head.replace("content-length: 0", &format!("content-length: {}", body.len()));
        let to = gate.address;
        async move {
            let mut stream = TcpStream::connect(to).await.expect("a connection");
            stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("sent");
            let mut raw = Vec::new();
            let _ = stream.read_to_end(&mut raw).await;
            Reply::read(&raw)
        }
    };
    assert_eq!(send("gzip", gzip(&chat(true).to_string())).await.text(), "hello");
    assert_eq!(up.body()["messages"], chat(true)["messages"]);
    let bomb = gzip(&format!("{{\"a\":\"{}\"}}", " ".repeat(3 << 20)));
    assert_eq!(send("gzip", bomb).await.status, 413, "it is packed too tight");
    assert_eq!(send("br", b"x".to_vec()).await.status, 415);
    assert_eq!(send("gzip", b"{}".to_vec()).await.status, 400);
    let cut = gzip(&chat(true).to_string());
    assert_eq!(send("gzip", cut[..cut.len() - 12].to_vec()).await.status, 400);
    assert_eq!(up.seen().len(), 1);
    gate.close().await;
}

#[tokio::test]
async fn a_body_may_be_slow_but_not_silent() {
    let up = Upstream::start(stream_of("hello")).await;
    let limits = HttpLimits { body: Duration::from_millis(300), ..HttpLimits::default() };
    let gate = Gate::with(&[up.url()], "", SETTINGS, limits).await;
    let raw = request("POST", "/v1/chat/completions", "", &chat(true).to_string());
    let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
    // Longer in all than it may be silent.
    for piece in raw.as_bytes().chunks(raw.len() / 6) {
        stream.write_all(piece).await.expect("sent");
        sleep(Duration::from_millis(100)).await;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert_eq!(Reply::read(&answer).text(), "hello");
    let half = exchange(gate.address, &raw[..raw.len() - 5]).await;
    assert_eq!(half.status, 408);
    gate.close().await;
}

#[tokio::test]
async fn requests_that_providers_take_are_taken() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let mut asked = chat(true);
    asked["user"] = json!(7);
    asked["messages"] = json!([{"role": "user", "content": ["a", {"text": "b"}]}]);
    assert_eq!(gate.ask(&asked).await.text(), "hello");
    assert_eq!((&up.body()["user"], &up.body()["messages"]), (&json!(7), &asked["messages"]));
    gate.close().await;
}

// ----- names -----

#[tokio::test]
async fn a_request_has_a_name_that_its_client_or_the_gateway_gives() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let named = |name: &str| {
        post(&chat(true).to_string()).replacen(
            "connection: close",
            &format!("x-request-id: {name}\r\nconnection: close"),
            1,
        )
    };
    let reply = exchange(gate.address, &named("mine-1")).await;
    assert!(reply.head.contains("x-request-id: mine-1"), "{reply:?}");
    for said in ["", "a b", &"x".repeat(200)] {
        let reply = exchange(gate.address, &named(said)).await;
        let given = reply.head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        let (run, number) = given.expect("a name").split_once('-').expect("a run and a number");
        assert!(run.len() == 16 && number.parse::<u64>().is_ok(), "{reply:?}");
    }
    assert!(up.seen()[0].contains("x-request-id: mine-1"), "the endpoint may keep it");
    let refused = exchange(gate.address, &named("mine-2").replace("\"c\"", "\"g\"")).await;
    assert!(refused.status == 404 && refused.head.contains("x-request-id: mine-2"), "{refused:?}");
    gate.close().await;
}

#[tokio::test]
async fn an_answer_says_who_served_it_and_what_it_took() {
    let bad = Upstream::start(vec![say(http("500 No", "", "{}"))]).await;
    let good = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[good.url(), bad.url()]).await;
    let reply = gate.ask(&chat(true)).await;
    for said in [
        "x-plimsoll-node: n0",
        "x-plimsoll-node-id: 0",
        "x-plimsoll-pool: p",
        "x-plimsoll-strategy: round_robin",
        "x-plimsoll-attempts: 2",
        "x-plimsoll-queue-ms: ",
        "x-plimsoll-overhead-ms: ",
        "x-accel-buffering: no",
    ] {
        assert!(reply.head.contains(said), "{said}: {reply:?}");
    }
    gate.close().await;
    let (refused, _) = tried(vec![say(http("500 No", "", "{}"))], false).await;
    assert!(refused.head.contains("x-plimsoll-attempts: 3"), "{refused:?}");
    assert!(!refused.head.contains("x-plimsoll-node"), "nobody served it: {refused:?}");
}

#[tokio::test]
async fn nodes_without_a_model_serve_whatever_is_named() {
    let (own, open) =
        (Upstream::start(stream_of("own")).await, Upstream::start(stream_of("open")).await);
    let both = text(2, "", SETTINGS);
    let last = both.rfind("model = \"real-model\"\n").expect("two models");
    let some = [&both[..last], &both[last + "model = \"real-model\"\n".len()..]].concat();
    let gate = Gate::of(&some, &[own.url(), open.url()], HttpLimits::default()).await;
    for (model, served) in [("real-model", "own"), ("gpt-9", "open"), ("vendor/x:free", "open")] {
        for _ in 0..3 {
            let mut asked = chat(true);
            asked["model"] = json!(model);
            assert_eq!(gate.ask(&asked).await.text(), served, "{model}");
        }
    }
    assert_eq!(open.body()["model"], "gpt-9", "as the client said");
    let names = get(gate.address, "/v1/models").await.json();
    let names: Vec<&Value> =
        names["data"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert_eq!(names, ["auto", "c", "real-model"]);
    gate.close().await;
    let none = both.replace("model = \"real-model\"\n", "");
    let gate = Gate::of(&none, &[open.url(), open.url()], HttpLimits::default()).await;
    let mut asked = chat(true);
    asked["model"] = json!("anything");
    assert_eq!(gate.ask(&asked).await.text(), "open");
    let (_, fates) = gate.close().await;
    assert_eq!(fates, [Fate::Completed]);
}

// ----- other calls -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_reaches_its_address_as_it_is() {
    for (path, body, answer) in [
        (
            "/v1/embeddings",
            r#"{"model":"c","input":["a"]}"#,
            r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
        ),
        (
            "/v1/completions",
            r#"{"model":"c","prompt":"a","max_tokens":3}"#,
            r#"{"choices":[{"text":"b","finish_reason":"stop"}]}"#,
        ),
        (
            "/v1/responses",
            r#"{"model":"c","input":"a","store":true}"#,
            r#"{"id":"resp_1","status":"completed","output":[]}"#,
        ),
        ("/v1/moderations", r#"{"input":"a"}"#, r#"{"results":[]}"#),
        (
            "/v1/images/generations",
            r#"{"model":"c","prompt":"a"}"#,
            r#"{"data":[{"b64_json":"A"}]}"#,
        ),
        ("/v1/rerank", r#"{"model":"c","query":"a","documents":["b"]}"#, r#"{"results":[]}"#),
    ] {
        let up = Upstream::start(vec![say(http("200 OK", "", answer))]).await;
        let gate = Gate::over(&[up.url()]).await;
        let reply = exchange(
            gate.address,
            &request("POST", path, "content-type: application/json\r\n", body),
        )
        .await;
        assert_eq!((reply.status, reply.body.as_str()), (200, answer), "{path}");
        let seen = up.seen().remove(0);
        assert!(seen.starts_with(&format!("POST {path} ")), "{seen}");
        assert_eq!(up.body()["model"], "real-model", "{path}");
        let (ends, _) = gate.close().await;
        assert_eq!(ends, [End::Done], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_other_calls_end_by_their_own_marks() {
    let event =
        |kind: &str, more: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{more}}}\n\n");
    let created = event("response.created", ",\"response\":{\"id\":\"resp_1\"}");
    let delta = event("response.output_text.delta", ",\"delta\":\"a\"");
    let last = event(
        "response.completed",
        ",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}",
    );
    let ask = request("POST", "/v1/responses", "", r#"{"model":"c","input":"a","stream":true}"#);
    for (raw, is_whole) in [
        ([&created, &delta, &last].map(String::as_str).concat(), true),
        ([created.as_str(), &delta].concat(), false),
    ] {
        let up = Upstream::start(body(&raw)).await;
        let gate = Gate::over(&[up.url()]).await;
        let reply = exchange(gate.address, &ask).await;
        assert_eq!((reply.status, reply.whole), (200, is_whole), "{reply:?}");
        assert!(reply.body.starts_with(&raw) && !reply.body.contains("[DONE]"), "{reply:?}");
        assert_eq!(reply.body == raw, is_whole, "{reply:?}");
        assert!(is_whole || reply.body.contains("event: error\n"), "{reply:?}");
        assert!(up.body().get("stream_options").is_none(), "nobody asked for it");
        gate.close().await;
    }
}

#[tokio::test]
async fn sound_passes_in_both_directions() {
    let sound = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 4\r\nconnection: close\r\n\r\nID3!";
    let up = Upstream::start(vec![say(sound)]).await;
    let gate = Gate::over(&[up.url()]).await;
    let ask = request("POST", "/v1/audio/speech", "", r#"{"model":"c","input":"a","voice":"b"}"#);
    let reply = exchange(gate.address, &ask).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ID3!"));
    assert!(reply.head.contains("content-type: audio/mpeg"), "{reply:?}");
    gate.close().await;
    let up = Upstream::start(vec![say(http("200 OK", "", r#"{"text":"a"}"#))]).await;
    let gate = Gate::over(&[up.url()]).await;
    let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nc\r\n--x\r\ncontent-disposition: \
                form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x--\r\n";
    let kind = "content-type: multipart/form-data; boundary=x\r\n";
    let reply =
        exchange(gate.address, &request("POST", "/v1/audio/transcriptions", kind, form)).await;
    assert_eq!((reply.status, reply.json()["text"].clone()), (200, json!("a")));
    let seen = up.seen().remove(0);
    assert!(seen.contains("multipart/form-data; boundary=x"), "{seen}");
    assert!(seen.ends_with(&form.replace("\r\nc\r\n", "\r\nreal-model\r\n")), "{seen}");
    gate.close().await;
}

#[tokio::test]
async fn who_goes_on_from_a_response_goes_to_the_node_that_keeps_it() {
    let mut ups = Vec::new();
    for node in 0..3 {
        let answer = format!("{{\"id\":\"resp_{node}\",\"status\":\"completed\",\"output\":[]}}");
        ups.push(Upstream::start(vec![say(http("200 OK", "", &answer))]).await);
    }
    let urls: Vec<String> = ups.iter().map(Upstream::url).collect();
    let gate = Gate::over(&urls).await;
    let ask = |previous: Option<&str>| {
        let body =
            json!({"model": "c", "input": "a", "previous_response_id": previous}).to_string();
        let to = gate.address;
        async move { exchange(to, &request("POST", "/v1/responses", "", &body)).await }
    };
    for _ in 0..3 {
        assert_eq!(ask(None).await.status, 200);
    }
    for node in [2, 0, 0, 1, 2, 2] {
        let name = format!("resp_{node}");
        let reply = ask(Some(&name)).await;
        assert_eq!(reply.json()["id"], name, "{reply:?}");
    }
    // Nobody else has it, so nobody else is asked.
    let seen = || ups.iter().map(|up| up.seen().len()).sum::<usize>();
    let before = seen();
    ups[1].task.abort();
    sleep(Duration::from_millis(50)).await;
    let reply = ask(Some("resp_1")).await;
    assert!(reply.status >= 500, "{reply:?}");
    assert_eq!(seen(), before);
    // What nobody remembers is asked of anybody.
    assert_eq!(ask(Some("resp_of_before")).await.status, 200);
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_wait_for_a_slow_client_one_at_a_time() {
    let event = word(&"a".repeat(900 << 10)).into_bytes();
    let (up, gate, _client) = flood_unread(event).await;
    let written = up.log.written.load(std::sync::atomic::Ordering::Relaxed);
    // Two sockets' buffers and a few events, where the queue alone has room for sixty.
    assert!(written < 20 << 20, "{written}");
    gate.empty().await;
    let (ends, fates) = gate.close().await;
    assert_eq!((ends, fates), (vec![End::Cancelled], vec![Fate::Cancelled]));
}

#[tokio::test]
async fn clients_of_azure_find_the_model_in_the_address() {
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let mut body = chat(true);
    body.as_object_mut().expect("an object").remove("model");
    let body = body.to_string();
    let ask = |path: &str| {
        let raw = request("POST", path, "api-key: sk-client-secret\r\n", &body);
        let to = gate.address;
        async move { exchange(to, &raw).await }
    };
    let reply = ask("/openai/deployments/real-model/chat/completions?api-version=2024-10-21").await;
    assert_eq!(reply.text(), "hello");
    assert_eq!(up.body()["model"], "real-model");
    assert_eq!(ask("/openai/deployments/gone/chat/completions").await.status, 404);
    assert_eq!(ask("/openai/v1/chat/completions").await.status, 400, "nothing is named");
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bodies_of_all_requests_have_a_limit_together() {
    let up =
        Upstream::start(vec![Do::Wait(1_500), say([SSE, &word("hello"), FINISH, DONE].concat())])
            .await;
    let limits = HttpLimits { bodies_max: 1 << 20, ..HttpLimits::default() };
    let settings = "timeouts = { first_token = \"6s\" }";
    let gate = std::sync::Arc::new(Gate::with(&[up.url()], "", settings, limits).await);
    let mut large = chat(true);
    large["messages"] = json!([{"role": "user", "content": "a".repeat(700 << 10)}]);
    let (first, body) = (std::sync::Arc::clone(&gate), large.clone());
    let first = tokio::spawn(async move { first.ask(&body).await });
    sleep(Duration::from_millis(500)).await;
    let refused = gate.ask(&large).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "a small one has room");
    assert_eq!(first.await.expect("no panic").text(), "hello");
    assert_eq!(gate.ask(&large).await.text(), "hello", "it is given back");
    std::sync::Arc::into_inner(gate).expect("nobody else has it").close().await;
}
