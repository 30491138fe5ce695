//! How full the nodes of a route are, as one number, and who is shed because of it.
//!
//! The number is found every [`SATURATION_EVERY`] for each route, over its own pools (not those it
//! degrades to), and smoothed over two seconds; it goes from zero to two. While nobody waits and nobody
//! is shed, nothing depends on it before somebody arrives: the machine is not woken for it then, and
//! makes up at its next input for the times it did not look.
//!
//! - Where every node that is up has a limit of attempts, configured or found by a limiter, it is
//!   `(in flight + waiting) / (capacity + room)`: attempts in flight on those pools; requests that wait
//!   on routes that share a pool with this one; the sum of the limits; and as room, half the capacity,
//!   or the whole waiting room if that is smaller. So at two thirds the nodes are full and at one whoever
//!   comes waits for half a service or so: thresholds of less than one shed a line, not idle nodes. It
//!   is two while somebody waits and no node is up.
//! - Where some node takes any number, nobody waits here and only time can tell: it is how much longer
//!   first tokens take than they do on the same node when it is idle (see `concurrency::baseline`), by pool and
//!   weighed by what is in flight. At one they take twice as long. It counts by as much as is sure:
//!   less what chance makes of so few first tokens, since the mean of sixteen of a model whose times
//!   vary much is half as long again every now and then. An attempt that was alone on its node counts
//!   as one that load did not hold up, whatever it took: misses of a prefix cache and hosted models
//!   that vary are no load.
//!
//! Shedding by criticality (Beyer et al., Site Reliability Engineering, 2016, chapter 21): a request
//! that arrives is turned away if the saturation of its route is at or above the threshold of its
//! priority, until it is below it by the hysteresis. Less important priorities never have a higher
//! threshold, so what is shed first comes back last. A request that waits or is on a node
//! already is not shed. The same
//! number drives the levels of `degrade`. All of it is off, and then costs one branch, unless asked for.

pub(super) mod degrade;

use std::collections::VecDeque;

use super::fleet::{Fleet, UNLIMITED};
use super::spec::config::Config;
use super::spec::overload::{
    DegradeLevel, DegradeSpec, SATURATION_EVERY, SATURATION_MAX, ShedSpec,
};
use super::vocabulary::request::Priority;
use crate::unit::{PoolId, Ratio, RouteId, Span, Time};

/// The weight of the newest value: two seconds.
const NEWEST: f64 = 0.125;

/// The weight of the newest first token among those of its pool.
const NEWEST_RATIO: f64 = 1.0 / 16.0;

/// So many standard errors of that mean are taken for chance. With more, less of an overload is seen:
/// at three times what can be served critical requests met their SLO in 94.4 % of cases with none,
/// 93.1 % with this and 92.3 % with two (60 seeds); with one, a model whose times vary much is shed.
const CHANCE: f64 = 1.5;

/// So much of the variance of one is the variance of a mean of such weights.
const MEAN_VARIANCE: f64 = NEWEST_RATIO / (2.0 - NEWEST_RATIO);

/// When no first token came for so long, what is known fades: where all are turned away none comes, and
/// nothing would ever say that the load is gone while long answers still run.
const DEAF: Span = Span::from_secs(5);

/// What was not looked at for longer is made up for from here on: where nothing happened for so long,
/// all came to rest long before.
const LOOK_BACK: Span = Span::from_secs(100);

/// Below this it is as good as calm.
const CALM: f64 = 0.001;

/// How much longer first tokens of one pool take than on idle nodes.
#[derive(Clone, Copy, Debug)]
struct TtftInflation {
    /// So many times longer.
    ratio: f64,
    /// The variance of that among first tokens.
    variance: f64,
    /// When a first token came last.
    heard: Time,
}

impl TtftInflation {
    const NONE: TtftInflation = TtftInflation { ratio: 1.0, variance: 0.0, heard: Time::ZERO };

    fn learn(&mut self, ratio: f64) {
        let off = ratio - self.ratio;
        self.ratio += NEWEST_RATIO * off;
        self.variance = (1.0 - NEWEST_RATIO) * (self.variance + NEWEST_RATIO * off * off);
    }

    /// Goes back to none by so much.
    fn fade(&mut self, by: f64) {
        self.ratio += by * (1.0 - self.ratio);
        self.variance -= by * self.variance;
    }

