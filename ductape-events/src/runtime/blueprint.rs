//! What a program consists of, and how it is wired to the brokers of an environment.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ductape_providers::connection::ConnectionReport;
use ductape_providers::{AnyProvider, EventName, Headers, TopicSpec};

use super::brokers::{Brokers, Connected, Settings};
use super::check::{self, Allowed, Program, RunTimeConsumer};
use super::consumer_run::ConsumerRun;
use crate::consumer::{ConsumerDescriptor, States};
use crate::context::Context;
use crate::envelope;
use crate::error::{BrokerError, ErrorCode, Finding};
use crate::stats::Observer;
use crate::topic::TopicDescriptor;
use crate::wiring::{TopicRoute, Wiring};

/// What a program consists of, whatever its environment.
pub(super) struct Blueprint {
    pub(super) settings: Settings,
    pub(super) topics: Vec<&'static TopicDescriptor>,
    pub(super) consumers: Vec<&'static ConsumerDescriptor>,
    pub(super) run_time_topics: Vec<EventName>,
    pub(super) states: Arc<States>,
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
        Ok(self.brokers(None).await?.test(&tags).await)
    }

    /// Connects to the brokers of `environment` (the program's own when `None`) and looks at them; nothing is changed.
    pub(super) async fn wire(
        &self,
        environment: Option<&str>,
        run_time_consumers: Vec<RunTimeConsumer>,
    ) -> Result<Wired, BrokerError> {
        let program = self.program();
        let mut findings = program.check_names();
        let brokers = self.brokers(environment).await?;
        let tags = program.broker_tags();
        findings.extend(brokers.check(&tags));
        refuse(findings)?;
        // Only the program itself writes; who looks at another environment needs no store.
        #[cfg(feature = "store")]
        let (session_keys, store) = if environment.is_none() {
            (brokers.session_keys()?, brokers.open_store().await?)
        } else {
            (None, None)
        };
        #[cfg(not(feature = "store"))]
        if environment.is_none() {
            brokers.refuse_store()?;
        }
        let connected = brokers.connect(&tags).await?;

        let (wiring, mut topics) = self.route(&program, &connected)?;
        #[cfg(feature = "store")]
        let wiring = wiring.with_store(store).with_session_keys(session_keys);
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
        })
    }

    fn route(
        &self,
        program: &Program<'_>,
        connected: &Connected,
    ) -> Result<(Wiring, Vec<TopicSpec>), BrokerError> {
        let source = format!(
            "{}/{}/{}",
            connected.product,
            connected.environment,
            producer_name()
        );
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
            let capability = provider.capability_dyn();
            let mut most = capability.payload_bytes_max;
            if descriptor.is_some_and(|topic| topic.portable) {
                most = most.min(check::PORTABLE_PAYLOAD_BYTES_MAX);
            }
            let headers = envelope::shared_headers(topic.event().as_str(), topic.version().get(), &source);
            let physical = connected.physical_name(topic.event());
            topics.push(TopicSpec {
                topic: topic.clone(),
                physical: physical.clone(),
                groups: Vec::new(),
                keyed: descriptor.is_none_or(|topic| topic.key.is_some()),
            });
            wiring.add(TopicRoute {
                topic,
                descriptor,
                physical,
                provider: Arc::clone(provider),
                capability,
                payload_bytes_max: self.payload_bytes_max.map_or(most, |wanted| wanted.min(most)),
                headers: Headers::shared(headers.into()),
                validator: OnceLock::new(),
            });
        }
        Ok((wiring, topics))
    }
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
