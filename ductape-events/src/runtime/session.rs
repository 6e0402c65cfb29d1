//! One subscription from its beginning to its end: received, worked on, settled, given back.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::{Error as ProviderError, SubscriptionDyn};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::conclude::earlier;
use super::consumer_run::ConsumerRun;
use super::lanes::Lanes;
use super::settle::Settles;
use super::work::work;
use crate::backoff::Growing;
use crate::clock;

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

/// Consumes until told to stop; a subscription that is lost is made again. Answers how many handlers did not finish.
pub(super) async fn consume(
    consumer: Arc<ConsumerRun>,
    first: Box<dyn SubscriptionDyn>,
    stop: Stop,
) -> usize {
    let mut subscription = Some(first);
    let mut wait = Growing::new(Duration::from_millis(100), Duration::from_secs(10));
    loop {
        let current = match subscription.take() {
            Some(current) => current,
            None => match subscribe(&consumer).await {
                Ok(again) => {
                    tracing::info!(consumer = consumer.name, "consuming again");
                    again
                }
                Err(error) => {
                    let next = wait.next();
                    tracing::warn!(consumer = consumer.name, %error, retry_in = ?next, "can't consume");
                    if stopped_within(next, &stop).await {
                        return 0;
                    }
                    continue;
                }
            },
        };
        let began = clock::now();
        match session(&consumer, current, &stop).await {
            Ok(unfinished) => return unfinished,
            Err(error) => {
                tracing::warn!(consumer = consumer.name, %error, "the subscription was lost; subscribing again");
                if began.elapsed() > Duration::from_secs(30) {
                    wait = Growing::new(Duration::from_millis(100), Duration::from_secs(10));
                }
                if stopped_within(wait.next(), &stop).await {
                    return 0;
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

async fn stopped_within(wait: Duration, stop: &Stop) -> bool {
    let mut stopped = stop.stopped.clone();
    tokio::time::timeout(wait, stopped.wait_for(|stopped| *stopped))
        .await
        .is_ok()
}

/// One subscription: until told to stop, or until it is lost.
async fn session(
    consumer: &Arc<ConsumerRun>,
    mut subscription: Box<dyn SubscriptionDyn>,
    stop: &Stop,
) -> Result<usize, ProviderError> {
    let ordered = consumer.keeps_keys();
    let (stop_session, session_stopped) = watch::channel(false);
    let session = Arc::new(Session {
        consumer: Arc::clone(consumer),
        lanes: Lanes::new(ordered, consumer.limits.prefetch.get()),
        settles: Settles::default(),
        stop: session_stopped,
    });
    let settler = subscription.settler_dyn();
    let mut background = JoinSet::new();
    background.spawn({
        let (session, settler) = (Arc::clone(&session), Arc::clone(&settler));
        async move {
            session
                .settles
                .send(settler, &session.lanes, &session.consumer.name)
                .await;
        }
    });
    if consumer.capability.lease {
        background.spawn({
            let session = Arc::clone(&session);
            async move { session.extend_leases(&*settler).await }
        });
    }
    let mut workers = JoinSet::new();
    for _ in 0..consumer.limits.concurrency {
        workers.spawn(work(Arc::clone(&session)));
    }

    let mut stopped = stop.stopped.clone();
    let ended = tokio::select! {
        error = session.receive(&mut *subscription) => Some(error),
        _ = stopped.wait_for(|stopped| *stopped) => None,
    };

    session.give_back(session.lanes.stop());
    // Wakes the retries that are held in this process; they are given back.
    let _ = stop_session.send(true);
    let deadline = if ended.is_some() {
        clock::now() + consumer.timeout
    } else {
        *stop.deadline.borrow()
    };
    let finished =
        tokio::time::timeout_at(deadline, async { while workers.join_next().await.is_some() {} }).await;
    let unfinished = if finished.is_ok() { 0 } else { workers.len() };
    workers.shutdown().await;
    // Settlements on their way get a moment even when handlers used up the time.
    let flush_until = deadline.max(clock::now() + Duration::from_millis(500));
    if unfinished == 0 {
        session.lanes.drained(flush_until).await;
    }
    background.shutdown().await;
    if let Err(error) = subscription.close_dyn().await {
        tracing::warn!(consumer = consumer.name, %error, "the subscription did not close cleanly");
    }
    ended.map_or(Ok(unfinished), Err)
}

impl ConsumerRun {
    /// Whether messages of one key wait for each other.
    pub(super) fn keeps_keys(&self) -> bool {
        self.capability.order != ductape_providers::capability::Order::None
    }
}

impl Session {
    /// Receives until the subscription is lost; never more than there is room for.
    async fn receive(&self, subscription: &mut dyn SubscriptionDyn) -> ProviderError {
        let mut deliveries = Vec::new();
        let most = self.consumer.capability.receive_batch_max;
        loop {
            let room = NonZeroUsize::new(self.lanes.room().await)
                .unwrap_or(NonZeroUsize::MIN)
                .min(most);
            let received = subscription.receive_dyn(&mut deliveries, room).await;
            let jobs = deliveries.drain(..).map(|delivery| {
                let (attempt, first_failed_at) = earlier(&delivery.message.headers);
                let counted = delivery.message.delivery_count.map_or(1, std::num::NonZero::get);
                (
                    delivery.message,
                    delivery.receipt,
                    attempt.max(counted),
                    first_failed_at,
                )
            });
            let give_back = self.lanes.push(jobs);
            self.give_back(give_back);
            self.lanes.forget_returned();
            if let Err(error) = received {
                if !error.is_temporary() {
                    return error;
                }
                tracing::warn!(consumer = self.consumer.name, %error, "receiving failed; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Extends the leases of what is in hand, three times as often as they would end.
    async fn extend_leases(&self, settler: &dyn ductape_providers::SettlerDyn) {
        let lease = self.consumer.group.lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            let held = self.lanes.held();
            if held.is_empty() {
                continue;
            }
            let receipts: Vec<_> = held.iter().collect();
            if let Err(error) = settler.extend_dyn(&receipts, lease).await {
                tracing::debug!(consumer = self.consumer.name, %error, "a lease could not be extended");
            }
        }
    }
}
