//! The health checker: consecutive failures eject a node, rest and probes bring it back.
//!
//! A node is ejected after so many blamed failures in a row, for a time that doubles with every
//! ejection up to a cap; then it is probed and returns after so many good answers in a row. Where
//! active probing is asked for, failed probes eject too. A node that answers 429, or 503
//! with a time, is not sick: it is left alone until the time it asked for. Beside that every node has a success probability that
//! load-type costs are divided by, so that a node which fails fast never looks attractive.
//! The checker never looks at load and never chooses a node.

pub(super) mod outlier;
pub(super) mod recovery;

use super::balancer::Balancer;
use super::fleet::health::{Change, Verdict};
use super::fleet::node::Node;
use super::spec::health::HealthSettings;
use super::spec::node::Tier;
use super::timer::Alarm;
use super::vocabulary::action::Action;
use super::vocabulary::event::{Cause, Event};
use super::vocabulary::outcome::ProbeResult;
use super::vocabulary::state::NodeState;
use crate::unit::{NodeId, Time};

/// The balancer's dealings with health.
impl Balancer {
    /// Returns how the health of this node is watched: as its pool says, or as all are.
    pub(in crate::balance) fn health_of(&self, node: NodeId) -> &HealthSettings {
        if self.pool_health.is_empty() {
            return &self.health;
        }
        let (pool, _) = self.fleet.node(node).home();
        self.pool_health[pool.index()].as_deref().unwrap_or(&self.health)
    }

    pub(in crate::balance) fn declare_state(&mut self, node: NodeId, (from, to, cause): Change) {
        // Back in service; or ejected amid a panic, and no longer held to the one of its trial.
        self.opened |= self.fleet.is_open(node);
        self.effects.events.push(Event::NodeState { node, from, to, cause });
        self.declare_panic();
        if to == NodeState::Up {
            self.welcome(node, cause);
        } else if !to.is_in_service()
            && let Some(detector) = &mut self.detector
        {
            detector.forget(node, self.fleet.node(node).home());
        }
    }

    /// Declares that a node rests, and sets the alarm for its end.
    pub(in crate::balance) fn rest(&mut self, node: NodeId, change: Option<Change>) {
        if let Some(change) = change {
            self.declare_state(node, change);
            self.timers.at(self.fleet.node(node).health.until, Alarm::Rested(node));
        }
    }

    pub(in crate::balance) fn eject(&mut self, node: NodeId, by_probes: bool) {
        self.eject_for(node, by_probes, None);
    }

    /// Ejects a node that is up for this cause, if one more may be out.
    pub(in crate::balance) fn eject_outlier(&mut self, node: NodeId, cause: Option<Cause>) {
        if cause.is_some() && self.fleet.node(node).state() == NodeState::Up {
            self.eject_for(node, false, cause);
        }
    }

    fn eject_for(&mut self, node: NodeId, by_probes: bool, cause: Option<Cause>) {
        let state = self.fleet.node(node).state();
        if state != NodeState::Probing && !self.may_eject(node) {
            return;
        }
        let (now, settings) = (self.now, *self.health_of(node));
        let draw = self.eject_rng.unit();
        let change = self
            .fleet
            .with_health(node, |health| health.eject(now, (&settings, draw), by_probes, cause));
        self.rest(node, Some(change));
    }

    /// Returns whether one more node of the pool may be out.
    pub(in crate::balance) fn may_eject(&self, node: NodeId) -> bool {
        let pool = self.fleet.node(node).spec.pool;
        let (mut size, mut out) = (0, 0);
        for tier in Tier::ALL {
            for &member in self.fleet.members(pool, tier) {
                match self.fleet.node(member).state() {
                    NodeState::Gone | NodeState::Off | NodeState::Starting => {}
                    NodeState::Ejected | NodeState::Probing => {
                        size += 1;
                        out += 1;
                    }
                    NodeState::Up | NodeState::Limited | NodeState::Draining => size += 1,
                }
            }
        }
        out < self.health_of(node).max_share.of(size).max(1)
    }

    /// Returns when the first of the nodes that rest may be back, where none serves now; a time that
    /// is over is that of a node which is being probed. Where some node serves, when a limit a minute
    /// that somebody waits for has room again. `None` if none rests and nobody waits for that.
    /// Cost: all nodes.
    #[must_use]
    pub fn first_back(&self) -> Option<Time> {
        let nodes = self.fleet.nodes();
        if (0..nodes.len()).any(|node| self.fleet.serves(NodeId(node as u32))) {
            return self.next_allowance();
        }
        let rests = |state: NodeState| state == NodeState::Limited || state.is_ejected();
        nodes.iter().filter(|node| rests(node.state())).map(Node::rests_until).min()
    }

