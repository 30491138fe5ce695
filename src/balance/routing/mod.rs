//! The router: where a request may go, and in which order.
//!
//! A route says which pools serve a request (see `routes`); a lane is one order of them, chosen by a
//! split or by model (see `model`); inside a pool tiers come one after the other, or share the load
//! while part of one is ill (see `tiers`). What is said here of nodes is who could ever serve: who may
//! be given work now is the fleet's to say.

pub(super) mod model;
pub(super) mod routes;
mod threshold;
pub(super) mod tiers;

pub use model::ANSWERS_MAX;
pub use routes::Routes;

use super::fleet::Fleet;
use super::spec::config::Config;
use super::spec::node::Tier;
use super::spec::route::{Degrading, Demands, LaneId, ModelRule, RouteSpec};
use super::vocabulary::model::{ModelChoice, ModelWhy};
use super::vocabulary::request::Request;
use super::vocabulary::state::NodeState;
use crate::rng::Rng;
use crate::unit::{ClassId, NodeId, PoolId, Ratio, RequestId, RouteId, Tokens};
use model::{ModelSelector, Offers};
use tiers::TierShares;

/// Routes, and what decides along them.
#[derive(Debug)]
pub(super) struct Router {
    routes: Routes,
    /// By lane: the first pool and tier with a node that may ever serve it; `None` if there is none.
    first_eligible: Vec<Option<(PoolId, Tier)>>,
    tiers: TierShares,
    models: ModelSelector,
}

impl Router {
    /// The router of a configuration; `seed` is that of this balancer's own draws. Who is eligible is
    /// found by [`Router::find_eligible`].
    pub(super) fn new(config: &Config, seed: u64) -> Router {
        let classes = config.expected_output.len();
        let key = Rng::stream(config.seed, "splits").bits();
        Router {
            models: ModelSelector::new(&config.routes, classes, seed),
            tiers: TierShares::new(&config.pools, config.seed),
            routes: Routes::new(config.routes.clone(), classes, key),
            first_eligible: Vec::new(),
        }
    }

    /// Finds the route and the lane of a request. Where it chooses among models, `expected` says how
    /// long the answer may become; the choice is explained where that is wanted.
    #[inline]
    pub(super) fn route(
        &mut self,
        request: &Request,
        fleet: &Fleet,
        expected: impl FnOnce() -> Tokens,
        explained: bool,
    ) -> (RouteId, LaneId, Option<ModelChoice>) {
        let route = self.routes.of(request);
        let lane = self.routes.lane(route, request);
        if !self.models.is_on() {
            return (route, lane, None);
        }
        let spec = self.routes.get(route);
        let offers = Offers { fleet, expected: expected() };
        let (place, why) = self.models.choose((route, spec), request, offers, explained);
        let choice =
            |why: ModelWhy| ModelChoice { request: request.id, route, pool: spec.to[place], why };
        (route, lane + place as LaneId, why.map(choice))
    }

    /// Finds by lane where requests go first. To be called whenever the fleet or a node's place in it
    /// is another one.
    pub(super) fn find_eligible(&mut self, fleet: &Fleet) {
        let eligible = |node: NodeId, demands: Demands| {
            let node = fleet.node(node);
            node.state() != NodeState::Gone && demands.are_met_by(&node.spec)
        };
        let first = |(lane, route): (LaneId, &RouteSpec)| {
            let (own, cheap) = self.routes.pools(lane);
            let pools = own.iter().chain(cheap);
            pools.flat_map(|&pool| Tier::ALL.map(|tier| (pool, tier))).find(|&(pool, tier)| {
                let members = fleet.members(pool, tier);
                members.iter().any(|&node| eligible(node, route.demands()))
            })
        };
        self.first_eligible = self.routes.lanes().map(first).collect();
    }

    /// Returns the first pool and tier of a lane with a node that may ever serve it, if there is one.
    #[inline]
    pub(super) fn first_eligible(&self, lane: LaneId) -> Option<(PoolId, Tier)> {
        self.first_eligible[lane as usize]
    }

    /// Returns whether no node may ever serve the requests of a route.
    pub(super) fn is_homeless(&self, route: RouteId) -> bool {
        // The first lane of a route has all of its pools.
        self.first_eligible(self.routes.first_lane(route)).is_none()
    }

    /// Returns the number of routes.
    pub(super) fn count(&self) -> usize {
        self.routes.count()
    }

    /// Returns the rule of a route.
    #[inline]
    pub(super) fn spec(&self, route: RouteId) -> &RouteSpec {
        self.routes.get(route)
    }

    /// Returns the pools of a lane: the route's own and those it degrades to, each in order.
    #[inline]
    pub(super) fn pools(&self, lane: LaneId) -> (&[PoolId], &[PoolId]) {
        self.routes.pools(lane)
    }

    /// Returns whether a request may use cheaper pools now, as its route says, and in which order.
    #[inline]
    pub(super) fn degrading(
        &self,
        (route, lane): (RouteId, LaneId),
        waiting: u32,
        fleet: &Fleet,
    ) -> Degrading {
        let Some(degrade) = &self.routes.get(route).degrade else {
            return Degrading::No;
        };
        let (own, _) = self.routes.pools(lane);
        degrade.when.now(own, self.first_eligible(lane), waiting, fleet)
    }

