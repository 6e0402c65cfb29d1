//! Brokers, topics and consumers that are registered.

mod at_once;

use std::time::{Duration, SystemTime};

use ductape_schema::compatibility::Mode;
use ductape_store::registry::{
    BrokerChange, BrokerEntry, ConsumerEntry, EnvironmentEntry, Own, QueueUrl, SEEN_STEP, Secrets, Source,
    TopicChange, TopicEntry,
};
use ductape_store::{StoreErrorKind, StoreKeys};
use serde_json::{Value, json};

use crate::support::places;

const SHOP: &str = "shop";
/// What a name may hold that SQL, JSON and URLs give a meaning to.
const ODD: &str = "o'Brien \"; DROP TABLE ductape_topics; -- ${X} %_\\ \u{1}\n\u{1F980}é";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn keys(byte: u8) -> StoreKeys {
    use base64::Engine as _;
    StoreKeys::parse(&base64::engine::general_purpose::STANDARD.encode([byte; 32])).unwrap()
}

fn env(slug: &str, kind: &str, config: Value) -> EnvironmentEntry {
    EnvironmentEntry {
        slug: slug.to_owned(),
        kind: kind.to_owned(),
        config,
        secrets: Secrets::default(),
    }
}

fn with_secret(slug: &str, secret: &str) -> EnvironmentEntry {
    let mut env = env(slug, "REDIS", json!({ "host": "h", "password": "***" }));
    env.secrets.insert("/password".to_owned(), json!(secret));
    env
}

fn broker(tag: &str, source: Source, envs: Vec<EnvironmentEntry>) -> BrokerEntry {
    BrokerEntry {
        tag: tag.to_owned(),
        name: Some(format!("{tag}, for people")),
        description: None,
        envs,
        source,
    }
}

fn topic(broker: &str, topic: &str, source: Source) -> TopicEntry {
    TopicEntry {
        broker: broker.to_owned(),
        topic: topic.to_owned(),
        version: 1,
        says: TopicChange {
            sample: Some(json!({ "n": 1 })),
            ..TopicChange::default()
        },
        compatibility: Mode::Backward,
        source,
    }
}

fn consumer(broker: &str, topic: &str, tag: &str) -> ConsumerEntry {
    ConsumerEntry {
        env: "dev".to_owned(),
        broker: broker.to_owned(),
        topic: topic.to_owned(),
        version: 1,
        tag: tag.to_owned(),
        name: "handle".to_owned(),
        description: None,
    }
}

/// A program with some topics, each with a consumer.
fn program(topics: usize) -> Own {
    let name = |n: usize| format!("topic-{n}");
    Own {
        takes_incompatible: false,
        brokers: vec![broker(
            "orders",
            Source::Program,
            vec![env("dev", "EMBEDDED", json!({}))],
        )],
        topics: (0..topics)
            .map(|n| topic("orders", &name(n), Source::Program))
            .collect(),
        consumers: (0..topics)
            .map(|n| consumer("orders", &name(n), "billing"))
            .collect(),
    }
}

fn told(changes: &[ductape_store::registry::Changed]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_broker_is_created_listed_changed_and_deleted() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let created = registry
            .create_broker(
                SHOP,
                &broker(
                    "orders",
                    Source::Call,
                    vec![
                        env("prd", "KAFKA", json!({ "brokers": ["${HOST}:9092"] })),
                        env("dev", "EMBEDDED", json!({})),
                    ],
                ),
                at(0),
            )
            .await
            .unwrap();
        assert_eq!(created.name, "orders, for people");
        assert_eq!((created.created_at, created.updated_at), (at(0), at(0)));
        let slugs: Vec<&str> = created.envs.iter().map(|env| env.slug.as_str()).collect();
        assert_eq!(slugs, ["dev", "prd"]);
        assert_eq!(
            registry.brokers(SHOP).await.unwrap(),
            std::slice::from_ref(&created)
        );
        assert_eq!(registry.broker(SHOP, "orders").await.unwrap(), Some(created));
        assert_eq!(registry.broker("other", "orders").await.unwrap(), None);

        let again = registry
            .create_broker(SHOP, &broker("orders", Source::Call, Vec::new()), at(1))
            .await;
        let error = again.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Exists);
        assert!(
            error.to_string().contains("there is a broker `orders` already"),
            "{error}"
        );

        let change = BrokerChange {
            description: Some("All orders".to_owned()),
            envs: vec![
                env("prd", "NATS", json!({ "servers": "n" })),
                env("stg", "REDIS", json!({ "host": "h" })),
            ],
            without_envs: vec!["dev".to_owned()],
            ..BrokerChange::default()
        };
        let changed = registry
            .update_broker(SHOP, "orders", &change, at(2))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(changed.name, "orders, for people");
        assert_eq!(changed.description.as_deref(), Some("All orders"));
        let kinds: Vec<(&str, &str)> = changed
            .envs
            .iter()
            .map(|env| (env.slug.as_str(), env.kind.as_str()))
            .collect();
        assert_eq!(kinds, [("prd", "NATS"), ("stg", "REDIS")]);
        assert_eq!((changed.created_at, changed.updated_at), (at(0), at(2)));
        assert_eq!(
            registry
                .update_broker(SHOP, "nobody", &change, at(2))
                .await
                .unwrap(),
            None
        );

        let none_left = BrokerChange {
            without_envs: vec!["prd".to_owned(), "stg".to_owned()],
            ..BrokerChange::default()
        };
        let error = registry
            .update_broker(SHOP, "orders", &none_left, at(3))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no environment left"), "{error}");
        assert_eq!(
            registry.broker(SHOP, "orders").await.unwrap(),
            Some(changed),
            "rolled back"
        );

        assert!(registry.delete_broker(SHOP, "orders", at(0)).await.unwrap());
        assert!(!registry.delete_broker(SHOP, "orders", at(0)).await.unwrap());
        assert_eq!(registry.brokers(SHOP).await.unwrap(), []);
    }
}

