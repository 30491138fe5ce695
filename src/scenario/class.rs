//! `[[class]]`: kinds of requests, their lengths and what their users are promised.

use super::dist::{Unit, read as read_dist};
use super::names::Names;
use super::origin::{self, Known};
use super::pool::Fleet;
use super::problem::Place;
use super::traffic;
use super::value::{Field, Table, Walk, digits};
use crate::balance::Priority;
use crate::dist::Dist;
use crate::metrics::{ClassLabel, Slo};
use crate::unit::Span;
use crate::workload::length::LENGTH_MAX;
use crate::workload::{ClassSpec, Origin, TenantLaw};

/// A scenario has at most so many classes.
pub const CLASSES_MAX: usize = 256;

/// Requests are so hard in the mean at most.
pub const COMPLEXITY_MAX: f64 = 1_000.0;

/// Shares go so far.
pub const SHARE_MAX: f64 = 1e9;

/// Prompt tokens of a class that does not say: median and 95 % quantile of a log-normal law.
pub const PROMPT_DEFAULT: (f64, f64) = (500.0, 2_000.0);

/// Answer tokens of a class that does not say: median and 95 % quantile of a log-normal law.
pub const OUTPUT_DEFAULT: (f64, f64) = (150.0, 500.0);

/// Reads a priority.
pub(super) fn priority(walk: &mut Walk, field: Field<'_>) -> Option<Priority> {
    walk.word(field, &Priority::ALL.map(|priority| (priority.name(), priority)))
}

/// What the `[[class]]` tables say.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) names: Names,
    pub(super) specs: Vec<ClassSpec>,
    pub(super) labels: Vec<ClassLabel>,
    /// `key=value`, by bit.
    pub(super) attributes: Names,
}

pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>, fleet: &mut Fleet) -> Classes {
    let names = Names::new("class");
    let attributes = Names::new("request attribute");
    let mut classes = Classes { names, attributes, ..Classes::default() };
    for table in walk.tables(field, "class", CLASSES_MAX) {
        read_one(walk, table, &mut classes, fleet);
    }
    if field.is_none() {
        classes.names.add(walk, "default", &Place::File);
        classes.push("default", Read::default());
    }
    classes
}

/// What one class says; `None` is the default, or a problem.
#[derive(Clone, Default)]
struct Read {
    share: Option<f64>,
    priority: Option<Priority>,
    prompt: Option<Dist>,
    output: Option<Dist>,
    slo: Slo,
    deadline: Option<Span>,
    origin: Origin,
    tenants: Option<TenantLaw>,
    complexity: Option<Dist>,
}

fn read_one(walk: &mut Walk, mut table: Table<'_>, classes: &mut Classes, fleet: &mut Fleet) {
    let name = table.need(walk, "name").and_then(|field| {
        let name = walk.name(field)?;
        classes.names.add(walk, name, field.place());
        Some(name)
    });
    let read = Read {
        share: table.take("share").and_then(|field| walk.above_zero(field, SHARE_MAX)),
        priority: table.take("priority").and_then(|field| priority(walk, field)),
        prompt: table.take("prompt_tokens").and_then(|field| tokens(walk, field)),
        output: table.take("output_tokens").and_then(|field| tokens(walk, field)),
        slo: table.take("slo").map(|field| slo(walk, field)).unwrap_or_default(),
        deadline: table.take("deadline").and_then(|field| walk.positive_span(field)),
        origin: {
            let (region, attributes) = (table.take("region"), table.take("attributes"));
            let known = &mut Known {
                regions: &mut fleet.regions,
                attributes: &mut classes.attributes,
                uses: &mut fleet.region_uses,
            };
            origin::read(walk, region, attributes, known)
        },
        tenants: table.take("tenant").and_then(|field| traffic::tenants(walk, field)),
        complexity: table.take("complexity").and_then(|field| complexity(walk, field)),
    };
    table.finish(walk, &["prefix", "session", "output_max"]);
    classes.push(name.unwrap_or_default(), read);
}

impl Classes {
    fn push(&mut self, name: &str, read: Read) {
        self.labels.push(ClassLabel { name: name.to_owned(), slo: read.slo });
        let law = |given: Option<Dist>, (p50, p95)| {
            given.or_else(|| Dist::lognormal_quantiles(p50, p95).ok())
        };
        let laws = law(read.prompt, PROMPT_DEFAULT).zip(law(read.output, OUTPUT_DEFAULT));
        if let Some((prompt, output)) = laws {
            self.specs.push(ClassSpec {
                name: name.to_owned(),
                share: read.share.unwrap_or(1.0),
                priority: read.priority.unwrap_or_default(),
                prompt,
                output,
                deadline: read.deadline,
                origin: read.origin,
                tenants: read.tenants.unwrap_or_default(),
                complexity: read.complexity,
            });
        }
    }
}

fn tokens(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let law = read_dist(walk, field, Unit::Plain)?;
    if law.mean() > LENGTH_MAX as f64 {
        walk.must_be(field, &format!("at most {} tokens in the mean", digits(LENGTH_MAX)));
        return None;
    }
    Some(law)
}

/// How hard requests are, on any scale: it is kept in thousandths.
fn complexity(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let law = read_dist(walk, field, Unit::Plain)?;
    if law.mean() > COMPLEXITY_MAX {
        walk.must_be(field, &format!("at most {COMPLEXITY_MAX} in the mean"));
        return None;
    }
    Some(law)
}

fn slo(walk: &mut Walk, field: Field<'_>) -> Slo {
    let Some(mut table) = walk.table(field, "`slo`") else {
        return Slo::default();
    };
    let mut read = |key| table.take(key).and_then(|field| walk.positive_span(field));
    let slo = Slo {
        first_token: read("first_token"),
        per_token: read("per_token"),
        total: read("total"),
    };
    table.finish(walk, &[]);
    slo
}
