//! The map itself: failures on top, then one row for each stretch of lengths, the longest above.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::length_code;
use crate::tui::format::{count, width};
use crate::tui::heat::HeatCounts;
use crate::tui::theme::Role;
use crate::unit::Span;

use super::super::pen::{self, Piece, piece};
use super::{Heat, label, metric_name, promise, scope_name, shade};

pub(super) fn draw(heat: &Heat<'_>, buf: &mut Buffer) {
    let model = heat.model;
    let title = [
        piece("Latency", Role::Title),
        piece(format!(" {}, {}", metric_name(model), scope_name(model)), Role::Dim),
    ];
    let aside = format!("1 col = {}", heat.ticks.step);
    pen::frame(model, true, heat.places.panel, buf, &title, &aside);
    cursor_line(heat, buf);
    lanes(heat, buf);
    cells(heat, buf);
    axis(heat, buf);
    time_axis(heat, buf);
    legend(heat, buf);
}

/// The cursor goes behind the cells: what is counted stays in sight.
fn cursor_line(heat: &Heat<'_>, buf: &mut Buffer) {
    let (cells, model) = (heat.places.cells, heat.model);
    if model.ui.heat.cursor.is_none() {
        return;
    }
    let upright = model.glyphs().border[5];
    let x = x_of(heat, heat.at);
    for y in heat.places.lanes.y..cells.bottom() {
        let whole = Rect { y: heat.places.lanes.y, height: cells.bottom(), ..cells };
        pen::put(buf, whole, x, y, upright, model.theme().style(Role::Strong));
    }
}

/// Returns where a column stands: the newest is the rightmost.
pub(super) fn x_of(heat: &Heat<'_>, column: usize) -> u16 {
    let cells = heat.places.cells;
    let from_right = (heat.ticks.count - column) as u16;
    cells.right().saturating_sub(from_right)
}

/// What failed and what was turned away, a row each.
fn lanes(heat: &Heat<'_>, buf: &mut Buffer) {
    let (lanes, model) = (heat.places.lanes, heat.model);
    let failed: fn(&HeatCounts) -> u32 = |counts| counts.failed;
    let rejected: fn(&HeatCounts) -> u32 = |counts| counts.rejected;
    let rows = [("failed", Role::Down, failed), ("reject", Role::Warn, rejected)];
    for ((name, role, of), y) in rows.into_iter().zip(lanes.y..lanes.bottom()) {
        let any = heat.grid.columns.iter().any(|column| of(column) > 0);
        let name_role = if any { role } else { Role::Dim };
        axis_text(heat, y, name, name_role, buf);
        let shades = model.glyphs().shades;
        let scale = heat.scale.with_levels(shades.len() as u8);
        for (place, column) in heat.grid.columns.iter().enumerate() {
            let level = scale.level(of(column).into());
            if level > 0 {
                // One failure is worth more than a dot.
                let glyph = shades[usize::from(level).min(shades.len() - 1)];
                pen::cell(buf, lanes, x_of(heat, place), y, glyph, model.theme().style(role));
            }
        }
    }
}

fn cells(heat: &Heat<'_>, buf: &mut Buffer) {
    let cells = heat.places.cells;
    for (place, column) in heat.grid.columns.iter().enumerate() {
        let x = x_of(heat, place);
        for (row, from) in heat.rows.all().enumerate() {
            let level = heat.scale.level(column.row(from, heat.rows.parts));
            if level > 0 {
                let (glyph, style) = shade(heat.model, level);
                pen::cell(buf, cells, x, heat.y(row as u8), glyph, style);
            }
        }
    }
}

/// Writes at the left of the map, with a column between.
fn axis_text(heat: &Heat<'_>, y: u16, text: &str, role: Role, buf: &mut Buffer) {
    let (cells, panel) = (heat.places.cells, heat.places.panel);
    let width = cells.x.saturating_sub(panel.x + 2);
    let place = Rect { x: panel.x + 1, y, width, height: 1 };
    pen::right(buf, place, 0, text, heat.model.theme().style(role));
}

