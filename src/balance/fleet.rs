//! The fleet: nodes, their limits and prices, the in-flight ledger, and which of them are open.
//!
//! The ledger belongs to the core (the commonest public bug of LLM routers is a load count that
//! one path forgot): `start`, `first_token`, `tokens` and `end` are its only writers, and what an
//! attempt added is remembered with the attempt, so that exactly that is taken away again.
//! For every pool and tier the fleet keeps a dense set of open nodes, so that a strategy can draw
//! one in constant time from ten thousand. It never decides which open node is better.

use serde::{Deserialize, Serialize};

use super::batch::BatchSpec;
use super::event::{NodeReport, PeerLoad, PeerNode, TOKENS_MAX, Usage};
use super::health::{Health, HealthSettings};
use super::hearsay::{Hearsay, Load, Signal, View};
use super::limiter::LimiterSpec;
use super::limits::Quota;
use super::strategy::StrategySpec;
use crate::unit::{
    Cost, CredentialId, ModelId, NodeId, PeerId, PoolId, Price, Ratio, RegionId, Span, Time, Tokens,
};

/// The order of failover inside a pool.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Used whenever it has room.
    #[default]
    Primary,
    /// Used when no primary has room.
    Backup,
    /// Used when neither has room.
    Secondary,
}

impl Tier {
    /// All tiers in failover order.
    pub const ALL: [Tier; 3] = [Tier::Primary, Tier::Backup, Tier::Secondary];

    /// Returns the name scenarios use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Primary => "primary",
            Tier::Backup => "backup",
            Tier::Secondary => "secondary",
        }
    }
}

/// What a node charges for tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// For a token of the prompt.
    pub input: Price,
    /// For a token of the prompt that the node had cached.
    pub cached_input: Price,
    /// For a token of the answer.
    pub output: Price,
}

impl Prices {
    /// Returns what `usage` costs, exactly.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> Cost {
        self.input * usage.input.less(usage.cached)
            + self.cached_input * usage.cached
            + self.output * usage.output
    }
}

/// What a node can take. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Attempts at a time. The balancer never exceeds it.
    pub concurrency: Option<u32>,
    /// Requests a minute. The node answers 429 beyond it.
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute. The node answers 429 beyond it.
    pub tokens_per_minute: Option<u64>,
}

/// A node as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its name, for people.
    pub name: String,
    /// Its pool.
    pub pool: PoolId,
    /// Its place in the failover order of the pool.
    pub tier: Tier,
    /// Its share of traffic under weighted strategies, and its capacity under token-based ones,
    /// relative to its peers. At least one.
    pub weight: u32,
    /// The model it serves.
    pub model: ModelId,
    /// Where it is.
    pub region: RegionId,
    /// Its tags as a set of bits.
    pub tags: u64,
    /// What it charges for tokens.
    pub prices: Prices,
    /// What it costs just by being there, in micro-dollars an hour.
    pub hourly: u64,
    /// What it can take.
    pub limits: Limits,
    /// The credential it is asked with, where others may be asked with it too. `None` is one of its
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialId>,
}

/// A pool as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Its name, for people.
    pub name: String,
    /// How it chooses among its nodes.
    pub strategy: StrategySpec,
    /// Whether its requests are sent in batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSpec>,
    /// Which of its nodes come first because of where they are.
    #[serde(default, skip_serializing_if = "Locality::is_anywhere")]
    pub locality: Locality,
    /// How much more than its load a tier is built for: it keeps `min(1, factor * healthy share)` of
    /// the load, by capacity, and the next tier takes the rest. `None`: all it has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overprovision: Option<Ratio>,
    /// What all its nodes together may be asked to take. What is beyond it goes to the next pool, or
    /// waits.
    #[serde(default, skip_serializing_if = "Limits::are_none")]
    pub limits: Limits,
    /// How the health of its nodes is watched, where that is not as in all pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Box<HealthSettings>>,
    /// How it is found out how many attempts each of its nodes takes at a time, beside what is
    /// configured. Not together with `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limiter: Option<LimiterSpec>,
}

