//! Questions, and that their answers fit together.

use ductape_store::Store;
use ductape_store::tracking::{Message, MessageFilter, MessageStatus, Outcome, Record};

use super::{
    all, assert_numbers_hold, at, attempted, dead, failed, ids, messages, produce, produced, retrying, topic,
    write,
};
use crate::support::places;

/// 300 messages over five hours, of two topics and two producers, in all states.
pub(super) async fn many(store: &Store) {
    let mut records = Vec::new();
    for number in 0..300_u64 {
        let (id, seconds) = (format!("m{number:03}"), number * 61);
        let mut one = produced(
            &id,
            seconds,
            if number % 7 == 0 {
                &["billing", "mail"]
            } else {
                &["billing"]
            },
        );
        one.topic = topic(if number % 5 == 0 {
            "order-paid"
        } else {
            "order-created"
        });
        one.producer_tag = if number % 3 == 0 {
            "checkout".into()
        } else {
            "import".into()
        };
        let mut tried = attempted(
            &id,
            seconds,
            "billing",
            1,
            match number % 10 {
                0 => failed("no"),
                1 => retrying("slow"),
                2 => dead("never"),
                _ => Outcome::Success,
            },
        );
        tried.topic = std::sync::Arc::clone(&one.topic);
        records.push(Record::Produced(Box::new(one)));
        if number % 10 != 3 {
            records.push(Record::Attempted(Box::new(tried)));
        }
    }
    write(store, &records).await;
}

/// All pages of a list, one after the other.
async fn pages(store: &Store, filter: &MessageFilter, with_snapshot: bool) -> Vec<Message> {
    let mut filter = filter.clone();
    let mut all = Vec::new();
    loop {
        let page = messages(store, &filter).await;
        assert!(page.messages.len() <= filter.limit as usize);
        let until = all.len() + page.messages.len();
        assert_eq!(
            page.has_more,
            (until as u64) < page.total,
            "{store}: {filter:?}: {until}"
        );
        all.extend(page.messages);
        if !page.has_more {
            return all;
        }
        filter.page += 1;
        filter.snapshot = with_snapshot.then_some(page.snapshot);
    }
}

#[tokio::test]
async fn every_filter_answers_what_looking_at_all_messages_does() {
    for place in places().await {
        let store = place.open().await;
        many(&store).await;
        let everything = pages(&store, &all(), false).await;
        assert_eq!(everything.len(), 300);
        let text = |text: Option<&str>| text.map(str::to_owned);
        let mut asked = 0;
        for topic_tag in [None, Some("order-paid")] {
            for producer_tag in [None, Some("import")] {
                for consumer_tag in [None, Some("billing"), Some("mail")] {
                    for status in [None, Some(0), Some(1), Some(2), Some(3)] {
                        for (start, end) in [(None, None), (Some(1000), Some(9000)), (Some(100), Some(200))] {
                            let filter = MessageFilter {
                                topic_tag: text(topic_tag),
                                producer_tag: text(producer_tag),
                                consumer_tag: text(consumer_tag),
                                status: status.map(|status| MessageStatus::ALL[status]),
                                start_date: start.map(at),
                                end_date: end.map(at),
                                limit: 43,
                                ..all()
                            };
                            let fits = |one: &&Message| {
                                let deliveries = &one.consumer_deliveries;
                                let had = |tag: &str| {
                                    deliveries
                                        .iter()
                                        .any(|one| one.consumer_tag == tag && one.error.is_some())
                                        || deliveries.iter().any(|one| {
                                            one.consumer_tag == tag && one.processing_time.is_some()
                                        })
                                };
                                topic_tag.is_none_or(|tag| one.topic_tag == tag)
                                    && producer_tag.is_none_or(|tag| one.producer_tag == tag)
                                    && consumer_tag.is_none_or(had)
                                    && filter.status.is_none_or(|status| one.status == status)
                                    && filter.start_date.is_none_or(|start| one.produced_at >= start)
                                    && filter.end_date.is_none_or(|end| one.produced_at < end)
                            };
                            let expected: Vec<_> = everything
                                .iter()
                                .filter(fits)
                                .map(|one| &one.message_id)
                                .collect();
                            for with_snapshot in [false, true] {
                                let found = pages(&store, &filter, with_snapshot).await;
                                let found: Vec<_> = found.iter().map(|one| &one.message_id).collect();
                                assert_eq!(found, expected, "{store}: {filter:?}");
                            }
                            asked += expected.len();
                        }
                    }
                }
            }
        }
        assert!(asked > 1_000, "{asked}: the filters must find something");
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn pages_stay_right_while_messages_are_recorded() {
    for place in places().await {
        let store = place.open().await;
        many(&store).await;
        let before: Vec<_> = pages(&store, &all(), false)
            .await
            .into_iter()
            .map(|one| one.message_id)
            .collect();
        for filter in [
            all(),
            MessageFilter {
                topic_tag: Some("order-created".to_owned()),
                ..all()
            },
        ] {
            let wanted: Vec<_> = pages(&store, &filter, false).await;
            let mut filter = MessageFilter { limit: 40, ..filter };
            let first = messages(&store, &filter).await;
            filter.snapshot = Some(first.snapshot.clone());
            let mut found = first.messages;
            for page in 2.. {
                // Newer ones, older ones, and some in the midst.
                for seconds in [99_999, 0, 9_000, 3_601] {
                    let id = format!("new-{page}-{seconds}-{}", filter.topic_tag.is_some());
                    write(&store, &[produce(&id, seconds, &["billing"])]).await;
                }
                filter.page = page;
                let next = messages(&store, &filter).await;
                assert_eq!(next.total, first.total, "{store}");
                found.extend(next.messages);
                // Every second page is found from the page before, the others from the first.
                if page % 2 == 0 {
                    filter.snapshot = Some(next.snapshot);
                } else {
                    filter.snapshot = Some(first.snapshot.clone());
                }
                if !next.has_more {
                    break;
                }
            }
            let ids = |messages: &[Message]| {
                messages
                    .iter()
                    .map(|one| one.message_id.clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(ids(&found), ids(&wanted), "{store}");
        }
        let now = pages(&store, &all(), true).await;
        assert!(now.len() > before.len());
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn the_newest_come_first_and_equal_times_have_an_order() {
    for place in places().await {
        let store = place.open().await;
        for id in ["a", "b", "c"] {
            write(&store, &[produce(id, 5, &[])]).await;
        }
        write(&store, &[produce("old", 1, &[])]).await;
        assert_eq!(ids(&messages(&store, &all()).await), ["c", "b", "a", "old"]);
        let mut filter = MessageFilter { limit: 1, ..all() };
        let mut found = Vec::new();
        for page in 1..=4 {
            filter.page = page;
            let page = messages(&store, &filter).await;
            found.push(page.messages[0].message_id.clone());
            filter.snapshot = Some(page.snapshot);
        }
        assert_eq!(found, ["c", "b", "a", "old"]);
    }
}
