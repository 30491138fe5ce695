//! The seam of an answer that was cut and goes on elsewhere: what of it had reached the client, and how what
//! comes now is joined to that.
//!
//! Where the next endpoint goes on from the text so far, what it says follows. Where it gives the whole
//! answer again, as much as the client has is left out, as long as it is the same; another answer is none.
//! Some that are asked to go on give the whole answer again all the same, so a beginning that is the same is
//! held back until that is clear. What is thought anew is not shown: the client has seen thoughts already,
//! or the answer itself. Names and places of the first answer hold to the end.

use bytes::Bytes;
use serde_json::{Value, json};

use super::written::WrittenObject;
use crate::balance::Failure;
use crate::live::wire::anthropic::lenient;
use crate::live::wire::json::{field, fields, items, says_something, string};
use crate::live::wire::operation::{Operation, Protocol};
use crate::live::wire::sse::{SseEvent, SseParser};

/// A longer text is not gone on from: of every stream that may be cut it is held.
const TEXT_MAX: usize = 256 << 10;
/// No message has more blocks.
const BLOCKS_MAX: usize = 4_096;
/// What is no longer than this may be said twice by chance.
const CHANCE: usize = 16;

/// What of an answer has reached its client.
#[derive(Clone, Debug, Default)]
pub(super) struct PartialAnswer {
    operation: Operation,
    /// What its endpoint called it, as it was written.
    id: Option<String>,
    text: String,
    /// It is more than text: nobody can go on from it.
    sealed: bool,
    /// The block of text that is open, of a message.
    open: Option<u64>,
    /// Blocks that have begun, of a message.
    blocks: u64,
}

impl PartialAnswer {
    pub(super) fn new(operation: Operation, one_choice: bool) -> PartialAnswer {
        let known =
            matches!(operation, Operation::Chat | Operation::Completions | Operation::Messages);
        PartialAnswer { operation, sealed: !(known && one_choice), ..PartialAnswer::default() }
    }

    /// Returns the text so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The data of an event goes to the client.
    pub(super) fn hear(&mut self, data: &str) {
        if self.sealed {
            return;
        }
        match self.operation.protocol() {
            Protocol::Messages => self.message(data),
            _ => self.chunk(data),
        }
        self.sealed |= self.text.len() > TEXT_MAX;
    }

    fn say(&mut self, said: &str) {
        match string(said) {
            Some(said) => self.text.push_str(&said),
            // Half of a pair of surrogates, or parts of which nobody knows the kinds.
            None => self.sealed |= says_something(said),
        }
    }

    fn chunk(&mut self, data: &str) {
        let mut choices = "[]";
        fields(data, |name, value| match name {
            "id" if self.id.is_none() => self.id = Some(value.to_owned()),
            "choices" => choices = value,
            _ => {}
        });
        items(choices, |choice| {
            fields(choice, |name, value| match name {
                "index" => self.sealed |= value != "0",
                "text" => self.say(value),
                "delta" => self.delta(value),
                _ => {}
            });
        });
    }

    fn delta(&mut self, delta: &str) {
        fields(delta, |name, value| match name {
            "role" | "id" | "name" | "object" => {}
            "content" => self.say(value),
            _ if is_thought(name) => {}
            "tool_calls" => {
                items(value, |_| self.sealed = true);
            }
            _ => self.sealed |= says_something(value),
        });
    }

    fn message(&mut self, data: &str) {
        let kind = field(data, "type").and_then(string).unwrap_or_default();
        let of = |path: &str, name: &str| field(field(data, path)?, name);
        match &*kind {
            "message_start" => self.id = of("message", "id").map(str::to_owned).or(self.id.take()),
            "content_block_start" => {
                let what = of("content_block", "type").and_then(string).unwrap_or_default();
                self.open = (what == "text").then_some(self.blocks);
                self.blocks += 1;
                self.sealed |= !matches!(&*what, "text" | "thinking" | "redacted_thinking");
            }
            "content_block_delta" => match of("delta", "type").and_then(string).as_deref() {
                Some("text_delta") => self.say(of("delta", "text").unwrap_or("null")),
                Some("thinking_delta" | "signature_delta") => {}
                _ => self.sealed = true,
            },
            "content_block_stop" => self.open = None,
            _ => {}
        }
    }
}

