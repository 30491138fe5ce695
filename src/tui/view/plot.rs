//! The charts over time: latency, money and tokens, load and errors.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{Figures, History, Point, Snapshot};
use crate::tui::chart::{ChartWindow, Dots, Scale};
use crate::tui::format::{count, dollars, percent_fine, rate, seconds, width};
use crate::tui::model::{Lines, Model, Panel};
use crate::tui::theme::Role;
use crate::unit::{Span, Time};

use super::ghost::{self, Ghost};
use super::lane;
use super::pen::{self, Piece, piece};

/// How a line gets its values.
type PlotValue = fn(&Point) -> Option<f64>;

/// A line of a chart.
struct Series {
    value: PlotValue,
    role: Role,
    /// Written at the end of the line.
    label: String,
    /// Written below the label.
    note: String,
}

/// A chart: lines on one axis.
struct Chart {
    /// What is foreseen, drawn ahead of now.
    ghosts: Vec<Ghost>,
    series: Vec<Series>,
    log: bool,
    tick: fn(f64) -> String,
    /// Whether the bottom row is the time axis.
    axis: bool,
}

/// Columns of the value axis.
const AXIS: u16 = 5;

pub(super) fn latency(model: &Model, area: Rect, buf: &mut Buffer) {
    let lines = model.ui.lines;
    let mut title = vec![piece("Latency s ", Role::Title)];
    let all: [(&str, PlotValue, Role); 3] = [
        ("p50", |point| point.p50.map(Span::seconds), Role::P50),
        ("p95", |point| point.p95.map(Span::seconds), Role::P95),
        ("p99", |point| point.p99.map(Span::seconds), Role::P99),
    ];
    let wanted = |name: &str| lines == Lines::All || lines.name() == name;
    let mut series = Vec::new();
    let few = model.snapshot().filter(|shown| {
        let samples = shown.window.samples;
        samples > 0 && is_few(samples)
    });
    let quiet = |role| if few.is_some() { Role::Dim } else { role };
    for (name, value, role) in all.into_iter().filter(|(name, ..)| wanted(name)) {
        title.push(piece(format!(" {name}"), quiet(role)));
        series.push(Series { value, role, label: name.to_owned(), note: String::new() });
    }
    if let Some(snapshot) = few {
        title.push(piece(format!("  n {}", snapshot.window.samples), Role::Warn));
    }
    let aside = if area.width >= 56 {
        format!("10s window {} {}", model.glyphs().dot, range_name(model))
    } else {
        range_name(model)
    };
    let ghosts = ghost::of(model);
    title.extend(ghost::title(&ghosts));
    let inner = pen::panel(model, Panel::Latency, area, buf, &title, &aside);
    draw(model, &Chart { ghosts, series, log: true, tick: seconds_tick, axis: true }, inner, buf);
}

/// The 99th percentile and what is foreseen of it, below a list that lies over the panel of latency. Nothing
/// is drawn where nothing is foreseen.
pub(super) fn ahead(model: &Model, area: Rect, buf: &mut Buffer) {
    let ghosts = ghost::of(model);
    if ghosts.is_empty() {
        return;
    }
    let mut title = vec![piece("Latency s ", Role::Dim), piece(" p99", Role::P99)];
    title.extend(ghost::title(&ghosts));
    pen::line(buf, Rect { height: 1, ..area }, 0, model.theme(), &title);
    let value: PlotValue = |point| point.p99.map(Span::seconds);
    let series = vec![Series { value, role: Role::P99, label: String::new(), note: String::new() }];
    let chart = Chart { ghosts, series, log: true, tick: seconds_tick, axis: true };
    draw(model, &chart, below(area, 1), buf);
}

/// Returns whether quantiles of so many samples say little: of fewer than a hundred, the 99 % quantile is
/// the greatest.
pub(super) const fn is_few(samples: u64) -> bool {
    samples < 100
}

/// Seconds on the value axis, which are 1, 2 or 5 times a power of ten.
fn seconds_tick(value: f64) -> String {
    if value >= 1.0 {
        return count(value);
    }
    seconds(Span::from_seconds(value)).trim_end_matches('0').to_owned()
}

