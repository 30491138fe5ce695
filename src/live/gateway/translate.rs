//! An answer that comes in one language and goes on in the other: event by event, or whole.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::live::wire::anthropic::{
    completion_to_message, finish_reason, lenient, message_to_completion, reasoning, stop_reason,
    usage_to_chat, usage_to_message,
};
use crate::live::wire::openai::DONE;
use crate::live::wire::operation::Operation;

/// Translates one answer.
#[derive(Debug)]
pub(super) enum AnswerTranslator {
    /// Chunks to the events of a message.
    ToMessage(Box<ToMessage>),
    /// The events of a message to chunks.
    ToChunks(Box<ToChunks>),
}

impl AnswerTranslator {
    /// A translator for who asks so of a node that was asked so. `None` where both speak alike.
    pub(super) fn of(
        asked: Operation,
        sent: Operation,
        wants_usage: bool,
    ) -> Option<AnswerTranslator> {
        match (asked, sent) {
            (Operation::Messages, Operation::Chat) => {
                Some(AnswerTranslator::ToMessage(Box::default()))
            }
            (Operation::Chat, Operation::Messages) => {
                let chunks = ToChunks { wants_usage, created: now(), ..ToChunks::default() };
                Some(AnswerTranslator::ToChunks(Box::new(chunks)))
            }
            _ => None,
        }
    }

    /// Translates the data of an event; nothing may come of it.
    pub(super) fn event(&mut self, data: &str) -> Bytes {
        let said = lenient(data);
        let mut out = Vec::new();
        match self {
            AnswerTranslator::ToMessage(message) => message.take(&said, &mut out),
            AnswerTranslator::ToChunks(chunks) => chunks.take(&said, &mut out),
        }
        out.into()
    }

    /// Returns what closes a stream that is whole.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        match self {
            AnswerTranslator::ToMessage(message) => message.finish(&mut out),
            AnswerTranslator::ToChunks(chunks) => chunks.finish(&mut out),
        }
        out.into()
    }

    /// Translates a whole answer.
    pub(super) fn whole(&self, body: &[u8]) -> Bytes {
        let said = lenient(&String::from_utf8_lossy(body));
        let translated = match self {
            AnswerTranslator::ToMessage(_) => completion_to_message(&said),
            AnswerTranslator::ToChunks(chunks) => message_to_completion(&said, chunks.created),
        };
        translated.to_string().into()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// An event of a message.
fn say(out: &mut Vec<u8>, kind: &str, body: &Value) {
    out.extend_from_slice(format!("event: {kind}\ndata: {body}\n\n").as_bytes());
}

/// What a block of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    Text,
    Thinking,
    /// The call at this place.
    Tool(u64),
}

/// Chunks to the events of a message. Blocks are open one at a time.
#[derive(Debug, Default)]
pub(super) struct ToMessage {
    begun: bool,
    open: Option<BlockKind>,
    blocks: u64,
    stop: Option<&'static str>,
    usage: Value,
}

