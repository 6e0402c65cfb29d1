//! Writes the input of the `orders` example: `cargo run --example generate-orders > examples/orders/orders.jsonl`.
//!
//! 1,000 orders, always the same. 30 are broken, in seven ways, as orders from elsewhere are.
#![allow(clippy::print_stdout)] // what it writes is its purpose

use serde_json::{Value, json};

const ORDERS: u64 = 1000;
/// One order in so many is broken.
const BROKEN_EVERY: u64 = 33;

/// A small generator of numbers that look random and are always the same (Steele, Lea and Flood's `SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let length = u64::try_from(choices.len()).unwrap_or(1);
        choices[usize::try_from(self.below(length)).unwrap_or(0)]
    }
}

fn main() {
    let mut numbers = Numbers(20_240_115);
    for n in 1..=ORDERS {
        let order = order(n, &mut numbers);
        if n % BROKEN_EVERY == 0 {
            println!("{}", broken(order, n / BROKEN_EVERY));
        } else {
            println!("{order}");
        }
    }
}

fn order(n: u64, numbers: &mut Numbers) -> Value {
    let items: Vec<Value> = (0..=numbers.below(3))
        .map(|_| {
            let sku = numbers.of(&[
                "espresso-beans-1kg",
                "filter-paper-100",
                "grinder-m40",
                "kettle-0.8l",
                "cup-blue",
            ]);
            json!({ "sku": sku, "quantity": 1 + numbers.below(4) })
        })
        .collect();
    let cents = 450 + numbers.below(42_000);
    let note = numbers.of(&[
        "",
        "",
        "",
        "Leave it with the neighbour.",
        "Please wrap it as a gift.",
        "Ring twice.",
    ]);
    json!({
        "order_id": format!("ord-{n:06}"),
        "customer_id": format!("cust-{:04}", numbers.below(240)),
        "total": format!("{}.{:02}", cents / 100, cents % 100).parse::<f64>().unwrap_or_default(),
        "currency": numbers.of(&["EUR", "EUR", "USD", "GBP", "NGN"]),
        "items": items,
        "note": note,
        "created_at": format!("2024-01-15T{:02}:{:02}:{:02}Z", n / 120 % 24, n / 2 % 60, n * 30 % 60),
    })
}

/// The order, broken in one of seven ways.
fn broken(mut order: Value, way: u64) -> String {
    match way % 7 {
        0 => {
            let text = order.to_string();
            return text[..text.len() / 2].to_owned(); // not JSON: cut off on its way
        }
        1 => {
            if let Some(fields) = order.as_object_mut() {
                fields.remove("customer_id");
            }
        }
        2 => order["total"] = json!("a lot"),
        3 => order["total"] = json!(-12.5),
        4 => order["currency"] = json!("DOUBLOON"),
        5 => order["order_id"] = json!("ord-000007"), // that of an earlier order
        _ => order["note"] = json!("Please, please hurry. ".repeat(400)),
    }
    order.to_string()
}
