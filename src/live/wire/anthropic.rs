//! Conversations in Anthropic's words and in OpenAI's, one to the other: what is asked, whole answers.
//! Source: both API references. What one side has no word for is left out; nothing that either sends can
//! panic.

use serde_json::{Map, Value, json};

/// Anthropic wants a limit in every request.
const MAX_TOKENS_USUAL: u64 = 4_096;

/// Reads JSON though a text in it holds half of a pair of surrogates, which no text can: a mark stands in
/// its place.
#[must_use]
pub fn lenient(text: &str) -> Value {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&mended(text))).unwrap_or_default()
}

fn mended(text: &str) -> String {
    let code = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(slash) = rest.find('\\') else {
            out.push_str(rest);
            break;
        };
        out.push_str(&rest[..slash]);
        at += slash;
        let low = |code: Option<u16>| code.is_some_and(|code| (0xdc00..0xe000).contains(&code));
        let (took, kept) = match code(at) {
            Some(0xd800..0xdc00) if low(code(at + 6)) => (12, true),
            Some(0xd800..0xe000) => (6, false),
            Some(_) => (6, true),
            None => (1 + text[at + 1..].chars().next().map_or(0, char::len_utf8), true),
        };
        out.push_str(if kept { &text[at..at + took] } else { "\\ufffd" });
        at += took;
    }
    out
}

/// The text of a message's content: a text, or the texts of its parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let text = |part: &Value| match part {
                Value::String(text) => Some(text.clone()),
                part => part.get("text").and_then(Value::as_str).map(str::to_owned),
            };
            parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn parts_of(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        Value::Array(parts) => parts.clone(),
        _ => Vec::new(),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Copies fields that both sides call the same.
fn copy(from: &Value, to: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if let Some(value) = from.get(*name).filter(|value| !value.is_null()) {
            to.insert((*name).to_owned(), value.clone());
        }
    }
}

// ----- what is asked, Anthropic to OpenAI -----

