//! Jobs of agents: steps over agent, LLM and tool pools, one after the other or side by side.
//!
//! What starts at a point of the arrival process is a job. It runs a workflow: a graph of steps
//! without a cycle. A step begins when every step it comes `after` is over (a join), and runs
//! `fan_out` instances side by side. An instance goes through a number of `rounds`: in each it makes
//! a request of the step's class and then, one after the other, its nested `calls` of whatever
//! classes, each after a pause to think. It is over when the last of its last round is answered. Each
//! of these requests is routed like any other; an agent's node is held for the agent's own request,
//! not while its nested calls are under way, since the balancer knows requests and no sessions on
//! nodes.
//!
//! A step may go `back_to` one that it comes after, or to itself: when it is over, all steps from there
//! to here begin again, a drawn number of times in all. What comes after any of them begins when the
//! last of these rounds is over.
//!
//! An instance that fails (a request of it is not answered in full, or its deadline passes while
//! it thinks) fails the job, is left out, or is tried again. When a job ends early, what it has
//! under way is cancelled: nobody waits for it any more.
//!
//! Every draw has a key of its own (job, step, lap of a loop, instance, round, call), so neither strategy nor timing
//! changes what a job asks. A later try asks the same and is answered anew.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

mod loops;
mod spec;

pub use loops::{LoopFlaw, Loops};
pub use spec::{
    BackTo, CALL_ENTRIES_MAX, CALLS_MAX, CallSpec, FAN_OUT_MAX, OnFailure, ROUNDS_MAX, STEPS_MAX,
    StepContext, StepSpec, TRIES_MAX, WorkflowSpec, cycle,
};

use super::arrival::Generated;
use super::length::{ClassSpec, LENGTH_MAX, length};
use super::{Arrival, News, TraceError, Traffic, Truth};
use crate::balance::{Fate, JobFate, JobNews, JobPhase, JobStep, Request};
use crate::dist::Dist;
use crate::id_map::IdMap;
use crate::rng::{Rng, mix};
use crate::unit::{ClassId, RequestId, Span, Time, Tokens, WorkflowId};

/// An instance of a step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InstanceId {
    job: u64,
    step: u16,
    instance: u32,
    /// How often its step has been over before.
    lap: u32,
}

/// What comes at a time; entries of one time keep their order.
type InstanceQueue = BinaryHeap<Reverse<(Time, u64, InstanceId)>>;

#[derive(Clone, Debug)]
struct Instance {
    /// Tries begun.
    tries: u32,
    /// When its present try stops being useful.
    deadline: Time,
    /// Requests of its present try before the one it is at, over all rounds.
    call: u32,
    /// Rounds in all.
    rounds: u32,
    /// The round it is at.
    round: u32,
    /// What it is at in the round: zero is its own request, then come the entries of its calls.
    entry: usize,
    /// Calls of the entry that follow the one it is at.
    more: u32,
    /// Tokens of the answers of its present try.
    output: Tokens,
    /// What it has under way.
    request: Option<RequestId>,
}

#[derive(Clone, Debug)]
struct StepState {
    /// Steps it waits for.
    waits: usize,
    /// How often it has been over.
    lap: u32,
    began: Time,
    /// Instances that are not over.
    left: u32,
    count: u32,
    skipped: u32,
    /// Tokens that its prompts begin with.
    context: Tokens,
    /// Tokens of the answers of its instances.
    output: Tokens,
    /// While it runs.
    instances: Vec<Instance>,
}

#[derive(Debug)]
struct JobState {
    workflow: usize,
    started: Time,
    deadline: Time,
    /// Steps that are not over.
    open: usize,
    requests: u64,
    steps: Vec<StepState>,
}

impl JobState {
    fn news(&self, job: u64, what: JobPhase) -> News {
        let workflow = WorkflowId(self.workflow as u16);
        News::Job(JobNews { job, workflow, started: self.started, what })
    }

    fn workflow_step<'a>(&self, workflows: &'a [Workflow], step: usize) -> &'a StepSpec {
        &workflows[self.workflow].spec.steps[step]
    }

    fn instance(&mut self, place: InstanceId) -> &mut Instance {
        &mut self.steps[usize::from(place.step)].instances[place.instance as usize]
    }
}

