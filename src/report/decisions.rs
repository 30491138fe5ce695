//! The decision log: one line of JSON for each decision and each outcome, every line chained to the
//! one before, so that it can be shown that nothing was changed, left out or put elsewhere.
//!
//! A line ends with `"hash"`: the SHA-256 of the hash of the line before (in hexadecimal, nothing for
//! the first) followed by the line itself up to its hash. The first line names the run, the last one
//! says how many there are; [`verify`] finds the first line that does not fit. Whoever can write the
//! whole file can also chain it anew: keep the last hash, which is told at the end of the run,
//! elsewhere. The log is a fold over events and never asks the balancer anything. It holds names and
//! figures, no text of any request.

mod line;

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::balance::{Config, Event};
use crate::journal::write_config;
use crate::metrics::Labels;
use crate::unit::Time;

/// The kind that the first line names.
pub const KIND: &str = "plimsoll decisions";

/// The version of the format that is written and read.
pub const VERSION: u64 = 1;

/// No line is longer; a longer one is not read.
pub const LINE_MAX: usize = 1 << 20;

/// Characters of a hash.
const HEX: usize = 64;

/// What stands between a line and its hash.
const SEAM: &[u8] = b",\"hash\":\"";

/// Writes a log as things happen: tell it every event.
#[derive(Debug)]
pub struct LogWriter<W: Write> {
    out: W,
    names: LogNames,
    lines: u64,
    hash: String,
    line: Vec<u8>,
    /// The first thing that could not be written.
    failed: Option<io::Error>,
}

#[derive(Debug)]
struct LogNames {
    nodes: Vec<String>,
    pools: Vec<String>,
    classes: Vec<String>,
    strategies: Vec<String>,
}

impl<W: Write> LogWriter<W> {
    /// Begins a log with the line that names the run: the scenario's name, the text it was read
    /// from, and what the balancer was built from.
    pub fn new(out: W, labels: &Labels, text: &str, config: &Config) -> LogWriter<W> {
        let name = |names: &[String]| names.to_vec();
        let names = LogNames {
            nodes: labels.nodes.iter().map(|node| node.name.clone()).collect(),
            pools: name(&labels.pools),
            classes: labels.classes.iter().map(|class| class.name.clone()).collect(),
            strategies: config.pools.iter().map(|pool| pool.strategy.to_string()).collect(),
        };
        let mut log =
            LogWriter { out, names, lines: 0, hash: String::new(), line: Vec::new(), failed: None };
        let mut built = String::new();
        // Writing to a string does not fail.
        let _ = write_config(&mut built, config);
        log.put(&json!({
            "kind": KIND,
            "version": VERSION,
            "scenario": labels.scenario,
            "seed": labels.seed,
            "scenario_sha256": hex(&Sha256::digest(text)),
            "config_sha256": hex(&Sha256::digest(built)),
            "build": super::chaos::BUILD,
            "strategies": log.names.strategies.clone(),
        }));
        log
    }

    /// Hears an event; those that decide nothing and end nothing have no line.
    pub fn hear(&mut self, now: Time, event: &Event) {
        if let Some((what, body)) = self.names.line(now, event) {
            self.put(&LogLine { at_ns: now.0, what, body });
        }
    }

    /// Writes what is held back, for whoever reads along.
    pub fn flush(&mut self) {
        if let Err(error) = self.out.flush() {
            self.failed.get_or_insert(error);
        }
    }

    /// Returns the first thing that could not be written.
    pub const fn failure(&self) -> Option<&io::Error> {
        self.failed.as_ref()
    }

    /// Ends the log with the line that says so. Returns how many lines there are and the last hash.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn finish(mut self, now: Time, complete: bool) -> io::Result<(u64, String)> {
        let lines = self.lines + 1;
        self.put(&json!({ "at_ns": now.0, "end": { "lines": lines, "complete": complete } }));
        self.flush();
        match self.failed {
            Some(error) => Err(error),
            None => Ok((self.lines, self.hash)),
        }
    }

    fn put(&mut self, body: &impl Serialize) {
        self.line.clear();
        let numbered = Numbered { number: self.lines, body };
        if let Err(error) = serde_json::to_writer(&mut self.line, &numbered) {
            self.failed.get_or_insert(error.into());
            return;
        }
        // The hash takes the place of the last bracket.
        self.line.pop();
        self.hash = link(&self.hash, &self.line);
        self.lines += 1;
        self.line.extend_from_slice(SEAM);
        self.line.extend_from_slice(self.hash.as_bytes());
        self.line.extend_from_slice(b"\"}\n");
        if self.failed.is_none()
            && let Err(error) = self.out.write_all(&self.line)
        {
            self.failed = Some(error);
        }
    }
}

