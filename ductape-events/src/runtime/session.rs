//! One subscription from its beginning to its end: received, worked on, settled, given back.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::capability::Order;
use ductape_providers::{Delivery, Error as ProviderError, SettlerDyn, SubscriptionDyn};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::conclude::earlier;
use super::consumer_run::ConsumerRun;
use super::lanes::Lanes;
use super::settle::Settles;
use super::work::work;
use crate::backoff::Growing;
use crate::clock;
use crate::stats::Counters;

/// A subscription that lasted this long was good: the next one is not waited for long.
const GOOD_AFTER: Duration = Duration::from_secs(30);
/// How long settlements may take to be sent when a subscription ends, even when handlers used up the time.
const FLUSH_MIN: Duration = Duration::from_millis(500);
/// How long settlements of a lost subscription may take: most likely they can't be sent at all.
const FLUSH_LOST: Duration = Duration::from_secs(5);
/// How long a cancelled handler may take to notice, and a subscription to close.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What all tasks of one subscription share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) consumer: Arc<ConsumerRun>,
    pub(super) lanes: Lanes,
    pub(super) settles: Settles,
    /// Becomes true when the subscription is to end.
    pub(super) stop: watch::Receiver<bool>,
}

/// How a program's consumers are told to end.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) stopped: watch::Receiver<bool>,
    /// Until when running handlers may finish; read once stopped.
    pub(super) deadline: watch::Receiver<Instant>,
}

impl Stop {
    pub(super) async fn told(&self) {
        // An error means that the program is gone, which is the same.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    async fn told_within(&self, wait: Duration) -> bool {
        timeout(wait, self.told()).await.is_ok()
    }

    /// Waits until running handlers must end: at the deadline of the shutdown, and where the subscription was `lost` no
    /// later than that.
    async fn last_moment(&self, lost: Option<Instant>) {
        if let Some(limit) = lost {
            tokio::select! {
                () = sleep_until(limit) => return,
                () = self.told() => {}
            }
        }
        let deadline = *self.deadline.borrow();
        sleep_until(lost.map_or(deadline, |limit| limit.min(deadline))).await;
    }
}

/// Consumes until told to stop; a subscription that is lost is made again. Answers how many handlers did not finish.
pub(super) async fn consume(
    consumer: Arc<ConsumerRun>,
    first: Box<dyn SubscriptionDyn>,
    stop: Stop,
) -> usize {
    let mut subscription = Some(first);
    let mut wait = waits();
    loop {
        let current = match subscription.take() {
            Some(current) => current,
            None => match subscribe_again(&consumer, &stop, &mut wait).await {
                Some(again) => again,
                None => return 0,
            },
        };
        let began = clock::now();
        let (unfinished, ended) = session(&consumer, current, &stop).await;
        let Some(error) = ended else {
            return unfinished;
        };
        if *stop.stopped.borrow() {
            return unfinished;
        }
        tracing::warn!(consumer = consumer.name, %error, "the subscription was lost; subscribing again");
        if began.elapsed() > GOOD_AFTER {
            wait = waits();
        }
        if stop.told_within(wait.next()).await {
            return 0;
        }
    }
}

fn waits() -> Growing {
    Growing::new(Duration::from_millis(100), Duration::from_secs(10))
}

/// Subscribes as soon as the broker lets it; `None` when told to stop first.
async fn subscribe_again(
    consumer: &ConsumerRun,
    stop: &Stop,
    wait: &mut Growing,
) -> Option<Box<dyn SubscriptionDyn>> {
    let mut told = false;
    loop {
        let subscribed = tokio::select! {
            subscribed = subscribe(consumer) => subscribed,
            () = stop.told() => return None,
        };
        match subscribed {
            Ok(subscription) => {
                tracing::info!(consumer = consumer.name, "consuming again");
                return Some(subscription);
            }
            Err(error) => {
                let next = wait.next();
                // One line when it begins; what follows says nothing new.
                if std::mem::replace(&mut told, true) {
                    tracing::debug!(consumer = consumer.name, %error, retry_in = ?next, "still can't consume");
                } else {
                    tracing::warn!(consumer = consumer.name, %error, retry_in = ?next, "can't consume; trying again until it works");
                }
                if stop.told_within(next).await {
                    return None;
                }
            }
        }
    }
}

/// Joins the consumer's group; a group that lives as long as its subscription is declared anew.
pub(super) async fn subscribe(consumer: &ConsumerRun) -> Result<Box<dyn SubscriptionDyn>, ProviderError> {
    if consumer.group.ephemeral {
        consumer.provider.declare_dyn(&consumer.topic_spec()).await?;
    }
    consumer
        .provider
        .subscribe_dyn(&consumer.subscription_spec())
        .await
}

