//! Tests that what the live view says is so: figures, states, tables, the log, and which keys it offers.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::KeyCode;

use super::fixture;
use super::model::{Model, Overlay, Panel, RowsOf};
use super::tests::{keys, model_of, press, render, sent, text};
use super::update::{Msg, update};
use crate::balance::StrategySpec;
use crate::command::{Breakable, Command, Frame, Mode, RunState};
use crate::metrics::catalogue::Unit;
use crate::metrics::expect::ExpectVerdict;
use crate::metrics::{LogEntry, NEVER, Snapshot};
use crate::unit::{PoolId, Span};

fn changed(change: impl FnOnce(&mut Snapshot)) -> Frame {
    let mut snapshot = fixture::snapshot();
    change(&mut snapshot);
    Frame { snapshot: Arc::new(snapshot), ..fixture::frame() }
}

fn screen(frame: Frame, size: (u16, u16)) -> String {
    text(&render(&model_of(frame, size)))
}

fn row(screen: &str, place: usize) -> &str {
    screen.lines().nth(place).unwrap_or_default()
}

#[test]
fn who_had_no_answer_is_in_the_tail_that_is_shown() {
    let shown = screen(fixture::frame(), (200, 60));
    assert!(row(&shown, 1).contains("p99 with failed 60.0s"), "{shown}");
    let never = changed(|shown| shown.window.p99_all = Some(NEVER));
    assert!(row(&screen(never, (200, 60)), 1).contains("p99 with failed ∞"));
    let well = changed(|shown| shown.window.error_share = 0.0);
    assert!(!screen(well, (200, 60)).contains("with failed"));
}

#[test]
fn failures_have_a_lane_above_the_chart_while_there_are_any() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let shown = screen(fixture::frame(), size);
        let lane = shown.lines().find(|line| line.contains("fail ")).expect("a lane");
        assert!(lane.contains('▃') || lane.contains('▁'), "{lane}");
        let well = changed(|shown| {
            let history = Arc::make_mut(&mut shown.history);
            history.points.iter_mut().for_each(|point| point.error_share = 0.0);
        });
        assert!(!screen(well, size).contains("fail "));
    }
}

#[test]
fn a_node_that_fails_and_is_kept_in_does_not_look_well() {
    let frame = changed(|shown| shown.nodes[0].kept_in = true);
    for size in [(80, 24), (120, 40)] {
        let shown = screen(frame.clone(), size);
        let node = shown.lines().find(|line| line.contains("h100-1")).expect("a row");
        assert!(node.contains("✖ failing"), "{node}");
    }
}

#[test]
fn the_tail_is_held_against_what_is_promised() {
    let of = |late: Option<f64>, run: u64| {
        changed(|shown| {
            shown.window.late = late;
            shown.run.p99 = Some(Span::from_millis(run));
        })
    };
    let marked = |frame: Frame| row(&screen(frame, (120, 40)), 1).contains("p99 2.31s▲");
    assert!(marked(of(Some(0.02), 2_300)), "bad throughout is bad");
    assert!(!marked(of(Some(0.005), 100)), "worse than before and within the promise");
    assert!(marked(of(None, 1_000)), "without a promise the run itself is the measure");
    assert!(!marked(of(None, 2_300)));
}

#[test]
fn a_line_says_where_the_promise_is() {
    let shown = screen(fixture::frame(), (120, 40));
    assert!(shown.contains("SLO 4s"), "{shown}");
    let several = changed(|shown| shown.classes[1].slo.total = Some(Span::from_secs(2)));
    let shown = screen(several, (200, 60));
    assert!(shown.contains("SLO search 2s") && shown.contains("SLO chat 4s"), "{shown}");
    let close = changed(|shown| shown.classes[1].slo.total = Some(Span::from_millis(3_900)));
    assert!(screen(close, (80, 24)).contains(" SLO search 3.9s  SLO chat 4s "), "on one row");
    let none = changed(|shown| shown.classes.clear());
    assert!(!screen(none, (120, 40)).contains("SLO"));
}

#[test]
fn few_samples_are_drawn_as_few() {
    let few = changed(|shown| {
        shown.window.samples = 34;
        let history = Arc::make_mut(&mut shown.history);
        history.points.iter_mut().for_each(|point| point.samples = 34);
    });
    let dots = |shown: &str| shown.chars().filter(|c| ('⠁'..='⣿').contains(c)).count();
    let (few, many) = (screen(few, (120, 40)), screen(fixture::frame(), (120, 40)));
    assert!(few.contains("n 34") && !many.contains("n 34"), "{few}");
    assert!(dots(&few) < dots(&many), "dots and no lines");
}

#[test]
fn in_flight_and_queue_do_not_count_the_same_twice() {
    let shown = screen(fixture::frame(), (200, 60));
    assert!(row(&shown, 1).contains("in-fl 109  queue 22"), "131 are in the balancer: {shown}");
}

