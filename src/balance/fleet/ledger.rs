//! The in-flight ledger of a node, and what one attempt has added to it.

use crate::balance::vocabulary::outcome::TOKENS_MAX;
use crate::unit::Tokens;

/// What one attempt has added to its node's ledger: exactly this is taken away when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct Held {
    prompt: Tokens,
    kv: Tokens,
    output: Tokens,
    decoding: bool,
}

/// The in-flight ledger of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Attempts in flight.
    pub requests: u32,
    /// Attempts in flight without a first token yet.
    pub prefilling: u32,
    /// Attempts in flight after their first token.
    pub decoding: u32,
    /// Prompt tokens of attempts without a first token yet.
    pub prompt: Tokens,
    /// Tokens held in the KV cache by attempts in flight, as far as they are known.
    pub kv: Tokens,
    /// Tokens that attempts in flight are still expected to produce.
    pub output: Tokens,
}

impl Ledger {
    pub(super) fn start(&mut self, prompt: Tokens, expected_output: Tokens) -> Held {
        let (prompt, expected_output) = (prompt.min(TOKENS_MAX), expected_output.min(TOKENS_MAX));
        self.requests += 1;
        self.prefilling += 1;
        self.prompt += prompt;
        self.kv += prompt;
        self.output += expected_output;
        Held { prompt, kv: prompt, output: expected_output, decoding: false }
    }

    pub(super) fn first_token(&mut self, held: &mut Held) {
        if !held.decoding {
            held.decoding = true;
            self.prefilling -= 1;
            self.decoding += 1;
            self.prompt -= held.prompt;
        }
    }

    /// `so_far` tokens of the answer have come; `before` had come when last told.
    pub(super) fn tokens(&mut self, held: &mut Held, before: Tokens, so_far: Tokens) {
        let more = so_far.min(TOKENS_MAX).less(before);
        held.kv += more;
        self.kv += more;
        let fewer = more.min(held.output);
        held.output -= fewer;
        self.output -= fewer;
    }

    pub(super) fn end(&mut self, held: &Held) {
        self.requests -= 1;
        if held.decoding {
            self.decoding -= 1;
        } else {
            self.prefilling -= 1;
            self.prompt -= held.prompt;
        }
        self.kv -= held.kv;
        self.output -= held.output;
    }

    /// Adds what one open attempt holds: to recount a ledger from scratch.
    pub(in crate::balance) fn recount(&mut self, held: &Held) {
        self.requests += 1;
        if held.decoding {
            self.decoding += 1;
        } else {
            self.prefilling += 1;
            self.prompt += held.prompt;
        }
        self.kv += held.kv;
        self.output += held.output;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What an attempt added is taken away again, whatever is said of its tokens, and what the
        /// others hold stays.
        #[test]
        fn an_attempt_takes_away_what_it_added(
            attempts in prop::collection::vec((0_u64..1 << 40, 0_u64..1 << 40, any::<bool>()), 1..12),
            words in prop::collection::vec((0_usize..12, 0_u64..1 << 41), 0..40),
        ) {
            let mut ledger = Ledger::default();
            let mut open: Vec<(Held, Tokens, bool)> = attempts
                .iter()
                .map(|(prompt, expected, begins)| {
                    (ledger.start(Tokens(*prompt), Tokens(*expected)), Tokens::ZERO, *begins)
                })
                .collect();
            for (place, so_far) in words {
                let count = open.len();
                let (held, before, begins) = &mut open[place % count];
                if *begins {
                    ledger.first_token(held);
                    ledger.tokens(held, *before, Tokens(so_far));
                    *before = (*before).max(Tokens(so_far).min(TOKENS_MAX));
                }
            }
            while let Some((held, ..)) = open.pop() {
                ledger.end(&held);
                let mut recount = Ledger::default();
                open.iter().for_each(|(held, ..)| recount.recount(held));
                prop_assert_eq!(ledger, recount);
            }
            prop_assert_eq!(ledger, Ledger::default());
        }
    }
}
