//! The scenario as a tree of values that know where they were written.
//!
//! The `toml` crate reads the text; its tables become lists in file order here, so that everything
//! said about them is in the order of the file, and values of the command line can stand beside
//! values of the file. The crate bounds how deep brackets may nest but not how many parts a dotted
//! key may have, and a tree that is too deep overflows the stack when it is dropped: therefore a
//! scan for depth comes first.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, quote};

/// Brackets may nest so deep, and a dotted key may have so many parts.
pub const DEPTH_MAX: u32 = 24;

/// A scenario may have so many bytes.
pub const BYTES_MAX: usize = 4 << 20;

/// Up to this size all syntax errors of a text are listed, beyond it only the first, so that four
/// megabytes of rubbish do not become a million messages.
const RECOVER_MAX: usize = 256 << 10;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    /// `None` if beyond 128 bits.
    Whole(Option<i128>),
    Number(f64),
    Truth(bool),
    Date,
    List(Vec<Value>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Value,
}

impl Kind {
    /// Returns what it is, with an article.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Kind::Text(_) => "a string",
            Kind::Whole(_) => "a whole number",
            Kind::Number(_) => "a number",
            Kind::Truth(_) => "a truth value",
            Kind::Date => "a date",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }
}

/// Reads a whole document.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    if text.len() > BYTES_MAX {
        // What was read ends there, so how large it is nobody knows.
        let message =
            format!("the file is larger than {} MiB, the most that is read", BYTES_MAX >> 20);
        return Err(vec![Problem::new(Place::File, message)]);
    }
    if let Some(span) = too_deep(text) {
        let message = format!("nested deeper than {DEPTH_MAX} levels");
        return Err(vec![Problem::new(Place::Span(span.clone()), message)]);
    }
    if text.len() > RECOVER_MAX {
        let document = DeTable::parse(text).map_err(|error| vec![syntax(text, &error)])?;
        return Ok(table(document.into_inner(), &Place::Span));
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        Ok(table(document.into_inner(), &Place::Span))
    } else {
        Err(told_once(errors.iter().map(|error| syntax(text, error)).collect()))
    }
}

/// Of a list that is not written as one, only the first mistake: the others follow from it.
fn told_once(mut problems: Vec<Problem>) -> Vec<Problem> {
    let second = |problem: &Problem| problem.message.ends_with(SECOND);
    if problems.iter().any(|problem| second(problem) && problem.help.is_some()) {
        let mut told = false;
        problems.retain(|problem| {
            let first = problem.help.is_some() && !std::mem::replace(&mut told, true);
            !second(problem) || first
        });
    }
    problems
}

/// How the message about a repeated key ends.
const SECOND: &str = "stands here for the second time";

/// Parts of a scenario of which there may be several.
const LISTS: &[&str] = &["pool", "node", "class", "route", "workflow", "fault", "expect"];

/// Reads one value of the command line; `None` if it is not TOML.
pub(super) fn read_value(text: &str, place: &Place) -> Option<Value> {
    if text.len() > BYTES_MAX || too_deep(text).is_some() {
        return None;
    }
    let parsed = DeValue::parse(text).ok()?;
    Some(value(parsed, &|_| place.clone()))
}

fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let Some(span) = error.span() else {
        return Problem::new(Place::File, error.message());
    };
    let found = text.get(span.clone()).unwrap_or_default();
    let message = match error.message() {
        DUPLICATE => format!("{} {SECOND}", quote(found)),
        message if message.starts_with("string values must be quoted") && found.is_empty() => {
            "the value is missing".to_owned()
        }
        message => message.to_owned(),
    };
    let mut problem = Problem::new(Place::Span(span.clone()), message);
    if error.message() == DUPLICATE
        && let Some(line) = first_line(text, &span)
    {
        problem.label(format!("the first one stands in line {line}"));
    }
    if let Some(help) = syntax_help(error.message(), found) {
        problem.help(help);
    }
    problem
}

/// What the crate says of a key that stands twice.
const DUPLICATE: &str = "duplicate key";

