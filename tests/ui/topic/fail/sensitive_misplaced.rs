use ductape_events::prelude::*;

#[payload]
struct Address {
    street: String,
}

#[topic("order-events:order-sent", key = order_id)]
struct OrderSent {
    #[sensitive]
    order_id: String,
    #[sensitive(mask = "x")]
    phone: String,
    #[sensitive]
    #[serde(flatten)]
    address: Address,
    #[sensitive]
    #[sensitive]
    note: String,
}

#[payload]
struct Parcel {
    #[sensitive = "yes"]
    content: String,
}

fn main() {}
