//! Finds out whether timestamps lie on a coarse grid, from the first rows of a trace.
//!
//! Two things must come together: at least two rows share a timestamp in the mean, and nine in ten
//! gaps between different timestamps are, within two per cent, whole multiples of their median.
//! Volleys of an agent share timestamps too, but not at regular times.

use crate::unit::Span;

/// So many different timestamps are looked at, the last of them perhaps not to its end.
pub(super) const TICKS_SEEN: usize = 33;

/// Fewer gaps than this show no regularity.
const GAPS_MIN: usize = 2;

/// The step of the grid on which these sorted times lie, if they do.
pub(super) fn step(times: impl Iterator<Item = u64>) -> Option<Span> {
    let mut rows = 0_usize;
    let mut gaps = Vec::new();
    let mut last = None;
    for time in times {
        rows += 1;
        match last {
            Some(last) if last == time => continue,
            Some(last) => gaps.push(time - last),
            None => {}
        }
        last = Some(time);
    }
    let ticks = gaps.len() + 1;
    if gaps.len() < GAPS_MIN || rows < 2 * ticks {
        return None;
    }
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    let (mut regular, mut span, mut steps) = (0, 0, 0);
    for gap in &gaps {
        if let Some(count) = multiple(*gap, median) {
            regular += 1;
            span += u128::from(*gap);
            steps += u128::from(count);
        }
    }
    // The mean over all steps is nearer to the truth than the median of gaps that wobble.
    (regular * 10 >= gaps.len() * 9).then(|| Span((span / steps) as u64))
}

/// How many steps the gap has, if it is near a whole number of them.
fn multiple(gap: u64, step: u64) -> Option<u64> {
    let ratio = gap as f64 / step as f64;
    (ratio > 0.5 && (ratio - ratio.round()).abs() <= 0.02).then(|| ratio.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ticks: &[u64], rows_each: usize) -> Option<Span> {
        step(ticks.iter().flat_map(|at| std::iter::repeat_n(*at, rows_each)))
    }

    #[test]
    fn a_grid_may_wobble_and_miss_ticks() {
        let ticks = [0, 3_000, 5_999, 9_000, 12_001, 18_000];
        assert_eq!(found(&ticks, 4), Some(Span(3_000)));
    }

    #[test]
    fn single_rows_and_irregular_volleys_are_no_grid() {
        assert_eq!(found(&[0, 3_000, 6_000, 9_000], 1), None);
        assert_eq!(found(&[0, 1_100, 1_930, 5_270, 9_410, 9_990], 5), None);
        assert_eq!(found(&[0, 0], 5), None);
        assert_eq!(step(std::iter::empty()), None);
    }
}
