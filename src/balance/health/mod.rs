//! The health checker: consecutive failures eject a node, rest and probes bring it back.
//!
//! A node is ejected after so many blamed failures in a row, for a time that doubles with every
//! ejection up to a cap. It is probed all the while, and returns after so many good answers in a row; one
//! that answers, if only with errors, is tried with a request when its rest is over, because some serve
//! well and have nothing to be probed by. Where active probing is asked for, failed probes eject too, and
//! then only good ones bring back. A node that answers 429, or 503 with a
//! time, is not sick: it is left alone until the time it asked for. Beside that every node has a
//! success probability that load-type costs are divided by, so that a node which fails fast never
//! looks attractive.
//!
//! What is done with nodes that are new, that come back, or that may be sick for a reason that is not
//! theirs:
//!
//! - *Half-open*: a node that comes back from an ejection gets one request at a time until one has
//!   succeeded; a failure ejects it again at once, and so does that it has no room yet. (SGLang's router lets unlimited requests through.)
//! - *Probation*: a new node gets at most so many at a time until its first success; it may fail as
//!   often as any.
//! - *Slow start*: see [`SlowStart`].
//! - *Panic*: where nothing that a route may use is well any more, its ejected nodes serve too, except
//!   those whose probes fail; see `fleet::panic`.
//! - *The largest share*: of everything that a route may use, all tiers and pools, no more than this is
//!   out for what load or a client's mistakes may cause everywhere: then nodes are kept in. What is dead
//!   is out all the same, or as soon as something else is well; see [`HealthChecker::may_eject`].
//! - *Back*: good probes bring an ejected node back before its rest is over, as far as they are news;
//!   see [`Evidence`].
//! - *Credentials*: 401, 402 and 403, or money that is spent, let the node rest, if asked for, longer
//!   each time, with all nodes that are asked with the same credential; that is no ejection. Keys
//!   themselves are not known here, only which nodes have the same.
//! - *Refusals*: who says that a request is at fault is to blame if another node serves it, or if it
//!   refuses much more than its peers; see [`refusals`].
//! - *Silence*: if nothing at all came from a node during a whole first-token timeout, while as many
//!   requests wait for it as failures in a row would eject it, it hangs and is ejected.
//!
//! What a node remembers of its own health is kept with the node, in the fleet. Here are the rules:
//! the settings by pool, what is compared among nodes, and the draws. The checker only ever takes
//! nodes away or gives back what it took; hard constraints (tags, limits, drains) are not its
//! business. It never looks at load and never chooses a node.

pub(super) mod outlier;
pub(super) mod recovery;
mod refusals;

use std::collections::BTreeSet;

use outlier::Detector;
use recovery::SlowStart;
use refusals::RefusalWatch;

use super::fleet::Fleet;
use super::fleet::health::Evidence;
use super::fleet::node::Trial;
use super::spec::config::Config;
use super::spec::health::{Generate, HealthSettings};
use super::spec::node::Tier;
use super::spec::route::RouteNodes;
use super::vocabulary::outcome::{End, Failure, TimeoutStage};
use super::vocabulary::state::Cause;
use crate::rng::Rng;
use crate::unit::{ClassId, NodeId, PoolId, Ratio, Span, Time};

/// Rules of health, and what is remembered over all nodes.
#[derive(Debug)]
pub(super) struct HealthChecker {
    settings: HealthSettings,
    /// By pool, where one has settings of its own; empty where none has.
    by_pool: Vec<Option<Box<HealthSettings>>>,
    slow_start: SlowStart,
    outliers: Detector,
    /// What each route may use.
    routes: Vec<RouteNodes>,
    refusals: RefusalWatch,
    /// Nodes that refuse connections and are kept in.
    dead_kept_in: BTreeSet<NodeId>,
    /// Draws the jitter of ejections.
    rng: Rng,
}

/// Returns what a blamed end is evidence of.
pub(super) fn evidence(end: End) -> Evidence {
    match end {
        End::Failed(failure) if failure.is_unreached() => Evidence::Refused,
        _ => Evidence::Failing,
    }
}

/// What an end says of the health of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing: a client that left, a deadline that passed, another node that was faster.
    Nothing,
    /// It served.
    Good,
    /// It failed.
    Bad,
    /// Neither: back-pressure, credentials and what is too long are no sickness, and no health.
    Neither,
    /// That the request is at fault. Whether it is, other nodes say.
    Refused,
}

