use ductape_events::prelude::*;

#[topic("samples:taken", instances(Taken<u32>))]
struct Taken<T>
where
    T: Copy,
{
    value: T,
}

fn main() {}
