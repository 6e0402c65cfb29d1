//! Dead letters sent back to their groups.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use ductape_providers::MessageId;
use ductape_store::StoreError;
use ductape_store::tracking::{DeadLetter, DeadLetterChange, DeadLetterFilter, LIMIT_MAX, Tracking};

use super::brokers::Brokers;
use super::messages::{own, refused};
use super::redeliver::{Kept, Redelivered, redeliver};
use super::report::{DlqReport, ERRORS_MAX, IDS_MAX, ReprocessOptions, counts, pace};
use crate::clock;
use crate::delivery::pace::Pace;
use crate::error::{BrokerError, ErrorCode};

/// How long dead letters that are being reprocessed are nobody else's, beside what the broker may take.
const CLAIM: Duration = Duration::from_mins(2);
/// How many are claimed at once; at a rate those of a few seconds.
const STEP: u32 = 256;
const STEP_SECONDS: u32 = 5;

impl Brokers<'_> {
    /// Sends dead letters that the filter names back to their groups, the first recorded message first: each to the group that failed at
    /// it, and once, also when several operators ask at one time. As many as the filter's limit says, or
    /// [`at_most`](ReprocessOptions::at_most); those that were sent back ten times already stay.
    ///
    /// When the broker is away, the store fails or the program ends, it ends there, and the report says so: nothing behind was sent.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for a page, a limit, dates or a rate that can't be, and for a product or an environment that is not the program's
    /// own; `REPROCESS_DLQ_FAILED`, `STORE_FAILED` without a store. Why single ones were not sent is in the report.
    pub async fn reprocess_dlq(
        &self,
        filter: &DeadLetterFilter,
        options: &ReprocessOptions,
    ) -> Result<DlqReport, BrokerError> {
        let mut pace = pace(options.rate)?;
        let messages = self.messages();
        let mut filter = own!(messages, filter);
        self.check_own(&filter.product, &filter.env)?;
        let mut run = Run {
            brokers: self,
            tracking: messages.tracking().await?,
            is_dry: options.dry_run,
            token: token(options),
            counts: BTreeMap::new(),
            report: DlqReport::default(),
        };
        let mut left = options.at_most.unwrap_or(u64::from(filter.limit));
        let step = options
            .rate
            .map_or(STEP, |rate| rate.saturating_mul(STEP_SECONDS).min(STEP));
        // A limit that can't be is for the store to refuse.
        if (1..=LIMIT_MAX).contains(&filter.limit) {
            filter.limit = step;
        }
        let mut walked = None;
        loop {
            let limit = u64::from(filter.limit).min(left);
            filter.limit = u32::try_from(limit).unwrap_or(filter.limit);
            let now = clock::wall();
            let step = run.tracking.dead_letters_in_order(&filter, walked, now).await;
            let step = match step {
                Ok(step) => step,
                Err(error) if walked.is_none() => return Err(failed(error)),
                Err(error) => {
                    run.report.stopped = Some(failed(error).to_string());
                    break;
                }
            };
            walked = Some(step.walked);
            if step.found.is_empty() {
                break;
            }
            let mut letters = step.found;
            letters.retain(|letter| letter.can_retry);
            left = left.saturating_sub(letters.len() as u64);
            if let Err(error) = run.step(letters, &mut pace).await {
                if run.report == DlqReport::default() {
                    return Err(error);
                }
                run.report.stopped = Some(error.to_string());
            }
            if left == 0 || run.report.stopped.is_some() {
                break;
            }
        }
        run.report.by_group = counts(run.counts);
        Ok(run.report)
    }
}

/// A name for what a call claims, which no other call has.
fn token(options: &ReprocessOptions) -> String {
    let unique = MessageId::new();
    match &options.token {
        None => unique.to_string(),
        // What is too long is cut by the store: the part that differs comes first.
        Some(token) => format!("{unique}/{token}"),
    }
}

pub(super) fn failed(error: StoreError) -> BrokerError {
    refused("the dead letters can't be reprocessed", error).coded(ErrorCode::ReprocessDlqFailed)
}

