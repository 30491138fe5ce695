//! Keys of the view of events: which entry is selected, and which are listed.

use crate::metrics::LogLevel;
use crate::tui::keys::KeyAction;
use crate::tui::lists::matches;
use crate::tui::model::{Model, Overlay};

use super::moved;

pub(super) fn events(model: &mut Model, action: KeyAction) {
    match action {
        KeyAction::Kind => kind(model),
        KeyAction::One => one(model),
        KeyAction::Next => search(model, true),
        KeyAction::Previous => search(model, false),
        KeyAction::Accept => model.ui.overlay = Overlay::Card,
        other => {
            let Some(last) = model.events().len().checked_sub(1) else { return };
            let page = crate::tui::layout::event_rows(model).max(1);
            select(model, moved(other, model.event_at(), last, page));
        }
    }
}

/// Selects a row. Who goes to the newest follows again; else what is read stays where it is.
fn select(model: &mut Model, at: usize) {
    let rows = crate::tui::layout::event_rows(model).max(1);
    let top = model.event_top().clamp((at + 1).saturating_sub(rows), at);
    let id = |at: usize| model.events().get(at).map(|entry| entry.id);
    let (first, chosen) = (id(top), id(at));
    model.ui.events.at = if at == 0 { None } else { chosen };
    model.ui.events.top = if top == 0 && at == 0 { None } else { first };
}

/// Goes through everything, what somebody did on purpose, what is bad, what is odd, what is good.
fn kind(model: &mut Model) {
    model.ui.events.kind = match model.ui.events.kind {
        None => Some(LogLevel::Injected),
        Some(LogLevel::Injected) => Some(LogLevel::Error),
        Some(LogLevel::Error) => Some(LogLevel::Warning),
        Some(LogLevel::Warning) => Some(LogLevel::Info),
        Some(LogLevel::Info) => None,
    };
}

/// Lists what is about the node of the selected entry, or of the selected row of nodes; or all again.
fn one(model: &mut Model) {
    let here = model.events().get(model.event_at()).and_then(|entry| entry.node);
    model.ui.events.node = match model.ui.events.node {
        Some(_) => None,
        None => here.or(model.ui.selected),
    };
    if model.ui.events.node.is_none() && here.is_none() {
        model.ui.notice = Some("this entry is about no node".to_owned());
    }
}

/// Goes to the next older or newer entry that has what was searched for.
fn search(model: &mut Model, older: bool) {
    let typed = &model.ui.events.search;
    let at = model.event_at();
    let events = model.events();
    let mut found = events.iter().enumerate().filter(|(_, entry)| matches(typed, &[&entry.text]));
    let next = if older {
        found.find(|(place, _)| *place > at)
    } else {
        found.rfind(|(place, _)| *place < at)
    };
    match next.map(|(place, _)| place) {
        Some(place) => select(model, place),
        None => model.ui.notice = Some(format!("`{typed}` is found no further")),
    }
}

/// Goes to the first entry, from the selected one on, that has what was typed.
pub(super) fn jump(model: &mut Model) {
    let typed = &model.ui.events.search;
    let at = model.event_at();
    let events = model.events();
    let mut found = events.iter().enumerate().filter(|(_, entry)| matches(typed, &[&entry.text]));
    if let Some((place, _)) = found.find(|(place, _)| *place >= at) {
        select(model, place);
    }
}
