//! Drives a balancer in virtual time: feeds it arrivals and what simulated nodes answer, carries out
//! its actions, and hands every input and event on.

mod agenda;
mod cold;
mod driver;
mod network;

pub use driver::{Parts, Sim, Step};
pub use network::{JITTER_MAX, NetworkSpec};
