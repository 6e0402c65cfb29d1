use serde_json::{Value, json};

use crate::config::ProviderConfig;

/// The findings of `base` with the fields of `change` put in, `null` taking a field out.
fn findings(base: &Value, change: &Value) -> Vec<String> {
    let mut map = base.as_object().unwrap().clone();
    for (name, new) in change.as_object().unwrap() {
        map.insert(name.clone(), new.clone());
        if new.is_null() {
            map.remove(name);
        }
    }
    match ProviderConfig::from_value(&Value::Object(map)) {
        Ok(config) => panic!("{change} was accepted: {config:?}"),
        Err(error) => error.findings().iter().map(ToString::to_string).collect(),
    }
}

fn check(base: &Value, cases: &[(Value, &str)]) {
    for (change, expected) in cases {
        assert_eq!(findings(base, change), [*expected], "{change}");
    }
}

const TYPES: &str = "KAFKA, RABBITMQ, REDIS, AWS_SQS, GOOGLE_PUBSUB, NATS, EMBEDDED";

#[test]
fn the_frame() {
    let base = json!({"type": "REDIS", "config": {"host": "localhost"}});
    check(
        &base,
        &[
            (
                json!({"type": null}),
                &format!("type: is missing; write one of {TYPES}"),
            ),
            (
                json!({"type": 7}),
                &format!("type: is a number; write one of {TYPES}"),
            ),
            (
                json!({"type": "redis"}),
                &format!("type: `redis` is not a type of broker; did you mean `REDIS`? write one of {TYPES}"),
            ),
            (
                json!({"type": "MQTT"}),
                &format!("type: `MQTT` is not a type of broker; write one of {TYPES}"),
            ),
            (json!({"slug": 1}), "slug: is a number; write a text"),
            (json!({"config": "x"}), "config: is a text; write an object"),
            (
                json!({"port": 1}),
                "port: stands beside `config`; write it inside, or write everything without `config`",
            ),
            (
                json!({"config": {"host": "h", "port": 0}}),
                "config.port: 0 is not a port; write 1 to 65535",
            ),
        ],
    );
    let error = ProviderConfig::from_value(&json!([])).unwrap_err();
    assert_eq!(
        error.findings()[0].to_string(),
        "is a list; write an object with `type` and its fields"
    );
}

#[test]
fn kafka() {
    let base = json!({"type": "KAFKA", "brokers": ["localhost:9092"], "clientId": "c"});
    let sasl = |name: &str, value: Value| {
        let mut sasl = json!({"mechanism": "plain", "username": "u", "password": "p"});
        sasl[name] = value;
        json!({ "sasl": sasl })
    };
    check(
        &base,
        &[
            (
                json!({"brokers": null}),
                "brokers: is missing; write a list of `host:port`, for example `localhost:9092`",
            ),
            (
                json!({"brokers": []}),
                "brokers: is an empty list; write at least one",
            ),
            (
                json!({"brokers": "a:1"}),
                "brokers: is a text; write a list of texts",
            ),
            (
                json!({"brokers": ["a:1", 2]}),
                "brokers[1]: is a number; write a text",
            ),
            (
                json!({"brokers": ["a"]}),
                "brokers[0]: `a` has no port; write `host:port`, for example `localhost:9092`",
            ),
            (
                json!({"clientId": null}),
                "clientId: is missing; write a name for this program, for example `order-service`",
            ),
            (
                json!({"clientId": " "}),
                "clientId: is empty; write a text, or leave it out",
            ),
            (json!({"groupId": 1}), "groupId: is a number; write a text"),
            (json!({"topic": ["t"]}), "topic: is a list; write a text"),
            (json!({"ssl": "yes"}), "ssl: is a text; write true or false"),
            (
                json!({"client_id": "c"}),
                "client_id: is not a key of KAFKA; did you mean `clientId`?",
            ),
            (json!({"sasl": true}), "sasl: is a boolean; write an object"),
            (
                sasl("mechanism", json!("SCRAM-SHA-256")),
                "sasl.mechanism: `SCRAM-SHA-256` is unknown; did you mean `scram-sha-256`? write one of `plain`, \
                 `scram-sha-256`, `scram-sha-512`",
            ),
            (
                sasl("username", json!(null)),
                "sasl.username: is missing; write the user",
            ),
            (
                sasl("password", json!(null)),
                "sasl.password: is missing; write the user's password",
            ),
            (
                sasl("pasword", json!("x")),
                "sasl.pasword: is not a key of sasl; did you mean `password`?",
            ),
            (
                json!({"brokers": ["localhost:1", "k:2"], "sasl": sasl("username", json!("u"))["sasl"]}),
                "sasl: would go unencrypted to `k:2`; set `ssl` to true, or `allowPlaintext` to true where the network can \
                 be trusted",
            ),
        ],
    );
}

