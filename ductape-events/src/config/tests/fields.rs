//! Each field wrong in turn.

use super::{WHOLE, problems};

/// What is replaced in [`WHOLE`], by what, and the message.
type Case<'a> = (&'a str, &'a str, String);

fn check(cases: &[Case<'_>]) {
    for (old, new, expected) in cases {
        let mut text = WHOLE.replacen(old, new, 1);
        assert_ne!(text, WHOLE, "{old}");
        if old.starts_with("[brokers.order-events.topics.order-created]") {
            // The table of URLs moves along, so that one thing is wrong and not two.
            text = text.replace("order-created", "order_created");
        }
        assert_eq!(problems(&text), *expected, "{new}");
    }
}

#[test]
fn at_the_top_and_in_brokers() {
    check(&[
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
            "ductape.toml:1: colour: is not a key of ductape.toml; its keys are `product`, `environment`, `store`, `brokers`, `tracking`, `payloads`"
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
            "ductape.toml:28: brokers.Jobs: `Jobs` can't be a broker's tag; write 1 to 64 of a-z, 0-9 and `-`, and begin \
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
            "ductape.toml:28: brokers.jobs.environments: is missing; write at least one environment, for example \
             `environments.dev.type = \"EMBEDDED\"`\n\
             ductape.toml:30: brokers.jobs.environment: is not a key of a broker; did you mean `environments`?"
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
            "product = \"shop\"",
            "product = \"${PRODUCT}\"",
            "ductape.toml:1: product: the variable `PRODUCT` is not set; set it, or write `${PRODUCT:-default}`".to_owned(),
        ),
    ]);
}

#[test]
fn in_environments() {
    const TYPES: &str = "KAFKA, RABBITMQ, REDIS, AWS_SQS, GOOGLE_PUBSUB, NATS, EMBEDDED";
    let types = |at: &str, rest: &str| format!("ductape.toml:{at}: {rest}write one of {TYPES}");
    check(&[
        (
            "[brokers.jobs.environments.dev]\n",
            "[brokers.jobs.environments]\ndev = 1\n[brokers.jobs.environments.prd]\n",
            "ductape.toml:29: brokers.jobs.environments.dev: is a number; write a table\n\
             ductape.toml:31: brokers.jobs.environments.prd.slug: is not the key of its table; write `prd`, or leave it out"
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
            "ductape.toml:31: brokers.jobs.environments.dev.config.port: 70000 is not a port; write 1 to 65535".to_owned(),
        ),
    ]);
}

#[test]
fn in_the_fields_of_a_nested_config() {
    check(&[
        (
            "port = 6379",
            "port = 0x1_0000",
            "ductape.toml:31: brokers.jobs.environments.dev.config.port: 65536 is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "port = 6379",
            "port = 99999999999999999999",
            "ductape.toml:31: brokers.jobs.environments.dev.config.port: `99999999999999999999` is not a port; write 1 to \
             65535"
                .to_owned(),
        ),
        (
            "port = 6379",
            "port = \"${PORT:-abc}\"",
            "ductape.toml:31: brokers.jobs.environments.dev.config.port: `abc` is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "port = 6379",
            "port = 1979-05-27",
            "ductape.toml:31: brokers.jobs.environments.dev.config.port: `1979-05-27` is not a port; write 1 to 65535"
                .to_owned(),
        ),
        (
            "port = 6379",
            "port = inf",
            "ductape.toml:31: brokers.jobs.environments.dev.config.port: `inf` is not a port; write 1 to 65535".to_owned(),
        ),
        (
            "host = \"localhost\"",
            "host = \"redis.example.com\", password = \"${SECRET:-CANARY}\"",
            "ductape.toml:31: brokers.jobs.environments.dev.config.password: would go unencrypted to `redis.example.com`; \
             set `tls` to true, or `allowPlaintext` to true where the network can be trusted"
                .to_owned(),
        ),
        (
            "host = \"localhost\"",
            "host = \"${HOST\"",
            "ductape.toml:31: brokers.jobs.environments.dev.config.host: has a `${` without `}`; write `$${` for a literal \
             `${`"
                .to_owned(),
        ),
    ]);
}

#[test]
fn in_topics() {
    check(&[
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
    ]);
}
