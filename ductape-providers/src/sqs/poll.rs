//! Asking queues for messages.
//!
//! A poll is a task of its own: SQS hides what it answers, so that an answer must be read even when the receive that asked
//! was dropped. It asks for no more than there is room for. What nobody takes within a second is given back.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName;

use super::connect::BATCH_MAX;
use super::member::{Held, Member, State};
use super::{config, error, uncounted, wire};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// The longest that SQS lets a request wait for messages, in seconds:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>.
const WAIT_SECONDS_MAX: i32 = 20;
/// How many polls of one queue run side by side at most.
const POLLS_MAX: usize = 8;
/// How long an answer waits for the next receive.
const UNCLAIMED: Duration = Duration::from_secs(1);
/// How long the next poll waits after one that failed; twice as long after each further one.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest of these waits.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The polls that there is room for, for a receive of at most `max`. They are to be [run](Poll::run) once the state is
/// unlocked: a runtime that ends drops what it is given at once.
pub(super) fn start(member: &Arc<Member>, state: &mut State, max: usize) -> Vec<Poll> {
    let mut order: Vec<usize> = (0..member.queues.len()).collect();
    // Where there is room for one only, the queues take turns.
    order.sort_by_key(|queue| state.polls[*queue].began);
    let mut all = Vec::new();
    for queue in order {
        let mut wanted = max;
        loop {
            let room = state.free(member.prefetch).min(wanted).min(BATCH_MAX);
            let polls = &state.polls[queue];
            if room == 0 || polls.running >= polls.most {
                break;
            }
            wanted -= room;
            all.push(begin(member, state, queue, room));
        }
    }
    all
}

fn begin(member: &Arc<Member>, state: &mut State, queue: usize, count: usize) -> Poll {
    state.asked += count;
    let crowded = member.queues.len() > 1 && state.free(member.prefetch) == 0;
    let polls = &mut state.polls[queue];
    polls.running += 1;
    polls.began = Some(clock::now());
    Poll {
        member: Arc::clone(member),
        queue,
        count,
        wait_seconds: if crowded { 1 } else { polls.wait_seconds },
        pause: pause(polls.failures),
        ended: false,
    }
}

fn pause(failures: u32) -> Option<Duration> {
    let doubled = failures
        .checked_sub(1)
        .map(|more| BACKOFF.saturating_mul(1 << more.min(16)));
    doubled.map(|pause| pause.min(BACKOFF_MAX))
}

/// One request for messages.
#[derive(Debug)]
pub(super) struct Poll {
    member: Arc<Member>,
    queue: usize,
    count: usize,
    wait_seconds: i32,
    pause: Option<Duration>,
    ended: bool,
}

impl Poll {
    pub(super) async fn run(mut self) {
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
        }
        let began = clock::now();
        let answer = if self.member.state().closed {
            Ok(Vec::new())
        } else {
            self.ask().await
        };
        let now = clock::now();
        let member = Arc::clone(&self.member);
        let (late, unclaimed) = {
            let mut state = member.state();
            self.end(&mut state);
            let polls = &mut state.polls[self.queue];
            let mut late = Vec::new();
            match answer {
                Ok(arrivals) => {
                    polls.failures = 0;
                    if arrivals.len() >= self.count.min(BATCH_MAX) {
                        polls.most = (polls.most * 2).min(POLLS_MAX);
                    } else if arrivals.is_empty() {
                        polls.most = 1;
                    }
                    let waited = now.duration_since(began).as_secs() + 1;
                    if !arrivals.is_empty() {
                        polls.wait_seconds = 1;
                    } else if waited >= u64::try_from(self.wait_seconds).unwrap_or_default() {
                        polls.wait_seconds = (self.wait_seconds * 2).min(WAIT_SECONDS_MAX);
                    }
                    let copies = member.copies_retries(self.queue);
                    state.arrived(self.queue, arrivals, now, member.lease(), copies);
                    if state.closed {
                        late.extend(state.ready.drain(..).map(|(held, _)| held));
                    }
                }
                Err(error) => {
                    polls.failures = polls.failures.saturating_add(1);
                    tracing::debug!(topic = %member.topic, %error, "a poll failed");
                    if state.awaited {
                        state.failed = Some(error);
                    }
                }
            }
            (late, !state.awaited && !state.ready.is_empty())
        };
        member.changed.notify_waiters();
        return_late(&member, late).await;
        if unclaimed {
            tokio::time::sleep(UNCLAIMED).await;
            let left = {
                let mut state = member.state();
                let oldest = now;
                let (left, kept) = state
                    .ready
                    .drain(..)
                    .partition(|(held, _)| held.received <= oldest);
                state.ready = kept;
                let left: std::collections::VecDeque<(Held, _)> = left;
                left
            };
            return_late(&member, left.into_iter().map(|(held, _)| held).collect()).await;
        }
    }

    /// Asks, and reads the answer.
    async fn ask(&self) -> Result<Vec<wire::Arrival>> {
        let member = &self.member;
        let wait = Duration::from_secs(u64::try_from(self.wait_seconds).unwrap_or_default());
        let request = member
            .inner
            .clients
            .sqs
            .receive_message()
            .queue_url(&member.queues[self.queue].url)
            .max_number_of_messages(i32::try_from(self.count).unwrap_or(1))
            .wait_time_seconds(self.wait_seconds)
            .visibility_timeout(member.lease_seconds)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = request
            .customize()
            .config_override(config::of_poll(wait))
            .send()
            .await;
        let answer = answer.map_err(|error| missing_group(member, error::of("receive", error)))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        let mut arrivals: Vec<wire::Arrival> = messages
            .filter_map(|message| wire::arrival(&member.topic, message))
            .collect();
        for arrival in &mut arrivals {
            let count = arrival.message.delivery_count;
            arrival.message.delivery_count = count.map(|count| uncounted::correct(&arrival.sqs_id, count));
        }
        Ok(arrivals)
    }

    fn end(&mut self, state: &mut State) {
        if !self.ended {
            self.ended = true;
            state.asked = state.asked.saturating_sub(self.count);
            let polls = &mut state.polls[self.queue];
            polls.running = polls.running.saturating_sub(1);
        }
    }
}

/// A poll whose runtime ended: its messages come back when their lease ends.
impl Drop for Poll {
    fn drop(&mut self) {
        if !self.ended {
            let member = Arc::clone(&self.member);
            self.end(&mut member.state());
            member.changed.notify_waiters();
        }
    }
}

async fn return_late(member: &Member, late: Vec<Held>) {
    if late.is_empty() {
        return;
    }
    if let Err(error) = member.give_back(late).await {
        tracing::debug!(topic = %member.topic, %error, "what came too late returns when its lease ends");
    }
    member.changed.notify_waiters();
}

/// A queue that is not there any more is a group that is not.
fn missing_group(member: &Member, error: Error) -> Error {
    let error = match error.kind() {
        ErrorKind::TopicMissing => {
            member.inner.forget_topic(&member.topic);
            let text = format!("the queue of group `{}` is not there any more", member.group.name);
            Error::new(ErrorKind::GroupMissing, text)
        }
        _ => error,
    };
    error
        .with("topic", &member.topic)
        .with("group", &member.group.name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn the_pause_grows_to_its_limit() {
        let millis =
            [0, 1, 2, 3, 7, u32::MAX].map(|failures| pause(failures).as_ref().map(Duration::as_millis));
        assert_eq!(
            millis,
            [None, Some(100), Some(200), Some(400), Some(5_000), Some(5_000)]
        );
    }
}
