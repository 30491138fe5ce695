//! What only the executor knows of a request under way: its truth, its prompt and its way.

use crate::balance::Attempt;
use crate::node::{Blocks, Work};
use crate::unit::{ClassId, Span, Tokens};
use crate::workload::Truth;

/// A request under way, as only the executor knows it.
#[derive(Clone, Debug)]
pub(super) struct SimRequest {
    pub(super) prompt: Tokens,
    pub(super) class: ClassId,
    pub(super) truth: Truth,
    /// Chained hashes of its prompt, kept only where some node asks for them.
    pub(super) prefix: Box<[u64]>,
    /// Tokens that a hash stands for.
    pub(super) prefix_block: u32,
    /// How long it is under way to the balancer.
    pub(super) way: Span,
    /// Attempts dispatched; counted only while an oracle watches.
    pub(super) dispatched: u8,
}

impl SimRequest {
    /// Returns the beginning of its prompt, as far as it is known.
    pub(super) fn blocks(&self) -> Blocks<'_> {
        Blocks { hashes: &self.prefix, tokens: self.prefix_block, text: self.truth.text }
    }

    /// Returns what a node would get with this attempt, sent alone and for the whole answer.
    pub(super) fn work(&self, attempt: Attempt) -> Work {
        Work { attempt, prompt: self.prompt, truth: self.truth, batch: None }
    }
}
