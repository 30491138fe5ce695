//! The live half: real sockets, on the wall clock.
//!
//! Mock servers that behave as simulated nodes do, and what every server here is built from. This
//! module never names the simulator: what both have in common are the nodes and the balancer.

pub mod http;
pub mod mock;
pub mod wire;
