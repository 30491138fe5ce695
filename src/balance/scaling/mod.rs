//! The balancer's dealings with autoscaling: counts what a group has to do, asks [`scale`] how many
//! nodes it wants, and starts, takes back, stops and drains nodes accordingly.
//!
//! A group grows by nodes that still drain on its word, then by nodes that are off. It shrinks by
//! nodes that only start, the last first, then by serving ones with the least in flight; those drain
//! and are off when nothing is in flight on them any more. Ejected nodes are neither: they serve
//! nothing, so they do not count, and they are not idle either, so they are not switched off.
//! What an operator drained or removed stays as the operator left it. Requests that wait count for
//! the first group along their route that can still grow. When work is due is not decided here.

pub(super) mod policy;

pub use policy::{State, Stats, Wanted, tick};

use super::balancer::Balancer;
use super::fleet::Fleet;
use super::fleet::health::Health;
use super::spec::scale::ScaleSpec;
use super::timer::Alarm;
use super::vocabulary::action::Action;
use super::vocabulary::event::Event;
use super::vocabulary::outcome::TOKENS_MAX;
use super::vocabulary::request::Request;
use super::vocabulary::state::NodeState;
use crate::unit::{NodeId, RouteId, Time};

/// A group of nodes that grows and shrinks.
#[derive(Debug)]
pub(in crate::balance) struct Group {
    spec: ScaleSpec,
    state: State,
    /// First tokens, the time they took and the tokens of their prompts; see [`Stats`].
    firsts: u64,
    first_time: u128,
    answered: u64,
    /// What was last wanted, where somebody else carries it out.
    advised: u32,
}

/// All groups; empty, and then free of cost, where nothing is scaled.
#[derive(Debug, Default)]
pub(in crate::balance) struct Scaler {
    pub(in crate::balance) groups: Vec<Group>,
    /// By node: its group.
    group_of: Vec<Option<u16>>,
    /// By node: whether it drains on its group's word.
    leaving: Vec<bool>,
}

impl Scaler {
    pub(in crate::balance) fn new(specs: Vec<ScaleSpec>, nodes: usize) -> Scaler {
        if specs.is_empty() {
            return Scaler::default();
        }
        let mut group_of = vec![None; nodes];
        for (number, spec) in specs.iter().enumerate() {
            for node in &spec.nodes {
                group_of[node.index()] = Some(number as u16);
            }
        }
        let group = |spec: ScaleSpec| Group {
            state: State::new(spec.start),
            firsts: 0,
            first_time: 0,
            answered: 0,
            advised: spec.start,
            spec,
        };
        let groups = specs.into_iter().map(group).collect();
        Scaler { groups, group_of, leaving: vec![false; nodes] }
    }

    /// Returns whether the node drains on its group's word.
    pub(in crate::balance) fn is_leaving(&self, node: NodeId) -> bool {
        self.leaving.get(node.index()).is_some_and(|leaving| *leaving)
    }

    /// Hears of a first token, or of the whole answer if it did not stream.
    pub(in crate::balance) fn count_first(&mut self, now: Time, node: NodeId, request: &Request) {
        if let Some(Some(group)) = self.group_of.get(node.index()) {
            let group = &mut self.groups[usize::from(*group)];
            group.firsts += 1;
            group.first_time += u128::from(now.since(request.arrived).0);
            group.answered = group.answered.saturating_add(request.prompt.0.min(TOKENS_MAX.0));
        }
    }

    fn set_leaving(&mut self, node: NodeId, leaving: bool) {
        if let Some(place) = self.leaving.get_mut(node.index()) {
            *place = leaving;
        }
    }
}

/// Counts nodes that serve and that start.
fn there(fleet: &Fleet, nodes: &[NodeId]) -> (u32, u32) {
    let states = nodes.iter().map(|&node| fleet.node(node).state());
    states.fold((0, 0), |(serving, starting), state| match state {
        NodeState::Up | NodeState::Limited => (serving + 1, starting),
        NodeState::Starting => (serving, starting + 1),
        _ => (serving, starting),
    })
}

impl Balancer {
    /// Switches off the nodes that are not up at the start and sets every group's clock.
    pub(in crate::balance) fn start_scaling(&mut self) {
        for group in 0..self.scaler.groups.len() {
            for node in self.scaler.groups[group].spec.off_at_start().to_vec() {
                self.fleet.with_health(node, Health::off);
            }
            self.next_look(group);
        }
    }

    fn next_look(&mut self, group: usize) {
        let every = self.scaler.groups[group].spec.every;
        self.timers.after(self.now, every, Alarm::Scale(group as u16));
    }

    /// Looks at a group and brings it to the size it wants.
    pub(in crate::balance) fn rescale(&mut self, number: usize) {
        self.next_look(number);
        let stats = self.stats(number);
        let now = self.now;
        let group = &mut self.scaler.groups[number];
        let wanted = tick(now, &stats, &group.spec, &mut group.state);
        let from = stats.serving + stats.starting;
        if group.spec.advise {
            if std::mem::replace(&mut group.advised, wanted.nodes) != wanted.nodes {
                self.declare_scaled(number, from, wanted);
            }
            return;
        }
        let changes = if wanted.nodes > from {
            self.grow(number, wanted.nodes - from)
        } else {
            self.shrink(number, from - wanted.nodes)
        };
        let count = changes.len() as u32;
        let nodes = if wanted.nodes > from { from + count } else { from - count };
        if count > 0 {
            self.declare_scaled(number, from, Wanted { nodes, ..wanted });
        }
        for (node, to) in changes {
            self.resize(node, to);
        }
    }