impl ToMessage {
    fn take(&mut self, chunk: &Value, out: &mut Vec<u8>) {
        self.begin(chunk, out);
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = usage.clone();
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return };
        let delta = choice.get("delta").unwrap_or(&Value::Null);
        let thought = reasoning(delta);
        if !thought.is_empty() {
            let start = json!({ "type": "thinking", "thinking": "", "signature": "" });
            self.open(BlockKind::Thinking, &start, out);
            self.delta(&json!({ "type": "thinking_delta", "thinking": thought }), out);
        }
        for said in [content(delta), text(delta, "/refusal").to_owned()] {
            if !said.is_empty() {
                self.open(BlockKind::Text, &json!({ "type": "text", "text": "" }), out);
                self.delta(&json!({ "type": "text_delta", "text": said }), out);
            }
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.call(call, out);
        }
        let finish = text(choice, "/finish_reason");
        if !finish.is_empty() {
            self.stop = Some(stop_reason(finish));
        }
    }

    fn begin(&mut self, chunk: &Value, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = json!({
            "id": chunk.get("id").cloned().unwrap_or_default(),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model").cloned().unwrap_or_default(),
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage_to_message(&Value::Null),
        });
        say(out, "message_start", &json!({ "type": "message_start", "message": message }));
    }

    fn call(&mut self, call: &Value, out: &mut Vec<u8>) {
        let place = call.get("index").and_then(Value::as_u64).unwrap_or(0);
        let start = json!({
            "type": "tool_use",
            "id": text(call, "/id"),
            "name": text(call, "/function/name"),
            "input": {},
        });
        self.open(BlockKind::Tool(place), &start, out);
        let arguments = text(call, "/function/arguments");
        if !arguments.is_empty() {
            self.delta(&json!({ "type": "input_json_delta", "partial_json": arguments }), out);
        }
    }

    /// Opens a block, unless this one is open already.
    fn open(&mut self, kind: BlockKind, start: &Value, out: &mut Vec<u8>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(out);
        self.open = Some(kind);
        let index = self.blocks;
        let body = json!({ "type": "content_block_start", "index": index, "content_block": start });
        say(out, "content_block_start", &body);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            let body = json!({ "type": "content_block_stop", "index": self.blocks });
            say(out, "content_block_stop", &body);
            self.blocks += 1;
        }
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        let body = json!({ "type": "content_block_delta", "index": self.blocks, "delta": delta });
        say(out, "content_block_delta", &body);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.begin(&Value::Null, out);
        self.close(out);
        let stop = self.stop.unwrap_or("end_turn");
        let delta = json!({ "stop_reason": stop, "stop_sequence": null });
        let usage = usage_to_message(&self.usage);
        say(
            out,
            "message_delta",
            &json!({ "type": "message_delta", "delta": delta, "usage": usage }),
        );
        say(out, "message_stop", &json!({ "type": "message_stop" }));
    }
}

/// The text of a delta, whose content is a text or a list of parts.
fn content(delta: &Value) -> String {
    match delta.get("content") {
        Some(Value::String(said)) => said.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text(part, "/text")).collect(),
        _ => String::new(),
    }
}

/// The events of a message to chunks.
#[derive(Debug, Default)]
pub(super) struct ToChunks {
    wants_usage: bool,
    created: u64,
    id: Value,
    model: Value,
    /// So many calls of tools have begun.
    calls: u64,
    usage: serde_json::Map<String, Value>,
}

impl ToChunks {
    fn take(&mut self, event: &Value, out: &mut Vec<u8>) {
        let delta = match text(event, "/type") {
            "message_start" => {
                self.id = event.pointer("/message/id").cloned().unwrap_or_default();
                self.model = event.pointer("/message/model").cloned().unwrap_or_default();
                self.count(event.pointer("/message/usage"));
                json!({ "role": "assistant", "content": "" })
            }
            "content_block_start" if text(event, "/content_block/type") == "tool_use" => {
                self.calls += 1;
                let function =
                    json!({ "name": text(event, "/content_block/name"), "arguments": "" });
                let id = text(event, "/content_block/id");
                let place = self.calls - 1;
                json!({ "tool_calls": [
                    { "index": place, "id": id, "type": "function", "function": function }
                ] })
            }
            "content_block_delta" => match text(event, "/delta/type") {
                "text_delta" => json!({ "content": text(event, "/delta/text") }),
                "thinking_delta" => json!({ "reasoning_content": text(event, "/delta/thinking") }),
                "input_json_delta" => {
                    let arguments = text(event, "/delta/partial_json");
                    let place = self.calls.saturating_sub(1);
                    json!({ "tool_calls": [
                        { "index": place, "function": { "arguments": arguments } }
                    ] })
                }
                _ => return,
            },
            "message_delta" => {
                self.count(event.get("usage"));
                let stop = text(event, "/delta/stop_reason");
                if !stop.is_empty() {
                    self.chunk(&json!({}), &finish_reason(stop).into(), out);
                }
                return;
            }
            _ => return,
        };
        self.chunk(&delta, &Value::Null, out);
    }

