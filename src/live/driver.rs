//! The driver on the wall clock: the same five lines as in simulation, around the same balancer.
//!
//! One task owns the balancer. Whoever has a fact for it (a connection, an upstream task, a timer)
//! puts an input into its inbox; it handles one input after the other and carries out the actions in
//! the order they were decided. The alternative is a lock around the core that every task takes.
//! Measured with `cargo bench --bench live` on two shared cores, two workers: one message there and back,
//! p50 / p99 in microseconds, and thousands of messages a second.
//!
//! | tasks | owner on a thread of its own | owner as a task of a worker | lock               |
//! |------:|-----------------------------:|----------------------------:|-------------------:|
//! |     1 |           27 /  84,    31 k  |         0.5 /  3.6, 1,141 k | 0.2 /  0.4, 2,245 k |
//! |     2 |           46 /  92,    46 k  |         0.6 / 10.4, 1,181 k | 0.3 /  7.4, 1,676 k |
//! |     8 |           34 /  90,   211 k  |         4.7 / 20.3, 1,156 k | 0.3 / 17.9, 1,845 k |
//! |    64 |           38 / 155, 1,160 k  |        32.8 / 90.5, 1,490 k | 0.3 / 18.3, 2,014 k |
//!
//! A thread of its own costs some 30 microseconds a message at p50, most of which is waking it: so the gateway
//! runs the owner as a task of a worker. The lock is a little quicker still. (The bench's lock also writes
//! no journal and keeps no timers.) One owner stays because under a lock two tasks could carry out
//! their actions in another order than they were decided, an abort before its dispatch, and because
//! the journal is then in order by itself.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::balance::{Action, Balancer, Effects, Event, Explain, Input};
use crate::unit::{Span, Time};

/// Wall time as the balancer sees it: nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    start: Instant,
}

impl WallClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> WallClock {
        WallClock { start: Instant::now() }
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::ZERO + Span(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the moment of a time.
    #[must_use]
    pub fn at(&self, time: Time) -> Instant {
        // Beyond a century a timer never goes off in this life.
        let ahead = Duration::from_nanos(time.0).min(Duration::from_secs(3_000_000_000));
        self.start + ahead
    }
}

/// A message for the task that owns the balancer.
#[derive(Debug)]
pub enum Message<N> {
    /// Something the balancer should hear.
    Input(Input),
    /// The same, and before it something only the executor should know: bodies and answers never enter
    /// the balancer. One message and not two, because each may have to wake the owner.
    Noted(N, Input),
    /// No request will arrive any more: end when all are settled.
    Last,
    /// End now.
    Stop,
    /// Explain decisions like this from now on.
    Explain(Explain),
}

/// A way to the owner's inbox.
pub type Inbox<N> = UnboundedSender<Message<N>>;

/// The owner's end of its inbox.
pub type Messages<N> = UnboundedReceiver<Message<N>>;

/// Makes an inbox. It is as long as there are requests under way, which are limited where they come
/// in: each has a handful of messages.
#[must_use]
pub fn inbox<N>() -> (Inbox<N>, Messages<N>) {
    unbounded_channel()
}

/// Who observes a run: a journal, a collector, a screen, the executor itself.
pub trait Observer {
    /// Hears an input before the balancer does.
    fn record(&mut self, _now: Time, _input: &Input) {}

    /// Hears an event.
    fn hear(&mut self, _now: Time, _event: &Event) {}

    /// Is called every [`TICK`].
    fn tick(&mut self, _now: Time, _balancer: &Balancer) {}
}

/// Carries out what the balancer wants done, and hears events before others do.
pub trait Executor: Observer {
    /// What its tasks let it know.
    type Note;

    /// Takes a note.
    fn note(&mut self, note: Self::Note);

    /// Carries out an action of a balancer; what comes of it goes to the inbox.
    fn carry_out(&mut self, now: Time, action: Action, balancer: &Balancer);
}

/// The interval of [`Observer::tick`].
pub const TICK: Duration = Duration::from_millis(100);

/// Drives a balancer until told to stop, or until the last request is settled. Returns it with the
/// time of the end.
pub async fn drive<E: Executor>(
    mut balancer: Balancer,
    clock: WallClock,
    mut messages: Messages<E::Note>,
    executor: &mut E,
    observer: &mut impl Observer,
) -> (Balancer, Time) {
    let mut now = Time::ZERO;
    let mut last = false;
    let mut effects = Effects::default();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let totals = balancer.totals();
        if last && balancer.under_way() == 0 && totals.dispatched == totals.ended {
            return (balancer, now);
        }
        let Some(next) = next(balancer.wake_at(), &clock, &mut messages, &mut ticks).await else {
            return (balancer, now.max(clock.now()));
        };
        now = now.max(clock.now());
        let input = match next {
            Next::Input(input) => input,
            Next::Noted(note, input) => {
                executor.note(note);
                input
            }
            Next::Last => {
                last = true;
                continue;
            }
            Next::Tick => {
                executor.tick(now, &balancer);
                observer.tick(now, &balancer);
                continue;
            }
            Next::Explain(whose) => {
                balancer.explain(whose);
                continue;
            }
        };
        executor.record(now, &input);
        observer.record(now, &input);
        std::mem::swap(&mut effects, balancer.handle(now, input));
        for event in effects.events.drain(..) {
            executor.hear(now, &event);
            observer.hear(now, &event);
        }
        effects.actions.drain(..).for_each(|action| executor.carry_out(now, action, &balancer));
    }
}

enum Next<N> {
    Input(Input),
    Noted(N, Input),
    Last,
    Tick,
    Explain(Explain),
}

/// Waits for the next message, wake or tick; `None` to end. A wake that is due comes first, so a full
/// inbox cannot keep timers from going off.
async fn next<N>(
    wake: Option<Time>,
    clock: &WallClock,
    messages: &mut Messages<N>,
    ticks: &mut tokio::time::Interval,
) -> Option<Next<N>> {
    if wake.is_some_and(|at| at <= clock.now()) {
        return Some(Next::Input(Input::Wake));
    }
    let timer = async {
        match wake {
            Some(at) => sleep_until(clock.at(at)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = ticks.tick() => Some(Next::Tick),
        message = messages.recv() => match message? {
            Message::Input(input) => Some(Next::Input(input)),
            Message::Noted(note, input) => Some(Next::Noted(note, input)),
            Message::Last => Some(Next::Last),
            Message::Stop => None,
            Message::Explain(whose) => Some(Next::Explain(whose)),
        },
        // A timer may fire a moment early; the balancer is woken when the time has come.
        () = timer => Some(Next::Input(Input::Wake)),
    }
}
