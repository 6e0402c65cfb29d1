//! Connecting, and trying to.

use std::sync::Arc;

use redis::cmd;

use super::config::{self, client};
use super::link::{Link, open};
use super::provider::Redis;
use super::wire::{pairs, text};
use super::{declare, error, scripts};
use crate::config::RedisConfig;
use crate::connection::{ConnectionReport, Probe};
use crate::error::{Error, Result};
use crate::provider::Durability;
use crate::provider_dyn::AnyProvider;

/// Connects.
pub(crate) async fn connect(config: &RedisConfig) -> Result<AnyProvider> {
    let client = client(config, true).await?;
    let link = Link::new(client, config.address());
    scripts::load(&link).await?;
    let durability = durability(&link).await?;
    let declare = declare::Mode::of(config.declare);
    Ok(Arc::new(Redis::new(
        link,
        config::capability(config),
        config.address(),
        declare,
        durability,
        config.retention.unwrap_or(RedisConfig::RETENTION_DEFAULT),
        config.headers,
    )))
}

/// What a confirmation of this server stands for. A server that does not tell is one that promises the least.
async fn durability(link: &Link) -> Result<Durability> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("CONFIG").arg("GET").arg("appendonly");
    pipeline.cmd("CONFIG").arg("GET").arg("appendfsync");
    let answers = link.pipe(&pipeline).await.map_err(Error::from)?;
    let value = |at: usize| {
        let answer = answers.get(at)?;
        pairs(answer).into_iter().next().map(|(_, value)| value)
    };
    let always = value(0).as_deref() == Some("yes") && value(1).as_deref() == Some("always");
    Ok(if always {
        Durability::BrokerDisk
    } else {
        Durability::BrokerMemory
    })
}

/// Tries a connection, step by step.
pub(crate) async fn test_connection(config: &RedisConfig) -> ConnectionReport {
    let mut probe = Probe::new("redis", config.address());
    if probe
        .reach(&[(config.host.as_str(), config.port)])
        .await
        .is_some()
    {
        try_login(config, &mut probe).await;
    }
    probe.finish()
}

async fn try_login(config: &RedisConfig, probe: &mut Probe) -> Option<()> {
    if config.tls {
        let encrypt = async {
            open(&client(config, false).await?).await?;
            Ok(("TLS".to_owned(), ()))
        };
        probe.step("encrypt", encrypt).await?;
    }
    let authenticate = async {
        let mut connection = open(&client(config, true).await?).await?;
        let pong = connection.send_packed_command(&cmd("PING")).await;
        super::link::value(pong)?;
        let mut info = cmd("INFO");
        info.arg("server");
        let info = connection.send_packed_command(&info).await;
        let info = info.map_err(|error| error::client(&error))?;
        let info = text(&info).unwrap_or_default();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok((
            version.map_or_else(
                || "Redis".to_owned(),
                |version| format!("Redis {}", version.trim()),
            ),
            (),
        ))
    };
    probe.step("authenticate", authenticate).await
}
