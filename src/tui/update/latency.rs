//! Keys of the view of latencies: where the cursor stands, and what is in the map.

use crate::metrics::HeatScope;
use crate::tui::keys::KeyAction;
use crate::tui::model::Model;
use crate::unit::ClassId;

use super::{moved, travel_nodes};

/// Moves the cursor, or does something to what is in the map.
pub(super) fn latency(model: &mut Model, action: KeyAction) {
    match action {
        KeyAction::Earlier => step(model, |at| at.saturating_sub(1)),
        KeyAction::Later => step(model, |at| at + 1),
        KeyAction::MuchEarlier => step(model, |at| at.saturating_sub(10)),
        KeyAction::MuchLater => step(model, |at| at + 10),
        KeyAction::First => step(model, |_| 0),
        KeyAction::Last => step(model, |_| usize::MAX),
        KeyAction::Longer | KeyAction::Shorter => row(model, action),
        KeyAction::Metric => model.ui.heat.first_token = !model.ui.heat.first_token,
        KeyAction::Ramp => model.ui.heat.linear = !model.ui.heat.linear,
        KeyAction::One => scope(model),
        other => {
            travel_nodes(model, other);
            follow(model);
        }
    }
}

/// Moves the cursor by columns. At the newest one it follows again.
fn step(model: &mut Model, to: impl Fn(usize) -> usize) {
    let Some(ticks) = model.heat_ticks() else {
        return;
    };
    let next = to(model.heat_column(&ticks));
    let newest = next >= ticks.count - 1;
    model.ui.heat.cursor = (!newest).then(|| ticks.start(next));
}

fn row(model: &mut Model, action: KeyAction) {
    let Some((ticks, grid, rows)) = model.heat() else {
        return;
    };
    let last = usize::from(rows.count) - 1;
    let here = model.ui.heat.row.and_then(|code| rows.place(code)).map(usize::from);
    // The first key press goes to the row with most.
    let fullest = || {
        let column = &grid.columns[model.heat_column(&ticks)];
        let counts = rows.all().map(|from| column.row(from, rows.parts)).enumerate();
        counts.max_by_key(|(_, count)| *count).map_or(0, |(row, _)| row)
    };
    let next = match here {
        Some(at) if action == KeyAction::Longer => moved(KeyAction::Down, at, last, 1),
        Some(at) => moved(KeyAction::Up, at, last, 1),
        None => fullest(),
    };
    model.ui.heat.row = rows.all().nth(next);
}

/// Goes through everything, each class, and the node that is selected.
fn scope(model: &mut Model) {
    let classes = model.snapshot().map_or(0, |snapshot| snapshot.classes.len());
    let class = |at: usize| HeatScope::Class(ClassId(at as u16));
    let node = model.ui.selected.or_else(|| {
        let snapshot = model.snapshot()?;
        model.order.first().map(|at| snapshot.nodes[*at].id)
    });
    let after_classes = node.map_or(HeatScope::All, HeatScope::Node);
    let next = match model.ui.heat.scope {
        // One class is everything.
        HeatScope::All if classes > 1 => class(0),
        HeatScope::Class(id) if id.index() + 1 < classes => class(id.index() + 1),
        HeatScope::All | HeatScope::Class(_) => after_classes,
        HeatScope::Node(_) => HeatScope::All,
    };
    if let HeatScope::Node(id) = next {
        model.ui.selected = Some(id);
    }
    model.ui.heat.scope = next;
}

/// A map of one node goes with the selection.
fn follow(model: &mut Model) {
    if let (HeatScope::Node(_), Some(id)) = (model.ui.heat.scope, model.ui.selected) {
        model.ui.heat.scope = HeatScope::Node(id);
    }
}