pub(super) fn cost(model: &Model, area: Rect, buf: &mut Buffer) {
    let tokens = Single {
        name: "Tokens/s",
        value: |point| Some(point.tokens_per_s),
        now: |window| window.tokens_per_s,
        show: count,
        role: Role::Tokens,
    };
    if !model.has_prices() {
        return alone(model, Panel::Cost, &tokens, area, buf);
    }
    let dollars = Single {
        name: "Cost $/h",
        value: |point| Some(point.dollars_per_hour),
        now: |window| window.dollars_per_hour,
        show: dollars,
        role: Role::Cost,
    };
    stacked(model, Panel::Cost, &[dollars, tokens], area, buf);
}

pub(super) fn load(model: &Model, area: Rect, buf: &mut Buffer) {
    let requests = Single {
        name: "Requests/s",
        value: |point| Some(point.requests_per_s),
        now: |window| window.requests_per_s,
        show: rate,
        role: Role::Load,
    };
    let errors = Single {
        name: "Errors %",
        value: |point| Some(point.error_share * 100.0),
        now: |window| window.error_share * 100.0,
        show: |percent| percent_fine(percent / 100.0),
        role: Role::Errors,
    };
    stacked(model, Panel::Load, &[requests, errors], area, buf);
}

/// A figure over time that has a chart of its own.
struct Single {
    name: &'static str,
    value: PlotValue,
    now: fn(&Figures) -> f64,
    show: fn(f64) -> String,
    role: Role,
}

/// Draws one chart in a panel.
fn alone(model: &Model, panel: Panel, single: &Single, area: Rect, buf: &mut Buffer) {
    let title = [piece(single.name, Role::Title)];
    let inner = pen::panel(model, panel, area, buf, &title, &range_name(model));
    draw_single(model, single, true, inner, buf);
}

/// Draws two charts in one panel, one above the other, with the figures of now beside them.
fn stacked(model: &Model, panel: Panel, pair: &[Single; 2], area: Rect, buf: &mut Buffer) {
    let dot = format!(" {} ", model.glyphs().dot);
    let title =
        [piece(pair[0].name, Role::Title), piece(dot, Role::Dim), piece(pair[1].name, Role::Title)];
    let inner = pen::panel(model, panel, area, buf, &title, &range_name(model));
    let [first, second] = pair;
    let top = inner.height.saturating_sub(1) / 2;
    let upper = Rect { height: top, ..inner };
    let lower = Rect { y: inner.y + top, height: inner.height - top, ..inner };
    draw_single(model, first, false, upper, buf);
    draw_single(model, second, true, lower, buf);
}

fn draw_single(model: &Model, single: &Single, axis: bool, area: Rect, buf: &mut Buffer) {
    let now = model.snapshot().map(|snapshot| (single.now)(&snapshot.window));
    let series = Series {
        value: single.value,
        role: single.role,
        label: now.map(single.show).unwrap_or_default(),
        note: change(model, single, now),
    };
    let (ghosts, series) = (Vec::new(), vec![series]);
    draw(model, &Chart { ghosts, series, log: false, tick: short, axis }, area, buf);
}

/// How much the figure has changed since the left edge of the chart.
fn change(model: &Model, single: &Single, now: Option<f64>) -> String {
    let (Some(snapshot), Some(now)) = (model.snapshot(), now) else {
        return String::new();
    };
    let from = Time(snapshot.now.0.saturating_sub(model.range().0));
    let first = points(&snapshot.history).find(|(at, _)| *at >= from);
    let before = first.and_then(|(_, point)| (single.value)(point)).unwrap_or(0.0);
    let percent = (now / before - 1.0) * 100.0;
    if !percent.is_finite() || percent.abs() < 0.5 || percent.abs() > 999.0 {
        return String::new();
    }
    format!("{percent:+.0}%")
}

fn short(value: f64) -> String {
    if value.abs() < 10.0 && value.fract().abs() > 1e-9 {
        return format!("{value:.1}");
    }
    let text = count(value);
    if width(&text) < usize::from(AXIS) { text } else { text.replace(".0", "") }
}

/// Points and the times at which their buckets end.
pub(super) fn points(history: &History) -> impl Iterator<Item = (Time, &Point)> {
    let (start, bucket) = (history.start, history.bucket.0);
    history
        .points
        .iter()
        .enumerate()
        .map(move |(place, point)| (start + Span(bucket.saturating_mul(place as u64 + 1)), point))
}

