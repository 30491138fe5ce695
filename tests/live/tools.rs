//! Agents and tools behind the gateway, by plain HTTP and by the Model Context Protocol, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::json;
use tokio::net::TcpListener;

use crate::faults::half_closed;
use crate::gate::{Do, Gate, KEY, SETTINGS, Upstream, chat, exchange, http, say, stream_of};

const BACKEND: &str =
    "{ api = { ttft = { constant = \"1ms\" }, tokens_per_second = { constant = 400 } } }";

/// A gateway over one model and these tools, none of whose nodes has a name for its model.
async fn gate(model: &Upstream, tools: &[&Upstream]) -> Gate {
    let node = |name: String, model: &str| {
        format!("[[pool.node]]\nname = \"{name}\"\n{model}\nbackend = {BACKEND}\n")
    };
    let nodes: String = (0..tools.len()).map(|at| node(format!("t{at}"), "")).collect();
    let text = format!(
        "duration = \"1h\"\n[balancer]\n{SETTINGS}\n[[pool]]\nname = \"models\"\nstrategy = \
         \"round_robin\"\n{}[[pool]]\nname = \"tools\"\nkind = \"tool\"\nstrategy = \"round_robin\"\n{nodes}\
         [[class]]\nname = \"c\"\noutput_tokens = {{ constant = 9 }}\n\
         [workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n",
        node("m".to_owned(), "model = \"real-model\""),
    );
    let urls: Vec<String> = std::iter::once(model.url())
        .chain(tools.iter().map(|tool| format!("http://{}/base", tool.address)))
        .collect();
    Gate::of(&text, &urls, HttpLimits::default()).await
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer sk-client-secret\r\n\
         {headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_to_a_tool_and_what_it_says_pass_as_they_are() {
    let model = Upstream::start(stream_of("hello")).await;
    for (answer, status) in [
        (http("200 OK", "x-tool: yes\r\n", "{\"a\":1}"), 200),
        (http("404 Not Found", "", "no such thing"), 404),
        (http("201 Created", "location: /x\r\n", ""), 201),
    ] {
        let tool = Upstream::start(vec![say(answer.clone())]).await;
        let gate = gate(&model, &[&tool]).await;
        let raw = request(
            "PUT",
            "/pools/tools/a/b%20c?d=e",
            "x-own: 7\r\ncontent-type: text/plain\r\n",
            "body",
        );
        let reply = exchange(gate.address, &raw).await;
        let (_, said) = answer.split_once("\r\n\r\n").expect("a head");
        assert_eq!((reply.status, reply.body.as_str()), (status, said), "{reply:?}");
        assert!(!answer.contains("x-tool") || reply.head.contains("x-tool: yes"), "{reply:?}");
        let seen = tool.seen().concat();
        assert!(seen.starts_with("PUT /base/a/b%20c?d=e HTTP/1.1"), "{seen}");
        assert!(seen.contains("x-own: 7") && seen.ends_with("\r\n\r\nbody"), "{seen}");
        assert!(seen.contains(KEY) && !seen.contains("sk-client-secret"), "{seen}");
        assert_eq!(gate.close().await, (vec![End::Done], vec![Fate::Completed]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_and_tools_keep_to_themselves() {
    let model = Upstream::start(stream_of("hello")).await;
    let tool = Upstream::start(vec![say(http("200 OK", "", "tool"))]).await;
    let gate = gate(&model, &[&tool]).await;
    for _ in 0..3 {
        assert_eq!(gate.ask(&chat(true)).await.text(), "hello");
        let reply = exchange(gate.address, &request("GET", "/pools/tools", "", "")).await;
        assert_eq!(reply.body, "tool");
    }
    assert_eq!((model.seen().len(), tool.seen().len()), (3, 3));
    let listed = crate::gate::get(gate.address, "/v1/models").await.body;
    assert!(!listed.contains("pool"), "{listed}");
    let none = exchange(gate.address, &request("GET", "/pools/nothing/x", "", "")).await;
    assert_eq!(none.status, 404);
    let no_tool = exchange(gate.address, &request("GET", "/pools/models/x", "", "")).await;
    assert_eq!(no_tool.status, 404);
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_something_is_not_done_twice() {
    let model = Upstream::start(stream_of("hello")).await;
    let reset = || vec![Do::Reset];
    for (method, script, asked) in [
        ("POST", reset(), 1),
        ("POST", vec![say(http("500 Internal Server Error", "", "x"))], 1),
        ("POST", vec![say(http("503 Service Unavailable", "", "x"))], 2),
        ("GET", reset(), 2),
    ] {
        let one = Upstream::start(script.clone()).await;
        let two = Upstream::start(script.clone()).await;
        let gate = gate(&model, &[&one, &two]).await;
        let reply = exchange(gate.address, &request(method, "/pools/tools/do", "", "{}")).await;
        assert!(reply.status >= 500, "{reply:?}");
        let seen = one.seen().len() + two.seen().len();
        assert!(if asked == 1 { seen == 1 } else { seen >= 2 }, "{method} {script:?}: {seen}");
        gate.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_something_goes_out_on_no_connection_that_may_be_closing() {
    let model = Upstream::start(stream_of("hello")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let resets = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(half_closed(listener, Arc::clone(&resets)));
    let tool = Upstream { address, log: Arc::default(), task };
    let gate = gate(&model, &[&tool]).await;
    for _ in 0..5 {
        let reply = exchange(gate.address, request("POST", "/pools/tools/do", "", "{}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(resets.load(Ordering::Relaxed), 0, "it was sent, and perhaps done");
    gate.close().await;
}

/// A server of tools that begins sessions of its own name and knows no others.
async fn mcp(name: &'static str) -> Upstream {
    Upstream::by(move |_, said| {
        let session = said.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        let event = format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"from\":\"{name}\"}}\n\n");
        match session {
            None if said.contains("initialize") => {
                let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"from\":\"{name}\"}}}}");
                vec![say(http("200 OK", &format!("mcp-session-id: {name}\r\n"), &body))]
            }
            Some(session) if session == name && said.starts_with("GET") => vec![
                say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"),
                Do::Wait(900),
                say(event),
            ],
            Some(session) if session == name => {
                vec![say(http("200 OK", "", &format!("{{\"from\":\"{name}\"}}")))]
            }
            _ => vec![say(http("404 Not Found", "", "{\"error\":\"no such session\"}"))],
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_model_context_protocol_stays_with_its_server() {
    let model = Upstream::start(stream_of("hello")).await;
    let (one, two) = (mcp("one").await, mcp("two").await);
    let gate = gate(&model, &[&one, &two]).await;
    let to = gate.address;
    let begin = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize"}).to_string();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let reply = exchange(
            to,
            &request(
                "POST",
                "/pools/tools",
                "accept: application/json, text/event-stream\r\n",
                &begin,
            ),
        )
        .await;
        let from = reply.json()["result"]["from"].as_str().expect("a name").to_owned();
        assert!(reply.head.contains(&format!("mcp-session-id: {from}")), "{reply:?}");
        sessions.push(from);
    }
    sessions.sort();
    assert_eq!(sessions, ["one", "two"]);
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call"}).to_string();
    for session in ["two", "one", "one", "two", "one"] {
        let header = format!("mcp-session-id: {session}\r\n");
        let reply = exchange(to, &request("POST", "/pools/tools", &header, &call)).await;
        assert_eq!(reply.json()["from"], session, "{reply:?}");
    }
    // Events come when they come: longer than a first token may take after the head.
    let header = "mcp-session-id: two\r\naccept: text/event-stream\r\n";
    let reply = exchange(to, &request("GET", "/pools/tools", header, "")).await;
    assert!(reply.whole && reply.head.contains("text/event-stream"), "{reply:?}");
    assert!(reply.body.contains("\"from\":\"two\""), "{reply:?}");
    // Whose server is gone hears of it, in the words of nobody else.
    two.task.abort();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let reply =
        exchange(to, &request("POST", "/pools/tools", "mcp-session-id: two\r\n", &call)).await;
    assert!(reply.status >= 500, "{reply:?}");
    let (ends, _) = gate.close().await;
    let refused = ends.iter().filter(|end| **end == End::Failed(Failure::Refused)).count();
    assert!(refused >= 1, "{ends:?}");
}

#[tokio::test]
async fn what_a_tool_says_has_no_key_no_cookie_and_opens_nothing_to_pages() {
    let model = Upstream::start(stream_of("hello")).await;
    let headers = format!(
        "set-cookie: a=b\r\naccess-control-allow-origin: *\r\nx-echo: Bearer {KEY}\r\nx-tool: yes\r\n"
    );
    for (status, said, shown) in [
        ("200 OK", "fine", "fine"),
        ("400 Bad Request", "no such thing", "no such thing"),
        ("401 Unauthorized", &*format!("bad key {KEY}"), ""),
    ] {
        let tool = Upstream::start(vec![say(http(status, &headers, said))]).await;
        let gate = gate(&model, &[&tool]).await;
        let raw = request("GET", "/pools/tools/x", "cookie: a=b\r\norigin: http://evil\r\n", "");
        let reply = exchange(gate.address, &raw).await;
        assert_eq!(reply.status.to_string(), status[..3], "{reply:?}");
        assert_eq!(reply.body, shown, "{reply:?}");
        let head = reply.head.to_lowercase();
        assert!(head.contains("x-tool: yes") && !head.contains(KEY), "{head}");
        assert!(!head.contains("cookie") && !head.contains("access-control"), "{head}");
        assert!(!tool.seen().concat().contains("cookie"), "{:?}", tool.seen());
        gate.close().await;
    }
}

#[tokio::test]
async fn nobody_leaves_the_address_of_a_tool_by_its_path() {
    let model = Upstream::start(stream_of("hello")).await;
    let tool = Upstream::start(vec![say(http("200 OK", "", "ok"))]).await;
    let gate = gate(&model, &[&tool]).await;
    for path in ["/../admin", "/a/%2e%2E/../x", "/..%2fadmin"] {
        let raw = request("GET", &format!("/pools/tools{path}"), "", "");
        assert_eq!(exchange(gate.address, &raw).await.status, 400, "{path}");
    }
    assert!(tool.seen().is_empty());
    gate.close().await;
}

#[tokio::test]
async fn a_body_that_was_packed_comes_unpacked_and_says_so() {
    use std::io::Write;
    let model = Upstream::start(stream_of("hello")).await;
    let tool = Upstream::start(vec![say(http("200 OK", "", "ok"))]).await;
    let gate = gate(&model, &[&tool]).await;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"{\"a\":1}").expect("memory");
    let body = packer.finish().expect("memory");
    let head = format!(
        "POST /pools/tools HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-encoding: gzip\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let reply = exchange(gate.address, [head.as_bytes(), &body].concat()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = tool.seen().concat();
    assert!(seen.ends_with("\r\n\r\n{\"a\":1}") && !seen.contains("gzip"), "{seen}");
    gate.close().await;
}

#[tokio::test]
async fn a_body_of_any_kind_passes() {
    let model = Upstream::start(stream_of("hello")).await;
    let tool = Upstream::start(vec![say(http("200 OK", "", "ok"))]).await;
    let gate = gate(&model, &[&tool]).await;
    for body in ["", "not json {", "a=b&c=d"] {
        let reply = exchange(gate.address, &request("POST", "/pools/tools/x", "", body)).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
    }
    gate.close().await;
}
