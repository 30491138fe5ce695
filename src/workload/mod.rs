//! Where requests come from, and the only place that makes a [`Truth`].
//!
//! A source yields arrivals in order of time: what the balancer may know (`Request`) and what only
//! a simulated node may know (`Truth`). Everything random comes from streams named after their
//! purpose, so a change of strategy changes no arrival and no length.

pub mod arrival;
pub mod length;
pub mod process;
pub mod trace;

use crate::balance::Request;
use crate::unit::{Time, Tokens};

pub use arrival::Generated;
pub use length::{ClassSpec, Mix};
pub use process::Process;
pub use trace::{Scale, Trace, TraceError, TraceFormat};

/// Generated arrivals where a bare rate is given: `Poisson::new(40.0, ...)`.
pub type Poisson = Generated;

/// What is true of a request but not known before it is answered. The balancer cannot name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Tokens the answer will have; at least one.
    pub output: Tokens,
    /// Seeds the draws of nodes that serve it, so that they do not depend on who is asked when.
    pub key: u64,
}

/// A request at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When; equal to `request.arrived`.
    pub at: Time,
    /// What the balancer may know.
    pub request: Request,
    /// What it may not.
    pub truth: Truth,
}

/// Yields arrivals in order of time. Ids count up from zero.
pub trait Source: Send {
    /// Returns the next arrival, or `None` at the end.
    ///
    /// # Errors
    /// If a trace cannot be read any further, with every error found in the rest of it.
    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>>;
}