    /// Returns the pool at this place of the order in which requests of a lane try them.
    #[inline]
    pub(super) fn pool_at(
        &self,
        lane: LaneId,
        degrading: Degrading,
        place: usize,
    ) -> Option<PoolId> {
        let (own, cheap) = self.routes.pools(lane);
        let (first, then) = match degrading {
            Degrading::No => (own, &cheap[..0]),
            Degrading::After => (own, cheap),
            Degrading::Before => (cheap, own),
            Degrading::Only => (cheap, &own[..0]),
            Degrading::Next => (&own[1..], &own[..1]),
        };
        first.iter().chain(then).nth(place).copied()
    }

    /// Returns the tiers of a pool in the order in which a request tries them.
    #[inline]
    pub(super) fn tier_order(
        &mut self,
        fleet: &Fleet,
        pool: PoolId,
        request: &Request,
    ) -> [Tier; 3] {
        self.tiers.order(fleet, pool, request)
    }

    /// Returns whether answers on a route are kept from the client until they are accepted.
    #[inline]
    pub(super) fn is_cascade(&self, route: RouteId) -> bool {
        matches!(self.routes.get(route).choose, Some(ModelRule::Cascade { .. }))
    }

    /// Returns the pool that a cascade asks after this one, with its lane; `None` if the route is none
    /// or this is its last pool.
    #[inline]
    pub(super) fn next_model(&self, route: RouteId, pool: PoolId) -> Option<(PoolId, LaneId)> {
        if !self.models.is_on() || !self.is_cascade(route) {
            return None;
        }
        let to = &self.routes.get(route).to;
        let next = to.iter().position(|one| *one == pool)? + 1;
        let pool = to.get(next).copied()?;
        Some((pool, self.routes.first_lane(route) + next as LaneId))
    }

    /// Returns whether an answer with this score is good enough on its route.
    pub(super) fn accepts(&self, route: RouteId, score: Ratio) -> bool {
        let choose = &self.routes.get(route).choose;
        matches!(choose, Some(ModelRule::Cascade { accept }) if score >= *accept)
    }

    /// A pool has answered a request: a word about that may come, where somebody learns from it.
    #[inline]
    pub(super) fn await_feedback(&mut self, route: RouteId, request: &Request, pool: PoolId) {
        if self.models.is_on() {
            self.models.await_feedback((route, self.routes.get(route)), request, pool);
        }
    }

    /// Somebody said how good the answer to a request was. Returns the class and the pool that it was
    /// about; `None` if nobody waits for it.
    pub(super) fn on_feedback(
        &mut self,
        request: RequestId,
        quality: Ratio,
    ) -> Option<(ClassId, PoolId)> {
        let answered = self.models.take_answered(request)?;
        let spec = self.routes.get(answered.route);
        self.models.learn(&answered, spec, quality);
        Some((answered.class, spec.to[usize::from(answered.arm)]))
    }

    /// Returns how many answers wait for a word about them.
    pub(super) fn awaiting_feedback(&self) -> usize {
        self.models.awaiting_feedback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::{at, config};
    use crate::balance::spec::route::{Degrade, Pressure};

    /// Three pools of two nodes; the route has the first two and degrades to the third.
    fn degrading() -> Config {
        let mut config = config(3, 2);
        config.routes[0].to.pop();
        config.routes[0].degrade =
            Some(Degrade { to: vec![PoolId(2)], when: Pressure::InFlight(1) });
        config
    }

    #[test]
    fn pools_are_tried_in_the_order_that_degradation_asks_for() {
        let router = Router::new(&degrading(), 1);
        let order = |degrading| {
            let mut place = 0;
            std::iter::from_fn(|| {
                place += 1;
                router.pool_at(0, degrading, place - 1).map(|pool| pool.0)
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(order(Degrading::No), [0, 1]);
        assert_eq!(order(Degrading::After), [0, 1, 2]);
        assert_eq!(order(Degrading::Before), [2, 0, 1]);
        assert_eq!(order(Degrading::Only), [2]);
        assert_eq!(order(Degrading::Next), [1, 0]);
    }

    #[test]
    fn who_is_eligible_follows_tags_and_nodes_that_are_gone() {
        let mut config = degrading();
        config.routes[0].require = 0b10;
        [2, 4].iter().for_each(|node: &usize| config.nodes[*node].tags = 0b11);
        let mut fleet = Fleet::new(3, config.nodes.clone());
        let mut router = Router::new(&config, 1);
        let first = |router: &mut Router, fleet: &Fleet| {
            router.find_eligible(fleet);
            router.first_eligible(0).map(|(pool, _)| pool.0)
        };
        assert_eq!(first(&mut router, &fleet), Some(1), "no node of the first pool has the tag");
        for (node, left) in [(2, Some(2)), (4, None)] {
            fleet.with_health(NodeId(node), |health| health.operate(at(0), NodeState::Gone));
            assert_eq!(first(&mut router, &fleet), left);
        }
        assert!(router.is_homeless(RouteId(0)));
    }

    #[test]
    fn a_cascade_asks_pool_after_pool_and_the_last_one_accepts_everything() {
        let mut config = config(3, 1);
        config.routes[0].choose = Some(ModelRule::Cascade { accept: Ratio::from_f64(0.7) });
        let router = Router::new(&config, 1);
        let next = |pool| router.next_model(RouteId(0), PoolId(pool)).map(|(pool, _)| pool.0);
        assert_eq!([0, 1, 2].map(next), [Some(1), Some(2), None]);
        assert!(router.is_cascade(RouteId(0)) && router.accepts(RouteId(0), Ratio::from_f64(0.7)));
        assert!(!router.accepts(RouteId(0), Ratio::from_f64(0.69)));
    }
}
