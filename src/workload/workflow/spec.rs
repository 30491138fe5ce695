//! What a workflow is made of, and whether its graph is one.

use super::{LoopFlaw, Loops};
use crate::dist::Dist;
use crate::unit::{ClassId, Span};

/// A workflow has at most so many steps.
pub const STEPS_MAX: usize = 256;

/// A step runs at most so many instances side by side; draws beyond are cut.
pub const FAN_OUT_MAX: u64 = 1_000;

/// An instance makes at most so many nested calls of one entry in a round; draws beyond are cut.
pub const CALLS_MAX: u64 = 1_000;

/// A step calls at most so many classes one after the other.
pub const CALL_ENTRIES_MAX: usize = 32;

/// An instance goes through at most so many rounds, and a loop too; draws beyond are cut.
pub const ROUNDS_MAX: u64 = 1_000;

/// An instance is tried again at most so many times.
pub const TRIES_MAX: u64 = 100;

/// A workflow as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowSpec {
    /// Its name.
    pub name: String,
    /// Its share of the jobs, relative to the other workflows; zero if none starts.
    pub share: f64,
    /// How long a job may take from its start.
    pub deadline: Option<Span>,
    /// Its steps; at least one.
    pub steps: Vec<StepSpec>,
}

impl WorkflowSpec {
    /// Returns how many requests of which classes a job makes in the mean, step by step, where nothing
    /// fails.
    pub fn requests(&self) -> impl Iterator<Item = (ClassId, f64)> {
        let loops = self.loops().unwrap_or_default();
        self.steps.iter().enumerate().flat_map(move |(at, step)| {
            let runs = loops.runs(at, |end| self.steps[end].back_to.as_ref());
            let rounds = runs * step.fan_out.mean() * step.rounds.mean();
            let calls = step.calls.iter();
            let calls = calls.map(move |calls| (calls.class, rounds * calls.count.mean()));
            std::iter::once((step.class, rounds)).chain(calls)
        })
    }

    /// Finds its loops.
    pub(super) fn loops(&self) -> Result<Loops, (u16, LoopFlaw)> {
        let after: Vec<Vec<u16>> = self.steps.iter().map(|step| step.after.clone()).collect();
        let back: Vec<Option<u16>> =
            self.steps.iter().map(|step| step.back_to.as_ref().map(|back| back.step)).collect();
        Loops::new(&after, &back)
    }
}

/// A step of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSpec {
    /// Its name.
    pub name: String,
    /// The class of its requests, which says how long they are and where they go.
    pub class: ClassId,
    /// The steps that must be over before it begins.
    pub after: Vec<u16>,
    /// Instances side by side: rounded, at least one, at most [`FAN_OUT_MAX`].
    pub fan_out: Dist,
    /// How often an instance makes its own request with the calls that follow it: rounded, at least
    /// one, at most [`ROUNDS_MAX`].
    pub rounds: Dist,
    /// How long one try of an instance may take, all rounds and nested calls included.
    pub deadline: Option<Span>,
    /// How many more times an instance that failed is tried, at once.
    pub retries: u32,
    /// What happens when its last try has failed.
    pub on_failure: OnFailure,
    /// Requests that an instance makes after its own one of a round, entry after entry; at most
    /// [`CALL_ENTRIES_MAX`].
    pub calls: Vec<CallSpec>,
    /// What its prompts begin with.
    pub context: StepContext,
    /// Where it goes back to when it is over.
    pub back_to: Option<BackTo>,
}

/// The end of a loop over several steps.
#[derive(Clone, Debug, PartialEq)]
pub struct BackTo {
    /// The first step of the loop: one that this comes after, directly or not, or this one.
    pub step: u16,
    /// How often the loop is gone through in all: rounded, at least one, at most [`ROUNDS_MAX`].
    pub rounds: Dist,
}

/// Requests nested in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSpec {
    /// Their class.
    pub class: ClassId,
    /// How many there are: rounded, at most [`CALLS_MAX`]; may be zero.
    pub count: Dist,
    /// Seconds before each of them.
    pub think: Dist,
}

/// What becomes of a job when an instance of a step has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The job fails.
    #[default]
    Fail,
    /// The instance is over, without output.
    Skip,
}

/// What the prompts of a step begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepContext {
    /// Nothing: their class says how long they are.
    #[default]
    Fresh,
    /// The answers of the steps it comes after, those of its own instance so far, and for the first step
    /// of a loop those of the last one, on top of what their class says.
    Grow,
}

/// Finds a cycle: the steps on it, in an order in which each comes after the next, the first again
/// at the end. `after` says, by step, which steps it comes after.
///
/// # Panics
/// If a step comes after one that does not exist.
#[must_use]
pub fn cycle(after: &[Vec<u16>]) -> Option<Vec<u16>> {
    // By step: not seen, on the path, or done with.
    let mut seen = vec![0_u8; after.len()];
    (0..after.len()).find_map(|step| visit(after, step as u16, &mut seen, &mut Vec::new()))
}

/// As deep as there are steps, which are [`STEPS_MAX`] at most.
fn visit(after: &[Vec<u16>], step: u16, seen: &mut [u8], path: &mut Vec<u16>) -> Option<Vec<u16>> {
    match seen[usize::from(step)] {
        0 => {}
        1 => {
            let from = path.iter().position(|&other| other == step).unwrap_or(0);
            return Some(path[from..].iter().copied().chain([step]).collect());
        }
        _ => return None,
    }
    seen[usize::from(step)] = 1;
    path.push(step);
    let found = after[usize::from(step)].iter().find_map(|&next| visit(after, next, seen, path));
    path.pop();
    seen[usize::from(step)] = 2;
    found
}
