//! Tokens and sessions, by a clock that each test holds.

#![allow(clippy::unwrap_used)] // a test fails where it unwraps

mod flow;
mod forged;
mod keys;
mod times;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::SessionKeys;
use super::token::{Claims, audience, sign};

/// Two private keys of Ed25519 in PKCS #8, which belong to nobody.
const PAIRS: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
    "MC4CAQAwBQYDK2VwBCIEIDmPn1kQCFCuiOokCmpP5BXZ0hYLs4Kw6GSTEhEoCv5a",
];

fn secret(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn keys(text: &str) -> SessionKeys {
    SessionKeys::parse(text).unwrap()
}

/// One of each algorithm.
fn both() -> [SessionKeys; 2] {
    [
        keys(&format!("k:{}", secret(1))),
        keys(&format!("k:ed25519:{}", PAIRS[0])),
    ]
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn here() -> String {
    audience("shop", "dev")
}

/// What a token says from `at(0)` to `at(60)`.
fn claims(session: &str) -> Claims {
    Claims::new(here(), (session, "user"), format!("jti-{session}"), at(0), at(60))
}

fn jwt(keys: &SessionKeys, session: &str) -> String {
    sign(keys, &claims(session)).unwrap()
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "HS256", "kid": "k"})
}

fn body() -> Value {
    serde_json::to_value(claims("s")).unwrap()
}

/// A token of these texts, signed with the secret of [`both`].
fn forge(header: &str, body: &str) -> String {
    forge_with(
        header,
        body,
        &EncodingKey::from_secret(&[1; 32]),
        Algorithm::HS256,
    )
}

fn forge_with(header: &str, body: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(body)
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}
