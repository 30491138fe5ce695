//! The catalogue of faults: every fault by its name, its parameters, and what of the world it stands for.
//!
//! One list for all who read or show faults: scenarios (which add the place of a mistake), the admin
//! call of mock servers, and people. What a parameter may be, and what it is if nothing is said, stands
//! here alone. Whom a fault hits and for how long is said beside it, alike for all: `node`, `pool`,
//! `region` or `tag`, `count` of those, and `for`.

use super::param::{
    FaultArgs, MISSING, Param, ParamBounds, ParamDefault, ParamError, ParamKind, ParamValue,
    ParamValues,
};
use super::{Cut, ErrorAnswer, FaultKind, ProbeLie, ReportLie};
use crate::balance::{Limits, Prices};
use crate::unit::{Price, Ratio, Span, Tokens};

/// A stream is cut after at most so many tokens.
pub const TOKENS_MAX: u64 = 100_000_000;

/// A limit of a node is at most so high.
const LIMIT_MAX: u64 = 1_000_000_000;

/// A fault by its name.
#[derive(Debug)]
pub struct FaultDef {
    /// What scenarios call it.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// What of the world it stands for.
    pub models: &'static str,
    /// What may be said of it beside targets and times.
    pub params: &'static [Param],
    build: fn(&FaultArgs<'_>) -> Result<FaultPattern, ParamError>,
}

/// What a fault comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultPattern {
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

impl FaultDef {
    /// Finds a fault by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static FaultDef> {
        FAULTS.iter().find(|fault| fault.name == name)
    }

    /// Builds the fault from its parameters.
    ///
    /// # Errors
    /// If they do not go together, or one is missing that must be there.
    pub fn build(&self, values: &ParamValues) -> Result<FaultPattern, ParamError> {
        (self.build)(&FaultArgs { given: values, params: self.params })
    }
}

const SHARE: Param = share(1.0);

const TOKENS: Param = Param {
    name: "tokens",
    kind: ParamKind::Whole(1, TOKENS_MAX),
    default: Some(ParamDefault::Is(ParamValue::Whole(10))),
    about: "so many come before",
};

const RETRY_AFTER: Param = Param {
    name: "retry_after",
    kind: ParamKind::Span,
    default: Some(ParamDefault::Unsaid("none")),
    about: "the pause a 429 asks for",
};

/// A status that tells what is usually told by 429.
const TOLD_AS: Param = Param {
    name: "status",
    kind: ParamKind::Status,
    default: Some(ParamDefault::Is(ParamValue::Whole(429))),
    about: "it is told by 429, or by the words of a 400 or 413; spent money also by 402 or 403",
};

const DOWN: &str = "so long it is gone";

const fn limit(name: &'static str, about: &'static str) -> Param {
    let default = Some(ParamDefault::Unsaid("as before"));
    Param { name, kind: ParamKind::Whole(1, LIMIT_MAX), default, about }
}

const fn number(
    name: &'static str,
    bounds: ParamBounds,
    default: f64,
    about: &'static str,
) -> Param {
    let default = Some(ParamDefault::Is(ParamValue::Number(default)));
    Param { name, kind: ParamKind::Number(bounds), default, about }
}

const fn price(name: &'static str, about: &'static str) -> Param {
    number(name, ParamBounds::DOLLARS, 0.0, about)
}

const fn share(default: f64) -> Param {
    number("share", ParamBounds::SHARE, default, "of the requests, drawn for each")
}

const fn factor(name: &'static str, default: f64, about: &'static str) -> Param {
    number(name, ParamBounds::FACTOR, default, about)
}

const fn span(name: &'static str, seconds: u64, about: &'static str) -> Param {
    let default = Some(ParamDefault::Is(ParamValue::Span(Span::from_secs(seconds))));
    Param { name, kind: ParamKind::Span, default, about }
}

