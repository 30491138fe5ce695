//! `[[class]]`: kinds of requests, their lengths and what their users are promised.

use super::dist::{NUMBER, read as read_dist};
use super::keys::{
    KeyKind, LABEL, NAME, POSITIVE_SPAN, SHARE, SectionDef, Usual, above_zero, key, need, section,
    upto,
};
use super::names::Names;
use super::origin::{self, Known};
use super::pool::Fleet;
use super::problem::Place;
use super::table::Table;
use super::traffic;
use super::value::{Field, Walk, digits};
use crate::balance::Priority;
use crate::dist::Dist;
use crate::metrics::{ClassLabel, Slo};
use crate::unit::{ClassId, ModelId, Span};
use crate::workload::length::LENGTH_MAX;
use crate::workload::repeat::DISTINCT_MAX;
use crate::workload::tenant::EXPONENT_MAX;
use crate::workload::{ClassSpec, HardnessLaw, Origin, RepeatLaw, TenantLaw};

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

/// `[[class]]`.
pub(super) static CLASS: SectionDef = SectionDef {
    keys: &[
        need("name", NAME, "what routes, expectations and clients call it"),
        key(
            "share",
            above_zero(SHARE_MAX),
            Usual::Number(1.0),
            "its part of the requests, relative to the other classes",
        ),
        key(
            "priority",
            PRIORITY,
            Usual::Word("normal"),
            "who matters more waits less and is shed later",
        ),
        key(
            "prompt_tokens",
            NUMBER,
            Usual::Unsaid("log-normal, median 500, 95 % below 2,000"),
            "tokens of a prompt",
        ),
        key(
            "output_tokens",
            NUMBER,
            Usual::Unsaid("log-normal, median 150, 95 % below 500"),
            "tokens of an answer",
        ),
        key(
            "slo",
            KeyKind::Table(&SLO),
            Usual::Unsaid("nothing is promised"),
            "what its users are promised",
        ),
        key(
            "deadline",
            POSITIVE_SPAN,
            Usual::Unsaid("none"),
            "a request that takes longer has failed",
        ),
        key(
            "region",
            origin::REGION,
            Usual::Unsaid("not said"),
            "where its requests come from, or several places by share",
        ),
        key(
            "attributes",
            origin::ATTRIBUTES,
            Usual::Unsaid("none"),
            "what is known of its requests: values, or several by share",
        ),
        key(
            "model",
            LABEL,
            Usual::Unsaid("none"),
            "the model that its requests name: only nodes of it serve them",
        ),
        key("tenant", traffic::TENANTS, Usual::Whole(0), "whose requests they are"),
        key(
            "complexity",
            NUMBER,
            Usual::Unsaid("not said"),
            "how hard its requests look, on any scale",
        ),
        key(
            "complexity_correlation",
            SHARE,
            Usual::Number(0.0),
            "how far that follows how hard they are for a model: 0 not at all, 1 wholly",
        ),
        key(
            "repeat",
            KeyKind::Table(&REPEAT),
            Usual::Unsaid("each is asked once"),
            "which of its requests come again, word for word",
        ),
    ],
    later: &["prefix", "session", "output_max"],
    ..section("class", "`[[class]]`")
};

static REPEAT: SectionDef = SectionDef {
    keys: &[
        need(
            "distinct",
            KeyKind::Whole(1, DISTINCT_MAX as u64),
            "so many different requests come again and again",
        ),
        key(
            "zipf",
            upto(EXPONENT_MAX),
            Usual::Number(1.0),
            "the k-th of them has a share in proportion to k to the power of minus this",
        ),
        key(
            "share",
            SHARE,
            Usual::Number(1.0),
            "the part of the class's requests that are among them",
        ),
    ],
    ..section("repeat", "")
};

/// A priority by its name.
pub(super) const PRIORITY: KeyKind = KeyKind::Word(&PRIORITIES);

const PRIORITIES: [&str; 4] = {
    let [a, b, c, d] = Priority::ALL;
    [a.name(), b.name(), c.name(), d.name()]
};

