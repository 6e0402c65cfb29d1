use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_events::prelude::*;
use ductape_events::session::{Period, Revoke, SessionConfig, SessionKeys, StartedSession};
use ductape_events::store::Store;
use ductape_events::{AttemptReport, AttemptResult, DuctapeBuilder, ErrorCode, PublishOutcome};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{OrderPlaced, Place, order, places};

const HEADER: &str = "ce-ductapesession";

/// An order was billed.
#[topic("store-tests:order-billed")]
#[derive(Clone, Debug, PartialEq)]
struct OrderBilled {
    /// Which order.
    n: u64,
}

/// What handlers saw.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Seen {
    fn add(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn sorted(&self) -> Vec<String> {
        let mut seen = self.0.lock().unwrap().clone();
        seen.sort();
        seen
    }
}

#[consumer(group = "bill", retry(attempts = 3, base = "1ms"))]
async fn bill(
    event: OrderPlaced,
    session: Session,
    seen: State<Arc<Seen>>,
    ctx: Context,
) -> Result<OrderBilled, HandlerError> {
    let live = session.require_live(&ctx).await;
    let email = live.map_or_else(
        |error| error.code().to_string(),
        |live| live.data["email"].to_string(),
    );
    seen.add(format!("bill {} {} {email}", event.n, session.identifier));
    Ok(OrderBilled { n: event.n })
}

#[consumer(group = "count")]
async fn count(event: OrderPlaced, session: Option<Session>, seen: State<Arc<Seen>>) {
    let who = session.map_or_else(|| "nobody".to_owned(), |session| session.identifier);
    seen.add(format!("count {} {who}", event.n));
}

#[consumer(group = "archive", batch = 10)]
async fn archive(events: Vec<OrderPlaced>, sessions: Vec<Option<Session>>, seen: State<Arc<Seen>>) {
    for (event, session) in events.iter().zip(sessions) {
        let who = session.map_or_else(|| "nobody".to_owned(), |session| session.identifier);
        seen.add(format!("archive {} {who}", event.n));
    }
}

#[consumer(group = "after")]
async fn after(event: OrderBilled, session: &Session, seen: State<Arc<Seen>>) {
    seen.add(format!("after {} {}", event.n, session.identifier));
}

fn builder(store: Store) -> DuctapeBuilder {
    let keys = SessionKeys::parse("k:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap();
    let builder = Ductape::builder().without_inventory().topic::<OrderPlaced>();
    builder.in_process().store(store).session_keys(keys)
}

async fn program(place: &Place) -> Ductape {
    let program = builder(place.store().await).build().await.unwrap();
    let config = SessionConfig {
        tag: "user".to_owned(),
        selector: "$Session{userId}".to_owned(),
        expiry: 1,
        period: Period::Hours,
        schema: json!({"userId": "u", "email": "e"}),
        ..SessionConfig::default()
    };
    let created = program.sessions().create(config).await;
    if let Err(error) = created {
        assert_eq!(error.code(), ErrorCode::AlreadyExists);
    }
    program
}

async fn start(program: &Ductape, user: &str) -> StartedSession {
    let data = json!({"userId": user, "email": format!("{user}@example.com")});
    program.sessions().start("user", &data).await.unwrap()
}

#[tokio::test]
async fn a_message_carries_its_session_and_never_the_token() {
    for place in places().await {
        let program = program(&place).await;
        let started = start(&program, "u1").await;
        let with_id = format!("{}:{}", started.session_id, started.token);
        for token in [&started.token, &with_id] {
            let ctx = program.context().with_session(token);
            order("a", 1).produce(&ctx).await.unwrap();
            let options = ProduceOptions::default().session(token);
            order("a", 2)
                .produce_with(options.clone(), &program)
                .await
                .unwrap();
            ctx.produce_json(OrderPlaced::EVENT, &json!({"shop": "a", "n": 3}))
                .await
                .unwrap();
            program
                .context()
                .produce_bytes(OrderPlaced::EVENT, "{}", options)
                .await
                .unwrap();
            OrderPlaced::produce_all([order("a", 5), order("a", 6)], &ctx).await;
        }
        let ctx = program.context().with_session(&started.token);
        order("a", 7).produce_idempotent("k", &ctx).await.unwrap();
        let published = program.published(OrderPlaced::EVENT);
        assert_eq!(published.len(), 13);
        let jwt = started.token.split_once(':').unwrap().1;
        for message in published {
            let header = message.headers.get(HEADER).unwrap();
            let session: Session = serde_json::from_str(header).unwrap();
            assert_eq!(session.session_id, started.session_id);
            assert_eq!((&*session.tag, &*session.identifier), ("user", "u1"));
            assert!(!format!("{message:?} {:?}", message.headers).contains(jwt));
        }
        order("a", 8).produce(&program).await.unwrap();
        let last = program.published(OrderPlaced::EVENT).pop().unwrap();
        assert_eq!(last.headers.get(HEADER), None);
    }
}

#[tokio::test]
async fn a_bad_or_revoked_session_publishes_nothing() {
    for place in places().await {
        let programs = [program(&place).await, program(&place).await];
        let [program, other] = &programs;
        let started = start(program, "u1").await;
        let good = program.context().with_session(&started.token);
        order("a", 1).produce(&good).await.unwrap();
        let jwt = started.token.split_once(':').unwrap().1.to_owned();
        let mut bad = vec![
            String::new(),
            jwt.clone(),
            format!("admin:{jwt}"),
            format!("{}x", started.token),
            format!("{}:{}", started.refresh_token, jwt),
            "x".repeat(5 * 1024),
            "\u{0}:\u{1b}[2J".to_owned(),
        ];
        // Another process revokes it: good to the last moment, and refused at once.
        order("a", 2).produce(&good).await.unwrap();
        let which = Revoke::Session(&started.session_id);
        assert_eq!(other.sessions().revoke("user", which).await.unwrap(), 1);
        bad.push(started.token.clone());
        for token in bad {
            let ctx = program.context().with_session(&*token);
            let options = ProduceOptions::default().session(&*token);
            let mut errors = vec![
                order("a", 3).produce(&ctx).await.unwrap_err(),
                order("a", 3)
                    .produce_with(options.clone(), program)
                    .await
                    .unwrap_err(),
                order("a", 3).produce_idempotent("k", &ctx).await.unwrap_err(),
                ctx.produce_json(OrderPlaced::EVENT, &json!({"shop": "a", "n": 3}))
                    .await
                    .unwrap_err(),
                ctx.produce_bytes(OrderPlaced::EVENT, "{}", ProduceOptions::default())
                    .await
                    .unwrap_err(),
            ];
            let all = OrderPlaced::produce_all([order("a", 4), order("a", 5)], &ctx).await;
            errors.extend(all.into_iter().map(Result::unwrap_err));
            assert_eq!(errors.len(), 7);
            for error in errors {
                assert_eq!(error.code(), ErrorCode::SessionInvalid, "{error}");
                assert_eq!(error.publish_outcome(), Some(PublishOutcome::Rejected));
                assert!(!error.is_temporary());
            }
        }
        assert_eq!(program.published(OrderPlaced::EVENT).len(), 2);
        let refusals = program.sessions().refusals();
        assert!(refusals.contains(&("revoked", 6)), "{refusals:?}");
    }
}

#[tokio::test]
async fn the_header_is_not_written_by_hand() {
    let place = &places().await[0];
    let program = program(place).await;
    let forged = r#"{"sessionId":"s","tag":"user","identifier":"admin"}"#;
    for name in [HEADER, "ductapesession", "ce_ductapesession"] {
        let options = ProduceOptions::default().header(name, forged);
        let errors = [
            order("a", 1).produce_with(options, &program).await.unwrap_err(),
            order("a", 1)
                .produce(&program.context().with_header(name, forged))
                .await
                .unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), ErrorCode::PayloadInvalid, "{error}");
            assert!(error.to_string().contains("with_session"), "{error}");
        }
    }
    assert!(program.published(OrderPlaced::EVENT).is_empty());
}

