//! What goes over the wire: the shapes of the OpenAI protocol, and the headers of our own.

pub mod answer;
pub mod anthropic;
pub(in crate::live) mod json;
pub mod openai;
pub mod operation;
pub mod refusal;
pub mod sse;
pub(in crate::live) mod usage;

/// Tokens of the prompt, exactly. For servers that would have to estimate them otherwise.
pub const INPUT_TOKENS: &str = "x-plimsoll-input-tokens";
/// Tokens the answer will have, exactly.
pub const OUTPUT_TOKENS: &str = "x-plimsoll-output-tokens";
/// What seeds the draws of a mock node for this request: [`crate::workload::Truth`]'s key.
pub const KEY: &str = "x-plimsoll-key";
/// Which try of its request this is, from zero.
pub const ORDINAL: &str = "x-plimsoll-ordinal";
/// The name of the mock node that answers.
pub const NODE: &str = "x-plimsoll-node";

/// Bytes of text that stand for one token where nothing better is known.
const BYTES_PER_TOKEN: u64 = 4;

/// Estimates the tokens of a text: one for every four bytes, rounded up. English prose has about
/// so many under the common tokenizers; code and other scripts have more.
#[must_use]
pub const fn estimate_tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_are_a_token() {
        assert_eq!(estimate_tokens(""), 0);
        assert_eq!(estimate_tokens("ship"), 1);
        assert_eq!(estimate_tokens("ships"), 2);
    }
}
