//! Rows of any table with a header: a map says which column is what.
//!
//! Fields may stand in double quotes, with separators and line ends between them. Times are exact
//! decimals in the unit named, or dates as in the Azure traces. A tenant is a whole number, or a
//! name: names are numbered from zero in order of appearance, and a file has either. A session is
//! any text. Columns that the map does not name are left alone.

use std::collections::BTreeMap;

use super::{Flaw, TraceRow, azure, not_text, shown, tokens};
use crate::rng::mix;
use crate::workload::length::Mix;

/// A file names at most so many tenants.
pub const TENANTS_MAX: usize = 1_000_000;

/// A row that goes on over several lines has at most so many bytes.
pub(super) const JOINED_MAX: usize = 1 << 20;

/// Nanoseconds beyond this (10,000 years) are not a time.
const NANOS_MAX: i128 = 315_576_000_000 * 1_000_000_000;

/// How a column tells time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Decimal seconds.
    Seconds,
    /// Decimal milliseconds.
    Millis,
    /// Decimal microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// Dates such as `2023-11-16 18:15:46.68059`, in UTC.
    Date,
}

/// What the columns of a table are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvMap {
    /// When a request came.
    pub time: String,
    /// How that is told.
    pub unit: TimeUnit,
    /// Tokens of the prompt.
    pub input: String,
    /// Tokens of the answer.
    pub output: String,
    /// The conversation.
    pub session: Option<String>,
    /// Who asks.
    pub tenant: Option<String>,
    /// The name of a class of the scenario.
    pub class: Option<String>,
    /// What stands between fields.
    pub separator: u8,
}

/// Names for which columns have been looked up, in the order of [`CsvMap::names`].
const COLUMNS: usize = 6;

impl CsvMap {
    fn names(&self) -> [Option<&str>; COLUMNS] {
        [
            Some(&self.time),
            Some(&self.input),
            Some(&self.output),
            self.session.as_deref(),
            self.tenant.as_deref(),
            self.class.as_deref(),
        ]
    }
}

/// A table being read.
#[derive(Debug)]
pub(super) struct Csv {
    map: CsvMap,
    places: [Option<usize>; COLUMNS],
    count: usize,
    tenants: BTreeMap<Box<[u8]>, u32>,
    /// Whether tenants have names, once the first is read.
    named: Option<bool>,
}

/// Where a field starts, and what it says, without quotes.
type CsvCell<'a> = (usize, &'a [u8]);

/// The fields of a line.
struct Cells<'a> {
    line: &'a [u8],
    separator: u8,
    next: Option<usize>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = CsvCell<'a>;

    fn next(&mut self) -> Option<CsvCell<'a>> {
        let start = self.next?;
        let rest = &self.line[start..];
        let end = cell_end(rest, self.separator).ok();
        self.next = end.map(|end| start + end + 1);
        let cell = rest[..end.unwrap_or(rest.len())].trim_ascii();
        let bare = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\""));
        Some((start, bare.unwrap_or(cell)))
    }
}

/// Returns where the first cell of a line ends; `Err` where it goes on to its end, with whether it is
/// quoted and not closed. A quote means something where a cell begins with one.
fn cell_end(rest: &[u8], separator: u8) -> Result<usize, bool> {
    let blank = |byte: &&u8| byte.is_ascii_whitespace() && **byte != separator;
    let lead = rest.iter().take_while(blank).count();
    let quotes = rest.get(lead) == Some(&b'"');
    let mut quoted = false;
    let end = rest.iter().position(|byte| {
        quoted ^= quotes && *byte == b'"';
        !quoted && *byte == separator
    });
    end.ok_or(quoted)
}

/// Returns where a cell begins whose quote is not closed by the end of the line.
pub(super) fn open_quote(line: &[u8], separator: u8) -> Option<usize> {
    let mut start = 0;
    loop {
        match cell_end(&line[start..], separator) {
            Ok(end) => start += end + 1,
            Err(open) => return open.then_some(start),
        }
    }
}

impl Csv {
    /// What stands between fields.
    pub(super) const fn separator(&self) -> u8 {
        self.map.separator
    }

    /// Finds the columns in the header line.
    pub(super) fn new(map: CsvMap, header: &[u8]) -> Result<Csv, Flaw> {
        let cells = || Cells { line: header, separator: map.separator, next: Some(0) };
        let mut places = [None; COLUMNS];
        for (place, name) in places.iter_mut().zip(map.names()) {
            let Some(name) = name else { continue };
            let same = |(_, cell): CsvCell<'_>| cell.eq_ignore_ascii_case(name.as_bytes());
            *place = cells().position(same);
            if place.is_none() {
                let separator = char::from(map.separator).escape_default();
                let reason = format!(
                    "found `{}`; the first line has no column `{name}` (fields end at `{separator}`)",
                    shown(header)
                );
                return Err(Flaw::last(1, reason));
            }
        }
        let count = cells().count();
        Ok(Csv { map, places, count, tenants: BTreeMap::new(), named: None })
    }

    /// Parses one row.
    pub(super) fn row(&mut self, line: &[u8], classes: &Mix) -> Result<TraceRow, Flaw> {
        self.fields(line, classes).map_err(|flaw| match std::str::from_utf8(line) {
            Ok(_) => flaw,
            Err(error) => not_text(error),
        })
    }

