//! Answers that a route keeps, as configured.

use crate::unit::Span;

/// A route keeps at most so many answers.
pub const CACHE_ENTRIES_MAX: u32 = 1_000_000;

/// Which answers a route keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// So many answers at most, of which the one that was unused longest gives way.
    pub entries: u32,
    /// Tokens that all kept answers have together at most, if there is such a limit.
    pub tokens: Option<u64>,
    /// An answer is given for so long after it came.
    pub ttl: Span,
    /// Whether tenants are given each other's answers.
    pub shared: bool,
}

impl CacheSpec {
    /// Returns whether it keeps something, and not without end.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        (1..=CACHE_ENTRIES_MAX).contains(&self.entries)
            && self.tokens != Some(0)
            && self.ttl > Span::ZERO
    }
}
