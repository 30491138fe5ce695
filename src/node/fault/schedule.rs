//! The schedule: when faults begin and end, by plan, at random and by hand.
//!
//! A rule makes one fault after another: it waits, lasts, waits again. Every draw of its n-th fault is
//! from a stream keyed by (seed, number of the rule, n), so that nothing else that happens in a run,
//! the strategy least of all, changes when what breaks. Whoever carries the faults out hears of each
//! by its number.

use super::super::{Rank, Scheduled, Scheduler};
use super::{FaultKind, FaultSpec};
use crate::dist::Dist;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, Span, Time};

/// A rule makes at most so many faults.
pub const OCCURRENCES_MAX: u64 = 1_000_000;

/// Nothing drawn at random is shorter than this.
pub const GAP_MIN: Span = Span::from_millis(1);

/// A fault that happens again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// What goes wrong.
    pub kind: FaultKind,
    /// With which nodes.
    pub nodes: Vec<NodeId>,
    /// With so many of them at a time, drawn anew each time; `None` for all.
    pub count: Option<u32>,
    /// No fault begins before.
    pub from: Time,
    /// No fault begins, and none lasts, beyond.
    pub until: Time,
    /// Whether the first begins at `from` and not after a wait.
    pub at_once: bool,
    /// Seconds from the end of one fault to the beginning of the next.
    pub every: Dist,
    /// Seconds it lasts.
    pub lasts: Dist,
}

impl FaultRule {
    /// Returns the fault of this number, drawn from `key`; the one before it ended at `after`.
    fn fault(&self, key: u64, number: u64, after: Time) -> Option<FaultSpec> {
        let draw = |law: &Dist, what: &str| {
            let mut rng = Rng::stream(mix(key, number), what);
            Span::from_seconds(law.sample(&mut rng)).max(GAP_MIN)
        };
        let wait = self.at_once && number == 0;
        let at = if wait { self.from } else { after + draw(&self.every, "wait") };
        if at >= self.until || number >= OCCURRENCES_MAX {
            return None;
        }
        let lasts = draw(&self.lasts, "lasts").min(self.until.since(at));
        let mut nodes = self.nodes.clone();
        if let Some(count) = self.count {
            // The first steps of a Fisher-Yates shuffle, then in file order.
            let mut rng = Rng::stream(mix(key, number), "nodes");
            let count = (count as usize).min(nodes.len());
            for place in 0..count {
                let other = place + rng.below(nodes.len() - place);
                nodes.swap(place, other);
            }
            nodes.truncate(count);
            nodes.sort_unstable();
        }
        Some(FaultSpec { at, lasts: Some(lasts), kind: self.kind, nodes })
    }
}

/// Where a fault comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultOrigin {
    Plan,
    /// The n-th fault of a rule.
    Rule(u32, u64),
    Hand,
}

/// All faults of a run, by number.
#[derive(Clone, Debug, Default)]
pub struct FaultSchedule {
    faults: Vec<(FaultSpec, FaultOrigin)>,
    rules: Vec<FaultRule>,
    key: u64,
}

impl FaultSchedule {
    /// Enters the beginnings and ends of these faults, and the first fault of every rule.
    pub fn new(
        faults: Vec<FaultSpec>,
        rules: Vec<FaultRule>,
        seed: u64,
        scheduler: &mut impl Scheduler,
    ) -> FaultSchedule {
        let key = Rng::stream(seed, "faults").bits();
        let count = faults.len() + rules.len();
        let mut schedule = FaultSchedule { faults: Vec::with_capacity(count), rules, key };
        for fault in faults {
            schedule.enter(fault, FaultOrigin::Plan, scheduler);
        }
        for rule in 0..schedule.rules.len() as u32 {
            let from = schedule.rules[rule as usize].from;
            schedule.plan(rule, 0, from, scheduler);
        }
        schedule
    }

    /// Plans the fault of this number of a rule.
    fn plan(&mut self, rule: u32, number: u64, after: Time, scheduler: &mut impl Scheduler) {
        let key = mix(self.key, u64::from(rule));
        if let Some(fault) = self.rules[rule as usize].fault(key, number, after) {
            self.enter(fault, FaultOrigin::Rule(rule, number), scheduler);
        }
    }

    fn enter(&mut self, fault: FaultSpec, origin: FaultOrigin, scheduler: &mut impl Scheduler) {
        let number = self.faults.len() as u32;
        scheduler.schedule(fault.at, Rank::Fleet, Scheduled::FaultBegins(number));
        if let Some(lasts) = fault.lasts
            && fault.at + lasts < Time::MAX
        {
            scheduler.schedule(fault.at + lasts, Rank::Fleet, Scheduled::FaultEnds(number));
        }
        self.faults.push((fault, origin));
    }