#[test]
fn rabbitmq() {
    check(
        &json!({"type": "RABBITMQ", "url": "amqps://u:p@h/v"}),
        &[
            (
                json!({"url": null}),
                "url: is missing; write for example `amqps://user:pass@host/vhost`, or `host` and the other parts",
            ),
            (
                json!({"url": "http://h"}),
                "url: `http://h` is not a URL of amqps:// or amqp://; write for example `amqps://user:pass@host/vhost`",
            ),
            (
                json!({"url": "amqp://u:p@h"}),
                "url: would go unencrypted to `h`; write `amqps://`, or `allowPlaintext` to true where the network can be \
                 trusted",
            ),
            (
                json!({"host": "h"}),
                "host: stands beside `url`, which says it too; write `url` or the parts, not both",
            ),
        ],
    );
    check(
        &json!({"type": "RABBITMQ", "host": "localhost", "username": "u", "password": "p"}),
        &[
            (
                json!({"host": null}),
                "host: is missing; write the server's host, for example `localhost`",
            ),
            (
                json!({"host": "a b"}),
                "host: `a b` can't be a host; write its name or IP address alone, for example `localhost`",
            ),
            (
                json!({"port": 65536}),
                "port: 65536 is not a port; write 1 to 65535",
            ),
            (
                json!({"port": "abc"}),
                "port: `abc` is not a port; write 1 to 65535",
            ),
            (
                json!({"password": null}),
                "password: is missing, but `username` is set; write both or neither",
            ),
            (
                json!({"username": null}),
                "username: is missing, but `password` is set; write both or neither",
            ),
            (json!({"vhost": 1}), "vhost: is a number; write a text"),
            (json!({"queue": {}}), "queue: is an object; write a text"),
            (
                json!({"routingkey": "k"}),
                "routingkey: is not a key of RABBITMQ; did you mean `routingKey`?",
            ),
            (
                json!({"host": "mq"}),
                "password: would go unencrypted to `mq`; set `tls` to true, or `allowPlaintext` to true where the network \
                 can be trusted",
            ),
        ],
    );
}

#[test]
fn redis() {
    check(
        &json!({"type": "REDIS", "host": "localhost"}),
        &[
            (
                json!({"host": null}),
                "host: is missing; write the server's host, for example `localhost`",
            ),
            (
                json!({"host": "redis://localhost"}),
                "host: `redis://localhost` can't be a host; write its name or IP address alone, for example `localhost`",
            ),
            (json!({"port": 0}), "port: 0 is not a port; write 1 to 65535"),
            (json!({"port": 1.5}), "port: 1.5 is not a port; write 1 to 65535"),
            (
                json!({"port": true}),
                "port: a boolean is not a port; write 1 to 65535",
            ),
            (json!({"password": 1}), "password: is a number; write a text"),
            (
                json!({"username": "u"}),
                "password: is missing, but `username` is set; write both or neither",
            ),
            (
                json!({"host": "redis", "password": "p"}),
                "password: would go unencrypted to `redis`; set `tls` to true, or `allowPlaintext` to true where the \
                 network can be trusted",
            ),
            (
                json!({"colour": 1}),
                "colour: is not a key of REDIS; its keys are `declare`, `caFile`, `host`, `port`, `username`, `password`, `tls`, \
                 `allowPlaintext`, `retention`, `headers`",
            ),
        ],
    );
}

