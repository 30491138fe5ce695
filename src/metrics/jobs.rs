//! Jobs: what became of them, how long they took and what they cost, by workflow and step.
//!
//! A job's cost is the sum over all attempts of all its requests, failed ones and those cut when it
//! ended early too. The last of these may end after the job, so a job is remembered until its
//! requests are settled and their attempts ended; of jobs gone by only sums are kept.

use std::collections::BTreeMap;

use super::snapshot::{Figures, GroupRow};
use super::summary::{JobCost, JobCounts, JobSummary, StepSummary, WorkflowSummary};
use super::times::Times;
use super::window::Window;
use super::{Labels, RequestCounts, Slo, WorkflowLabel};
use crate::balance::{Event, Fate, JobFate, JobNews, JobPhase, JobStep};
use crate::unit::{Cost, Time};

/// A job that is not done with.
#[derive(Clone, Copy, Debug, Default)]
struct OpenJob {
    /// Requests that are settled.
    settled: u64,
    /// Attempts of settled requests.
    attempts: u64,
    /// Attempts that have ended.
    attempts_ended: u64,
    cost: Cost,
    /// Requests in all, once it is over; some may not have come in by then.
    requests: Option<u64>,
}

/// What is collected for all jobs, and for each workflow.
#[derive(Clone, Debug)]
pub struct JobGroup {
    /// From the intended start to the end, completed jobs.
    pub latency: Times,
    started: u64,
    completed: u64,
    failed: u64,
    timed_out: u64,
    requests: u64,
    cost: Cost,
}

impl JobGroup {
    fn new() -> JobGroup {
        JobGroup {
            latency: Times::of_run(),
            started: 0,
            completed: 0,
            failed: 0,
            timed_out: 0,
            requests: 0,
            cost: Cost::ZERO,
        }
    }

    fn ended(&self) -> u64 {
        self.completed + self.failed
    }

    /// Returns jobs as if they were requests, by what became of them.
    fn counts(&self) -> RequestCounts {
        RequestCounts {
            arrived: self.started,
            completed: self.completed,
            failed: self.failed,
            in_flight: self.started - self.ended(),
            ..RequestCounts::default()
        }
    }

    fn summary(&self, hours: Cost) -> JobSummary {
        let total = (self.cost + hours).dollars();
        let ended = self.ended();
        let mean = |sum: f64| (ended > 0).then(|| sum / ended as f64);
        JobSummary {
            jobs: JobCounts {
                started: self.started,
                completed: self.completed,
                failed: self.failed,
                in_flight: self.started - ended.min(self.started),
                timed_out: self.timed_out,
            },
            latency_s: self.latency.latency(),
            requests_per_job: mean(self.requests as f64),
            cost_usd: JobCost { total, mean: mean(total), hours: hours.dollars() },
        }
    }
}

/// What is collected for each step.
#[derive(Clone, Debug)]
struct PerStep {
    latency: Times,
    runs: u64,
    instances: u64,
    skipped: u64,
    requests: u64,
    failed: u64,
    cost: Cost,
}

/// A workflow and its steps.
#[derive(Clone, Debug)]
struct PerFlow {
    jobs: JobGroup,
    steps: Vec<PerStep>,
}

/// Folds events of jobs into figures.
#[derive(Clone, Debug)]
pub(super) struct JobBook {
    warmup: Time,
    all: JobGroup,
    flows: Vec<PerFlow>,
    /// Those that started after warm-up.
    open: BTreeMap<u64, OpenJob>,
}

impl JobBook {
    /// A book for these workflows; `None` if there are none.
    pub(super) fn new(labels: &Labels) -> Option<Box<JobBook>> {
        let step = || PerStep {
            latency: Times::of_run(),
            runs: 0,
            instances: 0,
            skipped: 0,
            requests: 0,
            failed: 0,
            cost: Cost::ZERO,
        };
        let flow = |flow: &WorkflowLabel| PerFlow {
            jobs: JobGroup::new(),
            steps: flow.steps.iter().map(|_| step()).collect(),
        };
        let flows: Vec<PerFlow> = labels.workflows.iter().map(flow).collect();
        (!flows.is_empty()).then(|| {
            let (warmup, all) = (labels.warmup, JobGroup::new());
            Box::new(JobBook { warmup, all, flows, open: BTreeMap::new() })
        })
    }

