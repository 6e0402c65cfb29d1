use ductape_events::prelude::*;

#[topic("payments:paid", instances(Paid<Usd>, Paid<Eur> = "payments:paid-eur"))]
struct Paid<C> {
    cents: i64,
    currency: C,
}

#[payload]
struct Usd;

#[payload]
struct Eur;

fn main() {
    assert_eq!(Paid::<Usd>::EVENT, "payments:paid");
    assert_eq!(Paid::<Eur>::EVENT, "payments:paid-eur");
    assert_eq!(Paid::<Eur>::descriptor().type_name, "Paid<Eur>");
}
