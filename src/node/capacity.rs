//! How many requests a back end can serve a second, from its own figures: an estimate from means, on
//! the good side. What hides behind something else is not counted.

use super::BackendSpec;
use super::engine::mean_seconds;
use crate::balance::Limits;

/// What requests are like in the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanWork {
    /// Tokens of the prompt.
    pub prompt: f64,
    /// Those of them that no cache has.
    pub fresh: f64,
    /// Tokens of the answer; at least one.
    pub output: f64,
}

impl BackendSpec {
    /// Returns how many such requests it can serve a second within these limits, in batches of so
    /// many; infinite if nothing bounds it.
    #[must_use]
    pub fn rate(&self, work: MeanWork, limits: Limits, batch: u32) -> f64 {
        let most = |own: Option<u32>| match (own, limits.concurrency) {
            (Some(own), Some(given)) => Some(f64::from(own.min(given))),
            (one, other) => one.or(other).map(f64::from),
        };
        let tokens = work.prompt + work.output;
        let a_minute = |limits: Limits| {
            let requests = limits.requests_per_minute.map(|most| most as f64 / 60.0);
            let tokens = limits.tokens_per_minute.map(|most| most as f64 / 60.0 / tokens);
            requests.unwrap_or(f64::INFINITY).min(tokens.unwrap_or(f64::INFINITY))
        };
        let at_a_time = match self {
            BackendSpec::Slots(spec) => {
                let batch = f64::from(batch.max(1));
                let seconds = spec.service.mean() + spec.per_item.seconds() * (batch - 1.0);
                // A batch is one job on one server, but its requests count one by one elsewhere.
                let jobs = f64::from(spec.servers);
                let jobs = limits.concurrency.map_or(jobs, |most| jobs.min(f64::from(most)));
                jobs * batch / seconds
            }
            BackendSpec::Api(spec, own) => {
                let rest = (work.output - 1.0) / spec.tokens_per_second.mean();
                let seconds = spec.ttft.mean() + rest;
                most(own.concurrency).map_or(f64::INFINITY, |most| most / seconds)
            }
            BackendSpec::Engine(spec) => {
                let room = spec.room() as f64 / tokens;
                let batch = f64::from(spec.max_seqs).min(room);
                let batch = limits.concurrency.map_or(batch, |most| batch.min(f64::from(most)));
                1.0 / mean_seconds(spec, work, batch.max(1.0) as u32)
            }
        };
        let own = match self {
            BackendSpec::Api(_, own) => a_minute(*own),
            BackendSpec::Slots(_) | BackendSpec::Engine(_) => f64::INFINITY,
        };
        at_a_time.min(own).min(a_minute(limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Dist;
    use crate::node::engine::StepLaw;
    use crate::node::{ApiSpec, EngineSpec, SlotsSpec};
    use crate::unit::Span;

    const WORK: MeanWork = MeanWork { prompt: 100.0, fresh: 100.0, output: 101.0 };

    fn constant(value: f64) -> Dist {
        Dist::constant(value).unwrap()
    }

    #[test]
    fn servers_and_streams_are_divided_by_their_times() {
        let spec = SlotsSpec {
            servers: 4,
            queue: 0,
            service: constant(0.5),
            per_item: Span::from_millis(100),
        };
        let slots = BackendSpec::Slots(spec);
        let near = |rate: f64, wanted: f64| assert!((rate / wanted - 1.0).abs() < 1e-9, "{rate}");
        near(slots.rate(WORK, Limits::default(), 1), 8.0);
        near(slots.rate(WORK, Limits { concurrency: Some(2), ..Limits::default() }, 1), 4.0);
        near(slots.rate(WORK, Limits::default(), 6), 24.0);
        let spec = ApiSpec { ttft: constant(1.0), tokens_per_second: constant(50.0) };
        let api = BackendSpec::Api(spec, Limits { concurrency: Some(9), ..Limits::default() });
        near(api.rate(WORK, Limits::default(), 1), 3.0);
        let minute = Limits { tokens_per_minute: Some(201 * 60), ..Limits::default() };
        near(api.rate(WORK, minute, 1), 1.0);
    }

    #[test]
    fn an_engine_serves_more_the_more_it_may_take_at_a_time_and_less_of_longer_answers() {
        let law = StepLaw { f: 10.0, p1: 50.0, p2: 0.0, d1: 0.1, d2: 0.05, moe: None };
        let engine = BackendSpec::Engine(EngineSpec::new(law, 400_000));
        let at =
            |most| engine.rate(WORK, Limits { concurrency: Some(most), ..Limits::default() }, 1);
        assert!(at(1) < at(8) && at(8) < at(64) && at(64) < at(256));
        assert!((0.5..1.1).contains(&at(1)), "101 steps of 10 ms: {}", at(1));
        let long = MeanWork { output: 1_000.0, ..WORK };
        assert!(engine.rate(long, Limits::default(), 1) < at(256) / 5.0);
    }
}
