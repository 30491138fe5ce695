//! The spine: hears an input, asks the parts in their order, and turns what they decide into actions,
//! events and timers.
//!
//! A request's life is told by stage: it arrives (`arrive`), finds a node or waits (`place`), its
//! attempts go on and end (`attempt`, `outcome`), those who wait and batches are served (`serve`), and
//! nodes are looked after (`nodes`, `fleet`). Only these files have `impl Balancer`. The spine knows the order in
//! which parts are asked, which is where most of the why stands, and holds no policy: no arithmetic on
//! a part's numbers, and no setting.

mod arrive;
mod attempt;
mod check;
mod fleet;
mod hedge;
mod nodes;
mod outcome;
mod place;
mod serve;

pub use check::check;

use super::batch::Batches;
use super::cache::AnswerCache;
use super::concurrency::baseline::IdleLatencies;
use super::concurrency::limiter::Limiters;
use super::explain::{Explain, Explainer};
use super::fleet::Fleet;
use super::fleet::node::Node;
use super::health::{HealthChecker, panic_shares};
use super::output::ExpectedOutput;
use super::overload::Overload;
use super::queue::WaitingRoom;
use super::quota::Quotas;
use super::requests::{Phase, RequestKey, Requests, Totals};
use super::retry::Retries;
use super::routing::Router;
use super::scaling::ScalingGroups;
use super::spec::config::Config;
use super::spec::overload::DegradeLevel;
use super::spec::route::RouteNodes;
use super::sticky::StickySessions;
use super::strategies::Strategies;
use super::strategy::{Strategy, StrategySpec};
use super::timer::Timers;
use super::vocabulary::event::{Effects, Event};
use super::vocabulary::input::Input;
use super::vocabulary::outcome::Attempt;
use super::vocabulary::state::NodeState;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, PoolId, Ratio, RequestId, RouteId, Time, Tokens};

/// The machine. See the module's contract.
#[derive(Debug)]
pub struct Balancer {
    now: Time,
    fleet: Fleet,
    router: Router,
    strategies: Strategies,
    explainer: Explainer,
    requests: Requests,
    outputs: ExpectedOutput,
    queue: WaitingRoom,
    batches: Batches,
    cache: AnswerCache,
    sticky: StickySessions,
    timers: Timers,
    retries: Retries,
    /// Draws pauses: of retries, and between probes.
    pauses: Rng,
    health: HealthChecker,
    quotas: Quotas,
    limiters: Limiters,
    idle: IdleLatencies,
    overload: Overload,
    scaling: ScalingGroups,
    effects: Effects,
}

impl Balancer {
    /// Builds the machine at time zero, every node up that is not said to be off.
    ///
    /// # Panics
    /// If the configuration contradicts itself; see [`Config::check`].
    #[must_use]
    pub fn new(config: Config) -> Balancer {
        config.check().expect("a configuration does not contradict itself");
        // Every balancer of several has draws of its own; splits and tiers are drawn alike by all.
        let seed = match config.view.instance {
            0 => config.seed,
            other => mix(config.seed, u64::from(other)),
        };
        let mut balancer = Balancer {
            now: Time::ZERO,
            router: Router::new(&config, seed),
            strategies: Strategies::new(&config, seed),
            explainer: Explainer::default(),
            requests: Requests::default(),
            outputs: ExpectedOutput::new(&config.expected_output),
            queue: WaitingRoom::new(&config),
            batches: Batches::new(&config.pools),
            cache: AnswerCache::new(&config.routes),
            sticky: StickySessions::new(&config.routes),
            timers: Timers::default(),
            retries: Retries::new(&config),
            pauses: Rng::stream(seed, "pauses"),
            health: HealthChecker::new(&config, seed),
            quotas: Quotas::new(&config),
            limiters: Limiters::new(&config),
            idle: IdleLatencies::default(),
            overload: Overload::new(&config),
            effects: Effects::default(),
            fleet: fleet_of(&config),
            scaling: ScalingGroups::new(config.scale, config.nodes.len()),
        };
        balancer.start();
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
        self.requests.pass(now.since(self.now));
        self.now = now;
        // What was due while nothing happened comes before what happens now.
        if self.overload.is_due(now) {
            self.catch_up_on_saturation();
        }
        match input {
            Input::Arrive(request) => self.arrive(request),
            Input::Progress(attempt, progress) => self.progress(attempt, progress),
            Input::Keeps(attempt, key) => self.keep_named(attempt, key),
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
        self.drop_idle_timers();
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
        self.requests.in_system()
    }

    /// Returns the number of requests that wait for a node to open.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.queue.waiting()
    }

    /// Returns whether a request of this id is under way or not forgotten yet.
    #[must_use]
    pub fn knows(&self, request: RequestId) -> bool {
        self.requests.knows(request)
    }

