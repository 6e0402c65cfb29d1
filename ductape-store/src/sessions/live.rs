use std::fmt;
use std::time::SystemTime;

use sqlx::Row as _;

use super::{Place, Sessions, clean, of_place};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::statement::Statement;
use crate::time::{from_micros, micros};

/// A session that begins.
#[derive(Clone, Copy)]
pub struct NewSession<'a> {
    /// Where it belongs.
    pub place: Place<'a>,
    /// Its id, another for each.
    pub session_id: &'a str,
    /// The value that names its user.
    pub identifier: &'a str,
    /// What it holds; kept sealed.
    pub data: &'a [u8],
    /// When it begins.
    pub start_at: SystemTime,
    /// When its token ends.
    pub end_at: SystemTime,
    /// What it can be refreshed with.
    pub token: NewToken<'a>,
}

/// A refresh token, without what opens anything.
#[derive(Clone, Copy)]
pub struct NewToken<'a> {
    /// Its id, another for each.
    pub token_id: &'a str,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// Until when it can be used.
    pub expires_at: SystemTime,
}

/// Whose a session is, and whether it was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The product.
    pub product: String,
    /// The environment.
    pub env: String,
    /// The tag of its configuration.
    pub tag: String,
    /// The value that names its user.
    pub identifier: String,
    /// When its newest token ends.
    pub end_at: SystemTime,
    /// When it was revoked, if it was.
    pub revoked_at: Option<SystemTime>,
}

/// A session, and what it holds.
#[derive(Clone)]
pub struct Session {
    /// Whose it is.
    pub holder: Holder,
    /// What it holds.
    pub data: Vec<u8>,
}

/// Which sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one of this id.
    Id(&'a str),
    /// All of this user.
    Identifier(&'a str),
}

/// A session as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub session_id: String,
    /// The value that names its user.
    pub identifier: String,
    /// When it began.
    pub start_at: SystemTime,
    /// When its newest token ends.
    pub end_at: SystemTime,
}

/// A page of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPage {
    /// The sessions, newest first.
    pub sessions: Vec<Listed>,
    /// How many there are on all pages.
    pub total: u64,
}

