//! What a program asks, checked before anything flows; everything that is wrong is found at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_providers::capability::Order;
use ductape_providers::examine::Severity;
use ductape_providers::spec::{Ordering, Start};
use ductape_providers::{Capability, EventName, GroupName, GroupSpec, MessageId, TopicName};

use super::brokers::Connected;
use super::consumer_run::{Call, ConsumerRun, FirstFailures, Limits};
use super::ductape::Ductape;
use super::once::Once;
use crate::backoff::RetryPolicy;
use crate::consumer::delivery::Scope;
use crate::consumer::{ConsumerDescriptor, ConsumerOptions, Requirements, States};
use crate::context::Context;
use crate::error::{BrokerError, ErrorCode, Finding};
use crate::stats::{Counters, Observer};
use crate::topic::TopicDescriptor;
use crate::wiring::{TopicRoute, event_name, topic_name};

/// How long one attempt may take unless the consumer says otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The largest payload that every kind of broker takes: that of the smallest, AWS SQS and SNS,
/// <https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html>.
pub(super) const PORTABLE_PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// What a program consists of.
pub(super) struct Program<'a> {
    pub(super) topics: &'a [&'static TopicDescriptor],
    pub(super) consumers: &'a [&'static ConsumerDescriptor],
    pub(super) run_time_topics: &'a [EventName],
    pub(super) states: &'a States,
}

fn finding(code: ErrorCode, message: String) -> Finding {
    Finding::new(code, message)
}

impl<'a> Program<'a> {
    /// Finds what does not depend on the brokers.
    pub(super) fn check_names(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut topics: HashMap<(&str, u32), &TopicDescriptor> = HashMap::new();
        for topic in self.topics {
            if let Err(error) = event_name(topic.event) {
                findings.push(finding(
                    error.code(),
                    format!("{} ({})", error.message(), topic.location),
                ));
            }
            if let Some(other) = topics.insert((topic.event, topic.version), topic) {
                findings.push(finding(
                    ErrorCode::AlreadyExists,
                    format!(
                        "`{}` version {} is the topic of two types: `{}` ({}) and `{}` ({}); give one another name or version",
                        topic.event, topic.version, other.type_name, other.location, topic.type_name, topic.location
                    ),
                ));
            }
        }
        let mut groups: HashMap<(&str, u32, &str), &ConsumerDescriptor> = HashMap::new();
        for consumer in self.consumers {
            let topic = (consumer.topic)();
            let group = consumer.options.group.unwrap_or(consumer.name);
            if let Some(other) = groups.insert((topic.event, topic.version, group), consumer) {
                findings.push(finding(
                    ErrorCode::AlreadyExists,
                    format!(
                        "`{}` has two consumers in group `{group}`: `{}` ({}) and `{}` ({}); each message would reach only one of them: give one `group = \"…\"`",
                        topic.event, other.name, other.location, consumer.name, consumer.location
                    ),
                ));
            }
            self.check_states(consumer, &mut findings);
        }
        findings
    }

    fn check_states(&self, consumer: &ConsumerDescriptor, findings: &mut Vec<Finding>) {
        let mut requirements = Requirements::default();
        (consumer.requires)(&mut requirements);
        for (id, name) in requirements.states {
            if !self.states.has(id) {
                findings.push(finding(
                    ErrorCode::ConfigInvalid,
                    format!(
                        "consumer `{}` ({}) takes `State<{name}>`, and none was given; write `Ductape::builder().state(…)`",
                        consumer.name, consumer.location
                    ),
                ));
            }
        }
    }

    /// The brokers whose topics the program has, each with one of the topics.
    pub(super) fn broker_tags(&self) -> Vec<(&'a str, &'a str)> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        let known = self.topics.iter().map(|topic| topic.event);
        for event in known.chain(self.run_time_topics.iter().map(EventName::as_str)) {
            let tag = event.split(':').next().unwrap_or_default();
            if !tags.iter().any(|(known, _)| *known == tag) {
                tags.push((tag, event));
            }
        }
        tags
    }

    /// The program's topics, and those that the configuration alone names.
    pub(super) fn all_topics(
        &self,
        connected: &Connected,
    ) -> Result<Vec<(TopicName, Option<&'static TopicDescriptor>)>, BrokerError> {
        let mut all = Vec::new();
        for topic in self.topics {
            all.push((topic_name(event_name(topic.event)?, topic.version), Some(*topic)));
        }
        let by_name = connected.configured_events().into_iter();
        for event in by_name.chain(self.run_time_topics.iter().cloned()) {
            if !self.topics.iter().any(|topic| topic.event == event.as_str()) {
                all.push((topic_name(event, 1), None));
            }
        }
        Ok(all)
    }
}

/// What all consumers of a program have in common.
pub(super) struct Parts {
    pub(super) context: Context,
    pub(super) states: Arc<States>,
    pub(super) observers: Arc<[Arc<dyn Observer>]>,
    pub(super) publish_timeout: Duration,
    pub(super) lease: Duration,
    pub(super) allowed: Allowed,
}