/// Returns whether a field of a delta has thoughts, which are no part of an answer.
fn is_thought(name: &str) -> bool {
    matches!(name, "reasoning" | "reasoning_content" | "reasoning_details" | "reasoning_text")
}

/// What of the text before is still to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Nothing.
    No,
    /// From here on, or it is another answer.
    Surely(usize),
    /// From here on, perhaps.
    Perhaps(usize),
}

/// Where an answer that comes now is joined to one that was cut.
#[derive(Debug)]
pub(super) struct Seam {
    /// What has reached the client, both parts.
    pub(super) partial: PartialAnswer,
    /// The text before.
    before: String,
    again: Again,
    /// Spaces at the end of the text before that the endpoint was not shown.
    spaces: String,
    /// So many tokens came before.
    tokens: u64,
    /// The whole answer comes again.
    anew: bool,
    parser: SseParser,
    /// Blocks of a message: theirs and ours; none of ours is left out.
    blocks: Vec<(u64, Option<u64>)>,
    /// What has to be said before the event that is being joined.
    first: Option<Value>,
}

impl Seam {
    /// The seam of an answer of which so many tokens had come. `shown` is the text that the endpoint goes on
    /// from; it gives the whole answer again if that is none.
    pub(super) fn new(partial: PartialAnswer, tokens: u64, shown: Option<&str>) -> Seam {
        let before = partial.text.clone();
        let again = match shown {
            _ if before.is_empty() => Again::No,
            None => Again::Surely(0),
            Some(_) if before.len() > CHANCE => Again::Perhaps(0),
            Some(_) => Again::No,
        };
        let spaces =
            shown.and_then(|shown| before.strip_prefix(shown)).unwrap_or_default().to_owned();
        Seam {
            before,
            again,
            spaces,
            tokens,
            anew: shown.is_none(),
            parser: SseParser::default(),
            blocks: Vec::new(),
            first: None,
            partial,
        }
    }

    /// The whole answer comes again after all: the endpoint does not go on from a text.
    pub(super) fn begin_anew(&mut self) {
        let again = if self.before.is_empty() { Again::No } else { Again::Surely(0) };
        (self.again, self.anew) = (again, true);
        self.spaces.clear();
    }

    /// Returns whether the whole answer comes again.
    pub(super) const fn is_anew(&self) -> bool {
        self.anew
    }

    /// Joins events to those before. Nothing may come of them.
    ///
    /// # Errors
    /// If they are of another answer.
    pub(super) fn join(&mut self, bytes: &Bytes) -> Result<Bytes, Failure> {
        let mut events = Vec::new();
        self.parser.push(bytes, &mut |event| events.push(event)).map_err(|_| Failure::Malformed)?;
        let mut out = Vec::new();
        for event in events {
            self.event(&event, &mut out)?;
        }
        Ok(out.into())
    }

    fn event(&mut self, event: &SseEvent, out: &mut Vec<u8>) -> Result<(), Failure> {
        let data = event.text();
        if event.data.is_none() || data.trim() == "[DONE]" {
            out.extend_from_slice(&event.raw);
            return Ok(());
        }
        let joined = match self.partial.operation.protocol() {
            Protocol::Messages => self.message(data)?,
            _ => self.chunk(data)?,
        };
        if let Some(first) = self.first.take() {
            let name = first["type"].as_str().unwrap_or_default().to_owned();
            self.say(&name, &first.to_string(), out);
        }
        if let Some(data) = joined {
            self.say(&event.name, &data, out);
        }
        Ok(())
    }

