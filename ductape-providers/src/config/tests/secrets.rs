use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::config::ProviderConfig;

const CANARY: &str = "hunter2-CANARY";

/// Every configuration with every secret set.
fn configs() -> Vec<Value> {
    let url = |scheme: &str| format!("{scheme}://user:{CANARY}@localhost/x?password={CANARY}&token={CANARY}");
    vec![
        json!({"type": "KAFKA", "brokers": ["k:9092"], "clientId": "c", "ssl": true,
            "sasl": {"mechanism": "plain", "username": "u", "password": CANARY}}),
        json!({"type": "RABBITMQ", "url": url("amqp")}),
        json!({"type": "RABBITMQ", "host": "localhost", "username": "u", "password": CANARY}),
        json!({"type": "REDIS", "host": "localhost", "password": CANARY}),
        json!({"type": "AWS_SQS", "region": "us-east-1", "accessKeyId": "AK", "secretAccessKey": CANARY,
            "sessionToken": CANARY, "endpoint": "http://localhost:1", "queueUrls": {"t": "https://localhost:1/t"}}),
        json!({"type": "GOOGLE_PUBSUB", "projectId": "p", "topicName": "orders", "endpoint": "http://localhost:1",
            "credentials": {"private_key": CANARY, "nested": [CANARY]}}),
        json!({"type": "NATS", "servers": [url("nats"), format!("tls://{CANARY}@h")], "user": "u", "pass": CANARY}),
        json!({"type": "NATS", "servers": "localhost", "token": CANARY}),
    ]
}

fn assert_hidden(text: &str) {
    assert!(!text.contains("CANARY"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_configuration_prints_a_secret() {
    for value in configs() {
        let config = ProviderConfig::from_value(&value).unwrap_or_else(|error| panic!("{error}"));
        assert_hidden(&format!("{config:?} {config:#?} {config}"));
        assert_hidden(&config.address());
        let written = serde_json::to_string(&config).unwrap();
        assert_hidden(&written);
        assert!(written.contains("***"), "{written}");
        // Nothing answers at these addresses; some providers find that out when they are used first.
        if let Ok(Err(error)) = timeout(Duration::from_mins(1), config.connect()).await {
            assert_hidden(&format!("{error} {error:?}"));
        }
    }
}

/// Breaks every key of every configuration in turn: left out, of another kind, or misspelled.
#[test]
fn no_error_prints_a_secret() {
    let mut errors = 0;
    let mut check = |value: &Value| {
        if let Err(error) = ProviderConfig::from_value(value) {
            errors += 1;
            assert_hidden(&format!("{error} {error:?}"));
            assert_hidden(&format!("{:?}", crate::Error::from(error)));
        }
    };
    for value in configs() {
        let map = value.as_object().unwrap().clone();
        for (name, old) in &map {
            let mut broken = map.clone();
            broken.remove(name);
            check(&Value::Object(broken.clone()));
            broken.insert(format!("{name}x"), old.clone());
            check(&Value::Object(broken));
            for new in [
                json!(""),
                json!(1),
                json!([]),
                json!({}),
                json!([old]),
                json!({"x": old}),
                json!(format!("://u:{CANARY}@/")),
                json!(format!("u:{CANARY}@h:70000")),
                json!(format!("amqp://u:{CANARY}")),
                json!([format!("nats://u:{CANARY}"), format!("u:{CANARY}")]),
            ] {
                let mut broken = map.clone();
                broken.insert(name.clone(), new);
                check(&Value::Object(broken));
            }
        }
        // The cross-checks: plaintext to another host, both at once.
        let mut far = map.clone();
        for (name, new) in [
            ("host", json!("far")),
            ("ssl", json!(false)),
            ("servers", json!([format!("nats://u:{CANARY}@far")])),
            ("url", json!(format!("amqp://u:{CANARY}@far"))),
        ] {
            far.insert(name.to_owned(), new);
            check(&Value::Object(far.clone()));
        }
    }
    assert!(
        errors > 300,
        "only {errors} of the broken configurations were refused"
    );
}