/// All faults, in the order they are listed to people.
pub static FAULTS: &[FaultDef] = &[
    FaultDef {
        name: "crash",
        about: "the node is gone: work is reset, connects are refused, probes fail",
        models: "crash of a process or host, correlated failure with `count`",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::Crash)),
    },
    FaultDef {
        name: "hang",
        about: "the node accepts and never answers, probes neither",
        models: "hang of a process; with `probes` green a wedged engine",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::Hang)),
    },
    FaultDef {
        name: "slow",
        about: "everything takes `factor` times as long; probes pass",
        models: "throttled, overcommitted or half broken hardware",
        params: &[
            factor("factor", 1.0, "on everything"),
            factor("ttft", 1.0, "on the time to the first token"),
            factor("itl", 1.0, "on the time of every further token"),
        ],
        build: slow,
    },
    FaultDef {
        name: "errors",
        about: "a `share` of requests is answered with an error at once; probes pass",
        models: "bursts of 5xx, fast-fail black hole, client faults, keys",
        params: &[
            SHARE,
            Param {
                name: "status",
                kind: ParamKind::Status,
                default: Some(ParamDefault::Is(ParamValue::Whole(500))),
                about: "400-404, 408, 413, 422, 429, 500, 502-504 or 529",
            },
            RETRY_AFTER,
        ],
        build: errors,
    },
    FaultDef {
        name: "fast_fail",
        about: "every request is answered 500 at once; probes pass",
        models: "fast-fail black hole",
        params: &[],
        build: |_| {
            Ok(FaultPattern::Lasting(FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError)))
        },
    },
    FaultDef {
        name: "rate_limit",
        about: "a `share` of requests is answered 429, or another `status` whose words say the same",
        models: "quota used up by others",
        params: &[SHARE, RETRY_AFTER, TOLD_AS],
        build: |args| {
            let answer = match told_as(args, &[400, 413, 429])? {
                429 => ErrorAnswer::RateLimited(args.span("retry_after")),
                status if args.span("retry_after").is_none() => ErrorAnswer::Limit(status),
                _ => return Err(NO_PAUSE),
            };
            Ok(FaultPattern::Lasting(FaultKind::Errors(args.share()?, answer)))
        },
    },
    FaultDef {
        name: "spend_cap",
        about: "every request is answered 429, or another `status`, whose words say that the money is spent",
        models: "spend cap of a credential",
        params: &[TOLD_AS],
        build: |args| {
            let answer = ErrorAnswer::SpendCap(told_as(args, &[400, 402, 403, 413, 429])?);
            Ok(FaultPattern::Lasting(FaultKind::Errors(Ratio::ONE, answer)))
        },
    },
    FaultDef {
        name: "not_found",
        about: "every request is answered 404 at once; probes pass",
        models: "a deployment that was deleted or renamed, a wrong path",
        params: &[],
        build: |_| {
            let answer = ErrorAnswer::Status(404);
            Ok(FaultPattern::Lasting(FaultKind::Errors(Ratio::ONE, answer)))
        },
    },
    FaultDef {
        name: "bad_request",
        about: "a `share` of requests is answered 400, as if they were at fault; probes pass",
        models: "a node that does not take what its peers take",
        params: &[SHARE],
        build: |args| {
            let answer = ErrorAnswer::Status(400);
            Ok(FaultPattern::Lasting(FaultKind::Errors(args.share()?, answer)))
        },
    },
    FaultDef {
        name: "content_policy",
        about: "a `share` of requests is answered 400: the provider's policy is against them",
        models: "a content filter",
        params: &[SHARE],
        build: |args| {
            let answer = ErrorAnswer::ContentPolicy;
            Ok(FaultPattern::Lasting(FaultKind::Errors(args.share()?, answer)))
        },
    },
    FaultDef {
        name: "context",
        about: "a prompt that is with its answer longer than `tokens` is answered 400: too long",
        models: "a model with a shorter context than was thought",
        params: &[Param {
            name: "tokens",
            kind: ParamKind::Whole(1, TOKENS_MAX),
            default: Some(ParamDefault::Is(ParamValue::Whole(4_096))),
            about: "of prompt and answer",
        }],
        build: |args| {
            let most = Tokens(args.whole("tokens").ok_or(MISSING)?);
            Ok(FaultPattern::Lasting(FaultKind::Context(most)))
        },
    },
    FaultDef {
        name: "gray",
        about: "a `share` of requests takes `factor` times as long; probes pass",
        models: "gray failure; failing instead of slow is `errors` with a `share`",
        params: &[share(0.3), factor("factor", 10.0, "on the time of those")],
        build: |args| {
            Ok(FaultPattern::Lasting(FaultKind::Gray(args.share()?, args.number("factor")?)))
        },
    },
    FaultDef {
        name: "black_hole",
        about: "packets are lost: connects time out, no probe is answered",
        models: "lost route or firewall",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::BlackHole)),
    },
    FaultDef {
        name: "partition",
        about: "the same, of a region: it is cut off from the balancer",
        models: "region partition",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::BlackHole)),
    },
    FaultDef {
        name: "flap",
        about: "the link comes and goes: lost for `down`, there for `up`",
        models: "flapping link or node",
        params: &[span("up", 10, "so long it is there"), span("down", 5, "so long it is lost")],
        build: |args| cycle(args, FaultKind::BlackHole),
    },
    FaultDef {
        name: "restart_loop",
        about: "the node crashes again and again: gone for `down`, there for `up`",
        models: "crash loop",
        params: &[span("up", 20, "so long it serves"), span("down", 5, DOWN)],
        build: |args| cycle(args, FaultKind::Crash),
    },
    FaultDef {
        name: "cold_start",
        about: "the process is new and loads: work is reset, caches are empty, 503 meanwhile",
        models: "restart and model load",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::ColdStart)),
    },
    FaultDef {
        name: "cache_loss",
        about: "the cache of prompts is empty from one moment to the next",
        models: "eviction or restart of a cache",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::CacheLoss)),
    },
    FaultDef {
        name: "reset",
        about: "the connection of a `share` of answers is reset after `tokens` tokens",
        models: "reset in mid-stream",
        params: &[SHARE, TOKENS],
        build: |args| cut(args, Cut::Reset),
    },
    FaultDef {
        name: "truncate",
        about: "a `share` of answers ends after `tokens` tokens without its last events",
        models: "truncated stream",
        params: &[SHARE, TOKENS],
        build: |args| cut(args, Cut::Truncate),
    },
    FaultDef {
        name: "error_event",
        about: "a `share` of answers is 200 with an error as its first event",
        models: "error inside a 200",
        params: &[SHARE],
        build: |args| cut(args, Cut::ErrorEvent),
    },
    FaultDef {
        name: "stall",
        about: "a `share` of answers stops after `tokens` tokens and never goes on",
        models: "stalled stream",
        params: &[SHARE, TOKENS],
        build: |args| cut(args, Cut::Stall),
    },
    FaultDef {
        name: "capacity",
        about: "the node takes less, or more, than configured, and the balancer is not told",
        models: "slots lost, quota changed by a provider",
        params: &[
            limit("concurrency", "requests at a time"),
            limit("requests_per_minute", "of a hosted model"),
            limit("tokens_per_minute", "of a hosted model"),
        ],
        build: capacity,
    },
    FaultDef {
        name: "probes",
        about: "probes of health are answered `green` or `red`, whatever is true",
        models: "probe false positive and false negative",
        params: &[Param {
            name: "say",
            kind: ParamKind::Word(&["green", "red"]),
            default: None,
            about: "what they are answered; a probe for a token is not deceived",
        }],
        build: |args| {
            let lie = args.word("say", &[ProbeLie::Green, ProbeLie::Red])?;
            Ok(FaultPattern::Lasting(FaultKind::Probes(lie)))
        },
    },
    FaultDef {
        name: "reports",
        about: "what the node says of itself is `missing`, `stale` or `absurd`",
        models: "load signal faults",
        params: &[Param {
            name: "are",
            kind: ParamKind::Word(&["missing", "stale", "absurd"]),
            default: None,
            about: "what they are; needs `[balancer] reports`",
        }],
        build: |args| {
            let lies = [ReportLie::Missing, ReportLie::Stale, ReportLie::Absurd];
            Ok(FaultPattern::Lasting(FaultKind::Reports(args.word("are", &lies)?)))
        },
    },
    FaultDef {
        name: "price",
        about: "the node charges other prices; the balancer is told",
        models: "price change in mid-run",
        params: &[
            price("input", "dollars per million tokens of prompts"),
            price("cached_input", "dollars per million cached tokens of prompts"),
            price("output", "dollars per million tokens of answers"),
        ],
        build: |args| {
            let of = |name| args.number(name).map(Price::from_dollars);
            let (input, cached_input, output) = (of("input")?, of("cached_input")?, of("output")?);
            Ok(FaultPattern::Lasting(FaultKind::Reprice(Prices { input, cached_input, output })))
        },
    },
    FaultDef {
        name: "drain",
        about: "an operator takes the node out of service; it finishes what it has",
        models: "maintenance",
        params: &[],
        build: |_| Ok(FaultPattern::Lasting(FaultKind::Drain)),
    },
];

