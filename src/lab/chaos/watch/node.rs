//! What the events must keep about nodes.

use super::{Broken, EventChecker, NodeHistory, ensure, found};
use crate::balance::{
    Cause, End, NodeSpec, NodeState, Prices, RETRY_AFTER_MAX, RouteSpec, TimeoutStage, Why,
};
use crate::unit::{NodeId, RequestId, RouteId, Time};

/// Whether a node has the tags that a route requires, and is of the model that its requests name.
pub(super) fn has_demanded(route: &RouteSpec, spec: &NodeSpec) -> bool {
    let named = route.when.model.is_none_or(|model| model == spec.model);
    named && spec.tags & route.require == route.require
}

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
        let names = self.requests.get(&id).and_then(|history| history.model);
        ensure!(
            names.is_none_or(|model| model == spec.model),
            "I12",
            "{who}: the request names another model"
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
            let panic = self.panics.contains(&why.route);
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
            if self.is_dead(node)
                && let Some(other) = self.healthy(id, why)
            {
                let state = state.name();
                let said = format!("{who}: it is {state} or refuses, and node {other} is open");
                return Err(Broken::new("I56", said));
            }
        }
        Ok(())
    }

    /// Whether health holds a node for dead: it is ejected, or has refused as many connections in a row
    /// as eject.
    fn is_dead(&self, node: NodeId) -> bool {
        self.nodes[node.index()].state.is_ejected() || self.refuses(node)
    }

    /// Whether a node has refused as many connections in a row as eject.
    fn refuses(&self, node: NodeId) -> bool {
        let most = self.config.health_in(self.pool_of(node)).consecutive;
        self.nodes[node.index()].refusals >= most
    }

    /// A node of the route's own pools that is well and has room, whatever its tier.
    fn healthy(&self, id: RequestId, why: &Why) -> Option<usize> {
        let route = &self.config.routes[why.route.index()];
        if self.has_hidden_limits(route) {
            return None;
        }
        let history = self.requests.get(&id)?;
        // What a cascade found wanting is not asked again.
        if history.steps > 0 || self.goes_cheaper(history, why.chosen.node, route) {
            return None;
        }
        let mut others = self.config.nodes.iter().enumerate();
        let other = others.find(|(other, spec)| {
            let (seen, node) = (&self.nodes[*other], NodeId(*other as u32));
            route.to.contains(&spec.pool)
                && has_demanded(route, spec)
                && seen.state == NodeState::Up
                && !self.is_dead(node)
                && !seen.on_trial
                && seen.has_room()
                && !self.was_refused(history, node)
        });
        other.map(|(other, _)| other)
    }

    /// Whether the fold cannot know who has room: batches wait for more of it than one request needs,
    /// and limits a minute and of pools depend on the size of a request.
    pub(super) fn has_hidden_limits(&self, route: &RouteSpec) -> bool {
        let batches = route.to.iter().any(|pool| self.config.pools[pool.index()].batch.is_some());
        batches
            || self.config.pools.iter().any(|pool| !pool.limits.are_none())
            || self.config.nodes.iter().any(|node| node.limits.by_the_minute())
    }

    /// An attempt that was sent after the node came back has ended.
    pub(super) fn refusal(&mut self, node: NodeId, end: End, dispatched: Time) {
        let seen = &mut self.nodes[node.index()];
        match end {
            End::Failed(failure) if failure.is_unreached() => {
                seen.refusals += u32::from(dispatched >= seen.back);
            }
            // What says nothing of the node does not say either that it is alive.
            End::Cancelled | End::Outrun | End::TimedOut(TimeoutStage::Total) => {}
            _ => seen.refusals = 0,
        }
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
                back: self.now,
                refusals: 0,
            };
            self.nodes.push(seen);
        }
        let seen = &mut self.nodes[node.index()];
        (seen.limit, seen.prices) = (spec.limits.concurrency, spec.prices);
    }

    pub(super) fn panic(&mut self, route: RouteId, on: bool) -> Result<(), Broken> {
        let changed = if on { self.panics.insert(route) } else { self.panics.remove(&route) };
        ensure!(changed, "I08", "panic on route {} is told twice", route.0);
        let (well, ill) = self.well_and_ill(&self.config.routes[route.index()]);
        let fits = !on || (well == 0 && ill > 0);
        ensure!(fits, "I08", "route {} panics with {well} well and {ill} ill nodes", route.0);
        Ok(())
    }

    /// Nodes in service and ejected ones, of everything that a route may use.
    fn well_and_ill(&self, route: &RouteSpec) -> (u64, u64) {
        let cheap = || route.degrade.iter().flat_map(|degrade| &degrade.to);
        let nodes = self.nodes.iter().enumerate().filter(|(at, _)| {
            let has = self.config.nodes.get(*at).is_some_and(|spec| has_demanded(route, spec));
            let pool = self.pool_of(NodeId(*at as u32));
            (route.to.contains(&pool) || cheap().any(|cheap| *cheap == pool)) && has
        });
        nodes.fold((0, 0), |(well, ill), (_, seen)| {
            let (in_service, ejected) = (seen.state.is_in_service(), seen.state.is_ejected());
            (well + u64::from(in_service), ill + u64::from(ejected))
        })
    }

    /// A node is kept in although it fails: only where as many are out as may be, and never for what is
    /// known of its probes.
    pub(super) fn kept_in(&mut self, node: NodeId, cause: Cause) -> Result<(), Broken> {
        let by_probes = matches!(cause, Cause::Probes(_) | Cause::NoToken(_));
        ensure!(!by_probes, "I09", "node {} is kept in and its probes fail", node.0);
        // By a share of failures it is worse than its peers, whatever the last of them was.
        let refuses = self.refusing == Some(node) && matches!(cause, Cause::Failures(_));
        let reached = self.routes_of(node).any(|route| {
            let (well, ill) = self.well_and_ill(route);
            ill + 1 > self.most_ejected(node, well + ill)
        });
        let left = self.routes_of(node).any(|route| self.well_and_ill(route).0 > 1);
        let fits = reached && !(refuses && left);
        ensure!(fits, "I09", "node {} is kept in without need", node.0);
        Ok(())
    }

    fn routes_of(&self, node: NodeId) -> impl Iterator<Item = &RouteSpec> {
        let spec = &self.config.nodes[node.index()];
        self.config.routes.iter().filter(|route| {
            let cheap = route.degrade.iter().flat_map(|degrade| &degrade.to);
            route.to.iter().chain(cheap).any(|pool| *pool == spec.pool) && has_demanded(route, spec)
        })
    }

    /// At most a share of all there are is out at a time, or one node.
    fn most_ejected(&self, node: NodeId, all: u64) -> u64 {
        let pool = self.config.nodes[node.index()].pool;
        self.config.health_in(pool).max_share.of(all).max(1)
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
            Ejected => matches!(to, Up | Probing | Draining | Gone),
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
        if to == Up && from != CoolingDown {
            (seen.back, seen.refusals) = (self.now, 0);
        }
        // A pause does not end a trial.
        seen.on_trial = match (from, to) {
            (Ejected | Probing | Starting, Up) => true,
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
            self.ejected(node, cause)?;
        }
        Ok(())
    }

    /// What is dead is out, and what only fails while no more are out than may be.
    fn ejected(&self, node: NodeId, cause: Cause) -> Result<(), Broken> {
        let refuses = self.refusing == Some(node) || self.refuses(node);
        let dead = matches!(cause, Cause::Probes(_) | Cause::NoToken(_))
            || (refuses && self.routes_of(node).any(|route| self.well_and_ill(route).0 > 0));
        for route in self.routes_of(node) {
            let (well, ill) = self.well_and_ill(route);
            let most = self.most_ejected(node, well + ill);
            let all = well + ill;
            ensure!(dead || ill <= most, "I09", "{ill} nodes of {all} are ejected, {most} may be");
        }
        Ok(())
    }
}
