//! Tests of the whole screen: pictures as text at several sizes, keys to commands, and that
//! nothing anyone presses or any engine sends makes it panic.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use insta::assert_snapshot;
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::Options;
use super::fixture;
use super::model::{Model, Overlay, Panel, RANGE_DEFAULT, SortKey};
use super::tab::View;
use super::theme::ThemeName;
use super::update::{Effect, Msg, update};
use super::{Exit, view};
use crate::balance::{NodeState, StrategySpec, Term, Terms};
use crate::command::{Command, Frame, Mode, Pace, RunState};
use crate::metrics::{LogEntry, LogLevel, NodeRow, PoolRow, PressedRow, Snapshot};
use crate::unit::{NodeId, PoolId, Span, Time};

mod faults;
mod hindsight;
mod rows;

pub(super) fn model_of(frame: Frame, size: (u16, u16)) -> Model {
    let mut model = Model::new(&Options::default());
    update(&mut model, Msg::Resize(size.0, size.1));
    update(&mut model, Msg::Frame(Arc::new(frame), Duration::ZERO));
    model
}

pub(super) fn model(size: (u16, u16)) -> Model {
    model_of(fixture::frame(), size)
}

pub(super) fn press(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

pub(super) fn keys(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|key| press(model, KeyCode::Char(key))).collect()
}

pub(super) fn render(model: &Model) -> Buffer {
    let (columns, rows) = model.ui.size;
    let area = Rect::new(0, 0, columns, rows);
    let mut buf = Buffer::empty(area);
    view::view(model, area, &mut buf);
    buf
}

pub(super) fn text(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buf.area.height {
        let row: String = (0..buf.area.width).map(|x| buf[(x, y)].symbol()).collect();
        writeln!(out, "{}", row.trim_end()).unwrap();
    }
    out
}

#[test]
fn what_load_makes_routes_do_stands_in_the_first_row() {
    let row = |route: &str, level: Option<&str>, shed: &[&str]| PressedRow {
        route: route.to_owned(),
        level: level.map(str::to_owned),
        shed: shed.iter().map(|word| (*word).to_owned()).collect(),
    };
    let one = vec![row("", Some("clamp"), &["sheddable", "normal"])];
    let two = vec![row("chat", Some("queue"), &[]), row("search", None, &["sheddable"])];
    for (pressed, words) in [
        (one, "ladder clamp, sheds sheddable, normal"),
        (two, "chat: ladder queue +1"),
        (vec![row("", None, &["sheddable"])], "sheds sheddable"),
    ] {
        let mut frame = fixture::frame();
        Arc::make_mut(&mut frame.snapshot).pressed = pressed;
        for size in [(120, 40), (80, 24)] {
            let screen = text(&render(&model_of(frame.clone(), size)));
            assert!(screen.lines().next().expect("a row").contains(words), "{screen}");
        }
    }
}

#[test]
fn a_panic_stands_in_the_first_row() {
    for (panics, words) in [
        (vec![""], " PANIC, nothing is well"),
        (vec!["chat", "code"], " chat: PANIC, nothing is well +1"),
    ] {
        let mut frame = fixture::frame();
        let panics = panics.into_iter().map(str::to_owned).collect();
        Arc::make_mut(&mut frame.snapshot).panics = panics;
        for size in [(120, 40), (80, 24)] {
            let screen = text(&render(&model_of(frame.clone(), size)));
            assert!(screen.lines().next().expect("a row").contains(words), "{screen}");
        }
    }
}

#[test]
fn tabs_stand_at_the_right_end_and_their_numbers_never_go() {
    let first_row = |size, pressed| {
        let shown = picture(size, pressed);
        shown.lines().next().expect("a row").to_owned()
    };
    assert!(first_row((120, 40), "").ends_with("1Live 2Compare 3Latency 4Why 5Events"));
    assert!(first_row((80, 24), "3").ends_with("1Live 2Cmp 3Lat 4Why 5Evt"));
    assert!(first_row((60, 16), "3").ends_with("1 2 3Latency 4 5"));
    for (key, name) in [("1", "1Live"), ("2", "2Compare"), ("5", "5Events")] {
        assert!(first_row((60, 16), key).contains(name));
    }
}

