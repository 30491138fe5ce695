//! C3: replica ranking by response time and the cube of the queue.
//!
//! `score = R - 1/mu + q^3 / mu` with `q = 1 + own * clients + reported queue` (Suresh et al., NSDI
//! 2015): R is the smoothed response time, 1/mu the smoothed service time, `own` the requests this
//! balancer has there, `clients` the number of balancers. The cube makes long queues disproportionately
//! bad. The service time is taken to be the response time over the requests that were in flight.

use super::{Fact, GoesBy, PickContext, Setting, SettingKind, Strategy, StrategyDef, pick_least};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{End, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "c3",
    summary: "response time plus the cube of the queue, in service times",
    when: "replicated stores and tools with short requests; reports of queue length help",
    cost: "O(n)",
    source: "Suresh et al., NSDI 2015; Elasticsearch adaptive replica selection",
    goes_by: &[GoesBy::Latency, GoesBy::Load],
    settings: &[
        Setting {
            name: "clients",
            kind: SettingKind::Count { min: 1, max: 10_000 },
            default: 1,
            about: "balancers that share the nodes",
        },
        Setting {
            name: "smoothing",
            kind: SettingKind::Ratio { max: 1_000_000 },
            default: 300_000,
            about: "weight of a new sample",
        },
    ],
    build: |spec| {
        Box::new(C3 {
            clients: spec.count("clients") as f64,
            gain: spec.ratio("smoothing"),
            nodes: Vec::new(),
        })
    },
};

/// A failure counts as a response of at least so many seconds.
const PENALTY: f64 = 5.0;

#[derive(Debug)]
struct C3 {
    clients: f64,
    gain: f64,
    /// By seat: smoothed response and service times in seconds; zero while not known.
    nodes: Vec<(f64, f64)>,
}

impl C3 {
    /// (response, queue) terms of the score.
    fn parts(&self, context: &PickContext<'_>, id: NodeId) -> (f64, f64) {
        let node = context.node(id);
        let (response, service) = self.nodes.get(node.seat as usize).copied().unwrap_or((0.0, 0.0));
        let own = f64::from(node.ledger.requests);
        let waiting =
            context.fleet.report(id, context.now).map_or(0.0, |report| f64::from(report.waiting));
        let queue = 1.0 + own * self.clients + waiting;
        (response - service, queue.powi(3) * service)
    }
}

impl Strategy for C3 {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        pick_least(context, context.candidates(), rng, why, |id| {
            let (response, queue) = self.parts(context, id);
            let node = context.node(id);
            // Equals, and nodes not known yet, by load.
            (
                context.against_failure(node, (response + queue).max(0.0)),
                f64::from(node.ledger.requests),
            )
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let (response, queue) = self.parts(context, node);
        Terms::NONE.with(Term::Latency, response).with(Term::Queue, queue)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, fleet: &Fleet) {
        let Fact::Ended { node, end, took, .. } = *fact else { return };
        let member = fleet.node(node);
        let seat = member.seat as usize;
        let response = match end {
            End::Done => took.seconds(),
            end if end.is_wasted() => took.seconds().max(PENALTY),
            _ => return,
        };
        if self.nodes.len() <= seat {
            self.nodes.resize(seat + 1, (0.0, 0.0));
        }
        // The ended attempt is still on the ledger.
        let service = response / f64::from(member.ledger.requests.max(1));
        let smooth = |old: f64, new: f64| {
            if old > 0.0 { old + self.gain * (new - old) } else { new }
        };
        let (old_response, old_service) = self.nodes[seat];
        self.nodes[seat] = (smooth(old_response, response), smooth(old_service, service));
    }
}
