//! Writing on the buffer: text that stays inside its area, frames with titles, and lists of facts
//! of which the least important are left out, never cut.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::format::{cut, width};
use crate::tui::model::{Model, Overlay, Panel};
use crate::tui::tab::View;
use crate::tui::theme::{Role, Theme};

/// A piece of text and what it is.
pub(super) type Piece = (String, Role);

/// Shortens the making of a piece.
pub(super) fn piece(text: impl Into<String>, role: Role) -> Piece {
    (text.into(), role)
}

/// Writes text at a place inside `area` and returns the column after it. What does not fit is
/// left out.
pub(super) fn put(buf: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
    let area = area.intersection(buf.area);
    if y < area.y || y >= area.bottom() || x < area.x || x >= area.right() {
        return x;
    }
    let room = usize::from(area.right() - x);
    buf.set_stringn(x, y, text, room, style).0
}

/// Writes one character into a cell of `area`: charts have thousands of them.
pub(super) fn cell(buf: &mut Buffer, area: Rect, x: u16, y: u16, glyph: &str, style: Style) {
    if x < area.x || x >= area.right() || y < area.y || y >= area.bottom() {
        return;
    }
    if let Some(cell) = buf.cell_mut((x, y)) {
        cell.set_symbol(glyph).set_style(style);
    }
}

/// Writes pieces one after the other on a row of `area`; the last that does not fit is shortened.
pub(super) fn line(buf: &mut Buffer, area: Rect, row: u16, theme: Theme, pieces: &[Piece]) {
    let mut x = area.x;
    for (text, role) in pieces {
        let room = usize::from(area.right().saturating_sub(x));
        x = put(
            buf,
            area,
            x,
            area.y.saturating_add(row),
            &cut(text, room, "…"),
            theme.style(*role),
        );
    }
}

/// Writes rows from top to bottom; where not all fit, the last line says how many are missing.
pub(super) fn lines(buf: &mut Buffer, area: Rect, theme: Theme, rows: &[Vec<Piece>]) {
    let told = |row: &&Vec<Piece>| !row.is_empty();
    let fit = usize::from(area.height);
    let missing = rows.iter().skip(fit.saturating_sub(1)).filter(told).count();
    let whole = rows.len() <= fit || missing == 0;
    let shown = if whole { fit } else { fit.saturating_sub(1) };
    for (y, row) in (0..area.height).zip(rows.iter().take(shown)) {
        line(buf, area, y, theme, row);
    }
    if !whole && area.height > 0 {
        let more = [piece(format!("+{missing} lines: e expands the panel"), Role::Dim)];
        line(buf, area, area.height - 1, theme, &more);
    }
}

/// Writes text in the middle of a row.
pub(super) fn centred(buf: &mut Buffer, area: Rect, text: &str, style: Style) {
    let text = cut(text, usize::from(area.width), "…");
    let x = area.x + (area.width.saturating_sub(width(&text) as u16)) / 2;
    put(buf, area, x, area.y, &text, style);
}

/// Writes text that ends at the right edge of a row.
pub(super) fn right(buf: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    let text = cut(text, usize::from(area.width), "…");
    let x = area.right().saturating_sub(width(&text) as u16);
    put(buf, area, x, area.y.saturating_add(row), &text, style);
}

/// Draws the frame of a panel and returns what is inside.
pub(super) fn panel(
    model: &Model,
    panel: Panel,
    area: Rect,
    buf: &mut Buffer,
    title: &[Piece],
    aside: &str,
) -> Rect {
    // An open overlay has the keys, so no panel does.
    let focused =
        model.ui.focus == panel && matches!(model.ui.overlay, Overlay::None | Overlay::Filter);
    frame(model, focused, area, buf, title, aside)
}

/// Draws a frame with a title at the left and an aside at the right.
pub(super) fn frame(
    model: &Model,
    focused: bool,
    area: Rect,
    buf: &mut Buffer,
    title: &[Piece],
    aside: &str,
) -> Rect {
    let theme = model.theme();
    let border = theme.style(if focused { Role::Focus } else { Role::Border });
    outline(area, buf, model.glyphs().border, border);
    let room = usize::from(area.width.saturating_sub(6));
    let titles: Vec<Piece> = title
        .iter()
        .map(|(text, role)| match role {
            Role::Title if !focused => piece(text, Role::Text),
            _ => piece(text, *role),
        })
        .collect();
    let used: usize = titles.iter().map(|(text, _)| width(text)).sum();
    let inside = Rect { x: area.x + 3, width: room as u16, height: 1, ..area };
    if area.width >= 8 && used > 0 {
        let taken = used.min(room) as u16;
        put(buf, area, area.x + 2, area.y, " ", border);
        line(buf, inside, 0, theme, &titles);
        put(buf, area, area.x + 3 + taken, area.y, " ", border);
    }
    if !aside.is_empty() && used + width(aside) + 4 <= room {
        let text = format!(" {aside} ");
        let place = Rect { x: area.x, width: area.width.saturating_sub(2), ..area };
        right(buf, place, 0, &text, theme.style(Role::Dim));
    }
    Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height.saturating_sub(2))
}

