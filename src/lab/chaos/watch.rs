//! Invariants that need history: a fold over events, held against the machine after every input.
//!
//! The fold keeps its own books (who is where, on which node, at which price, in which state) from
//! nothing but the scenario and the events, and says what contradicts an invariant of
//! [`INVARIANTS`](super::INVARIANTS). With several balancers, what one of them knows of a node is
//! not in the events, so what depends on it is checked with one balancer only.

use std::collections::{BTreeSet, HashMap};

use super::pressed::Pressed;
use crate::balance::{
    ATTEMPTS_MAX, Balancer, Cause, Config, End, Event, Failure, Fate, Input, Kind, NodeState,
    Prices, Priority, RETRIES_MIN, RETRY_AFTER_MAX, Reject, Settled, Stage, Tier, Totals, Why,
    check,
};
use crate::unit::{Cost, NodeId, PoolId, Ratio, RequestId, Time, Tokens};

/// An invariant that does not hold: its number, and the figures that contradict it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number, as in `I07`.
    pub invariant: String,
    /// What contradicts it.
    pub said: String,
}

impl Broken {
    pub(super) fn new(invariant: &str, said: impl Into<String>) -> Broken {
        Broken { invariant: invariant.to_owned(), said: said.into() }
    }

    /// Whether both are the same finding: the same invariant, and of panics the same words.
    pub(super) fn is_like(&self, other: &Broken) -> bool {
        let words = |said: &str| said.chars().filter(|c| c.is_alphabetic()).collect::<String>();
        let panics = self.invariant == "I52";
        self.invariant == other.invariant && (!panics || words(&self.said) == words(&other.said))
    }

    /// From what [`check`] says: `I04: node 3 has ...`.
    pub(super) fn of(said: &str) -> Broken {
        let (invariant, said) = said.split_once(": ").unwrap_or(("I52", said));
        Broken::new(invariant, said)
    }
}

/// Fails with an invariant unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $invariant:literal, $($said:tt)+) => {
        let holds: bool = $holds;
        if !holds {
            return Err(Broken::new($invariant, format!($($said)+)));
        }
    };
}
pub(super) use ensure;

/// What the events said of a node.
#[derive(Clone, Debug)]
struct Seen {
    state: NodeState,
    in_flight: u32,
    limit: Option<u32>,
    /// What its limiter found.
    adaptive: Option<u32>,
    prices: Prices,
    /// No dispatch before this: it asked for it with a 429.
    parked: Time,
    /// When the machine last said that its rest is over.
    rests: Time,
    /// It came back or is new, and has had no success since: it may take less than it could.
    on_trial: bool,
}

impl Seen {
    /// Whether it takes one more.
    fn has_room(&self) -> bool {
        [self.limit, self.adaptive].into_iter().flatten().all(|limit| self.in_flight < limit)
    }
}

/// What the events said of an attempt.
#[derive(Clone, Copy, Debug)]
struct Tried {
    node: NodeId,
    prices: Prices,
    first_token: bool,
    end: Option<End>,
}

/// What the events said of a request.
#[derive(Clone, Debug)]
struct Life {
    /// From the input itself, timers included.
    deadline: Time,
    heard: Time,
    arrived: Time,
    queued: Option<Time>,
    attempts: Vec<Tried>,
    /// A retry is planned and not dispatched yet.
    planned: bool,
    hedged: bool,
    /// An answer was not good enough, and another model is to be asked.
    escalated: bool,
    /// How often that was so.
    steps: usize,
    priority: Priority,
    retrying: bool,
    settled: bool,
}

/// What the fold counted, to be held against what everyone else counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came.
    pub arrived: u64,
    /// Whole answers.
    pub completed: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests turned away.
    pub rejected: u64,
    /// Clients that went away.
    pub cancelled: u64,
    /// Attempts dispatched.
    pub dispatched: u64,
    /// Attempts ended.
    pub ended: u64,
    /// Dispatches after a failure.
    pub retries: u64,
    /// Dispatches beside another one.
    pub hedges: u64,
    /// Ejections.
    pub ejections: u64,
    /// Nodes that rested after a 429.
    pub limited: u64,
    /// Tokens of all attempts.
    pub input: u64,
    /// Tokens of all answers.
    pub output: u64,
    /// What all attempts cost, in pico-dollars.
    pub cost: u128,
    /// Events.
    pub events: u64,
}

