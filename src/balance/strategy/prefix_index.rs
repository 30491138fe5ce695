//! Which node has seen which beginning of a prompt: an approximate index of prefix caches.
//!
//! Block hashes are chained, so one hash stands for a whole prefix. The index keeps, for hashes on a
//! grid (every block of a short prompt, every 2^k-th of a long one, at most [`GRID_MAX`] a prompt), the
//! [`HOLDERS`] nodes that were sent it last. A prefix is held as far as its longest known hash says: the
//! chain makes that a binary search. It never walks over nodes, and forgets the oldest beyond
//! [`ENTRIES_MAX`].
//!
//! **What a node has evicted.** Caches evict what was used longest ago, so a prefix is as old as the tokens
//! that have been stored at its node since it was used last, and there is an age beyond which a node has
//! nothing any more: the room of its cache. It is learnt from what answers say was cached: a prefix that should
//! have been there and was not makes the room as small as its age, one that was there though it is older
//! makes it larger. Until a node has missed something it is taken to keep everything. A prefix that is
//! still being computed for the first request is young, so it never counts as evicted.

use std::collections::{BTreeMap, VecDeque};

use super::{Fact, Memo, PickContext, Shortlist};
use crate::balance::vocabulary::{End, Request, Usage};
use crate::unit::{NodeId, Tokens};

/// Nodes remembered for a prefix.
const HOLDERS: usize = 4;
/// Hashes remembered of a prompt.
const GRID_MAX: usize = 128;
/// Hashes remembered altogether.
const ENTRIES_MAX: usize = 1 << 18;
/// A prefix that is missing counts as evicted from so many times its prompt on.
const YOUNG: u64 = 8;
/// A prefix counts as there if so large a part of what was expected was cached.
const FOUND: f64 = 0.5;
/// A prefix that was found nearly at the end of the room makes it larger by this.
const LARGER: f64 = 1.05;
/// Places in a memo of what was expected to be cached, in thousands of tokens, and how old it was.
const EXPECTED: usize = 7;
const AGE: usize = 5;

#[derive(Clone, Copy, Debug)]
struct PrefixEntry {
    /// Newest first, with the tokens that its node had stored then; the unused ones are `NONE`.
    holders: [(NodeId, u64); HOLDERS],
    /// When it was last written, in insertions.
    stamp: u64,
}

const NONE: (NodeId, u64) = (NodeId(u32::MAX), 0);

/// What is known of the cache of a node.
#[derive(Clone, Copy, Debug)]
struct CacheGauge {
    /// Tokens stored so far.
    stored: u64,
    /// What is older than this is no longer there.
    room: f64,
}

impl Default for CacheGauge {
    fn default() -> CacheGauge {
        CacheGauge { stored: 0, room: f64::INFINITY }
    }
}

/// What a node holds of a prompt.
#[derive(Clone, Copy, Debug)]
struct HeldPrefix {
    node: NodeId,
    blocks: u32,
    /// Tokens stored at the node since.
    age: u64,
}

