//! Real sockets on loopback: replays, mock servers, the gateway. What is asserted is replay from the
//! journal and conservation, never a duration.

#[path = "../common/mod.rs"]
mod common;
mod gate;

mod back_pressure;
mod defence;
mod dialects;
mod failover_bench;
mod faults;
mod gateway;
mod mock;
mod oracle;
mod parity;
mod readiness;
mod refusals;
mod resume;
mod secure;
mod serve;
mod sessions;
mod soak;
mod tools;
mod waiting;
mod wire;
