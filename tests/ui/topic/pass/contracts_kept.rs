use ductape_events::prelude::*;

/// Fields that may be absent come and go, whichever side is deployed first.
#[topic("orders:created")]
struct OrderCreated {
    #[serde(rename = "order_id")]
    id: String,
    total: f64,
    lines: Vec<u32>,
    currency: Option<String>,
    #[serde(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// New consumers read old messages.
#[topic("orders:read-by-new")]
struct ReadByNew {
    order_id: String,
    lines: Vec<i64>,
    #[serde(flatten)]
    rest: std::collections::HashMap<String, f64>,
}

/// Old consumers read new messages.
#[topic("orders:read-by-old")]
struct ReadByOld {
    order_id: char,
    total: f32,
    lines: Vec<u8>,
    currency: Currency,
}

#[payload]
enum Currency {
    Eur,
}

#[topic("orders:moved")]
enum Moved {
    Lost,
    Shipped { to: String, note: Option<String> },
    Returned { days: u8 },
}

#[topic("orders:paid")]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Paid {
    Card { digits: String },
    Cash,
}

/// A version of its own.
#[topic("orders:created", version = 2)]
struct OrderCreated2 {
    id: u64,
}

fn main() {}
