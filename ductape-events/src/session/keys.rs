//! The keys that tokens are signed with.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::EllipticCurve;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use crate::error::{BrokerError, ErrorCode};

/// The keys that sessions' tokens are signed with: the first signs, all of them verify, so that a key is replaced by putting the
/// new one in front, and taking the old one out once the tokens that it signed have ended.
///
/// Each key has an id, which the token names, and one algorithm, which the token has no say in: HMAC-SHA256 for
/// `id:BASE64` (32 to 1,024 bytes, of `openssl rand -base64 32`), Ed25519 for `id:ed25519:BASE64` (PKCS #8, of
/// `openssl genpkey -algorithm ed25519 -outform DER | base64 -w0`, which is also what stands between the lines of a PEM file).
/// Several are separated by commas. Prints without them.
///
/// ```
/// use ductape_events::session::SessionKeys;
///
/// let keys = SessionKeys::parse(
///     "2026-11:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=,\
///      2026-10:ed25519:MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
/// )?;
/// assert!(!format!("{keys:?}").contains("q83"));
/// assert!(SessionKeys::parse("2026-11:dG9vIHNob3J0").is_err());
/// # Ok::<(), ductape_events::BrokerError>(())
/// ```
#[derive(Clone)]
pub struct SessionKeys(Arc<[Key]>);

/// One key.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    pub(super) sign: EncodingKey,
    pub(super) verify: DecodingKey,
}

/// How an Ed25519 key in PKCS #8 or as a public key begins, after two bytes of length: its algorithm, 1.3.101.112.
const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

impl SessionKeys {
    /// The variable that they are read from.
    pub const VARIABLE: &'static str = "DUCTAPE_SESSION_KEYS";
    /// The shortest secret, in bytes.
    pub const SECRET_LEN_MIN: usize = 32;
    /// The longest secret, in bytes.
    pub const SECRET_LEN_MAX: usize = 1_024;

    /// Reads keys.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` saying which is no key, without showing it.
    pub fn parse(text: &str) -> Result<Self, BrokerError> {
        // A program whose own dependencies choose another cryptography as well would have none by default. Where the program has
        // chosen one, that is used.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
        let mut keys: Vec<Key> = Vec::new();
        for (at, text) in text.split(',').enumerate() {
            let key = key(text.trim()).map_err(|why| wrong(at, &why))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(wrong(at, &format!("has the id `{}`, as another has", key.id)));
            }
            keys.push(key);
        }
        Ok(Self(keys.into()))
    }

    pub(crate) fn from_variable(value: Option<String>) -> Result<Option<Self>, BrokerError> {
        let keys = value.map(|value| Self::parse(&value)).transpose();
        keys.map_err(|error| {
            let text = format!(
                "the variable `{}` can't be used: {}",
                Self::VARIABLE,
                error.message()
            );
            BrokerError::new(ErrorCode::ConfigInvalid, text)
        })
    }

    /// The one that signs.
    pub(super) fn current(&self) -> Option<&Key> {
        self.0.first()
    }

    /// The one of this id.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKeys({})", self.0.len())
    }
}

fn wrong(at: usize, why: &str) -> BrokerError {
    BrokerError::new(
        ErrorCode::ConfigInvalid,
        format!(
            "key {} of the sessions {why}; write `ID:KEY` with the key of `openssl rand -base64 32`, several with `,` between",
            at + 1
        ),
    )
}

fn key(text: &str) -> Result<Key, String> {
    let Some((id, rest)) = text.split_once(':') else {
        return Err("has no id before a `:`".to_owned());
    };
    let of_an_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=64).contains(&id.len()) || !id.bytes().all(of_an_id) {
        return Err("has an id that is not 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`".to_owned());
    }
    match rest.split_once(':') {
        None => secret(id, rest),
        Some(("ed25519", der)) => pair(id, der),
        Some(_) => Err("is of a kind that is not known; kinds: none for a secret, `ed25519:`".to_owned()),
    }
}

fn secret(id: &str, text: &str) -> Result<Key, String> {
    let bytes = decoded(text)?;
    let (min, max) = (SessionKeys::SECRET_LEN_MIN, SessionKeys::SECRET_LEN_MAX);
    if !(min..=max).contains(&bytes.len()) {
        return Err(format!("has {} bytes; it must have {min} to {max}", bytes.len()));
    }
    // A public key as the secret would let everybody sign.
    if bytes.first() == Some(&0x30)
        && bytes
            .windows(ED25519_OID.len())
            .take(16)
            .any(|at| at == ED25519_OID)
    {
        return Err("is an Ed25519 key without its kind: write `ID:ed25519:KEY`".to_owned());
    }
    Ok(Key {
        id: id.to_owned(),
        algorithm: Algorithm::HS256,
        sign: EncodingKey::from_secret(&bytes),
        verify: DecodingKey::from_secret(&bytes),
    })
}

fn pair(id: &str, text: &str) -> Result<Key, String> {
    let der = decoded(text)?;
    let public_of = aws_lc::DEFAULT_PROVIDER
        .key_utils
        .ed_pub_components_from_private_key;
    let public = public_of(&der, &EllipticCurve::Ed25519)
        .map_err(|_| "is no private Ed25519 key in PKCS #8".to_owned())?;
    Ok(Key {
        id: id.to_owned(),
        algorithm: Algorithm::EdDSA,
        sign: EncodingKey::from_ed_der(&der),
        verify: DecodingKey::from_ed_der(&public),
    })
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text.trim())
        .map_err(|_| "is not base64".to_owned())
}
