//! The relay of the outbox: publishes what transactions of the program wrote there. Several relays share the work.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ductape_providers::provider::PublishSlot;
use ductape_providers::{AnyProvider, MessageId, Outgoing};
use ductape_store::outbox::{Outbox, Taken};
use ductape_store::{Store, StoreError};
use tokio::time::{Instant, timeout};

use crate::clock;
use crate::context::Context;
use crate::produce::{from_row, publish_until};

/// How many messages are taken at once.
const TAKE: u32 = 200;
/// How long what was taken is this relay's; it gives back what it has not begun by half of that. As long the keys wait of what a
/// program had taken that was killed.
const LEASE: Duration = Duration::from_secs(10);
/// How often the outbox is looked at when nothing is known to be there.
const IDLE: Duration = Duration::from_secs(1);
/// How often, and how many times, after something was written: it may be committed a little later.
const SOON: Duration = Duration::from_millis(20);
const SOON_TIMES: u32 = 50;
/// How often a message that the broker refuses is tried, and how long it waits in between.
const TRIES_MAX: u32 = 10;
const REFUSED_WAIT: Duration = Duration::from_secs(5);
/// How long a store that fails is left alone.
const FAILED_WAIT: Duration = Duration::from_secs(2);
/// How long a published message is kept.
const KEPT: Duration = Duration::from_hours(24);

/// Publishes what is in the outbox, until told to `stop`.
pub(crate) async fn run(ctx: Context, store: Store, stop: impl Future<Output = ()>) {
    let relay = Relay {
        owner: MessageId::new().to_string(),
        ctx,
        store,
    };
    tokio::pin!(stop);
    let mut soon = 0;
    let mut prune_at = clock::now();
    loop {
        let wait = match relay.step().await {
            Ok(true) => {
                soon = SOON_TIMES;
                Duration::ZERO
            }
            Ok(false) if soon > 0 => {
                soon -= 1;
                SOON
            }
            Ok(false) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "the outbox can't be read; it is tried again");
                FAILED_WAIT
            }
        };
        if clock::now() >= prune_at {
            prune_at = clock::now() + Duration::from_mins(10);
            relay.prune().await;
        }
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = relay.ctx.wiring().until_outbox_written(), if wait == IDLE => soon = SOON_TIMES,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Relay {
    owner: String,
    ctx: Context,
    store: Store,
}

