//! Streams and groups: made where they are missing, never altered.

use std::time::Duration;

use super::keys::TopicKeys;
use super::provider::Server;
use super::scripts::{DECLARE, Lua, SWEEP};
use super::wire::{list, pairs, text};
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{GroupSpec, Ordering, Start, TopicSpec};

/// For how long a group that lives as long as its subscription is kept while nobody says that it is in use.
pub(super) const EPHEMERAL_KEPT: Duration = Duration::from_mins(1);

/// What is done about what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Check,
    Off,
}

impl Mode {
    pub(super) const fn of(declare: Declare) -> Self {
        match declare {
            Declare::Create => Self::Create,
            Declare::Check => Self::Check,
            Declare::Off => Self::Off,
        }
    }
}

/// How a group is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// By one member at a time, which keeps the order.
    InTurn,
    /// By all members, each for itself.
    Together,
}

impl Reads {
    pub(super) fn of(keyed: bool, group: &GroupSpec) -> Self {
        if keyed && group.ordering == Ordering::Strict {
            Self::InTurn
        } else {
            Self::Together
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::InTurn => "in-turn",
            Self::Together => "together",
        }
    }
}

pub(super) async fn declare(server: &Server, spec: &TopicSpec) -> Result<()> {
    if let Some(once) = spec.groups.iter().find(|group| group.once) {
        let refused = super::error::unsupported(
            "keep the ids that a group has handled",
            "deduplicate in the consumer",
        );
        return Err(refused.with("group", &once.name).with("topic", &spec.topic));
    }
    let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
    let keys = TopicKeys::new(&physical);
    let done = match server.declare {
        Mode::Create => create(server, &keys, spec).await,
        // A group that lives as long as its subscription can't have been made by somebody else.
        Mode::Check => check(server, &keys, spec).await,
        Mode::Off => Ok(()),
    };
    done.map_err(|error| error.with("topic", &spec.topic))?;
    server.remember(spec);
    Ok(())
}

/// Makes what a server has lost. Groups begin at what is there: what came since is theirs.
pub(super) async fn restore(server: &Server, spec: &TopicSpec) -> Result<()> {
    let mut spec = spec.clone();
    for group in &mut spec.groups {
        group.start = Start::Earliest;
    }
    let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
    let keys = TopicKeys::new(&physical);
    server.shared(&keys).forget();
    create(server, &keys, &spec).await
}

async fn create(server: &Server, keys: &TopicKeys, spec: &TopicSpec) -> Result<()> {
    if spec.groups.is_empty() {
        let mut call = DECLARE.call(&[keys.stream.as_str(); 6]);
        call.arg(["", "", "", "", ""].as_slice());
        return fits(&Lua::run(&server.link, &call).await?, None);
    }
    if spec.groups.iter().any(|group| group.ephemeral) {
        let mut call = SWEEP.call(&[&keys.stream, &keys.ephemeral]);
        call.arg("");
        Lua::run(&server.link, &call).await?;
    }
    for group in &spec.groups {
        create_group(server, keys, spec.keyed, group).await?;
    }
    Ok(())
}

async fn create_group(server: &Server, keys: &TopicKeys, keyed: bool, group: &GroupSpec) -> Result<()> {
    let of = keys.group(&group.name);
    let start = match group.start {
        Start::Latest => "$",
        Start::Earliest => "0",
    };
    let mut call = DECLARE.call(&[
        &keys.stream,
        &of.retry,
        &of.dead,
        &of.about,
        &of.alive,
        &keys.ephemeral,
    ]);
    call.arg(group.name.as_str())
        .arg(start)
        .arg(Reads::of(keyed, group).word())
        .arg(if group.ephemeral { "1" } else { "0" })
        .arg(EPHEMERAL_KEPT.as_millis().to_string());
    fits(&Lua::run(&server.link, &call).await?, Some((group, &of.about)))
}

/// What the server answered to a declaration.
fn fits(answer: &redis::Value, group: Option<(&GroupSpec, &str)>) -> Result<()> {
    let answer = text(answer).unwrap_or_default();
    let mut words = answer.split(' ');
    let mismatch = |message: String| Err(Error::new(ErrorKind::TopologyMismatch, message));
    match (words.next(), words.next(), words.next_back(), group) {
        (Some("ok"), ..) => Ok(()),
        (Some("type"), Some(key), Some(kind), _) => mismatch(format!(
            "the key `{key}` holds a {kind}, not a stream; rename it, or use another topic"
        )),
        (Some("differs"), Some(field), Some(there), Some((group, about))) => mismatch(format!(
            "group `{}` exists with {field} = {there}, which is not what is asked for; declare it alike, use another name, \
             or, when no program reads it, delete the key `{about}`",
            group.name
        )),
        _ => Err(super::error::odd_answer("declare")),
    }
}

async fn check(server: &Server, keys: &TopicKeys, spec: &TopicSpec) -> Result<()> {
    let mut kind = redis::cmd("TYPE");
    kind.arg(&keys.stream);
    match text(&server.link.command(&kind).await?).as_deref() {
        Some("stream") => {}
        Some("none") => return Err(topic_missing(spec, &keys.stream)),
        other => {
            let message = format!(
                "the key `{}` holds a {}, not a stream; rename it, or use another topic",
                keys.stream,
                other.unwrap_or("thing")
            );
            return Err(Error::new(ErrorKind::TopologyMismatch, message));
        }
    }
    let mut command = redis::cmd("XINFO");
    command.arg("GROUPS").arg(&keys.stream);
    let there: Vec<String> = list(server.link.command(&command).await?)
        .iter()
        .flat_map(pairs)
        .filter_map(|(name, value)| (name == "name").then_some(value))
        .collect();
    for group in &spec.groups {
        if group.ephemeral {
            create_group(server, keys, spec.keyed, group).await?;
        } else if !there.iter().any(|name| name == group.name.as_str()) {
            return Err(group_missing(&group.name, &keys.stream));
        }
    }
    Ok(())
}

pub(super) fn topic_missing(spec: &TopicSpec, stream: &str) -> Error {
    let message = format!(
        "no topic `{}`: there is no stream `{stream}`; declare it first",
        spec.topic
    );
    Error::new(ErrorKind::TopicMissing, message)
}

pub(super) fn group_missing(group: &ductape_schema::GroupName, stream: &str) -> Error {
    let message = format!("no group `{group}` of the stream `{stream}`; declare it first");
    Error::new(ErrorKind::GroupMissing, message)
}
