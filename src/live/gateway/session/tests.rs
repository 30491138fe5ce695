//! The record of a request on every path from its arrival to its answer.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::balance::{Failure, Reject, TimeoutStage};
use crate::live::driver::{Message, Messages, inbox};
use crate::live::upstream::Outlet;

fn client(streams: bool) -> ClientRequest {
    let body = format!("{{\"model\":\"c\",\"stream\":{streams},\"messages\":[]}}");
    ClientRequest::read((Operation::Chat, None), None, &body.into()).expect("a chat request").0
}

fn sessions(nodes: usize) -> (Sessions, Messages<GatewayNote>) {
    let (inbox, messages) = inbox();
    let (dialect, prefill) = (Dialect::Openai, PrefillKind::default());
    let speech = NodeSpeech { model: "there".to_owned(), dialect, prefill };
    (Sessions::new(inbox, vec![speech; nodes], false, Arc::default()), messages)
}

fn order(attempt: Attempt, node: u32) -> DispatchOrder {
    DispatchOrder { attempt, node: NodeId(node), clamp: None, resumed: Tokens::ZERO }
}

fn attempt(request: u64, ordinal: u8) -> Attempt {
    Attempt { request: RequestId(request), ordinal }
}

fn failed(failure: Failure) -> Fate {
    Fate::Failed(End::Failed(failure))
}

/// A request that has arrived, and the client's end of its answer.
fn arrived(sessions: &mut Sessions, request: u64) -> mpsc::Receiver<ToClient> {
    let (to, from) = mpsc::channel(8);
    sessions.note(GatewayNote::Arrived(RequestId(request), client(true), to));
    from
}

fn settle(sessions: &mut Sessions, fate: Fate, by: Option<Attempt>, begun: bool) {
    let answer = Settlement { request: RequestId(0), fate, by, begun };
    let (to, messages) = sessions.settle(answer, || 7);
    deliver(to, messages);
    assert!(sessions.under_way.is_empty(), "its record is gone");
}

fn stream(events: Vec<Bytes>) -> Leftover {
    Leftover::Stream { events, last: closing_event(Operation::Chat) }
}

fn node(served: ServedBy) -> u32 {
    served.node.expect("somebody serves").0
}

/// What came to a client, in a word each.
fn came(from: &mut mpsc::Receiver<ToClient>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(message) = from.try_recv() {
        all.push(match message {
            ToClient::Begin(served) => format!("begin {}", node(served)),
            ToClient::Head(status, _) => format!("head {}", status.as_u16()),
            ToClient::Piece(piece, _) => format!("piece {}", String::from_utf8_lossy(&piece)),
            ToClient::Whole(served, _, body) => {
                format!("whole {} {}", node(served), String::from_utf8_lossy(&body))
            }
            ToClient::Refused(_, refusal) => {
                format!("refused {} {:?}", refusal.status.as_u16(), refusal.pause)
            }
            ToClient::End(_) => "end".to_owned(),
            ToClient::Broken(_) => "broken".to_owned(),
        });
    }
    all
}

