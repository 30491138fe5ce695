//! What the other decision would have come to: when it is asked for, and what is said of it; and what is
//! foreseen, ahead of now.

use std::sync::Arc;

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use super::{fixture, keys, model_of, press, render, sent, text};
use crate::balance::{End, Fate, Reject};
use crate::command::{
    AheadPoint, Command, Foreseen, Frame, Mode, OtherChoice, Prospects, Regret, RegretFound,
    RequestEnd, RunState,
};
use crate::metrics::AttemptOutcome;
use crate::tui::faults::offered;
use crate::unit::{Cost, Span, Time};

/// What was asked of the engine about decisions.
fn doubts(effects: &[super::Effect]) -> Vec<Option<OtherChoice>> {
    let doubt = |command| match command {
        Command::Doubt(choice) => Some(choice),
        _ => None,
    };
    sent(effects).into_iter().filter_map(doubt).collect()
}

/// The newest decision of the fixture, and its runner-up.
fn newest(frame: &Frame) -> OtherChoice {
    let one = frame.snapshot.decisions.last().expect("decisions were explained");
    OtherChoice { attempt: one.attempt, node: one.why.runner_up.expect("it had one").node }
}

#[test]
fn a_decision_is_doubted_while_it_stands_still_and_no_longer() {
    let running = fixture::explained();
    let choice = newest(&running);
    let mut model = model_of(running.clone(), (120, 40));
    assert_eq!(doubts(&keys(&mut model, "4")), [], "the newest changes all the time");
    assert_eq!(doubts(&keys(&mut model, "w")), [Some(choice)], "a pinned one does not");
    assert_eq!(doubts(&keys(&mut model, "w")), [None]);
    assert_eq!(doubts(&press(&mut model, KeyCode::Down)).len(), 1, "the next older one");
    assert_eq!(doubts(&keys(&mut model, "1")), [None], "nobody looks");
    let paused = Frame { state: RunState::Paused, ..running.clone() };
    let mut model = model_of(paused, (120, 40));
    assert_eq!(doubts(&keys(&mut model, "4")), [Some(choice)]);
    let real = Frame { mode: Mode::Replay, ..running };
    let mut model = model_of(real, (120, 40));
    assert_eq!(doubts(&keys(&mut model, "4w")), [], "real requests are sent once");
    let screen = text(&render(&model));
    assert!(screen.contains("cannot be known"), "{screen}");
}

fn end(millis: u64, fate: Fate) -> RequestEnd {
    let took = Span::from_millis(millis);
    RequestEnd { at: Time::ZERO + Span::from_secs(60), fate, took, cost: Cost::ZERO }
}

/// What is said of the newest decision.
fn said(found: RegretFound, size: (u16, u16)) -> String {
    let mut frame = fixture::explained();
    let choice = newest(&frame);
    frame.regret = Some(Arc::new(Regret { choice, found }));
    let mut model = model_of(frame, size);
    keys(&mut model, "4w");
    text(&render(&model))
}

#[test]
fn regret_is_told_of_what_is_known_and_of_nothing_else() {
    let (done, gone) = (Fate::Completed, Fate::Rejected(Reject::QueueFull));
    let known = |chosen, other| RegretFound::Known { chosen, other };
    for (found, words) in [
        (known(end(2_310, done), end(1_800, done)), "would have taken 1.80s (regret 0.51s)"),
        (known(end(1_800, done), end(2_310, done)), "(no regret: 0.51s more)"),
        (known(end(1_800, done), end(1_800, done)), "(no difference)"),
        (known(end(1_800, done), end(9_000, gone)), "it would have been rejected (no regret)"),
        (known(end(9_000, gone), end(1_800, done)), "(regret: it would have been answered)"),
        (known(end(9_000, gone), end(9_000, gone)), "(no regret: neither answers)"),
        (RegretFound::Waiting, "is being found out"),
        (RegretFound::Unknown, "was not found out in time"),
    ] {
        let screen = said(found, (200, 60));
        assert!(screen.contains(words), "{words}: {screen}");
    }
    // What was found out of another decision is not said of this one.
    let mut frame = fixture::explained();
    let choice = OtherChoice { node: crate::unit::NodeId(77), ..newest(&frame) };
    frame.regret = Some(Arc::new(Regret { choice, found: RegretFound::Unknown }));
    let mut model = model_of(frame, (200, 60));
    keys(&mut model, "4w");
    assert!(text(&render(&model)).contains("is being found out"));
}