/// Finds the line of the first of two equal keys: of headers the first in the file, of others the one at
/// the same depth since the last header. A guess, good enough to be told.
fn first_line(text: &str, second: &Range<usize>) -> Option<usize> {
    let (key, before) = (text.get(second.clone())?, text.get(..second.start)?);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let lead = before[line_start..].trim_start();
    let is_header = !lead.is_empty() && lead.bytes().all(|byte| byte == b'[');
    let number = |at: usize| before[..at].matches('\n').count() + 1;
    let mut offset = 0;
    let mut lines = before.split_inclusive('\n').map(|line| {
        offset += line.len();
        (offset - line.len(), line)
    });
    if is_header {
        let found = lines.find(|(_, line)| is_header_of(line, key));
        return found.map(|(at, _)| number(at));
    }
    let section = lines.filter(|(_, line)| line.trim_start().starts_with('[')).last();
    let from = section.map_or(0, |(at, line)| at + line.len()).min(line_start);
    first_at_depth(&before[from..], key).map(|at| number(from + at))
}

/// Whether a line is the header of a table of this name.
fn is_header_of(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let rest = line.trim_start_matches('[').trim_start().strip_prefix(name);
    line.starts_with('[') && rest.is_some_and(|rest| rest.trim_start().starts_with([']', '.']))
}

/// The last place before the end of a text where a key stands as deep as what follows the text.
fn first_at_depth(text: &str, key: &str) -> Option<usize> {
    // Of each depth the last place; what is deeper is forgotten where it ends.
    let mut places: Vec<Option<usize>> = vec![None];
    let (mut quote, mut comment) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (_, b'\n') => comment = false,
            _ if comment => {}
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'#') => comment = true,
            (None, b'{') => places.push(None),
            (None, b'}') if places.len() > 1 => drop(places.pop()),
            (None, b'"' | b'\'') if !text[at..].starts_with(key) => quote = Some(byte),
            (None, _) => {
                let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let begins =
                    at.checked_sub(1).is_none_or(|before| !inside(text.as_bytes()[before]));
                let rest = text.get(at..).and_then(|rest| rest.strip_prefix(key));
                let said = rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']));
                if begins
                    && said
                    && let Some(place) = places.last_mut()
                {
                    *place = Some(at);
                }
            }
        }
    }
    places.pop().flatten()
}

/// What to do about the mistakes that people make most.
fn syntax_help(message: &str, found: &str) -> Option<String> {
    if message == "duplicate key" && LISTS.contains(&found) {
        let header = if found == "node" { "pool.node" } else { found };
        return Some(format!(
            "there may be several: write `[[{header}]]`, in two brackets, above each of them, the first too"
        ));
    }
    let number = found.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    if let Some(percent) = number {
        return Some(format!("a share is a number from 0 to 1: write {}", percent / 100.0));
    }
    let bare = message.starts_with("string values must be quoted") && !found.is_empty();
    let word = found.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (bare && word).then(|| format!("write \"{found}\""))
}

type At<'a> = &'a dyn Fn(Range<usize>) -> Place;

fn value(spanned: Spanned<DeValue<'_>>, at: At<'_>) -> Value {
    let place = at(spanned.span());
    let kind = match spanned.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(whole) => {
            Kind::Whole(i128::from_str_radix(whole.as_str(), whole.radix()).ok())
        }
        // Not-a-number, infinities and numbers that overflow are refused where they are used.
        DeValue::Float(number) => Kind::Number(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Kind::Truth(truth),
        DeValue::Datetime(_) => Kind::Date,
        DeValue::Array(list) => Kind::List(list.into_iter().map(|item| value(item, at)).collect()),
        DeValue::Table(entries) => Kind::Table(table(entries, at)),
    };
    Value { place, kind }
}

fn table(entries: DeTable<'_>, at: At<'_>) -> Vec<Entry> {
    let mut list: Vec<(Range<usize>, Entry)> = entries
        .into_iter()
        .map(|(key, inner)| {
            let span = key.span();
            let entry = Entry {
                place: at(span.clone()),
                key: key.into_inner().into_owned(),
                value: value(inner, at),
            };
            (span, entry)
        })
        .collect();
    list.sort_by_key(|(span, _)| span.start);
    list.into_iter().map(|(_, entry)| entry).collect()
}

