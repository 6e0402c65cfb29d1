//! A program that can't start says everything that is in the way at once.

use ductape_events::ErrorCode;
use ductape_events::prelude::*;

use crate::events::{OrderPlaced, Seen, expect, in_process, program, watch};

/// The same name and version as [`OrderPlaced`].
#[topic("bad:order-placed")]
struct OrderPlacedToo {
    number: u64,
}

#[consumer(group = "watch")]
async fn watch_too(_order: OrderPlaced) {}

#[derive(Debug)]
struct Mailer;

#[consumer]
async fn mail(_order: OrderPlaced, _mailer: State<Mailer>) {}

/// A topic of a broker that nobody configured.
#[topic("nowhere:to-be-found")]
struct ToBeFound {
    n: u32,
}

#[consumer]
async fn find(_event: ToBeFound) {}

const MEMORY: &str = "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memory'\n";

#[tokio::test]
async fn all_that_keeps_a_program_from_starting_is_said_at_once() {
    let error = program(MEMORY)
        .topic::<OrderPlacedToo>()
        .consumer::<watch>()
        .consumer::<watch_too>()
        .consumer::<mail>()
        .consumer::<find>()
        .state(Seen::default())
        .build()
        .await
        .unwrap_err();
    let text = error.to_string();
    let codes: Vec<ErrorCode> = error.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::AlreadyExists,
            ErrorCode::AlreadyExists,
            ErrorCode::ConfigInvalid,
            ErrorCode::BrokerNotFound,
        ],
        "{text}"
    );
    for part in [
        "4 things keep this program from starting",
        "`bad:order-placed` version 1 is the topic of two types",
        "OrderPlacedToo",
        "bad_input/start.rs:",
        "two consumers in group `watch`: `watch`",
        "`watch_too`",
        "consumer `mail`",
        "State<",
        "Mailer",
        "Ductape::builder().state(",
        "no broker `nowhere`",
        "nowhere:to-be-found",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn one_thing_alone_speaks_for_itself() {
    let build = in_process().consumer::<mail>().build();
    expect(
        build.await,
        ErrorCode::ConfigInvalid,
        &["CONFIG_INVALID: consumer `mail`", "none was given"],
    );
    let build = in_process().topic::<OrderPlacedToo>().build();
    expect(
        build.await,
        ErrorCode::AlreadyExists,
        &["give one another name or version"],
    );
    let build = program(MEMORY).consumer::<find>().build();
    expect(build.await, ErrorCode::BrokerNotFound, &["known brokers: bad"]);
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_failure_like_any_other() {
    #[consumer(group = "boom", retry(attempts = 2, base = "1ms"))]
    async fn boom(order: OrderPlaced) {
        assert!(order.id == "fine", "boom");
    }
    let ductape = in_process().consumer::<boom>().build().await.unwrap();
    ductape.start().await.unwrap();
    for id in ["bad", "fine"] {
        OrderPlaced::new(id, "").produce(&ductape).await.unwrap();
    }
    assert!(
        ductape
            .wait_idle(std::time::Duration::from_secs(10))
            .await
            .unwrap()
    );
    let stats = &ductape.stats()[0];
    assert_eq!((stats.handled, stats.retried, stats.dead_lettered), (1, 1, 1));
    ductape.shutdown().await.unwrap();
}
