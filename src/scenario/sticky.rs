//! `sticky`: which requests of a route go where those before them went.

use super::keys::{KeyKind, POSITIVE_SPAN, SectionDef, Usual, key, section};
use super::value::{Field, Walk};
use crate::balance::{STICKY_ENTRIES_MAX, SessionKeyKind as By, StickySpec};
use crate::unit::Span;

/// What requests may be told to belong together by.
const NAMES: [&str; 6] = {
    let mut names = [""; 6];
    let mut at = 0;
    while at < names.len() {
        names[at] = By::ALL[at].name();
        at += 1;
    }
    names
};

/// Whether no other node serves them.
const HOW: [(&str, bool); 2] = [("soft", false), ("hard", true)];

pub(super) static STICKY: SectionDef = SectionDef {
    keys: &[
        key(
            "by",
            KeyKind::OneOrMore(&KeyKind::Word(&NAMES), By::ALL.len()),
            Usual::Word("session"),
            "requests that name the same go to the same node; the first of these that a request names counts",
        ),
        key(
            "how",
            KeyKind::Word(&["soft", "hard"]),
            Usual::Word("soft"),
            "what becomes of a request whose node cannot serve it: it goes elsewhere, and its session with it, \
             or it is turned away",
        ),
        key(
            "entries",
            KeyKind::Whole(1, STICKY_ENTRIES_MAX as u64),
            Usual::Whole(100_000),
            "so many sessions are remembered; the one that was quiet longest gives way",
        ),
        key(
            "ttl",
            POSITIVE_SPAN,
            Usual::Span(Span::from_secs(3_600)),
            "a session that was quiet for longer is forgotten",
        ),
    ],
    ..section("sticky", "")
};

/// `{ by = ["session", "user"], how = "soft", entries = 100_000, ttl = "1h" }`.
pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<StickySpec> {
    let mut table = walk.table(field)?;
    let mut by: Vec<By> = Vec::new();
    match table.take("by") {
        Some(field) => {
            let items = walk.one_or_more(field);
            if items.is_empty() {
                walk.problem(field.place(), "`by` names nothing").label("empty");
            }
            for item in items {
                let words = By::ALL.map(|kind| (kind.name(), kind));
                match walk.word(item, &words) {
                    Some(kind) if by.contains(&kind) => {
                        walk.problem(item.place(), "this is named twice").label("the second time");
                    }
                    Some(kind) => by.push(kind),
                    None => {}
                }
            }
        }
        None => by.push(By::Session),
    }
    let hard = table.word(walk, "how", &HOW);
    let entries = table.count(walk, "entries");
    let ttl = table.span(walk, "ttl");
    table.finish(walk);
    if by.is_empty() {
        return None;
    }
    Some(StickySpec { by, hard: hard?, entries: entries? as u32, ttl: ttl? })
}
