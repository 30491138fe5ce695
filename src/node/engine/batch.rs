//! What is in a step: seats, KV blocks, chunks of prefill, and how long the same steps go on.

use std::cmp::Reverse;

use slotmap::Key;

use super::spec::Prefill;
use super::{
    ColdState, Engine, FIRST, FineTime, Heard, LEAVE, PrefixMarks, STALL, Sequence, SequenceStage,
    StepRun,
};
use crate::balance::{Attempt, Usage};
use crate::node::jobs::JobKey;
use crate::node::{Rank, Scheduled, Scheduler, Slowdown};
use crate::unit::{Time, Tokens};

impl Sequence {
    /// Blocks of its own beside those of the cache, once so many tokens are stored.
    fn own_blocks(&self, stored: u64, block: u64) -> u64 {
        let shared = |prefix: &PrefixMarks| prefix.held.len() as u64 * (prefix.unit / block);
        stored.div_ceil(block) - self.prefix.as_deref().map_or(0, shared)
    }

    /// Tokens of its prompt that were cached.
    pub(super) fn cached(&self) -> Tokens {
        Tokens(self.prefix.as_ref().and_then(|prefix| prefix.cached).unwrap_or(0))
    }

    /// The tokens it has stored while it decodes.
    const fn stored(&self, counter: u64) -> u64 {
        self.goal + (counter - self.joined)
    }

    /// The remainder of the counters at which it needs a new block.
    const fn grows_at(&self, block: u64) -> usize {
        ((self.joined % block + block - self.goal % block) % block) as usize
    }

    const fn ends_at(&self) -> u64 {
        self.joined + (self.output - self.made)
    }
}

impl Engine {
    fn block(&self) -> u64 {
        u64::from(self.model.spec.block)
    }

    /// Enters the end of the run under way.
    pub(super) fn enter(&mut self, at: Time, scheduler: &mut impl Scheduler) {
        self.number = self.number.wrapping_add(1);
        scheduler.schedule(at, Rank::Finish, Scheduled::Step(self.node, self.number));
    }

    /// Something changed: it counts from the next step edge on.
    pub(super) fn touch(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        if self.hangs.is_some() {
            return;
        }
        let Some(run) = &mut self.run else {
            self.compose(FineTime::whole(now), scheduler);
            return;
        };
        let edge = run.next_edge(now);
        if edge == 0 {
            let start = run.start;
            self.sweep();
            self.compose(start, scheduler);
        } else if edge < run.steps {
            run.steps = edge;
            let at = run.edge(edge).at;
            self.enter(at, scheduler);
        }
    }

    /// Returns the KV blocks that decoding requests take in the next steps.
    pub(super) fn growth(&self, steps: u64) -> u64 {
        let block = self.block();
        let whole = steps / block * u64::from(self.batch);
        let from = self.counter % block;
        let part = (0..steps % block).map(|step| self.grow[((from + step) % block) as usize]);
        whole + part.map(u64::from).sum::<u64>()
    }

    /// Returns the most steps, up to `most`, for which the KV blocks last.
    fn lasting(&self, most: u64, room: u64) -> u64 {
        let block = self.block();
        let batch = u64::from(self.batch);
        if batch == 0 || (most / block + 1) * batch <= room {
            return most;
        }
        let rounds = room / batch;
        let mut left = room - rounds * batch;
        let mut steps = rounds * block;
        while steps < most {
            let need = u64::from(self.grow[((self.counter + steps) % block) as usize]);
            if need > left {
                break;
            }
            left -= need;
            steps += 1;
        }
        steps.min(most)
    }

    /// So many steps are over.
    pub(super) fn advance(&mut self, steps: u64) {
        self.used += self.growth(steps);
        self.counter += steps;
        self.kv += u64::from(self.batch) * steps;
        self.shrink_cache();
    }

    /// Frees what those held whose clients have gone.
    pub(super) fn sweep(&mut self) {
        while let Some(key) = self.gone.pop() {
            self.release(key);
            self.forget(key);
        }
    }

    /// Takes seat and blocks from a request.
    fn release(&mut self, key: JobKey) {
        let block = self.block();
        let job = &self.sequences[key];
        if job.stage == SequenceStage::Decode {
            let stored = job.stored(self.counter);
            self.used -= job.own_blocks(stored, block);
            self.kv -= stored + 1;
            self.batch -= 1;
            self.grow[job.grows_at(block)] -= 1;
        } else {
            self.used -= job.own_blocks(job.goal, block);
            self.prefilling.retain(|other| *other != key);
        }
        let (before, behind) = (job.before, job.behind);
        if let Some(prefix) = &mut self.sequences[key].prefix {
            // From the last to the first: see the cache.
            for place in prefix.held.drain(..).rev() {
                self.cold.cache.unpin(place);
            }
        }
        match self.sequences.get_mut(before) {
            Some(other) => other.behind = behind,
            None => self.first = behind,
        }
        match self.sequences.get_mut(behind) {
            Some(other) => other.before = before,
            None => self.last = before,
        }
        self.seated -= 1;
    }

