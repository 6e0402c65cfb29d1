//! The client's errors as ours: one table.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::{Error, ErrorKind};

/// Whether an error may pass.
const PASSES: bool = true;
const STAYS: bool = false;

/// What each code means, whether it may pass, and what to do.
const TABLE: &[(Code, ErrorKind, bool, &str)] = &[
    (
        Code::Authentication,
        ErrorKind::Unauthorized,
        STAYS,
        "check `sasl`: the user, the password and the mechanism",
    ),
    (
        Code::SaslAuthenticationFailed,
        ErrorKind::Unauthorized,
        STAYS,
        "check `sasl`: the user, the password and the mechanism",
    ),
    (
        Code::UnsupportedSASLMechanism,
        ErrorKind::Unauthorized,
        STAYS,
        "the cluster does not offer this `sasl.mechanism`",
    ),
    (
        Code::TopicAuthorizationFailed,
        ErrorKind::Unauthorized,
        STAYS,
        "give the user an ACL for the topic",
    ),
    (
        Code::GroupAuthorizationFailed,
        ErrorKind::Unauthorized,
        STAYS,
        "give the user an ACL for the consumer group",
    ),
    (
        Code::ClusterAuthorizationFailed,
        ErrorKind::Unauthorized,
        STAYS,
        "give the user an ACL for the cluster",
    ),
    (
        Code::SSL,
        ErrorKind::Unreachable,
        STAYS,
        "the connection could not be encrypted; check `ssl`, `caFile` and the port",
    ),
    (
        Code::Resolve,
        ErrorKind::Unreachable,
        PASSES,
        "the broker's host has no address",
    ),
    (
        Code::BrokerTransportFailure,
        ErrorKind::Unreachable,
        PASSES,
        "the broker does not answer",
    ),
    (
        Code::AllBrokersDown,
        ErrorKind::Unreachable,
        PASSES,
        "no broker answers",
    ),
    (
        Code::UnknownBroker,
        ErrorKind::Unreachable,
        PASSES,
        "the broker is not known any more",
    ),
    (
        Code::BrokerNotAvailable,
        ErrorKind::Unreachable,
        PASSES,
        "the broker is starting or stopping",
    ),
    (
        Code::LeaderNotAvailable,
        ErrorKind::Unreachable,
        PASSES,
        "the partition's leader is being chosen",
    ),
    (
        Code::NotLeaderForPartition,
        ErrorKind::Unreachable,
        PASSES,
        "the partition has another leader now",
    ),
    (
        Code::FencedLeaderEpoch,
        ErrorKind::Unreachable,
        PASSES,
        "the partition has another leader now",
    ),
    // A broker hears of a topic that was just created later than the client.
    (
        Code::UnknownLeaderEpoch,
        ErrorKind::Unreachable,
        PASSES,
        "the broker does not know the partition's leader yet",
    ),
    (
        Code::OffsetNotAvailable,
        ErrorKind::Unreachable,
        PASSES,
        "the partition's new leader does not know its end yet",
    ),
    (
        Code::ReplicaNotAvailable,
        ErrorKind::Unreachable,
        PASSES,
        "a copy is not there yet",
    ),
    (
        Code::KafkaStorageError,
        ErrorKind::Unreachable,
        PASSES,
        "the broker's disk failed",
    ),
    (
        Code::NetworkException,
        ErrorKind::Unreachable,
        PASSES,
        "the connection was lost",
    ),
    (
        Code::CoordinatorLoadInProgress,
        ErrorKind::Unreachable,
        PASSES,
        "the group's broker is starting",
    ),
    (
        Code::CoordinatorNotAvailable,
        ErrorKind::Unreachable,
        PASSES,
        "the group's broker is starting",
    ),
    (
        Code::NotCoordinator,
        ErrorKind::Unreachable,
        PASSES,
        "the group has another broker now",
    ),
    (
        Code::WaitingForCoordinator,
        ErrorKind::Unreachable,
        PASSES,
        "the group's broker is not known yet",
    ),
    (
        Code::UnstableOffsetCommit,
        ErrorKind::Unreachable,
        PASSES,
        "offsets are being committed",
    ),
    (
        Code::DestroyBroker,
        ErrorKind::Unreachable,
        PASSES,
        "the connection is being closed",
    ),
    (
        Code::MessageTimedOut,
        ErrorKind::Timeout,
        PASSES,
        "no broker confirmed it in time",
    ),
    (
        Code::OperationTimedOut,
        ErrorKind::Timeout,
        PASSES,
        "no broker answered in time",
    ),
    (
        Code::RequestTimedOut,
        ErrorKind::Timeout,
        PASSES,
        "the broker did not finish in time",
    ),
    (
        Code::TimedOutQueue,
        ErrorKind::Timeout,
        PASSES,
        "the request was not sent in time",
    ),
    (
        Code::UnknownTopic,
        ErrorKind::TopicMissing,
        STAYS,
        "declare it, or check its name",
    ),
    (
        Code::UnknownPartition,
        ErrorKind::TopicMissing,
        STAYS,
        "declare it, or check its name",
    ),
    (
        Code::UnknownTopicOrPartition,
        ErrorKind::TopicMissing,
        STAYS,
        "declare it, or check its name",
    ),
    (Code::UnknownGroup, ErrorKind::GroupMissing, STAYS, "declare it"),
    (
        Code::GroupIdNotFound,
        ErrorKind::GroupMissing,
        STAYS,
        "declare it",
    ),
    (
        Code::MessageSizeTooLarge,
        ErrorKind::PayloadTooLarge,
        STAYS,
        "lower `payloadBytesMax`, or raise the topic's `max.message.bytes`",
    ),
    (
        Code::MessageBatchTooLarge,
        ErrorKind::PayloadTooLarge,
        STAYS,
        "lower `payloadBytesMax`, or raise the topic's `max.message.bytes`",
    ),
    (
        Code::QueueFull,
        ErrorKind::Throttled,
        PASSES,
        "more is published than the brokers take",
    ),
    (
        Code::ThrottlingQuotaExceeded,
        ErrorKind::Throttled,
        PASSES,
        "a quota is used up",
    ),
    (
        Code::NotEnoughReplicas,
        ErrorKind::Throttled,
        PASSES,
        "fewer brokers than `min.insync.replicas` have the partition",
    ),
    (
        Code::NotEnoughReplicasAfterAppend,
        ErrorKind::Throttled,
        PASSES,
        "fewer brokers than `min.insync.replicas` have the message",
    ),
    (
        Code::PurgeQueue,
        ErrorKind::Closed,
        STAYS,
        "the connection was closed before it was sent",
    ),
    (
        Code::PurgeInflight,
        ErrorKind::Closed,
        STAYS,
        "the connection was closed before it was confirmed",
    ),
    (
        Code::UnknownMemberId,
        ErrorKind::LeaseLost,
        STAYS,
        "the group gave its partitions to another member",
    ),
    (
        Code::IllegalGeneration,
        ErrorKind::LeaseLost,
        STAYS,
        "the group gave its partitions to another member",
    ),
    (
        Code::RebalanceInProgress,
        ErrorKind::LeaseLost,
        STAYS,
        "the group is sharing its partitions anew",
    ),
    (
        Code::AssignmentLost,
        ErrorKind::LeaseLost,
        STAYS,
        "the group gave its partitions to another member",
    ),
    (
        Code::NonEmptyGroup,
        ErrorKind::TopologyMismatch,
        STAYS,
        "the group has members",
    ),
    (
        Code::InconsistentGroupProtocol,
        ErrorKind::TopologyMismatch,
        STAYS,
        "the group's other members share partitions in another way; use another group",
    ),
    (
        Code::TopicAlreadyExists,
        ErrorKind::TopologyMismatch,
        STAYS,
        "it exists",
    ),
    (
        Code::PolicyViolation,
        ErrorKind::ConfigInvalid,
        STAYS,
        "the cluster's policy forbids it",
    ),
    (
        Code::InvalidReplicationFactor,
        ErrorKind::ConfigInvalid,
        STAYS,
        "the cluster has fewer brokers than `replication`",
    ),
    (
        Code::InvalidPartitions,
        ErrorKind::ConfigInvalid,
        STAYS,
        "the cluster does not allow so many `partitions`",
    ),
    (
        Code::InvalidTopic,
        ErrorKind::ConfigInvalid,
        STAYS,
        "Kafka forbids the name: 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`",
    ),
    (
        Code::InvalidConfig,
        ErrorKind::ConfigInvalid,
        STAYS,
        "the cluster refuses a setting",
    ),
    (
        Code::InvalidRecord,
        ErrorKind::TopologyMismatch,
        STAYS,
        "the topic is compacted and takes no message without a key",
    ),
    (
        Code::UnsupportedVersion,
        ErrorKind::Unsupported,
        STAYS,
        "the brokers are too old",
    ),
    (
        Code::Fatal,
        ErrorKind::Unexpected,
        PASSES,
        "the client gave up and is made anew",
    ),
];