    /// Notes usage, which comes in pieces.
    fn count(&mut self, usage: Option<&Value>) {
        let said = usage.and_then(Value::as_object).into_iter().flatten();
        self.usage.extend(said.map(|(name, count)| (name.clone(), count.clone())));
    }

    fn chunk(&self, delta: &Value, finish: &Value, out: &mut Vec<u8>) {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        self.write(&choices, None, out);
    }

    fn write(&self, choices: &Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut body = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            body["usage"] = usage;
        }
        out.extend_from_slice(format!("data: {body}\n\n").as_bytes());
    }

    fn finish(&self, out: &mut Vec<u8>) {
        if self.wants_usage {
            let usage = usage_to_chat(&Value::Object(self.usage.clone()));
            self.write(&json!([]), Some(usage), out);
        }
        out.extend_from_slice(DONE.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8]) -> Vec<Value> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(lenient).collect()
    }

    #[test]
    fn a_stream_goes_to_the_other_language_and_back_the_same() {
        let delta = |delta: &str, finish: &str| {
            format!(
                r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
            )
        };
        let chunks = [
            delta(r#"{"role":"assistant","content":""}"#, "null"),
            delta(r#"{"reasoning_content":"hm"}"#, "null"),
            delta(r#"{"content":"a"}"#, "null"),
            delta(r#"{"content":"b"}"#, "null"),
            delta(r#"{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}]}"#, "null"),
            delta(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#, "null"),
            delta(r#"{"tool_calls":[{"index":1,"id":"u","type":"function","function":{"name":"g","arguments":""}}]}"#, "null"),
            delta("{}", "\"tool_calls\""),
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4}}}"#.to_owned(),
        ];
        let mut there =
            AnswerTranslator::of(Operation::Messages, Operation::Chat, true).expect("one");
        let mut message = Vec::new();
        for chunk in &chunks {
            message.extend_from_slice(&there.event(chunk));
        }
        message.extend_from_slice(&there.finish());
        let message = events(&message);
        let kinds: Vec<&str> = message.iter().map(|event| text(event, "/type")).collect();
        let block = ["content_block_start", "content_block_delta", "content_block_stop"];
        let said = [
            &["message_start"][..],
            &block,
            &[block[0], block[1], block[1], block[2]],
            &block,
            &[block[0], block[2], "message_delta", "message_stop"],
        ];
        assert_eq!(kinds, said.concat());
        assert_eq!(message.last().map(|event| text(event, "/type")), Some("message_stop"));
        let mut back = AnswerTranslator::ToChunks(Box::new(ToChunks {
            wants_usage: true,
            created: 1,
            ..ToChunks::default()
        }));
        let mut came = Vec::new();
        for event in &message {
            came.extend_from_slice(&back.event(&event.to_string()));
        }
        came.extend_from_slice(&back.finish());
        assert!(came.ends_with(DONE.as_bytes()));
        let sent: Vec<Value> = chunks.iter().map(|chunk| lenient(chunk)).collect();
        assert_eq!(events(&came), sent);
    }

    #[test]
    fn nothing_that_is_sent_panics() {
        for odd in [
            "",
            "null",
            "[]",
            "{\"choices\":[{\"delta\":7}]}",
            "{\"type\":\"content_block_delta\"}",
        ] {
            for (asked, sent) in
                [(Operation::Messages, Operation::Chat), (Operation::Chat, Operation::Messages)]
            {
                let mut translator = AnswerTranslator::of(asked, sent, false).expect("one");
                let _ =
                    (translator.event(odd), translator.whole(odd.as_bytes()), translator.finish());
            }
        }
        assert!(AnswerTranslator::of(Operation::Chat, Operation::Chat, true).is_none());
    }
}
