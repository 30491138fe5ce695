//! What is typed to filter nodes: words that a name, kind or pool contains, `state:down`, `p99>2`.
//! Every word must hold; one that makes no sense is looked for as text.

use crate::metrics::{NodeRow, Snapshot};

/// Returns whether a node is meant.
pub(super) fn is_meant(query: &str, row: &NodeRow, snapshot: &Snapshot) -> bool {
    query.split_whitespace().all(|word| holds(&word.to_lowercase(), row, snapshot))
}

fn holds(word: &str, row: &NodeRow, snapshot: &Snapshot) -> bool {
    let pool = || snapshot.pools.iter().find(|pool| pool.id == row.pool);
    let pool = || pool().map_or("", |pool| pool.name.as_str());
    let contains = |text: &str, part: &str| text.to_lowercase().contains(part);
    if let Some((key, value)) = word.split_once(':') {
        match key {
            "state" if row.slow && "slow".contains(value) => return true,
            "state" => return row.state.name().contains(value),
            "pool" => return contains(pool(), value),
            "kind" => return contains(&row.kind, value),
            "tier" => return contains(row.tier.name(), value),
            "name" => return contains(&row.name, value),
            _ => {}
        }
    }
    compared(word, row)
        .unwrap_or_else(|| [&row.name, &row.kind, pool()].iter().any(|text| contains(text, word)))
}

/// A comparison of a column with a number.
fn compared(word: &str, row: &NodeRow) -> Option<bool> {
    let place = word.find(['<', '>'])?;
    let number: f64 = word[place + 1..].trim_end_matches(['%', 's']).parse().ok()?;
    let seconds = |span: Option<crate::unit::Span>| span.map(crate::unit::Span::seconds);
    let value = match &word[..place] {
        "p50" => seconds(row.p50),
        "p99" => seconds(row.p99),
        "err" | "err%" => Some(row.error_share * 100.0),
        "util" => row.utilisation.map(|share| share * 100.0),
        "share" => Some(row.share * 100.0),
        "q" | "queue" => Some(row.queued.into()),
        "in-fl" | "inflight" => Some(row.in_flight.into()),
        "req/s" | "rate" => Some(row.requests_per_s),
        "$/h" => Some(row.dollars_per_hour),
        _ => return None,
    };
    let is_less = word[place..].starts_with('<');
    Some(value.is_some_and(|value| if is_less { value < number } else { value > number }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture;

    fn meant(query: &str) -> Vec<String> {
        let snapshot = fixture::snapshot();
        let rows = snapshot.nodes.iter().filter(|row| is_meant(query, row, &snapshot));
        rows.map(|row| row.name.clone()).collect()
    }

    #[test]
    fn words_states_and_comparisons_must_all_hold() {
        assert_eq!(meant("").len(), 8);
        assert_eq!(meant("H100"), ["h100-1", "h100-2", "h100-3"]);
        assert_eq!(meant("state:down"), ["h100-3"]);
        assert_eq!(meant("state:slow"), ["l4-2"]);
        assert_eq!(meant("p99>2"), ["l4-2", "api-west"]);
        assert_eq!(meant("p99>2s l4"), ["l4-2"]);
        assert_eq!(meant("util<50 kind:large"), ["api-east"]);
        assert_eq!(meant("pool:chat").len(), 8);
        assert_eq!(meant("p99>fast"), [""; 0]);
        assert_eq!(meant("nothing"), [""; 0]);
    }
}
