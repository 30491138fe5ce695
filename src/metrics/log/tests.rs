//! The log under many events.

use super::*;
use crate::metrics::snapshot::LOG_MAX;
use crate::unit::{ClassId, Span};

fn at(millis: u64) -> Time {
    Time::ZERO + Span::from_millis(millis)
}

fn draft(level: LogLevel, text: &str, counted: Option<CountedThing>) -> Draft {
    let entry = LogEntry { level, text: text.to_owned(), ..LogEntry::default() };
    Draft { entry, counted }
}

#[test]
fn what_goes_on_is_one_entry_and_what_comes_back_is_another() {
    let mut log = LogEntries::default();
    let thing = CountedThing::Unserved(ClassId(0), "queue full");
    let mut hear = |millis| {
        if !log.count(at(millis), thing) {
            log.enter(at(millis), draft(LogLevel::Error, "queue full", Some(thing)));
        }
    };
    (0..600).for_each(|step| hear(step * 100));
    hear(59_900 + 9_999);
    hear(59_900 + 9_999 + 10_001);
    let told: Vec<(u64, u64)> = log.all().iter().map(|entry| (entry.at.0, entry.count)).collect();
    assert_eq!(told, [(0, 601), (at(79_900).0, 1)]);
    let rate = log.all()[0].per_s().expect("several");
    assert!((rate - 600.0 / 69.899).abs() < 1e-3, "{rate}");
}

#[test]
fn a_full_log_drops_what_happened_by_itself_first() {
    let mut log = LogEntries::default();
    for step in 0..10 {
        log.enter(at(step), draft(LogLevel::Injected, &format!("you: {step}"), None));
    }
    for step in 0..5_000 {
        log.enter(at(10_000 + step), draft(LogLevel::Info, &format!("node {step}"), None));
    }
    let told = log.all();
    assert_eq!((told.len(), log.dropped()), (LOG_MAX, 5_010 - LOG_MAX as u64));
    assert_eq!(told.iter().filter(|entry| entry.level == LogLevel::Injected).count(), 10);
    assert!(told.is_sorted_by_key(|entry| entry.id), "in the order in which they came");
    for step in 0..5_000 {
        log.enter(
            at(20_000 + step),
            draft(LogLevel::Injected, &format!("you: again {step}"), None),
        );
    }
    assert_eq!(log.all().len(), LOG_MAX, "nor does that go on for ever");
}

#[test]
fn an_entry_that_has_left_is_counted_no_more() {
    let mut log = LogEntries::default();
    let thing = CountedThing::Retry(NodeId(3), "server error");
    log.enter(at(0), draft(LogLevel::Warning, "retries", Some(thing)));
    for step in 0..LOG_MAX {
        log.enter(at(1), draft(LogLevel::Info, &format!("{step}"), None));
    }
    assert!(!log.count(at(2), thing));
}
