//! How long requests took, over time: exact counts by length, kept at fixed simulated steps.
//!
//! The newest steps are the finest. As they age, two neighbours become one, and what is older again
//! so, which keeps the whole run in memory that does not grow with it but by its logarithm.

use std::borrow::Cow;
use std::fmt;
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
/// So few notes of a column are kept as they are.
const FEW: usize = 128;
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

/// What ended in some stretch of time. Two are equal, and look so, if they count the same.
#[derive(Clone, Default)]
pub struct HeatColumn {
    /// When it begins: a multiple of its length.
    pub start: Time,
    /// Its length.
    pub span: Span,
    counts: HeatForm,
}

/// What a column counts.
#[derive(Clone, Debug)]
enum HeatForm {
    /// In order.
    Cells(Vec<HeatCell>),
    /// Where it is little, what was noted: it is counted when somebody looks.
    Notes(Box<[HeatNote]>, HeatScopes),
}

impl Default for HeatForm {
    fn default() -> HeatForm {
        HeatForm::Cells(Vec::new())
    }
}

impl HeatForm {
    fn is_empty(&self) -> bool {
        match self {
            HeatForm::Cells(cells) => cells.is_empty(),
            HeatForm::Notes(notes, _) => notes.is_empty(),
        }
    }

    fn cells(&self) -> Cow<'_, [HeatCell]> {
        match self {
            HeatForm::Cells(cells) => Cow::Borrowed(cells),
            HeatForm::Notes(notes, scopes) => {
                Cow::Owned(counted(notes.iter().flat_map(|note| note.keys(*scopes))))
            }
        }
    }

    /// Returns the cells of one scope.
    fn of(&self, number: u32) -> Cow<'_, [HeatCell]> {
        match self {
            HeatForm::Cells(cells) => {
                let from = cells.partition_point(|cell| cell.key < key(number, 0));
                let rest = &cells[from..];
                let many = rest.partition_point(|cell| cell.key >> 9 == number);
                Cow::Borrowed(&rest[..many])
            }
            HeatForm::Notes(notes, scopes) => {
                let keys = notes.iter().flat_map(|note| note.keys(*scopes));
                Cow::Owned(counted(keys.filter(|key| key >> 9 == number)))
            }
        }
    }
}

fn counted(keys: impl Iterator<Item = u32>) -> Vec<HeatCell> {
    let mut keys: Vec<u32> = keys.collect();
    keys.sort_unstable();
    let runs = keys.chunk_by(|one, next| one == next);
    runs.map(|run| HeatCell { key: run[0], count: run.len() as u32 }).collect()
}

impl fmt::Debug for HeatColumn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut column = formatter.debug_struct("HeatColumn");
        column.field("start", &self.start).field("span", &self.span);
        column.field("cells", &self.counts.cells()).finish()
    }
}

