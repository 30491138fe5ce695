//! Recorded arrivals: readers of published traces, as a stream and in bounded memory.
//!
//! Times count from the first row. Rows must be in order of time. At the first bad row the rest of
//! the file is searched for more, so that all errors are told at once.
//!
//! Real Mooncake timestamps lie on a grid (a tick every 3 s, ten requests at each): played as they
//! stand they would arrive in volleys that never were. Where such a grid is found in the first
//! rows, the requests of a tick are spread over the time until the next one by a seeded uniform
//! jitter, in file order; [`Trace::notes`] says so. A trace without a grid is left alone.

mod azure;
mod bailian;
mod columns;
mod csv;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grid;
mod lines;
mod mooncake;
pub mod servegen;
mod sessions;

use std::collections::VecDeque;
use std::fmt;
use std::io::BufRead;

use super::length::{LENGTH_MAX, Mix, Prefix, RequestDraft};
use super::{Arrival, ArrivalSource};
use crate::rng::Rng;
use crate::unit::{Span, TenantId, Time, Tokens};

pub use bailian::CHATS_MAX;
use bailian::Chats;
use columns::ColumnPlaces;
use csv::Csv;
pub use csv::{CsvMap, TENANTS_MAX, TimeUnit};
pub use lines::LINE_MAX;
use lines::LineReader;
pub use servegen::ServeGen;
pub use sessions::Recordings;
pub(super) use sessions::{Agent, Recorded, RecordedStep};

/// At most so many errors are told one by one; a last one counts the rest.
pub const ERRORS_MAX: usize = 20;
/// At most so many rows are held at a time: those of one tick, or the first ones.
pub const TICK_ROWS_MAX: usize = 100_000;
/// At most so many prefix hashes are held at a time (128 MiB).
pub const TICK_HASHES_MAX: usize = 16 * 1024 * 1024;

/// Which format a trace has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// CSV with the columns `TIMESTAMP,ContextTokens,GeneratedTokens`.
    Azure,
    /// One JSON object a line: `timestamp` (ms), `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// CSV with the columns `Timestamp` (s), `Request tokens`, `Response tokens` among others; rows
    /// without response tokens are failures and left out.
    BurstGpt,
    /// CSV with the columns `arrived_at` (s), `num_prefill_tokens`, `num_decode_tokens`.
    Vidur,
    /// One JSON object a line: `chat_id`, `parent_chat_id`, `timestamp` (s), `input_length`,
    /// `output_length`, `hash_ids`.
    Bailian,
    /// CSV with columns of any name.
    Csv(Box<CsvMap>),
}

impl TraceFormat {
    /// What people call it.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            TraceFormat::Azure => "Azure",
            TraceFormat::Mooncake => "Mooncake",
            TraceFormat::BurstGpt => "BurstGPT",
            TraceFormat::Vidur => "Vidur",
            TraceFormat::Bailian => "Bailian",
            TraceFormat::Csv(_) => "CSV",
        }
    }

    /// Whether the first line names the columns.
    fn has_header(&self) -> bool {
        !matches!(self, TraceFormat::Mooncake | TraceFormat::Bailian)
    }

    /// What its header calls time, prompt and answer, if columns are found by fixed names.
    fn names(&self) -> Option<columns::ColumnNames> {
        match self {
            TraceFormat::Azure
            | TraceFormat::Mooncake
            | TraceFormat::Bailian
            | TraceFormat::Csv(_) => None,
            TraceFormat::BurstGpt => Some(columns::BURSTGPT),
            TraceFormat::Vidur => Some(columns::VIDUR),
        }
    }
}

/// How a trace is stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceScale {
    /// What gaps are multiplied by: 0.5 plays the trace twice as fast, at twice the rate.
    pub time: f64,
    /// What lengths of prompts and answers are multiplied by; prefix hashes stay, so that each
    /// stands for as many times the tokens.
    pub length: f64,
}

/// A bare number stretches the time.
impl From<f64> for TraceScale {
    fn from(time: f64) -> TraceScale {
        TraceScale { time, length: 1.0 }
    }
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

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}

impl std::error::Error for TraceError {}

/// What is wrong with a line.
#[derive(Debug)]
struct Flaw {
    column: u64,
    reason: String,
    /// Whether nothing can be said of the lines after it.
    last: bool,
}

impl Flaw {
    fn new(column: u64, reason: String) -> Flaw {
        Flaw { column, reason, last: false }
    }

    fn last(column: u64, reason: String) -> Flaw {
        Flaw { column, reason, last: true }
    }
}

/// A row of any format.
#[derive(Debug, Default)]
struct TraceRow {
    /// Nanoseconds since some moment; what counts is the difference to the first row.
    at: i128,
    prompt: u64,
    output: u64,
    prefix: Box<[u64]>,
    session: Option<u64>,
    tenant: Option<u32>,
    class: Option<usize>,
}

