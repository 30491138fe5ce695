//! Tests of the fleet.

use super::*;
use crate::balance::fixture::{at, config, node};
use crate::balance::fleet::health::Evidence;
use crate::balance::spec::health::HealthSettings;
use crate::balance::spec::route::{Demands, RouteNodes};
use crate::balance::vocabulary::outcome::{Failure, ProbeResult};
use crate::unit::{CredentialId, Ratio, RouteId};

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

fn eject(fleet: &mut Fleet, id: u32, evidence: Evidence) {
    let settings = HealthSettings::default();
    fleet.with_health(NodeId(id), |health| {
        health.eject(at(0), (&settings, 0.0), evidence, None);
    });
}

fn bring_back(fleet: &mut Fleet, id: u32) {
    fleet.with_health(NodeId(id), |health| {
        health.operate(at(1), NodeState::Draining);
        health.operate(at(1), NodeState::Up);
    });
}

/// Two pools of two nodes. A route through both, and one through the first alone; the first asks for
/// panic until half is well.
fn with_panic() -> Fleet {
    let mut fleet = Fleet::new(2, config(2, 2).nodes);
    let nodes = |pools: &[u16]| RouteNodes {
        pools: pools.iter().map(|pool| PoolId(*pool)).collect(),
        demands: Demands::default(),
    };
    let shares = [Some(Ratio::from_f64(0.5)), None];
    fleet.set_panic(vec![nodes(&[0, 1]), nodes(&[0])], &shares);
    fleet
}

#[test]
fn panic_begins_where_nothing_a_route_may_use_is_well_and_ends_with_hysteresis() {
    let (both, one) = (RouteId(0), RouteId(1));
    let mut fleet = with_panic();
    let choices = |fleet: &Fleet, last| fleet.choices(POOL, Tier::Primary, last).len();
    eject(&mut fleet, 0, Evidence::Failing);
    assert!(fleet.take_panics().is_empty() && choices(&fleet, true) == 0, "one is well");
    eject(&mut fleet, 1, Evidence::Failing);
    assert_eq!(fleet.take_panics(), [(one, true)], "the other route has a pool that is well");
    assert_eq!((choices(&fleet, false), choices(&fleet, true)), (0, 2));
    (2..4).for_each(|id| eject(&mut fleet, id, Evidence::Failing));
    assert_eq!(fleet.take_panics(), [(both, true)]);
    let other = fleet.choices(PoolId(1), Tier::Primary, true);
    assert!(other.is_empty(), "the second pool asks for no panic");
    bring_back(&mut fleet, 0);
    assert_eq!(fleet.take_panics(), [(one, false)], "half of one route is well, a quarter of both");
    assert_eq!((choices(&fleet, false), choices(&fleet, true)), (1, 1));
    bring_back(&mut fleet, 2);
    assert_eq!(fleet.take_panics(), [(both, false)]);
    assert_eq!((choices(&fleet, false), choices(&fleet, true)), (1, 0));
}

#[test]
fn panic_never_blesses_a_node_whose_probes_fail() {
    let mut fleet = with_panic();
    (0..2).for_each(|id| eject(&mut fleet, id, Evidence::Refused));
    assert!(fleet.panics(RouteId(1)) && fleet.is_open(NodeId(0)) && fleet.is_open(NodeId(1)));
    let settings = HealthSettings::default();
    let probe = |fleet: &mut Fleet, result| {
        fleet.with_health(NodeId(0), |health| {
            health.start_probe(false);
            health.probed(at(1), result, &settings)
        })
    };
    probe(&mut fleet, ProbeResult::Failed(Failure::Refused));
    assert!(!fleet.is_open(NodeId(0)) && fleet.is_open(NodeId(1)));
    probe(&mut fleet, ProbeResult::Healthy);
    assert!(fleet.is_open(NodeId(0)), "one good answer is no proof, and no failure either");
}

#[test]
fn a_node_of_last_resort_takes_no_more_than_it_has_room_for() {
    let mut specs = config(1, 2).nodes;
    specs[0].limits.concurrency = Some(1);
    let mut fleet = Fleet::new(1, specs);
    let route = RouteNodes { pools: vec![POOL], demands: Demands::default() };
    fleet.set_panic(vec![route], &[Some(Ratio::ONE)]);
    (0..2).for_each(|id| eject(&mut fleet, id, Evidence::Failing));
    let held = fleet.start(NodeId(0), at(0), Tokens(10), Tokens(5));
    assert_eq!(fleet.choices(POOL, Tier::Primary, true), [NodeId(1)]);
    fleet.end(NodeId(0), at(1), &held);
    assert!(fleet.take_freed() && fleet.choices(POOL, Tier::Primary, true).len() == 2);
}

#[test]
fn credentials_are_shared_by_who_names_the_same() {
    let named = |credential| NodeSpec { credential, ..node(0) };
    let (one, other) = (Some(CredentialId(1)), Some(CredentialId(2)));
    let fleet = Fleet::new(1, [one, other, one, None, None].map(named).to_vec());
    let next = |node, from| fleet.next_of_credential(NodeId(node), from);
    assert_eq!((next(0, 0), next(0, 3), next(3, 0)), (Some(NodeId(2)), None, None));
    let tried = [NodeId(0), NodeId(3)];
    let by = |credential| Refusals { credential, ..Refusals::default() };
    let refused = |node, bits| fleet.is_refused(NodeId(node), by(bits), &tried);
    assert!(refused(2, 0b01) && !refused(2, 0b10));
    assert!(refused(3, 0b10) && !refused(4, 0b11));
    assert!(fleet.has_other(&[POOL], Demands::default(), (by(0b11), &tried)), "nodes 1 and 4");
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
