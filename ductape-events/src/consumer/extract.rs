use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use ductape_providers::{Headers, MessageId};

use crate::consumer::{Delivery, HandlerError, Meta};
use crate::context::Context;

/// What a parameter of a `#[consumer]` after the event can be; by value or by reference, in any order.
///
/// Implement it for a type of your own to take it in handlers:
///
/// ```
/// use ductape_events::prelude::*;
/// use ductape_events::consumer::{Delivery, FromDelivery, HandlerError};
///
/// struct Tenant(String);
///
/// impl FromDelivery for Tenant {
///     fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
///         match delivery.message().headers.get("tenant") {
///             Some(tenant) => Ok(Self(tenant.to_owned())),
///             None => Err("no header `tenant`".reject()),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a #[consumer]",
    label = "not an extractor",
    note = "the first parameter is the event itself; each further one implements `FromDelivery`: `Context`, `Meta`, `Attempt`, `MessageId`, `Headers`, `Session`, `Option<Session>`, `State<T>`, `Inbox`, or a type of your own"
)]
pub trait FromDelivery: Sized {
    /// Makes the parameter.
    ///
    /// # Errors
    ///
    /// Treated as the handler's own error: tried again, or a dead letter after `.reject()`.
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError>;

    /// Names what must be there at start-up.
    fn require(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// What consumers need at start-up, gathered from their parameters.
#[derive(Debug, Default)]
pub struct Requirements {
    pub(crate) states: Vec<(TypeId, &'static str)>,
    /// Whether a store is needed.
    pub(crate) store: bool,
}

impl Requirements {
    /// Asks that a `State<T>` was given to the builder.
    pub fn state<T: Send + Sync + 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }
}

/// Which attempt this is, from 1. An extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

impl FromDelivery for Attempt {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(Self(delivery.attempt()))
    }
}

impl FromDelivery for Meta {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(Self::of(delivery))
    }
}

impl FromDelivery for MessageId {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.message.id.clone())
    }
}

impl FromDelivery for Headers {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.message.headers.clone())
    }
}

impl FromDelivery for Context {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.context())
    }
}

/// A value that was given to `Ductape::builder().state(value)`, shared by all handlers. An extractor.
///
/// A consumer that takes a `State<T>` of which there is none is refused at start-up.
pub struct State<T>(Arc<T>);

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Send + Sync + 'static> State<T> {
    pub(crate) fn from_states(states: &States) -> Result<Self, HandlerError> {
        match states.get::<T>() {
            Some(value) => Ok(Self(value)),
            None => Err(HandlerError::retry(format!(
                "no state of type `{}` was given",
                type_name::<T>()
            ))),
        }
    }
}

impl<T: Send + Sync + 'static> FromDelivery for State<T> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Self::from_states(delivery.states())
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}

/// The values given to the builder, by type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn has(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }

    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = Arc::clone(self.0.get(&TypeId::of::<T>())?);
        value.downcast().ok()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}
