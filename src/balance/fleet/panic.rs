//! Panic: where nothing that a route may use is well any more, ejected nodes are better than none.
//!
//! A route is in panic from the moment at which none of its nodes is well until the share of them that
//! its pools ask for is well again; counted is everything that the route may use, all tiers and all
//! pools, as Envoy counts over all priorities. Nodes come into it that were ejected and whose last
//! probe did not fail: news that is more likely wrong than the whole fleet dead. They are asked after
//! every well node with room, and only for requests of routes in panic. Where no pool asks for panic
//! nothing is counted.

use super::{Fleet, TierGroup};
use crate::balance::spec::node::Tier;
use crate::balance::spec::route::RouteNodes;
use crate::unit::{PoolId, Ratio, RouteId};

/// The panic of every route.
#[derive(Clone, Debug, Default)]
pub(super) struct PanicRules {
    /// Empty where no pool asks for panic.
    routes: Vec<RoutePanic>,
    /// By pool: whether its ejected nodes serve while a route of theirs is in panic.
    asked: Vec<bool>,
    /// Where panic began or ended and nobody has said so yet.
    news: Vec<(RouteId, bool)>,
}

#[derive(Clone, Debug)]
struct RoutePanic {
    nodes: RouteNodes,
    /// Panic ends when this share is well; `None` where no pool of the route asks for panic.
    calm: Option<Ratio>,
    on: bool,
}

impl PanicRules {
    /// The rules of these routes; `shares` says by pool when panic ends, where it is asked for.
    fn new(routes: Vec<RouteNodes>, shares: &[Option<Ratio>]) -> PanicRules {
        if shares.iter().all(Option::is_none) {
            return PanicRules::default();
        }
        let calm =
            |nodes: &RouteNodes| nodes.pools.iter().filter_map(|pool| shares[pool.index()]).max();
        let route = |nodes: RouteNodes| RoutePanic { calm: calm(&nodes), nodes, on: false };
        PanicRules {
            routes: routes.into_iter().map(route).collect(),
            asked: shares.iter().map(Option::is_some).collect(),
            news: Vec::new(),
        }
    }

    fn asks(&self, pool: PoolId) -> bool {
        self.asked.get(pool.index()).copied().unwrap_or(false)
    }

    fn is_on(&self, route: RouteId) -> bool {
        self.routes.get(route.index()).is_some_and(|route| route.on)
    }

    /// Returns whether a route that uses this pool is in panic.
    fn reaches(&self, pool: PoolId) -> bool {
        self.routes.iter().any(|route| route.on && route.nodes.pools.contains(&pool))
    }
}

/// Nodes that are well, and nodes that are ejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct WellAndIll {
    pub(in crate::balance) well: u64,
    pub(in crate::balance) ill: u64,
}

impl WellAndIll {
    fn add(&mut self, group: &TierGroup) {
        self.well += u64::from(group.well);
        self.ill += u64::from(group.ill);
    }

    /// Returns how many there are.
    pub(in crate::balance) const fn all(self) -> u64 {
        self.well + self.ill
    }
}

impl Fleet {
    /// Says by pool whether its ejected nodes serve in panic, and at which share of well ones that ends.
    pub(in crate::balance) fn set_panic(
        &mut self,
        routes: Vec<RouteNodes>,
        shares: &[Option<Ratio>],
    ) {
        self.panic = PanicRules::new(routes, shares);
    }

    /// Returns how many of the nodes that a route may use are well and how many are ejected. Cost: its
    /// nodes where it asks for some of them only, its pools elsewhere.
    pub(in crate::balance) fn count_well(&self, of: &RouteNodes) -> WellAndIll {
        let mut count = WellAndIll::default();
        for &pool in &of.pools {
            if of.demands.are_none() {
                self.groups[pool.index()].iter().for_each(|group| count.add(group));
                continue;
            }
            let members = Tier::ALL.iter().flat_map(|&tier| self.members(pool, tier));
            for node in members.map(|&node| self.node(node)) {
                if of.demands.are_met_by(&node.spec) {
                    count.well += u64::from(node.state().is_in_service());
                    count.ill += u64::from(node.state().is_ejected());
                }
            }
        }
        count
    }

    /// Begins or ends the panic of routes that use a pool in which a node was ejected or is back.
    pub(super) fn recount_panic(&mut self, pool: PoolId) {
        for at in 0..self.panic.routes.len() {
            let route = &self.panic.routes[at];
            let Some(calm) = route.calm.filter(|_| route.nodes.pools.contains(&pool)) else {
                continue;
            };
            let count = self.count_well(&route.nodes);
            // Where nobody is left to be well or ill, nobody is ill.
            let on = if route.on {
                count.ill > 0 && (count.well == 0 || count.well < calm.of(count.all()))
            } else {
                count.ill > 0 && count.well == 0
            };
            if on != route.on {
                self.panic.routes[at].on = on;
                self.panic.news.push((RouteId(at as u16), on));
                self.refresh_route(at);
            }
        }
    }

    /// Brings the open sets of the pools of a route up to date.
    fn refresh_route(&mut self, route: usize) {
        for pool in self.panic.routes[route].nodes.pools.clone() {
            for tier in Tier::ALL {
                for at in 0..self.members(pool, tier).len() {
                    self.refresh(self.members(pool, tier)[at]);
                }
            }
        }
    }

    /// Takes the news where panic began or ended.
    pub(in crate::balance) fn take_panics(&mut self) -> Vec<(RouteId, bool)> {
        std::mem::take(&mut self.panic.news)
    }

    /// Returns whether nothing that a route may use is well, so that ejected nodes serve it too.
    #[must_use]
    #[inline]
    pub fn panics(&self, route: RouteId) -> bool {
        !self.panic.routes.is_empty() && self.panic.is_on(route)
    }

    /// Returns the routes that are in panic.
    pub fn panicking(&self) -> impl Iterator<Item = RouteId> + '_ {
        let routes = self.panic.routes.iter().enumerate();
        routes.filter(|(_, route)| route.on).map(|(at, _)| RouteId(at as u16))
    }

    /// Returns whether the ejected nodes of a pool serve some route now.
    pub(super) fn panics_in(&self, pool: PoolId) -> bool {
        self.panic.asks(pool) && self.panic.reaches(pool)
    }
}
