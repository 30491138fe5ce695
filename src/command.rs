//! What a person may ask of a run: pace, fault, strategy. The dashboard turns keys into these and
//! the driver's owner carries them out and answers with frames; nothing here does anything.

use std::sync::Arc;

use crate::balance::StrategySpec;
use crate::metrics::Snapshot;
use crate::unit::{NodeId, PoolId, Time};

/// How fast simulated time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// This many simulated seconds a second of wall time.
    Times(f64),
    /// As fast as the machine can.
    Fastest,
}

/// A wish of the person at the screen.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Stop simulated time, or let it go on.
    Pause(bool),
    /// Change the pace.
    Pace(Pace),
    /// Handle exactly one input, then pause.
    StepInput,
    /// Advance by one tick of 100 ms, then pause.
    StepTick,
    /// Crash this node until it is healed.
    Kill(NodeId),
    /// End what was done to this node by hand.
    Heal(NodeId),
    /// Let this pool choose by another strategy from now on.
    Strategy(PoolId, StrategySpec),
    /// Start again from the beginning with the same seed.
    Restart,
    /// End the run.
    Quit,
    /// Explain every decision in full from now on, or none: the screen shows them, or does no more.
    Explain(bool),
}

/// What a screen shows: a picture of the run and how the run is being driven.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The picture.
    pub snapshot: Arc<Snapshot>,
    /// What kind of run it is.
    pub mode: Mode,
    /// Whether it moves.
    pub state: RunState,
    /// How fast it is asked to go.
    pub pace: Pace,
    /// How fast it went of late, in simulated seconds a second, where that is known.
    pub reached: Option<f64>,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Where the workload ends, if that is known.
    pub end: Option<Time>,
}

/// What kind of run a screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A simulation.
    Sim,
    /// A workload sent to real endpoints.
    Replay,
    /// A gateway.
    Live,
}

/// Whether a run moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It does.
    Running,
    /// It was paused.
    Paused,
    /// It came to its end.
    Done,
    /// It broke, and why.
    Failed(String),
}
