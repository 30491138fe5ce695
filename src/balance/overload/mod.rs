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
//!   first tokens take than they do on the same node when it is idle (see `unloaded`), by pool and
//!   weighed by what is in flight. At one they take twice as long. An attempt that was alone on its
//!   node counts as one that load did not hold up, whatever it took: misses of a prefix cache and
//!   hosted models that vary are no load.
//!
//! Shedding by criticality (Beyer et al., Site Reliability Engineering, 2016, chapter 21): a request
//! that arrives is turned away if the saturation of its route is at or above the threshold of its
//! priority, until it is below it by the hysteresis. Less important priorities never have a higher
//! threshold, so what is shed first comes back last. Who waits or is on a node already stays. The same
//! number drives the ladder of `ladder`. All of it is off, and then costs one branch, unless asked for.

pub(super) mod degrade;

use super::balancer::Balancer;
use super::fleet::UNLIMITED;
use super::requests::{RequestKey, TryKey};
use super::spec::config::Config;
use super::spec::overload::{DegradeSpec, Rung, SATURATION_EVERY, SATURATION_MAX, ShedSpec};
use super::timer::Alarm;
use super::vocabulary::event::Event;
use super::vocabulary::outcome::Reject;
use super::vocabulary::request::Priority;
use crate::unit::{PoolId, Ratio, RouteId, Span, Time};

/// The weight of the newest value: two seconds.
const NEWEST: f64 = 0.125;

/// The weight of the newest first token among those of its pool.
const NEWEST_RATIO: f64 = 1.0 / 16.0;

/// When no first token came for so long, what is known fades: where all are turned away none comes, and
/// nothing would ever say that the load is gone while long answers still run.
const DEAF: Span = Span::from_secs(5);

/// What was not looked at for longer is made up for from here on: where nothing happened for so long,
/// all came to rest long before.
const LOOK_BACK: Span = Span::from_secs(100);

/// Below this it is as good as calm.
const CALM: f64 = 0.001;

/// What is known of one pool.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How many times longer than on an idle node first tokens take.
    ratio: f64,
    /// When one came last.
    heard: Time,
}

/// What is known of one route.
#[derive(Debug)]
pub(in crate::balance) struct Pressed {
    pools: Vec<PoolId>,
    /// Routes that share a pool with it, itself included.
    peers: Vec<RouteId>,
    saturation: f64,
    /// By priority.
    shed: [bool; 4],
    pub(in crate::balance) rung: Rung,
    /// When it came to this rung.
    pub(in crate::balance) since: Time,
}

impl Pressed {
    /// Whether somebody is treated differently because of load.
    fn sheds(&self) -> bool {
        self.shed.contains(&true) || self.rung > Rung::Calm
    }

