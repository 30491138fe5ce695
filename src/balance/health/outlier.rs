//! OutlierSettings detection: a node that is worse than its peers, although it never fails often enough in a
//! row to be ejected for that: a gray failure.
//!
//! Windows of the last requests of a node, not of time, since an LLM node seldom answers a hundred
//! requests in ten seconds. A node is an outlier if even the upper end of a Wilson interval (Wilson
//! 1927) of its success rate is below the rate of its peers by a margin; if it fails nearly always; or
//! if the lower end of that of its share of slow first tokens is above its peers' by a margin. Slow is
//! so many times the median of pool and class, whatever strategy chooses. Peers are nodes of the same
//! pool and tier; those with few requests count for nothing (as in Envoy's detector, whose rule is one
//! of standard deviations). It only says who is an outlier; the health checker ejects.

use crate::balance::spec::health::{OutlierSettings, PEERS_SLOW, PEERS_SUCCESS, WINDOW_MAX};
use crate::balance::spec::node::Tier;
use crate::balance::vocabulary::state::Cause;
use crate::unit::{ClassId, NodeId, PoolId, Ratio, Span};

/// A node's share of slow first tokens must be above its peers' by so much.
const SLOW_MARGIN: f64 = 0.1;

/// Standard deviations of the interval: one false alarm in some seven hundred windows.
const Z: f64 = 3.0;

/// Yes and no of the last requests, the newest in the lowest bit.
#[derive(Clone, Copy, Debug, Default)]
struct Bits {
    bits: u64,
    len: u32,
}

impl Bits {
    fn push(&mut self, yes: bool, window: u32) {
        let window = window.clamp(1, WINDOW_MAX);
        self.bits = self.bits << 1 | u64::from(yes);
        if window < 64 {
            self.bits &= (1 << window) - 1;
        }
        self.len = (self.len + 1).min(window);
    }

    const fn yes(self) -> u32 {
        self.bits.count_ones()
    }
}

/// OutlierSums over the nodes of a tier with volume.
#[derive(Clone, Copy, Debug, Default)]
struct OutlierSums {
    nodes: u32,
    yes: u64,
    all: u64,
}

impl OutlierSums {
    fn add(&mut self, bits: Bits, volume: u32) {
        if bits.len >= volume {
            self.nodes += 1;
            self.yes += u64::from(bits.yes());
            self.all += u64::from(bits.len);
        }
    }

    fn take(&mut self, bits: Bits, volume: u32) {
        if bits.len >= volume {
            self.nodes -= 1;
            self.yes -= u64::from(bits.yes());
            self.all -= u64::from(bits.len);
        }
    }

    /// Changes a window and keeps the sums true.
    fn push(&mut self, bits: &mut Bits, yes: bool, settings: &OutlierSettings) {
        self.take(*bits, settings.volume);
        bits.push(yes, settings.window);
        self.add(*bits, settings.volume);
    }

    /// Returns the share of yes among the others, if enough of them have volume.
    fn peers(mut self, bits: Bits, volume: u32, least: u32) -> Option<f64> {
        self.take(bits, volume);
        (self.nodes >= least).then(|| self.yes as f64 / self.all as f64)
    }
}

/// What is remembered of all nodes.
#[derive(Debug)]
pub(in crate::balance) struct Detector {
    /// By pool; `None` where nobody is looked for.
    settings: Vec<Option<OutlierSettings>>,
    /// By node: answers that were good, first tokens that were slow.
    windows: Vec<[Bits; 2]>,
    sums: Vec<[[OutlierSums; 2]; 3]>,
    /// By pool, then class: the median time to the first token in seconds, and of how many.
    medians: Vec<Vec<(f64, u32)>>,
}

impl Detector {
    /// A detector of what is asked for by pool; it is off where no pool asks.
    pub(super) fn new(mut settings: Vec<Option<OutlierSettings>>) -> Detector {
        if settings.iter().all(Option::is_none) {
            settings.clear();
        }
        let pools = settings.len();
        let (sums, medians) =
            (vec![[[OutlierSums::default(); 2]; 3]; pools], vec![Vec::new(); pools]);
        Detector { settings, windows: Vec::new(), sums, medians }
    }