impl Sessions<'_> {
    /// Keeps a session that begins.
    ///
    /// # Errors
    ///
    /// [`Exists`](StoreErrorKind::Exists) when there is one of this id, and those of the database.
    pub async fn start(&self, session: &NewSession<'_>) -> Result<()> {
        let data = self
            .store
            .keys()
            .seal(session.data, &row_of(session.session_id))?;
        let mut insert = Statement::new(
            "INSERT INTO ductape_sessions (session_id, product, env, tag, identifier, data, start_at, end_at, live_until) VALUES (",
        );
        let Place { product, env, tag } = session.place;
        let texts = [session.session_id, product, env, tag, session.identifier];
        insert.list(texts.map(|text| clean(text).into_owned()));
        insert.text(", ").bind(data).text(", ");
        let live_until = session.end_at.max(session.token.expires_at);
        insert
            .list([session.start_at, session.end_at, live_until].map(micros))
            .text(")");
        let mut transaction = self.store.begin().await?;
        insert.execute(&mut *transaction).await?;
        insert_token(session.session_id, session.token)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whose a session is, of whatever product.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn holder(&self, session_id: &str) -> Result<Option<Holder>> {
        let mut select = Statement::new(
            "SELECT product, env, tag, identifier, end_at, revoked_at FROM ductape_sessions WHERE session_id = ",
        );
        select.bind(clean(session_id).into_owned());
        let row = select.optional(self.store.reader()).await?;
        row.as_ref().map(|row| read_holder(row, 0)).transpose()
    }

    /// A session of whatever product, and what it holds.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) when the data was changed, or is sealed with a key that is not given, and those of the
    /// database.
    pub async fn session(&self, session_id: &str) -> Result<Option<Session>> {
        let mut select = Statement::new(
            "SELECT data, product, env, tag, identifier, end_at, revoked_at FROM ductape_sessions WHERE session_id = ",
        );
        select.bind(clean(session_id).into_owned());
        let Some(row) = select.optional(self.store.reader()).await? else {
            return Ok(None);
        };
        let data: Vec<u8> = row.try_get(0)?;
        Ok(Some(Session {
            holder: read_holder(&row, 1)?,
            data: self.store.keys().open(&data, &row_of(session_id))?,
        }))
    }

    /// Revokes sessions that could still be used or refreshed at `now`, and says how many.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn revoke(&self, place: Place<'_>, which: Which<'_>, now: SystemTime) -> Result<u64> {
        let mut update = Statement::new("UPDATE ductape_sessions SET revoked_at = ");
        update.bind(micros(now));
        of_place(update.text(" WHERE "), place);
        match which {
            Which::Id(id) => update.text(" AND session_id = ").bind(clean(id).into_owned()),
            Which::Identifier(user) => update.text(" AND identifier = ").bind(clean(user).into_owned()),
        };
        update
            .text(" AND revoked_at IS NULL AND live_until > ")
            .bind(micros(now));
        Ok(update.execute(self.store.writer()).await?.rows_affected())
    }

    /// A page of the sessions whose tokens have not ended at `now` and that were not revoked, newest first: all, or one user's.
    ///
    /// # Errors
    ///
    /// [`Invalid`](StoreErrorKind::Invalid) when `page` is 0, or `limit` is not 1 to 1,000, and those of the database.
    pub async fn list_active(
        &self,
        place: Place<'_>,
        identifier: Option<&str>,
        (page, limit): (u32, u32),
        now: SystemTime,
    ) -> Result<ListedPage> {
        let skip = skipped(page, limit)?;
        let of = |text: &'static str| {
            let mut select = Statement::new(text);
            of_place(&mut select, place);
            if let Some(user) = identifier {
                select.text(" AND identifier = ").bind(clean(user).into_owned());
            }
            select
                .text(" AND revoked_at IS NULL AND end_at > ")
                .bind(micros(now));
            select
        };
        let count = of("SELECT CAST(COUNT(*) AS BIGINT) FROM ductape_sessions WHERE ");
        let total: i64 = count.one(self.store.reader()).await?.try_get(0)?;
        let mut select = of("SELECT session_id, identifier, start_at, end_at FROM ductape_sessions WHERE ");
        select
            .text(" ORDER BY start_at DESC, session_id DESC LIMIT ")
            .bind(i64::from(limit));
        select.text(" OFFSET ").bind(skip);
        let rows = select.all(self.store.reader()).await?;
        let listed = rows.iter().map(|row| {
            Ok(Listed {
                session_id: row.try_get(0)?,
                identifier: row.try_get(1)?,
                start_at: from_micros(row.try_get(2)?),
                end_at: from_micros(row.try_get(3)?),
            })
        });
        Ok(ListedPage {
            sessions: listed.collect::<Result<_>>()?,
            total: u64::try_from(total).unwrap_or_default(),
        })
    }
}

/// What a session's data is bound to.
fn row_of(session_id: &str) -> String {
    format!("session {session_id}")
}

pub(super) fn insert_token(session_id: &str, token: NewToken<'_>) -> Statement {
    let mut insert = Statement::new(
        "INSERT INTO ductape_session_tokens (token_id, session_id, hash, expires_at) VALUES (",
    );
    insert.list([token.token_id, session_id].map(|text| clean(text).into_owned()));
    insert.text(", ").bind(token.hash.to_vec());
    insert.text(", ").bind(micros(token.expires_at)).text(")");
    insert
}

pub(super) fn read_holder(row: &sqlx::any::AnyRow, from: usize) -> Result<Holder> {
    Ok(Holder {
        product: row.try_get(from)?,
        env: row.try_get(from + 1)?,
        tag: row.try_get(from + 2)?,
        identifier: row.try_get(from + 3)?,
        end_at: from_micros(row.try_get(from + 4)?),
        revoked_at: row.try_get::<Option<i64>, _>(from + 5)?.map(from_micros),
    })
}

fn skipped(page: u32, limit: u32) -> Result<i64> {
    let wrong = |text: String| Err(StoreError::new(StoreErrorKind::Invalid, text));
    match (page, limit) {
        (0, _) => wrong("pages are counted from 1".to_owned()),
        (_, 1..=1_000) => Ok(i64::from(page - 1) * i64::from(limit)),
        _ => wrong(format!("a page has 1 to 1,000 sessions, not {limit}")),
    }
}

// What is in it is the user's alone.
impl fmt::Debug for NewSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession")
            .field("place", &self.place)
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NewToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
