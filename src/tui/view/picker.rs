//! The strategy picker: which pool, then which strategy, with what each is good for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::balance::{StrategyDef, usable};
use crate::command::Foreseen;
use crate::tui::format::{cut, dollars, percent_fine, seconds, width};
use crate::tui::lists;
use crate::tui::model::Model;
use crate::tui::steer;
use crate::tui::theme::Role;
use crate::unit::{PoolId, Span, Time};

use super::pen::{self, Piece, piece};

/// Lines about the selected strategy below the list.
const ABOUT: u16 = 5;

pub(super) fn pools(model: &Model, at: usize, body: Rect, buf: &mut Buffer) {
    let pools = model.snapshot().map_or(&[][..], |snapshot| &snapshot.pools);
    let lines: Vec<PickerLine> = lists::pools(model)
        .into_iter()
        .filter_map(|place| pools.get(place))
        .map(|pool| PickerLine {
            name: pool.name.clone(),
            text: pool.strategy.clone(),
            now: false,
            ahead: None,
        })
        .collect();
    let inner = open(model, body, lines.len(), 0, buf, "Strategy of which pool?");
    list(model, &lines, at, inner, buf);
}

pub(super) fn strategies(model: &Model, pool: PoolId, at: usize, body: Rect, buf: &mut Buffer) {
    let now = model.strategy_of(pool);
    let ahead = model.frame.as_ref().is_some_and(|frame| frame.forecast.is_some());
    let planned = model.pool(pool).map(|row| row.planned.to_string()).unwrap_or_default();
    let places = lists::strategies(model);
    let lines: Vec<PickerLine> = places
        .iter()
        .map(|&place| {
            let entry = place.checked_sub(1).and_then(|at| usable().get(at));
            let name = entry.map_or("as in the scenario", |entry| entry.name).to_owned();
            let text = entry.map_or_else(|| planned.clone(), |entry| entry.summary.to_owned());
            let ahead = ahead.then(|| cells(model, place));
            PickerLine { name, text, now: now == Some(place), ahead }
        })
        .collect();
    let name = model.pool(pool).map_or("", |row| &row.name);
    let title = format!("Strategy of pool {}", cut(name, 24, "…"));
    let mut inner = open(model, body, lines.len(), ABOUT + u16::from(ahead), buf, &title);
    if ahead && inner.height > ABOUT + 2 {
        pen::line(buf, inner, 0, model.theme(), &outlook(model, &lines));
        inner = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    }
    let planned = model.pool(pool).map(|row| row.planned.entry());
    let entry = places.get(at).and_then(|place| match place.checked_sub(1) {
        None => planned,
        Some(at) => usable().get(at),
    });
    list_about(model, &lines, at, entry, inner, buf);
}

/// Which strategy takes part in a comparison, in every pool.
pub(super) fn contenders(model: &Model, at: usize, body: Rect, buf: &mut Buffer) {
    let places = lists::contenders(model);
    let entries = || places.iter().filter_map(|place| usable().get(*place));
    let lines: Vec<PickerLine> = entries()
        .map(|entry| PickerLine {
            name: entry.name.to_owned(),
            text: entry.summary.to_owned(),
            now: false,
            ahead: None,
        })
        .collect();
    let inner = open(model, body, lines.len(), ABOUT, buf, "Compare with, in every pool");
    list_about(model, &lines, at, entries().nth(at), inner, buf);
}

/// A line to choose.
pub(super) struct PickerLine {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) now: bool,
    /// What would come of it: the 99th percentile, the share that is not served, dollars an hour.
    pub(super) ahead: Option<[(String, Role); 3]>,
}

/// What is foreseen of the line at this place, against what comes of nothing.
pub(super) fn cells(model: &Model, place: usize) -> [(String, Role); 3] {
    let Some((seen, as_is)) = steer::foreseen(model, place) else {
        return ["", "", ""].map(|text| (text.to_owned(), Role::Dim));
    };
    // Later than any number: more than one in a hundred fails.
    let p99 = |seen: &Foreseen| seen.p99.map_or(f64::INFINITY, Span::seconds);
    let role = |value: f64, before: Option<f64>, least: f64| match before {
        Some(before) if value < before * 0.95 - least => Role::Up,
        Some(before) if value > before * 1.05 + least => Role::Down,
        _ => Role::Text,
    };
    let latency = p99(&seen);
    let shown = seen.p99.map_or_else(|| "fails".to_owned(), seconds);
    [
        (shown, role(latency, as_is.as_ref().map(p99), 0.0)),
        (
            percent_fine(seen.failed),
            role(seen.failed, as_is.as_ref().map(|one| one.failed), 0.000_5),
        ),
        (
            dollars(seen.dollars_per_hour),
            role(seen.dollars_per_hour, as_is.as_ref().map(|one| one.dollars_per_hour), 0.0),
        ),
    ]
}

