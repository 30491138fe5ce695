//! The traffic as the simulation sees it: when it has something next, and what.

use crate::balance::Fate;
use crate::unit::{RequestId, Time};
use crate::workload::{Arrival, News, TraceError, Traffic};

/// Traffic, and when it comes next.
pub(super) struct TrafficSource {
    traffic: Box<dyn Traffic>,
    /// When the next arrival comes, as things are.
    arrival: Option<Time>,
    /// When there is something to say beside arrivals, as things are.
    news: Option<Time>,
    /// Whether a request has ended since the traffic was asked.
    settled: bool,
}

impl TrafficSource {
    /// # Errors
    /// If the traffic fails on its first arrival.
    pub(super) fn new(traffic: Box<dyn Traffic>) -> Result<TrafficSource, Vec<TraceError>> {
        let mut source = TrafficSource { traffic, arrival: None, news: None, settled: false };
        source.ask()?;
        Ok(source)
    }

    /// Asks when something comes next.
    ///
    /// # Errors
    /// If a trace cannot be read any further.
    pub(super) fn ask(&mut self) -> Result<(), Vec<TraceError>> {
        self.settled = false;
        self.arrival = self.traffic.peek()?;
        self.news = self.traffic.news_at();
        Ok(())
    }

    /// Returns when something comes next; `None` if nothing does as things are.
    pub(super) fn next_at(&self) -> Option<Time> {
        [self.arrival, self.news].into_iter().flatten().min()
    }

    /// Returns whether what comes next is no arrival. News may change what arrives, so of equal times it
    /// comes first.
    pub(super) fn news_is_next(&self) -> bool {
        self.news.is_some_and(|news| self.arrival.is_none_or(|at| news <= at))
    }

    /// Takes the next word beside arrivals, at `now`, if there still is one.
    ///
    /// # Errors
    /// If a trace cannot be read any further.
    pub(super) fn news(&mut self, now: Time) -> Result<Option<News>, Vec<TraceError>> {
        let news = self.traffic.news(now);
        self.ask()?;
        Ok(news)
    }

    /// Takes the next arrival. Whoever has it asks what follows.
    pub(super) fn arrival(&mut self) -> Arrival {
        self.traffic.take()
    }

    /// Tells how a request ended; [`TrafficSource::go_on`] asks what follows from it.
    pub(super) fn settled(&mut self, now: Time, request: RequestId, fate: Fate) {
        self.traffic.settled(now, request, fate);
        self.settled = true;
    }

    /// Asks anew when something comes next, if requests have ended since.
    ///
    /// # Errors
    /// If a trace cannot be read any further.
    pub(super) fn go_on(&mut self) -> Result<(), Vec<TraceError>> {
        if self.settled { self.ask() } else { Ok(()) }
    }

    /// From now on so many times as much comes as the scenario says. Returns whether that is possible.
    pub(super) fn set_load(&mut self, factor: f64) -> bool {
        self.traffic.set_load(factor)
    }

    /// What a person should know of the traffic so far.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.traffic.remarks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Request;
    use crate::unit::Tokens;
    use crate::workload::Truth;

    /// Arrivals at second one and news at second one; another arrival only once one has settled.
    struct Told {
        arrivals: Vec<u64>,
        news: Vec<u64>,
        asked: u32,
    }

    impl Traffic for Told {
        fn peek(&mut self) -> Result<Option<Time>, Vec<TraceError>> {
            self.asked += 1;
            assert!(self.asked < 5, "it is asked only when something has changed");
            Ok(self.arrivals.last().map(|at| Time(*at)))
        }

        fn take(&mut self) -> Arrival {
            let at = Time(self.arrivals.pop().expect("told of"));
            let truth = Truth { output: Tokens(1), key: 0, text: None };
            Arrival { at, request: Request::new(RequestId(0), at), truth }
        }

        fn settled(&mut self, now: Time, _: RequestId, _: Fate) {
            self.arrivals.push(now.0 + 1);
        }

        fn news_at(&mut self) -> Option<Time> {
            self.news.last().map(|at| Time(*at))
        }

        fn news(&mut self, _: Time) -> Option<News> {
            self.news.pop().map(|_| News::Cancel(RequestId(0)))
        }
    }

    #[test]
    fn news_comes_before_arrivals_of_its_time_and_answers_bring_more() {
        let told = Told { arrivals: vec![1], news: vec![1], asked: 0 };
        let mut source = TrafficSource::new(Box::new(told)).expect("no trace");
        assert_eq!(source.next_at(), Some(Time(1)));
        assert!(source.news_is_next(), "before the arrival of its time");
        let news = source.news(Time(1)).expect("no trace");
        assert!(matches!(news, Some(News::Cancel(_))));
        assert!(!source.news_is_next());
        assert_eq!(source.arrival().at, Time(1));
        source.ask().expect("no trace");
        assert_eq!(source.next_at(), None, "the loop is closed");
        source.go_on().expect("no trace");
        source.settled(Time(7), RequestId(0), Fate::Completed);
        assert_eq!(source.next_at(), None, "not before the balancer has said all it has to say");
        source.go_on().expect("no trace");
        assert_eq!(source.next_at(), Some(Time(8)));
    }
}
