//! From the configuration's shape to the clients' settings.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Credentials, Region};

use crate::config::SqsConfig;

/// How long one attempt of a request may take; one that waits for messages has its wait more. The client has no such limit
/// of its own, and would wait for ever for a connection that died.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a request is tried, where trying again does no harm.
const ATTEMPTS: u32 = 3;
/// How long the client waits before it tries again, at first.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The two services.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) sqs: aws_sdk_sqs::Client,
    pub(super) sns: aws_sdk_sns::Client,
    /// The account, where the configuration or the machine's keys say it.
    pub(super) account_id: Option<String>,
}

/// The clients that `config` describes. Without keys in it, what the machine or its environment offers is looked for, which
/// asks the machine's own service on AWS.
pub(super) async fn clients(config: &SqsConfig) -> Clients {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        );
    if let Some(keys) = &config.keys {
        loader = loader.credentials_provider(Credentials::new(
            &keys.access_key_id,
            keys.secret_access_key.expose(),
            keys.session_token.as_ref().map(|token| token.expose().to_owned()),
            None,
            "ductape",
        ));
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint.expose());
    }
    let shared = loader.load().await;
    Clients {
        sqs: aws_sdk_sqs::Client::new(&shared),
        sns: aws_sdk_sns::Client::new(&shared),
        account_id: config.account_id.clone(),
    }
}

/// The settings of a request that waits up to `wait` for messages. It is sent once: what the answer that was lost had in it
/// stays hidden, and asking again would hide more.
pub(super) fn of_poll(wait: Duration) -> aws_sdk_sqs::config::Builder {
    aws_sdk_sqs::config::Builder::new()
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(wait.saturating_add(ATTEMPT_TIMEOUT))
                .build(),
        )
}

/// Host and port that the requests go to.
pub(super) fn host_and_port(config: &SqsConfig) -> (String, u16) {
    let Some(endpoint) = &config.endpoint else {
        let suffix = if config.region.starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        return (format!("sqs.{}.amazonaws.com{suffix}", config.region), 443);
    };
    let default = if endpoint.scheme() == "http" { 80 } else { 443 };
    let rest = endpoint.expose().split_once("://").map_or("", |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    let port = server
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or(default);
    (endpoint.host().to_owned(), port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{clients, host_and_port};
    use crate::config::{ProviderConfig, SqsConfig};

    fn config(more: &serde_json::Value) -> SqsConfig {
        let mut value = json!({"type": "AWS_SQS", "region": "eu-west-1", "accessKeyId": "AK", "secretAccessKey": "CANARY",
            "sessionToken": "CANARY"});
        if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
            value.extend(more.clone());
        }
        match ProviderConfig::from_value(&value).unwrap() {
            ProviderConfig::Sqs(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_go_to_the_region_or_to_the_endpoint() {
        for (more, wanted) in [
            (json!({}), ("sqs.eu-west-1.amazonaws.com", 443)),
            (
                json!({"region": "cn-north-1"}),
                ("sqs.cn-north-1.amazonaws.com.cn", 443),
            ),
            (
                json!({"endpoint": "http://localhost:4566/x"}),
                ("localhost", 4566),
            ),
            (json!({"endpoint": "https://sqs.example"}), ("sqs.example", 443)),
            (json!({"endpoint": "http://[::1]"}), ("::1", 80)),
        ] {
            let (host, port) = host_and_port(&config(&more));
            assert_eq!((host.as_str(), port), wanted);
        }
    }

    #[tokio::test]
    async fn the_clients_do_not_print_the_keys() {
        let clients = clients(&config(&json!({"accountId": "123456789012"}))).await;
        let shown = format!("{:?} {:?}", clients.sqs, clients.sns);
        assert!(!shown.contains("CANARY"), "{shown}");
        assert_eq!(clients.account_id.as_deref(), Some("123456789012"));
        assert_eq!(clients.sqs.config().region().unwrap().as_ref(), "eu-west-1");
    }
}
