//! What an answer says it used, in everybody's dialect.
//!
//! OpenAI counts the tokens of reasoning among those of the answer; xAI and Google beside them, and only
//! the total tells. Cached tokens are part of the prompt's, but for Anthropic, which counts those that were
//! read and written apart. Names as in their references.

use super::json::{at, count, field, is_null};
use crate::balance::Usage;
use crate::unit::Tokens;

/// No context is longer than this; who says so has miscounted.
const CONTEXT_MAX: u64 = 1 << 24;

/// What an answer says it used. It may be said piece by piece: what is absent here may have been said
/// before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::live) struct SaidUsage {
    input: Option<u64>,
    cached: u64,
    /// Of the answer, without what is counted beside it.
    output: Option<u64>,
    /// Tokens of reasoning that are counted beside the answer's.
    beside: u64,
}

impl SaidUsage {
    /// Reads the field `usage`. `None` if nothing of it is a count.
    pub(in crate::live) fn read(usage: Option<&str>) -> Option<SaidUsage> {
        let usage = usage.filter(|usage| !is_null(Some(usage)))?;
        let number = |path: &[&str]| at(usage, path).and_then(count);
        let first = |paths: &[&[&str]]| paths.iter().find_map(|path| number(path));
        let prompt = number(&["prompt_tokens"]);
        let input = prompt.or_else(|| number(&["input_tokens"]));
        let read = number(&["cache_read_input_tokens"]);
        // Whoever has details counts what was cached among the rest.
        let apart = prompt.is_none() && field(usage, "input_tokens_details").is_none();
        let written = number(&["cache_creation_input_tokens"]).filter(|_| apart).unwrap_or(0);
        let more = if apart { read.unwrap_or(0).saturating_add(written) } else { 0 };
        let cached = first(&[
            &["prompt_tokens_details", "cached_tokens"],
            &["input_tokens_details", "cached_tokens"],
            &["prompt_cache_hit_tokens"],
            &["cached_tokens"],
        ]);
        let output = first(&[&["completion_tokens"], &["output_tokens"]]);
        let reasoning = first(&[
            &["completion_tokens_details", "reasoning_tokens"],
            &["output_tokens_details", "reasoning_tokens"],
            &["reasoning_tokens"],
        ]);
        let total = number(&["total_tokens"]);
        // Embeddings have no answer, and some say only the total.
        let input = input.or(total.filter(|_| output.is_none()));
        if input.is_none() && output.is_none() {
            return None;
        }
        Some(SaidUsage {
            input: input.map(|input| input.saturating_add(more)),
            cached: cached.or(read).unwrap_or(0),
            output,
            beside: beside(input, output, reasoning, total),
        })
    }

    /// Adds what is said later of the same answer.
    pub(in crate::live) fn then(self, later: SaidUsage) -> SaidUsage {
        SaidUsage {
            input: later.input.filter(|input| *input > 0).or(self.input),
            cached: later.cached.max(self.cached),
            output: later.output.or(self.output),
            beside: later.beside.max(self.beside),
        }
    }

    /// Returns what is believed of it. `counted` is what can be told without it, and holds where nothing or
    /// nothing possible is said. The answer may have at most `most` tokens and has so many `bytes`, of which
    /// none is more than a token.
    pub(in crate::live) fn believed(
        said: Option<SaidUsage>,
        counted: Usage,
        most: Option<u64>,
        bytes: u64,
    ) -> Usage {
        let said = said.unwrap_or_default();
        // What has no answer that is counted has said all with its prompt.
        let told =
            said.input.is_some() && (said.output.is_some() || counted.output == Tokens::ZERO);
        let possible = |count: u64| (count <= CONTEXT_MAX).then_some(count);
        let input = said.input.and_then(possible).unwrap_or(counted.input.0);
        let output = match most {
            // Who pays no heed to the limit says more than it, and has more to show.
            Some(most) => said.output.map(|output| output.min(most.max(bytes))),
            None => said.output,
        };
        let output = output.and_then(possible).unwrap_or(counted.output.0);
        let beside = possible(said.beside).unwrap_or(0);
        Usage {
            input: Tokens(input),
            cached: Tokens(said.cached.min(input)),
            output: Tokens(output.saturating_add(beside)),
            estimated: !told,
        }
    }
}

