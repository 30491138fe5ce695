//! The fleet: nodes, their limits and prices, the in-flight ledger, and which of them are open.
//!
//! The ledger belongs to the core (the commonest public bug of LLM routers is a load count that
//! one path forgot): `start`, `first_token`, `tokens` and `end` are its only writers, and what an
//! attempt added is remembered with the attempt, so that exactly that is taken away again.
//! For every pool and tier the fleet keeps a dense set of open nodes, so that a strategy can draw
//! one in constant time from ten thousand. It never decides which open node is better.

pub(super) mod health;
pub(super) mod ledger;
pub(super) mod node;
pub(super) mod panic;
pub(super) mod reports;
#[cfg(test)]
mod tests;

pub(in crate::balance) use health::NodeHealth;
pub(in crate::balance) use ledger::Held;
pub use ledger::Ledger;
pub use node::Node;
pub(in crate::balance) use node::Trial;
pub use reports::Load;

use super::limits::Quota;
use super::spec::node::{NodeSpec, Tier};
use super::spec::route::Demands;
use super::spec::view::{ReportFreshness, Signal};
use super::vocabulary::failure::Refusals;
use super::vocabulary::report::{NodeReport, PeerLoad, PeerNode};
use super::vocabulary::state::NodeState;
use crate::unit::{NodeId, PeerId, PoolId, Span, Time, Tokens};
use node::{CLOSED, LAST_RESORT};
use panic::PanicRules;
use reports::LoadReports;

/// The nodes of one tier of one pool.
#[derive(Clone, Debug, Default)]
pub(in crate::balance) struct TierGroup {
    /// In file order; a node's seat never changes.
    members: Vec<NodeId>,
    /// Those that are up and may be given work now, in no particular order.
    open: Vec<NodeId>,
    /// Ejected ones that may be given work of a route in panic, in no particular order.
    last_resort: Vec<NodeId>,
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
}

/// What a node without a limit adds to capacity: no fleet ever uses it up, and no sum overflows. From
/// here on a sum of capacities has such a node in it.
pub(in crate::balance) const UNLIMITED: u64 = 1 << 40;

/// All pools and nodes.
#[derive(Clone, Debug)]
pub struct Fleet {
    nodes: Vec<Node>,
    groups: Vec<[TierGroup; 3]>,
    /// What others say of the nodes' load.
    load_reports: LoadReports,
    view: ReportFreshness,
    /// Rises whenever a node changes state, joins, or is configured anew.
    health_generation: u64,
    /// By node, where limits a minute are kept here; empty where not.
    quotas: Vec<Quota>,
    panic: PanicRules,
    /// Whether somebody who waits may find a node that was not there for it before.
    freed: bool,
}

