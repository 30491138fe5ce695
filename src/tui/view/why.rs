//! Why a request went where it did: the decisions of late, and one of them in full, with every candidate, the terms of its
//! score and what became of it. Everything was written down when the decision was made; here it is only
//! laid out.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::balance::{Candidate, Explanation, REGISTRY, Term, TermUnit, Verdict};
use crate::tui::format::{cut, cut_name, grouped, width};
use crate::tui::layout;
use crate::tui::model::{Model, Overlay};
use crate::tui::theme::Role;
use crate::unit::NodeId;

use super::decision::{figure, is_by_key};
use super::hindsight;
use super::pen::{self, Piece, piece};

/// Columns of names of nodes in the list.
const NAME: usize = 15;
/// Columns of what became of a candidate.
const VERDICT: usize = 15;
/// The longest and the shortest bar of a score.
const BAR: (usize, usize) = (40, 8);
/// Below this many rows the decision itself is told in one.
const HEAD_ROWS: u16 = 10;
/// Terms are told apart by these, in the headings and in the bars: those beside each other, whatever colours
/// the eye tells apart.
pub(in crate::tui) const TERMS: [Role; 6] =
    [Role::P95, Role::P50, Role::P99, Role::Tokens, Role::Cost, Role::Load];
/// Scores closer together than this are as good as equal.
const CLOSE: f64 = 0.05;

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let (list, detail) = layout::why(body, model.order.len());
    draw_list(model, list, buf);
    draw_detail(model, detail, buf);
}

pub(super) fn name(model: &Model, id: NodeId) -> String {
    model.node(id).map_or_else(|| format!("node {}", id.0), |row| row.name.clone())
}

fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

fn draw_list(model: &Model, area: Rect, buf: &mut Buffer) {
    let pinned = model.ui.pinned.is_some();
    let word = if pinned { piece(" pinned", Role::You) } else { piece(" following", Role::Dim) };
    let title = [piece("Decisions", Role::Title), word];
    let focused = model.ui.overlay == Overlay::None;
    let inner = pen::frame(model, focused, area, buf, &title, "newest first");
    let rows = usize::from(inner.height);
    let shown = model.inspected_row();
    // The chosen one stays in the middle while there is something on both sides.
    let count = model.decisions().len();
    let top = shown.unwrap_or(0).saturating_sub(rows / 2).min(count.saturating_sub(rows));
    if count == 0 {
        nothing(model, inner, buf, "they are explained from now on");
        return;
    }
    for (row, (place, one)) in model.decisions().enumerate().skip(top).take(rows).enumerate() {
        let chosen = shown == Some(place);
        let y = row as u16;
        if chosen {
            let line = Rect { y: inner.y + y, height: 1, ..inner };
            buf.set_style(line, model.theme().style(Role::Selected));
        }
        pen::line(buf, inner, y, model.theme(), &entry(model, one, chosen));
    }
}

fn nothing(model: &Model, inner: Rect, buf: &mut Buffer, words: &str) {
    let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
    pen::centred(buf, middle.intersection(inner), words, model.theme().style(Role::Dim));
}

/// A line of the list: when, for which request, where to, and over whom.
fn entry(model: &Model, one: &Explanation, chosen: bool) -> Vec<Piece> {
    let role = |other| if chosen { Role::Selected } else { other };
    let sign = if chosen { model.glyphs().cursor } else { " " };
    let why = &one.why;
    let node = cut_name(&name(model, why.chosen.node), NAME - 1, "…");
    let mut pieces = vec![
        piece(format!("{sign}{} ", one.at), role(Role::Dim)),
        piece(format!("{:>9}  ", grouped(one.attempt.request.0)), role(Role::Text)),
        piece(pad(&node, NAME), role(Role::Strong)),
    ];
    let (words, kind) = reason(model, one);
    pieces.push(piece(words, role(kind)));
    pieces
}

