//! Drives a balancer in virtual time: feeds it arrivals and what simulated nodes answer, carries out
//! its actions, and hands every input and event on.

mod agenda;
mod cold;
mod driver;

pub use driver::{Parts, Sim, Step};
