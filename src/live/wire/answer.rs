//! What an upstream says, read leniently: only what routing, accounting and failover need, from the text as
//! it came. Unknown fields are no concern, missing ones are estimated, absurd ones are clamped, and nothing
//! it sends can panic.

use super::json::{at, count, field, fields, is_null, items, says_something, string};
use super::operation::Protocol;
use super::sse::SseEvent;
use super::usage::SaidUsage;

/// Choices of an answer that are told apart; of more than these only a terminal marker tells the end.
const CHOICES_MAX: usize = 1_024;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerPiece {
    /// Nothing follows: `[DONE]`, or the last event where there is none.
    Done,
    /// An error inside a stream that began well.
    Error,
    /// Part of the answer.
    Chunk {
        /// Whether it carries something a person would see: text, reasoning, a refusal, a tool call.
        content: bool,
        /// Whether it has no choices, as the chunk that only carries usage.
        bare: bool,
    },
}

/// Reads the events of one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamReader {
    protocol: Protocol,
    /// Choices that have been seen, by index, and whether they have ended.
    choices: Vec<(u64, bool)>,
    usage: Option<SaidUsage>,
    /// What the endpoint calls the answer.
    id: Option<String>,
    ended: bool,
}

impl StreamReader {
    /// A reader of such a stream.
    #[must_use]
    pub fn new(protocol: Protocol) -> StreamReader {
        StreamReader { protocol, ..StreamReader::default() }
    }

    /// Returns what it said it used.
    pub(in crate::live) const fn usage(&self) -> Option<SaidUsage> {
        self.usage
    }

    /// Returns what the endpoint calls the answer, if it keeps it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns whether the answer is whole if the stream ends here, without a terminal marker: every choice
    /// has ended.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let ended = !self.choices.is_empty() && self.choices.iter().all(|(_, ended)| *ended);
        self.ended || ended
    }

    /// Returns whether it is whole though its terminal marker comes: not if some choices have said why they
    /// ended and others have not. A server that never says why is believed.
    fn is_whole_at_marker(&self) -> bool {
        self.is_whole() || self.choices.iter().all(|(_, ended)| !ended)
    }

    /// Reads an event. `None` if it is not what it should be.
    #[must_use]
    pub fn read(&mut self, event: &SseEvent) -> Option<AnswerPiece> {
        let data = event.text();
        let marker = data.trim() == "[DONE]";
        match self.protocol {
            _ if event.name == "error" => Some(AnswerPiece::Error),
            Protocol::Choices if marker => self.is_whole_at_marker().then_some(AnswerPiece::Done),
            Protocol::Choices => self.chunk(data),
            _ if marker => self.is_whole().then_some(AnswerPiece::Done),
            Protocol::Responses => self.response(data),
            Protocol::Messages => self.message(data),
            Protocol::Json | Protocol::Plain => {
                self.ended = true;
                let chunk = AnswerPiece::Chunk { content: true, bare: false };
                Some(if is_error(data) { AnswerPiece::Error } else { chunk })
            }
        }
    }

    fn say(&mut self, usage: Option<SaidUsage>) {
        if let Some(usage) = usage {
            self.usage = Some(self.usage.unwrap_or_default().then(usage));
        }
    }

    fn chunk(&mut self, data: &str) -> Option<AnswerPiece> {
        let (mut choices, mut usage, mut error) = (None, None, false);
        let object = fields(data, |name, value| match name {
            "choices" => choices = Some(value),
            "usage" => usage = Some(value),
            "error" => error = error || is_something(value),
            "object" => error = error || value == "\"error\"",
            _ => {}
        });
        if !object {
            return None;
        }
        let (mut content, mut any) = (false, false);
        items(choices.unwrap_or("[]"), |choice| {
            any = true;
            let seen = ChoiceSeen::read(choice);
            content = content || seen.content;
            error = error || seen.failed;
            self.note(seen.index, seen.ended);
        });
        if error {
            return Some(AnswerPiece::Error);
        }
        let said = SaidUsage::read(usage);
        self.say(said);
        Some(AnswerPiece::Chunk { content, bare: !any && said.is_some() })
    }

    fn note(&mut self, index: u64, ended: bool) {
        let room = self.choices.len() < CHOICES_MAX;
        match self.choices.iter_mut().find(|(seen, _)| *seen == index) {
            Some((_, before)) => *before = *before || ended,
            None if room => self.choices.push((index, ended)),
            None => {}
        }
    }

    /// An event of the Responses API.
    fn response(&mut self, data: &str) -> Option<AnswerPiece> {
        let kind = string(field(data, "type")?)?;
        if let Some(response) = field(data, "response") {
            self.say(SaidUsage::read(field(response, "usage")));
            let id = field(response, "id").and_then(string);
            self.id = id.map(std::borrow::Cow::into_owned).or(self.id.take());
        }
        Some(match &*kind {
            "response.completed" | "response.incomplete" => {
                self.ended = true;
                AnswerPiece::Done
            }
            "response.failed" | "response.cancelled" | "error" => AnswerPiece::Error,
            kind => AnswerPiece::Chunk { content: !is_preliminary(kind), bare: false },
        })
    }

    /// An event of a message.
    fn message(&mut self, data: &str) -> Option<AnswerPiece> {
        let kind = string(field(data, "type")?)?;
        let mut content = false;
        match &*kind {
            "message_start" => self.say(SaidUsage::read(at(data, &["message", "usage"]))),
            "message_delta" => {
                self.say(SaidUsage::read(field(data, "usage")));
                let reason = at(data, &["delta", "stop_reason"]);
                self.note(0, ends(reason));
            }
            "message_stop" => {
                self.ended = true;
                return Some(AnswerPiece::Done);
            }
            "error" => return Some(AnswerPiece::Error),
            "content_block_start" => {
                // A tool is named here; the text of others comes later.
                let block = field(data, "content_block").unwrap_or("null");
                content = says_something(block);
            }
            "content_block_delta" => content = field(data, "delta").is_some_and(says_something),
            _ => {}
        }
        if content {
            self.note(0, false);
        }
        Some(AnswerPiece::Chunk { content, bare: false })
    }
}

