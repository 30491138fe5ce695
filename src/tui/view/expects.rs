//! What the scenario promises, judged so far: a row of ticks, each with its margin.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::catalogue::Unit;
use crate::metrics::expect::ExpectVerdict;
use crate::tui::format::{count, cut};
use crate::tui::model::Model;
use crate::tui::theme::Role;

use super::pen::{self, LabelledFact, Piece, piece};

/// Draws as many promises as have room, the broken ones first; the last fact says how many others there are.
pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let verdicts = model.snapshot().map_or(&[][..], |snapshot| &snapshot.expects);
    let mut ordered: Vec<&ExpectVerdict> = verdicts.iter().collect();
    ordered.sort_by_key(|verdict| verdict.held);
    let held = verdicts.iter().filter(|verdict| verdict.held).count();
    let role = if held == verdicts.len() { Role::Dim } else { Role::Warn };
    let head = format!("{held} of {} held so far", verdicts.len());
    let mut facts = vec![LabelledFact { pieces: vec![piece(head, role)], rank: u8::MAX }];
    for (place, verdict) in ordered.iter().enumerate() {
        let rank = (200 - place.min(200)) as u8;
        facts.push(LabelledFact { pieces: pieces(model, verdict), rank });
    }
    let all = facts.len();
    let mut shown = pen::fit(facts, usize::from(place.width).saturating_sub(6), 3);
    if shown.len() < all {
        let more = piece(format!("+{}", all - shown.len()), Role::Dim);
        shown.push(LabelledFact { pieces: vec![more], rank: u8::MAX });
    }
    pen::facts(buf, place, model.theme(), &shown, 3);
}

/// A promise, what was measured, and how far that is from the limit.
pub(super) fn pieces(model: &Model, verdict: &ExpectVerdict) -> Vec<Piece> {
    let glyphs = model.glyphs();
    let (sign, role) = match verdict.held {
        true => (glyphs.held, Role::Up),
        false => (glyphs.failed, Role::Down),
    };
    let value = verdict.value.map_or_else(|| glyphs.none.to_owned(), |v| in_unit(v, verdict.unit));
    vec![
        piece(format!("{sign} "), role),
        piece(cut(&verdict.text, 44, glyphs.more), Role::Text),
        piece(format!("  {value}"), if verdict.held { Role::Strong } else { Role::Down }),
        piece(margin(verdict).map_or_else(String::new, |margin| format!(" ({margin})")), Role::Dim),
    ]
}

/// How far a value is from its limit, as a share of the limit.
fn margin(verdict: &ExpectVerdict) -> Option<String> {
    let value = verdict.value?;
    let apart = (value / verdict.limit - 1.0).abs();
    if !apart.is_finite() || apart == 0.0 {
        return None;
    }
    let words = match (verdict.held, value > verdict.limit) {
        (true, false) => "to spare",
        (true, true) => "more",
        (false, true) => "over",
        (false, false) => "short",
    };
    let far = match apart {
        far if far >= 9.995 => format!("{}x", count(far)),
        far if far < 0.01 => "< 1%".to_owned(),
        far => format!("{:.0}%", far * 100.0),
    };
    Some(format!("{far} {words}"))
}

fn in_unit(value: f64, unit: Unit) -> String {
    let short = |value: f64| match value.abs() {
        v if v >= 9_999.5 => count(value),
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match unit {
        Unit::Seconds => format!("{}s", short(value)),
        Unit::Share => format!("{}%", short(value * 100.0)),
        Unit::Dollars => format!("${}", short(value)),
        Unit::PerSecond => format!("{}/s", short(value)),
        Unit::Count => count(value),
        Unit::Number => short(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_says_to_which_side() {
        let margin = |value: f64, limit: f64, held: bool| {
            let (text, value) = (String::new(), Some(value));
            margin(&ExpectVerdict { text, value, limit, held, unit: Unit::Share })
        };
        assert_eq!(margin(0.004, 0.01, true).as_deref(), Some("60% to spare"));
        assert_eq!(margin(0.012, 0.01, false).as_deref(), Some("20% over"));
        assert_eq!(margin(217.0, 1.0, true).as_deref(), Some("216x more"));
        assert_eq!(margin(0.0, 1.0, false).as_deref(), Some("100% short"));
        assert_eq!(margin(0.0101, 0.01, false).as_deref(), Some("1% over"));
        assert_eq!(margin(0.01005, 0.01, false).as_deref(), Some("< 1% over"));
        assert_eq!(margin(0.0, 0.0, true), None);
    }
}