fn slow(args: &FaultArgs<'_>) -> Result<FaultPattern, ParamError> {
    let in_part = args.gives("ttft") || args.gives("itl");
    if !in_part && !args.gives("factor") {
        return Err(ParamError {
            param: "",
            message: "`slow` has no `factor`",
            label: "`factor` is missing",
            help: "write `factor`, or `ttft` and `itl`",
        });
    }
    let all = args.number("factor")?;
    let (ttft, itl) = (args.number("ttft")?, args.number("itl")?);
    let pace = FaultKind::Pace(all * ttft, all * itl);
    Ok(FaultPattern::Lasting(if in_part { pace } else { FaultKind::Slow(all) }))
}

const NO_PAUSE: ParamError = ParamError {
    param: "retry_after",
    message: "`retry_after` belongs to status 429 only",
    label: "has no effect",
    help: "write `status = 429`, or leave `retry_after` out",
};

/// The status by which a limit or spent money is told.
fn told_as(args: &FaultArgs<'_>, by: &[u16]) -> Result<u16, ParamError> {
    let status = args.whole("status").ok_or(MISSING)? as u16;
    if by.contains(&status) {
        return Ok(status);
    }
    Err(ParamError {
        param: "status",
        message: "no limit is told by this `status`",
        label: "it stands for something else",
        help: "write 400, 413 or 429; spent money is also told by 402 and 403",
    })
}