impl PartialEq for HeatColumn {
    fn eq(&self, other: &HeatColumn) -> bool {
        (self.start, self.span) == (other.start, other.span)
            && self.counts.cells() == other.counts.cells()
    }
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
        HeatColumn { start, span, counts: HeatForm::Cells(cells) }
    }

    /// Returns what it counts, each scope and lane as one number, with how many, in order.
    #[must_use]
    pub fn cells(&self) -> Vec<(u32, u32)> {
        self.counts.cells().iter().map(|cell| (cell.key, cell.count)).collect()
    }

    /// Returns when it ends.
    #[must_use]
    pub fn end(&self) -> Time {
        self.start + self.span
    }

    /// Returns the lanes of a scope with their counts, in order.
    pub fn of(&self, scope: HeatScope) -> impl Iterator<Item = (HeatLane, u32)> {
        let cells = self.counts.of(scope.number());
        (0..cells.len()).map(move |at| {
            let cell = cells[at];
            (HeatLane::of_code((cell.key & 0x1FF) as u16), cell.count)
        })
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

impl HeatNote {
    /// The rows of a tally that count it.
    fn rows(&self, scopes: HeatScopes) -> [Option<u32>; 3] {
        let class = scopes.class_row(u32::from(self.class));
        let node = scopes.node_row(self.node);
        match self.what {
            HeatWord::Completed(..) => [Some(0), class, node],
            HeatWord::Failed | HeatWord::Rejected => [Some(0), class, None],
            HeatWord::AttemptFailed => [None, None, node],
        }
    }

    /// The keys of the cells that count it.
    fn keys(&self, scopes: HeatScopes) -> impl Iterator<Item = u32> {
        let codes = self.codes();
        let numbers = self.rows(scopes).into_iter().flatten().map(move |row| scopes.number_of(row));
        numbers
            .flat_map(move |number| codes.into_iter().flatten().map(move |code| key(number, code)))
    }

    /// What each of them counts.
    fn codes(&self) -> [Option<u16>; 2] {
        match self.what {
            HeatWord::Completed(total, first) => {
                [HeatLane::Total(total), HeatLane::FirstToken(first)].map(|lane| Some(lane.code()))
            }
            HeatWord::Failed | HeatWord::AttemptFailed => [Some(HeatLane::Failed.code()), None],
            HeatWord::Rejected => [Some(HeatLane::Rejected.code()), None],
        }
    }
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
        let mut notes = self.notes.as_slice();
        let levels: Vec<u64> = layout(closed, self.most).collect();
        let mut start = Time::ZERO;
        for (level, columns) in levels.into_iter().enumerate().rev() {
            let span = Span(STEP.0 << level);
            for _ in 0..columns {
                let end = start + span;
                let column = before.next_if(|column| column.start == start && column.span == span);
                // What is closed stays closed: a column that was there gets no more notes.
                let column = column.unwrap_or_else(|| {
                    let parts = std::iter::from_fn(|| before.next_if(|part| part.end() <= end));
                    let many = notes.iter().take_while(|note| note.at < end).count();
                    let (here, later) = notes.split_at(many);
                    notes = later;
                    Arc::new(self.tally.column((start, span), parts, here))
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
        let when = (Time(self.closed * STEP.0), STEP);
        let filling = self.tally.column(when, std::iter::empty(), &self.notes);
        let filling = (!filling.counts.is_empty()).then(|| Arc::new(filling));
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
        let codes = note.codes();
        for row in note.rows(self.scopes).into_iter().flatten() {
            codes.into_iter().flatten().for_each(|code| self.count(row, code, 1));
        }
    }

    /// Adds what a column counts.
    fn add(&mut self, column: &HeatColumn) {
        match &column.counts {
            HeatForm::Notes(notes, _) => notes.iter().for_each(|note| self.hear(note)),
            HeatForm::Cells(cells) => {
                for cell in cells {
                    let row = self.scopes.row_of(cell.key >> 9);
                    self.count(row, (cell.key & 0x1FF) as u16, cell.count);
                }
            }
        }
    }

    /// Counts a code of a row.
    fn count(&mut self, row: u32, code: u16, count: u32) {
        let (row, code) = (row as usize, usize::from(code));
        if self.counts.is_empty() {
            let rows = self.scopes.rows();
            self.counts = vec![0; rows * CODES];
            self.codes = vec![0; rows * WORDS];
            self.rows = vec![0; rows.div_ceil(64)];
        }
        let counted = &mut self.counts[row * CODES + code];
        *counted = counted.saturating_add(count);
        self.codes[row * WORDS + code / 64] |= 1 << (code % 64);
        self.rows[row / 64] |= 1 << (row % 64);
    }

    /// Returns a column of these columns and notes.
    fn column(
        &mut self,
        (start, span): (Time, Span),
        parts: impl Iterator<Item = Arc<HeatColumn>>,
        notes: &[HeatNote],
    ) -> HeatColumn {
        let mut alone = true;
        for part in parts {
            self.add(&part);
            alone = false;
        }
        if alone && notes.len() <= FEW {
            return HeatColumn { start, span, counts: HeatForm::Notes(notes.into(), self.scopes) };
        }
        notes.iter().for_each(|note| self.hear(note));
        self.take(start, span)
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
        HeatColumn { start, span, counts: HeatForm::Cells(cells) }
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
mod tests;
