//! The health checker: consecutive failures eject a node, rest and probes bring it back.
//!
//! A node is ejected after so many blamed failures in a row, for a time that doubles with every
//! ejection up to a cap; then it is probed and returns after so many good answers in a row. Where
//! active probing is asked for, failed probes eject too. A node that answers 429, or 503
//! with a time, is not sick: it is left alone until the time it asked for. Beside that every node has a success probability that
//! load-type costs are divided by, so that a node which fails fast never looks attractive.
//! The checker never looks at load and never chooses a node.

use serde::{Deserialize, Serialize};

use super::balancer::Balancer;
use super::event::{Action, Cause, Event, ProbeResult};
use super::fleet::{Node, NodeState, Tier};
use super::guard::Guard;
use super::timer::Alarm;
use crate::unit::{NodeId, Ratio, Span, Time};

/// How the health of nodes is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSettings {
    /// Probes while a node is up; `None` probes only ejected ones.
    pub probe_every: Option<Span>,
    /// A probe without an answer for so long has failed. Also the pause between the probes of an
    /// ejected node.
    pub probe_timeout: Span,
    /// So many failed probes in a row eject.
    pub fall: u32,
    /// So many good probes in a row bring an ejected node back.
    pub rise: u32,
    /// So many blamed failures in a row eject.
    pub consecutive: u32,
    /// Time of the first ejection; every further one doubles it.
    pub eject_base: Span,
    /// No ejection lasts longer.
    pub eject_cap: Span,
    /// At most this share of a pool's nodes is ejected at a time, but at least one node may be.
    pub max_share: Ratio,
    /// How nodes that are new, come back or may be sick are treated.
    #[serde(default, skip_serializing_if = "Guard::is_default")]
    pub guard: Guard,
    /// An ejection is longer by up to this share of its time, drawn anew each time, so that nodes which
    /// failed together do not come back together. The cap holds all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub eject_jitter: Ratio,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(share: &Ratio) -> bool {
    *share == Ratio::ZERO
}

impl HealthSettings {
    /// Returns how long an ejection lasts after so many before it; `draw` is uniform from zero to one.
    fn rest(&self, ejections: u32, draw: f64) -> Span {
        let time = self.eject_base.0.saturating_mul(1 << ejections.min(30));
        let time = Span(time).min(self.eject_cap);
        let jitter = self.eject_jitter.value();
        if jitter == 0.0 {
            return time;
        }
        // What the cap cuts off would be jitter again: below it there is room for all of it.
        let time = time.min(self.eject_cap.scale(1.0 / (1.0 + jitter)));
        time.scale(1.0 + jitter * draw).min(self.eject_cap)
    }

    /// Says how it contradicts itself, if it does.
    pub(super) fn is_sound(&self) -> bool {
        // Timers that set themselves again must move on.
        let spans = [self.probe_timeout, self.eject_base, self.eject_cap];
        self.probe_every != Some(Span::ZERO)
            && !spans.contains(&Span::ZERO)
            && self.guard.is_sound()
    }
}

impl Default for HealthSettings {
    fn default() -> HealthSettings {
        HealthSettings {
            probe_every: None,
            probe_timeout: Span::from_secs(1),
            fall: 3,
            rise: 2,
            consecutive: 5,
            // A rest that outlasts what made it necessary is a loss of capacity of its own: after a
            // short one, `tests/core/metastable.rs`, it is what keeps a fleet at 80 % load from
            // coming back within a minute. Rests of nodes that stay ill double soon enough.
            eject_base: Span::from_secs(5),
            eject_cap: Span::from_secs(300),
            max_share: Ratio(500_000),
            guard: Guard::default(),
            eject_jitter: Ratio(100_000),
        }
    }
}

/// A 429 without a time is taken as this.
pub const RETRY_AFTER_DEFAULT: Span = Span::from_secs(1);
/// A node is never left alone longer than this, whatever it asked for.
pub const RETRY_AFTER_MAX: Span = Span::from_secs(600);

/// So many probes for a token in a row that fail eject.
const NO_TOKENS_MAX: u32 = 2;

