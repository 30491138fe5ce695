//! What a metric is read of: the part of a summary that a scope names.

use super::{MetricDef, Stat, Unit};
use crate::metrics::RequestCounts;
use crate::metrics::summary::{
    Attempts, CacheSummary, Class, Costs, Goodput, Hours, JobSummary, Latency, ModelUse,
    NodeSummary, Pool, RouteSummary, StepSummary, Summary, TenantSummary, TokenCounts,
};

/// What is measured: the whole run, or a part of it by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole run.
    Run,
    /// A class.
    Class(String),
    /// A pool.
    Pool(String),
    /// A node.
    Node(String),
    /// The jobs of all workflows, or of one.
    Jobs(Option<String>),
    /// A route.
    Route(String),
    /// A step of a workflow: the workflow, and the step.
    Step(String, String),
    /// A tenant, or all that have its name; its number where it has none.
    Tenant(String),
    /// The nodes of a model.
    Model(String),
}

/// A metric of a scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Of what.
    pub scope: Scope,
    /// What.
    pub metric: &'static MetricDef,
    /// Which number of a distribution.
    pub stat: Option<Stat>,
}

impl Reading {
    /// Returns its number in this unit: that of the metric, or a share where it is a count. `None`
    /// without a sample, or if the result has nothing of the scope's name.
    #[must_use]
    pub fn value(&self, summary: &Summary, unit: Unit) -> Option<f64> {
        let subject = Subject::of(summary, &self.scope)?;
        if unit == Unit::Share && self.metric.unit == Unit::Count {
            self.metric.share(&subject)
        } else {
            self.metric.value(&subject, self.stat)
        }
    }
}

