//! A program's schemas against those that the registry holds.

use ductape_events::prelude::*;
use ductape_events::registry::{RegisteredTopic, TopicChange};
use ductape_events::store::Store;
use ductape_events::{BrokerError, DuctapeBuilder, ErrorCode};
use serde_json::json;

use crate::support::places;

mod first {
    use super::topic;

    #[topic("schemas:sold")]
    pub(super) struct Sold {
        pub(super) item: u32,
        pub(super) price: f64,
    }
}

mod wider {
    use super::topic;

    #[topic("schemas:sold")]
    pub(super) struct Sold {
        pub(super) item: u64,
        pub(super) note: Option<String>,
    }
}

mod broken {
    use super::topic;

    #[topic("schemas:sold")]
    pub(super) struct Sold {
        pub(super) item: String,
        pub(super) price: f64,
    }
}

mod free {
    use super::topic;

    #[topic("schemas:sold", compatibility = "none")]
    pub(super) struct Sold {
        pub(super) item: String,
    }
}

mod both_ways {
    use super::topic;

    #[topic("schemas:sold", compatibility = "full")]
    pub(super) struct Sold {
        pub(super) item: u64,
        pub(super) price: f64,
    }
}

mod second {
    use super::topic;

    #[topic("schemas:sold", version = 2)]
    pub(super) struct Sold {
        pub(super) item: String,
    }
}

fn program(store: &Store) -> DuctapeBuilder {
    Ductape::builder()
        .without_inventory()
        .without_config()
        .store(store.clone())
}

async fn started<T: Topic>(store: &Store) -> Result<(), BrokerError> {
    program(store).topic::<T>().build().await?.shutdown().await
}

async fn held(store: &Store) -> Vec<RegisteredTopic> {
    let ductape = program(store).build().await.unwrap();
    let held = ductape.messaging().topics().list("schemas").await.unwrap();
    ductape.shutdown().await.unwrap();
    held
}

#[tokio::test]
async fn a_schema_that_cannot_follow_is_refused_with_its_place_and_reason() {
    for place in places().await {
        let store = place.open().await;
        started::<first::Sold>(&store).await.unwrap();
        let error = started::<broken::Sold>(&store).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SchemaIncompatible);
        assert!(!error.is_temporary());
        for part in [
            "topic `schemas:sold`: its schema can't follow the one that is registered",
            "`$.item`: new consumers break on old messages: new consumers take a string here, and old messages may have an integer",
            "write `version = …`",
            "(or allow `schema-incompatible`)",
        ] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        assert_eq!(
            held(&store).await[0].schema,
            Some(first::Sold::schema()),
            "nothing was changed"
        );
        let error = started::<both_ways::Sold>(&store).await.unwrap_err();
        assert!(
            error.to_string().contains("old consumers break on new messages"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_schema_that_can_follow_takes_its_place() {
    for place in places().await {
        let store = place.open().await;
        started::<first::Sold>(&store).await.unwrap();
        started::<wider::Sold>(&store).await.unwrap();
        assert_eq!(held(&store).await[0].schema, Some(wider::Sold::schema()));
        // Once 64 bits are promised, 32 are too few.
        let error = started::<first::Sold>(&store).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SchemaIncompatible);
        started::<free::Sold>(&store).await.unwrap();
    }
}

#[tokio::test]
async fn two_versions_live_side_by_side() {
    for place in places().await {
        let store = place.open().await;
        started::<first::Sold>(&store).await.unwrap();
        started::<second::Sold>(&store).await.unwrap();
        let held = held(&store).await;
        let versions: Vec<u32> = held.iter().map(|topic| topic.version).collect();
        assert_eq!(versions, [1, 2]);
        assert_eq!(held[0].schema, Some(first::Sold::schema()));
        assert_eq!(held[1].schema, Some(second::Sold::schema()));
        started::<first::Sold>(&store).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_refused_can_be_allowed() {
    for place in places().await {
        let store = place.open().await;
        started::<first::Sold>(&store).await.unwrap();
        let builder = program(&store)
            .topic::<broken::Sold>()
            .allow("schema-incompatible");
        builder.build().await.unwrap().shutdown().await.unwrap();
        assert_eq!(held(&store).await[0].schema, Some(broken::Sold::schema()));
    }
}

#[tokio::test]
async fn what_a_call_says_of_a_schema_binds_nobody_and_what_else_it_says_frees_nobody() {
    for place in places().await {
        let store = place.open().await;
        started::<first::Sold>(&store).await.unwrap();
        let change = |change: TopicChange| async {
            let ductape = program(&store).build().await.unwrap();
            ductape
                .messaging()
                .topics()
                .update("schemas:sold", change)
                .await
                .unwrap();
            ductape.shutdown().await.unwrap();
        };
        change(TopicChange {
            description: Some("Sold.".to_owned()),
            ..TopicChange::default()
        })
        .await;
        let error = started::<broken::Sold>(&store).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SchemaIncompatible);
        change(TopicChange {
            schema: Some(
                json!({ "type": "object", "properties": { "item": { "type": ["integer", "boolean"] } } }),
            ),
            ..TopicChange::default()
        })
        .await;
        started::<first::Sold>(&store).await.unwrap();
        assert_eq!(held(&store).await[0].schema, Some(first::Sold::schema()));
    }
}

#[tokio::test]
async fn a_check_says_what_a_start_would_change_and_refuse_and_changes_nothing() {
    for place in places().await {
        let store = place.open().await;
        let ductape = program(&store).topic::<first::Sold>().build().await.unwrap();
        let report = ductape.check("dev").await;
        assert!(report.is_ok() && report.changes.is_empty(), "{report}");
        let name = Some("By hand".to_owned());
        let change = TopicChange {
            name,
            ..TopicChange::default()
        };
        let topics = ductape.messaging().topics();
        topics.update("schemas:sold", change).await.unwrap();
        let report = ductape.check("dev").await;
        assert_eq!(report.changes, ["topic `schemas:sold`: name changed"]);
        assert!(
            report
                .to_string()
                .contains("registry: topic `schemas:sold`: name changed"),
            "{report}"
        );
        assert_eq!(held(&store).await[0].name, "By hand", "and it was not done");
        started::<wider::Sold>(&store).await.unwrap();
        let report = ductape.check("dev").await;
        assert!(!report.is_ok() && report.changes.is_empty(), "{report}");
        assert_eq!(report.findings[0].code, ErrorCode::SchemaIncompatible);
        assert_eq!(held(&store).await[0].schema, Some(wider::Sold::schema()));
        ductape.shutdown().await.unwrap();
    }
}