fn outline(area: Rect, buf: &mut Buffer, glyphs: [&str; 6], style: Style) {
    let [top_left, top_right, low_left, low_right, flat, upright] = glyphs;
    if area.width < 2 || area.height < 2 {
        return;
    }
    let middle = flat.repeat(usize::from(area.width - 2));
    let (last, bottom) = (area.right() - 1, area.bottom() - 1);
    put(buf, area, area.x, area.y, &format!("{top_left}{middle}{top_right}"), style);
    put(buf, area, area.x, bottom, &format!("{low_left}{middle}{low_right}"), style);
    for y in area.y + 1..bottom {
        put(buf, area, area.x, y, upright, style);
        put(buf, area, last, y, upright, style);
    }
}

/// Draws one thing in full over the middle of the screen, as high as it needs.
pub(super) fn card(model: &Model, title: &str, rows: &[Vec<Piece>], body: Rect, buf: &mut Buffer) {
    let title = [piece(cut(title, 40, "…"), Role::Title)];
    let dot = model.glyphs().dot;
    let aside = format!("j k another {dot} Esc closes");
    let size = (92, rows.len().min(100) as u16 + 2);
    let inner = overlay(model, size, body, buf, &title, &aside);
    for (row, y) in rows.iter().zip(0..inner.height) {
        line(buf, inner, y, model.theme(), row);
    }
}

/// Opens an overlay in the middle, of at most so many columns and rows, frame included. Returns what is
/// inside.
pub(super) fn overlay(
    model: &Model,
    (columns, rows): (u16, u16),
    body: Rect,
    buf: &mut Buffer,
    title: &[Piece],
    aside: &str,
) -> Rect {
    let (width, height) = (body.width.min(columns), body.height.min(rows));
    let x = body.x + (body.width - width) / 2;
    over(
        model,
        Rect { x, y: body.y + (body.height - height) / 2, width, height },
        buf,
        title,
        aside,
    )
}

/// The same at the right of a wide screen, so that the left half stays in sight.
pub(super) fn docked(
    model: &Model,
    (columns, rows): (u16, u16),
    body: Rect,
    buf: &mut Buffer,
    title: &[Piece],
    aside: &str,
) -> Rect {
    if !is_docked(model, body) {
        return overlay(model, (columns, rows), body, buf, title, aside);
    }
    let (width, height) = ((body.width / 2 - 1).min(columns), body.height.min(rows));
    let x = body.right() - width;
    over(
        model,
        Rect { x, y: body.y + (body.height - height) / 2, width, height },
        buf,
        title,
        aside,
    )
}

/// From so many columns on, lists with what is foreseen stand beside the chart.
const DOCKED: u16 = 180;

/// Returns whether lists leave the chart of latency in sight.
pub(super) fn is_docked(model: &Model, body: Rect) -> bool {
    model.ui.view == View::Live && body.width >= DOCKED
}

/// Opens an overlay here. Returns the room in it.
fn over(model: &Model, area: Rect, buf: &mut Buffer, title: &[Piece], aside: &str) -> Rect {
    clear(model, area, buf);
    let inner = frame(model, true, area, buf, title, aside);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// Makes room for an overlay: blanks the area.
fn clear(model: &Model, area: Rect, buf: &mut Buffer) {
    let style = model.theme().style(Role::Ground);
    let area = area.intersection(buf.area);
    for position in area.positions() {
        if let Some(cell) = buf.cell_mut(position) {
            cell.reset();
            cell.set_style(style);
        }
    }
}

/// A fact of a bar: its pieces, and how important it is.
#[derive(Debug)]
pub(super) struct LabelledFact {
    pub(super) pieces: Vec<Piece>,
    pub(super) rank: u8,
}

impl LabelledFact {
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(text, _)| width(text)).sum()
    }
}

/// Drops the facts of lowest rank until the rest fits, `gap` columns between them.
pub(super) fn fit(mut facts: Vec<LabelledFact>, room: usize, gap: usize) -> Vec<LabelledFact> {
    let needed = |facts: &[LabelledFact]| {
        let text: usize = facts.iter().map(LabelledFact::width).sum();
        text + gap * facts.len().saturating_sub(1)
    };
    while needed(&facts) > room {
        let Some(rank) = facts.iter().map(|fact| fact.rank).min() else {
            break;
        };
        // Of equals the rightmost goes first.
        let Some(place) = facts.iter().rposition(|fact| fact.rank == rank) else {
            break;
        };
        facts.remove(place);
    }
    facts
}

/// Writes facts from left to right and returns the column after the last.
pub(super) fn facts(
    buf: &mut Buffer,
    area: Rect,
    theme: Theme,
    facts: &[LabelledFact],
    gap: u16,
) -> u16 {
    let mut x = area.x;
    for (place, fact) in facts.iter().enumerate() {
        if place > 0 {
            x += gap;
        }
        for (text, role) in &fact.pieces {
            x = put(buf, area, x, area.y, text, theme.style(*role));
        }
    }
    x
}
