//! What is compared: the metrics of the catalogue that say so, read from the summary of a run.
//!
//! Names are those of expectations: `p99`, `ttft.p99`, `chat.p99`.

use std::collections::BTreeSet;

use crate::metrics::catalogue::{
    Better, Compared, METRICS, MetricDef, Reading, Scope, Scopes, Stat, Unit, latency,
};
use crate::metrics::{Labels, Summary};

/// Of more classes, steps, tenants or models than this, only the first are compared by themselves.
const OF_EACH_MAX: usize = 16;

/// Something that is compared.
#[derive(Clone, Debug)]
pub struct Metric {
    /// As in expectations.
    pub name: String,
    /// For people.
    pub label: String,
    /// What its numbers are.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// Whether it is one of the few that decide.
    pub headline: bool,
    reading: Reading,
}

impl Metric {
    fn new(metric: &'static MetricDef, line: &Compared, scope: Scope) -> Metric {
        let name = name(metric, line.stat);
        let (name, label) = match &scope {
            Scope::Class(class) => (format!("{class}.{name}"), format!("{class}: {}", line.label)),
            Scope::Step(flow, step) => {
                (format!("step:{flow}.{step}.{name}"), format!("{flow}.{step}: {}", line.label))
            }
            Scope::Tenant(tenant) => {
                (format!("tenant:{tenant}.{name}"), format!("tenant {tenant}: {}", line.label))
            }
            Scope::Model(model) => {
                (format!("model:{model}.{name}"), format!("{model}: {}", line.label))
            }
            _ => (name, line.label.to_owned()),
        };
        Metric {
            name,
            label,
            unit: metric.unit,
            better: metric.better,
            headline: line.headline && scope == Scope::Run,
            reading: Reading { scope, metric, stat: line.stat },
        }
    }

    /// Returns its value in a run; `None` if it was not measured there.
    #[must_use]
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        self.reading.value(summary, self.unit).filter(|value| value.is_finite())
    }
}

/// What expectations call it: a quantile by itself is of latency.
fn name(metric: &MetricDef, stat: Option<Stat>) -> String {
    match stat {
        None => metric.name.to_owned(),
        Some(stat) if stat != Stat::Mean && metric == latency() => stat.name().to_owned(),
        Some(stat) => format!("{}.{}", metric.name, stat.name()),
    }
}

/// Returns all metrics of a scenario with these labels: those of the whole run, then some of each step of
/// workflows, of each class and each model where there are several, and of each tenant with a name.
#[must_use]
pub fn metrics(labels: &Labels) -> Vec<Metric> {
    let several = |mut names: Vec<String>| {
        if names.len() < 2 {
            names.clear();
        }
        names
    };
    let steps = labels.steps().map(|(flow, step)| Scope::Step(flow.to_owned(), step.to_owned()));
    let classes = several(labels.classes.iter().map(|class| class.name.clone()).collect());
    // Several tenants may have one name: they are one then.
    let tenants: BTreeSet<String> = labels.tenants.values().cloned().collect();
    let models = several(labels.kinds().into_iter().map(str::to_owned).collect());
    let parts: [(Scopes, Vec<Scope>); 5] = [
        (Scopes::RUN, vec![Scope::Run]),
        (Scopes::STEP, steps.take(OF_EACH_MAX).collect()),
        (Scopes::CLASS, classes.into_iter().take(OF_EACH_MAX).map(Scope::Class).collect()),
        (Scopes::TENANT, tenants.into_iter().take(OF_EACH_MAX).map(Scope::Tenant).collect()),
        (Scopes::MODEL, models.into_iter().take(OF_EACH_MAX).map(Scope::Model).collect()),
    ];
    let mut list = Vec::new();
    for (kind, scopes) in parts {
        for scope in scopes {
            let lines = METRICS
                .iter()
                .flat_map(|metric| metric.compared.iter().map(move |line| (metric, line)));
            let lines = lines.filter(|(_, line)| line.of.any_of(kind));
            list.extend(lines.map(|(metric, line)| Metric::new(metric, line, scope.clone())));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::expect::{ExpectNames, Expectation};
    use crate::metrics::{ClassLabel, NodeLabel, WorkflowLabel};
    use crate::unit::TenantId;

    /// What is compared can be expected: its name is an expectation's left side.
    #[test]
    fn every_name_of_a_comparison_is_one_of_expectations() {
        let class = |name: &str| ClassLabel { name: name.to_owned(), ..ClassLabel::default() };
        let node = |kind: &str| NodeLabel { kind: kind.to_owned(), ..NodeLabel::default() };
        let flow = WorkflowLabel { name: "claim".into(), steps: vec!["read".into()] };
        let labels = Labels {
            classes: vec![class("chat"), class("batch")],
            workflows: vec![flow],
            tenants: [3, 4].map(|number| (TenantId(number), "acme".to_owned())).into(),
            nodes: ["large", "small"].map(node).into(),
            ..Labels::default()
        };
        let names = ExpectNames {
            classes: vec!["chat".into(), "batch".into()],
            steps: vec![("claim".into(), "read".into())],
            tenants: labels.tenants.clone(),
            models: vec!["large".into(), "small".into()],
            ..ExpectNames::default()
        };
        let list = metrics(&labels);
        let known = |name: &str| list.iter().any(|metric| metric.name == name);
        for name in [
            "step:claim.read.p95",
            "batch.not_served",
            "tenant:acme.slo_attainment",
            "tenant:acme.cost_per_1k",
            "model:small.utilisation",
            "model:large.cost",
        ] {
            assert!(known(name), "{name}");
        }
        assert!(!known("utilisation") && !known("cost"), "of models only");
        assert_eq!(list.iter().filter(|metric| metric.headline).count(), 6);
        for metric in &list {
            let limit = if metric.unit == Unit::Seconds { "1s" } else { "1" };
            let text = format!("{} < {limit}", metric.name);
            let expectation =
                Expectation::parse(&text, &names).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(expectation.reading(), &metric.reading, "{text}");
        }
        let mut unique: Vec<&str> = list.iter().map(|metric| metric.name.as_str()).collect();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), list.len());
    }
}
