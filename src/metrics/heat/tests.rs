//! Counts of columns, whatever form they are kept in.

use super::*;
use crate::balance::{End, Reject};
use crate::metrics::{ClassLabel, NodeLabel};

fn labels(classes: usize, nodes: usize) -> Labels {
    Labels {
        classes: vec![ClassLabel::default(); classes],
        nodes: vec![NodeLabel::default(); nodes],
        ..Labels::default()
    }
}

fn counted(map: &HeatMap, scope: HeatScope, wanted: fn(HeatLane) -> bool) -> u64 {
    let cells = map.columns.iter().flat_map(|column| column.of(scope));
    cells.filter(|(lane, _)| wanted(*lane)).map(|(_, count)| u64::from(count)).sum()
}

#[test]
fn codes_are_eighths_of_octaves_and_whole_powers_of_two_begin_one() {
    for power in -9..14 {
        let seconds = f64::from(power).exp2();
        let code = length_code(Span::from_seconds(seconds));
        assert_eq!(i32::from(code), (power + 10) * 8, "{seconds}");
        assert!((length_seconds(code) - seconds).abs() < 1e-9 * seconds);
    }
    let mut before = 0;
    for step in 0..200_000_u64 {
        let length = Span(step * step * 40);
        let code = length_code(length);
        assert!(code >= before, "longer is never less");
        if (1..LENGTHS - 1).contains(&code) {
            let (least, next) = (length_seconds(code), length_seconds(code + 1));
            let seconds = length.seconds();
            assert!(least * 0.9999 <= seconds && seconds < next * 1.0001, "{seconds}");
        }
        before = code;
    }
    assert_eq!(length_code(Span(0)), 0);
    assert_eq!(length_code(Span::MAX), LENGTHS - 1);
    for code in 0..CODES as u16 {
        assert_eq!(HeatLane::of_code(code).code(), code);
    }
}

#[test]
fn what_ended_is_counted_once_however_old_it_is() {
    let (classes, nodes) = (3, 5);
    let mut heat = HeatBuckets::new(&labels(classes, nodes));
    let (mut now, mut state) = (Time::ZERO, 7_u64);
    let (mut completed, mut failed, mut rejected) = (0, 0, 0);
    for _ in 0..60_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = state >> 33;
        now = now + Span::from_millis(random % 200);
        if random % 7 == 0 {
            heat.map(now);
        }
        let who = (ClassId((random % 3) as u16), Some(NodeId((random % 5) as u32)));
        let length = Span::from_millis(random % 40_000);
        let fate = match random % 10 {
            0 => Fate::Failed(End::RateLimited),
            1 => Fate::Rejected(Reject::QueueFull),
            2 => Fate::Cancelled,
            _ => Fate::Completed,
        };
        heat.settled(now, who, fate, (length, Span(length.0 / 3)));
        completed += u64::from(fate == Fate::Completed);
        failed += u64::from(matches!(fate, Fate::Failed(_)));
        rejected += u64::from(matches!(fate, Fate::Rejected(_)));
    }
    let map = heat.map(now);
    let total = |scope| counted(&map, scope, |lane| matches!(lane, HeatLane::Total(_)));
    let first = |scope| counted(&map, scope, |lane| matches!(lane, HeatLane::FirstToken(_)));
    assert_eq!((total(HeatScope::All), first(HeatScope::All)), (completed, completed));
    let by_class: u64 = (0..3).map(|class| total(HeatScope::Class(ClassId(class)))).sum();
    let by_node: u64 = (0..5).map(|node| total(HeatScope::Node(NodeId(node)))).sum();
    assert_eq!((by_class, by_node), (completed, completed));
    assert_eq!(counted(&map, HeatScope::All, |lane| lane == HeatLane::Failed), failed);
    assert_eq!(counted(&map, HeatScope::All, |lane| lane == HeatLane::Rejected), rejected);
    // Over an hour and a half: without gaps, on multiples of their length, the newest finest.
    let mut end = Time::ZERO;
    for pair in map.columns.windows(2) {
        assert!(pair[0].span >= pair[1].span);
    }
    for column in &map.columns {
        assert_eq!((column.start, column.start.0 % column.span.0), (end, 0));
        end = column.end();
    }
    assert!(now < end && end.since(now) <= STEP, "up to now");
    assert!(map.columns.len() < 10 * COLUMNS as usize, "bounded");
}