#[tokio::test]
async fn secrets_are_sealed_and_never_shown() {
    for place in places().await {
        let store = place.open_with(keys(1)).await;
        let registry = store.registry();
        let entry = broker("orders", Source::Call, vec![with_secret("prd", "hunter2-CANARY")]);
        assert!(!format!("{entry:?}").contains("CANARY"));
        registry.create_broker(SHOP, &entry, at(0)).await.unwrap();
        let shown = registry.broker(SHOP, "orders").await.unwrap().unwrap();
        assert_eq!(shown.envs[0].config, json!({ "host": "h", "password": "***" }));
        let resolved = registry.resolve(SHOP, "orders", "prd").await.unwrap().unwrap();
        assert_eq!(resolved.config["password"], "hunter2-CANARY");
        assert!(
            resolved.missing.is_empty() && !format!("{resolved:?}").contains("CANARY"),
            "{resolved:?}"
        );
        assert!(registry.resolve(SHOP, "orders", "dev").await.unwrap().is_none());
        store.close().await;
        if let Some(file) = place.file() {
            for file in std::fs::read_dir(file.parent().unwrap()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(6).any(|part| part == b"CANARY"));
            }
        }
        // With another key it is listed, and does not open.
        let store = place.open_with(keys(2)).await;
        assert_eq!(store.registry().brokers(SHOP).await.unwrap(), [shown]);
        let error = store.registry().resolve(SHOP, "orders", "prd").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
        assert!(error.to_string().contains("a key that is not given"), "{error}");
    }
}

#[tokio::test]
async fn a_secret_without_a_key_is_refused_with_what_to_do() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let entry = broker("orders", Source::Call, vec![with_secret("prd", "hunter2-CANARY")]);
        let error = registry.create_broker(SHOP, &entry, at(0)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid);
        let text = error.to_string();
        for part in [
            "`password` of environment `prd`",
            "`${VARIABLE}`",
            "DUCTAPE_STORE_KEY",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("CANARY"), "{text}");
        assert_eq!(registry.brokers(SHOP).await.unwrap(), []);
        // A file's broker is registered without it, since the file has it.
        let own = Own {
            brokers: vec![broker(
                "orders",
                Source::File,
                vec![with_secret("prd", "hunter2-CANARY")],
            )],
            ..Own::default()
        };
        registry.sync(SHOP, &own, at(0)).await.unwrap();
        assert_eq!(told(&registry.sync(SHOP, &own, at(1)).await.unwrap()), [""; 0]);
        let resolved = registry.resolve(SHOP, "orders", "prd").await.unwrap().unwrap();
        assert_eq!(resolved.missing, ["/password"]);
        store.close().await;
        // And with it once there is a key, also when it changes.
        let store = place.open_with(keys(1)).await;
        let registry = store.registry();
        for secret in ["first", "second"] {
            let own = Own {
                brokers: vec![broker("orders", Source::File, vec![with_secret("prd", secret)])],
                ..Own::default()
            };
            let changed = told(&registry.sync(SHOP, &own, at(2)).await.unwrap());
            assert_eq!(changed, ["broker `orders`: environment `prd` changed"]);
            assert_eq!(told(&registry.sync(SHOP, &own, at(3)).await.unwrap()), [""; 0]);
            let resolved = registry.resolve(SHOP, "orders", "prd").await.unwrap().unwrap();
            assert_eq!(resolved.config["password"], secret);
        }
    }
}