/// Why in a few words.
fn reason(model: &Model, one: &Explanation) -> (String, Role) {
    let why = &one.why;
    if why.panic {
        return ("too few nodes are well".to_owned(), Role::Warn);
    }
    let again = if one.attempt.ordinal > 0 {
        format!("try {}, ", one.attempt.ordinal + 1)
    } else {
        String::new()
    };
    let role = if again.is_empty() { Role::Dim } else { Role::Warn };
    let words = match why.runner_up {
        Some(second) if is_by_key(why.strategy) => {
            format!("nearest to its key, then {}", cut_name(&name(model, second.node), NAME, "…"))
        }
        Some(second) => {
            let over = cut_name(&name(model, second.node), NAME, "…");
            let gap = second.score - why.chosen.score;
            let share = gap / why.chosen.score.abs();
            match share {
                s if gap.abs() <= 1e-9 * why.chosen.score.abs() || s.is_nan() => {
                    format!("drawn, equal to {over}")
                }
                s if s < CLOSE => format!("near tie with {over}"),
                s if s < 10.0 => format!("over {over} by {:.0} %", s * 100.0),
                _ => format!("far better than {over}"),
            }
        }
        None if why.chosen.score.is_nan() => "its turn or a draw".to_owned(),
        None if why.candidates == 1 => "the only one open".to_owned(),
        None => "the only one looked at".to_owned(),
    };
    (format!("{again}{words}"), role)
}

fn draw_detail(model: &Model, area: Rect, buf: &mut Buffer) {
    let Some(one) = model.inspected() else {
        let title = [piece("Why this node?", Role::Title)];
        let inner = pen::frame(model, false, area, buf, &title, "");
        let words = "no decision yet: Space lets the run go on, . takes a step";
        nothing(model, inner, buf, words);
        return;
    };
    let title = [
        piece("Why ", Role::Title),
        piece(cut_name(&name(model, one.why.chosen.node), 24, "…"), Role::Title),
        piece("?", Role::Title),
    ];
    let aside = format!("req {}", grouped(one.attempt.request.0));
    let inner = pen::frame(model, false, area, buf, &title, &aside);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let mut y = 0;
    let mut rows = head(model, one);
    if inner.height < HEAD_ROWS {
        // Where there is little room, how it was decided goes before when.
        rows = vec![rows.swap_remove(0), hindsight::regret(model, one)];
    } else {
        rows.insert(2, hindsight::outcome(model, one));
        rows.insert(3, hindsight::regret(model, one));
    }
    for row in rows {
        pen::line(buf, inner, y, model.theme(), &row);
        y += 1;
    }
    let table = Rect { y: inner.y + y, height: inner.height.saturating_sub(y), ..inner };
    draw_candidates(model, one, table, buf);
}

fn head(model: &Model, one: &Explanation) -> Vec<Vec<Piece>> {
    let why = &one.why;
    let strategy = REGISTRY.get(usize::from(why.strategy)).map_or("?", |entry| entry.name);
    let pool = model.pool(why.pool).map_or("?", |pool| pool.name.as_str());
    let dot = model.glyphs().dot;
    let looked = format!(" looked at {} of {} open nodes", why.considered, why.candidates);
    let attempt = one.attempt.ordinal + 1;
    vec![
        vec![
            piece(strategy, Role::Strong),
            piece(looked, Role::Text),
            piece(format!(" {dot} {} {}", cut(pool, 24, "…"), why.tier.name()), Role::Dim),
        ],
        vec![piece(
            format!(
                "decided {} {dot} attempt {attempt} {dot} about {} tokens expected",
                one.at,
                grouped(one.expected_output.0)
            ),
            Role::Dim,
        )],
        Vec::new(),
    ]
}

/// What the table has columns for.
struct Columns {
    terms: Vec<Term>,
    scored: bool,
    name: usize,
    figure: usize,
    success: bool,
    in_flight: bool,
    /// Columns of the bar; none if there is no room, or the terms do not add up to the score.
    bar: usize,
    /// Some strategies compare a product, or something else that the terms go into.
    adds_up: bool,
    /// The greatest sum of terms that is drawn in full.
    full: f64,
}

