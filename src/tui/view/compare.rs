//! The view that compares runs on the same arrivals: a table, the differences as intervals, the 99th
//! percentile over time, and cost against it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::command::{LaneDelta, LaneFigures, LaneVerdict, SideBySide};
use crate::tui::chart::{Dots, Scale};
use crate::tui::format::{count, cut, dollars, percent_fine, seconds_or, width};
use crate::tui::model::Model;
use crate::tui::theme::Role;
use crate::unit::Span;

use super::pen::{self, Piece, piece};
use super::picker::wrap;

/// Colours of those that are compared, in their order; their letters say the same.
const LANES: [Role; 6] = [Role::P50, Role::P95, Role::P99, Role::Cost, Role::Tokens, Role::Load];

/// The letter of the one at this place.
fn letter(at: usize) -> char {
    (b'A' + at.min(25) as u8) as char
}

fn role(at: usize) -> Role {
    LANES[at % LANES.len()]
}

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let Some(comparison) = model.frame.as_ref().and_then(|frame| frame.comparison.clone()) else {
        return nothing(model, body, buf);
    };
    let lanes = comparison.lanes.len() as u16;
    let (table, rest) = split(body, lanes + 6);
    draw_table(model, &comparison, table, buf);
    // What there is no room for is left out: the chart first, then the forest.
    if rest.height < lanes + 4 {
        return;
    }
    let (forests, rest) = split(rest, lanes + 4);
    let half = forests.width / 2;
    if forests.width >= 100 {
        forest(model, &comparison, &P99, Rect { width: half, ..forests }, buf);
        let right = Rect { x: forests.x + half, width: forests.width - half, ..forests };
        forest(model, &comparison, &PER_1K, right, buf);
    } else {
        forest(model, &comparison, &P99, forests, buf);
    }
    if rest.height < 6 {
        return;
    }
    if rest.width >= 100 {
        let wide = rest.width * 3 / 5;
        over_time(model, &comparison, Rect { width: wide, ..rest }, buf);
        let right = Rect { x: rest.x + wide, width: rest.width - wide, ..rest };
        scatter(model, &comparison, right, buf);
    } else {
        over_time(model, &comparison, rest, buf);
    }
}

fn split(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let below = Rect { y: area.y + height, height: area.height - height, ..area };
    (Rect { height, ..area }, below)
}

fn nothing(model: &Model, body: Rect, buf: &mut Buffer) {
    let inner = pen::frame(model, true, body, buf, &[piece("Compare", Role::Title)], "");
    let scenario = model.frame.as_ref().map_or("SCENARIO", |frame| frame.scenario.as_str());
    let lines = [
        ("a runs another strategy beside this one on the same arrivals,".to_owned(), Role::Text),
        ("and the interval of their difference shrinks as you watch".to_owned(), Role::Text),
        (String::new(), Role::Text),
        (format!("many seeds at once: plimsoll compare {scenario}"), Role::Dim),
    ];
    let top = inner.y + inner.height.saturating_sub(lines.len() as u16) / 2;
    for ((line, role), y) in lines.iter().zip(top..inner.bottom()) {
        pen::centred(buf, Rect { y, height: 1, ..inner }, line, model.theme().style(*role));
    }
}

// ----- the table -----

/// What is compared, and how it is written.
struct Measure {
    title: &'static str,
    delta: fn(&LaneFigures) -> Option<LaneDelta>,
    show: fn(f64) -> String,
    better: &'static str,
    worse: &'static str,
}

const P99: Measure = Measure {
    title: "p99, s",
    delta: |lane| lane.p99_delta,
    show: |value| format!("{value:+.2}"),
    better: "better",
    worse: "worse",
};

const PER_1K: Measure = Measure {
    title: "$ for 1,000 requests",
    delta: |lane| lane.per_1k_delta,
    show: |value| format!("{value:+.3}"),
    better: "cheaper",
    worse: "dearer",
};

const FAILED: Measure = Measure {
    title: "not served, points",
    delta: |lane| lane.failed_delta,
    show: |value| format!("{:+.2}", value * 100.0),
    better: "better",
    worse: "worse",
};

