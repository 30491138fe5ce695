//! How long a request would wait: for turning away at once what would come too late.
//!
//! Little's law for one band of one route: whoever comes to wait behind `n` others is served after
//! about `n` times the mean gap between services, which is measured while somebody waits, so that
//! calm tells nothing. What is left of the deadline then must suffice for the service itself: its mean and
//! twice its mean deviation (Jacobson, Congestion Avoidance and Control, 1988), by class, but never
//! more than half of what the request had at its arrival, so that a class in a hurry is not turned
//! away for good by one slow answer. It never decides about a request that need not wait.

use super::fair::BANDS;
use crate::unit::{ClassId, RouteId, Span, Time};

/// As many services must have been seen before a wait is foretold.
const SEEN_MIN: u32 = 16;

/// A silence this many times shorter than the present one is taken for the gap at least: when
/// capacity is lost, nothing is served that could tell.
const SILENCE: u64 = 8;

/// Gaps between services.
#[derive(Clone, Copy, Debug, Default)]
struct ServiceGap {
    mean: u64,
    seen: u32,
    /// The last service, or when somebody came to wait where nobody did.
    last: Time,
}

/// How long service takes.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    mean: u64,
    deviation: u64,
    seen: u32,
}

/// What has been learnt.
#[derive(Debug)]
pub(in crate::balance) struct Forecast {
    gaps: Vec<[ServiceGap; BANDS]>,
    services: Vec<Service>,
}

/// A sample moves a mean by this part of the way to it.
const PART: u64 = 64;

/// Moves a mean towards a sample; while few are seen, it is their plain mean.
fn approach(mean: u64, sample: u64, seen: u32) -> u64 {
    let way = sample.abs_diff(mean);
    let seen = u64::from(seen.max(1));
    let step = if seen < PART { way / seen } else { way / PART };
    if sample >= mean { mean + step } else { mean - step }
}

impl Forecast {
    pub(in crate::balance) fn new(routes: usize, classes: usize) -> Forecast {
        let gaps = vec![[ServiceGap::default(); BANDS]; routes];
        Forecast { gaps, services: vec![Service::default(); classes] }
    }

    /// Somebody waits where nobody did.
    pub(in crate::balance) fn begins(&mut self, now: Time, route: RouteId, band: usize) {
        self.gaps[route.index()][band].last = now;
    }

    /// Somebody who waited is served.
    pub(in crate::balance) fn served(&mut self, now: Time, route: RouteId, band: usize) {
        let gap = &mut self.gaps[route.index()][band];
        gap.seen = gap.seen.saturating_add(1);
        gap.mean = approach(gap.mean, now.since(gap.last).0, gap.seen);
        gap.last = now;
    }

    /// An answer was whole after so long on its node.
    pub(in crate::balance) fn took(&mut self, class: ClassId, took: Span) {
        if let Some(service) = self.services.get_mut(class.index()) {
            service.seen = service.seen.saturating_add(1);
            // The first has no mean to deviate from.
            if service.seen > 1 {
                let off = took.0.abs_diff(service.mean);
                service.deviation = approach(service.deviation, off, service.seen - 1);
            }
            service.mean = approach(service.mean, took.0, service.seen);
        }
    }

    /// Returns how long the last of `ahead` waits; `None` while too little is known.
    fn wait(&self, now: Time, route: RouteId, band: usize, ahead: u64) -> Option<Span> {
        let gaps = self.gaps[route.index()][band];
        let gap = gaps.mean.max(now.since(gaps.last).0 / SILENCE);
        (gaps.seen >= SEEN_MIN).then(|| Span(gap.saturating_mul(ahead)))
    }

    /// Returns what the service of the class usually needs, if it had `patience` at its arrival.
    fn need(&self, class: ClassId, patience: Span) -> Span {
        let service = self.services.get(class.index()).copied().unwrap_or_default();
        Span(service.mean.saturating_add(2 * service.deviation).min(patience.0 / 2))
    }

    /// Returns whether the last of `ahead` would be served too late for its deadline. Never for the
    /// first of them: were it turned away as well, nothing would ever show that times have changed.
    pub(in crate::balance) fn too_late(&self, now: Time, ahead: u64, at: &Wait) -> bool {
        if at.deadline == Time::MAX || ahead <= 1 {
            return false;
        }
        let wait = self.wait(now, at.route, at.band, ahead);
        wait.is_some_and(|wait| now + wait + self.need(at.class, at.patience) > at.deadline)
    }
}

/// Who asks how long it would wait.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct Wait {
    pub(in crate::balance) route: RouteId,
    pub(in crate::balance) band: usize,
    pub(in crate::balance) class: ClassId,
    pub(in crate::balance) deadline: Time,
    /// What it had until its deadline at its arrival.
    pub(in crate::balance) patience: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(deadline: u64) -> Wait {
        let deadline = Time::ZERO + Span::from_secs(deadline);
        let patience = deadline.since(Time::ZERO);
        Wait { route: RouteId(0), band: 0, class: ClassId(0), deadline, patience }
    }

    #[test]
    fn a_wait_is_the_places_ahead_times_the_gap() {
        let mut forecast = Forecast::new(1, 1);
        let mut now = Time::ZERO;
        forecast.begins(now, RouteId(0), 0);
        for _ in 0..SEEN_MIN {
            assert!(!forecast.too_late(now, u64::MAX, &due(1_000)), "nothing is known yet");
            now = now + Span::from_millis(500);
            forecast.served(now, RouteId(0), 0);
            forecast.took(ClassId(0), Span::from_secs(2));
        }
        // It is 8 s, a gap is half a second, service takes 2 s, deviation zero.
        assert!(!forecast.too_late(now, 20, &due(20)));
        assert!(forecast.too_late(now, 21, &due(20)));
        assert!(!forecast.too_late(now, 21, &Wait { deadline: Time::MAX, ..due(20) }));
        let later = now + Span::from_secs(8);
        assert!(forecast.too_late(later, 9, &due(26)), "nothing was served for long");
        let hours = now + Span::from_secs(7_200);
        assert!(forecast.too_late(hours, 2, &due(7_300)));
        assert!(!forecast.too_late(hours, 1, &due(7_300)), "somebody has to try");
    }
}
