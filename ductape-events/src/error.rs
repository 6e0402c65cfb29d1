//! What goes wrong, as the user of this crate sees it.

use std::error::Error as StdError;
use std::fmt;

use ductape_providers::examine::Severity;
use ductape_providers::{Error as ProviderError, ErrorKind};

/// What went wrong: a code, what was asked, what is there instead, and whether trying again can help.
///
/// ```
/// use ductape_events::prelude::*;
/// use ductape_events::{BrokerError, ErrorCode};
///
/// # #[topic("docs:paid")]
/// # struct Paid { n: u32 }
/// # async fn pay(ctx: &Context) -> Result<(), BrokerError> {
/// match (Paid { n: 1 }).produce(ctx).await {
///     Ok(receipt) => println!("stored as {}", receipt.process_id),
///     Err(error) if error.code() == ErrorCode::PublishFailed && error.is_temporary() => println!("later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub struct BrokerError(Box<Inner>);

struct Inner {
    code: ErrorCode,
    message: String,
    temporary: bool,
    publish_outcome: Option<PublishOutcome>,
    context: Vec<(&'static str, String)>,
    findings: Vec<Finding>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Of a publish that was not confirmed: whether the message may be stored all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Surely not stored.
    Rejected,
    /// Sent, and no answer: it may or may not be stored. Producing it again with the same id is safe.
    Indeterminate,
}

/// One of the things that a start-up check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub code: ErrorCode,
    /// The name by which it can be allowed ([`DuctapeBuilder::allow`](crate::DuctapeBuilder::allow), or `allow` in an
    /// environment of `ductape.toml`): `redis-evicts`. `None` where a program can't run with it.
    pub name: Option<&'static str>,
    /// Whether it keeps the program from starting. What is allowed by name is a warning.
    pub severity: Severity,
    /// What is wrong, what that costs, and how to mend it.
    pub message: String,
}

impl Finding {
    pub(crate) const fn new(code: ErrorCode, message: String) -> Self {
        Self {
            code,
            name: None,
            severity: Severity::Refusal,
            message,
        }
    }

    /// This finding, which people who know better can allow by `name`.
    pub(crate) const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    pub(crate) fn is_refusal(&self) -> bool {
        self.severity == Severity::Refusal
    }

