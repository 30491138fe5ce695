//! What a person may ask of a run: pace, fault, strategy. The dashboard turns keys into these and
//! the driver's owner carries them out and answers with frames; nothing here does anything.

use std::sync::Arc;

use crate::balance::{Attempt, Fate, StrategySpec};
use crate::metrics::Snapshot;
use crate::unit::{Cost, NodeId, PoolId, Span, Time};

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
    /// Something else is done by hand, as a `[[by_hand]]` of a scenario says it.
    Do(String),
    /// So many times as much arrives as the scenario says.
    Load(f64),
    /// What was done last is undone: taken back where no time has passed since, else its opposite is done.
    Undo,
    /// Start again from the beginning with the same seed.
    Restart,
    /// The same with the next seed; what was done is done again.
    Reseed,
    /// Look at the run as it was then. The run itself stays where it is.
    Look(Time),
    /// Look at the run where it is.
    LookNow,
    /// Go on from what is looked at; what was done later is forgotten.
    GoOn,
    /// Write the scenario with what was done as one file.
    Write,
    /// Say the command that repeats the run, to be copied.
    Repeat,
    /// Write figures of the run so far into a new folder.
    Export,
    /// One more strategy is run beside this one on the same arrivals, and compared with it.
    Compare(Contender),
    /// The one at this place is compared no longer.
    Dismiss(usize),
    /// The others are compared with the one at this place.
    Baseline(usize),
    /// Foresee what would come of each of these, if it were done now; of none: stop foreseeing.
    Foresee(Vec<Command>),
    /// Find out what would have become of a request if one of its decisions had been another; of nothing: stop
    /// finding out.
    Doubt(Option<OtherChoice>),
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
    /// Where the run is, while the picture is of an earlier moment.
    pub edge: Option<Time>,
    /// So many times as much arrives as the scenario says.
    pub load: f64,
    /// What the engine has to say, and by its number whether it is new.
    pub notice: Option<Notice>,
    /// What would come of what was asked about, as far as it is known.
    pub forecast: Option<Arc<Prospects>>,
    /// What would have come of a decision that was doubted.
    pub regret: Option<Arc<Regret>>,
    /// What it is compared with.
    pub comparison: Option<Arc<SideBySide>>,
    /// Nodes that a region or a tag means.
    pub groups: Arc<[NodeGroup]>,
    /// Nodes in which faults can be made by hand.
    pub breakable: Breakable,
}

impl Frame {
    /// A frame of a run that begins, with nothing to be seen yet: in real time, with no end that is known, and
    /// faults by hand in simulations only.
    #[must_use]
    pub fn new(mode: Mode, scenario: &str, seed: u64) -> Frame {
        Frame {
            snapshot: Arc::default(),
            mode,
            state: RunState::Running,
            pace: Pace::Times(1.0),
            reached: None,
            scenario: scenario.to_owned(),
            seed,
            end: None,
            edge: None,
            load: 1.0,
            notice: None,
            forecast: None,
            regret: None,
            comparison: None,
            groups: Arc::default(),
            breakable: match mode {
                Mode::Sim => Breakable::All,
                Mode::Replay | Mode::Live => Breakable::none(),
            },
        }
    }
}

/// Nodes in which faults can be made by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breakable {
    /// All of them.
    All,
    /// Those that can be asked to fail, in order.
    Those(Arc<[NodeId]>),
}

impl Breakable {
    /// None of them.
    #[must_use]
    pub fn none() -> Breakable {
        Breakable::Those(Arc::default())
    }

    /// Returns whether this node is one.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        match self {
            Breakable::All => true,
            Breakable::Those(nodes) => nodes.binary_search(&node).is_ok(),
        }
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Breakable::Those(nodes) if nodes.is_empty())
    }
}

/// A decision that could have been another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherChoice {
    /// The try it was made for.
    pub attempt: Attempt,
    /// The node that could have been chosen.
    pub node: NodeId,
}

/// What would have come of another decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regret {
    /// Which.
    pub choice: OtherChoice,
    /// What is known of it.
    pub found: RegretFound,
}

