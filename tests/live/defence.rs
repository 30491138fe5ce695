//! What nobody may do to a gateway, from either side of it: smuggle, poison, steer, hold up, flood.
//! `SECURITY.md` names these tests.

use std::time::Duration;

use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::gate::{
    CLIENT_KEY, DONE, Do, FINISH, Gate, KEY, PATIENCE, ROLE, SETTINGS, SSE, Upstream, chat,
    exchange, get, http, post, read_request, say, stream_of, whole, word,
};

// ----- clients -----

/// What is asked for again and again, with what stands between its head and its body.
fn chunked(body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\nx: y\r\n\r\n",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_behind_another_one_is_read_as_strictly_as_the_first() {
    let body = chat(false).to_string();
    let twice = format!("content-length: {0}\r\ncontent-length: {0}", body.len());
    let behind = post(&body).replace(&format!("content-length: {}", body.len()), &twice);
    let plain = post(&body).replace("connection: close\r\n", "");
    let up = Upstream::start(vec![say(http("200 OK", "", &whole("")))]).await;
    let gate = Gate::over(&[up.url()]).await;
    for first in [chunked(&body), plain] {
        let seen = up.seen().len();
        let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
        stream.write_all([first, behind.clone()].concat().as_bytes()).await.expect("sent");
        let mut raw = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("it is closed");
        let text = String::from_utf8_lossy(&raw);
        assert!(text.contains("HTTP/1.1 400"), "{text}");
        assert!(up.seen().len() <= seen + 1, "the second one went on");
    }
    // What some take for a tunnel is none.
    let seen = up.seen().len();
    let tunnel = "CONNECT a:1 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
    stream.write_all([tunnel, &behind].concat().as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("it is closed");
    assert!(String::from_utf8_lossy(&raw).starts_with("HTTP/1.1 400"));
    assert_eq!(up.seen().len(), seen);
    // Two good ones in a row are two requests.
    let seen = up.seen().len();
    let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
    let both = [chunked(&body), post(&body)].concat();
    stream.write_all(both.as_bytes()).await.expect("sent");
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.expect("two answers");
    assert_eq!(String::from_utf8_lossy(&raw).matches("HTTP/1.1 200").count(), 2);
    assert_eq!(up.seen().len(), seen + 2);
    gate.close().await;
}

#[tokio::test]
async fn a_body_cannot_say_where_it_is_sent_nor_nest_without_end() {
    let canary = Upstream::start(stream_of("stolen")).await;
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    for name in ["api_base", "base_url", "custom_host"] {
        let mut asked = chat(true);
        asked[name] = json!(canary.url());
        let reply = gate.ask(&asked).await;
        assert!(reply.status == 400 && reply.body.contains(name), "{reply:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for path in ["chat/completions", "embeddings", "responses", "messages"] {
        let body = format!("{{\"model\":\"c\",\"messages\":[],\"input\":\"a\",\"x\":{deep}}}");
        let ask = post(&body).replace("chat/completions", path);
        assert_eq!(exchange(gate.address, &ask).await.status, 400, "{path}");
    }
    assert!(canary.seen().is_empty() && up.seen().is_empty());
    gate.close().await;
}

#[tokio::test]
async fn only_what_is_listed_goes_along_in_either_direction() {
    let said = "set-cookie: a=b\r\nserver: secret/1.0\r\nopenai-organization: org-1\r\n\
                x-plimsoll-node: forged\r\nlocation: http://x\r\nx-powered-by: y\r\n";
    let up = Upstream::start(vec![say(http("200 OK", said, &whole("")))]).await;
    let gate = Gate::over(&[up.url()]).await;
    let sent = "cookie: a=b\r\nx-api-key: sk-client-secret\r\napi-key: sk-client-secret\r\n\
                proxy-authorization: Basic eA==\r\nx-forwarded-for: 10.0.0.1\r\nforwarded: for=x\r\n\
                x-plimsoll-output-tokens: 7\r\nx-plimsoll-key: 7\r\nx-plimsoll-ordinal: 7\r\n\
                te: trailers\r\nkeep-alive: timeout=5\r\nx-custom-host: http://x\r\nvia: 1.1 x\r\n\
                traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
                connection: close, traceparent\r\n";
    let ask = post(&chat(false).to_string()).replace("connection: close\r\n", sent);
    let reply = exchange(gate.address, &ask).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    for name in ["set-cookie", "server", "openai-organization", "location", "x-powered-by"] {
        assert!(!reply.head.contains(&format!("\r\n{name}:")), "{name}: {reply:?}");
    }
    assert!(!reply.head.contains("forged"), "{reply:?}");
    let seen = up.seen().remove(0);
    let (head, _) = seen.split_once("\r\n\r\n").expect("a head");
    let mut names: Vec<String> = head
        .lines()
        .skip(1)
        .map(|line| line.split(':').next().expect("a name").to_lowercase())
        .collect();
    names.sort();
    let own = ["accept", "accept-encoding", "authorization", "content-length", "content-type"];
    let own = own.into_iter().chain(["host", "traceparent", "x-request-id"]);
    let strange: Vec<&String> =
        names.iter().filter(|name| !own.clone().any(|own| own == **name)).collect();
    assert!(strange.is_empty(), "{strange:?} of {head}");
    assert!(head.contains(KEY) && !seen.contains(CLIENT_KEY), "{seen}");
    gate.close().await;
}

// ----- endpoints -----

/// Answers every request of a connection, and says more after each answer than was asked for.
async fn says_too_much(listener: TcpListener, more: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let more = more.clone();
        tokio::spawn(async move {
            while read_request(&mut stream).await.is_some() {
                let answer = http("200 OK", "", &whole("")).replace("connection: close\r\n", "");
                if stream.write_all([answer, more.clone()].concat().as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_an_answer_is_no_answer_to_the_next_request() {
    let forged = http("200 OK", "", &whole("").replace("hi", "forged"));
    for more in [forged.replace("connection: close\r\n", ""), "\r\n".to_owned(), "x".to_owned()] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let task = tokio::spawn(says_too_much(listener, more.clone()));
        let gate = Gate::over(&[url]).await;
        for _ in 0..40 {
            let reply = gate.ask(&chat(false)).await;
            assert!(reply.status == 200 && !reply.body.contains("forged"), "{more:?}: {reply:?}");
        }
        gate.close().await;
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_preliminaries_are_no_answer_and_a_few_are_no_harm() {
    for said in ["102 Processing", "103 Early Hints", "100 Continue"] {
        let one = format!("HTTP/1.1 {said}\r\nlink: x\r\n\r\n");
        for stream in [true, false] {
            let up = Upstream::start(vec![Do::Flood(one.repeat(50).into_bytes())]).await;
            let settings = "retry = { attempts = 1 }\ntimeouts = { total = \"1h\" }";
            let gate = Gate::with(&[up.url()], "", settings, HttpLimits::default()).await;
            let reply = gate.ask(&chat(stream)).await;
            assert_eq!(reply.status, 502, "{said}: {reply:?}");
            let (ends, _) = gate.close().await;
            assert_eq!(ends, [End::Failed(Failure::Malformed)], "{said}");
        }
        let good = [one.repeat(20), http("200 OK", "", &whole(""))].concat();
        let up = Upstream::start(vec![say(good)]).await;
        let gate = Gate::over(&[up.url()]).await;
        assert_eq!(gate.ask(&chat(false)).await.status, 200, "{said}");
        gate.close().await;
    }
}

#[tokio::test]
async fn a_name_that_leads_out_of_bounds_is_not_called() {
    // Of every name of no address the resolver makes that address, which on some systems is this machine.
    let canary = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = canary.local_addr().expect("an address").port();
    for name in ["0", "0x0", "00.0.0.0"] {
        let url = format!("http://{name}:{port}/v1");
        let settings = "retry = { attempts = 1 }";
        let gate = Gate::with(&[url], "", settings, HttpLimits::default()).await;
        assert!(gate.ask(&chat(true)).await.status >= 500, "{name}");
        let (ends, _) = gate.close().await;
        assert_eq!(ends, [End::Failed(Failure::Refused)], "{name}");
    }
    let called = timeout(Duration::from_millis(100), canary.accept()).await;
    assert!(called.is_err(), "nobody was called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_stalls_is_awaited_no_longer_than_a_connection() {
    let silent = Upstream::start(vec![Do::Hang]).await;
    let good = Upstream::start(stream_of("hello")).await;
    let secure = silent.url().replace("http://", "https://");
    let gate = Gate::with(&[secure, good.url()], "", "", HttpLimits::default()).await;
    for _ in 0..2 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    let (ends, fates) = gate.close().await;
    assert!(ends.contains(&End::Failed(Failure::Refused)), "{ends:?}");
    assert_eq!(fates, [Fate::Completed; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_knows_fails_over() {
    let good = Upstream::start(stream_of("hello")).await;
    let gone = "http://no-such-host.invalid:1/v1".to_owned();
    let gate = Gate::with(&[gone, good.url()], "", "", HttpLimits::default()).await;
    for _ in 0..4 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    let (ends, fates) = gate.close().await;
    assert!(ends.contains(&End::Failed(Failure::Refused)), "{ends:?}");
    assert_eq!(fates, [Fate::Completed; 4]);
}

/// What an endpoint says to probes, and how often it has failed at chats: at first it does.
async fn odd_health(listener: TcpListener, status: &'static str) {
    let mut chats = 0;
    while let Ok((mut stream, _)) = listener.accept().await {
        let Some(request) = read_request(&mut stream).await else { continue };
        let answer = if request.starts_with("GET") {
            http(status, "location: http://127.0.0.1:1/\r\n", "{}")
        } else {
            chats += 1;
            match chats {
                ..=5 => http("500 Internal Server Error", "", "{}"),
                _ => [SSE, ROLE, &word("hello"), FINISH, DONE].concat(),
            }
        };
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_probe_is_answered_a_node_that_is_well_again_serves() {
    let statuses = ["401 No", "403 No", "404 No", "405 No", "301 Moved", "429 Slow", "200 OK"];
    let tasks = statuses.map(|status| {
        tokio::spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
            let task = tokio::spawn(odd_health(listener, status));
            let gate = Gate::with(&[url], "", "", HttpLimits::default()).await;
            let serves = async {
                while gate.ask(&chat(true)).await.status != 200 {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            timeout(2 * PATIENCE, serves).await.unwrap_or_else(|_| panic!("{status}: never"));
            assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "{status}");
            gate.close().await;
            task.abort();
        })
    });
    for task in tasks {
        task.await.expect("it holds");
    }
}

// ----- what the gateway says of itself -----

#[tokio::test]
async fn callers_learn_nothing_of_the_fleet_and_reach_nothing_but_its_calls() {
    let up = Upstream::start(vec![say(http("500 No", "", "{\"trace\":\"/srv/app.py\"}"))]).await;
    let gate = Gate::over(&[up.url()]).await;
    for path in ["/healthz", "/readyz"] {
        let reply = get(gate.address, path).await;
        assert_eq!(reply.status, 200);
        assert!(reply.body.len() < 40 && !reply.body.contains("n0"), "{reply:?}");
    }
    for path in ["/metrics", "/frames", "/admin", "/config", "/v1/config", "/debug", "/", "/v1"] {
        assert_eq!(get(gate.address, path).await.status, 404, "{path}");
    }
    let reply = gate.ask(&chat(true)).await;
    let port = up.address.port().to_string();
    for said in ["127.0.0.1", port.as_str(), "app.py", "n0"] {
        assert!(!reply.body.contains(said), "{said}: {reply:?}");
    }
    gate.close().await;
}

// ----- retries -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_try_again_are_served_where_endpoints_are_idle() {
    let mut ups = Vec::new();
    for _ in 0..4 {
        let slow = [vec![Do::Wait(300)], stream_of("hello")].concat();
        ups.push(Upstream::start(slow).await);
    }
    let urls: Vec<String> = ups.iter().map(Upstream::url).collect();
    let gate = Gate::with(&urls, "", "", HttpLimits::default()).await;
    let again = post(&chat(true).to_string())
        .replace("connection: close", "x-stainless-retry-count: 1\r\nconnection: close");
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let (to, again) = (gate.address, again.clone());
            tokio::spawn(async move { exchange(to, &again).await })
        })
        .collect();
    for one in asking {
        assert_eq!(one.await.expect("no panic").text(), "hello");
    }
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_costs_nobody_an_error_whatever_was_tried_before() {
    for strategy in ["round_robin", "least_connections", "smart"] {
        let mut ups = Vec::new();
        for _ in 0..4 {
            ups.push(Upstream::start(stream_of("hello")).await);
        }
        let urls: Vec<String> = ups.iter().map(Upstream::url).collect();
        let text = crate::gate::text(4, "", "").replace("round_robin", strategy);
        let gate = Gate::of(&text, &urls, HttpLimits::default()).await;
        for request in 0..200 {
            if request == 50 {
                // Two at the same moment.
                ups[1].task.abort();
                ups[2].task.abort();
            }
            let again = format!("x-stainless-retry-count: {}\r\nconnection: close", request % 2);
            let ask = post(&chat(true).to_string()).replace("connection: close", &again);
            assert_eq!(exchange(gate.address, &ask).await.text(), "hello", "{strategy} {request}");
        }
        gate.close().await;
    }
}

// ----- memory -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_of_all_requests_have_a_limit_together() {
    let text = whole("").replace("hi", &"a".repeat(700 << 10));
    let event = word(&"a".repeat(700 << 10));
    let (json_part, json_rest) = text.split_at(690 << 10);
    let (event_part, event_rest) = event.split_at(690 << 10);
    let head = http("200 OK", "", &text);
    let head = &head[..head.len() - text.len()];
    for (stream, part, rest) in [
        (false, [head, json_part].concat(), json_rest.to_owned()),
        (true, [SSE, ROLE, event_part].concat(), [event_rest, FINISH, DONE].concat()),
    ] {
        let up = Upstream::start(vec![say(part), Do::Wait(1_500), say(rest)]).await;
        let limits = HttpLimits { answers_max: 1 << 20, ..HttpLimits::default() };
        let settings = "retry = { attempts = 1 }\ntimeouts = { first_token = \"6s\" }";
        let gate = Gate::with(&[up.url()], "", settings, limits).await;
        let (to, ask) = (gate.address, post(&chat(stream).to_string()));
        let first = tokio::spawn({
            let ask = ask.clone();
            async move { exchange(to, &ask).await }
        });
        sleep(Duration::from_millis(500)).await;
        let refused = exchange(to, &ask).await;
        assert_eq!(refused.status, 502, "{stream}: {:.200}", refused.body);
        assert!(refused.body.contains("answer_too_large"), "{stream}: {:.200}", refused.body);
        assert_eq!(first.await.expect("no panic").status, 200, "{stream}");
        assert_eq!(exchange(to, &ask).await.status, 200, "{stream}: it is given back");
        let (ends, _) = gate.close().await;
        assert_eq!(ends.iter().filter(|end| **end == End::Done).count(), 2, "{stream}: {ends:?}");
        assert!(ends.contains(&End::Failed(Failure::TooLarge)), "nobody is blamed: {ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_is_not_kept_open_by_single_bytes() {
    // A byte now and then, and never an event.
    let drip: Vec<Do> = std::iter::once(say([SSE, ROLE, &word("a"), "data: "].concat()))
        .chain((0..200).flat_map(|_| [Do::Wait(50), say("x")]))
        .collect();
    let up = Upstream::start(drip).await;
    let gate = Gate::with(&[up.url()], "", SETTINGS, HttpLimits::default()).await;
    let began = Instant::now();
    let reply = gate.ask(&chat(true)).await;
    assert_eq!(reply.cut(), "a");
    assert!(began.elapsed() < PATIENCE, "it ended by its own limit");
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::Failed(Failure::Stalled)]);
}
