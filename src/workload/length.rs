//! Classes of requests and the lengths they draw.
//!
//! Each class has a share of the traffic and its own token lengths. Which class a request belongs
//! to and how long it is come from two streams, so changing a length law moves no class.

use crate::balance::{Priority, Request};
use crate::dist::Dist;
use crate::rng::{Rng, mix};
use crate::unit::{ClassId, RequestId, Span, Time, Tokens};

use super::{Arrival, Truth};

/// Lengths beyond this are cut: no model has a context so long.
pub const LENGTH_MAX: u64 = 16_777_216;

/// A class of requests as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSpec {
    /// Its name.
    pub name: String,
    /// Its share of the traffic, relative to the other classes. Above zero for at least one.
    pub share: f64,
    /// How much its requests matter.
    pub priority: Priority,
    /// Tokens of the prompt.
    pub prompt: Dist,
    /// Tokens of the answer.
    pub output: Dist,
    /// How long after arrival an answer stops being useful.
    pub deadline: Option<Span>,
}

/// What is known of a prompt's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// Chained hashes of its blocks.
    pub hashes: Box<[u64]>,
    /// Tokens a hash stands for; without meaning where there is no hash.
    pub block: u32,
}

/// Turns points in time into requests: draws class, lengths and key, and numbers them.
#[derive(Clone, Debug)]
pub struct Mix {
    classes: Vec<ClassSpec>,
    /// Cumulated shares; the last is the total.
    shares: Vec<f64>,
    class_rng: Rng,
    length_rng: Rng,
    seed: u64,
    next: u64,
}

impl Mix {
    /// A mix of these classes.
    ///
    /// # Panics
    /// If there is no class or no share above zero.
    #[must_use]
    pub fn new(classes: Vec<ClassSpec>, seed: u64) -> Mix {
        let shares: Vec<f64> = classes
            .iter()
            .scan(0.0, |sum, class| {
                *sum += class.share;
                Some(*sum)
            })
            .collect();
        assert!(shares.last().is_some_and(|total| *total > 0.0), "some class has a share");
        Mix {
            classes,
            shares,
            class_rng: Rng::stream(seed, "classes"),
            length_rng: Rng::stream(seed, "lengths"),
            seed: Rng::stream(seed, "truth").bits(),
            next: 0,
        }
    }

    /// Makes the next request, of drawn lengths.
    pub fn draw(&mut self, at: Time) -> Arrival {
        let class = self.class();
        let prompt = length(&self.classes[class].prompt, &mut self.length_rng);
        let output = length(&self.classes[class].output, &mut self.length_rng);
        self.make(at, class, prompt, output, Prefix::default())
    }

    /// Makes the next request, of given lengths; the class is drawn.
    pub fn given(&mut self, at: Time, prompt: Tokens, output: Tokens, prefix: Prefix) -> Arrival {
        let class = self.class();
        self.make(at, class, prompt, output, prefix)
    }

    fn class(&mut self) -> usize {
        if self.classes.len() == 1 {
            return 0;
        }
        let point = self.class_rng.unit() * self.shares[self.shares.len() - 1];
        self.shares.partition_point(|&sum| sum <= point).min(self.shares.len() - 1)
    }

    fn make(
        &mut self,
        at: Time,
        class: usize,
        prompt: Tokens,
        output: Tokens,
        prefix: Prefix,
    ) -> Arrival {
        let id = self.next;
        self.next += 1;
        let spec = &self.classes[class];
        let request = Request {
            deadline: spec.deadline.map_or(Time::MAX, |deadline| at + deadline),
            class: ClassId(class as u16),
            priority: spec.priority,
            prompt,
            prefix_block: if prefix.hashes.is_empty() { 0 } else { prefix.block },
            prefix: prefix.hashes,
            ..Request::new(RequestId(id), at)
        };
        let output = Tokens(output.0.max(1));
        Arrival { at, request, truth: Truth { output, key: mix(self.seed, id) } }
    }
}

/// Draws a number of tokens: rounded, at least one, at most [`LENGTH_MAX`].
fn length(law: &Dist, rng: &mut Rng) -> Tokens {
    Tokens((law.sample(rng).round() as u64).clamp(1, LENGTH_MAX))
}
