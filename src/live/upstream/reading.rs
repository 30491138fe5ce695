//! Reading an answer: a stream event by event up to its terminal marker, or a whole one at once.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::{BODY_MAX, Meter, Outlet, Passed, Sending, failed};
use crate::balance::{Failure, Outcome, SessionKeyKind, Usage};
use crate::live::coding::{Coding, CodingError, Unpacker};
use crate::live::http::{BodyRoom, STEP, TakenRoom};
use crate::live::wire::answer::{AnswerPiece, StreamReader, WholeAnswer, whole};
use crate::live::wire::operation::{Operation, Protocol};
use crate::live::wire::sse::{SseError, SseEvent};
use crate::live::wire::usage::SaidUsage;
use crate::unit::Tokens;

/// What an attempt expects to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    operation: Operation,
    output_max: Option<u64>,
}

impl Expected {
    pub(super) const fn of(sending: &Sending) -> Expected {
        Expected { operation: sending.operation, output_max: sending.output_max }
    }

    const fn protocol(self) -> Protocol {
        self.operation.protocol()
    }

    /// Returns what was used: as the endpoint says, as far as that is possible, else as it was counted.
    fn usage(self, said: Option<SaidUsage>, meter: &Meter, output: u64, bytes: u64) -> Usage {
        let counts = !matches!(self.protocol(), Protocol::Json | Protocol::Plain);
        let counted = Usage {
            input: Tokens(meter.prompt.load(Ordering::Relaxed)),
            cached: Tokens::ZERO,
            output: Tokens(if counts { output } else { 0 }),
            estimated: true,
        };
        SaidUsage::believed(said, counted, self.output_max, bytes)
    }
}

/// What has been read of a stream.
#[derive(Debug)]
pub(super) struct StreamReading {
    pub(super) started: bool,
    expected: Expected,
    reader: StreamReader,
    /// The endpoint's name for the answer has been told.
    named: bool,
}

/// What an event of a stream means for it.
pub(super) enum StreamStep {
    On,
    Done,
    Failed(Failure),
    /// It is an error, in the words of the protocol.
    Refused,
}

impl StreamReading {
    pub(super) fn new(expected: Expected) -> StreamReading {
        let reader = StreamReader::new(expected.protocol());
        StreamReading { started: false, expected, reader, named: false }
    }

