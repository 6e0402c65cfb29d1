//! Keys, and the test of a connection, against servers that this file plays: they need no emulator.

use std::path::{Path, PathBuf};
use std::process::Command;

use ductape_providers::ErrorKind;
use ductape_providers::config::ProviderConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that answers every request with `status` and `body`, and tells what was asked.
async fn answering(status: &'static str, body: Value) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, asked) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (told, body) = (told.clone(), body.to_string());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let _ = told.try_send(String::from_utf8_lossy(&request).into_owned());
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, asked)
}

fn refusal(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "status": status, "message": message}})
}

fn config(fields: &Value) -> ProviderConfig {
    let mut all = json!({"type": "GOOGLE_PUBSUB", "projectId": "shop"});
    for (name, value) in fields.as_object().unwrap() {
        all[name] = value.clone();
    }
    ProviderConfig::from_value(&all).unwrap()
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pubsub-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A private key as OpenSSL makes it, and where its public half is; `None` without OpenSSL.
fn key(folder: &Path) -> Option<(String, PathBuf)> {
    let (private, public) = (folder.join("key.pem"), folder.join("public.pem"));
    let run = |args: &[&str]| {
        Command::new("openssl")
            .args(args)
            .output()
            .ok()
            .filter(|out| out.status.success())
    };
    run(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        private.to_str()?,
    ])?;
    run(&[
        "pkey",
        "-in",
        private.to_str()?,
        "-pubout",
        "-out",
        public.to_str()?,
    ])?;
    Some((std::fs::read_to_string(private).ok()?, public))
}

fn service_account(private_key: &str) -> Value {
    json!({
        "type": "service_account", "project_id": "shop", "private_key_id": "key-7", "private_key": private_key,
        "client_email": "orders@shop.iam.gserviceaccount.com", "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",
    })
}

#[tokio::test]
async fn a_key_file_that_is_no_key_is_named() {
    let folder = folder("broken");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    for (path, says) in [
        (folder.join("missing.json"), "can't be read"),
        (
            file("text.json", "hunter2-CANARY"),
            "is not JSON (line 1, column 1)",
        ),
        (file("empty.json", "{}"), "has no `type`"),
        (
            file("other.json", r#"{"type": "hunter2-CANARY"}"#),
            "has a `type` that is not known",
        ),
        (
            file(
                "half.json",
                r#"{"type": "service_account", "private_key": "hunter2-CANARY"}"#,
            ),
            "is not whole",
        ),
        (
            file("garbled.json", &service_account("hunter2-CANARY").to_string()),
            "is not whole",
        ),
    ] {
        let config = config(&json!({"keyFilename": path, "endpoint": "http://127.0.0.1:9"}));
        let error = config.connect().await.map(drop).unwrap_err();
        let text = error.to_string();
        let named = text.contains(path.file_name().unwrap().to_str().unwrap());
        if says == "is not whole" && error.kind() != ErrorKind::ConfigInvalid {
            // The client reads the private key only when it signs with it.
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "{text}");
        } else {
            assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{text}");
            assert!(text.contains(says) && named, "{text}");
        }
        assert!(!text.contains("CANARY"), "{text}");
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_key_signs_the_token_that_travels() {
    let folder = folder("signs");
    let Some((private, public)) = key(&folder) else {
        eprintln!("without OpenSSL no key can be made");
        return;
    };
    let written = folder.join("key.json");
    std::fs::write(&written, service_account(&private).to_string()).unwrap();
    for fields in [
        json!({"keyFilename": written}),
        json!({"credentials": service_account(&private)}),
    ] {
        let (address, mut asked) = answering("200 OK", json!({"topics": []})).await;
        let mut fields = fields;
        fields["endpoint"] = json!(format!("http://{address}"));
        config(&fields).connect().await.unwrap();
        let request = asked.recv().await.unwrap();
        let bearer = request
            .lines()
            .find_map(|line| {
                line.split_once(": ")
                    .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            })
            .and_then(|(_, value)| value.strip_prefix("Bearer "))
            .unwrap_or_else(|| panic!("no token: {request}"));
        let (signed, signature) = bearer.rsplit_once('.').unwrap();
        let claims: Value = serde_json::from_slice(&base64(signed.split_once('.').unwrap().1)).unwrap();
        assert_eq!(claims["iss"], "orders@shop.iam.gserviceaccount.com", "{claims}");
        std::fs::write(folder.join("signed"), signed).unwrap();
        std::fs::write(folder.join("signature"), base64(signature)).unwrap();
        let verified = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(&public)
            .arg("-signature")
            .arg(folder.join("signature"))
            .arg(folder.join("signed"))
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
        let report = config(&fields).test_connection().await;
        let steps: Vec<&str> = report.steps.iter().map(|step| step.name).collect();
        assert_eq!(
            steps,
            ["configure", "resolve", "connect", "authenticate", "authorize"],
            "{report}"
        );
        assert!(
            report.is_ok() && !report.to_string().contains("PRIVATE"),
            "{report}"
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Base64 for URLs, without padding, as tokens have it.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    out
}

#[tokio::test]
async fn a_wrong_host_port_project_and_account_are_told_apart() {
    let fails = |fields: Value| async move {
        let report = config(&fields).test_connection().await;
        let error = report.error().map(ToString::to_string).unwrap_or_default();
        (report.failed_step(), error)
    };
    let (step, error) = fails(json!({"endpoint": "http://no-such-host.invalid:1"})).await;
    assert_eq!(step, Some("resolve"), "{error}");
    let (step, error) = fails(json!({"endpoint": "127.0.0.1:9"})).await;
    assert_eq!(step, Some("connect"), "{error}");
    for (status, body, says) in [
        (
            "404 Not Found",
            refusal(404, "NOT_FOUND", "no project"),
            "there is no project `shop`",
        ),
        (
            "403 Forbidden",
            refusal(403, "PERMISSION_DENIED", "denied"),
            "may not list the topics of project `shop`",
        ),
        (
            "401 Unauthorized",
            refusal(401, "UNAUTHENTICATED", "who are you"),
            "check `keyFilename` or `credentials`",
        ),
    ] {
        let (address, _asked) = answering(status, body).await;
        let (step, error) = fails(json!({"endpoint": address})).await;
        assert_eq!(step, Some("authorize"), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn an_account_that_is_refused_is_not_tried_again_and_one_that_may_not_list_is_taken() {
    let (address, mut asked) =
        answering("401 Unauthorized", refusal(401, "UNAUTHENTICATED", "who are you")).await;
    let error = config(&json!({"endpoint": address}))
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unauthorized, false),
        "{error}"
    );
    assert!(asked.recv().await.is_some());
    assert!(asked.try_recv().is_err(), "it was asked again");

    let (address, _asked) = answering("403 Forbidden", refusal(403, "PERMISSION_DENIED", "denied")).await;
    let provider = config(&json!({"endpoint": address})).connect().await.unwrap();
    provider.ping_dyn().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_temporary() {
    let error = config(&json!({"endpoint": "127.0.0.1:9"}))
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unreachable, true),
        "{error}"
    );
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}
