//! A realistic picture made by hand: eight nodes, of which one is down, one slow and one limited,
//! two minutes into a run in which two faults were injected.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::balance::{
    Attempt, Candidate, Explanation, Filter, NodeState, Scored, StrategySpec, Term, Terms, Tier,
    Verdict, Why,
};
use crate::command::{Frame, Mode, NodeGroup, Pace};
use crate::metrics::{
    DecisionRow, Figures, GroupRow, HeatColumn, HeatLane, HeatMap, HeatScope, History, LogEntry,
    LogLevel, MarkAt, NodeRow, Point, PoolRow, RequestCounts, RunTotals, Slo, Snapshot,
};
use crate::unit::{ClassId, NodeId, PoolId, RequestId, RouteId, Span, Time, Tokens};

const fn ms(millis: u64) -> Option<Span> {
    Some(Span::from_millis(millis))
}

fn at(tenths: u64) -> Time {
    Time(tenths * 100_000_000)
}

/// The frame most pictures are made from.
pub(super) fn frame() -> Frame {
    Frame {
        snapshot: Arc::new(snapshot()),
        pace: Pace::Times(4.0),
        end: Some(at(6_000)),
        groups: groups(),
        ..Frame::new(Mode::Sim, "zone-loss", 7)
    }
}

fn groups() -> Arc<[NodeGroup]> {
    let group = |word, name: &str, nodes: &[u32]| NodeGroup {
        word,
        name: name.to_owned(),
        nodes: nodes.iter().copied().map(NodeId).collect(),
    };
    Arc::new([group("region", "z1", &[0, 1, 6]), group("region", "z2", &[2, 3, 4, 5, 7])])
}

pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        now: at(1_334),
        requests: RequestCounts {
            arrived: 55_318,
            completed: 54_770,
            failed: 201,
            rejected: 184,
            cancelled: 32,
            in_flight: 131,
        },
        window: window(),
        window_length: Span::from_secs(10),
        run: Figures {
            p99: ms(1_402),
            p99_all: ms(1_460),
            p50: ms(440),
            p95: ms(1_010),
            samples: 54_012,
            late: None,
            late_first: None,
            ..window()
        },
        totals: RunTotals {
            span: Span::from_millis(123_400),
            warmup: Span::from_secs(10),
            requests: RequestCounts {
                arrived: 50_902,
                completed: 50_400,
                ..RequestCounts::default()
            },
            retries: 1_206,
            failovers: 782,
            dollars: 1.64,
            dollars_per_1k: Some(0.0322),
        },
        priced: true,
        nodes: nodes(),
        pools: vec![PoolRow {
            id: PoolId(0),
            name: "chat".to_owned(),
            strategy: "peak_ewma".to_owned(),
            planned: StrategySpec::named("peak_ewma").expect("it is listed"),
            nodes: 8,
            up: 5,
        }],
        classes: vec![
            group("chat", Slo { first_token: ms(2_000), total: ms(4_000), per_token: None }, 0.8),
            group("search", Slo::NONE, 0.2),
        ],
        tenants: Vec::new(),
        jobs: Vec::new(),
        expects: Vec::new(),
        pressed: Vec::new(),
        panics: Vec::new(),
        history: Arc::new(history()),
        heat: Arc::new(heat()),
        log: log(),
        log_dropped: 40,
        last: Some(decision()),
        decisions: Vec::new(),
        outcomes: Vec::new(),
    }
}

fn group(name: &str, slo: Slo, share: f64) -> GroupRow {
    let all = window();
    let scaled = |count: u64| (count as f64 * share) as u64;
    GroupRow {
        name: name.to_owned(),
        slo,
        window: Figures {
            requests_per_s: all.requests_per_s * share,
            samples: scaled(all.samples),
            late: slo.total.map(|_| 0.004),
            late_first: slo.first_token.map(|_| 0.013),
            ..all
        },
        requests: RequestCounts {
            arrived: scaled(50_902),
            completed: scaled(50_400),
            failed: scaled(340),
            ..RequestCounts::default()
        },
    }
}

