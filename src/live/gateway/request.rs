//! A request as its client wrote it: read once when it comes in, written anew for every node it is sent to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::live::wire::openai::ChatRequest;
use crate::unit::Tokens;

/// The two names of the limit of an answer, the older one first.
const MAX_TOKENS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// A request of a client. It never enters the balancer.
#[derive(Debug)]
pub(super) struct ClientRequest {
    /// What it says, field by field as it was written: the order of the names in a schema matters to the
    /// answer, and numbers may have more digits than we could hold.
    fields: BTreeMap<String, Bytes>,
    /// What it says of each of [`MAX_TOKENS`].
    output_max: [Option<u64>; 2],
    pub(super) prompt: Tokens,
    /// Whether the answer is to be a stream.
    pub(super) streams: bool,
    /// Whether that stream is to end with its usage.
    pub(super) wants_usage: bool,
}

impl ClientRequest {
    /// Reads a body: as it is to be passed on, and as the gateway understands it.
    ///
    /// # Errors
    /// If it is no chat request, in words for the client.
    pub(super) fn read(body: &Bytes) -> Result<(ClientRequest, ChatRequest), String> {
        let Ok(ObjectFields(fields)) = serde_json::from_slice(body) else {
            return Err(refusal(body));
        };
        let said = fields.iter().map(|(name, value)| (name.as_str(), *value));
        let Ok(asked) = ChatRequest::deserialize(MapDeserializer::new(said)) else {
            return Err(refusal(body));
        };
        // Of a field that is said twice the last one counts, where both are passed on unread.
        let part = |value: &RawValue| body.slice_ref(value.get().as_bytes());
        let fields = fields.into_iter().map(|(name, value)| (name, part(value))).collect();
        let client = ClientRequest {
            fields,
            output_max: [asked.max_tokens, asked.max_completion_tokens],
            prompt: Tokens(asked.prompt_tokens()),
            streams: asked.streams(),
            wants_usage: asked.wants_usage(),
        };
        Ok((client, asked))
    }

    /// Returns the body as a node wants it that calls the model so; empty to leave what the client said.
    /// A clamp lowers what limits the answer, whatever it is called there, and where nothing does it is
    /// the older name that every engine knows.
    pub(super) fn body(&self, model: &str, clamp: Option<Tokens>) -> Bytes {
        let said = self.fields.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(&**value)));
        let mut fields: BTreeMap<&str, Cow<'_, [u8]>> = said.collect();
        if !model.is_empty() {
            fields.insert("model", json(&model));
        }
        if self.streams {
            // Usage is asked for in any case: without it the cost would be a guess.
            let said = self.fields.get("stream_options");
            let said = said.and_then(|options| serde_json::from_slice(options).ok());
            let mut options: Map<String, Value> = said.unwrap_or_default();
            options.insert("include_usage".to_owned(), true.into());
            fields.insert("stream_options", json(&options));
        }
        if let Some(Tokens(most)) = clamp {
            let mut named = false;
            for (name, limit) in MAX_TOKENS.into_iter().zip(self.output_max) {
                // What is said may be that there is no limit.
                if self.fields.get(name).is_some_and(|said| **said != *b"null") {
                    fields.insert(name, json(&limit.map_or(most, |limit| limit.min(most))));
                    named = true;
                }
            }
            if !named {
                fields.insert(MAX_TOKENS[0], json(&most));
            }
        }
        object(&fields)
    }
}

/// Strings, numbers and what has been read as JSON can always be written.
fn json(value: &impl Serialize) -> Cow<'static, [u8]> {
    Cow::Owned(serde_json::to_vec(value).unwrap_or_default())
}

/// Writes an object whose values are JSON already.
fn object(fields: &BTreeMap<&str, Cow<'_, [u8]>>) -> Bytes {
    let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut out = Vec::with_capacity(size + 2);
    let mut before = b'{';
    for (name, value) in fields {
        out.push(before);
        out.extend_from_slice(&json(name));
        out.push(b':');
        out.extend_from_slice(value);
        before = b',';
    }
    out.push(b'}');
    out.into()
}

/// Says why a body is no chat request. It is read again for that, so that places are those in the body.
fn refusal(body: &[u8]) -> String {
    match serde_json::from_slice::<ChatRequest>(body) {
        Err(why) => format!("this is no chat request: {why}"),
        Ok(_) => "this is no JSON object".to_owned(),
    }
}

/// The fields of an object in their order, values as they were written.
struct ObjectFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ObjectFields<'de>, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = ObjectFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<ObjectFields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(ObjectFields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = r#"{"model":"c","stream":true,"max_completion_tokens":90, "stream_options":{"x":1},
        "messages":[{"role":"user","content":"h\u00e9"}],"big":123456789012345678901234567890,
        "schema":{"z":1,"a":{"y":0.10}},"big":0.10,"q\"":null}"#;

    fn read(body: &str) -> Result<(ClientRequest, ChatRequest), String> {
        ClientRequest::read(&Bytes::copy_from_slice(body.as_bytes()))
    }

    fn written(body: &str, model: &str, clamp: Option<u64>) -> String {
        let (client, _) = read(body).expect("a chat request");
        String::from_utf8(client.body(model, clamp.map(Tokens)).to_vec()).expect("text")
    }

    #[test]
    fn what_a_client_wrote_is_passed_on_letter_by_letter() {
        let sent = written(ASKED, "", None);
        assert_eq!(
            sent,
            r#"{"big":0.10,"max_completion_tokens":90,"messages":[{"role":"user","content":"h\u00e9"}],"model":"c","q\"":null,"schema":{"z":1,"a":{"y":0.10}},"stream":true,"stream_options":{"include_usage":true,"x":1}}"#
        );
        let value: Value = serde_json::from_str(&sent).expect("JSON");
        assert_eq!(value["q\""], Value::Null);
        let other: Value = serde_json::from_str(&written(ASKED, "a\"b", None)).expect("JSON");
        assert_eq!(other["model"], "a\"b");
        let (client, asked) = read(ASKED).expect("a chat request");
        assert_eq!((asked.model.as_str(), asked.output_max()), ("c", Some(90)));
        assert!(client.streams && !client.wants_usage && client.prompt > Tokens::ZERO);
        let whole = r#"{"model":"c","messages":[]}"#;
        assert_eq!(written(whole, "", None), r#"{"messages":[],"model":"c"}"#);
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
                assert_eq!(asked.output_max(), limit, "{said}");
                let sent = String::from_utf8(client.body("", None).to_vec()).expect("text");
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
        assert!(ClientRequest::read(&invalid).is_err(), "it is no text");
    }
}
