//! The OpenAI chat-completions protocol as servers see it: requests in, answers, chunks and errors
//! out.
//!
//! Unknown fields of a request are ignored, as the protocol grows all the time; what is read is
//! checked by its type. Source: the OpenAI API reference, chat completions and streaming events.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::estimate_tokens;
use crate::workload::{PromptFeatures, complexity};

/// What ends a stream that ended well.
pub const DONE: &str = "data: [DONE]\n\n";

/// Tokens every message costs beside its text: its role and its brackets.
const MESSAGE_TOKENS: u64 = 3;

/// The body of `POST /v1/chat/completions`.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatRequest {
    /// The model asked for.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Whether the answer is to come as a stream of events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// What the stream is to contain.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// The answer has at most so many tokens; the older name.
    #[serde(default, deserialize_with = "most_tokens")]
    pub max_tokens: Option<u64>,
    /// The answer has at most so many tokens.
    #[serde(default, deserialize_with = "most_tokens")]
    pub max_completion_tokens: Option<u64>,
    /// Generate up to the limit, whatever the model says (an extension of engines).
    #[serde(default)]
    pub ignore_eos: Option<bool>,
    /// Who asks.
    #[serde(default, deserialize_with = "any_name")]
    pub user: Option<String>,
    /// So many answers are wanted.
    #[serde(default, deserialize_with = "most_tokens")]
    pub n: Option<u64>,
}

/// Reads a limit of tokens. Engines take -1 for no limit; JSON has one kind of number, so 100.0 is 100.
/// What can be no limit, zero or a part of a token, is none that we could keep: whoever is asked gets it
/// as it was written, and may refuse it. Text is refused, as it is by the API.
fn most_tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.as_ref().and_then(whole_tokens))
}

/// Reads such a limit where it stands alone.
///
/// # Errors
/// If it is no number.
pub fn token_limit(text: &str) -> Result<Option<u64>, String> {
    let number: Result<serde_json::Number, _> = serde_json::from_str(text);
    number.map(|number| whole_tokens(&number)).map_err(|_| format!("this is no number: {text:.40}"))
}

fn whole_tokens(number: &serde_json::Number) -> Option<u64> {
    let whole = number.as_u64().or_else(|| {
        let number = number.as_f64()?;
        // Beyond this not every whole number is one of its own; no answer is so long.
        (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
    });
    whole.filter(|most| *most > 0)
}

/// Reads a name; what is no text, as engines take it, is none.
fn any_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let said = serde_json::Value::deserialize(deserializer)?;
    Ok(said.as_str().map(str::to_owned))
}

/// What a stream is to contain.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct StreamOptions {
    /// A last chunk with the usage.
    #[serde(default)]
    pub include_usage: Option<bool>,
}

/// A message of a conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatMessage {
    /// Whose it is.
    pub role: String,
    /// What it says.
    #[serde(default)]
    pub content: Option<Content>,
}

/// What a message says.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts, of which only texts count here.
    Parts(Vec<ContentPart>),
}

/// A part of a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ContentPart {
    /// A text by itself.
    Text(String),
    /// A part that says what it is.
    Named {
        /// Its text, if it is one.
        #[serde(default)]
        text: Option<String>,
    },
}

impl ContentPart {
    fn text(&self) -> Option<&str> {
        match self {
            ContentPart::Text(text) => Some(text),
            ContentPart::Named { text } => text.as_deref(),
        }
    }
}

impl ChatRequest {
    /// Returns whether the answer is to be streamed.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.stream == Some(true)
    }

    /// Returns whether a stream is to end with its usage.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        self.stream_options.is_some_and(|options| options.include_usage == Some(true))
    }

    /// Returns how many tokens the answer may have, if the request says so.
    #[must_use]
    pub fn output_max(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Returns what is cheap to see of how hard it is: in the last message of the user, and in how much
    /// came before.
    #[must_use]
    pub fn features(&self) -> PromptFeatures {
        let asks = self.messages.iter().rposition(|message| message.role == "user");
        let turns = asks.unwrap_or(self.messages.len()) as u32;
        let last = asks.map(|last| self.messages[last].text()).unwrap_or_default();
        PromptFeatures {
            bytes: self
                .messages
                .iter()
                .flat_map(ChatMessage::texts)
                .map(|text| text.len() as u64)
                .sum(),
            turns,
            wanted: self.output_max(),
            ..PromptFeatures::of(&last)
        }
    }

    /// Estimates the tokens of the prompt; at least one.
    #[must_use]
    pub fn prompt_tokens(&self) -> u64 {
        self.messages.iter().map(ChatMessage::tokens).sum::<u64>().max(1)
    }
}

