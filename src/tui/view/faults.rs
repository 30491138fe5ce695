//! The list of faults that are made by hand, with what would come of each, and its parameters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::command::Mode;
use crate::tui::faults::{self, FaultTarget};
use crate::tui::format::cut;
use crate::tui::model::Model;
use crate::tui::theme::Role;

use super::pen::{self, Piece, piece};
use super::picker::{self, PickerLine};
use super::plot;

/// Rows above the list: what was typed.
const ABOVE: u16 = 1;
/// Rows below it: a gap, the fields, what is known of the field, the preview.
const BELOW: u16 = 4;
/// Rows of the chart of what is foreseen, and of the list that it leaves.
const CHART: (u16, u16) = (7, 11);
const LIST: u16 = 5;

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let palette = &model.ui.faults;
    let target = faults::target(model);
    let ahead = model.frame.as_ref().is_some_and(|frame| frame.forecast.is_some());
    let found = palette.matches();
    let lines: Vec<PickerLine> = found
        .iter()
        .map(|&at| PickerLine {
            name: faults::offered()[at].name.to_owned(),
            text: faults::offered()[at].about.replace('`', ""),
            now: false,
            ahead: ahead.then(|| picker::cells(model, at)),
        })
        .collect();
    let inner = open(model, target.as_ref(), body, buf);
    if inner.height <= ABOVE + BELOW {
        return;
    }
    let theme = model.theme();
    let row = |y: u16| Rect { y: inner.y + y, height: 1, ..inner };
    typed(model, found.len(), row(0), buf);
    let mut top = ABOVE;
    if ahead && inner.height > ABOVE + BELOW + 2 {
        pen::line(buf, row(top), 0, theme, &picker::outlook(model, &lines));
        top += 1;
    }
    let chart = chart_rows(model, body, inner.height.saturating_sub(top + BELOW));
    let room = inner.height - top - BELOW - chart;
    let place = Rect { y: inner.y + top, height: room, ..inner };
    let here = found.iter().position(|at| *at == palette.at).unwrap_or(0);
    picker::list(model, &lines, here, place, buf);
    if chart > 0 {
        let place = Rect { y: inner.y + top + room + 1, height: chart - 1, ..inner };
        plot::ahead(model, place, buf);
    }
    let below = inner.height - BELOW + 1;
    if palette.selected().is_some() {
        pen::line(buf, row(below), 0, theme, &fields(model));
        pen::line(buf, row(below + 1), 0, theme, &about(model));
        pen::line(buf, row(below + 2), 0, theme, &preview(model, target.as_ref()));
    }
}

/// Rows that the chart has of those that list and chart have together: none where nothing is foreseen, where
/// the chart on the screen is in sight, and where there is no room.
fn chart_rows(model: &Model, body: Rect, room: u16) -> u16 {
    let wanted = model.mode() == Mode::Sim && !pen::is_docked(model, body);
    let left = room.saturating_sub(LIST).min(CHART.1);
    if wanted && left >= CHART.0 { left } else { 0 }
}

/// The frame, with whom the fault hits.
fn open(model: &Model, target: Option<&FaultTarget>, body: Rect, buf: &mut Buffer) -> Rect {
    let lines = faults::offered().len() as u16;
    let whom = target.map_or_else(|| "nobody".to_owned(), words);
    let title = [piece("Fault with ", Role::Title), piece(cut(&whom, 40, "…"), Role::You)];
    let dot = model.glyphs().dot;
    let aside = format!("Tab with whom {dot} type to filter");
    let rows = lines + ABOVE + BELOW + 3 + CHART.1;
    pen::docked(model, (110, rows), body, buf, &title, &aside)
}

fn words(target: &FaultTarget) -> String {
    match target.word {
        "node" => target.name.clone(),
        word => {
            let nodes = if target.nodes == 1 { "node" } else { "nodes" };
            format!("{word} {} ({} {nodes})", target.name, target.nodes)
        }
    }
}

fn typed(model: &Model, found: usize, row: Rect, buf: &mut Buffer) {
    let theme = model.theme();
    let pieces = [
        piece(format!("{} ", model.glyphs().cursor), Role::Key),
        piece(model.ui.faults.filter.as_str(), Role::Strong),
        piece("_", Role::Dim),
    ];
    pen::line(buf, row, 0, theme, &pieces);
    let many = format!("{found} of {}", faults::offered().len());
    pen::right(buf, row, 0, &many, theme.style(Role::Dim));
}

/// What can be changed; the one that the arrows change stands out.
fn fields(model: &Model) -> Vec<Piece> {
    let palette = &model.ui.faults;
    let mut pieces = Vec::new();
    for (place, (name, value)) in palette.fields().into_iter().enumerate() {
        let here = palette.field == place + 1;
        let sign = if here { model.glyphs().cursor } else { " " };
        let role = if here { Role::Selected } else { Role::Strong };
        pieces.push(piece(format!("{sign}{name} "), if here { Role::Key } else { Role::Dim }));
        pieces.push(piece(value, role));
        pieces.push(piece("  ", Role::Text));
    }
    pieces
}

/// What the field means, or the whole line of the list.
fn about(model: &Model) -> Vec<Piece> {
    let palette = &model.ui.faults;
    let fault = faults::offered()[palette.at];
    let place = palette.field.checked_sub(1);
    let text = match place.map(|place| fault.params.get(place)) {
        None => fault.about.replace('`', ""),
        Some(Some(param)) => format!("{}: {}", param.name, param.about),
        Some(None) => "for: how long it lasts".to_owned(),
    };
    vec![piece(format!(" {text}"), Role::Dim)]
}

fn preview(model: &Model, target: Option<&FaultTarget>) -> Vec<Piece> {
    let palette = &model.ui.faults;
    let now = model.snapshot().map(|snapshot| snapshot.now).unwrap_or_default();
    let Some(target) = target else { return vec![piece(" the node is gone", Role::Down)] };
    match palette.built(palette.at) {
        Err(why) => vec![piece(format!(" {}", why.replace('`', "")), Role::Down)],
        Ok(kind) => {
            let until = match palette.lasts() {
                Some(span) => format!("to {}", now + span),
                None => "to the end".to_owned(),
            };
            let whom = words(target);
            vec![piece(format!(" {whom}: {} from {now} {until}", kind.words()), Role::You)]
        }
    }
}
