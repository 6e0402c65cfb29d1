use ductape_events::prelude::*;

use ductape_events::__private::{schemars, serde};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[topic("orders:order-seen")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrderSeen {
    #[sample("7")]
    order_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn main() {
    assert_eq!(OrderSeen::sample()["orderId"], "7");
}
