//! Publishing: a batch is handed to the client at once, then its confirmations are awaited.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientContext, Message as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::config;
use super::error::{again, closed, of_client, of_code, of_publish, unsupported};
use super::provider::Inner;
use super::topology::{Group, Known};
use super::watch::Watch;
use super::wire::{Writer, position};
use crate::clock;
use crate::config::KafkaConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, Outgoing, Route};
use crate::provider::{Durability, PublishReceipt, PublishSlot};

/// How often a publish looks whether the client's queue has room again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(3);
/// How long the thread waits for a report before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(50);

/// The longest key; the room beside a payload is for the headers.
const KEY_BYTES_MAX: usize = 8 * 1024;

/// What became of a message: its partition and offset, or the reason.
type Report = std::result::Result<(i32, i64), Code>;

/// Where a message goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    Topic(Arc<Known>),
    Retry(Arc<Known>, Arc<Group>),
    Dead(Arc<Known>, Arc<Group>),
}

impl Destination {
    fn known(&self) -> &Arc<Known> {
        match self {
            Self::Topic(known) | Self::Retry(known, _) | Self::Dead(known, _) => known,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Topic(known) => &known.topic.main,
            Self::Retry(_, group) => &group.retry,
            Self::Dead(_, group) => &group.dead,
        }
    }
}

/// The batches that are under way.
#[derive(Debug, Default)]
struct Batches {
    places: Vec<Option<Batch>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Batch {
    reports: Vec<Option<Report>>,
    /// How many reports are to come.
    left: usize,
    /// Whether nothing is added any more.
    complete: bool,
    /// Whether nobody waits for it any more.
    abandoned: bool,
    done: Arc<Notify>,
}

/// Takes the client's reports.
#[derive(Clone, Debug, Default)]
struct Reports {
    batches: Arc<Mutex<Batches>>,
    watch: Watch,
}

const HALF: u32 = usize::BITS / 2;

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Reports {
    /// The place of the batch, and of the message in it.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let report = match result {
            Ok(record) => Ok((record.partition(), record.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Unknown)),
        };
        let (at, index) = (token >> HALF, token & ((1 << HALF) - 1));
        let mut batches = self.lock();
        let Some(batch) = batches.places.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if let Some(place) = batch.reports.get_mut(index) {
            *place = Some(report);
        }
        batch.left = batch.left.saturating_sub(1);
        if batch.left > 0 {
            return;
        }
        if batch.abandoned {
            batches.places[at] = None;
            batches.free.push(at);
        } else if batch.complete {
            batch.done.notify_one();
        }
    }
}

/// A batch that is under way. Dropped early, its reports are thrown away.
struct UnderWay<'a> {
    reports: &'a Reports,
    at: usize,
    done: Arc<Notify>,
    /// How many of its messages were not handed over; no report comes of them.
    not_sent: usize,
}

impl<'a> UnderWay<'a> {
    fn new(reports: &'a Reports, count: usize) -> Self {
        let done = Arc::new(Notify::new());
        let batch = Batch {
            reports: vec![None; count],
            left: count,
            complete: false,
            abandoned: false,
            done: Arc::clone(&done),
        };
        let mut batches = reports.lock();
        let at = batches.free.pop().unwrap_or_else(|| {
            batches.places.push(None);
            batches.places.len() - 1
        });
        batches.places[at] = Some(batch);
        Self {
            reports,
            at,
            done,
            not_sent: count,
        }
    }

    const fn token(&self, index: usize) -> usize {
        self.at << HALF | index
    }

    /// Waits for the reports.
    async fn finish(mut self) -> Vec<Option<Report>> {
        let left = {
            let mut batches = self.reports.lock();
            batches.places[self.at].as_mut().map_or(0, |batch| {
                batch.complete = true;
                batch.left -= self.not_sent;
                batch.left
            })
        };
        self.not_sent = 0;
        if left > 0 {
            self.done.notified().await;
        }
        let mut batches = self.reports.lock();
        let batch = batches.places[self.at].as_mut();
        batch
            .map(|batch| std::mem::take(&mut batch.reports))
            .unwrap_or_default()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut batches = self.reports.lock();
        if let Some(batch) = batches.places[self.at].as_mut() {
            batch.left -= self.not_sent;
            if batch.left > 0 {
                batch.abandoned = true;
                return;
            }
        }
        batches.places[self.at] = None;
        batches.free.push(self.at);
    }
}

