//! Reads the fields of an object, and gathers what is wrong with them.

use std::cell::{Ref, RefCell};
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::finding::ConfigFinding;
use super::redact::shown;
use super::secret::Secret;
use super::suggest::closest;

/// The findings of one configuration.
pub(super) type Findings = RefCell<Vec<ConfigFinding>>;

/// An object whose fields are read one by one. A reader of a field answers `None` when it is missing or wrong; what is
/// wrong is a finding. [`finish`](Self::finish) reports the keys that nobody asked for.
pub(super) struct Fields<'a> {
    /// What the object is, for messages: `KAFKA`, `sasl`.
    of: &'static str,
    pointer: String,
    map: &'a Map<String, Value>,
    known: RefCell<Vec<&'static str>>,
    findings: &'a Findings,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(
        of: &'static str,
        pointer: String,
        map: &'a Map<String, Value>,
        findings: &'a Findings,
    ) -> Self {
        Self {
            of,
            pointer,
            map,
            known: RefCell::new(Vec::new()),
            findings,
        }
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(&self) {
        for name in self.map.keys() {
            if !self.known().contains(&name.as_str()) {
                self.find(name, self.unknown(name));
            }
        }
    }

    /// Adds a finding at the field `name`.
    pub(super) fn find(&self, name: &str, message: impl Into<String>) {
        self.find_at(pointer_to(&self.pointer, name), message);
    }

    /// Adds a finding at `pointer`.
    pub(super) fn find_at(&self, pointer: String, message: impl Into<String>) {
        self.findings.borrow_mut().push(ConfigFinding {
            pointer,
            message: message.into(),
        });
    }

    /// The value of a field; `null` is as good as none.
    pub(super) fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there, be it right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Reports a field that must be there and is not; `what` tells what to write.
    pub(super) fn require(&self, name: &str, what: &str) {
        if !self.has(name) {
            self.find(name, format!("is missing; write {what}"));
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        let value = self.get(name)?;
        self.as_text(&pointer_to(&self.pointer, name), value)
            .map(str::to_owned)
    }

    /// A text that must be there.
    pub(super) fn required_text(&self, name: &'static str, what: &str) -> Option<String> {
        self.require(name, what);
        self.text(name)
    }

    /// A credential.
    pub(super) fn secret(&self, name: &'static str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// A boolean, also as text.
    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        let value = self.get(name)?;
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => None,
        };
        if flag.is_none() {
            self.find(name, format!("is {}; write true or false", kind_of(value)));
        }
        flag
    }

    /// A whole number of `range`, also as text; `what` names it: `a port`.
    pub(super) fn number(&self, name: &'static str, what: &str, range: &RangeInclusive<i64>) -> Option<i64> {
        let value = self.get(name)?;
        let (number, text) = match value {
            Value::Number(number) => (number.as_i64(), number.to_string()),
            Value::String(text) => (text.parse().ok(), format!("`{}`", shown(text))),
            _ => (None, kind_of(value).to_owned()),
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.find(name, format!("{text} is not {what}; write {least} to {most}"));
        }
        number
    }

    /// A TCP port.
    pub(super) fn port(&self, name: &'static str) -> Option<u16> {
        let port = self.number(name, "a port", &(1..=i64::from(u16::MAX)))?;
        u16::try_from(port).ok()
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let hint = match closest(&text, words.iter().copied()) {
                Some(word) => format!("did you mean `{word}`? "),
                None => String::new(),
            };
            let (text, words) = (shown(&text), words.join("`, `"));
            self.find(name, format!("`{text}` is unknown; {hint}write one of `{words}`"));
        }
        chosen.map(|(_, value)| *value)
    }

    /// A list of texts with their pointers, not empty. One text is a list of one where `or_one` is set; commas in it
    /// separate.
    pub(super) fn texts(&self, name: &'static str, or_one: bool) -> Option<Vec<(String, &'a str)>> {
        let value = self.get(name)?;
        let pointer = pointer_to(&self.pointer, name);
        match value {
            Value::Array(items) if items.is_empty() => {
                self.find(name, "is an empty list; write at least one");
                None
            }
            Value::Array(items) => {
                // Gathered before it is judged, so that each wrong item is found.
                let texts: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| {
                        let pointer = format!("{pointer}/{i}");
                        self.as_text(&pointer, item).map(|text| (pointer, text))
                    })
                    .collect();
                texts.into_iter().collect()
            }
            Value::String(_) if or_one => {
                let text = self.as_text(&pointer, value)?;
                Some(
                    text.split(',')
                        .map(|part| (pointer.clone(), part.trim()))
                        .collect(),
                )
            }
            _ => {
                let or_text = if or_one { "a text or " } else { "" };
                self.find(
                    name,
                    format!("is {}; write {or_text}a list of texts", kind_of(value)),
                );
                None
            }
        }
    }

    /// An object.
    pub(super) fn object(&self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.get(name)?;
        let Value::Object(map) = value else {
            self.find(name, format!("is {}; write an object", kind_of(value)));
            return None;
        };
        Some(Self::new(
            name,
            pointer_to(&self.pointer, name),
            map,
            self.findings,
        ))
    }

    /// The texts of an object whose keys are free.
    pub(super) fn entries(&self) -> Vec<(&'a str, String, Option<&'a str>)> {
        let entry = |(name, value): (&'a String, &'a Value)| {
            let pointer = pointer_to(&self.pointer, name);
            let text = self.as_text(&pointer, value);
            (name.as_str(), pointer, text)
        };
        self.map.iter().map(entry).collect()
    }

    /// The object as JSON.
    pub(super) const fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// Reports one of two fields that stands without the other.
    pub(super) fn pair(&self, one: &str, other: &str) {
        for (there, missing) in [(one, other), (other, one)] {
            if self.has(there) && !self.has(missing) {
                self.find(
                    missing,
                    format!("is missing, but `{there}` is set; write both or neither"),
                );
            }
        }
    }

    /// Reports a password that would go unencrypted to another host. `name` is where it stands, `remedy` what encrypts.
    pub(super) fn plaintext(&self, name: &str, host: &str, remedy: &str) {
        self.plaintext_at(pointer_to(&self.pointer, name), host, remedy);
    }

    /// As [`plaintext`](Self::plaintext), at `pointer`.
    pub(super) fn plaintext_at(&self, pointer: String, host: &str, remedy: &str) {
        let host = shown(host);
        self.find_at(
            pointer,
            format!(
                "would go unencrypted to `{host}`; {remedy}, or `allowPlaintext` to true where the network can be trusted"
            ),
        );
    }

    fn as_text(&self, pointer: &str, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::String(text) if text.trim().is_empty() => {
                self.find_at(pointer.to_owned(), "is empty; write a text, or leave it out");
                None
            }
            Value::String(text) => Some(text),
            _ => {
                self.find_at(pointer.to_owned(), format!("is {}; write a text", kind_of(value)));
                None
            }
        }
    }

    fn unknown(&self, name: &str) -> String {
        let of = self.of;
        match closest(name, self.known().iter().copied()) {
            Some(known) => format!("is not a key of {of}; did you mean `{known}`?"),
            None => format!(
                "is not a key of {of}; its keys are `{}`",
                self.known().join("`, `")
            ),
        }
    }

    fn known(&self) -> Ref<'_, Vec<&'static str>> {
        self.known.borrow()
    }
}

/// What kind of value this is, without showing it.
pub(super) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}