impl Parts {
    /// Whether the program has a store.
    fn has_store(&self) -> bool {
        self.context.wiring().has_store()
    }
}

/// The findings that are allowed by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed(pub(super) Vec<String>);

impl Allowed {
    /// Whether this finding is allowed.
    #[cfg(feature = "store")]
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|allowed| allowed == name)
    }

    /// The findings, those that are allowed as warnings.
    pub(super) fn sift(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        for finding in &mut findings {
            if finding
                .name
                .is_some_and(|name| self.0.iter().any(|allowed| allowed == name))
            {
                finding.severity = Severity::Warning;
            }
        }
        findings
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// A consumer, ready to run, with what was found and is allowed; or what its broker can't do of what it asks.
pub(super) fn typed_consumer(
    descriptor: &ConsumerDescriptor,
    parts: &Parts,
) -> Result<(ConsumerRun, Vec<Finding>), Vec<Finding>> {
    let topic = (descriptor.topic)();
    let found = |error: BrokerError| vec![finding(error.code(), error.message().to_owned())];
    let route = parts
        .context
        .wiring()
        .route(topic.event, topic.version)
        .map_err(found)?;
    let mut group = group_spec(descriptor).map_err(|error| vec![error])?;
    group.lease = parts.lease;
    let who = format!("consumer `{}` ({})", descriptor.name, descriptor.location);
    let timeout = descriptor.options.timeout.unwrap_or(TIMEOUT_DEFAULT);
    let mut findings = check_capability(
        &who,
        &group,
        timeout,
        topic.key.is_some(),
        route,
        parts.has_store(),
    );
    let mut requirements = Requirements::default();
    (descriptor.requires)(&mut requirements);
    if requirements.store && !parts.has_store() {
        let text =
            format!("{who} takes an `Inbox`, and the program has no store; give it one: set `DUCTAPE_STORE`");
        findings.push(finding(ErrorCode::StoreFailed, text));
    }
    if topic.portable && group.start == Start::Earliest {
        findings.push(finding(
            ErrorCode::Unsupported,
            format!(
                "{who} asks to start at the earliest message, and `{}` is `portable`: not every kind of broker keeps a log; drop `start`, or `portable`",
                route.topic
            ),
        ));
    }
    let findings = parts.allowed.sift(findings);
    if findings.iter().any(Finding::is_refusal) {
        return Err(findings);
    }
    let call = Call::Typed(descriptor.handler);
    let run = consumer_run(
        descriptor.name,
        route,
        without_what_is_missing(group, &route.capability),
        &descriptor.options,
        call,
        parts,
    );
    Ok((run, findings))
}

fn group_spec(descriptor: &ConsumerDescriptor) -> Result<GroupSpec, Finding> {
    let options = &descriptor.options;
    let name = options.group.unwrap_or(descriptor.name);
    let name = if options.broadcast {
        own_group(name)
    } else {
        name.to_owned()
    };
    let name: GroupName = name.parse().map_err(|error: ductape_schema::NameError| {
        finding(
            ErrorCode::ConfigInvalid,
            format!(
                "consumer `{}` ({}): {error}",
                descriptor.name, descriptor.location
            ),
        )
    })?;
    let mut group = GroupSpec::new(name);
    group.named = options.group.is_some() || options.broadcast;
    group.ephemeral = options.broadcast;
    group.once = options.once;
    group.start = options.start.unwrap_or_default();
    group.ordering = options.ordering.unwrap_or_default();
    Ok(group)
}

/// The name of a group that is this process's own.
fn own_group(name: &str) -> String {
    let id = MessageId::new().to_string();
    let own = &id[id.len() - 12..];
    let room = GroupName::LEN_MAX - own.len() - 1;
    format!("{}-{own}", &name[..name.floor_char_boundary(room)])
}

/// What the broker can't do of what a consumer asks.
fn check_capability(
    who: &str,
    group: &GroupSpec,
    timeout: Duration,
    keyed: bool,
    route: &TopicRoute,
    has_store: bool,
) -> Vec<Finding> {
    let capability = &route.capability;
    let broker = format!(
        "broker `{}` ({})",
        route.topic.event().broker(),
        route.provider.info_dyn().provider
    );
    let mut findings = Vec::new();
    let mut refuse = |name: Option<&'static str>, message: String| {
        let finding = finding(ErrorCode::Unsupported, message);
        findings.push(match name {
            Some(name) => finding.named(name),
            None => finding,
        });
    };
    if keyed && capability.order == Order::None {
        refuse(
            Some("no-order"),
            format!(
                "{who}: `{}` has a key, so its messages must keep their order, and {broker} keeps none; use a broker that does, or drop `key = …`",
                route.topic
            ),
        );
    }
    if group.ephemeral && !capability.ephemeral_groups {
        refuse(
            None,
            format!(
                "{who} asks for `broadcast`, and {broker} has no group of one process's own; use a named group"
            ),
        );
    }
    if group.start == Start::Earliest && !capability.start_earliest {
        refuse(
            Some("no-earliest"),
            format!(
                "{who} asks to start at the earliest message, and {broker} keeps no log to start from; drop `start`"
            ),
        );
    }
    if group.once && !capability.once && !has_store {
        refuse(
            Some("no-once"),
            format!(
                "{who} asks for `once`, and {broker} does not keep the ids that a group has handled; give the program a store, which does, or drop `once` and make the handler repeatable"
            ),
        );
    }
    if !capability.groups {
        refuse(
            None,
            format!(
                "{who} is in group `{}`, and {broker} has no consumer groups",
                group.name
            ),
        );
    }
    if let Some(max) = capability.unsettled_max.filter(|max| timeout > *max) {
        refuse(
            Some("timeout-too-long"),
            format!(
                "{who} may take {timeout:?} an attempt, and {broker} gives a message to another after {max:?}, so that it would run twice; shorten `timeout`"
            ),
        );
    }
    findings
}

