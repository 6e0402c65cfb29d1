//! What is unsafe about how a server is set up, as far as AMQP shows it.

use std::sync::Arc;

use lapin::options::ExchangeUnbindOptions;
use lapin::types::{FieldTable, ShortString};

use super::declare::{arguments, dead_arguments, is_ordered, make_exchange};
use super::link::{Open, answered};
use super::names::{Topic, dead};
use super::provider::Server;
use super::queue::{self, Seen, Setup};
use crate::config::Declare;
use crate::error::{ErrorKind, Result};
use crate::examine::Finding;
use crate::spec::TopicSpec;

/// A routing key that nothing is bound with.
const NO_KEY: &str = "ductape.no-such-routing-key";

/// Looks, and changes nothing.
pub(super) async fn examine(server: &Arc<Server>, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    let open = server.consuming.get().await?;
    let mut findings = Vec::new();
    let mut exchanges: Vec<ShortString> = Vec::new();
    for spec in topics {
        let topic = server.prepare(spec)?;
        if !exchanges.contains(&topic.exchange) {
            exchanges.push(topic.exchange.clone());
            examine_exchange(server, &open, &topic, &mut findings).await?;
        }
        for group in topic.spec.groups.iter().filter(|group| !group.ephemeral) {
            let queue = topic.queue(&group.name, group.named, &server.chosen)?;
            let dead = dead(&queue)?;
            let expected = arguments(&topic, group, &dead);
            if let Some(setup) = look(server, &open, &queue, &expected, &mut findings).await? {
                examine_queue(&queue, &setup, &mut findings);
                if is_ordered(&topic, group) && setup.argument("x-single-active-consumer") != Some("true") {
                    findings.push(not_single_active(&queue, &topic));
                }
            }
            if let Some(setup) = look(server, &open, &dead, &dead_arguments(), &mut findings).await? {
                examine_queue(&dead, &setup, &mut findings);
            }
        }
    }
    Ok(findings)
}

async fn examine_exchange(
    server: &Server,
    open: &Open,
    topic: &Topic,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let exchange = &topic.exchange;
    if !open.has_exchange(exchange).await? {
        if server.declare != Declare::Create {
            let text = format!(
                "there is no exchange `{exchange}`, and `declare` does not let it be made: nothing can be published; make a durable direct exchange of that name"
            );
            findings.push(Finding::refusal("rabbitmq-exchange-missing", text));
        }
        return Ok(());
    }
    match make_exchange(open, exchange).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::TopologyMismatch => {
            findings.push(exchange_differs(exchange, &error.to_string()));
        }
        Err(error) if error.kind() == ErrorKind::Unauthorized => {
            findings.push(no_permission("configure", exchange, &error.to_string()));
        }
        Err(error) => return Err(error),
    }
    let channel = open.channel().await?;
    // What is not bound can be unbound: it asks for the permission to write, and does nothing.
    let asked = channel.exchange_unbind(
        exchange.clone(),
        exchange.clone(),
        NO_KEY.into(),
        ExchangeUnbindOptions::default(),
        FieldTable::default(),
    );
    match answered("exchange.unbind", asked).await {
        Err(error) if error.kind() == ErrorKind::Unauthorized => {
            findings.push(no_permission("write and read", exchange, &error.to_string()));
            Ok(())
        }
        Err(error) if error.is_temporary() => Err(error),
        // Whatever else it says of a binding that is not there says nothing about us.
        _ => Ok(()),
    }
}

fn exchange_differs(exchange: &ShortString, said: &str) -> Finding {
    if said.contains("arg 'durable'") {
        let text = format!(
            "the exchange `{exchange}` is not durable: after a restart of the server it is gone with its bindings, and publishes fail; delete it, so that it is made again"
        );
        return Finding::refusal("rabbitmq-not-durable", text);
    }
    let text = format!(
        "the exchange `{exchange}` is neither a direct nor a topic exchange, so that messages reach queues that they are not for: {said}; delete it, or give the broker another tag"
    );
    Finding::refusal("rabbitmq-exchange-type", text)
}

