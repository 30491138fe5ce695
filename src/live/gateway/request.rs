//! A request as its client wrote it: read once when it comes in, written anew for every node it is sent to.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::AUTO;
use super::form::WrittenForm;
use super::seam::with_beginning;
use super::written::WrittenObject;
use crate::balance::SessionKeyKind;
use crate::live::upstream::{Dialect, PlainCall, PrefillKind, Sending};
use crate::live::wire::anthropic::{chat_to_messages, lenient, messages_to_chat};
use crate::live::wire::estimate_tokens;
use crate::live::wire::json::{at, count, is_null, nests_deeper, string};
use crate::live::wire::openai::{ChatRequest, token_limit};
use crate::live::wire::operation::Operation;
use crate::unit::Tokens;

/// The names of the limit of an answer.
const OLD_MAX: &str = "max_tokens";
const NEW_MAX: &str = "max_completion_tokens";
const RESPONSE_MAX: &str = "max_output_tokens";

/// What is read of requests that are no chat. None may be said twice: the endpoint could take the other one.
const READ: [&str; 8] = [
    "model",
    "stream",
    "stream_options",
    OLD_MAX,
    NEW_MAX,
    RESPONSE_MAX,
    "user",
    "previous_response_id",
];

/// The fields that name a conversation, the surest first.
const SESSIONS: [&str; 3] = ["prompt_cache_key", "conversation", "user"];

/// The fields that a model reads.
const PROMPTS: [&str; 9] = [
    "messages",
    "input",
    "prompt",
    "system",
    "instructions",
    "tools",
    "query",
    "documents",
    "suffix",
];

/// Fields that tell some gateways where to send a request, and whose key to send along: behind this one may be
/// such a gateway, and where requests go is for the configuration to say.
const ELSEWHERE: [&str; 3] = ["api_base", "base_url", "custom_host"];

/// A request nests no deeper.
const DEPTH_MAX: usize = 128;

/// Words for how hard a model is asked to think, from not at all.
const EFFORTS: [&[&str]; 6] =
    [&["none"], &["minimal"], &["low"], &["medium"], &["high"], &["xhigh", "max"]];