#[test]
fn a_number_shows_its_view_and_escape_goes_back() {
    let mut model = model((120, 40));
    for view in View::ALL {
        keys(&mut model, &view.number().to_string());
        assert_eq!(model.ui.view, view);
        press(&mut model, KeyCode::Esc);
        assert_eq!(model.ui.view, View::Live);
    }
}

pub(super) fn picture(size: (u16, u16), pressed: &str) -> String {
    let mut model = model(size);
    keys(&mut model, pressed);
    text(&render(&model))
}

#[test]
fn live_pictures() {
    // Five presses of `s` and more sort by p99; then the selection goes to the second row.
    let by_p99 = "s9jj";
    assert_snapshot!("live_80x24", picture((80, 24), by_p99));
    assert_snapshot!("live_120x40", picture((120, 40), by_p99));
    assert_snapshot!("live_200x60", picture((200, 60), by_p99));
    assert_snapshot!("live_60x16", picture((60, 16), by_p99));
    assert_snapshot!("live_40x10", picture((40, 10), by_p99));
}

#[test]
fn help_pictures() {
    assert_snapshot!("help_80x24", picture((80, 24), "?"));
    assert_snapshot!("help_60x30", picture((60, 30), "?"));
    assert_snapshot!("help_120x40", picture((120, 40), "?"));
}

/// A list in which the second line is selected.
fn list(size: (u16, u16), pressed: &str) -> String {
    let mut model = model(size);
    keys(&mut model, pressed);
    press(&mut model, KeyCode::Down);
    text(&render(&model))
}

#[test]
fn picker_pictures() {
    assert_snapshot!("picker_80x24", list((80, 24), "a"));
    assert_snapshot!("picker_120x40", list((120, 40), "a"));
}

fn explained(size: (u16, u16), pressed: &str) -> Model {
    let mut model = model_of(fixture::explained(), size);
    keys(&mut model, pressed);
    model
}

#[test]
fn why_pictures() {
    let picture = |size, pressed| text(&render(&explained(size, pressed)));
    assert_snapshot!("why_80x24", picture((80, 24), "w"));
    assert_snapshot!("why_120x40", picture((120, 40), "wjj"));
    assert_snapshot!("why_200x60", picture((200, 60), "wj"));
    assert_snapshot!("why_60x16", picture((60, 16), "w"));
    assert_snapshot!("why_turn_120x40", picture((120, 40), "wjjT"));
    let mut empty = model((80, 24));
    keys(&mut empty, "w");
    assert_snapshot!("why_empty_80x24", text(&render(&empty)));
}

#[test]
fn decisions_are_explained_only_while_somebody_looks_at_them() {
    let mut model = model((80, 24));
    assert_eq!(sent(&keys(&mut model, "w")), [Command::Explain(true)]);
    assert_eq!(sent(&keys(&mut model, "wjkG ")), [Command::Pause(true)]);
    assert_eq!(sent(&press(&mut model, KeyCode::Esc)), [Command::Explain(false)]);
    assert_eq!(sent(&press(&mut model, KeyCode::Esc)), []);
}

#[test]
fn a_pinned_decision_stays_and_the_newest_is_followed_again() {
    let mut model = explained((120, 40), "w");
    let request = |model: &Model| model.inspected().map(|one| one.attempt.request.0);
    let newest = request(&model);
    keys(&mut model, "jj");
    let third = request(&model);
    assert_eq!(third, newest.map(|id| id - 2));
    // Another frame, in which it has left the ring.
    let mut snapshot = (*fixture::explained().snapshot).clone();
    snapshot.decisions.drain(..39);
    let frame = Frame { snapshot: Arc::new(snapshot), ..fixture::frame() };
    update(&mut model, Msg::Frame(Arc::new(frame), Duration::ZERO));
    assert_eq!((request(&model), model.inspected_row()), (third, None));
    keys(&mut model, "w");
    assert_eq!(request(&model), newest);
    keys(&mut model, "jkg");
    assert!(model.ui.pinned.is_none());
}

#[test]
fn expanded_picture() {
    let mut model = model((80, 24));
    press(&mut model, KeyCode::Tab);
    keys(&mut model, "e-");
    assert_snapshot!("expanded_80x24", text(&render(&model)));
}

