//! Requests, tokens, money and kept promises by tenant.
//!
//! A tenant's requests count at their end. Where nobody but tenant 0 asks and no tenant has a name there
//! is nothing to tell: the run is its only tenant's.

use std::collections::BTreeMap;

use crate::balance::Settled;
use crate::metrics::snapshot::{Figures, GroupRow};
use crate::metrics::summary::{Costs, TenantSummary};
use crate::metrics::window::Window;
use crate::metrics::{Labels, RequestCounts, Slo, TokenCounts};
use crate::unit::{Cost, Span, TenantId, Time};

/// So many tenants have figures of their own; those that come later are counted together.
const TENANTS_MAX: usize = 10_000;

/// So many rows are told; the others are one row.
const ROWS_MAX: usize = 100;

/// What is collected of one tenant.
#[derive(Clone, Copy, Debug, Default)]
struct TenantBook {
    requests: RequestCounts,
    good: u64,
    over_budget: u64,
    tokens: TokenCounts,
    spent: Cost,
}

impl TenantBook {
    fn settle(&mut self, settled: &Settled, good: bool) {
        self.requests.arrive();
        self.requests.settle(&settled.fate);
        self.good += u64::from(good);
        self.over_budget += u64::from(settled.over_budget);
        self.tokens.add(&settled.usage);
        self.spent += settled.spent;
    }

    fn add(&mut self, other: &TenantBook) {
        self.requests.add(&other.requests);
        self.good += other.good;
        self.over_budget += other.over_budget;
        self.tokens.input += other.tokens.input;
        self.tokens.cached_input += other.tokens.cached_input;
        self.tokens.output += other.tokens.output;
        self.spent += other.spent;
    }

    fn summary(&self, name: String, span: Span) -> TenantSummary {
        let (requests, seconds) = (self.requests, span.seconds());
        TenantSummary {
            name,
            requests,
            over_budget: self.over_budget,
            tokens: self.tokens,
            cost_usd: Costs::of(self.spent, Cost::ZERO, requests.arrived),
            goodput: super::group::goodput(self.good, requests.ended(), seconds),
        }
    }
}

/// What is collected of all tenants.
#[derive(Clone, Debug, Default)]
pub(super) struct TenantFigures {
    /// The tenant of requests that name none; apart, since most traffic has no other.
    zero: TenantBook,
    others: BTreeMap<TenantId, TenantBook>,
    /// Those beyond the limit, together.
    rest: TenantBook,
}

impl TenantFigures {
    /// A request that counts has reached its end; `good` if it kept what was promised.
    pub(super) fn settled(&mut self, settled: &Settled, good: bool) {
        let tenant = settled.tenant;
        let room = self.others.len() < TENANTS_MAX;
        let book = match tenant {
            TenantId(0) => &mut self.zero,
            _ if room => self.others.entry(tenant).or_default(),
            _ => self.others.get_mut(&tenant).unwrap_or(&mut self.rest),
        };
        book.settle(settled, good);
    }

    /// Returns books by name, those with most requests first; the hundred largest, and of the others what
    /// they have together. Tenants that share a name have one book. None where there is but one tenant,
    /// without a name.
    fn largest(&self, labels: &Labels) -> (Vec<(String, TenantBook)>, TenantBook) {
        if self.others.is_empty() && labels.tenants.is_empty() {
            return (Vec::new(), TenantBook::default());
        }
        let mut by_name: BTreeMap<String, TenantBook> = BTreeMap::new();
        let zero = std::iter::once((&TenantId(0), &self.zero));
        for (tenant, book) in zero.chain(&self.others).filter(|(_, book)| book.requests.arrived > 0)
        {
            by_name.entry(name_of(*tenant, labels)).or_default().add(book);
        }
        let mut rows: Vec<(String, TenantBook)> = by_name.into_iter().collect();
        rows.sort_by_key(|(_, book)| std::cmp::Reverse(book.requests.arrived));
        let mut rest = self.rest;
        rows.drain(ROWS_MAX.min(rows.len())..).for_each(|(_, book)| rest.add(&book));
        (rows, rest)
    }

    /// Returns a row for each name and for each tenant without one, those with most requests first; the
    /// hundred largest, and all others as one.
    pub(super) fn summaries(&self, labels: &Labels, span: Span) -> Vec<TenantSummary> {
        let (mut rows, rest) = self.largest(labels);
        if rest.requests.arrived > 0 {
            rows.push((OTHERS.to_owned(), rest));
        }
        rows.into_iter().map(|(name, book)| book.summary(name, span)).collect()
    }

