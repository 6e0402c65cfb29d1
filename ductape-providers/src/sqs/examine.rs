//! What is unsafe or wrong with how topics and queues are set up.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::Value;

use super::connect::Inner;
use super::declare::Names;
use super::error;
use super::names;
use super::topology::{Account, Target, TopicPlace};
use super::wire::MESSAGE_LEN_MAX;
use crate::config::Declare;
use crate::error::{ErrorKind, Result};
use crate::examine::Finding;
use crate::spec::TopicSpec;

/// Messages that are kept for less than this are lost in a night or a weekend without consumers.
const RETENTION_SECONDS_LEAST: u64 = 24 * 60 * 60;
/// A redrive policy must not end retries before they end by themselves. Every receive counts, also those that give back.
const RECEIVE_COUNT_LEAST: u64 = 20;

pub(super) async fn examine(inner: &Inner, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for spec in topics {
        match examine_topic(inner, spec, &mut findings).await {
            Err(error) if error.kind() == ErrorKind::Unauthorized => findings.push(Finding::warning(
                "sqs-may-not-look",
                format!(
                    "how {} is set up can't be looked at: {error}; allow `sqs:GetQueueUrl`, `sqs:GetQueueAttributes`, \
                     `sns:GetTopicAttributes`, `sns:ListSubscriptionsByTopic` and `sns:GetSubscriptionAttributes`",
                    spec.topic
                ),
            )),
            answer => answer?,
        }
    }
    Ok(findings)
}

async fn examine_topic(inner: &Inner, spec: &TopicSpec, findings: &mut Vec<Finding>) -> Result<()> {
    let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
    let Some(place) = inner.find_topic(&spec.topic, &physical).await? else {
        return Ok(());
    };
    let Target::Topic { arn, fifo } = &place.target else {
        return examine_given(inner, spec, &place, findings).await;
    };
    if spec.keyed && inner.config.fifo && !fifo {
        findings.push(Finding::warning(
            "sqs-standard-topic-with-key",
            format!(
                "{} has keys, and SNS has only a standard topic for it, `{}`; this program uses a FIFO topic beside it, which \
                 other programs know nothing of: make them use it too, or set `fifo` to false and go without order",
                spec.topic,
                names::topic(&physical, false)
            ),
        ));
        return Ok(());
    }
    for group in &spec.groups {
        if group.ephemeral {
            continue;
        }
        let names = Names::new(&place, &group.name);
        let Some(url) = inner.queue_url(&names.messages).await? else {
            continue;
        };
        let attributes = attributes(inner, &url).await?;
        let who = format!(
            "the queue `{}` of group `{}` of {}",
            names.messages, group.name, spec.topic
        );
        examine_queue(&who, &attributes, findings);
        if attributes
            .get(&Attribute::Policy)
            .is_none_or(|policy| !allows_topics(policy))
        {
            findings.push(Finding::refusal(
                "sqs-queue-refuses-topic",
                format!(
                    "{who} has no policy that lets SNS send to it: it gets nothing; allow `sns.amazonaws.com` to \
                     `sqs:SendMessage` from {arn}"
                ),
            ));
        }
        examine_subscription(inner, arn, &names.messages, &who, findings).await?;
        examine_dead_letters(inner, &names.dead_letters, findings).await?;
    }
    Ok(())
}

async fn examine_given(
    inner: &Inner,
    spec: &TopicSpec,
    place: &TopicPlace,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let Target::Queue { url, fifo } = &place.target else {
        return Ok(());
    };
    let who = format!(
        "the queue `{}`, which `queueUrls` gives to {},",
        place.physical, spec.topic
    );
    if spec.keyed && inner.config.fifo && !fifo {
        findings.push(Finding::refusal(
            "sqs-standard-queue-with-key",
            format!(
                "{who} is a standard queue, and the topic has keys: their order is not kept; name a `.fifo` queue, drop the \
                 key, or set `fifo` to false"
            ),
        ));
    }
    match attributes(inner, url).await {
        Ok(attributes) => examine_queue(&who, &attributes, findings),
        Err(error) if error.kind() == ErrorKind::TopicMissing => return Ok(()),
        Err(error) => return Err(error),
    }
    examine_dead_letters(
        inner,
        &names::beside(&place.physical, names::Role::DeadLetters),
        findings,
    )
    .await
}

/// What is set wrong with a queue of messages.
fn examine_queue(who: &str, attributes: &HashMap<Attribute, String>, findings: &mut Vec<Finding>) {
    let number = |name| {
        attributes
            .get(&name)
            .and_then(|text: &String| text.parse::<u64>().ok())
    };
    if let Some(kept) =
        number(Attribute::MessageRetentionPeriod).filter(|kept| *kept < RETENTION_SECONDS_LEAST)
    {
        findings.push(Finding::refusal(
            "sqs-retention-short",
            format!(
                "{who} keeps messages for {kept} s: what no consumer took by then is lost; set `MessageRetentionPeriod` to \
                 1209600, at least to {RETENTION_SECONDS_LEAST}"
            ),
        ));
    }
    if let Some(delay) = number(Attribute::DelaySeconds).filter(|delay| *delay > 0) {
        findings.push(Finding::warning(
            "sqs-delay-seconds",
            format!("{who} delays every message by {delay} s; set `DelaySeconds` to 0 unless that is meant"),
        ));
    }
    let most = u64::try_from(MESSAGE_LEN_MAX).unwrap_or(u64::MAX);
    if let Some(len) = number(Attribute::MaximumMessageSize).filter(|len| *len < most) {
        findings.push(Finding::refusal(
            "sqs-message-size-small",
            format!(
                "{who} takes messages of {len} bytes: SNS drops what is larger; set `MaximumMessageSize` to {most} at least"
            ),
        ));
    }
    let redrive = attributes.get(&Attribute::RedrivePolicy);
    let redrive = redrive.and_then(|policy| serde_json::from_str::<Value>(policy).ok());
    let count = redrive.as_ref().and_then(|policy| {
        let count = policy.get("maxReceiveCount")?;
        count.as_u64().or_else(|| count.as_str()?.parse().ok())
    });
    if let Some(count) = count.filter(|count| *count < RECEIVE_COUNT_LEAST) {
        findings.push(Finding::refusal(
            "sqs-receive-count-low",
            format!(
                "{who} has a redrive policy that takes a message away after {count} receives, and a receive that gives it back \
                 counts too: it would go while it is being tried, without a reason, to where this program does not look; set \
                 `maxReceiveCount` to {RECEIVE_COUNT_LEAST} at least, or remove the policy: dead letters are kept without it"
            ),
        ));
    }
}