/// A request of a client. It never enters the balancer.
#[derive(Debug)]
pub(super) struct ClientRequest {
    pub(super) operation: Operation,
    written: Written,
    /// What it says of each limit of its answer.
    output_max: Vec<(&'static str, Option<u64>)>,
    /// So many answers are wanted.
    choices: u64,
    pub(super) prompt: Tokens,
    /// Whether the answer is to be a stream.
    pub(super) streams: bool,
    /// Whether that stream is to end with its usage.
    pub(super) wants_usage: bool,
    /// Headers that go along to every node.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug)]
enum Written {
    Object(WrittenObject),
    Form(WrittenForm),
    /// What is said to an agent or a tool.
    Plain(PlainCall, Bytes, Option<HeaderValue>),
}

/// What the gateway goes by.
#[derive(Debug, Default)]
pub(super) struct UnderstoodRequest {
    /// The model it names; [`AUTO`] where it names none.
    pub(super) model: String,
    pub(super) output_max: Option<u64>,
    /// The conversation that it says it belongs to.
    pub(super) session: Option<String>,
    pub(super) chat: Option<ChatRequest>,
}

impl ClientRequest {
    /// Reads a body: as it is to be passed on, and as the gateway understands it.
    ///
    /// # Errors
    /// If it is no such request, in words for the client.
    pub(super) fn read(
        (operation, model): (Operation, Option<&str>),
        kind: Option<&HeaderValue>,
        body: &Bytes,
    ) -> Result<(ClientRequest, UnderstoodRequest), String> {
        if let Some(form) = WrittenForm::read(kind, body)? {
            return Ok(of_form(operation, form));
        }
        if nests_deeper(body, DEPTH_MAX) {
            return Err(format!("this is no request: it nests more than {DEPTH_MAX} deep"));
        }
        let body = match (model, WrittenObject::read(body)) {
            (Some(model), Some(written)) => &written.with(&[("model", json(&model))]),
            _ => body,
        };
        if operation == Operation::Chat { of_chat(body) } else { of_object(operation, body) }
    }

    /// What is said to an agent or a tool.
    pub(super) fn plain(
        call: PlainCall,
        body: Bytes,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> ClientRequest {
        let kind = headers.iter().find(|(name, _)| *name == CONTENT_TYPE);
        let kind = kind.map(|(_, value)| value.clone());
        ClientRequest {
            operation: Operation::Http,
            prompt: Tokens((body.len() as u64 / 4).max(1)),
            written: Written::Plain(call, body, kind),
            output_max: Vec::new(),
            choices: 1,
            streams: true,
            wants_usage: true,
            headers,
        }
    }

    /// Returns how hard it asks the model to think, in steps from one on; zero if it says nothing of that.
    pub(super) fn effort(&self) -> u8 {
        let Written::Object(written) = &self.written else { return 0 };
        let nested = |field: &str| at(written.field(field)?, &["effort"]);
        let said = written.field("reasoning_effort").or_else(|| nested("reasoning"));
        if let Some(word) = said.or_else(|| nested("output_config")).and_then(string) {
            let step = EFFORTS.iter().position(|words| words.contains(&&*word));
            return step.map_or(0, |step| step as u8 + 1);
        }
        let Some(thinking) = written.field("thinking") else { return 0 };
        match at(thinking, &["type"]) {
            Some("\"disabled\"") => 1,
            Some("\"enabled\"" | "\"adaptive\"") => {
                match at(thinking, &["budget_tokens"]).and_then(count).unwrap_or(8_192) {
                    0..4_096 => 3,
                    4_096..16_384 => 4,
                    _ => 5,
                }
            }
            _ => 0,
        }
    }

    /// Returns what its body names of this kind, if that has a name.
    pub(super) fn name(&self, by: SessionKeyKind) -> Option<Cow<'_, str>> {
        let Written::Object(written) = &self.written else { return None };
        let said = match by {
            SessionKeyKind::User => {
                written.field("user").or_else(|| at(written.field("metadata")?, &["user_id"]))
            }
            // By its name, or as an object that has it.
            SessionKeyKind::Conversation => {
                let said = written.field("conversation");
                said.and_then(|said| at(said, &["id"])).or(said)
            }
            SessionKeyKind::PromptCacheKey => written.field("prompt_cache_key"),
            SessionKeyKind::PreviousResponse => written.field("previous_response_id"),
            SessionKeyKind::Session | SessionKeyKind::McpSession => None,
        };
        string(said?).filter(|said| !said.is_empty())
    }

    /// Returns what is sent to a node that calls the model so; empty to leave what the client said. A clamp
    /// lowers what limits the answer, whatever it is called there, and where nothing does it is the name
    /// that every engine knows.
    pub(super) fn sending(&self, model: &str, clamp: Option<Tokens>, dialect: Dialect) -> Sending {
        let (mut body, kind) = match &self.written {
            Written::Object(written) => (written.with(&self.changes(written, model, clamp)), None),
            Written::Form(form) => (form.with_model(model), Some(form.kind().clone())),
            Written::Plain(_, body, kind) => (body.clone(), kind.clone()),
        };
        let operation = dialect.speaks(self.operation);
        if operation != self.operation {
            body = translated(operation, &body);
        }
        let most = self.output_max.iter().filter_map(|(_, limit)| *limit).max();
        Sending {
            operation,
            body,
            kind,
            streams: self.streams,
            output_max: most.map(|most| most.saturating_mul(self.choices)),
            or_else: None,
            plain: match &self.written {
                Written::Plain(call, ..) => Some(call.clone()),
                Written::Object(_) | Written::Form(_) => None,
            },
            headers: self.headers.clone(),
            figures: Vec::new(),
        }
    }

    /// Returns what is sent to let a node go on from the text of an answer, of which so many tokens have
    /// come, and how much of the text it is shown; `None` if it cannot be asked to.
    pub(super) fn prefilled<'a>(
        whole: &Sending,
        text: &'a str,
        (prefill, tokens): (PrefillKind, Tokens),
    ) -> Option<(Sending, &'a str)> {
        if text.is_empty() || prefill == PrefillKind::Never {
            return None;
        }
        let written = WrittenObject::read(&whole.body)?;
        // Anthropic takes no answer that ends with a space.
        let shown = if whole.operation == Operation::Messages { text.trim_end() } else { text };
        let mut changes = match whole.operation {
            Operation::Completions => {
                let prompt = string(written.field("prompt")?)?;
                vec![("prompt", json(&format!("{prompt}{shown}")))]
            }
            _ => vec![("messages", with_beginning(written.field("messages")?, shown)?)],
        };
        if whole.operation == Operation::Chat && prefill == PrefillKind::Continued {
            changes.push(("continue_final_message", json(&true)));
            changes.push(("add_generation_prompt", json(&false)));
        }
        for name in [OLD_MAX, NEW_MAX] {
            let most = written.field(name).and_then(|said| said.parse::<u64>().ok());
            if let Some(most) = most {
                changes.push((name, json(&most.saturating_sub(tokens.0).max(1))));
            }
        }
        let body = written.with(&changes);
        Some((Sending { body, or_else: Some(Box::new(whole.clone())), ..whole.clone() }, shown))
    }

    /// Returns whether there is one answer to go on from.
    pub(super) const fn has_one_answer(&self) -> bool {
        self.choices == 1 && self.streams
    }

    fn changes(
        &self,
        written: &WrittenObject,
        model: &str,
        clamp: Option<Tokens>,
    ) -> Vec<(&'static str, Vec<u8>)> {
        let mut changes = Vec::new();
        if !model.is_empty() {
            changes.push(("model", json(&model)));
        }
        if self.streams && self.operation.hides_usage() {
            // Usage is asked for in any case: without it the cost would be a guess.
            let said = written.field("stream_options");
            let said = said.and_then(|options| serde_json::from_str(options).ok());
            let mut options: Map<String, Value> = said.unwrap_or_default();
            if options.insert("include_usage".to_owned(), true.into()) != Some(true.into()) {
                changes.push(("stream_options", json(&options)));
            }
        }
        if let (Some(Tokens(most)), Some((usual, _))) = (clamp, self.output_max.first()) {
            let before = changes.len();
            for (name, limit) in &self.output_max {
                // What is said may be that there is no limit.
                if !is_null(written.field(name)) {
                    changes.push((*name, json(&limit.map_or(most, |limit| limit.min(most)))));
                }
            }
            if changes.len() == before {
                changes.push((*usual, json(&most)));
            }
        }
        changes
    }
}

/// Refuses a body that says where it wants to be sent.
fn stays_here(written: &WrittenObject) -> Result<(), String> {
    let said = |name: &&&str| !is_null(written.field(name));
    match ELSEWHERE.iter().find(said) {
        Some(name) => Err(format!("this is no request: `{name}` is for the gateway to say")),
        None => Ok(()),
    }
}

/// Returns what a body says about the conversation it belongs to: whatever shares a cache shares this.
fn session(written: &WrittenObject) -> Option<String> {
    let mut said = SESSIONS.iter().filter_map(|name| string(written.field(name)?));
    said.find(|said| !said.is_empty()).map(Cow::into_owned)
}

fn of_chat(body: &Bytes) -> Result<(ClientRequest, UnderstoodRequest), String> {
    let (Some(written), Ok(asked)) =
        (WrittenObject::read(body), serde_json::from_slice::<ChatRequest>(body))
    else {
        return Err(refusal(body));
    };
    stays_here(&written)?;
    let said = UnderstoodRequest {
        model: asked.model.clone(),
        output_max: asked.output_max(),
        session: session(&written),
        chat: None,
    };
    let client = ClientRequest {
        operation: Operation::Chat,
        written: Written::Object(written),
        output_max: vec![(OLD_MAX, asked.max_tokens), (NEW_MAX, asked.max_completion_tokens)],
        choices: asked.n.unwrap_or(1).max(1),
        prompt: Tokens(asked.prompt_tokens()),
        streams: asked.streams(),
        wants_usage: asked.wants_usage(),
        headers: Vec::new(),
    };
    Ok((client, UnderstoodRequest { chat: Some(asked), ..said }))
}

/// Any other request: only what the gateway needs is read of it.
fn of_object(
    operation: Operation,
    body: &Bytes,
) -> Result<(ClientRequest, UnderstoodRequest), String> {
    let Some(written) = WrittenObject::read(body) else { return Err(no_object(body)) };
    stays_here(&written)?;
    if let Some(name) = written.twice(&READ) {
        return Err(format!("this is no request: duplicate field `{name}`"));
    }
    let said = |name: &str| written.field(name).filter(|value| *value != "null");
    let text = |name: &str| -> Result<Option<String>, String> {
        let Some(value) = said(name) else { return Ok(None) };
        match string(value) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(format!("this is no request: `{name}` is no text: {value:.40}")),
        }
    };
    let limits: &[&'static str] = match operation {
        Operation::Completions | Operation::Messages => &[OLD_MAX],
        Operation::Responses => &[RESPONSE_MAX],
        _ => &[],
    };
    let mut output_max = Vec::new();
    for name in limits {
        let limit = said(name).map(token_limit).transpose();
        let limit = limit.map_err(|why| format!("this is no request: `{name}`: {why}"))?;
        output_max.push((*name, limit.flatten()));
    }
    let streams = match said("stream") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err("this is no request: `stream` is neither true nor false".to_owned()),
    };
    let options = said("stream_options").unwrap_or("{}");
    let wants = crate::live::wire::json::field(options, "include_usage") == Some("true");
    let _ = text("previous_response_id")?;
    let asked = UnderstoodRequest {
        model: text("model")?.unwrap_or_else(|| AUTO.to_owned()),
        output_max: output_max.iter().find_map(|(_, limit)| *limit),
        session: session(&written),
        chat: None,
    };
    let prompt = PROMPTS.iter().filter_map(|name| said(name)).map(estimate_tokens).sum::<u64>();
    let client = ClientRequest {
        operation,
        written: Written::Object(written),
        output_max,
        choices: 1,
        prompt: Tokens(prompt.max(1)),
        streams,
        wants_usage: wants || !operation.hides_usage(),
        headers: Vec::new(),
    };
    Ok((client, asked))
}

