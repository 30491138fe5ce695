//! How long requests took, over time: exact counts by length, kept at fixed simulated steps.
//!
//! The newest steps are the finest. As they age, two neighbours become one, and what is older again
//! so, which keeps the whole run in memory that does not grow with it but by its logarithm.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use super::Labels;
use crate::balance::Fate;
use crate::unit::{ClassId, NodeId, Span, Time};

/// The finest columns are this long.
const STEP: Span = Span::from_millis(250);
/// So many columns of one length are kept before the oldest of them become longer ones.
const COLUMNS: usize = 256;
/// So many cells may be in columns of one length, beyond [`COLUMNS_MIN`] columns.
const CELLS: usize = 200_000;
/// So many columns of one length are kept however many cells they have.
const COLUMNS_MIN: usize = 16;
/// Nodes beyond so many are counted with all, but not by themselves.
const NODES_MAX: usize = 2_048;

/// Octaves of lengths, of which the first begins with 1/1024 s.
const OCTAVES: u32 = 24;
/// Parts of an octave.
const PARTS: u8 = 8;
/// Bits behind the point of a length in seconds.
const FRACTION: u32 = 24;
/// 1/1024 s in such units, as a power of two.
const LEAST: u32 = FRACTION - 10;
/// Lengths are told apart by so many codes, eight to an octave.
pub const LENGTHS: u8 = OCTAVES as u8 * PARTS;
/// The codes of one scope: lengths in total, lengths to the first token, failed, rejected.
const CODES: usize = 2 * LENGTHS as usize + 2;

/// 2^63 times the k-th part of an octave, rounded up.
const THRESHOLDS: [u64; PARTS as usize - 1] = [
    0x8B95_C1E3_EA8B_D6E7,
    0x9837_F051_8DB8_A970,
    0xA5FE_D6A9_B151_38EB,
    0xB504_F333_F9DE_6485,
    0xC567_2A11_5506_DADE,
    0xD744_FCCA_D69D_6AF5,
    0xEAC0_C6E7_DD24_392F,
];

/// Of what cells are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeatScope {
    /// All requests.
    #[default]
    All,
    /// Requests of a class.
    Class(ClassId),
    /// Requests that a node answered, and attempts that failed there.
    Node(NodeId),
}

/// What a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeatLane {
    /// Completed requests by the code of their length, from the intended arrival to the last token.
    Total(u8),
    /// Completed requests by the code of the time to their first token.
    FirstToken(u8),
    /// Requests that failed; of a node, attempts.
    Failed,
    /// Requests that were rejected.
    Rejected,
}

impl HeatLane {
    const fn code(self) -> u16 {
        match self {
            HeatLane::Total(length) => length as u16,
            HeatLane::FirstToken(length) => LENGTHS as u16 + length as u16,
            HeatLane::Failed => 2 * LENGTHS as u16,
            HeatLane::Rejected => 2 * LENGTHS as u16 + 1,
        }
    }

    const fn of_code(code: u16) -> HeatLane {
        const FIRST: u16 = LENGTHS as u16;
        const FAILED: u16 = 2 * LENGTHS as u16;
        match code {
            0..FIRST => HeatLane::Total(code as u8),
            FIRST..FAILED => HeatLane::FirstToken((code - FIRST) as u8),
            FAILED => HeatLane::Failed,
            _ => HeatLane::Rejected,
        }
    }
}

/// Returns the code of a length: the eighth of the octave it lies in. What is beyond either end
/// counts as at that end.
#[must_use]
pub fn length_code(length: Span) -> u8 {
    // 2^(64 + FRACTION) / 10^9, rounded up: whole seconds stay whole.
    const SCALE: u128 = 309_485_009_821_345_069;
    let units = ((u128::from(length.0) * SCALE) >> 64) as u64;
    let Some(bits) = units.checked_ilog2().filter(|bits| *bits >= LEAST) else {
        return 0;
    };
    let mantissa = units << (63 - bits);
    let part = THRESHOLDS.iter().take_while(|threshold| mantissa >= **threshold).count() as u8;
    let octave = bits - LEAST;
    if octave >= OCTAVES { LENGTHS - 1 } else { octave as u8 * PARTS + part }
}

/// Returns the least length of a code in seconds.
#[must_use]
pub fn length_seconds(code: u8) -> f64 {
    (f64::from(code) / f64::from(PARTS) - 10.0).exp2()
}

/// The picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// Columns, oldest first, without gaps; their lengths are the finest step times powers of two, the
    /// longest first. The last one may still be filling.
    pub columns: Vec<Arc<HeatColumn>>,
}

