//! A comparison for people and for programs: text, JSON and Markdown.
//!
//! The three say the same: a verdict is worded once, here.

mod markdown;
mod plot;
#[cfg(test)]
mod tests;
mod text;

pub use markdown::markdown;
pub use text::{alarms, text};

use super::quantity::{NONE, dollars, in_unit, per_second, seconds, share};
use super::table::clean;
use crate::lab::{CompareVerdict, Comparison, Difference, Measured, StrategyResult};
use crate::metrics::catalogue::Unit;

/// Writes a comparison, or false alarms, as indented JSON with a line end (schema version 1; keys
/// are added, never renamed).
#[must_use]
pub fn json(result: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(result).expect("plain data with text keys is JSON");
    text.push('\n');
    text
}

/// `10 seeds (7 to 16)`.
fn seeds_in_words(seeds: &[u64]) -> String {
    match seeds {
        [] => "no seeds".to_owned(),
        [one] => format!("1 seed ({one})"),
        [first, .., last] => format!("{} seeds ({first} to {last})", seeds.len()),
    }
}

/// The name of a strategy, marked where it only bounds what is possible.
fn title(result: &Comparison, name: &str) -> String {
    let bound = result.strategies.iter().any(|one| one.bound && one.name == name);
    format!("{}{}", clean(name), if bound { " (bound)" } else { "" })
}

/// A mean over the seeds and half the width of its interval: `1.24 s ± 0.03`.
fn mean(result: &StrategyResult, metric: &Measured) -> String {
    let Some(value) = result.metrics.get(&metric.name) else {
        return NONE.to_owned();
    };
    let shown = in_unit(value.mean, metric.unit);
    match value.half_width {
        Some(half) if half > 0.0 => format!("{shown} ± {}", spread(half, metric.unit)),
        _ => shown,
    }
}

/// Half a width in the unit of its metric.
fn spread(half: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => seconds(Some(half)),
        Unit::Share => share(Some(half)),
        // Below a cent it has the digits that a small sum has.
        Unit::Dollars if half >= 0.005 => format!("${half:.2}"),
        Unit::Dollars => dollars(Some(half)),
        Unit::PerSecond => per_second(Some(half)),
        Unit::Count | Unit::Number => format!("{half:.1}"),
    }
}

/// A value of a difference as a change of the baseline: `-23.1 %`; of shares in points: `+0.42 pp`.
fn change(value: f64, difference: &Difference, unit: Unit) -> String {
    let relative = 100.0 * value / difference.baseline.abs();
    match unit {
        Unit::Share => signed(value * 100.0, 2, " pp"),
        _ if relative.is_finite() => signed(relative, 1, " %"),
        // Of nothing, nothing is a part.
        Unit::Seconds => signed(value * 1e3, 2, " ms"),
        Unit::Dollars => signed(value, 4, " $"),
        Unit::PerSecond => signed(value, 2, "/s"),
        Unit::Count | Unit::Number => signed(value, 1, ""),
    }
}

fn signed(value: f64, decimals: usize, unit: &str) -> String {
    let text = format!("{value:+.decimals$}");
    // Neither +0.0 nor -0.0 has a direction.
    if text[1..].chars().all(|c| matches!(c, '0' | '.')) {
        return format!("{}{unit}", &text[1..]);
    }
    format!("{text}{unit}")
}

/// Both ends: `-25.0 to -21.2 %`.
fn interval(difference: &Difference, unit: Unit) -> String {
    let Some(interval) = difference.interval else {
        return NONE.to_owned();
    };
    let [low, high] = [interval.low, interval.high].map(|end| change(end, difference, unit));
    let bare = low.trim_end_matches(|c: char| !c.is_ascii_digit());
    format!("{bare} to {high}")
}

/// The verdict, with what could have been seen where nothing was.
fn verdict(difference: &Difference, unit: Unit) -> String {
    let words = difference.verdict.words();
    match (difference.verdict, difference.detectable) {
        (CompareVerdict::NoDifference, Some(least)) => {
            let least = change(least, difference, unit);
            format!("{words} ({} could have been seen)", least.trim_start_matches('+'))
        }
        _ => words.to_owned(),
    }
}

/// Seeds won of those in which there was a difference to win.
fn won(difference: &Difference) -> String {
    format!("{}/{}", difference.won, difference.seeds)
}

/// The headline metrics that were measured at all.
fn headlines(result: &Comparison) -> Vec<&Measured> {
    result.metrics.iter().filter(|metric| metric.headline && known(result, metric)).collect()
}

fn known(result: &Comparison, metric: &Measured) -> bool {
    let of = |one: &StrategyResult| one.metrics.get(&metric.name).and_then(|value| value.mean);
    result.strategies.iter().any(|one| of(one).is_some())
}

/// Whether it was zero for everybody: true, and not worth a line.
fn is_nothing(result: &Comparison, metric: &Measured) -> bool {
    let of = |one: &StrategyResult| one.metrics.get(&metric.name).and_then(|value| value.mean);
    result.strategies.iter().all(|one| of(one) == Some(0.0))
}

/// How many comparisons share the 5 % of the headline metrics.
fn family(result: &Comparison) -> usize {
    let headline =
        |name: &str| result.metrics.iter().any(|metric| metric.headline && metric.name == name);
    result.differences.iter().filter(|one| one.p.is_some() && headline(&one.metric)).count()
}

/// What a reader must know to read the numbers.
fn notes(result: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    if !result.complete {
        notes.push(format!(
            "INCOMPLETE: interrupted after {} of {} runs",
            result.runs.done, result.runs.planned
        ));
    }
    if result.seeds.len() < 2 {
        notes.push("one seed says nothing of luck: use --seeds 10 for verdicts".to_owned());
    } else if result.seeds.len() < 5 {
        notes.push("with fewer than five seeds only large differences can be seen".to_owned());
    }
    for one in result.strategies.iter().filter(|one| one.bound) {
        notes.push(format!(
            "{} reads the truth, which nobody has outside a simulation: it shows what is left to \
             gain, wins nothing and cannot be used",
            clean(&one.name)
        ));
    }
    notes.push(
        "latency is of completed requests: read it beside the share that was not served".to_owned(),
    );
    notes
}
