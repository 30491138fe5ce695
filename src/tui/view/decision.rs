//! Why this node: the last decision with its terms, and the pools where they have no panel of
//! their own.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::balance::{REGISTRY, Scored, Term};
use crate::metrics::DecisionRow;
use crate::tui::format::{cut, cut_name, grouped, width};
use crate::tui::model::{Model, Panel};
use crate::tui::theme::Role;

use super::pen::{self, Piece, piece};
use super::pools;

pub(super) fn draw(model: &Model, with_pools: bool, area: Rect, buf: &mut Buffer) {
    let last = model.snapshot().and_then(|snapshot| snapshot.last);
    let title = [piece("Why this node?", Role::Title)];
    let aside = last.map_or_else(String::new, |last| format!("req {}", grouped(last.request.0)));
    let inner = pen::panel(model, Panel::Decision, area, buf, &title, &aside);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let mut rows = last.map_or_else(no_decision, |last| explain(model, &last));
    if with_pools {
        rows.push(Vec::new());
        rows.extend(pools::rows(model));
        rows.push(Vec::new());
        rows.extend(pools::totals(model));
    }
    for (row, y) in rows.iter().zip(0..inner.height) {
        pen::line(buf, inner, y, model.theme(), row);
    }
}

fn no_decision() -> Vec<Vec<Piece>> {
    vec![vec![piece("no request has been sent to a node yet", Role::Dim)]]
}

fn explain(model: &Model, last: &DecisionRow) -> Vec<Vec<Piece>> {
    let why = &last.why;
    let strategy = REGISTRY.get(usize::from(why.strategy)).map_or("?", |entry| entry.name);
    let pool = model.pool(why.pool).map_or("?", |pool| pool.name.as_str());
    let looked = format!(" looked at {} of {} open nodes", why.considered, why.candidates);
    let dot = model.glyphs().dot;
    let mut rows = vec![vec![
        piece(strategy, Role::Strong),
        piece(looked, Role::Text),
        piece(format!(" {dot} {} {}", cut(pool, 12, "…"), why.tier.name()), Role::Dim),
    ]];
    let terms = term_names(&[Some(&why.chosen), why.runner_up.as_ref()]);
    if terms.is_empty() && why.chosen.score.is_nan() {
        rows.push(plain(model, &why.chosen));
        return rows;
    }
    rows.push(heading(&terms));
    rows.push(scored(model, &why.chosen, true, &terms));
    if let Some(second) = &why.runner_up {
        rows.push(scored(model, second, false, &terms));
    }
    rows
}

fn term_names(scored: &[Option<&Scored>]) -> Vec<Term> {
    let mut names = Vec::new();
    for (term, _) in scored.iter().flatten().flat_map(|s| s.terms.as_slice()) {
        if !names.contains(term) {
            names.push(*term);
        }
    }
    names
}

fn name_of(model: &Model, scored: &Scored) -> String {
    let name = model.node(scored.node).map(|row| row.name.clone());
    name.unwrap_or_else(|| format!("node {}", scored.node.0))
}

/// A choice without scores: the turn, or a draw.
fn plain(model: &Model, chosen: &Scored) -> Vec<Piece> {
    vec![
        piece(format!("{} ", model.glyphs().cursor), Role::Up),
        piece(name_of(model, chosen), Role::Strong),
        piece("  its turn or its luck: this strategy keeps no scores", Role::Dim),
    ]
}

fn heading(terms: &[Term]) -> Vec<Piece> {
    let mut text = format!("  {:<14}{:>9}", "", "score");
    for (place, term) in terms.iter().enumerate() {
        let sign = if place == 0 { '=' } else { '+' };
        text.push_str(&format!(" {sign}{:>8}", term.name()));
    }
    vec![piece(text, Role::Dim)]
}

fn scored(model: &Model, scored: &Scored, chosen: bool, terms: &[Term]) -> Vec<Piece> {
    let name = cut_name(&name_of(model, scored), 13, "…");
    let pad = " ".repeat(14usize.saturating_sub(width(&name)));
    let (sign, role) =
        if chosen { (model.glyphs().cursor, Role::Strong) } else { (" ", Role::Text) };
    let mut pieces = vec![
        piece(format!("{sign} "), Role::Up),
        piece(format!("{name}{pad}"), role),
        piece(format!("{:>9}", figure(scored.score)), role),
    ];
    for term in terms {
        let value = scored.terms.as_slice().iter().find(|(here, _)| here == term);
        let text = value.map_or_else(String::new, |(_, value)| figure(f64::from(*value)));
        pieces.push(piece(format!("{text:>10}"), role));
    }
    let word = if chosen { ("  chosen", Role::Up) } else { ("  next best", Role::Dim) };
    pieces.push(piece(word.0, word.1));
    pieces
}

pub(super) fn figure(value: f64) -> String {
    match value {
        v if v.is_nan() => "-".to_owned(),
        v if v.abs() >= 1e5 || (v.abs() < 1e-4 && v.abs() > 0.0) => format!("{v:.1e}"),
        v if v.abs() < 0.1 && v.abs() > 0.0 => format!("{v:.5}"),
        v if v.abs() >= 1_000.0 => format!("{v:.0}"),
        v if v.abs() >= 100.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}
