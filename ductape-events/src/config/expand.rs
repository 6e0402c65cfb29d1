//! `${NAME}` and `${NAME:-default}` in texts.

/// Where variables come from.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text with its variables put in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text; each variable that is not set is [`PLACEHOLDER`] in it.
    pub(super) text: String,
    /// The variables that are not set and have no default.
    pub(super) unset: Vec<String>,
    /// What is wrong with how a variable is written. It does not show the text, which may be a password.
    pub(super) malformed: Option<&'static str>,
}

/// What stands for a variable that is not set, and for a text that is malformed, while the rest of its environment is
/// checked: a host that no check of another field objects to.
pub(super) const PLACEHOLDER: &str = "localhost";

pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> Expanded {
    let mut expanded = Expanded::default();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            expanded.text.push_str(&rest[..at - 1]);
            expanded.text.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.text.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            expanded.malformed = Some("has a `${` without `}`; write `$${` for a literal `${`");
            return expanded;
        };
        let (name, default) = match rest[at + 2..at + end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&rest[at + 2..at + end], None),
        };
        rest = &rest[at + end + 1..];
        if !is_name(name) {
            expanded.malformed = Some(
                "has a `${…}` that names no variable; write `${NAME}` or `${NAME:-default}`, the name in letters, digits \
                 and `_`",
            );
        } else if default.is_some_and(|default| default.contains("${")) {
            expanded.malformed = Some("has a `${` inside a default; a default is plain text");
        } else {
            match (lookup(name), default) {
                (Some(value), Some(default)) if value.is_empty() => expanded.text.push_str(default),
                (Some(value), _) => expanded.text.push_str(&value),
                (None, Some(default)) => expanded.text.push_str(default),
                (None, None) => {
                    expanded.text.push_str(PLACEHOLDER);
                    expanded.unset.push(name.to_owned());
                }
            }
        }
    }
    expanded.text.push_str(rest);
    expanded
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("kafka".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_put_in_once() {
        for (text, expected) in [
            ("", ""),
            ("plain $5 $ {}", "plain $5 $ {}"),
            ("${HOST}", "kafka"),
            ("${HOST}:${PORT:-9092}", "kafka:9092"),
            ("${HOST:-other}", "kafka"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${HOST}", "${HOST}"),
            ("a$${HOST}b${HOST}", "a${HOST}bkafka"),
            // A variable's value is taken as it is: a password may hold `${`.
            ("${DOLLAR}", "${HOST}"),
            ("é${HOST}é", "ékafkaé"),
        ] {
            let expanded = expand(text, &lookup);
            assert_eq!(expanded.text, expected, "{text}");
            assert_eq!((expanded.unset.len(), expanded.malformed), (0, None), "{text}");
        }
    }

    #[test]
    fn unset_and_malformed_variables_are_told_apart() {
        assert_eq!(expand("${A}${B_1}", &lookup).unset, ["A", "B_1"]);
        for text in [
            "${",
            "x${HOST",
            "${}",
            "${1A}",
            "${A B}",
            "${A-b}",
            "${:-x}",
            "${A:-${B}}",
        ] {
            let expanded = expand(text, &lookup);
            assert!(
                expanded.malformed.is_some() && expanded.unset.is_empty(),
                "{text}: {expanded:?}"
            );
        }
    }
}
