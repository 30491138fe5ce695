//! A self-hosted inference engine with continuous batching, by the timing law of [`spec`](EngineSpec).
//!
//! Requests wait first come first served for one of `max_seqs` seats and for KV blocks of their whole
//! prompt. Each step gives every decoding request one token and the rest of its `step_tokens` to
//! prefill, in order of admission and cut into chunks. The step that ends a prefill makes the first
//! token. When the KV cache runs out, the request admitted last goes back to the front of the queue
//! and is computed anew later, its tokens so far as part of its prompt, as in vLLM; the one admitted
//! first never does, so a run always gets on. A request that would not fit alone fails at once with
//! [`Failure::TooLong`].
//!
//! **How it is simulated.** One entry in the agenda a node, not one a request. While nobody prefills
//! the next steps are a [`run`] in closed form: up to the next end of an answer or the step at which
//! KV blocks run out, and cut at the next step edge when something comes in between. How many tokens
//! a request has follows from one counter of steps a node. So a request costs its chunks, one end and
//! at most one cut, each logarithmic in the batch, and nothing a token. What comes at the very time of
//! an edge joins the step that begins there.
//!
//! **Prefix cache.** Requests that bring hashes of their prompt's blocks find what earlier ones left:
//! those tokens are not computed, and are billed as cached input. At least one token is always
//! computed. Blocks are kept when their chunk is done, and those of an answer when it is whole, where it
//! is known what it says (in conversations), as in vLLM, which keeps full blocks of generated tokens. Hash blocks and KV blocks of different size meet at their least common multiple.
//!
//! **Faults.** A crash empties everything, the cache too. A hang stops the clock of the engine, in the
//! middle of a step. A slow node takes longer from the next step on.
//!
//! Sources: vLLM's scheduler (chunked prefill, recompute; no blocks are kept free at admission, as V1's
//! `watermark = 0.0` in `vllm/v1/core/kv_cache_manager.py`);
//! processor sharing for what it must reproduce. Not modelled: swapping, speculative decoding, and
//! more than one queue.

mod batch;
mod meter;
mod outlook;
mod run;
mod spec;

use meter::KvMeter;
pub use meter::KvUse;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use slotmap::{Key, SlotMap};

use super::cache::Cache;
use super::jobs::JobKey;
use super::{Blocks, ERROR_AFTER, FaultEffects, Rank, Scheduled, Scheduler, Slowdown, Work};
use crate::balance::{Attempt, Failure, Input, NodeReport, Outcome, Progress, Usage};
use crate::unit::{NodeId, Ratio, Span, Time, Tokens};
use run::{FineTime, StepRun};
use spec::StepCosts;
pub(super) use spec::mean_seconds;

pub use spec::{
    BLOCK_DEFAULT, BLOCK_MAX, COEFFICIENT_MAX, EXPERTS_MAX, EngineSpec, KV_TOKENS_MAX, Moe,
    Overhead, SCALE_MAX, SEQS_DEFAULT, SEQS_MAX, STEP_MIN, STEP_TOKENS_DEFAULT, STEP_TOKENS_MAX,
    SpecError, StepLaw,
};

/// So many lists of hashes are kept for the next requests.
const SPARE_MAX: usize = 4_096;

/// A request's overhead before the queue is over.
const QUEUE: u32 = 0;
/// Its first token reaches the client.
const FIRST: u32 = 1;
/// The end of its answer reaches the client.
const LEAVE: u32 = 2;
/// The client's patience with a silent stream is over.
const STALL: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SequenceStage {
    /// Not yet in the queue.
    Coming,
    Waiting,
    Prefill,
    Decode,
    /// Its answer is whole and on its way.
    Leaving,
}

/// A request in the engine: two cache lines with its key, apart from what only the prefix cache asks.
#[derive(Debug)]
struct Sequence {
    attempt: Attempt,
    stage: SequenceStage,
    /// Its client has gone; its seat and blocks are free at the next step edge.
    gone: bool,
    /// While it comes, when it is in the queue for the first time; later, since when no token comes
    /// although some came before.
    since: Time,
    /// Tokens of the prompt.
    prompt: u64,
    /// Tokens the answer will have.
    output: u64,
    /// Tokens made when it was last counted: at the last prefill.
    made: u64,
    /// The counter of steps when it began to decode.
    joined: u64,
    /// Tokens to prefill, and how many of them are there.
    goal: u64,
    done: u64,
    /// Its number in the order of admission, and its neighbours there.
    seat: u64,
    before: JobKey,
    behind: JobKey,
    /// What of its prompt may be cached; `None` if nothing.
    prefix: Option<Box<PrefixMarks>>,
}

