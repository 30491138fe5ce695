//! What is foreseen of latency, as lines ahead of now: of the line that is selected in an open list, and of
//! nothing being done.

use crate::balance::usable;
use crate::command::Foreseen;
use crate::tui::chart::ChartWindow;
use crate::tui::format::cut;
use crate::tui::lists;
use crate::tui::model::{Model, Overlay};
use crate::tui::steer;
use crate::tui::theme::Role;
use crate::unit::{Span, Time};

use super::pen::{Piece, piece};

/// Columns of a name at the end of a line.
const LABEL: usize = 7;

/// A line ahead of now.
pub(super) struct Ghost {
    pub(super) role: Role,
    /// What is written at its end.
    pub(super) label: String,
    /// What would be done.
    name: String,
    seen: Foreseen,
    /// What lies before has come to pass by now.
    now: Time,
}

impl Ghost {
    /// Its values by column of dots, from now on.
    pub(super) fn values(&self, window: &ChartWindow) -> impl Iterator<Item = (u16, Option<f64>)> {
        let points = self.seen.line.iter().filter(|point| point.at >= self.now);
        points.filter_map(|point| Some((window.place(point.at)?, point.p99.map(Span::seconds))))
    }
}

/// What is to be drawn ahead of now: nothing unless a list is open of whose selected line it is known.
pub(super) fn of(model: &Model) -> Vec<Ghost> {
    let Some((place, name)) = selected(model) else { return Vec::new() };
    let Some((seen, as_is)) = steer::foreseen(model, place) else { return Vec::new() };
    let now = model.snapshot().map_or(Time::ZERO, |shown| shown.now);
    let ghost = |role, name: &str, seen| {
        let label = cut(name, LABEL, "…");
        Ghost { role, label, name: name.to_owned(), seen, now }
    };
    let calm = as_is.map(|seen| ghost(Role::Dim, "as is", seen));
    // What would be done is drawn over what comes of nothing.
    calm.into_iter().chain([ghost(Role::Ghost, &name, seen)]).collect()
}

/// The place in what is foreseen, and the name, of what is selected.
fn selected(model: &Model) -> Option<(usize, String)> {
    match model.ui.overlay {
        Overlay::Faults => {
            let fault = model.ui.faults.selected()?;
            Some((model.ui.faults.at, fault.name.to_owned()))
        }
        Overlay::Strategies { at, .. } => {
            let place = *lists::strategies(model).get(at)?;
            let entry = place.checked_sub(1).and_then(|at| usable().get(at));
            Some((place, entry.map_or("planned", |entry| entry.name).to_owned()))
        }
        _ => None,
    }
}

/// What the title of the chart says of them.
pub(super) fn title(ghosts: &[Ghost]) -> Vec<Piece> {
    let named = |ghost: &Ghost| piece(format!("  - - {}", ghost.name), ghost.role);
    ghosts.iter().rev().map(named).collect()
}
