//! Producers, consumers, events and the dashboard.

use ductape_store::tracking::{
    ActivityStatus, ConsumerFilter, EventCategory, EventFilter, EventStatus, Outcome, ProducerFilter,
};

use super::query::many;
use super::{at, attempt, broker, failed, produce, retrying, write};
use crate::support::places;

#[tokio::test]
async fn producers_and_consumers_are_listed_with_their_numbers() {
    for place in places().await {
        let store = place.open().await;
        many(&store).await;
        let filter = ProducerFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            ..ProducerFilter::default()
        };
        let page = store.tracking().producers(&filter, at(300 * 61)).await.unwrap();
        assert_eq!(page.total, 4, "two producers, two topics");
        assert_eq!(
            page.producers.iter().map(|one| one.message_count).sum::<u64>(),
            300
        );
        let one = page
            .producers
            .iter()
            .find(|one| (one.tag.as_str(), one.topic.as_str()) == ("import", "order-created"));
        let one = one.unwrap();
        assert_eq!(
            one.message_count,
            one.success_count + one.failed_count + one.pending_count
        );
        assert_eq!(one.last_activity, Some(at(299 * 61)));
        assert_eq!(one.created_at, at(100));
        assert_eq!(one.status, ActivityStatus::Active);
        let late = store
            .tracking()
            .producers(&filter, at(300 * 61 + 7200))
            .await
            .unwrap();
        assert!(
            late.producers
                .iter()
                .all(|one| one.status != ActivityStatus::Active)
        );
        let filter = ProducerFilter {
            topic_tag: Some("order-paid".to_owned()),
            limit: 1,
            ..filter
        };
        let page = store.tracking().producers(&filter, at(0)).await.unwrap();
        assert_eq!((page.total, page.producers.len(), page.has_more), (2, 1, true));
        let filter = ConsumerFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            topic_tag: Some("order-created".to_owned()),
            ..ConsumerFilter::default()
        };
        let page = store.tracking().consumers(&filter, at(0)).await.unwrap();
        let billing = page.consumers.iter().find(|one| one.tag == "billing").unwrap();
        assert_eq!(billing.message_count, 240);
        assert_eq!(billing.avg_processing_time, std::time::Duration::from_millis(10));
        let mail = page.consumers.iter().find(|one| one.tag == "mail").unwrap();
        assert_eq!(
            (mail.success_count, mail.pending_count, mail.message_count),
            (0, 34, 34)
        );
        assert_eq!(mail.last_activity, None);
        let json = serde_json::to_value(billing).unwrap();
        assert_eq!(json["avgProcessingTime"], 10.0);
        assert_eq!(
            json["lastActivity"].as_str().unwrap().len(),
            "2025-11-25T17:04:00.01Z".len()
        );
    }
}

#[tokio::test]
async fn a_consumer_whose_last_has_failed_is_in_error() {
    for place in places().await {
        let store = place.open().await;
        write(
            &store,
            &[
                attempt("a", 0, "billing", 1, Outcome::Success),
                attempt("b", 1, "billing", 1, failed("no")),
            ],
        )
        .await;
        let filter = ConsumerFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            ..ConsumerFilter::default()
        };
        let status = async || {
            store
                .tracking()
                .consumers(&filter, at(10))
                .await
                .unwrap()
                .consumers[0]
                .status
        };
        assert_eq!(status().await, ActivityStatus::Error);
        write(&store, &[attempt("c", 2, "billing", 1, Outcome::Success)]).await;
        assert_eq!(status().await, ActivityStatus::Active);
    }
}

