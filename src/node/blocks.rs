//! What is known of the text of a prompt: the hashes of its blocks.

use crate::workload::chained;

/// What is known of the beginning of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks<'a> {
    /// Chained hashes of its blocks; see [`Request::prefix`](crate::balance::Request).
    pub hashes: &'a [u64],
    /// Tokens that a hash stands for; zero where there is none.
    pub tokens: u32,
    /// What its answer goes on with; see [`Truth::text`](crate::workload::Truth).
    pub text: Option<u64>,
}

impl<'a> Blocks<'a> {
    /// Returns the hashes of the prompt, and behind them those of its answer without end, where it is known
    /// what it says.
    pub fn chain(self) -> impl Iterator<Item = u64> + 'a {
        let first = self.hashes.len() as u64;
        let last = self.hashes.last().copied();
        let answer = self.text.zip(last).into_iter().flat_map(move |(text, last)| {
            let (mut place, mut before) = (first, last);
            std::iter::from_fn(move || {
                before = chained(before, text, place);
                place += 1;
                Some(before)
            })
        });
        self.hashes.iter().copied().chain(answer)
    }
}
