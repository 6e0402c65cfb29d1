use ductape_providers::config::ProviderConfig;

use super::{Config, ProblemKind};
use crate::error::{BrokerError, ErrorCode};

const WHOLE: &str = r#"product = "shop"
environment = "stg"

[brokers.order-events]
name = "Order Events"
description = "All that happens to an order."

[brokers.order-events.environments.dev]
type = "EMBEDDED"
mode = "durable"

[brokers.order-events.environments.prd]
type = "KAFKA"
brokers = ["${KAFKA_HOST:-127.0.0.1}:9092", "[::1]:9092"]
clientId = "order-service"

[brokers.order-events.environments.aws]
type = "AWS_SQS"
region = "us-east-1"

[brokers.order-events.topics.order-created]
name = "orders"
description = "An order was placed."

[brokers.order-events.topics.order-created.queueUrls]
aws = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"

[brokers.jobs.environments.dev]
slug = "dev"
type = "REDIS"
config = { host = "localhost", port = 6379 }
"#;

mod fields;

fn nothing(_: &str) -> Option<String> {
    None
}

fn good(text: &str) -> Config {
    Config::parse(text, "ductape.toml", &nothing).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> String {
    match Config::parse(text, "ductape.toml", &nothing) {
        Ok(config) => panic!("{text}\nwas accepted: {config:?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn a_whole_file_is_read() {
    let config = good(WHOLE);
    assert_eq!(
        (config.product(), config.default_environment()),
        (Some("shop"), "stg")
    );
    assert_eq!(config.brokers().collect::<Vec<_>>(), ["jobs", "order-events"]);
    assert_eq!(
        config.environments().into_iter().collect::<Vec<_>>(),
        ["aws", "dev", "prd"]
    );
    let broker = config.broker("order-events").unwrap();
    assert_eq!(
        (broker.name(), broker.description()),
        (Some("Order Events"), Some("All that happens to an order."))
    );
    assert_eq!(
        config.provider("order-events", "prd").unwrap().address(),
        "127.0.0.1:9092,[::1]:9092"
    );
    assert_eq!(
        config.provider("jobs", "dev").unwrap().address(),
        "localhost:6379"
    );
    let event = "order-events:order-created".parse().unwrap();
    assert_eq!(config.physical_name(&event), Some("orders"));
    assert_eq!(config.events().collect::<Vec<_>>(), [event]);
    assert_eq!(config.physical_name(&"order-events:other".parse().unwrap()), None);
    assert_eq!(
        config.resolve("dev").unwrap().into_keys().collect::<Vec<_>>(),
        ["jobs", "order-events"]
    );
}

#[test]
fn an_empty_file_is_good_and_leaves_everything_at_its_default() {
    let config = good("");
    assert_eq!((config.product(), config.default_environment()), (None, "dev"));
    assert!(config.resolve("anything").unwrap().is_empty());
}

#[test]
fn the_topics_queue_urls_reach_the_environment() {
    let as_list = WHOLE.replace(
        "[brokers.order-events.topics.order-created.queueUrls]\naws = \"https://sqs.us-east-1.amazonaws.com/123456789012/orders\"",
        "queueUrls = [{ env_slug = \"aws\", url = \"https://sqs.us-east-1.amazonaws.com/123456789012/orders\" }]",
    );
    assert_ne!(as_list, WHOLE);
    for text in [WHOLE, &as_list] {
        let config = good(text);
        let ProviderConfig::Sqs(sqs) = config.provider("order-events", "aws").unwrap() else {
            panic!()
        };
        assert_eq!(
            sqs.queue_urls["order-created"].expose(),
            "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
        );
    }
}

#[test]
fn the_process_environment_comes_before_the_file() {
    let lookup = |name: &str| match name {
        "DUCTAPE_ENV" => Some("prd".to_owned()),
        "DUCTAPE_PRODUCT" => Some("other".to_owned()),
        "KAFKA_HOST" => Some("kafka.example.com".to_owned()),
        _ => None,
    };
    let config = Config::parse(WHOLE, "ductape.toml", &lookup).unwrap();
    assert_eq!(
        (config.product(), config.default_environment()),
        (Some("other"), "prd")
    );
    assert_eq!(
        config.provider("order-events", "prd").unwrap().address(),
        "kafka.example.com:9092,[::1]:9092"
    );
}

#[test]
fn what_is_not_toml_names_line_and_column_and_quotes_nothing() {
    for (text, expected) in [
        ("product = \"shop\nx = 1", "ductape.toml:1:16: is not TOML: "),
        (
            "product = \"shop\"\nproduct = \"x\"",
            "ductape.toml:2:1: is not TOML: ",
        ),
        ("a = 1\n[brokers", "ductape.toml:2:9: is not TOML: "),
        ("password = CANARY\n", "ductape.toml:1:12: is not TOML: "),
        ("é = 1", "ductape.toml:1:1: is not TOML: "),
    ] {
        let problems = problems(text);
        assert!(problems.starts_with(expected), "{text}: {problems}");
        assert!(!problems.contains("CANARY"), "{problems}");
    }
}

#[test]
fn everything_wrong_is_reported_at_once_in_the_order_of_the_file() {
    let text = "prodct = 1\n[brokers.a.environments.dev]\ntype = \"REDIS\"\nport = 0\n[brokers.a]\nnme = 1\n";
    let all = problems(text);
    let starts: Vec<&str> = all.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(
        starts,
        [
            "prodct",
            "brokers.a.environments.dev.host",
            "brokers.a.environments.dev.port",
            "brokers.a.nme"
        ]
    );
    let error = BrokerError::from(Config::parse(text, "ductape.toml", &nothing).unwrap_err());
    assert_eq!(
        (error.code(), error.findings().len()),
        (ErrorCode::ConfigInvalid, 4)
    );
}

const UNSET: &str = r#"
[brokers.a.environments.dev]
type = "EMBEDDED"
[brokers.a.environments.prd]
type = "KAFKA"
brokers = ["${KAFKA_HOST}:${KAFKA_PORT}"]
clientId = "c"
sasl = { mechanism = "plain", username = "u", password = "${KAFKA_PASSWORD}" }
[brokers.b.environments.prd]
type = "${B_TYPE}"
host = "h"
[brokers.c.environments.prd]
type = "AWS_SQS"
region = "us-east-1"
[brokers.c.topics.t.queueUrls]
prd = "${QUEUE_URL}"
"#;

#[test]
fn an_unset_variable_matters_only_to_the_environment_that_is_used() {
    let config = good(UNSET);
    assert_eq!(config.resolve("dev").unwrap().len(), 1);
    let unset = |at: &str, name: &str| {
        format!(
            "ductape.toml:{at}: the variable `{name}` is not set; set it, or write `${{{name}:-default}}`"
        )
    };
    let of_a = [
        unset("6: brokers.a.environments.prd.brokers[0]", "KAFKA_HOST"),
        unset("6: brokers.a.environments.prd.brokers[0]", "KAFKA_PORT"),
        unset("8: brokers.a.environments.prd.sasl.password", "KAFKA_PASSWORD"),
    ]
    .join("\n");
    let all = [
        of_a.clone(),
        unset("10: brokers.b.environments.prd.type", "B_TYPE"),
        unset("16: brokers.c.topics.t.queueUrls.prd", "QUEUE_URL"),
    ]
    .join("\n");
    assert_eq!(config.provider("a", "prd").unwrap_err().to_string(), of_a);
    let problems = config.resolve("prd").unwrap_err();
    assert_eq!(problems.to_string(), all);
    assert!(
        problems
            .problems()
            .iter()
            .all(|problem| problem.kind == ProblemKind::Invalid)
    );
}

#[test]
fn what_is_wrong_beside_an_unset_variable_is_still_found() {
    let text = UNSET.replace("clientId = \"c\"", "client = \"c\"");
    assert_eq!(
        problems(&text),
        "ductape.toml:4: brokers.a.environments.prd.clientId: is missing; write a name for this program, for example \
         `order-service`\n\
         ductape.toml:7: brokers.a.environments.prd.client: is not a key of KAFKA; did you mean `clientId`?"
    );
}

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    let config = good(WHOLE);
    for (problems, kind, code, text) in [
        (
            config.provider("order-event", "dev").unwrap_err(),
            ProblemKind::BrokerNotFound,
            ErrorCode::BrokerNotFound,
            "ductape.toml: brokers: no broker `order-event`; did you mean `order-events`? known brokers: jobs, order-events",
        ),
        (
            config.provider("jobs", "prod").unwrap_err(),
            ProblemKind::EnvironmentNotFound,
            ErrorCode::BrokerEnvNotFound,
            "ductape.toml: brokers.jobs.environments: broker `jobs` has no environment `prod`; known environments of this \
             broker: dev",
        ),
        (
            config.resolve("prod").unwrap_err(),
            ProblemKind::EnvironmentNotFound,
            ErrorCode::BrokerEnvNotFound,
            "ductape.toml: brokers: no broker has an environment `prod`; did you mean `prd`? known environments: aws, dev, \
             prd",
        ),
    ] {
        assert_eq!(problems.to_string(), text);
        assert_eq!(problems.problems()[0].kind, kind);
        assert_eq!(BrokerError::from(problems).code(), code);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let problems = Config::load("no/such/ductape.toml").unwrap_err().to_string();
    assert!(
        problems.starts_with("no/such/ductape.toml: can't be read: "),
        "{problems}"
    );
}

#[test]
fn no_secret_is_printed() {
    let text = r#"
[brokers.a.environments.dev]
type = "RABBITMQ"
url = "amqps://u:${SECRET}@mq/v"
[brokers.b.environments.dev]
type = "NATS"
servers = "localhost"
token = "${SECRET}"
"#;
    let lookup = |name: &str| (name == "SECRET").then(|| "hunter2-CANARY".to_owned());
    let config = Config::parse(text, "ductape.toml", &lookup).unwrap();
    let resolved = config.resolve("dev").unwrap();
    let printed = format!("{config:?} {resolved:?}");
    assert!(
        !printed.contains("CANARY") && printed.contains("***"),
        "{printed}"
    );
    for (old, new) in [
        ("amqps", "amqp"),
        ("amqps", "http"),
        ("token", "tokn"),
        ("mq/v", "m q/v"),
        ("@mq/v", ""),
        ("${SECRET}", "${SECRET}${"),
        ("token = ", "token = ["),
        ("[brokers.b", "[brokers.b."),
    ] {
        let problems = Config::parse(&text.replacen(old, new, 1), "ductape.toml", &lookup).unwrap_err();
        assert!(
            !format!("{problems} {problems:?}").contains("CANARY"),
            "{problems}"
        );
    }
}

/// Any text gives an answer: every prefix of a good file, and every file with one character replaced.
#[test]
fn a_damaged_file_never_panics() {
    let answered = |text: &str| {
        if let Err(problems) = Config::parse(text, "f", &nothing) {
            assert!(!problems.problems().is_empty());
        }
    };
    for at in (0..WHOLE.len()).step_by(3) {
        answered(&WHOLE[..at]);
        for with in ["\"", "]", "=", "\n", "é", "${"] {
            let mut text = WHOLE.to_owned();
            text.replace_range(at..=at, with);
            answered(&text);
        }
    }
}

#[test]
fn the_example_in_the_documentation_is_good() {
    let docs = include_str!("mod.rs");
    let start = docs.find("```toml\n").unwrap() + "```toml\n".len();
    let end = start + docs[start..].find("//! ```").unwrap();
    let example: Vec<&str> = docs[start..end]
        .lines()
        .map(|line| line.trim_start_matches("//!"))
        .collect();
    let config = good(&example.join("\n"));
    assert_eq!(config.resolve("prd").unwrap().len(), 1);
    let event = "order-events:order-created".parse().unwrap();
    assert_eq!(config.physical_name(&event), Some("orders"));
}

#[cfg(feature = "store")]
#[test]
fn what_is_recorded_is_checked() {
    let text = "tracking = \"sometimes\"\npayloads = 1\n[brokers.b.environments.dev]\ntype = \"EMBEDDED\"\n\
                [brokers.b.topics.t]\ntracking = \"sample(7)\"\npayloads = false\n";
    let problems = Config::parse(text, "ductape.toml", &|_| None).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "ductape.toml:1: tracking: must be `all`, `failures`, `sample(0.01)` or `off`\n\
         ductape.toml:2: payloads: is a number; write `true` or `false`\n\
         ductape.toml:6: brokers.b.topics.t.tracking: the share of `sample(…)` is a number from 0 to 1, as in `sample(0.01)`"
    );
}

#[cfg(feature = "store")]
#[test]
fn how_long_the_history_is_kept_is_read_and_checked() {
    let broker = "[brokers.b.environments.dev]\ntype = \"EMBEDDED\"\n";
    let store = r#"store = { url = "sqlite:shop.db", retention = { age = "30d", size = "10GB" } }"#;
    let config = good(&format!("{store}\n{broker}"));
    assert_eq!(config.store(), Some("sqlite:shop.db"));
    let kept = config.tracking(crate::tracking::Policies::default()).retention;
    assert_eq!(kept.age_max, Some(std::time::Duration::from_hours(720)));
    assert_eq!(kept.bytes_max, Some(10_000_000_000));
    let usual = good(&format!("store = {{ retention = {{ age = \"1h\" }} }}\n{broker}"));
    assert_eq!(usual.store(), None, "the usual store, for an hour");

    let text = format!(
        "{broker}[store]\nurl = 7\nretension = 1\nretention = {{ age = \"30\", size = \"0GB\", sise = 1 }}\n"
    );
    let problems = Config::parse(&text, "ductape.toml", &|_| None).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "ductape.toml:4: store.url: is a number; write a text\n\
         ductape.toml:5: store.retension: is not a key of the store; did you mean `retention`?\n\
         ductape.toml:6: store.retention.age: is no age; write minutes, hours or days, 1m or more, for example `30d`\n\
         ductape.toml:6: store.retention.size: is no size; write MB, GB or TB, 1MB or more, for example `10GB`\n\
         ductape.toml:6: store.retention.sise: is not a key of the retention; did you mean `size`?"
    );
    let problems = Config::parse(
        &format!("store = {{ retention = 7 }}\n{broker}"),
        "ductape.toml",
        &|_| None,
    );
    assert_eq!(
        problems.unwrap_err().to_string(),
        "ductape.toml:1: store.retention: is a number; write a table, for example `{ age = \"30d\", size = \"10GB\" }`"
    );
}
