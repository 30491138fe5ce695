//! An engine played forward with the true lengths of all it has.
//!
//! The same steps as those of the engine, at its pace of now: seats and KV blocks in order of arrival,
//! prefill in chunks beside decoding, runs of decode steps in closed form. Who has overhead before the
//! queue, or is held up by a gray failure, comes when that is over. Left out: the part of a step that is over
//! already, blocks as against tokens, what prefills leave in the prefix cache, and preemption. The cost
//! is `n log n` in the requests it has.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::run::{FineTime, StepRun};
use super::spec::Prefill;
use super::{Engine, SequenceStage, marks};
use crate::node::outlook::Outlook;
use crate::node::{Blocks, Work};
use crate::unit::Time;

/// A request to prefill.
#[derive(Clone, Copy, Debug)]
struct Coming {
    /// Tokens to hold in the end, and how many of them are there.
    goal: u64,
    done: u64,
    /// Tokens to make after them.
    left: u64,
    /// Whether it has its seat.
    seated: bool,
    /// Nanoseconds from the beginning to when it is in the queue.
    from: f64,
    /// Whether it is the one that is asked about.
    asked: bool,
}

/// What is played.
#[derive(Clone, Debug, Default)]
struct Rollout {
    /// Steps over, and nanoseconds.
    counter: u64,
    nanos: f64,
    /// By counter of their end: what they hold then. `true` for the one that is asked about.
    decoding: BinaryHeap<Reverse<(u64, u64, bool)>>,
    /// Tokens that those who decode read in the next step.
    kv: u64,
    /// Tokens held by those who prefill.
    filled: u64,
    /// In the order in which they are in the queue.
    coming: VecDeque<Coming>,
    /// When all others end, in sum, and when the one does.
    others: f64,
    own: f64,
}

impl Engine {
    /// Those `before` it are on their way; with each of them, and for itself, how many times as long
    /// a gray failure lets it take.
    pub(in crate::node) fn outlook(
        &self,
        now: Time,
        before: &[(Work, f64)],
        work: &Work,
        stretch: f64,
        blocks: Blocks<'_>,
    ) -> Option<Outlook> {
        let (prompt, output) = (work.prompt.0.max(1), work.truth.output.0.max(1));
        if prompt.saturating_add(output - 1) > self.model.spec.room() {
            return None;
        }
        let coming = |work: &Work, stretch| {
            let (goal, left) = (work.prompt.0.max(1), work.truth.output.0.max(1));
            let from = self.ahead(goal, left, stretch).0 as f64;
            Coming { goal, done: 0, left, seated: false, from, asked: false }
        };
        let mut without = self.position(now);
        without.coming.extend(before.iter().map(|(work, stretch)| coming(work, *stretch)));
        let mut with = without.clone();
        let done = self.cached(prompt, blocks);
        with.coming.push_back(Coming { done, asked: true, ..coming(work, stretch) });
        self.play(&mut without);
        self.play(&mut with);
        Some(Outlook {
            own: (with.own + self.tail(output)) / 1e9,
            others: ((with.others - without.others) / 1e9).max(0.0),
        })
    }

    /// Tokens of a prompt that the cache has now.
    fn cached(&self, prompt: u64, blocks: Blocks<'_>) -> u64 {
        let Some(unit) = self.unit(blocks) else { return 0 };
        let most = ((prompt - 1) / unit) as usize;
        let marks = marks(prompt, unit, blocks).take(most);
        let found = marks.take_while(|mark| self.cold.cache.find(*mark).is_some());
        found.count() as u64 * unit
    }

