//! What fuzzers call of the live half.

use bytes::Bytes;

pub use super::gateway::fuzz::{answer, chat};
pub use super::http::fuzz::edge;
use super::wire::sse::{SseError, SseEvent, SseParser};

/// Whatever pieces a stream comes in, it has the same events; and the bytes of the events, passed on, are
/// read as the same events once more. The first byte says how large the pieces are.
pub fn sse(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let (whole, all) = events(bytes, bytes.len());
    for size in [1, 1 + usize::from(size)] {
        let (split, ended) = events(bytes, size);
        assert_eq!(said(&split), said(&whole), "in pieces of {size} bytes");
        assert_eq!(ended, all);
        let passed: Vec<u8> = split.iter().flat_map(|event| event.raw.to_vec()).collect();
        let (again, ended) = events(&passed, passed.len());
        assert_eq!(said(&again), said(&split), "passed on");
        assert_eq!(ended, Ok(()));
    }
}

/// The events in pieces of so many bytes, and how it ended.
pub(super) fn events(bytes: &[u8], size: usize) -> (Vec<SseEvent>, Result<(), SseError>) {
    let (mut parser, mut found) = (SseParser::default(), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        let taken = parser.push(&Bytes::copy_from_slice(piece), &mut |event| found.push(event));
        if taken.is_err() {
            return (found, taken);
        }
    }
    (found, Ok(()))
}

/// What events mean. Comments mean nothing, wherever they stand.
fn said(events: &[SseEvent]) -> Vec<(&str, &[u8])> {
    let data = |event| Some(event).and_then(|event: &SseEvent| event.data.as_deref());
    events.iter().filter_map(|event| Some((event.name.as_str(), data(event)?))).collect()
}
