//! Advice about expectations: there should be some, and they should be able to fail.

use super::load::demand;
use super::{Advisor, CANNOT_FAIL, NO_EXPECTATIONS, Scenario};
use crate::balance::{NodeSpec, Prices};
use crate::metrics::catalogue::{Reading, Scope, Unit};
use crate::metrics::expect::Expectation;
use crate::node::BackendSpec;
use crate::scenario::Arrivals;
use crate::workload::WorkflowSpec;

/// Where so many arrive in the mean, it does not happen that none does.
const SURE: f64 = 30.0;

impl Advisor<'_> {
    /// What holds whatever happens tests nothing, and neither does what has no value.
    pub(super) fn expectations(&mut self) {
        let scenario = self.scenario;
        let idle = !scenario.not_simulable.is_empty();
        if scenario.expectations.is_empty() && !idle {
            let place = self.places.at(&["workload"]);
            self.warn(
                NO_EXPECTATIONS,
                place,
                "nothing is expected: whatever happens, the run is fine",
                "write `[[expect]]` and `that = \"failed < 1%\"`",
            );
        }
        let names = scenario.expect_names();
        let longest = scenario.balancer.timeouts.total.map(crate::unit::Span::seconds);
        for expect in &scenario.expectations {
            let Ok(expectation) = Expectation::parse(&expect.text, &names) else { continue };
            if let Some((why, help)) = valueless(scenario, expectation.reading()) {
                let message = format!("`{}` has no value: {why}", expect.text);
                self.warn(CANNOT_FAIL, expect.place.clone(), message, help);
                continue;
            }
            let holds = holds_always(scenario, &expectation);
            let limit = "choose a limit that a bad day would pass";
            let found = holds.or_else(|| expectation.cannot_fail(longest).map(|why| (why, limit)));
            let Some((why, help)) = found else { continue };
            let message = format!("`{}` cannot fail: {why}", expect.text);
            self.warn(CANNOT_FAIL, expect.place.clone(), message, help);
        }
    }
}

/// Says why nothing is ever measured of what an expectation is about, and what to do.
fn valueless(scenario: &Scenario, reading: &Reading) -> Option<(String, &'static str)> {
    match &reading.scope {
        // What was recorded may hold jobs of any workflow.
        Scope::Step(flow, _) | Scope::Jobs(Some(flow))
            if !matches!(scenario.arrivals, Arrivals::Recorded { .. }) =>
        {
            let starts = |spec: &WorkflowSpec| spec.name == *flow && spec.share > 0.0;
            (!scenario.workflows.iter().any(starts)).then(|| {
                (
                    format!("the workload never starts `{flow}`"),
                    "name the workflow as `workflow` in `[workload]`, or leave the expectation out",
                )
            })
        }
        Scope::Pool(_) | Scope::Node(_) if ["kv", "kv_max"].contains(&reading.metric.name) => {
            let has_cache = |node: usize| {
                matches!(scenario.backends.get(node), Some(BackendSpec::Engine(_)))
                    || scenario.live.get(node).is_some_and(|live| live.dialect.is_some())
            };
            (!nodes_of(scenario, &reading.scope).any(has_cache)).then(|| {
                (
                    "engines have a KV cache, and no other node".to_owned(),
                    "name a node whose `backend` is an `engine`, or leave the expectation out",
                )
            })
        }
        _ => None,
    }
}

/// Says why the scenario lets an expectation hold whatever happens, and what to do.
fn holds_always(scenario: &Scenario, expectation: &Expectation) -> Option<(String, &'static str)> {
    let reading = expectation.reading();
    let name = reading.metric.name;
    let above = |least: f64| {
        let holds = |value: f64| expectation.holds_at(value);
        !holds(0.0) && holds(least) && holds(f64::INFINITY)
    };
    let keeps_answers = scenario.balancer.routes.iter().any(|route| route.cache.is_some());
    if ["latency", "ttft"].contains(&name) && above(f64::MIN_POSITIVE) && !keeps_answers {
        return Some((
            "whatever is answered takes some time".to_owned(),
            "choose a limit from above: `<`",
        ));
    }
    if name == "arrived"
        && above(1.0)
        && expected_count(scenario, &reading.scope).is_some_and(|count| count >= SURE)
    {
        return Some((
            "that something arrives is the workload's doing".to_owned(),
            "ask for what becomes of it: `failed < 1%`",
        ));
    }
    let priced = |node: usize| {
        let node = &scenario.balancer.nodes[node];
        node.prices != Prices::default() || node.hourly > 0
    };
    let free = || !nodes_of(scenario, &reading.scope).any(priced);
    if reading.metric.unit == Unit::Dollars && expectation.holds_at(0.0) && free() {
        return Some((
            "nothing has a price, so it is $0".to_owned(),
            "write `price = { input = 2.50, output = 10.00 }` or `hourly_price` for the nodes",
        ));
    }
    None
}

/// How many requests or jobs arrive in the mean while it is measured, where that is known.
fn expected_count(scenario: &Scenario, scope: &Scope) -> Option<f64> {
    let demand = demand(scenario)?;
    let all: f64 = demand.iter().sum();
    let part = match scope {
        Scope::Run => 1.0,
        Scope::Class(name) => {
            let class = scenario.classes.iter().position(|class| class.name == *name)?;
            demand[class] / all
        }
        _ => return None,
    };
    let from = scenario.warmup.seconds();
    let timed = scenario.duration.map(|duration| (duration.seconds() - from) * all);
    // With jobs or sessions it is those that are counted, and each is a request at least.
    let counted = scenario.requests.map(|requests| requests as f64 - from * all);
    timed.into_iter().chain(counted).reduce(f64::min).map(|count| count * part)
}

/// The nodes that what is measured has to do with.
fn nodes_of<'a>(scenario: &'a Scenario, scope: &'a Scope) -> impl Iterator<Item = usize> + 'a {
    let nodes = scenario.balancer.nodes.iter().enumerate();
    let counts = move |(_, node): &(usize, &NodeSpec)| match scope {
        Scope::Pool(name) => scenario.balancer.pools[node.pool.index()].name == *name,
        Scope::Node(name) => node.name == *name,
        _ => true,
    };
    nodes.filter(counts).map(|(index, _)| index)
}
