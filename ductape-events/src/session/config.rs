//! Kinds of session.

use std::time::{Duration, SystemTime};

use ductape_store::sessions::Config;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::rfc3339;
use crate::error::{BrokerError, ErrorCode};

/// The longest that a token, or a refresh token, can be used: ten years of 365 days.
const LIFE_MAX: Duration = Duration::from_hours(10 * 365 * 24);
/// The largest sample, and the largest data of a session, in bytes of JSON.
pub(super) const DATA_BYTES_MAX: usize = 16 * 1024;

/// A kind of session.
///
/// ```
/// use ductape_events::session::{Period, SessionConfig};
///
/// let config = SessionConfig {
///     tag: "user-session".into(),
///     name: "Users".into(),
///     selector: "$Session{userId}".into(),
///     expiry: 15,
///     period: Period::Minutes,
///     schema: serde_json::json!({"userId": "u1", "email": "user@example.com"}),
///     ..SessionConfig::default()
/// };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionConfig {
    /// Its name, for people.
    pub name: String,
    /// What it is called by: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
    pub tag: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which field of the data names the user, as `$Session{userId}`; its value is a text, a number or a boolean.
    pub selector: String,
    /// How long a token can be used, in units of `period`; at least 1, at most ten years.
    pub expiry: u32,
    /// The unit of `expiry`.
    pub period: Period,
    /// How long a refresh token can be used. By default 30 days, or as long as a token where that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Lifetime>,
    /// A sample of the data, an object: sessions hold its fields, each of the same type, and no others. A `null` in it takes
    /// anything or nothing. At most 16 KiB of JSON, as the data.
    pub schema: Value,
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// How many.
    pub expiry: u32,
    /// Of what.
    pub period: Period,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours, the default.
    #[default]
    Hours,
    /// Days of 24 hours.
    Days,
}

/// What is changed of a kind of session; `None` stays. Sessions that are under way keep their data and their tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionChange {
    /// Its name.
    pub name: Option<String>,
    /// What it is for; an empty text takes it away.
    pub description: Option<String>,
    /// Which field of the data names the user.
    pub selector: Option<String>,
    /// How long a token can be used.
    pub expiry: Option<u32>,
    /// The unit of `expiry`.
    pub period: Option<Period>,
    /// How long a refresh token can be used.
    pub refresh: Option<Lifetime>,
    /// A sample of the data.
    pub schema: Option<Value>,
}

/// A kind of session, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionConfigEntry {
    /// The product.
    pub product: String,
    /// What was said of it, with the defaults.
    #[serde(flatten)]
    pub config: SessionConfig,
    /// When it was created.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: SystemTime,
    /// When it was last changed.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: SystemTime,
}

impl Period {
    const ALL: [(Self, &'static str, u64); 4] = [
        (Self::Seconds, "seconds", 1),
        (Self::Minutes, "minutes", 60),
        (Self::Hours, "hours", 3_600),
        (Self::Days, "days", 86_400),
    ];

    const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn read(text: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, name, _)| *name == text);
        known.map(|(period, ..)| *period)
    }
}

impl Lifetime {
    const REFRESH_DEFAULT: Self = Self {
        expiry: 30,
        period: Period::Days,
    };

    pub(super) fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.expiry) * Period::ALL[self.period as usize].2)
    }

    fn check(self, what: &str) -> Result<(), BrokerError> {
        if self.expiry > 0 && self.duration() <= LIFE_MAX {
            return Ok(());
        }
        Err(wrong(format!(
            "{what} of {} {} can't be; it is at least 1 second and at most 3,650 days",
            self.expiry,
            self.period.as_str()
        )))
    }
}

impl SessionConfig {
    pub(super) fn token_life(&self) -> Lifetime {
        Lifetime {
            expiry: self.expiry,
            period: self.period,
        }
    }

    pub(super) fn refresh_life(&self) -> Lifetime {
        self.refresh.unwrap_or_else(|| {
            let token = self.token_life();
            if token.duration() > Lifetime::REFRESH_DEFAULT.duration() {
                token
            } else {
                Lifetime::REFRESH_DEFAULT
            }
        })
    }

    /// The field that names the user.
    pub(super) fn selected(&self) -> Result<&str, BrokerError> {
        let inner = self
            .selector
            .trim()
            .strip_prefix("$Session{")
            .and_then(|rest| rest.strip_suffix('}'));
        let field = inner.map(str::trim).filter(|field| !field.is_empty());
        field.ok_or_else(|| {
            wrong(format!(
                "the selector `{}` does not name a field; write `$Session{{userId}}`",
                self.selector.escape_debug()
            ))
        })
    }

