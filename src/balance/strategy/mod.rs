//! Strategies: which of the nodes that may serve a request should.
//!
//! The machine filters (what is allowed), a strategy prefers (what is better): it never checks
//! health, limits or tags, it only sees open nodes. It owns derived numbers, never the in-flight
//! count, so it can be swapped in mid-run and rebuilt from ledger and fleet. Scores are physical
//! (requests, tokens, seconds, dollars), lower is better, ties are broken by a random draw, and
//! load-type costs are divided by the node's success probability.
//!
//! Adding a strategy costs one file, one `mod` line here and one line in [`REGISTRY`].

use std::cell::RefCell;
use std::fmt;

use super::fleet::{Fleet, Node};
use super::spec::Signal;
use super::spec::Tier;
use super::spec::route::Demands;
use super::vocabulary::Filter;
use super::vocabulary::Request;
use super::vocabulary::failure::Refusals;
use super::vocabulary::{End, Scored, Terms, Usage, Why};
use crate::rng::Rng;
use crate::unit::{ClassId, NodeId, PoolId, RegionId, Span, Time, Tokens};

mod budget_paced;
mod c3;
mod cache_aware_sglang;
mod cheapest;
mod consistent_hash;
mod cost_latency;
mod endpoint_picker;
mod formula;
mod hashing;
mod join_idle_queue;
mod kv_overlap;
mod latency_window;
mod least_connections;
mod least_kv;
mod least_tokens;
mod lmetric;
mod oracle;
mod peak_ewma;
mod power_of_two;
mod predict;
mod prefix_cache_aware;
mod prefix_index;
mod prequal;
mod random;
mod registry;
mod round_robin;
pub mod score;
mod session_affinity;
mod shortest_expected;
mod slo_cheapest;
mod smart;
mod spec;
mod weighted_least_connections;
mod weighted_random;
mod weighted_round_robin;

pub use registry::{REGISTRY, usable};
pub use spec::{GoesBy, Setting, SettingKind, StrategyDef, StrategySpec};

/// Chooses among nodes that may all serve the request.
pub trait Strategy: Send + fmt::Debug {
    /// Picks one candidate and notes in `why` whom it looked at. `None` means: let it wait.
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId>;

    /// Returns the additive terms of this node's score for this request; none if it does not score.
    /// Asked after `pick`, about the same request.
    fn terms(&self, _context: &PickContext<'_>, _node: NodeId) -> Terms {
        Terms::NONE
    }

    /// Returns what it wants to be reminded of by every fact about the attempt it has just chosen
    /// this node for: its prediction, say. Kept by the core, so a strategy that is exchanged loses
    /// nothing and leaves nothing.
    fn memo(&self, _context: &PickContext<'_>, _node: NodeId) -> Option<Memo> {
        None
    }

    /// Hears the facts about its nodes. Most strategies need none.
    fn learn(&mut self, _now: Time, _fact: &Fact<'_>, _fleet: &Fleet) {}
}

/// What a strategy may keep with an attempt.
pub type Memo = [f32; 8];

/// What was known when an attempt was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DispatchFacts {
    /// The request's class.
    pub class: ClassId,
    /// Tokens of its prompt.
    pub prompt: Tokens,
    /// Tokens its answer was expected to have.
    pub expected: Tokens,
    /// What the strategy wanted to be reminded of; `None` also if another strategy chose.
    pub memo: Option<Memo>,
}

/// What a strategy hears about its nodes and the attempts on them.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// An attempt was sent.
    Dispatched {
        /// The node.
        node: NodeId,
        /// The request.
        request: &'a Request,
    },
    /// The first token came.
    FirstToken {
        /// The node.
        node: NodeId,
        /// How long after the dispatch.
        took: Span,
        /// What was known when it was sent.
        sent: &'a DispatchFacts,
    },
    /// More tokens came. Told as often as the executor tells the core.
    Tokens {
        /// The node.
        node: NodeId,
        /// Tokens of the answer that have come.
        so_far: Tokens,
        /// How long after the first token.
        took: Span,
        /// What was known when it was sent.
        sent: &'a DispatchFacts,
    },
    /// The fate of an attempt was decided: at its end, or when the core gave it up.
    Ended {
        /// The node.
        node: NodeId,
        /// How.
        end: End,
        /// How long after the dispatch.
        took: Span,
        /// How long after the dispatch the first token had come, if it had.
        first_token: Option<Span>,
        /// Tokens it used, as far as is known by now.
        usage: Usage,
        /// What was known when it was sent.
        sent: &'a DispatchFacts,
    },
}