/// Which of them leave open whether a message was stored.
const INDETERMINATE: &[Code] = &[
    Code::MessageTimedOut,
    Code::RequestTimedOut,
    Code::OperationTimedOut,
    Code::BrokerTransportFailure,
    Code::NetworkException,
    Code::AllBrokersDown,
    Code::NotEnoughReplicasAfterAppend,
    Code::PurgeInflight,
    Code::Fatal,
];

/// The error of `code`; `operation` is what was asked, in a word or two.
pub(super) fn of_code(code: Code, operation: &'static str) -> Error {
    let row = TABLE.iter().find(|row| row.0 == code);
    let (kind, passes, text) = row.map_or(
        (ErrorKind::Unexpected, STAYS, "Kafka refuses the request"),
        |row| (row.1, row.2, row.3),
    );
    Error::new(kind, text)
        .with_temporary(passes)
        .with("provider", "kafka")
        .with("operation", operation)
        .with_source(code)
}

/// The error of a publish.
pub(super) fn of_publish(code: Code) -> Error {
    let error = of_code(code, "publish");
    if INDETERMINATE.contains(&code) {
        error.with_indeterminate()
    } else {
        error
    }
}

/// The client's error.
pub(super) fn of_client(error: &KafkaError, operation: &'static str) -> Error {
    if let Some(code) = error.rdkafka_error_code() {
        return of_code(code, operation);
    }
    let (kind, text) = match error {
        // The client's own text has the value, which may be a password.
        KafkaError::ClientConfig(_, _, key, _) => (
            ErrorKind::ConfigInvalid,
            format!("the client does not take the value of `{key}`"),
        ),
        KafkaError::ClientCreation(why) => (
            ErrorKind::ConfigInvalid,
            format!("the client can't be set up: {why}"),
        ),
        KafkaError::Canceled => (ErrorKind::Closed, "the connection was closed".to_owned()),
        other => (ErrorKind::Unexpected, other.to_string()),
    };
    Error::new(kind, text)
        .with("provider", "kafka")
        .with("operation", operation)
}

