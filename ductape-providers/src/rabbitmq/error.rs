//! The table of what goes wrong with a RabbitMQ server, and what it is called here.

use lapin::ErrorKind as ClientKind;

use crate::error::{Error, ErrorKind};

/// What an answer of the server means, by its code and by what its text has: its kind, whether trying again can help, and
/// what to say. The first row that fits holds.
///
/// The codes are those of <https://www.rabbitmq.com/amqp-0-9-1-reference#constants>; the texts those of the server's
/// `rabbit_channel`, `rabbit_reader`, `rabbit_misc` and `rabbit_amqqueue`.
const TABLE: &[(u16, &str, ErrorKind, bool, &str)] = &[
    (
        311,
        "",
        ErrorKind::PayloadTooLarge,
        false,
        "the server takes no message of this size (`max_message_size`)",
    ),
    (
        320,
        "",
        ErrorKind::Unreachable,
        true,
        "the server closes its connections; it shuts down, or somebody closed this one",
    ),
    (
        402,
        "",
        ErrorKind::ConfigInvalid,
        false,
        "there is no such virtual host; check `vhost`, or the path of `url`",
    ),
    (
        403,
        "ogin was refused",
        ErrorKind::Unauthorized,
        false,
        "the server refuses the user or the password; check them, and that the user may connect from here",
    ),
    (
        403,
        "",
        ErrorKind::Unauthorized,
        false,
        "the user may not do this; give it the permissions that docs.md names",
    ),
    (
        404,
        "no exchange",
        ErrorKind::TopicMissing,
        false,
        "the exchange does not exist; declare the topic before it is used",
    ),
    (
        404,
        "no queue",
        ErrorKind::GroupMissing,
        false,
        "the queue does not exist; declare the group before it is used",
    ),
    (
        404,
        "is down or inaccessible",
        ErrorKind::Unreachable,
        true,
        "the node that has the queue is down",
    ),
    (
        405,
        "",
        ErrorKind::TopologyMismatch,
        false,
        "another connection has the queue for itself (`exclusive`); use another name",
    ),
    (
        406,
        "message size",
        ErrorKind::PayloadTooLarge,
        false,
        "the server takes no message of this size (`max_message_size`)",
    ),
    (
        406,
        "acknowledgement on channel",
        ErrorKind::LeaseLost,
        false,
        "a message was in hand for longer than the server's `consumer_timeout`; handle it faster, or raise that",
    ),
    (
        406,
        "unknown delivery tag",
        ErrorKind::LeaseLost,
        false,
        "a message was settled that the server gave to another",
    ),
    (
        406,
        "inequivalent arg",
        ErrorKind::TopologyMismatch,
        false,
        "it exists and is set up otherwise",
    ),
    (
        406,
        "",
        ErrorKind::TopologyMismatch,
        false,
        "the server can't do this with what exists",
    ),
    (504, "", ErrorKind::Unreachable, true, "the channel is gone"),
    (
        506,
        "",
        ErrorKind::Throttled,
        true,
        "the server lacks a resource for this",
    ),
    (
        530,
        " limit (",
        ErrorKind::Throttled,
        true,
        "the server takes no more connections, channels or queues",
    ),
    (
        530,
        "not found",
        ErrorKind::ConfigInvalid,
        false,
        "there is no such virtual host; check `vhost`, or the path of `url`",
    ),
    (
        530,
        "access to vhost",
        ErrorKind::Unauthorized,
        false,
        "the user may not use the virtual host; check `vhost`, or give the user permissions in it",
    ),
    (
        530,
        "is down",
        ErrorKind::Unreachable,
        true,
        "the virtual host is down",
    ),
    (
        530,
        "",
        ErrorKind::Unauthorized,
        false,
        "the server does not allow this",
    ),
    (540, "", ErrorKind::Unsupported, false, "the server can't do this"),
    (
        541,
        "",
        ErrorKind::Unreachable,
        true,
        "the server failed; its log says why",
    ),
];

