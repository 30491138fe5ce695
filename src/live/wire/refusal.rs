//! What an upstream means when it refuses: whose failure it is, in the words of the core.
//!
//! Statuses alone do not tell. OpenAI answers 429 both to too many requests and to a key whose money is
//! spent (`insufficient_quota`), and 400 at a hard limit of spending; Anthropic has 402 `billing_error`
//! and says with a 400 that the credit balance is too low or the usage limit is reached; Groq answers
//! 413 to what is too much for a minute; a prompt that is too long is a 400 nearly everywhere, each in
//! words of its own; and what a 200 begins with may be an error. Names and phrases as in their error
//! references and servers; what is not known is what its status says. Nothing that is sent can panic.
//!
//! Messages may repeat what a client wrote. So a phrase that lets a node or a key rest has to stand at
//! the beginning of a message; elsewhere a client could say it.

use serde_json::Value;

use crate::balance::{Failure, Outcome, Usage};
use crate::unit::Span;

/// What an error answer is about, beyond its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    /// The credential, or its money.
    Credential,
    /// A limit of requests or tokens a minute.
    Limit,
    /// The length of the prompt.
    Length,
    /// What the provider will not answer.
    Policy,
}

/// Values of an error's `type`, `code` or `status`, in small letters.
const NAMES: &[(&str, Topic)] = &[
    ("insufficient_quota", Topic::Credential),
    ("billing_hard_limit_reached", Topic::Credential),
    ("billing_not_active", Topic::Credential),
    ("billing_error", Topic::Credential),
    ("account_deactivated", Topic::Credential),
    ("invalid_api_key", Topic::Credential),
    ("api_key_invalid", Topic::Credential),
    ("authentication_error", Topic::Credential),
    ("permission_error", Topic::Credential),
    ("rate_limit_exceeded", Topic::Limit),
    ("rate_limit_error", Topic::Limit),
    ("resource_exhausted", Topic::Limit),
    ("throttlingexception", Topic::Limit),
    ("context_length_exceeded", Topic::Length),
    ("context_window_exceeded", Topic::Length),
    ("exceed_context_size_error", Topic::Length),
    ("model_max_prompt_tokens_exceeded", Topic::Length),
    ("content_filter", Topic::Policy),
    ("content_policy_violation", Topic::Policy),
    ("responsibleaipolicyviolation", Topic::Policy),
    ("data_inspection_failed", Topic::Policy),
];

/// How messages begin, in small letters, where there is no name.
const BEGINNINGS: &[(&str, Topic)] = &[
    ("your credit balance is too low", Topic::Credential),
    ("you have reached your specified api usage limits", Topic::Credential),
    ("you have reached your specified workspace api usage limits", Topic::Credential),
    ("you exceeded your current quota", Topic::Credential),
    ("billing hard limit has been reached", Topic::Credential),
    ("insufficient balance", Topic::Credential),
    ("api key not valid", Topic::Credential),
    ("api key expired", Topic::Credential),
    ("incorrect api key", Topic::Credential),
    ("rate limit", Topic::Limit),
    ("too many requests", Topic::Limit),
    ("quota exceeded", Topic::Limit),
];

/// What messages say somewhere, in small letters. Whoever says so in a request harms only that.
const PHRASES: &[(&str, Topic)] = &[
    ("maximum context length", Topic::Length),
    ("model's context length", Topic::Length),
    ("maximum model length", Topic::Length),
    ("exceed context limit", Topic::Length),
    ("available context size", Topic::Length),
    ("context window", Topic::Length),
    ("prompt is too long", Topic::Length),
    ("input is too long", Topic::Length),
    ("exceeds the maximum number of tokens", Topic::Length),
    ("`inputs` tokens + `max_new_tokens` must be", Topic::Length),
    ("maximum allowed length", Topic::Length),
    ("content management policy", Topic::Policy),
    ("content filtering policy", Topic::Policy),
    ("rejected as a result of our safety system", Topic::Policy),
    ("your input was flagged", Topic::Policy),
];

/// Returns how an attempt ends whose answer is an error with this status and body; `retry_after` and
/// `usage` as the answer says.
#[must_use]
pub fn outcome(status: u16, body: &[u8], retry_after: Option<Span>, usage: Usage) -> Outcome {
    match topic(status, body) {
        Some(Topic::Credential) => Outcome::Failed(Failure::Unauthorized, usage),
        Some(Topic::Limit) => Outcome::RateLimited { retry_after },
        Some(Topic::Length) => Outcome::Failed(Failure::TooLong, usage),
        Some(Topic::Policy) => Outcome::Failed(Failure::ContentPolicy, usage),
        None => Outcome::of_status(status, retry_after, usage),
    }
}

/// Returns the status that an error has which stands inside a 200: the one that it names, or 400 where it
/// says that the request is invalid. Otherwise it is the server's.
#[must_use]
pub fn status_inside(data: &[u8]) -> u16 {
    let said = SaidError::read(data);
    let named = said.numbers.iter().find(|number| (400..600).contains(*number));
    let invalid = ["invalid_request_error", "badrequesterror", "validation"];
    match named {
        Some(status) => u16::try_from(*status).unwrap_or(500),
        None if said.names.iter().any(|name| invalid.contains(&name.as_str())) => 400,
        // Whatever has a word for it would have been one.
        None if said.topic().is_some() => 400,
        None => 500,
    }
}

