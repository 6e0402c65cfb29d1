//! Dead letters: kept for one group, readable, settled like other messages, and sent back to that group alone.
//!
//! No capability says that a provider has none: what can't be handled must have a place.

use super::{payloads, text};
use crate::conformance::case::{Case, Failure, case};
use crate::conformance::context::Context;
use crate::conformance::refuse::{always, once_and_route, route};
use crate::conformance_check as check;
use crate::message::Route;
use crate::provider::Settlement;

const GROUP: &str = "dead letters";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("D-050", dead_letters_can_be_read_and_settled, always),
    case!("D-051", dead_letters_are_of_one_group, always),
    case!("D-052", dead_letters_do_not_come_as_messages, always),
    case!("D-053", dead_letter_is_the_original, always),
    case!("D-054", dead_letter_is_sent_back_to_its_group, route),
    case!("D-055", unsettled_dead_letter_returns, always),
    case!("D-056", once_does_not_swallow_a_redrive, once_and_route),
];

async fn dead_letters_can_be_read_and_settled(context: Context) -> Result<(), Failure> {
    let (client, topic, group, _reader) = context.start().await?;
    let letters = ["a", "b", "c"];
    let dead = letters.map(|letter| text(&topic, letter).with_route(Route::DeadLetters(group.name.clone())));
    client.publish(dead.to_vec()).await?;
    let mut reader = client.dead_letters(&topic, &group).await?;
    let mut held = reader.take(3).await?;
    let came = payloads(held.iter().map(|delivery| &delivery.message));
    check!(came == letters, "of the dead letters {letters:?} came {came:?}");
    if let Some(last) = held.pop() {
        reader.settle(last.receipt, Settlement::Reject).await?;
    }
    for delivery in held {
        reader.ack(delivery).await?;
    }
    reader.silent("it was settled").await?;
    reader.close().await?;
    let mut reader = client.dead_letters(&topic, &group).await?;
    reader.silent("it was settled by an earlier reader").await
}

async fn dead_letters_are_of_one_group(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    let (one, two) = (context.group("one")?, context.group("two")?);
    client.declare(&topic, &[&one, &two]).await?;
    let dead = text(&topic, "of one").with_route(Route::DeadLetters(one.name.clone()));
    client.publish(vec![dead]).await?;
    let mut other = client.dead_letters(&topic, &two).await?;
    other.silent("it is a dead letter of another group").await?;
    let came = payloads(&client.dead_letters(&topic, &one).await?.consume(1).await?);
    check!(came == ["of one"], "the group's dead letters are {came:?}");
    Ok(())
}

async fn dead_letters_do_not_come_as_messages(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let dead = text(&topic, "dead").with_route(Route::DeadLetters(group.name.clone()));
    client.publish(vec![dead, text(&topic, "alive")]).await?;
    let came = payloads(&reader.consume(1).await?);
    check!(came == ["alive"], "the group received {came:?}");
    reader.silent("it is a dead letter").await?;
    let mut letters = client.dead_letters(&topic, &group).await?;
    let came = payloads(&letters.consume(1).await?);
    check!(came == ["dead"], "the group's dead letters are {came:?}");
    letters.silent("it is no dead letter").await
}

async fn dead_letter_is_the_original(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let mut message = text(&topic, "broken").with_key("k");
    message.payload = vec![0xff, 0x00, b'{'].into();
    message.headers.insert("tenant", "acme");
    client.publish(vec![message]).await?;
    let failed = reader.next().await?;
    let original = failed.message.clone();
    let mut letter = original.to_outgoing(Route::DeadLetters(group.name.clone()));
    letter.headers.insert("reason", "not JSON");
    client.publish(vec![letter]).await?;
    // Only now, when the dead letter is confirmed.
    reader.ack(failed).await?;
    let came = client
        .dead_letters(&topic, &group)
        .await?
        .consume(1)
        .await?
        .remove(0);
    check!(
        (&came.id, &came.key, &came.payload) == (&original.id, &original.key, &original.payload),
        "{original:?} was kept as {came:?}"
    );
    check!(
        came.headers.get("tenant") == Some("acme") && came.headers.get("reason") == Some("not JSON"),
        "the dead letter has the headers {:?}",
        came.headers
    );
    reader
        .silent("it was acked when its dead letter was confirmed")
        .await
}

async fn dead_letter_is_sent_back_to_its_group(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    let (one, two) = (context.group("one")?, context.group("two")?);
    client.declare(&topic, &[&one, &two]).await?;
    let mut first = client.reader(&topic, &one).await?;
    let mut second = client.reader(&topic, &two).await?;
    let dead = text(&topic, "again").with_route(Route::DeadLetters(one.name.clone()));
    let id = dead.id.clone();
    client.publish(vec![dead]).await?;
    let mut letters = client.dead_letters(&topic, &one).await?;
    let letter = letters.next().await?;
    let copy = letter.message.to_outgoing(Route::Group(one.name.clone()));
    client.publish(vec![copy]).await?;
    letters.ack(letter).await?;
    let came = first.consume(1).await?.remove(0);
    check!(came.id == id, "the dead letter {id} was sent back as {}", came.id);
    letters.silent("it was sent back and acked").await?;
    second.silent("it was a dead letter of the other group").await
}

async fn unsettled_dead_letter_returns(context: Context) -> Result<(), Failure> {
    let (client, topic, group, _reader) = context.start().await?;
    let dead = text(&topic, "kept").with_route(Route::DeadLetters(group.name.clone()));
    client.publish(vec![dead]).await?;
    let mut letters = client.dead_letters(&topic, &group).await?;
    let held = letters.next().await?;
    drop(held);
    drop(letters);
    let came = payloads(&client.dead_letters(&topic, &group).await?.consume(1).await?);
    check!(
        came == ["kept"],
        "a dead letter was read and not settled, and {came:?} came"
    );
    Ok(())
}

async fn once_does_not_swallow_a_redrive(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.once = true;
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "again")]).await?;
    let failed = reader.next().await?;
    let letter = failed.message.to_outgoing(Route::DeadLetters(group.name.clone()));
    client.publish(vec![letter]).await?;
    // Now the group counts its id as handled.
    reader.ack(failed).await?;
    let mut letters = client.dead_letters(&topic, &group).await?;
    let letter = letters.next().await?;
    let copy = letter.message.to_outgoing(Route::Group(group.name.clone()));
    client.publish(vec![copy]).await?;
    letters.ack(letter).await?;
    let came = payloads(&reader.consume(1).await?);
    check!(
        came == ["again"],
        "of a dead letter that was sent back came {came:?}"
    );
    reader.silent("it was handled").await
}
