//! The load balancer engine: hears an input, lets the part that owns it decide, and keeps the state
//! of every request and attempt.
//!
//! A request is waiting, in flight, in back-off, or settled. An attempt is open, closing (aborted,
//! its fate decided, but its place on the node's ledger kept until the executor confirms), or
//! ended. What each part decides is in that part's file: `route` (where to), `admission` (waiting),
//! `fleet` (who is open), `strategy` (who is better), `failover` (again or not), `health` (who is
//! well), `timer` (when).

mod check;

pub use check::check;

use slotmap::SlotMap;

use super::batch::Batcher;
use super::concurrency::baseline::Unloaded;
use super::concurrency::limiter::Limiters;
use super::explain::Explain;
use super::fleet::Fleet;
use super::fleet::node::Node;
use super::health::outlier::Detector;
use super::health::recovery::Ramp;
use super::output::{OutputMean, expected};
use super::overload::Overload;
use super::queue::forecast::Forecast;
use super::queue::{Lines, Placed};
use super::quota::Gate;
use super::requests::{Choice, Live, Phase, Reach, RequestKey, Running, Totals, Try, TryKey};
use super::retry::Amount;
use super::retry::hedge::Hedger;
use super::routing::model::Models;
use super::routing::tiers::Spill;
use super::routing::{Degrading, LaneId, Routes};
use super::scaling::Scaler;
use super::spec::admission::Queue;
use super::spec::config::Config;
use super::spec::health::{HealthSettings, Outlier};
use super::spec::node::{NodeSpec, Tier};
use super::spec::overload::Rung;
use super::spec::pool::Locality;
use super::spec::retry::{ATTEMPTS_MAX, Retry, Timeouts};
use super::spec::route::RouteSpec;
use super::strategy::{DispatchFacts, Fact, PickContext, Strategy, StrategySpec};
use super::timer::{Alarm, Timers};
use super::vocabulary::action::{Action, Together};
use super::vocabulary::event::{Cause, Effects, Event, Kind, Settled};
use super::vocabulary::explanation::Explanation;
use super::vocabulary::input::{Control, FleetChange, Input, NodeReport, PeerLoad};
use super::vocabulary::outcome::{
    Attempt, End, Failure, Fate, Outcome, ProbeResult, Progress, Reject, Stage, Usage,
};
use super::vocabulary::request::Request;
use super::vocabulary::state::NodeState;
use super::vocabulary::why::{Scored, Why};
use crate::id_map::IdMap;
use crate::rng::{Rng, mix};
use crate::unit::{Cost, NodeId, PeerId, PoolId, Ratio, RequestId, Span, Time, Tokens};

/// The machine. See the module's contract.
#[derive(Debug)]
pub struct Balancer {
    pub(in crate::balance) now: Time,
    pub(in crate::balance) fleet: Fleet,
    pub(in crate::balance) routes: Routes,
    /// By lane: the first pool and tier with a node that may serve it; `None` if there is none.
    pub(in crate::balance) homes: Vec<Option<(PoolId, Tier)>>,
    pub(in crate::balance) specs: Vec<StrategySpec>,
    /// By pool.
    localities: Vec<Locality>,
    pub(in crate::balance) strategies: Vec<[Box<dyn Strategy>; 3]>,
    /// By pool: how often its strategy was exchanged.
    tenures: Vec<u32>,
    pub(in crate::balance) explain: Explain,
    /// Nodes looked at for the decision that is being explained.
    looked_at: std::cell::RefCell<Vec<(NodeId, f64)>>,
    pub(in crate::balance) requests: SlotMap<RequestKey, Live>,
    pub(in crate::balance) tries: SlotMap<TryKey, Try>,
    pub(in crate::balance) index: IdMap<RequestKey>,
    pub(in crate::balance) lines: Lines,
    pub(in crate::balance) timers: Timers,
    pub(in crate::balance) outputs: Vec<OutputMean>,
    pub(in crate::balance) scaler: Scaler,
    /// By pool: the batch it gathers; empty if none does.
    pub(in crate::balance) batchers: Vec<Option<Batcher>>,
    /// Whether a batch may have found a node during this call.
    pub(in crate::balance) due: bool,
    /// Batches sent.
    pub(in crate::balance) batches: u64,
    pub(in crate::balance) retry: Retry,
    pub(in crate::balance) timeouts: Timeouts,
    pub(in crate::balance) health: HealthSettings,
    /// By pool, where one has settings of its own; empty where none has.
    pub(in crate::balance) pool_health: Vec<Option<Box<HealthSettings>>>,
    /// Nodes in slow start, and those of them that have had their share for now.
    pub(in crate::balance) ramps: Vec<Ramp>,
    pub(in crate::balance) held_back: Vec<NodeId>,
    /// Finds nodes that are worse than their peers, where that is asked for.
    pub(in crate::balance) detector: Option<Box<Detector>>,
    pub(in crate::balance) queue: Queue,
    pub(in crate::balance) strategy_rng: Rng,
    pub(in crate::balance) pause_rng: Rng,
    pub(in crate::balance) eject_rng: Rng,
    /// Whether a node may have opened during this call.
    pub(in crate::balance) opened: bool,
    /// Routes whose head could not be served during this call.
    pub(in crate::balance) blocked: Vec<bool>,
    /// Requests that are retries under way.
    pub(in crate::balance) retrying: Amount,
    /// All that are.
    pub(in crate::balance) under_way: Amount,
    pub(in crate::balance) totals: Totals,
    pub(in crate::balance) effects: Effects,
    /// Only where requests are hedged.
    pub(in crate::balance) hedger: Option<Box<Hedger>>,
    pub(in crate::balance) spill: Spill,
    /// What routes that choose a model have learnt; `None` where none does.
    pub(in crate::balance) models: Option<Box<Models>>,
    /// Foretells waits, where somebody wants that.
    pub(in crate::balance) forecast: Option<Box<Forecast>>,
    /// Limits of tenants, pools and nodes, where there are any.
    pub(in crate::balance) gate: Option<Box<Gate>>,
    /// Whether attempts are booked with the gate or the waiting room.
    keeps_books: bool,
    /// Only where some pool's nodes have limiters.
    pub(in crate::balance) limiters: Option<Box<Limiters>>,
    /// What is done about load, where something is.
    pub(in crate::balance) overload: Option<Box<Overload>>,
    /// By node: how long first tokens take without load; empty where nobody asks.
    pub(in crate::balance) unloaded: Vec<Unloaded>,
}

