//! Rows of traces whose header names the columns: BurstGPT and Vidur.
//!
//! BurstGPT (Wang et al., "BurstGPT: A Real-world Workload Dataset to Optimize LLM Serving
//! Systems", 2024): `Timestamp` in seconds, `Request tokens`, `Response tokens`, with or without
//! `Session ID` and `Elapsed time` before the model. A row without response tokens is a request
//! that failed: how long its answer would have been is not known, so it is left out.
//!
//! Vidur (Agrawal et al., "Vidur: A Large-Scale Simulation Framework for LLM Inference", MLSys
//! 2024): `arrived_at` in seconds, `num_prefill_tokens`, `num_decode_tokens`.
//!
//! Columns are found by name, so others may stand between them. Fields are not quoted.

use super::{Flaw, TraceRow, not_text, shown, tokens};

/// Seconds beyond this (500 years) are not a time.
const SECONDS_MAX: f64 = 1.6e10;

/// What a format calls its columns: time, prompt, answer.
pub(super) type ColumnNames = [&'static str; 3];

pub(super) const BURSTGPT: ColumnNames = ["Timestamp", "Request tokens", "Response tokens"];
pub(super) const VIDUR: ColumnNames = ["arrived_at", "num_prefill_tokens", "num_decode_tokens"];

/// Where the three columns are, and how many there are in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnPlaces {
    names: ColumnNames,
    places: [usize; 3],
    count: usize,
}

fn cells(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
}

/// Finds the columns in the header line.
pub(super) fn header(line: &[u8], names: ColumnNames) -> Result<ColumnPlaces, Flaw> {
    let mut places = [0; 3];
    for (place, name) in places.iter_mut().zip(names) {
        let same = |cell: &[u8]| cell.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        *place = cells(line).position(same).ok_or_else(|| {
            let reason = format!("found `{}`; the first line has no `{name}`", shown(line));
            // Which column is which is not known: errors about rows would only be noise.
            Flaw::last(1, reason)
        })?;
    }
    Ok(ColumnPlaces { names, places, count: cells(line).count() })
}

/// Parses one row.
pub(super) fn row(line: &[u8], columns: &ColumnPlaces) -> Result<TraceRow, Flaw> {
    fields(line, columns).map_err(|flaw| match std::str::from_utf8(line) {
        Ok(_) => flaw,
        Err(error) => not_text(error),
    })
}

fn fields(line: &[u8], columns: &ColumnPlaces) -> Result<TraceRow, Flaw> {
    let mut found: [(usize, &[u8]); 3] = [(0, &[]); 3];
    let (mut count, mut start) = (0, 0);
    for cell in cells(line) {
        for (field, place) in found.iter_mut().zip(columns.places) {
            if place == count {
                *field = (start, cell);
            }
        }
        count += 1;
        start += cell.len() + 1;
    }
    if count != columns.count {
        let plural = if count == 1 { "" } else { "s" };
        let reason = format!("{count} field{plural}; wanted {} as in the header", columns.count);
        return Err(Flaw::new(1, reason));
    }
    let [at, prompt, output] = found;
    let number = |(start, cell)| tokens(cell).map_err(|reason| Flaw::new(start as u64 + 1, reason));
    let at = seconds(at.1).ok_or_else(|| {
        let name = columns.names[0];
        let reason = format!("`{}`: `{name}` is in seconds from 0 up", shown(at.1));
        Flaw::new(at.0 as u64 + 1, reason)
    })?;
    Ok(TraceRow { at, prompt: number(prompt)?, output: number(output)?, ..TraceRow::default() })
}

/// Nanoseconds from decimal seconds.
fn seconds(cell: &[u8]) -> Option<i128> {
    let seconds: f64 = std::str::from_utf8(cell).ok()?.trim().parse().ok()?;
    (0.0..=SECONDS_MAX).contains(&seconds).then(|| (seconds * 1e9).round() as i128)
}
