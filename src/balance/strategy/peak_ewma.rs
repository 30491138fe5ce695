//! Peak EWMA: the node with the least expected latency, where bad news counts at once and good
//! news slowly.
//!
//! Per node a latency estimate that jumps up to a larger sample and decays exponentially towards a
//! smaller one: `w = exp(-dt / decay); estimate = estimate * w + sample * (1 - w)`. The estimate
//! also fades while nothing is heard. `cost = estimate * (requests in flight + 1) / success
//! probability`. A node never measured has cost zero, so it is tried at once; from then until its
//! first answer it is taken to be as slow as a failure. Failures count as a sample of at least
//! [`PENALTY`].
//!
//! As in Finagle and linkerd, with two changes that LLM traffic needs: the signal is the time to
//! the first token (whole answers measure their own length, not the node), and the decay is 60 s
//! (with 10 s the estimate is gone before a long answer ends).

use super::{Fact, GoesBy, PickContext, Setting, SettingKind, Strategy, StrategyDef, pick_least};
use crate::balance::fleet::Fleet;
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{End, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

/// A failure counts as a latency of at least this, and so does an answer still outstanding from a
/// node that was never measured. (Finagle gives the latter a cost beyond all others; then a node
/// that fails at once looks better than all that are busy with their first request.)
const PENALTY: Span = Span::from_secs(5);

const SIGNALS: &[&str] = &["ttft", "total"];

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "peak_ewma",
    summary: "latency-based: the least expected latency, peaks remembered",
    when: "nodes of unknown or changing speed, answers of similar length",
    cost: "O(n)",
    source: "Finagle PeakEwma; linkerd2-proxy",
    goes_by: &[GoesBy::Latency],
    settings: &[
        Setting {
            name: "signal",
            kind: SettingKind::Choice(SIGNALS),
            default: 0,
            about: "what is measured: time to first token, or the whole answer",
        },
        Setting {
            name: "decay",
            kind: SettingKind::Span { min: Span::from_millis(100), max: Span::from_secs(86_400) },
            default: 60_000_000_000,
            about: "time constant of forgetting",
        },
    ],
    build: |spec| {
        Box::new(PeakEwma {
            total: spec.is("signal", "total"),
            decay: spec.span("decay").seconds(),
            nodes: Vec::new(),
        })
    },
};

#[derive(Debug)]
struct PeakEwma {
    /// Measure whole answers.
    total: bool,
    /// Seconds.
    decay: f64,
    /// By seat.
    nodes: Vec<Estimate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    /// Seconds; zero for never measured.
    latency: f64,
    stamp: Time,
}

impl PeakEwma {
    fn weight(&self, from: Time, to: Time) -> f64 {
        (-to.since(from).seconds() / self.decay).exp()
    }

    fn latency(&self, context: &PickContext<'_>, node: NodeId) -> f64 {
        self.nodes.get(context.node(node).seat as usize).map_or(0.0, |estimate| {
            if estimate.latency > 0.0 {
                estimate.latency * self.weight(estimate.stamp, context.now)
            } else {
                0.0
            }
        })
    }

    fn score(&self, context: &PickContext<'_>, node: NodeId) -> f64 {
        let latency = self.latency(context, node);
        let in_flight = context.requests(Signal::Own, node);
        if latency <= 0.0 && in_flight > 0.0 {
            PENALTY.seconds() * (in_flight + 1.0)
        } else {
            latency * (in_flight + 1.0)
        }
    }

    fn sample(&mut self, now: Time, seat: usize, latency: f64) {
        if self.nodes.len() <= seat {
            self.nodes.resize(seat + 1, Estimate::default());
        }
        let old = self.nodes[seat];
        let weight = self.weight(old.stamp, now);
        let latency = latency.max(1e-9);
        let new = if latency > old.latency * weight {
            latency
        } else {
            old.latency * weight + latency * (1.0 - weight)
        };
        self.nodes[seat] = Estimate { latency: new, stamp: now };
    }
}

impl Strategy for PeakEwma {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        pick_least(context, context.candidates(), rng, why, |id| {
            (context.against_failure(context.node(id), self.score(context, id)), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Latency, self.score(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        match *fact {
            Fact::FirstToken { node, took, .. } if !self.total => {
                self.sample(now, fleet.node(node).seat as usize, took.seconds());
            }
            Fact::Ended { node, end, took, first_token, .. } => {
                let seat = fleet.node(node).seat as usize;
                if end.is_wasted() {
                    self.sample(now, seat, took.max(PENALTY).seconds());
                } else if end == End::Done && (self.total || first_token.is_none()) {
                    // An answer that did not stream has no first token of its own.
                    self.sample(now, seat, took.seconds());
                }
            }
            _ => {}
        }
    }
}
