//! Reading an answer: a stream event by event up to its terminal marker, or a whole one at once.

use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{BODY_MAX, Meter, Outlet, Passed, failed};
use crate::balance::{Failure, Outcome, Usage};
use crate::live::wire::answer::{AnswerPiece, piece, whole};
use crate::live::wire::sse::SseEvent;
use crate::unit::Tokens;

/// What has been read of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamReading {
    pub(super) started: bool,
    pub(super) finished: bool,
    usage: Option<Usage>,
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
    pub(super) async fn take(
        &mut self,
        event: &SseEvent,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> StreamStep {
        let data = event.data.as_str();
        if event.name == "error" {
            return self.refused();
        }
        let (content, bare) = match piece(data) {
            None => return StreamStep::Failed(Failure::Malformed),
            Some(AnswerPiece::Error) => return self.refused(),
            // An end of nothing is no answer.
            Some(AnswerPiece::Done) if !self.started && !self.finished => {
                return StreamStep::Failed(Failure::Malformed);
            }
            Some(AnswerPiece::Done) => return StreamStep::Done,
            Some(AnswerPiece::Chunk { content, finished, usage, bare }) => {
                self.finished |= finished;
                self.usage = usage.or(self.usage);
                (content, bare)
            }
        };
        if content {
            meter.output.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(&mut self.started, true) {
                meter.started.store(true, Ordering::Relaxed);
                outlet.first_token().await;
            }
        }
        // Roles and other preliminaries wait for the first content: until then nothing is committed.
        if outlet.pass_on(Passed::Event { data, bare }).await {
            StreamStep::On
        } else {
            StreamStep::Failed(Failure::Malformed)
        }
    }

    /// An error came. Before the first content it is what the status would have been; afterwards the
    /// server had accepted the request.
    const fn refused(&self) -> StreamStep {
        if self.started { StreamStep::Failed(Failure::ServerError) } else { StreamStep::Refused }
    }

    /// The end of a whole stream. Where it did not say what it used, chunks are counted.
    pub(super) fn done(&self, meter: &Meter) -> Outcome {
        let counted = Usage {
            input: Tokens(meter.prompt.load(Ordering::Relaxed)),
            cached: Tokens::ZERO,
            output: Tokens(meter.output.load(Ordering::Relaxed)),
        };
        Outcome::Done(self.usage.unwrap_or(counted))
    }
}

/// Reads an answer that is no stream.
pub(super) async fn read_whole(body: Incoming, meter: &Meter, outlet: &mut impl Outlet) -> Outcome {
    let body = match http_body_util::Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return failed(Failure::Malformed, meter);
        }
        Err(_) => return failed(Failure::Reset, meter),
    };
    let Some(usage) = whole(&body) else { return failed(Failure::Malformed, meter) };
    let estimate = Usage {
        input: Tokens(meter.prompt.load(Ordering::Relaxed)),
        cached: Tokens::ZERO,
        // About four bytes a token, as everywhere where nothing better is known.
        output: Tokens(body.len() as u64 / 4),
    };
    outlet.pass_on(Passed::Whole(&body)).await;
    Outcome::Done(usage.unwrap_or(estimate))
}
