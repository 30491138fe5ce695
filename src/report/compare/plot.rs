//! Cost against p99 latency: a list, and a picture in characters.

use super::super::quantity::{dollars, seconds};
use super::super::table::{TextTable, clean};
use crate::lab::{Comparison, StrategyResult};

const WIDTH: usize = 56;
const HEIGHT: usize = 12;
/// More strategies than this have no letter, and no picture is drawn.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

/// A strategy's place: cost per thousand requests, and p99 latency.
struct PlotPoint<'a> {
    strategy: &'a StrategyResult,
    cost: f64,
    p99: f64,
}

pub(super) fn write(out: &mut String, result: &Comparison) {
    let mean =
        |one: &StrategyResult, metric: &str| one.metrics.get(metric).and_then(|value| value.mean);
    let mut points: Vec<PlotPoint<'_>> = result
        .strategies
        .iter()
        .filter_map(|strategy| {
            let (cost, p99) = mean(strategy, "cost_per_1k").zip(mean(strategy, "p99"))?;
            Some(PlotPoint { strategy, cost, p99 })
        })
        .collect();
    if points.len() < 2 || points.iter().all(|point| point.cost == 0.0) {
        return;
    }
    points.sort_by(|a, b| a.p99.total_cmp(&b.p99).then(a.cost.total_cmp(&b.cost)));
    let heads = ["Cost against p99", "p99 latency", "cost per 1k", "  "];
    let mut table = TextTable::new(1, &heads);
    for (at, point) in points.iter().enumerate() {
        let letter = LETTERS.get(at).map_or(' ', |&letter| char::from(letter));
        let front = if point.strategy.pareto == Some(true) { "  on the front" } else { "" };
        let front = if point.strategy.bound { "  a bound" } else { front };
        table.row([
            format!("{letter} {}", clean(&point.strategy.name)),
            seconds(Some(point.p99)),
            dollars(Some(point.cost)),
            front.to_owned(),
        ]);
    }
    table.last_is_words().write(out);
    if points.len() <= LETTERS.len() {
        draw(out, &points);
    }
}

/// Dearer is further right, slower is further up; who shares a place with another is a `*`.
fn draw(out: &mut String, points: &[PlotPoint<'_>]) {
    let range = |of: fn(&PlotPoint<'_>) -> f64| {
        let least = points.iter().map(of).min_by(f64::total_cmp).unwrap_or(0.0);
        let most = points.iter().map(of).max_by(f64::total_cmp).unwrap_or(0.0);
        (least, most)
    };
    let (cost, p99) = (range(|point| point.cost), range(|point| point.p99));
    // Where all are the same there is nothing to see.
    let flat = |(least, most): (f64, f64)| most - least <= 1e-9 * most.abs();
    if flat(cost) || flat(p99) {
        return;
    }
    let place = |value: f64, (least, most): (f64, f64), cells: usize| {
        ((value - least) / (most - least) * (cells - 1) as f64).round() as usize
    };
    let mut canvas = [[' '; WIDTH]; HEIGHT];
    for (at, point) in points.iter().enumerate() {
        let row = HEIGHT - 1 - place(point.p99, p99, HEIGHT);
        let cell = &mut canvas[row][place(point.cost, cost, WIDTH)];
        *cell = if *cell == ' ' { char::from(LETTERS[at]) } else { '*' };
    }
    let labels = [seconds(Some(p99.1)), seconds(Some(p99.0))];
    let margin = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    out.push('\n');
    for (at, row) in canvas.iter().enumerate() {
        let label = match at {
            0 => &labels[0],
            at if at + 1 == HEIGHT => &labels[1],
            _ => "",
        };
        let cells: String = row.iter().collect();
        out.push_str(format!("  {label:>margin$} │{cells}").trim_end());
        out.push('\n');
    }
    let [cheap, dear] = [cost.0, cost.1].map(|end| dollars(Some(end)));
    let gap = WIDTH.saturating_sub(cheap.chars().count());
    out.push_str(&format!("  {:margin$} └{}\n", "", "─".repeat(WIDTH)));
    out.push_str(&format!("  {:margin$}  {cheap}{dear:>gap$}\n", ""));
}