fn no_permission(which: &str, name: &ShortString, said: &str) -> Finding {
    let text = format!(
        "the user has no permission to {which} `{name}`: what the program needs can't be made, used or checked; give it with `rabbitmqctl set_permissions`, or set `declare` to `off` where only this check needs it ({said})"
    );
    Finding::warning("rabbitmq-no-permission", text)
}

fn not_single_active(queue: &ShortString, topic: &Topic) -> Finding {
    let text = format!(
        "the messages of `{}` have keys, and the queue `{queue}` lets several members of the group read at a time (no `x-single-active-consumer`), so that messages of a key pass each other; delete the queue, so that it is made again, or set `ordering = \"relaxed\"`",
        topic.spec.topic
    );
    Finding::refusal("rabbitmq-not-single-active", text)
}

/// How a queue is set up; `None` where there is none, or where it can't be told.
async fn look(
    server: &Server,
    open: &Open,
    name: &ShortString,
    expected: &FieldTable,
    findings: &mut Vec<Finding>,
) -> Result<Option<Setup>> {
    if !queue::exists(open, name).await? {
        if server.declare != Declare::Create {
            let text = format!(
                "there is no queue `{name}`, and `declare` does not let it be made: what is published does not reach the group, or its dead letters have no place; make a quorum queue of that name"
            );
            findings.push(Finding::refusal("rabbitmq-queue-missing", text));
        }
        return Ok(None);
    }
    match queue::read(open, name, expected).await? {
        Seen::Set(setup) => Ok(Some(setup)),
        Seen::Forbidden => {
            findings.push(no_permission(
                "configure",
                name,
                "it can't be told how the queue is set up",
            ));
            Ok(None)
        }
        Seen::Unclear(said) => {
            let text = format!(
                "the queue `{name}` is not as it should be: {said}; delete it, so that it is made again"
            );
            findings.push(Finding::refusal("rabbitmq-queue-mismatch", text));
            Ok(None)
        }
    }
}

