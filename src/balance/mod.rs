//! The core: decides where requests go, and never does anything itself.
//!
//! The contract of the machine, in five sentences. It is changed by one call only,
//! [`Balancer::handle`], which takes the time and an [`Input`] and returns [`Effects`]: the
//! [`Action`]s it wants carried out and the [`Event`]s that happened. It asks to be called with
//! [`Input::Wake`] at the time that [`Balancer::wake_at`] returns. Time never goes back between
//! calls. Every dispatched [`Attempt`] is ended by exactly one [`Input::Finish`], aborted ones
//! included. The same inputs at the same times give the same effects, bit for bit, which is why a
//! journal of inputs is a whole run.
//!
//! # One spine, owned parts
//!
//! `balancer` is the spine: the only `impl Balancer`, told by stage. It holds the parts, knows the order
//! in which they are asked, and turns what they decide into actions, events and timers. It holds no
//! policy. The rule of ownership:
//!
//! 1. Every field has one owner: the part in whose file it is private. Others read it through that
//!    part's `&self` methods, or through a record that only its owner holds to change it.
//! 2. A part never names the machine, nor another part that changes. It gets the time and the facts it
//!    needs by reference, changes only itself, and returns what it decided.
//! 3. Only the spine has `impl Balancer`. No arithmetic on a part's numbers stands there.
//! 4. That a feature is off is a state of its part, not an `Option` that callers ask.
//!
//! | part | owns | decides |
//! |---|---|---|
//! | `requests` | requests and attempts, their phases, the sums of retries and of conservation | nothing: it is the only writer of a phase |
//! | `fleet` | nodes, ledgers, open sets, node health records, nodes' quotas, load reports, what was freed | who may be given work now |
//! | `routing` | routes and lanes, who is eligible, tiers by health, what is learnt of models | where a request may go, and in which order |
//! | `cache` | answers that are kept, by route | whether a request is answered without a node |
//! | `sticky` | which node answered whom last, by what requests name | where a request is at home |
//! | `strategies` | the strategy of each tier, generations, draws | which node is better |
//! | `queue` | queues, tickets, fair shares, the forecast | who is next; whether there is a place, or any use in waiting |
//! | `batch` | batches that are gathered | which batch is due |
//! | `retry` | retry policy, timeouts, hedge budget and delays | whether a failure is tried again, and a late attempt hedged |
//! | `health` | settings by pool, windows of outliers, slow start, jitter | who is ejected, on trial, held back |
//! | `quota` | quotas and budgets of tenants and pools, what is reserved of them | who is held back or turned away by a limit |
//! | `concurrency` | limits found, latency without load | how many attempts a node takes |
//! | `overload` | saturation, who is shed, levels of degradation | what is given up under load |
//! | `scaling` | groups and what they have seen | how many nodes a group wants, and which |
//! | `output` | mean answers by class | how long an answer is expected to be |
//! | `timer` | timers | when the machine wants to be woken |
//! | `explain` | who wants explanations | nothing: it writes down what was seen |
//!
//! Below them, on the ground, is data: `vocabulary` (what is said at the seam), `spec` (what is
//! configured, and whether it contradicts itself), `limits` (meters of what was taken), `by_tenant`. `tests/tidy.rs` holds which part
//! may name which.

mod balancer;
mod batch;
mod by_tenant;
mod cache;
mod concurrency;
mod explain;
#[cfg(test)]
mod fixture;
mod fleet;
mod health;
mod limits;
mod output;
mod overload;
mod queue;
mod quota;
mod requests;
mod retry;
mod routing;
mod scaling;
mod spec;
mod sticky;
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
    ATTEMPTS_MAX, Admission, BatchSpec, CACHE_ENTRIES_MAX, CHOICES_MAX, CacheSpec, Config, Degrade,
    DegradeLevel, DegradeSpec, Generate, HEDGE_SAMPLES_MIN, HEDGES_BURST, HealthSettings,
    HedgeAfter, HedgeSpec, LIMITER_MAX, LIMITER_WINDOW_MIN, LimiterLaw, LimiterSpec, Limits,
    Locality, MIN_SHARE_MAX, Match, ModelRule, NodeSpec, Order, OutlierSettings, OverBudget,
    PEER_FRESH, PEERS_SLOW, PEERS_SUCCESS, PoolSpec, Pressure, Prices, Queue, REPORT_FRESH,
    RETRIES_MIN, RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX, Reason, RecoverySettings, ReportFreshness,
    Retry, RouteSpec, SATURATION_EVERY, SATURATION_MAX, SCORES_MAX, STAY_WAIT, STICKY_ENTRIES_MAX,
    ScaleSpec, ShedSpec, Signal, StickySpec, Target, TenantLimits, Tenants, Tier, Timeouts,
    WINDOW_MAX, Waiting,
};
pub use strategy::{
    DispatchFacts, Fact, GoesBy, Memo, PickContext, REGISTRY, SCAN_MAX, Setting, SettingKind,
    Shortlist, Strategy, StrategyDef, StrategySpec, score, usable,
};
pub use vocabulary::{
    Action, ArmView, Attempt, AttemptKind, CANDIDATES_MAX, CacheLookup, Candidate, Cause, Control,
    Effects, End, Event, Explanation, Failure, Fate, Filter, FleetChange, Grade, HomeNode, Input,
    JobFate, JobNews, JobPhase, JobStep, KeptAnswer, LimitCause, Mark, MarkBy, MarkPhase,
    ModelChoice, ModelWhy, NoHedge, NoRetry, NodeReport, NodeState, OPINIONS_MAX, Outcome,
    PeerLoad, PeerNode, Priority, ProbeResult, Progress, Reject, Request, Scored, SessionKey,
    SessionKeyKind, Settled, Term, TermUnit, Terms, TimeoutStage, Together, Usage, Verdict, Whose,
    Why,
};
