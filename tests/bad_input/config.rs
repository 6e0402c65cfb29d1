//! A wrong `ductape.toml`.

use ductape_events::ErrorCode;
use ductape_events::prelude::*;

use crate::events::{OrderPlaced, expect, folder, program};

/// Each wrong file with where the problem is, `LINE: KEY`, and what the message says.
const WRONG: &[(&str, &str, &str)] = &[
    ("produkt = 'shop'", "1: produkt", "did you mean `product`?"),
    ("product = 7", "1: product", "is a number; write a text"),
    ("environment = 'Dev!'", "1: environment", "can't be a tag"),
    ("brokers = 1", "1: brokers", "is a number; write a table"),
    (
        "[brokers]\nbad = true",
        "2: brokers.bad",
        "is a boolean; write a table",
    ),
    (
        "[brokers.Bad]\nname = 'x'",
        "1: brokers.Bad",
        "can't be a broker's tag",
    ),
    (
        "[brokers.bad]\nname = 'x'",
        "1: brokers.bad.environments",
        "is missing",
    ),
    (
        "[brokers.bad]\nenvironment.dev.type = 'REDIS'",
        "2: brokers.bad.environment",
        "did you mean `environments`?",
    ),
    (
        "[brokers.bad.environments.dev]\nhost = 'h'",
        "1: brokers.bad.environments.dev.type",
        "is missing; write one of KAFKA",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'KAFAK'",
        "2: brokers.bad.environments.dev.type",
        "did you mean `KAFKA`?",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 5",
        "2: brokers.bad.environments.dev.type",
        "is a number",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'KAFKA'\nclientId = 'c'",
        "1: brokers.bad.environments.dev.brokers",
        "is missing",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'KAFKA'\nclientId = 'c'\nbrokers = ['h:x']",
        "4: brokers.bad.environments.dev.brokers[0]",
        "port",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'RABBITMQ'\nurl = 'http://h'",
        "3: brokers.bad.environments.dev.url",
        "amqp",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'RABBITMQ'\nhost = 'h'\nport = 0",
        "4: brokers.bad.environments.dev.port",
        "0 is not a port; write 1 to 65535",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'REDIS'\nhost = 'h'\nport = 70000",
        "4: brokers.bad.environments.dev.port",
        "70000 is not a port",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'REDIS'\nhost = 'h'\ntls = 'maybe'",
        "4: brokers.bad.environments.dev.tls",
        "write true or false",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'REDIS'\nhost = 'h'\npasword = 'x'",
        "4: brokers.bad.environments.dev.pasword",
        "did you mean `password`?",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'AWS_SQS'\naccessKeyId = 'a'",
        "1: brokers.bad.environments.dev.region",
        "is missing",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'GOOGLE_PUBSUB'\nprojectId = 'p'\ntopicName = 't'",
        "4: brokers.bad.environments.dev.topicName",
        "has not 3 to 255 characters",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'NATS'\nservers = []",
        "3: brokers.bad.environments.dev.servers",
        "is an empty list",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memry'",
        "3: brokers.bad.environments.dev.mode",
        "did you mean `memory`?",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nretention = '3 moons'",
        "3: brokers.bad.environments.dev.retention",
        "is not a time",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\ncapacity = 0",
        "3: brokers.bad.environments.dev.capacity",
        "0 is not a number of messages",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memory'\npath = 'x'",
        "4: brokers.bad.environments.dev.path",
        "is of mode `durable`",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\npath = '${DUCTAPE_TEST_NOT_SET}'",
        "3: brokers.bad.environments.dev.path",
        "the variable `DUCTAPE_TEST_NOT_SET` is not set",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\npath = '${oops'",
        "3: brokers.bad.environments.dev.path",
        "has a `${` without `}`",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\n[brokers.bad.topics.order-placed]\nnam = 'x'",
        "4: brokers.bad.topics.order-placed.nam",
        "did you mean `name`?",
    ),
    (
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\n[brokers.bad.topics.Order]\nname = 'x'",
        "3: brokers.bad.topics.Order",
        "can't be a topic's tag",
    ),
];

