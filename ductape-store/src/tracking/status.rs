//! In which states messages, deliveries, producers, events and dead letters are.

use serde::Serialize;

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::StoreError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(crate::error::StoreError::new(
                        crate::error::StoreErrorKind::Invalid,
                        format!(
                            "{text:?} is no {}; one of {}",
                            stringify!($name),
                            [$($text),*].join(", ")
                        ),
                    )),
                }
            }
        }
    };
}

statuses! {
    /// In which state a message is.
    MessageStatus {
        /// No consumer has finished.
        Pending "pending",
        /// All consumers have handled it.
        Success "success",
        /// All consumers have failed for good.
        Failed "failed",
        /// Some consumers have finished and others not, or some have handled it and others have failed.
        Partial "partial",
    }
}

statuses! {
    /// In which state a consumer's delivery is.
    DeliveryStatus {
        /// The consumer is to have it.
        Pending "pending",
        /// It has failed, and is to be tried again.
        Retrying "retrying",
        /// It was handled.
        Success "success",
        /// It has failed for good.
        Failed "failed",
        /// It has failed for good, and its dead letter is kept.
        DeadLettered "dead-lettered",
    }
}

statuses! {
    /// How a producer or a consumer does.
    ActivityStatus {
        /// It has done something within the last hour.
        Active "active",
        /// It has not.
        Inactive "inactive",
        /// In the last hour that it did something in, at least half of what finished has failed.
        Error "error",
    }
}

statuses! {
    /// In which state an event is.
    EventStatus {
        /// All consumers have handled it.
        Success "success",
        /// A consumer has failed for good.
        Failed "failed",
        /// No consumer has failed, and one has not finished.
        Pending "pending",
        /// A consumer got it again after it had handled it.
        Duplicate "duplicate",
        /// A consumer is to try it again, and none has failed for good.
        Retrying "retrying",
    }
}

statuses! {
    /// What an event is looked at as.
    EventCategory {
        /// What consumers had: a delivery was recorded.
        Consumer "consumer",
        /// What producers produced: the produce was recorded.
        Producer "producer",
        /// What was dead-lettered.
        DeadLetter "dead-letter",
        /// Every message.
        Message "message",
        /// What has failed at some consumer, even if only for a while.
        Error "error",
    }
}

statuses! {
    /// In which state a dead letter is.
    DeadLetterState {
        /// It waits for an operator.
        Open "open",
        /// Someone is giving it to its group anew.
        Reprocessing "reprocessing",
        /// It was given to its group anew.
        Redriven "redriven",
        /// It was put aside.
        Archived "archived",
        /// A changed copy took its place.
        Superseded "superseded",
    }
}