impl Relay {
    fn outbox(&self) -> Outbox<'_> {
        let wiring = self.ctx.wiring();
        self.store.outbox(&wiring.product, &wiring.environment)
    }

    /// Publishes some of what is there; whether there was any.
    async fn step(&self) -> Result<bool, StoreError> {
        let outbox = self.outbox();
        if !outbox.is_due(clock::wall()).await? {
            return Ok(false);
        }
        let begun = clock::now();
        let taken = outbox.take(&self.owner, TAKE, LEASE, clock::wall()).await?;
        if taken.is_empty() {
            return Ok(false);
        }
        let mut waves = self.waves(taken).await?;
        let publish_by = begun + LEASE / 2;
        while let Some(wave) = waves.pop_front() {
            if clock::now() >= publish_by || self.ctx.wiring().check_open().is_err() {
                let left = std::iter::once(wave).chain(waves);
                let seqs: Vec<i64> = left.flatten().map(|one| one.seq).collect();
                outbox.give_back(&self.owner, &seqs).await?;
                break;
            }
            let failed = self.publish(wave, publish_by).await?;
            if !failed.is_empty() {
                // What comes behind a message that is not published yet waits for it.
                let mut back: Vec<i64> = failed.iter().map(|one| one.seq).collect();
                for wave in &mut waves {
                    wave.retain(|one| {
                        let behind = one.key.is_some() && failed.iter().any(|failed| failed.key == one.key);
                        if behind {
                            back.push(one.seq);
                        }
                        !behind
                    });
                }
                outbox.give_back(&self.owner, &back).await?;
                tokio::time::sleep(SOON).await;
            }
        }
        Ok(true)
    }

    /// The messages, the first of each key in the first wave and so on; those that can't be published are refused.
    async fn waves(&self, taken: Vec<Taken>) -> Result<VecDeque<Vec<One>>, StoreError> {
        let mut waves: VecDeque<Vec<One>> = VecDeque::new();
        let mut depths: HashMap<(String, Bytes), usize> = HashMap::new();
        for one in taken {
            let (seq, attempts, event) = (one.seq, one.attempts, one.message.event.clone());
            let message = match from_row(one, &self.ctx) {
                Ok(message) => message,
                Err(why) => {
                    self.refuse(seq, attempts, &why).await?;
                    continue;
                }
            };
            let key = message.key.clone().map(|key| (event, key));
            let depth = match &key {
                None => 0,
                Some(key) => {
                    let next = depths.entry(key.clone()).or_default();
                    *next += 1;
                    *next - 1
                }
            };
            if waves.len() <= depth {
                waves.resize_with(depth + 1, Vec::new);
            }
            waves[depth].push(One {
                seq,
                attempts,
                key,
                message,
            });
        }
        Ok(waves)
    }

    /// Publishes a wave; answers what is to be tried again.
    async fn publish(&self, wave: Vec<One>, until: Instant) -> Result<Vec<One>, StoreError> {
        let mut by_provider: Vec<(AnyProvider, Vec<One>)> = Vec::new();
        for one in wave {
            let topic = &one.message.topic;
            let Ok(route) = self
                .ctx
                .wiring()
                .route(topic.event().as_str(), topic.version().get())
            else {
                continue;
            };
            match by_provider
                .iter_mut()
                .find(|(known, _)| Arc::ptr_eq(known, &route.provider))
            {
                Some((_, ones)) => ones.push(one),
                None => by_provider.push((Arc::clone(&route.provider), vec![one])),
            }
        }
        let (mut sent, mut again) = (Vec::new(), Vec::new());
        for (provider, ones) in by_provider {
            let mut slots: Vec<PublishSlot> = ones
                .iter()
                .map(|one| PublishSlot::new(one.message.clone()))
                .collect();
            publish_until(&provider, &mut slots, until).await;
            for (one, slot) in ones.into_iter().zip(slots) {
                match slot.outcome {
                    Some(Ok(_)) => {
                        self.ctx.wiring().record(&one.message);
                        sent.push(one.seq);
                        if let Some(recorder) = self.ctx.wiring().recorder() {
                            recorder.produced(one.message, None, self.ctx.wiring());
                        }
                    }
                    Some(Err(error)) if !error.is_temporary() && !error.is_indeterminate() => {
                        self.refuse(one.seq, one.attempts, &error.to_string()).await?;
                    }
                    outcome => {
                        let error = outcome.and_then(Result::err);
                        tracing::debug!(id = %one.message.id, ?error, "a message of the outbox waits for its broker");
                        again.push(one);
                    }
                }
            }
        }
        self.outbox().sent(&self.owner, &sent, clock::wall()).await?;
        Ok(again)
    }

    async fn refuse(&self, seq: i64, attempts: u32, why: &str) -> Result<(), StoreError> {
        let last = attempts + 1 >= TRIES_MAX;
        if last {
            tracing::error!(
                seq,
                why,
                "a message of the outbox was refused {TRIES_MAX} times; it stays there, parked"
            );
        } else {
            tracing::warn!(seq, why, "a message of the outbox was refused; it is tried again");
        }
        let again = (!last).then(|| clock::wall() + REFUSED_WAIT);
        self.outbox().refused(&self.owner, seq, why, again).await
    }

    /// Forgets what was published long ago, and the ids and keys whose time is over.
    async fn prune(&self) {
        let now = clock::wall();
        let before = now.checked_sub(KEPT).unwrap_or(std::time::UNIX_EPOCH);
        let outbox = self.outbox();
        self.prune_in_steps(|| outbox.prune(before)).await;
        let inbox = self.store.inbox();
        self.prune_in_steps(|| inbox.prune(now)).await;
        let keys = self.store.idempotency();
        self.prune_in_steps(|| keys.prune(now)).await;
    }

    async fn prune_in_steps<F>(&self, step: impl Fn() -> F)
    where
        F: Future<Output = Result<u64, StoreError>>,
    {
        loop {
            match timeout(Duration::from_secs(5), step()).await {
                Ok(Ok(0)) | Err(_) => return,
                Ok(Ok(_)) => tokio::time::sleep(SOON).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the store was not pruned");
                    return;
                }
            }
        }
    }
}

struct One {
    seq: i64,
    attempts: u32,
    key: Option<(String, Bytes)>,
    message: Outgoing,
}
