//! Endpoints and clients that speak Anthropic's language or Azure's, over real sockets.

use plimsoll::balance::End;
use plimsoll::live::http::HttpLimits;
use serde_json::{Value, json};

use crate::gate::{
    DONE, FINISH, Gate, KEY, ROLE, Reply, SETTINGS, SSE, USAGE, Upstream, chat, exchange, http,
    say, whole, word,
};

fn ask(path: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: sk-client-secret\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

async fn gate(up: &Upstream, dialect: &str) -> Gate {
    let node = format!("dialect = \"{dialect}\"");
    Gate::with(&[up.url()], &node, SETTINGS, HttpLimits::default()).await
}

fn message(stream: bool) -> Value {
    json!({
        "model": "c", "max_tokens": 9, "system": "be kind", "stream": stream,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    })
}

fn event(kind: &str, more: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{more}}}\n\n")
}

/// A message as Anthropic streams it.
fn spoken() -> String {
    [
        event("message_start", ",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}"),
        event("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}"),
        event("ping", ""),
        event("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}"),
        event("content_block_stop", ",\"index\":0"),
        event("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}"),
        event("message_stop", ""),
    ]
    .concat()
}

const WHOLE_MESSAGE: &str = "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\
    \"content\":[{\"type\":\"text\",\"text\":\"hello\"}],\"stop_reason\":\"end_turn\",\
    \"usage\":{\"input_tokens\":5,\"output_tokens\":7}}";

fn data(reply: &Reply) -> Vec<Value> {
    let lines = reply.body.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn messages_pass_to_who_speaks_so_as_they_are() {
    let raw = spoken();
    let up = Upstream::start(vec![say([SSE, &raw].concat())]).await;
    let gate = gate(&up, "anthropic").await;
    let reply = exchange(gate.address, &ask("/v1/messages", &message(true))).await;
    assert!(reply.status == 200 && reply.whole && reply.body == raw, "{reply:?}");
    let seen = up.seen().remove(0);
    assert!(seen.starts_with("POST /v1/messages HTTP"), "{seen}");
    assert!(
        seen.contains(&format!("x-api-key: {KEY}"))
            && seen.contains("anthropic-version: 2023-06-01")
    );
    assert!(!seen.contains("authorization") && !seen.contains("sk-client-secret"), "{seen}");
    let mut sent = message(true);
    sent["model"] = json!("real-model");
    assert_eq!(up.body(), sent);
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::Done]);
}

#[tokio::test]
async fn a_message_that_is_cut_ends_with_an_error_in_its_own_language() {
    let raw = spoken();
    let (begun, _) = raw.split_once("event: content_block_stop").expect("an end");
    let up = Upstream::start(vec![say([SSE, begun].concat())]).await;
    let gate = gate(&up, "anthropic").await;
    let reply = exchange(gate.address, &ask("/v1/messages", &message(true))).await;
    assert!(reply.status == 200 && !reply.whole, "{reply:?}");
    assert!(reply.body.starts_with(begun) && reply.body.contains("event: error\n"), "{reply:?}");
    let last = data(&reply).pop().expect("an event");
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")));
    gate.close().await;
}

#[tokio::test]
async fn messages_reach_who_speaks_openai_and_come_back_as_messages() {
    let up =
        Upstream::start(vec![say([SSE, ROLE, &word("hello"), FINISH, USAGE, DONE].concat())]).await;
    let gate = gate(&up, "vllm").await;
    let reply = exchange(gate.address, &ask("/v1/messages", &message(true))).await;
    assert!(reply.status == 200 && reply.whole, "{reply:?}");
    let events = data(&reply);
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(events[2]["delta"]["text"], "hello");
    assert_eq!(events[4]["usage"]["output_tokens"], 2);
    assert!(up.seen()[0].starts_with("POST /v1/chat/completions"), "in its own words");
    let sent = up.body();
    assert_eq!(sent["messages"][0], json!({"role": "system", "content": "be kind"}));
    assert_eq!(
        (&sent["model"], &sent["tools"][0]["type"]),
        (&json!("real-model"), &json!("function"))
    );
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::Done]);

    let answer = whole(",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}");
    let up = Upstream::start(vec![say(http("200 OK", "", &answer))]).await;
    let gate = crate::dialects::gate(&up, "openai").await;
    let reply = exchange(gate.address, &ask("/v1/messages", &message(false))).await.json();
    assert_eq!(reply["content"], json!([{"type": "text", "text": "hi"}]));
    assert_eq!(
        (&reply["stop_reason"], &reply["usage"]["output_tokens"]),
        (&json!("end_turn"), &json!(2))
    );
    let refused = exchange(gate.address, &ask("/v1/messages", &json!({"model": "gone"}))).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["type"].clone()),
        (404, json!("not_found_error"))
    );
    gate.close().await;
}

