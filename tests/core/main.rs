//! The deterministic half as one test program: laws, closed forms, stories. One program links the
//! crate once.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/wheel.rs"]
mod wheel;

mod admission;
mod allocations;
mod avoidable;
mod balancer;
mod cache;
mod closed_forms;
mod conformance;
mod dead;
mod determinism;
mod engine;
mod engine_forms;
mod failover;
mod faults;
mod health;
mod herd;
mod laws;
mod limiter;
mod metastable;
mod metrics;
mod monotone;
mod noise;
mod overload;
mod refusals;
mod regions;
mod scale;
mod smart;
mod sticky;
mod strategies;
mod traces;
mod traffic;
mod workflows;
