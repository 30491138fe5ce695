#![doc = include_str!("../ARCHITECTURE.md")]
//!
//! ## What is supported
//!
//! The program is: its commands and exit codes, the format of scenarios, JSON, journals and decision logs. Each
//! says its version, and CHANGELOG.md says what changed.
//!
//! Of the library, supported is what `examples/own_strategy.rs` uses: [`unit`], the contract of [`balance`] with
//! its [`Strategy`](balance::Strategy), `scenario::Scenario`, [`sim`], and [`metrics`] from
//! [`Collector`](metrics::Collector) to [`Summary`](metrics::Summary). Everything else is public so that the
//! program, its tests and its benchmarks can reach it, and may change with any version. Enums of events and
//! outcomes grow: match them with a wildcard outside of this crate.

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
pub mod quote;
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
#[cfg(all(any(test, fuzzing), feature = "scenario", feature = "live"))]
pub mod fuzz;
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
