//! The view of everything that happened: the whole log.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::model::Model;

use super::log;

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    log::draw(model, body, buf);
}