impl Columns {
    fn of(one: &Explanation, area: Rect) -> Columns {
        let mut terms = Vec::new();
        for (term, _) in one.candidates.iter().flat_map(|node| node.terms.as_slice()) {
            if !terms.contains(term) {
                terms.push(*term);
            }
        }
        let scored = one.candidates.iter().any(|node| score(node).is_some());
        let adds_up = one.candidates.iter().any(adds_up);
        // What is far beyond would make all others invisible.
        let mut sums: Vec<f64> = one.candidates.iter().map(sum).filter(|s| s.is_finite()).collect();
        sums.sort_by(f64::total_cmp);
        let middle = sums.get(sums.len() / 2).copied().unwrap_or(0.0);
        let full = sums.last().copied().unwrap_or(0.0).min(4.0 * middle);
        let (name, figure, bar) = (16, 12, 0);
        let mut columns = Columns {
            terms,
            scored,
            name,
            figure,
            success: true,
            in_flight: true,
            bar,
            adds_up,
            full,
        };
        columns.fit(usize::from(area.width));
        let room = usize::from(area.width).saturating_sub(columns.width() + 2);
        if adds_up && room >= BAR.1 {
            columns.bar = room.min(BAR.0);
        }
        columns
    }

    fn width(&self) -> usize {
        let figures = self.terms.len() + usize::from(self.scored);
        let facts = 6 * usize::from(self.success) + 7 * usize::from(self.in_flight);
        2 + self.name + self.figure * figures + facts + VERDICT
    }

    /// Makes do with less until it fits; the last terms go last.
    fn fit(&mut self, room: usize) {
        while self.width() > room {
            match () {
                () if self.figure > 9 => self.figure -= 1,
                () if self.in_flight => self.in_flight = false,
                () if self.success => self.success = false,
                () if self.figure > 8 => self.figure -= 1,
                () if self.name > 12 => self.name -= 1,
                () if self.terms.len() > 1 => drop(self.terms.pop()),
                () => return,
            }
        }
    }
}

fn sum(node: &Candidate) -> f64 {
    node.terms.as_slice().iter().map(|(_, value)| f64::from(*value)).sum()
}

/// Whether the score is the sum of the terms over the probability of success.
fn adds_up(node: &Candidate) -> bool {
    let terms = sum(node) / node.success;
    score(node).is_some_and(|score| (score - terms).abs() <= 1e-3 * score.abs())
}

fn score(node: &Candidate) -> Option<f64> {
    match node.verdict {
        Verdict::Chosen(score) | Verdict::LookedAt(score) => Some(score).filter(|s| s.is_finite()),
        _ => None,
    }
}

fn rank(node: &Candidate) -> (u8, f64) {
    let group = match node.verdict {
        Verdict::Chosen(_) => 0,
        Verdict::LookedAt(_) => 1,
        Verdict::NotDrawn => 2,
        Verdict::Filtered(_) => 3,
    };
    (group, score(node).unwrap_or(f64::INFINITY))
}

fn draw_candidates(model: &Model, one: &Arc<Explanation>, area: Rect, buf: &mut Buffer) {
    let columns = Columns::of(one, area);
    pen::line(buf, area, 0, model.theme(), &heading(&columns));
    let mut nodes: Vec<&Candidate> = one.candidates.iter().collect();
    // Stable: equals stay in file order.
    nodes.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let rows = usize::from(area.height.saturating_sub(1));
    let all = nodes.len() + one.omitted;
    let fit = if all > rows { rows.saturating_sub(1) } else { rows };
    let mut y = 1;
    for node in nodes.iter().take(fit) {
        pen::line(buf, area, y, model.theme(), &row(model, one, node, &columns));
        y += 1;
    }
    let rest = all.saturating_sub(nodes.len().min(fit));
    if rest > 0 {
        let words = format!("  and {rest} more nodes of the tier");
        pen::line(buf, area, y, model.theme(), &[piece(words, Role::Dim)]);
    } else if columns.adds_up && usize::from(area.height) > usize::from(y) + 2 {
        let words = "  the score is the sum over the chance of success; the least wins";
        pen::line(buf, area, y + 1, model.theme(), &[piece(words, Role::Dim)]);
    } else if !columns.scored && usize::from(area.height) > usize::from(y) + 2 {
        let words = "  this strategy keeps no scores: it goes by turn, by chance or by key";
        pen::line(buf, area, y + 1, model.theme(), &[piece(words, Role::Dim)]);
    }
}

fn unit(term: Term) -> &'static str {
    match term.unit() {
        Some(TermUnit::Requests) => " req",
        Some(TermUnit::Tokens) => " tok",
        Some(TermUnit::Seconds) => " s",
        Some(TermUnit::Dollars) => " $",
        None => "",
    }
}