/// What comes before anything of an answer does.
fn is_preliminary(kind: &str) -> bool {
    matches!(
        kind,
        "response.created"
            | "response.queued"
            | "response.in_progress"
            | "response.output_item.added"
            | "response.content_part.added"
            | "response.reasoning_summary_part.added"
            | "keepalive"
            | "ping"
    )
}

/// A choice of a chunk.
#[derive(Debug, Default)]
struct ChoiceSeen {
    index: u64,
    content: bool,
    ended: bool,
    failed: bool,
}

impl ChoiceSeen {
    fn read(choice: &str) -> ChoiceSeen {
        let mut seen = ChoiceSeen::default();
        fields(choice, |name, value| match name {
            "index" => seen.index = count(value).unwrap_or(0),
            "delta" | "message" => seen.content = seen.content || delta_says_something(value),
            "text" => seen.content = seen.content || says_something(value),
            "finish_reason" => {
                seen.ended = ends(Some(value));
                let reason = string(value);
                seen.failed = reason.is_some_and(|reason| {
                    matches!(&*reason, "error" | "abort" | "aborted" | "cancelled")
                });
            }
            _ => {}
        });
        seen
    }
}

/// Returns whether a reason ends a choice: any that is said.
fn ends(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| !matches!(reason, "null" | "\"\"" | "false"))
}

/// Returns whether a delta says more than who speaks: whatever the field is called.
fn delta_says_something(delta: &str) -> bool {
    let mut any = false;
    fields(delta, |name, value| {
        any = any
            || match name {
                "role" | "id" | "name" | "object" => false,
                // A call begins with its place alone.
                "tool_calls" => {
                    let mut calls = false;
                    items(value, |_| calls = true);
                    calls
                }
                _ => says_something(value),
            };
    });
    any
}

/// Returns whether a field that means an error by being there is there.
fn is_something(value: &str) -> bool {
    let mut any = false;
    fields(value, |_, _| any = true);
    any || says_something(value) || count(value).is_some_and(|code| code > 0)
}

/// Returns whether an object is an error, whatever it was to be.
fn is_error(data: &str) -> bool {
    let mut error = false;
    fields(data, |name, value| match name {
        "error" => error = error || is_something(value),
        "object" | "type" => error = error || value == "\"error\"",
        _ => {}
    });
    error
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::live) enum WholeAnswer {
    /// It is one.
    Good {
        /// What it says it used.
        usage: Option<SaidUsage>,
        /// What the endpoint calls it, if it keeps it.
        id: Option<String>,
    },
    /// It is an error.
    Error,
    /// It is neither.
    Bad,
}

