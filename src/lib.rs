#![doc = include_str!("../ARCHITECTURE.md")]

// The deterministic half. The wall: these modules may not touch clocks, hash-map order, threads,
// files or printing. Lint levels are lexical, so the ban reaches every file below.

#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod balance;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod command;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod dist;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod id_map;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod journal;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod metrics;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod node;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod rng;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod sim;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod unit;
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
pub mod workload;

// The worldly half.

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "scenario")]
pub mod lab;
#[cfg(feature = "live")]
pub mod live;
#[cfg(feature = "scenario")]
pub mod report;
#[cfg(feature = "scenario")]
pub mod scenario;
#[cfg(feature = "tui")]
pub mod tui;
