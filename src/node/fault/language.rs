//! The fault language: every fault by its name, its parameters, and what of the world it stands for.
//!
//! One list for all who read or show faults: scenarios (which add the place of a mistake), the admin
//! call of mock servers, and people. What a parameter may be, and what it is if nothing is said, stands
//! here alone. Whom a fault hits and for how long is said beside it, alike for all: `node`, `pool`,
//! `region` or `tag`, `count` of those, and `for`.

use std::fmt;

use super::{Answer, Cut, FaultKind, ProbeLie, ReportLie};
use crate::balance::{Limits, Prices};
use crate::unit::{Price, Ratio, Span};

/// A slow node takes at most so many times as long.
pub const FACTOR_MAX: f64 = 1e6;

/// Prices go so far, in dollars per million tokens or an hour.
pub const PRICE_MAX: f64 = 1e6;

/// A stream is cut after at most so many tokens.
pub const TOKENS_MAX: u64 = 100_000_000;

/// A limit of a node is at most so high.
const LIMIT_MAX: u64 = 1_000_000_000;

/// Statuses an error may have.
pub const STATUSES: &[u16] =
    &[400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529];

/// A fault by its name.
#[derive(Debug)]
pub struct Word {
    /// What scenarios call it.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// What of the world it stands for.
    pub models: &'static str,
    /// What may be said of it beside targets and times.
    pub params: &'static [Param],
    build: fn(&Said<'_>) -> Result<Built, Wrong>,
}

/// A parameter of a fault.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ParamKind,
    /// What it is if nothing is said; `None` where it must be said.
    pub default: Option<Usual>,
    /// What it means.
    pub about: &'static str,
}

/// What a parameter is if nothing is said; shown as a scenario would write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Usual {
    /// As if this were said; not for words, which must be.
    Is(Value),
    /// No value has this effect.
    Unsaid(&'static str),
}

impl fmt::Display for Usual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Usual::Is(Value::Number(number)) => number.fmt(f),
            Usual::Is(Value::Span(span)) => span.fmt(f),
            Usual::Is(Value::Whole(whole)) => whole.fmt(f),
            Usual::Is(Value::Word(place)) => place.fmt(f),
            Usual::Unsaid(words) => words.fmt(f),
        }
    }
}

/// What a number may be: up to and including `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Whether it may be zero; it is never below.
    pub zero: bool,
    /// The most it may be.
    pub max: f64,
}

impl Bounds {
    /// A share of requests.
    pub const SHARE: Bounds = Bounds { zero: false, max: 1.0 };
    /// So many times as long.
    pub const FACTOR: Bounds = Bounds { zero: false, max: FACTOR_MAX };
    /// Dollars per million tokens.
    pub const DOLLARS: Bounds = Bounds { zero: true, max: PRICE_MAX };

    /// Returns whether a number may be said.
    #[must_use]
    pub fn allow(self, number: f64) -> bool {
        (number > 0.0 || self.zero && number >= 0.0) && number <= self.max
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zero {
            true => write!(f, "a number from 0 to {}", self.max),
            false => write!(f, "a number above 0, at most {}", self.max),
        }
    }
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamKind {
    /// A number.
    Number(Bounds),
    /// A duration above zero.
    Span,
    /// One of [`STATUSES`].
    Status,
    /// A whole number of this range.
    Whole(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// The value of a parameter; its reader has checked it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Of a number.
    Number(f64),
    /// Of a duration.
    Span(Span),
    /// Of a status or a whole number.
    Whole(u64),
    /// Of a word: its place among those that may be said.
    Word(usize),
}

impl Value {
    /// Returns a status, if an error may have it: one of [`STATUSES`].
    #[must_use]
    pub fn status(status: u64) -> Option<Value> {
        STATUSES.iter().any(|one| u64::from(*one) == status).then_some(Value::Whole(status))
    }

    /// Returns what a status must be, in words.
    #[must_use]
    pub fn statuses() -> String {
        let list: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
        format!("one of {}", list.join(", "))
    }
}

/// The parameters that are given.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<(&'static str, Value)>);

impl Values {
    /// Adds one.
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }
}

/// What is said of a fault: what is given, and what is usual where nothing is.
struct Said<'a> {
    given: &'a Values,
    params: &'static [Param],
}

/// A parameter that must be said is not.
const MISSING: Wrong = Wrong {
    param: "",
    message: "a parameter of the fault is missing",
    label: "says too little",
    help: "see `plimsoll list faults`",
};

