//! A program whose only dependency is `ductape-events`, under another name, and which re-exports it under a third.

use events::prelude::*;

/// What another crate would see of it.
pub mod reexported {
    pub use events as messages;
}

/// Emitted when a parcel is sent.
#[topic("parcels:parcel-sent", key = id)]
#[derive(Debug)]
pub struct ParcelSent {
    /// Which parcel.
    #[sample(7)]
    pub id: u32,
}

/// The same, by the path of the re-export.
#[topic("parcels:parcel-lost", key = id, crate = crate::reexported::messages)]
#[derive(Debug)]
pub struct ParcelLost {
    /// Which parcel.
    pub id: u32,
}

/// Counts what was sent.
#[consumer]
pub async fn count(_event: &ParcelSent, _attempt: Attempt) {}

/// Counts what was lost.
#[consumer(crate = crate::reexported::messages)]
pub async fn search(_event: Vec<ParcelLost>) {}

#[cfg(test)]
mod tests {
    use super::{ParcelLost, ParcelSent, Topic, count, search};
    use events::consumer::Consumer;

    #[test]
    fn topics_work_under_another_name() {
        assert_eq!(ParcelSent::sample()["id"], 7);
        assert_eq!(ParcelLost::EVENT, "parcels:parcel-lost");
    }

    #[test]
    fn consumers_work_under_another_name() {
        assert_eq!(<count as Consumer>::descriptor().name, "count");
        assert_eq!((search::descriptor().topic)().event, "parcels:parcel-lost");
    }
}
