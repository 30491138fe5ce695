//! Streams that are cut after their first token and go on elsewhere, over real sockets: by what had come of
//! them, or by another whole answer of which only the rest is passed on.

use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::{Value, json};

use crate::gate::{
    DONE, Do, FINISH, Gate, ROLE, SETTINGS, SSE, Upstream, chat, exchange, http, say, text, word,
};

const RESET: End = End::Failed(Failure::Reset);

/// A stream that breaks off after these events.
fn cut(events: &[String]) -> Vec<Do> {
    vec![say([SSE, ROLE, &events.concat()].concat()), Do::Wait(30), Do::Reset]
}

fn whole(words: &[&str]) -> Vec<Do> {
    let words: String = words.iter().map(|text| word(text)).collect();
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";
    vec![say([SSE, ROLE, &words, FINISH, usage, DONE].concat())]
}

fn refusal() -> Vec<Do> {
    let body = r#"{"error":{"message":"the last message must be of the user","type":"invalid_request_error"}}"#;
    vec![say(http("400 Bad Request", "", body))]
}

/// A gateway over nodes of these dialects, tried one after the other.
async fn gate(ups: &[&Upstream], dialects: &[&str], route: &str) -> Gate {
    let urls: Vec<String> = ups.iter().map(|up| up.url()).collect();
    let mut text = text(ups.len(), "DIALECT", SETTINGS);
    for (dialect, tier) in dialects.iter().zip(["primary", "backup", "secondary"]) {
        let tier = format!("tier = \"{tier}\"");
        let said = match *dialect {
            "" => tier,
            dialect => format!("{tier}\ndialect = \"{dialect}\""),
        };
        text = text.replacen("DIALECT", &said, 1);
    }
    let text = format!("{text}[[route]]\nto = \"p\"\n{route}\n");
    Gate::of(&text, &urls, HttpLimits::default()).await
}

fn limited(stream: bool) -> Value {
    let mut body = chat(stream);
    body["max_tokens"] = json!(40);
    body["stream_options"] = json!({"include_usage": true});
    body
}

