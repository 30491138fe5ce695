//! The view of everything that happened: the whole log, newest first, filtered and searched; one entry
//! with all that is known of it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{LogEntry, LogLevel};
use crate::tui::format::grouped;
use crate::tui::lists::matches;
use crate::tui::model::{Model, Overlay};
use crate::tui::theme::Role;
use crate::unit::Time;

use super::log::{role, row_of};
use super::pen::{self, Piece, piece};
use super::picker::wrap;

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let events = model.events();
    let title = [piece("Events ", Role::Title), piece(events.len().to_string(), Role::Title)];
    let focused = matches!(model.ui.overlay, Overlay::None | Overlay::Search);
    let inner = pen::frame(model, focused, body, buf, &title, &aside(model));
    if events.is_empty() {
        let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
        let style = model.theme().style(Role::Dim);
        pen::centred(buf, middle.intersection(inner), "nothing of this kind has happened", style);
    }
    let now = model.snapshot().map_or(Time::ZERO, |snapshot| snapshot.now);
    let (top, at) = (model.event_top(), model.event_at());
    for ((place, entry), y) in events.iter().enumerate().skip(top).zip(0..inner.height) {
        let line = Rect { y: inner.y + y, height: 1, ..inner };
        let mut pieces = row_of(entry, now, inner.width.saturating_sub(1), model.glyphs());
        let found =
            !model.ui.events.search.is_empty() && matches(&model.ui.events.search, &[&entry.text]);
        let selected = place == at;
        if selected {
            buf.set_style(line.intersection(buf.area), model.theme().style(Role::Selected));
            pieces.iter_mut().for_each(|piece| piece.1 = Role::Selected);
        }
        let sign = match (selected, found) {
            (true, _) => piece(model.glyphs().cursor, Role::Selected),
            (false, true) => piece("*", Role::Key),
            (false, false) => piece(" ", Role::Text),
        };
        pieces.insert(0, sign);
        pen::line(buf, line, 0, model.theme(), &pieces);
    }
}

/// Which entries are listed.
fn aside(model: &Model) -> String {
    let look = &model.ui.events;
    let mut words = Vec::new();
    if !look.search.is_empty() {
        words.push(format!("search {}", look.search));
    }
    if let Some(node) = look.node {
        words.push(format!("node {}", model.node(node).map_or("that is gone", |row| &row.name)));
    }
    words.push(kind(look.kind).to_owned());
    if look.at.is_some() {
        words.push(format!("{} newer", model.event_at()));
    }
    let left = model.snapshot().map_or(0, |snapshot| snapshot.log_dropped);
    if left > 0 {
        words.push(format!("{} older ones are gone", grouped(left)));
    }
    words.join(&format!(" {} ", model.glyphs().dot))
}

const fn kind(kind: Option<LogLevel>) -> &'static str {
    match kind {
        None => "all kinds",
        Some(LogLevel::Injected) => "on purpose",
        Some(LogLevel::Error) => "errors",
        Some(LogLevel::Warning) => "warnings",
        Some(LogLevel::Info) => "news",
    }
}

/// The selected entry with all that is known of it, and what else happened to its node.
pub(super) fn card(model: &Model, body: Rect, buf: &mut Buffer) {
    let events = model.events();
    let Some(entry) = events.get(model.event_at()) else { return };
    let inside = usize::from(body.width.min(92).saturating_sub(4));
    let mut rows: Vec<Vec<Piece>> = Vec::new();
    for text in wrap(&entry.text.replace("->", model.glyphs().arrow), inside) {
        rows.push(vec![piece(text, role(entry.level))]);
    }
    let fact = |name: &str, value: String| {
        vec![piece(format!("{name:<9}"), Role::Dim), piece(value, Role::Text)]
    };
    rows.push(Vec::new());
    rows.push(fact("when", entry.at.to_string()));
    if entry.count > 1 {
        rows.push(fact("until", entry.until.to_string()));
        rows.push(fact("so many", grouped(entry.count)));
    }
    rows.push(fact("kind", kind(Some(entry.level)).to_owned()));
    if let Some(request) = entry.request {
        rows.push(fact("request", grouped(request.0)));
    }
    if let Some(id) = entry.node {
        let name = model.node(id).map_or("that is gone", |row| &row.name);
        rows.push(fact("node", name.to_owned()));
        rows.push(Vec::new());
        rows.extend(of_node(model, entry, inside));
    }
    pen::card(model, "Event", &rows, body, buf);
}

fn of_node(model: &Model, entry: &LogEntry, width: usize) -> Vec<Vec<Piece>> {
    let log = model.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
    let others = log.iter().rev().filter(|other| other.node == entry.node && other.id != entry.id);
    let rows: Vec<Vec<Piece>> = others
        .take(6)
        .map(|other| row_of(other, Time::MAX, width as u16, model.glyphs()))
        .collect();
    if rows.is_empty() { vec![vec![piece("nothing else happened to it", Role::Dim)]] } else { rows }
}
