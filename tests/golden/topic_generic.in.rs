#[topic("payments:paid", instances(Paid<Usd>, Paid<Eur> = "payments:paid-eur"))]
pub struct Paid<C> {
    pub cents: i64,
    pub currency: C,
}
