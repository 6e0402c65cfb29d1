//! Brokers of the registry, and the programs that use them.

use ductape_events::prelude::*;
use ductape_events::registry::{BrokerChange, BrokerEnv, BrokerType, NewBroker, Source};
use ductape_events::store::{Store, StoreKeys};
use ductape_events::{DuctapeBuilder, ErrorCode};
use serde_json::{Value, json};

use crate::support::{places, sqlite};
use crate::{Paid, bill};

const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

fn bare(store: &Store) -> DuctapeBuilder {
    Ductape::builder()
        .without_inventory()
        .without_config()
        .store(store.clone())
}

fn broker(tag: &str, envs: Vec<BrokerEnv>) -> NewBroker {
    NewBroker {
        tag: tag.to_owned(),
        name: "Shop".to_owned(),
        envs,
        ..NewBroker::default()
    }
}

fn env(slug: &str, kind: BrokerType, config: Value) -> BrokerEnv {
    BrokerEnv::new(slug, kind, config)
}

fn embedded(slug: &str) -> BrokerEnv {
    env(slug, BrokerType::Embedded, json!({}))
}

#[tokio::test]
async fn all_that_is_wrong_with_a_broker_is_said_at_once() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = bare(&store).build().await.unwrap();
    let wrong = NewBroker {
        tag: "Order Events".to_owned(),
        name: " ".to_owned(),
        envs: vec![
            env(
                "prd",
                BrokerType::Redis,
                json!({ "host": "h", "port": 70000, "pasword": "hunter2-CANARY" }),
            ),
            env(
                "prd",
                BrokerType::Kafka,
                json!({ "brokers": ["${KAFKA_NOT_SET}:9092"], "clientId": "${" }),
            ),
            env("dev", BrokerType::Nats, json!("nats://u:hunter2-CANARY@h")),
        ],
        ..NewBroker::default()
    };
    assert!(
        !format!(
            "{:?}",
            env("x", BrokerType::Redis, json!({ "password": "hunter2-CANARY" }))
        )
        .contains("CANARY")
    );
    let error = ductape.messaging().create(wrong).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{text}");
    assert_eq!(error.findings().len(), 7, "{text}");
    for part in [
        "broker `Order Events` was not created: tag: `Order Events` is none",
        "name: is empty",
        "envs.prd.config.port: 70000 is not a port; write 1 to 65535",
        "envs.prd.config.pasword: is not a key of REDIS; did you mean `password`?",
        "envs.prd: is there twice",
        "envs.prd.config.clientId: has a `${` without `}`",
        "envs.dev.config: is a text; write an object",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("CANARY"), "{text}");
    let none = ductape
        .messaging()
        .create(broker("shop", Vec::new()))
        .await
        .unwrap_err();
    assert!(none.to_string().contains("at least one environment"), "{none}");
}