#[test]
fn ascii_picture_is_ascii() {
    let shown = picture((120, 40), "Tj");
    assert_snapshot!("ascii_120x40", shown);
    let odd: String = shown.chars().filter(|c| !c.is_ascii()).collect();
    assert_eq!(odd, "", "only ASCII");
}

#[test]
fn empty_pictures() {
    let empty = Frame { snapshot: Arc::new(Snapshot::default()), ..fixture::frame() };
    assert_snapshot!("empty_80x24", text(&render(&model_of(empty.clone(), (80, 24)))));
    assert_snapshot!("empty_120x40", text(&render(&model_of(empty, (120, 40)))));
    let mut waiting = Model::new(&Options::default());
    update(&mut waiting, Msg::Resize(80, 24));
    assert_snapshot!("waiting_80x24", text(&render(&waiting)));
}

#[test]
fn styles_of_the_mono_theme() {
    let mut model = Model::new(&Options { no_color: true, ..Options::default() });
    update(&mut model, Msg::Resize(80, 24));
    update(&mut model, Msg::Frame(Arc::new(fixture::frame()), Duration::ZERO));
    keys(&mut model, "s9jj");
    let buf = render(&model);
    for cell in &buf.content {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "no colours at all");
    }
    let letter = |modifier: Modifier| match modifier {
        m if m.is_empty() => '.',
        m if m == Modifier::BOLD | Modifier::REVERSED => 'X',
        m if m.contains(Modifier::REVERSED) => 'r',
        m if m.contains(Modifier::BOLD) => 'b',
        m if m.contains(Modifier::UNDERLINED) => 'u',
        m if m.contains(Modifier::ITALIC) => 'i',
        m if m.contains(Modifier::DIM) => 'd',
        _ => '?',
    };
    let mut map = "b bold, d dim, u underlined, i italic, r reversed, X bold reversed\n".to_owned();
    for y in 0..24 {
        let row: String = (0..80).map(|x| letter(buf[(x, y)].modifier)).collect();
        writeln!(map, "{row}").unwrap();
    }
    assert_snapshot!("styles_mono_80x24", map);
}

pub(super) fn sent(effects: &[Effect]) -> Vec<Command> {
    let send = |effect: &Effect| match effect {
        Effect::Send(command) => Some(command.clone()),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

#[test]
fn keys_become_commands() {
    let mut model = model((80, 24));
    let mut of = |pressed: &str| sent(&keys(&mut model, pressed));
    assert_eq!(of(" "), [Command::Pause(true)]);
    assert_eq!(of(" "), [Command::Pause(false)], "before a frame has told of the first");
    assert_eq!(of("]]"), [8.0, 16.0].map(|times| Command::Pace(Pace::Times(times))));
    assert_eq!(of("["), [Command::Pace(Pace::Times(8.0))]);
    assert_eq!(of("\\|"), [Pace::Times(1.0), Pace::Fastest].map(Command::Pace));
    assert_eq!(of(".>"), [Command::StepInput, Command::StepTick]);
    assert_eq!(of("R"), [Command::Restart]);
    assert_eq!(of("x"), [], "nothing is selected yet");
    assert_eq!(of("jx"), [Command::Kill(NodeId(1))]);
    assert_eq!(of("x"), [Command::Heal(NodeId(1))], "before a frame has told of the first");
    assert_eq!(of("jx"), [Command::Heal(NodeId(2))], "it was killed by hand");
}

#[test]
fn a_strategy_is_chosen_for_the_only_pool() {
    let mut model = model((80, 24));
    keys(&mut model, "around_robin");
    press(&mut model, KeyCode::Home);
    let effects = press(&mut model, KeyCode::Enter);
    let spec = StrategySpec::named("round_robin").unwrap();
    let told = [Command::Strategy(PoolId(0), spec), Command::Foresee(Vec::new())];
    assert_eq!(sent(&effects), told, "and nothing is foreseen any more");
    assert_eq!(model.ui.overlay, Overlay::None);
}

#[test]
fn the_picker_asks_for_the_pool_where_there_are_several() {
    let mut snapshot = fixture::snapshot();
    let second = PoolRow { id: PoolId(1), name: "code".to_owned(), ..snapshot.pools[0].clone() };
    snapshot.pools.push(second);
    let frame = Frame { snapshot: Arc::new(snapshot), ..fixture::frame() };
    let mut model = model_of(frame, (80, 24));
    keys(&mut model, "a");
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Enter);
    assert!(matches!(model.ui.overlay, Overlay::Strategies { pool: PoolId(1), .. }));
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.ui.overlay, Overlay::Pools { at: 1 }, "Esc goes one step back");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.ui.overlay, Overlay::None);
}

