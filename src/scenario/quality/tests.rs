//! Tests of `[quality]` and of how routes choose: what is read, and every mistake at its place.

use super::super::Scenario;
use crate::balance::ModelRule;
use crate::unit::{ClassId, ModelId, Ratio, Time};
use crate::workload::{AnswerQuality, Truth};

/// Two models, two classes and a route; tests break it.
const TWO: &str = r#"duration = "1m"
[[pool]]
name = "a"
strategy = "random"
[[pool.node]]
name = "a1"
model = "m"
backend = { slots = { servers = 1, service = { constant = "1s" } } }
[[pool]]
name = "b"
strategy = "random"
[[pool.node]]
name = "b1"
model = "n"
backend = { slots = { servers = 1, service = { constant = "1s" } } }
[quality]
models = { "m" = { easy = 1.0, hard = 0.0 }, "n" = 1 }
feedback = { share = 0.5 }
change = [{ at = "30s", models = { "n" = 0 } }]
[[class]]
name = "easy"
complexity = { exponential = { mean = 1 } }
[[class]]
name = "hard"
[[route]]
name = "one"
match = {}
to = ["a", "b"]
choose = "cascade"
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

fn read(text: &str) -> Scenario {
    Scenario::parse("test", "test.toml", text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(from: &str, to: &str) -> String {
    assert!(TWO.contains(from), "{from}");
    let text = TWO.replacen(from, to, 1);
    let read = Scenario::parse("test", "test.toml", &text, &[]);
    read.err().map_or_else(|| "no problem".to_owned(), |problems| problems.to_string())
}

#[test]
fn qualities_and_choices_are_read() {
    let scenario = read(TWO);
    let quality = AnswerQuality::new(scenario.quality.expect("it is said"), 1);
    let truth = Truth { output: crate::unit::Tokens(1), key: 7, text: None };
    let good = |model, class, seconds: u64| {
        let now = Time(seconds * 1_000_000_000);
        quality.good(&truth, ClassId(class), ModelId(model), now)
    };
    assert_eq!([good(0, 0, 0), good(0, 1, 0)], [Some(true), Some(false)]);
    assert_eq!([good(1, 0, 29), good(1, 1, 30)], [Some(true), Some(false)]);
    assert_eq!(good(2, 0, 0), None, "there is no such model");
    assert_eq!(scenario.labels.routes, ["one"]);
    assert_eq!(scenario.labels.models, ["m", "n"]);
    let choose = |to| read(&TWO.replace("\"cascade\"", to)).balancer.routes[0].choose.clone();
    assert_eq!(choose("\"cascade\""), Some(ModelRule::Cascade { accept: Ratio(500_000) }));
    let by_share = ModelRule::Complexity { strong_share: Ratio(250_000), window: 1_000 };
    assert_eq!(choose("{ complexity = { strong_share = 0.25 } }"), Some(by_share));
    let bandit = ModelRule::Bandit { worth: 20_000, prior: 2, memory: 1_000 };
    assert_eq!(choose("{ bandit = { worth = 0.02 } }"), Some(bandit));
}

#[test]
fn mistakes_are_drawn_at_their_place() {
    let all = [
        problems("easy = 1.0", "easy = 1.5"),
        problems("easy = 1.0, ", ""),
        problems("\"n\" = 1 }", "\"x\" = 1 }"),
        problems("feedback = { share = 0.5 }", "scorer = { auc = 0.3 }"),
        problems("{ exponential = { mean = 1 } }", "{ constant = 5_000 }"),
        problems("\"cascade\"", "\"cascad\""),
        problems("\"cascade\"", "{ complexity = { strong_shar = 0.2 } }"),
        problems("\"cascade\"", "{ bandit = { worth = 0, memory = 1 } }"),
        problems("to = [\"a\", \"b\"]", "to = \"a\""),
        problems("to = [\"a\", \"b\"]", "split = { a = 50, b = 50 }"),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn what_is_chosen_by_must_be_known() {
    let start = TWO.find("[quality]").expect("it is there");
    let end = TWO.find("[[class]]").expect("it is there");
    let without = format!("{}{}", &TWO[..start], &TWO[end..]);
    let bandit = without.replace("\"cascade\"", "{ bandit = { worth = 1 } }");
    let of = |text: &str| {
        Scenario::parse("test", "test.toml", text, &[]).expect_err("nobody says").to_string()
    };
    insta::assert_snapshot!(format!("{}\n\n{}", of(&without), of(&bandit)));
    read(&without.replace("\"cascade\"", "{ complexity = { strong_share = 0.2 } }"));
}