/// What the client's error is called here.
pub(super) fn client(error: &lapin::Error) -> Error {
    let (kind, temporary, text) = match error.kind() {
        ClientKind::ProtocolError(answer) => {
            let (code, said) = (answer.get_id(), answer.get_message().to_string());
            TABLE
                .iter()
                .find(|(of, has, ..)| *of == code && said.contains(has))
                .map_or(
                    (ErrorKind::Unexpected, true, "the server refuses this"),
                    |(_, _, kind, temporary, text)| (*kind, *temporary, *text),
                )
        }
        ClientKind::IOError(error) => return io(error),
        ClientKind::MissingHeartbeatError => (
            ErrorKind::Unreachable,
            true,
            "the server was silent for too long, and the connection is given up",
        ),
        ClientKind::InvalidChannel(_)
        | ClientKind::InvalidChannelState(..)
        | ClientKind::InvalidConnectionState(_) => (ErrorKind::Unreachable, true, "the connection is lost"),
        ClientKind::ChannelsLimitReached => (
            ErrorKind::Throttled,
            true,
            "the connection has no channel left (`channel_max`)",
        ),
        ClientKind::RuntimeShutdownError(_) => (
            ErrorKind::Closed,
            false,
            "the runtime that the connection works on has ended",
        ),
        ClientKind::AuthProviderError(_) => (
            ErrorKind::Unauthorized,
            false,
            "the server wants another way to log in",
        ),
        _ => (
            ErrorKind::Unexpected,
            false,
            "the client and the server do not understand each other",
        ),
    };
    Error::new(kind, text)
        .with_temporary(temporary)
        .with_source(error.to_string())
}

/// What an error of the network is called here.
pub(super) fn io(error: &std::io::Error) -> Error {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Error::new(
            ErrorKind::ConfigInvalid,
            "the server's certificate is not to be trusted; check `caFile`, the host's name and the certificate",
        ),
        Some(_) => Error::new(
            ErrorKind::ConfigInvalid,
            "the server does not speak TLS as we do; check the port, and that it offers TLS 1.2 or 1.3",
        ),
        None => Error::new(ErrorKind::Unreachable, "the server can't be reached, or the connection is lost"),
    }
    .with_source(error.to_string())
}

/// The server did not answer in time.
pub(super) fn timeout(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, "the server did not answer in time").with("operation", operation)
}

/// The provider was closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the provider is closed")
}

/// The delivery is no longer the subscription's.
pub(super) fn lease_lost() -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        "the delivery was settled before, or its channel is gone and the server delivers it again",
    )
}

/// The server blocks publishers.
pub(super) fn blocked(reason: &str) -> Error {
    let text =
        format!("the server blocks publishers ({reason}); give it memory or disk, or wait until it has");
    Error::new(ErrorKind::Throttled, text)
}

/// A queue in which messages wait is not there.
pub(super) fn hold_gone() -> Error {
    let text =
        "the queue in which the message was to wait was deleted; it is made again when this is tried again";
    Error::new(ErrorKind::GroupMissing, text).with_temporary(true)
}

/// Whether the error tells of the virtual host, once the user is known.
pub(super) fn is_vhost(error: &lapin::Error) -> bool {
    matches!(error.kind(), ClientKind::ProtocolError(answer)
        if matches!(answer.get_id(), 402 | 530)
            || (answer.get_id() == 403 && answer.get_message().to_string().contains("vhost")))
}

