//! Pools with their strategies, and what has become of the requests of the run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{Figures, PoolRow, RequestCounts, RunTotals};
use crate::tui::format::{cut, dollars, grouped, percent_fine, seconds_or};
use crate::tui::model::{Model, Panel};
use crate::tui::theme::Role;
use crate::unit::Span;

use super::pen::{self, Piece, piece};

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let title = [piece("Pools and run", Role::Title)];
    let inner = pen::panel(model, Panel::Pools, area, buf, &title, "");
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let mut lines = rows(model);
    lines.push(Vec::new());
    lines.extend(totals(model));
    lines.extend(figures(model));
    pen::lines(buf, inner, model.theme(), &lines);
}

/// One line a pool; the last says how many more there are.
pub(super) fn rows(model: &Model) -> Vec<Vec<Piece>> {
    const MOST: usize = 4;
    let pools = model.snapshot().map_or(&[][..], |snapshot| &snapshot.pools);
    let mut rows: Vec<Vec<Piece>> = pools.iter().take(MOST).map(|pool| row(pool, model)).collect();
    if pools.len() > MOST {
        rows.push(vec![piece(format!("and {} more pools", pools.len() - MOST), Role::Dim)]);
    }
    rows
}

fn row(pool: &PoolRow, model: &Model) -> Vec<Piece> {
    let all_up = pool.up == pool.nodes;
    let role = if all_up { Role::Dim } else { Role::Warn };
    let sign = if all_up { "" } else { model.glyphs().limited };
    let name = cut(&pool.name, 12, "…");
    vec![
        piece("pool ", Role::Dim),
        piece(format!("{name} "), Role::Text),
        piece(cut(&pool.strategy, 24, "…"), Role::Strong),
        piece(format!("  {}/{} up{sign}", pool.up, pool.nodes), role),
    ]
}

/// What has become of the requests.
pub(super) fn totals(model: &Model) -> Vec<Vec<Piece>> {
    let requests =
        model.snapshot().map_or_else(RequestCounts::default, |snapshot| snapshot.requests);
    let bad = |count: u64| if count > 0 { Role::Warn } else { Role::Text };
    vec![
        vec![
            piece("arrived ", Role::Dim),
            piece(grouped(requests.arrived), Role::Text),
            piece("  completed ", Role::Dim),
            piece(grouped(requests.completed), Role::Text),
        ],
        vec![
            piece("failed ", Role::Dim),
            piece(grouped(requests.failed), bad(requests.failed)),
            piece("  rejected ", Role::Dim),
            piece(grouped(requests.rejected), bad(requests.rejected)),
            piece("  cancelled ", Role::Dim),
            piece(grouped(requests.cancelled), Role::Text),
        ],
    ]
}

/// Figures of the whole run after warm-up.
fn figures(model: &Model) -> Vec<Vec<Piece>> {
    let run = model.snapshot().map_or_else(Figures::default, |snapshot| snapshot.run);
    let totals = model.snapshot().map_or_else(RunTotals::default, |snapshot| snapshot.totals);
    let none = model.glyphs().none;
    let after = if totals.warmup > Span::ZERO {
        format!("after {} of warm-up  ", totals.warmup)
    } else {
        "whole run  ".to_owned()
    };
    let mut rows = vec![
        vec![
            piece(after, Role::Dim),
            piece("err ", Role::Dim),
            piece(format!("{}%", percent_fine(run.error_share)), Role::Text),
        ],
        vec![
            piece("p50 ", Role::Dim),
            piece(seconds_or(run.p50, none), Role::Text),
            piece("  p95 ", Role::Dim),
            piece(seconds_or(run.p95, none), Role::Text),
            piece("  p99 ", Role::Dim),
            piece(seconds_or(run.p99, none), Role::Text),
            piece("  TTFT p99 ", Role::Dim),
            piece(seconds_or(run.ttft_p99, none), Role::Text),
        ],
        vec![
            piece("failovers ", Role::Dim),
            piece(grouped(totals.failovers), Role::Text),
            piece("  retries ", Role::Dim),
            piece(grouped(totals.retries), Role::Text),
        ],
    ];
    if model.has_prices() {
        rows.push(vec![
            piece("$ ", Role::Dim),
            piece(dollars(totals.dollars), Role::Text),
            piece("  $/h ", Role::Dim),
            piece(dollars(run.dollars_per_hour), Role::Text),
            piece("  $/1k ", Role::Dim),
            piece(totals.dollars_per_1k.map_or(none.to_owned(), dollars), Role::Text),
        ]);
    }
    rows
}