    /// Returns whether nobody is looked for.
    #[inline]
    pub(super) const fn is_off(&self) -> bool {
        self.settings.is_empty()
    }

    fn window(&mut self, node: NodeId) -> &mut [Bits; 2] {
        if self.windows.len() <= node.index() {
            self.windows.resize(node.index() + 1, [Bits::default(); 2]);
        }
        &mut self.windows[node.index()]
    }

    /// Notes how an attempt ended, and says whether the node is an outlier by now.
    pub(in crate::balance) fn ended(
        &mut self,
        node: NodeId,
        (pool, tier): (PoolId, Tier),
        good: bool,
    ) -> Option<Cause> {
        let settings = (*self.settings.get(pool.index())?)?;
        let mut window = self.window(node)[0];
        let sums = &mut self.sums[pool.index()][tier as usize][0];
        sums.push(&mut window, good, &settings);
        let sums = *sums;
        self.windows[node.index()][0] = window;
        if good || window.len < settings.volume {
            return None;
        }
        let rate = f64::from(window.yes()) / f64::from(window.len);
        let failed = Ratio::from_f64(1.0 - rate);
        if failed >= settings.failures {
            return Some(Cause::FailureShare(failed));
        }
        let peers = sums.peers(window, settings.volume, PEERS_SUCCESS)?;
        let (_, upper) = wilson(window.yes(), window.len);
        (upper < peers - settings.margin.value())
            .then(|| Cause::SuccessRate(Ratio::from_f64(rate), Ratio::from_f64(peers)))
    }

    /// Notes how long a first token took, and says whether the node is an outlier by now.
    pub(in crate::balance) fn first_token(
        &mut self,
        node: NodeId,
        (pool, tier): (PoolId, Tier),
        class: ClassId,
        took: Span,
    ) -> Option<Cause> {
        let settings = (*self.settings.get(pool.index())?)?;
        let times = settings.slow?;
        let medians = &mut self.medians[pool.index()];
        if medians.len() <= class.index() {
            medians.resize(class.index() + 1, (0.0, 0));
        }
        let (median, count) = &mut medians[class.index()];
        let seconds = took.seconds().max(1e-9);
        // Each sample moves the median by a step in its direction, smaller and smaller, but never so
        // small that it would not follow.
        *count = count.saturating_add(1);
        if *count == 1 {
            *median = seconds;
        }
        let step = 1.0 + (1.0 / f64::from(*count)).max(0.01);
        *median = if seconds > *median { *median * step } else { *median / step };
        let slow = seconds > *median * times.value();
        let mut window = self.window(node)[1];
        let sums = &mut self.sums[pool.index()][tier as usize][1];
        sums.push(&mut window, slow, &settings);
        let sums = *sums;
        self.windows[node.index()][1] = window;
        if !slow || window.len < settings.volume {
            return None;
        }
        let peers = sums.peers(window, settings.volume, PEERS_SLOW)?;
        let (lower, _) = wilson(window.yes(), window.len);
        let share = f64::from(window.yes()) / f64::from(window.len);
        (lower > peers + SLOW_MARGIN)
            .then(|| Cause::SlowShare(Ratio::from_f64(share), Ratio::from_f64(peers)))
    }

    /// The node has left service: what it did before says nothing of what it does afterwards, nor of
    /// its peers.
    pub(in crate::balance) fn forget(&mut self, node: NodeId, (pool, tier): (PoolId, Tier)) {
        let Some(Some(OutlierSettings { volume, .. })) = self.settings.get(pool.index()).copied()
        else {
            return;
        };
        let windows = std::mem::take(self.window(node));
        let sums = &mut self.sums[pool.index()][tier as usize];
        for (sums, window) in sums.iter_mut().zip(windows) {
            sums.take(window, volume);
        }
    }
}

