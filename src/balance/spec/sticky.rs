//! Sessions that stay with their node, as configured.

use crate::balance::vocabulary::request::SessionKeyKind;
use crate::unit::Span;

/// A route remembers at most so many sessions.
pub const STICKY_ENTRIES_MAX: u32 = 1_000_000;

/// Which requests of a route go where those before them went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickySpec {
    /// By what requests are told to belong together: the first of these that a request names. Not empty.
    pub by: Vec<SessionKeyKind>,
    /// Whether no other node serves them: a request whose node cannot serve it is turned away. Otherwise it
    /// goes to another one, where its session then stays.
    pub hard: bool,
    /// So many sessions are remembered, of which the one that was quiet longest gives way.
    pub entries: u32,
    /// A session that was quiet for longer is forgotten.
    pub ttl: Span,
}

impl StickySpec {
    /// Returns whether it goes by something, each once, and remembers something, and not without end.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        let once = |(at, kind): (usize, &SessionKeyKind)| !self.by[..at].contains(kind);
        !self.by.is_empty()
            && self.by.iter().enumerate().all(once)
            && (1..=STICKY_ENTRIES_MAX).contains(&self.entries)
            && self.ttl > Span::ZERO
    }
}
