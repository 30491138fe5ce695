//! The window against what it should tell.

use super::*;

fn at(seconds: f64) -> Time {
    Time::ZERO + Span::from_seconds(seconds)
}

fn request(seconds: f64, latency: Span, flags: u8) -> EndedRequest {
    let at = at(seconds);
    EndedRequest { at, class: 0, tenant: 0, latency, ttft: Span::from_millis(30), flags }
}

#[test]
fn notes_leave_after_ten_seconds() {
    let mut window = Window::default();
    for second in 0..30 {
        let at = f64::from(second);
        window.settled(&request(at, Span::from_millis(100), flag::DONE));
        window.began(self::at(at), 0, second % 2 == 0);
        window.ended(&EndedAttempt {
            at: self::at(at),
            node: 0,
            took: Span::from_millis(80),
            good: Some(true),
            tokens: 7,
            cost: Cost(5),
        });
    }
    window.expire(at(29.0));
    let figures = window.figures(at(29.0), 1.0);
    assert_eq!(figures.samples, 10, "seconds 20 to 29");
    assert!((figures.tokens_per_s - 7.0).abs() < 1e-9);
    assert!((figures.retries_per_min - 30.0).abs() < 1e-9);
    assert_eq!(figures.p50, Some(Span::from_seconds(f64::from(0.1_f32))));
    let point = window.point(at(29.0), 1.0);
    assert_eq!((point.samples, point.requests_per_s), (10, figures.requests_per_s));
    window.expire(at(100.0));
    let empty = window.figures(at(100.0), 0.0);
    assert_eq!(empty, Figures::default());
    assert_eq!(window.point(at(100.0), 0.0), Point::default());
}

#[test]
fn who_has_no_answer_makes_the_tail_of_all_worse_and_that_of_the_completed_not_better() {
    let mut window = Window::default();
    for place in 0..100 {
        let millis = Span::from_millis(10 * (place + 1));
        window.settled(&request(1.0, millis, flag::DONE));
    }
    let well = window.figures(at(2.0), 0.0);
    assert_eq!(well.p99, well.p99_all);
    for _ in 0..400 {
        window.settled(&request(1.5, Span::from_secs(60), flag::BAD));
    }
    let ill = window.figures(at(2.0), 0.0);
    assert_eq!((ill.p99, ill.samples), (well.p99, 100));
    assert_eq!(ill.p99_all, Some(Span::from_secs(60)));
    assert!((ill.error_share - 0.8).abs() < 1e-9);
    window.settled(&request(1.6, NEVER, flag::BAD));
    for _ in 0..20 {
        window.settled(&request(1.7, NEVER, flag::BAD));
    }
    assert_eq!(window.figures(at(2.0), 0.0).p99_all, Some(NEVER));
}

#[test]
fn a_promise_is_kept_or_not_for_those_to_whom_it_was_made() {
    let mut window = Window::default();
    let span = Span::from_millis(5);
    window.settled(&request(1.0, span, flag::DONE | flag::PROMISED));
    window.settled(&request(1.0, span, flag::DONE | flag::PROMISED | flag::LATE));
    window.settled(&request(1.0, span, flag::DONE));
    let figures = window.figures(at(2.0), 0.0);
    assert_eq!((figures.late, figures.late_first), (Some(0.5), None));
}

#[test]
fn a_window_that_is_full_is_shorter_and_its_rates_are_right_all_the_same() {
    let mut window = Window::default();
    for place in 0..NOTES_MAX + NOTES_MAX / 2 {
        let at = Time(place as u64 * 1_000);
        window.settled(&EndedRequest { at, ..request(0.0, Span::from_millis(1), flag::DONE) });
    }
    let now = Time((NOTES_MAX + NOTES_MAX / 2) as u64 * 1_000);
    window.expire(now);
    let rate = window.point(now, 0.0).requests_per_s;
    assert!((rate / 1e6 - 1.0).abs() < 1e-3, "a million a second: {rate}");
}
