//! All strategies by name: adding one costs a line here.

use super::spec::{StrategyDef, StrategySpec};
use super::{
    budget_paced, c3, cache_aware_sglang, cheapest, consistent_hash, cost_latency, endpoint_picker,
    join_idle_queue, kv_overlap, latency_window, least_connections, least_kv, least_tokens,
    lmetric, oracle, peak_ewma, power_of_two, prefix_cache_aware, prequal, random, round_robin,
    score, session_affinity, shortest_expected, slo_cheapest, smart, weighted_least_connections,
    weighted_random, weighted_round_robin,
};

/// All strategies, in the order they are listed to people.
pub static REGISTRY: &[StrategyDef] = &[
    round_robin::DEF,
    weighted_round_robin::DEF,
    random::DEF,
    weighted_random::DEF,
    least_connections::DEF,
    weighted_least_connections::DEF,
    power_of_two::DEF,
    join_idle_queue::DEF,
    consistent_hash::DEF,
    session_affinity::DEF,
    peak_ewma::DEF,
    latency_window::DEF,
    c3::DEF,
    prequal::DEF,
    least_tokens::DEF,
    least_kv::DEF,
    prefix_cache_aware::DEF,
    cache_aware_sglang::DEF,
    kv_overlap::DEF,
    lmetric::DEF,
    endpoint_picker::DEF,
    cheapest::DEF,
    cost_latency::DEF,
    slo_cheapest::DEF,
    budget_paced::DEF,
    shortest_expected::DEF,
    smart::DEF,
    score::DEF,
    oracle::DEF,
];

/// Returns the strategies of [`REGISTRY`] that a balancer can really use: all but the bound, which
/// stands last.
#[must_use]
pub fn usable() -> &'static [StrategyDef] {
    &REGISTRY[..REGISTRY.len() - 1]
}

impl StrategySpec {
    /// The strategy of this name with default settings, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<StrategySpec> {
        let index = REGISTRY.iter().position(|entry| entry.name == name)?;
        Some(StrategySpec::new(index as u8, &REGISTRY[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::strategy::spec::{SETTINGS_MAX, SettingKind};

    #[test]
    fn every_entry_is_complete_and_builds() {
        for (index, entry) in REGISTRY.iter().enumerate() {
            assert!(entry.settings.len() <= SETTINGS_MAX, "{}", entry.name);
            for setting in entry.settings {
                assert_eq!(setting.kind.refuses(setting.default), None, "{}", setting.name);
            }
            let spec = StrategySpec::named(entry.name).unwrap();
            assert_eq!(usize::from(spec.index()), index, "names are unique");
            let _ = spec.build();
        }
        assert_eq!(StrategySpec::named("p2x"), None);
    }

    /// Every setting is read when the strategy is built, and each by its own name: a value of its own
    /// shows in what is built, and no two settings show alike.
    #[test]
    fn every_setting_reaches_the_strategy() {
        for entry in REGISTRY {
            let built = |spec: &StrategySpec| format!("{:?}", spec.build());
            let usual = StrategySpec::named(entry.name).unwrap();
            let mut seen = vec![built(&usual)];
            for setting in entry.settings {
                let mut spec = usual.clone();
                match setting.kind {
                    SettingKind::Formula => spec.set_formula("in_flight + 7"),
                    SettingKind::Choice(words) => {
                        let last = words.len() as u64 - 1;
                        spec.set(setting.name, if setting.default == last { 0 } else { last })
                            .unwrap();
                    }
                    SettingKind::Count { min, max } => {
                        let least = setting.default == min;
                        spec.set(setting.name, if least { max } else { min }).unwrap();
                    }
                    SettingKind::Span { min, .. } => spec.set(setting.name, min.0 + 1_000).unwrap(),
                    SettingKind::Ratio { max } => spec.set(setting.name, max - 1).unwrap(),
                }
                let built = built(&spec);
                assert!(
                    !seen.contains(&built),
                    "{}: `{}` changes nothing",
                    entry.name,
                    setting.name
                );
                seen.push(built);
            }
        }
    }

    #[test]
    #[should_panic(expected = "read as what it is not")]
    fn a_setting_is_read_as_what_it_is() {
        let _ = StrategySpec::named("prequal").unwrap().ratio("probes");
    }

    #[test]
    #[should_panic(expected = "has no setting `prboes`")]
    fn a_setting_is_read_by_its_name() {
        let _ = StrategySpec::named("prequal").unwrap().count("prboes");
    }
}