/// What of a prompt may be in the prefix cache, and what is.
#[derive(Debug, Default)]
struct PrefixMarks {
    /// Tokens of the prompt that were cached when it was first admitted.
    cached: Option<u64>,
    /// Tokens of a mark.
    unit: u64,
    /// Hashes of its prompt, and of its answer as far as they are known, one a unit.
    marks: Vec<u64>,
    /// The entries of the cache it uses: those of its first marks.
    held: Vec<u32>,
}

/// What engines of a kind share.
#[derive(Debug)]
struct EngineModel {
    spec: EngineSpec,
    costs: StepCosts,
    /// KV blocks.
    blocks: u64,
}

/// An engine. In a large fleet it has been out of the cache for long when its next step is over, so what
/// a step asks of it is on few cache lines: what is the same for all of a kind is shared, and what is
/// seldom asked stands apart.
#[derive(Debug)]
pub(super) struct Engine {
    model: Arc<EngineModel>,
    /// The steps under way.
    run: Option<StepRun>,
    /// Steps made.
    counter: u64,
    /// The tokens that decoding requests will read in the next step.
    kv: u64,
    /// KV blocks of requests beside what they use of the cache.
    used: u64,
    /// Decoding requests.
    batch: u32,
    /// The number of its entry in the agenda; older ones mean nothing any more.
    number: u32,
    /// By counter, modulo the block: decoding requests that need a new block in that step.
    grow: Box<[u32]>,
    /// Decoding requests by the counter at which their answer is whole, then in order of admission.
    /// Some have gone since.
    ends: BinaryHeap<Reverse<(u64, u64, JobKey)>>,
    sequences: SlotMap<JobKey, Sequence>,
    waiting: VecDeque<JobKey>,
    /// Those with a seat, from the first to the last admitted.
    first: JobKey,
    last: JobKey,
    seated: u32,
    /// Requests at a time, now.
    seats_max: u32,
    /// Seats given so far.
    seats: u64,
    /// Those of them that prefill, in the same order.
    prefilling: Vec<JobKey>,
    /// Prefill of the step under way.
    chunks: Vec<(JobKey, u64)>,
    /// Those whose client has gone.
    gone: Vec<JobKey>,
    node: NodeId,
    slowdown: Slowdown,
    /// When the node began to hang, while it does.
    hangs: Option<Time>,
    cold: Box<ColdState>,
}

/// What an engine is seldom asked, or only if it has a prefix cache.
#[derive(Debug)]
struct ColdState {
    cache: Cache,
    /// The executor takes a stream for stalled after a gap of so long.
    inter_token: Option<Span>,
    /// What a balancer hears of a step after the first thing.
    heard: Vec<SequenceNews>,
    /// How much of the KV cache was used.
    meter: KvMeter,
    /// Kept for its capacity.
    found: Vec<u32>,
    /// Kept for the next requests.
    #[expect(clippy::vec_box, reason = "the boxes go to requests as they are")]
    spare: Vec<Box<PrefixMarks>>,
}

/// What a balancer hears of a request: that it begins, or that it is whole.
type SequenceNews = (Attempt, Option<Usage>);

/// What a balancer hears of a step.
#[derive(Debug, Default)]
struct Heard {
    first: Option<SequenceNews>,
    /// Whether there is more, which the engine keeps until the step is over.
    more: bool,
}

