//! The committed contract of a topic: `contracts/BROKER/TOPIC.v1.json`.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::EventName;
use crate::compatibility::Mode;

/// The format that is written, and the newest that is read.
const FORMAT: u64 = 1;
const ACCEPT: &str = "`DUCTAPE_CONTRACTS=accept cargo test`";

/// What a version of a topic promises to those who read and write it. It stands in the repository beside the code, and is
/// reviewed like code.
///
/// ```
/// use ductape_schema::compatibility::Mode;
/// use ductape_schema::{Contract, EventName};
/// use serde_json::json;
///
/// let event: EventName = "order-events:order-created".parse()?;
/// let contract = Contract {
///     event: event.clone(),
///     version: 1,
///     compatibility: Mode::Backward,
///     owner: "Orders, #orders".to_owned(),
///     schema: json!({ "type": "object" }),
///     sample: json!({}),
/// };
/// assert_eq!(Contract::path(&event, 1).to_str(), Some("contracts/order-events/order-created.v1.json"));
/// assert_eq!(Contract::read(&contract.text(), &event, 1), Ok(contract));
/// # Ok::<(), ductape_schema::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// The event's name.
    pub event: EventName,
    /// The version of the contract, from 1.
    pub version: u32,
    /// How the schema may change.
    pub compatibility: Mode,
    /// Who answers for it, in words for people; empty where nobody wrote it. It is written by hand, and kept.
    pub owner: String,
    /// The JSON Schema (2020-12) of the events.
    pub schema: Value,
    /// An example.
    pub sample: Value,
}

/// Why a text is not the contract that is looked for, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractError(String);

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ContractError {}

impl Contract {
    /// Where a contract stands, from the folder of the crate's Cargo.toml.
    pub fn path(event: &EventName, version: u32) -> PathBuf {
        [
            "contracts",
            event.broker(),
            &format!("{}.v{version}.json", event.topic()),
        ]
        .iter()
        .collect()
    }

    /// Reads the contract of a version of a topic.
    ///
    /// # Errors
    ///
    /// [`ContractError`] when `text` is not JSON, is of a newer format, belongs to another topic or version, or lacks a field.
    pub fn read(text: &str, event: &EventName, version: u32) -> Result<Self, ContractError> {
        let contract = Self::parse(text)?;
        let found = (&contract.event, contract.version);
        if found != (event, version) {
            return Err(ContractError(format!(
                "it is the contract of `{}` version {}, and stands where that of `{event}` version {version} belongs; move it to \
                 `{}`",
                contract.event,
                contract.version,
                Self::path(&contract.event, contract.version).display()
            )));
        }
        Ok(contract)
    }

    /// Reads a contract, whichever topic it is of.
    ///
    /// # Errors
    ///
    /// [`ContractError`] when `text` is not JSON, is of a newer format, or lacks a field.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            ContractError(format!(
                "it is not JSON: {error}; restore it from version control, or write it anew with {ACCEPT}"
            ))
        })?;
        let Value::Object(mut fields) = value else {
            return Err(ContractError(format!(
                "it is not a JSON object; write it anew with {ACCEPT}"
            )));
        };
        // First of all: what a newer format has in the others is not known.
        let format = field(&fields, "format", "a whole number", Value::as_u64)?;
        if format > FORMAT {
            return Err(ContractError(format!(
                "it is of format {format}, and this version of ductape-events reads up to {FORMAT}; update ductape-events"
            )));
        }
        if format == 0 {
            return Err(wrong("format", "1"));
        }
        let event = field(&fields, "event", "a text", Value::as_str)?;
        let event: EventName = event
            .parse()
            .map_err(|error| ContractError(format!("its `event` can't be used: {error}")))?;
        let version = field(&fields, "version", "a whole number", Value::as_u64)?;
        let version = u32::try_from(version).ok().filter(|version| *version > 0);
        let compatibility = field(&fields, "compatibility", "a text", Value::as_str)?;
        let compatibility: Mode = compatibility
            .parse()
            .map_err(|error| ContractError(format!("its `compatibility` can't be used: {error}")))?;
        let owner = match fields.get("owner") {
            None | Some(Value::Null) => String::new(),
            Some(owner) => owner.as_str().ok_or_else(|| wrong("owner", "a text"))?.to_owned(),
        };
        field(&fields, "schema", "a JSON Schema", |schema| {
            (schema.is_object() || schema.is_boolean()).then_some(())
        })?;
        let mut take = |name: &str| fields.remove(name).ok_or_else(|| missing(name));
        Ok(Self {
            event,
            version: version.ok_or_else(|| wrong("version", "a whole number from 1"))?,
            compatibility,
            owner,
            schema: take("schema")?,
            sample: take("sample")?,
        })
    }

    /// The contract as it is committed: pretty, with the fields of schema and sample sorted, so that the same contract is always
    /// the same text.
    pub fn text(&self) -> String {
        let fields = [
            ("format", Value::from(FORMAT)),
            ("event", Value::from(self.event.as_str())),
            ("version", Value::from(self.version)),
            ("compatibility", Value::from(self.compatibility.as_str())),
            ("owner", Value::from(self.owner.as_str())),
            ("schema", sorted(&self.schema)),
            ("sample", sorted(&self.sample)),
        ];
        let lines = fields.map(|(name, value)| {
            let pretty = format!("{value:#}").replace('\n', "\n  ");
            format!("  \"{name}\": {pretty}")
        });
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }
}

