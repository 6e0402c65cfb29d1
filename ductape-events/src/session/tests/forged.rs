//! Tokens that nobody handed out.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{PAIRS, at, body, both, claims, forge, forge_with, header, here, jwt};
use crate::session::refusal::Refusal;
use crate::session::token::{Presented, TOKEN_LEN_MAX, open, sign};

/// Why the first of [`both`] refuses it.
fn refusal(jwt: &str) -> Refusal {
    open(&both()[0], jwt, &here(), at(1)).unwrap_err()
}

#[test]
fn what_the_tests_forge_is_good_unless_it_is_made_bad() {
    let good = forge(&header().to_string(), &body().to_string());
    assert_eq!(open(&both()[0], &good, &here(), at(1)), Ok(claims("s")));
}

#[test]
fn every_flipped_bit_is_refused() {
    for keys in both() {
        let good = jwt(&keys, "s");
        assert_eq!(open(&keys, &good, &here(), at(1)), Ok(claims("s")));
        let mut flipped = 0;
        for at_byte in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone().into_bytes();
                bytes[at_byte] ^= 1 << bit;
                // The highest bit makes it no text, which cannot be presented.
                let Ok(text) = String::from_utf8(bytes) else {
                    continue;
                };
                assert!(
                    open(&keys, &text, &here(), at(1)).is_err(),
                    "bit {bit} of byte {at_byte}: {text}"
                );
                flipped += 1;
            }
        }
        assert_eq!(flipped, good.len() * 7);
    }
}

#[test]
fn parts_of_two_tokens_do_not_mix() {
    for keys in both() {
        let (a, b) = (jwt(&keys, "a"), jwt(&keys, "b"));
        let other = {
            let mut later = claims("a");
            later.exp += 1;
            sign(&keys, &later).unwrap()
        };
        for (left, right) in [(&a, &b), (&b, &a), (&a, &other)] {
            let left: Vec<&str> = left.split('.').collect();
            let right: Vec<&str> = right.split('.').collect();
            for mixed in [
                [left[0], left[1], right[2]],
                [left[0], right[1], left[2]],
                [left[1], left[0], left[2]],
                [left[0], left[2], left[1]],
                [left[2], left[1], left[0]],
            ] {
                assert!(
                    open(&keys, &mixed.join("."), &here(), at(1)).is_err(),
                    "{mixed:?}"
                );
            }
        }
        // The header of the other algorithm.
        let [secret, pair] = both().map(|keys| jwt(&keys, "a"));
        let (secret, pair): (Vec<&str>, Vec<&str>) = (secret.split('.').collect(), pair.split('.').collect());
        for mixed in [[secret[0], pair[1], pair[2]], [pair[0], secret[1], secret[2]]] {
            assert!(open(&keys, &mixed.join("."), &here(), at(1)).is_err());
        }
    }
}

#[test]
fn the_key_is_the_one_that_is_named() {
    let good = body().to_string();
    for (header, expected) in [
        (
            json!({"typ": "JWT", "alg": "HS256"}).to_string(),
            Refusal::UnknownKey,
        ),
        (
            json!({"alg": "HS256", "kid": null}).to_string(),
            Refusal::UnknownKey,
        ),
        (
            json!({"alg": "HS256", "kid": ""}).to_string(),
            Refusal::UnknownKey,
        ),
        (
            json!({"alg": "HS256", "kid": "K"}).to_string(),
            Refusal::UnknownKey,
        ),
        (
            json!({"alg": "HS256", "kid": "k "}).to_string(),
            Refusal::UnknownKey,
        ),
        (
            json!({"alg": "HS256", "kid": "' OR 1=1"}).to_string(),
            Refusal::UnknownKey,
        ),
        (
            json!({"alg": "HS256", "kid": ["k"]}).to_string(),
            Refusal::Malformed,
        ),
        (
            r#"{"alg":"HS256","kid":"k","kid":"k"}"#.to_owned(),
            Refusal::Malformed,
        ),
        (
            r#"{"alg":"HS256","kid":"x","kid":"k"}"#.to_owned(),
            Refusal::Malformed,
        ),
        (
            json!({"alg": "HS256", "kid": "k", "crit": ["exp"]}).to_string(),
            Refusal::Malformed,
        ),
    ] {
        assert_eq!(refusal(&forge(&header, &good)), expected, "{header}");
    }
}

