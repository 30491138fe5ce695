//! The view of how long requests took: a map over time, one column at the cursor, and nodes one below
//! the other on the same columns.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::metrics::{HeatScope, length_seconds};
use crate::tui::format::{grouped, percent_fine, seconds, seconds_or};
use crate::tui::heat::{HeatCounts, HeatGrid, HeatRows, HeatScale, HeatTicks};
use crate::tui::layout::{self, HeatPlaces};
use crate::tui::model::Model;
use crate::tui::theme::Role;
use crate::unit::Span;

use super::pen::{self, LabelledFact, piece};

mod by_node;
mod map;
mod readout;

/// What the parts of the view have in common.
struct Heat<'a> {
    model: &'a Model,
    places: HeatPlaces,
    ticks: HeatTicks,
    grid: HeatGrid,
    rows: HeatRows,
    scale: HeatScale,
    /// The column of the cursor.
    at: usize,
}

impl<'a> Heat<'a> {
    fn of(model: &'a Model) -> Option<Heat<'a>> {
        let (ticks, grid, rows) = model.heat()?;
        let levels = levels(model);
        let scale = HeatScale::new(grid.most(&rows), levels, model.ui.heat.linear);
        let at = model.heat_column(&ticks);
        Some(Heat { model, places: layout::heat(model), ticks, grid, rows, scale, at })
    }

    fn counts(&self) -> &HeatCounts {
        &self.grid.columns[self.at]
    }

    /// Returns the row on screen of a row of the map; the least is the lowest.
    fn y(&self, row: u8) -> u16 {
        let cells = self.places.cells;
        cells.y + cells.height.saturating_sub(1).saturating_sub(u16::from(row))
    }
}

pub(super) fn draw(model: &Model, body: Rect, buf: &mut Buffer) {
    let Some(heat) = Heat::of(model) else {
        let inner = pen::frame(model, true, body, buf, &[piece("Latency", Role::Title)], "");
        let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
        let style = model.theme().style(Role::Dim);
        pen::centred(buf, middle.intersection(inner), "no request has ended yet", style);
        return;
    };
    map::draw(&heat, buf);
    if let Some(place) = heat.places.readout {
        readout::draw(&heat, place, buf);
    }
    if let Some(place) = heat.places.nodes {
        by_node::draw(&heat, place, buf);
    }
}

/// The second row of the screen: what is looked at, and the figures of the column at the cursor.
pub(super) fn strip(model: &Model, area: Rect, buf: &mut Buffer) {
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let heat = Heat::of(model);
    let mut facts = vec![
        LabelledFact { pieces: vec![piece(scope_name(model), Role::Strong)], rank: 250 },
        LabelledFact { pieces: vec![piece(metric_name(model), Role::Text)], rank: 245 },
    ];
    if let Some(heat) = &heat {
        facts.extend(figures(heat));
    }
    pen::facts(buf, place, model.theme(), &pen::fit(facts, usize::from(place.width), 2), 2);
}

fn figures(heat: &Heat<'_>) -> Vec<LabelledFact> {
    let counts = heat.counts();
    let labelled = |rank: u8, label: &str, value: String| LabelledFact {
        pieces: vec![piece(format!("{label} "), Role::Dim), piece(value, Role::Strong)],
        rank,
    };
    let quantile = |share| about(counts.quantile(share), heat.model.glyphs().none);
    let now = heat.model.ui.heat.cursor.is_none();
    let at = if now { "now".to_owned() } else { heat.ticks.start(heat.at).to_string() };
    let mut facts = vec![
        labelled(240, "at", at),
        labelled(230, "n", grouped(counts.completed())),
        labelled(200, "p50", quantile(0.5)),
        labelled(180, "p95", quantile(0.95)),
        labelled(220, "p99", quantile(0.99)),
    ];
    if counts.failed > 0 {
        let mut fact = labelled(225, "failed", grouped(counts.failed.into()));
        fact.pieces[1].1 = Role::Down;
        facts.push(fact);
    }
    if counts.rejected > 0 {
        let mut fact = labelled(224, "rejected", grouped(counts.rejected.into()));
        fact.pieces[1].1 = Role::Warn;
        facts.push(fact);
    }
    for (slo, class) in heat.model.promises() {
        if let Some(share) = counts.share_within(slo) {
            let label = format!("{class} SLO {} kept by", promise(slo));
            facts.push(labelled(100, &label, format!("~{}%", percent_fine(share))));
        }
    }
    facts
}

/// The name of what is in the map.
fn scope_name(model: &Model) -> String {
    match model.ui.heat.scope {
        HeatScope::All => "all requests".to_owned(),
        HeatScope::Class(id) => {
            let classes = model.snapshot().map_or(&[][..], |snapshot| &snapshot.classes);
            format!("class {}", classes.get(id.index()).map_or("?", |class| &class.name))
        }
        HeatScope::Node(id) => {
            format!("node {}", model.node(id).map_or("that is gone", |row| &row.name))
        }
    }
}

const fn metric_name(model: &Model) -> &'static str {
    if model.ui.heat.first_token { "to the first token" } else { "to the last token" }
}

/// A length in eighths of octaves, as seconds; it is known up to its code.
fn about(code: Option<f64>, none: &str) -> String {
    let span = code.map(|code| Span::from_seconds((code / 8.0 - 10.0).exp2()));
    let text = seconds_or(span, none);
    if span.is_some() { format!("~{text}") } else { text }
}

fn promise(span: Span) -> String {
    let text = seconds(span);
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}s")
}

/// The least length of a row, in at most five columns.
fn label(code: u8) -> String {
    let value = length_seconds(code);
    match value {
        v if v < 0.0995 => format!("{:.0}ms", v * 1e3),
        v if v < 0.995 => format!("{v:.2}").trim_start_matches('0').to_owned(),
        v if v < 9.95 && (v - v.round()).abs() > 0.05 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// How many shades the theme and the characters have.
fn levels(model: &Model) -> u8 {
    match model.theme().ramp() {
        [] => model.glyphs().shades.len() as u8,
        ramp => ramp.len() as u8,
    }
}

/// How a shade looks: a character that is the darker the more, in a colour of the ramp where there is one.
fn shade(model: &Model, level: u8) -> (&'static str, Style) {
    let shades = model.glyphs().shades;
    let (ramp, level) = (model.theme().ramp(), usize::from(level.max(1)) - 1);
    let Some(color) = ramp.get(level) else {
        return (shades[level.min(shades.len() - 1)], model.theme().style(Role::Text));
    };
    let place = level * (shades.len() - 1) / (ramp.len() - 1).max(1);
    let ground = model.theme().style(Role::Ground);
    // The least shade is a dot; the others are whole cells of their colour.
    let style = if level == 0 { ground.fg(*color) } else { ground.fg(*color).bg(*color) };
    (shades[place.max(usize::from(level > 0)).min(shades.len() - 1)], style)
}
