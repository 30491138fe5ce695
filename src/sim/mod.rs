//! Drives a balancer in virtual time: feeds it arrivals and what simulated nodes answer, carries out
//! its actions, and hands every input and event on.
//!
//! - `driver`: the loop, and what comes next;
//! - `world`: the executor, on `backends` (nodes, agenda, `network`), with `faults` and `cold` starts;
//! - `act`: what a person does, and when;
//! - `source`: the traffic; `request`: what only the executor knows of a request;
//! - `instances`: many balancers, and what they tell each other;
//! - `oracle`, `quality`: what only the truth tells.

mod act;
mod backends;
mod cold;
mod driver;
mod faults;
mod instances;
mod network;
mod oracle;
mod quality;
mod request;
mod source;
mod spec;
mod world;

pub use act::{Act, Deed};
pub use driver::{Sim, Step};
pub use instances::{Exchange, INSTANCES_MAX, Instances};
pub use network::{JITTER_MAX, NetworkSpec};
pub use spec::SimSpec;
