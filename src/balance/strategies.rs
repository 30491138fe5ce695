//! The strategies in use: one for each tier of each pool, and the draws they share.
//!
//! A strategy can be exchanged while requests are under way. Attempts remember the generation of the
//! strategy that chose their node, so that a new one is never reminded of an old one's words.

use super::explain::Explainer;
use super::fleet::Fleet;
use super::requests::{AttemptState, NodeChoice};
use super::spec::config::Config;
use super::spec::node::Tier;
use super::spec::pool::Locality;
use super::strategy::{DispatchFacts, Fact, PickContext, Strategy, StrategySpec};
use super::vocabulary::explanation::Explanation;
use super::vocabulary::outcome::Attempt;
use super::vocabulary::state::NodeState;
use super::vocabulary::why::{Scored, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, PoolId, RegionId, RouteId, Time};

/// One strategy a tier.
type Built = [Box<dyn Strategy>; 3];

/// What a pool chooses by.
#[derive(Debug)]
struct PoolStrategies {
    spec: StrategySpec,
    built: Built,
    locality: Locality,
    /// How often the strategy was exchanged.
    generation: u32,
}

/// The strategies of all pools.
#[derive(Debug)]
pub(super) struct Strategies {
    pools: Vec<PoolStrategies>,
    rng: Rng,
    /// One try whose node is settled beforehand.
    overruled: Option<(Attempt, NodeId)>,
}

/// The winner changes places with the node that is settled beforehand.
fn overrule(why: &mut Why, other: NodeId) {
    let second = why.runner_up.filter(|second| second.node == other);
    let before =
        std::mem::replace(&mut why.chosen, second.unwrap_or_else(|| Scored::unscored(other)));
    why.runner_up = Some(before);
}

fn build(spec: &StrategySpec) -> Built {
    [spec.build(), spec.build(), spec.build()]
}

impl Strategies {
    /// Builds the strategies of a configuration; `seed` is that of this balancer's own draws.
    pub(super) fn new(config: &Config, seed: u64) -> Strategies {
        let pools = config.pools.iter().map(|pool| PoolStrategies {
            spec: pool.strategy.clone(),
            built: build(&pool.strategy),
            locality: pool.locality,
            generation: 0,
        });
        let rng = Rng::stream(seed, "strategy");
        Strategies { pools: pools.collect(), rng, overruled: None }
    }

    /// Returns whether there is such a pool.
    pub(super) fn has(&self, pool: PoolId) -> bool {
        pool.index() < self.pools.len()
    }

    /// Returns what a pool chooses by.
    #[inline]
    pub(super) fn spec(&self, pool: PoolId) -> &StrategySpec {
        &self.pools[pool.index()].spec
    }

    /// Returns the region whose nodes come first in a pool for requests from `origin`.
    #[inline]
    pub(super) fn near(&self, pool: PoolId, origin: Option<RegionId>) -> Option<RegionId> {
        self.pools[pool.index()].locality.first(origin)
    }

    /// Returns how often the strategy of a pool was exchanged.
    #[inline]
    pub(super) fn generation(&self, pool: PoolId) -> u32 {
        self.pools[pool.index()].generation
    }

    /// Lets a pool choose by another strategy. Returns the one before.
    pub(super) fn exchange(&mut self, pool: PoolId, to: StrategySpec) -> StrategySpec {
        let this = &mut self.pools[pool.index()];
        this.built = build(&to);
        this.generation += 1;
        std::mem::replace(&mut this.spec, to)
    }

    /// Lets a pool choose by strategies that are not in the registry.
    pub(super) fn use_own(&mut self, pool: PoolId, mut make: impl FnMut() -> Box<dyn Strategy>) {
        let this = &mut self.pools[pool.index()];
        this.built = [make(), make(), make()];
        this.generation += 1;
    }

    /// Settles the node of one try, whatever the strategy makes of it.
    pub(super) const fn overrule(&mut self, attempt: Attempt, node: NodeId) {
        self.overruled = Some((attempt, node));
    }

    /// Returns the try whose node is settled beforehand, and that node.
    #[inline]
    pub(super) const fn overruled(&self) -> Option<(Attempt, NodeId)> {
        self.overruled
    }

    /// Picks a node of a tier, if the strategy wants one; `instead` of it the one that is settled, if it is
    /// allowed. The strategy is asked all the same, so that its draws stay what they were. Where the decision
    /// is to be explained for an attempt, `explanations` hears it.
    #[inline]
    pub(super) fn pick(
        &mut self,
        route: RouteId,
        context: &PickContext<'_>,
        instead: Option<NodeId>,
        explained: Option<(&Explainer, Attempt)>,
        explanations: impl FnOnce(Box<Explanation>),
    ) -> Option<NodeChoice> {
        let (pool, tier) = (context.pool, context.tier);
        let this = &mut self.pools[pool.index()];
        let mut why = Why {
            route,
            pool,
            tier,
            strategy: this.spec.index(),
            candidates: context.open_count() as u32,
            considered: 0,
            chosen: Scored::unscored(NodeId(u32::MAX)),
            runner_up: None,
            panic: false,
        };
        let strategy = &mut this.built[tier as usize];
        let mut node = strategy.pick(context, &mut self.rng, &mut why)?;
        let allowed = |other: &NodeId| context.fleet.knows(*other) && context.allows(*other);
        if let Some(other) = instead.filter(|other| *other != node).filter(allowed) {
            overrule(&mut why, other);
            node = other;
        }
        assert!(context.allows(node), "a strategy picks a candidate");
        why.panic = context.fleet.node(node).state() != NodeState::Up;
        why.chosen.terms = strategy.terms(context, node);
        if let Some(second) = &mut why.runner_up {
            second.terms = strategy.terms(context, second.node);
        }
        let memo = strategy.memo(context, node);
        if let Some((explainer, attempt)) = explained {
            explanations(explainer.explain(context, strategy.as_ref(), attempt, &why));
        }
        Some(NodeChoice { node, why, memo })
    }

    /// Lets the strategy of a tier hear a fact about one of its nodes.
    #[inline]
    pub(super) fn learn(
        &mut self,
        now: Time,
        (pool, tier): (PoolId, Tier),
        fact: &Fact<'_>,
        fleet: &Fleet,
    ) {
        self.pools[pool.index()].built[tier as usize].learn(now, fact, fleet);
    }

    /// Returns what was known when an attempt was sent to a node of a pool. A strategy is reminded of
    /// its own words only.
    #[inline]
    pub(super) fn facts(&self, attempt: &AttemptState, pool: PoolId) -> DispatchFacts {
        let current = attempt.strategy_generation == self.generation(pool);
        DispatchFacts { memo: attempt.facts.memo.filter(|_| current), ..attempt.facts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::config;

    #[test]
    fn a_new_strategy_is_not_reminded_of_the_words_of_an_old_one() {
        let mut strategies = Strategies::new(&config(2, 1), 1);
        let pool = PoolId(1);
        let before = strategies.generation(pool);
        let from = strategies.exchange(pool, StrategySpec::named("random").unwrap());
        assert_eq!((from.name(), strategies.spec(pool).name()), ("round_robin", "random"));
        assert_ne!(strategies.generation(pool), before);
        assert_eq!(strategies.generation(PoolId(0)), before, "the other pool keeps its own");
        let now = strategies.generation(pool);
        strategies.use_own(pool, || StrategySpec::named("least_tokens").unwrap().build());
        assert_ne!(strategies.generation(pool), now);
        assert!(strategies.has(pool) && !strategies.has(PoolId(2)));
    }
}