static SLO: SectionDef = SectionDef {
    keys: &[
        key(
            "first_token",
            POSITIVE_SPAN,
            Usual::Unsaid("nothing is promised"),
            "the first token comes within this time",
        ),
        key(
            "per_token",
            POSITIVE_SPAN,
            Usual::Unsaid("nothing is promised"),
            "each further one within this, in the mean",
        ),
        key(
            "total",
            POSITIVE_SPAN,
            Usual::Unsaid("nothing is promised"),
            "the whole answer within this",
        ),
    ],
    ..section("slo", "")
};

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
    /// Which of them name a model, and where that is said.
    pub(super) named: Vec<(ClassId, ModelId, Place)>,
}

pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>, fleet: &mut Fleet) -> Classes {
    let names = Names::new("class");
    let attributes = Names::new("request attribute");
    let mut classes = Classes { names, attributes, ..Classes::default() };
    for table in walk.tables(field) {
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
    complexity: Option<HardnessLaw>,
    model: Option<ModelId>,
    repeat: Option<RepeatLaw>,
}

fn read_one(walk: &mut Walk, mut table: Table<'_>, classes: &mut Classes, fleet: &mut Fleet) {
    let name = table.need(walk, "name").and_then(|field| {
        let name = walk.name(field)?;
        classes.names.add(walk, name, field.place());
        Some(name)
    });
    let read = Read {
        share: table.number(walk, "share"),
        priority: table.take("priority").and_then(|field| priority(walk, field)),
        prompt: table.take("prompt_tokens").and_then(|field| tokens(walk, field)),
        output: table.take("output_tokens").and_then(|field| tokens(walk, field)),
        slo: table.take("slo").map(|field| slo(walk, field)).unwrap_or_default(),
        deadline: table.span(walk, "deadline"),
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
        model: table.take("model").and_then(|field| {
            let model = ModelId(fleet.models.find(walk, field)? as u16);
            classes.named.push((ClassId(classes.specs.len() as u16), model, field.place().clone()));
            Some(model)
        }),
        complexity: {
            let correlation = table.number(walk, "complexity_correlation").unwrap_or_default();
            let law = table.take("complexity").and_then(|field| complexity(walk, field));
            law.map(|law| HardnessLaw::new(law, correlation))
        },
        repeat: table.take("repeat").and_then(|field| repeat(walk, field)),
    };
    table.finish(walk);
    classes.push(name.unwrap_or_default(), read);
}

impl Classes {
    fn push(&mut self, name: &str, read: Read) {
        self.labels.push(ClassLabel {
            name: name.to_owned(),
            slo: read.slo,
            deadline: read.deadline,
        });
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
                repeat: read.repeat,
                model: read.model,
            });
        }
    }
}

fn tokens(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let law = read_dist(walk, field)?;
    if law.mean() > LENGTH_MAX as f64 {
        walk.must_be(field, &format!("at most {} tokens in the mean", digits(LENGTH_MAX)));
        return None;
    }
    Some(law)
}

/// How hard requests look, on any scale: it is kept in thousandths.
fn complexity(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let law = read_dist(walk, field)?;
    if law.mean() > COMPLEXITY_MAX {
        walk.must_be(field, &format!("at most {COMPLEXITY_MAX} in the mean"));
        return None;
    }
    Some(law)
}

/// `{ distinct = 1000, zipf = 0.9, share = 0.6 }`.
fn repeat(walk: &mut Walk, field: Field<'_>) -> Option<RepeatLaw> {
    let mut table = walk.table(field)?;
    let distinct = table.count(walk, "distinct");
    let (zipf, share) = (table.number(walk, "zipf"), table.number(walk, "share"));
    table.finish(walk);
    RepeatLaw::new(distinct? as u32, zipf?, share?)
}

fn slo(walk: &mut Walk, field: Field<'_>) -> Slo {
    let Some(mut table) = walk.table(field) else {
        return Slo::default();
    };
    let mut read = |key| table.span(walk, key);
    let slo = Slo {
        first_token: read("first_token"),
        per_token: read("per_token"),
        total: read("total"),
    };
    table.finish(walk);
    slo
}
