//! Events that are replayed many at once.

use std::time::{Duration, Instant, SystemTime};

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::store::tracking::{EventFilter, EventStatus, Message};
use ductape_events::tracking::{ReplayRange, Tracking};

use crate::couriers::{OPEN, builder, given, given_up, is_partial, order, taken};
use crate::support::{places, sqlite};
use crate::{Paid, bill, messages};

fn range() -> ReplayRange {
    ReplayRange {
        filter: EventFilter {
            broker_tag: "shop".to_owned(),
            limit: 2,
            ..EventFilter::default()
        },
        rate: 1_000,
        ..ReplayRange::default()
    }
}

fn copies(messages: &[Message]) -> usize {
    messages
        .iter()
        .filter(|message| message.replay_of.is_some())
        .count()
}

#[tokio::test]
async fn what_failed_is_replayed_once_in_order_to_the_group_that_failed() {
    for place in places().await {
        let store = place.open().await;
        let orders: Vec<String> = (0..5).map(|_| order("ranged")).collect();
        let (ductape, failed) = given_up(&store, &orders).await;
        let brokers = ductape.brokers();
        let in_order: Vec<&str> = orders
            .iter()
            .map(|order| {
                let of = |message: &&Message| message.key.as_ref() == Some(order);
                failed.iter().find(of).unwrap().message_id.as_str()
            })
            .collect();
        let dry = ReplayRange {
            dry_run: true,
            ..range()
        };
        let would = brokers.replay_range(&dry).await.unwrap();
        assert_eq!(would.event_ids, in_order, "the first produced first");
        assert_eq!(
            (would.replayed_count, would.dry_run, would.by_group.len()),
            (5, true, 1)
        );
        let count = &would.by_group[0];
        assert_eq!(
            (&*count.event, &*count.consumer_tag, count.count),
            ("shop:paid", "courier", 5)
        );
        assert!(
            orders.iter().all(|order| given("courier", order) == 1),
            "nothing was sent"
        );

        OPEN.lock().unwrap().extend(orders.iter().cloned());
        let range = range();
        let (one, other) = tokio::join!(brokers.replay_range(&range), brokers.replay_range(&range));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.replayed_count + other.replayed_count, 5, "{one:?} {other:?}");
        assert_eq!(
            one.duplicate_count + other.duplicate_count,
            5,
            "{one:?} {other:?}"
        );
        let all = messages(&ductape, |messages| {
            copies(messages) == 5 && messages.iter().all(|one| one.status.as_str() != "pending")
        })
        .await;
        let copy = all.iter().find(|one| one.replay_of.is_some()).unwrap();
        assert_eq!(copy.consumer_deliveries.len(), 1);
        for order in &orders {
            assert_eq!((given("courier", order), given("audit", order)), (2, 1));
        }
        for dry_run in [true, false] {
            let again = ReplayRange {
                dry_run,
                ..range.clone()
            };
            let again = brokers.replay_range(&again).await.unwrap();
            assert_eq!(
                (again.replayed_count, again.duplicate_count, again.skipped_count),
                (0, 5, 5),
                "{again:?}"
            );
        }
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_range_ends_at_its_number_and_goes_no_faster_than_its_rate() {
    for place in places().await {
        let store = place.open().await;
        let order = order("paced");
        OPEN.lock().unwrap().insert(order.clone());
        let ductape = builder(&store).build().await.unwrap();
        ductape.start().await.unwrap();
        let paid = (0..9).map(|n| Paid {
            order: order.clone(),
            secret: n.to_string(),
        });
        for receipt in Paid::produce_all(paid, &ductape).await {
            receipt.unwrap();
        }
        messages(&ductape, |messages| {
            messages.len() == 9 && messages.iter().all(|one| one.status.as_str() == "success")
        })
        .await;
        let brokers = ductape.brokers();
        let unforced = brokers.replay_range(&range()).await.unwrap();
        assert_eq!((unforced.replayed_count, unforced.skipped_count), (0, 9));

        let began = Instant::now();
        let forced = ReplayRange {
            group: Some("courier".to_owned()),
            force: true,
            at_most: Some(5),
            rate: 20,
            token: Some("t'1\u{7}".to_owned()),
            ..range()
        };
        let report = brokers.replay_range(&forced).await.unwrap();
        assert_eq!((report.replayed_count, report.stopped), (5, None));
        assert!(began.elapsed() >= Duration::from_millis(200), "5 at 20 a second");
        let report = brokers.replay_range(&forced).await.unwrap();
        assert_eq!(
            (report.duplicate_count, report.replayed_count),
            (5, 4),
            "with one token each copy is sent once, and it goes on behind: {report:?}"
        );
        messages(&ductape, |messages| {
            copies(messages) == 9 && messages.iter().all(|one| one.status.as_str() == "success")
        })
        .await;
        let in_order: Vec<String> = (0..9).chain(0..9).map(|n| n.to_string()).collect();
        assert_eq!(taken(&order), in_order, "the key's order is kept");
        assert_eq!(given("audit", &order), 9);
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_program_that_ends_stops_its_replay_and_says_so() {
    let place = sqlite();
    let store = place.open().await;
    let orders: Vec<String> = (0..10).map(|_| order("stopped")).collect();
    let (ductape, _) = given_up(&store, &orders).await;
    OPEN.lock().unwrap().extend(orders.iter().cloned());
    let slow = ReplayRange { rate: 10, ..range() };
    let (report, ended) = tokio::join!(
        async { ductape.brokers().replay_range(&slow).await.unwrap() },
        async {
            tokio::time::sleep(Duration::from_millis(350)).await;
            ductape.shutdown().await
        }
    );
    ended.unwrap();
    assert!(
        (1..10).contains(&report.replayed_count),
        "some were sent, and not all: {report:?}"
    );
    assert!(report.stopped.unwrap().contains("SHUTTING_DOWN"));
    // Another program goes on behind.
    let next = builder(&store).build().await.unwrap();
    let rest = next.brokers().replay_range(&range()).await.unwrap();
    assert_eq!(rest.duplicate_count, report.replayed_count);
    assert_eq!(rest.replayed_count, 10 - report.replayed_count);
    next.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_range_that_can_not_be_is_refused() {
    let place = sqlite();
    let store = place.open().await;
    let orders = [order("odd")];
    let (ductape, _) = given_up(&store, &orders).await;
    let filter = || range().filter;
    let now = SystemTime::now();
    let with = |filter: EventFilter| ReplayRange { filter, ..range() };
    for (what, range) in [
        ("page 0", with(EventFilter { page: 0, ..filter() })),
        ("page 2", with(EventFilter { page: 2, ..filter() })),
        ("limit 0", with(EventFilter { limit: 0, ..filter() })),
        (
            "limit a million",
            with(EventFilter {
                limit: 1_000_000,
                ..filter()
            }),
        ),
        (
            "dates reversed",
            with(EventFilter {
                start_date: Some(now),
                end_date: Some(now - Duration::from_mins(1)),
                ..filter()
            }),
        ),
        (
            "another environment",
            with(EventFilter {
                env: "dev".to_owned(),
                ..filter()
            }),
        ),
        (
            "another product",
            with(EventFilter {
                product: "x'".to_owned(),
                ..filter()
            }),
        ),
        (
            "no broker",
            with(EventFilter {
                broker_tag: String::new(),
                ..filter()
            }),
        ),
        ("rate 0", ReplayRange { rate: 0, ..range() }),
        (
            "a rate too high",
            ReplayRange {
                rate: u32::MAX,
                ..range()
            },
        ),
        (
            "no group's name",
            ReplayRange {
                group: Some("'; --\u{0}".to_owned()),
                ..range()
            },
        ),
    ] {
        let error = ductape.brokers().replay_range(&range).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{what}: {error}");
    }
    for odd in ["'; DROP TABLE ductape_messages; --", "%", "\u{0}", "none"] {
        let range = with(EventFilter {
            topic: Some(odd.to_owned()),
            ..filter()
        });
        let report = ductape.brokers().replay_range(&range).await.unwrap();
        assert_eq!((report.replayed_count, report.skipped_count), (0, 0), "{odd:?}");
    }
    let succeeded = with(EventFilter {
        status: Some(EventStatus::Success),
        ..filter()
    });
    let report = ductape.brokers().replay_range(&succeeded).await.unwrap();
    assert_eq!(report.replayed_count + report.skipped_count, 0, "{report:?}");
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_replayed_is_told_and_passed_by() {
    for place in places().await {
        let store = place.open().await;
        let mut tracking = Tracking::default();
        tracking.payloads = false;
        let builder = Ductape::builder().without_inventory().in_process();
        let ductape = builder
            .consumer::<bill>()
            .store(store.clone())
            .tracking(tracking)
            .build()
            .await
            .unwrap();
        for n in 0..3 {
            Paid::of(&n.to_string()).produce(&ductape).await.unwrap();
        }
        for dry_run in [true, false] {
            let range = ReplayRange {
                force: true,
                dry_run,
                ..range()
            };
            let report = ductape.brokers().replay_range(&range).await.unwrap();
            assert_eq!((report.failed_count, report.replayed_count), (3, 0), "{report:?}");
            assert!(report.errors[0].contains("was not kept"), "{report:?}");
        }
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_replay_of_one_event_is_done_once_too() {
    for place in places().await {
        let store = place.open().await;
        let order = order("single");
        let (ductape, failed) = given_up(&store, std::slice::from_ref(&order)).await;
        let (brokers, id) = (ductape.brokers(), failed[0].message_id.as_str());
        OPEN.lock().unwrap().insert(order.clone());
        let options = ductape_events::tracking::ReplayOptions::default();
        let (one, other) = tokio::join!(
            brokers.replay_event(id, &options),
            brokers.replay_event(id, &options)
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.new_event_id, other.new_event_id);
        assert!(one.copies[0].duplicate != other.copies[0].duplicate);
        let all = messages(&ductape, |messages| {
            copies(messages) == 1
                && messages
                    .iter()
                    .all(|one| is_partial(one) || one.status.as_str() == "success")
        })
        .await;
        assert_eq!(all.len(), 2);
        assert_eq!((given("courier", &order), given("audit", &order)), (2, 1));
        ductape.shutdown().await.unwrap();
    }
}
