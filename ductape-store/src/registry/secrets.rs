//! Secrets of a broker's configuration: beside it, sealed.

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::seal::StoreKeys;

/// What a secret is shown as.
pub const HIDDEN: &str = "***";

/// Secrets by the JSON pointers of where they stand in a configuration. It does not print them.
#[derive(Clone, Default, PartialEq)]
pub struct Secrets(Map<String, Value>);

impl Secrets {
    /// Adds the secret that stands at `pointer`.
    pub fn insert(&mut self, pointer: String, secret: Value) {
        self.0.insert(pointer, secret);
    }

    /// The secret that stands at `pointer`.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.0.get(pointer)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where they stand.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn seal(&self, keys: &StoreKeys, row: &str) -> Result<String> {
        if self.0.is_empty() {
            return Ok(String::new());
        }
        let plain = Value::Object(self.0.clone()).to_string();
        Ok(STANDARD.encode(keys.seal(plain.as_bytes(), row)?))
    }

    pub(super) fn open(sealed: &str, keys: &StoreKeys, row: &str) -> Result<Self> {
        if sealed.is_empty() {
            return Ok(Self::default());
        }
        let damaged = || {
            StoreError::new(
                StoreErrorKind::Damaged,
                format!("the secrets of `{row}` are not what this library keeps"),
            )
        };
        let kept = STANDARD.decode(sealed).map_err(|_| damaged())?;
        let plain = keys.open(&kept, row)?;
        match serde_json::from_slice(&plain) {
            Ok(Value::Object(secrets)) => Ok(Self(secrets)),
            _ => Err(damaged()),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// What the row of an environment is called where its secrets are sealed: they open there alone.
pub(super) fn row(product: &str, broker: &str, slug: &str) -> String {
    // As JSON, so that no two rows have one name.
    format!("environment {}", serde_json::json!([product, broker, slug]))
}

/// What a broker is in an environment, secrets included; variables stand as they were written. It does not print its
/// configuration.
#[derive(Clone)]
#[non_exhaustive]
pub struct Resolved {
    /// The kind of broker.
    pub kind: String,
    /// The fields of that kind.
    pub config: Value,
    /// Where secrets stood that were not kept.
    pub missing: Vec<String>,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("kind", &self.kind)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

impl Resolved {
    pub(super) fn new(kind: String, mut config: Value, secrets: Secrets) -> Self {
        let mut missing = Vec::new();
        find_hidden(&config, &mut String::new(), &mut |pointer| {
            if secrets.get(pointer).is_none() {
                missing.push(pointer.to_owned());
            }
        });
        for (pointer, secret) in secrets.0 {
            if let Some(place) = config.pointer_mut(&pointer) {
                *place = secret;
            }
        }
        Self {
            kind,
            config,
            missing,
        }
    }
}

/// Names the pointers of what is hidden, in whole or in part, as the password of a URL.
fn find_hidden(value: &Value, pointer: &mut String, found: &mut impl FnMut(&str)) {
    let length = pointer.len();
    match value {
        Value::String(text) if text.contains(HIDDEN) => found(pointer),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                // Writing to a string can't fail.
                let _ = write!(pointer, "/{at}");
                find_hidden(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                find_hidden(field, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