/// The code and the text of the server's answer, where it is one.
pub(super) fn answer(error: &lapin::Error) -> Option<(u16, String)> {
    match error.kind() {
        ClientKind::ProtocolError(answer) => Some((answer.get_id(), answer.get_message().to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;
    use lapin::{ConnectionState, Error as ClientError, ErrorKind as ClientKind};

    use super::{TABLE, client, io, is_vhost};
    use crate::error::ErrorKind;

    fn answer(code: u16, text: &str) -> ClientError {
        ClientKind::ProtocolError(AMQPError::from_id(code, text.into()).unwrap()).into()
    }

    #[allow(clippy::too_many_lines)] // a table
    /// A row a kind of answer, as a server of version 3.10 or 4 words it.
    #[test]
    fn every_row_of_the_table_has_its_answer() {
        use ErrorKind as K;
        let answers = [
            (311, "CONTENT_TOO_LARGE", K::PayloadTooLarge, false),
            (
                320,
                "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
                K::Unreachable,
                true,
            ),
            (402, "INVALID_PATH", K::ConfigInvalid, false),
            (
                403,
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
                K::Unauthorized,
                false,
            ),
            (
                403,
                "ACCESS_REFUSED - access to exchange 'a' in vhost '/' refused for user 'u'",
                K::Unauthorized,
                false,
            ),
            (
                404,
                "NOT_FOUND - no exchange 'a' in vhost '/'",
                K::TopicMissing,
                false,
            ),
            (
                404,
                "NOT_FOUND - no queue 'a.b.g' in vhost '/'",
                K::GroupMissing,
                false,
            ),
            (
                404,
                "NOT_FOUND - home node 'r@h' of durable queue 'q' in vhost '/' is down or inaccessible",
                K::Unreachable,
                true,
            ),
            (
                405,
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'",
                K::TopologyMismatch,
                false,
            ),
            (
                406,
                "PRECONDITION_FAILED - message size 17 is larger than configured max size 16",
                K::PayloadTooLarge,
                false,
            ),
            (
                406,
                "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms.",
                K::LeaseLost,
                false,
            ),
            (
                406,
                "PRECONDITION_FAILED - unknown delivery tag 7",
                K::LeaseLost,
                false,
            ),
            (
                406,
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                K::TopologyMismatch,
                false,
            ),
            (
                406,
                "PRECONDITION_FAILED - invalid arg 'x-queue-type'",
                K::TopologyMismatch,
                false,
            ),
            (504, "CHANNEL_ERROR", K::Unreachable, true),
            (506, "RESOURCE_ERROR", K::Throttled, true),
            (
                530,
                "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached",
                K::Throttled,
                true,
            ),
            (530, "NOT_ALLOWED - vhost v not found", K::ConfigInvalid, false),
            (
                530,
                "NOT_ALLOWED - access to vhost 'v' refused for user 'u'",
                K::Unauthorized,
                false,
            ),
            (530, "NOT_ALLOWED - vhost 'v' is down", K::Unreachable, true),
            (
                530,
                "NOT_ALLOWED - attempt to reuse consumer tag",
                K::Unauthorized,
                false,
            ),
            (540, "NOT_IMPLEMENTED - immediate=true", K::Unsupported, false),
            (541, "INTERNAL_ERROR", K::Unreachable, true),
        ];
        assert_eq!(answers.len(), TABLE.len());
        for ((code, text, kind, temporary), row) in answers.into_iter().zip(TABLE) {
            let error = client(&answer(code, text));
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{error}");
            assert_eq!(error.message(), row.4, "{text}");
            assert!(error.to_string().contains(text), "{error}");
        }
        let error = client(&answer(502, "SYNTAX_ERROR"));
        assert_eq!(error.kind(), ErrorKind::Unexpected);
    }

    #[test]
    fn a_lost_connection_may_come_back_and_a_bad_certificate_does_not() {
        for kind in [
            ClientKind::MissingHeartbeatError,
            ClientKind::InvalidConnectionState(ConnectionState::Closed),
            ClientKind::InvalidChannel(1),
        ] {
            let error = client(&kind.into());
            assert!(
                error.is_temporary() && error.kind() == ErrorKind::Unreachable,
                "{error}"
            );
        }
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(io(&refused).is_temporary());
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io(&std::io::Error::other(certificate));
        assert!(
            !error.is_temporary() && error.to_string().contains("`caFile`"),
            "{error}"
        );
    }

    #[test]
    fn a_refused_vhost_is_told_from_a_refused_user() {
        assert!(is_vhost(&answer(530, "NOT_ALLOWED - vhost v not found")));
        assert!(!is_vhost(&answer(
            403,
            "ACCESS_REFUSED - Login was refused using"
        )));
    }
}