#[tokio::test]
async fn a_topic_is_created_listed_and_changed() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let mut entry = topic("orders", "placed", Source::Call);
        let error = registry.create_topic(SHOP, &entry, at(0)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Missing);
        assert!(error.to_string().contains("no broker `orders`"), "{error}");
        let orders = broker("orders", Source::Call, vec![env("dev", "EMBEDDED", json!({}))]);
        registry.create_broker(SHOP, &orders, at(0)).await.unwrap();
        let created = registry.create_topic(SHOP, &entry, at(1)).await.unwrap();
        assert_eq!(
            (created.tag.as_str(), created.name.as_str()),
            ("orders:placed", "placed")
        );
        assert_eq!(created.sample, Some(json!({ "n": 1 })));
        let error = registry.create_topic(SHOP, &entry, at(1)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Exists);
        entry.version = 2;
        entry.says.queue_urls = Some(vec![QueueUrl {
            env_slug: "prd".to_owned(),
            url: "https://queue".to_owned(),
        }]);
        registry.create_topic(SHOP, &entry, at(2)).await.unwrap();
        let versions = |topics: Vec<ductape_store::registry::Topic>| -> Vec<u32> {
            topics.iter().map(|topic| topic.version).collect()
        };
        assert_eq!(
            versions(registry.topics(SHOP, Some("orders")).await.unwrap()),
            [1, 2]
        );
        assert_eq!(
            versions(registry.topics(SHOP, Some("other")).await.unwrap()),
            [0; 0]
        );
        let change = TopicChange {
            description: Some("An order was placed".to_owned()),
            sample: Some(json!({ "n": 2 })),
            ..TopicChange::default()
        };
        let newest = ("orders", "placed", None);
        let changed = registry
            .update_topic(SHOP, newest, &change, at(3))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((changed.version, changed.updated_at), (2, at(3)));
        assert_eq!(changed.queue_urls[0].url, "https://queue");
        assert_eq!(
            registry.topic(SHOP, "orders", "placed", None).await.unwrap(),
            Some(changed)
        );
        assert_eq!(
            registry.topic(SHOP, "orders", "placed", Some(1)).await.unwrap(),
            Some(created)
        );
        assert_eq!(registry.topic(SHOP, "orders", "lost", None).await.unwrap(), None);
        let lost = registry
            .update_topic(SHOP, ("orders", "placed", Some(9)), &change, at(3))
            .await;
        assert_eq!(lost.unwrap(), None);
    }
}

#[tokio::test]
async fn a_sync_says_what_it_changed_and_is_idempotent() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let mut own = program(2);
        let changed = told(&registry.sync(SHOP, &own, at(0)).await.unwrap());
        assert_eq!(
            changed,
            [
                "broker `orders`: added",
                "topic `orders:topic-0`: added",
                "topic `orders:topic-1`: added",
                "consumer `billing` of orders:topic-0 in environment `dev`: added",
                "consumer `billing` of orders:topic-1 in environment `dev`: added",
            ]
        );
        assert_eq!(told(&registry.sync(SHOP, &own, at(1)).await.unwrap()), [""; 0]);
        own.topics[1].says.sample = Some(json!({ "n": 2 }));
        own.topics[1].says.description = Some("New".to_owned());
        let changed = told(&registry.sync(SHOP, &own, at(2)).await.unwrap());
        assert_eq!(changed, ["topic `orders:topic-1`: description, sample changed"]);
        let topics = registry.topics(SHOP, None).await.unwrap();
        assert_eq!(topics[1].sample, Some(json!({ "n": 2 })));
        assert_eq!((topics[0].updated_at, topics[1].updated_at), (at(0), at(2)));
        // What a call says of a program's topic holds until the program starts again, as far as the program says anything.
        let change = TopicChange {
            name: Some("By hand".to_owned()),
            description: Some("By hand".to_owned()),
            ..TopicChange::default()
        };
        let place = ("orders", "topic-1", None);
        registry.update_topic(SHOP, place, &change, at(3)).await.unwrap();
        let changed = told(&registry.sync(SHOP, &own, at(4)).await.unwrap());
        assert_eq!(changed, ["topic `orders:topic-1`: description changed"]);
        let topic = registry
            .topic(SHOP, "orders", "topic-1", None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (topic.name.as_str(), topic.description.as_deref()),
            ("By hand", Some("New"))
        );
    }
}

