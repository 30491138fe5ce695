//! Nodes are watched: how attempts end, probes, ejections, rests and returns.

use super::Balancer;
use crate::balance::fleet::health::{Change, Evidence, NodeHealth, ProbeVerdict};
use crate::balance::health::{Says, evidence, says};
use crate::balance::requests::{AttemptKey, RequestKey};
use crate::balance::timer::Timer;
use crate::balance::vocabulary::action::Action;
use crate::balance::vocabulary::event::Event;
use crate::balance::vocabulary::failure::Refusals;
use crate::balance::vocabulary::outcome::{End, Failure, ProbeResult, TimeoutStage};
use crate::balance::vocabulary::state::Cause;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{ClassId, NodeId, Span, Time};

impl Balancer {
    /// Hears how an attempt ended: what that says of the health of its node, if anything.
    pub(super) fn judge_node(&mut self, this: AttemptKey, end: End, retry_after: Option<Span>) {
        let state = &self.requests[this];
        let (node, class, dispatched) = (state.node, state.facts.class, state.dispatched);
        let streamed = state.first_token.is_some();
        let now = self.now;
        let says = says(end, || self.fleet.node(node).health.is_back_at(dispatched));
        if says == Says::Nothing {
            // Nor that it is well; but where no attempt ever lasts, a trial would not end either.
            let least = self.health.of(&self.fleet, node).eject_base;
            if self.fleet.node(node).health.back_for(now) >= least {
                self.end_trial(node);
            }
            return;
        }
        if says == Says::Refused {
            // Whoever answers is not dead.
            self.fleet.with_health(node, NodeHealth::answers);
            return self.health.refused(now, node);
        }
        self.fleet.with_health(node, |health| health.outcome(now, end.is_wasted(), evidence(end)));
        if end == End::Done {
            self.health.served(node, dispatched);
            self.end_trial(node);
            if !streamed {
                self.find_slow_outlier(node, class, now.since(dispatched));
            }
        }
        if says != Says::Neither {
            let cause = self.health.outlier_by_end(&self.fleet, node, says == Says::Good);
            self.eject_outlier(node, Evidence::Outlier, cause);
        }
        if says == Says::Bad
            && end == End::TimedOut(TimeoutStage::FirstToken)
            && self.health.is_silent(&self.fleet, node, dispatched)
        {
            let cause = Cause::Silent(now.since(dispatched));
            self.eject_outlier(node, Evidence::Failing, Some(cause));
        }
        let pool = self.fleet.node(node).home().0;
        if let Some(base) = self.health.credential_rest(pool, end) {
            self.rest_credential(node, base);
        }
        let busy = end == End::Failed(Failure::Overloaded);
        if end == End::RateLimited || (busy && retry_after.is_some()) {
            let change =
                self.fleet.with_health(node, |health| health.limit(now, retry_after, busy));
            self.cool_down(node, change);
        } else if (says == Says::Bad || (busy && self.is_half_open(node, dispatched)))
            && self.is_due(node, evidence(end))
        {
            self.eject(node, evidence(end), None);
        }
    }

    /// Returns whether an attempt that was dispatched then is the one a node is tried with that comes back
    /// from an ejection. Without room it is not back yet: an engine that is loading says so.
    fn is_half_open(&self, node: NodeId, dispatched: Time) -> bool {
        let there = self.fleet.node(node);
        there.state() == NodeState::Up
            && there.is_half_open()
            && there.health.is_back_at(dispatched)
    }

    /// Counts a blamed failure. Returns whether its node is due for ejection: it has failed often enough
    /// in a row, or has just come back. What an outlier or a credential did to it already is seen here.
    fn is_due(&mut self, node: NodeId, evidence: Evidence) -> bool {
        let settings = *self.health.of(&self.fleet, node);
        let there = self.fleet.node(node);
        let half_open = there.state() == NodeState::Up && there.is_half_open();
        self.fleet.with_health(node, |health| health.blame(&settings, evidence)) || half_open
    }

    /// A node serves a request. Those that said before that it is at fault were wrong: that counts as a
    /// failure of theirs, if the node is of their pool, or what was asked for is not there with them.
    #[inline]
    pub(super) fn contradict(&mut self, key: RequestKey, by: NodeId) {
        if self.requests[key].refusals.pending() != 0 {
            self.contradict_refusals(key, by);
        }
    }