    /// Returns whether time alone changes nothing for any request under way: each is with a node and
    /// no timer is set for it, or waits behind such ones without end. Cost: all requests under way
    /// and all nodes at worst.
    #[must_use]
    pub fn only_nodes_can_tell(&self) -> bool {
        self.requests.iter().all(|(_, state)| match state.phase {
            Phase::Settled => true,
            Phase::Queued(_) => state.request.deadline == Time::MAX && self.waits_for_others(),
            Phase::Held { .. } | Phase::Backoff => false,
            Phase::InFlight(running) => {
                let started = self.requests[running.one].first_token.is_some();
                // Where too little is known for an answer to be late, looking again ends nothing.
                let timed = self.retries.patience().knows(self.alike(running.one))
                    || self.retries.first_token(&state.request).is_some();
                state.request.deadline == Time::MAX && (started || !(timed || state.hedge_timed))
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
        self.queue.settings().max_wait.is_none()
            && !self.scaling.is_on()
            && !self.health.holds_back()
            && !self.overload.is_on()
            && !self.awaits_quotas()
            && self.fleet.nodes().iter().all(stays)
    }

    /// Returns whether a limit a minute may be what a request waits for.
    fn awaits_quotas(&self) -> bool {
        self.fleet.has_quotas() || self.quotas.limits_pools_by_the_minute()
    }

    /// Returns the node of an attempt that has not ended.
    #[must_use]
    pub fn node_of(&self, attempt: Attempt) -> Option<NodeId> {
        self.requests.find(attempt).map(|this| self.requests[this].node)
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
        self.strategies.spec(pool)
    }

    /// Returns the sums that prove conservation and Little's law.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.requests.totals()
    }

    /// Returns the saturation of a route as last found; zero where nothing is done about it.
    #[must_use]
    pub fn saturation(&self, route: RouteId) -> Ratio {
        self.overload.saturation(route)
    }

    /// Returns the level of a route; [`DegradeLevel::Calm`] where nothing degrades.
    #[must_use]
    pub fn degrade_level(&self, route: RouteId) -> DegradeLevel {
        self.overload.level(route)
    }

    /// Returns how many answers wait for a word about them: at most
    /// [`ANSWERS_MAX`](super::ANSWERS_MAX).
    #[must_use]
    pub fn awaiting_feedback(&self) -> usize {
        self.router.awaiting_feedback()
    }

    /// Returns when the first of the nodes that rest may be back, where none serves now; a time that
    /// is over is that of a node which is being probed. Where some node serves, when a limit a minute
    /// that somebody waits for has room again. `None` if none rests and nobody waits for that.
    /// Cost: all nodes.
    #[must_use]
    pub fn first_back(&self) -> Option<Time> {
        if self.fleet.any_serves() {
            return self.quotas.next_refill().filter(|_| self.queue.waiting() > 0);
        }
        self.fleet.first_back()
    }

    /// Says whose decisions are to be explained from now on, by [`Event::Explained`].
    pub fn explain(&mut self, whose: Explain) {
        self.explainer.ask(whose);
    }

    /// Lets one try go to a node of one's own choice, if that node is a candidate for it: to see what would
    /// have come of that. Everything else is decided as ever, and a journal does not know of it.
    pub const fn decide_otherwise(&mut self, attempt: Attempt, node: NodeId) {
        self.strategies.overrule(attempt, node);
    }

    /// Lets a pool choose by a strategy that is not in the registry: `make` builds one for each of
    /// its three tiers. Reports go on calling it by the name in the configuration, and a journal
    /// does not know of it.
    ///
    /// # Panics
    /// If there is no such pool.
    pub fn use_strategy(&mut self, pool: PoolId, make: impl FnMut() -> Box<dyn Strategy>) {
        self.strategies.use_own(pool, make);
        // What the old strategy let wait, the new one may take.
        self.fleet.mark_freed();
    }

    // ----- what every stage needs -----

    /// Returns the tokens that the answer of a request is expected still to have.
    fn expected(&self, key: RequestKey) -> Tokens {
        let state = &self.requests[key];
        self.outputs.of(&state.request, state.resumed)
    }

    /// Returns the tokens that the next attempt of a request is expected to use.
    fn expected_tokens(&self, key: RequestKey) -> u64 {
        self.requests[key].request.prompt.0.saturating_add(self.expected(key).0)
    }

    /// Word came too late to change anything.
    fn late(&mut self, attempt: Option<Attempt>) {
        self.requests.count_late_word();
        self.effects.events.push(Event::LateWord { attempt });
    }
}

fn fleet_of(config: &Config) -> Fleet {
    let mut fleet = Fleet::new(config.pools.len(), config.nodes.clone());
    fleet.set_view(config.view);
    if config.admission.counts_quotas(&config.nodes) {
        fleet.keep_quotas();
    }
    let routes = config.routes.iter().map(RouteNodes::of).collect();
    fleet.set_panic(routes, &panic_shares(config));
    fleet
}