fn heading(columns: &Columns) -> Vec<Piece> {
    let figure = columns.figure;
    let mut pieces = vec![piece(format!("  {}", pad("candidate", columns.name)), Role::Dim)];
    if columns.scored {
        pieces.push(piece(format!("{:>figure$}", "score"), Role::Dim));
    }
    for (place, term) in columns.terms.iter().enumerate() {
        let with_unit = format!("{}{}", term.name(), unit(*term));
        let text =
            if with_unit.len() < figure { with_unit } else { cut(term.name(), figure - 1, "…") };
        pieces.push(piece(format!("{text:>figure$}"), TERMS[place % TERMS.len()]));
    }
    if columns.bar > 0 {
        pieces.push(piece(" ".repeat(columns.bar + 2), Role::Dim));
    }
    let ok = if columns.success { format!("{:>6}", "ok") } else { String::new() };
    let in_flight = if columns.in_flight { format!("{:>7}", "in-fl") } else { String::new() };
    pieces.push(piece(ok + &in_flight, Role::Dim));
    pieces
}

fn row(model: &Model, one: &Explanation, node: &Candidate, columns: &Columns) -> Vec<Piece> {
    let chosen = matches!(node.verdict, Verdict::Chosen(_));
    let seen = chosen || matches!(node.verdict, Verdict::LookedAt(_));
    let sign = if chosen { model.glyphs().cursor } else { " " };
    let plain = match () {
        () if chosen => Role::Strong,
        () if seen => Role::Text,
        () => Role::Dim,
    };
    let mut pieces = vec![
        piece(format!("{sign} "), Role::Up),
        piece(pad(&cut_name(&name(model, node.node), columns.name - 1, "…"), columns.name), plain),
    ];
    let width = columns.figure;
    if columns.scored {
        let text = score(node).map_or_else(|| model.glyphs().dot.to_owned(), figure);
        pieces.push(piece(format!("{text:>width$}"), plain));
    }
    for term in &columns.terms {
        let value = node.terms.as_slice().iter().find(|(here, _)| here == term);
        let text = value.map_or_else(String::new, |(_, value)| figure(f64::from(*value)));
        pieces.push(piece(format!("{text:>width$}"), plain));
    }
    if columns.bar > 0 {
        pieces.push(piece("  ", Role::Dim));
        pieces.extend(bar(model, node, columns, seen));
    }
    if columns.success {
        let role = if node.success < 0.9 { Role::Warn } else { plain };
        pieces.push(piece(format!("{:>5.0}%", node.success * 100.0), role));
    }
    if columns.in_flight {
        pieces.push(piece(format!("{:>7}", node.in_flight), plain));
    }
    let (words, role) = verdict(one, node);
    pieces.push(piece(format!("  {words}"), role));
    pieces
}

/// The terms of a node one after the other, each as long as it is large.
fn bar(model: &Model, node: &Candidate, columns: &Columns, seen: bool) -> Vec<Piece> {
    let [full, _, rest] = model.glyphs().bar;
    let mut pieces = Vec::new();
    let (mut drawn, mut upto) = (0, 0.0);
    for (place, term) in columns.terms.iter().enumerate() {
        let terms = node.terms.as_slice();
        let value = terms.iter().find(|(here, _)| here == term).map_or(0.0, |(_, v)| f64::from(*v));
        upto += value.max(0.0);
        let share = if columns.full > 0.0 { (upto / columns.full).clamp(0.0, 1.0) } else { 0.0 };
        let end = ((share * columns.bar as f64).round() as usize).clamp(drawn, columns.bar);
        let role = if seen { TERMS[place % TERMS.len()] } else { Role::BarRest };
        pieces.push(piece(full.repeat(end - drawn), role));
        drawn = end;
    }
    pieces.push(piece(rest.repeat(columns.bar - drawn), Role::BarRest));
    pieces
}

fn verdict(one: &Explanation, node: &Candidate) -> (&'static str, Role) {
    match node.verdict {
        Verdict::Chosen(_) => ("chosen", Role::Up),
        Verdict::LookedAt(_) if one.why.runner_up.is_some_and(|s| s.node == node.node) => {
            ("next best", Role::Note)
        }
        Verdict::LookedAt(_) => ("looked at", Role::Dim),
        Verdict::NotDrawn => ("not looked at", Role::Dim),
        Verdict::Filtered(filter) => (filter.words(), Role::Warn),
    }
}
