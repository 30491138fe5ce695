//! Who asks: which tenant a request of a class belongs to.
//!
//! Production traffic is very unequal: of 162 clients of one model, six send half of the load
//! (ServeGen, 2025). A Zipf law says so with one number: the k-th largest tenant has a share in
//! proportion to `k^-exponent`. Tenants have numbers and no names; two classes with the same
//! numbers share the tenants. Draws come from a stream of their own: naming tenants moves no
//! arrival, no class and no length.

use crate::rng::Rng;
use crate::unit::TenantId;

/// A law has at most so many tenants.
pub const TENANTS_MAX: u32 = 100_000;

/// The exponent goes so far: at ten the first tenant has all but a thousandth.
pub const EXPONENT_MAX: f64 = 10.0;

/// Whose requests these are.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantLaw {
    /// All of one tenant.
    One(TenantId),
    /// Of tenants numbered from zero, the largest first: their cumulated shares, the last is one.
    Zipf(Box<[f64]>),
}

impl Default for TenantLaw {
    fn default() -> TenantLaw {
        TenantLaw::One(TenantId(0))
    }
}

impl TenantLaw {
    /// A Zipf law over `count` tenants (1 to [`TENANTS_MAX`]) with an exponent from zero, where all
    /// are alike, to [`EXPONENT_MAX`]. `None` if a parameter is out of range.
    #[must_use]
    pub fn zipf(count: u32, exponent: f64) -> Option<TenantLaw> {
        if !(1..=TENANTS_MAX).contains(&count) || !(0.0..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        Some(TenantLaw::Zipf(zipf_shares(count, exponent)))
    }

    /// Returns who they are, each with its share.
    #[must_use]
    pub fn shares(&self) -> Vec<(TenantId, f64)> {
        match self {
            TenantLaw::One(tenant) => vec![(*tenant, 1.0)],
            TenantLaw::Zipf(sums) => {
                let before = std::iter::once(&0.0).chain(sums);
                let shares = sums.iter().zip(before).map(|(sum, before)| sum - before);
                (0..).map(TenantId).zip(shares).collect()
            }
        }
    }

    /// Draws a tenant; nothing is drawn where there is only one.
    pub(super) fn draw(&self, rng: &mut Rng) -> TenantId {
        match self {
            TenantLaw::One(tenant) => *tenant,
            TenantLaw::Zipf(shares) => {
                let point = rng.unit();
                let place = shares.partition_point(|sum| *sum <= point);
                TenantId(place.min(shares.len() - 1) as u32)
            }
        }
    }
}

/// The cumulated shares of a Zipf law, the largest share first; the last sum is one.
pub(super) fn zipf_shares(count: u32, exponent: f64) -> Box<[f64]> {
    let weights = (1..=count).map(|rank| f64::from(rank).powf(-exponent));
    let total: f64 = weights.clone().sum();
    let shares = weights.scan(0.0, |sum, weight| {
        *sum += weight / total;
        Some(*sum)
    });
    shares.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_rank_and_all_together_are_all() {
        assert_eq!(TenantLaw::One(TenantId(7)).shares(), [(TenantId(7), 1.0)]);
        let shares = TenantLaw::zipf(20, 1.0).unwrap().shares();
        for (rank, (tenant, share)) in shares.iter().enumerate() {
            assert_eq!(tenant.index(), rank);
            assert!((share * (rank + 1) as f64 - shares[0].1).abs() < 1e-12, "{rank}");
        }
        let all: f64 = shares.iter().map(|(_, share)| share).sum();
        assert!((all - 1.0).abs() < 1e-12);
    }

    #[test]
    fn shares_follow_the_rank() {
        let law = TenantLaw::zipf(20, 1.1).unwrap();
        let total: f64 = (1..=20).map(|rank| f64::from(rank).powf(-1.1)).sum();
        let mut rng = Rng::stream(1, "tenants");
        let mut counts = [0_u32; 20];
        for _ in 0..200_000 {
            counts[law.draw(&mut rng).index()] += 1;
        }
        // 19 degrees of freedom: 43.8 is the 99.9 % point.
        let off = |(rank, count): (usize, &u32)| {
            let wanted = 200_000.0 * (rank as f64 + 1.0).powf(-1.1) / total;
            (f64::from(*count) - wanted).powi(2) / wanted
        };
        let chi2: f64 = counts.iter().enumerate().map(off).sum();
        assert!(chi2 < 43.8, "chi-square {chi2} for {counts:?}");
    }

    #[test]
    fn laws_out_of_range_are_refused() {
        assert_eq!(TenantLaw::zipf(0, 1.0), None);
        assert_eq!(TenantLaw::zipf(TENANTS_MAX + 1, 1.0), None);
        assert_eq!(TenantLaw::zipf(5, -0.1), None);
        assert_eq!(TenantLaw::zipf(5, f64::NAN), None);
        assert!(TenantLaw::zipf(TENANTS_MAX, EXPONENT_MAX).is_some());
    }
}
