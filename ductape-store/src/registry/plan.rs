//! What a sync has to write.

use std::collections::HashMap;

use ductape_schema::compatibility::{Break, check};
use sqlx::{Executor, Row as _};

use super::brokers;
use super::clean;
use super::clean_option;
use super::entry::{BrokerEntry, ConsumerEntry, EnvironmentEntry, Source, TopicEntry};
use super::kept::{BrokerRow, EnvironmentRow, TopicRow, said};
use super::secrets::{Secrets, row};
use super::sync::{Changed, Own, Refused, SEEN_STEP};
use super::topics;
use crate::error::Result;
use crate::seal::StoreKeys;
use crate::statement::Statement;

/// Broker, topic and version.
type TopicKey = (String, String, i64);
/// Environment, broker, topic, version and group.
type ConsumerKey = (String, String, String, i64, String);

/// The product, and the keys of the store.
type With<'a> = (&'a str, &'a StoreKeys);

/// Hashes of what a program says, in the order in which it says it.
pub(super) struct Said {
    brokers: Vec<String>,
    environments: Vec<Vec<String>>,
    topics: Vec<String>,
    consumers: Vec<String>,
}

impl Said {
    pub(super) fn of(own: &Own) -> Self {
        // Without the secrets themselves: a hash of one could be guessed at.
        let environment = |env: &EnvironmentEntry| {
            let secrets: Vec<&str> = env.secrets.pointers().collect();
            said(&(&env.kind, &env.config, secrets))
        };
        let broker = |entry: &BrokerEntry| said(&(&entry.name, &entry.description, entry.source));
        let consumer = |entry: &ConsumerEntry| said(&(&entry.name, &entry.description));
        Self {
            brokers: own.brokers.iter().map(broker).collect(),
            environments: own
                .brokers
                .iter()
                .map(|entry| entry.envs.iter().map(environment).collect())
                .collect(),
            topics: own
                .topics
                .iter()
                .map(|entry| said(&(&entry.says, entry.source)))
                .collect(),
            consumers: own.consumers.iter().map(consumer).collect(),
        }
    }
}

/// What was said of what the registry holds.
#[derive(Default)]
pub(super) struct Known {
    brokers: HashMap<String, (String, Source)>,
    environments: HashMap<(String, String), (String, String)>,
    topics: HashMap<TopicKey, String>,
    consumers: HashMap<ConsumerKey, (String, i64)>,
}

impl Known {
    pub(super) async fn read<'c>(on: impl Executor<'c, Database = sqlx::Any>, product: &str) -> Result<Self> {
        let mut select = Statement::new(
            "SELECT 'broker', '', tag, '', '', CAST(0 AS BIGINT), said, source, CAST(0 AS BIGINT) FROM ductape_brokers \
             WHERE product = ",
        );
        select.bind(product).text(
            " UNION ALL SELECT 'environment', slug, broker, '', '', 0, said, sealed, 0 FROM ductape_environments WHERE product = ",
        );
        select.bind(product).text(
            " UNION ALL SELECT 'topic', '', broker, topic, '', version, said, '', 0 FROM ductape_topics WHERE product = ",
        );
        select.bind(product).text(
            " UNION ALL SELECT 'consumer', env, broker, topic, consumer_tag, version, said, '', last_seen FROM ductape_consumers \
             WHERE product = ",
        );
        select.bind(product);
        let mut known = Self::default();
        for row in select.all(on).await? {
            let kind: String = row.try_get(0)?;
            let (env, broker): (String, String) = (row.try_get(1)?, row.try_get(2)?);
            let (said, more): (String, String) = (row.try_get(6)?, row.try_get(7)?);
            match kind.as_str() {
                "broker" => {
                    known.brokers.insert(broker, (said, Source::read(&more)));
                }
                "environment" => {
                    known.environments.insert((broker, env), (said, more));
                }
                "topic" => {
                    known
                        .topics
                        .insert((broker, row.try_get(3)?, row.try_get(5)?), said);
                }
                _ => {
                    let key = (env, broker, row.try_get(3)?, row.try_get(5)?, row.try_get(4)?);
                    known.consumers.insert(key, (said, row.try_get(8)?));
                }
            }
        }
        Ok(known)
    }

    pub(super) fn is_up_to_date(&self, own: &Own, said: &Said, with: With<'_>, now: i64) -> bool {
        let broker = |(at, entry): (usize, &BrokerEntry)| {
            if self.is_left_alone(entry) {
                return true;
            }
            let known = self.brokers.get(&*clean(&entry.tag));
            let mut envs = entry.envs.iter().zip(&said.environments[at]);
            known.is_some_and(|(known, _)| *known == said.brokers[at])
                && envs.all(|(env, said)| self.has_environment(&entry.tag, env, said, with))
        };
        let topic = |(entry, said): (&TopicEntry, &String)| self.topics.get(&topic_key(entry)) == Some(said);
        let consumer = |(entry, said): (&ConsumerEntry, &String)| self.has_consumer(entry, said, now);
        own.brokers.iter().enumerate().all(broker)
            && own.topics.iter().zip(&said.topics).all(topic)
            && own.consumers.iter().zip(&said.consumers).all(consumer)
    }

    /// Whether a broker is one that the program knows less of than the registry.
    fn is_left_alone(&self, entry: &BrokerEntry) -> bool {
        let known = self.brokers.get(&*clean(&entry.tag));
        entry.source == Source::Program && known.is_some_and(|(_, source)| *source > Source::Program)
    }

    fn has_environment(
        &self,
        broker: &str,
        env: &EnvironmentEntry,
        said: &str,
        (product, keys): With<'_>,
    ) -> bool {
        let (broker, slug) = (clean(broker), clean(&env.slug));
        let row = row(product, &broker, &slug);
        let Some((known, sealed)) = self.environments.get(&(broker.into_owned(), slug.into_owned())) else {
            return false;
        };
        if known != said {
            return false;
        }
        // Sealed anew when they can't be opened: the program has them.
        env.secrets.is_empty()
            || !keys.is_sealing()
            || Secrets::open(sealed, keys, &row).is_ok_and(|kept| kept == env.secrets)
    }

    fn has_consumer(&self, entry: &ConsumerEntry, said: &str, now: i64) -> bool {
        let step = i64::try_from(SEEN_STEP.as_micros()).unwrap_or(i64::MAX);
        let known = self.consumers.get(&consumer_key(entry));
        known.is_some_and(|(known, seen)| known == said && now.saturating_sub(*seen) < step)
    }
}

