//! What must always hold, numbered, and a check that recounts it from scratch.
//!
//! What one look at the machine can tell is here; what needs history is a fold over events in
//! `lab::chaos`, where all numbers are listed. I01 conservation: who arrived waits, is held, is in
//! flight, is in back-off or is settled. I02 one fate (asserted where a request settles). I03 the
//! attempts that run are those that are not being given up. I04 a node's ledger is what its
//! unfinished attempts hold, and what is off or starts has no work. I05 a node is open exactly when
//! it serves and has room. I06 no more wait than the room holds. I16 what budgets are shares of is
//! what there is. I17 attempts are at most as many as allowed. I18 at most two attempts of a request
//! run, on two nodes, and none beside one that has begun. I26 tenants: what their books say is under
//! way is, at what it is expected to cost, and no more than they may have. I31 time never goes back
//! (asserted in `handle`). I37 nobody is shed before somebody who matters less. I34 no idling: if a request waits, no node that may serve it is open, or a
//! limit of its pool or tenant holds it back. I39 Little's law in integers. I54 what a limiter found is within its bounds and in
//! force. I57 no route keeps more answers than it may. I58 nor remembers more
//! sessions. The check costs as much
//! as there are nodes and requests under way; tests and `plimsoll chaos` call it after every input.

use std::collections::BTreeMap;

use super::Balancer;
use crate::balance::fleet::ledger::Ledger;
use crate::balance::requests::{Amount, AttemptKey, Phase, RequestState, RetryShare, Running};
use crate::balance::spec::node::Tier;
use crate::balance::spec::retry::ATTEMPTS_MAX;
use crate::balance::spec::route::Pressure;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{NodeId, PoolId, RouteId, TenantId};

/// Recounts every invariant of a moment.
///
/// # Errors
/// The number of the first invariant that does not hold, and the figures that contradict it.
pub fn check(balancer: &Balancer) -> Result<(), String> {
    conservation(balancer)?;
    ledgers(balancer)?;
    budgets(balancer)?;
    running(balancer)?;
    no_idling(balancer)?;
    balancer.queue.check()?;
    balancer.quotas.check(&balancer.requests, !balancer.batches.is_on())?;
    balancer.limiters.check(&balancer.fleet)?;
    balancer.overload.check()?;
    balancer.cache.check()?;
    balancer.sticky.check()?;
    little(balancer)
}

fn states(balancer: &Balancer) -> impl Iterator<Item = &RequestState> {
    balancer.requests.iter().map(|(_, state)| state)
}

fn conservation(balancer: &Balancer) -> Result<(), String> {
    let totals = balancer.requests.totals();
    let state = states(balancer).filter(|state| state.phase != Phase::Settled).count() as u64;
    if totals.arrived != totals.settled + state {
        return Err(format!(
            "I01: arrived {} != settled {} + {state}",
            totals.arrived, totals.settled
        ));
    }
    let waits = |state: &&RequestState| matches!(state.phase, Phase::Queued(_));
    let waiting = states(balancer).filter(waits).count();
    if waiting != balancer.queue.waiting() as usize {
        return Err(format!("I01: {waiting} wait, {} are counted", balancer.queue.waiting()));
    }
    let held = |state: &&RequestState| matches!(state.phase, Phase::Held { .. });
    let held = states(balancer).filter(held).count();
    let gathered = balancer.batches.count();
    if held != gathered {
        return Err(format!("I01: {held} are held, {gathered} are gathered"));
    }
    if totals.dispatched != totals.ended + balancer.requests.attempts().len() as u64 {
        return Err(format!(
            "I01: dispatched {} != ended {} + unfinished {}",
            totals.dispatched,
            totals.ended,
            balancer.requests.attempts().len()
        ));
    }
    let unfinished: usize = states(balancer).map(|state| usize::from(state.unfinished)).sum();
    if unfinished != balancer.requests.attempts().len() {
        return Err(format!(
            "I01: {unfinished} attempts by request, {} in all",
            balancer.requests.attempts().len()
        ));
    }
    Ok(())
}

/// What budgets are shares of is what there is.
fn budgets(balancer: &Balancer) -> Result<(), String> {
    let under_way = states(balancer).filter(|state| state.phase != Phase::Settled);
    let mut tenants: BTreeMap<TenantId, RetryShare> = BTreeMap::new();
    let mut whole = RetryShare::default();
    for RequestState { request, retrying, .. } in under_way {
        let (amount, tenant) = (Amount::of(request), tenants.entry(request.tenant).or_default());
        whole.all += amount;
        tenant.all += amount;
        if *retrying {
            whole.again += amount;
        }
        if *retrying || request.again > 0 {
            tenant.again += amount;
        }
    }
    let sums = balancer.requests.retry_sums();
    let of_tenants = tenants.into_iter().map(|(id, share)| (share, sums.of_tenant(id)));
    for (recount, counted) in of_tenants.chain([(whole, sums.whole())]) {
        if recount != counted {
            return Err(format!("I16: {recount:?} under way, {counted:?} counted"));
        }
    }
    let (tenants, all) = (sums.of_tenants(), whole.all);
    if tenants != all {
        return Err(format!("I16: {all:?} under way, {tenants:?} counted by tenant"));
    }
    Ok(())
}

