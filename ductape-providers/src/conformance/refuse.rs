//! What each capability means where it is missing: the operation is asked for, and must be refused.
//!
//! Each function is the `needs` of the cases that want one capability.

use std::time::Duration;

use super::case::{Applies, Failure, refused};
use super::context::Context;
use crate::capability::{Capability, Order, Requeue};
use crate::clock;
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::{Outgoing, Route};
use crate::provider::{Durability, Settlement};
use crate::spec::{SeekTo, Start, SubscriptionSpec};

pub(super) fn always(_: &Capability) -> Applies {
    Applies::Runs
}

pub(super) fn seek(capability: &Capability) -> Applies {
    Applies::when(capability.seek, "seek", |context| {
        Box::pin(async move {
            let (client, topic, group, _reader) = context.start().await?;
            let answer = client
                .provider()
                .seek_dyn(&topic, &group.name, SeekTo::Earliest)
                .await;
            refused(answer, ErrorKind::Unsupported, "seek").map(drop)
        })
    })
}

pub(super) fn backlog(capability: &Capability) -> Applies {
    Applies::when(capability.backlog, "backlog", |context| {
        Box::pin(async move {
            let (client, topic, group, _reader) = context.start().await?;
            let answer = client.provider().backlog_dyn(&topic, &group.name).await;
            refused(answer, ErrorKind::Unsupported, "backlog").map(drop)
        })
    })
}

pub(super) fn ephemeral(capability: &Capability) -> Applies {
    Applies::when(capability.ephemeral_groups, "ephemeral_groups", |context| {
        Box::pin(async move {
            let (client, topic, mut group) =
                (context.connect().await?, context.topic("t")?, context.group("g")?);
            group.ephemeral = true;
            let answer = client.try_declare(&topic, &[&group]).await;
            refused(answer, ErrorKind::Unsupported, "declare of an ephemeral group").map(drop)
        })
    })
}

pub(super) fn earliest(capability: &Capability) -> Applies {
    Applies::when(capability.start_earliest, "start_earliest", |context| {
        Box::pin(async move {
            let (client, topic, mut group) =
                (context.connect().await?, context.topic("t")?, context.group("g")?);
            group.start = Start::Earliest;
            let answer = client.try_declare(&topic, &[&group]).await;
            refused(
                answer,
                ErrorKind::Unsupported,
                "declare of a group from the earliest",
            )
            .map(drop)
        })
    })
}

pub(super) fn once(capability: &Capability) -> Applies {
    Applies::when(capability.once, "once", |context| {
        Box::pin(async move {
            let (client, topic, mut group) =
                (context.connect().await?, context.topic("t")?, context.group("g")?);
            group.once = true;
            let answer = client.try_declare(&topic, &[&group]).await;
            refused(answer, ErrorKind::Unsupported, "declare of a group with `once`").map(drop)
        })
    })
}

pub(super) fn competing(capability: &Capability) -> Applies {
    Applies::when(capability.groups, "groups", |context| {
        Box::pin(async move {
            let (client, topic, group, _reader) = context.start().await?;
            let spec = SubscriptionSpec::new(topic, group);
            let answer = client.provider().subscribe_dyn(&spec).await;
            refused(answer, ErrorKind::Unsupported, "a second member of one group").map(drop)
        })
    })
}

pub(super) fn route(capability: &Capability) -> Applies {
    Applies::when(capability.route_to_group, "route_to_group", |context| {
        Box::pin(async move {
            let (client, topic, group, mut reader) = context.start().await?;
            let message = Outgoing::new(topic, "to one").with_route(Route::Group(group.name));
            let answer = client.try_publish_one(message).await;
            refused(answer, ErrorKind::Unsupported, "a publish to one group")?;
            reader.silent("its publish was refused").await
        })
    })
}

pub(super) fn requeue(capability: &Capability) -> Applies {
    Applies::when(capability.requeue != Requeue::None, "requeue", |context| {
        Box::pin(refuses_settlement(context, Settlement::Requeue))
    })
}

pub(super) fn requeue_after(capability: &Capability) -> Applies {
    let can = matches!(capability.requeue, Requeue::Delayed { .. });
    Applies::when(can, "requeue delayed", |context| {
        Box::pin(refuses_settlement(
            context,
            Settlement::RequeueAfter(Duration::from_secs(1)),
        ))
    })
}

/// What is refused must not have settled the delivery: it can still be acked.
async fn refuses_settlement(context: Context, how: Settlement) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![Outgoing::new(topic, "kept")]).await?;
    let delivery = reader.next().await?;
    let answer = reader.try_settle(delivery.receipt, how).await;
    refused(answer, ErrorKind::Unsupported, format!("settle with {how:?}")).map(drop)
}