#[test]
fn without_prices_there_is_no_money() {
    let free = changed(|shown| shown.priced = false);
    let shown = screen(free, (120, 40));
    assert!(!shown.contains("Cost $/h") && !row(&shown, 1).contains("$/h"), "{shown}");
    assert!(shown.contains("Tokens/s"), "{shown}");
}

#[test]
fn shares_of_many_nodes_have_a_decimal() {
    let large = changed(|shown| {
        shown.nodes.iter_mut().for_each(|row| row.share = 0.0012);
        shown.nodes[1].share = 0.0002;
    });
    let shown = screen(large, (120, 40));
    assert!(shown.contains("0.1%") && shown.contains("<.1%"), "{shown}");
}

#[test]
fn a_limit_of_three_digits_is_not_dropped() {
    let large = changed(|shown| {
        (shown.nodes[0].in_flight, shown.nodes[0].capacity) = (118, Some(192));
    });
    assert!(screen(large, (120, 40)).contains("118/192"));
}

#[test]
fn at_the_end_it_is_said_of_when_figures_are() {
    let done = Frame { state: RunState::Done, ..fixture::frame() };
    let shown = screen(done, (200, 60));
    assert!(row(&shown, 1).contains("whole run  after 10s of warm-up"), "{shown}");
    assert!(row(&shown, 1).contains("failovers 782"), "{shown}");
    assert!(shown.contains("the last 10s of the run"), "{shown}");
}

#[test]
fn only_keys_that_do_something_are_offered() {
    let hints = |frame: Frame| {
        let shown = screen(frame, (200, 60));
        shown.lines().last().unwrap_or_default().to_owned()
    };
    let running = hints(fixture::frame());
    let done = hints(Frame { state: RunState::Done, ..fixture::frame() });
    let real = || Frame { mode: Mode::Replay, breakable: Breakable::none(), ..fixture::frame() };
    let replay = hints(real());
    for word in ["pause", "speed", "step", "kill/heal", "strategy"] {
        assert!(running.contains(word), "{word}: {running}");
        assert!(!done.contains(word), "{word}: {done}");
    }
    assert!(done.contains("R restart"), "{done}");
    for word in ["pause", "speed", "step", "kill/heal", "fault", "restart"] {
        assert!(!replay.contains(word), "{word}: {replay}");
    }
    let mocked = hints(Frame { breakable: Breakable::All, ..real() });
    assert!(mocked.contains("kill/heal") && mocked.contains("f fault"), "{mocked}");
    assert!(replay.contains("Space freeze") && replay.contains("strategy"), "{replay}");
}

#[test]
fn keys_that_can_do_nothing_send_nothing() {
    let mut done = model_of(Frame { state: RunState::Done, ..fixture::frame() }, (120, 40));
    keys(&mut done, "j");
    for key in " []\\|.>xa".chars() {
        assert_eq!(sent(&keys(&mut done, &key.to_string())), [], "{key}");
        assert_eq!(done.ui.overlay, Overlay::None, "{key}");
    }
    assert_eq!(sent(&keys(&mut done, "R")), [Command::Restart]);
}

#[test]
fn the_first_line_of_the_picker_is_what_the_scenario_has() {
    let spec = StrategySpec::named("power_of_two").expect("it is listed");
    let planned = || changed(|shown| shown.pools[0].planned = spec.clone());
    let mut model = model_of(planned(), (120, 40));
    keys(&mut model, "a");
    press(&mut model, KeyCode::Home);
    let shown = text(&render(&model));
    assert!(shown.contains("as in the scenario") && shown.contains("power_of_two"), "{shown}");
    let wanted = [Command::Strategy(PoolId(0), spec.clone()), Command::Foresee(Vec::new())];
    assert_eq!(sent(&press(&mut model, KeyCode::Enter)), wanted);
    let mut same = model_of(fixture::frame(), (120, 40));
    keys(&mut same, "a");
    let closed = [Command::Foresee(Vec::new())];
    assert_eq!(sent(&press(&mut same, KeyCode::Enter)), closed, "what is so already stays");
}