    /// Sets who is shed and returns the priorities for which that is new: the least important first
    /// where it begins, the most important first where it ends.
    fn shed(&mut self, spec: &ShedSpec) -> impl Iterator<Item = (Priority, bool)> + use<> {
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

/// What is done about load.
#[derive(Debug)]
pub(in crate::balance) struct Overload {
    pub(in crate::balance) shed: Option<ShedSpec>,
    pub(in crate::balance) degrade: Option<DegradeSpec>,
    /// By pool.
    paces: Vec<Pace>,
    /// By route.
    pub(in crate::balance) routes: Vec<Pressed>,
    /// When it is found next; never while all is calm and nothing is under way.
    pub(in crate::balance) next: Time,
    /// Whether an alarm is set for that.
    armed: bool,
}

impl Overload {
    /// What is done about load, if anything is.
    pub(in crate::balance) fn new(config: &Config) -> Option<Box<Overload>> {
        if config.shed.is_none() && config.degrade.is_none() {
            return None;
        }
        let specs = &config.routes;
        let shares = |a: usize, b: usize| specs[a].to.iter().any(|pool| specs[b].to.contains(pool));
        let pressed = |at: usize| Pressed {
            pools: specs[at].to.clone(),
            peers: (0..specs.len()).filter(|b| shares(at, *b)).map(|b| RouteId(b as u16)).collect(),
            saturation: 0.0,
            shed: [false; 4],
            rung: Rung::Calm,
            since: Time::ZERO,
        };
        Some(Box::new(Overload {
            shed: config.shed,
            degrade: config.degrade,
            paces: vec![Pace { ratio: 1.0, heard: Time::ZERO }; config.pools.len()],
            routes: (0..specs.len()).map(pressed).collect(),
            next: Time::MAX,
            armed: false,
        }))
    }
}

impl Overload {
    fn sheds(&self) -> bool {
        self.routes.iter().any(Pressed::sheds)
    }
}

impl Balancer {
    /// Returns why a request that arrives is turned away because of load, if it is.
    pub(in crate::balance) fn sheds(&mut self, key: RequestKey) -> Option<Reject> {
        let live = &self.requests[key];
        let (route, priority) = (live.route, live.request.priority);
        let overload = self.overload.as_mut()?;
        overload.next = overload.next.min(self.now + SATURATION_EVERY);
        let this = &overload.routes[route.index()];
        let shed = this.shed[priority as usize];
        let by = overload.degrade.and_then(|spec| this.rung.rejects(&spec, priority));
        if let Some(rung) = by {
            self.touch(key, rung);
        }
        (shed || by.is_some()).then_some(Reject::Shed)
    }

    /// Hears how many times longer than on an idle node a first token took, or had not come when its
    /// attempt was given up; `None` if that is not known.
    pub(in crate::balance) fn pace(&mut self, key: TryKey, ratio: Option<f64>) {
        let this = &self.tries[key];
        let (pool, _) = self.fleet.node(this.node).home();
        let Some(overload) = &mut self.overload else { return };
        // One that is late for ever says no more than one that is late.
        let ratio = ratio.filter(|_| this.crowd > 1).unwrap_or(1.0).min(10.0);
        let pace = &mut overload.paces[pool.index()];
        pace.heard = self.now;
        pace.ratio += NEWEST_RATIO * (ratio - pace.ratio);
    }

    /// Does what was due since the last input. Nothing has happened in between, so that is as if it
    /// had been done in time, but that what becomes different is so from now on.
    pub(in crate::balance) fn catch_up_on_saturation(&mut self) {
        let Some(mut overload) = self.overload.take() else { return };
        overload.next = overload.next.max(Time(self.now.0.saturating_sub(LOOK_BACK.0)));
        while overload.next <= self.now {
            let at = overload.next;
            let calm = self.look_at_saturation(&mut overload, at);
            let from = if overload.sheds() { self.now } else { at };
            overload.next = if calm { Time::MAX } else { from + SATURATION_EVERY };
        }
        self.overload = Some(overload);
        self.watch_saturation();
    }

    /// Sees to it that saturation is found in time, if somebody may depend on it.
    pub(in crate::balance) fn watch_saturation(&mut self) {
        let waiting = self.lines.waiting > 0;
        let Some(overload) = &mut self.overload else { return };
        if overload.next < Time::MAX && !overload.armed && (waiting || overload.sheds()) {
            overload.armed = true;
            self.timers.at(overload.next, Alarm::Saturation);
        }
    }

    /// The time to look has come: that was done when the machine woke.
    pub(in crate::balance) fn saturation_due(&mut self) {
        if let Some(overload) = &mut self.overload {
            overload.armed = false;
        }
        self.watch_saturation();
    }

    /// Looks at every route, as it was at `at`, and does what its saturation asks for. Returns whether
    /// all is calm.
    fn look_at_saturation(&mut self, overload: &mut Overload, at: Time) -> bool {
        for (pool, pace) in overload.paces.iter_mut().enumerate() {
            if self.fleet.pool_load(PoolId(pool as u16)).0 == 0 {
                pace.ratio = 1.0;
            } else if at.since(pace.heard) >= DEAF {
                pace.ratio += NEWEST * (1.0 - pace.ratio);
            }
        }
        let mut calm = self.under_way() == 0;
        for index in 0..overload.routes.len() {
            let route = RouteId(index as u16);
            let newest = self.saturation_now(overload, index);
            let this = &mut overload.routes[index];
            this.saturation += NEWEST * (newest - this.saturation);
            let saturation = Ratio::from_f64(this.saturation);
            for (priority, on) in overload.shed.iter().flat_map(|spec| this.shed(spec)) {
                self.effects.events.push(Event::Shedding { route, priority, on, saturation });
            }
            let step = overload
                .degrade
                .and_then(|spec| this.rung.step(&spec, saturation, self.now.since(this.since)));
            if let Some((to, threshold)) = step {
                let from = std::mem::replace(&mut this.rung, to);
                this.since = self.now;
                // Whoever waits may use other pools now.
                self.opened = true;
                let event = Event::Rung { route, from, to, saturation, threshold };
                self.effects.events.push(event);
            }
            calm &= !this.sheds() && this.saturation < CALM;
        }
        calm
    }

    /// The saturation of a route at this moment.
    fn saturation_now(&self, overload: &Overload, at: usize) -> f64 {
        let this = &overload.routes[at];
        let (mut in_flight, mut capacity, mut slow) = (0, 0, 0.0);
        for pool in &this.pools {
            let (more, room) = self.fleet.pool_load(*pool);
            in_flight += more;
            capacity += room;
            slow += more as f64 * overload.paces[pool.index()].ratio;
        }
        let waiting: u64 =
            this.peers.iter().map(|peer| u64::from(self.lines.waiting_on(*peer))).sum();
        let there = (in_flight + waiting) as f64;
        let value = if capacity == 0 {
            if there > 0.0 { f64::INFINITY } else { 0.0 }
        } else if capacity < UNLIMITED {
            let room = (capacity / 2).min(u64::from(self.queue.max));
            there / (capacity + room) as f64
        } else if in_flight == 0 {
            0.0
        } else {
            slow / in_flight as f64 - 1.0
        };
        value.clamp(0.0, SATURATION_MAX.value())
    }

    /// Returns the saturation of a route as last found; zero where nothing is done about it.
    #[must_use]
    pub fn saturation(&self, route: RouteId) -> Ratio {
        let this = self.overload.as_ref().map(|overload| &overload.routes[route.index()]);
        Ratio::from_f64(this.map_or(0.0, |this| this.saturation))
    }

    /// Checks that nobody is shed for whom there is no threshold, nor before somebody who matters
    /// less.
    pub(in crate::balance) fn sheds_in_order(&self) -> Result<(), String> {
        let Some(overload) = &self.overload else { return Ok(()) };
        for (at, this) in overload.routes.iter().enumerate() {
            let order = this.shed.is_sorted();
            let asked = overload.shed.unwrap_or(ShedSpec { at: [None; 4], ..ShedSpec::default() });
            let wanted = this.shed.iter().zip(asked.at).all(|(on, at)| !on || at.is_some());
            let range = (0.0..=SATURATION_MAX.value()).contains(&this.saturation);
            let rung = this.rung == Rung::Calm
                || overload.degrade.is_some_and(|spec| spec.threshold(this.rung).is_some());
            if !order || !wanted || !range || !rung {
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
        let mut this = Pressed {
            pools: Vec::new(),
            peers: Vec::new(),
            saturation: 0.0,
            shed: [false; 4],
            rung: Rung::Calm,
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
            told.extend(this.shed(&spec).map(|(priority, on)| (priority, on, saturation)));
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
        let on: Vec<_> = this.shed(&spec).collect();
        assert_eq!(on, [Sheddable, Normal, High, Critical].map(|who| (who, true)));
        this.saturation = 0.0;
        let off: Vec<_> = this.shed(&spec).collect();
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
