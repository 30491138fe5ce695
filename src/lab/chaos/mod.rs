//! Proof by simulation: random fleets, strategies, settings, traffic and faults, and every
//! invariant after every event.
//!
//! The idea is that of FoundationDB and TigerBeetle: the code that serves is run in simulation
//! under a seed, with faults drawn from it, thousands of times, and a failure is a seed. Here a case
//! is a scenario, drawn as text ([`draw()`]) and read by the ordinary reader, so a case that fails is
//! a file that anybody can run; before it is shown it is made as small as it can be while it fails
//! in the same way. The lab does not know how a simulation is built: it is given a closure.

mod draw;
mod pressed;
mod shrink;
#[cfg(all(test, feature = "cli"))]
mod tests;
mod trial;
mod watch;

pub use crate::scenario::tree::{TreeTable, TreeValue};
pub use draw::{Drawn, draw};
pub use shrink::{Case, TRIES_MAX};
pub use trial::{Bench, Done, Make, Tamper, TrialOutcome, Violation};
pub use watch::{Broken, Counts};

/// Every invariant that is looked at, by its number, in a sentence.
pub const INVARIANTS: &[(&str, &str)] = &[
    ("I01", "every request that came is settled, waits, is held, in flight or in back-off"),
    ("I02", "a request comes once and has one end, after which nothing happens to it"),
    ("I03", "every attempt has its turn, its node and one end"),
    ("I04", "a node's ledger is what its unfinished attempts hold, and ends at zero"),
    ("I05", "no dispatch goes to a node that has as much in flight as it may"),
    ("I06", "no more wait than may, and nobody is turned away before the time is up"),
    (
        "I07",
        "no dispatch goes to a node that is not up, nor to one tried before while another is open",
    ),
    ("I08", "ejected nodes serve in panic only, where nothing is well, and the record says so"),
    ("I09", "no more nodes are ejected than may be, but for dead ones, and no fewer"),
    ("I10", "a later failure never brings the end of an ejection forward"),
    ("I11", "a node that asked to be left alone is left alone, within bounds"),
    (
        "I12",
        "every attempt keeps the hard constraints of its route, and goes to the model that is named",
    ),
    ("I13", "a request that is rejected was sent nowhere"),
    ("I14", "a node changes state only as it may, and as it says"),
    ("I16", "retries under way stay within their budget"),
    ("I17", "attempts are at most as many as allowed, and none starts at the deadline or later"),
    ("I18", "a request has one winner if it is completed, and none otherwise"),
    ("I20", "what would fail anywhere is not tried again"),
    ("I21", "nothing is tried again once its first token has come"),
    ("I24", "costs are tokens times the price at dispatch, and every sum of them is exact"),
    ("I25", "usage is sane"),
    ("I26", "what tenants have under way is in their books, and no more than they may"),
    ("I28", "the same scenario gives the same events, observed or not"),
    ("I31", "time never goes back, and a run ends"),
    ("I33", "the journal replays to the same decisions"),
    ("I34", "nobody waits while a node that may serve them is open"),
    ("I35", "nobody is served who waited longer than allowed"),
    ("I37", "who matters less is shed first, and comes in again last"),
    ("I39", "Little's law holds in integers, and no node is used more than wholly"),
    ("I43", "the report counts what the events tell, and its parts add up"),
    ("I44", "the record of a decision names the node, pool and tier that were chosen"),
    ("I48", "no figure is infinite or no number"),
    ("I49", "when faults are over, all that was broken heals and every request gets an end"),
    ("I52", "nothing panics"),
    ("I54", "what a limiter finds is within its bounds, and kept"),
    ("I55", "levels of degradation rise and fall one by one, for their reasons and never hastily"),
    (
        "I56",
        "while a healthy node with room could serve a request, it is not sent to one held for dead",
    ),
    (
        "I57",
        "a kept answer is a whole one to the same question, young enough, costs nothing, and few are kept",
    ),
    ("I58", "a session goes to the node that answered it last, where its route is hard about that"),
];

/// Returns an invariant in a sentence.
#[must_use]
pub fn sentence(invariant: &str) -> &'static str {
    let found = INVARIANTS.iter().find(|(number, _)| *number == invariant);
    found.map_or("an invariant", |(_, sentence)| sentence)
}
