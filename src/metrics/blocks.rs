//! A run cut into blocks of time of the same length, for differences between runs on the same arrivals:
//! within a block two runs met the same load, and blocks are few and long enough that one says little of
//! the next (the method of batch means; Law, "Simulation Modeling and Analysis", 9.5.3).

use hdrhistogram::Histogram;

use crate::balance::{Event, Fate};
use crate::unit::{Span, Time};

/// How long blocks are at first.
pub const BLOCK: Span = Span::from_secs(5);
/// With so many, two become one, and all later ones are twice as long.
pub const BLOCKS_MAX: usize = 80;
/// Times longer than this, in microseconds, count as this: two weeks.
const MICROS_MAX: u64 = 1 << 40;

/// What ended within a block of time.
#[derive(Clone, Debug)]
pub struct RunBlock {
    latency: Histogram<u32>,
    failed: u64,
    /// What was spent, in dollars.
    spent: f64,
}

impl RunBlock {
    fn new() -> RunBlock {
        let latency = Histogram::new(2).expect("two digits");
        RunBlock { latency, failed: 0, spent: 0.0 }
    }

    /// How many requests ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.latency.len() + self.failed
    }

    /// The share of them that was not served.
    #[must_use]
    pub fn failed(&self) -> Option<f64> {
        (self.ended() > 0).then(|| self.failed as f64 / self.ended() as f64)
    }

    /// A percentile of the latency of those that were served.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Span> {
        let micros = (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(q));
        micros.map(|micros| Span(micros * 1_000))
    }

    /// Dollars for a thousand requests that ended.
    #[must_use]
    pub fn per_1k(&self) -> Option<f64> {
        (self.ended() > 0).then(|| self.spent / self.ended() as f64 * 1_000.0)
    }

    fn add(&mut self, other: &RunBlock) {
        self.latency.add(&other.latency).expect("it grows as needed");
        self.failed += other.failed;
        self.spent += other.spent;
    }
}

/// The blocks of a run.
#[derive(Clone, Debug)]
pub struct RunBlocks {
    width: Span,
    /// Those that are over; the first begins at time zero.
    closed: Vec<RunBlock>,
    open: RunBlock,
    /// What had been spent when the open one began, in dollars.
    spent: f64,
}

impl Default for RunBlocks {
    fn default() -> RunBlocks {
        RunBlocks { width: BLOCK, closed: Vec::new(), open: RunBlock::new(), spent: 0.0 }
    }
}

impl RunBlocks {
    /// How long they are.
    #[must_use]
    pub const fn width(&self) -> Span {
        self.width
    }

    /// Those that are over, from time zero on.
    #[must_use]
    pub fn closed(&self) -> &[RunBlock] {
        &self.closed
    }

    /// When the open one is over.
    #[must_use]
    pub fn due(&self) -> Time {
        Time(self.width.0 * (self.closed.len() as u64 + 1))
    }

    /// Hears an event; those of a block come before it is closed.
    pub fn hear(&mut self, now: Time, event: &Event) {
        let Event::Settled(settled) = event else { return };
        match settled.fate {
            Fate::Completed => {
                let micros = now.since(settled.arrived).micros().min(MICROS_MAX);
                self.open.latency.record(micros).expect("it grows as needed");
            }
            Fate::Cancelled => {}
            _ => self.open.failed += 1,
        }
    }

    /// The open block is over; `spent` dollars have been spent in all.
    pub fn close(&mut self, spent: f64) {
        let mut block = std::mem::replace(&mut self.open, RunBlock::new());
        block.spent = spent - self.spent;
        self.spent = spent;
        self.closed.push(block);
        if self.closed.len() == BLOCKS_MAX {
            let pairs = self.closed.chunks(2);
            self.closed = pairs
                .map(|pair| {
                    let mut one = pair[0].clone();
                    pair[1..].iter().for_each(|other| one.add(other));
                    one
                })
                .collect();
            self.width = Span(self.width.0 * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_become_one_and_nothing_is_lost() {
        let mut blocks = RunBlocks::default();
        let mut spent = 0.0;
        for number in 0..BLOCKS_MAX as u64 - 1 {
            let due = Time(BLOCK.0 * (number + 1));
            assert_eq!(blocks.due(), due);
            blocks.open.latency.record(1_000).expect("it grows");
            blocks.open.failed += number % 2;
            spent += 0.5;
            blocks.close(spent);
        }
        assert_eq!((blocks.closed().len(), blocks.width()), (BLOCKS_MAX - 1, BLOCK));
        spent += 0.5;
        blocks.close(spent);
        assert_eq!((blocks.closed().len(), blocks.width()), (BLOCKS_MAX / 2, Span(BLOCK.0 * 2)));
        let ended: u64 = blocks.closed().iter().map(RunBlock::ended).sum();
        let all: f64 = blocks.closed().iter().map(|block| block.spent).sum();
        assert_eq!(ended, BLOCKS_MAX as u64 - 1 + (BLOCKS_MAX as u64 - 1) / 2);
        assert!((all - spent).abs() < 1e-9);
        assert_eq!(blocks.due(), Time(BLOCK.0 * 2 * (BLOCKS_MAX as u64 / 2 + 1)));
    }
}
