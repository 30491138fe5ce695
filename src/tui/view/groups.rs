//! The table of classes, tenants or jobs, in the place of the nodes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::GroupRow;
use crate::tui::format::{count, cut, grouped, percent_fine, rate, seconds_or};
use crate::tui::model::{Model, Panel, RowsOf};
use crate::tui::theme::Role;

use super::figures::time;
use super::pen::{self, Piece, piece};
use super::plot::is_few;

/// Columns of names.
const NAME: usize = 20;
/// A column: what stands above it, and how wide it is.
const COLUMNS: [(&str, usize); 11] = [
    ("REQ/S", 7),
    ("p50", 7),
    ("p99", 7),
    ("p99 all", 9),
    ("TTFT99", 8),
    ("ERR%", 7),
    ("SLO%", 7),
    ("IN-FL", 8),
    ("DONE", 10),
    ("FAILED", 9),
    ("SLO", 12),
];

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let rows = model.group_rows();
    let of = model.ui.rows;
    let title = [piece(format!("{} {}", of.title(), rows.len()), Role::Title)];
    let aside =
        format!("last 10s; the last four columns of the run {} c: next", model.glyphs().dot);
    let inner = pen::panel(model, Panel::Nodes, area, buf, &title, &aside);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let shown = columns(inner.width);
    pen::line(buf, inner, 0, model.theme(), &heading(of, shown));
    let body = inner.height.saturating_sub(1);
    let fit = usize::from(body);
    let fit = if rows.len() > fit { fit.saturating_sub(1) } else { fit };
    let mut y = 1;
    for row in rows.iter().take(fit) {
        pen::line(buf, inner, y, model.theme(), &line(model, of, row, shown));
        y += 1;
    }
    if rows.is_empty() && body > 0 {
        let none = [piece(format!("  this run has no {}", of.title().to_lowercase()), Role::Dim)];
        pen::line(buf, inner, 1, model.theme(), &none);
    }
    if rows.len() > fit && body > 0 {
        let more = [piece(format!("  and {} more", rows.len() - fit), Role::Dim)];
        pen::line(buf, inner, y, model.theme(), &more);
    }
}

/// Returns how many columns fit.
fn columns(width: u16) -> usize {
    let mut room = usize::from(width).saturating_sub(NAME);
    let fits = COLUMNS.iter().take_while(|(_, width)| {
        let fits = *width <= room;
        room = room.saturating_sub(*width);
        fits
    });
    fits.count()
}

fn heading(of: RowsOf, shown: usize) -> Vec<Piece> {
    let mut text = format!("{:<NAME$}", of.heading());
    for (title, width) in &COLUMNS[..shown] {
        // Jobs have no first token.
        let title = if of == RowsOf::Jobs && *title == "REQ/S" { "JOBS/S" } else { title };
        text.push_str(&format!("{title:>width$}"));
    }
    vec![piece(text, Role::Dim)]
}

fn line(model: &Model, of: RowsOf, row: &GroupRow, shown: usize) -> Vec<Piece> {
    let (window, none) = (&row.window, model.glyphs().none);
    let quiet = if is_few(window.samples) { Role::Dim } else { Role::Text };
    let late = |late: Option<f64>| late.is_some_and(|late| late > 0.01);
    let worst = window.late.into_iter().chain(window.late_first).reduce(f64::max);
    let bad = |bad: bool, role: Role, other: Role| if bad { role } else { other };
    let ttft = if of == RowsOf::Jobs { none.to_owned() } else { seconds_or(window.ttft_p99, none) };
    let all = window.p99_all.map_or_else(|| none.to_owned(), |all| time(all, model.glyphs()));
    let unserved = row.requests.errors();
    let cells = [
        (rate(window.requests_per_s), Role::Text),
        (seconds_or(window.p50, none), quiet),
        (seconds_or(window.p99, none), bad(late(window.late), Role::Warn, quiet)),
        (all, bad(window.error_share > 0.0, Role::Warn, quiet)),
        (ttft, bad(late(window.late_first), Role::Warn, quiet)),
        (percent_fine(window.error_share), errors(window.error_share)),
        (
            worst.map_or_else(|| none.to_owned(), |worst| percent_fine(1.0 - worst)),
            bad(late(worst), Role::Warn, Role::Text),
        ),
        (count(row.requests.in_flight as f64), Role::Text),
        (grouped(row.requests.completed), Role::Text),
        (grouped(unserved), bad(unserved > 0, Role::Warn, Role::Text)),
        (promised(row), Role::Dim),
    ];
    let name = cut(&row.name, NAME - 1, model.glyphs().more);
    let pad = NAME.saturating_sub(crate::tui::format::width(&name));
    let mut pieces = vec![piece(format!("{name}{}", " ".repeat(pad)), Role::Strong)];
    for ((text, role), (_, width)) in cells.into_iter().zip(COLUMNS).take(shown) {
        pieces.push(piece(format!("{text:>width$}"), role));
    }
    pieces
}

fn errors(share: f64) -> Role {
    match share {
        share if share >= 0.05 => Role::Down,
        share if share >= 0.01 => Role::Warn,
        _ => Role::Text,
    }
}

/// What is promised: the first token, then the last.
fn promised(row: &GroupRow) -> String {
    let of = [row.slo.first_token, row.slo.total];
    let told: Vec<String> = of.into_iter().flatten().map(|span| span.to_string()).collect();
    told.join(" / ")
}
