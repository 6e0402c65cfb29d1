//! The configuration of Google Pub/Sub.

use std::path::PathBuf;

use serde::Serialize;

use super::address::BrokerUrl;
use super::declare::Declare;
use super::fields::Fields;
use super::redact::shown;
use super::secret::Secret;

/// Google Pub/Sub (`GOOGLE_PUBSUB`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PubSubConfig {
    /// The project.
    pub project_id: String,
    /// The Pub/Sub topic that all topics of the broker share, told apart by the attribute `ce-type`; when `None`, each has
    /// its own, `broker.topic`.
    pub topic_name: Option<String>,
    /// The subscription of the consumers that name no group; each group has its own when `None`.
    pub subscription_name: Option<String>,
    /// Where to ask instead of Google: an emulator (`localhost:8085`, which means `http`), or a private endpoint
    /// (`https`). When `None`, the variable `PUBSUB_EMULATOR_HOST` names an emulator if it is set.
    pub endpoint: Option<BrokerUrl>,
    /// How to log in; when `None`, what the machine or its environment offers.
    #[serde(flatten)]
    pub credentials: Option<PubSubCredentials>,
    /// What is done about topics and groups that are missing; created by default.
    pub declare: Declare,
}

/// How to log in to Google Pub/Sub.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PubSubCredentials {
    /// By `keyFilename`: the file of a service account's key. It is not read before connecting.
    KeyFilename(PathBuf),
    /// By `credentials`: the key's content, as JSON text.
    Credentials(Secret),
}

impl PubSubConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        let declare = Declare::read(fields);
        let project_id = fields.required_text("projectId", "the project's id, for example `shop-123`");
        let name = |key: &'static str| {
            fields.text(key).and_then(|name| match check_resource_id(&name) {
                Ok(()) => Some(name),
                Err(message) => {
                    fields.find(key, message);
                    None
                }
            })
        };
        let topic_name = name("topicName");
        let subscription_name = name("subscriptionName");
        let endpoint = fields.text("endpoint").and_then(|text| {
            endpoint(&text)
                .map_err(|message| fields.find("endpoint", message))
                .ok()
        });
        let key_filename = fields.text("keyFilename");
        let credentials = fields.object("credentials").and_then(|credentials| {
            if credentials.map().is_empty() {
                fields.find(
                    "credentials",
                    "is an empty object; write the content of a key file",
                );
                return None;
            }
            serde_json::to_string(credentials.map()).ok().map(Secret::new)
        });
        if fields.has("keyFilename") && fields.has("credentials") {
            fields.find(
                "credentials",
                "stands beside `keyFilename`; write one of them, not both",
            );
        }
        let travels = endpoint.as_ref().filter(|url| url.scheme() == "http");
        if let Some(url) = travels.filter(|url| !url.is_loopback())
            && (key_filename.is_some() || credentials.is_some())
        {
            fields.find(
                "endpoint",
                format!("`{url}` is not encrypted, and tokens would travel to it; write `https://`, or leave the key out"),
            );
        }
        let credentials = match key_filename {
            Some(file) => Some(PubSubCredentials::KeyFilename(file.into())),
            None => credentials.map(PubSubCredentials::Credentials),
        };
        Some(Self {
            project_id: project_id?,
            topic_name,
            subscription_name,
            endpoint,
            credentials,
            declare,
        })
    }

    pub(super) fn address(&self) -> String {
        let project = &self.project_id;
        let place = match &self.topic_name {
            Some(topic) => format!("projects/{project}/topics/{topic}"),
            None => format!("projects/{project}"),
        };
        match &self.endpoint {
            Some(endpoint) => format!("{place} at {endpoint}"),
            None => place,
        }
    }
}

/// Where to ask instead of Google; a host without a scheme is an emulator's, as `PUBSUB_EMULATOR_HOST` has it.
pub(crate) fn endpoint(text: &str) -> Result<BrokerUrl, String> {
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    BrokerUrl::parse(&url, &["http", "https"], "localhost:8085")?.without_extras()
}

/// Whether a topic or a subscription can have this name:
/// <https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names>.
pub(crate) fn check_resource_id(name: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.~+%".contains(&b);
    let problem = if !(3..=255).contains(&name.len()) {
        "has not 3 to 255 characters"
    } else if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        "does not begin with a letter"
    } else if name.starts_with("goog") {
        "begins with `goog`, which is Google's own"
    } else if !name.bytes().all(good) {
        "has characters other than letters, digits and `-_.~+%`"
    } else {
        return Ok(());
    };
    Err(format!("`{}` {problem}; Pub/Sub takes no such name", shown(name)))
}
