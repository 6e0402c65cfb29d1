//! A member of a group.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::time::timeout_at;

use super::declare::{Wanted, check_group};
use super::error::{lease_lost, unsupported};
use super::live::{Held, InHand, Kind, Live, Source};
use super::provider::Inner;
use super::settle::PubSubSettler;
use crate::clock;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Delivery, Subscription};
use crate::spec::{Source as From, SubscriptionSpec};

/// A member of a group: two streams, of the topic's messages and of what is sent to the group alone. Dropping it gives
/// what is unsettled back.
#[derive(Debug)]
pub struct PubSubSubscription {
    inner: Arc<Inner>,
    live: Arc<Live>,
    prefetch: usize,
    receive_max: usize,
}

impl PubSubSubscription {
    pub(super) async fn join(inner: &Arc<Inner>, spec: &SubscriptionSpec) -> Result<Self> {
        let with = |error: Error| error.with("topic", &spec.topic).with("group", &spec.group.name);
        check_group(&spec.group).map_err(with)?;
        let known = inner.known(&spec.topic);
        let [messages, group, letters] = inner.wanted(&spec.topic, &known, &spec.group);
        let topic = messages.topic.clone();
        let mut temporary = Vec::new();
        let wanted = match spec.source {
            From::Messages => {
                if spec.group.ephemeral {
                    temporary.extend([messages.id.clone(), group.id.clone()]);
                }
                vec![(Kind::Messages, messages), (Kind::Group, group)]
            }
            From::DeadLetters => vec![(Kind::DeadLetters, letters)],
        };
        let mut sources = Vec::new();
        for (kind, wanted) in wanted {
            let Some(ordered) = inner.look(kind, &wanted, &topic).await.map_err(with)? else {
                continue;
            };
            sources.push(Source {
                path: inner.settings.subscription_path(&wanted.id),
                kind,
                ordered,
                lease: spec.group.lease,
            });
        }
        let prefetch = spec.prefetch.get();
        let path = sources
            .first()
            .map(|source| source.path.clone())
            .unwrap_or_default();
        inner.wait_for_ending(&path).await;
        let live = Live::new(inner, spec.topic.clone(), path, prefetch, temporary);
        inner.keep(&live)?;
        live.read(inner, sources).await;
        Ok(Self {
            inner: Arc::clone(inner),
            live,
            prefetch,
            receive_max: inner.settings.capability().receive_batch_max.get(),
        })
    }
}

impl Inner {
    /// Looks whether a subscription is there, and whether it keeps order. `None` for one that need not be there.
    async fn look(&self, kind: Kind, wanted: &Wanted, topic: &str) -> Result<Option<bool>> {
        if self.settings.declare == Declare::Off {
            return Ok(Some(wanted.ordered));
        }
        if let Some(there) = self.subscription(&wanted.id).await? {
            return Ok(Some(there.enable_message_ordering));
        }
        let path = self.settings.subscription_path(&wanted.id);
        if kind == Kind::Group {
            tracing::debug!(
                subscription = path,
                "nothing can be sent to the group alone; declare it"
            );
            return Ok(None);
        }
        if self.has_topic(topic).await? {
            let text = format!("no subscription `{path}`; declare the group first");
            return Err(Error::new(ErrorKind::GroupMissing, text).with("provider", "pubsub"));
        }
        let topic = self.settings.topic_path(topic);
        let text = format!("no topic `{topic}`; declare it first");
        Err(Error::new(ErrorKind::TopicMissing, text).with("provider", "pubsub"))
    }
}

impl Subscription for PubSubSubscription {
    type Settler = PubSubSettler;

    fn settler(&self) -> PubSubSettler {
        PubSubSettler::new(Arc::clone(&self.live))
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        let max = max.get().min(self.receive_max);
        loop {
            let due = {
                let mut state = self.live.lock();
                state.check()?;
                let due = state.due(clock::now());
                let room = self.prefetch.saturating_sub(state.in_hand.len()).min(max);
                let mut count = 0;
                while count < room
                    && let Some((number, held)) = state.next()
                {
                    let Held {
                        id,
                        message,
                        handler,
                        ordered,
                    } = held;
                    let receipt = state.in_hand.insert(InHand {
                        number,
                        id,
                        handler,
                        message: message.clone(),
                        ordered,
                    });
                    into.push(Delivery { message, receipt });
                    count += 1;
                }
                if count > 0 {
                    state.moved += count;
                    return Ok(());
                }
                due
            };
            let woken = self.live.wake.notified();
            match due {
                // What comes first, the time's end included, leads to another look.
                Some(due) => {
                    let _ = timeout_at(due, woken).await;
                }
                None => woken.await,
            }
        }
    }

    async fn close(self) -> Result<()> {
        self.inner.end(&self.live, lease_lost).await;
        Ok(())
    }
}

impl Drop for PubSubSubscription {
    fn drop(&mut self) {
        let (inner, live) = (Arc::clone(&self.inner), Arc::clone(&self.live));
        live.begin_end(lease_lost);
        self.inner
            .runtime
            .spawn(async move { inner.end(&live, lease_lost).await });
    }
}

pub(super) fn no_leases() -> Error {
    unsupported(
        "end a lease while its subscription lives",
        "the client extends every delivery until it is settled",
    )
}
