//! A comparison as plain text: means, verdicts against the baseline, cost against p99, everything.

use std::fmt::Write;

use super::super::quantity::{count, in_unit, share_of};
use super::super::table::{TextTable, clean, name};
use super::{
    change, family, headlines, interval, is_nothing, known, mean, notes, plot, title, verdict, won,
};
use crate::lab::{Alarms, CompareVerdict, Comparison, Measured};

/// Writes a comparison as aligned plain text. Wide tables exceed 80 columns; there is no colour.
#[must_use]
pub fn text(result: &Comparison) -> String {
    let mut out = String::new();
    header(&mut out, result);
    means(&mut out, result);
    against(&mut out, result);
    plot::write(&mut out, result);
    everything(&mut out, result);
    out.push('\n');
    for note in notes(result) {
        line(&mut out, format_args!("note: {note}"));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes everything");
}

fn header(out: &mut String, result: &Comparison) {
    line(out, format_args!("{}", name(&result.scenario)));
    let mut table = TextTable::new(2, &[]);
    table.row(["baseline".to_owned(), clean(&result.baseline)]);
    table.row(["seeds".to_owned(), super::seeds_in_words(&result.seeds)]);
    let runs =
        format!("{}, each seed with the same arrivals for all", count(result.runs.done as u64));
    table.row(["runs".to_owned(), runs]);
    table.write(out);
    if !result.complete {
        line(out, format_args!("  INCOMPLETE: the comparison was interrupted before its end"));
    }
}

fn means(out: &mut String, result: &Comparison) {
    let metrics = headlines(result);
    let hopes = result.strategies.iter().any(|one| one.expectations_held.is_some());
    let mut heads = vec!["Mean ± 95 %"];
    heads.extend(metrics.iter().map(|metric| metric.label.as_str()));
    heads.push("p99 won");
    if hopes {
        heads.push("all expectations");
    }
    let mut table = TextTable::new(1, &heads);
    for one in &result.strategies {
        let mut cells = vec![title(result, &one.name)];
        cells.extend(metrics.iter().map(|metric| mean(one, metric)));
        cells.push(format!("{}/{}", one.seeds_won, one.runs));
        if hopes {
            cells.push(format!("{}/{}", one.expectations_held.unwrap_or(0), one.runs));
        }
        table.row(cells);
    }
    table.write(out);
}

fn against(out: &mut String, result: &Comparison) {
    if result.differences.is_empty() {
        return;
    }
    let tests = family(result);
    line(out, format_args!("\nAgainst {}, seed by seed", clean(&result.baseline)));
    if tests > 0 {
        line(
            out,
            format_args!(
                "  95 % intervals, adjusted by Holm over these {tests} comparisons; won: seeds in \
                 which it was better"
            ),
        );
    }
    for metric in headlines(result) {
        let mut table =
            TextTable::new(1, &[metric.label.as_str(), "change", "interval", "won", "  verdict"]);
        for one in result.differences.iter().filter(|one| one.metric == metric.name) {
            table.row([
                title(result, &one.strategy),
                change(one.mean, one, metric.unit),
                interval(one, metric.unit),
                won(one),
                format!("  {}", verdict(one, metric.unit)),
            ]);
        }
        table.last_is_words().write(out);
    }
}

/// Every metric of every strategy.
fn everything(out: &mut String, result: &Comparison) {
    let names: Vec<String> = result.strategies.iter().map(|one| title(result, &one.name)).collect();
    let mut heads = vec!["Every metric"];
    heads.extend(names.iter().map(String::as_str));
    let mut table = TextTable::new(1, &heads);
    let shown = result.metrics.iter().filter(|metric| known(result, metric));
    let (nothing, shown): (Vec<_>, Vec<_>) = shown.partition(|metric| is_nothing(result, metric));
    for metric in shown {
        let mut cells = vec![name(&metric.label)];
        cells.extend((0..result.strategies.len()).map(|at| cell(result, metric, at)));
        table.row(cells);
    }
    table.write(out);
    if !nothing.is_empty() {
        let labels: Vec<String> = nothing.iter().map(|metric| name(&metric.label)).collect();
        line(out, format_args!("  zero for all: {}", labels.join(", ")));
    }
    line(
        out,
        format_args!(
            "  + better, - worse, ↑ more, ↓ less than {} (as above; the metrics not in the first \
             table are a family of their own)",
            clean(&result.baseline)
        ),
    );
}

fn cell(result: &Comparison, metric: &Measured, at: usize) -> String {
    let one = &result.strategies[at];
    let value = one.metrics.get(&metric.name).and_then(|value| value.mean);
    let found = result
        .differences
        .iter()
        .find(|other| other.strategy == one.name && other.metric == metric.name);
    let mark = match found.map(|found| found.verdict) {
        Some(CompareVerdict::Better) => '+',
        Some(CompareVerdict::Worse) => '-',
        Some(CompareVerdict::More) => '↑',
        Some(CompareVerdict::Less) => '↓',
        _ => ' ',
    };
    format!("{} {mark}", in_unit(value, metric.unit))
}

/// Writes how often a comparison of a strategy with itself raised an alarm.
#[must_use]
pub fn alarms(result: &Alarms) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("{}", name(&result.scenario)));
    let mut table = TextTable::new(2, &[]);
    table.row(["strategy".to_owned(), format!("{} against itself", clean(&result.strategy))]);
    let tries = format!("{} comparisons of {} seeds", count(result.tries as u64), result.seeds);
    table.row(["tries".to_owned(), tries]);
    table.write(&mut out);
    if !result.complete {
        line(&mut out, format_args!("  INCOMPLETE: interrupted before its end"));
    }
    let mut table = TextTable::new(1, &["False alarms at 95 %", "alarms", "of tries", ""]);
    for one in &result.metrics {
        let (alarms, tries) = (one.alarms as u64, one.tries as u64);
        table.row([name(&one.metric), count(alarms), count(tries), share_of(alarms, tries)]);
    }
    if result.metrics.is_empty() {
        table.row(["nothing that was measured differed".to_owned()]);
    }
    let (any, tries) = (result.any as u64, result.tries as u64);
    let label = "any headline verdict".to_owned();
    table.row([label, count(any), count(tries), share_of(any, tries)]);
    table.write(&mut out);
    line(
        &mut out,
        format_args!("\n  one in twenty is right for a metric, at most that for the verdicts"),
    );
    out
}