impl Balancer {
    /// Builds the machine at time zero, every node up that is not said to be off.
    ///
    /// # Panics
    /// If the configuration contradicts itself; see [`Config::check`].
    #[must_use]
    pub fn new(config: Config) -> Balancer {
        config.check().expect("a configuration does not contradict itself");
        let gate = Gate::new(&config);
        let limiters = Limiters::new(&config);
        let overload = Overload::new(&config);
        let quotas = config.admission.counts_quotas(&config.nodes);
        let specs: Vec<StrategySpec> =
            config.pools.iter().map(|pool| pool.strategy.clone()).collect();
        let localities = config.pools.iter().map(|pool| pool.locality).collect();
        let key = Rng::stream(config.seed, "splits").bits();
        let classes = config.expected_output.len();
        let seed = match config.view.instance {
            0 => config.seed,
            other => mix(config.seed, u64::from(other)),
        };
        let guards =
            config.pools.iter().map(|pool| pool.health.as_deref().unwrap_or(&config.health).guard);
        let outliers: Vec<Option<Outlier>> = guards.clone().map(|guard| guard.outlier).collect();
        let panics: Vec<Option<Ratio>> = guards.map(|guard| guard.panic).collect();
        let own = config.pools.iter().any(|pool| pool.health.is_some());
        let pool_health =
            config.pools.iter().filter(|_| own).map(|pool| pool.health.clone()).collect();
        let spill = Spill::new(&config.pools, config.seed);
        let models = Models::new(&config.routes, classes, seed);
        let routes = Routes::new(config.routes, classes, key);
        let mut balancer = Balancer {
            keeps_books: gate.is_some() || config.admission.waiting.fair,
            gate,
            now: Time::ZERO,
            scaler: Scaler::new(config.scale, config.nodes.len()),
            batchers: Batcher::all(&config.pools),
            due: false,
            batches: 0,
            fleet: Fleet::new(config.pools.len(), config.nodes),
            homes: Vec::new(),
            strategies: specs.iter().map(build).collect(),
            tenures: vec![0; specs.len()],
            explain: Explain::Off,
            looked_at: std::cell::RefCell::default(),
            specs,
            localities,
            requests: SlotMap::with_key(),
            tries: SlotMap::with_key(),
            index: IdMap::default(),
            lines: Lines::new(routes.count(), config.admission.room(routes.count())),
            forecast: config.admission.forecast(routes.count(), config.expected_output.len()),
            blocked: vec![false; routes.count()],
            routes,
            timers: Timers::default(),
            outputs: config.expected_output.iter().map(|tokens| OutputMean::new(*tokens)).collect(),
            ramps: Vec::new(),
            held_back: Vec::new(),
            detector: outliers
                .iter()
                .any(Option::is_some)
                .then(|| Box::new(Detector::new(outliers))),
            retry: config.retry,
            timeouts: config.timeouts,
            health: config.health,
            pool_health,
            queue: config.queue,
            strategy_rng: Rng::stream(seed, "strategy"),
            pause_rng: Rng::stream(seed, "pauses"),
            eject_rng: Rng::stream(seed, "ejections"),
            opened: false,
            retrying: Amount::default(),
            under_way: Amount::default(),
            totals: Totals::default(),
            effects: Effects::default(),
            hedger: config.hedge.map(|spec| Box::new(Hedger::new(spec))),
            spill,
            models,
            limiters,
            overload,
            unloaded: Vec::new(),
        };
        balancer.fleet.set_view(config.view);
        if quotas {
            balancer.fleet.keep_quotas();
        }
        balancer.fleet.set_panic(panics);
        balancer.limit_all();
        balancer.find_homes();
        balancer.start_patrols();
        balancer.start_scaling();
        balancer.settle_timers();
        balancer
    }

    /// Hears one input at `now` and returns what it wants done and what happened, in order. The
    /// effects are the caller's to drain; they are cleared by the next call.
    ///
    /// # Panics
    /// If time goes back, or a request arrives under the id of one under way.
    pub fn handle(&mut self, now: Time, input: Input) -> &mut Effects {
        assert!(now >= self.now, "time goes back from {} to {now}", self.now);
        self.effects.actions.clear();
        self.effects.events.clear();
        let in_system = self.totals.arrived - self.totals.settled;
        self.totals.area += u128::from(in_system) * u128::from(now.since(self.now).0);
        self.now = now;
        if self.overload.as_ref().is_some_and(|overload| overload.next <= now) {
            self.catch_up_on_saturation();
        }
        match input {
            Input::Arrive(request) => self.arrive(request),
            Input::Progress(attempt, progress) => self.progress(attempt, progress),
            Input::Finish(attempt, outcome) => self.finish(attempt, outcome),
            Input::Probed(node, number, result) => self.probed(node, number, result),
            Input::Report(node, report) => self.hear_report(node, report),
            Input::Peer(peer, load) => self.hear_peer(peer, load),
            Input::Fleet(change) => self.change_fleet(change),
            Input::Control(control) => self.control(control),
            Input::Cancel(request) => self.cancel(request),
            Input::Job(news) => self.effects.events.push(Event::Job(news)),
            Input::Wake => self.wake(),
            Input::Feedback(request, quality) => self.hear_feedback(request, quality),
            Input::Graded(grade) => self.effects.events.push(Event::Graded(grade)),
        }
        self.serve_all();
        self.settle_timers();
        &mut self.effects
    }

    /// Returns when the machine wants to hear [`Input::Wake`], if ever.
    #[must_use]
    pub const fn wake_at(&self) -> Option<Time> {
        self.timers.wake_at()
    }