impl Limits {
    /// Returns whether nothing is limited.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Limits::default()
    }

    /// Returns whether anything is limited by the minute.
    #[must_use]
    pub fn by_the_minute(&self) -> bool {
        self.requests_per_minute.is_some() || self.tokens_per_minute.is_some()
    }
}

impl PoolSpec {
    /// Returns a pool that sends no batches, does not mind where its nodes are and has no limits.
    #[must_use]
    pub fn new(name: &str, strategy: StrategySpec) -> PoolSpec {
        PoolSpec {
            name: name.to_owned(),
            strategy,
            batch: None,
            locality: Locality::Anywhere,
            overprovision: None,
            limits: Limits::default(),
            health: None,
            limiter: None,
        }
    }
}

/// Which nodes of a tier come first because of where they are. Others serve only what finds none of
/// them open; a place that must never be left is a matter of tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locality {
    /// It does not matter.
    #[default]
    Anywhere,
    /// Those in the region the request comes from, if that is known.
    Origin,
    /// Those in this region: the balancer's, since every answer passes it.
    Region(RegionId),
}

impl Locality {
    /// Returns the region that comes first for requests from `origin`.
    #[must_use]
    pub const fn first(self, origin: Option<RegionId>) -> Option<RegionId> {
        match self {
            Locality::Anywhere => None,
            Locality::Origin => origin,
            Locality::Region(region) => Some(region),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_anywhere(&self) -> bool {
        *self == Locality::Anywhere
    }
}

/// What a node may be asked to do now.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Serves.
    #[default]
    Up,
    /// Asked to be left alone for a while (429).
    Limited,
    /// Failed too often; gets nothing until it has rested and answered probes.
    Ejected,
    /// Has rested; is being probed and gets no traffic yet.
    Probing,
    /// Finishes what it has and gets nothing new.
    Draining,
    /// Is being started; cannot serve yet.
    Starting,
    /// Is switched off; its group may start it.
    Off,
    /// Is no longer part of the fleet.
    Gone,
}

impl NodeState {
    /// Returns whether it serves, or will as soon as a pause it asked for is over.
    #[must_use]
    pub const fn is_in_service(self) -> bool {
        matches!(self, NodeState::Up | NodeState::Limited)
    }

    /// Returns whether it was ejected and is not back.
    #[must_use]
    pub const fn is_ejected(self) -> bool {
        matches!(self, NodeState::Ejected | NodeState::Probing)
    }

    /// Returns the word a table shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NodeState::Up => "up",
            NodeState::Limited => "limited",
            NodeState::Ejected => "down",
            NodeState::Probing => "probing",
            NodeState::Draining => "draining",
            NodeState::Starting => "starting",
            NodeState::Off => "off",
            NodeState::Gone => "gone",
        }
    }
}

/// What one attempt has added to its node's ledger: exactly this is taken away when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    prompt: Tokens,
    kv: Tokens,
    output: Tokens,
    decoding: bool,
}

/// The in-flight ledger of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Attempts in flight.
    pub requests: u32,
    /// Attempts in flight without a first token yet.
    pub prefilling: u32,
    /// Attempts in flight after their first token.
    pub decoding: u32,
    /// Prompt tokens of attempts without a first token yet.
    pub prompt: Tokens,
    /// Tokens held in the KV cache by attempts in flight, as far as they are known.
    pub kv: Tokens,
    /// Tokens that attempts in flight are still expected to produce.
    pub output: Tokens,
}

impl Ledger {
    fn start(&mut self, prompt: Tokens, expected_output: Tokens) -> Held {
        let (prompt, expected_output) = (prompt.min(TOKENS_MAX), expected_output.min(TOKENS_MAX));
        self.requests += 1;
        self.prefilling += 1;
        self.prompt += prompt;
        self.kv += prompt;
        self.output += expected_output;
        Held { prompt, kv: prompt, output: expected_output, decoding: false }
    }

    fn first_token(&mut self, held: &mut Held) {
        if !held.decoding {
            held.decoding = true;
            self.prefilling -= 1;
            self.decoding += 1;
            self.prompt -= held.prompt;
        }
    }

