//! Settling and extending: deletions and visibility, ten in a request.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::{BATCH_MAX, DELAY_MAX, INVISIBLE_MAX, REQUEUE_MAX, closed};
use super::gather::Entry;
use super::member::{Held, Member, SIDE_BY_SIDE, copied};
use super::publish::seconds;
use super::topology::Target;
use super::wire::Wire;
use super::{error, uncounted};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Route;
use crate::provider::{Receipt, SettleSlot, Settlement, Settler};

/// Settles the deliveries of one subscription.
#[derive(Debug)]
pub(super) struct SqsSettler(pub(super) Arc<Member>);

/// What is to be done with a slot's delivery.
enum Work {
    Delete(Held),
    Show(Held, Show),
    Copy(Held, Duration),
}

/// When a delivery is seen again.
#[derive(Clone, Copy)]
struct Show {
    /// As SQS counts it, rounded up.
    seconds: i32,
    /// The time itself, where it is no whole second, and when it is too late to say it.
    exactly: Option<(Instant, Instant)>,
}

/// How long before the whole second is over a message is shown at its exact time; later it is not worth a request.
const EARLIER_LEAST: Duration = Duration::from_millis(100);
/// Beyond this a second more or less is none of the matter.
const EXACT_MAX: Duration = Duration::from_secs(5);

impl Show {
    const NOW: Self = Self {
        seconds: 0,
        exactly: None,
    };

    fn after(after: Duration, now: Instant) -> Self {
        let seconds = seconds(after);
        let whole = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let earlier = whole.saturating_sub(after);
        let exact = after <= EXACT_MAX && earlier >= EARLIER_LEAST;
        Self {
            seconds,
            exactly: exact.then(|| (now + after, now + whole.saturating_sub(EARLIER_LEAST / 2))),
        }
    }
}

fn lost() -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        "the lease of this delivery ended, or it was settled: it is no longer this subscription's",
    )
}

impl Member {
    /// What is to be done, or why it can't be.
    fn work(&self, slot: &SettleSlot) -> Result<Work> {
        let now = clock::now();
        let mut state = self.state();
        let held = state.held.get(&slot.receipt).ok_or_else(lost)?.clone();
        if held.until <= now {
            state.held.take(&slot.receipt);
            return Err(lost());
        }
        match slot.how {
            Settlement::Ack | Settlement::Reject => Ok(Work::Delete(held)),
            Settlement::Requeue => Ok(Work::Show(held, Show::NOW)),
            Settlement::RequeueAfter(after) => {
                let total = now.duration_since(held.received).saturating_add(after);
                if after > REQUEUE_MAX || total > INVISIBLE_MAX {
                    let text = format!(
                        "SQS keeps a message invisible at most {INVISIBLE_MAX:?} from its receive on, and this provider \
                         requeues it at most {REQUEUE_MAX:?} later, not {after:?}"
                    );
                    return Err(Error::new(ErrorKind::Unsupported, text));
                }
                if after <= DELAY_MAX && !after.is_zero() && self.copies_retries(held.queue) {
                    return Ok(Work::Copy(held, after));
                }
                Ok(Work::Show(held, Show::after(after, now)))
            }
        }
    }

    async fn delete(&self, queue: usize, entries: Vec<(usize, String)>) -> Vec<(usize, Result<()>)> {
        let Some(queue) = self.queues.get(queue) else {
            return Vec::new();
        };
        let mut requests = Vec::with_capacity(entries.len().div_ceil(BATCH_MAX));
        for chunk in entries.chunks(BATCH_MAX) {
            requests.push(self.delete_ten(&queue.url, chunk));
        }
        let answers: Vec<Vec<(usize, Result<()>)>> = futures_util::stream::iter(requests)
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await;
        answers.into_iter().flatten().collect()
    }

