use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

use ductape_events::consumer::{Delivery, FromDelivery};

struct Tenant(String);

impl FromDelivery for Tenant {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        let tenant = delivery.message().headers.get("tenant");
        tenant.map(|tenant| Self(tenant.to_owned())).ok_or_else(|| "no tenant".reject())
    }
}

#[consumer]
async fn bill(order: OrderCreated, tenant: &Tenant) {
    let _ = (order, &tenant.0);
}

fn main() {}
