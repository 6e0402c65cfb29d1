//! The task behind a subscription: it pulls, keeps leases and the member's place, and gives back what is left at the end.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::{Message, Request, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use super::acks::some;
use super::declare::{MEMBERS, create_consumer, group_missing};
use super::error;
use super::pulls::{HEARTBEAT, Pulls};
use super::settle::{NAK, PROGRESS};
use super::subscription::{Got, Shared};
use super::wire::{self, Place};
use crate::clock;
use crate::error::Result;

/// How long a consumer may be missing before the subscription ends: while it is moved, or a server starts.
const MISSING_FOR: Duration = Duration::from_secs(10);
/// How long each step of the end may take.
const END_STEP: Duration = Duration::from_secs(2);
struct Pump {
    shared: Arc<Shared>,
    pulls: Pulls,
    /// By what the server knows the member that it gives to.
    pin: Option<String>,
    /// When the server last said anything.
    heard: Instant,
    kept_place_at: Instant,
    last_sequence: u64,
    missing_since: Option<Instant>,
    not_before: Instant,
}

/// Subscribes, and starts the task on the connection's runtime.
pub(super) async fn start(shared: &Arc<Shared>) -> Result<()> {
    let client = shared.nats.client();
    let inbox = client.new_inbox();
    let messages = client
        .subscribe(format!("{inbox}.*"))
        .await
        .map_err(|_| error::gone(client))?;
    let now = clock::now();
    let pump = Pump {
        pulls: Pulls::new(inbox, &shared.stream, &shared.consumer),
        shared: Arc::clone(shared),
        pin: None,
        heard: now,
        kept_place_at: now,
        last_sequence: 0,
        missing_since: None,
        not_before: now,
    };
    shared.nats.runtime().spawn(pump.run(messages));
    Ok(())
}

impl Pump {
    async fn run(mut self, mut messages: Subscriber) {
        let mut came = Vec::new();
        let mut link = self.shared.nats.link().watch();
        let mut lost = link.borrow_and_update().lost;
        let tick = (self.shared.lease / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut next_tick = clock::now() + tick;
        loop {
            tokio::select! {
                alive = some(&mut messages, &mut came) => {
                    if !alive {
                        self.shared.fail(&error::gone(self.shared.nats.client()));
                        break;
                    }
                }
                () = self.shared.work.notified() => {}
                changed = link.changed() => {
                    let now = *link.borrow_and_update();
                    if changed.is_err() || now.over {
                        self.shared.fail(&error::gone(self.shared.nats.client()));
                        break;
                    }
                    if std::mem::replace(&mut lost, now.lost) != now.lost {
                        // What was asked for on the old connection is not coming.
                        self.start_over();
                    }
                }
                () = sleep_until(self.wake_at(next_tick)) => {
                    if clock::now() >= next_tick {
                        next_tick = clock::now() + tick;
                        self.tend().await;
                    }
                }
            }
            if self.shared.state().stop {
                self.end(messages, came).await;
                break;
            }
            self.take(&mut came).await;
            self.pull().await;
        }
        self.shared.done.send_replace(true);
    }

    /// The next tick, or earlier the time from which on a pull that was refused may be tried again.
    fn wake_at(&self, next_tick: Instant) -> Instant {
        if self.not_before > clock::now() {
            next_tick.min(self.not_before)
        } else {
            next_tick
        }
    }

    fn start_over(&mut self) {
        self.pulls.forget();
        self.heard = clock::now();
    }

    /// Takes what came: messages to the buffer, and what the server says of the pulls.
    async fn take(&mut self, came: &mut Vec<Message>) {
        if came.is_empty() {
            return;
        }
        self.heard = clock::now();
        let mut got = Vec::with_capacity(came.len());
        let mut check = false;
        for message in came.drain(..) {
            match message.status {
                None | Some(StatusCode::OK) => got.extend(self.delivery(message)),
                Some(status) => check |= self.told(status, &message),
            }
        }
        if !got.is_empty() {
            self.missing_since = None;
            let mut state = self.shared.state();
            if !state.paused {
                state.buffer.extend(got);
                drop(state);
                self.shared.ready.notify_one();
            }
        }
        if check {
            self.look_for_consumer().await;
        }
    }

    fn delivery(&mut self, message: Message) -> Option<Got> {
        self.pulls.came();
        if self.shared.pinned {
            let pin = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get_last(async_nats::header::NATS_PIN_ID));
            if let Some(pin) = pin
                && self.pin.as_deref() != Some(pin.as_str())
            {
                self.pin = Some(pin.as_str().to_owned());
                self.kept_place_at = clock::now();
            }
        }
        let Some(place) = Place::of(&message) else {
            tracing::warn!(
                provider = "nats",
                stream = self.shared.stream,
                "a message came that is no delivery"
            );
            return None;
        };
        self.last_sequence = self.last_sequence.max(place.sequence);
        let incoming = wire::incoming(&self.shared.topic, &self.shared.stream, &message, place);
        Some(Got::new(incoming, message.reply?, place))
    }

