//! What the server does in one step. A script runs alone, so that what it looks at does not change under it.

use std::sync::LazyLock;

use redis::{Cmd, Script, ServerErrorKind, Value};

use super::link::Link;
use crate::error::{Error, Result};

/// A script of this provider.
#[derive(Debug)]
pub(super) struct Lua {
    code: &'static str,
    script: LazyLock<Script>,
}

macro_rules! lua {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub(super) static $name: Lua = Lua {
            code: concat!(include_str!("lua/common.lua"), include_str!(concat!("lua/", $file))),
            script: LazyLock::new(|| Script::new($name.code)),
        };
    };
}

lua! {
    /// Creates a topic, and one of its groups, where they are missing.
    /// Keys: stream, retry, dead, about, alive, ephemeral. Arguments: group (or nothing), where it begins, how it is ordered,
    /// whether it is ephemeral, for how many ms an ephemeral one is kept.
    /// Answers `ok`, or what is there instead: `type KEY TYPE`, `differs FIELD THERE`.
    DECLARE, "declare.lua"
}
lua! {
    /// Publishes later. Keys: stream, the sorted set. Arguments: delay in ms, a word that no other has, fields.
    /// Answers 0 when there is no such stream.
    DELAY, "delay.lua"
}
lua! {
    /// Takes an unsettled delivery out and puts it back for later. Keys: its stream, where it is to come again, the sorted set.
    /// Arguments: group, member, id, delay in ms, deliveries so far, `1` to delete the entry.
    /// Answers 1, 0 when it is not this member's, -1 when the entry is gone.
    LATER, "later.lua"
}
lua! {
    /// Moves what is due. Keys: pairs of a sorted set and a stream. Answers in how many ms the next is due; -1 for none.
    MOVE, "move.lua"
}
lua! {
    /// Gives a member the turn to read, or prolongs it. Keys: owner. Arguments: member, ms. Answers whether it has the turn.
    TURN, "turn.lua"
}
lua! {
    /// Takes unsettled deliveries over. Keys: the streams. Arguments: group, member, at least so long idle in ms, of whom
    /// (nothing: of all), how many, ids that are in hand (`1:5-0`: of the first stream).
    /// Answers two lists: `{stream, id, count, fields}`, and `{stream, id}` of entries that are gone.
    CLAIM, "claim.lua"
}
lua! {
    /// Reads entries that this member holds again. Keys: the streams. Arguments: group, member, ids. Answers as `CLAIM`;
    /// those that are not this member's are left out.
    FETCH, "fetch.lua"
}
lua! {
    /// Keeps leases. Keys: the streams. Arguments: group, member, then in turn id and for how many ms it counts as idle.
    /// Answers for each 1, or 0 when it is not this member's.
    EXTEND, "extend.lua"
}
lua! {
    /// Gives back what a member that leaves has, where one reads at a time. Keys: owner, the streams. Arguments: group,
    /// member, then in turn id and the count that it is to have.
    LEAVE, "leave.lua"
}
lua! {
    /// Gives back what a member that leaves has, where members compete. Keys: the stream for what comes again, the streams.
    /// Arguments: group, member, `1` to delete the entries, then in turn id and deliveries so far.
    RETURN, "return.lua"
}
lua! {
    /// Sets a group to another position and drops what it has unsettled. Keys: stream, retry, delayed. Arguments: group, id.
    /// Answers 0 when there is no such stream, -1 when there is no such group.
    SEEK, "seek.lua"
}
lua! {
    /// Counts. Keys: stream, retry, dead, delayed, the topic's delayed. Arguments: group. Answers -2 when there is no such
    /// stream, -1 when there is no such group, else the list: ready, delayed, in flight, dead letters.
    BACKLOG, "backlog.lua"
}
lua! {
    /// Ends ephemeral groups. Keys: stream, ephemeral. Arguments: the group that ends, or nothing: all that nobody keeps.
    SWEEP, "sweep.lua"
}
lua! {
    /// Deletes what all groups have settled and that is older than kept. Keys: stream. Arguments: for how many ms to keep.
    TRIM, "trim.lua"
}

static ALL: [&Lua; 14] = [
    &DECLARE, &DELAY, &LATER, &MOVE, &TURN, &CLAIM, &FETCH, &EXTEND, &LEAVE, &RETURN, &SEEK, &BACKLOG,
    &SWEEP, &TRIM,
];

impl Lua {
    /// A call; keys and arguments are added to it.
    pub(super) fn call(&self, keys: &[&str]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(keys.len()).arg(keys);
        command
    }

    /// Runs a call; a server that forgot the scripts, as one that restarted has, is told them again.
    pub(super) async fn run(link: &Link, call: &Cmd) -> Result<Value> {
        match link.command(call).await {
            Err(error) if forgot(&error) => {
                load(link).await?;
                link.command(call).await
            }
            answer => answer,
        }
    }
}

fn forgot(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().starts_with("NOSCRIPT"))
}

/// Whether an answer says that the server forgot a script.
pub(super) fn is_forgotten(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(refused) if refused.kind() == Some(ServerErrorKind::NoScript))
}

/// Tells the server all scripts.
pub(super) async fn load(link: &Link) -> Result<()> {
    let mut pipeline = redis::pipe();
    for lua in ALL {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(lua.code);
    }
    for answer in link.pipe(&pipeline).await.map_err(Error::from)? {
        super::link::value(Ok(answer))?;
    }
    Ok(())
}
