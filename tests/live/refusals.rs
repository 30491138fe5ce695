//! Whose failure it is that an endpoint answers, told by its status and its words, over real sockets.

use crate::gate::{Do, Gate, SETTINGS, Upstream, chat, http, say, stream_of, text};
use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::json;

fn error(status: &str, body: &str) -> Vec<Do> {
    vec![say(http(status, "", &format!("{{\"error\":{body}}}")))]
}

/// An error as the first event of a stream.
fn inside(body: &str) -> Vec<Do> {
    vec![say([crate::gate::SSE, "data: {\"error\":", body, "}\n\n"].concat()), Do::Hang]
}

const MISSING: &str =
    "{\"code\":\"DeploymentNotFound\",\"message\":\"there is no such deployment\"}";
const LONG: &str = "{\"code\":\"context_length_exceeded\",\"message\":\"This model's maximum context length is 4096 tokens.\"}";
const SPENT: &str = "{\"type\":\"invalid_request_error\",\"message\":\"You have reached your specified API usage limits.\"}";
const POLICY: &str = "{\"code\":\"content_filter\",\"message\":\"filtered\"}";

const HEALTH: &str = "health = { eject = { consecutive = 3, base = \"1m\" }, credential = \"1m\" }";

/// Two pools of one node each, in failover order.
fn two_pools(route: &str) -> String {
    let text = text(2, "", SETTINGS);
    let second = "[[pool.node]]\nname = \"n1\"";
    let pool = format!("[[pool]]\nname = \"q\"\nstrategy = \"round_robin\"\n{second}");
    let route = format!("[[route]]\nmatch = {{}}\nto = [\"p\", \"q\"]\n{route}\n[[class]]");
    text.replace(second, &pool).replace("[[class]]", &route)
}

#[tokio::test]
async fn a_deployment_that_is_gone_fails_over_and_leaves_rotation() {
    let bad = Upstream::start(error("404 Not Found", MISSING)).await;
    let good = Upstream::start(stream_of("hello")).await;
    let settings = format!("{SETTINGS}\n{HEALTH}");
    let gate = Gate::with(&[bad.url(), good.url()], "", &settings, HttpLimits::default()).await;
    for _ in 0..20 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    assert_eq!(bad.seen().len(), 3, "as many as failures in a row eject");
    let (ends, fates) = gate.close().await;
    assert!(ends.contains(&End::Failed(Failure::NotFound)), "{ends:?}");
    assert_eq!(fates, [Fate::Completed; 20]);
}

#[tokio::test]
async fn what_nobody_has_the_client_is_told_in_the_endpoints_words() {
    let ups = [
        Upstream::start(error("404 Not Found", MISSING)).await,
        Upstream::start(error("404 Not Found", MISSING)).await,
        Upstream::start(error("404 Not Found", MISSING)).await,
    ];
    let gate = Gate::over(&ups.each_ref().map(Upstream::url)).await;
    for _ in 0..6 {
        let reply = gate.ask(&chat(true)).await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.json()["error"]["code"], "DeploymentNotFound");
    }
    let seen: usize = ups.iter().map(|up| up.seen().len()).sum();
    assert_eq!(seen, 12, "two are asked, not all");
    gate.close().await;
}

#[tokio::test]
async fn what_is_too_long_for_one_pool_goes_on_to_the_next() {
    for (script, stream) in [
        (error("400 Bad Request", LONG), true),
        (error("413 Too Large", LONG), false),
        (inside(LONG), true),
    ] {
        let small = Upstream::start(script).await;
        let answer = if stream {
            stream_of("hello")
        } else {
            vec![say(http("200 OK", "", &crate::gate::whole("")))]
        };
        let large = Upstream::start(answer).await;
        let gate =
            Gate::of(&two_pools(""), &[small.url(), large.url()], HttpLimits::default()).await;
        assert_eq!(gate.ask(&chat(stream)).await.status, 200);
        let (ends, _) = gate.close().await;
        assert_eq!(ends, [End::Failed(Failure::TooLong), End::Done]);
    }
}

#[tokio::test]
async fn what_is_too_long_for_all_the_client_is_told() {
    let ups = [
        Upstream::start(error("400 Bad Request", LONG)).await,
        Upstream::start(error("400 Bad Request", LONG)).await,
    ];
    let gate = Gate::over(&ups.each_ref().map(Upstream::url)).await;
    let reply = gate.ask(&chat(true)).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (400, &json!("context_length_exceeded"))
    );
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::Failed(Failure::TooLong)], "its peers have the same model");
}

#[tokio::test]
async fn a_key_whose_money_is_spent_rests_however_it_is_told() {
    for script in [error("400 Bad Request", SPENT), inside(SPENT)] {
        let spent = Upstream::start(script).await;
        let good = Upstream::start(stream_of("hello")).await;
        let settings = format!("{SETTINGS}\n{HEALTH}");
        let gate =
            Gate::with(&[spent.url(), good.url()], "", &settings, HttpLimits::default()).await;
        for _ in 0..6 {
            assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
        }
        assert_eq!(spent.seen().len(), 1);
        let (ends, _) = gate.close().await;
        assert!(ends.contains(&End::Failed(Failure::Unauthorized)), "{ends:?}");
    }
}

#[tokio::test]
async fn a_policy_is_told_the_client_unless_the_route_goes_on() {
    for (route, status, tries) in [("", 400, 1), ("content_policy = \"next_pool\"", 200, 2)] {
        let strict = Upstream::start(error("400 Bad Request", POLICY)).await;
        let other = Upstream::start(stream_of("hello")).await;
        let urls = [strict.url(), other.url()];
        let gate = Gate::of(&two_pools(route), &urls, HttpLimits::default()).await;
        assert_eq!(gate.ask(&chat(true)).await.status, status);
        let (ends, _) = gate.close().await;
        assert_eq!(ends.len(), tries);
        assert_eq!(ends[0], End::Failed(Failure::ContentPolicy));
    }
}

#[tokio::test]
async fn a_limit_that_is_none_reaches_the_endpoint_as_it_was_written() {
    for limit in [json!(-1), json!(100.0), json!(0), json!(null), json!(7)] {
        let up = Upstream::start(stream_of("hello")).await;
        let gate = Gate::over(&[up.url()]).await;
        let mut asked = chat(true);
        asked["max_tokens"] = limit.clone();
        assert_eq!(gate.ask(&asked).await.text(), "hello");
        assert_eq!(up.body()["max_tokens"], limit);
        gate.close().await;
    }
    let up = Upstream::start(stream_of("hello")).await;
    let gate = Gate::over(&[up.url()]).await;
    let mut asked = chat(true);
    asked["max_tokens"] = json!("100");
    let reply = gate.ask(&asked).await;
    assert!(reply.status == 400 && up.seen().is_empty(), "{reply:?}");
    gate.close().await;
}