    /// Hears an event.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::Job(news) => self.news(now, news),
            Event::Arrived { job: Some(at), .. } => self.arrived(at),
            Event::Ended { job: Some(at), cost, .. } => self.attempt_ended(at, *cost),
            Event::Settled(settled) => {
                if let Some(at) = &settled.job {
                    self.settled(at, settled.fate, settled.attempts);
                }
            }
            // Of requests that are no step of a job, and what does not end anything.
            Event::Arrived { job: None, .. }
            | Event::Ended { job: None, .. }
            | Event::Cache(_)
            | Event::Queued { .. }
            | Event::Dispatched { .. }
            | Event::Explained(_)
            | Event::FirstToken { .. }
            | Event::RetryPlanned { .. }
            | Event::RetryDenied { .. }
            | Event::NodeState { .. }
            | Event::Strategy { .. }
            | Event::NodeChanged { .. }
            | Event::Scaled { .. }
            | Event::Batch { .. }
            | Event::LateWord { .. }
            | Event::Mark(_)
            | Event::HedgeDenied { .. }
            | Event::Model(_)
            | Event::Escalated { .. }
            | Event::Feedback { .. }
            | Event::Graded(_)
            | Event::Panic { .. }
            | Event::KeptIn { .. }
            | Event::Limit { .. }
            | Event::Shedding { .. }
            | Event::DegradeLevel { .. } => {}
        }
    }

    fn news(&mut self, now: Time, news: &JobNews) {
        let Some(flow) = self.flows.get_mut(news.workflow.index()) else { return };
        match news.what {
            JobPhase::Started => {
                if news.started >= self.warmup {
                    self.open.insert(news.job, OpenJob::default());
                    self.all.started += 1;
                    flow.jobs.started += 1;
                }
            }
            JobPhase::StepOver { step, began, instances, skipped } => {
                if self.open.contains_key(&news.job)
                    && let Some(step) = flow.steps.get_mut(usize::from(step))
                {
                    step.runs += 1;
                    step.instances += u64::from(instances);
                    step.skipped += u64::from(skipped);
                    step.latency.record(now.since(began));
                }
            }
            JobPhase::Ended { fate, requests } => {
                let Some(open) = self.open.get_mut(&news.job) else { return };
                open.requests = Some(requests);
                for group in [&mut self.all, &mut flow.jobs] {
                    group.requests += requests;
                    if fate == JobFate::Completed {
                        group.completed += 1;
                        group.latency.record(now.since(news.started));
                    } else {
                        group.failed += 1;
                        group.timed_out += u64::from(fate == JobFate::TimedOut);
                    }
                }
                self.close(news.job, news.workflow.index());
            }
        }
    }

    fn arrived(&mut self, at: &JobStep) {
        if !self.open.contains_key(&at.job) {
            return;
        }
        if let Some(step) = step_of(&mut self.flows, at) {
            step.requests += 1;
        }
    }

    fn attempt_ended(&mut self, at: &JobStep, cost: Cost) {
        let Some(open) = self.open.get_mut(&at.job) else { return };
        open.attempts_ended += 1;
        open.cost += cost;
        if let Some(step) = step_of(&mut self.flows, at) {
            step.cost += cost;
        }
        self.close(at.job, at.workflow.index());
    }

    fn settled(&mut self, at: &JobStep, fate: Fate, attempts: u8) {
        let Some(open) = self.open.get_mut(&at.job) else { return };
        open.settled += 1;
        open.attempts += u64::from(attempts);
        if let Some(step) = step_of(&mut self.flows, at) {
            step.failed += u64::from(matches!(fate, Fate::Failed(_) | Fate::Rejected(_)));
        }
        self.close(at.job, at.workflow.index());
    }

    /// Forgets a job if nothing of it is left to happen.
    fn close(&mut self, job: u64, workflow: usize) {
        let Some(open) = self.open.get(&job).copied() else { return };
        let all_settled = open.requests.is_some_and(|requests| open.settled >= requests);
        if !all_settled || open.attempts_ended < open.attempts {
            return;
        }
        self.open.remove(&job);
        self.all.cost += open.cost;
        if let Some(flow) = self.flows.get_mut(workflow) {
            flow.jobs.cost += open.cost;
        }
    }

    /// All jobs, and those of each workflow.
    pub(super) fn groups(&self) -> impl Iterator<Item = &JobGroup> {
        std::iter::once(&self.all).chain(self.flows.iter().map(|flow| &flow.jobs))
    }

    /// Returns a row for each workflow, of its jobs, for a window that has expired to `now`.
    pub(super) fn rows(&self, now: Time, labels: &Labels, window: &Window) -> Vec<GroupRow> {
        let told = window.workflows(now, self.flows.len()).into_iter();
        let flows = told.zip(&labels.workflows).zip(&self.flows);
        let row = |((window, label), flow): ((Figures, &WorkflowLabel), &PerFlow)| GroupRow {
            name: label.name.clone(),
            slo: Slo::NONE,
            window,
            requests: flow.jobs.counts(),
        };
        flows.map(row).collect()
    }

    /// Returns the results of all jobs and of each workflow; `hours` tells a workflow's share of what nodes
    /// cost an hour.
    pub(super) fn summary(
        &self,
        labels: &Labels,
        hours: impl Fn(usize) -> Cost,
    ) -> (JobSummary, Vec<WorkflowSummary>) {
        let flow = |(at, (flow, label)): (usize, (&PerFlow, &WorkflowLabel))| WorkflowSummary {
            name: label.name.clone(),
            all: flow.jobs.summary(hours(at)),
            steps: flow.steps.iter().zip(&label.steps).map(step_summary).collect(),
        };
        let all = (0..self.flows.len()).fold(Cost::ZERO, |sum, at| sum + hours(at));
        let flows = self.flows.iter().zip(&labels.workflows).enumerate();
        (self.all.summary(all), flows.map(flow).collect())
    }
}

fn step_of<'a>(flows: &'a mut [PerFlow], at: &JobStep) -> Option<&'a mut PerStep> {
    flows.get_mut(at.workflow.index())?.steps.get_mut(usize::from(at.step))
}

fn step_summary((step, name): (&PerStep, &String)) -> StepSummary {
    StepSummary {
        name: name.clone(),
        runs: step.runs,
        instances: step.instances,
        skipped: step.skipped,
        requests: step.requests,
        failed: step.failed,
        latency_s: step.latency.latency(),
        cost_usd: step.cost.dollars(),
    }
}
