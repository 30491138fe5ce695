//! Built-in profiles of back ends by name: engines such as `llama-3.1-8b/h100/vllm`, hosted models
//! such as `openai/gpt-4o`.
//!
//! They are the figures of `assets/profiles.toml`, each with its source and date. A profile is a whole
//! back end; what stands beside its name in a scenario takes the place of its own. This file only
//! reads them.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::balance::Prices;
use crate::dist::{Dist, DistError};
use crate::node::ApiSpec;
use crate::node::engine::{EngineSpec, Moe, Overhead, StepLaw};
use crate::unit::Price;

/// Everything in the file.
#[derive(Debug, Deserialize)]
pub struct Profiles {
    /// Fits of the timing law to predictions of single steps.
    pub engine: Vec<EngineProfile>,
    /// Fits to measured closed-loop runs.
    pub measured: Vec<MeasuredProfile>,
    /// Hosted models.
    pub hosted: Vec<Hosted>,
}

/// A fit of the timing law; see [`StepLaw`] for the units.
#[derive(Debug, Deserialize)]
pub struct EngineProfile {
    /// `model/gpu/engine`.
    pub name: String,
    /// The model.
    pub model: String,
    /// The kind of GPU.
    pub gpu: String,
    /// How many of them share the model.
    pub tp: u32,
    /// The engine and its version.
    pub engine: String,
    f: f64,
    p1: f64,
    p2: f64,
    d1: f64,
    d2: f64,
    moe: Option<Experts>,
    kv_tokens: u64,
    /// USD an hour for all its GPUs.
    pub hourly_price: f64,
    /// Mean relative error of decode steps.
    pub decode_error: f64,
    /// Mean relative error of prefills.
    pub prefill_error: f64,
    /// Where it comes from.
    pub source: String,
    /// When.
    pub date: String,
}

#[derive(Debug, Deserialize)]
struct Experts {
    d3: f64,
    experts: u32,
    active: u32,
    p0: f64,
}

/// A fit to measured runs: `time per token = f + d1 * concurrency`, first token of a lone request
/// after `a0 + f + d1`.
#[derive(Debug, Deserialize)]
pub struct MeasuredProfile {
    /// `model/gpu/engine-precision/prompt-answer tokens`.
    pub name: String,
    f: f64,
    d1: f64,
    a0: f64,
    /// Streams at a time up to which it was measured.
    pub streams: u32,
    /// Mean relative error of the time per token.
    pub decode_error: f64,
    /// Mean relative error of the time to the first token.
    pub prefill_error: f64,
    /// USD an hour for all its GPUs, where a price is published.
    pub hourly_price: Option<f64>,
    /// When it was measured.
    pub date: String,
}

/// A hosted model.
#[derive(Debug, Deserialize)]
pub struct Hosted {
    /// `provider/model`.
    pub name: String,
    ttft: Ttft,
    tokens_per_second: Speed,
    /// List prices, where published.
    pub price: Option<ListPrice>,
    /// Tokens of the prompts it was measured with.
    pub prompt_tokens: Option<u64>,
    /// A: from raw requests; B: a published measurement with a method; C: quoted.
    pub grade: String,
    /// `assumed` where only a median is published.
    pub spread: Option<String>,
    /// Where it comes from.
    pub source: String,
    /// When.
    pub date: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ttft {
    Lognormal { p50: String, p95: String },
    Mixture { mixture: Vec<ProfilePart> },
}

#[derive(Debug, Deserialize)]
struct ProfilePart {
    weight: f64,
    p50: String,
    p95: String,
}

#[derive(Debug, Deserialize)]
struct Speed {
    p5: f64,
    p50: f64,
}

/// USD per million tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ListPrice {
    /// For tokens of the prompt.
    pub input: f64,
    /// For those of them that were cached, where they cost less.
    pub cached_input: Option<f64>,
    /// For tokens of the answer.
    pub output: f64,
}

/// A back end by name, and what it costs.
#[derive(Clone, Debug)]
pub struct Profile<T> {
    /// How it behaves.
    pub spec: T,
    /// What it charges for tokens, if that is known.
    pub prices: Option<Prices>,
    /// What it costs an hour in USD, if that is known.
    pub hourly: Option<f64>,
}

impl<T> Profile<T> {
    /// A back end of which no price is known.
    pub(super) fn bare(spec: T) -> Profile<T> {
        Profile { spec, prices: None, hourly: None }
    }
}

/// Returns all profiles.
///
/// # Panics
/// If the file that was compiled in is no such file: a test would have told.
#[must_use]
pub fn profiles() -> &'static Profiles {
    static ALL: OnceLock<Profiles> = OnceLock::new();
    ALL.get_or_init(|| {
        toml::from_str(include_str!("../../assets/profiles.toml")).expect("built-in profiles")
    })
}

impl Profiles {
    /// Returns the names of engines.
    pub fn engine_names(&self) -> impl Iterator<Item = &str> + Clone {
        let fitted = self.engine.iter().map(|engine| engine.name.as_str());
        fitted.chain(self.measured.iter().map(|engine| engine.name.as_str()))
    }