/// What ended in some stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatColumn {
    /// When it begins: a multiple of its length.
    pub start: Time,
    /// Its length.
    pub span: Span,
    cells: Vec<HeatCell>,
}

/// How many of one scope and lane.
#[derive(Clone, Copy, Debug, PartialEq)]
struct HeatCell {
    /// Scope and lane, in the order of both.
    key: u32,
    count: u32,
}

/// How many scopes there are, and which is which number.
#[derive(Clone, Copy, Debug, Default)]
struct HeatScopes {
    classes: u32,
    nodes: u32,
}

const CLASS_BASE: u32 = 1;
/// Nodes are numbered from here: more classes than this are not told apart.
const NODE_BASE: u32 = 1 << 12;

impl HeatScope {
    const fn number(self) -> u32 {
        match self {
            HeatScope::All => 0,
            HeatScope::Class(class) => CLASS_BASE + class.0 as u32,
            // Beyond the last number nothing is counted.
            HeatScope::Node(NodeId(node)) if node >= NODES_MAX as u32 => u32::MAX >> 9,
            HeatScope::Node(node) => NODE_BASE + node.0,
        }
    }
}

const fn key(scope: u32, code: u16) -> u32 {
    (scope << 9) | code as u32
}

impl HeatColumn {
    /// A column of counts, each scope and lane once.
    #[must_use]
    pub fn new(start: Time, span: Span, counts: &[(HeatScope, HeatLane, u32)]) -> HeatColumn {
        let cell = |(scope, lane, count): &(HeatScope, HeatLane, u32)| HeatCell {
            key: key(scope.number(), lane.code()),
            count: *count,
        };
        let mut cells: Vec<HeatCell> = counts.iter().map(cell).collect();
        cells.sort_by_key(|cell| cell.key);
        HeatColumn { start, span, cells }
    }

    /// Returns when it ends.
    #[must_use]
    pub fn end(&self) -> Time {
        self.start + self.span
    }

    /// Returns the lanes of a scope with their counts, in order.
    pub fn of(&self, scope: HeatScope) -> impl Iterator<Item = (HeatLane, u32)> {
        let number = scope.number();
        let first = self.cells.partition_point(|cell| cell.key < key(number, 0));
        let here = self.cells[first..].iter().take_while(move |cell| cell.key >> 9 == number);
        here.map(|cell| (HeatLane::of_code((cell.key & 0x1FF) as u16), cell.count))
    }
}

/// Two neighbours as one: counts of both. As time goes on every cell comes by here several times.
fn merge(a: &HeatColumn, b: &HeatColumn) -> HeatColumn {
    let (mut left, mut right) = (a.cells.as_slice(), b.cells.as_slice());
    let mut cells = Vec::with_capacity(left.len() + right.len());
    while let ([x, left_rest @ ..], [y, right_rest @ ..]) = (left, right) {
        match x.key.cmp(&y.key) {
            Ordering::Less => {
                cells.push(*x);
                left = left_rest;
            }
            Ordering::Greater => {
                cells.push(*y);
                right = right_rest;
            }
            Ordering::Equal => {
                cells.push(HeatCell { key: x.key, count: x.count.saturating_add(y.count) });
                (left, right) = (left_rest, right_rest);
            }
        }
    }
    cells.extend_from_slice(left);
    cells.extend_from_slice(right);
    // What is kept for long takes no more room than it needs.
    cells.shrink_to_fit();
    HeatColumn { start: a.start, span: a.span + b.span, cells }
}

/// Columns of one length, oldest first, and how many cells they have.
#[derive(Clone, Debug, Default)]
struct HeatLevel {
    columns: VecDeque<Arc<HeatColumn>>,
    cells: usize,
}

impl HeatLevel {
    fn push(&mut self, column: Arc<HeatColumn>) {
        self.cells += column.cells.len();
        self.columns.push_back(column);
    }

    fn pop(&mut self) -> Option<Arc<HeatColumn>> {
        let column = self.columns.pop_front()?;
        self.cells -= column.cells.len();
        Some(column)
    }

    fn is_full(&self) -> bool {
        let many = self.columns.len();
        many > COLUMNS || (self.cells > CELLS && many > COLUMNS_MIN)
    }
}

/// Collects the map.
#[derive(Clone, Debug, Default)]
pub(super) struct HeatBuckets {
    /// The finest columns first.
    levels: Vec<HeatLevel>,
    /// Start of the column that is being filled.
    open: Time,
    /// What is in it, by scope and code; scopes are added when first heard of.
    counts: Vec<u32>,
    /// The keys in it, each once, in no order.
    touched: Vec<u32>,
    /// Places of scopes in `counts`: of all, of classes, of nodes.
    scopes: HeatScopes,
}

