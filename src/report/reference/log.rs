//! The page of the decision log: every kind of line and its fields.

use std::fmt::Write as _;

use super::{code, page, table};

/// A kind of line of the decision log.
#[derive(Clone, Copy, Debug)]
pub struct LineKind {
    /// What stands under `what`.
    pub word: &'static str,
    /// When such a line is written.
    pub when: &'static str,
    /// Its fields and what they hold.
    pub fields: &'static [(&'static str, &'static str)],
}

const fn kind(
    word: &'static str,
    when: &'static str,
    fields: &'static [(&'static str, &'static str)],
) -> LineKind {
    LineKind { word, when, fields }
}

const REQUEST: (&str, &str) = ("request", "its number, from 0 or as the trace gives it");
const ATTEMPT: (&str, &str) = ("attempt", "`[request, ordinal]`; ordinals count from 0");
const NODE: (&str, &str) = ("node", "its name");
const ROUTE: (&str, &str) = (
    "route",
    "its number, from 0: in file order, with those that lead to a named model before the last one",
);
const SATURATION: (&str, &str) = ("saturation", "how full the route is; 1 is full");

/// Every kind of line, in the order in which a request may meet them; then the ones about the fleet.
pub const KINDS: &[LineKind] = &[
    kind(
        "arrival",
        "a request came",
        &[
            REQUEST,
            ("class", "the name of its class"),
            ("tenant", "the number of its tenant"),
            ("meant_ns", "when it was meant to come; latency counts from then"),
            ("prompt_tokens", "tokens of its prompt"),
        ],
    ),
    kind(
        "cache",
        "a request was looked for among the answers that its route keeps",
        &[
            REQUEST,
            ROUTE,
            (
                "hit",
                "whether one was found: then it is the outcome, and no node serves the request",
            ),
            ("age_ns", "how long ago the answer came, or null"),
            ("output_tokens", "the tokens of the answer, or null"),
            ("saved_picodollars", "what the answer cost when it came, exactly, as text, or null"),
        ],
    ),
    kind("wait", "it waits in the queue of the balancer", &[REQUEST, ROUTE]),
    kind(
        "decision",
        "an attempt was sent to a node",
        &[
            ATTEMPT,
            ("is", "what kind of attempt: the first, a retry, a hedge, .."),
            ("after", "the node and the end of the attempt before, or null"),
            ("waited", "whether the request had been in the queue"),
            ROUTE,
            ("pool", "the name of the pool"),
            ("tier", "the tier of the node"),
            ("strategy", "the strategy of the pool, with its settings"),
            ("panic", "whether an ejected node was used because nothing was well"),
            ("candidates", "how many nodes were open"),
            ("considered", "how many of them the strategy looked at"),
            ("chosen", "the node, its score and the terms of the score"),
            ("runner_up", "the same of the next best, or null"),
            (
                "resumed_tokens",
                "of an answer that was cut and goes on here: so many tokens had come",
            ),
        ],
    ),
    kind(
        "no_hedge",
        "no second attempt was started beside a late one",
        &[REQUEST, ("why", "the reason")],
    ),
    kind(
        "attempt",
        "an attempt ended",
        &[
            ATTEMPT,
            NODE,
            ("end", "how it ended"),
            ("took_ns", "from dispatch to end"),
            ("input_tokens", "tokens read"),
            ("cached_tokens", "tokens of those that came from the prefix cache"),
            ("output_tokens", "tokens written"),
            ("cost_picodollars", "what it cost, exactly, as text"),
            (
                "estimated",
                "true if nobody said how many tokens there were: they are counted or guessed",
            ),
        ],
    ),
    kind("retry", "the request will be tried again", &[REQUEST, ("pause_ns", "after this pause")]),
    kind(
        "no_retry",
        "it will not be tried again",
        &[REQUEST, ("end", "how the last attempt ended"), ("why", "the reason")],
    ),
    kind(
        "escalation",
        "a cascade asks the next model",
        &[REQUEST, NODE, ("score", "what the scorer said"), ("to", "the pool that is asked next")],
    ),
    kind(
        "outcome",
        "the request is settled; one line a request",
        &[
            REQUEST,
            ("fate", "`completed`, `failed`, `rejected` or `cancelled`"),
            ("why", "why it failed or was rejected, or null"),
            ("node", "the node that answered, or null"),
            ROUTE,
            ("attempts", "how many attempts it took"),
            ("failover", "whether another node than the first one answered"),
            ("degraded", "whether a cheaper pool answered"),
            ("first_token_ns", "from the intended arrival to the first token, where there was one"),
            ("rung", "the degradation it met, where it met one"),
            ("cached", "true where the answer was kept from before, and left out elsewhere"),
            (
                "over_budget",
                "true where its tenant's budget was spent and only cheaper pools served it",
            ),
        ],
    ),
    kind(
        "node",
        "the health of a node changed",
        &[NODE, ("from", "the state before"), ("to", "the state now"), ("why", "the reason")],
    ),
    kind("changed", "a node was added or changed", &[NODE, ("weight", "its weight now")]),
    kind(
        "limit",
        "the limiter changed how much a node takes, notably",
        &[NODE, ("from", "the limit before"), ("to", "the limit now"), ("why", "the reason")],
    ),
    kind(
        "strategy",
        "the strategy of a pool was exchanged",
        &[("pool", "its name"), ("from", "the strategy before"), ("to", "the strategy now")],
    ),
    kind(
        "panic",
        "nothing that a route may use is well, so that ejected nodes serve it too, or that is over",
        &[ROUTE, ("on", "whether it begins")],
    ),
    kind(
        "kept_in",
        "a node was to be ejected and is kept in, because the largest share of ejected nodes is reached",
        &[NODE, ("why", "what it was to be ejected for")],
    ),
    kind(
        "shedding",
        "requests of a priority are shed on a route, or no longer",
        &[ROUTE, ("priority", "the priority"), ("on", "whether it begins"), SATURATION],
    ),
    kind(
        "rung",
        "a route goes down or up the ladder of `degrade`",
        &[
            ROUTE,
            ("from", "the step before"),
            ("to", "the step now"),
            SATURATION,
            ("threshold", "the saturation that was crossed"),
        ],
    ),
    kind(
        "mark",
        "a fault begins or ends",
        &[
            ("fault", "what it is"),
            ("phase", "whether it begins or ends"),
            ("by", "the scenario, a person, .."),
            ("nodes", "the names of the nodes it hits"),
        ],
    ),
];