#[test]
fn quitting_tells_the_engine_but_not_a_gateway() {
    let mut model = model((80, 24));
    let leave = Effect::Leave(Exit::Quit);
    assert_eq!(keys(&mut model, "q"), [Effect::Send(Command::Quit), leave.clone()]);
    let mut live = model_of(Frame { mode: Mode::Live, ..fixture::frame() }, (80, 24));
    assert_eq!(keys(&mut live, "q"), [leave]);
    assert_eq!(update(&mut live, Msg::Signal(15)), [Effect::Leave(Exit::Signal(15))]);
    assert_eq!(Exit::Signal(15).code(), 143);
}

#[test]
fn escape_never_quits() {
    let mut model = model((80, 24));
    keys(&mut model, "je?");
    for _ in 0..5 {
        assert_eq!(press(&mut model, KeyCode::Esc), []);
    }
    assert_eq!((model.ui.expanded, model.ui.selected), (false, None));
}

#[test]
fn a_gateway_is_frozen_not_paused() {
    let mut model = model_of(Frame { mode: Mode::Live, ..fixture::frame() }, (80, 24));
    assert_eq!(keys(&mut model, " "), []);
    let mut later = fixture::snapshot();
    later.now = later.now + Span::from_secs(12);
    let frame = Frame { mode: Mode::Live, snapshot: Arc::new(later), ..fixture::frame() };
    update(&mut model, Msg::Frame(Arc::new(frame), Duration::from_secs(12)));
    assert!(text(&render(&model)).contains("FROZEN 12s"));
    keys(&mut model, " ");
    assert!(text(&render(&model)).contains("02:25.4"));
}

#[test]
fn rows_stay_while_a_second_passes() {
    let mut model = model((80, 24));
    keys(&mut model, "s9j");
    let selected = model.ui.selected;
    let mut frame = fixture::frame();
    let mut snapshot = fixture::snapshot();
    snapshot.nodes[0].p99 = Some(Span::from_secs(30));
    snapshot.nodes[2].state = NodeState::Up;
    frame.snapshot = Arc::new(snapshot);
    let frame = Arc::new(frame);
    let before = model.order.clone();
    update(&mut model, Msg::Frame(Arc::clone(&frame), Duration::from_millis(900)));
    assert_eq!(model.order, before);
    update(&mut model, Msg::Frame(frame, Duration::from_millis(1_000)));
    assert_eq!(model.order[0], 0);
    assert_eq!(model.ui.selected, selected, "the selection is a node, not a row");
}

#[test]
fn thousands_of_nodes_scroll() {
    let mut model = model_of(crowd(5_000), (120, 40));
    press(&mut model, KeyCode::Char('G'));
    assert!(text(&render(&model)).contains("node-4999"));
    press(&mut model, KeyCode::PageUp);
    press(&mut model, KeyCode::Char('g'));
    assert_eq!(model.ui.top, 0);
}

#[test]
fn the_focus_goes_round_and_back() {
    let mut model = model((120, 40));
    let mut seen = vec![model.ui.focus];
    for _ in 0..4 {
        press(&mut model, KeyCode::Tab);
        seen.push(model.ui.focus);
    }
    use Panel::{Cost, Decision, Latency, Log, Nodes};
    assert_eq!(seen, [Nodes, Latency, Cost, Decision, Log]);
    press(&mut model, KeyCode::Tab);
    assert_eq!(model.ui.focus, Nodes);
    press(&mut model, KeyCode::BackTab);
    assert_eq!(model.ui.focus, Log);
    update(&mut model, Msg::Resize(60, 16));
    assert_eq!(model.ui.focus, Nodes, "the log is not there any more");
}

#[test]
fn ranges_and_sort_keys_come_round() {
    let mut model = model((120, 40));
    keys(&mut model, "-------------");
    assert!(text(&render(&model)).contains("whole run"));
    keys(&mut model, "=");
    assert_eq!(model.ui.range, RANGE_DEFAULT);
    keys(&mut model, "s");
    for _ in SortKey::ALL {
        keys(&mut model, "s");
    }
    assert_eq!(model.ui.sort, SortKey::File);
}

