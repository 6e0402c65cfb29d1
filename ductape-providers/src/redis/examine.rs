//! What is unsafe or wrong with how the server is set up.

use std::collections::HashMap;

use redis::{Pipeline, ServerErrorKind, Value, pipe};

use super::declare::Mode;
use super::keys::TopicKeys;
use super::provider::Server;
use super::wire::{pairs, text};
use crate::error::{Error, Result};
use crate::examine::Finding;
use crate::spec::TopicSpec;

/// The oldest version that this provider is written for: `XPENDING … IDLE`, `XGROUP CREATECONSUMER`, `XTRIM … MINID`
/// (<https://redis.io/docs/latest/commands/xpending/>).
const VERSION_MIN: (u32, u32) = (6, 2);
/// The part of `maxmemory` beyond which there is little left, in percent.
const MEMORY_NEAR_PERCENT: u64 = 90;

/// What the server tells of itself.
#[derive(Debug, Default)]
struct Told {
    info: HashMap<String, String>,
    /// `None` where the user may not ask.
    settings: Option<HashMap<String, String>>,
}

pub(super) async fn examine(server: &Server, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    let told = ask(server).await?;
    let mut findings = about_server(&told);
    findings.extend(wrong_types(server, topics).await?);
    findings.extend(permissions(server, topics).await?);
    Ok(findings)
}

