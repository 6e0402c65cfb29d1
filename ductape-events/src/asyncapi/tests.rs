//! The document of one program on each kind of broker. `dev/test asyncapi` hands them to the official parser.

use std::num::NonZeroU32;

use ductape_providers::TopicName;
use ductape_providers::config::ProviderConfig;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::{Channel, Group, Info, Server, document};
use crate::schema::schema_of;

/// The folder that the documents are written to.
const FOLDER: &str = "DUCTAPE_ASYNCAPI_FOLDER";

/// A part.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct Part {
    /// What is in it.
    parts: Vec<Part>,
    pair: (u8, Option<String>),
}

/// With all that schemas have.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct Everything {
    /// Which it is.
    part: Part,
    by_name: std::collections::BTreeMap<String, Part>,
    kind: Kind,
    #[schemars(extend("x-sensitive" = true))]
    secret: Option<Part>,
}

#[derive(JsonSchema)]
#[serde(tag = "kind")]
#[allow(dead_code)]
enum Kind {
    Plain { n: u32 },
    Fancy { part: Part },
    None,
}

fn configs() -> Vec<(&'static str, Value)> {
    vec![
        (
            "kafka",
            json!({"type": "KAFKA", "brokers": ["a.example:9093", "b.example:9093"], "clientId": "c", "ssl": true,
                   "sasl": {"mechanism": "scram-sha-512", "username": "u", "password": "hush"}}),
        ),
        (
            "rabbitmq",
            json!({"type": "RABBITMQ", "url": "amqps://u:hush@a.example/vhost"}),
        ),
        (
            "redis",
            json!({"type": "REDIS", "host": "a.example", "port": 6379, "password": "hush", "tls": true}),
        ),
        (
            "sqs",
            json!({"type": "AWS_SQS", "region": "eu-west-1", "accessKeyId": "AKIA", "secretAccessKey": "hush"}),
        ),
        (
            "pubsub",
            json!({"type": "GOOGLE_PUBSUB", "projectId": "shop-123", "keyFilename": "key.json"}),
        ),
        (
            "nats",
            json!({"type": "NATS", "servers": ["tls://a.example:4222"], "token": "hush"}),
        ),
        ("embedded", json!({"type": "EMBEDDED"})),
    ]
}

fn channel(event: &str, version: u32, groups: &[&str]) -> Channel {
    let topic = TopicName::new(event.parse().unwrap(), NonZeroU32::new(version).unwrap());
    Channel {
        address: topic.physical(),
        topic,
        title: "Everything".to_owned(),
        description: "With all that schemas have.".to_owned(),
        schema: Some(schema_of::<Everything>()),
        sample: Some(json!({
            "part": {"parts": [], "pair": [1, null]}, "by_name": {"a": {"parts": [], "pair": [2, "b"]}},
            "kind": {"kind": "Plain", "n": 3}, "secret": null
        })),
        key: Some("part".to_owned()),
        is_produced: true,
        groups: groups
            .iter()
            .map(|name| Group {
                name: (*name).to_owned(),
                consumer: "handle".to_owned(),
            })
            .collect(),
    }
}

fn of(config: &Value) -> Value {
    let server = Server::of("shop", &ProviderConfig::from_value(config).unwrap());
    let info = Info {
        title: "the-shop".to_owned(),
        version: "1.0.0".to_owned(),
        description: "Environment `prd`.".to_owned(),
    };
    let channels = [
        channel("shop:paid", 1, &["billing", "stock"]),
        channel("shop:paid", 2, &[]),
    ];
    document(&info, &[server], &channels)
}

#[test]
fn each_kind_of_broker_is_described_without_its_secrets() {
    for (kind, config) in configs() {
        let document = of(&config);
        let text = document.to_string();
        assert!(!text.contains("hush") && !text.contains("AKIA"), "{kind}: {text}");
        assert!(
            references_of(&document)
                .iter()
                .all(|to| document.pointer(&to[1..]).is_some()),
            "{kind}: {text}"
        );
        assert_eq!(
            document["channels"]["shop.paid.v2"]["address"], "shop.paid.v2",
            "{kind}"
        );
        assert_eq!(document["operations"].as_object().unwrap().len(), 4, "{kind}");
        if let Some(folder) = std::env::var_os(FOLDER) {
            let file = std::path::Path::new(&folder).join(format!("{kind}.json"));
            std::fs::write(file, serde_json::to_string_pretty(&document).unwrap()).unwrap();
        }
    }
}

#[test]
fn servers_are_what_the_configuration_says() {
    let expected = [
        (
            "kafka",
            "kafka-secure",
            "a.example:9093,b.example:9093",
            None,
            Some("scramSha512"),
        ),
        (
            "rabbitmq",
            "amqps",
            "a.example",
            Some("/vhost"),
            Some("userPassword"),
        ),
        ("redis", "rediss", "a.example:6379", None, Some("userPassword")),
        (
            "sqs",
            "sqs",
            "sqs.eu-west-1.amazonaws.com",
            None,
            Some("userPassword"),
        ),
        (
            "pubsub",
            "googlepubsub",
            "pubsub.googleapis.com",
            Some("/projects/shop-123"),
            Some("oauth2"),
        ),
        ("nats", "tls", "a.example:4222", None, Some("apiKey")),
        ("embedded", "embedded", "in the process", None, None),
    ];
    for ((kind, config), (of_kind, protocol, host, pathname, security)) in configs().into_iter().zip(expected)
    {
        assert_eq!(kind, of_kind);
        let document = of(&config);
        let server = &document["servers"]["shop"];
        let scheme = &document["components"]["securitySchemes"]["shop"]["type"];
        assert_eq!(
            (
                server["protocol"].as_str(),
                server["host"].as_str(),
                server["pathname"].as_str(),
                scheme.as_str()
            ),
            (Some(protocol), Some(host), pathname, security),
            "{kind}"
        );
    }
}

/// All references of a document.
fn references_of(value: &Value) -> Vec<String> {
    match value {
        Value::Object(entries) => entries
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(to) if name == "$ref" => vec![to.to_owned()],
                _ => references_of(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references_of).collect(),
        _ => Vec::new(),
    }
}
