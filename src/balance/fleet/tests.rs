//! Tests of the fleet.

use super::*;
use crate::balance::fixture::{at, config, node};
use crate::balance::spec::health::HealthSettings;
use crate::unit::CredentialId;

const POOL: PoolId = PoolId(0);

#[test]
fn a_node_is_open_while_it_has_room_and_what_frees_it_is_remembered() {
    let mut specs = config(1, 2).nodes;
    specs[0].limits.concurrency = Some(1);
    let mut fleet = Fleet::new(1, specs);
    assert_eq!(fleet.open(POOL, Tier::Primary).len(), 2);
    let held = fleet.start(NodeId(0), at(0), Tokens(10), Tokens(5));
    assert_eq!(fleet.open(POOL, Tier::Primary), [NodeId(1)]);
    let other = fleet.start(NodeId(1), at(0), Tokens(10), Tokens(5));
    fleet.end(NodeId(1), at(1), &other);
    assert!(!fleet.take_freed(), "it was open all the time");
    fleet.end(NodeId(0), at(1), &held);
    assert!(fleet.take_freed() && !fleet.take_freed());
    assert_eq!(fleet.pool_load(POOL).0, 0);
}

#[test]
fn panic_opens_ejected_nodes_and_ends_with_hysteresis() {
    let mut fleet = Fleet::new(1, config(1, 4).nodes);
    fleet.set_panic(vec![Some(Ratio::from_f64(0.5))]);
    let eject = |fleet: &mut Fleet, id: u32| {
        let settings = HealthSettings::default();
        fleet.with_health(NodeId(id), |health| {
            health.eject(at(0), (&settings, 0.0), false, None);
        });
    };
    (0..2).for_each(|id| eject(&mut fleet, id));
    assert!(fleet.take_panics().is_empty(), "half of them are well");
    eject(&mut fleet, 2);
    assert_eq!(fleet.take_panics(), [(POOL, Tier::Primary, true)]);
    assert_eq!(fleet.open(POOL, Tier::Primary).len(), 4);
    for (id, ends) in [(0, false), (1, true)] {
        fleet.with_health(NodeId(id), |health| {
            health.operate(at(1), NodeState::Draining);
            health.operate(at(1), NodeState::Up);
        });
        assert_eq!(fleet.panics(POOL, Tier::Primary), !ends, "node {id}");
    }
    assert_eq!(fleet.ejected_of(POOL), (4, 1));
}

#[test]
fn credentials_are_shared_by_who_names_the_same() {
    let named = |credential| NodeSpec { credential, ..node(0) };
    let (one, other) = (Some(CredentialId(1)), Some(CredentialId(2)));
    let fleet = Fleet::new(1, [one, other, one, None, None].map(named).to_vec());
    let next = |node, from| fleet.next_of_credential(NodeId(node), from);
    assert_eq!((next(0, 0), next(0, 3), next(3, 0)), (Some(NodeId(2)), None, None));
    let tried = [NodeId(0), NodeId(3)];
    assert!(fleet.is_refused(NodeId(2), 0b01, &tried));
    assert!(!fleet.is_refused(NodeId(2), 0b10, &tried));
    assert!(
        fleet.is_refused(NodeId(3), 0b10, &tried) && !fleet.is_refused(NodeId(4), 0b11, &tried)
    );
    assert!(fleet.has_other_credential(&[POOL], 0, (0b11, &tried)), "nodes 1 and 4");
}

#[test]
fn who_is_first_back_is_the_first_of_those_that_rest() {
    let mut fleet = Fleet::new(1, config(1, 2).nodes);
    assert!(fleet.any_serves() && fleet.first_back().is_none());
    for (id, seconds) in [(0, 9), (1, 4)] {
        fleet.with_health(NodeId(id), |health| {
            health.limit(at(0), Some(Span::from_secs(seconds)), false);
        });
    }
    assert!(!fleet.any_serves());
    assert_eq!(fleet.first_back(), Some(at(4)));
}
