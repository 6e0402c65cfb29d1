//! From the start of a session to its end.

use ductape_store::{Store, StoreKeys, StoreUrl};
use serde_json::{Value, json};

use super::{at, keys, secret};
use crate::error::ErrorCode;
use crate::runtime::Ductape;
use crate::session::live::{check, require};
use crate::session::{
    ActiveFilter, Lifetime, Period, Revoke, Session, SessionChange, SessionConfig, SessionKeys,
    StartedSession,
};

async fn store() -> Store {
    Store::open(&StoreUrl::memory(), StoreKeys::none()).await.unwrap()
}

async fn program(store: &Store, keys: Option<SessionKeys>) -> Ductape {
    let builder = Ductape::builder()
        .without_inventory()
        .in_process()
        .product("shop");
    let builder = builder.store(store.clone());
    let builder = match keys {
        Some(keys) => builder.session_keys(keys),
        None => builder,
    };
    builder.build().await.unwrap()
}

fn config() -> SessionConfig {
    SessionConfig {
        tag: "user".to_owned(),
        selector: "$Session{userId}".to_owned(),
        expiry: 1,
        period: Period::Minutes,
        refresh: Some(Lifetime {
            expiry: 1,
            period: Period::Hours,
        }),
        schema: json!({"userId": "u", "age": 1}),
        ..SessionConfig::default()
    }
}

fn data(user: &str) -> Value {
    json!({"userId": user, "age": 7})
}

/// A program with keys and a configuration.
async fn ready() -> Ductape {
    let program = program(&store().await, Some(keys(&format!("k:{}", secret(1))))).await;
    program.sessions().create(config()).await.unwrap();
    program
}

fn counted(program: &Ductape, reason: &str) -> u64 {
    let counted = program.sessions().refusals();
    counted
        .iter()
        .find(|(name, _)| *name == reason)
        .map_or(0, |(_, n)| *n)
}

#[tokio::test]
async fn a_session_goes_from_start_to_end() {
    let program = ready().await;
    let sessions = program.sessions();
    let started = sessions.start_at("user", data("u1"), at(0)).await.unwrap();
    assert_eq!(started.expires_at, at(60));
    assert!(started.token.starts_with("user:"));
    let checked = sessions.verify_at("user", &started.token, at(1)).await.unwrap();
    assert!(checked.valid);
    assert_eq!(checked.data, Some(data("u1")));
    assert_eq!(checked.session_id.as_deref(), Some(&*started.session_id));
    assert_eq!(checked.expires_at, Some(at(60)));
    let (_, jwt) = started.token.split_once(':').unwrap();
    for good in [
        jwt.to_owned(),
        format!("{}:{jwt}", started.session_id),
        format!("{}:{}", started.session_id, started.token),
    ] {
        assert!(sessions.verify_at("user", &good, at(1)).await.unwrap().valid);
    }
    let next = sessions
        .refresh_at("user", &started.refresh_token, at(50))
        .await
        .unwrap();
    assert_eq!(
        (&next.session_id, next.expires_at),
        (&started.session_id, at(110))
    );
    assert_ne!(next.token, started.token);
    assert_ne!(next.refresh_token, started.refresh_token);
    let late = at(60 + 31);
    assert!(
        !sessions
            .verify_at("user", &started.token, late)
            .await
            .unwrap()
            .valid
    );
    assert_eq!(counted(&program, "expired"), 1);
    assert!(sessions.verify_at("user", &next.token, late).await.unwrap().valid);
    // After the token has ended, it can be refreshed for an hour from the last time.
    let after = sessions
        .refresh_at("user", &next.refresh_token, at(50 + 3_599))
        .await
        .unwrap();
    let over = sessions
        .refresh_at("user", &after.refresh_token, at(50 + 3_599 + 3_601))
        .await
        .unwrap_err();
    assert_eq!(over.code(), ErrorCode::SessionInvalid);
    assert_eq!(counted(&program, "refresh_expired"), 1);
}

