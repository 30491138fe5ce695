//! Conversations that are made up: each turn sends all that was said before and something new.
//!
//! A prompt is the system's part (shared by all conversations of a class), every earlier prompt and
//! answer, and fresh tokens drawn by the class's law of prompts. Its prefix hashes stand for blocks
//! of [`BLOCK`] tokens of this growing text, whole blocks only: so they begin alike in all turns,
//! and those inside of the system's part alike in all conversations of the class.
//!
//! Everything drawn comes from generators of the conversation itself, turn by turn: what it says
//! does not depend on how its requests fare. A turn that failed counts as said and answered.

use super::chained;
use super::length::{LENGTH_MAX, Mix, Prefix, RequestDraft};
use crate::dist::Dist;
use crate::rng::{Rng, mix};
use crate::unit::{TenantId, Tokens};

/// Tokens a prefix hash stands for.
pub const BLOCK: u32 = 64;

/// A conversation has at most so many turns.
pub const TURNS_MAX: u64 = 100_000;

/// Tokens a prompt has at most, where a scenario does not say.
pub const CONTEXT_DEFAULT: u64 = 131_072;

/// Conversations as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSpec {
    /// How many requests one has; rounded, at least one, at most [`TURNS_MAX`].
    pub turns: Dist,
    /// Seconds between an answer and the next request.
    pub think: Dist,
    /// Tokens with which every prompt of a class begins.
    pub system: u64,
    /// A conversation ends before a prompt becomes longer than this.
    pub context_max: u64,
}

/// A conversation under way.
#[derive(Debug)]
pub(super) struct Chat {
    rng: Rng,
    class: usize,
    tenant: TenantId,
    number: u64,
    key: u64,
    /// Turns begun, and turns in all.
    turn: u64,
    turns: u64,
    /// Tokens of the prompt of this turn, and of its answer.
    prompt: u64,
    output: Tokens,
    /// Of the prompt so far.
    hashes: Vec<u64>,
}

impl Chat {
    /// Begins a conversation with its first turn. `key` makes it what it is.
    pub(super) fn begin(spec: &SessionSpec, number: u64, key: u64, requests: &Mix) -> Chat {
        let mut rng = Rng::from_key(mix(key, 0));
        let (class, tenant) = requests.cast(&mut rng, &mut Rng::from_key(mix(key, 1)));
        let turns = (spec.turns.sample(&mut rng).round() as u64).clamp(1, TURNS_MAX);
        let mut chat = Chat {
            rng,
            class,
            tenant,
            number,
            key,
            turn: 0,
            turns,
            prompt: spec.system,
            output: Tokens(0),
            hashes: Vec::new(),
        };
        let fresh = chat.draw(requests);
        chat.say(spec, (spec.system + fresh).min(spec.context_max));
        chat
    }

    /// Goes on to the next turn; returns how many seconds after the answer it comes. `None` if
    /// the conversation is over.
    pub(super) fn go_on(&mut self, spec: &SessionSpec, requests: &Mix) -> Option<f64> {
        if self.turn >= self.turns {
            return None;
        }
        let said = self.prompt.saturating_add(self.output.0);
        let think = spec.think.sample(&mut self.rng);
        let prompt = said.saturating_add(self.draw(requests));
        if prompt > spec.context_max.min(LENGTH_MAX) {
            self.turns = self.turn;
            return None;
        }
        self.say(spec, prompt);
        Some(think)
    }

    /// Draws the fresh tokens of a turn and its answer.
    fn draw(&mut self, requests: &Mix) -> u64 {
        let (fresh, output) = requests.lengths(self.class, &mut self.rng);
        self.output = output;
        fresh.0
    }

    fn say(&mut self, spec: &SessionSpec, prompt: u64) {
        self.turn += 1;
        self.prompt = prompt;
        let block = u64::from(BLOCK);
        for place in self.hashes.len() as u64..prompt / block {
            // Text shared by the class, or of this conversation alone.
            let shared = (place + 1) * block <= spec.system;
            let text = if shared { mix(self.class as u64, 2) } else { self.text() };
            let before = self.hashes.last().copied().unwrap_or_default();
            self.hashes.push(chained(before, text, place));
        }
    }

    /// What stands for everything that is said in it.
    fn text(&self) -> u64 {
        mix(self.key, 3)
    }

    /// The request of this turn.
    pub(super) fn request(&self) -> RequestDraft {
        RequestDraft {
            prompt: Some(Tokens(self.prompt)),
            output: Some(self.output),
            prefix: Prefix { hashes: self.hashes.as_slice().into(), block: BLOCK },
            class: Some(self.class),
            tenant: Some(self.tenant),
            session: Some(self.number),
            content: None,
            text: Some(self.text()),
            key: Some(mix(self.key, 3 + self.turn)),
        }
    }
}
