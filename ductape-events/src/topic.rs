//! What a topic is: a type whose values are events.

use std::fmt;
use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
#[cfg(feature = "store")]
use ductape_providers::MessageId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Context;
use crate::envelope;
use crate::error::BrokerError;
#[cfg(feature = "store")]
use crate::produce::IdempotencyKey;
use crate::produce::{self, ProduceOptions, ProduceReceipt};

/// A type whose values are events of one topic. `#[topic("broker:topic")]` implements it.
///
/// ```
/// use ductape_events::prelude::*;
///
/// /// Emitted when an order is created.
/// #[topic("order-events:order-created", key = order_id)]
/// pub struct OrderCreated {
///     #[sample("12345")]
///     pub order_id: String,
///     #[sample(99.99)]
///     pub total: f64,
/// }
///
/// assert_eq!(OrderCreated::EVENT, "order-events:order-created");
/// assert_eq!(OrderCreated::sample()["order_id"], "12345");
/// assert_eq!(OrderCreated::schema()["required"], serde_json::json!(["order_id", "total"]));
/// # use ductape_events::__private::serde_json;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a topic",
    label = "not a topic",
    note = "write `#[topic(\"broker:topic\")]` above the definition of `{Self}`; a generic type is a topic only for the types named in `instances(…)`"
)]
pub trait Topic: Serialize + DeserializeOwned + Send + Sync + Sized + 'static {
    /// The event's name: `broker:topic`.
    const EVENT: &'static str;

    /// The version of the contract, from 1. Versions above 1 are topics of their own on the broker.
    const VERSION: u32;

    /// What is known of the topic at compile time.
    fn descriptor() -> &'static TopicDescriptor;

    /// Writes the key: messages of one key keep their order. What writes nothing has no key.
    fn write_key(&self, key: &mut KeyWriter<'_>);

    /// An example of the event: built from `#[sample(…)]` on the fields, else from the schema. It fits
    /// [`schema`](Self::schema) and decodes into this type.
    fn sample() -> Value {
        (Self::descriptor().sample)()
    }

    /// The JSON Schema (2020-12) of the event.
    fn schema() -> Value {
        (Self::descriptor().schema)()
    }

    /// Publishes this event, and answers when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] with the code `TOPIC_NOT_FOUND` when the program does not know the topic, `PAYLOAD_INVALID` when
    /// it does not serialise, `PAYLOAD_TOO_LARGE`, `SHUTTING_DOWN`, or `PUBLISH_FAILED`; then
    /// [`BrokerError::publish_outcome`] says whether it may be stored all the same.
    fn produce<C>(&self, ctx: &C) -> impl Future<Output = Result<ProduceReceipt, BrokerError>> + Send
    where
        C: AsRef<Context> + Sync + ?Sized,
    {
        produce::one(self, ProduceOptions::default(), ctx.as_ref())
    }

    /// Publishes this event with an id, key, delay or headers of its own.
    ///
    /// # Errors
    ///
    /// Those of [`produce`](Self::produce), and `UNSUPPORTED` when the broker can't do what the options ask.
    fn produce_with<C>(
        &self,
        options: ProduceOptions,
        ctx: &C,
    ) -> impl Future<Output = Result<ProduceReceipt, BrokerError>> + Send
    where
        C: AsRef<Context> + Sync + ?Sized,
    {
        produce::one(self, options, ctx.as_ref())
    }

    /// Publishes this event unless `key` was used: then it answers what it answered first, with `duplicate`. A call whose key
    /// another call is publishing with waits for that. This holds over all processes that share the store, for as long as the
    /// [key](IdempotencyKey) says: a day by default.
    ///
    /// # Errors
    ///
    /// Those of [`produce`](Self::produce); `IDEMPOTENCY_CONFLICT` when the key was used with another event of this topic;
    /// `PUBLISH_IDEMPOTENT_FAILED` when the key can't be one, or the store does not answer (nothing is published then);
    /// `STORE_FAILED` without a store.
    #[cfg(feature = "store")]
    fn produce_idempotent<C>(
        &self,
        key: impl Into<IdempotencyKey> + Send,
        ctx: &C,
    ) -> impl Future<Output = Result<ProduceReceipt, BrokerError>> + Send
    where
        C: AsRef<Context> + Sync + ?Sized,
    {
        produce::idempotent(self, key.into(), ctx.as_ref())
    }

    /// Writes this event to the outbox, in a transaction of the program's own on the store's database. It is published, with
    /// the id that is answered, after that is committed, and never if it is not: by this program, or by any other of the
    /// product that runs in the environment. Events of one key leave in the order in which they were committed.
    ///
    /// # Errors
    ///
    /// Those of [`produce`](Self::produce) that are known before anything is sent, and `STORE_FAILED`.
    ///
    /// ```no_run
    /// # use ductape_events::prelude::*;
    /// # #[topic("docs:order-placed")]
    /// # struct OrderPlaced { id: i64 }
    /// # async fn place(db: &sqlx::SqlitePool, ctx: &Context) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = db.begin().await?;
    /// sqlx::query("INSERT INTO orders (id) VALUES (?)").bind(7).execute(&mut *transaction).await?;
    /// OrderPlaced { id: 7 }.produce_in(&mut transaction, ctx).await?;
    /// transaction.commit().await?; // the row and the event, or neither
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "store")]
    fn produce_in<T, C>(
        &self,
        transaction: &mut T,
        ctx: &C,
    ) -> impl Future<Output = Result<MessageId, BrokerError>> + Send
    where
        T: ductape_store::SqlTransaction + ?Sized,
        C: AsRef<Context> + Sync + ?Sized,
    {
        produce::write(self, transaction, ctx.as_ref())
    }

    /// Publishes many events in few steps, in order. Each has its own result, in the order of `events`.
    ///
    /// # Errors
    ///
    /// Those of [`produce`](Self::produce), for each event by itself.
    fn produce_all<I, C>(
        events: I,
        ctx: &C,
    ) -> impl Future<Output = Vec<Result<ProduceReceipt, BrokerError>>> + Send
    where
        I: IntoIterator<Item = Self, IntoIter: Send> + Send,
        C: AsRef<Context> + Sync + ?Sized,
    {
        produce::all(events, ctx.as_ref())
    }
}

