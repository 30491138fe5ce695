//! What goes over the wire.

pub mod answer;
pub mod sse;
