//! What keeps a subscription alive beside what receives: its turn, its leases, what is due, and its end.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::declare::EPHEMERAL_KEPT;
use super::member::{Member, Recover};
use super::provider::Busy;
use super::reading::{claim, take_in_claimed};
use super::scripts::{LEAVE, MOVE, RETURN, SWEEP, TRIM, TURN};
use super::settle::keep_leases;
use crate::clock;
use crate::error::{ErrorKind, Result};

/// How often it looks for what is due where nothing says when: what another process delays for a shorter time may come
/// this much later.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a member that waits for its turn asks for it.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// For how long a member that lost its turn, or that nobody receives from, leaves it to others.
const REST: Duration = Duration::from_millis(600);
/// After which time without a receive and without a delivery in hand a member leaves its turn to others.
const UNPOLLED_MAX: Duration = Duration::from_secs(1);

/// How often what is settled and old is deleted.
fn trim_every(member: &Member) -> Duration {
    const MOST: Duration = Duration::from_mins(1);
    (member.server.retention / 2).clamp(Duration::from_millis(200), MOST)
}

/// Tries to be the first in turn.
pub(super) async fn begin(member: &Member) -> Result<()> {
    if let Some(owner) = &member.owner {
        ask_turn(member, owner).await?;
    }
    Ok(())
}

/// Keeps the member until it ends, then gives back what it has.
pub(super) async fn keep(member: Arc<Member>, busy: Busy) -> Result<()> {
    let mut ended = member.ended.subscribe();
    let mut closing = member.server.closing();
    let mut delayed = member.server.delayed.subscribe();
    let mut keeper = Keeper::new(&member);
    loop {
        let next = keeper.tick().await;
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => break,
            _ = closing.wait_for(|closed| *closed) => break,
            _ = delayed.changed() => keeper.look_at = clock::now(),
            () = member.stir.notified() => keeper.look_at = clock::now(),
            () = sleep_until(next) => {}
        }
    }
    let left = leave(&member).await;
    if let Err(error) = &left {
        tracing::warn!(
            topic = %member.topic, group = member.group, %error,
            "what a subscription had could not be given back; it comes when its lease ends"
        );
    }
    drop(busy);
    left
}

struct Keeper<'a> {
    member: &'a Member,
    look_at: Instant,
    claim_at: Instant,
    alive_at: Instant,
    trim_at: Instant,
    rest_until: Instant,
    told: bool,
}

impl<'a> Keeper<'a> {
    fn new(member: &'a Member) -> Self {
        let now = clock::now();
        Self {
            member,
            look_at: now,
            claim_at: now + jitter(member.lease / 2),
            alive_at: now,
            trim_at: now + jitter(trim_every(member)),
            rest_until: now,
            told: false,
        }
    }

