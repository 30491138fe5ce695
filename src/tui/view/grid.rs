//! Many nodes at once: a cell each, in the order of the table, with what is selected told below.
//!
//! A cell says by its glyph how busy the node is, or that it is not up; by its colour the same.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::balance::NodeState;
use crate::metrics::NodeRow;
use crate::tui::format::{count, percent, percent_fine, rate, seconds_or};
use crate::tui::model::{Model, Panel};
use crate::tui::theme::Role;

use super::nodes::{self, BUSY, error_role, state_of};
use super::pen::{self, Piece, piece};

/// Rows below the grid: the legend, and the selected node.
const BELOW: u16 = 2;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let up =
        model.snapshot().map_or(0, |shown| shown.nodes.iter().filter(|row| is_up(row)).count());
    let count = model.order.len();
    let title = [
        piece(format!("Nodes {count}"), Role::Title),
        piece(format!("  {up} up"), if up < count { Role::Warn } else { Role::Dim }),
    ];
    let aside = format!("{} {} c: next", nodes::order(model), model.glyphs().dot);
    let inner = pen::panel(model, Panel::Nodes, area, buf, &title, &aside);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let Some(snapshot) = model.snapshot().filter(|_| count > 0) else {
        nodes::empty(model, inner, buf);
        return;
    };
    let below = BELOW.min(inner.height.saturating_sub(1));
    let cells = Rect { height: inner.height - below, ..inner };
    let (columns, step) = columns(cells, count);
    let first = first_shown(model, cells.height, columns);
    let shown =
        model.order.iter().enumerate().skip(first).take(columns * usize::from(cells.height));
    for (place, &index) in shown {
        let (x, y) = ((place - first) % columns, (place - first) / columns);
        let (x, y) = (cells.x + x as u16 * step, cells.y + y as u16);
        let row = &snapshot.nodes[index];
        let (glyph, style) = cell(model, row);
        pen::cell(buf, cells, x, y, glyph, style);
    }
    let last = (first + columns * usize::from(cells.height)).min(count);
    told(model, inner, below, (first, last, count), buf);
}

fn is_up(row: &NodeRow) -> bool {
    row.state == NodeState::Up && !row.kept_in
}

/// How many cells stand side by side, and how far apart: with air between them where all fit so.
fn columns(area: Rect, count: usize) -> (usize, u16) {
    let airy = usize::from(area.width.div_ceil(2).max(1));
    if airy * usize::from(area.height) >= count {
        (airy, 2)
    } else {
        (usize::from(area.width.max(1)), 1)
    }
}

/// The first node in sight: whole rows, so that the selected one is among them.
fn first_shown(model: &Model, rows: u16, columns: usize) -> usize {
    let row = model.selected_row().unwrap_or(0) / columns;
    let rows = usize::from(rows.max(1));
    let last = model.order.len().div_ceil(columns).saturating_sub(rows);
    (row + 1).saturating_sub(rows).min(last) * columns
}

fn cell(model: &Model, row: &NodeRow) -> (&'static str, Style) {
    let (theme, glyphs) = (model.theme(), model.glyphs());
    let (state, _, role) = state_of(row, glyphs);
    let busy = busy(model, row).clamp(0.0, 1.0);
    let (glyph, role) = match role {
        Role::Up => {
            let levels = glyphs.levels;
            let level = (busy * levels.len() as f64) as usize;
            let hot = busy >= BUSY;
            (levels[level.min(levels.len() - 1)], if hot { Role::BarHot } else { Role::BarFull })
        }
        other => (state, other),
    };
    let role = if row.fault && is_up(row) { Role::You } else { role };
    let selected = model.ui.selected == Some(row.id);
    (glyph, if selected { theme.on_selected(role) } else { theme.style(role) })
}

/// How busy a node is; where that is not known, how its share is to the greatest.
fn busy(model: &Model, row: &NodeRow) -> f64 {
    let share = || row.share / model.widths.share.max(f64::MIN_POSITIVE);
    row.utilisation.unwrap_or_else(share)
}

/// What the glyphs mean, and the selected node.
fn told(
    model: &Model,
    inner: Rect,
    below: u16,
    (first, last, count): (usize, usize, usize),
    buf: &mut Buffer,
) {
    let glyphs = model.glyphs();
    let [least, .., most] = glyphs.levels;
    let mut legend = vec![
        piece("idle ", Role::Dim),
        piece(format!("{least}{}{}{most}", glyphs.levels[1], glyphs.levels[2]), Role::BarFull),
        piece(" busy  ", Role::Dim),
        piece(glyphs.slow, Role::Warn),
        piece(" slow  ", Role::Dim),
        piece(glyphs.limited, Role::Warn),
        piece(" limited  ", Role::Dim),
        piece(glyphs.down, Role::Down),
        piece(" down", Role::Dim),
    ];
    if last - first < count {
        legend.push(piece(format!("   {}-{last} of {count}", first + 1), Role::Dim));
    }
    let rows = [selected(model), legend];
    let shown = rows.iter().take(usize::from(below));
    for (pieces, y) in shown.zip(inner.height - below..inner.height) {
        pen::line(buf, inner, y, model.theme(), pieces);
    }
}

fn selected(model: &Model) -> Vec<Piece> {
    let Some(row) = model.ui.selected.and_then(|id| model.node(id)) else {
        return vec![piece("j and k select a node", Role::Dim)];
    };
    let glyphs = model.glyphs();
    let (state, word, role) = state_of(row, glyphs);
    let most = row.capacity.map_or(String::new(), |most| format!("/{}", count(most.into())));
    let number = |text: String| piece(text, Role::Text);
    vec![
        piece(format!("{} {}  ", glyphs.cursor, row.name), Role::Strong),
        piece(format!("{state} {word}"), role),
        piece("  in-fl ", Role::Dim),
        number(format!("{}{most}", count(row.in_flight.into()))),
        piece("  util ", Role::Dim),
        number(row.utilisation.map_or_else(|| glyphs.none.to_owned(), percent)),
        piece("  req/s ", Role::Dim),
        number(rate(row.requests_per_s)),
        piece("  p99 ", Role::Dim),
        number(seconds_or(row.p99, glyphs.none)),
        piece("  err ", Role::Dim),
        piece(percent_fine(row.error_share), error_role(row.error_share)),
    ]
}
