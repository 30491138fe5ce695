//! The prefix cache of an engine: which blocks of prompts it still has, by chained hash.
//!
//! An entry stands for the KV blocks of one stretch of a prompt and everything before it. Entries in
//! use are pinned; the others wait in order of last use and are given up oldest first. A request lets
//! go of its entries from the last to the first, so a beginning is always younger than what follows
//! it, and what is given up first is always a leaf: no tree has to be kept. Memory is bounded by
//! [`ENTRIES_MAX`] and by what the KV cache holds. Hashes are found by open addressing, so nothing
//! here has an order that depends on anything but its history.

/// A node's cache has at most so many entries.
pub const ENTRIES_MAX: usize = 1 << 22;

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct CacheEntry {
    hash: u64,
    /// Requests that use it.
    users: u32,
    /// KV blocks it takes.
    blocks: u32,
    /// The next older one in line, if nobody uses it; the next free place if it is free.
    older: u32,
    younger: u32,
}

/// A slot of the table. The tag says where it belongs and nearly whose it is, so that hardly any
/// entry is touched only to be told apart.
#[derive(Clone, Copy, Debug)]
struct TableSlot {
    tag: u32,
    /// The entry, or `NONE`.
    place: u32,
}

const EMPTY: TableSlot = TableSlot { tag: 0, place: NONE };

