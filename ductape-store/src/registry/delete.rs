//! Taking brokers out.

use std::time::SystemTime;

use sqlx::Row as _;

use super::{Registry, clean};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::statement::Statement;
use crate::time::micros;

/// How many groups the text of an error names.
const NAMED_MAX: i64 = 5;

impl Registry<'_> {
    /// Takes a broker out, with its environments, its topics and their consumers. Answers whether it was there.
    ///
    /// What was tracked of its messages stays, until it is pruned.
    ///
    /// # Errors
    ///
    /// [`Invalid`](StoreErrorKind::Invalid) naming the groups that programs consumed its topics in since `in_use_since`: then it
    /// is in use. And those of the database.
    pub async fn delete_broker(&self, product: &str, tag: &str, in_use_since: SystemTime) -> Result<bool> {
        let (product, tag) = (clean(product), clean(tag));
        let mut transaction = self.begin().await?;
        let mut used =
            Statement::new("SELECT topic, consumer_tag, env FROM ductape_consumers WHERE product = ");
        used.bind(&*product).text(" AND broker = ").bind(&*tag);
        used.text(" AND last_seen >= ").bind(micros(in_use_since));
        used.text(" ORDER BY topic, consumer_tag, env LIMIT ")
            .bind(NAMED_MAX);
        let mut users = Vec::new();
        for row in used.all(&mut *transaction).await? {
            let (topic, group, env): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            users.push(format!(
                "`{tag}:{topic}` in group `{group}` of environment `{env}`"
            ));
        }
        if !users.is_empty() {
            let text = format!(
                "broker `{tag}` is in use: programs consumed {}; end them first, or wait until they count as gone",
                users.join(", ")
            );
            return Err(StoreError::new(StoreErrorKind::Invalid, text));
        }
        let mut gone = 0;
        for delete in [
            "DELETE FROM ductape_consumers WHERE broker = ",
            "DELETE FROM ductape_topics WHERE broker = ",
            "DELETE FROM ductape_environments WHERE broker = ",
            "DELETE FROM ductape_brokers WHERE tag = ",
        ] {
            let mut delete = Statement::new(delete);
            delete.bind(&*tag).text(" AND product = ").bind(&*product);
            gone = delete.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(gone > 0)
    }
}