/// A workflow and, by step, the steps that come after it.
#[derive(Debug)]
struct Workflow {
    spec: WorkflowSpec,
    next: Vec<Vec<u16>>,
    loops: Loops,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct InstanceRequest {
    place: InstanceId,
    output: Tokens,
}

/// Jobs that start at the points of a process, as traffic. Its memory grows with the jobs under
/// way, not with their number.
#[derive(Debug)]
pub struct Jobs {
    starts: Generated,
    next_start: Option<Time>,
    workflows: Vec<Workflow>,
    /// Cumulated shares; the last is the total.
    shares: Vec<f64>,
    flow_rng: Rng,
    classes: Vec<ClassSpec>,
    seed: u64,
    jobs: BTreeMap<u64, JobState>,
    started: u64,
    requests: u64,
    under_way: IdMap<InstanceRequest>,
    /// Requests to come.
    ready: InstanceQueue,
    /// Deadlines that pass while an instance thinks.
    late: InstanceQueue,
    entered: u64,
    news: VecDeque<News>,
}

/// Kinds of draws that are no request's; requests have the number of their call.
const FAN_OUT: u64 = u64::MAX;
/// Of the first entry in the first round; the others count down from it.
const CALLS: u64 = u64::MAX - 1;
/// Followed by the number of the call, which is below 2^32.
const THINK: u64 = 1 << 32;
const ROUNDS: u64 = 1 << 33;
const LAPS: u64 = 1 << 34;

/// Keys the draw of where a job comes from.
const ORIGIN: u64 = 0x6f72_6967;

/// Keys the draw of how hard a call is.
const HARDNESS: u64 = 0x6861_7264;

/// Keys the draw of whether a call is one that comes again.
const REPEATED: u64 = 0x7265_7065;

impl Jobs {
    /// Jobs of these workflows, started when `starts` has a point. Of `starts` only the times count.
    ///
    /// # Panics
    /// If no workflow has a share, or one has no steps, a cycle, or names a class or step that does
    /// not exist, or has loops that cannot be.
    #[must_use]
    pub fn new(
        starts: Generated,
        workflows: Vec<WorkflowSpec>,
        classes: Vec<ClassSpec>,
        seed: u64,
    ) -> Jobs {
        let cumulated = workflows.iter().scan(0.0, |sum, workflow| {
            *sum += workflow.share;
            Some(*sum)
        });
        let shares: Vec<f64> = cumulated.collect();
        assert!(shares.last().is_some_and(|total| *total > 0.0), "some workflow has a share");
        let known = |class: ClassId| class.index() < classes.len();
        for workflow in &workflows {
            assert!(!workflow.steps.is_empty(), "a workflow has steps");
            let mut steps = workflow.steps.iter();
            let named = steps
                .all(|step| known(step.class) && step.calls.iter().all(|calls| known(calls.class)));
            assert!(named, "steps name classes that exist");
            let after: Vec<Vec<u16>> = workflow.steps.iter().map(|s| s.after.clone()).collect();
            assert!(cycle(&after).is_none(), "a workflow has no cycle");
        }
        let mut jobs = Jobs {
            starts,
            next_start: None,
            workflows: workflows.into_iter().map(Workflow::new).collect(),
            shares,
            flow_rng: Rng::stream(seed, "workflows"),
            classes,
            seed: Rng::stream(seed, "jobs").bits(),
            jobs: BTreeMap::new(),
            started: 0,
            requests: 0,
            under_way: IdMap::default(),
            ready: InstanceQueue::new(),
            late: InstanceQueue::new(),
            entered: 0,
            news: VecDeque::new(),
        };
        jobs.next_start = jobs.starts.next_at();
        jobs
    }

    /// The key of a draw.
    fn key(&self, place: InstanceId, draw: u64) -> u64 {
        let inside = u64::from(place.step) << 32 | u64::from(place.instance);
        let key = mix(mix(mix(self.seed, place.job), inside), draw);
        if place.lap == 0 { key } else { mix(key, u64::from(place.lap)) }
    }

