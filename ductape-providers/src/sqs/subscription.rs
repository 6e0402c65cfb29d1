//! A member of a group: long polls in the background, and what they bring.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering as Atomic;
use std::time::Duration;

use tokio::sync::watch;

use super::connect::{INVISIBLE_MAX, Inner, RECEIVE_MAX, closed};
use super::member::{Member, Queue};
use super::names;
use super::poll;
use super::publish::seconds;
use super::settle::SqsSettler;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Delivery, Subscription};
use crate::spec::{Source, Start, SubscriptionSpec};

/// How long a close waits for polls that are under way; those that last longer give back what they bring by themselves.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A lease as SQS counts it: whole seconds, at least one, at most twelve hours.
pub(super) fn lease_seconds(lease: Duration) -> i32 {
    seconds(lease.min(INVISIBLE_MAX)).max(1)
}

/// A member of a group.
#[derive(Debug)]
pub(super) struct SqsSubscription {
    member: Arc<Member>,
    closing: watch::Receiver<bool>,
    left: bool,
}

impl SqsSubscription {
    pub(super) async fn join(inner: &Arc<Inner>, spec: &SubscriptionSpec) -> Result<Self> {
        let (topic, group) = (&spec.topic, &spec.group);
        if group.once || group.start == Start::Earliest {
            let text = "SQS keeps no ids that were handled, and no log";
            return Err(Error::new(ErrorKind::Unsupported, text).with("group", &group.name));
        }
        if group.ephemeral {
            inner.own_group(topic, group).await?;
        }
        let place = inner.group(topic, &group.name).await?;
        let queue = |url: &String| Queue {
            fifo: names::is_fifo(url),
            url: url.clone(),
        };
        let queues = match spec.source {
            Source::Messages => [Some(&place.queue), place.retry.as_ref()]
                .into_iter()
                .flatten()
                .map(queue)
                .collect(),
            Source::DeadLetters => vec![queue(&place.dead_letters)],
        };
        if let (Some(own), Source::Messages) = (&place.own, spec.source) {
            own.members.fetch_add(1, Atomic::AcqRel);
        }
        let of_messages = spec.source == Source::Messages;
        let member = Member::new(
            Arc::clone(inner),
            topic.clone(),
            group.clone(),
            place,
            queues,
            spec.prefetch.get(),
        );
        Ok(Self {
            member: Arc::new(member),
            closing: inner.closing(),
            left: !of_messages,
        })
    }

    /// Gives everything back, and deletes a group that lives only as long as this.
    async fn leave(member: Arc<Member>, last: bool) -> Result<()> {
        member.changed.notify_waiters();
        // What a poll still brings would be what was just given back.
        member.quiet(clock::now() + CLOSE_WAIT).await;
        let all = {
            let mut state = member.state();
            let mut all = state.held.clear();
            all.extend(state.ready.drain(..).map(|(held, _)| held));
            all
        };
        if last {
            member.inner.forget_group(&member.topic, &member.group.name);
            return member.inner.delete_own(&member.place).await;
        }
        let now = clock::now();
        member
            .give_back(all.into_iter().filter(|held| held.until > now).collect())
            .await
    }

    /// Marks this as closed; whether it was the last of a group of one process alone.
    fn mark_closed(&mut self) -> bool {
        self.member.state().closed = true;
        if std::mem::replace(&mut self.left, true) {
            return false;
        }
        let own = self.member.place.own.as_ref();
        own.is_some_and(|own| own.members.fetch_sub(1, Atomic::AcqRel) == 1)
    }
}

/// Whether a receive waits, however it ends.
struct Awaiting<'a>(&'a Member);

impl<'a> Awaiting<'a> {
    fn new(member: &'a Member) -> Self {
        member.state().awaited = true;
        Self(member)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.state().awaited = false;
    }
}

impl Subscription for SqsSubscription {
    type Settler = SqsSettler;

    fn settler(&self) -> SqsSettler {
        SqsSettler(Arc::clone(&self.member))
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        let member = Arc::clone(&self.member);
        let max = max.min(RECEIVE_MAX).get();
        let had = into.len();
        let _awaiting = Awaiting::new(&member);
        loop {
            let changed = member.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if *self.closing.borrow() {
                return Err(closed());
            }
            let (outdated, polls) = {
                let mut state = member.state();
                let outdated = state.hand_out(into, max, clock::now(), member.lease());
                if into.len() == had
                    && let Some(error) = state.failed.take()
                {
                    return Err(error);
                }
                let waits = into.len() == had && outdated.is_empty();
                let polls = if waits {
                    poll::start(&member, &mut state, max)
                } else {
                    Vec::new()
                };
                (outdated, polls)
            };
            for poll in polls {
                tokio::spawn(poll.run());
            }
            if !outdated.is_empty() {
                let member = Arc::clone(&member);
                tokio::spawn(async move {
                    let given = member.give_back(outdated).await;
                    member.changed.notify_waiters();
                    given
                });
            }
            if into.len() > had {
                return Ok(());
            }
            tokio::select! {
                () = changed => {}
                _ = self.closing.changed() => {}
            }
        }
    }

    async fn close(mut self) -> Result<()> {
        let last = self.mark_closed();
        Self::leave(Arc::clone(&self.member), last).await
    }
}

impl Drop for SqsSubscription {
    fn drop(&mut self) {
        if self.member.state().closed {
            return;
        }
        let last = self.mark_closed();
        // Without a runtime everything comes back when its lease ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let member = Arc::clone(&self.member);
            runtime.spawn(async move {
                if let Err(error) = Self::leave(Arc::clone(&member), last).await {
                    tracing::debug!(topic = %member.topic, %error, "what a dropped subscription had returns when its lease ends");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::lease_seconds;

    #[test]
    fn a_lease_is_whole_seconds_within_what_sqs_takes() {
        for (lease, wanted) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1_200), 2),
            (Duration::from_secs(30), 30),
            (Duration::MAX, 43_200),
        ] {
            assert_eq!(lease_seconds(lease), wanted);
        }
    }
}
