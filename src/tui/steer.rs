//! Keys that steer a run beyond its pace: back in time and on again, another load, undo, and what would
//! come of a choice before it is made.

use crate::balance::{StrategySpec, usable};
use crate::command::{Command, Contender, Foreseen, Mode, OtherChoice, RunState};
use crate::unit::{PoolId, Span, Time};

use super::faults;
use super::model::{Model, Overlay};
use super::tab::View;
use super::update::Effect;

/// A key of load changes it by so much.
const LOAD_STEP: f64 = 1.1;
/// As far as keys change it.
const LOAD_MIN: f64 = 0.1;
const LOAD_MAX: f64 = 10.0;

/// Refuses what only a simulation can do.
pub(super) fn simulated(model: &mut Model, what: &str) -> bool {
    let simulated = model.mode() == Mode::Sim;
    if !simulated {
        model.ui.notice = Some(format!("only a simulation {what}"));
    }
    simulated
}

/// Looks `by` further back than now, or forward again if it is below zero.
pub(super) fn scrub(model: &mut Model, by: f64) -> Vec<Effect> {
    if !simulated(model, "can be looked at as it was") {
        return Vec::new();
    }
    let Some(frame) = &model.frame else { return Vec::new() };
    let (at, edge) = (model.ui.looked.unwrap_or(frame.snapshot.now), frame.edge);
    let edge = edge.unwrap_or(frame.snapshot.now);
    let to = match by {
        by if by >= 0.0 => Time(at.0.saturating_sub(Span::from_seconds(by).0)),
        by => at + Span::from_seconds(-by),
    };
    if to >= edge {
        return now(model);
    }
    model.ui.looked = Some(to);
    vec![Effect::Send(Command::Look(to))]
}

/// Looks at the run where it is.
pub(super) fn now(model: &mut Model) -> Vec<Effect> {
    model.ui.looked = None;
    vec![Effect::Send(Command::LookNow)]
}

/// Tells the engine something, if the run is a simulation.
pub(super) fn tell(model: &mut Model, what: &str, command: Command) -> Vec<Effect> {
    if simulated(model, what) { vec![Effect::Send(command)] } else { Vec::new() }
}

/// Lets a tenth more arrive, or less.
pub(super) fn load(model: &mut Model, more: bool) -> Vec<Effect> {
    if !simulated(model, "has a load that keys change") {
        return Vec::new();
    }
    let Some(now) = model.frame.as_ref().map(|frame| frame.load) else { return Vec::new() };
    let now = model.ui.asked.load.unwrap_or(now);
    let wanted = if more { now * LOAD_STEP } else { now / LOAD_STEP };
    let wanted = (wanted.clamp(LOAD_MIN, LOAD_MAX) * 1_000.0).round() / 1_000.0;
    // Ten times up and ten times down is where it was.
    let wanted = if (wanted - 1.0).abs() < 0.02 { 1.0 } else { wanted };
    model.ui.asked.renew();
    model.ui.asked.load = Some(wanted);
    model.ui.notice = Some(format!("{wanted} times as much arrives as the scenario says"));
    vec![Effect::Send(Command::Load(wanted))]
}

/// Compares the run with the one in which nothing was done since the moment that is looked at.
pub(super) fn branch(model: &mut Model) -> Vec<Effect> {
    if !simulated(model, "is compared with what it would have been") {
        return Vec::new();
    }
    let Some(frame) = &model.frame else { return Vec::new() };
    let at = frame.snapshot.now;
    model.ui.view = View::Compare;
    model.ui.lane = 1;
    model.ui.looked = None;
    vec![Effect::Send(Command::Compare(Contender::Without(at))), Effect::Send(Command::LookNow)]
}

pub(super) fn open_contenders(model: &mut Model) {
    if simulated(model, "is run several times over") {
        model.ui.typed.clear();
        model.ui.overlay = Overlay::Contenders { at: 0 };
    }
}

/// The strategy at this place of the list takes part.
pub(super) fn compare(model: &mut Model, at: usize) -> Vec<Effect> {
    let Some(entry) = usable().get(at) else { return Vec::new() };
    model.ui.overlay = Overlay::None;
    vec![Effect::Send(Command::Compare(Contender::Strategy(entry.name.to_owned())))]
}

/// Another scenario takes part.
pub(super) fn compare_scenario(model: &mut Model, name: &str) -> Vec<Effect> {
    if !simulated(model, "is run several times over") {
        return Vec::new();
    }
    model.ui.view = View::Compare;
    vec![Effect::Send(Command::Compare(Contender::Scenario(name.to_owned())))]
}

pub(super) fn baseline(model: &Model) -> Vec<Effect> {
    vec![Effect::Send(Command::Baseline(model.ui.lane))]
}

pub(super) fn dismiss(model: &mut Model) -> Vec<Effect> {
    let at = model.ui.lane;
    model.ui.lane = at.saturating_sub(1);
    vec![Effect::Send(Command::Dismiss(at))]
}

/// What the picker wants to know of the future, after a message may have opened or closed it.
pub(super) fn foresee(model: &mut Model) -> Option<Effect> {
    let wanted = match model.ui.overlay {
        Overlay::Strategies { pool, .. } if model.mode() == Mode::Sim => strategies(model, pool),
        Overlay::Faults if model.mode() == Mode::Sim => faults::deeds(model),
        _ => Vec::new(),
    };
    if wanted == model.ui.foreseen {
        return None;
    }
    model.ui.foreseen.clone_from(&wanted);
    Some(Effect::Send(Command::Foresee(wanted)))
}

/// What is to be found out of a decision, after a message may have changed which is looked at. One that is
/// followed changes all the time, so nothing is found out of it while the run goes on.
pub(super) fn doubt(model: &mut Model) -> Option<Effect> {
    let still = model.ui.pinned.is_some()
        || model.frame.as_ref().is_some_and(|frame| frame.state != RunState::Running);
    let looks = model.ui.view == View::Why && model.mode() == Mode::Sim && still;
    let wanted = if looks { other_choice(model) } else { None };
    if wanted == model.ui.doubted {
        return None;
    }
    model.ui.doubted = wanted;
    Some(Effect::Send(Command::Doubt(wanted)))
}

/// The decision that is looked at, and the node that came next.
fn other_choice(model: &Model) -> Option<OtherChoice> {
    let one = model.inspected()?;
    Some(OtherChoice { attempt: one.attempt, node: one.why.runner_up?.node })
}

/// Every strategy that a pool could be given, in the order of the list: that of the scenario first.
fn strategies(model: &Model, pool: PoolId) -> Vec<Command> {
    let planned = model.pool(pool).map(|row| row.planned.clone());
    let others = usable().iter().filter_map(|entry| StrategySpec::named(entry.name));
    planned.into_iter().chain(others).map(|spec| Command::Strategy(pool, spec)).collect()
}

/// What is foreseen of the line at this place, beside what comes of nothing.
pub(super) fn foreseen(model: &Model, place: usize) -> Option<(Foreseen, Option<Foreseen>)> {
    let forecast = model.frame.as_ref()?.forecast.as_ref()?;
    let row = forecast.rows.get(place)?.clone()?;
    Some((row, forecast.as_is.clone()))
}
