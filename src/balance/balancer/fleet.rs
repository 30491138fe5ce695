//! The fleet changes: by operators, by scaling, by what peers and nodes say; and timers go off.

use super::Balancer;
use crate::balance::fleet::Fleet;
use crate::balance::fleet::health::NodeHealth;
use crate::balance::overload::{OverloadChange, Surroundings};
use crate::balance::requests::{Phase, Requests};
use crate::balance::scaling::{ScaleStats, count_waiting};
use crate::balance::spec::node::NodeSpec;
use crate::balance::timer::Timer;
use crate::balance::vocabulary::action::Action;
use crate::balance::vocabulary::event::Event;
use crate::balance::vocabulary::input::{Control, FleetChange};
use crate::balance::vocabulary::outcome::{End, Failure, Fate, ProbeResult, Reject, TimeoutStage};
use crate::balance::vocabulary::report::{NodeReport, PeerLoad};
use crate::balance::vocabulary::state::Cause;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{NodeId, PeerId, RouteId};

impl Balancer {
    /// Brings the parts to where they begin, at time zero. The order is that in which timers of equal
    /// times go off.
    pub(super) fn start(&mut self) {
        let nodes = 0..self.fleet.nodes().len() as u32;
        nodes.clone().for_each(|node| self.limit(NodeId(node)));
        self.router.find_eligible(&self.fleet);
        nodes.for_each(|node| self.start_probing(NodeId(node)));
        for group in 0..self.scaling.count() {
            for node in self.scaling.off_at_start(group).to_vec() {
                self.fleet.with_health(node, NodeHealth::off);
            }
            self.time_look(group);
        }
        self.drop_idle_timers();
    }

    /// Gives a node its limiter, if its pool has them.
    fn limit(&mut self, node: NodeId) {
        let pool = self.fleet.node(node).home().0;
        if let Some(limit) = self.limiters.add(node, pool) {
            self.fleet.adapt(node, Some(limit));
        }
    }

    // ----- timers -----

    /// The time that was asked for has come.
    pub(super) fn wake(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            if has_purpose(&self.requests, &self.fleet, &timer) {
                self.on_timer(timer);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::FirstToken(this) => self.first_token_overdue(this),
            Timer::Deadline(key) => {
                self.settle(key, Fate::Failed(End::TimedOut(TimeoutStage::Total)));
            }
            Timer::GiveUp(key, _) => self.reject(key, Reject::WaitedTooLong),
            Timer::Backoff(key) => self.dispatch_or_queue(key),
            Timer::CooldownOver(node) => self.on_cooldown_over(node),
            Timer::Reprobe(node, _) => self.probe(node),
            Timer::ProbeDue(node) => self.probe_due(node),
            Timer::Generate(node) => self.generate_due(node),
            Timer::Scale(group) => self.rescale(usize::from(group)),
            Timer::Window(pool) => self.window_over(pool),
            Timer::ProbeTimeout(node, _) => {
                self.hear_probe(node, ProbeResult::Failed(Failure::Stalled));
            }
            Timer::Silence(peer, _) => self.fleet.silence(peer),
            Timer::Hedge(this) => self.hedge(this),
            Timer::QuotaRefill => {
                self.quotas.on_refill();
                self.fleet.mark_freed();
            }
            Timer::Saturation => {
                // What was due was done when the machine woke.
                self.overload.on_timer();
                self.watch_saturation();
            }
        }
    }

    /// Drops timers without a purpose and finds the next time to wake.
    pub(super) fn drop_idle_timers(&mut self) {
        let (requests, fleet) = (&self.requests, &self.fleet);
        self.timers.settle(|timer| has_purpose(requests, fleet, timer));
    }

    // ----- saturation -----

