//! Scaling groups: what a group of nodes has to do, how many nodes it wants (see `policy`), and which
//! of them are to start, to be taken back, to stop or to drain.
//!
//! A group grows by nodes that still drain on its word, then by nodes that are off. It shrinks by
//! nodes that only start, the last first, then by serving ones with the least in flight; those drain
//! and are off when nothing is in flight on them any more. Ejected nodes are neither: they serve
//! nothing, so they do not count, and they are not idle either, so they are not switched off.
//! What an operator drained or removed stays as the operator left it. Requests that wait count for
//! the first group along their route that can still grow. When work is due is not decided here.

pub(super) mod policy;

pub use policy::{ScaleDecision, ScaleState, ScaleStats, tick};

use super::fleet::Fleet;
use super::spec::route::RouteSpec;
use super::spec::scale::{Reason, ScaleSpec};
use super::vocabulary::outcome::TOKENS_MAX;
use super::vocabulary::request::Request;
use super::vocabulary::state::NodeState;
use crate::unit::{NodeId, Span, Time, Tokens};

/// A group of nodes that grows and shrinks.
#[derive(Debug)]
struct ScalingGroup {
    spec: ScaleSpec,
    state: ScaleState,
    /// First tokens, the time they took and the tokens of their prompts; see [`ScaleStats`].
    firsts: u64,
    first_time: u128,
    answered: u64,
    /// What was last wanted, where somebody else carries it out.
    advised: u32,
}

/// All groups; empty, and then free of cost, where nothing is scaled.
#[derive(Debug, Default)]
pub(super) struct ScalingGroups {
    groups: Vec<ScalingGroup>,
    /// By node: its group.
    group_of: Vec<Option<u16>>,
    /// By node: whether it drains on its group's word.
    leaving: Vec<bool>,
}

/// What a group has decided.
#[derive(Debug, Default)]
pub(super) struct Scaling {
    /// What is to be said of it, if anything: nodes before, nodes from now on, and why.
    pub(super) said: Option<(u32, u32, Reason)>,
    /// Nodes that change, and what they become.
    pub(super) changes: Vec<(NodeId, NodeState)>,
}

impl ScalingGroups {
    /// The groups of a fleet of so many nodes, as configured.
    pub(super) fn new(specs: Vec<ScaleSpec>, nodes: usize) -> ScalingGroups {
        if specs.is_empty() {
            return ScalingGroups::default();
        }
        let mut group_of = vec![None; nodes];
        for (number, spec) in specs.iter().enumerate() {
            for node in &spec.nodes {
                group_of[node.index()] = Some(number as u16);
            }
        }
        let group = |spec: ScaleSpec| ScalingGroup {
            state: ScaleState::new(spec.start),
            firsts: 0,
            first_time: 0,
            answered: 0,
            advised: spec.start,
            spec,
        };
        let groups = specs.into_iter().map(group).collect();
        ScalingGroups { groups, group_of, leaving: vec![false; nodes] }
    }

    /// Returns whether anything is scaled.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Returns the number of groups.
    pub(super) const fn count(&self) -> usize {
        self.groups.len()
    }

    /// Returns how often a group is looked at.
    pub(super) fn every(&self, group: usize) -> Span {
        self.groups[group].spec.every
    }

    /// Returns the nodes of a group that are off at the start.
    pub(super) fn off_at_start(&self, group: usize) -> &[NodeId] {
        self.groups[group].spec.off_at_start()
    }

    /// Returns whether the node drains on its group's word.
    #[inline]
    fn is_leaving(&self, node: NodeId) -> bool {
        self.leaving.get(node.index()).is_some_and(|leaving| *leaving)
    }

    /// Returns whether a node has drained on its group's word and is to be switched off.
    #[inline]
    pub(super) fn has_left(&self, fleet: &Fleet, node: NodeId) -> bool {
        if !self.is_leaving(node) {
            return false;
        }
        let this = fleet.node(node);
        this.state() == NodeState::Draining && this.ledger.requests == 0
    }

    /// Says whether a node drains on its group's word.
    pub(super) fn set_leaving(&mut self, node: NodeId, leaving: bool) {
        if let Some(place) = self.leaving.get_mut(node.index()) {
            *place = leaving;
        }
    }

