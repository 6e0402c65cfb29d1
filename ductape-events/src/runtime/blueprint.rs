//! What a program consists of, and how it is wired to the brokers of an environment.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ductape_providers::connection::ConnectionReport;
use ductape_providers::{AnyProvider, EventName, Headers, TopicName, TopicSpec};

use super::brokers::{Brokers, Connected, Settings};
use super::check::{self, Allowed, Program, RunTimeConsumer};
use super::consumer_run::ConsumerRun;
use super::store::Opened;
use crate::consumer::{ConsumerDescriptor, States};
use crate::context::Context;
use crate::envelope;
use crate::error::{BrokerError, ErrorCode, Finding};
use crate::stats::Observer;
use crate::topic::TopicDescriptor;
use crate::wiring::{TopicRoute, Wiring};

/// What a program consists of, whatever its environment.
pub(crate) struct Blueprint {
    pub(super) settings: Settings,
    pub(super) topics: Vec<&'static TopicDescriptor>,
    pub(super) consumers: Vec<&'static ConsumerDescriptor>,
    pub(super) run_time_topics: Vec<EventName>,
    pub(super) states: Arc<States>,
    #[cfg(feature = "store")]
    pub(super) tracking: crate::tracking::Policies,
    pub(super) observers: Arc<[Arc<dyn Observer>]>,
    pub(super) shutdown_timeout: Duration,
    pub(super) publish_timeout: Duration,
    pub(super) payload_bytes_max: Option<usize>,
    pub(super) lease: Duration,
    pub(super) allowed: Vec<String>,
}

/// A program that is connected to its brokers; nothing is declared yet.
pub(super) struct Wired {
    pub(super) context: Context,
    pub(super) connected: Connected,
    pub(super) topics: Vec<TopicSpec>,
    pub(super) consumers: Vec<Arc<ConsumerRun>>,
    /// What was found of what the consumers ask and of how the brokers are set up.
    pub(super) findings: Vec<Finding>,
    #[cfg(feature = "store")]
    pub(super) allowed: Allowed,
}

impl Wired {
    /// What keeps the program from starting.
    pub(super) fn refusals(&self) -> Vec<Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.is_refusal())
            .cloned()
            .collect()
    }
}

/// All findings as one error, if there are any.
pub(super) fn refuse(findings: Vec<Finding>) -> Result<(), BrokerError> {
    if findings.is_empty() {
        Ok(())
    } else {
        Err(BrokerError::from_findings(findings))
    }
}

