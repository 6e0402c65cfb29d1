use ductape_events::prelude::*;

#[topic("clock:ticked")]
struct Ticked;

fn main() {}
