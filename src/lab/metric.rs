//! What is compared: the metrics of the catalogue that say so, read from the summary of a run.
//!
//! Names are those of expectations: `p99`, `ttft.p99`, `chat.p99`.

use crate::metrics::catalogue::{
    Better, Compared, METRICS, MetricDef, Reading, Scope, Stat, Unit, latency,
};
use crate::metrics::{Labels, Summary};

/// Of more classes than this, only the first are compared by themselves.
const CLASSES_MAX: usize = 16;

/// Of more steps than this, only the first are compared by themselves.
const STEPS_MAX: usize = 16;

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
    fn of_run(metric: &'static MetricDef, line: &Compared) -> Metric {
        Metric {
            name: name(metric, line.stat),
            label: line.label.to_owned(),
            unit: metric.unit,
            better: metric.better,
            headline: line.headline,
            reading: Reading { scope: Scope::Run, metric, stat: line.stat },
        }
    }

    fn of_class(metric: &'static MetricDef, line: &Compared, class: &str) -> Metric {
        let whole = Metric::of_run(metric, line);
        Metric {
            name: format!("{class}.{}", whole.name),
            label: format!("{class}: {}", whole.label),
            headline: false,
            reading: Reading { scope: Scope::Class(class.to_owned()), ..whole.reading },
            ..whole
        }
    }

    fn of_step(metric: &'static MetricDef, line: &Compared, flow: &str, step: &str) -> Metric {
        let whole = Metric::of_run(metric, line);
        Metric {
            name: format!("step:{flow}.{step}.{}", whole.name),
            label: format!("{flow}.{step}: {}", whole.label),
            headline: false,
            reading: Reading {
                scope: Scope::Step(flow.to_owned(), step.to_owned()),
                ..whole.reading
            },
            ..whole
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

/// Returns all metrics of a scenario with these labels: those of the whole run, then, where there
/// are several classes, some of each class, and where there are workflows, some of each step.
#[must_use]
pub fn metrics(labels: &Labels) -> Vec<Metric> {
    let lines =
        || METRICS.iter().flat_map(|metric| metric.compared.iter().map(move |line| (metric, line)));
    let mut list: Vec<Metric> =
        lines().map(|(metric, line)| Metric::of_run(metric, line)).collect();
    for (flow, step) in labels.steps().take(STEPS_MAX) {
        let by_step = lines().filter(|(_, line)| line.by_step);
        list.extend(by_step.map(|(metric, line)| Metric::of_step(metric, line, flow, step)));
    }
    let classes = if labels.classes.len() < 2 { &[] } else { &labels.classes[..] };
    for class in classes.iter().take(CLASSES_MAX) {
        let by_class = lines().filter(|(_, line)| line.by_class);
        list.extend(by_class.map(|(metric, line)| Metric::of_class(metric, line, &class.name)));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::expect::{ExpectNames, Expectation};
    use crate::metrics::{ClassLabel, WorkflowLabel};

    /// What is compared can be expected: its name is an expectation's left side.
    #[test]
    fn every_name_of_a_comparison_is_one_of_expectations() {
        let class = |name: &str| ClassLabel { name: name.to_owned(), ..ClassLabel::default() };
        let flow = WorkflowLabel { name: "claim".into(), steps: vec!["read".into()] };
        let labels = Labels {
            classes: vec![class("chat"), class("batch")],
            workflows: vec![flow],
            ..Labels::default()
        };
        let names = ExpectNames {
            classes: vec!["chat".into(), "batch".into()],
            steps: vec![("claim".into(), "read".into())],
            ..ExpectNames::default()
        };
        let list = metrics(&labels);
        assert!(list.iter().any(|metric| metric.name == "step:claim.read.p95"));
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