    /// Ends the answers that are whole.
    pub(super) fn end_answers(
        &mut self,
        edge: FineTime,
        heard: &mut Heard,
        scheduler: &mut impl Scheduler,
    ) {
        while let Some(&Reverse((end, _, key))) = self.ends.peek() {
            if end > self.counter {
                break;
            }
            self.ends.pop();
            if self.current(end, key) {
                self.end(key, edge, heard, scheduler);
            }
        }
    }

    /// Returns whether this request still decodes and ends at this counter.
    fn current(&self, end: u64, key: JobKey) -> bool {
        let job = self.sequences.get(key);
        job.is_some_and(|job| job.stage == SequenceStage::Decode && job.ends_at() == end)
    }

    fn end(
        &mut self,
        key: JobKey,
        edge: FineTime,
        heard: &mut Heard,
        scheduler: &mut impl Scheduler,
    ) {
        let job = &mut self.sequences[key];
        if job.stage == SequenceStage::Decode && job.prefix.is_some() {
            // All but the last token of the answer are stored: what follows on it will find them.
            job.done = job.stored(self.counter);
            self.keep_blocks(key);
        }
        self.release(key);
        let job = &mut self.sequences[key];
        let tail = job.output;
        job.stage = SequenceStage::Leaving;
        let usage = Usage {
            input: Tokens(job.prompt),
            cached: job.cached(),
            output: Tokens(job.output),
            estimated: false,
        };
        let attempt = job.attempt;
        let tail = self.tail(tail);
        if tail > 0.0 {
            let due = Scheduled::Job(self.node, key, LEAVE);
            scheduler.schedule(edge.after(tail).at, Rank::Finish, due);
        } else {
            self.forget(key);
            self.say(heard, (attempt, Some(usage)));
        }
    }

    /// Books the prefill of the step that is over.
    pub(super) fn end_chunks(
        &mut self,
        edge: FineTime,
        heard: &mut Heard,
        scheduler: &mut impl Scheduler,
    ) {
        let mut chunks = std::mem::take(&mut self.chunks);
        for (key, new) in chunks.drain(..) {
            let Some(job) = self.sequences.get_mut(key) else { continue };
            job.done += new;
            self.keep_blocks(key);
            let job = &mut self.sequences[key];
            if job.done < job.goal {
                continue;
            }
            let begins = job.made == 0;
            job.made += 1;
            let (attempt, whole) = (job.attempt, job.made >= job.output);
            if begins {
                self.begin_answer(key, attempt, edge, heard, scheduler);
            }
            if whole {
                self.end(key, edge, heard, scheduler);
            } else {
                self.decode(key);
            }
        }
        self.chunks = chunks;
    }

    fn begin_answer(
        &mut self,
        key: JobKey,
        attempt: Attempt,
        edge: FineTime,
        heard: &mut Heard,
        scheduler: &mut impl Scheduler,
    ) {
        let tail = self.tail(1);
        if tail > 0.0 {
            let due = Scheduled::Job(self.node, key, FIRST);
            scheduler.schedule(edge.after(tail).at, Rank::Finish, due);
        } else {
            self.say(heard, (attempt, None));
        }
    }

    /// Gives the blocks that are full to the cache; the request goes on using them. What another request has put there meanwhile is shared from now on.
    fn keep_blocks(&mut self, key: JobKey) {
        let block = self.block();
        let job = &mut self.sequences[key];
        let Some(prefix) = &mut job.prefix else { return };
        while let Some(mark) = prefix.marks.get(prefix.held.len())
            && (prefix.held.len() as u64 + 1) * prefix.unit <= job.done
        {
            let blocks = prefix.unit / block;
            let Some(place) = self.cold.cache.keep(*mark, blocks as u32) else { break };
            prefix.held.push(place);
            self.used -= blocks;
        }
    }

    /// A request whose prefill is over decodes from the next step on.
    fn decode(&mut self, key: JobKey) {
        let block = self.block();
        self.prefilling.retain(|other| *other != key);
        let job = &mut self.sequences[key];
        job.stage = SequenceStage::Decode;
        job.joined = self.counter;
        self.batch += 1;
        self.kv += job.goal + 1;
        self.grow[job.grows_at(block)] += 1;
        self.ends.push(Reverse((job.ends_at(), job.seat, key)));
    }

    /// The request admitted last goes back to the front of the queue.
    fn preempt(&mut self, edge: FineTime, scheduler: &mut impl Scheduler) {
        let key = self.last;
        let counter = self.counter;
        let job = &mut self.sequences[key];
        if job.stage == SequenceStage::Decode {
            job.made += counter - job.joined;
            // What release reads stays as it is: `joined` and `goal`.
        }
        let begun = job.made > 0;
        job.since = edge.at;
        self.release(key);
        let job = &mut self.sequences[key];
        job.stage = SequenceStage::Waiting;
        job.done = 0;
        self.waiting.push_front(key);
        if let Some(gap) = self.cold.inter_token.filter(|_| begun) {
            scheduler.schedule(edge.at + gap, Rank::Finish, Scheduled::Job(self.node, key, STALL));
        }
    }

