//! Connecting: credentials, clients, and the test of a connection.

use std::path::Path;
use std::sync::Arc;

use google_cloud_auth::credentials::{
    self, Credentials, anonymous, external_account, impersonated, service_account, user_account,
};
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::RetryPolicyExt as _;
use google_cloud_pubsub::client::{BasePublisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::retry_policy::RetryableErrors;
use serde_json::Value;
use tokio::time::timeout;

use super::config::{PUBLISH_TIMEOUT, Settings};
use super::error::from_client;
use super::provider::PubSub;
use crate::config::{PubSubConfig, PubSubCredentials};
use crate::connection::{ConnectionReport, Probe, STEP_TIMEOUT};
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

/// How many connections carry the streams of the subscriptions: Google takes about a hundred streams on each.
const STREAM_CONNECTIONS: usize = 4;
/// How long one look at the server may take.
const ATTEMPT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The client's parts.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) topics: TopicAdmin,
    pub(super) subscriptions: SubscriptionAdmin,
    pub(super) publisher: BasePublisher,
    pub(super) subscriber: Subscriber,
}

/// Connects.
pub(crate) async fn connect(config: &PubSubConfig) -> Result<AnyProvider> {
    let settings = Settings::new(config)?;
    let credentials = credentials(&settings).await?;
    let connecting = async {
        let clients = Clients::new(&settings, &credentials).await?;
        clients.look(&settings).await?;
        Ok(clients)
    };
    let clients = timeout(STEP_TIMEOUT, connecting).await.unwrap_or_else(|_| {
        let text = format!("no answer within {STEP_TIMEOUT:?}; check the address and the network");
        Err(Error::new(ErrorKind::Unreachable, text).with("provider", "pubsub"))
    });
    let clients = clients.map_err(|error| error.with("address", settings.address()))?;
    Ok(Arc::new(PubSub::new(settings, clients)))
}

impl Clients {
    async fn new(settings: &Settings, credentials: &Credentials) -> Result<Self> {
        macro_rules! build {
            ($builder:expr) => {{
                let mut builder = $builder.with_credentials(credentials.clone());
                if let Some(endpoint) = &settings.endpoint {
                    builder = builder.with_endpoint(endpoint.expose().trim_end_matches('/'));
                }
                builder.build().await.map_err(|error| {
                    let text = format!("the client can't be set up: {error}");
                    Error::new(ErrorKind::ConfigInvalid, text).with("provider", "pubsub")
                })?
            }};
        }
        let within = RetryableErrors.with_time_limit(PUBLISH_TIMEOUT);
        Ok(Self {
            topics: build!(TopicAdmin::builder()),
            subscriptions: build!(SubscriptionAdmin::builder()),
            publisher: build!(BasePublisher::builder().with_retry_policy(within)),
            subscriber: build!(Subscriber::builder().with_grpc_subchannel_count(STREAM_CONNECTIONS)),
        })
    }

    /// Asks the server for something small. That the account may not list topics tells all the same that it is there.
    pub(super) async fn look(&self, settings: &Settings) -> Result<()> {
        let asked = self
            .topics
            .list_topics()
            .set_project(format!("projects/{}", settings.project))
            .set_page_size(1)
            .with_attempt_timeout(ATTEMPT_TIMEOUT)
            .with_retry_policy(google_cloud_gax::retry_policy::NeverRetry)
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error) if super::error::is_denied(&error) => Ok(()),
            Err(error) => Err(from_client(&error, "connect")),
        }
    }
}

/// How to log in.
async fn credentials(settings: &Settings) -> Result<Credentials> {
    if settings.anonymous {
        return Ok(anonymous::Builder::new().build());
    }
    let invalid = |text: String| Error::new(ErrorKind::ConfigInvalid, text).with("provider", "pubsub");
    let (key, place) = match &settings.credentials {
        None => {
            return credentials::Builder::default().build().map_err(|error| {
                invalid(format!(
                    "neither `keyFilename` nor `credentials` is set, and the machine offers none: {error}"
                ))
            });
        }
        Some(PubSubCredentials::KeyFilename(file)) => {
            (read_key(file).await?, format!("`{}`", file.display()))
        }
        Some(PubSubCredentials::Credentials(secret)) => {
            // It was an object when it was read.
            let key = serde_json::from_str(secret.expose()).unwrap_or_default();
            (key, "`credentials`".to_owned())
        }
    };
    let built = match key.get("type").and_then(Value::as_str) {
        Some("service_account") => service_account::Builder::new(key).build(),
        Some("authorized_user") => user_account::Builder::new(key).build(),
        Some("external_account") => external_account::Builder::new(key).build(),
        Some("impersonated_service_account") => impersonated::Builder::new(key).build(),
        Some(_) => {
            return Err(invalid(format!(
                "the key in {place} has a `type` that is not known; write the key of a service account \
                 (`\"type\": \"service_account\"`)"
            )));
        }
        None => {
            return Err(invalid(format!(
                "the key in {place} has no `type`; write the key of a service account as Google gives it"
            )));
        }
    };
    // The client's own words may quote the key.
    built.map_err(|_| {
        invalid(format!(
            "the key in {place} is not whole: its private key or another field is missing or can't be read; \
             download it again"
        ))
    })
}

