//! What is to be told of one request: how it came, every decision about it in full, how it ended.
//!
//! A fold over events like every other, but kept apart from the collector: it remembers one request
//! and costs nothing where nobody asks.

use crate::balance::{Attempt, End, Event, Explanation, ModelChoice, Settled};
use crate::unit::{ClassId, NodeId, PoolId, Ratio, RequestId, Time, Tokens};

/// A question about one request, and what has been heard of it so far.
#[derive(Clone, Debug)]
pub struct RequestTrace {
    /// Which.
    pub request: RequestId,
    /// How it came, once it has.
    pub arrival: Option<ArrivalTrace>,
    /// Its attempts, by ordinal.
    pub attempts: Vec<AttemptTrace>,
    /// Its final end, once there is one.
    pub settled: Option<(Time, Settled)>,
    /// A decision whose dispatch has not been heard of.
    decided: Option<Box<Explanation>>,
    /// Why a pool of its route comes first, if the route chooses.
    pub model: Option<Box<ModelChoice>>,
    /// Answers that were not good enough: when, of which node, the score, and who was asked next.
    pub escalations: Vec<(Time, NodeId, Ratio, PoolId)>,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivalTrace {
    /// When it was meant to.
    pub at: Time,
    /// Its class.
    pub class: ClassId,
    /// Tokens of its prompt.
    pub prompt: Tokens,
}

/// An attempt.
#[derive(Clone, Debug)]
pub struct AttemptTrace {
    /// Which.
    pub attempt: Attempt,
    /// Why its node was chosen.
    pub explanation: Box<Explanation>,
    /// When and how it ended, once it has.
    pub ended: Option<(Time, End)>,
}

impl RequestTrace {
    /// A question about this request.
    #[must_use]
    pub const fn new(request: RequestId) -> RequestTrace {
        RequestTrace {
            request,
            arrival: None,
            attempts: Vec::new(),
            settled: None,
            decided: None,
            model: None,
            escalations: Vec::new(),
        }
    }

    /// Hears an event, of whichever request.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub fn fold(&mut self, now: Time, event: &Event) {
        match event {
            Event::Arrived { request, class, arrived, prompt, .. } => {
                if *request == self.request {
                    let (at, class, prompt) = (*arrived, *class, *prompt);
                    self.arrival = Some(ArrivalTrace { at, class, prompt });
                }
            }
            Event::Explained(explanation) => {
                if explanation.attempt.request == self.request {
                    self.decided = Some(explanation.clone());
                }
            }
            Event::Dispatched { attempt, .. } => {
                if attempt.request == self.request
                    && let Some(explanation) = self.decided.take()
                {
                    let attempt = *attempt;
                    self.attempts.push(AttemptTrace { attempt, explanation, ended: None });
                }
            }
            Event::Ended { attempt, end, .. } => {
                // An attempt names its request.
                let this = self.attempts.iter_mut().find(|one| one.attempt == *attempt);
                if let Some(this) = this {
                    this.ended = Some((now, *end));
                }
            }
            Event::Model(choice) => {
                if choice.request == self.request {
                    self.model = Some(choice.clone());
                }
            }
            Event::Escalated { request, node, score, to } => {
                if *request == self.request {
                    self.escalations.push((now, *node, *score, *to));
                }
            }
            Event::Settled(settled) => {
                if settled.request == self.request {
                    self.settled = Some((now, *settled));
                }
            }
            // What is told of a request by its attempts, and what is not about one.
            Event::Cache(_)
            | Event::Queued { .. }
            | Event::FirstToken { .. }
            | Event::RetryPlanned { .. }
            | Event::RetryDenied { .. }
            | Event::NodeState { .. }
            | Event::Strategy { .. }
            | Event::NodeChanged { .. }
            | Event::Scaled { .. }
            | Event::Batch { .. }
            | Event::LateWord { .. }
            | Event::Mark(_)
            | Event::Job(_)
            | Event::HedgeDenied { .. }
            | Event::Feedback { .. }
            | Event::Graded(_)
            | Event::Panic { .. }
            | Event::KeptIn { .. }
            | Event::Limit { .. }
            | Event::Shedding { .. }
            | Event::DegradeLevel { .. } => {}
        }
    }
}