    /// Hears of a first token, or of the whole answer if it did not stream.
    pub(super) fn on_first_token(&mut self, now: Time, node: NodeId, request: &Request) {
        if let Some(Some(group)) = self.group_of.get(node.index()) {
            let group = &mut self.groups[usize::from(*group)];
            group.firsts += 1;
            group.first_time += u128::from(now.since(request.arrived).0);
            group.answered = group.answered.saturating_add(request.prompt.0.min(TOKENS_MAX.0));
        }
    }

    /// Looks at a group, for which the requests that wait are counted in `stats` already, and decides
    /// what is to change.
    pub(super) fn look(
        &mut self,
        now: Time,
        number: usize,
        stats: &ScaleStats,
        fleet: &Fleet,
    ) -> Scaling {
        let group = &mut self.groups[number];
        let wanted = tick(now, stats, &group.spec, &mut group.state);
        let from = stats.serving + stats.starting;
        if group.spec.advise {
            let news = std::mem::replace(&mut group.advised, wanted.nodes) != wanted.nodes;
            let said = news.then_some((from, wanted.nodes, wanted.reason));
            return Scaling { said, changes: Vec::new() };
        }
        let changes = if wanted.nodes > from {
            self.grow(fleet, number, wanted.nodes - from)
        } else {
            self.shrink(fleet, number, from - wanted.nodes)
        };
        let count = changes.len() as u32;
        let nodes = if wanted.nodes > from { from + count } else { from - count };
        Scaling { said: (count > 0).then_some((from, nodes, wanted.reason)), changes }
    }

    /// Nodes to take back or to start.
    fn grow(&self, fleet: &Fleet, number: usize, count: u32) -> Vec<(NodeId, NodeState)> {
        let nodes = &self.groups[number].spec.nodes;
        let state = |node: NodeId| fleet.node(node).state();
        let back = nodes
            .iter()
            .filter(|&&node| state(node) == NodeState::Draining && self.is_leaving(node));
        let off = nodes.iter().filter(|&&node| state(node) == NodeState::Off);
        let back = back.map(|&node| (node, NodeState::Up));
        back.chain(off.map(|&node| (node, NodeState::Starting))).take(count as usize).collect()
    }

    /// Nodes to stop or to drain.
    fn shrink(&self, fleet: &Fleet, number: usize, count: u32) -> Vec<(NodeId, NodeState)> {
        let nodes = &self.groups[number].spec.nodes;
        let state = |node: NodeId| fleet.node(node).state();
        let starting = nodes.iter().rev().filter(|&&node| state(node) == NodeState::Starting);
        let mut serving: Vec<NodeId> = nodes.iter().rev().copied().collect();
        serving.retain(|&node| state(node).is_in_service());
        // The sort is stable: of equals the last of the file goes first.
        serving.sort_by_key(|&node| fleet.node(node).ledger.requests);
        let starting = starting.map(|&node| (node, NodeState::Off));
        let serving = serving.into_iter().map(|node| (node, NodeState::Draining));
        starting.chain(serving).take(count as usize).collect()
    }

    /// Counts what a group has and what its nodes have to do; those who wait are to be added with
    /// [`count_waiting`]. Cost: its nodes.
    pub(super) fn stats(&self, now: Time, number: usize, fleet: &Fleet) -> ScaleStats {
        let group = &self.groups[number];
        let (serving, starting) = there(fleet, &group.spec.nodes);
        let mut stats = ScaleStats {
            serving,
            starting,
            firsts: group.firsts,
            first_time: group.first_time,
            answered_tokens: group.answered,
            ..ScaleStats::default()
        };
        for &id in &group.spec.nodes {
            let node = fleet.node(id);
            stats.in_flight += u64::from(node.ledger.requests);
            stats.tokens += node.ledger.kv.0 + node.ledger.output.0;
            stats.unanswered += u64::from(node.ledger.prefilling);
            stats.unanswered_tokens += node.ledger.prompt.0;
            let report = fleet.report(id, now);
            stats.queued += report.map_or(0, |report| u64::from(report.waiting));
        }
        stats
    }

