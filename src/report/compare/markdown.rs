//! A comparison as Markdown, for a pull request or a page.

use super::super::table::clean;
use super::{change, family, headlines, interval, mean, notes, seeds_in_words, verdict, won};
use crate::lab::Comparison;

/// Writes a comparison as Markdown with a heading of the third level.
#[must_use]
pub fn markdown(result: &Comparison) -> String {
    let metrics = headlines(result);
    let hopes = result.strategies.iter().any(|one| one.expectations_held.is_some());
    let mut out = format!(
        "### {}: {} strategies, {}\n\n",
        cell(&result.scenario),
        result.strategies.len(),
        seeds_in_words(&result.seeds)
    );
    let mut heads = vec!["strategy".to_owned()];
    heads.extend(metrics.iter().map(|metric| cell(&metric.label)));
    heads.extend(["p99 won".to_owned(), "cost against p99".to_owned()]);
    if hopes {
        heads.push("all expectations".to_owned());
    }
    head(&mut out, &heads, |at| at == 0);
    for one in &result.strategies {
        let mark = if one.name == result.baseline { " (baseline)" } else { "" };
        let bound = if one.bound { " (bound)" } else { "" };
        let mut cells = vec![format!("`{}`{mark}{bound}", cell(&one.name))];
        cells.extend(metrics.iter().map(|metric| mean(one, metric)));
        cells.push(format!("{}/{}", one.seeds_won, one.runs));
        cells.push(if one.pareto == Some(true) { "on the front" } else { "" }.to_owned());
        if hopes {
            cells.push(format!("{}/{}", one.expectations_held.unwrap_or(0), one.runs));
        }
        row(&mut out, &cells);
    }
    if !result.differences.is_empty() {
        out.push_str(&format!(
            "\nAgainst `{}`, seed by seed, with 95 % intervals (Holm-adjusted over {} \
             comparisons):\n\n",
            cell(&result.baseline),
            family(result)
        ));
        let heads = ["metric", "strategy", "change", "interval", "seeds won", "verdict"];
        head(&mut out, &heads.map(ToOwned::to_owned), |at| at < 2 || at == 5);
        for metric in &metrics {
            for one in result.differences.iter().filter(|one| one.metric == metric.name) {
                row(
                    &mut out,
                    &[
                        cell(&metric.label),
                        format!("`{}`", cell(&one.strategy)),
                        change(one.mean, one, metric.unit),
                        interval(one, metric.unit),
                        won(one),
                        verdict(one, metric.unit),
                    ],
                );
            }
        }
    }
    out.push('\n');
    for note in notes(result) {
        out.push_str(&format!("- {note}\n"));
    }
    out
}

/// The head of a table; columns of words stand to the left.
fn head(out: &mut String, heads: &[String], words: impl Fn(usize) -> bool) {
    row(out, heads);
    let rule = |at: usize| if words(at) { ":--" } else { "--:" };
    row(out, &(0..heads.len()).map(|at| rule(at).to_owned()).collect::<Vec<_>>());
}

fn row(out: &mut String, cells: &[String]) {
    out.push_str(&format!("| {} |\n", cells.join(" | ")));
}

/// Text from outside as it may stand in a table.
fn cell(text: &str) -> String {
    clean(text).replace('|', "\\|").replace('`', "'")
}
