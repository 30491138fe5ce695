//! What the core does with nodes that are new, that come back, or that may be sick for a reason that is
//! not theirs: half-open, probation, slow start, panic, refused credentials, silence.
//!
//! It only ever takes nodes away or gives back what the health checker took; hard constraints (tags,
//! limits, drains) are not its business, and it never chooses a node.
//!
//! - *Half-open*: a node that comes back from an ejection gets one request at a time until one has
//!   succeeded; a failure ejects it again at once. (SGLang's router lets unlimited requests through.)
//! - *Probation*: a new node gets at most so many at a time until its first success; it may fail as often
//!   as any.
//! - *Slow start*: for so long a new or returning node is held back as soon as it has had more than its
//!   share, which grows linearly from a tenth of the fair one: each dispatch in its tier gives it a part
//!   of one, as Envoy scales weights. Where only such nodes are open they are used nevertheless: a
//!   preference, so no request waits for it.
//! - *Panic*: while fewer than this share of a tier is well, ejected nodes serve too, and strategies go
//!   by success probability: the news is then more likely wrong than half of the fleet dead (Envoy).
//! - *Credentials*: 401, 402 and 403, or money that is spent, let the node rest, if asked for, longer
//!   each time, with all nodes that are asked with the same credential; that is no ejection.
//! - *Silence*: if nothing at all came from a node during a whole first-token timeout, while as many
//!   requests wait for it as failures in a row would eject it, it hangs and is ejected.

use crate::balance::balancer::Balancer;
use crate::balance::fleet::node::Trial;
use crate::balance::spec::node::Tier;
use crate::balance::vocabulary::event::{Cause, Event};
use crate::balance::vocabulary::outcome::{End, Failure, Stage};
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{ClassId, NodeId, PoolId, Span, Time};

/// A node in slow start begins with this share of its fair share.
const RAMP_MIN: f64 = 0.1;

/// It saves up at most so many dispatches.
const CREDIT_MAX: f64 = 2.0;

/// A node in slow start.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct Ramp {
    node: NodeId,
    home: (PoolId, Tier),
    since: Time,
    over: Span,
    /// Dispatches it may have.
    credit: f64,
}

/// Returns the part of its fair share that a node gets so long after it came.
fn ramp(since: Span, over: Span) -> f64 {
    (since.seconds() / over.seconds()).clamp(RAMP_MIN, 1.0)
}

impl Balancer {
    /// Hears how an attempt of a class ended that was dispatched then, and whether its first token had
    /// come: what it says of the health of its node, if anything.
    pub(in crate::balance) fn hear_end(
        &mut self,
        node: NodeId,
        end: End,
        class: ClassId,
        (dispatched, streamed): (Time, bool),
        retry_after: Option<Span>,
    ) {
        let (now, settings) = (self.now, *self.health_of(node));
        // A client that left, a deadline that passed, another node that was faster: none of them says
        // that the node is ill.
        if matches!(end, End::Cancelled | End::TimedOut(Stage::Total) | End::Outrun) {
            // Nor that it is well; but where no try ever lasts, a trial would not end either.
            if self.fleet.node(node).health.back_for(now) >= settings.eject_base {
                self.trust(node);
            }
            return;
        }
        self.fleet.with_health(node, |health| health.outcome(now, end.is_wasted()));
        if end == End::Done {
            self.trust(node);
            if !streamed {
                self.time_first(node, class, now.since(dispatched));
            }
        }
        // A failure of what was sent before an ejection does not say that the node came back ill.
        let blamed = end.blames_node() && self.fleet.node(node).health.is_back_at(dispatched);
        // Back-pressure, credentials and clients' mistakes are no sickness, and no health either.
        if let Some(detector) = &mut self.detector
            && (blamed || end == End::Done)
            && self.fleet.node(node).state().is_in_service()
        {
            let home = self.fleet.node(node).home();
            let cause = detector.ended(node, home, !blamed);
            self.eject_outlier(node, cause);
        }
        if blamed && end == End::TimedOut(Stage::FirstToken) && self.is_silent(node, dispatched) {
            let cause = Cause::Silent(now.since(dispatched));
            self.eject_outlier(node, Some(cause));
        }
        if end == End::Failed(Failure::Unauthorized)
            && let Some(base) = settings.guard.credential
        {
            self.rest_credential(node, base);
        }
        let there = self.fleet.node(node);
        let half_open = there.state() == NodeState::Up && there.trial() == Some(Trial::HalfOpen);
        let busy = end == End::Failed(Failure::Overloaded);
        if end == End::RateLimited || (busy && retry_after.is_some()) {
            let change =
                self.fleet.with_health(node, |health| health.limit(now, retry_after, busy));
            self.rest(node, change);
        } else if blamed {
            let enough = self.fleet.with_health(node, |health| health.blame(&settings));
            if enough || half_open {
                self.eject(node, false);
            }
        }
    }

