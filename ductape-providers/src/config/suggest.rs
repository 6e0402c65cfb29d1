//! "Did you mean".

/// The one of `known` that `word` is most likely a slip of, if one is near: the same but for case, `-` and `_`, or at most
/// a third of its letters wrong.
///
/// ```
/// use ductape_providers::config::closest;
///
/// assert_eq!(closest("client_id", ["clientId", "groupId"]), Some("clientId"));
/// assert_eq!(closest("colour", ["clientId", "groupId"]), None);
/// ```
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain_word = plain(word);
    let wrong_max = (plain_word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&plain_word, &plain(candidate)), candidate))
        .filter(|(wrong, candidate)| *wrong <= wrong_max && *wrong < candidate.chars().count())
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> Vec<char> {
    const COMPARED_CHARS_MAX: usize = 64;
    word.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .take(COMPARED_CHARS_MAX)
        .collect()
}

/// How many letters must be put in, left out, replaced, or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut wrong = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                wrong = wrong.min(before[j - 1] + 1);
            }
            row.push(wrong);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        const KNOWN: [&str; 6] = ["brokers", "clientId", "port", "url", "KAFKA", "REDIS"];
        for (word, expected) in [
            ("broker", Some("brokers")),
            ("borkers", Some("brokers")),
            ("client-id", Some("clientId")),
            ("prot", Some("port")),
            ("uri", Some("url")),
            ("kafka", Some("KAFKA")),
            ("KAFAK", Some("KAFKA")),
            ("RABBIT", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(word, KNOWN), expected, "{word}");
        }
    }
}
