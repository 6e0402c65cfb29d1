//! Topics that the registry holds and the program did not begin with.

use ductape_providers::TopicSpec;

use super::{Messaging, RegisteredTopic, store_failed};
use crate::error::{BrokerError, ErrorCode};
use crate::runtime::source;
use crate::wiring::{event_name, topic_name};

impl Messaging<'_> {
    /// Makes a topic of the registry one of the program's, unless it is.
    pub(crate) async fn ready(&self, event: &str) -> Result<(), BrokerError> {
        let wiring = self.ductape.context().wiring();
        let event = event_name(event)?;
        let is_known = || {
            wiring
                .route_by_name(event.as_str())
                .is_ok_and(|route| route.is_described())
        };
        let Some(store) = wiring.store_if_any().filter(|_| !is_known()) else {
            return Ok(());
        };
        wiring.check_open()?;
        // One at a time, so that a broker is connected to once.
        let _turn = wiring.late_turn().await;
        if is_known() {
            return Ok(());
        }
        let found = store
            .registry()
            .topic(&wiring.product, event.broker(), event.topic(), None)
            .await;
        let found = found.map_err(|error| store_failed("can't ask the registry for the topic", error))?;
        let Some(topic) = found else {
            // One that the configuration names needs no registry.
            if wiring.route_by_name(event.as_str()).is_ok() {
                return Ok(());
            }
            return Err(self
                .of_product(&wiring.product)
                .topics()
                .no_topic(&event, None)
                .await?);
        };
        let blueprint = &self.ductape.blueprint;
        let provider = match wiring.provider_of(event.broker()) {
            Some(provider) => provider,
            None => {
                blueprint
                    .connect_late(event.broker(), event.as_str(), store)
                    .await?
            }
        };
        let name = topic_name(event.clone(), topic.version);
        // The name that the configuration gives it on its broker.
        let known = wiring.route_by_name(event.as_str()).ok();
        let physical = known.and_then(|route| route.physical.clone());
        let mut spec = TopicSpec::new(name.clone());
        spec.physical.clone_from(&physical);
        let declared = provider.declare_dyn(&spec).await;
        declared.map_err(|error| {
            let text = format!("can't declare `{name}`");
            BrokerError::from_provider(ErrorCode::ConnectionFailed, text, error)
        })?;
        let source = source(&wiring.product, &wiring.environment);
        let mut route = blueprint.topic_route(name, None, provider, (physical, &source));
        route.registered_schema = topic.schema;
        route.is_registered = true;
        wiring.add_late(route);
        Ok(())
    }

    /// Takes over what a call has just changed of a topic.
    pub(super) fn refresh(&self, topic: &RegisteredTopic) {
        let wiring = self.ductape.context().wiring();
        if topic.product == wiring.product {
            wiring.refresh_late(&topic.tag, topic.version, topic.schema.clone());
        }
    }
}