/// Weight of the newest outcome in the success probability.
const GAIN: f64 = 0.15;
/// The success probability relaxes towards one with this time constant, so that a node which
/// failed is tried again.
const RELAX: f64 = 30.0;
/// The success probability never falls below this.
const SUCCESS_MIN: f64 = 0.01;

/// The health of one node.
#[derive(Clone, Debug)]
pub(super) struct Health {
    state: NodeState,
    /// Blamed failures in a row.
    failures: u32,
    /// Ejections without a long healthy time between them.
    ejections: u32,
    /// When the ejection or the limit is over.
    pub(super) until: Time,
    /// Number of the newest probe; an answer to an older one is late.
    pub(super) probe: u32,
    /// Whether the newest probe is unanswered.
    pub(super) probing: bool,
    good_probes: u32,
    bad_probes: u32,
    success: f64,
    success_at: Time,
    /// When it last came back from an ejection.
    back_at: Time,
    /// When anything last came from it.
    pub(super) heard: Time,
    /// Refusals of the credential without a success between them.
    refusals: u32,
    /// Whether the newest probe asks for a token, and how many such have failed in a row.
    generating: bool,
    no_tokens: u32,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            state: NodeState::Up,
            failures: 0,
            ejections: 0,
            until: Time::ZERO,
            probe: 0,
            probing: false,
            good_probes: 0,
            bad_probes: 0,
            success: 1.0,
            success_at: Time::ZERO,
            back_at: Time::ZERO,
            heard: Time::ZERO,
            refusals: 0,
            generating: false,
            no_tokens: 0,
        }
    }
}

/// A change of state to be declared.
pub(super) type Change = (NodeState, NodeState, Cause);

impl Health {
    pub(super) const fn state(&self) -> NodeState {
        self.state
    }

    pub(super) fn success(&self, now: Time) -> f64 {
        // Exactly one while nothing has failed: no exponential on the common path, and load-type
        // costs of healthy fleets stay whole numbers.
        if self.success >= 1.0 {
            return 1.0;
        }
        let idle = now.since(self.success_at).seconds();
        let relaxed = 1.0 - (1.0 - self.success) * (-idle / RELAX).exp();
        relaxed.max(SUCCESS_MIN)
    }

    /// Hears how an attempt ended. `wasted` lowers the success probability.
    pub(super) fn outcome(&mut self, now: Time, wasted: bool) {
        if wasted || self.success < 1.0 {
            let success = self.success(now);
            let ended = if wasted { 0.0 } else { 1.0 };
            self.success = success + GAIN * (ended - success);
            // Close enough to one is one, so that healed nodes tie with those that never failed.
            if self.success > 0.999 {
                self.success = 1.0;
            }
            self.success_at = now;
        }
        if !wasted {
            self.failures = 0;
            self.refusals = 0;
        }
    }