    fn fields(&mut self, line: &[u8], classes: &Mix) -> Result<TraceRow, Flaw> {
        let mut found: [Option<CsvCell<'_>>; COLUMNS] = [None; COLUMNS];
        let mut count = 0;
        for cell in (Cells { line, separator: self.map.separator, next: Some(0) }) {
            for (field, place) in found.iter_mut().zip(self.places) {
                if place == Some(count) {
                    *field = Some(cell);
                }
            }
            count += 1;
        }
        if count != self.count {
            let plural = if count == 1 { "" } else { "s" };
            let reason = format!("{count} field{plural}; wanted {} as in the header", self.count);
            return Err(Flaw::new(1, reason));
        }
        let [at, prompt, output, session, tenant, class] = found;
        let length = |cell: Option<CsvCell<'_>>| {
            let (start, cell) = cell.unwrap_or_default();
            tokens(cell).map_err(|reason| Flaw::new(start as u64 + 1, reason))
        };
        Ok(TraceRow {
            at: self.time(at.unwrap_or_default())?,
            prompt: length(prompt)?,
            output: length(output)?,
            session: session.map(|(_, cell)| number_of(cell)),
            tenant: tenant.map(|cell| self.tenant(cell)).transpose()?,
            class: class.map(|cell| class_of(cell, classes)).transpose()?,
            ..TraceRow::default()
        })
    }

    fn time(&self, (start, cell): CsvCell<'_>) -> Result<i128, Flaw> {
        let (decimals, words) = match self.map.unit {
            TimeUnit::Seconds => (9, "seconds"),
            TimeUnit::Millis => (6, "milliseconds"),
            TimeUnit::Micros => (3, "microseconds"),
            TimeUnit::Nanos => (0, "nanoseconds"),
            TimeUnit::Date => {
                return azure::timestamp(cell)
                    .map_err(|flaw| Flaw { column: start as u64 + flaw.column, ..flaw });
            }
        };
        decimal(cell, decimals).filter(|nanos| *nanos <= NANOS_MAX).ok_or_else(|| {
            let name = &self.map.time;
            let reason = format!("`{}`: `{name}` is in {words} from 0 up", shown(cell));
            Flaw::new(start as u64 + 1, reason)
        })
    }

    fn tenant(&mut self, (start, cell): CsvCell<'_>) -> Result<u32, Flaw> {
        let wrong = |reason: String| Flaw::new(start as u64 + 1, reason);
        let number = std::str::from_utf8(cell).ok().and_then(|text| text.parse::<u32>().ok());
        let named = *self.named.get_or_insert(number.is_none());
        match number {
            Some(number) if !named => Ok(number),
            _ if named => {
                if let Some(known) = self.tenants.get(cell) {
                    return Ok(*known);
                }
                if self.tenants.len() >= TENANTS_MAX {
                    return Err(wrong(format!("more than {TENANTS_MAX} names of tenants")));
                }
                let number = self.tenants.len() as u32;
                self.tenants.insert(cell.into(), number);
                Ok(number)
            }
            _ => {
                let wanted = "wanted a whole number, as in the rows before";
                Err(wrong(format!("tenant `{}`: {wanted}", shown(cell))))
            }
        }
    }
}

/// A whole number stands for itself, any other text for its hash.
fn number_of(cell: &[u8]) -> u64 {
    let number = std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| cell.iter().fold(1, |hash, byte| mix(hash, u64::from(*byte))))
}

fn class_of((start, cell): CsvCell<'_>, classes: &Mix) -> Result<usize, Flaw> {
    classes.class_named(cell).ok_or_else(|| {
        let reason = format!("`{}` names no class of the scenario", shown(cell));
        Flaw::new(start as u64 + 1, reason)
    })
}

/// Reads an exact decimal as a whole number of units of `10^-decimals`; digits beyond are cut.
fn decimal(cell: &[u8], decimals: usize) -> Option<i128> {
    let (whole, fraction) = match cell.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&cell[..dot], &cell[dot + 1..]),
        None => (cell, &cell[..0]),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || whole.len() > 24 || !digits(whole) || !digits(fraction) {
        // With an exponent it is a float.
        let float: f64 = std::str::from_utf8(cell).ok()?.parse().ok()?;
        let scaled = float * 10_f64.powi(decimals as i32);
        return (0.0..1e30).contains(&scaled).then(|| scaled.round() as i128);
    }
    let zeros = std::iter::repeat(&b'0');
    let digits = whole.iter().chain(fraction.iter().chain(zeros).take(decimals));
    Some(digits.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let read = |text: &str, decimals| decimal(text.as_bytes(), decimals);
        assert_eq!(read("1700000000.123456789", 9), Some(1_700_000_000_123_456_789));
        assert_eq!(read("0.5", 3), Some(500));
        assert_eq!(read("7", 0), Some(7));
        assert_eq!(read("1e3", 6), Some(1_000_000_000));
        for wrong in ["", "-1", "x", "nan", "inf", "1.2.3", ".", "--"] {
            assert_eq!(read(wrong, 9), None, "{wrong}");
        }
    }

    #[test]
    fn quotes_hide_separators() {
        let line = b"a;\"b;c\"; d ;";
        let cells: Vec<_> = Cells { line, separator: b';', next: Some(0) }.collect();
        let wanted: [CsvCell<'_>; 4] = [(0, b"a"), (2, b"b;c"), (8, b"d"), (12, b"")];
        assert_eq!(cells, wanted);
    }
}