    /// `so_far` tokens of the answer have come; `before` had come when last told.
    fn tokens(&mut self, held: &mut Held, before: Tokens, so_far: Tokens) {
        let more = so_far.min(TOKENS_MAX).less(before);
        held.kv += more;
        self.kv += more;
        let fewer = more.min(held.output);
        held.output -= fewer;
        self.output -= fewer;
    }

    fn end(&mut self, held: &Held) {
        self.requests -= 1;
        if held.decoding {
            self.decoding -= 1;
        } else {
            self.prefilling -= 1;
            self.prompt -= held.prompt;
        }
        self.kv -= held.kv;
        self.output -= held.output;
    }

    /// Adds what one open attempt holds: to recount a ledger from scratch.
    pub(super) fn recount(&mut self, held: &Held) {
        self.requests += 1;
        if held.decoding {
            self.decoding += 1;
        } else {
            self.prefilling += 1;
            self.prompt += held.prompt;
        }
        self.kv += held.kv;
        self.output += held.output;
    }
}

/// How a node has yet to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// It comes back from an ejection: one attempt at a time, and a failure ejects it again.
    HalfOpen,
    /// It is new: so many attempts at a time.
    Probation(u32),
}

impl Trial {
    const fn most(self) -> u32 {
        match self {
            Trial::HalfOpen => 1,
            Trial::Probation(most) => most,
        }
    }
}

const CLOSED: u32 = u32::MAX;

/// A node of the running fleet. What every request asks of it lies together: among ten thousand
/// nodes the next one is in no cache.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its configuration now.
    pub spec: Box<NodeSpec>,
    /// What this balancer has in flight on it.
    pub ledger: Ledger,
    /// Its health.
    pub(super) health: Health,
    /// Its index among the members of its tier.
    pub seat: u32,
    /// Its index in the open set, or `CLOSED`.
    open_at: u32,
    /// What it adds to the capacity of its group.
    capacity: u64,
    /// Its pool and tier, as configured for good.
    home: (PoolId, Tier),
    /// Attempts at a time, as configured now.
    limit: Option<u32>,
    /// What it charges, as configured now.
    prices: Prices,
    /// While it is on trial.
    trial: Option<Trial>,
    /// Attempts at a time as its limiter has found out, where it has one.
    adaptive: Option<u32>,
}

impl Node {
    /// Returns how it has yet to prove itself, if it has.
    pub(super) const fn trial(&self) -> Option<Trial> {
        self.trial
    }

    /// Returns how many attempts it takes at a time now.
    pub(super) const fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Returns how many its limiter lets it take, if it has one.
    pub(super) const fn adaptive(&self) -> Option<u32> {
        self.adaptive
    }

    /// Sets it from what is configured, what its trial allows and what its limiter says.
    fn find_limit(&mut self) {
        let trial = self.trial.map(Trial::most);
        let all = [self.spec.limits.concurrency, trial, self.adaptive];
        self.limit = all.into_iter().flatten().min();
    }

    /// Returns its state.
    #[must_use]
    pub const fn state(&self) -> NodeState {
        self.health.state()
    }

    /// Returns the probability that an attempt succeeds, as far as is known; one while nothing
    /// failed. At least 0.01, so that a cost divided by it stays finite.
    #[must_use]
    pub fn success(&self, now: Time) -> f64 {
        self.health.success(now)
    }

    /// Returns when the rest that it last took, after an ejection or a 429, is or was over.
    #[must_use]
    pub const fn rests_until(&self) -> Time {
        self.health.until
    }

    pub(super) fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.ledger.requests < limit)
    }

    /// Returns its pool and tier.
    pub(super) const fn home(&self) -> (PoolId, Tier) {
        self.home
    }

    /// Returns what it charges.
    pub(super) const fn prices(&self) -> Prices {
        self.prices
    }
}

/// The nodes of one tier of one pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// In file order; a node's seat never changes.
    members: Vec<NodeId>,
    /// Those that may be given work now, in no particular order.
    open: Vec<NodeId>,
    /// Attempts in flight on all members.
    in_flight: u64,
    /// Attempts that members that are up may take at a time.
    capacity: u64,
    /// Rises whenever a member, a weight or a price changes.
    generation: u64,
    /// The largest weight a member has had.
    weight_max: u32,
    /// Weights of members that are up.
    up_weight: u64,
    /// Members in service, and members that are ejected.
    well: u32,
    ill: u32,
    /// Too few are well: ejected ones serve too.
    panic: bool,
}

