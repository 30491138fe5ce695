//! What an upstream means when it refuses: whether its credential is at fault rather than load or the
//! request.
//!
//! Statuses alone do not tell. OpenAI answers 429 both to too many requests and to a key whose money is
//! spent (`insufficient_quota`), and 400 at a hard limit of spending; Anthropic has 402 `billing_error`
//! and says with a 400 that the credit balance is too low. Names as in their error references; what is
//! not known is what its status says. Nothing that is sent can panic.

use hyper::StatusCode;
use serde_json::Value;

/// Values of an error's `type` or `code` that are about a credential, whatever the status.
const OF_CREDENTIAL: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "account_deactivated",
    "invalid_api_key",
    "authentication_error",
    "permission_error",
];

/// Anthropic has no code for this one.
const BALANCE: &str = "credit balance is too low";

/// Returns whether an error answer is about the credential it was asked with: so it is with 401, 402
/// and 403, and with a few others if they say so.
#[must_use]
pub fn is_of_credential(status: StatusCode, body: &[u8]) -> bool {
    match status.as_u16() {
        401..=403 => true,
        400 | 429 => says_so(body),
        _ => false,
    }
}

fn says_so(body: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return false };
    let Some(error) = value.get("error") else { return false };
    let word = |key: &str| error.get(key).and_then(Value::as_str);
    let named = ["type", "code"].into_iter().filter_map(word);
    let balance = word("message").is_some_and(|message| message.contains(BALANCE));
    balance || named.into_iter().any(|name| OF_CREDENTIAL.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_that_is_spent_is_told_from_too_many_requests() {
        let read = |status: u16, body: &str| {
            is_of_credential(StatusCode::from_u16(status).expect("a status"), body.as_bytes())
        };
        let openai = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        assert!(read(429, openai));
        assert!(read(400, r#"{"error":{"code":"billing_hard_limit_reached","type":"x"}}"#));
        let anthropic = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#;
        assert!(read(400, anthropic));
        assert!(read(402, "") && read(401, "<html>") && read(403, "{}"));
        let rate =
            r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;
        assert!(!read(429, rate) && !read(429, "") && !read(429, "[1]"));
        assert!(!read(429, r#"{"error":"insufficient_quota"}"#) && !read(429, "{\"error\":{}}"));
        assert!(!read(400, r#"{"error":{"type":"invalid_request_error","code":5}}"#));
        assert!(!read(500, openai) && !read(503, openai), "the server's own trouble");
    }
}