#[test]
fn sqs() {
    check(
        &json!({"type": "AWS_SQS", "region": "us-east-1", "accessKeyId": "a", "secretAccessKey": "s"}),
        &[
            (
                json!({"region": null}),
                "region: is missing; write the region, for example `us-east-1`",
            ),
            (
                json!({"region": "US East"}),
                "region: `US East` is not a region; write for example `us-east-1`",
            ),
            (
                json!({"accessKeyId": null}),
                "accessKeyId: is missing, but `secretAccessKey` is set; write both or neither",
            ),
            (
                json!({"secretAccessKey": null}),
                "secretAccessKey: is missing, but `accessKeyId` is set; write both or neither",
            ),
            (
                json!({"accessKeyId": null, "secretAccessKey": null, "sessionToken": "t"}),
                "sessionToken: belongs to a key pair; write `accessKeyId` and `secretAccessKey` too, or leave it out",
            ),
            (
                json!({"queueUrls": {"a/b": "x"}}),
                "queueUrls.a/b: `x` is not a URL; write for example \
                 `https://sqs.us-east-1.amazonaws.com/123456789012/orders`",
            ),
            (
                json!({"endpoint": "localhost"}),
                "endpoint: `localhost` is not a URL; write for example `http://localhost:4566`",
            ),
            (
                json!({"secretAcessKey": "s"}),
                "secretAcessKey: is not a key of AWS_SQS; did you mean `secretAccessKey`?",
            ),
        ],
    );
}

#[test]
fn pubsub() {
    check(
        &json!({"type": "GOOGLE_PUBSUB", "projectId": "p", "topicName": "orders"}),
        &[
            (
                json!({"projectId": null}),
                "projectId: is missing; write the project's id, for example `shop-123`",
            ),
            (
                json!({"topicName": "goog-orders"}),
                "topicName: `goog-orders` begins with `goog`, which is Google's own; Pub/Sub takes no such name",
            ),
            (
                json!({"subscriptionName": "1st"}),
                "subscriptionName: `1st` does not begin with a letter; Pub/Sub takes no such name",
            ),
            (
                json!({"topicName": "ab"}),
                "topicName: `ab` has not 3 to 255 characters; Pub/Sub takes no such name",
            ),
            (
                json!({"topicName": "orders/eu"}),
                "topicName: `orders/eu` has characters other than letters, digits and `-_.~+%`; Pub/Sub takes no such name",
            ),
            (
                json!({"subscriptionName": 1}),
                "subscriptionName: is a number; write a text",
            ),
            (
                json!({"credentials": "x"}),
                "credentials: is a text; write an object",
            ),
            (
                json!({"credentials": {}}),
                "credentials: is an empty object; write the content of a key file",
            ),
            (
                json!({"keyFilename": "k", "credentials": {"a": 1}}),
                "credentials: stands beside `keyFilename`; write one of them, not both",
            ),
            (
                json!({"keyFileName": "k"}),
                "keyFileName: is not a key of GOOGLE_PUBSUB; did you mean `keyFilename`?",
            ),
        ],
    );
}