fn range_name(model: &Model) -> String {
    match crate::tui::model::RANGES.get(model.ui.range).copied().flatten() {
        Some(range) => range.to_string(),
        None => "whole run".to_owned(),
    }
}

fn draw(model: &Model, chart: &Chart, area: Rect, buf: &mut Buffer) {
    let labels = chart.series.iter().flat_map(|series| [&series.label, &series.note]);
    let labels = labels.chain(chart.ghosts.iter().map(|ghost| &ghost.label));
    let label_width = labels.map(|label| width(label)).max().unwrap_or(0);
    // Charts above one another begin and end at the same columns.
    let label_width = label_width.max(if chart.log { 3 } else { 5 }) as u16 + 1;
    let axis = u16::from(chart.axis);
    if area.width < AXIS + label_width + 8 || area.height < 2 + axis {
        return;
    }
    let plot = Rect {
        x: area.x + AXIS,
        width: area.width - AXIS - label_width,
        height: area.height - axis,
        ..area
    };
    let now = model.snapshot().map_or(Time::ZERO, |snapshot| snapshot.now);
    let window = ChartWindow::new(now, model.range(), plot.width * 2);
    let window = if chart.ghosts.is_empty() { window } else { window.foreseeing() };
    let Some(snapshot) = model.snapshot() else {
        return no_data(model, area, buf);
    };
    // What failed has no latency, and stands above it.
    let failed = chart.log && plot.height > 4 && lane::is_wanted(snapshot, &window);
    let plot = if failed { below(plot, 1) } else { plot };
    if failed {
        lane::draw(model, snapshot, &window, (area, plot), buf);
    }
    let Some(scale) = scale(chart, snapshot, &window) else {
        return no_data(model, area, buf);
    };
    value_axis(model, chart, &scale, area, plot, buf);
    let promised = promised(chart, snapshot, &scale, plot);
    promises(model, &promised, plot, buf);
    marks(model, &snapshot.history, &window, plot, chart.axis, buf);
    lines(model, chart, snapshot, &scale, &window, plot, buf);
    promise_names(model, &promised, plot, buf);
    end_labels(model, chart, snapshot, &scale, &window, plot, buf);
    if chart.axis {
        time_axis(model, plot, &snapshot.history, &window, buf);
    }
}

/// Leaves out the upper rows of an area.
fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect { y: area.y + rows, height: area.height - rows, ..area }
}

/// A promise further away than so many times the greatest value does not stretch the axis to it.
const PROMISE_FAR: f64 = 4.0;

/// What the scenario promises, where it is in sight: the row of its line, and what it is called.
fn promised(chart: &Chart, snapshot: &Snapshot, scale: &Scale, plot: Rect) -> Vec<(u16, String)> {
    let told = if chart.log { lane::promises(snapshot) } else { Vec::new() };
    let seen = told.into_iter().filter(|promise| scale.holds(promise.seconds));
    seen.filter_map(|promise| {
        let dot = scale.place(promise.seconds, plot.height * 4)?;
        Some((plot.y + dot / 4, promise.label))
    })
    .collect()
}

/// Lines of what is promised.
fn promises(model: &Model, promised: &[(u16, String)], plot: Rect, buf: &mut Buffer) {
    let style = model.theme().style(Role::Warn);
    let line = model.glyphs().promise_line.repeat(usize::from(plot.width));
    for (y, _) in promised {
        pen::put(buf, plot, plot.x, *y, &line, style);
    }
}

/// What these lines are called: over everything else, since a line without a name says nothing.
fn promise_names(model: &Model, promised: &[(u16, String)], plot: Rect, buf: &mut Buffer) {
    let style = model.theme().style(Role::Warn);
    // Two that are close have one row, and stand beside each other.
    let (mut last, mut x) = (None, plot.x + 1);
    for (y, label) in promised {
        let row = Rect { y: *y, height: 1, ..plot };
        if last != Some(row.y) {
            x = plot.x + 1;
        }
        x = pen::put(buf, row, x, row.y, &format!(" {label} "), style);
        last = Some(row.y);
    }
}

