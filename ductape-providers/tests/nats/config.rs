use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ductape_providers::{ErrorKind, Outgoing, clock};
use serde_json::{Value, json};

use crate::own_server::{OwnServer, free_port};
use crate::{PATIENCE, config, connect, group, plain, publish, spec, topic, variable};

const PASSWORD: &str = "hunter2-CANARY";

async fn failing_step(config_value: &Value) -> (&'static str, String) {
    let report = config(config_value).test_connection().await;
    let step = report.failed_step().unwrap_or("none");
    let text = report.to_string();
    assert!(!text.contains("CANARY"), "{text}");
    (step, text)
}

async fn works(config_value: &Value) {
    let report = config(config_value).test_connection().await;
    assert!(report.is_ok(), "{report}");
    let provider = connect(config_value).await.unwrap();
    provider.ping_dyn().await.unwrap();
    assert!(!format!("{provider:?} {:?}", provider.info_dyn()).contains("CANARY"));
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_does_not() {
    let Some(url) = variable("DUCTAPE_TEST_NATS_USER") else {
        return;
    };
    let with = |pass: &str| json!({"type": "NATS", "servers": [url], "user": "ductape", "pass": pass});
    works(&with(PASSWORD)).await;
    // In the URL as well.
    works(&json!({"type": "NATS", "servers": url.replace("//", &format!("//ductape:{PASSWORD}@"))})).await;
    let began = clock::now();
    for wrong in [with("wrong-CANARY"), json!({"type": "NATS", "servers": url})] {
        let error = connect(&wrong).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Unauthorized, false),
            "{error}"
        );
        assert_eq!(failing_step(&wrong).await.0, "authenticate");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_token_opens_and_a_wrong_one_does_not() {
    let Some(url) = variable("DUCTAPE_TEST_NATS_TOKEN") else {
        return;
    };
    let with = |token: &str| json!({"type": "NATS", "servers": url, "token": token});
    works(&with(PASSWORD)).await;
    let error = connect(&with("wrong-CANARY")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(!error.to_string().contains("CANARY"), "{error}");
}

#[tokio::test]
async fn a_trusted_certificate_opens_and_another_does_not() {
    let (Some(url), Some(authority)) = (variable("DUCTAPE_TEST_NATS_TLS"), variable("DUCTAPE_TEST_CA"))
    else {
        return;
    };
    works(&json!({"type": "NATS", "servers": url, "tls": {"caFile": authority}})).await;
    // The scheme may be left to `tls`.
    works(
        &json!({"type": "NATS", "servers": url.replace("tls://", "nats://"), "tls": {"caFile": authority}}),
    )
    .await;
    let untrusted = json!({"type": "NATS", "servers": url});
    let error = connect(&untrusted).await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    let (step, text) = failing_step(&untrusted).await;
    assert_eq!(step, "encrypt", "{text}");
    let no_file = json!({"type": "NATS", "servers": url, "tls": {"caFile": "no-such-file.pem"}});
    let (step, text) = failing_step(&no_file).await;
    assert_eq!(step, "encrypt", "{text}");
}

#[tokio::test]
async fn a_wrong_host_is_told_from_a_wrong_port() {
    if plain().is_none() {
        return;
    }
    let with = |url: String| json!({"type": "NATS", "servers": url});
    assert_eq!(
        failing_step(&with("nats://no-such-host.invalid".to_owned()))
            .await
            .0,
        "resolve"
    );
    let nobody = with(format!("nats://127.0.0.1:{}", free_port()));
    assert_eq!(failing_step(&nobody).await.0, "connect");
    let error = connect(&nobody).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn a_second_server_is_used_where_the_first_is_not_there() {
    let Some(server) = plain() else { return };
    let nobody = format!("nats://127.0.0.1:{}", free_port());
    works(&json!({"type": "NATS", "servers": [nobody, server["servers"]]})).await;
}

#[tokio::test]
async fn the_servers_monitoring_knows_the_program_by_its_name() {
    let monitoring = free_port();
    let settings = format!("http: \"127.0.0.1:{monitoring}\"\njetstream {{ store_dir: \"STORE\" }}");
    let Some(server) = OwnServer::start(&settings) else {
        return;
    };
    let mut named = server.config();
    named["name"] = json!("billing-service");
    let _provider = connect(&named).await.unwrap();
    let mut said = String::new();
    let mut http = TcpStream::connect(("127.0.0.1", monitoring)).unwrap();
    http.write_all(b"GET /connz HTTP/1.0\r\n\r\n").unwrap();
    http.read_to_string(&mut said).unwrap();
    assert!(said.contains("billing-service"), "{said}");
}

#[tokio::test]
async fn reconnecting_ends_after_as_many_attempts_as_are_allowed() {
    let Some(mut server) = OwnServer::start("jetstream { store_dir: \"STORE\" }") else {
        return;
    };
    let mut limited = server.config();
    limited["maxReconnectAttempts"] = json!(2);
    limited["reconnectTimeWait"] = json!(50);
    let (limited, endless) = (
        connect(&limited).await.unwrap(),
        connect(&server.config()).await.unwrap(),
    );
    let topic = topic();
    endless.declare_dyn(&spec(&topic, &group("g"))).await.unwrap();
    server.kill();
    let deadline = clock::now() + PATIENCE;
    loop {
        let error = limited.ping_dyn().await.unwrap_err();
        if !error.is_temporary() {
            assert!(error.to_string().contains("maxReconnectAttempts"), "{error}");
            break;
        }
        assert!(clock::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = publish(&endless, Outgoing::new(topic.clone(), "lost"))
        .await
        .unwrap_err();
    assert!(error.is_temporary(), "{error}");
    server.again();
    while publish(&endless, Outgoing::new(topic.clone(), "there"))
        .await
        .is_err()
    {
        assert!(clock::now() < deadline, "it never came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(limited.ping_dyn().await.is_err());
}
