//! The map of latencies as a screen shows it: columns of equal length that end now, rows of equal
//! ratio, and where the cursor stands. Counts are only ever added up, so none is lost or made up.

use crate::metrics::{HeatColumn, HeatLane, HeatMap, HeatScope, LENGTHS, length_code};
use crate::unit::{Span, Time};

/// What the person has chosen to look at in the map.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeatLook {
    /// A time in the column of the cursor; without one it follows the newest.
    pub(super) cursor: Option<Time>,
    /// The least code of the row of the cursor.
    pub(super) row: Option<u8>,
    pub(super) scope: HeatScope,
    pub(super) first_token: bool,
    /// Whether colours go with the count, not with its logarithm.
    pub(super) linear: bool,
}

/// The counts of one column.
#[derive(Clone, Debug)]
pub(super) struct HeatCounts {
    lengths: [u32; LENGTHS as usize],
    /// No code below the first has a count, none from the second on.
    ends: (usize, usize),
    pub(super) failed: u32,
    pub(super) rejected: u32,
}

impl Default for HeatCounts {
    fn default() -> HeatCounts {
        HeatCounts {
            lengths: [0; LENGTHS as usize],
            ends: (LENGTHS as usize, 0),
            failed: 0,
            rejected: 0,
        }
    }
}

impl HeatCounts {
    fn add(&mut self, column: &HeatColumn, scope: HeatScope, first_token: bool) {
        for (lane, count) in column.of(scope) {
            match lane {
                HeatLane::Total(code) if !first_token => self.add_length(code, count),
                HeatLane::FirstToken(code) if first_token => self.add_length(code, count),
                HeatLane::Total(_) | HeatLane::FirstToken(_) => {}
                HeatLane::Failed => self.failed = self.failed.saturating_add(count),
                HeatLane::Rejected => self.rejected = self.rejected.saturating_add(count),
            }
        }
    }

    fn add_length(&mut self, code: u8, count: u32) {
        let code = usize::from(code);
        self.ends = (self.ends.0.min(code), self.ends.1.max(code + 1));
        self.lengths[code] = self.lengths[code].saturating_add(count);
    }

    /// The codes that have a count, and others between them.
    fn used(&self) -> &[u32] {
        self.lengths.get(self.ends.0..self.ends.1).unwrap_or_default()
    }

    /// Returns how many completed.
    pub(super) fn completed(&self) -> u64 {
        self.used().iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns how many are in a row.
    pub(super) fn row(&self, from: u8, parts: u8) -> u64 {
        let end = usize::from(from.saturating_add(parts).min(LENGTHS));
        let row = self.lengths.get(usize::from(from)..end).unwrap_or_default();
        row.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns about how long, in eighths of octaves, at most so large a share took: as if those in
    /// one code were spread evenly over it.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share * self.completed() as f64;
        let mut before = 0.0;
        let mut last = None;
        let codes = (self.ends.0..).zip(self.used());
        for (code, count) in codes.filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if before + count >= wanted {
                return Some(code as f64 + ((wanted - before) / count).clamp(0.0, 1.0));
            }
            before += count;
            last = Some(code as f64 + 1.0);
        }
        last
    }

    /// Returns about what share took at most so long.
    pub(super) fn share_within(&self, limit: Span) -> Option<f64> {
        let all = self.completed();
        let code = usize::from(length_code(limit));
        let below: u64 = self.lengths[..code].iter().map(|count| u64::from(*count)).sum();
        let inside = ((limit.seconds().log2() + 10.0) * 8.0 - code as f64).clamp(0.0, 1.0);
        let sum = below as f64 + inside * f64::from(self.lengths[code]);
        (all > 0).then(|| sum / all as f64)
    }

    fn ends(&self) -> Option<(u8, u8)> {
        let (first, end) = self.ends;
        (first < end).then(|| (first as u8, end as u8 - 1))
    }