#[test]
fn an_answer_comes_from_the_attempt_that_the_balancer_names() {
    let (mut sessions, _messages) = sessions(2);
    let mut from = arrived(&mut sessions, 0);
    for ordinal in 0..2 {
        let sent = sessions.dispatch(order(attempt(0, ordinal), u32::from(ordinal)));
        assert!(sent.sending.streams && !sent.sending.body.is_empty());
        let body = Bytes::from(format!("of {ordinal}"));
        sessions.note(GatewayNote::Left(attempt(0, ordinal), Leftover::Whole(None, body)));
        sessions.close(attempt(0, ordinal));
    }
    settle(&mut sessions, Fate::Completed, Some(attempt(0, 1)), false);
    assert_eq!(came(&mut from), ["whole 1 of 1"]);
    assert!(matches!(from.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
}

#[test]
fn a_stream_begins_once_and_ends_as_the_balancer_says() {
    for (fate, last) in [
        (Fate::Completed, "end"),
        (failed(Failure::Reset), "broken"),
        (Fate::Failed(End::TimedOut(TimeoutStage::Total)), "broken"),
        (Fate::Cancelled, "broken"),
    ] {
        let (mut sessions, _messages) = sessions(2);
        let mut from = arrived(&mut sessions, 0);
        sessions.dispatch(order(attempt(0, 0), 0));
        sessions.dispatch(order(attempt(0, 1), 1));
        sessions.acknowledge(attempt(0, 1));
        sessions.acknowledge(attempt(0, 1));
        sessions.close(attempt(0, 0));
        sessions.acknowledge(attempt(0, 0));
        sessions.close(attempt(0, 1));
        settle(&mut sessions, fate, Some(attempt(0, 1)), true);
        assert_eq!(came(&mut from), ["begin 1", last]);
    }
}

#[test]
fn a_stream_without_content_leaves_as_a_whole() {
    let (mut sessions, _messages) = sessions(1);
    let mut from = arrived(&mut sessions, 0);
    sessions.dispatch(order(attempt(0, 0), 0));
    let events = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    sessions.note(GatewayNote::Left(attempt(0, 0), stream(events)));
    settle(&mut sessions, Fate::Completed, Some(attempt(0, 0)), false);
    assert_eq!(came(&mut from), ["begin 0", "piece a", "piece b", "end"]);
}

#[test]
fn only_a_request_at_fault_is_told_what_an_endpoint_said() {
    use Failure::{ClientError, ContentPolicy, NotFound, Overloaded, ServerError, TooLong};
    let refused = |(failure, status): (Failure, u16)| {
        let status = StatusCode::from_u16(status).expect("a status");
        Leftover::Refused(failure, status, Bytes::from_static(b"{\"error\":{}}"))
    };
    for (fate, left, told) in [
        (failed(ClientError), vec![(ClientError, 422)], "refused 422 None"),
        // The last to fail need not be the last to be sent.
        (failed(ClientError), vec![(ClientError, 400), (TooLong, 413)], "refused 400 None"),
        (failed(NotFound), vec![(ClientError, 422), (NotFound, 404)], "refused 404 None"),
        (failed(TooLong), vec![(TooLong, 400)], "refused 400 None"),
        (failed(TooLong), vec![], "refused 400 None"),
        (failed(ContentPolicy), vec![], "refused 400 None"),
        (failed(ClientError), vec![], "refused 502 None"),
        (failed(ServerError), vec![(ClientError, 400)], "refused 502 None"),
        (failed(Overloaded), vec![], "refused 503 Some(7)"),
        (Fate::Rejected(Reject::QueueFull), vec![], "refused 503 Some(7)"),
    ] {
        let (mut sessions, _messages) = sessions(2);
        let mut from = arrived(&mut sessions, 0);
        for (ordinal, status) in (0..).zip(left) {
            sessions.dispatch(order(attempt(0, ordinal), 0));
            sessions.note(GatewayNote::Left(attempt(0, ordinal), refused(status)));
            sessions.close(attempt(0, ordinal));
        }
        settle(&mut sessions, fate, None, false);
        assert_eq!(came(&mut from), [told], "{fate:?}");
    }
}

#[tokio::test]
async fn an_attempt_that_is_closed_never_begins_its_answer() {
    let (mut sessions, mut messages) = sessions(1);
    let mut from = arrived(&mut sessions, 0);
    let mut sent = sessions.dispatch(order(attempt(0, 0), 0));
    let task = tokio::spawn(async move { sent.outlet.first_token().await });
    let first = messages.recv().await;
    assert!(matches!(first, Some(Message::Input(_))), "it asks: {first:?}");
    sessions.close(attempt(0, 0));
    sessions.acknowledge(attempt(0, 0));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished(), "it waits to be stopped");
    assert!(came(&mut from).is_empty());
    task.abort();
    settle(&mut sessions, Fate::Cancelled, None, false);
}

#[tokio::test]
async fn a_slow_client_gets_the_last_messages_later() {
    let (mut sessions, _messages) = sessions(1);
    let (to, mut from) = mpsc::channel(1);
    sessions.note(GatewayNote::Arrived(RequestId(0), client(true), to));
    sessions.dispatch(order(attempt(0, 0), 0));
    let events = vec![Bytes::from_static(b"a"); 5];
    sessions.note(GatewayNote::Left(attempt(0, 0), stream(events)));
    settle(&mut sessions, Fate::Completed, Some(attempt(0, 0)), false);
    let mut count = 0;
    while from.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 7, "the beginning, five pieces, the end");
}

/// What the balancer allows of a request, and what it has been told.
#[derive(Default)]
struct Expected {
    open: Vec<u8>,
    sent: u8,
    begun: Option<u8>,
    /// Attempts that may be the whole answer.
    left: Vec<u8>,
}