/// The difference with its interval.
fn interval(measure: &Measure, delta: Option<LaneDelta>) -> String {
    let Some(delta) = delta else { return "baseline".to_owned() };
    let show = measure.show;
    match delta.half {
        Some(half) => {
            let (low, high) = (show(delta.mean - half), show(delta.mean + half));
            format!("{} [{low}, {high}]", show(delta.mean))
        }
        None => "too short to tell".to_owned(),
    }
}

fn verdict(model: &Model, measure: &Measure, delta: Option<LaneDelta>) -> Piece {
    let glyphs = model.glyphs();
    match delta.map(|delta| delta.verdict) {
        Some(LaneVerdict::Better) => {
            piece(format!("{} {}", glyphs.falling, measure.better), Role::Up)
        }
        Some(LaneVerdict::Worse) => {
            piece(format!("{} {}", glyphs.rising, measure.worse), Role::Down)
        }
        Some(LaneVerdict::NoDifference) => {
            let sign = if glyphs.braille { "≈" } else { "~" };
            piece(format!("{sign} no difference"), Role::Dim)
        }
        Some(LaneVerdict::TooFew) | None => piece("", Role::Dim),
    }
}

/// A column of the table: its title, how wide it is, and at least how wide the table must be.
struct CompareColumn {
    title: &'static str,
    wide: usize,
    from: u16,
    cell: fn(&Model, &LaneFigures) -> Piece,
}

fn latency(span: Option<Span>) -> Piece {
    piece(seconds_or(span, "-"), Role::Text)
}

const COLUMNS: [CompareColumn; 11] = [
    CompareColumn { title: "p50", wide: 7, from: 130, cell: |_, lane| latency(lane.p50) },
    CompareColumn { title: "p95", wide: 7, from: 130, cell: |_, lane| latency(lane.p95) },
    CompareColumn { title: "p99 s", wide: 7, from: 0, cell: |_, lane| latency(lane.p99) },
    CompareColumn {
        title: "difference [95 %]",
        wide: 25,
        from: 76,
        cell: |_, lane| piece(interval(&P99, lane.p99_delta), Role::Text),
    },
    CompareColumn {
        title: "",
        wide: 16,
        from: 0,
        cell: |model, lane| verdict(model, &P99, lane.p99_delta),
    },
    CompareColumn {
        title: "failed %",
        wide: 9,
        from: 60,
        cell: |_, lane| piece(percent_fine(lane.failed), Role::Text),
    },
    CompareColumn {
        title: "difference, points",
        wide: 25,
        from: 150,
        cell: |_, lane| piece(interval(&FAILED, lane.failed_delta), Role::Text),
    },
    CompareColumn {
        title: "",
        wide: 16,
        from: 170,
        cell: |model, lane| verdict(model, &FAILED, lane.failed_delta),
    },
    CompareColumn {
        title: "$/1k",
        wide: 8,
        from: 68,
        cell: |_, lane| piece(lane.per_1k.map_or_else(|| "-".to_owned(), dollars), Role::Text),
    },
    CompareColumn {
        title: "difference [95 %]",
        wide: 28,
        from: 132,
        cell: |_, lane| piece(interval(&PER_1K, lane.per_1k_delta), Role::Text),
    },
    CompareColumn {
        title: "",
        wide: 16,
        from: 104,
        cell: |model, lane| verdict(model, &PER_1K, lane.per_1k_delta),
    },
];

