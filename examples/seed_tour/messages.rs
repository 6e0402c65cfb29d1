//! Messages that are produced and consumed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::registry::BrokerType;
use ductape_events::session::{ActiveFilter, Period, Revoke, SessionConfig};
use serde_json::{Value, json};

use crate::checked::{Result, ensure, section, shows, until};
use crate::events::{OrderCreated, Stock};

/// What a callback received.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Mutex<Vec<Value>>>);

impl Received {
    pub(crate) fn note(&self, message: Value) {
        if let Ok(mut messages) = self.0.lock() {
            messages.push(message);
        }
    }

    /// The message whose `field` is `value`, once it is there.
    pub(crate) async fn with(&self, field: &str, value: &str) -> Result<Value> {
        let is_it = |message: &&Value| message[field] == value;
        until(&format!("a message whose {field} is {value}"), async || {
            let messages = self.0.lock().map(|messages| messages.clone()).unwrap_or_default();
            Ok(messages.iter().find(is_it).cloned())
        })
        .await
    }
}

pub(crate) async fn quick_example(ductape: &Ductape) -> Result<()> {
    section("Quick Example");
    let messaging = ductape.messaging();

    // Publish a message: a value of the topic's type.
    let order = OrderCreated {
        order_id: "123".to_owned(),
        amount: Some(99.99),
        ..OrderCreated::default()
    };
    let produced = order.produce(ductape).await?;
    shows(format!("success: {}", produced.success), "success: true")?;

    // Subscribe to messages, by the topic's name. A `#[consumer]` is the typed way; `process_new_order` is one.
    let received = Received::default();
    let callback = received.clone();
    messaging
        .consume("order-events:order-created", move |message| {
            callback.note(message);
            async { Ok(()) }
        })
        .await?;

    // What has no type is JSON.
    messaging
        .produce(
            "order-events:order-created",
            &json!({ "orderId": "123-b", "amount": 99.99 }),
        )
        .await?;
    let message = received.with("orderId", "123-b").await?;
    shows(
        format!("Received: {message}"),
        r#"Received: {"amount":99.99,"orderId":"123-b"}"#,
    )
}

pub(crate) fn what_you_can_do(ductape: &Ductape) -> Result<()> {
    section("What You Can Do");
    // Produce, consume, manage brokers and topics, ask for the history: one door each.
    let (messaging, sessions, brokers) = (ductape.messaging(), ductape.sessions(), ductape.brokers());
    let (topics, messages) = (messaging.topics(), messaging.messages());
    let _ = (topics, messages, sessions, brokers);
    shows(
        format!(
            "{} in {}",
            ductape.context().product(),
            ductape.context().environment()
        ),
        "my-product in prd",
    )
}

pub(crate) fn supported_providers() -> Result<()> {
    section("Supported Providers");
    for (kind, wanted) in [
        (BrokerType::Kafka, "KAFKA"),
        (BrokerType::RabbitMq, "RABBITMQ"),
        (BrokerType::Redis, "REDIS"),
        (BrokerType::AwsSqs, "AWS_SQS"),
        (BrokerType::GooglePubSub, "GOOGLE_PUBSUB"),
        (BrokerType::Nats, "NATS"),
    ] {
        shows(kind, wanted)?;
    }
    Ok(())
}

pub(crate) async fn producing_messages(ductape: &Ductape) -> Result<()> {
    section("Producing Messages");
    let order = json!({
        "orderId": "12345", "customerId": "cust_789", "total": 99.99, "createdAt": "2024-01-15T10:30:00Z",
    });
    let result = ductape
        .messaging()
        .produce("order-events:order-created", &order)
        .await?;
    shows(format!("success: {}", result.success), "success: true")?;
    ensure(
        !result.process_id.to_string().is_empty(),
        "the receipt has a process id",
    )
}

pub(crate) async fn with_session(ductape: &Ductape) -> Result<()> {
    section("With session (user context)");
    let sessions = ductape.sessions();
    let created = sessions
        .create(SessionConfig {
            tag: "user-session".to_owned(),
            name: "Users".to_owned(),
            selector: "$Session{userId}".to_owned(),
            expiry: 1,
            period: Period::Hours,
            schema: json!({ "userId": "u1", "email": "user@example.com" }),
            ..SessionConfig::default()
        })
        .await;
    match created {
        Ok(_) => {}
        // The tour was here before.
        Err(error) if error.code() == ErrorCode::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    let user = json!({ "userId": "u1", "email": "user@example.com" });
    let session = sessions.start("user-session", &user).await?;

    // The token goes with the call, or with the context that everything is produced in.
    let token = format!("{}:{}", session.session_id, session.token);
    let with_session = ProduceOptions::default().session(token);
    let order = json!({ "orderId": "123-session", "total": 99.99 });
    let result = ductape
        .messaging()
        .produce_with("order-events:order-created", &order, with_session)
        .await?;
    shows(format!("success: {}", result.success), "success: true")?;
    let order = OrderCreated {
        order_id: "123-user".to_owned(),
        total: Some(99.99),
        ..OrderCreated::default()
    };
    let context = ductape.context().with_session(&session.token);
    shows(
        format!("success: {}", order.produce(&context).await?.success),
        "success: true",
    )?;

    let check = sessions.verify("user-session", &session.token).await?;
    shows(
        format!("valid: {}, data: {}", check.valid, check.data.unwrap_or_default()),
        r#"valid: true, data: {"email":"user@example.com","userId":"u1"}"#,
    )?;
    let next = sessions.refresh("user-session", &session.refresh_token).await?;
    let active = ActiveFilter {
        identifier: Some("u1".to_owned()),
        ..ActiveFilter::default()
    };
    let active = sessions.list_active("user-session", &active).await?;
    shows(format!("active: {}", active.total), "active: 1")?;
    let revoked = sessions.revoke("user-session", Revoke::Identifier("u1")).await?;
    shows(format!("revoked: {revoked}"), "revoked: 1")?;

    // A bad, expired or revoked session publishes nothing.
    let refused = order.produce(&ductape.context().with_session(&next.token)).await;
    let code = refused.err().map(|error| error.code());
    shows(code.map_or("published", ErrorCode::as_str), "SESSION_INVALID")
}

pub(crate) async fn consuming_messages(ductape: &Ductape, stock: &Stock) -> Result<()> {
    section("Consuming Messages");
    // The callback of a group of its own; a group that has a consumer in this program has that one.
    let received = Received::default();
    let callback = received.clone();
    ductape
        .consume("order-events:order-created", "received-orders", move |message| {
            callback.note(message);
            async { Ok(()) }
        })
        .await?;
    let order = OrderCreated {
        order_id: "consumed".to_owned(),
        total: Some(99.99),
        ..OrderCreated::default()
    };
    order.produce(ductape).await?;
    let message = received.with("orderId", "consumed").await?;
    shows(
        format!("Received order: {message}"),
        r#"Received order: {"orderId":"consumed","total":99.99}"#,
    )?;

    // The typed consumer has processed that one, and all before.
    ensure(
        ductape.wait_idle(Duration::from_secs(30)).await?,
        "all was consumed within 30 s",
    )?;
    let mut processed = stock.processed();
    processed.sort();
    shows(
        format!("Processed: {}", processed.join(", ")),
        "Processed: 123, 123-b, 123-session, 123-user, 12345, consumed",
    )
}