async fn examine_dead_letters(inner: &Inner, name: &str, findings: &mut Vec<Finding>) -> Result<()> {
    let Some(url) = inner.queue_url(name).await? else {
        return Ok(());
    };
    let attributes = attributes(inner, &url).await?;
    let kept = attributes.get(&Attribute::MessageRetentionPeriod);
    if let Some(kept) = kept
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|kept| *kept < RETENTION_SECONDS_LEAST)
    {
        findings.push(Finding::refusal(
            "sqs-dead-letters-retention-short",
            format!(
                "the queue `{name}` keeps dead letters for {kept} s, then they are lost; set `MessageRetentionPeriod` to 1209600, \
                 at least to {RETENTION_SECONDS_LEAST}"
            ),
        ));
    }
    Ok(())
}

async fn examine_subscription(
    inner: &Inner,
    topic_arn: &str,
    queue: &str,
    who: &str,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let Some(account) = Account::of_arn(topic_arn) else {
        return Ok(());
    };
    let queue_arn = account.arn("sqs", &inner.config.region, queue);
    let Some(arn) = inner.find_subscription(topic_arn, &queue_arn).await? else {
        if inner.config.declare != Declare::Create {
            findings.push(Finding::refusal(
                "sqs-subscription-missing",
                format!("{who} is not subscribed to {topic_arn}: it gets nothing; subscribe it, with raw message delivery"),
            ));
        }
        return Ok(());
    };
    let attributes = inner.subscription_attributes(&arn).await?;
    let raw = attributes.get("RawMessageDelivery");
    if raw.is_none_or(|raw| !raw.eq_ignore_ascii_case("true")) {
        findings.push(Finding::refusal(
            "sqs-subscription-not-raw",
            format!(
                "{who} gets each message in an envelope of SNS, without its headers; set `RawMessageDelivery` of its \
                 subscription to true"
            ),
        ));
    }
    if let Some(policy) = attributes
        .get("FilterPolicy")
        .filter(|policy| !policy.is_empty() && *policy != "{}")
    {
        findings.push(Finding::refusal(
            "sqs-subscription-filter",
            format!(
                "{who} gets only what its subscription's filter lets pass, and the rest is lost to the group: {policy}; remove \
                 `FilterPolicy` unless that is meant"
            ),
        ));
    }
    Ok(())
}

async fn attributes(inner: &Inner, url: &str) -> Result<HashMap<Attribute, String>> {
    let asked = inner.clients.sqs.get_queue_attributes().queue_url(url);
    let answer = asked.attribute_names(Attribute::All).send().await;
    let answer = answer.map_err(|error| error::of("look at queue", error))?;
    Ok(answer.attributes.unwrap_or_default())
}

/// Whether a policy has a statement by which a topic may send. What its conditions say is the matter of who wrote them.
fn allows_topics(policy: &str) -> bool {
    fn any(value: Option<&Value>, test: impl Fn(&str) -> bool + Copy) -> bool {
        match value {
            Some(Value::String(value)) => test(value),
            Some(Value::Array(all)) => all.iter().any(|one| any(Some(one), test)),
            Some(Value::Object(all)) => all.values().any(|one| any(Some(one), test)),
            _ => false,
        }
    }
    let Ok(policy) = serde_json::from_str::<Value>(policy) else {
        return false;
    };
    let statements = match policy.get("Statement") {
        Some(Value::Array(all)) => all.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return false,
    };
    statements.iter().any(|statement| {
        let is_send = |action: &str| {
            let action = action.to_ascii_lowercase();
            matches!(action.as_str(), "*" | "sqs:*" | "sqs:sendmessage" | "sqs:send*")
        };
        let is_sns = |who: &str| matches!(who, "*" | "sns.amazonaws.com");
        any(statement.get("Effect"), |effect| effect == "Allow")
            && any(statement.get("Action"), is_send)
            && any(statement.get("Principal"), is_sns)
    })
}

#[cfg(test)]
mod tests {
    use super::allows_topics;

    #[test]
    fn a_policy_lets_topics_send_or_not() {
        for (policy, allows) in [
            ("", false),
            ("{}", false),
            (
                r#"{"Statement":{"Effect":"Allow","Action":"SQS:SendMessage","Principal":"*"}}"#,
                true,
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":["sqs:*"],"Principal":{"Service":["sns.amazonaws.com"]}}]}"#,
                true,
            ),
            (
                r#"{"Statement":[{"Effect":"Deny","Action":"sqs:*","Principal":{"Service":"sns.amazonaws.com"}}]}"#,
                false,
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"sqs:ReceiveMessage","Principal":"*"}]}"#,
                false,
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"sqs:SendMessage","Principal":{"AWS":"arn:aws:iam::1:root"}}]}"#,
                false,
            ),
        ] {
            assert_eq!(allows_topics(policy), allows, "{policy}");
        }
    }
}