/// What a node without a limit adds to capacity: no fleet ever uses it up, and no sum overflows. From
/// here on a sum of capacities has such a node in it.
pub(super) const UNLIMITED: u64 = 1 << 40;

/// All pools and nodes.
#[derive(Clone, Debug)]
pub struct Fleet {
    nodes: Vec<Node>,
    groups: Vec<[Group; 3]>,
    /// What others say of the nodes' load.
    hearsay: Hearsay,
    view: View,
    /// Rises whenever a node changes state, joins, or is configured anew.
    health_generation: u64,
    /// By node, where limits a minute are kept here; empty where not.
    quotas: Vec<Quota>,
    /// By pool: below this share of well nodes a tier panics. Empty where none ever does.
    panic: Vec<Option<Ratio>>,
    /// Where panic began or ended and nobody has said so yet.
    panics: Vec<(PoolId, Tier, bool)>,
}

/// Panic ends when the share of well nodes is above its threshold by so much.
const CALM: f64 = 0.1;

impl Fleet {
    /// Builds a fleet in which every node is up.
    ///
    /// # Panics
    /// If a node names a pool that does not exist or has weight zero.
    #[must_use]
    pub fn new(pools: usize, specs: Vec<NodeSpec>) -> Fleet {
        let (groups, hearsay) = (Vec::new(), Hearsay::default());
        let nodes = Vec::with_capacity(specs.len());
        let mut fleet = Fleet {
            nodes,
            groups,
            hearsay,
            view: View::default(),
            health_generation: 0,
            quotas: Vec::new(),
            panic: Vec::new(),
            panics: Vec::new(),
        };
        fleet.groups.resize_with(pools, Default::default);
        for spec in specs {
            fleet.add(spec);
        }
        fleet
    }

    /// Adds a node that is up and returns its id.
    ///
    /// # Panics
    /// As [`Fleet::new`].
    pub(super) fn add(&mut self, spec: NodeSpec) -> NodeId {
        assert!(spec.weight > 0, "a node has a weight of at least one");
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        let group = &mut self.groups[spec.pool.index()][spec.tier as usize];
        let seat = group.members.len() as u32;
        self.health_generation += 1;
        group.members.push(id);
        group.generation += 1;
        group.weight_max = group.weight_max.max(spec.weight);
        group.up_weight += u64::from(spec.weight);
        group.well += 1;
        self.nodes.push(Node {
            home: (spec.pool, spec.tier),
            limit: spec.limits.concurrency,
            prices: spec.prices,
            spec: Box::new(spec),
            ledger: Ledger::default(),
            health: Health::default(),
            seat,
            open_at: CLOSED,
            capacity: 0,
            trial: None,
            adaptive: None,
        });
        if !self.quotas.is_empty() {
            self.quotas.push(Quota::new(&self.node(id).spec.limits));
        }
        self.refresh(id);
        id
    }

    // ----- limits a minute -----

    /// Keeps the nodes' limits a minute from now on: a node whose quota is used up is no candidate.
    pub(super) fn keep_quotas(&mut self) {
        self.quotas = self.nodes.iter().map(|node| Quota::new(&node.spec.limits)).collect();
    }

    pub(super) const fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// Returns how long until a node's quota suffices for so many tokens.
    pub(super) fn quota_wait(&self, id: NodeId, now: Time, tokens: u64) -> Span {
        self.quotas.get(id.index()).map_or(Span::ZERO, |quota| quota.wait(now, tokens))
    }

    pub(super) fn take_quota(&mut self, id: NodeId, now: Time, tokens: u64) {
        if let Some(quota) = self.quotas.get_mut(id.index()) {
            quota.take(now, tokens);
        }
    }

    pub(super) fn settle_quota(
        &mut self,
        id: NodeId,
        now: Time,
        taken_at: Time,
        taken: u64,
        used: u64,
    ) {
        if let Some(quota) = self.quotas.get_mut(id.index()) {
            quota.settle(now, taken_at, taken, used);
        }
    }

