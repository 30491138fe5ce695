//! Engines by name: `model/gpu/engine`, such as `llama-3.1-8b/h100/vllm`.
//!
//! A profile is a whole engine; fields that stand beside its name in a scenario take the place of
//! its own.

use crate::node::engine::{Law, Spec};

/// The names of all profiles.
pub const PROFILES: &[&str] = &["llama-3.1-8b/h100/vllm"];

/// Returns the engine of this name.
#[must_use]
pub fn profile(name: &str) -> Option<Spec> {
    // Llama-3.1-8B on an H100 SXM with vLLM 0.27, fitted to AIConfigurator 0.12 (decode 2.9 %,
    // prefill 3.7 % off in the mean). 80 GB without 16 GB of weights hold about 0.5 M tokens of
    // 131 kB.
    let law = Law { f: 6.535, p1: 20.42, p2: 0.806, d1: 0.0093, d2: 0.0414, moe: None };
    (name == "llama-3.1-8b/h100/vllm").then(|| Spec::new(law, 480_000))
}
