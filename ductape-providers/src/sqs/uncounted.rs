//! Deliveries that are not attempts.
//!
//! SQS counts every receive, and can't be told that a message was given back unhandled. This process remembers what it gave
//! back, and takes it off the count when the message comes to it again; another process sees SQS's own count.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{LazyLock, Mutex, PoisonError};

/// How many messages are remembered; the oldest are forgotten, and count what SQS says.
const REMEMBERED_MAX: usize = 4096;

/// What all connections of this process gave back.
static UNCOUNTED: LazyLock<Uncounted> = LazyLock::new(Uncounted::default);

/// Notes that a delivery of the message was none.
pub(super) fn note(sqs_id: &str) {
    UNCOUNTED.note(sqs_id);
}

/// The count without the deliveries that were none.
pub(super) fn correct(sqs_id: &str, count: NonZeroU32) -> NonZeroU32 {
    UNCOUNTED.correct(sqs_id, count)
}

/// How often messages were given back unhandled, by what SQS knows them by.
#[derive(Debug, Default)]
struct Uncounted(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    counts: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Uncounted {
    fn note(&self, sqs_id: &str) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = memory.counts.get_mut(sqs_id) {
            *count = count.saturating_add(1);
            return;
        }
        if memory.order.len() >= REMEMBERED_MAX
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.counts.remove(&oldest);
        }
        memory.counts.insert(sqs_id.to_owned(), 1);
        memory.order.push_back(sqs_id.to_owned());
    }

    fn correct(&self, sqs_id: &str, count: NonZeroU32) -> NonZeroU32 {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = memory.counts.get(sqs_id).copied().unwrap_or_default();
        NonZeroU32::new(count.get().saturating_sub(none)).unwrap_or(NonZeroU32::MIN)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{REMEMBERED_MAX, Uncounted};

    #[test]
    fn what_was_given_back_is_taken_off_and_memory_has_an_end() {
        let uncounted = Uncounted::default();
        let count = |id: &str, count: u32| uncounted.correct(id, NonZeroU32::new(count).unwrap()).get();
        uncounted.note("a");
        uncounted.note("a");
        assert_eq!((count("a", 3), count("a", 1), count("b", 3)), (1, 1, 3));
        for i in 0..REMEMBERED_MAX {
            uncounted.note(&i.to_string());
        }
        assert_eq!(count("a", 3), 3);
        assert_eq!(uncounted.0.lock().unwrap().counts.len(), REMEMBERED_MAX);
    }
}
