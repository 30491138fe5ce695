//! Power of two choices: draw two nodes, take the one with fewer requests in flight.
//!
//! For `n` M/M/1 nodes, `n` large, the share of nodes with at least k requests falls as
//! `rho^(2^k - 1)` (Mitzenmacher 2001; Vvedenskaya 1996): nearly as good as a full scan at constant
//! cost, and it does not herd on old figures. `choices` draws more than two.

use super::{
    GoesBy, PickContext, SIGNAL, Setting, SettingKind, Strategy, StrategyDef, least_connections,
    pick_least,
};
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

/// No more nodes are drawn than this.
const CHOICES_MAX: usize = 64;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "power_of_two",
    summary: "of two nodes drawn at random, the one with fewer requests in flight",
    when: "very many nodes, or several balancers with old figures; use 4 to 8 choices on mixed nodes",
    cost: "O(choices)",
    source: "Mitzenmacher 2001, The power of two choices in randomized load balancing",
    goes_by: &[GoesBy::Load],
    settings: &[
        Setting {
            name: "choices",
            kind: SettingKind::Count { min: 1, max: CHOICES_MAX as u64 },
            default: 2,
            about: "nodes drawn for a decision",
        },
        SIGNAL,
    ],
    build: |spec| {
        let signal = Signal::of(spec.choice("signal"));
        Box::new(PowerOfTwo { choices: spec.count("choices") as usize, signal })
    },
};

#[derive(Debug)]
struct PowerOfTwo {
    choices: usize,
    signal: Signal,
}

impl Strategy for PowerOfTwo {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let cost = |node| (least_connections::cost(context, self.signal, node), 0.0);
        if self.choices >= context.open_count() {
            return pick_least(context, context.candidates(), rng, why, cost);
        }
        let mut drawn = [NodeId(u32::MAX); CHOICES_MAX];
        let mut count = 0;
        // Draws without replacement; a repeated draw is thrown away, and when hard constraints
        // leave fewer candidates than choices, the effort is bounded.
        for _ in 0..4 * self.choices {
            if count == self.choices {
                break;
            }
            let node = context.draw(rng)?;
            if !drawn[..count].contains(&node) {
                drawn[count] = node;
                count += 1;
            }
        }
        pick_least(context, drawn[..count].iter().copied(), rng, why, cost)
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, least_connections::load(context, self.signal, node))
    }
}