#[tokio::test]
async fn handlers_take_the_session_and_hand_it_on() {
    for place in places().await {
        let seen = Arc::new(Seen::default());
        let dead = Arc::new(Seen::default());
        let reasons = Arc::clone(&dead);
        let consumers = builder(place.store().await)
            .topic::<OrderBilled>()
            .consumer::<bill>()
            .consumer::<count>()
            .consumer::<archive>()
            .consumer::<after>()
            .state(Arc::clone(&seen))
            .observe(move |report: &AttemptReport<'_>| {
                if let AttemptResult::DeadLettered(failure) = report.result {
                    reasons.add(format!("{} {}", report.attempt, failure.reason));
                }
            })
            .build()
            .await
            .unwrap();
        program(&place).await.shutdown().await.unwrap();
        let started = start(&consumers, "u1").await;
        let revoked = start(&consumers, "u2").await;
        consumers.start().await.unwrap();
        order("a", 1)
            .produce(&consumers.context().with_session(&started.token))
            .await
            .unwrap();
        order("a", 2).produce(&consumers).await.unwrap();
        assert!(consumers.wait_idle(Duration::from_secs(20)).await.unwrap());
        assert_eq!(
            seen.sorted(),
            [
                "after 1 u1",
                "archive 1 u1",
                "archive 2 nobody",
                "bill 1 u1 \"u1@example.com\"",
                "count 1 u1",
                "count 2 nobody",
            ]
        );
        let reasons = dead.sorted();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(
            reasons[0].starts_with("1 this message carries no session"),
            "{reasons:?}"
        );
        // Whoever was good when it was produced is told, and is no longer.
        let later = ProduceOptions::default()
            .session(&revoked.token)
            .delay(Duration::from_millis(300));
        order("a", 3).produce_with(later, &consumers).await.unwrap();
        let which = Revoke::Identifier("u2");
        assert_eq!(consumers.sessions().revoke("user", which).await.unwrap(), 1);
        crate::support::wait_until("the third order is billed", || {
            seen.sorted().contains(&"after 3 u2".to_owned())
        })
        .await;
        assert!(seen.sorted().contains(&"bill 3 u2 SESSION_INVALID".to_owned()));
        consumers.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn of_two_refreshes_at_once_in_two_programs_one_wins() {
    for place in places().await {
        let programs = [program(&place).await, program(&place).await];
        let started = start(&programs[0], "u1").await;
        let calls = (0..8).map(|n| {
            let sessions = programs[n % 2].sessions();
            let token = &started.refresh_token;
            async move { sessions.refresh("user", token).await }
        });
        let refreshed = join_all(calls).await;
        let won: Vec<_> = refreshed.iter().filter_map(|one| one.as_ref().ok()).collect();
        assert_eq!(won.len(), 1);
        for lost in refreshed.iter().filter_map(|one| one.as_ref().err()) {
            assert_eq!(lost.code(), ErrorCode::SessionInvalid);
        }
        let next = programs[1]
            .sessions()
            .refresh("user", &won[0].refresh_token)
            .await
            .unwrap();
        assert!(
            programs[0]
                .sessions()
                .verify("user", &next.token)
                .await
                .unwrap()
                .valid
        );
    }
}
