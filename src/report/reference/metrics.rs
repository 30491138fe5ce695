//! The page of metrics: the catalogue as Markdown.

use super::{code, page, table};
use crate::metrics::catalogue::{Better, METRICS, MetricDef, Stat};

/// Returns the page: what expectations, `--fail-if` and comparisons know, and where JSON has it.
#[must_use]
pub fn metrics() -> String {
    let mut text = page("Metrics", ABOUT);
    text.push_str(&format!("\nNumbers of a time: {}.\n", codes(Stat::ALL.map(Stat::name))));
    let heads = ["metric", "unit", "of", "better", "what it is", "in JSON"];
    table(&mut text, &heads, METRICS.iter().map(row));
    text.push_str(COMPARED);
    let lines = METRICS.iter().flat_map(|metric| {
        metric.compared.iter().map(move |line| {
            let stat = line.stat.map_or_else(String::new, |stat| format!(".{}", stat.name()));
            let mark = |is: bool| if is { "yes" } else { "" }.to_owned();
            let name = code(&format!("{}{stat}", metric.name));
            let of: Vec<&str> = line.of.words().collect();
            vec![name, line.label.to_owned(), mark(line.headline), of.join(", ")]
        })
    });
    table(&mut text, &["metric", "called", "headline", "of"], lines);
    text
}

const ABOUT: &str = "\
What a run measures: the words of `[[expect]]`, of `--fail-if` and of comparisons. A metric is of the whole
run, or of what is named before it with a dot between: `failed`, `chat.ttft.p99`, `gpt-4.1.utilisation`.
`class:`, `pool:`, `node:` or `route:` say which is meant where a name is two things. `jobs` is the jobs of
all workflows, `report.jobs` those of the workflow `report`; a step of a workflow is `step:write`, or
`step:report.write` where several workflows have one. `tenant:acme` is a tenant by the name that its
`[[tenant]]` has, `tenant:3` one without a name; of more than a hundred only the hundred with most requests
have figures. `model:gpt-4.1` is all nodes of a model, where there are several models.
`plimsoll list metrics` says the same as this page.

A count compared with `%` is a share of the requests that arrived; of a node or a model, of its attempts; of
jobs, of those that started. What has no sample keeps no promise. Of a time one of its numbers must be named;
one of them by itself is of latency: `p99` is `latency.p99`. Places in JSON are seen from the object of what
is measured: the result itself, or an entry of `classes`, `pools`, `nodes`, `routes`, `tenants`, `models`,
`workflows` or the `steps` of one. A metric without a place is worked out from others.";

const COMPARED: &str = "
## What a comparison shows

Headline metrics decide and are a family of tests of their own. Those by class are shown for each class too,
where there are several.
";

fn row(metric: &MetricDef) -> Vec<String> {
    let better = match metric.better {
        Better::Lower => "less",
        Better::Higher => "more",
        Better::Neither => "",
    };
    let also = if metric.also.is_empty() { "" } else { ", also " };
    vec![
        format!("{}{also}{}", code(metric.name), codes(metric.also.iter().copied())),
        metric.unit.words().to_owned(),
        metric.scopes.words().collect::<Vec<_>>().join(", "),
        better.to_owned(),
        metric.help.to_owned(),
        codes(metric.json.iter().copied()),
    ]
}

fn codes<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_row_and_no_row_breaks_the_table() {
        let page = metrics();
        for metric in METRICS {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}`", metric.name)));
            let row = row.unwrap_or_else(|| panic!("{} has no row", metric.name));
            assert_eq!(row.matches('|').count(), 7, "{row}");
        }
    }
}
