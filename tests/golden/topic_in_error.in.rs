#[topic("Payments", key = idd, version = 0)]
struct Refunded {
    id: u32,
}
