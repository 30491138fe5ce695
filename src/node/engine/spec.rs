//! What a self-hosted engine is made of: its timing law, its limits, and what they cost.
//!
//! For one engine step with `new` prefill tokens, attention work `A = Σ new·(before + new/2)` and
//! `B` decoding requests that read `K` tokens of KV cache:
//!
//! ```text
//! L    = p1·new + p2·A
//! step = scale · ( sqrt(f² + L²) + d1·B + d2·K )
//! ```
//!
//! `f` is the reading of the weights and the launches, behind which a small prefill hides; the root
//! is a soft maximum. Fitted to AIConfigurator's tables the law is off by 2 to 4 % in decode and 3 to
//! 8 % in prefill for dense models (mean relative error). With experts it gets one term more, see
//! [`Moe`]. Tensor parallelism, quantisation and engine versions are other coefficients, not other
//! terms. This file never keeps state.

use std::fmt;

use crate::node::MeanWork;

/// Coefficients go so far, in milliseconds.
pub const COEFFICIENT_MAX: f64 = 1e6;
/// The scale goes so far.
pub const SCALE_MAX: f64 = 1e6;
/// A decode step takes at least so long, in milliseconds: a run has to come to an end.
pub const STEP_MIN: f64 = 1e-3;
/// Requests in one step go so far.
pub const SEQS_MAX: u32 = 1 << 20;
/// Tokens in one step go so far.
pub const STEP_TOKENS_MAX: u32 = 1 << 24;
/// The KV cache holds at most so many tokens.
pub const KV_TOKENS_MAX: u64 = 1 << 40;
/// A block of the KV cache holds at most so many tokens.
pub const BLOCK_MAX: u32 = 1 << 16;
/// A model has at most so many experts.
pub const EXPERTS_MAX: u32 = 1 << 16;

/// Tokens of a KV block that is not told, as in vLLM.
pub const BLOCK_DEFAULT: u32 = 16;
/// Requests in one step where it is not told, as in vLLM.
pub const SEQS_DEFAULT: u32 = 256;
/// Tokens in one step where it is not told, as in vLLM on large GPUs.
pub const STEP_TOKENS_DEFAULT: u32 = 8_192;

/// How long a step takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepLaw {
    /// Reading the weights and launching, ms.
    pub f: f64,
    /// Prefill, ms per 1,000 tokens.
    pub p1: f64,
    /// Attention of prefill, ms per million token².
    pub p2: f64,
    /// Decode, ms per request in the step.
    pub d1: f64,
    /// Decode, ms per 1,000 KV tokens that are read.
    pub d2: f64,
    /// For mixtures of experts.
    pub moe: Option<Moe>,
}

/// What a mixture of experts adds: a step reads the weights of the experts that its requests touch,
/// `d3 · (1 − (1 − active/experts)^B)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moe {
    /// Reading the weights of all experts, ms.
    pub d3: f64,
    /// Experts of a layer.
    pub experts: u32,
    /// Those of them that a token uses; at most `experts`.
    pub active: u32,
    /// If given, a step with prefill costs `p0 + L` (ms) instead of `sqrt(f² + L²)`, and no `d3`:
    /// a prefill touches nearly all experts, so nothing of it hides.
    pub p0: Option<f64>,
}

/// What a request costs beside steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overhead {
    /// Before it is queued, ms.
    pub a0: f64,
    /// After each of its tokens was made, ms.
    pub a1: f64,
    /// After its n-th token was made, n times so many ms.
    pub a2: f64,
}

/// A self-hosted engine with continuous batching.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineSpec {
    /// How long a step takes.
    pub law: StepLaw,
    /// Every step takes so many times as long: the one factor to calibrate against a measurement.
    pub scale: f64,
    /// Requests in one step at most; at least one.
    pub max_seqs: u32,
    /// Tokens in one step at most: one for each decoding request, the rest for prefill, which is cut
    /// into chunks to fit. At least `max_seqs`, so that prefill always goes on.
    pub step_tokens: u32,
    /// Tokens that the KV cache holds; whole blocks of them are used.
    pub kv_tokens: u64,
    /// Tokens of a KV block.
    pub block: u32,
    /// Whether blocks of prompts are kept for others with the same beginning.
    pub prefix_cache: bool,
    /// What a request costs beside steps.
    pub overhead: Overhead,
}