/// What is known of another decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegretFound {
    /// Nothing yet.
    Waiting,
    /// It could not be found out in time.
    Unknown,
    /// What becomes of the request, and what would have.
    Known {
        /// As it was decided.
        chosen: RequestEnd,
        /// As it could have been decided.
        other: RequestEnd,
    },
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestEnd {
    /// When.
    pub at: Time,
    /// How it ends.
    pub fate: Fate,
    /// From its intended arrival on.
    pub took: Span,
    /// What its attempts have cost by then.
    pub cost: Cost,
}

/// Nodes that a word and a name mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeGroup {
    /// `region` or `tag`.
    pub word: &'static str,
    /// Its name.
    pub name: String,
    /// Those nodes.
    pub nodes: Vec<NodeId>,
}

/// At most so many are compared.
pub const RACE_MAX: usize = 6;

/// One that takes part in a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// This strategy in every pool, by its name.
    Strategy(String),
    /// The same run without what was done by hand after this moment.
    Without(Time),
    /// Another scenario, by its name or file, with the same traffic.
    Scenario(String),
}

/// Runs on the same arrivals, side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct SideBySide {
    /// Those that are compared.
    pub lanes: Vec<LaneFigures>,
    /// The one that the others are held against.
    pub baseline: usize,
    /// How many blocks of time the differences are of.
    pub blocks: usize,
    /// How long a block is.
    pub block: Span,
    /// How far the slowest has got.
    pub at: Time,
}

/// What is known of one of those that are compared, over its whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneFigures {
    /// What it is called.
    pub name: String,
    /// The median of latency.
    pub p50: Option<Span>,
    /// The 95th percentile.
    pub p95: Option<Span>,
    /// The 99th percentile.
    pub p99: Option<Span>,
    /// The share of what ended that was not served.
    pub failed: f64,
    /// Dollars for a thousand requests.
    pub per_1k: Option<f64>,
    /// How its 99th percentile differs from the baseline's, in seconds; nothing of the baseline itself.
    pub p99_delta: Option<LaneDelta>,
    /// The same of the share that was not served.
    pub failed_delta: Option<LaneDelta>,
    /// The same of dollars for a thousand requests.
    pub per_1k_delta: Option<LaneDelta>,
    /// The 99th percentile by block.
    pub points: Vec<LanePoint>,
}

/// A block of one of those that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanePoint {
    /// When it was over.
    pub until: Time,
    /// The 99th percentile of what ended in it.
    pub p99: Option<Span>,
}

/// A difference between two runs: the mean over blocks of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneDelta {
    /// Of the other less the baseline.
    pub mean: f64,
    /// Half the width of the interval that covers the true one with 95 %.
    pub half: Option<f64>,
    /// What may be said of it.
    pub verdict: LaneVerdict,
}

/// What may be said of a difference; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneVerdict {
    /// There are too few blocks to say anything.
    TooFew,
    /// It is less than the baseline, after Holm's correction.
    Better,
    /// It is more.
    Worse,
    /// That there is a difference cannot be said.
    NoDifference,
}

/// A word of the engine to the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// They are counted.
    pub number: u64,
    /// What it says.
    pub text: String,
    /// Whether it is to be copied where the terminal can.
    pub copy: bool,
}

/// What would come of several things that could be done now.
#[derive(Clone, Debug, PartialEq)]
pub struct Prospects {
    /// From when.
    pub from: Time,
    /// Until when.
    pub until: Time,
    /// If nothing is done.
    pub as_is: Option<Foreseen>,
    /// What would come of what was asked about, in that order, once it is known.
    pub rows: Vec<Option<Foreseen>>,
}

/// What would come of something: requests that end from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// The 99th percentile of all, where the failed ones count as later than any other; `None` if more
    /// than one in a hundred fails, or nothing ends.
    pub p99: Option<Span>,
    /// The share that is not served.
    pub failed: f64,
    /// Dollars an hour.
    pub dollars_per_hour: f64,
    /// The 99th percentile of completed requests from now on.
    pub line: Arc<[AheadPoint]>,
}

/// A point of what is foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AheadPoint {
    /// When.
    pub at: Time,
    /// The 99th percentile of the ten seconds before.
    pub p99: Option<Span>,
    /// Of so many requests.
    pub samples: u32,
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
