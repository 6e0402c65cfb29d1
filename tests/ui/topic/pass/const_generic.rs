use ductape_events::prelude::*;

#[topic("samples:taken", instances(Taken<3>))]
struct Taken<const N: usize> {
    values: Vec<[u8; 3]>,
}

fn main() {}
