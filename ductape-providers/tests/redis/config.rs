//! Each field of the configuration has its effect.

use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::provider::Durability;
use ductape_providers::{AnyProvider, ErrorKind, GroupSpec, Outgoing, Result, TopicSpec};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::own_server::OwnServer;
use crate::{
    at, config, connect, consume, declare, group, kind, plain, publish, raw, split, stream, subscribe,
};
use crate::{topic, try_declare, try_publish, variable};

const PASSWORD: &str = "hunter2-CANARY";

fn secure() -> Option<Value> {
    variable("DUCTAPE_TEST_REDIS_SECURE").map(|server| at(&split(&server)))
}

fn encrypted() -> Option<Value> {
    let server = split(&variable("DUCTAPE_TEST_REDIS_TLS")?);
    let mut value = at(&server);
    value["tls"] = json!(true);
    value["password"] = json!(PASSWORD);
    value["caFile"] = json!(variable("DUCTAPE_TEST_CA")?);
    Some(value)
}

/// A password must be found neither in an error nor in what describes a provider.
fn hides(answer: &Result<AnyProvider>) {
    let shown = match answer {
        Ok(provider) => format!("{provider:?} {:?}", provider.info_dyn()),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[tokio::test]
async fn the_password_lets_in_and_a_wrong_one_is_told_at_once() {
    let Some(mut value) = secure() else { return };
    for (password, expected) in [
        (Some(PASSWORD), None),
        (Some("wrong-CANARY"), Some(ErrorKind::Unauthorized)),
        (None, Some(ErrorKind::Unauthorized)),
    ] {
        if let Some(password) = password {
            value["password"] = json!(password);
        } else {
            value.as_object_mut().unwrap().remove("password");
        }
        let began = Instant::now();
        let answer = connect(&value).await;
        assert_eq!(kind(&answer), expected, "{answer:?}");
        assert!(answer.as_ref().err().is_none_or(|error| !error.is_temporary()));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        hides(&answer);
        let report = config(&value).test_connection().await;
        assert_eq!(report.failed_step(), expected.map(|_| "authenticate"), "{report}");
        assert!(!report.to_string().contains("CANARY"), "{report}");
    }
}

#[tokio::test]
async fn the_user_is_the_one_that_is_named() {
    let Some(server) = OwnServer::start(&[]) else {
        return;
    };
    raw(
        &server.address(),
        &["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all"],
    )
    .await;
    let mut value = server.config();
    (value["username"], value["password"]) = (json!("app"), json!("secret"));
    let provider = connect(&value).await.unwrap();
    provider.ping_dyn().await.unwrap();
    let clients = raw(&server.address(), &["CLIENT", "LIST"]).await;
    assert!(format!("{clients:?}").contains("user=app"), "{clients:?}");
    value["username"] = json!("nobody");
    let answer = connect(&value).await;
    assert_eq!(kind(&answer), Some(ErrorKind::Unauthorized), "{answer:?}");
}

#[tokio::test]
async fn a_host_or_a_port_that_is_wrong_is_unreachable() {
    let Some((host, _)) = plain() else { return };
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (value, step) in [
        (at(&(host, free)), "connect"),
        (at(&("no-such-host.invalid".to_owned(), 6379)), "resolve"),
    ] {
        let answer = timeout(Duration::from_secs(10), connect(&value)).await.unwrap();
        assert_eq!(kind(&answer), Some(ErrorKind::Unreachable), "{answer:?}");
        assert!(answer.unwrap_err().is_temporary());
        let report = config(&value).test_connection().await;
        assert_eq!(report.failed_step(), Some(step), "{report}");
    }
    let value = at(&plain().unwrap());
    let report = config(&value).test_connection().await;
    assert!(
        report.is_ok() && report.to_string().contains("Redis "),
        "{report}"
    );
}

#[tokio::test]
async fn with_tls_the_connection_is_encrypted_and_the_certificate_checked() {
    let Some(value) = encrypted() else { return };
    let provider = connect(&value).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    publish(&provider, &of, &["secret"]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    assert_eq!(consume(&mut reader, 1).await, ["secret"]);
    let report = config(&value).test_connection().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.steps.iter().any(|step| step.name == "encrypt"), "{report}");

    // Without the file, the machine's own authorities do not know this one.
    let mut unknown = value.clone();
    unknown.as_object_mut().unwrap().remove("caFile");
    let answer = connect(&unknown).await;
    assert_eq!(kind(&answer), Some(ErrorKind::ConfigInvalid), "{answer:?}");
    hides(&answer);
    let report = config(&unknown).test_connection().await;
    assert_eq!(report.failed_step(), Some("encrypt"), "{report}");
    assert!(report.to_string().contains("certificate"), "{report}");

    let mut missing = value.clone();
    missing["caFile"] = json!("/no/such/file.pem");
    let answer = connect(&missing).await;
    assert_eq!(kind(&answer), Some(ErrorKind::ConfigInvalid), "{answer:?}");
    assert!(answer.unwrap_err().to_string().contains("/no/such/file.pem"));
}

#[tokio::test]
async fn tls_on_one_side_alone_is_told() {
    let (Some(value), Some(plainly)) = (encrypted(), secure()) else {
        return;
    };
    let mut to_plain = value.clone();
    to_plain["port"] = plainly["port"].clone();
    let answer = timeout(Duration::from_secs(10), connect(&to_plain))
        .await
        .unwrap();
    assert!(answer.is_err(), "{answer:?}");
    let report = config(&to_plain).test_connection().await;
    assert_eq!(report.failed_step(), Some("encrypt"), "{report}");
    let mut to_tls = value.clone();
    to_tls["tls"] = json!(false);
    let answer = timeout(Duration::from_secs(10), connect(&to_tls)).await.unwrap();
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn a_password_goes_unencrypted_to_another_host_only_where_that_is_allowed() {
    let mut value = json!({"type": "REDIS", "host": "redis.example", "password": PASSWORD});
    let refused = ProviderConfig::from_value(&value).unwrap_err().to_string();
    assert!(
        refused.contains("unencrypted") && !refused.contains("CANARY"),
        "{refused}"
    );
    value["allowPlaintext"] = json!(true);
    assert!(ProviderConfig::from_value(&value).is_ok());
}

async fn declaring(value: &Value, how: &str) -> AnyProvider {
    let mut value = value.clone();
    value["declare"] = json!(how);
    connect(&value).await.unwrap()
}

#[tokio::test]
async fn declare_creates_checks_or_looks_away() {
    let Some(server) = plain() else { return };
    let value = at(&server);
    let (of, reads, further): (_, GroupSpec, GroupSpec) = (topic("t"), group("g"), group("further"));
    let checks = declaring(&value, "check").await;
    let missing = try_declare(&checks, &of, &[&reads]).await;
    assert_eq!(kind(&missing), Some(ErrorKind::TopicMissing), "{missing:?}");
    let looks_away = declaring(&value, "off").await;
    declare(&looks_away, &of, &[&reads]).await;
    let answers = try_publish(&looks_away, vec![Outgoing::new(of.clone(), "lost")]).await;
    assert_eq!(kind(&answers[0]), Some(ErrorKind::TopicMissing), "{answers:?}");
    let creates = declaring(&value, "create").await;
    declare(&creates, &of, &[&reads]).await;
    declare(&checks, &of, &[&reads]).await;
    let missing = try_declare(&checks, &of, &[&further]).await;
    assert_eq!(kind(&missing), Some(ErrorKind::GroupMissing), "{missing:?}");
    publish(&looks_away, &of, &["kept"]).await;
    let mut reader = subscribe(&checks, &of, &reads).await;
    assert_eq!(consume(&mut reader, 1).await, ["kept"]);
}

#[tokio::test]
async fn a_topic_may_have_another_name_on_the_server() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    let mut spec = TopicSpec::new(of.clone()).with_group(reads.clone());
    spec.physical = Some(format!("renamed-{}", of.physical()));
    provider.declare_dyn(&spec).await.unwrap();
    publish(&provider, &of, &["there"]).await;
    let key = format!("{{renamed-{}}}", of.physical());
    assert_eq!(raw(&server, &["XLEN", &key]).await, redis::Value::Int(1));
    assert_eq!(
        raw(&server, &["EXISTS", &stream(&of)]).await,
        redis::Value::Int(0)
    );
    let mut reader = subscribe(&provider, &of, &reads).await;
    assert_eq!(consume(&mut reader, 1).await, ["there"]);
}

#[tokio::test]
async fn what_is_settled_is_kept_for_the_retention_and_what_is_not_for_longer() {
    let Some(server) = plain() else { return };
    let mut value = at(&server);
    value["retention"] = json!("1s");
    let provider = connect(&value).await.unwrap();
    let (of, reads, late) = (topic("t"), group("g"), group("late"));
    declare(&provider, &of, &[&reads, &late]).await;
    let texts: Vec<String> = (0..600).map(|i| i.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    publish(&provider, &of, &texts).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    consume(&mut reader, 600).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let length = raw(&server, &["XLEN", &stream(&of)]).await;
    assert_eq!(length, redis::Value::Int(600), "a group has settled none of them");
    let mut reader = subscribe(&provider, &of, &late).await;
    assert_eq!(consume(&mut reader, 600).await.len(), 600);
    // The server deletes whole nodes, and keeps what came in the last millisecond.
    let deadline = Instant::now() + crate::PATIENCE;
    loop {
        match raw(&server, &["XLEN", &stream(&of)]).await {
            redis::Value::Int(length) if length <= 300 => break,
            length => assert!(Instant::now() < deadline, "{length:?} are kept"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_receipt_says_how_safe_a_message_is() {
    let always = ["--appendonly", "yes", "--appendfsync", "always"];
    for (arguments, durability) in [
        (&always[..], Durability::BrokerDisk),
        (&["--appendonly", "yes"], Durability::BrokerMemory),
        (&["--appendonly", "no"], Durability::BrokerMemory),
    ] {
        let Some(server) = OwnServer::start(arguments) else {
            return;
        };
        let provider = connect(&server.config()).await.unwrap();
        let of = topic("t");
        declare(&provider, &of, &[]).await;
        let mut receipts = try_publish(&provider, vec![Outgoing::new(of, "x")]).await;
        assert_eq!(
            receipts.remove(0).unwrap().durability,
            durability,
            "{arguments:?}"
        );
    }
}