#[tokio::test]
async fn the_file_wins_over_calls_and_calls_over_what_programs_imply() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let own = program(1);
        registry.sync(SHOP, &own, at(0)).await.unwrap();
        // A broker that is only implied does not stand in the way of one that is created.
        let created = broker(
            "orders",
            Source::Call,
            vec![env("prd", "REDIS", json!({ "host": "h" }))],
        );
        let created = registry.create_broker(SHOP, &created, at(1)).await.unwrap();
        assert_eq!((created.source, created.envs.len()), (Source::Call, 1));
        assert_eq!(told(&registry.sync(SHOP, &own, at(2)).await.unwrap()), [""; 0]);
        assert_eq!(registry.broker(SHOP, "orders").await.unwrap(), Some(created));
        let file = broker(
            "orders",
            Source::File,
            vec![env("prd", "NATS", json!({ "servers": "n" }))],
        );
        let own = Own {
            brokers: vec![file],
            ..own
        };
        let changed = registry.sync(SHOP, &own, at(3)).await.unwrap();
        assert_eq!(told(&changed), ["broker `orders`: environment `prd` changed"]);
        assert_eq!(
            (changed[0].was, changed[0].is),
            (Some(Source::Call), Source::File)
        );
        let now = registry.broker(SHOP, "orders").await.unwrap().unwrap();
        assert_eq!((now.source, now.envs[0].kind.as_str()), (Source::File, "NATS"));
        let error = registry
            .create_broker(SHOP, &broker("orders", Source::Call, Vec::new()), at(4))
            .await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("configuration file names it")
        );
    }
}

#[tokio::test]
async fn the_groups_of_a_topic_are_known_and_keep_its_broker() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let own = program(1);
        registry.sync(SHOP, &own, at(0)).await.unwrap();
        let groups = async |since| {
            registry
                .consumers(SHOP, "dev", Some(("orders", "topic-0")), since)
                .await
                .unwrap()
        };
        let found = groups(at(0)).await;
        assert_eq!(
            (found[0].tag.as_str(), found[0].event.as_str()),
            ("billing", "orders:topic-0")
        );
        assert_eq!(found[0].last_seen, at(0));
        assert!(
            registry
                .consumers(SHOP, "prd", None, at(0))
                .await
                .unwrap()
                .is_empty()
        );
        // A later start renews the mark, at most once an hour.
        let later = at(0) + SEEN_STEP;
        registry
            .sync(SHOP, &own, later - Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(groups(at(0)).await[0].last_seen, at(0));
        assert!(registry.sync(SHOP, &own, later).await.unwrap().is_empty());
        let found = groups(later).await;
        assert_eq!((found[0].created_at, found[0].last_seen), (at(0), later));
        let error = registry.delete_broker(SHOP, "orders", later).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid);
        assert!(
            error
                .to_string()
                .contains("`orders:topic-0` in group `billing` of environment `dev`"),
            "{error}"
        );
        assert!(
            registry
                .delete_broker(SHOP, "orders", later + SEEN_STEP)
                .await
                .unwrap()
        );
        assert!(registry.topics(SHOP, None).await.unwrap().is_empty());
        assert!(groups(at(0)).await.is_empty());
    }
}

#[tokio::test]
async fn names_are_kept_whatever_they_hold() {
    for place in places().await {
        let store = place.open().await;
        let registry = store.registry();
        let mut odd = broker(ODD, Source::Call, vec![env(ODD, ODD, json!({ ODD: [ODD] }))]);
        odd.description = Some(ODD.to_owned());
        registry.create_broker(ODD, &odd, at(0)).await.unwrap();
        let found = registry.broker(ODD, ODD).await.unwrap().unwrap();
        assert_eq!(found.description.as_deref(), Some(ODD));
        assert_eq!(found.envs[0].config, json!({ ODD: [ODD] }));
        let mut entry = topic(ODD, ODD, Source::Call);
        entry.says.sample = Some(json!({ ODD: "\0" }));
        entry.says.name = Some("a\0b".to_owned());
        let created = registry.create_topic(ODD, &entry, at(0)).await.unwrap();
        assert_eq!(
            registry.topic(ODD, ODD, ODD, None).await.unwrap(),
            Some(created.clone())
        );
        assert_eq!(created.sample, Some(json!({ ODD: "\0" })));
        assert_eq!(created.name, "a\u{fffd}b");
        // Postgres takes no NUL; what holds one is kept, and found, with a mark in its place.
        let nul = broker("n\0l", Source::Call, vec![env("d\0v", "EMBEDDED", json!({}))]);
        registry.create_broker("p\0", &nul, at(0)).await.unwrap();
        assert!(registry.broker("p\0", "n\0l").await.unwrap().is_some());
        assert!(registry.resolve("p\0", "n\0l", "d\0v").await.unwrap().is_some());
        let own = Own {
            takes_incompatible: false,
            brokers: vec![nul],
            topics: vec![topic("n\0l", "t\0", Source::Program)],
            consumers: vec![consumer("n\0l", "t\0", "g\0")],
        };
        registry.sync("p\0", &own, at(1)).await.unwrap();
        assert_eq!(told(&registry.sync("p\0", &own, at(2)).await.unwrap()), [""; 0]);
    }
}
