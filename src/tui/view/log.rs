//! The log, newest first: failovers, ejections, and what was done to the fleet on purpose.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{LogEntry, LogLevel};
use crate::tui::format::cut;
use crate::tui::glyph::Set;
use crate::tui::model::{Model, Panel};
use crate::tui::theme::Role;

use super::pen::{self, Piece, piece};

/// From this many columns on there is room for whole sentences, the full time and a sign.
const LONG: u16 = 46;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let title = [piece("Failovers / events", Role::Title)];
    let inner = pen::panel(model, Panel::Log, area, buf, &title, &aside(model));
    let entries = model.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
    if entries.is_empty() {
        let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
        let style = model.theme().style(Role::Dim);
        pen::centred(buf, middle.intersection(inner), "nothing has happened yet", style);
    }
    let shown = entries.iter().rev().skip(model.ui.log_top);
    for (entry, row) in shown.zip(0..inner.height) {
        pen::line(buf, inner, row, model.theme(), &row_of(entry, inner.width, model.glyphs()));
    }
}

fn aside(model: &Model) -> String {
    let Some(snapshot) = model.snapshot() else {
        return String::new();
    };
    let all = snapshot.log.len() as u64 + snapshot.log_dropped;
    match model.ui.log_top {
        0 => format!("{all} {} newest first", model.glyphs().dot),
        top => format!("{} newer {} {all}", top, model.glyphs().dot),
    }
}

fn row_of(entry: &LogEntry, width: u16, glyphs: &Set) -> Vec<Piece> {
    let long = width >= LONG;
    let role = role(entry.level);
    let clock = entry.at.to_string();
    // Minutes are on the state bar; the last four characters are seconds and tenths.
    let clock = if long { &clock } else { &clock[clock.len().saturating_sub(4)..] };
    let pad = if long { " " } else { "" };
    let mut pieces = vec![piece(format!("{pad}{clock} "), Role::Dim)];
    pieces.push(piece(sign(entry, long, glyphs), role));
    let text = if long { &entry.text } else { &entry.short };
    let times =
        if entry.count > 1 { format!(" {}{}", glyphs.times, entry.count) } else { String::new() };
    let used: usize = pieces.iter().map(|(text, _)| crate::tui::format::width(text)).sum();
    let room = usize::from(width).saturating_sub(used + crate::tui::format::width(&times));
    pieces.push(piece(cut(&text.replace("->", glyphs.arrow), room, glyphs.more), role));
    pieces.push(piece(times, Role::Dim));
    pieces
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

const fn role(level: LogLevel) -> Role {
    match level {
        LogLevel::Info => Role::Note,
        LogLevel::Warning => Role::Warn,
        LogLevel::Error => Role::Down,
        LogLevel::Injected => Role::You,
    }
}
