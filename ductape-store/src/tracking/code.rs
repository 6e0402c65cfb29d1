//! The numbers that stand for states in the tables, and times as hours.

use super::status::{DeadLetterState, DeliveryStatus, EventStatus, MessageStatus};

/// Microseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000_000;
/// What stands for all topics, producers or consumers where they are counted together.
pub(super) const ANY: i64 = -1;

/// States of messages: finer than what is shown, so that an event's status follows from them too.
pub(super) mod state {
    /// Nothing is recorded of any consumer.
    pub(crate) const PENDING: i64 = 0;
    /// All have handled it.
    pub(crate) const SUCCESS: i64 = 1;
    /// All have failed for good.
    pub(crate) const FAILED: i64 = 2;
    /// Some have handled it, none has failed for good, some have not finished.
    pub(crate) const PARTIAL: i64 = 3;
    /// Some have failed for good.
    pub(crate) const PARTIAL_FAILED: i64 = 4;
    /// No consumer has finished, and one is to try again.
    pub(crate) const RETRYING: i64 = 5;
    /// As `PARTIAL`, and one is to try again.
    pub(crate) const PARTIAL_RETRYING: i64 = 6;
    /// All but success.
    pub(crate) const NO_SUCCESS: [i64; 6] = [
        PENDING,
        FAILED,
        PARTIAL,
        PARTIAL_FAILED,
        RETRYING,
        PARTIAL_RETRYING,
    ];
}

/// What is counted and listed beside the states: a message may have several of them. Bit `n` of a message's marks is mark
/// `7 + n`.
pub(super) mod mark {
    /// A consumer got it again after it had handled it.
    pub(crate) const DUPLICATE: i64 = 7;
    /// It was dead-lettered.
    pub(crate) const DEAD: i64 = 8;
    /// An attempt has failed.
    pub(crate) const ERROR: i64 = 9;
    /// All of them.
    pub(crate) const ALL: [i64; 3] = [DUPLICATE, DEAD, ERROR];

    /// The bit of a mark.
    pub(crate) const fn bit(mark: i64) -> i64 {
        1 << (mark - DUPLICATE)
    }
}

/// States of deliveries.
pub(super) mod delivery {
    /// Expected, and nothing is recorded: counted, without a row.
    pub(crate) const PENDING: i64 = 0;
    pub(crate) const SUCCESS: i64 = 1;
    pub(crate) const FAILED: i64 = 2;
    pub(crate) const DEAD: i64 = 3;
    pub(crate) const RETRYING: i64 = 4;
}

/// Outcomes of attempts that did not succeed.
pub(super) mod outcome {
    pub(crate) const DUPLICATE: i64 = 6;
}

/// States of dead letters.
pub(super) mod dead {
    pub(crate) const OPEN: i64 = 0;
    pub(crate) const REPROCESSING: i64 = 1;
    pub(crate) const REDRIVEN: i64 = 2;
    pub(crate) const ARCHIVED: i64 = 3;
    pub(crate) const SUPERSEDED: i64 = 4;
}

pub(super) const fn message_status(state: i64) -> MessageStatus {
    match state {
        state::SUCCESS => MessageStatus::Success,
        state::FAILED => MessageStatus::Failed,
        state::PARTIAL | state::PARTIAL_FAILED | state::PARTIAL_RETRYING => MessageStatus::Partial,
        _ => MessageStatus::Pending,
    }
}

/// The states that a status of a message has.
pub(super) const fn states_of(status: MessageStatus) -> &'static [i64] {
    match status {
        MessageStatus::Pending => &[state::PENDING, state::RETRYING],
        MessageStatus::Success => &[state::SUCCESS],
        MessageStatus::Failed => &[state::FAILED],
        MessageStatus::Partial => &[state::PARTIAL, state::PARTIAL_FAILED, state::PARTIAL_RETRYING],
    }
}

/// The states, or the mark, that a status of an event has.
pub(super) const fn states_of_event(status: EventStatus) -> &'static [i64] {
    match status {
        EventStatus::Success => &[state::SUCCESS],
        EventStatus::Failed => &[state::FAILED, state::PARTIAL_FAILED],
        EventStatus::Pending => &[state::PENDING, state::PARTIAL],
        EventStatus::Retrying => &[state::RETRYING, state::PARTIAL_RETRYING],
        EventStatus::Duplicate => &[mark::DUPLICATE],
    }
}

pub(super) const fn delivery_status(status: i64) -> DeliveryStatus {
    match status {
        delivery::SUCCESS => DeliveryStatus::Success,
        delivery::FAILED => DeliveryStatus::Failed,
        delivery::DEAD => DeliveryStatus::DeadLettered,
        delivery::RETRYING => DeliveryStatus::Retrying,
        _ => DeliveryStatus::Pending,
    }
}

/// Whether a delivery in this state has ended.
pub(super) const fn is_finished(status: i64) -> bool {
    matches!(status, delivery::SUCCESS | delivery::FAILED | delivery::DEAD)
}

pub(super) const fn dead_letter_state(state: i64) -> DeadLetterState {
    match state {
        dead::REPROCESSING => DeadLetterState::Reprocessing,
        dead::REDRIVEN => DeadLetterState::Redriven,
        dead::ARCHIVED => DeadLetterState::Archived,
        dead::SUPERSEDED => DeadLetterState::Superseded,
        _ => DeadLetterState::Open,
    }
}

pub(super) const fn dead_letter_code(state: DeadLetterState) -> i64 {
    match state {
        DeadLetterState::Open => dead::OPEN,
        DeadLetterState::Reprocessing => dead::REPROCESSING,
        DeadLetterState::Redriven => dead::REDRIVEN,
        DeadLetterState::Archived => dead::ARCHIVED,
        DeadLetterState::Superseded => dead::SUPERSEDED,
    }
}

/// The hour of a time.
pub(super) const fn hour(micros: i64) -> i64 {
    micros.div_euclid(HOUR)
}
