//! Sessions themselves: begun, checked, gone on with, revoked, listed.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytestring::ByteString;
use ductape_providers::MessageId;
use ductape_store::sessions::{Holder, NewSession, NewToken, Refresh, Refreshed, Which};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::answer::{ActiveSession, ActiveSessions, LiveSession, SessionCheck, StartedSession};
use super::config::DATA_BYTES_MAX;
use super::on_behalf::invalid;
use super::refusal::Refusal;
use super::service::{Sessions, failed};
use super::shape::misfit;
use super::token::{self, Claims, LEEWAY, Presented};
use super::{Session, SessionConfig};
use crate::clock;
use crate::error::{BrokerError, ErrorCode};
use crate::wiring::Wiring;

/// How long after its use a refresh token may come again without being taken for a stolen one: the other of two at once, or a
/// second try of somebody who did not get the answer. Neither is given a pair.
const REUSE_GRACE: Duration = Duration::from_secs(10);
/// The secret of a refresh token, in bytes.
const SECRET_LEN: usize = 32;
/// The longest refresh token: an id, a dot, a secret; with room for those of later versions.
const REFRESH_LEN_MAX: usize = 256;
/// Every so many starts, what is long over is forgotten.
const PRUNE_EVERY: u32 = 256;
/// How long what is over is kept, so that handlers can tell a session that has ended from one that never was.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// Which sessions are revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke<'a> {
    /// The one of this id.
    Session(&'a str),
    /// All of this user: the value of the field that the selector names, as text.
    Identifier(&'a str),
}

/// Which sessions are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveFilter {
    /// Those of this user alone.
    pub identifier: Option<String>,
    /// Which page, from 1, the default.
    pub page: u32,
    /// How many a page has, 1 to 1,000; 20 by default.
    pub limit: u32,
}

impl Default for ActiveFilter {
    fn default() -> Self {
        Self {
            identifier: None,
            page: 1,
            limit: 20,
        }
    }
}

