//! One word to the balancer and back: the owner task of `live::driver` against a lock around the
//! same balancer that every task takes.
//!
//! `cargo bench --bench live`
//!
//! A word is an arrival until its dispatch is seen, or an end until its answer is seen. The owner is
//! measured as commands run it (on the thread that started the runtime) and as a task of a worker.
//! The lock is the least that could work: no inbox, no timers, no journal, and whoever takes it
//! carries out its own actions.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plimsoll::balance::{
    Action, Attempt, Balancer, Config, Event, Input, Limits, NodeSpec, Outcome, PoolSpec, Prices,
    Request, RouteSpec, StrategySpec, Tier, Timeouts, Usage,
};
use plimsoll::live::driver::{Clock, Host, Inbox, Word, drive, inbox};
use plimsoll::unit::{ModelId, PoolId, RegionId, RequestId, Time, Tokens};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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
    let strategy = StrategySpec::named("least_tokens").expect("a known strategy");
    let node = |index: usize| NodeSpec {
        name: format!("n{index}"),
        pool: PoolId(0),
        tier: Tier::Primary,
        weight: 1,
        model: ModelId(0),
        region: RegionId(0),
        tags: 0,
        prices: Prices::default(),
        hourly: 0,
        limits: Limits::default(),
        credential: None,
    };
    let pools = vec![PoolSpec::new("p", strategy)];
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    Balancer::new(Config {
        seed: 7,
        expected_output: vec![Tokens(200)],
        timeouts: Timeouts { first_token: None, total: None },
        ..Config::new(pools, (0..10).map(node).collect(), routes)
    })
}

fn arrival(id: u64, now: Time) -> Input {
    Input::Arrive(Request { prompt: Tokens(500), ..Request::new(RequestId(id), now) })
}

fn finish(attempt: Attempt) -> Input {
    let usage = Usage { input: Tokens(500), cached: Tokens::ZERO, output: Tokens(200) };
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

impl Host for Post {
    fn record(&mut self, _now: Time, _input: &Input) {}

    fn hear(&mut self, _now: Time, _event: &Event) {}

    fn carry_out(&mut self, _now: Time, action: Action, _: &Balancer) {
        let (Action::Dispatch { attempt: Attempt { request, .. }, .. }
        | Action::Answer { request, .. }) = action
        else {
            return;
        };
        let _ = self.tasks[self.shared.task(request)].send(action);
    }

    fn tick(&mut self, _now: Time, _balancer: &Balancer) {}
}

fn owner(tasks: usize, on_worker: bool) -> Vec<u64> {
    let (runtime, shared, clock) = (runtime(), Shared::new(), Clock::start());
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
        let _ = inbox.send(Word::Stop);
        all
    });
    let mut host = Post { shared, tasks: post };
    let driving = async move { drive(balancer(), clock, words, &mut host).await };
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
    inbox: Inbox,
    clock: Clock,
    mut from: UnboundedReceiver<Action>,
) -> Vec<u64> {
    let mut nanos = Vec::new();
    while !shared.is_over() {
        let begun = Instant::now();
        let _ = inbox.send(Word::Input(arrival(shared.request(task), clock.now())));
        let Some(Action::Dispatch { attempt, .. }) = from.recv().await else { break };
        nanos.push(begun.elapsed().as_nanos() as u64);
        let begun = Instant::now();
        let _ = inbox.send(Word::Input(finish(attempt)));
        let Some(Action::Answer { .. }) = from.recv().await else { break };
        nanos.push(begun.elapsed().as_nanos() as u64);
        // As any task that has more to do than this: others get their turn.
        tokio::task::yield_now().await;
    }
    nanos
}

// ----- the lock -----

fn lock(tasks: usize) -> Vec<u64> {
    let (runtime, shared, clock) = (runtime(), Shared::new(), Clock::start());
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
    clock: Clock,
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
    clock: Clock,
    input: impl FnOnce(Time) -> Input,
) -> Option<Action> {
    let mut balancer = balancer.lock().expect("nobody panics");
    // Inside, or time would run backwards for the balancer.
    let now = clock.now();
    let effects = balancer.handle(now, input(now));
    effects.events.clear();
    effects.actions.drain(..).next()
}