/// Returns the ends of the Wilson interval of a share of which `yes` of `all` were seen.
pub(super) fn wilson(yes: u32, all: u32) -> (f64, f64) {
    let n = f64::from(all.max(1));
    let p = f64::from(yes) / n;
    let z2 = Z * Z;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    (middle - half, middle + half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const HOME: (PoolId, Tier) = (PoolId(0), Tier::Primary);

    /// Requests that the first of eight nodes gets until it is found out; peers fail `base` of theirs.
    fn found(p: f64, base: f64, seed: u64, most: u32) -> Option<u32> {
        let mut rng = Rng::stream(seed, "test");
        let mut detector = Detector::new(vec![Some(OutlierSettings::default())]);
        for count in 1..=most {
            for node in 0..8 {
                let fails = if node == 0 { p } else { base };
                let good = rng.unit() >= fails;
                if detector.ended(NodeId(node), HOME, good).is_some() {
                    if node == 0 {
                        return Some(count);
                    }
                    detector.forget(NodeId(node), HOME);
                }
            }
        }
        None
    }

    #[test]
    fn a_gray_node_is_found_the_sooner_the_worse_it_is() {
        // Of ten runs the slowest but one, in requests to the node.
        let nearly_worst = |p: f64| {
            let mut times: Vec<u32> =
                (0..10).map(|seed| found(p, 0.01, seed, 2_000).unwrap_or(u32::MAX)).collect();
            times.sort_unstable();
            times[8]
        };
        let times = [0.2, 0.3, 0.5, 1.0].map(nearly_worst);
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        for (time, most) in times.into_iter().zip([120, 50, 30, 20]) {
            assert!(time <= most, "{times:?}");
        }
    }

    #[test]
    fn equals_are_left_alone() {
        for base in [0.0, 0.02, 0.1, 0.5] {
            let alarms = (0..10).filter(|seed| found(base, base, *seed, 300).is_some()).count();
            assert!(alarms <= 1, "{alarms} false alarms at {base}");
        }
    }

    #[test]
    fn few_peers_or_few_requests_prove_nothing() {
        let mut detector = Detector::new(vec![Some(OutlierSettings::default())]);
        for _ in 0..100 {
            for node in 0..u32::from(PEERS_SUCCESS as u16) {
                assert_eq!(
                    detector.ended(NodeId(node), HOME, node != 0),
                    None.or_else(|| {
                        // The share of failures needs no peers, but volume.
                        detector.windows[0][0]
                            .len
                            .ge(&20)
                            .then_some(Cause::FailureShare(Ratio::ONE))
                            .filter(|_| node == 0)
                    })
                );
            }
        }
    }

    #[test]
    fn slow_first_tokens_are_found_against_peers() {
        for (share, most) in [(0.3, 120), (0.6, 40), (1.0, 25)] {
            let mut rng = Rng::stream(5, "test");
            let settings =
                OutlierSettings { slow: Some(Ratio(3_000_000)), ..OutlierSettings::default() };
            let mut detector = Detector::new(vec![Some(settings)]);
            let mut found = None;
            for count in 1..=500 {
                for node in 0..8 {
                    let slow = node == 0 && rng.unit() < share;
                    let seconds = (0.5 + rng.unit()) * if slow { 8.0 } else { 1.0 };
                    let took = Span::from_seconds(seconds);
                    if detector.first_token(NodeId(node), HOME, ClassId(0), took).is_some() {
                        assert_eq!(node, 0, "the others are well");
                        found = found.or(Some(count));
                    }
                }
            }
            assert!(found.is_some_and(|count| count <= most), "{share}: {found:?}");
        }
    }

    #[test]
    fn intervals_hold_what_was_seen() {
        for (yes, all) in [(0, 20), (10, 20), (20, 20), (49, 50)] {
            let (low, high) = wilson(yes, all);
            let p = f64::from(yes) / f64::from(all);
            assert!(low >= -1e-9 && low <= p + 1e-9 && p <= high + 1e-9 && high <= 1.0 + 1e-9);
        }
    }
}
