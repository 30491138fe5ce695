//! The driver on the wall clock: the same five lines as in simulation, around the same balancer.
//!
//! One task owns the balancer. Whoever has a word for it (a connection, an upstream task, a timer)
//! puts an input into its inbox; it handles one input after the other and carries out the actions in
//! the order they were decided. The alternative, a lock around the core that every task takes, is
//! quicker by a few microseconds a word (`cargo bench --bench live`), but two tasks could then carry
//! out their actions in another order than they were decided: an abort before its dispatch.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::balance::{Action, Balancer, Event, Input};
use crate::unit::{Span, Time};

/// Wall time as the balancer sees it: nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
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

/// A word for the task that owns the balancer.
#[derive(Debug)]
pub enum Word {
    /// Something the balancer should hear.
    Input(Input),
    /// No request will arrive any more: end when all are settled.
    Last,
    /// End now.
    Stop,
}

/// A way to the owner's inbox.
pub type Inbox = UnboundedSender<Word>;

/// Makes an inbox. It is as long as there are requests under way, which are limited where they come
/// in: each has a handful of words.
#[must_use]
pub fn inbox() -> (Inbox, UnboundedReceiver<Word>) {
    unbounded_channel()
}

/// What surrounds the balancer: an executor, and whoever watches.
pub trait Host {
    /// Hears an input before the balancer does.
    fn record(&mut self, now: Time, input: &Input);
    /// Hears an event.
    fn hear(&mut self, now: Time, event: &Event);
    /// Carries out an action; what comes of it goes to the inbox.
    fn carry_out(&mut self, now: Time, action: Action);
    /// Is called every [`TICK`].
    fn tick(&mut self, now: Time, balancer: &Balancer);
}

/// Who watches a run: a journal, a collector, a screen.
pub trait Watcher {
    /// Hears an input before the balancer does.
    fn record(&mut self, now: Time, input: &Input);
    /// Hears an event.
    fn hear(&mut self, now: Time, event: &Event);
    /// Is called every [`TICK`].
    fn tick(&mut self, now: Time, balancer: &Balancer);
}

/// The interval of [`Host::tick`].
pub const TICK: Duration = Duration::from_millis(100);

/// Drives a balancer until told to stop, or until the last request is settled. Returns it with the
/// time of the end.
pub async fn drive(
    mut balancer: Balancer,
    clock: Clock,
    mut words: UnboundedReceiver<Word>,
    host: &mut impl Host,
) -> (Balancer, Time) {
    let mut now = Time::ZERO;
    let mut last = false;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let totals = balancer.totals();
        if last && balancer.under_way() == 0 && totals.dispatched == totals.ended {
            return (balancer, now);
        }
        let Some(next) = next(balancer.wake_at(), &clock, &mut words, &mut ticks).await else {
            return (balancer, now.max(clock.now()));
        };
        now = now.max(clock.now());
        let input = match next {
            Next::Input(input) => input,
            Next::Last => {
                last = true;
                continue;
            }
            Next::Tick => {
                host.tick(now, &balancer);
                continue;
            }
        };
        host.record(now, &input);
        let effects = balancer.handle(now, input);
        effects.events.drain(..).for_each(|event| host.hear(now, &event));
        effects.actions.drain(..).for_each(|action| host.carry_out(now, action));
    }
}

enum Next {
    Input(Input),
    Last,
    Tick,
}

/// Waits for the next word, wake or tick; `None` to end. A wake that is due comes first, so a full
/// inbox cannot keep timers from going off.
async fn next(
    wake: Option<Time>,
    clock: &Clock,
    words: &mut UnboundedReceiver<Word>,
    ticks: &mut tokio::time::Interval,
) -> Option<Next> {
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
        word = words.recv() => match word? {
            Word::Input(input) => Some(Next::Input(input)),
            Word::Last => Some(Next::Last),
            Word::Stop => None,
        },
        // A timer may fire a moment early; the balancer is woken when the time has come.
        () = timer => Some(Next::Input(Input::Wake)),
    }
}