    async fn delete_ten(&self, url: &str, chunk: &[(usize, String)]) -> Vec<(usize, Result<()>)> {
        let build = |(number, handle): &(usize, String)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(handle)
                .build()
                .ok()
        };
        let entries = chunk.iter().filter_map(build).collect();
        let request = self.inner.clients.sqs.delete_message_batch().queue_url(url);
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let outcome = |number: usize| {
                    let id = number.to_string();
                    match answer.failed().iter().find(|entry| entry.id() == id) {
                        Some(entry) => Err(error::of_entry("ack", entry)),
                        None => Ok(()),
                    }
                };
                chunk
                    .iter()
                    .map(|(number, _)| (*number, outcome(*number)))
                    .collect()
            }
            Err(error) => {
                let error = error::of("ack", error);
                chunk
                    .iter()
                    .map(|(number, _)| (*number, Err(copied(&error))))
                    .collect()
            }
        }
    }

    /// Sends a copy that comes later, and passes the later messages of its key; deletes the original once it is confirmed.
    async fn copy(&self, held: &Held, after: Duration) -> Result<()> {
        let (Some(message), Some(retry)) = (&held.copy, &self.place.retry) else {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "a retry has nothing to copy, or nowhere to go",
            ));
        };
        let copy = message.to_outgoing(Route::Group(self.group.name.clone()));
        let wire = Wire::with_count(&copy, message.delivery_count)?;
        let place = Arc::clone(&self.inner.entries)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.inner.lane(&Target::queue(retry)).push(Entry {
            wire,
            fifo: None,
            delay_seconds: Some(seconds(after)),
            answer,
            _place: place,
        });
        let sent = answered.await.map_err(|_| {
            Error::new(
                ErrorKind::Unreachable,
                "the runtime that sent the copy of a retry ended",
            )
        })?;
        sent?;
        let deleted = self.delete(held.queue, vec![(0, held.handle.clone())]).await;
        deleted.into_iter().next().map_or(Ok(()), |(_, outcome)| outcome)
    }

    /// What arrived of the groups of failed messages and was not handed out goes back first, so that it comes after them.
    async fn give_back_later_ones(&self, work: &[(usize, Work)]) {
        let later: Vec<Held> = {
            let mut state = self.state();
            if state.ready.is_empty() {
                return;
            }
            let failed = work.iter().filter_map(|(_, work)| match work {
                Work::Show(held, _) => held.group.as_deref().map(|group| (held.queue, group)),
                _ => None,
            });
            failed
                .flat_map(|(queue, group)| state.take_ready(queue, group))
                .collect()
        };
        if !later.is_empty()
            && let Err(error) = self.give_back(later).await
        {
            tracing::debug!(topic = %self.topic, %error, "later messages of a failed one return when their lease ends");
        }
    }

    async fn carry_out(self: &Arc<Self>, work: Vec<(usize, Work)>) -> Vec<(usize, Result<()>)> {
        let (mut deletions, mut shows, mut copies, mut exact) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (slot, work) in work {
            match work {
                Work::Delete(held) => deletions.push((held.queue, (slot, held.handle))),
                Work::Show(held, show) => {
                    if let Some(exactly) = show.exactly {
                        exact.push((slot, exactly, held.queue, held.handle.clone()));
                    }
                    shows.push((held.queue, held.number, (slot, held.handle, show.seconds)));
                }
                Work::Copy(held, after) => copies.push((slot, held, after)),
            }
        }
        shows.sort_by_key(|(_, number, _)| *number);
        let queues = 0..self.queues.len();
        let deletions = queues.clone().map(|at| {
            let of_queue = deletions.iter().filter(|(queue, _)| *queue == at);
            self.delete(at, of_queue.map(|(_, entry)| entry.clone()).collect())
        });
        let shows = queues.map(|at| {
            let of_queue = shows.iter().filter(|(queue, _, _)| *queue == at);
            let mut of_queue: Vec<_> = of_queue.map(|(_, _, entry)| entry.clone()).collect();
            if self.queues[at].fifo {
                // As for what is given back.
                of_queue.reverse();
            }
            self.change_visibility(at, of_queue)
        });
        let mut copying = Vec::with_capacity(copies.len());
        for (slot, held, after) in copies {
            copying.push(async move { (slot, self.copy(&held, after).await) });
        }
        let copies = futures_util::stream::iter(copying)
            .buffer_unordered(SIDE_BY_SIDE)
            .collect::<Vec<_>>();
        let (acked, visible, sent) = tokio::join!(
            futures_util::future::join_all(deletions),
            futures_util::future::join_all(shows),
            copies
        );
        let all: Vec<(usize, Result<()>)> = acked.into_iter().chain(visible).flatten().chain(sent).collect();
        for (slot, exactly, queue, handle) in exact {
            if all.iter().any(|(at, outcome)| *at == slot && outcome.is_ok()) {
                self.show_at(exactly, queue, handle);
            }
        }
        all
    }

    /// Shows a message at its exact time, which is before SQS does by itself. Should this process end, SQS does.
    fn show_at(self: &Arc<Self>, (exactly, latest): (Instant, Instant), queue: usize, handle: String) {
        let member = Arc::clone(self);
        let Ok(place) = Arc::clone(&self.inner.exact).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            tokio::time::sleep_until(exactly).await;
            // Later, the message may be another's already.
            if clock::now() < latest {
                member.change_visibility(queue, vec![(0, handle, 0)]).await;
            }
            drop(place);
        });
    }
}

