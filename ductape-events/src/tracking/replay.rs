//! Events sent to their groups again, one or many.

use std::collections::BTreeMap;
use std::time::Duration;

use ductape_providers::{GroupName, MessageId};
use ductape_store::tracking::{DeliveryStatus, Event, EventFilter, Message, Tracking};

use super::brokers::{Brokers, not_found};
use super::messages::{own, refused};
use super::redeliver::{Kept, outgoing, stops};
use super::report::{
    ERRORS_MAX, IDS_MAX, ReplayOptions, ReplayRange, ReplayRangeReport, ReplayReport, ReplayedCopy, counts,
    pace,
};
use crate::clock;
use crate::delivery::pace::Pace;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode};
use crate::produce::{self, IdempotencyKey};

/// How long a replay is remembered, so that the same one is not done again.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// A copy to be sent.
struct Copy {
    group: GroupName,
    /// Under which it is sent once; `None` where it is sent whenever it is asked for.
    key: Option<String>,
}

impl Brokers<'_> {
    /// Publishes copies of an event of this environment, each to one group alone: as the store keeps it, with an id of its own, and
    /// marked with what it replays. A group's failure is replayed once: asked again, without `force`, the report has the copy that was
    /// sent before. The event's dead letters stay as they are.
    ///
    /// # Errors
    ///
    /// `EVENT_NOT_FOUND`; `REPLAY_REFUSED` when the group has handled it, or is still to, and [`force`](ReplayOptions::force) is not set,
    /// when nobody failed at it, or when its payload was not kept; `TOPIC_NOT_FOUND` when its topic is gone; `PAYLOAD_INVALID` when it does not fit the
    /// topic's schema any more; `UNSUPPORTED` where the broker can't send to one group; `REPLAY_EVENT_FAILED`.
    pub async fn replay_event(
        &self,
        event_id: &str,
        options: &ReplayOptions,
    ) -> Result<ReplayReport, BrokerError> {
        let message = self.messages().get(event_id).await?;
        let message = message.ok_or_else(|| not_found(event_id))?;
        let mut copies = Vec::new();
        for copy in copies_of(&message, options, None)? {
            copies.push(self.send(&message, copy).await?);
        }
        let Some(first) = copies.first().map(|copy| copy.event_id.clone()) else {
            return Err(nobody(event_id));
        };
        Ok(ReplayReport {
            success: true,
            process_id: first.clone(),
            new_event_id: first,
            copies,
        })
    }

    /// Replays all events that a filter names, as [`replay_event`](Self::replay_event) does with each, the first produced first. They are
    /// read a page at a time, so that a range may be of any size; what is produced after the call began is not in it. With `force` copies
    /// that replays sent are passed by.
    ///
    /// What can't be replayed is told and passed by. When the broker is away, the store fails or the program ends, the replay ends there,
    /// and the report says so: nothing behind it was sent. The same call again goes on, since what was sent before is not sent twice
    /// (with `force`: when both name the same [`token`](ReplayRange::token)).
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for a page, a limit, dates, a rate or a group that can't be, and for a product or an environment that is not the
    /// program's own; `GET_EVENTS_FAILED`; `STORE_FAILED` without a store. Why single ones were not sent is in the report.
    pub async fn replay_range(&self, range: &ReplayRange) -> Result<ReplayRangeReport, BrokerError> {
        let mut pace = pace(Some(range.rate))?;
        let messages = self.messages();
        let given = &range.filter;
        let mut filter = own!(messages, given);
        self.check_own(&filter.product, &filter.env)?;
        if let Some(group) = &range.group {
            group_name(group).map_err(|error| error.with_code(ErrorCode::ConfigInvalid))?;
        }
        let until = clock::wall();
        filter.end_date = Some(filter.end_date.map_or(until, |end| end.min(until)));
        let tracking = messages.tracking().await?;
        let mut run = Run {
            brokers: self,
            range,
            options: ReplayOptions {
                force: range.force,
                group: range.group.clone(),
            },
            counts: BTreeMap::new(),
            report: ReplayRangeReport {
                dry_run: range.dry_run,
                ..ReplayRangeReport::default()
            },
        };
        let walked = run.walk(&tracking, filter, &mut pace).await;
        if let Err(error) = walked {
            if run.report.is_empty() {
                return Err(error);
            }
            run.report.stopped = Some(error.to_string());
        }
        run.report.by_group = counts(run.counts);
        Ok(run.report)
    }

    /// Refuses what is about others: it would be sent to this environment's brokers.
    pub(super) fn check_own(&self, product: &str, env: &str) -> Result<(), BrokerError> {
        let (own, environment) = (&self.messaging.product, self.ductape().context().environment());
        if product == own && env == environment {
            return Ok(());
        }
        let text = format!(
            "messages of {product:?} in {env:?} were named; this program sends those of `{own}` in `{environment}` again, and a program of \
             the other does that with its own"
        );
        Err(BrokerError::new(ErrorCode::ConfigInvalid, text))
    }

    async fn send(&self, message: &Message, copy: Copy) -> Result<ReplayedCopy, BrokerError> {
        self.messaging.ready(&message.event).await?;
        let ctx = self.ductape().context();
        let route = ctx.wiring().route_by_name(&message.event)?;
        let mut outgoing = outgoing(&route, &copy.group, &kept(message), ctx.wiring())?;
        outgoing
            .headers
            .insert(header::REPLAYED_FROM, message.message_id.as_str());
        let sent = match copy.key {
            None => produce::sealed(outgoing, &route, ctx).await,
            Some(key) => {
                let key = IdempotencyKey::from(key).ttl(REMEMBERED);
                produce::once(outgoing, &route, &key, ctx).await
            }
        };
        let receipt = sent.map_err(|error| error.coded(ErrorCode::ReplayEventFailed))?;
        Ok(ReplayedCopy {
            consumer_tag: copy.group.as_str().to_owned(),
            event_id: receipt.process_id,
            duplicate: receipt.duplicate,
        })
    }

    /// What [`send`](Self::send) would say.
    async fn try_out(&self, message: &Message, copy: Copy) -> Result<ReplayedCopy, BrokerError> {
        self.messaging.ready(&message.event).await?;
        let ctx = self.ductape().context();
        let route = ctx.wiring().route_by_name(&message.event)?;
        let outgoing = outgoing(&route, &copy.group, &kept(message), ctx.wiring())?;
        let known = match &copy.key {
            None => None,
            Some(key) => produce::check(key, ctx).await?,
        };
        let known = known.filter(|known| known.done);
        Ok(ReplayedCopy {
            consumer_tag: copy.group.as_str().to_owned(),
            duplicate: known.is_some(),
            event_id: known.map_or(outgoing.id, |known| known.process_id),
        })
    }
}