    pub(in crate::balance) fn rested(&mut self, node: NodeId) {
        let now = self.now;
        match self.fleet.with_health(node, |health| health.rested(now)) {
            Some(change) => {
                self.declare_state(node, change);
                if change.1 == NodeState::Probing {
                    self.probe(node);
                }
            }
            // The time was prolonged meanwhile.
            None => self.timers.at(self.fleet.node(node).health.until, Alarm::Rested(node)),
        }
    }

    pub(in crate::balance) fn probe(&mut self, node: NodeId) {
        // One that is coming back has to prove that it makes tokens, where that can be asked.
        let back = self.fleet.node(node).state() == NodeState::Probing;
        self.probe_for(node, back && self.health_of(node).guard.generate.is_some());
    }

    fn probe_for(&mut self, node: NodeId, token: bool) {
        let number = self.fleet.with_health(node, |health| health.start_probe(token));
        let generate = self.health_of(node).guard.generate.filter(|_| token);
        let (action, timeout) = match generate {
            Some(generate) => (Action::Generate(node, number), generate.timeout),
            None => (Action::Probe(node, number), self.health_of(node).probe_timeout),
        };
        self.effects.actions.push(action);
        self.timers.after(self.now, timeout, Alarm::ProbeTimeout(node, number));
    }

    /// Asks a node in service for a token, and again after the interval.
    pub(in crate::balance) fn ask_for_token(&mut self, node: NodeId) {
        let Some(generate) = self.health_of(node).guard.generate else {
            return;
        };
        let health = &self.fleet.node(node).health;
        if health.state().is_in_service() && !health.probing {
            self.probe_for(node, true);
        }
        let next = generate.every.scale(0.9 + 0.2 * self.pause_rng.unit());
        self.timers.at(self.now + next, Alarm::Generate(node));
    }

    pub(in crate::balance) fn probed(&mut self, node: NodeId, number: u32, result: ProbeResult) {
        let awaited = self.fleet.knows(node) && {
            let health = &self.fleet.node(node).health;
            health.probing && health.probe == number
        };
        if awaited {
            self.hear_probe(node, result);
        } else {
            self.late(None);
        }
    }

    pub(in crate::balance) fn hear_probe(&mut self, node: NodeId, result: ProbeResult) {
        let (now, settings) = (self.now, *self.health_of(node));
        match self.fleet.with_health(node, |health| health.probed(result, &settings)) {
            Verdict::Eject => self.eject(node, true),
            Verdict::Return => {
                let change = self.fleet.with_health(node, |health| health.come_back(now));
                self.declare_state(node, change);
            }
            Verdict::Nothing => {
                if self.fleet.node(node).state() == NodeState::Probing {
                    self.timers.after(now, settings.probe_timeout, Alarm::Recheck(node));
                }
            }
        }
    }

    /// Probes a node in service, and again after the interval, jittered by a tenth so that
    /// balancers and nodes do not fall into step.
    pub(in crate::balance) fn patrol(&mut self, node: NodeId) {
        let Some(every) = self.health_of(node).probe_every else {
            return;
        };
        let health = &self.fleet.node(node).health;
        // A probe takes the place of the one before it: one that is not answered yet goes on, or a
        // node that is probed more often than probes time out could hang unseen.
        if health.state().is_in_service() && !health.probing {
            self.probe(node);
        }
        let next = every.scale(0.9 + 0.2 * self.pause_rng.unit());
        self.timers.at(self.now + next, Alarm::Patrol(node));
    }

    pub(in crate::balance) fn start_patrols(&mut self) {
        for node in 0..self.fleet.nodes().len() {
            self.start_patrol(NodeId(node as u32));
        }
    }

    pub(in crate::balance) fn start_patrol(&mut self, node: NodeId) {
        if let Some(every) = self.health_of(node).probe_every {
            let first = every.scale(self.pause_rng.unit());
            self.timers.at(self.now + first, Alarm::Patrol(node));
        }
        if let Some(generate) = self.health_of(node).guard.generate {
            let first = generate.every.scale(self.pause_rng.unit());
            self.timers.at(self.now + first, Alarm::Generate(node));
        }
    }
}
