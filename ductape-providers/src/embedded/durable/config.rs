use std::path::PathBuf;
use std::time::Duration;

use crate::embedded::durable::Durable;
use crate::error::{Error, ErrorKind, Result};

/// How the durable store is opened. Making it does no I/O.
///
/// ```no_run
/// # async fn open() -> ductape_providers::Result<()> {
/// use ductape_providers::embedded::durable::DurableConfig;
///
/// let store = DurableConfig::new(".ductape/events.db").open().await?;
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DurableConfig {
    /// The SQLite file. What is missing of its directory is made, open to its owner only.
    pub path: PathBuf,
    /// When a publish is confirmed. Default: [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// The largest payload, in bytes. Default: 1,048,576.
    pub payload_bytes_max: usize,
    /// How long a message is kept after every group has settled it, so that a group can be set back to it.
    /// Default: 24 hours.
    pub retention: Duration,
    /// The most settled messages of a topic that are kept within the retention. Default: 1,000,000.
    pub retained_max: u64,
    /// How long a group that asks for `once` remembers the ids that it handled. Default: 7 days.
    pub handled_for: Duration,
    /// How long an operation waits while other processes write, before it fails as
    /// [`Throttled`](ErrorKind::Throttled). Default: 5 s.
    pub busy_timeout: Duration,
    /// What SQLite may keep of the file in memory, in bytes. Default: 16 MiB.
    pub cache_bytes: usize,
    /// How far the file may grow, in bytes; what does not fit is refused as [`Throttled`](ErrorKind::Throttled).
    /// Default: `None`, as far as the disk allows.
    pub file_bytes_max: Option<u64>,
}

/// When a publish is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When it is on the disk: it survives a power failure.
    #[default]
    Full,
    /// When the file system has it: it survives the end of the process, but not a power failure.
    Normal,
}

impl DurableConfig {
    /// The largest payload unless another limit is set, in bytes.
    pub const PAYLOAD_BYTES_MAX_DEFAULT: usize = 1024 * 1024;

    /// The store at `path`, with the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::Full,
            payload_bytes_max: Self::PAYLOAD_BYTES_MAX_DEFAULT,
            retention: Duration::from_hours(24),
            retained_max: 1_000_000,
            handled_for: Duration::from_hours(7 * 24),
            busy_timeout: Duration::from_secs(5),
            cache_bytes: 16 * 1024 * 1024,
            file_bytes_max: None,
        }
    }

    /// Opens the store, and makes it when there is none.
    ///
    /// # Errors
    ///
    /// [`ConfigInvalid`](ErrorKind::ConfigInvalid) for a path without a file name or on a network file system,
    /// [`Unreachable`](ErrorKind::Unreachable), not temporary, when the file can't be made, read or written, is not a
    /// store of ours, is damaged, or was written by a newer version. Each names the file.
    pub async fn open(self) -> Result<Durable> {
        if self.path.file_name().is_none() {
            return Err(Error::new(
                ErrorKind::ConfigInvalid,
                "the store's path names no file; give for example `.ductape/events.db`",
            )
            .with("file", self.path.display()));
        }
        Durable::open(self).await
    }
}