fn topic_key(entry: &TopicEntry) -> TopicKey {
    let (broker, topic) = (clean(&entry.broker), clean(&entry.topic));
    (broker.into_owned(), topic.into_owned(), i64::from(entry.version))
}

fn consumer_key(entry: &ConsumerEntry) -> ConsumerKey {
    let text = |text: &str| clean(text).into_owned();
    let version = i64::from(entry.version);
    (
        text(&entry.env),
        text(&entry.broker),
        text(&entry.topic),
        version,
        text(&entry.tag),
    )
}

/// What the registry holds of a product.
pub(super) struct Rows {
    pub(super) brokers: Vec<BrokerRow>,
    pub(super) environments: Vec<EnvironmentRow>,
    pub(super) topics: Vec<TopicRow>,
    pub(super) known: Known,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) brokers: Vec<BrokerRow>,
    pub(super) environments: Vec<EnvironmentRow>,
    pub(super) topics: Vec<TopicRow>,
    pub(super) consumers: Vec<(&'a ConsumerEntry, String)>,
    pub(super) changed: Vec<Changed>,
    pub(super) refused: Vec<Refused>,
}

impl<'a> Plan<'a> {
    pub(super) fn make(own: &'a Own, said: &Said, rows: &Rows, with: With<'_>, now: i64) -> Result<Self> {
        let mut plan = Self::default();
        for (at, entry) in own.brokers.iter().enumerate() {
            if !rows.known.is_left_alone(entry) {
                plan.broker(
                    entry,
                    (&said.brokers[at], &said.environments[at]),
                    rows,
                    with,
                    now,
                )?;
            }
        }
        let there: HashMap<(&str, &str, i64), &TopicRow> = rows
            .topics
            .iter()
            .map(|row| ((row.broker.as_str(), row.topic.as_str(), row.version), row))
            .collect();
        for (entry, said) in own.topics.iter().zip(&said.topics) {
            let (broker, topic, version) = topic_key(entry);
            plan.topic(
                entry,
                said,
                there.get(&(broker.as_str(), topic.as_str(), version)).copied(),
                (own.takes_incompatible, now),
            );
        }
        for (entry, said) in own.consumers.iter().zip(&said.consumers) {
            if rows.known.has_consumer(entry, said, now) {
                continue;
            }
            plan.consumers.push((entry, said.clone()));
            if !rows.known.consumers.contains_key(&consumer_key(entry)) {
                let place = format!("{}:{} in environment `{}`", entry.broker, entry.topic, entry.env);
                plan.changed.push(Changed {
                    what: format!("consumer `{}` of {place}", entry.tag),
                    was: None,
                    is: Source::Program,
                    fields: Vec::new(),
                });
            }
        }
        Ok(plan)
    }

