//! The result of a run for people and for programs: text, JSON, and histograms for other tools.
//!
//! Everything here is a function of a [`Summary`](crate::metrics::Summary), the verdicts on its
//! expectations, or a histogram. Nothing is computed that is not a matter of display, and nothing
//! depends on the wall clock, so the same run gives the same bytes.

pub mod chaos;
pub mod choice;
pub mod compare;
pub mod decisions;
pub mod explanation;
#[cfg(feature = "cli")]
pub mod export;
pub mod frames;
mod json;
mod keys;
pub mod prometheus;
pub mod quantity;
pub mod reference;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod text;

pub use json::json;
pub use keys::keys;
pub use text::text;
