//! Back-pressure over real sockets: an endpoint that asks for a pause gets it, a credential that is
//! spent is not used again, and what the gateway itself refuses is refused at once, in the words of
//! the protocol, with a time to come back, and without a word to any endpoint.

use std::time::Duration;

use crate::gate::{
    DONE, Do, FINISH, Gate, ROLE, Reply, SETTINGS, SSE, Upstream, chat, exchange, http, post, say,
    stream_of, whole, word,
};
use plimsoll::balance::{End, Failure, Fate, TimeoutStage};
use plimsoll::live::http::HttpLimits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// A date so many seconds from now, as HTTP writes it.
fn date(ahead: u64) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(ahead))
}

// ----- what an endpoint asks for -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_kept_whatever_status_asks_for_it_and_in_whatever_form() {
    let mut tasks = Vec::new();
    for status in ["429 Slow down", "503 Busy", "529 Overloaded"] {
        let forms = [
            "retry-after: 30".to_owned(),
            "retry-after-ms: 30000".to_owned(),
            "x-ms-retry-after-ms: 30000".to_owned(),
            format!("retry-after: {}", date(30)),
            "retry-after: 1e300".to_owned(),
        ];
        for form in forms {
            tasks.push(tokio::spawn(async move {
                let refusal = http(status, &format!("{form}\r\n"), "{}");
                let bad = Upstream::start(vec![say(refusal)]).await;
                let good = Upstream::start(stream_of("hello")).await;
                let gate = Gate::over(&[bad.url(), good.url()]).await;
                for _ in 0..6 {
                    assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "{status} {form}");
                }
                assert_eq!(bad.seen().len(), 1, "{status}, {form}: asked once and left alone");
                let (ends, _) = gate.close().await;
                let first = ends.iter().find(|end| **end != End::Done).expect("a refusal");
                let limited = status.starts_with("429");
                let busy = End::Failed(Failure::Overloaded);
                assert_eq!(*first, if limited { End::RateLimited } else { busy });
            }));
        }
    }
    for task in tasks {
        task.await.expect("it holds");
    }
}

#[tokio::test]
async fn a_pause_that_is_over_lets_the_endpoint_serve_again() {
    let refusal = http("503 Busy", "retry-after-ms: 250\r\n", "{}");
    let bad = Upstream::start(vec![say(refusal)]).await;
    let good = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[bad.url(), good.url()]).await;
    for _ in 0..4 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    assert_eq!(bad.seen().len(), 1);
    sleep(Duration::from_millis(300)).await;
    for _ in 0..2 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    assert_eq!(bad.seen().len(), 2, "once more, and left alone again");
    gate.close().await;
}

// ----- credentials -----

