//! Invariants.
/// x
pub fn check() {}
