//! What a client sees while it waits, and how long anybody waits for a stream that has begun, over real
//! sockets.

use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::Value;

use crate::gate::{
    DONE, Do, FINISH, Gate, PATIENCE, ROLE, SETTINGS, SSE, USAGE, Upstream, chat, exchange, http,
    say, text, whole, word, words,
};

const COMMENT: &str = ": keep-alive\n\n";

async fn gate(up: &Upstream, gateway: &str) -> Gate {
    let text = format!("{}[gateway]\n{gateway}\n", text(1, "", SETTINGS));
    Gate::of(&text, &[up.url()], HttpLimits::default()).await
}

fn slow() -> Vec<Do> {
    let rest = [&word("b"), FINISH, DONE].concat();
    vec![say([SSE, ROLE, &word("a")].concat()), Do::Wait(300), say(rest)]
}

fn late() -> Vec<Do> {
    vec![Do::Wait(300), say([SSE, ROLE, &word("ab"), FINISH, DONE].concat())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_pauses_says_that_somebody_is_there() {
    for (gateway, comments) in
        [("keep_alive = \"60ms\"", true), ("keep_alive = \"none\"", false), ("", false)]
    {
        let up = Upstream::start(slow()).await;
        let gate = gate(&up, gateway).await;
        let reply = gate.ask(&chat(true)).await;
        assert_eq!(reply.text(), "ab");
        assert_eq!(reply.body.contains(COMMENT), comments, "{gateway}: {}", reply.body);
        let between = reply.body.find(COMMENT).is_none_or(|at| reply.body[..at].contains("\"a\""));
        assert!(between, "it tells of nothing before the answer: {}", reply.body);
        gate.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_waits_begins_with_comments_where_that_is_asked_for() {
    let settings = "keep_alive = \"50ms\"\nbegin_after = \"60ms\"";
    let up = Upstream::start(late()).await;
    let gate = gate(&up, settings).await;
    let reply = gate.ask(&chat(true)).await;
    assert_eq!(reply.text(), "ab");
    assert!(reply.body.starts_with(COMMENT), "{}", reply.body);
    assert!(reply.body.matches(COMMENT).count() > 1, "{}", reply.body);
    assert!(reply.head.contains("x-request-id"), "{}", reply.head);
    // Who wants the answer whole waits for it.
    let reply = gate.ask(&chat(false)).await;
    assert!(!reply.body.contains(COMMENT), "{}", reply.body);
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_after_such_a_beginning_is_told_in_an_event() {
    let error = http("500 Internal Server Error", "", "{\"error\":{\"message\":\"x\"}}");
    for (path, name) in
        [("/v1/chat/completions", "data: "), ("/v1/messages", "event: error\ndata: ")]
    {
        let up = Upstream::start(vec![Do::Wait(200), say(error.clone())]).await;
        for (settings, status) in [("begin_after = \"60ms\"", 200), ("", 502)] {
            let gate = gate(&up, settings).await;
            let body = chat(true).to_string();
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let reply = exchange(gate.address, &request).await;
            assert_eq!(reply.status, status, "{reply:?}");
            if status == 200 {
                assert!(!reply.whole && !reply.body.contains("[DONE]"), "{reply:?}");
                let event = reply.body.trim_start_matches(COMMENT).trim_end();
                let said: Value = serde_json::from_str(event.strip_prefix(name).expect("an event"))
                    .unwrap_or_else(|error| panic!("{error}: {reply:?}"));
                assert!(said["error"]["message"].is_string(), "{reply:?}");
            }
            let (_, fates) = gate.close().await;
            assert!(matches!(fates[..], [Fate::Failed(_)]), "{fates:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_stream_that_only_has_comments_stops_its_upstream() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let up = Upstream::start(vec![Do::Hang]).await;
    let gate = gate(&up, "keep_alive = \"50ms\"\nbegin_after = \"50ms\"").await;
    let mut client = tokio::net::TcpStream::connect(gate.address).await.expect("a connection");
    client.write_all(crate::gate::post(&chat(true).to_string()).as_bytes()).await.expect("sent");
    let mut some = [0; 64];
    assert!(client.read(&mut some).await.expect("a head") > 0);
    drop(client);
    gate.empty().await;
    let left = async {
        while up.log.left.lock().expect("no panic").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("it is left");
    assert_eq!(gate.close().await, (vec![End::Cancelled], vec![Fate::Cancelled]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_brings_too_little_ends() {
    let mut script = vec![say([SSE, ROLE].concat())];
    for _ in 0..40 {
        script.extend([say(word("a")), Do::Wait(30)]);
    }
    script.push(say([FINISH, DONE].concat()));
    let up = Upstream::start(script).await;
    for (floor, ends) in [(200, End::Failed(Failure::Stalled)), (1, End::Done)] {
        let settings =
            format!("timeouts = {{ floor = {{ tokens_per_second = {floor}, over = \"200ms\" }} }}");
        let gate = Gate::with(&[up.url()], "", &settings, HttpLimits::default()).await;
        let reply = gate.ask(&chat(true)).await;
        assert_eq!(reply.whole, ends == End::Done, "{reply:?}");
        assert!(words(&reply.body).starts_with("aaa"), "{reply:?}");
        assert_eq!(gate.close().await.0, [ends]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_says_was_used_is_marked_as_estimated() {
    let stream = |usage: &str| vec![say([SSE, ROLE, &word("a"), FINISH, usage, DONE].concat())];
    let body = |usage: &str| vec![say(http("200 OK", "", &whole(usage)))];
    let said = ",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}";
    for (script, streams, estimated) in [
        (stream(USAGE), true, false),
        (stream(""), true, true),
        (body(said), false, false),
        (body(""), false, true),
        (vec![say([SSE, ROLE, &word("a")].concat())], true, true),
    ] {
        let up = Upstream::start(script.clone()).await;
        let gate = Gate::over(&[up.url()]).await;
        gate.ask(&chat(streams)).await;
        let used = std::sync::Arc::clone(&gate.used);
        gate.close().await;
        let used = used.lock().expect("no panic").clone();
        assert_eq!(used.len(), 1, "{script:?}");
        assert_eq!(used[0].estimated, estimated, "{script:?} {used:?}");
    }
}
