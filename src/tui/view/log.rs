//! The log, newest first: failovers, ejections, and what was done to the fleet on purpose.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{LogEntry, LogLevel};
use crate::tui::format::{count, cut, grouped, rate, width as columns};
use crate::tui::glyph::Set;
use crate::tui::model::{Model, Panel};
use crate::tui::tab::View;
use crate::tui::theme::Role;
use crate::unit::{Span, Time};

use super::pen::{self, Piece, piece};

/// From this many columns on there is room for whole sentences, the full time and a sign.
const LONG: u16 = 46;

/// What has happened more often than this and goes on stands first.
const GOES_ON: u64 = 9;
/// What has happened within so long goes on.
const ONGOING: Span = Span::from_secs(10);

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let title = [piece("Failovers / events", Role::Title)];
    let inner = pen::panel(model, Panel::Log, area, buf, &title, &aside(model));
    let entries = model.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
    if entries.is_empty() {
        let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
        let style = model.theme().style(Role::Dim);
        pen::centred(buf, middle.intersection(inner), "nothing has happened yet", style);
    }
    let now = model.snapshot().map_or(Time::ZERO, |snapshot| snapshot.now);
    let shown = in_order(entries, now, model);
    for (entry, row) in shown.into_iter().zip(0..inner.height) {
        let row_of = row_of(entry, now, inner.width, model.glyphs());
        pen::line(buf, inner, row, model.theme(), &row_of);
    }
}

/// What is shown, from top to bottom: the newest first, and while nobody reads back, before them what goes
/// on: else an outage would be pushed out of sight by what it leads to.
fn in_order<'a>(entries: &'a [LogEntry], now: Time, model: &Model) -> Vec<&'a LogEntry> {
    let (top, newest) = (model.log_top(), entries.iter().rev());
    if top > 0 || model.ui.view != View::Live {
        return newest.skip(top).collect();
    }
    let goes_on = |entry: &&LogEntry| entry.count > GOES_ON && now.since(entry.until) < ONGOING;
    let (first, others): (Vec<&LogEntry>, Vec<&LogEntry>) = newest.partition(goes_on);
    first.into_iter().chain(others).collect()
}

fn aside(model: &Model) -> String {
    let Some(snapshot) = model.snapshot() else {
        return String::new();
    };
    let all = snapshot.log.len() as u64 + snapshot.log_dropped;
    match model.log_top() {
        0 => format!("{all} {} newest first", model.glyphs().dot),
        top => format!("{} newer {} {all}", top, model.glyphs().dot),
    }
}

pub(super) fn row_of(entry: &LogEntry, now: Time, width: u16, glyphs: &Set) -> Vec<Piece> {
    let long = width >= LONG;
    let role = role(entry.level);
    let clock = entry.at.to_string();
    // Where there is little room it goes without tenths, never without minutes.
    let clock = if long { &clock } else { clock.split('.').next().unwrap_or(&clock) };
    let pad = if long { " " } else { "" };
    let mut pieces = vec![piece(format!("{pad}{clock} "), Role::Dim)];
    pieces.push(piece(sign(entry, long, glyphs), role));
    let times = times(entry, now, long, glyphs);
    let used: usize = pieces.iter().map(|(text, _)| columns(text)).sum();
    let room = usize::from(width).saturating_sub(used + columns(&times));
    let text = if long && columns(&entry.text) <= room { &entry.text } else { &entry.short };
    pieces.push(piece(cut(&text.replace("->", glyphs.arrow), room, glyphs.more), role));
    pieces.push(piece(times, Role::Dim));
    pieces
}

/// So many of the like: how many a second while it goes on, for how long once it is over.
fn times(entry: &LogEntry, now: Time, long: bool, glyphs: &Set) -> String {
    let times = glyphs.times;
    match entry.per_s() {
        _ if entry.count <= 1 => String::new(),
        Some(per_s) if long && now.since(entry.until) < ONGOING => {
            format!("  {}/s, {} so far", rate(per_s), grouped(entry.count))
        }
        Some(_) if long => {
            let seconds = entry.until.since(entry.at).seconds();
            format!("  {times}{} in {}s", grouped(entry.count), count(seconds.ceil()))
        }
        _ => format!(" {times}{}", count(entry.count as f64)),
    }
}

fn sign(entry: &LogEntry, long: bool, glyphs: &Set) -> String {
    let mark = entry.mark.map(String::from).unwrap_or_default();
    match entry.level {
        LogLevel::Injected => format!("{}{mark} ", glyphs.fault),
        LogLevel::Error if long => format!("{} ", glyphs.down),
        LogLevel::Warning if long => format!("{} ", glyphs.limited),
        LogLevel::Info if long => format!("{} ", glyphs.dot),
        _ => String::new(),
    }
}

pub(super) const fn role(level: LogLevel) -> Role {
    match level {
        LogLevel::Info => Role::Note,
        LogLevel::Warning => Role::Warn,
        LogLevel::Error => Role::Down,
        LogLevel::Injected => Role::You,
    }
}
