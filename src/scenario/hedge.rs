//! `hedge` of `[balancer]`: when a second attempt goes out beside one that is late.

use super::document::Kind;
use super::keys::{KeyKind, POSITIVE_SPAN, SHARE, SectionDef, Usual, key, need, section, text};
use super::value::{Field, Walk};
use crate::balance::{HedgeAfter, HedgeSpec};
use crate::unit::{Ratio, Tokens};

/// Prompts go so far.
const PROMPT_MAX: u64 = 100_000_000;

/// The quantiles that may be asked for. Below the median most requests would be sent twice.
const QUANTILES: std::ops::RangeInclusive<f64> = 50.0..=99.9;

pub(super) static HEDGE: SectionDef = SectionDef {
    keys: &[
        need(
            "after",
            KeyKind::Any(&[POSITIVE_SPAN, QUANTILE]),
            "a first token that is later than this gets a second attempt",
        ),
        key(
            "budget",
            SHARE,
            Usual::Number(0.02),
            "second attempts are at most this share of first ones",
        ),
        key("saturation", SHARE, Usual::Number(0.7), "there are none at this utilisation"),
        key(
            "prompt_max",
            KeyKind::Whole(1, PROMPT_MAX),
            Usual::Unsaid("no limit"),
            "longer prompts get no second attempt",
        ),
        key(
            "paid",
            KeyKind::Truth,
            Usual::Truth(true),
            "whether there are second attempts where tokens cost something",
        ),
    ],
    ..section("hedge", "")
};

const QUANTILE: KeyKind = text(
    "a quantile of times to the first token, from \"p50\" to \"p99.9\"",
    "^p[5-9][0-9](\\.[0-9]+)?$",
);

/// Reads `{ after = "p95", budget = 0.02, saturation = 0.7, prompt_max = 8_000 }`, or `"none"`.
pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>) -> Option<HedgeSpec> {
    let field = field.filter(|field| !field.is_none())?;
    let mut table = walk.table(field)?;
    let delay = table.need(walk, "after").and_then(|field| after(walk, field));
    let mut share = |key| table.number(walk, key).map(Ratio::from_f64);
    let (budget, saturation) = (share("budget"), share("saturation"));
    let prompt_max = table.count(walk, "prompt_max").map(Tokens);
    let paid = table.truth(walk, "paid");
    table.finish(walk);
    let (budget, saturation) = (budget?, saturation?);
    Some(HedgeSpec { after: delay?, budget, saturation, prompt_max, paid: paid? })
}

fn after(walk: &mut Walk, field: Field<'_>) -> Option<HedgeAfter> {
    if let Kind::Text(text) = &field.value.kind
        && let Some(percent) = text.strip_prefix('p')
    {
        let percent = percent.parse::<f64>().ok().filter(|percent| QUANTILES.contains(percent));
        if percent.is_none() {
            walk.must_be(field, "a quantile from \"p50\" to \"p99.9\", or a duration")
                .label("not a quantile of times to the first token");
        }
        return percent.map(|percent| HedgeAfter::Quantile(Ratio::from_f64(percent / 100.0)));
    }
    walk.span(field).map(HedgeAfter::Fixed)
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::*;
    use crate::balance::Retry;
    use crate::unit::Span;

    const FLEET: &str = r#"
[[pool]]
name = "light"
strategy = "random"
overprovision = 1.4
[[pool.node]]
name = "local"
backend = { slots = { servers = 2, service = { constant = "10ms" } } }
[workload]
arrivals = { poisson = { rate = 10 } }
"#;

    fn with(balancer: &str) -> Result<Scenario, super::super::Problems> {
        let text = format!("duration = \"1m\"\n[balancer]\n{balancer}\n{FLEET}");
        Scenario::parse("test", "test.toml", &text, &[])
    }

    fn hedge(words: &str) -> Option<HedgeSpec> {
        with(&format!("hedge = {words}"))
            .unwrap_or_else(|problems| panic!("{problems}"))
            .balancer
            .hedge
    }

    #[test]
    fn second_attempts_are_read_with_their_defaults() {
        let p95 = HedgeAfter::Quantile(Ratio(950_000));
        let (budget, saturation) = (Ratio(20_000), Ratio(700_000));
        let usual = HedgeSpec { after: p95, budget, saturation, prompt_max: None, paid: true };
        assert_eq!(hedge("{ after = \"p95\" }"), Some(usual));
        let said = "{ after = \"800ms\", budget = 0.05, saturation = 0.5, prompt_max = 4_000 }";
        let after = HedgeAfter::Fixed(Span::from_millis(800));
        let (budget, saturation) = (Ratio(50_000), Ratio(500_000));
        let prompt_max = Some(Tokens(4_000));
        assert_eq!(
            hedge(said),
            Some(HedgeSpec { after, budget, saturation, prompt_max, paid: true })
        );
        assert_eq!(hedge("\"none\""), None);
        let retry = "retry = { token_budget = 0.1, minimum_useful = \"2s\", resume = true }";
        let scenario = with(retry).expect("it is sound");
        let expected = Retry {
            token_budget: Some(Ratio(100_000)),
            minimum_useful: Span::from_secs(2),
            resume: true,
            ..Retry::default()
        };
        assert_eq!(scenario.balancer.retry, expected);
        assert_eq!(scenario.balancer.pools[0].overprovision, Some(Ratio(1_400_000)));
        assert!(scenario.for_real_nodes().balancer.retry.resume, "and with real nodes");
        assert_eq!(with("").expect("it is sound").balancer.hedge, None, "off unless asked for");
    }

    #[test]
    fn draws_what_is_wrong_with_second_attempts() {
        let wrong = [
            "hedge = { budget = 0.02 }",
            "hedge = { after = \"p101\" }\nretry = { resume = \"yes\", token_budget = 2 }",
            "hedge = { after = \"0s\", saturation = 7, prompt_max = 0 }",
            "hedge = { after = \"p95\", bugdet = 0.02 }",
            "hedge = { after = 0.95 }\nretry = { minimum_useful = 5 }",
        ];
        let drawn = wrong.map(|balancer| with(balancer).expect_err("it is wrong").to_string());
        let factor = FLEET.replace("1.4", "0.9");
        let text = format!("duration = \"1m\"\n{factor}");
        let factor = Scenario::parse("test", "test.toml", &text, &[]).expect_err("it is wrong");
        insta::assert_snapshot!(drawn.join("\n\n") + "\n\n" + &factor.to_string());
    }
}
