//! How the suite reaches the brokers that are servers: those that `dev/brokers` started, and that `dev/brokers env` names.

use std::sync::Arc;
use std::time::Duration;

use ductape_events::providers::config::ProviderConfig;
use ductape_events::providers::conformance::{Failure, Harness, Server};
use ductape_events::providers::{AnyProvider, Result};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// The brokers that are servers, as `DUCTAPE_TEST` names them.
pub(crate) const NAMES: [&str; 8] = [
    "kafka",
    "rabbitmq",
    "redis",
    "sqs",
    "sqs-moto",
    "sqs-standard",
    "pubsub",
    "nats",
];

/// One of them.
#[derive(Clone)]
pub(crate) struct Remote {
    name: &'static str,
    config: Value,
    /// The same, with a password that is wrong.
    wrong: Option<Value>,
    lease: Duration,
    delay: Duration,
    quiet: Duration,
    patience: Duration,
    concurrency: usize,
    /// Whether what the server has outlives it.
    stoppable: bool,
}

/// The value of a variable that `dev/brokers env` prints.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("`{name}` is not set; start the brokers (`dev/brokers up`) and read their variables (`eval \"$(dev/brokers env)\"`)")
    })
}

impl Remote {
    /// The broker `name`, as the variables say where it is.
    pub(crate) fn new(name: &str) -> Self {
        let name = NAMES
            .into_iter()
            .find(|known| *known == name)
            .unwrap_or_else(|| panic!("`{name}` is none of {NAMES:?}"));
        let common = Self {
            name,
            config: Value::Null,
            wrong: None,
            lease: Duration::from_secs(2),
            delay: Duration::from_millis(400),
            quiet: Duration::from_millis(500),
            patience: Duration::from_secs(15),
            concurrency: 8,
            stoppable: true,
        };
        match name {
            // Members of a group share its partitions anew when one comes or goes, which takes one to two seconds.
            "kafka" => Self {
                config: json!({"type": "KAFKA", "brokers": [variable("DUCTAPE_TEST_KAFKA")], "clientId": "conformance",
                    "partitions": 3}),
                wrong: Some(
                    json!({"type": "KAFKA", "brokers": [variable("DUCTAPE_TEST_KAFKA_SASL")], "clientId": "conformance",
                        "sasl": {"mechanism": "scram-sha-256", "username": "ductape", "password": "wrong"}}),
                ),
                quiet: Duration::from_millis(1_500),
                ..common
            },
            "rabbitmq" => {
                let url = variable("DUCTAPE_TEST_RABBITMQ");
                let wrong = url.replace("://", "://guest:not-it@");
                Self {
                    config: json!({"type": "RABBITMQ", "url": url}),
                    wrong: Some(json!({"type": "RABBITMQ", "url": wrong})),
                    ..common
                }
            }
            "redis" => {
                let server = variable("DUCTAPE_TEST_REDIS");
                let (host, port) = server.split_once(':').unwrap();
                Self {
                    config: json!({"type": "REDIS", "host": host, "port": port}),
                    wrong: std::env::var("DUCTAPE_TEST_REDIS_SECURE").ok().map(|secure| {
                        let (host, port) = secure.split_once(':').unwrap();
                        json!({"type": "REDIS", "host": host, "port": port, "password": "not-it"})
                    }),
                    ..common
                }
            }
            // SQS counts leases and delays in whole seconds. Moto forgets everything when it stops.
            "sqs" | "sqs-moto" | "sqs-standard" => {
                let moto = name == "sqs-moto";
                let server = if moto {
                    "DUCTAPE_TEST_SQS_MOTO"
                } else {
                    "DUCTAPE_TEST_SQS"
                };
                Self {
                    config: json!({"type": "AWS_SQS", "region": "us-east-1", "accessKeyId": "test", "secretAccessKey": "test",
                        "endpoint": variable(server), "fifo": name != "sqs-standard"}),
                    // Moto takes a hundred messages a second and gives thirty: a short lease would end before it was extended.
                    lease: Duration::from_secs(if moto { 20 } else { 2 }),
                    delay: Duration::from_secs(1),
                    patience: Duration::from_secs(if moto { 60 } else { 20 }),
                    concurrency: if moto { 1 } else { 4 },
                    stoppable: !moto,
                    ..common
                }
            }
            "pubsub" => Self {
                config: json!({"type": "GOOGLE_PUBSUB", "projectId": "conformance", "endpoint": variable("DUCTAPE_TEST_PUBSUB")}),
                // The client extends what is in hand; three of these are longer than the 10 s that Pub/Sub waits at least.
                lease: Duration::from_secs(4),
                // The client sends acks ten times a second, and the emulator looks for what to deliver as often.
                quiet: Duration::from_millis(800),
                // Longer than the least lease: what is on its way to a subscription that ends comes after that.
                patience: Duration::from_secs(20),
                concurrency: 4,
                // The emulator keeps everything in memory, and would forget it.
                stoppable: false,
                ..common
            },
            _ => Self {
                config: json!({"type": "NATS", "servers": [variable("DUCTAPE_TEST_NATS")]}),
                wrong: Some(
                    json!({"type": "NATS", "servers": variable("DUCTAPE_TEST_NATS_USER"), "user": "ductape", "pass": "wrong"}),
                ),
                ..common
            },
        }
    }
}

fn connect(config: &Value) -> BoxFuture<'_, Result<AnyProvider>> {
    Box::pin(async move {
        let config = ProviderConfig::from_value(config).unwrap_or_else(|error| panic!("{error}"));
        config.connect().await
    })
}

impl Harness for Remote {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        connect(&self.config)
    }

    fn server(&self) -> Option<Arc<dyn Server>> {
        let command = std::env::var("DUCTAPE_TEST_BROKERS")
            .ok()
            .filter(|_| self.stoppable)?;
        Some(Arc::new(DevServer {
            command,
            name: self.name,
        }))
    }

    fn connect_with_wrong_password(&self) -> Option<BoxFuture<'_, Result<AnyProvider>>> {
        self.wrong.as_ref().map(connect)
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    fn delay(&self) -> Duration {
        self.delay
    }

    fn quiet(&self) -> Duration {
        self.quiet
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }
}

/// A server that `dev/brokers` stops, by killing it, and starts.
struct DevServer {
    command: String,
    name: &'static str,
}

impl DevServer {
    async fn run(&self, verb: &'static str) -> Result<(), Failure> {
        let (command, name) = (self.command.clone(), self.name);
        let run = move || std::process::Command::new(&command).args([verb, name]).output();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let output = output.map_err(|error| Failure::new(format!("dev/brokers {verb} {name}: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(format!("dev/brokers {verb} {name} failed: {said}")))
    }
}

impl Server for DevServer {
    fn stop(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.run("stop"))
    }

    fn start(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.run("start"))
    }
}
