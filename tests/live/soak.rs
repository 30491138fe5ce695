//! A million requests and streams that clients leave, in one gateway: its memory and its descriptors stay as
//! they are, and what clients, gateway and endpoints have counted is the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::gate::{self, PATIENCE};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program. Returns it and the addresses that its lines name, on stdout or on stderr.
fn start(arguments: &[&str], on_stderr: bool, lines: usize) -> (Running, Vec<SocketAddr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null());
    let (out, other) = (Stdio::piped(), Stdio::null());
    let command = if on_stderr {
        command.stderr(out).stdout(other)
    } else {
        command.stdout(out).stderr(other)
    };
    let mut child = command.spawn().expect("the program starts");
    let out: Box<dyn std::io::Read + Send> = match (child.stdout.take(), child.stderr.take()) {
        (Some(out), _) => Box::new(out),
        (None, out) => Box::new(out.expect("a pipe")),
    };
    let mut told = BufReader::new(out);
    let mut addresses = Vec::new();
    while addresses.len() < lines {
        let mut line = String::new();
        assert!(told.read_line(&mut line).expect("a line") > 0, "it ended: {addresses:?}");
        if let Some((_, rest)) = line.split_once("http://") {
            let address = rest.split('/').next().expect("an address").trim();
            addresses.push(address.parse().expect("an address"));
        }
    }
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
    (Running(child), addresses)
}

const NODES: &str = r#"
    duration = "1h"
    [[pool]]
    name = "p"
    strategy = "least_connections"
    [[pool.node]]
    name = "n"
    count = 4
    model = "m"
    backend = { api = { ttft = { constant = "1ms" }, tokens_per_second = { constant = 2000 } } }
    [[class]]
    name = "chat"
    prompt_tokens = { constant = 10 }
    output_tokens = { constant = 4 }
    [workload]
    arrivals = { poisson = { rate = 1 } }
"#;

/// What clients have seen.
#[derive(Debug, Default)]
struct Seen {
    answered: AtomicU64,
    /// Left in the middle of a stream, or before it.
    left: AtomicU64,
    odd: AtomicU64,
}

