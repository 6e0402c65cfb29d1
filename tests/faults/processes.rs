//! The producer and the consumers as child processes, and the folder that they share.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lines::Confirmed;

/// How long anything that must happen may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(25);

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ductape-faults-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the processes are told to use: the embedded store, or the broker that a `ductape.toml` in the folder names.
    pub(crate) fn store(&self) -> PathBuf {
        let config = self.0.join("ductape.toml");
        if config.exists() {
            config
        } else {
            self.0.join("events.db")
        }
    }

    fn stderr_file(&self) -> PathBuf {
        self.0.join("stderr")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the folder is kept: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A child process; it is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// Where the children say what went wrong.
    stderr_file: PathBuf,
}

impl Process {
    fn start(command: &mut Command, folder: &Folder) -> (Self, ChildStdout) {
        let stderr_file = folder.stderr_file();
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&stderr_file)
            .unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        (Self { child, stderr_file }, out)
    }

    fn complaints(&self) -> String {
        std::fs::read_to_string(&self.stderr_file).unwrap_or_default()
    }

    /// Ends it with SIGKILL; it must have been alive.
    pub(crate) fn kill(mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it ended by itself: {status}\n{}", self.complaints());
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end with SIGTERM, waits until it has, and expects exit code 0.
    pub(crate) fn terminate(self) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        self.succeed();
    }

    /// Waits until it has ended, and expects exit code 0.
    fn succeed(mut self) {
        let child = &mut self.child;
        let mut status: Option<ExitStatus> = None;
        wait_until("the process ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}\n{}", self.complaints());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a consumer process and waits until it consumes.
pub(crate) fn consumer(folder: &Folder, lease: Duration) -> Process {
    let (process, out) = Process::start(
        Command::new(env!("CARGO_BIN_EXE_consume-steps"))
            .arg(folder.store())
            .arg(folder.path())
            .arg(lease.as_millis().to_string()),
        folder,
    );
    let (said, hears): (_, Receiver<String>) = sync_channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(out).read_line(&mut line);
        let _ = said.send(line);
    });
    let line = hears.recv_timeout(LIMIT).unwrap_or_default();
    assert_eq!(line, "ready\n", "{}", process.complaints());
    process
}

/// A producer process.
pub(crate) struct Producer {
    process: Process,
    reader: JoinHandle<()>,
}

impl Producer {
    /// Starts one that produces `count` steps from number `first` on, endlessly if 0; what is confirmed goes to
    /// `confirmed`.
    pub(crate) fn start(
        folder: &Folder,
        first: u64,
        count: u64,
        kind: &str,
        confirmed: &Arc<Mutex<Vec<Confirmed>>>,
    ) -> Self {
        let (process, out) = Process::start(
            Command::new(env!("CARGO_BIN_EXE_produce-steps"))
                .arg(folder.store())
                .args([first.to_string(), count.to_string(), kind.to_owned()]),
            folder,
        );
        let confirmed = Arc::clone(confirmed);
        let reader = std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = String::new();
            // A line that the kill cut off is no confirmation that anybody saw.
            while out.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
                confirmed.lock().unwrap().push(Confirmed::parse(&line));
                line.clear();
            }
        });
        Self { process, reader }
    }

    pub(crate) fn kill(self) {
        self.process.kill();
        self.reader.join().unwrap();
    }

    /// Waits until it has produced everything.
    pub(crate) fn succeed(self) {
        self.process.succeed();
        self.reader.join().unwrap();
    }
}

/// Produces `count` steps of `kind`, numbered from 1, all confirmed.
pub(crate) fn produce(folder: &Folder, count: u64, kind: &str) {
    let confirmed = Arc::new(Mutex::new(Vec::new()));
    Producer::start(folder, 1, count, kind, &confirmed).succeed();
    assert_eq!(confirmed.lock().unwrap().len() as u64, count);
}

/// Waits for a condition, and fails when it does not come in [`LIMIT`].
#[track_caller]
pub(crate) fn wait_until(what: &str, come: impl FnMut() -> bool) {
    wait_for(LIMIT, what, come);
}

/// Waits for a condition, and fails when it does not come within `limit`.
#[track_caller]
pub(crate) fn wait_for(limit: Duration, what: &str, mut come: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !come() {
        assert!(Instant::now() < until, "this did not come: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