impl Said<'_> {
    fn gives(&self, name: &str) -> bool {
        self.given.get(name).is_some()
    }

    fn get(&self, name: &str) -> Option<Value> {
        let param = || self.params.iter().find(|param| param.name == name);
        self.given.get(name).or_else(|| match param()?.default? {
            Usual::Is(value) => Some(value),
            Usual::Unsaid(_) => None,
        })
    }

    fn number(&self, name: &str) -> Result<f64, Wrong> {
        match self.get(name) {
            Some(Value::Number(number)) => Ok(number),
            _ => Err(MISSING),
        }
    }

    fn share(&self) -> Result<Ratio, Wrong> {
        self.number("share").map(Ratio::from_f64)
    }

    /// Returns a duration, if there is one.
    fn span(&self, name: &str) -> Option<Span> {
        match self.get(name)? {
            Value::Span(span) => Some(span),
            _ => None,
        }
    }

    /// Returns a whole number or a status, if there is one.
    fn whole(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Whole(whole) => Some(whole),
            _ => None,
        }
    }

    /// Returns what stands at the place of the word.
    fn word<T: Copy>(&self, name: &str, meanings: &[T]) -> Result<T, Wrong> {
        match self.get(name) {
            Some(Value::Word(place)) => meanings.get(place).copied().ok_or(MISSING),
            _ => Err(MISSING),
        }
    }
}

/// What a fault comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Built {
    /// This, as long as it lasts.
    Lasting(FaultKind),
    /// This again and again, as long as it lasts: on for one time, off for another.
    Cycle {
        /// What.
        kind: FaultKind,
        /// How long it is on.
        on: Span,
        /// How long it is off.
        off: Span,
    },
}

/// Parameters that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The one to point at; empty for the fault as a whole.
    pub param: &'static str,
    /// What is wrong.
    pub message: &'static str,
    /// In two words.
    pub label: &'static str,
    /// What to write.
    pub help: &'static str,
}

impl Word {
    /// Finds a fault by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Word> {
        LANGUAGE.iter().find(|word| word.name == name)
    }

    /// Builds the fault from its parameters.
    ///
    /// # Errors
    /// If they do not go together, or one is missing that must be there.
    pub fn build(&self, values: &Values) -> Result<Built, Wrong> {
        (self.build)(&Said { given: values, params: self.params })
    }
}

const SHARE: Param = share(1.0);

const TOKENS: Param = Param {
    name: "tokens",
    kind: ParamKind::Whole(1, TOKENS_MAX),
    default: Some(Usual::Is(Value::Whole(10))),
    about: "so many come before",
};

const RETRY_AFTER: Param = Param {
    name: "retry_after",
    kind: ParamKind::Span,
    default: Some(Usual::Unsaid("none")),
    about: "the pause a 429 asks for",
};

const DOWN: &str = "so long it is gone";

const fn limit(name: &'static str, about: &'static str) -> Param {
    let default = Some(Usual::Unsaid("as before"));
    Param { name, kind: ParamKind::Whole(1, LIMIT_MAX), default, about }
}

const fn number(name: &'static str, bounds: Bounds, usual: f64, about: &'static str) -> Param {
    let default = Some(Usual::Is(Value::Number(usual)));
    Param { name, kind: ParamKind::Number(bounds), default, about }
}

const fn price(name: &'static str, about: &'static str) -> Param {
    number(name, Bounds::DOLLARS, 0.0, about)
}

const fn share(usual: f64) -> Param {
    number("share", Bounds::SHARE, usual, "of the requests, drawn for each")
}

const fn factor(name: &'static str, usual: f64, about: &'static str) -> Param {
    number(name, Bounds::FACTOR, usual, about)
}

const fn span(name: &'static str, seconds: u64, about: &'static str) -> Param {
    let default = Some(Usual::Is(Value::Span(Span::from_secs(seconds))));
    Param { name, kind: ParamKind::Span, default, about }
}