fn draw_table(model: &Model, comparison: &SideBySide, area: Rect, buf: &mut Buffer) {
    let dot = model.glyphs().dot;
    let lanes = &comparison.lanes;
    let title = [piece(format!("Compare {}", lanes.len()), Role::Title)];
    let aside = format!("baseline {} {dot} b another", letter(comparison.baseline));
    let inner = pen::frame(model, true, area, buf, &title, &aside);
    let seed = model.frame.as_ref().map_or(0, |frame| frame.seed);
    let block = comparison.block;
    let how = format!(
        " same arrivals, lengths, draws and faults {dot} seed {seed} {dot} {} blocks of {block}, \
         warm-up left out",
        comparison.blocks
    );
    pen::line(buf, inner, 0, model.theme(), &[piece(how, Role::Dim)]);
    let columns: Vec<&CompareColumn> =
        COLUMNS.iter().filter(|column| inner.width >= column.from).collect();
    let taken: usize = columns.iter().map(|column| column.wide + 1).sum();
    let names = usize::from(inner.width).saturating_sub(taken + 5).clamp(8, 32);
    let mut head = vec![piece(format!("     {:names$}", "STRATEGY"), Role::Dim)];
    head.extend(
        columns.iter().map(|one| piece(format!(" {:>1$}", one.title, one.wide), Role::Dim)),
    );
    pen::line(buf, inner, 1, model.theme(), &head);
    for (at, lane) in lanes.iter().enumerate() {
        let row = at as u16 + 2;
        if row >= inner.height {
            return;
        }
        let selected = at == model.ui.lane;
        let cursor = if selected { model.glyphs().cursor } else { " " };
        let mut pieces = vec![
            piece(format!("{cursor} "), Role::Key),
            piece(format!("{} ", letter(at)), role(at)),
            piece(format!(" {}", padded(&cut(&lane.name, names, "…"), names)), Role::Strong),
        ];
        for column in &columns {
            let (text, role) = (column.cell)(model, lane);
            let text = cut(&text, column.wide, "…");
            let space = " ".repeat(column.wide + 1 - width(&text).min(column.wide));
            pieces.push(piece(format!("{space}{text}"), role));
        }
        pen::line(buf, inner, row, model.theme(), &pieces);
    }
    sentence(model, comparison, Rect { y: inner.y + lanes.len() as u16 + 2, ..inner }, inner, buf);
}

fn padded(text: &str, wide: usize) -> String {
    format!("{text}{}", " ".repeat(wide.saturating_sub(width(text))))
}