/// A row and when it is played (before scaling), nanoseconds after the first row.
#[derive(Debug)]
struct Timed {
    at: u64,
    row: TraceRow,
}

/// A trace, read as a stream.
#[derive(Debug)]
pub struct Trace {
    lines: LineReader,
    format: TraceFormat,
    scale: TraceScale,
    end: Time,
    left: u64,
    mix: Mix,
    rng: Rng,
    header: bool,
    /// Where the columns are, once a header has named them.
    columns: Option<ColumnPlaces>,
    /// The same of a table whose columns the scenario names.
    csv: Option<Csv>,
    /// Conversations of a trace whose rows name the request before.
    chats: Chats,
    /// Rows left out because they tell of failures.
    skipped: u64,
    /// Time of the first row.
    origin: Option<i128>,
    /// Time of the last row read, relative to the first.
    newest: u64,
    /// Rows read ahead, to look for a grid and for the end of a tick.
    ahead: VecDeque<Timed>,
    /// Rows of a tick that have been spread.
    tick: VecDeque<Timed>,
    looked: bool,
    /// The grid's step, if there is one.
    grid: Option<Span>,
    /// Errors found while looking for a grid, before anybody asked for a row.
    pending: Vec<TraceError>,
}

impl Trace {
    /// Reads `reader` until `end`, at most `count` rows. A bare number as `scale`
    /// stretches the gaps between rows: 0.5 plays a trace twice as fast.
    ///
    /// # Panics
    /// If a scale is not a finite number above zero.
    #[must_use]
    pub fn new(
        reader: Box<dyn BufRead + Send>,
        format: TraceFormat,
        scale: impl Into<TraceScale>,
        end: Time,
        count: u64,
        seed: u64,
        mix: Mix,
    ) -> Trace {
        let scale = scale.into();
        for scale in [scale.time, scale.length] {
            assert!(scale.is_finite() && scale > 0.0, "a scale is a finite number above zero");
        }
        Trace {
            lines: LineReader::new(reader),
            scale,
            end,
            left: count,
            mix,
            rng: Rng::stream(seed, "trace jitter"),
            header: format.has_header(),
            columns: None,
            csv: None,
            chats: Chats::default(),
            skipped: 0,
            origin: None,
            newest: 0,
            ahead: VecDeque::new(),
            tick: VecDeque::new(),
            looked: format == TraceFormat::Azure,
            format,
            grid: None,
            pending: Vec::new(),
        }
    }

    /// What a person should know about how the trace is played. Reads the first rows if that has
    /// not happened yet; errors in them are returned by the next call of `next`.
    pub fn notes(&mut self) -> Vec<String> {
        if let Err(errors) = self.look() {
            self.pending = errors;
            self.left = 0;
        }
        let mut notes = Vec::new();
        if let Some(step) = self.grid {
            let jitter = "spread by a seeded uniform jitter";
            notes.push(format!("timestamps lie on a {step} grid: requests are {jitter}"));
        }
        if self.format == TraceFormat::BurstGpt {
            let first = match self.skipped {
                0 => String::new(),
                count => format!(" ({count} in the first rows)"),
            };
            notes.push(format!("rows without response tokens failed and are left out{first}"));
        }
        notes
    }

    /// Returns how many rows have been left out so far because they tell of failures.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns the step of the grid on which the timestamps lie, once the first rows are read.
    #[must_use]
    pub fn grid(&self) -> Option<Span> {
        self.grid
    }

    /// Reads ahead until it is clear whether timestamps lie on a grid.
    fn look(&mut self) -> Result<(), Vec<TraceError>> {
        if self.looked {
            return Ok(());
        }
        self.looked = true;
        let (mut ticks, mut hashes) = (0, 0);
        let mut last = None;
        while ticks < grid::TICKS_SEEN && self.ahead.len() < TICK_ROWS_MAX {
            let Some(row) = self.read()? else { break };
            ticks += usize::from(last != Some(row.at));
            last = Some(row.at);
            hashes += row.row.prefix.len();
            self.ahead.push_back(row);
            if hashes > TICK_HASHES_MAX {
                break;
            }
        }
        self.grid = grid::step(self.ahead.iter().map(|row| row.at));
        Ok(())
    }

    /// The next row at the time it is played.
    fn row(&mut self) -> Result<Option<Timed>, Vec<TraceError>> {
        self.look()?;
        let Some(step) = self.grid else {
            return self.raw();
        };
        if self.tick.is_empty() {
            self.gather()?;
            self.spread(step);
        }
        Ok(self.tick.pop_front())
    }

