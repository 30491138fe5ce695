//! The result as JSON: the summary's keys, then `expectations` (schema version 1).

use serde::Serialize;

use crate::metrics::Summary;
use crate::metrics::expect::Verdict;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    expectations: &'a [Verdict],
}

/// Writes the result as indented JSON with a line end. Keys are in the order of [`Summary`];
/// what has no sample is null.
#[must_use]
pub fn json(summary: &Summary, verdicts: &[Verdict]) -> String {
    let document = Document { summary, expectations: verdicts };
    let mut text =
        serde_json::to_string_pretty(&document).expect("plain data with text keys is JSON");
    text.push('\n');
    text
}