#[test]
fn many_nodes_make_columns_longer_sooner_and_memory_stays_bounded() {
    let nodes = 2_000;
    let mut heat = HeatBuckets::new(&labels(1, nodes));
    let mut completed = 0;
    for step in 0..4_000_u64 {
        let now = Time(step * STEP.0);
        for place in 0..60 {
            let node = NodeId(((step * 60 + place) % nodes as u64) as u32);
            let length = Span::from_millis(1 + (step * 977 + place * 131) % 9_000);
            let who = (ClassId(0), Some(node));
            heat.settled(now, who, Fate::Completed, (length, length));
            completed += 1;
        }
    }
    let map = heat.map(Time(4_000 * STEP.0));
    assert_eq!(counted(&map, HeatScope::All, |l| matches!(l, HeatLane::Total(_))), completed);
    assert_eq!(heat.most, COLUMNS_MIN);
    assert!(map.columns.len() as u64 <= 8 * COLUMNS_MIN, "{} columns", map.columns.len());
}

#[test]
fn the_picture_does_not_depend_on_when_it_was_asked_for_before() {
    let labels = labels(2, 3);
    let (mut often, mut once) = (HeatBuckets::new(&labels), HeatBuckets::new(&labels));
    let (mut now, mut state) = (Time::ZERO, 3_u64);
    for _ in 0..3 * NOTES_MAX {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = state >> 33;
        now = now + Span::from_millis(random % 90);
        let who = (ClassId((random % 2) as u16), Some(NodeId((random % 3) as u32)));
        let length = Span::from_millis(random % 5_000);
        for heat in [&mut often, &mut once] {
            heat.settled(now, who, Fate::Completed, (length, length));
        }
        if random % 11 == 0 {
            often.map(now);
        }
    }
    assert_eq!(often.map(now), once.map(now));
}

#[test]
fn levels_fill_one_after_the_other_and_together_hold_every_column() {
    for closed in 0..5_000 {
        let levels: Vec<u64> = layout(closed, 16).collect();
        let held: u64 = levels.iter().enumerate().map(|(level, many)| many << level).sum();
        assert_eq!(held, closed);
        assert!(levels.iter().all(|many| (1..=16).contains(many)), "{closed}: {levels:?}");
    }
}

#[test]
fn few_that_are_kept_as_they_are_count_as_if_they_were_counted() {
    let scopes = HeatScopes { classes: 2, nodes: 3 };
    let mut draws = crate::rng::Rng::stream(5, "heat");
    for many in 0..FEW {
        let note = |place: usize| {
            let bits = draws.bits();
            let what = match bits % 5 {
                0 => HeatWord::Failed,
                1 => HeatWord::Rejected,
                2 => HeatWord::AttemptFailed,
                _ => HeatWord::Completed((bits >> 8) as u8 % 12, (bits >> 16) as u8 % 12),
            };
            // Also of classes and nodes that are not counted by themselves.
            let (class, node) = ((bits >> 24) as u16 % 4, (bits >> 40) as u32 % 5);
            HeatNote { at: Time(place as u64), node, class, what }
        };
        let notes: Vec<HeatNote> = (0..many).map(note).collect();
        let mut tally = HeatTally::new(scopes);
        let kept = tally.column((Time::ZERO, STEP), std::iter::empty(), &notes);
        assert!(matches!(kept.counts, HeatForm::Notes(..)));
        notes.iter().for_each(|note| tally.hear(note));
        let counted = tally.take(Time::ZERO, STEP);
        assert_eq!(kept, counted, "{many}");
        let whole = HeatColumn::of_cells(Time::ZERO, STEP, &kept.cells());
        assert_eq!(whole, counted, "{many}");
        let classes = (0..4).map(|class| HeatScope::Class(ClassId(class)));
        let nodes = (0..5).map(|node| HeatScope::Node(NodeId(node)));
        for scope in std::iter::once(HeatScope::All).chain(classes).chain(nodes) {
            assert!(kept.of(scope).eq(counted.of(scope)), "{many} {scope:?}");
        }
        tally.add(&kept);
        assert_eq!(tally.take(Time::ZERO, STEP), counted, "{many}");
    }
}
