//! The picture: from the model to cells, one file a view or a panel. Everything here is a pure
//! function of the model and the area; nothing asks for the time, the environment or the terminal.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::layout::{self, SIZE_MIN};
use super::model::{Model, Overlay};
use super::tab::View;
use super::theme::Role;

mod compare;
mod decision;
mod events;
mod expects;
mod faults;
mod figures;
mod ghost;
mod grid;
mod groups;
mod hindsight;
mod hints;
mod lane;
mod latency;
mod live;
mod log;
mod node_card;
mod nodes;
mod palette;
mod pen;
mod picker;
mod plot;
mod pools;
mod sheet;
mod state_bar;
pub(in crate::tui) mod why;

/// The whole screen, in the size it has.
pub(super) fn picture(model: &Model) -> Buffer {
    let (columns, rows) = model.ui.size;
    let area = Rect::new(0, 0, columns, rows);
    let mut picture = Buffer::empty(area);
    view(model, area, &mut picture);
    picture
}

/// Returns the view whose tab stands in this column of the first row.
pub(super) fn tab_at(model: &Model, x: u16) -> Option<View> {
    let (columns, rows) = model.ui.size;
    let strip = layout::live(model, Rect::new(0, 0, columns, rows))?.strip;
    state_bar::tab_at(model, strip, x)
}

/// Draws the whole screen.
pub(super) fn view(model: &Model, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    buf.set_style(area, model.theme().style(Role::Ground));
    let Some(layout) = layout::live(model, area) else {
        too_small(model, area, buf);
        return;
    };
    state_bar::draw(model, layout.strip, buf);
    if model.ui.view == View::Latency {
        latency::strip(model, layout.figures, buf);
    } else {
        figures::draw(model, layout.figures, buf);
    }
    if layout.promises.height > 0 {
        expects::draw(model, layout.promises, buf);
    }
    match model.ui.view {
        View::Live => live::draw(model, &layout, buf),
        View::Compare => compare::draw(model, layout.body, buf),
        View::Latency => latency::draw(model, layout.body, buf),
        View::Why => why::draw(model, layout.body, buf),
        View::Events => events::draw(model, layout.body, buf),
    }
    draw_overlay(model, layout.body, buf);
    hints::draw(model, layout.hints, buf);
    if !model.glyphs().braille {
        plain(area, buf);
    }
}

/// Replaces what the dashboard's own words have beyond ASCII. Names are left as they are.
fn plain(area: Rect, buf: &mut Buffer) {
    for position in area.positions() {
        let Some(cell) = buf.cell_mut(position) else {
            continue;
        };
        let instead = match cell.symbol() {
            "…" => '~',
            "×" => 'x',
            "→" => '>',
            "·" => '-',
            "↑" => '^',
            "↓" => 'v',
            "←" => '<',
            "√" => 'r',
            _ => continue,
        };
        cell.set_char(instead);
    }
}

fn draw_overlay(model: &Model, body: Rect, buf: &mut Buffer) {
    match model.ui.overlay {
        Overlay::Palette { at, .. } => palette::draw(model, at, body, buf),
        Overlay::None | Overlay::Filter | Overlay::Search | Overlay::Columns => {}
        Overlay::Card if model.ui.view == View::Events => events::card(model, body, buf),
        Overlay::Card => node_card::draw(model, body, buf),
        Overlay::Pools { at } => picker::pools(model, at, body, buf),
        Overlay::Strategies { pool, at } => picker::strategies(model, pool, at, body, buf),
        Overlay::Faults => faults::draw(model, body, buf),
        Overlay::Contenders { at } => picker::contenders(model, at, body, buf),
    }
}

fn too_small(model: &Model, area: Rect, buf: &mut Buffer) {
    let (columns, rows) = SIZE_MIN;
    let lines = [
        "plimsoll needs more room".to_owned(),
        format!("{}x{} is too small", area.width, area.height),
        format!("{columns}x{rows} is enough"),
        "q quits".to_owned(),
    ];
    let top = area.y + area.height.saturating_sub(lines.len() as u16) / 2;
    for (line, y) in lines.iter().zip(top..area.bottom()) {
        pen::centred(buf, Rect { y, height: 1, ..area }, line, model.theme().style(Role::Text));
    }
}