    /// Where it stands.
    fn position(&self, now: Time) -> Rollout {
        let mut play = Rollout::default();
        let mut queued = Vec::new();
        for key in self.seated().chain(self.waiting.iter().copied()) {
            let job = &self.sequences[key];
            if job.gone {
                continue;
            }
            if job.stage == SequenceStage::Decode {
                let made = self.made(now, key);
                let left = (job.output - made).max(1);
                let stored = job.prompt + made;
                play.kv += stored + 1;
                play.decoding.push(Reverse((left, stored + left + 1, false)));
            } else {
                let seated = job.stage == SequenceStage::Prefill;
                let goal = job.prompt + job.made;
                let left = job.output - job.made;
                play.filled += if seated { goal } else { 0 };
                let done = if seated { job.done } else { 0 };
                let coming = Coming { goal, done, left, seated, from: 0.0, asked: false };
                if seated { play.coming.push_back(coming) } else { queued.push(coming) }
            }
        }
        play.coming.extend(queued);
        let coming =
            self.sequences.values().filter(|job| job.stage == SequenceStage::Coming && !job.gone);
        play.coming.extend(coming.map(|job| Coming {
            goal: job.prompt,
            done: 0,
            left: job.output,
            seated: false,
            from: job.since.since(now).0 as f64,
            asked: false,
        }));
        play
    }

    /// Plays it to the end of all it has.
    fn play(&self, play: &mut Rollout) {
        let room = self.model.spec.room();
        // Equal ones in the order they are told: the engine hears of them in that order.
        play.coming.make_contiguous().sort_by(|a, b| a.from.total_cmp(&b.from));
        let mut chunks: Vec<(usize, u64)> = Vec::new();
        loop {
            let batch = play.decoding.len() as u32;
            let mut budget = u64::from(self.model.spec.step_tokens.saturating_sub(batch));
            let mut prefill = Prefill::default();
            let mut seats = (self.seats_max as usize).saturating_sub(play.decoding.len());
            chunks.clear();
            for (place, one) in play.coming.iter_mut().enumerate() {
                let fits = play.kv + play.filled + one.goal <= room;
                let empty = play.decoding.is_empty() && place == 0;
                let there = one.from <= play.nanos;
                if budget == 0 || seats == 0 || !there || !(one.seated || fits || empty) {
                    break;
                }
                seats -= 1;
                if !std::mem::replace(&mut one.seated, true) {
                    play.filled += one.goal;
                }
                let new = (one.goal - one.done).min(budget);
                budget -= new;
                prefill.add(new, one.done);
                chunks.push((place, new));
            }
            let (first, more) = self.step_time(prefill, batch, play.kv);
            // Who is in the queue next, if somebody is not yet: at a step edge that may change the rest.
            let next = play.coming.iter().map(|one| one.from).find(|from| *from > play.nanos);
            let steps = match (play.decoding.peek(), next) {
                _ if !chunks.is_empty() => 1,
                (Some(Reverse((end, ..))), next) => {
                    let steps = (end - play.counter).max(1);
                    let run = StepRun { start: FineTime::whole(Time::ZERO), steps, first, more };
                    let edge = |from: f64| run.next_edge(Time((from - play.nanos).ceil() as u64));
                    next.map_or(steps, edge).max(1)
                }
                (None, Some(from)) => {
                    play.nanos = from;
                    continue;
                }
                (None, None) => return,
            };
            let k = steps as f64;
            play.nanos += k * first + more * (k * (k - 1.0) / 2.0);
            play.counter += steps;
            play.kv += u64::from(batch) * steps;
            while let Some(&Reverse((end, held, asked))) = play.decoding.peek() {
                if end > play.counter {
                    break;
                }
                play.decoding.pop();
                play.kv -= held;
                play.end(asked);
            }
            play.fill(&chunks);
        }
    }
}

impl Rollout {
    fn end(&mut self, asked: bool) {
        if asked {
            self.own = self.nanos;
        } else {
            self.others += self.nanos;
        }
    }

    /// Books the prefill of a step. Those done with it are the first in line.
    fn fill(&mut self, chunks: &[(usize, u64)]) {
        for (place, new) in chunks {
            self.coming[*place].done += new;
        }
        while let Some(one) = self.coming.front().filter(|one| one.seated && one.done >= one.goal) {
            let one = *one;
            self.coming.pop_front();
            self.filled -= one.goal;
            // The step that ends a prefill makes the first token.
            if one.left <= 1 {
                self.end(one.asked);
            } else {
                let left = one.left - 1;
                self.kv += one.goal + 1;
                self.decoding.push(Reverse((self.counter + left, one.goal + 1 + left, one.asked)));
            }
        }
    }
}
