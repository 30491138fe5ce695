//! The view of how long requests took.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::model::Model;

use super::plot;

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    plot::latency(model, body, buf);
}
