//! A table whose columns have fixed widths: a name, and figures right of it, as many as fit.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::format::{cut, width};
use crate::tui::model::{Model, Panel};
use crate::tui::theme::Role;

use super::pen::{self, Piece, piece};

/// Columns of names.
const NAME: usize = 20;

/// A row: its name, and the cells right of it.
pub(super) type SheetRow = (String, Vec<Piece>);

/// What is drawn in the place of the nodes.
pub(super) struct Sheet<'a> {
    pub(super) title: &'static str,
    pub(super) aside: String,
    /// What stands above the names.
    pub(super) heading: &'static str,
    /// What stands above a column, and how wide it is.
    pub(super) columns: &'a [(&'static str, usize)],
    pub(super) rows: Vec<SheetRow>,
}

pub(super) fn draw(model: &Model, sheet: &Sheet<'_>, area: Rect, buf: &mut Buffer) {
    let rows = &sheet.rows;
    let title = [piece(format!("{} {}", sheet.title, rows.len()), Role::Title)];
    let inner = pen::panel(model, Panel::Nodes, area, buf, &title, &sheet.aside);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let shown = fits(sheet.columns, inner.width);
    pen::line(buf, inner, 0, model.theme(), &[piece(heading(sheet, shown), Role::Dim)]);
    let body = inner.height.saturating_sub(1);
    let fit = usize::from(body);
    let fit = if rows.len() > fit { fit.saturating_sub(1) } else { fit };
    let mut y = 1;
    for (name, cells) in rows.iter().take(fit) {
        let name = cut(name, NAME - 1, model.glyphs().more);
        let pad = NAME.saturating_sub(width(&name));
        let mut pieces = vec![piece(format!("{name}{}", " ".repeat(pad)), Role::Strong)];
        for ((text, role), (_, width)) in cells.iter().zip(sheet.columns).take(shown) {
            pieces.push(piece(format!("{text:>width$}"), *role));
        }
        pen::line(buf, inner, y, model.theme(), &pieces);
        y += 1;
    }
    if rows.is_empty() && body > 0 {
        let none = format!("  this run has no {}", sheet.title.to_lowercase());
        pen::line(buf, inner, 1, model.theme(), &[piece(none, Role::Dim)]);
    }
    if rows.len() > fit && body > 0 {
        let more = [piece(format!("  and {} more", rows.len() - fit), Role::Dim)];
        pen::line(buf, inner, y, model.theme(), &more);
    }
}

/// Returns how many columns fit.
fn fits(columns: &[(&str, usize)], width: u16) -> usize {
    let mut room = usize::from(width).saturating_sub(NAME);
    let fits = columns.iter().take_while(|(_, width)| {
        let fits = *width <= room;
        room = room.saturating_sub(*width);
        fits
    });
    fits.count()
}

fn heading(sheet: &Sheet<'_>, shown: usize) -> String {
    let mut text = format!("{:<NAME$}", sheet.heading);
    for (title, width) in &sheet.columns[..shown] {
        text.push_str(&format!("{title:>width$}"));
    }
    text
}
