//! What stands above and across the latency chart: the lane of failures and what the scenario promises.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::metrics::Snapshot;
use crate::tui::chart::ChartWindow;
use crate::tui::format::percent;
use crate::tui::glyph::Set;
use crate::tui::model::Model;
use crate::tui::theme::Role;

use super::pen;
use super::plot::points;

/// From these shares of failed requests on a column of the lane is higher.
const STEPS: [f64; 4] = [0.0, 0.01, 0.05, 0.25];

/// Returns whether anything failed in the stretch of time that is shown: else there is no lane.
pub(super) fn is_wanted(snapshot: &Snapshot, window: &ChartWindow) -> bool {
    let shown = points(&snapshot.history).filter(|(at, _)| window.place(*at).is_some());
    shown.into_iter().any(|(_, point)| point.error_share > 0.0)
}

/// Draws the share of requests that failed or were turned away, over time, in one row.
pub(super) fn draw(
    model: &Model,
    snapshot: &Snapshot,
    window: &ChartWindow,
    (area, plot): (Rect, Rect),
    buf: &mut Buffer,
) {
    let row = Rect { height: 1, ..area };
    let label = Rect { width: plot.x.saturating_sub(area.x + 1), ..row };
    let theme = model.theme();
    pen::right(buf, label, 0, "fail", theme.style(Role::Dim));
    let mut columns = vec![0.0_f64; usize::from(plot.width)];
    for (at, point) in points(&snapshot.history) {
        let column = window.place(at).map(|dot| usize::from(dot / 2));
        if let Some(worst) = column.and_then(|column| columns.get_mut(column)) {
            *worst = worst.max(point.error_share);
        }
    }
    for (x, share) in (plot.x..).zip(columns) {
        let style = theme.style(Role::Errors);
        pen::put(buf, row, x, row.y, level(share, model.glyphs()), style);
    }
    let now = snapshot.window.error_share;
    // The figure in full stands among the key figures; here there are three columns.
    let text = if now >= 0.995 { "all".to_owned() } else { percent(now) };
    let role = if now > 0.0 { Role::Errors } else { Role::Dim };
    let place = Rect { x: plot.right() + 1, width: 3, ..row };
    pen::put(buf, place, place.x, place.y, &text, theme.style(role));
}

fn level(share: f64, glyphs: &Set) -> &'static str {
    let steps = STEPS.iter().filter(|step| share > **step).count();
    if steps == 0 { " " } else { glyphs.levels[steps - 1] }
}

/// A promise about the last token, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Promise {
    pub(super) seconds: f64,
    /// What the line is called.
    pub(super) label: String,
}

/// Returns the promises of the scenario about the last token, the strictest first: the strictest and the
/// widest where classes have several.
pub(super) fn promises(snapshot: &Snapshot) -> Vec<Promise> {
    let of_class = snapshot.classes.iter();
    let mut told: Vec<(f64, &str)> =
        of_class.filter_map(|row| Some((row.slo.total?.seconds(), row.name.as_str()))).collect();
    told.sort_by(|a, b| a.0.total_cmp(&b.0));
    let several = told.first().map(|first| first.0) < told.last().map(|last| last.0);
    let ends = told.first().into_iter().chain(told.last().filter(|_| several));
    let promise = |(seconds, class): &(f64, &str)| {
        let whose = if several { format!("{class} ") } else { String::new() };
        Promise { seconds: *seconds, label: format!("SLO {whose}{}s", trimmed(*seconds)) }
    };
    ends.map(promise).collect()
}

fn trimmed(seconds: f64) -> String {
    let text = format!("{seconds:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
