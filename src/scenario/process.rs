//! Arrivals that are made up: `{ gamma = { rate = 40, cv = 3 } }` and the like.

use super::problem::Place;
use super::value::{Field, Table, Walk};
use crate::dist::DistError;
use crate::unit::Span;
use crate::workload::Process;
use crate::workload::process::{PIECES_MAX, RATE_MAX};

/// Processes as scenarios spell them.
pub(super) const PROCESSES: [&str; 7] =
    ["poisson", "gamma", "weibull", "mmpp", "ramp", "diurnal", "steps"];

/// The shortest mean time in a state, period or ramp.
const SHORTEST: Span = Span::from_millis(1);

/// The period of a `diurnal` process that does not say.
const DAY: Span = Span::from_secs(86_400);

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
        self.walk.number(field)
    }

    fn seconds(&mut self, key: &'static str) -> Option<f64> {
        let field = self.need(key)?;
        self.walk.span(field, SHORTEST..=Span::MAX).map(Span::seconds)
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
        let read_rate = |walk: &mut Walk, item| walk.upto(item, RATE_MAX);
        let read_hold =
            |walk: &mut Walk, item| walk.span(item, SHORTEST..=Span::MAX).map(Span::seconds);
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
        let items = self.walk.list(field, PIECES_MAX);
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
        let period = self.optional("period", SHORTEST, DAY);
        // A run begins in the quiet of the night, unless it says otherwise.
        let peak_at = self.optional("peak_at", Span::ZERO, period.unwrap_or(DAY).scale(0.5));
        let (period, peak_at) = (period?.seconds(), peak_at?.seconds());
        mean.zip(amplitude)
            .map(|(mean, amplitude)| Process::diurnal(mean, amplitude, period, peak_at))
    }

    fn optional(&mut self, key: &'static str, min: Span, default: Span) -> Option<Span> {
        match self.table.take(key) {
            Some(field) => self.walk.span(field, min..=Span::MAX),
            None => Some(default),
        }
    }

    /// How far the rate swings, said in one of two ways.
    fn amplitude(&mut self) -> Option<f64> {
        let Some(field) = self.table.take("amplitude") else {
            let field = self.need("peak_to_mean")?;
            let ratio = self.walk.number(field)?;
            if !(1.0..=2.0).contains(&ratio) {
                self.walk.must_be(field, "a number from 1 to 2");
                return None;
            }
            return Some(ratio - 1.0);
        };
        if let Some(other) = self.table.take("peak_to_mean") {
            let message = "`amplitude` and `peak_to_mean` say the same thing";
            self.walk.problem(other.place(), message).help("write one of them");
            return None;
        }
        self.walk.upto(field, 1.0)
    }
}

/// Reads a process: what stands behind its name.
pub(super) fn read(walk: &mut Walk, name: &str, inner: Field<'_>) -> Option<Process> {
    if name == "steps" {
        let steps = steps(walk, inner)?;
        let place = inner.place();
        return checked(walk, place, inner.name, &[], Process::steps(&steps));
    }
    let table = walk.table(inner, &format!("`{name}`"))?;
    let mut parameters = Parameters { table, walk, fields: Vec::new() };
    let process = parameters.process(name);
    let Parameters { table, fields, .. } = parameters;
    table.finish(walk, &[]);
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
    let items = walk.list(field, PIECES_MAX);
    let mut steps = Vec::new();
    let mut good = !items.is_empty();
    if field.is_list_below(1) {
        walk.must_be(field, "a list of steps such as { at = \"0s\", rate = 10 }");
    }
    let mut before: Option<Span> = None;
    for item in items {
        let Some(mut table) = walk.table(item, "a step") else {
            good = false;
            continue;
        };
        let at = table.need(walk, "at").and_then(|at| {
            let span = walk.span(at, Span::ZERO..=Span::MAX)?;
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
        let rate = table.need(walk, "rate").and_then(|rate| walk.upto(rate, RATE_MAX));
        table.finish(walk, &[]);
        match at.zip(rate) {
            Some((at, rate)) => steps.push((rate, at.seconds())),
            None => good = false,
        }
    }
    good.then_some(steps)
}