/// Returns what an end says of the health of its node. `back` is whether the node had come back from
/// its last ejection when the attempt was dispatched: a failure of what was sent before does not say
/// that the node came back ill.
#[inline]
pub(super) fn says(end: End, back: impl FnOnce() -> bool) -> Says {
    match end {
        End::Cancelled | End::TimedOut(TimeoutStage::Total) | End::Outrun => Says::Nothing,
        End::Done => Says::Good,
        End::Failed(failure) if failure.blames_request() => Says::Refused,
        end if end.blames_node() && back() => Says::Bad,
        _ => Says::Neither,
    }
}

impl HealthChecker {
    /// The checker of a configuration; `seed` is that of this balancer's own draws.
    pub(super) fn new(config: &Config, seed: u64) -> HealthChecker {
        let own = config.pools.iter().any(|pool| pool.health.is_some());
        let outliers = config.health_by_pool().map(|settings| settings.recovery.outlier).collect();
        HealthChecker {
            settings: config.health,
            by_pool: config.pools.iter().filter(|_| own).map(|pool| pool.health.clone()).collect(),
            slow_start: SlowStart::default(),
            outliers: Detector::new(outliers),
            routes: config.routes.iter().map(RouteNodes::of).collect(),
            refusals: RefusalWatch::default(),
            dead_kept_in: BTreeSet::new(),
            rng: Rng::stream(seed, "ejections"),
        }
    }

    /// Returns how the health of a pool's nodes is watched: as the pool says, or as all are.
    #[inline]
    pub(super) fn of_pool(&self, pool: PoolId) -> &HealthSettings {
        let own = self.by_pool.get(pool.index()).and_then(Option::as_deref);
        own.unwrap_or(&self.settings)
    }

    /// Returns how the health of a node is watched.
    #[inline]
    pub(super) fn of(&self, fleet: &Fleet, node: NodeId) -> &HealthSettings {
        self.of_pool(fleet.node(node).home().0)
    }

    /// Draws where in its jitter an ejection falls, from zero to one.
    pub(super) fn draw_jitter(&mut self) -> f64 {
        self.rng.unit()
    }

    /// Returns whether a node may be out on this evidence, beside those that are out. What fails probes
    /// always may: nobody gains by sending it anything. What refuses connections may while something
    /// well is left elsewhere. For the rest, which load or a client's mistakes may have caused, and may
    /// cause everywhere, there is a largest share of everything that each of its routes may use.
    pub(super) fn may_eject(&self, fleet: &Fleet, node: NodeId, evidence: Evidence) -> bool {
        if evidence == Evidence::Probes {
            return true;
        }
        let spec = &fleet.node(node).spec;
        let share = self.of(fleet, node).max_share;
        let routes = || self.routes.iter().filter(|nodes| nodes.has(spec));
        let mut counts = routes().map(|nodes| fleet.count_well(nodes));
        // Of those that are well, one is the node itself.
        if evidence == Evidence::Refused && counts.clone().any(|count| count.well > 1) {
            return true;
        }
        counts.all(|count| count.ill < share.of(count.all()).max(1))
    }

    /// A node that was to be ejected on this evidence is kept in.
    pub(super) fn keep_in(&mut self, node: NodeId, evidence: Evidence) {
        if evidence == Evidence::Refused {
            self.dead_kept_in.insert(node);
        }
    }