/// The group as it can be had, where what the broker can't do of it is allowed.
fn without_what_is_missing(mut group: GroupSpec, capability: &Capability) -> GroupSpec {
    if !capability.start_earliest {
        group.start = Start::Latest;
    }
    group
}

fn consumer_run(
    name: &str,
    route: &TopicRoute,
    group: GroupSpec,
    options: &ConsumerOptions,
    call: Call,
    parts: &Parts,
) -> ConsumerRun {
    let scope = Scope {
        group: group.name.clone(),
        context: parts.context.clone(),
        states: Arc::clone(&parts.states),
    };
    let batches = call.takes_batches();
    let keyed = route.is_keyed();
    let keeps_keys = keyed && group.ordering == Ordering::Strict;
    let timeout = options.timeout.unwrap_or(TIMEOUT_DEFAULT);
    let event = route.topic.event().as_str();
    let mut group = group;
    let once = if group.once && !route.capability.once {
        group.once = false;
        Once::new(parts.context.wiring(), event, group.name.as_str(), timeout)
    } else {
        None
    };
    ConsumerRun {
        name: name.to_owned(),
        topic: route.topic.clone(),
        physical: route.physical.clone(),
        group,
        keyed,
        call,
        scope: Arc::new(scope),
        provider: Arc::clone(&route.provider),
        capability: route.capability,
        policy: RetryPolicy::new(&options.retry),
        timeout,
        limits: Limits::new(options, batches, keeps_keys),
        publish_timeout: parts.publish_timeout,
        counters: Counters::default(),
        observers: Arc::clone(&parts.observers),
        first_failures: FirstFailures::default(),
        once,
        session: Mutex::default(),
    }
}

/// A consumer that is known only at run time.
pub(crate) struct RunTimeConsumer {
    pub(crate) name: String,
    pub(crate) event: String,
    pub(crate) group: GroupSpec,
    pub(crate) options: ConsumerOptions,
    /// In place of the usual, see [`Limits::hold_max`].
    pub(crate) hold_max: Option<Duration>,
    pub(crate) call: Call,
}

impl RunTimeConsumer {
    /// The consumer, ready to run.
    pub(super) fn into_run(self, parts: &Parts) -> Result<ConsumerRun, BrokerError> {
        let route = parts.context.wiring().route_by_name(&self.event)?;
        let who = format!("the consumer of `{}`", self.event);
        let keyed = route.descriptor.is_some_and(|topic| topic.key.is_some());
        let timeout = self.options.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let findings = check_capability(&who, &self.group, timeout, keyed, &route, parts.has_store());
        if !findings.is_empty() {
            return Err(BrokerError::from_findings(findings));
        }
        let mut run = consumer_run(&self.name, &route, self.group, &self.options, self.call, parts);
        run.limits.hold_max = self.hold_max.unwrap_or(run.limits.hold_max);
        Ok(run)
    }
}

/// The consumer of [`Ductape::consume`].
pub(super) fn untyped_consumer(
    ductape: &Ductape,
    event: &str,
    group: &str,
    call: Call,
) -> Result<ConsumerRun, BrokerError> {
    let name: GroupName = group.parse().map_err(|error: ductape_schema::NameError| {
        BrokerError::new(ErrorCode::SubscribeFailed, error.to_string()).with("event", event)
    })?;
    let parts = Parts {
        context: ductape.context.clone(),
        states: Arc::default(),
        observers: Arc::clone(&ductape.blueprint.observers),
        publish_timeout: ductape.context.wiring().publish_timeout,
        lease: ductape.blueprint.lease,
        allowed: Allowed::default(),
    };
    let mut group = GroupSpec::new(name);
    group.lease = parts.lease;
    let consumer = RunTimeConsumer {
        name: format!("{event} in {}", group.name),
        event: event.to_owned(),
        group,
        options: ConsumerOptions::DEFAULT,
        hold_max: None,
        call,
    };
    consumer.into_run(&parts)
}
