//! A balancer that goes round: one request comes, an older one gets its first token, the oldest ends.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "every binary uses a part of it")]

use plimsoll::balance::{Attempt, Balancer, Config, Input, Outcome, Progress, Request, Usage};
use plimsoll::unit::{RequestId, Span, Time, Tokens};

/// So many sessions take turns.
const SESSIONS: u64 = 1_000;

#[derive(Debug)]
pub struct Wheel {
    pub balancer: Balancer,
    next: u64,
    /// The next to get its first token.
    started: u64,
    /// The next to end.
    oldest: u64,
    now: Time,
    gap: Span,
}

impl Wheel {
    /// Starts with two requests in flight on the mean node.
    pub fn new(config: Config) -> Wheel {
        let in_flight = 2 * config.nodes.len() as u64;
        // In flight for about a second, whatever the size of the fleet.
        let gap = Span(1_000_000_000 / in_flight);
        let balancer = Balancer::new(config);
        let mut wheel = Wheel { balancer, next: 0, started: 0, oldest: 0, now: Time::ZERO, gap };
        while wheel.next < in_flight {
            wheel.arrive();
            if wheel.next.is_multiple_of(2) {
                wheel.first_token();
            }
        }
        wheel
    }

    fn feed(&mut self, input: Input) {
        self.balancer.handle(self.now, input);
    }

    /// A request comes and is sent to a node.
    pub fn arrive(&mut self) {
        self.now = self.now + self.gap;
        let request = Request {
            prompt: Tokens(100 + self.next * 37 % 900),
            session: Some(self.next * 7 % SESSIONS),
            ..Request::new(RequestId(self.next), self.now)
        };
        self.next += 1;
        self.feed(Input::Arrive(request));
    }

    /// The oldest request without a first token gets it.
    pub fn first_token(&mut self) {
        self.feed(Input::Progress(attempt(self.started), Progress::FirstToken));
        self.started += 1;
    }

    /// The oldest request ends.
    pub fn finish(&mut self) {
        let id = self.oldest;
        self.oldest += 1;
        let output = Tokens(50 + id * 13 % 300);
        let usage = Usage {
            input: Tokens(100 + id * 37 % 900),
            cached: Tokens::ZERO,
            output,
            estimated: false,
        };
        self.feed(Input::Finish(attempt(id), Outcome::Done(usage)));
    }

    pub fn turn(&mut self) {
        self.arrive();
        self.first_token();
        self.finish();
    }
}

fn attempt(id: u64) -> Attempt {
    Attempt { request: RequestId(id), ordinal: 0 }
}
