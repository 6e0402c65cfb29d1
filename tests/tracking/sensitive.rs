//! What is sensitive stays out of the store.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::store::tracking::{DeadLetter, DeadLetterFilter};
use ductape_events::tracking::ReplayOptions;
use serde_json::{Value, json};

use crate::support::places;

#[payload]
struct Card {
    #[sensitive]
    number: String,
    expires: String,
}

/// Someone left.
#[topic("vault:left", key = id)]
struct Left {
    id: String,
    #[sensitive]
    notes: Option<Vec<String>>,
    cards: Vec<Card>,
    #[serde(rename = "how")]
    way: Way,
}

#[payload]
#[serde(tag = "by", rename_all = "camelCase")]
enum Way {
    Mail {
        #[sensitive]
        address: String,
    },
    Foot,
}

const SECRET: &str = "4000-1234";

#[consumer(group = "archive")]
async fn archive(left: Left) -> Result<(), HandlerError> {
    let Way::Mail { address } = left.way else {
        return Ok(());
    };
    assert_eq!(address, SECRET);
    Err("the archive is closed".reject())
}

fn left() -> Left {
    let card = |number: &str| Card {
        number: number.to_owned(),
        expires: "2027-01".to_owned(),
    };
    Left {
        id: "l-1".to_owned(),
        notes: Some(vec![SECRET.to_owned()]),
        cards: vec![card(SECRET), card(SECRET)],
        way: Way::Mail {
            address: SECRET.to_owned(),
        },
    }
}

#[tokio::test]
async fn what_is_sensitive_reaches_the_consumer_and_not_the_store() {
    for place in places().await {
        let store = place.open().await;
        let builder = Ductape::builder()
            .without_inventory()
            .in_process()
            .environment("prd");
        let ductape = builder
            .consumer::<archive>()
            .store(store.clone())
            .build()
            .await
            .unwrap();
        let id = left().produce(&ductape).await.unwrap().process_id.to_string();
        ductape.start().await.unwrap();

        let masked = json!({
            "id": "l-1", "notes": "***",
            "cards": [{"number": "***", "expires": "2027-01"}, {"number": "***", "expires": "2027-01"}],
            "how": {"by": "mail", "address": "***"}
        });
        let letter = dead_letter(&ductape, 0).await;
        assert_eq!(read(letter.original_message.as_ref()), masked);
        let messaging = ductape.messaging();
        let message = messaging.messages().get(&id).await.unwrap().unwrap();
        assert_eq!(read(message.payload.as_ref()), masked);
        let replay = ductape
            .brokers()
            .replay_event(&id, &ReplayOptions::default())
            .await;
        assert_eq!(replay.unwrap_err().code(), ErrorCode::ReplayRefused);
        // The broker has the whole of its dead letter.
        messaging.messages().retry(&id, "archive").await.unwrap();
        let letter = dead_letter(&ductape, 1).await;
        assert_eq!(read(letter.original_message.as_ref()), masked);
        // Who edits it says the whole of it.
        let brokers = ductape.brokers();
        let mut edited = json!({
            "id": "l-1", "notes": null, "cards": [{"number": "***", "expires": "2028-01"}], "how": {"by": "foot"}
        });
        let refused = brokers.edit_and_retry(&letter.id, &edited).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::PayloadInvalid);
        assert!(
            refused.message().contains("write what it stands for"),
            "{refused}"
        );
        edited["cards"][0]["number"] = SECRET.into();
        brokers.edit_and_retry(&letter.id, &edited).await.unwrap();
        ductape.shutdown().await.unwrap();
    }
}

/// The one dead letter, once it was given to its group anew so often.
async fn dead_letter(ductape: &Ductape, redrives: u32) -> DeadLetter {
    let filter = DeadLetterFilter {
        broker_tag: "vault".to_owned(),
        ..DeadLetterFilter::default()
    };
    let began = Instant::now();
    loop {
        let messaging = ductape.messaging();
        let page = messaging.messages().dead_letters(&filter).await.unwrap();
        let mut letters = page.dead_letters.iter();
        if let Some(letter) = letters.find(|letter| letter.can_retry && letter.redrive_count == redrives) {
            return letter.clone();
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:#?}",
            page.dead_letters
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn read(payload: Option<&Bytes>) -> Value {
    serde_json::from_slice(payload.unwrap()).unwrap()
}
