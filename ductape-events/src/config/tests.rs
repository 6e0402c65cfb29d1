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

/// Each field wrong in turn: what is replaced in [`WHOLE`], by what, and the message.
#[test]
fn every_field_wrong_in_turn() {
    const TYPES: &str = "KAFKA, RABBITMQ, REDIS, AWS_SQS, GOOGLE_PUBSUB, NATS, EMBEDDED";
    let types = |at: &str, rest: &str| format!("ductape.toml:{at}: {rest}write one of {TYPES}");
    for (old, new, expected) in [
        (
            "product = \"shop\"",
            "product = 7",
            "ductape.toml:1: product: is a number; write a text".to_owned(),
        ),
        (
            "product = \"shop\"",
            "product = \"My Shop\"",
            "ductape.toml:1: product: `My Shop` can't be a tag; write 1 to 64 of a-z, 0-9 and `-`, and begin and end with a \
             letter or a digit"
                .to_owned(),
        ),
        (
            "product = ",
            "prodcut = ",
            "ductape.toml:1: prodcut: is not a key of ductape.toml; did you mean `product`?".to_owned(),
        ),
        (
            "product = \"shop\"",
            "colour = \"red\"",
            "ductape.toml:1: colour: is not a key of ductape.toml; its keys are `product`, `environment`, `brokers`"
                .to_owned(),
        ),
        (
            "environment = \"stg\"",
            "environment = \"\"",
            "ductape.toml:2: environment: is empty; write a text, or leave it out".to_owned(),
        ),
        (
            "[brokers.jobs.environments.dev]",
            "[brokers.Jobs.environments.dev]",
            "ductape.toml:29: brokers.Jobs: `Jobs` can't be a broker's tag; write 1 to 64 of a-z, 0-9 and `-`, and begin \
             and end with a letter or a digit"
                .to_owned(),
        ),
        (
            "name = \"Order Events\"",
            "name = [\"Order Events\"]",
            "ductape.toml:5: brokers.order-events.name: is a list; write a text".to_owned(),
        ),
        (
            "description = \"All",
            "descripton = \"All",
            "ductape.toml:6: brokers.order-events.descripton: is not a key of a broker; did you mean `description`?"
                .to_owned(),
        ),
        (
            "[brokers.jobs.environments.dev]\n",
            "[brokers.jobs]\nname = \"Jobs\"\n[brokers.jobs.environment.dev]\n",
            "ductape.toml:29: brokers.jobs.environments: is missing; write at least one environment, for example \
             `environments.dev.type = \"EMBEDDED\"`\n\
             ductape.toml:31: brokers.jobs.environment: is not a key of a broker; did you mean `environments`?"
                .to_owned(),
        ),
        (
            "[brokers.order-events.environments.dev]",
            "[brokers.order-events.environments.\"d v\"]",
            "ductape.toml:8: brokers.order-events.environments.\"d v\": `d v` can't be an environment; write 1 to 64 of a-z, \
             0-9 and `-`, and begin and end with a letter or a digit"
                .to_owned(),
        ),
        (
            "[brokers.jobs.environments.dev]\n",
            "[brokers.jobs.environments]\ndev = 1\n[brokers.jobs.environments.prd]\n",
            "ductape.toml:30: brokers.jobs.environments.dev: is a number; write a table\n\
             ductape.toml:32: brokers.jobs.environments.prd.slug: is not the key of its table; write `prd`, or leave it out"
                .to_owned(),
        ),
        (
            "type = \"EMBEDDED\"\n",
            "",
            types("8", "brokers.order-events.environments.dev.type: is missing; "),
        ),
        (
            "type = \"KAFKA\"",
            "type = \"KAFAK\"",
            types(
                "13",
                "brokers.order-events.environments.prd.type: `KAFAK` is not a type of broker; did you mean `KAFKA`? ",
            ),
        ),
        (
            "clientId = \"order-service\"\n",
            "",
            "ductape.toml:12: brokers.order-events.environments.prd.clientId: is missing; write a name for this program, \
             for example `order-service`"
                .to_owned(),
        ),
        (
            "\"[::1]:9092\"",
            "\n  \"kafka:0\"",
            "ductape.toml:15: brokers.order-events.environments.prd.brokers[1]: `kafka:0` has a port that is not 1 to \
             65535; write `host:port`, for example `localhost:9092`"
                .to_owned(),
        ),
        (
            "clientId = ",
            "client_id = \"x\"\nclientId = ",
            "ductape.toml:15: brokers.order-events.environments.prd.client_id: is not a key of KAFKA; did you mean \
             `clientId`?"
                .to_owned(),
        ),
        (
            "port = 6379",
            "port = 70000",
            "ductape.toml:32: brokers.jobs.environments.dev.config.port: 70000 is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "port = 6379",
            "port = 0x1_0000",
            "ductape.toml:32: brokers.jobs.environments.dev.config.port: 65536 is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "port = 6379",
            "port = 99999999999999999999",
            "ductape.toml:32: brokers.jobs.environments.dev.config.port: `99999999999999999999` is not a port; write 1 to \
             65535"
                .to_owned(),
        ),
        (
            "port = 6379",
            "port = \"${PORT:-abc}\"",
            "ductape.toml:32: brokers.jobs.environments.dev.config.port: `abc` is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "port = 6379",
            "port = 1979-05-27",
            "ductape.toml:32: brokers.jobs.environments.dev.config.port: `1979-05-27` is not a port; write 1 to 65535"
                .to_owned(),
        ),
        (
            "port = 6379",
            "port = inf",
            "ductape.toml:32: brokers.jobs.environments.dev.config.port: `inf` is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "host = \"localhost\"",
            "host = \"redis.example.com\", password = \"${SECRET:-CANARY}\"",
            "ductape.toml:32: brokers.jobs.environments.dev.config.password: would go unencrypted to `redis.example.com`; \
             set `tls` to true, or `allowPlaintext` to true where the network can be trusted"
                .to_owned(),
        ),
        (
            "host = \"localhost\"",
            "host = \"${HOST\"",
            "ductape.toml:32: brokers.jobs.environments.dev.config.host: has a `${` without `}`; write `$${` for a literal \
             `${`\n\
             ductape.toml:32: brokers.jobs.environments.dev.config.host: `` can't be a host; write its name or IP address \
             alone, for example `localhost`"
                .to_owned(),
        ),
        (
            "product = \"shop\"",
            "product = \"${PRODUCT}\"",
            "ductape.toml:1: product: the variable `PRODUCT` is not set; set it, or write `${PRODUCT:-default}`".to_owned(),
        ),
        (
            "name = \"orders\"",
            "name = \"${ORDERS}\"",
            "ductape.toml:22: brokers.order-events.topics.order-created.name: the variable `ORDERS` is not set; set it, or \
             write `${ORDERS:-default}`"
                .to_owned(),
        ),
        (
            "name = \"orders\"",
            "nam = \"orders\"",
            "ductape.toml:22: brokers.order-events.topics.order-created.nam: is not a key of a topic; did you mean `name`?"
                .to_owned(),
        ),
        (
            "description = \"An order was placed.\"",
            "description = true",
            "ductape.toml:23: brokers.order-events.topics.order-created.description: is a boolean; write a text".to_owned(),
        ),
        (
            "aws = \"https:",
            "asw = \"https:",
            "ductape.toml:26: brokers.order-events.topics.order-created.queueUrls.asw: is of no environment; did you mean \
             `aws`? known environments of this broker: aws, dev, prd"
                .to_owned(),
        ),
        (
            "aws = \"https:",
            "aws = \"sqs:",
            "ductape.toml:26: brokers.order-events.topics.order-created.queueUrls.aws: `sqs://sqs.us-east-1.amazonaws.com/\
             123456789012/orders` is not a URL of https:// or http://; write for example \
             `https://sqs.us-east-1.amazonaws.com/123456789012/orders`"
                .to_owned(),
        ),
        (
            "[brokers.order-events.topics.order-created.queueUrls]\naws = \"https://sqs.us-east-1.amazonaws.com/123456789012/orders\"",
            "queueUrls = [{ env = \"aws\" }]",
            "ductape.toml:25: brokers.order-events.topics.order-created.queueUrls[0]: must be `{ env_slug = \"…\", url = \"…\" \
             }`"
                .to_owned(),
        ),
        (
            "[brokers.order-events.topics.order-created]",
            "[brokers.order-events.topics.order_created]",
            "ductape.toml:21: brokers.order-events.topics.order_created: `order_created` can't be a topic's tag; write 1 to 64 \
             of a-z, 0-9 and `-`, and begin and end with a letter or a digit"
                .to_owned(),
        ),
    ] {
        let mut text = WHOLE.replacen(old, new, 1);
        assert_ne!(text, WHOLE, "{old}");
        if old.starts_with("[brokers.order-events.topics.order-created]") {
            // The table of URLs moves along, so that one thing is wrong and not two.
            text = text.replace("order-created", "order_created");
        }
        assert_eq!(problems(&text), expected, "{new}");
    }
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
         ductape.toml:7: brokers.a.environments.prd.client: is not a key of KAFKA; its keys are `brokers`, `clientId`, \
         `groupId`, `topic`, `ssl`, `sasl`, `allowPlaintext`"
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
