//! Connections that fail say which step did, soon, and are not tried again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ductape_providers::{ErrorKind, clock};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::{PASSWORD, read, shape, variable};

/// Passes connections on to a server, and counts them.
async fn counted(server: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let server = server.clone();
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(&server).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (address, count)
}

async fn fails(server: &str, more: &Value, kind: ErrorKind, step: &str) {
    let config = read(&shape(server, more));
    let began = clock::now();
    let error = config.connect().await.unwrap_err();
    let took = began.elapsed();
    assert_eq!(error.kind(), kind, "{server} {more}: {error}");
    assert!(
        took < Duration::from_secs(10),
        "{server} {more}: told after {took:?}"
    );
    assert!(
        !error.to_string().contains(PASSWORD) && !error.to_string().contains("wrong-CANARY"),
        "{error}"
    );
    assert!(error.to_string().contains(server), "{error}");
    let report = config.test_connection().await;
    assert_eq!(report.failed_step(), Some(step), "{report}");
    assert_eq!(
        report.error().map(ductape_providers::Error::kind),
        Some(kind),
        "{report}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_tried_once() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA_SASL") else {
        return;
    };
    for mechanism in ["plain", "scram-sha-256", "scram-sha-512"] {
        let (address, count) = counted(server.clone()).await;
        let wrong =
            json!({"sasl": {"mechanism": mechanism, "username": "ductape", "password": "wrong-CANARY"}});
        let error = read(&shape(&address, &wrong)).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(!error.is_temporary(), "{error}");
        let tried = count.load(Ordering::SeqCst);
        // One looks whether somebody answers, one logs in; the client may have begun another.
        assert!(tried <= 3, "{mechanism} was tried {tried} times");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(
            count.load(Ordering::SeqCst),
            tried,
            "{mechanism} is tried on and on"
        );
        fails(&server, &wrong, ErrorKind::Unauthorized, "authenticate").await;
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_told() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA_SASL") else {
        return;
    };
    let unknown = json!({"sasl": {"mechanism": "plain", "username": "nobody", "password": "wrong-CANARY"}});
    fails(&server, &unknown, ErrorKind::Unauthorized, "authenticate").await;
}

#[tokio::test]
async fn hosts_and_ports_that_are_wrong_are_told_apart() {
    if variable("DUCTAPE_TEST_KAFKA").is_none() {
        return;
    }
    fails(
        "no-such-host.invalid:9092",
        &json!({}),
        ErrorKind::Unreachable,
        "resolve",
    )
    .await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    fails(&closed.to_string(), &json!({}), ErrorKind::Unreachable, "connect").await;
}

#[tokio::test]
async fn what_does_not_speak_kafka_is_told() {
    if variable("DUCTAPE_TEST_KAFKA").is_none() {
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    fails(&address, &json!({}), ErrorKind::Unreachable, "authorize").await;
}

#[tokio::test]
async fn encryption_that_fails_is_told_from_a_refused_login() {
    let (Some(plain), Some(ssl), Some(both)) = (
        variable("DUCTAPE_TEST_KAFKA"),
        variable("DUCTAPE_TEST_KAFKA_SSL"),
        variable("DUCTAPE_TEST_KAFKA_SASL_SSL"),
    ) else {
        return;
    };
    let ca = variable("DUCTAPE_TEST_CA").unwrap();
    // Signed by an authority that the machine does not trust.
    fails(&ssl, &json!({"ssl": true}), ErrorKind::Unreachable, "encrypt").await;
    // A server that does not encrypt, and a client that does not where the server does.
    fails(
        &plain,
        &json!({"ssl": true, "caFile": ca}),
        ErrorKind::Unreachable,
        "encrypt",
    )
    .await;
    fails(&ssl, &json!({}), ErrorKind::Unreachable, "authorize").await;
    // Encrypted, and refused.
    let wrong = json!({"mechanism": "scram-sha-256", "username": "ductape", "password": "wrong-CANARY"});
    let wrong = json!({"ssl": true, "caFile": ca, "sasl": wrong});
    fails(&both, &wrong, ErrorKind::Unauthorized, "authenticate").await;
}

#[tokio::test]
async fn a_connection_that_works_says_what_it_found() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA_SASL_SSL") else {
        return;
    };
    let ca = variable("DUCTAPE_TEST_CA").unwrap();
    let sasl = json!({"mechanism": "plain", "username": "ductape", "password": PASSWORD});
    let report = read(&shape(&server, &json!({"ssl": true, "caFile": ca, "sasl": sasl})))
        .test_connection()
        .await;
    assert!(report.is_ok(), "{report}");
    let steps: Vec<&str> = report.steps.iter().map(|step| step.name).collect();
    assert_eq!(steps, ["resolve", "connect", "encrypt", "authenticate"]);
    assert!(!report.to_string().contains(PASSWORD), "{report}");
}
