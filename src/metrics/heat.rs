//! How long requests took, over time: exact counts by length, kept at fixed simulated steps.
//!
//! The newest steps are the finest. As they age, two neighbours become one, and what is older again
//! so, which keeps the whole run in memory that does not grow with it but by its logarithm.

use std::sync::Arc;

use super::Labels;
use crate::balance::Fate;
use crate::unit::{ClassId, NodeId, Span, Time};

/// The finest columns are this long.
const STEP: Span = Span::from_millis(250);
/// At most so many columns of one length are kept before the oldest of them become longer ones.
const COLUMNS: u64 = 256;
/// About so many cells may be in columns of one length, beyond [`COLUMNS_MIN`] columns.
const CELLS: u64 = 200_000;
/// So many cells of each class and node are reckoned with in a column.
const CELLS_EACH: u64 = 8;
/// So many columns of one length are kept however many classes and nodes there are.
const COLUMNS_MIN: u64 = 32;
/// So much is noted before it is counted.
const NOTES_MAX: usize = 1 << 15;
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

/// Scopes as the rows of a tally: all, then classes, then nodes.
impl HeatScopes {
    const fn rows(self) -> usize {
        1 + self.classes as usize + self.nodes as usize
    }

    fn class_row(self, class: u32) -> Option<u32> {
        (class < self.classes).then(|| 1 + class)
    }

    fn node_row(self, node: u32) -> Option<u32> {
        (node < self.nodes).then(|| 1 + self.classes + node)
    }

    /// Returns the row of a scope by its number.
    const fn row_of(self, number: u32) -> u32 {
        if number < NODE_BASE { number } else { 1 + self.classes + (number - NODE_BASE) }
    }