#[tokio::test]
async fn brokers_are_created_listed_fetched_changed_and_deleted() {
    for place in places().await {
        let store = place.open().await;
        let ductape = bare(&store).build().await.unwrap();
        let messaging = ductape.messaging();
        messaging
            .create(broker("shop", vec![embedded("dev")]))
            .await
            .unwrap();
        let error = messaging
            .create(broker("shop", vec![embedded("dev")]))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::AlreadyExists, "{error}");
        let json = serde_json::to_value(messaging.list().await.unwrap()).unwrap();
        assert_eq!(
            json[0]["envs"],
            json!([{ "slug": "dev", "type": "EMBEDDED", "config": {} }])
        );
        assert!(json[0]["createdAt"].as_str().unwrap().ends_with('Z'), "{json}");
        let change = BrokerChange {
            description: Some("All of it".to_owned()),
            envs: vec![embedded("prd")],
            ..BrokerChange::default()
        };
        let changed = messaging.update("shop", change.clone()).await.unwrap();
        assert_eq!(
            (changed.envs.len(), changed.description.as_deref()),
            (2, Some("All of it"))
        );
        for error in [
            messaging.update("shopp", change).await.unwrap_err(),
            messaging.delete("shopp").await.unwrap_err(),
            messaging.topics().list("shopp").await.unwrap_err(),
        ] {
            assert_eq!(error.code(), ErrorCode::BrokerNotFound, "{error}");
            assert!(error.to_string().contains("did you mean `shop`?"), "{error}");
        }
        assert_eq!(messaging.fetch("shopp").await.unwrap(), None);
        assert_eq!(messaging.of_product("other").list().await.unwrap(), []);
        messaging.delete("shop").await.unwrap();
        assert_eq!(messaging.list().await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_broker_that_only_the_registry_names_is_used() {
    for place in places().await {
        let store = place.open().await;
        let folder = sqlite();
        let path = folder.file().unwrap();
        let file = env(
            "stg",
            BrokerType::Embedded,
            json!({ "mode": "durable", "path": path }),
        );
        let ductape = bare(&store).build().await.unwrap();
        ductape
            .messaging()
            .create(broker("shop", vec![file]))
            .await
            .unwrap();
        let shop = bare(&store)
            .consumer::<bill>()
            .environment("stg")
            .build()
            .await
            .unwrap();
        Paid { order: "1".into() }.produce(&shop).await.unwrap();
        assert!(path.exists(), "the registry's file");
        let found = ductape.messaging().fetch("shop").await.unwrap().unwrap();
        assert_eq!(
            (found.source, found.envs.len()),
            (Source::Call, 1),
            "left as it was"
        );
        let report = shop.check("prd").await;
        assert!(
            report.to_string().contains("has no environment `prd`"),
            "{report}"
        );
        shop.shutdown().await.unwrap();

        let error = bare(&store)
            .consumer::<bill>()
            .environment("prd")
            .build()
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::BrokerEnvNotFound, "{error}");
        for part in [
            "broker `shop` of the registry has no environment `prd`",
            "known environments of this broker: stg",
            "topic `shop:paid`",
        ] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        // Also beside a file that names other brokers.
        let other = "[brokers.other.environments.stg]\ntype = 'EMBEDDED'\n";
        let builder = bare(&store)
            .config_text(other)
            .consumer::<bill>()
            .environment("stg");
        builder.build().await.unwrap().shutdown().await.unwrap();
        let builder = bare(&store)
            .config_text(other)
            .consumer::<bill>()
            .environment("stg");
        let error = builder.product("elsewhere").build().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BrokerNotFound, "{error}");
        ductape.messaging().delete("shop").await.unwrap_err();
    }
}

#[tokio::test]
async fn what_the_registry_says_of_a_broker_may_not_be_usable_here() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = bare(&store).build().await.unwrap();
    let redis = json!({ "host": "localhost", "password": "${PASSWORD_NOT_SET}" });
    ductape
        .messaging()
        .create(broker("shop", vec![env("dev", BrokerType::Redis, redis)]))
        .await
        .unwrap();
    let error = bare(&store).consumer::<bill>().build().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{error}");
    assert!(
        error
            .to_string()
            .contains("password: the variable `PASSWORD_NOT_SET` is not set"),
        "{error}"
    );
    // One that a program with a file, and without a key, has a secret of.
    let file =
        "[brokers.shop.environments.dev]\ntype = 'REDIS'\nhost = 'localhost'\npassword = 'hunter2-CANARY'\n";
    let with_file = bare(&store)
        .config_text(file)
        .consumer::<bill>()
        .in_process()
        .build()
        .await
        .unwrap();
    with_file.shutdown().await.unwrap();
    let error = bare(&store).consumer::<bill>().build().await.unwrap_err();
    assert!(
        error.to_string().contains("the secret `password` was not kept"),
        "{error}"
    );
    assert!(!error.to_string().contains("CANARY"), "{error}");
}