#[test]
fn rows_are_of_what_there_is() {
    let after = |mut model: Model| {
        let mut seen = Vec::new();
        loop {
            keys(&mut model, "c");
            seen.push(model.ui.rows);
            if model.ui.rows == RowsOf::Nodes || seen.len() > 9 {
                return seen;
            }
        }
    };
    let some = [RowsOf::Pools, RowsOf::Regions, RowsOf::Classes, RowsOf::Nodes];
    let here = after(model_of(fixture::frame(), (120, 40)));
    assert!(here.iter().all(|rows| some.contains(rows)), "no tenants, no jobs: {here:?}");
    let job = fixture::snapshot().classes[1].clone();
    let with = model_of(changed(|shown| shown.jobs = vec![job]), (120, 40));
    assert_eq!(after(with).iter().rev().nth(1), Some(&RowsOf::Jobs));
    let mut classes = model_of(fixture::frame(), (120, 40));
    while classes.ui.rows != RowsOf::Classes {
        keys(&mut classes, "c");
    }
    let shown = text(&render(&classes));
    assert!(shown.contains("Classes 2") && shown.contains("search"), "{shown}");
    assert!(shown.contains("98.7"), "the worse of the two promises to chat: {shown}");
    let job = fixture::snapshot().classes[1].clone();
    let mut jobs = model_of(changed(|shown| shown.jobs = vec![job]), (120, 40));
    while jobs.ui.rows != RowsOf::Jobs {
        keys(&mut jobs, "c");
    }
    assert!(text(&render(&jobs)).contains("JOBS/S"));
}

#[test]
fn promises_have_ticks_with_their_margins() {
    let verdict = |text: &str, value: f64, limit: f64, held| ExpectVerdict {
        text: text.to_owned(),
        value: Some(value),
        limit,
        held,
        unit: Unit::Share,
    };
    let frame = changed(|shown| {
        shown.expects = vec![
            verdict("failed < 1%", 0.004, 0.01, true),
            verdict("rejected < 0.1%", 0.002, 0.001, false),
        ];
    });
    let shown = screen(frame.clone(), (120, 40));
    let ticks = row(&shown, 2);
    assert!(ticks.contains("1 of 2 held so far"), "{ticks}");
    assert!(ticks.contains("✖ rejected < 0.1%  0.20% (100% over)"), "{ticks}");
    assert!(ticks.contains("✔ failed < 1%  0.40% (60% to spare)"), "{ticks}");
    assert!(!screen(frame, (80, 24)).contains("held so far"));
}

#[test]
fn the_log_stays_where_it_is_read() {
    let mut model = model_of(fixture::frame(), (80, 24));
    model.ui.focus = Panel::Log;
    keys(&mut model, "jj");
    let read = |shown: &str| shown.lines().nth(15).unwrap_or_default().to_owned();
    let before = (model.log_top(), read(&text(&render(&model))));
    assert_eq!(before.0, 2);
    let frame = changed(|shown| {
        for id in 0..5 {
            let newest = shown.log.last().expect("entries").clone();
            shown.log.push(LogEntry { id: newest.id + 1 + id, text: "later".to_owned(), ..newest });
        }
    });
    update(&mut model, Msg::Frame(Arc::new(frame), Duration::from_secs(1)));
    assert_eq!(model.log_top(), 7, "five have come on top");
    let after = read(&text(&render(&model)));
    let right = |line: &str| line.chars().skip(46).collect::<String>();
    assert_eq!(right(&after), right(&before.1));
    keys(&mut model, "g");
    assert_eq!(model.log_top(), 0);
}

#[test]
fn times_in_the_log_keep_their_minutes_and_ends_are_not_cut() {
    let shown = screen(fixture::frame(), (80, 24));
    assert!(shown.contains("01:43 ↯B you: crash h100-3"), "{shown}");
    assert!(shown.contains("eu → us backup ×782"), "{shown}");
    let wide = screen(fixture::frame(), (200, 60));
    assert!(wide.contains("failover eu → us backup  38.3/s, 782 so far"), "{wide}");
    assert!(wide.contains("×31 in 3s"), "{wide}");
}

#[test]
fn a_notice_makes_room_again() {
    let mut model = model_of(fixture::frame(), (120, 40));
    keys(&mut model, "x");
    let last = |model: &Model| text(&render(model)).lines().last().unwrap_or_default().to_owned();
    assert!(last(&model).contains("is selected"));
    for second in 0..6 {
        let at = Duration::from_secs(second);
        update(&mut model, Msg::Frame(Arc::new(fixture::frame()), at));
    }
    assert!(last(&model).contains("Space pause"), "{}", last(&model));
}

#[test]
fn a_clock_beyond_the_end_says_what_is_waited_for() {
    let late =
        changed(|shown| shown.now = fixture::frame().end.expect("an end") + Span::from_secs(9));
    let shown = screen(late, (200, 60));
    assert!(row(&shown, 0).contains("10:09.0 after 10:00, draining"), "{shown}");
}

#[test]
fn marks_that_meet_keep_their_letters() {
    let frame = changed(|shown| {
        let history = Arc::make_mut(&mut shown.history);
        let first = history.marks[0].clone();
        for letter in ['C', 'D'] {
            history.marks.push(crate::metrics::MarkAt { letter, ..first.clone() });
        }
    });
    let shown = screen(frame, (120, 40));
    let axis = shown.lines().find(|line| line.contains("-60s") || line.contains("-1m"));
    assert!(axis.is_some_and(|axis| axis.contains("ACD")), "{shown}");
}
