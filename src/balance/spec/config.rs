//! What the machine is built from, and whether it contradicts itself.
//!
//! A scenario or a gateway configuration is read into a [`Config`] once; the machine takes it apart.
//! A journal begins with one, and a journal may have been edited: so it can be checked.

use super::admission::{Admission, MIN_SHARE_MAX, Queue};
use super::health::HealthSettings;
use super::node::NodeSpec;
use super::overload::{DegradeSpec, ShedSpec};
use super::pool::PoolSpec;
use super::retry::{ATTEMPTS_MAX, HedgeAfter, HedgeSpec, Retry, Timeouts};
use super::route::{ROUTE_IDS, RouteSpec};
use super::scale::ScaleSpec;
use super::sticky::StickySpec;
use super::view::ReportFreshness;
use crate::unit::{PoolId, Ratio, Span, Tokens};

/// Everything the machine is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seeds its random draws: ties, pauses, samples.
    pub seed: u64,
    /// Pools, by id.
    pub pools: Vec<PoolSpec>,
    /// Nodes, by id.
    pub nodes: Vec<NodeSpec>,
    /// Routes, by id; the last matches everything.
    pub routes: Vec<RouteSpec>,
    /// By class: tokens an answer is expected to have before any was seen.
    pub expected_output: Vec<Tokens>,
    /// How failed requests are tried again.
    pub retry: Retry,
    /// The balancer's own timers.
    pub timeouts: Timeouts,
    /// How the health of nodes is watched.
    pub health: HealthSettings,
    /// The waiting room.
    pub queue: Queue,
    /// Which of several balancers it is, and how long it believes what it is told.
    pub view: ReportFreshness,
    /// Groups of nodes that grow and shrink.
    pub scale: Vec<ScaleSpec>,
    /// When requests are hedged.
    pub hedge: Option<HedgeSpec>,
    /// Who may come in, and how those who wait are served.
    pub admission: Admission,
    /// Whose requests are turned away under load.
    pub shed: Option<ShedSpec>,
    /// What else is given up under load, step by step.
    pub degrade: Option<DegradeSpec>,
}

