//! The fault language: every fault by its name, its parameters, and what of the world it stands for.
//!
//! One list for all who read or show faults: scenarios (which add the place of a mistake), the admin
//! call of mock servers, and people. Whom a fault hits and for how long is said beside it, alike for
//! all: `node`, `pool`, `region` or `tag`, `count` of those, and `for`.

use super::{Answer, Cut, FaultKind, ProbeLie, ReportLie};
use crate::balance::{Limits, Prices};
use crate::unit::{Price, Ratio, Span};

/// A slow node takes at most so many times as long.
pub const FACTOR_MAX: f64 = 1e6;

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
    build: fn(&Values) -> Result<Built, Wrong>,
}

/// A parameter of a fault.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ParamKind,
    /// What it is if nothing is said, as a scenario would write it; `None` where it must be said.
    pub default: Option<&'static str>,
    /// What it means.
    pub about: &'static str,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A number above 0, at most 1.
    Share,
    /// A number above 0, at most [`FACTOR_MAX`].
    Factor,
    /// A duration above zero.
    Span,
    /// One of [`STATUSES`].
    Status,
    /// A whole number of this range.
    Whole(u64, u64),
    /// Dollars per million tokens, zero or above.
    Dollars,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// The value of a parameter; its reader has checked it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Of a share, a factor or dollars.
    Number(f64),
    /// Of a duration.
    Span(Span),
    /// Of a status or a whole number.
    Whole(u64),
    /// Of a word: its place among those that may be said.
    Word(usize),
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

    fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn share(&self) -> Ratio {
        self.number("share").map_or(Ratio::ONE, Ratio::from_f64)
    }

    fn span(&self, name: &str) -> Option<Span> {
        match self.get(name)? {
            Value::Span(span) => Some(span),
            _ => None,
        }
    }

    fn whole(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Whole(whole) => Some(whole),
            _ => None,
        }
    }

    fn word(&self, name: &str) -> usize {
        match self.get(name) {
            Some(Value::Word(word)) => word,
            _ => 0,
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
        (self.build)(values)
    }
}

const SHARE: Param = Param {
    name: "share",
    kind: ParamKind::Share,
    default: Some("1"),
    about: "of the requests, drawn for each",
};

const TOKENS: Param = Param {
    name: "tokens",
    kind: ParamKind::Whole(1, TOKENS_MAX),
    default: Some("10"),
    about: "so many come before",
};

const RETRY_AFTER: Param = Param {
    name: "retry_after",
    kind: ParamKind::Span,
    default: Some("none"),
    about: "the pause a 429 asks for",
};

const DOWN: &str = "so long it is gone";

const fn limit(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: ParamKind::Whole(1, LIMIT_MAX), default: Some("as before"), about }
}

const fn price(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: ParamKind::Dollars, default: Some("0"), about }
}

const fn factor(name: &'static str, default: Option<&'static str>, about: &'static str) -> Param {
    Param { name, kind: ParamKind::Factor, default, about }
}

const fn span(name: &'static str, default: &'static str, about: &'static str) -> Param {
    Param { name, kind: ParamKind::Span, default: Some(default), about }
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
            factor("factor", Some("1"), "on everything"),
            factor("ttft", Some("1"), "on the time to the first token"),
            factor("itl", Some("1"), "on the time of every further token"),
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
                default: Some("500"),
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
            Ok(Built::Lasting(FaultKind::Errors(values.share(), answer)))
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
        params: &[
            Param {
                name: "share",
                kind: ParamKind::Share,
                default: Some("0.3"),
                about: "of the requests, drawn for each",
            },
            factor("factor", Some("10"), "on the time of those"),
        ],
        build: |values| {
            let share = values.number("share").map_or(Ratio(300_000), Ratio::from_f64);
            let factor = values.number("factor").unwrap_or(10.0);
            Ok(Built::Lasting(FaultKind::Gray(share, factor)))
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
        params: &[
            span("up", "10s", "so long it is there"),
            span("down", "5s", "so long it is lost"),
        ],
        build: |values| Ok(cycle(values, FaultKind::BlackHole, [10, 5])),
    },
    Word {
        name: "restart_loop",
        about: "the node crashes again and again: gone for `down`, there for `up`",
        models: "crash loop (F08)",
        params: &[span("up", "20s", "so long it serves"), span("down", "5s", DOWN)],
        build: |values| Ok(cycle(values, FaultKind::Crash, [20, 5])),
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
        build: |values| Ok(cut(values, Cut::Reset)),
    },
    Word {
        name: "truncate",
        about: "a `share` of answers ends after `tokens` tokens without its last events",
        models: "truncated stream (F23)",
        params: &[SHARE, TOKENS],
        build: |values| Ok(cut(values, Cut::Truncate)),
    },
    Word {
        name: "error_event",
        about: "a `share` of answers is 200 with an error as its first event",
        models: "error inside a 200 (F26)",
        params: &[SHARE],
        build: |values| Ok(cut(values, Cut::ErrorEvent)),
    },
    Word {
        name: "stall",
        about: "a `share` of answers stops after `tokens` tokens and never goes on",
        models: "stalled stream (F27)",
        params: &[SHARE, TOKENS],
        build: |values| Ok(cut(values, Cut::Stall)),
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
            let lie = [ProbeLie::Green, ProbeLie::Red][values.word("say").min(1)];
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
            Ok(Built::Lasting(FaultKind::Reports(lies[values.word("are").min(2)])))
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
            let of = |name| Price::from_dollars(values.number(name).unwrap_or(0.0));
            let (input, cached_input, output) = (of("input"), of("cached_input"), of("output"));
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

fn slow(values: &Values) -> Result<Built, Wrong> {
    let all = values.number("factor");
    let (ttft, itl) = (values.number("ttft"), values.number("itl"));
    let kind = match (all, ttft, itl) {
        (Some(factor), None, None) => FaultKind::Slow(factor),
        (None, None, None) => {
            return Err(Wrong {
                param: "",
                message: "`slow` has no `factor`",
                label: "`factor` is missing",
                help: "write `factor`, or `ttft` and `itl`",
            });
        }
        _ => {
            let all = all.unwrap_or(1.0);
            FaultKind::Pace(all * ttft.unwrap_or(1.0), all * itl.unwrap_or(1.0))
        }
    };
    Ok(Built::Lasting(kind))
}

fn errors(values: &Values) -> Result<Built, Wrong> {
    let retry_after = values.span("retry_after");
    let answer = match values.whole("status").unwrap_or(500) {
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
    Ok(Built::Lasting(FaultKind::Errors(values.share(), answer)))
}

fn cycle(values: &Values, kind: FaultKind, [up, down]: [u64; 2]) -> Built {
    let off = values.span("up").unwrap_or(Span::from_secs(up));
    let on = values.span("down").unwrap_or(Span::from_secs(down));
    Built::Cycle { kind, on, off }
}

fn cut(values: &Values, cut: Cut) -> Built {
    let tokens = values.whole("tokens").unwrap_or(10) as u32;
    Built::Lasting(FaultKind::Cut(values.share(), cut, tokens))
}

fn capacity(values: &Values) -> Result<Built, Wrong> {
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
