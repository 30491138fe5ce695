//! Consistent hashing: the same key goes to the same node, and a change of the fleet moves few keys.
//!
//! - `ring`: every node has points on a ring in proportion to its weight; a key goes to the first
//!   point clockwise (Karger 1997; ketama).
//! - `maglev`: a table of prime size, filled by the nodes in turns, each in its own order (Eisenbud et
//!   al., NSDI 2016); one look-up a decision.
//! - `rendezvous`: the node with the least weighted hash of (key, node); exact weights, a scan.
//!
//! With a `bound` c above zero no node gets more than `c (total + 1) weight / sum of weights`
//! (Mirrokni et al. 2018): a key whose node is full goes on to pseudo-random others of its own order,
//! which does not cascade as the next point of a ring would. Tables are rebuilt when a node joins or a
//! weight changes; nodes that are down keep their place, so their keys come back.

use super::hashing::{KEYS, Key, distance};
use super::{
    GoesBy, PickContext, Setting, SettingKind, Strategy, StrategyDef, least_connections, pick_least,
};
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Scored, Term, Terms, Why};
use crate::rng::{Rng, mix};
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "consistent_hash",
    summary: "the same key goes to the same node: ring, Maglev or rendezvous, loads bounded",
    when: "caches by tenant, session or prompt, several balancers that must agree",
    cost: "ring O(log n), maglev O(1), rendezvous O(n)",
    source: "Karger 1997; Maglev, NSDI 2016; Mirrokni et al. 2018 (bounded loads)",
    goes_by: &[GoesBy::Keys, GoesBy::Load],
    settings: &[
        Setting {
            name: "method",
            kind: SettingKind::Choice(METHODS),
            default: 1,
            about: "how a key finds its node",
        },
        Setting {
            name: "key",
            kind: SettingKind::Choice(KEYS),
            default: 0,
            about: "what is hashed; a request without one is its own key",
        },
        Setting {
            name: "bound",
            kind: SettingKind::Ratio { max: 100_000_000 },
            default: 1_500_000,
            about: "no node gets more than so many times its share; 0 for no bound",
        },
    ],
    build: |spec| {
        Box::new(ConsistentHash {
            method: spec.choice("method"),
            key: Key::of(spec.choice("key")),
            bound: spec.ratio("bound"),
            generation: None,
            points: Vec::new(),
            table: Vec::new(),
            weights: 0.0,
        })
    },
};

const METHODS: &[&str] = &["ring", "maglev", "rendezvous"];

/// Points on the ring for a node of the mean weight.
const POINTS: f64 = 160.0;
/// Points on the ring altogether go so far.
const POINTS_MAX: f64 = 4_000_000.0;
/// Sizes of the Maglev table: prime, at least a hundred times the nodes.
const TABLES: [usize; 3] = [65_537, 655_373, 2_000_003];
/// Steps from a full node to others before all are looked at.
const JUMPS: u64 = 64;

#[derive(Debug)]
struct ConsistentHash {
    method: u64,
    key: Key,
    bound: f64,
    /// The state of the tier the tables were built for.
    generation: Option<u64>,
    /// The ring, by hash.
    points: Vec<(u64, NodeId)>,
    /// The Maglev table.
    table: Vec<NodeId>,
    weights: f64,
}

impl ConsistentHash {
    fn rebuild(&mut self, context: &PickContext<'_>) {
        let generation = context.fleet.generation(context.pool, context.tier);
        if self.generation == Some(generation) {
            return;
        }
        self.generation = Some(generation);
        let members = context.members();
        let weight = |node: NodeId| f64::from(context.node(node).spec.weight);
        self.weights = members.iter().map(|&node| weight(node)).sum();
        match self.method {
            0 => {
                let mean = self.weights / members.len() as f64;
                let each = POINTS.min(POINTS_MAX / members.len() as f64);
                self.points.clear();
                for &node in members {
                    let count = (each * weight(node) / mean).ceil().clamp(1.0, POINTS_MAX) as u64;
                    let own = (0..count).map(|point| (mix(mix(1, u64::from(node.0)), point), node));
                    self.points.extend(own);
                }
                self.points.sort_unstable();
            }
            1 => self.fill(context),
            _ => {}
        }
    }

    /// Fills the Maglev table: in each round a node takes `weight / largest weight` slots, the next
    /// free ones of its own permutation of the table.
    fn fill(&mut self, context: &PickContext<'_>) {
        let members = context.members();
        let wanted = members.len() * 100;
        let size = TABLES.into_iter().find(|&size| size >= wanted).unwrap_or(TABLES[2]);
        let free = NodeId(u32::MAX);
        self.table.clear();
        self.table.resize(size, free);
        let heaviest = f64::from(context.fleet.weight_max(context.pool, context.tier).max(1));
        let hash = |node: NodeId, salt| mix(mix(salt, u64::from(node.0)), 0x6d61_676c);
        let mut turns: Vec<(usize, usize, f64)> = members
            .iter()
            .map(|&node| {
                let offset = (hash(node, 2) % size as u64) as usize;
                let skip = (hash(node, 3) % (size as u64 - 1) + 1) as usize;
                (offset, skip, 0.0)
            })
            .collect();
        let mut left = size;
        while left > 0 {
            for (&node, (at, skip, credit)) in members.iter().zip(&mut turns) {
                *credit += f64::from(context.node(node).spec.weight) / heaviest;
                if *credit < 1.0 || left == 0 {
                    continue;
                }
                *credit -= 1.0;
                while self.table[*at] != free {
                    *at = (*at + *skip) % size;
                }
                self.table[*at] = node;
                left -= 1;
            }
        }
    }

    /// The node of a hash, whether or not it may serve.
    fn home(&self, hash: u64) -> NodeId {
        if self.method == 0 {
            let at = self.points.partition_point(|(point, _)| *point < hash);
            self.points[at % self.points.len()].1
        } else {
            self.table[(hash % self.table.len() as u64) as usize]
        }
    }

    fn has_room(&self, context: &PickContext<'_>, id: NodeId) -> bool {
        if self.bound <= 0.0 {
            return true;
        }
        let node = context.node(id);
        let total = context.fleet.tier_load(context.pool, context.tier) as f64;
        let share = f64::from(node.spec.weight) / self.weights;
        f64::from(node.ledger.requests) < (self.bound * (total + 1.0) * share).max(1.0).ceil()
    }
}

impl Strategy for ConsistentHash {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.rebuild(context);
        let key = self.key.hash(context.request);
        if self.method != 2 {
            for jump in 0..JUMPS {
                let node = self.home(if jump == 0 { key } else { mix(key, jump) });
                why.considered += 1;
                if context.allows(node)
                    && self.has_room(context, node)
                    && context.node(node).success(context.now) > 0.5
                {
                    context.looked_at(node, f64::NAN);
                    why.chosen = Scored::unscored(node);
                    return Some(node);
                }
            }
        }
        pick_least(context, context.candidates(), rng, why, |id| {
            let full = f64::from(u8::from(!self.has_room(context, id)));
            (
                full * 1e9 + context.against_failure(context.node(id), distance(context, key, id)),
                0.0,
            )
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, least_connections::load(context, Signal::Own, node))
    }
}