    /// Returns the node.
    ///
    /// # Panics
    /// If there is none of this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Returns whether there is, or was, a node of this id.
    #[must_use]
    pub fn knows(&self, id: NodeId) -> bool {
        id.index() < self.nodes.len()
    }

    /// Returns all nodes, gone ones included, in file order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the nodes of one tier of a pool in file order, gone ones included.
    #[must_use]
    pub fn members(&self, pool: PoolId, tier: Tier) -> &[NodeId] {
        &self.groups[pool.index()][tier as usize].members
    }

    /// Returns the nodes of one tier of a pool that may be given work now, in no particular order.
    #[must_use]
    pub fn open(&self, pool: PoolId, tier: Tier) -> &[NodeId] {
        &self.groups[pool.index()][tier as usize].open
    }

    /// Returns attempts in flight on a pool, and how many its nodes that are up may take at a time.
    #[must_use]
    pub fn pool_load(&self, pool: PoolId) -> (u64, u64) {
        let groups = &self.groups[pool.index()];
        groups.iter().fold((0, 0), |(in_flight, capacity), group| {
            (in_flight + group.in_flight, capacity + group.capacity)
        })
    }

    /// Returns a number that rises whenever a node of the tier joins, or its weight or prices
    /// change: what was computed from them is then to be computed anew.
    #[must_use]
    pub fn generation(&self, pool: PoolId, tier: Tier) -> u64 {
        self.groups[pool.index()][tier as usize].generation
    }

    /// Returns a number that rises whenever a node changes state, joins, or is configured anew.
    pub(super) const fn health_generation(&self) -> u64 {
        self.health_generation
    }

    /// Returns the attempts in flight on all nodes of the tier.
    #[must_use]
    pub fn tier_load(&self, pool: PoolId, tier: Tier) -> u64 {
        self.groups[pool.index()][tier as usize].in_flight
    }

    /// Returns the largest weight that a node of the tier has had.
    #[must_use]
    pub fn weight_max(&self, pool: PoolId, tier: Tier) -> u32 {
        self.groups[pool.index()][tier as usize].weight_max
    }

    /// Returns whether the node may be given work now: it is up and has room.
    #[must_use]
    pub fn is_open(&self, id: NodeId) -> bool {
        self.node(id).open_at != CLOSED
    }

    /// Changes a node's configuration, except for its pool and tier, which are its home.
    pub(super) fn respec(&mut self, id: NodeId, change: impl FnOnce(&mut NodeSpec)) {
        self.health_generation += 1;
        let node = &mut self.nodes[id.index()];
        let home = node.home;
        let before = node.spec.weight;
        change(&mut node.spec);
        assert!((node.spec.pool, node.spec.tier) == home, "a node never changes its home");
        if let Some(quota) = self.quotas.get_mut(id.index()) {
            quota.relimit(&node.spec.limits);
        }
        node.prices = node.spec.prices;
        node.find_limit();
        assert!(node.spec.weight > 0, "a node has a weight of at least one");
        let (weight, up) = (node.spec.weight, node.state() == NodeState::Up);
        let group = &mut self.groups[home.0.index()][home.1 as usize];
        if up {
            group.up_weight = group.up_weight - u64::from(before) + u64::from(weight);
        }
        group.generation += 1;
        group.weight_max = group.weight_max.max(weight);
        self.refresh(id);
    }

    /// Says how long it believes what it is told.
    pub(super) const fn set_view(&mut self, view: View) {
        self.view = view;
    }

    /// Remembers what a node said of itself, dated by the report's age.
    pub(super) fn hear_report(&mut self, id: NodeId, now: Time, report: NodeReport) {
        let own = self.node(id).ledger.requests;
        if let Some(quota) = self.quotas.get_mut(id.index()) {
            quota.hear(now, report.requests_left, report.tokens_left);
        }
        self.hearsay.hear_report(id, now, report, own);
    }

