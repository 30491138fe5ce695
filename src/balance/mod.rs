//! The core: decides where requests go, and never does anything itself.
//!
//! The contract of the machine, in five sentences. It is changed by one call only,
//! [`Balancer::handle`], which takes the time and an [`Input`] and returns [`Effects`]: the
//! [`Action`]s it wants carried out and the [`Event`]s that happened. It asks to be called with
//! [`Input::Wake`] at the time that [`Balancer::wake_at`] returns. Time never goes back between
//! calls. Every dispatched [`Attempt`] is ended by exactly one [`Input::Finish`], aborted ones
//! included. The same inputs at the same times give the same effects, bit for bit, which is why a
//! journal of inputs is a whole run.

mod admission;
mod balancer;
mod batch;
mod choose;
mod config;
mod credential;
mod event;
mod explain;
mod failover;
mod fleet;
mod forecast;
mod gate;
mod guard;
mod health;
mod hearsay;
mod hedge;
mod invariant;
mod job;
mod ladder;
mod limiter;
mod limits;
mod outlier;
mod output;
mod request;
mod resize;
mod route;
mod saturation;
mod scale;
mod spill;
mod strategy;
mod timer;
mod under_way;
mod unloaded;
mod waiting;

pub use admission::{Admission, Queue};
pub use balancer::Balancer;
pub use batch::BatchSpec;
pub use choose::{ANSWERS_MAX, ArmView, CHOICES_MAX, Choose, ModelChoice, ModelWhy, SCORES_MAX};
pub use config::Config;
pub use event::{
    Action, Attempt, Cause, Control, Effects, End, Event, Failure, Fate, FleetChange, Grade, Input,
    Kind, LimitCause, Mark, MarkBy, MarkPhase, NoHedge, NoRetry, NodeReport, Outcome, PeerLoad,
    PeerNode, ProbeResult, Progress, Reject, Scored, Settled, Stage, Term, TermUnit, Terms,
    Together, Usage, Why,
};
pub use explain::{CANDIDATES_MAX, Candidate, Explain, Explanation, Filter, Verdict};
pub use failover::{ATTEMPTS_MAX, RETRIES_MIN, Retry, Timeouts};
pub use fleet::{
    Fleet, Ledger, Limits, Locality, Node, NodeSpec, NodeState, PoolSpec, Prices, Tier,
};
pub use guard::{Generate, Guard};
pub use health::{HealthSettings, RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX};
pub use hearsay::{Load, PEER_FRESH, REPORT_FRESH, Signal, View};
pub use hedge::{HEDGE_SAMPLES_MIN, HEDGES_BURST, HedgeAfter, HedgeSpec};
pub use invariant::check;
pub use job::{JobFate, JobNews, JobPhase, JobStep};
pub use ladder::{DegradeSpec, Rung};
pub use limiter::{LIMITER_MAX, LIMITER_WINDOW_MIN, LimiterLaw, LimiterSpec};
pub use limits::{TenantLimits, Tenants};
pub use outlier::{Outlier, PEERS_SLOW, PEERS_SUCCESS, WINDOW_MAX};
pub use request::{Priority, Request};
pub use route::{Degrade, Match, Pressure, RouteSpec, Routes};
pub use saturation::{SATURATION_EVERY, SATURATION_MAX, ShedSpec};
pub use scale::{Reason, ScaleSpec, State, Stats, Target, Wanted, tick};
pub use strategy::{
    DispatchFacts, Fact, Memo, PickContext, REGISTRY, SCAN_MAX, Setting, SettingKind, Shortlist,
    Strategy, StrategyDef, StrategySpec, score, usable,
};
pub use under_way::Totals;
pub use waiting::{MIN_SHARE_MAX, Order, Waiting};
