#[topic("order-events:order-shipped", key = (tenant, order_id), version = 2, name = "Shipped", compatibility = "full", portable)]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderShipped {
    tenant: u32,
    order_id: String,
}