    /// Remembers what a peer has in flight. Returns the number of its word and when it counts no
    /// more; `None` if it comes too late to count.
    pub(super) fn hear_peer(
        &mut self,
        peer: PeerId,
        now: Time,
        load: PeerLoad,
    ) -> Option<(u32, Time)> {
        let (number, at) = self.hearsay.hear_peer(peer, now, load, self.nodes.len())?;
        Some((number, at + self.view.peers_fresh))
    }

    /// Returns what was heard, for the parts that date it.
    pub(super) const fn hearsay(&self) -> &Hearsay {
        &self.hearsay
    }

    /// A peer has been silent for too long.
    pub(super) fn silence(&mut self, peer: PeerId) {
        self.hearsay.silence(peer);
    }

    /// Returns what a node last said of itself, unless that is too old; see [`View`].
    #[must_use]
    pub fn report(&self, id: NodeId, now: Time) -> Option<&NodeReport> {
        self.hearsay.report(id, now, self.view.reports_fresh)
    }

    /// Returns what is in flight on a node: the own ledger and what fresh peers tell.
    #[must_use]
    pub fn load(&self, id: NodeId) -> Load {
        self.hearsay.load(id, &self.node(id).ledger)
    }

    /// Returns the requests on a node as a signal has them.
    #[must_use]
    pub fn requests(&self, signal: Signal, id: NodeId, now: Time) -> u64 {
        let ledger = &self.node(id).ledger;
        self.hearsay.requests(signal, id, ledger, now, self.view.reports_fresh)
    }

    /// Returns what is in flight, for peers: nodes without anything are left out. Cost: all nodes.
    #[must_use]
    pub fn ledgers(&self) -> Vec<PeerNode> {
        let busy = self.nodes.iter().enumerate().filter(|(_, node)| node.ledger.requests > 0);
        busy.map(|(id, Node { ledger, .. })| PeerNode {
            node: NodeId(id as u32),
            requests: ledger.requests,
            prompt: ledger.prompt,
            output: ledger.output,
        })
        .collect()
    }