    /// Draws a whole number for a place.
    fn number(&self, law: &Dist, place: InstanceId, draw: u64, range: (u64, u64)) -> u32 {
        let mut rng = Rng::from_key(self.key(place, draw));
        (law.sample(&mut rng).round() as u64).clamp(range.0, range.1) as u32
    }

    fn enter(&mut self, at: Time, place: InstanceId) -> Reverse<(Time, u64, InstanceId)> {
        self.entered += 1;
        Reverse((at, self.entered, place))
    }

    fn start(&mut self, at: Time) {
        let workflow = if self.shares.len() == 1 {
            0
        } else {
            let point = self.flow_rng.unit() * self.shares[self.shares.len() - 1];
            self.shares.partition_point(|&sum| sum <= point).min(self.shares.len() - 1)
        };
        let spec = &self.workflows[workflow].spec;
        let step = |spec: &StepSpec| StepState {
            waits: spec.after.len(),
            lap: 0,
            began: at,
            left: 0,
            count: 0,
            skipped: 0,
            context: Tokens::ZERO,
            output: Tokens::ZERO,
            instances: Vec::new(),
        };
        let job = JobState {
            workflow,
            started: at,
            deadline: spec.deadline.map_or(Time::MAX, |deadline| at + deadline),
            open: spec.steps.len(),
            requests: 0,
            steps: spec.steps.iter().map(step).collect(),
        };
        let number = self.started;
        self.started += 1;
        self.news.push_back(job.news(number, JobPhase::Started));
        let first = |(_, step): &(usize, &StepState)| step.waits == 0;
        let first: Vec<usize> =
            job.steps.iter().enumerate().filter(first).map(|(at, _)| at).collect();
        self.jobs.insert(number, job);
        for step in first {
            self.begin(number, step as u16, at);
        }
    }

    /// Begins a step whose time has come.
    fn begin(&mut self, job: u64, step: u16, now: Time) {
        let this = &self.jobs[&job];
        let place = InstanceId { job, step, instance: 0, lap: this.steps[usize::from(step)].lap };
        let spec = &self.workflows[this.workflow].spec.steps[usize::from(step)];
        let count = self.number(&spec.fan_out, place, FAN_OUT, (1, FAN_OUT_MAX));
        let said = spec.after.iter().map(|&before| this.steps[usize::from(before)].output);
        let end = self.workflows[this.workflow].loops.end_of(step).map(usize::from);
        // Nothing is said there yet when the loop begins.
        let first = end.filter(|end| {
            this.workflow_step(&self.workflows, *end)
                .back_to
                .as_ref()
                .is_some_and(|to| to.step == step)
        });
        let back = first.map_or(Tokens::ZERO, |end| this.steps[end].output);
        let said = said.fold(back, std::ops::Add::add);
        let context = if spec.context == StepContext::Grow { said } else { Tokens::ZERO };
        let instance = |instance| {
            let place = InstanceId { instance, ..place };
            let rounds = self.number(&spec.rounds, place, ROUNDS, (1, ROUNDS_MAX));
            let (tries, call, round, entry, more) = (0, 0, 0, 0, 0);
            let (deadline, output, request) = (Time::MAX, Tokens::ZERO, None);
            Instance { tries, deadline, call, rounds, round, entry, more, output, request }
        };
        let instances: Vec<Instance> = (0..count).map(instance).collect();
        let this = self.jobs.get_mut(&job).expect("it is under way");
        let state = &mut this.steps[usize::from(step)];
        (state.began, state.left, state.count, state.skipped) = (now, count, count, 0);
        (state.context, state.instances) = (context, instances);
        for instance in 0..count {
            self.attempt(InstanceId { instance, ..place }, now);
        }
    }

