//! "Did you mean": the known word nearest to one that is not known.
//!
//! The distance is that of optimal string alignment: insertions, deletions, substitutions and
//! swaps of neighbours. A third of the letters may differ.

/// The nearest of these words, the first one of several, if any is near.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    known
        .map(|known| (distance(&word, &known.to_lowercase().chars().collect::<Vec<_>>()), known))
        .filter(|(distance, known)| *distance <= (known.chars().count().max(3)) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        let between = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(between("", "abc"), 3);
        assert_eq!(between("kitten", "sitting"), 3);
        assert_eq!(between("ltaency", "latency"), 1);
        assert_eq!(between("same", "same"), 0);
    }

    #[test]
    fn only_near_words_are_offered() {
        let known = ["latency", "ttft", "tpot"];
        let of = |word| nearest(word, known.into_iter());
        assert_eq!(of("Latencey"), Some("latency"));
        assert_eq!(of("ttf"), Some("ttft"));
        assert_eq!(of("cost"), None);
    }
}
