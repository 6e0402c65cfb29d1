//! Pages of messages, found by their numbers by hour: a late page costs about what the first one costs.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row as _};

use super::scope::{Scope, invalid, offset};
use super::snapshot::Snapshot;
use super::source::{Key, Part};
use crate::error::Result;
use crate::statement::Statement;
use crate::tracking::code::{HOUR, hour, state};

/// How many hours are looked at in one step, at first.
const HOURS_STEP: i64 = 64;
/// Beyond how many records since the first page those of them that belong to older hours are no longer told apart.
const SINCE_MAX: i64 = 500_000;

/// Which page.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSpec<'s> {
    pub(super) page: u32,
    pub(super) limit: u32,
    pub(super) snapshot: Option<&'s String>,
}

/// A page.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) keys: Vec<Key>,
    pub(super) total: u64,
    pub(super) has_more: bool,
    pub(super) snapshot: String,
}

impl PageSpec<'_> {
    /// Refuses what can't be asked, before anything is.
    pub(super) fn check(&self) -> Result<Option<Snapshot>> {
        offset(self.page, self.limit)?;
        let snapshot = self.snapshot.map(|text| Snapshot::parse(text));
        snapshot.transpose()
    }
}

impl Found {
    /// A page of nothing.
    pub(super) fn nothing() -> Self {
        Self {
            keys: Vec::new(),
            total: 0,
            has_more: false,
            snapshot: Snapshot::default().to_string(),
        }
    }
}

/// Finds a page.
pub(super) async fn find(connection: &mut AnyConnection, scope: &Scope, spec: PageSpec<'_>) -> Result<Found> {
    let given = spec.check()?;
    let skip =
        i64::try_from(offset(spec.page, spec.limit)?).map_err(|_| invalid("there are no such pages"))?;
    let mut walk = Walk::begin(connection, scope, given, spec).await?;
    let snapshot = walk.snapshot;
    if skip >= snapshot.total && given.is_none_or(|given| spec.page != given.page + 1) {
        return Ok(Found {
            keys: Vec::new(),
            total: u64::try_from(snapshot.total).unwrap_or_default(),
            has_more: false,
            snapshot: snapshot.to_string(),
        });
    }
    let limit = usize::try_from(spec.limit).unwrap_or_default();
    let skip = if walk.after.is_some() { 0 } else { skip };
    let mut keys = walk.take(connection, skip, limit + 1).await?;
    let has_more = keys.len() > limit;
    keys.truncate(limit);
    let mut snapshot = snapshot;
    if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
        if spec.page == 1 {
            snapshot.first = Some(*first);
        }
        snapshot.page = spec.page;
        snapshot.last = Some(*last);
    }
    Ok(Found {
        keys,
        total: u64::try_from(snapshot.total).unwrap_or_default(),
        has_more,
        snapshot: snapshot.to_string(),
    })
}

/// A walk from the newest message to older ones.
struct Walk<'s> {
    scope: &'s Scope,
    snapshot: Snapshot,
    until: i64,
    after: Option<Key>,
    seq_max: Option<i64>,
    /// How many messages of an hour are not on these pages.
    late: HashMap<i64, i64>,
    /// All hours, where the numbers by hour do not have the scope.
    counted: Option<Vec<(i64, i64)>>,
}

impl<'s> Walk<'s> {
    async fn begin(
        connection: &mut AnyConnection,
        scope: &'s Scope,
        given: Option<Snapshot>,
        spec: PageSpec<'_>,
    ) -> Result<Self> {
        let row = Statement::new("SELECT next - 1 FROM ductape_tracking WHERE id = 1")
            .one(&mut *connection)
            .await?;
        let newest: i64 = row.try_get(0)?;
        let mut walk = Walk {
            scope,
            snapshot: given.unwrap_or_default(),
            until: scope.until,
            after: None,
            seq_max: None,
            late: HashMap::new(),
            counted: None,
        };
        if let Some(given) = given {
            walk.seq_max = Some(given.seq);
            if let Some(first) = given.first {
                walk.until = walk.until.min(first.produced_at.saturating_add(1));
            }
            if let Some(last) = given.last.filter(|_| spec.page == given.page.saturating_add(1)) {
                walk.after = Some(last);
                walk.until = walk.until.min(last.produced_at.saturating_add(1));
            }
            if walk.after.is_none() && newest > given.seq && newest - given.seq <= SINCE_MAX {
                let late = scope.recorded_since(connection, given.seq, walk.until).await?;
                walk.late = late.into_iter().collect();
            }
        }
        if !scope.is_counted() {
            let all = walk.part(scope.from, walk.until);
            walk.counted = Some(scope.count_hours(connection, all).await?);
        }
        if given.is_none() {
            walk.snapshot.seq = newest;
            walk.snapshot.total = match &walk.counted {
                Some(hours) => hours.iter().map(|(_, count)| *count).sum(),
                None => total(connection, scope).await?,
            };
        }
        Ok(walk)
    }

    const fn part(&self, from: i64, until: i64) -> Part {
        Part {
            from,
            until,
            after: self.after,
            seq_max: self.seq_max,
        }
    }

    /// The hours that the walk can touch.
    fn hours(&self) -> (i64, i64) {
        (
            hour(self.scope.from),
            hour(self.until.saturating_sub(1)).saturating_add(1),
        )
    }

    /// An hour, as far as it is in the scope.
    fn clip(&self, at: i64) -> Part {
        let from = self.scope.from.max(at.saturating_mul(HOUR));
        self.part(from, self.until.min(at.saturating_add(1).saturating_mul(HOUR)))
    }

