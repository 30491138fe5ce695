//! Pictures of a run as lines of JSON, so that a screen can watch another process: version 1.
//!
//! A line is a picture at one moment, whole but for two parts that are long. The past (`history`) says from which
//! place on it goes on from the line before, and is sent whole when its buckets become longer. The map of
//! latencies (`heat`) comes with every tenth line only. Decisions in full are not sent. Times and spans are
//! nanoseconds; what is unknown is null; numbers that are no numbers do not occur.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::balance::{NodeState, StrategySpec, Tier};
use crate::command::{Breakable, Frame, Mode, NodeGroup, RunState};
use crate::metrics::catalogue::Unit;
use crate::metrics::expect::ExpectVerdict;
use crate::metrics::{
    Figures, GroupRow, HeatColumn, HeatMap, History, LogEntry, LogLevel, MarkAt, NodeRow, Point,
    PoolRow, PressedRow, RequestCounts, RunTotals, Slo, Snapshot,
};
use crate::unit::{NodeId, PoolId, RequestId, Span, Time};

/// The version of these lines.
pub const VERSION: u32 = 1;
/// No line is longer.
pub const LINE_MAX: usize = 64 << 20;
/// The map of latencies comes with one line in so many.
const HEAT_EVERY: u64 = 10;

#[derive(Debug, Serialize, Deserialize)]
struct FrameLine {
    v: u32,
    at: u64,
    mode: String,
    state: String,
    why: Option<String>,
    scenario: String,
    seed: u64,
    end: Option<u64>,
    load: f64,
    window: u64,
    requests: [u64; 6],
    last_10s: FiguresLine,
    run: FiguresLine,
    totals: TotalsLine,
    priced: bool,
    nodes: Vec<NodeLine>,
    pools: Vec<PoolLine>,
    classes: Vec<GroupLine>,
    tenants: Vec<GroupLine>,
    jobs: Vec<GroupLine>,
    expects: Vec<ExpectLine>,
    pressed: Vec<PressedLine>,
    panics: Vec<String>,
    groups: Vec<NodeGroupLine>,
    history: HistoryLine,
    heat: Option<Vec<HeatLine>>,
    log: Vec<EventLine>,
    log_dropped: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FiguresLine {
    requests_per_s: f64,
    p50: Option<u64>,
    p95: Option<u64>,
    p99: Option<u64>,
    p99_all: Option<u64>,
    samples: u64,
    ttft_p99: Option<u64>,
    late: Option<f64>,
    late_first: Option<f64>,
    error_share: f64,
    dollars_per_hour: f64,
    tokens_per_s: f64,
    failovers_per_min: f64,
    retries_per_min: f64,
    waiting: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct TotalsLine {
    span: u64,
    warmup: u64,
    requests: [u64; 6],
    retries: u64,
    failovers: u64,
    dollars: f64,
    dollars_per_1k: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeLine {
    id: u32,
    name: String,
    pool: u16,
    tier: String,
    kind: String,
    state: String,
    slow: bool,
    kept_in: bool,
    fault: bool,
    by_hand: bool,
    in_flight: u32,
    capacity: Option<u32>,
    queued: u32,
    utilisation: Option<f64>,
    share: f64,
    requests_per_s: f64,
    samples: u64,
    p50: Option<u64>,
    p99: Option<u64>,
    error_share: f64,
    tokens_per_s: f64,
    dollars_per_hour: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct PoolLine {
    id: u16,
    name: String,
    strategy: String,
    planned: String,
    nodes: u32,
    up: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct GroupLine {
    name: String,
    slo: [Option<u64>; 3],
    last_10s: FiguresLine,
    requests: [u64; 6],
}

#[derive(Debug, Serialize, Deserialize)]
struct ExpectLine {
    text: String,
    value: Option<f64>,
    limit: f64,
    held: bool,
    unit: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct PressedLine {
    route: String,
    level: Option<String>,
    shed: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeGroupLine {
    word: String,
    name: String,
    nodes: Vec<u32>,
}

/// Points of the past: p50, p95, p99, samples, requests a second, share of errors, dollars an hour, tokens a
/// second.
type PointLine = (Option<u64>, Option<u64>, Option<u64>, u32, f64, f64, f64, f64);

#[derive(Debug, Serialize, Deserialize)]
struct HistoryLine {
    bucket: u64,
    start: u64,
    /// The points begin at this place.
    from: usize,
    points: Vec<PointLine>,
    /// When, which letter, and whether a person did it.
    marks: Vec<(u64, char, bool)>,
}

/// A column of the map: start, span, and its cells as keys and counts.
type HeatLine = (u64, u64, Vec<(u32, u32)>);

#[derive(Debug, Serialize, Deserialize)]
struct EventLine {
    id: u64,
    at: u64,
    until: u64,
    level: String,
    mark: Option<char>,
    by_person: bool,
    failover: bool,
    node: Option<u32>,
    request: Option<u64>,
    count: u64,
    text: String,
    short: String,
}

/// Writes pictures for one reader.
#[derive(Debug, Default)]
pub struct FrameWriter {
    lines: u64,
    bucket: Span,
    points: usize,
}

impl FrameWriter {
    /// Returns the next line, with its end.
    #[must_use]
    pub fn line(&mut self, frame: &Frame) -> String {
        let shown = &*frame.snapshot;
        let same = self.bucket == shown.history.bucket && self.points <= shown.history.points.len();
        let from = if same { self.points } else { 0 };
        self.bucket = shown.history.bucket;
        self.points = shown.history.points.len();
        let with_heat = self.lines.is_multiple_of(HEAT_EVERY);
        self.lines += 1;
        let line = frame_line(frame, from, with_heat);
        // Plain data of ours can always be written.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Reads pictures of one writer.
#[derive(Debug, Default)]
pub struct FrameReader {
    history: Arc<History>,
    heat: Arc<HeatMap>,
}

impl FrameReader {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is no picture of this version, in words.
    pub fn read(&mut self, line: &str) -> Result<Frame, String> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let Versioned { v } = serde_json::from_str(line).map_err(|why| why.to_string())?;
        if v != VERSION {
            return Err(format!("pictures of version {v}; this program reads version {VERSION}"));
        }
        let line: FrameLine = serde_json::from_str(line).map_err(|why| why.to_string())?;
        self.history = Arc::new(line.history.after(&self.history)?);
        if let Some(columns) = &line.heat {
            let column = |(start, span, cells): &HeatLine| {
                Arc::new(HeatColumn::of_cells(Time(*start), Span(*span), cells))
            };
            self.heat = Arc::new(HeatMap { columns: columns.iter().map(column).collect() });
        }
        line.frame(Arc::clone(&self.history), Arc::clone(&self.heat))
    }
}

const fn ns(span: Option<Span>) -> Option<u64> {
    match span {
        Some(span) => Some(span.0),
        None => None,
    }
}

fn span(ns: Option<u64>) -> Option<Span> {
    ns.map(Span)
}

const fn counts_line(counts: &RequestCounts) -> [u64; 6] {
    let RequestCounts { arrived, completed, failed, rejected, cancelled, in_flight } = *counts;
    [arrived, completed, failed, rejected, cancelled, in_flight]
}

const fn counts(line: [u64; 6]) -> RequestCounts {
    let [arrived, completed, failed, rejected, cancelled, in_flight] = line;
    RequestCounts { arrived, completed, failed, rejected, cancelled, in_flight }
}

fn figures_line(figures: &Figures) -> FiguresLine {
    FiguresLine {
        requests_per_s: figures.requests_per_s,
        p50: ns(figures.p50),
        p95: ns(figures.p95),
        p99: ns(figures.p99),
        p99_all: ns(figures.p99_all),
        samples: figures.samples,
        ttft_p99: ns(figures.ttft_p99),
        late: figures.late,
        late_first: figures.late_first,
        error_share: figures.error_share,
        dollars_per_hour: figures.dollars_per_hour,
        tokens_per_s: figures.tokens_per_s,
        failovers_per_min: figures.failovers_per_min,
        retries_per_min: figures.retries_per_min,
        waiting: figures.waiting,
    }
}

fn figures(line: &FiguresLine) -> Figures {
    Figures {
        requests_per_s: line.requests_per_s,
        p50: span(line.p50),
        p95: span(line.p95),
        p99: span(line.p99),
        p99_all: span(line.p99_all),
        samples: line.samples,
        ttft_p99: span(line.ttft_p99),
        late: line.late,
        late_first: line.late_first,
        error_share: line.error_share,
        dollars_per_hour: line.dollars_per_hour,
        tokens_per_s: line.tokens_per_s,
        failovers_per_min: line.failovers_per_min,
        retries_per_min: line.retries_per_min,
        waiting: line.waiting,
    }
}

const MODES: [(Mode, &str); 3] =
    [(Mode::Sim, "sim"), (Mode::Replay, "replay"), (Mode::Live, "live")];

const LEVELS: [(LogLevel, &str); 4] = [
    (LogLevel::Info, "info"),
    (LogLevel::Warning, "warning"),
    (LogLevel::Error, "error"),
    (LogLevel::Injected, "injected"),
];

const UNITS: [Unit; 6] =
    [Unit::Seconds, Unit::Count, Unit::Share, Unit::Dollars, Unit::PerSecond, Unit::Number];

/// Returns the word of a thing in a list.
fn word_of<T: PartialEq>(list: &[(T, &'static str)], thing: &T) -> String {
    let found = list.iter().find(|(one, _)| one == thing);
    found.map_or("", |(_, word)| *word).to_owned()
}

/// Returns the thing that a word means.
fn thing<T: Copy>(list: &[(T, &'static str)], word: &str) -> Result<T, String> {
    let found = list.iter().find(|(_, known)| *known == word);
    found.map(|(thing, _)| *thing).ok_or_else(|| format!("`{word}` is not known"))
}

fn state_line(state: &RunState) -> (&'static str, Option<String>) {
    match state {
        RunState::Running => ("running", None),
        RunState::Paused => ("paused", None),
        RunState::Done => ("done", None),
        RunState::Failed(why) => ("failed", Some(why.clone())),
    }
}

fn group_line(row: &GroupRow) -> GroupLine {
    GroupLine {
        name: row.name.clone(),
        slo: [row.slo.first_token, row.slo.per_token, row.slo.total].map(ns),
        last_10s: figures_line(&row.window),
        requests: counts_line(&row.requests),
    }
}

fn group(line: &GroupLine) -> GroupRow {
    let [first_token, per_token, total] = line.slo.map(span);
    GroupRow {
        name: line.name.clone(),
        slo: Slo { first_token, per_token, total },
        window: figures(&line.last_10s),
        requests: counts(line.requests),
    }
}

fn node_line(row: &NodeRow) -> NodeLine {
    NodeLine {
        id: row.id.0,
        name: row.name.clone(),
        pool: row.pool.0,
        tier: row.tier.name().to_owned(),
        kind: row.kind.clone(),
        state: row.state.name().to_owned(),
        slow: row.slow,
        kept_in: row.kept_in,
        fault: row.fault,
        by_hand: row.by_hand,
        in_flight: row.in_flight,
        capacity: row.capacity,
        queued: row.queued,
        utilisation: row.utilisation,
        share: row.share,
        requests_per_s: row.requests_per_s,
        samples: row.samples,
        p50: ns(row.p50),
        p99: ns(row.p99),
        error_share: row.error_share,
        tokens_per_s: row.tokens_per_s,
        dollars_per_hour: row.dollars_per_hour,
    }
}

fn node(line: &NodeLine) -> Result<NodeRow, String> {
    let state = NodeState::ALL.into_iter().find(|state| state.name() == line.state);
    let tier = Tier::ALL.into_iter().find(|tier| tier.name() == line.tier);
    let unknown = |what: &str| format!("node {}: {what} is not known", line.name);
    Ok(NodeRow {
        id: NodeId(line.id),
        name: line.name.clone(),
        pool: PoolId(line.pool),
        tier: tier.ok_or_else(|| unknown(&line.tier))?,
        kind: line.kind.clone(),
        state: state.ok_or_else(|| unknown(&line.state))?,
        slow: line.slow,
        kept_in: line.kept_in,
        fault: line.fault,
        by_hand: line.by_hand,
        in_flight: line.in_flight,
        capacity: line.capacity,
        queued: line.queued,
        utilisation: line.utilisation,
        share: line.share,
        requests_per_s: line.requests_per_s,
        samples: line.samples,
        p50: span(line.p50),
        p99: span(line.p99),
        error_share: line.error_share,
        tokens_per_s: line.tokens_per_s,
        dollars_per_hour: line.dollars_per_hour,
    })
}

fn log_line(entry: &LogEntry) -> EventLine {
    EventLine {
        id: entry.id,
        at: entry.at.0,
        until: entry.until.0,
        level: word_of(&LEVELS, &entry.level),
        mark: entry.mark,
        by_person: entry.by_person,
        failover: entry.failover,
        node: entry.node.map(|node| node.0),
        request: entry.request.map(|request| request.0),
        count: entry.count,
        text: entry.text.clone(),
        short: entry.short.clone(),
    }
}

fn log_entry(line: &EventLine) -> Result<LogEntry, String> {
    Ok(LogEntry {
        id: line.id,
        at: Time(line.at),
        until: Time(line.until),
        level: thing(&LEVELS, &line.level)?,
        mark: line.mark,
        by_person: line.by_person,
        failover: line.failover,
        node: line.node.map(NodeId),
        request: line.request.map(RequestId),
        count: line.count,
        text: line.text.clone(),
        short: line.short.clone(),
    })
}

fn pool_line(row: &PoolRow) -> PoolLine {
    PoolLine {
        id: row.id.0,
        name: row.name.clone(),
        strategy: row.strategy.clone(),
        planned: row.planned.name().to_owned(),
        nodes: row.nodes,
        up: row.up,
    }
}

fn pool(line: &PoolLine) -> Result<PoolRow, String> {
    let planned = StrategySpec::named(&line.planned);
    Ok(PoolRow {
        id: PoolId(line.id),
        name: line.name.clone(),
        strategy: line.strategy.clone(),
        planned: planned.ok_or_else(|| format!("there is no strategy `{}`", line.planned))?,
        nodes: line.nodes,
        up: line.up,
    })
}

impl HistoryLine {
    fn of(history: &History, from: usize) -> HistoryLine {
        let point = |point: &Point| {
            let Point { p50, p95, p99, samples, requests_per_s, error_share, .. } = *point;
            let (dollars, tokens) = (point.dollars_per_hour, point.tokens_per_s);
            (ns(p50), ns(p95), ns(p99), samples, requests_per_s, error_share, dollars, tokens)
        };
        HistoryLine {
            bucket: history.bucket.0,
            start: history.start.0,
            from,
            points: history.points[from..].iter().map(point).collect(),
            marks: history.marks.iter().map(|m| (m.at.0, m.letter, m.by_person)).collect(),
        }
    }

    /// The past, which goes on from what was known before.
    fn after(&self, known: &History) -> Result<History, String> {
        let point = |line: &PointLine| Point {
            p50: span(line.0),
            p95: span(line.1),
            p99: span(line.2),
            samples: line.3,
            requests_per_s: line.4,
            error_share: line.5,
            dollars_per_hour: line.6,
            tokens_per_s: line.7,
        };
        let before = known.points.get(..self.from).ok_or("a part of the past is missing")?;
        let mark = |(at, letter, by_person): &(u64, char, bool)| MarkAt {
            at: Time(*at),
            letter: *letter,
            by_person: *by_person,
        };
        Ok(History {
            bucket: Span(self.bucket),
            start: Time(self.start),
            points: before.iter().copied().chain(self.points.iter().map(point)).collect(),
            marks: self.marks.iter().map(mark).collect(),
        })
    }
}

fn frame_line(frame: &Frame, from: usize, with_heat: bool) -> FrameLine {
    let shown = &*frame.snapshot;
    let (state, why) = state_line(&frame.state);
    let heat = |column: &Arc<HeatColumn>| (column.start.0, column.span.0, column.cells());
    FrameLine {
        v: VERSION,
        at: shown.now.0,
        mode: word_of(&MODES, &frame.mode),
        state: state.to_owned(),
        why,
        scenario: frame.scenario.clone(),
        seed: frame.seed,
        end: frame.end.map(|end| end.0),
        load: frame.load,
        window: shown.window_length.0,
        requests: counts_line(&shown.requests),
        last_10s: figures_line(&shown.window),
        run: figures_line(&shown.run),
        totals: totals_line(&shown.totals),
        priced: shown.priced,
        nodes: shown.nodes.iter().map(node_line).collect(),
        pools: shown.pools.iter().map(pool_line).collect(),
        classes: shown.classes.iter().map(group_line).collect(),
        tenants: shown.tenants.iter().map(group_line).collect(),
        jobs: shown.jobs.iter().map(group_line).collect(),
        expects: shown.expects.iter().map(expect_line).collect(),
        pressed: shown.pressed.iter().map(pressed_line).collect(),
        panics: shown.panics.clone(),
        groups: frame.groups.iter().map(node_group_line).collect(),
        history: HistoryLine::of(&shown.history, from),
        heat: with_heat.then(|| shown.heat.columns.iter().map(heat).collect()),
        log: shown.log.iter().map(log_line).collect(),
        log_dropped: shown.log_dropped,
    }
}

const fn totals_line(totals: &RunTotals) -> TotalsLine {
    TotalsLine {
        span: totals.span.0,
        warmup: totals.warmup.0,
        requests: counts_line(&totals.requests),
        retries: totals.retries,
        failovers: totals.failovers,
        dollars: totals.dollars,
        dollars_per_1k: totals.dollars_per_1k,
    }
}

fn expect_line(verdict: &ExpectVerdict) -> ExpectLine {
    ExpectLine {
        text: verdict.text.clone(),
        value: verdict.value,
        limit: verdict.limit,
        held: verdict.held,
        unit: verdict.unit.word().to_owned(),
    }
}

fn expect(line: &ExpectLine) -> Result<ExpectVerdict, String> {
    let unit = UNITS.into_iter().find(|unit| unit.word() == line.unit);
    Ok(ExpectVerdict {
        text: line.text.clone(),
        value: line.value,
        limit: line.limit,
        held: line.held,
        unit: unit.ok_or_else(|| format!("there is no unit `{}`", line.unit))?,
    })
}

fn pressed_line(row: &PressedRow) -> PressedLine {
    PressedLine { route: row.route.clone(), level: row.level.clone(), shed: row.shed.clone() }
}

fn node_group_line(group: &NodeGroup) -> NodeGroupLine {
    NodeGroupLine {
        word: group.word.to_owned(),
        name: group.name.clone(),
        nodes: group.nodes.iter().map(|node| node.0).collect(),
    }
}

fn node_group(line: &NodeGroupLine) -> Result<NodeGroup, String> {
    let word = ["region", "tag"].into_iter().find(|word| *word == line.word);
    Ok(NodeGroup {
        word: word.ok_or_else(|| format!("`{}` means no nodes", line.word))?,
        name: line.name.clone(),
        nodes: line.nodes.iter().copied().map(NodeId).collect(),
    })
}

impl FrameLine {
    fn frame(&self, history: Arc<History>, heat: Arc<HeatMap>) -> Result<Frame, String> {
        let state = match self.state.as_str() {
            "running" => RunState::Running,
            "paused" => RunState::Paused,
            "done" => RunState::Done,
            "failed" => RunState::Failed(self.why.clone().unwrap_or_default()),
            other => return Err(format!("`{other}` is not known")),
        };
        let totals = &self.totals;
        let pressed = |line: &PressedLine| PressedRow {
            route: line.route.clone(),
            level: line.level.clone(),
            shed: line.shed.clone(),
        };
        let snapshot = Snapshot {
            now: Time(self.at),
            requests: counts(self.requests),
            window: figures(&self.last_10s),
            window_length: Span(self.window),
            run: figures(&self.run),
            totals: RunTotals {
                span: Span(totals.span),
                warmup: Span(totals.warmup),
                requests: counts(totals.requests),
                retries: totals.retries,
                failovers: totals.failovers,
                dollars: totals.dollars,
                dollars_per_1k: totals.dollars_per_1k,
            },
            priced: self.priced,
            nodes: self.nodes.iter().map(node).collect::<Result<_, _>>()?,
            pools: self.pools.iter().map(pool).collect::<Result<_, _>>()?,
            classes: self.classes.iter().map(group).collect(),
            tenants: self.tenants.iter().map(group).collect(),
            jobs: self.jobs.iter().map(group).collect(),
            expects: self.expects.iter().map(expect).collect::<Result<_, _>>()?,
            pressed: self.pressed.iter().map(pressed).collect(),
            panics: self.panics.clone(),
            history,
            heat,
            log: self.log.iter().map(log_entry).collect::<Result<_, _>>()?,
            log_dropped: self.log_dropped,
            last: None,
            decisions: Vec::new(),
            outcomes: Vec::new(),
        };
        Ok(Frame {
            snapshot: Arc::new(snapshot),
            state,
            end: self.end.map(Time),
            load: self.load,
            groups: self.groups.iter().map(node_group).collect::<Result<_, _>>()?,
            // What is watched from elsewhere is not broken from there.
            breakable: Breakable::none(),
            ..Frame::new(thing(&MODES, &self.mode)?, &self.scenario, self.seed)
        })
    }
}
