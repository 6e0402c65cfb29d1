//! The clock, from the floor below.

pub(crate) use ductape_providers::clock::{now, to_millis, wall};
