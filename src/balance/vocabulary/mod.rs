//! The vocabulary of the seam: what the balancer hears ([`Input`]), what it wants done ([`Action`])
//! and what it declares to have happened ([`Event`]).
//!
//! All three are data. A driver, simulated or live, feeds inputs and carries out actions; it never
//! reports success by a return value but by another input. Metrics, screens, reports and logs are
//! folds over events and nothing else. Every type here can be written to a journal and read back.

pub(super) mod action;
pub(super) mod cache;
pub(super) mod event;
pub(super) mod explanation;
pub(super) mod failure;
pub(super) mod input;
pub(super) mod job;
pub(super) mod model;
pub(super) mod outcome;
pub(super) mod report;
pub(super) mod request;
pub(super) mod state;
pub(super) mod why;

pub use action::{Action, Together};
pub use cache::{CacheLookup, KeptAnswer};
pub use event::{AttemptKind, Effects, Event, LimitCause, NoHedge, NoRetry, Settled};
pub use explanation::{CANDIDATES_MAX, Candidate, Explanation, Filter, Verdict};
pub use failure::{Failure, OPINIONS_MAX, Whose};
pub use input::{Control, FleetChange, Grade, Input, Mark, MarkBy, MarkPhase};
pub use job::{JobFate, JobNews, JobPhase, JobStep};
pub use model::{ArmView, ModelChoice, ModelWhy};
pub use outcome::{
    Attempt, End, Fate, Outcome, ProbeResult, Progress, Reject, TimeoutStage, Usage,
};
pub use report::{NodeReport, PeerLoad, PeerNode};
pub use request::{HomeNode, Priority, Request, SessionKey, SessionKeyKind};
pub use state::{Cause, NodeState};
pub use why::{Scored, Term, TermUnit, Terms, Why};