/// A request has two attempts in flight only as long as neither has begun, on two nodes, one of
/// them its hedge; and those it has no use for any more are being given up.
fn running(balancer: &Balancer) -> Result<(), String> {
    for (key, state) in balancer.requests.iter() {
        let id = state.request.id.0;
        // A cascade asks every model as often as any request may be tried.
        let tries = if state.step > 0 { ATTEMPTS_MAX } else { balancer.retries.attempts_max() };
        let most = (tries + u8::from(state.hedged)).min(ATTEMPTS_MAX);
        if state.attempts > most {
            return Err(format!("I17: request {id} has {} attempts of {most}", state.attempts));
        }
        let running = match state.phase {
            Phase::InFlight(running) => Some(running),
            _ => None,
        };
        let open = |this: &&AttemptKey| {
            balancer.requests.get_attempt(**this).is_some_and(|this| this.closing.is_none())
        };
        let open: Vec<AttemptKey> = state.open.iter().filter(open).copied().collect();
        let mut said: Vec<AttemptKey> = running.into_iter().flat_map(Running::keys).collect();
        said.sort_by_key(|this| balancer.requests.get_attempt(*this).map(|this| this.ordinal));
        if open != said {
            return Err(format!(
                "I03: request {id} has {} attempts open, {} run",
                open.len(),
                said.len()
            ));
        }
        let [one, other] = open[..] else { continue };
        let (one, other) = (&balancer.requests[one], &balancer.requests[other]);
        let begun = one.first_token.or(other.first_token).is_some();
        let theirs = one.request == key && other.request == key;
        if one.node == other.node || one.hedge == other.hedge || begun || !theirs || !state.hedged {
            return Err(format!("I18: request {id} runs on {} and {}", one.node.0, other.node.0));
        }
    }
    Ok(())
}

fn ledgers(balancer: &Balancer) -> Result<(), String> {
    let fleet = &balancer.fleet;
    let mut recount = vec![Ledger::default(); fleet.nodes().len()];
    for this in balancer.requests.attempts() {
        recount[this.node.index()].recount(&this.held);
    }
    for (index, node) in fleet.nodes().iter().enumerate() {
        if node.ledger != recount[index] {
            return Err(format!(
                "I04: node {} has {:?}, not {:?}",
                index, recount[index], node.ledger
            ));
        }
        let id = NodeId(index as u32);
        let out = matches!(node.state(), NodeState::Off | NodeState::Starting);
        if out && node.ledger.requests > 0 {
            return Err(format!("I04: node {index} is {} and has work", node.state().name()));
        }
        let may = fleet.serves(id) && node.has_room();
        let ill = node.state().is_ejected();
        let listed = fleet.choices(node.spec.pool, node.spec.tier, ill).contains(&id)
            && !fleet.choices(node.spec.pool, node.spec.tier, !ill).contains(&id);
        if may != listed || may != fleet.is_open(id) {
            return Err(format!("I05: node {index} may serve: {may}; listed as open: {listed}"));
        }
    }
    if !fleet.load_reports().adds_up() {
        return Err("I04: the sums over peers are not what the peers said".to_owned());
    }
    Ok(())
}

fn no_idling(balancer: &Balancer) -> Result<(), String> {
    if balancer.queue.waiting() == 0 {
        return Ok(());
    }
    for index in 0..balancer.router.count() {
        let id = RouteId(index as u16);
        let route = balancer.router.spec(id);
        let someone = balancer.queue.tickets(id).any(|ticket| {
            let state = balancer.requests.get(ticket.key);
            // Who is held back for its tenant's sake does not wait for a node.
            balancer.requests.is_queued_with(ticket.key, ticket.number)
                && state.is_some_and(|it| !balancer.queue.is_throttled(it.request.tenant))
        });
        if balancer.awaits_quotas() {
            // Whether one fits is a matter of its size and place: a timer is set for that.
            continue;
        }
        // With such a threshold, cheaper pools may stay open while few wait.
        let degrade = route.degrade.as_ref();
        let degrade = degrade.filter(|degrade| !matches!(degrade.when, Pressure::Waiting(_)));
        let pools = route.to.iter().chain(degrade.iter().flat_map(|degrade| &degrade.to));
        // A batch that is full may wait for more room than one of its nodes has.
        let takes = |pool: &&PoolId| {
            let (in_flight, _) = balancer.fleet.pool_load(**pool);
            !balancer.batches.is_full(**pool) && balancer.quotas.pool_has_room(**pool, in_flight)
        };
        let open = pools.filter(takes).flat_map(|&pool| Tier::ALL.map(|tier| (pool, tier))).any(
            |(pool, tier)| {
                let last = balancer.fleet.panics(id);
                let last = balancer.fleet.choices(pool, tier, true).iter().filter(|_| last);
                let mut nodes = balancer.fleet.open(pool, tier).iter().chain(last);
                nodes.any(|&node| route.demands().are_met_by(&balancer.fleet.node(node).spec))
            },
        );
        if someone && open {
            return Err(format!("I34: route {index} has someone waiting and an open node"));
        }
    }
    Ok(())
}

fn little(balancer: &Balancer) -> Result<(), String> {
    let totals = balancer.requests.totals();
    if totals.arrived == totals.settled && totals.area != totals.sojourn {
        return Err(format!("I39: area {} != sojourn {}", totals.area, totals.sojourn));
    }
    Ok(())
}
