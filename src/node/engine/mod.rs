//! A self-hosted engine with continuous batching.

#[cfg_attr(not(test), expect(dead_code, reason = "the engine itself comes next"))]
mod spec;

pub use spec::{
    BLOCK_DEFAULT, BLOCK_MAX, COEFFICIENT_MAX, EXPERTS_MAX, KV_TOKENS_MAX, Law, Moe, Overhead,
    SCALE_MAX, SEQS_DEFAULT, SEQS_MAX, STEP_MIN, STEP_TOKENS_DEFAULT, STEP_TOKENS_MAX, Spec,
    SpecError,
};
