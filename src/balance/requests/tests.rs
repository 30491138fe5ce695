//! Tests of requests and attempts.

use proptest::prelude::*;

use super::*;
use crate::balance::fixture::at;
use crate::balance::vocabulary::outcome::Failure;
use crate::unit::{ClassId, TenantId};

fn attempt(requests: &Requests, key: RequestKey, node: u32) -> AttemptState {
    let hedge = matches!(requests[key].phase, Phase::InFlight(_));
    let facts = DispatchFacts {
        class: ClassId(0),
        prompt: requests[key].request.prompt,
        expected: Tokens(1),
        memo: None,
    };
    AttemptState {
        request: key,
        ordinal: requests[key].attempts,
        node: NodeId(node),
        dispatched: at(1),
        first_token: None,
        tokens: Tokens::ZERO,
        sealed: false,
        anew: false,
        held: Held::default(),
        prices: Prices::default(),
        facts,
        strategy_generation: 0,
        closing: None,
        spilled: false,
        degraded: false,
        hedge,
        in_flight_at_dispatch: 1,
    }
}

fn arrive(requests: &mut Requests, id: u64) -> RequestKey {
    let request = Request { prompt: Tokens(10 + id), ..Request::new(RequestId(id), at(0)) };
    requests.arrive(at(0), request, RouteId(0), 0)
}

#[test]
fn of_two_attempts_the_one_that_fails_leaves_the_other() {
    let mut requests = Requests::default();
    let key = arrive(&mut requests, 1);
    let (one, before) = requests.dispatch(attempt(&requests, key, 0));
    assert_eq!(before, Phase::Backoff);
    let (other, _) = requests.dispatch(attempt(&requests, key, 1));
    assert!(!requests[one].hedge && requests[other].hedge);
    let end = End::Failed(Failure::Unauthorized);
    assert!(requests.fail(key, one, (NodeId(0), end)), "the hedge goes on");
    assert_eq!(requests[key].refusals.credential, 0b01);
    assert_eq!(requests[key].phase, Phase::InFlight(Running::one(other)));
    assert!(!requests.fail(key, other, (NodeId(1), end)));
    assert_eq!((requests[key].phase, requests[key].last), (Phase::Backoff, Some((NodeId(1), end))));
}

#[test]
fn the_winner_goes_on_alone() {
    let mut requests = Requests::default();
    let key = arrive(&mut requests, 1);
    let (one, _) = requests.dispatch(attempt(&requests, key, 0));
    assert_eq!(requests.keep_only(one, key), None, "nobody else runs");
    let (other, _) = requests.dispatch(attempt(&requests, key, 1));
    assert_eq!(requests.first_token(other, at(3)), Some(Span::from_secs(2)));
    assert_eq!(requests.first_token(other, at(4)), None, "there is one first token");
    assert_eq!(requests.keep_only(other, key), Some(one));
    requests.close(one, End::Outrun);
    let found = requests.find(Attempt { request: RequestId(1), ordinal: 0 });
    assert_eq!(found, Some(one), "it is found until the executor confirms");
    requests.end(one);
    assert_eq!(requests.find(Attempt { request: RequestId(1), ordinal: 0 }), None);
}

#[test]
fn a_request_that_goes_on_elsewhere_keeps_the_sums_true() {
    let mut requests = Requests::default();
    let key = arrive(&mut requests, 1);
    requests.count_retry(key);
    requests.count_retry(key);
    requests.resume_from(key, at(2), Tokens(30));
    requests.resume_from(key, at(5), Tokens(4));
    let all = Amount { requests: 1, prompts: 45 };
    let share = RetryShare { all, again: all };
    assert_eq!(
        (requests.retry_sums().whole(), requests.retry_sums().of_tenant(TenantId(0))),
        (share, share)
    );
    assert_eq!((requests[key].resumed, requests[key].begun), (Tokens(34), Some(at(2))));
    requests.settle(key);
    requests.leave(key, at(9));
    assert_eq!(requests.retry_sums().whole(), RetryShare::default());
}

proptest! {
    /// Whatever happens to requests, in any order: they are conserved, and when all are over nothing
    /// is left and Little's law holds to the last nanosecond.
    #[test]
    fn nothing_is_lost_and_nothing_is_left(
        steps in prop::collection::vec((0_u8..6, 0_usize..8, 0_u64..5), 1..120),
    ) {
        let mut requests = Requests::default();
        let mut open: Vec<(RequestKey, Option<AttemptKey>)> = Vec::new();
        let (mut now, mut next) = (at(0), 0);
        for (what, place, pause) in steps {
            requests.pass(Span(pause));
            now = now + Span(pause);
            let place = place.min(open.len().saturating_sub(1));
            match (what, open.get(place).copied()) {
                (0 | 1, _) | (_, None) => {
                    let request = Request::new(RequestId(next), now);
                    open.push((requests.arrive(now, request, RouteId(0), 0), None));
                    next += 1;
                }
                (2, Some((key, None))) if requests[key].attempts < ATTEMPTS_MAX => {
                    let (this, _) = requests.dispatch(attempt(&requests, key, 7));
                    open[place].1 = Some(this);
                }
                (3, Some((key, None))) => requests.queue(key, next),
                (4, Some((key, Some(this)))) => {
                    requests.end(this);
                    let end = End::Failed(Failure::Reset);
                    prop_assert!(!requests.fail(key, this, (NodeId(7), end)));
                    requests.count_retry(key);
                    open[place].1 = None;
                }
                (_, Some((key, this))) => {
                    requests.settle(key);
                    requests.leave(key, now);
                    requests.forget(key);
                    prop_assert_eq!(requests.get(key).is_some(), this.is_some());
                    if let Some(this) = this {
                        requests.end(this);
                        requests.forget(key);
                    }
                    open.remove(place);
                }
            }
            let totals = requests.totals();
            prop_assert_eq!(totals.arrived - totals.settled, open.len() as u64);
            prop_assert_eq!(totals.dispatched - totals.ended, requests.attempts().len() as u64);
            prop_assert_eq!(requests.retry_sums().whole().all.requests, open.len() as u64);
        }
        for (key, this) in open {
            requests.settle(key);
            requests.leave(key, now);
            if let Some(attempt) = this {
                    requests.end(attempt);
                }
            requests.forget(key);
        }
        prop_assert_eq!(requests.iter().count(), 0);
        prop_assert_eq!(requests.totals().area, requests.totals().sojourn);
        prop_assert_eq!(requests.retry_sums().whole(), RetryShare::default());
    }
}
