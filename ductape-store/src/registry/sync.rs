//! What a program consists of, put into the registry at its start.

use std::fmt;
use std::time::{Duration, SystemTime};

use ductape_schema::compatibility::Break;

use super::entry::{BrokerEntry, ConsumerEntry, Source, TopicEntry};
use super::plan::{Known, Plan, Rows, Said};
use super::{Registry, clean, consumers, kept};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::time::micros;

/// How old the mark of a group's last start is when a start renews it.
pub const SEEN_STEP: Duration = Duration::from_hours(1);

/// What a program consists of.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The brokers of its topics, and those that its configuration names.
    pub brokers: Vec<BrokerEntry>,
    /// Its topics, and those that its configuration names.
    pub topics: Vec<TopicEntry>,
    /// Its consumers.
    pub consumers: Vec<ConsumerEntry>,
    /// Whether schemas that can't follow those that are held take their place all the same.
    pub takes_incompatible: bool,
}

/// A topic whose schema can't follow the one that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// What: ``topic `order-events:order-created` ``.
    pub what: String,
    /// Where, and why.
    pub breaks: Vec<Break>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The most that is told of one topic.
        const MOST: usize = 5;
        let breaks: Vec<String> = self.breaks.iter().take(MOST).map(Break::to_string).collect();
        write!(
            f,
            "{}: its schema can't follow the one that is registered: {}",
            self.what,
            breaks.join("; ")
        )?;
        match self.breaks.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// What a sync would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Planned {
    /// What it would add and change.
    pub changed: Vec<Changed>,
    /// What it would refuse.
    pub refused: Vec<Refused>,
}

/// What a sync changed about one broker, topic or consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// What: ``topic `order-events:order-created` ``.
    pub what: String,
    /// Who had put it in; `None` where it is new.
    pub was: Option<Source>,
    /// Who puts it in now.
    pub is: Source,
    /// What is different about it now.
    pub fields: Vec<String>,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.was.is_none() {
            return write!(f, "{}: added", self.what);
        }
        write!(f, "{}: {} changed", self.what, self.fields.join(", "))
    }
}

impl Registry<'_> {
    /// Puts in what is new of a program, and brings up to date what is there, in one transaction; nothing is taken out. What is
    /// the same as at the last sync is read in one query, and not written.
    ///
    /// What a program says wins over what calls said: a topic that was changed by a call is as its program says again after the
    /// next start, as far as the program says anything of it. A broker that a program has only topics of, and no configuration,
    /// is left to the calls and files that name it.
    ///
    /// Many programs may sync at once: each change is made, and answered, by one of them.
    ///
    /// A schema that can't follow the one that a program said before is refused, and nothing is written; a higher version of the
    /// topic is a topic of its own.
    ///
    /// A secret of a configuration that the store has no key for is not kept; see [`Resolved::missing`](super::Resolved::missing).
    ///
    /// # Errors
    ///
    /// [`Incompatible`](StoreErrorKind::Incompatible), and those of the database.
    pub async fn sync(&self, product: &str, own: &Own, now: SystemTime) -> Result<Vec<Changed>> {
        let product = clean(product);
        let keys = self.store.keys();
        let now = micros(now);
        let said = Said::of(own);
        let known = Known::read(self.store.reader(), &product).await?;
        if known.is_up_to_date(own, &said, (&product, keys), now) {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let rows = Rows {
            brokers: kept::brokers(&mut *transaction, &product, None).await?,
            environments: kept::environments(&mut *transaction, &product, None).await?,
            topics: kept::topics(&mut *transaction, &product, None, None).await?,
            known: Known::read(&mut *transaction, &product).await?,
        };
        let plan = Plan::make(own, &said, &rows, (&product, keys), now)?;
        if !plan.refused.is_empty() && !own.takes_incompatible {
            let refused: Vec<String> = plan.refused.iter().map(Refused::to_string).collect();
            return Err(StoreError::new(StoreErrorKind::Incompatible, refused.join(" | ")));
        }
        kept::write_brokers(&mut transaction, &product, &plan.brokers).await?;
        kept::write_environments(&mut transaction, &product, &plan.environments).await?;
        kept::write_topics(&mut transaction, &product, &plan.topics).await?;
        consumers::write(&mut transaction, &product, &plan.consumers, now).await?;
        transaction.commit().await?;
        Ok(plan.changed)
    }

    /// What a [`sync`](Self::sync) would do now. Nothing is written.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn plan(&self, product: &str, own: &Own, now: SystemTime) -> Result<Planned> {
        let product = clean(product);
        let keys = self.store.keys();
        let now = micros(now);
        let said = Said::of(own);
        let reader = self.store.reader();
        let known = Known::read(reader, &product).await?;
        if known.is_up_to_date(own, &said, (&product, keys), now) {
            return Ok(Planned::default());
        }
        let rows = Rows {
            brokers: kept::brokers(reader, &product, None).await?,
            environments: kept::environments(reader, &product, None).await?,
            topics: kept::topics(reader, &product, None, None).await?,
            known,
        };
        let plan = Plan::make(own, &said, &rows, (&product, keys), now)?;
        Ok(Planned {
            changed: plan.changed,
            refused: plan.refused,
        })
    }
}
