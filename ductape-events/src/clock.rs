//! The clock, from the floor below.

pub(crate) use ductape_providers::clock::{after, from_millis, now, to_millis, wall};
