//! The result as JSON: the summary's keys, then `expectations` (schema version 1), then
//! `explanations` where somebody asked for some.

use serde::Serialize;

use super::explanation::Story;
use crate::metrics::Summary;
use crate::metrics::expect::ExpectVerdict;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(rename = "expectations")]
    verdicts: &'a [ExpectVerdict],
    #[serde(rename = "explanations", skip_serializing_if = "<[Story]>::is_empty")]
    explanations: &'a [Story],
}

/// Writes the result as indented JSON with a line end. Keys are in the order of their tables (`report::keys`);
/// what has no sample is null.
#[must_use]
pub fn json(summary: &Summary, verdicts: &[ExpectVerdict], explanations: &[Story]) -> String {
    let document = Document { summary, verdicts, explanations };
    let mut text =
        serde_json::to_string_pretty(&document).expect("plain data with text keys is JSON");
    text.push('\n');
    text
}