impl Settler for SqsSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let member = &self.0;
        let mut work = Vec::with_capacity(batch.len());
        for (at, slot) in batch.iter_mut().enumerate() {
            match member.work(slot) {
                Ok(todo) => work.push((at, todo)),
                Err(error) => slot.outcome = Some(Err(error)),
            }
        }
        member.give_back_later_ones(&work).await;
        let given_back: Vec<(usize, String)> = work
            .iter()
            .filter_map(|(at, work)| match work {
                Work::Show(held, _) if batch[*at].how == Settlement::Requeue => {
                    Some((*at, held.sqs_id.clone()))
                }
                _ => None,
            })
            .collect();
        // Before it is visible: it may come again before the answer does.
        for (_, sqs_id) in &given_back {
            uncounted::note(sqs_id);
        }
        for (at, outcome) in member.carry_out(work).await {
            let slot = &mut batch[at];
            // After an error that passes, the receipt can be settled again.
            if outcome.as_ref().err().is_none_or(|error| !error.is_temporary()) {
                member.state().held.take(&slot.receipt);
            }
            slot.outcome = Some(outcome.map_err(|error| error.with("group", &member.group.name)));
        }
        member.changed.notify_waiters();
    }

    async fn extend(&self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        let member = &self.0;
        let now = clock::now();
        let mut answer = Ok(());
        let mut entries: Vec<Vec<(usize, String, i32)>> = vec![Vec::new(); member.queues.len()];
        let mut until = Vec::with_capacity(receipts.len());
        {
            let state = member.state();
            for (at, receipt) in receipts.iter().enumerate() {
                let held = state.held.get(receipt).filter(|held| held.until > now);
                // To the end of the twelve hours, and no further.
                let left = held.map(|held| INVISIBLE_MAX.saturating_sub(now.duration_since(held.received)));
                let Some((held, left)) = held.zip(left).filter(|(_, left)| left.as_secs() > 1) else {
                    until.push(now);
                    answer = Err(lost());
                    continue;
                };
                let seconds = seconds(by.min(left.saturating_sub(Duration::from_secs(1)))).max(1);
                until.push(now + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
                entries[held.queue].push((at, held.handle.clone(), seconds));
            }
        }
        let requests = entries.into_iter().enumerate();
        let requests = requests.map(|(queue, entries)| member.change_visibility(queue, entries));
        for (at, outcome) in futures_util::future::join_all(requests)
            .await
            .into_iter()
            .flatten()
        {
            match outcome {
                Ok(()) => {
                    if let Some(held) = member.state().held.get_mut(receipts[at]) {
                        held.until = until[at];
                    }
                }
                Err(error) => answer = Err(error.with("group", &member.group.name)),
            }
        }
        answer
    }
}