/// The row above the list: until when it is foreseen, and what comes of nothing.
pub(super) fn outlook(model: &Model, lines: &[PickerLine]) -> Vec<Piece> {
    let Some(forecast) = model.frame.as_ref().and_then(|frame| frame.forecast.as_ref()) else {
        return Vec::new();
    };
    let names = lines.iter().map(|line| width(&line.name)).max().unwrap_or(0).min(24);
    let heads = format!("{:names$}      {:>8}{:>8}{:>9}", "", "p99 s", "fail %", "$/h");
    let until = match forecast.until {
        Time::MAX => "until the end".to_owned(),
        until => format!("until {until}"),
    };
    let known = forecast.rows.iter().flatten().count();
    let dot = model.glyphs().dot;
    let words = format!("  foreseen {until} {dot} {known} of {}", forecast.rows.len());
    vec![piece(heads, Role::Dim), piece(words, Role::Dim)]
}

/// Opens the overlay in the middle, as high as it needs.
fn open(model: &Model, body: Rect, lines: usize, more: u16, buf: &mut Buffer, title: &str) -> Rect {
    let title = [piece(title, Role::Title)];
    let dot = model.glyphs().dot;
    let aside = match model.ui.typed.as_str() {
        "" => format!("type to search {dot} Enter takes {dot} Esc closes"),
        typed => format!("search {typed}"),
    };
    let rows = lines.clamp(1, 100) as u16 + more + 2;
    pen::docked(model, (100, rows), body, buf, &title, &aside)
}

/// Draws the lines, and below them what is to be known of the selected one.
fn list_about(
    model: &Model,
    lines: &[PickerLine],
    at: usize,
    entry: Option<&StrategyDef>,
    inner: Rect,
    buf: &mut Buffer,
) {
    let split = inner.height.saturating_sub(ABOUT).max(1);
    list(model, lines, at, Rect { height: split.min(inner.height), ..inner }, buf);
    if let Some(entry) = entry {
        let below =
            Rect { y: inner.y + split, height: inner.height.saturating_sub(split), ..inner };
        about(model, entry, below, buf);
    }
}

pub(super) fn list(model: &Model, lines: &[PickerLine], at: usize, area: Rect, buf: &mut Buffer) {
    let (theme, glyphs) = (model.theme(), model.glyphs());
    let names = lines.iter().map(|line| width(&line.name)).max().unwrap_or(0).min(24);
    let rows = usize::from(area.height).max(1);
    let top = (at + 1).saturating_sub(rows).min(lines.len().saturating_sub(rows));
    for ((place, line), row) in lines.iter().enumerate().skip(top).zip(0..area.height) {
        let selected = place == at;
        let place = Rect { y: area.y + row, height: 1, ..area };
        let style = |role| {
            if selected { theme.on_selected(role) } else { theme.style(role) }
        };
        buf.set_style(place.intersection(buf.area), style(Role::Text));
        let sign = if selected { glyphs.cursor } else { " " };
        let sign_now = if line.now { glyphs.up } else { " " };
        let x = pen::put(buf, place, place.x, place.y, &format!("{sign} "), style(Role::Key));
        let x = pen::put(buf, place, x, place.y, &format!("{sign_now} "), style(Role::Up));
        let name = cut(&line.name, names, "…");
        let role = if selected || line.now { Role::Strong } else { Role::Text };
        pen::put(buf, place, x, place.y, &name, style(role));
        let mut x = x + names as u16 + 2;
        if let Some(cells) = &line.ahead {
            for ((text, role), wide) in cells.iter().zip([8, 8, 9]) {
                pen::put(buf, place, x, place.y, &format!("{text:>wide$}"), style(*role));
                x += wide as u16;
            }
            x += 2;
        }
        let room = usize::from(place.right().saturating_sub(x));
        pen::put(buf, place, x, place.y, &cut(&line.text, room, "…"), style(Role::Text));
    }
}

fn about(model: &Model, entry: &StrategyDef, area: Rect, buf: &mut Buffer) {
    let mut rows: Vec<Vec<Piece>> = vec![Vec::new()];
    let words = wrap(entry.when, usize::from(area.width).saturating_sub(8));
    for (place, text) in words.into_iter().take(2).enumerate() {
        let label = if place == 0 { "when    " } else { "        " };
        rows.push(vec![piece(label, Role::Dim), piece(text, Role::Text)]);
    }
    rows.push(vec![piece("cost    ", Role::Dim), piece(entry.cost, Role::Text)]);
    rows.push(vec![piece("source  ", Role::Dim), piece(entry.source, Role::Dim)]);
    for (row, y) in rows.iter().zip(0..area.height) {
        pen::line(buf, area, y, model.theme(), row);
    }
}

/// Breaks a sentence at spaces into lines of at most so many columns.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