#[test]
fn the_algorithm_is_the_key_s() {
    let good = body().to_string();
    let unsigned = |alg: &str| {
        let header = json!({"typ": "JWT", "alg": alg, "kid": "k"}).to_string();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(&good)
        )
    };
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256 "] {
        for signature in ["", ".", ".AAAA"] {
            assert_eq!(
                refusal(&format!("{}{signature}", unsigned(alg))),
                Refusal::Malformed,
                "{alg}"
            );
        }
    }
    let key = EncodingKey::from_secret(&[1; 32]);
    for (name, algorithm) in [("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
        let header = json!({"alg": name, "kid": "k"}).to_string();
        let forged = forge_with(&header, &good, &key, algorithm);
        assert_eq!(refusal(&forged), Refusal::Algorithm);
    }
    for name in ["EdDSA", "RS256", "ES256", "PS512"] {
        let header = json!({"alg": name, "kid": "k"}).to_string();
        assert_eq!(refusal(&forge(&header, &good)), Refusal::Algorithm);
    }
    // Signed with a public key as if it were a secret.
    let pair = &both()[1];
    let der = STANDARD.decode(PAIRS[0]).unwrap();
    let public_of = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER
        .key_utils
        .ed_pub_components_from_private_key;
    let public = public_of(&der, &jsonwebtoken::jwk::EllipticCurve::Ed25519).unwrap();
    for secret in [&public, &der] {
        let key = EncodingKey::from_secret(secret);
        for alg in ["HS256", "EdDSA"] {
            let header = json!({"typ": "JWT", "alg": alg, "kid": "k"}).to_string();
            let forged = forge_with(&header, &good, &key, Algorithm::HS256);
            assert!(open(pair, &forged, &here(), at(1)).is_err());
        }
    }
    // The key comes with the token.
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([9; 32])});
    let header = json!({"alg": "HS256", "kid": "k", "jwk": jwk}).to_string();
    let forged = forge_with(
        &header,
        &good,
        &EncodingKey::from_secret(&[9; 32]),
        Algorithm::HS256,
    );
    assert_eq!(refusal(&forged), Refusal::Signature);
}

