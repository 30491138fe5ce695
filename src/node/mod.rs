//! What a simulated back end does with an attempt: queues it, works on it, fails it.
//!
//! A node is told of starts, aborts, probes and faults, and answers by putting what will happen
//! onto its driver's agenda. It knows the `Truth` of a request; the balancer does not. A node draws
//! its noise from a stream keyed by (request, node), so two strategies that send a request to the
//! same node see the same service time (common random numbers).

pub mod api;
pub mod fault;
pub mod slots;

use crate::balance::Limits;

pub use fault::{Answer, FaultKind, FaultSpec};

/// A simulated back end as configured.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendSpec {
    /// A fixed number of servers with a bounded queue in front: M/G/k.
    Slots(slots::Spec),
    /// A hosted model: time to first token and speed drawn for each request, limits answered 429.
    Api(api::Spec, Limits),
}

impl BackendSpec {
    /// Returns how many attempts can be worked on at a time, where that is fixed.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        match self {
            BackendSpec::Slots(spec) => Some(spec.servers),
            BackendSpec::Api(_, limits) => limits.concurrency,
        }
    }
}