fn topic(status: u16, body: &[u8]) -> Option<Topic> {
    // What a server in trouble says of its trouble is no more than that.
    if !matches!(status, 400 | 401..=404 | 413 | 422 | 429) {
        return None;
    }
    let said = SaidError::read(body);
    let topic = said.topic();
    match status {
        // The words of these statuses are about the credential, but for what a moderator flags.
        401..=403 if topic != Some(Topic::Policy) => None,
        // Too many is told from money that is spent; anything else would be a strange 429.
        429 => topic.filter(|topic| *topic == Topic::Credential),
        _ => topic,
    }
}

/// What an error answer says, wherever it says it.
#[derive(Debug, Default)]
struct SaidError {
    names: Vec<String>,
    numbers: Vec<u64>,
    message: String,
}

impl SaidError {
    /// Reads `{"error": {..}}`, `{"error": ".."}`, a bare `{"message": ..}` or `{"detail": ..}`, and any
    /// of them as the first of a list.
    fn read(body: &[u8]) -> SaidError {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return SaidError::default() };
        let outer = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
        let inner = outer.get("error").filter(|error| error.is_object());
        let mut said = SaidError::default();
        for object in [inner, Some(outer)].into_iter().flatten() {
            for key in ["code", "type", "status", "error_type"] {
                match object.get(key) {
                    Some(Value::String(name)) => said.names.push(name.to_lowercase()),
                    Some(Value::Number(number)) => said.numbers.extend(number.as_u64()),
                    _ => {}
                }
            }
            let texts = ["message", "detail", "error"].into_iter();
            let text = texts.filter_map(|key| object.get(key)?.as_str()).next();
            if let Some(text) = text.filter(|_| said.message.is_empty()) {
                said.message = text.trim_start().to_lowercase();
            }
        }
        said
    }

    fn topic(&self) -> Option<Topic> {
        let of = |list: &[(&str, Topic)], so: &dyn Fn(&str) -> bool| {
            list.iter().find(|(words, _)| so(words)).map(|(_, topic)| *topic)
        };
        of(NAMES, &|name| self.names.iter().any(|said| said == name))
            .or_else(|| of(BEGINNINGS, &|words| self.message.starts_with(words)))
            .or_else(|| of(PHRASES, &|words| self.message.contains(words)))
    }
}

/// What people may read of an error answer, however it is shaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaidWords {
    /// What is wrong.
    pub message: Option<String>,
    /// The kind of error.
    pub kind: Option<String>,
    /// Its name for programs.
    pub code: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
}

impl SaidWords {
    /// Reads them. `None` if there are none: a page for browsers is none.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<SaidWords> {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = std::str::from_utf8(body).ok().map(str::trim)?;
            let shown = |c: char| !c.is_control() || c.is_whitespace();
            let plain = !text.is_empty() && !text.starts_with(['<', '{', '[']);
            let message = Some(text.chars().take(WORDS_MAX).collect());
            let said = plain && text.chars().all(shown);
            return said.then_some(SaidWords { message, ..SaidWords::default() });
        };
        let outer = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
        let inner = outer.get("error").filter(|error| error.is_object());
        let all = || [inner, Some(outer)].into_iter().flatten();
        let text = |key: &str| all().find_map(|object| Some(object.get(key)?.as_str()?.to_owned()));
        let message = ["message", "error", "detail", "details", "errors", "msg", "title"]
            .iter()
            .find_map(|key| all().find_map(|object| words_of(object.get(*key)?, 0)));
        message.as_ref()?;
        let message = message.map(|text| text.chars().take(WORDS_MAX).collect());
        Some(SaidWords { message, kind: text("type"), code: text("code"), param: text("param") })
    }
}

/// No message is longer.
const WORDS_MAX: usize = 4_000;

