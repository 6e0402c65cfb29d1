//! Server: what is kept, and what is told, when the broker's server goes away and comes back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{numbered, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::client::Client;
use crate::conformance::context::Context;
use crate::conformance::harness::Server;
use crate::conformance::reader::{Reader, show};
use crate::conformance::refuse::{always, persistent};
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::{Outgoing, TopicName};
use crate::provider::{Delivery, Settlement};
use crate::spec::GroupSpec;

const GROUP: &str = "server";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-106", reconnect_while_publishing, persistent, Server within 120 s),
    case!("D-070", reconnect_while_consuming, persistent, Server within 120 s),
    case!("D-071", restart_between, persistent, Server within 120 s),
    case!("D-072", a_server_that_is_down_is_told, always, Server within 120 s),
    case!("C-107", late_broker, always, Server within 120 s),
    case!("C-108", bad_credentials, always, Password within 25 s),
];

/// How long a client may take to be at work again once the server is.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn server(context: &Context) -> Result<Arc<dyn Server>, Failure> {
    let server = context.harness().server();
    server.ok_or_else(|| Failure::new("the harness has no server to stop"))
}

/// Since when the server is there; `None` while it is not.
type Since = watch::Receiver<Option<Instant>>;

/// Publishes until the broker confirms, which may take as long as the server is away and [`BACK_WITHIN`] more.
async fn publish_surely(client: &Client, message: Outgoing, since: &Since) -> Result<(), Failure> {
    loop {
        let Err(error) = client.try_publish_one(message.clone()).await else {
            return Ok(());
        };
        let late = since
            .borrow()
            .is_some_and(|since| clock::now().duration_since(since) > BACK_WITHIN);
        if late || !error.is_temporary() {
            return Err(Failure::step(format!("publish of {}", message.id), &error));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The server is there, from now on.
fn back() -> Since {
    watch::channel(Some(clock::now())).1
}

/// A reader that is made again when its subscription is lost.
struct Lasting<'a> {
    client: &'a Client,
    topic: &'a TopicName,
    group: &'a GroupSpec,
    reader: Option<Reader>,
}

impl Lasting<'_> {
    /// Acks what comes until `wanted` have been acked.
    async fn ack_until(&mut self, acked: &mut HashSet<String>, wanted: usize) -> Result<(), Failure> {
        let mut deadline = clock::now() + BACK_WITHIN;
        while acked.len() < wanted {
            check!(
                clock::now() < deadline,
                "{} messages of {wanted} were acked, and then none came for {BACK_WITHIN:?}",
                acked.len()
            );
            let Some(reader) = self.reader.as_mut() else {
                match self.client.try_reader(self.topic, self.group).await {
                    Ok(reader) => self.reader = Some(reader),
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
                continue;
            };
            let mut into: Vec<Delivery> = Vec::new();
            match timeout(Duration::from_secs(5), reader.try_receive(&mut into, 64)).await {
                Err(_) | Ok(Ok(())) => {}
                Ok(Err(error)) if error.is_temporary() => sleep(Duration::from_millis(100)).await,
                Ok(Err(_)) => self.reader = None,
            }
            for delivery in into {
                let name = show(&delivery.message);
                if let Some(reader) = self.reader.as_mut()
                    && reader.try_settle(delivery.receipt, Settlement::Ack).await.is_ok()
                    && acked.insert(name)
                {
                    deadline = clock::now() + BACK_WITHIN;
                }
            }
        }
        Ok(())
    }
}

async fn reconnect_while_publishing(context: Context) -> Result<(), Failure> {
    const PUBLISHERS: usize = 100;
    const EACH: usize = 50;
    let server = server(&context)?;
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let (there, since) = watch::channel(Some(clock::now()));
    let mut publishing = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (client, topic, since) = (client.clone(), topic.clone(), since.clone());
        publishing.spawn(async move {
            for i in 0..EACH {
                publish_surely(&client, text(&topic, &format!("{publisher}-{i}")), &since).await?;
                // Slow enough to be at it when the server goes.
                sleep(Duration::from_millis(20)).await;
            }
            Ok::<(), Failure>(())
        });
    }
    for _ in 0..2 {
        sleep(Duration::from_millis(300)).await;
        there.send_replace(None);
        server.stop().await?;
        server.start().await?;
        there.send_replace(Some(clock::now()));
    }
    while let Some(done) = publishing.join_next().await {
        done.map_err(|error| Failure::new(format!("a publisher panicked: {error}")))??;
    }
    let mut acked = HashSet::new();
    let mut reader = Lasting {
        client: &client,
        topic: &topic,
        group: &group,
        reader: None,
    };
    reader.ack_until(&mut acked, PUBLISHERS * EACH).await
}

async fn reconnect_while_consuming(context: Context) -> Result<(), Failure> {
    const TOTAL: usize = 600;
    let server = server(&context)?;
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    client.publish(numbered(&topic, TOTAL)).await?;
    let mut acked = HashSet::new();
    let mut reader = Lasting {
        client: &client,
        topic: &topic,
        group: &group,
        reader: Some(client.reader(&topic, &group).await?),
    };
    for part in 1..=2 {
        reader.ack_until(&mut acked, TOTAL / 3 * part).await?;
        server.stop().await?;
        server.start().await?;
    }
    reader.ack_until(&mut acked, TOTAL).await
}

async fn restart_between(context: Context) -> Result<(), Failure> {
    let server = server(&context)?;
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 10)).await?;
    let mut acked: HashSet<String> = reader.consume(10).await?.iter().map(show).collect();
    server.stop().await?;
    server.start().await?;
    for i in 10..20 {
        publish_surely(&client, text(&topic, &i.to_string()), &back()).await?;
    }
    let mut reader = Lasting {
        client: &client,
        topic: &topic,
        group: &group,
        reader: Some(reader),
    };
    reader.ack_until(&mut acked, 20).await
}

