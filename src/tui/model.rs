//! What the screen knows: the newest frame and what the person has chosen to look at. Plain data,
//! no styles, no clock; `update` changes it, `view` draws it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Explanation, usable};
use crate::command::{Command, Frame, Mode, OtherChoice, Pace, RunState};
use crate::metrics::{
    AttemptOutcome, GroupRow, HeatScope, LogEntry, LogLevel, NodeRow, PoolRow, Snapshot,
};
use crate::unit::{NodeId, PoolId, Span, Time};

use super::Options;
use super::faults::FaultPalette;
use super::glyph::{Glyphs, Set};
use super::heat::{HeatGrid, HeatLook, HeatRows, HeatTicks};
use super::keys::{Context, KeyAction, KeyMap};
use super::layout;
use super::query;
use super::rollup::{self, RollupRow};
pub(super) use super::rows::RowsOf;
pub(super) use super::sort::SortKey;
use super::tab::View;
use super::theme::{Theme, ThemeName};

/// Everything a picture depends on.
#[derive(Debug)]
pub(super) struct Model {
    /// What is shown.
    pub(super) frame: Option<Arc<Frame>>,
    /// What has come since, while the picture is frozen.
    pub(super) newer: Option<Arc<Frame>>,
    /// Rows of the nodes table from top to bottom, as indices into the snapshot.
    pub(super) order: Vec<usize>,
    /// What the nodes table is measured by.
    pub(super) widths: Widths,
    /// What the person has chosen.
    pub(super) ui: Ui,
    /// The engine has said that no more frames will come.
    pub(super) closed: bool,
    ranks: Vec<NodeId>,
    sorted_at: Option<Duration>,
}

/// What the nodes table is measured by: the widest texts in columns, the greatest share.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Widths {
    pub(super) name: usize,
    pub(super) kind: usize,
    pub(super) in_flight: usize,
    /// The greatest share of traffic: the full length of a share bar.
    pub(super) share: f64,
}

/// What the person has chosen to look at.
#[derive(Debug)]
pub(super) struct Ui {
    pub(super) size: (u16, u16),
    pub(super) view: View,
    pub(super) focus: Panel,
    pub(super) expanded: bool,
    pub(super) selected: Option<NodeId>,
    /// The first visible row of the nodes table.
    pub(super) top: usize,
    /// The entry that stands uppermost in the log, while somebody reads back; else the newest does.
    pub(super) log_at: Option<u64>,
    pub(super) sort: SortKey,
    pub(super) reversed: bool,
    /// Index into [`RANGES`].
    pub(super) range: usize,
    pub(super) lines: Lines,
    pub(super) rows: RowsOf,
    pub(super) overlay: Overlay,
    pub(super) theme: ThemeName,
    pub(super) glyphs: Glyphs,
    pub(super) no_color: bool,
    pub(super) keys: KeyMap,
    /// A live run cannot be stopped, so its picture is.
    pub(super) frozen: bool,
    /// What was asked of the engine and not yet seen in a frame.
    pub(super) asked: Asked,
    pub(super) notice: Option<String>,
    /// When the notice was first seen by a frame: it does not hide what keys do for long.
    pub(super) notice_at: Option<Duration>,
    /// Which of those that are compared is selected.
    pub(super) lane: usize,
    /// The earlier moment that is looked at.
    pub(super) looked: Option<Time>,
    /// What the engine was asked to foresee.
    pub(super) foreseen: Vec<Command>,
    /// What is chosen in the list of faults.
    pub(super) faults: FaultPalette,
    /// The decision that is held in sight; kept here, since it may leave the ring while somebody is
    /// reading. Without one the newest is followed.
    pub(super) pinned: Option<Arc<Explanation>>,
    /// How the attempt of the pinned decision ended, once it was seen to.
    pub(super) outcome: Option<AttemptOutcome>,
    /// What the engine was asked to find out of a decision.
    pub(super) doubted: Option<OtherChoice>,
    /// What is looked at in the map of latencies.
    pub(super) heat: HeatLook,
    /// What was typed to search the list that is open.
    pub(super) typed: String,
    /// Which nodes are listed: all, if empty.
    pub(super) filter: String,
    /// What is looked at in the events.
    pub(super) events: EventsLook,
}