fn ask(tokens: u32, stream: bool) -> String {
    let body = format!(
        "{{\"model\":\"m\",\"max_tokens\":{tokens},\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
        "ahoy ".repeat(20)
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one answer that says how long it is. Returns whether it is a good one.
async fn answer(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<bool> {
    let mut some = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(held);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length?.parse().ok()?;
            if body.len() >= length {
                let good = head.starts_with("HTTP/1.1 200");
                held.clear();
                return Some(good);
            }
        }
        let read = stream.read(&mut some).await.ok().filter(|read| *read > 0)?;
        held.extend_from_slice(&some[..read]);
    }
}

/// Asks on one connection until the end.
async fn asks(to: SocketAddr, seen: Arc<Seen>, end: Instant) {
    let (request, mut held) = (ask(4, false), Vec::new());
    while Instant::now() < end {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        // Connections are made anew now and then, as clients do.
        for _ in 0..500 {
            if Instant::now() >= end || stream.write_all(request.as_bytes()).await.is_err() {
                break;
            }
            match answer(&mut stream, &mut held).await {
                Some(true) => seen.answered.fetch_add(1, Ordering::Relaxed),
                _ => seen.odd.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}

/// Begins streams and leaves them, sooner or later.
async fn leaves(to: SocketAddr, seen: Arc<Seen>, end: Instant) {
    let request = ask(400, true);
    for round in 0_u64.. {
        if Instant::now() >= end {
            return;
        }
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let some = round * 37 % 90;
        let _ = timeout(Duration::from_millis(some), stream.read_to_end(&mut Vec::new())).await;
        if round % 2 == 0 {
            stream.set_zero_linger().expect("a socket");
        }
        drop(stream);
        seen.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// Resident memory in KiB, and open descriptors.
fn held_by(process: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
    let memory = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count();
    (memory, open)
}

/// The samples of the gateway's own page, by name without labels, added up.
async fn figures(admin: SocketAddr) -> BTreeMap<String, u64> {
    let page = gate::get(admin, "/metrics").await.body;
    let mut all = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let outcome = name.split_once("outcome=\"").and_then(|(_, rest)| rest.split_once('"'));
        let family = name.split('{').next().expect("a name");
        let key = outcome.map_or(family.to_owned(), |(outcome, _)| format!("{family} {outcome}"));
        *all.entry(key).or_default() += value.parse::<f64>().expect("a number") as u64;
    }
    all
}

/// Lets clients ask for so long, and looks at everything that is counted.
async fn soak(time: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(Path::new(&path("nodes.toml")), NODES).expect("a file");
    let (_mock, mocked) =
        start(&["mock", &path("nodes.toml"), "--out", &path("fleet.toml")], true, 1);
    while !Path::new(&path("fleet.toml")).exists() {
        sleep(Duration::from_millis(20)).await;
    }
    let arguments = ["serve", &path("fleet.toml"), "--listen", "127.0.0.1:0"];
    let more = ["--admin", "127.0.0.1:0", "--log", "/dev/null"];
    let (gateway, at) = start(&[&arguments[..], &more[..]].concat(), false, 2);
    let (to, admin, process) = (at[0], at[1], gateway.0.id());
    let (seen, began) = (Arc::new(Seen::default()), Instant::now());
    let end = began + time;
    let mut clients = Vec::new();
    clients.extend((0..24).map(|_| tokio::spawn(asks(to, Arc::clone(&seen), end))));
    clients.extend((0..12).map(|_| tokio::spawn(leaves(to, Arc::clone(&seen), end))));
    let mut samples = Vec::new();
    while Instant::now() < end {
        sleep(time / 20).await;
        samples.push(held_by(process));
        let (memory, open) = samples[samples.len() - 1];
        let answered = seen.answered.load(Ordering::Relaxed);
        let left = seen.left.load(Ordering::Relaxed);
        println!(
            "{:>4} s: {answered} answered, {left} left, {memory} KiB, {open} descriptors",
            began.elapsed().as_secs()
        );
    }
    for client in clients {
        client.await.expect("no panic");
    }
    // What was left is ended by and by.
    let told = async {
        loop {
            let told = figures(admin).await;
            if told["plimsoll_requests_inflight"] + told["plimsoll_node_inflight"] == 0 {
                return told;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(PATIENCE, told).await.expect("nothing is under way for ever");
    sleep(Duration::from_millis(300)).await;
    let told = figures(admin).await;
    let (answered, left) =
        (seen.answered.load(Ordering::Relaxed), seen.left.load(Ordering::Relaxed));
    assert_eq!(seen.odd.load(Ordering::Relaxed), 0, "everybody who waits is answered");
    let count = |outcome: &str| told[&format!("plimsoll_requests_total {outcome}")];
    assert_eq!(count("failed") + count("rejected"), 0, "{told:?}");
    // Of those who left, some had their whole answer already, and some were never heard.
    assert!(count("ok") >= answered && count("ok") + count("cancelled") <= answered + left);
    assert!(count("cancelled") > 0);
    let stats = gate::get(mocked[0], "/admin/stats").await.json();
    let nodes = stats["nodes"].as_array().expect("nodes");
    let of = |key: &str| nodes.iter().filter_map(|node: &Value| node[key].as_u64()).sum::<u64>();
    assert_eq!(of("in_flight"), 0, "{stats}");
    assert!(of("started") <= told["plimsoll_attempts_total"], "{stats} {told:?}");
    assert!(of("finished") >= count("ok"), "{stats} {told:?}");
    assert_eq!(of("refused") + of("reset"), 0, "{stats}");
    // The second quarter of the time against the last.
    let mean =
        |part: &[(u64, usize)]| part.iter().map(|one| one.0).sum::<u64>() / part.len() as u64;
    let quarter = samples.len() / 4;
    let (early, late) = (mean(&samples[quarter..2 * quarter]), mean(&samples[3 * quarter..]));
    println!("{answered} answered, {left} left; memory {early} KiB early, {late} KiB late");
    assert!(late <= early + early / 10 + 2_048, "memory grows: {samples:?}");
    let open = held_by(process).1;
    assert!(open < 100, "{open} descriptors");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_holds_no_more_the_longer_it_runs() {
    soak(Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten minutes, or PLIMSOLL_SOAK seconds: run by name with --nocapture"]
async fn a_gateway_holds_no_more_after_a_million_requests() {
    let seconds = std::env::var("PLIMSOLL_SOAK").ok().and_then(|text| text.parse().ok());
    soak(Duration::from_secs(seconds.unwrap_or(600))).await;
}