/// What may be said of the selected one, or of the first that is not the baseline.
fn sentence(model: &Model, comparison: &SideBySide, at: Rect, inner: Rect, buf: &mut Buffer) {
    let place = Rect { height: inner.bottom().saturating_sub(at.y), ..at };
    if place.height == 0 {
        return;
    }
    let others = |at: &usize| *at != comparison.baseline && *at < comparison.lanes.len();
    let chosen = Some(model.ui.lane).filter(others);
    let Some(at) = chosen.or_else(|| (0..comparison.lanes.len()).find(others)) else { return };
    let (lane, base) = (&comparison.lanes[at], &comparison.lanes[comparison.baseline]);
    let part = |measure: &Measure, unit: &str| {
        let delta = (measure.delta)(lane)?;
        let words = match delta.verdict {
            LaneVerdict::TooFew => return None,
            LaneVerdict::NoDifference => "no difference can be claimed",
            LaneVerdict::Better => measure.better,
            LaneVerdict::Worse => measure.worse,
        };
        Some(format!("{unit} {}: {words}", interval(measure, Some(delta))))
    };
    let parts = [part(&P99, "p99"), part(&FAILED, "not served"), part(&PER_1K, "$/1k")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let said = match parts.is_empty() {
        true => "too few blocks yet to say anything".to_owned(),
        false => parts.join("; "),
    };
    let text = format!("{} against {}: {said}", lane.name, base.name);
    let room = usize::from(place.width).saturating_sub(1);
    for (row, words) in wrap(&text, room).into_iter().enumerate().take(2) {
        pen::line(buf, place, row as u16, model.theme(), &[piece(format!(" {words}"), Role::Text)]);
    }
}

// ----- differences as intervals -----

fn forest(model: &Model, comparison: &SideBySide, measure: &Measure, area: Rect, buf: &mut Buffer) {
    let base = letter(comparison.baseline);
    let title = [piece(format!("{} against {base}", measure.title), Role::Title)];
    let aside = format!("< {}   {} >", measure.better, measure.worse);
    let inner = pen::frame(model, false, area, buf, &title, &aside);
    let deltas: Vec<Option<LaneDelta>> = comparison.lanes.iter().map(measure.delta).collect();
    let known = deltas.iter().flatten().filter_map(|one| Some((one.mean, one.half?)));
    let ends = known.flat_map(|(mean, half)| [mean - half, mean + half]).chain([0.0]);
    let (low, high) =
        ends.fold((0.0_f64, 0.0_f64), |(low, high), end| (low.min(end), high.max(end)));
    let names = usize::from(inner.width / 4).clamp(3, 20);
    let plot = Rect {
        x: inner.x + names as u16 + 3,
        width: inner.width.saturating_sub(names as u16 + 4),
        ..inner
    };
    let span = (high - low).max(1e-9);
    if plot.width < 8 || inner.height < 2 {
        return;
    }
    let column = |value: f64| {
        let share = ((value - low) / span).clamp(0.0, 1.0);
        plot.x + (share * f64::from(plot.width - 1)).round() as u16
    };
    let (theme, unicode) = (model.theme(), model.glyphs().braille);
    let [left, dash, dot, right] =
        if unicode { ["┣", "━", "●", "┫"] } else { ["|", "-", "o", "|"] };
    for (at, (lane, delta)) in comparison.lanes.iter().zip(&deltas).enumerate() {
        let y = inner.y + at as u16;
        if y + 1 >= inner.bottom() {
            return;
        }
        let name = format!("{} {}", letter(at), cut(&lane.name, names, "…"));
        pen::put(buf, inner, inner.x + 1, y, &name, theme.style(role(at)));
        let zero = column(0.0);
        pen::put(buf, plot, zero, y, model.glyphs().mark, theme.style(Role::Grid));
        let Some((delta, half)) = delta.and_then(|delta| Some((delta, delta.half?))) else {
            if at == comparison.baseline {
                let here = if unicode { "◆" } else { "+" };
                pen::put(buf, plot, zero, y, here, theme.style(Role::Strong));
            }
            continue;
        };
        let style = theme.style(verdict(model, measure, Some(delta)).1);
        let (from, to) = (column(delta.mean - half), column(delta.mean + half));
        for x in from..=to {
            pen::put(buf, plot, x, y, dash, style);
        }
        pen::put(buf, plot, from, y, left, style);
        pen::put(buf, plot, to, y, right, style);
        pen::put(buf, plot, column(delta.mean), y, dot, style);
    }
    let below = Rect { y: inner.bottom() - 1, height: 1, ..plot };
    let dim = theme.style(Role::Dim);
    if low < 0.0 {
        pen::put(buf, below, plot.x, below.y, &(measure.show)(low), dim);
    }
    if high > 0.0 {
        pen::right(buf, below, 0, &(measure.show)(high), dim);
    }
    let zero = column(0.0);
    if zero > plot.x + 8 && zero + 8 < plot.right() {
        pen::put(buf, below, zero, below.y, "0", dim);
    }
}

// ----- over time, and against money -----

fn over_time(model: &Model, comparison: &SideBySide, area: Rect, buf: &mut Buffer) {
    let title = [piece("p99 s by block", Role::Title)];
    let inner = pen::frame(model, false, area, buf, &title, "whole run");
    let values = comparison.lanes.iter().flat_map(|lane| &lane.points);
    let scale = Scale::log(values.filter_map(|point| point.p99.map(Span::seconds)));
    let plot = Rect {
        x: inner.x + 6,
        width: inner.width.saturating_sub(10),
        height: inner.height.saturating_sub(1),
        ..inner
    };
    let (Some(scale), true) = (scale, plot.width >= 8 && plot.height >= 2) else { return };
    let theme = model.theme();
    let end = comparison.at.0.max(1);
    let mut dots = Dots::new(plot.width, plot.height);
    let last = f64::from(dots.width() - 1);
    for (at, lane) in comparison.lanes.iter().enumerate() {
        let values = lane.points.iter().map(|point| {
            let x = point.until.0 as f64 / end as f64 * last;
            (x.min(last) as u16, point.p99.map(Span::seconds), false)
        });
        dots.trace(values, &scale, role(at));
    }
    dots.draw(plot, buf, theme, model.glyphs().braille);
    let dim = theme.style(Role::Dim);
    for value in scale.ticks().into_iter().take(2) {
        if let Some(dot) = scale.place(value, plot.height * 4) {
            let label = Rect { y: plot.y + dot / 4, height: 1, width: 5, ..inner };
            pen::right(buf, label, 0, &tick(value), dim);
        }
    }
    let mut taken: Vec<u16> = Vec::new();
    for (at, lane) in comparison.lanes.iter().enumerate() {
        let newest = lane.points.iter().rev().find_map(|point| point.p99);
        let Some(dot) = newest.and_then(|p99| scale.place(p99.seconds(), plot.height * 4)) else {
            continue;
        };
        let row = (0..plot.height)
            .min_by_key(|row| (u16::from(taken.contains(row)), row.abs_diff(dot / 4)));
        let Some(row) = row else { continue };
        taken.push(row);
        let name = letter(at).to_string();
        pen::put(buf, inner, plot.right() + 1, plot.y + row, &name, theme.style(role(at)));
    }
    let below = Rect { y: plot.bottom(), height: 1, ..plot };
    pen::put(buf, below, below.x, below.y, "0s", dim);
    pen::right(buf, below, 0, &comparison.at.to_string(), dim);
}

fn tick(value: f64) -> String {
    if value >= 1.0 { count(value) } else { format!("{value}") }
}

/// Cost against the 99th percentile: the lower left is better.
fn scatter(model: &Model, comparison: &SideBySide, area: Rect, buf: &mut Buffer) {
    let title = [piece("Cost against p99", Role::Title)];
    let inner = pen::frame(model, false, area, buf, &title, "lower left is better");
    let point = |lane: &LaneFigures| Some((lane.per_1k?, lane.p99?.seconds()));
    let points: Vec<Option<(f64, f64)>> = comparison.lanes.iter().map(point).collect();
    let across = Scale::linear(points.iter().flatten().map(|point| point.0));
    let up = Scale::linear(points.iter().flatten().map(|point| point.1));
    let plot = Rect {
        x: inner.x + 6,
        width: inner.width.saturating_sub(8),
        height: inner.height.saturating_sub(1),
        ..inner
    };
    let (Some(across), Some(up), true) = (across, up, plot.width >= 8 && plot.height >= 2) else {
        return;
    };
    let theme = model.theme();
    let dominated = |one: (f64, f64)| {
        points.iter().flatten().any(|other| {
            other.0 <= one.0 && other.1 <= one.1 && (other.0 < one.0 || other.1 < one.1)
        })
    };
    let signs = if model.glyphs().braille { ["○", "◆"] } else { ["o", "#"] };
    for (at, point) in points.iter().enumerate() {
        let Some(one) = *point else { continue };
        let (Some(x), Some(y)) = (across.place(one.0, plot.width), up.place(one.1, plot.height))
        else {
            continue;
        };
        let sign = signs[usize::from(!dominated(one))];
        let x = plot.right() - 1 - x;
        let text = format!("{sign}{}", letter(at));
        let x = x.min(plot.right().saturating_sub(2));
        pen::put(buf, plot, x, plot.y + y, &text, theme.style(role(at)));
    }
    let dim = theme.style(Role::Dim);
    let ends = |scale: &Scale| {
        let ticks = scale.ticks();
        (ticks[1], ticks[0])
    };
    let (low, high) = ends(&up);
    let at = |y: u16| Rect { y, height: 1, width: 5, ..inner };
    pen::right(buf, at(plot.y), 0, &format!("{high:.1}"), dim);
    pen::right(buf, at(plot.bottom() - 1), 0, &format!("{low:.1}"), dim);
    let (low, high) = ends(&across);
    let below = Rect { y: plot.bottom(), height: 1, ..plot };
    pen::put(buf, below, below.x, below.y, &format!("${low:.2}/1k"), dim);
    pen::right(buf, below, 0, &format!("${high:.2}"), dim);
}