    /// The text, and how to allow it.
    fn text(&self) -> String {
        match self.name {
            Some(name) if self.is_refusal() => format!("{} (or allow `{name}`)", self.message),
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of thing went wrong. The texts are those of the service that this project is modelled on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// The code as text: `PUBLISH_FAILED` …
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// No broker of this tag is configured.
    BrokerNotFound = "BROKER_NOT_FOUND",
    /// The broker has no such environment.
    BrokerEnvNotFound = "BROKER_ENV_NOT_FOUND",
    /// The topic is not known.
    TopicNotFound = "TOPIC_NOT_FOUND",
    /// The broker did not confirm a publish.
    PublishFailed = "PUBLISH_FAILED",
    /// A consumer could not join its group.
    SubscribeFailed = "SUBSCRIBE_FAILED",
    /// A session token is bad, expired or revoked.
    SessionInvalid = "SESSION_INVALID",
    /// Events could not be queried.
    GetEventsFailed = "GET_EVENTS_FAILED",
    /// An event could not be queried.
    GetEventFailed = "GET_EVENT_FAILED",
    /// An event could not be replayed.
    ReplayEventFailed = "REPLAY_EVENT_FAILED",
    /// Dead letters could not be reprocessed.
    ReprocessDlqFailed = "REPROCESS_DLQ_FAILED",
    /// An idempotency key could not be checked.
    CheckIdempotencyFailed = "CHECK_IDEMPOTENCY_FAILED",
    /// An idempotent publish failed.
    PublishIdempotentFailed = "PUBLISH_IDEMPOTENT_FAILED",
    /// No event has this id.
    EventNotFound = "EVENT_NOT_FOUND",
    /// The configuration, or what the program asks of it, can't be used.
    ConfigInvalid = "CONFIG_INVALID",
    /// A text is not `broker:topic`.
    EventNameInvalid = "EVENT_NAME_INVALID",
    /// A payload does not fit its topic.
    PayloadInvalid = "PAYLOAD_INVALID",
    /// A payload is larger than allowed.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE",
    /// A schema does not fit the one that is registered.
    SchemaIncompatible = "SCHEMA_INCOMPATIBLE",
    /// The broker or store could not be reached.
    ConnectionFailed = "CONNECTION_FAILED",
    /// An idempotency key was used with another payload.
    IdempotencyConflict = "IDEMPOTENCY_CONFLICT",
    /// A replay was refused.
    ReplayRefused = "REPLAY_REFUSED",
    /// Something of this name exists.
    AlreadyExists = "ALREADY_EXISTS",
    /// The store failed.
    StoreFailed = "STORE_FAILED",
    /// The broker, as configured, or this build can't do this.
    Unsupported = "UNSUPPORTED",
    /// The program is shutting down.
    ShuttingDown = "SHUTTING_DOWN",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl BrokerError {
    /// The same with `code`, where it tells of the store or the broker alone.
    #[cfg(feature = "store")]
    pub(crate) fn coded(self, code: ErrorCode) -> Self {
        match self.code() {
            ErrorCode::StoreFailed | ErrorCode::PublishFailed => self.with_code(code),
            _ => self,
        }
    }

    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            temporary: false,
            publish_outcome: None,
            context: Vec::new(),
            findings: Vec::new(),
            source: None,
        }))
    }

    /// The error of a start-up check: one finding speaks for itself, several are listed.
    pub(crate) fn from_findings(findings: Vec<Finding>) -> Self {
        let code = findings
            .first()
            .map_or(ErrorCode::ConfigInvalid, |finding| finding.code);
        let mut error = if findings.len() == 1 {
            Self::new(code, findings[0].text())
        } else {
            let mut text = format!("{} things keep this program from starting:", findings.len());
            for finding in &findings {
                text.push_str("\n  - ");
                text.push_str(&finding.to_string());
            }
            Self::new(ErrorCode::ConfigInvalid, text)
        };
        error.0.findings = findings;
        error
    }

    /// Everything that is wrong with what was given: `what` begins the text.
    #[cfg(feature = "store")]
    pub(crate) fn invalid(what: &str, findings: Vec<Finding>) -> Self {
        let texts: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        let mut error = Self::new(ErrorCode::ConfigInvalid, format!("{what}: {}", texts.join(" | ")));
        error.0.findings = findings;
        error
    }

    pub(crate) fn from_provider(code: ErrorCode, message: impl Into<String>, source: ProviderError) -> Self {
        let code = match source.kind() {
            ErrorKind::Unsupported => ErrorCode::Unsupported,
            ErrorKind::PayloadTooLarge => ErrorCode::PayloadTooLarge,
            ErrorKind::HeaderInvalid => ErrorCode::PayloadInvalid,
            ErrorKind::Closed => ErrorCode::ShuttingDown,
            ErrorKind::TopicMissing => ErrorCode::TopicNotFound,
            ErrorKind::ConfigInvalid => ErrorCode::ConfigInvalid,
            _ => code,
        };
        let mut error = Self::new(code, message);
        error.0.temporary = source.is_temporary();
        error.0.source = Some(Box::new(source));
        error
    }

    /// The same, for another of the calls that it keeps from being done; without its cause.
    pub(crate) fn again(&self) -> Self {
        let Inner {
            code,
            message,
            temporary,
            publish_outcome,
            context,
            ..
        } = &*self.0;
        let mut error = Self::new(*code, message.clone());
        error.0.temporary = *temporary;
        error.0.publish_outcome = *publish_outcome;
        error.0.context.clone_from(context);
        error
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    #[cfg(feature = "store")]
    pub(crate) fn with_code(mut self, code: ErrorCode) -> Self {
        self.0.code = code;
        self
    }

    #[cfg(feature = "store")]
    pub(crate) fn with_temporary(mut self, temporary: bool) -> Self {
        self.0.temporary = temporary;
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_publish_outcome(mut self, outcome: PublishOutcome) -> Self {
        self.0.publish_outcome = Some(outcome);
        self
    }

    /// What kind of thing went wrong.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The text without the context and the cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether trying again can help.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// Of a publish: whether the message may be stored all the same.
    pub fn publish_outcome(&self) -> Option<PublishOutcome> {
        self.0.publish_outcome
    }

    /// What it is about: `event`, `broker`, `environment`, `group` …
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Of a start-up check: everything that was found.
    pub fn findings(&self) -> &[Finding] {
        &self.0.findings
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        for (i, (name, value)) in self.0.context.iter().enumerate() {
            let open = if i == 0 { " (" } else { ", " };
            write!(f, "{open}{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `fn main() -> Result<(), BrokerError>` prints: the same line.
        fmt::Display::fmt(self, f)
    }
}

impl StdError for BrokerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::{BrokerError, ErrorCode, Finding};

    #[test]
    fn the_text_names_the_code_and_the_context() {
        let error = BrokerError::new(ErrorCode::TopicNotFound, "no topic `a:b`; known topics of a: c")
            .with("environment", "dev")
            .with_source("cause");
        assert_eq!(
            error.to_string(),
            "TOPIC_NOT_FOUND: no topic `a:b`; known topics of a: c (environment: dev): cause"
        );
        assert_eq!(format!("{error:?}"), error.to_string());
    }

    #[test]
    fn findings_are_listed_all_at_once() {
        let finding = |message: &str| Finding::new(ErrorCode::BrokerNotFound, message.to_owned());
        let one = BrokerError::from_findings(vec![finding("x")]);
        assert_eq!(one.to_string(), "BROKER_NOT_FOUND: x");
        assert_eq!(one.findings().len(), 1);
        let allowable = BrokerError::from_findings(vec![finding("x").named("broker-x")]);
        assert_eq!(allowable.to_string(), "BROKER_NOT_FOUND: x (or allow `broker-x`)");
        let two = BrokerError::from_findings(vec![finding("x"), finding("y")]);
        assert_eq!(
            two.to_string(),
            "CONFIG_INVALID: 2 things keep this program from starting:\n  - BROKER_NOT_FOUND: x\n  - BROKER_NOT_FOUND: y"
        );
    }
}
