//! Help and commands in one: every action with its keys, made from the key map; typing searches, Enter
//! runs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::format::{cut, width};
use crate::tui::lists::{self, PaletteEntry};
use crate::tui::model::Model;
use crate::tui::theme::Role;

use super::pen::{self, Piece, piece};

/// Columns of keys, and of one line.
const KEYS: usize = 12;
const COLUMN: u16 = 38;
/// At most so many columns of lines.
const COLUMNS_MAX: u16 = 3;
/// At most so many rows, frame included.
const ROWS_MAX: u16 = 30;

pub(super) fn draw(model: &Model, at: usize, body: Rect, buf: &mut Buffer) {
    let entries = lists::palette(model);
    let title = [piece("Help and commands", Role::Title)];
    let dot = model.glyphs().dot;
    let aside = format!("type to search {dot} Enter runs {dot} Esc closes");
    let size = (COLUMN * COLUMNS_MAX + 4, ROWS_MAX);
    let inner = pen::overlay(model, size, body, buf, &title, &aside);
    prompt(model, entries.len(), inner, buf);
    let columns = (inner.width / COLUMN).clamp(1, COLUMNS_MAX);
    let rows = inner.height.saturating_sub(3).max(1);
    let page = usize::from(columns) * usize::from(rows);
    let first = at / page * page;
    let size = inner.width / columns;
    for (place, entry) in entries.iter().enumerate().skip(first).take(page) {
        let (column, row) = ((place - first) as u16 / rows, (place - first) as u16 % rows);
        let cell = Rect {
            x: inner.x + column * size,
            y: inner.y + 1 + row,
            width: size.saturating_sub(1),
            height: 1,
        };
        line(model, entry, place == at, cell.intersection(inner), buf);
    }
    if entries.is_empty() {
        let words = [piece("  nothing is called so", Role::Dim)];
        pen::line(buf, inner, 1, model.theme(), &words);
    }
    legend(model, inner, buf);
}

fn prompt(model: &Model, found: usize, inner: Rect, buf: &mut Buffer) {
    let theme = model.theme();
    let sign = model.glyphs().cursor;
    let x = pen::put(buf, inner, inner.x, inner.y, &format!("{sign} "), theme.style(Role::Key));
    let room = usize::from(inner.width.saturating_sub(4));
    let x = pen::put(
        buf,
        inner,
        x,
        inner.y,
        &cut(&model.ui.typed, room, "…"),
        theme.style(Role::Strong),
    );
    pen::put(buf, inner, x, inner.y, " ", theme.style(Role::Badge));
    let words = if model.ui.typed.is_empty() {
        "what works in this view comes first".to_owned()
    } else {
        format!("{found} found")
    };
    if usize::from(inner.width) > width(&model.ui.typed) + width(&words) + 6 {
        pen::right(buf, inner, 0, &words, theme.style(Role::Dim));
    }
}

fn line(model: &Model, entry: &PaletteEntry, selected: bool, area: Rect, buf: &mut Buffer) {
    let theme = model.theme();
    let style = |role| if selected { theme.on_selected(role) } else { theme.style(role) };
    buf.set_style(area.intersection(buf.area), style(Role::Text));
    let sign = if selected { model.glyphs().cursor } else { " " };
    let x = pen::put(buf, area, area.x, area.y, sign, style(Role::Key));
    pen::put(buf, area, x, area.y, &cut(&entry.keys, KEYS - 1, "…"), style(Role::Key));
    let x = x + KEYS as u16;
    let room = usize::from(area.right().saturating_sub(x));
    pen::put(buf, area, x, area.y, &cut(entry.about, room, "…"), style(Role::Text));
}

/// What the glyphs of nodes mean.
fn legend(model: &Model, inner: Rect, buf: &mut Buffer) {
    let glyphs = model.glyphs();
    let words = [
        (glyphs.up, "up", Role::Up),
        (glyphs.slow, "slow", Role::Warn),
        (glyphs.limited, "limited", Role::Warn),
        (glyphs.probing, "probing", Role::Note),
        (glyphs.draining, "draining", Role::Note),
        (glyphs.down, "down", Role::Down),
        (glyphs.fault, "injected", Role::You),
    ];
    let pieces: Vec<Piece> =
        words.iter().map(|(glyph, word, role)| piece(format!("{glyph} {word}  "), *role)).collect();
    if inner.height > 3 {
        pen::line(buf, inner, inner.height - 1, model.theme(), &pieces);
    }
}