#[tokio::test]
async fn one_error_whatever_is_wrong() {
    let program = ready().await;
    let wiring = program.context().wiring();
    let sessions = program.sessions();
    let a = sessions.start_at("user", data("a"), at(0)).await.unwrap();
    let b = sessions.start_at("user", data("b"), at(0)).await.unwrap();
    let jwt = |started: &StartedSession| started.token.split_once(':').unwrap().1.to_owned();
    let mut texts = Vec::new();
    for (bad, reason) in [
        (String::new(), "malformed"),
        ("user:".to_owned(), "malformed"),
        (jwt(&a), "malformed"),
        (format!("{}:{}", b.session_id, jwt(&a)), "other_session"),
        (format!("admin:{}", jwt(&a)), "other_session"),
        (format!("{}:admin:{}", a.session_id, jwt(&a)), "other_session"),
        (format!("x:{}:{}", a.session_id, a.token), "malformed"),
        (a.token.replace("user:", "user:x"), "malformed"),
        ("x".repeat(5_000), "too_long"),
        (a.refresh_token.clone(), "malformed"),
    ] {
        let before = counted(&program, reason);
        let error = check(&bad, wiring, at(1)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SessionInvalid);
        assert_eq!(counted(&program, reason), before + 1, "{bad}");
        texts.push(error.to_string());
    }
    let expired = check(&a.token, wiring, at(91)).await.unwrap_err();
    texts.push(expired.to_string());
    assert!(check(&a.token, wiring, at(89)).await.is_ok());
    assert_eq!(
        sessions
            .revoke("user", Revoke::Session(&a.session_id))
            .await
            .unwrap(),
        0
    );
    for bad in [
        "",
        "x",
        ".",
        "a.b",
        &a.token,
        &a.refresh_token[1..],
        &"x".repeat(9_999),
    ] {
        let error = sessions.refresh_at("user", bad, at(1)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SessionInvalid);
        texts.push(error.to_string());
    }
    // The id of the one with the secret of the other.
    let (id, _) = a.refresh_token.split_once('.').unwrap();
    let (_, secret) = b.refresh_token.split_once('.').unwrap();
    let mixed = sessions
        .refresh_at("user", &format!("{id}.{secret}"), at(1))
        .await;
    texts.push(mixed.unwrap_err().to_string());
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(sessions.refresh_at("user", &a.refresh_token, at(1)).await.is_ok());
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_session_for_whoever_has_the_new_one() {
    let program = ready().await;
    let sessions = program.sessions();
    let first = sessions.start_at("user", data("u"), at(0)).await.unwrap();
    let second = sessions
        .refresh_at("user", &first.refresh_token, at(1))
        .await
        .unwrap();
    // A second try, or the other of two at once: refused alone.
    sessions
        .refresh_at("user", &first.refresh_token, at(11))
        .await
        .unwrap_err();
    assert_eq!(counted(&program, "refresh_used_just_now"), 1);
    assert!(
        sessions
            .verify_at("user", &second.token, at(11))
            .await
            .unwrap()
            .valid
    );
    sessions
        .refresh_at("user", &first.refresh_token, at(12))
        .await
        .unwrap_err();
    assert_eq!(counted(&program, "refresh_reused"), 1);
    for token in [&first.token, &second.token] {
        assert!(!sessions.verify_at("user", token, at(12)).await.unwrap().valid);
    }
    assert_eq!(counted(&program, "revoked"), 2);
    sessions
        .refresh_at("user", &second.refresh_token, at(12))
        .await
        .unwrap_err();
    assert_eq!(counted(&program, "refresh_revoked"), 1);
}

#[tokio::test]
async fn tokens_are_good_in_their_own_product_and_environment_alone() {
    let program = ready().await;
    let sessions = program.sessions();
    let started = sessions.start_at("user", data("u"), at(0)).await.unwrap();
    for (product, environment) in [("shop", "prd"), ("other", "dev")] {
        let elsewhere = program.sessions().of(product, environment);
        if product != "shop" {
            elsewhere.create(config()).await.unwrap();
        }
        assert!(
            !elsewhere
                .verify_at("user", &started.token, at(1))
                .await
                .unwrap()
                .valid
        );
        let refused = elsewhere.refresh_at("user", &started.refresh_token, at(1)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::SessionInvalid);
        let which = Revoke::Session(&started.session_id);
        assert_eq!(elsewhere.revoke("user", which).await.unwrap(), 0);
        let theirs = elsewhere.start_at("user", data("u"), at(0)).await.unwrap();
        let refused = check(&theirs.token, program.context().wiring(), at(1)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::SessionInvalid);
    }
    assert_eq!(counted(&program, "audience"), 4);
    let mut admin = config();
    admin.tag = "admin".to_owned();
    sessions.create(admin).await.unwrap();
    assert!(
        !sessions
            .verify_at("admin", &started.token, at(1))
            .await
            .unwrap()
            .valid
    );
    let refused = sessions.refresh_at("admin", &started.refresh_token, at(1)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::SessionInvalid);
    assert!(
        sessions
            .verify_at("user", &started.token, at(1))
            .await
            .unwrap()
            .valid
    );
}

#[tokio::test]
async fn a_message_s_session_can_be_checked_again() {
    let program = ready().await;
    let wiring = program.context().wiring();
    let sessions = program.sessions();
    let started = sessions.start_at("user", data("u1"), at(0)).await.unwrap();
    let header = check(&started.token, wiring, at(1)).await.unwrap();
    let session: Session = serde_json::from_str(&header).unwrap();
    assert_eq!((&*session.tag, &*session.identifier), ("user", "u1"));
    assert!(!header.contains(started.token.split_once(':').unwrap().1));
    let live = require(&session, wiring, at(89)).await.unwrap();
    assert_eq!(live.data, data("u1"));
    assert_eq!(live.session_id, started.session_id);
    let ended = require(&session, wiring, at(91)).await.unwrap_err();
    assert_eq!(ended.code(), ErrorCode::SessionInvalid);
    sessions
        .refresh_at("user", &started.refresh_token, at(95))
        .await
        .unwrap();
    assert!(require(&session, wiring, at(96)).await.is_ok());
    let mut forged = session.clone();
    forged.identifier = "u2".to_owned();
    require(&forged, wiring, at(96)).await.unwrap_err();
    forged = session.clone();
    forged.session_id = "' OR 1=1 --\0".to_owned();
    require(&forged, wiring, at(96)).await.unwrap_err();
    assert_eq!(counted(&program, "unknown_session"), 2);
}

#[tokio::test]
async fn configurations_are_checked_and_changed() {
    let program = ready().await;
    let sessions = program.sessions();
    let twice = sessions.create(config()).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::AlreadyExists);
    let with = |change: fn(&mut SessionConfig)| {
        let mut config = config();
        config.tag = "other".to_owned();
        change(&mut config);
        config
    };
    for (bad, told) in [
        (with(|c| c.tag = String::new()), "the tag ``"),
        (with(|c| c.tag = "a:b".to_owned()), "the tag `a:b`"),
        (with(|c| c.tag = "x".repeat(65)), "the tag"),
        (with(|c| c.expiry = 0), "an expiry of 0 minutes"),
        (
            with(|c| {
                c.expiry = 3_651;
                c.period = Period::Days;
            }),
            "an expiry of 3651 days",
        ),
        (
            with(|c| {
                c.refresh = Some(Lifetime {
                    expiry: u32::MAX,
                    period: Period::Days,
                });
            }),
            "a refresh of 4294967295 days",
        ),
        (
            with(|c| c.selector = "userId".to_owned()),
            "write `$Session{userId}`",
        ),
        (
            with(|c| c.selector = "$Session{}".to_owned()),
            "write `$Session{userId}`",
        ),
        (
            with(|c| c.selector = "$Session{id}".to_owned()),
            "it has: age, userId",
        ),
        (with(|c| c.schema = json!([])), "no object"),
        (
            with(|c| c.schema = json!({"userId": {"id": 1}})),
            "no text, number or boolean",
        ),
        (
            with(|c| c.schema["more"] = json!("x".repeat(16_400))),
            "more than 16384 bytes",
        ),
    ] {
        let error = sessions.create(bad).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid);
        assert!(error.to_string().contains(told), "{error}");
    }
    let kept = sessions.fetch("user").await.unwrap().unwrap();
    assert_eq!((&*kept.product, &*kept.config.name), ("shop", "user"));
    let json = serde_json::to_value(&kept).unwrap();
    assert_eq!(json["period"], "minutes");
    assert!(json["createdAt"].as_str().unwrap().ends_with('Z'));
    let change = SessionChange {
        name: Some("Users".to_owned()),
        description: Some("who buys".to_owned()),
        period: Some(Period::Hours),
        ..SessionChange::default()
    };
    let changed = sessions.update("user", change).await.unwrap();
    assert_eq!(changed.config.expiry, 1);
    assert_eq!(changed.config.period, Period::Hours);
    assert!(changed.updated_at > kept.updated_at);
    assert_eq!(sessions.list().await.unwrap(), std::slice::from_ref(&changed));
    let bad = SessionChange {
        schema: Some(json!({"name": ""})),
        ..SessionChange::default()
    };
    assert_eq!(
        sessions.update("user", bad).await.unwrap_err().code(),
        ErrorCode::ConfigInvalid
    );
    assert_eq!(sessions.fetch("user").await.unwrap(), Some(changed));
    let missing = sessions
        .update("users", SessionChange::default())
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("it has: user"), "{missing}");
    assert_eq!(sessions.fetch("users").await.unwrap(), None);
}