/// What is unsafe about a queue.
fn examine_queue(name: &ShortString, setup: &Setup, findings: &mut Vec<Finding>) {
    let mut refuse = |finding: &'static str, text: String| findings.push(Finding::refusal(finding, text));
    let again = "delete the queue, so that it is made again, or name another";
    if setup.exclusive || setup.queue_type() == "stream" {
        let what = if setup.exclusive {
            "belongs to another connection (`exclusive`)"
        } else {
            "is a stream"
        };
        refuse(
            "rabbitmq-queue-mismatch",
            format!("the queue `{name}` {what} and can't be a group's; {again}"),
        );
        return;
    }
    if !setup.durable {
        refuse(
            "rabbitmq-not-durable",
            format!(
                "the queue `{name}` is not durable: a restart of the server loses it and its messages; {again}"
            ),
        );
    }
    if setup.auto_delete {
        refuse(
            "rabbitmq-auto-delete",
            format!(
                "the queue `{name}` is deleted with its messages when its last reader goes (`auto_delete`); {again}"
            ),
        );
    }
    if let Some(millis) = setup.argument("x-expires") {
        refuse(
            "rabbitmq-queue-expires",
            format!(
                "the queue `{name}` is deleted with its messages when nobody reads for {millis} ms (`x-expires`); {again}"
            ),
        );
    }
    if let Some(millis) = setup.argument("x-message-ttl") {
        refuse(
            "rabbitmq-message-ttl",
            format!(
                "the queue `{name}` drops messages that are not read within {millis} ms (`x-message-ttl`); {again}"
            ),
        );
    }
    let limit = ["x-max-length", "x-max-length-bytes"]
        .into_iter()
        .find_map(|limit| Some((limit, setup.argument(limit)?)));
    if let Some((limit, value)) = limit
        && !setup
            .argument("x-overflow")
            .is_some_and(|overflow| overflow.starts_with("reject-publish"))
    {
        refuse(
            "rabbitmq-queue-max-length",
            format!(
                "the queue `{name}` drops its oldest messages when it is full (`{limit}` is {value}, `x-overflow` is not `reject-publish`); {again}"
            ),
        );
    }
    let has_dlx = setup.argument("x-dead-letter-exchange").is_some();
    // Of a classic queue a server does not compare it.
    if let Some(count) = setup.argument("x-delivery-limit")
        && setup.queue_type() == "quorum"
        && !has_dlx
        && count
            .parse::<i64>()
            .is_ok_and(|count| (0..i64::from(i32::MAX)).contains(&count))
    {
        refuse(
            "rabbitmq-delivery-limit-without-dlx",
            format!(
                "the queue `{name}` drops a message that was given out {count} times (`x-delivery-limit` without `x-dead-letter-exchange`); {again}"
            ),
        );
    }
    if setup.queue_type() == "classic" {
        let text = format!(
            "the queue `{name}` is a classic queue: its messages are on one node alone, and the server does not count how often they are given out, so that one that ends its reader comes for ever; {again}"
        );
        findings.push(Finding::warning("rabbitmq-classic-queue", text));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Setup, examine_queue, exchange_differs};

    fn found(setup: &Setup) -> Vec<&'static str> {
        let mut findings = Vec::new();
        examine_queue(&"q".into(), setup, &mut findings);
        findings.into_iter().map(|finding| finding.name).collect()
    }

    fn with(arguments: &[(&str, &str)]) -> Setup {
        let arguments = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Setup {
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: arguments.collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn what_is_ours_is_sound() {
        let quorum = ("x-queue-type", "quorum");
        assert_eq!(found(&with(&[quorum])), [""; 0]);
        let full = [quorum, ("x-max-length", "5"), ("x-overflow", "reject-publish")];
        assert_eq!(found(&with(&full)), [""; 0]);
        let limited = [
            quorum,
            ("x-delivery-limit", "100"),
            ("x-dead-letter-exchange", ""),
        ];
        assert_eq!(found(&with(&limited)), [""; 0]);
    }

    #[test]
    fn each_thing_that_loses_messages_is_found() {
        let mut transient = with(&[]);
        transient.durable = false;
        assert_eq!(
            found(&transient),
            ["rabbitmq-not-durable", "rabbitmq-classic-queue"]
        );
        let mut passing = with(&[("x-queue-type", "quorum")]);
        passing.auto_delete = true;
        assert_eq!(found(&passing), ["rabbitmq-auto-delete"]);
        for (argument, value, finding) in [
            ("x-expires", "1", "rabbitmq-queue-expires"),
            ("x-message-ttl", "1", "rabbitmq-message-ttl"),
            ("x-max-length", "1", "rabbitmq-queue-max-length"),
            ("x-max-length-bytes", "1", "rabbitmq-queue-max-length"),
            ("x-delivery-limit", "3", "rabbitmq-delivery-limit-without-dlx"),
        ] {
            assert_eq!(
                found(&with(&[("x-queue-type", "quorum"), (argument, value)])),
                [finding]
            );
        }
        assert_eq!(
            found(&with(&[("x-queue-type", "stream")])),
            ["rabbitmq-queue-mismatch"]
        );
    }

    #[test]
    fn an_exchange_that_is_not_durable_is_told_from_one_of_another_type() {
        let name = "orders".into();
        let said = "inequivalent arg 'durable' for exchange 'orders' in vhost '/': received 'true' but current is 'false'";
        assert_eq!(exchange_differs(&name, said).name, "rabbitmq-not-durable");
        let said = "inequivalent arg 'type' for exchange 'orders' in vhost '/': received 'topic' but current is 'fanout'";
        assert_eq!(exchange_differs(&name, said).name, "rabbitmq-exchange-type");
    }
}
