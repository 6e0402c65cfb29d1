//! Names as numbers, so that rows and indexes stay small. Names are never removed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sqlx::{AnyConnection, Row as _};

use super::text;
use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::micros;

/// How many names are remembered; beyond that all are forgotten, and asked for again.
const REMEMBERED_MAX: usize = 100_000;

/// What a name is the name of. The parent of each is the one above it, but for `Produces` and `Consumes`, which say since when an
/// actor is seen at a topic, and `Groups`, whose tag lists the numbers of the actors that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Product = 1,
    Env = 2,
    Broker = 3,
    Topic = 4,
    /// A producer or a consumer of a broker.
    Actor = 5,
    Produces = 6,
    Consumes = 7,
    Groups = 8,
}

impl Kind {
    pub(super) const fn code(self) -> i64 {
        self as i64
    }
}

/// A name that has no number yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) parent: i64,
    pub(super) kind: Kind,
    pub(super) tag: String,
}

/// The groups that a message is for: the number of their set, 0 for none, and the actors in it.
pub(super) type Groups = (i64, Arc<[i64]>);

/// What a topic's names are.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicIds {
    pub(super) broker: i64,
    pub(super) topic: i64,
}

/// The names that are known.
#[derive(Default)]
pub(super) struct Names {
    known: Mutex<Known>,
}

#[derive(Default)]
pub(super) struct Known {
    ids: HashMap<(i64, Kind), HashMap<String, i64>>,
    sets: HashMap<i64, Arc<[i64]>>,
    count: usize,
}

impl Known {
    /// The number of a name, which is noted as missing when there is none yet.
    pub(super) fn id(&self, parent: i64, kind: Kind, tag: &str, missing: &mut Vec<Name>) -> Option<i64> {
        let tag = match kind {
            Kind::Groups => Cow::Borrowed(tag),
            _ => text::name(tag),
        };
        let found = self
            .ids
            .get(&(parent, kind))
            .and_then(|tags| tags.get(tag.as_ref()))
            .copied();
        if found.is_none() {
            missing.push(Name {
                parent,
                kind,
                tag: tag.into_owned(),
            });
        }
        found
    }

    pub(super) fn set(&self, id: i64) -> Option<Arc<[i64]>> {
        if id == 0 {
            return Some(Arc::new([]));
        }
        self.sets.get(&id).cloned()
    }

    fn learn(&mut self, name: Name, id: i64) {
        if name.kind == Kind::Groups {
            self.sets.insert(id, read_set(&name.tag));
        }
        self.count += 1;
        self.ids
            .entry((name.parent, name.kind))
            .or_default()
            .insert(name.tag, id);
    }
}

pub(super) fn read_set(tag: &str) -> Arc<[i64]> {
    tag.split(',').filter_map(|id| id.parse().ok()).collect()
}

impl Names {
    /// What `find` makes of the names that are known; those that it misses are given numbers, and it is asked again.
    pub(super) async fn find<T>(
        &self,
        store: &Store,
        now: SystemTime,
        mut find: impl FnMut(&Known, &mut Vec<Name>) -> T,
    ) -> Result<T> {
        self.forget_beyond(REMEMBERED_MAX);
        loop {
            let mut missing = Vec::new();
            let found = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                find(&known, &mut missing)
            };
            if missing.is_empty() {
                return Ok(found);
            }
            missing.sort_by(|a, b| (a.parent, a.kind.code(), &a.tag).cmp(&(b.parent, b.kind.code(), &b.tag)));
            missing.dedup();
            let numbered = number(store, now, missing).await?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, id) in numbered {
                known.learn(name, id);
            }
        }
    }

    fn forget_beyond(&self, count_max: usize) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.count > count_max {
            *known = Known::default();
        }
    }

    /// The actors that each of the sets of groups has.
    pub(super) async fn sets(
        &self,
        connection: &mut AnyConnection,
        ids: &[i64],
    ) -> Result<HashMap<i64, Arc<[i64]>>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for id in ids {
                match known.set(*id) {
                    Some(set) => _ = found.insert(*id, set),
                    None => missing.push(*id),
                }
            }
        }
        for some in missing.chunks(500) {
            let mut statement = Statement::new("SELECT id, tag FROM ductape_names WHERE id IN (");
            statement.list(some.iter().copied()).text(")");
            let rows = statement.all(&mut *connection).await?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                let (id, tag): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                let set = read_set(&tag);
                known.sets.insert(id, Arc::clone(&set));
                known.count += 1;
                found.insert(id, set);
            }
        }
        Ok(found)
    }
}

/// Gives names their numbers, those that they have or new ones.
async fn number(store: &Store, now: SystemTime, names: Vec<Name>) -> Result<Vec<(Name, i64)>> {
    let mut numbered = Vec::with_capacity(names.len());
    let mut transaction = store.begin().await?;
    // One at a time: two that give numbers to the same names in another order would wait for each other.
    Statement::new("UPDATE ductape_tracking SET next = next WHERE id = 1")
        .execute(&mut *transaction)
        .await?;
    for name in names {
        let mut statement =
            Statement::new("INSERT INTO ductape_names (kind, parent, tag, created_at) VALUES (");
        statement
            .bind(name.kind.code())
            .text(", ")
            .bind(name.parent)
            .text(", ");
        statement.bind(name.tag.as_str()).text(", ").bind(micros(now));
        statement.text(") ON CONFLICT (parent, kind, tag) DO NOTHING");
        statement.execute(&mut *transaction).await?;
        let mut statement = Statement::new("SELECT id FROM ductape_names WHERE kind = ");
        statement
            .bind(name.kind.code())
            .text(" AND parent = ")
            .bind(name.parent);
        statement.text(" AND tag = ").bind(name.tag.as_str());
        let row = statement.one(&mut *transaction).await?;
        numbered.push((name, row.try_get(0)?));
    }
    transaction.commit().await?;
    Ok(numbered)
}