    /// Returns the number of requests not at their end.
    #[must_use]
    pub const fn under_way(&self) -> u64 {
        self.totals.arrived - self.totals.settled
    }

    /// Returns the number of requests that wait for a node to open.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.lines.waiting
    }

    /// Returns whether a request of this id is under way or not forgotten yet.
    #[must_use]
    pub fn knows(&self, request: RequestId) -> bool {
        self.index.get(request).is_some()
    }

    /// Returns whether time alone changes nothing for any request under way: each is with a node and
    /// no timer is set for it, or waits behind such ones without end. Cost: all requests under way
    /// and all nodes at worst.
    #[must_use]
    pub fn only_nodes_can_tell(&self) -> bool {
        let timed = self.timeouts.first_token.is_some();
        self.requests.values().all(|live| match live.phase {
            Phase::Settled => true,
            Phase::Waiting(_) => live.request.deadline == Time::MAX && self.waits_for_others(),
            Phase::Held { .. } | Phase::Backoff => false,
            Phase::InFlight(running) => {
                let started = self.tries[running.one].first_token.is_some();
                let timed = timed && !live.request.whole;
                live.request.deadline == Time::MAX && (started || !(timed || live.armed))
            }
        })
    }

    /// Returns whether who waits does so until an attempt of somebody else ends, for ever if none
    /// does: no node will come back or start, no quota fill and nobody give up.
    fn waits_for_others(&self) -> bool {
        let stays = |node: &Node| {
            use NodeState::{Draining, Gone, Off, Up};
            matches!(node.state(), Up | Draining | Off | Gone)
        };
        self.queue.max_wait.is_none()
            && self.scaler.groups.is_empty()
            && self.ramps.is_empty()
            && self.overload.is_none()
            && !self.has_quotas()
            && self.fleet.nodes().iter().all(stays)
    }

    /// Returns the node of an attempt that has not ended.
    #[must_use]
    pub fn node_of(&self, attempt: Attempt) -> Option<NodeId> {
        self.find(attempt).map(|this| self.tries[this].node)
    }

    /// Returns the fleet.
    #[must_use]
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Returns the strategy of a pool now.
    ///
    /// # Panics
    /// If there is no such pool.
    #[must_use]
    pub fn strategy(&self, pool: PoolId) -> &StrategySpec {
        &self.specs[pool.index()]
    }

    /// Returns the sums that prove conservation and Little's law.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Says whose decisions are to be explained from now on, by [`Event::Explained`].
    pub fn explain(&mut self, whose: Explain) {
        self.explain = whose;
    }

    /// Lets a pool choose by a strategy that is not in the registry: `make` builds one for each of
    /// its three tiers. Reports go on calling it by the name in the configuration, and a journal
    /// does not know of it.
    ///
    /// # Panics
    /// If there is no such pool.
    pub fn use_strategy(&mut self, pool: PoolId, mut make: impl FnMut() -> Box<dyn Strategy>) {
        self.strategies[pool.index()] = [make(), make(), make()];
        self.tenures[pool.index()] += 1;
        // What the old strategy let wait, the new one may take.
        self.opened = true;
    }

    // ----- requests -----

    pub(in crate::balance) fn arrive(&mut self, request: Request) {
        self.totals.arrived += 1;
        self.effects.events.push(Event::Arrived {
            request: request.id,
            class: request.class,
            tenant: request.tenant,
            arrived: request.arrived,
            prompt: request.prompt,
            job: request.job,
        });
        self.under_way += Amount::of(&request);
        let route = self.routes.of(&request);
        let mut lane = self.routes.lane(route, &request);
        if self.models.is_some() {
            lane += self.choose_model(route, &request);
        }
        let id = request.id;
        let key = self.requests.insert(Live {
            route,
            lane,
            phase: Phase::Backoff,
            heard: self.now,
            attempts: 0,
            tries: [TryKey::default(); ATTEMPTS_MAX as usize],
            unfinished: 0,
            tried: [NodeId(u32::MAX); ATTEMPTS_MAX as usize],
            dispatched: None,
            last: None,
            retrying: false,
            armed: false,
            hedged: false,
            resumed: Tokens::ZERO,
            begun: None,
            begun_by: None,
            step: 0,
            in_hand: None,
            spent: Cost::ZERO,
            refused: 0,
            touched: Rung::Calm,
            clamp: None,
            request,
        });
        let other = self.index.insert(id, key);
        assert!(other.is_none(), "request {} arrives while under way", id.0);
        if !self.set_deadline(key) {
            self.settle(key, Fate::Failed(End::TimedOut(Stage::Total)));
        } else if self.requests[key].request.again > 0 && !self.admits_again(key) {
            self.turn_away(key, Reject::RetryBudget);
        } else if self.overload.is_some()
            && let Some(reason) = self.sheds(key)
        {
            self.turn_away(key, reason);
        } else if self.gate.is_some()
            && let Some(reason) = self.knock(key)
        {
            self.turn_away(key, reason);
        } else {
            self.place_or_wait(key);
        }
    }

    /// Sets the deadline of a request. Returns whether an attempt may still start.
    pub(in crate::balance) fn set_deadline(&mut self, key: RequestKey) -> bool {
        let request = &mut self.requests[key].request;
        let total = self.timeouts.total.map_or(Time::MAX, |total| request.arrived + total);
        request.deadline = request.deadline.min(total);
        let (arrived, deadline) = (request.arrived, request.deadline);
        if deadline > self.now && deadline < Time::MAX {
            self.timers.after(arrived, deadline.since(arrived), Alarm::Deadline(key));
        }
        !self.too_late(&self.requests[key].request)
    }

    /// Dispatches the request to the first pool and tier along its lane with an open node. Nodes
    /// tried before come last.
    pub(in crate::balance) fn place(&mut self, key: RequestKey) -> Placed {
        if self.gate.is_some() && self.is_held_back(key) {
            return Placed::HeldBack;
        }
        if self.requests[key].refused == 0 && self.hold(key) {
            return Placed::Yes;
        }
        let mut choice = self.choose(key, Reach::Untried);
        if choice.is_none() && self.requests[key].attempts > 0 {
            choice = self.choose(key, Reach::Anywhere);
        }
        let Some(choice) = choice else {
            return Placed::No;
        };
        if self.gate.is_some()
            && let Some(reason) = self.overspends(key, &choice)
        {
            return Placed::Refused(reason);
        }
        self.dispatch(key, &choice, None);
        Placed::Yes
    }

    /// Chooses along the lane of the request, pool by pool.
    fn choose(&mut self, key: RequestKey, reach: Reach) -> Option<Choice> {
        self.choose_among(key, self.degrading(key), reach)
    }

    /// The same among the pools that it may use so.
    pub(in crate::balance) fn choose_among(
        &mut self,
        key: RequestKey,
        degrading: Degrading,
        reach: Reach,
    ) -> Option<Choice> {
        let mut place = 0;
        while let Some(pool) = self.pool_at(key, degrading, place) {
            place += 1;
            // A pool that takes batches takes nothing else.
            if self.batcher(pool).is_none()
                && (self.gate.is_none() || self.pool_takes(key, pool))
                && let Some(choice) = self.choose_in(key, pool, reach, 1)
            {
                return Some(choice);
            }
        }
        None
    }

    /// Returns whether the request may use cheaper pools now, and in which order.
    pub(in crate::balance) fn degrading(&self, key: RequestKey) -> Degrading {
        let live = &self.requests[key];
        if self.overload.is_some()
            && let Some(degrading) = self.cheaper(live.route)
        {
            return degrading;
        }
        let Some(degrade) = &self.routes.get(live.route).degrade else {
            return Degrading::No;
        };
        let (own, _) = self.routes.pools(live.lane);
        degrade.when.now(own, self.homes[live.lane as usize], self.lines.waiting, &self.fleet)
    }

    /// Returns the pool at this place of the order in which the request tries them.
    pub(in crate::balance) fn pool_at(
        &self,
        key: RequestKey,
        degrading: Degrading,
        place: usize,
    ) -> Option<PoolId> {
        let (own, cheap) = self.routes.pools(self.requests[key].lane);
        let (first, then) = match degrading {
            Degrading::No => (own, &cheap[..0]),
            Degrading::After => (own, cheap),
            Degrading::Before => (cheap, own),
            Degrading::Next => (&own[1..], &own[..1]),
        };
        first.iter().chain(then).nth(place).copied()
    }

    /// Chooses a node of a pool with room for so many.
    pub(in crate::balance) fn choose_in(
        &mut self,
        key: RequestKey,
        pool: PoolId,
        reach: Reach,
        members: u32,
    ) -> Option<Choice> {
        let asked = self.asked(key, pool, members);
        let order = self.tier_order(key, pool);
        let live = &self.requests[key];
        let route = self.routes.get(live.route);
        let (tried, beyond) = match reach {
            Reach::Anywhere => (0, None),
            Reach::Untried => (live.attempts, None),
            Reach::Beyond(region) => (live.attempts, Some(region)),
        };
        let expected_output = self.expected(live);
        let near = self.localities[pool.index()].first(live.request.region);
        // Those nearby are asked alone, before all of the tier are.
        let passes = || near.map(Some).into_iter().chain([None]);
        let places = order.into_iter().flat_map(|t| passes().map(move |w| (t, w)));
        // Where nobody is held back by a slow start, nobody is asked twice.
        let held = [&self.held_back[..], &[]];
        let held = if self.held_back.is_empty() { &held[1..] } else { &held[..] };
        for (tier, within, held_back) in
            places.flat_map(|(t, w)| held.iter().map(move |held| (t, w, *held)))
        {
            if self.fleet.open(pool, tier).is_empty() {
                continue;
            }
            let context = PickContext {
                now: self.now,
                request: &live.request,
                expected_output,
                fleet: &self.fleet,
                pool,
                tier,
                require: route.require,
                avoid: &live.tried[..usize::from(tried)],
                held_back,
                members,
                within,
                listener: asked.map(|_| &self.looked_at),
                beyond,
                refused: (live.refused, &live.tried),
            };
            if asked.is_some() {
                // Whom it looked at elsewhere and did not choose is not asked about.
                self.looked_at.borrow_mut().clear();
            }
            let mut why = Why {
                route: live.route,
                pool,
                tier,
                strategy: self.specs[pool.index()].index(),
                candidates: context.open_count() as u32,
                considered: 0,
                chosen: Scored::unscored(NodeId(u32::MAX)),
                runner_up: None,
                panic: false,
            };
            let strategy = &mut self.strategies[pool.index()][tier as usize];
            let Some(node) = strategy.pick(&context, &mut self.strategy_rng, &mut why) else {
                continue;
            };
            assert!(context.allows(node), "a strategy picks a candidate");
            why.panic = self.fleet.node(node).state() != NodeState::Up;
            why.chosen.terms = strategy.terms(&context, node);
            if let Some(second) = &mut why.runner_up {
                second.terms = strategy.terms(&context, second.node);
            }
            let memo = strategy.memo(&context, node);
            if let Some(attempt) = asked {
                let looked_at = self.looked_at.take();
                let explanation =
                    Explanation::of(&context, strategy.as_ref(), attempt, &why, &looked_at);
                self.effects.events.push(Event::Explained(Box::new(explanation)));
            }
            return Some(Choice { node, why, memo });
        }
        if self.fleet.has_quotas() {
            self.await_quota(key, pool);
        }
        None
    }

    /// Returns the try whose decision somebody wants explained: the request's own, or that of one
    /// which may go along in its batch.
    fn asked(&self, key: RequestKey, pool: PoolId, members: u32) -> Option<Attempt> {
        if self.explain == Explain::Off {
            return None;
        }
        let along = (members > 1).then(|| self.held(pool)).into_iter().flatten();
        let mut lives = std::iter::once(key).chain(along).map(|key| &self.requests[key]);
        let live = lives.find(|live| self.explain.wants(live.request.id))?;
        Some(Attempt { request: live.request.id, ordinal: live.attempts })
    }

    /// Returns the tokens that an answer is expected still to have.
    pub(in crate::balance) fn expected(&self, live: &Live) -> Tokens {
        expected(&self.outputs, &live.request, live.resumed)
    }

    pub(in crate::balance) fn dispatch(
        &mut self,
        key: RequestKey,
        choice: &Choice,
        batch: Option<Together>,
    ) {
        let Choice { node, why, memo } = *choice;
        let lowered = self.overload.is_some() && self.lower(key, why.pool);
        let expected = self.expected(&self.requests[key]);
        let live = &mut self.requests[key];
        let held = self.fleet.start(node, self.now, live.request.prompt, expected);
        let ordinal = live.attempts;
        let place = usize::from(ordinal);
        // A dispatch beside another one is a hedge.
        let running = match live.phase {
            Phase::InFlight(running) => Some(running.one),
            _ => None,
        };
        let kind = match (running, ordinal) {
            (Some(_), _) => Kind::Hedge,
            (None, 0) => Kind::First,
            (None, _) => Kind::Retry,
        };
        let degraded = lowered || self.routes.pools(live.lane).1.contains(&why.pool);
        let home = self.homes[live.lane as usize];
        let this = self.tries.insert(Try {
            request: key,
            ordinal,
            node,
            dispatched: self.now,
            first_token: None,
            tokens: Tokens::ZERO,
            held,
            prices: self.fleet.node(node).prices(),
            sent: DispatchFacts {
                class: live.request.class,
                prompt: live.request.prompt,
                expected,
                memo,
            },
            tenure: self.tenures[why.pool.index()],
            closing: None,
            spilled: !degraded && home != Some((why.pool, why.tier)),
            degraded,
            hedge: kind == Kind::Hedge,
            crowd: self.fleet.node(node).ledger.requests,
        });
        let after = live.last.filter(|_| kind == Kind::Retry);
        live.tries[place] = this;
        live.tried[place] = node;
        live.attempts += 1;
        live.unfinished += 1;
        let running = running.map_or(Running::one(this), |one| Running { one, other: Some(this) });
        let before = std::mem::replace(&mut live.phase, Phase::InFlight(running));
        live.dispatched.get_or_insert(self.now);
        self.totals.dispatched += 1;
        let attempt = Attempt { request: live.request.id, ordinal };
        let (resumed, clamp) = (live.resumed, live.clamp);
        self.effects.actions.push(Action::Dispatch { attempt, node, batch, resumed, clamp });
        self.effects.events.push(Event::Dispatched {
            attempt,
            node,
            class: live.request.class,
            kind: if ordinal > 0 && ordinal == live.step { Kind::Escalation } else { kind },
            after,
            arrived: live.request.arrived,
            queued: matches!(before, Phase::Waiting(_) | Phase::Held { queued: true, .. }),
            why,
            resumed,
        });
        if let Some(hedger) = &mut self.hedger
            && kind == Kind::First
        {
            hedger.earn(self.tries[this].sent.prompt);
        }
        // Those of a batch are one job of their node, and what hedges have is no hedge again.
        let hedges = self.hedger.is_some() && kind != Kind::Hedge && batch.is_none();
        // Where a hedge is due before the first token is, few ever need the second alarm.
        if !(hedges && self.arm_hedge(this, why.pool)) {
            self.time_first_token(this);
        }
        if !self.ramps.is_empty() {
            self.earn(node);
        }
        let request = &self.requests[key].request;
        let strategy = &mut self.strategies[why.pool.index()][why.tier as usize];
        strategy.learn(self.now, &Fact::Dispatched { node, request }, &self.fleet);
        if self.keeps_books {
            self.book(this);
        }
    }

    pub(in crate::balance) fn cancel(&mut self, request: RequestId) {
        match self.index.get(request).copied() {
            Some(key) if self.requests[key].phase != Phase::Settled => {
                self.settle(key, Fate::Cancelled);
            }
            _ => self.late(None),
        }
    }

    /// Brings a request to its final end. An open attempt is aborted.
    pub(in crate::balance) fn settle(&mut self, key: RequestKey, fate: Fate) {
        let live = &mut self.requests[key];
        let phase = std::mem::replace(&mut live.phase, Phase::Settled);
        let route = live.route;
        let (mut first_token, mut usage) = (live.begun, Usage::default());
        usage.output = live.resumed;
        match phase {
            Phase::Waiting(_) => self.lines.leave(route, key),
            Phase::Held { pool, .. } => self.release(key, pool),
            Phase::InFlight(running) => {
                let end = if let Fate::Failed(end) = fate { end } else { End::Cancelled };
                running.keys().for_each(|this| self.abort(this, end));
                // Where there are two, neither has begun.
                let this = &self.tries[running.one];
                first_token = first_token.or(this.first_token);
                usage.output += this.tokens;
            }
            Phase::Backoff => {}
            Phase::Settled => unreachable!("a request has one fate"),
        }
        let queued = matches!(phase, Phase::Waiting(_) | Phase::Held { queued: true, .. });
        if let Some(in_hand) = &self.requests[key].in_hand
            && fate != Fate::Cancelled
        {
            // Better than nothing.
            let usage = in_hand.usage();
            return self.declare(key, Fate::Completed, queued, None, usage, None);
        }
        self.declare(key, fate, queued, first_token, usage, None);
    }

    /// Declares the final end, by the attempt that answered if one did, and forgets the request,
    /// unless an aborted attempt is unconfirmed.
    pub(in crate::balance) fn declare(
        &mut self,
        key: RequestKey,
        fate: Fate,
        queued: bool,
        first_token: Option<Time>,
        usage: Usage,
        by: Option<&Try>,
    ) {
        self.release_budget(key);
        let live = &self.requests[key];
        let request = &live.request;
        self.totals.settled += 1;
        self.totals.sojourn += u128::from(self.now.since(live.heard).0);
        let last = usize::from(live.attempts).checked_sub(1).map(|last| live.tried[last]);
        let first = usize::from(live.step);
        let elsewhere = |by: &Try| usize::from(by.ordinal) >= first && by.node != live.tried[first];
        let in_hand = live.in_hand.as_ref().filter(|_| fate == Fate::Completed);
        let node = by.map(|by| by.node).or(in_hand.map(|in_hand| in_hand.node())).or(last);
        let whole = by.map(|by| by.ordinal).or(in_hand.map(|in_hand| in_hand.ordinal()));
        let ordinal = whole.or(live.begun_by);
        self.effects.actions.push(Action::Answer {
            request: request.id,
            fate,
            by: ordinal.map(|ordinal| Attempt { request: request.id, ordinal }),
            begun: live.begun_by.is_some(),
        });
        self.effects.events.push(Event::Settled(Settled {
            request: request.id,
            class: request.class,
            tenant: request.tenant,
            route: live.route,
            node,
            fate,
            arrived: request.arrived,
            dispatched: live.dispatched,
            first_token,
            attempts: live.attempts,
            // A hedge that was only faster is none: nothing had failed.
            failover: by.is_some_and(|by| {
                (by.spilled || elsewhere(by)) && !(by.hedge && live.last.is_none())
            }),
            degraded: by.is_some_and(|by| by.degraded),
            queued,
            usage,
            job: request.job,
            hedge: by.is_some_and(|by| by.hedge),
            spent: live.spent,
            touched: live.touched,
        }));
        if let Some(node) = node.filter(|_| self.models.is_some() && fate == Fate::Completed) {
            self.await_feedback(key, node);
        }
        if self.gate.is_some() {
            self.leave_gate(key, fate, usage);
        }
        self.forget(key);
    }

    pub(in crate::balance) fn forget(&mut self, key: RequestKey) {
        let live = &self.requests[key];
        if live.phase == Phase::Settled && live.unfinished == 0 {
            self.index.remove(live.request.id);
            self.requests.remove(key);
        }
    }

    // ----- attempts -----

    /// Finds an attempt that has not ended.
    pub(in crate::balance) fn find(&self, attempt: Attempt) -> Option<TryKey> {
        let key = *self.index.get(attempt.request)?;
        let this = *self.requests[key].tries.get(usize::from(attempt.ordinal))?;
        self.tries.contains_key(this).then_some(this)
    }

    pub(in crate::balance) fn late(&mut self, attempt: Option<Attempt>) {
        self.totals.late_words += 1;
        self.effects.events.push(Event::LateWord { attempt });
    }

    pub(in crate::balance) fn progress(&mut self, attempt: Attempt, progress: Progress) {
        let current = self.find(attempt).filter(|&this| self.tries[this].closing.is_none());
        let Some(key) = current else {
            return self.late(Some(attempt));
        };
        let this = &mut self.tries[key];
        let node = this.node;
        self.fleet.hear(node, self.now);
        if this.first_token.is_none() {
            this.first_token = Some(self.now);
            let took = self.now.since(this.dispatched);
            self.fleet.first_token(node, &mut this.held);
            if !self.scaler.groups.is_empty() {
                self.scaler.count_first(self.now, node, &self.requests[this.request].request);
            }
            self.effects.events.push(Event::FirstToken { attempt, node, took });
            let sent = self.sent(key);
            self.learn(node, &Fact::FirstToken { node, took, sent: &sent });
            self.trust(node);
            self.time_first(node, sent.class, took);
            self.learn_first_token(key, None);
            let request = self.tries[key].request;
            if !self.withholds(request, node) {
                self.requests[request].begun_by = Some(attempt.ordinal);
            }
            self.outrun(request, key);
        }
        if let Progress::Tokens(so_far) = progress {
            let this = &mut self.tries[key];
            self.fleet.tokens(node, &mut this.held, this.tokens, so_far);
            this.tokens = this.tokens.max(so_far);
            let took = self.now.since(this.first_token.unwrap_or(self.now));
            let sent = self.sent(key);
            self.learn(node, &Fact::Tokens { node, so_far, took, sent: &sent });
        }
    }

    /// Stops an attempt whose fate is decided. It stays on the ledger until confirmed.
    pub(in crate::balance) fn abort(&mut self, key: TryKey, end: End) {
        let this = &mut self.tries[key];
        this.closing = Some(end);
        let (request, ordinal, node) = (this.request, this.ordinal, this.node);
        let attempt = Attempt { request: self.requests[request].request.id, ordinal };
        self.effects.actions.push(Action::Abort { attempt, node });
        if this.first_token.is_none() {
            self.learn_first_token(key, Some(end));
        }
        self.judge(key, end, Usage::NONE, None);
    }

    /// Lets health and strategy hear how an attempt ended.
    pub(in crate::balance) fn judge(
        &mut self,
        key: TryKey,
        end: End,
        usage: Usage,
        retry_after: Option<Span>,
    ) {
        let this = &self.tries[key];
        let node = this.node;
        let sent = self.sent(key);
        let fact = Fact::Ended {
            node,
            end,
            took: self.now.since(this.dispatched),
            first_token: this.first_token.map(|at| at.since(this.dispatched)),
            usage,
            sent: &sent,
        };
        let (dispatched, streamed) = (this.dispatched, this.first_token.is_some());
        self.learn(node, &fact);
        if self.limiters.is_some() {
            self.limit_by_end(key, end);
        }
        self.hear_end(node, end, sent.class, (dispatched, streamed), retry_after);
    }

    pub(in crate::balance) fn finish(&mut self, attempt: Attempt, outcome: Outcome) {
        let Some(key) = self.find(attempt) else {
            return self.late(Some(attempt));
        };
        let (said, usage, retry_after) = read(outcome);
        let score = if let Outcome::Scored(_, score) = outcome { Some(score) } else { None };
        let usage = usage.sane();
        let closing = self.tries[key].closing;
        if closing.is_none() {
            self.judge(key, said, usage, retry_after);
            if said == End::Done && self.tries[key].first_token.is_none() {
                self.learn_first_token(key, None);
            }
        }
        let this = self.tries.remove(key).expect("found above");
        if !matches!(outcome, Outcome::Aborted(_)) {
            self.fleet.hear(this.node, self.now);
        }
        self.opened |= self.fleet.end(this.node, self.now, &this.held);
        self.due |= !self.batchers.is_empty();
        if !self.scaler.groups.is_empty() {
            self.leave_if_empty(this.node);
        }
        if self.keeps_books {
            self.unbook(&this, &usage);
        }
        let live = &mut self.requests[this.request];
        live.unfinished -= 1;
        self.totals.ended += 1;
        let end = closing.unwrap_or(said);
        let cost = this.prices.of(&usage);
        live.spent += cost;
        self.effects.events.push(Event::Ended {
            attempt,
            node: this.node,
            class: live.request.class,
            end,
            arrived: live.request.arrived,
            dispatched: this.dispatched,
            usage,
            cost,
            job: live.request.job,
        });
        if closing.is_some() {
            return self.forget(this.request);
        }
        if end != End::Done {
            let came =
                this.first_token.map(|at| (at, usage.output.max(this.tokens).max(Tokens(1))));
            // What is withheld has reached nobody.
            let came = came.filter(|_| !self.withholds(this.request, this.node));
            return self.failed(key, this.request, (this.node, end), came);
        }
        self.outrun(this.request, key);
        if score.is_none() || !self.escalate(&this, usage, score) {
            self.complete(&this, usage);
        }
    }

    pub(in crate::balance) fn complete(&mut self, this: &Try, mut usage: Usage) {
        let live = &mut self.requests[this.request];
        if this.first_token.is_none() && !self.scaler.groups.is_empty() {
            self.scaler.count_first(self.now, this.node, &live.request);
        }
        live.phase = Phase::Settled;
        live.in_hand = None;
        let first_token = live.begun.or(this.first_token);
        // Of an answer that was cut and went on, the client has both parts.
        usage.output += live.resumed;
        usage.input = usage.input.less(live.resumed);
        if let Some(forecast) = &mut self.forecast {
            forecast.took(live.request.class, self.now.since(this.dispatched));
        }
        // How long a clamped answer would have been nobody knows.
        let whole = live.clamp.is_none_or(|most| usage.output < most);
        if let Some(mean) = self.outputs.get_mut(live.request.class.index()).filter(|_| whole) {
            mean.learn(usage.output);
        }
        // What was withheld reaches the client whole.
        let withheld = self.withholds(this.request, this.node);
        let first_token = first_token.filter(|_| !withheld);
        self.declare(this.request, Fate::Completed, false, first_token, usage, Some(this));
    }

    /// What was known when an attempt was sent. A strategy is reminded of its own words only.
    fn sent(&self, key: TryKey) -> DispatchFacts {
        let this = &self.tries[key];
        let current = self.tenures[self.fleet.node(this.node).home().0.index()];
        DispatchFacts { memo: this.sent.memo.filter(|_| this.tenure == current), ..this.sent }
    }

    pub(in crate::balance) fn learn(&mut self, node: NodeId, fact: &Fact<'_>) {
        let (pool, tier) = self.fleet.node(node).home();
        let strategy = &mut self.strategies[pool.index()][tier as usize];
        strategy.learn(self.now, fact, &self.fleet);
    }

    // ----- timers -----

    pub(in crate::balance) fn wake(&mut self) {
        while let Some(alarm) = self.timers.pop_due(self.now) {
            if purpose(&self.requests, &self.tries, &self.fleet, &alarm) {
                self.ring(alarm);
            }
        }
    }

    pub(in crate::balance) fn ring(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::FirstToken(this) => self.first_token_overdue(this),
            Alarm::Deadline(key) => self.settle(key, Fate::Failed(End::TimedOut(Stage::Total))),
            Alarm::GiveUp(key, _) => self.turn_away(key, Reject::WaitedTooLong),
            Alarm::Backoff(key) => self.place_or_wait(key),
            Alarm::Rested(node) => self.rested(node),
            Alarm::Recheck(node) => self.probe(node),
            Alarm::Patrol(node) => self.patrol(node),
            Alarm::Generate(node) => self.ask_for_token(node),
            Alarm::Scale(group) => self.rescale(usize::from(group)),
            Alarm::Window(pool) => self.window_over(pool),
            Alarm::ProbeTimeout(node, _) => {
                self.hear_probe(node, ProbeResult::Failed(Failure::Stalled));
            }
            Alarm::Silence(peer, _) => self.fleet.silence(peer),
            Alarm::Hedge(this) => self.hedge(this),
            Alarm::Allowance => self.allowance(),
            Alarm::Saturation => self.saturation_due(),
        }
    }

    pub(in crate::balance) fn settle_timers(&mut self) {
        let (requests, tries, fleet) = (&self.requests, &self.tries, &self.fleet);
        self.timers.settle(|alarm| purpose(requests, tries, fleet, alarm));
    }

    // ----- fleet, peers, people -----

    pub(in crate::balance) fn hear_peer(&mut self, peer: PeerId, load: PeerLoad) {
        match self.fleet.hear_peer(peer, self.now, load) {
            Some((number, until)) if until > self.now => {
                self.timers.at(until, Alarm::Silence(peer, number));
            }
            Some(_) => self.fleet.silence(peer),
            None => self.late(None),
        }
    }

    pub(in crate::balance) fn hear_report(&mut self, node: NodeId, report: NodeReport) {
        if self.fleet.knows(node) && self.fleet.node(node).state() != NodeState::Gone {
            self.fleet.hear_report(node, self.now, report);
        } else {
            self.late(None);
        }
    }

    /// Carries out a change of a node that exists; word about any other is late.
    pub(in crate::balance) fn change_node(
        &mut self,
        node: NodeId,
        change: impl FnOnce(&mut Fleet),
    ) -> bool {
        let known = self.fleet.knows(node) && self.fleet.node(node).state() != NodeState::Gone;
        if known {
            change(&mut self.fleet);
            self.opened = true;
        } else {
            self.late(None);
        }
        known
    }

    pub(in crate::balance) fn respec(&mut self, node: NodeId, change: impl FnOnce(&mut NodeSpec)) {
        if self.change_node(node, |fleet| fleet.respec(node, change)) {
            self.declare_changed(node);
        }
    }

    pub(in crate::balance) fn declare_changed(&mut self, node: NodeId) {
        let spec = self.fleet.node(node).spec.clone();
        self.effects.events.push(Event::NodeChanged { node, spec });
    }

    pub(in crate::balance) fn change_fleet(&mut self, change: FleetChange) {
        match change {
            FleetChange::Add(spec) if spec.pool.index() >= self.specs.len() || spec.weight == 0 => {
                self.late(None);
            }
            FleetChange::Add(spec) => {
                let node = self.fleet.add(*spec);
                self.limit(node);
                self.opened = true;
                self.start_patrol(node);
                self.declare_changed(node);
                self.welcome(node, Cause::Started);
            }
            FleetChange::Ready(node) => self.ready(node),
            FleetChange::Drain(node) => self.operate(node, NodeState::Draining),
            FleetChange::Resume(node) => self.operate(node, NodeState::Up),
            FleetChange::Remove(node) => self.operate(node, NodeState::Gone),
            FleetChange::Reprice(node, prices) => self.respec(node, |spec| spec.prices = prices),
            FleetChange::Relimit(node, limits) => self.respec(node, |spec| spec.limits = limits),
        }
        self.find_homes();
        self.turn_away_homeless();
    }

    pub(in crate::balance) fn operate(&mut self, node: NodeId, to: NodeState) {
        if !self.scaler.groups.is_empty() && self.overrule(node, to) {
            return;
        }
        let (now, mut change) = (self.now, None);
        self.change_node(node, |fleet| {
            change = fleet.with_health(node, |health| health.operate(now, to));
        });
        if let Some(change) = change {
            self.declare_state(node, change);
        }
    }

    pub(in crate::balance) fn control(&mut self, control: Control) {
        match control {
            Control::Strategy(pool, _) if pool.index() >= self.specs.len() => self.late(None),
            Control::Strategy(pool, to) => {
                let from = std::mem::replace(&mut self.specs[pool.index()], to.clone());
                self.strategies[pool.index()] = build(&to);
                self.tenures[pool.index()] += 1;
                // What the old strategy let wait, the new one may take.
                self.opened = true;
                self.effects.events.push(Event::Strategy { pool, from, to });
            }
            Control::Weight(node, weight) => self.respec(node, |spec| spec.weight = weight.max(1)),
            Control::Mark(mark) => self.effects.events.push(Event::Mark(mark)),
        }
    }

    pub(in crate::balance) fn find_homes(&mut self) {
        let eligible = |node: NodeId, require: u64| {
            let node = self.fleet.node(node);
            node.state() != NodeState::Gone && node.spec.tags & require == require
        };
        let home = |(lane, route): (LaneId, &RouteSpec)| {
            let (own, cheap) = self.routes.pools(lane);
            let pools = own.iter().chain(cheap);
            pools.flat_map(|&pool| Tier::ALL.map(|tier| (pool, tier))).find(|&(pool, tier)| {
                let members = self.fleet.members(pool, tier);
                members.iter().any(|&node| eligible(node, route.require))
            })
        };
        self.homes = self.routes.lanes().map(home).collect();
    }
}