    /// Takes the nodes that were kept in although they are dead, some of which may have been well since.
    /// For any other the next failure is soon enough.
    pub(super) fn take_dead_kept_in(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.dead_kept_in)
    }

    /// Returns the trial that a node begins which has come into service for this reason, or `None` if
    /// it was in service all the time.
    pub(super) fn trial_of(&self, pool: PoolId, cause: Cause) -> Option<Option<Trial>> {
        let recovery = self.of_pool(pool).recovery;
        match cause {
            Cause::Recovered(_) => Some(recovery.half_open.then_some(Trial::HalfOpen)),
            Cause::Started => Some(recovery.probation.map(Trial::Probation)),
            _ => None,
        }
    }

    /// Returns whether a node that has just missed a first token said nothing since `dispatched`.
    pub(super) fn is_silent(&self, fleet: &Fleet, node: NodeId, dispatched: Time) -> bool {
        fleet.node(node).health.heard <= dispatched && self.hangs(fleet, node)
    }

    /// Returns whether a node that says nothing is to be ejected for it: as many wait as failures in a row
    /// would eject it.
    pub(super) fn hangs(&self, fleet: &Fleet, node: NodeId) -> bool {
        let settings = self.of(fleet, node);
        settings.recovery.silence && fleet.node(node).ledger.prefilling >= settings.consecutive
    }

    /// A node is in service again or for the first time: its slow start begins, where there is one.
    pub(super) fn begin_slow_start(&mut self, fleet: &Fleet, node: NodeId, now: Time) {
        if let Some(over) = self.of(fleet, node).recovery.slow_start {
            self.slow_start.begin(node, fleet.node(node).home(), now, over);
        }
    }

    /// A request goes to a node.
    #[inline]
    pub(super) fn on_dispatch(&mut self, fleet: &Fleet, node: NodeId, now: Time) {
        self.slow_start.on_dispatch(node, now, fleet);
    }

    /// Returns the nodes in slow start that have had their share for now.
    #[inline]
    pub(super) fn held_back(&self) -> &[NodeId] {
        self.slow_start.held_back()
    }

    /// Returns whether some node is in slow start.
    #[inline]
    pub(super) const fn holds_back(&self) -> bool {
        !self.slow_start.is_empty()
    }

    /// Notes how an attempt ended, and says why its node is an outlier by now, if it is one.
    #[inline]
    pub(super) fn outlier_by_end(
        &mut self,
        fleet: &Fleet,
        node: NodeId,
        good: bool,
    ) -> Option<Cause> {
        if self.outliers.is_off() {
            return None;
        }
        let there = fleet.node(node);
        let served = there.state().is_in_service();
        served.then(|| self.outliers.ended(node, there.home(), good)).flatten()
    }

    /// Notes how long a first token took, or a whole answer, and says why its node is an outlier by
    /// now, if it is one.
    #[inline]
    pub(super) fn outlier_by_first_token(
        &mut self,
        fleet: &Fleet,
        (node, class): (NodeId, ClassId),
        took: Span,
    ) -> Option<Cause> {
        if self.outliers.is_off() {
            return None;
        }
        let there = fleet.node(node);
        let served = there.state().is_in_service();
        served.then(|| self.outliers.first_token(node, there.home(), class, took)).flatten()
    }

    /// A node has left service: its past says nothing of what it does afterwards, nor of its peers.
    #[inline]
    pub(super) fn forget(&mut self, fleet: &Fleet, node: NodeId) {
        self.outliers.forget(node, fleet.node(node).home());
        self.refusals.left(node);
    }

    /// A node gave a whole answer to a request that was sent to it then.
    #[inline]
    pub(super) fn served(&mut self, node: NodeId, dispatched: Time) {
        self.refusals.served(node, dispatched);
    }

    /// A node said that a request is at fault.
    pub(super) fn refused(&mut self, now: Time, node: NodeId) {
        self.refusals.refused(now, node);
    }

    /// A node began to answer a request that was sent to it then.
    #[inline]
    pub(super) fn accepted(&mut self, node: NodeId, dispatched: Time) {
        self.refusals.accepted(node, dispatched);
    }

    /// Returns whether a node that has just said so is doubted.
    pub(super) fn doubts(&self, fleet: &Fleet, node: NodeId) -> bool {
        self.refusals.doubts(node, peers(fleet, node))
    }

    /// Nobody contradicts what a node said of a request. Returns why it is an outlier, if it was one
    /// already, and nobody could be asked although it is doubted.
    pub(super) fn outlier_by_refusal(&mut self, fleet: &Fleet, node: NodeId) -> Option<Cause> {
        let cause = self.refusals.outlier(node, peers(fleet, node));
        self.refusals.stands(node);
        cause
    }

    /// A node of another pool served a request of which a node said that it is at fault. Returns why
    /// that one is to be ejected, if it is.
    pub(super) fn served_elsewhere(&mut self, node: NodeId) -> Option<Cause> {
        self.refusals.served_elsewhere(node)
    }

    /// Returns how long a node rests at first after an end that refused its credential, if it does.
    #[inline]
    pub(super) fn credential_rest(&self, pool: PoolId, end: End) -> Option<Span> {
        let refused = end == End::Failed(Failure::Unauthorized);
        self.of_pool(pool).recovery.credential.filter(|_| refused)
    }

    /// Returns how a node is asked for a token by its next probe, if it is. One that is coming back
    /// has to prove that it makes tokens, where that can be asked.
    pub(super) fn generates(&self, fleet: &Fleet, node: NodeId) -> Option<Generate> {
        let back = fleet.node(node).state().is_ejected();
        self.of(fleet, node).recovery.generate.filter(|_| back)
    }
}

