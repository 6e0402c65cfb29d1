//! Connecting, and trying a connection step by step.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use async_nats::jetstream::context::ContextBuilder;
use async_nats::rustls::crypto::{CryptoProvider, aws_lc_rs};
use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::acks::Acks;
use super::config::{REQUEST_WITHIN, hosts, is_encrypted, options};
use super::error;
use super::link::Link;
use super::provider::{Features, Inner, Nats};
use super::publish::{BATCH_MAX, DELAY_MAX};
use super::settle::REQUEUE_MAX;
use super::subscription::RECEIVE_MAX;
use crate::capability::{Capability, Order, Requeue};
use crate::config::{NatsConfig, ProviderConfig};
use crate::connection::{ConnectionReport, Probe};
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Headers;
use crate::provider::ProviderInfo;
use crate::provider_dyn::AnyProvider;

/// What a server takes unless `max_payload` says another, in bytes, headers and payload together
/// (<https://docs.nats.io/running-a-nats-service/configuration#limits>).
const MAX_PAYLOAD_DEFAULT: usize = 1 << 20;
/// What is kept free of it for headers: the most that a message may have, their separators, and our own.
const HEADERS_MAX: usize = Headers::TOTAL_LEN_MAX + Headers::COUNT_MAX * 4 + 4 * 1024;

/// Connects.
pub(crate) async fn connect(config: &NatsConfig) -> Result<AnyProvider> {
    let link = Arc::new(Link::default());
    let (servers, options) = options(config, Arc::clone(&link))?;
    let client = reach(servers, options)
        .await
        .map_err(|error| error::of_connect(&error))?;
    let info = client.server_info();
    if !info.headers {
        return Err(too_old(&info.version, "headers (2.2)"));
    }
    if !client.is_server_compatible(2, 10, 0) {
        return Err(too_old(&info.version, "consumers of several subjects (2.10)"));
    }
    // The event may still be on its way.
    link.note(&async_nats::Event::Connected);
    let features = Features {
        pins: client.is_server_compatible(2, 11, 0),
        schedules: client.is_server_compatible(2, 12, 0),
    };
    let acks = Arc::new(Acks::new(client.new_inbox()));
    let replies = client
        .subscribe(acks.subject())
        .await
        .map_err(|_| error::gone(&client))?;
    let runtime = Handle::current();
    let acks_task = runtime.spawn(Arc::clone(&acks).run(replies)).abort_handle();
    let jetstream = ContextBuilder::new()
        .timeout(REQUEST_WITHIN)
        .build(client.clone());
    Ok(Arc::new(Nats::new(Inner {
        info: ProviderInfo {
            provider: "nats",
            address: ProviderConfig::Nats(config.clone()).address(),
        },
        capability: capable(features, info.max_payload),
        declares: config.declare,
        max_payload: info.max_payload,
        client,
        jetstream,
        runtime,
        link,
        acks,
        acks_task,
        features,
        topics: std::sync::RwLock::default(),
        subscriptions: Mutex::default(),
        closed: AtomicBool::new(false),
        under_way: AtomicUsize::new(0),
        settled_down: Notify::new(),
    })))
}

fn too_old(version: &str, what: &str) -> Error {
    let text = format!(
        "the server is NATS {}, which has no {what}; use 2.10 or later",
        version.escape_debug()
    );
    Error::new(ErrorKind::Unsupported, text).with("provider", "nats")
}

/// One attempt; a refused login is not tried again.
async fn reach(servers: Vec<ServerAddr>, options: ConnectOptions) -> Result<Client, ConnectError> {
    // With several of rustls's providers in one program the client would panic for want of a default.
    if CryptoProvider::get_default().is_none() {
        // Another thread may be faster, which is as good.
        let _ = aws_lc_rs::default_provider().install_default();
    }
    options.connect(servers).await
}

/// What the broker will be able to do, as far as that is known without connecting: that of a server of today with its
/// default settings.
pub(crate) fn capability(_config: &NatsConfig) -> Capability {
    let newest = Features {
        pins: true,
        schedules: true,
    };
    capable(newest, MAX_PAYLOAD_DEFAULT)
}

fn capable(features: Features, max_payload: usize) -> Capability {
    let mut capability = Capability::least(max_payload.saturating_sub(HEADERS_MAX.min(max_payload / 2)));
    // Without pins the members of a group share its messages, whatever their keys.
    capability.order = if features.pins {
        Order::PerTopic
    } else {
        Order::None
    };
    capability.requeue = Requeue::Delayed {
        max: REQUEUE_MAX,
        holds_key: false,
    };
    capability.groups = true;
    capability.ephemeral_groups = true;
    capability.route_to_group = true;
    capability.start_earliest = true;
    capability.seek = true;
    capability.delivery_count = true;
    capability.persistent = true;
    capability.backlog = true;
    capability.publish_delay_max = features.schedules.then_some(DELAY_MAX);
    capability.group_delay_max = features.schedules.then_some(DELAY_MAX);
    capability.lease = true;
    capability.publish_batch_max = NonZeroUsize::new(BATCH_MAX).unwrap_or(NonZeroUsize::MIN);
    capability.receive_batch_max = NonZeroUsize::new(RECEIVE_MAX).unwrap_or(NonZeroUsize::MIN);
    capability
}

/// Tries a connection, step by step.
pub(crate) async fn test_connection(config: &NatsConfig) -> ConnectionReport {
    let address = ProviderConfig::Nats(config.clone()).address();
    let mut probe = Probe::new("nats", address);
    try_steps(config, &mut probe).await;
    probe.finish()
}

async fn try_steps(config: &NatsConfig, probe: &mut Probe) -> Option<()> {
    let (servers, options) = match options(config, Arc::new(Link::default())) {
        Ok(found) => found,
        Err(error) => return probe.step("configure", async { Err(error) }).await,
    };
    probe.reach(&hosts(&servers)).await?;
    // The client encrypts and logs in at once; its error tells the two apart.
    let connected = reach(servers, options).await;
    let client = match (connected, is_encrypted(config)) {
        (Err(error), _) if error::is_tls(&error) => {
            return probe
                .step("encrypt", async { Err(error::of_connect(&error)) })
                .await;
        }
        (connected, true) => {
            let found = "the server's certificate is trusted".to_owned();
            probe.step("encrypt", async { Ok((found, ())) }).await?;
            connected
        }
        (connected, false) => connected,
    };
    let client = probe
        .step("authenticate", async {
            let client = client.map_err(|error| error::of_connect(&error))?;
            let info = client.server_info();
            let login = if info.auth_required {
                "logged in"
            } else {
                "no login is asked for"
            };
            let found = format!("NATS {}, {login}", info.version.escape_debug());
            Ok((found, client))
        })
        .await?;
    let jetstream = ContextBuilder::new().timeout(REQUEST_WITHIN).build(client);
    probe
        .step("authorize", async {
            let account = jetstream
                .query_account()
                .await
                .map_err(|error| error::of_account(&error))?;
            let found = format!(
                "JetStream, {} streams and {} consumers",
                account.streams, account.consumers
            );
            Ok((found, ()))
        })
        .await
}