    fn broker(
        &mut self,
        entry: &BrokerEntry,
        (said, envs_said): (&String, &[String]),
        rows: &Rows,
        with: With<'_>,
        now: i64,
    ) -> Result<()> {
        let tag = clean(&entry.tag).into_owned();
        let there = rows.brokers.iter().find(|row| row.tag == tag);
        let mut row = there.cloned().unwrap_or_else(|| BrokerRow {
            tag: tag.clone(),
            name: tag.clone(),
            description: None,
            source: entry.source,
            said: String::new(),
            created_at: now,
            updated_at: now,
        });
        let mut changed = Changed {
            what: format!("broker `{tag}`"),
            was: there.map(|row| row.source),
            is: entry.source,
            fields: Vec::new(),
        };
        if let Some(name) = clean_option(entry.name.as_ref()).filter(|name| *name != row.name) {
            row.name = name;
            changed.fields.push("name".to_owned());
        }
        let description = clean_option(entry.description.as_ref());
        if description.is_some() && row.description != description {
            row.description = description;
            changed.fields.push("description".to_owned());
        }
        if !changed.fields.is_empty() {
            row.updated_at = now;
        }
        if there.is_none() || row.said != *said || row.source != entry.source {
            row.said.clone_from(said);
            row.source = entry.source;
            self.brokers.push(row);
        }
        let (product, keys) = with;
        for (env, said) in entry.envs.iter().zip(envs_said) {
            if rows.known.has_environment(&tag, env, said, with) {
                continue;
            }
            let mut env = env.clone();
            if !keys.is_sealing() {
                env.secrets = Secrets::default();
            }
            let mut new = brokers::rows(product, &tag, std::slice::from_ref(&env), keys, now)?;
            let known = |row: &&EnvironmentRow| row.broker == tag && row.slug == *clean(&env.slug);
            let before = rows.environments.iter().find(known);
            for row in &mut new {
                row.said.clone_from(said);
                row.created_at = before.map_or(now, |before| before.created_at);
                let same = |before: &EnvironmentRow| before.kind == row.kind && before.config == row.config;
                if !before.is_some_and(same) || !env.secrets.is_empty() {
                    changed.fields.push(format!("environment `{}`", row.slug));
                } else {
                    row.updated_at = before.map_or(now, |before| before.updated_at);
                }
            }
            self.environments.append(&mut new);
        }
        if there.is_none() || !changed.fields.is_empty() {
            self.changed.push(changed);
        }
        Ok(())
    }

    fn topic(
        &mut self,
        entry: &TopicEntry,
        said: &String,
        there: Option<&TopicRow>,
        (takes_incompatible, now): (bool, i64),
    ) {
        if there.is_some_and(|row| row.said == *said) {
            return;
        }
        let breaks = there.map_or_else(Vec::new, |row| breaks(entry, row));
        if !breaks.is_empty() {
            self.refused.push(Refused {
                what: named(&entry.broker, &entry.topic, entry.version),
                breaks,
            });
            if !takes_incompatible {
                return;
            }
        }
        let mut row = there.cloned().unwrap_or_else(|| topics::new(entry, now));
        let fields = topics::apply(&mut row, &entry.says);
        row.said.clone_from(said);
        row.source = entry.source;
        if there.is_none() || !fields.is_empty() {
            row.updated_at = now;
            self.changed.push(Changed {
                what: named(&row.broker, &row.topic, entry.version),
                was: there.map(|row| row.source),
                is: entry.source,
                fields: fields.into_iter().map(str::to_owned).collect(),
            });
        }
        self.topics.push(row);
    }
}

/// Where the schema that is said can't follow the one that a program said before. What a call said binds nobody.
fn breaks(entry: &TopicEntry, row: &TopicRow) -> Vec<Break> {
    let held = row.schema.as_ref().filter(|_| !row.said.is_empty());
    let held = held.and_then(|text| serde_json::from_str(text).ok());
    match (held, &entry.says.schema) {
        (Some(held), Some(new)) => check(&held, new, entry.compatibility),
        _ => Vec::new(),
    }
}

fn named(broker: &str, topic: &str, version: u32) -> String {
    let version = match version {
        1 => String::new(),
        version => format!(" version {version}"),
    };
    format!("topic `{broker}:{topic}`{version}")
}
