//! Payloads at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::Generate as _;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::error::{Result, StoreError, StoreErrorKind};

// Two bits apart, so that no single one makes a sealed payload a plain one.
const SEALED: u8 = b'S';
const PLAIN: u8 = b'P';
const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 24;

/// The keys that payloads are sealed with at rest: XChaCha20-Poly1305, each payload bound to the row that it stands in.
///
/// Without keys payloads are kept as they are. The first key seals; all of them open, so that a key is replaced by putting the
/// new one in front of the old.
///
/// ```
/// use ductape_store::StoreKeys;
///
/// let key = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="; // openssl rand -base64 32
/// let keys = StoreKeys::parse(key)?;
/// assert!(!format!("{keys:?}").contains("q83"));
/// assert!(StoreKeys::parse("too short").is_err());
/// # Ok::<(), ductape_store::StoreError>(())
/// ```
#[derive(Clone, Default)]
pub struct StoreKeys {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: [u8; KEY_ID_LEN],
    cipher: XChaCha20Poly1305,
}

impl StoreKeys {
    /// No keys: payloads are kept as they are.
    pub const fn none() -> Self {
        Self { keys: Vec::new() }
    }

    /// Reads keys of 32 bytes in base64, separated by commas; the first seals.
    ///
    /// # Errors
    ///
    /// [`ConfigInvalid`](StoreErrorKind::ConfigInvalid) saying which is no key, without showing it.
    pub fn parse(text: &str) -> Result<Self> {
        let key = |(at, text): (usize, &str)| {
            let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
            let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| {
                StoreError::new(
                    StoreErrorKind::ConfigInvalid,
                    format!(
                        "key {} of the store is not 32 bytes in base64; make one with `openssl rand -base64 32`",
                        at + 1
                    ),
                )
            })?;
            let mut id = [0; KEY_ID_LEN];
            id.copy_from_slice(&Sha256::digest(&bytes)[..KEY_ID_LEN]);
            Ok(Key { id, cipher })
        };
        let keys = text.split(',').enumerate().map(key).collect::<Result<_>>()?;
        Ok(Self { keys })
    }

    /// Whether payloads are sealed.
    pub fn is_sealing(&self) -> bool {
        !self.keys.is_empty()
    }

    /// `plain` as it is kept in the row that `row` names.
    pub(crate) fn seal(&self, plain: &[u8], row: &str) -> Result<Vec<u8>> {
        let Some(key) = self.keys.first() else {
            return Ok([&[PLAIN][..], plain].concat());
        };
        let cannot = || StoreError::new(StoreErrorKind::Failed, "a payload could not be sealed");
        let nonce = XNonce::try_generate().map_err(|_| cannot())?;
        let aad = row.as_bytes();
        let sealed = key
            .cipher
            .encrypt(&nonce, Payload { msg: plain, aad })
            .map_err(|_| cannot())?;
        Ok([&[SEALED][..], &key.id, &nonce, &sealed].concat())
    }

    /// What [`seal`](Self::seal) was given.
    pub(crate) fn open(&self, kept: &[u8], row: &str) -> Result<Vec<u8>> {
        let damaged =
            |why: &str| StoreError::new(StoreErrorKind::Damaged, format!("the payload of `{row}` {why}"));
        match kept.split_first() {
            Some((&PLAIN, plain)) => Ok(plain.to_vec()),
            Some((&SEALED, rest)) if rest.len() > KEY_ID_LEN + NONCE_LEN => {
                let (id, rest) = rest.split_at(KEY_ID_LEN);
                let (nonce, sealed) = rest.split_at(NONCE_LEN);
                let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| {
                    damaged(
                        "is sealed with a key that is not given; add it behind the others of the store's key",
                    )
                })?;
                let nonce = XNonce::try_from(nonce).map_err(|_| damaged("is cut short"))?;
                let aad = row.as_bytes();
                key.cipher
                    .decrypt(&nonce, Payload { msg: sealed, aad })
                    .map_err(|_| damaged("was changed since it was sealed"))
            }
            _ => Err(damaged("is not one that this library keeps")),
        }
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKeys({})", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{STANDARD, StoreKeys};
    use crate::error::StoreErrorKind;
    use base64::Engine as _;

    fn keys(bytes: &[u8]) -> StoreKeys {
        let text: Vec<String> = bytes.iter().map(|byte| STANDARD.encode([*byte; 32])).collect();
        StoreKeys::parse(&text.join(" , ")).unwrap()
    }

    #[test]
    fn a_sealed_payload_opens_in_its_row_alone() {
        let keys = keys(&[1]);
        let kept = keys.seal(b"hunter2", "m1").unwrap();
        assert!(!kept.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(
            kept,
            keys.seal(b"hunter2", "m1").unwrap(),
            "the same twice tells that it is"
        );
        assert_eq!(keys.open(&kept, "m1").unwrap(), b"hunter2");
        assert_eq!(
            keys.open(&kept, "m2").unwrap_err().kind(),
            StoreErrorKind::Damaged
        );
        for at in 0..kept.len() {
            let mut changed = kept.clone();
            changed[at] ^= 1;
            assert!(keys.open(&changed, "m1").is_err(), "byte {at}");
            assert!(keys.open(&kept[..at], "m1").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_key_is_replaced_by_putting_the_new_one_in_front() {
        let kept = keys(&[1]).seal(b"x", "m").unwrap();
        let plain = StoreKeys::none().seal(b"x", "m").unwrap();
        let both = keys(&[2, 1]);
        assert_eq!(both.open(&kept, "m").unwrap(), b"x");
        assert_eq!(
            both.open(&plain, "m").unwrap(),
            b"x",
            "from before there was a key"
        );
        let newer = both.seal(b"x", "m").unwrap();
        assert_eq!(keys(&[2]).open(&newer, "m").unwrap(), b"x");
        let error = keys(&[1]).open(&newer, "m").unwrap_err();
        assert!(error.to_string().contains("a key that is not given"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        for text in [
            "",
            "CANARY",
            &STANDARD.encode([1; 31]),
            &format!("{},CANARY", STANDARD.encode([1; 32])),
        ] {
            let error = StoreKeys::parse(text).unwrap_err();
            assert!(error.to_string().contains("openssl rand"), "{error}");
            assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
        }
    }
}
