//! Where things go: from the size of the screen to rectangles. A pure function, so that moving
//! through rows and drawing them agree on how many there are.

use ratatui::layout::Rect;

use super::model::{Model, Panel};

/// The least size the screen can be drawn in.
pub(super) const SIZE_MIN: (u16, u16) = (60, 16);

/// Below this many columns only the nodes table has room (and a chart, if high enough).
const COMPACT: u16 = 80;
/// From this many columns on, money and decisions are shown as well.
const NORMAL: u16 = 110;
/// From this many columns on, there are three columns.
const WIDE: u16 = 180;

/// A chart is drawn with at least so many rows, borders included.
const CHART_ROWS: u16 = 8;
/// Text panels below the charts get no more rows than this.
const TEXT_ROWS: u16 = 18;
/// The list of decisions has no use for more columns than this.
const DECISIONS_WIDTH: u16 = 66;
/// From this many columns on the view of decisions has its two parts side by side.
const SIDE_BY_SIDE: u16 = 170;
/// Two rows of panels below the nodes need so many rows.
const TWO_ROWS: u16 = 18;

/// Promises have a row of their own from this size on.
const PROMISES: (u16, u16) = (120, 30);

/// The rectangles of the live screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) strip: Rect,
    pub(super) figures: Rect,
    /// What the scenario promises; without height where nothing is, or where there is no room.
    pub(super) promises: Rect,
    pub(super) body: Rect,
    pub(super) hints: Rect,
    pub(super) panels: Vec<(Panel, Rect)>,
}

impl Layout {
    pub(super) fn has(&self, panel: Panel) -> bool {
        self.panels.iter().any(|(here, _)| *here == panel)
    }
}

/// Returns the rectangles of the live screen; none if there is too little room.
pub(super) fn live(model: &Model, area: Rect) -> Option<Layout> {
    let mut layout = whole(model, area)?;
    if model.ui.expanded {
        layout.panels = vec![(model.ui.focus, layout.body)];
    }
    Some(layout)
}

/// Returns the panels that can have the focus, in the order of Tab.
pub(super) fn panels(model: &Model) -> Vec<Panel> {
    let layout = whole(model, screen(model)).unwrap_or_default();
    layout.panels.iter().map(|(panel, _)| *panel).collect()
}

/// Returns how many rows of the nodes table are in sight.
pub(super) fn node_rows(model: &Model) -> usize {
    rows_of(model, Panel::Nodes, 3)
}

/// Returns how many entries of the log are in sight.
pub(super) fn log_rows(model: &Model) -> usize {
    rows_of(model, Panel::Log, 2)
}

/// Where the view of decisions has its list, and the one that is shown: side by side if there is
/// room for it.
pub(super) fn why(body: Rect, nodes: usize) -> (Rect, Rect) {
    if body.width >= SIDE_BY_SIDE {
        return cut_columns(body, DECISIONS_WIDTH);
    }
    // All nodes in one tier is the most there can be: so nothing jumps from one decision to the next.
    let rows = nodes.saturating_add(8).min(u16::MAX as usize) as u16;
    let most = (body.height * 2 / 3).max(body.height.saturating_sub(9));
    let (detail, list) = cut_rows(body, rows.clamp(8, most.max(8)));
    (list, detail)
}

/// Returns how many decisions are in sight in the list.
pub(super) fn decision_rows(model: &Model) -> usize {
    let body = whole(model, screen(model)).unwrap_or_default().body;
    usize::from(why(body, model.order.len()).0.height.saturating_sub(2))
}

/// The rectangles of the view of latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeatPlaces {
    /// The panel of the map.
    pub(super) panel: Rect,
    /// Failures above the map, one row each.
    pub(super) lanes: Rect,
    /// The cells of the map.
    pub(super) cells: Rect,
    /// The column of the cursor.
    pub(super) readout: Option<Rect>,
    /// One row a node, on the same columns.
    pub(super) nodes: Option<Rect>,
}

/// Columns left of the map: labels of rows, or names of nodes.
const HEAT_AXIS: (u16, u16) = (7, 13);
/// Rows of lanes above the map, and of axis and legend below it.
const HEAT_LANES: u16 = 2;
const HEAT_BELOW: u16 = 3;

/// Splits the body of the view of latencies.
pub(super) fn latency(body: Rect, nodes: usize) -> HeatPlaces {
    let below = (nodes.clamp(1, 12) as u16 + 2).min(body.height / 3);
    let with_nodes = body.width >= NORMAL && body.height >= 32;
    let (top, low) = cut_rows(body, body.height - if with_nodes { below } else { 0 });
    let aside = match body.width {
        WIDE.. => 56,
        NORMAL.. => 32,
        COMPACT.. => 24,
        _ => 0,
    };
    let (panel, readout) = cut_columns(top, top.width - aside);
    let axis = if with_nodes { HEAT_AXIS.1 } else { HEAT_AXIS.0 };
    let inner = Rect {
        x: panel.x + 1 + axis,
        y: panel.y + 1,
        width: panel.width.saturating_sub(axis + 3),
        height: panel.height.saturating_sub(2),
    };
    let (lanes, rest) = cut_rows(inner, HEAT_LANES);
    let (cells, _) = cut_rows(rest, rest.height.saturating_sub(HEAT_BELOW));
    HeatPlaces {
        panel,
        lanes,
        cells,
        readout: (aside > 0).then_some(readout),
        nodes: with_nodes.then_some(low),
    }
}