impl Brokers<'_> {
    /// Until when dead letters that are claimed now are nobody else's.
    pub(super) fn claimed_until(&self, now: SystemTime) -> SystemTime {
        now + CLAIM
            + self
                .ductape()
                .context()
                .wiring()
                .publish_timeout
                .saturating_mul(4)
                .min(10 * CLAIM)
    }
}

/// A call on its way.
struct Run<'a> {
    brokers: &'a Brokers<'a>,
    tracking: Tracking,
    is_dry: bool,
    token: String,
    counts: BTreeMap<(String, String), u64>,
    report: DlqReport,
}

impl Run<'_> {
    async fn step(&mut self, letters: Vec<DeadLetter>, pace: &mut Pace) -> Result<(), BrokerError> {
        if self.is_dry {
            for (of, letters) in by_group(letters) {
                self.note(of, letters.into_iter().map(|letter| letter.message_id).collect());
            }
            return Ok(());
        }
        self.brokers.ductape().context().wiring().check_open()?;
        let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
        let now = clock::wall();
        let until = self.brokers.claimed_until(now);
        let claimed = self.tracking.claim_dead_letters(&ids, &self.token, until, now);
        for (of, letters) in by_group(claimed.await.map_err(failed)?) {
            let stopped = self.report.stopped.is_some();
            let all: Vec<(String, String)> = letters
                .iter()
                .map(|letter| (letter.message_id.clone(), letter.id.clone()))
                .collect();
            let done = if stopped {
                Redelivered::default()
            } else {
                self.redeliver(&of, letters, pace).await
            };
            let (sent, rest): (Vec<_>, Vec<_>) = all
                .into_iter()
                .partition(|(message, _)| done.sent.contains(message));
            if !stopped {
                self.report.failed_count += rest.len();
            }
            let room = ERRORS_MAX.saturating_sub(self.report.errors.len());
            self.report.errors.extend(done.errors.into_iter().take(room));
            self.report.stopped = self.report.stopped.take().or(done.stopped);
            let letters = |of: Vec<(String, String)>| of.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
            self.note(of, done.sent);
            let token = || self.token.clone();
            let redriven = DeadLetterChange::Redriven { token: token() };
            let released = DeadLetterChange::Released { token: token() };
            for (ids, change) in [(letters(sent), redriven), (letters(rest), released)] {
                self.tracking
                    .change_dead_letters(&ids, &change)
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn redeliver(
        &self,
        (event, group): &(String, String),
        letters: Vec<DeadLetter>,
        pace: &mut Pace,
    ) -> Redelivered {
        let kept = letters.into_iter().map(kept).collect();
        let done = redeliver(&self.brokers.messaging, event, group, kept, pace).await;
        done.unwrap_or_else(|error| {
            let text = format!("{event}, {group}: {error}");
            Redelivered {
                stopped: super::redeliver::stops(&error).then(|| text.clone()),
                errors: vec![text],
                ..Redelivered::default()
            }
        })
    }

    /// Notes what was sent back, or would be.
    fn note(&mut self, of: (String, String), ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        self.report.reprocessed_count += ids.len();
        *self.counts.entry(of).or_default() += ids.len() as u64;
        let room = IDS_MAX.saturating_sub(self.report.event_ids.len());
        self.report.event_ids.extend(ids.into_iter().take(room));
    }
}

/// Dead letters of one topic and group together, in order.
fn by_group(letters: Vec<DeadLetter>) -> BTreeMap<(String, String), Vec<DeadLetter>> {
    let mut all: BTreeMap<_, Vec<DeadLetter>> = BTreeMap::new();
    for letter in letters {
        let of = (letter.event.clone(), letter.consumer_tag.clone());
        all.entry(of).or_default().push(letter);
    }
    all
}

fn kept(letter: DeadLetter) -> Kept {
    Kept {
        message_id: letter.message_id,
        payload: letter.original_message,
        key: letter.key,
        metadata: letter.metadata,
        redrive: letter.redrive_count + 1,
    }
}
