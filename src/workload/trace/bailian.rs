//! Rows of the Qwen-Bailian traces: one JSON object a line with `chat_id`, `parent_chat_id` (-1 for
//! the first of a conversation), `timestamp` (s), `input_length`, `output_length` and `hash_ids`
//! (one number for each 16 tokens of the prompt).
//!
//! Source: Wang et al., "KVCache Cache in the Wild: Characterizing and Optimizing KVCache Cache at
//! a Large Cloud Provider", USENIX ATC 2025. A conversation is known by the number of its first
//! request. Rows are played at their recorded times. Only the last [`CHATS_MAX`] requests are
//! remembered, so a conversation that pauses for longer begins anew; keys not named here are left
//! alone.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use super::mooncake::{chain, column_of, flaw};
use super::{Flaw, TraceRow, not_text, tokens_in_range};

/// Tokens an id stands for.
pub(super) const BLOCK: u64 = 16;

/// So many requests are remembered, to find the conversations of later ones.
pub const CHATS_MAX: usize = 262_144;

/// Seconds beyond this (500 years) are not a time.
const SECONDS_MAX: f64 = 1.6e10;

#[derive(Deserialize)]
struct BailianRecord {
    chat_id: i64,
    #[serde(default = "nobody")]
    parent_chat_id: i64,
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

const fn nobody() -> i64 {
    -1
}

/// Which conversation the latest requests belong to.
#[derive(Debug, Default)]
pub(super) struct Chats {
    roots: BTreeMap<i64, i64>,
    /// In order of appearance.
    latest: VecDeque<i64>,
}

impl Chats {
    /// The first request of the conversation that this one belongs to.
    fn root(&mut self, chat: i64, parent: i64) -> i64 {
        let root = match parent {
            ..0 => chat,
            // A parent outside of what is remembered is as good a name as its root.
            _ => self.roots.get(&parent).copied().unwrap_or(parent),
        };
        if self.roots.insert(chat, root).is_none() {
            self.latest.push_back(chat);
        }
        if self.latest.len() > CHATS_MAX
            && let Some(oldest) = self.latest.pop_front()
        {
            self.roots.remove(&oldest);
        }
        root
    }
}

/// Parses one row.
pub(super) fn row(line: &[u8], chats: &mut Chats) -> Result<TraceRow, Flaw> {
    let text = std::str::from_utf8(line).map_err(not_text)?;
    if !text.trim_start().starts_with('{') {
        return Err(Flaw::new(1, "wanted a JSON object such as {\"chat_id\": 0, …}".to_owned()));
    }
    let record: BailianRecord = serde_json::from_str(text).map_err(|error| flaw(&error))?;
    if !(0.0..=SECONDS_MAX).contains(&record.timestamp) {
        let reason = format!("`timestamp` is {}; wanted seconds from 0 up", record.timestamp);
        return Err(Flaw::new(column_of(text, "timestamp"), reason));
    }
    for (key, length) in
        [("input_length", record.input_length), ("output_length", record.output_length)]
    {
        tokens_in_range(length).map_err(|reason| Flaw::new(column_of(text, key), reason))?;
    }
    Ok(TraceRow {
        at: (record.timestamp * 1e9).round() as i128,
        prompt: record.input_length,
        output: record.output_length,
        prefix: chain(0, record.hash_ids),
        session: Some(chats.root(record.chat_id, record.parent_chat_id) as u64),
        ..TraceRow::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(chat: i64, parent: i64) -> String {
        format!(
            "{{\"chat_id\": {chat}, \"parent_chat_id\": {parent}, \"timestamp\": 1.25, \
             \"input_length\": 40, \"output_length\": 3, \"type\": \"text\", \"turn\": 1, \
             \"hash_ids\": [7, 8]}}"
        )
    }

    #[test]
    fn later_turns_belong_to_the_first() {
        let mut chats = Chats::default();
        let mut session = |chat, parent| {
            let row = row(line(chat, parent).as_bytes(), &mut chats).unwrap();
            assert_eq!((row.at, row.prompt, row.prefix.len()), (1_250_000_000, 40, 2));
            row.session.unwrap()
        };
        assert_eq!(session(4, -1), 4);
        assert_eq!(session(5, -1), 5);
        assert_eq!(session(6, 4), 4);
        assert_eq!(session(9, 6), 4);
        assert_eq!(session(10, 3), 3, "a parent that was never seen");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut chats = Chats::default();
        for chat in 0..CHATS_MAX as i64 + 100 {
            chats.root(chat, chat - 1);
        }
        assert_eq!((chats.roots.len(), chats.latest.len()), (CHATS_MAX, CHATS_MAX));
    }

    #[test]
    fn bad_rows_are_told() {
        let errors =
            ["[]", "{\"chat_id\": 1}", &line(1, -1).replace("1.25", "-1.25")].map(|text| {
                let flaw = row(text.as_bytes(), &mut Chats::default()).unwrap_err();
                (flaw.column, flaw.reason)
            });
        assert!(errors[0].1.contains("JSON object"));
        assert!(errors[1].1.contains("missing field"), "{errors:?}");
        assert_eq!(errors[2].0, 38);
        let long = line(1, -1).replace("40", "99999999999");
        assert!(
            row(long.as_bytes(), &mut Chats::default()).unwrap_err().reason.contains("at most")
        );
    }
}
