//! Which parts of a configuration are secrets.

use ductape_providers::config::{is_secret_name, redact_url};
use ductape_store::registry::{HIDDEN, Secrets};
use serde_json::Value;

/// `config` as it is shown, and the secrets that were in it. A `${VARIABLE}` is none.
pub(crate) fn split(config: &Value) -> (Value, Secrets) {
    let mut secrets = Secrets::default();
    let shown = hide(config, String::new(), false, &mut secrets);
    (shown, secrets)
}

fn hide(value: &Value, pointer: String, is_secret: bool, secrets: &mut Secrets) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                (
                    name.clone(),
                    hide(field, pointer, is_secret || is_secret_name(name), secrets),
                )
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(at, item)| hide(item, format!("{pointer}/{at}"), is_secret, secrets))
                .collect()
        }
        Value::Null => Value::Null,
        Value::String(text) => match shown(text, is_secret) {
            None => value.clone(),
            Some(shown) => {
                // What was shown as hidden, and is given back, is no secret.
                if !text.contains(HIDDEN) {
                    secrets.insert(pointer, value.clone());
                }
                Value::String(shown)
            }
        },
        Value::Bool(_) | Value::Number(_) if is_secret => {
            secrets.insert(pointer, value.clone());
            Value::String(HIDDEN.to_owned())
        }
        other => other.clone(),
    }
}

/// Where something is hidden, in whole or in part.
pub(super) fn hidden(config: &Value) -> Vec<String> {
    fn find(value: &Value, pointer: &str, found: &mut Vec<String>) {
        match value {
            Value::String(text) if text.contains(HIDDEN) => found.push(pointer.to_owned()),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    find(item, &format!("{pointer}/{at}"), found);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    find(field, &format!("{pointer}/{name}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(config, "", &mut found);
    found
}

/// Whether a secret is one that is shown like this: of a URL, only what is hidden may be kept, not another host.
pub(super) fn shows_as(secret: &Value, shown: Option<&Value>) -> bool {
    let Some(Value::String(shown)) = shown else {
        return false;
    };
    shown == HIDDEN || matches!(secret, Value::String(secret) if redact_url(secret) == *shown)
}

/// How a text is shown that holds a secret.
fn shown(text: &str, is_secret: bool) -> Option<String> {
    let literal = without_variables(text);
    if is_secret {
        return (!literal.is_empty()).then(|| HIDDEN.to_owned());
    }
    // Of a URL whose password is a variable, nothing is left to hide.
    let is_open = redact_url(&literal).replace(HIDDEN, "") == literal;
    (!is_open).then(|| redact_url(text))
}

/// What is left of a text without its variables. A default is left: it may be the secret.
fn without_variables(text: &str) -> String {
    let mut rest = text;
    let mut left = String::new();
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at(at);
        let Some(end) = variable.find('}') else { break };
        let inside = &variable[2..end];
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        left.push_str(before);
        left.push_str(if is_name && !before.ends_with('$') {
            default
        } else {
            &variable[..=end]
        });
        rest = &variable[end + 1..];
    }
    left.push_str(rest);
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::split;

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        let (shown, secrets) = split(&json!({
            "host": "h", "port": 1, "username": "u", "password": "CANARY", "secretAccessKey": "CANARY",
            "sasl": { "mechanism": "plain", "password": "a${X}" }, "pass": "${X:-CANARY}", "token": "$${X}",
            "endpoint": "amqp://u:${P:-CANARY}@h",
            "credentials": { "type": "service_account", "n": 7, "nested": ["CANARY"] },
            "url": "amqps://u:CANARY@h/v", "servers": ["nats://u:CANARY@a", "nats://CANARY@b", "nats://c:4222"],
        }));
        assert!(!shown.to_string().contains("CANARY"), "{shown}");
        assert_eq!(shown["url"], "amqps://u:***@h/v");
        assert_eq!(
            shown["credentials"],
            json!({ "type": "***", "n": "***", "nested": ["***"] })
        );
        let mut pointers: Vec<&str> = secrets.pointers().collect();
        pointers.sort_unstable();
        assert_eq!(
            pointers,
            [
                "/credentials/n",
                "/credentials/nested/0",
                "/credentials/type",
                "/endpoint",
                "/pass",
                "/password",
                "/sasl/password",
                "/secretAccessKey",
                "/servers/0",
                "/servers/1",
                "/token",
                "/url",
            ]
        );
        assert_eq!(secrets.get("/url"), Some(&json!("amqps://u:CANARY@h/v")));
        assert_eq!(secrets.get("/credentials/n"), Some(&json!(7)));
    }

    #[test]
    fn variables_are_kept_as_they_are_written() {
        let config = json!({
            "password": "${A}", "token": "${A}${B}", "pass": "${A:-}", "url": "amqps://${U}:${P}@${H}:5671/v",
            "servers": ["nats://${T}@h", "${S}"], "credentials": { "key": "${K}" }, "clientId": "${C:-x}-y", "host": "$h",
            "brokers": ["${H:-127.0.0.1}:9092", "${H}:${P}"],
        });
        let (shown, secrets) = split(&config);
        assert_eq!(shown, config);
        assert!(secrets.is_empty(), "{:?}", secrets.pointers().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_hidden_stays_hidden() {
        let config = json!({ "password": "***", "url": "amqps://u:***@h/v" });
        let (shown, secrets) = split(&config);
        assert_eq!(shown, config);
        assert!(secrets.is_empty());
    }
}
