//! No secret is printed, and nobody else may read the store.

// A test fails by panicking, waits by the real clock, and shows what it saw.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_events::config::Config;
use ductape_events::prelude::*;
use ductape_events::session::{Revoke, SessionConfig, SessionKeys};
use ductape_events::store::StoreUrl;
use tracing_subscriber::fmt::MakeWriter;

const CANARY: &str = "hunter2-CANARY";

/// The environments of every kind of broker, with every secret set; `%` is the secret, as a literal or a variable.
const ENVIRONMENTS: &[(&str, &str)] = &[
    (
        "kafka",
        "type = 'KAFKA'\nbrokers = ['localhost:9092']\nclientId = 'c'\nssl = true\nsasl = { mechanism = 'plain', username = 'u', password = '%' }",
    ),
    (
        "rabbit-url",
        "type = 'RABBITMQ'\nurl = 'amqp://u:%@localhost/shop?password=%&token=%'",
    ),
    (
        "rabbit-parts",
        "type = 'RABBITMQ'\nhost = 'localhost'\nusername = 'u'\npassword = '%'",
    ),
    ("redis", "type = 'REDIS'\nhost = 'localhost'\npassword = '%'"),
    (
        "sqs",
        "type = 'AWS_SQS'\nregion = 'us-east-1'\naccessKeyId = 'AK'\nsecretAccessKey = '%'\nsessionToken = '%'\nendpoint = 'http://localhost:4566'\nqueueUrls = { paid = 'https://queue/paid' }",
    ),
    (
        "pubsub",
        "type = 'GOOGLE_PUBSUB'\nprojectId = 'p'\ntopicName = 'orders'\ncredentials = { private_key = '%', nested = ['%'] }",
    ),
    (
        "nats-pass",
        "type = 'NATS'\nservers = ['nats://u:%@localhost', 'tls://%@h']\nuser = 'u'\npass = '%'",
    ),
    ("nats-token", "type = 'NATS'\nservers = 'localhost'\ntoken = '%'"),
];

/// A file with all of [`ENVIRONMENTS`].
fn file(secret: &str) -> String {
    let mut text = String::new();
    for (slug, fields) in ENVIRONMENTS {
        let fields = fields.replace('%', secret);
        writeln!(text, "[brokers.secret.environments.{slug}]\n{fields}\n").unwrap();
    }
    text
}

fn lookup(name: &str) -> Option<String> {
    (name == "CANARY").then(|| CANARY.to_owned())
}

