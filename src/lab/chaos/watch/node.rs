//! What the events must keep about nodes.

use super::{Broken, EventChecker, NodeHistory, ensure, found};
use crate::balance::{Cause, NodeSpec, NodeState, Prices, RETRY_AFTER_MAX, Tier, Why};
use crate::unit::{NodeId, PoolId, RequestId, Time};

impl EventChecker<'_> {
    /// What must hold of the node of a dispatch.
    pub(super) fn eligible(&self, id: RequestId, node: NodeId, why: &Why) -> Result<(), Broken> {
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

    pub(super) fn changed(&mut self, node: NodeId, spec: &NodeSpec) {
        if node.index() == self.nodes.len() {
            let seen = NodeHistory {
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

    pub(super) fn panic(&mut self, pool: PoolId, tier: Tier, on: bool) -> Result<(), Broken> {
        let changed =
            if on { self.panics.insert((pool, tier)) } else { self.panics.remove(&(pool, tier)) };
        ensure!(changed, "I08", "panic in pool {} is told twice", pool.0);
        Ok(())
    }

    pub(super) fn limit(&mut self, node: NodeId, limit: u32) -> Result<(), Broken> {
        let limiter = self.config.pools[self.pool_of(node).index()].limiter;
        let within = limiter.is_some_and(|spec| (spec.min..=spec.max).contains(&limit));
        ensure!(within, "I54", "the limit {limit} of node {} is out of bounds", node.0);
        self.nodes[node.index()].adaptive = Some(limit);
        Ok(())
    }

    pub(super) fn state(
        &mut self,
        node: NodeId,
        from: NodeState,
        to: NodeState,
        cause: Cause,
    ) -> Result<(), Broken> {
        use NodeState::{CoolingDown, Draining, Ejected, Gone, Off, Probing, Starting, Up};
        if !self.alone {
            return Ok(());
        }
        let name = &self.config.nodes.get(node.index()).map_or("?", |spec| spec.name.as_str());
        let seen = &mut self.nodes[node.index()];
        ensure!(seen.state == from, "I14", "{name} was {} and not {from:?}", seen.state.name());
        let legal = match from {
            Up => matches!(to, Ejected | CoolingDown | Draining | Gone),
            CoolingDown => matches!(to, Up | Ejected | Draining | Gone),
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
        if from == CoolingDown && cause == Cause::LimitOver {
            ensure!(self.now >= seen.parked, "I11", "{name} returns before {}", seen.parked);
        }
        seen.state = to;
        // A pause does not end a trial.
        seen.on_trial = match (from, to) {
            (Probing | Starting, Up) => true,
            (Up, CoolingDown) | (CoolingDown, Up) => seen.on_trial,
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
                    NodeState::Up | NodeState::CoolingDown | NodeState::Draining => size += 1,
                }
            }
        }
        let most = self.config.health_in(pool).max_share.of(size).max(1);
        ensure!(out <= most, "I09", "{out} nodes of {size} are ejected, {most} may be");
        Ok(())
    }
}