impl ChatMessage {
    fn tokens(&self) -> u64 {
        self.texts().map(estimate_tokens).sum::<u64>() + MESSAGE_TOKENS
    }

    /// Its texts, part by part.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let (whole, parts) = match &self.content {
            None => (None, &[][..]),
            Some(Content::Text(text)) => (Some(text.as_str()), &[][..]),
            Some(Content::Parts(parts)) => (None, parts.as_slice()),
        };
        whole.into_iter().chain(parts.iter().filter_map(ContentPart::text))
    }

    /// Its text, parts on lines of their own; no more than is read of it.
    fn text(&self) -> Cow<'_, str> {
        if let Some(Content::Text(text)) = &self.content {
            return Cow::Borrowed(text);
        }
        let mut whole = String::new();
        for text in self.texts() {
            if whole.len() >= complexity::READ_MAX {
                break;
            }
            whole.push_str(text);
            whole.push('\n');
        }
        Cow::Owned(whole)
    }
}

/// Tokens used, as billed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UsageBody {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Their sum.
    pub total_tokens: u64,
    /// What is special about the prompt's tokens.
    pub prompt_tokens_details: PromptDetails,
}

/// What is special about the prompt's tokens.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PromptDetails {
    /// Those that were cached.
    pub cached_tokens: u64,
}

impl From<crate::balance::Usage> for UsageBody {
    fn from(usage: crate::balance::Usage) -> UsageBody {
        UsageBody {
            prompt_tokens: usage.input.0,
            completion_tokens: usage.output.0,
            total_tokens: (usage.input + usage.output).0,
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached.0 },
        }
    }
}

/// What all parts of one answer have in common.
#[derive(Clone, Debug)]
pub struct Head {
    /// Names the answer.
    pub id: String,
    /// When it was made, in seconds of Unix time.
    pub created: u64,
    /// The model that made it.
    pub model: String,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// The limit of the request was reached.
    Length,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: UsageBody,
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    message: AnswerMessage<'a>,
    logprobs: Option<()>,
    finish_reason: FinishReason,
}

#[derive(Debug, Serialize)]
struct AnswerMessage<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
}

#[derive(Debug, Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<FinishReason>,
}

#[derive(Debug, Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

impl Head {
    /// A whole answer.
    #[must_use]
    pub fn completion(
        &self,
        content: &str,
        finish_reason: FinishReason,
        usage: UsageBody,
    ) -> Bytes {
        let message = AnswerMessage { role: "assistant", content, refusal: None };
        json(&Completion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: [Choice { index: 0, message, logprobs: None, finish_reason }],
            usage,
        })
    }

    /// The event that opens a stream: whose words follow.
    pub fn write_role(&self, out: &mut Vec<u8>) {
        let delta = Delta { role: Some("assistant"), content: Some("") };
        self.write(out, &[ChunkChoice { index: 0, delta, finish_reason: None }], None);
    }

    /// An event with words.
    pub fn write_content(&self, out: &mut Vec<u8>, content: &str) {
        let delta = Delta { role: None, content: Some(content) };
        self.write(out, &[ChunkChoice { index: 0, delta, finish_reason: None }], None);
    }

    /// The event that says why the answer ends.
    pub fn write_finish(&self, out: &mut Vec<u8>, reason: FinishReason) {
        let finish = ChunkChoice { index: 0, delta: Delta::default(), finish_reason: Some(reason) };
        self.write(out, &[finish], None);
    }

    /// The event with the usage, for those who asked for it.
    pub fn write_usage(&self, out: &mut Vec<u8>, usage: UsageBody) {
        self.write(out, &[], Some(usage));
    }

    fn write(&self, out: &mut Vec<u8>, choices: &[ChunkChoice<'_>], usage: Option<UsageBody>) {
        let object = "chat.completion.chunk";
        let (id, model) = (self.id.as_str(), self.model.as_str());
        let chunk = Chunk { id, object, created: self.created, model, choices, usage };
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&json(&chunk));
        out.extend_from_slice(b"\n\n");
    }
}

