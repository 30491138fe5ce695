//! The list of faults: what it offers, what its keys come to, how it looks.

use std::sync::Arc;

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use super::{fixture, keys, model, model_of, press, render, sent, text};
use crate::command::{Breakable, Command, Foreseen, Frame, Mode, Prospects};
use crate::node::fault::{FAULTS, FaultPattern};
use crate::tui::faults::{FaultPalette, offered, target};
use crate::tui::model::Overlay;
use crate::unit::{Span, Time};

/// What is commanded, beside what is to be foreseen.
fn done(effects: &[super::Effect]) -> Vec<String> {
    let text = |command| match command {
        Command::Do(text) => Some(text),
        _ => None,
    };
    sent(effects).into_iter().filter_map(text).collect()
}

#[test]
fn every_fault_is_offered_unless_it_has_a_rhythm() {
    let palette = FaultPalette::default();
    for (at, fault) in offered().iter().enumerate() {
        assert!(palette.built(at).is_ok(), "{} as it is first shown", fault.name);
    }
    for fault in FAULTS {
        let rhythm = matches!(fault.build(&Default::default()), Ok(FaultPattern::Cycle { .. }));
        assert_ne!(offered().iter().any(|one| one.name == fault.name), rhythm, "{}", fault.name);
    }
}

#[test]
fn letters_narrow_enter_injects_escape_does_nothing() {
    let mut model = model((80, 24));
    keys(&mut model, "jjf");
    assert_eq!(model.ui.overlay, Overlay::Faults);
    keys(&mut model, "slo");
    let injected = press(&mut model, KeyCode::Enter);
    assert_eq!(done(&injected), [r#"slow = { node = "h100-2", factor = 4, for = "60s" }"#]);
    assert_eq!(model.ui.overlay, Overlay::None);
    keys(&mut model, "f");
    assert!(done(&press(&mut model, KeyCode::Esc)).is_empty());
    assert_eq!(model.ui.overlay, Overlay::None);
    keys(&mut model, "fnosuch");
    assert!(done(&press(&mut model, KeyCode::Enter)).is_empty());
    assert!(model.ui.notice.as_ref().is_some_and(|notice| notice.contains("no fault")));
}

#[test]
fn arrows_change_values_and_tab_whom_it_hits() {
    let mut model = model((80, 24));
    keys(&mut model, "jfslow");
    let said = |codes: &[KeyCode]| {
        for code in codes {
            press(&mut model, *code);
        }
        let injected = press(&mut model, KeyCode::Enter);
        keys(&mut model, "fslow");
        done(&injected).concat()
    };
    use KeyCode::{Down, Left, Right, Tab, Up};
    let said: Vec<String> = [
        &[Right, Up][..],
        &[Right, Down, Down, Right, Up],
        &[Left, Up, Up, Up],
        &[Tab],
        &[Tab],
        &[Tab, Left, Down],
    ]
    .into_iter()
    .map(said)
    .collect();
    assert_eq!(
        said,
        [
            r#"slow = { node = "h100-1", factor = 8, for = "60s" }"#,
            r#"slow = { node = "h100-1", factor = 2, ttft = 2, for = "60s" }"#,
            r#"slow = { node = "h100-1", factor = 2, ttft = 2 }"#,
            r#"slow = { pool = "chat", factor = 2, ttft = 2 }"#,
            r#"slow = { region = "z1", factor = 2, ttft = 2 }"#,
            r#"slow = { node = "h100-1", factor = 2, ttft = 2, for = "5m" }"#,
        ]
    );
}

#[test]
fn what_would_come_of_each_is_asked_once_and_again_when_something_changes() {
    let mut model = model((80, 24));
    let asked = |effects: Vec<super::Effect>| match sent(&effects).as_slice() {
        [Command::Foresee(deeds)] => Some(deeds.len()),
        _ => None,
    };
    assert_eq!(asked(keys(&mut model, "jf")), Some(offered().len()));
    assert_eq!(asked(keys(&mut model, "slow")), None);
    assert_eq!(asked(press(&mut model, KeyCode::Tab)), Some(offered().len()));
    press(&mut model, KeyCode::Right);
    assert_eq!(asked(press(&mut model, KeyCode::Up)), Some(offered().len()));
    assert_eq!(asked(press(&mut model, KeyCode::Esc)), Some(0));
}

#[test]
fn healing_all_heals_the_pools_in_which_something_was_done() {
    let mut frame = fixture::frame();
    let heal = |frame: Frame| {
        let mut model = model_of(frame, (80, 24));
        done(&keys(&mut model, "fH"))
    };
    let snapshot = Arc::make_mut(&mut frame.snapshot);
    snapshot.nodes.iter_mut().for_each(|row| row.by_hand = false);
    assert!(heal(frame.clone()).is_empty());
    Arc::make_mut(&mut frame.snapshot).nodes[2].by_hand = true;
    assert_eq!(heal(frame), [r#"heal = { pool = "chat" }"#]);
}

#[test]
fn real_endpoints_get_no_faults() {
    let frame = || Frame { mode: Mode::Replay, breakable: Breakable::none(), ..fixture::frame() };
    let mut model = model_of(frame(), (80, 24));
    assert!(keys(&mut model, "f").is_empty());
    assert_eq!(model.ui.overlay, Overlay::None);
    assert!(model.ui.notice.as_ref().is_some_and(|notice| notice.contains("simulation")));
    assert!(sent(&keys(&mut model, "jx")).is_empty());
}

#[test]
fn mock_servers_among_real_endpoints_get_faults() {
    let second = fixture::frame().snapshot.nodes[1].id;
    let breakable = Breakable::Those(Arc::new([second]));
    let frame = Frame { mode: Mode::Replay, breakable, ..fixture::frame() };
    let mut model = model_of(frame, (120, 40));
    // Nothing is foreseen of what is real.
    assert!(sent(&keys(&mut model, "f")).is_empty());
    assert_eq!(target(&model).map(|target| target.nodes), Some(1));
    let injected = done(&press(&mut model, KeyCode::Enter));
    assert!(injected.len() == 1 && injected[0].contains("h100-2"), "{injected:?}");
    model.ui.selected = Some(fixture::frame().snapshot.nodes[0].id);
    assert!(sent(&keys(&mut model, "x")).is_empty(), "this one is real");
    model.ui.selected = Some(second);
    assert_eq!(sent(&keys(&mut model, "x")), [Command::Kill(second)]);
}

#[test]
fn fault_pictures() {
    let seen = |p99, failed, dollars_per_hour| Foreseen {
        p99: Some(Span::from_millis(p99)),
        failed,
        dollars_per_hour,
        line: Arc::default(),
    };
    let row = |at: usize| match at {
        0 => Some(Foreseen { p99: None, ..seen(0, 0.031, 31.0) }),
        _ if at % 7 == 6 => None,
        _ => Some(seen(900 + at as u64 * 130, 0.001 * at as f64, 47.9 - at as f64)),
    };
    let forecast = Prospects {
        from: Time::ZERO + Span::from_secs(133),
        until: Time::MAX,
        as_is: Some(seen(1_750, 0.009, 47.9)),
        rows: (0..offered().len()).map(row).collect(),
    };
    let frame = Frame { forecast: Some(Arc::new(forecast)), ..fixture::frame() };
    let picture = |size, pressed: &str, codes: &[KeyCode]| {
        let mut model = model_of(frame.clone(), size);
        keys(&mut model, pressed);
        for code in codes {
            press(&mut model, *code);
        }
        text(&render(&model))
    };
    assert_snapshot!("faults_80x24", picture((80, 24), "jjf", &[KeyCode::Down, KeyCode::Down]));
    assert_snapshot!("faults_120x40", picture((120, 40), "jjfslow", &[KeyCode::Right]));
    assert_snapshot!("faults_200x60", picture((200, 60), "jjf", &[KeyCode::Tab, KeyCode::Tab]));
    assert_snapshot!("faults_60x16", picture((60, 16), "jjfrate", &[]));
}
