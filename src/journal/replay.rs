//! Reads a journal, hands its inputs to a balancer again and compares what comes of them.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::wire::{FromWire, Misread};
use super::{DIGEST_EVERY, Digest, Digests, FORMAT, Header, LINE_MAX, VERSION};
use crate::balance::{Balancer, Effects, Event, Input};
use crate::unit::Time;

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The journal's header.
    pub header: Header,
    /// Inputs replayed.
    pub inputs: u64,
    /// Events they caused.
    pub events: u64,
    /// Digests compared.
    pub digests: u64,
}

/// Why a replay failed.
#[derive(Debug)]
pub enum ReplayError {
    /// The journal could not be read.
    Io(io::Error),
    /// The journal is of this version, which this build does not read.
    Version(u64),
    /// The run read what no journal holds: its strategy is a bound for simulations.
    Bound,
    /// A line is not what it should be.
    Malformed {
        /// Which, from one.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The lines are not those that were written: one was changed, is missing or is elsewhere.
    Touched {
        /// The line with the hash that differs, from one.
        line: u64,
        /// The line with the last hash that did not.
        good: u64,
    },
    /// The replay decided differently.
    Diverged {
        /// The line with the digest that differs, from one.
        line: u64,
        /// Inputs up to there.
        inputs: u64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Io(error) => write!(f, "cannot read the journal: {error}"),
            ReplayError::Version(found) => write!(
                f,
                "line 1: the journal is of version {found}, and this build reads version {VERSION} \
                 only: the build that wrote it can replay it"
            ),
            ReplayError::Bound => {
                write!(f, "line 1: it read the truth (`oracle`), which no journal holds")
            }
            ReplayError::Malformed { line, reason } => write!(f, "line {line}: {reason}"),
            ReplayError::Touched { line, good } => {
                write!(f, "line {line}: what stands ")?;
                match good {
                    0 => write!(f, "before it")?,
                    good => write!(f, "between line {good} and it")?,
                }
                write!(f, " is not what was written")
            }
            ReplayError::Diverged { line, inputs } => write!(
                f,
                "line {line}: the replay diverges within the {DIGEST_EVERY} inputs up to {inputs}"
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Replays a journal, handing every event to `sink`, and compares digests.
///
/// # Errors
/// If it cannot be read, a line is malformed, it has no final digest, or the replay diverges.
pub fn replay(
    reader: impl BufRead,
    sink: &mut impl FnMut(Time, &Event),
) -> Result<Replayed, ReplayError> {
    let mut lines =
        JournalLines { reader, buffer: Vec::new(), number: 0, before: Digest::default() };
    let header = lines.header()?;
    // A journal may have been edited: what would make the balancer refuse is said instead.
    header.config.check().map_err(|reason| lines.malformed(&not_kept(reason)))?;
    if header.config.pools.iter().any(|pool| pool.strategy.entry().is_bound()) {
        return Err(ReplayError::Bound);
    }
    let mut balancer = Balancer::new(header.config.clone());
    let mut digest = Digest::default();
    let mut done = Replayed { header, inputs: 0, events: 0, digests: 0 };
    let (mut now, mut closed, mut good) = (Time::ZERO, false, 0);
    while let Some(line) = lines.read::<JournalLine>()? {
        closed = false;
        match line {
            JournalLine::Input(at, _) if at < now => return Err(lines.malformed("time goes back")),
            JournalLine::Input(at, input) => {
                now = at;
                done.inputs += 1;
                if let Input::Arrive(request) = &input
                    && balancer.knows(request.id)
                {
                    return Err(lines.malformed("a request arrives while under way"));
                }
                let Effects { events, .. } = balancer.handle(now, input);
                for event in events.drain(..) {
                    digest.event(now, &event);
                    done.events += 1;
                    sink(now, &event);
                }
            }
            JournalLine::Digests(Digests { events, inputs, lines: hash }) => {
                if hash != lines.before.0 {
                    return Err(ReplayError::Touched { line: lines.number, good });
                }
                good = lines.number;
                if events != digest.0 || inputs != done.inputs {
                    let line = lines.number;
                    return Err(ReplayError::Diverged { line, inputs: done.inputs });
                }
                done.digests += 1;
                closed = true;
            }
        }
    }
    if closed { Ok(done) } else { Err(lines.malformed("the journal ends without its digest")) }
}

fn not_kept(rule: &str) -> String {
    format!("the configuration breaks a rule: {rule}")
}

/// A line after the first.
enum JournalLine {
    Input(Time, Input),
    Digests(Digests),
}

impl FromWire for JournalLine {
    fn read(value: &Value) -> Result<JournalLine, Misread> {
        if value.is_object() {
            return Digests::read(value).map(JournalLine::Digests);
        }
        let (at, input) = FromWire::read(value)?;
        Ok(JournalLine::Input(at, input))
    }
}

struct JournalLines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
    /// Hash of the lines before the last one that was read.
    before: Digest,
}

impl<R: BufRead> JournalLines<R> {
    fn malformed(&self, reason: &str) -> ReplayError {
        ReplayError::Malformed { line: self.number, reason: reason.to_owned() }
    }

    /// Reads the first line: what it is of and its version before anything else.
    fn header(&mut self) -> Result<Header, ReplayError> {
        if !self.next()? {
            return Err(self.malformed("the journal is empty"));
        }
        // A later version may look otherwise from here on.
        let value = self.value()?;
        let format = value.get("format").and_then(Value::as_str).unwrap_or_default();
        if format != FORMAT {
            return Err(self.malformed("this is not a plimsoll journal"));
        }
        let version = value.get("version").and_then(Value::as_u64);
        let version = version.ok_or_else(|| self.malformed("it does not say its version"))?;
        if version != u64::from(VERSION) {
            return Err(ReplayError::Version(version));
        }
        self.understood(&value)
    }

    fn read<T: FromWire>(&mut self) -> Result<Option<T>, ReplayError> {
        if self.next()? { self.understood(&self.value()?).map(Some) } else { Ok(None) }
    }

    fn value(&self) -> Result<Value, ReplayError> {
        serde_json::from_slice(&self.buffer).map_err(|error| self.malformed(&error.to_string()))
    }

    fn understood<T: FromWire>(&self, value: &Value) -> Result<T, ReplayError> {
        T::read(value).map_err(|error| self.malformed(&error.to_string()))
    }

    /// Goes to the next line. Returns whether there is one.
    fn next(&mut self) -> Result<bool, ReplayError> {
        self.before.bytes(&self.buffer);
        self.buffer.clear();
        self.number += 1;
        let most = LINE_MAX as u64;
        let count = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut self.buffer)
            .map_err(ReplayError::Io)?;
        if count == 0 {
            return Ok(false);
        }
        if self.buffer.last() != Some(&b'\n') {
            let long = count as u64 == most;
            let reason = if long { "the line is too long" } else { "the last line is cut off" };
            return Err(self.malformed(reason));
        }
        Ok(true)
    }
}
