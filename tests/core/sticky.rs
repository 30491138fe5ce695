//! Sessions that stay with their node: hard or soft about it, by what requests and nodes name.

use std::collections::BTreeSet;

use crate::common;
use crate::common::story::{RESET, Story, attempt, usage};
use plimsoll::balance::{
    Config, Fate, FleetChange, Input, Outcome, Progress, Reject, Request, SessionKey,
    SessionKeyKind, StickySpec,
};
use plimsoll::unit::{NodeId, RequestId, Span, Tokens};

fn sticky(hard: bool) -> Config {
    let mut config = common::config(3, "round_robin", 1);
    let by = vec![SessionKeyKind::User, SessionKeyKind::Session];
    config.routes[0].sticky = Some(StickySpec { by, hard, entries: 100, ttl: Span::from_secs(60) });
    config
}

fn come(story: &mut Story, id: u64, session: Option<u64>, keys: &[SessionKey]) -> Option<NodeId> {
    let request = Request::new(RequestId(id), story.now);
    let (prompt, keys) = (Tokens(10), keys.to_vec().into());
    story.feed(Input::Arrive(Request { prompt, session, keys, ..request }));
    story.dispatched().first().map(|(_, node)| *node)
}

/// A request of a session that is answered at once.
fn turn(story: &mut Story, id: u64, session: u64) -> NodeId {
    let node = come(story, id, Some(session), &[]).expect("a node");
    story.finish(id, 0, Outcome::Done(usage(10, 5)));
    node
}

fn fate(story: &Story) -> Option<Fate> {
    story.settled().map(|settled| settled.fate)
}

const NOT_AT_HOME: Option<Fate> = Some(Fate::Rejected(Reject::NotAtHome));

#[test]
fn every_turn_of_a_session_goes_where_the_first_one_went() {
    for hard in [false, true] {
        let mut story = Story::new(sticky(hard));
        let homes = [0, 1, 2].map(|session| turn(&mut story, session, session));
        let all: BTreeSet<NodeId> = homes.into();
        assert_eq!(all.len(), 3, "each where its turn was");
        for id in 3..30 {
            let session = id * id % 3;
            assert_eq!(turn(&mut story, id, session), homes[session as usize], "{id}");
        }
    }
}

#[test]
fn a_hard_session_is_turned_away_where_its_node_cannot_serve_it_and_comes_back_to_it() {
    let mut story = Story::new(sticky(true));
    let home = turn(&mut story, 0, 7);
    story.feed(Input::Fleet(FleetChange::Drain(home)));
    assert_eq!(come(&mut story, 1, Some(7), &[]), None);
    assert_eq!(fate(&story), NOT_AT_HOME);
    assert_ne!(turn(&mut story, 2, 8), home, "others are served");
    story.feed(Input::Fleet(FleetChange::Resume(home)));
    assert_eq!(turn(&mut story, 3, 7), home);
}

#[test]
fn a_hard_session_does_not_wait_in_the_way_of_others() {
    let mut config = sticky(true);
    for node in &mut config.nodes {
        node.limits.concurrency = Some(1);
    }
    let mut story = Story::new(config);
    let home = turn(&mut story, 0, 7);
    assert_eq!(come(&mut story, 1, Some(7), &[]), Some(home));
    assert_eq!(come(&mut story, 2, Some(7), &[]), None);
    assert_eq!(fate(&story), NOT_AT_HOME, "its node is full");
}

#[test]
fn a_soft_session_moves_where_it_is_served_and_stays_there() {
    let mut story = Story::new(sticky(false));
    let home = turn(&mut story, 0, 7);
    story.feed(Input::Fleet(FleetChange::Drain(home)));
    let other = turn(&mut story, 1, 7);
    assert_ne!(other, home);
    story.feed(Input::Fleet(FleetChange::Resume(home)));
    for id in 2..9 {
        assert_eq!(turn(&mut story, id, 7), other, "{id}");
    }
}

#[test]
fn a_session_sticks_to_who_answers_it_not_to_who_fails_it() {
    for hard in [false, true] {
        let mut story = Story::new(sticky(hard));
        let first = come(&mut story, 0, Some(7), &[]).expect("a node");
        story.finish(0, 0, RESET);
        story.pass(1_000);
        let second = story.balancer.node_of(attempt(0, 1)).expect("it is tried again");
        assert_ne!(first, second);
        story.feed(Input::Progress(attempt(0, 1), Progress::FirstToken));
        // The second turn need not wait for the end of the first.
        assert_eq!(come(&mut story, 1, Some(7), &[]), Some(second));
        story.finish(0, 1, Outcome::Done(usage(10, 5)));
        story.finish(1, 0, RESET);
        story.pass(2_000);
        let again = story.balancer.node_of(attempt(1, 1)).expect("it is tried again");
        assert_eq!(again == second, hard, "only a soft one is tried elsewhere");
        story.finish(1, 1, Outcome::Done(usage(10, 5)));
        assert_eq!(turn(&mut story, 2, 7), again);
    }
}

#[test]
fn the_surest_name_counts_and_what_a_node_has_named_is_served_there_alone() {
    let mut story = Story::new(sticky(false));
    let user = [SessionKey { by: SessionKeyKind::User, hash: 5 }];
    let home = come(&mut story, 0, Some(1), &user).expect("a node");
    let answer = SessionKey { by: SessionKeyKind::PreviousResponse, hash: 9 };
    story.feed(Input::Keeps(attempt(0, 0), answer));
    story.finish(0, 0, Outcome::Done(usage(10, 5)));
    assert_eq!(
        come(&mut story, 1, Some(2), &user),
        Some(home),
        "the user comes before the session"
    );
    story.finish(1, 0, Outcome::Done(usage(10, 5)));
    assert_eq!(come(&mut story, 2, None, &[answer]), Some(home));
    story.finish(2, 0, Outcome::Done(usage(10, 5)));
    story.feed(Input::Fleet(FleetChange::Drain(home)));
    assert_eq!(come(&mut story, 3, None, &[answer]), None);
    assert_eq!(fate(&story), NOT_AT_HOME, "nobody else has it, soft as the route may be");
    // Word of an attempt that is over comes too late.
    story.feed(Input::Keeps(attempt(2, 0), SessionKey { hash: 10, ..answer }));
    assert_eq!(story.balancer.totals().late_words, 1);
}