fn errors(args: &FaultArgs<'_>) -> Result<FaultPattern, ParamError> {
    let retry_after = args.span("retry_after");
    let answer = match args.whole("status").ok_or(MISSING)? {
        429 => ErrorAnswer::RateLimited(retry_after),
        _ if retry_after.is_some() => return Err(NO_PAUSE),
        503 => ErrorAnswer::Overloaded,
        500 => ErrorAnswer::ServerError,
        other => ErrorAnswer::Status(other as u16),
    };
    Ok(FaultPattern::Lasting(FaultKind::Errors(args.share()?, answer)))
}

fn cycle(args: &FaultArgs<'_>, kind: FaultKind) -> Result<FaultPattern, ParamError> {
    let (off, on) = args.span("up").zip(args.span("down")).ok_or(MISSING)?;
    Ok(FaultPattern::Cycle { kind, on, off })
}

fn cut(args: &FaultArgs<'_>, cut: Cut) -> Result<FaultPattern, ParamError> {
    // An error event is the first there is, and has no `tokens`.
    let tokens = args.whole("tokens").unwrap_or(0) as u32;
    Ok(FaultPattern::Lasting(FaultKind::Cut(args.share()?, cut, tokens)))
}

fn capacity(args: &FaultArgs<'_>) -> Result<FaultPattern, ParamError> {
    let limits = Limits {
        concurrency: args.whole("concurrency").map(|limit| limit as u32),
        requests_per_minute: args.whole("requests_per_minute"),
        tokens_per_minute: args.whole("tokens_per_minute"),
    };
    if limits == Limits::default() {
        return Err(ParamError {
            param: "",
            message: "`capacity` changes nothing",
            label: "no limit is given",
            help: "write one of `concurrency`, `requests_per_minute`, `tokens_per_minute`",
        });
    }
    Ok(FaultPattern::Lasting(FaultKind::Capacity(limits)))
}