impl HeatBuckets {
    pub(super) fn new(labels: &Labels) -> HeatBuckets {
        let classes = labels.classes.len().min((NODE_BASE - CLASS_BASE) as usize) as u32;
        let nodes = labels.nodes.len().min(NODES_MAX) as u32;
        let scopes = HeatScopes { classes, nodes };
        HeatBuckets { scopes, ..HeatBuckets::default() }
    }

    /// Returns when the open column ends.
    pub(super) fn due(&self) -> Time {
        self.open + STEP
    }

    /// A request ended.
    pub(super) fn settled(
        &mut self,
        (class, node): (ClassId, Option<NodeId>),
        fate: Fate,
        total: Span,
        first_token: Span,
    ) {
        let lanes = match fate {
            Fate::Completed => [
                Some(HeatLane::Total(length_code(total))),
                Some(HeatLane::FirstToken(length_code(first_token))),
            ],
            Fate::Failed(_) => [Some(HeatLane::Failed), None],
            Fate::Rejected(_) => [Some(HeatLane::Rejected), None],
            Fate::Cancelled => return,
        };
        for lane in lanes.into_iter().flatten() {
            self.count(HeatScope::All, lane);
            self.count(HeatScope::Class(class), lane);
        }
        if let (Some(node), Fate::Completed) = (node, fate) {
            lanes.into_iter().flatten().for_each(|lane| self.count(HeatScope::Node(node), lane));
        }
    }

    /// An attempt failed at a node.
    pub(super) fn attempt_failed(&mut self, node: NodeId) {
        self.count(HeatScope::Node(node), HeatLane::Failed);
    }

    fn count(&mut self, scope: HeatScope, lane: HeatLane) {
        let HeatScopes { classes, nodes } = self.scopes;
        let place = match scope {
            HeatScope::All => 0,
            HeatScope::Class(class) if u32::from(class.0) < classes => 1 + u32::from(class.0),
            HeatScope::Node(node) if node.0 < nodes => 1 + classes + node.0,
            HeatScope::Class(_) | HeatScope::Node(_) => return,
        };
        let at = place as usize * CODES + usize::from(lane.code());
        if at >= self.counts.len() {
            self.counts.resize((place as usize + 1) * CODES, 0);
        }
        if self.counts[at] == 0 {
            self.touched.push(key(scope.number(), lane.code()));
        }
        self.counts[at] = self.counts[at].saturating_add(1);
    }

    fn place(&self, key: u32) -> usize {
        let (scope, code) = (key >> 9, key & 0x1FF);
        let row = match scope {
            NODE_BASE.. => 1 + self.scopes.classes + (scope - NODE_BASE),
            _ => scope,
        };
        row as usize * CODES + code as usize
    }

    /// What is in the open column.
    fn filling(&self) -> HeatColumn {
        let cell = |key: &u32| HeatCell { key: *key, count: self.counts[self.place(*key)] };
        let mut cells: Vec<HeatCell> = self.touched.iter().map(cell).collect();
        cells.sort_unstable_by_key(|cell| cell.key);
        HeatColumn { start: self.open, span: STEP, cells }
    }

    /// Closes the columns that are over by `now`.
    pub(super) fn advance(&mut self, now: Time) {
        while self.due() <= now && self.due() > self.open {
            let column = self.filling();
            for place in 0..self.touched.len() {
                let at = self.place(self.touched[place]);
                self.counts[at] = 0;
            }
            self.touched.clear();
            self.open = column.end();
            self.keep(column);
        }
    }