    /// Adds a fault somebody makes by hand.
    pub fn by_hand(&mut self, fault: FaultSpec, scheduler: &mut impl Scheduler) {
        self.enter(fault, FaultOrigin::Hand, scheduler);
    }

    /// Returns the fault of this number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn fault(&self, number: u32) -> &FaultSpec {
        &self.faults[number as usize].0
    }

    /// Returns whether somebody made the fault of this number by hand.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn is_by_hand(&self, number: u32) -> bool {
        self.faults[number as usize].1 == FaultOrigin::Hand
    }

    /// The time of this fault is over: the rule it is of plans its next one.
    ///
    /// # Panics
    /// If there is no such fault.
    pub fn over(&mut self, now: Time, number: u32, scheduler: &mut impl Scheduler) {
        if let FaultOrigin::Rule(rule, count) = self.faults[number as usize].1 {
            self.plan(rule, count + 1, now, scheduler);
        }
    }

    /// Returns how many faults there have been or are planned.
    #[must_use]
    pub fn count(&self) -> usize {
        self.faults.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Entries(Vec<(Time, Scheduled)>);

    impl Scheduler for Entries {
        fn schedule(&mut self, at: Time, _: Rank, due: Scheduled) {
            self.0.push((at, due));
        }
    }

    /// Begin, end and nodes of the first faults of a rule.
    fn played(rule: FaultRule, seed: u64, most: usize) -> Vec<(Time, Time, Vec<NodeId>)> {
        let mut entries = Entries::default();
        let mut schedule = FaultSchedule::new(Vec::new(), vec![rule], seed, &mut entries);
        let mut played = Vec::new();
        while let Some(number) = (schedule.count() > played.len()).then_some(played.len() as u32) {
            if played.len() == most {
                break;
            }
            let fault = schedule.fault(number).clone();
            let end = fault.at + fault.lasts.expect("a rule's fault ends");
            played.push((fault.at, end, fault.nodes));
            schedule.over(end, number, &mut entries);
        }
        assert_eq!(entries.0.len(), 2 * schedule.count(), "each begins and ends");
        played
    }

    fn rule() -> FaultRule {
        FaultRule {
            kind: FaultKind::Crash,
            nodes: (0..10).map(NodeId).collect(),
            count: Some(3),
            from: Time::ZERO + Span::from_secs(60),
            until: Time::MAX,
            at_once: false,
            every: Dist::weibull(100.0, 0.7).expect("a law"),
            lasts: Dist::lognormal_quantiles(10.0, 30.0).expect("a law"),
        }
    }

    #[test]
    fn random_faults_wait_and_last_as_their_laws_say() {
        const COUNT: usize = 20_000;
        let played = played(rule(), 1, COUNT);
        let lasted: f64 = played.iter().map(|(at, end, _)| end.since(*at).seconds()).sum();
        // The mean of a log-normal law with sigma = ln(30/10) / 1.645.
        let sigma = 3_f64.ln() / 1.644_853_6;
        let mean = 10.0 * (sigma * sigma / 2.0).exp();
        assert!((lasted / COUNT as f64 / mean - 1.0).abs() < 0.03, "{lasted}");
        let total = played[COUNT - 1].1.since(rule().from).seconds();
        assert!(((total - lasted) / COUNT as f64 / 100.0 - 1.0).abs() < 0.03, "{total}");
        let mut hit = [0_u32; 10];
        for (at, end, nodes) in &played {
            assert!(at < end && nodes.len() == 3 && nodes.is_sorted());
            nodes.iter().for_each(|node| hit[node.index()] += 1);
        }
        assert!(hit.iter().all(|&hit| (5_700..6_300).contains(&hit)), "{hit:?}");
        assert!(played.windows(2).all(|two| two[0].1 < two[1].0), "they never overlap");
    }

    #[test]
    fn a_rule_is_the_same_whatever_rules_stand_behind_it() {
        let alone = played(rule(), 7, 50);
        assert_eq!(alone, played(rule(), 7, 50));
        assert_ne!(alone, played(rule(), 8, 50), "the seed matters");
        let until = alone[9].0 + Span(1);
        let short = played(FaultRule { until, ..rule() }, 7, 50);
        assert_eq!(short.len(), 10, "what begins later is left out");
        assert_eq!(short[9].1, until, "and none lasts beyond");
        let at_once = played(FaultRule { at_once: true, ..rule() }, 7, 2);
        assert_eq!(at_once[0].0, rule().from);
    }
}
