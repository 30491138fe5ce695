//! The live half: the same balancer on the wall clock, with real sockets.
//!
//! `driver` is the loop around it, `upstream` makes attempts against endpoints, `replay` sends a
//! workload through both, `gateway` serves clients through both. `mock` are servers that behave as
//! simulated nodes do, and `http` is what every server here is built from. This module never names
//! the simulator: what both have in common are the nodes and the balancer.

pub mod admin;
mod coding;
pub mod driver;
mod executor;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gateway;
pub mod hints;
pub mod http;
pub mod mock;
pub mod replay;
pub mod upstream;
pub mod wire;