    /// Whether only a part of an hour is in the scope.
    fn partial(&self, at: i64) -> bool {
        self.scope.from > at.saturating_mul(HOUR) || self.until < at.saturating_add(1).saturating_mul(HOUR)
    }

    /// The newest `limit` behind the first `skip`.
    async fn take(
        &mut self,
        connection: &mut AnyConnection,
        mut skip: i64,
        limit: usize,
    ) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(limit.min(1_024));
        let (first, mut end) = self.hours();
        let mut step = HOURS_STEP;
        // Hours that follow each other are asked for at once: the part's hours, and how many it has.
        let mut part: Option<(i64, i64, i64)> = None;
        loop {
            let (hours, is_end) = if let Some(hours) = self.counted.take() {
                (hours, true)
            } else {
                let hours = self.scope.hours(connection, (first, end), step).await?;
                let is_end = hours.len() < usize::try_from(step).unwrap_or(usize::MAX);
                (hours, is_end)
            };
            for (at, count) in hours {
                end = at;
                let count = if self.scope.is_counted() {
                    self.count(connection, at, count, skip).await?
                } else {
                    count
                };
                if count <= 0 {
                    continue;
                }
                if part.is_none() && skip >= count {
                    skip -= count;
                    continue;
                }
                let joined = match part {
                    Some((low, high, sum)) if self.scope.is_precise() || low == at + 1 => {
                        (at, high, sum + count)
                    }
                    Some((low, high, _)) => {
                        skip = self
                            .fetch(connection, (low, high), limit, skip, &mut keys)
                            .await?;
                        (at, at, count)
                    }
                    None => (at, at, count),
                };
                part = Some(joined);
                let wanted = i64::try_from(limit - keys.len()).unwrap_or(i64::MAX);
                if joined.2 - skip >= wanted {
                    skip = self
                        .fetch(connection, (joined.0, joined.1), limit, skip, &mut keys)
                        .await?;
                    part = None;
                }
                if keys.len() >= limit {
                    return Ok(keys);
                }
            }
            if is_end {
                break;
            }
            step = step.saturating_mul(4);
        }
        if let Some((low, high, _)) = part {
            self.fetch(connection, (low, high), limit, skip, &mut keys)
                .await?;
        }
        Ok(keys)
    }

    /// How many an hour has that can be on these pages.
    async fn count(&self, connection: &mut AnyConnection, at: i64, count: i64, skip: i64) -> Result<i64> {
        if !self.partial(at) {
            return Ok(count - self.late.get(&at).copied().unwrap_or_default());
        }
        if skip == 0 && self.scope.is_precise() {
            // It only matters whether there are enough, which the fetch finds out.
            return Ok(1);
        }
        self.scope.count(connection, self.clip(at)).await
    }

    async fn fetch(
        &self,
        connection: &mut AnyConnection,
        (low, high): (i64, i64),
        limit: usize,
        skip: i64,
        keys: &mut Vec<Key>,
    ) -> Result<i64> {
        let mut part = self.part(self.clip(low).from, self.clip(high).until);
        let limit = i64::try_from(limit - keys.len()).unwrap_or(i64::MAX);
        let mut skip = skip;
        if skip > 0 && self.scope.is_success() {
            (part, skip) = self.leap(connection, part, skip).await?;
        }
        keys.append(&mut self.scope.keys(connection, part, limit, skip).await?);
        Ok(0)
    }
}

impl Walk<'_> {
    /// Skips the same number of messages in whichever state, which an index does alone, and finds how many of them are no success: so
    /// many more are to be skipped behind them.
    async fn leap(&self, connection: &mut AnyConnection, part: Part, skip: i64) -> Result<(Part, i64)> {
        let any = Scope {
            states: None,
            ..self.scope.clone()
        };
        let Some(last) = any.keys(connection, part, 1, skip - 1).await?.pop() else {
            return Ok((part, skip));
        };
        let others = Scope {
            states: Some(state::NO_SUCCESS.to_vec()),
            ..self.scope.clone()
        };
        let from = Part {
            from: last.produced_at,
            ..part
        };
        let behind = Part {
            until: last.produced_at.saturating_add(1).min(part.until),
            after: Some(last),
            ..from
        };
        let others = others.count(connection, from).await? - others.count(connection, behind).await?;
        let rest = Part {
            after: Some(last),
            ..part
        };
        Ok((rest, others))
    }
}

/// How many messages a scope has: by the numbers of its whole hours, and by counting those of its first and its last.
async fn total(connection: &mut AnyConnection, scope: &Scope) -> Result<i64> {
    if scope.from <= 0 && scope.until == i64::MAX {
        return scope.sum(connection, None).await;
    }
    let part = |from, until| Part {
        from,
        until,
        after: None,
        seq_max: None,
    };
    let first = hour(scope.from.saturating_add(HOUR - 1));
    let end = hour(scope.until);
    if first >= end {
        // Each of the two hours that it may touch is in it in part.
        return scope.count(connection, part(scope.from, scope.until)).await;
    }
    let whole = scope.sum(connection, Some((first, end))).await?;
    let before = scope.count(connection, part(scope.from, first * HOUR)).await?;
    let behind = match end
        .checked_mul(HOUR)
        .filter(|end| *end < scope.until && scope.until != i64::MAX)
    {
        Some(end) => scope.count(connection, part(end, scope.until)).await?,
        None => 0,
    };
    Ok(before + whole + behind)
}
