//! Sessions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ductape_store::sessions::{Config, NewSession, NewToken, Place, Refresh, Refreshed, Which};
use ductape_store::{Store, StoreErrorKind, StoreKeys};
use futures_util::future::join_all;

use crate::support::places;

const HOUR: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_secs(10);
const PLACE: Place<'_> = Place {
    product: "shop",
    env: "dev",
    tag: "user",
};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn config(tag: &str) -> Config {
    Config {
        product: "shop".to_owned(),
        tag: tag.to_owned(),
        name: "Users".to_owned(),
        description: None,
        selector: "userId".to_owned(),
        expiry: 1,
        period: "hours".to_owned(),
        refresh_expiry: 2,
        refresh_period: "hours".to_owned(),
        sample: r#"{"userId":"u"}"#.to_owned(),
        created_at: at(0),
        updated_at: at(0),
    }
}

fn token(id: &str, secret: u8, now: SystemTime) -> NewToken<'_> {
    NewToken {
        token_id: id,
        hash: [secret; 32],
        expires_at: now + 2 * HOUR,
    }
}

async fn start(store: &Store, id: &str, user: &str, now: SystemTime) {
    let session = NewSession {
        place: PLACE,
        session_id: id,
        identifier: user,
        data: b"hunter2",
        start_at: now,
        end_at: now + HOUR,
        token: token(id, 1, now),
    };
    store.sessions().start(&session).await.unwrap();
}

fn refresh<'a>(id: &'a str, secret: u8, next: &'a str, now: SystemTime) -> Refresh<'a> {
    Refresh {
        place: PLACE,
        token_id: id,
        hash: [secret; 32],
        next: token(next, secret + 1, now),
        end_at: now + HOUR,
        grace: GRACE,
        now,
    }
}

fn is_done(refreshed: &Refreshed) -> bool {
    matches!(refreshed, Refreshed::Done { session_id, holder } if session_id == "s" && holder.identifier == "u1")
}