    /// Gives access to a node's health and brings the open set up to date after it.
    pub(super) fn with_health<T>(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut Health) -> T,
    ) -> T {
        let node = &mut self.nodes[id.index()];
        let before = node.state();
        let result = change(&mut node.health);
        let after = node.state();
        if before != after {
            self.health_generation += 1;
            self.recount(id, before, after);
        }
        self.refresh(id);
        result
    }

    /// Keeps count of who is well, and begins or ends panic.
    fn recount(&mut self, id: NodeId, before: NodeState, after: NodeState) {
        let node = &mut self.nodes[id.index()];
        // A pause that it asked for proves nothing.
        if !after.is_in_service() && node.trial.take().is_some() {
            node.find_limit();
        }
        let (weight, (pool, tier)) = (u64::from(node.spec.weight), node.home);
        let panic = self.panic.get(pool.index()).copied().flatten();
        let group = &mut self.groups[pool.index()][tier as usize];
        group.well =
            group.well + u32::from(after.is_in_service()) - u32::from(before.is_in_service());
        group.ill = group.ill + u32::from(after.is_ejected()) - u32::from(before.is_ejected());
        let up = |state| if state == NodeState::Up { weight } else { 0 };
        group.up_weight = group.up_weight + up(after) - up(before);
        let Some(threshold) = panic else { return };
        // Where nobody is left to be well or ill, nobody is ill.
        let all = group.well + group.ill;
        let share = if all == 0 { 1.0 } else { f64::from(group.well) / f64::from(all) };
        let calm = (threshold.value() + CALM).min(1.0);
        let on = if group.panic { share < calm } else { share < threshold.value() };
        if on != group.panic {
            group.panic = on;
            self.panics.push((pool, tier, on));
            for at in 0..self.members(pool, tier).len() {
                self.refresh(self.members(pool, tier)[at]);
            }
        }
    }

    /// Says by pool below which share of well nodes a tier panics.
    pub(super) fn set_panic(&mut self, panic: Vec<Option<Ratio>>) {
        self.panic = panic;
    }

    /// Takes the news where panic began or ended.
    pub(super) fn take_panics(&mut self) -> Vec<(PoolId, Tier, bool)> {
        std::mem::take(&mut self.panics)
    }

    /// Returns whether so few nodes of the tier are well that ejected ones serve too.
    #[must_use]
    pub fn panics(&self, pool: PoolId, tier: Tier) -> bool {
        self.groups[pool.index()][tier as usize].panic
    }

    /// Returns the weights of the nodes of a tier that are up.
    pub(super) fn up_weight(&self, (pool, tier): (PoolId, Tier)) -> u64 {
        self.groups[pool.index()][tier as usize].up_weight
    }

    /// Puts a node on trial until it has proved itself or leaves service; `None` ends that.
    pub(super) fn try_out(&mut self, id: NodeId, trial: Option<Trial>) {
        let node = &mut self.nodes[id.index()];
        node.trial = trial;
        node.find_limit();
        self.refresh(id);
    }

    /// Lets a node have so many attempts at a time as its limiter says. Returns whether this opened
    /// the node.
    pub(super) fn adapt(&mut self, id: NodeId, adaptive: Option<u32>) -> bool {
        let was_open = self.is_open(id);
        let node = &mut self.nodes[id.index()];
        node.adaptive = adaptive;
        node.find_limit();
        self.refresh(id);
        !was_open && self.is_open(id)
    }

    /// Something came from a node.
    pub(super) fn hear(&mut self, id: NodeId, now: Time) {
        self.nodes[id.index()].health.heard = now;
    }

    /// Returns whether a node may be given work as far as its state is concerned.
    #[must_use]
    pub fn serves(&self, id: NodeId) -> bool {
        let node = &self.nodes[id.index()];
        let state = node.state();
        state == NodeState::Up || (state.is_ejected() && self.panics(node.home.0, node.home.1))
    }

    pub(super) fn start(
        &mut self,
        id: NodeId,
        now: Time,
        prompt: Tokens,
        expected_output: Tokens,
    ) -> Held {
        let ledger = &mut self.nodes[id.index()].ledger;
        let held = ledger.start(prompt, expected_output);
        self.hearsay.changed(id, now, ledger.requests);
        self.group(id).in_flight += 1;
        self.refresh(id);
        held
    }

    pub(super) fn first_token(&mut self, id: NodeId, held: &mut Held) {
        self.nodes[id.index()].ledger.first_token(held);
    }

    pub(super) fn tokens(&mut self, id: NodeId, held: &mut Held, before: Tokens, so_far: Tokens) {
        self.nodes[id.index()].ledger.tokens(held, before, so_far);
    }

    /// Takes an attempt off the ledger. Returns whether this opened the node.
    pub(super) fn end(&mut self, id: NodeId, now: Time, held: &Held) -> bool {
        let was_open = self.is_open(id);
        let ledger = &mut self.nodes[id.index()].ledger;
        ledger.end(held);
        self.hearsay.changed(id, now, ledger.requests);
        self.group(id).in_flight -= 1;
        self.refresh(id);
        !was_open && self.is_open(id)
    }

    fn group(&mut self, id: NodeId) -> &mut Group {
        let (pool, tier) = self.nodes[id.index()].home;
        &mut self.groups[pool.index()][tier as usize]
    }

    /// Puts the node into or takes it out of its group's open set, as its state demands.
    fn refresh(&mut self, id: NodeId) {
        let node = &self.nodes[id.index()];
        let up = self.serves(id);
        let capacity = node.limit.map_or(UNLIMITED, u64::from);
        let (before, after) = (node.capacity, if up { capacity } else { 0 });
        let wanted = up && node.has_room();
        let place = node.open_at;
        if before != after {
            self.nodes[id.index()].capacity = after;
            let group = self.group(id);
            group.capacity = group.capacity - before + after;
        }
        let node = &self.nodes[id.index()];
        if wanted == (place != CLOSED) {
            return;
        }
        let (pool, tier) = node.home;
        let open = &mut self.groups[pool.index()][tier as usize].open;
        if wanted {
            self.nodes[id.index()].open_at = open.len() as u32;
            open.push(id);
        } else {
            open.swap_remove(place as usize);
            let moved = open.get(place as usize).copied();
            self.nodes[id.index()].open_at = CLOSED;
            if let Some(moved) = moved {
                self.nodes[moved.index()].open_at = place;
            }
        }
    }
}