type Client = BaseProducer<Reports>;

/// What publishes for a connection.
#[derive(Debug)]
pub(super) struct Publisher {
    config: Arc<KafkaConfig>,
    reports: Reports,
    /// `None` once it is closed.
    client: RwLock<Option<Running>>,
}

/// A client and the thread that takes its reports.
#[derive(Clone)]
struct Running {
    client: Arc<Client>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Running {
    fn start(config: &KafkaConfig, reports: &Reports) -> Result<Self> {
        let reports = Reports {
            watch: Watch::default(),
            ..reports.clone()
        };
        let client = Client::from_config_and_context(&config::producer(config), reports)
            .map_err(|error| of_client(&error, "connect"))?;
        let running = Self {
            client: Arc::new(client),
            stop: Arc::default(),
        };
        let polling = running.clone();
        std::thread::Builder::new()
            .name("ductape-kafka-publish".to_owned())
            .spawn(move || {
                while !polling.stop.load(Ordering::Acquire) {
                    polling.client.poll(POLL);
                }
                // What was not sent by then is not: each waiting publish is told.
                polling.client.purge(PurgeConfig::default().queue().inflight());
                polling.client.poll(Duration::from_millis(10));
            })
            .map_err(|error| {
                Error::new(ErrorKind::Unexpected, "no thread can be started").with_source(error)
            })?;
        Ok(running)
    }
}

impl Publisher {
    pub(super) fn new(config: Arc<KafkaConfig>) -> Result<Self> {
        let reports = Reports::default();
        let running = Running::start(&config, &reports)?;
        Ok(Self {
            config,
            reports,
            client: RwLock::new(Some(running)),
        })
    }

    /// Publishes a batch.
    pub(super) async fn publish(&self, inner: &Arc<Inner>, batch: &mut [PublishSlot]) {
        let mut last: Option<(usize, Result<Destination>)> = None;
        let mut writer = Writer::default();
        let until = clock::now() + config::PUBLISH_TIMEOUT;
        let mut under_way = UnderWay::new(&self.reports, batch.len());
        let mut durability = vec![None; batch.len()];
        for at in 0..batch.len() {
            batch[at].outcome = None;
            let message = &batch[at].message;
            if let Err(error) = self.check(message) {
                batch[at].outcome = Some(Err(error));
                continue;
            }
            let known = last.as_ref().is_some_and(|(other, _)| {
                let other = &batch[*other].message;
                other.topic == message.topic && other.route == message.route
            });
            if !known {
                last = Some((at, inner.destination(message).await));
            }
            let Some((_, Ok(destination))) = &last else {
                let error = last
                    .as_ref()
                    .and_then(|(_, destination)| destination.as_ref().err());
                batch[at].outcome = Some(Err(error.map_or_else(closed, again)));
                continue;
            };
            if let Some(outcome) = hand_in(destination, message) {
                batch[at].outcome = Some(outcome);
                continue;
            }
            let token = under_way.token(at);
            let handed_over = self
                .hand_over(destination, message, token, &mut writer, until)
                .await;
            match handed_over {
                Ok(()) => {
                    under_way.not_sent -= 1;
                    durability[at] = Some(destination.known().topic.durability);
                }
                Err(error) => batch[at].outcome = Some(Err(error)),
            }
        }
        let reports = under_way.finish().await;
        let mut fatal = false;
        for ((slot, report), durability) in batch.iter_mut().zip(reports).zip(durability) {
            let (Some(report), Some(durability)) = (report, durability) else {
                continue;
            };
            fatal |= report == Err(Code::Fatal);
            slot.outcome = Some(match report {
                Ok((partition, offset)) => Ok(PublishReceipt {
                    durability,
                    position: position(partition, offset).filter(|_| slot.message.route == Route::Topic),
                    duplicate: false,
                }),
                Err(code) => Err(refused(inner, code, &slot.message)),
            });
        }
        if fatal {
            self.renew();
        }
    }