    /// How many times longer they take at least: nothing above one that chance explains. What varies
    /// by chance varies by a multiple, so the error is that of a node under no load: under load, where
    /// times vary more, no more is taken off.
    fn surely(&self) -> f64 {
        let error = (MEAN_VARIANCE * self.variance).sqrt() / self.ratio.max(1.0);
        (self.ratio - CHANCE * error).max(self.ratio.min(1.0))
    }
}

/// What is known of one route.
#[derive(Debug)]
struct RouteLoad {
    pools: Vec<PoolId>,
    /// Routes that share a pool with it, itself included.
    peers: Vec<RouteId>,
    saturation: f64,
    /// By priority.
    shed: [bool; 4],
    level: DegradeLevel,
    /// When it came to this level.
    since: Time,
}

impl RouteLoad {
    /// Returns whether somebody is treated differently because of load.
    #[inline]
    fn restricts(&self) -> bool {
        self.shed.contains(&true) || self.level > DegradeLevel::Calm
    }

    /// Sets who is shed and returns the priorities for which that is new: the least important first
    /// where it begins, the most important first where it ends.
    fn set_shed(&mut self, spec: &ShedSpec) -> impl Iterator<Item = (Priority, bool)> + use<> {
        let now = self.saturation;
        let mut news = [None; 4];
        for priority in Priority::ALL.into_iter().rev() {
            let place = priority as usize;
            let Some(at) = spec.at[place] else { continue };
            let on = if self.shed[place] {
                now >= at.value() - spec.hysteresis.value()
            } else {
                now >= at.value()
            };
            if std::mem::replace(&mut self.shed[place], on) != on {
                // Never some of both: they have the same saturation and rising thresholds.
                news[if on { 3 - place } else { place }] = Some((priority, on));
            }
        }
        news.into_iter().flatten()
    }
}

/// What is done about load that was not done before, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverloadChange {
    /// Requests of a priority are shed on a route, or that is over.
    Shedding { route: RouteId, priority: Priority, on: bool, saturation: Ratio },
    /// A route goes to another level of degradation.
    Level {
        route: RouteId,
        from: DegradeLevel,
        to: DegradeLevel,
        saturation: Ratio,
        threshold: Ratio,
    },
}

/// What the rest of the machine has to do, as far as saturation depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) fleet: &'a Fleet,
    /// By route: how many wait.
    pub(super) waiting: &'a [u32],
    /// How many may wait over all routes.
    pub(super) waiting_max: u32,
    /// Requests not at their end.
    pub(super) in_system: u64,
}

/// What becomes of a request that arrives, as far as load is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadVerdict {
    /// Whether it is turned away.
    pub(super) sheds: bool,
    /// The level of degradation that turns it away, if one does.
    pub(super) level: Option<DegradeLevel>,
}

/// What is done about load; nothing where nothing is asked for.
#[derive(Debug)]
pub(super) struct Overload {
    shed: Option<ShedSpec>,
    degrade: Option<DegradeSpec>,
    /// By pool.
    inflation: Vec<TtftInflation>,
    /// By route; empty where nothing is done about load.
    routes: Vec<RouteLoad>,
    /// When saturation is found next; never while all is calm and nothing is under way.
    next: Time,
    /// Whether a timer is set for that.
    timed: bool,
    /// What has changed and nobody has said so yet.
    changes: VecDeque<OverloadChange>,
}

impl Overload {
    /// What is done about load, as configured.
    pub(super) fn new(config: &Config) -> Overload {
        let on = config.shed.is_some() || config.degrade.is_some();
        let specs = &config.routes[..if on { config.routes.len() } else { 0 }];
        let shares = |a: usize, b: usize| specs[a].to.iter().any(|pool| specs[b].to.contains(pool));
        let load = |at: usize| RouteLoad {
            pools: specs[at].to.clone(),
            peers: (0..specs.len()).filter(|b| shares(at, *b)).map(|b| RouteId(b as u16)).collect(),
            saturation: 0.0,
            shed: [false; 4],
            level: DegradeLevel::Calm,
            since: Time::ZERO,
        };
        Overload {
            shed: config.shed,
            degrade: config.degrade,
            inflation: vec![TtftInflation::NONE; config.pools.len()],
            routes: (0..specs.len()).map(load).collect(),
            next: Time::MAX,
            timed: false,
            changes: VecDeque::new(),
        }
    }

    /// Returns whether anything is done about load.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Returns whether somebody is treated differently because of load.
    #[inline]
    fn restricts(&self) -> bool {
        self.routes.iter().any(RouteLoad::restricts)
    }

