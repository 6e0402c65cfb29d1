//! A connection that is made again when it is lost.

use std::fmt;
use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{FieldTable, LongString, ShortString};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event, ExchangeKind};
use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::config::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, Settings};
use super::error;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// How soon after a failed try the next is made: the first, and the longest wait.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The same, where the server knows us and will have none of us.
const WAIT_REFUSED: Duration = Duration::from_secs(5);

/// An open connection.
pub(super) struct Open {
    connection: Connection,
    /// Why the server takes no publishes, while it does not.
    blocked: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("connected", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Open {
    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Why the server takes no publishes, while it does not.
    pub(super) fn blocked(&self) -> Option<String> {
        if !self.connection.status().blocked() {
            return None;
        }
        let reason = self
            .blocked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Some(reason.unwrap_or_else(|| "it does not say why".to_owned()))
    }

    /// A channel of one's own.
    pub(super) async fn channel(&self) -> Result<Channel> {
        answered("open a channel", self.connection.create_channel()).await
    }

    /// A channel whose publishes are confirmed.
    pub(super) async fn confirming(&self) -> Result<Channel> {
        let channel = self.channel().await?;
        answered(
            "confirm.select",
            channel.confirm_select(ConfirmSelectOptions::default()),
        )
        .await?;
        Ok(channel)
    }

    /// Whether the server has an exchange of this name.
    pub(super) async fn has_exchange(&self, name: &ShortString) -> Result<bool> {
        let channel = self.channel().await?;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let asked =
            channel.exchange_declare(name.clone(), ExchangeKind::Topic, options, FieldTable::default());
        match answered("exchange.declare", asked).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::TopicMissing => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        if !self.is_up() {
            return Ok(());
        }
        let closing = self.connection.close(200, "OK".into());
        match timeout(ANSWER_TIMEOUT, closing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) if !self.is_up() => Ok(()),
            Ok(Err(error)) => Err(error::client(&error)),
            Err(_) => Err(error::timeout("close")),
        }
    }
}

/// Waits for the server's answer, but not for ever.
pub(super) async fn answered<T>(
    operation: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T> {
    match timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error::client(&error)),
        Err(_) => Err(error::timeout(operation)),
    }
}

/// Opens a connection. It is given up after [`CONNECT_TIMEOUT`], and nothing of it is left then.
pub(super) async fn open(settings: &Settings, purpose: &str, runtime: &Handle) -> Result<Open, lapin::Error> {
    let name = format!("ductape-events {purpose}");
    let properties = ConnectionProperties::default().with_connection_name(LongString::from(name));
    let socket: Arc<Mutex<Option<StdTcpStream>>> = Arc::default();
    let connecting = {
        // The client works on the runtime that the provider was made on, whoever connects it again.
        let _entered = runtime.enter();
        let client_runtime = lapin::runtime::default_runtime()?;
        let (settings, socket) = (settings.clone(), Arc::clone(&socket));
        Connection::connector(
            settings.uri.clone(),
            client_runtime,
            async move |uri: AMQPUri, client_runtime| {
                let connect = async {
                    let address = (uri.authority.host.as_str(), uri.authority.port);
                    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                    for address in lookup_host(address).await? {
                        match AsyncTcpStream::connect(&client_runtime, address).await {
                            Ok(stream) => {
                                if let AsyncTcpStream::Plain(plain) = &stream {
                                    let tcp = plain.get_ref();
                                    tcp.set_nodelay(true)?;
                                    let twin = StdTcpStream::from(tcp.as_fd().try_clone_to_owned()?);
                                    *socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(twin);
                                }
                                return match &settings.tls {
                                    Some(connector) => {
                                        stream.into_rustls(connector, &uri.authority.host).await
                                    }
                                    None => Ok(stream),
                                };
                            }
                            Err(error) => failed = error,
                        }
                    }
                    Err(failed)
                };
                match timeout(CONNECT_TIMEOUT, connect).await {
                    Ok(stream) => Ok(stream?),
                    Err(_) => Err(silent()),
                }
            },
            properties,
        )
    };
    let opened = timeout(CONNECT_TIMEOUT, connecting).await;
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Ok(connection) = opened {
        return Ok(watched(connection?, runtime));
    }
    // A server that takes the connection and says nothing keeps the client's thread waiting, unless the connection ends.
    if let Some(socket) = socket {
        let _ = socket.shutdown(Shutdown::Both);
    }
    Err(silent())
}

