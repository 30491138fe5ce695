//! How many attempts at a time a node takes, and how long first tokens take where nothing is in the
//! way.

pub(super) mod baseline;
pub(super) mod limiter;
