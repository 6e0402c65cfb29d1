//! Trying a connection, step by step, and what each step said.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// How long one step of a test may take.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a test of a connection: its steps, in order, up to the first that failed.
///
/// ```
/// use ductape_providers::config::ProviderConfig;
///
/// # async fn show() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ProviderConfig::from_value(&serde_json::json!({"type": "REDIS", "host": "localhost"}))?;
/// let report = config.test_connection().await;
/// println!("{report}");
/// assert!(report.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "what the test found is in the report"]
pub struct ConnectionReport {
    /// The kind of broker: `redis` …
    pub provider: &'static str,
    /// Where it is, without secrets.
    pub address: String,
    /// The steps that were tried: `configure`, `resolve`, `connect`, `encrypt`, `authenticate`, `authorize`.
    pub steps: Vec<ConnectionStep>,
}

/// One step of a test of a connection.
#[derive(Debug)]
pub struct ConnectionStep {
    /// What was tried.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What was found (`127.0.0.1:6379`, `Redis 7.0.15`), or what went wrong.
    pub outcome: Result<String>,
}

impl ConnectionReport {
    /// Whether every step succeeded.
    pub fn is_ok(&self) -> bool {
        !self.steps.is_empty() && self.error().is_none()
    }

    /// What went wrong, if something did.
    pub fn error(&self) -> Option<&Error> {
        self.steps.iter().find_map(|step| step.outcome.as_ref().err())
    }

    /// The step that failed, if one did.
    pub fn failed_step(&self) -> Option<&'static str> {
        self.steps
            .iter()
            .find_map(|step| step.outcome.is_err().then_some(step.name))
    }
}

impl fmt::Display for ConnectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.provider, self.address)?;
        for step in &self.steps {
            let millis = step.took.as_secs_f64() * 1e3;
            match &step.outcome {
                Ok(found) => write!(f, "\n  {:<12} ok      {millis:>8.1} ms  {found}", step.name)?,
                Err(error) => write!(f, "\n  {:<12} FAILED  {millis:>8.1} ms  {error}", step.name)?,
            }
        }
        Ok(())
    }
}

impl Serialize for ConnectionReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let steps: Vec<serde_json::Value> = self
            .steps
            .iter()
            .map(|step| {
                serde_json::json!({
                    "name": step.name,
                    "ok": step.outcome.is_ok(),
                    "millis": step.took.as_secs_f64() * 1e3,
                    "found": step.outcome.as_ref().ok(),
                    "error": step.outcome.as_ref().err().map(ToString::to_string),
                })
            })
            .collect();
        let mut report = serializer.serialize_struct("ConnectionReport", 4)?;
        report.serialize_field("provider", self.provider)?;
        report.serialize_field("address", &self.address)?;
        report.serialize_field("ok", &self.is_ok())?;
        report.serialize_field("steps", &steps)?;
        report.end()
    }
}

/// A test of a connection that is under way.
#[derive(Debug)]
pub(crate) struct Probe(ConnectionReport);

#[allow(dead_code)] // which of it is used depends on the features
impl Probe {
    pub(crate) const fn new(provider: &'static str, address: String) -> Self {
        Self(ConnectionReport {
            provider,
            address,
            steps: Vec::new(),
        })
    }

    /// Tries one step. It answers what was found (for people) and a value for the next step; `None` when it failed.
    pub(crate) async fn step<T>(
        &mut self,
        name: &'static str,
        step: impl Future<Output = Result<(String, T)>>,
    ) -> Option<T> {
        let began = clock::now();
        let answer = timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| {
            let text = format!("no answer within {STEP_TIMEOUT:?}");
            Err(Error::new(ErrorKind::Timeout, text).with("operation", name))
        });
        let (outcome, value) = match answer {
            Ok((found, value)) => (Ok(found), Some(value)),
            Err(error) => (Err(error), None),
        };
        self.0.steps.push(ConnectionStep {
            name,
            took: clock::now().duration_since(began),
            outcome,
        });
        value
    }

    /// Resolves the hosts, and opens a TCP connection to the first that takes one.
    pub(crate) async fn reach(&mut self, hosts: &[(&str, u16)]) -> Option<SocketAddr> {
        let addresses = self.step("resolve", resolve(hosts)).await?;
        self.step("connect", connect(&addresses)).await
    }

    pub(crate) fn finish(self) -> ConnectionReport {
        self.0
    }
}

async fn resolve(hosts: &[(&str, u16)]) -> Result<(String, Vec<SocketAddr>)> {
    let mut all = Vec::new();
    let mut failed = None;
    for (host, port) in hosts {
        match lookup_host((*host, *port)).await {
            Ok(found) => all.extend(found),
            Err(error) => failed = Some((host, error)),
        }
    }
    if all.is_empty() {
        let (host, error) = failed.map_or((String::new(), None), |(host, error)| {
            ((*host).to_owned(), Some(error))
        });
        let text =
            format!("host `{host}` has no address; check how it is written, and the network's name server");
        let unknown = Error::new(ErrorKind::Unreachable, text);
        return Err(match error {
            Some(error) => unknown.with_source(error),
            None => unknown,
        });
    }
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    Ok((texts.join(", "), all))
}

async fn connect(addresses: &[SocketAddr]) -> Result<(String, SocketAddr)> {
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok((address.to_string(), *address)),
            Err(error) => failed = Some((address, error)),
        }
    }
    let unreachable = |text: String| Error::new(ErrorKind::Unreachable, text);
    Err(match failed {
        Some((address, error)) => unreachable(format!(
            "nothing answers at {address}; check the port, and that the broker runs"
        ))
        .with_source(error),
        None => unreachable("there is no address to connect to".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::Probe;

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_told_from_a_host_that_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut probe = Probe::new("redis", "there".to_owned());
        assert!(probe.reach(&[("127.0.0.1", port)]).await.is_some());
        assert!(probe.finish().is_ok());

        drop(listener);
        let mut probe = Probe::new("redis", "there".to_owned());
        assert!(probe.reach(&[("127.0.0.1", port)]).await.is_none());
        let report = probe.finish();
        assert_eq!(report.failed_step(), Some("connect"), "{report}");

        let mut probe = Probe::new("redis", "there".to_owned());
        assert!(probe.reach(&[("no-such-host.invalid", 1)]).await.is_none());
        let report = probe.finish();
        assert_eq!(report.failed_step(), Some("resolve"), "{report}");
        assert!(report.to_string().contains("no-such-host.invalid"), "{report}");
    }
}
