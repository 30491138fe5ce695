//! Nodes one below the other on the columns of the map: how long the slowest hundredth took there.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{HeatScope, NodeRow};
use crate::tui::format::{cut_name, seconds_or};
use crate::tui::heat::{HeatGrid, HeatLook};
use crate::tui::theme::{Role, Theme};

use super::super::pen::{self, piece};
use super::map::x_of;
use super::{Heat, levels, shade};

pub(super) fn draw(heat: &Heat<'_>, area: Rect, buf: &mut Buffer) {
    let model = heat.model;
    let title = [piece("p99 by node", Role::Title)];
    let dot = model.glyphs().dot;
    let aside = format!("j k choose {dot} o shows it in the map");
    let inner = pen::frame(model, false, area, buf, &title, &aside);
    let Some(snapshot) = model.snapshot() else { return };
    let rows = usize::from(inner.height);
    let first = model.selected_row().map_or(0, |row| (row + 1).saturating_sub(rows));
    for (&index, y) in model.order.iter().skip(first).zip(0..inner.height) {
        let line = Rect { y: inner.y + y, height: 1, ..inner };
        if let Some(row) = snapshot.nodes.get(index) {
            draw_row(heat, row, line, buf);
        }
    }
}

fn draw_row(heat: &Heat<'_>, row: &NodeRow, line: Rect, buf: &mut Buffer) {
    let model = heat.model;
    let (theme, selected) = (model.theme(), model.ui.selected == Some(row.id));
    let style = |role| if selected { theme.on_selected(role) } else { theme.style(role) };
    if selected {
        buf.set_style(line.intersection(buf.area), theme.style(Role::Selected));
    }
    let room = heat.places.cells.x.saturating_sub(line.x + 2);
    let name = cut_name(&row.name, usize::from(room), "…");
    pen::put(buf, line, line.x + 1, line.y, &name, style(Role::Text));
    let value = seconds_or(row.p99, model.glyphs().none);
    pen::right(
        buf,
        Rect { width: line.width.saturating_sub(1), ..line },
        0,
        &value,
        style(Role::Text),
    );
    let look = HeatLook { scope: HeatScope::Node(row.id), ..model.ui.heat };
    let grid = HeatGrid::new(
        &model.snapshot().map(|s| s.heat.clone()).unwrap_or_default(),
        heat.ticks,
        &look,
    );
    let marked = failed(theme, selected);
    for (place, counts) in grid.columns.iter().enumerate() {
        let x = x_of(heat, place);
        match counts.quantile(0.99) {
            Some(code) => {
                let (glyph, style) = shade(model, level(heat, code));
                pen::cell(buf, line, x, line.y, glyph, style);
            }
            None if counts.failed > 0 => {
                pen::put(buf, line, x, line.y, model.glyphs().times, marked);
            }
            None => {}
        }
    }
}

fn failed(theme: Theme, selected: bool) -> ratatui::style::Style {
    if selected { theme.on_selected(Role::Down) } else { theme.style(Role::Down) }
}

/// The shade of a length: the lowest row of the map is the lightest.
fn level(heat: &Heat<'_>, code: f64) -> u8 {
    let rows = heat.rows;
    let share =
        (code - f64::from(rows.low)) / f64::from(rows.count.saturating_mul(rows.parts).max(1));
    let levels = f64::from(levels(heat.model));
    (share * levels).floor().clamp(0.0, levels - 1.0) as u8 + 1
}
