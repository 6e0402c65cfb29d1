#[consumer(grup = "billing")]
fn bill(&mut self) {}