fn no_data(model: &Model, area: Rect, buf: &mut Buffer) {
    let middle = Rect { y: area.y + area.height / 2, height: 1, ..area };
    let style = model.theme().style(Role::Dim);
    pen::centred(buf, middle.intersection(area), "no data yet", style);
}

fn scale(chart: &Chart, snapshot: &Snapshot, window: &ChartWindow) -> Option<Scale> {
    let visible = || points(&snapshot.history).filter(|(at, _)| window.place(*at).is_some());
    let values = visible()
        .flat_map(|(_, point)| chart.series.iter().filter_map(|series| (series.value)(point)));
    if !chart.log {
        return Scale::linear(values);
    }
    let ahead = chart.ghosts.iter().flat_map(|ghost| ghost.values(window));
    let values: Vec<f64> = values.chain(ahead.filter_map(|(_, value)| value)).collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    let near = lane::promises(snapshot).into_iter().map(|promise| promise.seconds);
    let near: Vec<f64> = near.filter(|it| *it <= most * PROMISE_FAR && most > 0.0).collect();
    Scale::log(values.into_iter().chain(near))
}

/// Labels of the value axis, at least two rows apart, and one line across.
fn value_axis(
    model: &Model,
    chart: &Chart,
    scale: &Scale,
    area: Rect,
    plot: Rect,
    buf: &mut Buffer,
) {
    let theme = model.theme();
    let mut taken: Vec<u16> = Vec::new();
    for (place, value) in scale.ticks().into_iter().enumerate() {
        let Some(dot) = scale.place(value, plot.height * 4) else {
            continue;
        };
        let row = dot / 4;
        let gap = if place < 2 { 1 } else { 3 };
        if taken.iter().any(|other| other.abs_diff(row) < gap) {
            continue;
        }
        taken.push(row);
        let label = Rect { width: AXIS - 1, y: plot.y + row, height: 1, ..area };
        pen::right(buf, label, 0, &(chart.tick)(value), theme.style(Role::Dim));
        if place >= 2 {
            let line = model.glyphs().grid.repeat(usize::from(plot.width));
            pen::put(buf, plot, plot.x, plot.y + row, &line, theme.style(Role::Grid));
        }
    }
}

fn marks(
    model: &Model,
    history: &History,
    window: &ChartWindow,
    plot: Rect,
    letters: bool,
    buf: &mut Buffer,
) {
    let mut taken: Vec<u16> = Vec::new();
    for mark in &history.marks {
        let Some(x) = window.place(mark.at).map(|dot| plot.x + dot / 2) else {
            continue;
        };
        let (line, role) = if mark.by_person {
            (model.glyphs().mark_you, Role::You)
        } else {
            (model.glyphs().mark, Role::Note)
        };
        let style = model.theme().style(role);
        for y in plot.y..plot.bottom() {
            pen::put(buf, plot, x, y, line, style);
        }
        if !letters {
            continue;
        }
        // Letters that would meet move on; where there is no room for that, a sign says that there are more.
        let free = (x..(x + 3).min(plot.right())).find(|x| !taken.contains(x));
        let below = Rect { y: plot.bottom(), height: 1, ..plot };
        let text = if free.is_some() { mark.letter.to_string() } else { "+".to_owned() };
        let x = free.unwrap_or(x);
        taken.push(x);
        pen::put(buf, below, x, below.y, &text, style);
    }
}

fn lines(
    model: &Model,
    chart: &Chart,
    snapshot: &Snapshot,
    scale: &Scale,
    window: &ChartWindow,
    plot: Rect,
    buf: &mut Buffer,
) {
    let mut dots = Dots::new(plot.width, plot.height);
    // The most important line is the last of the list and is drawn over the others.
    for series in &chart.series {
        let values = points(&snapshot.history).filter_map(|(at, point)| {
            let few = chart.log && is_few(u64::from(point.samples));
            Some((window.place(at)?, (series.value)(point), few))
        });
        dots.trace(values, scale, series.role);
    }
    for ghost in &chart.ghosts {
        dots.dash(ghost.values(window), scale, ghost.role);
    }
    dots.draw(plot, buf, model.theme(), model.glyphs().braille);
}

