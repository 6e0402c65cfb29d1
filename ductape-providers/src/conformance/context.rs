use std::fmt;
use std::sync::Arc;

use ductape_schema::{EventName, GroupName};
use uuid::Uuid;

use super::case::Failure;
use super::client::Client;
use super::harness::Harness;
use super::reader::Reader;
use crate::error::Result;
use crate::message::TopicName;
use crate::provider_dyn::AnyProvider;
use crate::spec::GroupSpec;

/// What a case works with: the broker, and names that no other case and no earlier run has used.
#[derive(Clone)]
pub struct Context {
    harness: Arc<dyn Harness>,
    id: &'static str,
    unique: Arc<str>,
}

impl Context {
    /// A context for the case `id`.
    pub fn new(harness: Arc<dyn Harness>, id: &'static str) -> Self {
        // The last digits of an id are its random part.
        let unique: String = Uuid::now_v7().simple().to_string().split_off(20);
        Self {
            harness,
            id,
            unique: unique.into(),
        }
    }

    /// The harness, for its times.
    pub fn harness(&self) -> &dyn Harness {
        &*self.harness
    }

    /// A further handle of the broker, as another process would get it.
    ///
    /// # Errors
    ///
    /// When the broker can't be reached, which fails the case.
    pub async fn connect(&self) -> Result<Client, Failure> {
        match self.harness.connect().await {
            Ok(provider) => Ok(Client::new(provider, &*self.harness)),
            Err(error) => Err(Failure::step("connect", &error)),
        }
    }

    /// A further handle, or why there is none.
    pub(super) async fn connect_raw(&self) -> Result<AnyProvider> {
        self.harness.connect().await
    }

    /// This context with a broker of its own, where the harness has one.
    #[must_use]
    pub fn isolated(&self) -> Self {
        Self {
            harness: self
                .harness
                .isolated()
                .unwrap_or_else(|| Arc::clone(&self.harness)),
            ..self.clone()
        }
    }

    /// The topic that `tag` (`a-z`, `0-9`, `-`) stands for in this case.
    ///
    /// # Errors
    ///
    /// When `tag` is not one.
    pub fn topic(&self, tag: &str) -> Result<TopicName, Failure> {
        let name = format!(
            "conformance:{}-{tag}-{}",
            self.id.to_ascii_lowercase(),
            self.unique
        );
        let event: EventName = name.parse().map_err(|error| Failure::new(format!("{error}")))?;
        Ok(TopicName::new(event, std::num::NonZeroU32::MIN))
    }

    /// The group that `tag` stands for in this case, as [`GroupSpec::new`] makes it.
    ///
    /// # Errors
    ///
    /// When `tag` is not one.
    pub fn group(&self, tag: &str) -> Result<GroupSpec, Failure> {
        let name = format!("{tag}-{}", self.unique);
        let name: GroupName = name.parse().map_err(|error| Failure::new(format!("{error}")))?;
        Ok(GroupSpec::new(name))
    }

    /// What most cases begin with: a handle, a declared topic with one group, and a reader of it.
    ///
    /// # Errors
    ///
    /// When one of them can't be had, which fails the case.
    pub async fn start(&self) -> Result<(Client, TopicName, GroupSpec, Reader), Failure> {
        let (client, topic, group) = (self.connect().await?, self.topic("t")?, self.group("g")?);
        client.declare(&topic, &[&group]).await?;
        let reader = client.reader(&topic, &group).await?;
        Ok((client, topic, group, reader))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("harness", &self.harness.name())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
