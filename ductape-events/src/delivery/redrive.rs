//! Dead letters, once they are there: looked at, and sent back to their group.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ductape_providers::provider::PublishSlot;
use ductape_providers::spec::Source;
use ductape_providers::{
    AnyProvider, Delivery, Error as ProviderError, GroupName, GroupSpec, Headers, Incoming, MessageId,
    Outgoing, Receipt, Route, SettleSlot, Settlement, SettlerDyn, SubscriptionDyn, SubscriptionSpec,
    TopicName,
};
use serde::Serialize;
use tokio::time::timeout;

use super::pace::Pace;
use crate::clock;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode};
use crate::produce::publish_until;

/// How often a dead letter can be sent back; one that failed that often is looked at by a person first.
pub(crate) const REDRIVES_MAX: u32 = 10;
/// How many dead letters are sent back in one step.
const STEP: usize = 256;
/// The most that one call looks at.
const LOOK_MAX: usize = 10_000;
/// How long no dead letter comes until there is none, of a broker that can't count them.
const QUIET: Duration = Duration::from_millis(500);
/// How long the first may take, and each that the broker says is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// A message that a group gave up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message's identity, as it was when it was produced.
    pub id: MessageId,
    /// The key, as text.
    pub key: Option<String>,
    /// The original bytes.
    pub payload: Bytes,
    /// The message's headers, with those that say why it was given up.
    pub headers: Headers,
    /// Why it was given up; empty when something else than this crate wrote it.
    pub reason: String,
    /// The type of the error, or what stands for it: `panic`, `timeout`, `undecodable`, `rejected`.
    pub error_type: String,
    /// The consumer that gave it up.
    pub consumer: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was produced.
    pub published_at: Option<SystemTime>,
    /// When it failed first.
    pub first_failed_at: Option<SystemTime>,
    /// When it failed last.
    pub last_failed_at: Option<SystemTime>,
    /// How often it was sent back before.
    pub redriven: u32,
}

/// What became of dead letters that were to be reprocessed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReprocessReport {
    /// How many were sent back to their group.
    pub reprocessed: usize,
    /// How many were not, and are dead letters still: sent back ten times already, or refused by the broker.
    pub failed: usize,
    /// The ids of those that were sent back, in order.
    pub ids: Vec<MessageId>,
}

impl DeadLetter {
    fn of(message: Incoming) -> Self {
        let headers = message.headers;
        let text = |name: &str| headers.get(name).map(str::to_owned);
        let time = |name: &str| {
            let millis = headers.get(name)?.parse().ok()?;
            Some(clock::from_millis(millis))
        };
        Self {
            key: message
                .key
                .as_ref()
                .map(|key| String::from_utf8_lossy(key).into_owned()),
            reason: text(header::DEAD_REASON).unwrap_or_default(),
            error_type: text(header::DEAD_ERROR_TYPE).unwrap_or_default(),
            consumer: text(header::DEAD_CONSUMER),
            attempts: number(&headers, header::DEAD_ATTEMPTS),
            first_failed_at: time(header::FIRST_FAILED_AT),
            last_failed_at: time(header::LAST_FAILED_AT),
            redriven: number(&headers, header::REDRIVE),
            id: message.id,
            payload: message.payload,
            published_at: message.published_at,
            headers,
        }
    }
}

fn number(headers: &Headers, name: &str) -> u32 {
    headers.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The dead letters of one group.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    pub(crate) provider: AnyProvider,
    pub(crate) topic: TopicName,
    pub(crate) group: GroupSpec,
    pub(crate) publish_timeout: Duration,
}

impl DeadLetters {
    /// Looks at up to `limit` of them; they stay.
    pub(crate) async fn look(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let mut left = self.at_most(limit.min(LOOK_MAX)).await;
        let mut reader = self.open(left).await?;
        let (mut letters, mut receipts) = (Vec::new(), Vec::new());
        let received = loop {
            match reader.receive(left).await {
                Ok(came) if came.is_empty() => break Ok(()),
                Ok(came) => {
                    left = left.saturating_sub(came.len());
                    for delivery in came {
                        letters.push(DeadLetter::of(delivery.message));
                        receipts.push(delivery.receipt);
                    }
                }
                Err(error) => break Err(self.failed("can't be read", error)),
            }
        };
        reader.close(receipts).await;
        received.map(|()| letters)
    }

