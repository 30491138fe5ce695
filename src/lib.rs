#![doc = include_str!("../ARCHITECTURE.md")]

macro_rules! deterministic {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$doc])*
            // The wall: these modules may not touch clocks, hash-map order, threads, files or
            // printing. Lint levels are lexical, so the ban reaches every file below.
            #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
            pub mod $name;
        )*
    };
}

deterministic! {
    unit,
    rng,
    dist,
    id_map,
    balance,
    workload,
    node,
    metrics,

    journal,
    command,
    sim,

}

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "scenario")]
pub mod report;
#[cfg(feature = "scenario")]
pub mod scenario;
#[cfg(feature = "tui")]
pub mod tui;
