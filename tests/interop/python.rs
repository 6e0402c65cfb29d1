//! The Python programs as child processes, and the model that is generated for them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A Python that has what `tests/interop/requirements.txt` lists.
const VARIABLE: &str = "DUCTAPE_INTEROP_PYTHON";
/// How long a program may take, from its start to its end.
const LIMIT: Duration = Duration::from_mins(2);

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ductape-interop-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Python(PathBuf);

impl Python {
    /// The one to talk to this server with, if `DUCTAPE_TEST` names the server and there is a Python.
    pub(crate) fn for_server(name: &str) -> Option<Self> {
        let asked = std::env::var("DUCTAPE_TEST").unwrap_or_default();
        let is_asked = |name: &str| asked.split(',').any(|asked| asked == name);
        let python = std::env::var_os(VARIABLE).map(|path| Self(path.into()));
        assert!(
            python.is_some() || !is_asked("interop"),
            "`{VARIABLE}` is not set; `dev/test interop` sets it"
        );
        if python.is_none() || !is_asked(name) {
            println!("{name} is left out: `DUCTAPE_TEST` does not name it, or `{VARIABLE}` is not set");
            return None;
        }
        python
    }

    /// Generates the module `order_placed`, of pydantic's models, from a JSON Schema.
    pub(crate) fn generate(&self, schema: &Value, folder: &Folder) {
        let file = folder.0.join("order-placed.v1.schema.json");
        std::fs::write(&file, schema.to_string()).unwrap();
        let mut command = Command::new(&self.0);
        command
            .args(["-m", "datamodel_code_generator"])
            .args(["--input-file-type", "jsonschema", "--input"])
            .arg(&file)
            .args(["--output-model-type", "pydantic_v2.BaseModel", "--output"])
            .arg(folder.0.join("order_placed.py"));
        Program::start(&mut command, folder).finish();
    }

    /// Starts a program of `tests/interop`.
    pub(crate) fn start(&self, program: &str, settings: &Value, folder: &Folder) -> Program {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let mut command = Command::new(&self.0);
        command
            .arg(programs.join(program))
            .arg(settings.to_string())
            .env("PYTHONPATH", &folder.0)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Program::start(&mut command, folder)
    }
}

/// A program that runs; it is killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    said: Receiver<String>,
    stderr: PathBuf,
    until: Instant,
}

impl Program {
    fn start(command: &mut Command, folder: &Folder) -> Self {
        let stderr = folder.0.join("stderr");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (say, hear) = sync_channel(64);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            said: hear,
            stderr,
            until: Instant::now() + LIMIT,
        }
    }

    /// Its next line; `None` when it has closed its output.
    pub(crate) fn line(&self) -> Option<String> {
        match self
            .said
            .recv_timeout(self.until.saturating_duration_since(Instant::now()))
        {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("it says nothing for {LIMIT:?}\n{}", self.complaints())
            }
        }
    }

    /// The rest of its lines; it must end well.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let lines: Vec<String> = std::iter::from_fn(|| self.line()).collect();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < self.until, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(
            status.success(),
            "{status}, after it said {lines:#?}\n{}",
            self.complaints()
        );
        lines
    }

    pub(crate) fn complaints(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