/// All faults, in the order they are listed to people.
pub static LANGUAGE: &[Word] = &[
    Word {
        name: "crash",
        about: "the node is gone: work is reset, connects are refused, probes fail",
        models: "crash of a process or host (F01), correlated failure with `count` (F38)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::Crash)),
    },
    Word {
        name: "hang",
        about: "the node accepts and never answers, probes neither",
        models: "hang of a process (F02); with `probes` green a wedged engine (F11)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::Hang)),
    },
    Word {
        name: "slow",
        about: "everything takes `factor` times as long; probes pass",
        models: "throttled, overcommitted or half broken hardware (F05)",
        params: &[
            factor("factor", 1.0, "on everything"),
            factor("ttft", 1.0, "on the time to the first token"),
            factor("itl", 1.0, "on the time of every further token"),
        ],
        build: slow,
    },
    Word {
        name: "errors",
        about: "a `share` of requests is answered with an error at once; probes pass",
        models: "bursts of 5xx (F14), fast-fail black hole (F15), client faults (F20), keys (F19)",
        params: &[
            SHARE,
            Param {
                name: "status",
                kind: ParamKind::Status,
                default: Some(Usual::Is(Value::Whole(500))),
                about: "400-404, 408, 413, 422, 429, 500, 502-504 or 529",
            },
            RETRY_AFTER,
        ],
        build: errors,
    },
    Word {
        name: "fast_fail",
        about: "every request is answered 500 at once; probes pass",
        models: "fast-fail black hole (F15)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::Errors(Ratio::ONE, Answer::ServerError))),
    },
    Word {
        name: "rate_limit",
        about: "a `share` of requests is answered 429",
        models: "quota used up by others (F16)",
        params: &[SHARE, RETRY_AFTER],
        build: |values| {
            let answer = Answer::RateLimited(values.span("retry_after"));
            Ok(Built::Lasting(FaultKind::Errors(values.share()?, answer)))
        },
    },
    Word {
        name: "spend_cap",
        about: "every request is answered 429 without a time: the money is spent",
        models: "spend cap of a credential (F17)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::Errors(Ratio::ONE, Answer::SpendCap))),
    },
    Word {
        name: "gray",
        about: "a `share` of requests takes `factor` times as long; probes pass",
        models: "gray failure (F06); failing instead of slow is `errors` with a `share`",
        params: &[share(0.3), factor("factor", 10.0, "on the time of those")],
        build: |values| {
            Ok(Built::Lasting(FaultKind::Gray(values.share()?, values.number("factor")?)))
        },
    },
    Word {
        name: "black_hole",
        about: "packets are lost: connects time out, no probe is answered",
        models: "lost route or firewall (F03)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::BlackHole)),
    },
    Word {
        name: "partition",
        about: "the same, of a region: it is cut off from the balancer",
        models: "region partition (F37)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::BlackHole)),
    },
    Word {
        name: "flap",
        about: "the link comes and goes: lost for `down`, there for `up`",
        models: "flapping link or node (F39)",
        params: &[span("up", 10, "so long it is there"), span("down", 5, "so long it is lost")],
        build: |values| cycle(values, FaultKind::BlackHole),
    },
    Word {
        name: "restart_loop",
        about: "the node crashes again and again: gone for `down`, there for `up`",
        models: "crash loop (F08)",
        params: &[span("up", 20, "so long it serves"), span("down", 5, DOWN)],
        build: |values| cycle(values, FaultKind::Crash),
    },
    Word {
        name: "cold_start",
        about: "the process is new and loads: work is reset, caches are empty, 503 meanwhile",
        models: "restart and model load (F07)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::ColdStart)),
    },
    Word {
        name: "cache_loss",
        about: "the cache of prompts is empty from one moment to the next",
        models: "eviction or restart of a cache (F07)",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::CacheLoss)),
    },
    Word {
        name: "reset",
        about: "the connection of a `share` of answers is reset after `tokens` tokens",
        models: "reset in mid-stream (F22)",
        params: &[SHARE, TOKENS],
        build: |values| cut(values, Cut::Reset),
    },
    Word {
        name: "truncate",
        about: "a `share` of answers ends after `tokens` tokens without its last events",
        models: "truncated stream (F23)",
        params: &[SHARE, TOKENS],
        build: |values| cut(values, Cut::Truncate),
    },
    Word {
        name: "error_event",
        about: "a `share` of answers is 200 with an error as its first event",
        models: "error inside a 200 (F26)",
        params: &[SHARE],
        build: |values| cut(values, Cut::ErrorEvent),
    },
    Word {
        name: "stall",
        about: "a `share` of answers stops after `tokens` tokens and never goes on",
        models: "stalled stream (F27)",
        params: &[SHARE, TOKENS],
        build: |values| cut(values, Cut::Stall),
    },
    Word {
        name: "capacity",
        about: "the node takes less, or more, than configured, and the balancer is not told",
        models: "slots lost, quota changed by a provider (F09)",
        params: &[
            limit("concurrency", "requests at a time"),
            limit("requests_per_minute", "of a hosted model"),
            limit("tokens_per_minute", "of a hosted model"),
        ],
        build: capacity,
    },
    Word {
        name: "probes",
        about: "probes of health are answered `green` or `red`, whatever is true",
        models: "probe false positive (F11) and false negative (F12)",
        params: &[Param {
            name: "say",
            kind: ParamKind::Word(&["green", "red"]),
            default: None,
            about: "what they are answered; a probe for a token is not deceived",
        }],
        build: |values| {
            let lie = values.word("say", &[ProbeLie::Green, ProbeLie::Red])?;
            Ok(Built::Lasting(FaultKind::Probes(lie)))
        },
    },
    Word {
        name: "reports",
        about: "what the node says of itself is `missing`, `stale` or `absurd`",
        models: "load signal faults (F10)",
        params: &[Param {
            name: "are",
            kind: ParamKind::Word(&["missing", "stale", "absurd"]),
            default: None,
            about: "what they are; needs `[balancer] reports`",
        }],
        build: |values| {
            let lies = [ReportLie::Missing, ReportLie::Stale, ReportLie::Absurd];
            Ok(Built::Lasting(FaultKind::Reports(values.word("are", &lies)?)))
        },
    },
    Word {
        name: "price",
        about: "the node charges other prices; the balancer is told",
        models: "price change in mid-run (F42)",
        params: &[
            price("input", "dollars per million tokens of prompts"),
            price("cached_input", "dollars per million cached tokens of prompts"),
            price("output", "dollars per million tokens of answers"),
        ],
        build: |values| {
            let of = |name| values.number(name).map(Price::from_dollars);
            let (input, cached_input, output) = (of("input")?, of("cached_input")?, of("output")?);
            Ok(Built::Lasting(FaultKind::Reprice(Prices { input, cached_input, output })))
        },
    },
    Word {
        name: "drain",
        about: "an operator takes the node out of service; it finishes what it has",
        models: "maintenance",
        params: &[],
        build: |_| Ok(Built::Lasting(FaultKind::Drain)),
    },
];

