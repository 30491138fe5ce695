//! What the machine is built from: specifications as configured, and whether they contradict
//! themselves.
//!
//! Only data with `is_sound`: what a part makes of its specification is the part's business. The
//! words here are the words of scenarios.

pub(super) mod admission;
pub(super) mod cache;
pub(super) mod config;
pub(super) mod health;
pub(super) mod limiter;
pub(super) mod node;
pub(super) mod overload;
pub(super) mod pool;
pub(super) mod retry;
pub(super) mod route;
pub(super) mod scale;
pub(super) mod sticky;
pub(super) mod view;

pub use admission::{
    Admission, MIN_SHARE_MAX, Order, OverBudget, Queue, TenantLimits, Tenants, Waiting,
};
pub use cache::{CACHE_ENTRIES_MAX, CacheSpec};
pub use config::Config;
pub use health::{
    Generate, HealthSettings, OutlierSettings, PEERS_SLOW, PEERS_SUCCESS, RETRY_AFTER_DEFAULT,
    RETRY_AFTER_MAX, RecoverySettings, WINDOW_MAX,
};
pub use limiter::{LIMITER_MAX, LIMITER_WINDOW_MIN, LimiterLaw, LimiterSpec};
pub use node::{Limits, NodeSpec, Prices, Tier};
pub use overload::{DegradeLevel, DegradeSpec, SATURATION_EVERY, SATURATION_MAX, ShedSpec};
pub use pool::{BatchSpec, Locality, PoolSpec};
pub use retry::{
    ATTEMPTS_MAX, HEDGE_SAMPLES_MIN, HEDGES_BURST, HedgeAfter, HedgeSpec, RETRIES_MIN, Retry,
    STAY_WAIT, Timeouts,
};
pub use route::{CHOICES_MAX, Degrade, Match, ModelRule, Pressure, RouteSpec, SCORES_MAX};
pub use scale::{Reason, ScaleSpec, Target};
pub use sticky::{STICKY_ENTRIES_MAX, StickySpec};
pub use view::{PEER_FRESH, REPORT_FRESH, ReportFreshness, Signal};