#[tokio::test]
async fn every_wrong_field_is_named_with_file_line_and_key() {
    for (text, place, says) in WRONG {
        let result = program(text).build().await;
        expect(
            result,
            ErrorCode::ConfigInvalid,
            &[&format!("ductape.toml:{place}: "), says],
        );
    }
}

#[tokio::test]
async fn what_is_not_toml_is_named_with_line_and_column() {
    for (text, place) in [("a = ", ":1:5"), ("x = 1\n[brokers\n", ":2:"), ("=\n", ":1:1")] {
        let parts = [&*format!("ductape.toml{place}"), "is not TOML"];
        expect(program(text).build().await, ErrorCode::ConfigInvalid, &parts);
    }
}

#[tokio::test]
async fn a_file_in_place_of_text_is_named_as_it_was_given() {
    let folder = folder();
    let file = folder.join("shop.toml");
    let shown = file.display().to_string();
    let build = || program("").config_file(&file).build();
    expect(
        build().await,
        ErrorCode::ConfigInvalid,
        &[&shown, "can't be read"],
    );
    std::fs::write(&file, "\nproducts = 1").unwrap();
    expect(
        build().await,
        ErrorCode::ConfigInvalid,
        &[&format!("{shown}:2: products")],
    );
    std::fs::write(&file, b"product = '\xff'").unwrap();
    expect(
        build().await,
        ErrorCode::ConfigInvalid,
        &[&shown, "can't be read"],
    );
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    expect(
        build().await,
        ErrorCode::ConfigInvalid,
        &[&shown, "can't be read"],
    );
    std::fs::remove_dir_all(folder).unwrap();
}

const MEMORY: &str = "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memory'\n\
                      [brokers.bad.environments.stage]\ntype = 'EMBEDDED'\nmode = 'memory'\n";

#[tokio::test]
async fn an_environment_that_does_not_exist_is_answered_with_those_that_do() {
    let result = program(MEMORY).environment("prod").build().await;
    expect(
        result,
        ErrorCode::BrokerEnvNotFound,
        &["`prod`", "dev, stage", "ductape.toml"],
    );
    let result = program(MEMORY).environment("stag").build().await;
    expect(result, ErrorCode::BrokerEnvNotFound, &["did you mean `stage`?"]);
    // Another broker has it, this one does not.
    let other = format!("{MEMORY}[brokers.other.environments.prod]\ntype = 'EMBEDDED'\n");
    let result = program(&other).environment("prod").build().await;
    expect(
        result,
        ErrorCode::BrokerEnvNotFound,
        &[
            "broker `bad` has no environment `prod`",
            "dev, stage",
            "bad:order-placed",
        ],
    );
}

#[tokio::test]
async fn a_broker_that_is_not_configured_is_answered_with_those_that_are() {
    let text = MEMORY.replace("brokers.bad.", "brokers.bald.");
    let result = program(&text).build().await;
    expect(
        result,
        ErrorCode::BrokerNotFound,
        &[
            "no broker `bad`",
            "did you mean `bald`?",
            "known brokers: bald",
            "`bad:order-placed`",
        ],
    );
}

#[tokio::test]
async fn everything_wrong_with_a_file_is_said_at_once() {
    let error = program("produkt = 1\n[brokers.bad.environments.dev]\ntype = 'REDIS'\nport = 0\n")
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.findings().len(), 3, "{error}");
    assert_eq!(error.code(), ErrorCode::ConfigInvalid);
}

#[tokio::test]
async fn a_topic_that_only_the_configuration_names_is_produced_to_unchecked() {
    let text = format!("{MEMORY}[brokers.bad.topics.free]\nname = 'free-for-all'\n");
    let ductape = program(&text).build().await.unwrap();
    let receipt = ductape
        .context()
        .produce_json("bad:free", &serde_json::json!({"any": 1}))
        .await
        .unwrap();
    assert!(receipt.success);
    OrderPlaced::new("1", "").produce(&ductape).await.unwrap();
}
