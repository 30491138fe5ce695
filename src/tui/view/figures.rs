//! The second row: the key figures of the last ten seconds, quiet while they are healthy; of the
//! whole run when it is over.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::command::RunState;
use crate::metrics::{Figures, Snapshot};
use crate::tui::format::{count, dollars, percent_fine, rate, seconds};
use crate::tui::glyph::Set;
use crate::tui::model::Model;
use crate::tui::theme::Role;
use crate::unit::Span;

use super::pen::{self, LabelledFact, piece};

/// From these shares of failed requests on, look, and act.
const ERRORS_WARN: f64 = 0.01;
const ERRORS_BAD: f64 = 0.05;
/// So many requests a minute served elsewhere than intended are worth a look.
const FAILOVERS_WARN: f64 = 10.0;
/// A latency this many times that of the whole run is worth a look.
const LATENCY_WARN: f64 = 1.5;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let Some(snapshot) = model.snapshot() else {
        return;
    };
    let done = model.frame.as_ref().is_some_and(|frame| frame.state == RunState::Done);
    let facts =
        if done { whole(&snapshot.run, model.glyphs()) } else { facts(snapshot, model.glyphs()) };
    let facts = pen::fit(facts, usize::from(place.width), 2);
    pen::facts(buf, place, model.theme(), &facts, 2);
}

fn plain(rank: u8, label: &str, value: String) -> LabelledFact {
    let pieces = vec![piece(format!("{label} "), Role::Dim), piece(value, Role::Strong)];
    LabelledFact { pieces, rank }
}

/// A figure that is worth a look: in colour and with a sign.
fn loud(rank: u8, label: &str, value: &str, role: Role, glyphs: &Set) -> LabelledFact {
    let value = piece(format!("{value}{}", glyphs.rising), role);
    LabelledFact { pieces: vec![piece(format!("{label} "), Role::Dim), value], rank }
}

fn facts(snapshot: &Snapshot, glyphs: &Set) -> Vec<LabelledFact> {
    let (window, run) = (&snapshot.window, &snapshot.run);
    vec![
        plain(240, "req/s", rate(window.requests_per_s)),
        plain(200, "p50", latency(window.p50, glyphs)),
        plain(100, "p95", latency(window.p95, glyphs)),
        tail(window, run, glyphs),
        plain(60, "p99 run", latency(run.p99, glyphs)),
        errors(window, glyphs),
        plain(170, "in-fl", count(snapshot.requests.in_flight as f64)),
        plain(160, "queue", count(window.waiting as f64)),
        plain(180, "$/h", dollars(window.dollars_per_hour)),
        plain(150, "tok/s", count(window.tokens_per_s)),
        failovers(window, glyphs),
        plain(90, "TTFT p99 run", latency(snapshot.run.ttft_p99, glyphs)),
    ]
}

/// The figures of a run that is over; its last ten seconds say little.
fn whole(run: &Figures, glyphs: &Set) -> Vec<LabelledFact> {
    vec![
        LabelledFact { pieces: vec![piece("whole run", Role::Strong)], rank: 250 },
        plain(150, "req/s", rate(run.requests_per_s)),
        plain(200, "p50", latency(run.p50, glyphs)),
        plain(190, "p95", latency(run.p95, glyphs)),
        plain(230, "p99", latency(run.p99, glyphs)),
        plain(210, "TTFT p99", latency(run.ttft_p99, glyphs)),
        errors(run, glyphs),
        plain(180, "$/h", dollars(run.dollars_per_hour)),
        plain(140, "tok/s", count(run.tokens_per_s)),
        plain(130, "failover/min", count(run.failovers_per_min)),
    ]
}

fn latency(span: Option<Span>, glyphs: &Set) -> String {
    span.map_or_else(|| glyphs.none.to_owned(), |span| format!("{}s", seconds(span)))
}

fn tail(window: &Figures, run: &Figures, glyphs: &Set) -> LabelledFact {
    let text = latency(window.p99, glyphs);
    match (window.p99, run.p99) {
        (Some(now), Some(usual)) if now > usual.scale(LATENCY_WARN) => {
            loud(230, "p99", &text, Role::Warn, glyphs)
        }
        _ => plain(230, "p99", text),
    }
}

fn errors(window: &Figures, glyphs: &Set) -> LabelledFact {
    let text = format!("{}%", percent_fine(window.error_share));
    match window.error_share {
        share if share >= ERRORS_BAD => loud(220, "err", &text, Role::Down, glyphs),
        share if share >= ERRORS_WARN => loud(220, "err", &text, Role::Warn, glyphs),
        _ => plain(220, "err", text),
    }
}

fn failovers(window: &Figures, glyphs: &Set) -> LabelledFact {
    let text = count(window.failovers_per_min);
    if window.failovers_per_min >= FAILOVERS_WARN {
        loud(140, "failover/min", &text, Role::Warn, glyphs)
    } else {
        plain(140, "failover/min", text)
    }
}