/// A question to a strategy: the request and the nodes that may serve it.
#[derive(Debug)]
pub struct PickContext<'a> {
    /// Now.
    pub now: Time,
    /// The request.
    pub request: &'a Request,
    /// Tokens its answer is expected to have.
    pub expected_output: Tokens,
    /// All nodes, with ledger.
    pub fleet: &'a Fleet,
    /// The pool to choose from.
    pub pool: PoolId,
    /// The tier to choose from.
    pub tier: Tier,
    /// What a node must have.
    pub(super) demands: Demands,
    /// Whether ejected nodes are asked, and no others: nothing well is left.
    pub(super) last_resort: bool,
    /// Nodes that were tried before and are not to be tried again now.
    pub(super) avoid: &'a [NodeId],
    /// Nodes in slow start that have had their share for now.
    pub(super) held_back: &'a [NodeId],
    /// A node must have room for so many requests.
    pub(super) members: u32,
    /// The region a node must be in, while others are not asked.
    pub(super) within: Option<RegionId>,
    /// Hears who was looked at and what was made of them, where somebody wants an explanation.
    pub(super) listener: Option<&'a RefCell<Vec<(NodeId, f64)>>>,
    /// The one node that is asked: it has what the request goes on from.
    pub(super) home: Option<NodeId>,
    /// The region a node must not be in, while others are asked.
    pub(super) beyond: Option<RegionId>,
    /// Which of the nodes tried have refused the request, and over what.
    pub(super) refused: (Refusals, &'a [NodeId]),
}

