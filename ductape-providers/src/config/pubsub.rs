//! The configuration of Google Pub/Sub.

use std::path::PathBuf;

use serde::Serialize;

use super::declare::Declare;
use super::fields::Fields;
use super::secret::Secret;

/// Google Pub/Sub (`GOOGLE_PUBSUB`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PubSubConfig {
    /// The project.
    pub project_id: String,
    /// The topic.
    pub topic_name: String,
    /// The subscription of the consumers that name no group; each group has its own when `None`.
    pub subscription_name: Option<String>,
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
        let topic_name = fields.required_text("topicName", "the topic's name, for example `orders`");
        let subscription_name = fields.text("subscriptionName");
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
        let credentials = match key_filename {
            Some(file) => Some(PubSubCredentials::KeyFilename(file.into())),
            None => credentials.map(PubSubCredentials::Credentials),
        };
        Some(Self {
            project_id: project_id?,
            topic_name: topic_name?,
            subscription_name,
            credentials,
            declare,
        })
    }

    pub(super) fn address(&self) -> String {
        format!("projects/{}/topics/{}", self.project_id, self.topic_name)
    }
}