/// An error as the protocol words it.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorBody {
    /// For people.
    pub message: Cow<'static, str>,
    /// The kind of error.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field at fault.
    pub param: Option<&'static str>,
    /// For programs.
    pub code: Option<&'static str>,
}

impl ErrorBody {
    /// An error of this kind.
    #[must_use]
    pub fn new(
        kind: &'static str,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> ErrorBody {
        ErrorBody { message: message.into(), kind, param: None, code: Some(code) }
    }

    /// The body of the answer: `{"error": ...}`.
    #[must_use]
    pub fn json(&self) -> Bytes {
        #[derive(Serialize)]
        struct Wrapped<'a> {
            error: &'a ErrorBody,
        }
        json(&Wrapped { error: self })
    }
}

#[derive(Debug, Serialize)]
struct ModelEntry<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

const fn entry(id: &str, created: u64) -> ModelEntry<'_> {
    ModelEntry { id, object: "model", created, owned_by: "plimsoll" }
}

/// The answer to `GET /v1/models`, in the order of the names.
#[must_use]
pub fn models<'a>(names: impl IntoIterator<Item = &'a str>, created: u64) -> Bytes {
    #[derive(Serialize)]
    struct ModelList<'a> {
        object: &'static str,
        data: Vec<ModelEntry<'a>>,
    }
    let data = names.into_iter().map(|name| entry(name, created)).collect();
    json(&ModelList { object: "list", data })
}

/// The answer to `GET /v1/models/{name}`.
#[must_use]
pub fn model(name: &str, created: u64) -> Bytes {
    json(&entry(name, created))
}

/// Writes JSON. The shapes above have nothing in them that could not be written.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_request_is_read_whatever_else_it_says() {
        let request: ChatRequest = serde_json::from_str(
            r#"{"model":"m","messages":[{"role":"user","content":"12345678"},
                {"role":"user","content":[{"type":"text","text":"1234"},{"type":"image_url"}]},
                {"role":"assistant","content":null,"tool_calls":[]}],
                "stream":true,"stream_options":{"include_usage":true},"max_tokens":7,"x":{"y":[]}}"#,
        )
        .unwrap();
        assert!(request.streams() && request.wants_usage());
        assert_eq!(request.output_max(), Some(7));
        assert_eq!(request.prompt_tokens(), 2 + 1 + 3 * MESSAGE_TOKENS);
    }

    #[test]
    fn chunks_have_the_shape_that_clients_expect() {
        let head = Head { id: "chatcmpl-1".into(), created: 1, model: "m\"".into() };
        let mut out = Vec::new();
        head.write_role(&mut out);
        head.write_content(&mut out, "a\n");
        head.write_finish(&mut out, FinishReason::Length);
        let usage = crate::balance::Usage::default();
        head.write_usage(&mut out, usage.into());
        let text = String::from_utf8(out).unwrap();
        let events: Vec<Value> = text
            .split_terminator("\n\n")
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect();
        assert_eq!(events.len(), 4);
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(events[1]["choices"][0]["delta"]["content"], "a\n");
        assert_eq!(events[2]["choices"][0]["finish_reason"], "length");
        assert_eq!(events[3]["choices"], Value::Array(Vec::new()));
        assert_eq!(events[3]["usage"]["total_tokens"], 0);
    }

    #[test]
    fn errors_are_wrapped() {
        let body = ErrorBody::new("server_error", "oops", "it broke").json();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["error"]["type"], "server_error");
        assert_eq!(value["error"]["param"], Value::Null);
    }
}
