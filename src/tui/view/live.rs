//! The live view: nodes, charts, the last decision and what happened, as many of them as have room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::layout::Layout;
use crate::tui::model::{Model, Panel, RowsOf};

use super::{decision, grid, groups, log, nodes, plot, pools};

pub(super) fn draw(model: &Model, layout: &Layout, buf: &mut Buffer) {
    for (panel, place) in &layout.panels {
        draw_panel(model, layout, *panel, *place, buf);
    }
}

fn draw_panel(model: &Model, layout: &Layout, panel: Panel, area: Rect, buf: &mut Buffer) {
    match panel {
        Panel::Nodes => rows(model, area, buf),
        Panel::Pools => pools::draw(model, area, buf),
        Panel::Latency => plot::latency(model, area, buf),
        Panel::Cost => plot::cost(model, area, buf),
        Panel::Load => plot::load(model, area, buf),
        Panel::Decision => decision::draw(model, !layout.has(Panel::Pools), area, buf),
        Panel::Log => log::draw(model, area, buf),
    }
}

/// The table that has the place of the nodes.
fn rows(model: &Model, area: Rect, buf: &mut Buffer) {
    match model.ui.rows {
        RowsOf::Nodes => nodes::draw(model, area, buf),
        RowsOf::Grid => grid::draw(model, area, buf),
        RowsOf::Pools | RowsOf::Regions => groups::rolled_up(model, area, buf),
        RowsOf::Classes | RowsOf::Tenants | RowsOf::Jobs => groups::draw(model, area, buf),
    }
}
