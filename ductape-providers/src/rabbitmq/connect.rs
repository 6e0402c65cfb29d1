//! Connecting, and trying to.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lapin::AsyncTcpStream;
use tokio::runtime::Handle;

use super::config::{self, Settings};
use super::error;
use super::link::{Link, Open, open};
use super::names::Chosen;
use super::provider::RabbitMq;
use crate::config::RabbitMqConfig;
use crate::connection::{ConnectionReport, Probe};
use crate::error::Result;
use crate::provider_dyn::AnyProvider;

/// Connects. Boxed, as [`test_connection`] is, so that who awaits it need not look through all that the client is made of:
/// the compiler gives up on types that deep.
pub(crate) fn connect(config: &RabbitMqConfig) -> BoxFuture<'_, Result<AnyProvider>> {
    Box::pin(connect_twice(config))
}

/// Connects, once for publishing and once for consuming: a server that takes no publishes does not keep settlements waiting.
async fn connect_twice(config: &RabbitMqConfig) -> Result<AnyProvider> {
    let settings = Settings::of(config).await?;
    let address = config.address();
    // One after the other, so that a wrong password is tried once.
    let publishing = Link::connect(settings.clone(), address.clone(), "publish").await?;
    let consuming = Link::connect(settings, address.clone(), "consume").await?;
    let chosen = Chosen {
        queue: config.queue.clone(),
        routing_key: config.routing_key.clone(),
    };
    Ok(Arc::new(RabbitMq::new(
        publishing,
        consuming,
        config::capability(config),
        address,
        config.declare,
        chosen,
    )))
}

/// Tries a connection, step by step.
pub(crate) fn test_connection(config: &RabbitMqConfig) -> BoxFuture<'_, ConnectionReport> {
    Box::pin(try_connection(config))
}

async fn try_connection(config: &RabbitMqConfig) -> ConnectionReport {
    let mut probe = Probe::new("rabbitmq", config.address());
    let configured = probe.step("configure", async {
        let settings = Settings::of(config).await?;
        let user = settings.uri.authority.userinfo.username.clone();
        Ok((format!("user `{user}`"), settings))
    });
    if let Some(settings) = configured.await {
        try_settings(&settings, &mut probe).await;
    }
    probe.finish()
}

async fn try_settings(settings: &Settings, probe: &mut Probe) -> Option<()> {
    let authority = &settings.uri.authority;
    let address = probe.reach(&[(authority.host.as_str(), authority.port)]).await?;
    if let Some(connector) = &settings.tls {
        let encrypt = async {
            let runtime = lapin::runtime::default_runtime().map_err(|error| error::client(&error))?;
            let tried = async {
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                stream.into_rustls(connector, &authority.host).await
            };
            tried.await.map_err(|error| error::io(&error))?;
            Ok(("TLS".to_owned(), ()))
        };
        probe.step("encrypt", encrypt).await?;
    }
    let vhost = settings.uri.vhost.clone();
    let logged_in: Option<Result<Open, lapin::Error>> = probe
        .step("authenticate", async {
            match open(settings, "test", &Handle::current()).await {
                // The user is known; what is wrong is a step further.
                Err(error) if error::is_vhost(&error) => Ok(("RabbitMQ".to_owned(), Err(error))),
                Err(error) => Err(error::client(&error)),
                Ok(opened) => Ok(("RabbitMQ".to_owned(), Ok(opened))),
            }
        })
        .await;
    let logged_in = logged_in?;
    probe
        .step("authorize", async {
            let opened = logged_in.map_err(|error| error::client(&error).with("vhost", &vhost))?;
            opened.channel().await?;
            opened.close().await?;
            Ok((format!("virtual host `{vhost}`"), ()))
        })
        .await
}
