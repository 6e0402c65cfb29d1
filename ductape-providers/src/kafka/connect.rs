//! Connecting, and the test of a connection.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::metadata::Metadata;
use tokio::time::timeout;

use super::config;
use super::error::of_client;
use super::provider::Kafka;
use super::watch::Watch;
use crate::clock;
use crate::config::KafkaConfig;
use crate::connection::{ConnectionReport, Probe};
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

/// How long a connection is tried: below the 10 s in which a program is told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the client is asked before its errors are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a server that ends each connection is tried: it may be starting, or not be what the configuration says.
const DOWN_WAIT: Duration = Duration::from_secs(3);

/// A client without a group: it answers questions.
pub(super) type Asking = BaseConsumer<Watch>;

impl ConsumerContext for Watch {}

/// Connects.
pub(crate) async fn connect(config: &KafkaConfig) -> Result<AnyProvider> {
    let config = Arc::new(config.clone());
    let mut probe = Probe::new("kafka", config.address());
    let hosts: Vec<(&str, u16)> = config
        .brokers
        .iter()
        .map(|broker| (&*broker.host, broker.port))
        .collect();
    if timeout(CONNECT_TIMEOUT, probe.reach(&hosts))
        .await
        .ok()
        .flatten()
        .is_none()
    {
        let report = probe.finish();
        let failed = report.steps.into_iter().find_map(|step| step.outcome.err());
        let error =
            failed.unwrap_or_else(|| Error::new(ErrorKind::Unreachable, "the brokers do not answer in time"));
        return Err(error.with("provider", "kafka").with("address", config.address()));
    }
    let (asking, _) = blocking({
        let config = Arc::clone(&config);
        move || log_in(&config)
    })
    .await?
    .map_err(|failed| failed.error.with("address", config.address()))?;
    Ok(Arc::new(Kafka::new(config, asking)?))
}

/// Runs what blocks on a thread that may be blocked.
pub(super) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(run).await.map_err(|error| {
        let text = "the question to the cluster was ended";
        Error::new(ErrorKind::Unexpected, text)
            .with("provider", "kafka")
            .with_source(error)
    })
}

/// Why nobody is logged in.
struct Failed {
    error: Error,
    /// Whether it failed at the encryption.
    encrypting: bool,
}

/// A client that has been answered once. What the cluster refuses ends it: nothing is tried again and again.
fn log_in(config: &KafkaConfig) -> std::result::Result<(Asking, Metadata), Failed> {
    let watch = Watch::default();
    let client = config::asking(config);
    let asking = Asking::from_config_and_context(&client, watch.clone()).map_err(|error| Failed {
        error: of_client(&error, "connect"),
        encrypting: false,
    })?;
    let until = clock::now() + CONNECT_TIMEOUT;
    loop {
        let answer = asking.fetch_metadata(Some(NO_TOPIC), LOOK_EVERY);
        listen(&asking);
        let error = match answer {
            Ok(metadata) => return Ok((asking, metadata)),
            Err(error) => of_client(&error, "connect"),
        };
        if let Some((_, error)) = watch.take_refused() {
            let encrypting = error.kind() == ErrorKind::Unreachable;
            return Err(Failed { error, encrypting });
        }
        let now = clock::now();
        if watch.down_since().is_some_and(|since| now > since + DOWN_WAIT) {
            let encrypting = watch.is_unencrypted();
            let text = if encrypting {
                "the broker ends the connection instead of encrypting it; check `ssl` and the port"
            } else {
                "the broker ends each connection, or takes none; check the port, and whether it wants `ssl` or `sasl`"
            };
            return Err(Failed {
                error: Error::new(ErrorKind::Unreachable, text).with("provider", "kafka"),
                encrypting,
            });
        }
        if now > until {
            let silent = error.kind() == ErrorKind::Timeout;
            let text = "a broker takes the connection and does not answer; check the port, and whether it wants \
                        `ssl` or `sasl`";
            return Err(Failed {
                error: if silent {
                    Error::new(ErrorKind::Unreachable, text).with("provider", "kafka")
                } else {
                    error
                },
                encrypting: silent && config.ssl,
            });
        }
    }
}

/// A topic that need not exist: asking for it is the smallest question, and creates nothing.
pub(super) const NO_TOPIC: &str = "__consumer_offsets";

/// Takes what the client has to tell.
pub(super) fn listen<C: ConsumerContext>(client: &BaseConsumer<C>) {
    // An event that is not a message answers none, as an empty queue does.
    for _ in 0..16 {
        let _ = client.poll(Duration::ZERO);
    }
}

/// Tries a connection, step by step.
pub(crate) async fn test_connection(config: &KafkaConfig) -> ConnectionReport {
    let mut probe = Probe::new("kafka", config.address());
    let hosts: Vec<(&str, u16)> = config
        .brokers
        .iter()
        .map(|broker| (&*broker.host, broker.port))
        .collect();
    if probe.reach(&hosts).await.is_none() {
        return probe.finish();
    }
    let trying = {
        let config = config.clone();
        blocking(move || log_in(&config).map(|(_, metadata)| describe(&metadata)))
    };
    let last = if config.sasl.is_some() {
        "authenticate"
    } else {
        "authorize"
    };
    if !config.ssl {
        let tried = async { Ok((trying.await?.map_err(|failed| failed.error)?, ())) };
        probe.step(last, tried).await;
        return probe.finish();
    }
    // The client encrypts and logs in at one go; what failed tells which of the two did not work.
    let encrypting = async {
        match trying.await? {
            Err(failed) if failed.encrypting => Err(failed.error),
            answer => Ok((
                "TLS, by OpenSSL".to_owned(),
                answer.map_err(|failed| failed.error),
            )),
        }
    };
    if let Some(answer) = probe.step("encrypt", encrypting).await {
        let answer = answer.map(|text| (text, ()));
        probe.step(last, std::future::ready(answer)).await;
    }
    probe.finish()
}

fn describe(metadata: &Metadata) -> String {
    let brokers = metadata.brokers().len();
    format!("a cluster of {brokers}, asked at {}", metadata.orig_broker_name())
}