impl Config {
    /// Returns a configuration of these with everything else at its default: seed 0, no classes,
    /// nothing scaled.
    #[must_use]
    pub fn new(pools: Vec<PoolSpec>, nodes: Vec<NodeSpec>, routes: Vec<RouteSpec>) -> Config {
        Config {
            seed: 0,
            pools,
            nodes,
            routes,
            expected_output: Vec::new(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            health: HealthSettings::default(),
            queue: Queue::default(),
            view: ReportFreshness::default(),
            scale: Vec::new(),
            hedge: None,
            admission: Admission::default(),
            shed: None,
            degrade: None,
        }
    }

    /// Says how the configuration contradicts itself, if it does. What a scenario makes never does;
    /// a journal may have been edited.
    ///
    /// # Errors
    /// A sentence about the first contradiction.
    pub fn check(&self) -> Result<(), &'static str> {
        let rules = [&self.rules_of_the_fleet()[..], &self.rules_of_settings()].concat();
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(*rule))
    }

    fn rules_of_the_fleet(&self) -> [(bool, &'static str); 11] {
        let ids = usize::from(u16::MAX) + 1;
        let pools = self.pools.len();
        let names = |pools_of: &[PoolId]| {
            !pools_of.is_empty() && pools_of.iter().all(|pool| pool.index() < pools)
        };
        [
            ((1..=ATTEMPTS_MAX).contains(&self.retry.attempts), "a request has 1 to 8 attempts"),
            (
                self.routes.last().is_some_and(|route| route.when.is_total()),
                "the last route matches everything",
            ),
            (
                self.routes.len() <= ROUTE_IDS && pools <= ids,
                "there are at most 65,536 pools and routes",
            ),
            (
                self.routes.iter().all(|route| {
                    let cheap = route.degrade.as_ref();
                    names(&route.to) && cheap.is_none_or(|degrade| names(&degrade.to))
                }),
                "a route names pools that exist",
            ),
            (self.routes.iter().all(splits), "a route splits all its traffic among its own pools"),
            (
                self.routes
                    .iter()
                    .all(|route| route.choose.as_ref().is_none_or(|choose| choose.fits(route))),
                "a route chooses among 2 to 8 pools (2 by complexity), and does not split",
            ),
            (self.routes.iter().all(lacks_overlap), "a route degrades to pools not its own"),
            (
                self.routes.iter().filter_map(|route| route.cache).all(|cache| cache.is_sound()),
                "a route keeps 1 to 1,000,000 answers, for some time",
            ),
            (
                self.routes
                    .iter()
                    .filter_map(|route| route.sticky.as_ref())
                    .all(StickySpec::is_sound),
                "a route remembers 1 to 1,000,000 sessions, by something, for some time",
            ),
            (self.nodes.iter().all(|node| node.pool.index() < pools), "a node is in a pool"),
            (self.nodes.iter().all(|node| node.weight > 0), "a node has a weight of at least one"),
        ]
    }

    fn rules_of_settings(&self) -> [(bool, &'static str); 11] {
        let batches = || self.pools.iter().filter_map(|pool| pool.batch);
        [
            (
                self.watches().all(HealthSettings::is_sound),
                "the times and counts of health checks are above zero",
            ),
            (
                batches().all(|batch| batch.size > 0 && batch.window > Span::ZERO),
                "a batch has a size and a window above zero",
            ),
            (
                self.hedge.is_none_or(|hedge| hedge.after != HedgeAfter::Fixed(Span::ZERO)),
                "a hedge comes after some time",
            ),
            (
                self.admission.waiting.bands.is_none_or(|share| share <= MIN_SHARE_MAX),
                "a priority is owed at most a quarter",
            ),
            (
                self.admission.tenants.named.is_sorted_by(|a, b| a.0 < b.0)
                    && self.admission.tenants.all().all(|tenant| tenant.weight > 0),
                "tenants are named in order, once each, with a weight above zero",
            ),
            (
                self.pools.iter().all(|p| p.batch.is_none() || p.limits.are_none()),
                "a pool that takes batches has no limits of its own",
            ),
            (
                self.pools.iter().filter_map(|pool| pool.limiter).all(|spec| spec.is_sound()),
                "a limiter begins within its bounds, of which the least is one",
            ),
            (
                self.pools.iter().all(|pool| pool.batch.is_none() || pool.limiter.is_none()),
                "a pool that takes batches has no limiter",
            ),
            (
                self.shed.is_none_or(|spec| spec.is_sound()),
                "who matters more is shed later, and shedding can end",
            ),
            (
                self.degrade.is_none_or(|spec| spec.is_sound()),
                "the rungs of a ladder rise, and can be left",
            ),
            (self.groups_fit(), "a scaled group has nodes of one pool, its own, and a target"),
        ]
    }

    /// Returns how health is watched: in general, and in pools that say so themselves.
    pub(crate) fn watches(&self) -> impl Iterator<Item = &HealthSettings> {
        let own = self.pools.iter().filter_map(|pool| pool.health.as_deref());
        std::iter::once(&self.health).chain(own)
    }

    /// Returns how health is watched, by pool.
    pub(in crate::balance) fn health_by_pool(&self) -> impl Iterator<Item = &HealthSettings> {
        self.pools.iter().map(|pool| pool.health.as_deref().unwrap_or(&self.health))
    }

    /// Returns how the health of a pool's nodes is watched.
    ///
    /// # Panics
    /// If there is no such pool.
    #[must_use]
    pub fn health_in(&self, pool: PoolId) -> &HealthSettings {
        self.pools[pool.index()].health.as_deref().unwrap_or(&self.health)
    }

    fn groups_fit(&self) -> bool {
        let mut seen = vec![false; self.nodes.len()];
        self.scale.len() <= usize::from(u16::MAX)
            && self.scale.iter().all(|group| {
                let first = group.nodes.first().and_then(|node| self.nodes.get(node.index()));
                let ours = group.nodes.iter().all(|node| {
                    let free = seen.get_mut(node.index());
                    free.is_some_and(|seen| !std::mem::replace(seen, true))
                        && first.is_some_and(|first| first.pool == self.nodes[node.index()].pool)
                });
                let most = group.max as usize <= group.nodes.len() && group.max > 0;
                let start = (group.min..=group.max).contains(&group.start);
                ours && most && start && group.target.value() > 0 && group.every > Span::ZERO
            })
    }
}

fn splits(route: &RouteSpec) -> bool {
    let sum: u64 = route.split.iter().map(|(_, share)| u64::from(share.0)).sum();
    let own = route.split.iter().all(|(pool, _)| route.to.contains(pool));
    route.split.is_empty() || (own && sum == u64::from(Ratio::ONE.0))
}

fn lacks_overlap(route: &RouteSpec) -> bool {
    let cheap = route.degrade.iter().flat_map(|degrade| &degrade.to);
    cheap.into_iter().all(|pool| !route.to.contains(pool))
}
