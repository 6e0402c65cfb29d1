//! The way to the thread: a bounded queue of commands, and the mailbox that a subscription's deliveries come back by.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ductape_schema::GroupName;
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::embedded::durable::error::closed;
use crate::embedded::durable::publish::PublishWork;
use crate::embedded::durable::settle::{ExtendWork, SettleWork};
use crate::error::{Error, Result};
use crate::message::TopicName;
use crate::provider::{Backlog, Delivery};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// The most commands that wait; callers beyond it wait for room.
const COMMANDS_MAX: usize = 1024;

/// What the thread is asked to do, and where the answer goes.
pub(super) enum Command {
    Declare(TopicSpec, Answer<()>),
    Publish(PublishWork),
    Subscribe(SubscriptionSpec, Arc<Mailbox>, Answer<u64>),
    /// A subscription waits for deliveries: how many, its mailbox says.
    Want(u64),
    Settle(SettleWork),
    Extend(ExtendWork),
    Leave(u64, Answer<()>),
    Seek(TopicName, GroupName, SeekTo, Answer<()>),
    Backlog(TopicName, GroupName, Answer<Backlog>),
    Ping(Answer<()>),
    Close(Answer<()>),
}

/// An answer that is kept until the transaction that it depends on has been committed.
pub(super) struct Answer<T> {
    to: Option<oneshot::Sender<Result<T>>>,
    pub(super) value: Option<Result<T>>,
}

impl<T> Answer<T> {
    pub(super) fn channel() -> (Self, oneshot::Receiver<Result<T>>) {
        let (to, from) = oneshot::channel();
        let answer = Self {
            to: Some(to),
            value: None,
        };
        (answer, from)
    }

    /// Sends what was kept. The asker may have gone, which is its right.
    pub(super) fn send(&mut self) {
        if let (Some(to), Some(value)) = (self.to.take(), self.value.take()) {
            drop(to.send(value));
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.value = Some(Err(error));
        self.send();
    }
}

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    room: Semaphore,
    file: String,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    stopped: bool,
}

impl Queue {
    pub(super) fn new(file: String) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            room: Semaphore::new(COMMANDS_MAX),
            file,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and hands `command` over; cancelled before that, nothing is asked.
    pub(super) async fn push(&self, command: Command) -> Result<()> {
        let room = self.room.acquire().await.map_err(|_| self.closed())?;
        self.push_now(command)?;
        room.forget();
        Ok(())
    }

    /// Hands `command` over beyond the bound: for what is dropped, of which there is no more than there are
    /// subscriptions.
    pub(super) fn push_unbounded(&self, command: Command) {
        drop(self.push_now(command));
    }

    fn push_now(&self, command: Command) -> Result<()> {
        let mut state = self.lock();
        if state.stopped {
            return Err(self.closed());
        }
        state.commands.push(command);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T> {
        let (answer, from) = Answer::channel();
        self.push(command(answer)).await?;
        from.await.map_err(|_| self.closed())?
    }

    /// Takes everything that waits, after at most `patience`; `false` once there will be no more.
    pub(super) fn take(&self, into: &mut Vec<Command>, patience: Duration) -> bool {
        let mut state = self.lock();
        if state.commands.is_empty() && !state.stopped && !patience.is_zero() {
            state = self
                .filled
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::swap(&mut state.commands, into);
        let open = !state.stopped || !into.is_empty();
        drop(state);
        // What was pushed beyond the bound must not widen it.
        let missing = COMMANDS_MAX.saturating_sub(self.room.available_permits());
        self.room.add_permits(into.len().min(missing));
        open
    }

    /// Refuses what comes from now on.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.room.close();
        self.filled.notify_one();
    }

    /// Refuses what comes from now on, and what still waits.
    pub(super) fn abandon(&self) {
        self.stop();
        let waiting = std::mem::take(&mut self.lock().commands);
        drop(waiting);
    }

    pub(super) fn closed(&self) -> Error {
        closed(&self.file)
    }
}

/// What has been delivered to a subscription and not been received.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<Mail>,
    pub(super) filled: Notify,
}

#[derive(Default)]
pub(super) struct Mail {
    pub(super) deliveries: VecDeque<Delivery>,
    /// How many the receiver waits for; 0 when there is none.
    pub(super) wanted: usize,
    /// Why there will be no more.
    pub(super) ended: Option<End>,
    /// What went wrong once.
    pub(super) fault: Option<Error>,
}

/// Why a subscription has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    StoreClosed,
    GroupGone,
}

impl Mailbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, Mail> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self, end: End) {
        self.lock().ended.get_or_insert(end);
        self.filled.notify_one();
    }

    pub(super) fn fail(&self, error: Error) {
        let mut mail = self.lock();
        mail.fault = Some(error);
        mail.wanted = 0;
        drop(mail);
        self.filled.notify_one();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