impl Engine {
    /// An engine that shares what it can with `other`, if that is of its kind.
    pub(super) fn new(
        node: NodeId,
        spec: EngineSpec,
        inter_token: Option<Span>,
        other: Option<&Engine>,
    ) -> Engine {
        let model = match other.map(|other| &other.model) {
            Some(model) if model.spec == spec => model.clone(),
            _ => {
                let blocks = spec.kv_tokens / u64::from(spec.block);
                Arc::new(EngineModel { spec, costs: StepCosts::new(&spec), blocks })
            }
        };
        let cold = ColdState {
            cache: Cache::new(),
            inter_token,
            heard: Vec::new(),
            meter: KvMeter::default(),
            found: Vec::new(),
            spare: Vec::new(),
        };
        Engine {
            model,
            run: None,
            counter: 0,
            kv: 0,
            used: 0,
            batch: 0,
            number: 0,
            grow: vec![0; spec.block as usize].into_boxed_slice(),
            ends: BinaryHeap::new(),
            sequences: SlotMap::with_key(),
            waiting: VecDeque::new(),
            first: JobKey::null(),
            last: JobKey::null(),
            seated: 0,
            seats_max: spec.max_seqs,
            seats: 0,
            prefilling: Vec::new(),
            chunks: Vec::new(),
            gone: Vec::new(),
            node,
            slowdown: Slowdown::NORMAL,
            hangs: None,
            cold: Box::new(cold),
        }
    }

    /// Returns the KV blocks of the cache that are in use.
    fn pinned(&self) -> u64 {
        if self.model.spec.prefix_cache { self.cold.cache.pinned() } else { 0 }
    }

    /// Returns the KV blocks that nobody uses.
    fn idle_blocks(&self) -> u64 {
        self.model.blocks - self.used - self.pinned()
    }

    /// Returns the KV blocks that requests hold, those of the prefix cache among them.
    fn held_blocks(&self) -> u64 {
        self.used + self.pinned()
    }

    /// Use of the KV cache counts from now on.
    pub(super) fn measure_from(&mut self, from: Time) {
        self.cold.meter.from = from;
    }

    /// Returns how much of the KV cache was used by `now`.
    pub(super) fn kv_use(&self, now: Time) -> KvUse {
        self.metered(now).total(now, self.model.blocks)
    }

    /// The meter with the part of the run under way that is over, and a hang that has not ended.
    fn metered(&self, now: Time) -> KvMeter {
        let (mut meter, held) = (self.cold.meter, self.held_blocks());
        let Some(run) = self.run else { return meter };
        let until = self.hangs.unwrap_or(now).min(now);
        let grown = held + self.growth(run.over(until));
        meter.pass((run.start.at, until), (held, grown));
        if until < now {
            meter.pass((until, now), (grown, grown));
        }
        meter
    }

    /// Gives up what the cache has beyond the room that requests leave to it.
    fn shrink_cache(&mut self) {
        if self.model.spec.prefix_cache {
            self.cold.cache.shrink(self.model.blocks - self.used);
        }
    }

    pub(super) fn start(
        &mut self,
        now: Time,
        work: Work,
        stretch: f64,
        blocks: Blocks<'_>,
        scheduler: &mut impl Scheduler,
    ) {
        let (prompt, output) = (work.prompt.0.max(1), work.truth.output.0.max(1));
        // The last token of an answer is never read.
        if prompt.saturating_add(output - 1) > self.model.spec.room() {
            let outcome = Outcome::Failed(Failure::TooLong, Usage::default());
            let due = Scheduled::Finish(work.attempt, outcome);
            return scheduler.schedule(now + ERROR_AFTER, Rank::Finish, due);
        }
        // Without its text the last block of a prompt may go on as it likes.
        let known = if blocks.text.is_some() { prompt + output } else { prompt };
        let prefix = self.prefix(known, blocks);
        let ahead = self.ahead(prompt, output, stretch);
        let key = self.sequences.insert(Sequence {
            attempt: work.attempt,
            stage: SequenceStage::Coming,
            gone: false,
            since: now + ahead,
            prompt,
            output,
            made: 0,
            joined: 0,
            goal: 0,
            done: 0,
            seat: 0,
            before: JobKey::null(),
            behind: JobKey::null(),
            prefix,
        });
        if ahead > Span::ZERO {
            scheduler.schedule(now + ahead, Rank::Progress, Scheduled::Job(self.node, key, QUEUE));
        } else {
            self.queue(now, key, scheduler);
        }
    }