#[test]
fn how_the_attempt_ended_stays_known_when_it_has_left_the_picture() {
    let mut frame = fixture::explained();
    let attempt = newest(&frame).attempt;
    let outcome = AttemptOutcome {
        attempt,
        at: frame.snapshot.now,
        end: End::Done,
        took: Span::from_millis(1_230),
        first_token: Some(Span::from_millis(410)),
        cost: Cost(1_450_000_000),
    };
    let mut model = model_of(frame.clone(), (120, 40));
    keys(&mut model, "4w");
    assert!(text(&render(&model)).contains("has been at it for"));
    Arc::make_mut(&mut frame.snapshot).outcomes = vec![outcome];
    let see = |model: &mut super::Model, frame: &Frame| {
        let at = std::time::Duration::from_secs(1);
        super::update(model, super::Msg::Frame(Arc::new(frame.clone()), at));
        text(&render(model))
    };
    let words = "answered within 1.23s · first token 0.41s · $0.00145";
    assert!(see(&mut model, &frame).contains(words));
    let snapshot = Arc::make_mut(&mut frame.snapshot);
    (snapshot.outcomes, snapshot.decisions) = (Vec::new(), Vec::new());
    assert!(see(&mut model, &frame).contains(words), "it is pinned");
}

#[test]
fn regret_pictures() {
    let (chosen, other) = (end(2_310, Fate::Completed), end(1_800, Fate::Completed));
    let found = RegretFound::Known { chosen, other };
    assert_snapshot!("regret_80x24", said(found, (80, 24)));
    assert_snapshot!("regret_120x40", said(found, (120, 40)));
}

/// A run of which a crash is foreseen: its p99 rises to eight seconds and falls again.
fn foreseen() -> Frame {
    let frame = fixture::frame();
    let from = frame.snapshot.now;
    let line = |rise: f64| {
        let point = |step: u64| {
            let since = step as f64 / 2.0;
            let p99 = 2.0 + rise * (-(since - 8.0).powi(2) / 20.0).exp();
            let at = from + Span::from_seconds(since);
            AheadPoint { at, p99: Some(Span::from_seconds(p99)), samples: 4_000 }
        };
        (1..=120).map(point).collect()
    };
    let seen = |rise| {
        let (p99, line) = (Some(Span::from_millis(2_000)), line(rise));
        Foreseen { p99, failed: 0.0, dollars_per_hour: 47.9, line }
    };
    let forecast = Prospects {
        from,
        until: Time::MAX,
        as_is: Some(seen(0.0)),
        rows: offered().iter().map(|_| Some(seen(6.0))).collect(),
    };
    Frame { forecast: Some(Arc::new(forecast)), ..frame }
}

#[test]
fn what_is_foreseen_is_drawn_only_while_its_list_is_open() {
    let mut model = model_of(foreseen(), (200, 60));
    let before = text(&render(&model));
    assert!(!before.contains("- - crash") && before.contains(" now"));
    keys(&mut model, "jjf");
    let open = text(&render(&model));
    let fault = offered()[0].name;
    assert!(open.contains(&format!("- - {fault}")) && open.contains("- - as is"), "{open}");
    assert!(
        open.contains("-40.0s") && open.contains("+20.0s"),
        "now has a place of its own: {open}"
    );
    press(&mut model, KeyCode::Esc);
    assert!(!text(&render(&model)).contains("- - "));
}

#[test]
fn ghost_pictures() {
    for (name, size) in [("80x24", (80, 24)), ("120x40", (120, 40)), ("200x60", (200, 60))] {
        let mut model = model_of(foreseen(), size);
        keys(&mut model, "jjf");
        assert_snapshot!(format!("ghost_{name}"), text(&render(&model)));
    }
}
