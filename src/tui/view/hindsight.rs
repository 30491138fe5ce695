//! What a decision came to, and what the other one would have come to.

use crate::balance::{End, Explanation, Fate};
use crate::command::{Mode, Regret, RegretFound, RequestEnd};
use crate::tui::format::{cut_name, seconds};
use crate::tui::model::Model;
use crate::tui::theme::Role;
use crate::unit::{Cost, NodeId, Span};

use super::pen::{Piece, piece};
use super::why::name;

/// Columns of the name of a node.
const NAME: usize = 20;

/// What the chosen node did.
pub(super) fn outcome(model: &Model, one: &Explanation) -> Vec<Piece> {
    let node = short(model, one.why.chosen.node);
    let dot = model.glyphs().dot;
    let Some(known) = model.outcome(one) else {
        let now = model.snapshot().map(|shown| shown.now).unwrap_or_default();
        let words = format!("{node} has been at it for {}", long(now.since(one.at)));
        return vec![piece(words, Role::Dim)];
    };
    let took = long(known.took);
    let (words, role) = match known.end {
        End::Done => (format!("{node} answered within {took}"), Role::Text),
        end => (format!("{node} did not answer: {} after {took}", end.words()), Role::Down),
    };
    let mut pieces = vec![piece(words, role)];
    if let Some(first) = known.first_token {
        pieces.push(piece(format!(" {dot} first token {}", long(first)), Role::Dim));
    }
    if known.cost > Cost::ZERO {
        pieces.push(piece(format!(" {dot} {}", money(known.cost)), Role::Dim));
    }
    pieces
}

/// What the runner-up would have done.
pub(super) fn regret(model: &Model, one: &Explanation) -> Vec<Piece> {
    let dim = |words: String| vec![piece(words, Role::Dim)];
    let Some(second) = one.why.runner_up else {
        return dim("no other node was weighed, so there is nothing to regret".to_owned());
    };
    let other = short(model, second.node);
    if model.mode() != Mode::Sim {
        let words = "cannot be known: real requests are sent once";
        return dim(format!("what {other} would have done {words}"));
    }
    let regret = model.frame.as_ref().and_then(|frame| frame.regret.as_deref());
    let about = |regret: &&Regret| {
        regret.choice.attempt == one.attempt && regret.choice.node == second.node
    };
    match regret.filter(about).map(|regret| regret.found) {
        None if model.ui.doubted.is_none() => {
            dim(format!("w holds this decision, and finds out what {other} would have done"))
        }
        None | Some(RegretFound::Waiting) => {
            dim(format!("what {other} would have done is being found out"))
        }
        Some(RegretFound::Unknown) => {
            dim(format!("what {other} would have done was not found out in time"))
        }
        Some(RegretFound::Known { chosen, other: end }) => told(model, &other, &chosen, &end),
    }
}

fn long(span: Span) -> String {
    format!("{}s", seconds(span))
}

/// Of one request, which costs little.
fn money(cost: Cost) -> String {
    format!("${:.5}", cost.dollars())
}

fn short(model: &Model, node: NodeId) -> String {
    cut_name(&name(model, node), NAME, "…")
}

/// The request as it was decided, and as it could have been.
fn told(model: &Model, other: &str, chosen: &RequestEnd, end: &RequestEnd) -> Vec<Piece> {
    let now = model.snapshot().map(|shown| shown.now).unwrap_or_default();
    let tense = if chosen.at > now { "will take" } else { "took" };
    let here = match chosen.fate {
        Fate::Completed => format!("the request {tense} {}", long(chosen.took)),
        fate if chosen.at > now => format!("the request will be {}", fate.word()),
        fate => format!("the request was {}", fate.word()),
    };
    let there = match end.fate {
        Fate::Completed => format!(", {other} would have taken {}", long(end.took)),
        fate => format!(", with {other} it would have been {}", fate.word()),
    };
    let (words, role) = verdict(chosen, end);
    let mut pieces = vec![piece(here + &there, Role::Text), piece(format!(" {words}"), role)];
    let (spent, instead) = (chosen.cost, end.cost);
    if spent != instead {
        let dot = model.glyphs().dot;
        let words = format!(" {dot} {} against {}", money(spent), money(instead));
        pieces.push(piece(words, Role::Dim));
    }
    pieces
}

/// How much better the other one would have been.
fn verdict(chosen: &RequestEnd, other: &RequestEnd) -> (String, Role) {
    let done = |end: &RequestEnd| end.fate == Fate::Completed;
    match (done(chosen), done(other)) {
        (true, true) if other.took < chosen.took => {
            (format!("(regret {})", long(chosen.took - other.took)), Role::Warn)
        }
        (true, true) if other.took == chosen.took => ("(no difference)".to_owned(), Role::Dim),
        (true, true) => (format!("(no regret: {} more)", long(other.took - chosen.took)), Role::Up),
        (true, false) => ("(no regret)".to_owned(), Role::Up),
        (false, true) => ("(regret: it would have been answered)".to_owned(), Role::Warn),
        (false, false) => ("(no regret: neither answers)".to_owned(), Role::Dim),
    }
}
