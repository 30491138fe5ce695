//! Which node has seen which beginning of a prompt: an approximate index of prefix caches.
//!
//! Block hashes are chained, so one hash stands for a whole prefix. The index keeps, for hashes on a
//! grid (every block of a short prompt, every 2^k-th of a long one, at most [`GRID_MAX`] a prompt), the
//! [`HOLDERS`] nodes that were sent it last. A prefix is held as far as its longest known hash says: the
//! chain makes that a binary search. It never walks over nodes, and forgets the oldest beyond
//! [`ENTRIES_MAX`]. What a node has really evicted it does not know; where the balancer is the only way
//! in, it is off by little.

use std::collections::{BTreeMap, VecDeque};

use super::{PickContext, Shortlist};
use crate::balance::vocabulary::Request;
use crate::unit::{NodeId, Tokens};

/// Nodes remembered for a prefix.
const HOLDERS: usize = 4;
/// Hashes remembered of a prompt.
const GRID_MAX: usize = 128;
/// Hashes remembered altogether.
const ENTRIES_MAX: usize = 1 << 18;

#[derive(Clone, Copy, Debug)]
struct PrefixEntry {
    /// Newest first; the unused ones are `NONE`.
    holders: [NodeId; HOLDERS],
    /// When it was last written, in insertions.
    stamp: u64,
}

const NONE: NodeId = NodeId(u32::MAX);

#[derive(Debug, Default)]
pub(super) struct PrefixIndex {
    entries: BTreeMap<u64, PrefixEntry>,
    /// Hashes by the time they were written; entries written again since are stale.
    order: VecDeque<(u64, u64)>,
    clock: u64,
    /// Of the request looked up last: who holds how many blocks of it.
    found: Vec<(NodeId, u32)>,
    /// Which request that was.
    found_for: Option<crate::unit::RequestId>,
}

/// The places of the grid in a prompt of so many blocks, as counts of blocks, rising.
fn grid(blocks: usize) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
    let stride = blocks.div_ceil(GRID_MAX).next_power_of_two();
    (0..blocks / stride).map(move |place| (place + 1) * stride)
}

impl PrefixIndex {
    /// Finds who holds how much of the request's prompt, and adds the two that hold most to the list.
    pub(super) fn look_up(&mut self, context: &PickContext<'_>, list: &mut Shortlist) {
        self.found.clear();
        self.found_for = Some(context.request.id);
        let prefix = &context.request.prefix;
        if prefix.is_empty() || self.entries.is_empty() {
            return;
        }
        let places = grid(prefix.len());
        let count = places.len();
        let at = |place: usize| grid(prefix.len()).nth(place).unwrap_or(0);
        // The chain makes "known" true up to some place and false beyond.
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entries.contains_key(&prefix[at(middle) - 1]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // Going back from the longest known prefix finds nodes that hold less of it.
        let mut step = 1;
        let mut place = low;
        while place > 0 && self.found.len() < 2 * HOLDERS {
            let blocks = at(place - 1);
            if let Some(entry) = self.entries.get(&prefix[blocks - 1]) {
                for &holder in entry.holders.iter().take_while(|holder| **holder != NONE) {
                    if !self.found.iter().any(|(node, _)| *node == holder) {
                        self.found.push((holder, blocks as u32));
                    }
                }
            }
            place = place.saturating_sub(step);
            step *= 2;
        }
        let holders = self.found.iter().map(|(node, _)| *node);
        holders.filter(|&node| context.allows(node)).take(2).for_each(|node| list.add_once(node));
    }

    /// Returns how many tokens of the request the node has not seen. Of a request not looked up all.
    pub(super) fn uncached(&self, request: &Request, node: NodeId) -> Tokens {
        if self.found_for != Some(request.id) {
            return request.prompt;
        }
        let held = self.found.iter().find(|(holder, _)| *holder == node);
        let blocks = held.map_or(0, |(_, blocks)| u64::from(*blocks));
        let cached = blocks * u64::from(request.prefix_block);
        // The last token is always computed.
        Tokens(request.prompt.0.saturating_sub(cached).max(1))
    }

    /// Returns the share of the prompt that the node holds, from 0 to 1.
    pub(super) fn match_rate(&self, request: &Request, node: NodeId) -> f64 {
        let prompt = request.prompt.0.max(1);
        1.0 - self.uncached(request, node).0.min(prompt) as f64 / prompt as f64
    }

    /// Remembers that the node was sent this prompt.
    pub(super) fn insert(&mut self, request: &Request, node: NodeId) {
        let prefix = &request.prefix;
        if prefix.is_empty() {
            return;
        }
        for blocks in grid(prefix.len()) {
            self.clock += 1;
            let hash = prefix[blocks - 1];
            let entry = self
                .entries
                .entry(hash)
                .or_insert(PrefixEntry { holders: [NONE; HOLDERS], stamp: 0 });
            let old = entry.holders.iter().position(|holder| *holder == node);
            entry.holders[..=old.unwrap_or(HOLDERS - 1)].rotate_right(1);
            entry.holders[0] = node;
            entry.stamp = self.clock;
            self.order.push_back((hash, self.clock));
        }
        while self.entries.len() > ENTRIES_MAX || self.order.len() > 4 * ENTRIES_MAX {
            let Some((hash, stamp)) = self.order.pop_front() else { break };
            if self.entries.get(&hash).is_some_and(|entry| entry.stamp == stamp) {
                self.entries.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_of_a_prompt_and_of_its_continuation_agree() {
        for blocks in [1, 2, 100, 127, 128, 500, 2_000, 10_000] {
            let places: Vec<usize> = grid(blocks).collect();
            assert!(places.len() <= GRID_MAX, "{blocks}: {}", places.len());
            assert!(places.last().is_some_and(|last| *last > blocks - blocks / 32 - 1));
            // Every second place at least is on the grid of a prompt twice as long.
            let longer: Vec<usize> = grid(blocks * 2).collect();
            let shared = places.iter().filter(|place| longer.contains(place)).count();
            assert!(shared >= places.len() / 2, "{blocks}: {shared} of {}", places.len());
        }
    }
}