/// What is looked at in the view of events. Entries are known by their numbers, so that what is read stays
/// where it is when others come.
#[derive(Clone, Debug, Default)]
pub(super) struct EventsLook {
    /// The selected entry; without one it is the newest.
    pub(super) at: Option<u64>,
    /// The uppermost entry; without one it is the newest.
    pub(super) top: Option<u64>,
    pub(super) kind: Option<LogLevel>,
    pub(super) node: Option<NodeId>,
    pub(super) search: String,
}

/// What was asked of the engine and not yet answered; forgotten after a few frames, because an
/// engine may refuse.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Nodes that are to be killed (`true`) or healed.
    pub(super) killed: BTreeMap<NodeId, bool>,
    pub(super) pace: Option<Pace>,
    pub(super) paused: Option<bool>,
    pub(super) load: Option<f64>,
    frames: u8,
}

/// A part of the screen that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Panel {
    Nodes,
    Pools,
    Latency,
    Cost,
    Load,
    Decision,
    Log,
}

/// What lies over the panels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Overlay {
    #[default]
    None,
    /// Help and commands; `prompt` if it was opened to type a command.
    Palette {
        at: usize,
        prompt: bool,
    },
    /// The line that filters nodes.
    Filter,
    /// The line that searches events.
    Search,
    /// What is selected, in full.
    Card,
    Pools {
        at: usize,
    },
    Strategies {
        pool: PoolId,
        at: usize,
    },
    /// Which strategy takes part in a comparison.
    Contenders {
        at: usize,
    },
    /// What goes wrong.
    Faults,
    /// By which column nodes are sorted.
    Columns,
}

/// Which latency lines are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lines {
    #[default]
    All,
    Tail,
    Median,
}

impl Lines {
    pub(super) const fn next(self) -> Lines {
        match self {
            Lines::All => Lines::Tail,
            Lines::Tail => Lines::Median,
            Lines::Median => Lines::All,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Lines::All => "p50 p95 p99",
            Lines::Tail => "p99",
            Lines::Median => "p50",
        }
    }
}

/// Time ranges of the charts; the last one is the whole run.
pub(super) const RANGES: [Option<Span>; 8] = [
    Some(Span::from_secs(15)),
    Some(Span::from_secs(30)),
    Some(Span::from_secs(60)),
    Some(Span::from_secs(120)),
    Some(Span::from_secs(300)),
    Some(Span::from_secs(900)),
    Some(Span::from_secs(3_600)),
    None,
];

/// The range charts begin with.
pub(super) const RANGE_DEFAULT: usize = 2;

/// From so many nodes on there is a grid of them.
const GRID_MIN: usize = 24;

/// A re-sort moves rows under the eye, so there is at most one a second.
const SORT_EVERY: Duration = Duration::from_secs(1);

/// A notice is shown so long while frames come, or until the next key.
const NOTICE: Duration = Duration::from_secs(4);

/// After so many frames a wish counts as refused.
const ASKED_FRAMES: u8 = 4;

impl Model {
    pub(super) fn new(options: &Options) -> Model {
        let Options { theme, glyphs, no_color, ref keys, .. } = *options;
        let theme = if no_color { ThemeName::Mono } else { theme };
        Model {
            frame: None,
            newer: None,
            order: Vec::new(),
            widths: Widths::default(),
            ui: Ui {
                size: (80, 24),
                view: View::Live,
                focus: Panel::Nodes,
                expanded: false,
                selected: None,
                top: 0,
                log_at: None,
                sort: SortKey::File,
                reversed: false,
                range: RANGE_DEFAULT,
                lines: Lines::All,
                rows: RowsOf::Nodes,
                overlay: Overlay::None,
                theme,
                glyphs,
                no_color,
                keys: keys.clone(),
                frozen: false,
                asked: Asked::default(),
                notice: None,
                notice_at: None,
                lane: 0,
                looked: None,
                foreseen: Vec::new(),
                faults: FaultPalette::default(),
                pinned: None,
                outcome: None,
                doubted: None,
                heat: HeatLook::default(),
                typed: String::new(),
                filter: String::new(),
                events: EventsLook::default(),
            },
            closed: false,
            ranks: Vec::new(),
            sorted_at: None,
        }
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.frame.as_deref().map(|frame| &*frame.snapshot)
    }

