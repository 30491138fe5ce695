//! What a mock node answers instead of an answer, and what it says of its limits.

use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::answer::error;
use crate::balance::{Failure, Outcome};
use crate::live::http::Body;
use crate::live::wire::openai::ErrorBody;
use crate::node::{ErrorAnswer, RemainingLimit, RemainingQuota};
use crate::unit::Span;

/// The answer to an attempt that failed before its first token; `answer` is what a fault says.
pub(super) async fn failed(outcome: Outcome, answer: Option<ErrorAnswer>) -> Response<Body> {
    if let Some(answer) = answer {
        return refused(answer);
    }
    match outcome {
        Outcome::RateLimited { retry_after } => limited(retry_after),
        Outcome::Failed(Failure::ServerError, _) => refused(ErrorAnswer::ServerError),
        Outcome::Failed(Failure::TooLong, _) => {
            let message = "the node has no room for a request of this length";
            let body = ErrorBody::new("invalid_request_error", "context_length_exceeded", message);
            error(StatusCode::BAD_REQUEST, &body)
        }
        Outcome::Failed(Failure::Overloaded, _) => refused(ErrorAnswer::Overloaded),
        // Crashed: the connection is being reset, and nothing is to be said on it before.
        _ => std::future::pending().await,
    }
}

/// The answer of a fault.
fn refused(answer: ErrorAnswer) -> Response<Body> {
    let (kind, code, message) = match answer {
        ErrorAnswer::RateLimited(retry_after) => return limited(retry_after),
        ErrorAnswer::SpendCap(429) => {
            ("requests", "insufficient_quota", "the money of the key is spent")
        }
        // As providers say it that have no code for it.
        ErrorAnswer::SpendCap(_) => {
            let message = "You have reached your specified API usage limits.";
            ("invalid_request_error", "invalid_request", message)
        }
        ErrorAnswer::Limit(_) => {
            ("tokens", "rate_limit_exceeded", "the limit of the mock node is reached")
        }
        ErrorAnswer::ContentPolicy => {
            ("invalid_request_error", "content_filter", "the mock node's policy is against this")
        }
        ErrorAnswer::Status(404) => {
            ("invalid_request_error", "model_not_found", "the mock node has no such model")
        }
        ErrorAnswer::Overloaded | ErrorAnswer::Status(503 | 529) => {
            ("server_error", "overloaded", "the mock node is overloaded")
        }
        ErrorAnswer::Status(401..=403) => {
            ("invalid_request_error", "invalid_api_key", "the mock node refuses the key")
        }
        ErrorAnswer::Status(400..=499) => {
            ("invalid_request_error", "invalid_request", "the mock node refuses the request")
        }
        ErrorAnswer::ServerError | ErrorAnswer::Status(_) => {
            ("server_error", "internal_error", "the mock node failed")
        }
    };
    let status = StatusCode::from_u16(answer.status());
    error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &ErrorBody::new(kind, code, message))
}

fn limited(retry_after: Option<Span>) -> Response<Body> {
    let message = "the limit of the mock node is reached";
    let body = ErrorBody::new("requests", "rate_limit_exceeded", message);
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, &body);
    if let Some(span) = retry_after {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, span.0.div_ceil(1_000_000_000).into());
        headers.insert("retry-after-ms", span.0.div_ceil(1_000_000).into());
    }
    response
}

/// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, for the limits there are.
pub(super) fn quota_headers(headers: &mut HeaderMap, quota: &RemainingQuota) {
    let mut put = |name: [&'static str; 3], allowance: Option<RemainingLimit>| {
        let Some(allowance) = allowance else { return };
        headers.insert(name[0], allowance.limit.into());
        headers.insert(name[1], allowance.left.into());
        if let Ok(reset) = HeaderValue::from_str(&duration(allowance.full_in)) {
            headers.insert(name[2], reset);
        }
    };
    let requests = [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ];
    let tokens =
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
    put(requests, quota.requests);
    put(tokens, quota.tokens);
}

/// As providers write it: `850ms`, `7.66s`, `6m0s`.
fn duration(span: Span) -> String {
    let millis = span.0.div_ceil(1_000_000);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}s", millis as f64 / 1e3),
        _ => format!("{}m{}s", millis / 60_000, (millis % 60_000) as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::balance::Usage;
    use crate::live::wire::refusal;
    use crate::node::fault::STATUSES;

    /// What a gateway makes of an answer.
    async fn read(response: Response<Body>) -> Outcome {
        let status = response.status().as_u16();
        let pause = response.headers().get("retry-after-ms").and_then(|it| it.to_str().ok());
        let pause = pause.and_then(|millis| millis.parse().ok()).map(Span::from_millis);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        refusal::outcome(status, &body, pause, Usage::NONE)
    }

    #[tokio::test]
    async fn what_a_mock_node_answers_means_live_what_it_means_simulated() {
        let told = [400, 402, 403, 413, 429];
        let mut answers = vec![
            ErrorAnswer::ServerError,
            ErrorAnswer::Overloaded,
            ErrorAnswer::RateLimited(None),
            ErrorAnswer::RateLimited(Some(Span::from_millis(1_500))),
            ErrorAnswer::ContentPolicy,
        ];
        answers.extend(STATUSES.iter().copied().map(ErrorAnswer::Status));
        answers.extend(told.map(ErrorAnswer::SpendCap));
        answers.extend([400, 413].map(ErrorAnswer::Limit));
        for answer in answers {
            assert_eq!(read(refused(answer)).await, answer.outcome(), "{answer:?}");
        }
        for failure in [Failure::TooLong, Failure::ServerError, Failure::Overloaded] {
            let outcome = Outcome::Failed(failure, Usage::NONE);
            assert_eq!(read(failed(outcome, None).await).await, outcome);
        }
    }

    #[test]
    fn durations_are_written_as_providers_do() {
        assert_eq!(duration(Span::from_millis(850)), "850ms");
        assert_eq!(duration(Span::from_millis(7_660)), "7.66s");
        assert_eq!(duration(Span::from_secs(360)), "6m0s");
    }
}