    /// Sends up to `limit` of them back to the group, in order. Each is acked once its copy is confirmed.
    pub(crate) async fn reprocess(&self, limit: usize) -> Result<ReprocessReport, BrokerError> {
        self.reprocess_those(limit, |_| true, &mut Pace::unlimited())
            .await
    }

    /// The same with those that are `wanted` alone, among the first `limit`; the others stay.
    pub(crate) async fn reprocess_those(
        &self,
        limit: usize,
        wanted: impl Fn(&MessageId) -> bool,
        pace: &mut Pace,
    ) -> Result<ReprocessReport, BrokerError> {
        let mut left = self.at_most(limit).await;
        let mut reader = self.open(left).await?;
        let mut report = ReprocessReport::default();
        // Kept in hand to the end, or they would come again and again.
        let mut kept = Vec::new();
        let mut sent = HashSet::new();
        let done = loop {
            let came = match reader.receive(left.min(STEP)).await {
                Ok(came) if came.is_empty() => break Ok(()),
                Ok(came) => came,
                Err(error) => break Err(self.failed("can't be read", error)),
            };
            left = left.saturating_sub(came.len());
            let (came, others): (Vec<_>, Vec<_>) =
                came.into_iter().partition(|letter| wanted(&letter.message.id));
            kept.extend(others.into_iter().map(|letter| letter.receipt));
            if let Err(error) = self
                .send_back(came, &mut reader, &mut report, (&mut kept, &mut sent), pace)
                .await
            {
                break Err(error.with("reprocessed", report.reprocessed));
            }
        };
        reader.close(kept).await;
        done.map(|()| report)
    }

    /// Ends the dead letters of a message, since something else took its place. Looks through the first `limit`.
    #[cfg(feature = "store")]
    pub(crate) async fn discard(&self, limit: usize, id: &MessageId) -> Result<(), BrokerError> {
        let mut left = self.at_most(limit).await;
        let mut reader = self.open(left).await?;
        let mut kept = Vec::new();
        let done = loop {
            let came = match reader.receive(left.min(STEP)).await {
                Ok(came) if came.is_empty() => break Ok(()),
                Ok(came) => came,
                Err(error) => break Err(self.failed("can't be read", error)),
            };
            left = left.saturating_sub(came.len());
            let (came, others): (Vec<_>, Vec<_>) =
                came.into_iter().partition(|letter| letter.message.id == *id);
            kept.extend(others.into_iter().map(|letter| letter.receipt));
            let is_found = !came.is_empty();
            let acks = came.into_iter().map(|letter| letter.receipt);
            let acks = acks.map(|receipt| SettleSlot::new(receipt, Settlement::Ack));
            settle(&*reader.settler, acks.collect()).await;
            if is_found {
                break Ok(());
            }
        };
        reader.close(kept).await;
        done
    }