    /// Returns how long a request takes to the queue: its overhead, and what a gray failure that lets
    /// it take `stretch` times as long holds it up.
    fn ahead(&self, prompt: u64, output: u64, stretch: f64) -> Span {
        let late = if stretch > 1.0 { (stretch - 1.0) * self.alone(prompt, output) } else { 0.0 };
        Span::from_seconds(self.model.spec.overhead.a0 / 1e3 + late)
    }

    /// Returns the seconds that a request takes on the engine alone: by so much a gray failure is
    /// measured, which holds a request up before it is queued.
    fn alone(&self, prompt: u64, output: u64) -> f64 {
        let mut prefill = spec::Prefill::default();
        prefill.add(prompt, 0);
        let (first, _) = self.model.costs.step(prefill, 0, 0);
        let (step, more) = self.model.costs.step(spec::Prefill::default(), 1, prompt);
        let steps = output.saturating_sub(1) as f64;
        (first + steps * step + more * steps * steps / 2.0) / 1e9
    }

    /// Returns what of a prompt and its answer, together of so many tokens, may be cached.
    fn prefix(&mut self, tokens: u64, blocks: Blocks<'_>) -> Option<Box<PrefixMarks>> {
        let unit = self.unit(blocks)?;
        let mut prefix = self.cold.spare.pop().unwrap_or_default();
        prefix.cached = None;
        prefix.unit = unit;
        prefix.held.clear();
        prefix.marks.clear();
        prefix.marks.extend(marks(tokens, unit, blocks));
        Some(prefix)
    }

    /// Returns the tokens from one hash that ends with a KV block to the next; `None` if nobody looks
    /// for hashes.
    fn unit(&self, blocks: Blocks<'_>) -> Option<u64> {
        if !self.model.spec.prefix_cache || blocks.hashes.is_empty() || blocks.tokens == 0 {
            return None;
        }
        let (hash, block) = (u64::from(blocks.tokens), u64::from(self.model.spec.block));
        Some(hash / gcd(hash, block) * block)
    }

    fn queue(&mut self, now: Time, key: JobKey, scheduler: &mut impl Scheduler) {
        self.sequences[key].stage = SequenceStage::Waiting;
        self.waiting.push_back(key);
        // Behind others it changes nothing: they could not be admitted either.
        if self.waiting.len() == 1 && self.seated < self.seats_max {
            self.touch(now, scheduler);
        }
    }

    /// The end of a run. Returns what the balancer hears first; the rest is scheduled behind it.
    pub(super) fn step(&mut self, number: u32, scheduler: &mut impl Scheduler) -> Option<Input> {
        if number != self.number || self.hangs.is_some() {
            return None;
        }
        let run = self.run.take()?;
        let edge = run.edge(run.steps);
        let mut heard = Heard::default();
        let before = self.held_blocks();
        self.advance(run.steps);
        self.cold.meter.pass((run.start.at, edge.at), (before, self.held_blocks()));
        self.sweep();
        self.end_answers(edge, &mut heard, scheduler);
        self.end_chunks(edge, &mut heard, scheduler);
        self.compose(edge, scheduler);
        let (attempt, usage) = heard.first?;
        if heard.more {
            for (attempt, usage) in self.cold.heard.drain(..) {
                let due = match usage {
                    None => Scheduled::Progress(attempt, Progress::FirstToken),
                    Some(usage) => Scheduled::Finish(attempt, Outcome::Done(usage)),
                };
                scheduler.schedule(edge.at, Rank::Finish, due);
            }
        }
        Some(match usage {
            None => Input::Progress(attempt, Progress::FirstToken),
            Some(usage) => Input::Finish(attempt, Outcome::Done(usage)),
        })
    }

    /// Keeps what a balancer hears of a step: the first thing apart, since it hears that at once.
    fn say(&mut self, heard: &mut Heard, news: SequenceNews) {
        if heard.first.is_none() {
            heard.first = Some(news);
        } else {
            heard.more = true;
            self.cold.heard.push(news);
        }
    }

