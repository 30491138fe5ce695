//! What the live half costs: one word to the balancer and back, and one request through the gateway.
//!
//! `cargo bench --bench live`
//!
//! Words: the owner task of `live::driver` against a lock around the same balancer that every task
//! takes. A word is an arrival until its dispatch is seen, or an end until its answer is seen. The owner is
//! measured as commands run it (on the thread that started the runtime) and as a task of a worker.
//! The lock is the least that could work: no inbox, no timers, no journal, and whoever takes it
//! carries out its own actions.
//!
//! Requests: clients that keep their connections ask a gateway over an endpoint that answers at once, all
//! in this process. The processor time of a request is that of all three; it is steadier than the rest
//! on a machine that has other work.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plimsoll::balance::{
    Action, Attempt, Balancer, Config, Input, NodeSpec, Outcome, PoolSpec, Priority, Request,
    RouteSpec, StrategySpec, Timeouts, Usage,
};
use plimsoll::live::driver::{Executor, Inbox, Message, Observer, WallClock, drive, inbox};
use plimsoll::live::gateway::{self, ClassOption, GatewayParts};
use plimsoll::live::hints::RequestHints;
use plimsoll::live::http::{HttpLimits, Shutdown};
use plimsoll::live::upstream::{Dialect, Endpoint, PrefillKind, StreamPace, UpstreamClient};
use plimsoll::unit::{PoolId, RequestId, Time, Tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

const WORKERS: usize = 2;
const LENGTH: Duration = Duration::from_secs(2);
const TASKS: [usize; 4] = [1, 2, 8, 64];
/// Far more than there are requests under way at a time.
const OWNERS: usize = 1 << 16;

fn main() {
    println!("{WORKERS} workers, {} s each", LENGTH.as_secs());
    println!("{:<16}{:>6}{:>12}{:>12}{:>12}", "", "tasks", "p50 us", "p99 us", "words/s");
    for tasks in TASKS {
        show("owner", tasks, owner(tasks, false));
        show("owner on worker", tasks, owner(tasks, true));
        show("lock", tasks, lock(tasks));
    }
    println!(
        "{:<16}{:>6}{:>12}{:>12}{:>12}{:>12}",
        "", "tasks", "p50 us", "p99 us", "asked/s", "cpu us"
    );
    for (name, prompt, streams) in
        [("stream", 100, true), ("whole", 100, false), ("stream, 64 kB", 64 << 10, true)]
    {
        for tasks in [1, 8, 64] {
            show_requests(name, tasks, requests(tasks, prompt, streams));
        }
    }
}

fn show(name: &str, tasks: usize, mut nanos: Vec<u64>) {
    nanos.sort_unstable();
    let micros = |share: f64| nanos[(nanos.len() as f64 * share) as usize] as f64 / 1e3;
    let rate = nanos.len() as f64 / LENGTH.as_secs_f64();
    println!("{name:<16}{tasks:>6}{:>12.2}{:>12.2}{rate:>12.0}", micros(0.5), micros(0.99));
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().expect("a runtime")
}

fn balancer() -> Balancer {
    Balancer::new(config(10))
}

fn config(nodes: usize) -> Config {
    let strategy = StrategySpec::named("least_tokens").expect("a known strategy");
    let node = |index: usize| NodeSpec::new(&format!("n{index}"), PoolId(0));
    let pools = vec![PoolSpec::new("p", strategy)];
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    Config {
        seed: 7,
        expected_output: vec![Tokens(200)],
        timeouts: Timeouts { first_token: None, silence: None, total: None },
        ..Config::new(pools, (0..nodes).map(node).collect(), routes)
    }
}

fn arrival(id: u64, now: Time) -> Input {
    Input::Arrive(Request { prompt: Tokens(500), ..Request::new(RequestId(id), now) })
}

fn finish(attempt: Attempt) -> Input {
    let usage =
        Usage { input: Tokens(500), cached: Tokens::ZERO, output: Tokens(200), estimated: false };
    Input::Finish(attempt, Outcome::Done(usage))
}

/// What all tasks of a measurement share.
struct Shared {
    next: AtomicU64,
    over: AtomicBool,
    /// By request, modulo: the task it belongs to.
    owners: Vec<AtomicU32>,
}

impl Shared {
    fn new() -> Arc<Shared> {
        let owners = (0..OWNERS).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Shared { next: AtomicU64::new(0), over: AtomicBool::new(false), owners })
    }

    fn request(&self, task: usize) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.owners[id as usize % OWNERS].store(task as u32, Ordering::Relaxed);
        id
    }

    fn task(&self, id: RequestId) -> usize {
        self.owners[id.0 as usize % OWNERS].load(Ordering::Relaxed) as usize
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

// ----- the owner task -----

struct Post {
    shared: Arc<Shared>,
    tasks: Vec<UnboundedSender<Action>>,
}

impl Observer for Post {}

impl Executor for Post {
    type Note = ();

    fn note(&mut self, _note: ()) {}

    fn carry_out(&mut self, _now: Time, action: Action, _: &Balancer) {
        let (Action::Dispatch { attempt: Attempt { request, .. }, .. }
        | Action::Answer { request, .. }) = action
        else {
            return;
        };
        let _ = self.tasks[self.shared.task(request)].send(action);
    }
}

fn owner(tasks: usize, on_worker: bool) -> Vec<u64> {
    let (runtime, shared, clock) = (runtime(), Shared::new(), WallClock::start());
    let (inbox, words) = inbox();
    let (mut post, mut asking) = (Vec::new(), Vec::new());
    for task in 0..tasks {
        let (to, from) = unbounded_channel();
        post.push(to);
        asking.push(runtime.spawn(ask(task, Arc::clone(&shared), inbox.clone(), clock, from)));
    }
    let stop = Arc::clone(&shared);
    let waiting = runtime.spawn(async move {
        tokio::time::sleep(LENGTH).await;
        stop.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in asking {
            all.extend(task.await.expect("a task"));
        }
        let _ = inbox.send(Message::Stop);
        all
    });
    let mut executor = Post { shared, tasks: post };
    let driving = async move { drive(balancer(), clock, words, &mut executor, &mut Nobody).await };
    if on_worker {
        runtime.block_on(runtime.spawn(driving)).expect("the owner");
    } else {
        runtime.block_on(driving);
    }
    runtime.block_on(waiting).expect("the words")
}

async fn ask(
    task: usize,
    shared: Arc<Shared>,
    inbox: Inbox<()>,
    clock: WallClock,
    mut from: UnboundedReceiver<Action>,
) -> Vec<u64> {
    let mut nanos = Vec::new();
    while !shared.is_over() {
        let begun = Instant::now();
        let _ = inbox.send(Message::Input(arrival(shared.request(task), clock.now())));
        let Some(Action::Dispatch { attempt, .. }) = from.recv().await else { break };
        nanos.push(begun.elapsed().as_nanos() as u64);
        let begun = Instant::now();
        let _ = inbox.send(Message::Input(finish(attempt)));
        let Some(Action::Answer { .. }) = from.recv().await else { break };
        nanos.push(begun.elapsed().as_nanos() as u64);
        // As any task that has more to do than this: others get their turn.
        tokio::task::yield_now().await;
    }
    nanos
}

// ----- the lock -----

fn lock(tasks: usize) -> Vec<u64> {
    let (runtime, shared, clock) = (runtime(), Shared::new(), WallClock::start());
    let balancer = Arc::new(Mutex::new(balancer()));
    let asking: Vec<_> = (0..tasks)
        .map(|task| runtime.spawn(take(task, Arc::clone(&shared), Arc::clone(&balancer), clock)))
        .collect();
    runtime.block_on(async move {
        tokio::time::sleep(LENGTH).await;
        shared.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in asking {
            all.extend(task.await.expect("a task"));
        }
        all
    })
}

async fn take(
    task: usize,
    shared: Arc<Shared>,
    balancer: Arc<Mutex<Balancer>>,
    clock: WallClock,
) -> Vec<u64> {
    let mut nanos = Vec::new();
    while !shared.is_over() {
        let begun = Instant::now();
        let id = shared.request(task);
        let Some(Action::Dispatch { attempt, .. }) =
            handle(&balancer, clock, |now| arrival(id, now))
        else {
            break;
        };
        nanos.push(begun.elapsed().as_nanos() as u64);
        let begun = Instant::now();
        let Some(Action::Answer { .. }) = handle(&balancer, clock, |_| finish(attempt)) else {
            break;
        };
        nanos.push(begun.elapsed().as_nanos() as u64);
        tokio::task::yield_now().await;
    }
    nanos
}

/// Hands the balancer a word. Without limits every action is for the request of the word.
fn handle(
    balancer: &Mutex<Balancer>,
    clock: WallClock,
    input: impl FnOnce(Time) -> Input,
) -> Option<Action> {
    let mut balancer = balancer.lock().expect("nobody panics");
    // Inside, or time would run backwards for the balancer.
    let now = clock.now();
    let effects = balancer.handle(now, input(now));
    effects.events.clear();
    effects.actions.drain(..).next()
}

// ----- requests through the gateway -----

/// An event of a stream.
const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
/// The events after which a stream ends.
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}\n\n\
                    data: [DONE]\n\n";