/// All nodes of a node's pool, itself included.
fn peers(fleet: &Fleet, node: NodeId) -> impl Iterator<Item = NodeId> + Clone {
    let pool = fleet.node(node).spec.pool;
    Tier::ALL.into_iter().flat_map(move |tier| fleet.members(pool, tier)).copied()
}

/// Returns by pool whether its ejected nodes serve in panic, and at which share of well nodes that ends.
pub(super) fn panic_shares(config: &Config) -> Vec<Option<Ratio>> {
    config.health_by_pool().map(|settings| settings.recovery.panic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::config;

    /// Two pools, the second with settings of its own, four nodes each.
    fn checker() -> (HealthChecker, Fleet) {
        let own = HealthSettings { max_share: Ratio::from_f64(0.25), ..HealthSettings::default() };
        let mut config = config(2, 4);
        config.pools[1].health = Some(Box::new(own));
        (HealthChecker::new(&config, 1), Fleet::new(2, config.nodes))
    }

    fn eject(checker: &HealthChecker, fleet: &mut Fleet, node: NodeId) {
        let settings = *checker.of(fleet, node);
        fleet.with_health(node, |health| {
            health.eject(Time::ZERO, (&settings, 0.0), Evidence::Failing, None);
        });
    }

    #[test]
    fn the_share_counts_over_all_that_the_route_may_use_and_one_may_be_out() {
        // Half of eight for nodes of the first pool, a quarter of eight for those of the second.
        for (pool, most) in [(0, 4), (1, 2)] {
            let (checker, mut fleet) = checker();
            let mut out = 0;
            for at in 0..4 {
                let node = NodeId(pool * 4 + at);
                if checker.may_eject(&fleet, node, Evidence::Failing) {
                    eject(&checker, &mut fleet, node);
                    out += 1;
                }
            }
            assert_eq!(out, most, "pool {pool}");
            let other = NodeId((1 - pool) * 4);
            let more = checker.may_eject(&fleet, other, Evidence::Outlier);
            assert_eq!(more, pool == 1, "what is out in the other pool counts");
        }
    }

    #[test]
    fn what_is_dead_is_out_while_something_well_is_left_elsewhere() {
        let (checker, mut fleet) = checker();
        for at in 0..7 {
            assert!(checker.may_eject(&fleet, NodeId(at), Evidence::Refused), "node {at}");
            eject(&checker, &mut fleet, NodeId(at));
        }
        let last = NodeId(7);
        assert!(!checker.may_eject(&fleet, last, Evidence::Refused), "nothing else is well");
        assert!(!checker.may_eject(&fleet, last, Evidence::Failing));
        assert!(checker.may_eject(&fleet, last, Evidence::Probes), "nobody gains by it");
    }

    #[test]
    fn only_who_comes_into_service_is_on_trial() {
        let (checker, _) = checker();
        assert_eq!(checker.trial_of(PoolId(0), Cause::Operator), None);
        assert_eq!(checker.trial_of(PoolId(0), Cause::Recovered(2)), Some(Some(Trial::HalfOpen)));
        assert_eq!(
            checker.trial_of(PoolId(0), Cause::Started),
            Some(None),
            "nothing is configured"
        );
    }

    #[test]
    fn what_a_client_or_another_node_did_says_nothing_of_a_node() {
        for end in [End::Cancelled, End::Outrun, End::TimedOut(TimeoutStage::Total)] {
            assert_eq!(says(end, || true), Says::Nothing);
        }
        assert_eq!(says(End::Failed(Failure::Reset), || true), Says::Bad);
        assert_eq!(
            says(End::Failed(Failure::Reset), || false),
            Says::Neither,
            "sent before it rested"
        );
        assert_eq!(says(End::Failed(Failure::Overloaded), || true), Says::Neither);
        assert_eq!(says(End::RateLimited, || true), Says::Neither);
        assert_eq!(says(End::Done, || false), Says::Good);
    }
}
