//! The last row: what the keys do here, made from the key map; or a notice after a key.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::command::Mode;
use crate::tui::format::cut;
use crate::tui::keys::{self, Binding, Hint, KeyAction};
use crate::tui::model::{Model, Overlay, SortKey};
use crate::tui::theme::Role;

use super::pen::{self, LabelledFact, Piece, piece};

/// Hints of this rank stand at the right and are never left out.
const ALWAYS: u8 = 255;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme();
    buf.set_style(area, theme.style(Role::Strip));
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let (fixed, rest): (Vec<LabelledFact>, Vec<LabelledFact>) =
        hints(model).into_iter().partition(|hint| hint.rank == ALWAYS);
    let fixed_width: usize =
        fixed.iter().map(|f| f.pieces.iter().map(|(t, _)| t.len()).sum::<usize>() + 1).sum();
    let room = usize::from(place.width).saturating_sub(fixed_width + 1);
    if let Some(typed) = typed(model) {
        let style = theme.style(Role::StripStrong);
        let x = pen::put(buf, place, place.x, place.y, &cut(&typed, room, "…"), style);
        pen::put(buf, place, x, place.y, " ", theme.style(Role::Badge));
    } else if let Some(notice) = &model.ui.notice {
        pen::put(
            buf,
            place,
            place.x,
            place.y,
            &cut(notice, room, "…"),
            theme.style(Role::StripStrong),
        );
    } else {
        pen::facts(buf, place, theme, &pen::fit(rest, room, 1), 1);
    }
    let x = place.right().saturating_sub(fixed_width.saturating_sub(1) as u16);
    let at_right = Rect { x, width: place.right() - x, ..place };
    pen::facts(buf, at_right, theme, &fixed, 1);
}

/// The line that is being typed.
fn typed(model: &Model) -> Option<String> {
    match model.ui.overlay {
        Overlay::Filter => Some(format!("/ {}", model.ui.filter)),
        Overlay::Search => Some(format!("/ {}", model.ui.events.search)),
        Overlay::Columns => Some(columns(model)),
        _ => None,
    }
}

/// Which letter stands for which column.
fn columns(model: &Model) -> String {
    let priced = model.has_prices();
    let columns = SortKey::ALL.into_iter().filter(|key| priced || *key != SortKey::Dollars);
    let columns: Vec<String> =
        columns.map(|key| format!("{} {}", key.letter(), key.name())).collect();
    format!("sort by  {}", columns.join("  "))
}

/// The hints of what does something here and now; a key without a word of its own joins the next one.
fn hints(model: &Model) -> Vec<LabelledFact> {
    let mut facts = Vec::new();
    let mut keys: Vec<Piece> = Vec::new();
    for binding in keys::bindings(model.context()).filter(|binding| model.can(binding.action)) {
        let Some(hint) = binding.hint else { continue };
        keys.push(piece(format!("{} ", label(model, binding)), Role::StripName));
        let (word, rank) = worded(model, binding.action, hint);
        if !word.is_empty() {
            keys.push(piece(word, Role::Strip));
            facts.push(LabelledFact { pieces: std::mem::take(&mut keys), rank });
        }
    }
    facts
}

/// The word of a hint, and its rank: some keys do something else, or matter more, here and now.
fn worded(model: &Model, action: KeyAction, hint: Hint) -> (&'static str, u8) {
    match action {
        KeyAction::Pause if model.mode() != Mode::Sim => ("freeze", hint.rank),
        // When a run is over it is what there is to do.
        KeyAction::Restart if model.is_over() => (hint.word, 200),
        _ => (hint.word, hint.rank),
    }
}

fn label(model: &Model, binding: &Binding) -> String {
    model.ui.keys.chords(binding).first().map_or_else(String::new, |chord| chord.label())
}
