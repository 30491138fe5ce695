//! A gateway as its operator sees it: a program that listens, and a page of figures.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// The program, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and returns the addresses that its first lines name.
fn start(arguments: &[&str], lines: usize) -> (Running, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut told = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut addresses = Vec::new();
    while addresses.len() < lines {
        let mut line = String::new();
        assert!(told.read_line(&mut line).expect("a line") > 0, "it ended: {addresses:?}");
        if let Some((_, rest)) = line.split_once("http://") {
            addresses.push(rest.split('/').next().expect("an address").trim().to_owned());
        }
    }
    // What it says later is read by nobody, and must not stop it.
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
    (Running(child), addresses)
}

fn ask(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer
}

fn get(address: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

fn chat(address: &str) -> String {
    let body = r#"{"model":"auto","max_tokens":4,"messages":[{"role":"user","content":"hi"}]}"#;
    ask(
        address,
        &format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

/// Every sample of a page, and what is said of every family.
fn parsed(page: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and its type");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a name and its value");
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite(), "{line}");
            assert!(samples.insert(name.to_owned(), value).is_none(), "{name} twice");
        }
    }
    (samples, kinds)
}

const NODES: &str = r#"
    duration = "1s"
    [[pool]]
    name = "p"
    strategy = "round_robin"
    [[pool.node]]
    name = "n"
    count = 2
    model = "m"
    price = { input = 1, output = 2 }
    backend = { api = { ttft = { constant = "5ms" }, tokens_per_second = { constant = 1000 } } }
    [[class]]
    name = "chat"
    prompt_tokens = { constant = 10 }
    output_tokens = { constant = 4 }
    [workload]
    arrivals = { poisson = { rate = 1 } }
"#;

/// A gateway before two nodes, and the addresses of clients and of operators.
fn fleet(folder: &std::path::Path) -> (Running, Running, Vec<String>) {
    let (nodes, fleet) = (folder.join("nodes.toml"), folder.join("fleet.toml"));
    std::fs::write(&nodes, NODES).expect("a file");
    let (nodes, fleet) = (nodes.to_string_lossy(), fleet.to_string_lossy());
    // It has written the file when it says where it listens.
    let (mock, _) = start(&["mock", &nodes, "--out", &fleet], 2);
    let arguments = ["serve", &fleet, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let (gateway, at) = start(&arguments, 2);
    (mock, gateway, at)
}

#[test]
fn figures_for_prometheus_are_those_of_the_requests_that_were_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_mock, _gateway, at) = fleet(folder.path());
    let before = get(&at[1], "/metrics");
    assert!(before.starts_with("HTTP/1.1 200") && before.contains("version=0.0.4"), "{before}");
    for _ in 0..6 {
        let answer = chat(&at[0]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let page = get(&at[1], "/metrics");
    let (_, body) = page.split_once("\r\n\r\n").expect("a body");
    let (samples, kinds) = parsed(body);
    let sample = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("no {name} in {body}"));
    let ok = r#"plimsoll_requests_total{class="chat",outcome="ok"}"#;
    assert!((sample(ok) - 6.0).abs() < 1e-9);
    let of_nodes = |family: &str| -> Vec<f64> {
        let family = format!("{family}{{");
        let of = samples.iter().filter(|(name, _)| name.starts_with(&family));
        of.map(|(_, value)| *value).collect()
    };
    assert_eq!(of_nodes("plimsoll_node_attempts_total"), [3.0, 3.0]);
    assert!((of_nodes("plimsoll_node_state").iter().sum::<f64>() - 2.0).abs() < 1e-9, "one each");
    let counted = sample(r#"plimsoll_request_duration_seconds_count{pool="p"}"#);
    assert!((counted - 6.0).abs() < 1e-9, "{counted}");
    let buckets: Vec<f64> = body
        .lines()
        .filter(|line| line.starts_with("plimsoll_request_duration_seconds_bucket"))
        .map(|line| line.rsplit_once(' ').expect("a value").1.parse().expect("a number"))
        .collect();
    assert!(buckets.is_sorted() && buckets.last() == Some(&6.0), "{buckets:?}");
    for name in samples.keys() {
        let family = name.split('{').next().expect("a name");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| family.strip_suffix(part).filter(|name| kinds.contains_key(*name)))
            .unwrap_or(family);
        assert!(kinds.contains_key(family), "{name} has no type");
    }
    assert!(get(&at[1], "/").starts_with("HTTP/1.1 404"));
    let post = ask(&at[1], "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(
        post.starts_with("HTTP/1.1 405") && post.to_lowercase().contains("allow: get"),
        "{post}"
    );
    assert!(get(&at[0], "/metrics").starts_with("HTTP/1.1 404"), "callers do not see them");
}

#[test]
fn pictures_come_as_lines_and_only_the_operator_gets_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_mock, _gateway, at) = fleet(folder.path());
    assert!(chat(&at[0]).starts_with("HTTP/1.1 200"));
    let mut socket = TcpStream::connect(&at[1]).expect("it listens");
    socket.write_all(b"GET /frames HTTP/1.0\r\nhost: x\r\n\r\n").expect("it reads");
    let mut lines = BufReader::new(socket).lines().map(|line| line.expect("a line"));
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(head[0].ends_with("200 OK") && head.iter().any(|h| h.contains("ndjson")), "{head:?}");
    for _ in 0..2 {
        let line = lines.next().expect("a picture");
        let picture: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&picture["v"], &picture["mode"]), (&1.into(), &"live".into()));
        assert_eq!(picture["requests"], serde_json::json!([1, 1, 0, 0, 0, 0]));
    }
    assert!(get(&at[0], "/frames").starts_with("HTTP/1.1 404"));
}

#[cfg(feature = "tui")]
#[test]
fn top_shows_a_gateway_that_runs_elsewhere_and_leaves_it_running() {
    use crate::seat::Seat;

    let folder = tempfile::tempdir().expect("a folder");
    let (_mock, _gateway, at) = fleet(folder.path());
    let plimsoll = env!("CARGO_BIN_EXE_plimsoll");
    let url = format!("http://{}", at[1]);
    let mut seat = Seat::take(plimsoll, &["top", &url], (120, 40));
    seat.wait_for("LIVE");
    assert!(chat(&at[0]).starts_with("HTTP/1.1 200"));
    seat.wait_for("arrived 1");
    seat.press("x");
    seat.wait_for("only simulations and mock servers");
    seat.press("q");
    assert_eq!(seat.leave().0, 0);
    assert!(chat(&at[0]).starts_with("HTTP/1.1 200"), "it serves on");
    let wrong = format!("http://{}", at[0]);
    let (code, said) = Seat::take(plimsoll, &["top", &wrong], (120, 40)).leave();
    assert!(code == 1 && said.contains("admin address"), "{code} {said}");
}
