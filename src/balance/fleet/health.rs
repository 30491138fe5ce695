//! The health record of one node: what it remembers and how its state changes.
//!
//! It holds no settings and sets no timer; who may be ejected is the health checker's to say.

use crate::balance::spec::health::{HealthSettings, RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX};
use crate::balance::vocabulary::outcome::ProbeResult;
use crate::balance::vocabulary::state::Cause;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{Span, Time};

/// So many probes for a token in a row that fail eject.
const NO_TOKENS_MAX: u8 = 2;

/// Weight of the newest outcome in the success probability.
const GAIN: f64 = 0.15;
/// The success probability relaxes towards one with this time constant, so that a node which
/// failed is tried again.
const RELAX: f64 = 30.0;
/// So many times as long as before rests a node that was tried in vain and has good probes.
const LONGER: f64 = 1.04;
/// The success probability never falls below this.
const SUCCESS_MIN: f64 = 0.01;

/// The health of one node. What is asked while it is well comes first.
#[repr(C)]
#[derive(Clone, Debug)]
pub(in crate::balance) struct NodeHealth {
    success: f64,
    /// When anything last came from it.
    pub(in crate::balance) heard: Time,
    /// Blamed failures in a row.
    failures: u32,
    /// Blamed refusals of a connection in a row.
    refused: u32,
    /// Refusals of the credential without a success between them, as far as they lengthen the next rest.
    refusals: u8,
    state: NodeState,
    /// Whether the newest probe is unanswered.
    pub(in crate::balance) probing: bool,
    /// Whether the newest probe asks for a token.
    generating: bool,
    /// Whether the last probe that was answered, or was not in time, failed.
    fails_probes: bool,
    /// Whether it was to be ejected and was kept in, and has not been well since.
    kept_in: bool,
    /// Whether failed probes are what it was ejected for.
    by_probes: bool,
    /// When the ejection or the limit is over.
    pub(in crate::balance) until: Time,
    /// From when on good probes end an ejection before that.
    good_from: Time,
    success_at: Time,
    /// When it last came back from an ejection.
    back_at: Time,
    /// Number of the newest probe; an answer to an older one is late.
    pub(in crate::balance) probe: u32,
    good_probes: u32,
    bad_probes: u32,
    /// Ejections without a long healthy time between them, as far as they lengthen the next one.
    ejections: u8,
    /// How many probes for a token have failed in a row.
    no_tokens: u8,
    /// How often it was ejected because requests failed since it last served.
    in_vain: u8,
}

impl Default for NodeHealth {
    fn default() -> NodeHealth {
        NodeHealth {
            state: NodeState::Up,
            failures: 0,
            ejections: 0,
            until: Time::ZERO,
            good_from: Time::ZERO,
            probe: 0,
            probing: false,
            fails_probes: false,
            kept_in: false,
            by_probes: false,
            refused: 0,
            good_probes: 0,
            bad_probes: 0,
            success: 1.0,
            success_at: Time::ZERO,
            back_at: Time::ZERO,
            in_vain: 0,
            heard: Time::ZERO,
            refusals: 0,
            generating: false,
            no_tokens: 0,
        }
    }
}

/// A change of state to be declared.
pub(in crate::balance) type Change = (NodeState, NodeState, Cause);

impl NodeHealth {
    /// Bytes of what is asked while it is well.
    #[cfg(test)]
    pub(super) const HOT: usize = std::mem::offset_of!(NodeHealth, until);

    pub(in crate::balance) const fn state(&self) -> NodeState {
        self.state
    }

    /// Returns whether the answer to the probe of this number is awaited.
    pub(in crate::balance) const fn awaits(&self, number: u32) -> bool {
        self.probing && self.probe == number
    }

    #[inline]
    pub(in crate::balance) fn success(&self, now: Time) -> f64 {
        // Exactly one while nothing has failed: no exponential on the common path, and load-type
        // costs of healthy fleets stay whole numbers.
        if self.success >= 1.0 { 1.0 } else { self.relaxed_success(now) }
    }

    fn relaxed_success(&self, now: Time) -> f64 {
        let idle = now.since(self.success_at).seconds();
        let relaxed = 1.0 - (1.0 - self.success) * (-idle / RELAX).exp();
        relaxed.max(SUCCESS_MIN)
    }