#[tokio::test]
async fn the_file_wins() {
    for place in places().await {
        let store = place.open().await;
        let ductape = bare(&store).build().await.unwrap();
        let envs = vec![
            env("dev", BrokerType::Redis, json!({ "host": "nowhere" })),
            embedded("stg"),
        ];
        ductape.messaging().create(broker("shop", envs)).await.unwrap();
        let file = "[brokers.shop]\ndescription = 'Of the file'\n[brokers.shop.environments.dev]\ntype = 'EMBEDDED'\n\
                    [brokers.shop.environments.prd]\ntype = 'KAFKA'\nconfig = { brokers = ['${HOST}:9092'], clientId = 'c' }\n\
                    [brokers.shop.topics.sold]\ndescription = 'Sold out'\n";
        let builder = || bare(&store).config_text(file).consumer::<bill>();
        let shop = builder().build().await.unwrap();
        Paid { order: "1".into() }.produce(&shop).await.unwrap();
        let found = shop.messaging().fetch("shop").await.unwrap().unwrap();
        assert_eq!((found.source, found.name.as_str()), (Source::File, "Shop"));
        assert_eq!(found.description.as_deref(), Some("Of the file"));
        let envs = serde_json::to_value(&found.envs).unwrap();
        assert_eq!(
            envs,
            json!([
                { "slug": "dev", "type": "EMBEDDED", "config": {} },
                { "slug": "prd", "type": "KAFKA", "config": { "brokers": ["${HOST}:9092"], "clientId": "c" } },
                { "slug": "stg", "type": "EMBEDDED", "config": {} },
            ])
        );
        let topics = shop.messaging().topics();
        let sold = topics.fetch("shop:sold").await.unwrap().unwrap();
        assert_eq!(
            (sold.source, sold.description.as_deref()),
            (Source::File, Some("Sold out"))
        );
        let paid = topics.fetch("shop:paid").await.unwrap().unwrap();
        assert_eq!(
            (paid.name.as_str(), paid.description.as_deref()),
            ("Paid", Some("Someone paid."))
        );
        assert_eq!(
            (paid.sample, paid.schema),
            (Some(Paid::sample()), Some(Paid::schema()))
        );
        let error = shop.messaging().delete("shop").await.unwrap_err();
        assert!(
            error.to_string().contains("this program has topics of it"),
            "{error}"
        );
        // An environment that the registry alone has is not one of a broker that the file names.
        let error = builder().environment("stg").build().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BrokerEnvNotFound, "{error}");
    }
}

#[tokio::test]
async fn secrets_go_round_without_being_shown() {
    for place in places().await {
        let keyless = place.open().await;
        let amqp = json!({ "url": "amqps://u:hunter2-CANARY@mq/shop" });
        let entry = || broker("shop", vec![env("prd", BrokerType::RabbitMq, amqp.clone())]);
        let error = bare(&keyless)
            .build()
            .await
            .unwrap()
            .messaging()
            .create(entry())
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{error}");
        assert!(
            error.to_string().contains("DUCTAPE_STORE_KEY") && !error.to_string().contains("CANARY"),
            "{error}"
        );
        keyless.close().await;

        let store = place.open_with(StoreKeys::parse(KEY).unwrap()).await;
        let ductape = bare(&store).build().await.unwrap();
        let messaging = ductape.messaging();
        let created = messaging.create(entry()).await.unwrap();
        assert_eq!(created.envs[0].config, json!({ "url": "amqps://u:***@mq/shop" }));
        assert!(!format!("{:?}", messaging.list().await.unwrap()).contains("CANARY"));
        // What was fetched can be given back.
        let mut config = created.envs[0].config.clone();
        config["queue"] = json!("orders");
        let change = |config: &Value| BrokerChange {
            envs: vec![env("prd", BrokerType::RabbitMq, config.clone())],
            ..BrokerChange::default()
        };
        messaging.update("shop", change(&config)).await.unwrap();
        let kept = store
            .registry()
            .resolve("app", "shop", "prd")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            kept.config,
            json!({ "url": "amqps://u:hunter2-CANARY@mq/shop", "queue": "orders" })
        );
        // But a secret does not move to another host.
        config["url"] = json!("amqps://u:***@elsewhere/shop");
        let error = messaging.update("shop", change(&config)).await.unwrap_err();
        assert!(
            error.to_string().contains("envs.prd.config.url: is hidden"),
            "{error}"
        );
    }
}
