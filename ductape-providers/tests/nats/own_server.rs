//! A server of a test's own, set up as the test needs it.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A NATS server on loopback that ends with its value.
pub(crate) struct OwnServer {
    port: u16,
    folder: PathBuf,
    settings: String,
    process: Option<Child>,
}

impl OwnServer {
    /// Starts a server with `settings`, in the form of its configuration file, in which `STORE` stands for a folder of its
    /// own; `None` where nats is not among the servers to test with.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        crate::variable("DUCTAPE_TEST_NATS")?;
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("ductape-nats-{port}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut server = Self {
            port,
            settings: settings.replace("STORE", folder.join("store").to_str().unwrap()),
            folder,
            process: None,
        };
        server.again();
        Some(server)
    }

    /// Starts it again, with what it had kept.
    pub(crate) fn again(&mut self) {
        let file = self.folder.join("conf");
        let settings = format!("listen: \"127.0.0.1:{}\"\n{}\n", self.port, self.settings);
        std::fs::write(&file, settings).unwrap();
        let process = Command::new(binary())
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("nats-server did not start on port {}", self.port);
    }

    /// Ends it at once, as when its process is killed.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn config(&self) -> Value {
        json!({"type": "NATS", "servers": format!("nats://127.0.0.1:{}", self.port)})
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The server's program: from where `dev/brokers` keeps what it got, else from the search path.
fn binary() -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/ductape-brokers"));
    let cache = std::env::var_os("DUCTAPE_BROKERS_CACHE")
        .map(PathBuf::from)
        .or(home);
    let kept = cache.and_then(|cache| {
        let mut kept: Vec<PathBuf> = std::fs::read_dir(cache)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin/nats-server")))
            .filter(|program| program.is_file())
            .collect();
        kept.sort();
        kept.pop()
    });
    kept.unwrap_or_else(|| PathBuf::from("nats-server"))
}