fn window() -> Figures {
    Figures {
        requests_per_s: 412.0,
        p50: ms(470),
        p95: ms(1_200),
        p99: ms(2_310),
        p99_all: ms(60_000),
        samples: 4_066,
        late: Some(0.004),
        late_first: Some(0.002),
        ttft_p99: ms(1_020),
        error_share: 0.013,
        dollars_per_hour: 47.9,
        tokens_per_s: 39_600.0,
        failovers_per_min: 17.0,
        retries_per_min: 31.0,
        waiting: 22,
    }
}

fn up(id: u32, name: &str, kind: &str, load: (u32, u32, u32), share: f64) -> NodeRow {
    let (in_flight, capacity, queued) = load;
    NodeRow {
        id: NodeId(id),
        name: name.to_owned(),
        pool: PoolId(0),
        tier: Tier::Primary,
        kind: kind.to_owned(),
        state: NodeState::Up,
        slow: false,
        kept_in: false,
        fault: false,
        by_hand: false,
        in_flight,
        capacity: Some(capacity),
        queued,
        utilisation: Some(f64::from(in_flight) / f64::from(capacity)),
        share,
        requests_per_s: 412.0 * share,
        samples: (4_066.0 * share) as u64,
        p50: ms(420),
        p99: ms(1_710),
        error_share: 0.001,
        tokens_per_s: 43_000.0 * share,
        dollars_per_hour: 3.1,
    }
}

fn nodes() -> Vec<NodeRow> {
    let large = "claude-large";
    vec![
        NodeRow { p50: ms(410), p99: ms(1_620), ..up(0, "h100-1", "llama-70b", (34, 48, 0), 0.21) },
        up(1, "h100-2", "llama-70b", (36, 48, 0), 0.22),
        NodeRow {
            state: NodeState::Ejected,
            fault: true,
            by_hand: true,
            p50: None,
            p99: None,
            error_share: 0.0,
            ..up(2, "h100-3", "llama-70b", (0, 48, 0), 0.0)
        },
        NodeRow { dollars_per_hour: 0.71, ..up(3, "l4-1", "llama-8b", (9, 16, 0), 0.08) },
        NodeRow {
            slow: true,
            fault: true,
            by_hand: true,
            p50: ms(2_100),
            p99: ms(6_840),
            error_share: 0.021,
            dollars_per_hour: 0.71,
            ..up(4, "l4-2", "llama-8b", (16, 16, 13), 0.07)
        },
        NodeRow {
            state: NodeState::Probing,
            p50: ms(600),
            p99: ms(1_220),
            dollars_per_hour: 0.71,
            ..up(5, "l4-3", "llama-8b", (2, 16, 0), 0.01)
        },
        NodeRow { dollars_per_hour: 21.4, ..up(6, "api-east", large, (22, 64, 0), 0.24) },
        NodeRow {
            state: NodeState::CoolingDown,
            p50: ms(660),
            p99: ms(2_600),
            error_share: 0.064,
            dollars_per_hour: 15.1,
            ..up(7, "api-west", large, (16, 16, 4), 0.17)
        },
    ]
}

/// Waves from integers, so that the picture is the same on every machine.
fn wave(step: u64, period: u64, height: f64) -> f64 {
    let phase = (step % period) as f64 / period as f64;
    height * (4.0 * (phase - 0.5).abs() - 1.0)
}

fn point(step: u64) -> Point {
    // Two faults: latency at 98 s, a crash at 103.7 s.
    let since = step.saturating_sub(1_037) as f64 / 10.0;
    let shock = if step < 1_037 { 0.0 } else { 5.2 / (1.0 + since / 4.0) };
    let slow = if step < 980 { 0.0 } else { 0.3 };
    let noise = wave(step / 7 * 7_919, 101, 0.06);
    let seconds = |value: f64| Some(Span::from_seconds(value));
    let crashed = if step < 1_037 { 0.0 } else { 1.0 };
    Point {
        p50: seconds(0.45 + wave(step, 160, 0.05) + shock * 0.02 + noise * 0.1),
        p95: seconds(1.05 + slow * 0.5 + wave(step, 210, 0.12) + shock * 0.25 + noise),
        p99: seconds(1.75 + slow + wave(step, 140, 0.2) + shock + noise * 2.5),
        samples: 4_000,
        requests_per_s: 400.0 + wave(step, 300, 14.0) + noise * 40.0 - crashed * 12.0,
        error_share: 0.002 + crashed * 0.02 / (1.0 + since / 6.0) + noise.abs() * 0.005,
        dollars_per_hour: 38.0 + crashed * 9.6 + wave(step, 250, 1.2) + noise * 3.0,
        tokens_per_s: 43_200.0 - crashed * 4_000.0 + wave(step, 280, 900.0) + noise * 3_000.0,
    }
}