fn slow(values: &Said<'_>) -> Result<Built, Wrong> {
    let in_part = values.gives("ttft") || values.gives("itl");
    if !in_part && !values.gives("factor") {
        return Err(Wrong {
            param: "",
            message: "`slow` has no `factor`",
            label: "`factor` is missing",
            help: "write `factor`, or `ttft` and `itl`",
        });
    }
    let all = values.number("factor")?;
    let (ttft, itl) = (values.number("ttft")?, values.number("itl")?);
    let pace = FaultKind::Pace(all * ttft, all * itl);
    Ok(Built::Lasting(if in_part { pace } else { FaultKind::Slow(all) }))
}

fn errors(values: &Said<'_>) -> Result<Built, Wrong> {
    let retry_after = values.span("retry_after");
    let answer = match values.whole("status").ok_or(MISSING)? {
        429 => Answer::RateLimited(retry_after),
        _ if retry_after.is_some() => {
            return Err(Wrong {
                param: "retry_after",
                message: "`retry_after` belongs to status 429 only",
                label: "has no effect",
                help: "write `status = 429`, or leave `retry_after` out",
            });
        }
        503 => Answer::Overloaded,
        500 => Answer::ServerError,
        other => Answer::Status(other as u16),
    };
    Ok(Built::Lasting(FaultKind::Errors(values.share()?, answer)))
}

fn cycle(values: &Said<'_>, kind: FaultKind) -> Result<Built, Wrong> {
    let (off, on) = values.span("up").zip(values.span("down")).ok_or(MISSING)?;
    Ok(Built::Cycle { kind, on, off })
}

fn cut(values: &Said<'_>, cut: Cut) -> Result<Built, Wrong> {
    // An error event is the first there is, and has no `tokens`.
    let tokens = values.whole("tokens").unwrap_or(0) as u32;
    Ok(Built::Lasting(FaultKind::Cut(values.share()?, cut, tokens)))
}

fn capacity(values: &Said<'_>) -> Result<Built, Wrong> {
    let limits = Limits {
        concurrency: values.whole("concurrency").map(|limit| limit as u32),
        requests_per_minute: values.whole("requests_per_minute"),
        tokens_per_minute: values.whole("tokens_per_minute"),
    };
    if limits == Limits::default() {
        return Err(Wrong {
            param: "",
            message: "`capacity` changes nothing",
            label: "no limit is given",
            help: "write one of `concurrency`, `requests_per_minute`, `tokens_per_minute`",
        });
    }
    Ok(Built::Lasting(FaultKind::Capacity(limits)))
}
