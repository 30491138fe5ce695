//! The help: every action with its keys, made from the key map, and what the glyphs mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::format::width;
use crate::tui::keys::{BINDINGS, Binding, Context, KeyAction, KeyGroup};
use crate::tui::model::Model;
use crate::tui::tab::View;
use crate::tui::theme::Role;

use super::pen::{self, Piece, piece};

/// Columns for keys.
const KEYS: usize = 13;
/// Columns of one line: keys and words.
const COLUMN: u16 = 48;
/// Rows for the glyphs and the blank line above them.
const LEGEND: u16 = 2;

/// A line of the help.
enum HelpLine {
    Heading(&'static str),
    Entry { keys: String, text: &'static str },
    Blank,
}

pub(super) fn draw(model: &Model, top: usize, body: Rect, buf: &mut Buffer) {
    let area = place(body);
    pen::clear(model, area, buf);
    let title = [piece("Keys", Role::Title)];
    let overflow = columns(area).1;
    let aside = if overflow > 0 { "j k scroll" } else { "Esc closes" };
    let inner = pen::frame(model, true, area, buf, &title, aside);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    for (column, lines) in columns(area).0.iter().enumerate() {
        // One column where two have no room.
        let width = if is_wide(area) { inner.width / 2 } else { inner.width };
        let x = inner.x + column as u16 * width;
        let place = Rect { x, width, height: text_rows(area), ..inner };
        let shown = lines.iter().skip(top.min(overflow));
        for (line, row) in shown.zip(0..place.height) {
            pen::line(buf, place, row, model.theme(), &pieces(line));
        }
    }
    legend(model, inner, buf);
}

/// Returns how many lines do not fit.
pub(in crate::tui) fn overflow(_model: &Model, screen: Rect) -> usize {
    let body = Rect { y: 2, height: screen.height.saturating_sub(3), ..screen };
    columns(place(body)).1
}

fn place(body: Rect) -> Rect {
    let width = body.width.min(COLUMN * 2 + 4);
    let longest = split().iter().map(Vec::len).max().unwrap_or(0) as u16;
    let height = (longest + LEGEND + 2).min(body.height);
    Rect {
        x: body.x + (body.width - width) / 2,
        y: body.y + (body.height - height) / 2,
        width,
        height,
    }
}

fn text_rows(area: Rect) -> u16 {
    area.height.saturating_sub(2 + LEGEND)
}

/// Whether every line of the first column has room in half of an area.
fn is_wide(area: Rect) -> bool {
    let line = |line: &HelpLine| match line {
        HelpLine::Entry { keys, text } => KEYS.max(width(keys) + 1) + width(text),
        HelpLine::Heading(_) | HelpLine::Blank => 0,
    };
    let longest = split()[0].iter().map(line).max().unwrap_or(0);
    usize::from(area.width.saturating_sub(4)) / 2 >= longest
}

fn columns(area: Rect) -> ([Vec<HelpLine>; 2], usize) {
    let mut columns = split();
    if !is_wide(area) {
        let [first, second] = columns;
        let all = first.into_iter().chain([HelpLine::Blank]).chain(second).collect();
        columns = [all, Vec::new()];
    }
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    (columns, longest.saturating_sub(usize::from(text_rows(area))))
}

fn split() -> [Vec<HelpLine>; 2] {
    let section = |groups: &[KeyGroup]| {
        let mut lines = Vec::new();
        for group in groups {
            if !lines.is_empty() {
                lines.push(HelpLine::Blank);
            }
            lines.push(HelpLine::Heading(group.name()));
            lines.extend(entries(*group));
        }
        lines
    };
    let [time, act, look, app] = KeyGroup::ALL;
    [section(&[time, look]), section(&[act, app])]
}

/// The actions of a group, each with its keys outside overlays where it has some; neighbours that
/// share a help line share a row.
fn entries(group: KeyGroup) -> Vec<HelpLine> {
    let mut seen: Vec<KeyAction> = Vec::new();
    let mut lines: Vec<HelpLine> = Vec::new();
    let order = [
        Context::Views,
        Context::View(View::Live),
        Context::View(View::Latency),
        Context::View(View::Why),
        Context::Always,
        Context::Picker,
    ];
    let bindings =
        order.iter().flat_map(|context| BINDINGS.iter().filter(|b| b.context == *context));
    for binding in bindings.filter(|binding| binding.action.group() == group) {
        if seen.contains(&binding.action) {
            continue;
        }

        seen.push(binding.action);
        let keys = keys(binding);
        let text = binding.action.help();
        match lines.last_mut() {
            Some(HelpLine::Entry { keys: before, text: same }) if *same == text => {
                before.push(' ');
                before.push_str(&keys);
            }
            _ => lines.push(HelpLine::Entry { keys, text }),
        }
    }
    lines
}

fn keys(binding: &Binding) -> String {
    let text = binding.action.help();
    let mut sharing = BINDINGS.iter().filter(|b| b.context == binding.context);
    let shared = sharing.any(|b| b.action != binding.action && b.action.help() == text);
    // A row for two actions has no room for their second names.
    let chords = binding.chords.iter().filter(|chord| !shared || !chord.is_ctrl());
    let labels: Vec<String> = chords.map(|chord| chord.label()).collect();
    labels.join(" ")
}

fn pieces(line: &HelpLine) -> Vec<Piece> {
    match line {
        HelpLine::Heading(name) => vec![piece(*name, Role::Strong)],
        HelpLine::Entry { keys, text } => {
            let pad = " ".repeat(KEYS.saturating_sub(width(keys)).max(1));
            vec![piece(keys, Role::Key), piece(pad, Role::Text), piece(*text, Role::Text)]
        }
        HelpLine::Blank => Vec::new(),
    }
}

fn legend(model: &Model, inner: Rect, buf: &mut Buffer) {
    let glyphs = model.glyphs();
    let words = [
        (glyphs.up, "up", Role::Up),
        (glyphs.slow, "slow", Role::Warn),
        (glyphs.limited, "limited", Role::Warn),
        (glyphs.probing, "probing", Role::Note),
        (glyphs.draining, "draining", Role::Note),
        (glyphs.down, "down", Role::Down),
        (glyphs.fault, "injected", Role::You),
    ];
    let pieces: Vec<Piece> =
        words.iter().map(|(glyph, word, role)| piece(format!("{glyph} {word}  "), *role)).collect();
    if inner.height > 0 {
        pen::line(buf, inner, inner.height - 1, model.theme(), &pieces);
    }
}
