//! The column at the cursor: a histogram on the rows of the map, and quantiles.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{HeatScope, length_code};
use crate::tui::format::count;
use crate::tui::theme::Role;

use super::super::pen::{self, Piece, piece};
use super::{Heat, about, label};

/// Columns of the labels of rows, and of counts.
const LABEL: u16 = 5;
const COUNT: u16 = 6;

pub(super) fn draw(heat: &Heat<'_>, area: Rect, buf: &mut Buffer) {
    let model = heat.model;
    let (from, to) = (heat.ticks.start(heat.at), heat.ticks.start(heat.at + 1));
    let title = [piece(format!("At {from}-{to}"), Role::Title)];
    let inner = pen::frame(model, false, area, buf, &title, "");
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    lanes(heat, inner, buf);
    histogram(heat, inner, buf);
    let below = Rect {
        y: heat.places.cells.bottom(),
        height: inner.bottom().saturating_sub(heat.places.cells.bottom()),
        ..inner
    };
    for (row, y) in words(heat).iter().zip(0..below.height) {
        pen::line(buf, below, y, model.theme(), row);
    }
}

fn lanes(heat: &Heat<'_>, inner: Rect, buf: &mut Buffer) {
    let counts = heat.counts();
    let what = if matches!(heat.model.ui.heat.scope, HeatScope::Node(_)) {
        "attempts failed"
    } else {
        "failed"
    };
    let rows = [(what, counts.failed, Role::Down), ("rejected", counts.rejected, Role::Warn)];
    for ((name, number, role), y) in rows.into_iter().zip(0..heat.places.lanes.height) {
        let role = if number > 0 { role } else { Role::Dim };
        let place = Rect { y: heat.places.lanes.y + y, height: 1, ..inner };
        pen::line(buf, place, 0, heat.model.theme(), &[piece(name, role)]);
        pen::right(buf, place, 0, &count(number.into()), heat.model.theme().style(role));
    }
}

fn histogram(heat: &Heat<'_>, inner: Rect, buf: &mut Buffer) {
    let (counts, theme) = (heat.counts(), heat.model.theme());
    let rows: Vec<(u8, u64)> =
        heat.rows.all().map(|from| (from, counts.row(from, heat.rows.parts))).collect();
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let slowest = heat.model.promises().iter().map(|(slo, _)| length_code(*slo)).min();
    let [full, half, _] = heat.model.glyphs().bar;
    let here = heat.model.ui.heat.row.and_then(|code| heat.rows.place(code));
    for (row, (from, number)) in rows.into_iter().enumerate() {
        let place = Rect { y: heat.y(row as u8), height: 1, ..inner };
        let selected = here == Some(row as u8);
        let role = if selected { Role::Strong } else { Role::Dim };
        pen::right(buf, Rect { width: LABEL, ..place }, 0, &label(from), theme.style(role));
        if number == 0 {
            continue;
        }
        let room = inner.width.saturating_sub(LABEL + COUNT + 2);
        let halves =
            (number as f64 / most as f64 * f64::from(room) * 2.0).round().max(1.0) as usize;
        let bar = format!("{}{}", full.repeat(halves / 2), if halves % 2 == 1 { half } else { "" });
        let broken = slowest.is_some_and(|slo| from >= slo);
        let style = theme.style(if broken { Role::Warn } else { Role::BarFull });
        pen::put(buf, place, place.x + LABEL + 1, place.y, &bar, style);
        let role = if selected { Role::Strong } else { Role::Text };
        pen::right(buf, place, 0, &count(number as f64), theme.style(role));
    }
}

fn words(heat: &Heat<'_>) -> Vec<Vec<Piece>> {
    let counts = heat.counts();
    let none = heat.model.glyphs().none;
    let pair = |(a, first): (&str, f64), (b, second): (&str, f64)| {
        let text = |share| about(counts.quantile(share), none);
        vec![
            piece(format!("{a} "), Role::Dim),
            piece(format!("{:<7}", text(first)), Role::Strong),
            piece(format!("{b} "), Role::Dim),
            piece(text(second), Role::Strong),
        ]
    };
    let last = match counts.two_modes() {
        Some((low, high)) => {
            let (low, high) = (about(Some(low), none), about(Some(high), none));
            vec![piece(format!("two heaps: {low}, {high} s"), Role::Warn)]
        }
        None => {
            vec![piece("n   ", Role::Dim), piece(count(counts.completed() as f64), Role::Strong)]
        }
    };
    vec![pair(("p50", 0.5), ("p90", 0.9)), pair(("p99", 0.99), ("max", 1.0)), last]
}