#[tokio::test]
async fn configurations_are_kept_and_changed_by_who_saw_the_newest() {
    for place in places().await {
        let store = place.open().await;
        let sessions = store.sessions();
        assert_eq!(sessions.config("shop", "user").await.unwrap(), None);
        let user = config("user");
        sessions.create(&user).await.unwrap();
        let twice = sessions.create(&user).await.unwrap_err();
        assert_eq!(twice.kind(), StoreErrorKind::Exists);
        sessions.create(&config("admin")).await.unwrap();
        let mut changed = user.clone();
        changed.description = Some("it's \"theirs\" %_\\".to_owned());
        changed.expiry = u32::MAX;
        changed.period = "seconds".to_owned();
        changed.updated_at = at(1);
        assert!(sessions.replace(&changed, at(0)).await.unwrap());
        assert!(
            !sessions.replace(&user, at(0)).await.unwrap(),
            "it was changed since"
        );
        assert!(!sessions.replace(&config("none"), at(0)).await.unwrap());
        assert_eq!(
            sessions.config("shop", "user").await.unwrap(),
            Some(changed.clone())
        );
        assert_eq!(
            sessions.configs("shop").await.unwrap(),
            [config("admin"), changed]
        );
        assert!(sessions.configs("other").await.unwrap().is_empty());
        assert_eq!(sessions.config("other", "user").await.unwrap(), None);
        assert_eq!(sessions.config("shop", "us\0er").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_session_is_found_with_what_it_holds_sealed() {
    for place in places().await {
        let key = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
        let store = place.open_with(StoreKeys::parse(key).unwrap()).await;
        let sessions = store.sessions();
        assert!(sessions.holder("s").await.unwrap().is_none());
        assert!(sessions.session("s").await.unwrap().is_none());
        start(&store, "s", "us-1", at(0)).await;
        let holder = sessions.holder("s").await.unwrap().unwrap();
        assert_eq!(
            (&*holder.product, &*holder.env, &*holder.tag),
            ("shop", "dev", "user")
        );
        assert_eq!((&*holder.identifier, holder.end_at), ("us-1", at(0) + HOUR));
        assert_eq!(holder.revoked_at, None);
        let session = sessions.session("s").await.unwrap().unwrap();
        assert_eq!((session.holder, &*session.data), (holder, &b"hunter2"[..]));
        if let Some(file) = place.file() {
            let folder = file.parent().unwrap();
            let mut holds_the_user = false;
            for entry in std::fs::read_dir(folder).unwrap() {
                let kept = std::fs::read(entry.unwrap().path()).unwrap();
                assert!(!kept.windows(7).any(|part| part == b"hunter2"));
                holds_the_user |= kept.windows(3).any(|part| part == b"us-");
            }
            assert!(holds_the_user, "it was not looked into");
        }
        store.close().await;
        // Without its key it is not opened.
        let store = place.open().await;
        assert!(store.sessions().holder("s").await.unwrap().is_some());
        let error = store.sessions().session("s").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
    }
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_wins_and_the_session_goes_on() {
    for place in places().await {
        let store = place.open().await;
        start(&store, "s", "u1", at(0)).await;
        let sessions = store.sessions();
        let names: Vec<String> = (0..8).map(|n| format!("next{n}")).collect();
        let all: Vec<Refresh<'_>> = names.iter().map(|next| refresh("s", 1, next, at(60))).collect();
        let refreshed = join_all(all.iter().map(|one| sessions.refresh(one))).await;
        let refreshed: Vec<Refreshed> = refreshed.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            refreshed.iter().filter(|one| is_done(one)).count(),
            1,
            "{refreshed:?}"
        );
        let lost = refreshed.iter().filter(|one| **one == Refreshed::UsedJustNow);
        assert_eq!(lost.count(), 7, "{refreshed:?}");
        let winner = refreshed.iter().position(is_done).unwrap();
        let holder = sessions.holder("s").await.unwrap().unwrap();
        assert_eq!((holder.revoked_at, holder.end_at), (None, at(60) + HOUR));
        assert!(is_done(
            &sessions
                .refresh(&refresh(&names[winner], 2, "after", at(61)))
                .await
                .unwrap()
        ));
        for (n, name) in names.iter().enumerate().filter(|(n, _)| *n != winner) {
            let kept = sessions.refresh(&refresh(name, 2, "x", at(61))).await.unwrap();
            assert_eq!(kept, Refreshed::Unknown, "{n}");
        }
    }
}

#[tokio::test]
async fn an_old_refresh_token_revokes_all_of_its_session_but_not_within_the_grace() {
    for place in places().await {
        let store = place.open().await;
        start(&store, "s", "u1", at(0)).await;
        start(&store, "other", "u1", at(0)).await;
        let sessions = store.sessions();
        let again = |now| sessions.refresh(Box::leak(Box::new(refresh("s", 1, "third", now))));
        assert!(is_done(
            &sessions
                .refresh(&refresh("s", 1, "second", at(60)))
                .await
                .unwrap()
        ));
        assert_eq!(again(at(60) + GRACE).await.unwrap(), Refreshed::UsedJustNow);
        // The clock of the one that used it was ahead.
        assert_eq!(again(at(30)).await.unwrap(), Refreshed::UsedJustNow);
        assert_eq!(sessions.holder("s").await.unwrap().unwrap().revoked_at, None);
        let late = at(61) + GRACE;
        let reused = Refreshed::Reused {
            session_id: "s".to_owned(),
        };
        assert_eq!(again(late).await.unwrap(), reused);
        assert_eq!(
            sessions.holder("s").await.unwrap().unwrap().revoked_at,
            Some(late)
        );
        let newest = sessions.refresh(&refresh("second", 2, "x", late)).await.unwrap();
        assert_eq!(newest, Refreshed::Revoked);
        assert_eq!(sessions.holder("other").await.unwrap().unwrap().revoked_at, None);
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_for_its_own_session_secret_and_time() {
    for place in places().await {
        let store = place.open().await;
        start(&store, "s", "u1", at(0)).await;
        let sessions = store.sessions();
        let unknown = |refresh: Refresh<'static>| async move {
            let refreshed = store_refresh(sessions, &refresh).await;
            assert_eq!(refreshed, Refreshed::Unknown, "{refresh:?}");
        };
        unknown(refresh("s", 2, "n", at(1))).await;
        unknown(refresh("s\0", 1, "n", at(1))).await;
        unknown(refresh("", 1, "n", at(1))).await;
        for (product, env, tag) in [
            ("other", "dev", "user"),
            ("shop", "prd", "user"),
            ("shop", "dev", "admin"),
        ] {
            let mut elsewhere = refresh("s", 1, "n", at(1));
            elsewhere.place = Place { product, env, tag };
            unknown(elsewhere).await;
        }
        let late = at(0) + 2 * HOUR;
        let expired = sessions.refresh(&refresh("s", 1, "n", late)).await.unwrap();
        assert_eq!(expired, Refreshed::Expired);
        let last = late - Duration::from_micros(1);
        assert!(is_done(
            &sessions.refresh(&refresh("s", 1, "n", last)).await.unwrap()
        ));
    }
}

async fn store_refresh(sessions: ductape_store::sessions::Sessions<'_>, refresh: &Refresh<'_>) -> Refreshed {
    sessions.refresh(refresh).await.unwrap()
}

#[tokio::test]
async fn revoking_counts_what_could_still_be_used() {
    for place in places().await {
        let store = place.open().await;
        for (id, user, from) in [("a", "u1", 0), ("b", "u1", 1), ("c", "u2", 2), ("d", "u2", 3)] {
            start(&store, id, user, at(from)).await;
        }
        let sessions = store.sessions();
        let elsewhere = Place { env: "prd", ..PLACE };
        let revoke = |place, which, now| async move { sessions.revoke(place, which, now).await.unwrap() };
        assert_eq!(revoke(elsewhere, Which::Id("a"), at(9)).await, 0);
        assert_eq!(revoke(PLACE, Which::Id("a"), at(9)).await, 1);
        assert_eq!(revoke(PLACE, Which::Id("a"), at(10)).await, 0, "it was");
        assert_eq!(revoke(PLACE, Which::Identifier("u1"), at(9)).await, 1);
        assert_eq!(revoke(PLACE, Which::Identifier("%"), at(9)).await, 0);
        assert_eq!(revoke(PLACE, Which::Identifier("u2\0' OR 1=1"), at(9)).await, 0);
        assert_eq!(
            sessions.holder("a").await.unwrap().unwrap().revoked_at,
            Some(at(9))
        );
        let mut other = refresh("a", 1, "n", at(10));
        other.now = at(10);
        assert_eq!(sessions.refresh(&other).await.unwrap(), Refreshed::Revoked);
        // Its token has ended, and it could be refreshed.
        let idle = at(2) + HOUR;
        assert_eq!(revoke(PLACE, Which::Id("c"), idle).await, 1);
        assert_eq!(
            revoke(PLACE, Which::Id("d"), at(3) + 2 * HOUR).await,
            0,
            "it is over"
        );
    }
}

#[tokio::test]
async fn active_sessions_are_listed_page_by_page() {
    for place in places().await {
        let store = place.open().await;
        for n in 0..25_u64 {
            let user = if n % 5 == 0 { "u1" } else { "it's u2" };
            start(&store, &format!("s{n:02}"), user, at(n)).await;
        }
        let sessions = store.sessions();
        sessions.revoke(PLACE, Which::Id("s24"), at(30)).await.unwrap();
        let mut seen = Vec::new();
        for page in 1..=4 {
            let listed = sessions
                .list_active(PLACE, None, (page, 10), at(30))
                .await
                .unwrap();
            assert_eq!(listed.total, 24);
            seen.extend(listed.sessions.into_iter().map(|one| one.session_id));
        }
        let expected: Vec<String> = (0..24).rev().map(|n| format!("s{n:02}")).collect();
        assert_eq!(seen, expected);
        let of_one = sessions
            .list_active(PLACE, Some("u1"), (1, 1_000), at(30))
            .await
            .unwrap();
        assert_eq!((of_one.total, of_one.sessions.len()), (5, 5));
        assert_eq!(of_one.sessions[0].start_at, at(20));
        assert_eq!(of_one.sessions[0].end_at, at(20) + HOUR);
        // Some have ended.
        let later = sessions
            .list_active(PLACE, None, (1, 20), at(20) + HOUR)
            .await
            .unwrap();
        assert_eq!(later.total, 3);
        for (page, limit) in [(0, 10), (1, 0), (1, 1_001)] {
            let error = sessions
                .list_active(PLACE, None, (page, limit), at(0))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid);
        }
        let far = sessions
            .list_active(PLACE, None, (u32::MAX, 1_000), at(30))
            .await
            .unwrap();
        assert!(far.sessions.is_empty());
    }
}

#[tokio::test]
async fn what_is_long_over_is_forgotten() {
    for place in places().await {
        let store = place.open().await;
        start(&store, "old", "u1", at(0)).await;
        start(&store, "s", "u1", at(0)).await;
        let sessions = store.sessions();
        assert!(is_done(
            &sessions.refresh(&refresh("s", 1, "n", at(60))).await.unwrap()
        ));
        let over = at(1) + 2 * HOUR;
        assert_eq!(sessions.prune(at(0) + 2 * HOUR).await.unwrap(), 0);
        assert_eq!(
            sessions.prune(over).await.unwrap(),
            3,
            "a session, and two tokens"
        );
        assert_eq!(sessions.prune(over).await.unwrap(), 0);
        assert!(sessions.holder("old").await.unwrap().is_none());
        assert!(sessions.holder("s").await.unwrap().is_some());
        assert!(matches!(
            sessions
                .refresh(&refresh("n", 2, "m", over - HOUR))
                .await
                .unwrap(),
            Refreshed::Done { .. }
        ));
    }
}