    /// Whether it can be kept, with the defaults put in.
    pub(super) fn checked(mut self) -> Result<Self, BrokerError> {
        let of_a_tag = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !(1..=64).contains(&self.tag.len()) || !self.tag.bytes().all(of_a_tag) {
            return Err(wrong(format!(
                "the tag `{}` can't be; it is 1 to 64 of a-z, 0-9, `-` and `_`",
                self.tag.escape_debug()
            )));
        }
        if self.name.trim().is_empty() {
            self.name.clone_from(&self.tag);
        }
        self.description = self.description.filter(|text| !text.is_empty());
        self.token_life().check("an expiry")?;
        let refresh = self.refresh_life();
        refresh.check("a refresh")?;
        self.refresh = Some(refresh);
        let Value::Object(sample) = &self.schema else {
            return Err(wrong(
                "the schema is no object; give a sample of the data, as `{\"userId\": \"u1\"}`".to_owned(),
            ));
        };
        let field = self.selected()?;
        let told = || {
            let names: Vec<&str> = sample.keys().map(String::as_str).collect();
            names.join(", ")
        };
        match sample.get(field) {
            None => Err(wrong(format!(
                "the selector names `{}`, and the schema has no such field; it has: {}",
                field.escape_debug(),
                told()
            ))),
            Some(Value::Array(_) | Value::Object(_) | Value::Null) => Err(wrong(format!(
                "the selector names `{}`, which is no text, number or boolean in the schema",
                field.escape_debug()
            ))),
            Some(_) if self.schema.to_string().len() > DATA_BYTES_MAX => {
                Err(wrong(format!("the schema has more than {DATA_BYTES_MAX} bytes")))
            }
            Some(_) => Ok(self),
        }
    }

    /// The value of `data` that names the user, as text.
    pub(super) fn identifier_of(&self, data: &Value) -> Result<String, BrokerError> {
        const BYTES_MAX: usize = 512;
        let field = self.selected()?;
        let refused = |why: &str| {
            BrokerError::new(
                ErrorCode::PayloadInvalid,
                format!(
                    "the field `{}`, which names the user, {why}",
                    field.escape_debug()
                ),
            )
        };
        let text = match data.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(value)) => value.to_string(),
            _ => return Err(refused("is no text, number or boolean")),
        };
        if text.is_empty() || text.len() > BYTES_MAX || text.chars().any(char::is_control) {
            return Err(refused(
                "is empty, has more than 512 bytes, or a control character",
            ));
        }
        Ok(text)
    }

    pub(super) fn changed(mut self, change: SessionChange) -> Self {
        let SessionChange {
            name,
            description,
            selector,
            expiry,
            period,
            refresh,
            schema,
        } = change;
        self.name = name.unwrap_or(self.name);
        self.description = description.or(self.description);
        self.selector = selector.unwrap_or(self.selector);
        self.expiry = expiry.unwrap_or(self.expiry);
        self.period = period.unwrap_or(self.period);
        self.refresh = refresh.or(self.refresh);
        self.schema = schema.unwrap_or(self.schema);
        self
    }

    pub(super) fn to_kept(&self, product: &str, created_at: SystemTime, updated_at: SystemTime) -> Config {
        let refresh = self.refresh_life();
        Config {
            product: product.to_owned(),
            tag: self.tag.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            selector: self.selector.clone(),
            expiry: self.expiry,
            period: self.period.as_str().to_owned(),
            refresh_expiry: refresh.expiry,
            refresh_period: refresh.period.as_str().to_owned(),
            sample: self.schema.to_string(),
            created_at,
            updated_at,
        }
    }
}

impl SessionConfigEntry {
    pub(super) fn from_kept(kept: Config) -> Result<Self, BrokerError> {
        let damaged = |what: &str| {
            BrokerError::new(
                ErrorCode::StoreFailed,
                format!("the store holds a session configuration whose {what} this version does not write"),
            )
        };
        let period = |text: &str| Period::read(text).ok_or_else(|| damaged("period"));
        let config = SessionConfig {
            period: period(&kept.period)?,
            refresh: Some(Lifetime {
                expiry: kept.refresh_expiry,
                period: period(&kept.refresh_period)?,
            }),
            schema: serde_json::from_str(&kept.sample).map_err(|_| damaged("schema"))?,
            name: kept.name,
            tag: kept.tag,
            description: kept.description,
            selector: kept.selector,
            expiry: kept.expiry,
        };
        Ok(Self {
            product: kept.product,
            config,
            created_at: kept.created_at,
            updated_at: kept.updated_at,
        })
    }
}

pub(super) fn wrong(text: String) -> BrokerError {
    BrokerError::new(ErrorCode::ConfigInvalid, text)
}