/// Returns the first byte at which brackets or a dotted key go deeper than [`DEPTH_MAX`].
///
/// Cuts the text into tokens as the lexer of the `toml` crate does, broken texts included.
fn too_deep(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut brackets, mut dots, mut at) = (0_u32, 0, 0);
    while at < bytes.len() {
        let next = match bytes[at] {
            b'#' => end(bytes, at, b"\r\n"),
            b'"' | b'\'' => string_end(bytes, at),
            b' ' | b'\t' | b'\r' | b'\n' | b'.' | b'=' | b',' | b'[' | b']' | b'{' | b'}' => at + 1,
            // A bare word runs to the next of these; quotes inside belong to it.
            _ => end(bytes, at, b".=,[]{} \t#\r\n"),
        };
        match bytes[at] {
            b'[' | b'{' => (brackets, dots) = (brackets + 1, 0),
            b']' | b'}' => (brackets, dots) = (brackets.saturating_sub(1), 0),
            b'=' | b',' | b'\n' => dots = 0,
            b'.' => dots += 1,
            _ => {}
        }
        if brackets > DEPTH_MAX || dots > DEPTH_MAX {
            return Some(at..at + 1);
        }
        at = next;
    }
    None
}

/// Returns where the next of `stops` is, or the end.
fn end(bytes: &[u8], from: usize, stops: &[u8]) -> usize {
    let stop = bytes[from..].iter().position(|byte| stops.contains(byte));
    stop.map_or(bytes.len(), |stop| from + stop)
}

/// Returns the first byte after the string that begins at `from`.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mark = bytes[from];
    let long = bytes[from..].starts_with(&[mark; 3]);
    let mut at = from + if long { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if mark == b'"' && matches!(bytes.get(at + 1), Some(b'\\' | b'"')) => at += 1,
            b'\n' if !long => return at,
            byte if byte == mark && !long => return at + 1,
            byte if byte == mark && bytes[at..].starts_with(&[mark; 3]) => return at + 3,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_whatever_it_is_made_of() {
        let deep = 100_000;
        for text in [
            format!("a{} = 1", ".a".repeat(deep)),
            format!("[a{}]", ".a".repeat(deep)),
            format!("a = {}", "[".repeat(deep)),
            format!("a = {}", "{a=".repeat(deep)),
            format!("a = {}", "{a.a.a.a=".repeat(deep)),
        ] {
            assert!(read(&text).is_err());
        }
        let fine = format!(
            "a = \"{}\" # {}\nb = '''\n{}'''",
            ".".repeat(99),
            "[".repeat(99),
            "{".repeat(99)
        );
        assert!(read(&fine).is_ok());
    }

    #[test]
    fn of_two_equal_keys_the_line_of_the_first_is_told() {
        let line = |text: &str| {
            let problems = read(text).expect_err("a key stands twice");
            let label = problems[0].label.clone().unwrap_or_default();
            label.rsplit(' ').next().and_then(|word| word.parse::<usize>().ok())
        };
        assert_eq!(line("a = 1\nb = 2\na = 3\n"), Some(1));
        assert_eq!(line("a = 1\n[t]\n# a = 0\nb = \"a = 2\"\naa = 1\na = 1\n\na = 3\n"), Some(6));
        assert_eq!(line("[t]\nx = 1\n[u]\n[t]\n"), Some(1));
        assert_eq!(line("q = 1\nz = { a = 1, b = { a = 2 }, a = 3 }\n"), Some(2));
    }

    #[test]
    fn tables_keep_file_order() {
        let document = read("z = 1\na = 2\n[m]\n[b]\n").unwrap();
        let keys: Vec<&str> = document.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["z", "a", "m", "b"]);
    }

    #[test]
    fn rubbish_of_any_size_is_bounded() {
        assert!(read(&"=\n".repeat(BYTES_MAX / 2)).is_err());
        assert!(read(&"x".repeat(BYTES_MAX + 1)).is_err());
    }
}
