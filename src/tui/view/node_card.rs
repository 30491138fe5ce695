//! One node with all that is known of it: what it is, its state and why, its figures, what happened to it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{LogLevel, NodeRow};
use crate::tui::format::{count, dollars, percent, percent_fine, rate, seconds_or};
use crate::tui::model::Model;
use crate::tui::theme::Role;
use crate::unit::Time;

use super::log::row_of;
use super::nodes::state_of;
use super::pen::{self, Piece, piece};

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let Some(row) = model.ui.selected.and_then(|id| model.node(id)) else { return };
    let width = body.width.min(92).saturating_sub(4);
    let mut rows = what(model, row);
    rows.push(Vec::new());
    rows.extend(figures(model, row));
    rows.push(Vec::new());
    rows.extend(happened(model, row, width));
    pen::card(model, &row.name, &rows, body, buf);
}

fn fact(name: &str, value: impl Into<String>, role: Role) -> Vec<Piece> {
    vec![piece(format!("{name:<11}"), Role::Dim), piece(value, role)]
}

fn what(model: &Model, row: &NodeRow) -> Vec<Vec<Piece>> {
    let (glyph, word, role) = state_of(row, model.glyphs());
    let pool = model.pool(row.pool).map_or("?", |pool| &pool.name);
    let mut rows = vec![
        fact("state", format!("{glyph} {word}"), role),
        fact("is", format!("{} in pool {pool}, {}", row.kind, row.tier.name()), Role::Text),
    ];
    // What was last said of its state is why it has it.
    let log = model.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
    let said =
        |level| log.iter().rev().find(|entry| entry.node == Some(row.id) && entry.level == level);
    let bad = said(LogLevel::Error).into_iter().chain(said(LogLevel::Warning)).max_by_key(|e| e.id);
    if let Some(entry) = bad.filter(|_| role != Role::Up) {
        rows.push(fact("because", entry.text.replace("->", model.glyphs().arrow), role));
    }
    let fault = match (row.fault, row.by_hand) {
        (true, true) => "yes, made by hand: x heals it",
        (true, false) => "yes, by the scenario",
        (false, _) => "none",
    };
    let role = if row.fault { Role::You } else { Role::Text };
    rows.push(fact("faults", fault, role));
    rows
}

fn figures(model: &Model, row: &NodeRow) -> Vec<Vec<Piece>> {
    let none = model.glyphs().none;
    let capacity = row.capacity.map_or(String::new(), |most| format!(" of {}", count(most.into())));
    let busy = row.utilisation.map_or(none.to_owned(), percent);
    vec![
        fact(
            "in flight",
            format!("{}{capacity}, {} wait there", row.in_flight, row.queued),
            Role::Text,
        ),
        fact("busy", format!("{busy}, share of traffic {}%", percent_fine(row.share)), Role::Text),
        fact(
            "last 10 s",
            format!(
                "{} req/s  {} tok/s  {}% failed",
                rate(row.requests_per_s),
                count(row.tokens_per_s),
                percent_fine(row.error_share)
            ),
            Role::Text,
        ),
        fact(
            "latency",
            format!(
                "p50 {}  p99 {} s, of {} good attempts",
                seconds_or(row.p50, none),
                seconds_or(row.p99, none),
                row.samples
            ),
            Role::Text,
        ),
        fact("cost", format!("${}/h", dollars(row.dollars_per_hour)), Role::Text),
    ]
}

fn happened(model: &Model, row: &NodeRow, width: u16) -> Vec<Vec<Piece>> {
    let log = model.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
    let here = log.iter().rev().filter(|entry| entry.node == Some(row.id)).take(8);
    let now = model.snapshot().map_or(Time::ZERO, |snapshot| snapshot.now);
    let rows: Vec<Vec<Piece>> =
        here.map(|entry| row_of(entry, now, width, model.glyphs())).collect();
    if rows.is_empty() { vec![vec![piece("nothing has happened to it", Role::Dim)]] } else { rows }
}
