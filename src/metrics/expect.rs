//! Expectations (being written).