    /// Does what is due, and says when it is to be called again.
    async fn tick(&mut self) -> Instant {
        let done = self.work().await;
        match done {
            Ok(()) => self.told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::debug!(topic = %self.member.topic, group = self.member.group, %error, "a subscription can't be kept");
                }
            }
        }
        let step = if self.member.owner.is_some() {
            ASK_EVERY.min(self.member.lease / 6)
        } else {
            LOOK_EVERY.min(self.member.lease / 6)
        };
        (clock::now() + step.max(Duration::from_millis(5)))
            .min(self.look_at.max(clock::now() + Duration::from_millis(1)))
    }

    async fn work(&mut self) -> Result<()> {
        let member = self.member;
        if let Some(owner) = &member.owner {
            self.keep_turn(owner).await?;
        } else {
            self.keep_leases().await?;
            self.claim_expired().await?;
        }
        let now = clock::now();
        if member.ephemeral && now >= self.alive_at {
            let mut command = redis::cmd("SET");
            command
                .arg(&member.alive)
                .arg("1")
                .arg("PX")
                .arg(EPHEMERAL_KEPT.as_millis().to_string());
            member.server.link.command(&command).await?;
            self.alive_at = now + EPHEMERAL_KEPT / 4;
        }
        if now >= self.trim_at && member.lock().has_turn(now) {
            self.trim_at = now + trim_every(member);
            if let [.., stream] = &member.moves[..]
                && member.streams.first() == Some(stream)
                && member.own_from > 0
            {
                let mut call = TRIM.call(&[stream]);
                call.arg(member.server.retention.as_millis().to_string());
                member.run(&call).await?;
            }
        }
        if now >= self.look_at && member.lock().has_turn(now) {
            self.look_at = now + LOOK_EVERY;
            let moves: Vec<&str> = member.moves.iter().map(String::as_str).collect();
            if let Value::Int(wait @ 0..) = member.run(&MOVE.call(&moves)).await? {
                let wait = Duration::from_millis(wait.unsigned_abs() + 1);
                self.look_at = clock::now() + wait.min(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// Asks for the turn when somebody receives, prolongs it while it is used, and leaves it when a lease ended.
    async fn keep_turn(&mut self, owner: &str) -> Result<()> {
        let member = self.member;
        let now = clock::now();
        let (until, overdue, unused, wanted) = {
            let state = member.lock();
            let overdue = state.held.iter().any(|held| held.until <= now);
            let in_hand = state.held.len() > 0;
            let unused = state.waiting == 0 && !in_hand && now.duration_since(state.polled) > UNPOLLED_MAX;
            (state.turn_until, overdue, unused, state.waiting > 0)
        };
        match until {
            Some(until) if until <= now => {
                tracing::warn!(topic = %member.topic, group = member.group, "a member's turn ended before it could be prolonged");
                member.lose();
            }
            Some(_) if overdue || unused => {
                self.rest_until = now + REST;
                leave_turn(member).await?;
            }
            Some(until) if until.duration_since(now) < member.lease + member.lease / 6 => {
                ask_turn(member, owner).await?;
            }
            None if wanted && now >= self.rest_until => ask_turn(member, owner).await?,
            _ => {}
        }
        Ok(())
    }

    /// Keeps the leases that were extended beyond what the server knows; forgets those that ended.
    async fn keep_leases(&mut self) -> Result<()> {
        let member = self.member;
        let now = clock::now();
        let kept: Vec<_> = {
            let state = member.lock();
            let due = state.held.iter_with_receipts().filter(|(_, held)| {
                held.until > held.server_until && held.server_until.duration_since(now) < member.lease / 2
            });
            due.map(|(receipt, held)| (held.entry, receipt.token(), held.until))
                .collect()
        };
        if kept.is_empty() {
            return Ok(());
        }
        let shortest = kept.iter().map(|(.., until)| until.duration_since(now)).min();
        let held: Vec<_> = kept.iter().map(|(entry, token, _)| (*entry, *token)).collect();
        keep_leases(member, &held, shortest.unwrap_or(member.lease))
            .await
            .map(drop)
    }

    /// Takes over what others, or this member, left unsettled for longer than a lease.
    async fn claim_expired(&mut self) -> Result<()> {
        let member = self.member;
        let now = clock::now();
        if now < self.claim_at {
            return Ok(());
        }
        self.claim_at = now + member.lease / 4 + jitter(member.lease / 4);
        let (room, epoch) = {
            let mut state = member.lock();
            // What has been waiting to be handed out for as long is as likely somebody else's by now.
            while state
                .arrived
                .front()
                .is_some_and(|arrived| arrived.at + member.lease <= now)
            {
                state.arrived.pop_front();
            }
            if state.waiting == 0 {
                return Ok(());
            }
            let used = state.held.len() + state.arrived.len() + state.again.len();
            (member.prefetch.saturating_sub(used), state.epoch)
        };
        if room == 0 {
            return Ok(());
        }
        // Later than the lease, so that a settlement on its way is not overtaken.
        let idle = member.lease + member.lease / 20 + Duration::from_millis(20);
        let came = claim(member, idle, None, room).await?;
        if !came.is_empty() {
            take_in_claimed(member, epoch, came)?;
            member.wake.notify_one();
        }
        Ok(())
    }
}

/// Asks for the turn, or to keep it.
async fn ask_turn(member: &Member, owner: &str) -> Result<()> {
    let asked = clock::now();
    let mut call = TURN.call(&[owner]);
    call.arg(&member.name).arg(member.turn().as_millis().to_string());
    let granted = member.run(&call).await? == Value::Int(1);
    let mut state = member.lock();
    let had = state.turn_until.is_some();
    if granted {
        state.turn_until = Some(asked + member.turn());
        if !had {
            state.recover = Recover::All;
            state.polled = clock::now();
        }
        drop(state);
        member.wake.notify_one();
    } else if had {
        drop(state);
        tracing::warn!(topic = %member.topic, group = member.group, "another member took the turn");
        member.lose();
    }
    Ok(())
}

/// Leaves the turn, and everything in hand with it.
async fn leave_turn(member: &Member) -> Result<()> {
    let handed = handed(member);
    member.lose();
    stop_reader(member).await;
    let Some(owner) = &member.owner else { return Ok(()) };
    let mut keys = vec![owner.as_str()];
    keys.extend(member.stream_names());
    let mut call = LEAVE.call(&keys);
    call.arg(&member.group).arg(&member.name).arg(&handed);
    member.run(&call).await.map(drop)
}

/// What is in somebody's hands: its next delivery counts as a further one.
fn handed(member: &Member) -> Vec<String> {
    let state = member.lock();
    state.held.iter().map(|held| held.entry.word()).collect()
}

/// Ends a read that waits, so that nothing is assigned to a member that is gone.
async fn stop_reader(member: &Member) {
    let Some(id) = member.lock().reader.take() else {
        return;
    };
    let mut command = redis::cmd("CLIENT");
    command.arg("KILL").arg("ID").arg(id);
    if let Err(error) = member.server.link.command(&command).await
        && error.kind() == ErrorKind::Unauthorized
    {
        // It ends by itself.
        sleep(member.block()).await;
    }
}

/// Gives back what the member has.
async fn leave(member: &Member) -> Result<()> {
    if member.owner.is_some() && !member.ephemeral {
        return leave_turn(member).await;
    }
    let handed = handed(member);
    member.lose();
    stop_reader(member).await;
    if member.ephemeral {
        let topic = member.server.topic(&member.topic);
        let mut call = SWEEP.call(&[&topic.keys.stream, &topic.keys.ephemeral]);
        call.arg(&member.group);
        return member.run(&call).await.map(drop);
    }
    let mut keys = vec![member.back.as_str()];
    keys.extend(member.stream_names());
    let mut call = RETURN.call(&keys);
    call.arg(&member.group)
        .arg(&member.name)
        .arg(member.own_from + 1)
        .arg(&handed);
    member.run(&call).await.map(drop)
}

/// A time from nothing to `most`, by chance: members do not all look at once.
fn jitter(most: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() % 256;
    most * u32::try_from(chance).unwrap_or(0) / 256
}
