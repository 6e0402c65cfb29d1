//! What a group has before it, and setting it to another place.

use ductape_schema::GroupName;
use redis::Value;

use super::declare::{group_missing, topic_missing};
use super::error::odd_answer;
use super::provider::Server;
use super::scripts::{BACKLOG, Lua, SEEK};
use super::wire::{EntryId, list, number};
use crate::clock;
use crate::error::Result;
use crate::message::TopicName;
use crate::provider::Backlog;
use crate::spec::SeekTo;

pub(super) async fn backlog(server: &Server, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
    let known = server.topic(topic);
    let keys = known.keys.group(group);
    let mut call = BACKLOG.call(&[
        &known.keys.stream,
        &keys.retry,
        &keys.dead,
        &keys.delayed,
        &known.keys.delayed,
    ]);
    call.arg(group.as_str());
    match Lua::run(&server.link, &call).await? {
        Value::Int(-2) => Err(topic_missing(&known.spec, &known.keys.stream)),
        Value::Int(-1) => Err(group_missing(group, &known.keys.stream).with("topic", topic)),
        answer => {
            let counts: Vec<u64> = list(answer).iter().filter_map(number).collect();
            let [ready, delayed, in_flight, dead_letters] = counts[..] else {
                return Err(odd_answer("backlog"));
            };
            Ok(Backlog {
                ready,
                delayed,
                in_flight,
                dead_letters,
            })
        }
    }
}

pub(super) async fn seek(server: &Server, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
    let known = server.topic(topic);
    let keys = known.keys.group(group);
    let after = match to {
        SeekTo::Earliest => "0".to_owned(),
        SeekTo::Latest => "$".to_owned(),
        SeekTo::Position(position) => EntryId::of_position(position).before().to_string(),
        SeekTo::Time(time) => {
            let first = EntryId {
                ms: clock::to_millis(time),
                seq: 0,
            };
            first.before().to_string()
        }
    };
    let mut call = SEEK.call(&[&known.keys.stream, &keys.retry, &keys.delayed]);
    call.arg(group.as_str()).arg(after);
    match Lua::run(&server.link, &call).await? {
        Value::Int(1) => {
            server.sought(&keys.retry);
            Ok(())
        }
        Value::Int(0) => Err(topic_missing(&known.spec, &known.keys.stream)),
        Value::Int(-1) => Err(group_missing(group, &known.keys.stream).with("topic", topic)),
        _ => Err(odd_answer("seek")),
    }
}
