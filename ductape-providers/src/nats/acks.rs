//! The server's confirmations of what was published, by batch.
//!
//! All replies come to one subscription, under `INBOX.BATCH.SLOT`; a task of the connection hands them to the batch that
//! waits. That costs neither a subscription nor a timer a message.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::Notify;

/// What the server said of one message.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is stored, under this number of its stream.
    Stored { sequence: u64, duplicate: bool },
    /// It is refused.
    Refused {
        code: u64,
        status: usize,
        description: String,
    },
    /// No stream takes its subject, or JetStream is not up.
    NoResponders,
    /// Something that is no confirmation.
    Unreadable(String),
    /// The connection was lost, or the publish was forbidden; who waits knows which.
    Lost,
}

/// A batch that waits for its confirmations.
#[derive(Debug)]
pub(super) struct Batch {
    answers: Mutex<Vec<Option<Answer>>>,
    left: AtomicUsize,
    done: Notify,
}

impl Batch {
    fn answers(&self) -> MutexGuard<'_, Vec<Option<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of `slot`, if nothing is known yet.
    pub(super) fn set(&self, slot: usize, answer: Answer) {
        let mut answers = self.answers();
        if let Some(empty @ None) = answers.get_mut(slot) {
            *empty = Some(answer);
            if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.done.notify_one();
            }
        }
    }

    /// Waits until every slot is answered.
    pub(super) async fn complete(&self) {
        while self.left.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }

    /// Gives up what is not answered.
    pub(super) fn lose(&self) {
        let slots = self.answers().len();
        for slot in 0..slots {
            self.set(slot, Answer::Lost);
        }
    }

    /// The answers, in the order of the slots.
    pub(super) fn take(&self) -> Vec<Option<Answer>> {
        std::mem::take(&mut self.answers())
    }
}

/// The batches that wait.
#[derive(Debug)]
pub(super) struct Acks {
    inbox: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Arc<Batch>>>,
}

/// A batch among those that wait, for as long as this lives.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    acks: &'a Acks,
    number: u64,
    pub(super) batch: Arc<Batch>,
}

impl Acks {
    pub(super) fn new(inbox: String) -> Self {
        Self {
            inbox,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// What the replies are subscribed by.
    pub(super) fn subject(&self) -> String {
        format!("{}.*.*", self.inbox)
    }

    /// A batch of `slots` messages, from now on waiting.
    pub(super) fn wait_for(&self, slots: usize) -> Waiting<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let batch = Arc::new(Batch {
            answers: Mutex::new(std::iter::repeat_with(|| None).take(slots).collect()),
            left: AtomicUsize::new(slots),
            done: Notify::new(),
        });
        self.waiting().insert(number, Arc::clone(&batch));
        Waiting {
            acks: self,
            number,
            batch,
        }
    }

    /// The connection was lost: what is under way gets no answer.
    pub(super) fn lose_all(&self) {
        let batches: Vec<Arc<Batch>> = self.waiting().values().cloned().collect();
        for batch in batches {
            batch.lose();
        }
    }

    /// Hands out what comes, until the connection ends.
    pub(super) async fn run(self: Arc<Self>, mut replies: Subscriber) {
        let mut messages = Vec::new();
        let mut last: Option<(u64, Arc<Batch>)> = None;
        while some(&mut replies, &mut messages).await {
            for message in messages.drain(..) {
                let Some((number, slot)) = self.place(&message) else {
                    continue;
                };
                if last.as_ref().is_none_or(|(last, _)| *last != number) {
                    let Some(batch) = self.waiting().get(&number).cloned() else {
                        continue;
                    };
                    last = Some((number, batch));
                }
                if let Some((_, batch)) = &last {
                    batch.set(slot, answer(&message));
                }
            }
            last = None;
        }
        self.lose_all();
    }

    fn place(&self, message: &Message) -> Option<(u64, usize)> {
        let rest = message
            .subject
            .strip_prefix(self.inbox.as_str())?
            .strip_prefix('.')?;
        let (number, slot) = rest.split_once('.')?;
        Some((number.parse().ok()?, slot.parse().ok()?))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Arc<Batch>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// Where the answer for `slot` is to go.
    pub(super) fn reply(&self, slot: usize) -> String {
        format!("{}.{}.{slot}", self.acks.inbox, self.number)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.acks.waiting().remove(&self.number);
    }
}

/// Waits for a message, then takes all that are ready, up to a bound; `false` when the subscription has ended.
pub(super) async fn some(messages: &mut Subscriber, into: &mut Vec<Message>) -> bool {
    const MOST: usize = 1_024;
    poll_fn(|cx| {
        loop {
            match Pin::new(&mut *messages).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    into.push(message);
                    if into.len() == MOST {
                        return Poll::Ready(true);
                    }
                }
                Poll::Ready(None) => return Poll::Ready(!into.is_empty()),
                Poll::Pending if into.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(true),
            }
        }
    })
    .await
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: usize,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

fn answer(message: &Message) -> Answer {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Answer::NoResponders;
    }
    match serde_json::from_slice::<Confirmation>(&message.payload) {
        Ok(Confirmation {
            error: Some(error), ..
        }) => Answer::Refused {
            code: error.err_code,
            status: error.code,
            description: error.description,
        },
        Ok(Confirmation { seq, duplicate, .. }) if seq > 0 => Answer::Stored {
            sequence: seq,
            duplicate,
        },
        Ok(_) => Answer::Unreadable("a confirmation without a number".to_owned()),
        Err(error) => Answer::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::{Message, StatusCode};

    use super::{Acks, Answer, answer};

    fn reply(subject: &str, payload: &str) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn an_answer_is_read() {
        let of = |payload| answer(&reply("i.0.0", payload));
        assert!(matches!(
            of(r#"{"stream":"a","seq":7}"#),
            Answer::Stored {
                sequence: 7,
                duplicate: false
            }
        ));
        assert!(matches!(
            of(r#"{"stream":"a","seq":7,"duplicate":true}"#),
            Answer::Stored {
                sequence: 7,
                duplicate: true
            }
        ));
        assert!(matches!(
            of(r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"seq":0}"#),
            Answer::Refused {
                code: 10_077,
                status: 503,
                ..
            }
        ));
        for bad in ["", "{}", "[]", "\u{0}", r#"{"seq":"x"}"#] {
            assert!(matches!(of(bad), Answer::Unreadable(_)), "{bad:?}");
        }
        let mut nobody = reply("i.0.0", "");
        nobody.status = Some(StatusCode::NO_RESPONDERS);
        assert!(matches!(answer(&nobody), Answer::NoResponders));
    }

    #[tokio::test]
    async fn a_batch_is_complete_when_each_slot_is_answered_or_lost() {
        let acks = Acks::new("inbox.x".to_owned());
        let waiting = acks.wait_for(2);
        assert_eq!(acks.place(&reply(&waiting.reply(1), "")), Some((0, 1)));
        assert_eq!(acks.place(&reply("inbox.y.0.1", "")), None);
        waiting.batch.set(1, Answer::NoResponders);
        waiting.batch.set(1, Answer::Lost);
        waiting.batch.set(9, Answer::Lost);
        acks.lose_all();
        waiting.batch.complete().await;
        let answers = waiting.batch.take();
        assert!(matches!(
            answers[..],
            [Some(Answer::Lost), Some(Answer::NoResponders)]
        ));
        drop(waiting);
        assert!(acks.waiting().is_empty());
    }
}
