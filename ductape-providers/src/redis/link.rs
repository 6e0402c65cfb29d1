//! The connection that everything but waiting reads goes through: shared, and opened anew when it breaks.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::config::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
use super::error;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// For how long a failed attempt to connect is the answer of all who ask: a server that is down is not stormed.
const FAILED_FOR: Duration = Duration::from_millis(100);
/// The same, where the server refused the password.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// A connection to the server, shared by all who use the provider.
pub(super) struct Link {
    client: Client,
    address: String,
    /// The runtime that connected: what drives the connection must outlive those who use it.
    home: Handle,
    state: Mutex<State>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    open: Option<MultiplexedConnection>,
    /// How often a connection was opened.
    generation: u64,
    failed: Option<(Instant, ErrorKind, String)>,
    closed: bool,
}

/// Why a command has no answer.
#[derive(Debug)]
pub(super) struct Failed {
    error: Error,
    /// Whether the server may have got it.
    sent: bool,
}

impl Failed {
    /// What went wrong.
    pub(super) fn error(&self) -> &Error {
        &self.error
    }

    /// The error of a publish, which says whether its message may be stored.
    pub(super) fn of_publish(self) -> Error {
        if self.sent {
            self.error.with_indeterminate()
        } else {
            self.error
        }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Opens a connection of its own.
pub(super) async fn open(client: &Client) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(1024);
    let opened = client.get_multiplexed_async_connection_with_config(&config).await;
    opened.map_err(|error| {
        if error.is_timeout() {
            let message = format!("the server did not let us in within {CONNECT_TIMEOUT:?}");
            Error::new(ErrorKind::Unreachable, message)
        } else if error.is_connection_refusal() {
            Error::new(
                ErrorKind::Unreachable,
                "nobody listens there; check host and port, and that the server runs",
            )
        } else {
            error::client(&error)
        }
    })
}

/// The value of an answer; what the server refuses is an error.
pub(super) fn value(answer: redis::RedisResult<Value>) -> Result<Value> {
    match answer {
        Ok(Value::ServerError(refused)) => Err(error::answered(&refused)),
        Ok(value) => Ok(value),
        Err(failed) => Err(error::client(&failed)),
    }
}

impl Link {
    pub(super) fn new(client: Client, address: String) -> Self {
        Self {
            client,
            address,
            home: Handle::current(),
            state: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses everything from now on. What is under way is answered.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.open = None;
    }

    /// A further connection, for a reader that waits.
    pub(super) async fn dedicated(&self) -> Result<MultiplexedConnection> {
        open(&self.client)
            .await
            .map_err(|error| error.with("address", &self.address))
    }

    /// How often a connection was opened: what was told to a server must be told to one that restarted.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    fn at_hand(&self) -> Result<Option<(u64, MultiplexedConnection)>> {
        let state = self.lock();
        if state.closed {
            return Err(error::closed());
        }
        if let Some(open) = &state.open {
            return Ok(Some((state.generation, open.clone())));
        }
        if let Some((since, kind, text)) = &state.failed {
            let lasts = if *kind == ErrorKind::Unauthorized {
                REFUSED_FOR
            } else {
                FAILED_FOR
            };
            if clock::now().duration_since(*since) < lasts {
                return Err(Error::new(*kind, text.clone()).with("address", &self.address));
            }
        }
        Ok(None)
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection)> {
        if let Some(open) = self.at_hand()? {
            return Ok(open);
        }
        let _one_at_a_time = self.opening.lock().await;
        if let Some(open) = self.at_hand()? {
            return Ok(open);
        }
        let client = self.client.clone();
        let opened = match self.home.spawn(async move { open(&client).await }).await {
            Ok(opened) => opened,
            // The runtime that connected has ended.
            Err(_) => open(&self.client).await,
        };
        let mut state = self.lock();
        match opened {
            Ok(connection) if !state.closed => {
                if state.generation > 0 {
                    tracing::info!(address = self.address, "connected to Redis again");
                }
                state.failed = None;
                state.generation += 1;
                state.open = Some(connection.clone());
                Ok((state.generation, connection))
            }
            Ok(_) => Err(error::closed()),
            Err(error) => {
                state.failed = Some((clock::now(), error.kind(), error.message().to_owned()));
                Err(error.with("address", &self.address))
            }
        }
    }

    /// Gives a connection up that failed; the next command opens another.
    fn broke(&self, generation: u64, failed: &RedisError) {
        let mut state = self.lock();
        if state.generation == generation && state.open.take().is_some() {
            tracing::warn!(address = self.address, error = %failed, "the connection to Redis broke");
        }
    }

    /// Sends commands together; each has its own answer, which may be a refusal.
    pub(super) async fn pipe(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Failed> {
        let count = pipeline.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let (generation, mut connection) = self
            .connection()
            .await
            .map_err(|error| Failed { error, sent: false })?;
        match connection.send_packed_commands(pipeline, 0, count).await {
            Ok(answers) if answers.len() == count => Ok(answers),
            Ok(_) => Err(Failed {
                error: error::odd_answer("pipeline"),
                sent: true,
            }),
            Err(failed) => Err(self.failed(generation, &failed)),
        }
    }

    /// Sends one command.
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value> {
        let (generation, mut connection) = self.connection().await?;
        match connection.send_packed_command(command).await {
            Ok(Value::ServerError(refused)) => Err(error::answered(&refused)),
            Ok(value) => Ok(value),
            Err(failed) => Err(self.failed(generation, &failed).into()),
        }
    }

    fn failed(&self, generation: u64, failed: &RedisError) -> Failed {
        // A connection whose answers do not come is of no use either, though the client would keep it.
        if failed.is_io_error() || failed.is_unrecoverable_error() {
            self.broke(generation, failed);
        }
        Failed {
            error: error::client(failed).with("address", &self.address),
            sent: true,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