    fn check(&self, message: &Outgoing) -> Result<()> {
        message.headers.check()?;
        let limit = config::payload_bytes_max(&self.config);
        let (payload, key) = (message.payload.len(), message.key.as_ref().map_or(0, Bytes::len));
        if payload > limit || key > KEY_BYTES_MAX {
            let (what, has, limit) = if payload > limit {
                ("payload", payload, limit)
            } else {
                ("key", key, KEY_BYTES_MAX)
            };
            let text = format!("a {what} of {has} bytes; at most {limit} are taken (see `payloadBytesMax`)");
            return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
        }
        let Some(wait) = message
            .not_before
            .and_then(|due| due.duration_since(clock::wall()).ok())
        else {
            return Ok(());
        };
        match message.route {
            Route::Group(_) if wait <= config::GROUP_DELAY_MAX => Ok(()),
            Route::Group(_) => Err(unsupported(format!(
                "a message to one group can wait for at most {:?}, not for {wait:?}",
                config::GROUP_DELAY_MAX
            ))),
            _ => Err(unsupported(
                "Kafka can't delay a message to all groups of a topic; publish it when it is due",
            )),
        }
    }

    /// Hands a message over to the client, once it has room.
    async fn hand_over(
        &self,
        destination: &Destination,
        message: &Outgoing,
        token: usize,
        writer: &mut Writer,
        until: Instant,
    ) -> Result<()> {
        loop {
            match self.try_hand_over(destination, message, token, writer) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(Code::QueueFull)) if clock::now() < until => {
                    sleep(QUEUE_FULL_WAIT).await;
                }
                Err(KafkaError::Canceled) => return Err(closed()),
                Err(KafkaError::MessageProduction(code)) => return Err(of_code(code, "publish")),
                Err(error) => return Err(of_client(&error, "publish")),
            }
        }
    }

    fn try_hand_over(
        &self,
        destination: &Destination,
        message: &Outgoing,
        token: usize,
        writer: &mut Writer,
    ) -> std::result::Result<(), KafkaError> {
        // Held while it is handed over, so that a close sees either none or all of it.
        let running = self.client.read().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_ref() else {
            return Err(KafkaError::Canceled);
        };
        let record = BaseRecord {
            topic: destination.name(),
            partition: None,
            payload: Some(&*message.payload),
            key: message.key.as_deref(),
            timestamp: None,
            headers: Some(writer.headers(message, &destination.known().topic)),
            delivery_opaque: token,
        };
        running.client.send(record).map_err(|(error, _)| error)
    }

    /// Replaces a client that gave up.
    fn renew(&self) {
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = current.as_mut()
            && running.client.context().watch.is_fatal()
        {
            match Running::start(&self.config, &self.reports) {
                Ok(new) => {
                    running.stop.store(true, Ordering::Release);
                    *running = new;
                }
                Err(error) => tracing::error!(%error, "the client gave up and can't be made anew"),
            }
        }
    }

    /// Waits until all that was handed over is confirmed, and ends the client.
    pub(super) async fn close(&self, deadline: Instant) -> Result<()> {
        let running = self.client.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else {
            return Ok(());
        };
        let mut left = running.client.in_flight_count();
        while left > 0 && clock::now() < deadline {
            sleep(QUEUE_FULL_WAIT).await;
            left = running.client.in_flight_count();
        }
        running.stop.store(true, Ordering::Release);
        if left > 0 {
            let text = format!("{left} messages were not confirmed in time");
            return Err(Error::new(ErrorKind::Timeout, text).with("provider", "kafka"));
        }
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let running = self
            .client
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(running) = running {
            running.stop.store(true, Ordering::Release);
        }
    }
}

/// Why a message was not taken.
fn refused(inner: &Inner, code: Code, message: &Outgoing) -> Error {
    let error = of_publish(code).with("topic", &message.topic);
    if error.kind() == ErrorKind::TopicMissing {
        inner.topology.forget(&message.topic);
    }
    error
}

/// Hands a message to the one member of a group of this process's own.
fn hand_in(destination: &Destination, message: &Outgoing) -> Option<Result<PublishReceipt>> {
    let Destination::Retry(_, group) = destination else {
        return None;
    };
    let member = group.own.as_ref()?.member();
    let incoming = Incoming {
        topic: message.topic.clone(),
        id: message.id.clone(),
        key: message.key.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone(),
        published_at: Some(message.published_at),
        position: None,
        delivery_count: None,
    };
    let taken = member.is_some_and(|member| member.hand_in(incoming, message.not_before));
    Some(if taken {
        Ok(PublishReceipt {
            durability: Durability::Buffered,
            position: None,
            duplicate: false,
        })
    } else {
        let text = "the group lives as long as its subscription, and has none";
        Err(Error::new(ErrorKind::GroupMissing, text).with("topic", &message.topic))
    })
}
