//! Jobs: requests that belong together as the steps of a workflow, and the news of them.
//!
//! A job is the workload's business: the balancer knows of each request which job it is a step of,
//! and repeats news of jobs as events, so that reports stay folds over events and a journal tells
//! of jobs too. It never starts, ends or judges one.

use crate::unit::{Time, WorkflowId};

/// A step of a workflow's job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStep {
    /// The job's number in this run.
    pub job: u64,
    /// The workflow it runs.
    pub workflow: WorkflowId,
    /// The step of that workflow.
    pub step: u16,
}

/// Something that happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobNews {
    /// The job's number in this run.
    pub job: u64,
    /// The workflow it runs.
    pub workflow: WorkflowId,
    /// When it was meant to start. Its latency counts from here.
    pub started: Time,
    /// What happened.
    pub what: JobPhase,
}

/// What may happen to a job: it starts once, its steps end, it ends once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPhase {
    /// It starts.
    Started,
    /// All instances of a step are over. Steps of a job that ends early are never over.
    StepOver {
        /// Which step.
        step: u16,
        /// When it began: when the last step it comes after was over.
        began: Time,
        /// Instances that ran side by side.
        instances: u32,
        /// Those of them that failed and were left out.
        skipped: u32,
    },
    /// It is over.
    Ended {
        /// How.
        fate: JobFate,
        /// Requests it made, all tries and nested calls of all steps.
        requests: u64,
    },
}

/// The one final end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFate {
    /// All its steps are over.
    Completed,
    /// This step failed and may neither be skipped nor tried again.
    Failed(u16),
    /// Its deadline passed first.
    TimedOut,
}