fn usage(body: &str) -> Value {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut said = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    said.rfind(|event| event["usage"].is_object()).expect("usage")["usage"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_stream_goes_on_elsewhere_from_what_has_come_of_it() {
    let one = Upstream::start(cut(&[word("One two"), word(" three, four")])).await;
    let two = Upstream::start(whole(&[" five", " six"])).await;
    let gate = gate(&[&one, &two], &["", ""], "resume = true").await;
    let reply = gate.ask(&limited(true)).await;
    assert_eq!(reply.text(), "One two three, four five six");
    let asked = two.body();
    let last = json!({"role": "assistant", "content": "One two three, four"});
    assert_eq!(asked["messages"].as_array().and_then(|all| all.last()), Some(&last));
    let flags = (&asked["continue_final_message"], &asked["add_generation_prompt"]);
    assert_eq!(flags, (&json!(true), &json!(false)));
    assert_eq!(asked["max_tokens"], 38, "two of forty have come");
    // The prompt had seven tokens, the answer four in all.
    let said = usage(&reply.body);
    assert_eq!((&said["prompt_tokens"], &said["completion_tokens"]), (&json!(7), &json!(4)));
    let marks = reply.body.matches(": the answer was cut after 2 tokens").count();
    assert_eq!((marks, reply.body.matches("\"role\"").count()), (1, 1), "{}", reply.body);
    assert_eq!(gate.close().await, (vec![RESET, End::Done], vec![Fate::Completed]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_refused_the_same_beginning_of_another_answer_is_left_out() {
    let one = || cut(&[word("One two"), word(" three, four")]);
    for (dialect, scripts, asked) in [
        ("", vec![refusal(), whole(&["One", " two three", ", four five", " six"])], 2),
        ("openai", vec![whole(&["One two three, four", " five six"])], 1),
        // It knows no such words and gives the whole answer.
        ("vllm", vec![whole(&["One two", " three, four five", " six"])], 1),
    ] {
        let (one, two) = (Upstream::start(one()).await, Upstream::turns(scripts).await);
        let gate = gate(&[&one, &two], &["", dialect], "resume = true").await;
        let reply = gate.ask(&limited(true)).await;
        assert_eq!(reply.text(), "One two three, four five six", "{dialect}");
        assert_eq!(two.seen().len(), asked, "{dialect}");
        let last = two.body_of(asked - 1)["messages"].as_array().expect("a list").len();
        assert_eq!(last, if dialect == "vllm" { 2 } else { 1 }, "{dialect}");
        assert_eq!(usage(&reply.body)["completion_tokens"], 2, "as it says: all came from there");
        assert_eq!(gate.close().await, (vec![RESET, End::Done], vec![Fate::Completed]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_answer_is_an_honest_end() {
    let one = Upstream::start(cut(&[word("One two"), word(" three, four")])).await;
    let two = Upstream::start(whole(&["One", " of us"])).await;
    let gate = gate(&[&one, &two], &["", "openai"], "resume = true").await;
    let reply = gate.ask(&chat(true)).await;
    assert_eq!(reply.cut(), "One two three, four");
    assert!(reply.body.contains("answer_cut"), "{}", reply.body);
    let diverged = End::Failed(Failure::Diverged);
    assert_eq!(gate.close().await, (vec![RESET, diverged], vec![Fate::Failed(diverged)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_on_that_was_not_asked_to_or_is_more_than_text() {
    let call = "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\"}]}}]}\n\n";
    for (route, cut_at) in
        [("", word("One")), ("resume = false", word("One")), ("resume = true", call.to_owned())]
    {
        let one = Upstream::start(cut(&[cut_at])).await;
        let two = Upstream::start(whole(&["never"])).await;
        let gate = gate(&[&one, &two], &["", ""], route).await;
        gate.ask(&chat(true)).await.cut();
        assert!(two.seen().is_empty(), "{route}");
        assert_eq!(gate.close().await.0, [RESET], "{route}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_again_goes_on_again() {
    let one = Upstream::start(cut(&[word("a")])).await;
    let two = Upstream::start(cut(&[word("b"), word("c")])).await;
    let three = Upstream::start(whole(&["d"])).await;
    let gate = gate(&[&one, &two, &three], &["", "", ""], "resume = true").await;
    let reply = gate.ask(&chat(true)).await;
    assert_eq!(reply.text(), "abcd");
    assert_eq!(three.body()["messages"][1]["content"], "abc");
    assert_eq!(gate.close().await, (vec![RESET, RESET, End::Done], vec![Fate::Completed]));
}

fn event(kind: &str, more: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{more}}}\n\n")
}

fn spoken(words: &[&str], end: bool) -> String {
    let start = ",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}";
    let block = ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}";
    let delta = |text: &&str| {
        let delta =
            format!(",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}");
        event("content_block_delta", &delta)
    };
    let mut all = [event("message_start", start), event("content_block_start", block)].concat();
    all.push_str(&words.iter().map(delta).collect::<String>());
    if end {
        let stop = ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}";
        all.push_str(&event("content_block_stop", ",\"index\":0"));
        all.push_str(&event("message_delta", stop));
        all.push_str(&event("message_stop", ""));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_on_in_whatever_language_the_next_node_speaks() {
    let ask = |path: &str| {
        let messages = json!([{"role": "user", "content": "count"}]);
        let body = json!({"model": "c", "max_tokens": 40, "stream": true, "messages": messages});
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let of_chat = || cut(&[word("One two "), word("three ")]);
    let of_message = || {
        vec![say([SSE, &spoken(&["One two ", "three "], false)].concat()), Do::Wait(30), Do::Reset]
    };
    for (first, second) in [("", "anthropic"), ("anthropic", ""), ("anthropic", "anthropic")] {
        let one = if first.is_empty() { of_chat() } else { of_message() };
        let two = match second {
            "" => whole(&["four", " five"]),
            _ => vec![say([SSE, &spoken(&[" four", " five"], true)].concat())],
        };
        let (one, two) = (Upstream::start(one).await, Upstream::start(two).await);
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let gate = gate(&[&one, &two], &[first, second], "resume = true").await;
            let reply = exchange(gate.address, &ask(path)).await;
            let who = format!("{path} of {first} and {second}: {}", reply.body);
            assert!(reply.whole, "{who}");
            let data = reply.body.lines().filter_map(|line| line.strip_prefix("data: "));
            let said: Vec<Value> =
                data.filter_map(|data| serde_json::from_str(data).ok()).collect();
            let text = |event: &Value| {
                let delta = &event["choices"][0]["delta"]["content"];
                delta.as_str().or(event["delta"]["text"].as_str()).map(str::to_owned)
            };
            let text: String = said.iter().filter_map(text).collect();
            assert_eq!(text, "One two three four five", "{who}");
            let count = |kind: &str| said.iter().filter(|event| event["type"] == kind).count();
            if path == "/v1/messages" {
                for kind in
                    ["message_start", "content_block_start", "content_block_stop", "message_stop"]
                {
                    assert_eq!(count(kind), 1, "{kind} {who}");
                }
            } else {
                assert!(reply.body.ends_with(DONE), "{who}");
            }
            let asked = two.body_of(two.seen().len() - 1);
            let last = asked["messages"].as_array().and_then(|all| all.last()).expect("one");
            let shown = if second == "anthropic" { "One two three" } else { "One two three " };
            assert_eq!(last["content"], shown, "{who}");
            assert_eq!(gate.close().await, (vec![RESET, End::Done], vec![Fate::Completed]));
        }
    }
}