    /// The next row as it stands in the file.
    fn raw(&mut self) -> Result<Option<Timed>, Vec<TraceError>> {
        match self.ahead.pop_front() {
            Some(row) => Ok(Some(row)),
            None => self.read(),
        }
    }

    /// Collects the rows of one tick, and leaves the first of the next one in front.
    fn gather(&mut self) -> Result<(), Vec<TraceError>> {
        let mut hashes = 0;
        while let Some(row) = self.raw()? {
            if self.tick.front().is_some_and(|first| first.at != row.at) {
                self.ahead.push_front(row);
                return Ok(());
            }
            hashes += row.row.prefix.len();
            self.tick.push_back(row);
            if self.tick.len() > TICK_ROWS_MAX || hashes > TICK_HASHES_MAX {
                let reason = format!(
                    "more than {TICK_ROWS_MAX} rows (or {TICK_HASHES_MAX} hashes) at one time"
                );
                return Err(self.all_errors(Flaw::last(1, reason)));
            }
        }
        Ok(())
    }

    /// Spreads the rows of a tick over the time until the next, at most one step, in file order.
    fn spread(&mut self, step: Span) {
        let Some(first) = self.tick.front() else {
            return;
        };
        let from = first.at;
        let gap = self.ahead.front().map_or(step.0, |next| next.at - from).min(step.0);
        let mut offsets: Vec<u64> =
            self.tick.iter().map(|_| self.rng.below(gap.max(1) as usize) as u64).collect();
        offsets.sort_unstable();
        for (row, offset) in self.tick.iter_mut().zip(offsets) {
            row.at = from.saturating_add(offset);
        }
    }

    /// Reads a row; on a bad one, everything that is wrong with the rest of the file.
    fn read(&mut self) -> Result<Option<Timed>, Vec<TraceError>> {
        self.parse().map_err(|flaw| self.all_errors(flaw))
    }

    fn parse(&mut self) -> Result<Option<Timed>, Flaw> {
        if self.header {
            self.header = false;
            if self.advance()? {
                let line = self.lines.line();
                match (&self.format, self.format.names()) {
                    (TraceFormat::Csv(map), _) => {
                        self.csv = Some(Csv::new(map.as_ref().clone(), line)?);
                    }
                    (_, Some(names)) => self.columns = Some(columns::header(line, names)?),
                    _ => azure::header(line)?,
                }
            }
        }
        while self.advance()? {
            if let Some(csv) = &self.csv {
                self.join_quoted(csv.separator())?;
            }
            let line = self.lines.line();
            let row = match (&self.format, &self.columns, &mut self.csv) {
                (TraceFormat::Mooncake, ..) => mooncake::row(line),
                (TraceFormat::Bailian, ..) => bailian::row(line, &mut self.chats),
                (_, _, Some(csv)) => csv.row(line, &self.mix),
                (_, Some(columns), _) => columns::row(line, columns),
                _ => azure::row(line),
            };
            let row = row.map_err(|mut flaw| {
                if !self.lines.terminated() {
                    flaw.reason.push_str(" (the last line has no line end: is the file cut off?)");
                }
                flaw
            })?;
            if self.format == TraceFormat::BurstGpt && row.output == 0 {
                self.skipped += 1;
                continue;
            }
            return self.place(row).map(Some);
        }
        Ok(None)
    }

    /// Reads on while a quoted field of the row is not closed: line ends stand in quotes.
    fn join_quoted(&mut self, separator: u8) -> Result<(), Flaw> {
        let first = self.lines.number();
        let mut open = csv::open_quote(self.lines.line(), separator);
        while let Some(at) = open {
            let before = self.lines.line().len();
            let more = self.lines.join_next()?;
            let joined = self.lines.line();
            if !more || joined.len() > csv::JOINED_MAX {
                let what = if more { "is too long" } else { "is not closed" };
                let reason =
                    format!("a quoted field of the row that begins in line {first} {what}");
                return Err(Flaw::last(at as u64 + 1, reason));
            }
            // Nothing but an odd number of quotes can close it.
            let quotes = joined[before..].iter().filter(|byte| **byte == b'"').count();
            if quotes % 2 == 1 {
                open = csv::open_quote(&joined[at..], separator).map(|further| at + further);
            }
        }
        Ok(())
    }

    /// Reads a line. A file without any row is an error.
    fn advance(&mut self) -> Result<bool, Flaw> {
        let more = self.lines.advance()?;
        if !more && self.lines.number() == 0 {
            return Err(Flaw::last(1, "the file is empty".to_owned()));
        }
        if !more && self.origin.is_none() {
            return Err(Flaw::last(1, "there is no request in this file".to_owned()));
        }
        Ok(more)
    }