fn history() -> History {
    let points = (0..1_334).map(|step| if step < 6 { Point::default() } else { point(step) });
    History {
        bucket: Span::from_millis(100),
        start: Time::ZERO,
        points: points.collect(),
        marks: vec![
            MarkAt { at: at(980), letter: 'A', by_person: false },
            MarkAt { at: at(1_037), letter: 'B', by_person: true },
        ],
    }
}

/// Half seconds at first, then quarters of a second, as ages do it; the crash makes a second heap.
fn heat() -> HeatMap {
    let quarters = (0..140).map(|place| (Time(place * 500_000_000), Span::from_millis(500)));
    let halves = (280..534).map(|place| (Time(place * 250_000_000), Span::from_millis(250)));
    let column = |(start, span): (Time, Span)| Arc::new(heat_column(start, span));
    HeatMap { columns: quarters.chain(halves).map(column).collect() }
}

fn heat_column(start: Time, span: Span) -> HeatColumn {
    let tenths = start.0 / 100_000_000;
    let crashed = tenths >= 1_037;
    let mut counts: BTreeMap<(HeatScope, HeatLane), u32> = BTreeMap::new();
    for request in 0..span.0 / 2_500_000 {
        let random = (start.0 / 1_000_003 + request * 2_654_435_761) % 1_009;
        // Mostly a third of a second to one; some ten times as long after the crash.
        let spread = (random % 13 + random % 7 + random % 5) as u8;
        let late = crashed && random % 97 < (1_600_u64.saturating_sub(tenths) / 60);
        let code = 56 + spread + (wave(tenths, 160, 3.0) + 3.0) as u8 + if late { 24 } else { 0 };
        let node = NodeId([0, 1, 6, 7, 6, 0, 1, 3][(random % 8) as usize]);
        let class = ClassId(u16::from(random.is_multiple_of(5)));
        for scope in [HeatScope::All, HeatScope::Class(class), HeatScope::Node(node)] {
            for lane in [HeatLane::Total(code), HeatLane::FirstToken(code - 20)] {
                *counts.entry((scope, lane)).or_default() += 1;
            }
        }
    }
    if (1_037..1_080).contains(&tenths) {
        counts.insert((HeatScope::All, HeatLane::Failed), 6);
        counts.insert((HeatScope::Node(NodeId(2)), HeatLane::Failed), 14);
    }
    if (1_090..1_120).contains(&tenths) {
        counts.insert((HeatScope::All, HeatLane::Rejected), 2);
    }
    let counts: Vec<_> = counts.into_iter().map(|((s, lane), count)| (s, lane, count)).collect();
    HeatColumn::new(start, span, &counts)
}

/// The node that an entry names.
fn named(text: &str) -> Option<NodeId> {
    nodes().into_iter().find(|row| text.contains(&row.name)).map(|row| row.id)
}

fn entry(tenths: u64, level: LogLevel, text: &str, short: &str) -> LogEntry {
    LogEntry {
        id: tenths,
        at: at(tenths),
        until: at(tenths),
        level,
        count: 1,
        node: named(text),
        text: text.to_owned(),
        short: short.to_owned(),
        ..LogEntry::default()
    }
}

fn log() -> Vec<LogEntry> {
    use LogLevel::{Error, Info, Injected, Warning};
    let marked = |letter, entry| LogEntry { mark: Some(letter), ..entry };
    let times = |count, until, entry| LogEntry { count, until: at(until), ..entry };
    vec![
        entry(402, Info, "chat: least_tokens -> peak_ewma", "chat: peak_ewma"),
        entry(417, Error, "l4-3 down  5 failures in a row", "l4-3 DOWN 5 failures"),
        entry(661, Info, "l4-3 up  probes answered", "l4-3 up"),
        marked('A', entry(980, Injected, "scenario: latency x4 on l4-2", "scn: l4-2 latency x4")),
        marked('B', entry(1_037, Injected, "you: crash h100-3", "you: crash h100-3")),
        times(
            31,
            1_069,
            entry(
                1_039,
                Warning,
                "retries after h100-3: connection failed",
                "retries h100-3: connection failed",
            ),
        ),
        entry(1_040, Error, "h100-3 ejected  5 failures in a row", "h100-3 EJECTED 5 failures"),
        entry(1_094, Info, "l4-3 probing  rested for 30s", "l4-3 probing"),
        entry(1_112, Warning, "api-west limited  429, again in 2s", "api-west limited 2s"),
        times(782, 1_330, entry(1_126, Warning, "failover eu → us backup", "eu → us backup")),
        entry(
            1_331,
            Warning,
            "retries after l4-2: first-token timeout",
            "l4-2: first-token timeout",
        ),
    ]
}

