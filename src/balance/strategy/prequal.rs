//! Prequal: a pool of probe answers, hot nodes by load, cold nodes by latency.
//!
//! Every request sends `probes` probes to random nodes; their answers, requests in flight and latency,
//! enter a pool of [`POOL_MAX`]. Answers older than a second, or used too often, leave it. A node with more
//! in flight than the [`QUANTILE`] of those seen lately is hot. If any node in the pool is cold, the cold
//! one with the least latency gets the request, else the hot one with the least in flight (Wydrowski et
//! al., NSDI 2024). The core has the in-flight counts and measures latencies, so a probe is answered from
//! there and costs no round trip: what remains of Prequal is its rule and the age of its answers.

use super::{Ask, Entry, Fact, Setting, SettingKind, Strategy, least, least_connections};
use crate::balance::event::{End, Scored, Term, Terms, Why};
use crate::balance::failover::wasted;
use crate::balance::fleet::Fleet;
use crate::balance::hearsay::Signal;
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

pub(super) const ENTRY: Entry = Entry {
    name: "prequal",
    summary: "from a pool of recent probes, the fastest of the nodes that are not hot",
    when: "very many nodes with unlike background load, short requests",
    cost: "O(1)",
    source: "Wydrowski et al., NSDI 2024, Load is not what you should balance",
    settings: &[Setting {
        name: "probes",
        kind: SettingKind::Count { min: 1, max: 8 },
        default: 3,
        about: "nodes probed for a request",
    }],
    build: |spec| {
        Box::new(Prequal {
            probes: spec.get(0) as usize,
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
    /// By seat: smoothed seconds to the first token; zero while not known.
    latencies: Vec<f64>,
}

impl Prequal {
    fn probe(&mut self, ask: &Ask<'_>, rng: &mut Rng) {
        for _ in 0..self.probes {
            let Some(id) = ask.draw(rng) else { return };
            let node = ask.node(id);
            let in_flight = node.ledger.requests;
            let latency = self.latencies.get(node.seat as usize).copied().unwrap_or(0.0);
            let latency = ask.against_failure(node, latency.max(1e-6));
            self.pool.retain(|answer| answer.node != id);
            self.pool.push(Answer { node: id, in_flight, latency, at: ask.now, uses: 0 });
            self.seen[self.seen_at] = in_flight;
            self.seen_at = (self.seen_at + 1) % SEEN;
            self.seen_len = (self.seen_len + 1).min(SEEN);
        }
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
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.tidy(ask.now);
        self.probe(ask, rng);
        let hot = self.threshold();
        let usable = self.pool.iter().enumerate().filter(|(_, answer)| ask.allows(answer.node));
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
            let node = ask.draw(rng)?;
            return least(ask, std::iter::once(node), rng, why, |node| {
                (least_connections::cost(ask, Signal::Own, node), 0.0)
            });
        };
        self.pool[place].uses += 1;
        self.pool[place].in_flight += 1;
        for other in &self.pool {
            ask.looked_at(other.node, other.latency);
        }
        let score = answer.latency;
        why.chosen = Scored { score, ..Scored::unscored(answer.node) };
        Some(answer.node)
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        let seat = ask.node(node).seat as usize;
        Terms::NONE
            .with(Term::Load, least_connections::load(ask, Signal::Own, node))
            .with(Term::Latency, self.latencies.get(seat).copied().unwrap_or(0.0))
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, fleet: &Fleet) {
        let Fact::Ended { node, end, took, first_token, .. } = *fact else { return };
        let sample = match end {
            End::Done => first_token.unwrap_or(took).seconds(),
            end if wasted(end) => took.seconds().max(PENALTY),
            _ => return,
        };
        let seat = fleet.node(node).seat as usize;
        if self.latencies.len() <= seat {
            self.latencies.resize(seat + 1, 0.0);
        }
        let old = self.latencies[seat];
        self.latencies[seat] = if old > 0.0 { old + 0.2 * (sample - old) } else { sample };
    }
}
