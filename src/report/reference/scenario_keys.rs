//! The page of scenario keys, from the sections that their readers read by.

use std::fmt::Write as _;

use super::{code, page, table};
use crate::scenario::keys::{self, KeyRow};

/// Returns the page.
#[must_use]
pub fn scenario_keys() -> String {
    let mut parts: Vec<(String, Vec<KeyRow>)> = Vec::new();
    // Settings of strategies have a page of their own.
    let rows = keys::rows().into_iter().filter(|row| !row.path.starts_with("pool.strategy."));
    for row in rows {
        let title = title(&row.path);
        match parts.iter_mut().find(|(part, _)| *part == title) {
            Some((_, rows)) => rows.push(row),
            None => parts.push((title, vec![row])),
        }
    }
    let mut text = page("Keys of a scenario", ABOUT);
    for (title, rows) in parts {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n## {title}");
        table(
            &mut text,
            &["key", "what it may be", "if nothing is said", "what it means"],
            rows.into_iter().map(|row| vec![code(&row.path), row.kind, row.usual, row.about]),
        );
    }
    text
}

/// The part of the page that a key belongs to: the table it stands in, to a depth that reads well.
fn title(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        [law, ..] if law.starts_with('<') => format!("Laws of {}", law.trim_matches(['<', '>'])),
        [] | [_] => "The file as a whole".to_owned(),
        ["balancer", second, _, ..] => code(&format!("balancer.{second}")),
        ["pool", "node", "backend", kind, _, ..] => code(&format!("pool.node.backend.{kind}")),
        ["pool", "node", "autoscale", ..] => code("pool.node.autoscale"),
        ["pool", "node", ..] => code("pool.node"),
        ["pool", "limiter", _, ..] => code("pool.limiter"),
        ["workload", "arrivals", "trace", _, ..] => code("workload.arrivals.trace"),
        [first, ..] => code(first),
    }
}

const ABOUT: &str = "\
One TOML file holds everything a run needs. `plimsoll list settings` prints this table, with a prefix a
part of it (`plimsoll list settings balancer.retry`); `plimsoll check FILE` tells every mistake at once,
with its place; `plimsoll schema scenario` writes a JSON Schema for [editors](../how-to/scenario.md).

Names joined by dots are tables in tables: `balancer.retry.attempts` is `retry = { attempts = 4 }` under
`[balancer]`, and `pool.node.weight` stands in each `[[pool.node]]`. A key like
`workload.arrivals.poisson.rate` stands in a table whose one key says what the value is:
`arrivals = { poisson = { rate = 40 } }`. Durations are written with their unit: `\"450ms\"`, `\"10s\"`,
`\"5m\"`; numbers may have `_` between digits. Where a value may be a law, one value alone says that it is
always the same. Settings of strategies are on [a page of their own](strategies.md).";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_on_the_page_once() {
        let page = scenario_keys();
        for row in keys::rows() {
            let line = format!("| `{}` |", row.path);
            let expected = usize::from(!row.path.starts_with("pool.strategy."));
            assert_eq!(page.matches(&line).count(), expected, "{}", row.path);
        }
    }
}
