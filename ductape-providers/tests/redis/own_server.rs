//! A server of a test's own, set up as the test needs it.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A Redis server on loopback that ends with its value.
pub(crate) struct OwnServer {
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl OwnServer {
    /// Starts a server; `None` where redis is not among the servers to test with.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        crate::variable("DUCTAPE_TEST_REDIS")?;
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = std::env::temp_dir().join(format!("ductape-redis-{port}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut server = Self {
            port,
            folder,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            process: None,
        };
        server.again();
        Some(server)
    }

    /// Starts it again, with what it had kept.
    pub(crate) fn again(&mut self) {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.arguments)
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
        panic!("redis-server did not start on port {}", self.port);
    }

    /// Ends it at once, as when its process is killed.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn address(&self) -> (String, u16) {
        ("127.0.0.1".to_owned(), self.port)
    }

    pub(crate) fn config(&self) -> Value {
        json!({"type": "REDIS", "host": "127.0.0.1", "port": self.port})
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