/// Names at the right ends of the lines, pushed apart where they would meet.
fn end_labels(
    model: &Model,
    chart: &Chart,
    snapshot: &Snapshot,
    scale: &Scale,
    window: &ChartWindow,
    plot: Rect,
    buf: &mut Buffer,
) {
    let mut ends: Vec<(u16, Piece)> = Vec::new();
    // Lines that meet keep the order of their values: the last series is the uppermost.
    for series in chart.series.iter().rev() {
        let visible = points(&snapshot.history).filter(|(at, _)| window.place(*at).is_some());
        let last = visible.last().and_then(|(_, point)| (series.value)(point));
        let Some(dot) = last.and_then(|value| scale.place(value, plot.height * 4)) else {
            continue;
        };
        ends.push((dot / 4, (series.label.clone(), series.role)));
        if !series.note.is_empty() {
            ends.push((dot / 4 + 1, (series.note.clone(), Role::Dim)));
        }
    }
    if !chart.ghosts.is_empty() {
        // Lines of the past do not reach the edge then; the title names them.
        ends.clear();
    }
    for ghost in &chart.ghosts {
        let last = ghost.values(window).filter_map(|(_, value)| value).last();
        if let Some(dot) = last.and_then(|value| scale.place(value, plot.height * 4)) {
            ends.push((dot / 4, (ghost.label.clone(), ghost.role)));
        }
    }
    ends.sort_by_key(|(row, _)| *row);
    push_apart(&mut ends, plot.height);
    for (row, (label, role)) in ends {
        let place = Rect { x: plot.right() + 1, y: plot.y + row, width: 8, height: 1 };
        pen::put(buf, place, place.x, place.y, &label, model.theme().style(role));
    }
}

/// The axis of a chart that goes on beyond now.
fn ahead_axis(model: &Model, row: Rect, window: &ChartWindow, buf: &mut Buffer) {
    let style = model.theme().style(Role::Dim);
    let ahead = window.ahead() / 2;
    let on = f64::from(ahead) / f64::from(row.width.max(1)) * model.range().seconds();
    let back = Span::from_seconds(model.range().seconds() - on);
    pen::put(buf, row, row.x, row.y, &format!("-{}s", seconds(back)), style);
    let now = row.right().saturating_sub(ahead + 2);
    pen::put(buf, row, now, row.y, "now", style);
    pen::right(buf, row, 0, &format!("+{}s", seconds(Span::from_seconds(on))), style);
}

fn push_apart(ends: &mut [(u16, Piece)], height: u16) {
    let mut free = 0;
    for (row, _) in ends.iter_mut() {
        *row = (*row).max(free);
        free = *row + 1;
    }
    let mut limit = height;
    for (row, _) in ends.iter_mut().rev() {
        *row = (*row).min(limit.saturating_sub(1));
        limit = *row;
    }
}

fn time_axis(model: &Model, plot: Rect, history: &History, window: &ChartWindow, buf: &mut Buffer) {
    let row = Rect { y: plot.bottom(), height: 1, ..plot };
    if window.ahead() > 0 {
        return ahead_axis(model, row, window, buf);
    }
    let style = model.theme().style(Role::Dim);
    let lettered: Vec<u16> =
        history.marks.iter().filter_map(|mark| window.place(mark.at)).map(|dot| dot / 2).collect();
    let is_free = |from: u16, to: u16| !lettered.iter().any(|x| (from..to).contains(x));
    let left = format!("-{}", model.range());
    if is_free(0, width(&left) as u16 + 1) {
        pen::put(buf, row, row.x, row.y, &left, style);
    }
    if is_free(plot.width.saturating_sub(4), plot.width) {
        pen::right(buf, row, 0, "now", style);
    }
    for back in ChartWindow::ticks(model.range(), plot.width) {
        let text = format!("-{}", Span::from_seconds(back));
        let place = (1.0 - back / model.range().seconds()) * f64::from(plot.width);
        let from = (place as u16).saturating_sub(width(&text) as u16 / 2);
        let to = from + width(&text) as u16;
        if from > width(&left) as u16 + 1 && to + 5 < plot.width && is_free(from, to) {
            pen::put(buf, row, row.x + from, row.y, &text, style);
        }
    }
}
