//! The core: decides where requests go, and never does anything itself.
//!
//! The contract of the machine, in five sentences. It is changed by one call only,
//! [`Balancer::handle`], which takes the time and an [`Input`] and returns [`Effects`]: the
//! [`Action`]s it wants carried out and the [`Event`]s that happened. It asks to be called with
//! [`Input::Wake`] at the time that [`Balancer::wake_at`] returns. Time never goes back between
//! calls. Every dispatched [`Attempt`] is ended by exactly one [`Input::Finish`], aborted ones
//! included. The same inputs at the same times give the same effects, bit for bit, which is why a
//! journal of inputs is a whole run.

mod balancer;
mod batch;
mod by_tenant;
mod concurrency;
mod explain;
mod fleet;
mod health;
mod output;
mod overload;
mod queue;
mod quota;
mod requests;
mod retry;
mod routing;
mod scaling;
mod spec;
mod strategies;
mod strategy;
mod timer;
mod vocabulary;

pub use balancer::{Balancer, check};
pub use explain::Explain;
pub use fleet::{Fleet, Ledger, Load, Node};
pub use requests::Totals;
pub use routing::{ANSWERS_MAX, Routes};
pub use scaling::{ScaleDecision, ScaleState, ScaleStats, tick};
pub use spec::{
    ATTEMPTS_MAX, Admission, BatchSpec, CHOICES_MAX, Config, Degrade, DegradeLevel, DegradeSpec,
    Generate, HEDGE_SAMPLES_MIN, HEDGES_BURST, HealthSettings, HedgeAfter, HedgeSpec, LIMITER_MAX,
    LIMITER_WINDOW_MIN, LimiterLaw, LimiterSpec, Limits, Locality, MIN_SHARE_MAX, Match, ModelRule,
    NodeSpec, Order, OutlierSettings, PEER_FRESH, PEERS_SLOW, PEERS_SUCCESS, PoolSpec, Pressure,
    Prices, Queue, REPORT_FRESH, RETRIES_MIN, RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX, Reason,
    RecoverySettings, ReportFreshness, Retry, RouteSpec, SATURATION_EVERY, SATURATION_MAX,
    SCORES_MAX, ScaleSpec, ShedSpec, Signal, Target, TenantLimits, Tenants, Tier, Timeouts,
    WINDOW_MAX, Waiting,
};
pub use strategy::{
    DispatchFacts, Fact, Memo, PickContext, REGISTRY, SCAN_MAX, Setting, SettingKind, Shortlist,
    Strategy, StrategyDef, StrategySpec, score, usable,
};
pub use vocabulary::{
    Action, ArmView, Attempt, AttemptKind, CANDIDATES_MAX, Candidate, Cause, Control, Effects, End,
    Event, Explanation, Failure, Fate, Filter, FleetChange, Grade, Input, JobFate, JobNews,
    JobPhase, JobStep, LimitCause, Mark, MarkBy, MarkPhase, ModelChoice, ModelWhy, NoHedge,
    NoRetry, NodeReport, NodeState, Outcome, PeerLoad, PeerNode, Priority, ProbeResult, Progress,
    Reject, Request, Scored, Settled, Term, TermUnit, Terms, TimeoutStage, Together, Usage,
    Verdict, Why,
};
