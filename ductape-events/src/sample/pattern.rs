//! Writes a text that a regular expression matches, for the expressions that schemas usually have: literals, classes,
//! groups, alternatives and repetitions. What it does not know it gives up on; the sample is checked afterwards.

use std::iter::Peekable;
use std::str::Chars;

/// The most repetitions of one part.
const REPEAT_MAX: usize = 256;
/// The most groups within groups.
const DEPTH_MAX: usize = 16;

/// A text that `pattern` matches; each `round` repeats once more, or takes another character, where that is free.
pub(super) fn matching(pattern: &str, round: usize) -> Option<String> {
    let mut writer = Writer {
        rest: pattern.chars().peekable(),
        round,
        depth: 0,
    };
    let text = writer.alternatives()?;
    writer.rest.next().is_none().then_some(text)
}

struct Writer<'a> {
    rest: Peekable<Chars<'a>>,
    round: usize,
    depth: usize,
}

impl Writer<'_> {
    /// The first of `a|b|c`.
    fn alternatives(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let first = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            self.sequence()?;
        }
        self.depth -= 1;
        Some(first)
    }

    fn sequence(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let part = match c {
                '^' | '$' => continue,
                '(' => self.group()?,
                '[' => self.class()?,
                '\\' => self.escape()?.0.to_string(),
                '.' => "x".to_owned(),
                '*' | '+' | '?' => return None,
                literal => literal.to_string(),
            };
            let times = self.times()?;
            text.push_str(&part.repeat(times));
        }
        Some(text)
    }

    fn group(&mut self) -> Option<String> {
        if self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next()? {
                ':' => {}
                // `(?<name>…)` and `(?P<name>…)`, but no looking around.
                'P' | '<' => while self.rest.next()? != '>' {},
                _ => return None,
            }
        }
        let text = self.alternatives()?;
        self.rest.next_if_eq(&')')?;
        Some(text)
    }

    /// A character of `[a-z_]`, or one that is not of `[^a-z]`.
    fn class(&mut self) -> Option<String> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        loop {
            let (low, high) = match self.rest.next()? {
                ']' if !ranges.is_empty() => break,
                '\\' => self.escape()?,
                c => (c, c),
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']');
            if is_range && low == high {
                self.rest.next();
                let end = match self.rest.next()? {
                    '\\' => self.escape()?.1,
                    c => c,
                };
                ranges.push((low, end));
            } else {
                ranges.push((low, high));
            }
        }
        if negated {
            let is_free = |c: &char| ranges.iter().all(|(low, high)| !(low..=high).contains(&c));
            let found = ('a'..='z').chain('0'..='9').chain(' '..='~').find(is_free);
            return found.map(String::from);
        }
        let (low, high) = *ranges.first()?;
        let nth = (low..=high).nth(self.round);
        nth.or(Some(low)).map(String::from)
    }

    /// What follows a backslash, as the first range of characters that it stands for.
    fn escape(&mut self) -> Option<(char, char)> {
        Some(match self.rest.next()? {
            'd' => ('0', '9'),
            'w' | 'S' | 'D' => ('a', 'z'),
            's' | 'W' => (' ', ' '),
            'n' => ('\n', '\n'),
            't' => ('\t', '\t'),
            'b' | 'B' | 'p' | 'P' | 'u' | 'x' => return None,
            literal => (literal, literal),
        })
    }

    /// How often the part before is written.
    fn times(&mut self) -> Option<usize> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, REPEAT_MAX),
            Some('+') => (1, REPEAT_MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let mut text = String::new();
                self.rest.next();
                while let Some(c) = self.rest.next_if(|c| *c != '}') {
                    text.push(c);
                }
                let (least, most) = text.split_once(',').unwrap_or((&text, &text));
                let least = least.trim().parse().ok()?;
                let most = if most.trim().is_empty() {
                    REPEAT_MAX
                } else {
                    most.trim().parse().ok()?
                };
                (least, most)
            }
            _ => return Some(1),
        };
        self.rest.next();
        // Lazy or possessive makes no difference to what matches.
        let _ = self.rest.next_if(|c| matches!(c, '?' | '+'));
        if least > REPEAT_MAX {
            return None;
        }
        Some((least + self.round).min(most).min(REPEAT_MAX).max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::matching;

    #[test]
    fn texts_of_usual_patterns_are_written() {
        for (pattern, expected) in [
            ("^[A-Z]{3}$", "AAA"),
            (r"^\d{4}-\d{2}$", "0000-00"),
            ("^(EUR|USD)$", "EUR"),
            ("^ORD-[0-9]+$", "ORD-0"),
            (r"^(?:a|b)\.c?$", "a."),
            ("^[^a-c]$", "d"),
            (r"^[\w.-]+@[\w]+\.com$", "a@a.com"),
            ("", ""),
        ] {
            assert_eq!(matching(pattern, 0).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn later_rounds_are_longer_or_other() {
        assert_eq!(matching("^a+$", 3).as_deref(), Some("aaaa"));
        assert_eq!(matching("^a{2,3}$", 9).as_deref(), Some("aaa"));
        assert_eq!(matching("^[a-c]$", 1).as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_known_is_given_up() {
        for pattern in ["(?=a)", "[a", "(a", "*", r"\bword", "a{9999}"] {
            assert_eq!(matching(pattern, 0), None, "{pattern}");
        }
    }
}
