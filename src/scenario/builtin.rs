//! The built-in scenarios: each asks a question in its first comment and answers it in its
//! expectations.

use super::value::suggest;

/// Name and text of every built-in scenario, in the order they are listed to people.
pub static BUILTIN: &[(&str, &str)] = &[
    ("quickstart", include_str!("../../scenarios/quickstart.toml")),
    ("demo", include_str!("../../scenarios/demo.toml")),
    ("failover", include_str!("../../scenarios/failover.toml")),
    ("gray-failure", include_str!("../../scenarios/gray-failure.toml")),
    ("scale-out", include_str!("../../scenarios/scale-out.toml")),
    ("banking", include_str!("../../scenarios/banking.toml")),
    ("insurance", include_str!("../../scenarios/insurance.toml")),
    ("healthcare", include_str!("../../scenarios/healthcare.toml")),
    ("agents", include_str!("../../scenarios/agents.toml")),
    ("cached-answers", include_str!("../../scenarios/cached-answers.toml")),
    ("model-choice", include_str!("../../scenarios/model-choice.toml")),
    ("hybrid-fleet", include_str!("../../scenarios/hybrid-fleet.toml")),
    ("chat-day", include_str!("../../scenarios/chat-day.toml")),
    ("code-bursts", include_str!("../../scenarios/code-bursts.toml")),
    ("long-context", include_str!("../../scenarios/long-context.toml")),
    ("metastable", include_str!("../../scenarios/metastable.toml")),
    ("overload", include_str!("../../scenarios/overload.toml")),
    ("embeddings", include_str!("../../scenarios/embeddings.toml")),
    ("three-regions", include_str!("../../scenarios/three-regions.toml")),
    ("local-llama", include_str!("../../scenarios/local-llama.toml")),
    ("azure-chat", include_str!("../../scenarios/azure-chat.toml")),
    ("mooncake-chat", include_str!("../../scenarios/mooncake-chat.toml")),
    ("mm1", include_str!("../../scenarios/mm1.toml")),
    ("mmk", include_str!("../../scenarios/mmk.toml")),
    ("hetero", include_str!("../../scenarios/hetero.toml")),
    ("herd", include_str!("../../scenarios/herd.toml")),
    ("thousand-nodes", include_str!("../../scenarios/thousand-nodes.toml")),
    ("bench-queue", include_str!("../../scenarios/bench-queue.toml")),
    ("bench-guarded", include_str!("../../scenarios/bench-guarded.toml")),
    ("bench-engine", include_str!("../../scenarios/bench-engine.toml")),
];

/// Returns the text of the built-in scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Returns a sentence that helps someone who named a scenario that is not there.
#[must_use]
pub fn suggestion(name: &str) -> String {
    suggest("scenario", name, BUILTIN.iter().map(|(known, _)| *known))
}