    fn say(&mut self, name: &str, data: &str, out: &mut Vec<u8>) {
        self.partial.hear(data);
        if !name.is_empty() {
            out.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        out.extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }

    /// Returns what of a text is new to the client.
    fn fresh(&mut self, said: &str) -> Result<String, Failure> {
        let (at, surely) = match self.again {
            Again::No => return Ok(self.without_spaces(said)),
            Again::Surely(at) => (at, true),
            Again::Perhaps(at) => (at, false),
        };
        let rest = &self.before[at..];
        if rest.len() > said.len() && rest.starts_with(said) {
            let at = at + said.len();
            self.again = if surely { Again::Surely(at) } else { Again::Perhaps(at) };
            return Ok(String::new());
        }
        if let Some(more) = said.strip_prefix(rest) {
            let more = more.to_owned();
            self.begin_anew();
            self.again = Again::No;
            return Ok(more);
        }
        if surely {
            return Err(Failure::Diverged);
        }
        // It only began like it: it goes on.
        let held = format!("{}{said}", &self.before[..at]);
        self.again = Again::No;
        Ok(self.without_spaces(&held))
    }

    fn without_spaces(&mut self, said: &str) -> String {
        if said.is_empty() {
            return String::new();
        }
        let spaces = std::mem::take(&mut self.spaces);
        let same = said.chars().zip(spaces.chars()).take_while(|(one, other)| one == other);
        said[same.map(|(one, _)| one.len_utf8()).sum::<usize>()..].to_owned()
    }

    /// The text is over. Returns what of it was held back.
    fn held(&mut self) -> Result<String, Failure> {
        match self.again {
            Again::No => Ok(String::new()),
            // It is shorter than what the client has.
            Again::Surely(_) => Err(Failure::Diverged),
            Again::Perhaps(at) => {
                self.again = Again::No;
                let held = self.before[..at].to_owned();
                Ok(self.without_spaces(&held))
            }
        }
    }

    /// Joins a chunk.
    fn chunk(&mut self, data: &str) -> Result<Option<String>, Failure> {
        let mut value = lenient(data);
        let ends = value.pointer("/choices/0/finish_reason").is_some_and(|why| !why.is_null());
        let mut says = ends;
        let mut same = true;
        if let Some(choice) = value.pointer_mut("/choices/0") {
            let (place, name) = match choice.get("delta") {
                Some(_) => (choice.get_mut("delta"), "content"),
                None => (Some(choice), "text"),
            };
            if let Some(delta) = place.and_then(Value::as_object_mut) {
                let before = delta.len();
                delta.retain(|name, _| !is_thought(name) && name != "role");
                same = delta.len() == before;
                let said = delta.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let mut fresh = self.fresh(&said)?;
                if ends {
                    fresh.push_str(&self.held()?);
                }
                says |= !fresh.is_empty();
                if fresh != said {
                    same = false;
                    delta.insert(name.to_owned(), fresh.into());
                }
                let known = |name: &String| matches!(&**name, "content" | "text" | "logprobs");
                let more =
                    delta.iter().filter(|(name, _)| name.as_str() != "index" && !known(name));
                says |= more.into_iter().any(|(name, value)| {
                    name != "finish_reason" && says_something(&value.to_string())
                });
            }
        }
        let usage = value.get("usage").is_some_and(Value::is_object);
        if !(says || usage) {
            return Ok(None);
        }
        if usage {
            self.count(&mut value["usage"], ["prompt_tokens", "completion_tokens"]);
            same = false;
        }
        let id = self.partial.id.clone().filter(|_| value.get("id").is_some());
        if let (true, Some(written)) =
            (same, WrittenObject::read(&Bytes::copy_from_slice(data.as_bytes())))
        {
            let id: Vec<(&str, Vec<u8>)> =
                id.map(|id| ("id", id.into_bytes())).into_iter().collect();
            return Ok(Some(String::from_utf8_lossy(&written.with(&id)).into_owned()));
        }
        if let Some(id) = id {
            value["id"] = serde_json::from_str(&id).unwrap_or_default();
        }
        Ok(Some(value.to_string()))
    }

    /// Counts the tokens that came before as what they are to the client: part of the answer.
    fn count(&self, usage: &mut Value, [input, output]: [&str; 2]) {
        if self.anew {
            return;
        }
        let count = |usage: &Value, name: &str| usage.get(name).and_then(Value::as_u64);
        if let Some(said) = count(usage, output) {
            usage[output] = said.saturating_add(self.tokens).into();
        }
        if let Some(said) = count(usage, input) {
            usage[input] = said.saturating_sub(self.tokens).into();
        }
    }

    /// Joins an event of a message.
    fn message(&mut self, data: &str) -> Result<Option<String>, Failure> {
        let mut value = lenient(data);
        let text = |value: &Value, path: &str| {
            value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let theirs = value.get("index").and_then(Value::as_u64).unwrap_or(0);
        let ours = self.blocks.iter().rev().find(|(block, _)| *block == theirs);
        let ours = ours.and_then(|(_, ours)| *ours);
        match text(&value, "/type").as_str() {
            "message_start" => return Ok(None),
            "content_block_start" if self.blocks.len() >= BLOCKS_MAX => {
                return Err(Failure::TooLarge);
            }
            "content_block_start" => return Ok(self.begin_block(theirs, &mut value)),
            "content_block_delta" | "content_block_stop" if ours.is_none() => return Ok(None),
            "content_block_delta" if text(&value, "/delta/type") == "text_delta" => {
                let fresh = self.fresh(&text(&value, "/delta/text"))?;
                if fresh.is_empty() {
                    return Ok(None);
                }
                value["delta"]["text"] = fresh.into();
            }
            "content_block_stop" if matches!(self.again, Again::Perhaps(_)) => {
                let held = self.held()?;
                let delta = json!({ "type": "text_delta", "text": held });
                let all = json!({ "type": "content_block_delta", "index": ours, "delta": delta });
                self.first = (!held.is_empty()).then_some(all);
            }
            "message_delta" => {
                self.held()?;
                // Nothing more was said: what is open ends all the same.
                self.first = self.stop_of_open();
                if let Some(usage) = value.get_mut("usage") {
                    self.count(usage, ["input_tokens", "output_tokens"]);
                }
            }
            _ => {}
        }
        if let Some(ours) = ours.filter(|_| value.get("index").is_some()) {
            value["index"] = ours.into();
        }
        Ok(Some(value.to_string()))
    }

    /// A block begins. The first one with text goes on in the one that is open.
    fn begin_block(&mut self, theirs: u64, value: &mut Value) -> Option<String> {
        let kind = value.pointer("/content_block/type").and_then(Value::as_str);
        let ours = match kind {
            Some("thinking" | "redacted_thinking") => None,
            Some("text") => self.partial.open.or(Some(self.partial.blocks)),
            _ => Some(self.partial.blocks),
        };
        self.blocks.push((theirs, ours));
        let ours = ours?;
        if self.partial.open == Some(ours) {
            return None;
        }
        self.first = self.stop_of_open();
        value["index"] = ours.into();
        Some(value.to_string())
    }

    fn stop_of_open(&self) -> Option<Value> {
        self.partial.open.map(|open| json!({ "type": "content_block_stop", "index": open }))
    }
}

/// Returns the comment that marks a seam.
pub(super) fn comment(tokens: u64) -> Bytes {
    format!(": the answer was cut after {tokens} tokens and goes on elsewhere\n\n").into()
}

/// Returns a conversation that ends with the beginning of its answer, as written.
pub(super) fn with_beginning(messages: &str, text: &str) -> Option<Vec<u8>> {
    let list = messages.trim_end().strip_suffix(']')?;
    let message = json!({ "role": "assistant", "content": text }).to_string();
    let comma = if list.trim_end().ends_with('[') { "" } else { "," };
    Some(format!("{list}{comma}{message}]").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(operation: Operation, events: &[&str]) -> PartialAnswer {
        let mut partial = PartialAnswer::new(operation, true);
        events.iter().for_each(|data| partial.hear(data));
        partial
    }

    fn word(text: &str) -> String {
        json!({ "id": "b", "choices": [{ "index": 0, "delta": { "content": text } }] }).to_string()
    }

    const CUT: &str = r#"{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"One two three, four "}}]}"#;
    const END: &str = r#"{"id":"b","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

    /// What the client gets of these words and the end.
    fn joined(shown: Option<&str>, words: &[&str]) -> Result<String, Failure> {
        let mut seam = Seam::new(partial(Operation::Chat, &[CUT]), 5, shown);
        let events = words.iter().map(|text| word(text)).chain([END.to_owned()]);
        let mut out = String::new();
        for event in events {
            let bytes = Bytes::from(format!("data: {event}\n\n"));
            out.push_str(&String::from_utf8_lossy(&seam.join(&bytes)?));
        }
        let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
        let text: String = data
            .map(|data| {
                let value = lenient(data);
                assert_eq!(value["id"], "a", "it keeps its name");
                value["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
            })
            .collect();
        assert_eq!(seam.partial.text(), format!("One two three, four {text}"));
        Ok(text)
    }

    #[test]
    fn what_goes_on_follows_and_what_comes_again_is_left_out() {
        let whole = ["One two", " three", ", four five", " six"];
        for (shown, words, wanted) in [
            (Some("One two three, four "), &["five", " six"][..], Ok("five six")),
            (Some("One two three, four"), &[" five", " six"], Ok("five six")),
            (Some("One two three, four"), &["five", " six"], Ok("five six")),
            (Some("One two three, four"), &whole, Ok("five six")),
            (Some("One two three, four "), &["One two", " of us"], Ok("One two of us")),
            (Some("One two three, four "), &["One"], Ok("One")),
            (None, &whole, Ok("five six")),
            (None, &["One two three, four "], Ok("")),
            (None, &["One two", " of us"], Err(Failure::Diverged)),
            (None, &["One two"], Err(Failure::Diverged)),
        ] {
            let came = joined(shown, words);
            assert_eq!(came, wanted.map(str::to_owned), "{shown:?} {words:?}");
        }
    }

    #[test]
    fn only_text_is_gone_on_from() {
        let delta = |delta: &str| format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
        for open in [
            r#"{"role":"assistant","content":"","tool_calls":[],"refusal":null}"#,
            r#"{"content":"a"}"#,
            r#"{"reasoning_content":"hm"}"#,
        ] {
            assert!(!partial(Operation::Chat, &[&delta(open)]).is_sealed(), "{open}");
        }
        for sealed in [
            r#"{"tool_calls":[{"index":0}]}"#,
            r#"{"function_call":{"name":"f"}}"#,
            r#"{"refusal":"no"}"#,
            r#"{"content":[{"type":"text","text":"a"}]}"#,
            r#"{"content":"\ud83d"}"#,
            r#"{"audio":{"id":"a"}}"#,
        ] {
            assert!(partial(Operation::Chat, &[&delta(sealed)]).is_sealed(), "{sealed}");
        }
        assert!(partial(Operation::Chat, &[r#"{"choices":[{"index":1,"delta":{}}]}"#]).is_sealed());
        assert!(PartialAnswer::new(Operation::Chat, false).is_sealed());
        assert!(PartialAnswer::new(Operation::Responses, true).is_sealed());
        let long = word(&"a".repeat(TEXT_MAX + 1));
        assert!(partial(Operation::Chat, &[&long]).is_sealed());
    }

    #[test]
    fn thoughts_are_not_shown_again_and_usage_counts_both_parts_once() {
        let mut seam = Seam::new(partial(Operation::Chat, &[CUT]), 5, Some("One two three, four "));
        let mut join = |data: &str| {
            let joined = seam.join(&Bytes::from(format!("data: {data}\n\n"))).expect("one answer");
            String::from_utf8_lossy(&joined).into_owned()
        };
        assert_eq!(join(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#), "");
        assert_eq!(join(r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#), "");
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":15,"completion_tokens":2,"total_tokens":17}}"#;
        let said = lenient(join(usage).trim().trim_start_matches("data: "));
        assert_eq!(
            said["usage"],
            json!({"prompt_tokens":10,"completion_tokens":7,"total_tokens":17})
        );
        let mut anew = Seam::new(partial(Operation::Chat, &[CUT]), 5, None);
        let same = anew.join(&Bytes::from(format!("data: {usage}\n\n"))).expect("one answer");
        let same = String::from_utf8_lossy(&same).into_owned();
        assert_eq!(lenient(same.trim().trim_start_matches("data: ")), lenient(usage));
    }

    #[test]
    fn a_message_goes_on_in_the_block_that_is_open() {
        let start = |index: u64, kind: &str| json!({"type": "content_block_start", "index": index, "content_block": {"type": kind}});
        let delta = |index: u64, text: &str| json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}});
        let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
        let begin = json!({"type": "message_start", "message": {"id": "a"}});
        let before =
            [begin.clone(), start(0, "thinking"), stop(0), start(1, "text"), delta(1, "One ")];
        let before: Vec<String> = before.iter().map(Value::to_string).collect();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let mut seam = Seam::new(partial(Operation::Messages, &before), 3, Some("One"));
        let end = json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}});
        let mut out = Vec::new();
        for event in [begin, start(0, "text"), delta(0, " two"), stop(0), start(1, "tool_use"), end]
        {
            let kind = event["type"].as_str().expect("a type").to_owned();
            let bytes = Bytes::from(format!("event: {kind}\ndata: {event}\n\n"));
            out.extend_from_slice(&seam.join(&bytes).expect("one answer"));
        }
        let text = String::from_utf8_lossy(&out).into_owned();
        let came: Vec<Value> =
            text.lines().filter_map(|line| line.strip_prefix("data: ")).map(lenient).collect();
        let wanted = [
            delta(1, "two"),
            stop(1),
            start(2, "tool_use"),
            json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}),
        ];
        assert_eq!(came, wanted);
        assert!(text.starts_with("event: content_block_delta\n"), "{text}");
        assert!(seam.partial.is_sealed(), "a tool is called");
    }

    #[test]
    fn a_message_of_which_nothing_more_comes_has_its_block_ended() {
        let before = [
            r#"{"type":"message_start","message":{"id":"a"}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"One."}}"#,
        ];
        let mut seam = Seam::new(partial(Operation::Messages, &before), 3, Some("One."));
        let end = Bytes::from_static(b"data: {\"type\":\"message_delta\",\"delta\":{}}\n\n");
        let out = String::from_utf8_lossy(&seam.join(&end).expect("one answer")).into_owned();
        let came: Vec<Value> =
            out.lines().filter_map(|line| line.strip_prefix("data: ")).map(lenient).collect();
        let stop = json!({"type": "content_block_stop", "index": 0});
        assert_eq!(came, [stop, json!({"type": "message_delta", "delta": {}})]);
    }

    #[test]
    fn a_conversation_is_given_the_beginning_of_its_answer() {
        let with =
            |messages| with_beginning(messages, "a\"b").map(|it| String::from_utf8(it).unwrap());
        assert_eq!(with("[ ]").unwrap(), r#"[ {"content":"a\"b","role":"assistant"}]"#);
        assert_eq!(with("[{}] ").unwrap(), r#"[{},{"content":"a\"b","role":"assistant"}]"#);
        assert_eq!(with("7"), None);
    }
}
