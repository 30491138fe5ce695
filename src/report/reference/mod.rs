//! Pages of the reference in Markdown, made of the tables that the program itself runs by, so that they
//! cannot say anything else. `docs/src/reference` holds them as files; a test compares.

pub mod faults;
pub mod log;
pub mod metrics;
pub mod scenario_keys;
pub mod strategies;

use std::fmt::Write as _;

/// What stands at the top of every page.
const MADE: &str = "<!-- Made by `plimsoll reference`; do not edit. -->";

/// Begins a page: its title and what it holds.
#[must_use]
pub fn page(title: &str, about: &str) -> String {
    format!("{MADE}\n\n# {title}\n\n{about}\n")
}

/// Adds a table. Bars in cells are escaped; a table without rows is left out.
pub fn table(text: &mut String, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return;
    }
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    // Writing to a string does not fail.
    let _ = writeln!(text, "\n{}\n|{}", line(&heads), "---|".repeat(heads.len()));
    for row in rows {
        let _ = writeln!(text, "{}", line(&row));
    }
}

/// Returns a word as code.
#[must_use]
pub fn code(word: &str) -> String {
    format!("`{word}`")
}
