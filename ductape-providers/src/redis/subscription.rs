//! A subscription: a member of a group, which reads by itself or when it is its turn.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use redis::Value;
use tokio::task::JoinHandle;

use super::config::RECEIVE_BATCH_MAX;
use super::declare::{self, Mode, Reads, group_missing, topic_missing};
use super::error;
use super::keeper;
use super::member::{Joining, Member, Next};
use super::provider::{Server, Topic};
use super::reading::{Asked, take_in};
use super::settle::RedisSettler;
use super::wire::{pairs, text};
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Delivery, Subscription};
use crate::spec::{Source, SubscriptionSpec};

/// A member of a group of a Redis stream.
pub(super) struct RedisSubscription {
    member: Arc<Member>,
    asked: Asked,
    keeper: Option<JoinHandle<Result<()>>>,
}

impl RedisSubscription {
    pub(super) async fn join(server: Arc<Server>, spec: &SubscriptionSpec) -> Result<Self> {
        let busy = server.busy()?;
        if spec.group.once {
            let refused = error::unsupported(
                "keep the ids that a group has handled",
                "deduplicate in the consumer",
            );
            return Err(refused.with("group", &spec.group.name).with("topic", &spec.topic));
        }
        let topic = server.topic(&spec.topic);
        let reads = look(&server, &topic, spec).await?;
        let member = Arc::new(Member::new(joining(&server, &topic, spec, reads)));
        server.join(&member);
        keeper::begin(&member).await?;
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&member), busy));
        Ok(Self {
            member,
            asked: Asked::default(),
            keeper: Some(keeper),
        })
    }

    async fn receive_some(&mut self, into: &mut Vec<Delivery>, max: usize) -> Result<()> {
        let mut closing = self.member.server.closing();
        let member = Arc::clone(&self.member);
        let _waiting = Waiting::of(&member);
        loop {
            self.member.server.check()?;
            match self
                .member
                .next(into, max, self.asked.is_fetching(), self.asked.is_reading())
            {
                Next::Took => return Ok(()),
                Next::Wait => {}
                Next::Ask { fetch, claim, read } => {
                    if !fetch.is_empty() {
                        self.asked.start_fetch(&self.member, fetch);
                    } else if claim > 0 {
                        self.asked.start_claim(&self.member, claim);
                    } else if read > 0 {
                        self.asked.start_read(&self.member, read);
                    }
                }
            }
            let answer = tokio::select! {
                answer = self.asked.answer() => answer,
                () = self.member.wake.notified() => continue,
                _ = closing.wait_for(|closed| *closed) => continue,
            };
            if let Err(error) = take_in(&self.member, answer) {
                // Closing ends what reads.
                self.member.server.check()?;
                return Err(lost(&member, error).await);
            }
        }
    }
}

/// What an error of the server means. A group that was lost, by a server that keeps nothing, is made again.
async fn lost(member: &Member, error: Error) -> Error {
    let server = &member.server;
    let about = |error: Error| error.with("topic", &member.topic).with("group", &member.group);
    if error.kind() != ErrorKind::GroupMissing
        || server.declare != Mode::Create
        || member.ephemeral
        || !server.is_declared(&member.topic)
    {
        return about(error);
    }
    tracing::warn!(
        topic = %member.topic, group = member.group,
        "the server has lost a group; making it again, at the oldest message that is there"
    );
    let topic = server.topic(&member.topic);
    match declare::restore(server, &topic.spec).await {
        Ok(()) => about(Error::new(
            ErrorKind::Unreachable,
            "the group was lost and is made again",
        )),
        Err(error) => about(error),
    }
}