    /// Returns the same rows for a screen, for a window that has expired to `now`.
    pub(super) fn rows(&self, now: Time, labels: &Labels, window: &Window) -> Vec<GroupRow> {
        let (mut rows, rest) = self.largest(labels);
        if rows.is_empty() {
            return Vec::new();
        }
        let named = rows.len();
        let places: BTreeMap<String, usize> =
            rows.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        if rest.requests.arrived > 0 {
            rows.push((OTHERS.to_owned(), rest));
        }
        let mut known: BTreeMap<TenantId, usize> = BTreeMap::new();
        let tenants = std::iter::once(&TenantId(0)).chain(self.others.keys());
        for tenant in tenants {
            if let Some(place) = places.get(&name_of(*tenant, labels)) {
                known.insert(*tenant, *place);
            }
        }
        let place = |tenant: u32| Some(known.get(&TenantId(tenant)).copied().unwrap_or(named));
        let told = window.tenants(now, rows.len(), place);
        let row = |((name, book), window): ((String, TenantBook), Figures)| GroupRow {
            name,
            slo: Slo::NONE,
            window,
            requests: book.requests,
        };
        rows.into_iter().zip(told).map(row).collect()
    }
}

/// What those beyond the largest are called.
const OTHERS: &str = "all others";

/// Returns what a tenant is called: its number where it has no name.
fn name_of(tenant: TenantId, labels: &Labels) -> String {
    labels.tenants.get(&tenant).cloned().unwrap_or_else(|| tenant.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{DegradeLevel, Fate, Usage};
    use crate::unit::{ClassId, RequestId, RouteId, Time, Tokens};

    fn settled(tenant: u32, output: u64, fate: Fate) -> Settled {
        Settled {
            request: RequestId(0),
            class: ClassId(0),
            tenant: TenantId(tenant),
            route: RouteId(0),
            node: None,
            fate,
            arrived: Time::ZERO,
            dispatched: None,
            first_token: None,
            attempts: 1,
            failover: false,
            degraded: false,
            queued: false,
            usage: Usage {
                input: Tokens(10),
                cached: Tokens(4),
                output: Tokens(output),
                estimated: false,
            },
            job: None,
            hedge: false,
            spent: Cost(5),
            degraded_by: DegradeLevel::Calm,
            cached: false,
            over_budget: false,
        }
    }

    #[test]
    fn a_run_of_one_nameless_tenant_has_no_rows() {
        let mut figures = TenantFigures::default();
        figures.settled(&settled(0, 1, Fate::Completed), true);
        let mut labels = Labels::default();
        assert!(figures.summaries(&labels, Span::from_secs(1)).is_empty());
        labels.tenants.insert(TenantId(0), "acme".to_owned());
        assert_eq!(figures.summaries(&labels, Span::from_secs(1))[0].name, "acme");
    }

    #[test]
    fn rows_add_up_and_a_name_stands_for_all_its_tenants() {
        let mut figures = TenantFigures::default();
        for tenant in [0, 1, 1, 2, 7] {
            figures.settled(&settled(tenant, 3, Fate::Completed), tenant == 1);
        }
        figures.settled(&settled(2, 0, Fate::Cancelled), false);
        let mut labels = Labels::default();
        for tenant in [2, 7] {
            labels.tenants.insert(TenantId(tenant), "acme".to_owned());
        }
        let rows = figures.summaries(&labels, Span::from_secs(2));
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["acme", "1", "0"], "the largest first");
        let counts: Vec<u64> = rows.iter().map(|row| row.requests.arrived).collect();
        assert_eq!(counts, [3, 2, 1]);
        assert_eq!((rows[0].tokens.input, rows[0].tokens.cached_input), (30, 12));
        assert_eq!(rows[0].tokens.output, 6);
        assert_eq!(rows[1].goodput.requests_per_s, Some(1.0));
        assert_eq!(rows[0].goodput.slo_attainment, Some(0.0));
    }

    #[test]
    fn many_tenants_are_a_hundred_rows_and_one_for_the_others() {
        let mut figures = TenantFigures::default();
        for tenant in 1..=TENANTS_MAX as u32 + 50 {
            figures.settled(&settled(tenant, 1, Fate::Completed), true);
        }
        assert_eq!(figures.others.len(), TENANTS_MAX, "what is kept has a limit");
        let rows = figures.summaries(&Labels::default(), Span::from_secs(1));
        assert_eq!(rows.len(), ROWS_MAX + 1);
        let all: u64 = rows.iter().map(|row| row.requests.completed).sum();
        assert_eq!(all, TENANTS_MAX as u64 + 50);
    }
}