    fn declare_scaled(&mut self, number: usize, from: u32, wanted: Wanted) {
        let (group, to, reason) = (number as u16, wanted.nodes, wanted.reason);
        self.effects.events.push(Event::Scaled { group, from, to, reason });
    }

    /// Nodes to take back or to start.
    fn grow(&self, number: usize, count: u32) -> Vec<(NodeId, NodeState)> {
        let nodes = &self.scaler.groups[number].spec.nodes;
        let state = |node: NodeId| self.fleet.node(node).state();
        let back = nodes
            .iter()
            .filter(|&&node| state(node) == NodeState::Draining && self.scaler.is_leaving(node));
        let off = nodes.iter().filter(|&&node| state(node) == NodeState::Off);
        let back = back.map(|&node| (node, NodeState::Up));
        back.chain(off.map(|&node| (node, NodeState::Starting))).take(count as usize).collect()
    }

    /// Nodes to stop or to drain.
    fn shrink(&self, number: usize, count: u32) -> Vec<(NodeId, NodeState)> {
        let nodes = &self.scaler.groups[number].spec.nodes;
        let state = |node: NodeId| self.fleet.node(node).state();
        let starting = nodes.iter().rev().filter(|&&node| state(node) == NodeState::Starting);
        let mut serving: Vec<NodeId> = nodes.iter().rev().copied().collect();
        serving.retain(|&node| state(node).is_in_service());
        // The sort is stable: of equals the last of the file goes first.
        serving.sort_by_key(|&node| self.fleet.node(node).ledger.requests);
        let starting = starting.map(|&node| (node, NodeState::Off));
        let serving = serving.into_iter().map(|node| (node, NodeState::Draining));
        starting.chain(serving).take(count as usize).collect()
    }

    fn resize(&mut self, node: NodeId, to: NodeState) {
        let now = self.now;
        let change = self.fleet.with_health(node, |health| health.scale(now, to));
        self.declare_state(node, change);
        self.scaler.set_leaving(node, to == NodeState::Draining);
        match to {
            NodeState::Starting => self.effects.actions.push(Action::Start(node)),
            NodeState::Off => self.effects.actions.push(Action::Stop(node)),
            _ => self.leave_if_empty(node),
        }
    }

    /// Switches a node off that has drained on its group's word.
    pub(in crate::balance) fn leave_if_empty(&mut self, node: NodeId) {
        let this = self.fleet.node(node);
        let empty = this.state() == NodeState::Draining && this.ledger.requests == 0;
        if empty && self.scaler.is_leaving(node) {
            self.resize(node, NodeState::Off);
        }
    }

    /// The node has started. Word about a node that was not starting is late.
    pub(in crate::balance) fn ready(&mut self, node: NodeId) {
        if self.fleet.knows(node) && self.fleet.node(node).state() == NodeState::Starting {
            let now = self.now;
            let change = self.fleet.with_health(node, |health| health.started(now));
            self.declare_state(node, change);
        } else {
            self.late(None);
        }
    }

    /// An operator's word comes before a group's. Returns whether it is carried out already: a start
    /// that is called off.
    pub(in crate::balance) fn overrule(&mut self, node: NodeId, to: NodeState) -> bool {
        self.scaler.set_leaving(node, false);
        let starts = self.fleet.knows(node) && self.fleet.node(node).state() == NodeState::Starting;
        match to {
            NodeState::Draining if starts => self.resize(node, NodeState::Off),
            NodeState::Gone if starts => self.effects.actions.push(Action::Stop(node)),
            _ => {}
        }
        starts && to == NodeState::Draining
    }

    /// Counts what a group has and has to do. Cost: its nodes and the requests that wait.
    fn stats(&self, number: usize) -> Stats {
        let group = &self.scaler.groups[number];
        let (serving, starting) = there(&self.fleet, &group.spec.nodes);
        let mut stats = Stats {
            serving,
            starting,
            firsts: group.firsts,
            first_time: group.first_time,
            answered_tokens: group.answered,
            ..Stats::default()
        };
        for &id in &group.spec.nodes {
            let node = self.fleet.node(id);
            stats.in_flight += u64::from(node.ledger.requests);
            stats.tokens += node.ledger.kv.0 + node.ledger.output.0;
            stats.unanswered += u64::from(node.ledger.prefilling);
            stats.unanswered_tokens += node.ledger.prompt.0;
            let report = self.fleet.report(id, self.now);
            stats.queued += report.map_or(0, |report| u64::from(report.waiting));
        }
        for index in 0..self.routes.count() {
            let route = RouteId(index as u16);
            if self.is_due(route) == Some(number) {
                for live in self.waiting_on(route) {
                    let output = self.expected(live);
                    let prompt = live.request.prompt.0.min(TOKENS_MAX.0);
                    stats.waiting += 1;
                    stats.tokens = stats.tokens.saturating_add(prompt + output.0);
                    stats.unanswered += 1;
                    stats.unanswered_tokens = stats.unanswered_tokens.saturating_add(prompt);
                }
            }
        }
        stats
    }

    /// Returns the group that those who wait on a route count for.
    fn is_due(&self, route: RouteId) -> Option<usize> {
        let route = self.routes.get(route);
        let mut first = None;
        for &pool in &route.to {
            for (number, group) in self.scaler.groups.iter().enumerate() {
                let serves =
                    group.spec.nodes.iter().map(|&node| self.fleet.node(node)).any(|node| {
                        node.spec.pool == pool && node.spec.tags & route.require == route.require
                    });
                if !serves {
                    continue;
                }
                let (serving, starting) = there(&self.fleet, &group.spec.nodes);
                if serving + starting < group.spec.max {
                    return Some(number);
                }
                first = first.or(Some(number));
            }
        }
        first
    }
}