    /// Begins a try of an instance.
    fn attempt(&mut self, place: InstanceId, now: Time) {
        let job = self.jobs.get_mut(&place.job).expect("it is under way");
        let spec = &self.workflows[job.workflow].spec.steps[usize::from(place.step)];
        let deadline = spec.deadline.map_or(Time::MAX, |deadline| now + deadline);
        let deadline = deadline.min(job.deadline);
        let instance = job.instance(place);
        instance.tries += 1;
        (instance.output, instance.deadline) = (Tokens::ZERO, deadline);
        (instance.call, instance.round, instance.entry, instance.more) = (0, 0, 0, 0);
        let entry = self.enter(now, place);
        self.ready.push(entry);
    }

    /// Goes on after an answer.
    fn answered(&mut self, place: InstanceId, output: Tokens, now: Time) {
        let job = self.jobs.get_mut(&place.job).expect("it is under way");
        let workflow = job.workflow;
        let instance = job.instance(place);
        instance.output += output;
        instance.call += 1;
        let (call, deadline) = (u64::from(instance.call), instance.deadline);
        let mut next = instance.clone();
        let spec = &self.workflows[workflow].spec.steps[usize::from(place.step)];
        if !self.go_on(spec, place, &mut next) {
            return self.over(place, false, now);
        }
        let think = next.entry.checked_sub(1).map_or(0.0, |entry| {
            spec.calls[entry].think.sample(&mut Rng::from_key(self.key(place, THINK + call)))
        });
        let at = now + Span::from_seconds(think);
        *self.jobs.get_mut(&place.job).expect("it is under way").instance(place) = next;
        // Before the next call nothing is under way that the balancer could end.
        if at >= deadline {
            let entry = self.enter(deadline.max(now), place);
            self.late.push(entry);
        } else {
            let entry = self.enter(at, place);
            self.ready.push(entry);
        }
    }

    /// Moves an instance to its next request; returns whether there is one.
    fn go_on(&self, spec: &StepSpec, place: InstanceId, instance: &mut Instance) -> bool {
        if instance.more > 0 {
            instance.more -= 1;
            return true;
        }
        while let Some(calls) = spec.calls.get(instance.entry) {
            let before = u64::from(instance.round) * CALL_ENTRIES_MAX as u64;
            let draw = CALLS - before - instance.entry as u64;
            let count = self.number(&calls.count, place, draw, (0, CALLS_MAX));
            instance.entry += 1;
            if count > 0 {
                instance.more = count - 1;
                return true;
            }
        }
        (instance.round, instance.entry) = (instance.round + 1, 0);
        instance.round < instance.rounds
    }

    /// A try has failed.
    fn failed(&mut self, place: InstanceId, now: Time) {
        let job = self.jobs.get_mut(&place.job).expect("it is under way");
        let spec = &self.workflows[job.workflow].spec.steps[usize::from(place.step)];
        let (retries, on_failure) = (spec.retries, spec.on_failure);
        if now >= job.deadline {
            self.end(place.job, JobFate::TimedOut);
        } else if job.instance(place).tries <= retries {
            self.attempt(place, now);
        } else if on_failure == OnFailure::Skip {
            self.over(place, true, now);
        } else {
            self.end(place.job, JobFate::Failed(place.step));
        }
    }

    /// An instance is over.
    fn over(&mut self, place: InstanceId, skipped: bool, now: Time) {
        let InstanceId { job: number, step, .. } = place;
        let job = self.jobs.get_mut(&number).expect("it is under way");
        let output = job.instance(place).output;
        let state = &mut job.steps[usize::from(step)];
        state.left -= 1;
        if skipped {
            state.skipped += 1;
        } else {
            state.output += output;
        }
        if state.left > 0 {
            return;
        }
        state.instances = Vec::new();
        state.lap += 1;
        let (began, instances, skipped) = (state.began, state.count, state.skipped);
        let what = JobPhase::StepOver { step, began, instances, skipped };
        self.news.push_back(job.news(number, what));
        job.open -= 1;
        if self.goes_back(number, step) {
            return self.go_back(number, step, now);
        }
        if self.jobs[&number].open == 0 {
            return self.end(number, JobFate::Completed);
        }
        self.release(number, step, now);
    }