#[derive(Debug, Default)]
pub(super) struct PrefixIndex {
    entries: BTreeMap<u64, PrefixEntry>,
    /// By node.
    gauges: Vec<CacheGauge>,
    /// Hashes by the time they were written; entries written again since are stale.
    order: VecDeque<(u64, u64)>,
    clock: u64,
    /// Of the request looked up last: who holds how many blocks of it.
    found: Vec<HeldPrefix>,
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
                for &(node, then) in entry.holders.iter().take_while(|holder| **holder != NONE) {
                    let gauge = self.gauges.get(node.index()).copied().unwrap_or_default();
                    let age = gauge.stored.saturating_sub(then);
                    // What is no longer there may be there in part, as far as others have used it since.
                    let there = age as f64 <= gauge.room;
                    if there && !self.found.iter().any(|held| held.node == node) {
                        self.found.push(HeldPrefix { node, blocks: blocks as u32, age });
                    }
                }
            }
            place = place.saturating_sub(step);
            step *= 2;
        }
        let holders = self.found.iter().map(|held| held.node);
        holders.filter(|&node| context.allows(node)).take(2).for_each(|node| list.add_once(node));
    }

    /// Returns whether what a node stores drives something out.
    pub(super) fn evicts(&self, node: NodeId) -> bool {
        self.gauges.get(node.index()).is_some_and(|gauge| gauge.room.is_finite())
    }

    fn held(&self, request: &Request, node: NodeId) -> Option<HeldPrefix> {
        let asked = self.found_for == Some(request.id);
        self.found.iter().find(|held| asked && held.node == node).copied()
    }

    /// Returns how many tokens of the request the node has not seen. Of a request not looked up all.
    pub(super) fn uncached(&self, request: &Request, node: NodeId) -> Tokens {
        if self.found_for != Some(request.id) {
            return request.prompt;
        }
        let blocks = self.held(request, node).map_or(0, |held| u64::from(held.blocks));
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
        let stored = self.gauges.get(node.index()).map_or(0, |gauge| gauge.stored);
        for blocks in grid(prefix.len()) {
            self.clock += 1;
            let hash = prefix[blocks - 1];
            let entry = self
                .entries
                .entry(hash)
                .or_insert(PrefixEntry { holders: [NONE; HOLDERS], stamp: 0 });
            let old = entry.holders.iter().position(|(holder, _)| *holder == node);
            entry.holders[..=old.unwrap_or(HOLDERS - 1)].rotate_right(1);
            entry.holders[0] = (node, stored);
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

/// What an answer is held against when it has come: written into the memo of its attempt.
impl PrefixIndex {
    /// Notes what is expected of this node.
    pub(super) fn note(&self, context: &PickContext<'_>, node: NodeId, memo: &mut Memo) {
        let held = self.held(context.request, node);
        let tokens =
            held.map_or(0, |held| u64::from(held.blocks)) * u64::from(context.request.prefix_block);
        memo[EXPECTED] = tokens as f32 / 1e3;
        memo[AGE] = held.map_or(0.0, |held| held.age as f32 / 1e3);
    }

    /// The memo of a strategy that keeps nothing else.
    pub(super) fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        if context.request.prefix.is_empty() {
            return None;
        }
        let mut memo = [0.0; 8];
        self.note(context, node, &mut memo);
        Some(memo)
    }

    /// Hears what was sent where, and what answers say of caches.
    pub(super) fn learn(&mut self, fact: &Fact<'_>) {
        match *fact {
            Fact::Dispatched { node, request } => self.insert(request, node),
            Fact::Ended { node, end: End::Done, usage, sent, .. } => {
                self.answered(node, &usage, sent.memo);
            }
            _ => {}
        }
    }

    fn answered(&mut self, node: NodeId, usage: &Usage, memo: Option<Memo>) {
        // Where nobody sends hashes there is nothing to find.
        if self.entries.is_empty() {
            return;
        }
        if self.gauges.len() <= node.index() {
            self.gauges.resize(node.index() + 1, CacheGauge::default());
        }
        let gauge = &mut self.gauges[node.index()];
        if let Some(memo) = memo.filter(|memo| memo[EXPECTED] > 0.0) {
            let (expected, age) = (f64::from(memo[EXPECTED]) * 1e3, f64::from(memo[AGE]) * 1e3);
            let found = usage.cached.0 as f64 >= FOUND * expected;
            if found && age > 0.9 * gauge.room {
                gauge.room *= LARGER;
            } else if !found && age > (YOUNG * usage.input.0) as f64 {
                gauge.room = gauge.room.min(age);
            }
        }
        let stored = usage.input.less(usage.cached).0 + usage.output.0;
        gauge.stored = gauge.stored.saturating_add(stored);
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

    fn usage(input: u64, cached: u64) -> Usage {
        Usage {
            input: Tokens(input),
            cached: Tokens(cached),
            output: Tokens(100),
            estimated: false,
        }
    }

    /// A memo of so many tokens that were expected to be cached, so many stored tokens old.
    fn expected(tokens: u64, age: u64) -> Option<Memo> {
        let mut memo = [0.0; 8];
        (memo[EXPECTED], memo[AGE]) = (tokens as f32 / 1e3, age as f32 / 1e3);
        Some(memo)
    }

    #[test]
    fn what_answers_did_not_find_tells_how_much_a_node_keeps() {
        let node = NodeId(3);
        let hashes: Box<[u64]> = (1..=10).collect();
        let request = Request {
            prefix: hashes,
            prefix_block: 100,
            prompt: Tokens(1_000),
            ..Request::new(crate::unit::RequestId(1), crate::unit::Time::ZERO)
        };
        let mut index = PrefixIndex::default();
        index.insert(&request, node);
        for _ in 0..100 {
            index.answered(node, &usage(1_000, 0), None);
        }
        assert!(!index.evicts(node), "nothing was missed");
        // One that is young may still be computed for whoever came first.
        index.answered(node, &usage(1_000, 0), expected(1_000, 7_000));
        assert!(!index.evicts(node));
        index.answered(node, &usage(1_000, 0), expected(1_000, 50_000));
        assert!(index.evicts(node) && !index.evicts(NodeId(0)));
        assert!((index.gauges[3].room - 50_000.0).abs() < 10.0);
        // What is found though it is as old makes the room larger again; what is found young does not.
        index.answered(node, &usage(1_000, 900), expected(1_000, 1_000));
        assert!(index.gauges[3].room < 50_010.0);
        index.answered(node, &usage(1_000, 900), expected(1_000, 49_000));
        assert!(index.gauges[3].room > 52_000.0);
        assert_eq!(index.gauges[3].stored, 102 * 1_100 + 2 * 200);
    }
}
