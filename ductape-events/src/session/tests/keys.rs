//! Keys, and their replacement.

use super::{PAIRS, at, here, jwt, keys, secret};
use crate::error::ErrorCode;
use crate::session::SessionKeys;
use crate::session::refusal::Refusal;
use crate::session::token::open;

#[test]
fn a_key_is_replaced_twice() {
    let (a, b, c) = (
        format!("a:{}", secret(1)),
        format!("b:ed25519:{}", PAIRS[0]),
        format!("c:{}", secret(3)),
    );
    let first = keys(&a);
    let second = keys(&format!("{b},{a}"));
    let third = keys(&format!(" {c} , {b} "));
    let (of_a, of_b, of_c) = (jwt(&first, "s"), jwt(&second, "s"), jwt(&third, "s"));
    let verdict = |keys: &SessionKeys, jwt: &str| open(keys, jwt, &here(), at(1)).map(drop);
    assert_eq!(verdict(&first, &of_a), Ok(()));
    assert_eq!(verdict(&second, &of_a), Ok(()));
    assert_eq!(verdict(&second, &of_b), Ok(()));
    assert_eq!(verdict(&third, &of_b), Ok(()));
    assert_eq!(verdict(&third, &of_c), Ok(()));
    assert_eq!(verdict(&third, &of_a), Err(Refusal::UnknownKey));
    assert_eq!(verdict(&first, &of_b), Err(Refusal::UnknownKey));
    // Another key of the same name.
    assert_eq!(
        verdict(&keys(&format!("a:{}", secret(9))), &of_a),
        Err(Refusal::Signature)
    );
    assert_eq!(
        verdict(&keys(&format!("b:ed25519:{}", PAIRS[1])), &of_b),
        Err(Refusal::Signature)
    );
}

#[test]
fn what_is_no_key_is_told_without_showing_it() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let public = [
        &[
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ][..],
        &[7; 32],
    ]
    .concat();
    for (text, told) in [
        (String::new(), "key 1 of the sessions has no id"),
        ("CANARY".to_owned(), "has no id"),
        (format!(":{}", secret(1)), "has an id that is not"),
        (format!("a b:{}", secret(1)), "has an id that is not"),
        (
            format!("{}:{}", "k".repeat(65), secret(1)),
            "has an id that is not",
        ),
        ("k:CANARY!".to_owned(), "is not base64"),
        (format!("k:{}", STANDARD.encode([1; 31])), "has 31 bytes"),
        (format!("k:{}", STANDARD.encode([1; 1_025])), "has 1025 bytes"),
        (format!("k:{}", PAIRS[0]), "write `ID:ed25519:KEY`"),
        (format!("k:{}", STANDARD.encode(public)), "write `ID:ed25519:KEY`"),
        (format!("k:ed25519:{}", secret(1)), "is no private Ed25519 key"),
        ("k:ed25519:CANARY!".to_owned(), "is not base64"),
        (format!("k:rsa:{}", secret(1)), "is of a kind that is not known"),
        (
            format!("k:{},k:{}", secret(1), secret(2)),
            "key 2 of the sessions has the id `k`, as another has",
        ),
        (format!("k:{},", secret(1)), "key 2 of the sessions has no id"),
    ] {
        let error = SessionKeys::parse(&text).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid);
        assert!(error.to_string().contains(told), "{error}");
        assert!(error.to_string().contains("openssl rand"), "{error}");
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
        let named = SessionKeys::from_variable(Some(text)).unwrap_err();
        assert!(named.to_string().contains("DUCTAPE_SESSION_KEYS"), "{named}");
    }
    assert!(SessionKeys::from_variable(None).unwrap().is_none());
    assert_eq!(
        format!("{:?}", keys(&format!("k:{}", secret(1)))),
        "SessionKeys(1)"
    );
}
