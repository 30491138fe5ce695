//! The gateway as a program: the decision log it writes verifies, every touched byte is found out, and
//! one that is killed leaves a log whose lines hold as far as they go.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::gate::{self, Upstream, chat, exchange, http, post, say, stream_of};

/// A gateway in a process of its own.
struct Serving {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(folder: &Path, urls: &[String]) -> Serving {
        Serving::start_at(folder, urls, &["--listen", "127.0.0.1:0"])
    }

    fn start_at(folder: &Path, urls: &[String], options: &[&str]) -> Serving {
        let nodes: String = urls
            .iter()
            .enumerate()
            .map(|(index, url)| format!("[[pool.node]]\nname = \"n{index}\"\nurl = \"{url}\"\n"))
            .collect();
        let text = format!(
            "duration = \"1h\"\n[balancer]\n{}\n[[pool]]\nname = \"p\"\nstrategy = \
             \"round_robin\"\n{nodes}[[class]]\nname = \"c\"\noutput_tokens = {{ constant = 9 }}\n\
             [workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n",
            gate::SETTINGS
        );
        let (config, log) = (folder.join("gate.toml"), folder.join("decisions.ndjson"));
        std::fs::write(&config, text).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .arg("serve")
            .args(options)
            .arg("--log")
            .args([&log, &config])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://").expect("where it listens");
        let address = address.strip_suffix("/v1").expect("the base").parse().expect("an address");
        Serving { child, address, log }
    }

    /// Asks for so many answers, one after the other, and returns their statuses.
    async fn ask(&self, count: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            let request = post(&chat(true).to_string());
            statuses.push(exchange(self.address, &request).await.status);
        }
        statuses
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    fn stop(&mut self) {
        self.signal("-INT");
        self.child.wait().expect("it ends");
    }
}

fn verify(file: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["journal", "verify"])
        .arg(file)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let said = [stdout, stderr].concat();
    (status.code().expect("a code"), String::from_utf8_lossy(&said).into_owned())
}

async fn endpoints() -> [Upstream; 2] {
    let broken = Upstream::start(vec![say(http("500 No", "", "{}"))]).await;
    [broken, Upstream::start(stream_of("hello")).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_log_of_a_gateway_verifies_and_a_touched_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = endpoints().await;
    let mut gateway = Serving::start(folder.path(), &[ends[0].url(), ends[1].url()]);
    assert_eq!(gateway.ask(6).await, [200; 6], "failures are tried again elsewhere");
    gateway.stop();
    let bytes = std::fs::read(&gateway.log).expect("a log");
    let text = String::from_utf8(bytes.clone()).expect("text");
    let count = |what: &str| text.matches(&format!("\"what\":\"{what}\"")).count();
    assert_eq!(count("arrival"), 6, "{text}");
    assert!(count("decision") > 6 && count("retry") > 0, "failures are in it: {text}");
    let (code, said) = verify(&gateway.log);
    assert_eq!(code, 0, "{said}");
    let touched = folder.path().join("touched.ndjson");
    for place in [10, bytes.len() / 3, bytes.len() / 2, bytes.len() - 3] {
        let mut other = bytes.clone();
        other[place] ^= 1;
        std::fs::write(&touched, &other).expect("a file");
        let line = bytes[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
        let (code, said) = verify(&touched);
        assert!(code == 101 && said.contains(&format!("line {line}")), "byte {place}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_leaves_a_log_that_holds_as_far_as_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = endpoints().await;
    let mut gateway = Serving::start(folder.path(), &[ends[0].url(), ends[1].url()]);
    assert_eq!(gateway.ask(4).await, [200; 4]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.child.kill().expect("it is killed");
    gateway.child.wait().expect("it is gone");
    let text = std::fs::read_to_string(&gateway.log).expect("a log");
    assert_eq!(text.matches("\"what\":\"arrival\"").count(), 4, "nothing was held back: {text}");
    let lines = text.matches('\n').count();
    let (code, said) = verify(&gateway.log);
    assert_eq!(code, 101, "whoever cuts a log leaves the same: {said}");
    let held = format!("the {lines} lines before are as they were written");
    assert!(said.contains(&held), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_refuses_nothing_and_a_clean_end_is_a_success() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let end = Upstream::start(stream_of("hello")).await;
    let urls = [end.url()];
    let grace = ["--listen", "127.0.0.1:0", "--grace", "2s"];
    let mut old = Serving::start_at(folders[0].path(), &urls, &grace);
    let address = old.address;
    let asking = tokio::spawn(async move {
        for _ in 0..400 {
            let reply = exchange(address, &post(&chat(true).to_string())).await;
            assert_eq!(reply.text(), "hello");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    old.signal("-HUP");
    tokio::time::sleep(Duration::from_millis(200)).await;
    old.signal("-TERM");
    loop {
        // Still served, and said to leave.
        let ready = gate::get(address, "/readyz").await;
        if ready.status == 503 {
            assert!(ready.head.contains("connection: close"), "{ready:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let listen = address.to_string();
    let mut new = Serving::start_at(folders[1].path(), &urls, &["--listen", &listen]);
    let code = tokio::task::spawn_blocking(move || old.child.wait().expect("it ends").code()).await;
    assert_eq!(code.expect("no panic"), Some(0), "nothing was cut");
    asking.await.expect("every request is answered");
    new.stop();
    assert_eq!(new.child.wait().expect("it ends").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let end = Upstream::start(vec![gate::Do::Hang]).await;
    let mut gateway = Serving::start(folder.path(), &[end.url()]);
    let address = gateway.address;
    let asking = tokio::spawn(async move {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let request = post(&chat(true).to_string());
        let sent = tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await;
        sent.expect("sent");
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    });
    while end.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.signal("-INT");
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.signal("-INT");
    assert_eq!(gateway.child.wait().expect("it ends").code(), Some(130), "requests were cut");
    asking.await.expect("no panic");
}
