//! The page of strategies, from their registry.

use std::fmt::Write as _;

use super::{code, page, table};
use crate::balance::REGISTRY;
use crate::scenario::keys::KeyKind;

/// Returns the page.
#[must_use]
pub fn strategies() -> String {
    let mut text = page(
        "Strategies",
        "A strategy picks the node inside a pool. Name one as `strategy = \"random\"`, or with settings as\n\
         `strategy = { power_of_two = { choices = 4 } }`; on the command line as\n\
         `--strategy 'power_of_two(choices=4)'`. [Which strategy when](../explanation/strategies.md) compares\n\
         them.",
    );
    for entry in REGISTRY {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n## `{}`\n\n{}.\n", entry.name, capital(entry.summary));
        let _ = writeln!(text, "- Use it for: {}", entry.when);
        if !entry.goes_by.is_empty() {
            let names: Vec<&str> = entry.goes_by.iter().map(|signal| signal.name()).collect();
            let _ = writeln!(text, "- Goes by: {}", names.join(", "));
        }
        let _ = writeln!(text, "- Cost: {} a decision", entry.cost);
        let _ = writeln!(text, "- Source: {}", entry.source);
        table(
            &mut text,
            &["setting", "what it may be", "default", "what it does"],
            entry.settings.iter().map(|setting| {
                let default = setting.kind.show(setting.default);
                let kind = KeyKind::of_setting(setting.kind).to_string();
                vec![code(setting.name), kind, code(&default), setting.about.to_owned()]
            }),
        );
    }
    text
}

/// Returns a sentence with its first letter in upper case.
pub(super) fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