/// What is known of a topic at compile time.
pub struct TopicDescriptor {
    /// The event's name: `broker:topic`.
    pub event: &'static str,
    /// The version of the contract, from 1.
    pub version: u32,
    /// The name of the Rust type.
    pub type_name: &'static str,
    /// The title for people: `name = "…"`, else the type's name in words.
    pub name: &'static str,
    /// The documentation comment.
    pub description: &'static str,
    /// The field that is the key, as it is named on the wire; several with `/` between.
    pub key: Option<&'static str>,
    /// `compatibility = "…"`: how the contract may change.
    pub compatibility: Option<&'static str>,
    /// Whether it is held in every environment to what all kinds of brokers can do.
    pub portable: bool,
    /// Where it is defined: `file:line`.
    pub location: &'static str,
    /// Makes the JSON Schema.
    pub schema: fn() -> Value,
    /// Makes the sample.
    pub sample: fn() -> Value,
    /// The key of an encoded event; `None` where it has none, or does not decode.
    pub key_of: fn(&[u8]) -> Option<Bytes>,
}

impl fmt::Debug for TopicDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicDescriptor")
            .field("event", &self.event)
            .field("version", &self.version)
            .field("type_name", &self.type_name)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// The key of an encoded event of the topic `T`: the one that producing it typed gives it.
pub fn key_of<T: Topic>(payload: &[u8]) -> Option<Bytes> {
    let event: T = envelope::open(payload).ok()?;
    let mut buffer = BytesMut::new();
    let mut writer = KeyWriter::new(&mut buffer);
    event.write_key(&mut writer);
    writer.is_written().then(|| buffer.freeze())
}

/// A topic that was found through inventory.
#[derive(Debug)]
pub struct RegisteredTopic(pub &'static TopicDescriptor);

inventory::collect!(RegisteredTopic);

/// Takes the text of a key.
#[derive(Debug)]
pub struct KeyWriter<'a> {
    buffer: &'a mut BytesMut,
    written: bool,
}

impl<'a> KeyWriter<'a> {
    pub(crate) fn new(buffer: &'a mut BytesMut) -> Self {
        Self {
            buffer,
            written: false,
        }
    }

    /// Appends the text of `part` to the key.
    pub fn write(&mut self, part: &(impl KeyField + ?Sized)) {
        self.written = true;
        part.write_to(self);
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written
    }
}

/// What can be a key: whatever displays as text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not displayable",
    note = "a key is the text that the field displays: implement `std::fmt::Display` for `{Self}`, or name another field in `key = …`"
)]
pub trait KeyField {
    /// Appends the key's text.
    fn write_to(&self, key: &mut KeyWriter<'_>);
}

#[diagnostic::do_not_recommend]
impl<T: fmt::Display + ?Sized> KeyField for T {
    fn write_to(&self, key: &mut KeyWriter<'_>) {
        // Writing to a buffer that grows does not fail; a `Display` that itself fails leaves what it wrote.
        let _ = write!(key.buffer, "{self}");
    }
}

#[cfg(test)]
mod tests {
    use super::Topic;
    use crate::topic;

    #[topic("topics:moved", key = (order_id, place))]
    enum Moved {
        Shipped { order_id: u32, place: String },
        Returned { place: String, order_id: u32 },
    }

    #[topic("topics:seen", key = 0)]
    struct Seen(String);

    #[topic("topics:counted")]
    struct Counted;

    fn key_of<T: Topic>(event: &T) -> Option<String> {
        let key = (T::descriptor().key_of)(&serde_json::to_vec(event).unwrap());
        key.map(|key| String::from_utf8(key.to_vec()).unwrap())
    }

    #[test]
    fn a_key_is_the_text_of_its_fields() {
        let (place, other) = ("a".to_owned(), "b".to_owned());
        assert_eq!(
            key_of(&Moved::Shipped { order_id: 1, place }).as_deref(),
            Some("1/a")
        );
        assert_eq!(
            key_of(&Moved::Returned {
                order_id: 2,
                place: other
            })
            .as_deref(),
            Some("2/b")
        );
        assert_eq!(key_of(&Seen("x".to_owned())).as_deref(), Some("x"));
        assert_eq!(key_of(&Counted), None);
    }

    #[test]
    fn what_does_not_decode_has_no_key() {
        assert_eq!((Seen::descriptor().key_of)(b"7"), None);
    }
}