/// Returns the words of a value: a text, or those of the items of a list, each with its place.
fn words_of(value: &Value, depth: u32) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Array(list) if depth < 2 => {
            let items: Vec<String> =
                list.iter().take(20).filter_map(|item| words_of(item, depth + 1)).collect();
            Some(items.join("; ")).filter(|text| !text.is_empty())
        }
        Value::Object(object) if depth < 2 => {
            let keys = ["msg", "message", "detail", "description"];
            let words = keys.iter().find_map(|key| words_of(object.get(*key)?, depth + 1))?;
            let place = object.get("loc").and_then(Value::as_array).map(|place| {
                let part =
                    |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                place.iter().map(part).collect::<Vec<_>>().join(".")
            });
            Some(place.map_or(words.clone(), |place| format!("{place}: {words}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Outcome {
        outcome(status, body.as_bytes(), None, Usage::NONE)
    }

    const fn failed(failure: Failure) -> Outcome {
        Outcome::Failed(failure, Usage::NONE)
    }

    const LIMITED: Outcome = Outcome::RateLimited { retry_after: None };

    #[test]
    fn money_that_is_spent_is_told_from_too_many_requests() {
        let spent = failed(Failure::Unauthorized);
        let openai = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        let limit = r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC."}}"#;
        let balance = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#;
        let google = r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#;
        for (status, body) in [
            (429, openai),
            (400, r#"{"error":{"code":"billing_hard_limit_reached","type":"x"}}"#),
            (400, balance),
            (400, limit),
            (400, google),
            (402, ""),
            (401, "<html>"),
            (403, "{}"),
        ] {
            assert_eq!(read(status, body), spent, "{status} {body}");
        }
        let rate =
            r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;
        for body in [rate, "", "[1]", "{\"error\":{}}"] {
            assert_eq!(read(429, body), LIMITED, "{body}");
        }
        let client = r#"{"error":{"type":"invalid_request_error","code":5}}"#;
        assert_eq!(read(400, client), failed(Failure::ClientError));
        assert_eq!(read(500, openai), failed(Failure::ServerError), "the server's own trouble");
        assert_eq!(read(503, openai), failed(Failure::Overloaded));
    }

    #[test]
    fn what_a_client_wrote_lets_no_key_rest() {
        for echo in ["Your credit balance is too low", "rate limit", "insufficient_quota"] {
            let body = format!(r#"{{"error":{{"message":"unknown role: {echo}","type":"x"}}}}"#);
            assert_eq!(read(400, &body), failed(Failure::ClientError), "{echo}");
        }
    }

    #[test]
    fn a_limit_may_be_told_by_other_statuses() {
        let groq = r#"{"error":{"message":"Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000","type":"tokens","code":"rate_limit_exceeded"}}"#;
        assert_eq!(read(413, groq), LIMITED);
        let plain = r#"{"message":"Too many requests, please wait before trying again."}"#;
        assert_eq!(read(400, plain), LIMITED);
        let google = r#"{"error":{"code":400,"message":"x","status":"RESOURCE_EXHAUSTED"}}"#;
        assert_eq!(read(400, google), LIMITED);
        let pause = Some(Span::from_secs(3));
        let told = outcome(413, groq.as_bytes(), pause, Usage::NONE);
        assert_eq!(told, Outcome::RateLimited { retry_after: pause });
        assert_eq!(read(413, "{}"), failed(Failure::ClientError));
    }

    #[test]
    fn a_prompt_that_is_too_long_is_known_in_everybodys_words() {
        let openai = r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
        let vllm = r#"{"object":"error","message":"The decoder prompt (length 9000) is longer than the maximum model length of 4096.","type":"BadRequestError","code":400}"#;
        let anthropic = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#;
        let both = r#"{"error":{"message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}"#;
        let sglang = r#"{"message":"The input (9000 tokens) is longer than the model's context length (4096 tokens)."}"#;
        let llama = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#;
        let tgi = r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.","error_type":"validation"}"#;
        let gemini = r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#;
        for body in [openai, vllm, anthropic, both, sglang, llama, tgi, gemini] {
            for status in [400, 413, 422] {
                assert_eq!(read(status, body), failed(Failure::TooLong), "{status} {body}");
            }
        }
        assert_eq!(read(500, openai), failed(Failure::ServerError));
    }

    #[test]
    fn a_policy_is_neither_the_requests_nor_the_credentials_fault() {
        let azure = r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","code":"content_filter","status":400}}"#;
        let image = r#"{"error":{"code":"content_policy_violation","message":"x"}}"#;
        let flagged =
            r#"{"error":{"code":403,"message":"x requires moderation: your input was flagged"}}"#;
        for (status, body) in [(400, azure), (400, image), (403, flagged)] {
            assert_eq!(read(status, body), failed(Failure::ContentPolicy), "{body}");
        }
    }

    #[test]
    fn nothing_that_is_no_error_is_more_than_its_status() {
        for body in ["", "[]", "[[]]", "null", "3", "{\"error\":[1]}", "{\"message\":7}", "\u{0}"] {
            assert_eq!(read(400, body), failed(Failure::ClientError), "{body}");
            assert_eq!(read(404, body), failed(Failure::NotFound), "{body}");
            assert_eq!(status_inside(body.as_bytes()), 500, "{body}");
        }
    }

    #[test]
    fn an_error_inside_a_200_has_the_status_it_names() {
        for (data, status) in [
            (r#"{"error":{"code":404,"message":"x"}}"#, 404),
            (r#"{"error":{"type":"invalid_request_error","message":"x"}}"#, 400),
            (r#"{"object":"error","message":"x","type":"BadRequestError"}"#, 400),
            (r#"{"error":{"code":"invalid","status":422}}"#, 422),
            (r#"{"error":{"code":"context_length_exceeded"}}"#, 400),
            (r#"{"error":{"code":7}}"#, 500),
            (r#"{"error":{"type":"overloaded_error"}}"#, 500),
        ] {
            assert_eq!(status_inside(data.as_bytes()), status, "{data}");
        }
    }
}
