//! A subscription: a member of a group, and its handles.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ductape_schema::GroupName;
use tokio::time::timeout;

use super::config;
use super::connect::blocking;
use super::error::closed;
use super::member::{Candidate, Reads};
use super::provider::{Inner, Member};
use super::settle::KafkaSettler;
use super::shared::Shared;
use super::topology::{Group, Known};
use super::wire::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Delivery, Subscription};
use crate::spec::{Source, SubscriptionSpec};

/// How long a reader of dead letters waits until it knows whether there are any; another reader may have their partition.
const DEAD_LOOK_WAIT: Duration = Duration::from_secs(4);

/// A member of a group. Dropping it gives what is unsettled back.
#[derive(Debug)]
pub(crate) struct KafkaSubscription {
    shared: Arc<Shared>,
    /// Lasts as long as what reads through it.
    _inner: Arc<Inner>,
    /// Of a group of this process's own: the group ends with it.
    own: Option<(Arc<Known>, Arc<Group>, GroupName)>,
}

impl KafkaSubscription {
    pub(super) async fn open(inner: &Arc<Inner>, spec: &SubscriptionSpec) -> Result<Self> {
        let known = inner.known(&spec.topic).await?;
        let group = inner.group(&known, &spec.group).await?;
        let dead = spec.source == Source::DeadLetters;
        if dead {
            inner.dead_letters_exist(&group).await?;
        }
        let own = group.own.as_ref().filter(|_| !dead);
        if own.is_some_and(|own| own.member().is_some()) {
            let text = format!(
                "group `{}` is one subscription's own, and has one",
                spec.group.name
            );
            return Err(Error::new(ErrorKind::Unsupported, text).with("provider", "kafka"));
        }
        let reads = Reads {
            main: if dead {
                group.dead.clone()
            } else {
                known.topic.main.clone()
            },
            retry: (!dead && group.own.is_none()).then(|| group.retry.clone()),
            start: own.map(|own| own.start.clone()),
            in_log: !dead,
        };
        let id = if dead { &group.dead } else { &group.id };
        let mut client = config::consumer(&inner.config, id);
        if dead {
            client.set("enable.partition.eof", "true");
        }
        let shared = Arc::new(Shared::new(spec.prefetch.get()));
        let reader = Reader::new(&known.topic);
        let joining = Arc::clone(&shared);
        blocking(move || Candidate::new(&client, reads, joining)?.join(reader)).await??;
        if let Some(own) = own {
            own.set_member(Some(Arc::clone(&shared)));
        }
        inner.add_member(Member {
            topic: spec.topic.clone(),
            group: spec.group.name.clone(),
            source: spec.source,
            shared: Arc::clone(&shared),
        });
        let own = own.is_some();
        let subscription = Self {
            shared,
            _inner: Arc::clone(inner),
            own: own.then(|| (known, group, spec.group.name.clone())),
        };
        if dead {
            // Who looks at dead letters does not wait long for the first one.
            let _ = timeout(DEAD_LOOK_WAIT, subscription.shared.looked()).await;
        }
        if inner.check().is_err() {
            // Closed meanwhile; the subscription ends when it is dropped.
            return Err(closed());
        }
        Ok(subscription)
    }
}

impl Subscription for KafkaSubscription {
    type Settler = KafkaSettler;

    fn settler(&self) -> KafkaSettler {
        KafkaSettler(Arc::clone(&self.shared))
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        self.shared
            .receive(into, max.get().min(config::RECEIVE_BATCH_MAX.get()))
            .await
    }

    async fn close(self) -> Result<()> {
        self.shared.close();
        self.shared.closed().await;
        Ok(())
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.shared.close();
        if let Some((known, group, name)) = self.own.take() {
            if let Some(own) = &group.own {
                own.set_member(None);
            }
            known.forget(&name);
        }
    }
}