    /// Returns the group that those who wait on a route count for.
    pub(super) fn group_for(&self, route: &RouteSpec, fleet: &Fleet) -> Option<usize> {
        let mut first = None;
        for &pool in &route.to {
            for (number, group) in self.groups.iter().enumerate() {
                let mut nodes = group.spec.nodes.iter().map(|&node| fleet.node(node));
                let serves = nodes
                    .any(|node| node.spec.pool == pool && route.demands().are_met_by(&node.spec));
                if !serves {
                    continue;
                }
                let (serving, starting) = there(fleet, &group.spec.nodes);
                if serving + starting < group.spec.max {
                    return Some(number);
                }
                first = first.or(Some(number));
            }
        }
        first
    }
}

/// Counts a request that waits, and the answer that is expected.
pub(super) fn count_waiting(stats: &mut ScaleStats, request: &Request, expected: Tokens) {
    let prompt = request.prompt.0.min(TOKENS_MAX.0);
    stats.waiting += 1;
    stats.tokens = stats.tokens.saturating_add(prompt + expected.0);
    stats.unanswered += 1;
    stats.unanswered_tokens = stats.unanswered_tokens.saturating_add(prompt);
}

/// Counts nodes that serve and that start.
fn there(fleet: &Fleet, nodes: &[NodeId]) -> (u32, u32) {
    let states = nodes.iter().map(|&node| fleet.node(node).state());
    states.fold((0, 0), |(serving, starting), state| match state {
        NodeState::Up | NodeState::CoolingDown => (serving + 1, starting),
        NodeState::Starting => (serving, starting + 1),
        _ => (serving, starting),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::{at, config};
    use crate::balance::fleet::health::NodeHealth;
    use crate::balance::spec::scale::Target;
    use crate::unit::Ratio;

    /// Four nodes of which two serve, held to one request in flight each.
    fn groups() -> (ScalingGroups, Fleet) {
        let spec = ScaleSpec {
            name: "g".to_owned(),
            nodes: (0..4).map(NodeId).collect(),
            start: 2,
            min: 1,
            max: 4,
            target: Target::InFlight(1),
            every: Span::from_secs(1),
            down_after: Span::from_secs(1),
            up_max: Ratio(10_000_000),
            down_max: Ratio::ONE,
            tolerance: Ratio::ZERO,
            advise: false,
        };
        let mut fleet = Fleet::new(1, config(1, 4).nodes);
        let groups = ScalingGroups::new(vec![spec], 4);
        for node in groups.off_at_start(0) {
            fleet.with_health(*node, NodeHealth::off);
        }
        (groups, fleet)
    }

    #[test]
    fn a_group_starts_nodes_that_are_off_and_takes_back_those_that_leave() {
        let (mut groups, mut fleet) = groups();
        let busy = |fleet: &Fleet, groups: &ScalingGroups| ScaleStats {
            in_flight: 4,
            ..groups.stats(at(1), 0, fleet)
        };
        groups.set_leaving(NodeId(1), true);
        fleet.with_health(NodeId(1), |health| health.operate(at(0), NodeState::Draining));
        let stats = busy(&fleet, &groups);
        assert_eq!((stats.serving, stats.starting), (1, 0));
        let scaling = groups.look(at(1), 0, &stats, &fleet);
        let starts = |node| (NodeId(node), NodeState::Starting);
        assert_eq!(scaling.changes, [(NodeId(1), NodeState::Up), starts(2), starts(3)]);
        assert_eq!(scaling.said.map(|(from, to, _)| (from, to)), Some((1, 4)));
    }

    #[test]
    fn a_group_shrinks_by_who_starts_then_by_who_has_least_to_do() {
        let (mut groups, mut fleet) = groups();
        fleet.with_health(NodeId(2), |health| health.scale(at(0), NodeState::Starting));
        fleet.start(NodeId(1), at(0), Tokens(1), Tokens(1));
        let stats = ScaleStats { in_flight: 0, ..groups.stats(at(90), 0, &fleet) };
        let scaling = groups.look(at(90), 0, &stats, &fleet);
        let wanted = [(NodeId(2), NodeState::Off), (NodeId(0), NodeState::Draining)];
        assert_eq!(scaling.changes, wanted);
        groups.set_leaving(NodeId(0), true);
        assert!(!groups.has_left(&fleet, NodeId(0)), "it serves still");
        fleet.with_health(NodeId(0), |health| health.scale(at(90), NodeState::Draining));
        assert!(groups.has_left(&fleet, NodeId(0)));
    }
}