    fn keep(&mut self, column: HeatColumn) {
        let mut column = Arc::new(column);
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(HeatLevel::default());
            }
            let here = &mut self.levels[level];
            here.push(column);
            if !here.is_full() {
                return;
            }
            let (Some(a), Some(b)) = (here.pop(), here.pop()) else { return };
            column = Arc::new(merge(&a, &b));
        }
    }

    pub(super) fn map(&self) -> HeatMap {
        let closed = self.levels.iter().rev().flat_map(|level| &level.columns);
        let filling = (!self.touched.is_empty()).then(|| Arc::new(self.filling()));
        HeatMap { columns: closed.cloned().chain(filling).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{End, Reject};
    use crate::metrics::{ClassLabel, NodeLabel};

    fn labels(classes: usize, nodes: usize) -> Labels {
        Labels {
            classes: vec![ClassLabel::default(); classes],
            nodes: vec![NodeLabel::default(); nodes],
            ..Labels::default()
        }
    }

    fn counted(map: &HeatMap, scope: HeatScope, wanted: fn(HeatLane) -> bool) -> u64 {
        let cells = map.columns.iter().flat_map(|column| column.of(scope));
        cells.filter(|(lane, _)| wanted(*lane)).map(|(_, count)| u64::from(count)).sum()
    }

    #[test]
    fn codes_are_eighths_of_octaves_and_whole_powers_of_two_begin_one() {
        for power in -9..14 {
            let seconds = f64::from(power).exp2();
            let code = length_code(Span::from_seconds(seconds));
            assert_eq!(i32::from(code), (power + 10) * 8, "{seconds}");
            assert!((length_seconds(code) - seconds).abs() < 1e-9 * seconds);
        }
        let mut before = 0;
        for step in 0..200_000_u64 {
            let length = Span(step * step * 40);
            let code = length_code(length);
            assert!(code >= before, "longer is never less");
            if (1..LENGTHS - 1).contains(&code) {
                let (least, next) = (length_seconds(code), length_seconds(code + 1));
                let seconds = length.seconds();
                assert!(least * 0.9999 <= seconds && seconds < next * 1.0001, "{seconds}");
            }
            before = code;
        }
        assert_eq!(length_code(Span(0)), 0);
        assert_eq!(length_code(Span::MAX), LENGTHS - 1);
        for code in 0..CODES as u16 {
            assert_eq!(HeatLane::of_code(code).code(), code);
        }
    }

    #[test]
    fn what_ended_is_counted_once_however_old_it_is() {
        let (classes, nodes) = (3, 5);
        let mut heat = HeatBuckets::new(&labels(classes, nodes));
        let (mut now, mut state) = (Time::ZERO, 7_u64);
        let (mut completed, mut failed, mut rejected) = (0, 0, 0);
        for _ in 0..60_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = state >> 33;
            now = now + Span::from_millis(random % 200);
            heat.advance(now);
            let who = (ClassId((random % 3) as u16), Some(NodeId((random % 5) as u32)));
            let length = Span::from_millis(random % 40_000);
            let fate = match random % 10 {
                0 => Fate::Failed(End::RateLimited),
                1 => Fate::Rejected(Reject::QueueFull),
                2 => Fate::Cancelled,
                _ => Fate::Completed,
            };
            heat.settled(who, fate, length, Span(length.0 / 3));
            completed += u64::from(fate == Fate::Completed);
            failed += u64::from(matches!(fate, Fate::Failed(_)));
            rejected += u64::from(matches!(fate, Fate::Rejected(_)));
        }
        let map = heat.map();
        let total = |scope| counted(&map, scope, |lane| matches!(lane, HeatLane::Total(_)));
        let first = |scope| counted(&map, scope, |lane| matches!(lane, HeatLane::FirstToken(_)));
        assert_eq!((total(HeatScope::All), first(HeatScope::All)), (completed, completed));
        let by_class: u64 = (0..3).map(|class| total(HeatScope::Class(ClassId(class)))).sum();
        let by_node: u64 = (0..5).map(|node| total(HeatScope::Node(NodeId(node)))).sum();
        assert_eq!((by_class, by_node), (completed, completed));
        assert_eq!(counted(&map, HeatScope::All, |lane| lane == HeatLane::Failed), failed);
        assert_eq!(counted(&map, HeatScope::All, |lane| lane == HeatLane::Rejected), rejected);
        // Over an hour and a half: without gaps, on multiples of their length, the newest finest.
        let mut end = Time::ZERO;
        for pair in map.columns.windows(2) {
            assert!(pair[0].span >= pair[1].span);
        }
        for column in &map.columns {
            assert_eq!((column.start, column.start.0 % column.span.0), (end, 0));
            end = column.end();
        }
        assert!(now < end && end.since(now) <= STEP, "up to now");
        assert!(map.columns.len() < 10 * COLUMNS, "bounded");
    }

    #[test]
    fn many_nodes_make_columns_longer_sooner_and_memory_stays_bounded() {
        let nodes = 2_000;
        let mut heat = HeatBuckets::new(&labels(1, nodes));
        let mut completed = 0;
        for step in 0..4_000_u64 {
            heat.advance(Time(step * STEP.0));
            for place in 0..60 {
                let node = NodeId(((step * 60 + place) % nodes as u64) as u32);
                let length = Span::from_millis(1 + (step * 977 + place * 131) % 9_000);
                heat.settled((ClassId(0), Some(node)), Fate::Completed, length, length);
                completed += 1;
            }
        }
        let map = heat.map();
        assert_eq!(counted(&map, HeatScope::All, |l| matches!(l, HeatLane::Total(_))), completed);
        for level in &heat.levels {
            let largest = level.columns.iter().map(|c| c.cells.len()).max().unwrap_or(0);
            assert!(level.cells <= CELLS + largest || level.columns.len() <= COLUMNS_MIN);
        }
    }
}
