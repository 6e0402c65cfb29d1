//! What each command does within a transaction, and how it is answered after it.

use std::sync::Arc;

use rusqlite::{Connection, Result as SqlResult};

use crate::embedded::durable::engine::{Engine, Failure, Sub, random};
use crate::embedded::durable::error::translate;
use crate::embedded::durable::queue::{Command, End, Mailbox};
use crate::embedded::durable::settle::{give_back, millis};
use crate::embedded::durable::topology::{backlog, declare, drop_group, join, seek};
use crate::spec::{Ordering, Source, SubscriptionSpec};

impl Engine {
    pub(super) fn execute(&mut self, conn: &Connection, command: &mut Command, now: i64) -> SqlResult<()> {
        match command {
            Command::Publish(work) => work.execute(conn, &mut self.cache, now)?,
            Command::Settle(work) => {
                work.lost.clear();
                match self.subs.get(&work.sub) {
                    Some(sub) => match self.cache.group(conn, sub.group)? {
                        Some(group) => work.execute(conn, group, sub, now)?,
                        None => work.lost.extend(0..work.items.len()),
                    },
                    None => work.lost.extend(0..work.items.len()),
                }
            }
            Command::Extend(work) => {
                work.lost = 0;
                match self.subs.get(&work.sub) {
                    Some(sub) => match self.cache.group(conn, sub.group)? {
                        Some(group) => work.execute(group, sub, now),
                        None => work.lost = work.tokens.len(),
                    },
                    None => work.lost = work.tokens.len(),
                }
            }
            Command::Declare(spec, answer) => {
                answer.value = Some(declare(conn, &mut self.cache, spec, now)?);
            }
            Command::Subscribe(spec, mailbox, answer) => {
                let joined = join(conn, &mut self.cache, spec)?;
                answer.value = Some(joined.map(|group| self.add(spec, group, mailbox)));
            }
            Command::Leave(id, answer) => {
                self.leave(conn, *id)?;
                answer.value = Some(Ok(()));
            }
            Command::Seek(topic, group, to, answer) => {
                let sought = seek(conn, &mut self.cache, topic, group, *to)?;
                if let Ok(group) = sought {
                    // What lies in the mailboxes is not theirs any more.
                    for sub in self.subs.values().filter(|sub| sub.group == group) {
                        sub.mailbox.lock().deliveries.clear();
                    }
                }
                answer.value = Some(sought.map(drop));
            }
            Command::Backlog(topic, group, answer) => {
                answer.value = Some(backlog(conn, &mut self.cache, topic, group, now)?);
            }
            Command::Ping(answer) => answer.value = Some(Ok(())),
            Command::Close(answer) => {
                for id in self.subs.keys().copied().collect::<Vec<_>>() {
                    self.leave(conn, id)?;
                }
                let mine: Vec<i64> = conn
                    .prepare_cached("SELECT id FROM groups WHERE instance = ?")?
                    .query_map([self.cache.instance], |row| row.get(0))?
                    .collect::<SqlResult<_>>()?;
                for id in mine {
                    drop_group(conn, &mut self.cache, id)?;
                }
                answer.value = Some(Ok(()));
            }
            Command::Want(_) => {}
        }
        Ok(())
    }

    fn add(&mut self, spec: &SubscriptionSpec, group: i64, mailbox: &Arc<Mailbox>) -> u64 {
        let id = self.next_sub;
        self.next_sub += 1;
        let sub = Sub {
            owner: random(),
            group,
            topic: spec.topic.clone(),
            strict: spec.group.ordering == Ordering::Strict,
            once: spec.group.once && spec.source == Source::Messages,
            lease: millis(spec.group.lease),
            prefetch: spec.prefetch.get(),
            ephemeral: spec.group.ephemeral,
            wants: false,
            mailbox: Arc::clone(mailbox),
        };
        self.subs.insert(id, sub);
        id
    }

    /// Gives what a subscription has back. It is taken out once that is committed, see [`Self::answer`].
    fn leave(&mut self, conn: &Connection, id: u64) -> SqlResult<()> {
        let Some(sub) = self.subs.get_mut(&id) else {
            return Ok(());
        };
        // What is given back in this transaction must not be delivered to it in the same.
        sub.wants = false;
        let unseen: Vec<u64> = {
            let mail = sub.mailbox.lock();
            mail.deliveries
                .iter()
                .map(|delivery| delivery.receipt.token())
                .collect()
        };
        if let Some(group) = self.cache.group(conn, sub.group)? {
            give_back(conn, group, sub.owner, &unseen)?;
        }
        let group = sub.group;
        let others = self
            .subs
            .iter()
            .any(|(other, sub)| *other != id && sub.group == group);
        if self.subs.get(&id).is_some_and(|sub| sub.ephemeral) && !others {
            drop_group(conn, &mut self.cache, group)?;
        }
        Ok(())
    }

    /// Sends the answer of a command that was committed.
    pub(super) fn answer(&mut self, command: &mut Command) {
        match command {
            Command::Publish(work) => work.send(),
            Command::Settle(work) => {
                if let Some(to) = work.to.take() {
                    drop(to.send(Ok(std::mem::take(&mut work.lost))));
                }
            }
            Command::Extend(work) => {
                if let Some(to) = work.to.take() {
                    drop(to.send(Ok(work.lost)));
                }
            }
            Command::Declare(_, answer) | Command::Seek(_, _, _, answer) | Command::Ping(answer) => {
                answer.send();
            }
            Command::Subscribe(_, _, answer) => answer.send(),
            Command::Backlog(_, _, answer) => answer.send(),
            Command::Leave(id, answer) => {
                self.subs.remove(id);
                answer.send();
            }
            Command::Close(answer) => {
                self.closing = true;
                self.queue.stop();
                for sub in self.subs.values() {
                    sub.mailbox.lock().deliveries.clear();
                    sub.mailbox.end(End::StoreClosed);
                }
                if let Some(conn) = self.conn.take() {
                    // Best effort: the next who opens the file folds the rest in.
                    drop(conn.close());
                }
                answer.send();
            }
            Command::Want(_) => {}
        }
    }

    pub(super) fn fail(&mut self, command: &mut Command, failure: &Failure) {
        let file = self.file.clone();
        let error = |operation| {
            let error = translate(&failure.error, &file, operation);
            if failure.unknown {
                error.with_indeterminate()
            } else {
                error
            }
        };
        match command {
            Command::Publish(work) => work.fail(|| error("publish")),
            Command::Settle(work) => {
                if let Some(to) = work.to.take() {
                    drop(to.send(Err(error("settle"))));
                }
            }
            Command::Extend(work) => {
                if let Some(to) = work.to.take() {
                    drop(to.send(Err(error("extend"))));
                }
            }
            Command::Declare(_, answer) => answer.fail(error("declare")),
            Command::Seek(_, _, _, answer) => answer.fail(error("seek")),
            Command::Ping(answer) => answer.fail(error("ping")),
            Command::Subscribe(_, _, answer) => answer.fail(error("subscribe")),
            Command::Backlog(_, _, answer) => answer.fail(error("backlog")),
            Command::Leave(id, answer) => {
                // Its leases end by themselves.
                self.subs.remove(id);
                answer.fail(error("close"));
            }
            Command::Close(answer) => {
                self.closing = true;
                answer.fail(error("close"));
            }
            Command::Want(_) => {}
        }
    }
}
