//! What is found wrong, each with a server that is set up so.

use ductape_providers::examine::Severity;
use ductape_providers::{ErrorKind, TopicSpec};
use serde_json::json;

use crate::own_server::OwnServer;
use crate::{connect, group, kind, raw, stream, topic};

/// The names of what is found with a server that was started with `arguments`, and how bad it is.
async fn found(arguments: &[&str]) -> Option<Vec<(&'static str, Severity)>> {
    let server = OwnServer::start(arguments)?;
    let provider = connect(&server.config()).await.unwrap();
    let found = provider.examine_dyn(&[TopicSpec::new(topic("t"))]).await.unwrap();
    Some(
        found
            .iter()
            .map(|finding| (finding.name, finding.severity))
            .collect(),
    )
}

const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SAFE.into_iter().chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn a_server_that_writes_each_message_to_disk_has_no_findings() {
    let Some(found) = found(&SAFE).await else { return };
    assert_eq!(found, []);
}

#[tokio::test]
async fn a_server_that_evicts_topics_is_refused() {
    let evicts = with(&["--maxmemory", "500mb", "--maxmemory-policy", "allkeys-lru"]);
    let Some(found) = found(&evicts).await else { return };
    assert_eq!(found, [("redis-evicts", Severity::Refusal)]);
}

#[tokio::test]
async fn a_server_that_evicts_what_expires_is_warned_of() {
    let evicts = with(&["--maxmemory", "500mb", "--maxmemory-policy", "volatile-lru"]);
    let Some(found) = found(&evicts).await else { return };
    assert_eq!(found, [("redis-evicts-turns", Severity::Warning)]);
}

#[tokio::test]
async fn a_server_that_is_nearly_full_is_warned_of() {
    let full = with(&["--maxmemory", "600kb", "--maxmemory-policy", "noeviction"]);
    let Some(found) = found(&full).await else { return };
    assert_eq!(found, [("redis-maxmemory-near", Severity::Warning)]);
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_refused() {
    let Some(found) = found(&["--appendonly", "no", "--save", ""]).await else {
        return;
    };
    assert_eq!(found, [("redis-not-persistent", Severity::Refusal)]);
}

#[tokio::test]
async fn a_server_that_only_writes_snapshots_is_warned_of() {
    let Some(found) = found(&["--appendonly", "no", "--save", "3600 1"]).await else {
        return;
    };
    assert_eq!(found, [("redis-snapshots-only", Severity::Warning)]);
}

#[tokio::test]
async fn what_a_crash_of_the_machine_would_lose_is_warned_of() {
    let Some(everysec) = found(&["--appendonly", "yes", "--appendfsync", "everysec"]).await else {
        return;
    };
    assert_eq!(everysec, [("redis-fsync-everysec", Severity::Warning)]);
    let never = found(&["--appendonly", "yes", "--appendfsync", "no"])
        .await
        .unwrap();
    assert_eq!(never, [("redis-fsync-never", Severity::Warning)]);
}

#[tokio::test]
async fn a_server_of_a_cluster_is_refused() {
    let Some(found) = found(&with(&["--cluster-enabled", "yes"])).await else {
        return;
    };
    assert_eq!(found, [("redis-cluster", Severity::Refusal)]);
}

#[tokio::test]
async fn a_replica_is_refused() {
    let Some(primary) = OwnServer::start(&SAFE) else {
        return;
    };
    let replica = OwnServer::start(&SAFE).unwrap();
    let (host, port) = primary.address();
    raw(&replica.address(), &["REPLICAOF", &host, &port.to_string()]).await;
    let provider = connect(&replica.config()).await.unwrap();
    let found = provider.examine_dyn(&[]).await.unwrap();
    assert!(
        found.iter().any(|finding| finding.name == "redis-replica"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_key_that_is_no_stream_is_refused() {
    let Some(server) = OwnServer::start(&SAFE) else {
        return;
    };
    let (of, asks) = (topic("t"), group("g"));
    let key = stream(&of);
    raw(&server.address(), &["LPUSH", &key, "a"]).await;
    raw(&server.address(), &["SET", &format!("{key}:g:retry"), "a"]).await;
    let provider = connect(&server.config()).await.unwrap();
    let spec = TopicSpec::new(of.clone()).with_group(asks);
    let found = provider.examine_dyn(std::slice::from_ref(&spec)).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    for (finding, holds) in found.iter().zip(["string", "list"]) {
        assert_eq!(
            (finding.name, finding.severity),
            ("redis-wrong-type", Severity::Refusal)
        );
        assert!(
            finding.message.contains(holds) && finding.message.contains(&key),
            "{finding}"
        );
    }
    // It is not declared either, and nothing of it is changed.
    let declared = provider.declare_dyn(&spec).await;
    assert_eq!(kind(&declared), Some(ErrorKind::TopologyMismatch), "{declared:?}");
}

#[tokio::test]
async fn a_user_without_the_commands_is_refused() {
    let Some(server) = OwnServer::start(&SAFE) else {
        return;
    };
    let user = [
        "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-xclaim", "-zadd",
    ];
    raw(&server.address(), &user).await;
    let mut config = server.config();
    (config["username"], config["password"]) = (json!("app"), json!("secret"));
    let provider = connect(&config).await.unwrap();
    let found = provider.examine_dyn(&[TopicSpec::new(topic("t"))]).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].name, found[0].severity),
        ("redis-no-permission", Severity::Refusal)
    );
    assert!(found[0].message.contains("XCLAIM, ZADD"), "{}", found[0]);

    raw(
        &server.address(),
        &[
            "ACL",
            "SETUSER",
            "app",
            "resetkeys",
            "~other*",
            "+@all",
            "-config",
        ],
    )
    .await;
    let provider = connect(&config).await.unwrap();
    let found = provider.examine_dyn(&[TopicSpec::new(topic("t"))]).await.unwrap();
    let names: Vec<_> = found.iter().map(|finding| finding.name).collect();
    assert_eq!(
        names,
        ["redis-settings-hidden", "redis-no-permission"],
        "{found:?}"
    );
    assert!(found[1].message.contains("XADD of this key"), "{}", found[1]);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let Some(server) = OwnServer::start(&with(&["--enable-debug-command", "yes"])) else {
        return;
    };
    let provider = connect(&server.config()).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    crate::declare(&provider, &of, &[&reads]).await;
    let before = raw(&server.address(), &["DEBUG", "DIGEST"]).await;
    let spec = TopicSpec::new(of).with_group(reads);
    let found = provider
        .examine_dyn(&[spec, TopicSpec::new(topic("other"))])
        .await
        .unwrap();
    assert_eq!(found, []);
    assert_eq!(raw(&server.address(), &["DEBUG", "DIGEST"]).await, before);
}
