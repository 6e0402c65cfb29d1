//! The channels that publish.
//!
//! Most messages share one channel. A server that can't route a message returns it, and the client gives what was returned to
//! whichever confirmation comes next; so messages that must not be lost without a word (retries, dead letters, topics that
//! this program has not declared) go by a channel on which nothing else is under way.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::Channel;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

use super::link::{Link, Open};
use crate::error::Result;

/// How many channels are there at most for messages that go alone.
const ALONE_MAX: usize = 8;

/// A channel whose publishes are confirmed.
pub(super) struct Confirming {
    pub(super) channel: Arc<Channel>,
    pub(super) open: Arc<Open>,
    /// Held while a message is handed to the client: the client numbers it first and queues it then, and two that do both
    /// at once would have each other's number.
    pub(super) order: Mutex<()>,
    /// Where what is under way is awaited when nobody else does.
    pub(super) runtime: Handle,
}

impl fmt::Debug for Confirming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirming")
            .field("channel", &self.channel.id())
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Confirming {
    async fn new(link: &Link) -> Result<Arc<Self>> {
        let open = link.get().await?;
        let channel = open.confirming().await?;
        Ok(Arc::new(Self {
            channel: Arc::new(channel),
            open,
            order: Mutex::new(()),
            runtime: link.runtime().clone(),
        }))
    }

    fn is_up(&self) -> bool {
        self.open.is_up() && self.channel.status().connected()
    }
}

/// The channels of a connection.
#[derive(Debug)]
pub(super) struct Channels {
    shared: Mutex<Option<Arc<Confirming>>>,
    making: AsyncMutex<()>,
    alone: Arc<Mutex<Vec<Arc<Confirming>>>>,
    permits: Arc<Semaphore>,
}

impl Channels {
    pub(super) fn new() -> Self {
        Self {
            shared: Mutex::new(None),
            making: AsyncMutex::new(()),
            alone: Arc::default(),
            permits: Arc::new(Semaphore::new(ALONE_MAX)),
        }
    }

    /// The channel that most messages share.
    pub(super) async fn shared(&self, link: &Link) -> Result<Arc<Confirming>> {
        if let Some(channel) = self.shared_up() {
            return Ok(channel);
        }
        let _making = self.making.lock().await;
        if let Some(channel) = self.shared_up() {
            return Ok(channel);
        }
        let made = Confirming::new(link).await?;
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    fn shared_up(&self) -> Option<Arc<Confirming>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.as_ref().filter(|channel| channel.is_up()).cloned()
    }

    /// A channel on which nothing else is under way, until it is dropped.
    pub(super) async fn alone(&self, link: &Link) -> Result<Alone> {
        // The semaphore is never closed, so there is always a permit to be had.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let idle = {
            let mut idle = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|channel| channel.is_up());
            idle.pop()
        };
        let channel = match idle {
            Some(channel) => channel,
            None => Confirming::new(link).await?,
        };
        Ok(Alone {
            channel,
            home: Arc::clone(&self.alone),
            _permit: permit,
        })
    }
}

/// A channel on which nothing else is under way.
#[derive(Debug)]
pub(super) struct Alone {
    channel: Arc<Confirming>,
    home: Arc<Mutex<Vec<Arc<Confirming>>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Alone {
    pub(super) const fn channel(&self) -> &Arc<Confirming> {
        &self.channel
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if self.channel.is_up() {
            let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
            home.push(Arc::clone(&self.channel));
        }
    }
}