#[tokio::test]
async fn the_dashboard_shows_thirty_days() {
    for place in places().await {
        let store = place.open().await;
        many(&store).await;
        write(&store, &[produce("soon", 3600 * 24, &[])]).await;
        let dashboard = store
            .tracking()
            .dashboard(&broker(), at(3600 * 24))
            .await
            .unwrap();
        assert_eq!(dashboard.stats.total, 301);
        assert_eq!(dashboard.recent_messages.len(), 10);
        assert_eq!(dashboard.recent_messages[0].message_id, "soon");
        assert_eq!(dashboard.daily_activity.len(), 30);
        let [.., day, next] = dashboard.daily_activity.as_slice() else {
            panic!();
        };
        assert_eq!(
            (day.date.as_str(), next.date.as_str()),
            ("2025-11-25", "2025-11-26")
        );
        assert_eq!(
            (day.published, day.consumed, day.failed, next.published),
            (300, 180, 60, 1)
        );
        assert_eq!(dashboard.daily_activity[0].date, "2025-10-28");
        assert_eq!(dashboard.hourly_distribution.len(), 24);
        let noon = &dashboard.hourly_distribution[12];
        assert_eq!(
            (noon.hour, noon.count),
            (12, 61),
            "60 of the first day, and one of the next"
        );
        assert_eq!(
            dashboard
                .hourly_distribution
                .iter()
                .map(|one| one.count)
                .sum::<u64>(),
            301
        );
        assert_eq!(dashboard.top_producers[0].tag, "import");
        assert_eq!(dashboard.top_consumers[0].tag, "billing");
        let json = serde_json::to_value(&dashboard).unwrap();
        assert_eq!(json["stats"]["avgProcessingTime"], 10.0);
        assert_eq!(json["dailyActivity"][29]["published"], 1);
    }
}

#[tokio::test]
async fn events_are_found_by_status_and_category() {
    for place in places().await {
        let store = place.open().await;
        many(&store).await;
        write(
            &store,
            &[
                attempt("m004", 4 * 61, "billing", 2, Outcome::Duplicate),
                attempt("unproduced", 9, "billing", 2, Outcome::Success),
                attempt("unproduced", 9, "billing", 1, retrying("slow")),
            ],
        )
        .await;
        let filter = EventFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            ..EventFilter::default()
        };
        let total = async |status, category| {
            let filter = EventFilter {
                status,
                category,
                ..filter.clone()
            };
            let page = store.tracking().events(&filter).await.unwrap();
            assert_eq!(
                page.events.len() as u64,
                page.total.min(20),
                "{store}: {filter:?}"
            );
            page.total
        };
        for (status, category, count) in [
            (None, None, 301),
            (None, Some(EventCategory::Message), 301),
            (None, Some(EventCategory::Producer), 300),
            (None, Some(EventCategory::Consumer), 271),
            (None, Some(EventCategory::DeadLetter), 30),
            (None, Some(EventCategory::Error), 91),
            (Some(EventStatus::Failed), None, 60),
            (Some(EventStatus::Retrying), None, 30),
            (Some(EventStatus::Duplicate), None, 1),
            (Some(EventStatus::Duplicate), Some(EventCategory::Consumer), 1),
            (Some(EventStatus::Duplicate), Some(EventCategory::Error), 0),
            (Some(EventStatus::Failed), Some(EventCategory::DeadLetter), 30),
            (Some(EventStatus::Success), Some(EventCategory::Error), 1),
            (Some(EventStatus::Success), Some(EventCategory::Producer), 154),
            (Some(EventStatus::Pending), Some(EventCategory::Consumer), 26),
        ] {
            assert_eq!(
                total(status, category).await,
                count,
                "{store}: {status:?} {category:?}"
            );
        }
        let stats = store.tracking().event_stats(&broker()).await.unwrap();
        assert_eq!(
            (stats.total_events, stats.failed_count, stats.dead_letter_count),
            (301, 60, 30)
        );
        assert_eq!(stats.events_by_topic[0].tag, "order-created");
        let event = store.tracking().event("shop", "m004").await.unwrap().unwrap();
        assert_eq!(event.status, EventStatus::Success);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["requestData"]["orderId"], "m004");
        assert_eq!(json["responseData"]["billing"]["done"], true);
        assert!(store.tracking().event("other", "m004").await.unwrap().is_none());
    }
}