/// Reads a whole answer.
pub(in crate::live) fn whole(protocol: Protocol, body: &[u8]) -> WholeAnswer {
    let text = std::str::from_utf8(body).map(str::trim).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_object = fields(text, |_, _| ());
    if is_object && is_error(text) {
        return WholeAnswer::Error;
    }
    let good = match protocol {
        Protocol::Choices => {
            let (mut any, mut failed) = (false, false);
            items(field(text, "choices").unwrap_or("[]"), |choice| {
                any = true;
                failed = failed || ChoiceSeen::read(choice).failed;
            });
            if failed {
                return WholeAnswer::Error;
            }
            any
        }
        Protocol::Responses => {
            let status = field(text, "status").and_then(string);
            if matches!(status.as_deref(), Some("failed" | "cancelled")) {
                return WholeAnswer::Error;
            }
            !is_null(field(text, "id")) || !is_null(field(text, "output"))
        }
        Protocol::Messages => !is_null(field(text, "content")),
        Protocol::Json | Protocol::Plain => true,
    };
    if !(is_object && good || protocol == Protocol::Plain) {
        return WholeAnswer::Bad;
    }
    let keeps = protocol == Protocol::Responses;
    let id = field(text, "id").filter(|_| keeps).and_then(string);
    let usage = SaidUsage::read(field(text, "usage"));
    WholeAnswer::Good { usage, id: id.map(std::borrow::Cow::into_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn event(name: &str, data: &str) -> SseEvent {
        let data = Bytes::copy_from_slice(data.as_bytes());
        SseEvent { name: name.to_owned(), data: Some(data), raw: Bytes::new() }
    }

    fn piece(data: &str) -> Option<AnswerPiece> {
        StreamReader::new(Protocol::Choices).read(&event("", data))
    }

    const fn chunk(content: bool) -> Option<AnswerPiece> {
        Some(AnswerPiece::Chunk { content, bare: false })
    }

    #[test]
    fn any_delta_that_says_something_is_content() {
        for delta in [
            r#"{"content":"a"}"#,
            r#"{"content":"\ud83d"}"#,
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#,
            r#"{"content":"","reasoning_content":"a"}"#,
            r#"{"reasoning":" "}"#,
            r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}"#,
            r#"{"refusal":"no"}"#,
            r#"{"tool_calls":[{}]}"#,
            r#"{"function_call":{"name":"f","arguments":""}}"#,
            r#"{"audio":{"id":"a","data":"UklG"}}"#,
            r#"{"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}]}"#,
            r#"{"images":[{"type":"image_url","image_url":{"url":"data:x"}}]}"#,
            r#"{"something_new":"x"}"#,
        ] {
            assert_eq!(
                piece(&format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)),
                chunk(true),
                "{delta}"
            );
        }
        for delta in [
            r#"{"role":"assistant"}"#,
            r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[]}"#,
            r#"{"content":null,"audio":null,"annotations":[]}"#,
            r#"{"content":[{"type":"text","text":""}]}"#,
            r#"{"provider_specific_fields":{"citations":null}}"#,
            "{}",
            "null",
        ] {
            assert_eq!(
                piece(&format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)),
                chunk(false),
                "{delta}"
            );
        }
        assert_eq!(piece(r#"{"choices":[{"text":"a"}]}"#), chunk(true));
        assert_eq!(piece(r#"{"choices":[{"text":""}]}"#), chunk(false));
    }

    #[test]
    fn what_is_no_chunk_is_told_from_what_is_an_error() {
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;
        assert_eq!(piece(usage), Some(AnswerPiece::Chunk { content: false, bare: true }));
        assert_eq!(piece(r#"{"choices":null,"usage":null}"#), chunk(false));
        assert_eq!(piece(r#"{"choices":[],"prompt_filter_results":[{"x":1}]}"#), chunk(false));
        assert_eq!(piece(r#"{"choices":[{"delta":{}}],"error":null}"#), chunk(false));
        for error in [
            r#"{"error":{"message":"x"}}"#,
            r#"{"error":{"code":500}}"#,
            r#"{"error":"x"}"#,
            r#"{"object":"error","message":"x"}"#,
            r#"{"choices":[{"finish_reason":"error"}]}"#,
            r#"{"choices":[{"finish_reason":"abort"}]}"#,
        ] {
            assert_eq!(piece(error), Some(AnswerPiece::Error), "{error}");
        }
        for bad in ["", "{", "[]", "7", r#"{"choices"#] {
            assert_eq!(piece(bad), None, "{bad}");
        }
    }

    /// How a stream of these events ends, if it ends with them: by a marker, by itself, or not.
    fn end(protocol: Protocol, events: &[&str]) -> &'static str {
        let mut reader = StreamReader::new(protocol);
        for data in events {
            match reader.read(&event("", data)) {
                Some(AnswerPiece::Done) => return "marker",
                Some(AnswerPiece::Chunk { .. }) => {}
                Some(AnswerPiece::Error) => return "error",
                None => return "bad",
            }
        }
        if reader.is_whole() { "whole" } else { "cut" }
    }

    #[test]
    fn an_answer_is_whole_when_every_choice_has_ended() {
        let word = |index: u32, end: &str| {
            format!(
                r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}},"finish_reason":{end}}}]}}"#
            )
        };
        let stream = |chunks: &[(u32, &str)], done: bool| {
            let chunks: Vec<String> = chunks.iter().map(|(index, end)| word(*index, end)).collect();
            let mut events: Vec<&str> = chunks.iter().map(String::as_str).collect();
            events.extend(done.then_some("[DONE]"));
            end(Protocol::Choices, &events)
        };
        let stop = "\"stop\"";
        assert_eq!(stream(&[(0, "null"), (0, stop)], false), "whole");
        assert_eq!(stream(&[(0, "\"\""), (0, "\"\"")], false), "cut");
        assert_eq!(stream(&[(0, "null")], false), "cut");
        assert_eq!(stream(&[(0, stop), (1, "null")], false), "cut");
        assert_eq!(stream(&[(0, stop), (1, "null"), (1, "\"length\"")], false), "whole");
        assert_eq!(stream(&[(0, stop), (0, "null")], false), "whole", "nothing is taken back");
        assert_eq!(stream(&[(0, "null")], true), "marker", "it never says why");
        assert_eq!(stream(&[(0, stop), (1, "null")], true), "bad", "it says why, and not of all");
        assert_eq!(stream(&[(0, stop), (1, stop)], true), "marker");
        assert_eq!(stream(&[], false), "cut");
    }

    #[test]
    fn a_response_ends_by_its_last_event() {
        let created = r#"{"type":"response.created","response":{"id":"resp_1","usage":null}}"#;
        let delta = r#"{"type":"response.output_text.delta","delta":"a"}"#;
        let done = r#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":3,"output_tokens":2}}}"#;
        let failed = r#"{"type":"response.failed","response":{"error":{"message":"x"}}}"#;
        let of = |events: &[&str]| end(Protocol::Responses, events);
        assert_eq!(of(&[created, delta]), "cut");
        assert_eq!(of(&[created, delta, done]), "marker");
        assert_eq!(of(&[created, failed]), "error");
        assert_eq!(of(&[created, "{}"]), "bad");
        let mut reader = StreamReader::new(Protocol::Responses);
        assert_eq!(reader.read(&event("", created)), chunk(false));
        assert_eq!(reader.read(&event("", delta)), chunk(true));
        assert_eq!(reader.id(), Some("resp_1"));
    }

    #[test]
    fn a_message_ends_by_its_stop() {
        let start =
            r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
        let block =
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
        let tool = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#;
        let delta =
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
        let end_turn = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#;
        let stop = r#"{"type":"message_stop"}"#;
        let of = |events: &[&str]| end(Protocol::Messages, events);
        assert_eq!(of(&[start, block, delta, end_turn, stop]), "marker");
        assert_eq!(of(&[start, block, delta, end_turn]), "whole");
        assert_eq!(of(&[start, block, delta]), "cut");
        assert_eq!(
            of(&[start, r#"{"type":"error","error":{"type":"overloaded_error"}}"#]),
            "error"
        );
        let content = |data| StreamReader::new(Protocol::Messages).read(&event("", data));
        assert_eq!((content(block), content(tool)), (chunk(false), chunk(true)));
        assert_eq!((content(start), content(delta)), (chunk(false), chunk(true)));
    }

    #[test]
    fn whole_answers_are_told_from_errors_and_from_nothing() {
        let good = |protocol, body: &str| {
            matches!(whole(protocol, body.as_bytes()), WholeAnswer::Good { .. })
        };
        assert!(good(Protocol::Choices, "\u{feff}{\"choices\":[{}]}\n"));
        assert!(good(
            Protocol::Choices,
            r#"{"choices":[{"message":{"content":"\ud83d"}}],"error":null}"#
        ));
        assert!(good(Protocol::Responses, r#"{"id":"r","output":[]}"#));
        assert!(good(Protocol::Messages, r#"{"type":"message","content":[]}"#));
        assert!(good(Protocol::Plain, r#"{"data":[]}"#) && good(Protocol::Plain, "RIFF"));
        let is = |protocol, body: &str| whole(protocol, body.as_bytes());
        for bad in ["<html>", r#"{"choices":[]}"#, "", "[]", "{\"choices\":[{}]"] {
            assert_eq!(is(Protocol::Choices, bad), WholeAnswer::Bad, "{bad}");
        }
        for error in [r#"{"error":{"message":"x"}}"#, r#"{"choices":[{"finish_reason":"error"}]}"#]
        {
            assert_eq!(is(Protocol::Choices, error), WholeAnswer::Error, "{error}");
        }
        assert_eq!(is(Protocol::Responses, r#"{"id":"r","status":"failed"}"#), WholeAnswer::Error);
        assert_eq!(is(Protocol::Plain, r#"{"error":"x"}"#), WholeAnswer::Error);
        assert_eq!(
            whole(Protocol::Plain, b"\xff\x00"),
            WholeAnswer::Good { usage: None, id: None }
        );
    }
}
