use serde::de::DeserializeOwned;

use ductape_providers::MessageId;

use crate::consumer::{
    Delivery, Failure, HandlerError, Meta, Outcome, Requirements, Settling, State, Verdict,
};
use crate::context::Context;
use crate::produce;
use crate::topic::Topic;

/// Several deliveries on their way to a batch handler.
#[derive(Debug)]
pub struct BatchDelivery {
    pub(crate) deliveries: Vec<Delivery>,
}

/// The events of a batch that could be decoded, and the verdicts of those that could not.
#[derive(Debug)]
pub struct Decoded<'a> {
    batch: &'a BatchDelivery,
    /// For each delivery: the verdict that it has already.
    verdicts: Vec<Option<Verdict>>,
}

impl BatchDelivery {
    /// Decodes the events. What can't be decoded becomes a dead letter and is left out.
    pub fn events<T: DeserializeOwned>(&self) -> (Vec<T>, Decoded<'_>) {
        let mut events = Vec::with_capacity(self.deliveries.len());
        let mut verdicts = Vec::with_capacity(self.deliveries.len());
        for delivery in &self.deliveries {
            match delivery.event() {
                Ok(event) => {
                    events.push(event);
                    verdicts.push(None);
                }
                Err(verdict) => verdicts.push(Some(verdict)),
            }
        }
        (
            events,
            Decoded {
                batch: self,
                verdicts,
            },
        )
    }
}

impl Decoded<'_> {
    /// The deliveries whose events could be decoded, in order.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        let all = self.batch.deliveries.iter().zip(&self.verdicts);
        all.filter(|(_, verdict)| verdict.is_none())
            .map(|(delivery, _)| delivery)
    }

    /// The verdicts of the whole batch when a parameter could not be made.
    pub fn failed(self, error: HandlerError) -> Vec<Verdict> {
        let verdict = Verdict::from(error);
        self.with_all(&verdict)
    }

    /// The verdicts of the whole batch when no event could be decoded.
    pub fn nothing(self) -> Vec<Verdict> {
        self.with_all(&Verdict::Done)
    }

    fn with_all(self, verdict: &Verdict) -> Vec<Verdict> {
        self.verdicts
            .into_iter()
            .map(|known| known.unwrap_or_else(|| verdict.clone()))
            .collect()
    }

    fn with_each(self, each: Vec<Verdict>) -> Vec<Verdict> {
        let expected = self.verdicts.iter().filter(|verdict| verdict.is_none()).count();
        if each.len() != expected {
            let reason = format!(
                "a batch handler answered {} outcomes for {expected} events",
                each.len()
            );
            return self.with_all(&Verdict::Retry(
                None,
                Failure {
                    reason,
                    error_type: "outcome",
                },
            ));
        }
        let mut each = each.into_iter();
        self.verdicts
            .into_iter()
            .map(|known| known.or_else(|| each.next()).unwrap_or(Verdict::Done))
            .collect()
    }
}

/// What a parameter of a batch handler after the events can be: `Context`, `State<T>`, `Vec<Meta>`, `Vec<MessageId>`,
/// `Vec<Option<Session>>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a batch #[consumer]",
    label = "not an extractor of a batch",
    note = "the first parameter is `Vec<T>`; each further one is `Context`, `State<T>`, `Vec<Meta>`, `Vec<MessageId>`, `Vec<Option<Session>>`, or a type of your own that implements `FromBatch`"
)]
pub trait FromBatch: Sized {
    /// Makes the parameter.
    ///
    /// # Errors
    ///
    /// Treated as the handler's own error, for the whole batch.
    fn from_batch(batch: &Decoded<'_>) -> Result<Self, HandlerError>;

    /// Names what must be there at start-up.
    fn require(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

impl FromBatch for Context {
    fn from_batch(batch: &Decoded<'_>) -> Result<Self, HandlerError> {
        let first = batch.deliveries().next();
        first
            .map(|delivery| delivery.scope.context.clone())
            .ok_or_else(|| HandlerError::retry("an empty batch"))
    }
}

impl<T: Send + Sync + 'static> FromBatch for State<T> {
    fn from_batch(batch: &Decoded<'_>) -> Result<Self, HandlerError> {
        let first = batch
            .deliveries()
            .next()
            .ok_or_else(|| HandlerError::retry("an empty batch"))?;
        Self::from_states(first.states())
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}

impl FromBatch for Vec<Meta> {
    fn from_batch(batch: &Decoded<'_>) -> Result<Self, HandlerError> {
        Ok(batch.deliveries().map(Meta::of).collect())
    }
}

impl FromBatch for Vec<MessageId> {
    fn from_batch(batch: &Decoded<'_>) -> Result<Self, HandlerError> {
        Ok(batch
            .deliveries()
            .map(|delivery| delivery.message.id.clone())
            .collect())
    }
}

/// What a batch `#[consumer]` can return: `()`, `Result<(), E>`, `Result<Vec<Outcome>, E>` with one outcome for each
/// event, or `Result<Vec<U>, E>` with one follow-up event for each.
#[diagnostic::on_unimplemented(
    message = "a batch #[consumer] cannot return `{Self}`",
    label = "not an outcome of a batch",
    note = "return `()`, `Result<(), E>`, `Result<Vec<Outcome>, E>`, or `Result<Vec<U>, E>` where `U` is a topic; `E` is any error"
)]
pub trait IntoBatchOutcome {
    /// The verdicts, in the order of the batch, or the way to them.
    fn into_batch_outcome(self, batch: Decoded<'_>) -> Settling<'_, Vec<Verdict>>;
}

impl IntoBatchOutcome for () {
    fn into_batch_outcome(self, batch: Decoded<'_>) -> Settling<'_, Vec<Verdict>> {
        Settling::Known(batch.with_all(&Verdict::Done))
    }
}

impl<E: Into<HandlerError>> IntoBatchOutcome for Result<(), E> {
    fn into_batch_outcome(self, batch: Decoded<'_>) -> Settling<'_, Vec<Verdict>> {
        Settling::Known(match self {
            Ok(()) => batch.with_all(&Verdict::Done),
            Err(error) => batch.failed(error.into()),
        })
    }
}

impl<E: Into<HandlerError>> IntoBatchOutcome for Result<Vec<Outcome>, E> {
    fn into_batch_outcome(self, batch: Decoded<'_>) -> Settling<'_, Vec<Verdict>> {
        Settling::Known(match self {
            Ok(outcomes) => batch.with_each(outcomes.into_iter().map(Verdict::from).collect()),
            Err(error) => batch.failed(error.into()),
        })
    }
}

#[diagnostic::do_not_recommend]
impl<U: Topic, E: Into<HandlerError>> IntoBatchOutcome for Result<Vec<U>, E> {
    fn into_batch_outcome(self, batch: Decoded<'_>) -> Settling<'_, Vec<Verdict>> {
        match self {
            Ok(events) => Settling::Later(Box::pin(follow_ups(events, batch))),
            Err(error) => Settling::Known(batch.failed(error.into())),
        }
    }
}

async fn follow_ups<U: Topic>(events: Vec<U>, batch: Decoded<'_>) -> Vec<Verdict> {
    let deliveries: Vec<&Delivery> = batch.deliveries().collect();
    if deliveries.len() != events.len() {
        return batch.with_each(vec![Verdict::Done; events.len()]);
    }
    let mut verdicts = Vec::with_capacity(events.len());
    for (event, delivery) in events.iter().zip(deliveries) {
        verdicts.push(produce::follow_up(event, delivery).await);
    }
    batch.with_each(verdicts)
}