#[track_caller]
fn assert_hidden(text: &str) {
    assert!(!text.contains("CANARY"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// Something was bought, which is nobody's business.
#[topic("secret:paid", key = id)]
struct Paid {
    id: u32,
    card: String,
}

#[consumer(group = "fail", retry(attempts = 2, base = "1ms"))]
async fn fail(paid: Paid) -> Result<(), HandlerError> {
    if paid.id == 1 {
        return Err("no".reject());
    }
    if paid.id == 2 {
        return Err("not now".into());
    }
    Ok(())
}

#[test]
fn a_configuration_prints_without_its_secrets() {
    for text in [
        file(CANARY),
        file("${CANARY}"),
        file("${NOT_SET:-hunter2-CANARY}"),
    ] {
        let config = Config::parse(&text, "ductape.toml", &lookup).unwrap_or_else(|error| panic!("{error}"));
        assert_hidden(&format!("{config:?} {config:#?}"));
        for (slug, _) in ENVIRONMENTS {
            let provider = config.provider("secret", slug).unwrap();
            assert_hidden(&format!("{provider} {provider:?} {}", provider.address()));
            let written = serde_json::to_string(provider).unwrap();
            assert_hidden(&written);
            assert!(written.contains("***"), "{written}");
        }
    }
}

/// Breaks each line of the file in turn, in several ways, so that something beside the secret, or the secret itself, is
/// wrong.
#[test]
fn no_problem_with_a_configuration_prints_its_secrets() {
    let mut refused = 0;
    let breaks: [fn(&str) -> String; 8] = [
        |line| line.replacen(" = ", "x = ", 1),
        |line| line.replacen('\'', "", 1),
        |line| line.replacen(" = ", " = 7 # ", 1),
        |line| line.replacen(" = ", " = [", 1) + "]",
        |line| line.replacen("localhost", "far.example.com", 2),
        |line| line.replace("://", ":/"),
        |line| line.replace("@localhost", "@localhost:70000"),
        |_| String::new(),
    ];
    for secret in [
        CANARY,
        "${CANARY}",
        "${CANARY",
        "hunter2-CANARY${NOT_SET}",
        "u:hunter2-CANARY@h:1",
    ] {
        let text = file(secret);
        for (at, _) in text.lines().enumerate() {
            for change in breaks {
                let broken: Vec<String> = text
                    .lines()
                    .enumerate()
                    .map(|(i, line)| if i == at { change(line) } else { line.to_owned() })
                    .collect();
                let result = Config::parse(&broken.join("\n"), "ductape.toml", &lookup);
                match &result {
                    Err(problems) => {
                        refused += 1;
                        assert_hidden(&format!("{problems} {problems:?}"));
                    }
                    Ok(config) => assert_hidden(&format!("{config:?}")),
                }
                if let Ok(config) = result {
                    for (slug, _) in ENVIRONMENTS {
                        if let Err(problems) = config.provider("secret", slug) {
                            assert_hidden(&format!("{problems} {problems:?}"));
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 300, "only {refused} were refused");
}

/// Everything that is logged, at the finest level.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ductape-secrets-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn nothing_that_is_logged_shows_a_secret_or_a_payload() {
    let captured = Captured::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .with_ansi(false)
        .init();
    let folder = folder("logs");
    let mut tokens = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for (slug, _) in ENVIRONMENTS {
            let build = Ductape::builder()
                .config_text(file(CANARY))
                .environment(*slug)
                .build();
            let error = build.await.unwrap_err();
            assert_hidden(&format!("{error} {error:?}"));
        }
        for mode in ["memory", "durable"] {
            let path = if mode == "durable" {
                format!("path = '{}'", folder.join("events.db").display())
            } else {
                String::new()
            };
            let text = format!(
                "{}[brokers.secret.environments.own]\ntype = 'EMBEDDED'\nmode = '{mode}'\n{path}",
                file(CANARY)
            );
            tokens.extend(run_once(&text).await);
        }
    });
    let text = captured.text();
    assert_hidden(&text);
    assert!(tokens.len() > 4);
    for token in tokens {
        assert!(!text.contains(&token), "{token} is in {text}");
    }
    for part in [
        "consuming",
        "became a dead letter",
        "is tried again",
        "a session's token was refused",
    ] {
        assert!(text.contains(part), "{part:?} is not logged: {text}");
    }
    // What comes from outside can't make a line of its own in the log.
    assert!(!text.lines().any(|line| line.starts_with("[ERROR]")), "{text}");
    assert!(!text.contains('\u{1b}'));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Produces on behalf of a session, with good tokens and others; answers what must not be shown of them.
async fn run_session(ductape: &Ductape) -> Vec<String> {
    let sessions = ductape.sessions();
    let config = SessionConfig {
        tag: "user".to_owned(),
        selector: "$Session{user}".to_owned(),
        expiry: 1,
        schema: serde_json::json!({"user": "u"}),
        ..SessionConfig::default()
    };
    sessions.create(config).await.unwrap();
    let started = sessions
        .start("user", &serde_json::json!({"user": CANARY}))
        .await
        .unwrap();
    let ctx = ductape.context().with_session(&started.token);
    let card = CANARY.to_owned();
    Paid { id: 1, card }.produce(&ctx).await.unwrap();
    let next = sessions.refresh("user", &started.refresh_token).await.unwrap();
    let again = sessions
        .refresh("user", &started.refresh_token)
        .await
        .unwrap_err();
    assert_eq!(
        sessions.revoke("user", Revoke::Identifier(CANARY)).await.unwrap(),
        1
    );
    let mut shown = format!("{again} {again:?} {started:?} {next:?} {ctx:?} {sessions:?}");
    let mut hidden = vec![started.refresh_token, next.refresh_token];
    for token in [started.token, next.token] {
        let (_, jwt) = token.split_once(':').unwrap();
        for bad in [
            token.clone(),
            format!("x:{jwt}"),
            format!("{token}x"),
            jwt.to_owned(),
        ] {
            let options = ProduceOptions::default().session(bad);
            write!(shown, "{options:?}").unwrap();
            let card = CANARY.to_owned();
            let error = Paid { id: 3, card }
                .produce_with(options, ductape)
                .await
                .unwrap_err();
            write!(shown, "{error} {error:?}").unwrap();
        }
        hidden.push(jwt.to_owned());
    }
    assert_hidden(&shown);
    assert!(!hidden.iter().any(|token| shown.contains(token)), "{shown}");
    hidden
}

/// A start, produces, a failing handler, dead letters, a shutdown.
async fn run_once(config: &str) -> Vec<String> {
    let ductape = Ductape::builder()
        .config_text(config)
        .environment("own")
        .store(StoreUrl::memory())
        .session_keys(SessionKeys::parse("k:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap())
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();
    for id in 1..=3 {
        let card = CANARY.to_owned();
        Paid { id, card }.produce(&ductape).await.unwrap();
    }
    let ctx = ductape.context();
    for payload in [
        "\"\n[ERROR] hunter2-CANARY \u{1b}[2J\"",
        "{\"id\": 1, \"card\": [\"hunter2-CANARY\"]}",
        "{\"id\": \"hunter2-CANARY\"}",
    ] {
        let options = ProduceOptions::default().header("authorization", CANARY);
        let _ = ctx.produce_bytes("secret:paid", payload, options).await.unwrap();
    }
    let wrong = serde_json::json!({"id": CANARY, "card": 1});
    let error = ctx.produce_json("secret:paid", &wrong).await.unwrap_err();
    assert_hidden(&format!("{error} {error:?}"));
    let tokens = run_session(&ductape).await;
    assert!(ductape.wait_idle(Duration::from_secs(10)).await.unwrap());
    assert_eq!(ductape.stats()[0].dead_lettered, 6);
    for letter in ductape.dead_letters("secret:paid", "fail", 10).await.unwrap() {
        assert!(!tokens.iter().any(|token| format!("{letter:?}").contains(token)));
    }
    assert_hidden(&format!("{ductape:?} {ctx:?}"));
    ductape.shutdown().await.unwrap();
    tokens
}

#[cfg(unix)]
#[test]
fn the_store_is_for_its_owner_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    let folder = folder("umask");
    let store = folder.join("deep").join("events.db");
    // The umask is the process's own, so another one makes the store, with the widest there is.
    let made = Command::new("sh")
        .args(["-c", "umask 000; exec \"$0\" \"$1\" 1 10 plain"])
        .arg(env!("CARGO_BIN_EXE_produce-steps"))
        .arg(&store)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let bits = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(store.parent().unwrap()), 0o700);
    assert_eq!(bits(&folder), 0o700);
    for entry in std::fs::read_dir(store.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(bits(&path), 0o600, "{}", path.display());
    }
    std::fs::remove_dir_all(folder).unwrap();
}
