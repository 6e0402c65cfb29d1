//! Dead letters that operators look through, edit, put aside and send back.

use std::time::{Duration, Instant};

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::store::tracking::{
    BrokerFilter, DeadLetter, DeadLetterFilter, DeadLetterState, MessageStatus,
};
use ductape_events::tracking::ReprocessOptions;
use serde_json::json;

use crate::couriers::{OPEN, builder, dead_letters, given, given_up, order, taken};
use crate::messages;
use crate::support::places;

/// The dead letters, once there are so many.
pub(crate) async fn letters(ductape: &Ductape, count: usize) -> Vec<DeadLetter> {
    let began = Instant::now();
    loop {
        let page = ductape
            .messaging()
            .messages()
            .dead_letters(&dead_letters())
            .await
            .unwrap();
        if page.dead_letters.len() == count {
            return page.dead_letters;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:#?}",
            page.dead_letters
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn in_state(state: DeadLetterState) -> DeadLetterFilter {
    DeadLetterFilter {
        states: vec![state],
        ..dead_letters()
    }
}

pub(crate) fn with_ids(ids: &[&str]) -> DeadLetterFilter {
    DeadLetterFilter {
        ids: ids.iter().map(ToString::to_string).collect(),
        ..dead_letters()
    }
}

#[tokio::test]
async fn an_edit_takes_the_place_of_a_dead_letter_once() {
    for place in places().await {
        let store = place.open().await;
        let (old, new) = (order("misspelt"), order("spelt"));
        let (ductape, failed) = given_up(&store, std::slice::from_ref(&old)).await;
        let brokers = ductape.brokers();
        let letter = letters(&ductape, 1).await.remove(0);
        let misfit = brokers.edit_and_retry(&letter.id, &json!({"order": 7})).await;
        assert_eq!(misfit.unwrap_err().code(), ErrorCode::PayloadInvalid);
        assert_eq!(letters(&ductape, 1).await[0].state, DeadLetterState::Open);

        OPEN.lock().unwrap().insert(new.clone());
        let payload = |secret: &str| json!({"order": new, "secret": secret});
        let (one, other) = (payload("1"), payload("2"));
        let (one, other) = tokio::join!(
            brokers.edit_and_retry(&letter.id, &one),
            brokers.edit_and_retry(&letter.id, &other)
        );
        let (done, refused) = match (one, other) {
            (Ok(done), Err(refused)) | (Err(refused), Ok(done)) => (done, refused),
            both => panic!("of two, one does it: {both:?}"),
        };
        assert_eq!(refused.code(), ErrorCode::ReplayRefused, "{refused}");
        assert_eq!(done.message_id, failed[0].message_id);
        let all = messages(&ductape, |messages| {
            messages.len() == 2 && messages[0].status == MessageStatus::Success
        })
        .await;
        assert_eq!(all[0].message_id, done.new_event_id.to_string());
        assert_eq!(all[0].replay_of.as_ref(), Some(&done.message_id));
        assert_eq!(
            all[0].key.as_ref(),
            Some(&new),
            "the key is that of the new payload"
        );
        assert_eq!(taken(&new).len(), 1);
        assert_eq!((given("courier", &old), given("audit", &new)), (1, 0));

        let superseded = in_state(DeadLetterState::Superseded);
        let history = ductape.messaging().messages();
        let superseded = history.dead_letters(&superseded).await.unwrap().dead_letters;
        assert_eq!(superseded[0].superseded_by, Some(done.new_event_id.to_string()));
        let at_broker = ductape.dead_letters("shop:paid", "courier", 10).await.unwrap();
        assert!(at_broker.is_empty(), "the broker has it no more");
        let again = brokers
            .edit_and_retry(&letter.id, &payload("3"))
            .await
            .unwrap_err();
        assert_eq!(again.code(), ErrorCode::ReplayRefused);
        assert!(again.message().contains("took its place"), "{again}");
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_letter_that_is_none_or_another_environments_can_not_be_edited() {
    for place in places().await {
        let store = place.open().await;
        let order = order("elsewhere");
        let (ductape, _) = given_up(&store, std::slice::from_ref(&order)).await;
        let letter = letters(&ductape, 1).await.remove(0);
        let payload = json!({"order": order, "secret": ""});
        for odd in [
            "",
            "0",
            "-1",
            "99999",
            "99999999999999999999",
            "'; --",
            "\u{0}\u{7}",
            "none",
        ] {
            let error = ductape.brokers().edit_and_retry(odd, &payload).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::EventNotFound, "{odd:?}: {error}");
            for changed in [
                ductape.brokers().archive_dead_letters(&with_ids(&[odd])).await,
                ductape.brokers().restore_dead_letters(&with_ids(&[odd])).await,
            ] {
                assert_eq!(changed.unwrap(), 0, "{odd:?}");
            }
        }
        let elsewhere = builder(&store).environment("dev").build().await.unwrap();
        let error = elsewhere.brokers().edit_and_retry(&letter.id, &payload).await;
        assert_eq!(error.unwrap_err().code(), ErrorCode::EventNotFound);
        let theirs = DeadLetterFilter {
            env: "prd".to_owned(),
            ..dead_letters()
        };
        let error = elsewhere
            .brokers()
            .reprocess_dlq(&theirs, &ReprocessOptions::default())
            .await;
        assert_eq!(error.unwrap_err().code(), ErrorCode::ConfigInvalid);
        assert_eq!(given("courier", &order), 1);
        elsewhere.shutdown().await.unwrap();
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_put_aside_is_not_sent_back_until_it_is_restored() {
    for place in places().await {
        let store = place.open().await;
        let orders: Vec<String> = (0..5).map(|_| order("aside")).collect();
        let (ductape, _) = given_up(&store, &orders).await;
        let (brokers, history) = (ductape.brokers(), ductape.messaging().messages());
        let open = letters(&ductape, 5).await;
        let two: Vec<&str> = open[..2].iter().map(|letter| letter.id.as_str()).collect();
        assert_eq!(brokers.archive_dead_letters(&with_ids(&two)).await.unwrap(), 2);
        assert_eq!(brokers.archive_dead_letters(&with_ids(&two)).await.unwrap(), 0);
        let error = brokers
            .edit_and_retry(two[0], &json!({"order": "x", "secret": ""}))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::ReplayRefused);
        assert!(error.message().contains("put aside"), "{error}");
        let small = DeadLetterFilter {
            limit: 1,
            ..dead_letters()
        };
        assert_eq!(
            brokers.archive_dead_letters(&small).await.unwrap(),
            3,
            "step by step"
        );
        assert_eq!(letters(&ductape, 0).await.len(), 0);
        let broker = BrokerFilter {
            broker_tag: "shop".to_owned(),
            ..BrokerFilter::default()
        };
        assert!(history.dead_letter_groups(&broker).await.unwrap().is_empty());
        OPEN.lock().unwrap().extend(orders.iter().cloned());
        let all = ReprocessOptions::default();
        let none = brokers.reprocess_dlq(&dead_letters(), &all).await.unwrap();
        assert_eq!((none.reprocessed_count, none.failed_count), (0, 0));

        assert_eq!(brokers.restore_dead_letters(&small).await.unwrap(), 5);
        let groups = history.dead_letter_groups(&broker).await.unwrap();
        assert_eq!(groups.len(), 1, "{groups:?}");
        assert_eq!((groups[0].count, &*groups[0].consumer_tag), (5, "courier"));
        let alike = DeadLetterFilter {
            fingerprint: Some(groups[0].fingerprint.clone()),
            ..dead_letters()
        };
        let sent = brokers.reprocess_dlq(&alike, &all).await.unwrap();
        assert_eq!((sent.reprocessed_count, sent.failed_count), (5, 0), "{sent:?}");
        messages(&ductape, |messages| {
            messages.iter().all(|one| one.status == MessageStatus::Success)
        })
        .await;
        ductape.shutdown().await.unwrap();
    }
}
