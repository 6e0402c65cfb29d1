//! Where the file lies: who may read it, and whether what is written there stays.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// What kind of file system a file is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Disk,
    /// It is gone after a restart of the machine.
    Memory,
    /// It has no locks that processes on several machines can rely on.
    Network,
}

/// Makes what is missing of the directory (0700) and the file (0600), and says where they are.
pub(super) fn prepare(path: &Path) -> Result<Place> {
    let failed = |what: &str, error: io::Error| {
        Error::new(ErrorKind::Unreachable, what)
            .with_temporary(false)
            .with("file", path.display())
            .with_source(error)
    };
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        directory_builder()
            .create(directory)
            .map_err(|error| failed("the store's directory can't be made", error))?;
        // So that a power failure does not take the new directory with what was confirmed in it. Where directories
        // can't be opened, this is the file system's own care.
        if let Some(parent) = directory.parent()
            && let Ok(parent) = std::fs::File::open(parent)
        {
            drop(parent.sync_all());
        }
    }
    file_options()
        .open(path)
        .map_err(|error| failed("the store's file can't be opened for reading and writing", error))?;
    let place = place_of(directory);
    if place == Place::Network {
        return Err(Error::new(
            ErrorKind::ConfigInvalid,
            "the store lies on a network file system, whose locks can't be relied on; put it on a local disk",
        )
        .with("file", path.display()));
    }
    Ok(place)
}

/// Tells a file from another that took its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    /// What tells the file at `path`; `None` when there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(Self(metadata.dev(), metadata.ino()))
        }
        // Elsewhere an open file can't be deleted.
        #[cfg(not(unix))]
        {
            let _ = metadata;
            Some(Self(0, 0))
        }
    }
}

fn directory_builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// SQLite gives the files beside it the permissions of the file itself.
fn file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn place_of(directory: &Path) -> Place {
    let Ok(directory) = directory.canonicalize() else {
        return Place::Disk;
    };
    // Only Linux has this file; elsewhere a disk is assumed.
    std::fs::read_to_string("/proc/self/mountinfo")
        .map_or(Place::Disk, |mounts| place_in(&mounts, &directory))
}

/// The kind of the innermost mount that holds `directory`. A line is `… … … … MOUNTPOINT … - TYPE …`.
fn place_in(mounts: &str, directory: &Path) -> Place {
    let innermost = mounts
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = PathBuf::from(before.split(' ').nth(4)?.replace("\\040", " "));
            directory.starts_with(&point).then(|| (point.components().count(), after))
        })
        // The last of equal ones is mounted over the others.
        .max_by_key(|(depth, _)| *depth);
    match innermost.and_then(|(_, after)| after.split(' ').next()) {
        Some("tmpfs" | "ramfs") => Place::Memory,
        Some("nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "afs" | "ceph" | "glusterfs") => {
            Place::Network
        }
        _ => Place::Disk,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Place, place_in};

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
23 22 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw
24 23 0:21 / /dev/shm rw,nosuid - tmpfs tmpfs rw
25 22 0:30 / /mnt/team\\040share rw shared:1 - nfs4 server:/x rw
";

    #[test]
    fn the_innermost_mount_decides() {
        for (path, place) in [
            ("/home/me/.ductape", Place::Disk),
            ("/dev/shm/store", Place::Memory),
            ("/mnt/team share/store", Place::Network),
            ("/mnt", Place::Disk),
        ] {
            assert_eq!(place_in(MOUNTS, Path::new(path)), place, "{path}");
        }
    }
}
