//! As much of TOML as a Cargo.toml needs to be read for its dependencies.

use std::iter::Peekable;
use std::str::Chars;

/// One value, under its whole path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<String>,
    pub(super) value: Scalar,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(String),
    /// A number, a boolean, a date; for an array, nothing.
    Other(String),
}

/// Every value of `text`, in order, up to what is not TOML.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        entries: Vec::new(),
    };
    let _ = reader.document();
    reader.entries
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    /// `None` where it is not TOML; so are all functions below.
    fn document(&mut self) -> Option<()> {
        let mut table = Vec::new();
        loop {
            self.skip_blank();
            match self.rest.peek()? {
                '[' => {
                    self.rest.next();
                    let _ = self.rest.next_if_eq(&'[');
                    table = self.key()?;
                    while self.rest.next_if_eq(&']').is_some() {}
                }
                _ => self.pair(&table)?,
            }
        }
    }

    fn pair(&mut self, table: &[String]) -> Option<()> {
        let mut path = table.to_vec();
        path.extend(self.key()?);
        self.rest.next_if_eq(&'=')?;
        self.skip_blank();
        self.value(path)
    }

    fn value(&mut self, path: Vec<String>) -> Option<()> {
        let value = match self.rest.peek()? {
            '"' | '\'' => Scalar::Text(self.text()?),
            '[' => {
                self.sequence(']', |reader| reader.value(Vec::new()))?;
                Scalar::Other(String::new())
            }
            '{' => return self.sequence('}', |reader| reader.pair(&path)),
            _ => {
                let mut text = String::new();
                while let Some(c) = self.rest.next_if(|c| !matches!(c, ',' | ']' | '}' | '#' | '\n')) {
                    text.push(c);
                }
                Scalar::Other(text.trim().to_owned())
            }
        };
        // Elements of arrays have no path.
        if !path.is_empty() {
            self.entries.push(Entry { path, value });
        }
        Some(())
    }

    fn sequence(&mut self, end: char, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.rest.next();
        loop {
            self.skip_blank();
            if self.rest.next_if_eq(&end).is_some() {
                return Some(());
            }
            element(self)?;
            self.skip_blank();
            if self.rest.peek() != Some(&end) {
                self.rest.next_if_eq(&',')?;
            }
        }
    }

    /// A dotted key, with the blanks after it.
    fn key(&mut self) -> Option<Vec<String>> {
        let mut path = Vec::new();
        loop {
            while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
            let mut part = String::new();
            match self.rest.peek()? {
                '"' | '\'' => part = self.text()?,
                _ => {
                    while let Some(c) = self
                        .rest
                        .next_if(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
                    {
                        part.push(c);
                    }
                    if part.is_empty() {
                        return None;
                    }
                }
            }
            path.push(part);
            while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
            if self.rest.next_if_eq(&'.').is_none() {
                return Some(path);
            }
        }
    }

    /// A string of any of the four kinds. Escapes other than `\"` and `\\` are kept as they stand: no name has them.
    fn text(&mut self) -> Option<String> {
        let quote = self.rest.next()?;
        let mut closing = 1;
        if self.rest.next_if_eq(&quote).is_some() {
            if self.rest.next_if_eq(&quote).is_none() {
                return Some(String::new());
            }
            closing = 3;
        }
        let mut text = String::new();
        let mut seen = 0;
        while seen < closing {
            let c = self.rest.next()?;
            seen = if c == quote { seen + 1 } else { 0 };
            if c == '\\' && quote == '"' {
                text.push(self.rest.next()?);
            } else {
                text.push(c);
            }
        }
        text.truncate(text.len() - closing);
        Some(text)
    }

    fn skip_blank(&mut self) {
        while let Some(c) = self.rest.next_if(|c| c.is_whitespace() || *c == '#') {
            if c == '#' {
                while self.rest.next_if(|c| *c != '\n').is_some() {}
            }
        }
    }
}