fn build(spec: &StrategySpec) -> [Box<dyn Strategy>; 3] {
    [spec.build(), spec.build(), spec.build()]
}

/// Reads an outcome as an end, with usage and the pause the node asked for.
fn read(outcome: Outcome) -> (End, Usage, Option<Span>) {
    match outcome {
        Outcome::Done(usage) | Outcome::Scored(usage, _) => (End::Done, usage, None),
        Outcome::Failed(failure, usage) => (End::Failed(failure), usage, None),
        Outcome::RateLimited { retry_after } => (End::RateLimited, Usage::default(), retry_after),
        Outcome::Busy { retry_after } => {
            (End::Failed(Failure::Overloaded), Usage::default(), Some(retry_after))
        }
        // Nobody asked for the abort, so to the request it is a broken connection.
        Outcome::Aborted(usage) => (End::Failed(Failure::Reset), usage, None),
    }
}

/// Returns whether an alarm still has a purpose.
fn purpose(
    requests: &SlotMap<RequestKey, Live>,
    tries: &SlotMap<TryKey, Try>,
    fleet: &Fleet,
    alarm: &Alarm,
) -> bool {
    let phase = |key| requests.get(key).map(|live| live.phase);
    match *alarm {
        Alarm::FirstToken(this) | Alarm::Hedge(this) => {
            tries.get(this).is_some_and(|this| this.first_token.is_none() && this.closing.is_none())
        }
        Alarm::Deadline(key) => phase(key).is_some_and(|phase| phase != Phase::Settled),
        Alarm::GiveUp(key, number) => match phase(key) {
            Some(Phase::Waiting(place) | Phase::Held { number: place, .. }) => place == number,
            _ => false,
        },
        Alarm::Backoff(key) => phase(key) == Some(Phase::Backoff),
        Alarm::Rested(node) => {
            matches!(fleet.node(node).state(), NodeState::Limited | NodeState::Ejected)
        }
        Alarm::Recheck(node) => fleet.node(node).state() == NodeState::Probing,
        Alarm::Scale(_) | Alarm::Window(_) | Alarm::Allowance | Alarm::Saturation => true,
        Alarm::Patrol(node) | Alarm::Generate(node) => fleet.node(node).state() != NodeState::Gone,
        Alarm::ProbeTimeout(node, number) => {
            let health = &fleet.node(node).health;
            health.probing && health.probe == number
        }
        Alarm::Silence(peer, number) => fleet.hearsay().is_last_word(peer, number),
    }
}
