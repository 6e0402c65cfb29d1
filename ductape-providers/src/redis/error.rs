//! The table of what goes wrong with a Redis server, and what it is called here.

use redis::{ErrorKind as ClientKind, RedisError, ServerError};

use crate::error::{Error, ErrorKind};

/// What a code of the server means: its kind, whether trying again can help, and what to say.
///
/// The codes are those of <https://github.com/redis/redis/blob/7.4/src/server.c> (`shared.*err`) and of the commands' pages.
const TABLE: &[(&str, ErrorKind, bool, &str)] = &[
    (
        "NOAUTH",
        ErrorKind::Unauthorized,
        false,
        "the server wants a password; set `password` (and `username`)",
    ),
    (
        "WRONGPASS",
        ErrorKind::Unauthorized,
        false,
        "the server refuses the user or the password; check `username` and `password`",
    ),
    (
        "NOPERM",
        ErrorKind::Unauthorized,
        false,
        "the user may not do this; give it the commands and keys that docs.md names",
    ),
    (
        "LOADING",
        ErrorKind::Unreachable,
        true,
        "the server is loading its data; it answers when it is done",
    ),
    (
        "MASTERDOWN",
        ErrorKind::Unreachable,
        true,
        "the server has lost its primary",
    ),
    (
        "READONLY",
        ErrorKind::Unreachable,
        true,
        "the server is a replica that takes no writes; connect to the primary",
    ),
    (
        "TRYAGAIN",
        ErrorKind::Unreachable,
        true,
        "the server moves its data",
    ),
    ("CLUSTERDOWN", ErrorKind::Unreachable, true, "the cluster is down"),
    (
        "UNBLOCKED",
        ErrorKind::Unreachable,
        true,
        "the server stopped the waiting; it has become a replica, or the key was deleted",
    ),
    (
        "NOREPLICAS",
        ErrorKind::Throttled,
        true,
        "the server has too few replicas to take writes (`min-replicas-to-write`)",
    ),
    (
        "OOM",
        ErrorKind::Throttled,
        true,
        "the server has no memory left (`maxmemory`); raise it, or consume what is stored",
    ),
    (
        "MISCONF",
        ErrorKind::Throttled,
        true,
        "the server can't write its snapshots, and so takes no writes; look into its log and its disk",
    ),
    (
        "BUSY",
        ErrorKind::Throttled,
        true,
        "the server runs a script that takes long",
    ),
    (
        "NOSCRIPT",
        ErrorKind::Unexpected,
        true,
        "the server forgot a script; it is sent again",
    ),
    (
        "WRONGTYPE",
        ErrorKind::TopologyMismatch,
        false,
        "a key that should be a stream holds something else; rename it, or use another topic",
    ),
    (
        "NOGROUP",
        ErrorKind::GroupMissing,
        false,
        "the stream or its group does not exist; declare them",
    ),
    (
        "MOVED",
        ErrorKind::Unsupported,
        false,
        "the server is one of a cluster, which is not supported; connect to a single server",
    ),
    (
        "ASK",
        ErrorKind::Unsupported,
        false,
        "the server is one of a cluster, which is not supported; connect to a single server",
    ),
    (
        "CROSSSLOT",
        ErrorKind::Unsupported,
        false,
        "the server is one of a cluster, which is not supported; connect to a single server",
    ),
];

/// What the server answered, as ours.
pub(super) fn answered(error: &ServerError) -> Error {
    of_code(error.code(), error.details().unwrap_or_default())
}

fn of_code(code: &str, detail: &str) -> Error {
    // Servers before 6 have no code of their own for it.
    let code = if detail.starts_with("invalid password") {
        "WRONGPASS"
    } else {
        code
    };
    match TABLE.iter().find(|row| row.0 == code) {
        Some((_, kind, temporary, text)) => Error::new(*kind, *text)
            .with_temporary(*temporary)
            .with_source(format!("{code} {detail}")),
        None => Error::new(ErrorKind::Unexpected, "the server answered with an error")
            .with_source(format!("{code} {detail}")),
    }
}