    fn contradict_refusals(&mut self, key: RequestKey, by: NodeId) {
        let refusals = self.requests.settle_fault(key);
        let state = &self.requests[key];
        let (tried, since) = (state.tried, state.dispatched.unwrap_or(self.now));
        let pool = self.fleet.node(by).spec.pool;
        for node in Refusals::of(refusals.request, &tried) {
            let missing = Refusals::of(refusals.missing, &tried).any(|other| other == node);
            if missing || self.fleet.node(node).spec.pool == pool {
                self.blame_refusal(node, since);
            } else {
                let cause = self.health.served_elsewhere(node);
                self.eject_outlier(node, Evidence::Outlier, cause);
            }
        }
    }

    /// A node was wrong to say of a request that was first sent then that it is at fault.
    fn blame_refusal(&mut self, node: NodeId, since: Time) {
        let now = self.now;
        if !self.fleet.node(node).health.is_back_at(since) {
            return;
        }
        self.fleet.with_health(node, |health| health.outcome(now, true, Evidence::Outlier));
        let cause = self.health.outlier_by_end(&self.fleet, node, false);
        self.eject_outlier(node, Evidence::Outlier, cause);
        if self.is_due(node, Evidence::Outlier) {
            let cause = Cause::Refusals(self.fleet.node(node).health.failures());
            // Probes do not know of it: that they pass is no reason to come back sooner.
            self.eject(node, Evidence::Outlier, Some(cause));
        }
    }

    /// A request fails of which nodes said that it is at fault, and none contradicts. Two are believed,
    /// if one of them is not doubted; otherwise they are compared with their peers.
    pub(super) fn believe(&mut self, key: RequestKey) {
        let refusals = self.requests.settle_fault(key);
        if refusals.request == 0 {
            return;
        }
        let tried = self.requests[key].tried;
        let nodes = || Refusals::of(refusals.request, &tried);
        if nodes().count() > 1 && nodes().any(|node| !self.health.doubts(&self.fleet, node)) {
            return;
        }
        for node in nodes() {
            let cause = self.health.outlier_by_refusal(&self.fleet, node);
            self.eject_outlier(node, Evidence::Outlier, cause);
        }
    }

    /// A first token took so long, or a whole answer that did not stream: ejects the node if it is slow
    /// beside its peers.
    #[inline]
    pub(super) fn find_slow_outlier(&mut self, node: NodeId, class: ClassId, took: Span) {
        let cause = self.health.outlier_by_first_token(&self.fleet, (node, class), took);
        self.eject_outlier(node, Evidence::Outlier, cause);
    }

    /// Something good came from a node: it is no longer on trial.
    #[inline]
    pub(super) fn end_trial(&mut self, node: NodeId) {
        if self.fleet.node(node).trial().is_some() {
            self.fleet.try_out(node, None);
            self.fleet.mark_freed();
        }
    }

    // ----- states -----

    /// Declares that a node has changed state, and lets those hear of it whom that concerns.
    pub(super) fn declare_state(&mut self, node: NodeId, (from, to, cause): Change) {
        // Back in service; or ejected amid a panic, and no longer held to the one of its trial.
        self.fleet.mark_freed_if_open(node);
        self.effects.events.push(Event::NodeState { node, from, to, cause });
        self.declare_panic();
        if to == NodeState::Up {
            self.on_up(node, cause);
        } else if !to.is_in_service() {
            self.health.forget(&self.fleet, node);
        }
    }

    /// A node has come into service: new, or back from an ejection.
    pub(super) fn on_up(&mut self, node: NodeId, cause: Cause) {
        let pool = self.fleet.node(node).home().0;
        if let Some(trial) = self.health.trial_of(pool, cause) {
            self.fleet.try_out(node, trial);
            self.health.begin_slow_start(&self.fleet, node, self.now);
        }
        self.eject_dead();
    }

    /// One more node is in service: dead ones that were kept in for want of others need not be any more.
    fn eject_dead(&mut self) {
        for node in self.health.take_dead_kept_in() {
            let settings = self.health.of(&self.fleet, node);
            if self.fleet.node(node).health.is_dead_and_kept_in(settings) {
                self.eject(node, Evidence::Refused, None);
            }
        }
    }

