//! The newest decisions in full: a ring for whoever is looking.
//!
//! It fills only while the balancer explains its decisions, which it does for as long as somebody has
//! asked; else it is empty and costs nothing. It never asks for anything itself.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::balance::Explanation;

/// So many decisions are kept; of each at most
/// [`CANDIDATES_MAX`](crate::balance::CANDIDATES_MAX) nodes.
pub const DECISIONS_MAX: usize = 128;

/// The newest decisions, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    ring: VecDeque<Arc<Explanation>>,
}

impl Recent {
    pub(super) fn hear(&mut self, explanation: &Explanation) {
        if self.ring.len() == DECISIONS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Arc::new(explanation.clone()));
    }

    pub(super) fn forget(&mut self) {
        self.ring = VecDeque::new();
    }

    pub(super) fn decisions(&self) -> Vec<Arc<Explanation>> {
        self.ring.iter().cloned().collect()
    }
}
