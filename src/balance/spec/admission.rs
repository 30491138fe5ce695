//! Who may come in, and how those who wait are served, as configured.

use super::node::{Limits, NodeSpec};
use crate::unit::{Ratio, Span, TenantId};

/// The waiting room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// At most so many requests wait, over all routes.
    pub max: u32,
    /// A request waits at most this long at a stretch. `None` is for ever.
    pub max_wait: Option<Span>,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { max: 1_000, max_wait: Some(Span::from_secs(10)) }
    }
}

/// Who may come in, and how those who wait are served. Nothing of it is on by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// How those who wait are served.
    pub waiting: Waiting,
    /// What tenants may take.
    pub tenants: Tenants,
    /// Whether nodes' limits a minute are kept here too, so that nothing is sent to a node that
    /// would answer 429.
    pub quotas: bool,
}

impl Admission {
    /// Returns whether some node has limits a minute that are to be kept here.
    pub(in crate::balance) fn counts_quotas(&self, nodes: &[NodeSpec]) -> bool {
        self.quotas && nodes.iter().any(|node| node.limits.by_the_minute())
    }
}

/// Who of a tenant comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Who came first.
    #[default]
    Fifo,
    /// Whose deadline is first (EDF); without one, last.
    Edf,
    /// Who has the least work, `prompt + 2 * expected output` tokens, less so many tokens for each
    /// second waited: with zero, a long one may wait for ever.
    Shortest {
        /// Tokens a second.
        ageing: u32,
    },
    /// Who came first; but who came last while somebody has been waiting for longer than this:
    /// those can still be served in time (Maurer, Fail at Scale, 2015).
    AdaptiveLifo {
        /// How long.
        after: Span,
    },
}

/// How those who wait are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Who of a tenant comes first.
    pub order: Order,
    /// The share of the served that every priority with someone waiting is owed; `None` if
    /// priorities do not matter. At most a quarter: there are four.
    pub bands: Option<Ratio>,
    /// Whether tenants have equal shares by tokens, or shares in proportion to their weights.
    pub fair: bool,
    /// Whether who would wait longer than its deadline allows is turned away at once.
    pub early_rejection: bool,
}

/// The largest share a band can be owed.
pub const MIN_SHARE_MAX: Ratio = Ratio(250_000);

/// What becomes of requests whose tenant has spent its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverBudget {
    /// They are turned away.
    #[default]
    Refuse,
    /// They go to the pools that their route degrades to, as far as those have room; where it degrades
    /// to none they are turned away.
    Degrade,
}

/// What one tenant may take. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// Its share of service where tenants share fairly, relative to others. At least one.
    pub weight: u32,
    /// Attempts at a time, and requests and tokens a minute.
    pub limits: Limits,
    /// Micro-dollars a day.
    pub budget: Option<u64>,
    /// What becomes of what comes when that is spent.
    pub over_budget: OverBudget,
}

impl Default for TenantLimits {
    fn default() -> TenantLimits {
        TenantLimits {
            weight: 1,
            limits: Limits::default(),
            budget: None,
            over_budget: OverBudget::Refuse,
        }
    }
}

/// What tenants may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenants {
    /// Each that is not named.
    pub each: TenantLimits,
    /// Those that are named, in ascending order and once each.
    pub named: Vec<(TenantId, TenantLimits)>,
}

impl Tenants {
    /// Returns what those may take that are not named, and then what each may that is.
    pub fn all(&self) -> impl Iterator<Item = &TenantLimits> {
        std::iter::once(&self.each).chain(self.named.iter().map(|(_, limits)| limits))
    }

    /// Returns whether nothing of any tenant is limited.
    pub(in crate::balance) fn are_free(&self) -> bool {
        self.all().all(|tenant| tenant.limits.are_none() && tenant.budget.is_none())
    }

    /// Returns what a tenant may take.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> &TenantLimits {
        let found = self.named.binary_search_by_key(&tenant, |(tenant, _)| *tenant);
        found.map_or(&self.each, |at| &self.named[at].1)
    }
}