#[test]
fn nats() {
    const ENCRYPT: &str =
        "write `tls://`, or set `tls` to true, or `allowPlaintext` to true where the network can be trusted";
    check(
        &json!({"type": "NATS", "servers": "localhost:4222"}),
        &[
            (
                json!({"servers": null}),
                "servers: is missing; write a URL or a list of them, for example `nats://localhost:4222`",
            ),
            (
                json!({"servers": []}),
                "servers: is an empty list; write at least one",
            ),
            (
                json!({"servers": 1}),
                "servers: is a number; write a text or a list of texts",
            ),
            (
                json!({"servers": ["a", "b:0"]}),
                "servers[1]: `nats://b:0` has a port that is not 1 to 65535; write for example `nats://localhost:4222`",
            ),
            (
                json!({"user": "u"}),
                "pass: is missing, but `user` is set; write both or neither",
            ),
            (
                json!({"user": "u", "pass": "p", "token": "t"}),
                "token: stands beside `user` and `pass`; write one of them, not both",
            ),
            (
                json!({"maxReconnectAttempts": -2}),
                "maxReconnectAttempts: -2 is not a number of attempts (-1: without end); write -1 to 4294967295",
            ),
            (
                json!({"reconnectTimeWait": "2s"}),
                "reconnectTimeWait: `2s` is not a wait in milliseconds; write 0 to 3600000",
            ),
            (
                json!({"tls": 1}),
                "tls: is a number; write true, false, or an object",
            ),
            (
                json!({"tls": {"certFile": "c"}}),
                "tls.keyFile: is missing, but `certFile` is set; write both or neither",
            ),
            (
                json!({"password": "p"}),
                "password: is not a key of NATS; its keys are `declare`, `servers`, `user`, `pass`, `token`, `name`, \
                 `maxReconnectAttempts`, `reconnectTimeWait`, `tls`, `allowPlaintext`",
            ),
            (
                json!({"servers": ["nats://far"], "token": "t"}),
                &format!("token: would go unencrypted to `far`; {ENCRYPT}"),
            ),
            (
                json!({"servers": ["nats://u:p@far"]}),
                &format!("servers[0]: would go unencrypted to `far`; {ENCRYPT}"),
            ),
        ],
    );
}

#[test]
fn embedded() {
    check(
        &json!({"type": "EMBEDDED", "mode": "durable"}),
        &[
            (
                json!({"mode": "disk"}),
                "mode: `disk` is unknown; write one of `memory`, `durable`",
            ),
            (json!({"path": 1}), "path: is a number; write a text"),
            (
                json!({"synchronous": "FULL"}),
                "synchronous: `FULL` is unknown; did you mean `full`? write one of `full`, `normal`",
            ),
            (
                json!({"capacity": 0}),
                "capacity: 0 is not a number of messages; write 1 to 1000000000",
            ),
            (
                json!({"retention": "1 week"}),
                "retention: `1 week` is not a time; write a number with s, m, h or d, for example `24h`",
            ),
            (
                json!({"retention": "9999999999999d"}),
                "retention: `9999999999999d` is not a time; write a number with s, m, h or d, for example `24h`",
            ),
            (
                json!({"mode": "memory", "path": "a.db"}),
                "path: is of mode `durable`, but the mode is `memory`; leave it out, or write `durable`",
            ),
            (
                json!({"sync": "full"}),
                "sync: is not a key of EMBEDDED; its keys are `mode`, `path`, `synchronous`, `capacity`, `retention`",
            ),
        ],
    );
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let error = ProviderConfig::from_value(
        &json!({"type": "KAFKA", "brokers": ["a", "b:0"], "ssl": 1, "x/y": 1,
        "sasl": {"mechanism": "md5", "username": "u"}}),
    )
    .unwrap_err();
    let pointers: Vec<&str> = error
        .findings()
        .iter()
        .map(|finding| finding.pointer.as_str())
        .collect();
    assert_eq!(
        pointers,
        [
            "/brokers/0",
            "/brokers/1",
            "/clientId",
            "/ssl",
            "/sasl/mechanism",
            "/sasl/password",
            "/x~1y"
        ]
    );
    let text = error.to_string();
    assert!(
        text.starts_with("the broker's configuration can't be used: brokers[0]: `a` has no port;")
            && !text.contains('\n'),
        "{text}"
    );
}