    /// Declares where panic began or ended.
    fn declare_panic(&mut self) {
        for (route, on) in self.fleet.take_panics() {
            if on {
                self.fleet.mark_freed();
            }
            self.effects.events.push(Event::Panic { route, on });
        }
    }

    /// Declares that a node rests, and sets the timer for its end.
    fn cool_down(&mut self, node: NodeId, change: Option<Change>) {
        if let Some(change) = change {
            self.declare_state(node, change);
            self.timers.at(self.fleet.node(node).health.until, Timer::CooldownOver(node));
        }
    }

    /// Ejects a node, if it may be out; one that is being probed is out already. One that is kept in is
    /// said to be, once.
    fn eject(&mut self, node: NodeId, evidence: Evidence, cause: Option<Cause>) {
        let state = self.fleet.node(node).state();
        if state != NodeState::Probing && !self.health.may_eject(&self.fleet, node, evidence) {
            let (news, own) =
                self.fleet.with_health(node, |health| (health.keep_in(), health.cause(evidence)));
            if news {
                let cause = cause.unwrap_or(own);
                self.effects.events.push(Event::KeptIn { node, cause });
            }
            self.health.keep_in(node, evidence);
            return;
        }
        let (now, settings) = (self.now, *self.health.of(&self.fleet, node));
        let draw = self.health.draw_jitter();
        let change = self
            .fleet
            .with_health(node, |health| health.eject(now, (&settings, draw), evidence, cause));
        self.cool_down(node, Some(change));
        self.time_probe(node);
    }

    /// Ejects a node that is up for this cause, if there is one.
    fn eject_outlier(&mut self, node: NodeId, evidence: Evidence, cause: Option<Cause>) {
        if cause.is_some() && self.fleet.node(node).state() == NodeState::Up {
            self.eject(node, evidence, cause);
        }
    }

    /// A node hangs that has said nothing for so long.
    pub(super) fn eject_silent(&mut self, node: NodeId, silent: Span) {
        self.eject_outlier(node, Evidence::Failing, Some(Cause::Silent(silent)));
    }

    /// A node has refused its credential: it rests, and so do all that are asked with the same one.
    fn rest_credential(&mut self, node: NodeId, base: Span) {
        let now = self.now;
        let change = self.fleet.with_health(node, |health| health.refused(now, base));
        self.cool_down(node, change);
        let (refusals, until) = self.fleet.node(node).health.refusal();
        let mut from = 0;
        while let Some(other) = self.fleet.next_of_credential(node, from) {
            from = other.index() + 1;
            let change = self
                .fleet
                .with_health(other, |health| health.refused_elsewhere(now, refusals, until));
            self.cool_down(other, change);
        }
    }

    /// The time of a node's ejection or rest may be over.
    pub(super) fn on_cooldown_over(&mut self, node: NodeId) {
        let now = self.now;
        match self.fleet.with_health(node, |health| health.on_cooldown_over(now)) {
            Some(change) => {
                self.declare_state(node, change);
                // One that is under way is as good.
                if change.1 == NodeState::Probing && !self.fleet.node(node).health.probing {
                    self.probe(node);
                }
                let settings = *self.health.of(&self.fleet, node);
                if let Some(evidence) = self.fleet.node(node).health.due_after_limit(&settings) {
                    self.eject(node, evidence, None);
                }
            }
            // The time was prolonged meanwhile.
            None => {
                self.timers.at(self.fleet.node(node).health.until, Timer::CooldownOver(node));
            }
        }
    }

    // ----- probes -----

    /// Probes a node, as one that is coming back is to be probed.
    pub(super) fn probe(&mut self, node: NodeId) {
        let token = self.health.generates(&self.fleet, node).is_some();
        self.probe_for(node, token);
    }

    fn probe_for(&mut self, node: NodeId, token: bool) {
        let number = self.fleet.with_health(node, |health| health.start_probe(token));
        let settings = self.health.of(&self.fleet, node);
        let (action, timeout) = match settings.recovery.generate.filter(|_| token) {
            Some(generate) => (Action::Generate(node, number), generate.timeout),
            None => (Action::Probe(node, number), settings.probe_timeout),
        };
        self.effects.actions.push(action);
        self.timers.after(self.now, timeout, Timer::ProbeTimeout(node, number));
    }

