//! What `/readyz` says of a gateway whose endpoints are dead, or fail, over real sockets.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use crate::gate::{Gate, Reply, SETTINGS, Upstream, chat, get, http, say};
use plimsoll::live::http::HttpLimits;

/// Asks until the answer has this status and these words.
async fn until(gate: &Gate, status: u16, words: &str) -> Reply {
    loop {
        let reply = get(gate.address, "/readyz").await;
        if (reply.status, &reply.json()["status"]) == (status, &json!(words)) {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An address that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

#[tokio::test]
async fn a_gateway_whose_endpoints_are_all_dead_is_not_ready() {
    let health = "health = { probe = { every = \"50ms\", fall = 2 } }";
    let settings = format!("{SETTINGS}\n{health}");
    let urls = [nobody().await, nobody().await, nobody().await];
    let gate = Gate::with(&urls, "", &settings, HttpLimits::default()).await;
    until(&gate, 503, "not ready").await;
    assert_eq!(get(gate.address, "/healthz").await.status, 200, "it lives all the same");
    gate.close().await;
}

#[tokio::test]
async fn a_gateway_that_panics_is_ready_and_says_so() {
    let error = || Upstream::start(vec![say(http("500 Internal Server Error", "", "{}"))]);
    let ups = [error().await, error().await];
    let health =
        "health = { eject = { consecutive = 1, base = \"1m\", max_share = 1.0 }, panic = 0.5 }";
    let settings = format!("{SETTINGS}\n{health}");
    let urls = ups.each_ref().map(Upstream::url);
    let gate = Gate::with(&urls, "", &settings, HttpLimits::default()).await;
    until(&gate, 200, "ready").await;
    assert!(gate.ask(&chat(true)).await.status >= 500);
    until(&gate, 200, "panic").await;
    let before: usize = ups.iter().map(|up| up.seen().len()).sum();
    gate.ask(&chat(true)).await;
    let after: usize = ups.iter().map(|up| up.seen().len()).sum();
    assert!(after > before, "better one that may fail than none");
    gate.close().await;
}
