//! The configuration of the broker that needs no server.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::fields::Fields;
use super::redact::shown;

/// The broker that needs no server (`EMBEDDED`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EmbeddedConfig {
    /// In memory, or in a file; in a file by default.
    pub mode: EmbeddedMode,
    /// The file of `durable`; `.ductape/events.db` by default.
    pub path: PathBuf,
    /// What a confirmation of `durable` stands for; `full` by default.
    pub synchronous: Synchronous,
    /// The most messages that a topic keeps: in `memory` those that wait, in `durable` those that all groups have settled.
    /// The mode's own default when `None`.
    pub capacity: Option<NonZeroU64>,
    /// How long `durable` keeps messages that all groups have settled: `"90s"`, `"30m"`, `"24h"`, `"7d"`. The mode's own
    /// default when `None`.
    #[serde(serialize_with = "as_seconds")]
    pub retention: Option<Duration>,
}

/// Where the embedded broker keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EmbeddedMode {
    /// In this process; they are gone when it ends.
    Memory,
    /// In a file, which several processes of one machine can share.
    #[default]
    Durable,
}

/// What a confirmation of the durable mode stands for: SQLite's `synchronous`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Synchronous {
    /// The message is on the disk: it survives a power loss.
    #[default]
    Full,
    /// The message is in the file system's cache: it survives a crash of the process, not a power loss.
    Normal,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            mode: EmbeddedMode::default(),
            path: PathBuf::from(Self::PATH_DEFAULT),
            synchronous: Synchronous::default(),
            capacity: None,
            retention: None,
        }
    }
}

impl EmbeddedConfig {
    /// Where the durable mode keeps its file unless the configuration says another place.
    pub const PATH_DEFAULT: &'static str = ".ductape/events.db";

    /// The largest `capacity`.
    const CAPACITY_MAX: i64 = 1_000_000_000;

    /// In this process, with everything else at its default.
    pub fn memory() -> Self {
        Self {
            mode: EmbeddedMode::Memory,
            ..Self::default()
        }
    }

    /// In the file `path`, with everything else at its default.
    pub fn durable(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let mode = fields
            .choice(
                "mode",
                &[
                    ("memory", EmbeddedMode::Memory),
                    ("durable", EmbeddedMode::Durable),
                ],
            )
            .unwrap_or_default();
        let path = fields.text("path");
        let synchronous = fields.choice(
            "synchronous",
            &[("full", Synchronous::Full), ("normal", Synchronous::Normal)],
        );
        let capacity = fields
            .number("capacity", "a number of messages", &(1..=Self::CAPACITY_MAX))
            .and_then(|number| u64::try_from(number).ok())
            .and_then(NonZeroU64::new);
        let retention = read_retention(fields);
        if mode == EmbeddedMode::Memory {
            for name in ["path", "synchronous", "retention"]
                .into_iter()
                .filter(|name| fields.has(name))
            {
                fields.find(
                    name,
                    "is of mode `durable`, but the mode is `memory`; leave it out, or write `durable`",
                );
            }
        }
        Self {
            mode,
            path: path.map_or_else(|| PathBuf::from(Self::PATH_DEFAULT), PathBuf::from),
            synchronous: synchronous.unwrap_or_default(),
            capacity,
            retention,
        }
    }

    pub(super) fn address(&self) -> String {
        match self.mode {
            EmbeddedMode::Memory => "memory".to_owned(),
            EmbeddedMode::Durable => self.path.display().to_string(),
        }
    }
}

/// Reads the field `retention`.
pub(super) fn read_retention(fields: &Fields<'_>) -> Option<Duration> {
    let text = fields.text("retention")?;
    let read = parse_duration(&text);
    if read.is_none() {
        fields.find(
            "retention",
            format!(
                "`{}` is not a time; write a number with s, m, h or d, for example `24h`",
                shown(&text)
            ),
        );
    }
    read
}

/// Reads `90s`, `30m`, `24h` or `7d`; at most a hundred years.
fn parse_duration(text: &str) -> Option<Duration> {
    const SECONDS_MAX: u64 = 100 * 366 * 24 * 60 * 60;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit_seconds)?;
    (seconds <= SECONDS_MAX).then(|| Duration::from_secs(seconds))
}

#[allow(clippy::ref_option)] // serde hands the field over like this
pub(super) fn as_seconds<S: serde::Serializer>(
    retention: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match retention {
        Some(retention) => serializer.collect_str(&format_args!("{}s", retention.as_secs())),
        None => serializer.serialize_none(),
    }
}