fn crowd(nodes: u32) -> Frame {
    let mut snapshot = fixture::snapshot();
    let pattern = snapshot.nodes.clone();
    snapshot.nodes = (0..nodes)
        .map(|id| NodeRow {
            id: NodeId(id),
            name: format!("node-{id}"),
            ..pattern[id as usize % pattern.len()].clone()
        })
        .collect();
    Frame { snapshot: Arc::new(snapshot), ..fixture::frame() }
}

/// A picture no honest engine would send.
fn odd(kind: u8, number: f64) -> Frame {
    let mut frame = match kind % 4 {
        0 => crowd(0),
        1 => crowd(3_000),
        _ => fixture::frame(),
    };
    let mut snapshot = (*frame.snapshot).clone();
    if kind.is_multiple_of(3) {
        snapshot.window = crate::metrics::Figures::default();
        snapshot.history = Arc::default();
        snapshot.last = None;
    }
    if kind % 5 == 1 {
        huge(&mut snapshot, number);
    }
    frame.state = match kind % 7 {
        0 => RunState::Failed("line one\nline two ".repeat(20)),
        1 => RunState::Paused,
        2 => RunState::Done,
        _ => RunState::Running,
    };
    frame.pace = Pace::Times(number);
    frame.reached = Some(number);
    frame.mode = [Mode::Sim, Mode::Live, Mode::Replay][usize::from(kind % 3)];
    frame.snapshot = Arc::new(snapshot);
    frame
}

fn huge(snapshot: &mut Snapshot, number: f64) {
    snapshot.now = Time(u64::MAX - 5);
    snapshot.window.requests_per_s = number;
    snapshot.window.error_share = number;
    snapshot.window.waiting = u64::MAX;
    snapshot.requests.arrived = u64::MAX;
    let mut history = (*snapshot.history).clone();
    history.bucket = Span(u64::MAX / 3);
    for point in &mut history.points {
        point.dollars_per_hour = number;
        point.p99 = Some(Span::MAX);
    }
    for mark in &mut history.marks {
        mark.at = Time::MAX;
    }
    snapshot.history = Arc::new(history);
    for row in &mut snapshot.nodes {
        row.name = "模型-very-long-name-\u{200d}\u{7}e\u{301}".repeat(9);
        row.in_flight = u32::MAX;
        row.queued = u32::MAX;
        row.capacity = None;
        row.utilisation = Some(number);
        row.share = number;
        row.p99 = Some(Span::MAX);
        row.tokens_per_s = number;
    }
    snapshot.decisions.clone_from(&fixture::explained().snapshot.decisions);
    for one in &mut snapshot.decisions {
        let one = Arc::make_mut(one);
        one.at = Time::MAX;
        one.omitted = usize::MAX / 2;
        one.why.chosen.score = number;
        one.why.chosen.node = NodeId(u32::MAX);
        one.why.strategy = u8::MAX;
        for node in &mut one.candidates {
            node.success = number;
            node.in_flight = u32::MAX;
            node.terms = Terms::NONE.with(Term::Ttft, number).with(Term::Kv, -number);
        }
    }
    for pool in &mut snapshot.pools {
        pool.name = "🦀".repeat(40);
        pool.strategy = "unknown(strategy)".to_owned();
    }
    snapshot.log.push(LogEntry {
        at: Time::MAX,
        level: LogLevel::Error,
        mark: Some('Z'),
        count: u64::MAX,
        text: "界".repeat(200),
        ..LogEntry::default()
    });
}

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let known = prop::sample::select(
        " []\\|.>xafHRkjgGezpsS+-=?tTuwq12345omL():/nNvpeqs h100".chars().collect::<Vec<_>>(),
    );
    let named = prop::sample::select(vec![
        KeyCode::Enter,
        KeyCode::Enter,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Backspace,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::F(1),
    ]);
    let code = prop_oneof![3 => known.prop_map(KeyCode::Char), 2 => named];
    (code, any::<bool>()).prop_map(|(code, ctrl)| {
        let ctrl = ctrl && matches!(code, KeyCode::Char('u'));
        KeyEvent::new(code, if ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE })
    })
}

