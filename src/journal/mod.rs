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
mod replay;
mod table;
#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;
mod wire;

use std::fmt;
use std::io::{self, Write};

use crate::balance::{Config, Event, Input};
use crate::unit::Time;
use table::groups;
use wire::ToWire;

pub use event::write_event;
pub use replay::{ReplayError, Replayed, replay};

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

    /// Writes what is held back.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
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
