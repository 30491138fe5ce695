//! The mouse, where it is wanted: a click selects what is under it, the wheel moves up and down.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use crate::tui::keys::KeyAction;
use crate::tui::layout;
use crate::tui::model::{Model, Overlay, Panel, RowsOf};
use crate::tui::tab::View;
use crate::tui::view;

use super::{Effect, perform, show};

/// Rows of the nodes table above its first node: the frame and the heading.
const ABOVE_NODES: u16 = 2;
/// Rows for one notch of the wheel.
const NOTCH: usize = 3;

pub(super) fn used(model: &mut Model, event: MouseEvent) -> Vec<Effect> {
    match event.kind {
        MouseEventKind::ScrollUp => wheel(model, KeyAction::Up),
        MouseEventKind::ScrollDown => wheel(model, KeyAction::Down),
        MouseEventKind::Down(MouseButton::Left) => click(model, event.column, event.row),
        _ => Vec::new(),
    }
}

fn wheel(model: &mut Model, action: KeyAction) -> Vec<Effect> {
    (0..NOTCH).flat_map(|_| perform(model, action)).collect()
}

fn click(model: &mut Model, x: u16, y: u16) -> Vec<Effect> {
    match model.ui.overlay {
        Overlay::None => {}
        // Beside the details of one thing is out of them.
        Overlay::Card => model.ui.overlay = Overlay::None,
        _ => return Vec::new(),
    }
    if y == 0 {
        let tab = view::tab_at(model, x);
        return tab.map_or_else(Vec::new, |view| show(model, view));
    }
    if model.ui.view != View::Live {
        return Vec::new();
    }
    let (columns, rows) = model.ui.size;
    let Some(layout) = layout::live(model, Rect::new(0, 0, columns, rows)) else {
        return Vec::new();
    };
    let under = |place: &Rect| place.contains(Position { x, y });
    let Some((panel, place)) = layout.panels.into_iter().find(|(_, place)| under(place)) else {
        return Vec::new();
    };
    model.ui.focus = panel;
    if panel == Panel::Nodes && model.ui.rows == RowsOf::Nodes {
        select(model, y.checked_sub(place.y + ABOVE_NODES));
    }
    Vec::new()
}

/// Selects the node in this row of those in sight; one that is selected is told in full.
fn select(model: &mut Model, row: Option<u16>) {
    let (Some(row), Some(shown)) = (row, model.snapshot()) else { return };
    let Some(&index) = model.order.get(model.ui.top + usize::from(row)) else { return };
    let id = shown.nodes[index].id;
    if model.ui.selected == Some(id) {
        model.ui.overlay = Overlay::Card;
    }
    model.ui.selected = Some(id);
}
