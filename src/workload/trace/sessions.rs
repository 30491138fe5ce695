//! Recorded sessions of coding agents: one session a line, as JSON.
//!
//! Source: the Claude Code sessions of kv-cache-tester (callanjfox, Apache-2.0). A session has
//! `requests`, each with `t` (s since the session began), `in` and `out` (tokens), `hash_ids` (one
//! for each `block_size` tokens of the prompt), `think_time` (s between the answer before and this
//! request) and `api_time` (s the answer took). An entry of type `subagent` has requests of its
//! own, at times since it began: another line of requests beside the main one. Ids are comparable
//! inside a session only, so no prefix is shared between sessions. Names of models and other keys
//! are left alone.
//!
//! The file says nothing about when sessions begin; that is up to `workload::closed`. One session
//! is held at a time here, with what its prompts share said once.

use std::io::BufRead;

use serde::Deserialize;

use super::lines::LineReader;
use super::mooncake::flaw;
use super::{ERRORS_MAX, Flaw, TraceError, TraceScale, not_text, stretched, tokens_in_range};
use crate::unit::{Span, Tokens};

/// Tokens an id stands for, where the session does not say.
const BLOCK: u32 = 64;

/// Tokens an id may stand for at most.
const BLOCK_MAX: u32 = 65_536;

/// Seconds beyond this (a year) are no time inside a session.
const SECONDS_MAX: f64 = 3.2e7;

#[derive(Deserialize)]
struct Session {
    #[serde(default = "block")]
    block_size: u32,
    requests: Vec<SessionEntry>,
}

const fn block() -> u32 {
    BLOCK
}

#[derive(Deserialize)]
struct SessionEntry {
    t: f64,
    #[serde(rename = "type")]
    kind: EntryKind,
    #[serde(rename = "in", default)]
    input: u64,
    #[serde(default)]
    out: u64,
    #[serde(default)]
    hash_ids: Vec<u32>,
    think_time: Option<f64>,
    api_time: Option<f64>,
    #[serde(default)]
    requests: Vec<SessionEntry>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum EntryKind {
    N,
    S,
    Subagent,
}

/// A session as recorded, stretched as asked for.
#[derive(Debug)]
pub(in crate::workload) struct Recorded {
    /// Its number in the file, from zero.
    pub(in crate::workload) number: u64,
    /// Tokens a prefix hash stands for.
    pub(in crate::workload) block: u32,
    /// The main line; at least one request.
    pub(in crate::workload) steps: Vec<RecordedStep>,
    /// Lines of requests beside it.
    pub(in crate::workload) agents: Vec<Agent>,
}

/// A request of a session.
#[derive(Debug)]
pub(in crate::workload) struct RecordedStep {
    /// When it was sent, since the session (or the agent) began.
    pub(in crate::workload) at: Span,
    /// How long after the answer before.
    pub(in crate::workload) think: Span,
    pub(in crate::workload) prompt: Tokens,
    pub(in crate::workload) output: Tokens,
    /// So many ids of the prompt are those of the request before it in this line.
    pub(in crate::workload) shared: u32,
    /// The ids after them.
    pub(in crate::workload) fresh: Box<[u32]>,
}

/// A line of requests that begins inside a session.
#[derive(Debug)]
pub(in crate::workload) struct Agent {
    /// How many requests of the main line came before it.
    pub(in crate::workload) after: usize,
    /// How long after the answer to the last of these, or after the session began.
    pub(in crate::workload) delay: Span,
    /// When it began, since the session began.
    pub(in crate::workload) at: Span,
    /// What it sends; at least one request.
    pub(in crate::workload) steps: Vec<RecordedStep>,
}

/// A file of sessions, read as a stream.
#[derive(Debug)]
pub struct Recordings {
    lines: LineReader,
    scale: TraceScale,
    next: u64,
    ended: bool,
}

impl Recordings {
    /// Reads sessions. The scale stretches think times and recorded times.
    ///
    /// # Panics
    /// If a scale is not a finite number above zero.
    #[must_use]
    pub fn new(reader: Box<dyn BufRead + Send>, scale: impl Into<TraceScale>) -> Recordings {
        let scale = scale.into();
        for scale in [scale.time, scale.length] {
            assert!(scale.is_finite() && scale > 0.0, "a scale is a finite number above zero");
        }
        Recordings { lines: LineReader::new(reader), scale, next: 0, ended: false }
    }