    /// A request's own milestone.
    pub(super) fn fire(
        &mut self,
        now: Time,
        key: JobKey,
        turn: u32,
        scheduler: &mut impl Scheduler,
    ) -> Option<Input> {
        let job = self.sequences.get(key).filter(|job| !job.gone)?;
        let attempt = job.attempt;
        match turn {
            QUEUE => {
                self.queue(now, key, scheduler);
                None
            }
            FIRST => Some(Input::Progress(attempt, Progress::FirstToken)),
            LEAVE => {
                let usage = self.used_by(now, key);
                self.forget(key);
                Some(Input::Finish(attempt, Outcome::Done(usage)))
            }
            _ => {
                let since = match (self.hangs, job.stage) {
                    (_, SequenceStage::Leaving) => return None,
                    (Some(since), _) => since,
                    (None, SequenceStage::Waiting | SequenceStage::Prefill) => job.since,
                    (None, _) => return None,
                };
                let begun = self.made(now, key) > 0;
                if !begun || since + self.cold.inter_token? > now {
                    return None;
                }
                let usage = self.used_by(now, key);
                self.leave(now, key, scheduler);
                Some(Input::Finish(attempt, Outcome::Failed(Failure::Stalled, usage)))
            }
        }
    }

    pub(super) fn abort(
        &mut self,
        now: Time,
        attempt: Attempt,
        scheduler: &mut impl Scheduler,
    ) -> Option<Usage> {
        let key = self.find(attempt)?;
        let usage = self.used_by(now, key);
        self.leave(now, key, scheduler);
        Some(usage)
    }

    /// Finds an attempt: those with a seat, then the queue from its front, where the oldest are.
    fn find(&self, attempt: Attempt) -> Option<JobKey> {
        let is =
            |key: &JobKey| self.sequences[*key].attempt == attempt && !self.sequences[*key].gone;
        let seated = self.seated().find(is);
        let queued = || self.waiting.iter().copied().find(is);
        seated.or_else(queued).or_else(|| self.sequences.keys().find(is))
    }

    /// Those with a seat, from the first to the last admitted.
    fn seated(&self) -> impl Iterator<Item = JobKey> {
        std::iter::successors(Some(self.first), |key| Some(self.sequences[*key].behind))
            .take(self.seated as usize)
    }

    /// A request goes before its answer is whole.
    fn leave(&mut self, now: Time, key: JobKey, scheduler: &mut impl Scheduler) {
        match self.sequences[key].stage {
            SequenceStage::Coming | SequenceStage::Leaving => self.forget(key),
            SequenceStage::Waiting => {
                let place = self.waiting.iter().position(|other| *other == key);
                place.and_then(|place| self.waiting.remove(place));
                self.forget(key);
                if place == Some(0) {
                    self.touch(now, scheduler);
                }
            }
            SequenceStage::Prefill | SequenceStage::Decode => {
                self.sequences[key].gone = true;
                self.gone.push(key);
                self.touch(now, scheduler);
            }
        }
    }

    fn forget(&mut self, key: JobKey) {
        if let Some(prefix) = self.sequences.remove(key).and_then(|job| job.prefix)
            && self.cold.spare.len() < SPARE_MAX
        {
            self.cold.spare.push(prefix);
        }
    }

    /// Returns the tokens made for a request by `now`, on the engine's clock.
    fn made(&self, now: Time, key: JobKey) -> u64 {
        let job = &self.sequences[key];
        match job.stage {
            SequenceStage::Decode => {
                let clock = self.hangs.unwrap_or(now);
                let over = self.run.map_or(0, |run| run.over(clock));
                (job.made + (self.counter - job.joined) + over).min(job.output)
            }
            SequenceStage::Leaving => job.output,
            _ => job.made,
        }
    }

    fn used_by(&self, now: Time, key: JobKey) -> Usage {
        let made = self.made(now, key);
        if made == 0 {
            return Usage::default();
        }
        let job = &self.sequences[key];
        Usage {
            input: Tokens(job.prompt),
            cached: job.cached(),
            output: Tokens(made),
            estimated: false,
        }
    }

    /// Returns how many tokens of an answer have reached the client.
    pub(super) fn came(&self, now: Time, attempt: Attempt) -> Option<Tokens> {
        let key = self.find(attempt)?;
        let late = self.tail(self.made(now, key));
        let seen = Time(now.0.saturating_sub(late as u64));
        Some(Tokens(self.made(seen, key)))
    }

    /// Nanoseconds until the n-th token is with the client.
    fn tail(&self, tokens: u64) -> f64 {
        let Overhead { a1, a2, .. } = self.model.spec.overhead;
        (a1 + a2 * tokens as f64) * 1e6
    }