/// Why a spec cannot be: which field, and what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The field, as scenarios call it: `d1`, `kv_tokens`.
    pub field: &'static str,
    /// What it has to be.
    pub wanted: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` must be {}", self.field, self.wanted)
    }
}

impl std::error::Error for SpecError {}

impl EngineSpec {
    /// An engine with this law and room for so many tokens; everything else as usual: one scale, 256
    /// requests and 8,192 tokens a step, blocks of 16 tokens, prefix cache on, no overhead.
    #[must_use]
    pub fn new(law: StepLaw, kv_tokens: u64) -> EngineSpec {
        EngineSpec {
            law,
            scale: 1.0,
            max_seqs: SEQS_DEFAULT,
            step_tokens: STEP_TOKENS_DEFAULT,
            kv_tokens,
            block: BLOCK_DEFAULT,
            prefix_cache: true,
            overhead: Overhead::default(),
        }
    }

    /// Returns the spec if it can be.
    ///
    /// # Errors
    /// The first field that is out of its bounds, and what it has to be.
    pub fn checked(self) -> Result<EngineSpec, SpecError> {
        let wrong = |field, wanted: String| Err(SpecError { field, wanted });
        let StepLaw { f, p1, p2, d1, d2, moe } = self.law;
        let Overhead { a0, a1, a2 } = self.overhead;
        let (d3, p0) = moe.map_or((0.0, 0.0), |moe| (moe.d3, moe.p0.unwrap_or(0.0)));
        let all = [
            ("f", f),
            ("p1", p1),
            ("p2", p2),
            ("d1", d1),
            ("d2", d2),
            ("d3", d3),
            ("p0", p0),
            ("a0", a0),
            ("a1", a1),
            ("a2", a2),
        ];
        for (field, value) in all {
            if !(0.0..=COEFFICIENT_MAX).contains(&value) {
                return wrong(field, format!("from 0 to {COEFFICIENT_MAX} ms"));
            }
        }
        if !(self.scale > 0.0 && self.scale <= SCALE_MAX) {
            return wrong("scale", format!("above 0, at most {SCALE_MAX}"));
        }
        if (f + d1) * self.scale < STEP_MIN {
            return wrong("f", format!("large enough: a step takes at least {STEP_MIN} ms"));
        }
        if let Some(moe) = moe {
            if !(1..=EXPERTS_MAX).contains(&moe.experts) {
                return wrong("experts", format!("from 1 to {EXPERTS_MAX}"));
            }
            if !(1..=moe.experts).contains(&moe.active) {
                return wrong(
                    "active",
                    format!("from 1 to {}, the number of experts", moe.experts),
                );
            }
        }
        if !(1..=SEQS_MAX).contains(&self.max_seqs) {
            return wrong("max_seqs", format!("from 1 to {SEQS_MAX}"));
        }
        if !(self.max_seqs..=STEP_TOKENS_MAX).contains(&self.step_tokens) {
            let wanted = format!(
                "from {} (`max_seqs`: each request gets a token a step) to {STEP_TOKENS_MAX}",
                self.max_seqs
            );
            return wrong("step_tokens", wanted);
        }
        if !(1..=BLOCK_MAX).contains(&self.block) {
            return wrong("block", format!("from 1 to {BLOCK_MAX} tokens"));
        }
        if !(u64::from(self.block)..=KV_TOKENS_MAX).contains(&self.kv_tokens) {
            return wrong(
                "kv_tokens",
                format!("from {} (one block) to {KV_TOKENS_MAX}", self.block),
            );
        }
        Ok(self)
    }

    /// Returns how many tokens of one request the KV cache holds at most.
    #[must_use]
    pub const fn room(&self) -> u64 {
        self.kv_tokens / self.block as u64 * self.block as u64
    }
}

/// The law with every unit worked in: nanoseconds a token, request or step.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepCosts {
    f: f64,
    p0: Option<f64>,
    p1: f64,
    p2: f64,
    d1: f64,
    d2: f64,
    d3: f64,
    /// The share of experts that one request leaves alone.
    cold: f64,
}

/// Returns the seconds of the engine that such a request takes in the mean, where so many are decoded
/// at a time.
pub(in crate::node) fn mean_seconds(spec: &EngineSpec, work: MeanWork, batch: u32) -> f64 {
    let costs = StepCosts::new(spec);
    let kv = (work.prompt + work.output / 2.0) * f64::from(batch);
    let (step, _) = costs.step(Prefill::default(), batch, kv as u64);
    let decode = step * work.output / f64::from(batch);
    // A small prefill hides behind the reading of the weights.
    let mut prefill = Prefill::default();
    prefill.add(work.fresh as u64, 0);
    let (with, _) = costs.step(prefill, batch, kv as u64);
    (decode + (with - step).max(0.0)) / 1e9
}

/// The prefill of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Prefill {
    /// Tokens.
    pub(super) new: u64,
    /// Attention work, token².
    pub(super) work: f64,
}

impl Prefill {
    /// Adds `new` tokens of a request of which `before` tokens have been computed.
    pub(super) fn add(&mut self, new: u64, before: u64) {
        self.new += new;
        self.work += new as f64 * (before as f64 + new as f64 / 2.0);
    }
}

impl StepCosts {
    pub(super) fn new(spec: &EngineSpec) -> StepCosts {
        let StepLaw { f, p1, p2, d1, d2, moe } = spec.law;
        let scale = spec.scale;
        StepCosts {
            f: f * 1e6 * scale,
            p0: moe.and_then(|moe| moe.p0).map(|p0| p0 * 1e6 * scale),
            p1: p1 * 1e3 * scale,
            p2: p2 * scale,
            d1: d1 * 1e6 * scale,
            d2: d2 * 1e3 * scale,
            d3: moe.map_or(0.0, |moe| moe.d3 * 1e6 * scale),
            cold: moe.map_or(1.0, |moe| 1.0 - f64::from(moe.active) / f64::from(moe.experts)),
        }
    }

    /// Returns the time of a step in nanoseconds, and by how much each further step of a run without
    /// prefill takes longer. `batch` requests decode and read `kv` tokens.
    pub(super) fn step(&self, prefill: Prefill, batch: u32, kv: u64) -> (f64, f64) {
        let b = f64::from(batch);
        let experts = || {
            if self.d3 > 0.0 { self.d3 * (1.0 - self.cold.powi(batch as i32)) } else { 0.0 }
        };
        let base = if prefill.new == 0 {
            self.f + experts()
        } else {
            let load = self.p1 * prefill.new as f64 + self.p2 * prefill.work;
            match self.p0 {
                Some(p0) => p0 + load,
                None => self.f.hypot(load) + experts(),
            }
        };
        (base + self.d1 * b + self.d2 * kv as f64, self.d2 * b)
    }
}
