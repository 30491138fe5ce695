//! No allocation once warm: a strategy that decides, hears of a first token and of an end touches no
//! allocator, nor does the machine around it.
//!
//! Left out are hashes of prompts: the index of prefixes grows with what it is shown, up to its limit.

use crate::common;
use crate::wheel::Wheel;
use plimsoll::balance::REGISTRY;

/// Turns before anything is counted: every session has come, every buffer has its size.
const WARM: usize = 5_000;
const COUNTED: usize = 2_000;

#[test]
fn no_strategy_allocates_once_it_is_warm() {
    let mut guilty = Vec::new();
    for (entry, nodes) in REGISTRY.iter().flat_map(|entry| [(entry, 16), (entry, 200)]) {
        let mut wheel = Wheel::new(common::config(nodes, entry.name, 7));
        (0..WARM).for_each(|_| wheel.turn());
        let info = allocation_counter::measure(|| (0..COUNTED).for_each(|_| wheel.turn()));
        assert_eq!(wheel.balancer.under_way(), 2 * nodes as u64, "{}", entry.name);
        if info.count_total > 0 {
            let (count, bytes) = (info.count_total, info.bytes_total);
            guilty.push(format!("{} on {nodes} nodes: {count} times, {bytes} bytes", entry.name));
        }
    }
    assert!(guilty.is_empty(), "allocations in {COUNTED} turns:\n{}", guilty.join("\n"));
}

/// The counter counts: asking for explanations does allocate.
#[test]
fn an_explanation_is_made_only_when_asked_for() {
    let mut wheel = Wheel::new(common::config(16, "least_tokens", 7));
    (0..WARM).for_each(|_| wheel.turn());
    wheel.balancer.explain(plimsoll::balance::Explain::All);
    let info = allocation_counter::measure(|| wheel.turn());
    assert!(info.count_total > 0);
}
