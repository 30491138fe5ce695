//! The view that compares runs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::model::Model;
use crate::tui::theme::Role;

use super::pen::{self, piece};

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let inner = pen::frame(model, true, body, buf, &[piece("Compare", Role::Title)], "");
    let scenario = model.frame.as_ref().map_or("SCENARIO", |frame| frame.scenario.as_str());
    let lines = [
        ("Strategies are compared on the same arrivals, with intervals, by".to_owned(), Role::Text),
        (format!("plimsoll compare {scenario}"), Role::Key),
    ];
    let top = inner.y + inner.height.saturating_sub(lines.len() as u16) / 2;
    for ((line, role), y) in lines.iter().zip(top..inner.bottom()) {
        pen::centred(buf, Rect { y, height: 1, ..inner }, line, model.theme().style(*role));
    }
}
