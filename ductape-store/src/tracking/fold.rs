//! What a message's state is, by what is known of its deliveries.

use super::code::{delivery, is_finished, mark, state};

/// What is known of a message's delivery to a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) consumer: i64,
    pub(super) status: i64,
    pub(super) redrive: i64,
    pub(super) attempt: i64,
    pub(super) started_at: i64,
    pub(super) elapsed: i64,
    pub(super) next_at: Option<i64>,
    pub(super) duplicates: i64,
    pub(super) error: Option<String>,
    pub(super) response: Option<Vec<u8>>,
}

impl Delivery {
    /// Which of two records of a delivery says how it stands: that of the later attempt, and of one attempt the better ended.
    pub(super) const fn rank(&self) -> (i64, i64, i64) {
        let ended = match self.status {
            delivery::RETRYING => 1,
            delivery::FAILED => 2,
            delivery::DEAD => 3,
            delivery::SUCCESS => 4,
            _ => 0,
        };
        (self.redrive, self.attempt, ended)
    }

    /// When it was finished, if it was.
    pub(super) const fn finished_at(&self) -> Option<i64> {
        if is_finished(self.status) {
            Some(self.started_at.saturating_add(self.elapsed))
        } else {
            None
        }
    }
}

/// Something that happened to a delivery.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An attempt, as what the delivery is when nothing later is known.
    Attempt(Delivery),
    /// The group got it again after it had handled it, so that it did handle it, even if that is told later.
    Duplicate { consumer: i64, redrive: i64 },
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) producer: i64,
    pub(super) produced_at: i64,
    pub(super) marks: i64,
    pub(super) deliveries: Vec<Delivery>,
}

impl Tracked {
    /// Takes in what happened. Says for which consumers something changed.
    pub(super) fn take(&mut self, step: Step, changed: &mut Vec<i64>) {
        let (told, duplicates) = match step {
            Step::Attempt(attempt) => {
                // What is told late still happened.
                match attempt.status {
                    delivery::DEAD => self.marks |= mark::bit(mark::DEAD) | mark::bit(mark::ERROR),
                    delivery::FAILED | delivery::RETRYING => self.marks |= mark::bit(mark::ERROR),
                    _ => {}
                }
                (attempt, 0)
            }
            Step::Duplicate { consumer, redrive } => {
                self.marks |= mark::bit(mark::DUPLICATE);
                let handled = Delivery {
                    consumer,
                    redrive,
                    status: delivery::SUCCESS,
                    ..Delivery::default()
                };
                (handled, 1)
            }
        };
        let consumer = told.consumer;
        let at = self.deliveries.iter().position(|one| one.consumer == consumer);
        let at = at.unwrap_or_else(|| {
            self.deliveries.push(Delivery {
                consumer,
                ..Delivery::default()
            });
            self.deliveries.len() - 1
        });
        let known = &mut self.deliveries[at];
        let is_later = told.rank() > known.rank();
        let duplicates = known.duplicates + duplicates;
        if !is_later && duplicates == known.duplicates {
            return;
        }
        if is_later {
            *known = told;
        }
        known.duplicates = duplicates;
        if !changed.contains(&consumer) {
            changed.push(consumer);
        }
    }

    /// In which state the message is, when these consumers are to have it.
    pub(super) fn state(&self, expected: &[i64]) -> i64 {
        let count = |is: fn(i64) -> bool| self.deliveries.iter().filter(|one| is(one.status)).count();
        let handled = count(|status| status == delivery::SUCCESS);
        let failed = count(|status| matches!(status, delivery::FAILED | delivery::DEAD));
        let retrying = count(|status| status == delivery::RETRYING) > 0;
        let all = self.deliveries.len() + self.waiting(expected).count();
        match (handled, failed) {
            (0, 0) if retrying => state::RETRYING,
            (0, 0) => state::PENDING,
            (handled, 0) if handled == all => state::SUCCESS,
            (0, failed) if failed == all => state::FAILED,
            (_, 0) if retrying => state::PARTIAL_RETRYING,
            (_, 0) => state::PARTIAL,
            _ => state::PARTIAL_FAILED,
        }
    }

    /// Those that are to have it, and of which nothing is recorded.
    pub(super) fn waiting<'t>(&'t self, expected: &'t [i64]) -> impl Iterator<Item = i64> + 't {
        expected
            .iter()
            .copied()
            .filter(|consumer| self.deliveries.iter().all(|one| one.consumer != *consumer))
    }
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Step, Tracked};
    use crate::tracking::code::{delivery, state};

    fn attempt(consumer: i64, redrive: i64, attempt: i64, status: i64) -> Step {
        Step::Attempt(Delivery {
            consumer,
            status,
            redrive,
            attempt,
            ..Delivery::default()
        })
    }

    fn message() -> Tracked {
        Tracked {
            producer: 1,
            produced_at: 1,
            marks: 0,
            deliveries: Vec::new(),
        }
    }

    #[test]
    fn a_state_follows_from_all_consumers() {
        use delivery::{DEAD, FAILED, RETRYING, SUCCESS};
        let of = |statuses: &[i64], expected: &[i64]| {
            let mut message = message();
            for (consumer, status) in (1..).zip(statuses) {
                message.take(attempt(consumer, 0, 1, *status), &mut Vec::new());
            }
            message.state(expected)
        };
        for (statuses, expected, is) in [
            (&[][..], &[][..], state::PENDING),
            (&[], &[1], state::PENDING),
            (&[RETRYING], &[1], state::RETRYING),
            (&[SUCCESS], &[1], state::SUCCESS),
            (&[SUCCESS], &[], state::SUCCESS),
            (&[SUCCESS], &[1, 2], state::PARTIAL),
            (&[SUCCESS, RETRYING], &[1, 2], state::PARTIAL_RETRYING),
            (&[FAILED, DEAD], &[1, 2], state::FAILED),
            (&[FAILED], &[1, 2], state::PARTIAL_FAILED),
            (&[FAILED, SUCCESS], &[1, 2], state::PARTIAL_FAILED),
        ] {
            assert_eq!(of(statuses, expected), is, "{statuses:?} of {expected:?}");
        }
    }

    #[test]
    fn the_order_in_which_attempts_are_told_does_not_matter() {
        use delivery::{DEAD, RETRYING, SUCCESS};
        let steps = [
            attempt(1, 0, 1, RETRYING),
            attempt(1, 0, 2, DEAD),
            attempt(1, 1, 1, RETRYING),
            attempt(1, 1, 2, SUCCESS),
        ];
        let mut orders = vec![Vec::new()];
        for _ in 0..4 {
            let longer = |order: &Vec<usize>| {
                let more = (0..4).filter(|at| !order.contains(at));
                more.map(|at| [order.as_slice(), &[at]].concat())
                    .collect::<Vec<_>>()
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        assert_eq!(orders.len(), 24);
        for order in orders {
            let mut message = message();
            for at in &order {
                message.take(steps[*at].clone(), &mut Vec::new());
                message.take(steps[*at].clone(), &mut Vec::new());
            }
            assert_eq!(message.state(&[1]), state::SUCCESS, "{order:?}");
            assert_eq!(message.deliveries[0].rank(), (1, 2, 4), "{order:?}");
        }
    }
}
