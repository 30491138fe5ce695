//! Trace readers (being written).
use super::length::Mix;
use super::{Arrival, Source};
use crate::unit::Time;
use std::io::BufRead;

/// Which format a trace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// Azure CSV.
    Azure,
    /// Mooncake JSONL.
    Mooncake,
}

/// What is wrong with a trace, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// Line, from one.
    pub line: u64,
    /// Column in bytes, from one.
    pub column: u64,
    /// What was found and what was wanted.
    pub reason: String,
}

/// A trace read as a stream.
pub struct Trace {
    _reader: Box<dyn BufRead + Send>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Trace {
    /// Reads `reader`.
    #[must_use]
    pub fn new(
        reader: Box<dyn BufRead + Send>,
        _format: TraceFormat,
        _scale: f64,
        _end: Time,
        _count: u64,
        _seed: u64,
        _mix: Mix,
    ) -> Trace {
        Trace { _reader: reader }
    }
}

impl Source for Trace {
    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>> {
        Ok(None)
    }
}