/// What providers say of a key whose money is spent, or that is not good.
fn refusals() -> [String; 5] {
    let openai = "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":\
                  \"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}";
    let anthropic = "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\
                     \"Your credit balance is too low to access the API.\"}}";
    [
        http("429 No", "", openai),
        http("400 No", "", anthropic),
        http("402 No", "", "{\"error\":{\"type\":\"billing_error\"}}"),
        http("401 No", "", "{}"),
        http("403 No", "", "{}"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_spent_is_used_by_no_other_node_and_rests() {
    let tasks = refusals().into_iter().map(|refusal| {
        tokio::spawn(async move {
            let spent = [refusal.clone(), refusal.clone()];
            let [a, b] = spent.map(|refusal| Upstream::start(vec![say(refusal)]));
            let (a, b) = (a.await, b.await);
            // All nodes have one credential: one attempt, whatever the retries.
            let urls = [a.url(), b.url()];
            let shared = "credential = \"team\"";
            let gate = Gate::with(&urls, shared, SETTINGS, HttpLimits::default()).await;
            let reply = gate.ask(&chat(true)).await;
            assert_eq!(reply.status, 502, "{refusal}: {reply:?}");
            assert_eq!(reply.json()["error"]["code"], "upstream_credentials");
            assert!(reply.head.contains("x-should-retry: false"), "{reply:?}");
            assert!(!reply.body.contains("quota") && !reply.body.contains("credit"), "{reply:?}");
            let (ends, _) = gate.close().await;
            assert_eq!(ends, [End::Failed(Failure::Unauthorized)], "{refusal}");
            assert_eq!(a.seen().len() + b.seen().len(), 1, "{refusal}");

            // Each has its own: the other one serves, and the refused one rests.
            let good = Upstream::start(stream_of("hello")).await;
            let resting = format!("{SETTINGS}health = {{ credential = \"1m\" }}\n");
            let urls = [a.url(), good.url()];
            let gate = Gate::with(&urls, "", &resting, HttpLimits::default()).await;
            let before = a.seen().len();
            for _ in 0..6 {
                assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "{refusal}");
            }
            assert_eq!(a.seen().len(), before + 1, "{refusal}: once, then it rests");
            gate.close().await;
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it holds");
    }
}

// ----- what the gateway itself refuses -----

/// Asserts that a refusal has everything a client's library wants to know, and returns its pause.
#[track_caller]
fn refused(reply: &Reply, status: u16, kind: &str, code: &str) -> u64 {
    assert_eq!(reply.status, status, "{reply:?}");
    let error = &reply.json()["error"];
    assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(kind), Some(code)));
    assert!(error["message"].is_string(), "{reply:?}");
    assert!(reply.head.contains("content-type: application/json"), "{reply:?}");
    assert!(reply.head.contains("x-should-retry: false"), "{reply:?}");
    let pause = reply.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    pause.expect("a time to come back").trim().parse().expect("seconds")
}

/// Settings, what each node adds, how many requests pass, and the refusal after them: status, type,
/// code, and the least and the most seconds to stay away.
type OwnRefusal =
    (&'static str, &'static str, usize, (u16, &'static str, &'static str), (u64, u64));

const OWN_REFUSALS: &[OwnRefusal] = &[
    (
        "tenants = { requests_per_minute = 2 }",
        "",
        2,
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (1, 31),
    ),
    (
        "tenants = { tokens_per_minute = 40 }",
        "",
        1,
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (60, 600),
    ),
    (
        "tenants = { budget_per_day = 0.0005 }",
        "price = { input = 1, output = 10 }",
        1,
        (429, "insufficient_quota", "budget_exceeded"),
        (1, 86_400),
    ),
    (
        "queue = { max = 0 }",
        "limits = { requests_per_minute = 1 }",
        1,
        (503, "server_error", "overloaded"),
        (1, 60),
    ),
    (
        "queue = { max = 0 }\n[[pool]]\nlimits = { requests_per_minute = 1 }",
        "",
        1,
        (503, "server_error", "overloaded"),
        (1, 60),
    ),
    (
        "queue = { max = 9, max_wait = \"100ms\" }",
        "limits = { requests_per_minute = 1 }",
        1,
        (503, "server_error", "overloaded"),
        (1, 60),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gateway_refuses_it_refuses_at_once_and_with_a_time_to_come_back() {
    let tasks = OWN_REFUSALS.iter().map(|(settings, node, passes, (status, kind, code), pause)| {
        tokio::spawn(async move {
            // Many more tokens than expected: a limit that counts them is used up by one answer.
            let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\
                         \"completion_tokens\":200}}\n\n";
            let answer = [SSE, ROLE, &word("hello"), FINISH, usage, DONE].concat();
            let up = Upstream::start(vec![say(answer)]).await;
            let gate = Gate::with(&[up.url()], node, settings, HttpLimits::default()).await;
            for _ in 0..*passes {
                assert_eq!(gate.ask(&chat(true)).await.text(), "hello", "{settings}");
            }
            let begun = Instant::now();
            let reply = gate.ask(&chat(true)).await;
            let took = begun.elapsed();
            let seconds = refused(&reply, *status, kind, code);
            assert!((pause.0..=pause.1).contains(&seconds), "{settings}: {seconds} s");
            assert!(took < Duration::from_millis(800), "{settings}: {took:?}");
            assert_eq!(up.seen().len(), *passes, "{settings}: nothing is forwarded");
            let (ends, fates) = gate.close().await;
            assert_eq!(ends.len(), *passes, "{settings}");
            assert!(matches!(fates.last(), Some(Fate::Rejected(_))), "{settings}: {fates:?}");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it holds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_are_taken_turn_others_away_at_once() {
    let settings = "queue = { max = 0 }\ntimeouts = { first_token = \"30s\" }";
    for (settings, node, status, code) in [
        (settings, "limits = { concurrency = 1 }", 503, "overloaded"),
        ("tenants = { concurrency = 1 }\nqueue = { max = 0 }", "", 503, "overloaded"),
    ] {
        let up = Upstream::start(vec![Do::Hang]).await;
        let gate = Gate::with(&[up.url()], node, settings, HttpLimits::default()).await;
        let mut first = TcpStream::connect(gate.address).await.expect("a connection");
        first.write_all(post(&chat(true).to_string()).as_bytes()).await.expect("sent");
        while up.seen().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        let reply = gate.ask(&chat(true)).await;
        let seconds = refused(&reply, status, "server_error", code);
        assert_eq!(seconds, 1, "{settings}");
        assert_eq!(up.seen().len(), 1, "{settings}: nothing is forwarded");
        drop(first);
        gate.empty().await;
        gate.close().await;
    }
}

#[tokio::test]
async fn where_every_endpoint_rests_clients_are_told_when_the_first_is_back() {
    let limited = |pause: &str| vec![say(http("429 Slow down", pause, "{}"))];
    let one = Upstream::start(limited("retry-after: 40\r\n")).await;
    let other = Upstream::start(limited("retry-after: 20\r\n")).await;
    let settings = "queue = { max = 0 }\nretry = { attempts = 2 }";
    let gate = Gate::with(&[one.url(), other.url()], "", settings, HttpLimits::default()).await;
    for _ in 0..2 {
        let reply = gate.ask(&chat(true)).await;
        // The second one is not even sent.
        let known =
            [(429, "rate_limit_error", "rate_limit_exceeded"), (503, "server_error", "overloaded")];
        let (status, kind, code) = known[usize::from(reply.status == 503)];
        let seconds = refused(&reply, status, kind, code);
        assert!((18..=20).contains(&seconds), "the earlier of 20 and 40: {seconds}");
    }
    assert_eq!((one.seen().len(), other.seen().len()), (1, 1));
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sure_to_wait_too_long_is_turned_away_when_it_comes() {
    let rests = (429, "rate_limit_error", "rate_limit_exceeded");
    for (status, first) in
        [("429 Slow down", rests), ("503 Busy", (503, "server_error", "overloaded"))]
    {
        let refusal = http(status, "retry-after: 60\r\n", "{}");
        let one = Upstream::start(vec![say(refusal.clone())]).await;
        let other = Upstream::start(vec![say(refusal)]).await;
        // The queue as it is when nothing is said of it: ten seconds.
        let gate = Gate::with(&[one.url(), other.url()], "", "", HttpLimits::default()).await;
        for round in 0..3 {
            let began = Instant::now();
            let reply = gate.ask(&chat(true)).await;
            assert!(began.elapsed() < Duration::from_secs(3), "{round}: {reply:?}");
            // The first one hears what the endpoints said; the others are not even sent.
            let (status, kind, code) = if round == 0 { first } else { rests };
            let seconds = refused(&reply, status, kind, code);
            assert!((50..=60).contains(&seconds), "{round}: {seconds}");
        }
        assert_eq!((one.seen().len(), other.seen().len()), (1, 1), "once each, and left alone");
        gate.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_may_be_waited_out_is() {
    let limited = http("429 Slow down", "retry-after: 1\r\n", "{}");
    let well = [SSE, ROLE, &word("hello"), FINISH, DONE].concat();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let task = tokio::spawn(async move {
        let mut answers = [limited].into_iter().chain(std::iter::repeat(well));
        while let Ok((mut stream, _)) = listener.accept().await {
            if crate::gate::read_request(&mut stream).await.is_some() {
                let answer = answers.next().expect("there is always one");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    let gate = Gate::with(&[url], "", "", HttpLimits::default()).await;
    assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    gate.close().await;
    task.abort();
}

// ----- clients that try again -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_of_clients_are_turned_away_when_the_budget_is_used_up() {
    let up = Upstream::start(vec![Do::Hang]).await;
    let settings = "timeouts = { first_token = \"30s\" }\nretry = { min_per_second = 0 }";
    let gate = Gate::with(&[up.url()], "", settings, HttpLimits::default()).await;
    let request = |header: &str| {
        post(&chat(true).to_string()).replacen(
            "connection: close",
            &format!("{header}\r\nconnection: close"),
            1,
        )
    };
    let mut clients = Vec::new();
    for (sent, header) in [
        "x-stainless-retry-count: 0",
        "x-stainless-retry-count: 1",
        "x-plimsoll-retry: 1",
        "x-stainless-retry-count: 2",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = TcpStream::connect(gate.address).await.expect("a connection");
        client.write_all(request(header).as_bytes()).await.expect("sent");
        while up.seen().len() == sent {
            sleep(Duration::from_millis(1)).await;
        }
        clients.push(client);
    }
    // Three retries are under way, and a fifth of five is less.
    let reply = exchange(gate.address, &request("x-stainless-retry-count: 1")).await;
    let seconds = refused(&reply, 503, "server_error", "retry_budget_exhausted");
    assert_eq!((seconds, up.seen().len()), (1, 4), "nothing is forwarded");
    let asked = gate.asked.lock().expect("no panic").clone();
    let again: Vec<u8> = asked.iter().map(|request| request.again).collect();
    assert_eq!(again, [0, 1, 1, 2, 1]);
    drop(clients);
    gate.empty().await;
    gate.close().await;
}

// ----- answers that come whole -----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_may_take_longer_than_a_first_token() {
    // The limit of a first token is 600 ms.
    let late = |answer: Vec<Do>| [vec![Do::Wait(1_100)], answer].concat();
    let answer = whole(",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}");
    let up = Upstream::start(late(vec![say(http("200 OK", "", &answer))])).await;
    let gate = Gate::over(&[up.url()]).await;
    let reply = gate.ask(&chat(false)).await;
    assert_eq!((reply.status, up.seen().len()), (200, 1), "{reply:?}");
    assert!(gate.asked.lock().expect("no panic")[0].whole);
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::Done]);
    // A stream is held to it, and a whole answer to the total of two seconds.
    let up = Upstream::start(late(stream_of("hello"))).await;
    let gate = Gate::over(&[up.url()]).await;
    assert_eq!(gate.ask(&chat(true)).await.status, 504);
    gate.close().await;
    let up = Upstream::start(vec![Do::Hang]).await;
    let settings = SETTINGS.replace("total = \"6s\"", "total = \"1500ms\"");
    let gate = Gate::with(&[up.url()], "", &settings, HttpLimits::default()).await;
    assert_eq!((gate.ask(&chat(false)).await.status, up.seen().len()), (504, 1));
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::TimedOut(TimeoutStage::Total)]);
}
