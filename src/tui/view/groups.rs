//! Tables in the place of the nodes: classes, tenants and jobs, and nodes rolled up by pool and region.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::GroupRow;
use crate::tui::format::{count, grouped, percent, percent_fine, rate, seconds_or};
use crate::tui::model::{Model, RowsOf};
use crate::tui::rollup::RollupRow;
use crate::tui::theme::Role;

use super::figures::time;
use super::nodes::error_role;
use super::pen::{Piece, piece};
use super::plot::is_few;
use super::sheet::{self, Sheet};

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

/// The same of nodes that are rolled up.
const ROLLED_UP: [(&str, usize); 10] = [
    ("UP", 10),
    ("IN-FL", 12),
    ("UTIL", 6),
    ("SHARE", 7),
    ("WORST p99", 11),
    ("ERR%", 7),
    ("Q", 6),
    ("REQ/S", 8),
    ("TOK/S", 8),
    ("$/h", 9),
];

/// Requests of classes or tenants, or jobs.
pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let of = model.ui.rows;
    let mut columns = COLUMNS;
    if of == RowsOf::Jobs {
        columns[0].0 = "JOBS/S";
    }
    let dot = model.glyphs().dot;
    let sheet = Sheet {
        title: of.title(),
        aside: format!("last 10s; the last four columns of the run {dot} c: next"),
        heading: of.heading(),
        columns: &columns,
        rows: model.group_rows().iter().map(|row| (row.name.clone(), cells(model, row))).collect(),
    };
    sheet::draw(model, &sheet, area, buf);
}

/// Nodes by pool or region.
pub(super) fn rolled_up(model: &Model, area: Rect, buf: &mut Buffer) {
    let of = model.ui.rows;
    let priced = model.has_prices();
    let columns = if priced { &ROLLED_UP[..] } else { &ROLLED_UP[..ROLLED_UP.len() - 1] };
    let rows = model.rollups();
    let sheet = Sheet {
        title: of.title(),
        aside: format!("last 10s {} c: next", model.glyphs().dot),
        heading: of.heading(),
        columns,
        rows: rows.iter().map(|row| (row.name.clone(), rollup_cells(model, row))).collect(),
    };
    sheet::draw(model, &sheet, area, buf);
}

fn rollup_cells(model: &Model, row: &RollupRow) -> Vec<Piece> {
    let none = model.glyphs().none;
    let whole = row.up == row.nodes;
    let load = count(f64::from(row.in_flight));
    let load = row.capacity.map_or(load.clone(), |most| format!("{load}/{}", count(most.into())));
    let number = |text: String| piece(text, Role::Text);
    vec![
        piece(format!("{}/{}", row.up, row.nodes), if whole { Role::Text } else { Role::Warn }),
        number(load),
        number(row.utilisation.map_or_else(|| none.to_owned(), percent)),
        number(percent(row.share)),
        number(seconds_or(row.worst_p99, none)),
        piece(percent_fine(row.error_share), error_role(row.error_share)),
        number(count(f64::from(row.queued))),
        number(rate(row.requests_per_s)),
        number(count(row.tokens_per_s)),
        number(crate::tui::format::dollars(row.dollars_per_hour)),
    ]
}

fn cells(model: &Model, row: &GroupRow) -> Vec<Piece> {
    let (of, window, none) = (model.ui.rows, &row.window, model.glyphs().none);
    let quiet = if is_few(window.samples) { Role::Dim } else { Role::Text };
    let late = |late: Option<f64>| late.is_some_and(|late| late > 0.01);
    let worst = window.late.into_iter().chain(window.late_first).reduce(f64::max);
    let bad = |bad: bool, role: Role, other: Role| if bad { role } else { other };
    // Jobs have no first token.
    let ttft = if of == RowsOf::Jobs { none.to_owned() } else { seconds_or(window.ttft_p99, none) };
    let all = window.p99_all.map_or_else(|| none.to_owned(), |all| time(all, model.glyphs()));
    let unserved = row.requests.errors();
    vec![
        piece(rate(window.requests_per_s), Role::Text),
        piece(seconds_or(window.p50, none), quiet),
        piece(seconds_or(window.p99, none), bad(late(window.late), Role::Warn, quiet)),
        piece(all, bad(window.error_share > 0.0, Role::Warn, quiet)),
        piece(ttft, bad(late(window.late_first), Role::Warn, quiet)),
        piece(percent_fine(window.error_share), error_role(window.error_share)),
        piece(
            worst.map_or_else(|| none.to_owned(), |worst| percent_fine(1.0 - worst)),
            bad(late(worst), Role::Warn, Role::Text),
        ),
        piece(count(row.requests.in_flight as f64), Role::Text),
        piece(grouped(row.requests.completed), Role::Text),
        piece(grouped(unserved), bad(unserved > 0, Role::Warn, Role::Text)),
        piece(promised(row), Role::Dim),
    ]
}

/// What is promised: the first token, then the last.
fn promised(row: &GroupRow) -> String {
    let of = [row.slo.first_token, row.slo.total];
    let told: Vec<String> = of.into_iter().flatten().map(|span| span.to_string()).collect();
    told.join(" / ")
}
