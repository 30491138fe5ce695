//! Requests that name what others named before them stay with its node, over real sockets.

use plimsoll::live::http::HttpLimits;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::gate::{Gate, Upstream, exchange, http, say, text, whole};

fn request(path: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// A gateway over three endpoints, each of which says its number.
async fn gate(sticky: &str) -> (Vec<Upstream>, Gate) {
    let mut ups = Vec::new();
    for node in 0..3 {
        let answer = whole("").replace("\"x\"", &format!("\"{node}\""));
        ups.push(Upstream::start(vec![say(http("200 OK", "", &answer))]).await);
    }
    let urls: Vec<String> = ups.iter().map(Upstream::url).collect();
    let text = text(3, "", crate::gate::SETTINGS);
    let text = format!("{text}[[route]]\nto = \"p\"\nsticky = {sticky}\n");
    let gate = Gate::of(&text, &urls, HttpLimits::default()).await;
    (ups, gate)
}

/// Who answers: the number of an endpoint, or the code of an error.
async fn who(gate: &Gate, headers: &str, more: &Value) -> String {
    let mut body = json!({"model": "c", "messages": [{"role": "user", "content": "a"}]});
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    let reply = exchange(gate.address, &request("/v1/chat/completions", headers, &body)).await;
    let said = reply.json();
    let id = said["id"].as_str().or(said["error"]["code"].as_str());
    id.unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

#[tokio::test]
async fn whatever_a_route_goes_by_keeps_a_conversation_on_its_node() {
    for (by, headers, body) in [
        ("session", "x-plimsoll-session: a\r\n", json!({})),
        ("user", "", json!({"user": "a"})),
        ("user", "", json!({"metadata": {"user_id": "a"}})),
        ("conversation", "", json!({"conversation": "a"})),
        ("conversation", "", json!({"conversation": {"id": "a"}})),
        ("prompt_cache_key", "", json!({"prompt_cache_key": "a"})),
    ] {
        let (_ups, gate) = gate(&format!("{{ by = \"{by}\" }}")).await;
        let home = who(&gate, headers, &body).await;
        for _ in 0..4 {
            let other = who(&gate, "", &json!({})).await;
            assert!(["0", "1", "2"].contains(&other.as_str()), "{by}");
            assert_eq!(who(&gate, headers, &body).await, home, "{by}");
        }
        gate.close().await;
    }
}

#[tokio::test]
async fn where_its_node_is_gone_a_soft_session_moves_and_a_hard_one_is_told() {
    for (how, moves) in [("soft", true), ("hard", false)] {
        let (ups, gate) = gate(&format!("{{ by = \"user\", how = \"{how}\" }}")).await;
        let user = json!({"user": "a"});
        let home = who(&gate, "", &user).await;
        ups[home.parse::<usize>().expect("a number")].task.abort();
        sleep(Duration::from_millis(50)).await;
        let after = who(&gate, "", &user).await;
        assert_ne!(after, home);
        assert_eq!(["0", "1", "2"].contains(&after.as_str()), moves, "{how}: {after}");
        let again = who(&gate, "", &user).await;
        if moves {
            assert_eq!(again, after, "and stays there");
        } else {
            // Once it is known to be gone, in words of its own.
            let mut told = again;
            for _ in 0..20 {
                told = who(&gate, "", &user).await;
            }
            assert_eq!(told, "session_unavailable");
        }
        gate.close().await;
    }
}