/// The well-mixed high bits of a multiplication.
const fn tag(hash: u64) -> u32 {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Blocks of prompts by hash.
#[derive(Debug)]
pub(super) struct Cache {
    /// Slots, a power of two of them, at most half taken.
    table: Vec<TableSlot>,
    entries: Vec<CacheEntry>,
    free: u32,
    oldest: u32,
    youngest: u32,
    len: usize,
    blocks: u64,
    pinned: u64,
}

impl Cache {
    pub(super) fn new() -> Cache {
        Cache {
            table: Vec::new(),
            entries: Vec::new(),
            free: NONE,
            oldest: NONE,
            youngest: NONE,
            len: 0,
            blocks: 0,
            pinned: 0,
        }
    }

    /// Returns the blocks of all entries.
    #[cfg(test)]
    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Returns the blocks of entries in use.
    pub(super) const fn pinned(&self) -> u64 {
        self.pinned
    }

    /// Where a tag belongs. There are at most `2 * ENTRIES_MAX` slots, fewer than tags.
    fn home(&self, tag: u32) -> usize {
        (tag >> (32 - self.table.len().trailing_zeros())) as usize
    }

    /// Returns where in the table this hash stands or would stand.
    fn seek(&self, hash: u64) -> usize {
        let mask = self.table.len() - 1;
        let tag = tag(hash);
        let mut at = self.home(tag);
        loop {
            let slot = self.table[at];
            if slot.place == NONE
                || (slot.tag == tag && self.entries[slot.place as usize].hash == hash)
            {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    /// Returns the entry of this hash, and the blocks that would be pinned with it.
    pub(super) fn find(&self, hash: u64) -> Option<(u32, u64)> {
        if self.len == 0 {
            return None;
        }
        let place = self.table[self.seek(hash)].place;
        if place == NONE {
            return None;
        }
        let entry = &self.entries[place as usize];
        Some((place, if entry.users == 0 { u64::from(entry.blocks) } else { 0 }))
    }

    /// One request more uses an entry.
    pub(super) fn pin(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        entry.users += 1;
        if entry.users == 1 {
            self.pinned += u64::from(entry.blocks);
            self.leave_line(place);
        }
    }

    /// One request fewer uses an entry.
    pub(super) fn unpin(&mut self, place: u32) {
        let youngest = self.youngest;
        let entry = &mut self.entries[place as usize];
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        self.pinned -= u64::from(entry.blocks);
        (entry.older, entry.younger) = (youngest, NONE);
        self.youngest = place;
        match youngest {
            NONE => self.oldest = place,
            other => self.entries[other as usize].younger = place,
        }
    }

    fn leave_line(&mut self, place: u32) {
        let CacheEntry { older, younger, .. } = self.entries[place as usize];
        match older {
            NONE => self.oldest = younger,
            other => self.entries[other as usize].younger = younger,
        }
        match younger {
            NONE => self.youngest = older,
            other => self.entries[other as usize].older = older,
        }
    }

    /// Pins the entry of this hash, which is made if there is none. `None` if there is no room for one
    /// more.
    pub(super) fn keep(&mut self, hash: u64, blocks: u32) -> Option<u32> {
        if let Some((place, _)) = self.find(hash) {
            self.pin(place);
            return Some(place);
        }
        if self.len >= ENTRIES_MAX && !self.give_up() {
            return None;
        }
        if (self.len + 1) * 2 > self.table.len() {
            self.grow();
        }
        let entry = CacheEntry { hash, users: 1, blocks, older: NONE, younger: NONE };
        let place = self.free;
        let place = if place == NONE {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            self.free = self.entries[place as usize].older;
            self.entries[place as usize] = entry;
            place
        };
        let at = self.seek(hash);
        self.table[at] = TableSlot { tag: tag(hash), place };
        self.len += 1;
        self.blocks += u64::from(blocks);
        self.pinned += u64::from(blocks);
        Some(place)
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(64);
        let old = std::mem::replace(&mut self.table, vec![EMPTY; size]);
        for slot in old.into_iter().filter(|slot| slot.place != NONE) {
            let at = self.seek(self.entries[slot.place as usize].hash);
            self.table[at] = slot;
        }
    }

    /// Gives up the entries used longest ago until at most so many blocks are left.
    pub(super) fn shrink(&mut self, blocks: u64) {
        while self.blocks > blocks && self.give_up() {}
    }

    /// Gives up the entry used longest ago. Returns whether there was one that nobody uses.
    fn give_up(&mut self) -> bool {
        let place = self.oldest;
        if place == NONE {
            return false;
        }
        self.leave_line(place);
        let CacheEntry { hash, blocks, .. } = self.entries[place as usize];
        self.blocks -= u64::from(blocks);
        self.len -= 1;
        self.vacate(self.seek(hash));
        self.entries[place as usize].older = self.free;
        self.free = place;
        true
    }

    /// Empties a place of the table and moves up what had been pushed beyond it.
    fn vacate(&mut self, mut hole: usize) {
        let mask = self.table.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.table[at];
            if slot.place == NONE {
                break;
            }
            let home = self.home(slot.tag);
            // It may move if the hole is not before its home, going round.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.table[hole] = slot;
                hole = at;
            }
        }
        self.table[hole] = EMPTY;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Cache::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list in order of last use.
        #[test]
        fn it_keeps_what_was_used_last(
            steps in prop::collection::vec((0_u64..40, 1_u64..60), 1..400),
        ) {
            let mut cache = Cache::new();
            let mut line: Vec<u64> = Vec::new();
            for (hash, room) in steps {
                // Neighbours in the table, so that they get in each other's way.
                let key = (hash % 7) << 60 | hash;
                let known = cache.find(key).is_some();
                prop_assert_eq!(known, line.contains(&key));
                let place = cache.keep(key, 2).expect("room for one more");
                cache.unpin(place);
                line.retain(|other| *other != key);
                line.push(key);
                cache.shrink(room);
                while line.len() as u64 * 2 > room {
                    line.remove(0);
                }
                prop_assert_eq!(cache.blocks(), line.len() as u64 * 2);
                prop_assert_eq!(cache.pinned(), 0);
                prop_assert!(line.iter().all(|key| cache.find(*key).is_some()));
            }
        }
    }

    #[test]
    fn what_is_in_use_is_not_given_up() {
        let mut cache = Cache::new();
        let (a, b) = (cache.keep(1, 3).expect("room"), cache.keep(2, 3).expect("room"));
        cache.unpin(b);
        cache.shrink(0);
        assert_eq!((cache.blocks(), cache.pinned()), (3, 3));
        assert!(cache.find(1).is_some() && cache.find(2).is_none());
        cache.unpin(a);
        cache.shrink(0);
        assert_eq!((cache.blocks(), cache.pinned()), (0, 0));
    }
}
