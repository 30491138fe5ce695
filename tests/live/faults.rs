//! Faults of endpoints that clients must not notice, over real sockets: one of four is ill while its
//! `/health` says that it is well, kept connections turn out to be closed, idle ones take every place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use crate::gate::{DONE, FINISH, Gate, PATIENCE, ROLE, Reply, SSE, chat, get, http, post};
use crate::gate::{read_request, text, whole, word};
use plimsoll::balance::{End, Fate};
use plimsoll::live::http::HttpLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// What an endpoint is like at the moment; `/health` is well throughout.
const WELL: u8 = 0;
const HANGS: u8 = 1;
const FAILS: u8 = 2;
const LIMITED: u8 = 3;
const RESETS: u8 = 4;
/// Of a stream nothing comes after the first token but the end of the connection.
const CUTS: u8 = 5;
/// Half a head comes, and nothing more.
const HALF_HEAD: u8 = 6;
/// All comes but the last chunk.
const OPEN_END: u8 = 7;
/// A byte now and then.
const DRIPS: u8 = 8;

struct Endpoint {
    url: String,
    mode: Arc<AtomicU8>,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Endpoint {
    async fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let (mode, served) = (Arc::new(AtomicU8::new(WELL)), Arc::new(AtomicUsize::new(0)));
        let (its_mode, its_served) = (Arc::clone(&mode), Arc::clone(&served));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&its_mode), Arc::clone(&its_served)));
            }
        });
        Endpoint { url, mode, served, task }
    }

    fn becomes(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }
}