    /// Puts the next steps together. Nothing of them has passed yet, so it may be done again.
    pub(super) fn compose(&mut self, edge: FineTime, scheduler: &mut impl Scheduler) {
        self.run = None;
        let mut preempted = false;
        while self.growth(1) > self.idle_blocks() && self.seated > 1 {
            self.preempt(edge, scheduler);
            preempted = true;
        }
        let mut budget = u64::from(self.model.spec.step_tokens.saturating_sub(self.batch));
        let mut prefill = Prefill::default();
        self.chunks.clear();
        for place in 0..self.prefilling.len() {
            budget -= self.chunk(self.prefilling[place], budget, &mut prefill);
        }
        while !preempted && budget > 0 && self.seated < self.seats_max {
            let Some(&key) = self.waiting.front() else { break };
            if !self.admit(key) {
                break;
            }
            self.waiting.pop_front();
            budget -= self.chunk(key, budget, &mut prefill);
        }
        if self.chunks.is_empty() && self.batch == 0 {
            return;
        }
        let steps = match () {
            () if !self.chunks.is_empty() => 1,
            // Those in the queue could not be looked at in this step.
            () if preempted => 1,
            () => self.steady(),
        };
        let (first, more) = self.step_time(prefill, self.batch, self.kv);
        let run = StepRun { start: edge, steps, first, more };
        self.run = Some(run);
        let at = run.edge(steps).at;
        self.enter(at, scheduler);
    }

    /// Returns what a step takes at the pace of now, in nanoseconds, and by how much each further step
    /// of a run without prefill takes longer. `batch` requests decode and read `kv` tokens.
    pub(super) fn step_time(&self, prefill: Prefill, batch: u32, kv: u64) -> (f64, f64) {
        let (first, more) = self.model.costs.step(prefill, batch, kv);
        let Slowdown { first: slow, further } = self.slowdown;
        if slow.total_cmp(&further).is_eq() || prefill.new == 0 {
            return (first * further, more * further);
        }
        // What prefill adds to the step is slow in its way, the rest of it in its own.
        let (rest, _) = self.model.costs.step(Prefill::default(), batch, kv);
        (rest * further + (first - rest).max(0.0) * slow, more * further)
    }

    /// Gives a request its share of the step's tokens, and returns it.
    fn chunk(&mut self, key: JobKey, budget: u64, prefill: &mut Prefill) -> u64 {
        let job = &self.sequences[key];
        let new = (job.goal - job.done).min(budget);
        if new > 0 {
            prefill.add(new, job.done);
            self.chunks.push((key, new));
        }
        new
    }

    /// Gives a request a seat, if there are KV blocks for all it has to prefill.
    fn admit(&mut self, key: JobKey) -> bool {
        let block = self.block();
        let job = &self.sequences[key];
        let goal = job.prompt + job.made;
        let (hit, idle) = self.find_cached(key, goal);
        let need = goal.div_ceil(block) - hit / block;
        let taken = self.used + self.pinned() + idle + self.growth(1);
        if need > self.model.blocks.saturating_sub(taken) {
            return false;
        }
        self.used += need;
        let last = self.last;
        let job = &mut self.sequences[key];
        if let Some(prefix) = &mut job.prefix {
            let ColdState { cache, found, .. } = &mut *self.cold;
            found.iter().for_each(|place| cache.pin(*place));
            prefix.held.extend(found.iter());
            prefix.cached.get_or_insert(hit.min(job.prompt));
        }
        (job.stage, job.goal, job.done) = (SequenceStage::Prefill, goal, hit);
        (job.before, job.behind) = (last, JobKey::null());
        job.seat = self.seats;
        self.seats += 1;
        self.shrink_cache();
        match self.sequences.get_mut(last) {
            Some(other) => other.behind = key,
            None => self.first = key,
        }
        self.last = key;
        self.seated += 1;
        self.prefilling.push(key);
        true
    }

    /// Finds what the cache has of the first `goal` tokens of a request. Returns how many of them, and the
    /// blocks that nobody uses yet.
    fn find_cached(&mut self, key: JobKey, goal: u64) -> (u64, u64) {
        let Some(prefix) = &self.sequences[key].prefix else { return (0, 0) };
        let ColdState { cache, found, .. } = &mut *self.cold;
        let mut idle = 0;
        found.clear();
        // At least one token is computed: it makes the next one.
        for mark in prefix.marks.iter().take(((goal - 1) / prefix.unit) as usize) {
            let Some((place, blocks)) = cache.find(*mark) else { break };
            found.push(place);
            idle += blocks;
        }
        (found.len() as u64 * prefix.unit, idle)
    }

    /// Returns how many steps the same requests decode: to the next end of an answer, or as long as
    /// the KV blocks last.
    fn steady(&mut self) -> u64 {
        if self.ends.len() > 2 * self.batch as usize + 64 {
            let mut ends = std::mem::take(&mut self.ends);
            ends.retain(|&Reverse((end, _, key))| self.current(end, key));
            self.ends = ends;
        }
        while let Some(&Reverse((end, _, key))) = self.ends.peek() {
            if self.current(end, key) {
                return self.lasting(end - self.counter, self.idle_blocks()).max(1);
            }
            self.ends.pop();
        }
        1
    }
}
