use std::fmt;
use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use subtle::ConstantTimeEq as _;

use super::live::{insert_token, read_holder};
use super::{Holder, NewToken, Place, Sessions, clean};
use crate::error::Result;
use crate::statement::Statement;
use crate::time::{from_micros, micros};

/// A refresh token that asks for a new pair.
#[derive(Clone, Copy)]
pub struct Refresh<'a> {
    /// Where its session has to belong.
    pub place: Place<'a>,
    /// The token's id.
    pub token_id: &'a str,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// What takes its place.
    pub next: NewToken<'a>,
    /// When the new token ends.
    pub end_at: SystemTime,
    /// How long after its use a token may come again without being taken for a stolen one.
    pub grace: Duration,
    /// When this is.
    pub now: SystemTime,
}

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The session goes on, with the new token.
    Done {
        /// The session's id.
        session_id: String,
        /// Whose it is.
        holder: Holder,
    },
    /// There is no such token here.
    Unknown,
    /// The token's time is over.
    Expired,
    /// The session was revoked.
    Revoked,
    /// The token was used a moment ago, so that this is a second try, or the other of two at once.
    UsedJustNow,
    /// The token was used before: somebody else has it. The session was revoked now.
    Reused {
        /// The session's id.
        session_id: String,
    },
}

impl Sessions<'_> {
    /// Uses up a refresh token and keeps the one that takes its place: of several at once, one does.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn refresh(&self, refresh: &Refresh<'_>) -> Result<Refreshed> {
        let mut transaction = self.store.begin().await?;
        let mut select = Statement::new(
            "SELECT t.session_id, t.hash, t.expires_at, s.product, s.env, s.tag, s.identifier, s.end_at, s.revoked_at \
             FROM ductape_session_tokens t JOIN ductape_sessions s ON s.session_id = t.session_id WHERE t.token_id = ",
        );
        select.bind(clean(refresh.token_id).into_owned());
        let Some(row) = select.optional(&mut *transaction).await? else {
            return Ok(Refreshed::Unknown);
        };
        let (session_id, hash): (String, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let expires_at = from_micros(row.try_get(2)?);
        let mut holder = read_holder(&row, 3)?;
        let is_it = bool::from(hash.as_slice().ct_eq(&refresh.hash));
        if !is_it || refresh.place != place_of(&holder) {
            return Ok(Refreshed::Unknown);
        }
        if holder.revoked_at.is_some() {
            return Ok(Refreshed::Revoked);
        }
        if expires_at <= refresh.now {
            return Ok(Refreshed::Expired);
        }
        let mut take = Statement::new("UPDATE ductape_session_tokens SET used_at = ");
        take.bind(micros(refresh.now))
            .text(" WHERE used_at IS NULL AND token_id = ")
            .bind(clean(refresh.token_id).into_owned());
        if take.execute(&mut *transaction).await?.rows_affected() == 0 {
            return self.used_before(refresh, session_id, transaction).await;
        }
        let live_until = refresh.end_at.max(refresh.next.expires_at);
        let mut go_on = Statement::new("UPDATE ductape_sessions SET end_at = ");
        go_on.bind(micros(refresh.end_at));
        go_on.text(", live_until = ").bind(micros(live_until));
        go_on
            .text(" WHERE revoked_at IS NULL AND session_id = ")
            .bind(session_id.clone());
        if go_on.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(Refreshed::Revoked);
        }
        let next = insert_token(&session_id, refresh.next);
        next.execute(&mut *transaction).await?;
        transaction.commit().await?;
        holder.end_at = refresh.end_at;
        Ok(Refreshed::Done { session_id, holder })
    }

    async fn used_before(
        &self,
        refresh: &Refresh<'_>,
        session_id: String,
        mut transaction: sqlx::Transaction<'static, sqlx::Any>,
    ) -> Result<Refreshed> {
        let mut select = Statement::new("SELECT used_at FROM ductape_session_tokens WHERE token_id = ");
        select.bind(clean(refresh.token_id).into_owned());
        let Some(row) = select.optional(&mut *transaction).await? else {
            return Ok(Refreshed::Unknown);
        };
        let used_at = row.try_get::<Option<i64>, _>(0)?.map(from_micros);
        // Clocks of two machines differ, so that a use may seem to lie ahead.
        let since = used_at.and_then(|used| refresh.now.duration_since(used).ok());
        if since.unwrap_or_default() <= refresh.grace {
            return Ok(Refreshed::UsedJustNow);
        }
        let mut revoke = Statement::new("UPDATE ductape_sessions SET revoked_at = ");
        revoke.bind(micros(refresh.now));
        revoke
            .text(" WHERE revoked_at IS NULL AND session_id = ")
            .bind(session_id.clone());
        revoke.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Refreshed::Reused { session_id })
    }
}

fn place_of(holder: &Holder) -> Place<'_> {
    Place {
        product: &holder.product,
        env: &holder.env,
        tag: &holder.tag,
    }
}

impl fmt::Debug for Refresh<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