#[test]
fn claims_are_of_their_types_and_all_there() {
    let with = |name: &str, value: Value| {
        let mut body = body();
        body[name] = value;
        refusal(&forge(&header().to_string(), &body.to_string()))
    };
    let two_to_63 = 9_223_372_036_854_775_808_u64;
    for name in ["exp", "nbf"] {
        for value in [
            json!("1700000060"),
            json!(1_700_000_060.5),
            json!(1_700_000_060.0),
            json!(-1),
            json!(-1_700_000_060_i64),
            json!(two_to_63),
            json!(u64::MAX),
            json!(1.0e300),
            json!(null),
            json!(true),
            json!([1_700_000_060]),
            json!({}),
        ] {
            assert_eq!(with(name, value.clone()), Refusal::Claims, "{name}: {value}");
        }
        let huge =
            body()
                .to_string()
                .replacen(&format!("\"{name}\":1"), &format!("\"{name}\":1e999999999999"), 1);
        assert!(open(&both()[0], &forge(&header().to_string(), &huge), &here(), at(1)).is_err());
    }
    assert_eq!(with("exp", json!(0)), Refusal::Expired);
    for name in ["iss", "aud", "sid", "tag", "exp", "nbf", "iat", "jti"] {
        let mut without = body();
        without.as_object_mut().unwrap().remove(name);
        let forged = forge(&header().to_string(), &without.to_string());
        assert_eq!(refusal(&forged), Refusal::Claims, "{name}");
        assert_eq!(with(name, json!({})), Refusal::Claims, "{name}");
    }
    assert_eq!(with("iss", json!("ductape2")), Refusal::Issuer);
    assert_eq!(with("iss", json!(["ductape"])), Refusal::Claims);
    let doubled = body().to_string().replacen('{', r#"{"sid":"x","#, 1);
    assert_eq!(refusal(&forge(&header().to_string(), &doubled)), Refusal::Claims);
    for body in ["", "{}", "[]", "null", "\"x\"", "{\"exp\":", "\u{0}"] {
        assert!(open(&both()[0], &forge(&header().to_string(), body), &here(), at(1)).is_err());
    }
}

#[test]
fn a_token_is_for_its_own_product_and_environment() {
    use crate::session::token::audience;
    for keys in both() {
        let good = jwt(&keys, "s");
        for (product, environment) in [
            ("shop2", "dev"),
            ("shop", "prd"),
            ("sho", "p/dev"),
            ("shop/dev", ""),
            ("", "shop/dev"),
            ("SHOP", "dev"),
        ] {
            let elsewhere = audience(product, environment);
            assert_eq!(open(&keys, &good, &elsewhere, at(1)), Err(Refusal::Audience));
        }
    }
    assert_ne!(audience("a/b", "c"), audience("a", "b/c"));
    assert_ne!(audience("a%2Fb", "c"), audience("a/b", "c"));
    for several in [json!([here()]), json!([here(), "other/dev"]), json!([])] {
        let mut body = body();
        body["aud"] = several;
        assert_eq!(
            refusal(&forge(&header().to_string(), &body.to_string())),
            Refusal::Claims
        );
    }
}

#[test]
fn cut_and_long_tokens_are_refused() {
    for keys in both() {
        let good = jwt(&keys, "s");
        for len in 0..good.len() {
            assert!(open(&keys, &good[..len], &here(), at(1)).is_err(), "{len}");
            assert!(open(&keys, &good[len + 1..], &here(), at(1)).is_err(), "{len}");
        }
        for odd in [
            format!("{good}."),
            format!("{good}.x"),
            format!(".{good}"),
            format!("{good}="),
            format!("{good}A"),
            format!("{good}\n"),
            format!(" {good}"),
            good.replace('.', ".."),
            good.replacen('.', "", 1),
        ] {
            assert!(open(&keys, &odd, &here(), at(1)).is_err(), "{odd}");
        }
        // It is signed, and longer than any that is handed out.
        let mut long = claims("s");
        long.tag = "x".repeat(4_500);
        let long = sign(&keys, &long).unwrap();
        assert!(long.len() > 5 * 1024);
        assert_eq!(open(&keys, &long, &here(), at(1)), Err(Refusal::TooLong));
    }
    let junk = "x".repeat(5 * 1024);
    assert_eq!(Presented::read(&junk).err(), Some(Refusal::TooLong));
    assert!(Presented::read(&junk[..TOKEN_LEN_MAX]).is_ok());
}

#[test]
fn what_stands_before_a_token_is_of_its_session() {
    let claims = claims("s");
    let fits = |text: &str| Presented::read(text).map(|presented| presented.fits(&claims));
    for good in ["s:j", "user:j", "s:user:j", "j"] {
        assert_eq!(fits(good), Ok(true), "{good}");
    }
    for bad in ["x:j", ":j", "user:s:j", "s:s:j", "s::j", ":user:j", "S:j", "s :j"] {
        assert_eq!(fits(bad), Ok(false), "{bad}");
    }
    assert_eq!(fits("a:s:user:j"), Err(Refusal::Malformed));
    assert_eq!(fits(&":".repeat(100)), Err(Refusal::Malformed));
}

#[test]
fn random_bytes_are_refused_without_a_panic() {
    // xorshift64: the same bytes each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let both = both();
    let good = both.each_ref().map(|keys| jwt(keys, "s"));
    let mut pick = |most: usize| usize::try_from(next() % most as u64).unwrap();
    for round in 0..20_000 {
        let which = round % 2;
        let bytes: Vec<u8> = if round % 3 == 0 {
            let len = pick(200);
            (0..len).map(|_| u8::try_from(pick(256)).unwrap()).collect()
        } else {
            // A good one with some of its bytes replaced, doubled or taken out.
            let mut bytes = good[which].clone().into_bytes();
            for _ in 0..=pick(4) {
                let place = pick(bytes.len());
                match pick(3) {
                    0 => bytes[place] = b".:-_AZ09{\"\\\0"[pick(12)],
                    1 => bytes.insert(place, u8::try_from(pick(128)).unwrap()),
                    _ => drop(bytes.remove(place)),
                }
            }
            bytes
        };
        let text = String::from_utf8_lossy(&bytes);
        if text == good[which].as_str() {
            continue;
        }
        if let Ok(presented) = Presented::read(&text) {
            let opened = open(&both[which], presented.jwt, &here(), at(1));
            // What was put before a colon is no part of what is signed.
            assert!(
                opened.is_err() || (presented.jwt == good[which] && !presented.is_bare()),
                "{text:?}"
            );
        }
    }
}
