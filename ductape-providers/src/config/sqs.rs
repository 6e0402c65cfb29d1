//! The configuration of AWS SQS.

use std::collections::BTreeMap;

use serde::Serialize;

use super::address::BrokerUrl;
use super::declare::Declare;
use super::fields::Fields;
use super::redact::shown;
use super::secret::Secret;

/// AWS SQS (`AWS_SQS`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SqsConfig {
    /// The region: `us-east-1`.
    pub region: String,
    /// The key pair; when `None`, what the machine or its environment offers.
    #[serde(flatten)]
    pub keys: Option<AwsKeys>,
    /// The URL of each topic's queue, by topic tag; the queues of other topics are found by name.
    pub queue_urls: BTreeMap<String, BrokerUrl>,
    /// Where to ask instead of AWS: a local stand-in.
    pub endpoint: Option<BrokerUrl>,
    /// Whether topics with keys, and their groups, are FIFO, so that the order of each key is kept; by default they are.
    /// Without it everything is standard, and no order is kept.
    pub fifo: bool,
    /// The account that topics are looked for in, as 12 digits; when `None`, that of the keys where they say it, or of any
    /// topic that may be listed.
    pub account_id: Option<String>,
    /// Whether requests may go unencrypted to another host; not by default.
    pub allow_plaintext: bool,
    /// What is done about topics and groups that are missing; created by default.
    pub declare: Declare,
}

/// A key pair of AWS.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AwsKeys {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// The token of temporary keys.
    pub session_token: Option<Secret>,
}

impl SqsConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        let declare = Declare::read(fields);
        let region = fields
            .required_text("region", "the region, for example `us-east-1`")
            .and_then(|region| {
                let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if region.bytes().all(good) {
                    return Some(region);
                }
                fields.find(
                    "region",
                    format!(
                        "`{}` is not a region; write for example `us-east-1`",
                        shown(&region)
                    ),
                );
                None
            });
        let access_key_id = fields.text("accessKeyId");
        let secret_access_key = fields.secret("secretAccessKey");
        let session_token = fields.secret("sessionToken");
        fields.pair("accessKeyId", "secretAccessKey");
        if fields.has("sessionToken") && !fields.has("accessKeyId") && !fields.has("secretAccessKey") {
            fields.find(
                "sessionToken",
                "belongs to a key pair; write `accessKeyId` and `secretAccessKey` too, or leave it out",
            );
        }
        let queue_urls = fields.object("queueUrls").map(|urls| queue_urls(&urls));
        let endpoint = fields.text("endpoint").and_then(|text| {
            http_url(&text, "http://localhost:4566")
                .map_err(|message| fields.find("endpoint", message))
                .ok()
        });
        let fifo = fields.flag("fifo").unwrap_or(true);
        let account_id = fields.text("accountId").filter(|account| {
            let good = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
            if !good {
                let account = shown(account);
                fields.find(
                    "accountId",
                    format!("`{account}` is not an account; write its 12 digits"),
                );
            }
            good
        });
        let allow_plaintext = fields.flag("allowPlaintext").unwrap_or_default();
        if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| endpoint.scheme() == "http")
            && !endpoint.is_loopback()
            && !allow_plaintext
        {
            fields.plaintext("endpoint", endpoint.host(), "write `https://`");
        }
        let keys = access_key_id
            .zip(secret_access_key)
            .map(|(access_key_id, secret_access_key)| AwsKeys {
                access_key_id,
                secret_access_key,
                session_token,
            });
        Some(Self {
            region: region?,
            keys,
            queue_urls: queue_urls.unwrap_or_default(),
            endpoint,
            fifo,
            account_id,
            allow_plaintext,
            declare,
        })
    }

    pub(crate) fn address(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.to_string(),
            None => format!("sqs.{}.amazonaws.com", self.region),
        }
    }
}

fn queue_urls(fields: &Fields<'_>) -> BTreeMap<String, BrokerUrl> {
    let mut urls = BTreeMap::new();
    for (topic, pointer, text) in fields.entries() {
        let Some(text) = text else { continue };
        match http_url(text, "https://sqs.us-east-1.amazonaws.com/123456789012/orders") {
            Ok(url) => {
                urls.insert(topic.to_owned(), url);
            }
            Err(message) => fields.find_at(pointer, message),
        }
    }
    urls
}

fn http_url(text: &str, example: &str) -> Result<BrokerUrl, String> {
    BrokerUrl::parse(text, &["https", "http"], example)?.without_extras()
}