#[derive(Clone, Debug)]
enum Event {
    Key(KeyEvent),
    Size(u16, u16),
    Frame(u8, f64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(1e300),
        0.0..2.0,
    ];
    prop_oneof![
        6 => any_key().prop_map(Event::Key),
        1 => (1..=300u16, 1..=100u16).prop_map(|(columns, rows)| Event::Size(columns, rows)),
        1 => (any::<u8>(), number).prop_map(|(kind, number)| Event::Frame(kind, number)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_panics_and_pictures_depend_on_the_model_only(
        size in (1..=300u16, 1..=100u16),
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let mut model = model(size);
        for (second, event) in events.into_iter().enumerate() {
            let at = Duration::from_millis(300 * second as u64);
            let msg = match event {
                Event::Key(key) => Msg::Key(key),
                Event::Size(columns, rows) => Msg::Resize(columns, rows),
                Event::Frame(kind, number) => Msg::Frame(Arc::new(odd(kind, number)), at),
            };
            update(&mut model, msg);
            if second % 4 == 0 {
                render(&model);
            }
        }
        prop_assert_eq!(render(&model), render(&model));
    }
}

/// Writes the pictures as terminal bytes into the folder named by `PLIMSOLL_PICTURES`.
#[test]
#[ignore = "makes pictures for people"]
fn pictures_for_people() {
    let Ok(folder) = std::env::var("PLIMSOLL_PICTURES") else {
        return;
    };
    let save = |name: &str, model: &Model| {
        let bytes = super::terminal::bytes(&render(model)).unwrap();
        std::fs::write(format!("{folder}/{name}.ansi"), bytes).unwrap();
    };
    let by_p99 = "s9jj";
    for (theme, word) in [
        (ThemeName::Dark, "dark"),
        (ThemeName::Light, "light"),
        (ThemeName::Ansi, "ansi"),
        (ThemeName::Mono, "mono"),
    ] {
        for size in [(80, 24), (100, 30), (120, 30), (120, 40), (200, 60), (70, 26), (60, 16)] {
            for (view, pressed) in [("live", by_p99), ("help", "?"), ("picker", "aj")] {
                let mut model = model(size);
                model.ui.theme = theme;
                keys(&mut model, pressed);
                save(&format!("{view}-{}x{}-{word}", size.0, size.1), &model);
            }
        }
    }
    let empty = Frame { snapshot: Arc::new(Snapshot::default()), ..fixture::frame() };
    save("empty-120x40-dark", &model_of(empty, (120, 40)));
    save("crowd-120x40-dark", &model_of(crowd(3_000), (120, 40)));
}

/// Runs the real thing on this terminal against a feed that plays the fixture.
#[test]
#[ignore = "needs a terminal and a person"]
fn runs_for_real() {
    let slot = Arc::new(super::Slot::new());
    let (commands, inbox) = std::sync::mpsc::channel();
    let feed = Arc::clone(&slot);
    std::thread::spawn(move || play(&feed, &inbox));
    let exit = super::run(slot, commands, &Options::default());
    println!("left with {exit:?}");
}

fn play(feed: &super::Slot, inbox: &std::sync::mpsc::Receiver<Command>) {
    let mut frame = fixture::frame();
    for step in 0.. {
        for command in inbox.try_iter() {
            match command {
                Command::Pause(true) => frame.state = RunState::Paused,
                Command::Pause(false) => frame.state = RunState::Running,
                Command::Pace(pace) => frame.pace = pace,
                Command::Quit => return,
                _ => {}
            }
        }
        if frame.state == RunState::Running {
            let mut snapshot = (*frame.snapshot).clone();
            snapshot.now = Time(133_400_000_000 + step * 100_000_000);
            snapshot.window.requests_per_s = 400.0 + (step % 30) as f64;
            let mut history = (*snapshot.history).clone();
            history.points.push(history.points[step as usize + 10]);
            snapshot.history = Arc::new(history);
            frame.snapshot = Arc::new(snapshot);
            feed.publish(Arc::new(frame.clone()));
        } else {
            // Told once and then silent: a paused run draws nothing.
            feed.publish(Arc::new(frame.clone()));
            std::thread::sleep(Duration::from_millis(400));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
