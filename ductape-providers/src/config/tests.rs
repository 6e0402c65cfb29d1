use serde_json::{Value, json};

use super::{EmbeddedMode, NatsAuth, ProviderConfig, RabbitMqServer, SaslMechanism, Synchronous};

mod findings;
mod secrets;

fn good(value: &Value) -> ProviderConfig {
    ProviderConfig::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

/// The shapes as the original's documentation writes them.
#[test]
fn the_documented_shapes_are_read() {
    let kafka = json!({"slug": "prd", "type": "KAFKA", "config": {
        "brokers": ["kafka-prod.example.com:9092"], "clientId": "order-service", "groupId": "order-consumers",
        "topic": "orders", "ssl": true,
        "sasl": {"mechanism": "scram-sha-256", "username": "prod-user", "password": "prod-password"},
    }});
    let ProviderConfig::Kafka(kafka) = good(&kafka) else {
        panic!()
    };
    assert_eq!(kafka.brokers[0].to_string(), "kafka-prod.example.com:9092");
    assert_eq!(
        (kafka.client_id.as_str(), kafka.group_id.as_deref()),
        ("order-service", Some("order-consumers"))
    );
    assert_eq!((kafka.topic.as_deref(), kafka.ssl), (Some("orders"), true));
    let sasl = kafka.sasl.unwrap();
    assert_eq!(sasl.mechanism, SaslMechanism::ScramSha256);
    assert_eq!(
        (sasl.username.as_str(), sasl.password.expose()),
        ("prod-user", "prod-password")
    );

    let ProviderConfig::RabbitMq(rabbit) =
        good(&json!({"type": "RABBITMQ", "url": "amqps://user:pass@host/vhost"}))
    else {
        panic!()
    };
    assert!(
        matches!(&rabbit.server, RabbitMqServer::Url { url } if url.expose() == "amqps://user:pass@host/vhost")
    );

    let ProviderConfig::RabbitMq(rabbit) = good(&json!({"type": "RABBITMQ", "host": "localhost",
        "username": "u", "password": "p", "queue": "orders", "routingKey": "order.created"}))
    else {
        panic!()
    };
    assert!(
        matches!(&rabbit.server, RabbitMqServer::Parts { port: 5672, vhost, tls: false, .. } if vhost == "/")
    );
    assert_eq!(
        (rabbit.queue.as_deref(), rabbit.routing_key.as_deref()),
        (Some("orders"), Some("order.created"))
    );

    let ProviderConfig::Redis(redis) =
        good(&json!({"slug": "dev", "type": "REDIS", "config": {"host": "localhost", "port": 6379}}))
    else {
        panic!()
    };
    assert_eq!((redis.host.as_str(), redis.port), ("localhost", 6379));

    let ProviderConfig::Sqs(sqs) = good(&json!({"type": "AWS_SQS", "region": "us-east-1",
        "accessKeyId": "AK", "secretAccessKey": "SK", "sessionToken": "ST",
        "queueUrls": {"order-created": "https://sqs.us-east-1.amazonaws.com/123/orders-prd"}}))
    else {
        panic!()
    };
    let keys = sqs.keys.unwrap();
    assert_eq!(
        (
            keys.secret_access_key.expose(),
            keys.session_token.unwrap().expose()
        ),
        ("SK", "ST")
    );
    assert_eq!(
        sqs.queue_urls["order-created"].host(),
        "sqs.us-east-1.amazonaws.com"
    );

    let ProviderConfig::PubSub(pubsub) = good(&json!({"type": "GOOGLE_PUBSUB", "projectId": "shop",
        "topicName": "orders", "subscriptionName": "billing", "keyFilename": "key.json"}))
    else {
        panic!()
    };
    assert_eq!(pubsub.subscription_name.as_deref(), Some("billing"));

    let ProviderConfig::Nats(nats) = good(&json!({"type": "NATS", "servers": ["nats://a:4222", "tls://b"],
        "user": "u", "pass": "p", "name": "orders", "maxReconnectAttempts": -1, "reconnectTimeWait": 250,
        "tls": true}))
    else {
        panic!()
    };
    assert!(
        matches!(&nats.auth, Some(NatsAuth::Password { user, pass }) if user == "u" && pass.expose() == "p")
    );
    assert_eq!((nats.servers.len(), nats.max_reconnect_attempts), (2, None));
    assert_eq!(nats.reconnect_time_wait.as_millis(), 250);
    assert!(nats.tls.is_some());

    let ProviderConfig::Embedded(embedded) = good(&json!({"type": "EMBEDDED"})) else {
        panic!()
    };
    assert_eq!(
        (embedded.mode, embedded.synchronous),
        (EmbeddedMode::Durable, Synchronous::Full)
    );
    assert_eq!(embedded.path.to_str(), Some(".ductape/events.db"));
}

#[test]
fn servers_are_a_text_or_a_list() {
    for (servers, expected) in [
        (json!("localhost"), "nats://localhost"),
        (json!("nats://a:1, b:2"), "nats://a:1,nats://b:2"),
        (json!(["a:1", "tls://b:2"]), "nats://a:1,tls://b:2"),
    ] {
        assert_eq!(
            good(&json!({"type": "NATS", "servers": servers})).address(),
            expected
        );
    }
}

#[test]
fn numbers_and_booleans_may_be_text_as_variables_are() {
    let redis =
        good(&json!({"type": "REDIS", "host": "redis", "port": "6380", "password": "p", "tls": "true"}));
    assert!(matches!(redis, ProviderConfig::Redis(redis) if redis.port == 6380 && redis.tls));
}

#[test]
fn a_password_may_go_unencrypted_to_this_machine_or_where_it_is_allowed() {
    for value in [
        json!({"type": "REDIS", "host": "127.0.0.1", "password": "p"}),
        json!({"type": "REDIS", "host": "redis", "password": "p", "allowPlaintext": true}),
        json!({"type": "RABBITMQ", "url": "amqp://u:p@localhost"}),
        json!({"type": "RABBITMQ", "url": "amqp://u:p@mq", "allowPlaintext": true}),
        json!({"type": "NATS", "servers": "nats://u:p@[::1]:4222"}),
        json!({"type": "NATS", "servers": "tls://nats", "token": "t"}),
        json!({"type": "KAFKA", "brokers": ["localhost:9092"], "clientId": "c",
            "sasl": {"mechanism": "plain", "username": "u", "password": "p"}}),
        json!({"type": "KAFKA", "brokers": ["k:9092"], "clientId": "c", "allowPlaintext": true,
            "sasl": {"mechanism": "plain", "username": "u", "password": "p"}}),
    ] {
        good(&value);
    }
}

#[test]
fn provider_and_address_say_what_and_where() {
    for (value, provider, address) in [
        (
            json!({"type": "KAFKA", "brokers": ["a:1", "b:2"], "clientId": "c"}),
            "kafka",
            "a:1,b:2",
        ),
        (
            json!({"type": "RABBITMQ", "url": "amqps://u:p@h/v"}),
            "rabbitmq",
            "amqps://u:***@h/v",
        ),
        (
            json!({"type": "RABBITMQ", "host": "::1", "vhost": "shop"}),
            "rabbitmq",
            "amqp://[::1]:5672/shop",
        ),
        (
            json!({"type": "RABBITMQ", "host": "mq", "tls": true}),
            "rabbitmq",
            "amqps://mq:5671/",
        ),
        (json!({"type": "REDIS", "host": "::1"}), "redis", "[::1]:6379"),
        (
            json!({"type": "AWS_SQS", "region": "eu-west-1"}),
            "sqs",
            "sqs.eu-west-1.amazonaws.com",
        ),
        (
            json!({"type": "AWS_SQS", "region": "eu-west-1", "endpoint": "http://localhost:4566"}),
            "sqs",
            "http://localhost:4566",
        ),
        (
            json!({"type": "GOOGLE_PUBSUB", "projectId": "p", "endpoint": "localhost:8085"}),
            "pubsub",
            "projects/p at http://localhost:8085",
        ),
        (
            json!({"type": "GOOGLE_PUBSUB", "projectId": "p", "topicName": "orders"}),
            "pubsub",
            "projects/p/topics/orders",
        ),
        (
            json!({"type": "NATS", "servers": "tls://u:p@h"}),
            "nats",
            "tls://u:***@h",
        ),
        (
            json!({"type": "EMBEDDED", "mode": "memory"}),
            "embedded",
            "memory",
        ),
        (json!({"type": "EMBEDDED", "path": "a.db"}), "embedded", "a.db"),
    ] {
        let config = good(&value);
        assert_eq!(
            (config.provider(), config.address().as_str()),
            (provider, address)
        );
        assert_eq!(config.to_string(), format!("{provider} at {address}"));
    }
}

/// The features of a build decide: this runs where `nats` is left out.
#[cfg(not(feature = "nats"))]
#[tokio::test]
async fn a_kind_of_broker_that_this_build_leaves_out_says_so() {
    let config = good(&json!({"type": "NATS", "servers": "localhost"}));
    for error in [
        config.connect().await.unwrap_err(),
        config.capability().unwrap_err(),
    ] {
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("enable the feature `nats`"), "{text}");
    }
    let report = config.test_connection().await;
    assert_eq!(report.failed_step(), Some("connect"), "{report}");
}