    /// Returns the names of hosted models.
    pub fn hosted_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.hosted.iter().map(|model| model.name.as_str())
    }
}

/// Returns the engine of this name.
#[must_use]
pub fn engine(name: &str) -> Option<Profile<EngineSpec>> {
    let all = profiles();
    if let Some(engine) = all.engine.iter().find(|engine| engine.name == name) {
        return Some(Profile {
            spec: engine.spec(),
            prices: None,
            hourly: Some(engine.hourly_price),
        });
    }
    let engine = all.measured.iter().find(|engine| engine.name == name)?;
    Some(Profile { spec: engine.spec(), prices: None, hourly: engine.hourly_price })
}

/// Returns the hosted model of this name.
#[must_use]
pub fn hosted(name: &str) -> Option<Profile<ApiSpec>> {
    let model = profiles().hosted.iter().find(|model| model.name == name)?;
    let prices = model.price.map(|price| Prices {
        input: Price::from_dollars(price.input),
        cached_input: Price::from_dollars(price.cached_input.unwrap_or(price.input)),
        output: Price::from_dollars(price.output),
    });
    Some(Profile { spec: model.spec().ok()?, prices, hourly: None })
}

impl EngineProfile {
    fn spec(&self) -> EngineSpec {
        let moe = self.moe.as_ref().map(|moe| Moe {
            d3: moe.d3,
            experts: moe.experts,
            active: moe.active,
            p0: Some(moe.p0),
        });
        let law = StepLaw { f: self.f, p1: self.p1, p2: self.p2, d1: self.d1, d2: self.d2, moe };
        let (max_seqs, step_tokens) = limits(&self.gpu);
        EngineSpec { max_seqs, step_tokens, ..EngineSpec::new(law, self.kv_tokens) }
    }
}

/// Requests and tokens in one step, as vLLM's server sets them where nobody does: by the memory of the GPU, from
/// 70 GiB on the larger ones, but for the A100 (`vllm/engine/arg_utils.py`).
fn limits(gpu: &str) -> (u32, u32) {
    match gpu {
        "a100" | "a10g" | "l4" | "l40s" => (256, 2_048),
        _ => (1_024, 8_192),
    }
}

/// What a measured engine holds is not known; it was never full at so many tokens a stream.
const KV_TOKENS_A_STREAM: u64 = 131_072;

impl MeasuredProfile {
    fn spec(&self) -> EngineSpec {
        let law = StepLaw { f: self.f, d1: self.d1, ..StepLaw::default() };
        let mut spec = EngineSpec::new(law, u64::from(self.streams) * KV_TOKENS_A_STREAM);
        spec.max_seqs = self.streams;
        spec.prefix_cache = false;
        spec.overhead = Overhead { a0: self.a0, ..Overhead::default() };
        spec
    }
}

impl Hosted {
    fn spec(&self) -> Result<ApiSpec, DistError> {
        let law = |p50: &str, p95: &str| Dist::lognormal_quantiles(seconds(p50), seconds(p95));
        let ttft = match &self.ttft {
            Ttft::Lognormal { p50, p95 } => law(p50, p95)?,
            Ttft::Mixture { mixture } => {
                let parts: Result<Vec<(f64, Dist)>, DistError> = mixture
                    .iter()
                    .map(|part| law(&part.p50, &part.p95).map(|law| (part.weight, law)))
                    .collect();
                Dist::mixture(&parts?)?
            }
        };
        let Speed { p5, p50 } = self.tokens_per_second;
        let tokens_per_second = Dist::lognormal_between(("p5", 0.05, p5), ("p50", 0.50, p50))?;
        Ok(ApiSpec { ttft, tokens_per_second })
    }
}

/// Seconds of a text such as `731ms`; not a number if it is none.
fn seconds(text: &str) -> f64 {
    text.strip_suffix("ms")
        .and_then(|number| number.parse().ok())
        .map_or(f64::NAN, |ms: f64| ms / 1e3)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_profile_is_a_back_end_and_says_where_it_comes_from() {
        let all = profiles();
        let mut names = BTreeSet::new();
        for name in all.engine_names() {
            assert!(names.insert(name), "{name} is there twice");
            let profile = engine(name).expect("it is listed");
            profile.spec.checked().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for name in all.hosted_names() {
            assert!(names.insert(name), "{name} is there twice");
            let profile = hosted(name).unwrap_or_else(|| panic!("{name} has no law"));
            assert!(profile.spec.ttft.mean() > 0.1 && profile.spec.tokens_per_second.mean() > 5.0);
        }
        assert!(
            all.engine.iter().all(|engine| !engine.source.is_empty() && !engine.date.is_empty())
        );
        assert!(all.hosted.iter().all(|model| !model.source.is_empty() && !model.date.is_empty()));
        assert_eq!((all.engine.len(), all.hosted.len()), (15, 35));
    }
}
