//! What a start-up check found, and the guarantee that each consumer has.

use std::fmt;

use ductape_providers::capability::Order;

use super::blueprint::Blueprint;
use super::consumer_run::ConsumerRun;
use super::store::Opened;
use crate::error::{BrokerError, Finding};

/// What a check of a program against the brokers of an environment found.
#[derive(Clone, Debug)]
#[must_use = "what the check found is in the report"]
pub struct CheckReport {
    /// The environment.
    pub environment: String,
    /// Everything that was found. Those of severity `Refusal` keep the program from starting; the others are logged.
    pub findings: Vec<Finding>,
    /// The guarantee of each consumer, as far as the check got.
    pub guarantees: Vec<Guarantee>,
    /// What the start of the program would add to the registry and change there, a line for each; what it would refuse is found
    /// (`SCHEMA_INCOMPATIBLE`). Nothing is ever taken out.
    pub changes: Vec<String>,
}

/// What a consumer is promised on the broker that its environment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarantee {
    /// The consumer.
    pub consumer: String,
    /// The event's name.
    pub event: String,
    /// The consumer group.
    pub group: String,
    /// The kind of broker.
    pub provider: &'static str,
    /// How often each message takes effect: `at least once`, `effectively once`.
    pub delivery: &'static str,
    /// What order is kept: `per topic`, `per key`, `none`.
    pub order: &'static str,
    /// What messages outlive: `the process`, or `nothing`.
    pub kept: &'static str,
}

impl CheckReport {
    /// Whether the program could start.
    pub fn is_ok(&self) -> bool {
        !self.findings.iter().any(Finding::is_refusal)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_ok() {
            "can start"
        } else {
            "can not start"
        };
        write!(f, "the program {word} in environment `{}`", self.environment)?;
        for finding in &self.findings {
            let word = if finding.is_refusal() {
                "refused"
            } else {
                "warning"
            };
            write!(f, "\n  - {word}: {finding}")?;
        }
        for guarantee in &self.guarantees {
            write!(f, "\n  {guarantee}")?;
        }
        for change in &self.changes {
            write!(f, "\n  registry: {change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} in group {} ({}): {}, order {}, messages outlive {}",
            self.consumer, self.event, self.group, self.provider, self.delivery, self.order, self.kept
        )
    }
}

impl Guarantee {
    pub(super) fn of(consumer: &ConsumerRun) -> Self {
        Self {
            consumer: consumer.name.clone(),
            event: consumer.topic.event().to_string(),
            group: consumer.group.name.to_string(),
            provider: consumer.provider.info_dyn().provider,
            delivery: if consumer.group.once || consumer.once.is_some() {
                "effectively once"
            } else {
                "at least once"
            },
            order: match consumer.capability.order {
                Order::None => "none",
                Order::PerKey => "per key",
                Order::PerTopic => "per topic",
            },
            kept: if consumer.capability.persistent {
                "the process"
            } else {
                "nothing"
            },
        }
    }
}

impl Blueprint {
    /// Checks the program against the brokers of `environment`, and closes the connections again.
    pub(super) async fn check(&self, environment: Option<&str>, lent: Option<Opened>) -> CheckReport {
        let mut report = CheckReport {
            environment: environment.unwrap_or_default().to_owned(),
            findings: Vec::new(),
            guarantees: Vec::new(),
            changes: Vec::new(),
        };
        match self.wire(environment, Vec::new(), lent).await {
            #[cfg_attr(not(feature = "store"), allow(unused_mut))]
            Ok(mut wired) => {
                #[cfg(feature = "store")]
                match self.plan(&mut wired).await {
                    Ok(planned) => report.changes = planned.changes,
                    Err(error) => wired.findings.extend(as_findings(&error)),
                }
                report.environment.clone_from(&wired.connected.environment);
                report.findings.clone_from(&wired.findings);
                report.guarantees = wired.consumers.iter().map(|run| Guarantee::of(run)).collect();
                wired.connected.close_opened().await;
            }
            Err(error) => report.findings = as_findings(&error),
        }
        report
    }
}

fn as_findings(error: &BrokerError) -> Vec<Finding> {
    if error.findings().is_empty() {
        let text = error.to_string();
        let text = text
            .strip_prefix(error.code().as_str())
            .map_or(text.as_str(), |rest| rest.trim_start_matches(": "));
        return vec![Finding::new(error.code(), text.to_owned())];
    }
    error.findings().to_vec()
}
