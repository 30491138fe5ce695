//! Drives a balancer in virtual time: feeds it arrivals and what simulated nodes answer, carries out
//! its actions, and hands every input and event on.

mod cold;
mod driver;
mod instances;
mod network;
mod oracle;
mod quality;

pub use driver::{Parts, Sim, Step};
pub use instances::{Exchange, INSTANCES_MAX, Instances};
pub use network::{JITTER_MAX, NetworkSpec};