    /// Hears how an attempt ended. `wasted` lowers the success probability; `evidence` is what the end
    /// would be if it is to blame for it.
    pub(in crate::balance) fn outcome(&mut self, now: Time, wasted: bool, evidence: Evidence) {
        // Who refused connections and serves is another process: those say nothing of it.
        if !wasted && self.refused > 0 {
            self.success = 1.0;
        }
        if evidence != Evidence::Refused {
            self.answers();
        }
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
            self.kept_in = false;
            if self.state == NodeState::Up {
                self.in_vain = 0;
            }
        }
    }

    /// It does not refuse connections.
    pub(in crate::balance) const fn answers(&mut self) {
        self.refused = 0;
    }

    /// Counts a blamed failure. Returns whether the node is due for ejection.
    pub(in crate::balance) fn blame(
        &mut self,
        settings: &HealthSettings,
        evidence: Evidence,
    ) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.refused = self.refused.saturating_add(u32::from(evidence == Evidence::Refused));
        self.state == NodeState::Up && self.failures >= settings.consecutive
    }

    /// Returns what it is to be ejected for that comes back from a limit: what failed in a row meanwhile.
    pub(in crate::balance) fn due_after_limit(
        &self,
        settings: &HealthSettings,
    ) -> Option<Evidence> {
        let due = self.state == NodeState::Up && self.failures >= settings.consecutive;
        let refuses = self.refused >= settings.consecutive;
        due.then_some(if refuses { Evidence::Refused } else { Evidence::Failing })
    }

    /// Returns how many blamed failures there were in a row.
    pub(in crate::balance) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The failures of requests, or of probes.
    pub(in crate::balance) const fn cause(&self, evidence: Evidence) -> Cause {
        match evidence {
            Evidence::Probes if self.generating && self.state.is_in_service() => {
                Cause::NoToken(self.no_tokens as u32)
            }
            Evidence::Probes => Cause::Probes(self.bad_probes),
            Evidence::Refused | Evidence::Failing | Evidence::Outlier => {
                Cause::Failures(self.failures)
            }
        }
    }

    /// Returns whether the last probe that was answered, or was not in time, failed.
    #[inline]
    pub(in crate::balance) const fn fails_probes(&self) -> bool {
        self.fails_probes
    }

    /// It was to be ejected and is kept in. Returns whether that is news.
    pub(in crate::balance) const fn keep_in(&mut self) -> bool {
        !std::mem::replace(&mut self.kept_in, true)
    }

    /// Returns whether it is in service for want of others, although it refuses connections.
    pub(in crate::balance) fn is_dead_and_kept_in(&self, settings: &HealthSettings) -> bool {
        self.kept_in && self.refused >= settings.consecutive && self.state == NodeState::Up
    }

    /// The credential was refused. Returns `None` if the node is not up.
    pub(in crate::balance) fn refused(&mut self, now: Time, base: Span) -> Option<Change> {
        let time = base.0.saturating_mul(1 << self.refusals.min(30));
        let pause = Span(time).min(RETRY_AFTER_MAX);
        if !self.state.is_in_service() {
            return None;
        }
        self.refusals = self.refusals.saturating_add(1);
        self.until = self.until.max(now + pause);
        (self.state == NodeState::Up)
            .then(|| self.go(NodeState::CoolingDown, Cause::Credential(pause)))
    }

    /// Returns how often in a row the credential was refused, and until when the node rests.
    pub(in crate::balance) const fn refusal(&self) -> (u8, Time) {
        (self.refusals, self.until)
    }

    /// The credential was refused by another node that is asked with it. Returns `None` if this one is
    /// not up, or need not rest.
    pub(in crate::balance) fn refused_elsewhere(
        &mut self,
        now: Time,
        refusals: u8,
        until: Time,
    ) -> Option<Change> {
        if !self.state.is_in_service() || until <= now {
            return None;
        }
        self.refusals = self.refusals.max(refusals);
        self.until = self.until.max(until);
        let pause = self.until.since(now);
        (self.state == NodeState::Up)
            .then(|| self.go(NodeState::CoolingDown, Cause::Credential(pause)))
    }

    /// Ejects the node for a time that doubles with every ejection; `draw` is its jitter. Where a probe
    /// only finds that it is not back yet, the time is that of a first ejection: to ask costs nothing,
    /// and nobody is to wait long for a node that is well again.
    pub(in crate::balance) fn eject(
        &mut self,
        now: Time,
        (settings, draw): (&HealthSettings, f64),
        evidence: Evidence,
        cause: Option<Cause>,
    ) -> Change {
        // An ejection long after the last one starts from the beginning.
        if now.since(self.back_at) > settings.eject_cap && self.state == NodeState::Up {
            self.ejections = 0;
        }
        let not_back = self.state == NodeState::Probing;
        let before = if not_back { 0 } else { self.ejections };
        let time = settings.ejection_time(u32::from(before), draw);
        self.ejections = self.ejections.saturating_add(u8::from(!not_back));
        // A later failure never brings an ejection's end forward.
        self.until = self.until.max(now + time);
        self.good_from = match evidence {
            Evidence::Probes | Evidence::Refused => now,
            Evidence::Failing => {
                // As long as a first time and a twenty-fifth longer each time, so about that part of the time
                // it has been ill: a node that stays ill is tried ever more seldom, and one that was ill
                // for ten seconds is back within two, the interval of probes on top.
                let longer = LONGER.powi(i32::from(self.in_vain));
                self.in_vain = self.in_vain.saturating_add(1);
                (now + settings.ejection_time(0, draw).scale(longer)).min(self.until)
            }
            Evidence::Outlier => self.until,
        };
        let cause = cause.unwrap_or(self.cause(evidence));
        if !not_back {
            self.by_probes = evidence == Evidence::Probes;
        }
        self.no_tokens = 0;
        self.good_probes = 0;
        self.bad_probes = 0;
        self.kept_in = false;
        // What a probe of before the ejection is answered proves nothing.
        self.probing = false;
        self.go(NodeState::Ejected, cause)
    }

    /// Leaves the node alone for as long as it asked, because of a 429 or because it is `busy`.
    /// Returns `None` if it is not up.
    pub(in crate::balance) fn limit(
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
                Some(self.go(NodeState::CoolingDown, cause))
            }
            NodeState::CoolingDown => {
                self.until = self.until.max(now + pause);
                None
            }
            _ => None,
        }
    }

    /// The time of an ejection or limit is over, if `now` has reached it.
    pub(in crate::balance) fn on_cooldown_over(&mut self, now: Time) -> Option<Change> {
        if now < self.until {
            return None;
        }
        match self.state {
            NodeState::CoolingDown => Some(self.go(NodeState::Up, Cause::LimitOver)),
            NodeState::Ejected => Some(self.go(NodeState::Probing, Cause::Probing)),
            _ => None,
        }
    }

    /// Returns whether it is to be probed after the probe of this number: it is answered, and there was no
    /// other since.
    pub(in crate::balance) const fn is_probe_due(&self, after: u32) -> bool {
        self.state.is_ejected() && self.probe == after && !self.probing
    }

    /// Starts a probe and returns its number.
    pub(in crate::balance) fn start_probe(&mut self, generating: bool) -> u32 {
        self.generating = generating;
        self.probe = self.probe.wrapping_add(1);
        self.probing = true;
        self.probe
    }

    /// Hears the answer to the newest probe. Returns what should follow.
    pub(in crate::balance) fn probed(
        &mut self,
        now: Time,
        result: ProbeResult,
        settings: &HealthSettings,
    ) -> ProbeVerdict {
        self.probing = false;
        self.fails_probes = result != ProbeResult::Healthy;
        if self.generating && self.state.is_in_service() {
            // A node may say it is well and not be: good answers to the one kind of probe do not make up
            // for bad ones to the other.
            self.no_tokens = match result {
                ProbeResult::Healthy => 0,
                ProbeResult::Failed(_) => self.no_tokens.saturating_add(1),
            };
            let sick = self.state == NodeState::Up && self.no_tokens >= NO_TOKENS_MAX;
            return if sick { ProbeVerdict::Eject } else { ProbeVerdict::Nothing };
        }
        match (result, self.state) {
            (ProbeResult::Healthy, state) => {
                self.bad_probes = 0;
                self.good_probes = self.good_probes.saturating_add(1);
                let rested = match state {
                    NodeState::Probing => true,
                    NodeState::Ejected => now >= self.good_from,
                    _ => false,
                };
                if rested && self.good_probes >= settings.rise {
                    ProbeVerdict::Return
                } else {
                    ProbeVerdict::Nothing
                }
            }
            (ProbeResult::Failed(failure), NodeState::Probing) => {
                // Whoever answers is there. What else it has to say a request finds out.
                let tried = settings.any_answer && settings.recovery.half_open;
                if tried && failure.is_answer() && !self.by_probes && !self.generating {
                    self.good_probes = 0;
                    return ProbeVerdict::Return;
                }
                self.bad_probes = self.bad_probes.saturating_add(1);
                ProbeVerdict::Eject
            }
            (ProbeResult::Failed(_), NodeState::Ejected) => {
                self.good_probes = 0;
                self.bad_probes = self.bad_probes.saturating_add(1);
                // Whatever it was ejected for, probes see it too: good ones are news from now on.
                self.good_from = now;
                ProbeVerdict::Nothing
            }
            (ProbeResult::Failed(_), state) => {
                self.good_probes = 0;
                self.bad_probes = self.bad_probes.saturating_add(1);
                if state == NodeState::Up && self.bad_probes >= settings.fall {
                    ProbeVerdict::Eject
                } else {
                    ProbeVerdict::Nothing
                }
            }
        }
    }

    /// Brings an ejected node back.
    pub(in crate::balance) fn come_back(&mut self, now: Time) -> Change {
        (self.failures, self.refused) = (0, 0);
        self.success = 1.0;
        self.back_at = now;
        // Its rest is over, whenever that was to be.
        self.until = self.until.min(now);
        let good = self.good_probes;
        self.good_probes = 0;
        self.go(NodeState::Up, Cause::Recovered(good))
    }

    /// An operator's word. Returns `None` if it changes nothing or the node is gone.
    pub(in crate::balance) fn operate(&mut self, now: Time, to: NodeState) -> Option<Change> {
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
            (self.failures, self.refused) = (0, 0);
            self.bad_probes = 0;
            self.fails_probes = false;
            self.success = 1.0;
        }
        self.probing = false;
        self.kept_in = false;
        Some(self.go(to, Cause::Operator))
    }

    /// Is off from the beginning.
    pub(in crate::balance) fn off(&mut self) {
        self.state = NodeState::Off;
    }

    /// Its group grows or shrinks.
    pub(in crate::balance) fn scale(&mut self, now: Time, to: NodeState) -> Change {
        self.probing = false;
        if to == NodeState::Starting {
            // A new process has no past.
            *self = NodeHealth { state: self.state, probe: self.probe, ..NodeHealth::default() };
        }
        self.until = self.until.min(now);
        self.go(to, Cause::Scaled)
    }

    /// Returns whether it had come back from its last ejection by then.
    pub(in crate::balance) fn is_back_at(&self, time: Time) -> bool {
        self.back_at <= time
    }

    /// Returns since how long ago it has been in service without a break.
    pub(in crate::balance) fn back_for(&self, now: Time) -> Span {
        now.since(self.back_at)
    }

    /// It has started.
    pub(in crate::balance) fn started(&mut self, now: Time) -> Change {
        self.back_at = now;
        self.go(NodeState::Up, Cause::Started)
    }

    fn go(&mut self, to: NodeState, cause: Cause) -> Change {
        let from = std::mem::replace(&mut self.state, to);
        (from, to, cause)
    }
}