/// Returns how many tokens of reasoning are counted beside those of the answer: what is left of the total,
/// or those that cannot be among the answer's.
fn beside(
    input: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    total: Option<u64>,
) -> u64 {
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let left = total.map(|total| total.saturating_sub(input).saturating_sub(output));
    match (reasoning, left) {
        (Some(reasoning), Some(left)) => left.min(reasoning),
        (Some(reasoning), None) if reasoning > output => reasoning,
        // The total counts what nothing else does.
        (None, Some(left)) if output > 0 => left,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, cached and output as they are believed.
    fn read(usage: &str, most: Option<u64>) -> [u64; 3] {
        let counted =
            Usage { input: Tokens(7), cached: Tokens::ZERO, output: Tokens(5), estimated: false };
        let said = SaidUsage::read(Some(usage));
        let usage = SaidUsage::believed(said, counted, most, 40);
        [usage.input.0, usage.cached.0, usage.output.0]
    }

    #[test]
    fn every_dialect_is_read() {
        for (dialect, usage, expected) in [
            (
                "openai",
                r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":40,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":20}}"#,
                [10, 4, 30],
            ),
            (
                "responses",
                r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":40}"#,
                [10, 4, 30],
            ),
            (
                "xai",
                r#"{"prompt_tokens":10,"completion_tokens":3,"total_tokens":33,"completion_tokens_details":{"reasoning_tokens":20}}"#,
                [10, 0, 23],
            ),
            (
                "google",
                r#"{"prompt_tokens":10,"completion_tokens":3,"total_tokens":33}"#,
                [10, 0, 23],
            ),
            (
                "beside, without a total",
                r#"{"prompt_tokens":10,"completion_tokens":3,"reasoning_tokens":20}"#,
                [10, 0, 23],
            ),
            (
                "deepseek",
                r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}"#,
                [10, 6, 3],
            ),
            (
                "anthropic",
                r#"{"input_tokens":10,"cache_read_input_tokens":90,"cache_creation_input_tokens":5,"output_tokens":3}"#,
                [105, 90, 3],
            ),
            (
                "a proxy",
                r#"{"prompt_tokens":105,"completion_tokens":3,"cache_read_input_tokens":90,"cache_creation_input_tokens":5}"#,
                [105, 90, 3],
            ),
            (
                "moonshot",
                r#"{"prompt_tokens":10,"completion_tokens":3,"cached_tokens":2}"#,
                [10, 2, 3],
            ),
            ("embeddings", r#"{"prompt_tokens":8,"total_tokens":8}"#, [8, 0, 5]),
        ] {
            assert_eq!(read(usage, None), expected, "{dialect}");
        }
    }

    #[test]
    fn what_lies_is_clamped_by_what_is_possible() {
        let counted = [7, 0, 5];
        for absent in ["null", "[]", "{}", "\"x\"", r#"{"prompt_tokens":"x"}"#] {
            assert_eq!(read(absent, None), counted, "{absent}");
        }
        let absurd = r#"{"prompt_tokens":4294967295,"completion_tokens":4294967295}"#;
        assert_eq!(read(absurd, None), counted);
        assert_eq!(read(absurd, Some(100)), [7, 0, 100]);
        let over = r#"{"prompt_tokens":10,"completion_tokens":30}"#;
        assert_eq!(read(over, Some(20)), [10, 0, 30], "there is as much to show");
        let negative = r#"{"prompt_tokens":-4,"completion_tokens":3}"#;
        assert_eq!(read(negative, None), [0, 0, 3]);
        let cached = r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":99}}"#;
        assert_eq!(read(cached, None), [10, 10, 3], "no more is cached than there is");
        assert_eq!(read(r#"{"prompt_tokens":1e300,"completion_tokens":3}"#, None), [7, 0, 3]);
        let beside = r#"{"prompt_tokens":1,"completion_tokens":3,"total_tokens":9999999999,"reasoning_tokens":9999999999}"#;
        assert_eq!(read(beside, None), [1, 0, 3]);
    }

    #[test]
    fn what_is_said_piece_by_piece_adds_up() {
        let of = |usage| SaidUsage::read(Some(usage)).expect("usage");
        let start = of(r#"{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":1}"#);
        let end = of(r#"{"output_tokens":30}"#);
        let usage = SaidUsage::believed(Some(start.then(end)), Usage::NONE, None, 0);
        assert_eq!((usage.input.0, usage.cached.0, usage.output.0), (14, 4, 30));
    }
}
