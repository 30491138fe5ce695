//! Times, money and counts of one node.

use super::*;

fn at(second: u64) -> Time {
    Time::ZERO + Span::from_secs(second)
}

/// One node of a dollar a second, with two servers; warm-up ends at 100 s.
fn one_node(state: NodeState) -> (NodeFigures, Labels) {
    let label = NodeLabel { capacity: Some(2), hourly: 3_600_000_000, ..NodeLabel::default() };
    let labels = Labels {
        warmup: at(100),
        pools: vec!["pool".to_owned()],
        nodes: vec![label],
        ..Labels::default()
    };
    let hourly = HourlyRate::default();
    let mut nodes = NodeFigures { hot: vec![], ends: vec![], cold: vec![], hourly };
    nodes.add(&labels.nodes[0], 1, Time::ZERO, 1);
    nodes.hot[0].state = state;
    (nodes, labels)
}

#[test]
fn a_node_is_paid_for_from_its_start_until_it_is_off() {
    let (mut nodes, labels) = one_node(NodeState::Off);
    let (node, from) = (NodeId(0), labels.warmup);
    nodes.state(node, at(50), &labels, NodeState::Starting);
    nodes.state(node, at(140), &labels, NodeState::Up);
    nodes.dispatched(node, at(150), from, true);
    nodes.dispatched(node, at(160), from, true);
    nodes.ended(node, at(165), from);
    nodes.ended(node, at(170), from);
    nodes.state(node, at(190), &labels, NodeState::Ejected);
    nodes.state(node, at(230), &labels, NodeState::Up);
    nodes.state(node, at(240), &labels, NodeState::Draining);
    nodes.state(node, at(260), &labels, NodeState::Off);
    let paid = nodes.paid_at(0, at(1_000), &labels);
    assert_eq!(paid.paid, 160_000_000_000, "100 to 260");
    assert_eq!(paid.starting, 40_000_000_000, "100 to 140");
    assert_eq!(paid.idle, 40_000_000_000, "140 to 150, 170 to 190, 230 to 240");
    assert_eq!(paid.cost.0, 160 * 1_000_000_000_000, "a dollar a second");
    assert_eq!(paid.idle_cost.0, 40 * 1_000_000_000_000);
    let on = nodes.paid_at(0, at(90), &labels);
    assert_eq!(on.paid, 160_000_000_000, "the end is never before the last event");
}

/// Utilisation is of the time after warm-up, wherever attempts begin and end.
#[test]
fn busy_time_is_split_where_warm_up_ends() {
    let (mut nodes, labels) = one_node(NodeState::Up);
    let (node, from) = (NodeId(0), labels.warmup);
    for second in [40, 60, 80] {
        nodes.dispatched(node, at(second), from, false);
    }
    // Before the end of warm-up nothing is measured.
    let early = nodes.summary(0, at(90), &labels);
    assert_eq!((early.utilisation, early.attempts), (None, 0));
    // Three are in flight and two servers busy until 110, one until 150, none until 200.
    let busy = nodes.summary(0, at(110), &labels).utilisation;
    assert_eq!(busy, Some(1.0));
    nodes.ended(node, at(110), from);
    nodes.ended(node, at(110), from);
    nodes.ended(node, at(150), from);
    let all = nodes.summary(0, at(200), &labels).utilisation;
    assert_eq!(all, Some((20.0 + 40.0) / 200.0));
}

#[test]
fn an_end_counts_if_its_request_does() {
    let (mut nodes, labels) = one_node(NodeState::Up);
    let (node, from) = (NodeId(0), labels.warmup);
    for (counts, took, bad) in
        [(false, None, true), (true, Some(3), false), (true, None, true), (true, None, false)]
    {
        nodes.dispatched(node, at(120), from, counts);
        nodes.ended(node, at(130), from);
        if counts {
            nodes.counted(node, took.map(Span::from_secs), bad, Cost(7));
        }
    }
    let told = nodes.summary(0, at(200), &labels);
    assert_eq!((told.attempts, told.failed), (3, 1));
    assert_eq!(told.latency_s.max.map(f64::round), Some(3.0));
    assert!((told.cost_usd.tokens * 1e12 - 21.0).abs() < 1e-6);
    assert_eq!(nodes.hot[0].in_flight, 0);
}
