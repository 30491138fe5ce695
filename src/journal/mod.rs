//! The journal: a run as a list of (time, input) lines, written, read and replayed.
//!
//! The first line is a header with the balancer's configuration; every further line is one input,
//! as JSON: `[1500000, {"finish": [{"request": 3, "ordinal": 0}, {"done": ...}]}]`. Every so many
//! inputs, and at the end, a line `{"digest": ...}` holds a hash of all effects so far, so a
//! replay proves that it decides as the run did, and says where it first does not. Beside it stands
//! a hash of all lines before, so that a byte that was changed, a line that is missing and lines
//! that changed places are found even where they change no decision. It finds accidents, not
//! forgers: whoever can write the file can write the hash. That is what a decision log is for.

mod config;
mod event;
mod input;
#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;
mod wire;

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use serde_json::Value;

use crate::balance::{Balancer, Config, Effects, Event, Input};
use crate::unit::Time;
use wire::{FromWire, Misread, ToWire, groups};

pub use event::write_event;

/// A digest is written after so many inputs.
const DIGEST_EVERY: u64 = 1_000;

/// No line of a journal is longer; a longer one is not read.
pub const LINE_MAX: usize = 16 << 20;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format: `plimsoll journal`.
    pub format: String,
    /// Its version: [`VERSION`].
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What the balancer was built from.
    pub config: Config,
}

const FORMAT: &str = "plimsoll journal";

/// The version of the format that is written and read. Digests of versions 1 and 2 were of a form of
/// events that changed with the program, so only the build that wrote such a journal can replay it.
pub const VERSION: u32 = 3;

/// The last line, and every so many: hashes of the events, of how many inputs, and of the lines before.
struct Digests {
    events: u64,
    inputs: u64,
    lines: u64,
}

groups! { both GROUPS;
    Digests = "digests" { events: "digest", inputs: "inputs", lines: "lines" }
    Header = "header" {
        format: "format",
        version: "version",
        scenario: "scenario",
        config: "config",
    }
}

/// Every word of the format: of each thing, in order, its keys, or its variants with the keys of each.
#[must_use]
pub fn words() -> Vec<(&'static str, &'static [&'static str])> {
    let lists = [
        GROUPS,
        config::GROUPS,
        config::VARIANTS,
        input::VARIANTS,
        input::GROUPS,
        input::WORDS,
        event::VARIANTS,
        event::GROUPS,
        event::WORDS,
        &[("why", event::WHY)],
    ];
    lists.concat()
}

/// Writes a configuration as the first line of a journal has it.
///
/// # Errors
/// If `out` takes no more.
pub fn write_config(out: &mut dyn fmt::Write, config: &Config) -> fmt::Result {
    config.write(out)
}

impl Header {
    /// The header of a run of this configuration.
    #[must_use]
    pub fn new(scenario: &str, config: Config) -> Header {
        Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            scenario: scenario.to_owned(),
            config,
        }
    }
}

/// A running hash, FNV-1a: of events over their lines in words of the wire, which show every field; of
/// lines over their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn event(&mut self, now: Time, event: &Event) {
        // A replay does not repeat what answers an observer.
        if event.is_explanation() {
            return;
        }
        write_event(self, now, event).expect("a digest takes everything");
        self.bytes(b"\n");
    }
}

/// An input at its time.
struct TimedInput<'a>(Time, &'a Input);

impl ToWire for TimedInput<'_> {
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        wire::list(out, [&self.0 as &dyn ToWire, self.1])
    }
}

/// Writes a run as it happens: tell it every input, then every event that input caused.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    digest: Digest,
    lines: Digest,
    /// The line that is being written; kept for its room.
    line: String,
    inputs: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a journal.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(out: W, header: &Header) -> io::Result<Writer<W>> {
        let (digest, lines) = (Digest::default(), Digest::default());
        let mut writer = Writer { out, digest, lines, line: String::new(), inputs: 0 };
        writer.write(header)?;
        Ok(writer)
    }

    fn write(&mut self, line: &dyn ToWire) -> io::Result<()> {
        self.line.clear();
        line.write(&mut self.line).map_err(io::Error::other)?;
        self.line.push('\n');
        self.lines.bytes(self.line.as_bytes());
        self.out.write_all(self.line.as_bytes())
    }

    /// Notes an input.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn input(&mut self, now: Time, input: &Input) -> io::Result<()> {
        if self.inputs > 0 && self.inputs.is_multiple_of(DIGEST_EVERY) {
            self.write_digest()?;
        }
        self.inputs += 1;
        self.write(&TimedInput(now, input))
    }

    /// Notes an event.
    pub fn event(&mut self, now: Time, event: &Event) {
        self.digest.event(now, event);
    }

    fn write_digest(&mut self) -> io::Result<()> {
        let (events, lines) = (self.digest.0, self.lines.0);
        self.write(&Digests { events, inputs: self.inputs, lines })
    }

    /// Ends the journal and returns what it was written to.
    ///
    /// # Errors
    /// If the last lines cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_digest()?;
        self.out.flush()?;
        Ok(self.out)
    }
}

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
    let mut lines = Lines { reader, buffer: Vec::new(), number: 0, before: Digest::default() };
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
    while let Some(line) = lines.read::<Line>()? {
        closed = false;
        match line {
            Line::Input(at, _) if at < now => return Err(lines.malformed("time goes back")),
            Line::Input(at, input) => {
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
            Line::Digests(Digests { events, inputs, lines: hash }) => {
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
enum Line {
    Input(Time, Input),
    Digests(Digests),
}

impl FromWire for Line {
    fn read(value: &Value) -> Result<Line, Misread> {
        if value.is_object() {
            return Digests::read(value).map(Line::Digests);
        }
        let (at, input) = FromWire::read(value)?;
        Ok(Line::Input(at, input))
    }
}

struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
    /// Hash of the lines before the last one that was read.
    before: Digest,
}

impl<R: BufRead> Lines<R> {
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