    /// A request of a priority arrives on a route: says whether it is turned away because of load.
    #[inline]
    pub(super) fn admit(&mut self, now: Time, route: RouteId, priority: Priority) -> LoadVerdict {
        let Some(this) = self.routes.get(route.index()) else {
            return LoadVerdict { sheds: false, level: None };
        };
        self.next = self.next.min(now + SATURATION_EVERY);
        let level = self.degrade.and_then(|spec| this.level.rejects(&spec, priority));
        LoadVerdict { sheds: this.shed[priority as usize] || level.is_some(), level }
    }

    /// A first token of a pool took so many times longer than on an idle node, or had not come then and
    /// its attempt was given up; `None` if that is not known. An attempt that was `alone` on its node
    /// was not held up by load.
    #[inline]
    pub(super) fn note_first_token(
        &mut self,
        now: Time,
        pool: PoolId,
        ratio: Option<f64>,
        alone: bool,
    ) {
        if !self.is_on() {
            return;
        }
        // One that is late for ever says no more than one that is late.
        let ratio = ratio.filter(|_| !alone).unwrap_or(1.0).min(10.0);
        let inflation = &mut self.inflation[pool.index()];
        inflation.heard = now;
        inflation.learn(ratio);
    }

    /// Returns whether saturation should have been looked at by now.
    #[inline]
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.is_on() && self.next <= now
    }

    /// Does what was due since the last input. Nothing has happened in between, so that is as if it
    /// had been done in time, but that what becomes different is so from now on. What changed is to be
    /// taken with [`Overload::next_change`].
    pub(super) fn catch_up(&mut self, now: Time, around: Surroundings<'_>) {
        self.next = self.next.max(Time(now.0.saturating_sub(LOOK_BACK.0)));
        while self.next <= now {
            let at = self.next;
            let calm = self.look(at, now, around);
            let from = if self.restricts() { now } else { at };
            self.next = if calm { Time::MAX } else { from + SATURATION_EVERY };
        }
    }

    /// Returns the first change that nobody has heard of yet.
    pub(super) fn next_change(&mut self) -> Option<OverloadChange> {
        self.changes.pop_front()
    }

    /// Returns when saturation is to be looked at again, if somebody may depend on it and no timer is
    /// set for that: it is then held for set.
    #[inline]
    pub(super) fn watch(&mut self, anyone_waits: bool) -> Option<Time> {
        let watches = self.next < Time::MAX && !self.timed && (anyone_waits || self.restricts());
        self.timed |= watches;
        watches.then_some(self.next)
    }

    /// The timer has gone off.
    pub(super) const fn on_timer(&mut self) {
        self.timed = false;
    }

    /// Looks at every route, as it was at `at`, and does what its saturation asks for. Returns whether
    /// all is calm.
    fn look(&mut self, at: Time, now: Time, around: Surroundings<'_>) -> bool {
        for (pool, inflation) in self.inflation.iter_mut().enumerate() {
            if around.fleet.pool_load(PoolId(pool as u16)).0 == 0 {
                inflation.fade(1.0);
            } else if at.since(inflation.heard) >= DEAF {
                inflation.fade(NEWEST);
            }
        }
        let mut calm = around.in_system == 0;
        for index in 0..self.routes.len() {
            let route = RouteId(index as u16);
            let newest = self.saturation_now(index, around);
            let this = &mut self.routes[index];
            this.saturation += NEWEST * (newest - this.saturation);
            let saturation = Ratio::from_f64(this.saturation);
            for (priority, on) in self.shed.iter().flat_map(|spec| this.set_shed(spec)) {
                let change = OverloadChange::Shedding { route, priority, on, saturation };
                self.changes.push_back(change);
            }
            let step = self
                .degrade
                .and_then(|spec| this.level.step(&spec, saturation, now.since(this.since)));
            if let Some((to, threshold)) = step {
                let from = std::mem::replace(&mut this.level, to);
                this.since = now;
                let change = OverloadChange::Level { route, from, to, saturation, threshold };
                self.changes.push_back(change);
            }
            calm &= !this.restricts() && this.saturation < CALM;
        }
        calm
    }

    /// The saturation of a route at this moment.
    fn saturation_now(&self, at: usize, around: Surroundings<'_>) -> f64 {
        let this = &self.routes[at];
        let (mut in_flight, mut capacity, mut slow) = (0, 0, 0.0);
        for pool in &this.pools {
            let (more, room) = around.fleet.pool_load(*pool);
            in_flight += more;
            capacity += room;
            slow += more as f64 * self.inflation[pool.index()].surely();
        }
        let waiting: u64 =
            this.peers.iter().map(|peer| u64::from(around.waiting[peer.index()])).sum();
        let there = (in_flight + waiting) as f64;
        let value = if capacity == 0 {
            if there > 0.0 { f64::INFINITY } else { 0.0 }
        } else if capacity < UNLIMITED {
            let room = (capacity / 2).min(u64::from(around.waiting_max));
            there / (capacity + room) as f64
        } else if in_flight == 0 {
            0.0
        } else {
            slow / in_flight as f64 - 1.0
        };
        value.clamp(0.0, SATURATION_MAX.value())
    }

    /// Returns the saturation of a route as last found; zero where nothing is done about it.
    pub(super) fn saturation(&self, route: RouteId) -> Ratio {
        Ratio::from_f64(self.routes.get(route.index()).map_or(0.0, |this| this.saturation))
    }

    /// Checks that nobody is shed for whom there is no threshold, nor before somebody who matters
    /// less.
    pub(super) fn check(&self) -> Result<(), String> {
        for (at, this) in self.routes.iter().enumerate() {
            let order = this.shed.is_sorted();
            let asked = self.shed.unwrap_or(ShedSpec { at: [None; 4], ..ShedSpec::default() });
            let wanted = this.shed.iter().zip(asked.at).all(|(on, at)| !on || at.is_some());
            let range = (0.0..=SATURATION_MAX.value()).contains(&this.saturation);
            let level = this.level == DegradeLevel::Calm
                || self.degrade.is_some_and(|spec| spec.threshold(this.level).is_some());
            if !order || !wanted || !range || !level {
                return Err(format!(
                    "I37: route {at} at {}: shed {:?}",
                    this.saturation, this.shed
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_goes_first_and_comes_back_last() {
        let mut this = RouteLoad {
            pools: Vec::new(),
            peers: Vec::new(),
            saturation: 0.0,
            shed: [false; 4],
            level: DegradeLevel::Calm,
            since: Time::ZERO,
        };
        let spec = ShedSpec {
            at: [1.2, 1.0, 0.85, 0.7].map(Ratio::from_f64).map(Some),
            ..ShedSpec::default()
        };
        let mut told = Vec::new();
        let up = (0..150).map(|percent| f64::from(percent) / 100.0);
        for saturation in up.clone().chain(up.rev()) {
            this.saturation = saturation;
            told.extend(this.set_shed(&spec).map(|(priority, on)| (priority, on, saturation)));
            assert!(this.shed.is_sorted());
        }
        use Priority::{Critical, High, Normal, Sheddable};
        let on = [(Sheddable, 0.7), (Normal, 0.85), (High, 1.0), (Critical, 1.2)];
        let off = [(Critical, 1.09), (High, 0.89), (Normal, 0.74), (Sheddable, 0.59)];
        let wanted = on.map(|(who, at)| (who, true, at)).into_iter();
        let wanted = wanted.chain(off.map(|(who, at)| (who, false, at)));
        assert_eq!(told, wanted.collect::<Vec<_>>());
        // With one threshold for all it is the same.
        let spec = ShedSpec { at: [Some(Ratio::ONE); 4], ..spec };
        this.saturation = 1.0;
        let on: Vec<_> = this.set_shed(&spec).collect();
        assert_eq!(on, [Sheddable, Normal, High, Critical].map(|who| (who, true)));
        this.saturation = 0.0;
        let off: Vec<_> = this.set_shed(&spec).collect();
        assert_eq!(off, [Critical, High, Normal, Sheddable].map(|who| (who, false)));
    }

    #[test]
    fn whoever_matters_more_has_no_lower_threshold() {
        let of = |at: [f64; 4]| ShedSpec {
            at: at.map(|at| (at > 0.0).then(|| Ratio::from_f64(at))),
            ..ShedSpec::default()
        };
        assert!(ShedSpec::default().is_sound());
        assert!(of([0.0, 0.0, 0.0, 0.0]).is_sound() && of([1.0, 1.0, 1.0, 1.0]).is_sound());
        assert!(!of([0.9, 1.0, 0.5, 0.5]).is_sound());
        assert!(!of([1.0, 0.0, 0.5, 0.5]).is_sound(), "never is higher than any");
        assert!(!of([0.0, 0.0, 0.0, 0.05]).is_sound(), "it would never end");
    }
}