/// Returns the page.
#[must_use]
pub fn log() -> String {
    let mut text = page(
        "Events and log format",
        "`--log FILE` and `--format ndjson` write every decision and outcome as a line of JSON.\n\
         `plimsoll journal verify FILE` checks the chain of hashes. Times and spans are whole nanoseconds\n\
         since the start of the run. The log holds names and figures, no text of any request.",
    );
    text.push_str(ENVELOPE);
    for kind in KINDS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n### `{}`\n\nWritten when {}.", kind.word, kind.when);
        let rows = kind.fields.iter().map(|(name, about)| vec![code(name), (*about).to_owned()]);
        table(&mut text, &["field", "what it holds"], rows);
    }
    text.push_str(JOURNAL);
    text
}

const ENVELOPE: &str = "
## Every line

| field | what it holds |
|---|---|
| `n` | the number of the line, from 0 |
| `at_ns` | when |
| `what` | the kind of line |
| `hash` | SHA-256 of the hash of the line before, in hexadecimal, followed by this line up to its hash |

The first line has no time. It names the run: `kind` (`\"plimsoll decisions\"`), `version`, `scenario`,
`seed`, `scenario_sha256`, `config_sha256`, `build`, `strategies`. A log of another version is refused. The
last line is `end`: the number of `lines`, and whether the run is `complete`. Keep its hash elsewhere:
whoever can write the whole file can also chain it anew.

## Kinds of lines
";

const JOURNAL: &str = "
## The journal

`--journal FILE` writes every input of the balancer. The first line names the format (`\"plimsoll journal\"`),
its version and the configuration that the balancer was built from. Every further line is `[nanoseconds,
input]`. Every thousand inputs, and at the end, a line holds a hash of all events so far, in the words of
this format, and a hash of all lines so far. `plimsoll journal verify FILE` replays the inputs and compares.
A journal of another version is refused.
";