    /// What the server says of a pull; `true` when the consumer may be gone.
    fn told(&mut self, status: StatusCode, message: &Message) -> bool {
        if status == StatusCode::IDLE_HEARTBEAT {
            return false;
        }
        let said = message.description.as_deref().unwrap_or_default();
        if status == StatusCode::PIN_ID_MISMATCH {
            self.pin = None;
        }
        let for_messages = self.pulls.ended(message);
        if status == StatusCode::NO_RESPONDERS || said.eq_ignore_ascii_case("Consumer Deleted") {
            self.start_over();
            self.pin = None;
            return true;
        }
        if !matches!(
            status,
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND | StatusCode::PIN_ID_MISMATCH
        ) && for_messages
        {
            tracing::debug!(provider = "nats", %status, said = %said.escape_debug(), "a pull was ended");
            // Not at once again what the server refuses.
            self.not_before = clock::now() + Duration::from_millis(100);
        }
        false
    }

    /// The consumer was deleted, moved, or its server is not up yet.
    async fn look_for_consumer(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.not_before = clock::now() + Duration::from_millis(100);
        let since = *self.missing_since.get_or_insert_with(clock::now);
        match shared.nats.consumer_info(&shared.stream, &shared.consumer).await {
            Ok(Some(_)) => self.missing_since = None,
            Ok(None) => {
                // Its deliveries are nobody's any more.
                shared.forget(false);
                if let Some(config) = &shared.ephemeral {
                    let mut config = config.clone();
                    if self.last_sequence > 0 {
                        config.deliver_policy = DeliverPolicy::ByStartSequence {
                            start_sequence: self.last_sequence + 1,
                        };
                    }
                    match create_consumer(&shared.nats, &shared.stream, &config).await {
                        Ok(_) => tracing::warn!(
                            consumer = shared.consumer,
                            "an ephemeral group was gone, and is made again"
                        ),
                        Err(error) => {
                            tracing::warn!(consumer = shared.consumer, %error, "an ephemeral group is gone");
                        }
                    }
                }
                if clock::now().duration_since(since) > MISSING_FOR {
                    shared
                        .fail(&group_missing(&shared.stream, &shared.consumer).with("topic", &shared.topic));
                }
            }
            Err(error) => {
                tracing::debug!(consumer = shared.consumer, %error, "the consumer can't be looked for");
                self.not_before = clock::now() + Duration::from_millis(500);
            }
        }
    }

    /// Asks for as much as there is room for, when somebody waits and little is on its way.
    async fn pull(&mut self) {
        let more = {
            let state = self.shared.state();
            if state.paused || state.failed.is_some() {
                return;
            }
            let room = self.shared.prefetch.saturating_sub(state.receipts.len());
            let target = room.min(state.wanted);
            let have = state.buffer.len() + self.pulls.requested;
            let few = have == 0 || have < target / 2;
            if few { target.saturating_sub(have) } else { 0 }
        };
        // Without a pin a second pull would wait behind the first member's.
        if more == 0
            || (self.shared.pinned && self.pin.is_none() && self.pulls.requested > 0)
            || !self.shared.nats.link().now().up
        {
            return;
        }
        if clock::now() < self.not_before {
            return;
        }
        if self.pulls.requested == 0 {
            self.heard = clock::now();
        }
        let (reply, body) = self.pulls.ask(more, self.shared.pinned, self.pin.as_deref());
        self.ask(reply, body).await;
        self.kept_place_at = clock::now();
    }

    async fn ask(&self, reply: String, body: Bytes) {
        let client = self.shared.nats.client();
        let sent = client.publish_with_reply(self.pulls.subject.clone(), reply, body);
        if sent.await.is_err() {
            tracing::debug!(consumer = self.shared.consumer, "the client is gone");
        }
    }