impl Sessions<'_> {
    /// Begins a session that holds `data`, which has to be as the configuration's sample.
    ///
    /// # Errors
    ///
    /// `PAYLOAD_INVALID` saying which fields are not as the sample's, `PAYLOAD_TOO_LARGE` above 16 KiB of JSON, `CONFIG_INVALID` without a
    /// configuration of this tag or without keys, `STORE_FAILED`.
    pub async fn start<D>(&self, tag: &str, data: &D) -> Result<StartedSession, BrokerError>
    where
        D: Serialize + ?Sized,
    {
        let data = serde_json::to_value(data).map_err(|error| {
            let text = "the session's data does not serialise to JSON";
            BrokerError::new(ErrorCode::PayloadInvalid, text).with_source(error)
        })?;
        self.start_at(tag, data, clock::wall()).await
    }

    pub(super) async fn start_at(
        &self,
        tag: &str,
        data: Value,
        now: SystemTime,
    ) -> Result<StartedSession, BrokerError> {
        self.wiring.sessions().keys()?;
        let config = self.config(tag).await?.config;
        if let Some(text) = misfit(&config.schema, &data) {
            let text = format!("the data does not fit the schema of session `{tag}`: {text}");
            return Err(BrokerError::new(ErrorCode::PayloadInvalid, text));
        }
        let bytes = data.to_string().into_bytes();
        if bytes.len() > DATA_BYTES_MAX {
            let text = format!(
                "the data of a session has {} bytes of JSON; at most {DATA_BYTES_MAX} are allowed",
                bytes.len()
            );
            return Err(BrokerError::new(ErrorCode::PayloadTooLarge, text));
        }
        let identifier = config.identifier_of(&data)?;
        let new = NewPair::new(&config, now)?;
        let started = self.sign(&new, tag, &MessageId::new().to_string(), now)?;
        let begun = NewSession {
            place: self.place(tag),
            session_id: &started.session_id,
            identifier: &identifier,
            data: &bytes,
            start_at: now,
            end_at: new.expires_at,
            token: new.kept(),
        };
        let sessions = self.store()?.sessions();
        sessions.start(&begun).await.map_err(failed)?;
        if self.wiring.sessions().start().is_multiple_of(PRUNE_EVERY) {
            let before = now.checked_sub(KEPT).unwrap_or(SystemTime::UNIX_EPOCH);
            if let Err(error) = sessions.prune(before).await {
                tracing::debug!(%error, "sessions that are over were not forgotten");
            }
        }
        Ok(started)
    }

    /// Whether a token is good now: signed for this product and environment, not over, and its session not revoked. It is given
    /// as it was handed out, `tag:jwt`, or as `sessionId:token`.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` without keys, `STORE_FAILED`. A token that is not good is an answer, not an error.
    pub async fn verify(&self, tag: &str, token: &str) -> Result<SessionCheck, BrokerError> {
        self.verify_at(tag, token, clock::wall()).await
    }

    pub(super) async fn verify_at(
        &self,
        tag: &str,
        token: &str,
        now: SystemTime,
    ) -> Result<SessionCheck, BrokerError> {
        let part = self.wiring.sessions();
        let claims = match self.open(token, Some(tag), now)? {
            Ok(claims) => claims,
            Err(refusal) => {
                part.count(refusal);
                return Ok(SessionCheck::INVALID);
            }
        };
        let found = self
            .store()?
            .sessions()
            .session(&claims.sid)
            .await
            .map_err(failed)?;
        let session = match found {
            Some(session) => self.under_way(&claims, &session.holder).map(|()| session),
            None => Err(Refusal::UnknownSession),
        };
        let session = match session {
            Ok(session) => session,
            Err(refusal) => {
                part.count(refusal);
                return Ok(SessionCheck::INVALID);
            }
        };
        Ok(SessionCheck {
            valid: true,
            data: Some(held(&session.data)?),
            expires_at: Some(claims.expires_at()),
            session_id: Some(claims.sid),
        })
    }

    /// A new pair for a refresh token, which is used up by it.
    ///
    /// Of two calls with one token at once, one gets the pair. A token that comes again more than 10 s after its use was stolen,
    /// from the user or by him: all of its session is revoked, so that neither goes on. Within these 10 s it is refused alone, since it
    /// may be a second try, or another tab.
    ///
    /// # Errors
    ///
    /// `SESSION_INVALID`; `CONFIG_INVALID` without a configuration of this tag or without keys; `STORE_FAILED`.
    pub async fn refresh(&self, tag: &str, refresh_token: &str) -> Result<StartedSession, BrokerError> {
        self.refresh_at(tag, refresh_token, clock::wall()).await
    }

    pub(super) async fn refresh_at(
        &self,
        tag: &str,
        refresh_token: &str,
        now: SystemTime,
    ) -> Result<StartedSession, BrokerError> {
        let part = self.wiring.sessions();
        part.keys()?;
        let config = self.config(tag).await?.config;
        let refuse = |refusal| {
            part.count(refusal);
            Err(invalid())
        };
        let Some((token_id, secret)) = parts_of(refresh_token) else {
            return refuse(Refusal::RefreshUnknown);
        };
        let next = NewPair::new(&config, now)?;
        let refresh = Refresh {
            place: self.place(tag),
            token_id,
            hash: Sha256::digest(secret).into(),
            next: next.kept(),
            end_at: next.expires_at,
            grace: REUSE_GRACE,
            now,
        };
        let refreshed = self.store()?.sessions().refresh(&refresh).await;
        match refreshed.map_err(failed)? {
            Refreshed::Done { session_id, .. } => self.sign(&next, tag, &session_id, now),
            Refreshed::Unknown => refuse(Refusal::RefreshUnknown),
            Refreshed::Expired => refuse(Refusal::RefreshExpired),
            Refreshed::Revoked => refuse(Refusal::RefreshRevoked),
            Refreshed::UsedJustNow => refuse(Refusal::RefreshUsedJustNow),
            Refreshed::Reused { session_id } => {
                tracing::warn!(
                    session = session_id,
                    tag,
                    "a refresh token was used twice; its session was revoked"
                );
                refuse(Refusal::RefreshReused)
            }
        }
    }

    /// Revokes sessions, at once and for good, and says how many: those that could still be used or refreshed.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn revoke(&self, tag: &str, which: Revoke<'_>) -> Result<u64, BrokerError> {
        let which = match which {
            Revoke::Session(id) => Which::Id(id),
            Revoke::Identifier(user) => Which::Identifier(user),
        };
        let sessions = self.store()?.sessions();
        let revoked = sessions.revoke(self.place(tag), which, clock::wall()).await;
        revoked.map_err(failed)
    }

    /// The sessions under way, newest first: their newest token has not ended, and they were not revoked.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for page 0 and a limit that is not 1 to 1,000, `STORE_FAILED`.
    pub async fn list_active(&self, tag: &str, filter: &ActiveFilter) -> Result<ActiveSessions, BrokerError> {
        let ActiveFilter {
            identifier,
            page,
            limit,
        } = filter;
        let sessions = self.store()?.sessions();
        let found = sessions
            .list_active(
                self.place(tag),
                identifier.as_deref(),
                (*page, *limit),
                clock::wall(),
            )
            .await
            .map_err(failed)?;
        let active = found.sessions.into_iter().map(|session| ActiveSession {
            session_id: session.session_id,
            identifier: session.identifier,
            start_at: session.start_at,
            end_at: session.end_at,
            active: true,
        });
        Ok(ActiveSessions {
            sessions: active.collect(),
            total: found.total,
            page: *page,
            limit: *limit,
            has_more: u64::from(*page) * u64::from(*limit) < found.total,
        })
    }

    /// What a token says; why it is not good. Without a `tag` it has to say itself whose it is.
    fn open(
        &self,
        text: &str,
        tag: Option<&str>,
        now: SystemTime,
    ) -> Result<Result<Claims, Refusal>, BrokerError> {
        let keys = self.wiring.sessions().keys()?;
        Ok(Presented::read(text).and_then(|presented| {
            if tag.is_none() && presented.is_bare() {
                return Err(Refusal::Malformed);
            }
            let claims = token::open(keys, presented.jwt, &self.audience(), now)?;
            if presented.fits(&claims) && tag.is_none_or(|tag| tag == claims.tag) {
                Ok(claims)
            } else {
                Err(Refusal::OtherSession)
            }
        }))
    }

    /// Whether the session that a good token names is under way; why not.
    fn under_way(&self, claims: &Claims, holder: &Holder) -> Result<(), Refusal> {
        let here = self.place(&claims.tag);
        if (&*holder.product, &*holder.env, &*holder.tag) != (here.product, here.env, here.tag) {
            return Err(Refusal::UnknownSession);
        }
        match holder.revoked_at {
            None => Ok(()),
            Some(_) => Err(Refusal::Revoked),
        }
    }

    fn sign(
        &self,
        new: &NewPair,
        tag: &str,
        session_id: &str,
        now: SystemTime,
    ) -> Result<StartedSession, BrokerError> {
        let keys = self.wiring.sessions().keys()?;
        let claims = Claims::new(
            self.audience(),
            (session_id, tag),
            MessageId::new().to_string(),
            now,
            new.expires_at,
        );
        let jwt = token::sign(keys, &claims).map_err(|_| {
            let text = "the session's token could not be signed; check the first key of the sessions";
            BrokerError::new(ErrorCode::ConfigInvalid, text)
        })?;
        Ok(StartedSession {
            token: format!("{tag}:{jwt}"),
            refresh_token: format!("{}.{}", new.token_id, new.secret),
            session_id: session_id.to_owned(),
            expires_at: new.expires_at,
        })
    }
}

