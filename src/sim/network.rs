//! The network of a simulation: how long words are under way between clients, balancer and nodes.
//!
//! A round trip between two regions is a constant times a log-normal factor of mean one, drawn for
//! each request (client to balancer) and for each attempt or probe on its node (balancer to node),
//! from keys of their own: neither strategy nor order changes a draw. Measured round trips have
//! such a long upper tail over a floor (RIPE Atlas, PingER); the floor is left out.
//!
//! - **Balancer to node**: half of the round trip passes before the node hears of a dispatch, an
//!   abort or a probe, the other half before the balancer hears each word of the node. So first
//!   token and last token are both late by one round trip, tokens flow at the node's own pace, and
//!   an aborted attempt costs what the node does until it hears of that.
//! - **Client to balancer**: the whole round trip passes before the balancer hears of a request,
//!   whose `arrived` stays when the client sent it. What the client sees (`arrived` to first and
//!   last token) is exact; only the clock of the balancer is late, by half a round trip.
//!
//! What has no region is next to the balancer. The network loses nothing and has no bandwidth.

use crate::balance::{Attempt, Request};
use crate::dist::Dist;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, RegionId, Span};

/// Jitter goes so far.
pub const JITTER_MAX: f64 = 3.0;

/// A network as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSpec {
    /// By region: the mean round trip between it and the balancer. What is not here takes no time.
    pub rtt: Vec<Span>,
    /// Coefficient of variation of a round trip: 0 for always the mean, at most [`JITTER_MAX`].
    pub jitter: f64,
}

/// The ways of a simulation.
#[derive(Debug)]
pub(super) struct Network {
    rtt: Vec<Span>,
    /// By node.
    regions: Vec<RegionId>,
    /// The factor of a round trip; `None` for always one.
    jitter: Option<Dist>,
    /// Keys its draws: of requests, attempts and probes.
    keys: [u64; 3],
}

/// The two halves of a round trip between balancer and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// From the balancer to the node.
    pub(super) out: Span,
    /// From the node to the balancer.
    pub(super) back: Span,
}

impl Network {
    /// A network for nodes in these regions.
    ///
    /// # Panics
    /// If jitter is not a number from 0 to [`JITTER_MAX`].
    pub(super) fn new(spec: NetworkSpec, regions: Vec<RegionId>, seed: u64) -> Network {
        assert!((0.0..=JITTER_MAX).contains(&spec.jitter), "jitter is from 0 to {JITTER_MAX}");
        // Of a log-normal law: cv^2 = exp(sigma^2) - 1.
        let sigma = spec.jitter.mul_add(spec.jitter, 1.0).ln().sqrt();
        let jitter = Dist::lognormal_mean(1.0, sigma).ok().filter(|_| sigma > 0.0);
        let mut rng = Rng::stream(seed, "network");
        let keys = [rng.bits(), rng.bits(), rng.bits()];
        Network { rtt: spec.rtt, regions, jitter, keys }
    }

    /// Returns the round trip between the client of a request and the balancer.
    pub(super) fn origin(&self, request: &Request) -> Span {
        let region = request.region;
        region.map_or(Span::ZERO, |region| self.draw(region, mix(self.keys[0], request.id.0)))
    }

    /// Returns the way of an attempt.
    pub(super) fn attempt(&self, node: NodeId, attempt: Attempt) -> Way {
        let ordinal = u64::from(attempt.ordinal);
        self.way(node, mix(mix(self.keys[1], attempt.request.0), ordinal))
    }

    /// Returns the way of a probe.
    pub(super) fn probe(&self, node: NodeId, number: u32) -> Way {
        self.way(node, mix(self.keys[2], u64::from(number)))
    }

    fn way(&self, node: NodeId, key: u64) -> Way {
        let region = self.regions.get(node.index());
        let rtt = region.map_or(Span::ZERO, |region| self.draw(*region, mix(key, node.0.into())));
        let out = Span(rtt.0 / 2);
        Way { out, back: rtt - out }
    }

    fn draw(&self, region: RegionId, key: u64) -> Span {
        let rtt = self.rtt.get(region.index()).copied().unwrap_or_default();
        match &self.jitter {
            Some(factor) if rtt > Span::ZERO => rtt.scale(factor.sample(&mut Rng::from_key(key))),
            _ => rtt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{RequestId, Time};

    fn network(jitter: f64) -> Network {
        let rtt = vec![Span::ZERO, Span(85_000_001)];
        Network::new(NetworkSpec { rtt, jitter }, vec![RegionId(0), RegionId(1)], 7)
    }

    fn attempt(id: u64, ordinal: u8) -> Attempt {
        Attempt { request: RequestId(id), ordinal }
    }

    #[test]
    fn without_jitter_the_halves_make_the_round_trip() {
        let network = network(0.0);
        let way = network.attempt(NodeId(1), attempt(3, 0));
        assert_eq!(way.out + way.back, Span(85_000_001));
        assert!(way.back.0 - way.out.0 <= 1);
        let nothing = Way { out: Span::ZERO, back: Span::ZERO };
        assert_eq!(network.attempt(NodeId(0), attempt(3, 0)), nothing);
        assert_eq!(network.probe(NodeId(9), 0), nothing, "a node that is not known is near");
        let mut request = Request::new(RequestId(0), Time::ZERO);
        assert_eq!(network.origin(&request), Span::ZERO, "from nowhere known is near");
        request.region = Some(RegionId(1));
        assert_eq!(network.origin(&request), Span(85_000_001));
    }

    #[test]
    fn jitter_has_mean_one_and_its_variation_and_is_keyed() {
        let network = network(0.1);
        let total = 100_000_u64;
        let (mut sum, mut squares) = (0.0, 0.0);
        for id in 0..total {
            let way = network.attempt(NodeId(1), attempt(id, 0));
            let factor = (way.out + way.back).seconds() / 0.085_000_001;
            sum += factor;
            squares += factor * factor;
        }
        let mean = sum / total as f64;
        let cv = (squares / total as f64 - mean * mean).sqrt() / mean;
        // 3.29 standard errors of the mean: 0.1 * 3.29 / sqrt(1e5) = 0.001.
        assert!((mean - 1.0).abs() < 0.001, "mean {mean}");
        assert!((cv - 0.1).abs() < 0.002, "variation {cv}");
        let way = |id, ordinal| network.attempt(NodeId(1), attempt(id, ordinal));
        assert_eq!(way(1, 0), way(1, 0), "out and back of an attempt are of one draw");
        assert_ne!(way(1, 0), way(1, 1));
        assert_ne!(way(1, 0), way(2, 0));
    }
}