async fn serve(mut stream: TcpStream, mode: Arc<AtomicU8>, served: Arc<AtomicUsize>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let streams = request.contains("\"stream\":true");
    let well = || match (request.starts_with("GET"), streams) {
        (true, _) => http("200 OK", "", "{}"),
        (_, false) => http("200 OK", "", &whole("")),
        (_, true) => [SSE, ROLE, &word("hello"), FINISH, DONE].concat(),
    };
    let mode = if request.starts_with("GET") { WELL } else { mode.load(Ordering::Relaxed) };
    let answer = match mode {
        HANGS => {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
        FAILS => http("500 Internal Server Error", "", "{}"),
        LIMITED => http("429 Too Many Requests", "", "{}"),
        RESETS => {
            let _ = stream.set_zero_linger();
            return;
        }
        HALF_HEAD | OPEN_END | DRIPS => {
            let said = match mode {
                HALF_HEAD => "HTTP/1.1 200 OK\r\ncontent-".to_owned(),
                OPEN_END => {
                    let body = whole("");
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                                transfer-encoding: chunked\r\n\r\n";
                    format!("{head}{:x}\r\n{body}\r\n", body.len())
                }
                _ => http("200 OK", "", &whole("")),
            };
            let pause = if mode == DRIPS { 100 } else { 0 };
            for byte in said.bytes() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                if pause > 0 {
                    sleep(Duration::from_millis(pause)).await;
                }
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
        CUTS if streams => [SSE, ROLE, &word("hel")].concat(),
        _ => {
            sleep(Duration::from_millis(5)).await;
            served.fetch_add(1, Ordering::Relaxed);
            well()
        }
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Asks so many times, so many milliseconds apart, and returns the answers.
async fn ask(gate: &Gate, (count, apart): (usize, u64), stream: bool) -> Vec<Reply> {
    let mut asking = JoinSet::new();
    let address = gate.address;
    for _ in 0..count {
        let request = post(&chat(stream).to_string());
        asking.spawn(async move { crate::gate::exchange(address, &request).await });
        sleep(Duration::from_millis(apart)).await;
    }
    asking.join_all().await
}

/// One of four is ill for a while. Nobody gets an error, and when it is well again it serves.
async fn survive(mode: u8, strategy: &'static str, stream: bool) {
    let what = format!("fault {mode}, {strategy}, stream {stream}");
    let mut endpoints = Vec::new();
    for _ in 0..4 {
        endpoints.push(Endpoint::start().await);
    }
    let urls: Vec<String> = endpoints.iter().map(|endpoint| endpoint.url.clone()).collect();
    let text = text(4, "", "").replace("round_robin", strategy);
    let gate = Gate::of(&text, &urls, HttpLimits::default()).await;
    for reply in ask(&gate, (150, 6), stream).await {
        assert_eq!(reply.status, 200, "before: {what}: {reply:?}");
    }
    endpoints[1].becomes(mode);
    for reply in ask(&gate, (300, 6), stream).await {
        if mode == CUTS && !reply.body.contains("[DONE]") {
            assert_eq!(reply.cut(), "hel", "{what}");
        } else {
            assert_eq!(reply.status, 200, "during: {what}: {reply:?}");
            assert!(reply.whole, "during: {what}: {reply:?}");
        }
    }
    endpoints[1].becomes(WELL);
    let before = endpoints[1].served.load(Ordering::Relaxed);
    let back = async {
        while endpoints[1].served.load(Ordering::Relaxed) < before + 3 {
            // All at once: who goes by load has no reason to prefer one of idle equals.
            for reply in ask(&gate, (20, 0), stream).await {
                assert!(reply.status == 200, "after: {what}: {reply:?}");
            }
        }
    };
    timeout(3 * PATIENCE, back).await.unwrap_or_else(|_| panic!("it serves again: {what}"));
    let (_, fates) = gate.close().await;
    let completed = fates.iter().filter(|fate| **fate == Fate::Completed).count();
    assert!(completed == fates.len() || mode == CUTS, "{what}: {fates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_ill_endpoint_of_four_costs_nobody_an_error() {
    for strategy in ["round_robin", "least_connections", "smart"] {
        let mut all = JoinSet::new();
        for mode in [HANGS, FAILS, LIMITED, RESETS, HALF_HEAD, OPEN_END, DRIPS] {
            all.spawn(survive(mode, strategy, false));
        }
        for mode in [HANGS, CUTS] {
            all.spawn(survive(mode, strategy, true));
        }
        all.join_all().await;
    }
}

/// Answers one request a connection as if it kept it, and resets it when the next one comes.
pub(super) async fn half_closed(listener: TcpListener, resets: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let resets = Arc::clone(&resets);
        tokio::spawn(async move {
            if read_request(&mut stream).await.is_none() {
                return;
            }
            let answer = http("200 OK", "", &whole("")).replace("connection: close\r\n", "");
            let _ = stream.write_all(answer.as_bytes()).await;
            if read_request(&mut stream).await.is_some() {
                resets.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_zero_linger();
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_was_closed_costs_nothing_and_blames_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let resets = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(half_closed(listener, Arc::clone(&resets)));
    let once = "retry = { attempts = 1 }";
    let gate = Gate::with(&[url], "", once, HttpLimits::default()).await;
    for _ in 0..20 {
        let reply = gate.ask(&chat(false)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert!(resets.load(Ordering::Relaxed) >= 5, "it was tried: {resets:?}");
    let (ends, _) = gate.close().await;
    assert_eq!(ends, vec![End::Done; 20], "nothing is held against it");
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_kept_idle_shut_nobody_out() {
    let endpoint = Endpoint::start().await;
    let limits = HttpLimits { connections_max: 3, ..HttpLimits::default() };
    let gate = Gate::with(std::slice::from_ref(&endpoint.url), "", "", limits).await;
    let mut idle = Vec::new();
    for _ in 0..9 {
        let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        asked.expect("sent");
        let mut buffer = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer in time");
        assert!(buffer[..read.expect("it answers")].starts_with(b"HTTP/1.1 200"));
        idle.push(stream);
    }
    assert_eq!(get(gate.address, "/healthz").await.status, 200);
    // The newest ones are kept.
    let mut rest = [0; 16];
    let gone = timeout(PATIENCE, idle[0].read(&mut rest)).await.expect("it was closed");
    assert_eq!(gone.expect("a clean end"), 0);
    drop(idle);
    gate.close().await;
}