async fn a_server_that_is_down_is_told(context: Context) -> Result<(), Failure> {
    let server = server(&context)?;
    let (client, topic, _group, reader) = context.start().await?;
    drop(reader);
    server.stop().await?;
    let told = told_down(&client, &topic).await;
    server.start().await?;
    told?;
    publish_surely(&client, text(&topic, "back"), &back()).await?;
    let answer = client.provider().ping_dyn().await;
    answer.map_err(|error| Failure::step("ping, once the server was back and had taken a publish", &error))
}

async fn told_down(client: &Client, topic: &TopicName) -> Result<(), Failure> {
    let began = clock::now();
    let ping = timeout(Duration::from_secs(7), client.provider().ping_dyn()).await;
    check!(
        matches!(ping, Ok(Err(_))),
        "the server is down, and ping answered {ping:?} after {:?}",
        clock::now().duration_since(began)
    );
    let published = timeout(
        Duration::from_secs(40),
        client.try_publish_one(text(topic, "nowhere")),
    )
    .await;
    match published {
        Ok(Err(error)) if error.is_temporary() => Ok(()),
        Ok(answer) => Err(Failure::new(format!(
            "the server is down, and a publish must answer with a temporary error, not {answer:?}"
        ))),
        Err(_) => Err(Failure::new(
            "the server is down, and a publish did not answer within 40 s",
        )),
    }
}

async fn late_broker(context: Context) -> Result<(), Failure> {
    let server = server(&context)?;
    server.stop().await?;
    let began = clock::now();
    let early = timeout(Duration::from_secs(15), context.connect_raw()).await;
    let took = clock::now().duration_since(began);
    server.start().await?;
    match early {
        Ok(Err(error)) if error.is_temporary() => {}
        Ok(answer) => {
            return Err(Failure::new(format!(
                "nobody was there, and connect must answer with a temporary error, not {answer:?}"
            )));
        }
        Err(_) => {
            return Err(Failure::new(format!(
                "nobody was there, and connect did not say so within {took:?}"
            )));
        }
    }
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![text(&topic, "late")]).await?;
    reader.consume(1).await.map(drop)
}

async fn bad_credentials(context: Context) -> Result<(), Failure> {
    let Some(connecting) = context.harness().connect_with_wrong_password() else {
        return Err(Failure::new("the harness has no password that is wrong"));
    };
    let step = "connect with a wrong password";
    match timeout(Duration::from_secs(10), connecting).await {
        Ok(answer) => {
            let error = refused(answer, ErrorKind::Unauthorized, step)?;
            check!(
                !error.is_temporary(),
                "{step} must not be tried again, but its error is temporary: {error}"
            );
            Ok(())
        }
        Err(_) => Err(Failure::new(format!("{step} did not answer within 10 s"))),
    }
}
