//! Declaring: what is missing is created, what exists must fit, nothing is altered.

use std::sync::Arc;
use std::time::Duration;

use super::admin::{Admin, Settings, Wanted};
use super::ask::{self, From, PartitionFacts};
use super::config::RETRY_RETENTION;
use super::provider::Inner;
use super::topology::{Group, Known, Own, Topic};
use crate::clock;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::Durability;
use crate::spec::{GroupSpec, Start, TopicSpec};

/// How long a topic that was created may take until every partition has a leader.
const CREATED_WITHIN: Duration = Duration::from_secs(10);
/// Dead letters are kept until they are settled and deleted.
const FOR_EVER: i64 = -1;

impl Inner {
    pub(super) async fn declare(self: &Arc<Self>, spec: &TopicSpec) -> Result<()> {
        self.topology.note(spec);
        let topic = self.topology.topic(&self.config, &spec.topic);
        let mut groups = Vec::with_capacity(spec.groups.len());
        for group in &spec.groups {
            groups.push((group, self.topology.group(&self.config, &topic, group)?));
        }
        if self.config.declare == Declare::Off {
            let known = self.topology.add(topic);
            for (spec, group) in groups {
                let group = self.begin(&known, spec, group).await?;
                known.add(spec.name.clone(), Arc::new(group));
            }
            return Ok(());
        }
        let lasting: Vec<&Group> = groups
            .iter()
            .filter(|(spec, _)| !spec.ephemeral)
            .map(|(_, group)| group)
            .collect();
        let partitions = self.topics_exist(&topic, &lasting, spec.keyed).await?;
        let known = self.add(topic, &partitions).await?;
        for (spec, group) in groups {
            if known.group(&spec.name).is_some_and(|group| group.own.is_none()) {
                continue;
            }
            let group = self.begin(&known, spec, group).await?;
            known.add(spec.name.clone(), Arc::new(group));
        }
        Ok(())
    }

    /// Creates the topics that are missing, and answers the partitions of the first.
    async fn topics_exist(
        &self,
        topic: &Topic,
        groups: &[&Group],
        keyed: bool,
    ) -> Result<Vec<PartitionFacts>> {
        let count = usize::from(self.config.partitions);
        let mut wanted = vec![Wanted {
            name: topic.main.clone(),
            partitions: count,
            retention_millis: None,
        }];
        let retention = i64::try_from(RETRY_RETENTION.as_millis()).unwrap_or(FOR_EVER);
        for group in groups {
            wanted.push(Wanted {
                name: group.retry.clone(),
                partitions: count,
                retention_millis: Some(retention),
            });
            // One, so that dead letters are read in order.
            wanted.push(Wanted {
                name: group.dead.clone(),
                partitions: 1,
                retention_millis: Some(FOR_EVER),
            });
        }
        let names: Vec<String> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
        let found = self.look(names.clone()).await?;
        let first = found.first().and_then(Option::as_ref).map(Vec::len);
        let (mut missing, mut existing) = (Vec::new(), Vec::new());
        for (mut wanted, found) in wanted.into_iter().zip(&found) {
            if found.is_some() {
                existing.push(wanted.name);
            } else {
                // Retries are shared as widely as the topic is, where it was there before.
                if let Some(partitions) = first.filter(|_| wanted.partitions > 1) {
                    wanted.partitions = partitions;
                }
                missing.push(wanted);
            }
        }
        if !existing.is_empty() {
            self.fits(topic, &existing, keyed).await?;
        }
        if missing.is_empty() {
            return Ok(found.into_iter().next().flatten().unwrap_or_default());
        }
        if self.config.declare == Declare::Check {
            let (kind, what) = match missing.iter().find(|wanted| wanted.name == topic.main) {
                Some(_) => (ErrorKind::TopicMissing, "a topic"),
                None => (ErrorKind::GroupMissing, "a topic of a group"),
            };
            let names: Vec<String> = missing.into_iter().map(|wanted| wanted.name).collect();
            let text = format!(
                "{what} is missing: `{}`; create it, or set `declare` to `create`",
                names.join("`, `")
            );
            return Err(Error::new(kind, text).with("provider", "kafka"));
        }
        Admin::new(&self.config)?.create(&self.config, &missing).await?;
        self.created(names).await
    }

    /// What the cluster has of these topics.
    async fn look(&self, names: Vec<String>) -> Result<Vec<Option<Vec<PartitionFacts>>>> {
        self.ask(move |asking| names.iter().map(|name| ask::partitions(asking, name)).collect())
            .await
    }