impl Counts {
    /// Requests at their end.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.completed + self.failed + self.rejected + self.cancelled
    }
}

/// The fold.
#[derive(Debug)]
pub(super) struct Witness<'a> {
    config: &'a Config,
    /// Whether there is one balancer.
    alone: bool,
    now: Time,
    nodes: Vec<Seen>,
    requests: HashMap<RequestId, Life>,
    retrying: u64,
    /// Tiers in which ejected nodes serve too.
    panics: BTreeSet<(PoolId, Tier)>,
    pressed: Pressed<'a>,
    pub(super) counts: Counts,
}

impl<'a> Witness<'a> {
    /// Opens the books on machines that have heard nothing yet.
    pub(super) fn new(config: &'a Config, balancers: &[Balancer]) -> Witness<'a> {
        let seen = |node: &crate::balance::Node| Seen {
            state: node.state(),
            in_flight: 0,
            limit: node.spec.limits.concurrency,
            adaptive: found(config, node.spec.pool),
            prices: node.spec.prices,
            parked: Time::ZERO,
            rests: Time::ZERO,
            on_trial: false,
        };
        Witness {
            config,
            alone: balancers.len() == 1,
            now: Time::ZERO,
            nodes: balancers[0].fleet().nodes().iter().map(seen).collect(),
            requests: HashMap::new(),
            retrying: 0,
            panics: BTreeSet::new(),
            pressed: Pressed::new(config),
            counts: Counts::default(),
        }
    }

    /// Hears an input before the machine does.
    pub(super) fn input(&mut self, now: Time, input: &Input) -> Result<(), Broken> {
        ensure!(now >= self.now, "I31", "time goes back from {} to {now}", self.now);
        self.now = now;
        if let Input::Arrive(request) = input {
            let total = self.config.timeouts.total;
            let deadline = total.map_or(Time::MAX, |total| request.arrived + total);
            let life = Life {
                deadline: request.deadline.min(deadline),
                heard: now,
                arrived: request.arrived,
                queued: None,
                attempts: Vec::new(),
                planned: false,
                hedged: false,
                escalated: false,
                steps: 0,
                priority: request.priority,
                retrying: false,
                settled: false,
            };
            let before = self.requests.insert(request.id, life);
            ensure!(before.is_none(), "I02", "request {} arrives twice", request.id.0);
        }
        Ok(())
    }

    /// Hears an event.
    pub(super) fn event(&mut self, now: Time, event: &Event) -> Result<(), Broken> {
        self.counts.events += 1;
        ensure!(now == self.now, "I31", "an event of {now} comes of an input at {}", self.now);
        match event {
            Event::Arrived { request, arrived, .. } => {
                self.counts.arrived += 1;
                let life = self.life(*request, "arrives")?;
                ensure!(life.arrived == *arrived, "I31", "request {} has two arrivals", request.0);
            }
            Event::Queued { request, .. } => {
                let life = self.life(*request, "waits")?;
                life.queued = Some(now);
            }
            Event::Dispatched { attempt, node, kind, queued, why, resumed, .. } => {
                let place = usize::from(attempt.ordinal);
                self.dispatched(attempt.request, place, *node, *kind, *queued, why)?;
                let resumes = self.config.retry.resume && *kind == Kind::Retry;
                let fresh = *resumed == Tokens::ZERO || resumes;
                ensure!(fresh, "I21", "request {} goes on unasked", attempt.request.0);
            }
            Event::FirstToken { attempt, node, .. } => {
                let id = attempt.request;
                let life = self.life(id, "gets a token")?;
                let this = life.attempts.get_mut(usize::from(attempt.ordinal));
                let this = this.filter(|this| this.node == *node && !this.first_token);
                let Some(this) = this else {
                    return broken("I03", format!("a first token of no attempt of {}", id.0));
                };
                this.first_token = true;
            }
            Event::Ended { attempt, node, end, usage, cost, .. } => {
                let place = usize::from(attempt.ordinal);
                self.ended(attempt.request, place, *node, *end)?;
                let prices = self.requests[&attempt.request].attempts[place].prices;
                let wanted = prices.of(usage);
                ensure!(
                    *cost == wanted,
                    "I24",
                    "request {} costs {} and not {} pico-dollars at the prices of its dispatch",
                    attempt.request.0,
                    cost.0,
                    wanted.0
                );
                ensure!(usage.cached <= usage.input, "I25", "more is cached than there was");
                self.counts.input += usage.input.0;
                self.counts.output += usage.output.0;
                self.counts.cost += cost.0;
            }
            Event::Escalated { request, .. } => {
                let life = self.life(*request, "asks another model")?;
                life.escalated = true;
                life.steps += 1;
            }
            Event::Panic { pool, tier, on } if self.alone => {
                let changed = if *on {
                    self.panics.insert((*pool, *tier))
                } else {
                    self.panics.remove(&(*pool, *tier))
                };
                ensure!(changed, "I08", "panic in pool {} is told twice", pool.0);
            }
            Event::Limit { node, limit, .. } => {
                let limiter = self.config.pools[self.pool_of(*node).index()].limiter;
                let within = limiter.is_some_and(|spec| (spec.min..=spec.max).contains(limit));
                ensure!(within, "I54", "the limit {limit} of node {} is out of bounds", node.0);
                self.nodes[node.index()].adaptive = Some(*limit);
            }
            Event::Shedding { .. } | Event::Rung { .. } if self.alone => {
                self.pressed.hear(now, event)?;
            }
            Event::RetryPlanned { request, end, .. } => self.retry_planned(*request, *end)?,
            Event::RetryDenied { request, .. } => {
                self.life(*request, "is denied a retry")?;
            }
            Event::Settled(settled) => self.settled(settled)?,
            Event::NodeState { node, from, to, cause } => self.state(*node, *from, *to, *cause)?,
            Event::NodeChanged { node, spec } => {
                let fresh = node.index() == self.nodes.len();
                if fresh {
                    let seen = Seen {
                        state: NodeState::Up,
                        in_flight: 0,
                        limit: None,
                        adaptive: found(self.config, spec.pool),
                        prices: Prices::default(),
                        parked: Time::ZERO,
                        rests: Time::ZERO,
                        on_trial: true,
                    };
                    self.nodes.push(seen);
                }
                let seen = &mut self.nodes[node.index()];
                (seen.limit, seen.prices) = (spec.limits.concurrency, spec.prices);
            }
            _ => {}
        }
        Ok(())
    }

    fn pool_of(&self, node: NodeId) -> PoolId {
        self.config.nodes.get(node.index()).map_or(PoolId(0), |spec| spec.pool)
    }

    /// A request that was heard of and has no end yet.
    fn life(&mut self, id: RequestId, what: &str) -> Result<&mut Life, Broken> {
        match self.requests.get_mut(&id) {
            None => broken("I02", format!("request {} {what} and never came", id.0)),
            Some(life) if life.settled => {
                broken("I02", format!("request {} {what} after its end", id.0))
            }
            Some(life) => Ok(life),
        }
    }

    fn dispatched(
        &mut self,
        id: RequestId,
        place: usize,
        node: NodeId,
        kind: Kind,
        queued: bool,
        why: &Why,
    ) -> Result<(), Broken> {
        self.eligible(id, node, why)?;
        let (now, config) = (self.now, self.config);
        let again = self.tried_again(id, node, why);
        let refused = self.requests.get(&id).is_some_and(|life| self.was_refused(life, node));
        ensure!(!refused, "I07", "request {} goes to {} with a refused credential", id.0, node.0);
        let seen = &mut self.nodes[node.index()];
        seen.in_flight += 1;
        let prices = seen.prices;
        self.counts.dispatched += 1;
        let shed = self.alone && !queued && place == 0;
        let shed = shed.then(|| self.pressed.shed(why.route));
        let life = self.life(id, "is dispatched")?;
        let comes_in = life.heard < now || shed.is_none_or(|shed| !shed.contains(&life.priority));
        ensure!(comes_in, "I37", "request {} comes in while its priority is shed", id.0);
        ensure!(
            place == life.attempts.len(),
            "I03",
            "attempt {place} of request {} comes after {}",
            id.0,
            life.attempts.len()
        );
        let fits = match kind {
            Kind::First => place == 0,
            Kind::Retry => place > 0 && life.planned,
            Kind::Hedge => place > 0 && !life.planned,
            Kind::Escalation => place > 0 && life.escalated,
        };
        ensure!(
            fits,
            "I03",
            "attempt {place} of request {} is a {kind:?}, a retry was planned: {}",
            id.0,
            life.planned
        );
        if kind == Kind::Hedge {
            let beside = || life.attempts.iter().filter(|this| this.end.is_none());
            let sound = !life.hedged
                && beside().all(|this| this.node != node)
                && beside().any(|this| !this.first_token);
            ensure!(sound, "I18", "request {} is hedged twice, late or where it is", id.0);
            life.hedged = true;
        }
        // A cascade asks every model as often as any request may be tried.
        let tries = if life.steps > 0 { ATTEMPTS_MAX } else { config.retry.attempts };
        let most = usize::from((tries + u8::from(life.hedged)).min(ATTEMPTS_MAX));
        ensure!(place < most, "I17", "request {} has {} attempts of {most}", id.0, place + 1);
        ensure!(
            now + config.retry.minimum_useful < life.deadline,
            "I17",
            "an attempt of request {} starts too late for its deadline {}",
            id.0,
            life.deadline
        );
        if let (Some(most), Some(since), true) = (config.queue.max_wait, life.queued, queued)
            && config.pools.iter().all(|pool| pool.batch.is_none())
        {
            let waited = now.since(since);
            ensure!(waited <= most, "I35", "request {} waited {waited} of {most}", id.0);
        }
        (life.planned, life.escalated) = (false, false);
        life.attempts.push(Tried { node, prices, first_token: false, end: None });
        self.counts.retries += u64::from(kind == Kind::Retry);
        self.counts.hedges += u64::from(kind == Kind::Hedge);
        if let (Some(hedge), true) = (config.hedge, self.alone) {
            let firsts = self.counts.dispatched - self.counts.retries - self.counts.hedges;
            let most = u128::from(hedge.budget.0) * u128::from(firsts);
            let made = u128::from(self.counts.hedges) * u128::from(Ratio::ONE.0);
            let hedges = self.counts.hedges;
            ensure!(made <= most, "I18", "{hedges} hedges of {firsts} first attempts");
        }
        if let Some(other) = again {
            return broken(
                "I07",
                format!(
                    "request {} goes to node {} again while node {other} is open",
                    id.0, node.0
                ),
            );
        }
        Ok(())
    }

    /// What must hold of the node of a dispatch.
    fn eligible(&self, id: RequestId, node: NodeId, why: &Why) -> Result<(), Broken> {
        let Some((seen, spec)) =
            self.nodes.get(node.index()).zip(self.config.nodes.get(node.index()))
        else {
            return Ok(());
        };
        let route = &self.config.routes[why.route.index()];
        let who = format!("request {} on node {}", id.0, spec.name);
        ensure!(why.chosen.node == node, "I44", "{who}: the record names another node");
        ensure!(
            (why.pool, why.tier) == (spec.pool, spec.tier),
            "I44",
            "{who}: the record names another pool or tier"
        );
        ensure!(why.candidates > 0, "I44", "{who}: the record has no candidates");
        let cheap = route.degrade.iter().flat_map(|degrade| &degrade.to);
        ensure!(
            route.to.iter().chain(cheap).any(|pool| *pool == spec.pool),
            "I12",
            "{who}: its route does not go there"
        );
        ensure!(
            spec.tags & route.require == route.require,
            "I12",
            "{who}: the node lacks a tag that the route requires"
        );
        let finite = |scored: &crate::balance::Scored| {
            let mut terms = scored.terms.as_slice().iter();
            terms.all(|(_, value)| value.is_finite()) && !scored.score.is_infinite()
        };
        // A formula may come to anything, and the oracle knows who will never answer.
        let strategy = &self.config.pools[spec.pool.index()].strategy;
        let own = strategy.name() == "score" || strategy.entry().is_bound();
        ensure!(
            own || finite(&why.chosen),
            "I48",
            "{who}: a score is not finite: {:?}",
            why.chosen
        );
        if self.alone {
            let state = seen.state;
            let panic = self.panics.contains(&(why.pool, why.tier));
            let ill = state.is_ejected();
            ensure!(why.panic == ill, "I08", "{who}: the record says panic: {}", why.panic);
            ensure!(!ill || panic, "I07", "{who}: the node is {} in peace", state.name());
            ensure!(ill || state == NodeState::Up, "I07", "{who}: the node is {}", state.name());
            ensure!(
                seen.has_room(),
                "I05",
                "{who}: it has {} in flight of {:?}, its limiter says {:?}",
                seen.in_flight,
                seen.limit,
                seen.adaptive
            );
            ensure!(seen.parked <= self.now, "I11", "{who}: it is parked until {}", seen.parked);
        }
        Ok(())
    }

    /// An open node of the route's own pools that was not tried, if this one was.
    fn tried_again(&self, id: RequestId, node: NodeId, why: &Why) -> Option<u32> {
        let life = self.requests.get(&id)?;
        let tried = |node: NodeId| life.attempts.iter().any(|this| this.node == node);
        let route = &self.config.routes[why.route.index()];
        let batches = route.to.iter().any(|pool| self.config.pools[pool.index()].batch.is_some());
        // Limits a minute and of pools depend on the size of a request.
        let limited = self.config.pools.iter().any(|pool| !pool.limits.are_none())
            || self.config.nodes.iter().any(|node| node.limits.by_the_minute());
        if !self.alone || !tried(node) || batches || limited {
            return None;
        }
        let other = self.config.nodes.iter().enumerate().find(|(other, spec)| {
            let seen = &self.nodes[*other];
            route.to.contains(&spec.pool)
                && spec.tags & route.require == route.require
                && seen.state == NodeState::Up
                && !seen.on_trial
                && seen.has_room()
                && !tried(NodeId(*other as u32))
                && !self.was_refused(life, NodeId(*other as u32))
        });
        other.map(|(other, _)| other as u32)
    }

    /// Whether the request was refused where the same credential is used.
    fn was_refused(&self, life: &Life, node: NodeId) -> bool {
        let credential = |node: NodeId| self.config.nodes.get(node.index())?.credential;
        life.attempts.iter().any(|this| {
            let refused = this.end == Some(End::Failed(Failure::Unauthorized));
            let same = credential(node).is_some_and(|own| credential(this.node) == Some(own));
            refused && (this.node == node || same)
        })
    }

    fn ended(&mut self, id: RequestId, place: usize, node: NodeId, end: End) -> Result<(), Broken> {
        self.counts.ended += 1;
        let life = self.requests.get_mut(&id);
        let this = life.and_then(|life| life.attempts.get_mut(place));
        let Some(this) = this else {
            return broken("I03", format!("attempt {place} of request {} ends unheard of", id.0));
        };
        ensure!(this.node == node, "I03", "attempt {place} of request {} ends elsewhere", id.0);
        ensure!(this.end.is_none(), "I03", "attempt {place} of request {} ends twice", id.0);
        this.end = Some(end);
        let seen = &mut self.nodes[node.index()];
        seen.on_trial &= end != End::Done;
        ensure!(seen.in_flight > 0, "I04", "node {} ends more than it began", node.0);
        seen.in_flight -= 1;
        Ok(())
    }

    fn retry_planned(&mut self, id: RequestId, end: End) -> Result<(), Broken> {
        let under_way = self.counts.arrived - self.counts.settled();
        let resumes = self.config.retry.resume;
        let life = self.life(id, "is to be tried again")?;
        let retryable = match end {
            End::Failed(failure) => failure.worth_another_try(),
            End::RateLimited | End::TimedOut(Stage::FirstToken) => true,
            End::Done | End::Cancelled | End::Outrun | End::TimedOut(Stage::Total) => false,
        };
        ensure!(retryable, "I20", "request {} is tried again after `{}`", id.0, end.words());
        let started = life.attempts.last().is_some_and(|this| this.first_token);
        ensure!(
            !started || resumes,
            "I21",
            "request {} is tried again after its first token",
            id.0
        );
        life.planned = true;
        let others = {
            let already = std::mem::replace(&mut life.retrying, true);
            self.retrying += u64::from(!already);
            self.retrying - 1
        };
        let most = self.config.retry.budget.of(under_way).max(RETRIES_MIN);
        ensure!(
            !self.alone || others < most,
            "I16",
            "request {} is retry number {} of {most}, {under_way} are under way",
            id.0,
            others + 1
        );
        Ok(())
    }

    fn settled(&mut self, settled: &Settled) -> Result<(), Broken> {
        let (now, config) = (self.now, self.config);
        let id = settled.request;
        if self.alone
            && let Some(life) = self.requests.get(&id)
        {
            self.pressed.settled(settled, life.priority)?;
        }
        let life = self.life(id, "gets a second end")?;
        life.settled = true;
        let who = id.0;
        let last = now <= life.deadline.max(life.heard);
        ensure!(last, "I17", "request {who} outlives its deadline {}", life.deadline);
        let attempts = life.attempts.len();
        ensure!(
            usize::from(settled.attempts) == attempts,
            "I03",
            "request {who} settles with {} attempts, {attempts} were made",
            settled.attempts
        );
        let winners = life.attempts.iter().filter(|this| this.end == Some(End::Done)).count();
        let completed = settled.fate == Fate::Completed;
        // Answers that were not good enough are whole answers too, and may be delivered in the end.
        let wanted = usize::from(completed).max(life.steps)..=usize::from(completed) + life.steps;
        ensure!(
            wanted.contains(&winners) && (!completed || winners > 0),
            "I18",
            "request {who} is {:?} and has {winners} whole answers",
            settled.fate
        );
        match settled.fate {
            Fate::Rejected(reason) => {
                ensure!(
                    attempts == 0,
                    "I13",
                    "request {who} is rejected after {attempts} attempts"
                );
                if reason == Reject::WaitedTooLong {
                    let waited = now.since(life.heard);
                    let most = super::pressed::least_wait(config);
                    let useless = now + config.retry.minimum_useful >= life.deadline;
                    let long = useless || most.is_some_and(|most| waited >= most);
                    ensure!(long, "I06", "request {who} waited {waited}, it may wait {most:?}");
                }
            }
            Fate::Failed(end) => {
                let late = end == End::TimedOut(Stage::Total);
                ensure!(attempts > 0 || late, "I13", "request {who} failed before any attempt");
                ensure!(end != End::Done, "I18", "request {who} failed with a whole answer");
            }
            Fate::Completed | Fate::Cancelled => {}
        }
        if std::mem::take(&mut life.retrying) {
            self.retrying -= 1;
        }
        let counts = &mut self.counts;
        match settled.fate {
            Fate::Completed => counts.completed += 1,
            Fate::Failed(_) => counts.failed += 1,
            Fate::Rejected(_) => counts.rejected += 1,
            Fate::Cancelled => counts.cancelled += 1,
        }
        Ok(())
    }

    fn state(
        &mut self,
        node: NodeId,
        from: NodeState,
        to: NodeState,
        cause: Cause,
    ) -> Result<(), Broken> {
        use NodeState::{Draining, Ejected, Gone, Limited, Off, Probing, Starting, Up};
        if !self.alone {
            return Ok(());
        }
        let name = &self.config.nodes.get(node.index()).map_or("?", |spec| spec.name.as_str());
        let seen = &mut self.nodes[node.index()];
        ensure!(seen.state == from, "I14", "{name} was {} and not {from:?}", seen.state.name());
        let legal = match from {
            Up => matches!(to, Ejected | Limited | Draining | Gone),
            Limited => matches!(to, Up | Ejected | Draining | Gone),
            Ejected => matches!(to, Probing | Draining | Gone),
            Probing => matches!(to, Up | Ejected | Draining | Gone),
            Draining => matches!(to, Up | Off | Gone),
            Off => matches!(to, Starting | Gone),
            Starting => matches!(to, Up | Off | Draining | Gone),
            Gone => false,
        };
        ensure!(legal, "I14", "{name} goes from {} to {}", from.name(), to.name());
        if from == Ejected && to == Probing {
            let early = self.now < seen.rests;
            ensure!(!early, "I10", "{name} is probed before {}, its rest's end", seen.rests);
        }
        if from == Limited && cause == Cause::LimitOver {
            ensure!(self.now >= seen.parked, "I11", "{name} returns before {}", seen.parked);
        }
        seen.state = to;
        // A pause does not end a trial.
        seen.on_trial = match (from, to) {
            (Probing | Starting, Up) => true,
            (Up, Limited) | (Limited, Up) => seen.on_trial,
            _ => false,
        };
        match cause {
            Cause::Credential(pause) => seen.parked = seen.parked.max(self.now + pause),
            Cause::RateLimited(pause) | Cause::Busy(pause) => {
                self.counts.limited += 1;
                ensure!(pause <= RETRY_AFTER_MAX, "I11", "{name} is parked for {pause}");
                seen.parked = seen.parked.max(self.now + pause);
            }
            // Somebody vouches for it, or it is a new process.
            Cause::Operator | Cause::Started => {
                (seen.parked, seen.rests) = (Time::ZERO, Time::ZERO);
            }
            Cause::Scaled => (seen.parked, seen.rests) = (Time::ZERO, Time::ZERO),
            _ => {}
        }
        if to == Ejected && from != Probing {
            self.counts.ejections += 1;
            self.ejected(node)?;
        }
        Ok(())
    }

    /// At most a share of a pool is out at a time, or one node.
    fn ejected(&self, node: NodeId) -> Result<(), Broken> {
        let pool = self.config.nodes[node.index()].pool;
        let (mut size, mut out) = (0, 0);
        for (seen, spec) in self.nodes.iter().zip(&self.config.nodes) {
            if spec.pool == pool {
                match seen.state {
                    NodeState::Gone | NodeState::Off | NodeState::Starting => {}
                    NodeState::Ejected | NodeState::Probing => {
                        size += 1;
                        out += 1;
                    }
                    NodeState::Up | NodeState::Limited | NodeState::Draining => size += 1,
                }
            }
        }
        let most = self.config.health_in(pool).max_share.of(size).max(1);
        ensure!(out <= most, "I09", "{out} nodes of {size} are ejected, {most} may be");
        Ok(())
    }

    /// Holds the books against the machines, and the machines against themselves.
    pub(super) fn compare(&mut self, balancers: &[Balancer], totals: Totals) -> Result<(), Broken> {
        for balancer in balancers {
            check(balancer).map_err(|said| Broken::of(&said))?;
        }
        let counts = &self.counts;
        let pairs = [
            ("requests came", counts.arrived, totals.arrived),
            ("requests are settled", counts.settled(), totals.settled),
            ("attempts were dispatched", counts.dispatched, totals.dispatched),
            ("attempts are over", counts.ended, totals.ended),
        ];
        for (what, told, counted) in pairs {
            ensure!(told == counted, "I01", "{told} {what} by the events, {counted} by the sums");
        }
        for (at, seen) in self.nodes.iter_mut().enumerate() {
            let id = NodeId(at as u32);
            let ledgers = balancers.iter().map(|one| one.fleet().node(id).ledger.requests);
            let booked: u32 = ledgers.sum();
            ensure!(
                booked == seen.in_flight,
                "I04",
                "node {at} has {} in flight by the events, {booked} by the ledger",
                seen.in_flight
            );
            if self.alone {
                let node = balancers[0].fleet().node(id);
                let until = node.rests_until();
                if matches!(seen.state, NodeState::Ejected | NodeState::Limited) {
                    let forward = until < seen.rests;
                    ensure!(
                        !forward,
                        "I10",
                        "the rest of node {at} ended at {} and now at {until}",
                        seen.rests
                    );
                    seen.rests = until;
                } else {
                    seen.rests = Time::ZERO;
                }
                ensure!(
                    node.state() == seen.state,
                    "I14",
                    "node {at} is {} and {} by the events",
                    node.state().name(),
                    seen.state.name()
                );
            }
        }
        Ok(())
    }

    /// What must hold when nothing is left to happen.
    ///
    /// A stream that `stalls` for good ends only by a timer, and there may be none.
    pub(super) fn end(&self, balancers: &[Balancer], stalls: bool) -> Result<(), Broken> {
        if stalls && balancers.iter().all(Balancer::only_nodes_can_tell) {
            return Ok(());
        }
        let counts = &self.counts;
        let open = counts.arrived - counts.settled();
        ensure!(open == 0, "I49", "{open} requests never get an end");
        let unfinished = counts.dispatched - counts.ended;
        ensure!(unfinished == 0, "I04", "{unfinished} attempts never get an end");
        ensure!(self.retrying == 0, "I16", "{} retries are left over", self.retrying);
        let zero = |node: &crate::balance::Node| {
            let ledger = node.ledger;
            ledger.requests == 0
                && (ledger.prompt, ledger.kv, ledger.output)
                    == (Tokens::ZERO, Tokens::ZERO, Tokens::ZERO)
        };
        let nodes = balancers.iter().flat_map(|balancer| balancer.fleet().nodes());
        ensure!(nodes.into_iter().all(zero), "I04", "a ledger does not end at zero");
        let lengths = balancers.iter().map(Balancer::waiting).sum::<u32>();
        ensure!(lengths == 0, "I01", "{lengths} requests wait at the end");
        Ok(())
    }

    /// What all attempts cost.
    pub(super) const fn cost(&self) -> Cost {
        Cost(self.counts.cost)
    }
}

/// What a limiter of a pool begins with, if it has any.
fn found(config: &Config, pool: PoolId) -> Option<u32> {
    config.pools[pool.index()].limiter.map(|limiter| limiter.initial)
}

fn broken<T>(invariant: &str, said: String) -> Result<T, Broken> {
    Err(Broken::new(invariant, said))
}