async fn ask(server: &Server) -> Result<Told> {
    const SETTINGS: [&str; 5] = [
        "maxmemory",
        "maxmemory-policy",
        "appendonly",
        "appendfsync",
        "save",
    ];
    let mut pipeline = pipe();
    for section in ["server", "memory", "replication", "cluster"] {
        pipeline.cmd("INFO").arg(section);
    }
    for setting in SETTINGS {
        pipeline.cmd("CONFIG").arg("GET").arg(setting);
    }
    let mut told = Told {
        settings: Some(HashMap::new()),
        ..Told::default()
    };
    for answer in server.link.pipe(&pipeline).await.map_err(Error::from)? {
        match &answer {
            Value::Array(_) | Value::Map(_) => {
                if let Some(settings) = &mut told.settings {
                    settings.extend(pairs(&answer));
                }
            }
            // The user may not, or a hosted server does not know `CONFIG`.
            Value::ServerError(_) => told.settings = None,
            other => {
                let lines = text(other).unwrap_or_default();
                let named = lines.lines().filter_map(|line| line.trim().split_once(':'));
                told.info
                    .extend(named.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
        }
    }
    Ok(told)
}

fn about_server(told: &Told) -> Vec<Finding> {
    let mut findings = Vec::new();
    let info = |name: &str| told.info.get(name).map_or("", String::as_str);
    if let Some(version) = version(info("redis_version"))
        && version < VERSION_MIN
    {
        findings.push(Finding::refusal(
            "redis-too-old",
            format!(
                "the server is Redis {}; streams are used as they are from {}.{} on, so that reads and leases would fail; \
                 upgrade it",
                info("redis_version"),
                VERSION_MIN.0,
                VERSION_MIN.1
            ),
        ));
    }
    if info("cluster_enabled") == "1" {
        findings.push(Finding::refusal(
            "redis-cluster",
            "the server is one of a cluster, which is not supported: commands for keys of other servers would fail; connect to \
             a single server",
        ));
    }
    if info("role") == "slave" {
        findings.push(Finding::refusal(
            "redis-replica",
            "the server is a replica, which takes no writes; connect to its primary",
        ));
    }
    match &told.settings {
        Some(settings) => about_settings(settings, info("used_memory"), &mut findings),
        None => findings.push(Finding::warning(
            "redis-settings-hidden",
            "the user may not read the server's settings (`CONFIG GET`), so that it is not known whether it keeps what it \
             confirms; allow `+config|get`, or look yourself",
        )),
    }
    findings
}

fn about_settings(settings: &HashMap<String, String>, used_memory: &str, findings: &mut Vec<Finding>) {
    let setting = |name: &str| settings.get(name).map_or("", String::as_str);
    let memory_max: u64 = setting("maxmemory").parse().unwrap_or(0);
    let policy = setting("maxmemory-policy");
    if memory_max > 0 && policy.starts_with("allkeys-") {
        findings.push(Finding::refusal(
            "redis-evicts",
            format!(
                "`maxmemory-policy` is {policy}: a server that is full deletes whole topics with all their messages; set it to \
                 noeviction"
            ),
        ));
    } else if memory_max > 0 && policy.starts_with("volatile-") {
        findings.push(Finding::warning(
            "redis-evicts-turns",
            format!(
                "`maxmemory-policy` is {policy}: a server that is full deletes keys that expire, and with them whose turn it is \
                 to read, so that the order of a key can break; set it to noeviction"
            ),
        ));
    }
    let used: u64 = used_memory.parse().unwrap_or(0);
    if memory_max > 0 && used > memory_max / 100 * MEMORY_NEAR_PERCENT {
        findings.push(Finding::warning(
            "redis-maxmemory-near",
            format!(
                "{used} of {memory_max} bytes (`maxmemory`) are used: publishes will be refused soon; raise it, shorten \
                 `retention`, or consume what is stored"
            ),
        ));
    }
    if setting("appendonly") == "yes" {
        match setting("appendfsync") {
            "everysec" => findings.push(Finding::warning(
                "redis-fsync-everysec",
                "`appendfsync` is everysec: a machine that fails loses up to a second of confirmed messages; set it to always \
                 where that matters",
            )),
            "no" => findings.push(Finding::warning(
                "redis-fsync-never",
                "`appendfsync` is no: a machine that fails loses what its system had not written, often 30 s of confirmed \
                 messages; set it to everysec or always",
            )),
            _ => {}
        }
    } else if setting("save").is_empty() {
        findings.push(Finding::refusal(
            "redis-not-persistent",
            "the server keeps nothing on disk (`appendonly` is no and `save` is empty): a restart loses all topics, groups and \
             messages; set `appendonly` to yes",
        ));
    } else {
        findings.push(Finding::warning(
            "redis-snapshots-only",
            format!(
                "the server only writes snapshots (`save` is `{}`, `appendonly` is no): a restart loses what was confirmed since \
                 the last; set `appendonly` to yes",
                setting("save")
            ),
        ));
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn keys_of(spec: &TopicSpec) -> TopicKeys {
    let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
    TopicKeys::new(&physical)
}

/// Keys that hold something else than a stream.
async fn wrong_types(server: &Server, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    let mut streams = Vec::new();
    for spec in topics {
        let keys = keys_of(spec);
        for group in &spec.groups {
            let of = keys.group(&group.name);
            streams.extend([of.retry, of.dead]);
        }
        streams.push(keys.stream);
    }
    let mut pipeline = Pipeline::with_capacity(streams.len());
    for stream in &streams {
        pipeline.cmd("TYPE").arg(stream);
    }
    let answers = server.link.pipe(&pipeline).await.map_err(Error::from)?;
    let kinds = streams
        .iter()
        .zip(&answers)
        .filter_map(|(stream, answer)| Some((stream, text(answer)?)));
    let wrong = kinds.filter(|(_, kind)| kind != "none" && kind != "stream").map(|(stream, kind)| {
        Finding::refusal(
            "redis-wrong-type",
            format!("the key `{stream}` holds a {kind}, not a stream: nothing can be published to it; rename it, or use another topic"),
        )
    });
    Ok(wrong.collect())
}

/// Asks for every command in a way that does nothing, but for telling whether the user may.
fn probes(stream: &str, declares: bool) -> Pipeline {
    // No group can have this name, and no stream this entry.
    const GROUP: &str = "ductape:probe";
    let mut pipeline = pipe();
    pipeline
        .cmd("XADD")
        .arg(stream)
        .arg("NOMKSTREAM")
        .arg("0-0")
        .arg("f")
        .arg("v");
    pipeline
        .cmd("XREADGROUP")
        .arg("GROUP")
        .arg(GROUP)
        .arg("m")
        .arg("STREAMS")
        .arg(stream)
        .arg(">");
    pipeline.cmd("XACK").arg(stream).arg(GROUP).arg("0-1");
    pipeline.cmd("XPENDING").arg(stream).arg(GROUP);
    pipeline
        .cmd("XCLAIM")
        .arg(stream)
        .arg(GROUP)
        .arg("m")
        .arg("0")
        .arg("0-1");
    pipeline.cmd("XRANGE").arg(stream).arg("0-1").arg("0-1");
    pipeline.cmd("XDEL").arg(stream).arg("0-1");
    pipeline.cmd("XLEN").arg(stream);
    pipeline.cmd("XINFO").arg("GROUPS").arg(stream);
    pipeline
        .cmd("XGROUP")
        .arg("DELCONSUMER")
        .arg(stream)
        .arg(GROUP)
        .arg("m");
    let probe = format!("{stream}:probe");
    pipeline.cmd("ZADD").arg(&probe).arg("XX").arg("0").arg("m");
    pipeline.cmd("ZRANGEBYSCORE").arg(&probe).arg("0").arg("0");
    pipeline.cmd("ZREM").arg(&probe).arg("m");
    pipeline.cmd("SET").arg(&probe).arg("v").arg("XX");
    pipeline.cmd("GET").arg(&probe);
    pipeline.cmd("DEL").arg(&probe);
    pipeline.cmd("EVALSHA").arg("0".repeat(40)).arg("0");
    pipeline.cmd("SCRIPT").arg("EXISTS").arg("0".repeat(40));
    pipeline.cmd("TIME");
    if declares {
        pipeline
            .cmd("XGROUP")
            .arg("CREATECONSUMER")
            .arg(stream)
            .arg(GROUP)
            .arg("m");
        pipeline.cmd("HGET").arg(&probe).arg("f");
    }
    pipeline
}

/// Commands, and keys, that the user may not use.
async fn permissions(server: &Server, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for spec in topics {
        let stream = keys_of(spec).stream;
        let pipeline = probes(&stream, server.declare == Mode::Create);
        let answers = server.link.pipe(&pipeline).await.map_err(Error::from)?;
        let mut refused: Vec<String> = Vec::new();
        for (command, answer) in pipeline.cmd_iter().zip(&answers) {
            if let Value::ServerError(answer) = answer
                && answer.kind() == Some(ServerErrorKind::NoPerm)
            {
                let of_key = answer.details().is_some_and(|text| text.contains("key"));
                let name = name_of(command);
                refused.push(if of_key {
                    format!("{name} of this key")
                } else {
                    name
                });
            }
        }
        refused.dedup();
        if !refused.is_empty() {
            let refused = refused.join(", ");
            findings.push(Finding::refusal(
                "redis-no-permission",
                format!(
                    "the user may not use {refused} with `{stream}`, so that topic `{}` can't be published or consumed; allow it \
                     with `ACL SETUSER`, the keys as `~{stream}*`",
                    spec.topic
                ),
            ));
        }
    }
    Ok(findings)
}

fn name_of(command: &redis::Cmd) -> String {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Told, about_server, version};

    fn names(told: &Told) -> Vec<&'static str> {
        about_server(told).iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn a_server_that_is_too_old_is_found() {
        let mut told = Told::default();
        for (text, old) in [
            ("6.0.16", true),
            ("5.0.7", true),
            ("6.2.0", false),
            ("7.0.15", false),
            ("8.4.0", false),
        ] {
            told.info.insert("redis_version".to_owned(), text.to_owned());
            assert_eq!(names(&told).contains(&"redis-too-old"), old, "{text}");
        }
        assert_eq!(version("valkey"), None);
    }

    #[test]
    fn settings_that_are_hidden_are_told() {
        assert_eq!(names(&Told::default()), ["redis-settings-hidden"]);
    }
}
