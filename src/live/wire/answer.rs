//! What an OpenAI-compatible upstream says, read leniently: unknown fields are ignored, missing ones
//! are estimated, absurd ones are clamped, and nothing it sends can panic.

use serde_json::Value;

use crate::balance::Usage;
use crate::unit::Tokens;

/// No answer and no prompt has more tokens.
const TOKENS_MAX: u64 = 1 << 32;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerPiece {
    /// `[DONE]`: nothing follows.
    Done,
    /// An error inside a stream that began well.
    Error,
    /// A chunk.
    Chunk {
        /// Whether it carries something a person would see: text, reasoning, a refusal, a tool call.
        content: bool,
        /// Whether it says why the answer ended.
        finished: bool,
        /// Tokens, if it says so.
        usage: Option<Usage>,
        /// Whether it has no choices, as the chunk that only carries usage.
        bare: bool,
    },
}

/// Reads the data of one event. `None` if it is not what it should be.
#[must_use]
pub fn piece(data: &str) -> Option<AnswerPiece> {
    if data.trim() == "[DONE]" {
        return Some(AnswerPiece::Done);
    }
    let value: Value = serde_json::from_str(data).ok()?;
    let object = value.as_object()?;
    if object.get("error").is_some_and(|error| !error.is_null()) {
        return Some(AnswerPiece::Error);
    }
    let none = Vec::new();
    let choices = object.get("choices").and_then(Value::as_array).unwrap_or(&none);
    let finished = choices
        .iter()
        .any(|choice| choice.get("finish_reason").is_some_and(|reason| !reason.is_null()));
    let failed = choices
        .iter()
        .any(|choice| choice.get("finish_reason").and_then(Value::as_str) == Some("error"));
    if failed {
        return Some(AnswerPiece::Error);
    }
    let content = choices.iter().filter_map(|choice| choice.get("delta")).any(has_content);
    Some(AnswerPiece::Chunk { content, finished, usage: usage(&value), bare: choices.is_empty() })
}

fn has_content(delta: &Value) -> bool {
    ["content", "reasoning_content", "reasoning", "refusal"]
        .iter()
        .any(|key| delta.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty()))
        || delta.get("tool_calls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty())
}

/// Reads a whole answer: its usage, where it says so. `None` if it is not one.
#[must_use]
pub fn whole(body: &[u8]) -> Option<Option<Usage>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let choices = value.get("choices")?.as_array()?;
    let failed = value.get("error").is_some_and(|error| !error.is_null());
    (!choices.is_empty() && !failed).then(|| usage(&value))
}

/// Reads usage; negative counts are zero and absurd ones are as good as absent.
fn usage(value: &Value) -> Option<Usage> {
    let usage = value.get("usage").filter(|usage| usage.is_object())?;
    let count = |value: Option<&Value>| -> Option<u64> {
        let value = value?;
        let count = value.as_u64().or_else(|| value.as_f64().map(|count| count as u64))?;
        (count <= TOKENS_MAX).then_some(count)
    };
    let input = count(usage.get("prompt_tokens"))?;
    let output = count(usage.get("completion_tokens"))?;
    let details = usage.get("prompt_tokens_details");
    let cached = count(details.and_then(|details| details.get("cached_tokens"))).unwrap_or(0);
    Some(Usage { input: Tokens(input), cached: Tokens(cached.min(input)), output: Tokens(output) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_for_what_matters() {
        let chunk = |data: &str| match piece(data) {
            Some(AnswerPiece::Chunk { content, finished, usage, bare }) => {
                (content, finished, usage.is_some(), bare)
            }
            other => panic!("{data}: {other:?}"),
        };
        assert_eq!(
            chunk(r#"{"choices":[{"delta":{"role":"assistant"}}]}"#),
            (false, false, false, false)
        );
        assert_eq!(
            chunk(r#"{"choices":[{"delta":{"content":""}}]}"#),
            (false, false, false, false)
        );
        assert_eq!(
            chunk(r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#),
            (true, false, false, false)
        );
        assert_eq!(
            chunk(r#"{"choices":[{"delta":{"tool_calls":[{}]}}]}"#),
            (true, false, false, false)
        );
        assert_eq!(
            chunk(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#),
            (false, true, false, false)
        );
        assert_eq!(
            chunk(r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#),
            (false, false, true, true)
        );
        assert_eq!(chunk(r#"{"choices":null,"usage":null}"#), (false, false, false, true));
        assert_eq!(piece(" [DONE] "), Some(AnswerPiece::Done));
        assert_eq!(piece(r#"{"error":{"message":"x"}}"#), Some(AnswerPiece::Error));
        assert_eq!(piece(r#"{"choices":[{"finish_reason":"error"}]}"#), Some(AnswerPiece::Error));
        for bad in ["", "{", "[]", "7", r#"{"choices"#] {
            assert_eq!(piece(bad), None, "{bad}");
        }
    }

    #[test]
    fn usage_that_lies_is_clamped_or_dropped() {
        let read = |usage: &str| {
            whole(format!(r#"{{"choices":[{{}}],"usage":{usage}}}"#).as_bytes()).expect("an answer")
        };
        let good = read(
            r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":99}}"#,
        );
        let cached = Usage { input: Tokens(10), cached: Tokens(10), output: Tokens(3) };
        assert_eq!(good, Some(cached), "no more is cached than there is");
        let negative = read(r#"{"prompt_tokens":-4,"completion_tokens":3}"#);
        assert_eq!(negative.map(|usage| usage.input), Some(Tokens(0)));
        assert_eq!(read(r#"{"prompt_tokens":1e300,"completion_tokens":3}"#), None);
        assert_eq!(read("null"), None);
        assert_eq!(read("[]"), None);
        assert_eq!(whole(b"<html>"), None);
        assert_eq!(whole(br#"{"choices":[]}"#), None);
    }
}