    /// Lets the detector hear how long a node took to its first token, or to a whole answer.
    pub(in crate::balance) fn time_first(&mut self, node: NodeId, class: ClassId, took: Span) {
        if let Some(detector) = &mut self.detector
            && self.fleet.node(node).state().is_in_service()
        {
            let home = self.fleet.node(node).home();
            let cause = detector.first_token(node, home, class, took);
            self.eject_outlier(node, cause);
        }
    }

    /// A node has come into service: new, or back from an ejection.
    pub(in crate::balance) fn welcome(&mut self, node: NodeId, cause: Cause) {
        let guard = self.health_of(node).guard;
        let trial = match cause {
            Cause::Recovered(_) => guard.half_open.then_some(Trial::HalfOpen),
            Cause::Started => guard.probation.map(Trial::Probation),
            _ => return,
        };
        self.fleet.try_out(node, trial);
        if let Some(over) = guard.slow_start {
            let home = self.fleet.node(node).home();
            self.ramps.retain(|ramp| ramp.node != node);
            self.ramps.push(Ramp { node, home, since: self.now, over, credit: 1.0 });
        }
    }

    /// Something good came from a node: it is no longer on trial.
    pub(in crate::balance) fn trust(&mut self, node: NodeId) {
        if self.fleet.node(node).trial().is_some() {
            self.fleet.try_out(node, None);
            self.opened = true;
        }
    }

    /// A request goes to a node of this home: those of them in slow start earn their part of it.
    pub(in crate::balance) fn earn(&mut self, node: NodeId) {
        let (now, fleet) = (self.now, &self.fleet);
        let home = fleet.node(node).home();
        self.ramps.retain(|ramp| {
            let there = fleet.node(ramp.node);
            there.state() == NodeState::Up && now.since(ramp.since) < ramp.over
        });
        let all = fleet.up_weight(home).max(1) as f64;
        for this in self.ramps.iter_mut().filter(|this| this.home == home) {
            let part = f64::from(fleet.node(this.node).spec.weight) / all;
            this.credit += ramp(now.since(this.since), this.over) * part;
            this.credit = this.credit.min(CREDIT_MAX);
            if this.node == node {
                this.credit -= 1.0;
            }
        }
        self.held_back.clear();
        let held = self.ramps.iter().filter(|this| this.credit < 1.0).map(|this| this.node);
        self.held_back.extend(held);
    }

    /// Declares where panic began or ended.
    pub(in crate::balance) fn declare_panic(&mut self) {
        for (pool, tier, on) in self.fleet.take_panics() {
            self.opened |= on;
            self.effects.events.push(Event::Panic { pool, tier, on });
        }
    }

    /// Returns whether a node that has just missed a first token said nothing since `dispatched`.
    pub(in crate::balance) fn is_silent(&self, node: NodeId, dispatched: Time) -> bool {
        let (there, settings) = (self.fleet.node(node), self.health_of(node));
        settings.guard.silence
            && there.health.heard <= dispatched
            && there.ledger.prefilling >= settings.consecutive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_never_falls() {
        let over = Span::from_secs(30);
        let parts: Vec<f64> = (0..40).map(|s| ramp(Span::from_secs(s), over)).collect();
        assert!(parts.is_sorted(), "{parts:?}");
        assert!(parts[0] < 0.11 && parts[39] > 0.99, "{parts:?}");
    }
}
