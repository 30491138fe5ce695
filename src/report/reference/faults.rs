//! The page of faults, from the table of their words.

use std::fmt::Write as _;

use super::strategies::capital;
use super::{code, page, table};
use crate::node::fault::FAULTS;

/// Returns the page.
#[must_use]
pub fn faults() -> String {
    let mut text = page(
        "Faults",
        "A fault hits a `node` (or a group of them), a `pool`, a `region` or all nodes with a `tag`; with\n\
         `count = 3` or `count = \"30%\"` so many of those. [Let things go wrong](../how-to/faults.md) shows\n\
         planned and random ones.",
    );
    for word in FAULTS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n## `{}`\n\n{}.\n", word.name, capital(word.about));
        let _ = writeln!(text, "Models: {}.", word.models);
        table(
            &mut text,
            &["parameter", "default", "what it does"],
            word.params.iter().map(|param| {
                let default = param
                    .default
                    .map_or_else(|| "required".to_owned(), |usual| code(&usual.to_string()));
                vec![code(param.name), default, param.about.to_owned()]
            }),
        );
    }
    text
}