    /// Returns two lengths, in eighths of octaves, around which requests gather, if there are two
    /// with few between them.
    pub(super) fn two_modes(&self) -> Option<(f64, f64)> {
        const PARTS: u8 = 4;
        const FEW: u64 = 50;
        let all = self.completed();
        let rows: Vec<u64> = (0..LENGTHS / PARTS).map(|row| self.row(row * PARTS, PARTS)).collect();
        let (top, most) = rows.iter().enumerate().max_by_key(|(_, count)| **count)?;
        let valley = |a: usize, b: usize| {
            rows[a.min(b)..=a.max(b)].iter().min().copied().unwrap_or_default()
        };
        let second = rows
            .iter()
            .enumerate()
            .filter(|(row, count)| row.abs_diff(top) > 2 && **count * 20 >= all && **count > 0)
            .filter(|(row, count)| {
                valley(top, *row) * 3 <= **count && valley(top, *row) * 3 <= *most
            })
            .max_by_key(|(_, count)| **count)?;
        let middle = |row: usize| (row as f64 + 0.5) * f64::from(PARTS);
        let (low, high) = (top.min(second.0), top.max(second.0));
        (all >= FEW).then(|| (middle(low), middle(high)))
    }
}

/// Columns of equal length, oldest first; the last one has now in it.
#[derive(Clone, Debug)]
pub(super) struct HeatGrid {
    pub(super) columns: Vec<HeatCounts>,
}

/// How long columns are so that at most so many show the range, and when the last one ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HeatTicks {
    pub(super) step: Span,
    pub(super) end: Time,
    pub(super) count: usize,
}

impl HeatTicks {
    /// Returns the shortest that the map knows and with which the range has room; none while there is
    /// nothing in it. As many are shown as have room, so it may be more than the range.
    pub(super) fn of(map: &HeatMap, now: Time, range: Span, room: usize) -> Option<HeatTicks> {
        let room = room.max(1) as u64;
        // The last column is not over, so the range takes one more than it has lengths of a column.
        let wanted = range.0.div_ceil((room - 1).max(1)).max(1);
        let coarsest = |from: Time| map.columns.iter().find(|column| column.end() > from);
        let mut step = 1;
        let mut from = Time(now.0.saturating_sub(range.0));
        loop {
            let unit = coarsest(from)?.span.0.max(1);
            let next = wanted.max(step).div_ceil(unit).saturating_mul(unit);
            let end = Time((now.0 / next).saturating_add(1).saturating_mul(next));
            from = Time(end.0.saturating_sub(next.saturating_mul(room)));
            // What comes into sight at the left may be known less finely.
            if next == step {
                let count = room.min(end.0 / next).max(1) as usize;
                return Some(HeatTicks { step: Span(step), end, count });
            }
            step = next;
        }
    }

    /// Returns the column of a time, from the left.
    pub(super) fn place(&self, at: Time) -> Option<usize> {
        if at >= self.end {
            return None;
        }
        let back = self.end.since(at).0.saturating_sub(1) / self.step.0.max(1);
        usize::try_from(back).ok().and_then(|back| (self.count - 1).checked_sub(back))
    }

    /// Returns when a column begins.
    pub(super) fn start(&self, place: usize) -> Time {
        let back = self.count.saturating_sub(place) as u64;
        Time(self.end.0.saturating_sub(self.step.0.saturating_mul(back)))
    }
}

impl HeatGrid {
    pub(super) fn new(map: &HeatMap, ticks: HeatTicks, look: &HeatLook) -> HeatGrid {
        let mut columns = vec![HeatCounts::default(); ticks.count];
        let first = ticks.start(0);
        let from = map.columns.partition_point(|column| column.end() <= first);
        for column in &map.columns[from..] {
            if let Some(place) = ticks.place(column.start) {
                columns[place].add(column, look.scope, look.first_token);
            }
        }
        HeatGrid { columns }
    }