fn silent() -> lapin::Error {
    let text = format!("no answer within {CONNECT_TIMEOUT:?}");
    io::Error::new(io::ErrorKind::TimedOut, text).into()
}

/// Keeps what the server says of itself.
fn watched(connection: Connection, runtime: &Handle) -> Open {
    let blocked: Arc<Mutex<Option<String>>> = Arc::default();
    let mut events = Box::pin(connection.events_listener());
    let told = Arc::clone(&blocked);
    runtime.spawn(async move {
        // It ends with the connection.
        while let Some(event) = events.next().await {
            match event {
                Event::ConnectionBlocked(reason) => {
                    tracing::warn!(?reason, "the RabbitMQ server blocks publishers");
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                }
                Event::ConnectionUnblocked => {
                    tracing::info!("the RabbitMQ server takes publishes again");
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                _ => {}
            }
        }
    });
    Open { connection, blocked }
}

/// A connection that is made again, by who needs it, when it is lost.
pub(super) struct Link {
    settings: Settings,
    address: String,
    purpose: &'static str,
    runtime: Handle,
    open: Mutex<Option<Arc<Open>>>,
    again: AsyncMutex<Again>,
}

/// When the next try may be made, and what became of the last.
struct Again {
    wait: Duration,
    next: Instant,
    failed: Option<Failed>,
}

/// Enough of an error to tell it again.
struct Failed {
    kind: ErrorKind,
    temporary: bool,
    message: String,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects.
    pub(super) async fn connect(settings: Settings, address: String, purpose: &'static str) -> Result<Self> {
        let link = Self {
            settings,
            address,
            purpose,
            runtime: Handle::current(),
            open: Mutex::new(None),
            again: AsyncMutex::new(Again {
                wait: WAIT.0,
                next: clock::now(),
                failed: None,
            }),
        };
        link.get().await?;
        Ok(link)
    }

    /// The runtime that the connection works on.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The connection, if it is up.
    pub(super) fn up(&self) -> Option<Arc<Open>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().filter(|open| open.is_up()).cloned()
    }

    /// The connection, made again where it is lost: one tries, the others wait for what becomes of it. Tries are apart;
    /// who comes between two is told what became of the last where trying again can't help.
    pub(super) async fn get(&self) -> Result<Arc<Open>> {
        if let Some(open) = self.up() {
            return Ok(open);
        }
        let asked = clock::now();
        let mut again = self.again.lock().await;
        if let Some(open) = self.up() {
            return Ok(open);
        }
        if let Some(failed) = &again.failed
            && (asked < again.next - again.wait || !failed.temporary && asked < again.next)
        {
            // It failed while this caller waited, or for good.
            let text = failed.message.clone();
            return Err(Error::new(failed.kind, text).with_temporary(failed.temporary));
        }
        sleep_until(again.next).await;
        match open(&self.settings, self.purpose, &self.runtime).await {
            Ok(opened) => {
                let opened = Arc::new(opened);
                *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&opened));
                if again.failed.take().is_some() {
                    tracing::info!(
                        address = self.address,
                        purpose = self.purpose,
                        "connected to RabbitMQ again"
                    );
                }
                again.wait = WAIT.0;
                Ok(opened)
            }
            Err(error) => {
                let error = error::client(&error).with("address", &self.address);
                if again.failed.is_none() {
                    tracing::warn!(address = self.address, purpose = self.purpose, %error, "can't connect to RabbitMQ");
                }
                again.wait = if error.is_temporary() {
                    (again.wait * 2).min(WAIT.1)
                } else {
                    WAIT_REFUSED
                };
                again.next = clock::now() + again.wait;
                again.failed = Some(Failed {
                    kind: error.kind(),
                    temporary: error.is_temporary(),
                    message: error.to_string(),
                });
                Err(error)
            }
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        match self.up() {
            Some(open) => open.close().await,
            None => Ok(()),
        }
    }
}
