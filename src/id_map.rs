//! A map that is asked by request and never walked: its order cannot be seen, so the random order
//! of the hash map inside cannot leak into a run.
//!
//! Ids count up and most requests live about as long as each other, so the map is a ring: an id's
//! place is its last bits. What is new is next to what was put in just before, and nothing is
//! hashed. A request that outlives the turn of the ring gives way to the next one of its place and
//! lives on in a hash map.

#![expect(clippy::disallowed_types, reason = "wrapped so that its order cannot be observed")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::unit::RequestId;

/// Fibonacci hashing: ids count up, so one multiplication spreads them well.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte) ^ self.0);
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The rotation brings the well-mixed high bits to the low end, where the map looks.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// Places of the smallest ring.
const RING_MIN: usize = 16;

/// Values by request.
#[derive(Debug)]
pub struct IdMap<V> {
    /// A power of two of places, or none.
    ring: Vec<Option<(u64, V)>>,
    /// Values in the ring.
    held: usize,
    /// Those whose place was taken by a later request.
    old: HashMap<u64, V, BuildHasherDefault<IdHasher>>,
}

impl<V> Default for IdMap<V> {
    fn default() -> IdMap<V> {
        IdMap { ring: Vec::new(), held: 0, old: HashMap::default() }
    }
}

impl<V> IdMap<V> {
    fn place(&self, id: u64) -> usize {
        id as usize & self.ring.len().wrapping_sub(1)
    }

    /// Puts a value in and returns the one it replaces.
    pub fn insert(&mut self, id: RequestId, value: V) -> Option<V> {
        if let Some(there) = self.get_mut(id) {
            return Some(std::mem::replace(there, value));
        }
        loop {
            let place = self.place(id.0);
            // A ring that is at most half full is large enough: what stands in the way is old.
            let large = self.held * 2 <= self.ring.len();
            match self.ring.get_mut(place) {
                Some(there @ None) => {
                    *there = Some((id.0, value));
                    self.held += 1;
                    return None;
                }
                Some(there) if large => {
                    if let Some((other, before)) = there.replace((id.0, value)) {
                        self.old.insert(other, before);
                    }
                    return None;
                }
                _ => self.grow(),
            }
        }
    }

    /// Doubles the ring. What has places of its own in a ring has so in one twice as large.
    fn grow(&mut self) {
        let size = (self.ring.len() * 2).max(RING_MIN);
        let before = std::mem::take(&mut self.ring);
        self.ring.resize_with(size, || None);
        for (id, value) in before.into_iter().flatten() {
            let place = self.place(id);
            self.ring[place] = Some((id, value));
        }
    }

    /// Returns the value of this request, to be changed.
    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut V> {
        let place = self.place(id.0);
        match self.ring.get_mut(place) {
            Some(Some((there, value))) if *there == id.0 => Some(value),
            _ if self.old.is_empty() => None,
            _ => self.old.get_mut(&id.0),
        }
    }

    /// Returns the value of this request.
    #[must_use]
    pub fn get(&self, id: RequestId) -> Option<&V> {
        match self.ring.get(self.place(id.0)) {
            Some(Some((there, value))) if *there == id.0 => Some(value),
            _ if self.old.is_empty() => None,
            _ => self.old.get(&id.0),
        }
    }

    /// Takes the value of this request out.
    pub fn remove(&mut self, id: RequestId) -> Option<V> {
        let place = self.place(id.0);
        match self.ring.get_mut(place) {
            Some(there) if there.as_ref().is_some_and(|(there, _)| *there == id.0) => {
                self.held -= 1;
                there.take().map(|(_, value)| value)
            }
            _ if self.old.is_empty() => None,
            _ => self.old.remove(&id.0),
        }
    }

    /// Returns how many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held + self.old.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::Rng;

    /// Lives of every length, and ids that skip: always as a plain map would have it.
    #[test]
    fn it_is_a_map() {
        let mut rng = Rng::stream(1, "lives");
        let (mut map, mut plain) = (IdMap::default(), BTreeMap::new());
        let mut next = 0;
        for step in 0..40_000_u64 {
            next += 1 + (rng.below(4) == 0) as u64 * rng.below(40) as u64;
            let id = if rng.below(50) == 0 { rng.below(next as usize) as u64 } else { next };
            assert_eq!(map.insert(RequestId(id), step), plain.insert(id, step));
            while plain.len() > 10 + step as usize % 3_000 {
                // Mostly the oldest, but a few stay for very long.
                let place = if rng.below(3) == 0 { rng.below(plain.len()) } else { 7 };
                let id = *plain.keys().nth(place.min(plain.len() - 1)).expect("there are so many");
                assert_eq!(map.get(RequestId(id)), plain.get(&id));
                assert_eq!(map.remove(RequestId(id)), plain.remove(&id));
                assert_eq!(map.remove(RequestId(id)), None);
            }
            assert_eq!(map.len(), plain.len());
        }
        assert!(!map.old.is_empty(), "some outlived the ring");
        for (id, step) in plain {
            assert_eq!(map.remove(RequestId(id)), Some(step));
        }
        assert!(map.is_empty());
    }
}
