//! What fuzzers call of the gateway: requests as clients write them, answers as endpoints do.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::de::IgnoredAny;

use super::request::ClientRequest;
use super::translate::AnswerTranslator;
use super::words;
use crate::balance::Usage;
use crate::live::fuzz::events;
use crate::live::upstream::Dialect;
use crate::live::wire::answer::{StreamReader, WholeAnswer, whole};
use crate::live::wire::operation::Operation;
use crate::live::wire::refusal;
use crate::live::wire::usage::SaidUsage;
use crate::unit::Tokens;

const DIALECTS: [Dialect; 3] = [Dialect::Openai, Dialect::Azure, Dialect::Anthropic];

/// A request is refused in words, or what is sent of it is what its client wrote but for the model, the
/// usage of streams and the limit. The first byte says what is asked for, and whether it is a form.
pub fn chat(bytes: &[u8]) {
    let Some((&first, body)) = bytes.split_first() else { return };
    let operation = Operation::ALL[usize::from(first & 0x7f) % Operation::ALL.len()];
    let form = HeaderValue::from_static("multipart/form-data; boundary=b");
    let kind = (first & 0x80 != 0).then_some(&form);
    let body = Bytes::copy_from_slice(body);
    let read = |body: &Bytes| ClientRequest::read((operation, None), kind, body);
    let (client, asked) = match read(&body) {
        Ok(read) => read,
        Err(why) => return assert!(!why.is_empty()),
    };
    assert!(client.prompt > Tokens::ZERO, "no request is free");
    let as_is = client.sending("", None, Dialect::Openai);
    if as_is.operation == operation && !(client.streams && operation.hides_usage()) {
        assert_eq!(as_is.body, body, "nothing has to be changed");
    }
    for dialect in DIALECTS {
        for clamp in [None, Some(Tokens(5))] {
            let sending = client.sending("a\"b", clamp, dialect);
            if kind.is_none() {
                assert!(serde_json::from_slice::<IgnoredAny>(&sending.body).is_ok(), "JSON");
            }
            if sending.operation != operation {
                continue;
            }
            let (again, said) = read(&sending.body).expect("what was read is read again");
            assert_eq!((again.streams, again.prompt), (client.streams, client.prompt));
            assert_eq!(said.session, asked.session);
            if kind.is_none() {
                assert_eq!(said.model, "a\"b", "the model is as it was routed");
            }
            if clamp.is_some() && said.output_max.is_some() {
                assert!(said.output_max <= Some(5), "{:?}", said.output_max);
            }
        }
    }
}

/// An answer is read, translated and counted, whatever it is. The first byte says what was asked for.
pub fn answer(bytes: &[u8]) {
    let Some((&first, body)) = bytes.split_first() else { return };
    let operation = Operation::ALL[usize::from(first) % Operation::ALL.len()];
    let counted =
        Usage { input: Tokens(7), cached: Tokens::ZERO, output: Tokens(5), estimated: false };
    let believed = |said: Option<SaidUsage>| {
        let used = SaidUsage::believed(said, counted, Some(9), body.len() as u64);
        assert!(used.cached <= used.input, "{used:?}");
        assert!(used.input.0.max(used.output.0) < 1 << 32, "no model has such a context: {used:?}");
    };
    if let WholeAnswer::Good { usage, .. } = whole(operation.protocol(), body) {
        believed(usage);
    }
    let said = Bytes::copy_from_slice(body);
    let inside = refusal::status_inside(body);
    assert!((400..600).contains(&inside), "an error has a status of one: {inside}");
    for status in [400, 401, 403, 404, 413, 422, 429, 500, 503, 529, inside] {
        let _ = refusal::outcome(status, body, None, counted);
        let told = words::at_fault(operation, StatusCode::BAD_REQUEST, said.clone());
        assert!(serde_json::from_slice::<IgnoredAny>(&told.body).is_ok(), "an error is JSON");
    }
    let (found, _) = events(body, body.len());
    let mut reader = StreamReader::new(operation.protocol());
    let pairs = [(Operation::Messages, Operation::Chat), (Operation::Chat, Operation::Messages)];
    let mut translators = pairs.map(|(asked, sent)| AnswerTranslator::of(asked, sent, true));
    let mut translated = [Vec::new(), Vec::new()];
    for event in &found {
        let _ = reader.read(event);
        for (translator, out) in translators.iter_mut().flatten().zip(&mut translated) {
            out.extend_from_slice(&translator.event(event.text()));
        }
    }
    believed(reader.usage());
    for (translator, out) in translators.iter_mut().flatten().zip(&mut translated) {
        out.extend_from_slice(&translator.finish());
        let whole = translator.whole(body);
        assert!(serde_json::from_slice::<IgnoredAny>(&whole).is_ok(), "an answer is JSON");
        let (events, ended) = events(out, out.len());
        assert_eq!(ended, Ok(()), "what is translated is a stream");
        for event in events {
            let data = event.text();
            let good = data == "[DONE]" || serde_json::from_str::<IgnoredAny>(data).is_ok();
            assert!(good, "an event is JSON: {data}");
        }
    }
}