/// A request for a message as a request for a completion.
#[must_use]
pub fn messages_to_chat(asked: &Value) -> Value {
    let mut chat = Map::new();
    copy(asked, &mut chat, &["model", "max_tokens", "temperature", "top_p", "top_k", "stream"]);
    if let Some(stop) = asked.get("stop_sequences") {
        chat.insert("stop".to_owned(), stop.clone());
    }
    if let Some(user) = asked.pointer("/metadata/user_id") {
        chat.insert("user".to_owned(), user.clone());
    }
    if asked.get("stream") == Some(&Value::Bool(true)) {
        chat.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    let mut messages = Vec::new();
    let system = asked.get("system").map(text_of).unwrap_or_default();
    if !system.is_empty() {
        messages.push(json!({ "role": "system", "content": system }));
    }
    for message in list(asked, "messages") {
        let content = message.get("content").unwrap_or(&Value::Null);
        if text(message, "role") == "assistant" {
            messages.push(assistant_to_chat(content));
        } else {
            user_to_chat(content, &mut messages);
        }
    }
    chat.insert("messages".to_owned(), messages.into());
    // Tools that the provider itself runs have no schema; nobody else can.
    let tools = list(asked, "tools").iter().filter(|tool| tool.get("input_schema").is_some());
    let tools: Vec<Value> = tools
        .map(|tool| {
            let mut function = Map::new();
            copy(tool, &mut function, &["name", "description"]);
            function.insert("parameters".to_owned(), tool["input_schema"].clone());
            json!({ "type": "function", "function": function })
        })
        .collect();
    if !tools.is_empty() {
        chat.insert("tools".to_owned(), tools.into());
        choice_to_chat(asked, &mut chat);
    }
    Value::Object(chat)
}

fn choice_to_chat(asked: &Value, chat: &mut Map<String, Value>) {
    let Some(choice) = asked.get("tool_choice") else { return };
    let chosen = match text(choice, "type") {
        "any" => json!("required"),
        "none" => json!("none"),
        "tool" => json!({ "type": "function", "function": { "name": text(choice, "name") } }),
        _ => json!("auto"),
    };
    chat.insert("tool_choice".to_owned(), chosen);
    if choice.get("disable_parallel_tool_use") == Some(&Value::Bool(true)) {
        chat.insert("parallel_tool_calls".to_owned(), false.into());
    }
}

fn assistant_to_chat(content: &Value) -> Value {
    let parts = parts_of(content);
    let texts: Vec<&str> = parts
        .iter()
        .filter(|part| text(part, "type") == "text")
        .map(|part| text(part, "text"))
        .collect();
    let calls = parts.iter().filter(|part| text(part, "type") == "tool_use");
    let calls: Vec<Value> = calls
        .map(|call| {
            let arguments = call.get("input").unwrap_or(&Value::Null).to_string();
            let function = json!({ "name": text(call, "name"), "arguments": arguments });
            json!({ "id": text(call, "id"), "type": "function", "function": function })
        })
        .collect();
    let said = texts.concat();
    let said = if said.is_empty() && !calls.is_empty() { Value::Null } else { said.into() };
    let mut message = json!({ "role": "assistant", "content": said });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

fn user_to_chat(content: &Value, messages: &mut Vec<Value>) {
    if let Value::String(said) = content {
        messages.push(json!({ "role": "user", "content": said }));
        return;
    }
    let mut parts = Vec::new();
    for part in parts_of(content) {
        match text(&part, "type") {
            "text" => parts.push(json!({ "type": "text", "text": text(&part, "text") })),
            "image" => {
                let source = part.get("source").unwrap_or(&Value::Null);
                let url = match text(source, "type") {
                    "base64" => {
                        format!(
                            "data:{};base64,{}",
                            text(source, "media_type"),
                            text(source, "data")
                        )
                    }
                    _ => text(source, "url").to_owned(),
                };
                parts.push(json!({ "type": "image_url", "image_url": { "url": url } }));
            }
            // What a tool said answers the calls before it, so it comes first.
            "tool_result" => messages.push(json!({
                "role": "tool",
                "tool_call_id": text(&part, "tool_use_id"),
                "content": part.get("content").map(text_of).unwrap_or_default(),
            })),
            _ => {}
        }
    }
    if !parts.is_empty() {
        messages.push(json!({ "role": "user", "content": parts }));
    }
}

// ----- what is asked, OpenAI to Anthropic -----

/// A request for a completion as a request for a message.
#[must_use]
pub fn chat_to_messages(asked: &Value) -> Value {
    let mut out = Map::new();
    copy(asked, &mut out, &["model", "temperature", "top_p", "top_k", "stream"]);
    let limits = ["max_completion_tokens", "max_tokens"].iter().filter_map(|name| asked.get(*name));
    let most = limits.filter_map(Value::as_f64).find(|most| *most >= 1.0);
    out.insert("max_tokens".to_owned(), most.map_or(MAX_TOKENS_USUAL, |most| most as u64).into());
    match asked.get("stop") {
        Some(Value::String(stop)) => drop(out.insert("stop_sequences".to_owned(), json!([stop]))),
        Some(stop @ Value::Array(_)) => drop(out.insert("stop_sequences".to_owned(), stop.clone())),
        _ => {}
    }
    if let Some(user) = asked.get("user").filter(|user| user.is_string()) {
        out.insert("metadata".to_owned(), json!({ "user_id": user }));
    }
    let (mut system, mut messages) = (Vec::new(), Vec::<Value>::new());
    for message in list(asked, "messages") {
        let content = message.get("content").unwrap_or(&Value::Null);
        let (role, blocks) = match text(message, "role") {
            "system" | "developer" => {
                system.push(text_of(content));
                continue;
            }
            "assistant" => ("assistant", assistant_to_blocks(message, content)),
            "tool" | "function" => ("user", vec![tool_result(message, content)]),
            _ => ("user", parts_of(content).iter().filter_map(part_to_block).collect()),
        };
        if blocks.is_empty() {
            continue;
        }
        // Results of several tools belong into one message; two of one side in a row are one.
        match messages.last_mut() {
            Some(last) if text(last, "role") == role => {
                if let Some(all) = last.get_mut("content").and_then(Value::as_array_mut) {
                    all.extend(blocks);
                }
            }
            _ => messages.push(json!({ "role": role, "content": blocks })),
        }
    }
    let system = system.join("\n\n");
    if !system.is_empty() {
        out.insert("system".to_owned(), system.into());
    }
    out.insert("messages".to_owned(), messages.into());
    tools_to_blocks(asked, &mut out);
    Value::Object(out)
}

fn tools_to_blocks(asked: &Value, out: &mut Map<String, Value>) {
    let tools = list(asked, "tools").iter().filter_map(|tool| tool.get("function"));
    let tools: Vec<Value> = tools
        .map(|function| {
            let mut tool = Map::new();
            copy(function, &mut tool, &["name", "description"]);
            let schema = function.get("parameters").cloned();
            let schema = schema.unwrap_or_else(|| json!({ "type": "object" }));
            tool.insert("input_schema".to_owned(), schema);
            Value::Object(tool)
        })
        .collect();
    if tools.is_empty() {
        return;
    }
    out.insert("tools".to_owned(), tools.into());
    let mut choice = match asked.get("tool_choice") {
        Some(Value::String(word)) if word == "required" => json!({ "type": "any" }),
        Some(Value::String(word)) if word == "none" => json!({ "type": "none" }),
        Some(named @ Value::Object(_)) => {
            let name = named.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
            json!({ "type": "tool", "name": name })
        }
        _ => json!({ "type": "auto" }),
    };
    if asked.get("parallel_tool_calls") == Some(&Value::Bool(false)) && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    out.insert("tool_choice".to_owned(), choice);
}

fn part_to_block(part: &Value) -> Option<Value> {
    if let Value::String(said) = part {
        return Some(json!({ "type": "text", "text": said })).filter(|_| !said.is_empty());
    }
    match text(part, "type") {
        "image_url" => {
            let url = part.pointer("/image_url/url").and_then(Value::as_str)?;
            let packed = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
            let source = match packed {
                Some((kind, data)) => json!({ "type": "base64", "media_type": kind, "data": data }),
                None => json!({ "type": "url", "url": url }),
            };
            Some(json!({ "type": "image", "source": source }))
        }
        _ => {
            let said = text(part, "text");
            (!said.is_empty()).then(|| json!({ "type": "text", "text": said }))
        }
    }
}

fn assistant_to_blocks(message: &Value, content: &Value) -> Vec<Value> {
    let mut blocks: Vec<Value> = parts_of(content).iter().filter_map(part_to_block).collect();
    for call in list(message, "tool_calls") {
        let arguments =
            call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
        let input = lenient(arguments);
        let input = if input.is_object() { input } else { json!({}) };
        let name = call.pointer("/function/name").cloned().unwrap_or_default();
        blocks.push(
            json!({ "type": "tool_use", "id": text(call, "id"), "name": name, "input": input }),
        );
    }
    blocks
}

fn tool_result(message: &Value, content: &Value) -> Value {
    json!({
        "type": "tool_result",
        "tool_use_id": text(message, "tool_call_id"),
        "content": text_of(content),
    })
}

// ----- whole answers -----

/// Why an answer ended, in Anthropic's words.
#[must_use]
pub fn stop_reason(finish: &str) -> &'static str {
    match finish {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// Why an answer ended, in OpenAI's words.
#[must_use]
pub fn finish_reason(stop: &str) -> &'static str {
    match stop {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

/// Usage in Anthropic's words: what was cached stands apart.
#[must_use]
pub fn usage_to_message(usage: &Value) -> Value {
    let cached = number(usage, "/prompt_tokens_details/cached_tokens");
    json!({
        "input_tokens": number(usage, "/prompt_tokens").saturating_sub(cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": number(usage, "/completion_tokens"),
    })
}

/// Usage in OpenAI's words.
#[must_use]
pub fn usage_to_chat(usage: &Value) -> Value {
    let cached = number(usage, "/cache_read_input_tokens");
    let written = number(usage, "/cache_creation_input_tokens");
    let input = number(usage, "/input_tokens").saturating_add(cached).saturating_add(written);
    let output = number(usage, "/output_tokens");
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input.saturating_add(output),
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}

/// The reasoning of a message or a delta, under any of its names.
#[must_use]
pub fn reasoning(message: &Value) -> &str {
    let names = ["reasoning_content", "reasoning"];
    names.iter().map(|name| text(message, name)).find(|said| !said.is_empty()).unwrap_or_default()
}

/// A whole completion as a message.
#[must_use]
pub fn completion_to_message(answer: &Value) -> Value {
    let choice = answer.pointer("/choices/0").unwrap_or(&Value::Null);
    let message = choice.get("message").unwrap_or(&Value::Null);
    let mut blocks = Vec::new();
    let thought = reasoning(message);
    if !thought.is_empty() {
        blocks.push(json!({ "type": "thinking", "thinking": thought, "signature": "" }));
    }
    let said = message.get("content").map(text_of).unwrap_or_default();
    let said = if said.is_empty() { text(message, "refusal").to_owned() } else { said };
    if !said.is_empty() {
        blocks.push(json!({ "type": "text", "text": said }));
    }
    blocks.extend(assistant_to_blocks(message, &Value::Null));
    json!({
        "id": answer.get("id").cloned().unwrap_or_default(),
        "type": "message",
        "role": "assistant",
        "model": answer.get("model").cloned().unwrap_or_default(),
        "content": blocks,
        "stop_reason": stop_reason(text(choice, "finish_reason")),
        "stop_sequence": null,
        "usage": usage_to_message(answer.get("usage").unwrap_or(&Value::Null)),
    })
}

/// A whole message as a completion.
#[must_use]
pub fn message_to_completion(answer: &Value, created: u64) -> Value {
    let blocks = list(answer, "content");
    let of = |kind: &str, key: &str| -> String {
        let these = blocks.iter().filter(|block| text(block, "type") == kind);
        these.map(|block| text(block, key)).collect()
    };
    let asked = assistant_to_chat(&Value::Array(blocks.to_vec()));
    let mut message = json!({ "role": "assistant", "content": asked["content"], "refusal": null });
    if let Some(calls) = asked.get("tool_calls") {
        message["tool_calls"] = calls.clone();
    }
    let thought = of("thinking", "thinking");
    if !thought.is_empty() {
        message["reasoning_content"] = thought.into();
    }
    json!({
        "id": answer.get("id").cloned().unwrap_or_default(),
        "object": "chat.completion",
        "created": created,
        "model": answer.get("model").cloned().unwrap_or_default(),
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish_reason(text(answer, "stop_reason")),
        }],
        "usage": usage_to_chat(answer.get("usage").unwrap_or(&Value::Null)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_with_tools_and_pictures_goes_there_and_back() {
        let messages = json!({
            "model": "m", "max_tokens": 9, "system": "be kind", "stream": true, "temperature": 0.5,
            "stop_sequences": ["x"], "metadata": {"user_id": "u"},
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                ]},
                {"role": "assistant", "content": [
                    {"type": "text", "text": "I call"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                ]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "7"}]},
            ],
        });
        let chat = messages_to_chat(&messages);
        assert_eq!(chat["messages"][0], json!({"role": "system", "content": "be kind"}));
        assert_eq!(
            chat["messages"][1]["content"][1]["image_url"]["url"],
            "data:image/png;base64,AA"
        );
        assert_eq!(chat["messages"][2]["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
        assert_eq!(
            chat["messages"][3],
            json!({"role": "tool", "tool_call_id": "t1", "content": "7"})
        );
        assert_eq!((&chat["tool_choice"], &chat["stop"]), (&json!("required"), &json!(["x"])));
        assert_eq!(chat["stream_options"]["include_usage"], true);
        assert_eq!(chat_to_messages(&chat), messages, "and back");
    }

    #[test]
    fn what_chat_clients_ask_becomes_what_anthropic_wants() {
        let chat = json!({
            "model": "m", "stop": "x", "max_tokens": -1, "logprobs": true,
            "messages": [
                {"role": "developer", "content": "a"}, {"role": "system", "content": ["b"]},
                {"role": "user", "content": "c"}, {"role": "user", "content": ["", {"type": "text", "text": "d"}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "t", "function": {"name": "f", "arguments": "not JSON"}},
                    {"id": "u", "function": {"name": "f", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "t", "content": "1"},
                {"role": "tool", "tool_call_id": "u", "content": [{"type": "text", "text": "2"}]},
            ],
        });
        let messages = chat_to_messages(&chat);
        assert_eq!(
            (&messages["system"], &messages["max_tokens"]),
            (&json!("a\n\nb"), &json!(4096))
        );
        assert_eq!(messages["stop_sequences"], json!(["x"]));
        let roles: Vec<&Value> = messages["messages"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["role"])
            .collect();
        assert_eq!(roles, ["user", "assistant", "user"], "one after the other");
        assert_eq!(messages["messages"][0]["content"].as_array().expect("a list").len(), 2);
        assert_eq!(messages["messages"][1]["content"][0]["input"], json!({}));
        assert_eq!(messages["messages"][2]["content"][1]["content"], "2");
        assert!(messages.get("logprobs").is_none());
    }

    #[test]
    fn whole_answers_say_the_same_in_both_languages() {
        let completion = json!({
            "id": "c", "object": "chat.completion", "created": 7, "model": "m",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
                "role": "assistant", "content": "hi", "reasoning_content": "hm", "refusal": null,
                "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 4}},
        });
        let message = completion_to_message(&completion);
        assert_eq!(message["stop_reason"], "tool_use");
        assert_eq!(
            (&message["usage"]["input_tokens"], &message["usage"]["cache_read_input_tokens"]),
            (&json!(6), &json!(4))
        );
        assert_eq!(message_to_completion(&message, 7), completion, "and back");
    }

    #[test]
    fn nothing_that_is_sent_panics_and_half_letters_get_a_mark() {
        for odd in [
            json!(null),
            json!([]),
            json!({"messages": [7, {"content": {"x": 1}}], "tools": [1], "system": 3}),
            json!({"content": [{}, 1], "choices": [{"message": 3}], "usage": "x"}),
        ] {
            let _ = (messages_to_chat(&odd), chat_to_messages(&odd));
            let _ = (completion_to_message(&odd), message_to_completion(&odd, 0));
        }
        assert_eq!(
            lenient(r#"{"a":"\ud83d\\u\udea2 \ud83d\udea2\n"}"#)["a"],
            "\u{fffd}\\u\u{fffd} \u{1f6a2}\n"
        );
        assert_eq!(lenient("{\"a\":\"\\"), Value::Null);
    }
}
