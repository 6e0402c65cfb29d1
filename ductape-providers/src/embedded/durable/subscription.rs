use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::embedded::durable::provider::{DELAY_MAX, Link, too_late};
use crate::embedded::durable::queue::{Answer, Command, End, Mailbox};
use crate::embedded::durable::settle::{ExtendWork, SettleWork};
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Delivery, Receipt, SettleSlot, Settlement, Settler, Subscription};

/// A member of a group of the durable store.
#[derive(Debug)]
pub struct DurableSubscription {
    id: u64,
    link: Arc<Link>,
    mailbox: Arc<Mailbox>,
    left: bool,
}

/// Settles the deliveries of a [`DurableSubscription`].
#[derive(Clone, Debug)]
pub struct DurableSettler {
    id: u64,
    link: Arc<Link>,
}

impl DurableSubscription {
    pub(super) const fn new(id: u64, link: Arc<Link>, mailbox: Arc<Mailbox>) -> Self {
        Self {
            id,
            link,
            mailbox,
            left: false,
        }
    }

    /// Takes what has been delivered; `None` when there is nothing and the receiver must wait.
    fn take(&self, into: &mut Vec<Delivery>, max: usize) -> Option<Result<()>> {
        let mut mail = self.mailbox.lock();
        if !mail.deliveries.is_empty() {
            let count = max.min(mail.deliveries.len());
            into.extend(mail.deliveries.drain(..count));
            return Some(Ok(()));
        }
        if let Some(error) = mail.fault.take() {
            return Some(Err(error));
        }
        match mail.ended {
            Some(End::StoreClosed) => return Some(Err(self.link.queue.closed())),
            Some(End::GroupGone) => {
                let text = "the subscription's group is gone; declare it again and subscribe anew";
                return Some(Err(
                    Error::new(ErrorKind::GroupMissing, text).with("file", &self.link.file)
                ));
            }
            None => {}
        }
        mail.wanted = max;
        None
    }
}

/// Withdraws the wish of a receive that is cancelled, so that nothing is delivered for it.
struct Wish<'a>(&'a Mailbox);

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.0.lock().wanted = 0;
    }
}

impl Subscription for DurableSubscription {
    type Settler = DurableSettler;

    fn settler(&self) -> DurableSettler {
        DurableSettler {
            id: self.id,
            link: Arc::clone(&self.link),
        }
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        loop {
            if let Some(taken) = self.take(into, max.get()) {
                return taken;
            }
            let _wish = Wish(&self.mailbox);
            self.link.queue.push(Command::Want(self.id)).await?;
            // A permit is kept when it is given before this waits.
            self.mailbox.filled.notified().await;
        }
    }

    async fn close(mut self) -> Result<()> {
        self.left = true;
        match self
            .link
            .queue
            .ask(|answer| Command::Leave(self.id, answer))
            .await
        {
            // A closed store has given everything back.
            Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
            left => left,
        }
    }
}

impl Drop for DurableSubscription {
    fn drop(&mut self) {
        if !self.left {
            let (answer, _) = Answer::channel();
            self.link.queue.push_unbounded(Command::Leave(self.id, answer));
        }
    }
}

impl Settler for DurableSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let is_too_late = |how| matches!(how, Settlement::RequeueAfter(delay) if delay > DELAY_MAX);
        let mut items = Vec::with_capacity(batch.len());
        let mut outcomes = Vec::with_capacity(batch.len());
        for slot in batch.iter_mut() {
            if is_too_late(slot.how) {
                slot.outcome = Some(Err(too_late("a retry").with("file", &self.link.file)));
            } else {
                items.push((slot.receipt.token(), slot.how));
                outcomes.push(&mut slot.outcome);
            }
        }
        if items.is_empty() {
            return;
        }
        let (to, from) = oneshot::channel();
        let work = SettleWork {
            sub: self.id,
            items,
            lost: Vec::new(),
            to: Some(to),
        };
        let settled = match self.link.queue.push(Command::Settle(work)).await {
            Ok(()) => from.await.unwrap_or_else(|_| Err(self.link.queue.closed())),
            Err(error) => Err(error),
        };
        match settled {
            Ok(lost) => {
                for outcome in &mut outcomes {
                    **outcome = Some(Ok(()));
                }
                for at in lost {
                    if let Some(outcome) = outcomes.get_mut(at) {
                        **outcome = Some(Err(self.lease_lost()));
                    }
                }
            }
            Err(error) => {
                for outcome in outcomes {
                    // Its text has the context and the cause.
                    let copy = Error::new(error.kind(), error.to_string());
                    *outcome = Some(Err(copy.with_temporary(error.is_temporary())));
                }
            }
        }
    }

    async fn extend(&self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        let (to, from) = oneshot::channel();
        let work = ExtendWork {
            sub: self.id,
            tokens: receipts.iter().map(|receipt| receipt.token()).collect(),
            by,
            lost: 0,
            to: Some(to),
        };
        self.link.queue.push(Command::Extend(work)).await?;
        match from.await.map_err(|_| self.link.queue.closed())?? {
            0 => Ok(()),
            lost => Err(self.lease_lost().with("lost", lost)),
        }
    }
}

impl DurableSettler {
    fn lease_lost(&self) -> Error {
        Error::new(
            ErrorKind::LeaseLost,
            "the delivery is no longer this subscription's: its lease ended, it was settled, or the group was set elsewhere",
        )
        .with("file", &self.link.file)
    }
}