async fn read_key(file: &Path) -> Result<Value> {
    let invalid = |text: String| {
        Error::new(ErrorKind::ConfigInvalid, text)
            .with("provider", "pubsub")
            .with("key", "keyFilename")
            .with("file", file.display())
    };
    let text = tokio::fs::read(file)
        .await
        .map_err(|error| invalid("the key file can't be read".to_owned()).with_source(error))?;
    // The text of the parser's error could quote the key; its place is enough.
    serde_json::from_slice(&text).map_err(|error| {
        invalid(format!(
            "the key file is not JSON (line {}, column {}); write the path of a service account's key",
            error.line(),
            error.column()
        ))
    })
}

/// Tries a connection, step by step.
pub(crate) async fn test_connection(config: &PubSubConfig) -> ConnectionReport {
    let settings = Settings::new(config);
    let address = settings
        .as_ref()
        .map_or_else(|_| format!("projects/{}", config.project_id), Settings::address);
    let mut probe = Probe::new("pubsub", address);
    let _ = test(&mut probe, settings).await;
    probe.finish()
}

#[allow(clippy::default_trait_access)] // the type is that of a crate which is no dependency
async fn test(probe: &mut Probe, settings: Result<Settings>) -> Option<()> {
    let (settings, credentials) = probe
        .step("configure", async {
            let settings = settings?;
            let credentials = credentials(&settings).await?;
            let found = match &settings.credentials {
                _ if settings.anonymous => "an emulator, without credentials".to_owned(),
                Some(PubSubCredentials::KeyFilename(file)) => format!("the key in `{}`", file.display()),
                Some(PubSubCredentials::Credentials(_)) => "the key in `credentials`".to_owned(),
                None => "the machine's own credentials".to_owned(),
            };
            Ok((found, (settings, credentials)))
        })
        .await?;
    let (host, port) = match &settings.endpoint {
        Some(url) => {
            let default = if url.scheme() == "http" { 80 } else { 443 };
            (url.host().to_owned(), url.port().unwrap_or(default))
        }
        None => ("pubsub.googleapis.com".to_owned(), 443),
    };
    probe.reach(&[(&host, port)]).await?;
    if !settings.anonymous {
        probe
            .step("authenticate", async {
                let headers = credentials.headers(Default::default()).await.map_err(|error| {
                    from_client(&google_cloud_pubsub::Error::authentication(error), "authenticate")
                })?;
                drop(headers);
                Ok(("an access token was given".to_owned(), ()))
            })
            .await?;
    }
    probe
        .step("authorize", async {
            let clients = Clients::new(&settings, &credentials).await?;
            clients.may(&settings).await.map(|found| (found, ()))
        })
        .await
}

impl Clients {
    /// What the account may in the project.
    async fn may(&self, settings: &Settings) -> Result<String> {
        let project = &settings.project;
        let asked = self
            .topics
            .list_topics()
            .set_project(format!("projects/{project}"))
            .set_page_size(1)
            .with_retry_policy(google_cloud_gax::retry_policy::NeverRetry)
            .send()
            .await;
        match asked {
            Ok(_) => Ok(format!("the topics of project `{project}` can be listed")),
            Err(error) if super::error::is_not_found(&error) => {
                let text = format!(
                    "there is no project `{project}`, or the account does not know of it; check `projectId`"
                );
                Err(Error::new(ErrorKind::Unauthorized, text).with("provider", "pubsub"))
            }
            Err(error) if super::error::is_denied(&error) => {
                let text = format!(
                    "the account may not list the topics of project `{project}`; check `projectId`, or give it the role \
                     `roles/pubsub.editor`"
                );
                Err(Error::new(ErrorKind::Unauthorized, text).with("provider", "pubsub"))
            }
            Err(error) => Err(from_client(&error, "authorize")),
        }
    }
}