impl Fleet {
    /// Builds a fleet in which every node is up.
    ///
    /// # Panics
    /// If a node names a pool that does not exist or has weight zero.
    #[must_use]
    pub fn new(pools: usize, specs: Vec<NodeSpec>) -> Fleet {
        let (groups, load_reports) = (Vec::new(), LoadReports::default());
        let nodes = Vec::with_capacity(specs.len());
        let mut fleet = Fleet {
            nodes,
            groups,
            load_reports,
            view: ReportFreshness::default(),
            health_generation: 0,
            quotas: Vec::new(),
            panic: PanicRules::default(),
            freed: false,
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
    pub(in crate::balance) fn add(&mut self, spec: NodeSpec) -> NodeId {
        assert!(spec.weight > 0, "a node has a weight of at least one");
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        let home = (spec.pool, spec.tier);
        let group = &mut self.groups[home.0.index()][home.1 as usize];
        let seat = group.members.len() as u32;
        self.health_generation += 1;
        group.members.push(id);
        group.generation += 1;
        group.weight_max = group.weight_max.max(spec.weight);
        group.up_weight += u64::from(spec.weight);
        group.well += 1;
        self.nodes.push(Node::new(spec, seat));
        if !self.quotas.is_empty() {
            self.quotas.push(Quota::new(&self.node(id).spec.limits));
        }
        self.refresh(id);
        self.recount_panic(home.0);
        id
    }

    // ----- what those who wait go by -----

    /// Somebody who waits may find a node now: those who wait are to be asked again.
    #[inline]
    pub(in crate::balance) const fn mark_freed(&mut self) {
        self.freed = true;
    }

    /// The same if the node is open.
    #[inline]
    pub(in crate::balance) fn mark_freed_if_open(&mut self, id: NodeId) {
        self.freed |= self.is_open(id);
    }

    /// Returns whether something was freed since this was asked last.
    #[inline]
    pub(in crate::balance) const fn take_freed(&mut self) -> bool {
        std::mem::replace(&mut self.freed, false)
    }

    /// Returns whether some node of the pool is open to requests that ask for this: one that is
    /// up, or as a `last_resort` one that is ejected.
    pub(in crate::balance) fn is_open_to(
        &self,
        pool: PoolId,
        demands: Demands,
        last_resort: bool,
    ) -> bool {
        let mut open = Tier::ALL.iter().flat_map(|&tier| self.choices(pool, tier, last_resort));
        open.any(|&node| demands.are_met_by(&self.node(node).spec))
    }

    /// Returns whether some node of the pool that has what is asked for is idle: it is up and has room;
    /// where nobody says how much it takes, nothing is in flight on it.
    pub(in crate::balance) fn has_idle(&self, pool: PoolId, demands: Demands) -> bool {
        let mut open = Tier::ALL.iter().flat_map(|&tier| self.open(pool, tier));
        open.any(|&node| {
            let there = self.node(node);
            demands.are_met_by(&there.spec)
                && (there.limit().is_some() || there.ledger.requests == 0)
        })
    }

    // ----- refusals -----

    /// Returns whether two nodes are asked with the same credential.
    fn same_credential(&self, one: NodeId, other: NodeId) -> bool {
        let credential = self.node(one).spec.credential;
        one == other || (credential.is_some() && credential == self.node(other).spec.credential)
    }

    /// Returns whether a request that these nodes have refused is in vain with this one: it has the
    /// credential of one of them, or said itself that the request is at fault; it is of the pool, and so
    /// of the provider, whose policy is against it; or its context is no larger than one that was too
    /// small.
    pub(in crate::balance) fn is_refused(
        &self,
        node: NodeId,
        refusals: Refusals,
        tried: &[NodeId],
    ) -> bool {
        let any = |bits, so: &dyn Fn(NodeId) -> bool| Refusals::of(bits, tried).any(so);
        let pool = |node: NodeId| self.node(node).spec.pool;
        any(refusals.credential, &|other| self.same_credential(node, other))
            || any(refusals.request, &|other| other == node)
            || any(refusals.policy, &|other| pool(other) == pool(node))
            || any(refusals.length, &|other| other == node || pool(other) == pool(node))
    }

    /// Returns whether these pools have a node that may still serve a request: it has what is asked for, is
    /// not off for good, and none of these refusals holds for it too. Cost: all nodes of those pools.
    pub(in crate::balance) fn has_other<'a>(
        &self,
        pools: impl IntoIterator<Item = &'a PoolId>,
        demands: Demands,
        (refusals, tried): (Refusals, &[NodeId]),
    ) -> bool {
        let mut members = pools
            .into_iter()
            .flat_map(|&pool| Tier::ALL.map(|tier| (pool, tier)))
            .flat_map(|(pool, tier)| self.members(pool, tier));
        members.any(|&node| {
            let there = self.node(node);
            !matches!(there.state(), NodeState::Gone | NodeState::Off)
                && demands.are_met_by(&there.spec)
                && !self.is_refused(node, refusals, tried)
        })
    }

    /// Returns whether some node of the pool is open to a request with these demands that was not on these.
    pub(in crate::balance) fn has_open(
        &self,
        pool: PoolId,
        demands: Demands,
        tried: &[NodeId],
    ) -> bool {
        let mut members = Tier::ALL.into_iter().flat_map(|tier| self.members(pool, tier));
        members.any(|&id| {
            let there = self.node(id);
            !tried.contains(&id)
                && there.state() == NodeState::Up
                && self.is_open(id)
                && demands.are_met_by(&there.spec)
        })
    }

    /// Returns the next node after `from` that is asked with the same credential as `node`.
    pub(in crate::balance) fn next_of_credential(
        &self,
        node: NodeId,
        from: usize,
    ) -> Option<NodeId> {
        self.node(node).spec.credential?;
        let mut others = (from..self.nodes.len()).map(|at| NodeId(at as u32));
        others.find(|&other| other != node && self.same_credential(node, other))
    }

    // ----- limits a minute -----

    /// Keeps the nodes' limits a minute from now on: a node whose quota is used up is no candidate.
    pub(in crate::balance) fn keep_quotas(&mut self) {
        self.quotas = self.nodes.iter().map(|node| Quota::new(&node.spec.limits)).collect();
    }

    #[inline]
    pub(in crate::balance) const fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// Returns how long until a node's quota suffices for so many tokens.
    pub(in crate::balance) fn quota_wait(&self, id: NodeId, now: Time, tokens: u64) -> Span {
        self.quotas.get(id.index()).map_or(Span::ZERO, |quota| quota.wait(now, tokens))
    }

    /// Returns how long until the first open node of a pool that has what is asked for has quota for so many
    /// tokens, if all of them lack it now.
    pub(in crate::balance) fn pool_quota_wait(
        &self,
        pool: PoolId,
        demands: Demands,
        now: Time,
        tokens: u64,
    ) -> Option<Span> {
        let tiers = Tier::ALL.iter().flat_map(|&tier| [(tier, false), (tier, true)]);
        let open = tiers.flat_map(|(tier, last_resort)| self.choices(pool, tier, last_resort));
        let fit = open.filter(|&&node| demands.are_met_by(&self.node(node).spec));
        let wait = fit.map(|&node| self.quota_wait(node, now, tokens)).min();
        wait.filter(|wait| *wait > Span::ZERO)
    }

    pub(in crate::balance) fn take_quota(&mut self, id: NodeId, now: Time, tokens: u64) {
        if let Some(quota) = self.quotas.get_mut(id.index()) {
            quota.take(now, tokens);
        }
    }

    pub(in crate::balance) fn settle_quota(
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
    #[inline]
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

    /// Returns the nodes of one tier of a pool that are up and may be given work now, in no particular
    /// order.
    #[must_use]
    #[inline]
    pub fn open(&self, pool: PoolId, tier: Tier) -> &[NodeId] {
        &self.groups[pool.index()][tier as usize].open
    }

    /// The same; or as a `last_resort` those that are ejected and may be given work of a route in panic.
    #[must_use]
    #[inline]
    pub fn choices(&self, pool: PoolId, tier: Tier, last_resort: bool) -> &[NodeId] {
        let group = &self.groups[pool.index()][tier as usize];
        if last_resort { &group.last_resort } else { &group.open }
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
    pub(in crate::balance) const fn health_generation(&self) -> u64 {
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

    /// Returns whether the node may be given work now: it is up, or ejected amid a panic, and has room.
    #[must_use]
    #[inline]
    pub fn is_open(&self, id: NodeId) -> bool {
        self.node(id).open_at != CLOSED
    }

    /// Changes a node's configuration, except for its pool and tier, which are its home.
    pub(in crate::balance) fn respec(&mut self, id: NodeId, change: impl FnOnce(&mut NodeSpec)) {
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
    pub(in crate::balance) const fn set_view(&mut self, view: ReportFreshness) {
        self.view = view;
    }

    /// Remembers what a node said of itself, dated by the report's age.
    pub(in crate::balance) fn hear_report(&mut self, id: NodeId, now: Time, report: NodeReport) {
        let own = self.node(id).ledger.requests;
        if let Some(quota) = self.quotas.get_mut(id.index()) {
            quota.hear(now, report.requests_left, report.tokens_left);
        }
        self.load_reports.hear_report(id, now, report, own);
    }

    /// Remembers what a peer has in flight. Returns the number of its word and when it counts no
    /// more; `None` if it comes too late to count.
    pub(in crate::balance) fn hear_peer(
        &mut self,
        peer: PeerId,
        now: Time,
        load: PeerLoad,
    ) -> Option<(u32, Time)> {
        let (number, at) = self.load_reports.hear_peer(peer, now, load, self.nodes.len())?;
        Some((number, at + self.view.peers_fresh))
    }

    /// Returns what was heard, for the parts that date it.
    pub(in crate::balance) const fn load_reports(&self) -> &LoadReports {
        &self.load_reports
    }

    /// A peer has been silent for too long.
    pub(in crate::balance) fn silence(&mut self, peer: PeerId) {
        self.load_reports.silence(peer);
    }

    /// Returns what a node last said of itself, unless that is too old; see [`ReportFreshness`].
    #[must_use]
    pub fn report(&self, id: NodeId, now: Time) -> Option<&NodeReport> {
        self.load_reports.report(id, now, self.view.reports_fresh)
    }

    /// Returns what is in flight on a node: the own ledger and what fresh peers tell.
    #[must_use]
    pub fn load(&self, id: NodeId) -> Load {
        self.load_reports.load(id, &self.node(id).ledger)
    }

    /// Returns the requests on a node as a signal has them.
    #[must_use]
    #[inline]
    pub fn requests(&self, signal: Signal, id: NodeId, now: Time) -> u64 {
        let ledger = &self.node(id).ledger;
        self.load_reports.requests(signal, id, ledger, now, self.view.reports_fresh)
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
    pub(in crate::balance) fn with_health<T>(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut NodeHealth) -> T,
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
        let group = &mut self.groups[pool.index()][tier as usize];
        group.well =
            group.well + u32::from(after.is_in_service()) - u32::from(before.is_in_service());
        group.ill = group.ill + u32::from(after.is_ejected()) - u32::from(before.is_ejected());
        let up = |state| if state == NodeState::Up { weight } else { 0 };
        group.up_weight = group.up_weight + up(after) - up(before);
        self.recount_panic(pool);
    }

    /// Returns when the first of the nodes that rest may be back, if any rests.
    pub(in crate::balance) fn first_back(&self) -> Option<Time> {
        let rests = |state: NodeState| state == NodeState::CoolingDown || state.is_ejected();
        self.nodes.iter().filter(|node| rests(node.state())).map(Node::rests_until).min()
    }

    /// Returns when the first node of these pools that has what is asked for is back, if all of them have asked
    /// to be left alone: none of them is back before it said so.
    pub(in crate::balance) fn all_rest_until(
        &self,
        pools: [&[PoolId]; 2],
        demands: Demands,
    ) -> Option<Time> {
        let up = |pool: &PoolId| self.groups[pool.index()].iter().any(|group| group.up_weight > 0);
        if pools.into_iter().flatten().any(up) {
            return None;
        }
        let mut first = None;
        for node in &self.nodes {
            let (pool, _) = node.home();
            let state = node.state();
            if matches!(state, NodeState::Gone | NodeState::Draining)
                || !pools.into_iter().flatten().any(|other| *other == pool)
                || !demands.are_met_by(&node.spec)
            {
                continue;
            }
            if state != NodeState::CoolingDown {
                return None;
            }
            let until = node.rests_until();
            first = Some(first.map_or(until, |first: Time| first.min(until)));
        }
        first
    }

    /// Returns whether some node may be given work as far as its state is concerned.
    #[must_use]
    pub fn any_serves(&self) -> bool {
        (0..self.nodes.len()).any(|node| self.serves(NodeId(node as u32)))
    }

    /// Returns the weights of the nodes of a tier that are up.
    pub(in crate::balance) fn up_weight(&self, (pool, tier): (PoolId, Tier)) -> u64 {
        self.groups[pool.index()][tier as usize].up_weight
    }

    /// Puts a node on trial until it has proved itself or leaves service; `None` ends that.
    pub(in crate::balance) fn try_out(&mut self, id: NodeId, trial: Option<Trial>) {
        let node = &mut self.nodes[id.index()];
        node.trial = trial;
        node.find_limit();
        self.refresh(id);
    }

    /// Lets a node have so many attempts at a time as its limiter says.
    pub(in crate::balance) fn adapt(&mut self, id: NodeId, adaptive: Option<u32>) {
        let was_open = self.is_open(id);
        let node = &mut self.nodes[id.index()];
        node.adaptive = adaptive;
        node.find_limit();
        self.refresh(id);
        self.freed |= !was_open && self.is_open(id);
    }

    /// Something came from a node.
    #[inline]
    pub(in crate::balance) fn hear(&mut self, id: NodeId, now: Time) {
        self.nodes[id.index()].health.heard = now;
    }

    /// Returns whether a node may be given work as far as its state is concerned.
    #[must_use]
    pub fn serves(&self, id: NodeId) -> bool {
        let node = &self.nodes[id.index()];
        match node.state() {
            NodeState::Up => true,
            NodeState::Ejected | NodeState::Probing => {
                !node.health.fails_probes() && self.panics_in(node.home.0)
            }
            _ => false,
        }
    }

    pub(in crate::balance) fn start(
        &mut self,
        id: NodeId,
        now: Time,
        prompt: Tokens,
        expected_output: Tokens,
    ) -> Held {
        let ledger = &mut self.nodes[id.index()].ledger;
        let held = ledger.start(prompt, expected_output);
        self.load_reports.changed(id, now, ledger.requests);
        self.group(id).in_flight += 1;
        self.refresh(id);
        held
    }

    pub(in crate::balance) fn first_token(&mut self, id: NodeId, held: &mut Held) {
        self.nodes[id.index()].ledger.first_token(held);
    }

    pub(in crate::balance) fn tokens(
        &mut self,
        id: NodeId,
        held: &mut Held,
        before: Tokens,
        so_far: Tokens,
    ) {
        self.nodes[id.index()].ledger.tokens(held, before, so_far);
    }

    /// Takes an attempt off the ledger.
    pub(in crate::balance) fn end(&mut self, id: NodeId, now: Time, held: &Held) {
        let was_open = self.is_open(id);
        let ledger = &mut self.nodes[id.index()].ledger;
        ledger.end(held);
        self.load_reports.changed(id, now, ledger.requests);
        self.group(id).in_flight -= 1;
        self.refresh(id);
        self.freed |= !was_open && self.is_open(id);
    }

    fn group(&mut self, id: NodeId) -> &mut TierGroup {
        let (pool, tier) = self.nodes[id.index()].home;
        &mut self.groups[pool.index()][tier as usize]
    }

    /// Puts the node into or takes it out of its group's open set, as its state demands.
    fn refresh(&mut self, id: NodeId) {
        let node = &self.nodes[id.index()];
        let up = self.serves(id);
        let capacity = node.limit().map_or(UNLIMITED, u64::from);
        let (before, after) = (node.capacity, if up { capacity } else { 0 });
        let wanted = (up && node.has_room()).then(|| node.state().is_ejected());
        let opened = node.opened();
        if before != after {
            self.nodes[id.index()].capacity = after;
            let group = self.group(id);
            group.capacity = group.capacity - before + after;
        }
        if wanted == opened {
            return;
        }
        if let Some(last_resort) = opened {
            self.close(id, last_resort);
        }
        if let Some(last_resort) = wanted {
            let list = self.list(id, last_resort);
            let place = list.len() as u32;
            list.push(id);
            self.nodes[id.index()].open_at = place | mark(last_resort);
        }
    }

    /// Where a node of the group of this one stands while it is open.
    fn list(&mut self, id: NodeId, last_resort: bool) -> &mut Vec<NodeId> {
        let group = self.group(id);
        if last_resort { &mut group.last_resort } else { &mut group.open }
    }

    fn close(&mut self, id: NodeId, last_resort: bool) {
        let place = std::mem::replace(&mut self.nodes[id.index()].open_at, CLOSED);
        let place = (place & !LAST_RESORT) as usize;
        let list = self.list(id, last_resort);
        list.swap_remove(place);
        if let Some(moved) = list.get(place).copied() {
            self.nodes[moved.index()].open_at = place as u32 | mark(last_resort);
        }
    }
}

/// What stands beside the index of an open node.
const fn mark(last_resort: bool) -> u32 {
    if last_resort { LAST_RESORT } else { 0 }
}
