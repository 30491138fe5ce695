//! Nodes rolled up: what the nodes of a pool or of a region are together.

use crate::balance::NodeState;
use crate::command::NodeGroup;
use crate::metrics::{NodeRow, Snapshot};
use crate::unit::Span;

/// Several nodes as one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RollupRow {
    pub(super) name: String,
    pub(super) nodes: u32,
    pub(super) up: u32,
    pub(super) in_flight: u32,
    /// At most so many at a time, where that is known of each of them.
    pub(super) capacity: Option<u32>,
    pub(super) queued: u32,
    /// Busy share of those of which it is known, by their capacity.
    pub(super) utilisation: Option<f64>,
    pub(super) share: f64,
    pub(super) requests_per_s: f64,
    /// The p99 of the node that has the longest: quantiles of several cannot be added up.
    pub(super) worst_p99: Option<Span>,
    pub(super) error_share: f64,
    pub(super) tokens_per_s: f64,
    pub(super) dollars_per_hour: f64,
}

/// Returns one row a pool.
pub(super) fn pools(shown: &Snapshot) -> Vec<RollupRow> {
    let of = |pool| shown.nodes.iter().filter(move |row| row.pool == pool);
    shown.pools.iter().map(|pool| together(&pool.name, of(pool.id))).collect()
}

/// Returns one row a region.
pub(super) fn regions(shown: &Snapshot, groups: &[NodeGroup]) -> Vec<RollupRow> {
    let regions = groups.iter().filter(|group| group.word == "region");
    let of = |group: &NodeGroup| {
        let nodes = group.nodes.clone();
        shown.nodes.iter().filter(move |row| nodes.contains(&row.id))
    };
    regions.map(|group| together(&group.name, of(group))).collect()
}

fn together<'a>(name: &str, nodes: impl Iterator<Item = &'a NodeRow>) -> RollupRow {
    let mut sum = RollupRow { name: name.to_owned(), capacity: Some(0), ..RollupRow::default() };
    let (mut failed, mut busy, mut room) = (0.0, 0.0, 0.0);
    for row in nodes {
        sum.nodes += 1;
        sum.up += u32::from(row.state == NodeState::Up);
        sum.in_flight = sum.in_flight.saturating_add(row.in_flight);
        sum.queued = sum.queued.saturating_add(row.queued);
        sum.capacity = sum.capacity.zip(row.capacity).map(|(sum, more)| sum.saturating_add(more));
        if let Some(share) = row.utilisation {
            let weight = row.capacity.map_or(1.0, f64::from);
            busy += share * weight;
            room += weight;
        }
        sum.share += row.share;
        sum.requests_per_s += row.requests_per_s;
        sum.worst_p99 = sum.worst_p99.max(row.p99);
        failed += row.error_share * row.requests_per_s;
        sum.tokens_per_s += row.tokens_per_s;
        sum.dollars_per_hour += row.dollars_per_hour;
    }
    sum.utilisation = (room > 0.0).then(|| busy / room);
    sum.error_share = if sum.requests_per_s > 0.0 { failed / sum.requests_per_s } else { 0.0 };
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture;
    use crate::unit::PoolId;

    #[test]
    fn nodes_of_a_pool_add_up_and_errors_weigh_as_much_as_what_ended() {
        let frame = fixture::frame();
        let mut shown = (*frame.snapshot).clone();
        let pool = PoolId(0);
        shown.nodes.truncate(2);
        for (row, (rate, errors, busy, most, p99)) in
            shown.nodes.iter_mut().zip([(30.0, 0.1, 1.0, 10, 2), (10.0, 0.5, 0.5, 30, 9)])
        {
            row.pool = pool;
            row.requests_per_s = rate;
            row.error_share = errors;
            row.utilisation = Some(busy);
            row.capacity = Some(most);
            row.p99 = Some(Span::from_secs(p99));
            row.share = 0.25;
        }
        let rows = pools(&shown);
        let row = &rows[0];
        assert_eq!((row.nodes, row.capacity), (2, Some(40)));
        assert!((row.error_share - 0.2).abs() < 1e-12, "8 of 40 a second");
        assert!((row.utilisation.expect("known") - 0.625).abs() < 1e-12);
        assert_eq!(row.worst_p99, Some(Span::from_secs(9)));
        assert!((row.share - 0.5).abs() < 1e-12);
        assert!(rows[1..].iter().all(|row| row.nodes == 0 && row.utilisation.is_none()));
    }

    #[test]
    fn a_region_is_of_the_nodes_that_its_name_means() {
        let frame = fixture::frame();
        let nodes: Vec<_> = frame.snapshot.nodes.iter().map(|row| row.id).take(3).collect();
        let group = |word, nodes| NodeGroup { word, name: "eu".to_owned(), nodes };
        let groups = [group("tag", Vec::new()), group("region", nodes)];
        let rows = regions(&frame.snapshot, &groups);
        assert_eq!(rows.iter().map(|row| row.nodes).collect::<Vec<_>>(), [3]);
    }
}