/// One step of a request, if the balancer would take it: what is chosen by `pick`.
fn step(sessions: &mut Sessions, request: u64, state: &mut Expected, what: u8, pick: u8) {
    let chosen = |list: &[u8]| (!list.is_empty()).then(|| list[usize::from(pick) % list.len()]);
    match what {
        0 if state.begun.is_none() && state.open.len() < 2 && state.sent < 8 => {
            sessions.dispatch(order(attempt(request, state.sent), u32::from(state.sent)));
            state.open.push(state.sent);
            state.sent += 1;
        }
        1 if state.begun.is_none() => {
            let Some(one) = chosen(&state.open) else { return };
            sessions.acknowledge(attempt(request, one));
            state.begun = Some(one);
            for other in state.open.iter().filter(|other| **other != one) {
                sessions.close(attempt(request, *other));
            }
            state.open = vec![one];
        }
        // Whoever has begun leaves nothing, and whoever leaves something is at its end.
        2 if state.begun.is_none() => {
            let Some(one) = chosen(&state.open) else { return };
            let leftover = if pick.is_multiple_of(2) {
                Leftover::Whole(None, Bytes::from_static(b"x"))
            } else {
                stream(vec![Bytes::from_static(b"x")])
            };
            sessions.note(GatewayNote::Left(attempt(request, one), leftover));
            sessions.close(attempt(request, one));
            state.open.retain(|other| *other != one);
            state.left.push(one);
        }
        3 | 4 => {
            let Some(one) = chosen(&state.open) else { return };
            sessions.close(attempt(request, one));
            state.open.retain(|other| *other != one);
            if what == 3 {
                // What an attempt says that is being stopped comes late.
                let leftover =
                    Leftover::Refused(Failure::ClientError, StatusCode::BAD_REQUEST, Bytes::new());
                sessions.note(GatewayNote::Left(attempt(request, one), leftover));
            }
        }
        _ => {}
    }
}

/// Returns how a request may be settled now.
fn fate(state: &Expected, request: u64, pick: u8) -> Settlement {
    let whole = state.begun.or_else(|| state.left.last().copied());
    let begun = state.begun.is_some();
    let by = |ordinal: Option<u8>| ordinal.map(|ordinal| attempt(request, ordinal));
    let (fate, by) = match (pick % 5, whole) {
        (0 | 1, Some(whole)) => (Fate::Completed, by(Some(whole))),
        (2, _) => (failed(Failure::ClientError), by(state.begun)),
        (3, _) if !begun => (Fate::Rejected(Reject::WaitedTooLong), None),
        (4, _) => (Fate::Cancelled, by(state.begun)),
        _ => (Fate::Failed(End::TimedOut(TimeoutStage::Total)), by(state.begun)),
    };
    Settlement { request: RequestId(request), fate, by, begun }
}

proptest! {
    #[test]
    fn every_request_is_answered_once_and_nothing_of_it_stays(
        steps in prop::collection::vec((0_u64..4, 0_u8..7, any::<u8>()), 0..120),
    ) {
        let (mut sessions, _messages) = sessions(8);
        let mut under_way: BTreeMap<u64, (Expected, mpsc::Receiver<ToClient>)> = BTreeMap::new();
        let mut next = 0;
        let last = (0..4).map(|place| (place, 6, 0));
        for (place, what, pick) in steps.into_iter().chain(last) {
            let request = under_way.keys().nth(place as usize).copied();
            match (what, request) {
                (5, _) if under_way.len() < 4 => {
                    let (to, from) = mpsc::channel(16);
                    sessions.note(GatewayNote::Arrived(RequestId(next), client(pick < 128), to));
                    under_way.insert(next, (Expected::default(), from));
                    next += 1;
                }
                (6, Some(request)) => {
                    let (state, mut from) = under_way.remove(&request).expect("it is there");
                    let answer = fate(&state, request, pick);
                    let (to, messages) = sessions.settle(answer, || 1);
                    deliver(to, messages);
                    let came = came(&mut from);
                    let words: Vec<&str> =
                        came.iter().map(|one| one.split(' ').next().unwrap_or_default()).collect();
                    let done = answer.fate == Fate::Completed;
                    let lawful = match (answer.begun, done) {
                        (true, true) => words == ["begin", "end"],
                        (true, false) => words == ["begin", "broken"],
                        (false, true) => words == ["whole"] || words == ["begin", "piece", "end"],
                        (false, false) => words == ["refused"],
                    };
                    prop_assert!(lawful, "{answer:?}: {came:?}");
                    if let Some(by) = answer.by {
                        let named = came[0].split(' ').nth(1) == Some(&by.ordinal.to_string());
                        prop_assert!(named, "it comes from the attempt that answers: {came:?}");
                    }
                    // What comes later is of no use to anybody.
                    sessions.acknowledge(attempt(request, 0));
                    sessions.close(attempt(request, 0));
                    sessions.note(GatewayNote::Left(attempt(request, 0), Leftover::Whole(None, Bytes::new())));
                }
                (_, Some(request)) => {
                    let (state, _) = under_way.get_mut(&request).expect("it is there");
                    step(&mut sessions, request, state, what, pick);
                }
                _ => {}
            }
            prop_assert_eq!(sessions.under_way.len(), under_way.len());
        }
    }
}
