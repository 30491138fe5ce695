//! How many attempts at a time a node takes, found out by how long first tokens take beyond what they
//! take where nothing is in the way.

pub(super) mod baseline;
pub(super) mod limiter;