fn of_form(operation: Operation, form: WrittenForm) -> (ClientRequest, UnderstoodRequest) {
    let model = form.model().filter(|model| !model.is_empty()).unwrap_or(AUTO).to_owned();
    let client = ClientRequest {
        operation,
        streams: form.streams(),
        written: Written::Form(form),
        output_max: Vec::new(),
        choices: 1,
        prompt: Tokens(1),
        wants_usage: true,
        headers: Vec::new(),
    };
    (client, UnderstoodRequest { model, ..UnderstoodRequest::default() })
}

/// A conversation in the words of whoever is asked.
fn translated(operation: Operation, body: &[u8]) -> Bytes {
    let said = lenient(&String::from_utf8_lossy(body));
    let said = match operation {
        Operation::Messages => chat_to_messages(&said),
        _ => messages_to_chat(&said),
    };
    said.to_string().into()
}

/// Strings, numbers and what has been read as JSON can always be written.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Says why a body is no chat request, with the place.
fn refusal(body: &[u8]) -> String {
    match serde_json::from_slice::<ChatRequest>(body) {
        Err(why) => format!("this is no chat request: {why}"),
        Ok(_) => "this is no JSON object".to_owned(),
    }
}

fn no_object(body: &[u8]) -> String {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Err(why) => format!("this is no request: {why}"),
        Ok(_) => "this is no JSON object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = r#"{"model":"c","stream":true,"max_completion_tokens":90, "stream_options":{"x":1},
        "messages":[{"role":"user","content":"h\u00e9"}],"big":123456789012345678901234567890,
        "schema":{"z":1,"a":{"y":0.10}},"big":0.10,"q\"":null}"#;

    /// The names of the limit of an answer to a chat, the older one first.
    const MAX_TOKENS: [&str; 2] = [OLD_MAX, NEW_MAX];

    fn read_as(
        operation: Operation,
        body: &str,
    ) -> Result<(ClientRequest, UnderstoodRequest), String> {
        ClientRequest::read((operation, None), None, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn read(body: &str) -> Result<(ClientRequest, UnderstoodRequest), String> {
        read_as(Operation::Chat, body)
    }

    fn written(body: &str, model: &str, clamp: Option<u64>) -> String {
        let (client, _) = read(body).expect("a chat request");
        String::from_utf8(client.sending(model, clamp.map(Tokens), Dialect::Openai).body.to_vec())
            .expect("text")
    }

    #[test]
    fn what_a_client_wrote_is_passed_on_letter_by_letter() {
        let sent = written(ASKED, "", None);
        assert_eq!(sent, ASKED.replace(r#"{"x":1}"#, r#"{"include_usage":true,"x":1}"#));
        let value: Value = serde_json::from_str(&sent).expect("JSON");
        assert_eq!(value["q\""], Value::Null);
        let other: Value = serde_json::from_str(&written(ASKED, "a\"b", None)).expect("JSON");
        assert_eq!(other["model"], "a\"b");
        let (client, asked) = read(ASKED).expect("a chat request");
        assert_eq!((asked.model.as_str(), asked.output_max), ("c", Some(90)));
        assert!(client.streams && !client.wants_usage && client.prompt > Tokens::ZERO);
        let whole = r#"{"model":"c","messages":[]}"#;
        assert_eq!(written(whole, "", None), whole);
    }

    #[test]
    fn a_clamp_lowers_every_limit_and_makes_one_where_there_is_none() {
        let limits = |said: &str, clamp| {
            let sent = written(&format!(r#"{{"model":"c","messages":[]{said}}}"#), "", Some(clamp));
            let value: Value = serde_json::from_str(&sent).expect("JSON");
            MAX_TOKENS.map(|name| value.get(name).and_then(Value::as_u64))
        };
        assert_eq!(limits("", 5), [Some(5), None]);
        assert_eq!(limits(r#","max_tokens":null"#, 5), [Some(5), None]);
        assert_eq!(limits(r#","max_tokens":3"#, 5), [Some(3), None]);
        assert_eq!(limits(r#","max_completion_tokens":9"#, 5), [None, Some(5)]);
        assert_eq!(limits(r#","max_completion_tokens":-1"#, 5), [None, Some(5)]);
        assert_eq!(limits(r#","max_tokens":9.0"#, 5), [Some(5), None]);
        let both = r#","max_tokens":9,"max_completion_tokens":3"#;
        assert_eq!(limits(both, 5), [Some(5), Some(3)]);
    }

    #[test]
    fn a_limit_that_is_none_is_passed_on_as_it_was_written() {
        for (said, limit) in [
            ("-1", None),
            ("0", None),
            ("null", None),
            ("100.0", Some(100)),
            ("1e2", Some(100)),
            ("1.5", None),
            ("-0.0", None),
            ("1e300", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("123456789012345678901234567890", None),
        ] {
            for name in MAX_TOKENS {
                let body = format!(r#"{{"model":"c","messages":[],"{name}":{said}}}"#);
                let (client, asked) = read(&body).expect("a chat request");
                assert_eq!(asked.output_max, limit, "{said}");
                let sent =
                    String::from_utf8(client.sending("", None, Dialect::Openai).body.to_vec())
                        .expect("text");
                assert!(sent.contains(&format!("\"{name}\":{said}")), "{sent}");
            }
        }
        for said in ["\"100\"", "true", "[1]", "{}"] {
            let body = format!(r#"{{"model":"c","messages":[],"max_tokens":{said}}}"#);
            let why = read(&body).expect_err("no number");
            assert!(why.contains("invalid type") && why.contains("line 1"), "{why}");
        }
    }

    #[test]
    fn how_hard_a_model_is_asked_to_think_is_read_in_everybodys_words() {
        for (said, effort) in [
            (r#""reasoning_effort":"none""#, 1),
            (r#""reasoning_effort":"low""#, 3),
            (r#""reasoning_effort":"xhigh""#, 6),
            (r#""reasoning":{"effort":"high"}"#, 5),
            (r#""output_config":{"effort":"max"}"#, 6),
            (r#""thinking":{"type":"disabled"}"#, 1),
            (r#""thinking":{"type":"enabled","budget_tokens":1024}"#, 3),
            (r#""thinking":{"type":"enabled","budget_tokens":60000}"#, 5),
            (r#""thinking":{"type":"adaptive"}"#, 4),
            (r#""reasoning_effort":"so so""#, 0),
            (r#""reasoning_effort":7,"thinking":true"#, 0),
            (r#""x":1"#, 0),
        ] {
            let (client, _) =
                read(&format!(r#"{{"model":"c","messages":[],{said}}}"#)).expect("one");
            assert_eq!(client.effort(), effort, "{said}");
        }
    }

    #[test]
    fn what_is_no_chat_request_is_refused_with_its_place() {
        let refused = |body: &str| read(body).expect_err("no chat request");
        let place = refused("{\"model\": \"c\",\n \"messages\": 5}");
        assert!(place.contains("invalid type") && place.contains("line 2 column 14"), "{place}");
        assert!(refused("{").contains("EOF"));
        assert!(refused("{}").contains("missing field `model`"));
        assert!(refused("[\"c\", []]").contains("no JSON object"));
        assert!(refused("{\"model\":\"a\",\"messages\":[],\"x\":}").contains("line 1 column 32"));
        let twice = refused("{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}");
        assert!(twice.contains("duplicate field `model`"), "{twice}");
        assert!(read("{\"model\":\"a\",\"messages\":[]}\u{0}").is_err());
        let invalid = Bytes::from_static(b"{\"model\":\"a\",\"messages\":[],\"x\":\"\xff\"}");
        assert!(
            ClientRequest::read((Operation::Chat, None), None, &invalid).is_err(),
            "it is no text"
        );
    }

    #[test]
    fn who_says_where_to_send_it_or_nests_too_deep_is_refused() {
        for operation in [Operation::Chat, Operation::Embeddings, Operation::Messages] {
            for name in ELSEWHERE {
                let body = |said: &str| format!(r#"{{"model":"a","messages":[],"{name}":{said}}}"#);
                let why = read_as(operation, &body("\"http://x\"")).expect_err("it is not taken");
                assert!(why.contains(name), "{why}");
                assert!(read_as(operation, &body("null")).is_ok(), "it says nothing");
            }
            let deep = |depth: usize| {
                let (open, close) = ("[".repeat(depth), "]".repeat(depth));
                format!(r#"{{"model":"a","messages":[],"x":{open}{close}}}"#)
            };
            assert!(read_as(operation, &deep(DEPTH_MAX - 1)).is_ok());
            for depth in [DEPTH_MAX, 100_000] {
                let why = read_as(operation, &deep(depth)).expect_err("it is too deep");
                assert!(why.contains("128 deep"), "{why}");
            }
        }
    }

    #[test]
    fn of_other_requests_only_what_is_needed_is_read() {
        let body = r#"{"model":"m","input":["\ud83d",7],"max_output_tokens":9.0,"stream":true,"user":7,"previous_response_id":"r"}"#;
        let (client, asked) = read_as(Operation::Responses, body).expect("a request");
        assert_eq!((asked.model.as_str(), asked.output_max), ("m", Some(9)));
        let names = SessionKeyKind::ALL.map(|by| client.name(by).map(Cow::into_owned));
        assert_eq!(
            (asked.session, names.into_iter().flatten().collect()),
            (None, vec!["r".to_owned()])
        );
        assert!(client.streams && client.wants_usage);
        assert_eq!(client.sending("", None, Dialect::Openai).body, body);
        let clamped = client.sending("n", Some(Tokens(3)), Dialect::Openai).body;
        assert_eq!(clamped, body.replace("\"m\"", "\"n\"").replace("9.0", "3"));
        let (client, asked) =
            read_as(Operation::Embeddings, "{\"input\":\"abcdef\"}").expect("one");
        assert_eq!((asked.model.as_str(), client.prompt), (AUTO, Tokens(2)));
        assert_eq!(
            client.sending("", Some(Tokens(3)), Dialect::Openai).body,
            "{\"input\":\"abcdef\"}"
        );
        for (bad, why) in [
            ("[]", "no JSON object"),
            ("{", "EOF"),
            ("{\"model\":7}", "`model` is no text"),
            ("{\"model\":\"a\",\"model\":\"b\"}", "duplicate field `model`"),
            ("{\"stream\":1}", "`stream`"),
        ] {
            let said = read_as(Operation::Embeddings, bad).expect_err("it is none");
            assert!(said.contains(why), "{bad}: {said}");
        }
        let limit =
            read_as(Operation::Completions, "{\"max_tokens\":\"9\"}").expect_err("it is none");
        assert!(limit.contains("`max_tokens`"), "{limit}");
    }
}