    /// Reads the next session; on a bad one, everything that is wrong with the rest of the file.
    pub(in crate::workload) fn next(&mut self) -> Result<Option<Recorded>, Vec<TraceError>> {
        if self.ended {
            return Ok(None);
        }
        let first = match self.parse() {
            Ok(session) => {
                self.ended = session.is_none();
                return Ok(session);
            }
            Err(flaw) => flaw,
        };
        self.ended = true;
        let (mut errors, mut more, mut flaw) = (Vec::new(), 0_u64, first);
        loop {
            let line = self.lines.number().max(1);
            if errors.len() < ERRORS_MAX {
                errors.push(TraceError { line, column: flaw.column, reason: flaw.reason });
            } else {
                more += 1;
            }
            // The rest is searched as if a good session had been there.
            self.next = self.next.max(1);
            flaw = match (flaw.last, self.next_flaw()) {
                (false, Some(flaw)) => flaw,
                _ => break,
            };
        }
        if more > 0 {
            let line = self.lines.number();
            errors.push(TraceError { line, column: 1, reason: format!("and {more} more errors") });
        }
        Err(errors)
    }

    fn next_flaw(&mut self) -> Option<Flaw> {
        loop {
            match self.parse() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(flaw) => return Some(flaw),
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Recorded>, Flaw> {
        if !self.lines.advance()? {
            if self.next == 0 {
                return Err(Flaw::last(1, "there is no session in this file".to_owned()));
            }
            return Ok(None);
        }
        let text = std::str::from_utf8(self.lines.line()).map_err(not_text)?;
        if !text.trim_start().starts_with('{') {
            let reason = "wanted a session: a JSON object such as {\"requests\": […]}";
            return Err(Flaw::new(1, reason.to_owned()));
        }
        let session: Session = serde_json::from_str(text).map_err(|error| {
            let mut flaw = flaw(&error);
            if !self.lines.terminated() {
                flaw.reason.push_str(" (the last line has no line end: is the file cut off?)");
            }
            flaw
        })?;
        let number = self.next;
        self.next += 1;
        recorded(session, number, self.scale).map(Some)
    }
}

/// Seconds from zero to [`SECONDS_MAX`].
fn seconds(what: &str, key: &str, value: f64) -> Result<f64, Flaw> {
    if (0.0..=SECONDS_MAX).contains(&value) {
        return Ok(value);
    }
    Err(Flaw::new(1, format!("{what}: `{key}` is {value}; wanted seconds from 0 to a year")))
}

fn recorded(session: Session, number: u64, scale: TraceScale) -> Result<Recorded, Flaw> {
    if !(1..=BLOCK_MAX).contains(&session.block_size) {
        let reason = format!("`block_size` is {}; wanted 1 to {BLOCK_MAX}", session.block_size);
        return Err(Flaw::new(1, reason));
    }
    let block = stretched(u64::from(session.block_size), scale.length).0 as u32;
    let began = session.requests.first().map_or(0.0, |entry| entry.t);
    let mut line = Thread::new(scale);
    let mut agents = Vec::new();
    for (place, entry) in session.requests.into_iter().enumerate() {
        let what = format!("request {}", place + 1);
        let at = seconds(&what, "t", entry.t)?;
        if entry.kind != EntryKind::Subagent {
            line.add(&what, began, &entry)?;
            continue;
        }
        let since = (at - began).max(0.0);
        let mut beside = Thread::new(scale);
        let first = entry.requests.first().map_or(0.0, |entry| entry.t);
        for (place, inner) in entry.requests.iter().enumerate() {
            let what = format!("{what}.{}", place + 1);
            if inner.kind == EntryKind::Subagent {
                let reason = format!("{what}: a subagent inside of a subagent");
                return Err(Flaw::new(1, reason));
            }
            beside.add(&what, first, inner)?;
        }
        if beside.steps.is_empty() {
            continue;
        }
        let delay = (since - line.ended).max(0.0);
        let span = |seconds| Span::from_seconds(seconds).scale(scale.time);
        let after = line.steps.len();
        agents.push(Agent { after, delay: span(delay), at: span(since), steps: beside.steps });
    }
    if line.steps.is_empty() {
        return Err(Flaw::new(1, "a session without a request".to_owned()));
    }
    Ok(Recorded { number, block, steps: line.steps, agents })
}

/// A line of requests being put together.
struct Thread {
    scale: TraceScale,
    steps: Vec<RecordedStep>,
    ids: Vec<u32>,
    /// When the last request was sent, and when it had its answer, in seconds since the beginning.
    sent: f64,
    ended: f64,
}

impl Thread {
    fn new(scale: TraceScale) -> Thread {
        Thread { scale, steps: Vec::new(), ids: Vec::new(), sent: 0.0, ended: 0.0 }
    }

    fn add(&mut self, what: &str, began: f64, entry: &SessionEntry) -> Result<(), Flaw> {
        let at = seconds(what, "t", entry.t)? - began;
        let think = seconds(what, "think_time", entry.think_time.unwrap_or(0.0))?;
        let took = seconds(what, "api_time", entry.api_time.unwrap_or(0.0))?;
        if at < self.sent {
            let back = Span::from_seconds(self.sent - at);
            let reason = format!("{what} is {back} before the one before; wanted order of time");
            return Err(Flaw::new(1, reason));
        }
        for (key, length) in [("in", entry.input), ("out", entry.out)] {
            let told = |reason| Flaw::new(1, format!("{what}: `{key}`: {reason}"));
            tokens_in_range(length).map_err(told)?;
        }
        (self.sent, self.ended) = (at, at + took);
        let shared = entry.hash_ids.iter().zip(&self.ids).take_while(|(a, b)| a == b).count();
        let fresh = entry.hash_ids[shared..].into();
        self.ids.clone_from(&entry.hash_ids);
        let span = |seconds| Span::from_seconds(seconds).scale(self.scale.time);
        self.steps.push(RecordedStep {
            at: span(at),
            think: span(think),
            prompt: stretched(entry.input, self.scale.length),
            output: stretched(entry.out, self.scale.length),
            shared: shared as u32,
            fresh,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &str, scale: TraceScale) -> Result<Vec<Recorded>, Vec<TraceError>> {
        let mut file = Recordings::new(Box::new(Cursor::new(text.to_owned())), scale);
        std::iter::from_fn(|| file.next().transpose()).collect()
    }

    const GOOD: &str = "{\"id\": \"a\", \"block_size\": 64, \"requests\": [\
        {\"t\": 2.0, \"type\": \"n\", \"in\": 130, \"out\": 7, \"hash_ids\": [1, 2], \
         \"api_time\": 1.5, \"think_time\": 0.0},\
        {\"t\": 5.5, \"type\": \"subagent\", \"requests\": [\
          {\"t\": 0.0, \"type\": \"n\", \"in\": 64, \"out\": 1, \"hash_ids\": [9]},\
          {\"t\": 4.0, \"type\": \"s\", \"in\": 70, \"out\": 2, \"hash_ids\": [9]}]},\
        {\"t\": 9.0, \"type\": \"s\", \"in\": 260, \"out\": 8, \"hash_ids\": [1, 2, 3, 4], \
         \"think_time\": 5.5}]}\n";

    #[test]
    fn sessions_are_read_with_what_their_prompts_share() {
        let sessions = read(GOOD, TraceScale { time: 2.0, length: 0.5 }).unwrap();
        let [session] = &sessions[..] else { panic!("{sessions:?}") };
        assert_eq!((session.number, session.block), (0, 32));
        let [first, second] = &session.steps[..] else { panic!("{session:?}") };
        assert_eq!((first.at, first.prompt, &*first.fresh), (Span::ZERO, Tokens(65), &[1, 2][..]));
        assert_eq!((second.at, second.think), (Span::from_secs(14), Span::from_secs(11)));
        assert_eq!((second.shared, &*second.fresh), (2, &[3, 4][..]));
        let [agent] = &session.agents[..] else { panic!("{session:?}") };
        assert_eq!((agent.after, agent.at), (1, Span::from_secs(7)));
        assert_eq!(agent.delay, Span::from_secs(4), "it began 2 s after the answer before");
        assert_eq!(agent.steps[1].at, Span::from_secs(8));
        assert_eq!((agent.steps[1].shared, agent.steps[1].fresh.len()), (1, 0));
    }

    #[test]
    fn everything_wrong_is_told_with_its_line() {
        let replace = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        let text = [
            GOOD,
            &replace("\"in\": 260", "\"in\": -5"),
            &replace("\"in\": 260", "\"in\": 99999999999"),
            &replace("\"t\": 9.0", "\"t\": 1.0"),
            &replace("\"think_time\": 5.5", "\"think_time\": -1"),
            &replace("\"type\": \"s\"", "\"type\": \"x\""),
            &replace("\"block_size\": 64", "\"block_size\": 0"),
            "{\"requests\": []}\n",
            "[1]\n",
            "{\"requests\": [",
        ];
        let errors = read(&text.concat(), TraceScale::from(1.0)).unwrap_err();
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"));
        let empty = read("", TraceScale::from(1.0)).unwrap_err();
        assert!(empty[0].reason.contains("no session"), "{empty:?}");
    }
}