    /// Waits until topics that were created can be used.
    async fn created(&self, names: Vec<String>) -> Result<Vec<PartitionFacts>> {
        let until = clock::now() + CREATED_WITHIN;
        loop {
            let found = self.look(names.clone()).await?;
            let ready = |found: &Option<Vec<PartitionFacts>>| {
                let partitions = found.as_deref().unwrap_or_default();
                !partitions.is_empty() && partitions.iter().all(|partition| partition.has_leader)
            };
            if found.iter().all(ready) {
                return Ok(found.into_iter().next().flatten().unwrap_or_default());
            }
            if clock::now() > until {
                let text = format!("topics were created, and have no leaders after {CREATED_WITHIN:?}");
                return Err(Error::new(ErrorKind::Timeout, text).with("topics", names.join(", ")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether what exists can carry what is to go there.
    async fn fits(&self, topic: &Topic, existing: &[String], keyed: bool) -> Result<()> {
        let names: Vec<&str> = existing.iter().map(String::as_str).collect();
        let settings = match Admin::new(&self.config)?.topics(&names).await {
            Ok(settings) => settings,
            // Who may use a topic need not be allowed to read its settings.
            Err(error) if error.kind() == ErrorKind::Unauthorized => {
                tracing::debug!(%error, "the settings of topics can't be read");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (name, settings) in existing.iter().zip(settings) {
            if !is_compacted(&settings) {
                continue;
            }
            let why = if *name != topic.main {
                "and would lose retries or dead letters that have one key"
            } else if !keyed {
                "and takes no messages without a key, which this topic's are"
            } else {
                // Only older messages of a key are lost, which a topic of states may want.
                continue;
            };
            let text = format!(
                "topic `{name}` is compacted (`cleanup.policy`) {why}; use another name, or alter it"
            );
            return Err(Error::new(ErrorKind::TopologyMismatch, text).with("provider", "kafka"));
        }
        Ok(())
    }

    /// Notes a topic that exists.
    pub(super) async fn add(&self, mut topic: Topic, partitions: &[PartitionFacts]) -> Result<Arc<Known>> {
        if let Some(known) = self.topology.known(&topic.name) {
            return Ok(known);
        }
        // Kafka confirms what is in the memory of every broker that is in sync, which may be one.
        if partitions.iter().all(|partition| partition.copies > 1) {
            let settings = Admin::new(&self.config)?
                .topics(&[&topic.main])
                .await
                .unwrap_or_default();
            let least = settings
                .first()
                .and_then(|settings| settings.get("min.insync.replicas"));
            if least.and_then(|least| least.parse().ok()).unwrap_or(1) > 1 {
                topic.durability = Durability::Replicated;
            }
        }
        Ok(self.topology.add(topic))
    }

    /// Makes a group begin where it is to, if it has no place yet.
    async fn begin(self: &Arc<Self>, known: &Known, spec: &GroupSpec, mut group: Group) -> Result<Group> {
        if spec.once {
            return Err(super::error::unsupported(
                "Kafka does not keep the ids that a group has handled; make the handler repeatable",
            ));
        }
        let from = match spec.start {
            Start::Latest => From::End,
            Start::Earliest => From::Beginning,
        };
        let main = known.topic.main.clone();
        if spec.ephemeral {
            let start = self.ask(move |asking| {
                let count = ask::partitions(asking, &main)?
                    .ok_or_else(|| ask::missing(&main))?
                    .len();
                ask::offsets(asking, &main, count, from)
            });
            group.own = Some(Own {
                start: start.await?,
                member: std::sync::Mutex::default(),
            });
            return Ok(group);
        }
        let declare = self.config.declare;
        if declare == Declare::Off {
            return Ok(group);
        }
        let (name, event) = (spec.name.clone(), known.topic.name.clone());
        self.ask_group(&group.id, move |client, asking| {
            let count = ask::partitions(asking, &main)?.ok_or_else(|| ask::missing(&main))?.len();
            if ask::committed(client, &main, count)?.iter().any(Option::is_some) {
                return Ok(());
            }
            if declare == Declare::Check {
                let text = format!("no group `{name}` of `{event}`; declare it with `declare` set to `create`");
                return Err(Error::new(ErrorKind::GroupMissing, text).with("provider", "kafka"));
            }
            let offsets = ask::offsets(asking, &main, count, from)?;
            ask::set_offsets(client, &main, &offsets).map_err(|error| {
                if !ask::has_members(&error) {
                    return error;
                }
                let text = format!(
                    "group `{name}` has members that read other topics and none that reads `{event}`, so that it can't be                      given a place in it; stop them for a moment, or give the consumer a group of its own"
                );
                Error::new(ErrorKind::TopologyMismatch, text).with("provider", "kafka").with_source(error)
            })
        })
        .await?;
        Ok(group)
    }

    /// Creates the topic of dead letters of a group of one process's own, which gets it with the first one.
    pub(super) async fn dead_letters_exist(&self, group: &Group) -> Result<()> {
        if group.own.is_none() {
            return Ok(());
        }
        let names = vec![group.dead.clone()];
        if self.look(names.clone()).await?.iter().all(Option::is_some) {
            return Ok(());
        }
        let wanted = Wanted {
            name: group.dead.clone(),
            partitions: 1,
            retention_millis: Some(FOR_EVER),
        };
        Admin::new(&self.config)?.create(&self.config, &[wanted]).await?;
        self.created(names).await.map(drop)
    }
}

/// Whether only the last message of a key is kept.
pub(super) fn is_compacted(settings: &Settings) -> bool {
    settings
        .get("cleanup.policy")
        .is_some_and(|policy| policy.contains("compact"))
}