    pub(super) async fn take(
        &mut self,
        event: &SseEvent,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> StreamStep {
        let raw = &event.raw;
        if event.data.is_none() {
            // Before the answer begins nothing may leave, and this is of no use later.
            if self.started {
                let _ = outlet.pass_on(Passed::Comment(raw)).await;
            }
            return StreamStep::On;
        }
        let data = event.text();
        let whole_before = self.reader.is_whole();
        let (content, bare) = match self.reader.read(event) {
            None => return StreamStep::Failed(Failure::Malformed),
            Some(AnswerPiece::Error) => return self.refused(),
            // An end of nothing is no answer.
            Some(AnswerPiece::Done) if !self.started && !whole_before && self.marks_only(data) => {
                return StreamStep::Failed(Failure::Malformed);
            }
            Some(AnswerPiece::Done) => {
                return match outlet.pass_on(Passed::Last { data, raw }).await {
                    Ok(()) => StreamStep::Done,
                    Err(failure) => StreamStep::Failed(failure),
                };
            }
            Some(AnswerPiece::Chunk { content, bare }) => (content, bare),
        };
        if let Some(id) = self.reader.id().filter(|_| !self.named) {
            let _ =
                outlet.pass_on(Passed::Kept(SessionKeyKind::PreviousResponse, id.as_bytes())).await;
            self.named = true;
        }
        if content {
            meter.output.fetch_add(1, Ordering::Relaxed);
            meter.bytes.fetch_add(raw.len() as u64, Ordering::Relaxed);
            if !std::mem::replace(&mut self.started, true) {
                meter.started.store(true, Ordering::Relaxed);
                outlet.first_token().await;
            }
        }
        // Roles and other preliminaries wait for the first content: until then nothing is committed.
        match outlet.pass_on(Passed::Event { data, raw, bare }).await {
            Ok(()) => StreamStep::On,
            Err(failure) => StreamStep::Failed(failure),
        }
    }

    /// Returns whether a terminal marker is nothing else, so that an answer has to stand before it.
    fn marks_only(&self, data: &str) -> bool {
        self.expected.protocol() == Protocol::Choices || data.trim() == "[DONE]"
    }

    /// An error came. Before the first content it is what the status would have been; afterwards the
    /// server had accepted the request.
    const fn refused(&self) -> StreamStep {
        if self.started { StreamStep::Failed(Failure::ServerError) } else { StreamStep::Refused }
    }

    /// The stream ended without a terminal marker.
    pub(super) fn closed(&self, meter: &Meter) -> Outcome {
        // A clean end of what is not whole is a cut stream.
        if self.reader.is_whole() { self.done(meter) } else { failed(Failure::Malformed, meter) }
    }

    /// The end of a whole stream. Where it did not say what it used, chunks are counted.
    pub(super) fn done(&self, meter: &Meter) -> Outcome {
        let output = meter.output.load(Ordering::Relaxed);
        let bytes = meter.bytes.load(Ordering::Relaxed);
        Outcome::Done(self.expected.usage(self.reader.usage(), meter, output, bytes))
    }
}

/// Returns what it means for an attempt that a stream has no further event.
pub(super) const fn unread(error: SseError) -> Failure {
    match error {
        SseError::TooLarge => Failure::TooLarge,
        SseError::NotText => Failure::Malformed,
    }
}

/// Reads a body to its end, unpacked if it is packed, but no more than so much of it.
pub(super) async fn collect(
    mut body: Incoming,
    headers: &HeaderMap,
    (max, room): (usize, Option<&BodyRoom>),
) -> Result<Bytes, Failure> {
    let coding = Coding::of(headers).ok_or(Failure::Malformed)?;
    let mut unpacker = Unpacker::new(coding);
    let (mut all, mut taken) = (Vec::new(), TakenRoom::default());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Failure::Reset)?.into_data() else { continue };
        let data = unpacked(&mut unpacker, data)?;
        if all.len() + data.len() > max {
            return Err(Failure::TooLarge);
        }
        // What is small has no need of it: a connection has as much for itself.
        if let Some(room) = room
            && all.len() + data.len() > STEP
        {
            room.take(&mut taken, all.len() + data.len()).map_err(|_| Failure::TooLarge)?;
        }
        all.extend_from_slice(&data);
    }
    if unpacker.is_some_and(|unpacker| !unpacker.is_whole()) {
        return Err(Failure::Malformed);
    }
    Ok(taken.with(all))
}

/// Returns bytes of a body as they were before they were packed.
pub(super) fn unpacked(unpacker: &mut Option<Unpacker>, data: Bytes) -> Result<Bytes, Failure> {
    let Some(unpacker) = unpacker else { return Ok(data) };
    match unpacker.push(&data, u64::MAX) {
        Ok(data) => Ok(data.into()),
        // No honest endpoint packs so tight.
        Err(CodingError::TooLarge | CodingError::Malformed) => Err(Failure::Malformed),
    }
}

/// What a whole answer turned out to be.
pub(super) enum WholeReading {
    Ended(Outcome),
    /// It is an error, in the words of the protocol.
    Refused(Bytes),
}

/// Reads an answer that is no stream.
pub(super) async fn read_whole(
    body: Incoming,
    headers: &HeaderMap,
    (expected, room): (Expected, &BodyRoom),
    meter: &Meter,
    outlet: &mut impl Outlet,
) -> WholeReading {
    let body = match collect(body, headers, (BODY_MAX, Some(room))).await {
        Ok(body) => body,
        Err(failure) => return WholeReading::Ended(failed(failure, meter)),
    };
    let (said, id) = match whole(expected.protocol(), &body) {
        WholeAnswer::Good { usage, id } => (usage, id),
        WholeAnswer::Error => return WholeReading::Refused(body),
        WholeAnswer::Bad => return WholeReading::Ended(failed(Failure::Malformed, meter)),
    };
    if let Some(id) = id {
        let _ = outlet.pass_on(Passed::Kept(SessionKeyKind::PreviousResponse, id.as_bytes())).await;
    }
    let kind = headers.get(CONTENT_TYPE);
    let _ = outlet.pass_on(Passed::Whole { kind, body: &body }).await;
    // About four bytes a token, as everywhere where nothing better is known.
    let bytes = body.len() as u64;
    WholeReading::Ended(Outcome::Done(expected.usage(said, meter, bytes / 4, bytes)))
}
