//! Prequal: a pool of probe answers, hot nodes by load, cold nodes by latency.
//!
//! Every request sends `probes` probes to random nodes; their answers, requests in flight and latency,
//! enter a pool of [`POOL_MAX`]. Answers older than a second, or used too often, leave it. A node with more
//! in flight than the [`QUANTILE`] of those seen lately is hot. If any node in the pool is cold, the cold
//! one with the least latency gets the request, else the hot one with the least in flight (Wydrowski et
//! al., NSDI 2024). A node's latency is the median of what requests took that found about as many in
//! flight there as there are now: a node is not fast because it was idle a second ago. The core has the in-flight counts and measures latencies, so a probe is answered from
//! there and costs no round trip: what remains of Prequal is its rule and the age of its answers.

use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Strategy, StrategyDef,
    least_connections, pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{End, Scored, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "prequal",
    summary: "from a pool of recent probes, the fastest of the nodes that are not hot",
    when: "very many nodes with unlike background load, short requests",
    cost: "O(1)",
    source: "Wydrowski et al., NSDI 2024, Load is not what you should balance",
    goes_by: &[GoesBy::Latency, GoesBy::Load],
    settings: &[Setting {
        name: "probes",
        kind: SettingKind::Count { min: 1, max: 8 },
        default: 3,
        about: "nodes probed for a request",
    }],
    build: |spec| {
        Box::new(Prequal {
            probes: spec.count("probes") as usize,
            pool: Vec::with_capacity(POOL_MAX + 8),
            seen: [0; SEEN],
            seen_len: 0,
            seen_at: 0,
            latencies: Vec::new(),
        })
    },
};

/// Answers in the pool.
const POOL_MAX: usize = 16;
/// The share of loads seen lately below which a node is cold: 2^-0.25.
const QUANTILE: f64 = 0.84;
/// Loads remembered for that.
const SEEN: usize = 64;
/// Answers older than this are dropped.
const AGE_MAX: Span = Span::from_secs(1);
/// An answer is used so often at most.
const USES_MAX: u32 = 3;
/// Latencies remembered for a node, and those of them that a median is taken of.
const SAMPLES: usize = 16;
const NEAR: usize = 5;
/// A failure counts as a latency of at least so many seconds.
const PENALTY: f64 = 5.0;

#[derive(Clone, Copy, Debug)]
struct Answer {
    node: NodeId,
    in_flight: u32,
    /// Seconds.
    latency: f64,
    at: Time,
    uses: u32,
}

#[derive(Debug)]
struct Prequal {
    probes: usize,
    pool: Vec<Answer>,
    seen: [u32; SEEN],
    seen_len: usize,
    seen_at: usize,
    /// By seat.
    latencies: Vec<Latencies>,
}

/// What the last requests of a node took, and how many others they found there.
#[derive(Clone, Copy, Debug, Default)]
struct Latencies {
    /// In flight, and seconds to the first token.
    samples: [(f32, f32); SAMPLES],
    len: usize,
    at: usize,
}

impl Latencies {
    fn learn(&mut self, in_flight: f32, seconds: f64) {
        self.samples[self.at] = (in_flight, seconds as f32);
        self.at = (self.at + 1) % SAMPLES;
        self.len = (self.len + 1).min(SAMPLES);
    }

    /// The median of those that found about so many in flight; zero while nothing is known. What they
    /// took is scaled by the loads, in proportion: without that a node that was full when it was last
    /// heard of stays slow for ever, as nobody asks it again, and one that fills up now looks fast
    /// until the first of those who wait there is answered.
    fn at(&self, in_flight: u32) -> f64 {
        let mut samples = self.samples;
        let samples = &mut samples[..self.len];
        let distance = |(found, _): &(f32, f32)| (found - in_flight as f32).abs();
        let near = samples.len().min(NEAR);
        if near == 0 {
            return 0.0;
        }
        samples.select_nth_unstable_by(near - 1, |a, b| distance(a).total_cmp(&distance(b)));
        for (found, seconds) in &mut samples[..near] {
            *seconds *= (in_flight as f32 + 1.0) / (*found + 1.0);
        }
        let (_, median, _) =
            samples[..near].select_nth_unstable_by(near / 2, |a, b| a.1.total_cmp(&b.1));
        f64::from(median.1)
    }
}