fn decision() -> DecisionRow {
    let score = |node: u32, score: f64, latency: f64, load: f64| Scored {
        node: NodeId(node),
        score,
        terms: Terms::NONE.with(Term::Latency, latency).with(Term::Load, load),
    };
    DecisionRow {
        at: at(1_333),
        request: RequestId(55_318),
        why: Why {
            route: RouteId(0),
            pool: PoolId(0),
            tier: Tier::Primary,
            strategy: 6,
            candidates: 6,
            considered: 2,
            chosen: score(0, 0.61, 0.41, 0.2),
            runner_up: Some(score(6, 1.94, 0.66, 1.28)),
            panic: false,
        },
    }
}

/// The frame with decisions explained: most by a score of three terms, one by turn.
pub(super) fn explained() -> Frame {
    let mut snapshot = snapshot();
    snapshot.decisions = (0..40).map(|place| Arc::new(explanation(place))).collect();
    Frame { snapshot: Arc::new(snapshot), ..frame() }
}

fn explanation(place: u64) -> Explanation {
    let by_turn = place == 37;
    let attempt = Attempt { request: RequestId(55_279 + place), ordinal: u8::from(place == 38) };
    let filtered = |node| match node {
        2 => Some(Filter::State(NodeState::Ejected)),
        4 => Some(Filter::Full),
        7 => Some(Filter::State(NodeState::CoolingDown)),
        _ => None,
    };
    // Ties come up every now and then.
    let shift = |node: u32| f64::from((place as u32 * 5 + node * 3) % 7) / 10.0;
    let terms = |node: u32| {
        let other = if node.is_multiple_of(2) { 0.31 } else { 0.18 };
        Terms::NONE
            .with(Term::Ttft, 0.2 + shift(node))
            .with(Term::Decoding, 1.4 + f64::from(node) / 5.0)
            .with(Term::Others, other)
    };
    let success = |node| if node == 6 { 0.83 } else { 1.0 };
    let score = |node: u32| {
        let sum: f64 = terms(node).as_slice().iter().map(|(_, value)| f64::from(*value)).sum();
        sum / success(node)
    };
    let mut open: Vec<u32> = (0..8).filter(|node| filtered(*node).is_none()).collect();
    open.sort_by(|a, b| score(*a).total_cmp(&score(*b)));
    let scored = |node| Scored { node: NodeId(node), score: score(node), terms: terms(node) };
    let candidate = |node: u32| {
        let verdict = match filtered(node) {
            Some(filter) => Verdict::Filtered(filter),
            None if by_turn && node != open[0] => Verdict::NotDrawn,
            None if by_turn => Verdict::Chosen(f64::NAN),
            None if node == open[0] => Verdict::Chosen(score(node)),
            None => Verdict::LookedAt(score(node)),
        };
        Candidate {
            node: NodeId(node),
            verdict,
            terms: if by_turn { Terms::NONE } else { terms(node) },
            success: success(node),
            in_flight: 3 * node + 2,
        }
    };
    let why = Why {
        strategy: if by_turn { 0 } else { 26 },
        candidates: open.len() as u32,
        considered: if by_turn { 1 } else { open.len() as u32 },
        chosen: if by_turn { Scored::unscored(NodeId(open[0])) } else { scored(open[0]) },
        runner_up: (!by_turn).then(|| scored(open[1])),
        ..decision().why
    };
    Explanation {
        attempt,
        at: at(1_294 + place),
        expected_output: Tokens(214),
        why,
        candidates: (0..8).map(candidate).collect(),
        omitted: 0,
    }
}
