//! Settling: what is acked goes in one command a stream.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisWrite as _, Value};

use super::config::DELAY_MAX;
use super::error;
use super::member::{Entry, Member};
use super::publish::millis_ceil;
use super::scripts::{self, EXTEND, LATER};
use super::wire::{list, number};
use crate::clock;
use crate::error::{Error, Result};
use crate::provider::{Receipt, SettleSlot, Settlement, Settler};

/// Up to so many acks each have an answer of their own, so that it is known which of them came too late.
const SINGLY_MAX: usize = 8;

/// Settles the deliveries of one subscription.
#[derive(Clone, Debug)]
pub(super) struct RedisSettler(pub(super) Arc<Member>);

/// A command, and the slots whose outcome its answer is.
struct Sent {
    slots: Vec<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ack,
    Later,
    /// Its answer tells nothing.
    Delete,
}

impl Settler for RedisSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let member = &*self.0;
        let mut pipeline = Pipeline::new();
        let mut sent = Vec::new();
        let mut entries: Vec<Option<Entry>> = Vec::with_capacity(batch.len());
        plan(member, batch, &mut entries, &mut pipeline, &mut sent);
        match member.server.link.pipe(&pipeline).await {
            Ok(answers) => {
                for (sent, answer) in sent.iter().zip(answers) {
                    conclude(member, batch, sent, answer).await;
                }
            }
            Err(failed) => {
                let error = Error::from(failed);
                for at in sent.iter().flat_map(|sent| &sent.slots) {
                    batch[*at].outcome = Some(Err(Error::new(error.kind(), error.message())));
                }
            }
        }
        // What is settled is in hand no more; what could not be sent may be tried again.
        let mut state = member.lock();
        for slot in batch.iter().filter(|slot| {
            !matches!(&slot.outcome, Some(Err(error)) if error.is_temporary() || error.kind() == crate::ErrorKind::Unsupported)
        }) {
            state.held.take(&slot.receipt);
        }
        drop(state);
        member.wake.notify_one();
    }

    async fn extend(&self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        let member = &*self.0;
        let mut lost = 0;
        let mut extended = Vec::new();
        {
            let mut state = member.lock();
            let now = clock::now();
            let has_turn = state.has_turn(now);
            for receipt in receipts {
                match state.held.get_mut(receipt) {
                    Some(held) if has_turn && now < held.until => {
                        held.until = clock::after(by);
                        extended.push((held.entry, receipt.token()));
                    }
                    _ => lost += 1,
                }
            }
        }
        if member.owner.is_none() && !extended.is_empty() {
            let gone = keep_leases(member, &extended, by).await?;
            lost += gone.len();
            let mut state = member.lock();
            for token in gone {
                state.held.take(&Receipt::new(token));
            }
        }
        if lost > 0 {
            return Err(error::lease_lost());
        }
        Ok(())
    }
}

/// Tells the server that these deliveries are kept. Answers those that are somebody else's.
pub(super) async fn keep_leases(member: &Member, held: &[(Entry, u64)], by: Duration) -> Result<Vec<u64>> {
    let by = by.min(member.lease);
    let idle = member.lease.saturating_sub(by).as_millis().to_string();
    let mut call = EXTEND.call(&member.stream_names());
    call.arg(&member.group).arg(&member.name);
    for (entry, _) in held {
        call.arg(entry.word()).arg(&idle);
    }
    let answers = list(member.run(&call).await?);
    let until = clock::after(by);
    let mut state = member.lock();
    let mut gone = Vec::new();
    for ((_, token), answer) in held.iter().zip(&answers) {
        match (number(answer), state.held.get_mut(&Receipt::new(*token))) {
            (Some(1), Some(held)) => held.server_until = until,
            (Some(1), None) => {}
            _ => gone.push(*token),
        }
    }
    Ok(gone)
}