    /// Keeps leases and the member's place, while somebody is at work here; gives both up when nobody is.
    async fn tend(&mut self) {
        let now = clock::now();
        if self.pulls.requested > 0 && now.duration_since(self.heard) > HEARTBEAT * 2 + HEARTBEAT / 2 {
            tracing::debug!(consumer = self.shared.consumer, "no heartbeat; pulling anew");
            self.start_over();
        }
        let mut renewed = Vec::new();
        let mut returned = Vec::new();
        let mut release = false;
        let active = {
            let shared = &*self.shared;
            let mut state = shared.state();
            let state = &mut *state;
            let release_at = &mut state.release_at;
            state.receipts.retain(|held| {
                if now >= shared.deadline(held.got.base) {
                    // The server gives it to another now; the one that has it is told when it settles.
                    *release_at = (*release_at).max(held.got.base + shared.lease + shared.margin());
                    return false;
                }
                if held.keep_until > shared.deadline(held.got.base) && now >= held.got.base + shared.lease / 3
                {
                    held.got.base = now;
                    renewed.push(held.got.reply.clone());
                }
                true
            });
            let active = state.waiting
                || state.receipts.len() > 0
                || now < *release_at
                || now.duration_since(state.received_at) < shared.lease;
            if active {
                for got in &mut state.buffer {
                    if now >= got.base + shared.lease / 3 && now < shared.deadline(got.base) {
                        got.base = now;
                        renewed.push(got.reply.clone());
                    }
                }
            } else {
                returned.extend(state.buffer.drain(..).map(|got| got.reply));
                release = self.pin.is_some();
            }
            active
        };
        for reply in renewed {
            self.send(reply, PROGRESS).await;
        }
        for reply in returned {
            self.send(reply, NAK).await;
        }
        if release {
            self.release().await;
        } else if active
            && self.pin.is_some()
            && now.duration_since(self.kept_place_at) >= self.shared.lease / 4
        {
            self.keep_place().await;
        }
    }

    async fn keep_place(&mut self) {
        self.kept_place_at = clock::now();
        let (reply, body) = self.pulls.keep_place(self.pin.as_deref());
        self.ask(reply, body).await;
    }

    /// Lets another member take over.
    async fn release(&mut self) {
        if self.pin.take().is_none() {
            return;
        }
        let shared = &*self.shared;
        let request = format!("CONSUMER.UNPIN.{}.{}", shared.stream, shared.consumer);
        let body = json!({"group": MEMBERS});
        let released = shared.nats.api_even_closed(&request, &body);
        if let Ok(Err(error)) = timeout(END_STEP, released).await {
            tracing::debug!(consumer = shared.consumer, %error, "the member's place was not released; it ends by itself");
        }
    }

    /// Lets the server drop the pulls that nobody listens to any more, which it does when it is asked how many there are.
    /// Otherwise the next message would give the member's place to one of them, and so to nobody (seen with 2.15).
    async fn withdraw(&self) {
        let shared = &*self.shared;
        let request = format!("CONSUMER.INFO.{}.{}", shared.stream, shared.consumer);
        let body = json!({});
        let asked = shared.nats.api_even_closed(&request, &body);
        if !matches!(timeout(END_STEP, asked).await, Ok(Ok(()))) {
            tracing::debug!(
                consumer = shared.consumer,
                "pulls were not withdrawn; they end by themselves"
            );
        }
    }

    async fn send(&self, reply: Subject, what: &'static [u8]) {
        let sent = self
            .shared
            .nats
            .client()
            .publish(reply, Bytes::from_static(what))
            .await;
        if sent.is_err() {
            tracing::debug!(consumer = self.shared.consumer, "the client is gone");
        }
    }

    /// Stops what is on its way, gives back what is unsettled in the order of the stream, and lets another take over.
    async fn end(&mut self, mut messages: Subscriber, mut came: Vec<Message>) {
        let shared = Arc::clone(&self.shared);
        if !shared.nats.link().now().up {
            // It comes back when its lease ends.
            return;
        }
        if messages.drain().await.is_ok() {
            let rest = async {
                let mut more = Vec::new();
                while some(&mut messages, &mut more).await {
                    came.append(&mut more);
                }
            };
            let _ = timeout(END_STEP, rest).await;
        }
        let mut returning = {
            let mut state = shared.state();
            let mut returning = std::mem::take(&mut state.returning);
            // What came between the word to stop and this.
            returning.extend(state.buffer.drain(..).map(|got| (got.sequence, got.reply)));
            returning
        };
        for message in came {
            if message.status.is_none_or(|status| status == StatusCode::OK) {
                returning.extend(self.delivery(message).map(|got| (got.sequence, got.reply)));
            }
        }
        returning.sort_by_key(|(sequence, _)| *sequence);
        if shared.ephemeral.is_none() {
            let last = returning.pop();
            for (_, reply) in returning {
                self.send(reply, NAK).await;
            }
            if let Some((_, reply)) = last {
                // Its answer says that those before it were taken too.
                let request = Request::new()
                    .payload(Bytes::from_static(NAK))
                    .timeout(Some(END_STEP));
                if shared.nats.client().send_request(reply, request).await.is_err() {
                    tracing::debug!(consumer = shared.consumer, "giving back was not confirmed");
                }
            }
            if shared.pinned && self.pulls.requested > 0 {
                self.withdraw().await;
            }
            self.release().await;
        } else {
            let request = format!("CONSUMER.DELETE.{}.{}", shared.stream, shared.consumer);
            let body = json!({});
            let deleted = shared.nats.api_even_closed(&request, &body);
            if !matches!(timeout(END_STEP, deleted).await, Ok(Ok(()))) {
                tracing::debug!(
                    consumer = shared.consumer,
                    "an ephemeral group was not deleted; the server does it later"
                );
            }
        }
    }
}