/// What speaks against a node: of that depends whether others hold it in, and what lets it in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Evidence {
    /// Its probes fail: it is dead. Good probes bring it back.
    Probes,
    /// It refused a connection, not for the first time in a row: it is dead too.
    Refused,
    /// Requests fail, one after the other or by silence, which probes need not see: it rests as long as
    /// a first time, a little longer each time it was tried in vain, then good probes bring it back.
    Failing,
    /// It is worse than its peers, of which probes know nothing: it rests as long as it has to.
    Outlier,
}

/// What should follow the answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum ProbeVerdict {
    Nothing,
    Eject,
    Return,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::at;
    use crate::balance::vocabulary::outcome::Failure;
    use crate::unit::Ratio;

    fn settings() -> HealthSettings {
        HealthSettings {
            eject_jitter: Ratio::ZERO,
            eject_base: Span::from_secs(5),
            ..HealthSettings::default()
        }
    }

    #[test]
    fn every_ejection_is_twice_as_long_up_to_the_cap() {
        let settings = settings();
        let (mut health, mut now) = (NodeHealth::default(), at(1_000));
        let mut last = Span::ZERO;
        for round in 0..10 {
            health.eject(now, (&settings, 0.5), Evidence::Failing, None);
            let time = health.until.since(now);
            let wanted = Span(settings.eject_base.0 << round).min(settings.eject_cap);
            assert_eq!(time, wanted, "round {round}");
            assert!(time >= last);
            (last, now) = (time, health.until);
            assert_eq!(
                health.on_cooldown_over(now).map(|change| change.1),
                Some(NodeState::Probing)
            );
            health.come_back(now);
        }
    }

    #[test]
    fn as_many_good_probes_as_asked_for_bring_a_node_back() {
        let settings = settings();
        let mut health = NodeHealth::default();
        health.eject(at(0), (&settings, 0.0), Evidence::Failing, None);
        assert_eq!(health.on_cooldown_over(at(1)), None, "it rests still");
        health.on_cooldown_over(health.until).expect("its time is over");
        for probe in 1..=settings.rise {
            let number = health.start_probe(false);
            assert!(health.awaits(number) && !health.awaits(number.wrapping_add(1)));
            let verdict = health.probed(at(99), ProbeResult::Healthy, &settings);
            let back = probe == settings.rise;
            assert_eq!(verdict, if back { ProbeVerdict::Return } else { ProbeVerdict::Nothing });
        }
        let change = health.come_back(at(99));
        assert_eq!(change, (NodeState::Probing, NodeState::Up, Cause::Recovered(settings.rise)));
        assert!(health.is_back_at(at(99)) && !health.is_back_at(at(98)));
    }

    /// Seconds from an ejection until it ends, of a node that answers probes well from `well` on and is
    /// asked each second.
    fn back_after(evidence: Evidence, well: u64, ejections: u8) -> u64 {
        let settings = settings();
        let mut health = NodeHealth { ejections, ..NodeHealth::default() };
        health.eject(at(100), (&settings, 0.0), evidence, None);
        for second in 1.. {
            let now = at(100 + second);
            health.on_cooldown_over(now);
            health.start_probe(false);
            let failed = ProbeResult::Failed(Failure::Refused);
            let result = if second >= well { ProbeResult::Healthy } else { failed };
            match health.probed(now, result, &settings) {
                ProbeVerdict::Return => return second,
                ProbeVerdict::Eject => {
                    health.eject(now, (&settings, 0.0), Evidence::Probes, None);
                }
                ProbeVerdict::Nothing => {}
            }
        }
        unreachable!("the times go on for ever")
    }

    #[test]
    fn good_probes_bring_a_node_back_before_its_rest_is_over_where_they_are_news() {
        // The fourth ejection: 40 seconds.
        let rise = u64::from(settings().rise);
        for dead in [Evidence::Probes, Evidence::Refused] {
            assert_eq!(back_after(dead, 1, 3), rise, "{dead:?}");
        }
        let base = settings().eject_base.0 / Span::from_secs(1).0;
        assert_eq!(back_after(Evidence::Failing, 1, 3), base, "probes were well all the time");
        assert_eq!(back_after(Evidence::Outlier, 1, 3), 40, "as long as it has to");
        for any in [Evidence::Probes, Evidence::Refused, Evidence::Failing, Evidence::Outlier] {
            assert_eq!(back_after(any, 17, 3), 17 + rise - 1, "{any:?}: well after it was not");
            let late = back_after(any, 137, 3);
            assert_eq!(late, 137 + rise - 1, "{any:?}: however long that was");
        }
    }

    #[test]
    fn a_node_that_stays_ill_is_tried_ever_more_seldom_and_never_left_out_for_long() {
        let settings = HealthSettings { eject_base: Span::from_secs(1), ..settings() };
        let (mut health, mut now, mut tries) = (NodeHealth::default(), at(0), 0);
        while now < at(3_600) {
            health.eject(now, (&settings, 0.0), Evidence::Failing, None);
            let ejected = now;
            while !health.state().is_in_service() {
                now = now + Span::from_millis(500);
                health.on_cooldown_over(now);
                health.start_probe(false);
                if health.probed(now, ProbeResult::Healthy, &settings) == ProbeVerdict::Return {
                    health.come_back(now);
                }
            }
            let (rest, most) = (now.since(ejected), Span(now.0 / 20) + Span::from_secs(1));
            assert!(rest <= most + Span::from_secs(1), "{rest} after {now}");
            tries += 1;
        }
        assert!(tries < 160, "{tries}");
        // One answer, and it is as well as any.
        health.outcome(now, false, Evidence::Failing);
        health.eject(now, (&settings, 0.0), Evidence::Failing, None);
        assert_eq!(health.good_from, now + Span::from_secs(1));
    }

    #[test]
    fn who_answers_probes_with_errors_comes_back_when_its_rest_is_over_unless_they_took_it_out() {
        for (evidence, any_answer, failure, back) in [
            (Evidence::Failing, true, Failure::ServerError, true),
            (Evidence::Refused, true, Failure::Overloaded, true),
            (Evidence::Outlier, true, Failure::NotFound, true),
            (Evidence::Probes, true, Failure::ServerError, false),
            (Evidence::Failing, false, Failure::ServerError, false),
            (Evidence::Failing, true, Failure::Refused, false),
            (Evidence::Failing, true, Failure::Stalled, false),
        ] {
            let settings = HealthSettings { any_answer, ..settings() };
            let mut health = NodeHealth::default();
            health.eject(at(0), (&settings, 0.0), evidence, None);
            let probe = |health: &mut NodeHealth, now| {
                health.start_probe(false);
                health.probed(now, ProbeResult::Failed(failure), &settings)
            };
            assert_eq!(probe(&mut health, at(0)), ProbeVerdict::Nothing, "it rests");
            // However often its rest is over: what it was ejected for is remembered.
            for round in 0..3 {
                let now = health.until;
                health.on_cooldown_over(now).expect("its rest is over");
                let verdict = probe(&mut health, now);
                let wanted = if back { ProbeVerdict::Return } else { ProbeVerdict::Eject };
                assert_eq!(verdict, wanted, "{evidence:?} {failure:?}, round {round}");
                health.eject(now, (&settings, 0.0), Evidence::Probes, None);
            }
        }
    }

    #[test]
    fn a_node_that_asks_to_be_left_alone_is_not_ejected_and_comes_back_by_itself() {
        let mut health = NodeHealth::default();
        let change = health.limit(at(0), Some(Span::from_secs(7)), false).expect("it was up");
        assert_eq!(change.1, NodeState::CoolingDown);
        assert_eq!(health.limit(at(1), Some(Span::from_secs(9)), true), None, "prolonged");
        assert_eq!(health.until, at(10));
        assert_eq!(health.on_cooldown_over(at(9)), None);
        assert_eq!(health.on_cooldown_over(at(10)).map(|change| change.1), Some(NodeState::Up));
    }

    #[test]
    fn the_success_probability_falls_with_failures_and_relaxes() {
        let mut health = NodeHealth::default();
        assert!((health.success(at(0)) - 1.0).abs() < f64::EPSILON);
        (0..60).for_each(|_| health.outcome(at(1), true, Evidence::Failing));
        let low = health.success(at(1));
        assert!((SUCCESS_MIN..0.02).contains(&low), "{low}");
        assert!(health.success(at(60)) > 0.8, "so that it is tried again");
        let sick = health.probed(at(60), ProbeResult::Failed(Failure::Reset), &settings());
        assert_eq!(sick, ProbeVerdict::Nothing, "one bad probe proves nothing");
    }
}