#[derive(Serialize)]
struct Numbered<'a, T> {
    #[serde(rename = "n")]
    number: u64,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct LogLine {
    #[serde(rename = "at_ns")]
    at_ns: u64,
    #[serde(rename = "what")]
    what: &'static str,
    #[serde(flatten)]
    body: Value,
}

fn link(before: &str, line: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(line);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(HEX);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A log that is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The scenario's name.
    pub scenario: String,
    /// Its lines.
    pub lines: u64,
    /// The hash of the last one.
    pub hash: String,
    /// Whether the run came to its end.
    pub complete: bool,
}

/// Why a log is not as it was written.
#[derive(Debug)]
pub enum Fault {
    /// It could not be read.
    Io(io::Error),
    /// The log is of this version, which this build does not read.
    Version(u64),
    /// This is the first line that does not fit, from one, and how it does not.
    Line(u64, String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Io(error) => write!(f, "cannot read the decision log: {error}"),
            Fault::Version(found) => write!(
                f,
                "line 1: the decision log is of version {found}, and this build reads version \
                 {VERSION} only"
            ),
            Fault::Line(line, reason) => write!(f, "line {line}: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Returns whether a file that begins so is a decision log, even if a byte of it was changed.
#[must_use]
pub fn is_log(first_line: &[u8]) -> bool {
    let has = |word: &[u8]| first_line.windows(word.len()).any(|window| window == word);
    has(KIND.as_bytes()) || has(b"\"scenario_sha256\"") || has(SEAM)
}

/// Reads a log and looks whether it is as it was written.
///
/// # Errors
/// The first line that was changed, is missing, stands elsewhere or is cut off.
pub fn verify(mut reader: impl BufRead) -> Result<Verified, Fault> {
    let mut done =
        Verified { scenario: String::new(), lines: 0, hash: String::new(), complete: false };
    let (mut line, mut ended) = (Vec::new(), false);
    loop {
        line.clear();
        let most = LINE_MAX as u64;
        let read = (&mut reader).take(most).read_until(b'\n', &mut line).map_err(Fault::Io)?;
        let number = done.lines + 1;
        let fault = |reason: &str| Fault::Line(number, reason.to_owned());
        // A program that is killed leaves such a log, and somebody who cuts it does: what is there is
        // as it was written, what is missing nobody knows.
        let cut = |reason: &str| match done.lines {
            0 => fault(reason),
            lines => fault(&format!("{reason}; the {lines} lines before are as they were written")),
        };
        if read == 0 {
            return if ended { Ok(done) } else { Err(cut("the log ends without its last line")) };
        }
        if ended {
            return Err(fault("there is more after the last line"));
        }
        if line.pop() != Some(b'\n') {
            let long = read as u64 == most;
            return Err(if long { fault("it is too long") } else { cut("it is cut off") });
        }
        let changed = || fault("it is not as it was written");
        let tail = SEAM.len() + HEX + 2;
        let (body, seal) =
            line.split_at_checked(line.len().wrapping_sub(tail)).ok_or_else(changed)?;
        let hash = &seal[SEAM.len()..SEAM.len() + HEX];
        if !seal.starts_with(SEAM) || !seal.ends_with(b"\"}") {
            return Err(changed());
        }
        let wanted = link(&done.hash, body);
        if hash != wanted.as_bytes() {
            return Err(misplaced(body, done.lines).map_or_else(changed, |said| fault(&said)));
        }
        let value: Value = serde_json::from_slice(&[body, b"}"].concat()).map_err(|_| changed())?;
        if done.lines == 0 {
            if value["kind"] != KIND {
                return Err(fault("this is not a plimsoll decision log"));
            }
            match value["version"].as_u64() {
                Some(VERSION) => {}
                Some(other) => return Err(Fault::Version(other)),
                None => return Err(fault("it does not say its version")),
            }
            value["scenario"].as_str().unwrap_or_default().clone_into(&mut done.scenario);
        }
        done.lines = number;
        done.hash = wanted;
        if let Some(end) = value.get("end").filter(|end| end.is_object()) {
            if end["lines"] != number {
                return Err(fault("it counts other lines than there are"));
            }
            done.complete = end["complete"] == true;
            ended = true;
        }
    }
}

/// What a line that does not fit says of its own place, if that is not where it stands.
fn misplaced(body: &[u8], wanted: u64) -> Option<String> {
    let digits = body.strip_prefix(b"{\"n\":")?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: u64 = std::str::from_utf8(&digits[..count]).ok()?.parse().ok()?;
    (number != wanted).then(|| {
        format!("entry {number} stands where entry {wanted} should: lines are missing or exchanged")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{PoolSpec, RouteSpec, StrategySpec};
    use crate::unit::{ClassId, PoolId, RequestId, RouteId, TenantId, Tokens};

    fn log() -> Vec<u8> {
        let strategy = StrategySpec::named("random").unwrap();
        let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
        let config = Config::new(vec![PoolSpec::new("p", strategy)], Vec::new(), routes);
        let labels = Labels { scenario: "small".to_owned(), ..Labels::default() };
        let mut bytes = Vec::new();
        let mut log = LogWriter::new(&mut bytes, &labels, "title = \"small\"", &config);
        for id in 0..4 {
            let (request, at) = (RequestId(id), Time(id * 1_000));
            let arrived = Event::Arrived {
                request,
                class: ClassId(0),
                tenant: TenantId(0),
                arrived: at,
                prompt: Tokens(10),
                job: None,
            };
            log.hear(at, &arrived);
            log.hear(at, &Event::Queued { request, route: RouteId(0) });
        }
        let (lines, hash) = log.finish(Time(9_000), true).unwrap();
        assert_eq!((lines, hash.len()), (10, HEX));
        bytes
    }

    fn lines(log: &[u8]) -> Vec<&[u8]> {
        log.split_inclusive(|byte| *byte == b'\n').collect()
    }

    /// The line that `verify` names.
    fn line_of(log: &[u8]) -> u64 {
        match verify(log) {
            Err(Fault::Line(line, _)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_log_as_it_was_written_is_verified() {
        let bytes = log();
        let done = verify(bytes.as_slice()).unwrap();
        assert_eq!((done.scenario.as_str(), done.lines, done.complete), ("small", 10, true));
        assert!(lines(&bytes).iter().all(|line| serde_json::from_slice::<Value>(line).is_ok()));
        assert!(is_log(lines(&bytes)[0]));
    }

    #[test]
    fn every_byte_that_is_changed_is_found_in_its_line() {
        let bytes = log();
        for place in 0..bytes.len() {
            for bit in [0, 5] {
                let mut other = bytes.clone();
                other[place] ^= 1 << bit;
                let line = bytes[..place].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
                let said = line_of(&other);
                // A line end that is gone, or a new one, moves the next line.
                assert!(said == line || said == line + 1, "byte {place}, line {line}: said {said}");
                assert!(is_log(lines(&other)[0]), "it is known for a log");
            }
        }
    }

    #[test]
    fn a_log_of_another_version_is_refused_in_a_sentence() {
        let first = r#"{"n":0,"kind":"plimsoll decisions","version":2,"scenario":"small""#;
        let hash = link("", first.as_bytes());
        let said = verify(format!("{first},\"hash\":\"{hash}\"}}\n").as_bytes()).unwrap_err();
        let wanted =
            "line 1: the decision log is of version 2, and this build reads version 1 only";
        assert_eq!(said.to_string(), wanted);
    }

    #[test]
    fn a_line_that_is_missing_exchanged_or_cut_off_is_found() {
        let bytes = log();
        let all = lines(&bytes);
        for place in 0..all.len() {
            let mut fewer = all.clone();
            fewer.remove(place);
            assert_eq!(line_of(&fewer.concat()), place as u64 + 1, "line {place} removed");
            for other in place + 1..all.len() {
                let mut swapped = all.clone();
                swapped.swap(place, other);
                assert_eq!(line_of(&swapped.concat()), place as u64 + 1, "{place} and {other}");
            }
        }
        for cut in 1..all[9].len() {
            assert_eq!(line_of(&bytes[..bytes.len() - cut]), 10, "{cut} bytes cut off");
        }
        let more = [&bytes[..], all[3]].concat();
        assert_eq!(line_of(&more), 11);
    }
}