/// Returns where the view of latencies has what.
pub(super) fn heat(model: &Model) -> HeatPlaces {
    latency(whole(model, screen(model)).unwrap_or_default().body, model.order.len())
}

/// Returns how many rows the view of events has.
pub(super) fn event_rows(model: &Model) -> usize {
    let body = whole(model, screen(model)).unwrap_or_default().body;
    usize::from(body.height.saturating_sub(2))
}

fn rows_of(model: &Model, panel: Panel, frame: u16) -> usize {
    let layout = live(model, screen(model)).unwrap_or_default();
    let found = layout.panels.iter().find(|(here, _)| *here == panel);
    found.map_or(0, |(_, area)| usize::from(area.height.saturating_sub(frame)))
}

fn screen(model: &Model) -> Rect {
    Rect::new(0, 0, model.ui.size.0, model.ui.size.1)
}

fn whole(model: &Model, area: Rect) -> Option<Layout> {
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        return None;
    }
    let row = |y: u16| Rect::new(area.x, area.y + y, area.width, 1);
    let judged = model.snapshot().is_some_and(|snapshot| !snapshot.expects.is_empty());
    let rows = u16::from(judged && area.width >= PROMISES.0 && area.height >= PROMISES.1);
    let body = Rect::new(area.x, area.y + 2 + rows, area.width, area.height - 3 - rows);
    Some(Layout {
        strip: row(0),
        figures: row(1),
        promises: Rect { height: rows, ..row(2) },
        body,
        hints: row(area.height - 1),
        panels: arrange(model, body),
    })
}

/// Splits the body. Nodes survive longest, then latency, the log, the decision, money.
fn arrange(model: &Model, body: Rect) -> Vec<(Panel, Rect)> {
    let nodes = model.order.len().clamp(3, 500) as u16 + 3;
    let two_rows = body.width >= NORMAL && body.height >= TWO_ROWS + 6;
    let below_min = if two_rows { TWO_ROWS } else { CHART_ROWS + 2 };
    if body.height < below_min + 6 {
        return vec![(Panel::Nodes, body)];
    }
    let most = (body.height - below_min).min((body.height * 3 / 5).max(11));
    let (top, below) = cut_rows(body, nodes.min(most));
    let mut panels = top_row(top);
    if !two_rows {
        panels.extend(only_row(below));
        return panels;
    }
    // The charts get the odd rows: they make more of them than text does.
    let text_rows = (below.height * 6 / 13).min(TEXT_ROWS);
    let (middle, bottom) = cut_rows(below, below.height - text_rows);
    panels.extend(chart_row(middle));
    let (left, right) = cut_columns(bottom, bottom.width / 2 + 1);
    panels.extend([(Panel::Decision, left), (Panel::Log, right)]);
    panels
}

fn top_row(area: Rect) -> Vec<(Panel, Rect)> {
    if area.width < WIDE {
        return vec![(Panel::Nodes, area)];
    }
    let (left, right) = cut_columns(area, area.width - 46);
    vec![(Panel::Nodes, left), (Panel::Pools, right)]
}

fn only_row(area: Rect) -> Vec<(Panel, Rect)> {
    if area.width < COMPACT {
        return vec![(Panel::Latency, area)];
    }
    let (left, right) = cut_columns(area, area.width * 23 / 40);
    vec![(Panel::Latency, left), (Panel::Log, right)]
}

fn chart_row(area: Rect) -> Vec<(Panel, Rect)> {
    if area.width < WIDE {
        let (left, right) = cut_columns(area, area.width / 2 + 1);
        return vec![(Panel::Latency, left), (Panel::Cost, right)];
    }
    let (left, rest) = cut_columns(area, area.width / 2);
    let (middle, right) = cut_columns(rest, rest.width / 2);
    vec![(Panel::Latency, left), (Panel::Cost, middle), (Panel::Load, right)]
}

fn cut_rows(area: Rect, top: u16) -> (Rect, Rect) {
    let top = top.min(area.height);
    let below = Rect { y: area.y + top, height: area.height - top, ..area };
    (Rect { height: top, ..area }, below)
}

fn cut_columns(area: Rect, left: u16) -> (Rect, Rect) {
    let left = left.min(area.width);
    let right = Rect { x: area.x + left, width: area.width - left, ..area };
    (Rect { width: left, ..area }, right)
}
