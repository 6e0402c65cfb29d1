//! The program as an `AsyncAPI` document.

use serde_json::Value;

use super::ductape::Ductape;
use crate::asyncapi::{Channel, Group, Info, document};
use crate::wiring::TopicRoute;

impl Ductape {
    /// What this program produces and consumes, as an [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0)
    /// document: its topics with their JSON Schemas and samples, its consumers, and the brokers of its environment, without secrets.
    ///
    /// A topic that has a type counts as one that the program may produce. Schemas are written as draft 7, which `AsyncAPI` asks for.
    ///
    /// ```standalone_crate
    /// use ductape_events::prelude::*;
    ///
    /// #[topic("order-events:order-created", key = order_id)]
    /// struct OrderCreated { order_id: String }
    ///
    /// #[consumer(group = "billing")]
    /// async fn bill(_order: OrderCreated) {}
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), BrokerError> {
    /// let ductape = Ductape::builder().in_process().build().await?;
    /// let document = ductape.asyncapi();
    /// assert_eq!(document["asyncapi"], "3.0.0");
    /// assert_eq!(document["channels"]["order-events.order-created"]["address"], "order-events.order-created");
    /// assert_eq!(document["operations"]["receive.order-events.order-created.billing"]["action"], "receive");
    /// # Ok(())
    /// # }
    /// ```
    pub fn asyncapi(&self) -> Value {
        let wiring = self.context.wiring();
        let info = Info {
            title: wiring.product.clone(),
            version: "1.0.0".to_owned(),
            description: format!("Environment `{}`.", wiring.environment),
        };
        let consumers = self.consumers();
        let channels = wiring.routes().into_iter().map(|route| {
            let of_topic = consumers.iter().filter(|consumer| consumer.topic == route.topic);
            let group = |name: &str, consumer: &str| Group {
                name: name.to_owned(),
                consumer: consumer.to_owned(),
            };
            let groups = of_topic
                // The group of one process is nobody's contract.
                .filter(|consumer| !consumer.group.ephemeral)
                .map(|consumer| group(consumer.group.name.as_str(), &consumer.name));
            channel(route, groups.collect())
        });
        let channels: Vec<Channel> = channels.collect();
        document(&info, wiring.servers(), &channels)
    }
}

fn channel(route: &TopicRoute, groups: Vec<Group>) -> Channel {
    let address = route.physical.clone().unwrap_or_else(|| route.topic.physical());
    let Some(topic) = route.descriptor else {
        return Channel {
            topic: route.topic.clone(),
            address,
            title: route.topic.event().to_string(),
            description: String::new(),
            schema: route.registered_schema.clone(),
            sample: None,
            key: None,
            is_produced: false,
            groups,
        };
    };
    Channel {
        topic: route.topic.clone(),
        address,
        title: topic.name.to_owned(),
        description: topic.description.to_owned(),
        schema: Some((topic.schema)()),
        sample: Some((topic.sample)()),
        key: topic.key.map(str::to_owned),
        is_produced: true,
        groups,
    }
}
