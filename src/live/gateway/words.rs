//! What a client is told of each fate: a status, an error in the protocol's words, a time to stay away.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::balance::{End, Failure, Fate, Reject, TimeoutStage};
use crate::live::wire::openai::ErrorBody;
use crate::live::wire::operation::Operation;
use crate::live::wire::refusal::SaidWords;
use crate::unit::Span;

/// An answer that is none.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Seconds to stay away.
    pub(super) pause: Option<u64>,
}

/// How long a client is to stay away.
enum Pause {
    /// Nobody knows.
    Unsaid,
    /// Until a node serves again.
    NextNode,
    /// So long.
    For(Span),
}

/// What is said of a fate: status, kind of error, code, message for people, pause.
type AnswerWords = (StatusCode, &'static str, &'static str, &'static str, Pause);

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const SERVER: &str = "server_error";
const REQUEST: &str = "invalid_request_error";
const RATE: &str = "rate_limit_error";

/// The table of what is said of every fate that is no answer.
const fn words(fate: Fate) -> AnswerWords {
    use Pause::{For, NextNode, Unsaid};
    match fate {
        Fate::Rejected(Reject::NoNode) => {
            (UNAVAILABLE, SERVER, "no_endpoint", "no endpoint may serve this request", Unsaid)
        }
        // Nobody else has what it goes on from.
        Fate::Rejected(Reject::NotAtHome) => {
            let message = "the endpoint that keeps this session cannot serve it now";
            (UNAVAILABLE, SERVER, "session_unavailable", message, NextNode)
        }
        Fate::Rejected(
            Reject::QueueFull
            | Reject::WaitedTooLong
            | Reject::TooLate
            | Reject::Displaced
            | Reject::Shed,
        ) => (UNAVAILABLE, SERVER, "overloaded", "every endpoint is busy or down", NextNode),
        Fate::Rejected(Reject::RetryBudget) => {
            let message = "too many requests are tried again";
            (UNAVAILABLE, SERVER, "retry_budget_exhausted", message, NextNode)
        }
        Fate::Rejected(Reject::TenantRate(wait)) => {
            (LIMITED, RATE, "rate_limit_exceeded", "you have reached your rate limit", For(wait))
        }
        Fate::Rejected(Reject::Resting(wait)) => {
            let message = "every endpoint has reached its rate limit, and rests";
            (LIMITED, RATE, "rate_limit_exceeded", message, For(wait))
        }
        // As providers word it: no time soon will help, so the pause is that of the next day.
        Fate::Rejected(Reject::Budget(wait)) => {
            let message = "you have spent your budget for the day";
            (LIMITED, "insufficient_quota", "budget_exceeded", message, For(wait))
        }
        Fate::Failed(End::TimedOut(TimeoutStage::FirstToken | TimeoutStage::Total)) => {
            let message = "no endpoint answered in time";
            (StatusCode::GATEWAY_TIMEOUT, SERVER, "upstream_timeout", message, Unsaid)
        }
        Fate::Failed(End::RateLimited) => {
            let message = "every endpoint has reached its rate limit";
            (LIMITED, RATE, "rate_limit_exceeded", message, NextNode)
        }
        Fate::Failed(End::Failed(Failure::Overloaded)) => {
            (UNAVAILABLE, SERVER, "overloaded", "every endpoint is overloaded", NextNode)
        }
        // The client's own credential is not what is wrong.
        Fate::Failed(End::Failed(Failure::Unauthorized)) => {
            let message = "the endpoints refuse the gateway's credentials, or their money is spent";
            (StatusCode::BAD_GATEWAY, SERVER, "upstream_credentials", message, Unsaid)
        }
        Fate::Failed(End::Failed(Failure::TooLong)) => {
            let message = "the request is longer than the context of every endpoint";
            (StatusCode::BAD_REQUEST, REQUEST, "context_length_exceeded", message, Unsaid)
        }
        Fate::Failed(End::Failed(Failure::ContentPolicy)) => {
            let message = "the content policy of the endpoint is against this request";
            (StatusCode::BAD_REQUEST, REQUEST, "content_filter", message, Unsaid)
        }
        Fate::Failed(End::Failed(Failure::Diverged)) => {
            let message = "the answer was cut, and no endpoint gives the same one again";
            (StatusCode::BAD_GATEWAY, SERVER, "answer_cut", message, Unsaid)
        }
        Fate::Failed(End::Failed(Failure::TooLarge)) => {
            let message = "the answer is larger than this gateway takes";
            (StatusCode::BAD_GATEWAY, SERVER, "answer_too_large", message, Unsaid)
        }
        Fate::Failed(_) | Fate::Completed | Fate::Cancelled => {
            (StatusCode::BAD_GATEWAY, SERVER, "bad_gateway", "no endpoint gave an answer", Unsaid)
        }
    }
}

/// What a client is told whose request came to nothing. A node will serve after `next_node` seconds.
pub(super) fn refusal(operation: Operation, fate: Fate, next_node: u64) -> Refusal {
    let (status, kind, code, message, pause) = words(fate);
    let pause = match pause {
        Pause::Unsaid => None,
        Pause::NextNode => Some(next_node),
        Pause::For(wait) => Some(whole_seconds(wait)),
    };
    Refusal { status, body: error(operation, &ErrorBody::new(kind, code, message)), pause }
}

/// Words an error as the clients of an operation expect it.
pub(super) fn error(operation: Operation, error: &ErrorBody) -> Bytes {
    if !operation.is_anthropic() {
        return error.json();
    }
    let kind = match (error.kind, error.code) {
        (SERVER, Some("overloaded")) => "overloaded_error",
        (SERVER, _) => "api_error",
        (_, Some("model_not_found" | "not_found")) => "not_found_error",
        ("insufficient_quota", _) => RATE,
        (kind, _) => kind,
    };
    let told = json!({ "type": kind, "message": error.message, "code": error.code });
    json!({ "type": "error", "error": told }).to_string().into()
}

/// What a client is told whose request itself is at fault, as an endpoint said: in its own words, however
/// they are shaped, and in ours where it has none.
pub(super) fn at_fault(operation: Operation, status: StatusCode, said: Bytes) -> Refusal {
    if !operation.is_anthropic() && is_error(&said) {
        return Refusal { status, body: said, pause: None };
    }
    let words = SaidWords::read(&said).unwrap_or_default();
    let message = words.message.as_deref().unwrap_or("the endpoint refused this request");
    let kind = words.kind.as_deref().unwrap_or(REQUEST);
    let code = words.code.as_deref().unwrap_or("upstream_refused");
    let mut told = json!({ "message": message, "type": kind, "code": code });
    if !operation.is_anthropic() {
        told["param"] = words.param.map_or(Value::Null, Value::String);
    }
    let mut body = json!({ "error": told });
    if operation.is_anthropic() {
        body["type"] = "error".into();
    }
    Refusal { status, body: body.to_string().into(), pause: None }
}

/// Returns whether this is an error of the protocol, with words.
fn is_error(said: &[u8]) -> bool {
    let object = serde_json::from_slice::<Map<String, Value>>(said).unwrap_or_default();
    object.get("error").and_then(|error| error.get("message")).is_some_and(Value::is_string)
}

/// The error event of a stream that breaks off.
pub(super) fn broken(operation: Operation, fate: Fate) -> Bytes {
    event(operation, &refusal(operation, fate, 1).body)
}

/// An error as an event.
pub(super) fn event(operation: Operation, error: &[u8]) -> Bytes {
    let name: &[u8] = match operation {
        Operation::Messages | Operation::Responses => b"event: error\ndata: ",
        _ => b"data: ",
    };
    [name, error, b"\n\n"].concat().into()
}

/// What a client is told to whom nobody will answer any more.
pub(super) fn stopping() -> Refusal {
    let body = ErrorBody::new(SERVER, "stopping", "the gateway is stopping").json();
    Refusal { status: UNAVAILABLE, body, pause: Some(1) }
}

/// Seconds for `Retry-After`: at least one, rounded up.
pub(super) fn whole_seconds(wait: Span) -> u64 {
    wait.0.div_ceil(1_000_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_has_its_words() {
        let wait = Span::from_millis(2_001);
        let rejects = [
            Reject::QueueFull,
            Reject::WaitedTooLong,
            Reject::NoNode,
            Reject::NotAtHome,
            Reject::TooLate,
            Reject::Displaced,
            Reject::TenantRate(wait),
            Reject::Budget(Span::ZERO),
            Reject::RetryBudget,
            Reject::Shed,
            Reject::Resting(wait),
        ];
        let ends = [
            End::Done,
            End::RateLimited,
            End::TimedOut(TimeoutStage::FirstToken),
            End::TimedOut(TimeoutStage::Total),
            End::Cancelled,
            End::Outrun,
        ];
        let fates = [Fate::Completed, Fate::Cancelled].into_iter();
        let fates = fates.chain(ends.map(Fate::Failed));
        let fates = fates.chain(Failure::ALL.map(|failure| Fate::Failed(End::Failed(failure))));
        let fates = fates.chain(rejects.map(Fate::Rejected));
        let line = |fate| {
            let Refusal { status, body, pause } = refusal(CHAT, fate, 9);
            let pause = pause.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
            let body = String::from_utf8_lossy(&body);
            format!("{fate:?}\n  {} {pause} {body}\n", status.as_u16())
        };
        insta::assert_snapshot!(fates.map(line).collect::<String>());
    }

    #[test]
    fn a_pause_is_whole_seconds_and_never_none() {
        let seconds = [0, 1, 999_999_999, 1_000_000_000, 1_000_000_001, u64::MAX].map(Span);
        assert_eq!(seconds.map(whole_seconds), [1, 1, 1, 1, 2, 18_446_744_074]);
    }

    const CHAT: Operation = Operation::Chat;

    #[test]
    fn a_refusal_of_an_endpoint_is_told_in_its_words_however_they_are_shaped() {
        let bad = StatusCode::BAD_REQUEST;
        let error = Bytes::from_static(b"{\"error\":{\"message\":\"too long\"}}");
        assert_eq!(at_fault(CHAT, bad, error.clone()).body, error);
        let told = |operation, said: &str| -> Value {
            let refusal = at_fault(operation, bad, Bytes::copy_from_slice(said.as_bytes()));
            serde_json::from_slice(&refusal.body).expect("JSON")
        };
        for (said, words) in [
            (
                r#"{"object":"error","message":"4096 possible","type":"BadRequestError"}"#,
                "4096 possible",
            ),
            (r#"{"error":"no such field"}"#, "no such field"),
            (r#"{"detail":"logprobs"}"#, "logprobs"),
            (
                r#"{"detail":[{"loc":["body","temperature"],"msg":"at most 2"}]}"#,
                "body.temperature: at most 2",
            ),
            (r#"{"errors":[{"message":"a"},"b"]}"#, "a; b"),
            (r#"[{"error":{"message":"listed","status":"INVALID"}}]"#, "listed"),
            ("the prompt is empty\n", "the prompt is empty"),
        ] {
            let body = told(CHAT, said);
            assert_eq!(body["error"]["message"], words, "{said}");
            let body = told(Operation::Messages, said);
            assert_eq!(
                (&body["type"], &body["error"]["message"]),
                (&json!("error"), &json!(words))
            );
        }
        assert_eq!(
            told(CHAT, r#"{"message":"x","type":"T","code":"c","param":"p"}"#)["error"],
            json!({"message": "x", "type": "T", "code": "c", "param": "p"})
        );
        for said in ["", "<html>no</html>", "[]", "{}", "{\"detail\":7}", "\u{1}\u{2}"] {
            let refusal =
                at_fault(CHAT, StatusCode::NOT_FOUND, Bytes::copy_from_slice(said.as_bytes()));
            let body = String::from_utf8_lossy(&refusal.body).into_owned();
            assert!(body.contains("\"code\":\"upstream_refused\""), "{said}: {body}");
            assert_eq!((refusal.status, refusal.pause), (StatusCode::NOT_FOUND, None));
        }
    }

    #[test]
    fn a_stream_that_breaks_off_says_so_in_one_event() {
        let event = broken(CHAT, Fate::Failed(End::Failed(Failure::Reset)));
        let event = String::from_utf8_lossy(&event).into_owned();
        assert!(event.starts_with("data: {\"error\":{") && event.ends_with("}}\n\n"), "{event}");
        assert_eq!(event.trim_end().lines().count(), 1);
    }
}