/// How a whole answer ends, and with it what the endpoint sends.
const WHOLE: &str = "{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\
                     \"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}";

fn show_requests(name: &str, tasks: usize, (mut nanos, cpu): (Vec<u64>, Duration)) {
    nanos.sort_unstable();
    let micros = |share: f64| nanos[(nanos.len() as f64 * share) as usize] as f64 / 1e3;
    let rate = nanos.len() as f64 / LENGTH.as_secs_f64();
    let cpu = cpu.as_secs_f64() * 1e6 / nanos.len() as f64;
    println!(
        "{name:<16}{tasks:>6}{:>12.0}{:>12.0}{rate:>12.0}{cpu:>12.0}",
        micros(0.5),
        micros(0.99)
    );
}

/// The processor time of this process, to a hundredth of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, in ticks of a hundredth of a second.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Watches nothing.
struct Nobody;

impl Observer for Nobody {}

fn reached_at(url: String) -> Endpoint {
    let (dialect, prefill) = (Dialect::Openai, PrefillKind::default());
    Endpoint { url, key: None, dialect, prefill, ca_file: None }
}

/// Returns how long each request took, and the processor time of all.
fn requests(tasks: usize, prompt: usize, streams: bool) -> (Vec<u64>, Duration) {
    let runtime = runtime();
    let answer: Arc<str> = if streams {
        let events = EVENT.repeat(8) + LAST;
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
        format!("{head}\r\n\r\n{:x}\r\n{events}\r\n0\r\n\r\n", events.len()).into()
    } else {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
        format!("{head}\r\ncontent-length: {}\r\n\r\n{WHOLE}", WHOLE.len()).into()
    };
    let end = if streams { "[DONE]\n\n\r\n0\r\n\r\n" } else { WHOLE };
    let body = format!(
        "{{\"model\":\"c\",\"stream\":{streams},\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
        "a".repeat(prompt)
    );
    let request: Arc<str> = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into();
    let shared = Shared::new();
    let (stop, stopped) = watch::channel(Shutdown::No);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let upstream = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}/v1", upstream.local_addr().expect("an address"));
    runtime.spawn(endpoint(upstream, answer));
    let over = Arc::clone(&shared);
    let begun = processor_time();
    let asking = runtime.spawn(async move {
        let clients: Vec<_> = (0..tasks)
            .map(|_| tokio::spawn(client(address, Arc::clone(&request), end, Arc::clone(&over))))
            .collect();
        tokio::time::sleep(LENGTH).await;
        over.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.await.expect("a client"));
        }
        let _ = stop.send(Shutdown::Now);
        all
    });
    let endpoint = reached_at(url);
    let class = ClassOption {
        name: "c".to_owned(),
        priority: Priority::default(),
        deadline: None,
        model: None,
    };
    let parts = GatewayParts {
        config: config(1),
        client: Arc::new(
            UpstreamClient::new(&[endpoint], None, StreamPace::default()).expect("a URL"),
        ),
        models: vec![String::new()],
        classes: vec![class],
        cors_origins: Vec::new(),
        plain: Vec::new(),
        keep_alive: Default::default(),
        hints: RequestHints::default(),
        limits: HttpLimits::default(),
    };
    runtime.block_on(gateway::serve(parts, listener, &mut Nobody, stopped));
    let nanos = runtime.block_on(asking).expect("the clients");
    (nanos, processor_time() - begun)
}

async fn client(
    to: SocketAddr,
    request: Arc<str>,
    end: &'static str,
    shared: Arc<Shared>,
) -> Vec<u64> {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (mut nanos, mut raw) = (Vec::new(), Vec::new());
    while !shared.is_over() {
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await.expect("sent");
        raw.clear();
        while !raw.ends_with(end.as_bytes()) {
            assert!(stream.read_buf(&mut raw).await.expect("an answer") > 0, "it is whole");
        }
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    nanos
}

/// Answers every request of every connection at once.
async fn endpoint(listener: TcpListener, answer: Arc<str>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut raw = Vec::new();
            while stream.read_buf(&mut raw).await.is_ok_and(|read| read > 0) {
                if request_ends(&raw) {
                    raw.clear();
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Whether a request has been read: heads and bodies of the gateway end in so many ways only.
fn request_ends(raw: &[u8]) -> bool {
    let Some(head) = raw.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&raw[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    raw.len() >= head + 4 + length
}
