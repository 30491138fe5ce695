//! Arrivals that are made up: `{ gamma = { rate = 40, cv = 3 } }` and the like.

use super::keys::{
    KeyDef, KeyKind, SHARE, SPAN, SectionDef, Usual, above_zero, between, key, need, one, section,
    upto,
};
use super::problem::Place;
use super::table::Table;
use super::value::{Field, Walk};
use crate::dist::DistError;
use crate::unit::Span;
use crate::workload::Process;
use crate::workload::process::{PIECES_MAX, RATE_MAX};

/// The shortest mean time in a state, period or ramp.
const SHORTEST: Span = Span::from_millis(1);

/// The period of a `diurnal` process that does not say.
const DAY: Span = Span::from_secs(86_400);

// Processes as scenarios spell them. Bounds of rates and shapes are those of the processes themselves,
// which say why a value cannot be.

pub(super) const POISSON: KeyDef =
    one("poisson", KeyKind::Table(&POISSON_KEYS), "requests that know nothing of each other");
pub(super) const GAMMA: KeyDef =
    one("gamma", KeyKind::Table(&GAMMA_KEYS), "more or less even than Poisson, by `cv`");
pub(super) const WEIBULL: KeyDef =
    one("weibull", KeyKind::Table(&WEIBULL_KEYS), "gaps with a heavier or lighter end, by `shape`");
pub(super) const MMPP: KeyDef =
    one("mmpp", KeyKind::Table(&MMPP_KEYS), "Poisson with a rate that changes at random");
pub(super) const RAMP: KeyDef =
    one("ramp", KeyKind::Table(&RAMP_KEYS), "Poisson with a rate that rises or falls evenly");
pub(super) const DIURNAL: KeyDef =
    one("diurnal", KeyKind::Table(&DIURNAL_KEYS), "Poisson with a rate that swings as a day does");
pub(super) const STEPS: KeyDef = one(
    "steps",
    KeyKind::Tables(&STEP_KEYS, PIECES_MAX),
    "Poisson with a rate that changes at given times",
);

const POSITIVE_RATE: KeyKind = above_zero(RATE_MAX);
const RATE: KeyKind = upto(RATE_MAX);
const HOLD: KeyKind = KeyKind::Span(SHORTEST, Span::MAX);
const RATE_KEY: KeyDef = need("rate", POSITIVE_RATE, "requests a second in the mean");

static POISSON_KEYS: SectionDef = SectionDef { keys: &[RATE_KEY], ..section("poisson", "") };

static GAMMA_KEYS: SectionDef = SectionDef {
    keys: &[RATE_KEY, need("cv", between(0.01, 100.0), "the coefficient of variation of gaps")],
    ..section("gamma", "")
};

static WEIBULL_KEYS: SectionDef = SectionDef {
    keys: &[
        RATE_KEY,
        need("shape", between(0.1, 100.0), "below one gaps are more uneven than Poisson"),
    ],
    ..section("weibull", "")
};

static MMPP_KEYS: SectionDef = SectionDef {
    keys: &[
        need("rates", KeyKind::List(&RATE, 2, PIECES_MAX), "requests a second, by state"),
        need("holds", KeyKind::List(&HOLD, 2, PIECES_MAX), "mean time in each state"),
    ],
    ..section("mmpp", "")
};

static RAMP_KEYS: SectionDef = SectionDef {
    keys: &[
        need("from", RATE, "requests a second at the start"),
        need("to", RATE, "requests a second at the end, and after it"),
        need("over", HOLD, "the time between"),
    ],
    ..section("ramp", "")
};

static DIURNAL_KEYS: SectionDef = SectionDef {
    keys: &[
        need("mean", POSITIVE_RATE, "requests a second in the mean"),
        key(
            "amplitude",
            SHARE,
            Usual::NeededUnless("peak_to_mean"),
            "how far the rate swings, as a share of the mean",
        ),
        key(
            "peak_to_mean",
            between(1.0, 2.0),
            Usual::NeededUnless("amplitude"),
            "the same as a ratio of the highest rate to the mean",
        ),
        key("period", HOLD, Usual::Span(DAY), "the length of a day"),
        key(
            "peak_at",
            SPAN,
            Usual::Unsaid("half a `period`: a run begins in the quiet of the night"),
            "when the rate is highest",
        ),
    ],
    ..section("diurnal", "")
};

static STEP_KEYS: SectionDef = SectionDef {
    keys: &[
        need("at", SPAN, "from when; \"0s\" in the first step"),
        need("rate", RATE, "requests a second from then on"),
    ],
    ..section("steps", "a step")
};

/// The parameters of a process with the fields they came from, so that an error can point at one.
struct Parameters<'a, 'w> {
    table: Table<'a>,
    walk: &'w mut Walk,
    fields: Vec<Field<'a>>,
}

