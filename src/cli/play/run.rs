//! A simulation that is watched, and what is known of it.

use std::time::Instant;

use super::super::failure::CliFailure;
use super::super::{Color, load};
use crate::balance::Event;
use crate::metrics::{Collector, Watch};
use crate::scenario::Scenario;
use crate::sim::{Sim, Step};
use crate::unit::Time;

/// The wall clock is looked at after so many inputs.
const LOOK_EVERY: u64 = 512;

/// How far a run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// As far as it was to go.
    There,
    /// Not yet: the wall clock had it stop.
    OnTheWay,
    /// To its end.
    Over,
}

/// A simulation and what is known of it.
pub(super) struct PlayedRun {
    pub(super) sim: Sim,
    pub(super) collector: Collector,
    pub(super) end: Option<Time>,
    /// Why the workload broke.
    pub(super) broken: Option<String>,
}

impl PlayedRun {
    pub(super) fn new(
        scenario: &Scenario,
        watch: Watch,
        color: Color,
    ) -> Result<PlayedRun, CliFailure> {
        let load::Ready { sim, end, .. } = load::simulation(scenario, color)?;
        let collector = load::collector(scenario, watch);
        Ok(PlayedRun { sim, collector, end, broken: None })
    }

    /// Handles one input. Returns whether there was one.
    pub(super) fn step(&mut self) -> bool {
        self.step_until(Time::MAX, &mut |_, _| {}) == Some(Step::Handled)
    }

    /// Handles one input, which `also` hears the events of, unless it comes later.
    fn step_until(&mut self, until: Time, also: &mut impl FnMut(Time, &Event)) -> Option<Step> {
        let PlayedRun { sim, collector, broken, .. } = self;
        let mut sink = |now: Time, event: &Event| {
            collector.fold(now, event);
            also(now, event);
        };
        sim.step_until(until, &mut |_, _| {}, &mut sink).unwrap_or_else(|errors| {
            let first = errors.first();
            *broken = first.map(|error| format!("trace line {}: {}", error.line, error.reason));
            Some(Step::Done)
        })
    }

    /// Handles every input up to a simulated time, or until `stop` says so.
    pub(super) fn advance(
        &mut self,
        target: Time,
        mut stop: impl FnMut() -> bool,
        also: &mut impl FnMut(Time, &Event),
    ) -> Got {
        for inputs in 1_u64.. {
            match self.step_until(target, also) {
                Some(Step::Handled) => {}
                Some(Step::Done) => return Got::Over,
                None => return Got::There,
            }
            if inputs.is_multiple_of(LOOK_EVERY) && stop() {
                return Got::OnTheWay;
            }
        }
        Got::OnTheWay
    }

    /// The same until a wall time.
    pub(super) fn advance_until(&mut self, target: Time, until: Instant) -> Got {
        self.advance(target, || Instant::now() >= until, &mut |_, _| {})
    }
}
