//! The text of a TOML file, and where in it each key stands.

use ductape_providers::config::ConfigFinding;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::expand::{Lookup, PLACEHOLDER, expand};
use super::problem::{ConfigProblem, ProblemKind};

/// A parsed file.
pub(super) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

/// A file's content with its variables put in.
pub(super) struct Content {
    /// The content.
    pub(super) root: Map<String, Value>,
    /// What is wrong with how variables are written.
    pub(super) malformed: Vec<ConfigFinding>,
    /// The variables that are not set, each at the key that it stands in.
    pub(super) unset: Vec<ConfigFinding>,
}

impl<'a> Document<'a> {
    /// The most syntax errors that are reported; one is often the cause of those that follow.
    const SYNTAX_ERRORS_MAX: usize = 10;

    /// Parses `text`; what is not TOML in it are the problems.
    pub(super) fn parse(text: &'a str, file: &'a str) -> Result<Self, Vec<ConfigProblem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { file, text, root });
        }
        let problem = |error: &toml::de::Error| {
            let at = error.span().map(|span| line_column(text, span.start));
            ConfigProblem {
                kind: ProblemKind::Invalid,
                file: file.to_owned(),
                line: at.map(|(line, _)| line),
                column: at.map(|(_, column)| column),
                key: String::new(),
                // Not the error's `Display`, which quotes the line with what may be a password.
                message: format!("is not TOML: {}", error.message().replace('\n', ", ")),
            }
        };
        Err(errors.iter().take(Self::SYNTAX_ERRORS_MAX).map(problem).collect())
    }

    /// The content with its variables put in.
    pub(super) fn content(&self, lookup: Lookup<'_>) -> Content {
        let mut content = Content {
            root: Map::new(),
            malformed: Vec::new(),
            unset: Vec::new(),
        };
        content.root = content.table(self.root.get_ref(), "", lookup);
        content
    }

    /// The broker at `pointer` as it stands in the file.
    #[cfg(feature = "store")]
    pub(super) fn written(&self, pointer: &str) -> super::written::WrittenBroker {
        let mut parts = pointer
            .split('/')
            .skip(1)
            .map(|part| part.replace("~1", "/").replace("~0", "~"));
        let table = parts.try_fold(self.root.get_ref(), |table, part| {
            table
                .get(part.as_str())
                .and_then(|value| value.get_ref().as_table())
        });
        super::written::WrittenBroker::new(table.map(as_written).unwrap_or_default())
    }

    /// A problem at the key that a JSON pointer names.
    pub(super) fn problem(&self, pointer: &str, message: impl Into<String>) -> ConfigProblem {
        let (at, key) = self.locate(pointer);
        let at = at.map(|offset| line_column(self.text, offset));
        ConfigProblem {
            kind: ProblemKind::Invalid,
            file: self.file.to_owned(),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            key,
            message: message.into(),
        }
    }

    /// Where a key begins and how people write it. Of a key that is missing, where the innermost of its tables begins.
    fn locate(&self, pointer: &str) -> (Option<usize>, String) {
        let mut at = None;
        let mut key = String::new();
        let mut value: Option<&DeValue<'_>> = None;
        let mut table = Some(self.root.get_ref());
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            if let Some(DeValue::Array(items)) = value {
                key.extend(["[", &part, "]"]);
                let item = part.parse().ok().and_then(|i: usize| items.get(i));
                at = item.map(|item| item.span().start).or(at);
                value = item.map(Spanned::get_ref);
            } else {
                if !key.is_empty() {
                    key.push('.');
                }
                key.push_str(&written(&part));
                let entry = table.and_then(|table| table.get_key_value(part.as_str()));
                at = entry.map(|(name, _)| name.span().start).or(at);
                value = entry.map(|(_, value)| value.get_ref());
            }
            table = value.and_then(DeValue::as_table);
        }
        (at, key)
    }
}

impl Content {
    fn table(&mut self, table: &DeTable<'_>, pointer: &str, lookup: Lookup<'_>) -> Map<String, Value> {
        let mut map = Map::new();
        for (name, value) in table {
            let name = name.get_ref().as_ref();
            let pointer = pointer_to(pointer, name);
            map.insert(name.to_owned(), self.value(value.get_ref(), &pointer, lookup));
        }
        map
    }

    fn value(&mut self, value: &DeValue<'_>, pointer: &str, lookup: Lookup<'_>) -> Value {
        match value {
            DeValue::String(text) => self.text(text, pointer, lookup),
            DeValue::Integer(integer) => to_integer(integer),
            DeValue::Float(float) => to_float(float.as_str()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| self.value(item.get_ref(), &format!("{pointer}/{i}"), lookup))
                .collect(),
            DeValue::Table(table) => Value::Object(self.table(table, pointer, lookup)),
        }
    }

    fn text(&mut self, text: &str, pointer: &str, lookup: Lookup<'_>) -> Value {
        let expanded = expand(text, lookup);
        let finding = |message: String| ConfigFinding {
            pointer: pointer.to_owned(),
            message,
        };
        for name in &expanded.unset {
            self.unset.push(finding(format!(
                "the variable `{name}` is not set; set it, or write `${{{name}:-default}}`"
            )));
        }
        if let Some(message) = expanded.malformed {
            self.malformed.push(finding(message.to_owned()));
            return Value::String(PLACEHOLDER.to_owned());
        }
        Value::String(expanded.text)
    }
}

/// A table as it stands in the file, variables included.
#[cfg(feature = "store")]
fn as_written(table: &DeTable<'_>) -> Map<String, Value> {
    fn plain(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(integer) => to_integer(integer),
            DeValue::Float(float) => to_float(float.as_str()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
            DeValue::Table(table) => Value::Object(as_written(table)),
        }
    }
    let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = name.get_ref();
        (name.to_string(), plain(value.get_ref()))
    };
    table.iter().map(entry).collect()
}

/// A number that is too large stays text, which no field takes for a number.
fn to_integer(integer: &DeInteger<'_>) -> Value {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => Value::from(number),
        Err(_) => Value::String(integer.as_str().to_owned()),
    }
}

fn to_float(text: &str) -> Value {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// The JSON pointer of `name` in the object at `parent`.
pub(super) fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A key as TOML writes it.
fn written(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(bare) {
        return name.to_owned();
    }
    format!("\"{}\"", name.escape_default())
}

/// Line and column of a byte, both from 1, the column in characters.
fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