    /// The answer to a probe came; only the newest one is awaited.
    pub(super) fn probed(&mut self, node: NodeId, number: u32, result: ProbeResult) {
        let awaited = self.fleet.knows(node) && self.fleet.node(node).health.awaits(number);
        if awaited {
            self.hear_probe(node, result);
        } else {
            self.late(None);
        }
    }

    /// The newest probe of a node is answered, or was not in time.
    pub(super) fn hear_probe(&mut self, node: NodeId, result: ProbeResult) {
        let (now, settings) = (self.now, *self.health.of(&self.fleet, node));
        match self.fleet.with_health(node, |health| health.probed(now, result, &settings)) {
            ProbeVerdict::Eject => self.eject(node, Evidence::Probes, None),
            ProbeVerdict::Return => {
                let change = self.fleet.with_health(node, |health| health.come_back(now));
                self.declare_state(node, change);
            }
            ProbeVerdict::Nothing => {
                // Amid a panic an ejected one serves again as soon as its probes do not fail.
                self.fleet.mark_freed_if_open(node);
                self.time_probe(node);
            }
        }
    }

    /// Sets the timer for the next probe of an ejected node: it is asked all through its rest, to learn
    /// when it is well again. One that has to prove that it makes tokens is asked for them as it rests, at
    /// the pace of that.
    fn time_probe(&mut self, node: NodeId) {
        let (now, settings) = (self.now, self.health.of(&self.fleet, node));
        let asked = match self.fleet.node(node).state() {
            NodeState::Ejected => settings.recovery.generate.is_none(),
            NodeState::Probing => true,
            _ => false,
        };
        if asked {
            let pause = settings.probe_pause();
            let before = self.fleet.node(node).health.probe;
            self.timers.after(now, pause, Timer::Reprobe(node, before));
        }
    }

    /// Probes a node in service and again after the interval, jittered by a tenth so that balancers and
    /// nodes do not fall into step. One that is ejected has a timer of its own.
    pub(super) fn probe_due(&mut self, node: NodeId) {
        let settings = self.health.of(&self.fleet, node);
        let Some(every) = settings.probe_every else { return };
        let ejected = self.fleet.node(node).state() == NodeState::Ejected;
        // A probe takes the place of the one before it: one that is not answered yet goes on, or a
        // node that is probed more often than probes time out could hang unseen.
        if self.may_probe(node) && !ejected {
            self.probe(node);
        }
        let next = every.scale(0.9 + 0.2 * self.pauses.unit());
        self.timers.at(self.now + next, Timer::ProbeDue(node));
    }

    /// Asks a node in service, or ejected, for a token, and again after the interval.
    pub(super) fn generate_due(&mut self, node: NodeId) {
        let Some(generate) = self.health.of(&self.fleet, node).recovery.generate else {
            return;
        };
        if self.may_probe(node) {
            self.probe_for(node, true);
        }
        let next = generate.every.scale(0.9 + 0.2 * self.pauses.unit());
        self.timers.at(self.now + next, Timer::Generate(node));
    }

    /// Returns whether a node is in service or ejected, and has answered its last probe. One that has
    /// rested is probed at a pace of its own.
    fn may_probe(&self, node: NodeId) -> bool {
        let health = &self.fleet.node(node).health;
        let state = health.state();
        (state.is_in_service() || state == NodeState::Ejected) && !health.probing
    }

    /// Sets the timers for the first probes of a node, at a random moment of the interval.
    pub(super) fn start_probing(&mut self, node: NodeId) {
        let settings = self.health.of(&self.fleet, node);
        let (probe, generate) = (settings.probe_every, settings.recovery.generate);
        if let Some(every) = probe {
            let first = every.scale(self.pauses.unit());
            self.timers.at(self.now + first, Timer::ProbeDue(node));
        }
        if let Some(generate) = generate {
            let first = generate.every.scale(self.pauses.unit());
            self.timers.at(self.now + first, Timer::Generate(node));
        }
    }
}