    /// Counts a blamed failure. Returns whether the node is due for ejection.
    pub(super) fn blame(&mut self, settings: &HealthSettings) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.state == NodeState::Up && self.failures >= settings.consecutive
    }

    /// The failure of a request: `Failures`; or of probes.
    const fn cause(&self, by_probes: bool) -> Cause {
        if by_probes && self.generating && self.state.is_in_service() {
            Cause::NoToken(self.no_tokens)
        } else if by_probes {
            Cause::Probes(self.bad_probes)
        } else {
            Cause::Failures(self.failures)
        }
    }

    /// The credential was refused. Returns `None` if the node is not up.
    pub(super) fn refused(&mut self, now: Time, base: Span) -> Option<Change> {
        let time = base.0.saturating_mul(1 << self.refusals.min(30));
        let pause = Span(time).min(RETRY_AFTER_MAX);
        if !self.state.is_in_service() {
            return None;
        }
        self.refusals = self.refusals.saturating_add(1);
        self.until = self.until.max(now + pause);
        (self.state == NodeState::Up).then(|| self.go(NodeState::Limited, Cause::Credential(pause)))
    }

    /// Returns how often in a row the credential was refused, and until when the node rests.
    pub(super) const fn refusal(&self) -> (u32, Time) {
        (self.refusals, self.until)
    }

    /// The credential was refused by another node that is asked with it. Returns `None` if this one is
    /// not up, or need not rest.
    pub(super) fn refused_elsewhere(
        &mut self,
        now: Time,
        refusals: u32,
        until: Time,
    ) -> Option<Change> {
        if !self.state.is_in_service() || until <= now {
            return None;
        }
        self.refusals = self.refusals.max(refusals);
        self.until = self.until.max(until);
        let pause = self.until.since(now);
        (self.state == NodeState::Up).then(|| self.go(NodeState::Limited, Cause::Credential(pause)))
    }

    /// Ejects the node for a time that doubles with every ejection; `draw` is its jitter.
    pub(super) fn eject(
        &mut self,
        now: Time,
        (settings, draw): (&HealthSettings, f64),
        by_probes: bool,
        cause: Option<Cause>,
    ) -> Change {
        // An ejection long after the last one starts from the beginning.
        if now.since(self.back_at) > settings.eject_cap && self.state == NodeState::Up {
            self.ejections = 0;
        }
        let time = settings.rest(self.ejections, draw);
        self.ejections += 1;
        // A later failure never brings an ejection's end forward.
        self.until = self.until.max(now + time);
        let cause = cause.unwrap_or(self.cause(by_probes));
        self.no_tokens = 0;
        self.good_probes = 0;
        self.bad_probes = 0;
        self.go(NodeState::Ejected, cause)
    }

    /// Leaves the node alone for as long as it asked, because of a 429 or because it is `busy`.
    /// Returns `None` if it is not up.
    pub(super) fn limit(
        &mut self,
        now: Time,
        retry_after: Option<Span>,
        busy: bool,
    ) -> Option<Change> {
        let pause = retry_after.unwrap_or(RETRY_AFTER_DEFAULT).min(RETRY_AFTER_MAX);
        match self.state {
            NodeState::Up => {
                self.until = self.until.max(now + pause);
                let cause = if busy { Cause::Busy(pause) } else { Cause::RateLimited(pause) };
                Some(self.go(NodeState::Limited, cause))
            }
            NodeState::Limited => {
                self.until = self.until.max(now + pause);
                None
            }
            _ => None,
        }
    }

    /// The time of an ejection or limit is over, if `now` has reached it.
    pub(super) fn rested(&mut self, now: Time) -> Option<Change> {
        if now < self.until {
            return None;
        }
        match self.state {
            NodeState::Limited => Some(self.go(NodeState::Up, Cause::LimitOver)),
            NodeState::Ejected => {
                // Answers to probes of before the ejection prove nothing.
                self.good_probes = 0;
                self.bad_probes = 0;
                Some(self.go(NodeState::Probing, Cause::Probing))
            }
            _ => None,
        }
    }

    /// Starts a probe and returns its number.
    pub(super) fn start_probe(&mut self, generating: bool) -> u32 {
        self.generating = generating;
        self.probe = self.probe.wrapping_add(1);
        self.probing = true;
        self.probe
    }

    /// Hears the answer to the newest probe. Returns what should follow.
    pub(super) fn probed(&mut self, result: ProbeResult, settings: &HealthSettings) -> Verdict {
        self.probing = false;
        if self.generating && self.state.is_in_service() {
            // A node may say it is well and not be: good answers to the one kind of probe do not make up
            // for bad ones to the other.
            self.no_tokens = match result {
                ProbeResult::Healthy => 0,
                ProbeResult::Failed(_) => self.no_tokens.saturating_add(1),
            };
            let sick = self.state == NodeState::Up && self.no_tokens >= NO_TOKENS_MAX;
            return if sick { Verdict::Eject } else { Verdict::Nothing };
        }
        match (result, self.state) {
            (ProbeResult::Healthy, state) => {
                self.bad_probes = 0;
                self.good_probes = self.good_probes.saturating_add(1);
                if state == NodeState::Probing && self.good_probes >= settings.rise {
                    Verdict::Return
                } else {
                    Verdict::Nothing
                }
            }
            (ProbeResult::Failed(_), NodeState::Probing) => {
                self.bad_probes = self.bad_probes.saturating_add(1);
                Verdict::Eject
            }
            (ProbeResult::Failed(_), state) => {
                self.good_probes = 0;
                self.bad_probes = self.bad_probes.saturating_add(1);
                if state == NodeState::Up && self.bad_probes >= settings.fall {
                    Verdict::Eject
                } else {
                    Verdict::Nothing
                }
            }
        }
    }

    /// Brings an ejected node back.
    pub(super) fn come_back(&mut self, now: Time) -> Change {
        self.failures = 0;
        self.success = 1.0;
        self.back_at = now;
        let good = self.good_probes;
        self.good_probes = 0;
        self.go(NodeState::Up, Cause::Recovered(good))
    }

    /// An operator's word. Returns `None` if it changes nothing or the node is gone.
    pub(super) fn operate(&mut self, now: Time, to: NodeState) -> Option<Change> {
        if self.state == NodeState::Gone || self.state == to {
            return None;
        }
        if to == NodeState::Up && self.state != NodeState::Draining {
            return None;
        }
        if to == NodeState::Draining && self.state == NodeState::Off {
            return None;
        }
        if to == NodeState::Up {
            // The operator vouches for it: no rest is owed, no failure is held against it.
            self.until = now;
            self.failures = 0;
            self.bad_probes = 0;
            self.success = 1.0;
        }
        self.probing = false;
        Some(self.go(to, Cause::Operator))
    }

    /// Is off from the beginning.
    pub(super) fn off(&mut self) {
        self.state = NodeState::Off;
    }

    /// Its group grows or shrinks.
    pub(super) fn scale(&mut self, now: Time, to: NodeState) -> Change {
        self.probing = false;
        if to == NodeState::Starting {
            // A new process has no past.
            *self = Health { state: self.state, probe: self.probe, ..Health::default() };
        }
        self.until = self.until.min(now);
        self.go(to, Cause::Scaled)
    }

    /// Returns whether it had come back from its last ejection by then.
    pub(super) fn is_back_at(&self, time: Time) -> bool {
        self.back_at <= time
    }

    /// Returns since how long ago it has been in service without a break.
    pub(super) fn back_for(&self, now: Time) -> Span {
        now.since(self.back_at)
    }

    /// It has started.
    pub(super) fn started(&mut self, now: Time) -> Change {
        self.back_at = now;
        self.go(NodeState::Up, Cause::Started)
    }

    fn go(&mut self, to: NodeState, cause: Cause) -> Change {
        let from = std::mem::replace(&mut self.state, to);
        (from, to, cause)
    }
}

