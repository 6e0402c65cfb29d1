//! The parsers that take foreign input: ten thousand pseudo-random inputs each, the same ones every time.

// A test fails by panicking, waits by the real clock, and shows what it saw.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::time::{Duration, Instant};

use ductape_events::config::Config;
use ductape_events::prelude::*;
use ductape_events::providers::config::ProviderConfig;
use ductape_events::providers::{EventName, GroupName, Headers, MessageId};
use serde_json::{Value, json};

const INPUTS: usize = 10_000;
const LIMIT: Duration = Duration::from_mins(1);

/// xorshift, from a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// A text of these pieces and, now and then, of any character.
    fn text(&mut self, pieces: &[&str], pieces_max: usize) -> String {
        let mut text = String::new();
        for _ in 0..self.below(pieces_max + 1) {
            if self.below(8) == 0 {
                text.extend(char::from_u32(u32::try_from(self.next() % 0x11_0000).unwrap()));
            } else {
                text.push_str(self.pick(pieces));
            }
        }
        text
    }
}

/// Calls `check` with ten thousand texts; it answers whether the text was good. Both must occur.
#[track_caller]
fn each(pieces: &[&str], pieces_max: usize, mut check: impl FnMut(&str) -> bool) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let began = Instant::now();
    let mut good = 0;
    for _ in 0..INPUTS {
        let text = random.text(pieces, pieces_max);
        good += usize::from(check(&text));
    }
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    assert!(good > 0 && good < INPUTS, "{good} of {INPUTS} were good");
}

#[test]
fn event_and_group_names() {
    let pieces = [
        "a",
        "order",
        "-",
        ":",
        "9",
        "Z",
        " ",
        "_",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    each(&pieces, 6, |text| match text.parse::<EventName>() {
        Ok(event) => {
            assert_eq!(format!("{}:{}", event.broker(), event.topic()), text);
            true
        }
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.len() < 400 && !said.contains(|c: char| c.is_control()),
                "{said:?}"
            );
            false
        }
    });
    each(&pieces, 6, |text| match text.parse::<GroupName>() {
        Ok(group) => group.as_str() == text,
        Err(error) => {
            assert!(!error.to_string().contains(|c: char| c.is_control()), "{error}");
            false
        }
    });
}

#[test]
fn message_ids() {
    let pieces = [
        "0",
        "a",
        "f",
        "-",
        "0197",
        "00000000-0000-7000-8000-00000000000",
        "A",
        "\0",
    ];
    each(&pieces, 8, |text| {
        let id = MessageId::from_text(text);
        assert_eq!(id.to_string(), text, "an id is handed on as it came");
        assert_eq!(id, MessageId::from_text(&id.to_string()));
        text.len() > 8
    });
}

#[test]
fn headers() {
    let pieces = ["a", "-", "_", ".", "9", "A", " ", "\n", "ce-id"];
    let mut random = Random(7);
    each(&pieces, 6, |text| {
        let mut headers = Headers::new();
        for _ in 0..random.below(70) {
            headers.insert(random.text(&["a", "b", "c", "d"], 4) + text, text.to_owned());
        }
        headers.insert(text.to_owned(), "x".repeat(random.below(9000)));
        if random.below(2) == 0 {
            headers.remove(text);
        }
        assert_eq!(headers.len(), headers.iter().count());
        let good = headers.check().is_ok();
        if good {
            assert!(headers.len() <= Headers::COUNT_MAX);
        }
        good
    });
}

#[test]
fn durations_in_the_configuration() {
    let pieces = [
        "1",
        "24",
        "s",
        "h",
        "d",
        "m",
        " ",
        "-",
        "99999999999999999999",
        "٣",
        "e5",
        ".5",
    ];
    each(&pieces, 4, |text| {
        let value = json!({"type": "EMBEDDED", "retention": text});
        ProviderConfig::from_value(&value).is_ok()
    });
}

#[test]
fn variables_in_the_configuration() {
    let pieces = [
        "${", "}", "$", "$${", "A", ":-", "HOST", "x", "é", "${HOST}", "${NO:-d}",
    ];
    let lookup = |name: &str| match name {
        "HOST" => Some("h".to_owned()),
        "A" => Some("${HOST}".to_owned()),
        _ => None,
    };
    each(&pieces, 8, |text| {
        // A TOML literal can't hold these.
        let text: String = text.chars().filter(|c| !c.is_control() && *c != '\'').collect();
        let file = format!("[brokers.b]\nname = 'x{text}'\nenvironments.dev.type = 'EMBEDDED'");
        match Config::parse(&file, "f.toml", &lookup) {
            Ok(config) => config.broker("b").is_some_and(|broker| broker.name().is_some()),
            Err(problems) => {
                assert_eq!(problems.problems()[0].line, Some(2), "{problems}");
                false
            }
        }
    });
}