/// What the client says, as ours.
pub(super) fn client(error: &RedisError) -> Error {
    match error.kind() {
        ClientKind::Server(_) | ClientKind::Extension => {
            of_code(error.code().unwrap_or("ERR"), error.detail().unwrap_or_default())
        }
        ClientKind::AuthenticationFailed => of_code("WRONGPASS", error.detail().unwrap_or_default()),
        ClientKind::InvalidClientConfig => {
            Error::new(ErrorKind::ConfigInvalid, "the connection can't be set up")
                .with_source(error.to_string())
        }
        ClientKind::Io if error.is_timeout() => {
            Error::new(ErrorKind::Timeout, "the server did not answer in time")
        }
        ClientKind::Io => of_io(&error.to_string()),
        ClientKind::Parse | ClientKind::UnexpectedReturnType => Error::new(
            ErrorKind::Unexpected,
            "the server's answer is not one that was expected; is it a Redis server?",
        )
        .with_source(error.to_string()),
        _ => Error::new(ErrorKind::Unexpected, "the client failed").with_source(error.to_string()),
    }
}

/// The client hands TLS errors on as I/O errors; only their text tells them apart.
fn of_io(text: &str) -> Error {
    let (kind, message) = if text.contains("invalid peer certificate") {
        (
            ErrorKind::ConfigInvalid,
            "the server's certificate is not trusted; set `caFile` to the authority that signed it, and `host` to a name in it",
        )
    } else if text.contains("corrupt message") || text.contains("InvalidContentType") {
        (
            ErrorKind::ConfigInvalid,
            "the server does not speak TLS on this port; set `tls` to false, or `port` to its TLS port",
        )
    } else {
        (ErrorKind::Unreachable, "the connection to the server broke")
    };
    Error::new(kind, message).with_source(text.to_owned())
}

/// After [`Provider::close`](crate::Provider::close).
pub(super) fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the connection to Redis was closed; open another",
    )
}

pub(super) fn lease_lost() -> Error {
    let message = "the delivery is not this subscription's any more: it was settled, its lease ended, or it was given back";
    Error::new(ErrorKind::LeaseLost, message)
}

pub(super) fn unsupported(asked: &str, instead: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("Redis can't {asked}; {instead}")).with("provider", "redis")
}

/// An answer of a shape that no server of a supported version gives.
pub(super) fn odd_answer(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the server's answer has an unexpected shape",
    )
    .with("operation", operation)
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::{ErrorKind as ClientKind, RedisError};

    use super::{TABLE, client, of_code};
    use crate::error::ErrorKind;

    #[test]
    fn every_code_has_its_kind_and_says_what_to_do() {
        for (code, kind, temporary, text) in TABLE {
            let error = of_code(code, "detail of the server");
            assert_eq!(
                (error.kind(), error.is_temporary()),
                (*kind, *temporary),
                "{code}"
            );
            let shown = error.to_string();
            assert!(
                shown.starts_with(text) && shown.ends_with(&format!("{code} detail of the server")),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_is_unknown_keeps_its_text_and_is_not_tried_again() {
        let error = of_code("ERR", "unknown command 'XADD'");
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Unexpected, false)
        );
        assert!(error.to_string().contains("unknown command 'XADD'"), "{error}");
        assert_eq!(of_code("ERR", "invalid password").kind(), ErrorKind::Unauthorized);
    }

    #[test]
    fn what_the_client_says_is_told_apart() {
        let io = |kind, text: &'static str| RedisError::from(io::Error::new(kind, text));
        for (error, kind, temporary) in [
            (io(io::ErrorKind::TimedOut, "timed out"), ErrorKind::Timeout, true),
            (
                io(io::ErrorKind::ConnectionRefused, "refused"),
                ErrorKind::Unreachable,
                true,
            ),
            (
                io(
                    io::ErrorKind::InvalidData,
                    "invalid peer certificate: UnknownIssuer",
                ),
                ErrorKind::ConfigInvalid,
                false,
            ),
            (
                io(
                    io::ErrorKind::InvalidData,
                    "received corrupt message of type InvalidContentType",
                ),
                ErrorKind::ConfigInvalid,
                false,
            ),
            (
                RedisError::from((ClientKind::AuthenticationFailed, "no")),
                ErrorKind::Unauthorized,
                false,
            ),
            (
                RedisError::from((ClientKind::InvalidClientConfig, "no")),
                ErrorKind::ConfigInvalid,
                false,
            ),
            (
                RedisError::from((ClientKind::UnexpectedReturnType, "no")),
                ErrorKind::Unexpected,
                false,
            ),
        ] {
            let ours = client(&error);
            assert_eq!((ours.kind(), ours.is_temporary()), (kind, temporary), "{error}");
        }
    }
}
