//! Sessions: what kinds a product has, which are under way, and the tokens that they are refreshed with.
//!
//! No token is kept that opens anything: of a refresh token its SHA-256, of the signed token nothing. What a session holds is sealed
//! with the store's keys, bound to the session; the value that names its user is not, since sessions are looked for by it.

mod config;
mod live;
mod prune;
mod refresh;

pub use config::Config;
pub use live::{Holder, Listed, ListedPage, NewSession, NewToken, Session, Which};
pub use refresh::{Refresh, Refreshed};

use std::borrow::Cow;

use crate::open::Store;
use crate::statement::Statement;
use crate::tracking::text::without_nul;

/// The sessions of a store.
#[derive(Clone, Copy, Debug)]
pub struct Sessions<'a> {
    store: &'a Store,
}

impl Store {
    /// Its sessions.
    pub const fn sessions(&self) -> Sessions<'_> {
        Sessions { store: self }
    }
}

/// Where sessions of one kind belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The product.
    pub product: &'a str,
    /// The environment.
    pub env: &'a str,
    /// The tag of the session's configuration.
    pub tag: &'a str,
}

/// Adds the condition that a row is of `place`.
fn of_place(statement: &mut Statement, place: Place<'_>) {
    let Place { product, env, tag } = place;
    statement.text("product = ").bind(clean(product).into_owned());
    statement.text(" AND env = ").bind(clean(env).into_owned());
    statement.text(" AND tag = ").bind(clean(tag).into_owned());
}

/// A text as it is kept, and looked for: Postgres's TEXT takes no NUL.
fn clean(text: &str) -> Cow<'_, str> {
    without_nul(text)
}
