//! A map that is asked by request and never walked: its order cannot be seen, so the random order
//! of the hash map inside cannot leak into a run.

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

/// Values by request.
#[derive(Debug)]
pub struct IdMap<V>(HashMap<u64, V, BuildHasherDefault<IdHasher>>);

impl<V> Default for IdMap<V> {
    fn default() -> IdMap<V> {
        IdMap(HashMap::default())
    }
}

impl<V> IdMap<V> {
    /// Puts a value in and returns the one it replaces.
    pub fn insert(&mut self, id: RequestId, value: V) -> Option<V> {
        self.0.insert(id.0, value)
    }

    /// Returns the value of this request.
    #[must_use]
    pub fn get(&self, id: RequestId) -> Option<&V> {
        self.0.get(&id.0)
    }

    /// Takes the value of this request out.
    pub fn remove(&mut self, id: RequestId) -> Option<V> {
        self.0.remove(&id.0)
    }

    /// Returns how many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