#[test]
fn configuration_files() {
    let pieces = [
        "[",
        "]",
        "\n",
        "brokers",
        ".",
        "b",
        "environments",
        "dev",
        "type",
        " = ",
        "'EMBEDDED'",
        "\"",
        "'",
        "{",
        "}",
        ",",
        "1",
        "true",
        "[brokers.b.environments.dev]\n",
        "type = 'EMBEDDED'\n",
        "product = 'p'\n",
        "#",
        "\u{0}",
    ];
    each(&pieces, 10, |text| {
        match Config::parse(text, "f.toml", &|_| None) {
            Ok(_) => true,
            Err(problems) => {
                assert!(problems.to_string().starts_with("f.toml"), "{problems}");
                assert!(problems.to_string().len() < 8_000, "{problems}");
                false
            }
        }
    });
}

/// A value of any shape.
fn any(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::from(i64::from_ne_bytes(random.next().to_ne_bytes()) >> random.below(64)),
        3 => json!(random.text(
            &[
                "localhost",
                ":",
                "9092",
                "://",
                "amqp",
                "@",
                "%",
                "[::1]",
                "nats",
                "plain"
            ],
            5
        )),
        4 => json!(random.pick(&[
            "localhost",
            "localhost:1",
            "amqp://h",
            "true",
            "memory",
            "durable"
        ])),
        5 => (0..random.below(3)).map(|_| any(random, depth - 1)).collect(),
        _ => Value::Object(fields(random, depth - 1)),
    }
}

fn fields(random: &mut Random, depth: usize) -> serde_json::Map<String, Value> {
    const NAMES: &[&str] = &[
        "brokers",
        "clientId",
        "ssl",
        "sasl",
        "mechanism",
        "username",
        "password",
        "url",
        "host",
        "port",
        "vhost",
        "tls",
        "region",
        "accessKeyId",
        "secretAccessKey",
        "queueUrls",
        "endpoint",
        "projectId",
        "topicName",
        "credentials",
        "servers",
        "user",
        "pass",
        "token",
        "mode",
        "path",
        "capacity",
        "retention",
        "config",
        "slug",
        "~/",
    ];
    let n = random.below(6);
    (0..n)
        .map(|_| ((*random.pick(NAMES)).to_owned(), any(random, depth)))
        .collect()
}

#[test]
fn shapes_of_a_broker_s_configuration() {
    let mut random = Random(42);
    let mut good = 0;
    for _ in 0..INPUTS {
        let mut map = fields(&mut random, 3);
        map.insert("type".to_owned(), json!(random.pick(&ProviderConfig::TYPES)));
        match ProviderConfig::from_value(&Value::Object(map)) {
            Ok(config) => {
                good += 1;
                let _ = (format!("{config:?}"), config.address());
            }
            Err(error) => assert!(!error.findings().is_empty()),
        }
    }
    assert!(good > 20, "{good}");
}

/// Something with everything that JSON has.
#[topic("parse:any")]
#[derive(Debug)]
struct Any {
    value: Value,
    #[serde(default)]
    list: Vec<f64>,
    #[serde(default)]
    text: Option<String>,
}

#[consumer(group = "decode", retry(attempts = 1))]
async fn decode(_any: Any) {}

#[tokio::test]
async fn payloads() {
    let ductape = Ductape::builder()
        .without_inventory()
        .without_config()
        .in_process()
        .consumer::<decode>()
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();
    let ctx = ductape.context();
    let send = async |payload: Vec<u8>| {
        let options = ProduceOptions::default();
        let _ = ctx.produce_bytes("parse:any", payload, options).await.unwrap();
    };
    // In an object, so one level is its own.
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!("{{\"value\":{open}{close}}}").into_bytes()
    };
    send(deep(127)).await;
    send(deep(129)).await;
    send(vec![b'['; 1024 * 1024]).await;
    send([b"{\"value\":\"".to_vec(), vec![b'\\'; 1024 * 512]].concat()).await;
    assert!(ductape.wait_idle(LIMIT).await.unwrap());
    let stats = ductape.stats().remove(0);
    assert_eq!((stats.handled, stats.dead_lettered), (1, 3));

    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "value",
        "\"value\":",
        ":",
        ",",
        "1",
        "-",
        "1e999",
        "null",
        "true",
        "\\",
        "\\ud800",
        "{\"value\":1}",
        "{\"value\":null,\"list\":[1,2]}",
        " ",
        "\u{0}",
    ];
    let mut random = Random(99);
    for _ in 0..INPUTS {
        let mut bytes = random.text(&pieces, 8).into_bytes();
        if random.below(4) == 0 && !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = random.next().to_le_bytes()[0];
        }
        send(bytes).await;
    }
    assert!(ductape.wait_idle(LIMIT).await.unwrap());
    let stats = ductape.stats().remove(0);
    assert_eq!(stats.handled + stats.dead_lettered, INPUTS as u64 + 4);
    assert!(stats.handled > 20, "{stats:?}");
    ductape.shutdown().await.unwrap();
}