    /// Whether a step that is over ends a loop that has not been gone through often enough.
    fn goes_back(&self, job: u64, step: u16) -> bool {
        let this = &self.jobs[&job];
        let spec = this.workflow_step(&self.workflows, usize::from(step));
        spec.back_to.as_ref().is_some_and(|back| {
            let place = InstanceId { job, step, instance: 0, lap: 0 };
            let rounds = self.number(&back.rounds, place, LAPS, (1, ROUNDS_MAX));
            this.steps[usize::from(step)].lap < rounds
        })
    }

    /// All steps of the loop that ends with this one begin again.
    fn go_back(&mut self, number: u64, last: u16, now: Time) {
        let job = self.jobs.get_mut(&number).expect("it is under way");
        let Workflow { spec, loops, .. } = &self.workflows[job.workflow];
        for step in loops.ending_with(last) {
            // Of what is outside of the loop nothing is waited for again.
            let inside = |before: &&u16| loops.end_of(**before) == Some(last);
            let waits = spec.steps[usize::from(step)].after.iter().filter(inside).count();
            job.steps[usize::from(step)].waits = waits;
            job.open += 1;
        }
        let back = spec.steps[usize::from(last)].back_to.as_ref().expect("it goes back");
        self.begin(number, back.step, now);
    }

    /// What comes after a step that is over has one step less to wait for. What comes after a loop waits
    /// for its end, and for all of it then.
    fn release(&mut self, number: u64, over: u16, now: Time) {
        let workflow = self.jobs[&number].workflow;
        let Workflow { next, loops, .. } = &self.workflows[workflow];
        let end = loops.end_of(over);
        let ended: Vec<u16> = match end {
            Some(end) if end == over => loops.ending_with(over).collect(),
            _ => vec![over],
        };
        let held = |next: u16| match end {
            Some(end) if end == over => loops.end_of(next) == Some(end),
            Some(end) => loops.end_of(next) != Some(end),
            None => false,
        };
        let released: Vec<u16> = ended
            .iter()
            .flat_map(|step| &next[usize::from(*step)])
            .copied()
            .filter(|next| !held(*next))
            .collect();
        for next in released {
            let job = self.jobs.get_mut(&number).expect("it is under way");
            let waits = &mut job.steps[usize::from(next)].waits;
            *waits -= 1;
            if *waits == 0 {
                self.begin(number, next, now);
            }
        }
    }

    /// Ends a job; what it has under way is cancelled, what was to come never does.
    fn end(&mut self, number: u64, fate: JobFate) {
        let job = self.jobs.remove(&number).expect("a job ends once");
        let what = JobPhase::Ended { fate, requests: job.requests };
        self.news.push_back(job.news(number, what));
        let instances = job.steps.iter().flat_map(|step| &step.instances);
        for request in instances.filter_map(|instance| instance.request) {
            self.under_way.remove(request);
            self.news.push_back(News::Cancel(request));
        }
    }