    /// Returns the number of the scope that a row is of.
    const fn number_of(self, row: u32) -> u32 {
        if row <= self.classes { row } else { NODE_BASE + (row - self.classes - 1) }
    }
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
        let cell = |(scope, lane, count): &(HeatScope, HeatLane, u32)| {
            (key(scope.number(), lane.code()), *count)
        };
        HeatColumn::of_cells(start, span, &counts.iter().map(cell).collect::<Vec<_>>())
    }

    /// A column of cells as [`HeatColumn::cells`] has them.
    #[must_use]
    pub fn of_cells(start: Time, span: Span, cells: &[(u32, u32)]) -> HeatColumn {
        let mut cells: Vec<HeatCell> =
            cells.iter().map(|(key, count)| HeatCell { key: *key, count: *count }).collect();
        cells.sort_by_key(|cell| cell.key);
        HeatColumn { start, span, cells }
    }

    /// Returns what it counts, each scope and lane as one number, with how many, in order.
    pub fn cells(&self) -> impl Iterator<Item = (u32, u32)> {
        self.cells.iter().map(|cell| (cell.key, cell.count))
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

/// How many columns of each length there are after so many of the finest have closed, the finest first. One
/// level holds no more than `most`: when another one comes, its two oldest become one of the next level.
fn layout(closed: u64, most: u64) -> impl Iterator<Item = u64> {
    let mut come = closed;
    std::iter::from_fn(move || {
        let here = match come {
            0 => return None,
            _ if come <= most => come,
            _ => most - 1 + (come - most - 1) % 2,
        };
        come = (come - here) / 2;
        Some(here)
    })
}

/// What ended, as it is noted until it is counted: a request, or an attempt that failed at a node.
#[derive(Clone, Copy, Debug)]
struct HeatNote {
    at: Time,
    node: u32,
    class: u16,
    what: HeatWord,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
enum HeatWord {
    /// A request was completed: the codes of its lengths, in total and to the first token.
    Completed(u8, u8),
    Failed,
    Rejected,
    AttemptFailed,
}

/// Where no node is meant.
const NO_NODE: u32 = u32::MAX;

/// Collects the map. What ends is only noted. Notes are counted when there are many of them, or when
/// somebody asks for the picture: by then most of them belong to columns that have long become long ones,
/// so hardly any column is ever merged. The picture depends on times alone, not on when it is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct HeatBuckets {
    /// Columns that are closed, oldest first.
    columns: Vec<Arc<HeatColumn>>,
    /// So many of the finest have closed.
    closed: u64,
    /// What has ended and is in no closed column, in order of time.
    notes: Vec<HeatNote>,
    /// So many columns of one length are kept.
    most: u64,
    tally: HeatTally,
}

impl HeatBuckets {
    pub(super) fn new(labels: &Labels) -> HeatBuckets {
        let classes = labels.classes.len().min((NODE_BASE - CLASS_BASE) as usize) as u32;
        let nodes = labels.nodes.len().min(NODES_MAX) as u32;
        let scopes = 1 + u64::from(classes) + u64::from(nodes);
        HeatBuckets {
            most: (CELLS / (scopes * CELLS_EACH)).clamp(COLUMNS_MIN, COLUMNS),
            tally: HeatTally::new(HeatScopes { classes, nodes }),
            ..HeatBuckets::default()
        }
    }

    /// A request ended.
    pub(super) fn settled(
        &mut self,
        at: Time,
        (class, node): (ClassId, Option<NodeId>),
        fate: Fate,
        (total, first_token): (Span, Span),
    ) {
        let what = match fate {
            Fate::Completed => HeatWord::Completed(length_code(total), length_code(first_token)),
            Fate::Failed(_) => HeatWord::Failed,
            Fate::Rejected(_) => HeatWord::Rejected,
            Fate::Cancelled => return,
        };
        let node = node.map_or(NO_NODE, |node| node.0);
        self.note(HeatNote { at, node, class: class.0, what });
    }

    /// An attempt failed at a node.
    pub(super) fn attempt_failed(&mut self, at: Time, node: NodeId) {
        self.note(HeatNote { at, node: node.0, class: 0, what: HeatWord::AttemptFailed });
    }

    fn note(&mut self, note: HeatNote) {
        if self.notes.len() >= NOTES_MAX {
            self.close(note.at);
        }
        self.notes.push(note);
    }

    /// Counts what has ended in columns that are over by `now`.
    fn close(&mut self, now: Time) {
        let closed = now.0 / STEP.0;
        if closed <= self.closed {
            return;
        }
        let mut before = std::mem::take(&mut self.columns).into_iter().peekable();
        let mut notes = self.notes.iter().peekable();
        let levels: Vec<u64> = layout(closed, self.most).collect();
        let mut start = Time::ZERO;
        for (level, columns) in levels.into_iter().enumerate().rev() {
            let span = Span(STEP.0 << level);
            for _ in 0..columns {
                let end = start + span;
                let column = before.next_if(|column| column.start == start && column.span == span);
                // What is closed stays closed: a column that was there gets no more notes.
                let column = column.unwrap_or_else(|| {
                    while let Some(part) = before.next_if(|part| part.end() <= end) {
                        self.tally.add(&part);
                    }
                    while let Some(note) = notes.next_if(|note| note.at < end) {
                        self.tally.hear(note);
                    }
                    Arc::new(self.tally.take(start, span))
                });
                self.columns.push(column);
                start = end;
            }
        }
        let open = notes.len();
        self.notes.drain(..self.notes.len() - open);
        self.closed = closed;
    }

    /// Returns the picture at `now`, which is not before what was noted last.
    pub(super) fn map(&mut self, now: Time) -> HeatMap {
        self.close(now);
        self.notes.iter().for_each(|note| self.tally.hear(note));
        let filling = self.tally.take(Time(self.closed * STEP.0), STEP);
        let filling = (!filling.cells.is_empty()).then(|| Arc::new(filling));
        HeatMap { columns: self.columns.iter().cloned().chain(filling).collect() }
    }
}

/// Words of bits for the codes of a scope.
const WORDS: usize = CODES.div_ceil(64);

/// Counts by scope and lane, for one column after the other. Scopes are rows: all, classes, nodes. Bits say
/// which rows and codes have a count, so that a column is taken out in order without sorting.
#[derive(Clone, Debug, Default)]
struct HeatTally {
    scopes: HeatScopes,
    counts: Vec<u32>,
    codes: Vec<u64>,
    rows: Vec<u64>,
}

impl HeatTally {
    fn new(scopes: HeatScopes) -> HeatTally {
        HeatTally { scopes, ..HeatTally::default() }
    }

    fn hear(&mut self, note: &HeatNote) {
        let class = self.scopes.class_row(u32::from(note.class));
        let node = self.scopes.node_row(note.node);
        match note.what {
            HeatWord::Completed(total, first) => {
                let codes = [HeatLane::Total(total).code(), HeatLane::FirstToken(first).code()];
                for row in [Some(0), class, node].into_iter().flatten() {
                    self.count(row, codes, 1);
                }
            }
            HeatWord::Failed | HeatWord::Rejected => {
                let failed = matches!(note.what, HeatWord::Failed);
                let lane = if failed { HeatLane::Failed } else { HeatLane::Rejected };
                for row in [Some(0), class].into_iter().flatten() {
                    self.count(row, [lane.code()], 1);
                }
            }
            HeatWord::AttemptFailed => {
                if let Some(row) = node {
                    self.count(row, [HeatLane::Failed.code()], 1);
                }
            }
        }
    }

    /// Adds what a column counts.
    fn add(&mut self, column: &HeatColumn) {
        for cell in &column.cells {
            let row = self.scopes.row_of(cell.key >> 9);
            self.count(row, [(cell.key & 0x1FF) as u16], cell.count);
        }
    }

    /// Counts codes of a row.
    #[inline]
    fn count<const N: usize>(&mut self, row: u32, codes: [u16; N], count: u32) {
        let row = row as usize;
        if self.counts.is_empty() {
            let rows = self.scopes.rows();
            self.counts = vec![0; rows * CODES];
            self.codes = vec![0; rows * WORDS];
            self.rows = vec![0; rows.div_ceil(64)];
        }
        let counts = &mut self.counts[row * CODES..][..CODES];
        let bits = &mut self.codes[row * WORDS..][..WORDS];
        for code in codes.map(usize::from) {
            counts[code] = counts[code].saturating_add(count);
            bits[code / 64] |= 1 << (code % 64);
        }
        self.rows[row / 64] |= 1 << (row % 64);
    }

    /// Returns what was counted as a column, and forgets it.
    fn take(&mut self, start: Time, span: Span) -> HeatColumn {
        let HeatTally { scopes, counts, codes, rows } = self;
        let mut cells = Vec::new();
        for row in take_bits(rows) {
            let scope = scopes.number_of(row as u32);
            let counts = &mut counts[row * CODES..][..CODES];
            for code in take_bits(&mut codes[row * WORDS..][..WORDS]) {
                let count = std::mem::take(&mut counts[code]);
                cells.push(HeatCell { key: key(scope, code as u16), count });
            }
        }
        cells.shrink_to_fit();
        HeatColumn { start, span, cells }
    }
}

/// Returns the places of the bits that are set, in order, and unsets them.
fn take_bits(words: &mut [u64]) -> impl Iterator<Item = usize> {
    words.iter_mut().enumerate().flat_map(|(place, word)| {
        let mut bits = std::mem::take(word);
        std::iter::from_fn(move || {
            let bit = bits.checked_ilog2().map(|_| bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(place * 64 + bit)
        })
    })
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
            if random % 7 == 0 {
                heat.map(now);
            }
            let who = (ClassId((random % 3) as u16), Some(NodeId((random % 5) as u32)));
            let length = Span::from_millis(random % 40_000);
            let fate = match random % 10 {
                0 => Fate::Failed(End::RateLimited),
                1 => Fate::Rejected(Reject::QueueFull),
                2 => Fate::Cancelled,
                _ => Fate::Completed,
            };
            heat.settled(now, who, fate, (length, Span(length.0 / 3)));
            completed += u64::from(fate == Fate::Completed);
            failed += u64::from(matches!(fate, Fate::Failed(_)));
            rejected += u64::from(matches!(fate, Fate::Rejected(_)));
        }
        let map = heat.map(now);
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
        assert!(map.columns.len() < 10 * COLUMNS as usize, "bounded");
    }

    #[test]
    fn many_nodes_make_columns_longer_sooner_and_memory_stays_bounded() {
        let nodes = 2_000;
        let mut heat = HeatBuckets::new(&labels(1, nodes));
        let mut completed = 0;
        for step in 0..4_000_u64 {
            let now = Time(step * STEP.0);
            for place in 0..60 {
                let node = NodeId(((step * 60 + place) % nodes as u64) as u32);
                let length = Span::from_millis(1 + (step * 977 + place * 131) % 9_000);
                let who = (ClassId(0), Some(node));
                heat.settled(now, who, Fate::Completed, (length, length));
                completed += 1;
            }
        }
        let map = heat.map(Time(4_000 * STEP.0));
        assert_eq!(counted(&map, HeatScope::All, |l| matches!(l, HeatLane::Total(_))), completed);
        assert_eq!(heat.most, COLUMNS_MIN);
        assert!(map.columns.len() as u64 <= 8 * COLUMNS_MIN, "{} columns", map.columns.len());
    }

    #[test]
    fn the_picture_does_not_depend_on_when_it_was_asked_for_before() {
        let labels = labels(2, 3);
        let (mut often, mut once) = (HeatBuckets::new(&labels), HeatBuckets::new(&labels));
        let (mut now, mut state) = (Time::ZERO, 3_u64);
        for _ in 0..3 * NOTES_MAX {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = state >> 33;
            now = now + Span::from_millis(random % 90);
            let who = (ClassId((random % 2) as u16), Some(NodeId((random % 3) as u32)));
            let length = Span::from_millis(random % 5_000);
            for heat in [&mut often, &mut once] {
                heat.settled(now, who, Fate::Completed, (length, length));
            }
            if random % 11 == 0 {
                often.map(now);
            }
        }
        assert_eq!(often.map(now), once.map(now));
    }

    #[test]
    fn levels_fill_one_after_the_other_and_together_hold_every_column() {
        for closed in 0..5_000 {
            let levels: Vec<u64> = layout(closed, 16).collect();
            let held: u64 = levels.iter().enumerate().map(|(level, many)| many << level).sum();
            assert_eq!(held, closed);
            assert!(levels.iter().all(|many| (1..=16).contains(many)), "{closed}: {levels:?}");
        }
    }
}