/// A delayed requeue that holds later messages of its key back.
pub(super) fn holds_key(capability: &Capability) -> Applies {
    match capability.requeue {
        Requeue::Delayed { holds_key: true, .. } if capability.order != Order::None => Applies::Runs,
        // Without order there is nothing to hold; what can be asked for is the settlement.
        Requeue::None | Requeue::Immediate => requeue_after(capability),
        Requeue::Delayed { .. } => Applies::Refused {
            what: "holds_key",
            check: |context| Box::pin(super::cases::order::later_messages_pass(context)),
        },
    }
}

pub(super) fn delay(capability: &Capability) -> Applies {
    Applies::when(
        capability.publish_delay_max.is_some(),
        "publish_delay_max",
        |context| {
            Box::pin(async move {
                let (client, topic, _group, mut reader) = context.start().await?;
                let mut message = Outgoing::new(topic, "later");
                message.not_before = clock::wall().checked_add(Duration::from_mins(1));
                let answer = client.try_publish_one(message).await;
                refused(answer, ErrorKind::Unsupported, "a publish with a delay")?;
                reader.silent("its publish was refused").await
            })
        },
    )
}

/// A message to one group alone that waits.
pub(super) fn group_delay(capability: &Capability) -> Applies {
    if !capability.route_to_group {
        return route(capability);
    }
    Applies::when(
        capability.group_delay_max.is_some(),
        "group_delay_max",
        |context| {
            Box::pin(async move {
                let (client, topic, group, mut reader) = context.start().await?;
                let mut message = Outgoing::new(topic, "later").with_route(Route::Group(group.name));
                message.not_before = clock::wall().checked_add(Duration::from_mins(1));
                let answer = client.try_publish_one(message).await;
                refused(
                    answer,
                    ErrorKind::Unsupported,
                    "a publish to one group with a delay",
                )?;
                reader.silent("its publish was refused").await
            })
        },
    )
}

pub(super) fn lease(capability: &Capability) -> Applies {
    Applies::when(capability.lease, "lease", |context| {
        Box::pin(async move {
            let (client, topic, _group, mut reader) = context.start().await?;
            client.publish(vec![Outgoing::new(topic, "held")]).await?;
            let delivery = reader.next().await?;
            let answer = reader
                .try_extend(&[&delivery.receipt], Duration::from_secs(1))
                .await;
            refused(answer, ErrorKind::Unsupported, "extend")?;
            reader.ack(delivery).await.map(drop)
        })
    })
}

/// A broker that counts deliveries, and can be made to deliver again.
pub(super) fn counted(capability: &Capability) -> Applies {
    if capability.requeue == Requeue::None {
        return requeue(capability);
    }
    Applies::when(capability.delivery_count, "delivery_count", |context| {
        Box::pin(async move {
            let (client, topic, _group, mut reader) = context.start().await?;
            client.publish(vec![Outgoing::new(topic, "uncounted")]).await?;
            let message = reader.next().await.map(|delivery| delivery.message)?;
            check!(
                message.delivery_count.is_none(),
                "a delivery has the count {:?}",
                message.delivery_count
            );
            Ok(())
        })
    })
}

/// A broker that counts, and takes a failed delivery back later.
pub(super) fn counted_requeue_after(capability: &Capability) -> Applies {
    match requeue_after(capability) {
        Applies::Runs => counted(capability),
        refused @ Applies::Refused { .. } => refused,
    }
}

/// Without order a message is still delivered with its key.
pub(super) fn ordered(capability: &Capability) -> Applies {
    Applies::when(capability.order != Order::None, "order", |context| {
        Box::pin(super::cases::order::key_is_reported(context))
    })
}

/// Messages that outlive their process; where they don't, a confirmation must not claim it.
pub(super) fn persistent(capability: &Capability) -> Applies {
    Applies::when(capability.persistent, "persistent", |context| {
        Box::pin(async move {
            let (client, topic, _group, _reader) = context.start().await?;
            for receipt in client.publish(vec![Outgoing::new(topic, "volatile")]).await? {
                check!(
                    receipt.durability < Durability::BrokerDisk,
                    "a publish was confirmed as {:?}",
                    receipt.durability
                );
            }
            Ok(())
        })
    })
}

/// A delayed requeue on a broker whose messages outlive their process.
pub(super) fn persistent_requeue_after(capability: &Capability) -> Applies {
    match requeue_after(capability) {
        Applies::Runs => persistent(capability),
        refused @ Applies::Refused { .. } => refused,
    }
}

/// A group that deduplicates, on a broker that can be made to deliver again.
pub(super) fn once_and_requeue(capability: &Capability) -> Applies {
    match once(capability) {
        Applies::Runs => requeue(capability),
        refused @ Applies::Refused { .. } => refused,
    }
}

/// A group that deduplicates, on a broker that can send to it alone.
pub(super) fn once_and_route(capability: &Capability) -> Applies {
    match once(capability) {
        Applies::Runs => route(capability),
        refused @ Applies::Refused { .. } => refused,
    }
}