    /// Returns the greatest count of a cell of so many parts.
    pub(super) fn most(&self, rows: &HeatRows) -> u64 {
        let cells =
            self.columns.iter().flat_map(|c| rows.all().map(|from| c.row(from, rows.parts)));
        cells.max().unwrap_or(0)
    }
}

/// The rows in sight: so many, of so many codes each, from the least on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeatRows {
    pub(super) low: u8,
    pub(super) parts: u8,
    pub(super) count: u8,
}

impl HeatRows {
    /// Returns the finest rows, but √2 apart at least, with which everything in sight has room; the
    /// promises are in sight too.
    pub(super) fn of(grid: &HeatGrid, promises: &[Span], room: u16) -> HeatRows {
        let promised = promises.iter().map(|promise| length_code(*promise));
        let mut codes: Vec<u8> = promised.collect();
        codes.extend(grid.columns.iter().filter_map(HeatCounts::ends).flat_map(|(a, b)| [a, b]));
        let low = codes.iter().min().copied().unwrap_or(72);
        let high = codes.iter().max().copied().unwrap_or(88);
        let mut parts = 4;
        loop {
            // Air above and below where it can be had, so that rows do not jump.
            let (from, to) = (low / parts, high / parts);
            let count = to - from + 1;
            let air = u8::from(u16::from(count) + 2 <= room);
            if u16::from(count) <= room || parts >= LENGTHS / 2 {
                let from = from.saturating_sub(air);
                let to = (to + air).min(LENGTHS.div_ceil(parts) - 1);
                return HeatRows { low: from * parts, parts, count: to - from + 1 };
            }
            parts *= 2;
        }
    }

    /// Returns the least codes of all rows, the least first.
    pub(super) fn all(self) -> impl DoubleEndedIterator<Item = u8> {
        (0..self.count).map(move |row| self.low.saturating_add(row.saturating_mul(self.parts)))
    }

    /// Returns the row of a code, counted from the least.
    pub(super) fn place(self, code: u8) -> Option<u8> {
        let row = code.checked_sub(self.low)? / self.parts;
        (row < self.count).then_some(row)
    }
}

/// There are at most so many shades.
const SHADES_MAX: usize = 9;

/// Which shade a count has: from 1 to `levels`, nothing for none.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeatScale {
    pub(super) levels: u8,
    /// The greatest count.
    most: u64,
    linear: bool,
    /// The least count of each shade.
    least: [u64; SHADES_MAX],
}

impl HeatScale {
    /// A scale up to a count; rounded up, so that it does not change with every request.
    pub(super) fn new(most: u64, levels: u8, linear: bool) -> HeatScale {
        let levels = levels.clamp(1, SHADES_MAX as u8);
        let greatest = most.max(u64::from(levels)).checked_next_power_of_two().unwrap_or(u64::MAX);
        let top = greatest as f64;
        let least = std::array::from_fn(|place| {
            let share = place as f64 / f64::from(levels);
            let value = if linear { 1.0 + share * (top - 1.0) } else { top.powf(share) };
            // Small counts would share a shade: each has at least its own.
            (value.round() as u64).max(place as u64 + 1)
        });
        HeatScale { levels, most, linear, least }
    }

    /// Returns the same with other shades.
    pub(super) fn with_levels(self, levels: u8) -> HeatScale {
        HeatScale::new(self.most, levels, self.linear)
    }

    /// Returns the least count of a shade.
    pub(super) fn least(&self, level: u8) -> u64 {
        self.least[usize::from(level.max(1) - 1).min(SHADES_MAX - 1)]
    }