    pub(super) fn theme(&self) -> Theme {
        Theme::new(self.ui.theme)
    }

    pub(super) fn glyphs(&self) -> &'static Set {
        self.ui.glyphs.set()
    }

    pub(super) fn context(&self) -> Context {
        match self.ui.overlay {
            Overlay::None => Context::View(self.ui.view),
            Overlay::Palette { .. }
            | Overlay::Pools { .. }
            | Overlay::Strategies { .. }
            | Overlay::Contenders { .. } => Context::List,
            Overlay::Filter | Overlay::Search => Context::Line,
            Overlay::Card => Context::Card,
            Overlay::Faults => Context::Faults,
            Overlay::Columns => Context::Columns,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&NodeRow> {
        self.snapshot()?.nodes.iter().find(|row| row.id == id)
    }

    pub(super) fn pool(&self, id: PoolId) -> Option<&PoolRow> {
        self.snapshot()?.pools.iter().find(|row| row.id == id)
    }

    /// Returns the decisions that were explained lately, newest first.
    pub(super) fn decisions(&self) -> impl ExactSizeIterator<Item = &Arc<Explanation>> {
        self.snapshot().map_or(&[][..], |snapshot| &snapshot.decisions).iter().rev()
    }

    /// Returns the decision that is shown in full: the pinned one, or else the newest.
    pub(super) fn inspected(&self) -> Option<&Arc<Explanation>> {
        self.ui.pinned.as_ref().or_else(|| self.decisions().next())
    }

    /// Returns how the attempt of a decision ended, if it has and that was seen.
    pub(super) fn outcome(&self, one: &Explanation) -> Option<&AttemptOutcome> {
        let seen = self.snapshot().map_or(&[][..], |snapshot| &snapshot.outcomes);
        let mut known = self.ui.outcome.iter().chain(seen.iter().rev());
        known.find(|outcome| outcome.attempt == one.attempt)
    }

    /// Returns its place in the list; `None` if it has left the ring.
    pub(super) fn inspected_row(&self) -> Option<usize> {
        let shown = self.inspected()?;
        let same =
            |other: &Arc<Explanation>| (other.attempt, other.at) == (shown.attempt, shown.at);
        self.decisions().position(same)
    }

    /// Returns the first visible row of the log, counted from the newest. Who reads back keeps what is read
    /// where it is while others come on top.
    pub(super) fn log_top(&self) -> usize {
        let (Some(snapshot), Some(at)) = (self.snapshot(), self.ui.log_at) else {
            return 0;
        };
        snapshot.log.iter().rev().take_while(|entry| entry.id > at).count()
    }

    /// Returns the events that are listed, newest first.
    pub(super) fn events(&self) -> Vec<&LogEntry> {
        let look = &self.ui.events;
        let log = self.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
        let listed = |entry: &&LogEntry| {
            look.kind.is_none_or(|kind| entry.level == kind)
                && look.node.is_none_or(|node| entry.node == Some(node))
        };
        log.iter().rev().filter(listed).collect()
    }

    /// Returns the place of the selected event; of one that is not listed, that of the next older.
    pub(super) fn event_at(&self) -> usize {
        self.event_place(self.ui.events.at)
    }

    /// Returns the place of the uppermost event, so that the selected one is in sight.
    pub(super) fn event_top(&self) -> usize {
        let rows = layout::event_rows(self).max(1);
        let at = self.event_at();
        let last = self.events().len().saturating_sub(rows);
        let top = self.event_place(self.ui.events.top).min(last);
        top.clamp((at + 1).saturating_sub(rows), at)
    }

    fn event_place(&self, id: Option<u64>) -> usize {
        let Some(id) = id else { return 0 };
        let events = self.events();
        let newer = events.iter().take_while(|entry| entry.id > id).count();
        newer.min(events.len().saturating_sub(1))
    }

    /// Returns the place of the selected node among the rows.
    pub(super) fn selected_row(&self) -> Option<usize> {
        let id = self.ui.selected?;
        let nodes = &self.snapshot()?.nodes;
        self.order.iter().position(|&index| nodes[index].id == id)
    }

    /// Returns whether the run stands still because someone wanted it to.
    pub(super) fn is_paused(&self) -> bool {
        let shown = self.frame.as_ref().is_some_and(|frame| frame.state == RunState::Paused);
        self.ui.asked.paused.unwrap_or(shown)
    }

    pub(super) fn pace(&self) -> Option<Pace> {
        self.ui.asked.pace.or(self.frame.as_ref().map(|frame| frame.pace))
    }

    pub(super) fn mode(&self) -> Mode {
        self.frame.as_ref().map_or(Mode::Sim, |frame| frame.mode)
    }

    /// Returns whether anything has a price: where nothing has, money is not shown.
    pub(super) fn has_prices(&self) -> bool {
        self.snapshot().is_none_or(|shown| shown.priced)
    }

    /// Returns whether this node, or any if none is meant, can be made to fail by hand.
    pub(super) fn can_break(&self, node: Option<NodeId>) -> bool {
        self.frame.as_ref().is_none_or(|frame| match node {
            Some(node) => frame.breakable.has(node),
            None => !frame.breakable.is_empty(),
        })
    }

    /// Returns whether a key of this action does anything here and now.
    pub(super) fn can(&self, action: KeyAction) -> bool {
        let (simulated, over) = (self.mode() == Mode::Sim, self.is_over());
        match action {
            KeyAction::Restart | KeyAction::Reseed => simulated,
            KeyAction::Slower
            | KeyAction::Faster
            | KeyAction::Normal
            | KeyAction::Fastest
            | KeyAction::StepInput
            | KeyAction::StepTick => simulated && !over,
            KeyAction::KillOrHeal | KeyAction::Faults => self.can_break(None) && !over,
            KeyAction::Pause | KeyAction::Choose => !over,
            _ => true,
        }
    }

    /// Returns whether the run came to its end.
    pub(super) fn is_done(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.state == RunState::Done)
    }

    /// Returns the rows of the table that stands in the place of the nodes.
    pub(super) fn group_rows(&self) -> &[GroupRow] {
        let Some(shown) = self.snapshot() else { return &[] };
        match self.ui.rows {
            RowsOf::Nodes | RowsOf::Grid | RowsOf::Pools | RowsOf::Regions => &[],
            RowsOf::Classes => &shown.classes,
            RowsOf::Tenants => &shown.tenants,
            RowsOf::Jobs => &shown.jobs,
        }
    }

    /// Returns the nodes by pool or by region, if that is what there are rows of.
    pub(super) fn rollups(&self) -> Vec<RollupRow> {
        let Some(frame) = &self.frame else { return Vec::new() };
        match self.ui.rows {
            RowsOf::Pools => rollup::pools(&frame.snapshot),
            RowsOf::Regions => rollup::regions(&frame.snapshot, &frame.groups),
            _ => Vec::new(),
        }
    }

    /// Returns whether there is something to see in such rows that others do not show.
    fn has_rows(&self, rows: RowsOf) -> bool {
        let Some(frame) = &self.frame else { return rows == RowsOf::Nodes };
        let shown = &frame.snapshot;
        match rows {
            RowsOf::Nodes => true,
            RowsOf::Grid => shown.nodes.len() >= GRID_MIN,
            RowsOf::Pools => shown.pools.len() > 1,
            RowsOf::Regions => {
                frame.groups.iter().filter(|group| group.word == "region").count() > 1
            }
            RowsOf::Classes => !shown.classes.is_empty(),
            RowsOf::Tenants => !shown.tenants.is_empty(),
            RowsOf::Jobs => !shown.jobs.is_empty(),
        }
    }

    /// Shows rows of something else, of what there is.
    pub(super) fn next_rows(&mut self) {
        let at = RowsOf::ALL.iter().position(|rows| *rows == self.ui.rows).unwrap_or(0);
        let mut after =
            (1..=RowsOf::ALL.len()).map(|on| RowsOf::ALL[(at + on) % RowsOf::ALL.len()]);
        self.ui.rows = after.find(|rows| self.has_rows(*rows)).unwrap_or_default();
    }

    /// Returns the time range of the charts, never zero.
    pub(super) fn range(&self) -> Span {
        let now = self.snapshot().map_or(Time::ZERO, |snapshot| snapshot.now);
        let whole = now.since(Time::ZERO).max(Span::from_secs(10));
        RANGES.get(self.ui.range).copied().flatten().unwrap_or(whole)
    }

    /// Returns the columns of the map of latencies; none while there is nothing to show.
    pub(super) fn heat_ticks(&self) -> Option<HeatTicks> {
        let snapshot = self.snapshot()?;
        let room = usize::from(layout::heat(self).cells.width);
        HeatTicks::of(&snapshot.heat, snapshot.now, self.range(), room)
    }

    /// Returns the map of latencies as it is shown.
    pub(super) fn heat(&self) -> Option<(HeatTicks, HeatGrid, HeatRows)> {
        let ticks = self.heat_ticks()?;
        let grid = HeatGrid::new(&self.snapshot()?.heat, ticks, &self.ui.heat);
        let promises: Vec<Span> = self.promises().iter().map(|(span, _)| *span).collect();
        let rows = HeatRows::of(&grid, &promises, layout::heat(self).cells.height);
        Some((ticks, grid, rows))
    }

    /// Returns the column of the cursor: the newest, unless it stands somewhere.
    pub(super) fn heat_column(&self, ticks: &HeatTicks) -> usize {
        match self.ui.heat.cursor {
            // One that has gone out of sight at the left stays at the edge.
            Some(at) if at < ticks.end => ticks.place(at).unwrap_or(0),
            _ => ticks.count - 1,
        }
    }

    /// Returns what is promised to the classes in the map, each once, with the first class it is
    /// promised to.
    pub(super) fn promises(&self) -> Vec<(Span, &str)> {
        let look = &self.ui.heat;
        let classes = self.snapshot().map_or(&[][..], |snapshot| &snapshot.classes);
        let mut found: Vec<(Span, &str)> = Vec::new();
        for (place, class) in classes.iter().enumerate() {
            let other = matches!(look.scope, HeatScope::Class(id) if id.index() != place);
            let slo = if look.first_token { class.slo.first_token } else { class.slo.total };
            let Some(slo) = slo.filter(|_| !other) else { continue };
            if found.iter().all(|(known, _)| *known != slo) {
                found.push((slo, &class.name));
            }
        }
        found
    }

    /// Returns whether the run is at its end, so that nothing can be done to it any more.
    pub(super) fn is_over(&self) -> bool {
        let ended =
            |frame: &Arc<Frame>| matches!(frame.state, RunState::Done | RunState::Failed(_));
        self.closed || self.frame.as_ref().is_some_and(ended)
    }

    /// Takes in a frame that came so long after the start of the screen.
    pub(super) fn receive(&mut self, frame: Arc<Frame>, at: Duration) {
        self.ui.asked.settle(&frame);
        if let Some(pinned) = &self.ui.pinned {
            let mut outcomes = frame.snapshot.outcomes.iter().rev();
            let ended = outcomes.find(|outcome| outcome.attempt == pinned.attempt);
            self.ui.outcome = ended.or(self.ui.outcome.as_ref()).copied();
        }
        if self.ui.notice.is_some() {
            let since = *self.ui.notice_at.get_or_insert(at);
            if at.saturating_sub(since) >= NOTICE {
                (self.ui.notice, self.ui.notice_at) = (None, None);
            }
        }
        if self.ui.frozen {
            self.newer = Some(frame);
            return;
        }
        self.show(frame, at);
    }

    fn show(&mut self, frame: Arc<Frame>, at: Duration) {
        let due = self.sorted_at.is_none_or(|last| at.saturating_sub(last) >= SORT_EVERY);
        // While a list is open the rows stay where they are.
        let sort = due && matches!(self.ui.overlay, Overlay::None | Overlay::Filter);
        self.frame = Some(frame);
        self.measure();
        if sort {
            self.sorted_at = Some(at);
            self.sort();
        } else {
            self.keep_order();
        }
    }

    /// Shows what has come while the picture was frozen.
    pub(super) fn thaw(&mut self) {
        self.ui.frozen = false;
        if let Some(frame) = self.newer.take() {
            self.show(frame, self.sorted_at.unwrap_or_default());
        }
    }

    fn measure(&mut self) {
        let mut widths = Widths::default();
        for row in self.snapshot().map_or(&[][..], |snapshot| &snapshot.nodes) {
            widths.name = widths.name.max(super::format::width(&row.name));
            widths.kind = widths.kind.max(super::format::width(&row.kind));
            // Of the limit alone, which does not change: the column must not jump.
            let limit = row.capacity.map_or(0, |most| 2 * most.to_string().len() + 1);
            widths.in_flight = widths.in_flight.max(limit);
            widths.share = widths.share.max(row.share);
        }
        self.widths = widths;
    }

    /// Sorts the rows now.
    pub(super) fn sort(&mut self) {
        let Some(frame) = self.frame.clone() else {
            return;
        };
        let nodes = &frame.snapshot.nodes;
        let (key, reversed) = (self.ui.sort, self.ui.reversed);
        let values: Vec<f64> = nodes.iter().map(|row| key.value(row)).collect();
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by(|&a, &b| {
            let by_name = match key {
                SortKey::Name => nodes[a].name.cmp(&nodes[b].name),
                _ => values[a].total_cmp(&values[b]),
            };
            let way = if key.descends() != reversed { by_name.reverse() } else { by_name };
            // Equal rows keep file order, whichever way the column is sorted.
            let file = a.cmp(&b);
            way.then(if key == SortKey::File && reversed { file.reverse() } else { file })
        });
        self.ranks = order.iter().map(|&index| nodes[index].id).collect();
        self.order = self.listed(order);
    }

    /// Leaves out the nodes that the filter does not mean.
    fn listed(&self, mut order: Vec<usize>) -> Vec<usize> {
        let (Some(snapshot), query) = (self.snapshot(), self.ui.filter.as_str()) else {
            return order;
        };
        if !query.trim().is_empty() {
            order.retain(|&at| query::is_meant(query, &snapshot.nodes[at], snapshot));
        }
        order
    }

    /// Gives known nodes the rows they had; new ones come last.
    fn keep_order(&mut self) {
        let Some(frame) = self.frame.clone() else {
            return;
        };
        let nodes = &frame.snapshot.nodes;
        let same = self.ui.filter.is_empty()
            && self.order.len() == nodes.len()
            && nodes.len() == self.ranks.len()
            && self.order.iter().zip(&self.ranks).all(|(&at, id)| nodes[at].id == *id);
        if same {
            return;
        }
        let mut places: BTreeMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
        let known: Vec<usize> = self.ranks.iter().filter_map(|id| places.remove(id)).collect();
        let order: Vec<usize> = known.into_iter().chain(places.into_values()).collect();
        self.ranks = order.iter().map(|&index| nodes[index].id).collect();
        self.order = self.listed(order);
    }

    /// Returns the place in the list of the strategy a pool uses now: the first line is the scenario's own,
    /// with its settings.
    pub(super) fn strategy_of(&self, pool: PoolId) -> Option<usize> {
        let row = self.pool(pool)?;
        if row.planned.to_string() == row.strategy {
            return Some(0);
        }
        let name = row.strategy.split('(').next().unwrap_or(&row.strategy);
        usable().iter().position(|entry| entry.name == name).map(|place| place + 1)
    }
}

impl Asked {
    fn settle(&mut self, frame: &Frame) {
        self.frames = self.frames.saturating_add(1);
        let refused = self.frames >= ASKED_FRAMES;
        if refused || self.pace == Some(frame.pace) {
            self.pace = None;
        }
        if refused || self.load == Some(frame.load) {
            self.load = None;
        }
        if refused || self.paused == Some(frame.state == RunState::Paused) {
            self.paused = None;
        }
        if refused {
            self.killed.clear();
        } else if !self.killed.is_empty() {
            let rows = &frame.snapshot.nodes;
            let is_so = |id: &NodeId, killed: bool| {
                rows.iter().any(|row| row.id == *id && row.by_hand == killed)
            };
            self.killed.retain(|id, killed| !is_so(id, *killed));
        }
    }

    pub(super) fn renew(&mut self) {
        self.frames = 0;
    }
}
