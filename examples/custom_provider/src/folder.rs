//! The folder that holds a journal: a file a topic.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ductape_providers::{Error, ErrorKind, Result, TopicName, TopicSpec};

use crate::error;
use crate::topic::Topic;

const ENDING: &str = "jsonl";
/// Short of the 255 bytes that file systems take, by the ending.
const NAME_LEN_MAX: usize = 240;

/// A journal that is open in this process. All that it does blocks: see `Journal::blocking`.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    topics: Mutex<HashMap<TopicName, Arc<Topic>>>,
}

/// The folders of this process. The lock of a folder stays this process's until it ends; the topics are kept in memory for
/// as long as a handle needs them.
static OPEN: Mutex<BTreeMap<PathBuf, (File, Weak<Folder>)>> = Mutex::new(BTreeMap::new());

impl Folder {
    /// The journal in `path`, which is made if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        fs::create_dir_all(path).map_err(|error| error::file("create", path, error))?;
        let path = fs::canonicalize(path).map_err(|error| error::file("find", path, error))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = open.get(&path).and_then(|(_, folder)| folder.upgrade()) {
            return Ok(folder);
        }
        let lock = match open.remove(&path) {
            Some((lock, _)) => lock,
            None => lock(&path)?,
        };
        let read = Self::read(path.clone()).map(Arc::new);
        let weak = read.as_ref().map(Arc::downgrade).unwrap_or_default();
        open.insert(path, (lock, weak));
        read
    }

    fn read(path: PathBuf) -> Result<Self> {
        let failed = |error| error::file("read", &path, error);
        let mut topics = HashMap::new();
        for file in fs::read_dir(&path).map_err(failed)? {
            let file = file.map_err(failed)?.path();
            if file.extension().is_some_and(|ending| ending == ENDING) {
                if let Some(topic) = Topic::open(file.clone())? {
                    topics.insert(topic.name().clone(), Arc::new(topic));
                } else {
                    fs::remove_file(&file).map_err(|error| error::file("mend", &file, error))?;
                }
            }
        }
        Ok(Self {
            path,
            topics: Mutex::new(topics),
        })
    }

    pub(crate) fn topic(&self, name: &TopicName) -> Result<Arc<Topic>> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics
            .get(name)
            .map(Arc::clone)
            .ok_or_else(|| error::topic_missing(name))
    }

    /// The topic, which is made if it is not there.
    pub(crate) fn topic_or_new(&self, spec: &TopicSpec) -> Result<Arc<Topic>> {
        let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
        let path = self.path.join(format!("{}.{ENDING}", checked(&physical)?));
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(&spec.topic) {
            if topic.path() != path {
                return Err(mismatch(&spec.topic, &path, &topic.path().display().to_string()));
            }
            return Ok(Arc::clone(topic));
        }
        if let Some(other) = topics.values().find(|other| other.path() == path) {
            return Err(mismatch(&spec.topic, &path, &format!("`{}` there", other.name())));
        }
        let topic = Arc::new(Topic::create(path, spec.topic.clone())?);
        // The file's name is in the folder, which is a file too.
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(|error| error::file("write to", &self.path, error))?;
        topics.insert(spec.topic.clone(), Arc::clone(&topic));
        Ok(topic)
    }

    /// Whether the folder is still there.
    pub(crate) fn look(&self) -> Result<()> {
        let looked = fs::metadata(&self.path);
        looked
            .map(drop)
            .map_err(|error| error::file("find", &self.path, error))
    }
}

fn lock(path: &Path) -> Result<File> {
    let path = path.join("lock");
    let file = File::create(&path).map_err(|error| error::file("lock", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Unreachable,
            "another process has the journal open, and one at a time can; end it, or use another folder",
        )
        .with("file", path.display())),
        Err(TryLockError::Error(error)) => Err(error::file("lock", &path, error)),
    }
}

/// The name comes from a configuration, and must not lead out of the folder.
fn checked(name: &str) -> Result<&str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.starts_with('.') || !name.bytes().all(allowed) {
        return Err(Error::new(
            ErrorKind::ConfigInvalid,
            format!(
                "{name:?} can't be the name of a file; it must have 1 to {NAME_LEN_MAX} of A-Z, a-z, 0-9, `-`, `_` and `.`, \
                 and not begin with `.`"
            ),
        ));
    }
    Ok(name)
}

fn mismatch(topic: &TopicName, wanted: &Path, there: &str) -> Error {
    Error::new(
        ErrorKind::TopologyMismatch,
        format!(
            "`{topic}` is to be kept in {}, but the journal has {there}; give it the name that it has, or another",
            wanted.display()
        ),
    )
}
