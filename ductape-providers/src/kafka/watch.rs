//! What the client's threads tell: its log goes to `tracing`, its errors are kept for who asks.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use tokio::time::Instant;

use super::error::of_code;
use crate::clock;
use crate::error::Error;

/// Hears what a client says. Clones hear together.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    /// What will not pass: a refused login, an encryption that failed.
    refused: Option<(Code, String)>,
    fatal: bool,
    down_since: Option<Instant>,
    unencrypted: bool,
}

impl Watch {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was refused since it was last asked for.
    pub(super) fn take_refused(&self) -> Option<(Code, Error)> {
        let (code, reason) = self.heard().refused.take()?;
        let error = of_code(code, "connect").with("reason", reason);
        Some((code, error))
    }

    /// When it was heard first that every broker ended the connection, or took none.
    pub(super) fn down_since(&self) -> Option<Instant> {
        self.heard().down_since
    }

    /// Whether a broker ended a connection instead of encrypting it.
    pub(super) fn is_unencrypted(&self) -> bool {
        self.heard().unencrypted
    }

    /// Whether the client has given up and must be made anew.
    pub(super) fn is_fatal(&self) -> bool {
        self.heard().fatal
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::debug!(target: "ductape::kafka", facility, "{}", message.escape_debug());
            }
            _ => tracing::trace!(target: "ductape::kafka", facility, "{}", message.escape_debug()),
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "ductape::kafka", %error, "{}", reason.escape_debug());
        match error.rdkafka_error_code() {
            Some(
                code @ (Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::SSL),
            ) => {
                let reason = reason.escape_debug().to_string();
                self.heard().refused.get_or_insert((code, reason));
            }
            Some(Code::Fatal) => self.heard().fatal = true,
            // The client says nothing else of a server that ends the connection at the first bytes of TLS.
            Some(Code::BrokerTransportFailure) if reason.contains("SSL handshake failed") => {
                self.heard().unencrypted = true;
            }
            Some(Code::AllBrokersDown) => {
                self.heard().down_since.get_or_insert_with(clock::now);
            }
            _ => {}
        }
    }
}
