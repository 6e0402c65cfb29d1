//! Where SQLite and Postgres differ.

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The text for this database.
    pub(crate) const fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// How a transaction begins that writes: one of SQLite that reads first could not become one that writes while another does
    /// (<https://www.sqlite.org/lang_transaction.html>, section 2.2).
    pub(crate) const fn begin(self) -> &'static str {
        self.pick("BEGIN IMMEDIATE", "BEGIN")
    }

    /// What is set on each connection.
    pub(crate) const fn prepare(self) -> &'static str {
        self.pick(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768",
            "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'; \
             SET application_name = 'ductape'",
        )
    }

    /// How the relays of an outbox take turns until the end of a transaction; SQLite has one writer anyway.
    pub(crate) const fn lock_outbox(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(7244615202411)"),
        }
    }
}