/// One subscription: until told to stop, or until it is lost. Answers how many handlers did not finish, and how it was
/// lost.
async fn session(
    consumer: &Arc<ConsumerRun>,
    mut subscription: Box<dyn SubscriptionDyn>,
    stop: &Stop,
) -> (usize, Option<ProviderError>) {
    let (stop_session, session_stopped) = watch::channel(false);
    let session = Arc::new(Session {
        consumer: Arc::clone(consumer),
        lanes: Lanes::new(consumer.keeps_keys(), consumer.limits.prefetch.get()),
        settles: Settles::default(),
        stop: session_stopped,
    });
    consumer.at_work(&session);
    let mut background = session.spawn_background(subscription.settler_dyn());
    let mut workers = JoinSet::new();
    for _ in 0..consumer.limits.concurrency {
        workers.spawn(work(Arc::clone(&session)));
    }

    let ended = tokio::select! {
        error = session.receive(&mut *subscription) => Some(error),
        () = stop.told() => None,
    };

    session.give_back(session.lanes.stop());
    // Wakes the retries that are held in this process; they are given back.
    let _ = stop_session.send(true);
    let lost = ended.is_some().then(|| clock::after(consumer.timeout));
    let unfinished = finish(&mut workers, stop.last_moment(lost)).await;

    let flush = if ended.is_some() { FLUSH_LOST } else { FLUSH_MIN };
    let flush_until = clock::now() + flush;
    let flush_until = if lost.is_some() {
        flush_until
    } else {
        flush_until.max(*stop.deadline.borrow())
    };
    if unfinished == 0 {
        session.lanes.drained(flush_until).await;
    } else {
        // What the cancelled handlers had is settled by nobody: the subscription gives it back when it closes.
        session.settles.flushed(flush_until).await;
    }
    background.shutdown().await;
    match timeout(END_WITHIN, subscription.close_dyn()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(consumer = consumer.name, %error, "the subscription did not close cleanly");
        }
        Err(_) => tracing::warn!(consumer = consumer.name, "the subscription did not close in time"),
    }
    (unfinished, ended)
}

/// Lets the workers finish what they have up to the last moment, then cancels them. Answers how many were cancelled.
async fn finish(workers: &mut JoinSet<()>, last_moment: impl Future<Output = ()>) -> usize {
    let all_done = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        biased;
        () = all_done => return 0,
        () = last_moment => {}
    }
    let unfinished = workers.len();
    workers.abort_all();
    let noticed = async { while workers.join_next().await.is_some() {} };
    if timeout(END_WITHIN, noticed).await.is_err() {
        // A handler that blocks its thread can't be cancelled; it must not keep the program from ending.
        workers.detach_all();
    }
    unfinished
}

impl ConsumerRun {
    /// Whether messages of one key wait for each other.
    pub(super) fn keeps_keys(&self) -> bool {
        self.capability.order != Order::None
    }
}

impl Session {
    fn spawn_background(self: &Arc<Self>, settler: Arc<dyn SettlerDyn>) -> JoinSet<()> {
        let mut background = JoinSet::new();
        background.spawn({
            let (session, settler) = (Arc::clone(self), Arc::clone(&settler));
            async move {
                session
                    .settles
                    .send(settler, &session.lanes, &session.consumer.name)
                    .await;
            }
        });
        if self.consumer.capability.lease {
            let session = Arc::clone(self);
            background.spawn(async move { session.extend_leases(&*settler).await });
        }
        background
    }

    /// Receives until the subscription is lost; never more than there is room for.
    async fn receive(&self, subscription: &mut dyn SubscriptionDyn) -> ProviderError {
        let mut deliveries = Vec::new();
        let most = self.consumer.capability.receive_batch_max;
        let mut wait = waits();
        let mut failing = false;
        loop {
            let room = NonZeroUsize::new(self.lanes.room().await)
                .unwrap_or(NonZeroUsize::MIN)
                .min(most);
            let received = subscription.receive_dyn(&mut deliveries, room).await;
            let came = !deliveries.is_empty();
            Counters::add(&self.consumer.counters.received, deliveries.len() as u64);
            let give_back = self.lanes.push(deliveries.drain(..).map(numbered));
            self.give_back(give_back);
            self.lanes.forget_returned();
            match received {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(consumer = self.consumer.name, "receiving again");
                        wait = waits();
                    }
                    if !came {
                        // Not what a provider promises; it must not keep a thread busy.
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if error.is_temporary() => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(consumer = self.consumer.name, %error, "can't receive; trying again until it works");
                    }
                    tokio::time::sleep(wait.next()).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Extends the leases of what is in hand, three times as often as they would end.
    async fn extend_leases(&self, settler: &dyn SettlerDyn) {
        let lease = self.consumer.group.lease;
        let mut next = clock::now();
        loop {
            next += lease / 3;
            sleep_until(next).await;
            let held = self.lanes.held();
            if held.is_empty() {
                continue;
            }
            let receipts: Vec<_> = held.iter().collect();
            match timeout_at(next + lease, settler.extend_dyn(&receipts, lease)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(consumer = self.consumer.name, %error, "a lease could not be extended");
                }
                Err(_) => tracing::warn!(consumer = self.consumer.name, "extending leases takes too long"),
            }
        }
    }
}

/// A delivery with the number of its attempt: the larger of what a copy carries and what the broker counted.
fn numbered(
    delivery: Delivery,
) -> (
    ductape_providers::Incoming,
    ductape_providers::Receipt,
    u32,
    Option<u64>,
) {
    let (attempt, first_failed_at) = earlier(&delivery.message.headers);
    let counted = delivery.message.delivery_count.map_or(1, std::num::NonZero::get);
    (
        delivery.message,
        delivery.receipt,
        attempt.max(counted),
        first_failed_at,
    )
}