#[tokio::test]
async fn data_has_the_shape_of_the_sample_and_names_its_user() {
    let program = ready().await;
    let sessions = program.sessions();
    for (bad, code) in [
        (json!({"userId": 7, "age": 7}), ErrorCode::PayloadInvalid),
        (json!({"userId": "hunter2"}), ErrorCode::PayloadInvalid),
        (json!({"userId": "", "age": 7}), ErrorCode::PayloadInvalid),
        (json!({"userId": "a\0b", "age": 7}), ErrorCode::PayloadInvalid),
        (
            json!({"userId": "x".repeat(513), "age": 7}),
            ErrorCode::PayloadInvalid,
        ),
        (
            json!({"userId": "u", "age": 7, "more": 1}),
            ErrorCode::PayloadInvalid,
        ),
        (json!(null), ErrorCode::PayloadInvalid),
        (
            json!({"userId": "x".repeat(20_000), "age": 7}),
            ErrorCode::PayloadTooLarge,
        ),
    ] {
        let error = sessions.start_at("user", bad, at(0)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let missing = sessions.start_at("admin", data("u"), at(0)).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::ConfigInvalid);
    let mut numbered = config();
    numbered.tag = "numbered".to_owned();
    numbered.schema = json!({"userId": 1});
    sessions.create(numbered).await.unwrap();
    let started = sessions.start("numbered", &json!({"userId": 42})).await.unwrap();
    let listed = sessions
        .list_active("numbered", &ActiveFilter::default())
        .await
        .unwrap();
    assert_eq!(listed.sessions[0].identifier, "42");
    assert_eq!(listed.sessions[0].session_id, started.session_id);
    assert!(!listed.has_more && listed.total == 1);
    assert_eq!(
        sessions
            .revoke("numbered", Revoke::Identifier("42"))
            .await
            .unwrap(),
        1
    );
    let none = sessions
        .list_active("numbered", &ActiveFilter::default())
        .await
        .unwrap();
    assert_eq!(none.total, 0);
    for (page, limit) in [(0, 1), (1, 0), (1, 1_000_000)] {
        let filter = ActiveFilter {
            identifier: None,
            page,
            limit,
        };
        let error = sessions.list_active("numbered", &filter).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{error}");
    }
}

#[tokio::test]
async fn without_keys_or_a_store_it_is_told_what_to_set() {
    let store = store().await;
    let keyless = program(&store, None).await;
    let sessions = keyless.sessions();
    sessions.create(config()).await.unwrap();
    let token = "user:x.y.z";
    for error in [
        sessions.start("user", &data("u")).await.unwrap_err(),
        sessions.verify("user", token).await.unwrap_err(),
        sessions.refresh("user", "a.b").await.unwrap_err(),
        check(token, keyless.context().wiring(), at(0)).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::ConfigInvalid);
        assert!(error.to_string().contains("DUCTAPE_SESSION_KEYS"), "{error}");
    }
    assert_eq!(sessions.revoke("user", Revoke::Session("s")).await.unwrap(), 0);
    let builder = Ductape::builder().without_inventory().in_process();
    let storeless = builder
        .session_keys(keys(&format!("k:{}", secret(1))))
        .build()
        .await
        .unwrap();
    let error = storeless.sessions().create(config()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.to_string().contains("DUCTAPE_STORE"), "{error}");
}