impl Prequal {
    fn probe(&mut self, context: &PickContext<'_>, rng: &mut Rng) {
        for _ in 0..self.probes {
            let Some(id) = context.draw(rng) else { return };
            let node = context.node(id);
            let in_flight = node.ledger.requests;
            let latency = self.latency(node.seat as usize, in_flight);
            let latency = context.against_failure(node, latency.max(1e-6));
            self.pool.retain(|answer| answer.node != id);
            self.pool.push(Answer { node: id, in_flight, latency, at: context.now, uses: 0 });
            self.seen[self.seen_at] = in_flight;
            self.seen_at = (self.seen_at + 1) % SEEN;
            self.seen_len = (self.seen_len + 1).min(SEEN);
        }
    }

    fn latency(&self, seat: usize, in_flight: u32) -> f64 {
        self.latencies.get(seat).map_or(0.0, |latencies| latencies.at(in_flight))
    }

    /// The load above which a node is hot.
    fn threshold(&self) -> u32 {
        let mut seen = self.seen;
        let seen = &mut seen[..self.seen_len];
        let place = ((seen.len() as f64 * QUANTILE) as usize).min(seen.len().saturating_sub(1));
        if seen.is_empty() { u32::MAX } else { *seen.select_nth_unstable(place).1 }
    }

    /// Drops what is too old or used up, and in turns the oldest and the worst of too many.
    fn tidy(&mut self, now: Time) {
        self.pool.retain(|answer| now.since(answer.at) <= AGE_MAX && answer.uses < USES_MAX);
        while self.pool.len() > POOL_MAX {
            self.pool.remove(0);
        }
    }
}

impl Strategy for Prequal {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.tidy(context.now);
        self.probe(context, rng);
        let hot = self.threshold();
        let usable = self.pool.iter().enumerate().filter(|(_, answer)| context.allows(answer.node));
        let best = usable.min_by(|(_, a), (_, b)| {
            let key = |answer: &Answer| {
                let is_hot = answer.in_flight > hot;
                let score = if is_hot { f64::from(answer.in_flight) } else { answer.latency };
                (is_hot, score)
            };
            let ((a_hot, a), (b_hot, b)) = (key(a), key(b));
            a_hot.cmp(&b_hot).then(a.total_cmp(&b))
        });
        why.considered = self.pool.len() as u32;
        let Some((place, answer)) = best.map(|(place, answer)| (place, *answer)) else {
            let node = context.draw(rng)?;
            return pick_least(context, std::iter::once(node), rng, why, |node| {
                (least_connections::cost(context, Signal::Own, node), 0.0)
            });
        };
        self.pool[place].uses += 1;
        self.pool[place].in_flight += 1;
        for other in &self.pool {
            context.looked_at(other.node, other.latency);
        }
        let score = answer.latency;
        why.chosen = Scored { score, ..Scored::unscored(answer.node) };
        Some(answer.node)
    }

    fn terms(&self, context: &PickContext<'_>, id: NodeId) -> Terms {
        let node = context.node(id);
        Terms::NONE
            .with(Term::Load, least_connections::load(context, Signal::Own, id))
            .with(Term::Latency, self.latency(node.seat as usize, node.ledger.requests))
    }

    fn memo(&self, context: &PickContext<'_>, id: NodeId) -> Option<Memo> {
        let mut memo = Memo::default();
        memo[0] = context.node(id).ledger.requests as f32;
        Some(memo)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, fleet: &Fleet) {
        let Fact::Ended { node, end, took, first_token, sent, .. } = *fact else { return };
        let sample = match end {
            End::Done => first_token.unwrap_or(took).seconds(),
            end if end.is_wasted() => took.seconds().max(PENALTY),
            _ => return,
        };
        let Some(memo) = sent.memo else { return };
        let seat = fleet.node(node).seat as usize;
        if self.latencies.len() <= seat {
            self.latencies.resize(seat + 1, Latencies::default());
        }
        self.latencies[seat].learn(memo[0], sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_that_of_the_load_of_now() {
        let mut node = Latencies::default();
        assert!(node.at(0) <= 0.0);
        (0..8).for_each(|_| node.learn(0.0, 0.1));
        (0..8).for_each(|_| node.learn(10.0, 2.0));
        assert!((node.at(0) - 0.1).abs() < 1e-6 && (node.at(10) - 2.0).abs() < 1e-6);
        // Where nothing was seen it is taken to be in proportion; the oldest are forgotten.
        assert!((node.at(21) - 4.0).abs() < 1e-6);
        (0..8).for_each(|_| node.learn(10.0, 3.3));
        assert!((node.at(0) - 2.0 / 11.0).abs() < 0.2);
    }
}
