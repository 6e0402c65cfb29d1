//! A broker's configuration that stands in no file: checked as one that does.

use ductape_providers::config::{ConfigFinding, ProviderConfig};
use serde_json::{Map, Value};

use super::document::pointer_to;
use super::expand::{Lookup, PLACEHOLDER, expand};
use super::read::overlap;

/// A configuration with its variables put in.
pub(crate) struct CheckedValue {
    /// The configuration; `None` when something is wrong with it, or a variable is not set.
    pub(crate) config: Option<ProviderConfig>,
    /// What is wrong, whatever the variables are, each at its JSON pointer in the configuration.
    pub(crate) findings: Vec<ConfigFinding>,
    /// The variables that are not set.
    pub(crate) unset: Vec<ConfigFinding>,
}

/// Checks a configuration of the type `kind`. `lookup` answers the variables.
pub(crate) fn check_value(kind: &str, config: &Value, lookup: Lookup<'_>) -> CheckedValue {
    let mut variables = Variables {
        lookup,
        unset: Vec::new(),
        malformed: Vec::new(),
    };
    let expanded = variables.put_in(config, "");
    let mut whole = Map::new();
    whole.insert("type".to_owned(), kind.into());
    whole.insert("config".to_owned(), expanded);
    let read = ProviderConfig::from_value(&Value::Object(whole));
    let (config, found) = match read {
        Ok(config) => (Some(config), Vec::new()),
        Err(error) => (None, error.findings().to_vec()),
    };
    let Variables { unset, malformed, .. } = variables;
    let mut findings = malformed.clone();
    for mut finding in found {
        if let Some(inside) = finding.pointer.strip_prefix("/config") {
            finding.pointer = String::from(inside);
        }
        // What is wrong only because a text is not known yet is not wrong yet.
        let mut unknown = unset.iter().chain(&malformed);
        if !unknown.any(|unknown| overlap(&unknown.pointer, &finding.pointer)) {
            findings.push(finding);
        }
    }
    let is_ready = findings.is_empty() && unset.is_empty();
    CheckedValue {
        config: config.filter(|_| is_ready),
        findings,
        unset,
    }
}

struct Variables<'a> {
    lookup: Lookup<'a>,
    unset: Vec<ConfigFinding>,
    malformed: Vec<ConfigFinding>,
}

impl Variables<'_> {
    fn put_in(&mut self, value: &Value, pointer: &str) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text, pointer)),
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(at, item)| self.put_in(item, &format!("{pointer}/{at}")))
                    .collect()
            }
            Value::Object(fields) => {
                let field = |(name, field): (&String, &Value)| {
                    (name.clone(), self.put_in(field, &pointer_to(pointer, name)))
                };
                Value::Object(fields.iter().map(field).collect())
            }
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str, pointer: &str) -> String {
        let expanded = expand(text, self.lookup);
        let finding = |message: String| ConfigFinding {
            pointer: pointer.to_owned(),
            message,
        };
        for name in &expanded.unset {
            let message =
                format!("the variable `{name}` is not set; set it, or write `${{{name}:-default}}`");
            self.unset.push(finding(message));
        }
        if let Some(message) = expanded.malformed {
            self.malformed.push(finding(message.to_owned()));
            return PLACEHOLDER.to_owned();
        }
        expanded.text
    }
}
