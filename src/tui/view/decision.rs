//! Why this node: the last decision with its terms, and the pools where they have no panel of
//! their own.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::balance::{GoesBy, REGISTRY, Scored, Term};
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
    let mut rows = last.map_or_else(|| no_decision(model), |last| explain(model, &last));
    if with_pools {
        rows.push(Vec::new());
        rows.extend(pools::rows(model));
        rows.push(Vec::new());
        rows.extend(pools::totals(model));
    }
    pen::lines(buf, inner, model.theme(), &rows);
}

fn no_decision(model: &Model) -> Vec<Vec<Piece>> {
    let any = model.snapshot().is_some_and(|shown| shown.nodes.iter().any(|row| row.share > 0.0));
    // Pictures of another process come without decisions.
    let words = if any {
        "decisions are told where it runs: --log has each with its reason"
    } else {
        "no request has been sent to a node yet"
    };
    vec![vec![piece(words, Role::Dim)]]
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
    let scores: Vec<&Scored> = std::iter::once(&why.chosen).chain(&why.runner_up).collect();
    let kind = ScoreKind::of(why.strategy, &scores);
    rows.push(heading(kind, &terms));
    rows.push(scored(model, &why.chosen, (true, kind), &terms));
    if let Some(second) = &why.runner_up {
        rows.push(scored(model, second, (false, kind), &terms));
    }
    if let Some(words) = kind.words() {
        rows.push(vec![piece(format!("  {words}"), Role::Dim)]);
    }
    rows
}

/// What a score is made of, so that nothing is said of it that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScoreKind {
    /// The sum of the terms.
    Sum,
    /// The sum of the terms over the chance that the node answers.
    SumOverSuccess,
    /// How far the node is from the request's key on a ring: a hash, of which only the order says something.
    Distance,
    /// Something else that the terms go into.
    Other,
}

impl ScoreKind {
    fn of(strategy: u8, scores: &[&Scored]) -> ScoreKind {
        let sum = |scored: &Scored| -> f64 {
            scored.terms.as_slice().iter().map(|(_, value)| f64::from(*value)).sum()
        };
        let chances: Vec<f64> = scores.iter().map(|scored| sum(scored) / scored.score).collect();
        let whole = |chance: &f64| (chance - 1.0).abs() <= 2e-3;
        match () {
            () if is_by_key(strategy) => ScoreKind::Distance,
            () if chances.iter().all(whole) => ScoreKind::Sum,
            () if chances.iter().all(|chance| *chance > 0.0 && *chance <= 1.002) => {
                ScoreKind::SumOverSuccess
            }
            () => ScoreKind::Other,
        }
    }

    const fn words(self) -> Option<&'static str> {
        match self {
            ScoreKind::Sum => None,
            ScoreKind::SumOverSuccess => Some("the sum over the chance that the node answers (ok)"),
            ScoreKind::Distance => Some("how far the node is from the request's key; the nearest"),
            ScoreKind::Other => Some("the score is made of these, and is not their sum"),
        }
    }
}

/// Returns whether a strategy goes by what requests have in common: its scores are hashes.
pub(super) fn is_by_key(strategy: u8) -> bool {
    REGISTRY.get(usize::from(strategy)).is_some_and(|entry| {
        entry.goes_by.iter().any(|by| matches!(by, GoesBy::Keys | GoesBy::Sessions))
    })
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

fn heading(kind: ScoreKind, terms: &[Term]) -> Vec<Piece> {
    let score = if kind == ScoreKind::Distance { "distance" } else { "score" };
    let mut text = format!("  {:<14}{score:>9}", "");
    for (place, term) in terms.iter().enumerate() {
        let sign = match kind {
            ScoreKind::Distance | ScoreKind::Other => ' ',
            _ if place == 0 => '=',
            _ => '+',
        };
        text.push_str(&format!(" {sign}{:>8}", term.name()));
    }
    if kind == ScoreKind::SumOverSuccess {
        text.push_str("    / ok");
    }
    vec![piece(text, Role::Dim)]
}

fn scored(
    model: &Model,
    scored: &Scored,
    (chosen, kind): (bool, ScoreKind),
    terms: &[Term],
) -> Vec<Piece> {
    let name = cut_name(&name_of(model, scored), 13, "…");
    let pad = " ".repeat(14usize.saturating_sub(width(&name)));
    let (sign, role) =
        if chosen { (model.glyphs().cursor, Role::Strong) } else { (" ", Role::Text) };
    let mut pieces = vec![
        piece(format!("{sign} "), Role::Up),
        piece(format!("{name}{pad}"), role),
        piece(format!("{:>9}", figure(scored.score)), role),
    ];
    let mut sum = 0.0;
    for term in terms {
        let value = scored.terms.as_slice().iter().find(|(here, _)| here == term);
        sum += value.map_or(0.0, |(_, value)| f64::from(*value));
        let text = value.map_or_else(String::new, |(_, value)| figure(f64::from(*value)));
        let role = if kind == ScoreKind::Distance { Role::Dim } else { role };
        pieces.push(piece(format!("{text:>10}"), role));
    }
    if kind == ScoreKind::SumOverSuccess {
        let chance = sum / scored.score;
        let role = if chance < 0.9 { Role::Warn } else { role };
        pieces.push(piece(format!("{:>7.0}%", chance * 100.0), role));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Terms;
    use crate::unit::NodeId;

    fn scored(score: f64, terms: Terms) -> Scored {
        Scored { node: NodeId(0), score, terms }
    }

    #[test]
    fn a_score_is_called_what_it_is() {
        let of = |name: &str, scores: &[&Scored]| {
            let place = REGISTRY.iter().position(|entry| entry.name == name).expect("it is listed");
            ScoreKind::of(place as u8, scores)
        };
        let load = |load| Terms::NONE.with(Term::Load, load);
        let (two, three) = (scored(2.0, load(2.0)), scored(3.0, load(3.0)));
        assert_eq!(of("least_connections", &[&two, &three]), ScoreKind::Sum);
        let failing = scored(27_500.0, load(275.0));
        assert_eq!(of("least_connections", &[&two, &failing]), ScoreKind::SumOverSuccess);
        let hash = scored(0.239, load(1.0));
        assert_eq!(of("session_affinity", &[&hash, &two]), ScoreKind::Distance);
        let product = scored(12.0, load(40.0));
        assert_eq!(of("lmetric", &[&product]), ScoreKind::Other);
    }
}
