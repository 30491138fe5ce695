//! Where the requests of a class come from, and what else is known of them.
//!
//! Region and attributes are drawn by shares from a key of the request, not from a stream: a mix
//! that changes in one class moves no draw of another, nor any arrival or length.

use crate::rng::{Rng, mix};
use crate::unit::RegionId;

/// Things with shares.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginShares<T> {
    things: Vec<T>,
    /// Cumulated; the last is the total.
    sums: Vec<f64>,
}

impl<T: Copy> OriginShares<T> {
    /// Things with their shares, relative to each other; `None` if no share is above zero, or one
    /// is negative or not a finite number.
    #[must_use]
    pub fn new(list: &[(T, f64)]) -> Option<OriginShares<T>> {
        let things = list.iter().map(|(thing, _)| *thing).collect();
        let sums: Vec<f64> = list
            .iter()
            .scan(0.0, |sum, (_, share)| {
                *sum += share;
                Some(*sum)
            })
            .collect();
        let sane = list.iter().all(|(_, share)| share.is_finite() && *share >= 0.0);
        let total = sums.last().is_some_and(|total| *total > 0.0);
        (sane && total).then_some(OriginShares { things, sums })
    }

    fn draw(&self, key: u64) -> T {
        let last = self.things.len() - 1;
        if last == 0 {
            return self.things[0];
        }
        let point = Rng::from_key(key).unit() * self.sums[last];
        self.things[self.sums.partition_point(|&sum| sum <= point).min(last)]
    }
}

/// Where the requests of a class come from, and what else is known of them. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Regions, if they are known.
    pub regions: Option<OriginShares<RegionId>>,
    /// For each attribute, its values as bits.
    pub attributes: Vec<OriginShares<u64>>,
}

impl Origin {
    /// Returns the region and the attributes of the request with this key.
    pub(super) fn draw(&self, key: u64) -> (Option<RegionId>, u64) {
        let region = self.regions.as_ref().map(|shares| shares.draw(mix(key, 0)));
        let attributes = (1..).zip(&self.attributes);
        let bits = attributes.map(|(place, values)| values.draw(mix(key, place)));
        (region, bits.fold(0, |all, bit| all | bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_draws_do_not_move_each_other() {
        let regions = OriginShares::new(&[(RegionId(1), 0.7), (RegionId(2), 0.3)]);
        let language = OriginShares::new(&[(1_u64, 2.0), (2, 0.0), (4, 2.0)]).expect("shares");
        let risk = OriginShares::new(&[(8_u64, 1.0)]).expect("shares");
        let origin = Origin { regions: regions.clone(), attributes: vec![language, risk] };
        let total = 100_000_u64;
        let (mut first, mut ones) = (0_u64, 0_u64);
        for key in 0..total {
            let (region, bits) = origin.draw(mix(7, key));
            assert!(bits == 8 | 1 || bits == 8 | 4, "one value of each: {bits}");
            first += u64::from(region == Some(RegionId(1)));
            ones += bits & 1;
            let alone = Origin { regions: regions.clone(), attributes: Vec::new() };
            assert_eq!(alone.draw(mix(7, key)), (region, 0));
        }
        for (count, p) in [(first, 0.7), (ones, 0.5)] {
            let off = count as f64 - total as f64 * p;
            assert!(off.abs() < 3.29 * (total as f64 * p * (1.0 - p)).sqrt(), "{count}");
        }
        assert_eq!(Origin::default().draw(1), (None, 0));
    }

    #[test]
    fn shares_of_nothing_are_none() {
        assert_eq!(OriginShares::<u64>::new(&[]), None);
        assert_eq!(OriginShares::new(&[(1_u64, 0.0)]), None);
        assert_eq!(OriginShares::new(&[(1_u64, f64::NAN), (2, 1.0)]), None);
        assert_eq!(OriginShares::new(&[(1_u64, -1.0), (2, 3.0)]), None);
    }
}