impl PickContext<'_> {
    /// Returns whether this node of the tier is a candidate.
    #[must_use]
    pub fn allows(&self, node: NodeId) -> bool {
        self.is_choice(node) && self.permits(node)
    }

    /// Returns whether it is one of those that are asked: those that are up, or those of last resort.
    fn is_choice(&self, node: NodeId) -> bool {
        self.fleet.is_open(node) && self.node(node).state().is_ejected() == self.last_resort
    }

    /// Those of the tier that are asked.
    fn choices(&self) -> &[NodeId] {
        self.fleet.choices(self.pool, self.tier, self.last_resort)
    }

    /// Returns whether every open node of the tier is a candidate.
    fn takes_any(&self) -> bool {
        self.demands.are_none()
            && self.within.is_none()
            && self.avoid.is_empty()
            && self.beyond.is_none()
            && self.held_back.is_empty()
            && self.members <= 1
            && self.home.is_none()
            && self.refused.0.is_empty()
            && !self.fleet.has_quotas()
    }

    fn permits(&self, node: NodeId) -> bool {
        (self.demands.are_none() || self.demands.are_met_by(&self.node(node).spec))
            && self.within.is_none_or(|region| self.fleet.node(node).spec.region == region)
            && !self.avoid.contains(&node)
            && self.home.is_none_or(|home| home == node)
            && self.beyond.is_none_or(|region| self.fleet.node(node).spec.region != region)
            && !self.held_back.contains(&node)
            && !self.is_refused(node)
            && (self.members <= 1 || self.fleet.node(node).fits(self.members))
            && self.has_quota(node)
    }

    fn is_refused(&self, node: NodeId) -> bool {
        let (refusals, tried) = self.refused;
        !refusals.is_empty() && self.fleet.is_refused(node, refusals, tried)
    }

    /// Returns what the request was refused over.
    const fn refused_over(&self) -> Filter {
        if self.refused.0.credential != 0 { Filter::Credential } else { Filter::Refused }
    }

    fn has_quota(&self, node: NodeId) -> bool {
        if !self.fleet.has_quotas() {
            return true;
        }
        let tokens = self.request.prompt.0.saturating_add(self.expected_output.0);
        self.fleet.quota_wait(node, self.now, tokens) == Span::ZERO
    }

    /// Returns why the node is no candidate, if it is none.
    #[must_use]
    pub fn filter(&self, node: NodeId) -> Option<Filter> {
        let state = self.node(node).state();
        let ill = state.is_ejected() && !self.last_resort;
        if ill || !self.fleet.serves(node) {
            Some(Filter::State(state))
        } else if !self.fleet.is_open(node) {
            Some(Filter::Full)
        } else if self.avoid.contains(&node) {
            Some(Filter::Tried)
        } else if self.held_back.contains(&node) {
            Some(Filter::SlowStart)
        } else if self.permits(node) {
            None
        } else if self.is_refused(node) {
            Some(self.refused_over())
        } else if self.demands.model.is_some_and(|model| self.node(node).spec.model != model) {
            Some(Filter::Model)
        } else if !self.demands.are_met_by(&self.node(node).spec) {
            Some(Filter::Tags)
        } else if self.home.is_some_and(|home| home != node) {
            Some(Filter::Home)
        } else if self.within.is_some_and(|region| self.node(node).spec.region != region) {
            Some(Filter::Region)
        } else if self.beyond.is_some_and(|region| self.node(node).spec.region == region) {
            Some(Filter::Domain)
        } else if !self.has_quota(node) {
            Some(Filter::Quota)
        } else {
            Some(Filter::Full)
        }
    }

    /// Returns the candidates, in no particular order. Cost: all open nodes of the tier.
    pub fn candidates(&self) -> impl Iterator<Item = NodeId> + '_ {
        let open = self.choices();
        let any = self.takes_any();
        open.iter().copied().filter(move |&node| any || self.permits(node))
    }

    /// Returns all nodes of the tier in file order, candidates or not.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        self.fleet.members(self.pool, self.tier)
    }

    /// Returns how many nodes of the tier are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.choices().len()
    }

    /// Draws a candidate uniformly. Expected cost is constant while most open nodes are
    /// candidates, all open nodes at worst.
    pub fn draw(&self, rng: &mut Rng) -> Option<NodeId> {
        let open = self.choices();
        if open.is_empty() {
            return None;
        }
        for _ in 0..8 {
            let node = open[rng.below(open.len())];
            if self.permits(node) {
                return Some(node);
            }
        }
        let count = self.candidates().count();
        (count > 0).then(|| self.candidates().nth(rng.below(count)))?
    }

    /// Puts the nodes worth a look into `list`: all candidates while at most [`SCAN_MAX`] nodes are
    /// open, otherwise `choices` of them, drawn without replacement in proportion to weight. So the
    /// cost of a decision stays bounded in fleets of any size.
    pub fn shortlist(&self, choices: usize, list: &mut Shortlist, rng: &mut Rng) {
        list.len = 0;
        let open = self.choices();
        if open.len() <= SCAN_MAX {
            self.candidates().for_each(|node| list.add(node));
            return;
        }
        let heaviest = f64::from(self.fleet.weight_max(self.pool, self.tier).max(1));
        // A repeated or refused draw is thrown away; the effort is bounded.
        for _ in 0..8 * choices {
            if list.len >= choices {
                return;
            }
            let node = open[rng.below(open.len())];
            let weight = f64::from(self.node(node).spec.weight);
            if (weight >= heaviest || rng.unit() * heaviest < weight) && self.permits(node) {
                list.add_once(node);
            }
        }
        if list.len == 0 {
            self.candidates().take(choices.min(SCAN_MAX)).for_each(|node| list.add(node));
        }
    }

    /// Notes for an explanation that this node was looked at.
    pub fn looked_at(&self, node: NodeId, score: f64) {
        if let Some(listener) = self.listener {
            listener.borrow_mut().push((node, score));
        }
    }

    /// Returns the node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        self.fleet.node(id)
    }

    /// Returns the requests on a node as a signal has them.
    #[must_use]
    #[inline]
    pub fn requests(&self, signal: Signal, node: NodeId) -> f64 {
        // Of a signed number it is one instruction.
        self.fleet.requests(signal, node, self.now) as i64 as f64
    }

    /// Divides a load-type cost by the probability that the node succeeds.
    #[must_use]
    #[inline]
    pub fn against_failure(&self, node: &Node, cost: f64) -> f64 {
        cost / node.success(self.now)
    }
}

