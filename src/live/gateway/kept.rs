//! Answers that endpoints keep, and which of them does: who goes on from one has to go there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::rng::mix;
use crate::unit::NodeId;

/// So many are remembered, the latest ones.
const KEPT_MAX: usize = 100_000;

/// Which node keeps which answer.
#[derive(Debug, Default)]
pub(super) struct KeptAnswers(Mutex<KeptLedger>);

#[derive(Debug, Default)]
struct KeptLedger {
    nodes: HashMap<u64, NodeId>,
    /// The oldest first.
    order: VecDeque<u64>,
}

impl KeptAnswers {
    /// A node keeps the answer of this name.
    pub(super) fn keep(&self, name: &str, node: NodeId) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(name);
        if ledger.nodes.insert(key, node).is_none() {
            ledger.order.push_back(key);
        }
        if ledger.order.len() > KEPT_MAX
            && let Some(oldest) = ledger.order.pop_front()
        {
            ledger.nodes.remove(&oldest);
        }
    }

    /// Returns the node that keeps the answer of this name, if that is remembered.
    pub(super) fn node(&self, name: &str) -> Option<NodeId> {
        let ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.nodes.get(&key(name)).copied()
    }
}

fn key(name: &str) -> u64 {
    name.bytes().fold(name.len() as u64, |hash, byte| mix(hash, u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more_than_allowed() {
        let kept = KeptAnswers::default();
        for number in 0..=KEPT_MAX as u32 {
            kept.keep(&format!("resp_{number}"), NodeId(number % 7));
        }
        assert_eq!(kept.node("resp_0"), None);
        assert_eq!((kept.node("resp_1"), kept.node("resp_8")), (Some(NodeId(1)), Some(NodeId(1))));
        kept.keep("resp_1", NodeId(5));
        assert_eq!(kept.node("resp_1"), Some(NodeId(5)));
        let ledger = kept.0.lock().expect("no panic");
        assert_eq!((ledger.order.len(), ledger.nodes.len()), (KEPT_MAX, KEPT_MAX));
    }
}
