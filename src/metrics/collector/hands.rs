//! What somebody did to a run by hand: without it a run that was meddled with looks like any other, and
//! nobody can repeat it.

use crate::balance::{Mark, MarkBy, StrategySpec};
use crate::metrics::Labels;
use crate::metrics::log::happened;
use crate::metrics::summary::ByHand;
use crate::unit::{PoolId, Time};

/// So many are kept; whoever does more is told how many.
const KEPT_MAX: usize = 1_000;

/// What was done by hand, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct HandFigures {
    done: Vec<ByHand>,
    omitted: u64,
}

impl HandFigures {
    fn note(&mut self, now: Time, what: impl FnOnce() -> String) {
        if self.done.len() < KEPT_MAX {
            self.done.push(ByHand { at_s: now.seconds(), what: what() });
        } else {
            self.omitted += 1;
        }
    }

    /// Somebody changed how a pool chooses.
    pub(super) fn strategy(
        &mut self,
        now: Time,
        pool: PoolId,
        (from, to): (&StrategySpec, &StrategySpec),
        labels: &Labels,
    ) {
        let pool = &labels.pools[pool.index()];
        self.note(now, || format!("{pool} chooses by {to} instead of {from}"));
    }

    /// Something went wrong with nodes, or is over: by hand, or as planned.
    pub(super) fn marked(&mut self, now: Time, mark: &Mark, labels: &Labels) {
        if mark.by != MarkBy::Person {
            return;
        }
        self.note(now, || happened(labels, mark));
    }

    /// Returns what was done.
    pub(super) fn summary(&self) -> Vec<ByHand> {
        let mut done = self.done.clone();
        if let Some(last) = done.last().map(|last| last.at_s).filter(|_| self.omitted > 0) {
            done.push(ByHand { at_s: last, what: format!("and {} more", self.omitted) });
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::MarkPhase;
    use crate::metrics::NodeLabel;
    use crate::unit::{NodeId, Span};

    fn mark(by: MarkBy, phase: MarkPhase, what: &str) -> Mark {
        Mark { by, phase, nodes: vec![NodeId(0)], what: what.to_owned() }
    }

    #[test]
    fn what_a_person_did_is_told_and_what_was_planned_is_not() {
        let node = NodeLabel { name: "n1".to_owned(), ..NodeLabel::default() };
        let labels = Labels { nodes: vec![node], pools: vec!["p".to_owned()], ..Labels::default() };
        let mut hands = HandFigures::default();
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        hands.marked(at(1), &mark(MarkBy::Scenario, MarkPhase::Begin, "crash"), &labels);
        hands.marked(at(2), &mark(MarkBy::Person, MarkPhase::Begin, "kill"), &labels);
        hands.marked(at(3), &mark(MarkBy::Person, MarkPhase::End, "heal"), &labels);
        let [from, to] = ["random", "round_robin"].map(|it| StrategySpec::named(it).unwrap());
        hands.strategy(at(4), PoolId(0), (&from, &to), &labels);
        let told: Vec<String> = hands.summary().into_iter().map(|done| done.what).collect();
        assert_eq!(told, ["kill n1", "heal n1", "p chooses by round_robin instead of random"]);
        (0..KEPT_MAX).for_each(|_| {
            hands.marked(at(5), &mark(MarkBy::Person, MarkPhase::Begin, "kill"), &labels);
        });
        let told = hands.summary();
        assert_eq!((told.len(), told[KEPT_MAX].what.as_str()), (KEPT_MAX + 1, "and 3 more"));
    }
}