/// What a decision typically costs: the price of an attempt that fails.
///
/// A cost may be next to nothing on an empty node, and next to nothing divided by any probability is
/// next to nothing: so a node that fails is also charged for the attempt that is then to be made
/// elsewhere, `cost / p + (1 - p) / p * 3 * typical`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TypicalCost(f64);

impl TypicalCost {
    /// The cost with what failures are expected to cost.
    pub(super) fn against_failure(self, context: &PickContext<'_>, id: NodeId, cost: f64) -> f64 {
        let success = context.node(id).success(context.now);
        (cost + (1.0 - success) * 3.0 * self.0) / success
    }

    /// Remembers the cost of the node that was chosen: what was expected of failures comes off
    /// again, or the memory would feed on itself and grow without end while every node fails.
    pub(super) fn learn(&mut self, context: &PickContext<'_>, why: &Why) {
        let (node, score) = (why.chosen.node, why.chosen.score);
        if score.is_finite() && context.fleet.knows(node) {
            let success = context.node(node).success(context.now);
            let cost = score * success - (1.0 - success) * 3.0 * self.0;
            self.0 += 0.05 * (cost - self.0);
        }
    }
}

/// Up to so many open nodes are all looked at; of more, some are drawn.
pub const SCAN_MAX: usize = 128;

/// Nodes worth a look; see [`PickContext::shortlist`].
#[derive(Clone, Debug)]
pub struct Shortlist {
    nodes: [NodeId; SCAN_MAX],
    len: usize,
}

impl Default for Shortlist {
    fn default() -> Shortlist {
        Shortlist { nodes: [NodeId(0); SCAN_MAX], len: 0 }
    }
}

impl Shortlist {
    /// Empties it.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a node; silent beyond [`SCAN_MAX`].
    pub fn add(&mut self, node: NodeId) {
        if self.len < SCAN_MAX {
            self.nodes[self.len] = node;
            self.len += 1;
        }
    }

    /// Adds a node unless it is in the list. Cost: the length of the list.
    pub fn add_once(&mut self, node: NodeId) {
        if !self.nodes().contains(&node) {
            self.add(node);
        }
    }

    /// Returns the nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes[..self.len]
    }
}

/// Picks the least of `nodes` by (`cost`, then tie-breaker), equals by a random draw, and notes
/// winner, runner-up and how many were looked at.
pub(super) fn pick_least(
    context: &PickContext<'_>,
    nodes: impl Iterator<Item = NodeId>,
    rng: &mut Rng,
    why: &mut Why,
    mut cost: impl FnMut(NodeId) -> (f64, f64),
) -> Option<NodeId> {
    let mut best: Option<(NodeId, (f64, f64))> = None;
    let mut second: Option<(NodeId, f64)> = None;
    let mut ties = 0;
    for node in nodes {
        why.considered += 1;
        let this = cost(node);
        context.looked_at(node, this.0);
        let Some((champion, least)) = best else {
            best = Some((node, this));
            ties = 1;
            continue;
        };
        // Most are dearer than the best so far, and to see that takes one comparison.
        let order = if this.0 > least.0 {
            std::cmp::Ordering::Greater
        } else {
            this.0.total_cmp(&least.0).then_with(|| this.1.total_cmp(&least.1))
        };
        match order {
            std::cmp::Ordering::Less => {
                second = Some((champion, least.0));
                best = Some((node, this));
                ties = 1;
            }
            std::cmp::Ordering::Equal => {
                // The k-th equal replaces the champion with probability 1/k: a uniform draw.
                ties += 1;
                if rng.below(ties) == 0 {
                    best = Some((node, this));
                    second = Some((champion, least.0));
                } else {
                    second = Some((node, this.0));
                }
            }
            std::cmp::Ordering::Greater => {
                if second.is_none_or(|(_, cost)| this.0 < cost) {
                    second = Some((node, this.0));
                }
            }
        }
    }
    let (node, (score, _)) = best?;
    why.chosen = Scored { node, score, terms: Terms::NONE };
    why.runner_up = second.map(|(node, score)| Scored { node, score, terms: Terms::NONE });
    Some(node)
}

/// The setting of strategies that go by requests in flight.
const SIGNAL: Setting = Setting {
    name: "signal",
    kind: SettingKind::Choice(Signal::WORDS),
    default: 0,
    about: "whose count: own and peers', the node's report, or that and own since",
};
