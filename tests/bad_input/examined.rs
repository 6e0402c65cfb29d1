//! What a broker's own look at its set-up finds keeps a program from starting, unless it is allowed by name.

use std::sync::Arc;
use std::time::Duration;

use ductape_events::prelude::*;
use ductape_events::providers::embedded::MemoryConfig;
use ductape_events::providers::examine::{Finding, Severity};
use ductape_events::providers::provider::{Backlog, ProviderInfo};
use ductape_events::providers::spec::SeekTo;
use ductape_events::providers::{
    AnyProvider, Capability, GroupName, PublishSlot, Result, SubscriptionDyn, SubscriptionSpec, TopicName,
    TopicSpec,
};
use ductape_events::{DuctapeBuilder, ErrorCode};
use futures_util::future::{BoxFuture, pending};
use tokio::time::Instant;

use crate::events::{Seen, watch};

/// A broker in memory that finds two things wrong with itself; joining a group of it hangs if told to.
#[derive(Debug)]
struct Examined {
    inner: AnyProvider,
    hangs: bool,
}

fn examined(hangs: bool) -> AnyProvider {
    Arc::new(Examined {
        inner: Arc::new(MemoryConfig::default().open()),
        hangs,
    })
}

impl ductape_events::providers::ProviderDyn for Examined {
    fn info_dyn(&self) -> &ProviderInfo {
        self.inner.info_dyn()
    }

    fn capability_dyn(&self) -> Capability {
        self.inner.capability_dyn()
    }

    fn declare_dyn<'a>(&'a self, topic: &'a TopicSpec) -> BoxFuture<'a, Result<()>> {
        self.inner.declare_dyn(topic)
    }

    fn publish_dyn<'a>(&'a self, batch: &'a mut [PublishSlot]) -> BoxFuture<'a, ()> {
        self.inner.publish_dyn(batch)
    }

    fn subscribe_dyn<'a>(
        &'a self,
        spec: &'a SubscriptionSpec,
    ) -> BoxFuture<'a, Result<Box<dyn SubscriptionDyn>>> {
        if self.hangs {
            return Box::pin(pending());
        }
        self.inner.subscribe_dyn(spec)
    }

    fn seek_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
        to: SeekTo,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.seek_dyn(topic, group, to)
    }

    fn backlog_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
    ) -> BoxFuture<'a, Result<Backlog>> {
        self.inner.backlog_dyn(topic, group)
    }

    fn examine_dyn<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        assert!(topics.iter().any(|spec| spec.groups.len() == 1));
        Box::pin(async {
            Ok(vec![
                Finding::refusal("test-evicts", "it evicts; set it not to"),
                Finding::warning("test-slow", "it is slow"),
            ])
        })
    }

    fn ping_dyn(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.ping_dyn()
    }

    fn close_dyn(&self, deadline: Instant) -> BoxFuture<'_, Result<()>> {
        self.inner.close_dyn(deadline)
    }
}

fn program(broker: AnyProvider) -> DuctapeBuilder {
    Ductape::builder()
        .without_inventory()
        .without_config()
        .environment("dev")
        .every_broker(broker)
        .consumer::<watch>()
        .state(Seen::default())
}

#[tokio::test]
async fn what_a_broker_finds_keeps_the_program_from_starting_unless_it_is_allowed() {
    let error = program(examined(false)).build().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConfigInvalid);
    let text = error.to_string();
    assert!(
        text.contains("it evicts; set it not to (or allow `test-evicts`)"),
        "{text}"
    );
    assert!(!text.contains("it is slow"), "{text}");

    let ductape = program(examined(false))
        .allow("test-evicts")
        .build()
        .await
        .unwrap();
    let report = ductape.check("dev").await;
    assert!(report.is_ok(), "{report}");
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.name, finding.severity))
        .collect();
    assert_eq!(
        found,
        [
            (Some("test-evicts"), Severity::Warning),
            (Some("test-slow"), Severity::Warning)
        ]
    );
    let guarantee = &report.guarantees[0];
    assert_eq!((guarantee.delivery, guarantee.kept), ("at least once", "nothing"));
}

#[tokio::test]
async fn a_finding_is_allowed_in_the_file_for_one_environment() {
    let text = "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memory'\nallow = ['no-such-finding']\n\
                [brokers.bad.environments.prd]\ntype = 'REDIS'\nhost = 'localhost'\nallow = 'redis-evicts'\n";
    let error = crate::events::program(text).build().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("prd.allow: must be a list of names"), "{text}");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_group_that_can_t_be_joined() {
    let ductape = Arc::new(
        program(examined(true))
            .allow("test-evicts")
            .build()
            .await
            .unwrap(),
    );
    let starting = tokio::spawn({
        let ductape = Arc::clone(&ductape);
        async move { ductape.start().await }
    });
    tokio::task::yield_now().await;
    tokio::time::timeout(Duration::from_secs(5), ductape.shutdown())
        .await
        .unwrap()
        .unwrap();
    let error = starting.await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ShuttingDown, "{error}");
}

#[tokio::test]
async fn a_check_of_an_environment_that_is_not_there_is_a_finding() {
    let ductape = program(examined(false))
        .allow("test-evicts")
        .build()
        .await
        .unwrap();
    drop(ductape);
    let text = "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memory'\n";
    let ductape = crate::events::program(text)
        .consumer::<watch>()
        .state(Seen::default())
        .build()
        .await
        .unwrap();
    let report = ductape.check("prd").await;
    assert!(!report.is_ok());
    assert_eq!(report.findings[0].code, ErrorCode::BrokerEnvNotFound, "{report}");
    let report = ductape.check("dev").await;
    assert!(report.is_ok(), "{report}");
}
