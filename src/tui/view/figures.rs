//! The second row: the key figures of the last ten seconds, quiet while they are healthy; of the
//! whole run when it is over.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::{Figures, NEVER, Snapshot};
use crate::tui::format::{count, dollars, grouped, percent_fine, rate, seconds};
use crate::tui::glyph::Set;
use crate::tui::model::Model;
use crate::tui::theme::Role;
use crate::unit::Span;

use super::pen::{self, LabelledFact, piece};
use super::plot::is_few;

/// From these shares of failed requests on, look, and act.
const ERRORS_WARN: f64 = 0.01;
const ERRORS_BAD: f64 = 0.05;
/// So many requests a minute served elsewhere than intended are worth a look.
const FAILOVERS_WARN: f64 = 10.0;
/// If so large a share of requests did not keep what was promised, the 99 % quantile did not.
const LATE_WARN: f64 = 0.01;
/// Where nothing is promised: a latency this many times that of the whole run is worth a look.
const LATENCY_WARN: f64 = 1.5;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let Some(snapshot) = model.snapshot() else {
        return;
    };
    let facts = if model.is_done() { whole(model, snapshot) } else { facts(model, snapshot) };
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

fn facts(model: &Model, snapshot: &Snapshot) -> Vec<LabelledFact> {
    let (window, run, glyphs) = (&snapshot.window, &snapshot.run, model.glyphs());
    let working = snapshot.requests.in_flight.saturating_sub(window.waiting);
    let mut facts = vec![
        plain(240, "req/s", rate(window.requests_per_s)),
        quantile(200, "p50", window.p50, window, glyphs),
        quantile(100, "p95", window.p95, window, glyphs),
        tail(window, run, glyphs),
    ];
    facts.extend(of_all(window, glyphs));
    if is_few(window.samples) && window.samples > 0 {
        let few = format!("n {}", window.samples);
        facts.push(LabelledFact { pieces: vec![piece(few, Role::Warn)], rank: 229 });
    }
    facts.extend([
        first_token(window, glyphs),
        plain(60, "p99 run", latency(run.p99, glyphs)),
        errors(window, glyphs),
        plain(170, "in-fl", count(working as f64)),
        plain(160, "queue", count(window.waiting as f64)),
    ]);
    if model.has_prices() {
        facts.push(plain(180, "$/h", dollars(window.dollars_per_hour)));
        facts.push(plain(70, "$ so far", dollars(snapshot.totals.dollars)));
        let per_1k = snapshot.totals.dollars_per_1k;
        let per_1k = per_1k.map_or_else(|| glyphs.none.to_owned(), dollars);
        facts.push(plain(65, "$/1k", per_1k));
    }
    facts.extend([
        plain(150, "tok/s", count(window.tokens_per_s)),
        failovers(window, glyphs),
        plain(80, "retry/min", count(window.retries_per_min)),
        plain(50, "TTFT p99 run", latency(run.ttft_p99, glyphs)),
    ]);
    facts
}

/// The figures of a run that is over; its last ten seconds say little.
fn whole(model: &Model, snapshot: &Snapshot) -> Vec<LabelledFact> {
    let (run, totals, glyphs) = (&snapshot.run, &snapshot.totals, model.glyphs());
    let after = if totals.warmup > Span::ZERO {
        format!(" after {} of warm-up", totals.warmup)
    } else {
        String::new()
    };
    let mut facts = vec![
        LabelledFact { pieces: vec![piece("whole run", Role::Strong)], rank: 250 },
        LabelledFact { pieces: vec![piece(after.trim().to_owned(), Role::Dim)], rank: 120 },
        plain(110, "requests", grouped(totals.requests.arrived)),
        plain(150, "req/s", rate(run.requests_per_s)),
        plain(200, "p50", latency(run.p50, glyphs)),
        plain(190, "p95", latency(run.p95, glyphs)),
        plain(230, "p99", latency(run.p99, glyphs)),
    ];
    facts.extend(of_all(run, glyphs));
    facts.extend([plain(210, "TTFT p99", latency(run.ttft_p99, glyphs)), errors(run, glyphs)]);
    if model.has_prices() {
        facts.push(plain(180, "$/h", dollars(run.dollars_per_hour)));
        facts.push(plain(125, "$", dollars(totals.dollars)));
    }
    facts.extend([
        plain(140, "tok/s", count(run.tokens_per_s)),
        plain(130, "failovers", grouped(totals.failovers)),
        plain(105, "retries", grouped(totals.retries)),
    ]);
    facts.retain(|fact| fact.pieces.iter().any(|(text, _)| !text.is_empty()));
    facts
}

fn latency(span: Option<Span>, glyphs: &Set) -> String {
    span.map_or_else(|| glyphs.none.to_owned(), |span| format!("{}s", seconds(span)))
}

/// A time that may never come.
pub(super) fn time(span: Span, glyphs: &Set) -> String {
    if span == NEVER { glyphs.never.to_owned() } else { seconds(span) }
}

/// A quantile; of few samples it is quiet.
fn quantile(rank: u8, label: &str, span: Option<Span>, of: &Figures, glyphs: &Set) -> LabelledFact {
    let role = if is_few(of.samples) { Role::Dim } else { Role::Strong };
    let value = piece(latency(span, glyphs), role);
    LabelledFact { pieces: vec![piece(format!("{label} "), Role::Dim), value], rank }
}

/// The tail: loud where more than one in a hundred did not keep what was promised, and where nothing is
/// promised if it is much longer than it was over the run.
fn tail(window: &Figures, run: &Figures, glyphs: &Set) -> LabelledFact {
    let text = latency(window.p99, glyphs);
    let long = match window.late {
        Some(late) => late > LATE_WARN,
        None => match (window.p99, run.p99) {
            (Some(now), Some(usual)) => now > usual.scale(LATENCY_WARN),
            _ => false,
        },
    };
    if long && !is_few(window.samples) {
        return loud(230, "p99", &text, Role::Warn, glyphs);
    }
    quantile(230, "p99", window.p99, window, glyphs)
}

/// The tail of all requests, where some had no answer: it is not what the completed ones say.
fn of_all(figures: &Figures, glyphs: &Set) -> Option<LabelledFact> {
    let all = figures.p99_all.filter(|_| figures.error_share > 0.0)?;
    let unit = if all == NEVER { "" } else { "s" };
    let differs = figures.p99.is_none_or(|p99| all > p99.scale(1.05));
    let role = if differs { Role::Down } else { Role::Strong };
    let value = piece(format!("{}{unit}", time(all, glyphs)), role);
    let label = piece("p99 with failed ", Role::Dim);
    Some(LabelledFact { pieces: vec![label, value], rank: if differs { 215 } else { 75 } })
}

fn first_token(window: &Figures, glyphs: &Set) -> LabelledFact {
    match window.late_first {
        Some(late) if late > LATE_WARN && !is_few(window.samples) => {
            loud(175, "TTFT p99", &latency(window.ttft_p99, glyphs), Role::Warn, glyphs)
        }
        _ => quantile(115, "TTFT p99", window.ttft_p99, window, glyphs),
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