    pub(super) fn level(&self, count: u64) -> u8 {
        let shades = &self.least[..usize::from(self.levels)];
        shades.iter().take_while(|least| **least <= count).count() as u8
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::fixture;

    fn cells(map: &HeatMap) -> u64 {
        let counts = map.columns.iter().flat_map(|column| column.of(HeatScope::All));
        let total = counts.filter(|(lane, _)| matches!(lane, HeatLane::Total(_)));
        total.map(|(_, count)| u64::from(count)).sum()
    }

    #[test]
    fn a_map_of_the_whole_run_has_every_request_once_at_every_size_from_two_columns_on() {
        let snapshot = fixture::snapshot();
        let range = snapshot.now.since(Time::ZERO);
        for room in 1..220 {
            let ticks = HeatTicks::of(&snapshot.heat, snapshot.now, range, room).unwrap();
            assert!(ticks.count <= room);
            let grid = HeatGrid::new(&snapshot.heat, ticks, &HeatLook::default());
            let sum: u64 = grid.columns.iter().map(HeatCounts::completed).sum();
            assert!(room < 2 || sum == cells(&snapshot.heat), "{room}: {sum}");
            for height in 1..40 {
                let rows = HeatRows::of(&grid, &[], height);
                let shown: u64 = grid
                    .columns
                    .iter()
                    .flat_map(|column| rows.all().map(|from| column.row(from, rows.parts)))
                    .sum();
                assert_eq!(shown, sum, "{room} x {height}");
            }
        }
    }

    #[test]
    fn columns_and_times_find_each_other() {
        let map = HeatMap {
            columns: vec![Arc::new(HeatColumn::new(Time::ZERO, Span::from_millis(250), &[]))],
        };
        let now = Time(133_400_000_000);
        let ticks = HeatTicks::of(&map, now, Span::from_secs(60), 52);
        assert_eq!(ticks, None, "what is in sight is not in the map");
        let ticks = HeatTicks::of(&map, Time(1_000_000), Span::from_secs(60), 52).unwrap();
        for place in 0..ticks.count {
            let start = ticks.start(place);
            if start > Time::ZERO {
                assert_eq!(ticks.place(start), Some(place));
            }
        }
        assert_eq!(ticks.place(ticks.end), None);
    }

    #[test]
    fn shades_begin_with_one_request_and_never_go_back() {
        for (most, levels, linear) in [(0, 5, false), (3, 5, true), (256, 5, false), (900, 9, true)]
        {
            let scale = HeatScale::new(most, levels, linear);
            assert_eq!((scale.level(0), scale.level(1)), (0, 1));
            let mut before = 0;
            for count in 0..=most {
                let level = scale.level(count);
                assert!(level >= before && level <= levels);
                before = level;
            }
        }
    }

    #[test]
    fn quantiles_and_promises_are_within_an_eighth_of_an_octave() {
        let mut counts = HeatCounts::default();
        for millis in 1..=10_000_u64 {
            counts.add_length(length_code(Span::from_millis(millis)), 1);
        }
        for share in [0.1, 0.5, 0.9, 0.99] {
            let code = counts.quantile(share).unwrap();
            let seconds = (code / 8.0 - 10.0).exp2();
            assert!((seconds / (share * 10.0)).log2().abs() < 0.06, "{share}: {seconds}");
            let within = counts.share_within(Span::from_seconds(share * 10.0)).unwrap();
            assert!((within - share).abs() < 0.05, "{share}: {within}");
        }
        assert_eq!(HeatCounts::default().quantile(0.5), None);
        assert_eq!(counts.two_modes(), None);
    }

    #[test]
    fn two_heaps_with_a_valley_between_are_two_modes() {
        let mut counts = HeatCounts::default();
        for code in [68, 70, 72, 74] {
            counts.add_length(code, 60);
        }
        assert_eq!(counts.two_modes(), None);
        counts.add_length(96, 30);
        let (low, high) = counts.two_modes().unwrap();
        assert!((66.0..76.0).contains(&low) && (94.0..100.0).contains(&high), "{low} {high}");
        counts.add_length(84, 30);
        counts.add_length(88, 30);
        counts.add_length(92, 30);
        counts.add_length(80, 30);
        counts.add_length(76, 30);
        assert_eq!(counts.two_modes(), None, "no valley");
    }
}
