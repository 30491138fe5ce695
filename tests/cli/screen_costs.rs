//! What the screen costs, measured on the program itself. Figures and not laws, so nobody runs them unasked:
//! `cargo test --release --test cli screen_costs -- --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use crate::seat::Seat;

/// So many pictures a second at most.
const PICTURES_MAX: f64 = 15.5;

/// CPU seconds of each thread of a process, by its name.
fn threads(id: u32) -> Vec<(String, f64)> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let time = |stat: &str| {
        // After the name in brackets: the twelfth and thirteenth fields are ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / 100.0)
    };
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = read(path.join("comm")).trim().to_owned();
            Some((name, time(&read(path.join("stat")))?))
        })
        .collect()
}

/// CPU seconds of the thread that draws, which is the first one.
fn drawing(id: u32) -> f64 {
    let name = |name: &str| name.starts_with("plimsoll");
    threads(id).iter().filter(|(thread, _)| name(thread)).map(|(_, time)| time).sum()
}

fn quantile(times: &mut [Duration], quantile: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() as f64 * quantile).ceil() as usize).clamp(1, times.len()) - 1]
}

#[test]
#[ignore = "a measurement"]
fn what_a_picture_costs() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut seat = Seat::play(&["chat-day", "--speed", "32"], size);
        seat.wait_for("RUN");
        std::thread::sleep(Duration::from_secs(4));
        let pictures = |seat: &Seat| seat.raw().matches("\u{1b}[?2026h").count();
        let before = (pictures(&seat), seat.written(), drawing(seat.id()), Instant::now());
        std::thread::sleep(Duration::from_secs(10));
        let (made, bytes) = (pictures(&seat) - before.0, seat.written() - before.1);
        let (busy, seconds) = (drawing(seat.id()) - before.2, before.3.elapsed().as_secs_f64());
        println!(
            "{}x{}: {:.1} pictures/s, {:.2} ms of CPU and {:.1} kB each, {:.1} % of a core",
            size.0,
            size.1,
            made as f64 / seconds,
            busy * 1e3 / made as f64,
            bytes as f64 / 1e3 / made as f64,
            busy / seconds * 100.0,
        );
        assert!(made as f64 / seconds < PICTURES_MAX);
        seat.press("q");
        seat.leave();
    }
}

#[test]
#[ignore = "a measurement"]
fn how_soon_a_key_acts() {
    let mut seat = Seat::play(&["chat-day"], (200, 60));
    seat.wait_for("RUN");
    seat.press("|");
    std::thread::sleep(Duration::from_secs(1));
    let mut times = Vec::new();
    // The words of the range of time are changed by no frame.
    for (key, words) in [("+", "30s"), ("-", "60s")].into_iter().cycle().take(100) {
        let start = Instant::now();
        seat.press(key);
        while !seat.screen().contains(words) {
            std::thread::sleep(Duration::from_millis(1));
            assert!(start.elapsed() < Duration::from_secs(5), "{}", seat.screen());
        }
        times.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    let [half, most] = [0.5, 0.99].map(|part| quantile(&mut times, part));
    println!("a key is on the screen after {half:.0?}, {most:.0?} at p99");
    seat.press("q");
    seat.leave();
}

#[test]
#[ignore = "a measurement"]
fn how_soon_the_future_and_the_past_are_there() {
    let mut seat = Seat::play(&["quickstart", "--speed", "64"], (120, 40));
    seat.wait_for("RUN");
    std::thread::sleep(Duration::from_secs(2));
    seat.press(" ");
    seat.wait_for("PAUSED");
    let start = Instant::now();
    // The first pool, then its strategies.
    seat.press("a\r");
    seat.wait_for("foreseen");
    println!("the list of strategies is open after {:.0?}", start.elapsed());
    // So many of so many, as the list says.
    let told = |screen: &str| {
        let (before, _) = screen.split_once(" of 29")?;
        before.rsplit(' ').next()?.parse::<u32>().ok()
    };
    let mut first = None;
    let mut known = 0;
    while known < 29 {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", seat.screen());
        known = told(&seat.screen()).unwrap_or(0);
        first = first.or((known > 0).then(|| start.elapsed()));
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("forecasts: the first after {first:.0?}, all {known} after {:.0?}", start.elapsed());
    // Out of the strategies, and out of the pools.
    for _ in 0..2 {
        seat.press("\u{1b}");
        std::thread::sleep(Duration::from_millis(300));
    }
    let start = Instant::now();
    seat.press("\u{1b}[D");
    seat.wait_for(" AT ");
    println!("an earlier moment is there after {:.0?}", start.elapsed());
    seat.press("q");
    seat.leave();
}