impl<'a> Parameters<'a, '_> {
    fn need(&mut self, key: &'static str) -> Option<Field<'a>> {
        let field = self.table.need(self.walk, key)?;
        self.fields.push(field);
        Some(field)
    }

    fn number(&mut self, key: &'static str) -> Option<f64> {
        let field = self.need(key)?;
        self.walk.finite(field)
    }

    fn seconds(&mut self, key: &'static str) -> Option<f64> {
        let field = self.need(key)?;
        self.walk.span(field).map(Span::seconds)
    }

    /// Two rates or shapes, each looked at whatever is wrong with the other.
    fn pair(&mut self, a: &'static str, b: &'static str) -> Option<(f64, f64)> {
        let (a, b) = (self.number(a), self.number(b));
        a.zip(b)
    }

    fn process(&mut self, name: &str) -> Option<Result<Process, DistError>> {
        match name {
            "poisson" => self.number("rate").map(Process::poisson),
            "gamma" => self.pair("rate", "cv").map(|(rate, cv)| Process::gamma(rate, cv)),
            "weibull" => {
                self.pair("rate", "shape").map(|(rate, shape)| Process::weibull(rate, shape))
            }
            "mmpp" => self.states().map(|states| Process::mmpp(&states)),
            "ramp" => {
                let rates = self.pair("from", "to");
                let over = self.seconds("over");
                rates.zip(over).map(|((from, to), over)| Process::ramp(from, to, over))
            }
            _ => self.day(),
        }
    }

    fn states(&mut self) -> Option<Vec<(f64, f64)>> {
        let (rates, holds) = (self.need("rates"), self.need("holds"));
        let read_rate = |walk: &mut Walk, item| walk.number(item);
        let read_hold = |walk: &mut Walk, item| walk.span(item).map(Span::seconds);
        let rates = rates.map(|field| self.items(field, read_rate));
        let holds = holds.map(|field| (field, self.items(field, read_hold)));
        let (rates, (field, holds)) = (rates??, holds?);
        let holds = holds?;
        if rates.len() != holds.len() {
            let wanted = format!("a list of {} durations, one for each rate", rates.len());
            self.walk.must_be(field, &wanted);
            return None;
        }
        Some(rates.into_iter().zip(holds).collect())
    }

    /// The items of a list, all looked at; `None` if one of them is wrong.
    fn items(
        &mut self,
        field: Field<'a>,
        read: impl Fn(&mut Walk, Field<'a>) -> Option<f64>,
    ) -> Option<Vec<f64>> {
        let items = self.walk.list(field);
        if items.len() < 2 {
            // A list that is none, or too long, is a problem already.
            if field.is_list_below(2) {
                self.walk.must_be(field, "a list of at least two states");
            }
            return None;
        }
        let read: Vec<Option<f64>> = items.into_iter().map(|item| read(self.walk, item)).collect();
        read.into_iter().collect()
    }

    fn day(&mut self) -> Option<Result<Process, DistError>> {
        let mean = self.number("mean");
        let amplitude = self.amplitude();
        let period = self.table.span(self.walk, "period");
        // A run begins in the quiet of the night, unless it says otherwise.
        let peak_at = match self.table.take("peak_at") {
            Some(field) => self.walk.span(field),
            None => Some(period.unwrap_or(DAY).scale(0.5)),
        };
        let (period, peak_at) = (period?.seconds(), peak_at?.seconds());
        mean.zip(amplitude)
            .map(|(mean, amplitude)| Process::diurnal(mean, amplitude, period, peak_at))
    }

    /// How far the rate swings, said in one of two ways.
    fn amplitude(&mut self) -> Option<f64> {
        let Some(field) = self.table.take("amplitude") else {
            let field = self.need("peak_to_mean")?;
            return self.walk.number(field).map(|ratio| ratio - 1.0);
        };
        if let Some(other) = self.table.take("peak_to_mean") {
            let message = "`amplitude` and `peak_to_mean` say the same thing";
            self.walk.problem(other.place(), message).help("write one of them");
            return None;
        }
        self.walk.number(field)
    }
}

/// Reads a process: what stands behind its name.
pub(super) fn read(walk: &mut Walk, name: &str, inner: Field<'_>) -> Option<Process> {
    if name == "steps" {
        let steps = steps(walk, inner)?;
        let place = inner.place();
        return checked(walk, place, inner.name, &[], Process::steps(&steps));
    }
    let table = walk.table(inner)?;
    let mut parameters = Parameters { table, walk, fields: Vec::new() };
    let process = parameters.process(name);
    let Parameters { table, fields, .. } = parameters;
    table.finish(walk);
    checked(walk, inner.place(), inner.name, &fields, process?)
}

fn checked(
    walk: &mut Walk,
    place: &Place,
    name: &str,
    fields: &[Field<'_>],
    process: Result<Process, DistError>,
) -> Option<Process> {
    match process {
        Ok(process) => Some(process),
        Err(error) => {
            let field = fields.iter().find(|field| field.name == error.parameter);
            match field {
                Some(field) => walk.must_be(*field, error.wanted),
                None => walk.problem(place, format!("`{name}` must be {}", error.wanted)),
            };
            None
        }
    }
}

/// `[{ at = "0s", rate = 10 }, ...]`: every step is looked at.
fn steps(walk: &mut Walk, field: Field<'_>) -> Option<Vec<(f64, f64)>> {
    let items = walk.list(field);
    let mut steps = Vec::new();
    let mut good = !items.is_empty();
    if field.is_list_below(1) {
        walk.must_be(field, "a list of steps such as { at = \"0s\", rate = 10 }");
    }
    let mut before: Option<Span> = None;
    for item in items {
        let Some(mut table) = walk.table(item) else {
            good = false;
            continue;
        };
        let at = table.need(walk, "at").and_then(|at| {
            let span = walk.span(at)?;
            let fits = before.map_or(span == Span::ZERO, |before| span > before);
            if !fits {
                let wanted = before.map_or("\"0s\" in the first step".to_owned(), |before| {
                    format!("later than the step before ({before})")
                });
                walk.must_be(at, &wanted);
            }
            before = Some(span);
            fits.then_some(span)
        });
        let rate = table.number(walk, "rate");
        table.finish(walk);
        match at.zip(rate) {
            Some((at, rate)) => steps.push((rate, at.seconds())),
            None => good = false,
        }
    }
    good.then_some(steps)
}
