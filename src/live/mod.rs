//! Drives the same balancer on the wall clock, against real sockets.

pub mod driver;
mod executor;
pub mod replay;
pub mod upstream;
pub mod wire;