    /// Dates a row from the first one on.
    fn place(&mut self, row: TraceRow) -> Result<Timed, Flaw> {
        let origin = *self.origin.get_or_insert(row.at);
        let before = std::mem::replace(
            &mut self.newest,
            u64::try_from(row.at - origin).unwrap_or(if row.at < origin { 0 } else { u64::MAX }),
        );
        let since = row.at - origin;
        if since < i128::from(before) {
            let back = Span(u64::try_from(i128::from(before) - since).unwrap_or(u64::MAX));
            let reason = format!("{back} before the row above; wanted rows in order of time");
            return Err(Flaw::new(1, reason));
        }
        let at = u64::try_from(since)
            .map_err(|_| Flaw::new(1, "more than 584 years after the first row".to_owned()))?;
        Ok(Timed { at, row })
    }

    /// Searches the rest of the file for more errors and ends the stream.
    fn all_errors(&mut self, first: Flaw) -> Vec<TraceError> {
        let mut errors = Vec::new();
        let mut more: u64 = 0;
        let mut flaw = first;
        loop {
            let last = flaw.last;
            let line = self.lines.number().max(1);
            if errors.len() < ERRORS_MAX {
                errors.push(TraceError { line, column: flaw.column, reason: flaw.reason });
            } else {
                more += 1;
            }
            if last {
                break;
            }
            match self.next_flaw() {
                Some(next) => flaw = next,
                None => break,
            }
        }
        if more > 0 {
            let line = self.lines.number();
            errors.push(TraceError { line, column: 1, reason: format!("and {more} more errors") });
        }
        self.left = 0;
        self.ahead.clear();
        self.tick.clear();
        errors
    }

    fn next_flaw(&mut self) -> Option<Flaw> {
        // The end of a file without one good row is no error beside those of its rows.
        self.origin.get_or_insert(0);
        loop {
            match self.parse() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(flaw) => return Some(flaw),
            }
        }
    }
}

impl ArrivalSource for Trace {
    fn remarks(&self) -> Vec<String> {
        match self.skipped {
            0 => Vec::new(),
            1 => vec!["1 row without response tokens was left out".to_owned()],
            count => vec![format!("{count} rows without response tokens were left out")],
        }
    }

    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>> {
        if !self.pending.is_empty() {
            return Err(std::mem::take(&mut self.pending));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let Some(Timed { at, row }) = self.row()? else {
            self.left = 0;
            return Ok(None);
        };
        let at = Time::ZERO + Span(at).scale(self.scale.time);
        if at > self.end {
            self.left = 0;
            return Ok(None);
        }
        self.left -= 1;
        // A row without tokens is a request all the same: it costs at least one.
        let length = |count| stretched(count, self.scale.length);
        let (prompt, output) = (length(row.prompt), length(row.output));
        let block =
            if self.format == TraceFormat::Bailian { bailian::BLOCK } else { mooncake::BLOCK };
        let recorded = Prefix { hashes: row.prefix, block: block as u32 };
        // Lengths that are scaled are still those of the same prompts, whatever was rounded.
        let content = recorded.whole(stretched(row.prompt, 1.0));
        let prefix = Prefix { block: length(block).0 as u32, ..recorded };
        let draft = RequestDraft {
            prompt: Some(prompt),
            output: Some(output),
            content,
            prefix,
            class: row.class,
            tenant: row.tenant.map(TenantId),
            session: row.session,
            text: None,
            key: None,
        };
        Ok(Some(self.mix.make(at, draft)))
    }
}

/// A length times the scale: rounded, at least one, at most [`LENGTH_MAX`].
fn stretched(count: u64, scale: f64) -> Tokens {
    Tokens(((count as f64 * scale).round() as u64).clamp(1, LENGTH_MAX))
}

/// Parses a number of tokens.
fn tokens(field: &[u8]) -> Result<u64, String> {
    let digits = field.trim_ascii();
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(format!("`{}`: wanted a whole number of tokens", shown(digits)));
    }
    tokens_in_range(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn tokens_in_range(count: u64) -> Result<u64, String> {
    if count > LENGTH_MAX {
        return Err(format!("{count} tokens; a length is at most {LENGTH_MAX}"));
    }
    Ok(count)
}

fn not_text(error: std::str::Utf8Error) -> Flaw {
    let column = error.valid_up_to() as u64 + 1;
    Flaw::new(column, "a byte that is not UTF-8: is this a text file?".to_owned())
}

/// Bytes as they may stand in a message: short, and without control characters.
fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 48;
    let cut = &bytes[..bytes.len().min(LONGEST)];
    let dots = if bytes.len() > LONGEST { "…" } else { "" };
    String::from_utf8_lossy(cut).escape_debug().chain(dots.chars()).collect()
}

#[cfg(test)]
mod tests;
