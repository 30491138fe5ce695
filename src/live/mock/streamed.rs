//! The words of a mock node: as many as its answer has tokens, in a stream as they come.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::answer::{MockAttempt, MockJob};
use crate::balance::{Failure, Outcome};
use crate::live::wire::openai::{DONE, Head, UsageBody};

/// An event has at most so many tokens, so that clients with a limit on events read it.
const EVENT_TOKENS: u64 = 1_024;
/// What was said before a stream breaks has so long to leave.
const BREAK_AFTER: Duration = Duration::from_millis(20);

/// What the mock says: words of four bytes with their blank, so that each is one token by
/// [`crate::live::wire::estimate_tokens`] too.
const WORDS: &str = "the sea was low and the old man sat mid the bay for one day and ";
const WORD_BYTES: usize = 4;

/// Appends the words from number `from` to before number `to`.
pub(super) fn say(out: &mut String, from: u64, to: u64) {
    let words = (WORDS.len() / WORD_BYTES) as u64;
    let mut at = from;
    while at < to {
        let first = (at % words) as usize;
        let count = (words - first as u64).min(to - at) as usize;
        out.push_str(&WORDS[first * WORD_BYTES..(first + count) * WORD_BYTES]);
        at += count as u64;
    }
}

/// A streamed answer on its way.
pub(super) struct StreamedAnswer {
    ticket: MockAttempt,
    job: MockJob,
    head: Head,
    /// Whether the client asked for the usage.
    usage: bool,
    /// Words sent.
    sent: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
/// How far a stream has come.
enum Stage {
    Begin,
    Words,
    Over,
}

impl StreamedAnswer {
    pub(super) const fn new(
        ticket: MockAttempt,
        job: MockJob,
        head: Head,
        usage: bool,
    ) -> StreamedAnswer {
        StreamedAnswer { ticket, job, head, usage, sent: 0, stage: Stage::Begin }
    }

    /// Makes the next events: the words that have come, and at the end the rest and the terminal
    /// events. A stream that was cut short is broken off, never ended.
    pub(super) async fn next(mut self) -> io::Result<Option<(Bytes, StreamedAnswer)>> {
        if self.stage == Stage::Over {
            return Ok(None);
        }
        let sent = self.sent;
        let progress =
            self.ticket.wait(|progress| progress.end.is_some() || progress.came.0 > sent).await;
        let progress = progress.ok_or_else(|| io::Error::other("the mock was started anew"))?;
        let mut out = Vec::new();
        if self.stage == Stage::Begin {
            self.head.write_role(&mut out);
            self.stage = Stage::Words;
        }
        match progress.end {
            None => self.words(&mut out, progress.came.0),
            Some(Outcome::Done(used)) => {
                self.words(&mut out, used.output.0);
                self.head.write_finish(&mut out, self.job.finish_reason(used.output));
                if self.usage {
                    self.head.write_usage(&mut out, UsageBody::from(used));
                }
                out.extend_from_slice(DONE.as_bytes());
                self.stage = Stage::Over;
            }
            // The words before it first.
            Some(Outcome::Failed(_, used)) if used.output.0 > self.sent => {
                self.words(&mut out, used.output.0);
            }
            // Ends as if it were over, without its last events.
            Some(Outcome::Failed(Failure::Malformed, _)) => return Ok(None),
            Some(_) => {
                // If it crashed, the connection is being reset.
                sleep(BREAK_AFTER).await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        Ok(Some((out.into(), self)))
    }

    fn words(&mut self, out: &mut Vec<u8>, until: u64) {
        let mut content = String::new();
        while self.sent < until {
            let to = until.min(self.sent + EVENT_TOKENS);
            content.clear();
            say(&mut content, self.sent, to);
            self.head.write_content(out, &content);
            self.sent = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::wire::estimate_tokens;

    #[test]
    fn every_word_is_a_token_wherever_one_begins() {
        for (from, to) in [(0, 1), (3, 40), (15, 17), (16, 16), (31, 1_000)] {
            let mut text = String::new();
            say(&mut text, from, to);
            assert_eq!(estimate_tokens(&text), to - from);
            assert_eq!(text.split_whitespace().count() as u64, to - from);
        }
    }
}
