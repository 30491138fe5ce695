//! Latency window: the least mean of the last samples of seconds per output token.
//!
//! As LiteLLM's latency-based routing, with its defects mended: the window slides, a sample is the
//! time to the first token or the time per token (never one divided by the other's count), requests in
//! flight count, every failure is a sample. Among nodes within `buffer` of the best one is drawn at
//! random. `compat` brings the defects back, as a baseline: a full window keeps its oldest nine samples
//! and overwrites only the tenth, the sample is the whole latency per output token, only time-outs
//! count as failures (with 1,000 s), and requests in flight are not seen.

use super::{Fact, GoesBy, PickContext, Setting, SettingKind, Strategy, StrategyDef, pick_least};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{End, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "latency_window",
    summary: "latency-based: the least mean latency of a sliding window",
    when: "hosted APIs whose latency drifts slowly; compat = on shows what LiteLLM would do",
    cost: "O(n)",
    source: "LiteLLM lowest_latency",
    goes_by: &[GoesBy::Latency],
    settings: &[
        Setting {
            name: "window",
            kind: SettingKind::Count { min: 1, max: WINDOW_MAX as u64 },
            default: 10,
            about: "samples remembered of a node",
        },
        Setting {
            name: "buffer",
            kind: SettingKind::Ratio { max: 100_000_000 },
            default: 500_000,
            about: "nodes within this share of the best are drawn from at random",
        },
        Setting {
            name: "ttl",
            kind: SettingKind::Span { min: Span::from_secs(1), max: Span::from_secs(86_400) },
            default: 3_600_000_000_000,
            about: "a node not heard of for so long is forgotten",
        },
        Setting {
            name: "compat",
            kind: SettingKind::Choice(&["off", "on"]),
            default: 0,
            about: "reproduce LiteLLM's defects",
        },
    ],
    build: |spec| {
        Box::new(LatencyWindow {
            window: spec.count("window") as usize,
            buffer: spec.ratio("buffer"),
            ttl: spec.span("ttl"),
            compat: spec.is("compat", "on"),
            nodes: Vec::new(),
        })
    },
};

const WINDOW_MAX: usize = 64;
/// What a failure counts as, in seconds a request.
const PENALTY: f64 = 5.0;
/// What a time-out counts as in LiteLLM, in seconds a token.
const COMPAT_PENALTY: f64 = 1_000.0;

#[derive(Debug)]
struct LatencyWindow {
    window: usize,
    buffer: f64,
    ttl: Span,
    compat: bool,
    /// By seat.
    nodes: Vec<LatencySamples>,
}

#[derive(Clone, Debug)]
struct LatencySamples {
    ring: [f32; WINDOW_MAX],
    len: usize,
    next: usize,
    last: Time,
}

impl Default for LatencySamples {
    fn default() -> LatencySamples {
        LatencySamples { ring: [0.0; WINDOW_MAX], len: 0, next: 0, last: Time::ZERO }
    }
}

impl LatencyWindow {
    /// The mean of the window; zero for a node not known, which is so tried first.
    fn mean(&self, now: Time, seat: usize) -> f64 {
        let Some(samples) = self.nodes.get(seat).filter(|samples| samples.len > 0) else {
            return 0.0;
        };
        if now.since(samples.last) > self.ttl {
            return 0.0;
        }
        let sum: f64 = samples.ring[..samples.len].iter().map(|sample| f64::from(*sample)).sum();
        sum / samples.len as f64
    }

    fn sample(&mut self, now: Time, seat: usize, value: f64) {
        if self.nodes.len() <= seat {
            self.nodes.resize(seat + 1, LatencySamples::default());
        }
        let (window, compat, ttl) = (self.window, self.compat, self.ttl);
        let samples = &mut self.nodes[seat];
        if now.since(samples.last) > ttl {
            *samples = LatencySamples::default();
        }
        samples.last = now;
        if samples.len < window {
            samples.ring[samples.len] = value as f32;
            samples.len += 1;
        } else if compat {
            samples.ring[window - 1] = value as f32;
        } else {
            samples.ring[samples.next] = value as f32;
            samples.next = (samples.next + 1) % window;
        }
    }

    fn cost(&self, context: &PickContext<'_>, id: NodeId) -> f64 {
        let node = context.node(id);
        let mean = self.mean(context.now, node.seat as usize);
        if self.compat {
            return mean;
        }
        // A node not known yet is tried once at a time.
        let in_flight = f64::from(node.ledger.requests);
        let mean = if mean <= 0.0 && in_flight > 0.0 { PENALTY } else { mean };
        context.against_failure(node, mean * (in_flight + 1.0))
    }
}

impl Strategy for LatencyWindow {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let best = context.candidates().map(|id| self.cost(context, id)).min_by(f64::total_cmp)?;
        let limit = best * (1.0 + self.buffer);
        // All within the buffer cost the same, so that equals are drawn from at random.
        pick_least(context, context.candidates(), rng, why, |id| {
            let cost = self.cost(context, id);
            (if cost <= limit { best } else { cost }, 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Latency, self.cost(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        let Fact::Ended { node, end, took, first_token, usage, .. } = *fact else { return };
        let seat = fleet.node(node).seat as usize;
        if self.compat {
            match end {
                End::Done => {
                    self.sample(now, seat, took.seconds() / usage.output.0.max(1) as f64);
                }
                End::TimedOut(_) => self.sample(now, seat, COMPAT_PENALTY),
                _ => {}
            }
        } else if end.is_wasted() {
            self.sample(now, seat, took.seconds().max(PENALTY));
        } else if end == End::Done {
            self.sample(now, seat, first_token.unwrap_or(took).seconds());
        }
    }
}
