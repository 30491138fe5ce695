//! Rows of the Mooncake traces: one JSON object a line with `timestamp` (ms), `input_length`,
//! `output_length` and `hash_ids` (one number for each 512 tokens of the prompt).
//!
//! Source: Qin et al., "Mooncake: Trading More Storage for Less Computation", FAST 2025. Two
//! prompts share a prefix as far as their leading ids agree; ids are chained here so that a single
//! hash says the same of everything before it. Keys not named here are left alone.

use serde::Deserialize;

use super::{Flaw, TraceRow, not_text, tokens_in_range};
use crate::rng::mix;

/// Tokens an id stands for.
pub(super) const BLOCK: u64 = 512;

/// Milliseconds beyond this (500 years) are not a time.
const MILLIS_MAX: f64 = 1.6e13;

#[derive(Deserialize)]
struct MooncakeRecord {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// Parses one row.
pub(super) fn row(line: &[u8]) -> Result<TraceRow, Flaw> {
    let text = std::str::from_utf8(line).map_err(not_text)?;
    if !text.trim_start().starts_with('{') {
        return Err(Flaw::new(1, "wanted a JSON object such as {\"timestamp\": 0, …}".to_owned()));
    }
    let record: MooncakeRecord = serde_json::from_str(text).map_err(|error| flaw(&error))?;
    if !(0.0..=MILLIS_MAX).contains(&record.timestamp) {
        let reason = format!("`timestamp` is {}; wanted milliseconds from 0 up", record.timestamp);
        return Err(Flaw::new(column_of(text, "timestamp"), reason));
    }
    for (key, length) in
        [("input_length", record.input_length), ("output_length", record.output_length)]
    {
        tokens_in_range(length).map_err(|reason| Flaw::new(column_of(text, key), reason))?;
    }
    let at = (record.timestamp * 1e6).round() as i128;
    let (prompt, output) = (record.input_length, record.output_length);
    Ok(TraceRow { at, prompt, output, prefix: chain(0, record.hash_ids), ..TraceRow::default() })
}

/// Turns block ids into hashes that each stand for the whole prompt up to their block. Ids are
/// comparable where they begin with the same hash.
pub(super) fn chain(first: u64, mut ids: Vec<u64>) -> Box<[u64]> {
    let mut hash = first;
    for id in &mut ids {
        hash = mix(hash, *id);
        *id = hash;
    }
    ids.into_boxed_slice()
}

pub(super) fn flaw(error: &serde_json::Error) -> Flaw {
    let text = error.to_string();
    // The line number in it is always 1, and the column has a place of its own.
    let reason = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    Flaw::new((error.column() as u64).max(1), reason.to_owned())
}

pub(super) fn column_of(text: &str, key: &str) -> u64 {
    let quoted = format!("\"{key}\"");
    text.find(&quoted).map_or(1, |at| at as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_agree_exactly_as_far_as_the_ids_do() {
        let a = chain(0, vec![0, 1, 2, 3]);
        let b = chain(0, vec![0, 1, 9, 3]);
        assert_eq!(a[..2], b[..2]);
        assert!(a[2..].iter().zip(&b[2..]).all(|(a, b)| a != b));
        assert_eq!(chain(0, vec![0, 1])[..], a[..2]);
    }

    #[test]
    fn unknown_keys_are_left_alone_and_hashes_may_be_absent() {
        let row =
            row(br#"{"timestamp": 1.5, "input_length": 2, "output_length": 3, "delay": [1]}"#);
        let row = row.unwrap();
        assert_eq!((row.at, row.prompt, row.output, row.prefix.len()), (1_500_000, 2, 3, 0));
    }
}
