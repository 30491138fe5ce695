//! Back-pressure over real sockets: an endpoint that asks for a pause gets it, a credential that is
//! spent is not used again, and what the gateway itself refuses is refused at once, in the words of
//! the protocol, with a time to come back, and without a word to any endpoint.

mod gate;

use std::time::Duration;

use gate::{Gate, Upstream, chat, http, say, stream_of};
use plimsoll::balance::{End, Failure};

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
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..2 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    }
    assert_eq!(bad.seen().len(), 2, "once more, and left alone again");
    gate.close().await;
}