/// Labels of rows, the rows of promises, the row of the cursor.
fn axis(heat: &Heat<'_>, buf: &mut Buffer) {
    let model = heat.model;
    let cells = heat.places.cells;
    let every = if heat.rows.count <= 10 { 8 } else { 16 };
    let theme = model.theme();
    let promised: Vec<u8> =
        model.promises().iter().filter_map(|(slo, _)| heat.rows.place(length_code(*slo))).collect();
    for (row, from) in heat.rows.all().enumerate() {
        let y = heat.y(row as u8);
        let here = model.ui.heat.row.and_then(|code| heat.rows.place(code)) == Some(row as u8);
        let is_promised = promised.contains(&(row as u8));
        let last = heat.rows.count > 1 && row + 1 == usize::from(heat.rows.count);
        if from % every == 0 || here || is_promised {
            let unit = if last || heat.rows.count < 4 { "s" } else { "" };
            let text = label(from);
            let text = if text.ends_with('s') { text } else { format!("{text}{unit}") };
            let role = if here { Role::Strong } else { Role::Dim };
            axis_text(heat, y, &format!("{text} "), role, buf);
        }
        let sign = Rect { x: cells.x.saturating_sub(2), y, width: 1, height: 1 };
        if is_promised {
            let style = theme.style(Role::Warn);
            pen::put(buf, sign, sign.x, y, model.glyphs().promise, style);
        }
        if here {
            pen::put(buf, sign, sign.x, y, model.glyphs().cursor, theme.style(Role::Key));
        }
    }
}

fn time_axis(heat: &Heat<'_>, buf: &mut Buffer) {
    let (cells, model) = (heat.places.cells, heat.model);
    let row = Rect { y: cells.bottom(), height: 1, ..cells };
    let theme = model.theme();
    let mut taken: Vec<u16> = Vec::new();
    let marks = model.snapshot().map_or(&[][..], |snapshot| &snapshot.history.marks);
    for mark in marks {
        let Some(place) = heat.ticks.place(mark.at) else { continue };
        let x = x_of(heat, place);
        taken.push(x);
        pen::put(buf, row, x, row.y, &mark.letter.to_string(), theme.style(Role::You));
    }
    let is_free = |from: u16, to: u16| !taken.iter().any(|x| (from..to).contains(x));
    let length = Span(heat.ticks.step.0.saturating_mul(heat.ticks.count as u64));
    let left = format!("-{length}");
    let start = x_of(heat, 0);
    if is_free(start, start + width(&left) as u16 + 1) {
        pen::put(buf, row, start, row.y, &left, theme.style(Role::Dim));
    }
    if is_free(row.right().saturating_sub(4), row.right()) {
        pen::right(buf, row, 0, "now", theme.style(Role::Dim));
    }
}

/// Which shade stands for how many, and what is promised.
fn legend(heat: &Heat<'_>, buf: &mut Buffer) {
    let (cells, panel, model) = (heat.places.cells, heat.places.panel, heat.model);
    let theme = model.theme();
    let x = panel.x + 2;
    let place =
        Rect { x, y: cells.bottom() + 1, width: panel.right().saturating_sub(x + 1), height: 2 };
    let place = place.intersection(panel);
    let mut x = pen::put(buf, place, place.x, place.y, "a cell counts ", theme.style(Role::Dim));
    for level in 1..=heat.scale.levels {
        let (glyph, style) = shade(model, level);
        x = pen::put(buf, place, x, place.y, glyph, style);
        let from = format!("{} ", count(heat.scale.least(level) as f64));
        x = pen::put(buf, place, x, place.y, &from, theme.style(Role::Dim));
    }
    let mut line: Vec<Piece> = Vec::new();
    for (slo, class) in model.promises() {
        line.push(piece(format!("{} SLO {} ", model.glyphs().promise, promise(slo)), Role::Warn));
        line.push(piece(format!("{class}  "), Role::Dim));
    }
    let ratio = match heat.rows.parts {
        4 => "rows are a factor of √2 apart, counts are exact",
        8 => "rows are a factor of 2 apart, counts are exact",
        16 => "rows are a factor of 4 apart, counts are exact",
        _ => "counts are exact",
    };
    line.push(piece(ratio, Role::Dim));
    pen::line(buf, place, 1, theme, &line);
}
