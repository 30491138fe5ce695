//! Slots: a fixed number of servers with a bounded queue in front (M/G/k with k servers).
//!
//! An attempt takes a free server or waits its turn, first come first served; its service time is
//! drawn from one law. There are no tokens on the way: the answer comes whole. A full queue answers
//! 503 at once. This is the node that queueing theory has closed forms for.

use crate::dist::Dist;

/// A node of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Attempts worked on at a time; at least one.
    pub servers: u32,
    /// At most so many wait.
    pub queue: u32,
    /// Seconds of service.
    pub service: Dist,
}