/// The same error once more, for another message of a batch.
pub(super) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_temporary(error.is_temporary());
    error
        .context()
        .fold(copy, |copy, (name, value)| copy.with(name, value.to_owned()))
}

/// The answer to everything after a close.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connection is closed").with("provider", "kafka")
}

/// The answer to what Kafka can't do.
pub(super) fn unsupported(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, text).with("provider", "kafka")
}

#[cfg(test)]
mod tests {
    use super::{Code, INDETERMINATE, TABLE, of_client, of_code, of_publish};
    use crate::error::ErrorKind;
    use rdkafka::config::RDKafkaLogLevel;
    use rdkafka::error::KafkaError;

    #[test]
    fn every_row_gives_its_kind_and_says_what_to_do() {
        for (code, kind, passes, text) in TABLE {
            let error = of_client(&KafkaError::Global(*code), "test");
            assert_eq!((error.kind(), error.is_temporary()), (*kind, *passes), "{code}");
            assert!(error.to_string().starts_with(text), "{error}");
            assert!(!error.is_indeterminate(), "{code}");
            let publish = of_publish(*code);
            assert_eq!(publish.is_indeterminate(), INDETERMINATE.contains(code), "{code}");
        }
        let twice = TABLE
            .iter()
            .filter(|row| TABLE.iter().filter(|other| other.0 == row.0).count() > 1);
        assert_eq!(twice.count(), 0);
    }

    #[test]
    fn what_stays_is_told_from_what_passes() {
        let kind = |code| of_code(code, "publish").kind();
        assert_eq!(kind(Code::SaslAuthenticationFailed), ErrorKind::Unauthorized);
        assert_eq!(kind(Code::UnknownTopicOrPartition), ErrorKind::TopicMissing);
        assert_eq!(kind(Code::BadMessage), ErrorKind::Unexpected);
        assert!(of_publish(Code::MessageTimedOut).is_indeterminate());
        assert!(!of_publish(Code::MessageSizeTooLarge).is_indeterminate());
        assert!(!of_publish(Code::PurgeQueue).is_indeterminate());
    }

    #[test]
    fn a_refused_setting_is_named_without_its_value() {
        let mut config = rdkafka::ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config.set("security.protocol", "hunter2-CANARY");
        let made: Result<rdkafka::producer::BaseProducer, _> = config.create();
        let error = of_client(&made.err().unwrap(), "connect");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        let text = error.to_string();
        assert!(
            text.contains("security.protocol") && !text.contains("CANARY"),
            "{text}"
        );
    }
}
