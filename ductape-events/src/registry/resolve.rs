//! From what the registry holds of a broker to the configuration of a provider.

use ductape_providers::config::{ConfigFinding, ProviderConfig};
use ductape_store::Store;
use serde_json::{Map, Value};

use super::store_failed;
use crate::config::check_value;
use crate::error::{BrokerError, ErrorCode, Finding};

/// What a broker is in an environment that it has; or what is wrong with that.
pub(crate) async fn provider_config(
    store: &Store,
    product: &str,
    tag: &str,
    environment: &str,
) -> Result<Result<ProviderConfig, Vec<Finding>>, BrokerError> {
    let registry = store.registry();
    let failed = |error| store_failed("can't ask the registry for a broker", error);
    let place = format!("broker `{tag}` of the registry in environment `{environment}`");
    let finding = |message: String| Finding::new(ErrorCode::ConfigInvalid, format!("{place}: {message}"));
    let Some(mut resolved) = registry
        .resolve(product, tag, environment)
        .await
        .map_err(failed)?
    else {
        return Ok(Err(vec![finding("it was taken out a moment ago".to_owned())]));
    };
    if !resolved.missing.is_empty() {
        let message = |pointer: &String| {
            finding(format!(
                "the secret `{}` was not kept, since the program whose file holds it has no `DUCTAPE_STORE_KEY`; set that there, or write \
                 `${{VARIABLE}}` in place of the secret",
                key(pointer)
            ))
        };
        return Ok(Err(resolved.missing.iter().map(message).collect()));
    }
    if resolved.kind == "AWS_SQS" {
        let topics = registry.topics(product, Some(tag)).await.map_err(failed)?;
        let mut urls = Map::new();
        for topic in topics.into_iter().filter(|topic| topic.version == 1) {
            let own = topic
                .queue_urls
                .into_iter()
                .find(|url| url.env_slug == environment);
            urls.extend(own.map(|url| (topic.topic_tag, Value::String(url.url))));
        }
        add_queue_urls(&mut resolved.config, urls);
    }
    let checked = check_value(&resolved.kind, &resolved.config, &|name| std::env::var(name).ok());
    let message = |found: &ConfigFinding| finding(described(found));
    match checked.config {
        Some(config) => Ok(Ok(config)),
        None => Ok(Err(checked
            .findings
            .iter()
            .chain(&checked.unset)
            .map(message)
            .collect())),
    }
}

/// The URLs that topics give, beside those of the broker's own, which win.
pub(super) fn add_queue_urls(config: &mut Value, urls: Map<String, Value>) {
    let Some(config) = config.as_object_mut().filter(|_| !urls.is_empty()) else {
        return;
    };
    let own = config.entry("queueUrls").or_insert_with(|| Map::new().into());
    if let Some(own) = own.as_object_mut() {
        for (topic, url) in urls {
            own.entry(topic).or_insert(url);
        }
    }
}

/// What is wrong, after the key as people write it.
pub(super) fn described(found: &ConfigFinding) -> String {
    found.to_string()
}

/// A JSON pointer as people write it.
fn key(pointer: &str) -> String {
    let found = ConfigFinding {
        pointer: pointer.to_owned(),
        message: String::new(),
    };
    found.to_string().trim_end_matches(": ").to_owned()
}