    /// Does what was due about saturation since the last input.
    pub(super) fn catch_up_on_saturation(&mut self) {
        let around = Surroundings {
            fleet: &self.fleet,
            waiting: self.queue.by_route(),
            waiting_max: self.queue.settings().max,
            in_system: self.requests.in_system(),
        };
        self.overload.catch_up(self.now, around);
        while let Some(change) = self.overload.next_change() {
            let event = match change {
                OverloadChange::Shedding { route, priority, on, saturation } => {
                    Event::Shedding { route, priority, on, saturation }
                }
                OverloadChange::Level { route, from, to, saturation, threshold } => {
                    // Whoever waits may use other pools now.
                    self.fleet.mark_freed();
                    Event::DegradeLevel { route, from, to, saturation, threshold }
                }
            };
            self.effects.events.push(event);
        }
        self.watch_saturation();
    }

    /// Sees to it that saturation is found in time, if somebody may depend on it.
    pub(super) fn watch_saturation(&mut self) {
        if let Some(at) = self.overload.watch(self.queue.waiting() > 0) {
            self.timers.at(at, Timer::Saturation);
        }
    }

    // ----- what others say -----

    /// A peer says what it has in flight.
    pub(super) fn hear_peer(&mut self, peer: PeerId, load: PeerLoad) {
        match self.fleet.hear_peer(peer, self.now, load) {
            Some((number, until)) if until > self.now => {
                self.timers.at(until, Timer::Silence(peer, number));
            }
            Some(_) => self.fleet.silence(peer),
            None => self.late(None),
        }
    }

    /// A node says something of itself.
    pub(super) fn hear_report(&mut self, node: NodeId, report: NodeReport) {
        if self.is_part(node) {
            self.fleet.hear_report(node, self.now, report);
        } else {
            self.late(None);
        }
    }

    /// Returns whether there is such a node, and it is not gone.
    fn is_part(&self, node: NodeId) -> bool {
        self.fleet.knows(node) && self.fleet.node(node).state() != NodeState::Gone
    }

    // ----- operators -----

    /// The fleet is another one now.
    pub(super) fn change_fleet(&mut self, change: FleetChange) {
        match change {
            FleetChange::Add(spec) if !self.strategies.has(spec.pool) || spec.weight == 0 => {
                self.late(None);
            }
            FleetChange::Add(spec) => {
                let node = self.fleet.add(*spec);
                self.limit(node);
                self.fleet.mark_freed();
                self.start_probing(node);
                self.declare_changed(node);
                self.on_up(node, Cause::Started);
            }
            FleetChange::Ready(node) => self.ready(node),
            FleetChange::Drain(node) => self.operate(node, NodeState::Draining),
            FleetChange::Resume(node) => self.operate(node, NodeState::Up),
            FleetChange::Remove(node) => self.operate(node, NodeState::Gone),
            FleetChange::Reprice(node, prices) => self.respec(node, |spec| spec.prices = prices),
            FleetChange::Relimit(node, limits) => self.respec(node, |spec| spec.limits = limits),
        }
        self.router.find_eligible(&self.fleet);
        self.reject_homeless();
    }