/// Looks whether the topic and the group are there, and how the group is read.
async fn look(server: &Server, topic: &Topic, spec: &SubscriptionSpec) -> Result<Reads> {
    let keys = topic.keys.group(&spec.group.name);
    let mut pipeline = redis::pipe();
    pipeline.cmd("TYPE").arg(&topic.keys.stream);
    pipeline
        .cmd("XPENDING")
        .arg(&topic.keys.stream)
        .arg(spec.group.name.as_str());
    pipeline.cmd("HGETALL").arg(&keys.about);
    if server.declare == Mode::Create {
        // A group that another tool made has no streams of its own yet.
        for stream in [&keys.retry, &keys.dead] {
            let group = spec.group.name.as_str();
            pipeline
                .cmd("XGROUP")
                .arg("CREATE")
                .arg(stream)
                .arg(group)
                .arg("0")
                .arg("MKSTREAM");
        }
    }
    let answers = server.link.pipe(&pipeline).await.map_err(Error::from)?;
    let [kind, pending, about, ..] = &answers[..] else {
        return Err(error::odd_answer("subscribe"));
    };
    if let Value::ServerError(refused) = kind {
        return Err(error::answered(refused));
    }
    if text(kind).as_deref() == Some("none") {
        return Err(topic_missing(&topic.spec, &topic.keys.stream));
    }
    if let Value::ServerError(refused) = pending {
        let error = error::answered(refused);
        return Err(match error.kind() {
            ErrorKind::GroupMissing => {
                group_missing(&spec.group.name, &topic.keys.stream).with("topic", &spec.topic)
            }
            _ => error.with("topic", &spec.topic),
        });
    }
    let declared = pairs(about)
        .into_iter()
        .find_map(|(field, value)| (field == "order").then_some(value));
    Ok(match declared.as_deref() {
        Some(word) if word == Reads::InTurn.word() => Reads::InTurn,
        Some(_) => Reads::Together,
        None => Reads::of(topic.spec.keyed, &spec.group),
    })
}

fn joining(server: &Arc<Server>, topic: &Topic, spec: &SubscriptionSpec, reads: Reads) -> Joining {
    let keys = topic.keys.group(&spec.group.name);
    let common = Joining {
        server: Arc::clone(server),
        topic: spec.topic.clone(),
        group: spec.group.name.as_str().to_owned(),
        streams: Vec::new(),
        own_from: 0,
        back: keys.dead.clone(),
        later: keys.dead_delayed.clone(),
        moves: vec![keys.dead_delayed.clone(), keys.dead.clone()],
        owner: None,
        ephemeral: spec.group.ephemeral,
        alive: keys.alive.clone(),
        lease: spec.group.lease,
        prefetch: spec.prefetch,
        shared: server.shared(&topic.keys),
    };
    match spec.source {
        Source::Messages => Joining {
            streams: vec![topic.keys.stream.clone(), keys.retry.clone()],
            own_from: 1,
            back: keys.retry.clone(),
            later: keys.delayed.clone(),
            moves: vec![
                keys.delayed,
                keys.retry,
                topic.keys.delayed.clone(),
                topic.keys.stream.clone(),
            ],
            owner: (reads == Reads::InTurn).then_some(keys.owner),
            ..common
        },
        Source::DeadLetters => Joining {
            streams: vec![keys.dead],
            // In turn, so that those that are given back keep their place.
            owner: Some(keys.dead_owner),
            ephemeral: false,
            ..common
        },
    }
}

/// Counts a receive that waits: a member that nobody waits for leaves its turn to others.
struct Waiting<'a>(&'a Member);

impl<'a> Waiting<'a> {
    fn of(member: &'a Member) -> Self {
        let mut state = member.lock();
        state.waiting += 1;
        let idle = member.owner.is_some() && state.turn_until.is_none();
        drop(state);
        if idle {
            member.stir.notify_one();
        }
        Self(member)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Subscription for RedisSubscription {
    type Settler = RedisSettler;

    fn settler(&self) -> RedisSettler {
        RedisSettler(Arc::clone(&self.member))
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        self.receive_some(into, max.get().min(RECEIVE_BATCH_MAX)).await
    }

    async fn close(mut self) -> Result<()> {
        self.asked.abandon();
        self.member.ended.send_replace(true);
        match self.keeper.take() {
            Some(keeper) => keeper.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

impl Drop for RedisSubscription {
    fn drop(&mut self) {
        // The keeper gives back what is unsettled.
        self.member.ended.send_replace(true);
    }
}

impl fmt::Debug for RedisSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSubscription")
            .field("topic", &self.member.topic)
            .field("group", &self.member.group)
            .finish_non_exhaustive()
    }
}