/// A part of a result, and the result it is a part of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    summary: &'a Summary,
    part: Part<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Run,
    Class(&'a Class),
    Pool(&'a Pool),
    Node(&'a NodeSummary),
    Jobs(&'a JobSummary),
    Route(&'a RouteSummary),
    Step(&'a StepSummary),
    Tenant(&'a TenantSummary),
    Model(&'a ModelUse),
}

impl<'a> Subject<'a> {
    /// The whole of a result.
    #[must_use]
    pub const fn run(summary: &'a Summary) -> Subject<'a> {
        Subject { summary, part: Part::Run }
    }

    /// The part that a scope names; `None` if there is nothing of that name.
    #[must_use]
    pub fn of(summary: &'a Summary, scope: &Scope) -> Option<Subject<'a>> {
        let part = match scope {
            Scope::Run => Part::Run,
            Scope::Class(name) => {
                Part::Class(summary.classes.iter().find(|class| class.name == *name)?)
            }
            Scope::Pool(name) => Part::Pool(summary.pools.iter().find(|pool| pool.name == *name)?),
            Scope::Node(name) => Part::Node(summary.nodes.iter().find(|node| node.name == *name)?),
            Scope::Route(name) => {
                Part::Route(summary.routes.iter().find(|route| route.name == *name)?)
            }
            Scope::Step(flow, name) => {
                let flow = summary.workflows.iter().find(|known| known.name == *flow)?;
                Part::Step(flow.steps.iter().find(|step| step.name == *name)?)
            }
            Scope::Tenant(name) => {
                Part::Tenant(summary.tenants.iter().find(|tenant| tenant.name == *name)?)
            }
            Scope::Model(name) => {
                Part::Model(summary.models.iter().find(|model| model.model == *name)?)
            }
            Scope::Jobs(None) => Part::Jobs(summary.jobs.as_ref()?),
            Scope::Jobs(Some(name)) => {
                Part::Jobs(&summary.workflows.iter().find(|flow| flow.name == *name)?.all)
            }
        };
        Some(Subject { summary, part })
    }

    /// What most counts are a part of: requests that arrived, attempts of a node or a model,
    /// jobs that started.
    pub(super) fn whole(&self) -> u64 {
        match self.part {
            Part::Node(node) => node.attempts,
            Part::Model(model) => model.attempts,
            Part::Jobs(jobs) => jobs.jobs.started,
            Part::Step(step) => step.requests,
            _ => self.requests().map_or(0, |requests| requests.arrived),
        }
    }

    /// The result as a whole, if it is meant.
    pub(super) const fn whole_run(&self) -> Option<&'a Summary> {
        match self.part {
            Part::Run => Some(self.summary),
            _ => None,
        }
    }

    pub(super) const fn class(&self) -> Option<&'a Class> {
        match self.part {
            Part::Class(class) => Some(class),
            _ => None,
        }
    }

    pub(super) const fn pool(&self) -> Option<&'a Pool> {
        match self.part {
            Part::Pool(pool) => Some(pool),
            _ => None,
        }
    }

    pub(super) const fn node(&self) -> Option<&'a NodeSummary> {
        match self.part {
            Part::Node(node) => Some(node),
            _ => None,
        }
    }

    pub(super) const fn jobs(&self) -> Option<&'a JobSummary> {
        match self.part {
            Part::Jobs(jobs) => Some(jobs),
            _ => None,
        }
    }

    pub(super) const fn step(&self) -> Option<&'a StepSummary> {
        match self.part {
            Part::Step(step) => Some(step),
            _ => None,
        }
    }

    pub(super) const fn tenant(&self) -> Option<&'a TenantSummary> {
        match self.part {
            Part::Tenant(tenant) => Some(tenant),
            _ => None,
        }
    }

    pub(super) const fn model(&self) -> Option<&'a ModelUse> {
        match self.part {
            Part::Model(model) => Some(model),
            _ => None,
        }
    }

    pub(super) const fn requests(&self) -> Option<&'a RequestCounts> {
        Some(match self.part {
            Part::Run => &self.summary.requests,
            Part::Class(class) => &class.requests,
            Part::Pool(pool) => &pool.requests,
            Part::Route(route) => &route.requests,
            Part::Tenant(tenant) => &tenant.requests,
            Part::Node(_) | Part::Jobs(_) | Part::Step(_) | Part::Model(_) => return None,
        })
    }

    pub(super) fn completed(&self) -> Option<u64> {
        let of_jobs = self.jobs().map(|jobs| jobs.jobs.completed);
        of_jobs.or_else(|| Some(self.requests()?.completed))
    }

    pub(super) fn failed(&self) -> Option<u64> {
        match self.part {
            Part::Node(node) => Some(node.failed),
            Part::Model(model) => Some(model.failed),
            Part::Jobs(jobs) => Some(jobs.jobs.failed),
            Part::Step(step) => Some(step.failed),
            _ => Some(self.requests()?.failed),
        }
    }

    pub(super) fn in_flight(&self) -> Option<u64> {
        let of_jobs = self.jobs().map(|jobs| jobs.jobs.in_flight);
        of_jobs.or_else(|| Some(self.requests()?.in_flight))
    }

    /// Those that failed or were turned away.
    pub(super) fn errors(&self) -> Option<u64> {
        match self.part {
            Part::Node(node) => Some(node.failed),
            Part::Model(model) => Some(model.failed),
            _ => Some(self.requests()?.errors()),
        }
    }

    /// Attempts of the whole run.
    pub(super) fn attempts(&self) -> Option<&'a Attempts> {
        Some(&self.whole_run()?.attempts)
    }

    /// Tokens of all attempts.
    pub(super) const fn tokens(&self) -> Option<TokenCounts> {
        match self.part {
            Part::Run => Some(self.summary.tokens),
            Part::Tenant(tenant) => Some(tenant.tokens),
            _ => None,
        }
    }

    pub(super) const fn latency(&self) -> Option<Latency> {
        Some(match self.part {
            Part::Run => self.summary.latency_s,
            Part::Class(class) => class.latency_s,
            Part::Pool(pool) => pool.latency_s,
            Part::Node(node) => node.latency_s,
            Part::Jobs(jobs) => jobs.latency_s,
            Part::Route(route) => route.latency_s,
            Part::Step(step) => step.latency_s,
            Part::Tenant(_) | Part::Model(_) => return None,
        })
    }

    pub(super) const fn first_token(&self) -> Option<Latency> {
        Some(match self.part {
            Part::Run => self.summary.ttft_s,
            Part::Class(class) => class.ttft_s,
            Part::Pool(pool) => pool.ttft_s,
            Part::Route(route) => route.ttft_s,
            _ => return None,
        })
    }

    pub(super) const fn per_token(&self) -> Option<Latency> {
        match self.part {
            Part::Run => Some(self.summary.tpot_s),
            Part::Class(class) => Some(class.tpot_s),
            _ => None,
        }
    }

    /// Dollars; those of jobs are told otherwise.
    pub(super) const fn costs(&self) -> Option<&'a Costs> {
        Some(match self.part {
            Part::Run => &self.summary.cost_usd,
            Part::Class(class) => &class.cost_usd,
            Part::Pool(pool) => &pool.cost_usd,
            Part::Node(node) => &node.cost_usd,
            Part::Route(route) => &route.cost_usd,
            Part::Tenant(tenant) => &tenant.cost_usd,
            Part::Model(model) => &model.cost_usd,
            Part::Jobs(_) | Part::Step(_) => return None,
        })
    }

    /// Hourly prices, of what has nodes.
    pub(super) fn cost_hours(&self) -> Option<f64> {
        let has_nodes =
            matches!(self.part, Part::Run | Part::Pool(_) | Part::Node(_) | Part::Model(_));
        self.costs().filter(|_| has_nodes).map(|costs| costs.hours)
    }

    pub(super) const fn goodput(&self) -> Option<&'a Goodput> {
        match self.part {
            Part::Run => Some(&self.summary.goodput),
            Part::Class(class) => Some(&class.goodput),
            Part::Tenant(tenant) => Some(&tenant.goodput),
            _ => None,
        }
    }

    /// Completed requests or jobs over the time in which requests came.
    pub(super) fn throughput(&self) -> Option<f64> {
        let seconds = self.summary.arrivals_s;
        let completed = self.completed()?;
        (seconds > 0.0).then(|| completed as f64 / seconds)
    }

    pub(super) const fn hours(&self) -> Option<Hours> {
        match self.part {
            Part::Run => self.summary.hours,
            Part::Pool(pool) => pool.hours,
            Part::Node(node) => node.hours,
            _ => None,
        }
    }

    /// The fewest and the most nodes wanted by the scaled groups of a pool, or of all; `None` if there
    /// is no such group. Each counts with its own extremes, whenever they were.
    pub(super) fn sizes(&self) -> Option<(u64, u64)> {
        let pool = match self.part {
            Part::Run => None,
            Part::Pool(pool) => Some(&pool.name),
            _ => return None,
        };
        let groups = self.summary.groups.iter();
        groups
            .filter(|group| pool.is_none_or(|pool| group.pool == *pool))
            .map(|group| (u64::from(group.nodes_least), u64::from(group.nodes_most)))
            .reduce(|(least, most), (other_least, other_most)| {
                (least + other_least, most + other_most)
            })
    }

    /// Answers that were kept; nothing of what keeps none.
    pub(super) fn cache(&self) -> Option<CacheSummary> {
        let cache = match self.part {
            Part::Run => self.summary.cache,
            Part::Class(class) => class.cache,
            Part::Route(route) => route.cache,
            _ => return None,
        };
        Some(cache.unwrap_or_default())
    }

    pub(super) fn quality(&self) -> Option<f64> {
        match self.part {
            Part::Run => self.summary.quality.as_ref()?.mean,
            Part::Class(class) => class.quality,
            Part::Route(route) => route.quality,
            _ => None,
        }
    }
}
