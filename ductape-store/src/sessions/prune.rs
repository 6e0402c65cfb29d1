use std::time::SystemTime;

use super::Sessions;
use crate::error::Result;
use crate::statement::Statement;
use crate::time::micros;

/// How many rows of each kind are forgotten in one step.
const PRUNE_STEP: i64 = 1_000;

impl Sessions<'_> {
    /// Forgets sessions, and refresh tokens, that could last be used before `before`, at most 1,000 of each, and says how many rows.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn prune(&self, before: SystemTime) -> Result<u64> {
        let row = self.store.dialect().pick("rowid", "ctid");
        let mut forgotten = 0;
        for (from, which) in [
            ("ductape_session_tokens", " WHERE expires_at < "),
            ("ductape_sessions", " WHERE live_until < "),
        ] {
            let mut delete = Statement::new("DELETE FROM ");
            delete
                .text(from)
                .text(" WHERE ")
                .text(row)
                .text(" IN (SELECT ")
                .text(row);
            delete.text(" FROM ").text(from).text(which).bind(micros(before));
            delete.text(" LIMIT ").bind(PRUNE_STEP).text(")");
            forgotten += delete.execute(self.store.writer()).await?.rows_affected();
        }
        Ok(forgotten)
    }
}