    async fn send_back(
        &self,
        letters: Vec<Delivery>,
        reader: &mut Reader,
        report: &mut ReprocessReport,
        (kept, sent): (&mut Vec<Receipt>, &mut HashSet<MessageId>),
        pace: &mut Pace,
    ) -> Result<(), BrokerError> {
        let (mut slots, mut receipts) = (Vec::new(), Vec::new());
        for letter in letters {
            if !sent.insert(letter.message.id.clone()) {
                // It was sent back just now, and failed again: that is for another time.
                kept.push(letter.receipt);
            } else if let Some(copy) = redriven(&letter.message, &self.group.name) {
                slots.push(PublishSlot::new(copy));
                receipts.push(letter.receipt);
            } else {
                tracing::warn!(topic = %self.topic, group = %self.group.name, id = %letter.message.id,
                    "a dead letter was sent back {REDRIVES_MAX} times already; it stays");
                report.failed += 1;
                kept.push(letter.receipt);
            }
        }
        if slots.is_empty() {
            return Ok(());
        }
        for some in slots.chunks_mut(pace.step(STEP)) {
            pace.turn(some.len()).await;
            publish_until(&self.provider, some, clock::after(self.publish_timeout)).await;
        }
        let (mut acks, mut failure) = (Vec::new(), None);
        for (slot, receipt) in slots.into_iter().zip(receipts) {
            match slot.outcome {
                Some(Ok(_)) => {
                    report.reprocessed += 1;
                    report.ids.push(slot.message.id);
                    acks.push(SettleSlot::new(receipt, Settlement::Ack));
                }
                outcome => {
                    let error = outcome.and_then(Result::err);
                    tracing::warn!(topic = %self.topic, group = %self.group.name, id = %slot.message.id, ?error,
                        "a dead letter was not sent back; it stays");
                    report.failed += 1;
                    kept.push(receipt);
                    failure = failure.or(error);
                }
            }
        }
        if acks.is_empty() {
            let error = failure.unwrap_or_else(|| {
                ProviderError::new(ductape_providers::ErrorKind::Timeout, "the broker did not answer")
            });
            return Err(self.failed("can't be sent back", error));
        }
        settle(&*reader.settler, acks).await;
        Ok(())
    }

    /// How many there are to be had, where the broker can count.
    async fn at_most(&self, limit: usize) -> usize {
        if !self.provider.capability_dyn().backlog {
            return limit;
        }
        match self.provider.backlog_dyn(&self.topic, &self.group.name).await {
            Ok(backlog) => limit.min(usize::try_from(backlog.dead_letters).unwrap_or(usize::MAX)),
            // Subscribing says it better.
            Err(_) => limit,
        }
    }

    async fn open(&self, limit: usize) -> Result<Reader, BrokerError> {
        let mut spec = SubscriptionSpec::new(self.topic.clone(), self.group.clone());
        spec.source = Source::DeadLetters;
        spec.prefetch = NonZeroUsize::new(limit.min(65_535)).unwrap_or(NonZeroUsize::MIN);
        let subscription = self
            .provider
            .subscribe_dyn(&spec)
            .await
            .map_err(|error| self.failed("can't be read", error))?;
        Ok(Reader {
            settler: subscription.settler_dyn(),
            subscription,
            first: PATIENCE,
            next: if self.provider.capability_dyn().backlog {
                // Only those that are counted are waited for; others may be in another reader's hands.
                PATIENCE
            } else {
                QUIET
            },
        })
    }

    fn failed(&self, what: &str, error: ProviderError) -> BrokerError {
        let text = format!(
            "the dead letters of group `{}` of `{}` {what}",
            self.group.name, self.topic
        );
        BrokerError::from_provider(ErrorCode::ReprocessDlqFailed, text, error)
    }
}

/// What is sent back: the original message, its attempts counted anew. What made it a dead letter is kept beside.
fn redriven(letter: &Incoming, group: &GroupName) -> Option<Outgoing> {
    let times = number(&letter.headers, header::REDRIVE);
    if times >= REDRIVES_MAX {
        return None;
    }
    let mut copy = letter.to_outgoing(Route::Group(group.clone()));
    for (name, kept_as) in [
        (header::DEAD_REASON, header::EARLIER_REASON),
        (header::DEAD_ERROR_TYPE, header::EARLIER_ERROR_TYPE),
        (header::DEAD_ATTEMPTS, header::EARLIER_ATTEMPTS),
    ] {
        if let Some(value) = letter.headers.get(name) {
            copy.headers.insert(kept_as, value);
        }
    }
    for name in [
        header::DEAD_REASON,
        header::DEAD_ERROR_TYPE,
        header::DEAD_ATTEMPTS,
        header::DEAD_GROUP,
        header::DEAD_CONSUMER,
        header::DEAD_TOPIC,
        header::LAST_FAILED_AT,
        header::ATTEMPT,
    ] {
        copy.headers.remove(name);
    }
    copy.headers.insert(header::REDRIVE, (times + 1).to_string());
    Some(copy)
}

#[derive(Debug)]
struct Reader {
    subscription: Box<dyn SubscriptionDyn>,
    settler: Arc<dyn SettlerDyn>,
    /// How long the next may take.
    first: Duration,
    /// How long those behind it may take.
    next: Duration,
}

