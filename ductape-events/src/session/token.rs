//! Tokens: signed, and opened again. Nothing here reads the clock or the store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::SessionKeys;
use super::refusal::Refusal;

/// The longest token, with what stands before it, in bytes.
pub(super) const TOKEN_LEN_MAX: usize = 4 * 1024;
/// By how much the clocks of those who sign and those who verify may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
const ISSUER: &str = "ductape";
/// The last second of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

/// What a token says. Nothing of the user: that is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    /// The product and the environment.
    pub(super) aud: String,
    /// Makes two tokens of one second differ.
    pub(super) jti: String,
    /// The session's id.
    pub(super) sid: String,
    /// The tag of its configuration.
    pub(super) tag: String,
    pub(super) iat: u64,
    pub(super) nbf: u64,
    pub(super) exp: u64,
}

impl Claims {
    pub(super) fn new(
        audience: String,
        (session_id, tag): (&str, &str),
        jti: String,
        now: SystemTime,
        expires_at: SystemTime,
    ) -> Self {
        let now = seconds(now);
        Self {
            iss: ISSUER.to_owned(),
            aud: audience,
            jti,
            sid: session_id.to_owned(),
            tag: tag.to_owned(),
            iat: now,
            nbf: now,
            exp: seconds(expires_at),
        }
    }

    /// When the token ends.
    pub(super) fn expires_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.exp.min(SECONDS_MAX))
    }
}

/// Whom tokens of a product and an environment are for; no other pair of names has the same.
pub(super) fn audience(product: &str, environment: &str) -> String {
    let part = |text: &str| text.replace('%', "%25").replace('/', "%2F");
    format!("{}/{}", part(product), part(environment))
}

/// `life` from now, in whole seconds, as a token says it.
pub(super) fn end_of(now: SystemTime, life: Duration) -> SystemTime {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default() + life;
    let up = u64::from(since.subsec_nanos() > 0);
    UNIX_EPOCH + Duration::from_secs(since.as_secs().saturating_add(up).min(SECONDS_MAX))
}

pub(super) fn sign(keys: &SessionKeys, claims: &Claims) -> Result<String, Error> {
    let key = keys.current().ok_or(ErrorKind::InvalidKeyFormat)?;
    let mut header = Header::new(key.algorithm);
    header.kid = Some(key.id.clone());
    encode(&header, claims, &key.sign)
}

/// What a token says, if it is signed with one of `keys` for `audience`, and now is its time.
pub(super) fn open(
    keys: &SessionKeys,
    jwt: &str,
    audience: &str,
    now: SystemTime,
) -> Result<Claims, Refusal> {
    if jwt.len() > TOKEN_LEN_MAX {
        return Err(Refusal::TooLong);
    }
    let header = decode_header(jwt).map_err(|_| Refusal::Malformed)?;
    // No extension of the header is known here, and these must be.
    if header.crit.is_some() {
        return Err(Refusal::Malformed);
    }
    let key = header.kid.as_deref().and_then(|id| keys.find(id));
    let key = key.ok_or(Refusal::UnknownKey)?;
    let mut validation = Validation::new(key.algorithm);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss"]);
    // Times are compared below, with the clock that tests can hold.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let opened = decode::<Claims>(jwt, &key.verify, &validation);
    let claims = opened.map_err(|error| why(error.kind()))?.claims;
    if claims.exp > SECONDS_MAX || claims.nbf > SECONDS_MAX {
        return Err(Refusal::Claims);
    }
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    if now > at(claims.exp) + LEEWAY {
        return Err(Refusal::Expired);
    }
    if now + LEEWAY < at(claims.nbf) {
        return Err(Refusal::NotYet);
    }
    Ok(claims)
}

const fn why(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Refusal::Algorithm,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => {
            Refusal::Claims
        }
        _ => Refusal::Malformed,
    }
}

/// A token as it is presented: `sessionId:token` or the token, which is `tag:jwt`; so `sessionId:tag:jwt`, too.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    before: [Option<&'a str>; 2],
    pub(super) jwt: &'a str,
}

impl<'a> Presented<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > TOKEN_LEN_MAX {
            return Err(Refusal::TooLong);
        }
        let mut parts = text.rsplitn(4, ':');
        let jwt = parts.next().unwrap_or_default();
        let (second, first) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            before: [first, second],
            jwt,
        })
    }

    /// Whether anything stands before it.
    pub(super) fn is_bare(&self) -> bool {
        self.before == [None, None]
    }

    /// Whether what stands before it is of the session that it names.
    pub(super) fn fits(&self, claims: &Claims) -> bool {
        match self.before {
            [Some(id), Some(tag)] => id == claims.sid && tag == claims.tag,
            [None, Some(either)] => either == claims.sid || either == claims.tag,
            _ => true,
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