/// What a pair of tokens is made of.
struct NewPair {
    token_id: String,
    secret: String,
    expires_at: SystemTime,
    refresh_until: SystemTime,
}

impl NewPair {
    fn new(config: &SessionConfig, now: SystemTime) -> Result<Self, BrokerError> {
        let mut secret = [0; SECRET_LEN];
        getrandom::fill(&mut secret).map_err(|error| {
            let text = "the system gives no random bytes for a session's tokens";
            BrokerError::new(ErrorCode::StoreFailed, text).with_source(error)
        })?;
        Ok(Self {
            token_id: MessageId::new().to_string(),
            secret: URL_SAFE_NO_PAD.encode(secret),
            expires_at: token::end_of(now, config.token_life().duration()),
            refresh_until: token::end_of(now, config.refresh_life().duration()),
        })
    }

    fn kept(&self) -> NewToken<'_> {
        NewToken {
            token_id: &self.token_id,
            hash: Sha256::digest(&self.secret).into(),
            expires_at: self.refresh_until,
        }
    }
}

/// The id and the secret of a refresh token.
fn parts_of(refresh_token: &str) -> Option<(&str, &str)> {
    let parts = refresh_token.split_once('.');
    parts.filter(|_| refresh_token.len() <= REFRESH_LEN_MAX)
}

/// What the store holds of a session.
fn held(data: &[u8]) -> Result<Value, BrokerError> {
    serde_json::from_slice(data).map_err(|_| {
        let text = "the store holds data of a session that is no JSON";
        BrokerError::new(ErrorCode::StoreFailed, text)
    })
}

/// Checks the token of a produce call, and answers what travels in its place.
///
/// The store is asked each time, so that what was revoked is refused at once.
pub(super) async fn check(token: &str, wiring: &Wiring, now: SystemTime) -> Result<ByteString, BrokerError> {
    wiring.check_open()?;
    let sessions = Sessions::new(wiring);
    let checked = match sessions.open(token, None, now)? {
        Ok(claims) => {
            let holder = sessions.store()?.sessions().holder(&claims.sid).await;
            match holder.map_err(failed)? {
                Some(holder) => sessions
                    .under_way(&claims, &holder)
                    .map(|()| (claims.sid, holder)),
                None => Err(Refusal::UnknownSession),
            }
        }
        Err(refusal) => Err(refusal),
    };
    let (session_id, holder) = checked.map_err(|refusal| {
        wiring.sessions().count(refusal);
        invalid()
    })?;
    let session = Session {
        session_id,
        tag: holder.tag,
        identifier: holder.identifier,
    };
    session.written().map(ByteString::from).map_err(|_| invalid())
}

/// What a session holds that a message came with, if it is under way.
pub(super) async fn require(
    session: &Session,
    wiring: &Wiring,
    now: SystemTime,
) -> Result<LiveSession, BrokerError> {
    let sessions = Sessions::new(wiring);
    let found = sessions.store()?.sessions().session(&session.session_id).await;
    let refusal = match found.map_err(failed)? {
        None => Refusal::UnknownSession,
        Some(found)
            if (&found.holder.tag, &found.holder.identifier) != (&session.tag, &session.identifier) =>
        {
            Refusal::UnknownSession
        }
        Some(found) if found.holder.revoked_at.is_some() => Refusal::Revoked,
        Some(found) if now > found.holder.end_at + LEEWAY => Refusal::Ended,
        Some(found) => {
            return Ok(LiveSession {
                data: held(&found.data)?,
                session_id: session.session_id.clone(),
                expires_at: found.holder.end_at,
            });
        }
    };
    wiring.sessions().count(refusal);
    Err(invalid())
}