#[tokio::test]
async fn nothing_prints_a_token_or_what_is_known_of_a_user() {
    let program = ready().await;
    let sessions = program.sessions();
    let user = json!({"userId": "hunter2-CANARY", "age": 7});
    let started = sessions.start("user", &user).await.unwrap();
    let checked = sessions.verify("user", &started.token).await.unwrap();
    let listed = sessions
        .list_active("user", &ActiveFilter::default())
        .await
        .unwrap();
    let ctx = program.context().with_session(&started.token);
    let options = crate::ProduceOptions::default().session(&started.token);
    let header = check(&started.token, ctx.wiring(), crate::clock::wall())
        .await
        .unwrap();
    let session: Session = serde_json::from_str(&header).unwrap();
    let live = session.require_live(&ctx).await.unwrap();
    let shown =
        format!("{started:?} {checked:?} {listed:?} {ctx:?} {options:?} {session:?} {live:?} {program:?}");
    let jwt = started.token.split_once(':').unwrap().1;
    let secret = started.refresh_token.split_once('.').unwrap().1;
    for hidden in [jwt, secret, "CANARY"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    let json = serde_json::to_value(&started).unwrap();
    for field in ["token", "refreshToken", "sessionId", "expiresAt"] {
        assert!(json[field].is_string(), "{json}");
    }
}
