//! A hosted model behind an API: nothing is known of its inside but how it answers.
//!
//! Time to the first token and tokens per second are drawn for each request; then the answer takes
//! `ttft + (tokens - 1) / speed`. Concurrency and requests and tokens a minute are limited as
//! providers do: beyond them the answer is 429 with the time until the bucket has room.

use crate::dist::Dist;

/// A hosted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Seconds to the first token.
    pub ttft: Dist,
    /// Tokens a second after it, in one stream.
    pub tokens_per_second: Dist,
}