    pub(super) fn report(&self, now: Time) -> NodeReport {
        let over = self.run.map_or(0, |run| run.over(self.hangs.unwrap_or(now)));
        let used = self.used + self.pinned() + self.growth(over);
        NodeReport {
            age: Span::ZERO,
            running: self.seated,
            waiting: u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
            kv_used: Ratio((u128::from(used) * 1_000_000 / u128::from(self.model.blocks)) as u32),
            requests_left: None,
            tokens_left: None,
        }
    }

    pub(super) fn apply_faults(
        &mut self,
        now: Time,
        effects: &FaultEffects,
        scheduler: &mut impl Scheduler,
    ) {
        if effects.reset {
            self.crash(now, scheduler);
        }
        let seats = effects.limits.concurrency.unwrap_or(self.model.spec.max_seqs);
        // Each request gets a token a step, so there are never more seats than tokens.
        let seats = seats.min(self.model.spec.step_tokens);
        let changed = effects.slowdown != self.slowdown || seats > self.seats_max;
        (self.slowdown, self.seats_max) = (effects.slowdown, seats);
        match (self.hangs, effects.hangs) {
            (None, true) => self.freeze(now, scheduler),
            (Some(since), false) => self.thaw(now, since, scheduler),
            (None, false) if changed && (self.run.is_some() || !self.waiting.is_empty()) => {
                self.touch(now, scheduler);
            }
            _ => {}
        }
    }

    /// Every entry of the prefix cache that no request uses is lost.
    pub(super) fn lose_cache(&mut self) {
        self.cold.cache.shrink(0);
    }

    fn crash(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        let mut order: Vec<JobKey> = self.seated().collect();
        order.extend(&self.waiting);
        let others = |key: &JobKey| {
            matches!(self.sequences[*key].stage, SequenceStage::Coming | SequenceStage::Leaving)
        };
        order.extend(self.sequences.keys().filter(others));
        for key in order {
            if !self.sequences[key].gone {
                let reset = Outcome::Failed(Failure::Reset, self.used_by(now, key));
                scheduler.schedule(
                    now,
                    Rank::Finish,
                    Scheduled::Finish(self.sequences[key].attempt, reset),
                );
            }
        }
        self.cold.meter = self.metered(now);
        self.sequences.clear();
        self.waiting.clear();
        (self.first, self.last, self.seated) = (JobKey::null(), JobKey::null(), 0);
        self.prefilling.clear();
        self.gone.clear();
        self.chunks.clear();
        self.run = None;
        (self.batch, self.kv, self.used) = (0, 0, 0);
        self.grow.fill(0);
        self.ends.clear();
        self.cold.cache.clear();
    }

    /// The step under way stops in its middle.
    fn freeze(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        self.hangs = Some(now);
        self.number = self.number.wrapping_add(1);
        if let Some(run) = &mut self.run {
            run.steps = run.next_edge(now).max(1);
        }
        let Some(gap) = self.cold.inter_token else { return };
        for key in self.seated().chain(self.waiting.iter().copied()) {
            if self.made(now, key) > 0 {
                scheduler.schedule(now + gap, Rank::Finish, Scheduled::Job(self.node, key, STALL));
            }
        }
    }

    /// It goes on from there.
    fn thaw(&mut self, now: Time, since: Time, scheduler: &mut impl Scheduler) {
        self.hangs = None;
        let held = self.held_blocks();
        match &mut self.run {
            Some(run) => {
                // Nothing grows meanwhile; what the run has grown before counts with the run.
                self.cold.meter.pass((since, now), (held, held));
                run.start.at = run.start.at + now.since(since);
                let edge = run.edge(run.steps);
                self.enter(edge.at.max(now), scheduler);
            }
            None => self.compose(FineTime::whole(now), scheduler),
        }
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Picks the hashes of the first tokens that end with a KV block, one a unit.
fn marks(tokens: u64, unit: u64, blocks: Blocks<'_>) -> impl Iterator<Item = u64> {
    let stride = (unit / u64::from(blocks.tokens)) as usize;
    let whole = (tokens / unit) as usize;
    blocks.chain().skip(stride - 1).step_by(stride).take(whole)
}