/// What should follow the answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    Eject,
    Return,
}

/// The balancer's dealings with health.
impl Balancer {
    /// Returns how the health of this node is watched: as its pool says, or as all are.
    pub(super) fn health_of(&self, node: NodeId) -> &HealthSettings {
        if self.pool_health.is_empty() {
            return &self.health;
        }
        let (pool, _) = self.fleet.node(node).home();
        self.pool_health[pool.index()].as_deref().unwrap_or(&self.health)
    }

    pub(super) fn declare_state(&mut self, node: NodeId, (from, to, cause): Change) {
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
    pub(super) fn rest(&mut self, node: NodeId, change: Option<Change>) {
        if let Some(change) = change {
            self.declare_state(node, change);
            self.timers.at(self.fleet.node(node).health.until, Alarm::Rested(node));
        }
    }

    pub(super) fn eject(&mut self, node: NodeId, by_probes: bool) {
        self.eject_for(node, by_probes, None);
    }

    /// Ejects a node that is up for this cause, if one more may be out.
    pub(super) fn eject_outlier(&mut self, node: NodeId, cause: Option<Cause>) {
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
    pub(super) fn may_eject(&self, node: NodeId) -> bool {
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

    pub(super) fn rested(&mut self, node: NodeId) {
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

    pub(super) fn probe(&mut self, node: NodeId) {
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
    pub(super) fn ask_for_token(&mut self, node: NodeId) {
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

    pub(super) fn probed(&mut self, node: NodeId, number: u32, result: ProbeResult) {
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

    pub(super) fn hear_probe(&mut self, node: NodeId, result: ProbeResult) {
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
    pub(super) fn patrol(&mut self, node: NodeId) {
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

    pub(super) fn start_patrols(&mut self) {
        for node in 0..self.fleet.nodes().len() {
            self.start_patrol(NodeId(node as u32));
        }
    }

    pub(super) fn start_patrol(&mut self, node: NodeId) {
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