impl Reader {
    /// Up to `max` that are there; none when none is.
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, ProviderError> {
        let mut into = Vec::new();
        let Some(max) = NonZeroUsize::new(max) else {
            return Ok(into);
        };
        let wait = std::mem::replace(&mut self.first, self.next);
        match timeout(wait, self.subscription.receive_dyn(&mut into, max)).await {
            Ok(Err(error)) if into.is_empty() => Err(error),
            _ => Ok(into),
        }
    }

    /// Gives back what was looked at, as it was.
    async fn close(self, receipts: Vec<Receipt>) {
        let back = receipts
            .into_iter()
            .map(|receipt| SettleSlot::new(receipt, Settlement::Requeue));
        settle(&*self.settler, back.collect()).await;
        if let Err(error) = self.subscription.close_dyn().await {
            tracing::warn!(%error, "the subscription to dead letters did not close cleanly");
        }
    }
}

async fn settle(settler: &dyn SettlerDyn, mut slots: Vec<SettleSlot>) {
    if slots.is_empty() {
        return;
    }
    settler.settle_dyn(&mut slots).await;
    for slot in slots {
        if let Some(Err(error)) = slot.outcome {
            tracing::warn!(%error, how = ?slot.how, "a dead letter could not be settled; it is there still");
        }
    }
}

#[cfg(test)]
mod tests {
    use ductape_providers::{Headers, Incoming, MessageId, Route};

    use super::{DeadLetter, redriven};
    use crate::consumer::Failure;
    use crate::delivery::dead_letter::{Facts, headers};
    use crate::wiring::topic_name;

    fn letter(of: &Headers) -> Incoming {
        let topic = topic_name("a:b".parse().unwrap(), 1);
        let failure = Failure {
            reason: "no stock".to_owned(),
            error_type: "Stock",
        };
        let facts = Facts {
            failure: &failure,
            group: &"g".parse().unwrap(),
            consumer: "c",
            topic: &topic,
            attempts: 5,
            first_failed_at: Some(7),
        };
        Incoming {
            headers: headers(of, &facts),
            topic,
            id: MessageId::from_text("id"),
            key: Some("k".into()),
            payload: "{}".into(),
            published_at: None,
            position: None,
            delivery_count: None,
        }
    }

    #[test]
    fn a_dead_letter_tells_what_is_known() {
        let letter = DeadLetter::of(letter(&[("tenant", "acme")].into_iter().collect()));
        assert_eq!((&*letter.reason, &*letter.error_type), ("no stock", "Stock"));
        assert_eq!((letter.attempts, letter.redriven), (5, 0));
        assert_eq!(letter.first_failed_at, Some(crate::clock::from_millis(7)));
        assert!(letter.last_failed_at > letter.first_failed_at);
        assert_eq!(letter.headers.get("tenant"), Some("acme"));
    }

    #[test]
    fn what_is_sent_back_is_the_original_with_its_attempts_anew() {
        let letter = letter(&[("tenant", "acme")].into_iter().collect());
        let copy = redriven(&letter, &"g".parse().unwrap()).unwrap();
        assert_eq!(copy.route, Route::Group("g".parse().unwrap()));
        assert_eq!(
            (&copy.id, &copy.key, &copy.payload),
            (&letter.id, &letter.key, &letter.payload)
        );
        assert_eq!(copy.headers.get("tenant"), Some("acme"));
        assert_eq!(copy.headers.get("ductape-redrive"), Some("1"));
        assert_eq!(copy.headers.get("ductape-earlier-reason"), Some("no stock"));
        assert_eq!(copy.headers.get("ductape-first-failed-at"), Some("7"));
        assert!(
            !copy
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("ductape-dead"))
        );
    }

    #[test]
    fn after_ten_times_it_stays() {
        let with = |times: u32| {
            let times = times.to_string();
            let mut letter = letter(&Headers::new());
            letter.headers.insert("ductape-redrive", times);
            redriven(&letter, &"g".parse().unwrap()).is_some()
        };
        assert!(with(9));
        assert!(!with(10));
    }
}