/// A replay of a range on its way.
struct Run<'a> {
    brokers: &'a Brokers<'a>,
    range: &'a ReplayRange,
    options: ReplayOptions,
    counts: BTreeMap<(String, String), u64>,
    report: ReplayRangeReport,
}

impl Run<'_> {
    async fn walk(
        &mut self,
        tracking: &Tracking,
        filter: EventFilter,
        pace: &mut Pace,
    ) -> Result<(), BrokerError> {
        let mut left = self.range.at_most.unwrap_or(u64::MAX);
        let mut walked = None;
        loop {
            let step = tracking.events_in_order(&filter, walked).await.map_err(|error| {
                refused("the events can't be listed", error).coded(ErrorCode::GetEventsFailed)
            })?;
            walked = Some(step.walked);
            if step.found.is_empty() {
                return Ok(());
            }
            for event in step.found {
                if left == 0 {
                    return Ok(());
                }
                left -= u64::from(self.event(&event, pace).await?);
            }
        }
    }

    /// Replays one event; whether it was one to replay.
    async fn event(&mut self, event: &Event, pace: &mut Pace) -> Result<bool, BrokerError> {
        let message = &event.message;
        self.brokers.ductape().context().wiring().check_open()?;
        let token = self.range.token.as_deref();
        // With `force` what a copy replays is in the range itself, and the copies would double with each call.
        let is_copy = self.options.force && message.replay_of.is_some();
        let copies = match copies_of(message, &self.options, token) {
            Ok(copies) if !is_copy => copies,
            Ok(_) => {
                self.report.skipped_count += 1;
                return Ok(false);
            }
            // Nobody failed at it, or the group has it.
            Err(error) if error.code() == ErrorCode::ReplayRefused => {
                self.report.skipped_count += 1;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let mut is_sent = false;
        for copy in copies {
            let group = copy.group.as_str().to_owned();
            let done = if self.range.dry_run {
                self.brokers.try_out(message, copy).await
            } else {
                pace.turn(1).await;
                self.brokers.send(message, copy).await
            };
            match done {
                Ok(copy) if copy.duplicate => self.report.duplicate_count += 1,
                Ok(_) => {
                    is_sent = true;
                    self.report.replayed_count += 1;
                    *self.counts.entry((message.event.clone(), group)).or_default() += 1;
                }
                Err(error) => {
                    self.report.failed_count += 1;
                    if self.report.errors.len() < ERRORS_MAX {
                        let id = &message.message_id;
                        self.report.errors.push(format!("{id}, {group}: {error}"));
                    }
                    if stops(&error) {
                        return Err(error);
                    }
                }
            }
        }
        if is_sent && self.report.event_ids.len() < IDS_MAX {
            self.report.event_ids.push(message.message_id.clone());
        }
        Ok(is_sent)
    }
}

fn kept(message: &Message) -> Kept {
    Kept {
        payload: message.payload.clone(),
        key: message.key.clone(),
        metadata: message.metadata.clone(),
        message_id: message.message_id.clone(),
        redrive: 0,
    }
}

/// The copies that a replay of a message sends.
fn copies_of(
    message: &Message,
    options: &ReplayOptions,
    token: Option<&str>,
) -> Result<Vec<Copy>, BrokerError> {
    let has_failed =
        |status: DeliveryStatus| matches!(status, DeliveryStatus::Failed | DeliveryStatus::DeadLettered);
    let deliveries = &message.consumer_deliveries;
    let groups: Vec<&str> = if let Some(group) = &options.group {
        let of_group = deliveries.iter().find(|one| one.consumer_tag == *group);
        if let Some(one) = of_group.filter(|one| !options.force && !has_failed(one.status)) {
            let text = format!(
                "group {group:?} has not failed at message {:?}: there it is {}; `force` sends it all the same",
                message.message_id, one.status
            );
            return Err(BrokerError::new(ErrorCode::ReplayRefused, text));
        }
        vec![group.as_str()]
    } else {
        let wanted = deliveries
            .iter()
            .filter(|delivery| options.force || has_failed(delivery.status));
        wanted.map(|delivery| delivery.consumer_tag.as_str()).collect()
    };
    if groups.is_empty() {
        return Err(nobody(&message.message_id));
    }
    let copy = |group: &str| {
        let of_group = deliveries.iter().find(|one| one.consumer_tag == group);
        // One key for each failure: given to its group anew, it fails anew.
        let redrive = of_group.map_or(0, |one| one.redrive_count);
        let name = format!("{}/{group}", message.message_id);
        let key = match (options.force, token) {
            (false, _) => Some(MessageId::derived("replay", &format!("{name}/{redrive}"))),
            (true, Some(token)) => Some(MessageId::derived(&format!("replay/{token}"), &name)),
            (true, None) => None,
        };
        Ok(Copy {
            group: group_name(group)?,
            key: key.map(|key| key.to_string()),
        })
    };
    groups.into_iter().map(copy).collect()
}

fn group_name(group: &str) -> Result<GroupName, BrokerError> {
    group.parse().map_err(|error: ductape_schema::NameError| {
        BrokerError::new(ErrorCode::ReplayRefused, error.to_string())
    })
}

fn nobody(event_id: &str) -> BrokerError {
    let text = format!(
        "no group has failed at message {event_id:?}; `force` sends it to all that had it, and `group` to one"
    );
    BrokerError::new(ErrorCode::ReplayRefused, text)
}