/// Decides for each slot, and writes the commands.
fn plan(
    member: &Member,
    batch: &mut [SettleSlot],
    entries: &mut Vec<Option<Entry>>,
    pipeline: &mut Pipeline,
    sent: &mut Vec<Sent>,
) {
    let mut acks: Vec<Vec<usize>> = vec![Vec::new(); member.streams.len()];
    let mut state = member.lock();
    let now = clock::now();
    let has_turn = state.has_turn(now);
    for (at, slot) in batch.iter_mut().enumerate() {
        slot.outcome = None;
        let held = state
            .held
            .get(&slot.receipt)
            .filter(|held| has_turn && now < held.until);
        let Some((entry, count)) = held.map(|held| (held.entry, held.count)) else {
            entries.push(None);
            slot.outcome = Some(Err(error::lease_lost()));
            continue;
        };
        entries.push(Some(entry));
        match slot.how {
            Settlement::Ack | Settlement::Reject => acks[entry.stream].push(at),
            Settlement::Requeue => {
                state.again.insert(entry, count);
                slot.outcome = Some(Ok(()));
            }
            Settlement::RequeueAfter(after) if after > DELAY_MAX => {
                let asked = format!("take a delivery back after {after:?}");
                let instead = format!("the longest delay is {DELAY_MAX:?}");
                slot.outcome = Some(Err(error::unsupported(&asked, &instead)));
            }
            Settlement::RequeueAfter(after) => {
                pipeline.add_command(later(member, entry, count, after));
                sent.push(Sent {
                    slots: vec![at],
                    kind: Kind::Later,
                });
            }
        }
    }
    drop(state);
    for (stream, slots) in acks.into_iter().enumerate() {
        let own = stream >= member.own_from;
        let chunk = if slots.len() <= SINGLY_MAX { 1 } else { slots.len() };
        for slots in slots.chunks(chunk) {
            let command = |name: &str, group: Option<&str>| {
                let mut command = Cmd::with_capacity(slots.len() + 3, 24 * slots.len() + 96);
                command.arg(name).arg(&member.streams[stream]).arg(group);
                for entry in slots.iter().filter_map(|at| entries[*at]) {
                    // Writing to memory does not fail.
                    let _ = write!(command.writer_for_next_arg(), "{}", entry.id);
                }
                command
            };
            let ack = command("XACK", Some(&member.group));
            pipeline.add_command(ack);
            sent.push(Sent {
                slots: slots.to_vec(),
                kind: Kind::Ack,
            });
            if own {
                let delete = command("XDEL", None);
                pipeline.add_command(delete);
                sent.push(Sent {
                    slots: Vec::new(),
                    kind: Kind::Delete,
                });
            }
        }
    }
}

fn later(member: &Member, entry: Entry, count: u32, after: Duration) -> Cmd {
    let mut call = LATER.call(&[&member.streams[entry.stream], &member.back, &member.later]);
    call.arg(&member.group)
        .arg(&member.name)
        .arg(entry.id.to_string())
        .arg(millis_ceil(after))
        .arg(count)
        .arg(if entry.stream >= member.own_from { "1" } else { "0" });
    call
}

async fn conclude(member: &Member, batch: &mut [SettleSlot], sent: &Sent, answer: Value) {
    if sent.kind == Kind::Delete {
        return;
    }
    let answer = match answer {
        answer if sent.kind == Kind::Later && scripts::is_forgotten(&answer) => {
            again(member, batch, sent).await
        }
        Value::ServerError(refused) => Err(error::answered(&refused)),
        answer => Ok(answer),
    };
    let all = sent.slots.len();
    for at in &sent.slots {
        batch[*at].outcome = Some(match (&answer, sent.kind) {
            (Ok(Value::Int(count)), Kind::Ack) if usize::try_from(*count) == Ok(all) => Ok(()),
            (Ok(Value::Int(count)), Kind::Ack) if all > 1 => {
                Err(error::lease_lost().with("acked", format!("{count} of {all}")))
            }
            (Ok(Value::Int(0)), _) => Err(error::lease_lost()),
            (Ok(Value::Int(-1)), Kind::Later) => {
                tracing::error!(
                    topic = %member.topic, group = member.group,
                    "a message was deleted from its stream before it could be tried again; trim less"
                );
                Ok(())
            }
            (Ok(_), _) => Ok(()),
            (Err(error), _) => {
                Err(Error::new(error.kind(), error.message()).with_temporary(error.is_temporary()))
            }
        });
    }
    if sent.kind == Kind::Later {
        member.stir.notify_one();
    }
}

/// Tells the server its scripts, and asks it again.
async fn again(member: &Member, batch: &[SettleSlot], sent: &Sent) -> Result<Value> {
    scripts::load(&member.server.link).await?;
    let call = sent.slots.first().and_then(|at| {
        let slot = &batch[*at];
        let state = member.lock();
        let held = state.held.get(&slot.receipt)?;
        let Settlement::RequeueAfter(after) = slot.how else {
            return None;
        };
        Some(later(member, held.entry, held.count, after))
    });
    match call {
        Some(call) => member.run(&call).await,
        None => Err(error::lease_lost()),
    }
}