    fn request(&mut self, place: InstanceId, at: Time) -> Arrival {
        let id = RequestId(self.requests);
        self.requests += 1;
        let this = &self.jobs[&place.job];
        let state = &this.steps[usize::from(place.step)];
        let instance = &state.instances[place.instance as usize];
        let spec = &self.workflows[this.workflow].spec.steps[usize::from(place.step)];
        let nested = instance.entry.checked_sub(1).map(|entry| &spec.calls[entry]);
        let class_id = nested.map_or(spec.class, |calls| calls.class);
        let class = &self.classes[class_id.index()];
        let key = self.key(place, u64::from(instance.call));
        let prompt = length(&class.prompt, &mut Rng::from_key(key));
        let mut rng = Rng::from_key(mix(key, u64::from(instance.tries)));
        let output = length(&class.output, &mut rng);
        let truth = Truth { output, key: rng.bits(), text: None };
        let said = match spec.context {
            StepContext::Grow => state.context + instance.output,
            StepContext::Fresh => Tokens::ZERO,
        };
        // On top of what was said before nothing is asked twice.
        let repeated = (said == Tokens::ZERO)
            .then(|| class.repeated(class_id, &mut Rng::from_key(mix(key, REPEATED))))
            .flatten();
        let prompt = repeated.map_or(prompt, |repeated| repeated.tokens);
        let retried = u8::try_from(instance.tries.saturating_sub(1)).unwrap_or(u8::MAX);
        let useful = class.deadline.map_or(Time::MAX, |deadline| at + deadline);
        let workflow = WorkflowId(this.workflow as u16);
        // All steps of a job come from one place and one tenant.
        let origin = mix(mix(self.seed, place.job), ORIGIN);
        let (region, attributes) = class.origin.draw(origin);
        let request = Request {
            region,
            attributes,
            tenant: class.tenants.draw(&mut Rng::from_key(mix(origin, 1))),
            deadline: useful.min(instance.deadline),
            class: class_id,
            priority: class.priority,
            prompt: (prompt + said).min(Tokens(LENGTH_MAX)),
            job: Some(JobStep { job: place.job, workflow, step: place.step }),
            content: repeated.map(|repeated| repeated.content),
            model: class.model,
            complexity: class.hardness(mix(key, HARDNESS), &truth),
            // Calls that follow an admitted one go on with it; they repeat nothing by themselves.
            again: if instance.call == 0 { retried } else { 0 },
            ..Request::new(id, at)
        };
        let job = self.jobs.get_mut(&place.job).expect("it is under way");
        job.requests += 1;
        job.instance(place).request = Some(id);
        self.under_way.insert(id, InstanceRequest { place, output });
        Arrival { at, request, truth }
    }
}

impl Workflow {
    fn new(spec: WorkflowSpec) -> Workflow {
        let mut next = vec![Vec::new(); spec.steps.len()];
        for (step, this) in spec.steps.iter().enumerate() {
            for &before in &this.after {
                next[usize::from(before)].push(step as u16);
            }
        }
        let loops = match spec.loops() {
            Ok(loops) => loops,
            Err(flaw) => panic!("loops go back to what is before, and share no step: {flaw:?}"),
        };
        Workflow { spec, next, loops }
    }
}

/// Drops what is of no use any more from the front of a line and returns the time of the rest.
fn front(line: &mut InstanceQueue, jobs: &BTreeMap<u64, JobState>) -> Option<Time> {
    while let Some(Reverse((at, _, place))) = line.peek() {
        if jobs.contains_key(&place.job) {
            return Some(*at);
        }
        line.pop();
    }
    None
}

impl Traffic for Jobs {
    fn set_load(&mut self, factor: f64) -> bool {
        self.starts.set_load(factor)
    }

    fn peek(&mut self) -> Result<Option<Time>, Vec<TraceError>> {
        Ok(front(&mut self.ready, &self.jobs))
    }

    fn take(&mut self) -> Arrival {
        let Reverse((at, _, place)) = self.ready.pop().expect("an arrival was told of");
        self.request(place, at)
    }

    fn settled(&mut self, now: Time, request: RequestId, fate: Fate) {
        // Of a job that is over nothing is waited for.
        let Some(InstanceRequest { place, output }) = self.under_way.remove(request) else {
            return;
        };
        let job = self.jobs.get_mut(&place.job).expect("its requests go with a job");
        job.instance(place).request = None;
        if fate == Fate::Completed {
            self.answered(place, output, now);
        } else {
            self.failed(place, now);
        }
    }

    fn news_at(&mut self) -> Option<Time> {
        if !self.news.is_empty() {
            return Some(Time::ZERO);
        }
        let late = front(&mut self.late, &self.jobs);
        [late, self.next_start].into_iter().flatten().min()
    }

    fn news(&mut self, now: Time) -> Option<News> {
        while self.news.is_empty() {
            let late = front(&mut self.late, &self.jobs).filter(|at| *at <= now);
            let start = self.next_start.filter(|at| *at <= now);
            match (late, start) {
                (Some(late), start) if start.is_none_or(|start| late <= start) => {
                    let Reverse((at, _, place)) = self.late.pop()?;
                    self.failed(place, at);
                }
                (_, Some(start)) => {
                    self.next_start = self.starts.next_at();
                    self.start(start);
                }
                _ => return None,
            }
        }
        self.news.pop_front()
    }
}

#[cfg(test)]
mod tests;