#[tokio::test]
async fn chats_reach_who_speaks_anthropic_and_come_back_as_chats() {
    for usage in [true, false] {
        let up = Upstream::start(vec![say([SSE, &spoken()].concat())]).await;
        let gate = gate(&up, "anthropic").await;
        let mut asked = chat(true);
        asked["max_tokens"] = json!(9);
        asked["stream_options"] = json!({"include_usage": usage});
        let reply = gate.ask(&asked).await;
        assert_eq!(reply.text(), "hello");
        assert_eq!(reply.body.matches("[DONE]").count(), 1);
        assert_eq!(reply.body.contains("\"total_tokens\":12"), usage, "{reply:?}");
        assert!(up.seen()[0].starts_with("POST /v1/messages HTTP"), "in its own words");
        let sent = up.body();
        assert_eq!((&sent["max_tokens"], &sent["model"]), (&json!(9), &json!("real-model")));
        assert!(sent.get("stream_options").is_none(), "{sent}");
        gate.close().await;
    }
    let up = Upstream::start(vec![say(http("200 OK", "", WHOLE_MESSAGE))]).await;
    let gate = gate(&up, "anthropic").await;
    let reply = gate.ask(&chat(false)).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "hello");
    assert_eq!(
        (&reply["object"], &reply["usage"]["total_tokens"]),
        (&json!("chat.completion"), &json!(12))
    );
    let (ends, _) = gate.close().await;
    assert_eq!(ends, [End::Done]);
    // What it says of a bad request is told as it is.
    let error =
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"}}";
    let up = Upstream::start(vec![say(http("400 Bad", "", error))]).await;
    let gate = crate::dialects::gate(&up, "anthropic").await;
    let reply = gate.ask(&chat(true)).await;
    assert_eq!((reply.status, reply.json()["error"]["message"].clone()), (400, json!("no")));
    gate.close().await;
}

#[tokio::test]
async fn azure_is_asked_at_its_own_address_with_its_own_key() {
    let up = Upstream::start(vec![say([SSE, ROLE, &word("hello"), FINISH, DONE].concat())]).await;
    let gate = gate(&up, "azure").await;
    assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
    let seen = up.seen().remove(0);
    let address = "POST /v1/openai/deployments/real-model/chat/completions?api-version=2024-10-21 ";
    assert!(seen.starts_with(address), "{seen}");
    assert!(seen.contains(&format!("api-key: {KEY}")) && !seen.contains("authorization"), "{seen}");
    gate.close().await;
}

#[tokio::test]
async fn tokens_are_estimated_where_nobody_counts_them() {
    let up = Upstream::start(vec![say(http("200 OK", "", "{\"input_tokens\":77}"))]).await;
    let count = ask("/v1/messages/count_tokens", &message(false));
    let gate = gate(&up, "anthropic").await;
    assert_eq!(exchange(gate.address, &count).await.json()["input_tokens"], 77);
    gate.close().await;
    let gate = crate::dialects::gate(&up, "openai").await;
    let counted = exchange(gate.address, &count).await.json();
    assert!(counted["input_tokens"].as_u64() > Some(5), "{counted}");
    assert_eq!(up.seen().len(), 1);
    gate.close().await;
}