fn field<'f, T>(
    fields: &'f Map<String, Value>,
    name: &str,
    what: &str,
    read: impl Fn(&'f Value) -> Option<T>,
) -> Result<T, ContractError> {
    let value = fields.get(name).ok_or_else(|| missing(name))?;
    read(value).ok_or_else(|| wrong(name, what))
}

fn missing(name: &str) -> ContractError {
    ContractError(format!(
        "it has no `{name}`; restore it from version control, or write it anew with {ACCEPT}"
    ))
}

fn wrong(name: &str, what: &str) -> ContractError {
    ContractError(format!("its `{name}` is not {what}"))
}

/// The same with the fields of all objects in order, whichever way the map keeps them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Map<String, Value> = fields
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect();
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Contract;
    use crate::EventName;
    use crate::compatibility::Mode;

    fn event() -> EventName {
        "shop:paid".parse().unwrap()
    }

    const TEXT: &str = r#"{
  "format": 1,
  "event": "shop:paid",
  "version": 2,
  "compatibility": "full",
  "owner": "Payments",
  "schema": {
    "properties": {
      "a": {
        "type": "string"
      },
      "b": true
    },
    "type": "object"
  },
  "sample": {
    "a": "x\ny"
  }
}
"#;

    #[test]
    fn the_text_is_always_the_same() {
        let contract = Contract {
            event: event(),
            version: 2,
            compatibility: Mode::Full,
            owner: "Payments".to_owned(),
            schema: json!({ "type": "object", "properties": { "b": true, "a": { "type": "string" } } }),
            sample: json!({ "a": "x\ny" }),
        };
        assert_eq!(contract.text(), TEXT);
        assert_eq!(Contract::read(TEXT, &event(), 2), Ok(contract));
    }

    #[test]
    fn what_is_no_contract_is_told() {
        let restore =
            "restore it from version control, or write it anew with `DUCTAPE_CONTRACTS=accept cargo test`";
        for (text, told) in [
            (
                "<<<<<<< HEAD".to_owned(),
                format!("it is not JSON: expected value at line 1 column 1; {restore}"),
            ),
            ("[]".to_owned(), "it is not a JSON object; write it anew with `DUCTAPE_CONTRACTS=accept cargo test`".to_owned()),
            (
                TEXT.replace("\"format\": 1", "\"format\": 7"),
                "it is of format 7, and this version of ductape-events reads up to 1; update ductape-events".to_owned(),
            ),
            (TEXT.replace("\"format\": 1,", ""), format!("it has no `format`; {restore}")),
            (TEXT.replace("\"sample\"", "\"simple\""), format!("it has no `sample`; {restore}")),
            (TEXT.replace("\"format\": 1", "\"format\": \"1\""), "its `format` is not a whole number".to_owned()),
            (TEXT.replace("\"version\": 2", "\"version\": 0"), "its `version` is not a whole number from 1".to_owned()),
            (TEXT.replace("\"Payments\"", "7"), "its `owner` is not a text".to_owned()),
            (
                TEXT.replace("\"full\"", "\"fully\""),
                "its `compatibility` can't be used: `fully` is no compatibility; write `backward`, `forward`, `full` or `none`"
                    .to_owned(),
            ),
            (
                TEXT.replace("shop:paid", "shop:refunded"),
                "it is the contract of `shop:refunded` version 2, and stands where that of `shop:paid` version 2 belongs; move it \
                 to `contracts/shop/refunded.v2.json`"
                    .to_owned(),
            ),
        ] {
            assert_eq!(Contract::read(&text, &event(), 2).unwrap_err().to_string(), told);
        }
    }
}