    /// A person changed something.
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::Strategy(pool, _) if !self.strategies.has(pool) => self.late(None),
            Control::Strategy(pool, to) => {
                let from = self.strategies.exchange(pool, to.clone());
                // What the old strategy let wait, the new one may take.
                self.fleet.mark_freed();
                self.effects.events.push(Event::Strategy { pool, from, to });
            }
            Control::Weight(node, weight) => self.respec(node, |spec| spec.weight = weight.max(1)),
            Control::Mark(mark) => self.effects.events.push(Event::Mark(mark)),
        }
    }

    /// An operator wants a node in another state. That comes before what its group wants.
    fn operate(&mut self, node: NodeId, to: NodeState) {
        if self.overrule(node, to) {
            return;
        }
        if !self.is_part(node) {
            return self.late(None);
        }
        let now = self.now;
        let change = self.fleet.with_health(node, |health| health.operate(now, to));
        self.fleet.mark_freed();
        if let Some(change) = change {
            self.declare_state(node, change);
        }
    }

    /// Changes the configuration of a node that exists; word about any other is late.
    fn respec(&mut self, node: NodeId, change: impl FnOnce(&mut NodeSpec)) {
        if !self.is_part(node) {
            return self.late(None);
        }
        self.fleet.respec(node, change);
        self.fleet.mark_freed();
        self.declare_changed(node);
    }

    fn declare_changed(&mut self, node: NodeId) {
        let spec = self.fleet.node(node).spec.clone();
        self.effects.events.push(Event::NodeChanged { node, spec });
    }

    // ----- scaling -----

    fn time_look(&mut self, group: usize) {
        let every = self.scaling.every(group);
        self.timers.after(self.now, every, Timer::Scale(group as u16));
    }

    /// Looks at a group and brings it to the size it wants.
    fn rescale(&mut self, number: usize) {
        self.time_look(number);
        let stats = self.stats(number);
        let scaling = self.scaling.look(self.now, number, &stats, &self.fleet);
        if let Some((from, to, reason)) = scaling.said {
            let group = number as u16;
            self.effects.events.push(Event::Scaled { group, from, to, reason });
        }
        for (node, to) in scaling.changes {
            self.resize(node, to);
        }
    }

    /// Counts what a group has and has to do. Cost: its nodes and the requests that wait.
    fn stats(&self, number: usize) -> ScaleStats {
        let mut stats = self.scaling.stats(self.now, number, &self.fleet);
        for index in 0..self.router.count() {
            let route = RouteId(index as u16);
            let group = self.scaling.group_for(self.router.spec(route), &self.fleet);
            if group == Some(number) {
                for state in self.waiting_on(route) {
                    let expected = self.outputs.of(&state.request, state.resumed);
                    count_waiting(&mut stats, &state.request, expected);
                }
            }
        }
        stats
    }

    fn resize(&mut self, node: NodeId, to: NodeState) {
        let now = self.now;
        let change = self.fleet.with_health(node, |health| health.scale(now, to));
        self.declare_state(node, change);
        self.scaling.set_leaving(node, to == NodeState::Draining);
        match to {
            NodeState::Starting => self.effects.actions.push(Action::Start(node)),
            NodeState::Off => self.effects.actions.push(Action::Stop(node)),
            _ => self.leave_if_empty(node),
        }
    }

    /// Switches a node off that has drained on its group's word.
    #[inline]
    pub(super) fn leave_if_empty(&mut self, node: NodeId) {
        if self.scaling.has_left(&self.fleet, node) {
            self.resize(node, NodeState::Off);
        }
    }

    /// The node has started. Word about a node that was not starting is late.
    fn ready(&mut self, node: NodeId) {
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
    fn overrule(&mut self, node: NodeId, to: NodeState) -> bool {
        if !self.scaling.is_on() {
            return false;
        }
        self.scaling.set_leaving(node, false);
        let starts = self.fleet.knows(node) && self.fleet.node(node).state() == NodeState::Starting;
        match to {
            NodeState::Draining if starts => self.resize(node, NodeState::Off),
            NodeState::Gone if starts => self.effects.actions.push(Action::Stop(node)),
            _ => {}
        }
        starts && to == NodeState::Draining
    }
}

/// Returns whether a timer still has a purpose.
fn has_purpose(requests: &Requests, fleet: &Fleet, timer: &Timer) -> bool {
    let phase = |key| requests.get(key).map(|state| state.phase);
    match *timer {
        Timer::FirstToken(this) | Timer::Hedge(this) => requests
            .get_attempt(this)
            .is_some_and(|this| this.first_token.is_none() && this.closing.is_none()),
        Timer::Deadline(key) => phase(key).is_some_and(|phase| phase != Phase::Settled),
        Timer::GiveUp(key, ticket) => requests.waits_with(key, ticket),
        Timer::Backoff(key) => phase(key) == Some(Phase::Backoff),
        Timer::CooldownOver(node) => {
            matches!(fleet.node(node).state(), NodeState::CoolingDown | NodeState::Ejected)
        }
        Timer::Reprobe(node, before) => fleet.node(node).health.is_probe_due(before),
        Timer::Scale(_) | Timer::Window(_) | Timer::QuotaRefill | Timer::Saturation => true,
        Timer::ProbeDue(node) | Timer::Generate(node) => {
            fleet.node(node).state() != NodeState::Gone
        }
        Timer::ProbeTimeout(node, number) => fleet.node(node).health.awaits(number),
        Timer::Silence(peer, number) => fleet.load_reports().is_last_word(peer, number),
    }
}