impl Blueprint {
    fn program(&self) -> Program<'_> {
        Program {
            topics: &self.topics,
            consumers: &self.consumers,
            run_time_topics: &self.run_time_topics,
            states: &self.states,
        }
    }

    async fn brokers(&self, environment: Option<&str>) -> Result<Brokers, BrokerError> {
        let mut settings = self.settings.clone();
        if let Some(environment) = environment {
            settings.environment = Some(environment.to_owned());
        }
        Brokers::read(settings).await
    }

    pub(super) async fn test_connections(&self) -> Result<Vec<(String, ConnectionReport)>, BrokerError> {
        let tags = self.program().broker_tags();
        #[cfg_attr(not(feature = "store"), allow(unused_mut))]
        let mut brokers = self.brokers(None).await?;
        #[cfg(feature = "store")]
        {
            let unnamed = brokers.unnamed(&tags);
            if !unnamed.is_empty()
                && let Some(opened) = brokers.open_store().await?
            {
                let looked_up = brokers.look_up(&unnamed, &opened.store).await;
                opened.close().await;
                looked_up?;
            }
        }
        Ok(brokers.test(&tags).await)
    }

    /// Connects to the broker of a topic that the program did not begin with.
    #[cfg(feature = "store")]
    pub(crate) async fn connect_late(
        &self,
        tag: &str,
        event: &str,
        store: &ductape_store::Store,
    ) -> Result<AnyProvider, BrokerError> {
        let mut brokers = self.brokers(None).await?;
        let unnamed = brokers.unnamed(&[(tag, event)]);
        if !unnamed.is_empty() {
            brokers.look_up(&unnamed, store).await?;
        }
        brokers.connect_one(tag, event).await
    }

    /// Connects to the brokers of `environment` (the program's own when `None`) and looks at them; nothing is changed.
    pub(super) async fn wire(
        &self,
        environment: Option<&str>,
        run_time_consumers: Vec<RunTimeConsumer>,
        lent: Option<Opened>,
    ) -> Result<Wired, BrokerError> {
        let program = self.program();
        let mut findings = program.check_names();
        #[cfg_attr(not(feature = "store"), allow(unused_mut))]
        let mut brokers = self.brokers(environment).await?;
        let tags = program.broker_tags();
        let unnamed = brokers.unnamed(&tags);
        if unnamed.is_empty() {
            findings.extend(brokers.check(&tags));
            refuse(std::mem::take(&mut findings))?;
        }
        #[cfg(feature = "store")]
        let session_keys = match environment {
            None => brokers.session_keys()?,
            Some(_) => None,
        };
        // Only the program itself writes; who looks at another environment does with the store that it has.
        let store = match lent {
            None if environment.is_none() => brokers.open_store().await?,
            lent => lent,
        };
        #[cfg(feature = "store")]
        if let Some(opened) = &store
            && !unnamed.is_empty()
        {
            brokers.look_up(&unnamed, &opened.store).await?;
        }
        if !unnamed.is_empty() {
            findings.extend(brokers.check(&tags));
            refuse(findings)?;
        }
        #[cfg(feature = "store")]
        let tracking = brokers.tracking(self.tracking.clone());
        let servers = brokers.servers(&tags);
        let connected = brokers.connect(&tags).await?;

        let (wiring, mut topics) = self.route(&program, &connected)?;
        let wiring = wiring.with_store(store).with_servers(servers);
        #[cfg(feature = "store")]
        let wiring = wiring
            .with_session_keys(session_keys)
            .with_recorder(&producer_name(), tracking);
        let context = Context::new(Arc::new(wiring));
        let allowed = Allowed([self.allowed.clone(), connected.allowed()].concat());
        let parts = check::Parts {
            context: context.clone(),
            states: Arc::clone(&self.states),
            observers: Arc::clone(&self.observers),
            publish_timeout: self.publish_timeout,
            lease: self.lease,
            allowed,
        };
        let mut consumers = Vec::new();
        let mut findings = Vec::new();
        for descriptor in &self.consumers {
            match check::typed_consumer(descriptor, &parts) {
                Ok((run, allowed)) => {
                    consumers.push(Arc::new(run));
                    findings.extend(allowed);
                }
                Err(more) => findings.extend(more),
            }
        }
        for consumer in run_time_consumers {
            consumers.push(Arc::new(consumer.into_run(&parts)?));
        }
        for spec in &mut topics {
            spec.groups = consumers
                .iter()
                .filter(|run| run.topic == spec.topic)
                .map(|run| run.group.clone())
                .collect();
        }
        findings.extend(parts.allowed.sift(examine(&context, &topics).await?));
        Ok(Wired {
            context,
            connected,
            topics,
            consumers,
            findings,
            #[cfg(feature = "store")]
            allowed: parts.allowed,
        })
    }

    fn route(
        &self,
        program: &Program<'_>,
        connected: &Connected,
    ) -> Result<(Wiring, Vec<TopicSpec>), BrokerError> {
        let source = source(&connected.product, &connected.environment);
        let mut wiring = Wiring::new(
            connected.product.clone(),
            connected.environment.clone(),
            self.publish_timeout,
            connected.in_process,
        );
        let mut topics = Vec::new();
        for (topic, descriptor) in program.all_topics(connected)? {
            let Some(provider) = connected.provider(topic.event().broker()) else {
                continue;
            };
            let physical = connected.physical_name(topic.event());
            topics.push(TopicSpec {
                topic: topic.clone(),
                physical: physical.clone(),
                groups: Vec::new(),
                keyed: descriptor.is_none_or(|topic| topic.key.is_some()),
            });
            wiring.add(self.topic_route(topic, descriptor, Arc::clone(provider), (physical, &source)));
        }
        Ok((wiring, topics))
    }

    /// How a topic is carried: by this provider, under a name of its own on the broker, if it has one.
    pub(crate) fn topic_route(
        &self,
        topic: TopicName,
        descriptor: Option<&'static TopicDescriptor>,
        provider: AnyProvider,
        (physical, source): (Option<String>, &str),
    ) -> TopicRoute {
        let capability = provider.capability_dyn();
        let mut most = capability.payload_bytes_max;
        if descriptor.is_some_and(|topic| topic.portable) {
            most = most.min(check::PORTABLE_PAYLOAD_BYTES_MAX);
        }
        let headers = envelope::shared_headers(topic.event().as_str(), topic.version().get(), source);
        TopicRoute {
            topic,
            descriptor,
            physical,
            provider,
            capability,
            payload_bytes_max: self.payload_bytes_max.map_or(most, |wanted| wanted.min(most)),
            headers: Headers::shared(headers.into()),
            registered_schema: None,
            #[cfg(feature = "store")]
            is_registered: false,
            validator: OnceLock::new(),
        }
    }
}

/// What the messages of this program name as their source.
pub(crate) fn source(product: &str, environment: &str) -> String {
    format!("{product}/{environment}/{}", producer_name())
}

/// Asks each broker what is unsafe or wrong with how it is set up.
async fn examine(context: &Context, topics: &[TopicSpec]) -> Result<Vec<Finding>, BrokerError> {
    let mut providers: Vec<(AnyProvider, Vec<TopicSpec>, BTreeSet<String>)> = Vec::new();
    for spec in topics {
        let event = spec.topic.event();
        let route = context
            .wiring()
            .route(event.as_str(), spec.topic.version().get())?;
        let tag = event.broker().to_owned();
        let known = providers
            .iter_mut()
            .find(|(known, ..)| Arc::ptr_eq(known, &route.provider));
        if let Some((_, specs, tags)) = known {
            specs.push(spec.clone());
            tags.insert(tag);
        } else {
            let provider = Arc::clone(&route.provider);
            providers.push((provider, vec![spec.clone()], BTreeSet::from([tag])));
        }
    }
    let mut findings = Vec::new();
    for (provider, specs, tags) in providers {
        let broker = tags.into_iter().collect::<Vec<_>>().join("`, `");
        let kind = provider.info_dyn().provider;
        let found = provider.examine_dyn(&specs).await.map_err(|error| {
            let text = format!("can't look at how broker `{broker}` ({kind}) is set up");
            BrokerError::from_provider(ErrorCode::ConnectionFailed, text, error)
        })?;
        findings.extend(found.into_iter().map(|found| Finding {
            code: ErrorCode::ConfigInvalid,
            name: Some(found.name),
            severity: found.severity,
            message: format!("broker `{broker}` ({kind}): {}", found.message),
        }));
    }
    Ok(findings)
}

/// The name that the program goes by in the `source` of its messages: that of its executable.
fn producer_name() -> String {
    let name = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| "program".to_owned())
}
