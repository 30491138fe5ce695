//! What the events of shedding and of degradation must keep: the order of priorities, the
//! order of levels, their thresholds and the time one is stood on.

use std::collections::BTreeSet;

use super::watch::{Broken, ensure};
use crate::balance::{Config, DegradeLevel, Event, Fate, Priority, Reject, Settled};
use crate::unit::{RouteId, Span, Time};

/// The fold.
#[derive(Debug)]
pub(super) struct Pressed<'a> {
    config: &'a Config,
    /// By route.
    shed: Vec<BTreeSet<Priority>>,
    levels: Vec<(DegradeLevel, Time)>,
}

/// Returns how long may at least be waited before it is too long.
pub(super) fn least_wait(config: &Config) -> Option<Span> {
    let shorter = config.degrade.filter(|spec| spec.threshold(DegradeLevel::Queue).is_some());
    let most = config.queue.max_wait?;
    Some(shorter.map_or(most, |spec| Span(spec.queue.of(most.0))))
}

impl<'a> Pressed<'a> {
    pub(super) fn new(config: &'a Config) -> Pressed<'a> {
        let routes = config.routes.len();
        let (shed, levels) =
            (vec![BTreeSet::new(); routes], vec![(DegradeLevel::Calm, Time::ZERO); routes]);
        Pressed { config, shed, levels }
    }

    /// Returns whose requests are shed on a route.
    pub(super) fn shed(&self, route: RouteId) -> BTreeSet<Priority> {
        self.shed[route.index()].clone()
    }

    pub(super) fn hear(&mut self, now: Time, event: &Event) -> Result<(), Broken> {
        match event {
            Event::Shedding { route, priority, on, saturation } => {
                let spec = self.config.shed.unwrap_or_default();
                let at = spec.at[*priority as usize];
                let low = at.is_some_and(|at| saturation.0 + spec.hysteresis.0 <= at.0 + 1);
                let high = at.is_some_and(|at| *saturation >= at);
                ensure!(
                    if *on { high } else { low },
                    "I37",
                    "{priority:?} is shed: {on} at {saturation:?}, its threshold is {at:?}"
                );
                let shed = &mut self.shed[route.index()];
                let changed = if *on { shed.insert(*priority) } else { shed.remove(priority) };
                ensure!(changed, "I37", "that {priority:?} is shed is told twice");
                // Whoever matters less and has a threshold is shed as long as this one is.
                let below = Priority::ALL.iter().filter(|other| *other > priority);
                let above = Priority::ALL.iter().filter(|other| *other < priority);
                let sound = if *on {
                    below.into_iter().all(|other| shed.contains(other))
                } else {
                    above.into_iter().all(|other| !shed.contains(other))
                };
                ensure!(sound, "I37", "{priority:?} is shed: {on}, in all {shed:?}");
            }
            Event::DegradeLevel { route, from, to, saturation, threshold } => {
                let spec = self.config.degrade.unwrap_or_default();
                let (at, since) = &mut self.levels[route.index()];
                ensure!(from == at, "I55", "the level steps from {from:?} and stands on {at:?}");
                let up = to > from;
                let (low, high) = if up { (from, to) } else { (to, from) };
                let between =
                    DegradeLevel::ALL.iter().filter(|level| *level > low && *level < high);
                let adjacent = between.into_iter().all(|level| spec.threshold(*level).is_none());
                ensure!(adjacent, "I55", "the level goes from {from:?} to {to:?}");
                let stood = now.since(*since);
                ensure!(stood >= spec.stay, "I55", "{from:?} was stood on for {stood}");
                let reason = spec.threshold(*high) == Some(*threshold)
                    && if up {
                        saturation >= threshold
                    } else {
                        saturation.0 + spec.hysteresis.0 < threshold.0
                    };
                ensure!(reason, "I55", "{from:?} to {to:?} at {saturation:?}, {threshold:?}");
                (*at, *since) = (*to, now);
            }
            _ => {}
        }
        Ok(())
    }

    /// A request gets its end.
    pub(super) fn settled(&self, settled: &Settled, priority: Priority) -> Result<(), Broken> {
        let id = settled.request.0;
        let (level, _) = self.levels[settled.route.index()];
        if settled.fate == Fate::Rejected(Reject::Shed) {
            let rejects = match priority {
                Priority::Critical => false,
                Priority::Sheddable => level >= DegradeLevel::Shed,
                Priority::High | Priority::Normal => level >= DegradeLevel::Reject,
            };
            let shed = self.shed[settled.route.index()].contains(&priority);
            ensure!(shed || rejects, "I37", "request {id}, {priority:?}, is shed at {level:?}");
        }
        if let Some(spec) = self.config.degrade {
            let known = settled.degraded_by == DegradeLevel::Calm
                || spec.threshold(settled.degraded_by).is_some();
            ensure!(known, "I55", "request {id} was touched by {:?}", settled.degraded_by);
            let only = settled.degraded_by == DegradeLevel::Clamp && settled.attempts == 1;
            let length = settled.usage.output;
            ensure!(
                !only || length <= spec.max_tokens,
                "I55",
                "the answer to {id} is clamped and has {} tokens",
                length.0
            );
        } else {
            let touched = settled.degraded_by;
            ensure!(
                touched == DegradeLevel::Calm,
                "I55",
                "request {id} was touched by {touched:?}"
            );
        }
        Ok(())
    }
}
