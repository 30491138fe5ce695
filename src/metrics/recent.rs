//! The newest decisions in full, and how their attempts ended: a ring for whoever is looking.
//!
//! It fills only while the balancer explains its decisions, which it does for as long as somebody has
//! asked; else it is empty and costs nothing. It never asks for anything itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::snapshot::AttemptOutcome;
use crate::balance::{Attempt, Explanation};
use crate::unit::Span;

/// So many decisions are kept; of each at most
/// [`CANDIDATES_MAX`](crate::balance::CANDIDATES_MAX) nodes.
pub const DECISIONS_MAX: usize = 128;

/// So many ends of attempts are kept: who holds a decision in sight hears of its end, also when it has left
/// the ring long before.
pub const OUTCOMES_MAX: usize = 1_024;

/// The ends of at most so many attempts are waited for.
const UNDER_WAY_MAX: usize = 1 << 16;

/// The newest decisions, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    ring: VecDeque<Arc<Explanation>>,
    /// Attempts under way whose decisions were explained, and when their first token came.
    under_way: BTreeMap<Attempt, Option<Span>>,
    /// How such attempts ended, in that order.
    outcomes: VecDeque<AttemptOutcome>,
}

impl Recent {
    pub(super) fn hear(&mut self, explanation: &Explanation) {
        if self.ring.len() == DECISIONS_MAX {
            self.ring.pop_front();
        }
        // One that is not sent after all leaves nothing but its place.
        if self.under_way.len() < UNDER_WAY_MAX {
            self.under_way.insert(explanation.attempt, None);
        }
        self.ring.push_back(Arc::new(explanation.clone()));
    }

    /// The first token of an attempt came so long after its dispatch.
    pub(super) fn first_token(&mut self, attempt: Attempt, took: Span) {
        if let Some(first) = self.under_way.get_mut(&attempt) {
            *first = Some(took);
        }
    }

    /// An attempt is over; `first_token` of what is said here is not known yet.
    pub(super) fn ended(&mut self, outcome: &AttemptOutcome) {
        if self.under_way.is_empty() {
            return;
        }
        let Some(first_token) = self.under_way.remove(&outcome.attempt) else { return };
        if self.outcomes.len() == OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(AttemptOutcome { first_token, ..*outcome });
    }

    pub(super) fn forget(&mut self) {
        *self = Recent::default();
    }

    pub(super) fn decisions(&self) -> Vec<Arc<Explanation>> {
        self.ring.iter().cloned().collect()
    }

    pub(super) fn outcomes(&self) -> Vec<AttemptOutcome> {
        self.outcomes.iter().copied().collect()
    }
}
